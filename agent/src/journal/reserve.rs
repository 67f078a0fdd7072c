//! Room on the disk: new work is refused in time, and what was begun can still be recorded.
//!
//! Purpose: a ballast file that is given up when the disk is full, so that the results of running ops find room.
//! Not here: the journal's own space, which every file makes for itself ahead of time.

use super::error::StateError;
use super::files;
use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;
use std::io;
use std::path::{Path, PathBuf};

/// As large as the largest results of the few ops that can run at once, and a new journal file.
const BALLAST_BYTES: i64 = 16 * 1024 * 1024;

/// The ballast and the bound of free space.
#[derive(Debug)]
pub struct Reserve {
    dir: PathBuf,
    min_free_bytes: u64,
}

impl Reserve {
    /// A reserve in this directory; nothing is made yet.
    #[must_use]
    pub fn new(dir: &Path, min_free_bytes: u64) -> Self {
        Self { dir: dir.to_owned(), min_free_bytes }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Free bytes for root on the directory's file system.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn free_bytes(&self) -> Result<u64, StateError> {
        let stat = statvfs(&self.dir).map_err(io::Error::from).map_err(StateError::io("look at", &self.dir))?;
        Ok(stat.blocks_free().saturating_mul(stat.fragment_size()))
    }

    /// Whether new work may begin. Makes the ballast when it is missing and there is room.
    ///
    /// # Errors
    /// When there is too little room.
    pub fn check(&self) -> Result<(), StateError> {
        let free_bytes = self.free_bytes()?;
        if free_bytes < self.min_free_bytes {
            return Err(StateError::Full { path: self.dir.clone(), free_bytes, needed_bytes: self.min_free_bytes });
        }
        let path = self.ballast();
        if path.exists() {
            return Ok(());
        }
        let file = files::private().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(StateError::io("create", &path))?;
        posix_fallocate(&file, 0, BALLAST_BYTES).map_err(io::Error::from).map_err(StateError::io("fill", &path))
    }

    /// Gives the ballast up; false when it was given up before.
    ///
    /// # Errors
    /// When it is there and can not be removed.
    pub fn spend(&self) -> Result<bool, StateError> {
        let path = self.ballast();
        if !path.exists() {
            return Ok(false);
        }
        files::remove(&path).map_err(StateError::io("remove", &path))?;
        tracing::warn!(path = %path.display(), "the disk is full: gave up the reserve");
        Ok(true)
    }
}
