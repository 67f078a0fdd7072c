//! The operator's files: read from the disk, and kept as they were read so that a resumed run sees the same.

use kfleet_playbook::files::{FileError, FileKind, Files, clean};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A larger file is not kept with the run; a resumed run reads it from the disk.
const KEEP_BYTES: usize = 4 * 1024 * 1024;

/// Files of the disk; relative paths are below `root`.
#[derive(Debug, Clone)]
pub struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    /// Relative paths are taken from here.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a path lies on the disk.
    #[must_use]
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std's kinds are open; all others are unreadable")]
fn error(path: &str, error: &std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => FileError::Unreadable { path: path.to_owned(), why: error.to_string() },
    }
}

impl Files for DiskFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        std::fs::read(self.on_disk(path)).map_err(|e| error(path, &e))
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        let meta = std::fs::metadata(self.on_disk(path)).ok()?;
        Some(if meta.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, FileError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.on_disk(path)).map_err(|e| error(path, &e))? {
            names.push(entry.map_err(|e| error(path, &e))?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// Files that remember what was read; what an earlier part of the run read comes first.
pub struct RecordedFiles {
    disk: Box<dyn Files + Send + Sync>,
    root: PathBuf,
    kept: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
}

impl RecordedFiles {
    /// Reads from `files`, after what is kept already.
    #[must_use]
    pub fn new(
        files: impl Files + Send + Sync + 'static,
        root: impl Into<PathBuf>,
        kept: BTreeMap<PathBuf, Vec<u8>>,
    ) -> Self {
        Self { disk: Box::new(files), root: root.into(), kept: Mutex::new(kept) }
    }

    /// Everything that was read.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a path lies on the disk, for content that is too large to be kept.
    #[must_use]
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn known(&self, path: &Path) -> Option<Vec<u8>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

/// What is left of a path below a folder; every relative path is below `.`.
fn below<'p>(path: &'p Path, folder: &Path) -> Option<&'p Path> {
    if folder == Path::new(".") { path.is_relative().then_some(path) } else { path.strip_prefix(folder).ok() }
}

impl Files for RecordedFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let key = PathBuf::from(clean(path));
        if let Some(content) = self.known(&key) {
            return Ok(content);
        }
        let content = self.disk.read(path)?;
        if content.len() <= KEEP_BYTES {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(key, content.clone());
        }
        Ok(content)
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        let cleaned = PathBuf::from(clean(path));
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.contains_key(&cleaned) {
            return Some(FileKind::File);
        }
        if kept.keys().any(|known| below(known, &cleaned).is_some()) {
            return Some(FileKind::Folder);
        }
        drop(kept);
        self.disk.kind(path)
    }

    fn list_dir(&self, path: &str) -> Result<Vec<String>, FileError> {
        let cleaned = PathBuf::from(clean(path));
        let mut names: Vec<String> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.keys()
                .filter_map(|known| below(known, &cleaned))
                .filter_map(|rest| rest.iter().next())
                .map(|name| name.to_string_lossy().into_owned())
                .collect()
        };
        match self.disk.list_dir(path) {
            Ok(more) => names.extend(more),
            Err(error) if names.is_empty() => return Err(error),
            Err(_) => {}
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_playbook::files::MemoryFiles;

    #[test]
    fn a_file_that_was_read_once_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yml"), "one").unwrap();
        let files = RecordedFiles::new(DiskFiles::new(dir.path()), dir.path(), BTreeMap::new());
        assert_eq!(files.read("./a.yml").unwrap(), b"one");
        std::fs::write(dir.path().join("a.yml"), "two").unwrap();
        assert_eq!(files.read("a.yml").unwrap(), b"one");
        let resumed = RecordedFiles::new(MemoryFiles::default(), ".", files.kept());
        assert_eq!(resumed.read("a.yml").unwrap(), b"one");
        assert_eq!(resumed.kind("."), Some(FileKind::Folder));
        assert!(matches!(resumed.read("b.yml"), Err(FileError::Missing { .. })));
    }
}
