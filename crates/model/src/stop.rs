//! What stopping nodes would do to their cluster, as arithmetic on a snapshot.
//!
//! Purpose: one probe for all who ask before a stop: the roll, which has a policy and several views, and the agent's
//! guard rail, which has its own member's view and no policy ([`guard`]).
//! Not here: the roll's rules (`kfleet-rolling`), and how a snapshot is taken (`kfleet-kafka`).

pub mod guard;
pub mod partition;
pub mod probe;
pub mod quorum;

pub use probe::{never_passes, probe};
