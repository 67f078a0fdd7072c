//! YAML as Ansible reads it, with the place of every key and value.
//!
//! Purpose: text in, [`Node`]s out. Scalars follow YAML 1.1 (`yes` is true, `0644` is octal), keys keep their
//! order, anchors, aliases and merge keys are resolved, `!unsafe` and `!vault` are kept as marks.
//! Place in the flow: the first step for playbooks, roles, variable files and YAML inventories. The types of the
//! YAML library stop here.
//! Not here: what a mapping means (see [`crate::parse`]), templates.

mod mistakes;
mod parse;
mod repair;
mod scalar;

use crate::source::Span;
use kfleet_model::{Map, Value};

pub use parse::{MAX_DEPTH, MAX_NODES, parse, parse_documents, refuse_vaults, source};
pub use scalar::plain as resolve_plain;

/// In a value, an object with this single key holds a text that is never a template; the form of Ansible's own JSON.
pub const UNSAFE_KEY: &str = "__ansible_unsafe";

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: NodeKind,
    /// Where it stands.
    pub span: Span,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// `null`, `~`, or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file, each key once.
    Mapping(Vec<Entry>),
    /// `!vault`: the ciphertext, which nothing here can read.
    Vault(String),
}

/// A text and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// `!unsafe`: it is never a template.
    pub literal: bool,
}

/// How a text was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a block, `|` or `>`.
    Block,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; one that is not a text (`8080:`, `on:`) is kept as it is written.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A text that the program itself makes, at a given place.
    #[must_use]
    pub fn text(text: impl Into<String>, span: Span) -> Self {
        let text = Text { text: text.into(), style: Style::Plain, literal: false };
        Self { value: NodeKind::Text(text), span }
    }

    /// Any JSON value as a node, everything in it at the one place.
    #[must_use]
    pub fn from_value(value: &Value, span: &Span) -> Self {
        let kind = match value {
            Value::Null => NodeKind::Null,
            Value::Bool(b) => NodeKind::Bool(*b),
            Value::Number(n) => NodeKind::Number(n.clone()),
            Value::String(s) => return Self::text(s.clone(), span.clone()),
            Value::Array(items) => NodeKind::List(items.iter().map(|item| Self::from_value(item, span)).collect()),
            Value::Object(map) => NodeKind::Mapping(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_span: span.clone(),
                        value: Self::from_value(value, span),
                    })
                    .collect(),
            ),
        };
        Self { value: kind, span: span.clone() }
    }

    /// The text of a text node.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeKind::Text(text) => Some(&text.text),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::List(_)
            | NodeKind::Mapping(_)
            | NodeKind::Vault(_) => None,
        }
    }

    /// The items of a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            NodeKind::List(items) => Some(items),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::Text(_)
            | NodeKind::Mapping(_)
            | NodeKind::Vault(_) => None,
        }
    }

    /// The entries of a mapping.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&[Entry]> {
        match &self.value {
            NodeKind::Mapping(entries) => Some(entries),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::Text(_)
            | NodeKind::List(_)
            | NodeKind::Vault(_) => None,
        }
    }

    /// It is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.value == NodeKind::Null
    }

    /// The value of a key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_mapping()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// A scalar as text, as Ansible would write it; nothing for null, lists and mappings.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        kfleet_model::module::text(&self.to_value())
    }

    /// What it is, for a message: `a list`, `the number 5`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.value {
            NodeKind::Null => "nothing".to_owned(),
            NodeKind::Bool(b) => format!("the boolean {b}"),
            NodeKind::Number(n) => format!("the number {n}"),
            NodeKind::Text(text) => format!("the text '{}'", shorten(&text.text)),
            NodeKind::List(_) => "a list".to_owned(),
            NodeKind::Mapping(_) => "a mapping".to_owned(),
            NodeKind::Vault(_) => "an encrypted value".to_owned(),
        }
    }

    /// The value without its places.
    ///
    /// A text marked `!unsafe` that looks like a template is wrapped as Ansible's own JSON does, and a `!vault`
    /// value becomes a template that fails with a message naming its place: so both keep their meaning wherever
    /// the value goes.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match &self.value {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(b) => Value::Bool(*b),
            NodeKind::Number(n) => Value::Number(n.clone()),
            NodeKind::Text(text) if text.literal && is_template(&text.text) => {
                serde_json::json!({ UNSAFE_KEY: text.text })
            }
            NodeKind::Text(text) => Value::String(text.text.clone()),
            NodeKind::List(items) => items.iter().map(Self::to_value).collect(),
            NodeKind::Mapping(entries) => Value::Object(to_map(entries)),
            NodeKind::Vault(_) => Value::String(format!("{{{{ undef(hint={}) }}}}", quote(&vault_message(&self.span)))),
        }
    }

    /// The node at a path of keys and indexes (`["kafka", "listeners", "0"]`).
    #[must_use]
    pub fn lookup(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        let next = match &self.value {
            NodeKind::List(items) => items.get(first.parse::<usize>().ok()?),
            NodeKind::Mapping(_) => self.get(first),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Vault(_) => None,
        };
        next?.lookup(rest)
    }

    /// Calls a function for every text in it that may be a template, with its place, keys of mappings too.
    pub fn texts(&self, each: &mut impl FnMut(&str, &Span)) {
        match &self.value {
            NodeKind::Text(text) if !text.literal => each(&text.text, &self.span),
            NodeKind::List(items) => items.iter().for_each(|item| item.texts(each)),
            NodeKind::Mapping(entries) => {
                for entry in entries {
                    each(&entry.key, &entry.key_span);
                    entry.value.texts(each);
                }
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Vault(_) => {}
        }
    }

    /// Calls a function for every encrypted value in it.
    pub fn vaults(&self, each: &mut impl FnMut(&Span)) {
        match &self.value {
            NodeKind::Vault(_) => each(&self.span),
            NodeKind::List(items) => items.iter().for_each(|item| item.vaults(each)),
            NodeKind::Mapping(entries) => entries.iter().for_each(|entry| entry.value.vaults(each)),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {}
        }
    }
}

/// The entries of a mapping as a JSON object.
#[must_use]
pub fn to_map(entries: &[Entry]) -> Map {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value())).collect()
}

/// What is said of an encrypted value.
#[must_use]
pub fn vault_message(span: &Span) -> String {
    format!("the value at {span} is encrypted by ansible-vault, which kfleet can not decrypt yet")
}

/// A text may hold a template.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// A message as a string literal of the template language; it has no line ends.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn shorten(text: &str) -> String {
    let text = text.trim().replace('\n', " ");
    if text.chars().count() > 40 { format!("{}...", text.chars().take(37).collect::<String>()) } else { text }
}

#[cfg(test)]
mod tests;
