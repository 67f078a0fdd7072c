//! What a playbook names and must be there: handlers, files.

use super::{Pass, Whole};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Task, Template};
use crate::yaml::{Node, is_template};
use kfleet_model::module::{boolean, nearest};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Pass<'_> {
    /// Every handler that a task notifies is there.
    pub(super) fn notified(&mut self, task: &Task, whole: &Whole) {
        if whole.open || task.notify.is_empty() {
            return;
        }
        let known = handler_names(&whole.handlers);
        // A handler whose name is a template may turn out to have any name.
        if known.iter().any(|name| is_template(name)) {
            return;
        }
        for notify in task.notify.iter().filter(|notify| !notify.is_open()) {
            if !known.contains(notify.text.trim()) {
                let near = nearest(&notify.text, known.iter().map(String::as_str));
                self.push(unknown_handler(notify, near, known.is_empty()));
            }
        }
    }

    /// Every file of the controller that a task names by a fixed name is there; templates are checked inside, too.
    pub(super) fn files_of(&mut self, task: &Task) {
        let Some((kind, name, node)) = source_of(task) else { return };
        let looped = task.repeat.as_ref().is_some_and(|repeat| name.contains(&repeat.control.loop_var));
        if is_template(&name) || looped || name.is_empty() {
            return;
        }
        let candidates = task.candidates(kind, &name);
        let Some(path) = candidates.iter().find(|path| self.lint.files.kind(path).is_some()) else {
            self.missing(&name, kind, node, &candidates);
            return;
        };
        if task.module == "template" {
            match self.lint.files.read(path).map(String::from_utf8) {
                Ok(Ok(text)) if has_own_syntax(task) => drop(text),
                Ok(Ok(text)) => self.template_file(path, &text),
                Ok(Err(_)) => self.push(
                    Diagnostic::error(Code::Template, format!("the template {path} is not UTF-8 text"))
                        .at(&node.span)
                        .hint("use copy for files that are no text"),
                ),
                Err(error) => self.push(Diagnostic::error(Code::MissingFile, error.to_string()).at(&node.span)),
            }
        }
    }

    fn missing(&mut self, name: &str, kind: &str, node: &Node, candidates: &[String]) {
        let file = name.rsplit('/').next().unwrap_or(name);
        let mut names: Vec<String> = Vec::new();
        for path in candidates {
            names.extend(self.lint.files.list_dir(&crate::files::folder_of(path)).unwrap_or_default());
        }
        let what = if kind == "templates" { "template" } else { "file" };
        let place = node.span.find(name, 0).unwrap_or_else(|| node.span.clone());
        self.push(
            Diagnostic::error(Code::MissingFile, format!("there is no {what} '{name}'"))
                .at(&place)
                .did_you_mean(nearest(file, names.iter().map(String::as_str)))
                .note(format!("looked for {}", candidates.join(", "))),
        );
    }
}

/// The names under which handlers are notified: their own, with their role's before it, and what they listen to.
fn handler_names(handlers: &[Arc<Task>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for handler in handlers {
        if let Some(name) = &handler.name {
            names.insert(name.text.trim().to_owned());
            names.insert(handler.title());
        }
        names.extend(handler.listen.iter().map(|listen| listen.text.trim().to_owned()));
    }
    names
}

fn unknown_handler(notify: &Template, near: Option<String>, none: bool) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(Code::UnknownHandler, format!("no handler is named '{}'", notify.text)).at(&notify.span);
    match near {
        Some(word) => diagnostic.hint(format!("did you mean '{word}'?")),
        None if none => diagnostic.hint("the play has no handlers; add one below 'handlers:'"),
        None => diagnostic.hint("add a handler with this name, or with 'listen:'"),
    }
}

/// The file of the controller that a task reads: the folder of a role where it belongs, its name, its place.
fn source_of(task: &Task) -> Option<(&'static str, String, &Node)> {
    let arg = |key: &str| task.args.get(key);
    let is_on = |key: &str| arg(key).is_some_and(|node| boolean(&node.to_value()) != Some(false));
    let (kind, node) = match task.module.as_str() {
        "template" => ("templates", arg("src")?),
        "copy" | "unarchive" | "assemble" if !is_on("remote_src") => ("files", arg("src")?),
        "script" => ("files", arg("cmd")?),
        "include_vars" => ("vars", arg("file").or_else(|| arg("dir"))?),
        _ => return None,
    };
    let text = node.as_str()?;
    let name = match task.module.as_str() {
        "script" if !is_template(text) => text.split_whitespace().next().unwrap_or_default().to_owned(),
        "unarchive" if text.contains("://") => return None,
        _ => text.trim().to_owned(),
    };
    Some((kind, name, node))
}

/// The task changes the marks of the template language, which only rendering knows.
fn has_own_syntax(task: &Task) -> bool {
    task.args.as_mapping().unwrap_or_default().iter().any(|entry| entry.key.ends_with("_string"))
}
