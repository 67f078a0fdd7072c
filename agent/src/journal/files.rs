//! Small file habits of the state directory: private modes, whole replacement, synced directories.

use super::error::StateError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Makes a directory that only root can enter, with its parents.
///
/// # Errors
/// When it can not be made.
pub fn make_private_dir(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StateError::io("create the directory", path))
}

/// Options for a file that only root can read.
#[must_use]
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When it can not be synced.
pub fn sync_dir(path: &Path) -> Result<(), StateError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StateError::io("sync the directory", path))
}

/// Whether a crash of the host may lose what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// It must not.
    Yes,
    /// It may: a crash of the agent alone loses nothing.
    No,
}

/// Replaces a small file: the old or the new content is there at any moment, never a mixture.
///
/// # Errors
/// When any step fails; then the old file is as it was.
pub fn replace(path: &Path, content: &[u8], durable: Durable) -> Result<(), StateError> {
    let temporary = beside(path, "tmp");
    let written = (|| {
        let mut file = private().write(true).create(true).truncate(true).open(&temporary)?;
        file.write_all(content)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)
    })();
    if let Err(source) = written {
        remove(&temporary).map_err(StateError::io("remove", &temporary))?;
        return Err(StateError::Io { what: "replace", path: path.to_owned(), source });
    }
    match (durable, path.parent()) {
        (Durable::Yes, Some(parent)) => sync_dir(parent),
        (Durable::Yes, None) | (Durable::No, _) => Ok(()),
    }
}

/// The same path with one more extension.
#[must_use]
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Reads a small file; none when it is not there.
///
/// # Errors
/// When it is there and can not be read.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Io { what: "read", path: path.to_owned(), source }),
    }
}

/// Removes a file; nothing there is fine.
///
/// # Errors
/// When it is there and can not be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Milliseconds since 1970 by the host's clock; for records and people, never for deadlines.
#[must_use]
pub fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
