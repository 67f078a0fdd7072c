//! Where partitions begin and end, from their leaders.

use super::{ATTEMPTS, Shared, Survey, pause, still_open, topic_name};
use crate::error::ErrorCode;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId as WireId, ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::Request;
use kfleet_model::{BrokerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// How many partitions one ListOffsets asks about: an answer of 100 KB, and no broker thread is held for long.
const PARTITIONS_A_REQUEST: usize = 2000;

/// A request by no replica but a client (`ListOffsetsRequest.CONSUMER_REPLICA_ID`).
const CLIENT: WireId = WireId(-1);

/// The version since which ListOffsets answers with an offset and not with a list of them (Kafka 0.10.1).
const AT_LEAST: i16 = 1;

/// An end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The offset that the next record will have, as readers see it: the high watermark.
    End,
    /// The first offset that is still there.
    Start,
}

impl OffsetAt {
    /// `ListOffsetsRequest.LATEST_TIMESTAMP` and `EARLIEST_TIMESTAMP`.
    fn timestamp(self) -> i64 {
        match self {
            Self::End => -1,
            Self::Start => -2,
        }
    }
}

impl Survey {
    /// Asks each partition's leader for an end of it. Every partition that is asked for is in the answer.
    pub async fn offsets(
        &mut self,
        at: OffsetAt,
        wanted: &BTreeSet<TopicPartition>,
        deadline: Instant,
    ) -> BTreeMap<TopicPartition, Shared<i64>> {
        let mut found = self.ask_leaders(at, wanted, deadline).await;
        for _ in 1..ATTEMPTS {
            let open = still_open(&found);
            if open.is_empty() || !pause(deadline).await {
                break;
            }
            self.look_again(&open.iter().map(|partition| partition.topic.clone()).collect(), deadline).await;
            found.extend(self.ask_leaders(at, &open, deadline).await);
        }
        found
    }

    async fn ask_leaders(
        &mut self,
        at: OffsetAt,
        wanted: &BTreeSet<TopicPartition>,
        deadline: Instant,
    ) -> BTreeMap<TopicPartition, Shared<i64>> {
        let mut found = BTreeMap::new();
        let mut led: BTreeMap<BrokerId, Vec<&TopicPartition>> = BTreeMap::new();
        for partition in wanted {
            match self.leader(partition) {
                Ok(node) => led.entry(node).or_default().push(partition),
                Err(error) => _ = found.insert(partition.clone(), Err(error)),
            }
        }
        for (node, partitions) in led {
            for some in partitions.chunks(PARTITIONS_A_REQUEST) {
                let answer = self.peers.call(node, &request(at, some), AT_LEAST, deadline).await;
                let read = answer.map(|answer| self.read_offsets(node, &answer));
                for partition in some {
                    let offset = match &read {
                        Ok(read) => read.get(*partition).cloned().unwrap_or_else(|| {
                            Err(self.peers.incomplete(node, ListOffsetsRequest::KEY, format!("partition {partition}")))
                        }),
                        Err(error) => Err(error.clone()),
                    };
                    found.insert((*partition).clone(), offset);
                }
            }
        }
        found
    }

    fn read_offsets(&self, node: BrokerId, answer: &ListOffsetsResponse) -> BTreeMap<TopicPartition, Shared<i64>> {
        let mut read = BTreeMap::new();
        for topic in &answer.topics {
            for one in &topic.partitions {
                let partition = TopicPartition { topic: topic.name.to_string(), partition: one.partition_index };
                let offset = match ErrorCode::check(one.error_code) {
                    None => Ok(one.offset),
                    Some(code) => {
                        let about = format!("partition {partition}");
                        Err(self.peers.refused(node, ListOffsetsRequest::KEY, about, code, None))
                    }
                };
                read.insert(partition, offset);
            }
        }
        read
    }
}

fn request(at: OffsetAt, partitions: &[&TopicPartition]) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in partitions {
        let one =
            ListOffsetsPartition::default().with_partition_index(partition.partition).with_timestamp(at.timestamp());
        topics.entry(&partition.topic).or_default().push(one);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(partitions)
    });
    ListOffsetsRequest::default().with_replica_id(CLIENT).with_topics(topics.collect())
}
