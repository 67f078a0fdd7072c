//! What a node is, and what it then needs.

use super::{Node, listeners};
use crate::{Extent, Finding, Problem, Release};
use std::collections::BTreeSet;

/// The release that has no ZooKeeper any more (Kafka's upgrade notes for 4.0).
const WITHOUT_ZOOKEEPER: Release = Release::new(4, 0);

/// What a node is: `process.roles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A broker of a cluster whose metadata is in ZooKeeper.
    ZooKeeperBroker,
    /// A broker of a KRaft cluster.
    Broker,
    /// A KRaft controller.
    Controller,
    /// Both in one process.
    Combined,
}

impl Role {
    /// Votes on the metadata of a KRaft cluster.
    #[must_use]
    pub fn is_controller(self) -> bool {
        match self {
            Self::Controller | Self::Combined => true,
            Self::ZooKeeperBroker | Self::Broker => false,
        }
    }

    /// Holds partitions.
    #[must_use]
    pub fn is_broker(self) -> bool {
        match self {
            Self::ZooKeeperBroker | Self::Broker | Self::Combined => true,
            Self::Controller => false,
        }
    }

    pub(super) fn is_kraft(self) -> bool {
        self != Self::ZooKeeperBroker
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::ZooKeeperBroker => "a broker with ZooKeeper",
            Self::Broker => "a KRaft broker",
            Self::Controller => "a KRaft controller",
            Self::Combined => "a combined KRaft node",
        }
    }
}

/// One entry of `controller.quorum.voters`: `ID@HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Voter {
    pub(crate) id: i64,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The voters of a node, and the entries that are none.
pub(crate) fn voters(node: Node<'_>) -> (BTreeSet<Voter>, Vec<String>) {
    let (mut voters, mut wrong) = (BTreeSet::new(), Vec::new());
    for entry in node.settings.list("controller.quorum.voters") {
        let parsed = entry.split_once('@').and_then(|(id, address)| {
            let (host, port) = listeners::address(address)?;
            Some(Voter { id: id.trim().parse().ok()?, host, port })
        });
        match parsed {
            Some(voter) => drop(voters.insert(voter)),
            None => wrong.push(entry.to_owned()),
        }
    }
    (voters, wrong)
}

pub(super) fn of(node: Node<'_>) -> Option<Role> {
    let roles = node.settings.list("process.roles");
    match (roles.contains(&"broker"), roles.contains(&"controller")) {
        (true, true) => Some(Role::Combined),
        (true, false) => Some(Role::Broker),
        (false, true) => Some(Role::Controller),
        (false, false) if node.extent == Extent::Whole && node.release < WITHOUT_ZOOKEEPER => {
            Some(Role::ZooKeeperBroker)
        }
        (false, false) => None,
    }
}

pub(super) fn check(node: Node<'_>) -> Vec<Finding> {
    let mut found = needed(node);
    found.extend(twice(node));
    found.extend(ids(node));
    if let Some(role) = of(node).filter(|role| role.is_kraft()) {
        found.extend(quorum(node, role));
        found.extend(zookeeper_beside(node));
    }
    found.extend(protocol_versions(node));
    found
}

/// Each role once (`KafkaConfig.parseProcessRoles`).
fn twice(node: Node<'_>) -> Option<Finding> {
    let roles = node.settings.list("process.roles");
    let distinct: BTreeSet<&str> = roles.iter().copied().collect();
    (distinct.len() < roles.len()).then(|| {
        let why = "'process.roles' names a role twice".to_owned();
        Finding::error("process.roles", node.settings, Problem::Rule { why, hint: None })
    })
}

/// `node.id` and `broker.id` mean the same and must be equal (`KafkaConfig.validateValues`).
fn ids(node: Node<'_>) -> Option<Finding> {
    let (id, broker) = (node.settings.number("node.id")?, node.settings.number("broker.id")?);
    (id != broker).then(|| {
        let why = format!("'node.id' is {id} and 'broker.id' is {broker}, and both name the same node");
        let problem = Problem::Rule { why, hint: Some("give node.id alone") };
        Finding::error("node.id", node.settings, problem)
    })
}

/// What each role can not start without (`KafkaConfig.validateValues`; Kafka's documentation, "KRaft", "Process roles"
/// and "Controllers").
fn needed(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if node.extent == Extent::Part {
        return found;
    }
    let mut missing = |keys: &[&str], role: &'static str| {
        if keys.iter().all(|key| node.settings.filled(key).is_none()) {
            let problem = Problem::Missing { key: keys.join(" or "), role };
            found.push(Finding::error(keys.first().copied().unwrap_or_default(), node.settings, problem));
        }
    };
    let Some(role) = of(node) else {
        missing(&["process.roles"], "every node of Kafka 4");
        return found;
    };
    match role {
        Role::ZooKeeperBroker => missing(&["zookeeper.connect"], role.phrase()),
        Role::Broker | Role::Controller | Role::Combined => {
            missing(&["node.id", "broker.id"], role.phrase());
            missing(&["controller.listener.names"], role.phrase());
            // KIP-853; a public key since 3.9.
            if node.release >= Release::new(3, 9) {
                missing(&["controller.quorum.voters", "controller.quorum.bootstrap.servers"], role.phrase());
            } else {
                missing(&["controller.quorum.voters"], role.phrase());
            }
            // Without it a controller would listen as PLAINTEXT, which no controller listener is.
            if role.is_controller() {
                missing(&["listeners"], role.phrase());
            }
        }
    }
    found
}

/// A controller is among the voters, and nothing else is (`KafkaConfig.validateValues`); an even number of them is a
/// node more and no failure survived more (Raft; Kafka's documentation, "KRaft", "Deploying considerations").
fn quorum(node: Node<'_>, role: Role) -> Vec<Finding> {
    const KEY: &str = "controller.quorum.voters";
    let (voters, wrong) = voters(node);
    let mut found: Vec<Finding> = wrong
        .into_iter()
        .map(|got| {
            let problem = Problem::Form { key: KEY.to_owned(), got, form: "ID@HOST:PORT" };
            Finding::error(KEY, node.settings, problem)
        })
        .collect();
    if voters.is_empty() || !found.is_empty() {
        return found;
    }
    if let Some(id) = node.id() {
        let among = voters.iter().any(|voter| voter.id == id);
        let why = match (role.is_controller(), among) {
            (true, false) => Some(format!("node {id} is a controller and not among the voters of '{KEY}'")),
            (false, true) => Some(format!("node {id} is a broker alone, and is among the voters of '{KEY}'")),
            (true, true) | (false, false) => None,
        };
        found.extend(why.map(|why| Finding::error(KEY, node.settings, Problem::Rule { why, hint: None })));
    }
    let ids: BTreeSet<i64> = voters.iter().map(|voter| voter.id).collect();
    if ids.len() < voters.len() {
        let why = format!("'{KEY}' names the same id with two addresses");
        found.push(Finding::error(KEY, node.settings, Problem::Rule { why, hint: None }));
    }
    found.extend(even(ids.len()).map(|problem| Finding::warning(KEY, node.settings, problem)));
    found
}

/// The problem of an even number of voters.
pub(crate) fn even(voters: usize) -> Option<Problem> {
    let even = voters > 0 && voters.is_multiple_of(2);
    even.then(|| Problem::EvenQuorum { voters, survives: voters / 2 - 1 })
}

/// A KRaft node reads `zookeeper.connect` only while it takes over a cluster from ZooKeeper (KIP-866).
fn zookeeper_beside(node: Node<'_>) -> Option<Finding> {
    const KEY: &str = "zookeeper.connect";
    let migrates = node.settings.truth("zookeeper.metadata.migration.enable") == Some(true);
    let there = node.settings.filled(KEY).is_some() && node.release < WITHOUT_ZOOKEEPER;
    (there && node.extent == Extent::Whole && !migrates).then(|| {
        let why = format!("'{KEY}' is set on a KRaft node that is not taking a cluster over from ZooKeeper");
        let hint = Some("set zookeeper.metadata.migration.enable for a migration, or take the key out");
        Finding::warning(KEY, node.settings, Problem::Rule { why, hint })
    })
}

/// From 3.0 on a message format is taken from the protocol version (Kafka's upgrade notes for 3.0); KRaft clusters have
/// `metadata.version` in the place of the protocol version from 3.3 on (KIP-778). An older protocol than the release
/// means that an upgrade was not brought to its end (Kafka's documentation, "Upgrading", step 3 and 4).
fn protocol_versions(node: Node<'_>) -> Vec<Finding> {
    const PROTOCOL: &str = "inter.broker.protocol.version";
    const FORMAT: &str = "log.message.format.version";
    let mut found = Vec::new();
    if node.release >= WITHOUT_ZOOKEEPER {
        return found;
    }
    let mut warn = |key: &str, why: String, hint| {
        found.push(Finding::warning(key, node.settings, Problem::Rule { why, hint: Some(hint) }));
    };
    let protocol = node.settings.get(PROTOCOL).and_then(|value| value.parse::<Release>().ok());
    let kraft = of(node).is_some_and(Role::is_kraft);
    match protocol {
        Some(_) if kraft && node.release >= Release::new(3, 3) => {
            let why = format!("'{PROTOCOL}' has no effect on a KRaft node");
            warn(PROTOCOL, why, "the cluster's metadata.version took its place: kafka-features.sh");
        }
        Some(protocol) if protocol < node.release => {
            let why = format!("'{PROTOCOL}' is {protocol} on Kafka {}", node.release);
            warn(PROTOCOL, why, "raise it once all brokers run the new release: the upgrade ends with that");
        }
        Some(_) | None => {}
    }
    if node.settings.get(FORMAT).is_some() && node.release >= Release::new(3, 0) {
        let why = format!("'{FORMAT}' has no effect with a protocol of 3.0 or later");
        warn(FORMAT, why, "take it out; the message format comes of the protocol version");
    }
    found
}
