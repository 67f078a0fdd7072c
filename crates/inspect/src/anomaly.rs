//! Readings far from normal: from their own earlier nights, or from the same reading of their peers.
//!
//! Marks only, never part of the verdict: they show what no check has a rule for (catalogue, `cap.anomaly` and
//! `cap.peer_outlier`).

use crate::finding::{Against, Anomaly};
use crate::history::{History, Point, all_readings, number};
use crate::object::{Object, Owner};
use crate::reading::{DatumKind, FleetReadings, Role};
use crate::readings;
use crate::stats::spread;
use crate::unit::Quantity;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Fewer numbers than this have no normal.
pub const POINTS: usize = 7;

/// Hosts of one set of roles, below which none is the odd one.
pub const PEERS: usize = 5;

/// How far from its own history a reading is marked (catalogue, `cap.anomaly`).
pub const HISTORY_Z: f64 = 6.0;

/// How far from its peers (catalogue, `cap.peer_outlier`).
pub const PEERS_Z: f64 = 5.0;

/// A number that never changed has no deviation; a hundredth of it, or this much, is taken for one.
const LEAST: f64 = 0.01;

/// Beyond this, how far means nothing more.
const MOST_Z: f64 = 1000.0;

/// The robust distance of a number from others.
fn distance(value: f64, others: &[f64], kind: DatumKind) -> Option<(f64, f64)> {
    let (middle, deviation) = spread(others)?;
    let least = if kind == DatumKind::Int { 1.0 } else { LEAST };
    let deviation = deviation.max(middle.abs() * LEAST).max(least);
    Some((middle, ((value - middle).abs() / deviation).min(MOST_Z)))
}

/// The nights to compare with: those of the same weekday when there are enough, else all.
fn comparable(points: &[Point], at: Timestamp) -> Vec<f64> {
    let day = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).weekday();
    let earlier: Vec<&Point> = points.iter().filter(|point| point.at < at).collect();
    let same: Vec<f64> = earlier.iter().filter(|point| day(point.at) == day(at)).map(|point| point.value).collect();
    if same.len() >= POINTS { same } else { earlier.into_iter().map(|point| point.value).collect() }
}

/// Every mark, the farthest first.
#[must_use]
pub fn anomalies(fleet: &FleetReadings, history: &History) -> Vec<Anomaly> {
    let roles: BTreeMap<&str, Vec<Role>> =
        fleet.hosts.iter().map(|host| (host.host.as_str(), host.roles.iter().copied().collect())).collect();
    let mut peers: BTreeMap<(Vec<Role>, String, String), Vec<(Object, f64)>> = BTreeMap::new();
    let mut found = Vec::new();
    for (object, reading) in all_readings(fleet) {
        let (Some(value), Some(key)) = (number(reading), readings::find(&reading.key)) else { continue };
        let others = comparable(history.of(key.key, &object), reading.taken_at);
        if others.len() >= POINTS {
            found.extend(mark(&object, key, value, &others, (Against::History, HISTORY_Z)));
        }
        if let Owner::Host(host) = &object.owner {
            let part = object.part.as_ref().map(ToString::to_string).unwrap_or_default();
            let roles = roles.get(host.as_str()).cloned().unwrap_or_default();
            peers.entry((roles, reading.key.clone(), part)).or_default().push((object, value));
        }
    }
    for ((_, key, _), hosts) in peers.into_iter().filter(|(_, hosts)| hosts.len() >= PEERS) {
        let Some(key) = readings::find(&key) else { continue };
        let all: Vec<f64> = hosts.iter().map(|(_, value)| *value).collect();
        for (object, value) in &hosts {
            found.extend(mark(object, key, *value, &all, (Against::Peers, PEERS_Z)));
        }
    }
    found.sort_by(|one, other| {
        let names = (&one.object, &one.key, one.against).cmp(&(&other.object, &other.key, other.against));
        other.z.total_cmp(&one.z).then(names)
    });
    found
}

fn mark(
    object: &Object,
    key: &readings::Key,
    value: f64,
    others: &[f64],
    (against, limit): (Against, f64),
) -> Option<Anomaly> {
    let (median, z) = distance(value, others, key.kind)?;
    let of = |value| Quantity::new(value, key.unit);
    let (object, key) = (object.clone(), key.key.to_owned());
    (z > limit).then(|| Anomaly { object, key, value: of(value), median: of(median), z, against })
}
