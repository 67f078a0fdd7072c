//! The requests that a snapshot is made of: each sends, checks the answer's error codes, and returns plain data.

use crate::access::KafkaAccess;
use crate::connection::Connection;
use crate::error::{Api, ErrorCode, KafkaError};
use crate::routing::{METADATA_AT_LEAST, call_controller};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::{DescribeQuorumResponse, ReplicaState};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeQuorumRequest, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kfleet_model::BrokerId;
use kfleet_model::snapshot::{Quorum, ReplicaProgress};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// `ConfigResource.Type` of the protocol.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// How many topics one DescribeConfigs asks about: near 60 KB a request with long names, and no broker thread is
/// held for long.
pub(crate) const TOPICS_A_REQUEST: usize = 250;

const MIN_ISR: &str = "min.insync.replicas";

/// The topic whose one partition the metadata quorum replicates.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// How often a quorum that is electing is asked again, and after how long.
const QUORUM_ATTEMPTS: u32 = 5;
const QUORUM_PAUSE: Duration = Duration::from_millis(200);

/// Makes sure that the broker has the expected id: a broker describes its own configuration only, and refuses when it
/// is asked for another's.
pub(crate) async fn verify_node(
    broker: &mut Connection,
    expected: BrokerId,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let keys = vec![StrBytes::from_static_str("broker.id")];
    let resource = config_resource(BROKER, StrBytes::from_string(expected.to_string()), keys);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = broker.call(&request, deadline).await?;
    let Some(result) = answer.results.first() else {
        return Err(incomplete(broker, DescribeConfigsRequest::KEY, format!("node {expected}")));
    };
    let message = said(&result.error_message);
    match ErrorCode::check(result.error_code) {
        None => Ok(()),
        Some(ErrorCode::INVALID_REQUEST) => {
            Err(KafkaError::WrongBroker { broker: broker.broker().clone(), expected, message })
        }
        Some(code) => {
            let about = format!("node {expected}");
            Err(broker.refused(DescribeConfigsRequest::KEY, about, code.0, message.as_deref()))
        }
    }
}

/// Everything that the broker knows of brokers and topics.
pub(crate) async fn metadata(broker: &mut Connection, deadline: Instant) -> Result<MetadataResponse, KafkaError> {
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let answer = broker.call_at_least(&request, METADATA_AT_LEAST, deadline).await?;
    match ErrorCode::check(answer.error_code) {
        None => Ok(answer),
        Some(code) => Err(broker.refused(MetadataRequest::KEY, "the cluster", code.0, None)),
    }
}

/// The effective `min.insync.replicas` of every topic of a metadata answer; none when one of them is gone meanwhile.
pub(super) async fn min_isr(
    broker: &mut Connection,
    metadata: &MetadataResponse,
    deadline: Instant,
) -> Result<Option<BTreeMap<String, u32>>, KafkaError> {
    let names: Vec<&TopicName> = metadata.topics.iter().filter_map(|topic| topic.name.as_ref()).collect();
    let mut found = BTreeMap::new();
    for some in names.chunks(TOPICS_A_REQUEST) {
        let keys = || vec![StrBytes::from_static_str(MIN_ISR)];
        let resources = some.iter().map(|name| config_resource(TOPIC, name.0.clone(), keys())).collect();
        let request = DescribeConfigsRequest::default().with_resources(resources);
        let answer = broker.call(&request, deadline).await?;
        for result in answer.results {
            let topic = result.resource_name.to_string();
            match ErrorCode::check(result.error_code) {
                None => {
                    let value = min_isr_of(&result).ok_or_else(|| {
                        incomplete(broker, DescribeConfigsRequest::KEY, format!("{MIN_ISR} of topic '{topic}'"))
                    })?;
                    found.insert(topic, value);
                }
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => return Ok(None),
                Some(code) => {
                    let about = format!("topic '{topic}'");
                    let message = result.error_message.as_deref();
                    return Err(broker.refused(DescribeConfigsRequest::KEY, about, code.0, message));
                }
            }
        }
    }
    Ok(Some(found))
}

fn config_resource(kind: i8, name: StrBytes, keys: Vec<StrBytes>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(name)
        .with_configuration_keys(Some(keys))
}

fn min_isr_of(result: &DescribeConfigsResult) -> Option<u32> {
    let entry = result.configs.iter().find(|config| &*config.name == MIN_ISR)?;
    entry.value.as_ref()?.parse().ok()
}

/// What a broker added to an error code; brokers leave it out or empty when the code says it all.
fn said(text: &Option<StrBytes>) -> Option<String> {
    text.as_ref().filter(|text| !text.is_empty()).map(ToString::to_string)
}

fn incomplete(broker: &Connection, api: i16, what: String) -> KafkaError {
    KafkaError::Incomplete { broker: broker.broker().clone(), api: Api(api), what }
}

/// The metadata quorum as its leader sees it. The broker forwards the question; while the quorum elects, it is asked
/// again a few times.
pub(super) async fn quorum(broker: &mut Connection, deadline: Instant) -> Result<Quorum, KafkaError> {
    let partition = PartitionData::default().with_partition_index(0);
    let topic = TopicData::default()
        .with_topic_name(TopicName(StrBytes::from_static_str(CLUSTER_METADATA)))
        .with_partitions(vec![partition]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let mut attempt = 1;
    loop {
        let answer = broker.call(&request, deadline).await?;
        let (code, message) = match quorum_of(&answer) {
            Described::Quorum(quorum) => return Ok(quorum),
            Described::Error(code, message) => (code, message),
            Described::Nothing => {
                return Err(incomplete(broker, DescribeQuorumRequest::KEY, CLUSTER_METADATA.to_owned()));
            }
        };
        let electing = code == ErrorCode::NOT_LEADER_OR_FOLLOWER || code == ErrorCode::NOT_CONTROLLER;
        if !electing || attempt == QUORUM_ATTEMPTS {
            let message = message.as_deref();
            return Err(broker.refused(DescribeQuorumRequest::KEY, "the metadata quorum", code.0, message));
        }
        attempt += 1;
        tokio::time::sleep_until(deadline.min(Instant::now() + QUORUM_PAUSE)).await;
    }
}

/// What an answer to DescribeQuorum holds.
#[derive(Debug, PartialEq)]
pub(super) enum Described {
    Quorum(Quorum),
    Error(ErrorCode, Option<String>),
    Nothing,
}

pub(super) fn quorum_of(answer: &DescribeQuorumResponse) -> Described {
    if let Some(code) = ErrorCode::check(answer.error_code) {
        return Described::Error(code, said(&answer.error_message));
    }
    let Some(partition) = answer.topics.iter().flat_map(|topic| &topic.partitions).next() else {
        return Described::Nothing;
    };
    if let Some(code) = ErrorCode::check(partition.error_code) {
        return Described::Error(code, said(&partition.error_message));
    }
    let leader = partition.leader_id;
    // The leader's own caught-up time is its clock at the moment of the answer (KIP-836).
    let leader_time = partition.current_voters.iter().find(|voter| voter.replica_id == leader);
    let leader_time = leader_time.map_or(-1, |voter| voter.last_caught_up_timestamp);
    let members = |states: &[ReplicaState]| {
        states.iter().map(|state| (BrokerId(state.replica_id.0), progress(state, leader_time))).collect()
    };
    Described::Quorum(Quorum {
        leader: (leader.0 >= 0).then_some(BrokerId(leader.0)),
        leader_epoch: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        voters: members(&partition.current_voters),
        observers: members(&partition.observers),
    })
}

fn progress(state: &ReplicaState, leader_time: i64) -> ReplicaProgress {
    let known = leader_time >= 0 && state.last_caught_up_timestamp >= 0;
    // Never below zero: a follower that fetched after the leader took its time is not ahead of it.
    let behind_ms = known.then(|| leader_time.saturating_sub(state.last_caught_up_timestamp).max(0));
    ReplicaProgress { log_end_offset: state.log_end_offset, behind_ms }
}

/// The reassignments that are under way, from the active controller.
pub(super) async fn reassignments(
    access: &KafkaAccess,
    broker: &mut Connection,
    deadline: Instant,
) -> Result<ListPartitionReassignmentsResponse, KafkaError> {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let timeout_ms = i32::try_from(left).unwrap_or(i32::MAX);
    let request = ListPartitionReassignmentsRequest::default().with_topics(None).with_timeout_ms(timeout_ms);
    let answer = call_controller(access, broker, &request, |answer| answer.error_code, deadline).await?;
    match ErrorCode::check(answer.error_code) {
        None => Ok(answer),
        Some(code) => {
            let message = answer.error_message.as_deref();
            Err(broker.refused(ListPartitionReassignmentsRequest::KEY, "the cluster", code.0, message))
        }
    }
}
