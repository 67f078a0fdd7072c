//! Numbered records: a producer that counts what was acknowledged, and a reader that proves that all of it is there.
//!
//! The lab, the benchmarks and the canaries run the producer while brokers are restarted, and afterwards have the
//! topic read back. Every record carries its run and its number; number N goes to partition N modulo the partitions,
//! so each partition must hold its numbers in rising order.
//!
//! The librdkafka of this feature is built without TLS and SASL: plain listeners only.

mod numbers;
mod producer;
mod record;
mod topic;
mod verify;

pub use numbers::{Listed, Numbers};
pub use producer::{Ending, Producer, ProducerReport};
pub use topic::{TopicOutcome, TopicPlan, create_topic};
pub use verify::{PartitionTally, Verification, verify};

use kfleet_model::Class;
use std::time::Duration;

/// What librdkafka said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LibraryError(Box<rdkafka::error::KafkaError>);

impl From<rdkafka::error::KafkaError> for LibraryError {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self(Box::new(error))
    }
}

/// Why records could not be written or read back.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// librdkafka did not accept the settings.
    #[error("set up a Kafka client for {bootstrap}")]
    Client {
        /// The addresses it was given.
        bootstrap: String,
        /// Why.
        source: LibraryError,
    },
    /// The topic could not be made.
    #[error("create topic '{topic}' at {bootstrap}")]
    CreateTopic {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
        /// Why.
        source: LibraryError,
    },
    /// The topic could not be looked up.
    #[error("look up topic '{topic}' at {bootstrap}")]
    LookUp {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
        /// Why.
        source: LibraryError,
    },
    /// There is no such topic, or it has no partitions yet.
    #[error("look up topic '{topic}' at {bootstrap}: it has no partitions")]
    NoTopic {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
    },
    /// Reading back failed.
    #[error("read topic '{topic}' back from {bootstrap}")]
    Read {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
        /// Why.
        source: LibraryError,
    },
    /// Reading back did not reach the end in time.
    #[error(
        "read topic '{topic}' back from {bootstrap}: the ends of partitions {unfinished:?} were not reached within {} s",
        waited.as_secs()
    )]
    ReadTimeout {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
        /// The partitions that have more records.
        unfinished: Vec<i32>,
        /// How long was read.
        waited: Duration,
    },
    /// A blocking step of librdkafka panicked or was given up with the runtime.
    #[error("finish a blocking step of librdkafka for {bootstrap}")]
    Blocking {
        /// The addresses.
        bootstrap: String,
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl RecordsError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Client { .. } | Self::Blocking { .. } => Class::Internal,
            Self::NoTopic { .. } => Class::Input,
            Self::CreateTopic { .. } | Self::LookUp { .. } | Self::Read { .. } | Self::ReadTimeout { .. } => {
                Class::Host
            }
        }
    }
}

/// Runs a blocking step of librdkafka off the runtime's workers.
async fn blocking<T: Send + 'static>(
    bootstrap: &str,
    step: impl FnOnce() -> Result<T, RecordsError> + Send + 'static,
) -> Result<T, RecordsError> {
    match tokio::task::spawn_blocking(step).await {
        Ok(result) => result,
        Err(source) => Err(RecordsError::Blocking { bootstrap: bootstrap.to_owned(), source }),
    }
}
