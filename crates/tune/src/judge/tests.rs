//! Hosts as tables: what was read, and what must come of it.

use super::*;
use crate::{Choices, Machine, Mount, Profile, specs};
use proptest::prelude::*;
use std::path::PathBuf;

fn file(path: &str, text: &str) -> ConfFile {
    let name = path.rsplit('/').next().unwrap();
    let name = if name.ends_with(".service") { "" } else { name };
    ConfFile { path: path.into(), name: name.into(), text: text.into() }
}

fn kernel_knob(path: &str) -> Knob {
    Knob::Kernel { path: PathBuf::from(path) }
}

fn shows(text: &str) -> Reading {
    Reading { text: Some(text.into()), fixed: None }
}

/// One item alone.
fn choices(id: &str) -> Choices {
    let all = ["sysctl", "thp", "limits", "unit", "block", "mount", "swap", "cpu"];
    let others: Vec<String> = crate::RULES
        .iter()
        .map(|rule| rule.id)
        .filter(|other| *other != id && !other.contains('*'))
        .map(str::to_owned)
        .chain(all.iter().filter(|family| !id.starts_with(*family)).map(|family| (*family).to_owned()))
        .collect();
    Choices { profile: Profile::Broker, settings: BTreeMap::new(), leave_out: others }
}

fn judged(id: &str, machine: &Machine, readings: &Readings) -> (Item, Judged) {
    let specs = specs(&choices(id), machine).unwrap();
    let judged = judge(&specs, readings);
    let item = judged.items.iter().find(|item| item.id == id).unwrap_or_else(|| panic!("{id} is missing")).clone();
    (item, judged)
}

const SWAPPINESS: &str = "sysctl.vm.swappiness";

fn swappiness(shown: Reading, files: &[(&str, &str)]) -> Readings {
    Readings {
        knobs: [(kernel_knob("/proc/sys/vm/swappiness"), shown)].into(),
        sysctl: files.iter().map(|(path, text)| file(path, text)).collect(),
        ..Readings::default()
    }
}

#[test]
fn a_kernel_parameter_is_judged_live_and_by_its_files() {
    let own = crate::persist::sysctl::OWN;
    type Case<'a> = (&'a str, Reading, &'a [(&'a str, &'a str)], Status, Option<&'a str>, Option<Option<&'a str>>);
    let fixed = Reading { text: Some("60\n".into()), fixed: Some("read-only here".into()) };
    let fixed_but_right = Reading { text: Some("1\n".into()), fixed: Some("read-only here".into()) };
    let cases: [Case<'_>; 10] = [
        ("nothing set", shows("60\n"), &[], Status::Differs, Some("1"), Some(Some("vm.swappiness = 1\n"))),
        ("live alone", shows("1\n"), &[], Status::Differs, None, Some(Some("vm.swappiness = 1\n"))),
        (
            "another value that does is kept",
            shows("0\n"),
            &[],
            Status::Differs,
            None,
            Some(Some("vm.swappiness = 0\n")),
        ),
        ("all right", shows("1\n"), &[(own, "vm.swappiness = 1\n")], Status::Fits, None, None),
        (
            "somebody else's file does",
            shows("60\n"),
            &[("/etc/sysctl.d/10-a.conf", "vm.swappiness=0")],
            Status::Differs,
            Some("0"),
            None,
        ),
        (
            "both do",
            shows("0\n"),
            &[("/etc/sysctl.d/10-a.conf", "vm.swappiness=0"), (own, "vm.swappiness = 1\n")],
            Status::Fits,
            None,
            Some(None),
        ),
        (
            "an earlier file is outdone",
            shows("60\n"),
            &[("/etc/sysctl.d/10-a.conf", "vm.swappiness=30")],
            Status::Differs,
            Some("1"),
            Some(Some("vm.swappiness = 1\n")),
        ),
        (
            "a later file wins",
            shows("60\n"),
            &[("/etc/sysctl.d/99-zzz.conf", "vm.swappiness=30")],
            Status::Refused,
            None,
            None,
        ),
        ("read-only", fixed, &[], Status::Refused, None, None),
        ("read-only and right", fixed_but_right, &[(own, "vm.swappiness = 1\n")], Status::Fits, None, None),
    ];
    for (name, shown, files, status, set, content) in cases {
        let (item, judged) = judged(SWAPPINESS, &Machine::default(), &swappiness(shown, files));
        assert_eq!(item.status, status, "{name}: {item:?}");
        assert_eq!(judged.knobs.first().map(|plan| plan.to.as_str()), set, "{name}: {judged:?}");
        let written = judged.files.first().map(|plan| plan.content.as_deref());
        let wanted = content.map(|content| content.map(|text| format!("{}{text}", crate::persist::HEAD)));
        assert_eq!(written.map(|text| text.map(str::to_owned)), wanted, "{name}");
    }
}

#[test]
fn a_parameter_that_the_kernel_does_not_have_is_not_here_and_not_persisted() {
    let nothing = Reading { text: None, fixed: None };
    let (item, judged) = judged(SWAPPINESS, &Machine::default(), &swappiness(nothing, &[]));
    assert_eq!((item.status, judged.knobs.len(), judged.files.len()), (Status::NotHere, 0, 0), "{item:?}");
}

#[test]
fn a_default_that_satisfies_is_not_written_down() {
    let id = "sysctl.vm.overcommit_memory";
    let with = |shown: &str, text: &str| Readings {
        knobs: [(kernel_knob("/proc/sys/vm/overcommit_memory"), shows(shown))].into(),
        sysctl: vec![file("/etc/sysctl.d/10-a.conf", text)],
        ..Readings::default()
    };
    let cases = [
        ("0\n", "", Status::Fits, 0),
        ("2\n", "", Status::Differs, 0),
        ("0\n", "vm.overcommit_memory=2", Status::Differs, 1),
    ];
    for (shown, text, status, files) in cases {
        let (item, judged) = judged(id, &Machine::default(), &with(shown, text));
        assert_eq!((item.status, judged.files.len()), (status, files), "{shown:?} {text:?}: {item:?}");
    }
}

#[test]
fn what_is_left_out_keeps_its_line() {
    let own = file(crate::persist::sysctl::OWN, "vm.swappiness = 30\n");
    let readings = Readings { sysctl: vec![own], ..swappiness(shows("30\n"), &[]) };
    let all_out = Choices { leave_out: vec!["sysctl".into(), "thp".into(), "cpu".into()], ..choices("limits.nofile") };
    let judged = judge(&specs(&all_out, &Machine::default()).unwrap(), &readings);
    assert_eq!((judged.knobs.len(), judged.files.len()), (0, 0), "{judged:?}");
}

#[test]
fn huge_pages_are_known_by_brackets_or_a_bare_word_and_the_command_line_counts() {
    let knob = kernel_knob("/sys/kernel/mm/transparent_hugepage/enabled");
    let cases = [
        ("[always] madvise never\n", "", Status::Differs, Some("madvise")),
        ("always\n", "", Status::Differs, Some("madvise")),
        ("[always] never\n", "", Status::Differs, Some("never")),
        ("always madvise [never]\n", "quiet transparent_hugepage=never", Status::Fits, None),
        ("always [madvise] never\n", "transparent_hugepage=always", Status::Differs, None),
        ("[always]\n", "", Status::Refused, None),
    ];
    for (shown, cmdline, status, set) in cases {
        let readings = Readings {
            knobs: [(knob.clone(), shows(shown))].into(),
            tmpfiles: Some(Vec::new()),
            cmdline: cmdline.into(),
            ..Readings::default()
        };
        let (item, judged) = judged("thp.enabled", &Machine::default(), &readings);
        assert_eq!(
            (item.status, judged.knobs.first().map(|plan| plan.to.as_str())),
            (status, set),
            "{shown}: {item:?}"
        );
    }
}

#[test]
fn a_limit_waits_for_a_restart_once_its_unit_is_right() {
    let machine = Machine { systemd: true, unit: Some("kafka.service".into()), ..Machine::default() };
    let unit = file("/usr/lib/systemd/system/kafka.service", "[Service]\nLimitNOFILE=1024\n");
    let own = file(&crate::persist::unit::own("kafka.service"), "[Service]\nLimitNOFILE=100000\n");
    let runs = |limit: &str| BTreeMap::from([("Max open files".to_owned(), limit.to_owned())]);
    let cases = [
        (vec![unit.clone()], runs("1024"), Status::Differs, true),
        (vec![unit.clone()], runs("1048576"), Status::Differs, true),
        (vec![unit.clone(), own.clone()], runs("1024"), Status::Restart, false),
        (vec![unit.clone(), own.clone()], runs("100000"), Status::Fits, false),
        (vec![unit, own], BTreeMap::new(), Status::Fits, false),
    ];
    for (units, process, status, writes) in cases {
        let readings = Readings { units, process: process.clone(), unit: machine.unit.clone(), ..Readings::default() };
        let (item, judged) = judged("limits.nofile", &machine, &readings);
        assert_eq!((item.status, !judged.files.is_empty()), (status, writes), "{process:?}: {item:?}");
    }
}

#[test]
fn a_mount_is_changed_in_its_line_of_fstab_or_only_live() {
    let machine = Machine {
        mounts: vec![Mount { dir: "/data".into(), kind: "xfs".into(), on_disk: true }],
        ..Machine::default()
    };
    let knobs = BTreeMap::from([(Knob::Atime { dir: "/data".into() }, shows("relatime"))]);
    let with = Readings { knobs, fstab: Some("/dev/sdb /data xfs defaults 0 0\n".into()), ..Readings::default() };
    let (item, seen) = judged("mount./data.noatime", &machine, &with);
    assert_eq!((item.status, item.kept), (Status::Differs, Fit::Differs));
    assert_eq!(seen.files[0].content.as_deref(), Some("/dev/sdb /data xfs defaults,noatime 0 0\n"));
    let (item, seen) = judged("mount./data.noatime", &machine, &Readings { fstab: None, ..with });
    assert_eq!((item.status, item.kept, seen.files.len(), seen.knobs.len()), (Status::Differs, Fit::NotHere, 0, 1));
}

/// The inspection's thresholds, by the ids of its catalogue: which values it warns of.
type Warns = fn(&str) -> bool;

fn last(value: &str) -> u64 {
    value.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or(u64::MAX)
}

const INSPECTION: &[(&str, &str, Warns)] = &[
    ("sysctl.swappiness", SWAPPINESS, |value| last(value) > 1),
    ("sysctl.dirty_background", "sysctl.vm.dirty_background_ratio", |value| last(value) > 10),
    ("sysctl.dirty_ratio", "sysctl.vm.dirty_ratio", |value| last(value) < 40),
    ("sysctl.overcommit", "sysctl.vm.overcommit_memory", |value| value == "2"),
    ("sysctl.zone_reclaim", "sysctl.vm.zone_reclaim_mode", |value| last(value) > 0),
    ("sysctl.somaxconn", "sysctl.net.core.somaxconn", |value| last(value) < 1024),
    ("sysctl.syn_backlog", "sysctl.net.ipv4.tcp_max_syn_backlog", |value| last(value) < 1024),
    ("sysctl.tcp_mem_max", "sysctl.net.ipv4.tcp_rmem", |value| last(value) < 2 * 1024 * 1024),
    ("sysctl.tcp_mem_max", "sysctl.net.ipv4.tcp_wmem", |value| last(value) < 2 * 1024 * 1024),
    ("sysctl.window_scaling", "sysctl.net.ipv4.tcp_window_scaling", |value| value == "0"),
    ("os.thp", "thp.enabled", |value| value == "always"),
    ("os.thp_defrag", "thp.defrag", |value| value == "always"),
    ("os.cpu_governor", "cpu.governor", |value| value != "performance"),
    ("limits.nofile", "limits.nofile", |value| last(value) < 100_000),
    ("disk.scheduler", "block.sda.scheduler", |value| matches!(value, "bfq" | "cfq")),
    ("disk.scheduler", "block.nvme0n1.scheduler", |value| value != "none"),
    ("disk.atime", "mount./data.noatime", |value| !matches!(value, "noatime" | "relatime")),
];

#[test]
fn what_satisfies_a_rule_raises_no_finding_of_the_inspection() {
    let disk = |name: &str, rotational| crate::Disk { name: name.into(), rotational };
    let machine = Machine {
        disks: vec![disk("sda", true), disk("nvme0n1", false)],
        mounts: vec![Mount { dir: "/data".into(), kind: "xfs".into(), on_disk: true }],
        ..Machine::default()
    };
    let all = Choices { profile: Profile::Broker, settings: BTreeMap::new(), leave_out: Vec::new() };
    let specs = specs(&all, &machine).unwrap();
    let words = [
        "always",
        "madvise",
        "never",
        "performance",
        "powersave",
        "bfq",
        "cfq",
        "none",
        "noop",
        "mq-deadline",
        "deadline",
        "noatime",
        "relatime",
        "strictatime",
    ];
    let numbers =
        (0..64).map(|n| 1_u64 << n).flat_map(|n| [n - 1, n, n + 1]).chain([40, 60, 100, 4096, 99_999, 100_000]);
    let numbers = numbers.flat_map(|n| [n.to_string(), format!("4096 131072 {n}")]);
    let values: Vec<String> = numbers.chain(words.map(str::to_owned)).collect();
    for (check, id, warns) in INSPECTION {
        let spec = specs.iter().find(|spec| spec.id == *id).unwrap_or_else(|| panic!("{id} is missing"));
        let satisfying: Vec<&String> = values.iter().filter(|value| spec.wanted.fits(value)).collect();
        assert!(!satisfying.is_empty(), "{id}: no value of the test satisfies it");
        for value in satisfying {
            assert!(!warns(value), "{value} satisfies {id}, and {check} warns of it");
        }
    }
}

/// A host after what was planned for it was written.
fn written(readings: &Readings, judged: &Judged) -> Readings {
    let mut after = readings.clone();
    for plan in &judged.knobs {
        after.knobs.insert(plan.knob.clone(), shows(&format!("{}\n", plan.to)));
    }
    for plan in &judged.files {
        after.sysctl.retain(|file| file.path != plan.path);
        if let Some(content) = &plan.content {
            after.sysctl.push(file(&plan.path, content));
            after.sysctl.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
    after
}

proptest! {
    /// Whatever kernel values and files of others there are: after one writing nothing is left to do, what did
    /// satisfy is as it was, and what can not be set is said.
    #[test]
    fn one_writing_is_enough_and_nothing_that_fits_is_touched(
        values in proptest::collection::vec(("[0-9]{1,7}", any::<bool>()), 6),
        others in proptest::collection::vec((0..6_usize, "[0-9]{1,7}", 0..3_usize), 0..8),
    ) {
        let keys = ["vm.swappiness", "vm.max_map_count", "vm.dirty_ratio", "vm.overcommit_memory", "net.core.somaxconn", "net.core.rmem_max"];
        let names = ["/etc/sysctl.d/10-a.conf", "/usr/lib/sysctl.d/50-b.conf", "/etc/sysctl.d/99-zzz.conf"];
        let mut readings = Readings::default();
        for (key, (value, fixed)) in keys.iter().zip(&values) {
            let knob = kernel_knob(&format!("/proc/sys/{}", key.replace('.', "/")));
            let fixed = fixed.then(|| "read-only here".to_owned());
            readings.knobs.insert(knob, Reading { text: Some(format!("{value}\n")), fixed });
        }
        for (n, name) in names.iter().enumerate() {
            let lines = others.iter().filter(|(_, _, at)| *at == n);
            let text: String = lines.map(|(key, value, _)| format!("{}={value}\n", keys[*key])).collect();
            readings.sysctl.push(file(name, &text));
        }
        let all = Choices { profile: Profile::Broker, settings: BTreeMap::new(), leave_out: Vec::new() };
        let specs = specs(&all, &Machine::default()).unwrap();
        let before = judge(&specs, &readings);
        for plan in &before.knobs {
            let spec = specs.iter().find(|spec| spec.id == plan.item).unwrap();
            prop_assert!(!spec.wanted.fits(plan.shown.trim()), "{:?} fitted", plan);
            prop_assert!(spec.wanted.fits(&plan.to), "{:?} does not fit", plan);
        }
        let after_readings = written(&readings, &before);
        let after = judge(&specs, &after_readings);
        prop_assert!(after.knobs.is_empty() && after.files.is_empty(), "{:?}", after);
        for (was, is) in before.items.iter().zip(&after.items) {
            let expected = match was.status {
                Status::Differs | Status::Fits => Status::Fits,
                other @ (Status::Restart | Status::Refused | Status::NotHere | Status::LeftOut) => other,
            };
            prop_assert_eq!(is.status, expected, "{:?} became {:?}", was, is);
        }
    }
}
