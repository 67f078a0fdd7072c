//! One op while this agent knows it: its events, its end, and the wish to stop it.
//!
//! State: waiting -> running -> ended. Events go into memory until the op runs a command; from then on into its spool, so
//! memory stays bounded however much a command writes. A reader keeps only its place.
//! Not here: who may run when (`ops`), and how the module is called (`runner`).

use crate::journal::spool::{Piece, SpoolDir, Writer};
use crate::journal::{Accepted, StateError, files};
use kfleet_model::{Op, OpEnd, OpEvent, OpEventKind, OpId, RunId};
use std::io::{PipeReader, PipeWriter, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Progress events beyond this are not kept: they are for people, and a module that speaks every second for an hour
/// has said enough.
const MAX_MEMORY_EVENTS: usize = 4096;

/// Why an op shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The operator cancelled it.
    Cancelled,
    /// Its deadline passed.
    Deadline,
}

/// What [`Entry::cancel`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It will end before its next side effect.
    Stopping,
    /// It was over.
    TooLate,
    /// Nobody here knows it.
    UnknownOp,
}

/// Which op it is, and what is remembered of it beside its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub op_id: OpId,
    /// Its run.
    pub run_id: RunId,
    /// Its module's short name.
    pub module: String,
    /// What it does, for telling a repeat from another op under the same id.
    pub digest: String,
    /// It has secrets.
    pub no_log: bool,
}

impl From<&Accepted> for Identity {
    fn from(accepted: &Accepted) -> Self {
        Self {
            op_id: accepted.op_id.clone(),
            run_id: accepted.run_id.clone(),
            module: accepted.module.clone(),
            digest: accepted.digest.clone(),
            no_log: accepted.no_log,
        }
    }
}

/// One op.
#[derive(Debug)]
pub struct Entry {
    /// Which op.
    pub id: Identity,
    /// It may change the host.
    pub mutating: bool,
    /// When it was submitted, by the host's clock.
    pub unix_ms: i64,
    deadline: Instant,
    log: Mutex<Log>,
    grown: watch::Sender<u64>,
    stop: Mutex<StopState>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    memory: Vec<OpEvent>,
    spool: Option<SpoolDir>,
    end: Option<Arc<OpEnd>>,
    /// The agent stops, and the op has neither begun nor an end.
    abandoned: bool,
    /// It had begun to change the host.
    effects: bool,
    /// It waits for a command that goes on without the agent.
    in_command: bool,
}

#[derive(Debug, Default)]
struct StopState {
    why: Option<Stop>,
    waker: Option<PipeWriter>,
}

/// What a reader sees at one moment.
#[derive(Debug)]
pub(super) enum View {
    /// Events from memory.
    Memory(Vec<OpEvent>, Option<Arc<OpEnd>>),
    /// They are in the spool.
    Spool(SpoolDir, Option<Arc<OpEnd>>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is one assignment, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    /// A new op; its deadline counts from now.
    #[must_use]
    pub fn new(op: &Op, digest: String, mutating: bool) -> Self {
        Self {
            id: Identity {
                op_id: op.op_id.clone(),
                run_id: op.run_id.clone(),
                module: op.module.clone(),
                digest,
                no_log: op.no_log,
            },
            mutating,
            unix_ms: files::unix_ms(),
            deadline: Instant::now() + op.deadline,
            log: Mutex::default(),
            grown: watch::Sender::new(0),
            stop: Mutex::default(),
            stopped: Condvar::new(),
        }
    }

    /// An op of an earlier agent, from the journal. Its end is set later when it still runs.
    #[must_use]
    pub(super) fn restored(id: Identity, spool: Option<SpoolDir>, left: Duration) -> Self {
        let started = OpEvent { seq: 0, kind: OpEventKind::Started };
        let memory = if spool.is_some() { Vec::new() } else { vec![started] };
        Self {
            id,
            mutating: true,
            unix_ms: files::unix_ms(),
            deadline: Instant::now() + left,
            log: Mutex::new(Log {
                memory,
                in_command: spool.is_some(),
                spool,
                effects: true,
                end: None,
                abandoned: false,
            }),
            grown: watch::Sender::new(0),
            stop: Mutex::default(),
            stopped: Condvar::new(),
        }
    }

    /// When its deadline passes.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left of its deadline.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Why it shall stop, if it shall.
    #[must_use]
    pub fn stop_reason(&self) -> Option<Stop> {
        lock(&self.stop).why.or_else(|| self.time_left().is_zero().then_some(Stop::Deadline))
    }

    /// Asks it to stop.
    pub fn cancel(&self) -> Cancel {
        if self.end().is_some() {
            return Cancel::TooLate;
        }
        let mut stop = lock(&self.stop);
        stop.why.get_or_insert(Stop::Cancelled);
        if let Some(mut waker) = stop.waker.take() {
            // The reader may have gone with the command's end; then there is nothing to wake.
            waker.write_all(&[1]).ok();
        }
        drop(stop);
        self.stopped.notify_all();
        self.touch();
        Cancel::Stopping
    }

    /// A pipe that becomes readable when the op is cancelled.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub(super) fn stop_pipe(&self) -> std::io::Result<PipeReader> {
        let (reader, mut writer) = std::io::pipe()?;
        let mut stop = lock(&self.stop);
        if stop.why.is_some() {
            writer.write_all(&[1])?;
        }
        stop.waker = Some(writer);
        Ok(reader)
    }

    /// Waits at most this long; false when the op was stopped meanwhile.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time.min(self.time_left());
        let mut stop = lock(&self.stop);
        loop {
            if stop.why.is_some() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return !self.time_left().is_zero();
            }
            (stop, _) = self.stopped.wait_timeout(stop, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells readers that there is something new.
    pub(super) fn touch(&self) {
        self.grown.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// For waiting for something new.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Its end, when it is over.
    #[must_use]
    pub fn end(&self) -> Option<Arc<OpEnd>> {
        lock(&self.log).end.clone()
    }

    /// Whether it has begun to change the host.
    #[must_use]
    pub fn effects(&self) -> bool {
        lock(&self.log).effects
    }

    pub(super) fn set_effects(&self) {
        lock(&self.log).effects = true;
    }

    /// Whether it waits for a command that goes on without the agent.
    #[must_use]
    pub fn in_command(&self) -> bool {
        lock(&self.log).in_command
    }

    pub(super) fn set_in_command(&self, is: bool) {
        lock(&self.log).in_command = is;
    }

    /// Ends it. Readers get all events that came before, then this.
    pub(super) fn set_end(&self, end: OpEnd) {
        lock(&self.log).end = Some(Arc::new(end));
        self.touch();
    }

    /// Whether the agent stops without this op having begun.
    pub(super) fn is_abandoned(&self) -> bool {
        lock(&self.log).abandoned
    }

    /// The agent stops: readers are sent away, and the next agent will not know the op, so it can be submitted again.
    pub(super) fn abandon(&self) {
        lock(&self.log).abandoned = true;
        self.touch();
    }

    /// The op begins.
    pub(super) fn started(&self) {
        lock(&self.log).memory.push(OpEvent { seq: 0, kind: OpEventKind::Started });
        self.touch();
    }

    /// Adds what a long step is doing.
    ///
    /// # Errors
    /// When the spool does not take it.
    pub(super) fn progress(&self, text: &str) -> Result<(), StateError> {
        let mut log = lock(&self.log);
        match &log.spool {
            Some(spool) => Writer::open(spool)?.append(Piece::Progress(text))?,
            None if log.memory.len() >= MAX_MEMORY_EVENTS => return Ok(()),
            None => {
                let seq = log.memory.len() as u64;
                log.memory.push(OpEvent { seq, kind: OpEventKind::Progress { text: text.to_owned() } });
            }
        }
        drop(log);
        self.touch();
        Ok(())
    }

    /// Moves the events into a spool, which must be empty. From here on all events are on disk, under the numbers that
    /// readers have seen.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub(super) fn move_to_spool(&self, spool: &SpoolDir) -> Result<(), StateError> {
        files::make_private_dir(spool.path())?;
        let path = spool.file("events");
        let created = files::private().write(true).create_new(true).open(&path);
        created.map_err(StateError::io("create", &path))?;
        let mut log = lock(&self.log);
        let mut writer = Writer::open(spool)?;
        for event in &log.memory {
            match &event.kind {
                OpEventKind::Started => writer.append(Piece::Started)?,
                OpEventKind::Progress { text } => writer.append(Piece::Progress(text))?,
                OpEventKind::Output { stream, data } => writer.append(Piece::Output(*stream, data))?,
                // The end is kept beside the events, never among them.
                OpEventKind::Finished(_) => {}
            }
        }
        if self.id.no_log {
            let path = spool.file("secret");
            files::private()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)
                .map_err(StateError::io("create", &path))?;
        }
        log.spool = Some(spool.clone());
        log.memory = Vec::new();
        Ok(())
    }

    /// The spool is gone: its command was never started.
    pub(super) fn forget_spool(&self) {
        let mut log = lock(&self.log);
        log.spool = None;
        log.memory = vec![OpEvent { seq: 0, kind: OpEventKind::Started }];
    }

    /// What a reader at `from` can have now, at most `max` events when they are in memory.
    pub(super) fn view(&self, from: u64, max: usize) -> View {
        let log = lock(&self.log);
        let end = log.end.clone();
        match &log.spool {
            Some(spool) => View::Spool(spool.clone(), end),
            None => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                View::Memory(log.memory.iter().skip(from).take(max).cloned().collect(), end)
            }
        }
    }
}
