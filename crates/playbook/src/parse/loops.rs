//! Loops of tasks.

use super::{Loader, entry};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Loop, LoopControl, LoopKind};
use crate::yaml::{Entry, Node};

/// The lookups that `with_X` may name: those of ansible-core that make a list.
const WITH: &[&str] = &[
    "dict",
    "env",
    "file",
    "fileglob",
    "filetree",
    "first_found",
    "flattened",
    "indexed_items",
    "inventory_hostnames",
    "items",
    "lines",
    "list",
    "nested",
    "password",
    "pipe",
    "random_choice",
    "sequence",
    "subelements",
    "template",
    "together",
    "url",
    "varnames",
    "vars",
];

impl Loader<'_> {
    /// The loop of a task.
    pub(super) fn repeat(&mut self, entries: &[Entry]) -> Option<Loop> {
        let mut found: Option<Loop> = None;
        for entry in entries {
            let kind = match entry.key.strip_prefix("with_") {
                Some(lookup) => self.with(lookup, entry)?,
                None if entry.key == "loop" => LoopKind::Loop,
                None => continue,
            };
            if let Some(first) = &found {
                self.push(
                    Diagnostic::error(Code::Structure, "a task can have only one loop")
                        .at(&entry.key_span)
                        .note_at("the other one", &first.span),
                );
                continue;
            }
            if kind == LoopKind::Loop && entry.value.as_list().is_none() && !is_open(&entry.value) {
                self.wrong("loop", "a list", &entry.value);
            }
            let control = LoopControl::default();
            found = Some(Loop { kind, over: entry.value.clone(), span: entry.key_span.clone(), control });
        }
        if let Some(control) = entry(entries, "loop_control") {
            let read = self.loop_control(control);
            match &mut found {
                Some(repeat) => repeat.control = read,
                None => self.push(
                    Diagnostic::warning(Code::Structure, "'loop_control' has no effect without a loop")
                        .at(&control.key_span),
                ),
            }
        }
        found
    }

    fn with(&mut self, lookup: &str, entry: &Entry) -> Option<LoopKind> {
        let name = lookup.rsplit('.').next().unwrap_or(lookup);
        if WITH.contains(&name) {
            return Some(LoopKind::With(name.to_owned()));
        }
        let near = kfleet_model::module::nearest(name, WITH.iter().copied()).map(|word| format!("with_{word}"));
        self.push(
            Diagnostic::error(Code::UnknownKeyword, format!("there is no loop '{}'", entry.key))
                .at(&entry.key_span)
                .did_you_mean(near),
        );
        None
    }

    fn loop_control(&mut self, entry: &Entry) -> LoopControl {
        const KEYS: &[&str] =
            &["loop_var", "index_var", "label", "pause", "extended", "extended_allitems", "break_when"];
        let mut control = LoopControl::default();
        let Some(entries) = entry.value.as_mapping() else {
            self.wrong("loop_control", "a mapping", &entry.value);
            return control;
        };
        for Entry { key, value, key_span } in entries {
            match key.as_str() {
                "loop_var" | "index_var" => {
                    let Some(name) = self.template(key, value) else { continue };
                    self.variable_name(&name.text, &value.span);
                    if key == "loop_var" { control.loop_var = name.text } else { control.index_var = Some(name.text) }
                }
                "label" => control.label = Some(value.clone()),
                "pause" => control.pause = self.number(key, value),
                "extended" => {
                    let flag = self.flag(key, value);
                    control.extended = flag.as_ref().and_then(crate::plan::Setting::fixed).copied().unwrap_or(true);
                }
                "extended_allitems" => {}
                "break_when" => control.break_when = self.conditions(key, value),
                _ => {
                    let near = kfleet_model::module::nearest(key, KEYS.iter().copied());
                    self.push(
                        Diagnostic::error(Code::UnknownKeyword, format!("'{key}' is no keyword of loop_control"))
                            .at(key_span)
                            .did_you_mean(near),
                    );
                }
            }
        }
        control
    }
}

fn is_open(node: &Node) -> bool {
    node.as_str().is_some_and(crate::yaml::is_template)
}
