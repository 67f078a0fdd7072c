//! From rules to one host: which items it has, what each shall be, and where each is read and kept.

use crate::persist::Keep;
use crate::rules::{Place, Want};
use crate::{Machine, Mount, Profile, RULES, Rule, Wanted};
use kfleet_model::module::nearest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Something of the running kernel that can be read and set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Knob {
    /// A file of the kernel below `/proc/sys` or `/sys`.
    Kernel {
        /// Its path.
        path: PathBuf,
    },
    /// How a mount keeps access times: `noatime`, `relatime` or `strictatime`.
    Atime {
        /// Where it is mounted.
        dir: String,
    },
    /// A swap space: `off`, or `on PRIORITY`.
    Swap {
        /// The device or file.
        file: PathBuf,
    },
}

/// Where the live value of an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// In these; all of them shall be the same.
    Knobs(Vec<Knob>),
    /// In this row of the service's `/proc/PID/limits`.
    Process(&'static str),
    /// In what systemd has loaded of the unit.
    StopTimeout,
}

/// An item that can not be judged by its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bar {
    /// There is no such thing here, for this reason.
    NotHere(String),
    /// It does not satisfy and can not be set.
    Refused(String),
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Choices {
    /// What the host is tuned for.
    pub profile: Profile,
    /// Values in place of the rules', by id. An item that the profile does not have is added by its value.
    pub settings: BTreeMap<String, String>,
    /// Ids, or beginnings of ids up to a dot, that are left alone.
    pub leave_out: Vec<String>,
}

/// One item of one host before it was read.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its id.
    pub id: String,
    /// What it shall be.
    pub wanted: Wanted,
    /// Where it is read.
    pub live: Watched,
    pub(crate) keep: Keep,
    pub(crate) rule: &'static Rule,
    pub(crate) bar: Option<Bar>,
    /// The operator does not want it.
    pub left_out: bool,
}

/// Why a choice is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No rule has this id.
    #[error("{param} names no item: {id:?}{}", nearest.as_ref().map(|near| format!(" (did you mean {near}?)")).unwrap_or_default())]
    Unknown {
        /// Which parameter.
        param: &'static str,
        /// The id.
        id: String,
        /// The nearest one.
        nearest: Option<String>,
    },
    /// The item can not have this value.
    #[error("{id} can not be {value:?}: {allowed}")]
    Value {
        /// The item.
        id: String,
        /// The value.
        value: String,
        /// What it can be.
        allowed: &'static str,
    },
}

/// The items of a host.
///
/// # Errors
/// With everything that is wrong with the choices.
pub fn specs(choices: &Choices, machine: &Machine) -> Result<Vec<Spec>, Vec<SpecError>> {
    let wrong = mistakes(choices);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(RULES.iter().flat_map(|rule| of_rule(rule, choices, machine)).collect())
}

fn mistakes(choices: &Choices) -> Vec<SpecError> {
    let unknown = |param, id: &String| SpecError::Unknown {
        param,
        id: id.clone(),
        nearest: nearest(id, RULES.iter().map(|rule| rule.id)),
    };
    let mut wrong = Vec::new();
    for (id, value) in &choices.settings {
        let rule = RULES.iter().find(|rule| is_of(id, rule.id));
        match rule.map(|rule| allowed(rule.place)) {
            None => wrong.push(unknown("settings", id)),
            Some(words) if words.is_empty() || words.contains(&value.as_str()) => {}
            Some(words) => {
                wrong.push(SpecError::Value { id: id.clone(), value: value.clone(), allowed: words_of(words) });
            }
        }
        if value.trim().is_empty() || value.contains('\n') {
            let allowed = "a value of one line is needed; leave_out leaves an item alone";
            wrong.push(SpecError::Value { id: id.clone(), value: value.clone(), allowed });
        }
    }
    wrong.extend(choices.leave_out.iter().filter(|part| !names_any(part)).map(|part| unknown("leave_out", part)));
    wrong
}

/// The only values that an item can have, where kfleet itself gives them their meaning.
fn allowed(place: Place) -> &'static [&'static str] {
    match place {
        Place::Atime => &["noatime", "relatime", "strictatime"],
        Place::Swap => &["off"],
        Place::Sysctl(_)
        | Place::Sys(_)
        | Place::Limit(..)
        | Place::StopTimeout
        | Place::Scheduler { .. }
        | Place::ReadAhead { .. }
        | Place::Governor => &[],
    }
}

fn words_of(words: &[&str]) -> &'static str {
    if words.len() == 1 { "off is all that it can be" } else { "noatime, relatime and strictatime are all there is" }
}

/// Whether an id is one of a rule's, whose `*` stands for any name.
fn is_of(id: &str, rule: &str) -> bool {
    match rule.split_once('*') {
        None => id == rule,
        Some((head, tail)) => {
            id.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail)).is_some_and(|name| !name.is_empty())
        }
    }
}

/// Whether a part of `leave_out` names an item.
fn names(part: &str, id: &str) -> bool {
    id.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a part of `leave_out` can name an item on some host.
fn names_any(part: &str) -> bool {
    RULES.iter().any(|rule| {
        let head = rule.id.split('*').next().unwrap_or_default();
        names(part, rule.id) || (head != rule.id && part.len() > head.len() && part.starts_with(head))
    })
}

fn of_rule(rule: &'static Rule, choices: &Choices, machine: &Machine) -> Vec<Spec> {
    let want = rule.want(choices.profile);
    let mut specs = Vec::new();
    for spot in spots(rule, machine) {
        let id = rule.id.replace('*', &spot.name);
        let own = choices.settings.get(&id).map(|value| Wanted::Exactly(value.trim().to_owned()));
        let Some(wanted) = own.or_else(|| want.map(|want| resolve(want, &spot, machine))) else { continue };
        let left_out = choices.leave_out.iter().any(|part| names(part, &id));
        let idle = wanted == Wanted::Holds(BTreeSet::new());
        let idle = idle.then(|| Bar::NotHere("no listener's port is among the ephemeral ones".to_owned()));
        let bar = spot.bar.or(idle);
        specs.push(Spec { id, wanted, live: spot.live, keep: spot.keep, rule, bar, left_out });
    }
    specs
}

/// One place of a rule on a host.
struct Spot {
    /// What stands for the `*` of the id.
    name: String,
    live: Watched,
    keep: Keep,
    bar: Option<Bar>,
}

fn kernel(path: impl Into<PathBuf>) -> Watched {
    Watched::Knobs(vec![Knob::Kernel { path: path.into() }])
}

fn spots(rule: &Rule, machine: &Machine) -> Vec<Spot> {
    let one = |live, keep, bar| vec![Spot { name: String::new(), live, keep, bar }];
    match rule.place {
        Place::Sysctl(key) => {
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            one(kernel(path), Keep::Sysctl(key.to_owned()), in_bytes(key, machine))
        }
        Place::Sys(path) => one(kernel(path), Keep::Tmpfiles(path.to_owned()), None),
        Place::Limit(key, row) => one(Watched::Process(row), Keep::Unit(key), without_unit(machine)),
        Place::StopTimeout => one(Watched::StopTimeout, Keep::Unit("TimeoutStopSec"), without_unit(machine)),
        Place::Scheduler { rotational } => {
            let disks = machine.disks.iter().filter(|disk| disk.rotational == rotational);
            disks.map(|disk| of_queue(&disk.name, "scheduler")).collect()
        }
        Place::ReadAhead { rotational } => {
            let volumes = machine.volumes.iter().filter(|volume| volume.rotational == rotational);
            volumes.map(|volume| of_queue(&volume.name, "read_ahead_kb")).collect()
        }
        Place::Atime => machine.mounts.iter().map(of_mount).collect(),
        Place::Swap => {
            let knobs = machine.swaps.iter().map(|file| Knob::Swap { file: file.clone() }).collect();
            one(Watched::Knobs(knobs), Keep::FstabSwap, None)
        }
        Place::Governor => {
            let knobs: Vec<Knob> = machine.governors.iter().map(|path| Knob::Kernel { path: path.clone() }).collect();
            let bar = knobs
                .is_empty()
                .then(|| Bar::NotHere("the frequency of its processors is not set from here".to_owned()));
            let all = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor";
            one(Watched::Knobs(knobs), Keep::Tmpfiles(all.to_owned()), bar)
        }
    }
}

fn of_queue(device: &str, file: &str) -> Spot {
    let path = format!("/sys/block/{device}/queue/{file}");
    Spot { name: device.to_owned(), live: kernel(&path), keep: Keep::Tmpfiles(path), bar: None }
}

fn of_mount(mount: &Mount) -> Spot {
    let bar = match (mount.dir.as_str(), mount.on_disk) {
        ("/", _) => Some("the data lies on the root file system, which is not the service's alone".to_owned()),
        (_, false) => Some(format!("the data lies on {}, which is no file system of a disk", mount.kind)),
        (_, true) => None,
    };
    Spot {
        name: mount.dir.clone(),
        live: Watched::Knobs(vec![Knob::Atime { dir: mount.dir.clone() }]),
        keep: Keep::Fstab(mount.dir.clone()),
        bar: bar.map(Bar::NotHere),
    }
}

/// A ratio of dirty pages is without effect where bytes are set in its place, and setting it would undo the bytes.
/// 1 GiB is the inspection's bound.
fn in_bytes(key: &str, machine: &Machine) -> Option<Bar> {
    let (twin, bytes, least) = match key {
        "vm.dirty_ratio" => ("vm.dirty_bytes", machine.dirty_bytes, 1 << 30),
        "vm.dirty_background_ratio" => ("vm.dirty_background_bytes", machine.dirty_background_bytes, 0),
        _ => return None,
    };
    let why = format!("{twin} is set to {bytes} in its place");
    match bytes {
        0 => None,
        bytes if bytes >= least => Some(Bar::NotHere(why)),
        _ => Some(Bar::Refused(format!("{why}, which is below 1 GiB; set it to 0 first"))),
    }
}

fn without_unit(machine: &Machine) -> Option<Bar> {
    match (machine.systemd, &machine.unit) {
        (false, _) => Some(Bar::NotHere("systemd does not keep this host's services".to_owned())),
        (true, None) => {
            Some(Bar::NotHere("there is no such unit on this host (parameter service names it)".to_owned()))
        }
        (true, Some(_)) => None,
    }
}

/// So much of a limit may be in use before the inspection warns (`sysctl.max_map_count`, `limits.fd_expected`).
const MAPS_SHARE: u64 = 70;
const FILES_SHARE: u64 = 60;

fn resolve(want: Want, spot: &Spot, machine: &Machine) -> Wanted {
    let owned = |words: &[&str]| Wanted::OneOf(words.iter().map(|&word| word.to_owned()).collect());
    let segments = machine.partitions.saturating_mul(machine.segments_per_partition.max(1));
    // Two maps (offset and time index) and three files (with the log itself) a segment: Kafka, "OS".
    let needed = |each: u64, share: u64| segments.saturating_mul(each).saturating_mul(100).div_ceil(share);
    match want {
        Want::Exactly(value) => Wanted::Exactly(value.to_owned()),
        // An NVMe disk has queues of its own: the inspection wants none there.
        Want::OneOf(words) if words.contains(&"none") && spot.name.starts_with("nvme") => owned(&["none"]),
        Want::OneOf(words) => owned(words),
        Want::AtLeast(least) => Wanted::AtLeast(least),
        Want::AtMost(most, set) => Wanted::AtMost { most, set },
        Want::LastAtLeast(least) => Wanted::LastAtLeast(least),
        Want::Covers(low, high) => Wanted::Covers(low, high),
        Want::Ports => {
            let (low, high) = machine.port_range.unwrap_or((0, 0));
            let inside: BTreeSet<u16> = machine.ports.iter().copied().filter(|p| (low..=high).contains(p)).collect();
            Wanted::Holds(inside)
        }
        Want::Maps(least) => Wanted::AtLeast(least.max(needed(2, MAPS_SHARE))),
        Want::Files(least) => Wanted::AtLeast(least.max(needed(3, FILES_SHARE))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Volume};

    fn choices(profile: Profile) -> Choices {
        Choices { profile, settings: BTreeMap::new(), leave_out: Vec::new() }
    }

    fn machine() -> Machine {
        let disk = |name: &str, rotational| Disk { name: name.to_owned(), rotational };
        Machine {
            systemd: true,
            unit: Some("kafka.service".into()),
            disks: vec![disk("nvme0n1", false), disk("sda", true), disk("vda", false)],
            volumes: vec![Volume { name: "dm-0".into(), rotational: true }],
            mounts: vec![
                Mount { dir: "/data/1".into(), kind: "xfs".into(), on_disk: true },
                Mount { dir: "/".into(), kind: "ext4".into(), on_disk: true },
                Mount { dir: "/tmp".into(), kind: "tmpfs".into(), on_disk: false },
            ],
            ..Machine::default()
        }
    }

    fn find<'a>(specs: &'a [Spec], id: &str) -> &'a Spec {
        specs.iter().find(|spec| spec.id == id).unwrap_or_else(|| panic!("{id} is missing"))
    }

    #[test]
    fn each_disk_volume_and_mount_is_an_item_with_its_own_wanted_value() {
        let specs = specs(&choices(Profile::Broker), &machine()).unwrap();
        assert_eq!(find(&specs, "block.nvme0n1.scheduler").wanted, Wanted::OneOf(vec!["none".into()]));
        assert_eq!(find(&specs, "block.sda.scheduler").wanted.target(None).as_deref(), Some("mq-deadline"));
        assert_eq!(find(&specs, "block.vda.scheduler").wanted.target(None).as_deref(), Some("none"));
        assert_eq!(find(&specs, "block.dm-0.read_ahead_kb").wanted, Wanted::AtLeast(4096));
        assert_eq!(find(&specs, "mount./data/1.noatime").bar, None);
        for barred in ["mount./.noatime", "mount./tmp.noatime"] {
            assert!(matches!(find(&specs, barred).bar, Some(Bar::NotHere(_))), "{barred}");
        }
        assert!(!specs.iter().any(|spec| spec.id == "swap"), "a broker's swap is left to swappiness");
    }

    #[test]
    fn partitions_raise_maps_and_files_and_never_lower_them() {
        let at = |partitions| {
            let machine = Machine { partitions, segments_per_partition: 10, ..machine() };
            let specs = specs(&choices(Profile::Broker), &machine).unwrap();
            (find(&specs, "sysctl.vm.max_map_count").wanted.clone(), find(&specs, "limits.nofile").wanted.clone())
        };
        assert_eq!(at(0), (Wanted::AtLeast(262_144), Wanted::AtLeast(100_000)));
        assert_eq!(at(100), (Wanted::AtLeast(262_144), Wanted::AtLeast(100_000)));
        // 210000 segments: 420000 maps are 70 % of 600000, 630000 files are 60 % of 1050000.
        assert_eq!(at(21_000), (Wanted::AtLeast(600_000), Wanted::AtLeast(1_050_000)));
    }

    #[test]
    fn only_listeners_in_the_ephemeral_range_are_reserved() {
        let ports = [9092, 39_092].into_iter().collect();
        let machine = Machine { ports, port_range: Some((32_768, 60_999)), ..machine() };
        let specs = specs(&choices(Profile::Broker), &machine).unwrap();
        let wanted = &find(&specs, "sysctl.net.ipv4.ip_local_reserved_ports").wanted;
        assert_eq!(*wanted, Wanted::Holds([39_092].into_iter().collect()));
    }

    #[test]
    fn a_ratio_is_left_alone_where_bytes_are_set() {
        let at = |dirty_bytes| {
            let machine = Machine { dirty_bytes, ..machine() };
            find(&specs(&choices(Profile::Broker), &machine).unwrap(), "sysctl.vm.dirty_ratio").bar.clone()
        };
        assert_eq!(at(0), None);
        assert!(matches!(at(1 << 30), Some(Bar::NotHere(_))));
        assert!(matches!(at(4096), Some(Bar::Refused(_))));
    }

    #[test]
    fn items_are_left_out_by_id_or_by_a_beginning_of_it() {
        let out = |part: &str| {
            let choices = Choices { leave_out: vec![part.to_owned()], ..choices(Profile::Zookeeper) };
            let specs = specs(&choices, &machine()).unwrap();
            specs.into_iter().filter(|spec| spec.left_out).map(|spec| spec.id).collect::<Vec<_>>()
        };
        assert_eq!(out("thp"), ["thp.enabled", "thp.defrag"]);
        assert_eq!(out("swap"), ["swap"]);
        assert_eq!(out("block.sda"), ["block.sda.scheduler"]);
        assert_eq!(out("mount./data/1.noatime"), ["mount./data/1.noatime"]);
        assert_eq!(out("block.not-on-this-host"), Vec::<String>::new());
    }

    #[test]
    fn a_setting_wins_over_the_rule_and_adds_what_the_profile_does_not_have() {
        let settings = [("sysctl.vm.swappiness", "10"), ("swap", "off"), ("block.sdz.scheduler", "none")];
        let settings = settings.map(|(id, value)| (id.to_owned(), value.to_owned())).into_iter().collect();
        let specs = specs(&Choices { settings, ..choices(Profile::Broker) }, &machine()).unwrap();
        assert_eq!(find(&specs, "sysctl.vm.swappiness").wanted, Wanted::Exactly("10".into()));
        assert_eq!(find(&specs, "swap").wanted, Wanted::Exactly("off".into()));
    }

    #[test]
    fn choices_that_are_none_are_told_all_together() {
        let settings = [("sysctl.vm.swapiness", "1"), ("swap", "on"), ("mount./data.noatime", "never")];
        let settings = settings.map(|(id, value)| (id.to_owned(), value.to_owned())).into_iter().collect();
        let leave_out = ["thp.enable", "sysctl.vm", "block", "bloc"].map(str::to_owned).to_vec();
        let errors = specs(&Choices { settings, leave_out, ..choices(Profile::Broker) }, &machine()).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "mount./data.noatime can not be \"never\": noatime, relatime and strictatime are all there is",
                "swap can not be \"on\": off is all that it can be",
                "settings names no item: \"sysctl.vm.swapiness\" (did you mean sysctl.vm.swappiness?)",
                "leave_out names no item: \"thp.enable\" (did you mean thp.enabled?)",
                "leave_out names no item: \"bloc\"",
            ]
        );
    }
}
