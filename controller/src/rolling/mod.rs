//! Rolls a cluster: drives the pure rules of `kfleet-rolling` against live hosts.
//!
//! Place in the flow: a play with `strategy: rolling` comes here instead of to the batches. For each node: observe,
//! decide, record the intent, walk the play's tasks on that one host, and observe until every gate is open.
//! Not here: the rules themselves, what the tasks do, how agents are reached.
//!
//! ```text
//!   observe -> decide -> Proceed -> journal "in flight" -> tasks of the play -> observe -> gates -> journal "done"
//!      ^                    |                                                     ^  |
//!      +-- Wait (patience) -+-- Refuse: FAILED_SAFE                               +--+ Wait | Act | expired: FAILED_SAFE
//! ```

mod clocks;
mod driver;
mod members;
mod observe;

pub use driver::roll_play;
pub(crate) use members::node_of;
