//! The files that make a host of the lab what it is, as pure text: system files here, Kafka's in [`super::kafka_files`].
//!
//! A file is written only where it is missing. Afterwards it belongs to whoever manages the host, so a second
//! `lab up` never undoes what a playbook changed.

use std::fmt::Write;

use super::network::hosts_file;
use super::topology::{HostSpec, Topology, fnv1a};

/// User and group ids that the base image gives the services; see [`super::image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Root,
    Kafka,
    ZooKeeper,
    /// Whoever brings the lab up.
    Caller,
}

impl Owner {
    /// The number to give the file to; none when it stays with whoever writes it.
    pub(super) fn id(self) -> Option<u32> {
        match self {
            Self::Root => Some(0),
            Self::Kafka => Some(950),
            Self::ZooKeeper => Some(951),
            Self::Caller => None,
        }
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    /// A program or script.
    Script(String),
    LinkTo(&'static str),
    Folder,
}

/// One file, link or folder of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostFile {
    /// Absolute, as the host sees it.
    pub(super) path: String,
    pub(super) content: Content,
    pub(super) owner: Owner,
}

impl HostFile {
    pub(super) fn text(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), content: Content::Text(text.into()), owner: Owner::Root }
    }

    pub(super) fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    pub(super) fn folder(path: &str, owner: Owner) -> Self {
        Self { path: path.to_owned(), content: Content::Folder, owner }
    }

    /// The link by which `systemctl enable` makes a unit start with the host.
    pub(super) fn enable(unit: &str, target: &'static str) -> Self {
        let path = format!("/etc/systemd/system/multi-user.target.wants/{unit}");
        Self { path, content: Content::LinkTo(target), owner: Owner::Root }
    }
}

/// What every host has, whatever its role is.
pub(super) fn system_files(lab: &str, topology: &Topology, host: &HostSpec) -> Vec<HostFile> {
    vec![
        HostFile::text("/etc/hostname", format!("{}\n", host.name)),
        // Left empty, it would come out the same on all hosts, and with it their D-Bus and journal ids.
        HostFile::text("/etc/machine-id", format!("{}\n", machine_id(lab, &host.name))),
        HostFile::text("/etc/hosts", hosts_file(topology)),
        HostFile::text("/etc/systemd/network/10-host0.network", host_network(host)),
        HostFile::text("/etc/chrony/chrony.conf", chrony_conf(topology, host)),
        HostFile::text("/etc/systemd/system/chrony.service.d/lab.conf", CHRONY_DROP_IN),
    ]
}

/// 32 hex digits that are the host's own and the same in every run.
fn machine_id(lab: &str, host: &str) -> String {
    let half = |salt: &str| fnv1a(format!("{salt} {lab} {host}").as_bytes());
    format!("{:016x}{:016x}", half("machine id, first half"), half("machine id, second half"))
}

/// The address stays when the cable is pulled, as on a server with a static address: a cut host still reaches itself,
/// is back at once when the cable is, and can boot without one.
fn host_network(host: &HostSpec) -> String {
    format!(
        "# Written by `lab up`. There is no gateway: nothing of the lab can leave it.\n\
         [Match]\nName=host0\n\n[Network]\nAddress={}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\
         ConfigureWithoutCarrier=yes\nIgnoreCarrierLoss=yes\n\n[Link]\nRequiredForOnline=no-carrier\n",
        host.address
    )
}

/// The first host keeps the time, the others follow it: so `chronyc` has real answers in a network without internet.
fn chrony_conf(topology: &Topology, host: &HostSpec) -> String {
    let mut text =
        String::from("# Written by `lab up`.\ndriftfile /var/lib/chrony/chrony.drift\nlogdir /var/log/chrony\n");
    match topology.hosts.first() {
        Some(first) if first.name != host.name => {
            let _written = writeln!(text, "server {} iburst minpoll 2 maxpoll 4", first.address);
        }
        Some(_) | None => {
            let _written = writeln!(text, "local stratum 8\nallow {}", topology.subnet);
        }
    }
    text
}

/// Debian's unit wants CAP_SYS_TIME, which a container has not, for a clock that is the machine's anyway. `-x` runs
/// chrony without steering the clock; `!` is needed because the unit has a `User=` and the daemon drops privileges itself.
const CHRONY_DROP_IN: &str = "\
# Written by `lab up`: the clock is the machine's, so chrony measures it and does not steer it.
[Unit]
ConditionCapability=

[Service]
Type=simple
PIDFile=
ExecStart=
ExecStart=!/usr/sbin/chronyd -d -x -F 0
";

#[cfg(test)]
mod tests {
    use super::super::topology::{Kind, Subnet};
    use super::*;

    fn file<'a>(files: &'a [HostFile], path: &str) -> &'a str {
        let content = &files.iter().find(|file| file.path == path).unwrap().content;
        let Content::Text(text) = content else { panic!("{path} is {content:?}") };
        text
    }

    #[test]
    fn the_first_host_keeps_the_time_for_the_others() {
        let lab = Topology::of(Kind::Zk, Subnet::for_name("kfleet-lab"));
        let first = system_files("kfleet-lab", &lab, &lab.hosts[0]);
        let last = system_files("kfleet-lab", &lab, &lab.hosts[5]);
        assert!(file(&first, "/etc/chrony/chrony.conf").contains("local stratum 8\nallow 198.18.77.0/24\n"));
        assert!(file(&last, "/etc/chrony/chrony.conf").contains("server 198.18.77.11 iburst"));
        assert!(!file(&last, "/etc/chrony/chrony.conf").contains("local"));
    }

    #[test]
    fn machine_ids_differ_between_hosts_and_between_labs() {
        let id = machine_id("kfleet-lab", "zk1");
        assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
        assert_eq!(id, machine_id("kfleet-lab", "zk1"));
        assert_ne!(id, machine_id("kfleet-lab", "zk2"));
        assert_ne!(id, machine_id("other", "zk1"));
    }

    #[test]
    fn a_host_has_its_address_and_no_way_out() {
        let lab = Topology::of(Kind::Zk, Subnet::for_name("kfleet-lab"));
        let files = system_files("kfleet-lab", &lab, &lab.hosts[3]);
        let network = file(&files, "/etc/systemd/network/10-host0.network");
        assert!(network.contains("Address=198.18.77.21/24") && !network.contains("Gateway"), "{network}");
        assert_eq!(file(&files, "/etc/hostname"), "kafka1\n");
    }
}
