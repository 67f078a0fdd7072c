//! The keywords of the language, and reading their values.
//!
//! Not here: what stands where (see `plays`, `tasks`, `roles`).

use super::Loader;
use crate::diag::{Code, Diagnostic};
use crate::plan::{Condition, Keywords, Setting, Template, VarMap};
use crate::source::Span;
use crate::yaml::{Entry, Node, NodeKind, is_template};
use kfleet_model::module::{boolean, nearest};
use std::sync::Arc;

/// What a mapping describes; each takes its own keywords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Play,
    Import,
    Role,
    Block,
    Task,
    Handler,
}

impl Kind {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Play => "play",
            Self::Import => "import_playbook",
            Self::Role => "role entry",
            Self::Block => "block",
            Self::Task => "task",
            Self::Handler => "handler",
        }
    }

    fn own(self) -> &'static [&'static str] {
        match self {
            Self::Play => PLAY,
            Self::Import => &["import_playbook"],
            Self::Role => &["role"],
            Self::Block => &["block", "rescue", "always", "notify"],
            Self::Task => TASK,
            Self::Handler => HANDLER,
        }
    }

    /// All keywords of this kind.
    pub(super) fn keywords(self) -> impl Iterator<Item = &'static str> {
        let when: &[&str] = if self == Self::Play { &[] } else { &["when"] };
        let delegate: &[&str] = match self {
            Self::Play | Self::Import => &[],
            Self::Role | Self::Block | Self::Task | Self::Handler => &["delegate_to", "delegate_facts"],
        };
        BASE.iter().chain(when).chain(delegate).chain(self.own()).copied()
    }
}

/// Keywords of everything.
const BASE: &[&str] = &[
    "name",
    "tags",
    "vars",
    "become",
    "become_user",
    "become_method",
    "become_flags",
    "become_exe",
    "environment",
    "ignore_errors",
    "ignore_unreachable",
    "any_errors_fatal",
    "check_mode",
    "diff",
    "no_log",
    "run_once",
    "throttle",
    "timeout",
    "module_defaults",
    "collections",
    "connection",
    "remote_user",
    "port",
    "debugger",
];

const PLAY: &[&str] = &[
    "hosts",
    "vars_files",
    "vars_prompt",
    "gather_facts",
    "gather_subset",
    "gather_timeout",
    "fact_path",
    "serial",
    "strategy",
    "rolling",
    "max_fail_percentage",
    "force_handlers",
    "order",
    "roles",
    "pre_tasks",
    "tasks",
    "post_tasks",
    "handlers",
    "user",
];

const TASK: &[&str] = &[
    "loop",
    "loop_control",
    "register",
    "notify",
    "changed_when",
    "failed_when",
    "until",
    "retries",
    "delay",
    "async",
    "poll",
    "args",
    "action",
    "local_action",
];

const HANDLER: &[&str] = &[
    "loop",
    "loop_control",
    "register",
    "notify",
    "listen",
    "changed_when",
    "failed_when",
    "until",
    "retries",
    "delay",
    "async",
    "poll",
    "args",
    "action",
    "local_action",
];

/// Keywords that Ansible had once.
pub(super) const OLD: &[&str] = &["sudo", "sudo_user", "always_run", "su", "su_user"];

impl Loader<'_> {
    /// Takes a keyword that plays, roles, blocks and tasks share into what is inherited.
    ///
    /// Gives false for any other key. `vars` is left to the caller, who knows which layer it becomes.
    pub(super) fn base_keyword(&mut self, kind: Kind, entry: &Entry, into: &mut Keywords) -> bool {
        let Entry { key, value, key_span } = entry;
        match key.as_str() {
            "when" if kind != Kind::Play => into.when.extend(self.conditions(key, value)),
            "tags" => {
                for tag in self.words(key, value) {
                    if !into.tags.contains(&tag.text) {
                        into.tags.push(tag.text);
                    }
                }
            }
            "become" => replace(&mut into.r#become, self.flag(key, value)),
            "become_user" => replace(&mut into.become_user, self.template(key, value)),
            "become_method" => replace(&mut into.become_method, self.template(key, value)),
            "environment" => into.environment.extend(self.environment(value)),
            "ignore_errors" => replace(&mut into.ignore_errors, self.flag(key, value)),
            "ignore_unreachable" => replace(&mut into.ignore_unreachable, self.flag(key, value)),
            "any_errors_fatal" => replace(&mut into.any_errors_fatal, self.flag(key, value)),
            "check_mode" => replace(&mut into.check_mode, self.flag(key, value)),
            "diff" => replace(&mut into.diff, self.flag(key, value)),
            "no_log" => replace(&mut into.no_log, self.flag(key, value)),
            "run_once" => replace(&mut into.run_once, self.flag(key, value)),
            "throttle" => replace(&mut into.throttle, self.count(key, value)),
            "timeout" => replace(&mut into.timeout, self.count(key, value)),
            "delegate_to" => replace(&mut into.delegate_to, self.template(key, value)),
            "delegate_facts" => replace(&mut into.delegate_facts, self.flag(key, value)),
            "module_defaults" => self.module_defaults(value, into),
            "sudo" => {
                self.old(key_span, "sudo", "become");
                replace(&mut into.r#become, self.flag(key, value));
            }
            "sudo_user" => {
                self.old(key_span, "sudo_user", "become_user");
                replace(&mut into.become_user, self.template(key, value));
            }
            "always_run" => {
                self.old(key_span, "always_run", "check_mode: false");
                if let Some(Setting::Fixed { value: true, span }) = self.flag(key, value) {
                    into.check_mode = Some(Setting::Fixed { value: false, span });
                }
            }
            "connection" | "remote_user" | "user" | "port" | "become_flags" | "become_exe" => {
                self.without_meaning(entry);
            }
            "debugger" => {
                self.push(
                    Diagnostic::error(Code::Unsupported, "kfleet has no task debugger").at(key_span).hint("remove it"),
                );
            }
            "collections" => {}
            _ => return false,
        }
        true
    }

    fn without_meaning(&mut self, entry: &Entry) {
        let local = entry.key == "connection" && entry.value.as_str() == Some("local");
        let hint = if local { "use `delegate_to: localhost` for a task of the controller" } else { "remove it" };
        self.push(
            Diagnostic::warning(
                Code::Unsupported,
                format!("'{}' has no effect: hosts are reached by their agents", entry.key),
            )
            .at(&entry.key_span)
            .hint(hint),
        );
    }

    fn old(&mut self, span: &Span, old: &str, new: &str) {
        self.push(
            Diagnostic::warning(Code::Deprecated, format!("'{old}' is an old form"))
                .at(span)
                .hint(format!("write {new}")),
        );
    }

    fn environment(&mut self, value: &Node) -> Vec<Node> {
        match &value.value {
            NodeKind::Null => Vec::new(),
            NodeKind::Mapping(_) => vec![value.clone()],
            NodeKind::Text(text) if is_template(&text.text) => vec![value.clone()],
            NodeKind::List(items) => items.iter().flat_map(|item| self.environment(item)).collect(),
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Vault(_) => {
                self.wrong("environment", "a mapping of names and values", value);
                Vec::new()
            }
        }
    }

    fn module_defaults(&mut self, value: &Node, into: &mut Keywords) {
        let mappings = match &value.value {
            NodeKind::List(items) => items.iter().collect(),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::Text(_)
            | NodeKind::Mapping(_)
            | NodeKind::Vault(_) => vec![value],
        };
        for mapping in mappings {
            let Some(entries) = mapping.as_mapping() else {
                if !mapping.is_null() {
                    self.wrong("module_defaults", "a mapping of modules", mapping);
                }
                continue;
            };
            for entry in entries {
                if entry.key.starts_with("group/") {
                    self.push(
                        Diagnostic::error(Code::Unsupported, "groups of modules are not known here")
                            .at(&entry.key_span)
                            .hint("name each module"),
                    );
                } else if entry.value.as_mapping().is_some() {
                    let name = crate::catalogue::short(&entry.key).to_owned();
                    into.module_defaults.entry(name).or_default().push(entry.value.clone());
                } else {
                    self.wrong(&entry.key, "a mapping of arguments", &entry.value);
                }
            }
        }
    }

    /// `vars:`, checked for names that can not be used.
    pub(super) fn vars(&mut self, origin: &str, value: &Node) -> Option<Arc<VarMap>> {
        let entries = match &value.value {
            NodeKind::Null => return None,
            NodeKind::Mapping(entries) => entries.clone(),
            // Old playbooks write a list of mappings.
            NodeKind::List(items) if items.iter().all(|item| item.as_mapping().is_some()) => {
                items.iter().filter_map(Node::as_mapping).flatten().cloned().collect()
            }
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) | NodeKind::Vault(_) => {
                self.wrong("vars", "a mapping of variables", value);
                return None;
            }
        };
        for entry in &entries {
            self.variable_name(&entry.key, &entry.key_span);
        }
        if entries.is_empty() { None } else { Some(VarMap::new(origin, entries)) }
    }

    /// Complains of a name that templates could not use.
    pub(super) fn variable_name(&mut self, name: &str, span: &Span) -> bool {
        if is_variable_name(name) {
            return true;
        }
        let better: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut diagnostic =
            Diagnostic::error(Code::WrongType, format!("'{name}' can not be the name of a variable")).at(span);
        diagnostic = if is_variable_name(&better) {
            diagnostic.hint(format!("write '{better}': letters, digits and '_' only"))
        } else {
            diagnostic.hint("use letters, digits and '_', and begin with a letter")
        };
        self.push(diagnostic);
        false
    }

    pub(super) fn flag(&mut self, key: &str, value: &Node) -> Option<Setting<bool>> {
        self.setting(key, "true or false", value, |node| boolean(&node.to_value()))
    }

    pub(super) fn count(&mut self, key: &str, value: &Node) -> Option<Setting<u32>> {
        self.setting(key, "a whole number", value, |node| node.scalar()?.trim().parse().ok())
    }

    pub(super) fn number(&mut self, key: &str, value: &Node) -> Option<Setting<f64>> {
        self.setting(key, "a number", value, |node| {
            let number: f64 = node.scalar()?.trim().trim_end_matches('%').parse().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        })
    }

    /// A value that is known, or comes of a template.
    fn setting<T>(
        &mut self,
        key: &str,
        wanted: &str,
        value: &Node,
        read: impl Fn(&Node) -> Option<T>,
    ) -> Option<Setting<T>> {
        if value.is_null() {
            return None;
        }
        if let Some(text) = value.as_str().filter(|text| is_template(text)) {
            return Some(Setting::Open(Template { text: text.to_owned(), span: value.span.clone() }));
        }
        match read(value) {
            Some(found) => Some(Setting::Fixed { value: found, span: value.span.clone() }),
            None => {
                self.wrong(key, wanted, value);
                None
            }
        }
    }

    /// One text; numbers and booleans become their text.
    pub(super) fn template(&mut self, key: &str, value: &Node) -> Option<Template> {
        if value.is_null() {
            return None;
        }
        match value.scalar() {
            Some(text) => Some(Template { text, span: value.span.clone() }),
            None => {
                self.wrong(key, "a text", value);
                None
            }
        }
    }

    /// A list of texts; a single one is a list of one.
    pub(super) fn templates(&mut self, key: &str, value: &Node) -> Vec<Template> {
        match &value.value {
            NodeKind::Null => Vec::new(),
            NodeKind::List(items) => items.iter().filter_map(|item| self.template(key, item)).collect(),
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Mapping(_) | NodeKind::Vault(_) => {
                self.template(key, value).into_iter().collect()
            }
        }
    }

    /// The same, with texts split at commas.
    pub(super) fn words(&mut self, key: &str, value: &Node) -> Vec<Template> {
        let split = |template: Template| {
            if template.is_open() {
                return vec![template];
            }
            let words = template.text.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(|word| Template { text: word.to_owned(), span: template.span.clone() }).collect()
        };
        self.templates(key, value).into_iter().flat_map(split).collect()
    }

    /// A condition or a list of them; booleans are conditions too.
    pub(super) fn conditions(&mut self, key: &str, value: &Node) -> Vec<Condition> {
        match &value.value {
            NodeKind::Null => Vec::new(),
            NodeKind::List(items) => items.iter().flat_map(|item| self.conditions(key, item)).collect(),
            NodeKind::Bool(b) => vec![Condition { expression: b.to_string(), span: value.span.clone() }],
            NodeKind::Number(n) => vec![Condition { expression: n.to_string(), span: value.span.clone() }],
            NodeKind::Text(text) if text.text.trim().is_empty() => Vec::new(),
            NodeKind::Text(text) => vec![Condition { expression: text.text.clone(), span: value.span.clone() }],
            NodeKind::Mapping(_) | NodeKind::Vault(_) => {
                self.wrong(key, "a condition or a list of conditions", value);
                Vec::new()
            }
        }
    }

    /// A keyword's value has the wrong type.
    pub(super) fn wrong(&mut self, key: &str, wanted: &str, value: &Node) {
        let message = format!("'{key}' must be {wanted}, not {}", value.describe());
        let mut diagnostic = Diagnostic::error(Code::WrongType, message).at(&value.span);
        // An unquoted template is a mapping with a mapping as its key; what is left of it is a mapping here.
        if let Some(text) = value.as_str()
            && let Some((before, after)) = text.split_once(':')
            && !after.starts_with([' ', '/'])
            && !before.contains(' ')
        {
            diagnostic = diagnostic.hint(format!("is a blank missing after the colon: '{before}: {after}'?"));
        }
        self.push(diagnostic);
    }

    /// A key that the language does not have.
    pub(super) fn unknown_keyword(&mut self, kind: Kind, entry: &Entry) {
        let message = format!("'{}' is no keyword of a {}", entry.key, kind.noun());
        let near = nearest(&entry.key, kind.keywords());
        let mut diagnostic = Diagnostic::error(Code::UnknownKeyword, message).at(&entry.key_span);
        diagnostic = match near {
            Some(word) => diagnostic.hint(format!("did you mean '{word}'?")),
            None => match elsewhere(kind, &entry.key) {
                Some(owner) => diagnostic.hint(format!("it belongs to a {owner}")),
                None => diagnostic,
            },
        };
        self.push(diagnostic);
    }
}

/// The kind of thing that a keyword belongs to, when it stands in a wrong one.
fn elsewhere(kind: Kind, key: &str) -> Option<&'static str> {
    [Kind::Task, Kind::Handler, Kind::Block, Kind::Play]
        .into_iter()
        .find(|other| *other != kind && other.keywords().any(|word| word == key))
        .map(Kind::noun)
}

pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A keyword given as null leaves what is inherited.
fn replace<T>(into: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *into = value;
    }
}
