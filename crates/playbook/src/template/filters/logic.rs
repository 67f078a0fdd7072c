//! Filters about presence, truth and type.

use super::super::error::{ErrorKind, Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::value::Value;
use super::{Filter, filter, lenient};

pub(super) const FILTERS: &[Filter] = &[
    lenient("default", default),
    lenient("d", default),
    lenient("mandatory", mandatory),
    filter("ternary", ternary),
    lenient("type_debug", type_debug),
    filter("safe", unchanged),
    filter("vault", vault),
    filter("unvault", vault),
];

fn default(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [value, boolean] = args.bind(["default_value", "boolean"])?;
    let fallback = value.unwrap_or_else(|| Value::str(""));
    let missing = input.is_undefined() || (interp.arg_flag(boolean, false)? && !interp.truth(&input)?);
    Ok(if missing { fallback } else { input })
}

fn mandatory(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [message] = args.bind(["msg"])?;
    let Value::Undefined(missing) = &input else { return Ok(input) };
    let message = match message {
        None | Some(Value::None) => missing.error().message,
        Some(message) => interp.text(&message)?,
    };
    Err(TemplateError::new(ErrorKind::Undefined, message))
}

fn ternary(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [yes, no, none] = args.bind(["true_val", "false_val", "none_val"])?;
    match none {
        Some(none) if input.is_none() && !none.is_none() => Ok(none),
        _ if interp.truth(&input)? => required(yes, "true_val"),
        _ => required(no, "false_val"),
    }
}

fn type_debug(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    Ok(Value::str(input.type_name()))
}

fn unchanged(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    Ok(input)
}

fn vault(_: &mut Interp<'_>, _: Args) -> Result<Value> {
    Err(TemplateError::failed("templates can not encrypt or decrypt").hinted("keep secrets in a vault file instead"))
}
