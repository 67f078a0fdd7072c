//! Every match of a pattern in a text file, replaced.
//!
//! Not here: single lines (`lineinfile`).

use super::shared::attributes::Asked;
use super::shared::edit::{self, Options, Target};
use super::shared::pattern::{self, Pattern};
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};
use serde::Deserialize;
use std::ops::Range;

/// The module.
pub(super) struct Replace;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: String,
    regexp: String,
    #[serde(default)]
    replace: String,
    after: Option<String>,
    before: Option<String>,
    #[serde(default)]
    backup: bool,
    validate: Option<String>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
}

/// The outcome of an edit.
struct Edit {
    text: Vec<u8>,
    msg: String,
}

impl Params {
    fn options(&self) -> Options<'_> {
        let asked = Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() };
        Options { asked, backup: self.backup, validate: self.validate.as_deref() }
    }

    fn wanted(&self, content: Option<&[u8]>) -> Result<Edit, ModuleError> {
        let Some(text) = content else {
            return Err(ModuleError::Invalid(format!("{} does not exist", self.path)));
        };
        let pattern = Pattern::new("regexp", &self.regexp, true)?;
        let Some(section) = self.section(text)? else {
            let msg = format!("after and before are not found in {}", self.path);
            return Ok(Edit { text: text.to_vec(), msg });
        };
        let part = &text[section.clone()];
        let (mut new, mut last) = (text[..section.start].to_vec(), 0);
        let all = pattern.all(part)?;
        for captures in &all {
            let Some(whole) = captures.get(0) else { continue };
            new.extend_from_slice(&part[last..whole.start()]);
            pattern::expand(&self.replace, captures, &mut new)?;
            last = whole.end();
        }
        new.extend_from_slice(&part[last..]);
        new.extend_from_slice(&text[section.end..]);
        let msg = if new == text { String::new() } else { format!("{} replacements made", all.len()) };
        Ok(Edit { text: new, msg })
    }

    /// The part of the text that `after` and `before` leave; none when one of them is not found.
    fn section(&self, text: &[u8]) -> Result<Option<Range<usize>>, ModuleError> {
        let spans = |key, pattern: &str| -> Result<Vec<Range<usize>>, ModuleError> {
            let found = Pattern::new(key, pattern, false)?.all(text)?;
            Ok(found.iter().filter_map(|captures| captures.get(0)).map(|whole| whole.range()).collect())
        };
        let start = match &self.after {
            None => 0,
            Some(after) => match spans("after", after)?.first() {
                Some(found) => found.end,
                None => return Ok(None),
            },
        };
        let Some(before) = &self.before else { return Ok(Some(start..text.len())) };
        // Alone, `before` means its last match; with `after`, the first one behind that.
        let spans = spans("before", before)?;
        let mut ends = spans.iter().map(|found| found.start).filter(|&at| at >= start);
        let end = if self.after.is_some() { ends.next() } else { ends.next_back() };
        Ok(end.map(|end| start..end))
    }
}

impl Module for Replace {
    type Params = Params;
    type State = Target;

    fn doc(&self) -> ModuleDoc {
        let mut params = edit::params();
        params.extend([
            param("regexp", ParamKind::Str, "The pattern (Python's dialect); ^ and $ match at each line.").required(),
            param("replace", ParamKind::Str, "What to put there; \\1 and \\g<name> are filled. Empty removes.")
                .default("\"\""),
            param("after", ParamKind::Str, "Only behind the first match of this pattern."),
            param("before", ParamKind::Str, "Only in front of the match of this pattern."),
        ]);
        ModuleDoc {
            name: "replace".into(),
            summary: "Replaces every match of a pattern in a text file".into(),
            idempotent: false,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("msg", "\"N replacements made\", or why there were none"),
                returns("backup", "the path of the copy that was kept"),
            ],
            examples: include_str!("examples/replace.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Target, ModuleError> {
        edit::open(host, &params.path, params.options().asked)
    }

    fn diff(&self, params: &Params, state: &Target) -> Result<Vec<Change>, ModuleError> {
        let edit = params.wanted(state.content.as_deref())?;
        edit::differs(state, Some(&edit.text), params.options().asked)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Target,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let edit = params.wanted(state.content.as_deref())?;
        let mut applied = edit::install(host, state, &edit.text, &params.options())?;
        applied.insert("msg".into(), edit.msg.into());
        Ok(applied)
    }

    fn found(&self, params: &Params, state: &Target) -> Map {
        let mut data = Map::new();
        if let Ok(edit) = params.wanted(state.content.as_deref()) {
            data.insert("msg".into(), edit.msg.into());
        }
        state.found.describe(&mut data);
        data
    }

    /// A replacement may hold what the pattern finds, so a second run may find more; only the playbook's author
    /// knows whether that is meant.
    fn proves(&self, _params: &Params) -> bool {
        false
    }
}
