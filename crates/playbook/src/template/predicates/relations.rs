//! Tests that relate a value to another.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::filters::Flags;
use super::super::ir::CompareOp;
use super::super::value::Value;
use super::{Test, lenient, test};

pub(super) const TESTS: &[Test] = &[
    test("eq", |interp, args| compare(interp, args, CompareOp::Equal)),
    test("==", |interp, args| compare(interp, args, CompareOp::Equal)),
    test("equalto", |interp, args| compare(interp, args, CompareOp::Equal)),
    test("ne", |interp, args| compare(interp, args, CompareOp::NotEqual)),
    test("!=", |interp, args| compare(interp, args, CompareOp::NotEqual)),
    test("lt", |interp, args| compare(interp, args, CompareOp::Less)),
    test("<", |interp, args| compare(interp, args, CompareOp::Less)),
    test("lessthan", |interp, args| compare(interp, args, CompareOp::Less)),
    test("le", |interp, args| compare(interp, args, CompareOp::LessEqual)),
    test("<=", |interp, args| compare(interp, args, CompareOp::LessEqual)),
    test("gt", |interp, args| compare(interp, args, CompareOp::Greater)),
    test(">", |interp, args| compare(interp, args, CompareOp::Greater)),
    test("greaterthan", |interp, args| compare(interp, args, CompareOp::Greater)),
    test("ge", |interp, args| compare(interp, args, CompareOp::GreaterEqual)),
    test(">=", |interp, args| compare(interp, args, CompareOp::GreaterEqual)),
    test("in", |interp, args| compare(interp, args, CompareOp::In)),
    lenient("sameas", sameas),
    test("contains", contains),
    test("subset", |interp, args| subset(interp, args, false)),
    test("issubset", |interp, args| subset(interp, args, false)),
    test("superset", |interp, args| subset(interp, args, true)),
    test("issuperset", |interp, args| subset(interp, args, true)),
    test("all", |interp, args| every(interp, args, true)),
    test("any", |interp, args| every(interp, args, false)),
    test("match", |interp, args| pattern(interp, args, Some(Where::Start))),
    test("search", |interp, args| pattern(interp, args, Some(Where::Anywhere))),
    test("regex", |interp, args| pattern(interp, args, None)),
    test("same_file", |_, _| {
        Err(TemplateError::failed("asks about files beside the playbook, which is not possible here"))
    }),
    test("is_same_file", |_, _| {
        Err(TemplateError::failed("asks about files beside the playbook, which is not possible here"))
    }),
];

fn compare(interp: &mut Interp<'_>, args: Args, op: CompareOp) -> Result<bool> {
    let (input, args) = args.input();
    let other = args.one("other")?;
    interp.compare(op, &input, &other)
}

fn sameas(interp: &mut Interp<'_>, args: Args) -> Result<bool> {
    let (input, args) = args.input();
    let other = args.one("other")?;
    Ok(match (&input, &other) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::List(a), Value::List(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::Source(a), Value::Source(b)) => std::rc::Rc::ptr_eq(a, b),
        (Value::Undefined(_), _) | (_, Value::Undefined(_)) => {
            input.defined()?;
            other.defined()?;
            interp.truth(&Value::Bool(false))?
        }
        _ => false,
    })
}

fn contains(interp: &mut Interp<'_>, args: Args) -> Result<bool> {
    let (input, args) = args.input();
    let member = args.one("item")?;
    interp.contains(&input, &member)
}

fn subset(interp: &mut Interp<'_>, args: Args, reversed: bool) -> Result<bool> {
    let (input, args) = args.input();
    let other = args.one("other")?;
    let (small, large) = if reversed { (&other, &input) } else { (&input, &other) };
    let large = Value::list(interp.items(large)?);
    for item in interp.items(small)? {
        if !interp.contains(&large, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn every(interp: &mut Interp<'_>, args: Args, all: bool) -> Result<bool> {
    let (input, args) = args.input();
    args.none()?;
    for item in interp.items(&input)? {
        if interp.truth(&item)? != all {
            return Ok(!all);
        }
    }
    Ok(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Start,
    Anywhere,
    Whole,
}

fn pattern(interp: &mut Interp<'_>, args: Args, place: Option<Where>) -> Result<bool> {
    let (input, args) = args.input();
    let [pattern, ignore_case, multiline, kind] = args.bind(["pattern", "ignorecase", "multiline", "match_type"])?;
    let pattern = interp.arg_text(Some(required(pattern, "pattern")?), "pattern")?;
    let flags =
        Flags { ignore_case: interp.arg_flag(ignore_case, false)?, multiline: interp.arg_flag(multiline, false)? };
    let place = match place {
        Some(place) => place,
        None => match interp.arg_text_or(kind, "search")?.as_str() {
            "search" => Where::Anywhere,
            "match" => Where::Start,
            "fullmatch" => Where::Whole,
            other => {
                return Err(TemplateError::failed(format!("matches by search, match or fullmatch, not `{other}`")));
            }
        },
    };
    let text = interp.text(&input)?;
    let pattern = match place {
        Where::Anywhere => pattern,
        Where::Start => format!("\\A(?:{pattern})"),
        Where::Whole => format!("\\A(?:{pattern})\\Z"),
    };
    interp
        .regex(&pattern, flags, &text)?
        .is_match(text.as_str())
        .map_err(|error| TemplateError::failed(format!("the pattern takes too long on this text: {error}")))
}
