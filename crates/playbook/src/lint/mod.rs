//! Lint: everything that can be checked before a host is touched.
//!
//! Purpose: unknown modules, wrong parameters, broken templates and conditions, handlers and files that are not
//! there, variables that nothing defines: all of them in one pass, each with its place.
//! Place in the flow: after [`crate::parse`], whose diagnostics come first; `kfleet run` stops on any error of both.
//! Not here: whether patterns match hosts (the inventory says), anything that needs a host.

mod configuration;
mod parameters;
mod references;
mod templates;
mod variables;

pub(crate) use parameters::check as check_parameters;
pub use templates::place_of;

use crate::catalogue::{Catalogue, is_ansible};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::files::Files;
use crate::parse::{IncludeCall, Options, RoleParts, load_include};
use crate::plan::{Action, Plan, Play, Role, Step, Task, VarMap, VarsFile, collect};
use crate::template::Engine;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What lint needs beside the plan.
#[derive(Clone, Copy)]
pub struct Lint<'a> {
    /// The files of the playbook.
    pub files: &'a dyn Files,
    /// The modules that are known.
    pub catalogue: &'a Catalogue,
    /// The options of the load.
    pub options: &'a Options,
    /// The template language.
    pub engine: &'a Engine,
    /// The names of all variables of the inventory; none when there is no inventory, and then a variable that the
    /// playbook does not define is no reason for a warning.
    pub inventory: Option<&'a BTreeSet<String>>,
}

impl Lint<'_> {
    /// Checks a plan.
    #[must_use]
    pub fn check(&self, plan: &Plan) -> Diagnostics {
        let mut pass = Pass { lint: *self, diagnostics: Diagnostics::new(), ahead: BTreeSet::new() };
        for play in &plan.plays {
            pass.play(play);
        }
        pass.diagnostics
    }

    /// Checks what a dynamic include brought, before any of it runs. Handlers of the play are not known here, so
    /// `notify` is left to the executor.
    #[must_use]
    pub fn check_steps(&self, steps: &[Step]) -> Diagnostics {
        let mut pass = Pass { lint: *self, diagnostics: Diagnostics::new(), ahead: BTreeSet::new() };
        let mut tasks = Vec::new();
        collect(steps, &mut tasks);
        for task in tasks {
            pass.task(task);
        }
        pass.diagnostics
    }
}

/// One pass over a plan.
struct Pass<'a> {
    lint: Lint<'a>,
    diagnostics: Diagnostics,
    /// The dynamic includes that were looked into ahead of the run.
    ahead: BTreeSet<String>,
}

/// All that a play will consist of, as far as it is known before the run.
#[derive(Default)]
struct Whole {
    tasks: Vec<Arc<Task>>,
    handlers: Vec<Arc<Task>>,
    roles: Vec<Arc<Role>>,
    /// Something is named by a template, so that more tasks, handlers or variables may come.
    open: bool,
}

impl Pass<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn play(&mut self, play: &Play) {
        let whole = self.whole(play);
        self.play_texts(play);
        for role in &whole.roles {
            for vars in [&role.defaults, &role.vars, &role.params] {
                self.var_map(vars);
            }
        }
        for task in whole.tasks.iter().chain(&whole.handlers) {
            self.task(task);
            self.notified(task, &whole);
        }
        self.undefined(play, &whole);
    }

    fn play_texts(&mut self, play: &Play) {
        self.var_map(&play.vars);
        for file in &play.vars_files {
            match file {
                VarsFile::Loaded(vars) => self.var_map(vars),
                VarsFile::Open { candidates, .. } => {
                    for candidate in candidates {
                        self.template(candidate);
                    }
                }
            }
        }
        for template in play.name.iter().chain(&play.hosts).chain(&play.gather_subset) {
            self.template(template);
        }
        self.setting(play.gather_facts.as_ref());
        self.setting(play.max_fail_percentage.as_ref());
        self.setting(play.force_handlers.as_ref());
        if let Some(rolling) = &play.rolling {
            self.node(rolling);
        }
        self.keywords(&play.keywords);
    }

    fn var_map(&mut self, vars: &Arc<VarMap>) {
        for entry in &vars.entries {
            self.node(&entry.value);
        }
    }

    /// The play's tasks with those of dynamic includes whose name is fixed.
    fn whole(&mut self, play: &Play) -> Whole {
        let mut whole = Whole { roles: play.role_list.clone(), ..Whole::default() };
        let mut handlers = Vec::new();
        collect(&play.handlers, &mut handlers);
        whole.handlers.extend(handlers.into_iter().cloned());
        let mut waiting: Vec<Arc<Task>> = play.all_tasks().cloned().collect();
        waiting.reverse();
        self.ahead.clear();
        while let Some(task) = waiting.pop() {
            let more = self.look_ahead(&task, &mut whole);
            waiting.extend(more.into_iter().rev());
            whole.tasks.push(task);
        }
        whole
    }

    /// Loads a dynamic include whose name is fixed.
    fn look_ahead(&mut self, task: &Arc<Task>, whole: &mut Whole) -> Vec<Arc<Task>> {
        let (name, parts) = match &task.action {
            Action::Module | Action::Meta(_) => return Vec::new(),
            Action::IncludeTasks { file, .. } => (file, RoleParts::default()),
            Action::IncludeRole(call) => {
                let all = [&call.tasks_from, &call.vars_from, &call.defaults_from, &call.handlers_from];
                if all.iter().any(|part| part.as_ref().is_some_and(crate::plan::Template::is_open)) {
                    whole.open = true;
                    return Vec::new();
                }
                let [tasks_from, vars_from, defaults_from, handlers_from] =
                    all.map(|part| part.as_ref().map(|part| part.text.clone()));
                (&call.name, RoleParts { tasks_from, vars_from, defaults_from, handlers_from })
            }
        };
        if name.is_open() {
            whole.open = true;
            return Vec::new();
        }
        let key = format!("{:?} {} {parts:?} {:?}", task.action, task.span.path(), task.role().map(|role| &role.path));
        if !self.ahead.insert(key) {
            return Vec::new();
        }
        let Lint { files, catalogue, options, .. } = self.lint;
        let call =
            IncludeCall { task, name: name.text.trim(), parts, path: &task.path, vars: kfleet_model::Map::new() };
        let included = load_include(files, catalogue, options, &call);
        self.diagnostics.extend(included.diagnostics);
        let mut handlers = Vec::new();
        collect(&included.handlers, &mut handlers);
        whole.handlers.extend(handlers.into_iter().cloned());
        whole.roles.extend(included.roles);
        let mut tasks = Vec::new();
        collect(&included.steps, &mut tasks);
        tasks.into_iter().cloned().collect()
    }

    fn task(&mut self, task: &Task) {
        match self.lint.catalogue.get(&task.module) {
            None => self.unknown_module(task),
            Some(_) => {
                let found = parameters::check_task(self.lint.catalogue, task);
                self.diagnostics.extend(found);
                self.diagnostics.extend(configuration::check_task(task));
            }
        }
        self.task_texts(task);
        self.files_of(task);
    }

    fn unknown_module(&mut self, task: &Task) {
        let written = task.module_span.text();
        let name = if written.is_empty() || written.contains('\n') { task.module.as_str() } else { written };
        let near = self.lint.catalogue.nearest(name);
        let mut diagnostic = if is_ansible(name) {
            Diagnostic::error(Code::UnknownModule, format!("kfleet does not have the module '{name}' of ansible-core"))
        } else if name.matches('.').count() >= 2 && near.is_none() {
            Diagnostic::error(Code::UnknownModule, format!("kfleet does not have the module '{name}' of a collection"))
        } else {
            Diagnostic::error(Code::UnknownModule, format!("no module is named '{name}'"))
        }
        .at(&task.module_span);
        diagnostic = match near {
            Some(near) if !is_ansible(name) => diagnostic.hint(format!("did you mean '{near}'?")),
            Some(_) | None => diagnostic.hint("`kfleet doc` lists the modules"),
        };
        self.push(diagnostic);
    }
}

#[cfg(test)]
mod tests;
