//! The host's own truth about one Kafka or ZooKeeper node: its process and its data, beside what the cluster says.

use crate::BrokerId;
use serde::{Deserialize, Serialize};

/// What the agent sees of a node on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReading {
    /// The systemd unit, with its suffix.
    pub unit: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, as systemd says.
    pub active_state: String,
    /// Why its last run ended: `success`, `signal`, `timeout`, ...
    pub result: String,
    /// The main process; none when nothing runs.
    pub main_pid: Option<u32>,
    /// When the process started, in microseconds since the boot named by `boot_id`. With the pid it names one
    /// process for good: a new start gives a larger number.
    pub started_us: u64,
    /// The kernel's boot id.
    pub boot_id: String,
    /// How long systemd waits for a stop before it kills.
    pub stop_timeout_ms: u64,
    /// The port that clients use answers.
    pub port_open: bool,
    /// `broker.id`, `node.id` or `myid` as the configuration on disk says.
    pub node_id: Option<BrokerId>,
    /// Kafka's log directories; empty for ZooKeeper.
    pub log_dirs: Vec<LogDirReading>,
    /// The host's clock, milliseconds since 1970 UTC, when the reading was taken.
    pub clock_unix_ms: i64,
}

/// One of Kafka's log directories as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDirReading {
    /// Its path.
    pub path: String,
    /// It is there and can be read.
    pub online: bool,
    /// `.kafka_cleanshutdown` is there: the last stop flushed everything. Kafka removes it at a start, so it says
    /// something only while the broker is down.
    pub clean_shutdown: bool,
    /// `cluster.id` of its `meta.properties`.
    pub cluster_id: Option<String>,
    /// `broker.id` or `node.id` of its `meta.properties`.
    pub node_id: Option<BrokerId>,
    /// Free bytes of its file system.
    pub free_bytes: u64,
    /// Size of its file system.
    pub total_bytes: u64,
}
