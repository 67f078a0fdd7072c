//! Templates and conditions: syntax, and the names of filters and tests.

use super::Pass;
use crate::diag::{Code, Diagnostic};
use crate::plan::{Condition, Keywords, Setting, Task, Template};
use crate::source::{Source, Span};
use crate::template::{ErrorKind, TemplateError};
use crate::yaml::{Node, is_template};

impl Pass<'_> {
    /// Every text of a task.
    pub(super) fn task_texts(&mut self, task: &Task) {
        for template in task.name.iter().chain(&task.notify).chain(&task.listen).chain(&task.args_from) {
            self.template(template);
        }
        self.arguments(task);
        self.keywords(&task.keywords);
        for conditions in [&task.changed_when, &task.failed_when, &task.until] {
            self.conditions(conditions);
        }
        self.setting(task.retries.as_ref());
        self.setting(task.delay.as_ref());
        self.setting(task.async_seconds.as_ref());
        self.setting(task.poll.as_ref());
        for vars in task.scope.vars.iter().chain(&task.scope.include_params) {
            self.var_map(vars);
        }
        if let Some(repeat) = &task.repeat {
            self.node(&repeat.over);
            if let Some(label) = &repeat.control.label {
                self.node(label);
            }
            self.setting(repeat.control.pause.as_ref());
            self.conditions(&repeat.control.break_when);
        }
    }

    /// Arguments are templates, but for the few that are expressions.
    fn arguments(&mut self, task: &Task) {
        for entry in task.args.as_mapping().unwrap_or_default() {
            match (task.module.as_str(), entry.key.as_str()) {
                ("assert", "that") => self.expressions(&entry.value),
                ("debug", "var") => {
                    if let Some(text) = entry.value.as_str() {
                        let condition = Condition { expression: text.to_owned(), span: entry.value.span.clone() };
                        self.expression(&condition, false);
                    }
                }
                _ => {
                    self.text(&entry.key, &entry.key_span);
                    self.node(&entry.value);
                }
            }
        }
    }

    fn expressions(&mut self, node: &Node) {
        match node.as_list() {
            Some(items) => items.iter().for_each(|item| self.expressions(item)),
            None => {
                if let Some(text) = node.as_str() {
                    self.expression(&Condition { expression: text.to_owned(), span: node.span.clone() }, true);
                }
            }
        }
    }

    pub(super) fn keywords(&mut self, keywords: &Keywords) {
        self.conditions(&keywords.when);
        for node in &keywords.environment {
            self.node(node);
        }
        for node in keywords.module_defaults.values().flatten() {
            self.node(node);
        }
        for template in [&keywords.become_user, &keywords.become_method, &keywords.delegate_to].into_iter().flatten() {
            self.template(template);
        }
        let flags = [
            &keywords.r#become,
            &keywords.ignore_errors,
            &keywords.ignore_unreachable,
            &keywords.any_errors_fatal,
            &keywords.check_mode,
            &keywords.diff,
            &keywords.no_log,
            &keywords.run_once,
            &keywords.delegate_facts,
        ];
        for flag in flags {
            self.setting(flag.as_ref());
        }
        self.setting(keywords.throttle.as_ref());
        self.setting(keywords.timeout.as_ref());
    }

    pub(super) fn setting<T>(&mut self, setting: Option<&Setting<T>>) {
        if let Some(Setting::Open(template)) = setting {
            self.template(template);
        }
    }

    pub(super) fn template(&mut self, template: &Template) {
        self.text(&template.text, &template.span);
    }

    /// Every text in a value.
    pub(super) fn node(&mut self, node: &Node) {
        let mut found = Vec::new();
        node.texts(&mut |text, span| {
            if is_template(text) {
                found.push((text.to_owned(), span.clone()));
            }
        });
        for (text, span) in found {
            self.text(&text, &span);
        }
    }

    fn text(&mut self, text: &str, span: &Span) {
        if !is_template(text) {
            return;
        }
        if let Err(error) = self.lint.engine.check(text) {
            self.push(told(&error, span, Code::Template));
        }
    }

    pub(super) fn conditions(&mut self, conditions: &[Condition]) {
        for condition in conditions {
            self.expression(condition, true);
        }
    }

    fn expression(&mut self, condition: &Condition, is_condition: bool) {
        let Condition { expression, span } = condition;
        if let Err(error) = self.lint.engine.check_condition(expression) {
            self.push(told(&error, span, Code::Condition));
        } else if is_condition && expression.contains("{{") {
            let place = span.find("{{", 0).unwrap_or_else(|| span.clone());
            self.push(
                Diagnostic::warning(Code::Deprecated, "a condition is an expression already and needs no {{ }}")
                    .at(&place)
                    .hint("leave the braces out"),
            );
        }
    }

    /// A template file, which must be there.
    pub(super) fn template_file(&mut self, path: &str, text: &str) {
        if let Err(error) = self.lint.engine.check_file(path, text) {
            let source = Source::new(path, text);
            let span = match &error.place {
                Some(place) => Span::on_line(&source, number(place.line), number(place.column), number(place.width)),
                None => Span::start_of(&source),
            };
            self.push(diagnostic(&error, Code::Template).at(&span));
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX).max(1)
}

/// The error at its place in the file.
fn told(error: &TemplateError, span: &Span, syntax: Code) -> Diagnostic {
    diagnostic(error, syntax).at(&place_of(error, span))
}

fn diagnostic(error: &TemplateError, syntax: Code) -> Diagnostic {
    let code = match error.kind {
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownLookup => Code::UnknownName,
        ErrorKind::Syntax
        | ErrorKind::Undefined
        | ErrorKind::Cycle
        | ErrorKind::Failed
        | ErrorKind::MissingTemplate => syntax,
    };
    // Diagnostics put names between the same marks everywhere.
    let mut message = error.message.replace('`', "'");
    if syntax == Code::Condition {
        message = message.replace("the template can not", "the condition can not");
    }
    let hint = error.hint.as_ref().map(|hint| hint.replace('`', "'")).or_else(|| cure(error));
    let diagnostic = Diagnostic::error(code, message);
    match hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}

/// The words that begin a statement.
const STATEMENTS: &[&str] = &[
    "if",
    "elif",
    "else",
    "endif",
    "for",
    "endfor",
    "set",
    "endset",
    "macro",
    "endmacro",
    "call",
    "endcall",
    "filter",
    "endfilter",
    "raw",
    "endraw",
    "include",
    "import",
    "from",
    "block",
    "endblock",
    "extends",
    "with",
    "endwith",
];

/// What to do about the usual slips of syntax, which the parser names by what it expected.
fn cure(error: &TemplateError) -> Option<String> {
    let message = error.message.as_str();
    let line = error.place.as_ref().map_or("", |place| place.excerpt.as_str());
    if let Some((_, word)) = message.split_once("unknown statement ") {
        return kfleet_model::module::nearest(word.trim(), STATEMENTS.iter().copied())
            .map(|word| format!("did you mean '{word}'?"));
    }
    let cure = if message.contains("end of input, expected end of variable block") {
        "close the expression with }}"
    } else if message.contains("end of input, expected end of block") {
        "close the block: {% endif %}, {% endfor %}"
    } else if message.contains("unexpected input after expression") && line.contains(" = ") {
        "compare with '=='"
    } else if message.contains("end of input, expected expression") || message.contains("unexpected end of variable") {
        "something is missing at the end"
    } else {
        return None;
    };
    Some(cure.to_owned())
}

/// Where the wrong word stands in the file: its line of the template is searched in the value, and the word in that.
#[must_use]
pub fn place_of(error: &TemplateError, span: &Span) -> Span {
    let Some(place) = &error.place else { return span.clone() };
    let line: Vec<char> = place.excerpt.chars().collect();
    let start = place.column.saturating_sub(1).min(line.len());
    let end = (start + place.width).min(line.len());
    let word: String = line.get(start..end).unwrap_or_default().iter().collect();
    let before: String = line.get(..start).unwrap_or_default().iter().collect();
    let excerpt = place.excerpt.trim();
    let (region, skipped) = match span.find(excerpt, 0) {
        Some(region) => (region, before.matches(word.as_str()).count()),
        None => (span.clone(), 0),
    };
    if word.trim().is_empty() { region } else { region.find(&word, skipped).unwrap_or(region) }
}
