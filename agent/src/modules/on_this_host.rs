//! The modules against a real Debian host: each is run in check mode, for real, and again.
//!
//! Runs only where somebody says that this very host may be changed; a throw-away container is meant.

use super::{Call, MODULES, ModuleError};
use crate::host::RealHost;
use crate::host::real::tests::TestContext;
use kfleet_model::{Map, TaskResult};
use serde_json::{Value, json};
use std::sync::Arc;

/// Set to anything, it allows these tests to change the host.
const PERMISSION: &str = "KFLEET_TEST_HOST";

fn run(name: &str, params: &Value, check: bool) -> Result<TaskResult, ModuleError> {
    let module = MODULES.iter().find(|module| module.doc().name == name).unwrap();
    let params: Map = module.doc().normalise(params.as_object().unwrap(), |_| false).unwrap();
    let host = RealHost::new(Arc::new(TestContext::new()));
    module.run(&host, Call { params: &params, check, diff: true }, &mut |_| Ok(()))
}

/// Makes a package of nothing, so that apt has work without a network.
const PACKAGE: &str = "mkdir -p /opt/kfleet-test/p/DEBIAN && printf 'Package: kfleet-test-package\\nVersion: 1.0\\n\
     Architecture: all\\nMaintainer: nobody <nobody@localhost>\\nDescription: nothing\\n' \
     > /opt/kfleet-test/p/DEBIAN/control && dpkg-deb --build /opt/kfleet-test/p /opt/kfleet-test/p.deb";

/// Everything that is done to the host, and undone.
fn steps() -> Vec<(&'static str, Value)> {
    let unit = "[Service]\nType=exec\nExecStart=sleep 1000\nUser=kfleet-test\n[Install]\nWantedBy=multi-user.target\n";
    vec![
        ("group", json!({"name": "kfleet-test", "system": true})),
        (
            "user",
            json!({"name": "kfleet-test", "group": "kfleet-test", "system": true, "home": "/opt/kfleet-test/home",
                   "shell": "/usr/sbin/nologin", "comment": "A test", "create_home": false, "password": "!"}),
        ),
        ("user", json!({"name": "kfleet-test", "groups": "adm", "append": true, "create_home": false})),
        (
            "file",
            json!({"path": "/opt/kfleet-test/a/b", "state": "directory", "owner": "kfleet-test",
                   "group": "kfleet-test", "mode": "0750"}),
        ),
        (
            "copy",
            json!({"content": "a=1\nb=2\n", "dest": "/opt/kfleet-test/f", "mode": "0640", "owner": "kfleet-test"}),
        ),
        (
            "lineinfile",
            json!({"path": "/opt/kfleet-test/f", "regexp": "^a=", "line": "a=2", "validate": "grep -q a=2 %s"}),
        ),
        ("blockinfile", json!({"path": "/opt/kfleet-test/f", "block": "x\ny"})),
        ("replace", json!({"path": "/opt/kfleet-test/f", "regexp": "b=(\\d)", "replace": "c=\\1"})),
        ("file", json!({"path": "/opt/kfleet-test/l", "src": "f", "state": "link"})),
        ("file", json!({"path": "/opt/kfleet-test/h", "src": "/opt/kfleet-test/f", "state": "hard"})),
        ("copy", json!({"src": "/opt/kfleet-test/a", "dest": "/opt/kfleet-test/copy/", "remote_src": true})),
        ("file", json!({"path": "/opt/kfleet-test", "state": "directory", "recurse": true, "group": "kfleet-test"})),
        ("template", json!({"src": "t.j2", "content": unit, "dest": "/etc/systemd/system/kfleet-test.service"})),
        ("service", json!({"name": "kfleet-test", "state": "started", "enabled": true, "daemon_reload": true})),
        ("systemd", json!({"name": "kfleet-test", "state": "stopped", "enabled": false})),
        ("command", json!({"cmd": "touch /opt/kfleet-test/made", "creates": "/opt/kfleet-test/made"})),
        ("shell", json!({"cmd": PACKAGE, "creates": "/opt/kfleet-test/p.deb"})),
        ("apt", json!({"deb": "/opt/kfleet-test/p.deb"})),
        ("apt", json!({"name": "kfleet-test-package", "state": "absent", "purge": true})),
        ("file", json!({"path": "/etc/systemd/system/kfleet-test.service", "state": "absent"})),
        ("systemd_service", json!({"daemon_reload": true})),
        ("file", json!({"path": "/opt/kfleet-test", "state": "absent"})),
        ("user", json!({"name": "kfleet-test", "state": "absent"})),
        ("group", json!({"name": "kfleet-test", "state": "absent"})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_changes_the_host_once_and_check_mode_foresees_it() {
    if std::env::var_os(PERMISSION).is_none() {
        eprintln!("skipped: {PERMISSION} is not set, so this host is left alone");
        return;
    }
    let test = || {
        for (name, params) in steps() {
            let checked = run(name, &params, true).unwrap_or_else(|error| panic!("{name} {params}, checked: {error}"));
            let done = run(name, &params, false).unwrap_or_else(|error| panic!("{name} {params}: {error}"));
            let again = run(name, &params, false);
            // userdel takes the user's group along when nobody else is in it.
            let goes_along = name == "group" && params["state"] == "absent";
            assert!(done.changed || goes_along, "{name} {params}: {done:?}");
            assert_eq!(checked.changed, done.changed, "{name} {params}: check mode foresaw {:?}", checked.changes);
            let again = again.unwrap_or_else(|error| panic!("{name} {params}, again: {error}"));
            assert!(!again.changed, "{name} {params}, again: {:?}", again.changes);
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_this_host_agree_with_its_own_programs() {
    let test = || {
        let facts = run("setup", &json!({}), false).unwrap().facts;
        let says = |program: &str, arguments: &[&str]| {
            let end = std::process::Command::new(program).args(arguments).output().unwrap();
            String::from_utf8(end.stdout).unwrap().trim().to_owned()
        };
        assert_eq!(facts["ansible_kernel"], says("uname", &["-r"]));
        assert_eq!(facts["ansible_architecture"], says("uname", &["-m"]));
        assert_eq!(facts["ansible_nodename"], says("uname", &["-n"]));
        assert_eq!(facts["ansible_user_id"], says("id", &["-un"]));
        assert_eq!(facts["ansible_processor_nproc"].to_string(), says("nproc", &[]));
        assert!(facts["ansible_memtotal_mb"].as_u64().unwrap() > 0);
        assert!(facts["ansible_distribution"].is_string() && facts["ansible_mounts"].is_array());
    };
    tokio::task::spawn_blocking(test).await.unwrap();
}

/// Names the node on this host, `kafka` or `zookeeper`; it is only read.
const NODE: &str = "KFLEET_TEST_NODE";

#[tokio::test(flavor = "multi_thread")]
async fn the_node_on_this_host_and_its_cluster_tell_of_the_same_id() {
    let Ok(kind) = std::env::var(NODE) else {
        eprintln!("skipped: {NODE} does not name the node on this host");
        return;
    };
    let test = move || {
        let node = run("node_info", &json!({"kind": kind, "service": kind}), false).unwrap().data;
        assert_eq!((&node["active_state"], &node["port_open"]), (&json!("active"), &json!(true)), "{node:?}");
        assert!(node["main_pid"].is_u64() && node["started_us"].as_u64() > Some(0), "{node:?}");
        let module = if kind == "kafka" { "kafka_cluster_info" } else { "zookeeper_info" };
        let cluster = run(module, &json!({}), false).unwrap().data;
        if kind == "kafka" {
            assert_eq!(cluster["kafka"]["seen_by"], node["node_id"], "{cluster:?}");
            let dir = &node["log_dirs"][0];
            assert_eq!((&dir["online"], &dir["clean_shutdown"]), (&json!(true), &json!(false)), "{dir}");
            let leaders = run("kafka_preferred_leaders", &json!({}), true).unwrap();
            assert_eq!(leaders.changed, !leaders.data["away"].as_array().unwrap().is_empty());
        } else {
            // A server that is alone by its configuration calls itself 0, whatever its myid says.
            let alone = cluster["zookeeper"]["state"]["state"] == "standalone";
            assert!(alone || cluster["zookeeper"]["server_id"] == node["node_id"], "{cluster:?}");
        }
    };
    tokio::task::spawn_blocking(test).await.unwrap();
}
