//! What the core lends to the host for one op: time, the wish to stop, progress, commands, files of the cache.

use super::command::{self, CommandSettings, Ended, stopped_text};
use super::entry::Entry;
use crate::host::{CommandEnd, CommandSpec, HostError, OpContext, ServiceManager};
use crate::journal::cache::Cache;
use crate::journal::error::chain;
use crate::journal::notes::Notes;
use crate::journal::versions::{Versions, Writer};
use kfleet_model::Op;
use kfleet_model::version::Author;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One op's view of the core.
#[derive(Debug)]
pub(crate) struct Context {
    entry: Arc<Entry>,
    settings: Arc<CommandSettings>,
    cache: Arc<Cache>,
    versions: Arc<Versions>,
    notes: Arc<Notes>,
    writer: Writer,
    become_user: Option<String>,
    environment: BTreeMap<String, String>,
    /// Set when nobody can say how the op's command ended; then the op's end is unknown whatever the module says.
    unknown: Mutex<Option<String>>,
}

impl Context {
    pub(super) fn new(
        entry: Arc<Entry>,
        op: &Op,
        settings: Arc<CommandSettings>,
        cache: Arc<Cache>,
        versions: Arc<Versions>,
        notes: Arc<Notes>,
    ) -> Self {
        let (become_user, environment) = (op.become_user.clone(), op.environment.clone());
        let (run_id, op_id, module) = (op.run_id.clone(), op.op_id.clone(), op.module.clone());
        let writer = Writer { author: Author::Op { run_id, op_id, module }, secret: op.no_log };
        Self { entry, settings, cache, versions, notes, writer, become_user, environment, unknown: Mutex::default() }
    }

    /// Why the op's end is unknown, if it is.
    pub(crate) fn unknown(&self) -> Option<String> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The op.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl OpContext for Context {
    fn stopping(&self) -> bool {
        self.entry.stop_reason().is_some()
    }

    fn time_left(&self) -> Duration {
        self.entry.time_left()
    }

    fn wait(&self, time: Duration) -> bool {
        self.entry.wait(time)
    }

    fn progress(&self, text: &str) {
        if let Err(error) = self.entry.progress(text) {
            tracing::warn!(op = %self.entry.id.op_id, error = chain(&error), "a progress event is lost");
        }
    }

    fn run_command(&self, command: &CommandSpec) -> Result<CommandEnd, HostError> {
        let failed = |why: String, stderr: &[u8]| HostError::Command {
            argv: command.argv.clone(),
            why,
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        };
        // What the module says of its command comes before what the task says of all of them.
        let mut whole = command.clone();
        whole.user = whole.user.or_else(|| self.become_user.clone());
        whole.env = self.environment.clone().into_iter().chain(whole.env).collect();
        match command::run(&self.settings, &self.entry, &whole)? {
            Ended::Unknown(why) => {
                *self.unknown.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                Err(failed(format!("has an unknown end: {why}"), b""))
            }
            Ended::Exit(exit, end) => {
                if let Some(why) = exit.stopped {
                    return Err(HostError::Stopped(stopped_text(why).to_owned()));
                }
                if let Some(why) = exit.error {
                    return Err(failed(why, &end.stderr));
                }
                Ok(end)
            }
        }
    }

    fn blob_path(&self, sha256: &str) -> Option<PathBuf> {
        self.cache.path(sha256)
    }

    fn versions(&self) -> &Versions {
        &self.versions
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn writer(&self) -> &Writer {
        &self.writer
    }

    fn service_manager(&self) -> &ServiceManager {
        &self.settings.service_manager
    }
}
