//! All that speaks the protocols of Kafka and ZooKeeper.
//!
//! | Module | Gives |
//! |---|---|
//! | [`snapshot`] | one broker's view of its cluster, as the model's `KafkaSnapshot` |
//! | [`election`] | preferred leaders put back in their place |
//!
//! Place in the flow: an agent calls this crate against the broker or server on its own host, so the controller needs
//! no listener, key store or firewall hole of Kafka. Types of the codec and of librdkafka stop at this crate's edge.
//!
//! What it does not do: it judges nothing (that is `kfleet-rolling`), it spawns no task, and it retries only what each
//! function says. SASL/GSSAPI and SASL/OAUTHBEARER are not spoken.

mod access;
mod connection;
pub mod election;
mod error;
mod routing;
pub mod snapshot;

pub use access::{Address, AddressError, KafkaAccess};
pub use election::{Election, elect_preferred_leaders};
pub use error::{Api, ErrorCode, KafkaError};
pub use snapshot::kafka_snapshot;
/// The clock that every deadline of this crate is measured with.
pub use tokio::time::Instant;
