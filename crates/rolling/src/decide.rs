//! The decision: may a node be stopped now, and which.
//!
//! [`decide`] never asks twice for a node, never while another is in flight, and gives every reason that stands against
//! a stop at once. [`course`] says which reasons may pass by themselves; [`expire`] ends the waiting.

use crate::gate::Gate;
use crate::kafka;
use crate::observation::{Observation, Roll};
use crate::policy::Policy;
use crate::progress::{Entered, Progress};
use crate::zookeeper;
use kfleet_model::stop::never_passes;
use kfleet_model::stop::partition::size;
use kfleet_model::{BrokerId, HostName, Reason};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A node's place in the order, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The node.
    pub node: BrokerId,
    /// Its host.
    pub host: HostName,
    /// Why it stands there, for people.
    pub why: String,
}

/// A node may be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proceed {
    /// Which.
    pub node: BrokerId,
    /// Its host.
    pub host: HostName,
    /// What was looked at, for people and the journal.
    pub evidence: Vec<String>,
    /// The nodes that are left, in the order in which they would follow if nothing changed, this one first.
    pub order: Vec<Place>,
    /// What its recovery will be measured against.
    pub entered: Entered,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Stop this node: record the intent with [`Progress::enter`] first.
    Proceed(Box<Proceed>),
    /// A node is in flight: finish its step and open its gates with [`crate::Recovery`]; nothing else may be stopped.
    Recover {
        /// Which.
        node: BrokerId,
    },
    /// Nothing may be stopped now, and that may pass by itself.
    Wait(Vec<Reason>),
    /// Nothing may be stopped, and waiting does not help.
    Refuse(Vec<Reason>),
    /// Every node of the plan is done.
    Done,
}

/// Says what to do next.
#[must_use]
pub fn decide(roll: &Roll, observation: &Observation, policy: &Policy, progress: &Progress) -> Decision {
    if let Some((node, _)) = progress.in_flight() {
        return Decision::Recover { node };
    }
    if progress.untouched().next().is_none() {
        return Decision::Done;
    }
    let order = match order(roll, observation, policy, progress) {
        Ok(order) => order,
        Err(reasons) => return judge(reasons),
    };
    match order.first() {
        Some(place) => {
            let node = place.node;
            gate_before(roll, observation, policy, progress, node, order)
        }
        None => Decision::Done,
    }
}

/// The gate before the stop, for one node.
///
/// For a resumed run: a node in flight whose host has begun no op, or has still tasks to run that would stop it, has to
/// pass here again before they are run, because the cluster may have changed since.
#[must_use]
pub fn before_stop(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
    node: BrokerId,
) -> Decision {
    match progress.in_flight() {
        Some((other, _)) if other != node => Decision::Recover { node: other },
        Some(_) | None => match order(roll, observation, policy, progress) {
            Ok(order) => gate_before(roll, observation, policy, progress, node, order),
            Err(reasons) => judge(reasons),
        },
    }
}

/// The nodes that are left in their order, for the plan. It is made anew before every step.
///
/// # Errors
/// The reasons for which no order can be made: the views are too few or disagree.
pub fn order(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
) -> Result<Vec<Place>, Vec<Reason>> {
    if roll.is_zookeeper() {
        zookeeper::order(roll, observation, policy, progress)
    } else {
        kafka::order(roll, observation, policy, progress)
    }
}

fn gate_before(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
    node: BrokerId,
    order: Vec<Place>,
) -> Decision {
    let Some(member) = roll.members().get(&node) else {
        let found = format!("node {node}");
        return Decision::Refuse(vec![Reason::WrongCluster { expected: "a node of the inventory".to_owned(), found }]);
    };
    let outcome = if roll.is_zookeeper() {
        zookeeper::before(roll, observation, policy, progress, node)
    } else {
        kafka::before(roll, observation, policy, progress, node)
    };
    match outcome {
        Ok((evidence, entered)) => {
            let host = member.host.clone();
            Decision::Proceed(Box::new(Proceed { node, host, evidence, order, entered }))
        }
        Err(reasons) => judge(reasons),
    }
}

/// Whether a reason may pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It may: the roll waits, up to the policy's patience.
    Wait,
    /// It can not: somebody has to act, and the roll ends at once.
    Refuse,
}

/// Which reasons are waited for and which are not.
#[must_use]
pub fn course(reason: &Reason) -> Course {
    match reason {
        // A wrong cluster stays wrong, a snapshot does not shrink, a lease is given back by its holder, a clock that is
        // far off is slewed for hours, and an expired gate is the end of waiting already.
        Reason::WrongCluster { .. }
        | Reason::SnapshotTooSlow { .. }
        | Reason::LeaseHeld { .. }
        | Reason::ClockSkew { .. }
        | Reason::GateExpired { .. } => Course::Refuse,
        // Verdicts that no waiting cures stand first in the list, so the ten that are listed tell.
        Reason::Partitions { verdicts, .. } if verdicts.iter().any(never_passes) => Course::Refuse,
        // More members are needed than there are beside the candidate.
        Reason::QuorumMargin { need, voters, .. } if *need >= *voters => Course::Refuse,
        Reason::Partitions { .. }
        | Reason::QuorumMargin { .. }
        | Reason::TooFewViews { .. }
        | Reason::ViewsDisagree { .. }
        | Reason::StaleSnapshot
        | Reason::HostUnreachable { .. }
        | Reason::BrokerNotRegistered { .. }
        | Reason::NoActiveController
        | Reason::Reassigning { .. }
        | Reason::UnderReplicated { .. }
        | Reason::UnderMinIsr { .. }
        | Reason::Offline { .. }
        | Reason::EnsembleUnsettled { .. }
        | Reason::NotRestarted { .. }
        | Reason::NotInSync { .. }
        | Reason::NotPreferredLeader { .. }
        | Reason::StableWindow { .. }
        | Reason::ZxidBehind { .. } => Course::Wait,
    }
}

/// Reasons against a stop as a decision: one that can not pass makes all of them a refusal, and stands first.
fn judge(mut reasons: Vec<Reason>) -> Decision {
    reasons.sort_by_key(|reason| course(reason) == Course::Wait);
    match reasons.first().map(course) {
        Some(Course::Refuse) => Decision::Refuse(reasons),
        Some(Course::Wait) | None => Decision::Wait(reasons),
    }
}

/// Ends the waiting: reasons that were waited for longer than the policy allows at that gate become a refusal, with
/// [`Reason::GateExpired`] first. `waited` counts from when the gate was reached or last came nearer to opening.
#[must_use]
pub fn expire(gate: Gate, reasons: Vec<Reason>, waited: Duration, policy: &Policy) -> Decision {
    if waited < policy.gate_time(gate) {
        return judge(reasons);
    }
    let expired = Reason::GateExpired { gate: gate.as_str().to_owned(), waited_s: waited.as_secs() };
    Decision::Refuse(std::iter::once(expired).chain(reasons).collect())
}

/// A sentence on the views that were believed.
pub(crate) fn seen_by(ids: &[BrokerId]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match size(names.len()) {
        1 => format!("as member {} sees it", names.join("")),
        _ => format!("members {} agree", names.join(", ")),
    }
}
