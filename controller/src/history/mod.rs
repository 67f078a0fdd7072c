//! The run store: what was run, by whom, with which files, what happened, and how far a rolling operation is.
//!
//! Place in the flow: the dispatcher writes every event and every op's outcome here; `resume` and `runs` read it.
//! One SQLite database in the fleet directory, written by one process at a time (WAL, so readers never wait).
//! Events and outcomes are committed in groups: an agent keeps its own record of each op, so losing the last
//! moment of this one costs nothing but a question. The steps of a roll are committed with a full sync before they
//! are acted on.

mod nights;
mod notices;
mod schedules;
mod store;

pub use nights::{InspectionRecord, NIGHTS};
pub use schedules::{Cause, ScheduleEnd, ScheduleRun, Settled, SettledHow};
pub use store::{OpRecord, RunRecord, Store, StoreError};
