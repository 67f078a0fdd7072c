//! What is wrong with the settings of one Kafka node.
//!
//! Purpose: everything that one file can tell: keys, values, what a role needs, listeners, and combinations that lose
//! data or keep the node from starting.
//! The rules that Kafka enforces itself are those of `KafkaConfig.validateValues` (2.8 to 4.2); the others name their
//! source.
//! Not here: what only several nodes can tell (`cluster`).

mod durability;
mod keys;
mod limits;
pub mod listeners;
mod role;

pub use role::Role;
pub(crate) use role::{Voter, even, voters};

use crate::definitions::{DefaultValue, KAFKA};
use crate::{Extent, Finding, Release, Settings};

/// One node's settings, and what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The release of Kafka.
    pub release: Release,
    /// Whether these are all of its settings.
    pub extent: Extent,
    /// The settings.
    pub settings: &'a Settings,
    /// Keys of the operator's own plugins: names, or beginnings with `*` at the end.
    pub extra: &'a [String],
}

/// Says all that is wrong, sorted by line and key.
#[must_use]
pub fn check(node: Node<'_>) -> Vec<Finding> {
    let mut found = keys::check(node);
    found.extend(role::check(node));
    found.extend(listeners::check(node));
    found.extend(limits::check(node));
    found.extend(durability::check(node));
    found.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
    found
}

impl Node<'_> {
    /// The role, if it can be known.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        role::of(*self)
    }

    /// What holds for a key: its value, or the default where nothing else can be.
    fn effective(&self, key: &str) -> Option<String> {
        if let Some(value) = self.settings.get(key) {
            return Some(value.to_owned());
        }
        match (self.extent, KAFKA.get(key, self.release).map(|found| &found.default)) {
            (Extent::Whole, Some(DefaultValue::Text(default))) => Some(default.clone()),
            (Extent::Whole, Some(DefaultValue::Required | DefaultValue::Null) | None) | (Extent::Part, _) => None,
        }
    }

    /// The same as a number.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.effective(key)?.parse().ok()
    }

    /// The node's id: `node.id`, or `broker.id` that stands for it (both since 2.8). A negative one asks Kafka to choose.
    #[must_use]
    pub fn id(&self) -> Option<i64> {
        self.settings.number("node.id").or_else(|| self.settings.number("broker.id")).filter(|id| *id >= 0)
    }
}

#[cfg(test)]
mod tests;
