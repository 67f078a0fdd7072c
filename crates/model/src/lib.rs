//! The words of kfleet.
//!
//! Purpose: the types that every other room uses: ids, operations, changes, events, results, cluster
//! snapshots, the reasons of a rolling decision, and the documentation of modules.
//! Place in the flow: everything is made of these; nothing here does anything. [`stop`] and [`clock`] are the
//! two calculations, because those who ask (the roll, the agent, the commands) must never differ in them.
//! Not here: input or output of any kind, wire formats (see `kfleet-proto`), YAML (see `kfleet-playbook`).

pub mod change;
pub mod class;
pub mod clock;
pub mod drift;
pub mod event;
pub mod ids;
pub mod module;
pub mod node;
pub mod op;
pub mod reason;
pub mod result;
pub mod snapshot;
pub mod stop;
pub mod version;

pub use change::Change;
pub use class::Class;
pub use ids::{
    BrokerId, ClusterName, FleetName, Generation, HostName, OpId, OperatorName, RunId, ServiceName, TopicPartition,
};
pub use node::{LogDirReading, NodeReading};
pub use op::{Op, OpEnd, OpEvent, OpEventKind, OutputStream};
pub use reason::{Reason, Verdict};
pub use result::{HostStatus, TaskResult};

/// A JSON object that keeps the order of its keys, as Ansible's variables and results do.
pub type Map = serde_json::Map<String, serde_json::Value>;
/// Any JSON value.
pub use serde_json::Value;
