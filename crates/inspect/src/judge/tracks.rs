//! How each subject stood over nights: since when, how often it changed, and what of it the next night needs.

use super::{Judged, Night};
use crate::finding::{State, Subject, Unstable};
use crate::history::float;
use crate::memory::{KEPT_DAYS, NIGHTS, Track};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// From this weighted share of changes on a subject is unstable, and below the second it no longer is (the idea and the
/// two limits are Nagios's `high_host_flap_threshold` and `low_host_flap_threshold`; the values are chosen).
const UNSTABLE: (f64, f64) = (30.0, 20.0);

/// Fewer nights than this are no pattern.
const FEWEST: usize = 6;

/// The tracks after tonight.
pub(super) fn next(night: &Night<'_>, judged: &Judged<'_>) -> BTreeMap<String, Track> {
    let forget = SignedDuration::from_hours(KEPT_DAYS * 24);
    let before = night.last.map(|last| &last.memory.tracks).into_iter().flatten();
    // A subject that nobody judged tonight keeps its track: a host that is away comes back to its own past.
    let mut tracks: BTreeMap<String, Track> = before
        .filter(|(_, track)| night.now.duration_since(track.at) <= forget)
        .map(|(subject, track)| (subject.clone(), track.clone()))
        .collect();
    for (check, raw) in judged {
        let name = Subject { check: check.id.clone(), object: raw.object.clone() }.to_string();
        let old = tracks.remove(&name);
        let old = old.as_ref();
        let mut states = old.map(|track| track.states.clone()).unwrap_or_default();
        states.push(raw.state);
        let excess = states.len().saturating_sub(NIGHTS);
        states.drain(..excess);
        if states.iter().all(|state| matches!(state, State::Ok | State::Skip)) {
            continue;
        }
        let bad = raw.state.counts() || raw.state == State::Info;
        let since = old.and_then(|track| track.since).or(Some(night.now)).filter(|_| bad);
        let good = if raw.held { old.map_or(0, |track| track.good) + 1 } else { 0 };
        let limit = raw.fired.as_ref().and_then(|fired| fired.limit.clone());
        let was = old.is_some_and(|track| track.unstable);
        let unstable = changes(&states).is_some_and(|one| one.percent >= if was { UNSTABLE.1 } else { UNSTABLE.0 });
        tracks.insert(name, Track { states, since, good, limit, unstable, at: night.now });
    }
    tracks
}

/// How often a subject changed, later changes counting more: from 0.8 to 1.2, as Nagios weighs them. Nights in which it
/// did not apply change nothing.
#[must_use]
pub(super) fn changes(states: &[State]) -> Option<Unstable> {
    let states: Vec<State> = states.iter().copied().filter(|state| *state != State::Skip).collect();
    if states.len() < FEWEST {
        return None;
    }
    let pairs = states.len() - 1;
    let size = |n: usize| float(i64::try_from(n).unwrap_or(i64::MAX));
    let (mut changes, mut weight) = (0_u32, 0.0);
    for (n, (one, next)) in states.iter().zip(states.iter().skip(1)).enumerate() {
        if one != next {
            changes += 1;
            weight += 0.8 + 0.4 * size(n) / size(pairs.max(2) - 1);
        }
    }
    let nights = u32::try_from(states.len()).unwrap_or(u32::MAX);
    Some(Unstable { changes, nights, percent: 100.0 * weight / size(pairs) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Crit, Ok as Good, Skip, Warn};

    #[test]
    fn changes_are_weighed_by_their_age() {
        assert_eq!(changes(&[Good, Warn, Good]), None, "three nights are no pattern");
        let steady = changes(&[Warn; 10]).unwrap();
        assert_eq!((steady.changes, steady.nights), (0, 10));
        let early = changes(&[Good, Warn, Good, Good, Good, Good, Good, Good]).unwrap();
        let late = changes(&[Good, Good, Good, Good, Good, Good, Warn, Good]).unwrap();
        assert_eq!((early.changes, late.changes), (2, 2));
        assert!(early.percent < late.percent, "{early:?} {late:?}");
        let all = changes(&[Good, Crit, Good, Crit, Good, Crit, Good, Crit]).unwrap();
        assert!((all.percent - 100.0).abs() < 1e-9, "{all:?}");
        assert_eq!(changes(&[Warn, Skip, Warn, Warn, Skip, Warn, Warn, Warn]).unwrap().changes, 0);
    }
}
