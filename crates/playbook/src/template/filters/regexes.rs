//! Regular expressions with Python's syntax.
//!
//! Roles are full of Python's patterns, lookaheads and backreferences among them; `fancy-regex` has both and hands every
//! pattern without them to the linear-time engine of `regex`. What it backtracks over is bounded by its own step limit.

use fancy_regex::{Captures, Regex, RegexBuilder};

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::value::Value;
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] = &[
    filter("regex_replace", regex_replace),
    filter("regex_search", regex_search),
    filter("regex_findall", regex_findall),
    filter("regex_escape", regex_escape),
];

/// The two flags that filters and tests have.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Flags {
    pub(in super::super) ignore_case: bool,
    pub(in super::super) multiline: bool,
}

impl Interp<'_> {
    /// Compiles one of Python's patterns for use on `text`, once for all hosts.
    ///
    /// # Errors
    /// When the pattern is not well formed.
    pub(in super::super) fn regex(&self, pattern: &str, flags: Flags, text: &str) -> Result<Regex> {
        let mut prefix = String::new();
        if flags.ignore_case {
            prefix.push_str("(?i)");
        }
        if flags.multiline {
            prefix.push_str("(?m)");
        }
        // Python's `$` also matches before a newline at the very end; saying so costs the fast engine, so it is said
        // only to texts that end that way.
        let end = match (flags.multiline, text.ends_with('\n')) {
            (true, _) => "$",
            (false, true) => "(?=\\n?\\z)",
            (false, false) => "\\z",
        };
        let translated = format!("{prefix}{}", translate(pattern, end));
        if let Some(regex) = self.engine.regexes.get(&translated) {
            return Ok(regex);
        }
        let regex = RegexBuilder::new(&translated)
            .build()
            .map_err(|error| TemplateError::failed(format!("the pattern `{pattern}` can not be read: {error}")))?;
        self.engine.regexes.put(&translated, regex.clone());
        Ok(regex)
    }
}

/// Writes Python's few own forms as this engine wants them; `end` stands for its `$`.
fn translate(pattern: &str, end: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Z') => out.push_str("\\z"),
                // An escaped character that means nothing stands for itself.
                Some(c) if !c.is_ascii_alphanumeric() && !"\\.+*?()|[]{}^$-#&~/%\"',:;<>=!@_` \n".contains(c) => {
                    out.push(c)
                }
                Some(c) if "\"',:;=@_`%!/".contains(c) => out.push(c),
                Some(c) => {
                    out.push('\\');
                    out.push(c);
                }
                None => out.push('\\'),
            },
            '[' if class => out.push_str("\\["),
            '[' => {
                class = true;
                out.push('[');
                let rest = chars.as_str();
                let negated = rest.starts_with('^');
                if negated {
                    out.push('^');
                    chars.next();
                }
                // A bracket right at the start is a member of the class.
                if chars.as_str().starts_with(']') {
                    out.push_str("\\]");
                    chars.next();
                }
            }
            ']' => {
                class = false;
                out.push(']');
            }
            // Two of these in a class mean set operations here and nothing in Python.
            c @ ('&' | '~') if class => {
                out.push('\\');
                out.push(c);
            }
            '$' if !class => out.push_str(end),
            c => out.push(c),
        }
    }
    out
}

fn run_failed(error: fancy_regex::Error) -> Box<TemplateError> {
    TemplateError::failed(format!("the pattern takes too long on this text: {error}"))
}

fn regex_replace(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [pattern, replacement, ignore_case, multiline, count, mandatory_count] =
        args.bind(["pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"])?;
    let text = interp.text(&input)?;
    let pattern = interp.arg_text_or(pattern, "")?;
    let replacement = interp.arg_text_or(replacement, "")?;
    let flags =
        Flags { ignore_case: interp.arg_flag(ignore_case, false)?, multiline: interp.arg_flag(multiline, false)? };
    let regex = interp.regex(&pattern, flags, &text)?;
    let count = interp.arg_count_or(count, "count", 0)?;
    let mandatory = interp.arg_count_or(mandatory_count, "mandatory_count", 0)?;
    let (mut out, mut end, mut replaced) = (String::with_capacity(text.len()), 0, 0);
    for captures in regex.captures_iter(text.as_str()) {
        let captures = captures.map_err(run_failed)?;
        let Some(whole) = captures.get(0) else { continue };
        if count > 0 && replaced == count {
            break;
        }
        out.push_str(&text[end..whole.start()]);
        expand(&replacement, &captures, &mut out)?;
        end = whole.end();
        replaced += 1;
    }
    if mandatory > 0 && replaced != mandatory {
        return Err(TemplateError::failed(format!("replaced {replaced} times and must replace {mandatory} times")));
    }
    out.push_str(&text[end..]);
    Ok(Value::str(out))
}

/// Expands `\1`, `\g<1>` and `\g<name>` in a replacement.
fn expand(replacement: &str, captures: &Captures<'_, str>, out: &mut String) -> Result<()> {
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        rest = match chars.next() {
            Some('g') if after.starts_with("g<") => {
                let (name, tail) = after[2..].split_once('>').ok_or_else(|| {
                    TemplateError::failed(format!("the replacement `{replacement}` has `\\g<` without `>`"))
                })?;
                group(name, captures, out)?;
                tail
            }
            Some(c) if c.is_ascii_digit() => {
                let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let digits = digits.min(2);
                group(&after[..digits], captures, out)?;
                &after[digits..]
            }
            Some('n') => push_and('\n', out, chars.as_str()),
            Some('t') => push_and('\t', out, chars.as_str()),
            Some('r') => push_and('\r', out, chars.as_str()),
            Some('\\') => push_and('\\', out, chars.as_str()),
            Some(c) => {
                out.push('\\');
                push_and(c, out, chars.as_str())
            }
            None => push_and('\\', out, ""),
        };
    }
    out.push_str(rest);
    Ok(())
}

fn push_and<'r>(c: char, out: &mut String, rest: &'r str) -> &'r str {
    out.push(c);
    rest
}

fn group(name: &str, captures: &Captures<'_, str>, out: &mut String) -> Result<()> {
    let found = match name.parse::<usize>() {
        Ok(number) if number < captures.len() => captures.get(number),
        Ok(number) => return Err(TemplateError::failed(format!("the pattern has no group {number}"))),
        Err(_) => captures.name(name),
    };
    out.push_str(found.map_or("", |found| found.as_str()));
    Ok(())
}

fn regex_search(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, mut args) = args.input();
    let ignore_case = args.take_named("ignorecase");
    let multiline = args.take_named("multiline");
    let flags =
        Flags { ignore_case: interp.arg_flag(ignore_case, false)?, multiline: interp.arg_flag(multiline, false)? };
    let pattern = match args.take_named("regex") {
        Some(pattern) => pattern,
        None if args.positional.is_empty() => return Err(TemplateError::failed("needs the argument `regex`")),
        None => args.positional.remove(0),
    };
    let pattern = interp.text(&pattern)?;
    let text = interp.text(&input)?;
    let found = interp.regex(&pattern, flags, &text)?.captures(text.as_str()).map_err(run_failed)?;
    let Some(captures) = found else { return Ok(Value::None) };
    if args.positional.is_empty() {
        return Ok(Value::str(captures.get(0).map_or("", |whole| whole.as_str())));
    }
    let mut groups = Vec::new();
    for wanted in &args.positional {
        let wanted = interp.text(wanted)?;
        // Texts out of YAML keep a doubled backslash doubled; both are meant as one.
        let name = wanted.trim_start_matches('\\');
        if name.len() == wanted.len() {
            let message = format!("a group is written `\\\\1` or `\\\\g<name>`, not `{wanted}`");
            return Err(TemplateError::failed(message));
        }
        let name = name.strip_prefix("g<").and_then(|name| name.strip_suffix('>')).unwrap_or(name);
        let mut value = String::new();
        group(name, &captures, &mut value)?;
        groups.push(Value::str(value));
    }
    Ok(Value::list(groups))
}

fn regex_findall(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [pattern, multiline, ignore_case] = args.bind(["regex", "multiline", "ignorecase"])?;
    let flags =
        Flags { ignore_case: interp.arg_flag(ignore_case, false)?, multiline: interp.arg_flag(multiline, false)? };
    let pattern = interp.arg_text(pattern, "regex")?;
    let text = interp.text(&input)?;
    let regex = interp.regex(&pattern, flags, &text)?;
    let mut found = Vec::new();
    for captures in regex.captures_iter(text.as_str()) {
        let captures = captures.map_err(run_failed)?;
        let part = |at: usize| Value::str(captures.get(at).map_or("", |part| part.as_str()));
        found.push(match captures.len() {
            1 => part(0),
            2 => part(1),
            several => Value::tuple((1..several).map(part).collect()),
        });
    }
    Ok(Value::list(found))
}

fn regex_escape(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [kind] = args.bind(["re_type"])?;
    let text = interp.text(&input)?;
    let special = match interp.arg_text_or(kind, "python")?.as_str() {
        "python" => "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}",
        "posix_basic" => "[].^$*\\",
        other => return Err(TemplateError::failed(format!("`re_type` is python or posix_basic, not `{other}`"))),
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(Value::str(out))
}
