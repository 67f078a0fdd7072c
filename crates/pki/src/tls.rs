//! TLS configurations.
//!
//! Purpose: from [`Material`] to what rustls takes: TLS 1.3 only, a certificate demanded from the other side, no
//! resumption, no tickets, no early data, HTTP/2 by ALPN, no server name sent.
//! Place in the flow: a configuration goes into a [`crate::TlsSlot`]; new connections use the newest one.
//! Not here: sockets (see `handshake.rs`) and the checks of a peer (see `verify.rs`).

use crate::certificate::LeafCertificate;
use crate::identity::{Identity, IdentityError, Role};
use crate::material::{Material, MaterialError};
use crate::verify::{PeerVerifier, Trust};
use jiff::Timestamp;
use kfleet_model::HostName;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{ClientConfig, CommonState, ServerConfig};
use rustls_pki_types::CertificateRevocationListDer;
use std::sync::{Arc, LazyLock};
use webpki::{CertRevocationList, OwnedCertRevocationList};

/// tonic speaks HTTP/2 only; the protocol is agreed on inside the handshake.
const ALPN: &[u8] = b"h2";
/// The longest revocation list that is taken: about 1,000 entries have 40 KiB, and lists are searched per handshake.
const LONGEST_LIST: usize = 256 * 1024;

/// The cryptography that everything here uses. It is passed on explicitly, so no process-wide default is needed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// What can be chosen about a configuration. Nothing here weakens a check.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// Revocation lists of the other side's authorities. With none, revocation is not checked; with some, a
    /// certificate that none of them covers is refused, and so is everybody once a list has ended.
    pub revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    /// The clock for validity checks.
    pub clock: Arc<dyn TimeProvider>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { revocation_lists: Vec::new(), clock: Arc::new(DefaultTimeProvider) }
    }
}

/// Why no configuration can be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Agents answer and operators call, never the other way round.
    #[error("{found} can not {what}: only an {expected} can")]
    WrongRole {
        /// What was wanted.
        what: &'static str,
        /// The role that can.
        expected: Role,
        /// Whose certificate was given.
        found: Identity,
    },
    /// Our own certificate is not good now.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The clock gives no time.
    #[error("the clock gives no time that a certificate could be checked against")]
    Clock,
    /// A revocation list can not be used.
    #[error("revocation list {number} can not be used: {why}")]
    RevocationList {
        /// Its place in the list of lists, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// An authority's certificate can not be trusted.
    #[error("an authority's certificate can not be trusted: {0}")]
    Anchor(webpki::Error),
    /// The TLS library does not take the parts.
    #[error("the TLS library does not take the configuration")]
    Rustls(#[from] rustls::Error),
}

/// The configuration of an agent's listener.
///
/// # Errors
/// When the material is not an agent's or not valid now, or a revocation list can not be used.
pub fn server_config(material: &Material, options: &TlsOptions) -> Result<Arc<ServerConfig>, TlsError> {
    let trust = trust(material, options, Role::Agent, "answer connections")?;
    let verifier = Arc::new(PeerVerifier { trust, host: None });
    let mut config = ServerConfig::builder_with_details(provider(), Arc::clone(&options.clock))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(material.key())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the certificate checks, so a revoked or expired peer could come back.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The configuration of a call to one host. For many hosts, [`ClientConfigs`] shares the parts.
///
/// # Errors
/// As [`ClientConfigs::new`].
pub fn client_config(
    material: &Material,
    host: &HostName,
    options: &TlsOptions,
) -> Result<Arc<ClientConfig>, TlsError> {
    ClientConfigs::new(material, options)?.for_host(host)
}

/// An operator's configurations, one for each host that is called.
#[derive(Debug)]
pub struct ClientConfigs {
    trust: Arc<Trust>,
    key: Arc<SingleCertAndKey>,
    clock: Arc<dyn TimeProvider>,
}

impl ClientConfigs {
    /// Checks the parts that all hosts share.
    ///
    /// # Errors
    /// When the material is not an operator's or not valid now, or a revocation list can not be used.
    pub fn new(material: &Material, options: &TlsOptions) -> Result<Self, TlsError> {
        let trust = trust(material, options, Role::Operator, "call hosts")?;
        let key = Arc::new(SingleCertAndKey::from(material.key()));
        Ok(Self { trust, key, clock: Arc::clone(&options.clock) })
    }

    /// The configuration that accepts this host and no other.
    ///
    /// # Errors
    /// When the TLS library does not take the parts.
    pub fn for_host(&self, host: &HostName) -> Result<Arc<ClientConfig>, TlsError> {
        let verifier = Arc::new(PeerVerifier { trust: Arc::clone(&self.trust), host: Some(host.clone()) });
        let key: Arc<SingleCertAndKey> = Arc::clone(&self.key);
        let mut config = ClientConfig::builder_with_details(provider(), Arc::clone(&self.clock))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(key);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }
}

/// The identity of the other side of an established connection.
///
/// # Errors
/// When there is no certificate or it can not be read; after a handshake with one of our configurations neither occurs.
pub fn peer_identity(connection: &CommonState) -> Result<Identity, IdentityError> {
    peer_certificate(connection).map(|leaf| leaf.identity)
}

/// The certificate of the other side of an established connection.
pub(crate) fn peer_certificate(connection: &CommonState) -> Result<LeafCertificate, IdentityError> {
    let der = connection.peer_certificates().and_then(<[_]>::first).ok_or(IdentityError::Missing)?;
    LeafCertificate::read(der)
}

/// Checks our own side and prepares the check of the other.
fn trust(material: &Material, options: &TlsOptions, role: Role, what: &'static str) -> Result<Arc<Trust>, TlsError> {
    if material.identity().role() != role {
        return Err(TlsError::WrongRole { what, expected: role, found: material.identity().clone() });
    }
    let now = options.clock.current_time().ok_or(TlsError::Clock)?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
    material.check_validity(now.ok_or(TlsError::Clock)?)?;
    let lists = options.revocation_lists.iter().enumerate().map(revocation_list).collect::<Result<_, _>>()?;
    let fleet = material.identity().fleet.clone();
    Trust::new(fleet, role.peer(), material.peers(), lists).map(Arc::new).map_err(TlsError::Anchor)
}

fn revocation_list(
    (at, list): (usize, &CertificateRevocationListDer<'static>),
) -> Result<CertRevocationList<'static>, TlsError> {
    let fail = |why: String| TlsError::RevocationList { number: at + 1, why };
    if list.len() > LONGEST_LIST {
        return Err(fail(format!("it has {} bytes, and {LONGEST_LIST} are allowed", list.len())));
    }
    OwnedCertRevocationList::from_der(list).map(CertRevocationList::from).map_err(|error| fail(error.to_string()))
}
