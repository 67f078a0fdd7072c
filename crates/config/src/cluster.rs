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
use std::collections::BTreeMap;

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
    /// All of its settings.
    pub settings: Settings,
}

/// Says what is wrong between the members, sorted by key.
#[must_use]
pub fn check(members: &[Member]) -> Vec<Finding> {
    let mut found = ports::check(members);
    found.extend(brokers::check(members));
    found.extend(ensemble::check(members));
    found.sort_by(|a, b| (&a.key, &a.hosts).cmp(&(&b.key, &b.hosts)));
    found
}

impl Member {
    fn kafka(&self) -> Option<Node<'_>> {
        let node = Node { release: self.release, extent: Extent::Whole, settings: &self.settings, extra: &[] };
        (self.service == Service::Kafka).then_some(node)
    }

    fn zookeeper(&self) -> Option<Server<'_>> {
        match self.service {
            Service::Kafka => None,
            Service::ZooKeeper { my_id } => {
                let (release, settings) = (self.release, &self.settings);
                Some(Server { release, extent: Extent::Whole, settings, my_id, extra: &[] })
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
