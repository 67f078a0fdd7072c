//! The op journal: what this agent has promised, on disk.
//!
//! Purpose: each op starts at most once and its end is not forgotten, whatever dies in between.
//! Place in the flow: `ops` writes "accepted" before an op's first side effect and "finished" after its last; at start it
//! asks which ops have the one and not the other.
//! Shape: files `journal.N` of frames (see [`frame`]) with JSON records (see [`record`]). When one has grown large, the next
//! begins with a copy of all that still matters, and the one before is kept until the next change, so a copy that is
//! damaged later loses nothing. Older ops move to the [`table`] of old ops.
//! Promises: a half record at the end is dropped, a damaged one is copied to `quarantine/` and named in a warning, and
//! the agent starts in any case. Space is reserved ahead of time, so an op that was accepted can be finished on a full disk.
//! Not here: the events and output of ops (`spool`), and who may write (`ops`).

pub mod cache;
pub mod error;
pub mod files;
pub mod frame;
mod log;
pub mod notes;
pub mod record;
pub mod reserve;
pub mod spool;
pub mod table;
pub mod versions;

pub use error::StateError;
pub use record::{Accepted, EndKind, Finished, Record};

use files::Durable;
use kfleet_model::{ClusterName, Generation, OpEnd, OpId, RunId, TaskResult};
use log::LogFile;
use reserve::Reserve;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use table::{OldOp, OldOps};

/// An end whose record would be larger goes into a file of its own, so that the journal stays small.
const MAX_INLINE_END: usize = 48 * 1024;

/// Bounds of the journal.
#[derive(Debug, Clone, Copy)]
pub struct JournalLimits {
    /// A file that has grown to this size is followed by the next.
    pub file_bytes: u64,
    /// So many of the newest ops keep their result in the journal.
    pub keep_ops: usize,
    /// New work is refused below this much free space.
    pub min_free_bytes: u64,
}

impl Default for JournalLimits {
    fn default() -> Self {
        // 4,000 ops are about two 20-task runs a day for three months; at about 1 KiB each they fit half a file.
        Self { file_bytes: 8 * 1024 * 1024, keep_ops: 4000, min_free_bytes: 32 * 1024 * 1024 }
    }
}

/// What the journal knows of an op.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// It began to change the host and has no end yet.
    Open(Box<Accepted>),
    /// It is over.
    Finished(Box<Finished>),
    /// It is over since long; only how it ended is left.
    Old(OldOp),
}

/// One line of [`Journal::newest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The op.
    pub op_id: OpId,
    /// Its run.
    pub run_id: RunId,
    /// Its module.
    pub module: String,
    /// How it ended; none when it has not.
    pub end: Option<EndKind>,
    /// Whether it had begun to change the host.
    pub effects: bool,
    /// When it ended, or was accepted.
    pub unix_ms: i64,
}

/// Where a finished op's record lies, and what is asked of it most often.
#[derive(Debug, Clone)]
struct Place {
    file: u64,
    at: std::ops::Range<u64>,
    summary: Summary,
    digest: String,
}

/// The journal. All its calls block for as long as the disk does; they belong on blocking threads.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    ops_dir: PathBuf,
    limits: JournalLimits,
    boot: Record,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Debug)]
struct State {
    current: LogFile,
    previous: Option<LogFile>,
    reserve: Reserve,
    /// Counts records that were appended, ever.
    appended: u64,
    /// How many of those are safe from a crash of the host.
    durable: u64,
    /// A thread is syncing.
    syncing: bool,
    broken: Option<String>,
    open: BTreeMap<OpId, Accepted>,
    finished: HashMap<OpId, Place>,
    /// Finished ops, oldest first.
    order: VecDeque<OpId>,
    generations: BTreeMap<ClusterName, Generation>,
    old: OldOps,
    warnings: Vec<String>,
}

impl Journal {
    /// Opens the journal under a state directory and reads all of it.
    ///
    /// # Errors
    /// When the directory can not be used at all. Damaged content is no error, see [`Journal::warnings`].
    pub fn open(state_dir: &Path, limits: JournalLimits, boot_id: &str) -> Result<Self, StateError> {
        let dir = state_dir.join("journal");
        let ops_dir = state_dir.join("ops");
        files::make_private_dir(&dir)?;
        files::make_private_dir(&ops_dir)?;
        let (old, warning) = OldOps::open(dir.join("old-ops"))?;
        let boot = Record::Boot {
            format: record::FORMAT,
            boot_id: boot_id.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            unix_ms: files::unix_ms(),
        };
        let mut numbers = log::numbers(&dir)?;
        let newest = numbers.pop();
        let before = numbers.pop();
        let mut loader = Loader { warnings: warning.into_iter().collect(), ..Loader::default() };
        let previous = before.map(|number| loader.load(&dir, number)).transpose()?;
        let current = match newest {
            Some(number) => loader.load(&dir, number)?,
            None => {
                let mut first = LogFile::create(&dir, 1)?;
                first.publish()?;
                first
            }
        };
        let reserve = Reserve::new(&dir, limits.min_free_bytes);
        let state = State {
            current,
            previous,
            reserve,
            appended: 0,
            durable: 0,
            syncing: false,
            broken: None,
            open: loader.open,
            finished: loader.finished,
            order: loader.order,
            generations: loader.generations,
            old,
            warnings: loader.warnings,
        };
        let journal = Self { dir, ops_dir, limits, boot, state: Mutex::new(state), synced: Condvar::new() };
        journal.begin(loader.unknown)?;
        Ok(journal)
    }

    /// Writes the boot record, and the ends of ops whose own records are damaged.
    fn begin(&self, unknown: Vec<OpId>) -> Result<(), StateError> {
        let mut state = self.lock();
        for number in log::numbers(&self.dir)?.into_iter().rev().skip(2) {
            log::remove(&self.dir, number)?;
        }
        // A full disk must not keep the agent from starting: it can still answer, and refuses new work by itself.
        if let Err(error) = state.append(&self.boot) {
            if !error.is_full() {
                return Err(error);
            }
            state.warnings.push(format!("failed to {}", error::chain(&error)));
        }
        for op_id in unknown {
            if state.finished.contains_key(&op_id) || state.open.contains_key(&op_id) {
                continue;
            }
            let finished = Finished {
                op_id,
                run_id: RunId::new("damaged").map_err(|error| StateError::Broken { why: error.to_string() })?,
                digest: String::new(),
                module: String::new(),
                unix_ms: files::unix_ms(),
                effects: true,
                end: OpEnd::Unknown { why: "its record in the agent's journal is damaged".to_owned() },
                stored: false,
            };
            state.append_finished(finished)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left at worst a record that is not in the index; the file is still right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether new work may begin: the disk has room, the reserve stands, no write has failed.
    ///
    /// # Errors
    /// Says what is wrong and what to do.
    pub fn ready(&self) -> Result<(), StateError> {
        let mut state = self.lock();
        state.usable()?;
        state.reserve.check()?;
        let State { current, .. } = &mut *state;
        current.extend()
    }

    /// Records that an op is about to change the host, and returns when that is safe from a crash.
    ///
    /// # Errors
    /// When it could not be made safe; then the op must not go on.
    pub fn accept(&self, accepted: Accepted) -> Result<(), StateError> {
        let mut state = self.lock();
        state.usable()?;
        let lsn = state.append(&Record::Accepted(Box::new(accepted.clone())))?;
        // An id under which nothing was done may come again; what is known of it is from now on that it runs.
        if state.finished.remove(&accepted.op_id).is_some() {
            state.order.retain(|id| *id != accepted.op_id);
        }
        state.open.insert(accepted.op_id.clone(), accepted);
        drop(state);
        self.sync(lsn)
    }

    /// Records an op's end. With effects it returns when that is safe from a crash of the host; without, a crash of the
    /// host may lose it, and the op may be run again, which changes nothing that was done before: nothing was.
    ///
    /// # Errors
    /// When it could not be written; the caller reports the end all the same and says so.
    pub fn finish(&self, mut finished: Finished) -> Result<(), StateError> {
        let durable = if finished.effects { Durable::Yes } else { Durable::No };
        self.store_if_large(&mut finished, durable)?;
        let lsn = {
            let mut state = self.lock();
            let lsn = state.append_finished(finished)?;
            self.compact_if_large(&mut state)?;
            lsn
        };
        match durable {
            Durable::Yes => self.sync(lsn),
            Durable::No => Ok(()),
        }
    }

    fn store_if_large(&self, finished: &mut Finished, durable: Durable) -> Result<(), StateError> {
        let json = kfleet_proto::convert::json_bytes(&finished.end);
        if json.len() <= MAX_INLINE_END {
            return Ok(());
        }
        let dir = self.ops_dir.join(finished.op_id.as_str());
        files::make_private_dir(&dir)?;
        let path = dir.join("end.json");
        let mut written = files::replace(&path, &json, durable);
        if written.as_ref().is_err_and(StateError::is_full) && self.lock().reserve.spend()? {
            written = files::replace(&path, &json, durable);
        }
        // Without space even then: how it ended is kept, what it said is not.
        let note = match written {
            Ok(()) => None,
            Err(error) if error.is_full() => Some(format!("the result is lost: failed to {}", error::chain(&error))),
            Err(error) => return Err(error),
        };
        finished.stored = note.is_none();
        finished.end = shortened(&finished.end, note);
        Ok(())
    }

    /// Takes note of a lease. A generation that is higher than all before is made safe before this returns.
    ///
    /// # Errors
    /// The outer error when it could not be written; the inner value is the higher generation that was seen before.
    pub fn see_generation(
        &self,
        cluster: &ClusterName,
        generation: Generation,
    ) -> Result<Result<(), Generation>, StateError> {
        let mut state = self.lock();
        match state.generations.get(cluster) {
            Some(&seen) if seen > generation => return Ok(Err(seen)),
            Some(&seen) if seen == generation => return Ok(Ok(())),
            Some(_) | None => {}
        }
        state.usable()?;
        let lsn = state.append(&Record::Generation { cluster: cluster.clone(), generation })?;
        state.generations.insert(cluster.clone(), generation);
        drop(state);
        self.sync(lsn)?;
        Ok(Ok(()))
    }

    /// The highest generation that was seen of a cluster.
    #[must_use]
    pub fn generation(&self, cluster: &ClusterName) -> Option<Generation> {
        self.lock().generations.get(cluster).copied()
    }

    /// What is known of an op.
    ///
    /// # Errors
    /// When its record can not be read.
    pub fn find(&self, op_id: &OpId) -> Result<Option<Known>, StateError> {
        let state = self.lock();
        if let Some(accepted) = state.open.get(op_id) {
            return Ok(Some(Known::Open(Box::new(accepted.clone()))));
        }
        let Some(place) = state.finished.get(op_id) else {
            return Ok(state.old.find(op_id)?.map(Known::Old));
        };
        let mut finished = state.read_finished(place)?;
        drop(state);
        if finished.stored {
            let path = self.ops_dir.join(op_id.as_str()).join("end.json");
            match files::read_optional(&path)?.map(|json| serde_json::from_slice::<OpEnd>(&json)) {
                Some(Ok(end)) => finished.end = end,
                Some(Err(_)) | None => {
                    add_note(&mut finished.end, "the rest of the result is no longer kept".to_owned())
                }
            }
        }
        Ok(Some(Known::Finished(Box::new(finished))))
    }

    /// The digest of a finished or open op, for telling whether a new submission is the same one.
    #[must_use]
    pub fn digest(&self, op_id: &OpId) -> Option<String> {
        let state = self.lock();
        let open = state.open.get(op_id).map(|accepted| accepted.digest.clone());
        open.or_else(|| state.finished.get(op_id).map(|place| place.digest.clone()))
    }

    /// Ops that began to change the host and have no end: after a start, those that a crash interrupted.
    #[must_use]
    pub fn open_ops(&self) -> Vec<Accepted> {
        self.lock().open.values().cloned().collect()
    }

    /// The newest ops, newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Summary> {
        let state = self.lock();
        let open = state.open.values().map(|accepted| Summary {
            op_id: accepted.op_id.clone(),
            run_id: accepted.run_id.clone(),
            module: accepted.module.clone(),
            end: None,
            effects: true,
            unix_ms: accepted.unix_ms,
        });
        let finished = state.order.iter().rev().filter_map(|id| state.finished.get(id)).map(|p| p.summary.clone());
        open.chain(finished).take(count).collect()
    }

    /// What was damaged when the journal was read, for the log and for the operator.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.lock().warnings.clone()
    }

    /// How many ops the table of old ops holds.
    #[must_use]
    pub fn old_ops(&self) -> u64 {
        self.lock().old.len()
    }

    /// Waits until everything up to a record is safe. Threads that wait at the same time share one sync.
    fn sync(&self, lsn: u64) -> Result<(), StateError> {
        let mut state = self.lock();
        loop {
            if state.durable >= lsn {
                return Ok(());
            }
            state.usable()?;
            if state.syncing {
                state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let upto = state.appended;
            let file = state.current.handle();
            drop(state);
            let outcome = file.sync_data();
            state = self.lock();
            state.syncing = false;
            match outcome {
                Ok(()) => state.durable = state.durable.max(upto),
                // After a failed sync the kernel may have dropped the pages: what is on disk is not known any more.
                Err(error) => state.broken = Some(format!("sync {}: {error}", self.dir.display())),
            }
            self.synced.notify_all();
        }
    }

    fn compact_if_large(&self, state: &mut State) -> Result<(), StateError> {
        if state.current.written() < self.limits.file_bytes {
            return Ok(());
        }
        match state.compact(&self.dir, &self.boot, &self.limits) {
            // A full disk is no reason to fail an op: the file goes on in its reserve and the next op tries again.
            Err(error) if error.is_full() => {
                tracing::warn!(error = error::chain(&error), "the journal could not be compacted");
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl State {
    fn usable(&self) -> Result<(), StateError> {
        match &self.broken {
            Some(why) => Err(StateError::Broken { why: why.clone() }),
            None => Ok(()),
        }
    }

    fn append(&mut self, record: &Record) -> Result<u64, StateError> {
        let json = kfleet_proto::convert::json_bytes(record);
        let mut outcome = self.current.append(&json);
        if outcome.as_ref().is_err_and(StateError::is_full) && self.reserve.spend()? {
            outcome = self.current.append(&json);
        }
        outcome?;
        self.appended += 1;
        Ok(self.appended)
    }

    fn append_finished(&mut self, finished: Finished) -> Result<u64, StateError> {
        let start = self.current.written();
        let summary = summary(&finished);
        let digest = finished.digest.clone();
        let lsn = self.append(&Record::Finished(Box::new(finished)))?;
        let at = start + frame::HEADER as u64..self.current.written();
        self.open.remove(&summary.op_id);
        let op_id = summary.op_id.clone();
        let place = Place { file: self.current.number(), at, summary, digest };
        if self.finished.insert(op_id.clone(), place).is_some() {
            self.order.retain(|id| *id != op_id);
        }
        self.order.push_back(op_id);
        Ok(lsn)
    }

    fn read_finished(&self, place: &Place) -> Result<Finished, StateError> {
        let file = [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|file| file.number() == place.file)
            .ok_or_else(|| StateError::Broken { why: format!("journal file {} is gone", place.file) })?;
        match serde_json::from_slice(&file.read(place.at.clone())?) {
            Ok(Record::Finished(finished)) => Ok(*finished),
            Ok(Record::Boot { .. } | Record::Accepted(_) | Record::Generation { .. }) => {
                Err(StateError::Damaged { path: file.path().to_owned(), why: "another record is there".to_owned() })
            }
            Err(error) => Err(StateError::Damaged { path: file.path().to_owned(), why: error.to_string() }),
        }
    }

    /// How many of the newest ops stay. They fill at most half of the new file, or the next one would follow at once.
    fn staying(&self, limits: &JournalLimits) -> usize {
        let sizes =
            self.order.iter().rev().filter_map(|id| self.finished.get(id)).map(|place| place.at.end - place.at.start);
        let mut room = limits.file_bytes / 2;
        let fitting = sizes.take_while(|&size| {
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        fitting.take(limits.keep_ops).count()
    }

    /// Begins the next file with all that still matters. Old ops are in the table before they leave the journal, so a
    /// crash between any two steps finds each op in at least one of the two.
    fn compact(&mut self, dir: &Path, boot: &Record, limits: &JournalLimits) -> Result<(), StateError> {
        let leaving: Vec<OpId> = self.order.iter().take(self.order.len() - self.staying(limits)).cloned().collect();
        let old = leaving.iter().filter_map(|id| self.finished.get(id)).filter_map(|place| {
            let end = place.summary.end?;
            Some(OldOp::new(&place.summary.op_id, end, place.summary.unix_ms))
        });
        self.old.merge(old.collect())?;
        let mut next = LogFile::create(dir, self.current.number() + 1)?;
        let mut places = Vec::new();
        next.append(&kfleet_proto::convert::json_bytes(boot))?;
        for (cluster, &generation) in &self.generations {
            let record = Record::Generation { cluster: cluster.clone(), generation };
            next.append(&kfleet_proto::convert::json_bytes(&record))?;
        }
        for accepted in self.open.values() {
            next.append(&kfleet_proto::convert::json_bytes(&Record::Accepted(Box::new(accepted.clone()))))?;
        }
        for op_id in self.order.iter().skip(leaving.len()) {
            let Some(place) = self.finished.get(op_id) else { continue };
            let start = next.written();
            next.append(&kfleet_proto::convert::json_bytes(&Record::Finished(Box::new(self.read_finished(place)?))))?;
            places.push((op_id.clone(), start + frame::HEADER as u64..next.written()));
        }
        next.publish()?;
        for (op_id, at) in places {
            if let Some(place) = self.finished.get_mut(&op_id) {
                (place.file, place.at) = (next.number(), at);
            }
        }
        for op_id in &leaving {
            self.finished.remove(op_id);
        }
        self.order.drain(..leaving.len());
        let before = std::mem::replace(&mut self.current, next);
        if let Some(oldest) = self.previous.replace(before) {
            log::remove(dir, oldest.number())?;
        }
        self.durable = self.appended;
        Ok(())
    }
}

fn summary(finished: &Finished) -> Summary {
    Summary {
        op_id: finished.op_id.clone(),
        run_id: finished.run_id.clone(),
        module: finished.module.clone(),
        end: Some(EndKind::from(&finished.end)),
        effects: finished.effects,
        unix_ms: finished.unix_ms,
    }
}

/// The same end without the bulk of its result.
fn shortened(end: &OpEnd, note: Option<String>) -> OpEnd {
    let short = |result: &TaskResult| TaskResult {
        changed: result.changed,
        failed: result.failed,
        skipped: result.skipped,
        msg: result.msg.as_ref().map(|msg| msg.chars().take(2000).collect()),
        warnings: note.clone().into_iter().collect(),
        ..TaskResult::default()
    };
    match end {
        OpEnd::Done { result } => OpEnd::Done { result: short(result) },
        OpEnd::Failed { result } => OpEnd::Failed { result: short(result) },
        OpEnd::Refused { why } => OpEnd::Refused { why: why.chars().take(2000).collect() },
        OpEnd::Expired { why } => OpEnd::Expired { why: why.chars().take(2000).collect() },
        OpEnd::Unknown { why } => OpEnd::Unknown { why: why.chars().take(2000).collect() },
    }
}

fn add_note(end: &mut OpEnd, note: String) {
    match end {
        OpEnd::Done { result } | OpEnd::Failed { result } => result.warnings.push(note),
        OpEnd::Refused { .. } | OpEnd::Expired { .. } | OpEnd::Unknown { .. } => {}
    }
}

/// What reading the files builds up.
#[derive(Default)]
struct Loader {
    open: BTreeMap<OpId, Accepted>,
    finished: HashMap<OpId, Place>,
    order: VecDeque<OpId>,
    generations: BTreeMap<ClusterName, Generation>,
    unknown: Vec<OpId>,
    warnings: Vec<String>,
}

impl Loader {
    fn load(&mut self, dir: &Path, number: u64) -> Result<LogFile, StateError> {
        let (file, bytes, scan) = LogFile::load(dir, number)?;
        for range in scan.records {
            match serde_json::from_slice::<Record>(&bytes[range.clone()]) {
                Ok(record) => self.take(record, number, range.start as u64..range.end as u64),
                // The checksum is right, so this is not damage: a newer agent wrote a record that this one does not know.
                Err(error) => self.set_aside(dir, number, &range, &bytes, &error.to_string())?,
            }
        }
        for range in scan.damaged {
            self.set_aside(dir, number, &range, &bytes, "its checksum is wrong")?;
        }
        if let Some(range) = scan.torn {
            tracing::info!(file = %file.path().display(), at = range.start, "dropped a half record at the end");
        }
        Ok(file)
    }

    fn take(&mut self, record: Record, number: u64, at: std::ops::Range<u64>) {
        match record {
            Record::Boot { .. } => {}
            Record::Generation { cluster, generation } => {
                let highest = self.generations.entry(cluster).or_default();
                *highest = generation.max(*highest);
            }
            Record::Accepted(accepted) => {
                // An id under which nothing was done came again. Any other end is final.
                let end = self.finished.get(&accepted.op_id).and_then(|place| place.summary.end);
                if !end.is_none_or(EndKind::nothing_done) {
                    return;
                }
                if self.finished.remove(&accepted.op_id).is_some() {
                    self.order.retain(|id| *id != accepted.op_id);
                }
                self.open.insert(accepted.op_id.clone(), *accepted);
            }
            Record::Finished(finished) => {
                self.open.remove(&finished.op_id);
                let op_id = finished.op_id.clone();
                let place = Place { file: number, at, summary: summary(&finished), digest: finished.digest };
                if self.finished.insert(op_id.clone(), place).is_none() {
                    self.order.push_back(op_id);
                }
            }
        }
    }

    fn set_aside(
        &mut self,
        dir: &Path,
        number: u64,
        range: &std::ops::Range<usize>,
        bytes: &[u8],
        why: &str,
    ) -> Result<(), StateError> {
        let quarantine = dir.join("quarantine");
        files::make_private_dir(&quarantine)?;
        let path = quarantine.join(format!("journal.{number}.at-{}", range.start));
        let text = format!(
            "the journal has a damaged record ({} bytes at {} of journal.{number}: {why}); it is kept as {}",
            range.len(),
            range.start,
            path.display()
        );
        // On a full disk the copy may fail; the original stays in its file until that is compacted twice.
        if let Err(error) = files::replace(&path, &bytes[range.clone()], Durable::No) {
            tracing::warn!(error = error::chain(&error), "a damaged record could not be set aside");
        }
        tracing::warn!("{text}");
        self.warnings.push(text);
        self.unknown.extend(record::salvage_op_id(&bytes[range.clone()]));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
