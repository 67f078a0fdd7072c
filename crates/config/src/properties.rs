//! Java's properties files, kept to the byte.
//!
//! Purpose: read such a file exactly as `java.util.Properties.load(InputStream)` does, and change single keys in it
//! while comments, order, blank lines, duplicates, indentation and line ends of everything else stay as they are.
//! The rules are those of that class's documentation ("logical lines", escapes, ISO 8859-1); the tests compare with
//! what a JDK answers.
//! Not here: what the keys mean.

mod codec;
mod scan;

use std::collections::BTreeMap;
use std::ops::Range;

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// The key, without escapes.
    pub key: String,
    /// The value, without escapes; blanks at its end are part of it, as in Java.
    pub value: String,
    /// An escape `\u` without four hexadecimal digits: Java refuses the whole file for it.
    pub malformed: bool,
}

/// A file: its bytes, cut into entries and what stands between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    raw: Vec<u8>,
    /// None for comments and blank lines.
    entry: Option<Parsed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parsed {
    key: String,
    value: String,
    malformed: bool,
    /// The line end, or nothing at the end of the file.
    end: Range<usize>,
    /// How far the bytes of indentation, key and separator reach, when no line goes on within them.
    head: Option<usize>,
    /// What stands between key and value.
    separator: Separator,
    /// The file ended while the line was to go on.
    open: bool,
}

/// What stands between a key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    Nothing,
    Blanks,
    /// `=` or `:`, with or without blanks.
    Sign,
}

impl Properties {
    /// Cuts a text into entries. Every text is one: what Java refuses is marked as malformed.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut at = 0;
        for line in scan::logical_lines(text) {
            if at < line.span.start {
                pieces.push(Piece { raw: text[at..line.span.start].to_vec(), entry: None });
            }
            at = line.span.end;
            let raw = text[line.span.clone()].to_vec();
            let entry = Some(Parsed::of(&line, &raw));
            pieces.push(Piece { raw, entry });
        }
        if at < text.len() {
            pieces.push(Piece { raw: text[at..].to_vec(), entry: None });
        }
        Self { pieces }
    }

    /// The text: to the byte what was parsed, where nothing was changed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| piece.raw.iter().copied()).collect()
    }

    /// The entries in their order, duplicates included.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut line = 1;
        let mut entries = Vec::new();
        for piece in &self.pieces {
            if let Some(entry) = &piece.entry {
                let (key, value) = (entry.key.clone(), entry.value.clone());
                entries.push(Entry { line, key, value, malformed: entry.malformed });
            }
            line += scan::line_ends(&piece.raw);
        }
        entries
    }

    /// What Java makes of the file: the last value of each key.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.parsed().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    }

    /// The value of a key: of several the last, as in Java.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.parsed().rev().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// Gives a key a value. The last entry of the key is changed where it stands and keeps its spelling; a new one goes
    /// to the end. An entry that has the value already is not touched.
    pub fn set(&mut self, key: &str, value: &str) {
        if self.get(key) == Some(value) {
            return;
        }
        let last = self.pieces.iter().rposition(|piece| piece.entry.as_ref().is_some_and(|entry| entry.key == key));
        match last {
            Some(at) => self.pieces[at] = self.pieces[at].with_value(key, value),
            None => {
                let end = self.close();
                self.pieces.push(Piece::new(key, value, end));
            }
        }
    }

    /// Takes a key out, all of its entries. Whether there was one.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.pieces.len();
        self.pieces.retain(|piece| piece.entry.as_ref().is_none_or(|entry| entry.key != key));
        before != self.pieces.len()
    }

    fn parsed(&self) -> impl DoubleEndedIterator<Item = &Parsed> {
        self.pieces.iter().filter_map(|piece| piece.entry.as_ref())
    }

    /// Ends the last line, so that another one can follow; gives the file's own kind of line end.
    fn close(&mut self) -> &'static [u8] {
        let first = self.pieces.iter().find_map(|piece| scan::first_end(&piece.raw));
        let end = first.unwrap_or(b"\n");
        if let Some(mut last) = self.pieces.pop() {
            if !last.raw.ends_with(b"\n") && !last.raw.ends_with(b"\r") {
                last.raw.extend_from_slice(end);
            }
            // A line that is to go on takes the next one in, unless that one is blank.
            if last.entry.as_ref().is_some_and(|entry| entry.open) {
                // `\n` behind `\r` would be one line end with it.
                let blank = if last.raw.ends_with(b"\r") { b"\r" } else { end };
                last.raw.extend_from_slice(blank);
            }
            self.pieces.push(if last.entry.is_some() { Piece::parsed(last.raw) } else { last });
        }
        end
    }
}

impl Piece {
    fn new(key: &str, value: &str, end: &[u8]) -> Self {
        let mut raw = codec::encode_key(key);
        raw.push(b'=');
        raw.extend(codec::encode_value(value, true));
        raw.extend_from_slice(end);
        Self::parsed(raw)
    }

    /// The same entry with another value; indentation, spelling of the key, separator and line end stay.
    fn with_value(&self, key: &str, value: &str) -> Self {
        let Some((entry, head)) = self.entry.as_ref().and_then(|entry| Some((entry, entry.head?))) else {
            let end = self.entry.as_ref().map_or(0..0, |entry| entry.end.clone());
            return Self::new(key, value, self.raw.get(end).unwrap_or(b"\n"));
        };
        let mut raw = self.raw[..head].to_vec();
        if entry.separator == Separator::Nothing {
            raw.push(b'=');
        }
        raw.extend(codec::encode_value(value, entry.separator != Separator::Blanks));
        raw.extend_from_slice(&self.raw[entry.end.clone()]);
        Self::parsed(raw)
    }

    /// Of bytes that are one logical line.
    fn parsed(raw: Vec<u8>) -> Self {
        let entry = scan::logical_lines(&raw).first().map(|line| Parsed::of(line, &raw));
        Self { raw, entry }
    }
}

impl Parsed {
    fn of(line: &scan::Line, raw: &[u8]) -> Self {
        let split = scan::split(&line.text);
        let (key, key_wrong) = codec::decode(&line.text[..split.key]);
        let (value, value_wrong) = codec::decode(&line.text[split.value..]);
        let indent = raw.iter().take_while(|byte| scan::is_blank(**byte)).count();
        let head = indent + split.value;
        let plain = raw.get(indent..head) == line.text.get(..split.value);
        Self {
            key,
            value,
            malformed: key_wrong || value_wrong,
            end: raw.len() - line.end..raw.len(),
            head: (plain && split.value > 0).then_some(head),
            separator: match split.separated {
                true => Separator::Sign,
                false if split.value > split.key => Separator::Blanks,
                false => Separator::Nothing,
            },
            open: line.open,
        }
    }
}

#[cfg(test)]
mod tests;
