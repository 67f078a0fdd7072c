//! Short scenarios with their outcome as an operator reads it.

use crate::decide::{Decision, before_stop, decide};
use crate::gate::Gate;
use crate::observation::{Member, NodeView, Observation, Role, Roll, View};
use crate::policy::Policy;
use crate::probe::{Ruling, never_passes, probe, rule};
use crate::progress::{Progress, ProgressError};
use crate::recovery::{Expect, GateState, Movement, Recovery};
use crate::sim::{Cluster, End, Fault, SimKafka, SimTopic, SimZooKeeper, run};
use insta::assert_snapshot;
use kfleet_model::snapshot::{Broker, ClusterSnapshot, KafkaMode, KafkaSnapshot, PartitionState, Topic};
use kfleet_model::{BrokerId, Reason, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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

#[test]
fn a_healthy_cluster_is_rolled_by_id_with_the_active_controller_last() {
    assert_snapshot!(first(&three(), &Policy::default()), @r"
    proceed with kafka-1
    - members 2, 3 agree
    - 2 partitions on node 1, none would be hurt
    - 2 partitions would be exactly at min ISR
    - the active controller is node 2
      kafka-1 by rack and id
      kafka-3 by rack and id
      kafka-2 the active controller, so it comes last
    ");
}

#[test]
fn a_broker_of_the_plan_that_is_down_goes_first_because_its_start_is_the_cure() {
    let mut cluster = three();
    cluster.hold_down(3);
    assert_snapshot!(first(&cluster, &Policy::default()), @r"
    proceed with kafka-3
    - members 1, 2 agree
    - 2 partitions on node 3, none would be hurt
    - 2 partitions would be exactly at min ISR
    - the active controller is node 2
      kafka-3 not ready, so it comes first
      kafka-1 by rack and id
      kafka-2 the active controller, so it comes last
    ");
}

#[test]
fn a_follower_whose_host_is_gone_lets_the_roll_stop_nobody_and_name_the_partitions() {
    let mut cluster = three();
    cluster.hold_down(3);
    cluster.lose_agent(3, 1000);
    assert_snapshot!(first(&cluster, &Policy::default()), @r"
    wait
    - the agent on kafka-3 does not answer
    - 2 partitions are under-replicated: orders-0, orders-1
    ");
}

#[test]
fn a_follower_that_is_down_and_not_in_the_plan_lets_the_roll_stop_nobody() {
    let mut cluster = three();
    cluster.hold_down(3);
    let progress = Progress::new(cluster.roll(), [BrokerId(1), BrokerId(2)]).unwrap();
    let policy = Policy::default();
    let decision = decide(cluster.roll(), &cluster.observe(&policy, None), &policy, &progress);
    assert_snapshot!(text(&decision), @r"
    wait
    - 1 member answered, 2 must agree
    - broker 3 is not registered
    - 2 partitions are under-replicated: orders-0, orders-1
    - stopping broker 1 would hurt 2 partitions: orders-0 would refuse acks=all writes (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2); orders-1 would refuse acks=all writes (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2)
    ");
}

#[test]
fn a_roll_with_a_follower_held_down_ends_refused_after_its_patience_and_without_a_stop() {
    let mut cluster = three();
    cluster.hold_down(3);
    cluster.lose_agent(3, 10_000);
    let plan: Vec<BrokerId> = cluster.roll().members().keys().copied().collect();
    let outcome = run(&mut cluster, &Policy::default(), &plan, &[], 5000);
    assert!(outcome.stops.is_empty(), "{:?}", outcome.stops);
    let End::Refused(reasons) = outcome.end else { panic!("{:?}", outcome.end) };
    assert_snapshot!(text(&Decision::Refuse(reasons)), @r"
    refuse
    - gate 'before-stop' did not open within 600 s
    - the agent on kafka-3 does not answer
    - 2 partitions are under-replicated: orders-0, orders-1
    ");
}

#[test]
fn a_broker_that_died_is_not_believed_in_sync_while_the_cluster_still_counts_it() {
    let policy = Policy::default();
    let mut dead = three();
    dead.fault(Fault::Crash { member: 2, back: None });
    dead.tick();
    assert_snapshot!(first(&dead, &policy), @r"
    wait
    - node 3 is not ready: kafka.service is inactive, and the cluster has not noticed yet
    ");

    let mut started_again = three();
    started_again.fault(Fault::Crash { member: 2, back: Some(0) });
    started_again.fault(Fault::SlowStart { member: 2, ticks: 50 });
    (0..3).for_each(|_| started_again.tick());
    assert_snapshot!(first(&started_again, &policy), @r"
    wait
    - node 3 is not ready: it recovers its logs, 52 logs and segments are left
    ");
}

#[test]
fn a_broker_in_log_recovery_is_never_restarted() {
    let mut cluster = three();
    cluster.fault(Fault::Crash { member: 2, back: Some(0) });
    cluster.fault(Fault::SlowStart { member: 2, ticks: 500 });
    (0..30).for_each(|_| cluster.tick());
    assert_snapshot!(first(&cluster, &Policy { restart_unregistered: true, ..Policy::default() }), @r"
    wait
    - node 3 is not ready: it recovers its logs, 475 logs and segments are left
    - 2 partitions are under-replicated: orders-0, orders-1
    ");
}

#[test]
fn a_topic_with_one_replica_is_refused_at_once_until_the_policy_names_it() {
    let roles: Vec<(i32, Role)> = (1..=3).map(|id| (id, Role::Broker)).collect();
    let cluster = SimKafka::new(&roles, &[topic("logs", 1, &[&[2], &[3]])]);
    let progress = Progress::new(cluster.roll(), [BrokerId(2)]).unwrap();
    let ask = |policy: &Policy| text(&decide(cluster.roll(), &cluster.observe(policy, None), policy, &progress));
    assert_snapshot!(ask(&Policy::default()), @r"
    refuse
    - stopping broker 2 would hurt 1 partition: logs-0 has one replica and would go offline (in sync [2] of [2], 0 left, min ISR 1)
    ");
    let accepted = Policy { accept_offline_topics: BTreeSet::from(["logs".to_owned()]), ..Policy::default() };
    assert_snapshot!(ask(&accepted), @r"
    proceed with kafka-2
    - members 1, 3 agree
    - 1 partitions on node 2
    - 1 partitions would refuse writes or go offline, as the policy accepts by topic
    - the active controller is node 1
      kafka-2 by rack and id
    ");
}

#[test]
fn a_topic_that_needs_all_its_replicas_is_refused_at_once_until_the_policy_names_it() {
    let roles: Vec<(i32, Role)> = (1..=3).map(|id| (id, Role::Broker)).collect();
    let mut cluster = SimKafka::new(&roles, &[topic("strict", 2, &[&[2, 3]])]);
    cluster.set_active(1);
    let progress = Progress::new(cluster.roll(), [BrokerId(2)]).unwrap();
    let ask = |policy: &Policy| text(&decide(cluster.roll(), &cluster.observe(policy, None), policy, &progress));
    assert_snapshot!(ask(&Policy::default()), @r"
    refuse
    - stopping broker 2 would hurt 1 partition: strict-0 would refuse acks=all writes (in sync [2, 3] of [2, 3], 1 left, min ISR 2)
    ");
    let named = BTreeSet::from(["strict".to_owned()]);
    let accepted = Policy { accept_refused_writes_topics: named, ..Policy::default() };
    assert_snapshot!(ask(&accepted), @r"
    proceed with kafka-2
    - members 1, 3 agree
    - 1 partitions on node 2
    - 1 partitions would refuse writes or go offline, as the policy accepts by topic
    - the active controller is node 1
      kafka-2 by rack and id
    ");
}

#[test]
fn views_that_are_missing_late_or_different_stop_nobody() {
    let policy = Policy::default();
    let mut silent = three();
    silent.fault(Fault::Silent { member: 2, ticks: 100 });
    assert_snapshot!(first(&silent, &policy), @r"
    wait
    - 1 member answered, 2 must agree
    ");

    let mut late = three();
    late.fault(Fault::Late { member: 1, ticks: 100 });
    late.fault(Fault::Silent { member: 2, ticks: 100 });
    assert_snapshot!(first(&late, &policy), @r"
    wait
    - 1 member answered, 2 must agree
    - the view of the cluster is older than the last change
    ");

    // The hosts' readings are fresh, but all views began before the last change.
    let cluster = three();
    let mut before_change = cluster.observe(&policy, None);
    before_change.last_change = Some(before_change.now);
    before_change.views.iter_mut().for_each(|view| view.began -= Duration::from_secs(1));
    let decision = decide(cluster.roll(), &before_change, &policy, &all(&cluster));
    assert_snapshot!(text(&decision), @r"
    wait
    - 0 members answered, 2 must agree
    - the view of the cluster is older than the last change
    ");

    let mut lags = three();
    (0..20).for_each(|_| lags.tick());
    lags.fault(Fault::Lags { member: 1, ticks: 15 });
    lags.fault(Fault::OutOfStep { member: 2, ticks: 100 });
    lags.tick();
    assert_snapshot!(first(&lags, &policy), @r"
    wait
    - members 2 and 3 see the cluster differently: the ISR of orders-0
    - 2 partitions are under-replicated: orders-0, orders-1
    - stopping broker 1 would hurt 2 partitions: orders-0 would refuse acks=all writes (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2); orders-1 would refuse acks=all writes (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2)
    ");
}

#[test]
fn one_broker_too_many_or_another_cluster_is_refused() {
    let policy = Policy::default();
    let cluster = three();
    let mut members = cluster.roll().members().clone();
    members.remove(&BrokerId(3));
    let roll = Roll::new(Some("planned".to_owned()), members).unwrap();
    let progress = Progress::new(&roll, [BrokerId(1)]).unwrap();
    let decision = decide(&roll, &cluster.observe(&policy, None), &policy, &progress);
    assert_snapshot!(text(&decision), @r"
    refuse
    - expected cluster planned, found cluster sim
    - expected only brokers of the inventory, found broker 3 registered
    ");
}

#[test]
fn a_node_with_anothers_data_or_a_missing_log_directory_is_refused() {
    let policy = Policy::default();
    let cluster = three();
    let mut seen = cluster.observe(&policy, None);
    let dir = |path: &str, online, id: Option<i32>| kfleet_model::LogDirReading {
        path: path.to_owned(),
        online,
        clean_shutdown: false,
        cluster_id: id.map(|_| "other".to_owned()),
        node_id: id.map(BrokerId),
        free_bytes: 1,
        total_bytes: 2,
    };
    let node: &mut NodeView = seen.nodes.get_mut(&BrokerId(1)).unwrap();
    node.reading.log_dirs = vec![dir("/data/1", false, None), dir("/data/2", true, Some(7))];
    assert_snapshot!(text(&decide(cluster.roll(), &seen, &policy, &all(&cluster))), @r"
    refuse
    - expected a log directory at /data/1, found none that can be read
    - expected node 1 in /data/2/meta.properties, found node 7
    - expected cluster sim in /data/2/meta.properties, found cluster other
    ");
}

#[test]
fn a_reassignment_is_waited_for() {
    let policy = Policy::default();
    let cluster = three();
    let mut seen = cluster.observe(&policy, None);
    let moving = TopicPartition { topic: "orders".to_owned(), partition: 1 };
    for View { snapshot, .. } in &mut seen.views {
        if let ClusterSnapshot::Kafka(kafka) = snapshot
            && kafka.seen_by == BrokerId(3)
        {
            kafka.reassigning.insert(moving.clone());
        }
    }
    assert_snapshot!(text(&decide(cluster.roll(), &seen, &policy, &all(&cluster))), @r"
    wait
    - 1 partition is being reassigned: orders-1
    ");
}

#[test]
fn isolated_controllers_go_before_brokers_and_the_active_one_last_of_them() {
    let roles: Vec<(i32, Role)> =
        (1..=3).map(|id| (id, Role::Controller)).chain((11..=13).map(|id| (id, Role::Broker))).collect();
    let cluster = SimKafka::new(&roles, &[topic("orders", 2, &[&[11, 12, 13]])]);
    assert_snapshot!(first(&cluster, &Policy::default()), @r"
    proceed with controller-2
    - members 11, 12, 13 agree
    - 0 partitions on node 2, none would be hurt
    - the active controller is node 1
    - 2 of 3 voters are in step without node 2, 2 are needed
      controller-2 a controller, before the brokers
      controller-3 a controller, before the brokers
      controller-1 the active controller, so it is the last of them
      kafka-11 by rack and id
      kafka-12 by rack and id
      kafka-13 by rack and id
    ");
}

#[test]
fn combined_nodes_go_with_the_quorum_leader_last_and_never_without_margin() {
    let roles: Vec<(i32, Role)> = (1..=3).map(|id| (id, Role::Combined)).collect();
    let mut cluster = SimKafka::new(&roles, &[topic("orders", 1, &[&[1, 2]])]);
    assert_snapshot!(first(&cluster, &Policy::default()), @r"
    proceed with kafka-2
    - members 1, 3 agree
    - 1 partitions on node 2, none would be hurt
    - 1 partitions would be exactly at min ISR
    - the active controller is node 1
    - 2 of 3 voters are in step without node 2, 2 are needed
      kafka-2 a follower of the metadata quorum
      kafka-3 a follower of the metadata quorum
      kafka-1 the active controller, so it comes last
    ");
    cluster.fault(Fault::OutOfStep { member: 2, ticks: 100 });
    (0..5).for_each(|_| cluster.tick());
    assert_snapshot!(first(&cluster, &Policy::default()), @r"
    wait
    - node 3 is not ready: its process runs and is 5000 ms behind the metadata quorum's leader, less than 2000 ms are allowed
    ");
}

#[test]
fn an_ensemble_is_rolled_observers_first_and_its_leader_last() {
    assert_snapshot!(first(&SimZooKeeper::new(3, 1, None), &Policy::default()), @r"
    proceed with zookeeper-4
    - members 1, 2, 3, 4 agree
    - the leader is server 3
    - server 4 is an observer and has no vote
      zookeeper-4 an observer, which has no vote
      zookeeper-1 a follower, by id
      zookeeper-2 a follower, by id
      zookeeper-3 the leader, so it comes last
    ");
}

#[test]
fn an_ensemble_that_is_not_whole_is_waited_for_unless_the_missing_server_is_the_next() {
    let policy = Policy::default();
    let mut down = SimZooKeeper::new(3, 0, Some(3));
    down.fault(Fault::Crash { member: 1, back: None });
    down.tick();
    assert_snapshot!(first(&down, &policy), @r"
    proceed with zookeeper-2
    - members 1, 3 agree
    - the leader is server 3
    - 2 of 3 voters serve without server 2, 2 are needed
      zookeeper-2 not ready, so it comes first
      zookeeper-1 a follower, by id
      zookeeper-3 the leader, so it comes last
    ");
    down.fault(Fault::AgentLost { member: 1, ticks: 100 });
    assert_snapshot!(first(&down, &policy), @r"
    wait
    - the agent on zookeeper-2 does not answer
    - ZooKeeper server 3: the leader has 1 followers in step of 2
    ");
}

#[test]
fn an_ensemble_without_a_majority_is_left_to_a_person() {
    let mut broken = SimZooKeeper::new(3, 0, Some(3));
    broken.fault(Fault::Crash { member: 1, back: None });
    broken.fault(Fault::Crash { member: 2, back: None });
    (0..5).for_each(|_| broken.tick());
    assert_snapshot!(first(&broken, &Policy::default()), @r"
    wait
    - ZooKeeper server 1: its process runs and serves nobody: there is no quorum, or an election
    - ZooKeeper server 2: zookeeper.service is inactive and does not answer
    - ZooKeeper server 3: zookeeper.service is inactive and does not answer
    - no active controller or leader is elected
    - without member 1 only 0 of 3 voters would be in step, 2 are needed
    ");
}

#[test]
fn an_ensemble_that_can_not_keep_its_majority_is_refused_until_the_policy_accepts_it() {
    let pair = SimZooKeeper::new(2, 0, None);
    assert_snapshot!(first(&pair, &Policy::default()), @r"
    refuse
    - without member 1 only 1 of 2 voters would be in step, 2 are needed
    ");
    let accepted = Policy { accept_ensemble_outage: true, ..Policy::default() };
    assert_snapshot!(first(&SimZooKeeper::new(1, 0, None), &accepted), @r"
    proceed with zookeeper-1
    - as member 1 sees it
    - server 1 is the leader and the last to go
    - warning: the ensemble of 1 stops meanwhile, as the policy accepts
      zookeeper-1 the leader, so it comes last
    ");
}

#[test]
fn an_ensemble_with_a_queue_an_old_epoch_or_too_much_data_is_not_touched() {
    let policy = Policy::default();
    let mut cluster = SimZooKeeper::new(3, 0, Some(1));
    cluster.tick();
    let mut seen = cluster.observe(&policy, None);
    for View { snapshot, .. } in &mut seen.views {
        let ClusterSnapshot::ZooKeeper(server) = snapshot else { continue };
        match server.server_id.0 {
            1 => server.outstanding_requests = 500,
            2 => server.zxid = 5,
            _ => server.data_size_bytes = 400_000_000,
        }
    }
    assert_snapshot!(text(&decide(cluster.roll(), &seen, &policy, &all(&cluster))), @r"
    refuse
    - ZooKeeper server 3 holds 400000000 bytes, which take 32000 ms to send, and a server that joins has 20000 ms (initLimit x tickTime)
    - ZooKeeper server 1: 500 requests are outstanding, less than 100 are allowed
    - ZooKeeper server 2: it is in epoch 0, the leader in epoch 1
    ");
}

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
fn a_whole_roll_of_an_ensemble_reads_like_this() {
    let mut cluster = SimZooKeeper::new(3, 0, Some(2));
    let plan: Vec<BrokerId> = cluster.roll().members().keys().copied().collect();
    let outcome = run(&mut cluster, &Policy::default(), &plan, &[], 5000);
    assert_snapshot!(outcome.trace.join("\n"), @r"
      0 stop 1: members 1, 2, 3 agree; the leader is server 3; 2 of 3 voters serve without server 1, 2 are needed
      5 process: new pid 1001 (was 1)
     15 joined: follows server 3, in epoch 1
     15 caught-up: zxid 0x100000008 has reached 0x100000008
     40 node 1 done
     45 stop 2: members 1, 2, 3 agree; the leader is server 3; 2 of 3 voters serve without server 2, 2 are needed
     50 process: new pid 1002 (was 2)
     60 joined: follows server 3, in epoch 1
     60 caught-up: zxid 0x10000001e has reached 0x10000001e
     85 node 2 done
     90 stop 3: members 1, 2, 3 agree; server 3 is the leader and the last to go; 2 of 3 voters serve without server 3, 2 are needed
     95 process: new pid 1003 (was 3)
    105 joined: follows server 2, in epoch 2
    105 caught-up: zxid 0x200000005 has reached 0x200000005
    140 node 3 done
    ");
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

#[test]
fn the_stable_window_begins_anew_when_something_gets_worse() {
    let policy = Policy { stable_checks: 3, ..Policy::default() };
    let mut cluster = three();
    let (_, mut recovery) = stopped(&mut cluster, &policy);
    let (mut lines, mut hurt) = (Vec::new(), false);
    while !recovery.is_over() {
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

/// One partition in a cluster of the registered brokers.
fn partition(registered: &[i32], min_isr: u32, state: PartitionState) -> KafkaSnapshot {
    let broker = || Broker { host: "h".to_owned(), port: 9092, rack: None };
    KafkaSnapshot {
        seen_by: BrokerId(9),
        cluster_id: "c".to_owned(),
        mode: KafkaMode::ZooKeeper { active_controller: None },
        brokers: registered.iter().map(|id| (BrokerId(*id), broker())).collect(),
        topics: BTreeMap::from([(
            "__consumer_offsets".to_owned(),
            Topic { min_isr, internal: true, partitions: BTreeMap::from([(0, state)]) },
        )]),
        reassigning: BTreeSet::new(),
    }
}

#[test]
fn each_verdict_has_its_case_and_internal_topics_are_not_exempt() {
    use kfleet_model::Verdict::{Acks1Risk, AcksAllRefused, AlreadyBroken, Leaderless, Rf1Offline, Thin};
    let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect::<BTreeSet<_>>();
    let case = |replicas: &[i32], isr: &[i32], leader: i32, removing: &[i32]| PartitionState {
        leader: Some(BrokerId(leader)),
        leader_epoch: 0,
        replicas: replicas.iter().copied().map(BrokerId).collect(),
        isr: ids(isr),
        removing: ids(removing),
    };
    let up = &[1, 2, 3, 4];
    for (why, registered, state, min_isr, stop, verdict, ruling) in [
        ("whole, RF 3, min 1", &up[..], case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 1, &[1][..], None, None),
        ("hosted elsewhere", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 2, &[4], None, None),
        ("one replica", up, case(&[1], &[1], 1, &[]), 1, &[1], Some(Rf1Offline), Some(Ruling::Refuse)),
        ("one replica, dead", &[2], case(&[1], &[1], 1, &[]), 1, &[1], Some(AlreadyBroken), Some(Ruling::Cure)),
        ("last in sync", up, case(&[1, 2, 3], &[1], 1, &[]), 1, &[1], Some(Leaderless), Some(Ruling::Wait)),
        ("all three", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 1, &[1, 2, 3], Some(Leaderless), Some(Ruling::Wait)),
        ("one is out", up, case(&[1, 2, 3], &[1, 2], 1, &[]), 2, &[1], Some(AcksAllRefused), Some(Ruling::Wait)),
        ("min is RF", up, case(&[1, 2], &[1, 2], 1, &[]), 2, &[1], Some(AcksAllRefused), Some(Ruling::Refuse)),
        ("broken", up, case(&[1, 2, 3], &[1, 3], 1, &[]), 3, &[1], Some(AlreadyBroken), Some(Ruling::Refuse)),
        ("broken, out but up", up, case(&[1, 2, 3], &[1], 1, &[]), 2, &[2], Some(AlreadyBroken), Some(Ruling::Wait)),
        ("broken, the cure", &[1, 3], case(&[1, 2, 3], &[1], 1, &[]), 2, &[2], Some(AlreadyBroken), Some(Ruling::Cure)),
        ("leader leaves", up, case(&[1, 2, 3], &[1], 1, &[1]), 1, &[1], Some(Acks1Risk), Some(Ruling::Wait)),
        ("left is leaving", up, case(&[1, 2, 3], &[1, 2], 1, &[2]), 1, &[1], Some(Leaderless), Some(Ruling::Wait)),
        (
            "dead in the ISR",
            &[1, 2],
            case(&[1, 2, 3], &[1, 2, 3], 1, &[]),
            2,
            &[1],
            Some(AcksAllRefused),
            Some(Ruling::Wait),
        ),
        ("thin, alone", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 2, &[1], Some(Thin), Some(Ruling::Harmless)),
        ("thin, in a batch", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 2, &[1, 4], Some(Thin), Some(Ruling::Refuse)),
    ] {
        let snapshot = partition(registered, min_isr, state);
        let stop = ids(stop);
        let unready = stop.iter().copied().filter(|id| !snapshot.brokers.contains_key(id)).collect();
        let found = probe(&snapshot, &stop);
        assert_eq!(found.first().map(|v| v.verdict), verdict, "{why}: {found:?}");
        let ruled = found.first().map(|v| rule(v, &stop, &unready, &Policy::default()));
        assert_eq!(ruled, ruling, "{why}: {found:?}");
        let hopeless = found.first().is_some_and(never_passes);
        assert!(ruled != Some(Ruling::Wait) || !hopeless, "{why}: what is waited for can pass");
        assert!(ruled != Some(Ruling::Refuse) || hopeless || stop.len() > 1, "{why}: what is refused can not pass");
    }
}

#[test]
fn a_fleet_is_one_kind_of_cluster() {
    let host = |name: &str| kfleet_model::HostName::new(name).unwrap();
    let kafka = Member { host: host("kafka-1"), role: Role::Broker };
    let zookeeper = Member { host: host("zk-1"), role: Role::ZooKeeper };
    let mixed = BTreeMap::from([(BrokerId(1), kafka), (BrokerId(2), zookeeper)]);
    assert_snapshot!(Roll::new(None, mixed).unwrap_err(), @r"
    zk-1 is a ZooKeeper server and kafka-1 a Kafka node; they are rolled as two clusters
    ");
    assert_snapshot!(Roll::new(None, BTreeMap::new()).unwrap_err(), @"the cluster has no members");
    let nobody = Observation::default();
    let cluster = three();
    assert_snapshot!(text(&decide(cluster.roll(), &nobody, &Policy::default(), &all(&cluster))), @r"
    wait
    - 0 members answered, 2 must agree
    - the agent on kafka-1 does not answer
    - the agent on kafka-2 does not answer
    - the agent on kafka-3 does not answer
    ");
}
