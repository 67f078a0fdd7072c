//! Why a peer's certificate is not accepted.
//!
//! Purpose: the reasons as values with the facts inside, one text and one hint for each.
//! Place in the flow: the verifiers make them; they travel inside [`rustls::Error`] to the listener or caller, which
//! logs them and keeps them in its own error.
//! Not here: what goes to the refused side. That is one TLS alert, the same for every reason, so that a stranger
//! learns nothing from it.

use crate::certificate::Serial;
use crate::identity::{IdentityError, Role};
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName};
use rustls::{CertificateError, OtherError};
use std::fmt;
use std::sync::Arc;

/// A refused certificate: the reason, and what the certificate claimed to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (presented: {presented})")]
pub struct Refusal {
    /// The first check that failed.
    pub reason: RefusalReason,
    /// What the certificate says of itself. Not to be believed; it helps to find the machine that sent it.
    pub presented: Presented,
}

/// The claims of a certificate that was not accepted, made safe to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presented {
    /// Its names, of any kind, at most four.
    pub names: Vec<String>,
    /// Its issuer's name.
    pub issuer: Option<String>,
    /// Its serial number.
    pub serial: Option<Serial>,
}

impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(issuer), Some(serial)) = (&self.issuer, &self.serial) else {
            return f.write_str("no readable certificate");
        };
        let names = if self.names.is_empty() { "no name".to_owned() } else { self.names.join(", ") };
        write!(f, "{names}, serial {serial}, issuer {issuer}")
    }
}

/// The checks, in the order in which they are made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// The last second of the certificate has passed.
    #[error("the certificate expired on {since}, {} before now, {now}, by this machine's clock", apart(*since, *now))]
    Expired {
        /// The certificate's last second.
        since: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// The first second of the certificate has not come.
    #[error("the certificate is not valid before {from}, {} after now, {now}, by this machine's clock", apart(*now, *from))]
    NotYetValid {
        /// The certificate's first second.
        from: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// The certificate was made for the other direction, or names a holder of the other role.
    #[error("the certificate is not one of an {expected}, which this side of the connection wants")]
    WrongRole {
        /// The role that was wanted.
        expected: Role,
    },
    /// None of the authorities that we trust for this role has signed it.
    #[error("the certificate was not signed by an authority that this side trusts ({})", trusted.join("; "))]
    UnknownAuthority {
        /// The names of the trusted authorities.
        trusted: Vec<String>,
    },
    /// The certificate's names are not what kfleet makes: none, several, or outside the grammar.
    #[error("{0}")]
    Name(#[from] IdentityError),
    /// It belongs to another fleet.
    #[error("the certificate is of fleet {found}, and this side belongs to fleet {expected}")]
    OtherFleet {
        /// Our fleet.
        expected: FleetName,
        /// The fleet in the certificate.
        found: FleetName,
    },
    /// Another host than the one that was called has answered.
    #[error("host {found} answered where host {expected} was called")]
    OtherHost {
        /// The host that was called.
        expected: HostName,
        /// The host in the certificate.
        found: HostName,
    },
    /// Its serial number is on the revocation list.
    #[error("the certificate has been revoked")]
    Revoked,
    /// The revocation list is too old, so nobody can be let in by it.
    #[error("the certificate revocation list ended on {since}, and now is {now} by this machine's clock")]
    RevocationListExpired {
        /// The list's last second.
        since: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// There are revocation lists, but none is of the certificate's authority.
    #[error("no revocation list covers the certificate")]
    RevocationUnknown,
    /// Anything else that the X.509 rules forbid.
    #[error("the certificate is not acceptable: {why}")]
    Unacceptable {
        /// The rule, in the words of the certificate library.
        why: String,
    },
}

impl RefusalReason {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Expired { .. } => {
                "if this machine's clock is right, issue a new certificate for the peer; else set the clock first"
            }
            Self::NotYetValid { .. } => {
                "compare the clocks of both machines: the certificate is new, or this machine's clock is behind"
            }
            Self::WrongRole { .. } => {
                "agents answer and operators call; check which certificate the peer's configuration points to"
            }
            Self::UnknownAuthority { .. } => {
                "the peer's certificate is of another fleet directory, or this side has an old authority file; issue the certificate again or install the current bundle"
            }
            Self::Name(_) => {
                "kfleet issues certificates with exactly one name; issue the certificate again with kfleet"
            }
            Self::OtherFleet { .. } => "use the operator certificate of the fleet that the host belongs to",
            Self::OtherHost { .. } => "check the host's address in the inventory: it leads to another host",
            Self::Revoked => "issue a new certificate if the holder shall be let in again",
            Self::RevocationListExpired { .. } | Self::RevocationUnknown => {
                "install a current revocation list of the fleet; until then nobody is let in"
            }
            Self::Unacceptable { .. } => "issue the certificate again with kfleet",
        }
    }
}

impl Refusal {
    /// The refusal inside a TLS error, when that is what it was.
    #[must_use]
    pub fn of(error: &rustls::Error) -> Option<&Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "rustls::Error is open; only one variant carries ours")]
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref(),
            _ => None,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.reason.hint()
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// The time between two instants in the two largest units that matter to a person.
fn apart(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_through_the_tls_error() {
        let refusal = Refusal { reason: RefusalReason::Revoked, presented: Presented::default() };
        assert_eq!(Refusal::of(&refusal.clone().into()), Some(&refusal));
        assert_eq!(Refusal::of(&rustls::Error::DecryptError), None);
    }

    #[test]
    fn spans_are_told_in_units_that_fit() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_061, "1 d 1 h"), (-5, "0 s")]
        {
            let from = Timestamp::from_second(1_000_000).unwrap();
            assert_eq!(apart(from, Timestamp::from_second(1_000_000 + seconds).unwrap()), text);
        }
    }
}
