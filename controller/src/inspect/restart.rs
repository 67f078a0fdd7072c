//! What could be restarted now, by the very rules that a roll asks before it stops a node.

use super::gather::{Gathered, Look};
use crate::report::inspection::{ClusterRestart, Member, RestartMatrix, Restartable};
use kfleet_inspect::Role;
use kfleet_model::{BrokerId, ClusterName, Reason};
use kfleet_rolling::{
    Decision, Member as RollMember, NodeView, Observation, Policy, Progress, Role as NodeRole, Roll, View, before_stop,
};
use std::collections::BTreeMap;

/// The matrix of all clusters.
pub(super) fn matrix(gathered: &Gathered) -> RestartMatrix {
    let clusters = gathered.looks.iter().map(|(name, looks)| (name.clone(), cluster(name, looks, gathered)));
    RestartMatrix { clusters: clusters.collect() }
}

fn cluster(_name: &ClusterName, looks: &[Look], gathered: &Gathered) -> ClusterRestart {
    let known: BTreeMap<BrokerId, &Look> = looks.iter().filter_map(|look| Some((look.id?, look))).collect();
    let members = known.iter().map(|(&id, look)| (id, RollMember { host: look.host.clone(), role: look.role }));
    let roll = Roll::new(None, members.collect());
    let observation = observation(&known, gathered);
    let member = |(&id, look): (&BrokerId, &&Look)| {
        let restart = match &roll {
            Ok(roll) => answer(roll, &observation, id),
            Err(_) => Restartable::Unknown(Vec::new()),
        };
        Member { node: id, host: look.host.clone(), role: role(look.role), rack: None, restart }
    };
    ClusterRestart { members: known.iter().map(member).collect(), racks: BTreeMap::new() }
}

fn observation(known: &BTreeMap<BrokerId, &Look>, gathered: &Gathered) -> Observation {
    let view = |look: &&Look| Some(View { began: look.began, snapshot: look.view.clone()? });
    let node = |(&id, look): (&BrokerId, &&Look)| {
        Some((id, NodeView { began: look.began, reading: look.node.clone()?, recovery_left: None }))
    };
    Observation {
        // The looks of one round are judged together, whatever was read after them.
        now: known.values().map(|look| look.began).max().unwrap_or(gathered.looked),
        last_change: None,
        views: known.values().filter_map(view).collect(),
        nodes: known.iter().filter_map(node).collect(),
    }
}

fn answer(roll: &Roll, observation: &Observation, id: BrokerId) -> Restartable {
    let policy = Policy::default();
    let Ok(progress) = Progress::new(roll, [id]) else { return Restartable::Unknown(Vec::new()) };
    match before_stop(roll, observation, &policy, &progress, id) {
        Decision::Proceed(_) | Decision::Done => Restartable::Yes,
        Decision::Wait(reasons) | Decision::Refuse(reasons) => verdict(reasons),
        Decision::Recover { .. } => Restartable::Unknown(Vec::new()),
    }
}

/// Where all that is said is that too little was seen, nobody knows; else the answer is no.
fn verdict(reasons: Vec<Reason>) -> Restartable {
    if reasons.iter().all(is_blind) { Restartable::Unknown(reasons) } else { Restartable::No(reasons) }
}

fn role(role: NodeRole) -> Role {
    match role {
        NodeRole::Broker => Role::KafkaBroker,
        NodeRole::Controller | NodeRole::Combined => Role::KraftController,
        NodeRole::ZooKeeper => Role::Zookeeper,
    }
}

/// It says that too little was seen, and nothing of the cluster.
fn is_blind(reason: &Reason) -> bool {
    matches!(reason, Reason::TooFewViews { .. } | Reason::StaleSnapshot | Reason::HostUnreachable { .. })
}
