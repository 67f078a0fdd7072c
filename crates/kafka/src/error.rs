//! Why a request to a broker failed: every error names the broker's address, the api and what the broker said.

use crate::{Address, AddressError, SaslError};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;
use kfleet_model::{BrokerId, Class};
use std::fmt;
use std::time::Duration;

/// A kind of request, by the number that the protocol gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(pub(crate) i16);

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ApiKey::try_from(self.0) {
            Ok(key) => write!(f, "{key:?}"),
            Err(_) => write!(f, "api {}", self.0),
        }
    }
}

/// An error code of the protocol. Zero, which means none, is never kept in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// The topic or the partition is not known to the broker (any more).
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// The partition has no leader that is alive.
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    /// The member of the metadata quorum is not its leader.
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    /// The broker is not among those that are alive.
    pub const BROKER_NOT_AVAILABLE: Self = Self(8);
    /// A replica is on a broker that is not alive.
    pub const REPLICA_NOT_AVAILABLE: Self = Self(9);
    /// The coordinator reads its groups from the log: it has only just taken them over.
    pub const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    /// The group has no coordinator that is alive.
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    /// The broker is not the group's coordinator (any more).
    pub const NOT_COORDINATOR: Self = Self(16);
    /// The principal may not do this with the cluster.
    pub const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    /// The broker does not speak the version that was asked for.
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// The broker is not the active controller.
    pub const NOT_CONTROLLER: Self = Self(41);
    /// The request does not fit this broker.
    pub const INVALID_REQUEST: Self = Self(42);
    /// The cluster has no authorizer, so it has no access control lists.
    pub const SECURITY_DISABLED: Self = Self(54);
    /// The broker can not read the disk that the partition lies on.
    pub const KAFKA_STORAGE_ERROR: Self = Self(56);
    /// There is no group of that name (any more).
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    /// The leader has no listener of the name that was used for the request.
    pub const LISTENER_NOT_FOUND: Self = Self(72);
    /// The preferred leader is not in the ISR or not alive.
    pub const PREFERRED_LEADER_NOT_AVAILABLE: Self = Self(80);
    /// The partition is already led by the one that the election would choose.
    pub const ELECTION_NOT_NEEDED: Self = Self(84);

    /// The code, unless it says that all went well.
    pub(crate) fn check(code: i16) -> Option<Self> {
        (code != 0).then_some(Self(code))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ResponseError::try_from_code(self.0) {
            None => write!(f, "NONE (0)"),
            Some(ResponseError::Unknown(code)) => write!(f, "error code {code}"),
            Some(known) => write!(f, "{} ({})", constant_name(&format!("{known:?}")), self.0),
        }
    }
}

/// `NotController` becomes `NOT_CONTROLLER`, the spelling of Kafka's documentation and logs.
fn constant_name(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for (n, c) in camel.chars().enumerate() {
        if n > 0 && c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Why a request to Kafka failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// No connection came about.
    #[error("connect to broker {broker}")]
    Connect {
        /// The address that was tried.
        broker: Address,
        /// Why.
        source: std::io::Error,
    },
    /// The host of the address can not stand in a certificate.
    #[error("check the certificate of broker {broker}: its host is neither a DNS name nor an IP address")]
    TlsName {
        /// The address.
        broker: Address,
    },
    /// The TLS handshake failed; the source says whose certificate was not accepted and why.
    #[error("make a TLS connection to broker {broker}")]
    Tls {
        /// The address.
        broker: Address,
        /// Why.
        source: std::io::Error,
    },
    /// The deadline passed.
    #[error("get an answer to {what} from broker {broker}: none came within {} ms", waited.as_millis())]
    Timeout {
        /// The address.
        broker: Address,
        /// The request, or the step of connecting.
        what: String,
        /// How long this step was waited for.
        waited: Duration,
    },
    /// The connection broke.
    #[error(
        "exchange {api} with broker {broker}: the connection broke (a listener that wants TLS or SASL does this too)"
    )]
    Broken {
        /// The address.
        broker: Address,
        /// The request.
        api: Api,
        /// Why.
        source: std::io::Error,
    },
    /// An answer is larger than any that a broker should give.
    #[error(
        "read the answer to {api} from broker {broker}: it claims {size} bytes, {limit} are allowed (a listener that wants TLS, or one that is not Kafka's, does this)"
    )]
    TooLarge {
        /// The address.
        broker: Address,
        /// The request.
        api: Api,
        /// The size that the answer claims.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// An answer does not follow the protocol.
    #[error("read the answer to {api} version {version} from broker {broker}: {why}")]
    Malformed {
        /// The address.
        broker: Address,
        /// The request.
        api: Api,
        /// The version that was spoken.
        version: i16,
        /// What is wrong.
        why: String,
    },
    /// The broker and this client have no version of the request in common.
    #[error("ask broker {broker} for {api}: it speaks versions {theirs}, version {ours_min} to {ours_max} is needed")]
    Unsupported {
        /// The address.
        broker: Address,
        /// The request.
        api: Api,
        /// The lowest version of use here.
        ours_min: i16,
        /// The highest version known here.
        ours_max: i16,
        /// What the broker speaks, "none" when it does not know the request.
        theirs: String,
    },
    /// The broker answered with an error.
    #[error("get {api} of {about} from broker {broker}: {code}{}", detail(.message))]
    Refused {
        /// The address.
        broker: Address,
        /// The request.
        api: Api,
        /// What the error is about: the cluster, a topic, a partition.
        about: String,
        /// The error.
        code: ErrorCode,
        /// What the broker added to it.
        message: Option<String>,
    },
    /// The broker and this client could not agree who is there.
    #[error("authenticate to broker {broker}")]
    Sasl {
        /// The address.
        broker: Address,
        /// Why.
        source: SaslError,
    },
    /// Another broker than the expected one answers at the address.
    #[error("recognise broker {broker} as node {expected}{}", detail(.message))]
    WrongBroker {
        /// The address.
        broker: Address,
        /// The id that it should have.
        expected: BrokerId,
        /// What the broker said.
        message: Option<String>,
    },
    /// The broker does not see itself among the registered and unfenced brokers. It has only just started, or is cut
    /// off: its picture of the cluster may be empty or old.
    #[error("take the view of broker {broker}: it does not see itself, node {node}, among the registered brokers")]
    NotRegistered {
        /// The address.
        broker: Address,
        /// Its id.
        node: BrokerId,
    },
    /// The cluster has no active controller, as far as the broker knows.
    #[error("find the active controller through broker {broker}: it knows of none")]
    NoActiveController {
        /// The broker that was asked.
        broker: Address,
    },
    /// The broker names a controller with an address that can not be one.
    #[error("reach node {node} that broker {broker} names")]
    BadAddress {
        /// The broker that was asked.
        broker: Address,
        /// The node it named.
        node: BrokerId,
        /// What is wrong with its address.
        source: AddressError,
    },
    /// Something that a complete answer has is not in it.
    #[error("take the view of broker {broker}: {what} is missing from its answer to {api}")]
    Incomplete {
        /// The address.
        broker: Address,
        /// The request.
        api: Api,
        /// What is missing.
        what: String,
    },
    /// Topics were deleted during each reading.
    #[error("take one consistent view from broker {broker}: topics were deleted during each of {attempts} readings")]
    Unsettled {
        /// The address.
        broker: Address,
        /// How many times it was read.
        attempts: u32,
    },
}

/// The second half of an error line, when the broker added one.
fn detail(message: &Option<String>) -> String {
    message.as_deref().map(|text| format!(": {text}")).unwrap_or_default()
}

impl KafkaError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::TlsName { .. } | Self::WrongBroker { .. } | Self::Sasl { .. } => Class::Input,
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Unsupported { .. }
            | Self::Refused { .. }
            | Self::NotRegistered { .. }
            | Self::NoActiveController { .. }
            | Self::BadAddress { .. }
            | Self::Incomplete { .. }
            | Self::Unsettled { .. } => Class::Host,
        }
    }

    /// Whether the error code is the broker's answer.
    #[must_use]
    pub fn is_refused_with(&self, wanted: ErrorCode) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_spelled_as_in_kafkas_documentation() {
        let cases = [
            (41, "NOT_CONTROLLER (41)"),
            (3, "UNKNOWN_TOPIC_OR_PARTITION (3)"),
            (84, "ELECTION_NOT_NEEDED (84)"),
            (-1, "UNKNOWN_SERVER_ERROR (-1)"),
            (9999, "error code 9999"),
        ];
        for (code, text) in cases {
            assert_eq!(ErrorCode(code).to_string(), text);
        }
    }

    #[test]
    fn an_error_line_names_broker_api_object_and_code() {
        let error = KafkaError::Refused {
            broker: Address::new("kafka-1", 9092),
            api: Api(32),
            about: "topic 'orders'".into(),
            code: ErrorCode(29),
            message: Some("no right to do this".into()),
        };
        assert_eq!(
            error.to_string(),
            "get DescribeConfigs of topic 'orders' from broker kafka-1:9092: \
             TOPIC_AUTHORIZATION_FAILED (29): no right to do this"
        );
    }
}
