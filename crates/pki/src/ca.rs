//! The certificate authorities of a fleet.
//!
//! Purpose: make an authority, sign requests with it, and list revoked serials.
//! Place in the flow: `kfleet init` makes those of agents and operators, and `store/fleet.rs` signs requests with them;
//! the one of services is made when the first service needs it, and `service.rs` says what its leaves hold.
//! Not here: files, the clock (`now` is an argument), the decision who may have a certificate.
//!
//! Why two: agents trust only the operators' authority and operators only the agents'. Stolen agent keys, or even a
//! stolen agents' authority, can not command a host. The extended key usage says the same once more: agents get
//! `serverAuth` only, operators `clientAuth` only. Services have a third one, for what Kafka shows to the world shall never
//! be good for kfleet: no side of kfleet trusts it. All authorities may sign leaves only (path length 0).

use crate::certificate::{Serial, parse, validity};
use crate::identity::{Identity, IdentityError, Role, only_uri, shown, split};
use crate::key::{KeyError, KeyPair};
use crate::tls::provider;
use jiff::{SignedDuration, Timestamp};
use kfleet_model::FleetName;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, CertificateSigningRequestDer};
use std::fmt;
use std::time::Duration;
use x509_parser::prelude::{ASN1Time, FromDer, X509CertificationRequest};

/// How long an authority lives. There is no rotation of authorities yet, so it must outlast the hosts.
pub const AUTHORITY_YEARS: u16 = 10;
/// How long an agent's certificate lives while it is renewed by hand. With automatic renewal this becomes 24 h.
pub const AGENT_LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// How long an operator's certificate lives while it is renewed by hand. With automatic renewal this becomes 8 h.
pub const OPERATOR_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// How far certificates begin before they are made, so that a host with a slow clock accepts a fresh one.
pub const BACKDATE: Duration = Duration::from_secs(3_600);
/// The longest request that is read; a P-256 request has about 500 bytes.
const LONGEST_REQUEST: usize = 16 * 1024;

/// Which of the fleet's authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthorityKind {
    /// Signs agents; trusted by operators.
    Agents,
    /// Signs operators; trusted by agents.
    Operators,
    /// Signs Kafka's and ZooKeeper's nodes; trusted by those and their clients, and by nothing of kfleet's.
    Services,
}

impl AuthorityKind {
    /// The authority that signs holders of a role.
    #[must_use]
    pub fn of(role: Role) -> Self {
        match role {
            Role::Agent => Self::Agents,
            Role::Operator => Self::Operators,
        }
    }

    /// The role of the holders that it signs; services have none.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Agents => Some(Role::Agent),
            Self::Operators => Some(Role::Operator),
            Self::Services => None,
        }
    }

    /// The word in file names and in the authority's own URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Operators => "operators",
            Self::Services => "services",
        }
    }

    /// A broker answers its clients and calls other brokers with the same certificate.
    fn key_usages(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::Agents => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Self::Operators => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Self::Services => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

impl fmt::Display for AuthorityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The public half of an authority: what the other side trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityCert {
    /// Its fleet.
    pub fleet: FleetName,
    /// What it signs.
    pub kind: AuthorityKind,
    /// The first second of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
    /// Its name as people read it.
    pub name: String,
    der: CertificateDer<'static>,
}

/// Why an authority can not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The text holds no certificate.
    #[error("it holds no readable certificate in PEM form")]
    Unreadable,
    /// The certificate can not be read, or has not one name.
    #[error("the authority's certificate is not acceptable")]
    Name(#[from] IdentityError),
    /// The certificate is not of one of kfleet's authorities.
    #[error("{found} is not the certificate of an authority of kfleet")]
    NotAnAuthority {
        /// The name that it carries.
        found: String,
    },
    /// The key is not the one in the certificate.
    #[error("the private key does not belong to the {kind} authority of fleet {fleet}")]
    KeyMismatch {
        /// The fleet of the certificate.
        fleet: FleetName,
        /// The kind of the certificate.
        kind: AuthorityKind,
    },
    /// The key can not be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The time is outside of what a certificate can hold.
    #[error("the time {0} can not stand in a certificate")]
    Time(Timestamp),
    /// The cryptography library failed.
    #[error("the cryptography library failed")]
    Crypto(#[from] rcgen::Error),
}

impl AuthorityCert {
    /// Reads one authority's certificate.
    ///
    /// # Errors
    /// When it is not a certificate of one of kfleet's authorities.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, AuthorityError> {
        let certificate = parse(&der)?;
        let uri = only_uri(&certificate)?;
        let not_ours = || AuthorityError::NotAnAuthority { found: shown(uri) };
        let (fleet, kind) = match split(uri).ok_or_else(not_ours)? {
            (fleet, "authority", "agents") => (fleet, AuthorityKind::Agents),
            (fleet, "authority", "operators") => (fleet, AuthorityKind::Operators),
            (fleet, "authority", "services") => (fleet, AuthorityKind::Services),
            _ => return Err(not_ours()),
        };
        let fleet = FleetName::new(fleet).map_err(|_| not_ours())?;
        if !certificate.is_ca() {
            return Err(not_ours());
        }
        let (not_before, not_after) = validity(&certificate)?;
        let name = shown(&certificate.subject().to_string());
        Ok(Self { fleet, kind, not_before, not_after, name, der })
    }

    /// Reads the first authority certificate of a PEM text: the one that signs now.
    ///
    /// # Errors
    /// When there is none, or it is not of kfleet.
    pub fn first_from_pem(text: &str) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| AuthorityError::Unreadable)?;
        Self::from_der(der)
    }

    /// Reads all authority certificates of a PEM text: two while one follows the other.
    ///
    /// # Errors
    /// When there is none, or one of them is not of kfleet.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, AuthorityError> {
        let ders: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| AuthorityError::Unreadable)?;
        if ders.is_empty() {
            return Err(AuthorityError::Unreadable);
        }
        ders.into_iter().map(Self::from_der).collect()
    }

    /// The certificate's bytes.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

/// An authority with its key: it can sign.
#[derive(Debug)]
pub struct Authority {
    certificate: AuthorityCert,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that an authority has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate in PEM form.
    pub pem: String,
    /// The holder.
    pub identity: Identity,
    /// Its serial number.
    pub serial: Serial,
    /// The first second of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

/// What every signed leaf has.
pub(crate) struct SignedLeaf {
    pub(crate) pem: String,
    pub(crate) serial: Serial,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The text is no certificate request.
    #[error("it is not a readable certificate request (PEM, \"BEGIN CERTIFICATE REQUEST\", at most 16 KiB)")]
    Unreadable,
    /// The request was not signed by the key that it carries.
    #[error("the certificate request is damaged or forged: its signature does not fit its own key")]
    BadSignature,
    /// The key is of another kind than kfleet uses.
    #[error("the certificate request carries a key that is not ECDSA P-256")]
    WrongAlgorithm,
    /// The holder is not one that this authority may sign.
    #[error("the {kind} authority of fleet {fleet} does not sign {identity}")]
    NotOurs {
        /// This authority's fleet.
        fleet: FleetName,
        /// This authority's kind.
        kind: AuthorityKind,
        /// The wanted identity.
        identity: Identity,
    },
    /// Only the authority of services signs services.
    #[error("the {kind} authority of fleet {fleet} does not sign services")]
    NotForServices {
        /// This authority's fleet.
        fleet: FleetName,
        /// This authority's kind.
        kind: AuthorityKind,
    },
    /// The authority's own validity has not begun or would end first.
    #[error(
        "the {kind} authority of fleet {fleet} is valid from {not_before} to {not_after}; a certificate until {wanted} does not fit"
    )]
    OutsideAuthority {
        /// This authority's fleet.
        fleet: FleetName,
        /// This authority's kind.
        kind: AuthorityKind,
        /// The authority's first second.
        not_before: Timestamp,
        /// The authority's last second.
        not_after: Timestamp,
        /// The last second that was asked for.
        wanted: Timestamp,
    },
    /// The time is outside of what a certificate can hold.
    #[error("a certificate of {lifetime:?} from {now} on can not be made")]
    Time {
        /// The time of signing.
        now: Timestamp,
        /// The lifetime that was asked for.
        lifetime: Duration,
    },
    /// The system's random source failed, so no serial number could be drawn.
    #[error("the system's random source failed")]
    Random,
    /// The cryptography library failed.
    #[error("the cryptography library failed")]
    Crypto(#[from] rcgen::Error),
}

impl Authority {
    /// Makes a new authority with a new key.
    ///
    /// # Errors
    /// When the time can not stand in a certificate, or the random source fails.
    pub fn create(fleet: &FleetName, kind: AuthorityKind, now: Timestamp, years: u16) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let time = |time: Option<Timestamp>| time.and_then(asn1).ok_or(AuthorityError::Time(now));
        let mut params = CertificateParams::default();
        params.not_before = time(now.checked_sub(BACKDATE).ok())?.to_datetime();
        params.not_after = time(years_after(now, years))?.to_datetime();
        params.serial_number = Some(new_serial().map_err(|_| KeyError::Crypto(rcgen::Error::RingUnspecified))?);
        params.distinguished_name = authority_name(fleet, kind, &params.key_identifier(&key));
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{fleet}/authority/{kind}").try_into()?)];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = kind.key_usages();
        let certificate = params.self_signed(&key)?;
        Self::assemble(certificate.pem(), certificate.der().clone(), key)
    }

    /// Reads an authority from its two PEM texts.
    ///
    /// # Errors
    /// When either can not be read, or they do not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| AuthorityError::Unreadable)?;
        Self::assemble(certificate.to_owned(), der, KeyPair::from_pem(key)?)
    }

    fn assemble(pem: String, der: CertificateDer<'static>, key: KeyPair) -> Result<Self, AuthorityError> {
        let certificate = AuthorityCert::from_der(der)?;
        if parse(&certificate.der)?.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch { fleet: certificate.fleet, kind: certificate.kind });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der, key)?;
        Ok(Self { certificate, pem, issuer })
    }

    /// The public half.
    #[must_use]
    pub fn certificate(&self) -> &AuthorityCert {
        &self.certificate
    }

    /// The public half as PEM text.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The key, for writing it to its file.
    #[must_use]
    pub fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// Signs a request for a holder.
    ///
    /// Takes nothing but the public key from the request. The name, usage and lifetime are the caller's: a host can
    /// not ask for a name of its choice.
    ///
    /// # Errors
    /// When the request can not be read or its own signature does not fit; when the holder is of another fleet or
    /// role; when the certificate would outlive the authority.
    pub fn sign(
        &self,
        request_pem: &str,
        identity: &Identity,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<IssuedCertificate, SignError> {
        let (fleet, kind) = (&self.certificate.fleet, self.certificate.kind);
        if identity.fleet != *fleet || Some(identity.role()) != kind.role() {
            return Err(SignError::NotOurs { fleet: fleet.clone(), kind, identity: identity.clone() });
        }
        // The subject stays empty: a second place for a name would be a second identity.
        let names = vec![SanType::URI(identity.uri().try_into()?)];
        let leaf = self.sign_leaf(request_pem, DistinguishedName::new(), names, now, lifetime)?;
        let SignedLeaf { pem, serial, not_before, not_after } = leaf;
        Ok(IssuedCertificate { pem, identity: identity.clone(), serial, not_before, not_after })
    }

    /// Signs the public key of a request under the given names.
    pub(crate) fn sign_leaf(
        &self,
        request_pem: &str,
        subject: DistinguishedName,
        names: Vec<SanType>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<SignedLeaf, SignError> {
        let key = requested_key(request_pem)?;
        let (not_before, not_after) = self.leaf_validity(now, lifetime)?;
        let unfit = || SignError::Time { now, lifetime };
        let serial = new_serial()?;
        let mut params = CertificateParams::default();
        params.not_before = asn1(not_before).ok_or_else(unfit)?.to_datetime();
        params.not_after = asn1(not_after).ok_or_else(unfit)?.to_datetime();
        params.serial_number = Some(serial.clone());
        params.distinguished_name = subject;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.certificate.kind.key_usages();
        params.use_authority_key_identifier_extension = true;
        let pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(SignedLeaf { pem, serial: Serial::from_bytes(&serial.to_bytes()), not_before, not_after })
    }

    /// First and last second of a new certificate, inside the authority's own.
    fn leaf_validity(&self, now: Timestamp, lifetime: Duration) -> Result<(Timestamp, Timestamp), SignError> {
        let unfit = || SignError::Time { now, lifetime };
        let whole = Timestamp::from_second(now.as_second()).map_err(|_| unfit())?;
        let lifetime_signed = SignedDuration::try_from(lifetime).map_err(|_| unfit())?;
        let wanted = whole.checked_add(lifetime_signed).map_err(|_| unfit())?;
        let begin = whole.checked_sub(BACKDATE).map_err(|_| unfit())?.max(self.certificate.not_before);
        if begin > whole || wanted > self.certificate.not_after || lifetime < Duration::from_secs(1) {
            let AuthorityCert { fleet, kind, not_before, not_after, .. } = self.certificate.clone();
            return Err(SignError::OutsideAuthority { fleet, kind, not_before, not_after, wanted });
        }
        Ok((begin, wanted))
    }

    /// Makes a revocation list.
    ///
    /// `number` must grow with each list; `next_update` is the list's last second, after which peers that enforce it
    /// let nobody in.
    ///
    /// # Errors
    /// When the times do not fit or the cryptography library fails.
    pub fn revocation_list(
        &self,
        revoked: &[(Serial, Timestamp)],
        number: u64,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<CertificateRevocationListDer<'static>, AuthorityError> {
        let time = |time| asn1(time).map(|time| time.to_datetime()).ok_or(AuthorityError::Time(time));
        let revoked_certs = revoked
            .iter()
            .map(|(serial, at)| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(serial.as_bytes()),
                    revocation_time: time(*at)?,
                    reason_code: None,
                    invalidity_date: None,
                })
            })
            .collect::<Result<_, AuthorityError>>()?;
        let params = CertificateRevocationListParams {
            this_update: time(now)?,
            next_update: time(next_update)?,
            crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.into())
    }
}

/// The public key of a request, once the request proves to hold the private one.
pub(crate) fn requested_key(pem: &str) -> Result<SubjectPublicKeyInfo, SignError> {
    if pem.len() > LONGEST_REQUEST {
        return Err(SignError::Unreadable);
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| SignError::Unreadable)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| SignError::Unreadable)?;
    if !rest.is_empty() {
        return Err(SignError::Unreadable);
    }
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|_| SignError::WrongAlgorithm)?;
    if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(SignError::WrongAlgorithm);
    }
    request.verify_signature().map_err(|_| SignError::BadSignature)?;
    Ok(key)
}

/// A random serial number of 16 bytes, positive and of constant length.
fn new_serial() -> Result<SerialNumber, SignError> {
    let mut bytes = [0u8; 16];
    provider().secure_random.fill(&mut bytes).map_err(|_| SignError::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The authority's name for people. The key's id makes it differ from an earlier authority of a fleet of that name.
fn authority_name(fleet: &FleetName, kind: AuthorityKind, key_id: &[u8]) -> DistinguishedName {
    let id: String = key_id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut name = DistinguishedName::new();
    // X.509 bounds both parts at 64 characters; fleet names may be longer.
    name.push(DnType::OrganizationName, fleet.as_str().chars().take(64).collect::<String>());
    name.push(DnType::CommonName, format!("kfleet {kind} authority {id}"));
    name
}

fn years_after(now: Timestamp, years: u16) -> Option<Timestamp> {
    let days = i64::from(years) * 365 + i64::from(years) / 4;
    now.checked_add(SignedDuration::from_hours(days * 24)).ok()
}

fn asn1(time: Timestamp) -> Option<ASN1Time> {
    // Years outside of four digits have no form in a certificate.
    let year = time.to_zoned(jiff::tz::TimeZone::UTC).year();
    (1950..=9999).contains(&year).then(|| ASN1Time::from_timestamp(time.as_second()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::LeafCertificate;

    fn now() -> Timestamp {
        "2026-11-23T06:00:00Z".parse().unwrap()
    }

    fn fleet() -> FleetName {
        FleetName::new("lab").unwrap()
    }

    fn agent(fleet: &str, host: &str) -> Identity {
        format!("spiffe://{fleet}/agent/{host}").parse().unwrap()
    }

    fn agents() -> Authority {
        Authority::create(&fleet(), AuthorityKind::Agents, now(), 10).unwrap()
    }

    #[test]
    fn a_signed_certificate_carries_what_the_caller_says_and_the_requests_key() {
        let (authority, key) = (agents(), KeyPair::generate().unwrap());
        let request = key.request(&agent("elsewhere", "liar")).unwrap();
        let issued = authority.sign(&request, &agent("lab", "kafka-1"), now(), AGENT_LIFETIME).unwrap();
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        let leaf = LeafCertificate::read(&der).unwrap();
        assert_eq!(leaf.identity, agent("lab", "kafka-1"));
        assert_eq!((leaf.not_before, leaf.not_after), (issued.not_before, issued.not_after));
        assert_eq!(leaf.not_before, now() - SignedDuration::from_hours(1));
        assert_eq!(leaf.not_after, now() + SignedDuration::from_hours(90 * 24));
        assert_eq!(leaf.serial, issued.serial);
        let certificate = parse(&der).unwrap();
        assert_eq!(certificate.public_key().raw, key.subject_public_key_info());
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        assert!(!certificate.is_ca());
        assert_eq!(certificate.subject().iter().count(), 0);
    }

    #[test]
    fn two_certificates_of_one_key_have_different_serials() {
        let (authority, key) = (agents(), KeyPair::generate().unwrap());
        let request = key.request(&agent("lab", "h")).unwrap();
        let sign = || authority.sign(&request, &agent("lab", "h"), now(), AGENT_LIFETIME).unwrap().serial;
        assert_ne!(sign(), sign());
    }

    #[test]
    fn requests_that_prove_nothing_are_refused() {
        let authority = agents();
        let good = KeyPair::generate().unwrap().request(&agent("lab", "h")).unwrap();
        let sign = |request: &str| authority.sign(request, &agent("lab", "h"), now(), AGENT_LIFETIME);
        assert!(sign(&good).is_ok());
        assert!(matches!(sign("nonsense"), Err(SignError::Unreadable)));
        assert!(matches!(sign(&(good.clone() + &" ".repeat(LONGEST_REQUEST))), Err(SignError::Unreadable)));
        assert!(matches!(sign(authority.certificate_pem()), Err(SignError::Unreadable)));
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let other = CertificateParams::default().serialize_request(&p384).unwrap().pem().unwrap();
        assert!(matches!(sign(&other), Err(SignError::WrongAlgorithm)));
        assert!(matches!(sign(&forged()), Err(SignError::BadSignature)));
    }

    /// A request for somebody else's key, signed by our own.
    fn forged() -> String {
        struct Thief(KeyPair, KeyPair);
        impl PublicKeyData for Thief {
            fn der_bytes(&self) -> &[u8] {
                self.0.der_bytes()
            }
            fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
                self.0.algorithm()
            }
        }
        impl rcgen::SigningKey for Thief {
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
                rcgen::SigningKey::sign(&self.1, message)
            }
        }
        let thief = Thief(KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        CertificateParams::default().serialize_request(&thief).unwrap().pem().unwrap()
    }

    #[test]
    fn an_authority_signs_only_its_own_fleet_role_and_time() {
        let authority = agents();
        let request = KeyPair::generate().unwrap().request(&agent("lab", "h")).unwrap();
        let operator: Identity = "spiffe://lab/operator/li".parse().unwrap();
        for identity in [agent("prod", "h"), operator] {
            let result = authority.sign(&request, &identity, now(), AGENT_LIFETIME);
            assert!(matches!(result, Err(SignError::NotOurs { .. })), "{identity}");
        }
        let hour = SignedDuration::from_hours(1);
        let years = |n: i64| SignedDuration::from_hours(24 * 365 * n);
        for (at, lifetime) in [
            (now() + years(11), AGENT_LIFETIME),
            (now() - years(1), AGENT_LIFETIME),
            (now(), Duration::from_secs(11 * 365 * 86_400)),
            (now(), Duration::ZERO),
        ] {
            let result = authority.sign(&request, &agent("lab", "h"), at, lifetime);
            assert!(matches!(result, Err(SignError::OutsideAuthority { .. })), "{at} {lifetime:?}");
        }
        let endless = authority.sign(&request, &agent("lab", "h"), now(), Duration::MAX);
        assert!(matches!(endless, Err(SignError::Time { .. })));
        assert!(authority.sign(&request, &agent("lab", "h"), now() - hour, AGENT_LIFETIME).is_ok());
    }

    #[test]
    fn an_authority_is_read_back_only_with_its_own_key() {
        let (one, two) = (agents(), agents());
        let again = Authority::from_pem(one.certificate_pem(), &one.key().to_pem()).unwrap();
        assert_eq!(again.certificate(), one.certificate());
        let mixed = Authority::from_pem(one.certificate_pem(), &two.key().to_pem());
        assert!(matches!(mixed, Err(AuthorityError::KeyMismatch { .. })));
        assert_ne!(one.certificate().name, two.certificate().name, "a fleet made again must be told apart");
    }

    #[test]
    fn a_leaf_is_not_taken_for_an_authority() {
        let authority = agents();
        let request = KeyPair::generate().unwrap().request(&agent("lab", "h")).unwrap();
        let leaf = authority.sign(&request, &agent("lab", "h"), now(), AGENT_LIFETIME).unwrap();
        assert!(matches!(AuthorityCert::all_from_pem(&leaf.pem), Err(AuthorityError::NotAnAuthority { .. })));
        assert!(matches!(AuthorityCert::all_from_pem(""), Err(AuthorityError::Unreadable)));
    }

    /// Some bits of the frame around the signed part carry no meaning to the parser; changing those may pass, since it
    /// changes nothing that is used.
    #[test]
    fn no_changed_bit_of_a_request_gets_other_contents_signed() {
        let pem = KeyPair::generate().unwrap().request(&agent("lab", "h")).unwrap();
        let good = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = requested_key(&pem).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&good).unwrap();
        let signed = request.certification_request_info.raw;
        let start = good.windows(signed.len()).position(|window| window == signed).unwrap();
        for bit in 0..good.len() * 8 {
            let mut contents = good.to_vec();
            contents[bit / 8] ^= 1 << (bit % 8);
            match requested_key(&encode(&contents)) {
                Ok(found) => {
                    assert_eq!(found, key, "bit {bit}");
                    assert!(!(start..start + signed.len()).contains(&(bit / 8)), "bit {bit} is signed");
                }
                Err(SignError::Unreadable | SignError::WrongAlgorithm | SignError::BadSignature) => {}
                Err(other) => panic!("bit {bit}: {other:?}"),
            }
        }
        assert_eq!(requested_key(&encode(&good)).unwrap(), key, "the test's own encoding is right");
    }

    fn encode(der: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = "-----BEGIN CERTIFICATE REQUEST-----\n".to_owned();
        for line in der.chunks(48) {
            for three in line.chunks(3) {
                let bits =
                    three.iter().enumerate().fold(0u32, |sum, (at, byte)| sum | u32::from(*byte) << (16 - 8 * at));
                for digit in 0..4usize {
                    let six = (bits >> (18 - 6 * digit)) as usize & 63;
                    text.push(if digit > three.len() { '=' } else { char::from(DIGITS[six]) });
                }
            }
            text.push('\n');
        }
        text + "-----END CERTIFICATE REQUEST-----\n"
    }
}
