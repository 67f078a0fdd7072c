//! TLS connections in the shape that tonic takes, with the peer's identity beside them, and a bound on how many one peer has.

use kfleet_pki::{PeerInfo, SecureStream};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Who is at the other end; put into every request of the connection.
#[derive(Debug, Clone)]
pub(super) struct Peer(Arc<PeerInfo>);

impl Peer {
    pub(super) fn info(&self) -> &PeerInfo {
        &self.0
    }
}

/// One identity needs one connection for each of its running programs; more are a loop that does not close them.
const PER_IDENTITY: usize = 32;

/// Counts the connections of each identity.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<Mutex<BTreeMap<String, usize>>>);

impl Gate {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in unless its identity has too many.
    pub(super) fn admit(&self, stream: SecureStream) -> Option<Connection> {
        let place = self.take(stream.peer().identity.uri());
        if place.is_none() {
            let peer = stream.peer();
            tracing::warn!(peer = %peer.identity, addr = %peer.addr, limit = PER_IDENTITY, "closed a connection: too many");
        }
        let peer = Peer(Arc::new(stream.peer().clone()));
        Some(Connection { stream, peer, _place: place? })
    }

    fn take(&self, identity: String) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(identity.clone()).or_default();
        if *count >= PER_IDENTITY {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { gate: self.clone(), identity })
    }
}

/// One of an identity's connections.
#[derive(Debug)]
struct Place {
    gate: Gate,
    identity: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.gate.counts();
        if let Some(count) = counts.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.identity);
            }
        }
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Connection {
    stream: SecureStream,
    peer: Peer,
    _place: Place,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_a_bounded_number_of_connections_and_gets_places_back() {
        let gate = Gate::default();
        let mut places: Vec<Place> = (0..PER_IDENTITY).map(|_| gate.take("a".into()).unwrap()).collect();
        assert!(gate.take("a".into()).is_none());
        assert!(gate.take("b".into()).is_some(), "others are not concerned");
        places.pop();
        assert!(gate.take("a".into()).is_some());
        places.clear();
        assert!(gate.counts().is_empty(), "identities that are gone cost nothing");
    }
}
