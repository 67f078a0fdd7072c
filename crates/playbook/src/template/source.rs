//! Work on template text before and beside the parser: places, string literals, header lines, conditions.

use minijinja::syntax::SyntaxConfig;

use super::error::{ErrorKind, Place, Result, TemplateError};
use super::ir::Span;

/// The place of a span, with the line of text that holds it.
pub(super) fn place_in(source: &str, span: Span, template: Option<&str>) -> Place {
    let line = usize::from(span.line.max(1));
    let excerpt = source.lines().nth(line - 1).unwrap_or_default().to_owned();
    let covered = source.get(span.start as usize..span.end as usize).unwrap_or_default();
    let width = covered.lines().next().unwrap_or_default().chars().count().max(1);
    Place { line, column: usize::from(span.column.max(1)), width, excerpt, template: template.map(str::to_owned) }
}

/// The content of one or several adjacent string literals with every backslash kept.
pub(super) fn unquote_raw(literals: &str) -> String {
    let mut out = String::with_capacity(literals.len());
    let mut chars = literals.chars();
    while let Some(quote) = chars.find(|c| *c == '"' || *c == '\'') {
        while let Some(c) = chars.next() {
            match c {
                c if c == quote => break,
                '\\' => {
                    out.push('\\');
                    out.extend(chars.next());
                }
                c => out.push(c),
            }
        }
    }
    out
}

/// The syntax of a template file as `#jinja2:` headers and module parameters set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// Drop the newline after a statement; on, as in Ansible's template module.
    pub trim_blocks: bool,
    /// Drop the blanks before a statement at the start of a line.
    pub lstrip_blocks: bool,
    /// Start and end of an expression.
    pub variable: (String, String),
    /// Start and end of a statement.
    pub block: (String, String),
    /// Start and end of a comment.
    pub comment: (String, String),
}

impl Default for Syntax {
    fn default() -> Self {
        let pair = |start: &str, end: &str| (start.to_owned(), end.to_owned());
        Self {
            trim_blocks: true,
            lstrip_blocks: false,
            variable: pair("{{", "}}"),
            block: pair("{%", "%}"),
            comment: pair("{#", "#}"),
        }
    }
}

const HEADER: &str = "#jinja2:";

impl Syntax {
    /// Reads a `#jinja2:` first line, if there is one; gives the bytes it takes, newline included.
    ///
    /// # Errors
    /// When the header names an unknown setting.
    pub(super) fn read_header(&mut self, text: &str) -> Result<usize> {
        let Some(rest) = text.strip_prefix(HEADER) else { return Ok(0) };
        let line = rest.split('\n').next().unwrap_or_default();
        for setting in split_settings(line) {
            let Some((name, value)) = setting.split_once(':') else {
                return Err(header_error(&format!("`{}` has no colon", setting.trim())));
            };
            self.set(name.trim(), value.trim())?;
        }
        Ok((HEADER.len() + line.len() + 1).min(text.len()))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let text = value.trim_matches(|c| c == '\'' || c == '"').to_owned();
        let flag = || match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(header_error(&format!("`{name}` wants true or false, not `{text}`"))),
        };
        match name {
            "trim_blocks" => self.trim_blocks = flag()?,
            "lstrip_blocks" => self.lstrip_blocks = flag()?,
            "variable_start_string" => self.variable.0 = text,
            "variable_end_string" => self.variable.1 = text,
            "block_start_string" => self.block.0 = text,
            "block_end_string" => self.block.1 = text,
            "comment_start_string" => self.comment.0 = text,
            "comment_end_string" => self.comment.1 = text,
            // Lines end with one newline here, and the file's last one is always kept.
            "newline_sequence" | "keep_trailing_newline" => {}
            _ => return Err(header_error(&format!("unknown setting `{name}`"))),
        }
        Ok(())
    }

    /// The same for the parser.
    ///
    /// # Errors
    /// When the delimiters are empty or not told apart.
    pub(super) fn config(&self) -> Result<SyntaxConfig> {
        SyntaxConfig::builder()
            .variable_delimiters(self.variable.0.clone(), self.variable.1.clone())
            .block_delimiters(self.block.0.clone(), self.block.1.clone())
            .comment_delimiters(self.comment.0.clone(), self.comment.1.clone())
            .trim_blocks(self.trim_blocks)
            .lstrip_blocks(self.lstrip_blocks)
            .keep_trailing_newline(false)
            .build()
            .map_err(|_| {
                TemplateError::new(ErrorKind::Syntax, "the delimiters of templates must differ and not be empty")
            })
    }
}

fn header_error(what: &str) -> Box<TemplateError> {
    TemplateError::new(ErrorKind::Syntax, format!("the #jinja2: line can not be read: {what}"))
}

/// Gives the output as many newlines at its end as the template has, as Ansible does.
pub(super) fn restore_newlines(template: &str, output: &mut String) {
    let at_end = |text: &str| text.len() - text.trim_end_matches('\n').len();
    for _ in at_end(output)..at_end(template) {
        output.push('\n');
    }
}

/// Splits at commas outside quotes.
fn split_settings(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (at, c) in line.char_indices() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (',', None) => {
                parts.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Turns a condition with `{{ }}` in it into a plain expression of the same meaning.
///
/// Old Ansible put the values' text into the expression and read the result again, which let a value of a host become
/// code. Here `{{ x }}` becomes `( x )`, and inside a string literal a piece that is joined on. Nothing is read twice.
/// Outside literals the text keeps its length, so that places stay right.
///
/// # Errors
/// When it holds statements (`{%`).
pub(super) fn condition(text: &str) -> Result<(String, bool)> {
    if text.contains("{%") {
        return Err(TemplateError::new(ErrorKind::Syntax, "a condition is an expression and can not hold `{%`")
            .hinted("write the expression itself, with `if`, `and`, `or`"));
    }
    if !text.contains("{{") {
        return Ok((text.to_owned(), false));
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut open = 0usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("{{") {
            out.push_str(" (");
            open += 1;
            rest = &rest[2..];
        } else if open > 0 && rest.starts_with("}}") {
            out.push_str(") ");
            open -= 1;
            rest = &rest[2..];
        } else if c == '"' || c == '\'' {
            let literal = literal_length(rest, c);
            push_literal(&rest[..literal], c, &mut out);
            rest = &rest[literal..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok((out, true))
}

/// The length in bytes of the string literal at the start of `text`, quotes included.
fn literal_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let mut inside = 0usize;
    for (at, c) in text.char_indices().skip(1) {
        if text[at..].starts_with("{{") {
            inside += 1;
        } else if text[at..].starts_with("}}") {
            inside = inside.saturating_sub(1);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            // A quote inside braces belongs to the expression there.
            c if c == quote && inside == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn push_literal(literal: &str, quote: char, out: &mut String) {
    if !literal.contains("{{") || literal.len() < 2 {
        out.push_str(literal);
        return;
    }
    let mut rest = &literal[1..literal.len() - 1];
    out.push('(');
    while let Some((before, tail)) = rest.split_once("{{") {
        let (inside, after) = tail.split_once("}}").unwrap_or((tail, ""));
        out.push(quote);
        out.push_str(before);
        out.push(quote);
        out.push_str(" ~ (");
        out.push_str(inside);
        out.push_str(") ~ ");
        rest = after;
    }
    out.push(quote);
    out.push_str(rest);
    out.push(quote);
    out.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_conditions_become_parentheses() {
        for (text, expected) in [
            ("a == 1", "a == 1"),
            ("{{ a }} == 1", " ( a )  == 1"),
            ("'{{ a }}' == 'x'", "('' ~ ( a ) ~ '') == 'x'"),
            ("x is search('p{{ a }}q')", "x is search(('p' ~ ( a ) ~ 'q'))"),
            ("'{{ d['k'] }}' == x", "('' ~ ( d['k'] ) ~ '') == x"),
            ("{'a': {'b': 1}} == {{ x }}", "{'a': {'b': 1}} ==  ( x ) "),
        ] {
            assert_eq!(condition(text).unwrap().0, expected);
        }
        assert!(condition("{% if x %}1{% endif %}").is_err());
    }

    #[test]
    fn raw_literals_keep_backslashes() {
        assert_eq!(unquote_raw(r"'it\'s'"), r"it\'s");
        assert_eq!(unquote_raw(r#""\d+" 'x'"#), r"\d+x");
    }

    #[test]
    fn the_header_line_sets_the_syntax() {
        let mut syntax = Syntax::default();
        let text = "#jinja2: trim_blocks: \"true\", lstrip_blocks: True, variable_start_string: '[%'\nrest";
        assert_eq!(&text[syntax.read_header(text).unwrap()..], "rest");
        assert!(syntax.trim_blocks && syntax.lstrip_blocks);
        assert_eq!(syntax.variable.0, "[%");
        assert!(Syntax::default().read_header("#jinja2: colour: red\n").is_err());
    }
}
