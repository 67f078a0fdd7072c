//! Commands of the operator: `command` without a shell, `shell` with one.
//!
//! The outcome is not a state that could be observed: `creates` and `removes` are the only guards, and where they do
//! not decide the command runs. It runs under the shim, so its output and exit status survive the agent.

use super::shared::params::yes;
use super::shared::paths;
use super::{Applied, Module, ModuleError};
use crate::host::{CommandEnd, CommandSpec, Host, HostView};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns, text};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The shell of `shell`, as in Ansible.
const SHELL: &str = "/bin/sh";

/// What Ansible says of a command that ended badly.
const NON_ZERO: &str = "non-zero return code";

/// The two modules that are made of this.
pub(super) struct Command {
    shell: bool,
}

impl Command {
    /// `command`: a program with its arguments.
    pub(super) const COMMAND: Self = Self { shell: false };
    /// `shell`: a text for a shell.
    pub(super) const SHELL: Self = Self { shell: true };
}

/// Their parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    cmd: Option<String>,
    argv: Option<Vec<Value>>,
    chdir: Option<String>,
    creates: Option<String>,
    removes: Option<String>,
    executable: Option<String>,
    stdin: Option<String>,
    #[serde(default = "yes")]
    stdin_add_newline: bool,
    #[serde(default = "yes")]
    strip_empty_ends: bool,
    #[serde(default, rename = "warn")]
    _warn: bool,
}

impl Params {
    /// What a result shows as `cmd`: the text of a shell, the arguments of a command.
    fn shown(&self, argv: &[String], shell: bool) -> Value {
        if shell { self.cmd.clone().unwrap_or_default().into() } else { argv.to_vec().into() }
    }

    fn argv(&self, shell: bool) -> Result<Vec<String>, ModuleError> {
        let fail = |text: String| Err(ModuleError::Invalid(text));
        let argv = match (&self.cmd, &self.argv) {
            (Some(_), Some(_)) => return fail("only one of cmd and argv can be given".to_owned()),
            (Some(cmd), None) if shell => {
                vec![self.executable.clone().unwrap_or_else(|| SHELL.to_owned()), "-c".to_owned(), cmd.clone()]
            }
            (Some(cmd), None) => match shlex::split(cmd) {
                Some(argv) => argv,
                None => return fail(format!("command {cmd:?} has a quote without its other half")),
            },
            (None, Some(argv)) => argv
                .iter()
                .map(|part| text(part).ok_or_else(|| ModuleError::Invalid(format!("argv has {part}, not a text"))))
                .collect::<Result<_, _>>()?,
            (None, None) => return fail("no command given".to_owned()),
        };
        if argv.first().is_none_or(String::is_empty) {
            return fail("no command given".to_owned());
        }
        Ok(argv)
    }

    fn stdin(&self) -> Option<Vec<u8>> {
        let mut text = self.stdin.clone()?;
        if self.stdin_add_newline && !text.ends_with('\n') {
            text.push('\n');
        }
        Some(text.into_bytes())
    }
}

/// What was found.
pub(super) struct Ready {
    argv: Vec<String>,
    folder: Option<PathBuf>,
    /// A guard that makes the command unnecessary, in Ansible's words.
    unnecessary: Option<String>,
}

impl Module for Command {
    type Params = Params;
    type State = Ready;

    fn doc(&self) -> ModuleDoc {
        let mut params = vec![
            param("cmd", ParamKind::Str, if self.shell { "The text for the shell." } else { CMD_DOC })
                .aliases(&["_raw_params"]),
            param("chdir", ParamKind::Path, "The directory to run in."),
            param("creates", ParamKind::Path, "Do not run when this path, or a match of this pattern, is there."),
            param("removes", ParamKind::Path, "Run only when this path, or a match of this pattern, is there."),
            param("stdin", ParamKind::Str, "What the command reads from its standard input."),
            param("stdin_add_newline", ParamKind::Bool, "End stdin with a newline.").default("true"),
            param("strip_empty_ends", ParamKind::Bool, "Cut empty lines at the end of the output.").default("true"),
            param("warn", ParamKind::Bool, "Accepted for old playbooks and without effect.").default("false"),
        ];
        if self.shell {
            params.push(param("executable", ParamKind::Path, "The shell.").default(SHELL));
        } else {
            params.push(param("argv", ParamKind::List, "The program and its arguments, in place of cmd."));
        }
        ModuleDoc {
            name: if self.shell { "shell" } else { "command" }.into(),
            summary: if self.shell { "Runs a text in a shell" } else { "Runs a program, without a shell" }.into(),
            idempotent: false,
            check_mode: CheckMode::Skipped,
            free_form: Some("cmd".into()),
            params,
            returns: vec![
                returns("rc", "the exit status; 128 and the number of the signal that ended it"),
                returns("stdout", "what it wrote; `stdout_lines` has its lines"),
                returns("stderr", "its error output; `stderr_lines` has its lines"),
                returns("cmd", "what was run"),
                returns("start", "when it began, in the host's local time; `end` likewise"),
                returns("delta", "how long it ran, H:MM:SS.ffffff"),
            ],
            examples: if self.shell {
                include_str!("examples/shell.yaml").into()
            } else {
                include_str!("examples/command.yaml").into()
            },
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Ready, ModuleError> {
        let argv = params.argv(self.shell)?;
        let folder = params.chdir.as_deref().map(|path| paths::absolute(host, path)).transpose()?;
        let at = |path: &str| -> Result<PathBuf, ModuleError> {
            let base = folder.as_deref().unwrap_or(Path::new("/"));
            Ok(base.join(paths::expand(host, path)?))
        };
        let mut unnecessary = None;
        if let Some(creates) = &params.creates
            && paths::any_exists(host, &at(creates)?)?
        {
            unnecessary = Some(format!("Did not run command since '{creates}' exists"));
        } else if let Some(removes) = &params.removes
            && !paths::any_exists(host, &at(removes)?)?
        {
            unnecessary = Some(format!("Did not run command since '{removes}' does not exist"));
        }
        if unnecessary.is_none()
            && let Some(folder) = &folder
            && host.stat(folder, true)?.is_none()
        {
            return Err(ModuleError::Invalid(format!("chdir {} does not exist", folder.display())));
        }
        Ok(Ready { argv, folder, unnecessary })
    }

    fn diff(&self, params: &Params, state: &Ready) -> Result<Vec<Change>, ModuleError> {
        if state.unnecessary.is_some() {
            return Ok(Vec::new());
        }
        let object = text(&params.shown(&state.argv, self.shell)).unwrap_or_else(|| state.argv.join(" "));
        Ok(vec![Change::new(object, "run", Value::Null, true)])
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Ready,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let spec = CommandSpec {
            argv: state.argv.clone(),
            cwd: state.folder.clone(),
            stdin: params.stdin(),
            ..CommandSpec::default()
        };
        let started_ms = host.unix_ms();
        let end = host.run(&spec)?;
        outcome(params.shown(&state.argv, self.shell), &end, started_ms, params.strip_empty_ends)
    }

    fn found(&self, params: &Params, state: &Ready) -> Map {
        let mut data = Map::new();
        data.insert("cmd".into(), params.shown(&state.argv, self.shell));
        if let Some(why) = &state.unnecessary {
            data.insert("msg".into(), why.as_str().into());
            data.insert("rc".into(), 0.into());
            data.insert("stdout".into(), format!("skipped, {why}").into());
            data.insert("stderr".into(), "".into());
        }
        data
    }

    fn skips_check(&self, params: &Params, _state: &Ready) -> Option<&'static str> {
        let guarded = params.creates.is_some() || params.removes.is_some();
        (!guarded).then_some("Command would have run if not in check mode")
    }

    fn proves(&self, _params: &Params) -> bool {
        false
    }
}

const CMD_DOC: &str =
    "The program and its arguments, split at blanks as a shell does. No variables, pipes or patterns.";

/// The result's keys of a command that ended. The agent's core uses it too, when it comes back to a command that
/// outlived it.
///
/// # Errors
/// [`ModuleError::Failed`] with the same keys when the status is not 0.
pub fn outcome(shown: Value, end: &CommandEnd, started_ms: i64, strip: bool) -> Result<Map, ModuleError> {
    let elapsed = SignedDuration::try_from(end.elapsed).unwrap_or(SignedDuration::MAX);
    let start = Timestamp::from_millisecond(started_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let stop = start.checked_add(elapsed).unwrap_or(start);
    let local = |time: Timestamp| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
    let out = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if strip { text.trim_end_matches(['\r', '\n']).to_owned() } else { text }
    };
    let mut data = Map::new();
    data.insert("cmd".into(), shown);
    data.insert("rc".into(), end.rc.into());
    data.insert("stdout".into(), out(&end.stdout).into());
    data.insert("stderr".into(), out(&end.stderr).into());
    data.insert("start".into(), local(start).into());
    data.insert("end".into(), local(stop).into());
    data.insert("delta".into(), delta(end.elapsed).into());
    if end.rc == 0 { Ok(data) } else { Err(ModuleError::Failed { msg: NON_ZERO.to_owned(), data }) }
}

/// A time span as Python writes it.
fn delta(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let clock = format!("{}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let days = match seconds / 86_400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    format!("{days}{clock}.{:06}", span.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn spans_are_written_as_python_writes_them() {
        for (span, wanted) in [
            (Duration::from_micros(1_234), "0:00:00.001234"),
            (Duration::from_secs(3_723), "1:02:03.000000"),
            (Duration::from_secs(90_000), "1 day, 1:00:00.000000"),
        ] {
            assert_eq!(delta(span), wanted);
        }
    }
}
