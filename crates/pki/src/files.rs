//! Files of keys and certificates.
//!
//! Purpose: whole files or none: written beside their place, flushed, then renamed. Nothing is overwritten unless told.
//! Place in the flow: the only door from this crate to the file system; `store/` stands on it.
//! Not here: what the files hold.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file that is read; certificates and keys have a few KiB.
const LONGEST: u64 = 1024 * 1024;

/// Readable by the owner alone.
pub(crate) const SECRET: u32 = 0o600;
/// Readable by everybody.
pub(crate) const PUBLIC: u32 = 0o644;

/// What to do with a file that stands in the place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Why a file can not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("can not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something stands in the place already.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// Others than the owner can read a private key.
    #[error("the private key {} is open to others than its owner (mode {mode:03o}); make a new key, or set mode 600 if nobody can have read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no text or too long to be what it should be.
    #[error("{} is not a text file of at most 1 MiB", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Writes a whole file: either it is there completely after this, also after a power cut, or nothing has changed.
pub(crate) fn write(path: &Path, contents: &str, mode: u32, existing: Existing) -> Result<(), FileError> {
    let dir = parent(path);
    let fail = || FileError::io("write", path);
    let mut file = tempfile::Builder::new()
        .prefix(".kfleet-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)
        .map_err(fail())?;
    // The mode given at creation is cut by the umask; this sets it before any content is there.
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(fail())?;
    file.write_all(contents.as_bytes()).map_err(fail())?;
    file.as_file().sync_all().map_err(fail())?;
    let placed = match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    };
    placed.map_err(|error| match (existing, error.error.kind()) {
        (Existing::Keep, io::ErrorKind::AlreadyExists) => FileError::Exists { path: path.to_owned() },
        (Existing::Keep | Existing::Replace, _) => fail()(error.error),
    })?;
    sync_dir(dir)
}

/// The folder that a file or folder stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Flushes a folder, so that a new name in it survives a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(FileError::io("flush", dir))
}

/// Makes a folder, and those above it, that only the owner can enter. An existing folder stays as it is.
pub(crate) fn make_dir(dir: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(FileError::io("make the folder", dir))
}

/// Appends one line and flushes it. A line that an earlier crash has cut is ended first, so it damages itself only.
pub(crate) fn append_line(path: &Path, line: &str) -> Result<(), FileError> {
    let fail = || FileError::io("append to", path);
    let mut file = fs::OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail())?;
    let mut last = [b'\n'];
    if file.metadata().map_err(fail())?.len() > 0 {
        file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(fail())?;
    }
    let end = if last == *b"\n" { "" } else { "\n" };
    file.write_all(format!("{end}{line}\n").as_bytes()).map_err(fail())?;
    file.sync_all().map_err(fail())?;
    sync_dir(parent(path))
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    read_open(path, open(path)?).map(|text| String::clone(&text))
}

/// Reads a private key; refuses one that others can read.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file = open(path)?;
    let mode = file.metadata().map_err(FileError::io("read", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_open(path, file)
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(FileError::io("read", path))
}

fn read_open(path: &Path, file: File) -> Result<Zeroizing<String>, FileError> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(FileError::io("read", path))?;
    let not_text = || FileError::NotText { path: path.to_owned() };
    if bytes.len() as u64 > LONGEST {
        return Err(not_text());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| not_text())?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_with_its_mode_and_kept_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (contents, existing, result) in
            [("one", Existing::Keep, "one"), ("two", Existing::Keep, "one"), ("three", Existing::Replace, "three")]
        {
            let written = write(&path, contents, SECRET, existing);
            assert_eq!(written.is_ok(), contents == result, "{written:?}");
            assert_eq!(*read_secret(&path).unwrap(), result);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file may stay");
    }

    #[test]
    fn a_link_in_the_place_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, path) = (dir.path().join("target"), dir.path().join("key"));
        fs::write(&target, "safe").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(write(&path, "new", SECRET, Existing::Keep), Err(FileError::Exists { .. })));
        write(&path, "new", SECRET, Existing::Replace).unwrap();
        assert_eq!((read(&target).unwrap().as_str(), read(&path).unwrap().as_str()), ("safe", "new"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write(&path, "secret", PUBLIC, Existing::Keep).unwrap();
        assert!(matches!(read_secret(&path), Err(FileError::Exposed { mode: 0o644, .. })));
    }

    #[test]
    fn endless_and_binary_files_are_refused() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(FileError::NotText { .. })));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("binary");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&path), Err(FileError::NotText { .. })));
    }
}
