//! Runs one op's module and says how it ended.
//!
//! Purpose: parse the parameters, call the module once, turn its outcome into one of the five ends. A module that panics
//! fails its task and nothing else.
//! Place in the flow: called by `ops` on a blocking thread; the order observe -> diff -> apply is the contract's own.
//! Not here: who may run when, the journal.

use crate::host::{CommandEnd, HostError, HostView, RealHost};
use crate::journal::error::chain;
use crate::journal::record::Accepted;
use crate::journal::spool::Exit;
use crate::modules::{AnyModule, Call, MODULES, ModuleError, UnitStop, command};
use crate::ops::{Context, Stop};
use kfleet_model::module::{CheckMode, ModuleDoc, nearest};
use kfleet_model::{Map, Op, OpEnd, TaskResult, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// A module with its document, which is costly to make anew for every op.
struct Known {
    doc: ModuleDoc,
    module: &'static dyn AnyModule,
}

static KNOWN: LazyLock<BTreeMap<String, Known>> = LazyLock::new(|| {
    let known = MODULES.iter().map(|&module| Known { doc: module.doc(), module });
    known.map(|known| (known.doc.name.clone(), known)).collect()
});

/// Prefixes that a module's name may have.
const PREFIXES: [&str; 3] = ["ansible.builtin.", "ansible.legacy.", "kfleet."];

/// Cuts a module's prefix, so that one op under two spellings is one op.
pub(crate) fn canonical_name(module: &mut String) {
    if let Some(short) = PREFIXES.iter().find_map(|prefix| module.strip_prefix(prefix)) {
        *module = short.to_owned();
    }
}

/// Whether an op may change the host: neither a module that only reads, nor check mode. A module that is not known will
/// be refused and changes nothing.
pub(crate) fn may_change(op: &Op) -> bool {
    !op.check && KNOWN.get(&op.module).is_some_and(|known| known.doc.check_mode != CheckMode::ReadOnly)
}

/// Runs an op. `before_apply` is called once, when something must be changed and before it is, with the unit that will be
/// stopped; its failure is the op's end.
pub(crate) fn run(
    op: &Op,
    context: &Arc<Context>,
    mut before_apply: impl FnMut(&dyn HostView, Option<&UnitStop>) -> Result<(), Box<OpEnd>>,
) -> OpEnd {
    let Some(known) = KNOWN.get(&op.module) else {
        let hint = nearest(&op.module, KNOWN.keys().map(String::as_str));
        let hint = hint.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default();
        return OpEnd::Refused { why: format!("this agent has no module '{}'{hint}", op.module) };
    };
    let params = match known.doc.normalise(&op.params, |_| false) {
        Ok(params) => params,
        Err(errors) => {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return OpEnd::Refused { why: texts.join("; ") };
        }
    };
    let host = RealHost::new(context.clone());
    let call = Call { params: &params, check: op.check, diff: op.diff };
    let mut withheld = None;
    let mut hook = |stop: Option<&UnitStop>| {
        before_apply(&host, stop).map_err(|end| {
            withheld = Some(end);
            ModuleError::Stopped("its first side effect")
        })
    };
    // After a panic nothing of the module is used again, and the host it may have left half changed is reported so.
    let outcome = catch_unwind(AssertUnwindSafe(|| known.module.run(&host, call, &mut hook)));
    match (outcome, withheld, context.unknown()) {
        (_, Some(end), _) => *end,
        (_, None, Some(why)) => OpEnd::Unknown { why },
        (Ok(Ok(result)), None, None) => OpEnd::Done { result },
        (Ok(Err(error)), None, None) => failed(context, error),
        (Err(panic), None, None) => {
            let msg = format!("module {} panicked (a bug of kfleet): {}", op.module, panic_text(panic.as_ref()));
            tracing::error!(op = %op.op_id, module = op.module, "a module panicked");
            OpEnd::Failed { result: TaskResult { changed: context.entry().effects(), ..TaskResult::failure(msg) } }
        }
    }
}

fn failed(context: &Context, error: ModuleError) -> OpEnd {
    let changed = context.entry().effects();
    let result =
        |msg: String, data: Map| OpEnd::Failed { result: TaskResult { changed, data, ..TaskResult::failure(msg) } };
    match error {
        ModuleError::Stopped(what) => match context.entry().stop_reason() {
            Some(Stop::Cancelled) => OpEnd::Refused { why: format!("cancelled before {what}") },
            Some(Stop::Deadline) | None => OpEnd::Expired { why: format!("its deadline passed before {what}") },
        },
        ModuleError::Failed { msg, data } => result(msg, data),
        ModuleError::Host(HostError::Stopped(what)) => {
            let why = match context.entry().stop_reason() {
                Some(Stop::Cancelled) => "cancelled",
                Some(Stop::Deadline) | None => "its deadline passed",
            };
            result(format!("{why} while it waited for {what}"), Map::new())
        }
        error @ (ModuleError::Host(_) | ModuleError::Invalid(_)) => result(chain(&error), Map::new()),
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Whether an op of this module is nothing but its command.
pub(crate) fn is_command(module: &str) -> bool {
    matches!(module, "command" | "shell")
}

/// The end of an op whose agent died while its command ran.
pub(crate) fn recovered(accepted: &Accepted, exit: &Exit, end: &CommandEnd, stopped: Option<&str>) -> OpEnd {
    if !is_command(&accepted.module) {
        let status = exit.rc.map_or("did not start".to_owned(), |rc| format!("ended with status {rc}"));
        return OpEnd::Unknown {
            why: format!("the agent was restarted while {} ran; its command {status}", accepted.module),
        };
    }
    let failed = |msg: String, data: Map| OpEnd::Failed {
        result: TaskResult { changed: true, data, ..TaskResult::failure(msg) },
    };
    if let Some(why) = stopped {
        return failed(format!("stopped while waiting for {why}"), Map::new());
    }
    let (shown, strip) = shown(accepted);
    if let Some(why) = &exit.error {
        return failed(format!("command {shown} {why}"), Map::new());
    }
    match command::outcome(shown, end, exit.started_unix_ms, strip) {
        Ok(data) => OpEnd::Done { result: TaskResult { changed: true, data, ..TaskResult::default() } },
        Err(ModuleError::Failed { msg, data }) => failed(msg, data),
        Err(error @ (ModuleError::Host(_) | ModuleError::Invalid(_) | ModuleError::Stopped(_))) => {
            failed(chain(&error), Map::new())
        }
    }
}

/// What the result shows as `cmd`, and whether empty lines at the end of output are cut, from the journal. An op with secrets
/// has no parameters there.
fn shown(accepted: &Accepted) -> (Value, bool) {
    let params = KNOWN.get(&accepted.module).and_then(|known| known.doc.normalise(&accepted.params, |_| false).ok());
    let params = params.unwrap_or_default();
    let strip = params.get("strip_empty_ends").and_then(Value::as_bool).unwrap_or(true);
    let shown = match (params.get("argv"), params.get("cmd").and_then(Value::as_str)) {
        (Some(argv), _) => argv.clone(),
        (None, Some(cmd)) if accepted.module == "shell" => cmd.into(),
        (None, Some(cmd)) => shlex::split(cmd).map_or_else(|| cmd.into(), Value::from),
        (None, None) => Value::Null,
    };
    (shown, strip)
}

/// The same end without anything that could be secret, for the disk.
pub(crate) fn masked(end: &OpEnd) -> OpEnd {
    const CENSORED: &str =
        "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
    let mask = |result: &TaskResult| TaskResult {
        changed: result.changed,
        failed: result.failed,
        skipped: result.skipped,
        data: Map::from_iter([("censored".to_owned(), CENSORED.into())]),
        ..TaskResult::default()
    };
    match end {
        OpEnd::Done { result } => OpEnd::Done { result: mask(result) },
        OpEnd::Failed { result } => OpEnd::Failed { result: mask(result) },
        OpEnd::Refused { .. } => OpEnd::Refused { why: CENSORED.to_owned() },
        OpEnd::Expired { .. } => OpEnd::Expired { why: CENSORED.to_owned() },
        OpEnd::Unknown { .. } => OpEnd::Unknown { why: CENSORED.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::{Change, OpId, RunId};
    use serde_json::json;

    fn accepted(module: &str, params: Value) -> Accepted {
        Accepted {
            op_id: OpId::new("o").unwrap(),
            run_id: RunId::new("r").unwrap(),
            digest: String::new(),
            module: module.into(),
            params: params.as_object().unwrap().clone(),
            no_log: false,
            boot_id: String::new(),
            unix_ms: 0,
            deadline_unix_ms: 0,
        }
    }

    fn exit(rc: Option<i32>, error: Option<&str>) -> (Exit, CommandEnd) {
        let exit = Exit {
            rc,
            error: error.map(str::to_owned),
            stopped: None,
            started_unix_ms: 0,
            elapsed_us: 1000,
            dropped_bytes: 0,
        };
        let end = CommandEnd {
            rc: rc.unwrap_or(-1),
            stdout: b"out\n".to_vec(),
            stderr: Vec::new(),
            elapsed: std::time::Duration::from_millis(1),
        };
        (exit, end)
    }

    #[test]
    fn a_command_that_outlived_its_agent_has_the_result_that_it_would_have_had() {
        let (status_0, end) = exit(Some(0), None);
        let OpEnd::Done { result } = recovered(&accepted("shell", json!({"cmd": "a | b"})), &status_0, &end, None)
        else {
            panic!("status 0 is done")
        };
        assert!(result.changed);
        assert_eq!((&result.data["stdout"], &result.data["cmd"]), (&json!("out"), &json!("a | b")));
        let (status_3, end) = exit(Some(3), None);
        let OpEnd::Failed { result } =
            recovered(&accepted("command", json!({"cmd": "a 'b c'"})), &status_3, &end, None)
        else {
            panic!("status 3 is a failure")
        };
        assert_eq!((&result.data["rc"], &result.data["cmd"]), (&json!(3), &json!(["a", "b c"])));
    }

    #[test]
    fn a_module_that_is_more_than_its_command_ends_unknown() {
        let (exit, end) = exit(Some(0), None);
        assert!(matches!(recovered(&accepted("apt", json!({})), &exit, &end, None), OpEnd::Unknown { .. }));
    }

    #[test]
    fn what_goes_to_disk_of_an_op_with_secrets_holds_none_of_them() {
        let result = TaskResult {
            changed: true,
            msg: Some("canary".into()),
            data: Map::from_iter([("stdout".to_owned(), "canary".into())]),
            changes: vec![Change::new("canary", "content", "canary", "canary")],
            facts: Map::from_iter([("canary".to_owned(), 1.into())]),
            warnings: vec!["canary".into()],
            ..TaskResult::default()
        };
        let ends = [
            OpEnd::Done { result: result.clone() },
            OpEnd::Failed { result },
            OpEnd::Refused { why: "canary".into() },
            OpEnd::Expired { why: "canary".into() },
            OpEnd::Unknown { why: "canary".into() },
        ];
        for end in ends {
            let text = serde_json::to_string(&masked(&end)).unwrap();
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn prefixes_of_module_names_are_cut() {
        for (given, wanted) in [
            ("ansible.builtin.command", "command"),
            ("ansible.legacy.shell", "shell"),
            ("ping", "ping"),
            ("community.general.ini_file", "community.general.ini_file"),
        ] {
            let mut name = given.to_owned();
            canonical_name(&mut name);
            assert_eq!(name, wanted);
        }
    }
}
