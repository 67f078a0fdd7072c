//! The facts of a certificate that kfleet acts on.
//!
//! Purpose: serial, validity and identity of a leaf certificate, and what an unbelieved one claims to be.
//! Place in the flow: read after a handshake for [`crate::PeerInfo`], at loading for our own certificate, and at a
//! refusal for the log.
//! Not here: any check of signatures (see `verify.rs`).

use crate::identity::{Identity, IdentityError, describe, identity_in, shown};
use crate::refusal::Presented;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// A certificate's serial number: at most 20 bytes, written as lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Takes the big-endian bytes; leading zeros do not count.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Self(bytes[start..].to_vec())
    }

    /// The big-endian bytes without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not a serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a serial number: an even count of at most 40 hexadecimal digits is wanted")]
pub struct SerialError(String);

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let fail = || SerialError(shown(text));
        if text.is_empty()
            || text.len() > 40
            || !text.len().is_multiple_of(2)
            || !text.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Err(fail());
        }
        let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        Ok(Self::from_bytes(&pairs.collect::<Result<Vec<u8>, _>>().map_err(|_| fail())?))
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;
    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> String {
        serial.to_string()
    }
}

/// An agent's or operator's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafCertificate {
    /// Its only name.
    pub identity: Identity,
    /// Its serial number, by which it can be revoked.
    pub serial: Serial,
    /// The first second in which it is good.
    pub not_before: Timestamp,
    /// The last second in which it is good.
    pub not_after: Timestamp,
}

impl LeafCertificate {
    /// Reads the facts; believes nothing.
    ///
    /// # Errors
    /// As [`crate::identity_of`].
    pub fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = parse(der)?;
        let (not_before, not_after) = validity(&certificate)?;
        Ok(Self {
            identity: identity_in(&certificate)?,
            serial: Serial::from_bytes(certificate.raw_serial()),
            not_before,
            not_after,
        })
    }
}

/// The first and last second in which any certificate is good, whoever it names.
///
/// # Errors
/// When it is no certificate.
pub fn validity_of(der: &[u8]) -> Result<(Timestamp, Timestamp), IdentityError> {
    validity(&parse(der)?)
}

/// Parses exactly one certificate.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| IdentityError::Unreadable { why: error.to_string() })?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(IdentityError::Unreadable { why: format!("{} bytes follow its end", rest.len()) })
    }
}

/// First and last second of validity.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Result<(Timestamp, Timestamp), IdentityError> {
    let read = |time: ASN1Time| {
        Timestamp::from_second(time.timestamp())
            .map_err(|error| IdentityError::Unreadable { why: format!("its validity: {error}") })
    };
    let validity = certificate.validity();
    Ok((read(validity.not_before)?, read(validity.not_after)?))
}

/// What a certificate says of itself, for the log of a refusal.
pub(crate) fn claims(der: &[u8]) -> Presented {
    let Ok(certificate) = parse(der) else {
        return Presented::default();
    };
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().take(4).map(describe).collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    Presented {
        names,
        issuer: Some(shown(&certificate.issuer().to_string())),
        serial: Some(Serial::from_bytes(certificate.raw_serial())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_keep_their_value_through_text() {
        for (bytes, text) in [(&[0, 0, 0x7f, 1][..], "7f01"), (&[0xab][..], "ab"), (&[0][..], "00")] {
            let serial = Serial::from_bytes(bytes);
            assert_eq!(serial.to_string(), text);
            assert_eq!(text.parse(), Ok(serial));
        }
        for text in ["", "a", "zz", "0x12", &"ab".repeat(21), "é1"] {
            assert!(text.parse::<Serial>().is_err(), "{text:?} must be refused");
        }
    }
}
