//! What one inspection hands to the next: readings to compare with, and how each subject stood.

use crate::finding::{Level, State};
use crate::object::Object;
use crate::reading::Datum;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many states of a subject are kept, as Nagios keeps for its flap detection.
pub const NIGHTS: usize = 21;

/// A reading that is not renewed is forgotten after this many days: a host that stays away for a week still compares
/// with its last night, and one that left does not stay for ever. Chosen.
pub const KEPT_DAYS: i64 = 35;

/// A reading as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its value.
    pub datum: Datum,
    /// When it was taken.
    pub at: Timestamp,
}

/// How a subject stood over nights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The judged states, the latest last.
    pub states: Vec<State>,
    /// Since when it has not been ok; none while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Good nights in a row by the reading itself, while a state is still held.
    #[serde(default)]
    pub good: u32,
    /// The limit that led into the last state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Its state changes often.
    #[serde(default)]
    pub unstable: bool,
    /// When it was last judged.
    pub at: Timestamp,
}

impl Track {
    /// The last judged state.
    #[must_use]
    pub fn last(&self) -> State {
        self.states.last().copied().unwrap_or(State::Ok)
    }

    /// A reading that is only a little better does not leave the state that this limit led into, nor a graver one, until
    /// its second good night.
    #[must_use]
    pub fn holds(&self, level: Level, limit: &str) -> bool {
        let (last, state) = (self.last(), level.state());
        let into = last == state && self.limit.as_deref() == Some(limit);
        let graver = last == State::Crit && state == State::Warn;
        (into || graver) && self.good == 0
    }
}

/// What the next inspection needs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Readings by [`reading_key`].
    pub readings: BTreeMap<String, Remembered>,
    /// Subjects by their text, as far as they were not ok within [`NIGHTS`] nights.
    pub tracks: BTreeMap<String, Track>,
}

/// The name of a reading over nights, such as `disk.used@host:kafka-1/volume:/data`. The store of nightly numbers uses
/// the same.
#[must_use]
pub fn reading_key(key: &str, object: &Object) -> String {
    format!("{key}@{object}")
}
