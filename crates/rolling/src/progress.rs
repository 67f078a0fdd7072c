//! How far a roll is: one state per node, stored in the run journal so that a resumed run goes on.
//!
//! ```text
//!   Untouched --enter (journal first, then act)--> InFlight --finish (all gates open)--> Done
//!       ^                                             |
//!       +------ withdraw (the agent never began) -----+
//! ```
//! No other way exists: while a node is in flight no other can enter, and a node that is done never enters again.

use crate::decide::Proceed;
use crate::observation::Roll;
use crate::recovery::Recovery;
use kfleet_model::{BrokerId, NodeReading, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One process of a host, for good: a new start gives another one, even with the same pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Microseconds since that boot.
    pub started_us: u64,
    /// The pid.
    pub pid: u32,
}

impl ProcessId {
    /// The process of a reading, when one runs.
    #[must_use]
    pub fn of(reading: &NodeReading) -> Option<Self> {
        reading.main_pid.map(|pid| Self { boot_id: reading.boot_id.clone(), started_us: reading.started_us, pid })
    }
}

/// What was true just before a node was stopped; its recovery is measured against this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The process that ran; none when the node was down.
    pub process: Option<ProcessId>,
    /// The cluster.
    pub picture: Picture,
}

/// The cluster just before the stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Picture {
    /// A Kafka cluster.
    Kafka {
        /// The node was the active controller.
        was_active_controller: bool,
        /// Partitions that were under-replicated already.
        under_replicated: BTreeSet<TopicPartition>,
        /// Partitions that were under min ISR already.
        under_min_isr: BTreeSet<TopicPartition>,
        /// Partitions that were offline already.
        offline: BTreeSet<TopicPartition>,
    },
    /// A ZooKeeper ensemble.
    ZooKeeper {
        /// The server was the leader.
        was_leader: bool,
        /// Other servers that were down and wait for their own turn.
        down: BTreeSet<BrokerId>,
    },
}

/// One node's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeProgress {
    /// Nothing was done to it.
    Untouched,
    /// The intent to stop it is recorded; its gates are not all open.
    InFlight(Entered),
    /// All its gates were open.
    Done,
}

/// A step that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// The plan does not have the node.
    #[error("node {0} is not in the plan")]
    NotPlanned(BrokerId),
    /// The inventory does not have the node.
    #[error("node {0} is not a member of the cluster")]
    NotMember(BrokerId),
    /// Another node is in flight.
    #[error("node {node} can not begin while node {in_flight} is in flight")]
    Busy {
        /// The node that wanted to begin.
        node: BrokerId,
        /// The node in flight.
        in_flight: BrokerId,
    },
    /// It was done before.
    #[error("node {0} was done already and is not stopped twice")]
    DoneAlready(BrokerId),
    /// It is not in flight.
    #[error("node {0} is not in flight")]
    NotInFlight(BrokerId),
    /// Its gates are not all open.
    #[error("the gates of node {0} are not all open")]
    NotRecovered(BrokerId),
}

/// The nodes of a plan and how far each is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    nodes: BTreeMap<BrokerId, NodeProgress>,
}

impl Progress {
    /// Nothing is done yet of these nodes.
    ///
    /// # Errors
    /// When a node is no member of the cluster.
    pub fn new(roll: &Roll, nodes: impl IntoIterator<Item = BrokerId>) -> Result<Self, ProgressError> {
        let nodes: BTreeMap<_, _> = nodes.into_iter().map(|id| (id, NodeProgress::Untouched)).collect();
        match nodes.keys().find(|id| !roll.members().contains_key(id)) {
            Some(stranger) => Err(ProgressError::NotMember(*stranger)),
            None => Ok(Self { nodes }),
        }
    }

    /// Every node of the plan.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<BrokerId, NodeProgress> {
        &self.nodes
    }

    /// The node in flight, with what was true before its stop.
    #[must_use]
    pub fn in_flight(&self) -> Option<(BrokerId, &Entered)> {
        self.nodes.iter().find_map(|(id, node)| match node {
            NodeProgress::InFlight(entered) => Some((*id, entered)),
            NodeProgress::Untouched | NodeProgress::Done => None,
        })
    }

    /// Nodes that nothing was done to.
    pub fn untouched(&self) -> impl Iterator<Item = BrokerId> + '_ {
        self.nodes.iter().filter(|(_, node)| **node == NodeProgress::Untouched).map(|(id, _)| *id)
    }

    /// Nodes that are done.
    pub fn done(&self) -> impl Iterator<Item = BrokerId> + '_ {
        self.nodes.iter().filter(|(_, node)| **node == NodeProgress::Done).map(|(id, _)| *id)
    }

    /// Records the intent to stop a node. Store the result before acting on it.
    ///
    /// # Errors
    /// When another node is in flight, or this one is not in the plan or not untouched.
    pub fn enter(&self, proceed: &Proceed) -> Result<Self, ProgressError> {
        let node = proceed.node;
        if let Some((in_flight, _)) = self.in_flight() {
            return Err(ProgressError::Busy { node, in_flight });
        }
        match self.nodes.get(&node) {
            None => Err(ProgressError::NotPlanned(node)),
            Some(NodeProgress::Done) => Err(ProgressError::DoneAlready(node)),
            Some(NodeProgress::InFlight(_)) => Err(ProgressError::Busy { node, in_flight: node }),
            Some(NodeProgress::Untouched) => Ok(self.with(node, NodeProgress::InFlight(proceed.entered.clone()))),
        }
    }

    /// Takes the intent back. Only when the agent's journal says that no op of the step was ever accepted there: then
    /// the node was not touched, and it has to pass the gate before the stop anew.
    ///
    /// # Errors
    /// When the node is not in flight.
    pub fn withdraw(&self, node: BrokerId) -> Result<Self, ProgressError> {
        match self.nodes.get(&node) {
            Some(NodeProgress::InFlight(_)) => Ok(self.with(node, NodeProgress::Untouched)),
            Some(NodeProgress::Untouched | NodeProgress::Done) => Err(ProgressError::NotInFlight(node)),
            None => Err(ProgressError::NotPlanned(node)),
        }
    }

    /// Records that every gate of the node is open.
    ///
    /// # Errors
    /// When the node is not in flight or its recovery is not over.
    pub fn finish(&self, recovery: &Recovery) -> Result<Self, ProgressError> {
        let node = recovery.node();
        match self.nodes.get(&node) {
            Some(NodeProgress::InFlight(_)) if !recovery.is_over() => Err(ProgressError::NotRecovered(node)),
            Some(NodeProgress::InFlight(_)) => Ok(self.with(node, NodeProgress::Done)),
            Some(NodeProgress::Untouched | NodeProgress::Done) => Err(ProgressError::NotInFlight(node)),
            None => Err(ProgressError::NotPlanned(node)),
        }
    }

    fn with(&self, node: BrokerId, state: NodeProgress) -> Self {
        let mut nodes = self.nodes.clone();
        nodes.insert(node, state);
        Self { nodes }
    }
}
