//! YAML as PyYAML writes it through libyaml, and reading it.
//!
//! Files made by templates are compared byte by byte with what is on a host, so the small habits matter: where a long
//! text is folded, which text is quoted, that a list under a key is not indented.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::value::{self, Value};
use super::{Filter, filter};
use crate::diag::Diagnostics;
use crate::yaml;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_yaml", |interp, args| dump(interp, args, 2, None)),
    filter("to_nice_yaml", |interp, args| dump(interp, args, 4, Some(false))),
    filter("from_yaml", from_yaml),
    filter("from_yaml_all", from_yaml_all),
];

fn dump(interp: &mut Interp<'_>, args: Args, indent: usize, flow: Option<bool>) -> Result<Value> {
    let (input, args) = args.input();
    let [indent_arg, sort_keys, flow_arg, width, explicit_start, explicit_end, unicode, _style] = args.bind([
        "indent",
        "sort_keys",
        "default_flow_style",
        "width",
        "explicit_start",
        "explicit_end",
        "allow_unicode",
        "default_style",
    ])?;
    let indent = interp.arg_count_or(indent_arg, "indent", indent)?;
    let flow = match flow_arg {
        None => flow,
        Some(Value::None) => None,
        Some(flag) => Some(interp.truth(&flag)?),
    };
    let width = interp.arg_count_or(width, "width", 80)?;
    let mut writer = Writer {
        out: String::new(),
        column: 0,
        // PyYAML knows indents of 2 to 9 only, and widths that leave room for two of them.
        indent: if (2..10).contains(&indent) { indent } else { 2 },
        width: if width > indent * 2 { width } else { 80 },
        sort_keys: interp.arg_flag(sort_keys, true)?,
        flow,
        unicode: interp.arg_flag(unicode, true)?,
    };
    let (start, end) = (interp.arg_flag(explicit_start, false)?, interp.arg_flag(explicit_end, false)?);
    let json = value::to_json(interp, &input)?;
    if start {
        writer.push("---");
        let block = matches!(&json, Json::Array(items) if !items.is_empty() && !writer.is_flow(&json))
            || matches!(&json, Json::Object(map) if !map.is_empty() && !writer.is_flow(&json));
        writer.push(if block { "\n" } else { " " });
    }
    writer.node(&json, 0, At::Root);
    writer.push("\n");
    if end {
        writer.push("...\n");
    }
    Ok(Value::str(writer.out))
}

struct Writer {
    out: String,
    column: usize,
    indent: usize,
    width: usize,
    sort_keys: bool,
    /// Braces always, never, or for containers of plain things only.
    flow: Option<bool>,
    unicode: bool,
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Root,
    /// The value behind `key:`.
    MappingValue,
    /// The item behind `-`.
    SequenceItem,
}

/// A longer key gets a line of its own.
const LONGEST_KEY: usize = 128;

impl Writer {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        match text.rfind('\n') {
            Some(at) => self.column = text[at + 1..].chars().count(),
            None => self.column += text.chars().count(),
        }
    }

    fn new_line(&mut self, indent: usize) {
        self.push("\n");
        self.push(&" ".repeat(indent));
    }

    fn is_flow(&self, json: &Json) -> bool {
        let plain = |json: &Json| !matches!(json, Json::Array(_) | Json::Object(_));
        match (json, self.flow) {
            (Json::Array(items), _) if items.is_empty() => true,
            (Json::Object(map), _) if map.is_empty() => true,
            (_, Some(flow)) => flow,
            (Json::Array(items), None) => items.iter().all(plain),
            (Json::Object(map), None) => map.values().all(plain),
            _ => false,
        }
    }

    fn members<'j>(&self, map: &'j serde_json::Map<String, Json>) -> Vec<(&'j String, &'j Json)> {
        let mut members: Vec<_> = map.iter().collect();
        if self.sort_keys {
            members.sort_by_key(|(key, _)| *key);
        }
        members
    }

    /// Writes a node whose parent is indented by `indent`.
    fn node(&mut self, json: &Json, indent: usize, at: At) {
        if self.is_flow(json) {
            return self.flow_node(json, indent + self.indent);
        }
        match json {
            Json::Array(items) => {
                let inner = match at {
                    // A list under a key stands below the key itself.
                    At::Root | At::MappingValue => indent,
                    At::SequenceItem => indent + self.indent,
                };
                for (position, item) in items.iter().enumerate() {
                    self.begin(position, inner, at);
                    self.push("-");
                    self.after_dash(item, inner);
                }
            }
            Json::Object(map) => {
                let inner = if at == At::Root { indent } else { indent + self.indent };
                for (position, (key, member)) in self.members(map).into_iter().enumerate() {
                    self.begin(position, inner, at);
                    if key.chars().count() > LONGEST_KEY {
                        self.push("? ");
                        self.scalar(&Json::String(key.clone()), inner + self.indent, Context::Block);
                        self.new_line(inner);
                    } else {
                        self.scalar(&Json::String(key.clone()), inner, Context::Key);
                    }
                    self.push(":");
                    self.after_colon(member, inner);
                }
            }
            scalar => self.scalar(scalar, indent + self.indent, Context::Block),
        }
    }

    /// Starts an entry of a block: on a new line, or right behind the dash that holds the block.
    fn begin(&mut self, position: usize, indent: usize, at: At) {
        if position > 0 || at == At::MappingValue {
            self.new_line(indent);
        } else if at == At::SequenceItem {
            let missing = indent.saturating_sub(self.column);
            self.push(&" ".repeat(missing));
        }
    }

    fn after_dash(&mut self, item: &Json, indent: usize) {
        if self.is_flow(item) || !matches!(item, Json::Array(_) | Json::Object(_)) {
            self.push(" ");
        }
        self.node(item, indent, At::SequenceItem);
    }

    fn after_colon(&mut self, member: &Json, indent: usize) {
        if self.is_flow(member) || !matches!(member, Json::Array(_) | Json::Object(_)) {
            self.push(" ");
        }
        self.node(member, indent, At::MappingValue);
    }

    fn flow_node(&mut self, json: &Json, indent: usize) {
        match json {
            Json::Array(items) => {
                self.push("[");
                for (position, item) in items.iter().enumerate() {
                    self.separate(position, indent);
                    self.flow_node(item, indent + self.indent);
                }
                self.push("]");
            }
            Json::Object(map) => {
                self.push("{");
                for (position, (key, member)) in self.members(map).into_iter().enumerate() {
                    self.separate(position, indent);
                    self.scalar(&Json::String(key.clone()), indent, Context::Key);
                    self.push(": ");
                    self.flow_node(member, indent + self.indent);
                }
                self.push("}");
            }
            scalar => self.scalar(scalar, indent, Context::Flow),
        }
    }

    fn separate(&mut self, position: usize, indent: usize) {
        if position > 0 {
            self.push(",");
        }
        if self.column > self.width {
            self.new_line(indent);
        } else if position > 0 {
            self.push(" ");
        }
    }

    fn scalar(&mut self, json: &Json, indent: usize, context: Context) {
        match json {
            Json::String(text) => self.text(text, indent, context),
            Json::Number(number) => {
                let text = match number.as_f64() {
                    Some(float) if number.is_f64() => float_text(float),
                    _ => number.to_string(),
                };
                self.push(&text);
            }
            other => {
                let text = other.to_string();
                self.push(&text);
            }
        }
    }

    fn text(&mut self, text: &str, indent: usize, context: Context) {
        let shape = Shape::of(text, self.unicode);
        let split = context != Context::Key;
        let plain = match context {
            Context::Block => shape.block_plain,
            Context::Flow => shape.flow_plain,
            Context::Key => shape.block_plain && shape.flow_plain,
        };
        if plain && !text.is_empty() && !resolves(text) {
            self.plain(text, indent, split);
        } else if !shape.special && (split || !text.contains('\n')) {
            self.single_quoted(text, indent, split);
        } else {
            self.double_quoted(text, indent, split);
        }
    }

    fn plain(&mut self, text: &str, indent: usize, split: bool) {
        for (position, word) in text.split(' ').enumerate() {
            if position > 0 {
                self.space(text, word, indent, split);
            }
            self.push(word);
        }
    }

    /// A blank between words, or a line break in its place once the line is full.
    fn space(&mut self, text: &str, next: &str, indent: usize, split: bool) {
        let single = !next.is_empty() && !self.out.ends_with(' ');
        if split && single && self.column > self.width && !text.is_empty() {
            self.new_line(indent);
        } else {
            self.push(" ");
        }
    }

    fn single_quoted(&mut self, text: &str, indent: usize, split: bool) {
        self.push("'");
        let start = self.out.len();
        let mut rest = text;
        while !rest.is_empty() {
            let breaks = rest.len() - rest.trim_start_matches('\n').len();
            if breaks > 0 {
                // One break more than there are, for a single one would be read as a blank.
                self.push(&"\n".repeat(breaks + 1));
                self.push(&" ".repeat(indent));
                rest = &rest[breaks..];
                continue;
            }
            let blanks = rest.len() - rest.trim_start_matches(' ').len();
            if blanks > 0 {
                let inner = self.out.len() > start && blanks < rest.len();
                if blanks == 1 && split && inner && self.column > self.width {
                    self.new_line(indent);
                } else {
                    self.push(&" ".repeat(blanks));
                }
                rest = &rest[blanks..];
                continue;
            }
            let end = rest.find([' ', '\n']).unwrap_or(rest.len());
            self.push(&rest[..end].replace('\'', "''"));
            rest = &rest[end..];
        }
        self.push("'");
    }

    fn double_quoted(&mut self, text: &str, indent: usize, split: bool) {
        self.push("\"");
        let chars: Vec<char> = text.chars().collect();
        let mut after_blank = false;
        for (position, c) in chars.iter().enumerate() {
            let inner = position > 0 && position + 1 < chars.len();
            if *c == ' ' && split && inner && !after_blank && self.column > self.width {
                self.new_line(indent);
                // A blank at the start of a line is dropped by readers unless it is escaped.
                self.push(if chars.get(position + 1) == Some(&' ') { "\\" } else { "" });
            } else {
                match escape(*c, self.unicode) {
                    Some(escape) => self.push(&escape),
                    None => self.push(c.encode_utf8(&mut [0; 4])),
                }
            }
            after_blank = *c == ' ';
        }
        self.push("\"");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Block,
    Flow,
    Key,
}

fn printable(c: char, unicode: bool) -> bool {
    c == '\n' || (' '..='~').contains(&c) || (unicode && ('\u{a0}'..='\u{fffd}').contains(&c) && c != '\u{feff}')
}

fn escape(c: char, unicode: bool) -> Option<String> {
    let known = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '\u{85}' => "\\N",
        '\u{a0}' => "\\_",
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        c if printable(c, unicode) => return None,
        c => {
            let code = u32::from(c);
            return Some(match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
        }
    };
    Some(known.to_owned())
}

/// How a text may be written.
struct Shape {
    block_plain: bool,
    flow_plain: bool,
    /// It needs escapes.
    special: bool,
}

impl Shape {
    fn of(text: &str, unicode: bool) -> Self {
        let mut shape = Self { block_plain: true, flow_plain: true, special: false };
        if text.starts_with("---") || text.starts_with("...") {
            shape.refuse(true, true);
        }
        let chars: Vec<char> = text.chars().collect();
        for (position, c) in chars.iter().enumerate() {
            let blank_after = chars.get(position + 1).is_none_or(|next| " \t\n\r".contains(*next));
            let blank_before = position == 0 || " \t\n\r".contains(chars[position - 1]);
            if position == 0 {
                match c {
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                        shape.refuse(true, true);
                    }
                    '?' | ':' => shape.refuse(blank_after, true),
                    '-' if blank_after => shape.refuse(true, true),
                    _ => {}
                }
            } else {
                match c {
                    ',' | '?' | '[' | ']' | '{' | '}' => shape.refuse(false, true),
                    ':' => shape.refuse(blank_after, true),
                    '#' if blank_before => shape.refuse(true, true),
                    _ => {}
                }
            }
            shape.special |= !printable(*c, unicode);
        }
        let edge_blank = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let broken = text.contains('\n');
        if edge_blank || broken || shape.special {
            shape.refuse(true, true);
        }
        // A blank before a line break could not be read back from single quotes.
        shape.special |= text.contains(" \n") || (broken && text.ends_with(' '));
        shape
    }

    fn refuse(&mut self, block: bool, flow: bool) {
        self.block_plain &= !block;
        self.flow_plain &= !flow;
    }
}

/// Plain texts that YAML 1.1 reads as something else: booleans, nulls, numbers, moments, merge keys.
static RESOLVED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|~|null|Null|NULL|<<|=",
        r"|[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+",
        r"|[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?",
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        r"|[0-9]{4}-[0-9]{2}-[0-9]{2}",
        r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?",
        r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$",
    ))
    .ok()
});

fn resolves(text: &str) -> bool {
    // An unreadable pattern would be a bug that the tests below show; quoting is the safe side of it.
    RESOLVED.as_ref().is_none_or(|pattern| pattern.is_match(text))
}

fn float_text(float: f64) -> String {
    let text = value::float_text(float);
    // YAML 1.1 knows exponents only behind a decimal point.
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => text,
    }
}

fn read(interp: &mut Interp<'_>, args: Args) -> Result<Option<Vec<Value>>> {
    let (input, args) = args.input();
    args.none()?;
    if !matches!(input, Value::Str(_)) {
        return Ok(None);
    }
    let text = interp.text(&input)?;
    let mut diagnostics = Diagnostics::default();
    let documents = yaml::source("the text", text.into_bytes())
        .ok()
        .and_then(|source| yaml::parse_documents(&source, &mut diagnostics));
    match documents {
        Some(documents) => Ok(Some(documents.iter().map(|node| value::from_json(&node.to_value())).collect())),
        None => {
            let why = diagnostics.iter().next().map_or("it is not well formed", |diagnostic| &diagnostic.message);
            Err(TemplateError::failed(format!("not YAML: {why}")))
        }
    }
}

fn from_yaml(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let original = args.positional.first().cloned().unwrap_or(Value::None);
    let Some(mut documents) = read(interp, args)? else { return Ok(original) };
    match documents.len() {
        0 => Ok(Value::None),
        1 => Ok(documents.remove(0)),
        more => Err(TemplateError::failed(format!("the text holds {more} documents")).hinted("use from_yaml_all")),
    }
}

fn from_yaml_all(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let original = args.positional.first().cloned().unwrap_or(Value::None);
    Ok(read(interp, args)?.map_or(original, Value::list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_yaml_would_read_as_something_else_are_quoted() {
        for text in ["yes", "Off", "null", "~", "0644", "1:30", "1.5", "-.inf", "2024-01-31", "0x1F", "<<", "12"] {
            assert!(resolves(text), "{text}");
        }
        for text in ["yesterday", "1.2.3", "v1", "a:b", "2024-1", "08x", "y", "n"] {
            assert!(!resolves(text), "{text}");
        }
    }
}
