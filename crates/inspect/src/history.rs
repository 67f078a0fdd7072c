//! Nightly numbers: what is kept of each night for trends, forecasts and anomalies.
//!
//! The store keeps [`numbers`] of each inspection, by day; it gives them back as [`History`].

use crate::memory::reading_key;
use crate::object::{Object, Owner};
use crate::reading::{Datum, FleetReadings, Outcome, Reading};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One night's number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it was read.
    pub at: Timestamp,
    /// The number, in the unit of its key.
    pub value: f64,
}

/// Numbers of earlier nights by [`reading_key`], the oldest first. Of several inspections in a day the store keeps the
/// largest number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    /// The series.
    pub series: BTreeMap<String, Vec<Point>>,
}

impl History {
    /// The series of a reading; empty when there is none.
    #[must_use]
    pub fn of(&self, key: &str, object: &Object) -> &[Point] {
        self.series.get(&reading_key(key, object)).map_or(&[], Vec::as_slice)
    }
}

/// The number that a reading comes to for trends: the largest of samples, none of what is no quantity.
#[must_use]
pub fn number(reading: &Reading) -> Option<f64> {
    let Outcome::Read(datum) = &reading.outcome else { return None };
    match datum {
        Datum::Int(value) => Some(float(*value)),
        Datum::Float(value) => Some(*value),
        Datum::Samples(samples) => samples.iter().copied().reduce(f64::max),
        Datum::Flag(_)
        | Datum::Text(_)
        | Datum::Time(_)
        | Datum::List(_)
        | Datum::Counter(_)
        | Datum::Numbers(_)
        | Datum::Texts(_)
        | Datum::Offsets(_) => None,
    }
}

/// A whole number as one with fractions.
#[expect(clippy::cast_precision_loss, reason = "readings stay far below 2^53; a limit is never that exact")]
pub(crate) fn float(value: i64) -> f64 {
    value as f64
}

/// Every reading of an inspection with its object.
pub fn all_readings(fleet: &FleetReadings) -> impl Iterator<Item = (Object, &Reading)> {
    let hosts = fleet.hosts.iter().map(|host| (Owner::Host(host.host.clone()), &host.readings));
    let clusters = fleet.clusters.iter().map(|cluster| (Owner::Cluster(cluster.cluster.clone()), &cluster.readings));
    let all = hosts.chain(clusters).chain([(Owner::Fleet, &fleet.readings)]);
    all.flat_map(|(owner, readings)| {
        readings.iter().map(move |reading| (Object::new(owner.clone(), reading.part.clone()), reading))
    })
}

/// The numbers of an inspection that are worth keeping, by [`reading_key`].
#[must_use]
pub fn numbers(fleet: &FleetReadings) -> BTreeMap<String, Point> {
    let all = all_readings(fleet).filter_map(|(object, reading)| {
        let value = number(reading).filter(|value| value.is_finite())?;
        Some((reading_key(&reading.key, &object), Point { at: reading.taken_at, value }))
    });
    all.collect()
}
