//! The gates that a node passes: their names and their order.
//!
//! The names are public words: they stand in events, in the history and in the terminal, and are never renamed.

use crate::observation::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One gate of a node's way through a roll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Everything that must hold before the node is stopped.
    BeforeStop,
    /// A new process runs.
    Process,
    /// The cluster counts the broker as a member.
    Registered,
    /// The KRaft quorum counts the voter as caught up, and has a leader.
    Quorum,
    /// Every replica of the broker is in sync, and no partition is worse off than before the stop.
    InSync,
    /// The broker leads the partitions that prefer it.
    PreferredLeader,
    /// The ZooKeeper server follows, observes or leads, and the ensemble has one leader.
    Joined,
    /// The ZooKeeper server has every transaction that the leader had.
    CaughtUp,
    /// All of that has held for a number of checks in a row.
    Stable,
}

impl Gate {
    /// The gate's public name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeStop => "before-stop",
            Self::Process => "process",
            Self::Registered => "registered",
            Self::Quorum => "quorum",
            Self::InSync => "in-sync",
            Self::PreferredLeader => "preferred-leader",
            Self::Joined => "joined",
            Self::CaughtUp => "caught-up",
            Self::Stable => "stable",
        }
    }

    /// The gates after a stop, in their order (ops 2.3 step 10 and the table of 2.4).
    #[must_use]
    pub fn after_stop(role: Role, kraft: bool) -> &'static [Gate] {
        match (role, kraft) {
            (Role::Broker, _) | (Role::Combined, false) => {
                &[Gate::Process, Gate::Registered, Gate::InSync, Gate::PreferredLeader, Gate::Stable]
            }
            (Role::Combined, true) => {
                &[Gate::Process, Gate::Registered, Gate::Quorum, Gate::InSync, Gate::PreferredLeader, Gate::Stable]
            }
            (Role::Controller, _) => &[Gate::Process, Gate::Quorum, Gate::Stable],
            (Role::ZooKeeper, _) => &[Gate::Process, Gate::Joined, Gate::CaughtUp, Gate::Stable],
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
