//! The check of a peer's certificate, one for both directions.
//!
//! Purpose: chain, validity, direction, revocation, then the one name: role, fleet and, when a host was called, host.
//! Place in the flow: rustls calls [`PeerVerifier`] in each handshake; installing a certificate uses [`Trust::judge`].
//! Not here: the choice of what to trust (see `material.rs` and `tls.rs`).
//!
//! The chain is checked by webpki directly and not through rustls' own verifiers: those compare DNS names, which our
//! certificates do not have, and their server side can not check revocation without such a name.

use crate::ca::AuthorityCert;
use crate::certificate::{LeafCertificate, claims};
use crate::identity::Role;
use crate::refusal::{Refusal, RefusalReason};
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::sync::Arc;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

/// kfleet's certificates are all ECDSA P-256; nothing else is offered to a peer's bytes.
pub(crate) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::aws_lc_rs::ECDSA_P256_SHA256])],
};

/// Whom one side trusts for the other role.
#[derive(Debug)]
pub(crate) struct Trust {
    fleet: FleetName,
    role: Role,
    anchors: Vec<TrustAnchor<'static>>,
    names: Vec<String>,
    hints: Vec<DistinguishedName>,
    revocation: Vec<CertRevocationList<'static>>,
}

impl Trust {
    /// Trusts the given authorities, all of one fleet, for peers of this role.
    pub(crate) fn new(
        fleet: FleetName,
        role: Role,
        authorities: &[AuthorityCert],
        revocation: Vec<CertRevocationList<'static>>,
    ) -> Result<Self, webpki::Error> {
        let anchors: Vec<_> = authorities
            .iter()
            .map(|authority| webpki::anchor_from_trusted_cert(authority.der()).map(|anchor| anchor.to_owned()))
            .collect::<Result<_, _>>()?;
        let names = authorities.iter().map(|authority| authority.name.clone()).collect();
        let hints = anchors.iter().map(|anchor| DistinguishedName::in_sequence(anchor.subject.as_ref())).collect();
        Ok(Self { fleet, role, anchors, names, hints, revocation })
    }

    /// Accepts a peer's certificate or says why not. `host` is the host that was called, if one was.
    pub(crate) fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        host: Option<&HostName>,
        now: UnixTime,
    ) -> Result<LeafCertificate, Box<Refusal>> {
        self.chain(certificate, now)
            .and_then(|()| self.holder(certificate, host))
            .map_err(|reason| Box::new(Refusal { reason, presented: claims(certificate) }))
    }

    /// Signature, validity, direction and revocation. Our authorities sign leaves only, so a peer's further
    /// certificates are not looked at.
    fn chain(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), RefusalReason> {
        let usage = match self.role {
            Role::Agent => KeyUsage::server_auth(),
            Role::Operator => KeyUsage::client_auth(),
        };
        let lists: Vec<&CertRevocationList<'_>> = self.revocation.iter().collect();
        // The builder refuses an empty slice, which here means that no list was given.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::EndEntity)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        EndEntityCert::try_from(certificate)
            .and_then(|leaf| {
                leaf.verify_for_usage(ALGORITHMS.all, &self.anchors, &[], now, usage, revocation, None).map(|_| ())
            })
            .map_err(|error| self.reason(error))
    }

    /// The one name: role, fleet, host.
    fn holder(
        &self,
        certificate: &CertificateDer<'_>,
        host: Option<&HostName>,
    ) -> Result<LeafCertificate, RefusalReason> {
        let leaf = LeafCertificate::read(certificate)?;
        let identity = &leaf.identity;
        if identity.fleet != self.fleet {
            return Err(RefusalReason::OtherFleet { expected: self.fleet.clone(), found: identity.fleet.clone() });
        }
        if identity.role() != self.role {
            return Err(RefusalReason::WrongRole { expected: self.role });
        }
        match (host, identity.host()) {
            (Some(expected), Some(found)) if expected != found => {
                Err(RefusalReason::OtherHost { expected: expected.clone(), found: found.clone() })
            }
            (Some(_), None) => Err(RefusalReason::WrongRole { expected: Role::Agent }),
            (Some(_), Some(_)) | (None, _) => Ok(leaf),
        }
    }

    fn reason(&self, error: webpki::Error) -> RefusalReason {
        use webpki::Error as E;
        #[expect(clippy::wildcard_enum_match_arm, reason = "webpki::Error is open; the rest keeps its own text")]
        match error {
            E::CertExpired { time, not_after } => RefusalReason::Expired { since: stamp(not_after), now: stamp(time) },
            E::CertNotValidYet { time, not_before } => {
                RefusalReason::NotYetValid { from: stamp(not_before), now: stamp(time) }
            }
            E::RequiredEkuNotFoundContext(_) | E::CaUsedAsEndEntity => RefusalReason::WrongRole { expected: self.role },
            // A signature that does not fit means an authority of the same name with another key.
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => {
                RefusalReason::UnknownAuthority { trusted: self.names.clone() }
            }
            E::CertRevoked => RefusalReason::Revoked,
            E::UnknownRevocationStatus => RefusalReason::RevocationUnknown,
            E::CrlExpired { time, next_update } => {
                RefusalReason::RevocationListExpired { since: stamp(next_update), now: stamp(time) }
            }
            other => RefusalReason::Unacceptable { why: other.to_string() },
        }
    }
}

/// Certificate times fit into a timestamp: both end with the year 9999.
fn stamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(Timestamp::MAX)
}

/// The verifier that rustls asks, on either side.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    pub(crate) trust: Arc<Trust>,
    /// The host that is called; none on the side that answers.
    pub(crate) host: Option<HostName>,
}

impl PeerVerifier {
    fn check(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        self.trust.judge(certificate, self.host.as_ref(), now).map(|_| ()).map_err(|refusal| (*refusal).into())
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

impl ServerCertVerifier for PeerVerifier {
    /// The server's network name is not looked at: a host is known by the name in its certificate alone.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}
