//! Connections: one for each try, over TLS where the address says so.

use super::Broken::{self, Final, Passing};
use super::url::{Url, shown};
use super::{REDIRECTS, Request};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Where distributions keep their authorities: Debian and its kin, Red Hat and its kin, SUSE.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Connections for one request.
pub(super) struct Client<'a> {
    request: &'a Request,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The host and port that the headers are meant for.
    meant_for: (String, u16),
    tls: Option<Arc<ClientConfig>>,
}

/// An answer, and the task that reads its connection.
pub(super) struct Exchange {
    pub(super) response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl<'a> Client<'a> {
    pub(super) fn new(request: &'a Request, url: &Url) -> Result<Self, String> {
        let mut headers = Vec::new();
        for (name, value) in &request.headers {
            let wrong = || format!("{name:?} is no header that can be sent");
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.push((HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value));
        }
        let meant_for = (url.host().to_owned(), url.port());
        Ok(Self { request, headers, meant_for, tls: None })
    }

    /// Asks, and follows redirects.
    pub(super) async fn get(&mut self, url: &Url, range: Option<(u64, &HeaderValue)>) -> Result<Exchange, Broken> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let exchange = self.ask(&url, range).await?;
            let status = exchange.response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(exchange);
            }
            let to = exchange.response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| Final(format!("the server answers {status} and not where to")))?;
            let next = url.join(to).map_err(Final)?;
            if url.is_secure() && !next.is_secure() {
                return Err(Final(format!("it is redirected from https to {}", shown(to))));
            }
            url = next;
        }
        Err(Final(format!("it is redirected more than {REDIRECTS} times")))
    }

    async fn ask(&mut self, url: &Url, range: Option<(u64, &HeaderValue)>) -> Result<Exchange, Broken> {
        let request = self.request(url, range)?;
        let limit = self.request.timeout;
        let late = |what: &str| Passing(format!("{what} took more than {} s", limit.as_secs()));
        let stream = timeout(limit, connect(url)).await.map_err(|_| late("the connection"))?.map_err(Passing)?;
        if !url.is_secure() {
            return timeout(limit, send(stream, request)).await.map_err(|_| late("the answer"))?;
        }
        let name = ServerName::try_from(url.host().to_owned()).map_err(|error| Final(error.to_string()))?;
        let connector = TlsConnector::from(self.tls()?);
        let secured = timeout(limit, connector.connect(name, stream)).await.map_err(|_| late("the TLS handshake"))?;
        // A certificate that is not accepted now will not be at the next try.
        let secured = secured.map_err(|error| {
            let refused = matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput);
            let why = format!("no TLS: {error}");
            if refused { Final(why) } else { Passing(why) }
        })?;
        timeout(limit, send(secured, request)).await.map_err(|_| late("the answer"))?
    }

    fn request(&self, url: &Url, range: Option<(u64, &HeaderValue)>) -> Result<http::Request<Empty<Bytes>>, Broken> {
        let mut request = http::Request::get(url.target())
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, concat!("kfleet-agent/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT_ENCODING, "identity");
        if (url.host(), url.port()) == (self.meant_for.0.as_str(), self.meant_for.1) {
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
        }
        if let Some((from, validator)) = range {
            request = request.header(header::RANGE, format!("bytes={from}-")).header(header::IF_RANGE, validator);
        }
        request.body(Empty::new()).map_err(|error| Final(error.to_string()))
    }

    /// Made when the first secured connection needs it.
    fn tls(&mut self) -> Result<Arc<ClientConfig>, Broken> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        let tls = tls(self.request.authorities.as_deref()).map_err(Final)?;
        self.tls = Some(Arc::clone(&tls));
        Ok(tls)
    }
}

async fn connect(url: &Url) -> Result<TcpStream, String> {
    let (host, port) = (url.host(), url.port());
    TcpStream::connect((host, port)).await.map_err(|error| format!("no connection to {host}:{port} ({error})"))
}

async fn send<S>(stream: S, request: http::Request<Empty<Bytes>>) -> Result<Exchange, Broken>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let passing = |error: hyper::Error| Passing(format!("no answer ({error})"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(passing)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended; its reader is told too");
        }
    });
    let response = sender.send_request(request).await.map_err(passing)?;
    Ok(Exchange { response, _connection: tasks })
}

/// TLS that trusts these authorities, or the host's.
fn tls(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let found = BUNDLES.iter().map(Path::new).find(|path| path.exists());
    let path = authorities.or(found).ok_or_else(|| {
        format!(
            "this host has no bundle of authorities ({}); the package ca-certificates brings one",
            BUNDLES.join(", ")
        )
    })?;
    let pem = std::fs::read(path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
    let mut roots = RootCertStore::empty();
    // A bundle may hold old ones that rustls does not take; those sign nothing that is fetched here.
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(format!("{} holds no authority", path.display()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
