//! The client's side of TLS: what is trusted, who the client is, and whether names are checked.
//!
//! Not here: where the certificates come from, and the fleet's own TLS (that is `kfleet-pki`).

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Certificates and key in PEM form, as Kafka's stores of type PEM hold them (KIP-651).
#[derive(Clone, Default)]
pub struct ClientTls {
    /// The authorities that may have signed a broker's certificate.
    pub roots: String,
    /// The client's own certificates, its leaf first, and its key. Brokers ask for them with `ssl.client.auth`.
    pub identity: Option<(String, Zeroizing<String>)>,
    /// Whether a broker's certificate may name any host: an empty `ssl.endpoint.identification.algorithm`.
    pub any_name: bool,
}

/// Why no TLS can be spoken with these.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A PEM text is damaged, or holds nothing of what it should.
    #[error("{what} can not be read from PEM: {why}")]
    Pem {
        /// "a trusted certificate", "the private key", ...
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The key is locked by a password.
    #[error(
        "the private key is encrypted, and this client has no way to open it; keep it unencrypted and readable by its owner only"
    )]
    Encrypted,
    /// The TLS library does not take them.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl ClientTls {
    /// The configuration for TLS 1.2 and 1.3, which is what Kafka's brokers offer.
    ///
    /// # Errors
    /// When a certificate or key can not be used.
    pub fn config(&self) -> Result<Arc<ClientConfig>, ClientTlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates("a trusted certificate", &self.roots)? {
            roots.add(certificate)?;
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = if self.any_name {
            let verifier = AnyName::new(roots, &provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            builder.with_root_certificates(roots)
        };
        Ok(Arc::new(match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates("the client's certificate", chain)?;
                builder.with_client_auth_cert(chain, private_key(key)?)?
            }
        }))
    }
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, ClientTlsError> {
    let wrong = |why: String| ClientTlsError::Pem { what, why };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(found) }
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, ClientTlsError> {
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        return Err(ClientTlsError::Encrypted);
    }
    // What the library says of a key could hold a part of it.
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| ClientTlsError::Pem { what: "the private key", why: "it holds no PKCS#8 key".to_owned() })
}

/// Everything is checked but the name: the last thing that the library looks at.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl AnyName {
    fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, ClientTlsError> {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        let why = |error: rustls::client::VerifierBuilderError| ClientTlsError::Pem {
            what: "a trusted certificate",
            why: error.to_string(),
        };
        Ok(Self { inner: inner.map_err(why)? })
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Address, KafkaAccess};
    use crate::connection::Connection;
    use crate::error::KafkaError;
    use crate::testing::{Broker, answers_versions};
    use kfleet_model::BrokerId;
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use std::time::Duration;
    use tokio::time::Instant;
    use tokio_rustls::TlsAcceptor;

    struct Made {
        pem: String,
        key: String,
        cert: CertificateDer<'static>,
    }

    fn made(name: &str) -> Made {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Made { pem: made.cert.pem(), key: made.signing_key.serialize_pem(), cert: made.cert.der().clone() }
    }

    /// A broker whose certificate names "kafka.example", and that wants a client's certificate when one is given.
    async fn broker(server: &Made, client: Option<&Made>) -> Broker {
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder();
        let builder = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.cert.clone()).unwrap();
                builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
            }
        };
        let config = builder.with_single_cert(vec![server.cert.clone()], key).unwrap();
        Broker::start_tls(TlsAcceptor::from(Arc::new(config)), |asked| Some(answers_versions(&asked, &[(3, 0, 12)])))
            .await
    }

    async fn open(tls: &ClientTls, address: &Address) -> Result<(), KafkaError> {
        let access = KafkaAccess::plaintext(address.clone(), BrokerId(1)).with_tls(tls.config().unwrap());
        Connection::open(&access, address, Instant::now() + Duration::from_secs(5)).await.map(drop)
    }

    #[tokio::test]
    async fn a_name_is_not_checked_only_when_it_shall_not_be() {
        let server = made("kafka.example");
        let broker = broker(&server, None).await;
        let strict = ClientTls { roots: server.pem.clone(), ..ClientTls::default() };
        let loose = ClientTls { any_name: true, ..strict.clone() };
        assert!(
            matches!(open(&strict, &broker.address).await, Err(KafkaError::Tls { .. })),
            "127.0.0.1 is not its name"
        );
        open(&loose, &broker.address).await.unwrap();
        let other = ClientTls { roots: made("kafka.example").pem, ..loose };
        assert!(matches!(open(&other, &broker.address).await, Err(KafkaError::Tls { .. })), "another authority");
    }

    #[tokio::test]
    async fn a_broker_that_asks_for_a_certificate_gets_it() {
        let (server, client) = (made("127.0.0.1"), made("client"));
        let broker = broker(&server, Some(&client)).await;
        let without = ClientTls { roots: server.pem.clone(), ..ClientTls::default() };
        open(&without, &broker.address).await.unwrap_err();
        let identity = Some((client.pem.clone(), Zeroizing::new(client.key.clone())));
        open(&ClientTls { identity, ..without }, &broker.address).await.unwrap();
    }

    #[test]
    fn what_is_no_certificate_or_key_is_said_without_showing_it() {
        let good = made("x");
        let with_key = |key: &str| ClientTls {
            roots: good.pem.clone(),
            identity: Some((good.pem.clone(), Zeroizing::new(key.to_owned()))),
            any_name: false,
        };
        for (tls, wanted) in [
            (ClientTls::default(), "a trusted certificate can not be read from PEM: it holds no certificate"),
            (with_key("s3cret"), "the private key can not be read from PEM: it holds no PKCS#8 key"),
            (with_key("-----BEGIN ENCRYPTED PRIVATE KEY-----\ns3cret"), "the private key is encrypted"),
        ] {
            let error = tls.config().unwrap_err().to_string();
            assert!(error.starts_with(wanted) && !error.contains("s3cret"), "{error}");
        }
    }
}
