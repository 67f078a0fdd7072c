//! The record of what was on the host before kfleet tuned it: one file, written before anything is changed.
//!
//! A former value that is in it is never replaced, whatever is applied later; what kfleet itself set is noted beside it, so
//! that a revert can tell kfleet's values from those that somebody set afterwards.

use crate::host::{Attributes, Content, FileKind, Host, HostError, HostView};
use crate::modules::ModuleError;
use crate::modules::shared::difference::sha256;
use kfleet_tune::Knob;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where it lies.
pub(super) const PATH: &str = "/var/lib/kfleet/os_tune.json";
/// Its folder.
pub(super) const FOLDER: &str = "/var/lib/kfleet";

/// The shape of the file; a later one has another number.
const VERSION: u32 = 1;

/// Files that are kept are configuration: a megabyte is far above them.
const LIMIT: u64 = 1024 * 1024;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) knobs: Vec<KeptKnob>,
    pub(super) files: Vec<KeptFile>,
    /// Folders that were made, the outer one first.
    pub(super) folders: Vec<PathBuf>,
}

/// A knob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptKnob {
    pub(super) item: String,
    pub(super) knob: Knob,
    /// What it showed, to the byte.
    pub(super) former: String,
    /// Everything that kfleet set it to.
    pub(super) set: Vec<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptFile {
    pub(super) path: PathBuf,
    /// As it was; none when it was not there.
    pub(super) former: Option<Former>,
    /// The SHA-256 of everything that kfleet wrote there; none stands for taking it away.
    pub(super) set: Vec<Option<String>>,
    /// Somebody changed it between two writings of kfleet, so putting back what it was would undo that too.
    #[serde(default)]
    pub(super) mixed: bool,
}

impl KeptFile {
    /// The file is as it was before kfleet.
    pub(super) fn is_former(&self, now: Option<&Former>) -> bool {
        self.former.as_ref() == now
    }

    /// The file holds what kfleet wrote.
    pub(super) fn is_ours(&self, now: Option<&Former>) -> bool {
        self.set.contains(&mark(now.map(|now| now.content.as_str())))
    }
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Former {
    pub(super) content: String,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Former {
    /// Reads a file.
    pub(super) fn read(host: &dyn HostView, path: &Path) -> Result<Option<Self>, ModuleError> {
        let Some(stat) = host.stat(path, false)? else { return Ok(None) };
        let odd = |what: &str| ModuleError::Invalid(format!("{} {what}, so it is left alone", path.display()));
        if stat.kind != FileKind::File {
            return Err(odd(&format!("is a {} and no file of its own", stat.kind.word())));
        }
        let bytes = host.read(path, LIMIT)?.unwrap_or_default();
        let content = String::from_utf8(bytes).map_err(|_| odd("holds bytes that are no UTF-8 text"))?;
        Ok(Some(Self { content, mode: stat.mode, uid: stat.uid, gid: stat.gid }))
    }

    pub(super) fn attributes(&self) -> Attributes {
        Attributes { mode: Some(self.mode), uid: Some(self.uid), gid: Some(self.gid) }
    }
}

/// What stands in `set` for a content.
fn mark(content: Option<&str>) -> Option<String> {
    content.map(|content| sha256(content.as_bytes()))
}

impl Record {
    /// Reads it; none when the host was never tuned, or was taken back.
    pub(super) fn load(host: &dyn HostView) -> Result<Option<Self>, ModuleError> {
        let Some(bytes) = host.read(Path::new(PATH), 64 * LIMIT)? else { return Ok(None) };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| {
            ModuleError::Invalid(format!("{PATH}, the record of former values, is broken: {error}"))
        })?;
        if record.version != VERSION {
            let why = format!("{PATH} is of version {}, this agent knows version {VERSION}", record.version);
            return Err(ModuleError::Invalid(why));
        }
        Ok(Some(record))
    }

    /// Puts it on the disk; it is there for good when this returns.
    pub(super) fn save(&mut self, host: &dyn Host) -> Result<(), ModuleError> {
        self.version = VERSION;
        if host.view().stat(Path::new(FOLDER), true)?.is_none() {
            host.make_dir(Path::new(FOLDER), Attributes { mode: Some(0o700), uid: Some(0), gid: Some(0) })?;
        }
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| ModuleError::Invalid(format!("{PATH} can not be made: {error}")))?;
        text.push('\n');
        // Former files may have been readable by root alone, so their copies are.
        let private = Attributes { mode: Some(0o600), uid: Some(0), gid: Some(0) };
        Ok(host.write(Path::new(PATH), Content::Bytes(text.as_bytes()), private)?)
    }

    /// Takes it away, and its folder when nothing else is in it.
    pub(super) fn remove(host: &dyn Host) -> Result<(), HostError> {
        host.remove(Path::new(PATH))?;
        remove_empty(host, Path::new(FOLDER))
    }

    /// Notes a knob that is about to be set.
    pub(super) fn note_knob(&mut self, item: &str, knob: &Knob, former: &str, to: &str) {
        let known = self.knobs.iter().position(|kept| kept.knob == *knob);
        let at = known.unwrap_or_else(|| {
            let (item, knob) = (item.to_owned(), knob.clone());
            self.knobs.push(KeptKnob { item, knob, former: former.to_owned(), set: Vec::new() });
            self.knobs.len() - 1
        });
        let set = &mut self.knobs[at].set;
        if !set.iter().any(|value| value == to) {
            set.push(to.to_owned());
        }
    }

    /// Notes a file that is about to be written.
    pub(super) fn note_file(&mut self, path: &Path, now: Option<&Former>, content: Option<&str>) {
        let known = self.files.iter().position(|kept| kept.path == path);
        let at = known.unwrap_or_else(|| {
            self.files.push(KeptFile { path: path.to_owned(), former: now.cloned(), set: Vec::new(), mixed: false });
            self.files.len() - 1
        });
        let kept = &mut self.files[at];
        kept.mixed |= !kept.is_former(now) && !kept.is_ours(now);
        let mark = mark(content);
        if !kept.set.contains(&mark) {
            kept.set.push(mark);
        }
    }

    /// Notes a folder that is about to be made.
    pub(super) fn note_folder(&mut self, path: &Path) {
        if !self.folders.iter().any(|folder| folder == path) {
            self.folders.push(path.to_owned());
        }
    }
}

/// Removes a folder when nothing is in it.
pub(super) fn remove_empty(host: &dyn Host, path: &Path) -> Result<(), HostError> {
    match host.view().list(path)? {
        Some(names) if names.is_empty() => host.remove(path),
        Some(_) | None => Ok(()),
    }
}
