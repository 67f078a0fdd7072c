//! Managed files taken back to what they were: `file_rollback`.
//!
//! Every file that a task puts in place has versions on its host (`journal/versions.rs`). Going back makes a new
//! version, so nothing is lost by it, and going back can itself be taken back.
//! Not here: restarts (the play's), which versions there are (`kfleet config history`).

use super::shared::paths;
use super::{Applied, Module, ModuleError};
use crate::collect::shown_difference;
use crate::host::{Attributes, Content, Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::version::{FileContent, FileHistory, FileVersion, NoWayBack, Shown};
use kfleet_model::{Change, Map, RunId, Value};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// What is compared is not larger than what is kept as a version.
const LIMIT: u64 = 1024 * 1024;

/// The module.
pub(super) struct FileRollback;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    path: Vec<String>,
    before_run: Option<String>,
    version: Option<i64>,
}

/// What a file shall go back to.
enum Back<'a> {
    Run(&'a RunId),
    Version(u64),
}

/// One file on its way back.
pub(super) struct OnItsWay {
    history: FileHistory,
    to: FileVersion,
    /// What the version holds.
    wanted: Vec<u8>,
    /// What the file holds now, for the difference.
    found: Vec<u8>,
    attributes: Option<Attributes>,
}

impl Params {
    fn paths(&self, host: &dyn HostView) -> Result<Vec<PathBuf>, ModuleError> {
        if self.path.is_empty() {
            return Ok(host.versioned_files()?);
        }
        self.path.iter().map(|path| paths::absolute(host, path)).collect()
    }

    fn run(&self) -> Result<Option<RunId>, ModuleError> {
        let invalid = |error: kfleet_model::ids::NameError| ModuleError::Invalid(format!("before_run: {error}"));
        self.before_run.as_deref().map(RunId::new).transpose().map_err(invalid)
    }

    fn back<'a>(&self, run: Option<&'a RunId>) -> Result<Back<'a>, ModuleError> {
        match (run, self.version) {
            (Some(run), None) => Ok(Back::Run(run)),
            (None, Some(version)) if self.path.len() == 1 => u64::try_from(version)
                .map(Back::Version)
                .map_err(|_| ModuleError::Invalid(format!("version must be at least 1, not {version}"))),
            (None, Some(_)) => Err(ModuleError::Invalid("version goes with one path".to_owned())),
            (Some(_), Some(_)) => Err(ModuleError::Invalid("before_run and version exclude each other".to_owned())),
            (None, None) => Err(ModuleError::Invalid("one of before_run and version must be given".to_owned())),
        }
    }
}

/// The version to go back to; none when the file has nothing to do with it.
fn target<'a>(history: &'a FileHistory, back: &Back<'_>) -> Result<Option<&'a FileVersion>, NoWayBack> {
    match back {
        Back::Run(run) => history.before_run(run),
        Back::Version(number) => history.version(*number).map(Some),
    }
}

impl OnItsWay {
    fn at(host: &dyn HostView, history: FileHistory, to: FileVersion) -> Result<Self, ModuleError> {
        let wanted = host.read_version(&history.path, &to)?;
        let stat = host.stat(&history.path, false)?;
        let found = match &history.now {
            FileContent::Kept { .. } => host.read(&history.path, LIMIT)?.unwrap_or_default(),
            FileContent::Absent | FileContent::TooLarge { .. } | FileContent::NoFile => Vec::new(),
        };
        let attributes =
            stat.map(|stat| Attributes { mode: Some(stat.mode), uid: Some(stat.uid), gid: Some(stat.gid) });
        Ok(Self { history, to, wanted, found, attributes })
    }

    fn object(&self) -> String {
        self.history.path.display().to_string()
    }

    fn changes(&self, changes: &mut Vec<Change>) {
        let FileContent::Kept { mode, uid, gid, .. } = &self.to.content else {
            if self.history.now != FileContent::Absent {
                changes.push(Change::new(self.object(), "state", "file", "absent"));
            }
            return;
        };
        if !self.to.content.same_as(&self.history.now) {
            changes.push(self.content_change());
        }
        let found = self.attributes.unwrap_or_default();
        let octal = |mode: u32| format!("{mode:04o}");
        // A file that is made anew gets all of them with its content.
        if self.history.now == FileContent::Absent {
            return;
        }
        for (property, from, to) in [
            ("mode", found.mode.map(octal), octal(*mode)),
            ("owner", found.uid.map(|id| id.to_string()), uid.to_string()),
            ("group", found.gid.map(|id| id.to_string()), gid.to_string()),
        ] {
            if from.as_ref() != Some(&to) {
                changes.push(Change::new(self.object(), property, from.map_or(Value::Null, Value::from), to));
            }
        }
    }

    fn content_change(&self) -> Change {
        let hash = |content: &FileContent| match content {
            FileContent::Kept { sha256, .. } => Value::from(format!("sha256:{sha256}")),
            FileContent::Absent => Value::Null,
            FileContent::TooLarge { bytes } => Value::from(format!("{bytes} bytes")),
            FileContent::NoFile => Value::from("no file"),
        };
        let change = Change::new(self.object(), "content", hash(&self.history.now), hash(&self.to.content));
        let secret = self.to.secret || self.history.versions.last().is_some_and(|last| last.secret);
        match shown_difference(&self.history.path, &self.found, &self.wanted, secret) {
            Shown::Text(text) => change.with_diff(text),
            Shown::Same | Shown::OnlySecrets | Shown::Hidden | Shown::NoText => change,
        }
    }
}

impl Module for FileRollback {
    type Params = Params;
    type State = Vec<OnItsWay>;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "file_rollback".into(),
            summary: "Takes managed files back to what they were before a run, or to one of their versions".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: vec![
                param("path", ParamKind::List, "Which files; all that kfleet manages on the host by default."),
                param(
                    "before_run",
                    ParamKind::Str,
                    "The run whose changes, and those after it, are taken back. Files that it did not change stay.",
                ),
                param("version", ParamKind::Int, "The version that the one path goes back to."),
            ],
            returns: vec![returns(
                "files",
                "each file's path, the version that it goes back to, and the runs whose changes that takes back",
            )],
            examples: include_str!("examples/file_rollback.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Vec<OnItsWay>, ModuleError> {
        let run = params.run()?;
        let back = params.back(run.as_ref())?;
        let mut files = Vec::new();
        for path in params.paths(host)? {
            let Some(history) = host.file_history(&path)? else {
                if params.path.is_empty() {
                    continue;
                }
                return Err(ModuleError::Invalid(format!("{} has no versions: no task ever wrote it", path.display())));
            };
            let to = target(&history, &back);
            let to = to.map_err(|error| ModuleError::Invalid(format!("{}: {error}", path.display())))?.cloned();
            files.extend(to.map(|to| OnItsWay::at(host, history, to)).transpose()?);
        }
        Ok(files)
    }

    fn diff(&self, _params: &Params, state: &Vec<OnItsWay>) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        for file in state {
            file.changes(&mut changes);
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        _params: &Params,
        state: &Vec<OnItsWay>,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        for file in state {
            let object = file.object();
            let path: &Path = &file.history.path;
            let of_file = || changes.iter().filter(|change| change.object == object);
            if of_file().next().is_none() {
                continue;
            }
            let FileContent::Kept { mode, uid, gid, .. } = &file.to.content else {
                host.remove(path)?;
                continue;
            };
            let attributes = Attributes { mode: Some(*mode), uid: Some(*uid), gid: Some(*gid) };
            if of_file().any(|change| change.property == "content") {
                if let Some(parent) = path.parent().filter(|_| file.history.now == FileContent::Absent) {
                    host.make_dir(parent, Attributes::default())?;
                }
                host.write(path, Content::Bytes(&file.wanted), attributes)?;
            } else {
                host.set_attributes(path, attributes, false)?;
            }
        }
        Ok(Applied::new())
    }

    fn found(&self, _params: &Params, state: &Vec<OnItsWay>) -> Map {
        let told = |file: &OnItsWay| {
            let undone = file.history.versions.iter().filter(|version| version.number > file.to.number);
            let mut runs: Vec<&str> = undone.filter_map(|version| version.author.run()).map(RunId::as_str).collect();
            runs.dedup();
            json!({"path": file.object(), "version": file.to.number, "undone_runs": runs})
        };
        Map::from_iter([("files".to_owned(), state.iter().map(told).collect())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{FakeHost, Spec, author};
    use crate::modules::{AnyModule, Call};
    use kfleet_model::TaskResult;

    const PATH: &str = "/etc/kafka/server.properties";
    const OTHER: &str = "/etc/kafka/log4j.properties";

    fn write(host: &FakeHost, run: &str, path: &str, text: &str, mode: u32) {
        host.written_by(author(run));
        let attributes = Attributes { mode: Some(mode), ..Attributes::default() };
        host.write(Path::new(path), Content::Bytes(text.as_bytes()), attributes).unwrap();
    }

    fn host() -> FakeHost {
        let host = FakeHost::new(&Spec::default());
        host.make_dir(Path::new("/etc/kafka"), Attributes::default()).unwrap();
        write(&host, "one", PATH, "a=1\n", 0o644);
        write(&host, "two", PATH, "a=2\n", 0o600);
        write(&host, "two", OTHER, "root=INFO\n", 0o644);
        write(&host, "three", PATH, "a=3\n", 0o600);
        host
    }

    fn run(host: &FakeHost, params: Value, check: bool) -> Result<TaskResult, ModuleError> {
        let params = Module::doc(&FileRollback).normalise(params.as_object().unwrap(), |_| false).unwrap();
        FileRollback.run(host, Call { params: &params, check, diff: true }, &mut |_| Ok(()))
    }

    fn text(host: &FakeHost, path: &str) -> Option<(String, String)> {
        let file = host.files().remove(Path::new(path))?;
        Some((file.content?, file.mode?))
    }

    #[test]
    fn files_go_back_to_what_they_were_before_a_run_with_their_modes_and_once() {
        let host = host();
        let foreseen = run(&host, json!({"before_run": "two"}), true).unwrap();
        assert_eq!(text(&host, PATH).unwrap().0, "a=3\n", "check mode changed it");
        let done = run(&host, json!({"before_run": "two"}), false).unwrap();
        assert_eq!(foreseen.changes, done.changes);
        assert!(done.changes[1].diff.as_deref().is_some_and(|diff| diff.contains("-a=3\n+a=1")), "{:?}", done.changes);
        assert_eq!(text(&host, PATH), Some(("a=1\n".to_owned(), "0644".to_owned())));
        assert_eq!(text(&host, OTHER), None, "the run made it");
        assert_eq!(done.data["files"][1]["undone_runs"], json!(["two", "three"]));
        assert!(!run(&host, json!({"before_run": "two"}), false).unwrap().changed, "a second time changes something");
        assert!(!run(&host, json!({"before_run": "never"}), false).unwrap().changed, "that run changed nothing here");
    }

    #[test]
    fn one_file_goes_back_to_a_version_and_forward_again() {
        let host = host();
        for (version, wanted) in [(2, "a=1\n"), (4, "a=3\n"), (3, "a=2\n")] {
            let params = json!({"path": [PATH], "version": version});
            assert!(run(&host, params.clone(), false).unwrap().changed);
            assert_eq!(text(&host, PATH).unwrap().0, wanted);
            assert!(!run(&host, params, false).unwrap().changed);
        }
        assert!(run(&host, json!({"path": [PATH], "version": 1}), false).unwrap().changed);
        assert_eq!(text(&host, PATH), None, "there was none before kfleet");
    }

    #[test]
    fn what_can_not_be_is_said_and_nothing_is_changed() {
        let host = host();
        let before = host.files();
        for (params, wanted) in [
            (json!({}), "one of before_run and version must be given"),
            (json!({"version": 1}), "version goes with one path"),
            (json!({"path": [PATH, OTHER], "version": 1}), "version goes with one path"),
            (json!({"path": [PATH], "version": 0}), "is not kept, only 1 to 4"),
            (json!({"path": [PATH], "version": -1}), "at least 1"),
            (json!({"path": [PATH], "version": 1, "before_run": "two"}), "exclude each other"),
            (json!({"path": ["/etc/passwd"], "version": 1}), "no task ever wrote it"),
            (json!({"before_run": "a b"}), "before_run: "),
        ] {
            let error = run(&host, params.clone(), false).unwrap_err().to_string();
            assert!(error.contains(wanted), "{params}: {error}");
        }
        assert_eq!(host.files(), before);
    }
}
