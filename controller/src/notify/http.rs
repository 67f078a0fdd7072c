//! One POST over HTTP: no redirects, one deadline, a bounded answer.
//!
//! The client is synchronous, so a request runs on a blocking thread; it ends by its own deadline. Proxies of the
//! environment (`HTTPS_PROXY`, `NO_PROXY`) are used, but never to reach this machine.

use super::channel::{Answer, HttpRequest, Tls};
use super::send::SendError;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

/// How much of an answer is read. The peers answer a few hundred bytes.
const ANSWER_BYTES: u64 = 8 * 1024;

/// The authorities that this machine trusts, read once.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs);

/// Sends a request and waits for the answer.
///
/// # Errors
/// When no answer came; the error says whether the request can have arrived.
pub(super) async fn post(request: HttpRequest, timeout: Duration) -> Result<Answer, SendError> {
    match tokio::task::spawn_blocking(move || blocking(&request, timeout)).await {
        Ok(answer) => answer,
        Err(error) => Err(SendError::Lost(error.to_string())),
    }
}

fn blocking(request: &HttpRequest, timeout: Duration) -> Result<Answer, SendError> {
    let agent = agent(request, timeout)?;
    let mut post = agent.post(request.url.reveal()).header("content-type", "application/json; charset=utf-8");
    for (name, value) in &request.headers {
        post = post.header(*name, value.reveal());
    }
    let response = post.send(request.body.as_bytes()).map_err(|error| sorted(&error))?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).and_then(seconds);
    let status = response.status().as_u16();
    let mut body = Vec::new();
    // The status is known, so a body that breaks off only shortens what is shown.
    let _broken_off = response.into_body().into_reader().take(ANSWER_BYTES).read_to_end(&mut body);
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), retry_after })
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3); the form with a date is rare and taken for none.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

fn agent(request: &HttpRequest, timeout: Duration) -> Result<ureq::Agent, SendError> {
    let local =
        request.url.reveal().parse::<http::Uri>().ok().and_then(|uri| uri.host().map(super::fields::is_loopback));
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("kfleet/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls(&request.tls)?);
    let config = if local == Some(true) { config.proxy(None) } else { config };
    Ok(ureq::Agent::new_with_config(config.build()))
}

fn tls(tls: &Tls) -> Result<TlsConfig, SendError> {
    let unusable = |what: &str, error: &dyn std::fmt::Display| SendError::Impossible(format!("{what}: {error}"));
    let mut roots: Vec<Certificate<'static>> = SYSTEM.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if let Some(pem) = &tls.authorities {
        roots.extend(certificates(pem).map_err(|error| unusable("ca_file", &error))?);
    }
    let identity = match &tls.identity {
        None => None,
        Some((chain, key)) => {
            let chain = certificates(chain).map_err(|error| unusable("client_cert", &error))?;
            let key = PrivateKey::from_pem(key.reveal().as_bytes()).map_err(|error| unusable("client_key", &error))?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(identity)
        .build())
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, rustls_pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| Ok(Certificate::from_der(&der?).to_owned())).collect()
}

/// What a failure means for the request: whether it can have arrived.
fn sorted(error: &ureq::Error) -> SendError {
    use std::io::ErrorKind;
    use ureq::Error;
    let text = error.to_string();
    let before = matches!(
        error,
        Error::HostNotFound
            | Error::ConnectionFailed
            | Error::ConnectProxyFailed(_)
            | Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect)
    ) || matches!(error, Error::Io(error) if matches!(error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown));
    let never = matches!(
        error,
        Error::BadUri(_) | Error::Http(_) | Error::InvalidProxyUrl | Error::Tls(_) | Error::Pem(_) | Error::Rustls(_)
    ) || matches!(error, Error::Io(error) if error.kind() == ErrorKind::InvalidData);
    match (before, never) {
        (true, _) => SendError::NotSent(text),
        (false, true) => SendError::Impossible(text),
        (false, false) => SendError::Lost(text),
    }
}
