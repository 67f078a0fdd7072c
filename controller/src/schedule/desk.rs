//! What is done for one schedule at one moment: what was missed is settled and told, what is due is run and recorded.
//!
//! `kfleet serve` and `kfleet schedule run` share it, so a run by hand, by a timer and by the server are recorded alike and
//! keep out of each other's way.

use super::file::Entry;
use super::job::{Alert, AlertKind, Alerts, Clock, Job, JobEnd, JobOutcome, Occasion};
use super::rules::{self, Due, Occurrence, Past};
use crate::execute::process;
use crate::history::{Cause, ScheduleEnd, ScheduleRun, SettledHow, Store, StoreError};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a cancelled job may take to end by itself: an inspection only has to hang up. Less than the service's
/// `TimeoutStopSec`.
const WIND_UP: Duration = Duration::from_secs(20);

/// Who does the work.
#[derive(Clone)]
pub struct Desk {
    /// The fleet.
    pub fleet: String,
    /// Where runs are recorded.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What schedules run.
    pub job: Arc<dyn Job>,
    /// Who hears of what went wrong.
    pub alerts: Arc<dyn Alerts>,
}

/// What is next for a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Run it now for this occurrence.
    Run(Occurrence),
    /// Nothing before this one.
    Wait(Option<Occurrence>),
}

/// A run that is recorded as begun, and not run yet.
#[derive(Debug)]
pub struct Begun {
    run: ScheduleRun,
    /// How the occurrence before it ended.
    was: Option<ScheduleEnd>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    /// It ended.
    Ended {
        /// How.
        end: ScheduleEnd,
        /// More of it.
        detail: String,
    },
    /// It was not begun: this one goes on.
    Held(Box<ScheduleRun>),
}

/// What ended the wait for a job.
enum Over {
    Itself(JobOutcome),
    Deadline,
    Stopped,
}

impl Desk {
    /// Settles what can not be run any more, tells of it, and says what is next.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn next(&self, entry: &Entry, job: rules::Job, grace: SignedDuration) -> Result<Next, StoreError> {
        let name = &entry.schedule.name;
        let mut missed: Option<(Timestamp, usize)> = None;
        let next = loop {
            let now = self.clock.now();
            let settled = self.store.schedule_settled(name, &entry.rule(), now).await?;
            if let Some(by) = settled.clock_went_back {
                tracing::warn!(schedule = name, by_s = by.as_secs(), "the clock went back behind what was settled");
            }
            let past = Past { last: settled.until, ran: &settled.ran };
            match entry.schedule.due(past, job, now, grace) {
                Due::Now { occurrence } => break Next::Run(occurrence),
                Due::CatchUp { occurrence, late } => {
                    tracing::warn!(schedule = name, occurrence = %occurrence.at, late_s = late.as_secs(), "catching up");
                    break Next::Run(occurrence);
                }
                Due::Missed { occurrences } => {
                    let times: Vec<Timestamp> = occurrences.iter().map(|occurrence| occurrence.at).collect();
                    self.store.settle_occurrences(name, &times, SettledHow::Missed, "nobody ran it in time").await?;
                    if let Some(first) = times.first() {
                        let (first, before) = missed.unwrap_or((*first, 0));
                        missed = Some((first, before + times.len()));
                    }
                }
                Due::Overlap { occurrence } => self.overlapped(entry, occurrence.at, "the run before it").await?,
                Due::At { occurrence } => break Next::Wait(occurrence),
            }
        };
        // One alert for a downtime, not one for each night of it.
        if let Some((first, count)) = missed {
            self.alert(entry, first, AlertKind::Missed { count }).await;
        }
        Ok(next)
    }

    async fn overlapped(&self, entry: &Entry, occurrence: Timestamp, holder: &str) -> Result<(), StoreError> {
        let detail = format!("{holder} was still going on");
        let name = &entry.schedule.name;
        self.store.settle_occurrences(name, &[occurrence], SettledHow::Overlapped, &detail).await?;
        self.alert(entry, occurrence, AlertKind::Overlapped).await;
        Ok(())
    }

    /// Stores that a run for an occurrence that is due begins. Done before anybody looks at the schedule again: until then the
    /// occurrence is due. When somebody else is running it, the occurrence is left out, and told.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn begin_due(
        &self,
        entry: &Entry,
        occurrence: Occurrence,
    ) -> Result<Result<Begun, ScheduleRun>, StoreError> {
        let was = self.store.last_scheduled(&entry.schedule.name).await?;
        let begun = self.begin(entry, occurrence.at, Cause::Schedule).await?;
        if let Err(holder) = &begun {
            self.overlapped(entry, occurrence.at, &format!("a run by process {}", holder.pid)).await?;
        }
        let was = was.and_then(|was| was.outcome);
        Ok(begun.map(|run| Begun { run, was }))
    }

    /// Runs what was begun, and tells how it ended when it was not well, or is well again.
    ///
    /// # Errors
    /// When the store refuses.
    ///
    /// # Cancellation
    /// By `stop`; a run that is dropped is found as interrupted later.
    pub async fn finish_due(&self, entry: &Entry, begun: Begun, stop: &CancellationToken) -> Result<Ran, StoreError> {
        let Begun { run, was } = begun;
        let (end, detail) = self.finish(entry, &run, stop).await?;
        let kind = match (end, was) {
            (ScheduleEnd::Done, None | Some(ScheduleEnd::Done)) => None,
            (ScheduleEnd::Done, Some(_)) => Some(AlertKind::Recovered),
            (end, _) => Some(AlertKind::Ended { end, detail: detail.clone() }),
        };
        if let Some(kind) = kind {
            self.alert(entry, run.occurrence, kind).await;
        }
        Ok(Ran::Ended { end, detail })
    }

    /// Runs a schedule's job at somebody's wish, from its record to its record. It settles no occurrence, and whoever asked sees
    /// how it ends.
    ///
    /// # Errors
    /// When the store refuses.
    ///
    /// # Cancellation
    /// As of [`Desk::finish_due`].
    pub async fn run_by_hand(&self, entry: &Entry, stop: &CancellationToken) -> Result<Ran, StoreError> {
        match self.begin(entry, self.clock.now(), Cause::Hand).await? {
            Ok(run) => {
                let (end, detail) = self.finish(entry, &run, stop).await?;
                Ok(Ran::Ended { end, detail })
            }
            Err(holder) => Ok(Ran::Held(Box::new(holder))),
        }
    }

    async fn begin(
        &self,
        entry: &Entry,
        occurrence: Timestamp,
        cause: Cause,
    ) -> Result<Result<ScheduleRun, ScheduleRun>, StoreError> {
        let (pid, pid_started) = process::this();
        let name = entry.schedule.name.clone();
        let started = Some(self.clock.now());
        let detail = String::new();
        let run =
            ScheduleRun { name, cause, occurrence, started, ended: None, outcome: None, detail, pid, pid_started };
        Ok(self.store.begin_schedule_run(&run, lives).await?.map(|()| run))
    }

    async fn finish(
        &self,
        entry: &Entry,
        run: &ScheduleRun,
        stop: &CancellationToken,
    ) -> Result<(ScheduleEnd, String), StoreError> {
        let occurrence = run.occurrence;
        tracing::info!(schedule = run.name, %occurrence, cause = run.cause.name(), "begun");
        let (end, detail) = self.work(entry, occurrence, stop).await;
        self.store.end_schedule_run(run, self.clock.now(), end, &detail).await?;
        tracing::info!(schedule = run.name, %occurrence, outcome = end.name(), detail, "ended");
        Ok((end, detail))
    }

    async fn work(&self, entry: &Entry, occurrence: Timestamp, stop: &CancellationToken) -> (ScheduleEnd, String) {
        let occasion = Occasion { entry: entry.clone(), occurrence, cancel: stop.child_token() };
        let deadline = entry.schedule.deadline;
        // A panic is the job's failure; the server and its other schedules go on.
        let work = AssertUnwindSafe(self.job.run(&occasion)).catch_unwind();
        let work = work.map(|ended| ended.unwrap_or_else(|_| panicked()));
        tokio::pin!(work);
        // Cancel safe: the work is pinned outside, the others only wait.
        let over = tokio::select! {
            biased;
            outcome = &mut work => Over::Itself(outcome),
            () = stop.cancelled() => Over::Stopped,
            () = self.clock.sleep(deadline.unsigned_abs()) => Over::Deadline,
        };
        let (end, why) = match over {
            Over::Itself(outcome) => return (end_of(outcome.end), outcome.detail),
            Over::Stopped => (ScheduleEnd::Cancelled, "kfleet was stopped".to_owned()),
            Over::Deadline => (ScheduleEnd::Overran, format!("not done after {} s", deadline.as_secs())),
        };
        occasion.cancel.cancel();
        // Cancel safe: as above.
        let last = tokio::select! {
            biased;
            outcome = &mut work => Some(outcome),
            () = self.clock.sleep(WIND_UP) => None,
        };
        match (last, end) {
            // What was done just as it was stopped is done.
            (Some(JobOutcome { end: JobEnd::Done, detail }), ScheduleEnd::Cancelled) => (ScheduleEnd::Done, detail),
            (Some(outcome), _) => (end, format!("{why}; {}", outcome.detail)),
            (None, _) => (end, format!("{why}, and did not end within {} s", WIND_UP.as_secs())),
        }
    }

    /// Marks what a dead process left as interrupted, and tells it.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn interrupted(&self, entries: &[&Entry]) -> Result<(), StoreError> {
        for run in self.store.interrupt_schedule_runs(self.clock.now(), lives).await? {
            let entry = entries.iter().find(|entry| entry.schedule.name == run.name);
            let when = entry.map_or_else(|| run.occurrence.to_string(), |entry| entry.local(run.occurrence));
            let kind = AlertKind::Ended { end: ScheduleEnd::Interrupted, detail: run.detail };
            self.alerts.raise(&Alert { fleet: self.fleet.clone(), schedule: Some(run.name), when, kind }).await;
        }
        Ok(())
    }

    async fn alert(&self, entry: &Entry, occurrence: Timestamp, kind: AlertKind) {
        let alert = Alert {
            fleet: self.fleet.clone(),
            schedule: Some(entry.schedule.name.clone()),
            when: entry.local(occurrence),
            kind,
        };
        self.alerts.raise(&alert).await;
    }
}

fn lives(run: &ScheduleRun) -> bool {
    process::is(run.pid, run.pid_started)
}

fn panicked() -> JobOutcome {
    JobOutcome { end: JobEnd::Failed, detail: "kfleet's own fault: the job panicked, see its log".to_owned() }
}

fn end_of(end: JobEnd) -> ScheduleEnd {
    match end {
        JobEnd::Done => ScheduleEnd::Done,
        JobEnd::Partial => ScheduleEnd::Partial,
        JobEnd::Failed => ScheduleEnd::Failed,
        JobEnd::Cancelled => ScheduleEnd::Cancelled,
    }
}
