//! Makes and looks up the topic that the records go to.

use super::{LibraryError, RecordsError, blocking};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;

/// A topic as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each.
    pub replication_factor: i32,
    /// Its `min.insync.replicas`.
    pub min_isr: u32,
}

/// What making a topic came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It was made.
    Created,
    /// There is one of that name; it was left as it is.
    Existed,
}

/// Makes a topic, unless there is one of that name, and waits until brokers know it.
///
/// # Errors
/// When the cluster is not reached within the time or refuses.
pub async fn create_topic(bootstrap: &str, plan: &TopicPlan, limit: Duration) -> Result<TopicOutcome, RecordsError> {
    let failed = |source| RecordsError::CreateTopic {
        bootstrap: bootstrap.to_owned(),
        topic: plan.name.clone(),
        source: LibraryError::from(source),
    };
    let admin: AdminClient<DefaultClientContext> = client_config(bootstrap).create().map_err(|source| {
        RecordsError::Client { bootstrap: bootstrap.to_owned(), source: LibraryError::from(source) }
    })?;
    let min_isr = plan.min_isr.to_string();
    let topic = NewTopic::new(&plan.name, plan.partitions, TopicReplication::Fixed(plan.replication_factor))
        .set("min.insync.replicas", &min_isr);
    let options = AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit));
    let results = admin.create_topics([&topic], &options).await.map_err(failed)?;
    for result in results {
        match result {
            Ok(_) => {}
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => return Ok(TopicOutcome::Existed),
            Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
        }
    }
    partition_count(bootstrap, &plan.name, limit).await?;
    Ok(TopicOutcome::Created)
}

/// How long to wait between two looks for a new topic.
const POLL: Duration = Duration::from_millis(200);

/// How long a topic that a broker does not know is asked for again. The controller makes a topic and the brokers learn of
/// it one by one, as a broker that has just started learns of all; each client may meet one that has not heard yet.
const HEARD: Duration = Duration::from_secs(10);

/// How many partitions a topic has.
pub(super) async fn partition_count(bootstrap: &str, topic: &str, limit: Duration) -> Result<i32, RecordsError> {
    until_heard(limit.min(HEARD), || look_up(bootstrap, topic, limit)).await
}

/// Asks until a broker knows the topic, or the time is over.
async fn until_heard<F>(limit: Duration, mut look: impl FnMut() -> F) -> Result<i32, RecordsError>
where
    F: Future<Output = Result<i32, RecordsError>>,
{
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match look().await {
            Err(RecordsError::NoTopic { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            outcome => return outcome,
        }
    }
}

/// What one broker says.
async fn look_up(bootstrap: &str, topic: &str, limit: Duration) -> Result<i32, RecordsError> {
    let (at, name) = (bootstrap.to_owned(), topic.to_owned());
    blocking(bootstrap, move || {
        let consumer: BaseConsumer = client_config(&at)
            .create()
            .map_err(|source| RecordsError::Client { bootstrap: at.clone(), source: LibraryError::from(source) })?;
        let metadata = consumer.fetch_metadata(Some(&name), limit).map_err(|source| RecordsError::LookUp {
            bootstrap: at.clone(),
            topic: name.clone(),
            source: LibraryError::from(source),
        })?;
        let count =
            metadata.topics().iter().find(|topic| topic.name() == name).map_or(0, |topic| topic.partitions().len());
        match i32::try_from(count) {
            Ok(count) if count > 0 => Ok(count),
            Ok(_) | Err(_) => Err(RecordsError::NoTopic { bootstrap: at, topic: name }),
        }
    })
    .await
}

/// What all clients of this module have in common.
pub(super) fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "kfleet-records");
    // Asking for a topic must never make it.
    config.set("allow.auto.create.topics", "false");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_topic_that_a_broker_has_not_heard_of_is_asked_for_again_for_a_while() {
        let unheard = || RecordsError::NoTopic { bootstrap: "b:9092".into(), topic: "t".into() };
        let mut looks = 0;
        let known = until_heard(HEARD, || {
            looks += 1;
            let answer = if looks < 3 { Err(unheard()) } else { Ok(12) };
            async move { answer }
        });
        assert_eq!(known.await.unwrap(), 12);
        assert_eq!(looks, 3);
        let never = until_heard(Duration::ZERO, || async { Err(unheard()) }).await.unwrap_err();
        assert!(matches!(never, RecordsError::NoTopic { .. }), "{never}");
    }
}
