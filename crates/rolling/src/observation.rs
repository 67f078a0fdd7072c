//! What the controller brings: the fleet that is rolled, and what was seen of it.
//!
//! Times are durations on the controller's own monotonic clock since its process began; they are never compared with
//! another machine's clock, and never stored.

use kfleet_model::snapshot::{ClusterSnapshot, KafkaSnapshot, ZooKeeperServer};
use kfleet_model::{BrokerId, HostName, NodeReading};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::policy::Policy;

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A Kafka broker, in ZooKeeper or KRaft mode.
    Broker,
    /// A KRaft controller that is no broker.
    Controller,
    /// A KRaft broker and controller in one process.
    Combined,
    /// A ZooKeeper server.
    ZooKeeper,
}

/// A node of the fleet as the inventory knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its host.
    pub host: HostName,
    /// What it is for.
    pub role: Role,
}

/// Why a set of members can not be rolled as one cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollError {
    /// There is nobody.
    #[error("the cluster has no members")]
    Empty,
    /// Two kinds of nodes that are not one cluster.
    #[error("{zookeeper} is a ZooKeeper server and {kafka} a Kafka node; they are rolled as two clusters")]
    Mixed {
        /// A ZooKeeper host.
        zookeeper: HostName,
        /// A Kafka host.
        kafka: HostName,
    },
}

/// The cluster that is rolled: every member, also those that are not to be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    cluster_id: Option<String>,
    members: BTreeMap<BrokerId, Member>,
}

impl Roll {
    /// Takes the members of one cluster, and the cluster id when it is known from the plan.
    ///
    /// # Errors
    /// When there are none, or ZooKeeper servers and Kafka nodes are mixed.
    pub fn new(cluster_id: Option<String>, members: BTreeMap<BrokerId, Member>) -> Result<Self, RollError> {
        let zookeeper = members.values().find(|m| m.role == Role::ZooKeeper);
        let kafka = members.values().find(|m| m.role != Role::ZooKeeper);
        match (zookeeper, kafka) {
            (None, None) => Err(RollError::Empty),
            (Some(z), Some(k)) => Err(RollError::Mixed { zookeeper: z.host.clone(), kafka: k.host.clone() }),
            (Some(_), None) | (None, Some(_)) => Ok(Self { cluster_id, members }),
        }
    }

    /// The Kafka cluster id that must be found.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// All members by id.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<BrokerId, Member> {
        &self.members
    }

    /// It is a ZooKeeper ensemble.
    #[must_use]
    pub fn is_zookeeper(&self) -> bool {
        self.members.values().any(|m| m.role == Role::ZooKeeper)
    }
}

/// One member's view of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// When the controller asked for it.
    pub began: Duration,
    /// What came back.
    pub snapshot: ClusterSnapshot,
}

/// The host's own view of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// When the controller asked for it.
    pub began: Duration,
    /// What the agent read.
    pub reading: NodeReading,
    /// Logs and segments that log recovery has still to read, when the host can tell (ops 2.1: LogManager's
    /// `remainingLogsToRecover` and `remainingSegmentsToRecover`, or the broker's log).
    pub recovery_left: Option<u64>,
}

/// Everything that was seen for one decision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// The controller's clock, when the observation was complete.
    pub now: Duration,
    /// When the last change of ours (a stop, a start, an election) had returned; none when this process of the
    /// controller has changed nothing, so after a resume every observation is newer than the last change.
    pub last_change: Option<Duration>,
    /// The cluster's views that came back; a member that did not answer has none.
    pub views: Vec<View>,
    /// The hosts' readings that came back, by node; a host whose agent did not answer has none.
    pub nodes: BTreeMap<BrokerId, NodeView>,
}

/// What is new enough to be judged, and how much was not.
#[derive(Debug, Clone)]
pub struct Fresh<'a, T> {
    /// By the member that saw it.
    pub by: BTreeMap<BrokerId, &'a T>,
    /// Views that were too old.
    pub stale: BTreeSet<BrokerId>,
}

impl Observation {
    /// Something that began then may be believed now: it began after the last change returned (ops 2.3 step 4) and is
    /// not older than the policy allows.
    #[must_use]
    pub fn is_fresh(&self, began: Duration, policy: &Policy) -> bool {
        let after_change = self.last_change.is_none_or(|change| began >= change);
        let age = self.now.saturating_sub(began);
        after_change && age <= Duration::from_secs(policy.view_max_age_s)
    }

    /// The fresh views of brokers; of several by one broker the newest.
    #[must_use]
    pub fn kafka(&self, policy: &Policy) -> Fresh<'_, KafkaSnapshot> {
        self.pick(policy, |snapshot| match snapshot {
            ClusterSnapshot::Kafka(kafka) => Some((kafka.seen_by, kafka)),
            ClusterSnapshot::ZooKeeper(_) => None,
        })
    }

    /// The fresh views of ZooKeeper servers; of several by one server the newest.
    #[must_use]
    pub fn zookeeper(&self, policy: &Policy) -> Fresh<'_, ZooKeeperServer> {
        self.pick(policy, |snapshot| match snapshot {
            ClusterSnapshot::Kafka(_) => None,
            ClusterSnapshot::ZooKeeper(server) => Some((server.server_id, server)),
        })
    }

    fn pick<'a, T>(
        &'a self,
        policy: &Policy,
        take: impl Fn(&'a ClusterSnapshot) -> Option<(BrokerId, &'a T)>,
    ) -> Fresh<'a, T> {
        let mut newest: BTreeMap<BrokerId, (Duration, &'a T)> = BTreeMap::new();
        let mut stale = BTreeSet::new();
        for view in &self.views {
            let Some((by, seen)) = take(&view.snapshot) else { continue };
            if !self.is_fresh(view.began, policy) {
                stale.insert(by);
            } else if newest.get(&by).is_none_or(|(began, _)| *began <= view.began) {
                newest.insert(by, (view.began, seen));
            }
        }
        let by: BTreeMap<_, _> = newest.into_iter().map(|(id, (_, seen))| (id, seen)).collect();
        stale.retain(|id| !by.contains_key(id));
        Fresh { by, stale }
    }
}
