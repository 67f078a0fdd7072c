//! When a schedule's job runs: pure, the moment and what was settled before are arguments.
//!
//! ```text
//!   occurrence --jitter--> start <= now?  no                               -> At (wait)
//!                                         not the newest of those due      -> Missed
//!                                         a run is still going on          -> Overlap
//!                                         at most `grace` late             -> Now
//!                                         within catch_up, and done before
//!                                         the next one starts              -> CatchUp
//!                                         else                             -> Missed
//! ```
//!
//! The caller stores what was settled, and asks again until the answer is [`Due::At`]. So each occurrence is run, missed or
//! overlapped, and that once, over restarts and steps of the clock.

use super::calendar::Calendar;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// How many missed occurrences are told at once; more are told by the next answer. Bounds the memory that a schedule of every
/// minute takes after a year of downtime.
const BATCH: usize = 1_000;

/// A schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its fleet: part of what the jitter is made of, so that many fleets on one network do not start as one.
    pub fleet: String,
    /// Its name.
    pub name: String,
    /// Its cron expression, in its zone.
    pub calendar: Calendar,
    /// By how much a start may be put off.
    pub jitter: SignedDuration,
    /// How late a run may still begin after downtime; zero: not at all.
    pub catch_up: SignedDuration,
    /// How long a run may take.
    pub deadline: SignedDuration,
}

/// A time at which a schedule is due, and when its run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// As the calendar has it; it is known by this.
    pub at: Timestamp,
    /// With the jitter.
    pub start: Timestamp,
}

/// What was settled before.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Up to when everything is settled; at first, when the schedule was first seen. Not after now: when the clock went back
    /// behind it, the caller takes it back to now, and forgets what it called missed or overlapped after that.
    pub last: Timestamp,
    /// Occurrences after `last` that were run already: there are some only after the clock went back.
    pub ran: &'a BTreeSet<Timestamp>,
}

/// Whether the schedule's last run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// It is.
    Idle,
    /// It still goes on.
    Running,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Run it.
    Now {
        /// For this occurrence.
        occurrence: Occurrence,
    },
    /// Run it, late: nobody could at its time.
    CatchUp {
        /// For this occurrence.
        occurrence: Occurrence,
        /// How late.
        late: SignedDuration,
    },
    /// These were not run, and will not be.
    Missed {
        /// The oldest first; at least one.
        occurrences: Vec<Occurrence>,
    },
    /// This one is not run, for the one before still is.
    Overlap {
        /// The occurrence.
        occurrence: Occurrence,
    },
    /// Nothing until then.
    At {
        /// The next; none when it is never due again.
        occurrence: Option<Occurrence>,
    },
}

impl Schedule {
    /// The first occurrence after a moment of the calendar.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Occurrence> {
        let at = self.calendar.after(after)?;
        Some(Occurrence { at, start: at.checked_add(self.jitter_of(at)).unwrap_or(at) })
    }

    /// The same for the same fleet, schedule and occurrence, so that a restart neither repeats nor loses a start; always
    /// before the next occurrence, so that starts keep their order.
    fn jitter_of(&self, at: Timestamp) -> SignedDuration {
        let most = self.jitter.as_secs().max(0);
        let room = self.calendar.after(at).map_or(i64::MAX, |next| next.duration_since(at).as_secs());
        let choices = u64::try_from(most.saturating_add(1).min(room).max(1)).unwrap_or(1);
        let mut hash = Sha256::new();
        for part in [self.fleet.as_bytes(), self.name.as_bytes(), &at.as_second().to_be_bytes()] {
            // The length keeps `ab` + `c` apart from `a` + `bc`.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let drawn = digest.iter().take(8).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        SignedDuration::from_secs(i64::try_from(drawn % choices).unwrap_or(0))
    }

    /// What is to be done now. `grace` is how late a start may be without being called late: how often the caller looks.
    #[must_use]
    pub fn due(&self, past: Past<'_>, job: Job, now: Timestamp, grace: SignedDuration) -> Due {
        // One more than is told: whether the last of them is the newest must be known.
        let most = match job {
            Job::Idle => BATCH,
            Job::Running => 0,
        };
        let mut due: Vec<Occurrence> = Vec::new();
        let mut from = past.last;
        let next = loop {
            let Some(occurrence) = self.next(from) else { break None };
            if occurrence.start > now || due.len() > most {
                break Some(occurrence);
            }
            from = occurrence.at;
            if !past.ran.contains(&occurrence.at) {
                due.push(occurrence);
            }
        };
        match (due.as_slice(), job) {
            ([], Job::Idle | Job::Running) => Due::At { occurrence: self.not_run(next, past) },
            ([occurrence, ..], Job::Running) => Due::Overlap { occurrence: *occurrence },
            ([occurrence], Job::Idle) => self.begin(*occurrence, next, now, grace),
            ([older @ .., _], Job::Idle) => Due::Missed { occurrences: older.to_vec() },
        }
    }

    /// The first from `next` on that was not run before the clock went back.
    fn not_run(&self, next: Option<Occurrence>, past: Past<'_>) -> Option<Occurrence> {
        let run = |occurrence: &Occurrence| past.ran.contains(&occurrence.at);
        std::iter::successors(next, |occurrence| self.next(occurrence.at)).find(|occurrence| !run(occurrence))
    }

    fn begin(&self, occurrence: Occurrence, next: Option<Occurrence>, now: Timestamp, grace: SignedDuration) -> Due {
        let late = now.duration_since(occurrence.start);
        // A late run that still goes on when the next one starts would cost that one, and tells no more than it.
        let ends = now.checked_add(self.deadline).unwrap_or(Timestamp::MAX);
        if late <= grace {
            Due::Now { occurrence }
        } else if late <= self.catch_up && next.is_none_or(|next| ends <= next.start) {
            Due::CatchUp { occurrence, late }
        } else {
            Due::Missed { occurrences: vec![occurrence] }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::zone;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn schedule(cron: &str, name: &str, jitter_s: i64, catch_up_s: i64, deadline_s: i64) -> Schedule {
        Schedule {
            fleet: "prod".to_owned(),
            name: "nightly".to_owned(),
            calendar: Calendar::new(cron, zone(name).unwrap()).unwrap(),
            jitter: SignedDuration::from_secs(jitter_s),
            catch_up: SignedDuration::from_secs(catch_up_s),
            deadline: SignedDuration::from_secs(deadline_s),
        }
    }

    const GRACE: SignedDuration = SignedDuration::from_secs(60);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(due: &Due) -> String {
        match due {
            Due::Now { occurrence } => format!("now {}", occurrence.at),
            Due::CatchUp { occurrence, late } => format!("catch up {} after {} s", occurrence.at, late.as_secs()),
            Due::Missed { occurrences } => {
                format!("missed {} from {}", occurrences.len(), occurrences[0].at)
            }
            Due::Overlap { occurrence } => format!("overlap {}", occurrence.at),
            Due::At { occurrence } => {
                occurrence.map_or("never".to_owned(), |occurrence| format!("at {}", occurrence.at))
            }
        }
    }

    #[test]
    fn a_night_is_run_caught_up_missed_or_overlapped_by_how_late_it_is() {
        // 02:00 in Shanghai is 18:00 UTC; an hour's deadline, twelve hours to catch up.
        let nightly = schedule("0 2 * * *", "Asia/Shanghai", 0, 43_200, 3_600);
        for (last, job, now, wanted) in [
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-02T17:59:59Z", "at 2026-01-02T18:00:00Z"),
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-02T18:00:00Z", "now 2026-01-02T18:00:00Z"),
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-02T18:01:00Z", "now 2026-01-02T18:00:00Z"),
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-02T18:01:01Z", "catch up 2026-01-02T18:00:00Z after 61 s"),
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-03T06:00:00Z", "catch up 2026-01-02T18:00:00Z after 43200 s"),
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-03T06:00:01Z", "missed 1 from 2026-01-02T18:00:00Z"),
            ("2026-01-01T18:00:00Z", Job::Running, "2026-01-02T18:00:00Z", "overlap 2026-01-02T18:00:00Z"),
            ("2026-01-01T18:00:00Z", Job::Running, "2026-01-02T17:00:00Z", "at 2026-01-02T18:00:00Z"),
            // Ten days down: nine are missed, then the newest is caught up.
            ("2026-01-01T18:00:00Z", Job::Idle, "2026-01-11T20:00:00Z", "missed 9 from 2026-01-02T18:00:00Z"),
            ("2026-01-10T18:00:00Z", Job::Idle, "2026-01-11T20:00:00Z", "catch up 2026-01-11T18:00:00Z after 7200 s"),
        ] {
            let none = BTreeSet::new();
            let due = nightly.due(Past { last: at(last), ran: &none }, job, at(now), GRACE);
            assert_eq!(told(&due), wanted, "last {last}, now {now}");
        }
    }

    #[test]
    fn a_late_run_that_would_cost_the_next_one_its_turn_is_not_begun() {
        let hourly = schedule("0 * * * *", "UTC", 0, 7_200, 1_800);
        let none = BTreeSet::new();
        let past = Past { last: at("2026-01-01T01:00:00Z"), ran: &none };
        for (now, wanted) in [
            ("2026-01-01T02:30:00Z", "catch up 2026-01-01T02:00:00Z after 1800 s"),
            ("2026-01-01T02:30:01Z", "missed 1 from 2026-01-01T02:00:00Z"),
        ] {
            assert_eq!(told(&hourly.due(past, Job::Idle, at(now), GRACE)), wanted, "{now}");
        }
    }

    #[test]
    fn what_ran_before_the_clock_went_back_is_not_run_again() {
        let nightly = schedule("0 2 * * *", "Europe/Berlin", 0, 0, 3_600);
        let ran = BTreeSet::from([at("2026-01-03T01:00:00Z")]);
        let past = Past { last: at("2026-01-01T01:00:00Z"), ran: &ran };
        for (now, wanted) in [
            ("2026-01-01T12:00:00Z", "at 2026-01-02T01:00:00Z"),
            ("2026-01-02T01:00:00Z", "now 2026-01-02T01:00:00Z"),
            ("2026-01-03T01:00:00Z", "missed 1 from 2026-01-02T01:00:00Z"),
        ] {
            assert_eq!(told(&nightly.due(past, Job::Idle, at(now), GRACE)), wanted, "{now}");
        }
        let past = Past { last: at("2026-01-02T01:00:00Z"), ran: &ran };
        let due = nightly.due(past, Job::Idle, at("2026-01-02T12:00:00Z"), GRACE);
        assert_eq!(told(&due), "at 2026-01-04T01:00:00Z");
    }

    #[test]
    fn the_jitter_differs_by_fleet_name_and_night() {
        let one = schedule("0 2 * * *", "UTC", 3_600, 0, 60);
        let nights = |schedule: &Schedule| -> Vec<i64> {
            let first = schedule.next(at("2026-01-01T12:00:00Z"));
            std::iter::successors(first, |occurrence| schedule.next(occurrence.at))
                .take(50)
                .map(|occurrence| occurrence.start.duration_since(occurrence.at).as_secs())
                .collect()
        };
        let other = Schedule { fleet: "test".to_owned(), ..one.clone() };
        let third = Schedule { name: "weekly".to_owned(), ..one.clone() };
        assert_eq!(nights(&one), nights(&one.clone()));
        assert!(nights(&one) != nights(&other) && nights(&one) != nights(&third));
        let spread: BTreeSet<i64> = nights(&one).into_iter().collect();
        assert!(spread.len() > 40, "50 nights begin at {} moments", spread.len());
    }

    fn schedules() -> impl Strategy<Value = Schedule> {
        let cron = prop::sample::select(vec!["0 2 * * *", "*/30 * * * *", "0 2,3 * * *", "30 0 * * MON", "0 0 1 * *"]);
        let zone = prop::sample::select(vec!["Asia/Shanghai", "Europe/Berlin", "America/Sao_Paulo"]);
        (cron, zone, 0_i64..7_200, prop::sample::select(vec![0_i64, 1_800, 43_200, 200_000]), 60_i64..7_200)
            .prop_map(|(cron, zone, jitter, catch_up, deadline)| schedule(cron, zone, jitter, catch_up, deadline))
    }

    /// What happens between two looks: the clock goes on, the process is away, the clock steps.
    #[derive(Debug, Clone)]
    enum Happens {
        Passes(i64),
        Down(i64),
        Steps(i64),
        Ends,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            6 => (1_i64..60).prop_map(Happens::Passes),
            4 => (60_i64..40_000).prop_map(Happens::Passes),
            1 => (1_i64..2_000_000).prop_map(Happens::Down),
            1 => (-100_000_i64..100_000).prop_map(Happens::Steps),
            3 => Just(Happens::Ends),
        ]
    }

    /// The caller in small: keeps what was settled as the store does.
    #[derive(Default)]
    struct Keeper {
        settled: BTreeMap<Timestamp, &'static str>,
        last: Option<Timestamp>,
        running: Option<Timestamp>,
    }

    impl Keeper {
        fn settle(&mut self, occurrence: Occurrence, how: &'static str) {
            assert_eq!(self.settled.insert(occurrence.at, how), None, "{} is settled twice", occurrence.at);
        }

        fn look(&mut self, schedule: &Schedule, since: Timestamp, now: Timestamp) {
            let mut last = self.last.unwrap_or(since);
            if last > now {
                last = now;
                self.settled.retain(|occurrence, how| *occurrence <= now || *how == "ran");
            }
            loop {
                let ran: BTreeSet<Timestamp> = self.settled.keys().copied().filter(|at| *at > last).collect();
                let job = if self.running.is_some() { Job::Running } else { Job::Idle };
                let newest = match schedule.due(Past { last, ran: &ran }, job, now, GRACE) {
                    Due::Now { occurrence } | Due::CatchUp { occurrence, .. } => {
                        assert_eq!(self.running.replace(occurrence.at), None, "no two at a time");
                        assert!(occurrence.start <= now, "not before its start");
                        self.settle(occurrence, "ran");
                        occurrence
                    }
                    Due::Missed { occurrences } => {
                        occurrences.iter().for_each(|occurrence| self.settle(*occurrence, "missed"));
                        occurrences[occurrences.len() - 1]
                    }
                    Due::Overlap { occurrence } => {
                        self.settle(occurrence, "overlapped");
                        occurrence
                    }
                    Due::At { occurrence } => {
                        assert!(occurrence.is_none_or(|occurrence| occurrence.start > now));
                        self.last = Some(last);
                        return;
                    }
                };
                last = newest.at;
            }
        }
    }

    proptest! {
        #[test]
        fn starts_are_within_the_jitter_in_order_and_before_the_next_occurrence(
            schedule in schedules(), from in 1_500_000_000_i64..1_560_000_000,
        ) {
            let mut last = schedule.next(Timestamp::from_second(from).unwrap()).unwrap();
            for _ in 0..20 {
                let next = schedule.next(last.at).unwrap();
                prop_assert!(last.at <= last.start && last.start < next.at);
                prop_assert!(last.start.duration_since(last.at) <= schedule.jitter);
                last = next;
            }
        }

        /// Whatever happens to the process and the clock: no occurrence is settled twice (see `Keeper::settle`), and in the
        /// end each one since the first look is run, missed or overlapped.
        #[test]
        fn every_occurrence_is_settled_once(
            schedule in schedules(), from in 1_530_000_000_i64..1_550_000_000, events in prop::collection::vec(happens(), 1..60),
        ) {
            let since = Timestamp::from_second(from).unwrap();
            let (mut now, mut keeper) = (since, Keeper::default());
            for event in events {
                match event {
                    Happens::Passes(seconds) => now += SignedDuration::from_secs(seconds),
                    Happens::Down(seconds) => {
                        keeper.running = None;
                        now += SignedDuration::from_secs(seconds);
                    }
                    Happens::Steps(seconds) => now = (now + SignedDuration::from_secs(seconds)).max(since),
                    Happens::Ends => keeper.running = None,
                }
                keeper.look(&schedule, since, now);
            }
            let first = schedule.next(since);
            let due: BTreeSet<Timestamp> = std::iter::successors(first, |occurrence| schedule.next(occurrence.at))
                .take_while(|occurrence| occurrence.start <= now)
                .map(|occurrence| occurrence.at)
                .collect();
            let settled: BTreeSet<Timestamp> = keeper.settled.range(..=now).map(|(occurrence, _)| *occurrence).collect();
            prop_assert!(due.is_subset(&settled), "{:?} not settled", due.difference(&settled).collect::<Vec<_>>());
            // What was settled before its start was so under a clock that went back since.
            for extra in settled.difference(&due) {
                let before = *extra - SignedDuration::from_secs(1);
                prop_assert!(schedule.next(before).is_some_and(|occurrence| occurrence.start > now), "{}", extra);
            }
        }
    }
}
