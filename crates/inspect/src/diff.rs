//! Two inspections of one fleet against each other.

use crate::finding::{Change, Finding, Inspection, SCHEMA, State, Subject};
use crate::judge::absent;
use kfleet_model::FleetName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Why two documents are not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// They are of two fleets.
    #[error("the inspections are of two fleets, {before} and {after}")]
    Fleets {
        /// The earlier one's.
        before: FleetName,
        /// The later one's.
        after: FleetName,
    },
    /// One is of another schema.
    #[error("the schema {0} can not be compared, only {SCHEMA}")]
    Schema(String),
}

/// What became of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// What.
    pub subject: Subject,
    /// How it changed.
    pub change: Change,
    /// How it stood; none when it was no finding.
    pub before: Option<State>,
    /// How it stands; none when it is no finding.
    pub after: Option<State>,
}

/// Every finding of either inspection, once; what got worse first.
///
/// # Errors
/// When they can not be compared.
pub fn diff(before: &Inspection, after: &Inspection) -> Result<Vec<Delta>, DiffError> {
    for one in [before, after] {
        if one.schema != SCHEMA {
            return Err(DiffError::Schema(one.schema.clone()));
        }
    }
    if before.fleet != after.fleet {
        return Err(DiffError::Fleets { before: before.fleet.clone(), after: after.fleet.clone() });
    }
    let index = |of: &Inspection| -> BTreeMap<Subject, State> {
        of.findings.iter().map(|finding: &Finding| (finding.subject(), finding.judged)).collect()
    };
    let (old, new) = (index(before), index(after));
    let subjects: BTreeSet<&Subject> = old.keys().chain(new.keys()).collect();
    let mut deltas: Vec<Delta> = subjects
        .into_iter()
        .map(|subject| {
            let (before, now) = (old.get(subject).copied(), new.get(subject).copied());
            Delta { subject: subject.clone(), change: change(subject, before, now, after), before, after: now }
        })
        .collect();
    deltas.sort_by(|one, other| {
        (order(one.change), other.after, &one.subject).cmp(&(order(other.change), one.after, &other.subject))
    });
    Ok(deltas)
}

fn change(subject: &Subject, before: Option<State>, after: Option<State>, document: &Inspection) -> Change {
    match (before, after) {
        (None, _) => Change::New,
        (Some(before), Some(after)) if after > before => Change::Worse,
        (Some(before), Some(after)) if after < before => Change::Better,
        (Some(_), Some(_)) => Change::Unchanged,
        (Some(_), None) => {
            let passed = document.passed.get(&subject.check);
            if passed.is_some_and(|objects| objects.contains(&subject.object)) {
                return Change::Fixed;
            }
            absent(&subject.object, |host| document.coverage.missing.contains_key(host))
        }
    }
}

/// Regressions first.
fn order(change: Change) -> u8 {
    match change {
        Change::New => 0,
        Change::Worse => 1,
        Change::Unchanged => 2,
        Change::Better => 3,
        Change::Fixed => 4,
        Change::Gone => 5,
        Change::Unseen => 6,
    }
}
