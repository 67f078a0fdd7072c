//! One handshake, from either side.
//!
//! Purpose: turn a TCP connection into a [`SecureStream`] within a time limit, or say exactly why not.
//! Place in the flow: [`crate::Incoming`] calls [`accept`] for each connection of an agent; the controller calls
//! [`connect`] for each host.
//! Not here: loops and retries. A certificate that the caller refuses is logged here, since it may be an attack; all
//! other failures of a call are the caller's to tell. What an agent refuses is logged by [`crate::Incoming`].

use crate::refusal::Refusal;
use crate::slot::ServerSlot;
use crate::stream::{PeerInfo, SecureStream};
use crate::tls::peer_certificate;
use rustls::{AlertDescription, ClientConfig};
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// How long a handshake may take. On a loaded host it takes milliseconds; a peer that needs longer holds a place.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long, and for how many bytes, a refused peer may go on sending while the alert travels to it.
const LINGER: Duration = Duration::from_millis(250);
const LINGER_BYTES: u64 = 64 * 1024;

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// We do not accept the peer's certificate.
    #[error("refused the certificate of {peer}: {refusal}")]
    Refused {
        /// The peer's address.
        peer: SocketAddr,
        /// The reason and the peer's claims.
        refusal: Box<Refusal>,
    },
    /// The peer sent no certificate.
    #[error("refused {peer}: it presented no certificate")]
    NoCertificate {
        /// The peer's address.
        peer: SocketAddr,
    },
    /// The peer does not accept our certificate, or nothing of ours.
    #[error("{peer} refused the connection: {refusal}")]
    RefusedByPeer {
        /// The peer's address.
        peer: SocketAddr,
        /// What it said.
        refusal: PeerRefusal,
    },
    /// The bytes are not TLS.
    #[error("refused {peer}: it does not speak TLS ({detail})")]
    NotTls {
        /// The peer's address.
        peer: SocketAddr,
        /// What the TLS library met.
        detail: String,
    },
    /// The peer speaks TLS, but no version 1.3 with parameters of ours.
    #[error("refused {peer}: it offers no TLS 1.3 that fits ({detail})")]
    Incompatible {
        /// The peer's address.
        peer: SocketAddr,
        /// What does not fit.
        detail: String,
    },
    /// The peer was too slow.
    #[error("{peer} did not finish the handshake within {limit:?}")]
    TimedOut {
        /// The peer's address.
        peer: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// The peer hung up.
    #[error("{peer} closed the connection during the handshake")]
    Closed {
        /// The peer's address.
        peer: SocketAddr,
    },
    /// No TCP connection came about.
    #[error("can not connect to {peer}")]
    Unreachable {
        /// The peer's address.
        peer: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The network failed during the handshake.
    #[error("the connection with {peer} failed during the handshake")]
    Io {
        /// The peer's address.
        peer: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS library failed in another way.
    #[error("the TLS handshake with {peer} failed")]
    Tls {
        /// The peer's address.
        peer: SocketAddr,
        /// What the TLS library said.
        source: rustls::Error,
    },
}

impl HandshakeError {
    /// The reason why we refused the peer's certificate, if we did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            Self::NoCertificate { .. }
            | Self::RefusedByPeer { .. }
            | Self::NotTls { .. }
            | Self::Incompatible { .. }
            | Self::TimedOut { .. }
            | Self::Closed { .. }
            | Self::Unreachable { .. }
            | Self::Io { .. }
            | Self::Tls { .. } => None,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused { refusal, .. } => refusal.hint(),
            Self::NoCertificate { .. } => {
                "only kfleet with an operator certificate may call; nothing else may be pointed at this port"
            }
            Self::RefusedByPeer { .. } => PeerRefusal::HINT,
            Self::NotTls { .. } => "there is no plaintext mode; check what sends to, or listens on, this port",
            Self::Incompatible { .. } => "kfleet speaks TLS 1.3 only; check what sends to, or listens on, this port",
            Self::TimedOut { .. } | Self::Closed { .. } | Self::Io { .. } | Self::Tls { .. } => {
                "check the network between both machines and what sends to, or listens on, this port"
            }
            Self::Unreachable { .. } => "check that the agent runs, its address in the inventory, and the firewall",
        }
    }

    /// Writes one line to the log, with what a person needs to act.
    pub(crate) fn log(&self) {
        let hint = self.hint();
        match self {
            Self::Refused { peer, refusal } => tracing::warn!(
                %peer,
                reason = %refusal.reason,
                presented = %refusal.presented,
                hint,
                "{self}"
            ),
            Self::NoCertificate { peer }
            | Self::RefusedByPeer { peer, .. }
            | Self::NotTls { peer, .. }
            | Self::Incompatible { peer, .. }
            | Self::TimedOut { peer, .. }
            | Self::Closed { peer } => tracing::warn!(%peer, hint, "{self}"),
            Self::Unreachable { peer, source } | Self::Io { peer, source } => {
                tracing::warn!(%peer, %source, hint, "{self}");
            }
            Self::Tls { peer, source } => tracing::warn!(%peer, %source, hint, "{self}"),
        }
    }

    fn from_io(peer: SocketAddr, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed { peer };
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::from_tls(peer, error),
            Err(source) => Self::Io { peer, source },
        }
    }

    fn from_tls(peer: SocketAddr, error: rustls::Error) -> Self {
        if let Some(refusal) = Refusal::of(&error) {
            return Self::Refused { peer, refusal: Box::new(refusal.clone()) };
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "rustls::Error is open; the rest keeps its own text")]
        match error {
            rustls::Error::NoCertificatesPresented => Self::NoCertificate { peer },
            rustls::Error::AlertReceived(alert) => Self::RefusedByPeer { peer, refusal: PeerRefusal { alert } },
            rustls::Error::InvalidMessage(detail) => Self::NotTls { peer, detail: format!("{detail:?}") },
            rustls::Error::PeerIncompatible(detail) => Self::Incompatible { peer, detail: format!("{detail:?}") },
            source => Self::Tls { peer, source },
        }
    }
}

/// What the other side said when it refused us: one TLS alert, which names no reason. Its log has the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side does not accept us (TLS alert {alert:?})")]
pub struct PeerRefusal {
    /// The alert.
    pub alert: AlertDescription,
}

impl PeerRefusal {
    /// What a person can do about it.
    pub const HINT: &'static str =
        "the log of the other machine's kfleet-agent names the reason: look for \"refused\" at this time";
}

/// Finds, anywhere in a chain of errors, that the other side refused us.
///
/// In TLS 1.3 the calling side has finished its handshake before the other has judged its certificate, so a refusal
/// arrives as an error of the first read. This finds it below the errors of tonic and hyper.
#[must_use]
pub fn refused_by_peer(error: &(dyn std::error::Error + 'static)) -> Option<PeerRefusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return Some(PeerRefusal { alert: *alert });
        }
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Answers one connection with the newest configuration.
///
/// # Errors
/// When the handshake does not succeed within the limit.
///
/// # Cancellation
/// Dropping the future closes the connection.
pub async fn accept(tcp: TcpStream, slot: &ServerSlot, limit: Duration) -> Result<SecureStream, HandshakeError> {
    let peer = tcp.peer_addr().map_err(|source| HandshakeError::Io { peer: unknown_addr(), source })?;
    tcp.set_nodelay(true).map_err(|source| HandshakeError::Io { peer, source })?;
    let acceptor = TlsAcceptor::from(slot.current());
    match timeout(limit, acceptor.accept(tcp).into_fallible()).await {
        Err(_) => Err(HandshakeError::TimedOut { peer, limit }),
        Ok(Ok(tls)) => established(TlsStream::Server(tls), peer),
        Ok(Err((error, tcp))) => {
            say_goodbye(tcp).await;
            Err(HandshakeError::from_io(peer, error))
        }
    }
}

/// Calls one host. `limit` covers the TCP connection and the handshake together.
///
/// # Errors
/// When no connection with the expected host comes about within the limit. A host that refuses our certificate is
/// noticed at the first read only, see [`refused_by_peer`].
///
/// # Cancellation
/// Dropping the future closes the connection.
pub async fn connect(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<SecureStream, HandshakeError> {
    match timeout(limit, call(addr, config)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::TimedOut { peer: addr, limit }),
    }
}

async fn call(addr: SocketAddr, config: &Arc<ClientConfig>) -> Result<SecureStream, HandshakeError> {
    let tcp = TcpStream::connect(addr).await.map_err(|source| HandshakeError::Unreachable { peer: addr, source })?;
    tcp.set_nodelay(true).map_err(|source| HandshakeError::Io { peer: addr, source })?;
    // The name is neither sent nor compared; the expected host is part of the configuration.
    let name = ServerName::IpAddress(addr.ip().into());
    let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
    let tls = tls.map_err(|error| {
        let error = HandshakeError::from_io(addr, error);
        if error.refusal().is_some() {
            error.log();
        }
        error
    })?;
    established(TlsStream::Client(tls), addr)
}

fn established(tls: TlsStream<TcpStream>, addr: SocketAddr) -> Result<SecureStream, HandshakeError> {
    let leaf = peer_certificate(tls.get_ref().1)
        .map_err(|error| HandshakeError::Tls { peer: addr, source: rustls::Error::General(error.to_string()) })?;
    let peer = PeerInfo { identity: leaf.identity, serial: leaf.serial, not_after: leaf.not_after, addr };
    Ok(SecureStream::new(tls, peer))
}

/// Lets the alert reach a refused peer: closing a socket with unread bytes in it would reset the connection, and the
/// peer would see "connection reset" in place of the refusal.
async fn say_goodbye(mut tcp: TcpStream) {
    // Errors here say only that the peer is gone already.
    if tcp.shutdown().await.is_ok() {
        let mut rest = tcp.take(LINGER_BYTES);
        let mut sink = tokio::io::sink();
        drop(timeout(LINGER, tokio::io::copy(&mut rest, &mut sink)).await);
    }
}

fn unknown_addr() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_refusal_by_the_peer_is_found_below_other_errors() {
        let alert = || rustls::Error::AlertReceived(AlertDescription::CertificateUnknown);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, alert()));
        for error in [Outer(io::Error::new(io::ErrorKind::InvalidData, alert())), Outer(wrapped)] {
            let found = refused_by_peer(&error).map(|refusal| refusal.alert);
            assert_eq!(found, Some(AlertDescription::CertificateUnknown));
        }
        assert_eq!(refused_by_peer(&Outer(io::Error::other("else"))), None);
        assert_eq!(refused_by_peer(&alert()).map(|refusal| refusal.alert), Some(AlertDescription::CertificateUnknown));
    }
}
