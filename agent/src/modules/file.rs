//! Files, directories and links: there, gone, pointing where they should, with their owner and mode.
//!
//! Not here: the content of files (`copy`, `template`, `lineinfile`, ...).

use super::shared::attributes::{self, Asked, Found};
use super::shared::params::yes;
use super::shared::paths;
use super::{Applied, Module, ModuleError};
use crate::host::{Attributes, Content, FileKind, FileStat, Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The module.
pub(super) struct File;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: String,
    state: Option<State>,
    src: Option<String>,
    #[serde(default)]
    recurse: bool,
    #[serde(default)]
    force: bool,
    #[serde(default = "yes")]
    follow: bool,
    modification_time: Option<Time>,
    access_time: Option<Time>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    File,
    Directory,
    Link,
    Hard,
    Touch,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Time {
    Now,
    Preserve,
}

impl Params {
    fn asked(&self) -> Asked<'_> {
        Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() }
    }

    /// Without `state` a path stays what it is.
    fn state(&self, present: Option<&FileStat>) -> State {
        match (self.state, present.map(|stat| stat.kind)) {
            (Some(state), _) => state,
            (None, _) if self.recurse => State::Directory,
            (None, Some(FileKind::Directory)) => State::Directory,
            (None, Some(FileKind::Link)) if self.src.is_some() || !self.follow => State::Link,
            (None, _) => State::File,
        }
    }

    fn src(&self) -> Result<&Path, ModuleError> {
        self.src.as_deref().map(Path::new).ok_or_else(|| ModuleError::Invalid("src is needed for a link".to_owned()))
    }

    fn touches(&self) -> bool {
        !(self.modification_time == Some(Time::Preserve) && self.access_time == Some(Time::Preserve))
    }
}

/// What was found.
pub(super) struct Seen {
    path: PathBuf,
    wanted: State,
    /// The path itself, a link not followed.
    own: Option<FileStat>,
    /// What owner and mode are about: behind the link where links are followed.
    found: Found,
    /// What `src` leads to.
    source: Option<FileStat>,
    /// A directory without anything in it.
    empty: bool,
    /// Parents that have to be made first, the uppermost first.
    missing: Vec<PathBuf>,
    /// Everything below, for `recurse`.
    below: Vec<(PathBuf, Found)>,
}

impl Seen {
    fn refuse<T>(&self, what: &str) -> Result<T, ModuleError> {
        Err(ModuleError::Invalid(format!("{} {what}", self.path.display())))
    }

    fn word(&self) -> &'static str {
        self.own.as_ref().map_or("absent", |stat| stat.kind.word())
    }

    fn state_change(&self, to: &str) -> Change {
        Change::new(self.path.display().to_string(), "state", self.word(), to)
    }

    /// What is behind the path when links are followed, else the path itself.
    fn kind(&self) -> Option<FileKind> {
        self.found.stat.as_ref().or(self.own.as_ref()).map(|stat| stat.kind)
    }
}

impl Module for File {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        let mut params = vec![
            param("path", ParamKind::Path, "The path.").required().aliases(&["dest", "name"]),
            param(
                "state",
                ParamKind::Str,
                "What it shall be. `file` makes nothing: it must be there; `touch` makes an empty file or sets the \
                 times to now; `absent` removes a whole directory too. Without it a path stays what it is.",
            )
            .choices(&["absent", "directory", "file", "hard", "link", "touch"]),
            param("src", ParamKind::Path, "What a link points at. A relative one is kept as it is."),
            param("recurse", ParamKind::Bool, "Set owner, group and mode of everything in the directory too.")
                .default("false"),
            param(
                "force",
                ParamKind::Bool,
                "Make a link whose src is missing, or where a file or an empty directory is.",
            )
            .default("false"),
            param("follow", ParamKind::Bool, "Set owner and mode of what a link points at, not of the link.")
                .default("true"),
            param("modification_time", ParamKind::Str, "For touch: set it to now, or leave it.")
                .choices(&["now", "preserve"])
                .default("now"),
            param("access_time", ParamKind::Str, "For touch: set it to now, or leave it.")
                .choices(&["now", "preserve"])
                .default("now"),
        ];
        params.extend(attributes::params());
        ModuleDoc {
            name: "file".into(),
            summary: "Keeps files, directories and links with their owner and mode".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("path", "the path; `dest` for links and touch"),
                returns("state", "what is there: file, directory, link, hard, absent"),
                returns("mode", "the permissions, octal"),
                returns("owner", "the owner's name, with `uid`; `group` and `gid` likewise"),
                returns("size", "bytes"),
                returns("src", "what a link points at"),
            ],
            examples: include_str!("examples/file.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        let path = paths::absolute(host, &params.path)?;
        let own = host.stat(&path, false)?;
        let wanted = params.state(own.as_ref());
        if params.recurse && wanted != State::Directory {
            return Err(ModuleError::Invalid("recurse is for directories".to_owned()));
        }
        let behind = match &own {
            Some(stat) if stat.kind == FileKind::Link && params.follow => host.stat(&path, true)?,
            own => own.clone(),
        };
        let source = match &params.src {
            Some(src) => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                host.stat(&folder.join(paths::expand(host, src)?), true)?
            }
            None => None,
        };
        let is_directory = behind.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory);
        let empty = is_directory && host.list(&path)?.unwrap_or_default().is_empty();
        let mut seen = Seen {
            found: params.asked().look(host, behind)?,
            missing: missing_parents(host, &path)?,
            path,
            wanted,
            own,
            source,
            empty,
            below: Vec::new(),
        };
        if params.recurse && is_directory {
            let top = seen.path.clone();
            walk(host, &top, params.asked(), &mut seen.below)?;
        }
        Ok(seen)
    }

    fn diff(&self, params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        match state.wanted {
            State::Absent => {
                if state.own.is_some() {
                    changes.push(state.state_change("absent"));
                }
                return Ok(changes);
            }
            State::File => match state.kind() {
                None => return state.refuse("is absent; state=touch, copy or template would make it"),
                Some(FileKind::Directory) => return state.refuse("is a directory, not a file"),
                Some(_) => {}
            },
            State::Directory => match state.kind() {
                None if state.own.is_some() => return state.refuse("is a link that leads nowhere, not a directory"),
                None => changes.push(state.state_change("directory")),
                Some(FileKind::Directory) => {}
                Some(kind) => return state.refuse(&format!("is a {}, not a directory", kind.word())),
            },
            State::Touch => match state.kind() {
                None => changes.push(state.state_change("file")),
                Some(_) if params.touches() => {
                    changes.push(Change::new(state.path.display().to_string(), "mtime", "earlier", "now"));
                }
                Some(_) => {}
            },
            State::Link => link(params, state, &mut changes)?,
            State::Hard => hard(params, state, &mut changes)?,
        }
        let asked = params.asked();
        let directory = state.wanted == State::Directory;
        // A link that leads nowhere has no mode, and nothing behind it to own.
        if state.wanted != State::Link || state.found.stat.is_some() || state.source.is_some() {
            asked.differs(&state.path, &state.found, directory, &mut changes)?;
        }
        for (path, found) in &state.below {
            let directory = found.stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory);
            asked.differs(path, found, directory, &mut changes)?;
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Seen,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let directory = state.wanted == State::Directory;
        let numbers = params.asked().numbers(&state.found, directory)?;
        let path = &state.path;
        let makes = changes.iter().any(|change| matches!(change.property.as_str(), "state" | "src"));
        match state.wanted {
            State::Absent => {
                host.remove(path)?;
                return Ok(Applied::new());
            }
            State::Directory if makes => {
                for parent in &state.missing {
                    host.make_dir(parent, numbers)?;
                }
                host.make_dir(path, numbers)?;
            }
            State::Touch if makes => host.write(path, Content::Bytes(b""), numbers)?,
            State::Touch if params.touches() => host.touch(path)?,
            State::Link | State::Hard if makes => {
                if state.own.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory) {
                    host.remove(path)?;
                }
                if state.wanted == State::Link {
                    host.symlink(params.src()?, path)?;
                } else {
                    host.hard_link(&paths::absolute(host.view(), &params.src()?.to_string_lossy())?, path)?;
                }
            }
            State::File | State::Directory | State::Touch | State::Link | State::Hard => {}
        }
        self.set_attributes(host, params, state, changes, numbers)
    }

    fn found(&self, params: &Params, state: &Seen) -> Map {
        let mut data = Map::new();
        let key = match state.wanted {
            State::Link | State::Hard | State::Touch => "dest",
            State::File | State::Directory | State::Absent => "path",
        };
        data.insert(key.into(), state.path.display().to_string().into());
        if let (State::Link | State::Hard, Some(src)) = (state.wanted, &params.src) {
            data.insert("src".into(), Value::String(src.clone()));
        }
        state.found.describe(&mut data);
        if let Some(own) = &state.own
            && own.kind == FileKind::Link
            && state.wanted == State::Link
        {
            data.insert("state".into(), "link".into());
        }
        data
    }

    /// Touching again would set the times again.
    fn proves(&self, params: &Params) -> bool {
        params.state != Some(State::Touch)
    }
}

impl File {
    fn set_attributes(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Seen,
        changes: &[Change],
        numbers: Attributes,
    ) -> Result<Applied, ModuleError> {
        let touched = |path: &Path| {
            let object = path.display().to_string();
            changes.iter().any(|c| c.object == object && matches!(c.property.as_str(), "owner" | "group" | "mode"))
        };
        let behind = state.wanted != State::Link || state.found.stat.is_some() || state.source.is_some();
        if behind && touched(&state.path) {
            host.set_attributes(&state.path, numbers, params.follow)?;
        }
        for (path, found) in state.below.iter().filter(|(path, _)| touched(path)) {
            let directory = found.stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory);
            host.set_attributes(path, params.asked().numbers(found, directory)?, false)?;
        }
        Ok(Applied::new())
    }
}

fn link(params: &Params, state: &Seen, changes: &mut Vec<Change>) -> Result<(), ModuleError> {
    let object = state.path.display().to_string();
    let Some(src) = &params.src else {
        return match &state.own {
            Some(own) if own.kind == FileKind::Link => Ok(()),
            _ => state.refuse("is no link, and src does not say where it shall point"),
        };
    };
    if state.source.is_none() && !params.force {
        return state
            .refuse(&format!("would point at {src}, which does not exist (force: true makes it nevertheless)"));
    }
    match &state.own {
        None => changes.push(state.state_change("link")),
        Some(own) if own.kind == FileKind::Link => {
            let now = own.target.clone().unwrap_or_default();
            if now != Path::new(src) {
                changes.push(Change::new(object, "src", now.display().to_string(), src.as_str()));
            }
        }
        Some(own) if own.kind == FileKind::Directory && !(params.force && state.empty) => {
            return state.refuse("is a directory; force: true replaces it by a link only when it is empty");
        }
        Some(_) if !params.force => return state.refuse("is a file; force: true would replace it by a link"),
        Some(_) => changes.push(state.state_change("link")),
    }
    Ok(())
}

fn hard(params: &Params, state: &Seen, changes: &mut Vec<Change>) -> Result<(), ModuleError> {
    let src = params.src()?;
    let Some(source) = &state.source else {
        return state.refuse(&format!("can not become a hard link to {}, which does not exist", src.display()));
    };
    match &state.own {
        None => changes.push(state.state_change("hard")),
        Some(own) if (own.device, own.inode) == (source.device, source.inode) => {}
        Some(own) if own.kind == FileKind::Directory => {
            return state.refuse("is a directory; it can not become a hard link");
        }
        Some(_) if !params.force => {
            return state.refuse("is another file; force: true would replace it by a hard link");
        }
        Some(_) => changes.push(state.state_change("hard")),
    }
    Ok(())
}

fn missing_parents(host: &dyn HostView, path: &Path) -> Result<Vec<PathBuf>, ModuleError> {
    let mut missing = Vec::new();
    for parent in path.ancestors().skip(1) {
        if host.stat(parent, true)?.is_some() {
            break;
        }
        missing.insert(0, parent.to_owned());
    }
    Ok(missing)
}

/// Everything in a directory; links are looked at and never followed.
fn walk(
    host: &dyn HostView,
    folder: &Path,
    asked: Asked<'_>,
    into: &mut Vec<(PathBuf, Found)>,
) -> Result<(), ModuleError> {
    for name in host.list(folder)?.unwrap_or_default() {
        let path = folder.join(name);
        let stat = host.stat(&path, false)?;
        let directory = stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Directory);
        into.push((path.clone(), asked.look(host, stat)?));
        if directory {
            walk(host, &path, asked, into)?;
        }
    }
    Ok(())
}
