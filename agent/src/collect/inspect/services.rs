//! The services of this host: the process of each, and what its configuration says.
//!
//! Which process is whose is read from command lines and control groups, not from names: what runs outside of its unit is
//! found as well.

use super::params::{Kind, Params, ServiceParams};
use super::scene::Scene;
use super::sink::Gap;
use crate::collect::kafka_config::{self, KafkaConfig};
use crate::collect::zookeeper_config::{self, ZooKeeperConfig};
use crate::host::{HostView, Unit};
use kfleet_config::Properties;
use kfleet_inspect::{Part, PartKind, Role};
use std::collections::BTreeMap;
use std::path::Path;

/// A command line with a long class path.
const COMMAND_LINE: u64 = 1024 * 1024;

/// How many forebears of a process are looked at for its unit's main one.
const FOREBEARS: u32 = 8;

/// The main classes: Kafka's own and that of Confluent's packages, ZooKeeper's of an ensemble and of one alone.
const MAIN_CLASSES: [(&str, Kind); 4] = [
    ("kafka.Kafka", Kind::Kafka),
    ("io.confluent.support.metrics.SupportedKafka", Kind::Kafka),
    ("org.apache.zookeeper.server.quorum.QuorumPeerMain", Kind::Zookeeper),
    ("org.apache.zookeeper.server.ZooKeeperServerMain", Kind::Zookeeper),
];

/// Units of ZooKeeper and Kafka keep their files there when nobody says otherwise.
const CONFIGS: [(Kind, &str); 3] = [
    (Kind::Kafka, "/etc/kafka/server.properties"),
    (Kind::Zookeeper, "/etc/zookeeper/zoo.cfg"),
    (Kind::Zookeeper, "/etc/zookeeper/conf/zoo.cfg"),
];

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Its command line.
    pub(super) words: Vec<String>,
    /// The unit whose control group it is in.
    unit: Option<String>,
    /// Its parent, its parent's parent and so on.
    forebears: Vec<u32>,
    /// What it is; none for a unit's main process that is no known class.
    kind: Option<Kind>,
}

/// Where a service's process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// In its unit.
    InUnit(Process),
    /// It runs, and nothing keeps it.
    Outside(Process),
    /// Nowhere.
    Absent,
}

/// What the configuration of a service says.
pub(super) enum Config {
    Kafka(KafkaConfig),
    Zookeeper(ZooKeeperConfig),
}

/// A service.
pub(super) struct Service {
    pub(super) params: ServiceParams,
    /// Its unit; or why the service manager did not say.
    pub(super) unit: Result<Unit, Gap>,
    pub(super) found: Found,
    pub(super) config: Result<Config, Gap>,
}

impl Service {
    /// Its name among the parts of the host.
    pub(super) fn part(&self) -> Part {
        Part::new(PartKind::Process, self.params.kind.name())
    }

    /// Its process, when it runs.
    pub(super) fn process(&self) -> Option<&Process> {
        match &self.found {
            Found::InUnit(process) | Found::Outside(process) => Some(process),
            Found::Absent => None,
        }
    }

    /// The same, or that there is none.
    pub(super) fn running(&self) -> Result<&Process, Gap> {
        self.process().ok_or_else(|| Gap::NotHere(format!("{} does not run", self.params.kind.name())))
    }

    /// A broker's configuration; none of a ZooKeeper server.
    pub(super) fn kafka(&self) -> Option<Result<&KafkaConfig, Gap>> {
        match (&self.config, self.params.kind) {
            (Ok(Config::Kafka(config)), _) => Some(Ok(config)),
            (Err(gap), Kind::Kafka) => Some(Err(gap.clone())),
            (Ok(Config::Zookeeper(_)) | Err(_), _) => None,
        }
    }

    /// A ZooKeeper server's configuration; none of a broker.
    pub(super) fn zookeeper(&self) -> Option<Result<&ZooKeeperConfig, Gap>> {
        match (&self.config, self.params.kind) {
            (Ok(Config::Zookeeper(config)), _) => Some(Ok(config)),
            (Err(gap), Kind::Zookeeper) => Some(Err(gap.clone())),
            (Ok(Config::Kafka(_)) | Err(_), _) => None,
        }
    }

    /// Every key of its configuration.
    pub(super) fn keys(&self) -> Result<BTreeMap<String, String>, Gap> {
        match &self.config {
            Ok(Config::Kafka(config)) => Ok(config.all.clone()),
            Ok(Config::Zookeeper(config)) => Ok(Properties::parse(config.files.config.as_bytes()).to_map()),
            Err(gap) => Err(gap.clone()),
        }
    }

    /// What it is for.
    pub(super) fn roles(&self) -> Vec<Role> {
        match self.params.kind {
            Kind::Zookeeper => vec![Role::Zookeeper],
            Kind::Kafka => {
                let keys = self.keys().unwrap_or_default();
                let roles = keys.get("process.roles").map_or("broker", String::as_str);
                let roles = roles.split(',').filter_map(|role| match role.trim() {
                    "broker" => Some(Role::KafkaBroker),
                    "controller" => Some(Role::KraftController),
                    _ => None,
                });
                roles.collect()
            }
        }
    }
}

impl Process {
    /// The value of a system property, the last of its kind, which is the one that counts.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        let value = |word: &'_ String| word.strip_prefix("-D").is_some_and(|rest| rest.starts_with(name));
        let word = self.words.iter().rev().find(|word| value(word) && word[2 + name.len()..].starts_with('='))?;
        Some(&word[3 + name.len()..])
    }

    fn is_in(&self, unit: &Unit) -> bool {
        let main = unit.main_pid;
        let kept = main != 0 && (self.pid == main || self.forebears.contains(&main));
        kept || self.unit.as_deref() == Some(unit.name.as_str())
    }

    /// The file that it was started with.
    fn config(&self) -> Option<&str> {
        let main = self.words.iter().position(|word| MAIN_CLASSES.iter().any(|(class, _)| word == class))?;
        self.words.get(main + 1).map(String::as_str).filter(|word| word.starts_with('/'))
    }
}

/// Finds the services that the parameters name; without any, those that run here or have their file in its usual place.
pub(super) fn find(scene: &Scene<'_>, params: &Params) -> Result<Vec<Service>, Gap> {
    let processes = processes(scene)?;
    let wanted = if params.services.is_empty() { usual(scene, &processes)? } else { params.services.clone() };
    Ok(wanted.into_iter().map(|wanted| service(scene, wanted, &processes)).collect())
}

fn service(scene: &Scene<'_>, mut params: ServiceParams, processes: &[Process]) -> Service {
    let unit = scene.go_on().and_then(|()| Ok(scene.host().unit(params.unit())?));
    let found = whose(scene, &params, unit.as_ref().ok(), processes);
    if params.config.is_none()
        && let Found::InUnit(process) | Found::Outside(process) = &found
    {
        params.config = process.config().map(str::to_owned);
    }
    let config = match params.kind {
        Kind::Kafka => kafka_config::read(scene.host(), &params.map()).map(|(_, config)| Config::Kafka(config)),
        Kind::Zookeeper => {
            zookeeper_config::read(scene.host(), &params.map()).map(|(_, config)| Config::Zookeeper(config))
        }
    };
    Service { params, unit, found, config: config.map_err(Gap::from) }
}

/// The process of a service: of those of its kind the one in its unit, else one with its file, else any.
fn whose(scene: &Scene<'_>, params: &ServiceParams, unit: Option<&Unit>, processes: &[Process]) -> Found {
    let mut own: Vec<&Process> = processes.iter().filter(|process| process.kind == Some(params.kind)).collect();
    own.sort_by_key(|process| params.config.is_some() && process.config() != params.config.as_deref());
    if let Some(unit) = unit {
        if let Some(process) = own.iter().find(|process| process.is_in(unit)) {
            return Found::InUnit((*process).clone());
        }
        // A unit may run a class that is not known here; what it keeps is the service all the same.
        if own.is_empty() && unit.main_pid != 0 {
            return read_process(scene, unit.main_pid).map_or(Found::Absent, Found::InUnit);
        }
    }
    own.first().map_or(Found::Absent, |process| Found::Outside((*process).clone()))
}

/// The services of a host that nobody told of.
fn usual(scene: &Scene<'_>, processes: &[Process]) -> Result<Vec<ServiceParams>, Gap> {
    let mut found: Vec<ServiceParams> = Vec::new();
    let mut add = |kind: Kind, service: Option<String>, config: Option<String>| {
        if found.iter().all(|known| known.kind != kind) {
            found.push(ServiceParams { kind, service, config, command_config: None, cluster: None });
        }
    };
    for process in processes {
        if let Some(kind) = process.kind {
            add(kind, process.unit.clone(), process.config().map(str::to_owned));
        }
    }
    for (kind, path) in CONFIGS {
        if scene.stat(path, true)?.is_some() {
            add(kind, None, Some(path.to_owned()));
        }
    }
    Ok(found)
}

/// Every process of Kafka or ZooKeeper.
fn processes(scene: &Scene<'_>) -> Result<Vec<Process>, Gap> {
    let mut found = Vec::new();
    for name in scene.list("/proc")?.unwrap_or_default() {
        scene.go_on()?;
        let Ok(pid) = name.parse::<u32>() else { continue };
        if let Some(process) = read_process(scene, pid).filter(|process| process.kind.is_some()) {
            found.push(process);
        }
    }
    Ok(found)
}

/// A process; none when it has ended meanwhile.
fn read_process(scene: &Scene<'_>, pid: u32) -> Option<Process> {
    let line = scene.read(format!("/proc/{pid}/cmdline"), COMMAND_LINE).ok().flatten()?;
    let text = String::from_utf8_lossy(&line);
    let words: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    let main = words.iter().find_map(|word| MAIN_CLASSES.iter().find(|(class, _)| word == class));
    let kind = main.map(|(_, kind)| *kind);
    let unit = scene.text(format!("/proc/{pid}/cgroup")).ok().flatten().and_then(|text| unit_of(&text));
    // Only what is kept is worth the look at its forebears.
    let forebears = if kind.is_some() { forebears(scene, pid) } else { Vec::new() };
    Some(Process { pid, words, unit, forebears, kind })
}

fn forebears(scene: &Scene<'_>, pid: u32) -> Vec<u32> {
    let (mut found, mut at) = (Vec::new(), pid);
    for _ in 0..FOREBEARS {
        match scene.text(format!("/proc/{at}/stat")).ok().flatten().and_then(|text| stat_field(&text, 4)) {
            Some(parent) if parent > 0 => {
                at = u32::try_from(parent).unwrap_or(0);
                found.push(at);
            }
            Some(_) | None => break,
        }
    }
    found
}

/// The unit that a control group is of: the deepest service in either form of `/proc/<pid>/cgroup` (cgroups(7)).
fn unit_of(cgroup: &str) -> Option<String> {
    let named = cgroup.lines().filter(|line| line.starts_with("0::") || line.contains(":name=systemd:"));
    let mut services = named.flat_map(|line| line.split('/')).filter(|part| part.ends_with(".service"));
    services.next_back().map(str::to_owned)
}

/// A field of `/proc/<pid>/stat`, counted from 1 as proc_pid_stat(5) has it. The name in the second may hold blanks and
/// brackets, so the fields after it are counted from the last bracket.
pub(super) fn stat_field(stat: &str, field: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

/// A path as a process sees it: in its own mounts, which a unit may have been given (`PrivateTmp`).
pub(super) fn seen_by(host: &dyn HostView, process: &Process, path: &str) -> String {
    let own = format!("/proc/{}/root{path}", process.pid);
    if matches!(host.stat(Path::new(&own), true), Ok(Some(_))) { own } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_control_group() {
        for (text, wanted) in [
            ("0::/system.slice/kafka.service\n", Some("kafka.service")),
            ("0::/system.slice/kafka.service/sub\n", Some("kafka.service")),
            ("12:cpu:/x.service\n1:name=systemd:/system.slice/zookeeper.service\n", Some("zookeeper.service")),
            ("0::/user.slice/user-0.slice/user@0.service/app.slice/kafka.service\n", Some("kafka.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(unit_of(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "4711 (a b) c) S 17 4711 4711 0 -1 4194560 1 0 0 0 8 9 0 0 20 0 88 0 123456 1 2";
        assert_eq!((stat_field(stat, 4), stat_field(stat, 22), stat_field(stat, 99)), (Some(17), Some(123_456), None));
        assert_eq!(stat_field("", 4), None);
    }

    #[test]
    fn the_last_property_of_a_name_counts() {
        let words = ["java", "-Dx=1", "-Dxy=2", "-Dx=3=4", "kafka.Kafka", "/s.properties"].map(str::to_owned).to_vec();
        let process = Process { pid: 1, words, unit: None, forebears: Vec::new(), kind: Some(Kind::Kafka) };
        assert_eq!((process.property("x"), process.property("y")), (Some("3=4"), None));
        assert_eq!(process.config(), Some("/s.properties"));
    }
}
