//! Certificates of services: what a Kafka or ZooKeeper node shows to its clients and to the other nodes.
//!
//! Purpose: the names in such a certificate, its signing, and the judgement whether an installed one is due for a new one.
//! Place in the flow: the host's agent makes a key and a request, [`crate::FleetStore::issue_service`] signs it by
//! [`Authority::sign_service`], the agent checks what comes back with [`keystore`] and puts it in place.
//! Not here: files, identities of kfleet. A service's certificate has DNS names and addresses and no name of kfleet's, so
//! that neither agents nor operators could take it for one of theirs even if they trusted its authority.

use crate::ca::{Authority, AuthorityCert, AuthorityError, AuthorityKind, SignError};
use crate::certificate::{Serial, parse, validity};
use crate::identity::IdentityError;
use crate::key::{KeyError, KeyPair};
use crate::verify::ALGORITHMS;
use jiff::Timestamp;
use kfleet_model::ids::NameError;
use kfleet_model::{HostName, ServiceName};
use rcgen::{DistinguishedName, DnType, PublicKeyData, SanType};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, DnsName, UnixTime};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{GeneralName, X509Certificate};
use zeroize::Zeroizing;

/// How long a service's certificate lives. A node takes a new one when it is restarted, which is a roll of the cluster: a
/// year, of which a third is left when it is renewed, gives four months to find the time for one.
pub const SERVICE_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// A certificate is renewed when less than one part in so many of its life is left.
const RENEWED_IN_LAST: i64 = 3;
/// X.509's bound of each part of a subject (RFC 5280, appendix A.1: `ub-common-name`, `ub-organization-name`).
const LONGEST_PART: usize = 64;
/// Far more than a node has, and far less than a handshake would carry.
const MOST_NAMES: usize = 64;

/// Whose certificate it is, and under which names the node is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNames {
    service: ServiceName,
    host: HostName,
    dns: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
}

/// Why names can not stand in a service's certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceNamesError {
    /// The service's or host's own name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Clients compare DNS names; this is none, or one for many hosts.
    #[error("{0:?} is no DNS name of one host")]
    Dns(String),
    /// Not an address.
    #[error("{0:?} is no IP address")]
    Ip(String),
    /// Nobody could call the node.
    #[error("neither a DNS name nor an address is given")]
    None,
    /// More than a certificate shall carry.
    #[error("{0} names are more than {MOST_NAMES}")]
    TooMany(usize),
}

impl ServiceNames {
    /// Checks the names and takes them; order and repetition do not count.
    ///
    /// # Errors
    /// When one of them has not its form, or there is none.
    pub fn new(
        service: &str,
        host: &str,
        dns: impl IntoIterator<Item = impl AsRef<str>>,
        ips: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ServiceNamesError> {
        let name = |text: &str| {
            let known = DnsName::try_from(text).map(|name| name.as_ref().to_ascii_lowercase());
            known.map_err(|_| ServiceNamesError::Dns(text.to_owned()))
        };
        let dns = dns.into_iter().map(|text| name(text.as_ref())).collect::<Result<BTreeSet<_>, _>>()?;
        let address = |text: &str| text.parse().map_err(|_| ServiceNamesError::Ip(text.to_owned()));
        let ips = ips.into_iter().map(|text| address(text.as_ref())).collect::<Result<BTreeSet<_>, _>>()?;
        match dns.len() + ips.len() {
            0 => Err(ServiceNamesError::None),
            many if many > MOST_NAMES => Err(ServiceNamesError::TooMany(many)),
            _ => Ok(Self { service: ServiceName::new(service)?, host: HostName::new(host)?, dns, ips }),
        }
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The host, as the inventory names it.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// DNS names and addresses as text, in order.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.dns.iter().cloned().chain(self.ips.iter().map(ToString::to_string)).collect()
    }

    /// `CN=host,OU=service,O=fleet`, the principal of the node where a listener knows its peers by certificate.
    fn subject(&self, fleet: &str) -> DistinguishedName {
        let parts = [
            (DnType::OrganizationName, fleet),
            (DnType::OrganizationalUnitName, self.service.as_str()),
            (DnType::CommonName, self.host.as_str()),
        ];
        let mut subject = DistinguishedName::new();
        // A name cut short would be another host's.
        for (kind, text) in parts.into_iter().filter(|(_, text)| text.len() <= LONGEST_PART) {
            subject.push(kind, text);
        }
        subject
    }
}

impl fmt::Display for ServiceNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} ({})", self.service, self.host, self.all().join(", "))
    }
}

/// A service's certificate that was just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedService {
    /// The certificate in PEM form.
    pub pem: String,
    /// Its serial number.
    pub serial: Serial,
    /// The first second of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

impl Authority {
    /// Signs a service's request. Nothing but the public key is taken from it: a host can not ask for a name of its choice.
    ///
    /// # Errors
    /// When this is not the authority of services, the request can not be read or is forged, or the certificate would
    /// outlive the authority.
    pub fn sign_service(
        &self,
        request_pem: &str,
        names: &ServiceNames,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<IssuedService, SignError> {
        let AuthorityCert { fleet, kind, .. } = self.certificate();
        if *kind != AuthorityKind::Services {
            return Err(SignError::NotForServices { fleet: fleet.clone(), kind: *kind });
        }
        let dns = names.dns.iter().map(|name| name.as_str().try_into().map(SanType::DnsName));
        let ips = names.ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
        let all = dns.chain(ips).collect::<Result<Vec<_>, rcgen::Error>>()?;
        let leaf = self.sign_leaf(request_pem, names.subject(fleet.as_str()), all, now, lifetime)?;
        Ok(IssuedService { pem: leaf.pem, serial: leaf.serial, not_before: leaf.not_before, not_after: leaf.not_after })
    }
}

/// Why a node shall get a new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// There is none.
    Missing,
    /// What is there can not be read, or breaks a rule of X.509.
    Unusable(String),
    /// It does not belong to the key that it stands beside.
    OtherKey,
    /// The fleet's authority of services did not sign it.
    OtherAuthority,
    /// It carries other names.
    OtherNames {
        /// Those that it carries.
        found: Vec<String>,
        /// Those that it shall carry.
        wanted: Vec<String>,
    },
    /// Less than a third of its life is left, or nothing.
    Late {
        /// Its last second.
        not_after: Timestamp,
    },
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no certificate"),
            Self::Unusable(why) => write!(f, "the certificate can not be used: {why}"),
            Self::OtherKey => f.write_str("the certificate does not belong to its key"),
            Self::OtherAuthority => f.write_str("the fleet's authority of services did not sign the certificate"),
            Self::OtherNames { found, wanted } => {
                write!(f, "the certificate names {} and not {}", found.join(", "), wanted.join(", "))
            }
            Self::Late { not_after } => {
                write!(f, "the certificate ends on {not_after}, with less than a third of its life left")
            }
        }
    }
}

/// Why nothing can be said about a service's certificate, or it can not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The authority's certificate can not be read, or is not of services.
    #[error("the authority of services can not be used")]
    Authority(#[from] AuthorityError),
    /// Another authority of kfleet's stands in its place.
    #[error("the authority of services is wanted, and {0} was given")]
    OtherAuthority(String),
    /// The key can not be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate would have to be replaced at once.
    #[error("the new certificate is not for this node: {0}")]
    NotForThisNode(Due),
}

/// Whether a node needs a new certificate, and why. `keystore` is the PEM text with key and certificate that it uses.
///
/// # Errors
/// When the authority can not be used.
pub fn due(
    keystore: Option<&str>,
    authority_pem: &str,
    names: &ServiceNames,
    now: Timestamp,
) -> Result<Option<Due>, ServiceError> {
    let authority = AuthorityCert::first_from_pem(authority_pem)?;
    if authority.kind != AuthorityKind::Services {
        return Err(ServiceError::OtherAuthority(authority.name));
    }
    let Some(keystore) = keystore else { return Ok(Some(Due::Missing)) };
    Ok(judge(keystore, &authority, names, now).err())
}

/// The PEM text that a node uses, of its key and the certificate that was made for it, once they are proven to fit.
///
/// # Errors
/// When the certificate is not for this key, these names, this authority or this time.
pub fn keystore(
    key_pem: &str,
    certificate_pem: &str,
    authority_pem: &str,
    names: &ServiceNames,
    now: Timestamp,
) -> Result<Zeroizing<String>, ServiceError> {
    let key = KeyPair::from_pem(key_pem)?.to_pem();
    let text = Zeroizing::new(format!("{}{certificate_pem}", *key));
    match due(Some(&text), authority_pem, names, now)? {
        None => Ok(text),
        Some(due) => Err(ServiceError::NotForThisNode(due)),
    }
}

/// Whether a certificate that was signed earlier answers a request of now: it is of the request's key, and not due.
pub(crate) fn answers(
    certificate_pem: &str,
    key: &[u8],
    authority: &AuthorityCert,
    names: &ServiceNames,
    now: Timestamp,
) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(certificate_pem.as_bytes()) else { return false };
    let of_key = parse(&der).is_ok_and(|certificate| certificate.public_key().raw == key);
    of_key && judge_certificate(&der, authority, names, now).is_ok()
}

fn judge(keystore: &str, authority: &AuthorityCert, names: &ServiceNames, now: Timestamp) -> Result<(), Due> {
    let der = CertificateDer::from_pem_slice(keystore.as_bytes())
        .map_err(|_| Due::Unusable("it holds no certificate in PEM form".to_owned()))?;
    // An operator's own key may be of another kind; it is none of the fleet's then.
    let key = KeyPair::from_pem(keystore).map_err(|error| Due::Unusable(error.to_string()))?;
    if parse(&der).map_err(|error| unusable(&error))?.public_key().raw != key.subject_public_key_info() {
        return Err(Due::OtherKey);
    }
    judge_certificate(&der, authority, names, now)
}

fn unusable(error: &IdentityError) -> Due {
    Due::Unusable(error.to_string())
}

fn judge_certificate(
    der: &CertificateDer<'_>,
    authority: &AuthorityCert,
    names: &ServiceNames,
    now: Timestamp,
) -> Result<(), Due> {
    let certificate = parse(der).map_err(|error| unusable(&error))?;
    let (not_before, not_after) = validity(&certificate).map_err(|error| unusable(&error))?;
    signed_by(der, authority, not_before, not_after, now)?;
    let (found, wanted) = (carried(&certificate), names.all().into_iter().collect::<BTreeSet<_>>());
    if found != wanted {
        let (found, wanted) = (found.into_iter().collect(), wanted.into_iter().collect());
        return Err(Due::OtherNames { found, wanted });
    }
    let (left, life) = (not_after.as_second() - now.as_second(), not_after.as_second() - not_before.as_second());
    if left.saturating_mul(RENEWED_IN_LAST) < life { Err(Due::Late { not_after }) } else { Ok(()) }
}

fn signed_by(
    der: &CertificateDer<'_>,
    authority: &AuthorityCert,
    not_before: Timestamp,
    not_after: Timestamp,
    now: Timestamp,
) -> Result<(), Due> {
    use webpki::Error as E;
    let anchor = webpki::anchor_from_trusted_cert(authority.der()).map_err(|error| Due::Unusable(error.to_string()))?;
    // The end is judged by how much of the life is left; here it shall not hide who signed.
    let seconds = now.clamp(not_before, not_after).as_second();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    if now < not_before {
        return Err(Due::Unusable(format!(
            "it is not valid before {not_before}, and now is {now} by this host's clock"
        )));
    }
    let checked = EndEntityCert::try_from(der).and_then(|leaf| {
        leaf.verify_for_usage(ALGORITHMS.all, &[anchor], &[], time, KeyUsage::server_auth(), None, None).map(|_| ())
    });
    #[expect(clippy::wildcard_enum_match_arm, reason = "webpki::Error is open; the rest keeps its own text")]
    checked.map_err(|error| match error {
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => Due::OtherAuthority,
        // A key of a kind that the fleet does not sign with.
        E::UnsupportedSignatureAlgorithmContext(_) | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            Due::OtherAuthority
        }
        other => Due::Unusable(other.to_string()),
    })
}

/// DNS names and addresses of a certificate.
#[expect(clippy::wildcard_enum_match_arm, reason = "names of another kind are shown as what they are not: ours")]
fn carried(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    let names = extension.value.general_names.iter();
    names
        .map(|name| match name {
            GeneralName::DNSName(dns) => dns.to_ascii_lowercase(),
            GeneralName::IPAddress(bytes) => {
                address(bytes).map_or_else(|| "an address of a wrong length".to_owned(), |ip| ip.to_string())
            }
            other => crate::identity::describe(other),
        })
        .collect()
}

#[cfg(test)]
#[path = "service/tests.rs"]
mod tests;
