//! Where collectors put what they read.

use crate::collect::CollectError;
use crate::host::HostError;
use jiff::Timestamp;
use kfleet_inspect::{Confidence, Cost, Datum, Outcome, Part, Reading};

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gap {
    /// The thing does not exist here, so nothing can be wrong with it.
    NotHere(String),
    /// It could not be read.
    Unreadable(String),
}

impl Gap {
    pub(super) fn not_here(why: impl Into<String>) -> Self {
        Self::NotHere(why.into())
    }

    pub(super) fn unreadable(why: impl Into<String>) -> Self {
        Self::Unreadable(why.into())
    }
}

impl From<HostError> for Gap {
    fn from(error: HostError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<CollectError> for Gap {
    fn from(error: CollectError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A value, or why there is none.
pub(super) type Told = Result<Datum, Gap>;

/// What was read so far.
pub(super) struct Sink {
    readings: Vec<Reading>,
    now: Timestamp,
}

impl Sink {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { readings: Vec::new(), now }
    }

    /// A collector begins; gives the place of its first reading.
    pub(super) fn begin(&mut self, now: Timestamp) -> usize {
        self.now = now;
        self.readings.len()
    }

    /// Whether anything was said of a key from a place on.
    pub(super) fn has(&self, key: &str, from: usize) -> bool {
        self.readings.iter().skip(from).any(|reading| reading.key == key)
    }

    /// What the collector costed stands at its first reading, so that the sum over all readings is the cost of all.
    pub(super) fn cost(&mut self, from: usize, cost: Cost) {
        if let Some(first) = self.readings.get_mut(from) {
            first.cost = Some(cost);
        }
    }

    /// Says what was read of the host as a whole.
    pub(super) fn tell(&mut self, key: &str, source: &str, told: Told) {
        self.put(key, None, source, told, Confidence::High);
    }

    /// Says what was read of a part.
    pub(super) fn tell_of(&mut self, part: &Part, key: &str, source: &str, told: Told) {
        self.put(key, Some(part.clone()), source, told, Confidence::High);
    }

    /// Says what was read, and how much the source is to be trusted.
    pub(super) fn put(&mut self, key: &str, part: Option<Part>, source: &str, told: Told, trust: Confidence) {
        match told {
            Ok(datum) => {
                let reading = Reading::new(key, datum, source, self.now).trusted(trust);
                self.readings.push(Reading { part, ..reading });
            }
            Err(gap) => self.gap(key, part, gap, source),
        }
    }

    /// Says why there is no value.
    pub(super) fn gap(&mut self, key: &str, part: Option<Part>, gap: Gap, source: &str) {
        let outcome = match gap {
            Gap::NotHere(why) => Outcome::NotHere { why },
            Gap::Unreadable(why) => Outcome::Unreadable { why },
        };
        self.readings.push(Reading { part, ..Reading::of(key, outcome, source, self.now) });
    }

    /// Adds lines to the last reading that show it.
    pub(super) fn shown_by(&mut self, evidence: Vec<String>) {
        if let Some(last) = self.readings.last_mut() {
            last.evidence = evidence;
        }
    }

    /// Takes readings that were made elsewhere.
    pub(super) fn extend(&mut self, readings: Vec<Reading>) {
        self.readings.extend(readings);
    }

    pub(super) fn into_readings(self) -> Vec<Reading> {
        self.readings
    }
}
