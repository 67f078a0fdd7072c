//! Runs commands where the controller stands: on this machine, inside the lab's network, with the lab's names.
//!
//! Only the network and `/etc/hosts` differ from an ordinary command; files, users and processes are the machine's.

use std::path::PathBuf;

use super::network::enter_option;
use super::state::Layout;
use super::topology::{Hosting, Topology};

/// The cgroup folder of controller commands, so that `down` ends those that still run.
pub(super) const FOLDER: &str = "controller";

/// What to put before a program and its arguments so that it runs where the controller stands.
///
/// Hosts that are plain processes are on this machine's loopback, and know each other by address: nothing is needed.
pub(super) fn prefix(layout: &Layout, topology: &Topology, cgroups: &[PathBuf]) -> Vec<String> {
    match topology.hosting() {
        Hosting::Containers => {
            let mut prefix = vec!["nsenter".to_owned()];
            prefix.extend(arguments(layout, cgroups));
            prefix
        }
        Hosting::Processes => Vec::new(),
    }
}

/// What to hand to `nsenter`.
///
/// The names are mounted over `/etc/hosts` in a mount namespace of the command's own: the machine's file stays as it
/// is. The command joins the given cgroup folders; none is fine for one that is short.
fn arguments(layout: &Layout, cgroups: &[PathBuf]) -> Vec<String> {
    let mut script = String::from("set -eu; ");
    for folder in cgroups {
        script.push_str(&format!("echo $$ > '{}'; ", folder.join("cgroup.procs").display()));
    }
    script.push_str(&format!("mount --bind '{}' /etc/hosts; exec \"$@\"", layout.hosts_file().display()));
    let fixed = ["--", "unshare", "--mount", "--propagation", "private", "sh", "-c"];
    let mut arguments = vec![enter_option(layout)];
    arguments.extend(fixed.map(str::to_owned));
    arguments.extend([script, "lab".to_owned()]);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_joins_its_cgroups_before_it_begins() {
        let layout = Layout::in_folder("x", "/s".as_ref());
        let arguments = arguments(&layout, &["/sys/fs/cgroup/pids/x/controller".into()]);
        assert_eq!(arguments[0], "--net=/run/netns/x");
        assert_eq!(
            arguments[arguments.len() - 2],
            "set -eu; echo $$ > '/sys/fs/cgroup/pids/x/controller/cgroup.procs'; mount --bind '/s/x/hosts' /etc/hosts; exec \"$@\""
        );
    }
}
