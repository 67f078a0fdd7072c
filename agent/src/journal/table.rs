//! The table of old ops: which ids were run, and how they ended, for as long as the host lives.
//!
//! Purpose: an op id that was run once is never run again, even years later; its result may be gone by then.
//! Place in the flow: the journal's compaction moves its oldest ops here; a submit of an id that the journal does not
//! know asks here.
//! Shape: entries of 32 bytes, sorted by the hash of the id, looked up by bisection in the file, so that two million ops
//! cost 64 MB of disk and no memory. `[hash 16][end 1][zero 3][unix seconds u64][crc32 u32]`, little endian.
//! Not here: ids of ops that did nothing (refused, expired): those may be submitted again.

use super::error::StateError;
use super::files;
use super::record::EndKind;
use kfleet_model::OpId;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const ENTRY: usize = 32;

/// One old op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldOp {
    hash: [u8; 16],
    /// How it ended.
    pub end: EndKind,
    /// When, in seconds since 1970.
    pub unix_s: u64,
}

impl OldOp {
    /// An op that leaves the journal.
    #[must_use]
    pub fn new(op_id: &OpId, end: EndKind, unix_ms: i64) -> Self {
        Self { hash: hash(op_id), end, unix_s: u64::try_from(unix_ms / 1000).unwrap_or(0) }
    }

    fn encode(self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[..16].copy_from_slice(&self.hash);
        out[16] = self.end.byte();
        out[20..28].copy_from_slice(&self.unix_s.to_le_bytes());
        let crc = crc32fast::hash(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let mut hash = [0; 16];
        hash.copy_from_slice(&bytes[..16]);
        let mut unix_s = [0; 8];
        unix_s.copy_from_slice(&bytes[20..28]);
        let mut crc = [0; 4];
        crc.copy_from_slice(&bytes[28..]);
        (crc32fast::hash(&bytes[..28]) == u32::from_le_bytes(crc)).then(|| Self {
            hash,
            end: EndKind::from_byte(bytes[16]),
            unix_s: u64::from_le_bytes(unix_s),
        })
    }
}

fn hash(op_id: &OpId) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&Sha256::digest(op_id.as_str())[..16]);
    out
}

/// The table.
#[derive(Debug)]
pub struct OldOps {
    path: PathBuf,
    file: Option<File>,
    entries: u64,
}

impl OldOps {
    /// Opens the table and reads it once. Damaged entries are left out of a new table and the old file is kept beside
    /// it; the second value says so.
    ///
    /// # Errors
    /// When the file is there and can not be read, or can not be replaced.
    pub fn open(path: PathBuf) -> Result<(Self, Option<String>), StateError> {
        let mut table = Self { path, file: None, entries: 0 };
        table.reopen()?;
        let (good, damaged) = table.check()?;
        if damaged == 0 {
            return Ok((table, None));
        }
        let aside = files::beside(&table.path, &format!("damaged-{}", files::unix_ms()));
        std::fs::rename(&table.path, &aside).map_err(StateError::io("set aside", &table.path))?;
        table.file = None;
        table.entries = 0;
        table.merge(good)?;
        let warning = format!(
            "{damaged} damaged entries were left out of the table of old ops; the old file is kept as {}",
            aside.display()
        );
        Ok((table, Some(warning)))
    }

    fn reopen(&mut self) -> Result<(), StateError> {
        match File::open(&self.path) {
            Ok(file) => {
                let size = file.metadata().map_err(StateError::io("look at", &self.path))?.len();
                self.entries = size / ENTRY as u64;
                self.file = Some(file);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(StateError::Io { what: "open", path: self.path.clone(), source }),
        }
    }

    /// Counts damaged entries; gives the good ones only when there are some, so that a sound table costs no memory.
    fn check(&self) -> Result<(Vec<OldOp>, u64), StateError> {
        let mut damaged = 0;
        let mut last = [0; 16];
        for entry in self.iter()? {
            match entry? {
                Some(op) if op.hash >= last => last = op.hash,
                Some(_) | None => damaged += 1,
            }
        }
        if damaged == 0 {
            return Ok((Vec::new(), 0));
        }
        let mut good: Vec<OldOp> = self.iter()?.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        good.sort_by_key(|op| op.hash);
        Ok((good, damaged))
    }

    fn iter(&self) -> Result<impl Iterator<Item = Result<Option<OldOp>, StateError>>, StateError> {
        let file = match &self.file {
            Some(_) => Some(File::open(&self.path).map_err(StateError::io("open", &self.path))?),
            None => None,
        };
        let mut reader = file.map(|file| BufReader::with_capacity(64 * 1024, file));
        let path = self.path.clone();
        Ok((0..self.entries).map_while(move |_| {
            let mut bytes = [0; ENTRY];
            let read = reader.as_mut()?.read_exact(&mut bytes);
            Some(read.map(|()| OldOp::decode(&bytes)).map_err(StateError::io("read", &path)))
        }))
    }

    /// Looks an id up.
    ///
    /// # Errors
    /// When the file can not be read.
    pub fn find(&self, op_id: &OpId) -> Result<Option<OldOp>, StateError> {
        let Some(file) = &self.file else { return Ok(None) };
        let wanted = hash(op_id);
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut bytes = [0; ENTRY];
            file.read_exact_at(&mut bytes, middle * ENTRY as u64).map_err(StateError::io("read", &self.path))?;
            match bytes[..16].cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                // A damaged entry with the right hash: that the op was run is still known.
                std::cmp::Ordering::Equal => {
                    let unknown = OldOp { hash: wanted, end: EndKind::Unknown, unix_s: 0 };
                    return Ok(Some(OldOp::decode(&bytes).unwrap_or(unknown)));
                }
            }
        }
        Ok(None)
    }

    /// Adds ops: writes the whole table anew beside the old one and puts it in its place.
    ///
    /// # Errors
    /// When a step fails; then the old table is as it was.
    pub fn merge(&mut self, mut new: Vec<OldOp>) -> Result<(), StateError> {
        new.sort_by_key(|op| op.hash);
        let temporary = files::beside(&self.path, "tmp");
        let outcome = self.write_merged(&temporary, &new);
        if outcome.is_err() {
            files::remove(&temporary).map_err(StateError::io("remove", &temporary))?;
        }
        outcome?;
        std::fs::rename(&temporary, &self.path).map_err(StateError::io("replace", &self.path))?;
        if let Some(parent) = self.path.parent() {
            files::sync_dir(parent)?;
        }
        self.reopen()
    }

    fn write_merged(&self, temporary: &Path, new: &[OldOp]) -> Result<(), StateError> {
        let file = files::private().write(true).create(true).truncate(true).open(temporary);
        let mut out = BufWriter::with_capacity(64 * 1024, file.map_err(StateError::io("create", temporary))?);
        let mut put = |op: &OldOp| out.write_all(&op.encode()).map_err(StateError::io("write", temporary));
        let mut new = new.iter().peekable();
        for old in self.iter()? {
            let Some(old) = old? else { continue };
            while let Some(op) = new.next_if(|op| op.hash < old.hash) {
                put(op)?;
            }
            // The newer word on the same op wins.
            if new.peek().is_none_or(|op| op.hash != old.hash) {
                put(&old)?;
            }
        }
        new.try_for_each(put)?;
        let file = out.into_inner().map_err(|error| error.into_error()).map_err(StateError::io("write", temporary))?;
        file.sync_all().map_err(StateError::io("sync", temporary))
    }

    /// How many ops it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> OpId {
        OpId::new(format!("run-{n}")).unwrap()
    }

    fn old(n: usize) -> OldOp {
        OldOp::new(&id(n), if n.is_multiple_of(2) { EndKind::Done } else { EndKind::Failed }, 1_000_000)
    }

    #[test]
    fn every_op_that_was_merged_is_found_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (mut table, _) = OldOps::open(dir.path().join("old-ops")).unwrap();
        for part in 0..5 {
            table.merge((part * 100..(part + 1) * 100).map(old).collect()).unwrap();
        }
        table.merge(vec![old(7)]).unwrap();
        assert_eq!(table.len(), 500, "an op that is merged twice stands once");
        let (table, warning) = OldOps::open(dir.path().join("old-ops")).unwrap();
        assert_eq!(warning, None);
        for n in 0..500 {
            assert_eq!(table.find(&id(n)).unwrap().map(|op| op.end), Some(old(n).end));
        }
        assert_eq!(table.find(&id(500)).unwrap(), None);
    }

    #[test]
    fn a_damaged_entry_costs_no_other_and_the_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old-ops");
        let (mut table, _) = OldOps::open(path.clone()).unwrap();
        table.merge((0..9).map(old).collect()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            let (table, warning) = OldOps::open(path.clone()).unwrap();
            assert!(warning.is_some(), "byte {at}");
            assert!(table.len() >= 8, "byte {at}");
            let found = (0..9).filter(|n| table.find(&id(*n)).unwrap().is_some()).count();
            assert_eq!(found, 8, "byte {at}");
        }
        let kept = std::fs::read_dir(dir.path()).unwrap().count();
        assert!(kept > 1, "the damaged files are set aside");
    }
}
