//! What an agent reads of its host for others: facts, the node's own truth, the cluster as its member sees it.
//!
//! Place in the flow: `Observe` calls these functions, and the modules `setup`, `node_info`, `kafka_cluster_info` and
//! `zookeeper_info` are thin over them, so a playbook and a rolling restart see the same.
//! Nothing here writes. Parsers are pure and tested with recorded texts.

mod cluster;
mod config_drift;
mod facts;
mod file_versions;
pub mod inspect;
mod kafka_client;
mod kafka_config;
pub mod logs;
mod node;
mod standing;
mod zookeeper_config;

pub use cluster::{
    AwayFromHome, acls, alter_config, away_from_home, cluster, create_acls, delete_acls, dynamic_config, elect, own_id,
};
pub use config_drift::config_drift;
pub use facts::facts;
pub use file_versions::{file_versions, shown_difference};
pub use node::node;
pub use standing::{is_node, running_nodes, standing};

use crate::host::HostError;
use kfleet_kafka::{KafkaError, ZooKeeperError};
use kfleet_model::Map;
use serde::de::DeserializeOwned;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The host did not let it be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A parameter or a configuration file of the host is not usable.
    #[error("{0}")]
    Invalid(String),
    /// The broker did not answer as it should.
    #[error("failed to {}", chain(.0))]
    Kafka(#[from] KafkaError),
    /// The ZooKeeper server did not answer as it should.
    #[error("failed to {}{}", chain(.0), hint(.0))]
    ZooKeeper(#[from] ZooKeeperError),
    /// The agent's core calls this on a thread without a runtime.
    #[error("no runtime to ask the cluster with (a fault of the agent): {0}")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn hint(error: &ZooKeeperError) -> String {
    error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default()
}

/// Parameters of a collector, read strictly: an unknown key is an error.
fn parse<P: DeserializeOwned>(params: &Map) -> Result<P, CollectError> {
    serde_json::from_value(kfleet_model::Value::Object(params.clone()))
        .map_err(|error| CollectError::Invalid(format!("bad parameters: {error}")))
}
