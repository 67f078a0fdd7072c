//! The small facts about one partition on which every rule rests, in one place so that no two rules differ.

use crate::snapshot::{KafkaSnapshot, PartitionState, Topic};
use crate::{BrokerId, TopicPartition};
use std::collections::BTreeSet;

/// How many partitions a reason lists; the rest is counted.
pub const LISTED: usize = 10;

/// The replicas that will stay: those that a reassignment takes away are not counted on (Strimzi proposal 103 names
/// the race that counting them makes).
#[must_use]
pub fn staying(state: &PartitionState) -> BTreeSet<BrokerId> {
    state.replicas.iter().copied().filter(|id| !state.removing.contains(id)).collect()
}

/// The replicas that are in sync and can be counted on: they stay, and their broker is registered. Kafka never empties
/// an ISR, so a dead broker can be the last one in it.
#[must_use]
pub fn in_sync(snapshot: &KafkaSnapshot, state: &PartitionState) -> BTreeSet<BrokerId> {
    state.isr.iter().copied().filter(|id| !state.removing.contains(id) && snapshot.brokers.contains_key(id)).collect()
}

/// Some replica that should be in sync is not.
#[must_use]
pub fn is_under_replicated(snapshot: &KafkaSnapshot, state: &PartitionState) -> bool {
    in_sync(snapshot, state).len() < staying(state).len()
}

/// Nobody leads it, or a broker that is gone.
#[must_use]
pub fn is_offline(snapshot: &KafkaSnapshot, state: &PartitionState) -> bool {
    state.leader.is_none_or(|leader| !snapshot.brokers.contains_key(&leader))
}

/// `acks=all` writes are refused.
#[must_use]
pub fn is_under_min_isr(snapshot: &KafkaSnapshot, topic: &Topic, state: &PartitionState) -> bool {
    size(in_sync(snapshot, state).len()) < topic.min_isr
}

/// A length as the number of a reason.
#[must_use]
pub fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The first few of a set, and how many there are.
#[must_use]
pub fn listed(partitions: &BTreeSet<TopicPartition>) -> (Vec<TopicPartition>, u32) {
    (partitions.iter().take(LISTED).cloned().collect(), size(partitions.len()))
}
