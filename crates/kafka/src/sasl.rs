//! Tells a broker who is there, by name and password: SASL PLAIN and SCRAM.
//!
//! The exchange runs inside `SaslHandshake` and `SaslAuthenticate` requests, after TLS and the negotiation of versions.
//! Connections of this crate are short, so nothing authenticates again when a broker bounds the session's life.

mod scram;

use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use scram::{ClientFirst, Hash};
use std::fmt;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// SaslHandshake of version 0 is followed by bare tokens instead of SaslAuthenticate requests (KIP-152).
const HANDSHAKE_AT_LEAST: i16 = 1;

/// How a name and a password are proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself, over TLS only.
    Plain,
    /// The password itself, readable by all on the way when there is no TLS.
    PlainInTheClear,
    /// A proof of the password; the broker proves that it knows it too.
    ScramSha256,
    /// As SCRAM-SHA-256 with a longer hash.
    ScramSha512,
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain | Self::PlainInTheClear => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        })
    }
}

/// A name and a password. The password is wiped from memory at the end and never printed.
#[derive(Clone)]
pub struct SaslCredentials {
    mechanism: SaslMechanism,
    user: String,
    password: Zeroizing<String>,
}

impl SaslCredentials {
    /// Credentials for a mechanism.
    #[must_use]
    pub fn new(mechanism: SaslMechanism, user: impl Into<String>, password: Zeroizing<String>) -> Self {
        Self { mechanism, user: user.into(), password }
    }
}

impl fmt::Debug for SaslCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mechanism, user) = (self.mechanism, &self.user);
        f.debug_struct("SaslCredentials").field("mechanism", &mechanism).field("user", user).finish_non_exhaustive()
    }
}

/// Why authentication failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// PLAIN would send the password readable by all on the way.
    #[error("mechanism PLAIN is used over TLS only, unless the access says that the password may go in the clear")]
    WithoutTls,
    /// The listener offers other mechanisms.
    #[error("it does not offer {mechanism} but {}", list(.offered))]
    NotOffered {
        /// The wanted mechanism.
        mechanism: SaslMechanism,
        /// What the listener offers.
        offered: Vec<String>,
    },
    /// The broker refused.
    #[error("it refused user '{user}' with {mechanism}: {code}: {message}")]
    Refused {
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: SaslMechanism,
        /// The error code.
        code: ErrorCode,
        /// What the broker added to it.
        message: String,
    },
    /// The broker's part of the exchange breaks the rules, or it does not know the password.
    #[error("its part of {mechanism} is not acceptable: {why}")]
    Broker {
        /// The mechanism.
        mechanism: SaslMechanism,
        /// Which rule.
        why: &'static str,
    },
}

fn list(offered: &[String]) -> String {
    if offered.is_empty() { "nothing: this listener does not use SASL".to_owned() } else { offered.join(", ") }
}

/// Authenticates a connection that has just been opened.
pub(crate) async fn authenticate(
    connection: &mut Connection,
    credentials: &SaslCredentials,
    over_tls: bool,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let hash = match credentials.mechanism {
        SaslMechanism::Plain if !over_tls => return Err(failed(connection, SaslError::WithoutTls)),
        SaslMechanism::Plain | SaslMechanism::PlainInTheClear => None,
        SaslMechanism::ScramSha256 => Some(Hash::Sha256),
        SaslMechanism::ScramSha512 => Some(Hash::Sha512),
    };
    shake_hands(connection, credentials.mechanism, deadline).await?;
    match hash {
        None => {
            let token = format!("\0{}\0{}", credentials.user, &*credentials.password);
            exchange(connection, credentials, token.into_bytes(), deadline).await?;
        }
        Some(hash) => scram(connection, credentials, hash, deadline).await?,
    }
    Ok(())
}

fn failed(connection: &Connection, source: SaslError) -> KafkaError {
    KafkaError::Sasl { broker: connection.broker().clone(), source }
}

async fn shake_hands(
    connection: &mut Connection,
    mechanism: SaslMechanism,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_string(mechanism.to_string()));
    let answer = connection.call_at_least(&request, HANDSHAKE_AT_LEAST, deadline).await?;
    match ErrorCode::check(answer.error_code) {
        None => Ok(()),
        Some(_) => {
            let offered = answer.mechanisms.iter().map(ToString::to_string).collect();
            Err(failed(connection, SaslError::NotOffered { mechanism, offered }))
        }
    }
}

async fn exchange(
    connection: &mut Connection,
    credentials: &SaslCredentials,
    token: Vec<u8>,
    deadline: Instant,
) -> Result<Bytes, KafkaError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
    let answer = connection.call(&request, deadline).await?;
    match ErrorCode::check(answer.error_code) {
        None => Ok(answer.auth_bytes),
        Some(code) => {
            let (user, mechanism) = (credentials.user.clone(), credentials.mechanism);
            let message = answer.error_message.map(|text| text.to_string()).unwrap_or_default();
            Err(failed(connection, SaslError::Refused { user, mechanism, code, message }))
        }
    }
}

async fn scram(
    connection: &mut Connection,
    credentials: &SaslCredentials,
    hash: Hash,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let mechanism = credentials.mechanism;
    let unacceptable = |why| SaslError::Broker { mechanism, why };
    let nonce = scram::nonce().map_err(|why| failed(connection, unacceptable(why)))?;
    let first = ClientFirst::new(hash, &credentials.user, nonce);
    let challenge = exchange(connection, credentials, first.message().into_bytes(), deadline).await?;
    let last = first.answer(&challenge, credentials.password.as_bytes());
    let last = last.map_err(|why| failed(connection, unacceptable(why)))?;
    let verdict = exchange(connection, credentials, last.message().to_owned().into_bytes(), deadline).await?;
    last.check(&verdict).map_err(|why| failed(connection, unacceptable(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let password = Zeroizing::new("s3cret".to_owned());
        let credentials = SaslCredentials::new(SaslMechanism::ScramSha256, "kfleet", password);
        let printed = format!("{credentials:?}");
        assert_eq!(printed, "SaslCredentials { mechanism: ScramSha256, user: \"kfleet\", .. }");
    }
}
