//! Parameters of modules, checked by the same function that the agent calls before it runs one.

use crate::catalogue::Catalogue;
use crate::diag::{Code, Diagnostic};
use crate::plan::Task;
use crate::source::Span;
use crate::yaml::{Entry, Node, is_template};
use kfleet_model::module::ParamError;
use kfleet_model::{Map, Value};

/// Checks the arguments of a task with those that `module_defaults` adds.
pub(super) fn check_task(catalogue: &Catalogue, task: &Task) -> Vec<Diagnostic> {
    let mut values = Map::new();
    for defaults in task.keywords.module_defaults.get(&task.module).into_iter().flatten() {
        if let Value::Object(defaults) = defaults.to_value() {
            values.extend(defaults);
        }
    }
    let mut diagnostics = Vec::new();
    for diagnostic in check(catalogue, &task.module, &task.args, &task.module_span, values) {
        let (missing, diagnostic) = diagnostic;
        // What is missing may come of the template that gives more arguments.
        if !(missing && task.args_from.is_some()) {
            diagnostics.push(diagnostic);
        }
    }
    diagnostics
}

/// Checks arguments; `defaults` are known ones beside them. Each diagnostic comes with whether something is missing.
pub(crate) fn check(
    catalogue: &Catalogue,
    module: &str,
    args: &Node,
    span: &Span,
    defaults: Map,
) -> Vec<(bool, Diagnostic)> {
    let Some(doc) = catalogue.get(module) else { return Vec::new() };
    if catalogue.is_open(module) && doc.params.iter().all(|param| !param.required) {
        return Vec::new();
    }
    let entries = args.as_mapping().unwrap_or_default();
    let mut values = defaults;
    for entry in entries {
        values.insert(entry.key.clone(), entry.value.to_value());
    }
    let Err(errors) = doc.normalise(&values, is_open) else { return Vec::new() };
    let mut diagnostics = Vec::new();
    let misspelt: Vec<String> = errors
        .iter()
        .filter_map(|error| match error {
            ParamError::Unknown { nearest: Some(near), .. } => doc.param(near).map(|param| param.name.clone()),
            ParamError::Unknown { .. }
            | ParamError::Missing { .. }
            | ParamError::Twice { .. }
            | ParamError::Type { .. }
            | ParamError::Choice { .. } => None,
        })
        .collect();
    for error in errors {
        let is_unknown = matches!(error, ParamError::Unknown { .. });
        let missing = matches!(error, ParamError::Missing { .. });
        if is_unknown && (catalogue.is_open(module) || is_template(error.param())) {
            continue;
        }
        // A misspelt parameter is told as that, and not as a missing one, too.
        if missing && misspelt.iter().any(|name| name == error.param()) {
            continue;
        }
        diagnostics.push((missing, told(&error, entries, span)));
    }
    diagnostics
}

/// The error at the place of the parameter, with the nearest word as a hint.
fn told(error: &ParamError, entries: &[Entry], span: &Span) -> Diagnostic {
    let entry = entries.iter().find(|entry| entry.key == error.param());
    let (place, near) = match error {
        ParamError::Unknown { nearest, .. } => (entry.map(|entry| &entry.key_span), nearest.clone()),
        ParamError::Twice { .. } => (entry.map(|entry| &entry.key_span), None),
        ParamError::Choice { nearest, .. } => (entry.map(|entry| &entry.value.span), nearest.clone()),
        ParamError::Type { .. } => (entry.map(|entry| &entry.value.span), None),
        ParamError::Missing { .. } => (None, None),
    };
    // The nearest word stands in the hint; the message shows the rest.
    let text = error.to_string();
    let message = text.split(" (did you mean").next().unwrap_or(&text).to_owned();
    Diagnostic::error(Code::Parameter, message).at(place.unwrap_or(span)).did_you_mean(near)
}

/// A value is not known before the run when there is a template anywhere in it.
pub(super) fn is_open(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(is_open),
        Value::Object(map) => map.iter().any(|(key, value)| is_template(key) || is_open(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
