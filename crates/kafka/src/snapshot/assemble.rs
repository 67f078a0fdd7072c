//! Decoded answers in, snapshot out: a pure function, so that every shape of answer can be tested.

use crate::access::Address;
use crate::error::{Api, ErrorCode, KafkaError};
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    BrokerId as WireId, ListPartitionReassignmentsResponse, MetadataRequest, MetadataResponse,
};
use kafka_protocol::protocol::Request;
use kfleet_model::snapshot::{Broker, KafkaMode, KafkaSnapshot, PartitionState, Topic};
use kfleet_model::{BrokerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Kafka's own topics that Metadata does not mark as internal: share groups' state (KIP-932) before 4.1 and the
/// tiered storage's log of segments (KIP-405).
const ALSO_INTERNAL: [&str; 2] = ["__share_group_state", "__remote_log_metadata"];

/// The answers of one reading.
pub(super) struct Parts<'a> {
    pub(super) broker: &'a Address,
    pub(super) node: BrokerId,
    pub(super) metadata: MetadataResponse,
    pub(super) min_isr: BTreeMap<String, u32>,
    pub(super) mode: KafkaMode,
    pub(super) reassignments: ListPartitionReassignmentsResponse,
}

pub(super) fn assemble(parts: Parts<'_>) -> Result<KafkaSnapshot, KafkaError> {
    let Parts { broker, node, metadata, min_isr, mode, reassignments } = parts;
    let brokers = brokers(&metadata);
    if !brokers.contains_key(&node) {
        return Err(KafkaError::NotRegistered { broker: broker.clone(), node });
    }
    let cluster_id = metadata.cluster_id.as_ref().ok_or_else(|| missing(broker, "the cluster's id"))?.to_string();
    let mut topics = BTreeMap::new();
    for topic in &metadata.topics {
        let name = topic.name.as_ref().ok_or_else(|| missing(broker, "a topic's name"))?.to_string();
        let min_isr = min_isr.get(&name).copied();
        let min_isr = min_isr.ok_or_else(|| missing(broker, &format!("min.insync.replicas of topic '{name}'")))?;
        topics.insert(name.clone(), read_topic(broker, &name, topic, min_isr)?);
    }
    let reassigning = mark_reassignments(&mut topics, &reassignments);
    Ok(KafkaSnapshot { seen_by: node, cluster_id, mode, brokers, topics, reassigning })
}

fn missing(broker: &Address, what: &str) -> KafkaError {
    KafkaError::Incomplete { broker: broker.clone(), api: Api(MetadataRequest::KEY), what: what.to_owned() }
}

fn brokers(metadata: &MetadataResponse) -> BTreeMap<BrokerId, Broker> {
    let brokers = metadata.brokers.iter().map(|broker| {
        let rack = broker.rack.as_ref().map(ToString::to_string).filter(|rack| !rack.is_empty());
        (BrokerId(broker.node_id.0), Broker { host: broker.host.to_string(), port: broker.port, rack })
    });
    brokers.collect()
}

fn read_topic(broker: &Address, name: &str, topic: &MetadataResponseTopic, min_isr: u32) -> Result<Topic, KafkaError> {
    let refused = |about: String, code| KafkaError::Refused {
        broker: broker.clone(),
        api: Api(MetadataRequest::KEY),
        about,
        code,
        message: None,
    };
    if let Some(code) = ErrorCode::check(topic.error_code) {
        return Err(refused(format!("topic '{name}'"), code));
    }
    let mut partitions = BTreeMap::new();
    for partition in &topic.partitions {
        match ErrorCode::check(partition.error_code) {
            // The three are told about a partition that has lost brokers; the answer is complete all the same.
            None
            | Some(
                ErrorCode::LEADER_NOT_AVAILABLE | ErrorCode::REPLICA_NOT_AVAILABLE | ErrorCode::LISTENER_NOT_FOUND,
            ) => {}
            Some(code) => return Err(refused(format!("partition {name}-{}", partition.partition_index), code)),
        }
        partitions.insert(partition.partition_index, read_partition(partition));
    }
    let internal = topic.is_internal || ALSO_INTERNAL.contains(&name);
    Ok(Topic { min_isr, internal, partitions })
}

fn read_partition(partition: &MetadataResponsePartition) -> PartitionState {
    PartitionState {
        leader: (partition.leader_id.0 >= 0).then_some(BrokerId(partition.leader_id.0)),
        leader_epoch: partition.leader_epoch,
        replicas: ids(&partition.replica_nodes),
        isr: ids(&partition.isr_nodes),
        removing: BTreeSet::new(),
    }
}

fn ids<C: FromIterator<BrokerId>>(wire: &[WireId]) -> C {
    wire.iter().map(|id| BrokerId(id.0)).collect()
}

/// Names the partitions under reassignment and writes into them which replicas are about to go. A topic that was made
/// after Metadata was read is named too.
fn mark_reassignments(
    topics: &mut BTreeMap<String, Topic>,
    answer: &ListPartitionReassignmentsResponse,
) -> BTreeSet<TopicPartition> {
    let mut reassigning = BTreeSet::new();
    for topic in &answer.topics {
        for ongoing in &topic.partitions {
            let known = topics.get_mut(topic.name.as_str());
            if let Some(state) = known.and_then(|topic| topic.partitions.get_mut(&ongoing.partition_index)) {
                state.removing = ids(&ongoing.removing_replicas);
            }
            reassigning.insert(TopicPartition { topic: topic.name.to_string(), partition: ongoing.partition_index });
        }
    }
    reassigning
}

#[cfg(test)]
mod tests;
