//! Tasks that the controller does itself, and the controller's half of those that need its files.
//!
//! `debug`, `set_fact`, `assert`, `fail`, `include_vars` and `pause` never leave the controller. `template` is rendered
//! here and `copy` read here, and certificates of services are signed here; what travels is content, or the hash of a file
//! that the agent's cache gets first.

use super::certificate;
use super::files;
use super::hosts::RunHost;
use super::task::{TaskFailure, TaskRun};
use super::vars::TaskVars;
use kfleet_model::module::{boolean, text};
use kfleet_model::{Map, TaskResult, Value};
use std::path::PathBuf;
use std::time::Duration;

/// Content up to this size travels inside the op; larger files and binary ones go through the agent's cache.
const INLINE_BYTES: u64 = 128 * 1024;

/// The names of the actions here, for lint.
pub const ACTIONS: &[&str] = &["assert", "debug", "fail", "include_vars", "pause", "set_fact"];

/// What a task became.
pub(super) enum Prepared {
    /// It is done: the controller did it.
    Ended(Box<TaskResult>),
    /// Wait so long.
    Pause(Duration),
    /// An op for the agent.
    Op {
        /// The module.
        module: String,
        /// Its parameters.
        params: Map,
        /// Files that its cache must have: SHA-256 and path here.
        files: Vec<(String, PathBuf)>,
    },
}

impl Prepared {
    fn ended(result: TaskResult) -> Result<Self, TaskFailure> {
        Ok(Self::Ended(Box::new(result)))
    }
}

/// Does the controller's part of a task.
///
/// # Errors
/// When a file is missing, a template fails or a parameter makes no sense.
pub(super) fn prepare(
    task: &TaskRun<'_>,
    host: &RunHost,
    vars: &TaskVars,
    params: Map,
    check: bool,
) -> Result<Prepared, TaskFailure> {
    match task.task.module.as_str() {
        "debug" => debug(task, vars, &params),
        "set_fact" => set_fact(host, params),
        "assert" => assert(task, vars, &params),
        "fail" => fail(&params),
        "include_vars" => include_vars(task, host, &params),
        "pause" => pause(&params, check),
        "template" => template(task, vars, params),
        "copy" => copy(task, params),
        "service_certificate_request" => certificate::request(&task.play.run.pki, host, params, check),
        "service_certificate" => certificate::sign(&task.play.run.pki, host, params, check),
        module => Ok(Prepared::Op { module: module.to_owned(), params, files: Vec::new() }),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only text is a message; any other value is shown as it is")]
fn debug(task: &TaskRun<'_>, vars: &TaskVars, params: &Map) -> Result<Prepared, TaskFailure> {
    let mut result = TaskResult::default();
    let verbosity = params.get("verbosity").and_then(super::task::whole).unwrap_or(0);
    if verbosity > task.play.run.options.verbosity {
        return Prepared::ended(TaskResult::skip("Verbosity threshold not met."));
    }
    result.data.insert("_verbose_always".to_owned(), true.into());
    match params.get("var") {
        Some(var) => {
            let name =
                text(var).ok_or_else(|| TaskFailure("debug: 'var' must be the name of a variable".to_owned()))?;
            // As in Ansible, a variable that is not there is shown as such and is no failure.
            let value = task.play.run.evaluate(&name, vars).unwrap_or_else(|_| "VARIABLE IS NOT DEFINED!".into());
            result.data.insert(name, value);
        }
        None => {
            let msg = params.get("msg").cloned().unwrap_or_else(|| "Hello world!".into());
            match msg {
                Value::String(text) => result.msg = Some(text),
                other => {
                    result.data.insert("msg".to_owned(), other);
                }
            }
        }
    }
    Prepared::ended(result)
}

fn set_fact(host: &RunHost, mut params: Map) -> Result<Prepared, TaskFailure> {
    params.shift_remove("cacheable");
    for name in params.keys() {
        let valid =
            name.chars().enumerate().all(|(n, c)| c == '_' || c.is_alphabetic() || n > 0 && c.is_alphanumeric());
        if !valid || name.is_empty() {
            return Err(TaskFailure(format!("set_fact: {name:?} is not a name for a variable")));
        }
    }
    host.set_facts(params.clone());
    let mut result = TaskResult::default();
    result.data.insert("ansible_facts".to_owned(), Value::Object(params));
    Prepared::ended(result)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only a boolean is its own answer; anything else is an expression")]
fn assert(task: &TaskRun<'_>, vars: &TaskVars, params: &Map) -> Result<Prepared, TaskFailure> {
    let that = match params.get("that") {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => return Err(TaskFailure("assert: 'that' is missing".to_owned())),
    };
    for condition in &that {
        let holds = match condition {
            Value::Bool(b) => *b,
            other => {
                let expression = text(other).unwrap_or_default();
                task.play.run.holds(&expression, vars).map_err(|error| task.template_failure(&error))?
            }
        };
        if !holds {
            let msg = params
                .get("fail_msg")
                .or_else(|| params.get("msg"))
                .map_or_else(|| "Assertion failed".to_owned(), |msg| text(msg).unwrap_or_else(|| msg.to_string()));
            let mut result = TaskResult::failure(msg);
            result.data.insert("assertion".to_owned(), condition.clone());
            result.data.insert("evaluated_to".to_owned(), false.into());
            return Prepared::ended(result);
        }
    }
    let mut result = TaskResult::default();
    let quiet = params.get("quiet").and_then(boolean).unwrap_or(false);
    if !quiet {
        let msg = params.get("success_msg").and_then(text).unwrap_or_else(|| "All assertions passed".to_owned());
        result.msg = Some(msg);
    }
    Prepared::ended(result)
}

fn fail(params: &Map) -> Result<Prepared, TaskFailure> {
    let msg = params.get("msg").and_then(text).unwrap_or_else(|| "Failed as requested from task".to_owned());
    Prepared::ended(TaskResult::failure(msg))
}

fn pause(params: &Map, check: bool) -> Result<Prepared, TaskFailure> {
    let seconds = params.get("seconds").and_then(super::task::number).unwrap_or(0.0);
    let minutes = params.get("minutes").and_then(super::task::number).unwrap_or(0.0);
    let time = seconds + minutes * 60.0;
    if !(0.0..=86_400.0).contains(&time) {
        return Err(TaskFailure(format!("pause: {time} s is not between 0 and a day")));
    }
    if time == 0.0 && params.contains_key("prompt") {
        return Err(TaskFailure(
            "pause: a prompt without 'seconds' or 'minutes' needs a person; give a time".to_owned(),
        ));
    }
    Ok(Prepared::Pause(if check { Duration::ZERO } else { Duration::from_secs_f64(time) }))
}

fn include_vars(task: &TaskRun<'_>, host: &RunHost, params: &Map) -> Result<Prepared, TaskFailure> {
    let file = params
        .get("file")
        .or_else(|| params.get("_raw_params"))
        .and_then(text)
        .ok_or_else(|| TaskFailure("include_vars: 'file' is missing".to_owned()))?;
    let (path, map) = task.play.run.read_vars(task.task, &file)?;
    let values = match params.get("name").and_then(text) {
        Some(name) => [(name, Value::Object(map))].into_iter().collect(),
        None => map,
    };
    host.include_vars(values.clone());
    let mut result = TaskResult::default();
    result.data.insert("ansible_facts".to_owned(), Value::Object(values));
    result.data.insert("ansible_included_var_files".to_owned(), vec![path].into());
    Prepared::ended(result)
}

fn template(task: &TaskRun<'_>, vars: &TaskVars, mut params: Map) -> Result<Prepared, TaskFailure> {
    let src = params
        .shift_remove("src")
        .as_ref()
        .and_then(text)
        .ok_or_else(|| TaskFailure("template: 'src' is missing".to_owned()))?;
    for local in ["newline_sequence", "trim_blocks", "lstrip_blocks", "output_encoding", "variable_start_string"] {
        if params.shift_remove(local).is_some() {
            return Err(TaskFailure(format!(
                "template: '{local}' is not supported; write it into the template's '#jinja2:' line"
            )));
        }
    }
    let (path, content) = task.play.run.render_template(task.task, &src, vars)?;
    params.insert("content".to_owned(), content.into());
    params.insert("_name".to_owned(), base_name(&path).trim_end_matches(".j2").into());
    // On the host a rendered template is a file like any other.
    Ok(Prepared::Op { module: "copy".to_owned(), params, files: Vec::new() })
}

fn copy(task: &TaskRun<'_>, mut params: Map) -> Result<Prepared, TaskFailure> {
    let remote = params.get("remote_src").and_then(boolean).unwrap_or(false);
    let op = |params, files| Ok(Prepared::Op { module: "copy".to_owned(), params, files });
    if remote {
        return op(params, Vec::new());
    }
    if let Some(content) = params.get_mut("content") {
        if content.is_object() || content.is_array() {
            *content = content.to_string().into();
        } else if let Some(plain) = text(content) {
            *content = plain.into();
        }
        return op(params, Vec::new());
    }
    let Some(src) = params.shift_remove("src").as_ref().and_then(text) else {
        return Err(TaskFailure("copy: either 'src' or 'content' must be given".to_owned()));
    };
    let path = task.play.run.find_file(task.task, "files", &src)?;
    let meta = std::fs::metadata(&path).map_err(|error| TaskFailure(format!("copy: {}: {error}", path.display())))?;
    if meta.is_dir() {
        return Err(TaskFailure(format!(
            "copy: {} is a directory; copying whole directories is not supported yet",
            path.display()
        )));
    }
    if params.get("mode").and_then(text).as_deref() == Some("preserve") {
        use std::os::unix::fs::PermissionsExt as _;
        params.insert("mode".to_owned(), format!("{:04o}", meta.permissions().mode() & 0o7777).into());
    }
    params.insert("_name".to_owned(), base_name(&src).into());
    if meta.len() <= INLINE_BYTES
        && let Ok(content) = std::fs::read_to_string(&path)
    {
        params.insert("content".to_owned(), content.into());
        return op(params, Vec::new());
    }
    let sha256 = task.play.run.sha256(&path)?;
    params.insert("_blob".to_owned(), sha256.clone().into());
    op(params, vec![(sha256, path)])
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Hashes each of the controller's files once in a run.
#[derive(Debug, Default)]
pub(super) struct Hashes(std::sync::Mutex<std::collections::BTreeMap<PathBuf, String>>);

impl Hashes {
    /// The SHA-256 of a file.
    ///
    /// # Errors
    /// When it can not be read.
    pub(super) fn of(&self, path: &std::path::Path) -> std::io::Result<String> {
        // Held while hashing, on purpose: the other hosts wait for this one hash instead of each making it.
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sha256) = known.get(path) {
            return Ok(sha256.clone());
        }
        let (sha256, _) = files::sha256(path)?;
        known.insert(path.to_owned(), sha256.clone());
        Ok(sha256)
    }
}
