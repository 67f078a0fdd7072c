//! The contract of a module: observe -> diff -> apply.
//!
//! Purpose: one shape for everything that an agent can do to a host. `observe` reads, `diff` is pure, `apply` does
//! exactly the changes that `diff` listed. The runner derives `changed` from the list and withholds `apply` in
//! check mode, so no module can get either wrong.
//! Modules are synchronous: they are file and process work, run on a blocking thread of their own, where a panic
//! fails the task and not the agent.
//! Not here: parsing of parameters (`kfleet_model::module`), the order of calls (`runner`).

use crate::collect::CollectError;
use crate::host::{Host, HostError, HostView, Unit};
use kfleet_model::module::{ModuleDoc, text};
use kfleet_model::{Change, Map, TaskResult, Value};
use serde::de::DeserializeOwned;

/// Why a module did not do its work. The text becomes the task's `msg`.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The host refused or failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The parameters contradict each other or the host: for people, as a sentence fragment.
    #[error("{0}")]
    Invalid(String),
    /// It ran and failed, and has results to show (`rc`, `stdout`, ...).
    #[error("{msg}")]
    Failed {
        /// For people.
        msg: String,
        /// The result's keys.
        data: Map,
    },
    /// The operator or the deadline stopped it before it was done.
    #[error("stopped before {0}")]
    Stopped(&'static str),
}

impl From<CollectError> for ModuleError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Host(error) => Self::Host(error),
            error @ (CollectError::Invalid(_)
            | CollectError::Kafka(_)
            | CollectError::ZooKeeper(_)
            | CollectError::Runtime(_)) => Self::Invalid(error.to_string()),
        }
    }
}

/// What `apply` adds to the result, beside the changes: keys of the result that only doing it can tell.
pub type Applied = Map;

/// A unit that is about to be stopped, for the guard rail.
#[derive(Debug, Clone)]
pub struct UnitStop {
    /// As it was found.
    pub unit: Unit,
    /// The operator says that an outage of its cluster is accepted.
    pub allow_outage: bool,
}

/// One module. A unit struct implements it; `&'static dyn AnyModule` goes into the table.
pub trait Module: Sync {
    /// The parameters after normalising: real names, real types. Must deny unknown fields.
    type Params: DeserializeOwned;
    /// What `observe` found.
    type State;

    /// The document: name, parameters, returned keys, examples.
    fn doc(&self) -> ModuleDoc;

    /// Reads what the decision needs. Never writes.
    ///
    /// # Errors
    /// When the host can not be read or the parameters make no sense on it.
    fn observe(&self, host: &dyn HostView, params: &Self::Params) -> Result<Self::State, ModuleError>;

    /// Lists what differs from what is wanted; empty when nothing has to be done. Pure.
    ///
    /// # Errors
    /// When what is wanted can not be reached from what was found (a directory where a file is wanted).
    fn diff(&self, params: &Self::Params, state: &Self::State) -> Result<Vec<Change>, ModuleError>;

    /// The running unit that these changes stop, if they stop one. Pure.
    fn stops(&self, _params: &Self::Params, _state: &Self::State, _changes: &[Change]) -> Option<UnitStop> {
        None
    }

    /// Does the changes. Called only with a list that is not empty and never in check mode.
    ///
    /// # Errors
    /// When the host refuses; what was done until then stays and is whole (files are replaced, never patched).
    fn apply(
        &self,
        host: &dyn Host,
        params: &Self::Params,
        state: &Self::State,
        changes: &[Change],
    ) -> Result<Applied, ModuleError>;

    /// The result's keys that observing alone can tell (`stat`, `dest`, `rc` of a guard that held). After an apply
    /// that was proved, it is asked again with the new state, so the result shows what is there now.
    ///
    /// The keys `msg` and `warnings` become the result's own message and warnings.
    fn found(&self, params: &Self::Params, state: &Self::State) -> Map;

    /// Facts for the host (`ansible_facts`); only fact modules have some.
    fn facts(&self, _params: &Self::Params, _state: &Self::State) -> Map {
        Map::new()
    }

    /// Whether text diffs of this call would show secrets.
    fn secret(&self, _params: &Self::Params) -> bool {
        false
    }

    /// In check mode this call can not tell what it would do, so the task is skipped, for this reason.
    fn skips_check(&self, _params: &Self::Params, _state: &Self::State) -> Option<&'static str> {
        None
    }

    /// When the runner observes again after `apply` and finds changes still wanted, the task fails. Modules whose
    /// outcome is not a state (commands) say no.
    fn proves(&self, _params: &Self::Params) -> bool {
        true
    }
}

/// How the runner calls a module without knowing its types.
pub trait AnyModule: Sync {
    /// The module's document.
    fn doc(&self) -> ModuleDoc;

    /// Runs it once.
    ///
    /// `before_apply` is called exactly once, after the decision that something must be changed and before the
    /// first side effect, with the unit that will be stopped; its failure stops the module there.
    ///
    /// # Errors
    /// As the module's.
    fn run(
        &self,
        host: &dyn Host,
        call: Call<'_>,
        before_apply: &mut dyn FnMut(Option<&UnitStop>) -> Result<(), ModuleError>,
    ) -> Result<TaskResult, ModuleError>;
}

/// One call of a module.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Parameters after [`ModuleDoc::normalise`].
    pub params: &'a Map,
    /// Check mode.
    pub check: bool,
    /// Keep text diffs.
    pub diff: bool,
}

impl<M: Module> AnyModule for M {
    fn doc(&self) -> ModuleDoc {
        Module::doc(self)
    }

    fn run(
        &self,
        host: &dyn Host,
        call: Call<'_>,
        before_apply: &mut dyn FnMut(Option<&UnitStop>) -> Result<(), ModuleError>,
    ) -> Result<TaskResult, ModuleError> {
        let params: M::Params = serde_json::from_value(Value::Object(call.params.clone()))
            .map_err(|error| ModuleError::Invalid(format!("bad parameters: {error}")))?;
        let view = host.view();
        let state = self.observe(view, &params)?;
        let mut changes = self.diff(&params, &state)?;
        let mut data = self.found(&params, &state);
        if call.check
            && !changes.is_empty()
            && let Some(reason) = self.skips_check(&params, &state)
        {
            return Ok(TaskResult { msg: Some(reason.to_owned()), ..TaskResult::skip(reason) });
        }
        if !changes.is_empty() && !call.check {
            if host.stopping() {
                return Err(ModuleError::Stopped("its first side effect"));
            }
            before_apply(self.stops(&params, &state, &changes).as_ref())?;
            let applied = self.apply(host, &params, &state, &changes)?;
            if self.proves(&params) {
                let again = self.observe(view, &params)?;
                data.extend(self.found(&params, &again));
                let left = self.diff(&params, &again)?;
                if let Some(change) = left.first() {
                    data.extend(applied);
                    return Err(ModuleError::Failed {
                        msg: format!(
                            "applied, but {} of {} is still {} and not {}",
                            change.property, change.object, change.from, change.to
                        ),
                        data,
                    });
                }
            }
            data.extend(applied);
        }
        if !call.diff || self.secret(&params) {
            for change in &mut changes {
                change.diff = None;
            }
        }
        let msg = data.shift_remove("msg").and_then(|msg| text(&msg));
        let warnings = data.shift_remove("warnings");
        let warnings = warnings.iter().filter_map(Value::as_array).flatten().filter_map(text).collect();
        Ok(TaskResult {
            changed: !changes.is_empty(),
            msg,
            warnings,
            data,
            changes,
            facts: self.facts(&params, &state),
            ..TaskResult::default()
        })
    }
}
