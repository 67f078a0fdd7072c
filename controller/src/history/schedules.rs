//! The runs of schedules: what began for which occurrence, how it ended, and what was missed.
//!
//! Intent before a run, outcome after it: a row without outcome whose process is gone is an interrupted run. Up to when a
//! schedule's occurrences are settled is stored with them in one transaction, so that none is settled twice.

use super::nights::{DAY_MS, NIGHTS, moment};
use super::store::{Store, StoreError};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{Row, SqliteConnection};
use std::collections::BTreeSet;

/// Why a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its schedule was due.
    Schedule,
    /// Somebody asked for it; its occurrence is when it began.
    Hand,
}

impl Cause {
    /// As it is stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Hand => "hand",
        }
    }
}

/// How an occurrence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleEnd {
    /// The run did all of its work.
    Done,
    /// It did a part: hosts were missing.
    Partial,
    /// It failed.
    Failed,
    /// It was not done at its deadline.
    Overran,
    /// It was stopped with the process that ran it.
    Cancelled,
    /// Its process died.
    Interrupted,
    /// Nobody was there to run it.
    Missed,
    /// The run before it was still going on.
    Overlapped,
}

impl ScheduleEnd {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::Partial,
        Self::Failed,
        Self::Overran,
        Self::Cancelled,
        Self::Interrupted,
        Self::Missed,
        Self::Overlapped,
    ];

    /// As it is stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Overran => "overran",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Missed => "missed",
            Self::Overlapped => "overlapped",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.name() == name)
    }
}

/// How an occurrence is settled without a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledHow {
    /// Nobody was there to run it.
    Missed,
    /// The run before it was still going on.
    Overlapped,
}

impl SettledHow {
    fn end(self) -> ScheduleEnd {
        match self {
            Self::Missed => ScheduleEnd::Missed,
            Self::Overlapped => ScheduleEnd::Overlapped,
        }
    }
}

/// An occurrence of a schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleRun {
    /// The schedule.
    pub name: String,
    /// Why it began.
    pub cause: Cause,
    /// For when.
    pub occurrence: Timestamp,
    /// When it began; none when it was not run.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How; none while it runs, or after its process died.
    pub outcome: Option<ScheduleEnd>,
    /// More of it, for people.
    pub detail: String,
    /// The process that runs it, and when that process started (see [`super::RunRecord`]).
    #[serde(skip)]
    pub pid: u32,
    /// See `pid`.
    #[serde(skip)]
    pub pid_started: u64,
}

/// How far a schedule is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Everything up to then.
    pub until: Timestamp,
    /// Occurrences after it that were run already, under a clock that was ahead.
    pub ran: BTreeSet<Timestamp>,
    /// The clock is behind what was settled by this much; what was said of that time is taken back.
    pub clock_went_back: Option<jiff::SignedDuration>,
}

impl Store {
    /// How far a schedule is settled. One that is new, or has another rule than it had, is from now on; where the clock went
    /// back behind it, from now on as well, and what was called missed or overlapped after now has not been.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn schedule_settled(&self, name: &str, rule: &str, now: Timestamp) -> Result<Settled, StoreError> {
        let what = "read how far a schedule is";
        let now_ms = now.as_millisecond();
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        let known: Option<i64> = sqlx::query_scalar("SELECT settled FROM schedules WHERE name = ? AND rule = ?")
            .bind(name)
            .bind(rule)
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.sql(what))?;
        let until = known.unwrap_or(now_ms).min(now_ms);
        if known != Some(until) {
            sqlx::query("INSERT OR REPLACE INTO schedules (name, rule, settled) VALUES (?, ?, ?)")
                .bind(name)
                .bind(rule)
                .bind(until)
                .execute(&mut *tx)
                .await
                .map_err(self.sql("note a schedule"))?;
            sqlx::query(
                "DELETE FROM schedule_runs WHERE name = ? AND occurrence > ? AND outcome IN ('missed', 'overlapped')",
            )
            .bind(name)
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(self.sql("take back what was missed"))?;
        }
        let ran: Vec<i64> = sqlx::query_scalar(
            "SELECT occurrence FROM schedule_runs WHERE name = ? AND cause = 'schedule' AND occurrence > ?",
        )
        .bind(name)
        .bind(until)
        .fetch_all(&mut *tx)
        .await
        .map_err(self.sql(what))?;
        tx.commit().await.map_err(self.sql("commit a schedule"))?;
        let back = known.filter(|known| *known > now_ms);
        Ok(Settled {
            until: moment(until),
            ran: ran.into_iter().map(moment).collect(),
            clock_went_back: back.map(|known| moment(known).duration_since(now)),
        })
    }

    /// Up to when a schedule is settled by its rule; none when nobody has watched it since it has that.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn schedule_until(&self, name: &str, rule: &str) -> Result<Option<Timestamp>, StoreError> {
        let until: Option<i64> = sqlx::query_scalar("SELECT settled FROM schedules WHERE name = ? AND rule = ?")
            .bind(name)
            .bind(rule)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.sql("read how far a schedule is"))?;
        Ok(until.map(moment))
    }

    /// Settles occurrences that are not run, the oldest first. All or none.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn settle_occurrences(
        &self,
        name: &str,
        occurrences: &[Timestamp],
        how: SettledHow,
        detail: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        for occurrence in occurrences {
            sqlx::query(
                "INSERT INTO schedule_runs (name, cause, occurrence, outcome, detail, pid, pid_started) \
                 VALUES (?, 'schedule', ?, ?, ?, 0, 0)",
            )
            .bind(name)
            .bind(occurrence.as_millisecond())
            .bind(how.end().name())
            .bind(detail)
            .execute(&mut *tx)
            .await
            .map_err(self.sql("settle an occurrence"))?;
        }
        if let Some(last) = occurrences.last() {
            self.settled_until(&mut tx, name, *last).await?;
        }
        tx.commit().await.map_err(self.sql("commit occurrences"))
    }

    async fn settled_until(
        &self,
        tx: &mut SqliteConnection,
        name: &str,
        occurrence: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE schedules SET settled = max(settled, ?) WHERE name = ?")
            .bind(occurrence.as_millisecond())
            .bind(name)
            .execute(tx)
            .await
            .map_err(self.sql("note how far a schedule is"))?;
        Ok(())
    }

    /// Stores that a run begins, unless another of its schedule is going on: that one is given back. `lives` says whether a
    /// process that has one is still there; a run whose process is not is none, see [`Store::interrupt_schedule_runs`].
    ///
    /// # Errors
    /// When the database refuses, as it does for an occurrence that was settled already.
    pub async fn begin_schedule_run(
        &self,
        run: &ScheduleRun,
        lives: impl Fn(&ScheduleRun) -> bool + Send,
    ) -> Result<Result<(), ScheduleRun>, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        let open = sqlx::query("SELECT * FROM schedule_runs WHERE name = ? AND outcome IS NULL")
            .bind(&run.name)
            .fetch_all(&mut *tx)
            .await
            .map_err(self.sql("look for a run that goes on"))?;
        if let Some(holder) = open.iter().map(run_of).find(|open| lives(open)) {
            return Ok(Err(holder));
        }
        sqlx::query(
            "INSERT INTO schedule_runs (name, cause, occurrence, started, detail, pid, pid_started) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&run.name)
        .bind(run.cause.name())
        .bind(run.occurrence.as_millisecond())
        .bind(run.started.map(Timestamp::as_millisecond))
        .bind(&run.detail)
        .bind(i64::from(run.pid))
        .bind(i64::try_from(run.pid_started).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await
        .map_err(self.sql("store that a schedule's run begins"))?;
        match run.cause {
            Cause::Schedule => self.settled_until(&mut tx, &run.name, run.occurrence).await?,
            Cause::Hand => {}
        }
        tx.commit().await.map_err(self.sql("commit that a schedule's run begins"))?;
        Ok(Ok(()))
    }

    /// Stores how a run ended, and forgets occurrences that are as old as forgotten nights.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end_schedule_run(
        &self,
        run: &ScheduleRun,
        ended: Timestamp,
        outcome: ScheduleEnd,
        detail: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        sqlx::query(
            "UPDATE schedule_runs SET ended = ?, outcome = ?, detail = ? \
             WHERE name = ? AND cause = ? AND occurrence = ? AND outcome IS NULL",
        )
        .bind(ended.as_millisecond())
        .bind(outcome.name())
        .bind(detail)
        .bind(&run.name)
        .bind(run.cause.name())
        .bind(run.occurrence.as_millisecond())
        .execute(&mut *tx)
        .await
        .map_err(self.sql("store how a schedule's run ended"))?;
        sqlx::query("DELETE FROM schedule_runs WHERE occurrence < ?")
            .bind(ended.as_millisecond() - NIGHTS * DAY_MS)
            .execute(&mut *tx)
            .await
            .map_err(self.sql("forget old occurrences"))?;
        tx.commit().await.map_err(self.sql("commit how a schedule's run ended"))
    }

    /// Marks the runs whose process is gone as interrupted, and gives them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn interrupt_schedule_runs(
        &self,
        now: Timestamp,
        lives: impl Fn(&ScheduleRun) -> bool + Send,
    ) -> Result<Vec<ScheduleRun>, StoreError> {
        let open = sqlx::query("SELECT * FROM schedule_runs WHERE outcome IS NULL ORDER BY occurrence")
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("look for interrupted runs of schedules"))?;
        let mut dead: Vec<ScheduleRun> = open.iter().map(run_of).filter(|run| !lives(run)).collect();
        for run in &mut dead {
            let detail = format!("the process {} that ran it is gone", run.pid);
            self.end_schedule_run(run, now, ScheduleEnd::Interrupted, &detail).await?;
            (run.ended, run.outcome, run.detail) = (Some(now), Some(ScheduleEnd::Interrupted), detail);
        }
        Ok(dead)
    }

    /// The newest occurrence of a schedule that was not by hand.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn last_scheduled(&self, name: &str) -> Result<Option<ScheduleRun>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM schedule_runs WHERE name = ? AND cause = 'schedule' ORDER BY occurrence DESC LIMIT 1",
        )
        .bind(name)
        .fetch_optional(&self.pool)
        .await
        .map_err(self.sql("read the last run of a schedule"))?;
        Ok(row.as_ref().map(run_of))
    }

    /// The newest occurrences of a schedule first, at most `limit`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn schedule_runs(&self, name: &str, limit: u32) -> Result<Vec<ScheduleRun>, StoreError> {
        let rows = sqlx::query("SELECT * FROM schedule_runs WHERE name = ? ORDER BY occurrence DESC LIMIT ?")
            .bind(name)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("list the runs of a schedule"))?;
        Ok(rows.iter().map(run_of).collect())
    }
}

fn run_of(row: &sqlx::sqlite::SqliteRow) -> ScheduleRun {
    let time = |name| row.get::<Option<i64>, _>(name).map(moment);
    let outcome: Option<String> = row.get("outcome");
    ScheduleRun {
        name: row.get("name"),
        cause: if row.get::<String, _>("cause") == Cause::Hand.name() { Cause::Hand } else { Cause::Schedule },
        occurrence: moment(row.get("occurrence")),
        started: time("started"),
        ended: time("ended"),
        outcome: outcome.as_deref().and_then(ScheduleEnd::of_name),
        detail: row.get("detail"),
        pid: u32::try_from(row.get::<i64, _>("pid")).unwrap_or(0),
        pid_started: u64::try_from(row.get::<i64, _>("pid_started")).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn begun(cause: Cause, occurrence: &str, pid: u32) -> ScheduleRun {
        ScheduleRun {
            name: "nightly".to_owned(),
            cause,
            occurrence: at(occurrence),
            started: Some(at(occurrence)),
            ended: None,
            outcome: None,
            detail: String::new(),
            pid,
            pid_started: 1,
        }
    }

    async fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(&dir.path().join("kfleet.db")).await.unwrap()
    }

    #[test]
    fn every_outcome_is_read_as_it_was_written() {
        for end in ScheduleEnd::ALL {
            assert_eq!(ScheduleEnd::of_name(end.name()), Some(end));
        }
    }

    #[tokio::test]
    async fn an_occurrence_is_settled_once_and_survives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(&dir).await;
        let (now, night) = (at("2026-01-01T00:00:00Z"), "2026-01-02T02:00:00Z");
        assert_eq!(first.schedule_until("nightly", "rule").await.unwrap(), None);
        assert_eq!(first.schedule_settled("nightly", "rule", now).await.unwrap().until, now);
        assert_eq!(first.schedule_until("nightly", "rule").await.unwrap(), Some(now));
        let run = begun(Cause::Schedule, night, 7);
        first.begin_schedule_run(&run, |_| true).await.unwrap().unwrap();
        first.close().await;
        let second = store(&dir).await;
        let later = at("2026-01-02T03:00:00Z");
        assert_eq!(second.schedule_settled("nightly", "rule", later).await.unwrap().until, at(night));
        // The same again while its process lives is refused with its holder, and after that by the database itself.
        assert_eq!(second.begin_schedule_run(&run, |_| true).await.unwrap().unwrap_err(), run);
        assert!(second.begin_schedule_run(&run, |_| false).await.is_err());
        let again = [at(night)];
        assert!(second.settle_occurrences("nightly", &again, SettledHow::Missed, "").await.is_err());
        // A run whose process lives is let be; one whose process is gone was interrupted, and is told once.
        assert!(second.interrupt_schedule_runs(later, |run| run.pid == 7).await.unwrap().is_empty());
        let told = second.interrupt_schedule_runs(later, |_| false).await.unwrap();
        assert_eq!(
            told.iter().map(|run| (run.outcome, run.ended)).collect::<Vec<_>>(),
            [(Some(ScheduleEnd::Interrupted), Some(later))]
        );
        assert!(second.interrupt_schedule_runs(later, |_| false).await.unwrap().is_empty());
        assert_eq!(second.schedule_runs("nightly", 5).await.unwrap(), told);
    }

    #[tokio::test]
    async fn a_clock_that_went_back_takes_back_what_was_missed_and_not_what_ran() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        store.schedule_settled("nightly", "rule", at("2026-01-01T00:00:00Z")).await.unwrap();
        let missed = [at("2026-01-01T02:00:00Z"), at("2026-01-02T02:00:00Z"), at("2026-01-03T02:00:00Z")];
        store.settle_occurrences("nightly", &missed, SettledHow::Missed, "").await.unwrap();
        let run = begun(Cause::Schedule, "2026-01-04T02:00:00Z", 7);
        store.begin_schedule_run(&run, |_| true).await.unwrap().unwrap();
        store.end_schedule_run(&run, at("2026-01-04T02:10:00Z"), ScheduleEnd::Done, "all well").await.unwrap();
        let now = at("2026-01-01T12:00:00Z");
        let settled = store.schedule_settled("nightly", "rule", now).await.unwrap();
        let wanted = Settled {
            until: now,
            ran: BTreeSet::from([run.occurrence]),
            clock_went_back: Some(run.occurrence.duration_since(now)),
        };
        assert_eq!(settled, wanted);
        let left = store.schedule_runs("nightly", 9).await.unwrap();
        assert_eq!(left.iter().map(|run| run.occurrence).collect::<Vec<_>>(), [run.occurrence, missed[0]]);
        // Asked again, nothing is taken back; another rule begins anew.
        assert_eq!(store.schedule_settled("nightly", "rule", now).await.unwrap().clock_went_back, None);
        let later = at("2026-01-01T13:00:00Z");
        assert_eq!(store.schedule_settled("nightly", "other", later).await.unwrap().until, later);
    }

    #[tokio::test]
    async fn runs_by_hand_settle_nothing_and_old_ones_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let first = at("2026-01-01T00:00:00Z");
        store.schedule_settled("nightly", "rule", first).await.unwrap();
        let day = SignedDuration::from_hours(24);
        let kept = i32::try_from(NIGHTS).unwrap();
        for night in [0, 1, kept, kept + 1] {
            let occurrence = first + day * night;
            let run = begun(Cause::Hand, &occurrence.to_string(), 7);
            store.begin_schedule_run(&run, |_| true).await.unwrap().unwrap();
            store.end_schedule_run(&run, occurrence, ScheduleEnd::Partial, "2 of 3 hosts").await.unwrap();
        }
        let left = store.schedule_runs("nightly", 9).await.unwrap();
        assert_eq!(left.len(), 3, "the first is {} days before the last", kept + 1);
        assert!(left.iter().all(|run| run.outcome == Some(ScheduleEnd::Partial) && run.detail == "2 of 3 hosts"));
        assert_eq!(store.last_scheduled("nightly").await.unwrap(), None);
        let settled = store.schedule_settled("nightly", "rule", first + day * (kept + 2)).await.unwrap();
        assert_eq!(settled.until, first);
    }
}
