//! Where reading goes on in a log that rotates.
//!
//! A bookmark is a file's device and inode, an offset, and the hash of its first bytes: an inode comes again for another
//! file, and a file that was copied and truncated keeps its inode with another content. A log is a family of files: the one that is
//! written and its older ones. Whatever the rotation did (rename and a new file, copy and truncate, several times in between),
//! what was not read yet is the rest of the file with the bookmark and everything behind it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

/// So many of a file's first bytes are hashed. The first line of a log has its time in it.
pub const HEAD: usize = 256;

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The file's device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The first byte that was not read.
    pub offset: u64,
    /// The hash of its first bytes, in hex.
    pub head: String,
    /// How many they are: at most [`HEAD`].
    pub head_bytes: u64,
    /// When the file was last written, in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// A file of a log as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNow {
    /// Its path.
    pub path: String,
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its size.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Its first bytes: [`HEAD`] of them, or all.
    pub head: Vec<u8>,
}

/// Where in a file reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the beginning of a line.
    Line(u64),
    /// Somewhere: the first line is torn and passed over.
    Middle(u64),
}

impl Start {
    /// The offset.
    #[must_use]
    pub fn offset(self) -> u64 {
        match self {
            Self::Line(offset) | Self::Middle(offset) => offset,
        }
    }
}

/// Whether a file still grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// It may: a last line without its end is read when it has it.
    Open,
    /// It was rotated away: a last line without its end is one.
    Finished,
}

/// A file to read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file.
    pub file: FileNow,
    /// Where reading begins.
    pub start: Start,
    /// Whether it grows.
    pub growth: Growth,
}

/// What a reader must know beside the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing was read of this log before, or it is not known any more.
    First,
    /// The file with the bookmark is gone.
    Gone,
    /// A file was compressed before it was read to its end.
    Compressed {
        /// Its path.
        path: String,
    },
    /// There was more than the bound.
    PassedOver {
        /// So many bytes, the oldest ones.
        bytes: u64,
    },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("no bookmark: only what is new enough was read"),
            Self::Gone => f.write_str("the file of the last bookmark is gone: its last lines may be missing"),
            Self::Compressed { path } => write!(f, "{path} was compressed before it was read, and is passed over"),
            Self::PassedOver { bytes } => {
                write!(f, "{bytes} bytes, the oldest ones, are passed over: more was written than is read at once")
            }
        }
    }
}

/// What to read, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The files.
    pub parts: Vec<Part>,
    /// What to tell.
    pub told: Vec<Told>,
}

impl Bookmark {
    /// The place in a file.
    #[must_use]
    pub fn of(file: &FileNow, offset: u64) -> Self {
        let head = &file.head[..file.head.len().min(HEAD)];
        Self {
            device: file.device,
            inode: file.inode,
            offset,
            head: hash(head),
            head_bytes: head.len() as u64,
            modified_ns: file.modified_ns,
        }
    }

    fn same_content(&self, file: &FileNow) -> bool {
        let bytes = usize::try_from(self.head_bytes).unwrap_or(usize::MAX);
        file.size >= self.offset && file.head.get(..bytes).is_some_and(|head| hash(head) == self.head)
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The end of a compressed file's name.
const COMPRESSED: [&str; 5] = [".gz", ".zip", ".bz2", ".xz", ".zst"];

fn is_compressed(path: &str) -> bool {
    COMPRESSED.iter().any(|end| path.ends_with(end))
}

/// The name that a file of a log has, or had, while it is written: without the numbers and dates that log4j, log4j2,
/// logback, the JVM and logrotate put into it.
#[must_use]
pub fn base_name(name: &str) -> String {
    let name = COMPRESSED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let name = name.strip_suffix(".current").unwrap_or(name);
    // `server.log.1`, `server.log.2026-01-02-03`, `server.log-20260102`.
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    let bare = name.trim_end_matches(is_number);
    if bare.len() < name.len() && name[bare.len()..].contains(|c: char| c.is_ascii_digit()) && bare.contains(".log") {
        return bare.to_owned();
    }
    // `server-2026-01-02-1.log`: only what has a date, as hosts have numbers in their names too.
    let Some((stem, end)) = name.rsplit_once('.') else { return name.to_owned() };
    let bare = stem.trim_end_matches(is_number);
    let digits = stem[bare.len()..].chars().filter(char::is_ascii_digit).count();
    if digits >= 8 && !bare.is_empty() { format!("{bare}.{end}") } else { name.to_owned() }
}

/// The files of each log of a folder: the oldest first, the one that is written last.
#[must_use]
pub fn families(files: Vec<FileNow>) -> BTreeMap<String, Vec<FileNow>> {
    let mut all: BTreeMap<String, Vec<FileNow>> = BTreeMap::new();
    for file in files {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        all.entry(format!("{folder}/{}", base_name(name))).or_default().push(file);
    }
    for (base, files) in &mut all {
        let current = |file: &FileNow| file.path == *base || file.path.ends_with(".current");
        // Of files of one moment that with the larger number is the older one.
        let number = |file: &FileNow| {
            let digits = file.path.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
            digits.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
        };
        files.sort_by_cached_key(|file| (current(file), file.modified_ns, Reverse(number(file)), file.path.clone()));
    }
    all
}

/// What of a log's files was not read yet. Without a bookmark, all that was written since a moment.
///
/// `files` are ordered as [`families`] orders them.
#[must_use]
pub fn plan(files: &[FileNow], bookmark: Option<&Bookmark>, since_ns: i64) -> Plan {
    let mut told = Vec::new();
    let found = bookmark.and_then(|mark| Some((place(files, mark)?, mark.offset)));
    let unread: Vec<(&FileNow, u64)> = match (found, bookmark) {
        (Some((place, offset)), _) => {
            let rest = files[place + 1..].iter().map(|file| (file, 0));
            std::iter::once((&files[place], offset)).chain(rest).collect()
        }
        (None, lost) => {
            told.push(if lost.is_some() { Told::Gone } else { Told::First });
            let newer = |file: &&FileNow| match lost {
                Some(mark) => file.modified_ns > mark.modified_ns,
                None => file.modified_ns >= since_ns,
            };
            files.iter().filter(newer).map(|file| (file, 0)).collect()
        }
    };
    let last = files.last().map(|file| &file.path);
    let mut parts = Vec::new();
    for (file, offset) in unread {
        if is_compressed(&file.path) {
            told.push(Told::Compressed { path: file.path.clone() });
        } else {
            let growth = if Some(&file.path) == last { Growth::Open } else { Growth::Finished };
            parts.push(Part { file: file.clone(), start: Start::Line(offset), growth });
        }
    }
    Plan { parts, told }
}

/// The file that a bookmark lies in: the same one, or the newest copy of it.
fn place(files: &[FileNow], mark: &Bookmark) -> Option<usize> {
    let inode = |file: &FileNow| (file.device, file.inode) == (mark.device, mark.inode);
    if mark.head_bytes == 0 {
        // Every file begins with nothing; what was written since then is behind the bookmark.
        return files.iter().position(|file| file.modified_ns > mark.modified_ns || inode(file));
    }
    let same = files.iter().position(|file| inode(file) && mark.same_content(file));
    same.or_else(|| files.iter().rposition(|file| mark.same_content(file)))
}

impl Plan {
    /// The same with at most so many bytes: the newest ones, since an inspection is about the state now, and one that is
    /// behind would stay so.
    #[must_use]
    pub fn within(mut self, budget: u64) -> Self {
        let (mut room, mut passed) = (budget, 0);
        for part in self.parts.iter_mut().rev() {
            let waiting = part.file.size.saturating_sub(part.start.offset());
            let read = waiting.min(room);
            room -= read;
            if read < waiting {
                passed += waiting - read;
                part.start = Start::Middle(part.file.size - read);
            }
        }
        if passed > 0 {
            self.parts.retain(|part| part.start.offset() < part.file.size || part.growth == Growth::Open);
            self.told.push(Told::PassedOver { bytes: passed });
        }
        self
    }
}

#[cfg(test)]
mod tests;
