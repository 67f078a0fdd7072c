//! Short scenarios with their outcome as an operator reads it.

mod gates;
mod kafka;
mod verdicts;
mod zookeeper;

use crate::decide::{Decision, decide};
use crate::gate::Gate;
use crate::observation::Role;
use crate::policy::Policy;
use crate::progress::Progress;
use crate::recovery::{Expect, GateState, Movement, Recovery};
use crate::sim::{Cluster, SimKafka, SimTopic};
use kfleet_model::Reason;

fn text(decision: &Decision) -> String {
    let list = |reasons: &[Reason]| reasons.iter().map(|r| format!("\n- {r}")).collect::<String>();
    match decision {
        Decision::Proceed(p) => {
            let order: Vec<String> = p.order.iter().map(|place| format!("\n  {} {}", place.host, place.why)).collect();
            format!("proceed with {}\n- {}{}", p.host, p.evidence.join("\n- "), order.concat())
        }
        Decision::Recover { node } => format!("recover node {node}"),
        Decision::Wait(reasons) => format!("wait{}", list(reasons)),
        Decision::Refuse(reasons) => format!("refuse{}", list(reasons)),
        Decision::Done => "done".to_owned(),
    }
}

fn topic(name: &str, min_isr: u32, partitions: &[&[i32]]) -> SimTopic {
    SimTopic { name: name.to_owned(), min_isr, partitions: partitions.iter().map(|p| p.to_vec()).collect() }
}

/// Three brokers in ZooKeeper mode, RF 3, min ISR 2, broker 2 the active controller.
fn three() -> SimKafka {
    let roles: Vec<(i32, Role)> = (1..=3).map(|id| (id, Role::Broker)).collect();
    let mut cluster = SimKafka::new(&roles, &[topic("orders", 2, &[&[1, 2, 3], &[2, 3, 1]])]);
    cluster.set_active(2);
    cluster
}

fn all(cluster: &impl Cluster) -> Progress {
    Progress::new(cluster.roll(), cluster.roll().members().keys().copied()).unwrap()
}

/// What is decided about a cluster of which nothing is done yet.
fn first(cluster: &impl Cluster, policy: &Policy) -> String {
    text(&decide(cluster.roll(), &cluster.observe(policy, None), policy, &all(cluster)))
}

/// Stops broker 1 of the cluster and gives what its recovery begins with.
fn stopped(cluster: &mut SimKafka, policy: &Policy) -> (Progress, Recovery) {
    let progress = all(cluster);
    let Decision::Proceed(proceed) = decide(cluster.roll(), &cluster.observe(policy, None), policy, &progress) else {
        panic!("a healthy cluster lets its first node go");
    };
    let progress = progress.enter(&proceed).unwrap();
    assert!(cluster.submit(proceed.node, "restart", policy));
    (progress, Recovery::begin(proceed.node, proceed.entered, Expect::NewProcess))
}

/// One line a gate, as the controller would show it.
fn shown(gates: &[(Gate, GateState)]) -> String {
    let line = |(gate, state): &(Gate, GateState)| match state {
        GateState::Open { evidence } => format!("{gate} open: {evidence}"),
        GateState::Wait { reasons, movement } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let nearer = if *movement == Movement::Nearer { " (nearer)" } else { "" };
            format!("{gate} waits{nearer}: {}", reasons.join("; "))
        }
        GateState::Act(action) => format!("{gate} acts: {action:?}"),
    };
    gates.iter().map(line).collect::<Vec<_>>().join("\n")
}
