//! Logs of Kafka, ZooKeeper, the JVM and the kernel: what is looked for in them, and how.
//!
//! Purpose: the [`signature`]s as data, one [`matcher`] for all of them, the forms of lines ([`header`]) and records
//! ([`record`]), counting with severity by count ([`tally`]), causes and followers ([`chain`]), templates for errors that
//! no signature knows ([`template`]), places in files that rotate ([`bookmark`]), and many hosts' records in one order
//! of time ([`merge`]).
//! Place in the flow: the agent reads bytes of its host and gives them to this crate; what travels is what was found. The
//! controller merges what several agents found.
//! Not here: files, clocks and hosts; the time zone of a host's lines is an argument.

pub mod bookmark;
pub mod chain;
pub mod header;
pub mod lines;
pub mod matcher;
pub mod merge;
pub mod record;
pub mod secret;
pub mod signature;
pub mod tally;
pub mod template;

pub use bookmark::{Bookmark, FileNow, Plan, plan};
pub use chain::explain;
pub use header::{Clock, Level, Shape, Stamp};
pub use lines::Lines;
pub use matcher::{Hit, Matcher};
pub use merge::{HostLines, LogAnswer, LogLine, merge};
pub use record::{Reader, Record};
pub use signature::{SIGNATURES, Severity, Signature, Signatures, Source};
pub use tally::{Seen, Tally, severity_of_line};
pub use template::Templates;
