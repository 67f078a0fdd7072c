//! Where a broker listens and how to be let in. Data only; nothing here opens a connection.

use crate::sasl::SaslCredentials;
use kfleet_model::BrokerId;
use rustls::ClientConfig;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A host (name, IPv4 or IPv6 address) and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The host, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not HOST:PORT (an IPv6 address stands in brackets: [::1]:9092)")]
pub struct AddressError {
    /// The text as it was given.
    pub text: String,
}

impl Address {
    /// Makes an address of its two parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = || AddressError { text: text.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(fail)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(fail)?,
            None if host.contains(':') => return Err(fail()),
            None => host,
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(fail());
        }
        Ok(Self::new(host, port.parse().map_err(|_| fail())?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One broker and the way in.
///
/// The principal needs `Describe` on the cluster, `Describe` and `DescribeConfigs` on every topic,
/// `DescribeConfigs` on the cluster, and `Alter` on the cluster for elections. A Metadata answer leaves out topics
/// that the principal may not describe, without a word: with too few rights a snapshot is incomplete and does not
/// show it. Give the agent a super user or rights on `*`.
#[derive(Clone)]
pub struct KafkaAccess {
    pub(crate) address: Address,
    pub(crate) node: BrokerId,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) sasl: Option<SaslCredentials>,
}

impl KafkaAccess {
    /// Access over a listener without TLS and authentication.
    ///
    /// `node` is the id that the broker at `address` must have (`broker.id` or `node.id` of its properties file, or
    /// of `meta.properties`); a broker with another id is refused.
    #[must_use]
    pub fn plaintext(address: Address, node: BrokerId) -> Self {
        Self { address, node, tls: None, sasl: None }
    }

    /// Speaks TLS with the given configuration: roots, client certificate and protocol versions are its caller's.
    /// Brokers' certificates must name the host of their advertised address.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Authenticates with a name and a password. Without it, only a client certificate can say who is there.
    #[must_use]
    pub fn with_sasl(mut self, credentials: SaslCredentials) -> Self {
        self.sasl = Some(credentials);
        self
    }

    /// The same way in to another broker of the cluster.
    #[must_use]
    pub fn to(&self, address: Address, node: BrokerId) -> Self {
        Self { address, node, ..self.clone() }
    }

    /// The broker's address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The id that the broker must have.
    #[must_use]
    pub fn node(&self) -> BrokerId {
        self.node
    }
}

impl fmt::Debug for KafkaAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaAccess")
            .field("address", &self.address)
            .field("node", &self.node)
            .field("tls", &self.tls.is_some())
            .field("sasl", &self.sasl)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_kafka_and_zookeeper_write_them() {
        let cases = [
            ("localhost:9092", Some(("localhost", 9092))),
            ("10.0.0.1:2181", Some(("10.0.0.1", 2181))),
            ("[::1]:9092", Some(("::1", 9092))),
            ("::1:9092", None),
            ("[::1:9092", None),
            ("kafka", None),
            (":9092", None),
            ("kafka:", None),
            ("kafka:99999", None),
            ("SSL://kafka:9093", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(host, port)| Address::new(host, port));
            assert_eq!(text.parse::<Address>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn an_address_prints_as_it_is_read() {
        for text in ["localhost:9092", "[2001:db8::1]:9093"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }
}
