//! Kafka's order and its gate before a stop, for ZooKeeper mode and for KRaft, combined or isolated (ops 2.3 steps 3 to
//! 5, 2.4).
//!
//! The order is made anew before every step:
//! 1. nodes of the plan that are down and not touched yet, because every other stop would come on top of them;
//! 2. isolated KRaft controllers by id, the active one last of them;
//! 3. combined nodes by id, the active controller last of them;
//! 4. brokers by rack, then id; in ZooKeeper mode the active controller last.

use crate::condition::{self, Condition};
use crate::decide::{Place, seen_by};
use crate::observation::{Member, Observation, Role, Roll};
use crate::policy::Policy;
use crate::probe::{Weighed, weigh};
use crate::progress::{Entered, NodeProgress, Picture, ProcessId, Progress};
use crate::views::{Agreed, agree, outside, standing, whole};
use kfleet_model::snapshot::KafkaSnapshot;
use kfleet_model::stop::partition::{in_sync, is_offline, listed, staying};
use kfleet_model::stop::quorum;
use kfleet_model::{BrokerId, Reason, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// The nodes that are left, in their order.
pub(crate) fn order(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
) -> Result<Vec<Place>, Vec<Reason>> {
    let views: Vec<&KafkaSnapshot> = standing(observation, policy).into_values().collect();
    let Some((first, rest)) = views.split_first() else {
        // Nobody answered; the agreement says so in its own words, and names hosts that are away too.
        let mut reasons = agree(observation, policy, &BTreeSet::new()).err().unwrap_or_default();
        reasons.extend(unreachable_hosts(roll, observation));
        return Err(reasons);
    };
    if let Some((other, about)) = rest.iter().find_map(|other| whole(first, other).map(|about| (other, about))) {
        return Err(vec![Reason::ViewsDisagree { one: first.seen_by, other: other.seen_by, about }]);
    }
    let active = first.mode.active_controller();
    let mut keyed: Vec<_> = progress
        .untouched()
        .filter_map(|id| roll.members().get(&id).map(|member| (id, member)))
        .map(|(id, member)| {
            let ready = condition::kafka(id, member, &views, observation, policy).is_ready();
            let rack = match member.role {
                Role::Broker | Role::ZooKeeper => first.brokers.get(&id).and_then(|b| b.rack.clone()),
                Role::Controller | Role::Combined => None,
            };
            let place = Place { node: id, host: member.host.clone(), why: why(ready, member.role, active == Some(id)) };
            ((ready, rank(member.role), ready && active == Some(id), rack, id), place)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(keyed.into_iter().map(|(_, place)| place).collect())
}

/// Controllers before brokers, as Kafka's own upgrade tests and Strimzi do (ops 1.3).
fn rank(role: Role) -> u8 {
    match role {
        Role::Controller => 0,
        Role::Combined => 1,
        Role::Broker | Role::ZooKeeper => 2,
    }
}

fn why(ready: bool, role: Role, active: bool) -> String {
    let text = match (ready, active, role) {
        (false, _, _) => "not ready, so it comes first",
        (true, true, Role::Controller) => "the active controller, so it is the last of them",
        (true, true, Role::Combined | Role::Broker | Role::ZooKeeper) => "the active controller, so it comes last",
        (true, false, Role::Controller) => "a controller, before the brokers",
        (true, false, Role::Combined) => "a follower of the metadata quorum",
        (true, false, Role::Broker | Role::ZooKeeper) => "by rack and id",
    };
    text.to_owned()
}

fn unreachable_hosts(roll: &Roll, observation: &Observation) -> Vec<Reason> {
    roll.members()
        .iter()
        .filter(|(id, _)| !observation.nodes.contains_key(id))
        .map(|(_, member)| Reason::HostUnreachable { host: member.host.clone() })
        .collect()
}

/// The gate before the stop of one node: evidence and the picture for its recovery, or every reason against it.
pub(crate) fn before(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
    candidate: BrokerId,
) -> Result<(Vec<String>, Entered), Vec<Reason>> {
    let stop = BTreeSet::from([candidate]);
    // Without agreement nothing is stopped, but what the views that are there complain of is named all the same.
    let mut reasons = agree(observation, policy, &stop).err().unwrap_or_default();
    let Some(agreed) = outside(observation, policy, &stop) else {
        reasons.extend(unreachable_hosts(roll, observation));
        return Err(reasons);
    };
    let conditions: BTreeMap<BrokerId, Condition> = roll
        .members()
        .iter()
        .map(|(id, member)| (*id, condition::kafka(*id, member, agreed.views(), observation, policy)))
        .collect();
    let waiting = waiting_for_us(&conditions, progress, candidate);

    reasons.extend(identity(roll, observation, &agreed, candidate));
    reasons.extend(members(roll, &conditions, &waiting, candidate));
    reasons.extend(cluster(&agreed, &waiting));
    let quorum = match quorum::margin(agreed.quorums(), candidate, policy.quorum_fetch_timeout()) {
        Ok(evidence) => evidence,
        Err(reason) => {
            reasons.push(reason);
            None
        }
    };
    let weighed = weigh(agreed.views().iter().copied(), &stop, &waiting, policy);
    reasons.extend(weighed.reason(candidate));
    reasons.dedup();
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok((evidence(&agreed, &weighed, quorum, candidate), entered(observation, &agreed, candidate)))
}

/// Nodes that are down, that we have not touched, and that the plan restarts: what they lack is not held against the
/// stop of one of them. Against the stop of a node that is up it always is, so the set is empty then.
fn waiting_for_us(
    conditions: &BTreeMap<BrokerId, Condition>,
    progress: &Progress,
    candidate: BrokerId,
) -> BTreeSet<BrokerId> {
    if !conditions.get(&candidate).is_some_and(Condition::is_down) {
        return BTreeSet::new();
    }
    let untouched = |id: &BrokerId| *id == candidate || progress.nodes().get(id) == Some(&NodeProgress::Untouched);
    conditions.iter().filter(|(id, c)| c.is_down() && untouched(id)).map(|(id, _)| *id).collect()
}

/// The cluster is the one that was planned for, and the candidate's data is its own (ops 2.1, "identity of data"): a
/// broker that starts over a missing mount or another broker's directory loses data.
fn identity(roll: &Roll, observation: &Observation, agreed: &Agreed<'_>, candidate: BrokerId) -> Vec<Reason> {
    let found = &agreed.first().cluster_id;
    let mut reasons = Vec::new();
    let mut wrong = |expected: String, found: String| reasons.push(Reason::WrongCluster { expected, found });
    if let Some(expected) = roll.cluster_id()
        && expected != found
    {
        wrong(format!("cluster {expected}"), format!("cluster {found}"));
    }
    for id in agreed.first().brokers.keys().filter(|id| !roll.members().contains_key(id)) {
        wrong("only brokers of the inventory".to_owned(), format!("broker {id} registered"));
    }
    if let Some(node) = observation.nodes.get(&candidate) {
        if let Some(id) = node.reading.node_id.filter(|id| *id != candidate) {
            wrong(format!("node {candidate} in the configuration of {}", node.reading.unit), format!("node {id}"));
        }
        for dir in &node.reading.log_dirs {
            if !dir.online {
                wrong(format!("a log directory at {}", dir.path), "none that can be read".to_owned());
            }
            if let Some(id) = dir.node_id.filter(|id| *id != candidate) {
                wrong(format!("node {candidate} in {}/meta.properties", dir.path), format!("node {id}"));
            }
            if let Some(id) = dir.cluster_id.as_ref().filter(|id| *id != found) {
                wrong(format!("cluster {found} in {}/meta.properties", dir.path), format!("cluster {id}"));
            }
        }
    }
    reasons
}

/// Every member is up and counted, but for the candidate when it is down and for those that wait for us as it does
/// (strimzi-kafka-operator 1001: skipping a node that is not ready loses one more with every run).
fn members(
    roll: &Roll,
    conditions: &BTreeMap<BrokerId, Condition>,
    waiting: &BTreeSet<BrokerId>,
    candidate: BrokerId,
) -> Vec<Reason> {
    let reason = |id: BrokerId, member: &Member, condition: &Condition| match condition {
        Condition::Ready => None,
        Condition::Down { .. } if waiting.contains(&id) => None,
        Condition::Down { why } => Some(match member.role {
            Role::Broker | Role::Combined | Role::ZooKeeper if id != candidate => {
                Reason::BrokerNotRegistered { broker: id }
            }
            Role::Broker | Role::Combined | Role::ZooKeeper | Role::Controller => {
                Reason::NotRestarted { node: id, why: why.clone() }
            }
        }),
        Condition::Unsettled { why } => Some(Reason::NotRestarted { node: id, why: why.clone() }),
        Condition::Unreachable => Some(Reason::HostUnreachable { host: member.host.clone() }),
        Condition::Stale => Some(Reason::StaleSnapshot),
    };
    roll.members()
        .iter()
        .filter_map(|(id, member)| conditions.get(id).and_then(|condition| reason(*id, member, condition)))
        .collect()
}

/// Nothing is wrong with the cluster beyond what the nodes that wait for us lack (ops 2.3 step 3).
fn cluster(agreed: &Agreed<'_>, waiting: &BTreeSet<BrokerId>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if agreed.active_controller().is_none_or(|id| waiting.contains(&id)) {
        reasons.push(Reason::NoActiveController);
    }
    let mut push = |set: BTreeSet<TopicPartition>, make: fn(Vec<TopicPartition>, u32) -> Reason| {
        if !set.is_empty() {
            let (partitions, count) = listed(&set);
            reasons.push(make(partitions, count));
        }
    };
    push(agreed.reassigning(), |partitions, count| Reason::Reassigning { partitions, count });
    push(
        agreed.union(|view, _, state| {
            // The last in-sync replica is kept in the ISR when its broker dies, so it tells whose return is needed.
            is_offline(view, state) && (state.isr.is_empty() || !state.isr.is_subset(waiting))
        }),
        |partitions, count| Reason::Offline { partitions, count },
    );
    push(
        agreed.union(|view, _, state| {
            let isr = in_sync(view, state);
            staying(state).iter().any(|id| !isr.contains(id) && !waiting.contains(id))
        }),
        |partitions, count| Reason::UnderReplicated { partitions, count },
    );
    reasons
}

fn evidence(agreed: &Agreed<'_>, weighed: &Weighed, quorum: Option<String>, candidate: BrokerId) -> Vec<String> {
    let ids: Vec<BrokerId> = agreed.views().iter().map(|view| view.seen_by).collect();
    let hosted = agreed.hosted(candidate).len();
    let hurt = if weighed.accepted == 0 { ", none would be hurt" } else { "" };
    let mut lines = vec![seen_by(&ids), format!("{hosted} partitions on node {candidate}{hurt}")];
    for (count, text) in [
        (weighed.thin, "would be exactly at min ISR"),
        (weighed.cured, "are under min ISR and wait for this node"),
        (weighed.accepted, "would refuse writes or go offline, as the policy accepts by topic"),
    ] {
        if count > 0 {
            lines.push(format!("{count} partitions {text}"));
        }
    }
    match agreed.active_controller() {
        Some(id) if id == candidate => lines.push(format!("node {id} is the active controller and the last to go")),
        Some(id) => lines.push(format!("the active controller is node {id}")),
        None => {}
    }
    lines.extend(quorum);
    lines
}

fn entered(observation: &Observation, agreed: &Agreed<'_>, candidate: BrokerId) -> Entered {
    Entered {
        process: observation.nodes.get(&candidate).and_then(|node| ProcessId::of(&node.reading)),
        picture: Picture::Kafka {
            was_active_controller: agreed.active_controller() == Some(candidate),
            under_replicated: agreed.under_replicated(),
            under_min_isr: agreed.under_min_isr(),
            offline: agreed.offline(),
        },
    }
}
