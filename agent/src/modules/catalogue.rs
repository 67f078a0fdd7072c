//! The catalogue of modules and its printed form.
//!
//! The controller has a copy of the catalogue built in, so that a playbook is checked without a host; the tests here
//! compare that copy and the reference in `docs/` with the table.

use super::MODULES;
use kfleet_model::Value;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind};
use std::fmt::Write;

/// The documents of all modules, by name.
#[must_use]
pub fn catalogue() -> Vec<ModuleDoc> {
    let mut docs: Vec<ModuleDoc> = MODULES.iter().map(|module| module.doc()).collect();
    docs.sort_by(|a, b| a.name.cmp(&b.name));
    docs
}

/// The catalogue as JSON: what `Observe` gives, and what the controller has built in.
#[must_use]
pub fn catalogue_json() -> Value {
    // Documents are plain texts: nothing in them can fail to become JSON.
    serde_json::to_value(catalogue()).unwrap_or(Value::Null)
}

/// The reference for people, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Modules\n\n\
         Generated from the agent's table by `UPDATE_DOCS=1 cargo test -p kfleet-agent docs`; do not edit.\n\n\
         Names, parameters and results are Ansible's where Ansible has the module. `ansible.builtin.` before a name is \
         accepted.\n\n| module | what it does | check mode |\n|---|---|---|\n",
    );
    let docs = catalogue();
    for doc in &docs {
        line(&mut text, format_args!("| [{0}](#{0}) | {1} | {2} |", doc.name, doc.summary, check_mode(doc.check_mode)));
    }
    for doc in &docs {
        module(&mut text, doc);
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a text does not fail.
    if text.write_fmt(line).is_ok() {
        text.push('\n');
    }
}

fn check_mode(mode: CheckMode) -> &'static str {
    match mode {
        CheckMode::Full => "says what would change",
        CheckMode::ReadOnly => "only reads",
        CheckMode::Skipped => "skipped, unless a guard decides",
    }
}

fn module(text: &mut String, doc: &ModuleDoc) {
    line(text, format_args!("\n## {}\n\n{}.", doc.name, doc.summary));
    if let Some(free_form) = &doc.free_form {
        line(text, format_args!("A text in place of parameters is `{free_form}`."));
    }
    if !doc.idempotent {
        line(text, format_args!("It is not idempotent: after an unknown end it is never run again by itself."));
    }
    // What the controller sets for itself is of no use in a playbook.
    let params: Vec<&ParamDoc> = doc.params.iter().filter(|param| !param.name.starts_with('_')).collect();
    if !params.is_empty() {
        line(text, format_args!("\n| parameter | type | default | what |\n|---|---|---|---|"));
    }
    for param in params {
        let mut name = format!("`{}`", param.name);
        for alias in param.aliases.iter().filter(|alias| !alias.starts_with('_')) {
            name.push_str(&format!(", `{alias}`"));
        }
        let default = match (&param.default, param.required) {
            (_, true) => "needed".to_owned(),
            (Some(default), false) => format!("`{}`", default.replace('|', "\\|")),
            (None, false) => String::new(),
        };
        let mut what = param.doc.clone();
        if !param.choices.is_empty() {
            let choices: Vec<String> =
                param.choices.iter().map(|choice| format!("`{}`", choice.escape_debug())).collect();
            what.push_str(&format!(" One of {}.", choices.join(", ")));
        }
        let kind = kind(param.kind);
        line(text, format_args!("| {name} | {kind} | {default} | {} |", what.replace('|', "\\|")));
    }
    if !doc.returns.is_empty() {
        line(text, format_args!("\n| result | what |\n|---|---|"));
    }
    for key in &doc.returns {
        line(text, format_args!("| `{}` | {} |", key.name, key.doc.replace('|', "\\|")));
    }
    line(text, format_args!("\n```yaml\n{}\n```", doc.examples.trim_end()));
}

fn kind(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::Str => "text",
        ParamKind::Path => "path",
        ParamKind::Bool => "boolean",
        ParamKind::Int => "whole number",
        ParamKind::Float => "number",
        ParamKind::Mode => "mode",
        ParamKind::List => "list",
        ParamKind::Dict => "mapping",
        ParamKind::Raw => "any",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Compares a generated file with what it should hold; with `UPDATE_DOCS` set, writes it.
    fn compare(path: &str, wanted: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, wanted).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == wanted,
            "{} is older than the modules; renew it with `UPDATE_DOCS=1 cargo test -p kfleet-agent docs`",
            path.display()
        );
    }

    #[test]
    fn docs_of_modules_are_current() {
        compare("docs/modules.md", &reference());
    }

    #[test]
    fn docs_catalogue_of_the_controller_is_current() {
        let text = serde_json::to_string_pretty(&catalogue_json()).unwrap();
        compare("crates/playbook/src/catalogue.json", &format!("{text}\n"));
    }
}
