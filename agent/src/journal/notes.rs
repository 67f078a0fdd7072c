//! Notes: what an observation leaves for the next one, such as how far the logs were read.
//!
//! Purpose: an observation changes nothing of the host, but what it must know of the one before lives here.
//! Shape: a small file a name under `notes/`, replaced as a whole and made durable: a note that is half written, or older
//! than what was already told, would count things twice.
//! Not here: what a note means; it is bytes.

use super::error::StateError;
use super::files::{self, Durable};
use std::path::{Path, PathBuf};

/// All notes of this agent.
#[derive(Debug)]
pub struct Notes {
    dir: PathBuf,
    /// Somebody only looks: the agent's own notes stay as they are.
    looking: bool,
}

impl Notes {
    /// Opens the notes below a state directory.
    ///
    /// # Errors
    /// When the folder can not be made.
    pub fn open(state_dir: &Path) -> Result<Self, StateError> {
        let dir = state_dir.join("notes");
        files::make_private_dir(&dir)?;
        Ok(Self { dir, looking: false })
    }

    /// The notes below a state directory for somebody who only looks: nothing is made, and nothing is written.
    #[must_use]
    pub fn to_look_at(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("notes"), looking: true }
    }

    /// A note; none when there is none of that name.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        files::read_optional(&self.path(name))
    }

    /// Replaces a note.
    ///
    /// # Errors
    /// When it can not be written; then the old one is there.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        if self.looking {
            return Ok(());
        }
        files::replace(&self.path(name), content, Durable::Yes)
    }

    /// A name is a word of this program, never a path.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_and_outlives_its_agent() {
        let state = tempfile::tempdir().unwrap();
        let notes = Notes::open(state.path()).unwrap();
        assert_eq!(notes.read("logs").unwrap(), None);
        notes.write("logs", b"one").unwrap();
        notes.write("logs", b"two").unwrap();
        notes.write("../else", b"x").unwrap();
        let notes = Notes::open(state.path()).unwrap();
        assert_eq!(notes.read("logs").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1, "nothing is written elsewhere");
        let looker = Notes::to_look_at(state.path());
        looker.write("logs", b"three").unwrap();
        assert_eq!(looker.read("logs").unwrap().as_deref(), Some(&b"two"[..]), "a looker changed a note");
    }
}
