//! One `kfleet serve` a fleet directory: a lock that the kernel gives back when its holder dies.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("{} is held by process {holder}", path.display())]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// Who, as it wrote itself down.
        holder: String,
    },
    /// The file can not be used.
    #[error("failed to lock {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes it, and writes this process's id into its file. The file stays: one that is removed could be locked by two.
    ///
    /// # Errors
    /// When somebody has it, or the file can not be used.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let mut held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
            if errno != Errno::EWOULDBLOCK {
                return failed(errno.into());
            }
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let known = read.is_ok() && !holder.trim().is_empty();
            let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
            LockError::Held { path: path.to_owned(), holder }
        })?;
        held.set_len(0).and_then(|()| held.rewind()).map_err(failed)?;
        held.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(failed)?;
        Ok(Self { _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_the_first_one_s_id_and_taken_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serve.lock");
        std::fs::write(&path, "123456789 somebody before\n").unwrap();
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("is held by process {}", std::process::id())), "{refused}");
        drop(first);
        Lock::take(&path).unwrap();
        let gone = Lock::take(&dir.path().join("no/serve.lock"));
        assert!(matches!(gone, Err(LockError::Io { .. })), "{gone:?}");
    }
}
