//! The counterfactual probe: what stopping a set of brokers would do to every partition (ops 2.2).
//!
//! [`probe`] says what would happen, one verdict a partition, the worst that fits. Internal topics are judged like all
//! others: losing `__consumer_offsets` or `__transaction_state` stops every consumer group or transaction.

use super::partition::{in_sync, size, staying};
use crate::reason::{PartitionVerdict, Verdict};
use crate::snapshot::{KafkaSnapshot, PartitionState, Topic};
use crate::{BrokerId, TopicPartition};
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

/// No waiting helps: the topic has not more replicas than must be in sync, so every stop breaks it.
#[must_use]
pub fn never_passes(verdict: &PartitionVerdict) -> bool {
    match verdict.verdict {
        Verdict::Rf1Offline => true,
        Verdict::AcksAllRefused | Verdict::AlreadyBroken => size(verdict.replicas.len()) <= verdict.min_isr,
        Verdict::Leaderless | Verdict::Acks1Risk | Verdict::Thin => false,
    }
}
