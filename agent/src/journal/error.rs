//! Why the agent's own state could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file operation failed.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried: "write", "sync", "create the directory".
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Too little space for new work.
    #[error(
        "start new work: only {free_bytes} bytes are free under {} and {needed_bytes} must be, free some space there",
        path.display()
    )]
    Full {
        /// The state directory.
        path: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What must be.
        needed_bytes: u64,
    },
    /// An earlier write to the journal failed, so that nobody knows what the disk holds.
    #[error("use the journal after an earlier failure ({why}), restart kfleet-agent when the disk is well again")]
    Broken {
        /// That failure.
        why: String,
    },
    /// Another agent has the directory.
    #[error("lock {}: another kfleet-agent uses this directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("read {}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl StateError {
    /// For `map_err`: what was tried on which path.
    pub fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// The disk is full, as opposed to broken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Broken { .. } | Self::Locked { .. } | Self::Damaged { .. } => false,
        }
    }
}

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
