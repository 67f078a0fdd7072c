//! A host in a run: its variables that change as tasks end, and how it fares.
//!
//! Shared by the tasks that run on it. The lock is held for single reads and writes, never over an await.

use kfleet_model::event::HostCounts;
use kfleet_model::{HostName, HostStatus, Map, TaskResult, Value};
use kfleet_playbook::vars::Store;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a host takes part in the next task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes part.
    Active,
    /// A task failed on it.
    Failed,
    /// Its agent did not answer.
    Unreachable,
    /// It is not known how a task ended on it.
    Unknown,
    /// `meta: end_host` took it out of the play, well.
    Ended,
}

/// One host of the run.
pub struct RunHost {
    /// Its name in the inventory.
    pub name: HostName,
    state: Mutex<State>,
}

/// What changes while tasks end.
#[derive(Debug)]
struct State {
    standing: Option<Standing>,
    counts: HostCounts,
    facts: Arc<Store>,
    set_facts: Arc<Store>,
    include_vars: Arc<Store>,
    notified: BTreeSet<String>,
}

/// The changing variables of a host at one moment; cheap to copy.
#[derive(Debug, Clone)]
pub struct HostVars {
    /// `ansible_facts`, with the `ansible_` prefix.
    pub facts: Arc<Store>,
    /// By `set_fact` and `register`.
    pub set_facts: Arc<Store>,
    /// By `include_vars`.
    pub include_vars: Arc<Store>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            standing: None,
            counts: HostCounts::default(),
            facts: Arc::new(Store::of_hosts()),
            // The values come of templates that were rendered already.
            set_facts: Arc::new(Store::of_hosts()),
            include_vars: Arc::new(Store::of_operator()),
            notified: BTreeSet::new(),
        }
    }
}

impl RunHost {
    /// A host that nothing is known of yet.
    #[must_use]
    pub fn new(name: HostName) -> Arc<Self> {
        Arc::new(Self { name, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held can only come from an allocation; the data is whole either way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its standing now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.state().standing.unwrap_or(Standing::Active)
    }

    /// Sets its standing.
    pub fn set_standing(&self, standing: Standing) {
        self.state().standing = Some(standing);
    }

    /// It takes part in the next task.
    #[must_use]
    pub fn active(&self) -> bool {
        self.standing() == Standing::Active
    }

    /// The counts of the recap.
    #[must_use]
    pub fn counts(&self) -> HostCounts {
        self.state().counts
    }

    /// Counts the end of a task and sets the standing that follows from it.
    pub fn count(&self, status: HostStatus) {
        let mut state = self.state();
        let counts = &mut state.counts;
        match status {
            HostStatus::Ok => counts.ok += 1,
            HostStatus::Changed => {
                counts.ok += 1;
                counts.changed += 1;
            }
            HostStatus::Skipped => counts.skipped += 1,
            HostStatus::Ignored => {
                counts.ok += 1;
                counts.ignored += 1;
            }
            HostStatus::Failed | HostStatus::Rescued => {
                counts.failed += 1;
                state.standing = Some(Standing::Failed);
            }
            HostStatus::Unreachable => {
                counts.unreachable += 1;
                state.standing = Some(Standing::Unreachable);
            }
            HostStatus::Unknown => {
                counts.unknown += 1;
                state.standing = Some(Standing::Unknown);
            }
        }
    }

    /// A rescue takes over: the failure counts as rescued and the host takes part again.
    pub fn rescue(&self) {
        let mut state = self.state();
        state.counts.failed = state.counts.failed.saturating_sub(1);
        state.counts.rescued += 1;
        state.standing = Some(Standing::Active);
    }

    /// The changing variables as they are now.
    #[must_use]
    pub fn vars(&self) -> HostVars {
        let state = self.state();
        HostVars {
            facts: Arc::clone(&state.facts),
            set_facts: Arc::clone(&state.set_facts),
            include_vars: Arc::clone(&state.include_vars),
        }
    }

    /// Keeps gathered facts.
    pub fn add_facts(&self, facts: Map) {
        Arc::make_mut(&mut self.state().facts).extend(facts);
    }

    /// Forgets all facts.
    pub fn clear_facts(&self) {
        self.state().facts = Arc::new(Store::of_hosts());
    }

    /// Keeps variables of `set_fact`.
    pub fn set_facts(&self, facts: Map) {
        Arc::make_mut(&mut self.state().set_facts).extend(facts);
    }

    /// Keeps variables of `include_vars`.
    pub fn include_vars(&self, vars: Map) {
        Arc::make_mut(&mut self.state().include_vars).extend(vars);
    }

    /// Keeps a registered result.
    pub fn register(&self, name: &str, value: Value) {
        Arc::make_mut(&mut self.state().set_facts).set(name, value);
    }

    /// Notifies a handler by the name that the task used.
    pub fn notify(&self, handler: String) {
        self.state().notified.insert(handler);
    }

    /// The names under which handlers were notified.
    #[must_use]
    pub fn notified(&self) -> BTreeSet<String> {
        self.state().notified.clone()
    }

    /// Takes a notification back: its handler is about to run.
    pub fn forget_notification(&self, handler: &str) {
        self.state().notified.remove(handler);
    }

    /// Forgets all notifications: the play is over.
    pub fn forget_notifications(&self) {
        self.state().notified.clear();
    }
}

/// How one task ended on one host.
#[derive(Debug, Clone)]
pub(super) struct TaskEnd {
    /// How.
    pub status: HostStatus,
    /// What it returned; of a loop, with `results`.
    pub result: TaskResult,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_ansible_s_recap_and_a_rescue_takes_a_failure_back() {
        let host = RunHost::new(HostName::new("a").unwrap());
        for status in [HostStatus::Ok, HostStatus::Changed, HostStatus::Skipped, HostStatus::Ignored] {
            host.count(status);
            assert!(host.active());
        }
        host.count(HostStatus::Failed);
        assert_eq!(host.standing(), Standing::Failed);
        host.rescue();
        assert!(host.active());
        let wanted = HostCounts { ok: 3, changed: 1, skipped: 1, ignored: 1, rescued: 1, ..HostCounts::default() };
        assert_eq!(host.counts(), wanted);
        host.count(HostStatus::Unreachable);
        assert_eq!((host.standing(), host.counts().unreachable), (Standing::Unreachable, 1));
    }
}
