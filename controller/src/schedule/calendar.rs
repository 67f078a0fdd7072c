//! When a cron expression is due in its time zone: pure, the moment is an argument.
//!
//! Five fields, as crontab(5) has them (minute, hour, day of month, month, day of week; names, lists, ranges, steps, and
//! `@daily` and the like), with `L`, `W` and `#` beside. No field for seconds: an inspection takes minutes.
//!
//! Where the zone changes its clock, crontab(5)'s intent is kept and its lists of hours are not an exception to it:
//! - a time that the clock jumps over is due once, when the clock has jumped; several of them fall together into one;
//! - a time that comes twice is due the first time only, unless the expression is for every hour (`*` as its hour): that
//!   one is due in each hour that passes.
//!
//! The search walks from one change of the zone's offset to the next; in between, civil time is plain arithmetic.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How many changes of an offset are walked over before an expression counts as never due. Zones change twice a year, and
/// `0 0 29 2 *` waits eight years over a century that is no leap year; four times that.
const CHANGES: usize = 64;

/// The longest that a zone's clock ever went back; the search for a change before a moment need not look further.
const LONGEST_FOLD: SignedDuration = SignedDuration::from_hours(24);

/// Why there is no such calendar.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// The expression is not one.
    #[error("cron '{text}' is not minute, hour, day of month, month and day of week")]
    Cron {
        /// As it was written.
        text: String,
        /// What the parser says.
        source: croner::errors::CronError,
    },
    /// It is one that no day satisfies.
    #[error("cron '{text}' is never due")]
    Never {
        /// As it was written.
        text: String,
    },
    /// There is no such zone.
    #[error("zone '{name}' is not known{}", nearest.as_ref().map_or_else(String::new, |word| format!(", did you mean '{word}'?")))]
    Zone {
        /// As it was written.
        name: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Calendar {
    text: String,
    cron: Cron,
    zone: TimeZone,
    every_hour: bool,
}

impl Calendar {
    /// Takes an expression and a zone.
    ///
    /// # Errors
    /// When the expression is not one, or is never due.
    pub fn new(text: &str, zone: TimeZone) -> Result<Self, CalendarError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|source| CalendarError::Cron { text: text.to_owned(), source })?;
        let hour = text.split_whitespace().nth(1);
        let every_hour = hour == Some("*") || text.trim().eq_ignore_ascii_case("@hourly");
        let calendar = Self { text: text.to_owned(), cron, zone, every_hour };
        // Leap days before the year 2100 are the rarest days that come at all.
        match calendar.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(calendar),
            None => Err(CalendarError::Never { text: text.to_owned() }),
        }
    }

    /// The expression.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first moment after another one at which it is due; none when that is not in this age.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let (mut from, mut offset) = (moment, self.zone.to_offset(moment));
        let mut civil = Start::After(offset.to_datetime(moment));
        if let Some(end) = self.end_of_fold(moment) {
            civil = civil.later(Start::At(end));
        }
        for _ in 0..CHANGES {
            let due = civil.first(&self.cron)?;
            // Lies beyond the range of timestamps only where nothing is due any more.
            let at = offset.to_timestamp(due).ok()?;
            let Some(change) = self.zone.following(from).next().map(|change| change.timestamp()) else {
                return Some(at);
            };
            if at < change {
                return Some(at);
            }
            let (before, after) = (offset, self.zone.to_offset(change));
            let (old, new) = (before.to_datetime(change), after.to_datetime(change));
            if old <= due && due < new {
                return Some(change);
            }
            let repeated = new < old && !self.every_hour;
            civil = Start::At(if repeated { old } else { new });
            (from, offset) = (change, after);
        }
        None
    }

    /// When a moment's civil time comes for the second time: the civil time up to which everything was due already.
    fn end_of_fold(&self, moment: Timestamp) -> Option<DateTime> {
        if self.every_hour {
            return None;
        }
        // The change itself belongs to the second time.
        let just_after = moment.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let change = self.zone.preceding(just_after).next()?.timestamp();
        if moment.duration_since(change) > LONGEST_FOLD {
            return None;
        }
        let before = change.checked_sub(SignedDuration::from_nanos(1)).ok()?;
        let end = self.zone.to_offset(before).to_datetime(change);
        (self.zone.to_datetime(moment) < end).then_some(end)
    }
}

/// Where a search begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// Behind this second.
    After(DateTime),
    /// At it, when it is due.
    At(DateTime),
}

impl Start {
    /// The one that is later.
    fn later(self, other: Self) -> Self {
        let civil = |from| match from {
            Self::After(civil) | Self::At(civil) => civil,
        };
        if civil(other) > civil(self) { other } else { self }
    }

    fn first(self, cron: &Cron) -> Option<DateTime> {
        let found = match self {
            Self::After(civil) => cron.find_next_occurrence(&civil, false),
            Self::At(civil) => cron.find_next_occurrence(&civil, true),
        };
        found.ok()
    }
}

/// A zone by its name of the tz database, `Asia/Shanghai`; `UTC` as well.
///
/// # Errors
/// When it has none of that name.
pub fn zone(name: &str) -> Result<TimeZone, CalendarError> {
    let known = jiff::tz::db();
    known.get(name).map_err(|_| {
        let names: Vec<String> = known.available().map(|known| known.to_string()).collect();
        let near = kfleet_model::module::nearest(name, names.iter().map(String::as_str));
        CalendarError::Zone { name: name.to_owned(), nearest: near }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calendar(cron: &str, name: &str) -> Calendar {
        Calendar::new(cron, zone(name).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_clock_s_changes_lose_no_time_and_repeat_none() {
        // From the tz database: Berlin 2026-03-29 02:00 -> 03:00 and 2026-10-25 03:00 -> 02:00; Sao Paulo 2018-11-04
        // 00:00 -> 01:00 and 2018-02-18 00:00 -> 23:00 of the day before; Lord Howe shifts by half an hour; Apia left
        // out the whole of 2011-12-30. Shanghai has had no summer time since 1991.
        for (cron, name, from, due) in [
            (
                "0 2 * * *",
                "Asia/Shanghai",
                "2026-03-28T00:00:00Z",
                &["2026-03-28T18:00:00Z", "2026-03-29T18:00:00Z"][..],
            ),
            ("30 23 * * 7", "Asia/Shanghai", "2026-03-28T00:00:00Z", &["2026-03-29T15:30:00Z", "2026-04-05T15:30:00Z"]),
            // Jumped over: due when the clock has jumped, and the next day at its time.
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
            (
                "*/20 2 * * *",
                "Europe/Berlin",
                "2026-03-28T12:00:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
            ),
            ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
            // Comes twice: due the first time.
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
            (
                "0 2,14 * * *",
                "Europe/Berlin",
                "2026-10-24T13:00:00Z",
                &["2026-10-25T00:00:00Z", "2026-10-25T13:00:00Z"],
            ),
            ("0 3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"]),
            // From within the second time, and from its first moment.
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]),
            ("0 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", &["2026-10-26T01:00:00Z"]),
            ("0 2 * * *", "Europe/Berlin", "2026-10-25T00:59:59Z", &["2026-10-26T01:00:00Z"]),
            // Every hour means every hour that passes.
            (
                "0 * * * *",
                "Europe/Berlin",
                "2026-10-24T23:30:00Z",
                &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
            ),
            ("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"]),
            (
                "0 0 * * *",
                "America/Sao_Paulo",
                "2018-11-03T12:00:00Z",
                &["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
            ),
            (
                "30 23 * * *",
                "America/Sao_Paulo",
                "2018-02-17T12:00:00Z",
                &["2018-02-18T01:30:00Z", "2018-02-19T02:30:00Z"],
            ),
            (
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T12:00:00Z",
                &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
            ),
            ("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", &["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z"]),
        ] {
            let calendar = calendar(cron, name);
            let mut moment = at(from);
            for wanted in due {
                moment = calendar.after(moment).unwrap();
                assert_eq!(moment, at(wanted), "{cron} in {name} after {from}");
            }
        }
    }

    #[test]
    fn what_is_no_cron_expression_or_never_due_or_no_zone_is_refused() {
        for (cron, wanted) in [
            ("0 2 * *", "must have 5 fields"),
            ("0 0 2 * * *", "must have 5 fields"),
            ("0 2 * * * 2026", "must have 5 fields"),
            ("61 2 * * *", "61"),
            ("", "is not minute"),
            ("0 0 30 2 *", "is never due"),
        ] {
            let text = crate::report::chain(&Calendar::new(cron, TimeZone::UTC).unwrap_err());
            assert!(text.contains(wanted), "{cron}: {text}");
        }
        for cron in ["@daily", "0 0 29 2 *", "0 2 L * *", "0 2 * * MON#1", "*/5 * * * *", "0 22-23,0-6/2 * * 1-5"] {
            assert!(Calendar::new(cron, TimeZone::UTC).is_ok(), "{cron}");
        }
        let text = zone("Asia/Shangai").unwrap_err().to_string();
        assert!(text.contains("did you mean 'Asia/Shanghai'"), "{text}");
    }

    fn expressions() -> impl Strategy<Value = String> {
        let minute =
            prop_oneof![(0_u8..60).prop_map(|n| n.to_string()), Just("*/15".to_owned()), Just("0,30".to_owned())];
        let hour = prop_oneof![
            (0_u8..24).prop_map(|n| n.to_string()),
            Just("*".to_owned()),
            Just("*/2".to_owned()),
            Just("1-3".to_owned())
        ];
        (minute, hour).prop_map(|(minute, hour)| format!("{minute} {hour} * * *"))
    }

    fn zones() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "UTC",
            "Asia/Shanghai",
            "Europe/Berlin",
            "America/Sao_Paulo",
            "America/New_York",
            "Australia/Lord_Howe",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The reference: every civil minute that the expression names, as an instant by the rules of the header.
        #[test]
        fn exactly_the_named_minutes_are_due(
            cron in expressions(), name in zones(), start in 1_500_000_000_i64..1_560_000_000, days in 1_i32..12,
        ) {
            let calendar = calendar(&cron, name);
            let zone = calendar.zone().clone();
            let start = Timestamp::from_second(start).unwrap();
            let end = start + SignedDuration::from_hours(24) * days;
            let mut wanted = std::collections::BTreeSet::new();
            let mut civil = zone.to_datetime(start - SignedDuration::from_hours(26)).date().at(0, 0, 0, 0);
            let last = zone.to_datetime(end + SignedDuration::from_hours(26));
            while civil < last {
                if calendar.cron.is_time_matching(&civil).unwrap() {
                    let ambiguous = zone.to_ambiguous_timestamp(civil);
                    match ambiguous.offset() {
                        jiff::tz::AmbiguousOffset::Gap { .. } => {
                            let near = ambiguous.later().unwrap();
                            let changes = zone.following(near - SignedDuration::from_hours(25));
                            let jump = changes.map(|change| change.timestamp()).find(|change: &Timestamp| {
                                let before = zone.to_offset(*change - SignedDuration::from_secs(1)).to_datetime(*change);
                                before <= civil && civil < zone.to_datetime(*change)
                            });
                            wanted.insert(jump.unwrap());
                        }
                        jiff::tz::AmbiguousOffset::Fold { .. } if calendar.every_hour => {
                            wanted.extend([ambiguous.earlier().unwrap(), ambiguous.later().unwrap()]);
                        }
                        jiff::tz::AmbiguousOffset::Fold { .. } | jiff::tz::AmbiguousOffset::Unambiguous { .. } => {
                            wanted.insert(ambiguous.earlier().unwrap());
                        }
                    }
                }
                civil = civil.checked_add(SignedDuration::from_mins(1)).unwrap();
            }
            wanted.retain(|moment| start < *moment && *moment <= end);
            let found: Vec<Timestamp> = std::iter::successors(calendar.after(start), |moment| calendar.after(*moment))
                .take_while(|moment| *moment <= end)
                .collect();
            prop_assert_eq!(found, wanted.into_iter().collect::<Vec<_>>());
        }
    }
}
