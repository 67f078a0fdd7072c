//! Ids as newtypes: a host name can not be given where an op id is wanted.
//!
//! Every text that names a thing on disk or on the wire is checked here once, so that no path or certificate
//! is ever made of an unchecked name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {why}")]
pub struct NameError {
    /// What the text should have named, for example "host name".
    pub kind: &'static str,
    /// The text as it was given.
    pub text: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

/// Checks a name that may become a file name, a certificate field or a log field.
///
/// Letters, digits, `-`, `_` and `.`, at most 253 bytes, beginning with a letter, digit or `_`.
fn check(kind: &'static str, text: &str) -> Result<(), NameError> {
    let fail = |why| Err(NameError { kind, text: text.to_owned(), why });
    if text.is_empty() {
        return fail("it is empty");
    }
    if text.len() > 253 {
        return fail("it is longer than 253 bytes");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return fail("it must begin with a letter, a digit or '_'");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return fail("only letters, digits, '-', '_' and '.' are allowed");
    }
    if text.contains("..") {
        return fail("'..' is not allowed");
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it as a name.
            ///
            /// # Errors
            /// When a character, the length or the first letter is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($kind, &text)?;
                Ok(Self(text))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// A service that has certificates of the fleet's own, such as `kafka`.
    ServiceName,
    "service name"
);
name_type!(
    /// A host as the inventory names it.
    HostName,
    "host name"
);
name_type!(
    /// A fleet: the hosts that one pair of certificate authorities speaks for.
    FleetName,
    "fleet name"
);
name_type!(
    /// A person or program that holds an operator certificate.
    OperatorName,
    "operator name"
);
name_type!(
    /// One run of a playbook, of an ad-hoc command or of a rolling operation.
    RunId,
    "run id"
);
name_type!(
    /// One operation on one host. The controller makes it from run, task, loop item and attempt, so that a
    /// resumed run asks for the same operation by the same id.
    OpId,
    "op id"
);
name_type!(
    /// A Kafka cluster or ZooKeeper ensemble: the name of its inventory group.
    ClusterName,
    "cluster name"
);

/// A number that only grows for a cluster; an agent refuses an operation with a lower one than it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Kafka broker id (`broker.id`, `node.id`) or a ZooKeeper server id (`myid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerId(pub i32);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number in it.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_a_folder_are_refused() {
        for text in ["", "a/b", "..", ".hidden", "a..b", "-x", "a b", "ä", "a\0b", "a\n"] {
            assert!(HostName::new(text).is_err(), "{text:?} must be refused");
        }
        for text in ["kafka-1", "kafka1.example.org", "10.0.0.1", "_x", "K_1"] {
            assert!(HostName::new(text).is_ok(), "{text:?} must be accepted");
        }
    }
}
