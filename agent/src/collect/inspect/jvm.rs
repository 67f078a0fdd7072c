//! The JVMs of the services: their own counters, their GC logs, and what they left when they crashed.

use super::gc_log::{self, Pause};
use super::hsperfdata::{self, Value};
use super::process::{self, status};
use super::scene::Scene;
use super::services::{Process, seen_by};
use super::sink::{Gap, Sink};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::{Confidence, Datum};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) const KEYS: &[&str] = &["jvm.version", "jvm.heap_max", "jvm.gc_time", "jvm.full_gcs"];

pub(super) const GC_LOG_KEYS: &[&str] = &["jvm.gc_pause_max", "jvm.full_gcs_in_hour"];

pub(super) const CRASH_KEYS: &[&str] = &["jvm.crash_files"];

/// The file is 32 KiB unless `-XX:PerfDataMemorySize` says otherwise.
const PERF_DATA: u64 = 1024 * 1024;

/// What is read of GC logs at most, the newest first: some 100,000 collections.
const GC_LOGS: u64 = 16 * 1024 * 1024;

/// How far back a host is looked at that was never inspected.
const FIRST: SignedDuration = SignedDuration::from_hours(24);

/// How many files of crashes are named.
const CRASHES: usize = 100;

type Counters = BTreeMap<String, Value>;

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    for service in scene.services()? {
        let part = service.part();
        let process = match service.running() {
            Ok(process) => process,
            Err(gap) => {
                for key in KEYS {
                    sink.gap(key, Some(part.clone()), gap.clone(), "hsperfdata");
                }
                continue;
            }
        };
        let counters = counters(scene, process);
        match counters.clone().and_then(|counters| text(&counters, "java.property.java.version")) {
            Ok(version) => sink.tell_of(&part, "jvm.version", "hsperfdata", Ok(Datum::Text(version))),
            Err(_) => {
                let told = release(scene, process).map(Datum::Text);
                sink.put("jvm.version", Some(part.clone()), "release of the Java home", told, Confidence::Medium);
            }
        }
        let flags = counters.clone().and_then(|counters| text(&counters, "java.rt.vmArgs")).unwrap_or_default();
        let words = process.words.iter().map(String::as_str).chain(flags.split_whitespace());
        sink.tell_of(&part, "jvm.heap_max", "/proc/<pid>/cmdline, hsperfdata", Ok(Datum::Int(heap_max(words))));
        let time = counters.clone().and_then(|counters| process::counter(scene, process, gc_time(&counters)?));
        sink.tell_of(&part, "jvm.gc_time", "hsperfdata", time);
        let full = counters.and_then(|counters| process::counter(scene, process, full_gcs(&counters)?));
        sink.tell_of(&part, "jvm.full_gcs", "hsperfdata", full);
    }
    Ok(())
}

/// The file lies in the `/tmp` that the process sees, under the number that it has there: a container may have both of
/// its own.
fn counters(scene: &Scene<'_>, process: &Process) -> Result<Counters, Gap> {
    let lines = scene.need(&format!("/proc/{}/status", process.pid))?;
    let inner = status(&lines, "NSpid").and_then(|pids| pids.split_whitespace().next_back()?.parse::<u32>().ok());
    let pid = inner.unwrap_or(process.pid);
    let uid = status(&lines, "Uid").and_then(|uids| uids.split_whitespace().next()?.parse().ok());
    let uid: u32 = uid.ok_or_else(|| Gap::unreadable("/proc/<pid>/status has no Uid"))?;
    let user = scene.host().user_by_id(uid)?.map(|user| user.name);
    // Users of a container have names that this host does not know; then every folder is tried.
    let tmp = seen_by(scene.host(), process, "/tmp");
    let folders = match user {
        Some(user) => vec![format!("hsperfdata_{user}")],
        None => scene.list(&tmp)?.unwrap_or_default(),
    };
    for folder in folders.iter().filter(|folder| folder.starts_with("hsperfdata_")) {
        let path = format!("{tmp}/{folder}/{pid}");
        if let Some(bytes) = scene.read(&path, PERF_DATA)? {
            return hsperfdata::parse(&bytes).map_err(|error| Gap::Unreadable(format!("{path}: {error}")));
        }
    }
    Err(Gap::unreadable("the JVM has no hsperfdata (-XX:-UsePerfData and -XX:+PerfDisableSharedMem take it away)"))
}

fn text(counters: &Counters, name: &str) -> Result<String, Gap> {
    match counters.get(name) {
        Some(Value::Text(text)) => Ok(text.clone()),
        Some(Value::Long(_)) | None => Err(Gap::Unreadable(format!("hsperfdata has no {name}"))),
    }
}

fn long(counters: &Counters, name: &str) -> Result<i64, Gap> {
    match counters.get(name) {
        Some(Value::Long(number)) => Ok(*number),
        Some(Value::Text(_)) | None => Err(Gap::Unreadable(format!("hsperfdata has no {name}"))),
    }
}

/// `JAVA_VERSION="17.0.9"` of the file `release`, two levels above the program.
fn release(scene: &Scene<'_>, process: &Process) -> Result<String, Gap> {
    let link = format!("/proc/{}/exe", process.pid);
    let java = scene.stat(&link, false)?.and_then(|stat| stat.target);
    let home = java.as_deref().and_then(Path::parent).and_then(Path::parent);
    let home = home.ok_or_else(|| Gap::Unreadable(format!("{link} leads nowhere")))?;
    let path = seen_by(scene.host(), process, &home.join("release").display().to_string());
    let text = scene.text(&path)?.ok_or_else(|| Gap::Unreadable(format!("{path} does not exist")))?;
    let version = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="));
    let version = version.map(|version| version.trim().trim_matches('"').to_owned());
    version.ok_or_else(|| Gap::Unreadable(format!("{path} has no JAVA_VERSION")))
}

/// The last of the flags that set the largest heap; 0 when none does.
fn heap_max<'a>(words: impl Iterator<Item = &'a str>) -> i64 {
    let value = |word: &'a str| word.strip_prefix("-Xmx").or_else(|| word.strip_prefix("-XX:MaxHeapSize="));
    words.filter_map(value).filter_map(bytes).last().unwrap_or(0)
}

/// A size as the JVM takes it.
fn bytes(text: &str) -> Option<i64> {
    let (number, shift) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 10),
        (at, 'm' | 'M') => (&text[..at], 20),
        (at, 'g' | 'G') => (&text[..at], 30),
        (at, 't' | 'T') => (&text[..at], 40),
        _ => (text, 0),
    };
    number.parse::<i64>().ok()?.checked_mul(1 << shift)
}

/// Ticks of both collectors in milliseconds. ZGC has neither and counts the pauses of its cycles in a third.
fn gc_time(counters: &Counters) -> Result<i64, Gap> {
    let frequency = long(counters, "sun.os.hrt.frequency")?;
    let of = |n: u8| long(counters, &format!("sun.gc.collector.{n}.time")).ok();
    let both: Vec<i64> = (0..2).filter_map(of).collect();
    let ticks: Vec<i64> = if both.is_empty() { of(2).into_iter().collect() } else { both };
    if ticks.is_empty() || frequency <= 0 {
        return Err(Gap::unreadable("hsperfdata has no times of collectors"));
    }
    let all: i128 = ticks.iter().map(|ticks| i128::from(*ticks)).sum();
    Ok(i64::try_from(all * 1000 / i128::from(frequency)).unwrap_or(i64::MAX))
}

/// Names of collectors of the whole heap: 17 and later say "full collection pauses", G1 of 8 and 11 "stop-the-world full
/// collections", the parallel collectors of 8 and 11 have these two (CollectorCounters in OpenJDK).
const FULL: [&str; 2] = ["PSParallelCompact", "MSC"];

fn full_gcs(counters: &Counters) -> Result<i64, Gap> {
    let name = text(counters, "sun.gc.collector.1.name").map_err(|_| Gap::not_here("it has no second collector"))?;
    if name.contains("full collection") || FULL.contains(&name.as_str()) {
        return long(counters, "sun.gc.collector.1.invocations");
    }
    Err(Gap::NotHere(format!("its second collector, {name}, does not make full collections")))
}

pub(super) fn gc_logs(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    for service in scene.services()? {
        let part = service.part();
        let logs = service.running().and_then(|process| gc_log_of(scene, process));
        let (trust, source) = match &logs {
            Ok(logs) if !logs.whole => (Confidence::Medium, logs.path.clone()),
            Ok(logs) => (Confidence::High, logs.path.clone()),
            Err(_) => (Confidence::High, "the GC log".to_owned()),
        };
        let pauses = logs.map(|logs| logs.pauses);
        let longest = pauses.clone().map(|pauses| Datum::Float(gc_log::longest(&pauses)));
        sink.put("jvm.gc_pause_max", Some(part.clone()), &source, longest, trust);
        let full =
            pauses.map(|pauses| Datum::Int(i64::try_from(gc_log::most_full_in_hour(&pauses)).unwrap_or(i64::MAX)));
        sink.put("jvm.full_gcs_in_hour", Some(part), &source, full, trust);
    }
    Ok(())
}

/// What GC logs say since the last inspection.
struct GcLogs {
    path: String,
    pauses: Vec<Pause>,
    /// They go back as far as the last inspection.
    whole: bool,
}

fn gc_log_of(scene: &Scene<'_>, process: &Process) -> Result<GcLogs, Gap> {
    let path = gc_log_path(&process.words, process.pid).ok_or_else(|| Gap::not_here("it writes no GC log"))?;
    let path = absolute(scene, process, &path)?;
    let since = scene.params.since.unwrap_or_else(|| scene.now().saturating_sub(FIRST).unwrap_or(scene.now()));
    let begun = process::start(scene, process).map(|(begun, _)| begun).ok();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("/", path.as_str()));
    let folder = seen_by(scene.host(), process, folder);
    let mut files = Vec::new();
    for found in scene.list(&folder)?.unwrap_or_default() {
        // Rotated ones have a number, which JDK 8 gives the current one as well.
        let rest = found.strip_prefix(name).map(|rest| rest.trim_start_matches('.'));
        if rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.') || rest.ends_with("current")) {
            let file = format!("{folder}/{found}");
            if let Some(stat) = scene.stat(&file, true)? {
                files.push((stat.mtime_ns, stat.size, file));
            }
        }
    }
    if files.is_empty() {
        return Err(Gap::Unreadable(format!("{path} does not exist")));
    }
    files.sort_by(|one, other| other.cmp(one));
    let (mut pauses, mut left, mut whole) = (Vec::new(), GC_LOGS, true);
    for (changed, size, file) in files {
        if changed < since.as_nanosecond() {
            break;
        }
        let from = size.saturating_sub(left);
        let text = scene.part(&file, from, left)?.unwrap_or_default();
        let found = gc_log::pauses(&String::from_utf8_lossy(&text), begun);
        let reaches = found.first().is_some_and(|first| first.at < since);
        whole &= from == 0 || reaches;
        pauses.extend(found.into_iter().filter(|pause| pause.at >= since));
        left = left.saturating_sub(size.saturating_sub(from));
        if reaches {
            break;
        }
        if left == 0 {
            whole = false;
            break;
        }
    }
    Ok(GcLogs { path, pauses, whole })
}

/// Where a JVM writes its GC log: `-Xlog:gc*:file=PATH:time:...` or `-Xloggc:PATH`; the last flag counts.
fn gc_log_path(words: &[String], pid: u32) -> Option<String> {
    let path = words.iter().rev().find_map(|word| {
        if let Some(path) = word.strip_prefix("-Xloggc:") {
            return Some(path.to_owned());
        }
        let rest = word.strip_prefix("-Xlog:")?;
        let (what, output) = rest.split_once(':')?;
        let output = output.strip_prefix("file=").unwrap_or(output);
        if !what.contains("gc") || matches!(output.split(':').next(), Some("stdout" | "stderr" | "")) {
            return None;
        }
        match output.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().map(str::to_owned),
            None => output.split(':').next().map(str::to_owned),
        }
    })?;
    Some(path.replace("%p", &pid.to_string()))
}

/// A path as the process means it: from its own folder on.
fn absolute(scene: &Scene<'_>, process: &Process, path: &str) -> Result<String, Gap> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    Ok(format!("{}/{path}", folder_of(scene, process)?.trim_end_matches('/')))
}

fn folder_of(scene: &Scene<'_>, process: &Process) -> Result<String, Gap> {
    let link = format!("/proc/{}/cwd", process.pid);
    let folder = scene.stat(&link, false)?.and_then(|stat| stat.target);
    let folder = folder.ok_or_else(|| Gap::Unreadable(format!("{link} leads nowhere")))?;
    Ok(folder.display().to_string())
}

pub(super) fn crashes(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    for service in scene.services()? {
        let told = service.running().and_then(|process| crash_files(scene, process)).map(Datum::List);
        sink.tell_of(&service.part(), "jvm.crash_files", "the process's folder, ErrorFile, HeapDumpPath", told);
    }
    Ok(())
}

/// Files of fatal errors and heap dumps, each with the time of its last change.
fn crash_files(scene: &Scene<'_>, process: &Process) -> Result<Vec<String>, Gap> {
    let mut places = vec![(folder_of(scene, process)?, None)];
    for flag in ["-XX:ErrorFile=", "-XX:HeapDumpPath="] {
        let Some(path) = process.words.iter().rev().find_map(|word| word.strip_prefix(flag)) else { continue };
        let path = absolute(scene, process, path)?;
        let seen = seen_by(scene.host(), process, &path);
        let is_folder = scene.stat(&seen, true)?.is_some_and(|stat| stat.kind == crate::host::FileKind::Directory);
        match path.rsplit_once('/') {
            _ if is_folder => places.push((path, None)),
            Some((folder, name)) => places.push((folder.to_owned(), Some(name.to_owned()))),
            None => {}
        }
    }
    let mut found = BTreeMap::new();
    for (folder, name) in places {
        let seen = seen_by(scene.host(), process, &folder);
        for file in scene.list(&seen)?.unwrap_or_default() {
            if is_crash(&file, name.as_deref())
                && let Some(stat) = scene.stat(format!("{seen}/{file}"), true)?
            {
                found.insert(format!("{}/{file}", folder.trim_end_matches('/')), stat.mtime_ns);
            }
        }
    }
    let time = |ns: i128| Timestamp::from_second(i64::try_from(ns / 1_000_000_000).unwrap_or(0)).unwrap_or_default();
    Ok(found.into_iter().map(|(path, ns)| format!("{path} {}", time(ns))).take(CRASHES).collect())
}

/// `hs_err_pid123.log`, `java_pid123.hprof`, or a name of the operator's in which `%p` stands for the number.
fn is_crash(file: &str, name: Option<&str>) -> bool {
    let between = |head: &str, tail: &str| {
        file.len() >= head.len() + tail.len() && file.starts_with(head) && file.ends_with(tail)
    };
    let own = name.is_some_and(|name| match name.split_once("%p") {
        Some((head, tail)) => between(head, tail),
        None => file == name,
    });
    own || between("hs_err_pid", ".log") || between("java_pid", ".hprof")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_last_flag_of_the_heap_counts() {
        for (text, wanted) in [
            ("java -Xmx1G -Xms1G -Xmx2g kafka.Kafka", 2 << 30),
            ("java -XX:MaxHeapSize=512m", 512 << 20),
            ("java -Xmx1048576", 1 << 20),
            ("java -Xmxmuch", 0),
            ("java", 0),
        ] {
            assert_eq!(heap_max(text.split(' ')), wanted, "{text}");
        }
    }

    #[test]
    fn the_gc_log_is_where_the_last_flag_says() {
        for (text, wanted) in [
            (
                "java -Xlog:gc*:file=/var/log/kafka/gc.log:time,tags:filecount=10,filesize=100M",
                Some("/var/log/kafka/gc.log"),
            ),
            ("java -Xlog:gc*:file=\"/var/log/a:b.log\":time", Some("/var/log/a:b.log")),
            ("java -Xlog:gc:/var/log/gc-%p.log", Some("/var/log/gc-7.log")),
            ("java -Xloggc:logs/gc.log -verbose:gc", Some("logs/gc.log")),
            ("java -Xlog:gc*:stdout -Xlog:safepoint:file=/s.log", None),
            ("java -Xlog:gc", None),
        ] {
            assert_eq!(gc_log_path(&words(text), 7).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn full_collections_are_told_by_the_name_of_their_collector() {
        let counters = |name: &str| {
            Counters::from([
                ("sun.gc.collector.1.name".to_owned(), Value::Text(name.to_owned())),
                ("sun.gc.collector.1.invocations".to_owned(), Value::Long(3)),
            ])
        };
        for name in ["G1 full collection pauses", "G1 stop-the-world full collections", "PSParallelCompact", "MSC"] {
            assert_eq!(full_gcs(&counters(name)), Ok(3), "{name}");
        }
        assert!(matches!(full_gcs(&counters("CMS")), Err(Gap::NotHere(_))));
        assert!(matches!(full_gcs(&Counters::new()), Err(Gap::NotHere(_))));
    }

    #[test]
    fn the_time_of_collections_is_in_milliseconds() {
        let mut counters = Counters::from([("sun.os.hrt.frequency".to_owned(), Value::Long(1_000_000_000))]);
        assert!(gc_time(&counters).is_err());
        for (n, time) in [(0, 1_500_000_000), (1, 500_000_000)] {
            counters.insert(format!("sun.gc.collector.{n}.time"), Value::Long(time));
        }
        assert_eq!(gc_time(&counters), Ok(2000));
    }

    #[test]
    fn files_of_crashes_are_known_by_their_names() {
        for (file, name, wanted) in [
            ("hs_err_pid12.log", None, true),
            ("java_pid12.hprof", None, true),
            ("server.log", None, false),
            ("crash-12.txt", Some("crash-%p.txt"), true),
            ("crash-12.log", Some("crash-%p.txt"), false),
            ("dump", Some("dump"), true),
        ] {
            assert_eq!(is_crash(file, name), wanted, "{file}");
        }
    }
}
