//! The configuration of Kafka and ZooKeeper as typed data.
//!
//! Purpose: read and edit the files that both services take ([`Properties`], [`Environment`], [`jaas`]), know every key
//! of every release ([`definitions`]), and say what is wrong with a node's settings ([`kafka::check`],
//! [`zookeeper::check`]) or with those of a whole cluster ([`cluster::check`]) before a service reads them.
//! Place in the flow: lint asks with what a playbook says, the agent's modules with the file as it will be.
//! Not here: files, clocks, hosts; whether a service runs; what a change does to a cluster (`kfleet-rolling`).
//!
//! ```text
//!   text --Properties::parse--> entries --+
//!   playbook's mapping -------------------+--> Settings --check(release, extent)--> Findings
//!                                                  |
//!                        Member{host, settings} ...+--> cluster::check --> Findings across hosts
//! ```
//!
//! The keys of Kafka are generated from its published jars (`tests/kafka-definitions`), those of ZooKeeper written from
//! its administrator's guide. Each rule beyond them names its source in its documentation.

pub mod cluster;
pub mod definitions;
pub mod drift;
mod environment;
mod finding;
pub mod jaas;
pub mod kafka;
mod properties;
mod release;
pub mod secret;
mod settings;
pub mod task;
mod value;
#[cfg(test)]
mod verdicts;
pub mod zookeeper;

pub use definitions::{Definition, Table, Update};
pub use environment::Environment;
pub use finding::{Finding, Problem, Severity};
pub use properties::{Entry, Properties};
pub use release::{Release, ReleaseError};
pub use settings::{Extent, Setting, Settings};
pub use value::Wrong;
