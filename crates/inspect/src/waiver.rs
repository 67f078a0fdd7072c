//! What people say about findings: waivers, maintenance windows, acknowledgements.

use crate::catalogue::{Catalogue, Check, Excuse};
use crate::condition::fits;
use crate::finding::{State, WaiverNotice};
use crate::layers::InspectionFile;
use crate::object::Object;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long before its end a waiver is told of.
pub const NOTICE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A finding that a person accepts until a date. It lives in Git beside the inventory, so who wrote it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The check's id, or a pattern such as `disk.*`.
    pub check: String,
    /// The object's text, or a pattern such as `host:kafka-*`. Default all.
    #[serde(default = "all")]
    pub object: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it is acceptable.
    pub reason: String,
    /// Until when.
    pub expires: Timestamp,
}

/// A time in which some things are expected. kfleet's own operations open and close them too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The object's text, or a pattern. Default all.
    #[serde(default = "all")]
    pub object: String,
    /// Ids or patterns of the checks whose findings it explains. Default all that a window can explain at all.
    #[serde(default = "every")]
    pub checks: Vec<String>,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// What was done, such as the name of the run.
    pub reason: String,
}

/// A finding that somebody has seen: no notice of it until it gets worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The check's id.
    pub check: String,
    /// The object's text.
    pub object: Object,
    /// Who.
    pub owner: String,
    /// How it stood then; a worse state is told again.
    pub state: State,
}

fn all() -> String {
    "*".to_owned()
}

fn every() -> Vec<String> {
    vec![all()]
}

/// What can not be in an operator's waivers and windows.
pub(crate) fn errors(file: &InspectionFile, catalogue: &Catalogue) -> Vec<String> {
    let known = |pattern: &str| catalogue.checks.iter().any(|check| fits(pattern, check.id.as_str()));
    let mut errors = Vec::new();
    for waiver in &file.waivers {
        let name = format!("waiver of {} for {:?}", waiver.check, waiver.object);
        if !known(&waiver.check) {
            errors.push(format!("{name}: there is no such check"));
        }
        for (field, text) in [("owner", &waiver.owner), ("reason", &waiver.reason)] {
            if text.trim().is_empty() {
                errors.push(format!("{name}: it has no {field}"));
            }
        }
    }
    for window in &file.windows {
        let name = format!("window {:?}", window.reason);
        if window.until <= window.from {
            errors.push(format!("{name}: it ends at {}, before it begins at {}", window.until, window.from));
        }
        for pattern in window.checks.iter().filter(|pattern| !known(pattern)) {
            errors.push(format!("{name}: there is no check {pattern}"));
        }
    }
    for acknowledgement in file.acknowledgements.iter().filter(|ack| catalogue.get(&ack.check).is_none()) {
        errors.push(format!("acknowledgement of {}: there is no such check", acknowledgement.check));
    }
    errors
}

impl Waiver {
    /// It is about this, whether or not it still holds.
    #[must_use]
    pub fn covers(&self, check: &str, object: &str) -> bool {
        fits(&self.check, check) && fits(&self.object, object)
    }

    /// It still holds.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    /// What there is to say of it: nothing while it is used and its end is far.
    pub(crate) fn notice(&self, used: bool, now: Timestamp) -> Option<WaiverNotice> {
        let near = self.expires.duration_since(now) <= NOTICE;
        if !near && used {
            return None;
        }
        Some(WaiverNotice {
            check: self.check.clone(),
            object: self.object.clone(),
            owner: self.owner.clone(),
            expires: self.expires,
            expired: !self.holds(now),
            unused: !used,
        })
    }
}

impl Window {
    /// It explains a finding: of a thing that is so `now`, or of one that happened since `before`. The object is also
    /// covered when a window names its host or cluster as a whole.
    #[must_use]
    pub fn explains(&self, check: &Check, object: &Object, before: Option<Timestamp>, now: Timestamp) -> bool {
        let open = match check.excuse {
            None => return false,
            Some(Excuse::State) => self.from <= now && now <= self.until,
            Some(Excuse::Event) => self.from <= now && before.is_none_or(|before| self.until >= before),
        };
        let named = |object: &Object| fits(&self.object, &object.to_string());
        let whole = Object::new(object.owner.clone(), None);
        open && self.checks.iter().any(|pattern| fits(pattern, check.id.as_str())) && (named(object) || named(&whole))
    }
}
