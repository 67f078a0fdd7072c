//! The kfleet controller: runs playbooks and rolling operations on Kafka and ZooKeeper hosts.
//!
//! Place in the house: the command line and everything behind it. Rooms: [`cli`] one file per subcommand, [`inventory`]
//! hosts and variables, [`execute`] runs a plan and talks to agents, [`rolling`] drives the pure rules against live
//! clusters, [`report`] writes for people, [`history`] keeps runs, [`schedule`] runs inspections at their times.

pub mod cli;
pub mod execute;
pub mod fleet;
pub mod history;
pub mod inspect;
pub mod inventory;
pub mod report;
pub mod rolling;
pub mod schedule;
