//! The listener's life: bounds, certificates anew on SIGHUP, a stop that always ends.

use super::auth::Auth;
use super::connection::{Connection, Gate};
use super::front::Front;
use super::notify::notify;
use crate::ops::Ops;
use jiff::Timestamp;
use kfleet_pki::{HostStore, Incoming, Limits, ServerSlot, StoreError, TlsError, TlsOptions, server_config};
use kfleet_proto::MAX_MESSAGE_BYTES;
use kfleet_proto::v1::agent_server::AgentServer;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;

/// Calls at once on one connection: an op that is followed, some observations, a file or two.
const STREAMS: u32 = 8;

/// What one stalled call may hold, and one stalled connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Fewer, larger frames for files.
const FRAME_BYTES: u32 = 64 * 1024;

/// Larger headers than any of ours are an attack or a mistake.
const HEADER_BYTES: u32 = 8 * 1024;

/// A peer that does not answer is gone after 25 s: its places are free again within the half minute that a controller waits.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_LIMIT: Duration = Duration::from_secs(10);

/// A connection is made anew now and then, so that new certificates and revocations reach idle peers as well.
const CONNECTION_AGE: Duration = Duration::from_secs(6 * 3600);
const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(600);

/// How long a stop waits for ops that would be cut in the middle. The unit's `TimeoutStopSec` is longer.
const DRAIN: Duration = Duration::from_secs(20);

/// How long a stop waits for callers to take what was sent: some never do (hyper#4170).
const CLOSE: Duration = Duration::from_secs(1);

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can not be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Key, certificate or authority are not usable.
    #[error("failed to load the certificate")]
    Identity(#[from] StoreError),
    /// They can not be turned into TLS.
    #[error("failed to set up TLS")]
    Tls(#[from] TlsError),
    /// Signals can not be waited for.
    #[error("failed to wait for signals")]
    Signals(#[source] std::io::Error),
    /// The server ended by itself.
    #[error("the listener failed")]
    Transport(#[from] tonic::transport::Error),
}

/// A bound listener with its identity.
#[derive(Debug)]
pub struct Server {
    incoming: Incoming,
    store: HostStore,
    slot: ServerSlot,
    address: SocketAddr,
}

impl Server {
    /// Loads the identity and listens.
    ///
    /// # Errors
    /// When either can not be done.
    pub async fn bind(address: SocketAddr, pki_dir: &Path) -> Result<Self, ServeError> {
        let store = HostStore::new(pki_dir);
        let material = store.load(Timestamp::now())?;
        tracing::info!(identity = %material.identity(), not_after = %material.certificate().not_after, "loaded the certificate");
        let slot = ServerSlot::new(server_config(&material, &TlsOptions::default())?);
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { incoming: Incoming::new(listener, slot.clone(), Limits::default()), store, slot, address })
    }

    /// Where it listens; the port is the system's choice when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT, then lets short ops end and stops within a bounded time.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, front: Front, ops: Ops) -> Result<(), ServeError> {
        let Self { incoming, store, slot, .. } = self;
        let gate = Gate::default();
        let incoming = incoming.filter_map(move |stream| match stream {
            Ok(stream) => gate.admit(stream).map(Ok),
            Err(error) => Some(Err::<Connection, _>(error)),
        });
        let service = AgentServer::new(front)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (close, closed) = oneshot::channel::<()>();
        let server = tonic::transport::Server::builder()
            .layer(Auth)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_adaptive_window(Some(false))
            .max_frame_size(FRAME_BYTES)
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_keepalive_interval(Some(PING_EVERY))
            .http2_keepalive_timeout(Some(PING_LIMIT))
            .max_connection_age(CONNECTION_AGE)
            .max_connection_age_grace(CONNECTION_AGE_GRACE)
            .serve_with_incoming_shutdown(service, incoming, async {
                // A sender that was dropped means the same as one that has spoken.
                closed.await.ok();
            });
        let mut server = std::pin::pin!(server);
        notify("READY=1");
        tokio::select! {
            // Dropping the server's future closes all connections, so the loser of this race leaves nothing behind.
            ended = &mut server => return Ok(ended?),
            stopped = until_stopped(&store, &slot) => stopped?,
        }
        notify("STOPPING=1");
        ops.close();
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            () = drained(&ops) => {}
        }
        drop(close);
        match tokio::time::timeout(CLOSE, server).await {
            Ok(ended) => Ok(ended?),
            Err(_) => {
                tracing::info!("closed connections that were still in use");
                Ok(())
            }
        }
    }
}

/// Waits for the signal to stop; loads the certificate anew on SIGHUP.
async fn until_stopped(store: &HostStore, slot: &ServerSlot) -> Result<(), ServeError> {
    let listen = |kind| signal(kind).map_err(ServeError::Signals);
    let mut terminate: Signal = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            // Receiving a signal is cancel safe: one that is not received stays to be received.
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match reload(store) {
                Ok(config) => slot.replace(config),
                Err(error) => tracing::error!(error = crate::journal::error::chain(&error), "the old certificate stays in use"),
            },
        }
    }
    tracing::info!("stopping");
    Ok(())
}

fn reload(store: &HostStore) -> Result<std::sync::Arc<rustls::ServerConfig>, ServeError> {
    let material = store.load(Timestamp::now())?;
    let config = server_config(&material, &TlsOptions::default())?;
    tracing::info!(identity = %material.identity(), not_after = %material.certificate().not_after, "loaded the certificate anew");
    Ok(config)
}

/// Waits for ops that would be cut in the middle, but not for ever.
async fn drained(ops: &Ops) {
    let waiting = async {
        while ops.busy() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(DRAIN, waiting).await.is_err() {
        tracing::warn!("stopping although an op is not over; it will be reported as unknown");
    }
}
