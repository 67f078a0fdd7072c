//! Answers built with the codec, encoded and decoded once, so that they are ones a broker can send.

use super::super::requests::{Described, quorum_of};
use super::*;
use bytes::BytesMut;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kfleet_model::snapshot::{Quorum, ReplicaProgress};

const AT: fn() -> Address = || Address::new("kafka-1", 9092);

fn over_the_wire<T: Encodable + Decodable>(message: &T, version: i16) -> T {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).unwrap();
    T::decode(&mut bytes, version).unwrap()
}

fn name(text: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(text))
}

fn wire(ids: &[i32]) -> Vec<WireId> {
    ids.iter().copied().map(WireId).collect()
}

fn set(ids: &[i32]) -> BTreeSet<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn partition(index: i32, code: i16, leader: i32, replicas: &[i32], isr: &[i32]) -> MetadataResponsePartition {
    MetadataResponsePartition::default()
        .with_partition_index(index)
        .with_error_code(code)
        .with_leader_id(WireId(leader))
        .with_leader_epoch(5)
        .with_replica_nodes(wire(replicas))
        .with_isr_nodes(wire(isr))
}

fn topic(text: &'static str, partitions: Vec<MetadataResponsePartition>) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_name(Some(name(text))).with_partitions(partitions)
}

fn metadata(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let brokers = [(1, Some("a")), (2, Some("")), (3, None)].map(|(id, rack)| {
        MetadataResponseBroker::default()
            .with_node_id(WireId(id))
            .with_host(StrBytes::from_string(format!("kafka-{id}")))
            .with_port(9092)
            .with_rack(rack.map(StrBytes::from_static_str))
    });
    let answer = MetadataResponse::default()
        .with_cluster_id(Some(StrBytes::from_static_str("Kq0xXw1ZQ1ufzYhL1zU1Rg")))
        .with_controller_id(WireId(2))
        .with_brokers(brokers.to_vec())
        .with_topics(topics);
    over_the_wire(&answer, 12)
}

fn snapshot_of(metadata: MetadataResponse) -> Result<KafkaSnapshot, KafkaError> {
    snapshot_with(metadata, ListPartitionReassignmentsResponse::default())
}

fn snapshot_with(
    metadata: MetadataResponse,
    reassignments: ListPartitionReassignmentsResponse,
) -> Result<KafkaSnapshot, KafkaError> {
    assemble(Parts {
        broker: &AT(),
        node: BrokerId(1),
        metadata,
        min_isr: BTreeMap::from([("orders".to_owned(), 2), ("__remote_log_metadata".to_owned(), 1)]),
        mode: KafkaMode::ZooKeeper { active_controller: Some(BrokerId(2)) },
        reassignments: over_the_wire(&reassignments, 0),
    })
}

#[test]
fn a_healthy_cluster_becomes_a_snapshot_with_everything_in_it() {
    let healthy = metadata(vec![topic("orders", vec![partition(0, 0, 1, &[1, 2, 3], &[3, 2, 1])])]);
    let snapshot = snapshot_of(healthy).unwrap();
    assert_eq!(snapshot.seen_by, BrokerId(1));
    assert_eq!(snapshot.cluster_id, "Kq0xXw1ZQ1ufzYhL1zU1Rg");
    let racks: Vec<_> = snapshot.brokers.values().map(|broker| broker.rack.as_deref()).collect();
    assert_eq!(racks, [Some("a"), None, None], "an empty rack is none");
    assert_eq!(
        snapshot.topics["orders"],
        Topic {
            min_isr: 2,
            internal: false,
            partitions: BTreeMap::from([(
                0,
                PartitionState {
                    leader: Some(BrokerId(1)),
                    leader_epoch: 5,
                    replicas: vec![BrokerId(1), BrokerId(2), BrokerId(3)],
                    isr: set(&[1, 2, 3]),
                    removing: BTreeSet::new(),
                }
            )]),
        }
    );
    assert!(snapshot.reassigning.is_empty());
}

#[test]
fn partitions_that_lost_brokers_are_part_of_the_view() {
    let cases = [
        ("no leader", partition(0, 5, -1, &[1, 2], &[2]), None, set(&[2])),
        ("leader without this listener", partition(0, 72, -1, &[1, 2], &[1, 2]), None, set(&[1, 2])),
        ("a dead replica", partition(0, 9, 1, &[1, 4], &[1]), Some(BrokerId(1)), set(&[1])),
    ];
    for (name, partition, leader, isr) in cases {
        let snapshot = snapshot_of(metadata(vec![topic("orders", vec![partition])])).unwrap();
        let state = &snapshot.topics["orders"].partitions[&0];
        assert_eq!((state.leader, &state.isr), (leader, &isr), "{name}");
    }
}

#[test]
fn an_answer_that_is_not_complete_is_no_view() {
    let healthy = || metadata(vec![topic("orders", vec![])]);
    let mut without_us = healthy();
    without_us.brokers.retain(|broker| broker.node_id.0 != 1);
    let mut without_id = healthy();
    without_id.cluster_id = None;
    let cases = [
        (
            "broker that does not see itself",
            without_us,
            "take the view of broker kafka-1:9092: it does not see itself, node 1, among the registered brokers",
        ),
        (
            "no cluster id",
            without_id,
            "take the view of broker kafka-1:9092: the cluster's id is missing from its answer to Metadata",
        ),
        (
            "topic without configuration",
            metadata(vec![topic("payments", vec![])]),
            "take the view of broker kafka-1:9092: min.insync.replicas of topic 'payments' is missing from its answer to Metadata",
        ),
        (
            "topic with an error",
            metadata(vec![topic("orders", vec![]).with_error_code(29)]),
            "get Metadata of topic 'orders' from broker kafka-1:9092: TOPIC_AUTHORIZATION_FAILED (29)",
        ),
        (
            "partition with an error",
            metadata(vec![topic("orders", vec![partition(7, -1, 1, &[1], &[1])])]),
            "get Metadata of partition orders-7 from broker kafka-1:9092: UNKNOWN_SERVER_ERROR (-1)",
        ),
    ];
    for (name, answer, text) in cases {
        assert_eq!(snapshot_of(answer).unwrap_err().to_string(), text, "{name}");
    }
}

#[test]
fn kafkas_own_topics_are_internal_even_when_metadata_does_not_say_so() {
    let marked = topic("orders", vec![]).with_is_internal(true);
    let snapshot = snapshot_of(metadata(vec![marked, topic("__remote_log_metadata", vec![])])).unwrap();
    assert!(snapshot.topics.values().all(|topic| topic.internal));
}

#[test]
fn a_reassignment_is_named_and_its_leaving_replicas_are_marked() {
    let ongoing = |index, removing: &[i32]| {
        OngoingPartitionReassignment::default()
            .with_partition_index(index)
            .with_replicas(wire(&[1, 2, 3, 4]))
            .with_adding_replicas(wire(&[4]))
            .with_removing_replicas(wire(removing))
    };
    let answer = ListPartitionReassignmentsResponse::default().with_topics(vec![
        OngoingTopicReassignment::default().with_name(name("orders")).with_partitions(vec![ongoing(0, &[1])]),
        OngoingTopicReassignment::default().with_name(name("made-later")).with_partitions(vec![ongoing(3, &[])]),
    ]);
    let partitions = vec![partition(0, 0, 1, &[1, 2, 3, 4], &[1, 2, 3]), partition(1, 0, 2, &[2, 3], &[2, 3])];
    let snapshot = snapshot_with(metadata(vec![topic("orders", partitions)]), answer).unwrap();
    let named: Vec<_> = snapshot.reassigning.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["made-later-3", "orders-0"]);
    assert_eq!(snapshot.topics["orders"].partitions[&0].removing, set(&[1]));
    assert_eq!(snapshot.topics["orders"].partitions[&1].removing, set(&[]));
}

fn replica(id: i32, end: i64, caught_up: i64) -> ReplicaState {
    ReplicaState::default()
        .with_replica_id(WireId(id))
        .with_log_end_offset(end)
        .with_last_fetch_timestamp(caught_up)
        .with_last_caught_up_timestamp(caught_up)
}

fn described(version: i16, code: i16, leader: i32, voters: Vec<ReplicaState>) -> DescribeQuorumResponse {
    let partition = PartitionData::default()
        .with_error_code(code)
        .with_leader_id(WireId(leader))
        .with_leader_epoch(4)
        .with_high_watermark(90)
        .with_current_voters(voters)
        .with_observers(vec![replica(7, 80, 5_000)]);
    let topic = TopicData::default().with_topic_name(name("__cluster_metadata")).with_partitions(vec![partition]);
    over_the_wire(&DescribeQuorumResponse::default().with_topics(vec![topic]), version)
}

#[test]
fn a_quorums_members_are_measured_against_the_leaders_clock() {
    let voters = vec![replica(1, 90, 10_000), replica(2, 89, 9_400), replica(3, 0, -1), replica(4, 90, 10_002)];
    let Described::Quorum(quorum) = quorum_of(&described(2, 0, 1, voters)) else { panic!("a quorum") };
    let behind: Vec<_> = quorum.voters.iter().map(|(id, progress)| (id.0, progress.behind_ms)).collect();
    assert_eq!(behind, [(1, Some(0)), (2, Some(600)), (3, None), (4, Some(0))]);
    assert_eq!(quorum.observers[&BrokerId(7)], ReplicaProgress { log_end_offset: 80, behind_ms: Some(5_000) });
    assert_eq!((quorum.leader, quorum.leader_epoch, quorum.high_watermark), (Some(BrokerId(1)), 4, 90));
}

#[test]
fn a_quorum_without_leader_times_or_answer_is_told_apart() {
    let Described::Quorum(Quorum { leader, voters, .. }) =
        quorum_of(&described(1, 0, -1, vec![replica(1, 90, 10_000)]))
    else {
        panic!("a quorum")
    };
    assert_eq!((leader, voters[&BrokerId(1)].behind_ms), (None, None), "no leader, nobody's clock");
    let Described::Quorum(old) = quorum_of(&described(0, 0, 1, vec![replica(1, 9, 5)])) else { panic!("a quorum") };
    assert_eq!(old.voters[&BrokerId(1)].behind_ms, None, "version 0 has no times");
    assert_eq!(
        quorum_of(&described(1, 6, -1, vec![])),
        Described::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER, None),
        "the partition's error"
    );
    assert_eq!(
        quorum_of(&DescribeQuorumResponse::default().with_error_code(31)),
        Described::Error(ErrorCode(31), None),
        "the request's error"
    );
    assert_eq!(quorum_of(&DescribeQuorumResponse::default()), Described::Nothing);
}
