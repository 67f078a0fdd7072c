//! Where a node's configuration differs: as kfleet wrote it, as its file has it, as the node runs.
//!
//! Not here: which differences count (`kfleet_config::drift`).

use crate::version::Author;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All differences of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDrift {
    /// The node's configuration file.
    pub path: PathBuf,
    /// The version that kfleet wrote last, and who; none when it never wrote the file.
    pub written: Option<Written>,
    /// What differs, by key.
    pub items: Vec<DriftItem>,
    /// What could not be compared, and why: no drift is known there, and none is excluded.
    pub unknown: Vec<String>,
}

/// The version that a file is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its number.
    pub version: u64,
    /// When, in milliseconds since 1970 by the host's clock.
    pub unix_ms: i64,
    /// Who.
    pub author: Author,
}

/// One key that differs. Values of secret keys are not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftItem {
    /// The key.
    pub key: String,
    /// Between what it differs.
    pub kind: DriftKind,
    /// The value that should hold; none when the key is not set there.
    pub wanted: Option<String>,
    /// The value that was found; likewise.
    pub found: Option<String>,
    /// Since when, in milliseconds since 1970 by the host's clock; none when nobody can say.
    pub since_unix_ms: Option<i64>,
}

/// Between what a key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// The file was changed since kfleet wrote it.
    File,
    /// The node runs with what its file said before; a restart would apply the file.
    NotApplied,
    /// A value that was set on the running broker holds over the file's.
    BrokerOverride,
    /// A value that was set for all brokers of the cluster holds over the file's.
    ClusterOverride,
}

/// One key of a running node: its value at each level that has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunningValue {
    /// The value that it read from its file at its start.
    pub file: Option<String>,
    /// The value that was set on this broker alone.
    pub broker: Option<String>,
    /// The value that was set for all brokers.
    pub cluster: Option<String>,
    /// The node does not tell the value.
    pub hidden: bool,
}
