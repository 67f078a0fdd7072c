//! What the policy makes of the counterfactual probe (`kfleet_model::stop::probe`): [`rule`] of one verdict, [`weigh`]
//! of all that several views give.

use crate::policy::Policy;
use kfleet_model::reason::{PartitionVerdict, Verdict};
use kfleet_model::snapshot::KafkaSnapshot;
use kfleet_model::stop::partition::{LISTED, size};
use kfleet_model::stop::{never_passes, probe};
use kfleet_model::{BrokerId, Reason, TopicPartition};
use std::collections::BTreeSet;

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
