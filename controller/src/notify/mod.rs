//! Notices of inspections: what is told to whom, in which form, and what became of it.
//!
//! Flow: [`settings`] reads `notify.yml`; [`plan`] decides, as a pure function of the inspection, the routes and what every
//! channel was told before, which [`message`]s there are; a [`channel`] renders one into a request within its peer's limits,
//! signs it and judges the answer, as a pure function too (one file for each kind: [`dingtalk`], [`wecom`], [`feishu`],
//! [`slack`], [`email`], [`pagerduty`], [`alertmanager`], [`webhook`]); [`send`] has the effects.
//! [`tell`] does all of it for one inspection. Not here: how records are kept (`history`), and when an inspection runs.

pub mod alertmanager;
mod alerts;
pub mod channel;
pub mod dingtalk;
pub mod email;
pub mod feishu;
pub mod fields;
mod http;
mod items;
mod markup;
pub mod message;
pub mod pagerduty;
pub mod plan;
pub mod routing;
pub mod secret;
pub mod send;
pub mod settings;
mod sign;
pub mod slack;
mod smtp;
mod tell;
pub mod webhook;
pub mod wecom;
pub mod words;

#[cfg(test)]
pub(crate) mod peer;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use items::test_message;
pub use message::{DedupKey, Language, Mark, Message};
pub use plan::{Clusters, Notice, Plan, Sent, Told, plan};
pub use routing::Routing;
pub use secret::Secret;
pub use send::{Delivery, Outcome, Retry, deliver, deliver_all};
pub use settings::{Loaded, Notify, load};
pub use tell::tell;
