//! Consumer groups: which there are, what state they are in, and how far they have committed, from their coordinators.
//!
//! Each broker lists the groups that it coordinates, so the list tells where to ask.

use super::peers::Peers;
use super::{ATTEMPTS, Shared, Survey, pause};
use crate::error::{ErrorCode, KafkaError};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest, OffsetFetchRequest,
    OffsetFetchResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kfleet_model::{BrokerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// How many groups one request asks about. A group's answer has all its members or all its partitions.
pub(super) const GROUPS_A_REQUEST: usize = 100;

/// Where Kafka keeps groups (`Topic.GROUP_METADATA_TOPIC_NAME`).
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// OffsetFetch for all partitions of a group came with version 2 (Kafka 0.10.2), for many groups with version 8
/// (KIP-709, Kafka 3.0).
const ALL_PARTITIONS: i16 = 2;
const MANY_GROUPS: i16 = 8;

/// What DescribeGroups says of a group that is not there, up to its version 5.
const DEAD: &str = "Dead";

/// The protocol by which a group's members agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKind {
    /// The first one: JoinGroup and SyncGroup, with a protocol type of the members' own.
    Classic {
        /// `consumer` for consumers, `connect` for Connect's workers; empty when there are only committed offsets.
        protocol_type: String,
    },
    /// The consumers' of KIP-848.
    Consumer,
    /// A newer one, by Kafka's name: `share` (KIP-932), `streams` (KIP-1071).
    Other(String),
}

impl GroupKind {
    fn of(group_type: &str, protocol_type: &str) -> Self {
        match group_type.to_lowercase().as_str() {
            "" | "classic" => Self::Classic { protocol_type: protocol_type.to_owned() },
            "consumer" => Self::Consumer,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether groups of this kind commit offsets that OffsetFetch tells: workers and share groups keep their place
    /// in other ways.
    #[must_use]
    pub fn commits_offsets(&self) -> bool {
        match self {
            Self::Classic { protocol_type } => protocol_type.is_empty() || protocol_type == "consumer",
            Self::Consumer => true,
            Self::Other(name) => name != "share",
        }
    }
}

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its kind.
    pub kind: GroupKind,
    /// Its state; none before version 4 of ListGroups (KIP-518, Kafka 2.6).
    pub state: Option<String>,
}

/// The groups of a cluster.
#[derive(Debug, Default)]
pub struct Groups {
    /// Those that are known.
    pub groups: BTreeMap<String, Group>,
    /// Brokers that did not list theirs, and why.
    pub unasked: BTreeMap<BrokerId, Arc<KafkaError>>,
    /// Partitions of Kafka's topic of offsets without a leader: no broker coordinates the groups that stand in them.
    pub leaderless: BTreeSet<i32>,
}

impl Survey {
    /// Asks every broker for the groups that it coordinates.
    pub async fn groups(&mut self, deadline: Instant) -> Groups {
        let mut all = Groups::default();
        if let Some(topic) = self.topics.get(OFFSETS_TOPIC) {
            let leaderless = topic.leaders.iter().filter(|(_, leader)| leader.is_none());
            all.leaderless = leaderless.map(|(partition, _)| *partition).collect();
        }
        for node in self.peers.nodes() {
            match self.groups_of(node, deadline).await {
                Ok(groups) => {
                    self.coordinators.extend(groups.keys().map(|name| (name.clone(), node)));
                    all.groups.extend(groups);
                }
                Err(error) => _ = all.unasked.insert(node, error),
            }
        }
        all
    }

    async fn groups_of(&mut self, node: BrokerId, deadline: Instant) -> Shared<BTreeMap<String, Group>> {
        let mut attempt = 1;
        loop {
            let answer = self.peers.call(node, &ListGroupsRequest::default(), 0, deadline).await?;
            let Some(code) = ErrorCode::check(answer.error_code) else {
                let group = |state: &StrBytes, group_type: &str, protocol_type: &str| Group {
                    kind: GroupKind::of(group_type, protocol_type),
                    state: Some(state.to_string()).filter(|state| !state.is_empty()),
                };
                let groups = answer.groups.iter().map(|one| {
                    (one.group_id.to_string(), group(&one.group_state, &one.group_type, &one.protocol_type))
                });
                return Ok(groups.collect());
            };
            let error = self.peers.refused(node, ListGroupsRequest::KEY, "the groups".to_owned(), code, None);
            if attempt == ATTEMPTS || !super::passes(&error) || !pause(deadline).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// The state of groups, as their coordinators describe them. A group that is gone is `Dead`. Every group that is
    /// asked for is in the answer.
    pub async fn group_states(
        &mut self,
        groups: &BTreeMap<String, Group>,
        deadline: Instant,
    ) -> BTreeMap<String, Shared<String>> {
        let mut classic = BTreeSet::new();
        let mut consumer = BTreeSet::new();
        let mut found = BTreeMap::new();
        for (name, group) in groups {
            match &group.kind {
                GroupKind::Classic { .. } => _ = classic.insert(name.clone()),
                GroupKind::Consumer => _ = consumer.insert(name.clone()),
                // Their own requests to describe them would add members only.
                GroupKind::Other(_) => {
                    let missing = || self.peers.incomplete(self.peers.own(), ListGroupsRequest::KEY, about(name));
                    found.insert(name.clone(), group.state.clone().ok_or_else(missing));
                }
            }
        }
        found.extend(self.of_coordinators(&classic, DescribeGroupsRequest::KEY, describe_classic, deadline).await);
        let key = ConsumerGroupDescribeRequest::KEY;
        found.extend(self.of_coordinators(&consumer, key, describe_consumer, deadline).await);
        found
    }

    /// The committed offsets of all partitions of groups. A partition that is not in the answer has none. Every group
    /// that is asked for is in the answer.
    pub async fn committed(
        &mut self,
        groups: &BTreeSet<String>,
        deadline: Instant,
    ) -> BTreeMap<String, Shared<BTreeMap<TopicPartition, Result<i64, ErrorCode>>>> {
        self.of_coordinators(groups, OffsetFetchRequest::KEY, fetch, deadline).await
    }
}

pub(super) fn about(group: &str) -> String {
    format!("group '{group}'")
}

fn ids(groups: &[String]) -> Vec<GroupId> {
    groups.iter().map(|name| GroupId(StrBytes::from_string(name.clone()))).collect()
}

/// The same failure for each group.
fn all_failed<T>(groups: &[String], error: &Arc<KafkaError>) -> BTreeMap<String, Shared<T>> {
    groups.iter().map(|name| (name.clone(), Err(error.clone()))).collect()
}

/// A group that is gone since it was listed is dead: DescribeGroups says so up to its version 5, and with an error
/// since (KIP-1043).
fn state(peers: &Peers, node: BrokerId, api: i16, group: &str, code: i16, state: &str) -> Shared<String> {
    match ErrorCode::check(code) {
        None => Ok(state.to_owned()),
        Some(ErrorCode::GROUP_ID_NOT_FOUND) => Ok(DEAD.to_owned()),
        Some(code) => Err(peers.refused(node, api, about(group), code, None)),
    }
}

async fn describe_classic(
    peers: &mut Peers,
    node: BrokerId,
    groups: &[String],
    deadline: Instant,
) -> BTreeMap<String, Shared<String>> {
    let request = DescribeGroupsRequest::default().with_groups(ids(groups));
    match peers.call(node, &request, 0, deadline).await {
        Ok(answer) => {
            let states = answer.groups.iter().map(|one| {
                let key = DescribeGroupsRequest::KEY;
                (one.group_id.to_string(), state(peers, node, key, &one.group_id, one.error_code, &one.group_state))
            });
            states.collect()
        }
        Err(error) => all_failed(groups, &error),
    }
}

async fn describe_consumer(
    peers: &mut Peers,
    node: BrokerId,
    groups: &[String],
    deadline: Instant,
) -> BTreeMap<String, Shared<String>> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(ids(groups));
    match peers.call(node, &request, 0, deadline).await {
        Ok(answer) => {
            let states = answer.groups.iter().map(|one| {
                let key = ConsumerGroupDescribeRequest::KEY;
                (one.group_id.to_string(), state(peers, node, key, &one.group_id, one.error_code, &one.group_state))
            });
            states.collect()
        }
        Err(error) => all_failed(groups, &error),
    }
}

type Committed = BTreeMap<TopicPartition, Result<i64, ErrorCode>>;

async fn fetch(
    peers: &mut Peers,
    node: BrokerId,
    groups: &[String],
    deadline: Instant,
) -> BTreeMap<String, Shared<Committed>> {
    let version = match peers.highest::<OffsetFetchRequest>(node, deadline).await {
        Ok(version) => version.unwrap_or(ALL_PARTITIONS),
        Err(error) => return all_failed(groups, &error),
    };
    let mut found = BTreeMap::new();
    if version >= MANY_GROUPS {
        let group = |id| OffsetFetchRequestGroup::default().with_group_id(id).with_topics(None);
        let groups_asked = ids(groups).into_iter().map(group).collect();
        // The field of older versions must be there and empty to be left out.
        let request = OffsetFetchRequest::default().with_topics(Some(Vec::new())).with_groups(groups_asked);
        match peers.call(node, &request, MANY_GROUPS, deadline).await {
            Ok(answer) => found.extend(answer.groups.iter().map(|group| read_group(peers, node, group))),
            Err(error) => found = all_failed(groups, &error),
        }
        return found;
    }
    for (name, id) in groups.iter().zip(ids(groups)) {
        let request = OffsetFetchRequest::default().with_group_id(id).with_topics(None);
        let answer = peers.call(node, &request, ALL_PARTITIONS, deadline).await;
        found.insert(name.clone(), answer.and_then(|answer| read_one(peers, node, name, &answer)));
    }
    found
}

fn read_group(peers: &Peers, node: BrokerId, group: &OffsetFetchResponseGroup) -> (String, Shared<Committed>) {
    let name = group.group_id.to_string();
    let committed = match ErrorCode::check(group.error_code) {
        None => Ok(group.topics.iter().flat_map(of_topics).collect()),
        Some(code) => Err(peers.refused(node, OffsetFetchRequest::KEY, about(&name), code, None)),
    };
    (name, committed)
}

fn read_one(peers: &Peers, node: BrokerId, name: &str, answer: &OffsetFetchResponse) -> Shared<Committed> {
    match ErrorCode::check(answer.error_code) {
        None => Ok(answer.topics.iter().flat_map(of_topic).collect()),
        Some(code) => Err(peers.refused(node, OffsetFetchRequest::KEY, about(name), code, None)),
    }
}

fn of_topics(topic: &OffsetFetchResponseTopics) -> impl Iterator<Item = (TopicPartition, Result<i64, ErrorCode>)> {
    let each = topic.partitions.iter();
    each.filter_map(|one| offset(&topic.name, one.partition_index, one.committed_offset, one.error_code))
}

fn of_topic(topic: &OffsetFetchResponseTopic) -> impl Iterator<Item = (TopicPartition, Result<i64, ErrorCode>)> {
    let each = topic.partitions.iter();
    each.filter_map(|one| offset(&topic.name, one.partition_index, one.committed_offset, one.error_code))
}

/// None where nothing was committed, which is -1 on the wire.
fn offset(topic: &str, partition: i32, committed: i64, code: i16) -> Option<(TopicPartition, Result<i64, ErrorCode>)> {
    let partition = TopicPartition { topic: topic.to_owned(), partition };
    match ErrorCode::check(code) {
        Some(code) => Some((partition, Err(code))),
        None => (committed >= 0).then_some((partition, Ok(committed))),
    }
}
