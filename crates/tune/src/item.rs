//! One item as people and machines see it.

use crate::Needs;
use serde::Serialize;

/// How one side of an item, the live or the persisted one, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It satisfies the rule.
    Fits,
    /// It does not, and can be set.
    Differs,
    /// It does not, and can not be set from here.
    Refused,
    /// It can not be, or need not be, on this host.
    NotHere,
}

/// How an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing has to be done.
    Fits,
    /// It has to be set.
    Differs,
    /// It is set, and the service has it after its next start.
    Restart,
    /// It does not satisfy the rule and can not be set from here.
    Refused,
    /// There is no such thing on this host.
    NotHere,
    /// The operator does not want it.
    LeftOut,
}

/// One item on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: Status,
    /// The live value; none when there is none.
    pub now: Option<String>,
    /// What satisfies the rule.
    pub wanted: String,
    /// What would be set.
    pub to: Option<String>,
    /// How the live value stands.
    pub live: Fit,
    /// The value that the next boot, or the next start of the service, would set.
    pub persisted: Option<String>,
    /// How that stands.
    pub kept: Fit,
    /// The file that says so.
    pub persisted_by: Option<String>,
    /// Why it can not be set, or is not here.
    pub reason: Option<String>,
    /// What it is good for.
    pub why: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What can go wrong.
    pub risk: &'static str,
    /// What it needs to take effect.
    pub needs: Needs,
}
