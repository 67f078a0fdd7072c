//! What takes other files in: imports before the run, includes when they are reached.

use super::keywords::Kind;
use super::{Context, IncludeCall, Loader};
use crate::diag::{Code, Diagnostic};
use crate::files::{folder_of, join};
use crate::plan::{Action, Block, Keywords, Meta, RoleCall, Scope, Step, Template, VarMap};
use crate::source::Span;
use crate::yaml::{Entry, Node};
use std::sync::Arc;

impl Loader<'_> {
    /// What kind of task it is, with the arguments that the executor reads checked.
    pub(super) fn action(&mut self, module: &str, args: &mut Node, span: &Span) -> Option<Action> {
        match module {
            "meta" => {
                let word = self.required(module, args, "action", span)?;
                match Meta::parse(&word.text) {
                    Some(meta) => Some(Action::Meta(meta)),
                    None => {
                        let near = kfleet_model::module::nearest(&word.text, Meta::WORDS.iter().copied());
                        self.push(
                            Diagnostic::error(Code::UnknownMeta, format!("meta has no action '{}'", word.text))
                                .at(&word.span)
                                .did_you_mean(near)
                                .note(format!("known are {}", Meta::WORDS.join(", "))),
                        );
                        None
                    }
                }
            }
            "include_tasks" | "include" => {
                let file = self.required(module, args, "file", span)?;
                Some(Action::IncludeTasks { file, apply: args.get("apply").cloned() })
            }
            "include_role" => {
                let name = args.get("name").or_else(|| args.get("role")).cloned();
                let name = name.and_then(|node| self.template("name", &node));
                let Some(name) = name else {
                    self.required(module, args, "name", span);
                    return None;
                };
                let mut part = |key: &str| args.get(key).cloned().and_then(|node| self.template(key, &node));
                let call = RoleCall {
                    name,
                    tasks_from: part("tasks_from"),
                    vars_from: part("vars_from"),
                    defaults_from: part("defaults_from"),
                    handlers_from: part("handlers_from"),
                    public: args
                        .get("public")
                        .is_some_and(|node| kfleet_model::module::boolean(&node.to_value()) == Some(true)),
                    apply: args.get("apply").cloned(),
                };
                Some(Action::IncludeRole(Box::new(call)))
            }
            _ => Some(Action::Module),
        }
    }

    /// An argument without which the parser can not go on.
    pub(super) fn required(&mut self, module: &str, args: &Node, key: &str, span: &Span) -> Option<Template> {
        let found = args.get(key).cloned().and_then(|node| self.template(key, &node));
        if found.is_none() {
            self.push(Diagnostic::error(Code::Parameter, format!("{module} needs '{key}'")).at(span));
        }
        found
    }

    /// Takes in a file or a role before the run.
    #[expect(clippy::too_many_arguments, reason = "the parts of one task, which only this caller has")]
    pub(super) fn import(
        &mut self,
        module: &str,
        args: &Node,
        own_vars: Option<Arc<VarMap>>,
        entries: &[Entry],
        span: &Span,
        context: &Context,
        keywords: Keywords,
        path: String,
    ) -> Option<Step> {
        self.no_loop_on_import(module, entries);
        let mut inner = context.clone();
        inner.keywords = Arc::new(keywords);
        if let Some(vars) = own_vars {
            Arc::make_mut(&mut inner.scope).vars.push(vars);
        }
        if module == "import_role" {
            return self.import_role(args, span, &inner, path);
        }
        let file = self.required(module, args, "file", span)?;
        let inline =
            args.as_mapping().unwrap_or_default().iter().filter(|e| !matches!(e.key.as_str(), "file" | "apply"));
        let inline: Vec<Entry> = inline.cloned().collect();
        if module == "include" && !inline.is_empty() {
            Arc::make_mut(&mut inner.scope).vars.push(VarMap::new("parameters of an include", inline));
        }
        let name = self.known(&file, context, "the file of import_tasks", "use include_tasks")?;
        let found = self.find_task_file(&name, span.path(), &inner.scope, &file.span)?;
        let tasks = self.task_file(&found, &file.span, &inner, &format!("{path}."));
        let keywords = Arc::clone(&inner.keywords);
        let (rescue, always) = (Vec::new(), Vec::new());
        Some(Step::Block(Arc::new(Block {
            path,
            span: span.clone(),
            name: None,
            role: None,
            keywords,
            tasks,
            rescue,
            always,
        })))
    }

    fn no_loop_on_import(&mut self, module: &str, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.key == "loop" || entry.key.starts_with("with_")) {
            let instead = module.replace("import_", "include_");
            self.push(
                Diagnostic::error(
                    Code::Unsupported,
                    format!("{module} can not have a loop: it is taken in once, before the run"),
                )
                .at(&entry.key_span)
                .hint(format!("use {instead}")),
            );
        }
    }

    /// The file of tasks that a task means: beside its own file, in its role, beside the playbook.
    pub(super) fn find_task_file(&mut self, name: &str, file: &str, scope: &Scope, by: &Span) -> Option<String> {
        let candidates = task_file_candidates(name, file, scope);
        let found = candidates.iter().find(|path| self.files.is_file(path)).cloned();
        if found.is_none() {
            let near = candidates.iter().find_map(|path| self.nearest_file(path));
            self.push(
                Diagnostic::error(Code::MissingFile, format!("there is no file '{name}'"))
                    .at(by)
                    .did_you_mean(near)
                    .note(format!("looked for {}", candidates.join(", "))),
            );
        }
        found
    }

    pub(super) fn old_include(&mut self, span: &Span) {
        self.push(
            Diagnostic::warning(Code::Deprecated, "'include' is an old form that Ansible no longer has")
                .at(span)
                .hint("write import_tasks for a fixed file, include_tasks for one that depends on variables or a loop"),
        );
    }

    /// The old `include` is static when its file is known and there is no loop.
    pub(super) fn is_static_include(&self, args: &Node, entries: &[Entry]) -> bool {
        let looped = entries.iter().any(|entry| entry.key == "loop" || entry.key.starts_with("with_"));
        !looped && args.get("file").and_then(Node::as_str).is_some_and(|file| !crate::yaml::is_template(file))
    }

    /// Takes in what a dynamic include names.
    pub(super) fn include(&mut self, call: &IncludeCall<'_>) -> Vec<Step> {
        let task = call.task;
        let mut context = self.include_context(call);
        let numbers = format!("{}.", call.path);
        match &task.action {
            Action::IncludeTasks { file, apply } => {
                self.apply(apply.as_ref(), &mut context);
                let Some(path) = self.find_task_file(call.name, task.span.path(), &context.scope, &file.span) else {
                    return Vec::new();
                };
                self.task_file(&path, &file.span, &context, &numbers)
            }
            Action::IncludeRole(role) => {
                self.apply(role.apply.as_ref(), &mut context);
                self.included_role(call, role, &context).into_iter().collect()
            }
            Action::Module | Action::Meta(_) => {
                self.push(
                    Diagnostic::error(Code::Structure, format!("'{}' takes nothing in", task.module))
                        .at(&task.module_span),
                );
                Vec::new()
            }
        }
    }

    /// What the tasks of a dynamic include inherit: all that stood around the include, and its variables, but not
    /// its own condition, tags or loop.
    fn include_context(&self, call: &IncludeCall<'_>) -> Context {
        let task = call.task;
        let mut scope = (*task.scope).clone();
        if !call.vars.is_empty() {
            let value = kfleet_model::Value::Object(call.vars.clone());
            let node = Node::from_value(&value, &task.span);
            let entries = node.as_mapping().unwrap_or_default().to_vec();
            scope.include_params.push(VarMap::new("the include's item", entries));
        }
        let in_roles = match &scope.role {
            Some(role) if matches!(task.action, Action::IncludeTasks { .. }) => vec![role.path.clone()],
            Some(_) | None => Vec::new(),
        };
        Context {
            keywords: Arc::clone(&task.around),
            scope: Arc::new(scope),
            notify: task.notify.clone(),
            taken: Vec::new(),
            in_roles,
            handlers: task.handler,
            play_vars: Arc::default(),
        }
    }

    fn apply(&mut self, apply: Option<&Node>, context: &mut Context) {
        let Some(apply) = apply else { return };
        let Some(entries) = apply.as_mapping() else {
            if !apply.is_null() {
                self.wrong("apply", "a mapping of keywords", apply);
            }
            return;
        };
        let mut keywords: Keywords = (*context.keywords).clone();
        for item in entries {
            if item.key == "vars" {
                self.push_vars(&mut context.scope, "vars of apply", &item.value);
            } else if !self.base_keyword(Kind::Block, item, &mut keywords) {
                self.unknown_keyword(Kind::Block, item);
            }
        }
        context.keywords = Arc::new(keywords);
    }
}

/// The paths at which a file of tasks is looked for.
pub(super) fn task_file_candidates(name: &str, file: &str, scope: &Scope) -> Vec<String> {
    let mut paths = vec![join(&folder_of(file), name)];
    if let Some(role) = &scope.role {
        // The role's own folder counts, too: roles take tasks of their neighbours as `../other/tasks/x.yml`.
        paths.push(join(&join(&role.path, "tasks"), name));
        paths.push(join(&role.path, name));
    }
    paths.push(join(&scope.playbook_folder, name));
    let mut unique: Vec<String> = Vec::new();
    for path in paths {
        if !unique.contains(&path) {
            unique.push(path);
        }
    }
    unique
}
