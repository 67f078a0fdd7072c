//! How far each log was read: one note of the agent.

use super::CollectError;
use crate::host::HostView;
use kfleet_logs::Bookmark;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The note's name.
const NOTE: &str = "log-bookmarks";

/// A place in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// In a file and those that it becomes.
    File(Bookmark),
    /// In the journal: the cursor of the last entry.
    Cursor(String),
    /// In the kernel's own buffer: the boot, and the microseconds of the last message since then.
    Kernel { boot_id: String, us: i64 },
}

/// The note.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    /// The inspection that moved the bookmarks last.
    inspection: Option<String>,
    /// Where it began.
    before: BTreeMap<String, Mark>,
    /// Where it ended.
    after: BTreeMap<String, Mark>,
}

/// The bookmarks of a reading.
#[derive(Debug)]
pub(super) struct Marks {
    note: Note,
}

impl Marks {
    /// The bookmarks that a reading begins with.
    pub(super) fn load(
        host: &dyn HostView,
        inspection: Option<&str>,
        told: &mut Vec<String>,
    ) -> Result<Self, CollectError> {
        let note = match host.remembered(NOTE)?.map(|bytes| serde_json::from_slice::<Note>(&bytes)) {
            Some(Ok(note)) => note,
            Some(Err(error)) => {
                told.push(format!("the bookmarks are lost ({error}): every log is read as if for the first time"));
                Note::default()
            }
            None => Note::default(),
        };
        let again = inspection.is_some() && note.inspection.as_deref() == inspection;
        let before = if again { note.before } else { note.after };
        let inspection = inspection.map(str::to_owned);
        Ok(Self { note: Note { inspection, after: before.clone(), before } })
    }

    /// Where reading of a log begins.
    pub(super) fn get(&self, log: &str) -> Option<&Mark> {
        self.note.before.get(log)
    }

    /// Where it ended.
    pub(super) fn set(&mut self, log: &str, mark: Mark) {
        self.note.after.insert(log.to_owned(), mark);
    }

    /// Makes them last.
    pub(super) fn keep(&self, host: &dyn HostView) -> Result<(), CollectError> {
        let bytes = serde_json::to_vec(&self.note)
            .map_err(|error| CollectError::Invalid(format!("the bookmarks are no JSON: {error}")))?;
        Ok(host.remember(NOTE, &bytes)?)
    }
}
