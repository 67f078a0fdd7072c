//! The kfleet agent: runs ops on one host.
//!
//! Purpose: a service on every broker, ZooKeeper and quorum-controller host that does what operators ask for, once, and
//! remembers it.
//! Place in the flow: controllers call [`service`]; [`ops`] owns what was asked; [`runner`] calls one of the [`modules`];
//! they reach the host through [`host`] alone; [`journal`] and [`shim`] see to it that nothing is forgotten.
//! Not here: playbooks, inventories, and decisions about more than one host.

pub mod agent;
pub mod cli;
pub mod collect;
pub mod config;
pub mod exit;
mod guard;
pub mod host;
pub mod journal;
pub mod modules;
pub mod ops;
pub mod runner;
pub mod service;
pub mod shim;
