//! A session: one process's part in a run, from the first event to the last.
//!
//! Opens the dispatcher, walks the plays, listens to Ctrl-C, and ends the run in a named state whatever happens.

use super::dispatcher::Dispatcher;
use super::hosts::Standing;
use super::play::Stop;
use super::run::{Run, RunError};
use crate::history::StoreError;
use kfleet_model::Class;
use kfleet_model::HostName;
use kfleet_model::event::{EventKind, HostCounts, RunEnd};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a session ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub end: RunEnd,
    /// The sum of all hosts' counts.
    pub counts: HostCounts,
    /// The class of the error that ended it, if one did.
    pub class: Option<Class>,
}

/// A session's end, or the store's failure beside it.
pub type Outcome = (Ended, Result<(), StoreError>);

/// One process's part in a run.
pub struct Session {
    run: Arc<Run>,
    dispatcher: Dispatcher,
}

impl Session {
    /// Takes a run and the dispatcher that its events go to.
    #[must_use]
    pub fn new(run: Arc<Run>, dispatcher: Dispatcher) -> Self {
        Self { run, dispatcher }
    }

    /// Runs all plays. The first Ctrl-C stops before the next side effect, the second stops what runs.
    ///
    /// # Cancellation
    /// Not to be dropped: agents go on by themselves, but the run would end without its last event.
    pub async fn run(self, what: &str) -> Outcome {
        let Self { run, dispatcher } = self;
        let begun = Instant::now();
        let started = EventKind::RunStarted {
            what: what.to_owned(),
            check: run.options.check,
            resumed: run.is_resumed(),
            plan: run.plan.hash.clone(),
        };
        run.events.send(started).await;
        let walked = {
            let walk = plays(&run);
            tokio::pin!(walk);
            let mut interrupts = Interrupts::listen();
            let mut times = 0_u8;
            loop {
                tokio::select! {
                    // Cancel safe: the walk is pinned outside, a signal that is not read stays pending.
                    outcome = &mut walk => break outcome,
                    () = interrupts.next() => {
                        times = times.saturating_add(1);
                        interrupted(&run, times).await;
                    }
                }
            }
        };
        let ended = ended(&run, walked).await;
        let hosts = counts(&run);
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        run.events.send(EventKind::RunEnded { end: ended.end, hosts, elapsed_ms }).await;
        // The dispatcher ends when the last sender is gone; the run holds one.
        drop(run);
        (ended, dispatcher.finish().await)
    }
}

async fn plays(run: &Run) -> Result<(), Stop> {
    let plan = Arc::clone(&run.plan);
    for play in &plan.plays {
        if run.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        match run.play(play).await {
            Ok(()) => {}
            Err(stop) => return Err(stop),
        }
        // As in Ansible: when no host is left, the plays that follow have nobody to run on.
        let left = run.hosts().any(|host| matches!(host.standing(), Standing::Active | Standing::Ended));
        if !left {
            return Err(Stop::Failed);
        }
    }
    Ok(())
}

async fn ended(run: &Run, walked: Result<(), Stop>) -> Ended {
    let counts = sum(run);
    let bad = counts.failed + counts.unreachable + counts.unknown > 0;
    let (end, class) = match walked {
        Err(Stop::Error(RunError { class, text })) => {
            run.events.send(EventKind::RunError { class, text }).await;
            (RunEnd::Failed, Some(class))
        }
        _ if run.is_failed_safe() => (RunEnd::FailedSafe, None),
        Err(Stop::Cancelled) => (RunEnd::Cancelled, None),
        Err(Stop::Failed) => (RunEnd::Failed, None),
        Ok(()) | Err(Stop::EndPlay | Stop::EndBatch) if run.cancel.is_cancelled() => (RunEnd::Cancelled, None),
        Ok(()) | Err(Stop::EndPlay | Stop::EndBatch) if bad => (RunEnd::Failed, None),
        Ok(()) | Err(Stop::EndPlay | Stop::EndBatch) => (RunEnd::Succeeded, None),
    };
    Ended { end, counts, class }
}

fn counts(run: &Run) -> BTreeMap<HostName, HostCounts> {
    run.hosts()
        .map(|host| (host.name.clone(), host.counts()))
        .filter(|(_, counts)| *counts != HostCounts::default())
        .collect()
}

fn sum(run: &Run) -> HostCounts {
    let mut all = HostCounts::default();
    for host in run.hosts() {
        let one = host.counts();
        all.ok += one.ok;
        all.changed += one.changed;
        all.unreachable += one.unreachable;
        all.failed += one.failed;
        all.skipped += one.skipped;
        all.rescued += one.rescued;
        all.ignored += one.ignored;
        all.unknown += one.unknown;
    }
    all
}

/// Ctrl-C and `SIGTERM`. One listener for the whole session: one that is made anew for each wait misses a signal that
/// comes while the one before is being answered.
pub(crate) struct Interrupts {
    listeners: Option<(Signal, Signal)>,
}

impl Interrupts {
    pub(crate) fn listen() -> Self {
        let listeners = signal(SignalKind::interrupt()).and_then(|int| Ok((int, signal(SignalKind::terminate())?)));
        Self { listeners: listeners.ok() }
    }

    /// Waits for the next one; for ever where the system lets nobody listen.
    ///
    /// # Cancellation
    /// Safe: both only wait for a signal, and one that is not read stays pending.
    pub(crate) async fn next(&mut self) {
        let received = match &mut self.listeners {
            Some((interrupt, terminate)) => tokio::select! {
                received = interrupt.recv() => received,
                received = terminate.recv() => received,
            },
            None => None,
        };
        if received.is_none() {
            std::future::pending().await
        }
    }
}

async fn interrupted(run: &Run, times: u8) {
    let text = match times {
        1 => {
            run.cancel.cancel();
            "stopping: nothing new is begun, what runs on hosts is waited for (Ctrl-C again stops that too)"
        }
        2 => {
            run.cancel_now.cancel();
            "stopping now: commands that run on hosts are ended"
        }
        _ => return,
    };
    run.events.send(EventKind::Warning { text: text.to_owned() }).await;
}
