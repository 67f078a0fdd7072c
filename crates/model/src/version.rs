//! The versions of a managed file: what it held, since when, and who put it there.
//!
//! Place in the flow: an agent records one before it replaces a file; the controller shows them and asks for one back.
//! Not here: the contents, which stay on the host.

use crate::{OpId, RunId};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One version of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// Counts from 1 for each file, without a gap; the oldest may be gone.
    pub number: u64,
    /// Since when it is there: milliseconds since 1970 by the host's clock.
    pub unix_ms: i64,
    /// Who put it there.
    pub author: Author,
    /// What it is.
    pub content: FileContent,
    /// It came from a task with `no_log`: its text is shown to nobody.
    pub secret: bool,
}

/// Who made a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Author {
    /// A task.
    Op {
        /// The run that it belongs to.
        run_id: RunId,
        /// The op.
        op_id: OpId,
        /// Its module.
        module: String,
    },
    /// Somebody else: it was found so.
    Outside,
}

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "content", rename_all = "snake_case")]
pub enum FileContent {
    /// There was no file.
    Absent,
    /// A text or other small file, which the host keeps.
    Kept {
        /// Its hash in hex.
        sha256: String,
        /// Its size.
        bytes: u64,
        /// Its permission bits.
        mode: u32,
        /// Its owner's number.
        uid: u32,
        /// Its group's number.
        gid: u32,
    },
    /// A file that is too large to be kept.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// A link, a directory or something else that is no file.
    NoFile,
}

impl FileContent {
    /// Whether both hold the same; mode and owner do not count.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Kept { sha256: one, .. }, Self::Kept { sha256: two, .. }) => one == two,
            (Self::TooLarge { bytes: one }, Self::TooLarge { bytes: two }) => one == two,
            (Self::Absent, Self::Absent) | (Self::NoFile, Self::NoFile) => true,
            (Self::Absent | Self::Kept { .. } | Self::TooLarge { .. } | Self::NoFile, _) => false,
        }
    }
}

/// All that is known of one file's past, and what it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHistory {
    /// The file.
    pub path: PathBuf,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<FileVersion>,
    /// What is there now.
    pub now: FileContent,
    /// Since when, as far as the file system tells: milliseconds since 1970 by the host's clock.
    pub now_unix_ms: Option<i64>,
}

/// One file's past, with a difference where one was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its past.
    pub history: FileHistory,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// How two versions of a file differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The older one.
    pub from: u64,
    /// The newer one; none is what is there now.
    pub to: Option<u64>,
    /// The difference.
    pub shown: Shown,
}

/// What may be seen of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// A unified difference, values of secret keys hidden.
    Text(String),
    /// There is none.
    Same,
    /// Only values of secret keys differ.
    OnlySecrets,
    /// They differ, and a task with `no_log` wrote one of them.
    Hidden,
    /// They differ, and are not text, or too large for a difference.
    NoText,
}

/// Why a file can not go back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// The version is not kept.
    #[error("version {number} is not kept, only {first} to {last}")]
    NoVersion {
        /// The one asked for.
        number: u64,
        /// The oldest kept.
        first: u64,
        /// The newest.
        last: u64,
    },
    /// What was before the run is no longer kept.
    #[error("what was there before run {run} is no longer kept (the oldest version is {first})")]
    Forgotten {
        /// The run.
        run: RunId,
        /// The oldest kept.
        first: u64,
    },
    /// It was too large, or no file.
    #[error("version {number} was {what}, which is not kept")]
    NotKept {
        /// The version.
        number: u64,
        /// What it was.
        what: &'static str,
    },
}

impl FileHistory {
    /// The version that the file is at, when somebody has not changed it since.
    #[must_use]
    pub fn current(&self) -> Option<&FileVersion> {
        self.versions.last().filter(|last| last.content.same_as(&self.now))
    }

    /// The version of a number.
    ///
    /// # Errors
    /// When it is not kept.
    pub fn version(&self, number: u64) -> Result<&FileVersion, NoWayBack> {
        let found = self.versions.iter().find(|version| version.number == number);
        let bound = |version: Option<&FileVersion>| version.map_or(0, |version| version.number);
        let (first, last) = (bound(self.versions.first()), bound(self.versions.last()));
        usable(found.ok_or(NoWayBack::NoVersion { number, first, last })?)
    }

    /// What was there before a run first changed the file; none when that run did not.
    ///
    /// # Errors
    /// When that is not kept.
    pub fn before_run(&self, run: &RunId) -> Result<Option<&FileVersion>, NoWayBack> {
        let of_run = |version: &FileVersion| version.author.run() == Some(run);
        let Some(at) = self.versions.iter().position(of_run) else { return Ok(None) };
        match at.checked_sub(1).and_then(|before| self.versions.get(before)) {
            Some(version) => usable(version).map(Some),
            None => Err(NoWayBack::Forgotten { run: run.clone(), first: self.versions[at].number }),
        }
    }

    /// The last run that changed the file.
    #[must_use]
    pub fn last_run(&self) -> Option<(&RunId, i64)> {
        self.versions.iter().rev().find_map(|version| Some((version.author.run()?, version.unix_ms)))
    }
}

impl Author {
    /// The run, when it was one.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Op { run_id, .. } => Some(run_id),
            Self::Outside => None,
        }
    }
}

fn usable(version: &FileVersion) -> Result<&FileVersion, NoWayBack> {
    let number = version.number;
    match version.content {
        FileContent::Absent | FileContent::Kept { .. } => Ok(version),
        FileContent::TooLarge { .. } => Err(NoWayBack::NotKept { number, what: "too large" }),
        FileContent::NoFile => Err(NoWayBack::NotKept { number, what: "no file" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> RunId {
        RunId::new(name).unwrap()
    }

    fn kept(text: &str) -> FileContent {
        FileContent::Kept { sha256: text.to_owned(), bytes: 1, mode: 0o644, uid: 0, gid: 0 }
    }

    fn history(versions: &[(u64, Option<&str>, FileContent)], now: FileContent) -> FileHistory {
        let version = |(number, by, content): &(u64, Option<&str>, FileContent)| FileVersion {
            number: *number,
            unix_ms: i64::try_from(*number).unwrap(),
            author: by.map_or(Author::Outside, |by| Author::Op {
                run_id: run(by),
                op_id: OpId::new("op").unwrap(),
                module: "copy".into(),
            }),
            content: content.clone(),
            secret: false,
        };
        let versions = versions.iter().map(version).collect();
        FileHistory { path: "/etc/f".into(), versions, now, now_unix_ms: None }
    }

    #[test]
    fn before_a_run_is_what_was_there_before_its_first_change_and_stays_so_after_the_way_back() {
        let mut versions = vec![
            (1, None, FileContent::Absent),
            (2, Some("one"), kept("a")),
            (3, Some("two"), kept("b")),
            (4, Some("two"), kept("c")),
            (5, Some("three"), kept("d")),
        ];
        for n in 0..2 {
            let history = history(&versions, kept("d"));
            for (asked, wanted) in [("one", Some(1)), ("two", Some(2)), ("three", Some(4)), ("four", None)] {
                let found = history.before_run(&run(asked)).unwrap();
                assert_eq!(found.map(|version| version.number), wanted, "{asked}, look {n}");
            }
            versions.push((6, Some("back"), kept("a")));
        }
        assert_eq!(history(&versions, kept("a")).last_run(), Some((&run("back"), 6)));
    }

    #[test]
    fn what_is_not_kept_is_told_and_not_guessed() {
        let versions = [
            (7, Some("one"), kept("a")),
            (8, None, FileContent::TooLarge { bytes: 9 }),
            (9, Some("two"), kept("b")),
            (10, None, FileContent::NoFile),
        ];
        let history = history(&versions, kept("else"));
        let forgotten = history.before_run(&run("one")).unwrap_err();
        assert_eq!(forgotten, NoWayBack::Forgotten { run: run("one"), first: 7 });
        for (number, wanted) in [
            (7, None),
            (8, Some("version 8 was too large, which is not kept")),
            (10, Some("version 10 was no file, which is not kept")),
            (6, Some("version 6 is not kept, only 7 to 10")),
        ] {
            assert_eq!(history.version(number).err().map(|error| error.to_string()).as_deref(), wanted, "{number}");
        }
        assert!(history.before_run(&run("two")).is_err());
        assert_eq!(history.current(), None, "somebody changed it since");
    }
}
