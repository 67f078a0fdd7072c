//! Variables that nothing defines.
//!
//! A warning at most, and only where it is sure: a playbook that reads variables from a place which is not known
//! before the run is not judged at all, and a name that a task asks about (`is defined`, `default`) is foreseen.

use super::{Pass, Whole};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::plan::{Condition, Play, Setting, Task, Template, VarMap, VarsFile};
use crate::source::Span;
use crate::yaml::{Node, is_template};
use kfleet_model::module::nearest;
use std::collections::{BTreeMap, BTreeSet};

/// Names that the executor gives every task.
const MAGIC: &[&str] = &[
    "environment",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "item",
    "kfleet",
    "omit",
    "parent_role_names",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_names",
    "role_path",
    "template_destpath",
    "template_fullpath",
    "template_host",
    "template_mtime",
    "template_path",
    "template_run_date",
    "template_uid",
    "vars",
];

/// What a task reads.
#[derive(Default)]
struct Reads {
    used: BTreeMap<String, Span>,
    guarded: BTreeSet<String>,
}

impl Pass<'_> {
    pub(super) fn undefined(&mut self, play: &Play, whole: &Whole) {
        let Some(inventory) = self.lint.inventory else { return };
        let Some(mut known) = self.known(play, whole) else { return };
        known.extend(inventory.iter().cloned());
        known.extend(self.lint.options.extra_vars.keys().cloned());
        known.extend(MAGIC.iter().map(|name| (*name).to_owned()));
        for task in whole.tasks.iter().chain(&whole.handlers) {
            let reads = self.reads(task);
            for (name, span) in &reads.used {
                let is_fact = name.starts_with("ansible_");
                if !known.contains(name) && !reads.guarded.contains(name) && !is_fact {
                    let near = nearest(name, known.iter().map(String::as_str));
                    self.push(
                        Diagnostic::warning(Code::UndefinedVariable, format!("nothing defines the variable '{name}'"))
                            .at(span)
                            .did_you_mean(near),
                    );
                }
            }
        }
    }

    /// Every name that something in the play defines; nothing when that can not be known.
    fn known(&self, play: &Play, whole: &Whole) -> Option<BTreeSet<String>> {
        if whole.open {
            return None;
        }
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut take = |vars: &VarMap| known.extend(vars.values.keys().cloned());
        take(&play.vars);
        for file in &play.vars_files {
            match file {
                VarsFile::Loaded(vars) => take(vars),
                VarsFile::Open { .. } => return None,
            }
        }
        for role in &whole.roles {
            for vars in [&role.defaults, &role.vars, &role.params] {
                take(vars);
            }
        }
        for role in &whole.roles {
            known.extend(self.documented(&role.path));
        }
        for task in whole.tasks.iter().chain(&whole.handlers) {
            self.defines(task, &mut known)?;
        }
        Some(known)
    }

    /// The names that a task defines; nothing when only the run can tell.
    fn defines(&self, task: &Task, known: &mut BTreeSet<String>) -> Option<()> {
        for vars in task.scope.vars.iter().chain(&task.scope.include_params) {
            known.extend(vars.values.keys().cloned());
        }
        known.extend(task.register.clone());
        if let Some(repeat) = &task.repeat {
            known.insert(repeat.control.loop_var.clone());
            known.extend(repeat.control.index_var.clone());
        }
        match task.module.as_str() {
            "set_fact" | "add_host" => {
                if task.args_from.is_some() {
                    return None;
                }
                for entry in task.args.as_mapping().unwrap_or_default() {
                    if is_template(&entry.key) {
                        return None;
                    }
                    known.insert(entry.key.clone());
                }
            }
            "include_vars" => match task.args.get("name").and_then(Node::as_str) {
                Some(name) => {
                    known.insert(name.to_owned());
                }
                None => self.included_vars(task, known)?,
            },
            _ => {}
        }
        Some(())
    }

    fn included_vars(&self, task: &Task, known: &mut BTreeSet<String>) -> Option<()> {
        let name = task.args.get("file").and_then(Node::as_str).filter(|name| !is_template(name))?;
        let path = task.candidates("vars", name.trim()).into_iter().find(|path| self.lint.files.is_file(path))?;
        let mut ignored = Diagnostics::new();
        let vars = crate::parse::load_vars_file(self.lint.files, &path, &path, &mut ignored)?;
        known.extend(vars.values.keys().cloned());
        Some(())
    }

    /// The options of a role's argument specification: they are the role's interface, whoever sets them.
    fn documented(&self, role: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for file in ["meta/argument_specs.yml", "meta/argument_specs.yaml", "meta/main.yml"] {
            let Ok(bytes) = self.lint.files.read(&crate::files::join(role, file)) else { continue };
            let Ok(source) = crate::yaml::source(file, bytes) else { continue };
            let mut ignored = Diagnostics::new();
            let Some(node) = crate::yaml::parse(&source, &mut ignored) else { continue };
            let specs = node.get("argument_specs").and_then(Node::as_mapping).unwrap_or_default();
            for spec in specs {
                let options = spec.value.get("options").and_then(Node::as_mapping).unwrap_or_default();
                names.extend(options.iter().map(|option| option.key.clone()));
            }
        }
        names
    }

    fn reads(&self, task: &Task) -> Reads {
        let mut reads = Reads::default();
        for template in task.name.iter().chain(&task.notify).chain(&task.args_from) {
            self.reads_text(&template.text, &template.span, &mut reads);
        }
        for entry in task.args.as_mapping().unwrap_or_default() {
            let is_expression =
                matches!((task.module.as_str(), entry.key.as_str()), ("assert", "that") | ("debug", "var"));
            if is_expression {
                // An assertion asks whether something is so: a name that is not there is what it may be about.
                continue;
            }
            self.reads_node(&entry.value, &mut reads);
        }
        let keywords = &task.keywords;
        for conditions in [&keywords.when, &task.changed_when, &task.failed_when, &task.until] {
            for condition in conditions {
                self.reads_condition(condition, &mut reads);
            }
        }
        for node in &keywords.environment {
            self.reads_node(node, &mut reads);
        }
        for template in [&keywords.become_user, &keywords.delegate_to].into_iter().flatten() {
            self.reads_text(&template.text, &template.span, &mut reads);
        }
        for flag in [&keywords.r#become, &keywords.ignore_errors, &keywords.check_mode, &keywords.run_once] {
            if let Some(Setting::Open(Template { text, span })) = flag {
                self.reads_text(text, span, &mut reads);
            }
        }
        if let Some(repeat) = &task.repeat {
            self.reads_node(&repeat.over, &mut reads);
        }
        reads
    }

    fn reads_node(&self, node: &Node, reads: &mut Reads) {
        node.texts(&mut |text, span| self.reads_text(text, span, reads));
    }

    fn reads_text(&self, text: &str, span: &Span, reads: &mut Reads) {
        if is_template(text) {
            let names = self.lint.engine.names(text);
            reads.guarded.extend(names.guarded);
            for name in names.used {
                let place = span.find(&name, 0).unwrap_or_else(|| span.clone());
                reads.used.entry(name).or_insert(place);
            }
        }
    }

    fn reads_condition(&self, condition: &Condition, reads: &mut Reads) {
        let names = self.lint.engine.condition_names(&condition.expression);
        reads.guarded.extend(names.guarded);
        for name in names.used {
            let place = condition.span.find(&name, 0).unwrap_or_else(|| condition.span.clone());
            reads.used.entry(name).or_insert(place);
        }
    }
}
