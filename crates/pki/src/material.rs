//! What one side needs to speak TLS: its certificate, its key and the authorities of the other side.
//!
//! Purpose: hold the three together once they have been checked against each other.
//! Place in the flow: loaded by `store/`, turned into TLS configurations by `tls.rs`.
//! Not here: files, and anything about the peer's certificate.

use crate::ca::{AuthorityCert, AuthorityError, AuthorityKind};
use crate::certificate::LeafCertificate;
use crate::identity::{Identity, IdentityError, Role};
use crate::key::{KeyError, KeyPair};
use crate::refusal::Refusal;
use crate::tls::provider;
use crate::verify::Trust;
use jiff::Timestamp;
use kfleet_model::FleetName;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What a fleet gives to a host: its certificate and both authorities, all in PEM form. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The host's own certificate.
    pub certificate: String,
    /// The authority that signed it; used to check it before it is put in place.
    pub agents_authority: String,
    /// The authority whose operators the host shall obey.
    pub operators_authority: String,
}

/// Our side of every connection: who we are, and whom we trust.
#[derive(Debug, Clone)]
pub struct Material {
    certificate: LeafCertificate,
    key: Arc<CertifiedKey>,
    peers: Vec<AuthorityCert>,
}

/// Why certificate, key and authorities do not make up one side.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// The text holds no certificate.
    #[error("it holds no readable certificate in PEM form")]
    Unreadable,
    /// The certificate does not carry one name of kfleet's.
    #[error("our own certificate is not acceptable")]
    Name(#[from] IdentityError),
    /// The certificate is of the other role.
    #[error("our own certificate names {found}, and one of an {expected} is needed here")]
    WrongRole {
        /// The role that is needed.
        expected: Role,
        /// The name in the certificate.
        found: Identity,
    },
    /// The certificate names somebody else than expected.
    #[error("the certificate names {found}, and {expected} was expected")]
    OtherIdentity {
        /// Who it should name.
        expected: Identity,
        /// Who it names.
        found: Identity,
    },
    /// The certificate was made for another key.
    #[error(
        "the certificate of {identity} does not belong to the private key; ask for a new one with the current request"
    )]
    KeyMismatch {
        /// The name in the certificate.
        identity: Identity,
    },
    /// The certificate is not good now.
    #[error(
        "our own certificate of {identity} is valid from {not_before} to {not_after}, and now is {now} by this machine's clock"
    )]
    NotValidNow {
        /// The name in the certificate.
        identity: Identity,
        /// Its first second.
        not_before: Timestamp,
        /// Its last second.
        not_after: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// The key can not be read.
    #[error("our private key can not be used")]
    Key(#[from] KeyError),
    /// An authority can not be read.
    #[error("the {wanted} authority can not be used")]
    Authority {
        /// Which authority was to be read.
        wanted: AuthorityKind,
        /// What is wrong with it.
        source: AuthorityError,
    },
    /// An authority of another kind or fleet stands in the place of the wanted one.
    #[error(
        "the {wanted} authority of fleet {fleet} is wanted, and the {found} authority of fleet {found_fleet} was given"
    )]
    OtherAuthority {
        /// Which authority was wanted.
        wanted: AuthorityKind,
        /// Of which fleet.
        fleet: FleetName,
        /// Which authority was found.
        found: AuthorityKind,
        /// Of which fleet.
        found_fleet: FleetName,
    },
    /// The authority's certificate breaks a rule of X.509.
    #[error("the {wanted} authority can not be trusted: {why}")]
    Anchor {
        /// Which authority.
        wanted: AuthorityKind,
        /// The rule, in the words of the certificate library.
        why: webpki::Error,
    },
    /// The certificate would not be accepted by the other side.
    #[error("the certificate would be refused by operators")]
    Refused(#[source] Box<Refusal>),
    /// The cryptography library does not take certificate and key.
    #[error("certificate and key are not accepted by the TLS library")]
    Tls(#[source] rustls::Error),
}

impl Material {
    /// Checks the parts against each other and takes them.
    ///
    /// # Errors
    /// When a part can not be read; when certificate and key do not belong together; when the certificate is of the
    /// other role or not valid now; when the authorities are not those of the other role in the same fleet.
    pub fn from_pem(
        role: Role,
        certificate: &str,
        key: &str,
        peers: &str,
        now: Timestamp,
    ) -> Result<Self, MaterialError> {
        let der = leaf_der(certificate)?;
        let leaf = LeafCertificate::read(&der)?;
        let identity = &leaf.identity;
        if identity.role() != role {
            return Err(MaterialError::WrongRole { expected: role, found: identity.clone() });
        }
        let key = CertifiedKey::from_der(vec![der], KeyPair::from_pem(key)?.to_der(), &provider());
        let key = key.map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                MaterialError::KeyMismatch { identity: identity.clone() }
            } else {
                MaterialError::Tls(error)
            }
        })?;
        let peers = authorities(peers, AuthorityKind::of(role.peer()), &identity.fleet)?;
        let material = Self { certificate: leaf, key: Arc::new(key), peers };
        material.check_validity(now)?;
        Ok(material)
    }

    /// Who we are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.certificate.identity
    }

    /// Our certificate's facts.
    #[must_use]
    pub fn certificate(&self) -> &LeafCertificate {
        &self.certificate
    }

    /// The authorities that speak for our peers.
    #[must_use]
    pub fn peers(&self) -> &[AuthorityCert] {
        &self.peers
    }

    /// How long our certificate is still good; zero when it is not.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.certificate.not_after.duration_since(now)).unwrap_or_default()
    }

    /// Checks our own certificate's validity, which peers would otherwise refuse with less to say.
    ///
    /// # Errors
    /// When it is not valid now.
    pub fn check_validity(&self, now: Timestamp) -> Result<(), MaterialError> {
        let LeafCertificate { identity, not_before, not_after, .. } = &self.certificate;
        if (*not_before..=*not_after).contains(&now) {
            return Ok(());
        }
        let (identity, not_before, not_after) = (identity.clone(), *not_before, *not_after);
        Err(MaterialError::NotValidNow { identity, not_before, not_after, now })
    }

    pub(crate) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

impl Bundle {
    /// Checks that the bundle is for this agent and this key, and that operators would accept the certificate.
    ///
    /// # Errors
    /// As [`Material::from_pem`], and when the certificate is for another host or not signed by the bundle's own
    /// authority.
    pub fn check(&self, expected: &Identity, key: &str, now: Timestamp) -> Result<Material, MaterialError> {
        let material = Material::from_pem(Role::Agent, &self.certificate, key, &self.operators_authority, now)?;
        if material.identity() != expected {
            let found = material.identity().clone();
            return Err(MaterialError::OtherIdentity { expected: expected.clone(), found });
        }
        let wanted = AuthorityKind::Agents;
        let signers = authorities(&self.agents_authority, wanted, &expected.fleet)?;
        let trust = Trust::new(expected.fleet.clone(), Role::Agent, &signers, Vec::new())
            .map_err(|why| MaterialError::Anchor { wanted, why })?;
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        trust.judge(&leaf_der(&self.certificate)?, expected.host(), time).map_err(MaterialError::Refused)?;
        Ok(material)
    }
}

fn leaf_der(pem: &str) -> Result<CertificateDer<'static>, MaterialError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| MaterialError::Unreadable)
}

fn authorities(pem: &str, wanted: AuthorityKind, fleet: &FleetName) -> Result<Vec<AuthorityCert>, MaterialError> {
    let all = AuthorityCert::all_from_pem(pem).map_err(|source| MaterialError::Authority { wanted, source })?;
    match all.iter().find(|authority| authority.kind != wanted || authority.fleet != *fleet) {
        None => Ok(all),
        Some(other) => Err(MaterialError::OtherAuthority {
            wanted,
            fleet: fleet.clone(),
            found: other.kind,
            found_fleet: other.fleet.clone(),
        }),
    }
}
