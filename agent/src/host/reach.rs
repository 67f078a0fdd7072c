//! Names and ports of other hosts, many at once and each within its time; and the certificate that a port shows.
//!
//! The time of each question is bounded, and all of them run beside each other, so a fleet whose every second host is
//! away costs no more time than one that answers.

use super::HostError;
use futures::StreamExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How many are asked at the same time.
const AT_ONCE: usize = 32;

/// What the resolver says when it knows for sure that there is no such name: EAI_NONAME and EAI_NODATA of
/// getaddrinfo(3), whose numbers the standard library does not hand on.
const NO_NAME: [&str; 3] =
    ["Name or service not known", "No address associated with hostname", "nodename nor servname provided"];

/// The resolver's answer to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses, sorted; empty when there is no such name.
    pub addresses: Vec<IpAddr>,
    /// How long it took.
    pub took: Duration,
}

/// What came of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReachState {
    /// The connection stood.
    Open,
    /// The host answers and nothing listens.
    Refused,
    /// Nothing came back in time.
    Timeout,
    /// There is no way to the host.
    Unreachable,
    /// The name has no address, or the resolver did not answer.
    Unresolved,
}

impl ReachState {
    /// Its word in readings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unresolved => "unresolved",
        }
    }

    fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else if error.kind() == io::ErrorKind::TimedOut {
            Self::Timeout
        } else {
            Self::Unreachable
        }
    }
}

/// A port of a host, as this host reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// What came of it.
    pub state: ReachState,
    /// How long connecting took, without the look at the name.
    pub took: Duration,
    /// What the name resolves to, sorted.
    pub addresses: Vec<IpAddr>,
}

/// As [`super::HostView::resolve`].
pub(super) fn resolve(names: &[String], limit: Duration) -> Vec<Result<Resolved, String>> {
    let Ok(runtime) = Handle::try_current() else {
        return names
            .iter()
            .map(|_| Err("no runtime to ask the resolver with (a fault of the agent)".into()))
            .collect();
    };
    let asked = futures::stream::iter(names).map(|name| async move {
        let begun = Instant::now();
        let addresses = look_up(name, 0, limit).await.map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        addresses.sort();
        addresses.dedup();
        Ok(Resolved { addresses, took: begun.elapsed() })
    });
    runtime.block_on(asked.buffered(AT_ONCE).collect())
}

/// As [`super::HostView::reach`].
pub(super) fn reach(targets: &[(String, u16)], limit: Duration) -> Result<Vec<Reached>, HostError> {
    let failed = |error: tokio::runtime::TryCurrentError| HostError::Io {
        what: "reach the other hosts from",
        path: Path::new("a thread without a runtime").to_owned(),
        source: io::Error::other(error),
    };
    let runtime = Handle::try_current().map_err(failed)?;
    let asked = futures::stream::iter(targets).map(|(host, port)| connect(host, *port, limit));
    Ok(runtime.block_on(asked.buffered(AT_ONCE).collect()))
}

async fn connect(host: &str, port: u16, limit: Duration) -> Reached {
    let found = look_up(host, port, limit).await.unwrap_or_default();
    let mut addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
    addresses.sort();
    addresses.dedup();
    let (begun, mut state) = (Instant::now(), ReachState::Unresolved);
    for address in found {
        let left = limit.saturating_sub(begun.elapsed());
        // The stream is closed at once: whether it came about is all that is asked.
        state = match tokio::time::timeout(left, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_stream)) => ReachState::Open,
            Ok(Err(error)) => ReachState::of(&error),
            Err(_) => ReachState::Timeout,
        };
        if state == ReachState::Open {
            break;
        }
    }
    Reached { state, took: begun.elapsed(), addresses }
}

/// The addresses of a name; none when the resolver knows that there is none. A resolver that hangs is not waited for.
async fn look_up(host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
    match tokio::time::timeout(limit, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) if NO_NAME.iter().any(|text| error.to_string().contains(text)) => Ok(Vec::new()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the resolver did not answer within {} ms", limit.as_millis()),
        )),
    }
}

/// As [`super::HostView::tls_leaf`]. The handshake may end badly after the certificate came, as it does where the
/// server wants one of the client: that is no error here.
pub(super) fn tls_leaf(host: &str, port: u16, name: &str, limit: Duration) -> io::Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let seen = Arc::new(Seen { leaf: Mutex::default(), provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let until = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let shaken = shake(address, &config, &name, until);
        if let Some(leaf) = seen.leaf.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(leaf);
        }
        last = match shaken {
            Ok(()) => io::Error::new(io::ErrorKind::InvalidData, "the handshake showed no certificate"),
            Err(error) => error,
        };
    }
    Err(last)
}

fn shake(address: SocketAddr, config: &ClientConfig, name: &ServerName<'static>, until: Instant) -> io::Result<()> {
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, left())?;
    let mut tls = ClientConnection::new(Arc::new(config.clone()), name.clone()).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left()))?;
        stream.set_write_timeout(Some(left()))?;
        while tls.wants_write() {
            tls.write_tls(&mut stream)?;
        }
        if tls.is_handshaking() && tls.read_tls(&mut stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tls.process_new_packets().map_err(io::Error::other)?;
    }
    // The end of the handshake and a word of farewell, so that the server has nothing to complain of. What was asked is
    // known whether or not they arrive.
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut stream)?;
    }
    Ok(())
}

/// Keeps the first certificate that a server shows. Nothing is sent over the connection, so nothing has to be trusted.
#[derive(Debug)]
struct Seen {
    leaf: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn ports_are_told_apart_and_a_name_that_is_none_has_no_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let targets = vec![("127.0.0.1".to_owned(), open), ("127.0.0.1".to_owned(), closed)];
        let ask = move || {
            let limit = Duration::from_secs(5);
            (reach(&targets, limit).unwrap(), resolve(&["127.0.0.1".to_owned()], limit))
        };
        let (reached, resolved) = tokio::task::spawn_blocking(ask).await.unwrap();
        assert_eq!(reached.iter().map(|one| one.state).collect::<Vec<_>>(), [ReachState::Open, ReachState::Refused]);
        assert_eq!(resolved[0].as_ref().unwrap().addresses, [IpAddr::from([127, 0, 0, 1])]);
        drop(listener);
    }

    #[test]
    fn without_a_runtime_every_question_has_its_answer_all_the_same() {
        let answers = resolve(&["a".to_owned(), "b".to_owned()], Duration::from_secs(1));
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 2);
        assert!(reach(&[("a".to_owned(), 1)], Duration::from_secs(1)).is_err());
    }

    /// Speaks TLS once, then closes.
    fn server(wants_client: bool) -> (u16, Vec<u8>, std::thread::JoinHandle<()>) {
        let made = rcgen::generate_simple_self_signed(["kafka.example".to_owned()]).unwrap();
        let (leaf, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let key = rustls::pki_types::PrivateKeyDer::try_from(key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if wants_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(leaf.clone()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let config = Arc::new(builder.with_single_cert(vec![leaf.clone()], key).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut tls = rustls::ServerConnection::new(config).unwrap();
            // A server that wants the client's certificate ends the handshake without one, as it should. The other may
            // find the client gone before it has said everything.
            let shaken = tls.complete_io(&mut stream);
            assert!(shaken.is_err() || !wants_client);
        });
        (port, leaf.to_vec(), serve)
    }

    #[test]
    fn the_leaf_is_seen_whether_or_not_the_server_lets_the_client_in() {
        for wants_client in [false, true] {
            let (port, leaf, serve) = server(wants_client);
            let seen = tls_leaf("127.0.0.1", port, "another.example", Duration::from_secs(10)).unwrap();
            assert_eq!(seen, leaf);
            serve.join().unwrap();
        }
    }

    #[test]
    fn a_port_that_speaks_no_tls_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(tls_leaf("127.0.0.1", port, "a", Duration::from_secs(10)).is_err());
        serve.join().unwrap();
    }
}
