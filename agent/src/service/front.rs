//! The methods of the contract.

use super::{blobs, observe, status};
use crate::journal::cache::Cache;
use crate::journal::files;
use crate::ops::{Cancel, Entry, Follower, Ops, blocking};
use futures::stream;
use kfleet_model::OpId;
use kfleet_proto::v1::{self, agent_server::Agent};
use kfleet_proto::{PROTOCOL, convert};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// What the agent says of itself in a handshake.
#[derive(Debug, Clone)]
pub struct About {
    /// Changes with each start.
    pub incarnation: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// SHA-256 of the module catalogue as it goes over the wire.
    pub catalogue_sha256: String,
}

/// The service.
#[derive(Debug)]
pub struct Front {
    ops: Ops,
    cache: Arc<Cache>,
    about: About,
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Front {
    /// Puts the front before the ops and the cache.
    #[must_use]
    pub fn new(ops: Ops, cache: Arc<Cache>, about: About) -> Self {
        Self { ops, cache, about }
    }
}

fn op_id(text: String) -> Result<OpId, Status> {
    OpId::new(text).map_err(|error| status::convert(&error.into()))
}

/// An op's events from a number on, as messages. It holds one batch and asks for the next only when that was sent, so a
/// reader that stops reading costs no more than that.
fn follow(entry: Arc<Entry>, from: u64) -> Messages<v1::OpEvent> {
    let state = (Follower::new(entry, from), VecDeque::<v1::OpEvent>::new());
    Box::pin(stream::try_unfold(state, |(mut follower, mut waiting)| async move {
        loop {
            if let Some(message) = waiting.pop_front() {
                return Ok(Some((message, (follower, waiting))));
            }
            match follower.next().await {
                Ok(Some(events)) => waiting.extend(events.into_iter().flat_map(convert::op_events)),
                Ok(None) => return Ok(None),
                Err(error) => return Err(status::follow(&error)),
            }
        }
    }))
}

#[tonic::async_trait]
impl Agent for Front {
    type SubmitStream = Messages<v1::OpEvent>;
    type AttachStream = Messages<v1::OpEvent>;
    type ObserveStream = Messages<v1::ObserveChunk>;

    async fn handshake(
        &self,
        request: Request<v1::HandshakeRequest>,
    ) -> Result<Response<v1::HandshakeResponse>, Status> {
        let request = request.into_inner();
        if !(request.min_protocol..=request.max_protocol).contains(&PROTOCOL) {
            return Err(Status::failed_precondition(format!(
                "this agent ({}) speaks protocol {PROTOCOL}, the caller ({}) {} to {}",
                env!("CARGO_PKG_VERSION"),
                request.version,
                request.min_protocol,
                request.max_protocol
            )));
        }
        Ok(Response::new(v1::HandshakeResponse {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            catalogue_sha256: self.about.catalogue_sha256.clone(),
            capabilities: Vec::new(),
            incarnation: self.about.incarnation.clone(),
            boot_id: self.about.boot_id.clone(),
            unix_ms: files::unix_ms(),
        }))
    }

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<Self::SubmitStream>, Status> {
        let op = convert::op(request.into_inner()).map_err(|error| status::convert(&error))?;
        let ops = self.ops.clone();
        let entry = blocking(move || ops.submit(op)).await.map_err(|error| status::submit(&error))?;
        Ok(Response::new(follow(entry, 0)))
    }

    async fn attach(&self, request: Request<v1::AttachRequest>) -> Result<Response<Self::AttachStream>, Status> {
        let v1::AttachRequest { op_id: id, from_seq } = request.into_inner();
        let id = op_id(id)?;
        let (ops, wanted) = (self.ops.clone(), id.clone());
        match blocking(move || ops.find(&wanted)).await {
            Ok(Some(entry)) => Ok(Response::new(follow(entry, from_seq))),
            Ok(None) => Err(Status::not_found(format!("this agent does not know op {id}"))),
            Err(error) => Err(status::state(&error)),
        }
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let id = op_id(request.into_inner().op_id)?;
        let ops = self.ops.clone();
        let outcome = match blocking(move || ops.cancel(&id)).await.map_err(|error| status::state(&error))? {
            Cancel::Stopping => v1::CancelOutcome::Stopping,
            Cancel::TooLate => v1::CancelOutcome::TooLate,
            Cancel::UnknownOp => v1::CancelOutcome::UnknownOp,
        };
        Ok(Response::new(v1::CancelResponse { outcome: outcome.into() }))
    }

    async fn observe(&self, request: Request<v1::ObserveRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let (kind, params, deadline) = convert::observe(request.get_ref()).map_err(|error| status::convert(&error))?;
        let document = observe::observe(&self.ops, kind, params, deadline).await?;
        let chunks = convert::observe_chunks(&document).into_iter().map(Ok);
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }

    async fn find_blobs(
        &self,
        request: Request<v1::FindBlobsRequest>,
    ) -> Result<Response<v1::FindBlobsResponse>, Status> {
        blobs::find(self.cache.clone(), request.into_inner()).await.map(Response::new)
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<v1::BlobChunk>>,
    ) -> Result<Response<v1::PutBlobResponse>, Status> {
        blobs::put(self.cache.clone(), request.into_inner()).await.map(Response::new)
    }
}
