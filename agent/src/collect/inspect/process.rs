//! The processes of the services, as the kernel keeps them.

use super::scene::Scene;
use super::services::{Found, Process, Service, stat_field};
use super::sink::{Gap, Sink, Told};
use super::system;
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::{Confidence, Counter, Datum, Part, PartKind};

pub(super) const KEYS: &[&str] = &[
    "process.state",
    "process.swap",
    "process.maps",
    "process.fds",
    "process.nofile",
    "process.nofile.unit",
    "unit.restarts",
];

/// Lines of `maps` have some hundred bytes: room for a million of them.
const MAPS: u64 = 256 * 1024 * 1024;

/// Ticks of `/proc/<pid>/stat` in a second: Linux shows them so to programs on every architecture.
const USER_HZ: u64 = 100;

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    for service in scene.services()? {
        let part = service.part();
        let state = match &service.found {
            Found::InUnit(_) => "unit",
            Found::Outside(_) => "outside",
            Found::Absent => "absent",
        };
        sink.tell_of(&part, "process.state", "/proc/*/cmdline, /proc/*/cgroup", Ok(Datum::Text(state.to_owned())));
        let running = service.running();
        let of = |read: fn(&Scene<'_>, &Process) -> Told| running.clone().and_then(|process| read(scene, process));
        sink.tell_of(&part, "process.swap", "/proc/<pid>/status", of(swap));
        sink.tell_of(&part, "process.maps", "/proc/<pid>/maps", of(maps));
        sink.tell_of(&part, "process.fds", "/proc/<pid>/fd", of(open_files));
        sink.tell_of(&part, "process.nofile", "/proc/<pid>/limits", of(|scene, process| nofile(scene, process.pid)));
        unit_limit(scene, service, sink);
        restarts(scene, service, sink);
    }
    Ok(())
}

/// A line of `/proc/<pid>/status`.
pub(super) fn status(text: &str, name: &str) -> Option<String> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(rest.trim().to_owned())
}

/// When a process began; and what tells it from every other one that had or will have its number.
pub(super) fn start(scene: &Scene<'_>, process: &Process) -> Result<(Timestamp, String), Gap> {
    let stat = scene.need(&format!("/proc/{}/stat", process.pid))?;
    let ticks = stat_field(&stat, 22).ok_or_else(|| Gap::unreadable("/proc/<pid>/stat has no start time"))?;
    let since_boot = SignedDuration::from_millis(i64::try_from(ticks * 1000 / USER_HZ).unwrap_or(i64::MAX));
    let begun = system::booted(scene)?.checked_add(since_boot);
    let begun = begun.map_err(|error| Gap::Unreadable(format!("the start time of the process: {error}")))?;
    Ok((begun, format!("{}:{ticks}", process.pid)))
}

/// A counter that begins with its process.
pub(super) fn counter(scene: &Scene<'_>, process: &Process, value: i64) -> Told {
    let (since, epoch) = start(scene, process)?;
    Ok(Datum::Counter(Counter { value, epoch, since: Some(since) }))
}

fn swap(scene: &Scene<'_>, process: &Process) -> Told {
    let text = scene.need(&format!("/proc/{}/status", process.pid))?;
    kibibytes(&text, "VmSwap")
}

fn kibibytes(text: &str, name: &str) -> Told {
    let value = status(text, name).ok_or_else(|| Gap::NotHere(format!("the kernel keeps no {name}")))?;
    let number = value.split_whitespace().next().and_then(|number| number.parse::<i64>().ok());
    number.map(|number| Datum::Int(number * 1024)).ok_or_else(|| Gap::Unreadable(format!("{name} is {value:?}")))
}

fn maps(scene: &Scene<'_>, process: &Process) -> Told {
    scene.go_on()?;
    let path = format!("/proc/{}/maps", process.pid);
    let lines = scene.host().count_lines(path.as_ref(), MAPS)?;
    let lines = lines.ok_or_else(|| Gap::Unreadable(format!("{path} is gone")))?;
    Ok(Datum::Int(i64::try_from(lines).unwrap_or(i64::MAX)))
}

fn open_files(scene: &Scene<'_>, process: &Process) -> Told {
    let path = format!("/proc/{}/fd", process.pid);
    let open = scene.list(&path)?.ok_or_else(|| Gap::Unreadable(format!("{path} is gone")))?;
    Ok(Datum::Int(i64::try_from(open.len()).unwrap_or(i64::MAX)))
}

fn nofile(scene: &Scene<'_>, pid: u32) -> Told {
    let path = format!("/proc/{pid}/limits");
    let limits = scene.need(&path)?;
    soft_limit(&limits).map(Datum::Int).ok_or_else(|| Gap::Unreadable(format!("{path} has no row Max open files")))
}

fn soft_limit(limits: &str) -> Option<i64> {
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match row.split_whitespace().next()? {
        "unlimited" => Some(i64::MAX),
        number => number.parse().ok(),
    }
}

/// What a new process would get: the unit says it; under supervisord it is what supervisord itself has, which raised its
/// own limit to `minfds` when it began.
fn unit_limit(scene: &Scene<'_>, service: &Service, sink: &mut Sink) {
    let part = service.part();
    let key = "process.nofile.unit";
    let unit = match &service.unit {
        Ok(unit) => unit,
        Err(gap) => return sink.gap(key, Some(part), gap.clone(), "the unit"),
    };
    if let Some(limit) = unit.open_files {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        return sink.tell_of(&part, key, "LimitNOFILESoft of the unit", Ok(Datum::Int(limit)));
    }
    let parent = service.running().and_then(|process| {
        let stat = scene.need(&format!("/proc/{}/stat", process.pid))?;
        let parent = stat_field(&stat, 4).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        parent.ok_or_else(|| Gap::unreadable("the process has no parent that could be seen"))
    });
    let told = parent.and_then(|pid| nofile(scene, pid));
    sink.put(key, Some(part), "/proc/<pid of its parent>/limits", told, Confidence::Medium);
}

fn restarts(scene: &Scene<'_>, service: &Service, sink: &mut Sink) {
    let part = Part::new(PartKind::Unit, service.unit.as_ref().map_or(service.params.unit(), |unit| &unit.name));
    let told = match &service.unit {
        Err(gap) => Err(gap.clone()),
        Ok(unit) => match unit.restarts {
            None => Err(Gap::not_here("the service manager does not count restarts")),
            Some(count) => system::kernel_counter(scene, count),
        },
    };
    sink.tell_of(&part, "unit.restarts", "NRestarts of the unit", told);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_blanks_in_their_names() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             63419                63419                processes \n\
                    Max open files            100000               524288               files     \n";
        assert_eq!(soft_limit(text), Some(100_000));
        let text = "Max open files            unlimited            unlimited            files     \n";
        assert_eq!(soft_limit(text), Some(i64::MAX));
        assert_eq!(soft_limit("Max processes 1 1 processes\n"), None);
    }

    #[test]
    fn sizes_of_a_status_are_kibibytes() {
        let text = "Name:\tjava\nVmSwap:\t     128 kB\nUid:\t1001\t1001\t1001\t1001\n";
        assert_eq!(kibibytes(text, "VmSwap"), Ok(Datum::Int(131_072)));
        assert!(matches!(kibibytes(text, "VmLck"), Err(Gap::NotHere(_))));
        assert_eq!(status(text, "Uid").as_deref(), Some("1001\t1001\t1001\t1001"));
    }
}
