//! Requests that only the active controller answers.
//!
//! In KRaft mode any broker forwards them. In ZooKeeper mode they go to the broker that Metadata names as controller,
//! over a connection of their own; the controller may move at any moment, so an answer of NOT_CONTROLLER is followed
//! by another look at Metadata.

use crate::access::{Address, AddressError, KafkaAccess};
use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{DescribeQuorumRequest, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Request;
use kfleet_model::BrokerId;
use std::time::Duration;
use tokio::time::Instant;

/// How often a controller that has moved is looked for again. A controller election takes well under a second once
/// the old one's session is gone; a longer search is the caller's to repeat.
const ATTEMPTS: u32 = 5;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Metadata answers have the controller from version 1 on, the cluster id from 2, leader epochs from 7 (Kafka 2.1).
pub(crate) const METADATA_AT_LEAST: i16 = 7;

/// Whether the broker belongs to a KRaft cluster: brokers in ZooKeeper mode do not offer DescribeQuorum.
pub(crate) fn is_kraft(connection: &Connection) -> bool {
    connection.supports::<DescribeQuorumRequest>()
}

/// Has the active controller answer a request. `code_of` takes the answer's own error code.
pub(crate) async fn call_controller<R: Request>(
    access: &KafkaAccess,
    own: &mut Connection,
    request: &R,
    code_of: fn(&R::Response) -> i16,
    deadline: Instant,
) -> Result<R::Response, KafkaError> {
    let mut attempt = 1;
    loop {
        let answer = if is_kraft(own) {
            own.call(request, deadline).await?
        } else {
            call_named_controller(access, own, request, deadline).await?
        };
        let moved = ErrorCode::check(code_of(&answer)) == Some(ErrorCode::NOT_CONTROLLER);
        if !moved || attempt == ATTEMPTS {
            return Ok(answer);
        }
        tracing::debug!(broker = %own.broker(), attempt, "the active controller has moved");
        attempt += 1;
        tokio::time::sleep_until(deadline.min(Instant::now() + PAUSE)).await;
    }
}

async fn call_named_controller<R: Request>(
    access: &KafkaAccess,
    own: &mut Connection,
    request: &R,
    deadline: Instant,
) -> Result<R::Response, KafkaError> {
    let metadata = own.call_at_least(&brokers_only(), METADATA_AT_LEAST, deadline).await?;
    let Some(controller) = live_controller(&metadata) else {
        return Err(KafkaError::NoActiveController { broker: own.broker().clone() });
    };
    if controller == access.node() {
        return own.call(request, deadline).await;
    }
    let address = address_of(own.broker(), &metadata, controller)?;
    let mut connection = Connection::open(access, &address, deadline).await?;
    connection.call(request, deadline).await
}

/// Metadata without any topic. Topics are never created by asking.
fn brokers_only() -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
}

/// The controller that a broker in ZooKeeper mode names, when it is among the live brokers. For a moment after its
/// death a broker still names the old one.
pub(crate) fn live_controller(metadata: &MetadataResponse) -> Option<BrokerId> {
    let id = metadata.controller_id;
    metadata.brokers.iter().any(|broker| broker.node_id == id).then_some(BrokerId(id.0))
}

fn address_of(asked: &Address, metadata: &MetadataResponse, node: BrokerId) -> Result<Address, KafkaError> {
    let broker = metadata.brokers.iter().find(|broker| broker.node_id.0 == node.0);
    advertised(asked, broker.ok_or_else(|| KafkaError::NoActiveController { broker: asked.clone() })?)
}

/// Where Metadata says that a broker is reached.
pub(crate) fn advertised(asked: &Address, broker: &MetadataResponseBroker) -> Result<Address, KafkaError> {
    let port = u16::try_from(broker.port).ok().filter(|&port| port != 0);
    port.map(|port| Address::new(broker.host.as_str(), port)).ok_or_else(|| KafkaError::BadAddress {
        broker: asked.clone(),
        node: BrokerId(broker.node_id.0),
        source: AddressError { text: format!("{}:{}", broker.host, broker.port) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broker, answer, answers_versions};
    use kafka_protocol::messages::{
        BrokerId as WireId, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    };
    use kafka_protocol::protocol::StrBytes;

    fn metadata(controller: i32, port: i32) -> MetadataResponse {
        let host = StrBytes::from_static_str("kafka-1");
        let broker = MetadataResponseBroker::default().with_node_id(WireId(1)).with_host(host).with_port(port);
        MetadataResponse::default().with_controller_id(WireId(controller)).with_brokers(vec![broker])
    }

    /// Asks a broker of id 1 for reassignments, in ZooKeeper mode with `controller` or in KRaft mode without, when the
    /// first answers of the controller are the given codes. Returns the last code and the requests that were sent.
    async fn ask(controller: Option<i32>, codes: &'static [i16]) -> (Result<i16, KafkaError>, Vec<i16>) {
        let mut codes = codes.iter();
        let broker = Broker::start(move |asked| match (asked.api, controller) {
            (18, Some(_)) => Some(answers_versions(&asked, &[(3, 0, 12), (46, 0, 0)])),
            (18, None) => Some(answers_versions(&asked, &[(3, 0, 12), (46, 0, 0), (55, 0, 2)])),
            (3, Some(id)) => Some(answer::<MetadataRequest>(&asked, &metadata(id, 9092))),
            (_, _) => {
                let code = *codes.next().unwrap();
                let refusal = ListPartitionReassignmentsResponse::default().with_error_code(code);
                Some(answer::<ListPartitionReassignmentsRequest>(&asked, &refusal))
            }
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut own = Connection::open(&access, &broker.address, deadline).await.unwrap();
        let request = ListPartitionReassignmentsRequest::default();
        let answer = call_controller(&access, &mut own, &request, |answer| answer.error_code, deadline).await;
        let asked = broker.asked().iter().map(|asked| asked.api).filter(|&api| api != 18).collect();
        (answer.map(|answer| answer.error_code), asked)
    }

    #[tokio::test]
    async fn a_controller_that_moves_is_looked_for_again_a_few_times() {
        let (answer, asked) = ask(Some(1), &[41, 0]).await;
        assert_eq!((answer.unwrap(), asked), (0, vec![3, 46, 3, 46]), "found the second time");
        let (answer, asked) = ask(Some(1), &[41; 6]).await;
        assert_eq!((answer.unwrap(), asked.len()), (41, 10), "given up after five times");
        let (answer, asked) = ask(Some(1), &[31, 0]).await;
        assert_eq!((answer.unwrap(), asked), (31, vec![3, 46]), "another error is not repeated");
    }

    #[tokio::test]
    async fn in_kraft_mode_the_broker_forwards_and_metadata_is_not_asked_for_the_controller() {
        let (answer, asked) = ask(None, &[41, 0]).await;
        assert_eq!((answer.unwrap(), asked), (0, vec![46, 46]));
    }

    #[tokio::test]
    async fn without_a_live_controller_nothing_is_sent() {
        let (answer, asked) = ask(Some(-1), &[]).await;
        assert!(matches!(answer, Err(KafkaError::NoActiveController { .. })));
        assert_eq!(asked, [3]);
    }

    #[test]
    fn a_controller_that_is_not_among_the_live_brokers_is_none() {
        let cases = [(1, Some(BrokerId(1))), (2, None), (-1, None)];
        for (named, expected) in cases {
            assert_eq!(live_controller(&metadata(named, 9092)), expected, "controller {named}");
        }
    }

    #[test]
    fn a_controllers_address_is_the_advertised_one_or_a_named_error() {
        let asked = Address::new("localhost", 9092);
        assert_eq!(address_of(&asked, &metadata(1, 9094), BrokerId(1)).unwrap(), Address::new("kafka-1", 9094));
        for port in [-1, 0, 70_000] {
            let error = address_of(&asked, &metadata(1, port), BrokerId(1)).unwrap_err();
            assert!(matches!(error, KafkaError::BadAddress { node: BrokerId(1), .. }), "{port}: {error}");
        }
    }
}
