//! Which hosts a lab has, and where they live: pure values, computed from a name and a kind.
//!
//! Everything else in the lab (files, links, cgroups, probes) is derived from these, so two runs of `lab up` always
//! agree on what belongs to the lab. It does not look at the machine.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The name of the lab when none is given.
pub const DEFAULT_NAME: &str = "kfleet-lab";

/// The machine's own place in the lab: the bridge's address, and the name hosts know it by.
pub const CONTROLLER: &str = "controller";

/// Interface names hold 15 bytes and nspawn prefixes a host's link with `vb-`.
const HOST_NAME_MAX: usize = 12;

/// A network namespace's name is a file name, a cgroup folder and part of messages; this keeps all of them readable.
const LAB_NAME_MAX: usize = 40;

/// What runs on the hosts of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Three ZooKeeper hosts and three brokers of Kafka 3.9 in ZooKeeper mode.
    Zk,
    /// Three combined nodes (broker and quorum controller) of Kafka 4.1.
    Kraft,
    /// Hosts with an operating system and nothing else; only tests ask for it.
    #[value(skip)]
    Bare,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zk => "zk",
            Self::Kraft => "kraft",
            Self::Bare => "bare",
        })
    }
}

impl Kind {
    /// The release of Kafka that this kind of lab runs, where it runs one.
    pub fn kafka_version(self) -> Option<&'static str> {
        match self {
            Self::Zk => Some("3.9.1"),
            Self::Kraft => Some("4.1.1"),
            Self::Bare => None,
        }
    }
}

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A member of the ZooKeeper ensemble.
    ZooKeeper,
    /// A Kafka broker in ZooKeeper mode.
    Broker,
    /// A KRaft node that is broker and quorum controller in one.
    Combined,
    /// Nothing but the operating system.
    Bare,
}

impl Role {
    /// The inventory group of hosts with this role.
    pub fn group(self) -> &'static str {
        match self {
            Self::ZooKeeper => "zookeeper",
            Self::Broker => "kafka",
            Self::Combined => "kraft",
            Self::Bare => "bare",
        }
    }

    /// The systemd unit that this role runs, where it runs one.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::ZooKeeper => Some("zookeeper.service"),
            Self::Broker | Self::Combined => Some("kafka.service"),
            Self::Bare => None,
        }
    }
}

/// What a lab's hosts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosting {
    /// A booted container each, in a network of the lab's own.
    Containers,
    /// Plain processes of this machine: a folder and a loopback address each.
    Processes,
}

/// One /24 of 198.18.0.0/15, the range that RFC 2544 keeps for benchmarks: it is nobody's real network. Or, for hosts
/// that are plain processes, one of 127.0.0.0/16, which every machine has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: u8,
    second: u8,
    third: u8,
}

impl Subnet {
    /// The subnet of a lab: a fixed one for the default name, one picked by the name's hash for the others.
    ///
    /// Labs live in network namespaces of their own, so two names with one subnet do no harm.
    pub fn for_name(name: &str) -> Self {
        if name == DEFAULT_NAME {
            return Self { first: 198, second: 18, third: 77 };
        }
        let [.., high, low] = fnv1a(name.as_bytes()).to_be_bytes();
        Self { first: 198, second: 18 + (high & 1), third: low }
    }

    /// The loopback addresses of a lab whose hosts are plain processes: 127.0.1.0/24 for the default name, one of
    /// 127.0.2.0/24 to 127.0.255.0/24 for the others. Such labs share the machine's loopback, so these must differ.
    pub fn loopback(name: &str) -> Self {
        if name == DEFAULT_NAME {
            return Self { first: 127, second: 0, third: 1 };
        }
        let [.., low] = fnv1a(name.as_bytes()).to_be_bytes();
        Self { first: 127, second: 0, third: low.max(2) }
    }

    /// What hosts with such addresses are made of.
    pub fn hosting(self) -> Hosting {
        if self.first == 127 { Hosting::Processes } else { Hosting::Containers }
    }

    /// The address with this last byte.
    pub fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.first, self.second, self.third, last)
    }

    /// The address of the bridge, at which the hosts see the controller.
    pub fn controller(self) -> Ipv4Addr {
        self.address(1)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.address(0))
    }
}

impl FromStr for Subnet {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(address) = text.strip_suffix("/24")
            && let Ok(address) = address.parse::<Ipv4Addr>()
            && let [first, second, third, 0] = address.octets()
            && matches!((first, second, third), (198, 18 | 19, _) | (127, 0, 1..))
        {
            return Ok(Self { first, second, third });
        }
        bail!("subnet {text} is not a /24 of 198.18.0.0/15; write it as 198.18.N.0/24 or 198.19.N.0/24")
    }
}

impl TryFrom<String> for Subnet {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// One host as planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// The host name, which is also its name in the inventory.
    pub name: String,
    /// Its address on the lab's bridge.
    pub address: Ipv4Addr,
    /// What it is for.
    pub role: Role,
    /// `broker.id`, `node.id` or `myid`; for a bare host its position.
    pub id: u32,
}

/// All hosts of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// What the lab runs.
    pub kind: Kind,
    /// The network the hosts share.
    pub subnet: Subnet,
    /// The hosts, in the order in which they are shown; the first one keeps the time for the others.
    pub hosts: Vec<HostSpec>,
}

impl Topology {
    /// The hosts of a kind: `zk` has six, `kraft` has three, `bare` has none (see [`Topology::bare`]).
    pub fn of(kind: Kind, subnet: Subnet) -> Self {
        let mut hosts = Vec::new();
        let mut add = |prefix: &str, first: u8, role| {
            for id in 1..=3_u8 {
                let address = subnet.address(first + id - 1);
                hosts.push(HostSpec { name: format!("{prefix}{id}"), address, role, id: u32::from(id) });
            }
        };
        match kind {
            Kind::Zk => {
                add("zk", 11, Role::ZooKeeper);
                add("kafka", 21, Role::Broker);
            }
            Kind::Kraft => add("kraft", 31, Role::Combined),
            Kind::Bare => {}
        }
        Self { kind, subnet, hosts }
    }

    /// The same hosts as plain processes on loopback addresses.
    #[must_use]
    pub fn on_loopback(mut self, name: &str) -> Self {
        self.subnet = Subnet::loopback(name);
        for host in &mut self.hosts {
            let [.., last] = host.address.octets();
            host.address = self.subnet.address(last);
        }
        self
    }

    /// What the hosts are made of.
    pub fn hosting(&self) -> Hosting {
        self.subnet.hosting()
    }

    /// How the hosts call each other: by name where they have a hosts file of their own, else by address.
    pub(super) fn known_as(&self, host: &HostSpec) -> String {
        match self.hosting() {
            Hosting::Containers => host.name.clone(),
            Hosting::Processes => host.address.to_string(),
        }
    }

    /// Where a host's services listen: everywhere, unless everywhere is where the others listen too.
    pub(super) fn listens_on(&self, host: &HostSpec) -> Ipv4Addr {
        match self.hosting() {
            Hosting::Containers => Ipv4Addr::UNSPECIFIED,
            Hosting::Processes => host.address,
        }
    }

    /// Hosts with these names and no service.
    ///
    /// # Errors
    /// A name that is no host name, is taken by the controller, or comes twice.
    pub fn bare(subnet: Subnet, names: &[&str]) -> Result<Self> {
        let mut hosts: Vec<HostSpec> = Vec::new();
        for (position, name) in (0_u8..).zip(names) {
            check_name("host", name, HOST_NAME_MAX)?;
            ensure!(*name != CONTROLLER, "host name {CONTROLLER} belongs to the machine that holds the lab");
            ensure!(hosts.iter().all(|host| host.name != *name), "host name {name} comes twice");
            ensure!(position < 100, "a lab has room for 100 bare hosts, not more");
            hosts.push(HostSpec {
                name: (*name).to_owned(),
                address: subnet.address(101 + position),
                role: Role::Bare,
                id: u32::from(position) + 1,
            });
        }
        Ok(Self { kind: Kind::Bare, subnet, hosts })
    }

    /// The host with this name.
    ///
    /// # Errors
    /// No host has the name; the message lists those that exist.
    pub fn host(&self, name: &str) -> Result<&HostSpec> {
        if let Some(host) = self.hosts.iter().find(|host| host.name == name) {
            return Ok(host);
        }
        let known: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
        bail!("no host {name} in this lab; it has {}", known.join(", "))
    }

    /// The hosts with a role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &HostSpec> {
        self.hosts.iter().filter(move |host| host.role == role)
    }

    /// The hosts that run Kafka, in either mode.
    pub fn brokers(&self) -> impl Iterator<Item = &HostSpec> {
        self.hosts.iter().filter(|host| matches!(host.role, Role::Broker | Role::Combined))
    }

    /// The address of a host, or of the controller.
    ///
    /// # Errors
    /// No host has the name.
    pub fn address(&self, name: &str) -> Result<Ipv4Addr> {
        if name == CONTROLLER { Ok(self.subnet.controller()) } else { Ok(self.host(name)?.address) }
    }
}

/// Accepts a lab's name that is safe as a folder, a namespace and a cgroup.
///
/// # Errors
/// The name is empty, too long, or holds anything but lower-case letters, digits and inner hyphens.
pub(super) fn check_lab_name(name: &str) -> Result<()> {
    check_name("lab", name, LAB_NAME_MAX)
}

fn check_name(what: &str, name: &str, max: usize) -> Result<()> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !name.is_empty() && name.len() <= max && name.chars().all(inner);
    ensure!(
        fits && !name.starts_with('-') && !name.ends_with('-'),
        "{what} name {name:?} is not usable; write 1 to {max} lower-case letters, digits and inner hyphens"
    );
    Ok(())
}

/// FNV-1a, 64 bits: spreads names over subnets and machine ids. No secret depends on it.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_lab_has_the_six_documented_addresses() {
        let lab = Topology::of(Kind::Zk, Subnet::for_name(DEFAULT_NAME));
        let plan: Vec<String> =
            lab.hosts.iter().map(|host| format!("{} {} {}", host.name, host.address, host.id)).collect();
        assert_eq!(
            plan,
            [
                "zk1 198.18.77.11 1",
                "zk2 198.18.77.12 2",
                "zk3 198.18.77.13 3",
                "kafka1 198.18.77.21 1",
                "kafka2 198.18.77.22 2",
                "kafka3 198.18.77.23 3"
            ]
        );
        assert_eq!(lab.brokers().count(), 3);
        assert_eq!(lab.address(CONTROLLER).unwrap(), Ipv4Addr::new(198, 18, 77, 1));
    }

    #[test]
    fn a_kraft_lab_has_three_combined_nodes() {
        let lab = Topology::of(Kind::Kraft, Subnet::for_name(DEFAULT_NAME));
        let names: Vec<&str> = lab.with_role(Role::Combined).map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["kraft1", "kraft2", "kraft3"]);
        assert_eq!(lab.hosts[0].address, Ipv4Addr::new(198, 18, 77, 31));
    }

    #[test]
    fn every_name_gets_a_subnet_inside_the_benchmark_range() {
        for name in ["a", "kfleet-lab-2", "bench", "scenario-17"] {
            let subnet = Subnet::for_name(name);
            assert_eq!(subnet, Subnet::for_name(name), "the same name must give the same subnet");
            assert_eq!(subnet.to_string().parse::<Subnet>().unwrap(), subnet);
        }
        assert_ne!(Subnet::for_name("a"), Subnet::for_name("b"));
    }

    #[test]
    fn a_subnet_outside_the_benchmark_range_is_refused() {
        for text in ["10.0.0.0/24", "198.20.1.0/24", "198.18.1.0/16", "198.18.1.1/24", "198.18.1.0", "127.0.0.0/24", ""]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn plain_processes_have_loopback_addresses_and_call_each_other_by_them() {
        let lab = Topology::of(Kind::Zk, Subnet::for_name(DEFAULT_NAME)).on_loopback(DEFAULT_NAME);
        assert_eq!(lab.hosting(), Hosting::Processes);
        let broker = lab.host("kafka2").unwrap();
        assert_eq!(broker.address, Ipv4Addr::new(127, 0, 1, 22));
        assert_eq!((lab.known_as(broker), lab.listens_on(broker)), ("127.0.1.22".to_owned(), broker.address));
        for name in ["kfleet-kraft", "kfleet-scenarios"] {
            let subnet = Subnet::loopback(name);
            assert_ne!(subnet, Subnet::loopback(DEFAULT_NAME));
            assert_eq!(subnet.to_string().parse::<Subnet>().unwrap(), subnet);
        }
        assert_eq!(Subnet::for_name("kfleet-kraft").hosting(), Hosting::Containers);
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for name in ["", "-a", "a-", "A", "a/b", "..", "a b", "a_b", &"x".repeat(LAB_NAME_MAX + 1)] {
            assert!(check_lab_name(name).is_err(), "{name:?} was accepted");
        }
        for name in ["a", "kfleet-lab", "lab2"] {
            check_lab_name(name).unwrap();
        }
    }

    #[test]
    fn bare_hosts_are_checked_one_by_one() {
        let subnet = Subnet::for_name("bare");
        assert_eq!(Topology::bare(subnet, &["h1", "h2"]).unwrap().hosts[1].address, subnet.address(102));
        for names in [&["h1", "h1"][..], &["controller"], &["thirteenchars"]] {
            assert!(Topology::bare(subnet, names).is_err(), "{names:?} was accepted");
        }
    }

    #[test]
    fn an_unknown_host_is_answered_with_the_known_ones() {
        let lab = Topology::of(Kind::Kraft, Subnet::for_name("x"));
        assert_eq!(
            lab.host("kafka1").unwrap_err().to_string(),
            "no host kafka1 in this lab; it has kraft1, kraft2, kraft3"
        );
    }
}
