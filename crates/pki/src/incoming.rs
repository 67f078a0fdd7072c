//! The accepted connections of a listener, as a stream.
//!
//! Purpose: run many handshakes at once, with caps, and yield only connections whose peer is known. A bad or slow peer
//! costs one place for at most the handshake limit and never holds up others.
//! Place in the flow: an agent gives this to tonic's `serve_with_incoming`.
//! Not here: limits on established connections and on calls; they belong to the gRPC server.
//!
//! All handshakes are owned by a `JoinSet` inside the stream: dropping the stream ends them.

use crate::handshake::{HANDSHAKE_TIMEOUT, HandshakeError, accept};
use crate::slot::ServerSlot;
use crate::stream::SecureStream;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;

/// How long accepting pauses after the system refused a connection, for example because all descriptors are in use.
const PAUSE: Duration = Duration::from_millis(100);

/// Caps of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one handshake may take.
    pub handshake_timeout: Duration,
    /// How many handshakes may run at once; further connections wait in the kernel's queue.
    pub handshakes: usize,
    /// How many of them may come from one address, so that one silent peer can not take all places. Further
    /// connections from there are closed at once.
    pub handshakes_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake_timeout: HANDSHAKE_TIMEOUT, handshakes: 256, handshakes_per_address: 64 }
    }
}

/// Yields connections whose handshake succeeded; logs the others. Never ends by itself and never yields an error.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    slot: ServerSlot,
    limits: Limits,
    running: JoinSet<Result<SecureStream, HandshakeError>>,
    addresses: HashMap<Id, SocketAddr>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Takes over a bound listener.
    #[must_use]
    pub fn new(listener: TcpListener, slot: ServerSlot, limits: Limits) -> Self {
        Self { listener, slot, limits, running: JoinSet::new(), addresses: HashMap::new(), pause: None }
    }

    /// The address on which it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn start(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let same = self.addresses.values().filter(|addr| canonical(**addr) == canonical(peer)).count();
        if same >= self.limits.handshakes_per_address {
            tracing::warn!(%peer, limit = same, "refused {peer}: {same} handshakes from this address are under way");
            return;
        }
        let (slot, limit) = (self.slot.clone(), self.limits.handshake_timeout);
        let task = self.running.spawn(async move { accept(tcp, &slot, limit).await });
        self.addresses.insert(task.id(), peer);
    }

    /// Takes the result of a handshake; logs it unless it is a connection.
    fn finish(&mut self, ended: Result<(Id, Result<SecureStream, HandshakeError>), JoinError>) -> Option<SecureStream> {
        match ended {
            Ok((id, result)) => {
                self.addresses.remove(&id);
                result.map_err(|error| error.log()).ok()
            }
            Err(error) => {
                let peer = self.addresses.remove(&error.id());
                tracing::error!(?peer, %error, "a handshake ended without a result");
                None
            }
        }
    }

    /// Starts handshakes while there are places and connections; pending when either is lacking.
    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if self.running.len() >= self.limits.handshakes {
                return Poll::Pending;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((tcp, peer)) => self.start(tcp, peer),
                Err(error) => {
                    tracing::warn!(%error, "can not accept a connection; trying again in {PAUSE:?}");
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

impl Stream for Incoming {
    type Item = io::Result<SecureStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let starting = this.poll_start(cx);
            match this.running.poll_join_next_with_id(cx) {
                Poll::Ready(Some(ended)) => {
                    if let Some(stream) = this.finish(ended) {
                        return Poll::Ready(Some(Ok(stream)));
                    }
                    // A place is free again: the loop looks for a waiting connection.
                }
                Poll::Ready(None) | Poll::Pending => {
                    debug_assert!(starting.is_pending(), "starting ends only by waiting");
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The address without port, with IPv4 inside IPv6 taken as IPv4.
fn canonical(addr: SocketAddr) -> IpAddr {
    addr.ip().to_canonical()
}
