//! Filters on text.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp, required};
use super::super::format::percent;
use super::super::methods;
use super::super::value::{Key, Value};
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("upper", |interp, args| simple(interp, args, |text| text.to_uppercase())),
    filter("lower", |interp, args| simple(interp, args, |text| text.to_lowercase())),
    filter("capitalize", |interp, args| simple(interp, args, methods::capitalize)),
    filter("title", |interp, args| simple(interp, args, title)),
    filter("string", string),
    filter("trim", trim),
    filter("replace", replace),
    filter("indent", indent),
    filter("center", center),
    filter("truncate", truncate),
    filter("wordcount", wordcount),
    filter("wordwrap", wordwrap),
    filter("format", format),
    filter("escape", escape),
    filter("e", escape),
    filter("forceescape", escape),
    filter("striptags", |interp, args| simple(interp, args, striptags)),
    filter("pprint", pprint),
    filter("quote", quote),
    filter("comment", comment),
    filter("split", split),
    filter("xmlattr", xmlattr),
    filter("urlize", |_, _| Err(TemplateError::failed("makes links for web pages, which kfleet has no use for"))),
];

fn simple(interp: &mut Interp<'_>, args: Args, change: impl Fn(&str) -> String) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    Ok(Value::str(change(&interp.text(&input)?)))
}

fn string(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    Ok(Value::str(interp.text(&input)?))
}

/// Jinja's title case: words begin after blanks, hyphens and opening brackets only.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut first = true;
    for c in text.chars() {
        if first {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        first = c.is_whitespace() || matches!(c, '-' | '(' | '{' | '[' | '<');
    }
    out
}

fn trim(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [chars] = args.bind(["chars"])?;
    let text = interp.text(&input)?;
    Ok(Value::str(match chars.filter(|chars| !chars.is_none()) {
        None => text.trim(),
        Some(chars) => {
            let chars: Vec<char> = interp.text(&chars)?.chars().collect();
            text.trim_matches(|c| chars.contains(&c))
        }
    }))
}

fn replace(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [old, new, count] = args.bind(["old", "new", "count"])?;
    let text = interp.text(&input)?;
    let (old, new) = (interp.arg_text(old, "old")?, interp.arg_text(new, "new")?);
    let count = interp.arg_int_or(count, "count", -1)?;
    Ok(Value::str(match usize::try_from(count) {
        Ok(count) => text.replacen(&old, &new, count),
        Err(_) => text.replace(&old, &new),
    }))
}

fn indent(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [width, first, blank] = args.bind(["width", "first", "blank"])?;
    let text = interp.text(&input)?;
    let prefix = match width {
        Some(Value::Str(prefix)) => prefix.to_string(),
        width => " ".repeat(interp.arg_count_or(width, "width", 4)?),
    };
    let (first, blank) = (interp.arg_flag(first, false)?, interp.arg_flag(blank, false)?);
    let mut out = String::with_capacity(text.len() + prefix.len() * 4);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let wanted = if at == 0 { first } else { blank || !line.is_empty() };
        if wanted {
            out.push_str(&prefix);
        }
        out.push_str(line);
    }
    Ok(Value::str(out))
}

fn center(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [width] = args.bind(["width"])?;
    let width = interp.arg_count_or(width, "width", 80)?;
    let text = interp.text(&input)?;
    Ok(Value::str(methods::pad(&text, width, ' ', methods::Side::Both)))
}

fn truncate(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [length, kill_words, end, leeway] = args.bind(["length", "killwords", "end", "leeway"])?;
    let text: Vec<char> = interp.text(&input)?.chars().collect();
    let length = interp.arg_count_or(length, "length", 255)?;
    let end = interp.arg_text_or(end, "...")?;
    let leeway = interp.arg_count_or(leeway, "leeway", 5)?;
    if text.len() <= length + leeway {
        return Ok(Value::str(text.into_iter().collect::<String>()));
    }
    let keep = length
        .checked_sub(end.chars().count())
        .ok_or_else(|| TemplateError::failed(format!("the length {length} leaves no room for the ending `{end}`")))?;
    let cut: String = text[..keep].iter().collect();
    let cut = match cut.rsplit_once(' ') {
        Some((words, _)) if !interp.arg_flag(kill_words, false)? => words,
        _ => &cut,
    };
    Ok(Value::str(format!("{cut}{end}")))
}

fn wordcount(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let text = interp.text(&input)?;
    Ok(Value::int(text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()))
}

fn wordwrap(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [width, long_words, newline, _hyphens] =
        args.bind(["width", "break_long_words", "wrapstring", "break_on_hyphens"])?;
    let width = interp.arg_count_or(width, "width", 79)?.max(1);
    let break_long = interp.arg_flag(long_words, true)?;
    let newline = interp.arg_text_or(newline, "\n")?;
    let text = interp.text(&input)?;
    let wrapped: Vec<String> = text.lines().map(|line| wrap_line(line, width, break_long).join(&newline)).collect();
    Ok(Value::str(wrapped.join(&newline)))
}

fn wrap_line(line: &str, width: usize, break_long: bool) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let mut chars: Vec<char> = word.chars().collect();
        let blank = usize::from(room < width);
        if chars.len() + blank > room && room < width {
            lines.push(String::new());
            room = width;
        }
        while break_long && chars.len() > width {
            let rest = chars.split_off(width);
            if let Some(last) = lines.last_mut() {
                last.extend(chars);
            }
            lines.push(String::new());
            chars = rest;
        }
        let blank = usize::from(room < width);
        if let Some(last) = lines.last_mut() {
            last.push_str(if blank == 1 { " " } else { "" });
            last.extend(chars.iter());
        }
        room = room.saturating_sub(chars.len() + blank);
    }
    lines
}

fn format(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let template = interp.text(&input)?;
    if args.named.is_empty() {
        return percent(interp, &template, &Value::tuple(args.positional)).map(Value::str);
    }
    if !args.positional.is_empty() {
        return Err(TemplateError::failed("takes positional or named values, not both"));
    }
    let map = args.named.into_iter().map(|(name, value)| (Key::Str(name), value)).collect();
    percent(interp, &template, &Value::dict(map)).map(Value::str)
}

fn escape(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    simple(interp, args, escape_html)
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn striptags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('<') {
        out.push_str(before);
        let end = if tail.starts_with("!--") { "-->" } else { ">" };
        match tail.split_once(end) {
            Some((_, after)) => rest = after,
            None => {
                rest = "";
                out.push('<');
                out.push_str(tail);
            }
        }
    }
    out.push_str(rest);
    unescape_html(&out.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn unescape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let entity = after.split_once(';').and_then(|(name, tail)| Some((entity(name)?, tail)));
        match entity {
            Some((c, tail)) => {
                out.push(c);
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out + rest
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn pprint(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    interp.repr(&input).map(Value::str)
}

fn quote(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let text = if input.is_none() { String::new() } else { interp.text(&input)? };
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_-+=:,./".contains(c);
    Ok(Value::str(if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\"'\"'"))
    }))
}

fn comment(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, mut args) = args.input();
    let style = match args.positional.is_empty() {
        true => args.take_named("style"),
        false => Some(args.positional.remove(0)),
    };
    let style = interp.arg_text_or(style, "plain")?;
    let (beginning, decoration, end) = match style.as_str() {
        "plain" => ("", "# ", ""),
        "erlang" => ("", "% ", ""),
        "c" => ("", "// ", ""),
        "cblock" => ("/*", " * ", " */"),
        "xml" => ("<!--", " - ", "-->"),
        other => {
            return Err(TemplateError::failed(format!("knows plain, erlang, c, cblock and xml, not `{other}`")));
        }
    };
    let [beginning_arg, decoration_arg, end_arg, prefix, prefix_count, postfix, postfix_count, newline] =
        args.bind(["beginning", "decoration", "end", "prefix", "prefix_count", "postfix", "postfix_count", "newline"])?;
    let text = interp.text(&input)?;
    let beginning = interp.arg_text_or(beginning_arg, beginning)?;
    let end = interp.arg_text_or(end_arg, end)?;
    let decoration = interp.arg_text_or(decoration_arg, decoration)?;
    let newline = interp.arg_text_or(newline, "\n")?;
    let bare = decoration.trim_end().to_owned();
    let prefix = interp.arg_text_or(prefix, &bare)?;
    let prefix_count = interp.arg_count_or(prefix_count, "prefix_count", 1)?;
    let postfix = interp.arg_text_or(postfix, &bare)?;
    let postfix_count = interp.arg_count_or(postfix_count, "postfix_count", 1)?;

    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&beginning);
        out.push_str(&newline);
    }
    if !prefix.is_empty() {
        for _ in 0..prefix_count {
            out.push_str(if prefix == newline { "" } else { &prefix });
            out.push_str(&newline);
        }
    }
    let decorated = format!("{decoration}{}", text.replace(&newline, &format!("{newline}{decoration}")));
    // An empty line keeps no blanks after its decoration.
    out.push_str(&decorated.replace(&format!("{decoration}{newline}"), &format!("{}{newline}", decoration.trim_end())));
    for _ in 0..postfix_count {
        out.push_str(&newline);
        out.push_str(&postfix);
    }
    if !end.is_empty() {
        out.push_str(&newline);
        out.push_str(&end);
    }
    Ok(Value::str(out))
}

fn split(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let text = Value::str(interp.text(&input)?);
    methods::call(interp, &text, "split", args)
}

fn xmlattr(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [space] = args.bind(["autospace"])?;
    let mut out = String::new();
    for (key, value) in interp.entries(&input)? {
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let key = required(Some(key.to_value()), "key")?;
        let (key, value) = (interp.text(&key)?, interp.text(&value)?);
        out.push_str(if out.is_empty() { "" } else { " " });
        out.push_str(&format!("{}=\"{}\"", escape_html(&key), escape_html(&value)));
    }
    let space = interp.arg_flag(space, true)? && !out.is_empty();
    Ok(Value::str(if space { format!(" {out}") } else { out }))
}
