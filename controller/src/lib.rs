//! The kfleet controller: runs playbooks and rolling operations on Kafka and ZooKeeper hosts.
//!
//! Place in the house: the command line and everything behind it. Rooms: [`cli`] one file per subcommand, [`inventory`]
//! hosts and variables, [`execute`] runs a plan and talks to agents, [`rolling`] drives the pure rules against live
//! clusters, [`inspect`] reads the fleet and has it judged, [`schedule`] says when, [`notify`] tells people of it, [`report`]
//! writes for people, [`history`] keeps runs and nights.

pub mod cli;
pub mod execute;
pub mod fleet;
pub mod history;
pub mod inspect;
pub mod inventory;
pub mod notify;
pub mod report;
pub mod rolling;
pub mod schedule;
