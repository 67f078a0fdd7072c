//! Keys and values of Kafka's and ZooKeeper's configuration in the tasks that set them.
//!
//! What is written out in the playbook is checked here, by the same rules as on the host; a value that holds a
//! template is checked when the run has its variables, and its key here.

use super::parameters::is_open;
use crate::diag::{Code, Diagnostic};
use crate::plan::Task;
use crate::yaml::{Entry, is_template};
use kfleet_config::task::Asked;
use kfleet_config::{Extent, Finding, Severity};
use kfleet_model::{Map, Value};

/// Checks the settings of a task of `kafka_config` or `zookeeper_config`.
pub(super) fn check_task(task: &Task) -> Vec<Diagnostic> {
    let entries = task.args.as_mapping().unwrap_or_default();
    let Some(settings) = entries.iter().find(|entry| entry.key == "settings") else { return Vec::new() };
    let Some(keys) = settings.value.as_mapping() else { return Vec::new() };
    let mut params = Map::new();
    for defaults in task.keywords.module_defaults.get(&task.module).into_iter().flatten() {
        if let Value::Object(defaults) = defaults.to_value() {
            params.extend(defaults);
        }
    }
    params.extend(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())));
    // What decides about the check itself must be known.
    if ["kind", "checks", "extra_keys"].iter().any(|name| params.get(*name).is_some_and(is_open)) {
        return Vec::new();
    }
    let (open, known): (Vec<&Entry>, Vec<&Entry>) =
        keys.iter().partition(|entry| is_template(&entry.key) || is_open(&entry.value.to_value()));
    let literal: Map = known.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect();
    params.insert("settings".to_owned(), literal.into());
    let Some(mut asked) = Asked::of(&task.module, &params) else { return Vec::new() };
    if !open.is_empty() || task.args_from.is_some() {
        asked.extent = Extent::Part;
    }
    let mut found = asked.check();
    for entry in open.iter().filter(|entry| !is_template(&entry.key)) {
        found.extend(asked.check_key(&entry.key));
    }
    found.iter().map(|finding| told(finding, keys, task)).collect()
}

/// The finding at the place of its key, or of its value where that is what is wrong.
fn told(finding: &Finding, keys: &[Entry], task: &Task) -> Diagnostic {
    let message = finding.problem.to_string();
    let diagnostic = match finding.severity {
        Severity::Error => Diagnostic::error(Code::Configuration, message),
        Severity::Warning => Diagnostic::warning(Code::Configuration, message),
    };
    let place = keys
        .iter()
        .find(|entry| entry.key == finding.key)
        .map(|entry| if finding.problem.is_about_the_value() { &entry.value.span } else { &entry.key_span });
    let diagnostic = diagnostic.at(place.unwrap_or(&task.module_span));
    match finding.problem.hint() {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}
