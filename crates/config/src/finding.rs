//! What is wrong with a configuration.

use crate::value::Wrong;
use crate::{Release, Settings};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The service does not start, does not do what is asked, or loses data.
    Error,
    /// It works, and is probably not what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The key that it is about.
    pub key: String,
    /// The line of that key in its file, from 1.
    pub line: Option<usize>,
    /// The hosts that it is about; none when it is about the one node that was checked.
    pub hosts: Vec<String>,
    /// What it is.
    pub problem: Problem,
}

impl Finding {
    /// An error of one node.
    pub(crate) fn error(key: &str, settings: &Settings, problem: Problem) -> Self {
        let line = settings.line(key);
        Self { severity: Severity::Error, key: key.to_owned(), line, hosts: Vec::new(), problem }
    }

    /// A warning of one node.
    pub(crate) fn warning(key: &str, settings: &Settings, problem: Problem) -> Self {
        Self { severity: Severity::Warning, ..Self::error(key, settings, problem) }
    }

    /// An error across hosts.
    pub(crate) fn across(key: &str, hosts: Vec<String>, problem: Problem) -> Self {
        Self { severity: Severity::Error, key: key.to_owned(), line: None, hosts, problem }
    }

    /// The same, as a warning.
    pub(crate) fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
}

/// What can be wrong, with the names and numbers of the case. Values of secret keys are in none of them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// No release has the key.
    #[error("{release} has no key '{key}'")]
    Unknown {
        /// The key.
        key: String,
        /// The service with its release.
        release: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// A later release brings the key.
    #[error("'{key}' comes with {since}, and this is {release}")]
    NotYet {
        /// The key.
        key: String,
        /// The release that brings it.
        since: Release,
        /// The release that was asked about.
        release: Release,
    },
    /// The key was taken out.
    #[error("'{key}' is gone after {last}, and this is {release}")]
    Removed {
        /// The key.
        key: String,
        /// The last release that had it.
        last: Release,
        /// The release that was asked about.
        release: Release,
        /// What to do instead.
        instead: Option<&'static str>,
    },
    /// The service's documentation calls the key deprecated.
    #[error("'{key}' is deprecated")]
    Deprecated {
        /// The key.
        key: String,
        /// What to do instead.
        instead: Option<&'static str>,
    },
    /// The value is not taken.
    #[error("'{key}' {wrong}{}", .got.as_ref().map(|got| format!(", not {got:?}")).unwrap_or_default())]
    Value {
        /// The key.
        key: String,
        /// What is wrong with the value.
        wrong: Wrong,
        /// The value; none when it is secret.
        got: Option<String>,
    },
    /// The key stands in the file twice; the last one counts.
    #[error("'{key}' stands in the file twice; the one on line {line} does not count")]
    Twice {
        /// The key.
        key: String,
        /// The line of the one that does not count.
        line: usize,
    },
    /// An escape that Java refuses, and with it the whole file.
    #[error("'{key}' has a \\u without four hexadecimal digits, and Java refuses the whole file for it")]
    Malformed {
        /// The key.
        key: String,
    },
    /// A key that must be set is not.
    #[error("'{key}' is not set, and {role} needs it")]
    Missing {
        /// The key, or the choice of keys.
        key: String,
        /// Who needs it: "a KRaft controller".
        role: &'static str,
    },
    /// The text is not of the form that its key has.
    #[error("'{key}' has {got:?}, which is not {form}")]
    Form {
        /// The key.
        key: String,
        /// The part that is wrong.
        got: String,
        /// The right form.
        form: &'static str,
    },
    /// A rule between keys that the service itself enforces, or that its operation needs.
    #[error("{why}")]
    Rule {
        /// The rule, with the names and values of the case.
        why: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// The number of voters is even: one more than an odd number survives no more failures.
    #[error("{voters} voters are an even number: {survives} of them may fail, as of {}", .voters - 1)]
    EvenQuorum {
        /// How many voters there are.
        voters: usize,
        /// How many may fail.
        survives: usize,
    },
    /// Several nodes have the same value where each needs its own.
    #[error("{} have the same {what} {value}", .nodes.join(" and "))]
    Same {
        /// What is the same: "node id", "port".
        what: &'static str,
        /// The value.
        value: String,
        /// The nodes.
        nodes: Vec<String>,
    },
    /// Nodes of one cluster differ where they must not.
    #[error("the nodes do not agree on '{key}': {}", .values.join("; "))]
    Disagree {
        /// The key.
        key: String,
        /// Each value with its hosts.
        values: Vec<String>,
    },
}

impl Problem {
    /// Whether the key is one that the service does not read, and passes over.
    #[must_use]
    pub fn is_passed_over(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::NotYet { .. } | Self::Removed { .. } => true,
            Self::Deprecated { .. }
            | Self::Value { .. }
            | Self::Twice { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::Form { .. }
            | Self::Rule { .. }
            | Self::EvenQuorum { .. }
            | Self::Same { .. }
            | Self::Disagree { .. } => false,
        }
    }

    /// Whether the value is what is wrong, and not the key.
    #[must_use]
    pub fn is_about_the_value(&self) -> bool {
        match self {
            Self::Value { .. } | Self::Form { .. } => true,
            Self::Unknown { .. }
            | Self::NotYet { .. }
            | Self::Removed { .. }
            | Self::Deprecated { .. }
            | Self::Twice { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::Rule { .. }
            | Self::EvenQuorum { .. }
            | Self::Same { .. }
            | Self::Disagree { .. } => false,
        }
    }

    /// What to do about it: for people, a line of its own.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean '{nearest}'?")),
            Self::Unknown { nearest: None, .. } => {
                Some("name the keys of your own plugins in the parameter extra_keys".to_owned())
            }
            Self::Removed { instead, .. } | Self::Deprecated { instead, .. } => instead.map(str::to_owned),
            Self::Rule { hint, .. } => hint.map(str::to_owned),
            Self::Value { wrong: Wrong::Word { words, .. }, got: Some(got), .. }
                if words.contains(&"yes") && matches!(got.as_str(), "true" | "false") =>
            {
                Some("YAML reads yes and no as true and false: put the word in quotes".to_owned())
            }
            Self::NotYet { .. }
            | Self::Value { .. }
            | Self::Twice { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::Form { .. }
            | Self::EvenQuorum { .. }
            | Self::Same { .. }
            | Self::Disagree { .. } => None,
        }
    }
}
