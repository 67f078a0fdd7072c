//! From the parser's events to nodes.
//!
//! Not here: the wording for broken YAML (see `mistakes`).

use super::repair::Padding;
use super::{Entry, Node, NodeKind, Style, Text, mistakes, scalar};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The deepest nesting that is read. Playbooks stay far below; without a bound, a hostile file could exhaust the
/// stack of whatever walks the tree.
pub const MAX_DEPTH: usize = 128;

/// The most values that one file may hold, those of resolved aliases counted: a bound for "billion laughs".
pub const MAX_NODES: usize = 2_000_000;

/// Turns the bytes of a file into a source; a byte order mark is dropped.
///
/// # Errors
/// When the bytes are not UTF-8, or the whole file is encrypted by ansible-vault.
pub fn source(path: &str, bytes: Vec<u8>) -> Result<Arc<Source>, Box<Diagnostic>> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let start = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default()).into_owned();
        let source = Source::new(path, start);
        let (line, column) = source.position(good);
        Box::new(
            Diagnostic::error(Code::Yaml, "the file is not UTF-8 text")
                .at(&Span::on_line(&source, line, column, 1))
                .hint("save it as UTF-8, or transfer it with copy instead of reading it"),
        )
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let source = Source::new(path, text);
    if source.text().starts_with("$ANSIBLE_VAULT;") {
        let span = Span::start_of(&source);
        let message = "the whole file is encrypted by ansible-vault, which kfleet can not decrypt yet";
        return Err(Box::new(
            Diagnostic::error(Code::Vault, message)
                .at(&span)
                .hint("decrypt it with `ansible-vault decrypt`, or pass its values with -e @file"),
        ));
    }
    Ok(source)
}

/// Reads a file of one document; an empty one gives null.
///
/// Broken YAML gives `None` and an error among the diagnostics.
pub fn parse(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut documents = parse_documents(source, diagnostics)?;
    if let Some(second) = documents.get(1) {
        diagnostics.push(
            Diagnostic::error(Code::Yaml, "the file holds more than one YAML document")
                .at(&second.span)
                .hint("keep one document in a file: remove the second '---' and join the lists"),
        );
        return None;
    }
    if documents.is_empty() {
        return Some(Node { value: NodeKind::Null, span: Span::start_of(source) });
    }
    Some(documents.swap_remove(0))
}

/// Reads all documents of a file.
pub fn parse_documents(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> Option<Vec<Node>> {
    let mut padding = Padding::default();
    loop {
        let padded = padding.text(source);
        let text = padded.as_deref().unwrap_or(source.text());
        match attempt(source, text, &padding, diagnostics) {
            Ok(documents) => return documents,
            Err(error) => {
                if !padding.mend(source, &error) {
                    diagnostics.push(mistakes::explain(source, &error));
                    return None;
                }
            }
        }
    }
}

/// Reads the text once; an error of the parser is given back, anything else is told.
fn attempt(
    source: &Arc<Source>,
    text: &str,
    padding: &Padding,
    diagnostics: &mut Diagnostics,
) -> Result<Option<Vec<Node>>, ScanError> {
    let mut builder = Builder {
        source,
        padding,
        diagnostics,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        documents: Vec::new(),
        count: 0,
        failed: false,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event?;
        if builder.event(event, span).is_err() {
            return Ok(None);
        }
    }
    Ok(if builder.failed { None } else { Some(builder.documents) })
}

/// A collection that is being read.
enum Open {
    List {
        items: Vec<Node>,
        start: Marker,
        anchor: usize,
    },
    Mapping {
        entries: Vec<Entry>,
        /// Where each key stands in the entries: files of variables may have very many.
        known: HashMap<String, usize>,
        key: Option<Key>,
        merges: Vec<Node>,
        start: Marker,
        anchor: usize,
    },
}

/// A key whose value has not come yet.
struct Key {
    text: String,
    span: Span,
    merge: bool,
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    padding: &'a Padding,
    diagnostics: &'a mut Diagnostics,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    documents: Vec<Node>,
    count: usize,
    /// Something is wrong that does not stop the reading: all such places are told.
    failed: bool,
}

/// The file is not read any further; the diagnostic is told already.
struct Stop;

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: saphyr_parser::Span) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Alias(anchor) => {
                let place = self.span(span.start, span.end);
                let Some((mut node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.stop(Code::Yaml, "an alias refers to the value that it is part of", &place));
                };
                self.counted(size, &place)?;
                node.span = place;
                self.put(node)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), &span);
                self.counted(1, &node.span)?;
                self.anchored(anchor, &node);
                self.put(node)
            }
            Event::SequenceStart(anchor, tag) => {
                self.known_tag(tag.as_deref(), &span);
                self.open(Open::List { items: Vec::new(), start: span.start, anchor }, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.known_tag(tag.as_deref(), &span);
                let (entries, known, merges) = (Vec::new(), HashMap::new(), Vec::new());
                self.open(Open::Mapping { entries, known, key: None, merges, start: span.start, anchor }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
        }
    }

    fn open(&mut self, open: Open, span: saphyr_parser::Span) -> Result<(), Stop> {
        let place = self.span(span.start, span.end);
        self.counted(1, &place)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.stop(Code::Yaml, &format!("the nesting is deeper than {MAX_DEPTH} levels"), &place));
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self, span: saphyr_parser::Span) -> Result<(), Stop> {
        let (node, anchor) = match self.stack.pop() {
            None => return Ok(()),
            Some(Open::List { items, start, anchor }) => {
                let span = self.collection(start, span.end, items.last().map(|node| &node.span));
                (Node { value: NodeKind::List(items), span }, anchor)
            }
            Some(Open::Mapping { entries, merges, start, anchor, .. }) => {
                let span = self.collection(start, span.end, entries.last().map(|entry| &entry.value.span));
                let entries = self.merged(entries, merges);
                (Node { value: NodeKind::Mapping(entries), span }, anchor)
            }
        };
        self.anchored(anchor, &node);
        self.put(node)
    }

    /// The place of a collection ends with its last value; the parser's own mark of a block's end is where the
    /// next token begins.
    fn collection(&self, start: Marker, end: Marker, last: Option<&Span>) -> Span {
        let mut span = self.span(start, end);
        if let Some(last) = last
            && (last.end_line, last.end_column) > (span.line, span.column)
            && span.end_line > last.end_line
        {
            (span.end_line, span.end_column) = (last.end_line, last.end_column);
        }
        span
    }

    /// Puts a finished value where it belongs: as a key, a value, an item or a document.
    fn put(&mut self, node: Node) -> Result<(), Stop> {
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, known, key, merges, .. }) => match key.take() {
                Some(Key { merge: true, .. }) => merges.push(node),
                Some(Key { text, span, .. }) => {
                    let first = known.get(&text).copied();
                    if let Some(found) = first.and_then(|at| entries.get_mut(at)) {
                        self.diagnostics.push(
                            Diagnostic::warning(Code::DuplicateKey, format!("the key '{text}' stands here twice"))
                                .at(&span)
                                .note_at("the first one, which is not used", &found.key_span)
                                .hint("remove one of them; the last one counts"),
                        );
                        found.key_span = span;
                        found.value = node;
                    } else {
                        known.insert(text.clone(), entries.len());
                        entries.push(Entry { key: text, key_span: span, value: node });
                    }
                }
                None => match key_of(&node) {
                    Some(found) => *key = Some(found),
                    None => {
                        self.failed = true;
                        self.diagnostics.push(mistakes::complex_key(self.source, &node));
                        *key = Some(Key { text: String::new(), span: node.span, merge: false });
                    }
                },
            },
        }
        Ok(())
    }

    /// Adds what `<<` brings: own keys win, then the earlier of several mappings.
    fn merged(&mut self, entries: Vec<Entry>, merges: Vec<Node>) -> Vec<Entry> {
        if merges.is_empty() {
            return entries;
        }
        let mut brought: Vec<Entry> = Vec::new();
        for merge in merges {
            let sources = match merge.value {
                NodeKind::List(items) => items,
                NodeKind::Null
                | NodeKind::Bool(_)
                | NodeKind::Number(_)
                | NodeKind::Text(_)
                | NodeKind::Mapping(_)
                | NodeKind::Vault(_) => vec![merge],
            };
            for source in sources {
                let Node { value: NodeKind::Mapping(found), .. } = source else {
                    self.failed = true;
                    let message = format!("'<<' merges mappings, and this is {}", source.describe());
                    self.diagnostics.push(Diagnostic::error(Code::Yaml, message).at(&source.span));
                    continue;
                };
                for entry in found {
                    let known = |list: &[Entry]| list.iter().any(|e| e.key == entry.key);
                    if !known(&entries) && !known(&brought) {
                        brought.push(entry);
                    }
                }
            }
        }
        brought.extend(entries);
        brought
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &saphyr_parser::Span) -> Node {
        let place = self.span(span.start, span.end);
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        let as_text = |literal| NodeKind::Text(Text { text: text.to_owned(), style, literal });
        let value = match tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str())) {
            None if style == Style::Plain => scalar::plain(text).unwrap_or_else(|| as_text(false)),
            None | Some((true, "str")) | Some((false, "")) => as_text(false),
            Some((false, "unsafe")) => as_text(true),
            Some((false, "vault" | "vault-encrypted")) => NodeKind::Vault(text.to_owned()),
            Some((true, "null" | "bool" | "int" | "float" | "timestamp")) => {
                scalar::plain(text).unwrap_or_else(|| as_text(false))
            }
            Some(_) => {
                self.known_tag(tag, span);
                as_text(false)
            }
        };
        Node { value, span: place }
    }

    /// Complains of a tag that has no meaning here; it is most often a text that begins with `!`.
    fn known_tag(&mut self, tag: Option<&Tag>, span: &saphyr_parser::Span) {
        let Some(tag) = tag else { return };
        let known = if tag.is_yaml_core_schema() {
            matches!(
                tag.suffix.as_str(),
                "str" | "null" | "bool" | "int" | "float" | "timestamp" | "seq" | "map" | "set" | "omap"
            )
        } else {
            matches!(tag.suffix.as_str(), "unsafe" | "vault" | "vault-encrypted")
        };
        if known {
            return;
        }
        self.failed = true;
        let mut place = self.span(span.start, span.end);
        let written = format!("!{}", tag.suffix);
        // The event's place is that of the value; the tag stands before it on the line.
        let before: String = place.source.line(place.line).chars().take(place.end_column as usize).collect();
        if let Some(at) = before.rfind(&written) {
            let column = u32::try_from(before.get(..at).map_or(0, |b| b.chars().count())).unwrap_or(0) + 1;
            place = Span::on_line(self.source, place.line, column, u32::try_from(written.chars().count()).unwrap_or(1));
        }
        self.diagnostics.push(
            Diagnostic::error(Code::Yaml, format!("the tag '{written}' has no meaning in a playbook"))
                .at(&place)
                .hint("known tags are !unsafe and !vault; put a text that begins with '!' in quotes"),
        );
    }

    fn anchored(&mut self, anchor: usize, node: &Node) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size(node)));
        }
    }

    fn counted(&mut self, more: usize, place: &Span) -> Result<(), Stop> {
        self.count = self.count.saturating_add(more);
        if self.count > MAX_NODES {
            let message = format!("the file holds more than {MAX_NODES} values, aliases resolved");
            return Err(self.stop(Code::Yaml, &message, place));
        }
        Ok(())
    }

    fn stop(&mut self, code: Code, message: &str, place: &Span) -> Stop {
        self.diagnostics.push(Diagnostic::error(code, message).at(place));
        Stop
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = |mark: Marker| {
            let line = number(mark.line());
            (line, number(mark.col()).saturating_sub(self.padding.of(line)) + 1)
        };
        let ((line, column), (end_line, end_column)) = (place(start), place(end));
        Span { source: Arc::clone(self.source), line, column, end_line: end_line.max(line), end_column }
    }
}

/// A scalar key; what is not a text is kept as it is written.
fn key_of(node: &Node) -> Option<Key> {
    let span = node.span.clone();
    match &node.value {
        NodeKind::Text(text) => {
            let merge = text.text == "<<" && text.style == Style::Plain;
            Some(Key { text: text.text.clone(), span, merge })
        }
        NodeKind::Null => Some(Key { text: "null".to_owned(), span, merge: false }),
        NodeKind::Bool(_) | NodeKind::Number(_) => Some(Key { text: span.text().to_owned(), span, merge: false }),
        NodeKind::List(_) | NodeKind::Mapping(_) | NodeKind::Vault(_) => None,
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        NodeKind::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        NodeKind::Mapping(entries) => 1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>(),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Vault(_) => 1,
    }
}

/// Complains of every encrypted value in a node that is used right away.
pub fn refuse_vaults(node: &Node, diagnostics: &mut Diagnostics) {
    node.vaults(&mut |span| {
        diagnostics.push(
            Diagnostic::error(
                Code::Vault,
                "this value is encrypted by ansible-vault, which kfleet can not decrypt yet",
            )
            .at(span)
            .hint("pass it as a variable with -e @file, from a file that only you can read"),
        );
    });
}
