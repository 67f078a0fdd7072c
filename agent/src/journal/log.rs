//! One file of the journal.
//!
//! Purpose: appending frames into space that was made ahead of time, and reading them back.
//! Not here: what the records mean.

use super::error::StateError;
use super::files;
use super::frame::{self, Scan};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file is extended by zeros in steps of this size. One step holds the ends of several ops, each at most
/// 48 KiB, so an op that was accepted can be finished on a full disk; and a sync of bytes inside it need not write the
/// file's size.
const STEP: u64 = 256 * 1024;

/// An open file of the journal.
#[derive(Debug)]
pub(super) struct LogFile {
    number: u64,
    path: PathBuf,
    file: Arc<File>,
    written: u64,
    size: u64,
}

/// The numbers of the files in a directory, lowest first.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u64>, StateError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(StateError::io("list", dir))? {
        let name = entry.map_err(StateError::io("list", dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("journal.")?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes a file that is no longer needed.
pub(super) fn remove(dir: &Path, number: u64) -> Result<(), StateError> {
    let path = path(dir, number);
    files::remove(&path).map_err(StateError::io("remove", &path))
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("journal.{number}"))
}

impl LogFile {
    /// Makes an empty file under a temporary name; [`LogFile::publish`] gives it its own.
    pub(super) fn create(dir: &Path, number: u64) -> Result<Self, StateError> {
        let path = path(dir, number);
        let temporary = files::beside(&path, "new");
        let file = files::private().read(true).write(true).create(true).truncate(true).open(&temporary);
        let file = file.map_err(StateError::io("create", &temporary))?;
        Ok(Self { number, path, file: Arc::new(file), written: 0, size: 0 })
    }

    /// Makes the file durable and puts it in its place.
    pub(super) fn publish(&mut self) -> Result<(), StateError> {
        self.extend()?;
        self.file.sync_all().map_err(StateError::io("sync", &self.path))?;
        let temporary = files::beside(&self.path, "new");
        std::fs::rename(&temporary, &self.path).map_err(StateError::io("replace", &self.path))?;
        match self.path.parent() {
            Some(dir) => files::sync_dir(dir),
            None => Ok(()),
        }
    }

    /// Opens and reads a file. What follows its last whole record is cleared, so that later records are never mixed with
    /// what a crash left behind.
    pub(super) fn load(dir: &Path, number: u64) -> Result<(Self, Vec<u8>, Scan), StateError> {
        let path = path(dir, number);
        let open = || files::private().read(true).write(true).open(&path);
        let file = open().map_err(StateError::io("open", &path))?;
        let bytes = std::fs::read(&path).map_err(StateError::io("read", &path))?;
        let scan = frame::scan(&bytes);
        let end = scan.end as u64;
        let mut size = bytes.len() as u64;
        if bytes[scan.end..].iter().any(|&b| b != 0) {
            file.set_len(end).map_err(StateError::io("cut the end of", &path))?;
            size = end;
        }
        Ok((Self { number, path, file: Arc::new(file), written: end, size }, bytes, scan))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes records take.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// For syncing without holding a lock.
    pub(super) fn handle(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Sees to it that at least one step of space lies ahead.
    pub(super) fn extend(&mut self) -> Result<(), StateError> {
        self.make_room(STEP)
    }

    fn make_room(&mut self, bytes: u64) -> Result<(), StateError> {
        while self.size < self.written + bytes {
            let zeros = vec![0; usize::try_from(STEP).unwrap_or(0)];
            let grown = self.file.write_all_at(&zeros, self.size);
            grown.map_err(StateError::io("make room in", &self.path))?;
            self.size += STEP;
        }
        Ok(())
    }

    /// Writes one record behind the last. A record that could not be written whole is written over by the next.
    pub(super) fn append(&mut self, payload: &[u8]) -> Result<(), StateError> {
        let mut bytes = Vec::with_capacity(payload.len() + frame::HEADER);
        frame::encode(payload, &mut bytes);
        self.make_room(bytes.len() as u64)?;
        self.file.write_all_at(&bytes, self.written).map_err(StateError::io("write", &self.path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Reads a stretch.
    pub(super) fn read(&self, at: Range<u64>) -> Result<Vec<u8>, StateError> {
        let mut bytes = vec![0; usize::try_from(at.end - at.start).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, at.start).map_err(StateError::io("read", &self.path))?;
        Ok(bytes)
    }
}
