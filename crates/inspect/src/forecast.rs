//! When something that grows reaches its limit, as a date with a band.
//!
//! The slope is the median of the slopes between all pairs of nights (Theil-Sen), which a few odd nights do not bend;
//! the band holds the middle half of those slopes. One large fall, such as a topic that was deleted, is taken out first.
//! Below seven nights nothing is said.

use crate::finding::Forecast;
use crate::history::{History, Point, all_readings, number};
use crate::memory::reading_key;
use crate::object::Object;
use crate::reading::FleetReadings;
use crate::readings;
use crate::stats::{median, quantile, spread};
use crate::unit::Quantity;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Fewer nights than this say nothing: a week has working days and others.
pub const NIGHTS: usize = 7;

/// How far back a slope looks.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(14 * 24 + 12);

/// A fall is a step, and no part of a trend, when it is this many robust standard deviations from the usual change.
const STEP: f64 = 6.0;

/// Further away than this is never: a date in a hundred years helps nobody, and no calendar holds any number.
const HORIZON_DAYS: f64 = 3650.0;

/// What is forecast: the reading that grows, and the reading of the same part that is its limit.
pub const GROWING: [(&str, &str); 2] = [("disk.used_bytes", "disk.total_bytes"), ("process.fds", "process.nofile")];

/// How fast a series grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// By how much in a day: the median slope.
    pub per_day: f64,
    /// A quarter of the slopes is below this.
    pub low: f64,
    /// A quarter of the slopes is above this.
    pub high: f64,
    /// How many nights it rests on.
    pub nights: usize,
}

/// The trend of a series; none below [`NIGHTS`] nights within [`WINDOW`] of the latest.
#[must_use]
pub fn trend(points: &[Point]) -> Option<Trend> {
    let last = points.iter().map(|point| point.at).max()?;
    let mut recent: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| last.duration_since(point.at) <= WINDOW)
        .map(|point| (days(point.at.duration_since(last)), point.value))
        .collect();
    recent.sort_by(|one, other| one.0.total_cmp(&other.0));
    if recent.len() < NIGHTS {
        return None;
    }
    let recent = without_step(recent);
    let mut slopes = Vec::new();
    for (n, one) in recent.iter().enumerate() {
        for other in recent.iter().skip(n + 1).filter(|other| other.0 > one.0) {
            slopes.push((other.1 - one.1) / (other.0 - one.0));
        }
    }
    slopes.sort_by(f64::total_cmp);
    let (per_day, low, high) = (median(&slopes)?, quantile(&slopes, 0.25)?, quantile(&slopes, 0.75)?);
    Some(Trend { per_day, low, high, nights: recent.len() })
}

/// Lifts what follows the one fall that stands out, so that the growth before and after it is one trend. Two such falls
/// are a saw tooth, which is how retention works, and stay.
fn without_step(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let changes: Vec<f64> = points.iter().zip(points.iter().skip(1)).map(|(one, next)| next.1 - one.1).collect();
    let Some((usual, deviation)) = spread(&changes) else { return points };
    let floor = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max) * 0.01;
    let steps: Vec<(usize, f64)> = changes
        .iter()
        .enumerate()
        .filter(|(_, change)| usual - **change > STEP * deviation.max(floor))
        .map(|(n, change)| (n, usual - change))
        .collect();
    if let [(at, fall)] = steps.as_slice() {
        for point in points.iter_mut().skip(at + 1) {
            point.1 += fall;
        }
    }
    points
}

/// A span in days.
#[must_use]
pub fn days(span: SignedDuration) -> f64 {
    span.as_secs_f64() / 86_400.0
}

/// In how many days a slope goes from a value to a limit; none when it never does.
fn reaches(from: f64, limit: f64, per_day: f64) -> Option<f64> {
    if from >= limit {
        return Some(0.0);
    }
    if per_day <= 0.0 {
        return None;
    }
    Some((limit - from) / per_day).filter(|days| *days <= HORIZON_DAYS)
}

/// When a trend reaches a limit: the most likely number of days from the latest value, the least, and the most.
#[must_use]
pub fn days_left(trend: &Trend, latest: f64, limit: f64) -> Option<(f64, f64, Option<f64>)> {
    let likely = reaches(latest, limit, trend.per_day)?;
    let least = reaches(latest, limit, trend.high).unwrap_or(likely);
    Some((likely, least, reaches(latest, limit, trend.low)))
}

fn after(now: Timestamp, days: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(days * 86_400.0)
        .ok()
        .and_then(|span| now.checked_add(span).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The earlier nights of a reading, with tonight's in place of one of the same moment.
#[must_use]
pub fn with_tonight(earlier: &[Point], tonight: Point) -> Vec<Point> {
    earlier.iter().copied().filter(|point| point.at < tonight.at).chain([tonight]).collect()
}

/// The forecasts of everything in [`GROWING`], the earliest first.
#[must_use]
pub fn forecasts(fleet: &FleetReadings, history: &History, now: Timestamp) -> Vec<Forecast> {
    let all: BTreeMap<String, f64> = readings_by_key(fleet);
    let mut found: Vec<Forecast> = all_readings(fleet)
        .filter_map(|(object, reading)| {
            let (key, limit_key) = GROWING.into_iter().find(|(key, _)| *key == reading.key)?;
            let value = number(reading)?;
            let limit = *all.get(&reading_key(limit_key, &object))?;
            let points = with_tonight(history.of(key, &object), Point { at: reading.taken_at, value });
            forecast(object, key, &points, limit, now)
        })
        .collect();
    found.sort_by(|one, other| (one.reached, &one.object, &one.key).cmp(&(other.reached, &other.object, &other.key)));
    found
}

fn readings_by_key(fleet: &FleetReadings) -> BTreeMap<String, f64> {
    all_readings(fleet).filter_map(|(object, one)| Some((reading_key(&one.key, &object), number(one)?))).collect()
}

fn forecast(object: Object, key: &str, points: &[Point], limit: f64, now: Timestamp) -> Option<Forecast> {
    let trend = trend(points)?;
    let latest = points.last()?.value;
    let (likely, least, most) = days_left(&trend, latest, limit)?;
    let unit = readings::find(key)?.unit;
    let of = |value| Quantity::new(value, unit);
    Some(Forecast {
        object,
        key: key.to_owned(),
        now: of(latest),
        limit: of(limit),
        per_day: of(trend.per_day),
        reached: after(now, likely),
        earliest: after(now, least),
        latest: most.map(|days| after(now, days)),
        nights: u32::try_from(trend.nights).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(values: &[f64]) -> Vec<Point> {
        let start: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
        let at = |n: usize| start + SignedDuration::from_hours(24 * i64::try_from(n).unwrap());
        values.iter().enumerate().map(|(n, &value)| Point { at: at(n), value }).collect()
    }

    #[test]
    fn below_seven_nights_nothing_is_said() {
        assert_eq!(trend(&series(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), None);
        assert!(trend(&series(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])).is_some());
    }

    #[test]
    fn odd_nights_do_not_bend_a_trend() {
        let trend = trend(&series(&[10.0, 12.0, 14.0, 90.0, 18.0, 20.0, 22.0, 24.0])).unwrap();
        assert!((trend.per_day - 2.0).abs() < 1e-9, "{trend:?}");
        let (likely, least, most) = days_left(&trend, 24.0, 100.0).unwrap();
        assert!((likely - 38.0).abs() < 1e-9 && least <= likely && most.is_none_or(|most| most >= likely));
    }

    #[test]
    fn one_large_fall_is_no_trend_and_a_saw_tooth_is_none_either() {
        let fell = trend(&series(&[50.0, 52.0, 54.0, 56.0, 20.0, 22.0, 24.0, 26.0])).unwrap();
        assert!((fell.per_day - 2.0).abs() < 1e-9, "{fell:?}");
        let teeth = trend(&series(&[50.0, 52.0, 54.0, 50.0, 52.0, 54.0, 50.0, 52.0, 54.0, 50.0])).unwrap();
        assert!(teeth.per_day.abs() < 0.5, "{teeth:?}");
    }

    #[test]
    fn what_does_not_grow_is_never_full_and_what_is_full_is_so_now() {
        let flat = trend(&series(&[5.0; 8])).unwrap();
        assert_eq!(days_left(&flat, 5.0, 100.0), None);
        assert_eq!(days_left(&flat, 100.0, 100.0), Some((0.0, 0.0, Some(0.0))));
    }

    proptest! {
        /// A straight line is found whatever single night is wrong.
        #[test]
        fn a_line_is_found_past_one_wrong_night(slope in 0.5_f64..20.0, wrong in 0_usize..12, by in 0.0_f64..500.0) {
            let mut values: Vec<f64> = (0..12).map(|n| 100.0 + slope * f64::from(n)).collect();
            values[wrong] += by;
            let trend = trend(&series(&values)).unwrap();
            prop_assert!((trend.per_day - slope).abs() <= slope * 0.35 + 1e-9, "{trend:?} of {slope}");
            prop_assert!(trend.low <= trend.per_day && trend.per_day <= trend.high);
        }
    }
}
