//! What kfleet's scenarios, fault tests and benchmarks stand on.
//!
//! The lab makes real hosts with real Kafka and ZooKeeper; everything else in this crate uses them. Nothing here is
//! part of the product, and the product never depends on it.

pub mod browser;
pub mod lab;

pub mod programs;
pub mod traffic;
