//! Opens connections to agents: name resolution, TCP, mutual TLS with the operator's certificate.

use super::link::{Dial, DialStream};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kfleet_model::HostName;
use kfleet_pki::{ClientConfigs, HandshakeError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Dials with one operator's certificate.
pub struct TlsDial {
    configs: Arc<ClientConfigs>,
    timeout: Duration,
}

impl TlsDial {
    /// Takes the operator's TLS material; `timeout` covers resolution, connection and handshake.
    #[must_use]
    pub fn new(configs: ClientConfigs, timeout: Duration) -> Self {
        Self { configs: Arc::new(configs), timeout }
    }
}

impl Dial for TlsDial {
    fn dial(&self, host: &HostName, address: &str) -> BoxFuture<'static, Result<DialStream, io::Error>> {
        let (configs, host, address, timeout) =
            (Arc::clone(&self.configs), host.clone(), address.to_owned(), self.timeout);
        async move {
            let config = configs.for_host(&host).map_err(io::Error::other)?;
            let addresses = resolve(&address).await?;
            let mut last = None;
            for addr in addresses {
                match kfleet_pki::connect(addr, &config, timeout).await {
                    Ok(stream) => return Ok(Box::new(stream) as DialStream),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.map_or_else(|| io::Error::other(format!("{address} has no address")), |error| told(&error)))
        }
        .boxed()
    }
}

/// The addresses of `host:port`. A literal needs no resolver, so it costs no thread.
async fn resolve(address: &str) -> Result<Vec<SocketAddr>, io::Error> {
    if let Ok(addr) = address.parse() {
        return Ok(vec![addr]);
    }
    let found = tokio::net::lookup_host(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{address} can not be resolved: {error}")))?;
    Ok(found.collect())
}

/// A failed handshake with what can be done about it.
fn told(error: &HandshakeError) -> io::Error {
    let hint = error.hint();
    let text = crate::report::chain(error);
    io::Error::other(if hint.is_empty() { text } else { format!("{text}; hint: {hint}") })
}
