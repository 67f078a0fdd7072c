//! The spool: the folder of an op that runs a command.
//!
//! Purpose: a command's output and exit status are on disk before the agent has seen them, so that neither the agent's end
//! nor a slow reader costs a byte.
//! Place in the flow: the shim writes, the agent follows; `ops` reads any part again for a client that attaches.
//! Shape of `ops/OP_ID/`:
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `events` | agent, then shim, then agent | frames, one for each event; a frame's place in the file is its sequence number |
//! | `spec.json`, `stdin` | agent | what to run; gone as soon as the shim has read it |
//! | `shim.pid` | shim | its process and the command's, with their start times |
//! | `tail.0`, `tail.1` | shim | the newest output when there was more than the cap; moved into `events` at the end |
//! | `secret` | agent | nothing; its presence says that the output may hold secrets |
//! | `exit` | shim | how the command ended; synced before it gets its name when no agent is there to do better |
//! | `end.json` | journal | an end that is too large for the journal |
//!
//! Not here: processes (`shim`), and who reads when (`ops`).

use super::error::StateError;
use super::files::{self, Durable};
use super::frame::{self, Next};
use kfleet_model::{OpEvent, OpEventKind, OutputStream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest piece of output in one event: fits a message with room to spare.
pub const MAX_PIECE: usize = 256 * 1024;

/// The folder of one op.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolDir(PathBuf);

/// What the shim shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where.
    pub cwd: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The user, when it is not the agent's own.
    pub user: Option<String>,
    /// There is a file `stdin`.
    pub stdin: bool,
    /// What is left of the op's deadline. The shim keeps it even when no agent runs.
    pub deadline_ms: u64,
    /// Between the polite signal and the other.
    pub grace_ms: u64,
    /// How much output is kept from the beginning, and as much again from the end.
    pub half_cap_bytes: u64,
}

/// Which processes belong to a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    /// The shim.
    pub shim: ProcessId,
    /// The command; none until it was started.
    pub command: Option<ProcessId>,
}

/// A process that can not be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// Its start in clock ticks since boot, from `/proc/PID/stat`.
    pub start: u64,
}

/// Why the shim ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The op's deadline passed.
    Deadline,
    /// The operator cancelled it.
    Cancelled,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status; 128 + signal when a signal ended it; none when it could not be started.
    pub rc: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
    /// Set when it did not end by itself.
    pub stopped: Option<Stopped>,
    /// When it was started, in milliseconds since 1970.
    pub started_unix_ms: i64,
    /// How long it took by the monotonic clock.
    pub elapsed_us: u64,
    /// Output that was not kept.
    pub dropped_bytes: u64,
}

impl SpoolDir {
    /// The folder of an op. The id's type guarantees that it stays inside.
    #[must_use]
    pub fn new(ops_dir: &Path, op_id: &kfleet_model::OpId) -> Self {
        Self(ops_dir.join(op_id.as_str()))
    }

    /// A folder by its path, for the shim.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whether the op has events on disk.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.file("events").exists()
    }

    /// Makes the folder and writes what the shim shall run.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn prepare(&self, spec: &Spec, stdin: Option<&[u8]>) -> Result<(), StateError> {
        files::make_private_dir(&self.0)?;
        if let Some(stdin) = stdin {
            files::replace(&self.file("stdin"), stdin, Durable::No)?;
        }
        files::replace(&self.file("spec.json"), &kfleet_proto::convert::json_bytes(spec), Durable::No)
    }

    /// Takes the spec away: whoever succeeds has it alone, so a command is started by one shim or by none.
    ///
    /// # Errors
    /// When it is there and can not be taken.
    pub fn take_spec(&self) -> Result<Option<Vec<u8>>, StateError> {
        let from = self.file("spec.json");
        let taken = self.file("spec.taken");
        match std::fs::rename(&from, &taken) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Io { what: "take", path: from, source }),
        }
        let spec = std::fs::read(&taken).map_err(StateError::io("read", &taken))?;
        files::remove(&taken).map_err(StateError::io("remove", &taken))?;
        Ok(Some(spec))
    }

    fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let path = self.file(name);
        let Some(json) = files::read_optional(&path)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| StateError::Damaged { path, why: error.to_string() })
    }

    /// How the command ended; none while it runs.
    ///
    /// # Errors
    /// When the file is there and can not be read.
    pub fn exit(&self) -> Result<Option<Exit>, StateError> {
        self.read_json("exit")
    }

    /// Its processes; none until the shim has told.
    ///
    /// # Errors
    /// When the file is there and can not be read.
    pub fn pids(&self) -> Result<Option<Pids>, StateError> {
        self.read_json("shim.pid")
    }

    /// When it was last written, and its size. What can not be looked at is taken as old and empty.
    fn size(&self) -> (SystemTime, u64) {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten().filter_map(|file| file.metadata().ok());
        files.fold((SystemTime::UNIX_EPOCH, 0), |(changed, bytes), meta| {
            (changed.max(meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)), bytes + meta.len())
        })
    }

    /// Removes the whole folder.
    ///
    /// # Errors
    /// When it is there and can not be removed.
    pub fn remove(&self) -> Result<(), StateError> {
        match std::fs::remove_dir_all(&self.0) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StateError::Io { what: "remove", path: self.0.clone(), source }),
        }
    }
}

/// The first byte of a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Started = 1,
    Stdout = 2,
    Stderr = 3,
    Progress = 4,
}

/// What can be written into a spool. An op's end is not: it is in the journal, and comes after all that is here.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// The op began.
    Started,
    /// A piece of output, at most [`MAX_PIECE`].
    Output(OutputStream, &'a [u8]),
    /// What it waits for.
    Progress(&'a str),
}

/// Encodes one event as a frame.
pub fn encode(piece: Piece<'_>, out: &mut Vec<u8>) {
    let (tag, data) = match piece {
        Piece::Started => (Tag::Started, &[][..]),
        Piece::Output(OutputStream::Stdout, data) => (Tag::Stdout, data),
        Piece::Output(OutputStream::Stderr, data) => (Tag::Stderr, data),
        Piece::Progress(text) => (Tag::Progress, text.as_bytes()),
    };
    frame::encode_parts(&[&[tag as u8], &data[..data.len().min(MAX_PIECE)]], out);
}

fn decode(payload: &[u8]) -> Option<OpEventKind> {
    let (&tag, data) = payload.split_first()?;
    let output = |stream| OpEventKind::Output { stream, data: data.to_vec() };
    match tag {
        1 => Some(OpEventKind::Started),
        2 => Some(output(OutputStream::Stdout)),
        3 => Some(output(OutputStream::Stderr)),
        4 => Some(OpEventKind::Progress { text: String::from_utf8_lossy(data).into_owned() }),
        _ => None,
    }
}

/// Appends events to a spool. There is one writer at a time: the agent until it starts the shim, the shim until it has
/// written `exit`, then the agent again.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    end: u64,
    buffer: Vec<u8>,
}

impl Writer {
    /// Opens the file behind its last whole event. A half one, left by a writer that was killed, is written over.
    ///
    /// # Errors
    /// When the file can not be opened.
    pub fn open(spool: &SpoolDir) -> Result<Self, StateError> {
        let path = spool.file("events");
        let file = files::private().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(StateError::io("open", &path))?;
        let mut reader = Reader::open(spool)?;
        reader.skip_to(u64::MAX)?;
        let end = reader.offset;
        file.set_len(end).map_err(StateError::io("cut the end of", &path))?;
        Ok(Self { path, file, end, buffer: Vec::new() })
    }

    /// Appends one event by a single write.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn append(&mut self, piece: Piece<'_>) -> Result<(), StateError> {
        self.buffer.clear();
        encode(piece, &mut self.buffer);
        self.file.write_all_at(&self.buffer, self.end).map_err(StateError::io("write", &self.path))?;
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    /// Appends frames that are encoded already.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn append_frames(&mut self, frames: &[u8]) -> Result<(), StateError> {
        self.file.write_all_at(frames, self.end).map_err(StateError::io("write", &self.path))?;
        self.end += frames.len() as u64;
        Ok(())
    }

    /// Makes all of it safe from a crash of the host.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<(), StateError> {
        self.file.flush().and_then(|()| self.file.sync_data()).map_err(StateError::io("sync", &self.path))
    }
}

/// Reads a spool from any sequence number on, while it is being written.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    /// The next event's place.
    offset: u64,
    /// The next event's number.
    seq: u64,
}

impl Reader {
    /// Opens a spool at its beginning.
    ///
    /// # Errors
    /// When it can not be opened.
    pub fn open(spool: &SpoolDir) -> Result<Self, StateError> {
        let path = spool.file("events");
        let file = File::open(&path).map_err(StateError::io("open", &path))?;
        Ok(Self { path, file, offset: 0, seq: 0 })
    }

    /// The next event's number.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Passes over events until `seq` is next, or as far as there are any.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn skip_to(&mut self, seq: u64) -> Result<(), StateError> {
        while self.seq < seq {
            let limit = seq - self.seq;
            if self.frames(4 * MAX_PIECE, limit, |_| {})? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The next events, together at most about `max_bytes`; none when there are no more yet. A frame that is only half there
    /// is left for the next call.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn next_batch(&mut self, max_bytes: usize) -> Result<Vec<OpEvent>, StateError> {
        let mut out = Vec::new();
        let mut seq = self.seq;
        self.frames(max_bytes, u64::MAX, |payload| {
            // A tag that is not known comes from a newer agent; its place in the count must stay.
            let unknown = || OpEventKind::Progress { text: "an event of a kind that this agent does not know".into() };
            out.push(OpEvent { seq, kind: decode(payload).unwrap_or_else(unknown) });
            seq += 1;
        })?;
        Ok(out)
    }

    fn frames(&mut self, max_bytes: usize, limit: u64, mut each: impl FnMut(&[u8])) -> Result<u64, StateError> {
        let size = self.file.metadata().map_err(StateError::io("look at", &self.path))?.len();
        let there = usize::try_from(size.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        // At least one whole frame must fit, or a large one would never be read.
        let mut buffer = vec![0; there.min(max_bytes.max(MAX_PIECE + 64))];
        let mut filled = 0;
        while filled < buffer.len() {
            let read = self.file.read_at(&mut buffer[filled..], self.offset + filled as u64);
            match read.map_err(StateError::io("read", &self.path))? {
                0 => break,
                n => filled += n,
            }
        }
        let bytes = &buffer[..filled];
        let mut at = 0;
        let mut count = 0;
        while count < limit {
            match frame::next(bytes, at) {
                Next::Record(range) => {
                    each(&bytes[range.clone()]);
                    at = range.end;
                    count += 1;
                }
                // Damage can only be the end of what reached the disk before a power cut: nothing behind it counts.
                Next::Partial | Next::End | Next::Damaged => break,
            }
        }
        self.offset += at as u64;
        self.seq += count;
        Ok(count)
    }
}

/// Both streams of a command, each cut in the middle when it is longer than a bound.
#[derive(Debug, Default)]
pub struct Collected {
    /// Standard output.
    pub stdout: Cut,
    /// Standard error.
    pub stderr: Cut,
}

/// The beginning and the end of a stream.
#[derive(Debug, Default)]
pub struct Cut {
    head: Vec<u8>,
    tail: std::collections::VecDeque<u8>,
    total: u64,
}

impl Cut {
    fn push(&mut self, data: &[u8], half: usize) {
        self.total += data.len() as u64;
        let into_head = half.saturating_sub(self.head.len()).min(data.len());
        self.head.extend_from_slice(&data[..into_head]);
        let rest = &data[into_head..];
        let rest = &rest[rest.len().saturating_sub(half)..];
        self.tail.drain(..(self.tail.len() + rest.len()).saturating_sub(half));
        self.tail.extend(rest);
    }

    /// How many bytes the stream had.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them are missing in the middle.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// The bytes, with a line that says how many are missing.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let missing = self.missing();
        let mut out = self.head;
        if missing > 0 {
            out.extend_from_slice(format!("\n[... {missing} bytes left out ...]\n").as_bytes());
        }
        out.extend(self.tail);
        out
    }
}

/// Reads all output of a spool, at most `max_bytes` of each stream.
///
/// # Errors
/// When the file can not be read.
pub fn collect(spool: &SpoolDir, max_bytes: usize) -> Result<Collected, StateError> {
    let mut out = Collected::default();
    let mut reader = Reader::open(spool)?;
    let half = max_bytes / 2;
    while reader.frames(4 * MAX_PIECE, u64::MAX, |payload| match payload.split_first() {
        Some((&tag, data)) if tag == Tag::Stdout as u8 => out.stdout.push(data, half),
        Some((&tag, data)) if tag == Tag::Stderr as u8 => out.stderr.push(data, half),
        Some(_) | None => {}
    })? > 0
    {}
    Ok(out)
}

/// Output of ops with secrets stays only as long as a controller may need to come back for it.
const SECRET_AGE: Duration = Duration::from_secs(3600);

/// How long spools stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Older ones go.
    pub age: Duration,
    /// Beyond this in all, the oldest go.
    pub total_bytes: u64,
}

/// Removes spools that are too old or, oldest first, too many. `is_over` tells whether an op may lose its spool.
///
/// # Errors
/// When the folder can not be read. One spool that can not be removed is named in the log and does not keep the others.
pub fn clean(
    ops_dir: &Path,
    keep: &Retention,
    is_over: impl Fn(&kfleet_model::OpId) -> bool,
) -> Result<(), StateError> {
    let mut spools = Vec::new();
    for entry in std::fs::read_dir(ops_dir).map_err(StateError::io("list", ops_dir))? {
        let entry = entry.map_err(StateError::io("list", ops_dir))?;
        let op_id = entry.file_name().to_str().and_then(|name| kfleet_model::OpId::new(name).ok());
        let Some(op_id) = op_id.filter(|op_id| is_over(op_id)) else { continue };
        let spool = SpoolDir::new(ops_dir, &op_id);
        let (changed, bytes) = spool.size();
        let age = if spool.file("secret").exists() { SECRET_AGE.min(keep.age) } else { keep.age };
        spools.push((changed, bytes, age, spool));
    }
    spools.sort_by_key(|(changed, ..)| std::cmp::Reverse(*changed));
    let mut total = 0;
    let now = SystemTime::now();
    for (changed, bytes, limit, spool) in spools {
        total += bytes;
        let age = now.duration_since(changed).unwrap_or_default();
        if age <= limit && total <= keep.total_bytes {
            continue;
        }
        if let Err(error) = spool.remove() {
            tracing::warn!(error = super::error::chain(&error), "an old spool stays");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, SpoolDir) {
        let dir = tempfile::tempdir().unwrap();
        let spool = SpoolDir::at(dir.path().to_owned());
        (dir, spool)
    }

    fn text(event: &OpEvent) -> String {
        match &event.kind {
            OpEventKind::Started => "started".to_owned(),
            OpEventKind::Output { stream, data } => format!("{stream:?} {}", String::from_utf8_lossy(data)),
            OpEventKind::Progress { text } => text.clone(),
            OpEventKind::Finished(_) => "finished".to_owned(),
        }
    }

    #[test]
    fn a_reader_gets_every_event_once_from_wherever_it_begins() {
        let (_dir, spool) = spool();
        std::fs::write(spool.file("events"), b"").unwrap();
        let mut writer = Writer::open(&spool).unwrap();
        writer.append(Piece::Started).unwrap();
        for n in 0..50 {
            let stream = if n % 3 == 0 { OutputStream::Stderr } else { OutputStream::Stdout };
            writer.append(Piece::Output(stream, format!("line {n}").as_bytes())).unwrap();
        }
        writer.append(Piece::Progress("almost")).unwrap();
        let all = Reader::open(&spool).unwrap().next_batch(1 << 20).unwrap();
        assert_eq!(all.len(), 52);
        for from in 0..=52u64 {
            let mut reader = Reader::open(&spool).unwrap();
            reader.skip_to(from).unwrap();
            assert_eq!(reader.next_batch(1 << 20).unwrap(), all[usize::try_from(from).unwrap()..]);
        }
        assert_eq!(text(&all[1]), "Stderr line 0");
        let mut beyond = Reader::open(&spool).unwrap();
        beyond.skip_to(99).unwrap();
        assert_eq!(beyond.seq(), 52);
    }

    #[test]
    fn a_half_event_is_not_read_and_the_next_writer_replaces_it() {
        let (_dir, spool) = spool();
        std::fs::write(spool.file("events"), b"").unwrap();
        let mut writer = Writer::open(&spool).unwrap();
        writer.append(Piece::Started).unwrap();
        let whole = std::fs::read(spool.file("events")).unwrap();
        let mut half = Vec::new();
        encode(Piece::Progress("never finished"), &mut half);
        for cut in 1..half.len() {
            std::fs::write(spool.file("events"), [&whole, &half[..cut]].concat()).unwrap();
            assert_eq!(Reader::open(&spool).unwrap().next_batch(4096).unwrap().len(), 1, "cut at {cut}");
            Writer::open(&spool).unwrap().append(Piece::Progress("after")).unwrap();
            let events = Reader::open(&spool).unwrap().next_batch(4096).unwrap();
            assert_eq!(events.iter().map(text).collect::<Vec<_>>(), ["started", "after"]);
        }
    }

    #[test]
    fn long_output_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let cases: [(&[&str], usize, &str, u64); 5] = [
            (&["abc"], 10, "abc", 0),
            (&["abcde", "fghij"], 10, "abcdefghij", 0),
            (&["abcdef", "ghijkl"], 10, "abcde\n[... 2 bytes left out ...]\nhijkl", 2),
            (&["a", "b", "c", "d", "e", "f"], 4, "ab\n[... 2 bytes left out ...]\nef", 2),
            (&[], 4, "", 0),
        ];
        for (pieces, cap, wanted, missing) in cases {
            let mut cut = Cut::default();
            for piece in pieces {
                cut.push(piece.as_bytes(), cap / 2);
            }
            assert_eq!(cut.missing(), missing);
            assert_eq!(String::from_utf8(cut.into_bytes()).unwrap(), wanted);
        }
    }

    #[test]
    fn only_one_taker_gets_the_spec() {
        let (_dir, spool) = spool();
        let spec = Spec {
            argv: vec!["true".into()],
            cwd: "/".into(),
            env: BTreeMap::new(),
            user: None,
            stdin: false,
            deadline_ms: 1,
            grace_ms: 1,
            half_cap_bytes: 1,
        };
        spool.prepare(&spec, None).unwrap();
        assert!(spool.take_spec().unwrap().is_some());
        assert!(spool.take_spec().unwrap().is_none());
        let left: Vec<_> = std::fs::read_dir(spool.path()).unwrap().collect();
        assert!(left.is_empty(), "no trace of the spec stays on disk: {left:?}");
    }

    #[test]
    fn old_and_surplus_spools_go_and_those_of_running_ops_stay() {
        let dir = tempfile::tempdir().unwrap();
        let id = |name: &str| kfleet_model::OpId::new(name).unwrap();
        let names = ["a-old", "b-running", "c-large", "d-new"];
        for (name, hours, bytes) in [("a-old", 48, 1), ("b-running", 99, 5000), ("c-large", 2, 5000), ("d-new", 0, 600)]
        {
            let spool = SpoolDir::new(dir.path(), &id(name));
            std::fs::create_dir(spool.path()).unwrap();
            let file = File::create(spool.file("events")).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        }
        let left = |keep| {
            clean(dir.path(), &keep, |op_id| op_id.as_str() != "b-running").unwrap();
            names.into_iter().filter(|name| SpoolDir::new(dir.path(), &id(name)).has_events()).collect::<Vec<_>>()
        };
        let day = Duration::from_secs(24 * 3600);
        let secret = SpoolDir::new(dir.path(), &id("e-secret"));
        std::fs::create_dir(secret.path()).unwrap();
        for name in ["events", "secret"] {
            let file = File::create(secret.file(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
        }
        assert_eq!(left(Retention { age: day, total_bytes: 100_000 }), ["b-running", "c-large", "d-new"]);
        assert_eq!(left(Retention { age: day, total_bytes: 1000 }), ["b-running", "d-new"]);
        assert!(!secret.has_events(), "output with secrets goes after an hour");
    }
}
