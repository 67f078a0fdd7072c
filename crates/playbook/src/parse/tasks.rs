//! Task files, blocks and tasks.

use super::keywords::{Kind, OLD};
use super::{Context, Loader, Taken, entry};
use crate::catalogue::{is_ansible, short};
use crate::diag::{Code, Diagnostic};
use crate::plan::{Block, Keywords, Scope, Step, Task, Template};
use crate::source::Span;
use crate::yaml::{Entry, Node, refuse_vaults};
use std::sync::Arc;

/// The keys of a task, sorted out.
struct Sorted<'n> {
    /// The module's key and value.
    module: Option<&'n Entry>,
    keywords: Vec<&'n Entry>,
    unknown: Vec<&'n Entry>,
}

impl Loader<'_> {
    /// Reads a file of tasks that `by` names.
    pub(super) fn task_file(&mut self, path: &str, by: &Span, context: &Context, numbers: &str) -> Vec<Step> {
        if self.in_cycle(context, path, by) {
            return Vec::new();
        }
        let from = self.diagnostics.len();
        let Some(node) = self.read(path, Some(by)) else {
            self.note_taken(from, path, by);
            return Vec::new();
        };
        let mut context = context.clone();
        context.taken.push(Taken { path: path.to_owned(), by: Some(by.clone()) });
        let steps = self.steps(&node, "a file of tasks", &context, numbers, 0);
        self.note_taken(from, path, by);
        steps
    }

    /// Reads a list of tasks. `numbers` is what their paths begin with, `first` the number of the first one.
    pub(super) fn steps(
        &mut self,
        node: &Node,
        what: &str,
        context: &Context,
        numbers: &str,
        first: usize,
    ) -> Vec<Step> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(items) = node.as_list() else {
            let message = format!("{what} must be a list, not {}", node.describe());
            let mut diagnostic = Diagnostic::error(Code::Structure, message).at(&node.span);
            if let Some(entries) = node.as_mapping() {
                diagnostic = match entries.iter().find(|e| matches!(e.key.as_str(), "tasks" | "hosts")) {
                    Some(entry) if entry.key == "tasks" => {
                        diagnostic.hint("remove 'tasks:', the file is the list itself")
                    }
                    Some(_) | None => diagnostic.hint("begin each task with '- '"),
                };
            }
            self.push(diagnostic);
            return Vec::new();
        };
        let mut steps = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let number = first + index;
            let path = if numbers.is_empty() { number.to_string() } else { format!("{numbers}{number}") };
            steps.extend(self.step(item, context, path));
        }
        steps
    }

    fn step(&mut self, node: &Node, context: &Context, path: String) -> Option<Step> {
        let Some(entries) = node.as_mapping() else {
            if !node.is_null() {
                self.not_a_task(node);
            }
            return None;
        };
        if let Some(hosts) = entry(entries, "hosts")
            && !entries.iter().any(|entry| self.catalogue.get(&entry.key).is_some())
        {
            self.push(
                Diagnostic::error(Code::Structure, "a play stands here, where a task is wanted")
                    .at(&hosts.key_span)
                    .hint("take a playbook in with import_playbook, in a list of plays"),
            );
            return None;
        }
        if entry(entries, "block").is_some() {
            return Some(self.block(entries, &node.span, context, path));
        }
        if let Some(lost) = entries.iter().find(|e| matches!(e.key.as_str(), "rescue" | "always")) {
            self.push(
                Diagnostic::error(Code::Structure, format!("'{}' stands without a block", lost.key))
                    .at(&lost.key_span)
                    .hint("put it beside 'block:', in the same column"),
            );
            return None;
        }
        self.task(entries, &node.span, context, path)
    }

    fn not_a_task(&mut self, node: &Node) {
        let message = format!("a task must be a mapping, not {}", node.describe());
        let mut diagnostic = Diagnostic::error(Code::Structure, message).at(&node.span);
        if let Some(text) = node.as_str() {
            let word = text.split([' ', ':']).next().unwrap_or_default();
            let near = self.catalogue.get(word).map(|doc| doc.name.clone());
            diagnostic = match (text.split_once(':'), near) {
                (Some((key, value)), _) if !key.contains(' ') => {
                    diagnostic.hint(format!("is a blank missing after the colon: '{key}: {}'?", value.trim()))
                }
                (_, Some(module)) => {
                    diagnostic.hint(format!("is a colon missing after '{module}'? write '- {module}: ...'"))
                }
                (_, None) => diagnostic.hint("write '- module: arguments'"),
            };
        }
        self.push(diagnostic);
    }

    fn block(&mut self, entries: &[Entry], span: &Span, context: &Context, path: String) -> Step {
        let mut keywords = (*context.keywords).clone();
        let mut inner = context.clone();
        let mut name = None;
        for entry in entries {
            match entry.key.as_str() {
                "name" => name = self.template("name", &entry.value),
                "vars" => self.push_vars(&mut inner.scope, "vars of a block", &entry.value),
                "notify" => {
                    let notify = self.templates("notify", &entry.value);
                    inner.notify.extend(notify);
                }
                "block" | "rescue" | "always" => {}
                _ if self.base_keyword(Kind::Block, entry, &mut keywords) => {}
                _ => self.unknown_in_block(entry),
            }
        }
        inner.keywords = Arc::new(keywords);
        let numbers = format!("{path}.");
        let mut first = 0;
        let mut part = |loader: &mut Self, key: &str| {
            let Some(entry) = entry(entries, key) else { return Vec::new() };
            let steps = loader.steps(&entry.value, &format!("'{key}'"), &inner, &numbers, first);
            first += entry.value.as_list().map_or(0, <[Node]>::len);
            steps
        };
        let tasks = part(self, "block");
        let rescue = part(self, "rescue");
        let always = part(self, "always");
        let keywords = Arc::clone(&inner.keywords);
        Step::Block(Arc::new(Block { path, span: span.clone(), name, role: None, keywords, tasks, rescue, always }))
    }

    fn unknown_in_block(&mut self, entry: &Entry) {
        if self.catalogue.get(&entry.key).is_some() {
            self.push(
                Diagnostic::error(
                    Code::Structure,
                    format!("a block can not have a module of its own ('{}')", entry.key),
                )
                .at(&entry.key_span)
                .hint("make it a task inside the block"),
            );
        } else {
            self.unknown_keyword(Kind::Block, entry);
        }
    }

    /// Adds `vars:` to a scope.
    pub(super) fn push_vars(&mut self, scope: &mut Arc<Scope>, origin: &str, value: &Node) {
        if let Some(vars) = self.vars(origin, value) {
            Arc::make_mut(scope).vars.push(vars);
        }
    }

    fn task(&mut self, entries: &[Entry], span: &Span, context: &Context, path: String) -> Option<Step> {
        let kind = if context.handlers { Kind::Handler } else { Kind::Task };
        let sorted = self.sort_keys(kind, entries);
        let mut keywords = (*context.keywords).clone();
        let mut scope = Arc::clone(&context.scope);
        let own_vars = entry(entries, "vars").and_then(|entry| self.vars("vars of a task", &entry.value));
        let given = self.module_of(&sorted, span, kind, &mut keywords)?;
        let module = short(&given.name).to_owned();
        for entry in &sorted.keywords {
            if !matches!(entry.key.as_str(), "vars" | "name") {
                self.base_keyword(kind, entry, &mut keywords);
            }
        }
        let more = sorted.keywords.iter().find(|entry| entry.key == "args").copied();
        let mut arguments = self.arguments(&given.name, &given.value, more);
        refuse_vaults(&arguments.args, &mut self.diagnostics);
        if module == "include" {
            self.old_include(&given.span);
        }
        if matches!(module.as_str(), "import_tasks" | "import_role" | "include") {
            let is_static = module != "include" || self.is_static_include(&arguments.args, entries);
            if is_static {
                // An import is gone when lint looks at the plan, so its parameters are checked here.
                let wrong = crate::lint::check_parameters(
                    self.catalogue,
                    &module,
                    &arguments.args,
                    &given.span,
                    kfleet_model::Map::new(),
                );
                self.diagnostics.extend(wrong.into_iter().filter(|(missing, _)| !missing).map(|(_, found)| found));
                return self.import(&module, &arguments.args, own_vars, entries, span, context, keywords, path);
            }
        }
        let includes = matches!(module.as_str(), "include" | "include_tasks" | "include_role");
        if let Some(vars) = own_vars {
            let scope = Arc::make_mut(&mut scope);
            if includes { scope.include_params.push(vars) } else { scope.vars.push(vars) }
        }
        let action = self.action(&module, &mut arguments.args, &given.span)?;
        let mut task = Task {
            path,
            span: span.clone(),
            name: entry(entries, "name").and_then(|entry| self.template("name", &entry.value)),
            handler: context.handlers,
            module: if module == "include" { "include_tasks".to_owned() } else { module },
            module_span: given.span,
            action,
            args: arguments.args,
            args_from: arguments.from,
            keywords: Arc::new(keywords),
            around: Arc::clone(&context.keywords),
            repeat: self.repeat(entries),
            register: None,
            notify: context.notify.clone(),
            listen: Vec::new(),
            changed_when: Vec::new(),
            failed_when: Vec::new(),
            until: Vec::new(),
            retries: None,
            delay: None,
            async_seconds: None,
            poll: None,
            scope,
        };
        for entry in &sorted.keywords {
            self.task_keyword(entry, &mut task);
        }
        Some(Step::Task(Arc::new(task)))
    }

    /// Keywords that only tasks have.
    fn task_keyword(&mut self, entry: &Entry, task: &mut Task) {
        let Entry { key, value, key_span } = entry;
        match key.as_str() {
            "register" => {
                task.register = self.template(key, value).map(|name| name.text);
                if let Some(name) = &task.register {
                    self.variable_name(name, &value.span);
                }
            }
            "notify" => task.notify.extend(self.templates(key, value)),
            "listen" => task.listen = self.templates(key, value),
            "changed_when" => task.changed_when = self.conditions(key, value),
            "failed_when" => task.failed_when = self.conditions(key, value),
            "until" => task.until = self.conditions(key, value),
            "retries" => task.retries = self.count(key, value),
            "delay" => task.delay = self.number(key, value),
            "async" => task.async_seconds = self.count(key, value),
            "poll" => {
                task.poll = self.count(key, value);
                if task.poll.as_ref().and_then(crate::plan::Setting::fixed) == Some(&0) {
                    self.push(
                        Diagnostic::error(Code::Unsupported, "a task can not be left running in the background")
                            .at(key_span)
                            .hint("remove 'poll: 0'; an operation outlives a lost connection anyway"),
                    );
                }
            }
            _ => {}
        }
    }

    /// Tells the module's key from keywords and mistakes.
    fn sort_keys<'n>(&mut self, kind: Kind, entries: &'n [Entry]) -> Sorted<'n> {
        let mut sorted = Sorted { module: None, keywords: Vec::new(), unknown: Vec::new() };
        let mut candidates: Vec<&Entry> = Vec::new();
        for entry in entries {
            let key = entry.key.as_str();
            if kind.keywords().any(|word| word == key) || OLD.contains(&key) || key.starts_with("with_") {
                sorted.keywords.push(entry);
            } else if key == "listen" {
                self.push(Diagnostic::error(Code::UnknownKeyword, "'listen' belongs to handlers").at(&entry.key_span));
            } else {
                candidates.push(entry);
            }
        }
        let is_module = |entry: &Entry| self.catalogue.get(&entry.key).is_some() || is_ansible(&entry.key);
        let known = candidates.iter().position(|entry| is_module(entry)).or_else(|| {
            // Of several unknown words the one that is nearest to a module, or else has arguments, is the module.
            let near = candidates.iter().position(|entry| self.catalogue.nearest(&entry.key).is_some());
            let with_arguments = candidates.iter().position(|entry| entry.value.as_mapping().is_some());
            near.or(with_arguments).or(if candidates.len() == 1 { Some(0) } else { None })
        });
        if let Some(at) = known {
            sorted.module = Some(candidates.remove(at));
        }
        sorted.unknown = candidates;
        sorted
    }

    /// The module of a task, from its own key, `action` or `local_action`.
    fn module_of(&mut self, sorted: &Sorted<'_>, span: &Span, kind: Kind, into: &mut Keywords) -> Option<Given> {
        let old = sorted.keywords.iter().find(|entry| matches!(entry.key.as_str(), "action" | "local_action"));
        for entry in &sorted.unknown {
            self.unknown_in_task(entry, sorted.module, kind);
        }
        match (sorted.module, old) {
            (Some(module), Some(other)) => {
                self.two_modules(module, other);
                None
            }
            (Some(module), None) => {
                Some(Given { name: module.key.clone(), span: module.key_span.clone(), value: module.value.clone() })
            }
            (None, Some(old)) => {
                if old.key == "local_action" {
                    let text = "localhost".to_owned();
                    into.delegate_to = Some(Template { text, span: old.key_span.clone() });
                }
                self.action_text(old)
            }
            (None, None) => {
                if sorted.unknown.is_empty() {
                    self.push(
                        Diagnostic::error(Code::NoModule, format!("the {} names no module", kind.noun()))
                            .at(&first_line(span))
                            .hint("add the module that it runs, for example 'command: ...'"),
                    );
                }
                None
            }
        }
    }

    fn two_modules(&mut self, one: &Entry, other: &Entry) {
        self.push(
            Diagnostic::error(
                Code::TwoModules,
                format!("a task runs one module, and this has '{}' and '{}'", one.key, other.key),
            )
            .at(&other.key_span)
            .note_at("the other one", &one.key_span)
            .hint("make two tasks of them; begin the second one with '- '"),
        );
    }

    /// A key of a task that is neither a keyword nor its module.
    fn unknown_in_task(&mut self, entry: &Entry, module: Option<&Entry>, kind: Kind) {
        if let Some(module) = module {
            if self.catalogue.get(&entry.key).is_some() || is_ansible(&entry.key) {
                self.two_modules(module, entry);
                return;
            }
            let takes = self.catalogue.get(&module.key).is_some_and(|doc| doc.param(&entry.key).is_some());
            if takes {
                self.push(
                    Diagnostic::error(
                        Code::UnknownKeyword,
                        format!("'{}' is no keyword of a {}", entry.key, kind.noun()),
                    )
                    .at(&entry.key_span)
                    .hint(format!("it is a parameter of {}: move it two blanks to the right, below it", module.key)),
                );
                return;
            }
        }
        self.unknown_keyword(kind, entry);
    }

    /// `action: module arguments`, or a mapping with the key `module`.
    fn action_text(&mut self, entry: &Entry) -> Option<Given> {
        let Entry { key, value, .. } = entry;
        if let Some(entries) = value.as_mapping() {
            let Some(module) = super::entry(entries, "module").and_then(|e| e.value.as_str()) else {
                self.push(
                    Diagnostic::error(Code::NoModule, format!("'{key}' names no module"))
                        .at(&value.span)
                        .hint("add 'module: NAME' to it"),
                );
                return None;
            };
            let rest = entries.iter().filter(|e| e.key != "module").cloned().collect();
            let value = Node { value: crate::yaml::NodeKind::Mapping(rest), span: value.span.clone() };
            return Some(Given { name: module.to_owned(), span: entry.key_span.clone(), value });
        }
        let Some(text) = value.as_str() else {
            self.wrong(key, "a module and its arguments", value);
            return None;
        };
        let (name, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let span = value.span.find(name, 0).unwrap_or_else(|| value.span.clone());
        Some(Given { name: name.to_owned(), span, value: Node::text(rest.trim(), value.span.clone()) })
    }
}

/// The module that a task names.
struct Given {
    name: String,
    span: Span,
    value: Node,
}

/// The first line of a place: a caret below a whole task would say nothing.
fn first_line(span: &Span) -> Span {
    let mut span = span.clone();
    if span.end_line > span.line {
        span.end_line = span.line;
        span.end_column = u32::try_from(span.source.line(span.line).chars().count()).unwrap_or(0) + 1;
    }
    span
}
