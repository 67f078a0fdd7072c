//! The classic mistakes of hand-written YAML, told in words that help.
//!
//! The parser says what it expected; people want to know what they did. So a broken file is looked at once more,
//! around the place where the parser gave up, for the few mistakes that make up nearly all cases.

use super::Node;
use crate::diag::{Code, Diagnostic};
use crate::source::{Source, Span};
use saphyr_parser::ScanError;
use std::sync::Arc;

/// Explains why a file could not be read.
pub(super) fn explain(source: &Arc<Source>, error: &ScanError) -> Diagnostic {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let line = number(error.marker().line()).clamp(1, source.lines());
    let column = number(error.marker().col()) + 1;
    let info = error.info();
    // The parser often notices a mistake on the line after it.
    let near: Vec<u32> = [Some(line), previous(source, line)].into_iter().flatten().collect();
    tab(source, line)
        .or_else(|| tab(source, line + 1))
        .or_else(|| near.iter().find_map(|&line| tab(source, line)))
        .or_else(|| near.iter().find_map(|&line| bare_template(source, line)))
        .or_else(|| unclosed_quote(source, line, info))
        .or_else(|| near.iter().find_map(|&line| after_quote(source, line)))
        .or_else(|| unclosed_bracket(source, line))
        .or_else(|| second_colon(source, line, info))
        .or_else(|| near.iter().find_map(|&line| reserved_start(source, line)))
        .or_else(|| near.iter().find_map(|&line| missing_blank(source, line)))
        .or_else(|| indentation(source, line, info))
        .unwrap_or_else(|| {
            let message = format!("this is not YAML: {}", info.trim_start_matches("while ").replace('`', "'"));
            Diagnostic::error(Code::Yaml, message).at(&Span::on_line(source, line, column, 1))
        })
}

/// A mapping or list as a key: nearly always a template without quotes.
pub(super) fn complex_key(source: &Arc<Source>, key: &Node) -> Diagnostic {
    bare_template(source, key.span.line).unwrap_or_else(|| {
        Diagnostic::error(Code::Yaml, format!("a key must be a text, and this is {}", key.describe())).at(&key.span)
    })
}

fn previous(source: &Arc<Source>, line: u32) -> Option<u32> {
    (1..line).rev().find(|&number| !source.line(number).trim().is_empty())
}

fn tab(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let text = source.line(line);
    let indent: String = text.chars().take_while(|c| c.is_whitespace() || *c == '-').collect();
    let at = indent.chars().position(|c| c == '\t')?;
    let column = u32::try_from(at).ok()? + 1;
    let width = u32::try_from(indent.chars().skip(at).take_while(|c| *c == '\t').count()).ok()?;
    Some(
        Diagnostic::error(Code::YamlTab, "a tab is used for indentation")
            .at(&Span::on_line(source, line, column, width))
            .hint("YAML takes only blanks here; set the editor to insert two blanks for a tab"),
    )
}

/// The value of a line, with its column from 1: after `key: ` or `- `, or the whole line.
fn value_of(text: &str) -> (u32, &str) {
    let mut at = text.len() - text.trim_start().len();
    loop {
        let rest = text.get(at..).unwrap_or("");
        if let Some(after) = rest.strip_prefix("- ") {
            at = text.len() - after.trim_start().len();
            continue;
        }
        let key = rest.find(": ").filter(|&colon| rest.get(..colon).is_some_and(is_key));
        if let Some(colon) = key {
            let after = rest.get(colon + 2..).unwrap_or("");
            at = text.len() - after.trim_start().len();
        }
        break;
    }
    let column = text.get(..at).map_or(0, |before| before.chars().count());
    (u32::try_from(column).unwrap_or(0) + 1, text.get(at..).unwrap_or(""))
}

fn is_key(text: &str) -> bool {
    let text = text.trim_matches(['"', '\'']);
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ' '))
}

fn width_of(text: &str) -> u32 {
    u32::try_from(text.trim_end().chars().count()).unwrap_or(1).max(1)
}

fn bare_template(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let (column, value) = value_of(source.line(line));
    if !value.starts_with("{{") && !value.starts_with("{%") {
        return None;
    }
    let value = value.trim_end();
    let quoted = if value.contains('"') { format!("'{value}'") } else { format!("\"{value}\"") };
    Some(
        Diagnostic::error(Code::YamlTemplate, "a value that begins with a template must be in quotes")
            .at(&Span::on_line(source, line, column, width_of(value)))
            .hint(format!("write {quoted}")),
    )
}

fn unclosed_quote(source: &Arc<Source>, line: u32, info: &str) -> Option<Diagnostic> {
    if !info.contains("quoted scalar")
        || !(info.contains("end of stream") || info.contains("indentation") || info.contains("document indicator"))
    {
        return None;
    }
    // The opening quote stands at or before the place where the parser gave up.
    let (start, column, quote) = (1..=line).rev().find_map(|number| {
        let (column, value) = value_of(source.line(number));
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        (closing(value, quote).is_none()).then_some((number, column, quote))
    })?;
    let width = width_of(value_of(source.line(start)).1);
    Some(
        Diagnostic::error(Code::Yaml, format!("the quote {quote} that opens here is never closed"))
            .at(&Span::on_line(source, start, column, width))
            .hint(format!("put a {quote} at the end of the value")),
    )
}

/// The byte offset behind the closing quote of a value that begins with one.
pub(super) fn closing(value: &str, quote: char) -> Option<usize> {
    let mut chars = value.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') {
                chars.next();
            } else {
                return Some(at + c.len_utf8());
            }
        }
    }
    None
}

fn after_quote(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let (column, value) = value_of(source.line(line));
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let end = closing(value, quote)?;
    let rest = value.get(end..)?.trim();
    if rest.is_empty() || rest.starts_with(['#', ':', ',', ']', '}']) {
        return None;
    }
    let skipped = u32::try_from(value.get(..end)?.chars().count()).ok()?;
    let blanks = u32::try_from(value.get(end..)?.chars().take_while(|c| c.is_whitespace()).count()).ok()?;
    let other = if quote == '"' { '\'' } else { '"' };
    let whole = value.trim_end();
    let hint = if whole.contains(other) {
        "put the whole value in quotes, and escape the quotes inside it".to_owned()
    } else {
        format!("put the whole value in quotes: {other}{whole}{other}")
    };
    Some(
        Diagnostic::error(Code::Yaml, "there is text after the closing quote")
            .at(&Span::on_line(source, line, column + skipped + blanks, width_of(rest)))
            .hint(hint),
    )
}

fn unclosed_bracket(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let (start, column, open) = (1..=line).rev().find_map(|number| {
        let text = source.line(number);
        let (column, value) = value_of(text);
        let open = value.chars().next().filter(|c| matches!(c, '[' | '{'))?;
        let close = if open == '[' { ']' } else { '}' };
        let count = |wanted: char| value.chars().filter(|c| *c == wanted).count();
        (count(open) > count(close)).then_some((number, column, open))
    })?;
    let close = if open == '[' { ']' } else { '}' };
    Some(
        Diagnostic::error(Code::Yaml, format!("the '{open}' that opens here is never closed"))
            .at(&Span::on_line(source, start, column, 1))
            .hint(format!("put a {close} at the end of the value")),
    )
}

fn second_colon(source: &Arc<Source>, line: u32, info: &str) -> Option<Diagnostic> {
    if !info.contains("mapping values are not allowed") && !info.contains("illegal placement of ':'") {
        return None;
    }
    let (column, value) = value_of(source.line(line));
    let colon = value.find(": ").or_else(|| value.ends_with(':').then(|| value.len() - 1))?;
    if column == 1 || value.starts_with(['"', '\'']) {
        return None;
    }
    let at = column + u32::try_from(value.get(..colon)?.chars().count()).ok()?;
    let quote = if value.contains('"') { '\'' } else { '"' };
    Some(
        Diagnostic::error(Code::Yaml, "a value that contains ': ' must be in quotes")
            .at(&Span::on_line(source, line, at, 1))
            .hint(format!("write {quote}{}{quote}", value.trim_end())),
    )
}

fn reserved_start(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let (column, value) = value_of(source.line(line));
    let first = value.chars().next().filter(|c| matches!(c, '@' | '`' | '%' | '*' | '&' | '!'))?;
    Some(
        Diagnostic::error(Code::Yaml, format!("a value that begins with '{first}' must be in quotes"))
            .at(&Span::on_line(source, line, column, width_of(value)))
            .hint(format!("write \"{}\"", value.trim_end())),
    )
}

/// `key:value` in a line; returns the byte offset of the colon.
pub(crate) fn colon_without_blank(text: &str) -> Option<usize> {
    let start = text.len() - text.trim_start_matches([' ', '-']).len();
    let rest = text.get(start..)?;
    let colon = rest.find(':')?;
    let key = rest.get(..colon)?;
    let after = rest.get(colon + 1..)?.chars().next()?;
    let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    (word && !after.is_whitespace() && after != '/' && after != '\\').then_some(start + colon)
}

fn missing_blank(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let text = source.line(line);
    let colon = colon_without_blank(text)?;
    let column = u32::try_from(text.get(..colon)?.chars().count()).ok()? + 1;
    let (key, value) = text.trim_start_matches([' ', '-']).split_once(':')?;
    Some(
        Diagnostic::error(Code::Yaml, "there is no blank after the colon")
            .at(&Span::on_line(source, line, column, 1))
            .hint(format!("write '{key}: {}'", value.trim_end())),
    )
}

fn indentation(source: &Arc<Source>, line: u32, info: &str) -> Option<Diagnostic> {
    let about = [
        "did not find expected key",
        "did not find expected '-'",
        "invalid indentation",
        "wrongly indented",
        "mapping values are not allowed",
        "did not find expected <document",
        "sequence entries are not allowed",
        "simple key expect",
    ];
    if !about.iter().any(|piece| info.contains(piece)) {
        return None;
    }
    let text = source.line(line);
    let indent = text.chars().take_while(|c| *c == ' ').count();
    let column = u32::try_from(indent).ok()? + 1;
    let mut diagnostic = Diagnostic::error(Code::Yaml, "the indentation does not fit the lines above")
        .at(&Span::on_line(source, line, column, width_of(text.trim_start())));
    let levels = levels_above(source, line);
    if !levels.is_empty() && !levels.contains(&indent) {
        let list: Vec<String> = levels.iter().map(ToString::to_string).collect();
        diagnostic = diagnostic
            .hint(format!("this line begins after {indent} blanks; the lines above begin after {}", list.join(", ")));
    } else {
        diagnostic = diagnostic.hint("keys of one mapping and items of one list begin in the same column");
    }
    Some(diagnostic)
}

/// The indentations of the mappings and lists that are open above a line, outermost first.
fn levels_above(source: &Arc<Source>, line: u32) -> Vec<usize> {
    let mut levels: Vec<usize> = Vec::new();
    let mut least = usize::MAX;
    for number in (1..line).rev() {
        let text = source.line(number);
        let trimmed = text.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with("---") {
            continue;
        }
        let dash = text.len() - trimmed.len();
        let inner = text.len() - trimmed.trim_start_matches("- ").trim_start().len();
        for indent in [inner, dash] {
            if indent < least {
                levels.push(indent);
                least = indent;
            }
        }
        if least == 0 {
            break;
        }
    }
    levels.reverse();
    levels
}
