//! The brokers of a cluster, each asked over one connection that is kept.
//!
//! A broker that does not answer is not asked again until [`Peers::forgive`], so that one dead broker costs one wait and
//! not one for each of its partitions.

use super::Shared;
use crate::access::{Address, KafkaAccess};
use crate::connection::Connection;
use crate::error::{Api, ErrorCode, KafkaError};
use crate::routing::advertised;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::Request;
use kfleet_model::BrokerId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long one broker may take for one answer. What is asked here it has in memory; one that needs longer hangs.
const ANSWER: Duration = Duration::from_secs(15);

/// The brokers of a cluster, as its Metadata names them.
pub(super) struct Peers {
    access: KafkaAccess,
    named: BTreeMap<BrokerId, MetadataResponseBroker>,
    open: BTreeMap<BrokerId, Connection>,
    silent: BTreeMap<BrokerId, Arc<KafkaError>>,
    received: u64,
}

impl Peers {
    /// The broker of the access, over the connection that is open already, and no other yet.
    pub(super) fn new(access: &KafkaAccess, own: Connection) -> Self {
        let received = own.received();
        let open = BTreeMap::from([(access.node(), own)]);
        Self { access: access.clone(), named: BTreeMap::new(), open, silent: BTreeMap::new(), received }
    }

    /// The broker of the access.
    pub(super) fn own(&self) -> BrokerId {
        self.access.node()
    }

    /// Every broker that Metadata named.
    pub(super) fn nodes(&self) -> Vec<BrokerId> {
        self.named.keys().copied().collect()
    }

    /// Bytes of all answers.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Takes the brokers of a new answer.
    pub(super) fn know(&mut self, metadata: &MetadataResponse) {
        self.named = metadata.brokers.iter().map(|broker| (BrokerId(broker.node_id.0), broker.clone())).collect();
    }

    /// Lets brokers that did not answer be asked again.
    pub(super) fn forgive(&mut self) {
        self.silent.clear();
    }

    /// The version that a request to this broker would have.
    pub(super) async fn highest<R: Request>(&mut self, node: BrokerId, deadline: Instant) -> Shared<Option<i16>> {
        let connection = self.take(node, deadline.min(Instant::now() + ANSWER)).await?;
        let version = connection.highest::<R>();
        self.open.insert(node, connection);
        Ok(version)
    }

    /// Asks a broker. A kept connection may have been closed meanwhile, so a request on one is sent a second time when
    /// it breaks: all requests here only read.
    pub(super) async fn call<R: Request>(
        &mut self,
        node: BrokerId,
        request: &R,
        at_least: i16,
        deadline: Instant,
    ) -> Shared<R::Response> {
        let deadline = deadline.min(Instant::now() + ANSWER);
        let kept = self.open.contains_key(&node);
        match self.call_once(node, request, at_least, deadline).await {
            Err(error) if kept && matches!(*error, KafkaError::Broken { .. }) => {
                self.silent.remove(&node);
                self.call_once(node, request, at_least, deadline).await
            }
            answer => answer,
        }
    }

    async fn call_once<R: Request>(
        &mut self,
        node: BrokerId,
        request: &R,
        at_least: i16,
        deadline: Instant,
    ) -> Shared<R::Response> {
        let mut connection = self.take(node, deadline).await?;
        let before = connection.received();
        let answer = connection.call_at_least(request, at_least, deadline).await.map_err(Arc::new);
        self.received += connection.received() - before;
        if connection.is_usable() {
            self.open.insert(node, connection);
        } else if let Err(error) = &answer {
            self.silent.insert(node, error.clone());
        }
        answer
    }

    /// The kept connection, or a new one.
    async fn take(&mut self, node: BrokerId, deadline: Instant) -> Shared<Connection> {
        if let Some(error) = self.silent.get(&node) {
            return Err(error.clone());
        }
        if let Some(connection) = self.open.remove(&node) {
            return Ok(connection);
        }
        let address = self.address(node)?;
        match Connection::open(&self.access, &address, deadline).await {
            Ok(connection) => {
                self.received += connection.received();
                Ok(connection)
            }
            Err(error) => {
                let error = Arc::new(error);
                self.silent.insert(node, error.clone());
                Err(error)
            }
        }
    }

    fn address(&self, node: BrokerId) -> Shared<Address> {
        if node == self.own() {
            return Ok(self.access.address().clone());
        }
        let Some(broker) = self.named.get(&node) else {
            let about = format!("broker {node}");
            return Err(self.refused(self.own(), MetadataRequest::KEY, about, ErrorCode::BROKER_NOT_AVAILABLE, None));
        };
        advertised(self.access.address(), broker).map_err(Arc::new)
    }

    /// An error code in a broker's answer as an error.
    pub(super) fn refused(
        &self,
        node: BrokerId,
        api: i16,
        about: String,
        code: ErrorCode,
        message: Option<&str>,
    ) -> Arc<KafkaError> {
        let broker = self.answering(node);
        let message = message.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        Arc::new(KafkaError::Refused { broker, api: Api(api), about, code, message })
    }

    /// Something that is not in a broker's answer as an error.
    pub(super) fn incomplete(&self, node: BrokerId, api: i16, what: String) -> Arc<KafkaError> {
        Arc::new(KafkaError::Incomplete { broker: self.answering(node), api: Api(api), what })
    }

    fn answering(&self, node: BrokerId) -> Address {
        self.address(node).unwrap_or_else(|_| self.access.address().clone())
    }
}
