//! Surveys of clusters of two brokers, each with a socket of its own, and answers that live ones give only in trouble.

use super::*;
use crate::Address;
use crate::testing::{Asked, Broker, answer, answers_versions};
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as ConsumerGroup;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataResponse, OffsetFetchRequest, OffsetFetchResponse,
    list_offsets_request,
};
use std::sync::Mutex;

/// What a broker of 4.1 speaks of the requests here.
const NEW: &[(i16, i16, i16)] =
    &[(2, 1, 10), (3, 0, 13), (9, 1, 9), (10, 0, 6), (15, 0, 6), (16, 0, 5), (32, 1, 4), (69, 0, 1)];

/// What one of 2.4 speaks of them.
const OLD: &[(i16, i16, i16)] = &[(2, 1, 5), (3, 0, 9), (9, 1, 6), (10, 0, 3), (15, 0, 5), (16, 0, 3), (32, 1, 2)];

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.to_owned(), partition }
}

/// Topics by their partitions' leaders; a topic without a partition is one that is unknown.
type Led = Vec<(&'static str, Vec<i32>)>;

fn metadata(asked: &Asked, second: &Address, led: &Led) -> Vec<u8> {
    let wanted = asked.request::<MetadataRequest>().topics;
    let wanted: Option<Vec<String>> =
        wanted.map(|topics| topics.into_iter().map(|topic| topic.name.unwrap().to_string()).collect());
    let topic = |(name, leaders): &(&str, Vec<i32>)| {
        let one = |(index, leader): (usize, &i32)| {
            MetadataResponsePartition::default()
                .with_partition_index(i32::try_from(index).unwrap())
                .with_leader_id((*leader).into())
                .with_error_code(if *leader < 0 { 5 } else { 0 })
        };
        let id = if asked.version >= 10 { [7; 16] } else { [0; 16] };
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(name)))
            .with_error_code(if leaders.is_empty() { 3 } else { 0 })
            .with_topic_id(uuid::Uuid::from_bytes(id))
            .with_partitions(leaders.iter().enumerate().map(one).collect())
    };
    let named = led.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|w| w == name)));
    // The first broker is reached at the address of the access and not at this one, on which nobody listens.
    let brokers = [(1, &Address::new("127.0.0.1", 1)), (2, second)].map(|(id, address)| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(text(&address.host))
            .with_port(i32::from(address.port))
    });
    let all = MetadataResponse::default()
        .with_cluster_id(Some(text("c")))
        .with_brokers(brokers.to_vec())
        .with_topics(named.map(topic).collect());
    answer::<MetadataRequest>(asked, &all)
}

/// The answer to the question by which a broker shows that it is the right one, and to configurations of topics.
fn configs(asked: &Asked) -> Vec<u8> {
    let results = asked.request::<DescribeConfigsRequest>().resources.into_iter().map(|resource| {
        let config = |name: &str, source: i8, value: &str| {
            DescribeConfigsResourceResult::default()
                .with_name(text(name))
                .with_config_source(source)
                .with_value(Some(text(value)))
        };
        let code = match &*resource.resource_name {
            "gone" => 3,
            "secret" => 29,
            _ => 0,
        };
        DescribeConfigsResult::default()
            .with_error_code(code)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_configs(vec![config("retention.ms", 1, "1000"), config("segment.bytes", 4, "7")])
    });
    answer::<DescribeConfigsRequest>(asked, &DescribeConfigsResponse::default().with_results(results.collect()))
}

/// Offsets that tell which partition and end they are of: a start is the partition's number, an end 100 more. The code
/// stands in place of each that it is given for.
fn list_offsets(asked: &Asked, code: impl Fn(&str, i32) -> i16) -> Vec<u8> {
    let topics = asked.request::<ListOffsetsRequest>().topics.into_iter().map(|topic| {
        let one = |one: list_offsets_request::ListOffsetsPartition| {
            let code = code(&topic.name, one.partition_index);
            let offset = i64::from(one.partition_index) + if one.timestamp == -1 { 100 } else { 0 };
            ListOffsetsPartitionResponse::default()
                .with_partition_index(one.partition_index)
                .with_error_code(code)
                .with_offset(if code == 0 { offset } else { -1 })
        };
        let partitions = topic.partitions.into_iter().map(one).collect();
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    answer::<ListOffsetsRequest>(asked, &ListOffsetsResponse::default().with_topics(topics.collect()))
}

/// A cluster of two brokers of which the second answers with `second` and the first with `first`, where they have an
/// answer, else as every broker does.
struct Cluster {
    first: Broker,
    second: Broker,
    led: Arc<Mutex<Led>>,
}

impl Cluster {
    async fn start(
        apis: &'static [(i16, i16, i16)],
        led: Led,
        mut first: impl FnMut(&Asked) -> Option<Vec<u8>> + Send + 'static,
        mut second: impl FnMut(&Asked) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let common = move |asked: &Asked| match asked.api {
            18 => Some(answers_versions(asked, apis)),
            32 => Some(configs(asked)),
            _ => None,
        };
        let second = Broker::start(move |asked| common(&asked).or_else(|| second(&asked))).await;
        let led = Arc::new(Mutex::new(led));
        let (address, known) = (second.address.clone(), led.clone());
        let first = Broker::start(move |asked| match asked.api {
            3 => Some(metadata(&asked, &address, &known.lock().unwrap())),
            _ => common(&asked).or_else(|| first(&asked)),
        })
        .await;
        Self { first, second, led }
    }

    async fn survey(&self) -> Survey {
        let access = KafkaAccess::plaintext(self.first.address.clone(), BrokerId(1));
        Survey::open(&access, soon()).await.unwrap()
    }

    /// How often each broker was asked this.
    fn asked(&self, api: i16) -> [usize; 2] {
        [&self.first, &self.second].map(|broker| broker.asked().iter().filter(|asked| asked.api == api).count())
    }
}

fn none(_: &Asked) -> Option<Vec<u8>> {
    None
}

#[tokio::test]
async fn every_leader_is_asked_once_for_all_its_partitions() {
    let led = vec![("a", vec![1, 2, 1]), ("b", vec![2])];
    let offsets = |asked: &Asked| Some(list_offsets(asked, |_, _| 0));
    let cluster = Cluster::start(NEW, led, offsets, offsets).await;
    let mut survey = cluster.survey().await;
    let wanted = BTreeSet::from([partition("a", 0), partition("a", 1), partition("a", 2), partition("b", 0)]);
    for (at, more) in [(OffsetAt::Start, 0), (OffsetAt::End, 100)] {
        let found = survey.offsets(at, &wanted, soon()).await;
        let found: BTreeMap<_, _> = found.into_iter().map(|(partition, offset)| (partition, offset.unwrap())).collect();
        let expected = wanted.iter().map(|one| (one.clone(), i64::from(one.partition) + more)).collect();
        assert_eq!(found, expected, "{at:?}");
    }
    assert_eq!((cluster.asked(2), cluster.asked(3)), ([2, 2], [1, 0]));
    assert_eq!(cluster.asked(18), [1, 1], "connections are kept");
    assert_eq!(survey.topics()["a"].id.as_deref(), Some("BwcHBwcHBwcHBwcHBwcHBw"));
    let asked = cluster.second.asked();
    let replica = asked.iter().find(|asked| asked.api == 2).unwrap().request::<ListOffsetsRequest>().replica_id;
    assert_eq!(replica.0, -1, "a client and no broker asks");
}

#[tokio::test]
async fn a_leader_that_has_moved_is_looked_for_again() {
    let refuses = |asked: &Asked| Some(list_offsets(asked, |_, _| 6));
    let answers = |asked: &Asked| Some(list_offsets(asked, |_, _| 0));
    let cluster = Cluster::start(NEW, vec![("a", vec![2])], answers, refuses).await;
    let mut survey = cluster.survey().await;
    *cluster.led.lock().unwrap() = vec![("a", vec![1])];
    let wanted = BTreeSet::from([partition("a", 0)]);
    let found = survey.offsets(OffsetAt::End, &wanted, soon()).await;
    assert_eq!(*found[&partition("a", 0)].as_ref().unwrap(), 100);
    assert_eq!((cluster.asked(2), cluster.asked(3)), ([1, 1], [2, 0]));
}

#[tokio::test]
async fn what_can_not_be_read_says_why_and_hides_nothing_else() {
    let answers = |asked: &Asked| Some(list_offsets(asked, |topic, _| if topic == "secret" { 29 } else { 0 }));
    let led = vec![("a", vec![1, -1]), ("secret", vec![1]), ("gone", vec![1]), ("dead", vec![2])];
    let mut cluster = Cluster::start(NEW, led, answers, none).await;
    let mut survey = cluster.survey().await;
    // Nobody listens at the second broker's address any more, and one topic was deleted.
    cluster.second = Broker::start(|_| None).await;
    cluster.led.lock().unwrap()[2].1.clear();
    let names = ["a", "secret", "gone", "dead"].map(str::to_owned);
    let configs = survey.topic_configs(&names, soon()).await;
    let own = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    assert_eq!(*configs["a"].as_ref().unwrap(), own, "inherited values are not among them");
    assert!(configs["secret"].as_ref().unwrap_err().to_string().contains("TOPIC_AUTHORIZATION_FAILED"));
    assert!(configs["gone"].is_err() && survey.is_gone("gone") && !survey.is_gone("secret"));

    let wanted = ["a", "secret", "gone", "dead"].map(|topic| partition(topic, 0));
    let wanted = wanted.into_iter().chain([partition("a", 1), partition("never", 0)]).collect();
    let found = survey.offsets(OffsetAt::End, &wanted, soon()).await;
    assert_eq!(*found[&partition("a", 0)].as_ref().unwrap(), 100);
    for (topic, number, why) in [
        ("a", 1, "get Metadata of partition a-1 from broker 127.0.0.1:"),
        ("a", 1, "LEADER_NOT_AVAILABLE (5)"),
        ("secret", 0, "get ListOffsets of partition secret-0 from broker"),
        ("secret", 0, "TOPIC_AUTHORIZATION_FAILED (29)"),
        ("gone", 0, "get Metadata of topic 'gone' from broker"),
        ("dead", 0, "connect to broker"),
        ("never", 0, "UNKNOWN_TOPIC_OR_PARTITION (3)"),
    ] {
        let error = found[&partition(topic, number)].as_ref().unwrap_err().to_string();
        assert!(error.contains(why), "{topic}-{number}: {error}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_opened_again_and_a_broker_that_stays_closed_is_asked_no_more() {
    let mut asked_for = 0;
    let closes = move |asked: &Asked| {
        asked_for += 1;
        let answers = asked_for == 1 || asked_for == 3;
        Some(if answers { list_offsets(asked, |_, _| 0) } else { Vec::new() })
    };
    let cluster = Cluster::start(NEW, vec![("a", vec![2])], none, closes).await;
    let mut survey = cluster.survey().await;
    let wanted = BTreeSet::from([partition("a", 0)]);
    for (round, well) in [(1, true), (2, true), (3, false)] {
        let found = survey.offsets(OffsetAt::End, &wanted, soon()).await;
        assert_eq!(found[&partition("a", 0)].is_ok(), well, "round {round}");
    }
    assert_eq!(cluster.asked(2), [0, 5], "the third round asks on the kept connection and on a new one, no more");
    survey.forgive();
    survey.offsets(OffsetAt::End, &wanted, soon()).await;
    assert_eq!(cluster.asked(2), [0, 6]);
}

fn listed(groups: &[(&str, &str, &str, &str)]) -> ListGroupsResponse {
    let groups = groups.iter().map(|(name, protocol_type, state, group_type)| {
        ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(protocol_type))
            .with_group_state(text(state))
            .with_group_type(text(group_type))
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

/// Committed offsets: in topic `a`, 40 in partition 0 and none in partition 1; partition 2 is refused.
fn committed(asked: &Asked, code: i16) -> Vec<u8> {
    let each = [(0, 40, 0), (1, -1, 0), (2, -1, 3)];
    let request = asked.request::<OffsetFetchRequest>();
    let all = if asked.version >= 8 {
        let one = |(index, offset, code): (i32, i64, i16)| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_error_code(code)
        };
        let topic = OffsetFetchResponseTopics::default().with_name(topic_name("a"));
        let topics = vec![topic.with_partitions(each.map(one).to_vec())];
        let group = |id| {
            OffsetFetchResponseGroup::default().with_group_id(id).with_error_code(code).with_topics(topics.clone())
        };
        let groups = request.groups.into_iter().map(|group| group.group_id).map(group);
        OffsetFetchResponse::default().with_groups(groups.collect())
    } else {
        assert!(request.topics.is_none(), "all partitions are asked for");
        let one = |(index, offset, code): (i32, i64, i16)| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_error_code(code)
        };
        let topic = OffsetFetchResponseTopic::default().with_name(topic_name("a"));
        let topics = vec![topic.with_partitions(each.map(one).to_vec())];
        OffsetFetchResponse::default().with_error_code(code).with_topics(topics)
    };
    answer::<OffsetFetchRequest>(asked, &all)
}

/// Broker 2 coordinates every group that is looked for.
fn coordinators(asked: &Asked) -> Vec<u8> {
    let request = asked.request::<FindCoordinatorRequest>();
    let all = if asked.version >= 4 {
        let one = |key: StrBytes| match &*key {
            "lost" => Coordinator::default().with_key(key).with_node_id((-1).into()).with_error_code(15),
            _ => Coordinator::default().with_key(key).with_node_id(2.into()),
        };
        FindCoordinatorResponse::default().with_coordinators(request.coordinator_keys.into_iter().map(one).collect())
    } else {
        FindCoordinatorResponse::default().with_node_id(2.into())
    };
    answer::<FindCoordinatorRequest>(asked, &all)
}

#[tokio::test]
async fn groups_come_from_all_brokers_and_those_that_are_hidden_are_told() {
    let first = |asked: &Asked| {
        let groups = [
            ("jobs", "consumer", "Stable", "Classic"),
            ("connect-1", "connect", "Stable", "classic"),
            ("new", "consumer", "Assigning", "Consumer"),
            ("queue", "share", "Empty", "Share"),
        ];
        (asked.api == 16).then(|| answer::<ListGroupsRequest>(asked, &listed(&groups)))
    };
    let second = |asked: &Asked| {
        let loading = ListGroupsResponse::default().with_error_code(14);
        (asked.api == 16).then(|| answer::<ListGroupsRequest>(asked, &loading))
    };
    let cluster = Cluster::start(NEW, vec![("__consumer_offsets", vec![1, -1, 2])], first, second).await;
    let all = cluster.survey().await.groups(soon()).await;
    let kinds: Vec<_> = all.groups.iter().map(|(name, group)| (name.as_str(), group.kind.commits_offsets())).collect();
    assert_eq!(kinds, [("connect-1", false), ("jobs", true), ("new", true), ("queue", false)]);
    assert_eq!(all.groups["new"].kind, GroupKind::Consumer);
    assert_eq!(all.leaderless, BTreeSet::from([1]));
    let error = all.unasked[&BrokerId(2)].to_string();
    assert!(error.contains("COORDINATOR_LOAD_IN_PROGRESS"), "{error}");
    assert_eq!(cluster.asked(16), [1, 3], "a broker that loads its groups is asked a few times");
}

#[tokio::test]
async fn a_groups_state_is_asked_for_by_its_protocol() {
    let first = |asked: &Asked| match asked.api {
        16 => {
            let groups = [
                ("jobs", "consumer", "Stable", "Classic"),
                ("left", "consumer", "Stable", "Classic"),
                ("new", "consumer", "Stable", "Consumer"),
                ("queue", "share", "Empty", "Share"),
            ];
            Some(answer::<ListGroupsRequest>(asked, &listed(&groups)))
        }
        15 => {
            let groups = asked.request::<DescribeGroupsRequest>().groups.into_iter().map(|id| {
                let left = &*id == "left";
                let code = if left { 69 } else { 0 };
                let state = if left { "" } else { "PreparingRebalance" };
                DescribedGroup::default().with_group_id(id).with_error_code(code).with_group_state(text(state))
            });
            let all = DescribeGroupsResponse::default().with_groups(groups.collect());
            Some(answer::<DescribeGroupsRequest>(asked, &all))
        }
        69 => {
            let ids = asked.request::<ConsumerGroupDescribeRequest>().group_ids.into_iter();
            let group = |id| ConsumerGroup::default().with_group_id(id).with_group_state(text("Reconciling"));
            let all = ConsumerGroupDescribeResponse::default().with_groups(ids.map(group).collect());
            Some(answer::<ConsumerGroupDescribeRequest>(asked, &all))
        }
        _ => None,
    };
    let second = |asked: &Asked| Some(answer::<ListGroupsRequest>(asked, &listed(&[])));
    let cluster = Cluster::start(NEW, vec![], first, second).await;
    let mut survey = cluster.survey().await;
    let groups = survey.groups(soon()).await.groups;
    let states = survey.group_states(&groups, soon()).await;
    let states: Vec<_> = states.iter().map(|(name, state)| (name.as_str(), state.as_ref().unwrap().as_str())).collect();
    let expected = [("jobs", "PreparingRebalance"), ("left", "Dead"), ("new", "Reconciling"), ("queue", "Empty")];
    assert_eq!(states, expected);
    assert_eq!((cluster.asked(15), cluster.asked(69)), ([1, 0], [1, 0]), "one request for all of a kind");
}

/// Reads what `jobs`, `mail` and `lost` committed, which move from the first broker to the second or to nobody.
async fn read_moved(
    apis: &'static [(i16, i16, i16)],
) -> (Cluster, BTreeMap<String, Shared<BTreeMap<TopicPartition, Result<i64, ErrorCode>>>>) {
    let first = |asked: &Asked| match asked.api {
        16 => {
            let group = |name| (name, "consumer", "", "");
            Some(answer::<ListGroupsRequest>(asked, &listed(&["jobs", "mail", "lost"].map(group))))
        }
        9 => Some(committed(asked, 16)),
        10 => Some(coordinators(asked)),
        _ => None,
    };
    let second = |asked: &Asked| match asked.api {
        9 => Some(committed(asked, 0)),
        _ => Some(answer::<ListGroupsRequest>(asked, &listed(&[]))),
    };
    let cluster = Cluster::start(apis, vec![], first, second).await;
    let mut survey = cluster.survey().await;
    let groups = survey.groups(soon()).await.groups.into_keys().collect();
    let found = survey.committed(&groups, soon()).await;
    (cluster, found)
}

#[tokio::test]
async fn committed_offsets_come_from_the_coordinator_wherever_it_is() {
    let expected =
        BTreeMap::from([(partition("a", 0), Ok(40)), (partition("a", 2), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))]);
    let (cluster, found) = read_moved(NEW).await;
    for group in ["jobs", "mail"] {
        assert_eq!(*found[group].as_ref().unwrap(), expected, "{group}");
    }
    let error = found["lost"].as_ref().unwrap_err().to_string();
    assert!(error.contains("get FindCoordinator of group 'lost'") && error.contains("(15)"), "{error}");
    assert_eq!(cluster.asked(9), [1, 1], "all groups of a coordinator at once");

    let (cluster, found) = read_moved(OLD).await;
    assert!(found.values().all(|committed| *committed.as_ref().unwrap() == expected));
    assert_eq!((cluster.asked(9), cluster.asked(10)), ([3, 3], [3, 0]), "an old broker is asked for each by itself");
}
