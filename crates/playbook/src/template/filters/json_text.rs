//! JSON as Python writes it, and reading it.

use serde_json::Value as Json;

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::value::{self, Value};
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("to_json", to_json),
    filter("to_nice_json", to_nice_json),
    filter("tojson", tojson),
    filter("from_json", from_json),
];

struct Style {
    indent: Option<usize>,
    sort_keys: bool,
    ascii: bool,
    separators: (String, String),
}

/// The text of a JSON document in Python's style.
fn write(json: &Json, style: &Style, depth: usize, out: &mut String) {
    match json {
        Json::String(text) => write_string(text, style.ascii, out),
        Json::Number(number) => out.push_str(&match number.as_f64() {
            Some(float) if number.is_f64() => value::float_text(float),
            _ => number.to_string(),
        }),
        Json::Array(items) => {
            let write_item = |item: &&Json, out: &mut String| write(item, style, depth + 1, out);
            write_all(items.iter(), ('[', ']'), style, depth, out, write_item);
        }
        Json::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            if style.sort_keys {
                members.sort_by_key(|(key, _)| *key);
            }
            let write_member = |(key, member): &(&String, &Json), out: &mut String| {
                write_string(key, style.ascii, out);
                out.push_str(&style.separators.1);
                write(member, style, depth + 1, out);
            };
            write_all(members.into_iter(), ('{', '}'), style, depth, out, write_member);
        }
        Json::Null | Json::Bool(_) => out.push_str(&json.to_string()),
    }
}

fn write_all<T>(
    items: impl ExactSizeIterator<Item = T>,
    brackets: (char, char),
    style: &Style,
    depth: usize,
    out: &mut String,
    write_one: impl Fn(&T, &mut String),
) {
    let empty = items.len() == 0;
    let newline = |depth: usize, out: &mut String| {
        if let Some(width) = style.indent {
            out.push('\n');
            out.push_str(&" ".repeat(width * depth));
        }
    };
    out.push(brackets.0);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push_str(if style.indent.is_some() { style.separators.0.trim_end() } else { &style.separators.0 });
        }
        newline(depth + 1, out);
        write_one(&item, out);
    }
    if !empty {
        newline(depth, out);
    }
    out.push(brackets.1);
}

fn write_string(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c if ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn dump(interp: &mut Interp<'_>, args: Args, indent: Option<usize>, sort_keys: bool) -> Result<Value> {
    let (input, args) = args.input();
    let [indent_arg, sort_arg, ascii, separators, _vault, _preprocess] =
        args.bind(["indent", "sort_keys", "ensure_ascii", "separators", "vault_to_text", "preprocess_unsafe"])?;
    let indent = match indent_arg {
        None => indent,
        Some(Value::None) => None,
        given => Some(interp.arg_count_or(given, "indent", 0)?.min(64)),
    };
    let separators = match separators.filter(|separators| !separators.is_none()) {
        Some(pair) => match &interp.items(&pair)?[..] {
            [Value::Str(item), Value::Str(key)] => (item.to_string(), key.to_string()),
            _ => return Err(TemplateError::failed("`separators` is a pair of texts")),
        },
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let style = Style {
        indent,
        sort_keys: interp.arg_flag(sort_arg, sort_keys)?,
        ascii: interp.arg_flag(ascii, true)?,
        separators,
    };
    let json = value::to_json(interp, &input)?;
    let mut out = String::new();
    write(&json, &style, 0, &mut out);
    Ok(Value::str(out))
}

fn to_json(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    dump(interp, args, None, false)
}

fn to_nice_json(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    dump(interp, args, Some(4), true)
}

/// Jinja's own form, safe inside HTML.
fn tojson(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let text = dump(interp, args, None, true)?;
    let text = text.as_str().unwrap_or_default();
    Ok(Value::str(
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027"),
    ))
}

fn from_json(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [_profile] = args.bind(["profile"])?;
    if !matches!(input, Value::Str(_)) {
        return Err(TemplateError::failed(format!("reads JSON out of a text, not out of {}", input.kind_text())));
    }
    let text = interp.text(&input)?;
    let json: Json =
        serde_json::from_str(&text).map_err(|error| TemplateError::failed(format!("not JSON: {error}")))?;
    Ok(value::from_json(&json))
}
