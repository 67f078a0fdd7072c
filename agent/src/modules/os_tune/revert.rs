//! Taking a host back to what it was before kfleet tuned it, by the record.
//!
//! Only what kfleet set is put back: a value or file that somebody changed afterwards is told and left, and stays in the
//! record, unless `force` is given.

use super::knobs;
use super::record::{self, Former, KeptFile, KeptKnob, Record};
use crate::host::{Content, Host, HostView};
use crate::modules::ModuleError;
use kfleet_model::{Change, Map, Value};
use kfleet_tune::kernel;

/// What has to be done with one entry of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is as it was.
    Done,
    /// It is as kfleet set it.
    Restore,
    /// It is neither.
    Left,
    /// It is not there any more.
    Gone,
}

/// A knob of the record and what it shows now.
struct Knob {
    kept: KeptKnob,
    now: Option<String>,
    step: Step,
}

/// A file of the record and what it is now.
struct File {
    kept: KeptFile,
    now: Option<Former>,
    step: Step,
}

/// What a revert would do; empty when there is no record.
#[derive(Default)]
pub(in crate::modules) struct Revert {
    record: Option<Record>,
    knobs: Vec<Knob>,
    files: Vec<File>,
}

impl Revert {
    /// Looks at everything that the record names.
    pub(super) fn look(host: &dyn HostView, force: bool) -> Result<Self, ModuleError> {
        let Some(record) = Record::load(host)? else { return Ok(Self::default()) };
        let mut revert = Self { record: Some(record.clone()), ..Self::default() };
        for kept in record.knobs {
            let now = knobs::read(host, &kept.knob)?.text;
            let step = of_knob(&kept, now.as_deref(), force);
            revert.knobs.push(Knob { kept, now, step });
        }
        for kept in record.files {
            let now = Former::read(host, &kept.path)?;
            let step = of_file(&kept, now.as_ref(), force);
            revert.files.push(File { kept, now, step });
        }
        Ok(revert)
    }

    /// The record as it is when all is done; none when nothing is left in it.
    fn left(&self) -> Option<Record> {
        let knobs: Vec<_> = self.knobs.iter().filter(|knob| knob.step == Step::Left).map(|k| k.kept.clone()).collect();
        let files: Vec<_> = self.files.iter().filter(|file| file.step == Step::Left).map(|f| f.kept.clone()).collect();
        if knobs.is_empty() && files.is_empty() {
            return None;
        }
        self.record.clone().map(|record| Record { knobs, files, ..record })
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for knob in self.knobs.iter().filter(|knob| knob.step == Step::Restore) {
            let now = knob.now.as_deref().map(kernel::value);
            changes.push(Change::new(&knob.kept.item, "live", now, kernel::value(&knob.kept.former)));
        }
        for file in self.files.iter().filter(|file| file.step == Step::Restore) {
            let word = |there: bool| if there { "as kfleet wrote it" } else { "absent" };
            let to = if file.kept.former.is_some() { "as it was" } else { "absent" };
            let path = file.kept.path.display().to_string();
            changes.push(Change::new(path, "content", word(file.now.is_some()), to));
        }
        let left = self.left();
        if self.record.is_some() && left.is_none() {
            changes.push(Change::new(record::PATH, "state", "present", "absent"));
        } else if left != self.record {
            changes.push(Change::new(record::PATH, "content", "all that was tuned", "what is left of it"));
        }
        changes
    }

    /// What people should know.
    pub(super) fn warnings(&self) -> Vec<Value> {
        let told = |what: &str, now: &str| {
            format!(
                "{what} is left as it is ({now}): somebody changed it after kfleet did; force puts it back all the same"
            )
        };
        let mut warnings = Vec::new();
        for knob in &self.knobs {
            match knob.step {
                Step::Left => {
                    let now = knob.now.as_deref().map(kernel::value).unwrap_or_default();
                    warnings.push(told(&knob.kept.item, &now).into());
                }
                Step::Gone => warnings.push(format!("{} is not on this host any more", knob.kept.item).into()),
                Step::Done | Step::Restore => {}
            }
        }
        for file in self.files.iter().filter(|file| file.step == Step::Left) {
            let now = if file.now.is_some() { "another content" } else { "absent" };
            warnings.push(told(&file.kept.path.display().to_string(), now).into());
        }
        warnings
    }

    /// For the result: every entry, what it is and what it was.
    pub(super) fn items(&self) -> Vec<Value> {
        let word = |step: Step| match step {
            Step::Done => "done",
            Step::Restore => "reverts",
            Step::Left => "left",
            Step::Gone => "not_here",
        };
        let knobs = self.knobs.iter().map(|knob| {
            let now = knob.now.as_deref().map(kernel::value);
            let to = kernel::value(&knob.kept.former);
            serde_json::json!({"id": knob.kept.item, "status": word(knob.step), "now": now, "to": to})
        });
        let files = self.files.iter().map(|file| {
            let to = if file.kept.former.is_some() { "as it was" } else { "absent" };
            let now = if file.now.is_some() { "there" } else { "absent" };
            serde_json::json!({"id": file.kept.path, "status": word(file.step), "now": now, "to": to})
        });
        knobs.chain(files).collect()
    }

    /// Does it, the last thing that was set first.
    pub(super) fn apply(&self, host: &dyn Host) -> Result<Map, ModuleError> {
        for file in self.files.iter().rev().filter(|file| file.step == Step::Restore) {
            match &file.kept.former {
                None => host.remove(&file.kept.path)?,
                Some(former) => {
                    host.write(&file.kept.path, Content::Bytes(former.content.as_bytes()), former.attributes())?;
                }
            }
        }
        for knob in self.knobs.iter().rev().filter(|knob| knob.step == Step::Restore) {
            let former = kernel::rewritten(&knob.kept.former);
            knobs::set(host, &knob.kept.knob, &former)
                .map_err(|error| super::named(&knob.kept.item, &former, &error))?;
        }
        if self.files.iter().any(|file| super::is_of_unit(&file.kept.path) && file.step == Step::Restore) {
            host.daemon_reload()?;
        }
        self.close(host)?;
        Ok(Map::new())
    }

    /// Folders that kfleet made and nobody uses, and at last the record.
    fn close(&self, host: &dyn Host) -> Result<(), ModuleError> {
        for folder in self.record.iter().flat_map(|record| record.folders.iter().rev()) {
            record::remove_empty(host, folder)?;
        }
        match self.left() {
            None => Ok(Record::remove(host)?),
            Some(mut left) => left.save(host),
        }
    }
}

fn of_knob(kept: &KeptKnob, now: Option<&str>, force: bool) -> Step {
    let Some(now) = now.map(kernel::value) else { return Step::Gone };
    let ours = kept.set.iter().any(|value| kernel::value(value) == now);
    match (now == kernel::value(&kept.former), ours || force) {
        (true, _) => Step::Done,
        (false, true) => Step::Restore,
        (false, false) => Step::Left,
    }
}

fn of_file(kept: &KeptFile, now: Option<&Former>, force: bool) -> Step {
    match (kept.is_former(now), (kept.is_ours(now) && !kept.mixed) || force) {
        (true, _) => Step::Done,
        (false, true) => Step::Restore,
        (false, false) => Step::Left,
    }
}
