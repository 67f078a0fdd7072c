//! The time daemons of a host: what chrony, ntpd, ntpsec and timesyncd say of the clock, in one shape.
//!
//! Purpose: outputs of `chronyc`, `ntpq` and `timedatectl` read into a [`Reading`]; a reading judged ([`judge`]); the
//! configuration of chrony written out of what is wanted ([`Config`]).
//! Place in the flow: the agent runs the commands and acts; whoever inspects judges by the same limits.
//! Not here: commands, files, the clock itself. How far hosts' clocks are from each other is seen from outside
//! (`kfleet_model::clock`): a daemon that is sure of itself may still be wrong.

mod chrony;
mod config;
mod fields;
mod judge;
mod ntp;
mod reading;
mod timesyncd;

pub use chrony::{parse_printed_offset, parse_sources, parse_tracking};
pub use config::{Config, ConfigError, StepPolicy};
pub use fields::ParseError;
pub use judge::{Fault, Level, Limits, judge};
pub use ntp::{parse_peers, parse_variables};
pub use reading::{Daemon, Leap, Reading, Source, SourceState, Sync};
pub use timesyncd::parse_status;
