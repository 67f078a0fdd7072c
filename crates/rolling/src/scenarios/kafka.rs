//! Kafka clusters: the order, and what is waited for or refused before a stop.

use super::{all, first, text, three, topic};
use crate::decide::{Decision, decide};
use crate::observation::{Member, NodeView, Observation, Role, Roll, View};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::sim::{Cluster, End, Fault, SimKafka, run};
use insta::assert_snapshot;
use kfleet_model::snapshot::ClusterSnapshot;
use kfleet_model::{BrokerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
