//! One operation on one host, and the events by which the agent tells of it.

use crate::result::TaskResult;
use crate::{ClusterName, Generation, Map, OpId, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the controller asks an agent to do.
///
/// An op outlives the call that carries it: the agent journals it by `op_id` and runs it at most once, however
/// often it is submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// The op's id; the same id is never run twice on a host.
    pub op_id: OpId,
    /// The run that it belongs to.
    pub run_id: RunId,
    /// The cluster whose lease covers it, with the lease's generation; none outside cluster operations.
    pub lease: Option<Lease>,
    /// The module's name, short form (`lineinfile`).
    pub module: String,
    /// The module's parameters, rendered, as the playbook gave them.
    pub params: Map,
    /// Check mode: say what would change and change nothing.
    pub check: bool,
    /// Diff mode: put textual diffs into the changes.
    pub diff: bool,
    /// How long the op may take, counted by the agent from the moment it accepts it.
    pub deadline: Duration,
    /// The user to run commands as; none is the agent's own user (root).
    pub become_user: Option<String>,
    /// Environment variables for commands.
    pub environment: BTreeMap<String, String>,
    /// Secrets are among the parameters or in the output: results and logs are masked.
    pub no_log: bool,
}

/// The right to change a cluster: its name and a number that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The cluster.
    pub cluster: ClusterName,
    /// The generation of the holder; an agent refuses a lower one than it has seen.
    pub generation: Generation,
}

/// How an op ended. There is no sixth way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum OpEnd {
    /// The module ran to its end and the state is as wanted (or, in check mode, was compared).
    Done {
        /// What it found and changed.
        result: TaskResult,
    },
    /// The module ran and failed.
    Failed {
        /// What it found and changed before it failed; `msg` says why.
        result: TaskResult,
    },
    /// The agent did not start it: bad parameters, unknown module, a lower generation, a guard rail.
    Refused {
        /// Why, as a sentence fragment.
        why: String,
    },
    /// Its deadline passed before its first side effect.
    Expired {
        /// What it was waiting for.
        why: String,
    },
    /// It began and nobody can say how it ended: the agent or the host died in the middle.
    Unknown {
        /// What is known.
        why: String,
    },
}

impl OpEnd {
    /// The result, when the module gave one.
    #[must_use]
    pub fn result(&self) -> Option<&TaskResult> {
        match self {
            Self::Done { result } | Self::Failed { result } => Some(result),
            Self::Refused { .. } | Self::Expired { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// Which of a command's two streams a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One event of an op, as the agent sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpEvent {
    /// Counts from 0 for each op without a gap; a reader that re-attaches asks for the next one it lacks.
    pub seq: u64,
    /// What happened.
    pub kind: OpEventKind,
}

/// What an op event says.
#[derive(Debug, Clone, PartialEq)]
pub enum OpEventKind {
    /// The op was accepted and began.
    Started,
    /// A piece of output.
    Output {
        /// Which stream.
        stream: OutputStream,
        /// The bytes as the command wrote them; pieces may cut a character.
        data: Vec<u8>,
    },
    /// What a long op is doing now.
    Progress {
        /// For people: what it waits for, on which object.
        text: String,
    },
    /// The op is over; the last event.
    Finished(Box<OpEnd>),
}
