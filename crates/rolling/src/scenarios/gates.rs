//! The way of one node: entered, recovered gate by gate, done.

use super::{all, shown, stopped, text, three};
use crate::decide::{Decision, before_stop, decide};
use crate::gate::Gate;
use crate::policy::Policy;
use crate::progress::{Progress, ProgressError};
use crate::recovery::{Expect, GateState, Recovery};
use crate::sim::{Cluster, Fault, SimKafka, run};
use insta::assert_snapshot;
use kfleet_model::{BrokerId, Reason};
use std::time::Duration;

#[test]
fn a_whole_roll_of_three_brokers_reads_like_this() {
    let mut cluster = three();
    let plan: Vec<BrokerId> = cluster.roll().members().keys().copied().collect();
    let outcome = run(&mut cluster, &Policy::default(), &plan, &[], 5000);
    assert_snapshot!(outcome.trace.join("\n"), @r"
      0 stop 1: members 2, 3 agree; 2 partitions on node 1, none would be hurt; 2 partitions would be exactly at min ISR; the active controller is node 2
      5 process: new pid 1001 (was 1)
     10 registered: registered, as 2 brokers see it; the active controller is node 2
     15 in-sync: all 2 replicas in sync, no partition worse off than before
     20 preferred-leader: leads all 1 partitions that prefer it
     45 node 1 done
     50 stop 3: members 1, 2 agree; 2 partitions on node 3, none would be hurt; 2 partitions would be exactly at min ISR; the active controller is node 2
     55 process: new pid 1003 (was 3)
     60 registered: registered, as 2 brokers see it; the active controller is node 2
     65 in-sync: all 2 replicas in sync, no partition worse off than before
     65 preferred-leader: leads all 0 partitions that prefer it
     90 node 3 done
     95 stop 2: members 1, 3 agree; 2 partitions on node 2, none would be hurt; 2 partitions would be exactly at min ISR; node 2 is the active controller and the last to go
    100 process: new pid 1002 (was 2)
    105 registered: registered, as 2 brokers see it; the active controller is node 1
    110 in-sync: all 2 replicas in sync, no partition worse off than before
    115 preferred-leader: leads all 1 partitions that prefer it
    140 node 2 done
    ");
}

#[test]
fn a_node_is_never_in_flight_beside_another_nor_finished_early_nor_stopped_twice() {
    let policy = Policy { stable_checks: 1, ..Policy::default() };
    let mut cluster = three();
    let start = all(&cluster);
    let Decision::Proceed(other) = decide(cluster.roll(), &cluster.observe(&policy, None), &policy, &start) else {
        panic!("a healthy cluster lets its first node go");
    };
    let (progress, mut recovery) = stopped(&mut cluster, &policy);
    let seen = cluster.observe(&policy, None);
    assert_eq!(decide(cluster.roll(), &seen, &policy, &progress), Decision::Recover { node: BrokerId(1) });
    let busy = ProgressError::Busy { node: BrokerId(1), in_flight: BrokerId(1) };
    assert_eq!(progress.enter(&other), Err(busy));
    assert_eq!(progress.finish(&recovery), Err(ProgressError::NotRecovered(BrokerId(1))));
    assert_eq!(progress.withdraw(BrokerId(2)), Err(ProgressError::NotInFlight(BrokerId(2))));
    assert_eq!(progress.withdraw(BrokerId(1)), Ok(start));
    for _ in 0..100 {
        cluster.tick();
        let check = recovery.check(cluster.roll(), &cluster.observe(&policy, None), &policy);
        for (_, state) in &check.gates {
            if let GateState::Act(action) = state {
                cluster.act(action);
            }
        }
        recovery = check.next;
    }
    let done = progress.finish(&recovery).unwrap();
    assert_eq!(done.enter(&other), Err(ProgressError::DoneAlready(BrokerId(1))));
    let journal = serde_json::to_string(&progress).unwrap();
    assert_eq!(serde_json::from_str::<Progress>(&journal).unwrap(), progress);
}

#[test]
fn a_resumed_run_asks_again_before_it_stops_the_node_that_it_had_entered() {
    let policy = Policy::default();
    let mut cluster = three();
    let start = all(&cluster);
    let Decision::Proceed(proceed) = decide(cluster.roll(), &cluster.observe(&policy, None), &policy, &start) else {
        panic!("a healthy cluster lets its first node go");
    };
    let progress = start.enter(&proceed).unwrap();
    let ask = |cluster: &SimKafka, node: i32| {
        before_stop(cluster.roll(), &cluster.observe(&policy, None), &policy, &progress, BrokerId(node))
    };
    let Decision::Proceed(again) = ask(&cluster, 1) else { panic!("nothing has changed") };
    assert_eq!((again.node, &again.entered), (BrokerId(1), &proceed.entered));
    assert_eq!(ask(&cluster, 3), Decision::Recover { node: BrokerId(1) });
    cluster.fault(Fault::OutOfStep { member: 2, ticks: 100 });
    cluster.tick();
    assert_snapshot!(text(&ask(&cluster, 1)), @r"
    wait
    - 2 partitions are under-replicated: orders-0, orders-1
    - stopping broker 1 would hurt 2 partitions: orders-0 would refuse acks=all writes (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2); orders-1 would refuse acks=all writes (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2)
    ");
}

#[test]
fn the_stable_window_begins_anew_when_something_gets_worse() {
    let policy = Policy { stable_checks: 3, ..Policy::default() };
    let mut cluster = three();
    let (_, mut recovery) = stopped(&mut cluster, &policy);
    let (mut lines, mut hurt) = (Vec::new(), false);
    for _ in 0..100 {
        if recovery.is_over() {
            break;
        }
        cluster.tick();
        let check = recovery.check(cluster.roll(), &cluster.observe(&policy, None), &policy);
        recovery = check.next;
        if let Some((_, GateState::Act(action))) = check.gates.last() {
            cluster.act(action);
        }
        let Some((gate @ Gate::Stable, state)) = check.gates.into_iter().last() else { continue };
        if let GateState::Wait { reasons, .. } = &state
            && matches!(reasons[..], [Reason::StableWindow { good: 2, .. }])
            && !std::mem::replace(&mut hurt, true)
        {
            cluster.fault(Fault::OutOfStep { member: 2, ticks: 2 });
        }
        lines.push(shown(&[(gate, state)]));
    }
    lines.dedup();
    assert_snapshot!(lines.join("\n"), @r"
    stable waits: stable for 1 of 3 checks
    stable waits: stable for 2 of 3 checks
    stable waits: 2 partitions are under-replicated: orders-0, orders-1
    stable waits: stable for 1 of 3 checks
    stable waits: stable for 2 of 3 checks
    stable open: 3 good checks in a row
    ");
}

#[test]
fn a_node_whose_process_never_came_back_is_waited_for_at_the_first_gate_until_its_time_is_over() {
    let policy = Policy::default();
    let mut cluster = three();
    let (_, recovery) = stopped(&mut cluster, &policy);
    let check = recovery.check(cluster.roll(), &cluster.observe(&policy, None), &policy);
    assert_snapshot!(shown(&check.gates), @r"
    process waits: node 1 is not ready: kafka.service is inactive (success)
    ");
    let Some((gate, GateState::Wait { reasons, .. })) = check.gates.into_iter().last() else { panic!("it waits") };
    let just_before = crate::expire(gate, reasons.clone(), Duration::from_secs(299), &policy);
    assert!(matches!(just_before, Decision::Wait(_)), "{just_before:?}");
    let expired = crate::expire(gate, reasons, Duration::from_secs(300), &policy);
    assert_snapshot!(text(&expired), @r"
    refuse
    - gate 'process' did not open within 300 s
    - node 1 is not ready: kafka.service is inactive (success)
    ");
}

#[test]
fn a_process_that_was_not_restarted_passes_only_when_nothing_was_changed() {
    let policy = Policy::default();
    let cluster = three();
    let Decision::Proceed(proceed) = decide(cluster.roll(), &cluster.observe(&policy, None), &policy, &all(&cluster))
    else {
        panic!("a healthy cluster lets its first node go");
    };
    let check = |expect| {
        let recovery = Recovery::begin(proceed.node, proceed.entered.clone(), expect);
        shown(&recovery.check(cluster.roll(), &cluster.observe(&policy, None), &policy).gates)
    };
    assert_snapshot!(check(Expect::NewProcess), @r"
    process waits: node 1 is not ready: pid 1 is still the process of before the stop
    ");
    assert_snapshot!(check(Expect::AnyProcess), @r"
    process open: pid 1 goes on, nothing was changed
    registered open: registered, as 2 brokers see it; the active controller is node 2
    in-sync open: all 2 replicas in sync, no partition worse off than before
    preferred-leader open: leads all 1 partitions that prefer it
    stable waits: stable for 1 of 6 checks
    ");
}
