//! The gates of Kafka nodes: registered, quorum, in-sync, preferred-leader (ops 2.3, gates C, E and F; 2.4).

use super::{Answer, Seen};
use crate::observation::Role;
use crate::progress::Picture;
use crate::views::{Agreed, agree, standing};
use kfleet_model::snapshot::KafkaMode;
use kfleet_model::stop::partition::{listed, staying};
use kfleet_model::stop::{partition, quorum};
use kfleet_model::{BrokerId, Reason, TopicPartition};
use std::collections::BTreeSet;

fn agreed<'a>(node: BrokerId, seen: &Seen<'a>) -> Result<Agreed<'a>, Answer> {
    agree(seen.observation, seen.policy, &BTreeSet::from([node]))
        .map_err(|reasons| Answer::Closed { reasons, left: None })
}

/// Some view says KRaft. Without any view the node's role decides, so that no gate is left out.
pub(super) fn in_kraft(seen: &Seen<'_>) -> bool {
    let mut views = standing(seen.observation, seen.policy).into_values().peekable();
    match (views.peek().is_some(), seen.member.role) {
        (true, _) => views.any(|view| matches!(view.mode, KafkaMode::Kraft { .. })),
        (false, Role::Controller | Role::Combined) => true,
        (false, Role::Broker | Role::ZooKeeper) => false,
    }
}

/// The process does not serve yet.
fn starting(node: BrokerId, seen: &Seen<'_>) -> Option<Reason> {
    let why = crate::condition::starting(seen.observation.nodes.get(&node)?)?;
    Some(Reason::NotRestarted { node, why })
}

/// The brokers outside count it as a member, and there is an active controller.
pub(super) fn registered(node: BrokerId, seen: &Seen<'_>) -> Answer {
    let agreed = match agreed(node, seen) {
        Ok(agreed) => agreed,
        Err(closed) => return closed,
    };
    let unregistered = (!agreed.registered(node)).then_some(Reason::BrokerNotRegistered { broker: node });
    // A broker that died while it stopped stays registered for its session, so the new process has to be open too.
    let reasons: Vec<Reason> = unregistered.into_iter().chain(starting(node, seen)).collect();
    if !reasons.is_empty() {
        let left = seen.observation.nodes.get(&node).and_then(|view| view.recovery_left);
        return Answer::Closed { reasons, left };
    }
    match agreed.active_controller() {
        Some(controller) => Answer::Open(format!(
            "registered, as {} brokers see it; the active controller is node {controller}",
            agreed.views().len()
        )),
        None => Answer::closed(Reason::NoActiveController),
    }
}

/// The quorum has a leader, and that has seen the node caught up.
pub(super) fn quorum(node: BrokerId, seen: &Seen<'_>) -> Answer {
    let agreed = match agreed(node, seen) {
        Ok(agreed) => agreed,
        Err(closed) => return closed,
    };
    let Some(leader) = agreed.active_controller() else { return Answer::closed(Reason::NoActiveController) };
    if let Some(reason) = starting(node, seen) {
        return Answer::closed(reason);
    }
    match agreed.quorums().find_map(|quorum| quorum::out_of_step(quorum, node, seen.policy.quorum_fetch_timeout())) {
        Some(why) => Answer::closed(Reason::NotRestarted { node, why }),
        None => Answer::Open(format!("in step with the metadata quorum, led by node {leader}")),
    }
}

/// Every replica of the node is in sync, and no partition of the cluster is worse off than before the stop.
pub(super) fn in_sync(node: BrokerId, before: &Picture, seen: &Seen<'_>) -> Answer {
    let agreed = match agreed(node, seen) {
        Ok(agreed) => agreed,
        Err(closed) => return closed,
    };
    let hosted = agreed.hosted(node);
    let behind = agreed
        .union(|view, _, state| staying(state).contains(&node) && !partition::in_sync(view, state).contains(&node));
    let mut reasons = Vec::new();
    let mut push = |set: &BTreeSet<TopicPartition>, make: &dyn Fn(Vec<TopicPartition>, u32) -> Reason| {
        if !set.is_empty() {
            let (partitions, count) = listed(set);
            reasons.push(make(partitions, count));
        }
    };
    push(&behind, &|partitions, count| Reason::NotInSync { broker: node, partitions, count });
    let empty = BTreeSet::new();
    let (replicated, min_isr, offline) = match before {
        Picture::Kafka { under_replicated, under_min_isr, offline, .. } => (under_replicated, under_min_isr, offline),
        Picture::ZooKeeper { .. } => (&empty, &empty, &empty),
    };
    let worse = |now: BTreeSet<TopicPartition>, then: &BTreeSet<TopicPartition>| -> BTreeSet<TopicPartition> {
        now.into_iter().filter(|tp| !then.contains(tp) && !behind.contains(tp)).collect()
    };
    push(&worse(agreed.offline(), offline), &|partitions, count| Reason::Offline { partitions, count });
    push(&worse(agreed.under_min_isr(), min_isr), &|partitions, count| Reason::UnderMinIsr { partitions, count });
    push(&worse(agreed.under_replicated(), replicated), &|partitions, count| Reason::UnderReplicated {
        partitions,
        count,
    });
    if reasons.is_empty() {
        return Answer::Open(format!("all {} replicas in sync, no partition worse off than before", hosted.len()));
    }
    Answer::Closed { reasons, left: Some(behind.len() as u64) }
}

/// The node leads every partition that prefers it.
pub(super) fn preferred_leader(node: BrokerId, seen: &Seen<'_>) -> Answer {
    if !seen.policy.elect_preferred {
        return Answer::Open("not asked for by the policy".to_owned());
    }
    let agreed = match agreed(node, seen) {
        Ok(agreed) => agreed,
        Err(closed) => return closed,
    };
    let prefers = |replicas: &[BrokerId]| replicas.first() == Some(&node);
    let preferring = agreed.union(|_, _, state| prefers(&state.replicas) && !state.removing.contains(&node));
    let elsewhere = agreed
        .union(|_, _, state| prefers(&state.replicas) && !state.removing.contains(&node) && state.leader != Some(node));
    if elsewhere.is_empty() {
        return Answer::Open(format!("leads all {} partitions that prefer it", preferring.len()));
    }
    let (partitions, count) = listed(&elsewhere);
    Answer::Act(elsewhere, Reason::NotPreferredLeader { broker: node, partitions, count })
}

/// What the stable window rests on, and how long it is.
pub(super) fn leader(seen: &Seen<'_>) -> (Option<BrokerId>, Option<i64>, u32) {
    let views = standing(seen.observation, seen.policy);
    let mode = views.values().next().map(|view| &view.mode);
    let epoch = mode.and_then(|mode| match mode {
        KafkaMode::Kraft { quorum } => Some(i64::from(quorum.leader_epoch)),
        KafkaMode::ZooKeeper { .. } => None,
    });
    (mode.and_then(KafkaMode::active_controller), epoch, seen.policy.stable_checks)
}
