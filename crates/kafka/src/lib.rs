//! All that speaks the protocols of Kafka and ZooKeeper.
//!
//! | Module | Gives |
//! |---|---|
//! | [`snapshot`] | one broker's view of its cluster, as the model's `KafkaSnapshot` |
//! | [`survey`] | all topics and consumer groups: what is configured, offsets, states |
//! | [`configs`] | configuration that a running cluster takes: of a broker, of all brokers, of a topic |
//! | [`greet`] | whether a listener answers, and where it sends its clients |
//! | [`election`] | preferred leaders put back in their place |
//! | [`log_dirs`] | how a broker stands with its own log directories |
//! | [`acl`] | access control lists, read and changed |
//! | [`zookeeper`] | what one ZooKeeper server says of itself; what Kafka's brokers registered in its tree |
//! | `records` (feature of that name) | a producer that numbers its records, and the proof that none was lost |
//!
//! Place in the flow: an agent calls this crate against the broker or server on its own host, so the controller needs
//! no listener, key store or firewall hole of Kafka. Types of the codec and of librdkafka stop at this crate's edge.
//!
//! What it does not do: it judges nothing (that is `kfleet-rolling`), and it retries only what each function says.
//! Of SASL it
//! speaks PLAIN and SCRAM, not GSSAPI (Kerberos) and OAUTHBEARER.

mod access;
pub mod acl;
pub mod configs;
mod connection;
pub mod election;
mod error;
pub mod greet;
pub mod log_dirs;
#[cfg(feature = "records")]
pub mod records;
mod routing;
mod sasl;
pub mod snapshot;
pub mod survey;
#[cfg(test)]
mod testing;
mod tls;
pub mod zookeeper;

pub use access::{Address, AddressError, KafkaAccess};
pub use configs::{
    ConfigOf, ConfigSource, EffectiveValue, alter_configs, dynamic_configs, effective_config, running_config,
};
pub use election::{Election, elect_preferred_leaders};
pub use error::{Api, ErrorCode, KafkaError};
pub use greet::{advertised_addresses, greet};
pub use log_dirs::{LogDir, log_dirs};
pub use sasl::{SaslCredentials, SaslError, SaslMechanism};
pub use snapshot::kafka_snapshot;
pub use survey::Survey;
pub use tls::{ClientTls, ClientTlsError};
/// The clock that every deadline of this crate is measured with.
pub use tokio::time::Instant;
pub use zookeeper::{ZooKeeperAccess, ZooKeeperError, ZooKeeperFiles, zookeeper_running_config, zookeeper_server};
