//! A cluster's topics and consumer groups, all of them, with what is configured and where everybody stands.
//!
//! Where a [`crate::snapshot`] is one broker's view, a survey is the cluster's truth: every question goes to the broker
//! that knows, offsets to the partition's leader and groups to their coordinator. Failures are kept by topic, partition
//! and group, so that one dead broker hides only what it kept, and never without a word.
//!
//! All answers together are large on a large cluster, so questions go out in batches; what is asked of one broker is
//! asked one after the other.

mod coordinators;
mod groups;
mod offsets;
mod peers;
#[cfg(test)]
mod tests;

pub use groups::{Group, GroupKind, Groups};
pub use offsets::OffsetAt;

use crate::access::KafkaAccess;
use crate::configs::{OF_TOPIC, TOPIC, own_value};
use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use crate::routing::METADATA_AT_LEAST;
use crate::snapshot::requests::{self, TOPICS_A_REQUEST};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse, MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use kfleet_model::{BrokerId, TopicPartition};
use peers::Peers;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An answer, or why there is none; many things often share one cause.
pub type Shared<T> = Result<T, Arc<KafkaError>>;

/// How often a leader or coordinator that has moved is looked for again. An election takes well under a second once it
/// began; a longer search is the caller's to repeat.
const ATTEMPTS: u32 = 3;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// A topic as Metadata describes it.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its id as Kafka's tools print it, url-safe base64; none in a cluster that gives none (before Kafka 2.8).
    pub id: Option<String>,
    /// The leader of each partition; none when no replica can lead.
    pub leaders: BTreeMap<i32, Option<BrokerId>>,
    /// Why Metadata does not describe it.
    pub error: Option<Arc<KafkaError>>,
}

/// A cluster that is being read.
pub struct Survey {
    peers: Peers,
    topics: BTreeMap<String, Topic>,
    coordinators: BTreeMap<String, BrokerId>,
}

impl Survey {
    /// Connects to the given broker and learns of all brokers and topics.
    ///
    /// # Errors
    /// When the broker can not be reached, is another one than the access says, or refuses.
    pub async fn open(access: &KafkaAccess, deadline: Instant) -> Result<Self, KafkaError> {
        let mut own = Connection::open(access, access.address(), deadline).await?;
        requests::verify_node(&mut own, access.node(), deadline).await?;
        let metadata = requests::metadata(&mut own, deadline).await?;
        let mut peers = Peers::new(access, own);
        peers.know(&metadata);
        let mut survey = Self { peers, topics: BTreeMap::new(), coordinators: BTreeMap::new() };
        survey.note(&metadata.topics);
        Ok(survey)
    }

    /// Every topic, and those that are gone since the survey began.
    #[must_use]
    pub fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.topics
    }

    /// Whether a topic was deleted since the survey began, as the given broker knows.
    #[must_use]
    pub fn is_gone(&self, topic: &str) -> bool {
        let error = self.topics.get(topic).and_then(|topic| topic.error.as_ref());
        error.is_some_and(|error| error.is_refused_with(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
    }

    /// Bytes of all answers so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.peers.received()
    }

    /// Lets brokers that did not answer be asked again, which otherwise stay passed over.
    pub fn forgive(&mut self) {
        self.peers.forgive();
    }

    /// What was configured for the topics themselves; a key that a topic has by inheritance is not in the answer.
    pub async fn topic_configs(
        &mut self,
        topics: &[String],
        deadline: Instant,
    ) -> BTreeMap<String, Shared<BTreeMap<String, String>>> {
        let mut found = BTreeMap::new();
        for some in topics.chunks(TOPICS_A_REQUEST) {
            let answer = self.peers.call(self.peers.own(), &configs_of(some), 1, deadline).await;
            let read = answer.map(|answer| self.read_configs(&answer));
            for topic in some {
                let config = match &read {
                    Ok(read) => read.get(topic).cloned().unwrap_or_else(|| {
                        let what = format!("topic '{topic}'");
                        Err(self.peers.incomplete(self.peers.own(), DescribeConfigsRequest::KEY, what))
                    }),
                    Err(error) => Err(error.clone()),
                };
                found.insert(topic.clone(), config);
            }
        }
        let unknown = |config: &Shared<_>| {
            config.as_ref().is_err_and(|error| error.is_refused_with(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
        };
        let gone = found.iter().filter(|(_, config)| unknown(config)).map(|(topic, _)| topic.clone());
        self.look_again(&gone.collect(), deadline).await;
        found
    }

    fn read_configs(&self, answer: &DescribeConfigsResponse) -> BTreeMap<String, Shared<BTreeMap<String, String>>> {
        let results = answer.results.iter().map(|result| {
            let config = match ErrorCode::check(result.error_code) {
                None => Ok(result.configs.iter().filter_map(|config| own_value(config, OF_TOPIC)).collect()),
                Some(code) => {
                    let about = format!("topic '{}'", result.resource_name);
                    let message = result.error_message.as_deref();
                    Err(self.peers.refused(self.peers.own(), DescribeConfigsRequest::KEY, about, code, message))
                }
            };
            (result.resource_name.to_string(), config)
        });
        results.collect()
    }

    /// Asks the own broker again who leads these topics. When it does not answer, what was known stays.
    async fn look_again(&mut self, topics: &BTreeSet<String>, deadline: Instant) {
        if topics.is_empty() {
            return;
        }
        let named = topics.iter().map(|topic| MetadataRequestTopic::default().with_name(Some(topic_name(topic))));
        let request =
            MetadataRequest::default().with_topics(Some(named.collect())).with_allow_auto_topic_creation(false);
        match self.peers.call(self.peers.own(), &request, METADATA_AT_LEAST, deadline).await {
            Ok(metadata) => {
                self.peers.know(&metadata);
                self.note(&metadata.topics);
            }
            Err(error) => tracing::debug!(%error, "leaders can not be looked for again"),
        }
    }

    fn note(&mut self, topics: &[MetadataResponseTopic]) {
        for topic in topics {
            let Some(name) = &topic.name else { continue };
            let error = ErrorCode::check(topic.error_code)
                .map(|code| self.peers.refused(self.peers.own(), MetadataRequest::KEY, about_topic(name), code, None));
            let leader = |id: i32| (id >= 0).then_some(BrokerId(id));
            let leaders = topic.partitions.iter().map(|one| (one.partition_index, leader(one.leader_id.0))).collect();
            let id = (!topic.topic_id.is_nil()).then(|| URL_SAFE_NO_PAD.encode(topic.topic_id.as_bytes()));
            self.topics.insert(name.to_string(), Topic { id, leaders, error });
        }
    }

    /// Who leads a partition.
    fn leader(&self, partition: &TopicPartition) -> Shared<BrokerId> {
        let refused = |code| {
            let about = format!("partition {partition}");
            Err(self.peers.refused(self.peers.own(), MetadataRequest::KEY, about, code, None))
        };
        match self.topics.get(&partition.topic) {
            None => refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Some(Topic { error: Some(error), .. }) => Err(error.clone()),
            Some(topic) => match topic.leaders.get(&partition.partition) {
                None => refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Some(None) => refused(ErrorCode::LEADER_NOT_AVAILABLE),
                Some(Some(node)) => Ok(*node),
            },
        }
    }
}

fn about_topic(name: &TopicName) -> String {
    format!("topic '{}'", name.as_str())
}

fn topic_name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn configs_of(topics: &[String]) -> DescribeConfigsRequest {
    let resource = |topic: &String| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(topic.clone()))
            .with_configuration_keys(None)
    };
    DescribeConfigsRequest::default().with_resources(topics.iter().map(resource).collect())
}

/// Whether asking again, after another look at who leads or coordinates, may help: the broker is silent, or says that it
/// is another's task or that it is not ready.
fn passes(error: &KafkaError) -> bool {
    match error {
        KafkaError::Refused { code, .. } => [
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::LEADER_NOT_AVAILABLE,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::BROKER_NOT_AVAILABLE,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::NOT_COORDINATOR,
        ]
        .contains(code),
        KafkaError::Connect { .. } | KafkaError::Broken { .. } | KafkaError::Timeout { .. } => true,
        KafkaError::TlsName { .. }
        | KafkaError::Tls { .. }
        | KafkaError::TooLarge { .. }
        | KafkaError::Malformed { .. }
        | KafkaError::Unsupported { .. }
        | KafkaError::Sasl { .. }
        | KafkaError::WrongBroker { .. }
        | KafkaError::NotRegistered { .. }
        | KafkaError::NoActiveController { .. }
        | KafkaError::BadAddress { .. }
        | KafkaError::Incomplete { .. }
        | KafkaError::Unsettled { .. } => false,
    }
}

/// The things whose answer may still come.
fn still_open<K: Ord + Clone, T>(found: &BTreeMap<K, Shared<T>>) -> BTreeSet<K> {
    let open = found.iter().filter(|(_, answer)| answer.as_ref().is_err_and(|error| passes(error)));
    open.map(|(key, _)| key.clone()).collect()
}

/// Waits before another attempt; false when the deadline leaves no time for one.
async fn pause(deadline: Instant) -> bool {
    let until = Instant::now() + PAUSE;
    if until >= deadline {
        return false;
    }
    tokio::time::sleep_until(until).await;
    true
}
