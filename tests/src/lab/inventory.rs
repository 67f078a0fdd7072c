//! The inventory of the lab's hosts, in Ansible's INI form. Pure text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::topology::{HostSpec, Role, Topology};

/// The inventory's file name in the fleet directory.
pub(super) const FILE: &str = "inventory/hosts.ini";

/// One group for each role, with the address and the service's id of every host, and what kfleet calls the role; where
/// hosts are folders, with the places of their configuration too.
pub(super) fn inventory(topology: &Topology, root: &dyn Fn(&HostSpec) -> Option<PathBuf>) -> String {
    let mut groups: BTreeMap<usize, Vec<&HostSpec>> = BTreeMap::new();
    for host in &topology.hosts {
        let first = topology.hosts.iter().position(|other| other.role == host.role).unwrap_or_default();
        groups.entry(first).or_default().push(host);
    }
    let mut text = String::from("# Written by `lab up`.\n");
    for hosts in groups.values() {
        let Some(first) = hosts.first() else { continue };
        let _written = writeln!(text, "\n[{}]", first.role.group());
        for host in hosts {
            let id = match host.role {
                Role::ZooKeeper => format!(" myid={}", host.id),
                Role::Broker | Role::Combined => format!(" broker_id={}", host.id),
                Role::Bare => String::new(),
            };
            let config = root(host).map(|root| config_place(host.role, &root)).unwrap_or_default();
            let _written = writeln!(text, "{} ansible_host={}{id}{config}", host.name, host.address);
        }
        let role = match first.role {
            Role::ZooKeeper => "zookeeper",
            Role::Broker => "broker",
            Role::Combined => "combined",
            Role::Bare => continue,
        };
        let _written = writeln!(text, "\n[{}:vars]\nkfleet_role={role}", first.role.group());
    }
    text
}

fn config_place(role: Role, root: &Path) -> String {
    match role {
        Role::ZooKeeper => format!(" zookeeper_config={}/etc/zookeeper/zoo.cfg", root.display()),
        Role::Broker | Role::Combined => format!(" kafka_config={}/etc/kafka/server.properties", root.display()),
        Role::Bare => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::{Kind, Subnet};
    use super::*;

    #[test]
    fn hosts_stand_in_the_group_of_their_role() {
        let subnet = Subnet::for_name("kfleet-lab");
        assert_eq!(
            inventory(&Topology::of(Kind::Zk, subnet), &|_| None),
            "# Written by `lab up`.\n\n[zookeeper]\nzk1 ansible_host=198.18.77.11 myid=1\nzk2 ansible_host=198.18.77.12 myid=2\n\
             zk3 ansible_host=198.18.77.13 myid=3\n\n[zookeeper:vars]\nkfleet_role=zookeeper\n\n[kafka]\nkafka1 ansible_host=198.18.77.21 broker_id=1\n\
             kafka2 ansible_host=198.18.77.22 broker_id=2\nkafka3 ansible_host=198.18.77.23 broker_id=3\n\n[kafka:vars]\n\
             kfleet_role=broker\n"
        );
        assert!(
            inventory(&Topology::of(Kind::Kraft, subnet), &|_| None)
                .contains("[kraft]\nkraft1 ansible_host=198.18.77.31 broker_id=1\n")
        );
        assert!(
            inventory(&Topology::bare(subnet, &["h1"]).unwrap(), &|_| None)
                .ends_with("[bare]\nh1 ansible_host=198.18.77.101\n")
        );
    }
}
