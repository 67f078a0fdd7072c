//! One line of a text file: there, gone, or in another wording.
//!
//! With `regexp` or `search_string` the last line that matches is replaced; else a line that is already there as it
//! should be is left; else the line is inserted where `insertafter` or `insertbefore` say.
//! Not here: several lines (`blockinfile`), every match (`replace`).

use super::shared::attributes::Asked;
use super::shared::edit::{self, Options, Target, bare, lines};
use super::shared::pattern::{self, Pattern};
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;

/// The module.
pub(super) struct LineInFile;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: String,
    line: Option<String>,
    regexp: Option<String>,
    search_string: Option<String>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    backrefs: bool,
    insertafter: Option<String>,
    insertbefore: Option<String>,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    firstmatch: bool,
    #[serde(default)]
    backup: bool,
    validate: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Present,
    Absent,
}

impl Params {
    fn options(&self) -> Options<'_> {
        let asked = Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() };
        Options { asked, backup: self.backup, validate: self.validate.as_deref() }
    }

    fn check(&self) -> Result<(), ModuleError> {
        let fail = |text: &str| Err(ModuleError::Invalid(text.to_owned()));
        match self.state {
            State::Present if self.line.is_none() => return fail("line is needed with state=present"),
            State::Present if self.backrefs && self.regexp.is_none() => return fail("backrefs needs regexp"),
            State::Absent if self.line.is_none() && self.regexp.is_none() && self.search_string.is_none() => {
                return fail("state=absent needs one of line, regexp and search_string");
            }
            State::Present | State::Absent => {}
        }
        if self.regexp.is_some() && self.search_string.is_some() {
            return fail("regexp and search_string exclude each other");
        }
        if self.insertafter.is_some() && self.insertbefore.is_some() {
            return fail("insertafter and insertbefore exclude each other");
        }
        Ok(())
    }

    /// What the file shall hold; none when there is no file and none is wanted.
    fn wanted(&self, content: Option<&[u8]>) -> Result<Edit, ModuleError> {
        let text = content.unwrap_or_default();
        match (self.state, content) {
            (State::Absent, None) => Ok(Edit { text: None, msg: "file not present".to_owned(), removed: Some(0) }),
            (State::Absent, Some(_)) => self.without(text),
            (State::Present, None) if !self.create => {
                Err(ModuleError::Invalid(format!("{} does not exist (create: true would make it)", self.path)))
            }
            (State::Present, _) => self.with(text),
        }
    }

    fn without(&self, text: &[u8]) -> Result<Edit, ModuleError> {
        let finder = Finder::new(self)?;
        let line = self.line.as_deref().unwrap_or_default().as_bytes();
        let (mut kept, mut removed) = (Vec::with_capacity(text.len()), 0);
        for candidate in lines(text) {
            let goes = match &finder {
                Finder::None => bare(candidate) == line,
                finder @ (Finder::Pattern(_) | Finder::Text(_)) => finder.finds(candidate)?,
            };
            if goes {
                removed += 1;
            } else {
                kept.extend_from_slice(candidate);
            }
        }
        let msg = if removed == 0 { String::new() } else { format!("{removed} line(s) removed") };
        Ok(Edit { text: Some(kept), msg, removed: Some(removed) })
    }

    fn with(&self, text: &[u8]) -> Result<Edit, ModuleError> {
        let finder = Finder::new(self)?;
        let line = self.line.as_deref().unwrap_or_default();
        let mut all: Vec<Vec<u8>> = lines(text).into_iter().map(<[u8]>::to_vec).collect();
        let matched = self.pick(&all, &finder)?;
        let same = all.iter().rposition(|candidate| bare(candidate) == bare(line.as_bytes()));
        let msg = if let Some(n) = matched.or(same) {
            let new = match (&finder, matched, self.backrefs) {
                (Finder::Pattern(pattern), Some(n), true) => expanded(pattern, line, &all[n])?,
                _ => line.as_bytes().to_vec(),
            };
            let old = std::mem::replace(&mut all[n], ended(new));
            if all[n] == old { "" } else { "line replaced" }
        } else if self.backrefs {
            // Without a match there is nothing to fill the references with.
            ""
        } else {
            let at = self.place(&all)?;
            all.insert(at, ended(line.as_bytes().to_vec()));
            "line added"
        };
        let text = edit::join(all.iter().map(Vec::as_slice));
        Ok(Edit { text: Some(text), msg: msg.to_owned(), removed: None })
    }

    /// The line that is meant of those that are found: the last one, or the first.
    fn pick(&self, all: &[Vec<u8>], finder: &Finder<'_>) -> Result<Option<usize>, ModuleError> {
        let mut picked = None;
        for (n, candidate) in all.iter().enumerate() {
            if finder.finds(candidate)? {
                picked = Some(n);
                if self.firstmatch {
                    break;
                }
            }
        }
        Ok(picked)
    }

    /// Where a new line goes.
    fn place(&self, all: &[Vec<u8>]) -> Result<usize, ModuleError> {
        let (key, anchor, offset) = match (&self.insertafter, &self.insertbefore) {
            (Some(anchor), _) => ("insertafter", anchor.as_str(), 1),
            (None, Some(anchor)) => ("insertbefore", anchor.as_str(), 0),
            (None, None) => return Ok(all.len()),
        };
        match anchor {
            "BOF" => Ok(0),
            "EOF" => Ok(all.len()),
            anchor => {
                let anchor = Finder::Pattern(Pattern::new(key, anchor, false)?);
                Ok(self.pick(all, &anchor)?.map_or(all.len(), |n| n + offset))
            }
        }
    }
}

/// A line with its ending.
fn ended(mut line: Vec<u8>) -> Vec<u8> {
    if !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    line
}

/// What makes a line the one that is meant.
enum Finder<'a> {
    None,
    Pattern(Pattern),
    Text(&'a [u8]),
}

impl<'a> Finder<'a> {
    fn new(params: &'a Params) -> Result<Self, ModuleError> {
        Ok(match (&params.regexp, &params.search_string) {
            (Some(regexp), _) => Self::Pattern(Pattern::new("regexp", regexp, false)?),
            (None, Some(text)) => Self::Text(text.as_bytes()),
            (None, None) => Self::None,
        })
    }

    fn finds(&self, line: &[u8]) -> Result<bool, ModuleError> {
        match self {
            Self::None => Ok(false),
            Self::Pattern(pattern) => pattern.is_match(bare(line)),
            Self::Text(text) => Ok(text.is_empty() || line.windows(text.len()).any(|part| part == *text)),
        }
    }
}

fn expanded(pattern: &Pattern, template: &str, line: &[u8]) -> Result<Vec<u8>, ModuleError> {
    let mut new = Vec::new();
    if let Some(captures) = pattern.captures(bare(line))? {
        pattern::expand(template, &captures, &mut new)?;
    }
    Ok(new)
}

/// The outcome of an edit.
struct Edit {
    text: Option<Vec<u8>>,
    msg: String,
    removed: Option<usize>,
}

impl Module for LineInFile {
    type Params = Params;
    type State = Target;

    fn doc(&self) -> ModuleDoc {
        let mut params = edit::params();
        params.extend([
            param("line", ParamKind::Str, "The line. Needed with state=present.").aliases(&["value"]),
            param(
                "regexp",
                ParamKind::Str,
                "A pattern (Python's dialect): the last line that it finds is replaced, or with \
                 state=absent all that it finds are removed.",
            )
            .aliases(&["regex"]),
            param("search_string", ParamKind::Str, "As regexp, with a text that is taken as it is."),
            param("state", ParamKind::Str, "Whether the line is there.")
                .choices(&["present", "absent"])
                .default("present"),
            param(
                "backrefs",
                ParamKind::Bool,
                "Fill \\1, \\g<name> in line from what regexp found; nothing is done when it finds nothing.",
            )
            .aliases(&["backref"])
            .default("false"),
            param(
                "insertafter",
                ParamKind::Str,
                "Insert a new line after the last line that this pattern finds; EOF and BOF are end and beginning. \
                 The end when it finds nothing.",
            )
            .default("EOF"),
            param("insertbefore", ParamKind::Str, "As insertafter, before the line."),
            param("create", ParamKind::Bool, "Make the file when it is missing.").default("false"),
            param("firstmatch", ParamKind::Bool, "Take the first line that is found and not the last.")
                .default("false"),
        ]);
        ModuleDoc {
            name: "lineinfile".into(),
            summary: "Keeps one line of a text file".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("msg", "\"line added\", \"line replaced\", \"N line(s) removed\", or empty"),
                returns("found", "how many lines were removed, with state=absent"),
                returns("backup", "the path of the copy that was kept"),
            ],
            examples: include_str!("examples/lineinfile.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Target, ModuleError> {
        params.check()?;
        edit::open(host, &params.path, params.options().asked)
    }

    fn diff(&self, params: &Params, state: &Target) -> Result<Vec<Change>, ModuleError> {
        let edit = params.wanted(state.content.as_deref())?;
        edit::differs(state, edit.text.as_deref(), params.options().asked)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Target,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let edit = params.wanted(state.content.as_deref())?;
        let mut applied = edit::install(host, state, &edit.text.unwrap_or_default(), &params.options())?;
        applied.insert("msg".into(), edit.msg.into());
        if let Some(removed) = edit.removed {
            applied.insert("found".into(), removed.into());
        }
        Ok(applied)
    }

    fn found(&self, params: &Params, state: &Target) -> Map {
        let mut data = Map::new();
        if let Ok(edit) = params.wanted(state.content.as_deref()) {
            data.insert("msg".into(), edit.msg.into());
            if let Some(removed) = edit.removed {
                data.insert("found".into(), removed.into());
            }
        }
        state.found.describe(&mut data);
        data
    }

    /// A pattern that does not find the line it puts in place may find another one the next time, which Ansible's
    /// users live with; nothing can be proved then.
    fn proves(&self, params: &Params) -> bool {
        let line = params.line.as_deref().unwrap_or_default();
        match Finder::new(params) {
            _ if params.state == State::Absent => true,
            _ if params.backrefs => false,
            Ok(Finder::None) | Err(_) => true,
            Ok(finder) => finder.finds(line.as_bytes()).unwrap_or(false),
        }
    }
}
