//! What becomes of answers, and a live broker's cluster.

use super::samples::Committed;
use super::*;
use crate::host::fake::{FakeHost, Spec};
use jiff::Timestamp;
use kfleet_inspect::{OffsetSample, Outcome, Reading, Scope, readings};
use kfleet_kafka::{Address, ErrorCode};
use kfleet_model::BrokerId;
use serde_json::json;

fn error() -> Arc<KafkaError> {
    Arc::new(KafkaError::NotRegistered { broker: Address::new("kafka-1", 9092), node: BrokerId(1) })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.to_owned(), partition }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A group with what it has committed in topic `a`, by partition.
type Has<'a> = (&'a str, &'a [(i32, Result<i64, ErrorCode>)]);

fn committed(groups: &[Has<'_>]) -> Committed {
    let group = |(name, offsets): &Has<'_>| {
        let offsets = offsets.iter().map(|(number, offset)| (partition("a", *number), *offset));
        ((*name).to_owned(), Ok(offsets.collect()))
    };
    groups.iter().map(group).collect()
}

fn told(samples: Samples) -> BTreeMap<String, Reading> {
    let mut sink = Sink::new(at(0));
    samples.tell(&mut sink);
    let each = sink.into_readings().into_iter().map(|reading| (reading.part.as_ref().unwrap().name.clone(), reading));
    each.collect()
}

fn offsets(reading: &Reading) -> &BTreeMap<String, Vec<OffsetSample>> {
    let Outcome::Read(Datum::Offsets(offsets)) = &reading.outcome else { panic!("{:?}", reading.outcome) };
    offsets
}

#[test]
fn a_round_samples_every_partition_of_the_topics_that_a_group_commits_to() {
    let partitions = BTreeMap::from([("a".to_owned(), vec![0, 1]), ("b".to_owned(), vec![0])]);
    let mut samples = Samples::new(&names(&["g"]), partitions);
    for (second, offset) in [(10, 5), (20, 8)] {
        let wanted = samples.begin(committed(&[("g", &[(0, Ok(offset))])]));
        assert_eq!(wanted, BTreeSet::from([partition("a", 0), partition("a", 1)]));
        samples.end(at(second), &wanted.iter().map(|one| (one.clone(), Ok(9))).collect());
    }
    let sample = |second, committed| OffsetSample { at: at(second), committed, end: 9 };
    let expected = BTreeMap::from([
        ("a-0".to_owned(), vec![sample(10, Some(5)), sample(20, Some(8))]),
        ("a-1".to_owned(), vec![sample(10, None), sample(20, None)]),
    ]);
    let told = told(samples);
    assert_eq!(*offsets(&told["g"]), expected);
    assert!(told["g"].evidence.is_empty());
}

#[test]
fn what_is_missing_of_a_group_shows() {
    let partitions = BTreeMap::from([("a".to_owned(), vec![0, 1, 2, 3])]);
    let mut samples = Samples::new(&names(&["g", "lost", "never"]), partitions);
    let refused = Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    for second in [1, 2] {
        let mut all = committed(&[("g", &[(0, Ok(1)), (1, Ok(1)), (2, refused)])]);
        all.insert("lost".to_owned(), Err(error()));
        let wanted = samples.begin(all);
        let end = |number| if number == 0 { Ok(2) } else { Err(error()) };
        samples.end(at(second), &wanted.into_iter().map(|one| (one.clone(), end(one.partition))).collect());
    }
    samples.begin(Committed::new());
    samples.cut("the time was over".to_owned());
    let told = told(samples);
    let found = offsets(&told["g"]);
    let counts: Vec<(&str, usize)> = found.iter().map(|(name, samples)| (name.as_str(), samples.len())).collect();
    // Partition 3 was never committed to: there is no place to judge.
    assert_eq!(counts, [("a-0", 2), ("a-1", 0), ("a-2", 0)]);
    let why =
        "failed to take the view of broker kafka-1:9092: it does not see itself, node 1, among the registered brokers";
    let lines = [
        "the time was over".to_owned(),
        "not read 1 times, the last time: it was not asked for".to_owned(),
        format!("a-1: {why}"),
        "a-2: its committed offset: UNKNOWN_TOPIC_OR_PARTITION (3)".to_owned(),
    ];
    assert_eq!(told["g"].evidence, lines);
    for group in ["lost", "never"] {
        assert!(matches!(&told[group].outcome, Outcome::Unreadable { .. }), "{group}");
    }
}

#[test]
fn a_group_of_which_no_round_began_is_unreadable() {
    let mut samples = Samples::new(&names(&["g"]), BTreeMap::new());
    samples.cut("the time of the inspection was over".to_owned());
    let Outcome::Unreadable { why } = &told(samples)["g"].outcome else { panic!() };
    assert_eq!(why, "the time of the inspection was over");
}

#[test]
fn groups_beyond_the_bound_are_left_out_by_name_and_asked_for_no_more() {
    let all = (0..15_000).collect();
    let mut samples = Samples::new(&names(&["g1", "g2", "g3"]), BTreeMap::from([("a".to_owned(), all)]));
    let three = || committed(&[("g1", &[(0, Ok(1))]), ("g2", &[(0, Ok(1))]), ("g3", &[])]);
    let wanted = samples.begin(three());
    assert_eq!(wanted.len(), 15_000);
    assert_eq!(*samples.groups(), names(&["g1", "g3"]));
    samples.end(at(1), &wanted.into_iter().map(|one| (one, Ok(2))).collect());
    let told = told(samples);
    assert_eq!(offsets(&told["g1"]).len(), 15_000);
    assert!(offsets(&told["g3"]).is_empty(), "a group that never committed is there");
    let Outcome::Unreadable { why } = &told["g2"].outcome else { panic!() };
    assert!(why.starts_with("left out: an inspection watches 20000 partitions"), "{why}");
}

#[test]
fn every_topic_has_its_numbers_and_its_failures() {
    let topics = ["a".to_owned(), "b".to_owned(), "empty".to_owned()];
    let found = BTreeMap::from([
        (partition("a", 0), Ok(5)),
        (partition("a", 10), Err(error())),
        (partition("b", 0), Err(error())),
    ]);
    let told: Vec<_> = by_topic(&topics, found)
        .into_iter()
        .map(|(topic, numbers, failed)| {
            let failed: Vec<String> = failed.iter().map(|(partition, _)| partition.to_string()).collect();
            (topic, numbers.into_iter().collect::<Vec<_>>(), failed)
        })
        .collect();
    let expected = [
        ("a".to_owned(), vec![("0".to_owned(), 5)], vec!["a-10".to_owned()]),
        ("b".to_owned(), vec![], vec!["b-0".to_owned()]),
        ("empty".to_owned(), vec![], vec![]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn groups_that_nobody_could_list_are_told_with_their_cause() {
    let all = Groups::default();
    assert_eq!(hidden(&all), None);
    let all = Groups {
        unasked: BTreeMap::from([(BrokerId(2), error())]),
        leaderless: BTreeSet::from([3, 17]),
        ..Groups::default()
    };
    let why = hidden(&all).unwrap();
    assert!(why.starts_with("the groups that broker 2 coordinates are not known: failed to take the view"), "{why}");
    assert!(why.ends_with("; the groups in partitions 3, 17 of __consumer_offsets are not known: they have no leader"));
}

#[test]
fn the_samples_time_is_bounded_and_is_no_parameter_of_others() {
    let map = |value: serde_json::Value| value.as_object().unwrap().clone();
    let (time, others) = sample(&map(json!({"sample_s": 20, "service": "kafka"}))).unwrap();
    assert_eq!((time, others), (Duration::from_secs(20), map(json!({"service": "kafka"}))));
    assert_eq!(sample(&Map::new()).unwrap().0, Duration::from_secs(SAMPLE));
    for wrong in [json!(0), json!(3601), json!(-1), json!("20")] {
        let error = sample(&map(json!({"sample_s": wrong}))).unwrap_err().to_string();
        assert!(error.ends_with("it must be a number from 1 to 3600"), "{error}");
    }
}

#[test]
fn keys_are_those_of_the_table() {
    for (key, kind) in [
        (ID, PartKind::Topic),
        (CONFIG, PartKind::Topic),
        (STARTS, PartKind::Topic),
        (ENDS, PartKind::Topic),
        (STATE, PartKind::Group),
        (OFFSETS, PartKind::Group),
    ] {
        let known = readings::find(key).unwrap();
        assert_eq!((known.scope, known.part), (Scope::Cluster, Some(kind)), "{key}");
    }
}

/// A host whose broker should listen on a port.
fn host(port: u16) -> FakeHost {
    let config = format!("node.id=1\nlisteners=PLAINTEXT://127.0.0.1:{port}\n");
    let files = json!({"/etc/kafka/server.properties": {"content": config}});
    FakeHost::new(&serde_json::from_value::<Spec>(json!({"files": files})).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_is_an_error_so_that_another_member_is_asked() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let read = tokio::task::spawn_blocking(move || cluster(&host(port), &Map::new())).await.unwrap();
    let error = read.unwrap_err().to_string();
    assert!(error.starts_with("failed to connect to broker"), "{error}");
}

#[test]
fn an_ensemble_of_zookeeper_has_no_readings_of_this_kind() {
    let params = json!({"kind": "zookeeper"}).as_object().unwrap().clone();
    assert!(cluster(&host(1), &params).unwrap().readings.is_empty());
}

/// Names the configuration file of a broker on this host that a test may read.
const BROKER: &str = "KFLEET_TEST_BROKER";

/// Reads a live broker's cluster and prints the document, to be compared with what Kafka's own tools say.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_cluster_says_something_of_every_topic_and_group() {
    let Ok(config) = std::env::var(BROKER) else {
        println!("skipped: {BROKER} does not name the configuration of a broker on this host");
        return;
    };
    let params = json!({"config": config, "sample_s": 11}).as_object().unwrap().clone();
    let read = move || {
        use crate::host::RealHost;
        use crate::host::real::tests::TestContext;
        cluster(&RealHost::new(Arc::new(TestContext::new())), &params)
    };
    let part = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    println!("{}", serde_json::to_string(&part).unwrap());
    assert!(part.cost.bytes > 0 && part.cost.wall_ms > 0, "{:?}", part.cost);
    let of = |key: &str| -> BTreeMap<String, &Datum> {
        let readings = part.readings.iter().filter(|reading| reading.key == key);
        readings
            .map(|reading| {
                let Outcome::Read(datum) = &reading.outcome else { panic!("{reading:?}") };
                assert_eq!(Some(datum.kind()), readings::find(key).map(|key| key.kind), "{key}");
                (reading.part.as_ref().unwrap().name.clone(), datum)
            })
            .collect()
    };
    let (ids, starts, ends) = (of(ID), of(STARTS), of(ENDS));
    assert!(!ids.is_empty(), "the cluster has topics");
    for topic in ids.keys() {
        let (Some(Datum::Numbers(starts)), Some(Datum::Numbers(ends))) = (starts.get(topic), ends.get(topic)) else {
            panic!("{topic} has no offsets");
        };
        assert!(starts.keys().eq(ends.keys()) && !ends.is_empty(), "{topic}");
        assert!(starts.iter().all(|(number, start)| *start <= ends[number]), "{topic}");
    }
    assert!(of(CONFIG).keys().eq(ids.keys()));
    let groups = of(OFFSETS);
    assert!(of(STATE).keys().eq(groups.keys()));
    for (group, datum) in groups {
        let Datum::Offsets(places) = datum else { panic!("{group}: {datum:?}") };
        for (place, samples) in places {
            assert_eq!(samples.len(), usize::try_from(ROUNDS).unwrap(), "{group} {place}");
            let behind = samples.iter().all(|one| one.committed.is_none_or(|committed| committed <= one.end));
            assert!(behind, "{group} {place}: {samples:?}");
        }
    }
}
