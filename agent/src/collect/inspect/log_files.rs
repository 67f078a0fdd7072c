//! How much the services' own logs take, and which of their appenders nothing bounds.

use super::disks::log_folder;
use super::params::Kind;
use super::scene::Scene;
use super::services::{Process, Service, seen_by};
use super::sink::{Gap, Sink, Told};
use crate::host::FileKind;
use kfleet_config::Properties;
use kfleet_inspect::{Confidence, Datum};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) const KEYS: &[&str] = &["log.unbounded", "log.bytes", "log.share"];

/// A folder of logs is flat or nearly so.
const DEPTH: u32 = 3;

/// Properties of a JVM that name its logging configuration, in the order in which Kafka's and ZooKeeper's libraries look.
const CONFIGS: [&str; 4] =
    ["log4j2.configurationFile", "log4j.configurationFile", "log4j.configuration", "logback.configurationFile"];

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    for service in scene.services()? {
        let part = service.part();
        let (source, told) = match service.running().and_then(|process| config_of(scene, service, process)) {
            Ok((path, text)) => {
                let told = unbounded(&path, &text).map(|names| Datum::List(names.into_iter().collect()));
                (path, told)
            }
            Err(gap) => ("the logging configuration".to_owned(), Err(gap)),
        };
        sink.put("log.unbounded", Some(part.clone()), &source, told, Confidence::Medium);
        let folder = log_folder(service).ok_or_else(|| match service.running() {
            Ok(_) => Gap::unreadable("its command line does not say where it writes its logs"),
            Err(gap) => gap,
        });
        let bytes = folder.clone().and_then(|folder| size(scene, &folder, 0));
        let source = folder.clone().unwrap_or_else(|_| "the log directory".to_owned());
        let int = bytes.clone().map(|bytes| Datum::Int(i64::try_from(bytes).unwrap_or(i64::MAX)));
        sink.tell_of(&part, "log.bytes", &source, int);
        let share = folder.and_then(|folder| share(scene, &folder, bytes?));
        sink.tell_of(&part, "log.share", &source, share);
    }
    Ok(())
}

/// Bytes of the files below a folder.
fn size(scene: &Scene<'_>, folder: &str, depth: u32) -> Result<u64, Gap> {
    let names = scene.list(folder)?.ok_or_else(|| Gap::Unreadable(format!("{folder} does not exist")))?;
    let mut sum = 0;
    for name in names {
        let path = format!("{folder}/{name}");
        let Some(stat) = scene.stat(&path, false)? else { continue };
        match stat.kind {
            FileKind::File => sum += stat.size,
            FileKind::Directory if depth < DEPTH => sum += size(scene, &path, depth + 1)?,
            FileKind::Directory
            | FileKind::Link
            | FileKind::Block
            | FileKind::Char
            | FileKind::Fifo
            | FileKind::Socket => {}
        }
    }
    Ok(sum)
}

fn share(scene: &Scene<'_>, folder: &str, bytes: u64) -> Told {
    scene.go_on()?;
    let space = scene.host().file_system(Path::new(folder))?;
    let space = space.ok_or_else(|| Gap::Unreadable(format!("{folder} does not exist")))?;
    let whole = space.used_bytes.saturating_add(space.free_bytes);
    if whole == 0 {
        return Err(Gap::not_here("the file system has no size"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than a double has")]
    Ok(Datum::Float(100.0 * bytes as f64 / whole as f64))
}

/// The logging configuration that the process was started with, with its path.
fn config_of(scene: &Scene<'_>, service: &Service, process: &Process) -> Result<(String, String), Gap> {
    let named = CONFIGS.iter().find_map(|name| process.property(name));
    let named = named.map(|path| path.trim_start_matches("file:").to_owned());
    let path = named.ok_or_else(|| match service.params.kind {
        Kind::Kafka => Gap::unreadable("its command line names no logging configuration"),
        Kind::Zookeeper => {
            Gap::unreadable("its command line names no logging configuration; one may lie on its class path")
        }
    })?;
    // `file:///x` and `file:/x` are one.
    let path = format!("/{}", path.trim_start_matches('/'));
    let text = scene.text(seen_by(scene.host(), process, &path))?;
    Ok((path.clone(), text.ok_or_else(|| Gap::Unreadable(format!("{path} does not exist")))?))
}

/// Appenders that write files and never remove one, each with its class or type.
fn unbounded(path: &str, text: &str) -> Result<BTreeSet<String>, Gap> {
    let end = path.rsplit('.').next().unwrap_or_default();
    match end {
        "properties" if text.contains("log4j.appender.") => Ok(log4j1(text)),
        "properties" => Ok(log4j2_properties(text)),
        "yaml" | "yml" => Ok(log4j2_yaml(text)),
        "xml" if text.contains("<configuration") && text.contains("ch.qos.logback") => Ok(logback(text)),
        _ => Err(Gap::Unreadable(format!("{path} is of a form that is not read here"))),
    }
}

/// `log4j.properties`: of the classes that write files only RollingFileAppender removes old ones.
fn log4j1(text: &str) -> BTreeSet<String> {
    let keys = Properties::parse(text.as_bytes()).to_map();
    let appenders = keys.iter().filter_map(|(key, class)| {
        let name = key.strip_prefix("log4j.appender.").filter(|name| !name.contains('.'))?;
        let class = class.trim().rsplit('.').next()?;
        matches!(class, "DailyRollingFileAppender" | "FileAppender").then(|| format!("{name} ({class})"))
    });
    appenders.collect()
}

/// `log4j2.properties`: types of each `appender.NAME`, and of what stands below it.
fn log4j2_properties(text: &str) -> BTreeSet<String> {
    let keys = Properties::parse(text.as_bytes()).to_map();
    let mut appenders: BTreeMap<&str, (String, Vec<&str>)> = BTreeMap::new();
    for (key, value) in &keys {
        let Some(rest) = key.strip_prefix("appender.") else { continue };
        let Some((name, rest)) = rest.split_once('.') else { continue };
        let appender = appenders.entry(name).or_default();
        if rest == "type" {
            value.trim().clone_into(&mut appender.0);
        } else if rest.ends_with(".type") {
            appender.1.push(value.trim());
        }
    }
    let endless = appenders.into_iter().filter(|(_, (kind, below))| !log4j2_bounded(kind, below));
    endless.map(|(name, (kind, _))| format!("{name} ({kind})")).collect()
}

/// Log4j 2 removes files by an action Delete, or by the number of its DefaultRolloverStrategy, which bounds only what is
/// rolled by size: a new day begins a new count.
fn log4j2_bounded(kind: &str, below: &[&str]) -> bool {
    match kind {
        "File" | "RandomAccessFile" | "MemoryMappedFile" => false,
        "RollingFile" | "RollingRandomAccessFile" => {
            let has = |word: &str| below.contains(&word);
            has("Delete") || (has("SizeBasedTriggeringPolicy") && !has("TimeBasedTriggeringPolicy"))
        }
        _ => true,
    }
}

/// The types of Log4j 2 that write files.
const FILES: [&str; 5] = ["File", "RandomAccessFile", "MemoryMappedFile", "RollingFile", "RollingRandomAccessFile"];

/// `log4j2.yaml`, as Kafka 4 ships one: below `Appenders` each type holds one appender or a list of them. Only keys and
/// their depths are looked at.
fn log4j2_yaml(text: &str) -> BTreeSet<String> {
    /// An appender that is being read: type, depth of its type, name, types below it.
    struct Open {
        kind: String,
        depth: usize,
        name: Option<String>,
        below: Vec<String>,
    }
    let mut found = BTreeSet::new();
    let mut close = |open: &mut Option<Open>| {
        if let Some(Open { kind, name: Some(name), below, .. }) = open.take() {
            let below: Vec<&str> = below.iter().map(String::as_str).collect();
            if !log4j2_bounded(&kind, &below) {
                found.insert(format!("{name} ({kind})"));
            }
        }
    };
    let mut open: Option<Open> = None;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        let begins = line.trim_start().starts_with("- ");
        let (key, value) = line.trim_start().trim_start_matches("- ").split_once(':').unwrap_or((line.trim(), ""));
        let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
        if FILES.contains(&key) && value.is_empty() {
            close(&mut open);
            open = Some(Open { kind: key.to_owned(), depth, name: None, below: Vec::new() });
            continue;
        }
        // A list may stand as deep as its key.
        let left = open.as_ref().is_some_and(|open| depth < open.depth || (depth == open.depth && !begins));
        if left {
            close(&mut open);
        }
        let Some(reading) = &mut open else { continue };
        if begins && key == "name" && reading.name.is_some() {
            let (kind, depth) = (reading.kind.clone(), reading.depth);
            close(&mut open);
            open = Some(Open { kind, depth, name: Some(value.to_owned()), below: Vec::new() });
        } else if key == "name" && reading.name.is_none() {
            reading.name = Some(value.to_owned());
        } else {
            reading.below.push(key.to_owned());
        }
    }
    close(&mut open);
    found
}

/// `logback.xml`: a rolling appender removes files by `maxHistory`, `totalSizeCap`, or the window of its policy.
fn logback(text: &str) -> BTreeSet<String> {
    let attribute = |tag: &str, name: &str| {
        let rest = tag.split_once(&format!("{name}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let uncommented: String =
        text.split("<!--").map(|part| part.split_once("-->").map_or(part, |(_, rest)| rest)).collect();
    let appenders = uncommented.split("<appender ").skip(1).filter_map(|part| {
        let body = part.split("</appender>").next().unwrap_or_default();
        let (name, class) = (attribute(body, "name")?, attribute(body, "class")?);
        let class = class.rsplit('.').next().unwrap_or_default().to_owned();
        let bounds = ["<maxHistory>", "<totalSizeCap>", "FixedWindowRollingPolicy"];
        let endless = match class.as_str() {
            "FileAppender" => true,
            "RollingFileAppender" => !bounds.iter().any(|bound| body.contains(bound)),
            _ => false,
        };
        endless.then(|| format!("{name} ({class})"))
    });
    appenders.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        unbounded(path, text).unwrap().into_iter().collect()
    }

    #[test]
    fn appenders_without_a_bound_are_found_in_log4j_1() {
        // As Kafka 3 ships it, and as an operator bounds it.
        let text = "log4j.rootLogger=INFO, stdout, kafkaAppender\n\
                    log4j.appender.stdout=org.apache.log4j.ConsoleAppender\n\
                    log4j.appender.kafkaAppender=org.apache.log4j.DailyRollingFileAppender\n\
                    log4j.appender.kafkaAppender.DatePattern='.'yyyy-MM-dd-HH\n\
                    log4j.appender.bounded=org.apache.log4j.RollingFileAppender\n\
                    log4j.appender.bounded.MaxBackupIndex=10\n";
        assert_eq!(found("/etc/kafka/log4j.properties", text), ["kafkaAppender (DailyRollingFileAppender)"]);
    }

    #[test]
    fn appenders_without_a_bound_are_found_in_log4j_2() {
        let properties = "appender.a.type = RollingFile\nappender.a.policies.type=Policies\n\
                          appender.a.policies.time.type=TimeBasedTriggeringPolicy\n\
                          appender.b.type=RollingFile\nappender.b.policies.size.type=SizeBasedTriggeringPolicy\n\
                          appender.c.type=RollingFile\nappender.c.strategy.delete.type=Delete\n\
                          appender.d.type=Console\n";
        assert_eq!(found("/x/log4j2.properties", properties), ["a (RollingFile)"]);
        // The beginning of Kafka 4.0's own file, and two that are bounded.
        let yaml = "Configuration:\n  Properties:\n    Property:\n      - name: \"kafka.logs.dir\"\n        value: \".\"\n\
                    \n  Appenders:\n    Console:\n      name: STDOUT\n      PatternLayout:\n        pattern: \"x\"\n\n    RollingFile:\n\
                    \x20     - name: KafkaAppender\n        fileName: \"${sys:kafka.logs.dir}/server.log\"\n\
                    \x20       filePattern: \"${sys:kafka.logs.dir}/server.log.%d{yyyy-MM-dd-HH}\"\n\
                    \x20       PatternLayout:\n          pattern: \"x\"\n\
                    \x20       TimeBasedTriggeringPolicy:\n          modulate: true\n          interval: 1\n\
                    \x20     # State change appender\n\
                    \x20     - name: BySize\n        SizeBasedTriggeringPolicy:\n          size: 100MB\n\
                    \x20     - name: Cleaned\n        TimeBasedTriggeringPolicy:\n          interval: 1\n\
                    \x20       DefaultRolloverStrategy:\n          Delete:\n            basePath: x\n\n  Loggers:\n    Root:\n      level: INFO\n";
        assert_eq!(found("/x/log4j2.yaml", yaml), ["KafkaAppender (RollingFile)"]);
        let one = "Appenders:\n  File:\n    name: F\n    fileName: x\n  Console:\n    name: C\n";
        assert_eq!(found("/x/log4j2.yaml", one), ["F (File)"]);
    }

    #[test]
    fn appenders_without_a_bound_are_found_in_logback() {
        let text = "<configuration>\n<!-- <appender name=\"OLD\" class=\"ch.qos.logback.core.FileAppender\"></appender> -->\n\
                    <appender name=\"CONSOLE\" class=\"ch.qos.logback.core.ConsoleAppender\"></appender>\n\
                    <appender name=\"A\" class=\"ch.qos.logback.core.rolling.RollingFileAppender\">\n<file>x</file>\n</appender>\n\
                    <appender name=\"B\" class=\"ch.qos.logback.core.rolling.RollingFileAppender\"><maxHistory>3</maxHistory></appender>\n\
                    </configuration>";
        assert_eq!(found("/x/logback.xml", text), ["A (RollingFileAppender)"]);
        assert!(matches!(unbounded("/x/log4j.xml", "<log4j:configuration/>"), Err(Gap::Unreadable(_))));
    }
}
