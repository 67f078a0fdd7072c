//! The owner of all ops of this agent.
//!
//! Purpose: an op is accepted once, runs at most once, ends in exactly one of five ways, and can be followed from any
//! point, whatever becomes of the call that brought it.
//! Place in the flow: `service` submits, attaches and cancels; `runner` runs; `journal` remembers.
//!
//! ```text
//! submit -> waiting -> running -> finished in the journal -> ended -> (memory is short) only in the journal
//!              |          |
//!              |          +- accepted in the journal, before the first side effect
//!              +- refused or expired: nothing was done, so a later submit of the id tries again
//! ```
//!
//! One op that may change the host runs at a time, in the order of arrival; reading ones run beside it. Both
//! have a bounded number of places. The table is under a mutex that is never held over an await.
//! Not here: messages and identities, what modules do.

mod command;
mod context;
mod entry;
mod follow;
mod observe;
mod recover;
mod table;

pub use command::CommandSettings;
pub(crate) use context::Context;
pub use entry::{Cancel, Entry, Identity, Stop};
pub use follow::{FollowError, Follower};
pub use observe::ObserveError;

use crate::config::Guard;
use crate::guard::{self, By, GuardError, Permit};
use crate::host::{HostError, HostView};
use crate::journal::cache::Cache;
use crate::journal::error::{StateError, chain};
use crate::journal::notes::Notes;
use crate::journal::spool::SpoolDir;
use crate::journal::versions::Versions;
use crate::journal::{EndKind, Finished, Journal, Known, files, record, spool};
use crate::modules::UnitStop;
use crate::runner;
use kfleet_model::op::Lease;
use kfleet_model::{Generation, Map, Op, OpEnd, OpId, RunId, TaskResult};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::Table;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// So many reading ops run beside each other; a controller asks a host a few things at a time.
const READERS: usize = 16;

/// So many ops may wait. More are a mistake of the caller, who hears so at once.
const MAX_WAITING: usize = 64;

/// Said of an op that has not begun when the agent stops.
const STOPPING: &str = "the agent is stopping";

/// Why an op is not taken at all. (A refusal by rule is an end of the op, not one of these.)
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The id belongs to an op that does something else.
    #[error("op {op_id} was submitted before with other parameters; an id is never used twice")]
    OtherOp {
        /// The id.
        op_id: OpId,
    },
    /// Too many wait.
    #[error("{MAX_WAITING} ops are waiting on this host already; submit again when some have ended")]
    TooMany,
    /// The agent is about to end.
    #[error("the agent is stopping; submit again when it is back")]
    Stopping,
    /// The journal can not be read.
    #[error("failed to {}", chain(.0))]
    State(#[from] StateError),
}

/// Runs what blocks on a thread where it may.
///
/// # Panics
/// When `work` does, with its panic.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is cancelled only when the runtime ends, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// All ops. Clones share them.
#[derive(Debug, Clone)]
pub struct Ops(Arc<Core>);

#[derive(Debug)]
struct Core {
    journal: Arc<Journal>,
    cache: Arc<Cache>,
    versions: Arc<Versions>,
    notes: Arc<Notes>,
    settings: Arc<CommandSettings>,
    guard: Guard,
    boot_id: String,
    table: Mutex<Table>,
    writing: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    /// All tasks of ops. They end with the runtime: what must outlive the agent is a process of its own.
    tasks: TaskTracker,
    /// Cancelled when the agent stops.
    closing: CancellationToken,
}

impl Ops {
    /// Takes over a journal, and takes up the ops that an earlier agent left running.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(
        journal: Arc<Journal>,
        cache: Arc<Cache>,
        versions: Arc<Versions>,
        notes: Arc<Notes>,
        settings: CommandSettings,
        guard: Guard,
        boot_id: String,
    ) -> Self {
        let ops = Self(Arc::new(Core {
            journal,
            cache,
            versions,
            notes,
            settings: Arc::new(settings),
            guard,
            boot_id,
            table: Mutex::default(),
            writing: Arc::new(Semaphore::new(1)),
            reading: Arc::new(Semaphore::new(READERS)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }));
        ops.recover();
        ops
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is changed by single inserts and removes; a panic leaves it right.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an op, or finds the one that has its id. Blocks for short file reads.
    ///
    /// # Errors
    /// When the id means another op, too many wait, or the journal can not be read.
    pub fn submit(&self, mut op: Op) -> Result<Arc<Entry>, SubmitError> {
        runner::canonical_name(&mut op.module);
        let digest = record::digest(&op);
        let mut table = self.table();
        if let Some(entry) = table.ops.get(&op.op_id) {
            same(&op.op_id, &entry.id.digest, &digest)?;
            if !entry.end().is_some_and(|end| EndKind::from(&*end).nothing_done()) {
                return Ok(entry.clone());
            }
            table.forget(&op.op_id);
        } else if let Some(entry) = self.known(&op.op_id)? {
            same(&op.op_id, &entry.id.digest, &digest)?;
            if !entry.end().is_some_and(|end| EndKind::from(&*end).nothing_done()) {
                return Ok(entry);
            }
        }
        if self.0.closing.is_cancelled() {
            return Err(SubmitError::Stopping);
        }
        if table.waiting >= MAX_WAITING {
            return Err(SubmitError::TooMany);
        }
        let entry = Arc::new(Entry::new(&op, digest, runner::may_change(&op)));
        table.ops.insert(op.op_id.clone(), entry.clone());
        table.waiting += 1;
        drop(table);
        let (ops, running) = (self.clone(), entry.clone());
        self.0.tasks.spawn(async move { ops.drive(running, op).await });
        Ok(entry)
    }

    /// Finds an op. Blocks for short file reads.
    ///
    /// # Errors
    /// When the journal can not be read.
    pub fn find(&self, op_id: &OpId) -> Result<Option<Arc<Entry>>, StateError> {
        let table = self.table();
        match table.ops.get(op_id) {
            Some(entry) => Ok(Some(entry.clone())),
            None => self.known(op_id),
        }
    }

    /// Asks an op to stop. Blocks for short file reads.
    ///
    /// # Errors
    /// When the journal can not be read.
    pub fn cancel(&self, op_id: &OpId) -> Result<Cancel, StateError> {
        Ok(self.find(op_id)?.map_or(Cancel::UnknownOp, |entry| entry.cancel()))
    }

    /// An op that only the journal knows, with its end.
    fn known(&self, op_id: &OpId) -> Result<Option<Arc<Entry>>, StateError> {
        let Some(known) = self.0.journal.find(op_id)? else { return Ok(None) };
        let (id, end) = match known {
            Known::Finished(finished) => {
                let Finished { op_id, run_id, module, digest, end, .. } = *finished;
                (Identity { op_id, run_id, module, digest, no_log: false }, end)
            }
            Known::Old(old) => (old_identity(op_id)?, old_end(old.end)),
            // Taken up at the start, so in the table; gone from there only after its end was recorded.
            Known::Open(accepted) => {
                let why = "the agent lost sight of it; restart kfleet-agent to have it looked at again".to_owned();
                (Identity::from(accepted.as_ref()), OpEnd::Unknown { why })
            }
        };
        let spool = SpoolDir::new(&self.0.settings.ops_dir, op_id);
        let entry = Entry::restored(id, Some(spool).filter(SpoolDir::has_events), Duration::ZERO);
        entry.set_end(end);
        Ok(Some(Arc::new(entry)))
    }

    /// Brings one op from its submission to its end.
    async fn drive(&self, entry: Arc<Entry>, op: Op) {
        let place = self.place(&entry).await;
        self.table().waiting -= 1;
        let permit = match place {
            Ok(permit) => permit,
            Err(end) => return self.ended(&entry, end),
        };
        let (ops, running) = (self.clone(), entry.clone());
        blocking(move || {
            let end = ops.run(&running, &op);
            ops.finish(&running, end);
        })
        .await;
        drop(permit);
    }

    /// Waits for a place among the running ops.
    async fn place(&self, entry: &Entry) -> Result<OwnedSemaphorePermit, OpEnd> {
        let places = if entry.mutating { &self.0.writing } else { &self.0.reading };
        if let Ok(permit) = places.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let mut changes = entry.subscribe();
        let cancelled = async {
            while entry.stop_reason() != Some(Stop::Cancelled) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let what = if entry.mutating { "the host's running op" } else { "a place among the host's running ops" };
        tokio::select! {
            () = self.0.closing.cancelled() => Err(OpEnd::Refused { why: STOPPING.to_owned() }),
            // All are cancel safe: a permit that was not taken goes to the next in the queue.
            permit = places.clone().acquire_owned() => {
                permit.map_err(|_| OpEnd::Refused { why: STOPPING.to_owned() })
            }
            () = cancelled => Err(OpEnd::Refused { why: format!("cancelled while it waited for {what} to end") }),
            () = tokio::time::sleep_until(entry.deadline().into()) => {
                Err(OpEnd::Expired { why: format!("its deadline passed while it waited for {what} to end") })
            }
        }
    }

    fn run(&self, entry: &Arc<Entry>, op: &Op) -> OpEnd {
        if let Err(why) = self.admit(op.lease.as_ref(), entry.mutating) {
            return OpEnd::Refused { why };
        }
        entry.started();
        let context = Arc::new(self.context(entry, op));
        let before_apply = |host: &dyn HostView, stop: Option<&UnitStop>| {
            loop {
                let permit = self.guard(entry, op, host, stop)?;
                if !entry.effects() {
                    self.accept(entry, op).map_err(|why| Box::new(OpEnd::Refused { why }))?;
                }
                // On a busy disk the record can take longer than the permit lasts. It is made once, so the second
                // permit is used at once.
                if permit.holds(host) {
                    return Ok(());
                }
            }
        };
        runner::run(op, &context, before_apply)
    }

    fn context(&self, entry: &Arc<Entry>, op: &Op) -> Context {
        let core = &self.0;
        let (settings, cache) = (core.settings.clone(), core.cache.clone());
        Context::new(entry.clone(), op, settings, cache, core.versions.clone(), core.notes.clone())
    }

    /// The host's own guard rails, before the first side effect.
    fn guard(
        &self,
        entry: &Entry,
        op: &Op,
        host: &dyn HostView,
        stop: Option<&UnitStop>,
    ) -> Result<Permit, Box<OpEnd>> {
        let refused = |error: GuardError| Box::new(OpEnd::Refused { why: chain(&error) });
        if self.0.guard.read_only {
            return Err(refused(GuardError::ReadOnly));
        }
        let by = if op.lease.is_some() { By::Roll } else { By::Hand };
        match stop.map_or(Ok(Permit::Always), |stop| guard::permit(host, stop, by, &self.0.guard)) {
            Ok(permit) => Ok(permit),
            Err(GuardError::Host(HostError::Stopped(what))) => Err(Box::new(match entry.stop_reason() {
                Some(Stop::Cancelled) => OpEnd::Refused { why: format!("cancelled while it waited for {what}") },
                Some(Stop::Deadline) | None => {
                    OpEnd::Expired { why: format!("its deadline passed while it waited for {what}") }
                }
            })),
            Err(error) => Err(refused(error)),
        }
    }

    /// The rules that an op must pass before it begins.
    fn admit(&self, lease: Option<&Lease>, mutating: bool) -> Result<(), String> {
        if let Some(lease) = lease {
            let seen = self.0.journal.see_generation(&lease.cluster, lease.generation);
            match seen.map_err(|error| format!("failed to {}", chain(&error)))? {
                Ok(()) => {}
                Err(seen) => return Err(lower_generation(lease, seen)),
            }
        }
        if mutating {
            self.0.journal.ready().map_err(|error| format!("failed to {}", chain(&error)))?;
        }
        Ok(())
    }

    /// Called once the op knows that it must change something, before it does. An op that finds nothing to change never comes
    /// here and costs no sync: had the host crashed, running it again would do no more than it did the first time.
    fn accept(&self, entry: &Entry, op: &Op) -> Result<(), String> {
        if self.0.closing.is_cancelled() {
            return Err(STOPPING.to_owned());
        }
        // A higher lease may have come while the op was reading.
        if let Some(lease) = &op.lease
            && let Some(seen) = self.0.journal.generation(&lease.cluster).filter(|&seen| seen > lease.generation)
        {
            return Err(lower_generation(lease, seen));
        }
        let unix_ms = files::unix_ms();
        let left = i64::try_from(entry.time_left().as_millis()).unwrap_or(i64::MAX / 2);
        let accepted = record::Accepted {
            op_id: op.op_id.clone(),
            run_id: op.run_id.clone(),
            digest: entry.id.digest.clone(),
            module: op.module.clone(),
            params: if op.no_log { Map::new() } else { op.params.clone() },
            no_log: op.no_log,
            boot_id: self.0.boot_id.clone(),
            unix_ms,
            deadline_unix_ms: unix_ms.saturating_add(left),
        };
        self.0.journal.accept(accepted).map_err(|error| format!("failed to {}", chain(&error)))?;
        entry.set_effects();
        Ok(())
    }

    /// Records an end, then tells of it.
    fn finish(&self, entry: &Entry, mut end: OpEnd) {
        // Nothing was done, and the id may be submitted again: there is nothing to remember.
        let forgettable = EndKind::from(&end).nothing_done() && !entry.effects();
        if !forgettable {
            let finished = Finished {
                op_id: entry.id.op_id.clone(),
                run_id: entry.id.run_id.clone(),
                digest: entry.id.digest.clone(),
                module: entry.id.module.clone(),
                unix_ms: files::unix_ms(),
                effects: entry.effects(),
                end: if entry.id.no_log { runner::masked(&end) } else { end.clone() },
                stored: false,
            };
            if let Err(error) = self.0.journal.finish(finished) {
                let text = format!("the agent's journal does not have this end: failed to {}", chain(&error));
                tracing::error!(op = %entry.id.op_id, "{text}");
                warn(&mut end, text);
            }
        }
        self.ended(entry, end);
    }

    fn ended(&self, entry: &Entry, end: OpEnd) {
        // A refusal would be final for the caller; this op is to be submitted again to the next agent.
        if self.0.closing.is_cancelled() && EndKind::from(&end).nothing_done() {
            return entry.abandon();
        }
        tracing::debug!(op = %entry.id.op_id, run = %entry.id.run_id, module = entry.id.module, end = EndKind::from(&end).word());
        let bytes = kfleet_proto::convert::json_bytes(&end).len();
        entry.set_end(end);
        self.table().keep(&entry.id.op_id, bytes);
    }

    /// Takes no more ops.
    pub fn close(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
    }

    /// Whether an op runs that would be cut in the middle if the agent ended now. Commands are none of them: they go on.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.table().ops.values().any(|entry| entry.effects() && entry.end().is_none() && !entry.in_command())
    }

    /// The newest ops, as `Observe` gives them: those in memory that are not over, then the journal's.
    #[must_use]
    pub fn newest(&self, count: usize) -> kfleet_model::Value {
        let line = |op_id: &OpId, run_id: &str, module: &str, state: &str, effects: bool, unix_ms: i64| {
            serde_json::json!({
                "op_id": op_id.as_str(), "run_id": run_id, "module": module, "state": state,
                "effects": effects, "unix_ms": unix_ms,
            })
        };
        let mut running: Vec<Arc<Entry>> =
            self.table().ops.values().filter(|entry| entry.end().is_none()).cloned().collect();
        running.sort_by(|a, b| b.unix_ms.cmp(&a.unix_ms).then_with(|| a.id.op_id.cmp(&b.id.op_id)));
        let live = running.iter().map(|entry| {
            line(&entry.id.op_id, entry.id.run_id.as_str(), &entry.id.module, "running", entry.effects(), entry.unix_ms)
        });
        let newest = self.0.journal.newest(count);
        let over = newest.iter().filter_map(|op| {
            let state = op.end?.word();
            Some(line(&op.op_id, op.run_id.as_str(), &op.module, state, op.effects, op.unix_ms))
        });
        let ops: Vec<_> = live.chain(over).take(count).collect();
        serde_json::json!({ "ops": ops, "old_ops": self.0.journal.old_ops(), "warnings": self.0.journal.warnings() })
    }

    /// Removes spools that are too old or, oldest first, too many; never one of an op that is not over. Blocks.
    ///
    /// # Errors
    /// When the folder can not be read.
    pub fn clean_spools(&self, keep: &spool::Retention) -> Result<(), StateError> {
        let is_over = |op_id: &OpId| self.table().ops.get(op_id).is_none_or(|entry| entry.end().is_some());
        spool::clean(&self.0.settings.ops_dir, keep, is_over)
    }
}

fn old_identity(op_id: &OpId) -> Result<Identity, StateError> {
    let run_id = RunId::new("old").map_err(|error| StateError::Broken { why: error.to_string() })?;
    Ok(Identity { op_id: op_id.clone(), run_id, module: String::new(), digest: String::new(), no_log: false })
}

fn same(op_id: &OpId, known: &str, given: &str) -> Result<(), SubmitError> {
    // An old or damaged record has no digest; its id is taken all the same.
    if known.is_empty() || known == given { Ok(()) } else { Err(SubmitError::OtherOp { op_id: op_id.clone() }) }
}

fn lower_generation(lease: &Lease, seen: Generation) -> String {
    format!(
        "the lease of cluster {} has generation {}, and generation {seen} was seen on this host: another controller has taken over",
        lease.cluster, lease.generation
    )
}

/// The end of an op whose result is gone.
fn old_end(end: EndKind) -> OpEnd {
    let note = "how it ended is known, its result is no longer kept".to_owned();
    let result = |failed| TaskResult { failed, warnings: vec![note.clone()], ..TaskResult::default() };
    match end {
        EndKind::Done => OpEnd::Done { result: result(false) },
        EndKind::Failed => OpEnd::Failed { result: result(true) },
        EndKind::Refused => OpEnd::Refused { why: note },
        EndKind::Expired => OpEnd::Expired { why: note },
        EndKind::Unknown => OpEnd::Unknown { why: note },
    }
}

fn warn(end: &mut OpEnd, text: String) {
    match end {
        OpEnd::Done { result } | OpEnd::Failed { result } => result.warnings.push(text),
        OpEnd::Refused { why } | OpEnd::Expired { why } | OpEnd::Unknown { why } => {
            why.push_str("; ");
            why.push_str(&text);
        }
    }
}
