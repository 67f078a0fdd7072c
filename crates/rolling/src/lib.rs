//! The rules of a rolling operation, as pure functions.
//!
//! Purpose: say whether the next node of a cluster may be stopped, which one, and when a node that was stopped is
//! truly back. `decide` answers the first two, [`Recovery`] the third; both give reasons with numbers, never a bare
//! yes or no.
//! Place in the flow: the controller observes the cluster (through agents), asks here, records the answer in the run
//! journal, acts, and observes again. One node is in flight at a time.
//! Not here: input or output, clocks (every duration is an argument), randomness, and any knowledge of how a node is
//! stopped or started.
//!
//! ```text
//!   Observation --views::agree--> Agreed --order--> candidate --before the stop--> Proceed | Wait | Refuse | Done
//!        |                                                                            |
//!        |                                          Progress::enter (journal first, then act)
//!        |                                                                            v
//!        +--------------> Recovery::check: process > registered > in-sync > ... > stable --> Progress::finish
//! ```
//!
//! The rules come from the operations notes of this project (sections named as "ops 2.2"), which name their own
//! sources: Kafka's documentation, KIPs, and the behaviour of other tools. `docs/rolling.md` tells operators of them.

pub mod condition;
pub mod decide;
pub mod gate;
pub mod kafka;
pub mod observation;
pub mod policy;
pub mod probe;
pub mod progress;
pub mod recovery;
pub mod views;
pub mod zookeeper;

#[cfg(any(test, feature = "sim"))]
pub mod sim;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

pub use decide::{Course, Decision, Place, Proceed, before_stop, course, decide, expire};
pub use gate::Gate;
pub use observation::{Member, NodeView, Observation, Role, Roll, RollError, View};
pub use policy::{Policy, PolicyError};
pub use progress::{Entered, NodeProgress, Picture, ProcessId, Progress, ProgressError};
pub use recovery::{Action, Check, Expect, GateState, Movement, Recovery};
