//! A revert is exact: from every state, after a failure at every call, and after a failure of the revert itself.

use super::OsTune;
use super::record::{FOLDER, PATH};
use crate::host::fake::{FakeHost, FileSpec, Spec};
use crate::modules::{AnyModule, Call, ModuleError};
use kfleet_model::{Map, TaskResult};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Files = BTreeMap<PathBuf, FileSpec>;

fn run(host: &FakeHost, params: &Value, check: bool) -> Result<TaskResult, ModuleError> {
    let params: Map = AnyModule::doc(&OsTune).normalise(params.as_object().unwrap(), |_| false).unwrap();
    AnyModule::run(&OsTune, host, Call { params: &params, check, diff: false }, &mut |_| Ok(()))
}

fn present() -> Value {
    json!({"profile": "broker", "data_dirs": ["/data"], "ports": [9092, 40000]})
}

fn absent() -> Value {
    json!({"state": "absent"})
}

/// All files but the record's folder where it is empty: a failure may come between making it and writing into it.
fn files(host: &FakeHost) -> Files {
    let mut files = host.files();
    if !files.contains_key(Path::new(PATH)) {
        files.remove(Path::new(FOLDER));
    }
    files
}

/// Kernel values, files of the operator's and kfleet's own from some earlier time.
#[derive(Debug, Clone)]
struct Before {
    swappiness: u32,
    maps: u32,
    background: u32,
    thp: String,
    scheduler: String,
    read_only: bool,
    site: Option<(String, u32)>,
    own: Option<(String, String)>,
    drop_in: Option<String>,
    limit: u32,
}

impl Before {
    fn host(&self) -> FakeHost {
        let folder = || json!({"kind": "directory"});
        let mode = if self.read_only { "0444" } else { "0644" };
        let mut files = json!({
            "/run/systemd/system": folder(), "/etc/tmpfiles.d": folder(), "/var/lib": folder(),
            "/etc/sysctl.d": folder(), "/etc/systemd/system": folder(), "/data": folder(),
            "/proc/sys/vm/swappiness": {"content": format!("{}\n", self.swappiness)},
            "/proc/sys/vm/max_map_count": {"content": format!("{}\n", self.maps), "mode": mode},
            "/proc/sys/vm/dirty_background_ratio": {"content": format!("{}\n", self.background)},
            "/proc/sys/net/ipv4/ip_local_port_range": {"content": "32768\t60999\n"},
            "/proc/sys/net/ipv4/ip_local_reserved_ports": {"content": "\n"},
            "/proc/sys/net/ipv4/tcp_rmem": {"content": "4096\t131072\t1000\n"},
            "/sys/kernel/mm/transparent_hugepage/enabled": {"content": self.thp},
            "/proc/self/mountinfo": {"content": "30 22 8:16 / /data rw,noatime - xfs /dev/sdb rw\n"},
            "/sys/dev/block/8:16": {"target": "../../devices/pci/block/sdb"},
            "/sys/block/sdb/queue/scheduler": {"content": self.scheduler},
            "/sys/block/sdb/queue/rotational": {"content": "1\n"},
            "/sys/block/sdb/queue/read_ahead_kb": {"content": "128\n"},
            "/etc/fstab": {"content": "/dev/sdb /data xfs defaults 0 0\n", "mode": "0600", "group": 7},
            "/etc/systemd/system/kafka.service":
                {"content": format!("[Service]\nLimitNOFILE={}\n", self.limit)},
        });
        let all = files.as_object_mut().unwrap();
        if let Some((name, swappiness)) = &self.site {
            all.insert(format!("/etc/sysctl.d/{name}"), json!({"content": format!("vm.swappiness={swappiness}\n")}));
        }
        if let Some((text, mode)) = &self.own {
            let spec = json!({"content": text, "mode": mode, "owner": 5});
            all.insert(kfleet_tune::persist::sysctl::OWN.to_owned(), spec);
        }
        if let Some(name) = &self.drop_in {
            let spec = json!({"content": "[Service]\nTimeoutStopSec=20\n"});
            all.insert(format!("/etc/systemd/system/kafka.service.d/{name}"), spec);
        }
        let spec = json!({"files": files, "units": [{"name": "kafka.service", "active": "active"}]});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        FakeHost::new(&spec)
    }
}

fn before() -> impl Strategy<Value = Before> {
    let words = |words: &[&str]| proptest::sample::select(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    let kernel = (
        0..100_u32,
        prop_oneof![Just(65_530_u32), Just(262_144), 0..2_000_000_u32],
        0..30_u32,
        words(&["[always] madvise never\n", "always [madvise] never\n", "always\n", "never\n", "[always] never\n"]),
        words(&["[bfq] mq-deadline none\n", "[none]\n", "none\n", "mq-deadline [kyber]\n", "[bfq]\n"]),
        any::<bool>(),
    );
    let own = words(&["", "vm.swappiness = 60\n", "kernel.x = 1\nvm.swappiness = 1\n", "no setting"]);
    let files = (
        proptest::option::of((words(&["10-a.conf", "99-sysctl.conf", "99-zzz.conf"]), 0..70_u32)),
        proptest::option::of((own, words(&["0644", "0600", "0640"]))),
        proptest::option::of(words(&["10-a.conf", "99-zz-kfleet.conf", "zzz.conf"])),
        prop_oneof![Just(1024_u32), Just(200_000)],
    );
    (kernel, files).prop_map(|(kernel, files)| {
        let (swappiness, maps, background, thp, scheduler, read_only) = kernel;
        let (site, own, drop_in, limit) = files;
        Before { swappiness, maps, background, thp, scheduler, read_only, site, own, drop_in, limit }
    })
}

/// Kind, content, mode and owner of every path, told one by one.
fn same(left: &Files, right: &Files) -> Result<(), TestCaseError> {
    prop_assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (path, file) in left {
        prop_assert_eq!(file, &right[path], "{}", path.display());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tuned_once_is_tuned_and_taken_back_is_as_before(state in before()) {
        let host = state.host();
        let old = files(&host);
        run(&host, &present(), false).unwrap();
        let again = run(&host, &present(), true).unwrap();
        prop_assert!(!again.changed, "{:?}", again.changes);
        run(&host, &absent(), false).unwrap();
        same(&old, &host.files())?;
    }

    #[test]
    fn two_tunings_are_taken_back_to_before_the_first(state in before()) {
        let host = state.host();
        let old = files(&host);
        let first = json!({"profile": "zookeeper", "settings": {"sysctl.vm.swappiness": 7}, "leave_out": ["thp"]});
        run(&host, &first, false).unwrap();
        run(&host, &present(), false).unwrap();
        run(&host, &absent(), false).unwrap();
        same(&old, &host.files())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn after_a_failure_at_any_call_the_record_brings_all_back(state in before()) {
        let host = state.host();
        let old = files(&host);
        run(&host, &present(), false).unwrap();
        for n in 0..host.calls() {
            let host = state.host();
            host.fail_at(n);
            // Where the fault hits a call whose failure is an answer, nothing fails; it is taken back all the same.
            let _outcome = run(&host, &present(), false);
            run(&host, &absent(), false).unwrap();
            same(&old, &files(&host))?;
        }
    }

    #[test]
    fn a_revert_that_failed_at_any_call_is_finished_by_the_next(state in before()) {
        let calls = {
            let host = state.host();
            run(&host, &present(), false).unwrap();
            let before = host.calls();
            run(&host, &absent(), false).unwrap();
            host.calls() - before
        };
        for n in 0..calls {
            let host = state.host();
            let old = files(&host);
            run(&host, &present(), false).unwrap();
            host.fail_at(n);
            let _outcome = run(&host, &absent(), false);
            run(&host, &absent(), false).unwrap();
            same(&old, &files(&host))?;
        }
    }
}

fn one_value(shown: &str) -> FakeHost {
    let spec = json!({"files": {"/proc/sys/vm/swappiness": {"content": shown}, "/etc/sysctl.d": {"kind": "directory"},
        "/etc/fstab": {"content": "/dev/sdb /data xfs defaults 0 0\n"}, "/var/lib": {"kind": "directory"}}});
    FakeHost::new(&serde_json::from_value(spec).unwrap())
}

#[test]
fn a_file_that_was_changed_between_two_tunings_is_not_put_back() {
    let host = one_value("60\n");
    let own = Path::new(kfleet_tune::persist::sysctl::OWN);
    let with = |value: u32| json!({"profile": "zookeeper", "settings": {"sysctl.vm.swappiness": value}});
    run(&host, &with(5), false).unwrap();
    use crate::host::{Attributes, Content, Host};
    host.write(own, Content::Bytes(b"vm.swappiness = 5\nkernel.panic = 10\n"), Attributes::default()).unwrap();
    run(&host, &with(6), false).unwrap();
    let undone = run(&host, &absent(), false).unwrap();
    assert!(undone.warnings.iter().any(|warning| warning.contains("99-zz-kfleet.conf is left")), "{undone:?}");
    let text = host.files()[own].content.clone().unwrap();
    assert!(text.contains("kernel.panic = 10"), "what somebody wrote is gone: {text}");
    assert_eq!(host.files()[Path::new("/proc/sys/vm/swappiness")].content.as_deref(), Some("60\n"));
    run(&host, &json!({"state": "absent", "force": true}), false).unwrap();
    assert!(!host.files().contains_key(own) && !host.files().contains_key(Path::new(PATH)));
}

#[test]
fn what_is_refused_is_a_warning_and_no_change() {
    let spec = json!({"files": {"/proc/sys/vm/swappiness": {"content": "60\n", "mode": "0444"}}});
    let host = FakeHost::new(&serde_json::from_value(spec).unwrap());
    let result = run(&host, &json!({"profile": "broker"}), false).unwrap();
    assert!(!result.changed, "{:?}", result.changes);
    assert!(
        result.warnings[0].starts_with("sysctl.vm.swappiness is 60 and shall be at most 1: "),
        "{:?}",
        result.warnings
    );
}
