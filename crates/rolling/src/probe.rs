//! The counterfactual probe: what stopping a set of brokers would do to every partition (ops 2.2).
//!
//! [`probe`] says what would happen, one verdict a partition, the worst that fits; [`rule`] says what the policy makes
//! of a verdict. Internal topics are judged like all others: losing `__consumer_offsets` or `__transaction_state`
//! stops every consumer group or transaction.

use crate::partition::{LISTED, in_sync, size, staying};
use crate::policy::Policy;
use kfleet_model::reason::{PartitionVerdict, Verdict};
use kfleet_model::snapshot::{KafkaSnapshot, PartitionState, Topic};
use kfleet_model::{BrokerId, Reason, TopicPartition};
use std::collections::BTreeSet;

/// What stopping `stop` would do, for each partition that it would do something to.
#[must_use]
pub fn probe(snapshot: &KafkaSnapshot, stop: &BTreeSet<BrokerId>) -> Vec<PartitionVerdict> {
    snapshot.partitions().filter_map(|(tp, topic, state)| judge(snapshot, tp, topic, state, stop)).collect()
}

/// The worst verdict that fits one partition.
///
/// With R the replicas that stay, I those of them in sync on registered brokers, J = I without S, m min ISR, L leader.
fn judge(
    snapshot: &KafkaSnapshot,
    partition: TopicPartition,
    topic: &Topic,
    state: &PartitionState,
    stop: &BTreeSet<BrokerId>,
) -> Option<PartitionVerdict> {
    let replicas = staying(state);
    let isr = in_sync(snapshot, state);
    let left = isr.difference(stop).count();
    let (in_sync_now, min_isr) = (size(isr.len()), topic.min_isr);
    let touches = |set: &BTreeSet<BrokerId>| !set.is_disjoint(stop);
    let leads = state.leader.is_some_and(|leader| stop.contains(&leader));

    let verdict = if replicas.len() == 1 && touches(&isr) {
        // A single replica whose broker is gone already is not this case: its restart is the cure, below.
        Verdict::Rf1Offline
    } else if left == 0 && touches(&isr) {
        Verdict::Leaderless
    } else if in_sync_now < min_isr && touches(&replicas) {
        Verdict::AlreadyBroken
    } else if size(left) < min_isr && in_sync_now >= min_isr {
        Verdict::AcksAllRefused
    } else if left == 0 && leads {
        // Reached when the leader itself is about to be removed and nobody else is in sync; in every other case an
        // empty J is LEADERLESS or RF1_OFFLINE already.
        Verdict::Acks1Risk
    } else if size(left) == min_isr && size(replicas.len()) > min_isr && touches(&replicas) {
        Verdict::Thin
    } else {
        return None;
    };
    Some(PartitionVerdict { partition, verdict, replicas: state.replicas.clone(), isr, left: size(left), min_isr })
}

/// What the policy makes of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The stop is harmless to the partition.
    Harmless,
    /// The operator named the topic and accepted it.
    Accepted,
    /// The partition is broken and the stopped node is what it lacks.
    Cure,
    /// It may pass by itself.
    Wait,
    /// It can not pass by itself.
    Refuse,
}

/// Rules on a verdict (ops 2.2, column "default policy"). `unready` are brokers that are down and that a restart cures.
#[must_use]
pub fn rule(
    verdict: &PartitionVerdict,
    stop: &BTreeSet<BrokerId>,
    unready: &BTreeSet<BrokerId>,
    policy: &Policy,
) -> Ruling {
    let topic = &verdict.partition.topic;
    match verdict.verdict {
        Verdict::Leaderless | Verdict::Acks1Risk => Ruling::Wait,
        Verdict::Rf1Offline if policy.accept_offline_topics.contains(topic) => Ruling::Accepted,
        Verdict::Rf1Offline => Ruling::Refuse,
        Verdict::AlreadyBroken if cures(verdict, stop, unready) => Ruling::Cure,
        Verdict::AlreadyBroken | Verdict::AcksAllRefused => {
            match (never_passes(verdict), policy.accept_refused_writes_topics.contains(topic)) {
                (true, true) if verdict.left > 0 => Ruling::Accepted,
                (true, _) => Ruling::Refuse,
                (false, _) => Ruling::Wait,
            }
        }
        // Fine for one stop, never for two: the batch is wrong, and waiting does not make it smaller.
        Verdict::Thin if stop.len() == 1 => Ruling::Harmless,
        Verdict::Thin => Ruling::Refuse,
    }
}

/// Every stopped replica is out of sync and its broker down: stopping it takes nothing away, and starting it may bring
/// it back.
fn cures(verdict: &PartitionVerdict, stop: &BTreeSet<BrokerId>, unready: &BTreeSet<BrokerId>) -> bool {
    verdict.replicas.iter().filter(|id| stop.contains(id)).all(|id| !verdict.isr.contains(id) && unready.contains(id))
}

/// No waiting helps: the topic has not more replicas than must be in sync, so every stop breaks it.
#[must_use]
pub fn never_passes(verdict: &PartitionVerdict) -> bool {
    match verdict.verdict {
        Verdict::Rf1Offline => true,
        Verdict::AcksAllRefused | Verdict::AlreadyBroken => size(verdict.replicas.len()) <= verdict.min_isr,
        Verdict::Leaderless | Verdict::Acks1Risk | Verdict::Thin => false,
    }
}

/// The outcome of a probe under a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Weighed {
    /// Verdicts that forbid the stop, those first that no waiting cures, then by how bad they are.
    pub against: Vec<PartitionVerdict>,
    /// Partitions that would be exactly at min ISR.
    pub thin: u32,
    /// Partitions whose harm the operator accepted.
    pub accepted: u32,
    /// Partitions that wait for the node.
    pub cured: u32,
}

/// Probes several agreed views of one cluster and rules on every verdict; a partition counts with its worst one.
#[must_use]
pub fn weigh<'a>(
    snapshots: impl IntoIterator<Item = &'a KafkaSnapshot>,
    stop: &BTreeSet<BrokerId>,
    unready: &BTreeSet<BrokerId>,
    policy: &Policy,
) -> Weighed {
    let mut worst: std::collections::BTreeMap<TopicPartition, PartitionVerdict> = std::collections::BTreeMap::new();
    for verdict in snapshots.into_iter().flat_map(|snapshot| probe(snapshot, stop)) {
        let known = worst.get(&verdict.partition);
        if known.is_none_or(|known| verdict.verdict < known.verdict) {
            worst.insert(verdict.partition.clone(), verdict);
        }
    }
    let mut weighed = Weighed::default();
    for verdict in worst.into_values() {
        match rule(&verdict, stop, unready, policy) {
            Ruling::Harmless => weighed.thin += 1,
            Ruling::Accepted => weighed.accepted += 1,
            Ruling::Cure => weighed.cured += 1,
            Ruling::Wait | Ruling::Refuse => weighed.against.push(verdict),
        }
    }
    weighed.against.sort_by_key(|v| (!never_passes(v), v.verdict, v.partition.clone()));
    weighed
}

impl Weighed {
    /// The reason against stopping the candidate, if there is one.
    #[must_use]
    pub fn reason(&self, candidate: BrokerId) -> Option<Reason> {
        (!self.against.is_empty()).then(|| Reason::Partitions {
            candidate,
            verdicts: self.against.iter().take(LISTED).cloned().collect(),
            count: size(self.against.len()),
        })
    }
}
