//! What a module would do, or did, to one object of a host.

use crate::Value;
use serde::{Deserialize, Serialize};

/// One difference between the wanted and the found state of a host.
///
/// A list of these is the whole outcome of a module's `diff`: an empty list means that nothing has to be done,
/// and `changed` of a task is derived from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The object: a path, a unit, a package, a user.
    pub object: String,
    /// Which property of it: `content`, `mode`, `state`, `enabled`, ...
    pub property: String,
    /// What was found; null when there was nothing.
    pub from: Value,
    /// What is wanted; null when it shall go.
    pub to: Value,
    /// A unified diff for text, made only when diff mode asks for it and the content is not secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Change {
    /// A change of one property from one value to another.
    pub fn new(
        object: impl Into<String>,
        property: impl Into<String>,
        from: impl Into<Value>,
        to: impl Into<Value>,
    ) -> Self {
        Self { object: object.into(), property: property.into(), from: from.into(), to: to.into(), diff: None }
    }

    /// The same change with a unified diff beside it.
    #[must_use]
    pub fn with_diff(mut self, diff: String) -> Self {
        self.diff = Some(diff);
        self
    }
}
