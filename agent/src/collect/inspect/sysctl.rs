//! Kernel parameters: as they run, and as the files set them.

use super::scene::Scene;
use super::sink::{Gap, Sink};
use kfleet_inspect::Datum;
use kfleet_tune::persist::{in_order, sysctl};
use std::collections::BTreeMap;

pub(super) const KEYS: &[&str] = &["sysctl.running", "sysctl.configured"];

/// What the checks look at: area `sysctl` of the catalogue.
const LOOKED_AT: &[&str] = &[
    "fs.nr_open",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_wmem",
    "vm.dirty_background_bytes",
    "vm.dirty_background_ratio",
    "vm.dirty_bytes",
    "vm.dirty_ratio",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.swappiness",
    "vm.zone_reclaim_mode",
];

/// Read by procps; systemd-sysctl takes it where a link of this name leads to it, as Debian has it.
const OLD: (&str, &str) = ("/etc/sysctl.conf", "99-sysctl.conf");

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let configured = configured(scene);
    let names = configured.iter().flat_map(BTreeMap::keys).map(String::as_str);
    let mut running = BTreeMap::new();
    for name in LOOKED_AT.iter().copied().chain(names) {
        // A parameter may be of a module that is not loaded, or one that only takes values.
        if let Ok(Some(text)) = scene.text(path_of(name)) {
            running.insert(name.to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    let told =
        if running.is_empty() { Err(Gap::unreadable("/proc/sys can not be read")) } else { Ok(Datum::Texts(running)) };
    sink.tell("sysctl.running", "/proc/sys", told);
    sink.tell("sysctl.configured", "sysctl.d", configured.map(Datum::Texts));
    Ok(())
}

/// The file of a parameter. A name of an interface may hold a dot, and then stands as a slash in the dotted form.
fn path_of(name: &str) -> String {
    let swapped: String = name
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect();
    format!("/proc/sys/{swapped}")
}

/// What the files set, the last one winning. Patterns name no single parameter and are left out.
fn configured(scene: &Scene<'_>) -> Result<BTreeMap<String, String>, Gap> {
    let mut listed = Vec::new();
    for folder in sysctl::FOLDERS {
        listed.push((folder.to_owned(), scene.list(folder)?.unwrap_or_default()));
    }
    let mut files = in_order(&listed);
    if files.iter().all(|(_, name)| name != OLD.1) {
        files.push((OLD.0.to_owned(), OLD.1.to_owned()));
        files.sort_by(|one, other| one.1.cmp(&other.1));
    }
    let mut found = BTreeMap::new();
    for (path, _) in files {
        if let Some(text) = scene.text(&path)? {
            found.extend(sysctl::parse(&text).into_iter().filter(|(name, _)| !name.contains(['*', '?', '['])));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::inspect::params::Params;
    use crate::host::fake::{FakeHost, Spec};
    use serde_json::json;

    #[test]
    fn names_lead_to_their_files() {
        assert_eq!(path_of("vm.swappiness"), "/proc/sys/vm/swappiness");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.rp_filter"), "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
    }

    #[test]
    fn the_last_file_wins_and_one_of_etc_hides_that_of_usr() {
        let files = json!({
            "/usr/lib/sysctl.d/10-a.conf": {"content": "vm.swappiness = 60\nvm.max_map_count=1\n"},
            "/etc/sysctl.d/10-a.conf": {"content": "vm.swappiness = 10\n"},
            "/etc/sysctl.conf": {"content": "vm.swappiness = 1\nnet.ipv4.conf.*.rp_filter = 1\n"},
            "/etc/sysctl.d/99-zz.conf": {"content": "vm.dirty_ratio = 80\n"},
        });
        let host = FakeHost::new(&serde_json::from_value::<Spec>(json!({"files": files})).unwrap());
        let params = Params::default();
        let found = configured(&Scene::new(&host, &params)).unwrap();
        let wanted = [("vm.dirty_ratio", "80"), ("vm.swappiness", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(found, BTreeMap::from(wanted));
    }
}
