//! An established connection together with who is at its other end.
//!
//! Purpose: a byte stream that tonic can take, with [`PeerInfo`] beside it.
//! Place in the flow: made by `handshake.rs`, handed to tonic by agent and controller.
//! Not here: tonic's own traits. The agent wraps the stream in a newtype for them.

use crate::certificate::Serial;
use crate::identity::Identity;
use jiff::Timestamp;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Who is at the other end. Proven by the handshake; serial and end are kept so that a long connection can be
/// checked again against a newer revocation list and the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// The name in its certificate.
    pub identity: Identity,
    /// Its certificate's serial number.
    pub serial: Serial,
    /// The last second of its certificate.
    pub not_after: Timestamp,
    /// Its network address.
    pub addr: SocketAddr,
}

/// A TLS connection after a successful handshake.
#[derive(Debug)]
pub struct SecureStream {
    io: TlsStream<TcpStream>,
    peer: PeerInfo,
}

impl SecureStream {
    pub(crate) fn new(io: TlsStream<TcpStream>, peer: PeerInfo) -> Self {
        Self { io, peer }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// The socket and the TLS state below.
    #[must_use]
    pub fn get_ref(&self) -> (&TcpStream, &rustls::CommonState) {
        self.io.get_ref()
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
