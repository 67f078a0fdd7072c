//! Hosts' clocks against each other, as they look from outside: what a host believes of its own clock is not asked.
//!
//! Each clock is read over a round trip, so every figure has a bound of error beside it, and a clock is only called out
//! of step when it is so by more than that bound.

use crate::HostName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Above this a fleet's clocks are not in step: records, tokens and logs of two hosts can no longer be put in order.
/// Chosen; a host that follows a time server in its own network stays within a few milliseconds.
pub const IN_STEP_MS: u64 = 100;

/// How far one clock is ahead of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset {
    /// Milliseconds ahead, negative when behind.
    pub ms: i64,
    /// How far that may be wrong, either way.
    pub uncertainty_ms: u64,
}

impl Offset {
    /// The observer's own clock.
    pub const NONE: Self = Self { ms: 0, uncertainty_ms: 0 };

    /// From one round trip: the other clock was read somewhere between sending and receiving, so the middle is the best
    /// guess and half of the way the bound; one millisecond more, as both clocks are read in whole ones.
    #[must_use]
    pub fn of_round_trip(sent_unix_ms: i64, took: Duration, read_unix_ms: i64) -> Self {
        let half = i64::try_from(took.as_micros().div_ceil(2000)).unwrap_or(i64::MAX);
        let ms = read_unix_ms.saturating_sub(sent_unix_ms.saturating_add(half));
        Self { ms, uncertainty_ms: half.unsigned_abs().saturating_add(1) }
    }

    /// The same clock against another one.
    #[must_use]
    fn against(self, other: Self) -> Self {
        Self {
            ms: self.ms.saturating_sub(other.ms),
            uncertainty_ms: self.uncertainty_ms.saturating_add(other.uncertainty_ms),
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+} ms (± {})", self.ms, self.uncertainty_ms)
    }
}

/// Whether a clock is near enough to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is, even at the far end of its bound.
    InStep,
    /// It is not, even at the near end.
    OutOfStep,
    /// The round trips were too slow to tell.
    Unknown,
}

/// One clock against the fleet's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How far it is ahead of the fleet's time.
    pub offset: Offset,
    /// Whether that is within the limit.
    pub step: Step,
}

/// What a fleet's clocks came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Every host that was asked.
    pub hosts: BTreeMap<HostName, Standing>,
    /// The machine that asked.
    pub observer: Standing,
    /// How far the two hosts' clocks that differ most are apart.
    pub spread: Offset,
}

/// Judges clocks, given as offsets from the observer's.
///
/// The fleet's time is the median of all of them and the observer's: while fewer than half are wrong it is one of those
/// that are right, so that a wrong observer does not make every host look wrong. A clock that was read too slowly to tell
/// is no measure for the others.
#[must_use]
pub fn judge(hosts: &BTreeMap<HostName, Offset>, limit_ms: u64) -> Judgement {
    let sharp = hosts.values().copied().filter(|offset| offset.uncertainty_ms <= limit_ms);
    let mut all: Vec<Offset> = sharp.chain([Offset::NONE]).collect();
    all.sort_by_key(|offset| (offset.ms, offset.uncertainty_ms));
    let time = all.get((all.len() - 1) / 2).copied().unwrap_or(Offset::NONE);
    let stand = |clock: Offset| {
        let offset = clock.against(time);
        let (away, bound) = (offset.ms.unsigned_abs(), offset.uncertainty_ms);
        let step = if away.saturating_sub(bound) > limit_ms {
            Step::OutOfStep
        } else if away.saturating_add(bound) > limit_ms {
            Step::Unknown
        } else {
            Step::InStep
        };
        Standing { offset, step }
    };
    let first = hosts.values().min_by_key(|offset| offset.ms);
    let last = hosts.values().max_by_key(|offset| offset.ms);
    let spread = match (first, last) {
        (Some(first), Some(last)) if first.ms != last.ms => last.against(*first),
        (Some(only), _) => Offset { ms: 0, ..*only },
        (None, _) => Offset::NONE,
    };
    Judgement {
        hosts: hosts.iter().map(|(host, offset)| (host.clone(), stand(*offset))).collect(),
        observer: stand(Offset::NONE),
        spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clocks(offsets: &[(i64, u64)]) -> BTreeMap<HostName, Offset> {
        let name = |n: usize| HostName::new(format!("h{n}")).unwrap();
        let offset = |&(ms, uncertainty_ms): &(i64, u64)| Offset { ms, uncertainty_ms };
        offsets.iter().enumerate().map(|(n, o)| (name(n), offset(o))).collect()
    }

    /// The steps of the hosts and, last, of the observer: `.` in step, `X` out of it, `?` unknown.
    fn steps(offsets: &[(i64, u64)], limit_ms: u64) -> String {
        let judgement = judge(&clocks(offsets), limit_ms);
        let letter = |standing: &Standing| match standing.step {
            Step::InStep => '.',
            Step::OutOfStep => 'X',
            Step::Unknown => '?',
        };
        judgement.hosts.values().chain([&judgement.observer]).map(letter).collect()
    }

    #[test]
    fn the_clocks_that_are_wrong_are_found() {
        type Case<'a> = (&'a str, &'a [(i64, u64)], &'a str);
        let cases: &[Case<'_>] = &[
            ("nobody to ask", &[], "."),
            ("all in step", &[(1, 2), (-3, 2), (0, 2)], "...."),
            ("one ahead", &[(1, 2), (90_000, 2), (0, 2)], ".X.."),
            ("one behind", &[(1, 2), (-90_000, 2), (0, 2)], ".X.."),
            ("the observer itself", &[(60_000, 2), (60_003, 2), (60_001, 2)], "...X"),
            ("just within the limit, bound and all", &[(0, 1), (98, 1), (0, 1)], "...."),
            ("just over it", &[(0, 1), (103, 1), (0, 1)], ".X.."),
            ("the bound covers the limit", &[(0, 1), (100, 1), (0, 1)], ".?.."),
            ("answers too slow to tell", &[(0, 1), (20, 300), (0, 1)], ".?.."),
            ("too slow, and out of step all the same", &[(0, 1), (900, 300), (0, 1)], ".X.."),
            ("one that is too slow to tell is no measure", &[(0, 1), (2, 1), (5_000, 10), (0, 4_000)], "..X?."),
            ("one host alone against the observer", &[(5_000, 2)], "X."),
        ];
        for (name, offsets, expected) in cases {
            assert_eq!(steps(offsets, 100), *expected, "{name}");
        }
    }

    #[test]
    fn the_largest_skew_is_between_two_hosts() {
        assert_eq!(judge(&clocks(&[(5, 1), (-40, 2), (30, 3)]), 100).spread, Offset { ms: 70, uncertainty_ms: 5 });
        assert_eq!(judge(&clocks(&[(5_000, 2)]), 100).spread, Offset { ms: 0, uncertainty_ms: 2 });
    }

    proptest! {
        /// Whatever the way there and back took, the true offset is within the bound.
        #[test]
        fn the_true_offset_is_within_the_bound(
            truth in -100_000_i64..100_000, there_us in 0_u64..500_000, back_us in 0_u64..500_000,
            sent_us in 1_000_000_000_i64..1_000_100_000,
        ) {
            let read_us = sent_us + i64::try_from(there_us).unwrap() + truth * 1000;
            let took = Duration::from_micros(there_us + back_us);
            let offset = Offset::of_round_trip(sent_us / 1000, took, read_us.div_euclid(1000));
            prop_assert!((offset.ms - truth).unsigned_abs() <= offset.uncertainty_ms, "{offset} of {truth}");
        }

        /// While fewer than half of the clocks are wrong, exactly those are found.
        #[test]
        fn a_minority_of_wrong_clocks_is_found_and_nobody_else(
            right in 4_usize..8, wrong in proptest::collection::vec(prop_oneof![-90_000_i64..-1_000, 1_000_i64..90_000], 0..3),
            observer in -500_000_i64..500_000,
        ) {
            let offsets: Vec<(i64, u64)> =
                std::iter::repeat_n(0, right).chain(wrong.iter().copied()).map(|ms| (ms + observer, 2)).collect();
            let expected: String = ".".repeat(right) + &"X".repeat(wrong.len());
            prop_assert_eq!(&steps(&offsets, 100)[..offsets.len()], expected);
        }
    }
}
