//! The versions of managed files: what a file held before it was replaced, and what it was replaced by.
//!
//! Purpose: every file that a task has put in place can go back to what it was, and everybody can see who changed it when.
//! Place in the flow: the host's door calls [`Versions::keep`] when the new file is finished and not yet in its place.
//! Shape: a folder for each file, named by the hash of its path: `log`, frames (see [`super::frame`]) with one JSON record
//! a version, and the contents, each under its own hash. What is about to be overwritten is made durable first; a
//! new file's version is not, since nothing is lost with it.
//! Bounds: [`KEEP`] versions of a file, contents up to [`CONTENT_LIMIT`]; larger files are artifacts, and travel by their hash.
//! Not here: which version is wanted (`kfleet_model::version`), and putting it back (`file_rollback`).

use super::error::StateError;
use super::files::{self, Durable};
use super::frame;
use super::record::hex;
use kfleet_model::version::{Author, FileContent, FileHistory, FileVersion};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many versions of a file are kept: two changes a week for half a year.
const KEEP: usize = 50;

/// The log is made anew when it has this many more, so that not every change does.
const SLACK: usize = 10;

/// The largest content that is kept. Configuration files are far below it; release archives are far above.
const CONTENT_LIMIT: u64 = 1024 * 1024;

/// The log's name. No hash is called so.
const LOG: &str = "log";

/// One record of a log.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// In every record, so that a folder whose first one is damaged still says whose it is.
    path: PathBuf,
    version: FileVersion,
}

/// What comes in a file's place.
#[derive(Debug, Clone, Copy)]
pub enum Next<'a> {
    /// This finished file.
    File(&'a Path),
    /// Nothing.
    Gone,
    /// A link.
    Link,
}

/// Who changes a file, and whether what it holds is secret.
#[derive(Debug, Clone)]
pub struct Writer {
    /// The op.
    pub author: Author,
    /// Nobody is shown the text.
    pub secret: bool,
}

/// All versions of all managed files of this host.
#[derive(Debug)]
pub struct Versions {
    dir: PathBuf,
    /// Held while a log is read or written: modules run on threads of their own.
    turn: Mutex<()>,
}

/// A path as it is found.
struct Seen {
    content: FileContent,
    bytes: Vec<u8>,
    since_unix_ms: Option<i64>,
}

/// One file's folder, read.
struct Folder {
    dir: PathBuf,
    records: Vec<Record>,
    /// Where the next record goes.
    end: u64,
}

impl Versions {
    /// Opens the versions below a state directory.
    ///
    /// # Errors
    /// When the folder can not be made.
    pub fn open(state_dir: &Path) -> Result<Self, StateError> {
        let dir = state_dir.join("versions");
        files::make_private_dir(&dir)?;
        Ok(Self { dir, turn: Mutex::default() })
    }

    /// The versions below a state directory for somebody who only looks: nothing is made.
    #[must_use]
    pub fn to_look_at(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("versions"), turn: Mutex::default() }
    }

    /// Records what is at `path` now, unless that is known, and what comes in its place. After it returns, what is there
    /// now can be lost.
    ///
    /// # Errors
    /// When it can not be read or recorded; then the file must not be replaced.
    pub fn keep(&self, writer: &Writer, path: &Path, next: Next<'_>, unix_ms: i64) -> Result<(), StateError> {
        let _turn = self.turn();
        let mut folder = Folder::read(self.folder(path))?;
        let now = Seen::at(path)?;
        let next = match next {
            Next::File(file) => Seen::at(file)?,
            Next::Gone => Seen::nothing(FileContent::Absent),
            Next::Link => Seen::nothing(FileContent::NoFile),
        };
        if folder.records.is_empty() && !is_small(&now.content) && !is_small(&next.content) {
            return Ok(());
        }
        let loses = !matches!(now.content, FileContent::Absent);
        if !folder.records.last().is_some_and(|last| last.version.content.same_as(&now.content)) {
            // What a secret file was before kfleet had it is as secret.
            let found = Writer { author: Author::Outside, secret: writer.secret };
            let since = now.since_unix_ms.unwrap_or(unix_ms);
            folder.add(&found, path, &now, since)?;
        }
        let same = folder.records.last().is_some_and(|last| last.version.content.same_as(&next.content));
        if !same {
            folder.add(writer, path, &next, unix_ms)?;
        }
        if loses {
            folder.sync()?;
        }
        folder.prune()
    }

    /// The past of one file and what it is now; none when kfleet has never changed it.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn history(&self, path: &Path) -> Result<Option<FileHistory>, StateError> {
        let _turn = self.turn();
        let folder = Folder::read(self.folder(path))?;
        if folder.records.is_empty() {
            return Ok(None);
        }
        let seen = Seen::at(path)?;
        let versions = folder.records.into_iter().map(|record| record.version).collect();
        Ok(Some(FileHistory { path: path.to_owned(), versions, now: seen.content, now_unix_ms: seen.since_unix_ms }))
    }

    /// The paths of all files that have versions, sorted.
    ///
    /// # Errors
    /// When the folder can not be read.
    pub fn paths(&self) -> Result<Vec<PathBuf>, StateError> {
        let _turn = self.turn();
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(StateError::io("list", &self.dir))? {
            let dir = entry.map_err(StateError::io("list", &self.dir))?.path();
            paths.extend(Folder::read(dir)?.records.pop().map(|record| record.path));
        }
        paths.sort();
        Ok(paths)
    }

    /// Where the content of a version lies; none when it has none.
    #[must_use]
    pub fn content_path(&self, path: &Path, version: &FileVersion) -> Option<PathBuf> {
        match &version.content {
            FileContent::Kept { sha256, .. } => Some(self.folder(path).join(sha256)),
            FileContent::Absent | FileContent::TooLarge { .. } | FileContent::NoFile => None,
        }
    }

    fn folder(&self, path: &Path) -> PathBuf {
        self.dir.join(hex(&Sha256::digest(path.as_os_str().as_bytes())))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path that never was a small file has no history.
fn is_small(content: &FileContent) -> bool {
    matches!(content, FileContent::Kept { .. })
}

impl Seen {
    fn nothing(content: FileContent) -> Self {
        Self { content, bytes: Vec::new(), since_unix_ms: None }
    }

    /// Looks at a path; a link is not followed.
    fn at(path: &Path) -> Result<Self, StateError> {
        let meta = match std::fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if is_missing(&error) => return Ok(Self::nothing(FileContent::Absent)),
            Err(error) => return Err(StateError::io("look at", path)(error)),
        };
        let since_unix_ms = Some(meta.ctime() * 1000 + meta.ctime_nsec() / 1_000_000);
        if !meta.is_file() {
            return Ok(Self { since_unix_ms, ..Self::nothing(FileContent::NoFile) });
        }
        if meta.len() > CONTENT_LIMIT {
            return Ok(Self { since_unix_ms, ..Self::nothing(FileContent::TooLarge { bytes: meta.len() }) });
        }
        let mut bytes = Vec::new();
        let file = File::options().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path);
        let read = file.and_then(|file| file.take(CONTENT_LIMIT + 1).read_to_end(&mut bytes));
        read.map_err(StateError::io("read", path))?;
        Ok(Self { content: kept(&bytes, &meta), bytes, since_unix_ms })
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn kept(bytes: &[u8], meta: &Metadata) -> FileContent {
    FileContent::Kept {
        sha256: hex(&Sha256::digest(bytes)),
        bytes: bytes.len() as u64,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
    }
}

impl Folder {
    /// Reads a folder; one that is not there is empty. A record that a crash left half written, or that the disk has
    /// damaged, is passed over: the next change finds that the file is not at its last version and records it again.
    fn read(dir: PathBuf) -> Result<Self, StateError> {
        let bytes = files::read_optional(&dir.join(LOG))?.unwrap_or_default();
        let scan = frame::scan(&bytes);
        let records = scan.records.iter().filter_map(|range| serde_json::from_slice(&bytes[range.clone()]).ok());
        Ok(Self { dir, records: records.collect(), end: scan.end as u64 })
    }

    /// Writes a version behind the last one.
    fn add(&mut self, writer: &Writer, path: &Path, seen: &Seen, unix_ms: i64) -> Result<(), StateError> {
        files::make_private_dir(&self.dir)?;
        if let FileContent::Kept { sha256, .. } = &seen.content
            && !self.has(sha256)
        {
            files::replace(&self.dir.join(sha256), &seen.bytes, Durable::No)?;
        }
        let record = Record {
            path: path.to_owned(),
            version: FileVersion {
                number: self.records.last().map_or(1, |last| last.version.number + 1),
                unix_ms,
                author: writer.author.clone(),
                content: seen.content.clone(),
                secret: writer.secret,
            },
        };
        let log = self.dir.join(LOG);
        let bytes = framed(std::iter::once(&record))?;
        let file = files::private().write(true).create(true).truncate(false).open(&log);
        let file = file.map_err(StateError::io("open", &log))?;
        // What a crash left behind the last whole record is cut off, or it would be mixed with this one.
        file.set_len(self.end)
            .and_then(|()| file.write_all_at(&bytes, self.end))
            .map_err(StateError::io("write", &log))?;
        self.end += bytes.len() as u64;
        self.records.push(record);
        Ok(())
    }

    /// Whether a content is there already, whole.
    fn has(&self, sha256: &str) -> bool {
        let known =
            |record: &Record| matches!(&record.version.content, FileContent::Kept { sha256: s, .. } if s == sha256);
        self.records.iter().any(known)
            && std::fs::read(self.dir.join(sha256)).is_ok_and(|bytes| hex(&Sha256::digest(bytes)) == sha256)
    }

    /// Makes durable what is about to be the only copy.
    fn sync(&self) -> Result<(), StateError> {
        let newest = self.records.iter().rev().take(2).filter_map(|record| match &record.version.content {
            FileContent::Kept { sha256, .. } => Some(self.dir.join(sha256)),
            FileContent::Absent | FileContent::TooLarge { .. } | FileContent::NoFile => None,
        });
        for path in newest.chain([self.dir.join(LOG)]) {
            File::open(&path).and_then(|file| file.sync_all()).map_err(StateError::io("sync", &path))?;
        }
        files::sync_dir(&self.dir)?;
        self.dir.parent().map_or(Ok(()), files::sync_dir)
    }

    /// Forgets the oldest versions, and then the contents that no version has any more.
    fn prune(&mut self) -> Result<(), StateError> {
        if self.records.len() <= KEEP + SLACK {
            return Ok(());
        }
        self.records.drain(..self.records.len() - KEEP);
        files::replace(&self.dir.join(LOG), &framed(self.records.iter())?, Durable::Yes)?;
        let mut wanted: BTreeSet<String> = BTreeSet::from([LOG.to_owned()]);
        wanted.extend(self.records.iter().filter_map(|record| match &record.version.content {
            FileContent::Kept { sha256, .. } => Some(sha256.clone()),
            FileContent::Absent | FileContent::TooLarge { .. } | FileContent::NoFile => None,
        }));
        for entry in std::fs::read_dir(&self.dir).map_err(StateError::io("list", &self.dir))? {
            let entry = entry.map_err(StateError::io("list", &self.dir))?;
            if !entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
                files::remove(&entry.path()).map_err(StateError::io("remove", entry.path()))?;
            }
        }
        Ok(())
    }
}

fn framed<'a>(records: impl Iterator<Item = &'a Record>) -> Result<Vec<u8>, StateError> {
    let mut bytes = Vec::new();
    for record in records {
        let json = serde_json::to_vec(record).map_err(|error| StateError::Broken { why: error.to_string() })?;
        frame::encode(&json, &mut bytes);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::{OpId, RunId};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    struct Host {
        folder: tempfile::TempDir,
        versions: Versions,
    }

    impl Host {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let versions = Versions::open(folder.path()).unwrap();
            Self { folder, versions }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("server.properties")
        }

        fn put(&self, run: &str, content: &[u8]) {
            let next = self.folder.path().join("next");
            std::fs::write(&next, content).unwrap();
            self.versions.keep(&writer(run), &self.path(), Next::File(&next), 7).unwrap();
            std::fs::rename(&next, self.path()).unwrap();
        }

        fn remove(&self, run: &str) {
            self.versions.keep(&writer(run), &self.path(), Next::Gone, 8).unwrap();
            std::fs::remove_file(self.path()).unwrap();
        }

        fn history(&self) -> FileHistory {
            self.versions.history(&self.path()).unwrap().unwrap()
        }

        /// Each version's number, run and text.
        fn told(&self) -> Vec<(u64, String, String)> {
            let tell = |version: &FileVersion| {
                let text = self
                    .versions
                    .content_path(&self.path(), version)
                    .map(|path| std::fs::read_to_string(path).unwrap());
                let run = version.author.run().map_or("outside", RunId::as_str).to_owned();
                (version.number, run, text.unwrap_or_else(|| format!("{:?}", version.content)))
            };
            self.history().versions.iter().map(tell).collect()
        }
    }

    fn writer(run: &str) -> Writer {
        let (run_id, op_id) = (RunId::new(run).unwrap(), OpId::new("op").unwrap());
        Writer { author: Author::Op { run_id, op_id, module: "copy".into() }, secret: false }
    }

    fn said(lines: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
        lines.iter().map(|(number, run, text)| (*number, (*run).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_change_is_a_version_and_so_is_what_somebody_else_did_in_between() {
        let host = Host::new();
        host.put("one", b"a");
        host.put("two", b"b");
        std::fs::write(host.path(), "by hand").unwrap();
        assert_eq!(host.history().current(), None);
        host.put("three", b"c");
        host.remove("four");
        host.put("five", b"a");
        let wanted = [
            (1, "outside", "Absent"),
            (2, "one", "a"),
            (3, "two", "b"),
            (4, "outside", "by hand"),
            (5, "three", "c"),
            (6, "four", "Absent"),
            (7, "five", "a"),
        ];
        assert_eq!(host.told(), said(&wanted));
        assert_eq!(host.history().current().unwrap().number, 7);
        assert_eq!(host.versions.paths().unwrap(), [host.path()]);
    }

    #[test]
    fn the_same_content_again_is_no_version_and_a_file_that_was_there_before_is_the_first() {
        let host = Host::new();
        std::fs::write(host.path(), "theirs").unwrap();
        std::fs::set_permissions(host.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        host.put("one", b"ours");
        host.put("two", b"ours");
        assert_eq!(host.told(), said(&[(1, "outside", "theirs"), (2, "one", "ours")]));
        let first = host.history().versions[0].content.clone();
        assert!(matches!(first, FileContent::Kept { mode: 0o640, bytes: 6, .. }), "{first:?}");
    }

    #[test]
    fn a_large_file_and_a_link_have_versions_without_content_only_beside_small_ones() {
        let host = Host::new();
        let large = vec![b'x'; usize::try_from(CONTENT_LIMIT).unwrap() + 1];
        host.put("one", &large);
        assert_eq!(host.versions.history(&host.path()).unwrap(), None);
        host.put("two", b"small");
        host.put("three", &large);
        let wanted = [FileContent::TooLarge { bytes: CONTENT_LIMIT + 1 }; 1];
        let found: Vec<_> = host.history().versions.into_iter().map(|version| version.content).collect();
        assert_eq!((&found[0], &found[2]), (&wanted[0], &wanted[0]));
        host.remove("four");
        std::os::unix::fs::symlink("/etc/passwd", host.path()).unwrap();
        assert_eq!(host.history().now, FileContent::NoFile);
        host.put("five", b"small");
        let last = host.history().versions;
        assert_eq!(last[last.len() - 2].content, FileContent::NoFile);
    }

    #[test]
    fn old_versions_are_forgotten_and_the_contents_of_those_that_stay_are_not() {
        let host = Host::new();
        for n in 0..KEEP * 2 {
            host.put("run", format!("text {n}").as_bytes());
        }
        let told = host.told();
        assert!((KEEP..=KEEP + SLACK).contains(&told.len()), "{}", told.len());
        assert_eq!(told.last().unwrap().2, format!("text {}", KEEP * 2 - 1));
        assert_eq!(told.last().unwrap().0, u64::try_from(KEEP * 2 + 1).unwrap());
        let folder = host.versions.folder(&host.path());
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files, told.len() + 1, "contents and the log, nothing else");
    }

    #[test]
    fn a_log_that_was_cut_anywhere_gives_the_versions_before_the_cut_and_goes_on() {
        let host = Host::new();
        for text in ["a", "b", "c"] {
            host.put("run", text.as_bytes());
        }
        let log = host.versions.folder(&host.path()).join(LOG);
        let whole = std::fs::read(&log).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&log, &whole[..cut]).unwrap();
            let before = host.versions.history(&host.path()).unwrap().map_or(0, |history| history.versions.len());
            host.put("after", b"d");
            let told = host.told();
            assert!(told.len() > before, "cut at {cut}");
            let last: Vec<&str> = told.iter().rev().take(2).map(|(_, _, text)| text.as_str()).collect();
            assert_eq!(last, ["d", "c"], "cut at {cut}");
            std::fs::File::create(host.path()).unwrap().write_all(b"c").unwrap();
        }
    }

    #[test]
    fn only_root_reads_what_is_kept() {
        let host = Host::new();
        host.put("one", b"a");
        host.put("two", b"b");
        let folder = host.versions.folder(&host.path());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for entry in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }
}
