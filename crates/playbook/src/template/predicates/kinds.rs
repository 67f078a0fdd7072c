//! Tests of what a value is.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::filters;
use super::super::value::Value;
use super::super::vars::FileTest;
use super::{Test, lenient, test};

pub(super) const TESTS: &[Test] = &[
    lenient("defined", |_, args| plain(args, |value| !value.is_undefined())),
    lenient("undefined", |_, args| plain(args, Value::is_undefined)),
    test("none", |_, args| plain(args, Value::is_none)),
    test("boolean", |_, args| plain(args, |value| matches!(value, Value::Bool(_)))),
    test("true", |_, args| plain(args, |value| matches!(value, Value::Bool(true)))),
    test("false", |_, args| plain(args, |value| matches!(value, Value::Bool(false)))),
    test("integer", |_, args| plain(args, |value| matches!(value, Value::Int(_)))),
    test("float", |_, args| plain(args, |value| matches!(value, Value::Float(_)))),
    test("number", |_, args| plain(args, Value::is_number)),
    test("string", |_, args| plain(args, |value| matches!(value, Value::Str(_)))),
    test("mapping", |_, args| plain(args, Value::is_mapping)),
    test("sequence", |_, args| plain(args, is_sequence)),
    test("iterable", |_, args| plain(args, is_sequence)),
    test("callable", |_, args| plain(args, |value| matches!(value, Value::Object(_)))),
    test("escaped", |_, args| plain(args, |_| false)),
    test("lower", |interp, args| letters(interp, args, |c| !c.is_uppercase(), char::is_lowercase)),
    test("upper", |interp, args| letters(interp, args, |c| !c.is_lowercase(), char::is_uppercase)),
    test("odd", |interp, args| remainder(interp, args, Some(2)).map(|rest| rest != 0)),
    test("even", |interp, args| remainder(interp, args, Some(2)).map(|rest| rest == 0)),
    test("divisibleby", |interp, args| remainder(interp, args, None).map(|rest| rest == 0)),
    test("filter", |interp, args| named(interp, args, |name| filters::find(name).is_some())),
    test("test", |interp, args| named(interp, args, |name| super::find(name).is_some())),
    test("nan", is_nan),
    test("isnan", is_nan),
    test("truthy", |interp, args| truthy(interp, args, true)),
    test("falsy", |interp, args| truthy(interp, args, false)),
    test("abs", |interp, args| named(interp, args, |path| path.starts_with('/'))),
    test("is_abs", |interp, args| named(interp, args, |path| path.starts_with('/'))),
    test("exists", |interp, args| on_disk(interp, args, FileTest::Exists)),
    test("link_exists", |interp, args| on_disk(interp, args, FileTest::LinkExists)),
    test("file", |interp, args| on_disk(interp, args, FileTest::File)),
    test("is_file", |interp, args| on_disk(interp, args, FileTest::File)),
    test("directory", |interp, args| on_disk(interp, args, FileTest::Directory)),
    test("is_dir", |interp, args| on_disk(interp, args, FileTest::Directory)),
    test("link", |interp, args| on_disk(interp, args, FileTest::Link)),
    test("is_link", |interp, args| on_disk(interp, args, FileTest::Link)),
    test("mount", |interp, args| on_disk(interp, args, FileTest::Mount)),
    test("is_mount", |interp, args| on_disk(interp, args, FileTest::Mount)),
    test("url", |interp, args| named(interp, args, is_url)),
    test("uri", |interp, args| {
        named(interp, args, |text| text.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)))
    }),
    test("urn", |interp, args| named(interp, args, |text| text.to_lowercase().starts_with("urn:"))),
    test("vaulted_file", |_, _| {
        Err(TemplateError::failed("asks about files beside the playbook, which is not possible here"))
    }),
    test("vault_encrypted", |interp, args| named(interp, args, |text| text.starts_with("$ANSIBLE_VAULT;"))),
];

fn plain(args: Args, judge: impl Fn(&Value) -> bool) -> Result<bool> {
    let (input, args) = args.input();
    args.none()?;
    Ok(judge(&input))
}

fn is_sequence(value: &Value) -> bool {
    match value {
        Value::Str(_) => true,
        Value::Object(object) => object.attr("__items__").is_some(),
        other => other.is_list() || other.is_mapping(),
    }
}

fn letters(interp: &mut Interp<'_>, args: Args, all: fn(char) -> bool, any: fn(char) -> bool) -> Result<bool> {
    let (input, args) = args.input();
    args.none()?;
    let text = interp.text(&input)?;
    Ok(text.chars().all(all) && text.chars().any(any))
}

fn remainder(interp: &mut Interp<'_>, args: Args, divisor: Option<i128>) -> Result<i128> {
    let (input, args) = args.input();
    let divisor = match divisor {
        Some(divisor) => {
            args.none()?;
            divisor
        }
        None => {
            let value = args.one("num")?;
            interp.arg_int_or(Some(value), "num", 1)?
        }
    };
    let number = input
        .as_int()
        .ok_or_else(|| TemplateError::failed(format!("wants a whole number, not {}", input.kind_text())))?;
    number.checked_rem(divisor).ok_or_else(|| TemplateError::failed("division by zero"))
}

fn named(interp: &mut Interp<'_>, args: Args, judge: impl Fn(&str) -> bool) -> Result<bool> {
    let (input, args) = args.input();
    args.none()?;
    Ok(judge(&interp.text(&input)?))
}

fn is_nan(_: &mut Interp<'_>, args: Args) -> Result<bool> {
    let (input, args) = args.input();
    args.none()?;
    match input.as_float() {
        Some(float) => Ok(float.is_nan()),
        None => Err(TemplateError::failed(format!("wants a number, not {}", input.kind_text()))),
    }
}

fn truthy(interp: &mut Interp<'_>, args: Args, wanted: bool) -> Result<bool> {
    let (input, args) = args.input();
    let [convert] = args.bind(["convert_bool"])?;
    let converted = match interp.arg_flag(convert, false)? {
        true => filters::to_bool(interp, &input)?,
        false => None,
    };
    let truth = match converted {
        Some(flag) => flag,
        None => interp.truth(&input)?,
    };
    Ok(truth == wanted)
}

fn on_disk(interp: &mut Interp<'_>, args: Args, question: FileTest) -> Result<bool> {
    let (input, args) = args.input();
    args.none()?;
    let path = interp.text(&input)?;
    interp.engine.lookups().file_test(question, &path).ok_or_else(|| {
        TemplateError::failed("asks about files beside the playbook, which is not possible here")
            .hinted("use the stat module to ask about files on a host")
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty() && !rest.starts_with('/'))
}
