//! The server: waits for schedules and runs them, until it is told to stop.
//!
//! ```text
//!   look at every schedule -> begin what is due -> wait (next start, 30 s, a run's end, stop) -> the file changed? -> look
//! ```
//!
//! It waits by the monotonic clock and decides by the wall clock, which it reads anew at each look: a step of the clock, a
//! suspended machine and a long downtime are all the same to it.

use super::desk::{Desk, Next};
use super::file::{Entry, FILE};
use super::job::{Alert, AlertKind};
use super::notify::notify;
use super::rules::Job;
use crate::history::StoreError;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long it waits at most before it looks again: how late a step of the clock or a changed file is noticed. A third of
/// the unit's `WatchdogSec` at most.
pub const WAKE: Duration = Duration::from_secs(30);

/// How late a start may be without being late: two looks.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// The shortest wait, so that a start in the next moment is not looked for in a busy loop.
const NAP: Duration = Duration::from_millis(10);

/// Why the server ended by itself. A service manager starts it again.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The run store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run's task died.
    #[error("a run of a schedule died")]
    Died(#[source] JoinError),
}

/// Where the schedules come from.
pub trait Source: Send + Sync {
    /// The file's text; none when it is not there. Tells whether it changed.
    ///
    /// # Errors
    /// When it can not be read.
    fn text(&self) -> io::Result<Option<String>>;

    /// The schedules in it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn entries(&self) -> Result<Vec<Entry>, String>;
}

type Ended = (String, Result<(), StoreError>);

/// The server.
pub struct Server<S> {
    desk: Desk,
    source: S,
    /// The text that was read last, whether it could be used or not.
    seen: Option<String>,
    entries: BTreeMap<String, Entry>,
    running: BTreeSet<String>,
    tasks: JoinSet<Ended>,
}

impl<S: Source> Server<S> {
    /// Takes the schedules as they are now.
    ///
    /// # Errors
    /// When the file can not be used.
    pub fn new(desk: Desk, source: S) -> Result<Self, String> {
        let seen = source.text().map_err(|error| format!("failed to read {FILE}: {error}"))?;
        let entries = by_name(source.entries()?);
        Ok(Self { desk, source, seen, entries, running: BTreeSet::new(), tasks: JoinSet::new() })
    }

    /// Serves until `stop`; then runs that go on are cancelled, and recorded.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn run(mut self, stop: &CancellationToken) -> Result<(), ServeError> {
        let runs = stop.child_token();
        let served = self.serve(stop, &runs).await;
        notify("STOPPING=1");
        runs.cancel();
        let mut drained = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            drained = drained.and(self.ended(ended));
        }
        served.and(drained)
    }

    async fn serve(&mut self, stop: &CancellationToken, runs: &CancellationToken) -> Result<(), ServeError> {
        self.desk.interrupted(&self.entries.values().collect::<Vec<_>>()).await?;
        tracing::info!(schedules = self.entries.len(), "serving");
        notify("READY=1");
        while !stop.is_cancelled() {
            // A run that ended just now does not overlap the next one.
            while let Some(ended) = self.tasks.try_join_next() {
                self.ended(ended)?;
            }
            let next = self.look(runs).await?;
            notify("WATCHDOG=1");
            let wait = self.wait(next);
            // Cancel safe: none of them loses anything; a task's end that is not read stays in the set.
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = self.tasks.join_next() => self.ended(ended)?,
                () = self.desk.clock.sleep(wait) => {}
            }
            self.reload().await;
        }
        Ok(())
    }

    /// Begins what is due; gives the next start of all.
    async fn look(&mut self, runs: &CancellationToken) -> Result<Option<Timestamp>, StoreError> {
        let mut first: Option<Timestamp> = None;
        for (name, entry) in &self.entries {
            let job = if self.running.contains(name) { Job::Running } else { Job::Idle };
            let occurrence = match self.desk.next(entry, job, GRACE).await? {
                Next::Wait(occurrence) => occurrence,
                Next::Run(occurrence) => {
                    // Of one that somebody else runs the occurrence is settled as well.
                    if let Ok(begun) = self.desk.begin_due(entry, occurrence).await? {
                        self.running.insert(name.clone());
                        let (desk, entry, stop, name) = (self.desk.clone(), entry.clone(), runs.clone(), name.clone());
                        self.tasks.spawn(async move {
                            let ran = desk.finish_due(&entry, begun, &stop).await;
                            (name, ran.map(|_| ()))
                        });
                    }
                    entry.schedule.next(occurrence.at)
                }
            };
            first = [first, occurrence.map(|occurrence| occurrence.start)].into_iter().flatten().min();
        }
        Ok(first)
    }

    fn wait(&self, next: Option<Timestamp>) -> Duration {
        let until = next.map(|next| next.duration_since(self.desk.clock.now()));
        until.map_or(WAKE, |until| Duration::try_from(until).unwrap_or(NAP)).clamp(NAP, WAKE)
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) -> Result<(), ServeError> {
        let (name, recorded) = ended.map_err(ServeError::Died)?;
        self.running.remove(&name);
        Ok(recorded?)
    }

    /// Takes a changed file; one that can not be used is told once, and the schedules before it stay.
    async fn reload(&mut self) {
        let why = match self.source.text() {
            Ok(text) if text == self.seen => return,
            Ok(text) => {
                let there = text.is_some();
                self.seen = text;
                match self.source.entries() {
                    Ok(entries) if there => {
                        self.entries = by_name(entries);
                        tracing::info!(schedules = self.entries.len(), "{FILE} has changed and is used");
                        return;
                    }
                    Ok(_) => "it is gone".to_owned(),
                    Err(why) => why,
                }
            }
            // Tried again at the next look: an editor may be at work.
            Err(error) => {
                tracing::warn!(%error, "failed to read {FILE}");
                return;
            }
        };
        let when = self.desk.clock.now().to_string();
        let alert = Alert { fleet: self.desk.fleet.clone(), schedule: None, when, kind: AlertKind::File { why } };
        self.desk.alerts.raise(&alert).await;
    }
}

fn by_name(entries: Vec<Entry>) -> BTreeMap<String, Entry> {
    entries.into_iter().map(|entry| (entry.schedule.name.clone(), entry)).collect()
}

#[cfg(test)]
mod tests;
