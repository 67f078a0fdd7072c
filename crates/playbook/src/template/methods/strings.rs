//! Methods of strings.

use std::sync::Arc;

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::format::str_format;
use super::super::value::Value;

/// Every method, for suggestions.
pub(super) const NAMES: &[&str] = &[
    "upper",
    "lower",
    "capitalize",
    "title",
    "swapcase",
    "casefold",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "splitlines",
    "partition",
    "rpartition",
    "replace",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "startswith",
    "endswith",
    "removeprefix",
    "removesuffix",
    "join",
    "format",
    "zfill",
    "ljust",
    "rjust",
    "center",
    "expandtabs",
    "encode",
    "isdigit",
    "isdecimal",
    "isnumeric",
    "isalpha",
    "isalnum",
    "isspace",
    "isupper",
    "islower",
    "istitle",
    "isidentifier",
    "isascii",
];

pub(super) fn call(interp: &mut Interp<'_>, text: &Arc<str>, name: &str, args: Args) -> Result<Value> {
    match name {
        "upper" | "lower" | "casefold" | "capitalize" | "title" | "swapcase" | "encode" => change(text, name, args),
        "strip" | "lstrip" | "rstrip" => strip(interp, text, name, args),
        "split" | "rsplit" => split(interp, text, name == "rsplit", args),
        "splitlines" => split_lines(interp, text, args),
        "partition" | "rpartition" => partition(interp, text, name == "rpartition", args),
        "replace" => replace(interp, text, args),
        "find" | "rfind" | "index" | "rindex" => find(interp, text, name, args),
        "count" => count(interp, text, args),
        "startswith" | "endswith" => affix(interp, text, name == "startswith", args),
        "removeprefix" | "removesuffix" => remove_affix(interp, text, name == "removeprefix", args),
        "join" => join(interp, text, args),
        "format" => str_format(interp, text, args).map(Value::str),
        "zfill" | "ljust" | "rjust" | "center" => justify(interp, text, name, args),
        "expandtabs" => {
            let [size] = args.bind(["tabsize"])?;
            let size = interp.arg_count_or(size, "tabsize", 8)?;
            Ok(Value::str(expand_tabs(text, size)))
        }
        _ if name.starts_with("is") && NAMES.contains(&name) => args.none().map(|()| Value::Bool(is(text, name))),
        _ => Err(super::unknown(&Value::Str(text.clone()), name)),
    }
}

/// First letter upper case, the rest lower case.
pub(in super::super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    first + &chars.as_str().to_lowercase()
}

fn change(text: &str, name: &str, args: Args) -> Result<Value> {
    if name == "encode" {
        // Text is UTF-8 here already, and bytes are not a type of their own.
        args.bind(["encoding", "errors"])?;
        return Ok(Value::str(text));
    }
    args.none()?;
    Ok(Value::str(match name {
        "upper" => text.to_uppercase(),
        "capitalize" => capitalize(text),
        "title" => title(text),
        "swapcase" => text.chars().flat_map(swap_case).collect(),
        _ => text.to_lowercase(),
    }))
}

fn swap_case(c: char) -> Vec<char> {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

/// Python's title case: a word begins at every letter that follows a character which is none.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn strip(interp: &mut Interp<'_>, text: &str, name: &str, args: Args) -> Result<Value> {
    let [chars] = args.bind(["chars"])?;
    let chars: Option<Vec<char>> = match chars.filter(|chars| !chars.is_none()) {
        Some(chars) => Some(interp.text(&chars)?.chars().collect()),
        None => None,
    };
    let wanted = |c: char| chars.as_ref().map_or(c.is_whitespace(), |chars| chars.contains(&c));
    Ok(Value::str(match name {
        "strip" => text.trim_matches(wanted),
        "lstrip" => text.trim_start_matches(wanted),
        _ => text.trim_end_matches(wanted),
    }))
}

fn split(interp: &mut Interp<'_>, text: &str, from_right: bool, args: Args) -> Result<Value> {
    let [separator, limit] = args.bind(["sep", "maxsplit"])?;
    let limit = interp.arg_int_or(limit, "maxsplit", -1)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let parts: Vec<&str> = match separator.filter(|separator| !separator.is_none()) {
        Some(separator) => {
            let separator = interp.text(&separator)?;
            if separator.is_empty() {
                return Err(TemplateError::failed("can not split at an empty text"));
            }
            if from_right {
                let mut parts: Vec<_> = text.rsplitn(limit, &separator).collect();
                parts.reverse();
                return Ok(Value::strings(parts));
            }
            return Ok(Value::strings(text.splitn(limit, &separator)));
        }
        None if from_right => blank_split_right(text, limit),
        None => blank_split(text, limit),
    };
    Ok(Value::strings(parts))
}

fn blank_split(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if parts.len() + 1 == limit {
            parts.push(rest);
            break;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    parts
}

fn blank_split_right(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end();
    while !rest.is_empty() {
        if parts.len() + 1 == limit {
            parts.push(rest);
            break;
        }
        let start =
            rest.rfind(char::is_whitespace).map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end();
    }
    parts.reverse();
    parts
}

fn split_lines(interp: &mut Interp<'_>, text: &str, args: Args) -> Result<Value> {
    let [keep_ends] = args.bind(["keepends"])?;
    let keep_ends = interp.arg_flag(keep_ends, false)?;
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']);
        let (line, ending) = match end {
            Some(at) if rest[at..].starts_with("\r\n") => (at, 2),
            Some(at) => (at, rest[at..].chars().next().map_or(1, char::len_utf8)),
            None => (rest.len(), 0),
        };
        lines.push(&rest[..if keep_ends { line + ending } else { line }]);
        rest = &rest[line + ending..];
    }
    Ok(Value::strings(lines))
}

fn partition(interp: &mut Interp<'_>, text: &str, from_right: bool, args: Args) -> Result<Value> {
    let separator = args.one("sep")?;
    let separator = interp.text(&separator)?;
    let found = if from_right { text.rsplit_once(&separator) } else { text.split_once(&separator) };
    let parts = match found {
        Some((before, after)) => [before, &separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::tuple(parts.into_iter().map(Value::str).collect()))
}

fn replace(interp: &mut Interp<'_>, text: &str, args: Args) -> Result<Value> {
    let [old, new, count] = args.bind(["old", "new", "count"])?;
    let (old, new) = (interp.arg_text(old, "old")?, interp.arg_text(new, "new")?);
    let count = interp.arg_int_or(count, "count", -1)?;
    Ok(Value::str(match usize::try_from(count) {
        Ok(count) => text.replacen(&old, &new, count),
        Err(_) => text.replace(&old, &new),
    }))
}

/// The part of a text between two positions in characters, negative ones from the end.
fn section(interp: &mut Interp<'_>, text: &str, start: Option<Value>, end: Option<Value>) -> Result<(String, usize)> {
    let length = text.chars().count() as i128;
    let place = |at: i128| (if at < 0 { at + length } else { at }).clamp(0, length) as usize;
    let start = place(interp.arg_int_or(start, "start", 0)?);
    let end = place(interp.arg_int_or(end, "end", length)?);
    Ok((text.chars().skip(start).take(end.saturating_sub(start)).collect(), start))
}

fn find(interp: &mut Interp<'_>, text: &str, name: &str, args: Args) -> Result<Value> {
    let [part, start, end] = args.bind(["sub", "start", "end"])?;
    let part = interp.arg_text(part, "sub")?;
    let (section, offset) = section(interp, text, start, end)?;
    let found = if name.starts_with('r') { section.rfind(&part) } else { section.find(&part) };
    match found {
        Some(at) => Ok(Value::int(offset + section[..at].chars().count())),
        None if name.ends_with("find") => Ok(Value::Int(-1)),
        None => Err(TemplateError::failed(format!("`{part}` does not occur in the text"))),
    }
}

fn count(interp: &mut Interp<'_>, text: &str, args: Args) -> Result<Value> {
    let [part, start, end] = args.bind(["sub", "start", "end"])?;
    let part = interp.arg_text(part, "sub")?;
    let (section, _) = section(interp, text, start, end)?;
    Ok(Value::int(if part.is_empty() { section.chars().count() + 1 } else { section.matches(&part).count() }))
}

fn affix(interp: &mut Interp<'_>, text: &str, at_start: bool, args: Args) -> Result<Value> {
    let [affix, start, end] = args.bind(["affix", "start", "end"])?;
    let affix = required(affix, "affix")?;
    let candidates = if affix.is_list() { interp.items(&affix)? } else { vec![affix] };
    let (section, _) = section(interp, text, start, end)?;
    for candidate in &candidates {
        let candidate = interp.text(candidate)?;
        if if at_start { section.starts_with(&candidate) } else { section.ends_with(&candidate) } {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn remove_affix(interp: &mut Interp<'_>, text: &str, prefix: bool, args: Args) -> Result<Value> {
    let affix = args.one("affix")?;
    let affix = interp.text(&affix)?;
    let rest = if prefix { text.strip_prefix(&affix) } else { text.strip_suffix(&affix) };
    Ok(Value::str(rest.unwrap_or(text)))
}

fn join(interp: &mut Interp<'_>, text: &str, args: Args) -> Result<Value> {
    let items = args.one("iterable")?;
    let mut parts = Vec::new();
    for item in interp.items(&items)? {
        match &item {
            Value::Str(part) => parts.push(part.to_string()),
            other => {
                let error = TemplateError::failed(format!("joins texts only, and one item is {}", other.kind_text()));
                return Err(error.hinted("the filter `join` takes items of any type"));
            }
        }
    }
    Ok(Value::str(parts.join(text)))
}

/// Where a padded text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Side {
    Left,
    Right,
    Both,
}

/// Fills a text up to a width.
pub(in super::super) fn pad(text: &str, width: usize, fill: char, side: Side) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let before = match side {
        Side::Left => 0,
        Side::Right => missing,
        // Python puts the odd one in front when the width is odd.
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let filled = |count: usize| std::iter::repeat_n(fill, count);
    filled(before).chain(text.chars()).chain(filled(missing - before)).collect()
}

fn justify(interp: &mut Interp<'_>, text: &str, name: &str, args: Args) -> Result<Value> {
    let [width, fill] = args.bind(["width", "fillchar"])?;
    let width = interp.arg_count_or(Some(required(width, "width")?), "width", 0)?;
    let fill = interp.arg_text_or(fill, " ")?;
    let mut chars = fill.chars();
    let (Some(fill), None) = (chars.next(), chars.next()) else {
        return Err(TemplateError::failed("fills with exactly one character"));
    };
    Ok(Value::str(match name {
        "zfill" => {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            format!("{sign}{}", pad(digits, width.saturating_sub(sign.len()), '0', Side::Right))
        }
        "ljust" => pad(text, width, fill, Side::Left),
        "rjust" => pad(text, width, fill, Side::Right),
        _ => pad(text, width, fill, Side::Both),
    }))
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let blanks = size - column % size;
                out.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

fn is(text: &str, name: &str) -> bool {
    let all = |judge: fn(char) -> bool| !text.is_empty() && text.chars().all(judge);
    match name {
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isascii" => text.is_ascii(),
        "isupper" => text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        "islower" => text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        "istitle" => text.chars().any(char::is_alphabetic) && title(text) == text,
        "isidentifier" => {
            text.starts_with(|c: char| c.is_alphabetic() || c == '_') && all(|c| c.is_alphanumeric() || c == '_')
        }
        _ => false,
    }
}
