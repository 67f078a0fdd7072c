//! The condition of one Kafka node: what the host and the cluster say of it together.
//!
//! ```text
//!   host: process, port      cluster counts it?
//!        up, open              yes              Ready
//!        up, closed            yes              Unsettled  a new process starts, and the cluster means the old one
//!        up                    no               Unsettled  it starts or recovers its logs; never restart that
//!        down                  yes              Unsettled  the cluster has not noticed yet
//!        down                  no               Down       a start is the cure
//!        unknown                                Unreachable
//! ```
//! The cluster's word is late by a session timeout when a process dies, and a host may have started another by then;
//! that is why the host is asked too.

use crate::observation::{Member, NodeView, Observation, Role};
use crate::policy::Policy;
use kfleet_model::snapshot::{KafkaMode, KafkaSnapshot};
use kfleet_model::stop::quorum;
use kfleet_model::{BrokerId, NodeReading};

/// The condition of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Up and counted.
    Ready,
    /// Down, and starting it is the cure.
    Down {
        /// What was seen, for people.
        why: String,
    },
    /// Host and cluster do not fit together; waiting may help, a restart may harm.
    Unsettled {
        /// What was seen, for people.
        why: String,
    },
    /// The agent did not answer.
    Unreachable,
    /// The agent's answer is older than the last change.
    Stale,
}

impl Condition {
    /// Up and counted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Down, and starting it is the cure.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }
}

/// The host says that the node's process runs.
#[must_use]
pub fn is_up(reading: &NodeReading) -> bool {
    reading.main_pid.is_some() && !matches!(reading.active_state.as_str(), "inactive" | "failed" | "deactivating")
}

/// The node recovers its logs, which a restart would begin anew.
#[must_use]
pub fn recovering(node: &NodeView) -> Option<String> {
    let left = node.recovery_left.filter(|left| *left > 0)?;
    Some(format!("it recovers its logs, {left} logs and segments are left"))
}

/// The process is not yet what the cluster counts: it recovers, or its port is closed.
#[must_use]
pub fn starting(node: &NodeView) -> Option<String> {
    let closed = || (!node.reading.port_open).then(|| "its process runs and its port is closed".to_owned());
    recovering(node).or_else(closed)
}

/// Puts the host's and the cluster's word together.
///
/// `counted` says why the cluster does not count the node, or nothing when it does.
pub(crate) fn condition(
    id: BrokerId,
    observation: &Observation,
    policy: &Policy,
    not_counted: Option<String>,
) -> Condition {
    let Some(node) = observation.nodes.get(&id) else { return Condition::Unreachable };
    if !observation.is_fresh(node.began, policy) {
        return Condition::Stale;
    }
    let reading = &node.reading;
    match (is_up(reading), not_counted) {
        (true, None) => match starting(node) {
            Some(why) => Condition::Unsettled { why },
            None => Condition::Ready,
        },
        (false, Some(counted)) => {
            Condition::Down { why: format!("{} is {} and {counted}", reading.unit, reading.active_state) }
        }
        (false, None) => Condition::Unsettled {
            why: format!("{} is {}, and the cluster has not noticed yet", reading.unit, reading.active_state),
        },
        (true, Some(counted)) => match recovering(node) {
            Some(why) => Condition::Unsettled { why },
            None if policy.restart_unregistered => Condition::Down { why: format!("its process runs and {counted}") },
            None => Condition::Unsettled { why: format!("its process runs and {counted}") },
        },
    }
}

/// The condition of a Kafka node, by all views that stand.
pub(crate) fn kafka(
    id: BrokerId,
    member: &Member,
    views: &[&KafkaSnapshot],
    observation: &Observation,
    policy: &Policy,
) -> Condition {
    let unregistered = || {
        let missing = views.iter().find(|view| view.seen_by != id && !view.brokers.contains_key(&id));
        missing.map(|view| format!("is not registered, as broker {} says", view.seen_by))
    };
    let out_of_step = || {
        views.iter().find_map(|view| match &view.mode {
            KafkaMode::Kraft { quorum } => quorum::out_of_step(quorum, id, policy.quorum_fetch_timeout()),
            KafkaMode::ZooKeeper { .. } => None,
        })
    };
    let not_counted = match member.role {
        Role::Broker | Role::ZooKeeper => unregistered(),
        Role::Controller => out_of_step(),
        Role::Combined => unregistered().or_else(out_of_step),
    };
    condition(id, observation, policy, not_counted)
}
