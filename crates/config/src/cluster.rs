//! What is wrong between the nodes of a cluster, and between services on one host.
//!
//! Purpose: conflicts that no single file shows: ids, ports, lists of voters, replication factors.
//! Place in the flow: the caller gathers the settings of all nodes of a cluster, as they will be; a list that is not
//! complete finds less and never more.

mod brokers;
mod ensemble;
mod ports;

use crate::kafka::Node;
use crate::zookeeper::Server;
use crate::{Extent, Finding, Release, Settings};
use std::collections::{BTreeMap, BTreeSet};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A broker or a KRaft controller.
    Kafka,
    /// A ZooKeeper server, with its id where it is known.
    ZooKeeper {
        /// `myid`.
        my_id: Option<i64>,
    },
}

/// One node of a cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// The host that it runs on: its name in the inventory.
    pub host: String,
    /// What it is.
    pub service: Service,
    /// Its release.
    pub release: Release,
    /// Whether these are all of its settings.
    pub extent: Extent,
    /// Its settings.
    pub settings: Settings,
}

/// Says what is wrong between the members, sorted by key. Members of several clusters may be among them: ports are
/// compared on each host, all else within a cluster.
#[must_use]
pub fn check(members: &[Member]) -> Vec<Finding> {
    let mut found = ports::check(members);
    for cluster in clusters(members) {
        found.extend(brokers::check(&cluster));
        found.extend(ensemble::check(&cluster));
    }
    found.sort_by(|a, b| (&a.key, &a.hosts).cmp(&(&b.key, &b.hosts)));
    found
}

/// Members that name a common server (of ZooKeeper, of the quorum) are of one cluster, and so are those that name none.
fn clusters(members: &[Member]) -> Vec<Vec<&Member>> {
    let mut clusters: Vec<(BTreeSet<String>, Vec<usize>)> = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let mut names = member.names();
        let mut together = vec![at];
        clusters.retain_mut(|(known, old)| {
            let apart = known.is_disjoint(&names);
            if !apart {
                names.append(known);
                together.append(old);
            }
            apart
        });
        together.sort_unstable();
        clusters.push((names, together));
    }
    let of = |together: Vec<usize>| together.into_iter().filter_map(|at| members.get(at)).collect();
    clusters.into_iter().map(|(_, together)| of(together)).collect()
}

impl Member {
    /// What the member calls its cluster: the servers that it names, each with the kind of service.
    fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        match self.service {
            Service::Kafka => {
                // The chroot is a part of the name: one ensemble may serve several clusters.
                let connect = self.settings.get("zookeeper.connect").unwrap_or_default();
                let (servers, chroot) = connect.find('/').map_or((connect, ""), |at| connect.split_at(at));
                names.extend(crate::value::items(servers).map(|server| format!("zookeeper {server}{chroot}")));
                let voters = self.settings.list("controller.quorum.voters");
                let voters = voters.iter().map(|voter| voter.split_once('@').map_or(*voter, |(_, server)| server));
                let servers = self.settings.list("controller.quorum.bootstrap.servers");
                names.extend(voters.chain(servers).map(|server| format!("quorum {server}")));
            }
            Service::ZooKeeper { .. } => {
                let servers = crate::zookeeper::servers::of(&self.settings).0;
                names.extend(servers.into_iter().map(|server| format!("server {}:{}", server.host, server.quorum)));
            }
        }
        if names.is_empty() {
            names.insert(if self.service == Service::Kafka { "kafka" } else { "zookeeper" }.to_owned());
        }
        names
    }

    fn kafka(&self) -> Option<Node<'_>> {
        let node = Node { release: self.release, extent: self.extent, settings: &self.settings, extra: &[] };
        (self.service == Service::Kafka).then_some(node)
    }

    fn zookeeper(&self) -> Option<Server<'_>> {
        match self.service {
            Service::Kafka => None,
            Service::ZooKeeper { my_id } => {
                let (release, settings) = (self.release, &self.settings);
                Some(Server { release, extent: self.extent, settings, my_id, extra: &[] })
            }
        }
    }
}

/// Values with the hosts that have them.
#[derive(Debug, Default)]
struct Votes<T: Ord>(BTreeMap<T, Vec<String>>);

impl<T: Ord> Votes<T> {
    fn add(&mut self, value: T, host: &str) {
        self.0.entry(value).or_default().push(host.to_owned());
    }

    /// Those that more than one host has.
    fn shared(self) -> impl Iterator<Item = (T, Vec<String>)> {
        self.0.into_iter().filter(|(_, hosts)| hosts.len() > 1)
    }

    /// All of them as texts, and all hosts, when there is more than one value.
    fn differing(self, show: impl Fn(&T) -> String) -> Option<(Vec<String>, Vec<String>)> {
        if self.0.len() < 2 {
            return None;
        }
        let texts = self.0.iter().map(|(value, hosts)| format!("{} on {}", show(value), hosts.join(", "))).collect();
        Some((texts, self.0.into_values().flatten().collect()))
    }
}

#[cfg(test)]
mod tests;
