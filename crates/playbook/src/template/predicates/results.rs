//! Tests of task results.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::value::Value;
use super::{Test, test};

pub(super) const TESTS: &[Test] = &[
    test("failed", failed),
    test("failure", failed),
    test("succeeded", |interp, args| failed(interp, args).map(|failed| !failed)),
    test("success", |interp, args| failed(interp, args).map(|failed| !failed)),
    test("successful", |interp, args| failed(interp, args).map(|failed| !failed)),
    test("changed", changed),
    test("change", changed),
    test("skipped", |interp, args| flag(interp, args, "skipped")),
    test("skip", |interp, args| flag(interp, args, "skipped")),
    test("reachable", |interp, args| flag(interp, args, "unreachable").map(|flag| !flag)),
    test("unreachable", |interp, args| flag(interp, args, "unreachable")),
    test("timedout", timed_out),
    test("finished", |interp, args| flag(interp, args, "finished")),
    test("started", |interp, args| flag(interp, args, "started")),
];

fn result(args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    if input.is_mapping() {
        Ok(input)
    } else {
        let message = format!("wants the registered result of a task, not {}", input.kind_text());
        Err(TemplateError::failed(message))
    }
}

fn member(interp: &mut Interp<'_>, result: &Value, name: &str) -> Result<bool> {
    match interp.attr(result, &name.into())? {
        Value::Undefined(_) => Ok(false),
        value => interp.truth(&value),
    }
}

fn flag(interp: &mut Interp<'_>, args: Args, name: &str) -> Result<bool> {
    let result = result(args)?;
    member(interp, &result, name)
}

fn failed(interp: &mut Interp<'_>, args: Args) -> Result<bool> {
    flag(interp, args, "failed")
}

fn changed(interp: &mut Interp<'_>, args: Args) -> Result<bool> {
    let result = result(args)?;
    if !interp.attr(&result, &"changed".into())?.is_undefined() {
        return member(interp, &result, "changed");
    }
    // A loop's result is changed when one of its turns is.
    let turns = interp.attr(&result, &"results".into())?;
    if turns.is_list() {
        for turn in interp.items(&turns)? {
            if turn.is_mapping() && member(interp, &turn, "changed")? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn timed_out(interp: &mut Interp<'_>, args: Args) -> Result<bool> {
    let result = result(args)?;
    match interp.attr(&result, &"timedout".into())? {
        Value::Undefined(_) => Ok(false),
        details => {
            let period = interp.attr(&details, &"period".into())?;
            if period.is_undefined() { interp.truth(&details) } else { interp.truth(&period) }
        }
    }
}
