//! The guard rail's rule: may the member on this host be stopped, as far as it can see itself.
//!
//! The roll plans with several views and a policy; the guard rail has one view and one thought: of a cluster, no second
//! node. So it holds against a stop only what a wait or a cure of another node would end. What no waiting ends (a topic
//! with one replica, an ensemble of two voters) is the operator's decision, and the roll's to ask about.
//!
//! ```text
//!   Apart    it does not serve yet ............... Free
//!   Adrift   it has lost its cluster ............. Adrift: for good, or for the length of an election
//!   Blind    it runs and says nothing ............ Blind: the roll has other views, a hand has none
//!   Kafka, ZooKeeper ............................. Against(reasons) | Clear(members) | Free, when it is alone
//! ```

use super::partition::{LISTED, size, staying};
use super::{never_passes, probe, quorum};
use crate::reason::Verdict;
use crate::snapshot::{KafkaMode, KafkaSnapshot, ZooKeeperRole, ZooKeeperServer, ZooKeeperState};
use crate::{BrokerId, Reason};
use std::collections::BTreeSet;
use std::time::Duration;

/// How far behind a voter may be: Kafka's `controller.quorum.fetch.timeout.ms` by default.
const QUORUM_FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// The length of one member's turn, see [`wait_for_turn`]. Chosen: the half of it in which a stop may begin, and as
/// much for the others to see it. A controlled shutdown takes the broker out of the in-sync sets first of all, which
/// other brokers hear of within a second.
pub const TURN: Duration = Duration::from_secs(6);

/// The first part of a turn, in which a look may begin and the stop follow.
pub const OPEN: Duration = Duration::from_secs(3);

/// What a member that is about to be stopped is to its cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nobody counts on it, so its stop takes nothing away.
    Apart {
        /// How that is known, for people.
        why: String,
    },
    /// The cluster does not count it at this moment.
    Adrift {
        /// Who says so, for people.
        why: String,
    },
    /// It runs, and nothing can be learned of its cluster.
    Blind {
        /// What was tried and failed, for people.
        why: String,
    },
    /// A Kafka node's own view.
    Kafka(KafkaSnapshot),
    /// A ZooKeeper server that serves, and the leader of its ensemble, which may be itself.
    ZooKeeper {
        /// The server.
        own: ZooKeeperServer,
        /// Its leader: each server knows itself only, and the leader whom it has in step.
        leader: ZooKeeperServer,
        /// Other servers that did not answer.
        silent: BTreeSet<BrokerId>,
    },
}

/// What the rule makes of a standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The stop takes nothing away from others.
    Free {
        /// Why, for people.
        why: String,
    },
    /// The cluster does not count it, which takes nothing away when it stays so. In an election it is so for a moment,
    /// and all its members say it of themselves.
    Adrift {
        /// Who says so, for people.
        why: String,
    },
    /// Nothing is known.
    Blind {
        /// What was tried and failed, for people.
        why: String,
    },
    /// The others bear it, if only one of all members stops.
    Clear {
        /// The member.
        node: BrokerId,
        /// All members whose stops must not meet, itself among them.
        members: BTreeSet<BrokerId>,
    },
    /// Another node is missed already, or would be missed then.
    Against(Vec<Reason>),
}

/// Applies the rule.
#[must_use]
pub fn judge(standing: &Standing) -> Answer {
    match standing {
        Standing::Apart { why } => Answer::Free { why: why.clone() },
        Standing::Adrift { why } => Answer::Adrift { why: why.clone() },
        Standing::Blind { why } => Answer::Blind { why: why.clone() },
        Standing::Kafka(view) => kafka(view),
        Standing::ZooKeeper { own, leader, silent } => zookeeper(own, leader, silent),
    }
}

/// The stop of the broker that the view is of.
fn kafka(view: &KafkaSnapshot) -> Answer {
    let node = view.seen_by;
    let replicas: BTreeSet<BrokerId> = view.partitions().flat_map(|(_, _, state)| staying(state)).collect();
    let gone = replicas.iter().filter(|id| **id != node && !view.brokers.contains_key(id));
    let mut reasons: Vec<Reason> = gone.map(|broker| Reason::BrokerNotRegistered { broker: *broker }).collect();
    if view.mode.active_controller().is_none() {
        reasons.push(Reason::NoActiveController);
    }
    reasons.extend(hurt(view));
    let mut members: BTreeSet<BrokerId> = view.brokers.keys().copied().chain(replicas).collect();
    if let KafkaMode::Kraft { quorum } = &view.mode {
        members.extend(quorum.voters.keys());
        reasons.extend(quorum::margin([quorum], node, QUORUM_FETCH_TIMEOUT).err());
    }
    reasons.dedup();
    members.insert(node);
    answer(node, members, reasons)
}

/// The partitions that this stop would hurt, and that a replica's return would save from it.
fn hurt(view: &KafkaSnapshot) -> Option<Reason> {
    let candidate = view.seen_by;
    let mut verdicts = probe(view, &BTreeSet::from([candidate]));
    // Where the broker is not in sync itself, its stop takes nothing away.
    verdicts.retain(|v| v.verdict != Verdict::Thin && v.isr.contains(&candidate) && !never_passes(v));
    verdicts.sort_by_key(|v| (v.verdict, v.partition.clone()));
    let count = size(verdicts.len());
    verdicts.truncate(LISTED);
    (count > 0).then_some(Reason::Partitions { candidate, verdicts, count })
}

/// The stop of one server of an ensemble.
fn zookeeper(own: &ZooKeeperServer, leader: &ZooKeeperServer, silent: &BTreeSet<BrokerId>) -> Answer {
    let node = own.server_id;
    match own.state {
        ZooKeeperState::Leader { .. } | ZooKeeperState::Follower => {}
        ZooKeeperState::Observer => return free("it observes and has no vote"),
        ZooKeeperState::Standalone => return free("it stands alone"),
        ZooKeeperState::NotServing => {
            return Answer::Adrift { why: "it serves nobody: there is no quorum, or an election".to_owned() };
        }
    }
    let voters: BTreeSet<BrokerId> =
        own.ensemble.iter().filter(|(_, role)| **role == ZooKeeperRole::Participant).map(|(id, _)| *id).collect();
    let mut reasons = Vec::new();
    if let ZooKeeperState::Leader { synced_followers, pending_syncs } = leader.state {
        let server = leader.server_id;
        let (in_step, expected) = (synced_followers, voters.len().saturating_sub(1) as u64);
        if in_step < expected {
            let why = format!("the leader has {in_step} followers in step of {expected}");
            reasons.push(Reason::EnsembleUnsettled { server, why });
            let silent = silent.intersection(&voters);
            reasons
                .extend(silent.map(|id| Reason::EnsembleUnsettled { server: *id, why: "does not answer".to_owned() }));
            // The leader and its followers, less the one that stops.
            let left = u32::try_from(in_step).unwrap_or(u32::MAX);
            let (voters, need) = (size(voters.len()), size(voters.len() / 2 + 1));
            if left < need {
                reasons.push(Reason::QuorumMargin { candidate: node, left, need, voters });
            }
        }
        if pending_syncs > 0 {
            let why = format!("{pending_syncs} syncs are pending with the leader");
            reasons.push(Reason::EnsembleUnsettled { server, why });
        }
    } else {
        reasons.push(Reason::NoActiveController);
    }
    answer(node, voters, reasons)
}

fn answer(node: BrokerId, members: BTreeSet<BrokerId>, reasons: Vec<Reason>) -> Answer {
    match (reasons.is_empty(), members.len()) {
        (false, _) => Answer::Against(reasons),
        (true, 0 | 1) => free("it is the only member"),
        (true, _) => Answer::Clear { node, members },
    }
}

fn free(why: &str) -> Answer {
    Answer::Free { why: why.to_owned() }
}

/// How long a member must wait until its stop may begin; zero within the open part of its turn.
///
/// Members take turns by rank and by the clock, `TURN` each, so that two hosts that were asked at the same moment and
/// know nothing of each other do not stop both. It holds while their clocks differ by less than `TURN - OPEN` minus
/// the time that a stop takes to be seen, and while they see the same members.
#[must_use]
pub fn wait_for_turn(node: BrokerId, members: &BTreeSet<BrokerId>, unix_ms: i64) -> Duration {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let (turn, open) = (millis(TURN), millis(OPEN));
    let count = |ids: usize| i64::try_from(ids).unwrap_or(i64::MAX / turn);
    let round = count(members.len().max(1)) * turn;
    let begins = count(members.iter().filter(|id| **id < node).count()) * turn;
    let since = (unix_ms - begins).rem_euclid(round);
    let wait = if since < open { 0 } else { round - since };
    Duration::from_millis(u64::try_from(wait).unwrap_or(0))
}

#[cfg(test)]
mod tests;
