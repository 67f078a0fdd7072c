//! Runs a plan: walks plays, makes ops, drives agents, and tells everything as one stream of events.
//!
//! ```text
//!   run ----> play (batches, blocks, handlers) ----> task (vars, when, loop) ----> action | link (agents)
//!    |                                                  |
//!    +--------------- dispatcher <---- events ----------+
//! ```

mod action;
mod agents;
mod certificate;
pub mod clock;
mod dial;
mod disk;
mod dispatcher;
mod files;
mod fleet_hosts;
mod hosts;
mod link;
mod lookups;
mod play;
mod preflight;
pub mod process;
mod run;
mod session;
mod task;
mod vars;

pub use action::ACTIONS;
pub use agents::{Agent, Reach, agents, call};
pub use dial::TlsDial;
pub use disk::{DiskFiles, RecordedFiles};
pub use dispatcher::{Dispatcher, Events, now};
pub use fleet_hosts::{FleetHosts, agent_address};
pub use hosts::{RunHost, Standing};
pub use link::{Dial, Follow, Link, LinkError};
pub use play::{Hosts, PlayRun, Stop};
pub use run::{Options, Run, RunError, RunInput};
pub(crate) use session::Interrupts;
pub use session::{Ended, Outcome, Session};
