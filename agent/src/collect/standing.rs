//! What the Kafka or ZooKeeper node of a unit is to its cluster, as far as this host can learn it before a stop.
//!
//! Which unit it is, and which configuration it runs with, is read from its processes and not from names: units are
//! called as people like, and a file may have been changed since the start.
//! Not here: what is made of it (`kfleet_model::stop::guard`, the agent's guard rail).

use super::{chain, cluster, zookeeper_config};
use crate::host::{HostError, HostView, Unit};
use kfleet_kafka::{
    Address, Instant, KafkaAccess, KafkaError, ZooKeeperAccess, ZooKeeperError, kafka_snapshot, zookeeper_server,
};
use kfleet_model::snapshot::{KafkaSnapshot, ZooKeeperServer, ZooKeeperState};
use kfleet_model::stop::guard::{Answer, Standing, judge};
use kfleet_model::{BrokerId, Map};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the member on this host is waited for. One that needs longer to tell of its cluster hangs, or is too slow
/// to be judged by.
const OWN: Duration = Duration::from_secs(10);

/// How long each other member is waited for: its answer is a help and no need.
const OTHER: Duration = Duration::from_secs(2);

/// How many other brokers are asked whether they count this one.
const OTHERS: usize = 2;

/// The main classes of Kafka: its own, and that of Confluent's packages.
const KAFKA: [&str; 2] = ["kafka.Kafka", "io.confluent.support.metrics.SupportedKafka"];

/// The main classes of ZooKeeper: of an ensemble's member, and of a server by itself.
const ZOOKEEPER: [&str; 2] =
    ["org.apache.zookeeper.server.quorum.QuorumPeerMain", "org.apache.zookeeper.server.ZooKeeperServerMain"];

/// A command line with a long class path.
const COMMAND_LINE: u64 = 1024 * 1024;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kafka,
    ZooKeeper,
}

/// The Java process of a node.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) kind: Kind,
    pub(super) pid: u32,
    /// The words of its command line.
    pub(super) words: Vec<String>,
}

/// A node's process: what it is and the configuration file that it was started with, where its command line says so.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    kind: Kind,
    config: Option<String>,
}

/// The node that runs in a unit; none when it runs none.
///
/// # Errors
/// When the host can not be read. A node that says nothing is a standing, no error.
pub fn standing(host: &dyn HostView, unit: &Unit) -> Result<Option<Standing>, HostError> {
    let Some(process) = process(host, unit)? else { return Ok(None) };
    let blind = |why: String| Ok(Some(Standing::Blind { why }));
    let runtime = match Handle::try_current() {
        Ok(runtime) => runtime,
        Err(error) => return blind(error.to_string()),
    };
    let node = Node { host, unit, params: process.params(), config: process.config, runtime };
    match process.kind {
        Kind::Kafka => node.kafka(),
        Kind::ZooKeeper => node.zookeeper(),
    }
    .map(Some)
}

/// Whether a unit runs a Kafka or ZooKeeper node.
///
/// # Errors
/// When the host can not be read.
pub fn is_node(host: &dyn HostView, unit: &Unit) -> Result<bool, HostError> {
    Ok(process(host, unit)?.is_some())
}

/// The Kafka and ZooKeeper nodes that run on this host, whatever keeps them: for people, `Kafka (process 4711)`.
///
/// # Errors
/// When the host's processes can not be listed.
pub fn running_nodes(host: &dyn HostView) -> Result<Vec<String>, HostError> {
    let mut nodes = Vec::new();
    for pid in host.list(Path::new("/proc"))?.unwrap_or_default() {
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let command_line = match host.read(Path::new(&format!("/proc/{pid}/cmdline")), COMMAND_LINE) {
            Ok(command_line) => command_line,
            // It ended between the listing and the reading. Any other failure may hide a node.
            Err(HostError::Io { source, .. }) if source.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => None,
            Err(error) => return Err(error),
        };
        if let Some(process) = command_line.as_deref().and_then(Process::of) {
            let what = match process.kind {
                Kind::Kafka => "Kafka",
                Kind::ZooKeeper => "ZooKeeper",
            };
            nodes.push(format!("{what} (process {pid})"));
        }
    }
    Ok(nodes)
}

impl Process {
    /// Of a command line: the words are ended by zeros.
    fn of(command_line: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(command_line);
        let mut words = text.split('\0');
        let kind = words.find_map(|word| match word {
            word if KAFKA.contains(&word) => Some(Kind::Kafka),
            word if ZOOKEEPER.contains(&word) => Some(Kind::ZooKeeper),
            _ => None,
        })?;
        let config = words.next().filter(|word| word.starts_with('/')).map(str::to_owned);
        Some(Self { kind, config })
    }

    /// Parameters of the other collectors.
    fn params(&self) -> Map {
        self.config.iter().map(|path| ("config".to_owned(), path.as_str().into())).collect()
    }
}

fn process(host: &dyn HostView, unit: &Unit) -> Result<Option<Process>, HostError> {
    Ok(found(host, unit)?.map(|(process, _, _)| process))
}

/// The Java process of a unit's node; none when it runs none.
///
/// # Errors
/// When the host can not be read.
pub(super) fn running(host: &dyn HostView, unit: &Unit) -> Result<Option<Running>, HostError> {
    Ok(found(host, unit)?.map(|(Process { kind, .. }, pid, command_line)| {
        let words = String::from_utf8_lossy(&command_line).split('\0').map(str::to_owned).collect();
        Running { kind, pid, words }
    }))
}

/// Looks at the main process of a unit, and at the others of it: a start script may have stayed as their parent.
fn found(host: &dyn HostView, unit: &Unit) -> Result<Option<(Process, u32, Vec<u8>)>, HostError> {
    let group = format!("/sys/fs/cgroup/system.slice/{}/cgroup.procs", unit.name);
    let group = host.read(Path::new(&group), COMMAND_LINE)?.unwrap_or_default();
    let others = String::from_utf8_lossy(&group).lines().filter_map(|pid| pid.trim().parse().ok()).collect::<Vec<_>>();
    for pid in std::iter::once(unit.main_pid).filter(|pid| *pid != 0).chain(others) {
        let command_line = host.read(Path::new(&format!("/proc/{pid}/cmdline")), COMMAND_LINE);
        // A process may end between the two readings.
        let Some(command_line) = command_line.ok().flatten() else { continue };
        if let Some(process) = Process::of(&command_line) {
            return Ok(Some((process, pid, command_line)));
        }
    }
    Ok(None)
}

/// What is needed to ask a node.
struct Node<'a> {
    host: &'a dyn HostView,
    unit: &'a Unit,
    params: Map,
    config: Option<String>,
    runtime: Handle,
}

impl Node<'_> {
    fn deadline(&self, limit: Duration) -> Instant {
        Instant::now() + limit.min(self.host.time_left())
    }

    fn kafka(&self) -> Result<Standing, HostError> {
        let access = match cluster::access(self.host, &self.params) {
            Ok(access) => access,
            Err(error) => return Ok(Standing::Blind { why: error.to_string() }),
        };
        match self.runtime.block_on(kafka_snapshot(&access, self.deadline(OWN))) {
            Ok(view) => {
                let standing = Standing::Kafka(view);
                let against = matches!(judge(&standing), Answer::Against(_));
                Ok(if against { self.counted(&access, standing) } else { standing })
            }
            Err(error @ KafkaError::NotRegistered { .. }) => Ok(Standing::Adrift { why: format!("failed to {error}") }),
            Err(error) if matches!(&error, KafkaError::Connect { source, .. } if self.is_closed(source)?) => {
                Ok(closed(&error))
            }
            Err(error) => Ok(Standing::Blind { why: format!("failed to {}", chain(&error)) }),
        }
    }

    /// A broker that was cut off keeps an old picture, in which others may be missed who are back since; what it says
    /// against its stop is void when the others do not count it any more. The gates of a roll permit just that restart.
    fn counted(&self, access: &KafkaAccess, standing: Standing) -> Standing {
        let Standing::Kafka(view) = &standing else { return standing };
        let own = view.seen_by;
        let others = view.brokers.iter().filter(|(id, _)| **id != own).take(OTHERS);
        for (id, broker) in others {
            let Ok(port) = u16::try_from(broker.port) else { continue };
            let other = access.to(Address::new(broker.host.clone(), port), *id);
            let other: Result<KafkaSnapshot, _> = self.runtime.block_on(kafka_snapshot(&other, self.deadline(OTHER)));
            if other.is_ok_and(|other| !other.brokers.contains_key(&own)) {
                return Standing::Adrift { why: format!("broker {id} does not count broker {own} any more") };
            }
        }
        standing
    }

    fn zookeeper(&self) -> Result<Standing, HostError> {
        let (_, config) = match zookeeper_config::read(self.host, &self.params) {
            Ok(read) => read,
            Err(error) => return Ok(Standing::Blind { why: error.to_string() }),
        };
        let name = match cluster::host_name(self.host, None) {
            Ok(name) => name,
            Err(error) => return Ok(Standing::Blind { why: error.to_string() }),
        };
        let access = ZooKeeperAccess { host: name, address: config.address.clone(), files: Some(config.files.clone()) };
        match self.runtime.block_on(zookeeper_server(&access, self.deadline(OWN))) {
            Ok(own) => Ok(self.led(own, &config, &access)),
            Err(error) if matches!(&error, ZooKeeperError::Connect { source, .. } if self.is_closed(source)?) => {
                Ok(closed(&error))
            }
            Err(error) => Ok(Standing::Blind { why: format!("failed to {}", chain(&error)) }),
        }
    }

    /// Finds the leader of a server's ensemble: itself, or the one among the others who says so.
    fn led(
        &self,
        own: ZooKeeperServer,
        config: &zookeeper_config::ZooKeeperConfig,
        access: &ZooKeeperAccess,
    ) -> Standing {
        if own.state != ZooKeeperState::Follower {
            return Standing::ZooKeeper { leader: own.clone(), own, silent: BTreeSet::new() };
        }
        let mut silent = BTreeSet::new();
        let mut leader = None;
        for (id, address) in config.others(own.server_id) {
            let mut other = ZooKeeperAccess { address, ..access.clone() };
            other.files = other.files.map(|files| kfleet_kafka::ZooKeeperFiles { my_id: Some(id.0), ..files });
            match self.runtime.block_on(zookeeper_server(&other, self.deadline(OTHER))) {
                Ok(server) if matches!(server.state, ZooKeeperState::Leader { .. }) => leader = Some(server),
                Ok(_) => {}
                Err(_) => {
                    silent.insert(id);
                }
            }
        }
        match leader {
            Some(leader) => Standing::ZooKeeper { own, leader, silent },
            None => {
                let silent = silent.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(", ");
                let silent = if silent.is_empty() { "all answer".to_owned() } else { format!("silent: {silent}") };
                Standing::Blind { why: format!("no other server of the ensemble says that it leads ({silent})") }
            }
        }
    }

    /// Nothing listens on the port of the configuration, and the process was started with just that: the file was not
    /// changed since. Else the node may well serve, on the port of before.
    fn is_closed(&self, error: &std::io::Error) -> Result<bool, HostError> {
        if error.kind() != std::io::ErrorKind::ConnectionRefused {
            return Ok(false);
        }
        let Some(path) = &self.config else { return Ok(false) };
        let Some(stat) = self.host.stat(Path::new(path), true)? else { return Ok(false) };
        let age_ms = i64::try_from(self.unit.age(self.host.uptime()).as_millis()).unwrap_or(i64::MAX);
        let started_ns = i128::from(self.host.unix_ms().saturating_sub(age_ms)) * 1_000_000;
        Ok(stat.mtime_ns.max(stat.ctime_ns) < started_ns)
    }
}

/// A node whose port is closed is not yet, or no longer, one that others reach.
fn closed(error: &dyn std::error::Error) -> Standing {
    Standing::Apart { why: format!("it serves nobody yet: failed to {}", chain(error)) }
}
