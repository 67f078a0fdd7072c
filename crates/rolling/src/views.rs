//! Agreement: whether what several brokers say can be believed.
//!
//! One broker's metadata may lag, and it does not say so (ops 2.1, "metadata freshness"). So at least two brokers
//! outside the candidate must say the same about everything that the candidate's stop would touch (ops 2.3 step 4).
//! What this can not see: all of them lagging by the same amount. The host's own readings and the agent's guard rail
//! stand against that.

use crate::observation::Observation;
use crate::policy::Policy;
use kfleet_model::snapshot::{KafkaMode, KafkaSnapshot, PartitionState, Quorum, Topic};
use kfleet_model::stop::partition::{is_offline, is_under_min_isr, is_under_replicated, size, staying};
use kfleet_model::{BrokerId, Reason, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Views that agree, when they come from [`agree`]; never empty.
#[derive(Debug, Clone)]
pub struct Agreed<'a> {
    views: Vec<&'a KafkaSnapshot>,
    first: &'a KafkaSnapshot,
}

/// The fresh views of brokers that the other views count as members.
///
/// A broker that lost its registration may still answer, with a picture of its own; what it says is left out.
#[must_use]
pub fn standing<'a>(observation: &'a Observation, policy: &Policy) -> BTreeMap<BrokerId, &'a KafkaSnapshot> {
    let fresh = observation.kafka(policy).by;
    let registered = |id: &BrokerId| fresh.iter().all(|(by, view)| by == id || view.brokers.contains_key(id));
    fresh.iter().filter(|(id, _)| registered(id)).map(|(id, view)| (*id, *view)).collect()
}

/// The fresh views from outside `outside`, whether they agree or not; none when there is not one.
///
/// Good enough to name what else is wrong beside the lack of agreement, never to stop a node.
#[must_use]
pub fn outside<'a>(observation: &'a Observation, policy: &Policy, outside: &BTreeSet<BrokerId>) -> Option<Agreed<'a>> {
    let standing = standing(observation, policy).into_iter();
    let views: Vec<&KafkaSnapshot> = standing.filter(|(by, _)| !outside.contains(by)).map(|(_, view)| view).collect();
    let first = *views.first()?;
    Some(Agreed { views, first })
}

/// Takes the fresh views from outside `stop` and lets them agree about everything that touches it.
///
/// # Errors
/// [`Reason::TooFewViews`] (with [`Reason::StaleSnapshot`] when old ones were there) or [`Reason::ViewsDisagree`].
pub fn agree<'a>(
    observation: &'a Observation,
    policy: &Policy,
    stop: &BTreeSet<BrokerId>,
) -> Result<Agreed<'a>, Vec<Reason>> {
    let seen = outside(observation, policy, stop);
    let got = seen.as_ref().map_or(0, |seen| size(seen.views.len()));
    let Some(seen) = seen.filter(|_| got >= policy.views) else {
        let mut reasons = vec![Reason::TooFewViews { got, need: policy.views }];
        if observation.kafka(policy).stale.iter().any(|by| !stop.contains(by)) {
            reasons.push(Reason::StaleSnapshot);
        }
        return Err(reasons);
    };
    for other in &seen.views {
        if let Some(about) = difference(seen.first, other, stop) {
            return Err(vec![Reason::ViewsDisagree { one: seen.first.seen_by, other: other.seen_by, about }]);
        }
    }
    Ok(seen)
}

/// The first thing on which two views differ, about the cluster and about what touches `stop`.
fn difference(one: &KafkaSnapshot, other: &KafkaSnapshot, stop: &BTreeSet<BrokerId>) -> Option<String> {
    whole(one, other).or_else(|| {
        let names: BTreeSet<&String> = one.topics.keys().chain(other.topics.keys()).collect();
        names.into_iter().find_map(|name| topic(name, one.topics.get(name), other.topics.get(name), stop))
    })
}

/// Differences about the cluster as a whole.
pub(crate) fn whole(one: &KafkaSnapshot, other: &KafkaSnapshot) -> Option<String> {
    let name = |id: Option<BrokerId>| id.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    if one.cluster_id != other.cluster_id {
        return Some(format!("the cluster id is {} or {}", one.cluster_id, other.cluster_id));
    }
    match (&one.mode, &other.mode) {
        (KafkaMode::ZooKeeper { active_controller: a }, KafkaMode::ZooKeeper { active_controller: b }) if a != b => {
            return Some(format!("the active controller is {} or {}", name(*a), name(*b)));
        }
        (KafkaMode::Kraft { quorum: a }, KafkaMode::Kraft { quorum: b }) => {
            if (a.leader, a.leader_epoch) != (b.leader, b.leader_epoch) {
                return Some(format!(
                    "the active controller is {} of epoch {} or {} of epoch {}",
                    name(a.leader),
                    a.leader_epoch,
                    name(b.leader),
                    b.leader_epoch
                ));
            }
            if !a.voters.keys().eq(b.voters.keys()) {
                return Some("the voters of the metadata quorum".to_owned());
            }
        }
        (KafkaMode::ZooKeeper { .. }, KafkaMode::Kraft { .. })
        | (KafkaMode::Kraft { .. }, KafkaMode::ZooKeeper { .. }) => {
            return Some("one is in ZooKeeper mode, the other in KRaft mode".to_owned());
        }
        (KafkaMode::ZooKeeper { .. }, KafkaMode::ZooKeeper { .. }) => {}
    }
    let (a, b): (BTreeSet<_>, BTreeSet<_>) = (one.brokers.keys().collect(), other.brokers.keys().collect());
    a.symmetric_difference(&b).next().map(|id| format!("broker {id} is registered or not"))
}

/// Differences about one topic, as far as `stop` has to do with it.
fn topic(name: &str, one: Option<&Topic>, other: Option<&Topic>, stop: &BTreeSet<BrokerId>) -> Option<String> {
    let states = |topic: Option<&Topic>| topic.map(|t| t.partitions.clone()).unwrap_or_default();
    let (a, b) = (states(one), states(other));
    let numbers: BTreeSet<i32> = a.keys().chain(b.keys()).copied().collect();
    let touched = |state: Option<&PartitionState>| state.is_some_and(|s| s.replicas.iter().any(|r| stop.contains(r)));
    for number in numbers {
        let (x, y) = (a.get(&number), b.get(&number));
        if !touched(x) && !touched(y) {
            continue;
        }
        let (Some(x), Some(y)) = (x, y) else { return Some(format!("partition {name}-{number} is there or not")) };
        let what = if x.leader != y.leader {
            "leader"
        } else if x.leader_epoch != y.leader_epoch {
            "leader epoch"
        } else if x.isr != y.isr {
            "ISR"
        } else if x.replicas != y.replicas || x.removing != y.removing {
            "replicas"
        } else if one.map(|t| t.min_isr) != other.map(|t| t.min_isr) {
            "min.insync.replicas"
        } else {
            continue;
        };
        return Some(format!("the {what} of {name}-{number}"));
    }
    None
}

impl<'a> Agreed<'a> {
    /// All of them, by broker id.
    #[must_use]
    pub fn views(&self) -> &[&'a KafkaSnapshot] {
        &self.views
    }

    /// The view of the lowest broker id; what all agree on can be read from it.
    #[must_use]
    pub fn first(&self) -> &'a KafkaSnapshot {
        self.first
    }

    /// The active controller.
    #[must_use]
    pub fn active_controller(&self) -> Option<BrokerId> {
        self.first.mode.active_controller()
    }

    /// The metadata quorum as each view has it; empty in ZooKeeper mode.
    pub fn quorums(&self) -> impl Iterator<Item = &'a Quorum> + '_ {
        self.views.iter().filter_map(|view| match &view.mode {
            KafkaMode::Kraft { quorum } => Some(quorum),
            KafkaMode::ZooKeeper { .. } => None,
        })
    }

    /// The broker is registered.
    #[must_use]
    pub fn registered(&self, id: BrokerId) -> bool {
        self.views.iter().all(|view| view.brokers.contains_key(&id))
    }

    /// Partitions of which some view says that a replica is not in sync. What touches nothing of the candidate may
    /// differ between views; the worse one counts.
    #[must_use]
    pub fn under_replicated(&self) -> BTreeSet<TopicPartition> {
        self.union(|view, _, state| is_under_replicated(view, state))
    }

    /// Partitions of which some view says that they are under min ISR.
    #[must_use]
    pub fn under_min_isr(&self) -> BTreeSet<TopicPartition> {
        self.union(is_under_min_isr)
    }

    /// Partitions of which some view says that nobody leads them.
    #[must_use]
    pub fn offline(&self) -> BTreeSet<TopicPartition> {
        self.union(|view, _, state| is_offline(view, state))
    }

    /// Partitions that are being moved, by any view.
    #[must_use]
    pub fn reassigning(&self) -> BTreeSet<TopicPartition> {
        let mut moving = self.union(|_, _, state| !state.removing.is_empty());
        moving.extend(self.views.iter().flat_map(|view| view.reassigning.iter().cloned()));
        moving
    }

    /// Partitions that have a replica on the broker which stays there.
    #[must_use]
    pub fn hosted(&self, broker: BrokerId) -> BTreeSet<TopicPartition> {
        self.union(|_, _, state| staying(state).contains(&broker))
    }

    /// Partitions for which the test holds in some view.
    pub(crate) fn union(
        &self,
        test: impl Fn(&KafkaSnapshot, &Topic, &PartitionState) -> bool,
    ) -> BTreeSet<TopicPartition> {
        self.views
            .iter()
            .flat_map(|view| view.partitions().map(move |(tp, topic, state)| (view, tp, topic, state)))
            .filter(|(view, _, topic, state)| test(view, topic, state))
            .map(|(_, tp, _, _)| tp)
            .collect()
    }
}
