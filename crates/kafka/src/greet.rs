//! Whether a listener answers at all, and where it sends its clients.
//!
//! The first request of every client is ApiVersions, and the second is Metadata: a listener that answers them is one
//! that clients can begin with. Not here: whether what they go on to do would succeed.

use crate::access::{Address, KafkaAccess};
use crate::connection::Connection;
use crate::error::KafkaError;
use kafka_protocol::messages::MetadataRequest;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Connects and asks for the versions that are spoken. Kafka answers this before authentication, so an access without
/// SASL will do on every listener.
///
/// # Errors
/// When the listener can not be reached or does not answer as Kafka does.
pub async fn greet(access: &KafkaAccess, deadline: Instant) -> Result<(), KafkaError> {
    Connection::open(access, access.address(), deadline).await.map(drop)
}

/// The addresses of all live brokers that the listener hands to its clients, sorted.
///
/// # Errors
/// When the broker can not be reached or refuses.
pub async fn advertised_addresses(access: &KafkaAccess, deadline: Instant) -> Result<BTreeSet<Address>, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    // An empty list asks for brokers alone (from version 1 on, which Kafka 0.10 brought).
    let request = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
    let answer = broker.call_at_least(&request, 1, deadline).await?;
    let address = |host: &str, port: i32| u16::try_from(port).ok().map(|port| Address::new(host, port));
    Ok(answer.brokers.iter().filter_map(|broker| address(broker.host.as_str(), broker.port)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broker, answer, answers_versions};
    use kafka_protocol::messages::MetadataResponse;
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::protocol::StrBytes;
    use kfleet_model::BrokerId;
    use std::time::Duration;

    #[tokio::test]
    async fn a_listener_answers_and_tells_where_its_brokers_are() {
        let broker = Broker::start(|asked| match asked.api {
            18 => Some(answers_versions(&asked, &[(3, 0, 12)])),
            _ => {
                let one = |host: &'static str, port| {
                    MetadataResponseBroker::default().with_host(StrBytes::from_static_str(host)).with_port(port)
                };
                let brokers = vec![one("kafka-2", 9092), one("kafka-1", 9092), one("kafka-3", -1)];
                Some(answer::<MetadataRequest>(&asked, &MetadataResponse::default().with_brokers(brokers)))
            }
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        let soon = || Instant::now() + Duration::from_secs(5);
        greet(&access, soon()).await.unwrap();
        let found: Vec<String> =
            advertised_addresses(&access, soon()).await.unwrap().iter().map(Address::to_string).collect();
        assert_eq!(found, ["kafka-1:9092", "kafka-2:9092"]);
        let silent = Broker::start(|_| None).await;
        let access = KafkaAccess::plaintext(silent.address.clone(), BrokerId(1));
        let error = greet(&access, Instant::now() + Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, KafkaError::Timeout { .. }), "{error}");
    }
}
