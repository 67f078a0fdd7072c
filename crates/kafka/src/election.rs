//! Leadership given back to the preferred replicas, as the last gate of a restart wants it.
//!
//! Only preferred elections exist here. An unclean one loses data, and nothing of kfleet asks for it.

use crate::access::KafkaAccess;
use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use crate::routing::call_controller;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use kfleet_model::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// `ElectionType.PREFERRED` of the protocol.
const PREFERRED: i8 = 0;

/// How an election of preferred leaders went, by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Election {
    /// Partitions whose leader has changed to the preferred one.
    pub elected: BTreeSet<TopicPartition>,
    /// Partitions that the preferred replica led already.
    pub not_needed: BTreeSet<TopicPartition>,
    /// Partitions that keep their leader, and why.
    pub failed: BTreeMap<TopicPartition, ErrorCode>,
}

/// Asks the active controller to make each partition's first replica its leader.
///
/// A repeat is harmless. The request reaches the controller through the given broker in KRaft mode and directly in
/// ZooKeeper mode. Brokers hear of the new leaders a moment after this returns.
///
/// # Errors
/// When the controller can not be reached or refuses the whole request. A single partition's refusal, for example
/// [`ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE`], stands in [`Election::failed`].
pub async fn elect_preferred_leaders(
    access: &KafkaAccess,
    partitions: &BTreeSet<TopicPartition>,
    deadline: Instant,
) -> Result<Election, KafkaError> {
    if partitions.is_empty() {
        return Ok(Election::default());
    }
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let request = ElectLeadersRequest::default()
        .with_election_type(PREFERRED)
        .with_topic_partitions(Some(by_topic(partitions)))
        .with_timeout_ms(i32::try_from(left).unwrap_or(i32::MAX));
    let answer = call_controller(access, &mut broker, &request, moved_code, deadline).await?;
    match ErrorCode::check(answer.error_code) {
        None => Ok(read(&answer)),
        Some(code) => Err(broker.refused(ElectLeadersRequest::KEY, "the partitions", code.0, None)),
    }
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for tp in partitions {
        topics.entry(&tp.topic).or_default().push(tp.partition);
    }
    let topics = topics.into_iter().map(|(topic, numbers)| {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        TopicPartitions::default().with_topic(name).with_partitions(numbers)
    });
    topics.collect()
}

/// The code that tells whether the controller has moved. Version 0 has no code of its own and gives NOT_CONTROLLER for
/// each partition instead.
fn moved_code(answer: &ElectLeadersResponse) -> i16 {
    let each = answer.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    let mut moved = each.map(|result| result.error_code).filter(|&code| ErrorCode(code) == ErrorCode::NOT_CONTROLLER);
    if answer.error_code == 0 { moved.next().unwrap_or(0) } else { answer.error_code }
}

fn read(answer: &ElectLeadersResponse) -> Election {
    let mut election = Election::default();
    for topic in &answer.replica_election_results {
        for result in &topic.partition_result {
            let tp = TopicPartition { topic: topic.topic.to_string(), partition: result.partition_id };
            match ErrorCode::check(result.error_code) {
                None => _ = election.elected.insert(tp),
                Some(ErrorCode::ELECTION_NOT_NEEDED) => _ = election.not_needed.insert(tp),
                Some(code) => _ = election.failed.insert(tp, code),
            }
        }
    }
    election
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partition }
    }

    fn answer(codes: &[i16]) -> ElectLeadersResponse {
        let results = codes
            .iter()
            .zip(0..)
            .map(|(&code, partition)| PartitionResult::default().with_partition_id(partition).with_error_code(code));
        let topic = ReplicaElectionResult::default()
            .with_topic(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_result(results.collect());
        ElectLeadersResponse::default().with_replica_election_results(vec![topic])
    }

    #[test]
    fn an_election_that_is_not_needed_is_no_failure() {
        let election = read(&answer(&[0, 84, 80]));
        assert_eq!(election.elected, BTreeSet::from([tp("orders", 0)]));
        assert_eq!(election.not_needed, BTreeSet::from([tp("orders", 1)]));
        let failed = BTreeMap::from([(tp("orders", 2), ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE)]);
        assert_eq!(election.failed, failed);
    }

    #[test]
    fn a_controller_that_moved_is_seen_in_old_and_new_answers() {
        assert_eq!(moved_code(&answer(&[0, 41])), 41);
        assert_eq!(moved_code(&answer(&[0, 80])), 0);
        assert_eq!(moved_code(&ElectLeadersResponse::default().with_error_code(41)), 41);
    }

    #[test]
    fn partitions_are_asked_for_topic_by_topic() {
        let asked = by_topic(&BTreeSet::from([tp("b", 1), tp("a", 2), tp("b", 0)]));
        let asked: Vec<_> = asked.iter().map(|topic| (topic.topic.as_str(), topic.partitions.clone())).collect();
        assert_eq!(asked, [("a", vec![2]), ("b", vec![0, 1])]);
    }
}
