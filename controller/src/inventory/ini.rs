//! Inventories in INI form.
//!
//! ```text
//! [kafka]
//! kafka[1:3].example rack=a heap='4g'   # hosts with variables
//! [kafka:vars]
//! port=9092
//! [brokers:children]
//! kafka
//! ```
//! Source of the rules: Ansible's documentation of the `ini` inventory plugin.

use super::load::Reader;
use super::{UNGROUPED, literal, ranges};
use kfleet_model::HostName;
use kfleet_playbook::source::{Source, Span};
use kfleet_playbook::yaml::{Entry, Node};
use kfleet_playbook::{Code, Diagnostic};
use std::sync::Arc;

/// What the lines of a section mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Hosts,
    Vars,
    Children,
    /// The header is wrong; its lines are not looked at.
    Unknown,
}

/// A word of a line, without quotes, and its place.
struct Word {
    text: String,
    span: Span,
}

impl Reader<'_> {
    /// Reads a whole file.
    pub(super) fn ini(&mut self, source: &Arc<Source>) {
        let mut section = Section::Hosts;
        let mut group = UNGROUPED.to_owned();
        for number in 1..=source.lines() {
            let text = source.line(number);
            let trimmed = text.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if trimmed.starts_with('[') && !is_host_range(trimmed) {
                (section, group) = self.header(source, number);
                continue;
            }
            match section {
                Section::Hosts => self.host_line(source, number, &group),
                Section::Vars => self.var_line(source, number, &group),
                Section::Children => self.child_line(source, number, &group),
                Section::Unknown => {}
            }
        }
    }

    fn header(&mut self, source: &Arc<Source>, number: u32) -> (Section, String) {
        let text = source.line(number);
        let span = whole_line(source, number);
        let unknown = (Section::Unknown, String::new());
        let Some((inside, after)) = text.trim().trim_start_matches('[').split_once(']') else {
            self.push(
                Diagnostic::error(Code::Inventory, "the '[' of the section is never closed")
                    .at(&span)
                    .hint("write [group]"),
            );
            return unknown;
        };
        if !after.trim().is_empty() && !after.trim().starts_with('#') {
            self.push(
                Diagnostic::error(Code::Inventory, format!("there is text after the section: '{}'", after.trim()))
                    .at(&span)
                    .hint("put hosts on lines of their own"),
            );
            return unknown;
        }
        let (name, kind) = inside.split_once(':').unwrap_or((inside, "hosts"));
        let place = span.find(name.trim(), 0).unwrap_or_else(|| span.clone());
        if !self.group_name(name, &place) {
            return unknown;
        }
        let section = match kind {
            "hosts" => Section::Hosts,
            "vars" => Section::Vars,
            "children" => Section::Children,
            _ => {
                let near = kfleet_model::module::nearest(kind, ["hosts", "vars", "children"]);
                let place = span.find(kind, 0).unwrap_or(span);
                self.push(
                    Diagnostic::error(Code::Inventory, format!("a section can not be of the kind '{kind}'"))
                        .at(&place)
                        .did_you_mean(near)
                        .note("known are [group], [group:vars] and [group:children]"),
                );
                return unknown;
            }
        };
        match section {
            // Variables may come before the group; whether it exists is known at the end.
            Section::Vars => self.wanted_by_vars(name, &place),
            Section::Hosts | Section::Children | Section::Unknown => self.defined(name, &place),
        }
        (section, name.to_owned())
    }

    fn host_line(&mut self, source: &Arc<Source>, number: u32, group: &str) {
        let words = self.words(source, number);
        let Some((name, rest)) = words.split_first() else { return };
        if let Some((key, _)) = name.text.split_once('=')
            && !key.contains('[')
        {
            self.push(
                Diagnostic::error(Code::Inventory, format!("'{}' is a variable where a host is wanted", name.text))
                    .at(&name.span)
                    .hint(format!("put the variables of a group below [{group}:vars]")),
            );
            return;
        }
        let mut vars: Vec<Entry> = Vec::new();
        for word in rest {
            let Some((key, value)) = word.text.split_once('=') else {
                self.push(
                    Diagnostic::error(Code::Inventory, format!("'{}' is no variable of the host", word.text))
                        .at(&word.span)
                        .hint("write name=value; put each host on a line of its own"),
                );
                continue;
            };
            let value = Node::from_value(&literal::value(value), &word.span);
            vars.push(Entry { key: key.to_owned(), key_span: word.span.clone(), value });
        }
        let (pattern, port) = split_port(&name.text);
        if let Some(port) = port {
            let value = Node::from_value(&port.into(), &name.span);
            vars.insert(0, Entry { key: "ansible_port".to_owned(), key_span: name.span.clone(), value });
        }
        for host in self.host_names(pattern, &name.span) {
            self.add(group, &host, &name.span, &vars);
        }
    }

    /// The hosts that a name with ranges stands for.
    pub(super) fn host_names(&mut self, pattern: &str, span: &Span) -> Vec<HostName> {
        let names = match ranges::expand(pattern) {
            Ok(names) => names,
            Err(why) => {
                self.push(Diagnostic::error(Code::Inventory, format!("host name '{pattern}': {why}")).at(span));
                return Vec::new();
            }
        };
        let mut hosts = Vec::new();
        for name in names {
            match HostName::new(name) {
                Ok(host) => hosts.push(host),
                Err(error) => {
                    self.push(Diagnostic::error(Code::Inventory, error.to_string()).at(span));
                    break;
                }
            }
        }
        hosts
    }

    fn var_line(&mut self, source: &Arc<Source>, number: u32, group: &str) {
        let span = whole_line(source, number);
        let text = source.line(number);
        let Some((key, value)) = text.split_once('=') else {
            self.push(
                Diagnostic::error(Code::Inventory, format!("'{}' is no variable", text.trim()))
                    .at(&span)
                    .hint(format!("write name=value; hosts belong below [{group}]")),
            );
            return;
        };
        let (key, value) = (key.trim(), value.trim());
        let key_span = span.find(key, 0).unwrap_or_else(|| span.clone());
        let node = Node::from_value(&self.var_value(value, &span), &span);
        self.group_var(group, Entry { key: key.to_owned(), key_span, value: node });
    }

    /// A comment behind a value belongs to it for Ansible, unless the value is a literal.
    fn var_value(&mut self, text: &str, span: &Span) -> kfleet_model::Value {
        let Some(at) = text.find(" #") else { return literal::value(text) };
        let before = text.get(..at).unwrap_or_default();
        if let Some(value) = literal::literal(before) {
            return value;
        }
        let place = span.find(text.get(at + 1..).unwrap_or_default(), 0).unwrap_or_else(|| span.clone());
        self.push(
            Diagnostic::warning(Code::Inventory, "this is part of the value and no comment")
                .at(&place)
                .hint("put the comment on a line of its own, or the value in quotes"),
        );
        literal::value(text)
    }

    fn child_line(&mut self, source: &Arc<Source>, number: u32, group: &str) {
        let words = self.words(source, number);
        let Some((child, rest)) = words.split_first() else { return };
        if let Some(more) = rest.first() {
            self.push(
                Diagnostic::error(
                    Code::Inventory,
                    format!("'{}' does not belong here: one group on each line", more.text),
                )
                .at(&more.span)
                .hint(format!("put variables below [{}:vars]", child.text)),
            );
        }
        if self.group_name(&child.text, &child.span) {
            self.child(group, &child.text, &child.span);
        }
    }

    /// Splits a line at blanks, quotes kept together and then removed; `#` begins a comment.
    fn words(&mut self, source: &Arc<Source>, number: u32) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        let mut text = String::new();
        let mut start: Option<u32> = None;
        let mut quote: Option<(char, u32)> = None;
        let mut chars = source.line(number).chars().zip(1u32..).peekable();
        let mut end = 1;
        while let Some((c, column)) = chars.next() {
            end = column;
            match (quote, c) {
                (Some((open, _)), c) if c == open => quote = None,
                (Some(('"', _)), '\\') | (None, '\\') => {
                    start.get_or_insert(column);
                    text.extend(chars.next().map(|(c, _)| c));
                }
                (Some(_), c) => text.push(c),
                (None, '"' | '\'') => {
                    start.get_or_insert(column);
                    quote = Some((c, column));
                }
                (None, '#') => {
                    if start.is_some() {
                        self.push(
                            Diagnostic::warning(Code::Inventory, "'#' begins a comment here")
                                .at(&Span::on_line(source, number, column, 1))
                                .hint("put the value in quotes if '#' belongs to it"),
                        );
                    }
                    end = column - 1;
                    break;
                }
                (None, c) if c.is_whitespace() => {
                    if let Some(start) = start.take() {
                        let span = Span::on_line(source, number, start, column - start);
                        words.push(Word { text: std::mem::take(&mut text), span });
                    }
                }
                (None, c) => {
                    start.get_or_insert(column);
                    text.push(c);
                }
            }
        }
        if let Some((open, column)) = quote {
            self.push(
                Diagnostic::error(Code::Inventory, format!("the quote {open} that opens here is never closed"))
                    .at(&Span::on_line(source, number, column, end + 1 - column)),
            );
            return Vec::new();
        }
        if let Some(start) = start {
            words.push(Word { text, span: Span::on_line(source, number, start, end + 1 - start) });
        }
        words
    }
}

/// A line such as `[1:3].example` names hosts, although it begins like a section.
fn is_host_range(text: &str) -> bool {
    text.split_once(']').is_some_and(|(inside, after)| {
        let range = inside.trim_start_matches('[');
        let ends = range.split_once(':').map(|(a, b)| (a.len() <= 1 || a.parse::<u64>().is_ok()) && !b.is_empty());
        ends == Some(true) && !after.is_empty() && !after.starts_with([' ', '#', '\t'])
    })
}

/// `host:2222`: the port of a connection.
fn split_port(name: &str) -> (&str, Option<u16>) {
    let outside = name.rfind(']').map_or(0, |at| at + 1);
    match name.rfind(':').filter(|at| *at >= outside) {
        Some(at) => match name.get(at + 1..).and_then(|port| port.parse().ok()) {
            Some(port) => (name.get(..at).unwrap_or(name), Some(port)),
            None => (name, None),
        },
        None => (name, None),
    }
}

fn whole_line(source: &Arc<Source>, number: u32) -> Span {
    let text = source.line(number);
    let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(0);
    let indent = count(text) - count(text.trim_start());
    Span::on_line(source, number, indent + 1, count(text.trim()).max(1))
}
