//! The events of a run: one ordered stream that feeds the terminal, JSON lines, the run journal and, later, the
//! web page and the metrics.
//!
//! Shape: every event has the run's id, a number that counts from 0 in the run, and a time stamp that the
//! dispatcher gives (RFC 3339, UTC); the rest depends on `event`. This is the `--json` contract: keys are added,
//! never renamed.

use crate::reason::Reason;
use crate::{BrokerId, Class, ClusterName, HostName, HostStatus, RunId, TaskResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One event with its place in the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The run.
    pub run: RunId,
    /// Counts from 0 without a gap.
    pub seq: u64,
    /// When the dispatcher took it, RFC 3339 in UTC.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Where a task stands: play and task counted from 0, with the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRef {
    /// The play's number.
    pub play: u32,
    /// The task's path in the play; dynamic includes add levels (`4.0.2`), handlers begin with `h`.
    pub path: String,
    /// The task's name, rendered where it could be, or its module's.
    pub name: String,
    /// The role that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// It is a handler.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
    /// File and line, `tasks/main.yml:12`.
    pub location: String,
}

/// Counts of a host in the recap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostCounts {
    /// Tasks that ended well, the changed ones among them, as Ansible counts.
    pub ok: u32,
    /// Tasks that changed something.
    pub changed: u32,
    /// Times that the host was unreachable.
    pub unreachable: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// Tasks that were skipped.
    pub skipped: u32,
    /// Failures that a rescue took over.
    pub rescued: u32,
    /// Failures that were ignored.
    pub ignored: u32,
    /// Tasks of which nobody can say how they ended.
    pub unknown: u32,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunEnd {
    /// All that was asked was done.
    Succeeded,
    /// A task failed or a host was unreachable.
    Failed,
    /// A gate did not open: nothing more was stopped, the cluster was left serving, the reasons are named.
    FailedSafe,
    /// The operator stopped it.
    Cancelled,
    /// The controller failed; `resume` can go on.
    Interrupted,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run began or was taken up again.
    RunStarted {
        /// What runs: the playbook's path or the ad-hoc command.
        what: String,
        /// Check mode.
        check: bool,
        /// It is a resumed run.
        resumed: bool,
        /// The plan's SHA-256.
        plan: String,
    },
    /// A play began.
    PlayStarted {
        /// Its number.
        play: u32,
        /// Its name.
        name: String,
        /// Its hosts.
        hosts: Vec<HostName>,
    },
    /// A task began.
    TaskStarted {
        /// Which.
        task: TaskRef,
    },
    /// An item of a task, or a task without a loop, ended on a host.
    HostResult {
        /// Which task.
        task: TaskRef,
        /// The host.
        host: HostName,
        /// How it ended.
        status: HostStatus,
        /// What it returned; masked when `no_log`.
        result: Box<TaskResult>,
        /// The loop item's label, for one item of a loop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<String>,
        /// The host that it ran on, when delegated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delegated_to: Option<String>,
        /// It was taken from the journal of an earlier part of the run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
        /// How long it took.
        elapsed_ms: u64,
    },
    /// A piece of output of a running command, for `--verbose` and watchers.
    HostOutput {
        /// The host.
        host: HostName,
        /// The text; bytes that are not UTF-8 are replaced.
        text: String,
        /// It is standard error.
        stderr: bool,
    },
    /// What a long step is doing.
    HostProgress {
        /// The host.
        host: HostName,
        /// What it waits for.
        text: String,
    },
    /// A task is tried again (`until`).
    HostRetry {
        /// Which task.
        task: TaskRef,
        /// The host.
        host: HostName,
        /// Tries that are left.
        left: u32,
    },
    /// The connection to an agent was lost and is being made again; the op goes on.
    HostReconnecting {
        /// The host.
        host: HostName,
        /// What was lost.
        why: String,
        /// Attempts so far.
        attempt: u32,
    },
    /// The connection is back.
    HostReconnected {
        /// The host.
        host: HostName,
        /// How long it was gone.
        after_ms: u64,
    },
    /// A rolling play has its order.
    RollPlanned {
        /// The cluster.
        cluster: ClusterName,
        /// Hosts in their order with the reason for their place.
        order: Vec<(HostName, String)>,
    },
    /// A node may be stopped: the probe's evidence.
    RollProceed {
        /// The host.
        host: HostName,
        /// The node.
        node: BrokerId,
        /// What was looked at, for people: "24 partitions, 0 hurt, ...".
        evidence: Vec<String>,
    },
    /// The roll waits.
    RollWaiting {
        /// The host.
        host: HostName,
        /// The gate.
        gate: String,
        /// Why it is not open.
        reasons: Vec<Reason>,
        /// Since when, in milliseconds.
        waited_ms: u64,
    },
    /// A gate opened.
    RollGate {
        /// The host.
        host: HostName,
        /// The gate.
        gate: String,
        /// How long it was waited for.
        waited_ms: u64,
        /// What was seen.
        evidence: String,
    },
    /// A node is done.
    RollNodeDone {
        /// The host.
        host: HostName,
        /// The node.
        node: BrokerId,
        /// How long the service was down.
        down_ms: u64,
        /// From the first probe to the last gate.
        total_ms: u64,
        /// The part of that in which neither the cluster nor the host was waited for: kfleet's own time.
        own_ms: u64,
    },
    /// The roll refuses to go on.
    RollRefused {
        /// The host that would have been next, or whose gate did not open.
        host: Option<HostName>,
        /// Why.
        reasons: Vec<Reason>,
        /// Hosts that were rolled.
        done: Vec<HostName>,
        /// Hosts that were not touched.
        not_done: Vec<HostName>,
    },
    /// For the operator: something is odd and does not stop the run.
    Warning {
        /// The text.
        text: String,
    },
    /// The run ended in an error that is not a host's.
    RunError {
        /// Whose fault.
        class: Class,
        /// The message with its causes.
        text: String,
    },
    /// The run is over.
    RunEnded {
        /// How.
        end: RunEnd,
        /// The recap.
        hosts: BTreeMap<HostName, HostCounts>,
        /// How long it took.
        elapsed_ms: u64,
    },
}
