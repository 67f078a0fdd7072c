//! A block of lines between two marker lines of a text file.
//!
//! Not here: single lines (`lineinfile`).

use super::shared::attributes::Asked;
use super::shared::edit::{self, Options, Target, bare, lines};
use super::shared::pattern::Pattern;
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;

/// The module.
pub(super) struct BlockInFile;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: String,
    #[serde(default)]
    block: String,
    #[serde(default = "marker")]
    marker: String,
    #[serde(default = "marker_begin")]
    marker_begin: String,
    #[serde(default = "marker_end")]
    marker_end: String,
    #[serde(default)]
    state: State,
    insertafter: Option<String>,
    insertbefore: Option<String>,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    append_newline: bool,
    #[serde(default)]
    prepend_newline: bool,
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

fn marker() -> String {
    "# {mark} ANSIBLE MANAGED BLOCK".to_owned()
}

fn marker_begin() -> String {
    "BEGIN".to_owned()
}

fn marker_end() -> String {
    "END".to_owned()
}

impl Params {
    fn options(&self) -> Options<'_> {
        let asked = Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() };
        Options { asked, backup: self.backup, validate: self.validate.as_deref() }
    }

    /// The lines from marker to marker; none when the block shall not be there.
    fn wanted_block(&self) -> Vec<Vec<u8>> {
        if self.state == State::Absent || self.block.is_empty() {
            return Vec::new();
        }
        let mut block = vec![self.mark(&self.marker_begin)];
        block.extend(self.block.lines().map(|line| format!("{line}\n").into_bytes()));
        block.push(self.mark(&self.marker_end));
        block
    }

    fn mark(&self, word: &str) -> Vec<u8> {
        format!("{}\n", self.marker.replace("{mark}", word)).into_bytes()
    }

    /// What the file shall hold; none when there is no file and none is wanted.
    fn wanted(&self, content: Option<&[u8]>) -> Result<Option<Vec<u8>>, ModuleError> {
        let block = self.wanted_block();
        let Some(text) = content else {
            return match (self.state, self.create) {
                (State::Absent, _) => Ok(None),
                (State::Present, true) => Ok(Some(block.concat())),
                (State::Present, false) => {
                    Err(ModuleError::Invalid(format!("{} does not exist (create: true would make it)", self.path)))
                }
            };
        };
        let mut all: Vec<Vec<u8>> = lines(text).into_iter().map(<[u8]>::to_vec).collect();
        let position = |mark: &[u8]| all.iter().rposition(|line| bare(line) == bare(mark));
        let (begin, end) = (position(&self.mark(&self.marker_begin)), position(&self.mark(&self.marker_end)));
        let at = match (begin, end) {
            (Some(begin), Some(end)) => {
                let (first, last) = (begin.min(end), begin.max(end));
                all.drain(first..=last);
                first
            }
            _ => self.place(&all)?,
        };
        if block.is_empty() {
            return Ok(Some(all.concat()));
        }
        let mut before: Vec<Vec<u8>> = all.drain(..at).collect();
        if self.prepend_newline && before.last().is_some_and(|line| !bare(line).is_empty()) {
            before.push(b"\n".to_vec());
        }
        if self.append_newline && all.first().is_some_and(|line| !bare(line).is_empty()) {
            all.insert(0, b"\n".to_vec());
        }
        Ok(Some(edit::join(before.iter().chain(&block).chain(&all).map(Vec::as_slice))))
    }

    /// Where a new block goes.
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
                let anchor = Pattern::new(key, anchor, false)?;
                let mut found = None;
                for (n, line) in all.iter().enumerate() {
                    if anchor.is_match(bare(line))? {
                        found = Some(n + offset);
                    }
                }
                Ok(found.unwrap_or(all.len()))
            }
        }
    }
}

impl Module for BlockInFile {
    type Params = Params;
    type State = Target;

    fn doc(&self) -> ModuleDoc {
        let mut params = edit::params();
        params.extend([
            param("block", ParamKind::Str, "The lines. An empty text is the same as state=absent.")
                .aliases(&["content"]),
            param("marker", ParamKind::Str, "The marker line; {mark} in it becomes marker_begin or marker_end.")
                .default("\"# {mark} ANSIBLE MANAGED BLOCK\""),
            param("marker_begin", ParamKind::Str, "The word of the first marker.").default("BEGIN"),
            param("marker_end", ParamKind::Str, "The word of the last marker.").default("END"),
            param("state", ParamKind::Str, "Whether the block is there.")
                .choices(&["present", "absent"])
                .default("present"),
            param(
                "insertafter",
                ParamKind::Str,
                "Insert a new block after the last line that this pattern finds; EOF and BOF are end and beginning. \
                 The end when it finds nothing.",
            )
            .default("EOF"),
            param("insertbefore", ParamKind::Str, "As insertafter, before the line."),
            param("create", ParamKind::Bool, "Make the file when it is missing.").default("false"),
            param("append_newline", ParamKind::Bool, "Have an empty line after the block.").default("false"),
            param("prepend_newline", ParamKind::Bool, "Have an empty line before the block.").default("false"),
        ]);
        ModuleDoc {
            name: "blockinfile".into(),
            summary: "Keeps a block of lines between two marker lines".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("msg", "\"Block inserted\", \"Block removed\", \"File created\", or empty"),
                returns("backup", "the path of the copy that was kept"),
            ],
            examples: include_str!("examples/blockinfile.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Target, ModuleError> {
        if params.insertafter.is_some() && params.insertbefore.is_some() {
            return Err(ModuleError::Invalid("insertafter and insertbefore exclude each other".to_owned()));
        }
        if params.mark(&params.marker_begin) == params.mark(&params.marker_end) {
            return Err(ModuleError::Invalid(format!(
                "marker {:?} gives the same line for begin and end; it must contain {{mark}}",
                params.marker
            )));
        }
        edit::open(host, &params.path, params.options().asked)
    }

    fn diff(&self, params: &Params, state: &Target) -> Result<Vec<Change>, ModuleError> {
        let wanted = params.wanted(state.content.as_deref())?;
        edit::differs(state, wanted.as_deref(), params.options().asked)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Target,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let wanted = params.wanted(state.content.as_deref())?.unwrap_or_default();
        let mut applied = edit::install(host, state, &wanted, &params.options())?;
        let msg = if !changes.iter().any(|change| change.property == "content") {
            ""
        } else if state.content.is_none() {
            "File created"
        } else if params.wanted_block().is_empty() {
            "Block removed"
        } else {
            "Block inserted"
        };
        applied.insert("msg".into(), msg.into());
        Ok(applied)
    }

    fn found(&self, _params: &Params, state: &Target) -> Map {
        let mut data = Map::new();
        state.found.describe(&mut data);
        data
    }
}
