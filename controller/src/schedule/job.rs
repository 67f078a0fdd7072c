//! What the schedules' room asks of others: a clock, a job, somebody who hears of alerts.

use super::file::Entry;
use crate::history::ScheduleEnd;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kfleet_inspect::Bilingual;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Tells the time and waits. Waiting goes by the monotonic clock, so a step of the other one neither shortens nor prolongs
/// it.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Waits.
    ///
    /// # Cancellation
    /// Safe.
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()>;
}

/// This machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// What a job is told of its run.
#[derive(Debug, Clone)]
pub struct Occasion {
    /// The schedule.
    pub entry: Entry,
    /// For when it is; of a run by hand, when it began.
    pub occurrence: Timestamp,
    /// Ends the run: its time is up, or the program stops.
    pub cancel: CancellationToken,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// All of it was done.
    Done,
    /// A part of it.
    Partial,
    /// It failed.
    Failed,
    /// It was cancelled, and ended by itself.
    Cancelled,
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOutcome {
    /// How it ended.
    pub end: JobEnd,
    /// More of it, for people.
    pub detail: String,
}

/// What a schedule runs.
pub trait Job: Send + Sync {
    /// Runs it once.
    ///
    /// # Cancellation
    /// Ends soon after `occasion.cancel` is; one that does not is dropped.
    fn run<'a>(&'a self, occasion: &'a Occasion) -> BoxFuture<'a, JobOutcome>;
}

/// Something that somebody must hear of: an inspection that was not made is not a quiet night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The fleet.
    pub fleet: String,
    /// The schedule; none when it is about the file of all.
    pub schedule: Option<String>,
    /// The occurrence, in the schedule's zone.
    pub when: String,
    /// What.
    pub kind: AlertKind,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertKind {
    /// Occurrences were missed; the alert's occurrence is the first of them.
    Missed {
        /// How many.
        count: usize,
    },
    /// The run before was still going on.
    Overlapped,
    /// A run did not do all of its work.
    Ended {
        /// How it ended; never [`ScheduleEnd::Done`].
        end: ScheduleEnd,
        /// More of it.
        detail: String,
    },
    /// A run was done again after one that was not. It takes the alert before it back.
    Recovered,
    /// The new `schedule.yml` can not be used; the old one holds.
    File {
        /// Why.
        why: String,
    },
}

impl Alert {
    /// What it is known by where alerts are taken back: the same for all alerts of a schedule.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.schedule {
            Some(schedule) => format!("kfleet/{}/schedule/{schedule}", self.fleet),
            None => format!("kfleet/{}/schedule.yml", self.fleet),
        }
    }

    /// It takes back the one before it of the same key.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        matches!(self.kind, AlertKind::Recovered)
    }

    /// One sentence in both languages.
    #[must_use]
    pub fn text(&self) -> Bilingual {
        let name = self.schedule.as_deref().unwrap_or(super::FILE);
        let (fleet, when) = (&self.fleet, &self.when);
        let (en, zh) = match &self.kind {
            AlertKind::Missed { count: 1 } => {
                (format!("the inspection of {when} was not made: nobody ran it"), format!("{when} 的巡检未执行"))
            }
            AlertKind::Missed { count } => (
                format!("{count} inspections since {when} were not made: nobody ran them"),
                format!("自 {when} 起有 {count} 次巡检未执行"),
            ),
            AlertKind::Overlapped => (
                format!("the inspection of {when} was left out: the one before was still running"),
                format!("{when} 的巡检被跳过:上一次巡检仍在运行"),
            ),
            AlertKind::Ended { end, detail } => {
                let (en, zh) = ended(*end);
                (format!("the inspection of {when} {en}: {detail}"), format!("{when} 的巡检{zh}:{detail}"))
            }
            AlertKind::Recovered => {
                (format!("the inspection of {when} was made in full again"), format!("{when} 的巡检已恢复完整执行"))
            }
            AlertKind::File { why } => (
                format!("the changed file is not used, the schedules before it stay: {why}"),
                format!("修改后的文件未生效,沿用原有计划:{why}"),
            ),
        };
        Bilingual { en: format!("fleet {fleet}, {name}: {en}"), zh: format!("机群 {fleet},{name}:{zh}") }
    }
}

fn ended(end: ScheduleEnd) -> (&'static str, &'static str) {
    match end {
        ScheduleEnd::Done => ("was made in full", "已完整执行"),
        ScheduleEnd::Partial => ("is not complete", "不完整"),
        ScheduleEnd::Failed => ("failed", "失败"),
        ScheduleEnd::Overran => ("was not done at its deadline", "超过期限未完成"),
        ScheduleEnd::Cancelled => ("was stopped", "被中止"),
        ScheduleEnd::Interrupted => ("was interrupted", "意外中断"),
        ScheduleEnd::Missed => ("was not made", "未执行"),
        ScheduleEnd::Overlapped => ("was left out", "被跳过"),
    }
}

/// Hears of alerts. It has its own retries and deadlines; a schedule does not wait for a channel that is down.
pub trait Alerts: Send + Sync {
    /// Takes an alert.
    fn raise<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()>;
}

/// Alerts in the log alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogAlerts;

impl Alerts for LogAlerts {
    fn raise<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        let text = alert.text().en;
        if alert.takes_back() {
            tracing::info!(key = alert.key(), "{text}");
        } else {
            tracing::error!(key = alert.key(), "{text}");
        }
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_names_fleet_schedule_and_night_in_both_languages() {
        let kinds = [
            AlertKind::Missed { count: 1 },
            AlertKind::Missed { count: 9 },
            AlertKind::Overlapped,
            AlertKind::Ended { end: ScheduleEnd::Partial, detail: "2 of 3 hosts".to_owned() },
            AlertKind::Recovered,
        ];
        let when = "2026-01-02 02:00:00 CST";
        for kind in kinds {
            let alert =
                Alert { fleet: "prod".into(), schedule: Some("nightly".into()), when: when.into(), kind: kind.clone() };
            let text = alert.text();
            for word in ["prod", "nightly", when] {
                assert!(text.en.contains(word) && text.zh.contains(word), "{text:?}");
            }
            assert_ne!(text.en, text.zh);
            assert_eq!(alert.takes_back(), kind == AlertKind::Recovered);
            assert_eq!(alert.key(), "kfleet/prod/schedule/nightly");
        }
    }
}
