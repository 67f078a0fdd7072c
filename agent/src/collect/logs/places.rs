//! Where the logs of this host are: learned from the processes that write them, not guessed.
//!
//! A node's command line has its log folder (`-Dkafka.logs.dir`, `-Dzookeeper.log.dir`), its logging configuration and its
//! garbage collector's log; its environment the rest (`LOG_DIR`, `ZOO_LOG_DIR`, `TZ`). Of a node that does not run only the folders that
//! packages and roles use are known.

use super::super::standing::{self, Kind, Running};
use super::{CollectError, Group, Heard, SERVICES, now};
use crate::host::{FileKind, HostView, Unit};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use kfleet_logs::bookmark::{FileNow, HEAD, families};
use kfleet_logs::{Clock, Shape, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where systemd says which kind of container it runs in (systemd.io, "The Container Interface").
const CONTAINER: &str = "/run/systemd/container";

/// Folders of Kafka's logs where nothing says another one.
const KAFKA: [&str; 3] = ["/var/log/kafka", "/opt/kafka/logs", "/usr/local/kafka/logs"];

/// Those of ZooKeeper.
const ZOOKEEPER: [&str; 3] = ["/var/log/zookeeper", "/opt/zookeeper/logs", "/usr/local/zookeeper/logs"];

/// A logging configuration or an environment is never near this.
const LIMIT: u64 = 1024 * 1024;

/// The files of a time zone are a few KiB.
const ZONE_LIMIT: u64 = 256 * 1024;

/// A folder with more files than this is no folder of logs; Kafka's hourly files of a year are below it.
const FILES: usize = 50_000;

/// How a log is read.
#[derive(Debug)]
pub(super) enum Way {
    /// A file with its older ones, the oldest first.
    Files(Vec<FileNow>),
    /// The journal of a unit.
    Unit(String),
    /// The kernel's messages.
    Kernel,
}

/// One log.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) group: Group,
    /// A path, `journal:kafka` or `kernel`: its name for people and for its bookmark.
    pub(super) name: String,
    pub(super) way: Way,
    pub(super) source: Source,
    pub(super) shape: Shape,
    pub(super) clock: Clock,
}

/// All logs of the host.
#[derive(Debug)]
pub(super) struct Logs {
    pub(super) all: Vec<Log>,
}

/// Finds them. What can not be found is told as a source that can not be read.
pub(super) fn logs(host: &dyn HostView, services: Option<&[String]>, heard: &mut Heard) -> Result<Logs, CollectError> {
    let boot = now(host).checked_sub(SignedDuration::try_from(host.uptime()).unwrap_or_default()).ok();
    let named = services.is_some();
    let services: Vec<String> = services.map_or_else(|| SERVICES.map(str::to_owned).into(), <[String]>::to_vec);
    let mut all = Vec::new();
    for service in &services {
        let unit = host.unit(service)?;
        if unit.load_state == "not-found" {
            continue;
        }
        let node = Node::of(host, unit)?;
        let start = boot.and_then(|boot| {
            let since = i64::try_from(node.unit.started_us).ok()?;
            boot.checked_add(SignedDuration::from_micros(since)).ok()
        });
        let clock = Clock { zone: node.zone(host, heard), boot, start };
        node.logs(host, &clock, heard, &mut all);
    }
    if named && all.is_empty() {
        heard.told.push(format!("there is no unit {} here", services.join(" or ")));
    }
    if host.stat(Path::new(CONTAINER), true)?.is_some() {
        heard.told.push("a container has no kernel log of its own: the machine's is not looked at".to_owned());
        return Ok(Logs { all });
    }
    let clock = Clock { zone: TimeZone::UTC, boot, start: None };
    let (name, shape) = ("kernel".to_owned(), Shape::Kernel);
    all.push(Log { group: Group::Kernel, name, way: Way::Kernel, source: Source::Kernel, shape, clock });
    Ok(Logs { all })
}

/// A unit with the node in it.
struct Node {
    unit: Unit,
    kind: Kind,
    properties: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    gc: Option<String>,
}

impl Node {
    fn of(host: &dyn HostView, unit: Unit) -> Result<Self, CollectError> {
        let running = standing::running(host, &unit)?;
        // A unit without a process is called as its program is, or its logs are not found.
        let by_name = if unit.name.contains("zoo") { Kind::ZooKeeper } else { Kind::Kafka };
        let (kind, words, environment) = match running {
            Some(Running { kind, pid, words }) => {
                // Of another user's process the environment may be closed to this one; the command line never is.
                let bytes = host.read(Path::new(&format!("/proc/{pid}/environ")), LIMIT).ok().flatten();
                (kind, words, pairs(&String::from_utf8_lossy(&bytes.unwrap_or_default())))
            }
            None => (by_name, Vec::new(), BTreeMap::new()),
        };
        let (mut properties, mut gc) = (BTreeMap::new(), None);
        for word in &words {
            if let Some((key, value)) = word.strip_prefix("-D").and_then(|rest| rest.split_once('=')) {
                properties.insert(key.to_owned(), value.to_owned());
            }
            gc = gc_file(word).or(gc);
        }
        Ok(Self { unit, kind, properties, environment, gc })
    }

    /// The zone of its local times: Java's own setting, else `TZ`, else the host's.
    fn zone(&self, host: &dyn HostView, heard: &mut Heard) -> TimeZone {
        let named = self.properties.get("user.timezone").or_else(|| self.environment.get("TZ"));
        let named = named.map(|name| name.trim_start_matches(':')).filter(|name| !name.is_empty());
        let read = |name: &str, path: &str| {
            let bytes = host.read(Path::new(path), ZONE_LIMIT).ok().flatten()?;
            TimeZone::tzif(name, &bytes).ok()
        };
        match named {
            Some("UTC" | "GMT" | "Z") => TimeZone::UTC,
            Some(name) => {
                let found = read(name, &format!("/usr/share/zoneinfo/{name}")).or_else(|| TimeZone::posix(name).ok());
                found.unwrap_or_else(|| {
                    heard.told.push(format!(
                        "{}: the time zone {name} is not known: its times are read as UTC",
                        self.unit.name
                    ));
                    TimeZone::UTC
                })
            }
            // Without the file the C library and Java use UTC.
            None => read("local", "/etc/localtime").unwrap_or(TimeZone::UTC),
        }
    }

    fn logs(&self, host: &dyn HostView, clock: &Clock, heard: &mut Heard, all: &mut Vec<Log>) {
        let (group, source) = match self.kind {
            Kind::Kafka => (Group::Kafka, Source::Kafka),
            Kind::ZooKeeper => (Group::ZooKeeper, Source::ZooKeeper),
        };
        let configured = self.configured(host);
        let mut has_files = false;
        for folder in self.folders(&configured) {
            match files(host, &folder) {
                Ok(found) => {
                    for (base, files) in families(found) {
                        // Two nodes may write to one folder; a log is read once.
                        let known = all.iter().any(|log| log.name == base);
                        let Some(role) = self.role(&base, &configured).filter(|_| !known) else { continue };
                        has_files |= role == Role::Log;
                        let (group, source, shape) = match role {
                            Role::Log => (group, source, Shape::File),
                            Role::Output => (group, Source::Output, Shape::File),
                            Role::Gc => (Group::Jvm, Source::Gc, Shape::Gc),
                        };
                        let clock = clock.clone();
                        all.push(Log { group, name: base, way: Way::Files(files), source, shape, clock });
                    }
                }
                Err(error) => heard.add(group, &folder, Err(error)),
            }
        }
        let source = if has_files { Source::Output } else { source };
        let (name, way) = (format!("journal:{}", self.unit.name), Way::Unit(self.unit.name.clone()));
        all.push(Log { group: Group::Journal, name, way, source, shape: Shape::Journal, clock: clock.clone() });
        if !has_files {
            heard
                .told
                .push(format!("{}: no log file of it was found; its journal is read in their place", self.unit.name));
        }
    }

    /// The folder that the start scripts give.
    fn folder(&self) -> Option<&str> {
        let (properties, variable) = match self.kind {
            Kind::Kafka => (["kafka.logs.dir", "kafka.log.dir"], "LOG_DIR"),
            Kind::ZooKeeper => (["zookeeper.log.dir", "zookeeper.logs.dir"], "ZOO_LOG_DIR"),
        };
        let property = properties.iter().find_map(|name| self.properties.get(*name));
        property.or_else(|| self.environment.get(variable)).map(|path| path.trim_end_matches('/'))
    }

    /// The folders to look in; known ones when nothing says another.
    fn folders(&self, configured: &BTreeSet<String>) -> BTreeSet<String> {
        let paths = configured.iter().chain(&self.gc);
        let parents = paths.filter_map(|path| Some(path.rsplit_once('/')?.0.to_owned()));
        let mut folders: BTreeSet<String> = parents.chain(self.folder().map(str::to_owned)).collect();
        folders.retain(|folder| folder.starts_with('/'));
        if folders.is_empty() {
            let known = match self.kind {
                Kind::Kafka => KAFKA,
                Kind::ZooKeeper => ZOOKEEPER,
            };
            folders.extend(known.map(str::to_owned));
        }
        folders
    }

    /// The files that the logging configuration names.
    fn configured(&self, host: &dyn HostView) -> BTreeSet<String> {
        const KEYS: [&str; 4] =
            ["log4j.configuration", "log4j2.configurationFile", "log4j.configurationFile", "logback.configurationFile"];
        let mut found = BTreeSet::new();
        for key in KEYS {
            let Some(path) = self.properties.get(key).map(|path| path.trim_start_matches("file:")) else { continue };
            if let Some(text) = host.read(Path::new(path), LIMIT).ok().flatten() {
                found.extend(appender_files(&String::from_utf8_lossy(&text), &self.properties));
            }
        }
        found
    }

    /// What a log of a folder is; none when it is another program's, or of no use: the log of requests has a line for each.
    fn role(&self, base: &str, configured: &BTreeSet<String>) -> Option<Role> {
        let name = base.rsplit('/').next().unwrap_or(base);
        if self.gc.as_deref().is_some_and(|gc| kfleet_logs::bookmark::base_name(gc) == base || gc == base)
            || (name.contains("gc") && name.contains(".log"))
        {
            return Some(Role::Gc);
        }
        if name.contains("request") {
            return None;
        }
        if configured.contains(base) {
            return Some(Role::Log);
        }
        const KAFKA_LOGS: [&str; 5] =
            ["server.log", "controller.log", "state-change.log", "log-cleaner.log", "kafka-authorizer.log"];
        match self.kind {
            Kind::Kafka if KAFKA_LOGS.contains(&name) => Some(Role::Log),
            Kind::Kafka if name == "kafkaServer.out" => Some(Role::Output),
            Kind::ZooKeeper if name.starts_with("zookeeper") && name.ends_with(".log") => Some(Role::Log),
            Kind::ZooKeeper if name.starts_with("zookeeper") && name.ends_with(".out") => Some(Role::Output),
            Kind::Kafka | Kind::ZooKeeper => None,
        }
    }
}

/// What a file is to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Log,
    Output,
    Gc,
}

/// `NAME=value` pairs that zeros end.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The file of an option of the garbage collector's log: `-Xlog:gc*:file=/p/gc.log:time`, `-Xlog:gc:/p/gc.log`,
/// `-Xloggc:/p/gc.log`.
fn gc_file(word: &str) -> Option<String> {
    if let Some(path) = word.strip_prefix("-Xloggc:") {
        return Some(path.to_owned());
    }
    let output = word.strip_prefix("-Xlog:")?.split(':').nth(1)?;
    let path = output.strip_prefix("file=").unwrap_or(output).trim_matches('"');
    path.starts_with('/').then(|| path.to_owned())
}

/// The files of appenders, in the forms of log4j's properties and of log4j2's and logback's properties, YAML and XML, with
/// system properties put in. A path that holds something else is left out.
fn appender_files(text: &str, properties: &BTreeMap<String, String>) -> BTreeSet<String> {
    let value = |line: &str| {
        let line = line.trim();
        if line.starts_with(['#', '!']) {
            return None;
        }
        if let Some(inside) = line.strip_prefix("<file>") {
            return inside.split('<').next().map(str::to_owned);
        }
        let (key, value) = match line.split_once(" fileName=") {
            Some((_, value)) => ("fileName", value.trim_start_matches('"').split('"').next().unwrap_or_default()),
            None => line.split_once(['=', ':'])?,
        };
        let key = key.trim().rsplit('.').next()?.trim_start_matches("- ");
        matches!(key, "File" | "file" | "fileName").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    text.lines().filter_map(value).filter_map(|path| expanded(&path, properties)).collect()
}

fn expanded(path: &str, properties: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}')?;
        let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
        let name = name.strip_prefix("sys:").unwrap_or(name);
        out.push_str(before);
        out.push_str(properties.get(name).map(String::as_str).or(default)?);
        rest = after;
    }
    out.push_str(rest);
    out.starts_with('/').then_some(out)
}

/// The plain files of a folder; none when it is not there.
fn files(host: &dyn HostView, folder: &str) -> Result<Vec<FileNow>, CollectError> {
    let names = host.list(Path::new(folder))?.unwrap_or_default();
    if names.len() > FILES {
        return Err(CollectError::Invalid(format!("it has {} files, more than {FILES}", names.len())));
    }
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| name.contains(".log") || name.contains(".out")) {
        let path = format!("{folder}/{name}");
        // It may be rotated away between the two readings.
        let Some((stat, head)) = host.read_part(Path::new(&path), 0, HEAD)? else { continue };
        if stat.kind == FileKind::File {
            let modified_ns = i64::try_from(stat.mtime_ns).unwrap_or(i64::MAX);
            found.push(FileNow { path, device: stat.device, inode: stat.inode, size: stat.size, modified_ns, head });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_the_garbage_collector_is_found_in_every_option() {
        for (word, wanted) in [
            (
                "-Xlog:gc*:file=/l/kafkaServer-gc.log:time,tags:filecount=10,filesize=100M",
                Some("/l/kafkaServer-gc.log"),
            ),
            ("-Xlog:gc:\"/l/gc.log\"", Some("/l/gc.log")),
            ("-Xloggc:/l/gc.log", Some("/l/gc.log")),
            ("-Xlog:gc:stdout", None),
            ("-Xlog:disable", None),
            ("-Xmx1g", None),
        ] {
            assert_eq!(gc_file(word).as_deref(), wanted, "{word}");
        }
    }

    #[test]
    fn files_of_appenders_are_found_in_every_form() {
        let properties = BTreeMap::from([("kafka.logs.dir".to_owned(), "/l".to_owned())]);
        for (text, wanted) in [
            ("log4j.appender.kafkaAppender.File=${kafka.logs.dir}/server.log", Some("/l/server.log")),
            ("  fileName: \"${sys:kafka.logs.dir}/server.log\"", Some("/l/server.log")),
            ("appender.rolling.fileName = ${sys:kafka.logs.dir}/server.log", Some("/l/server.log")),
            ("<RollingFile name=\"f\" fileName=\"${sys:kafka.logs.dir}/server.log\" x=\"y\">", Some("/l/server.log")),
            ("  <file>/l/zookeeper.log</file>", Some("/l/zookeeper.log")),
            ("log4j.appender.a.File=${other:-/d}/server.log", Some("/d/server.log")),
            ("log4j.appender.a.File=${nowhere}/server.log", None),
            ("#log4j.appender.a.File=/l/server.log", None),
            ("log4j.appender.a.File=server.log", None),
            ("log4j.appender.a.layout.ConversionPattern=[%d] %p %m (%c)%n", None),
        ] {
            let found = appender_files(text, &properties);
            assert_eq!(found.iter().next().map(String::as_str), wanted, "{text}");
        }
    }
}
