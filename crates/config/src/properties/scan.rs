//! Logical lines, as `java.util.Properties.load` finds them.

use std::ops::Range;

/// One logical line: a key with its value, over one or several lines of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes in the file, line end included.
    pub(super) span: Range<usize>,
    /// Its text: without indentation, and without the ends and indentations at which it goes on.
    pub(super) text: Vec<u8>,
    /// The length of its line end.
    pub(super) end: usize,
    /// The file ended at a backslash.
    pub(super) open: bool,
}

/// Where a logical line's key ends and its value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) key: usize,
    pub(super) value: usize,
    /// There is a `=` or `:` between them.
    pub(super) separated: bool,
}

/// The white space of a properties file, line ends apart.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// How long the line end at a place is.
fn end_at(text: &[u8], at: usize) -> usize {
    match text.get(at..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b'\r' | b'\n', ..]) => 1,
        Some(_) | None => 0,
    }
}

/// How many lines end in a text.
pub(super) fn line_ends(text: &[u8]) -> usize {
    let mut at = 0;
    let mut count = 0;
    while at < text.len() {
        let end = end_at(text, at);
        count += usize::from(end > 0);
        at += end.max(1);
    }
    count
}

/// The first line end of a text.
pub(super) fn first_end(text: &[u8]) -> Option<&'static [u8]> {
    let at = text.iter().position(|byte| is_end(*byte))?;
    Some(match (text[at], end_at(text, at)) {
        (_, 2) => b"\r\n",
        (b'\r', _) => b"\r",
        (_, _) => b"\n",
    })
}

/// Reads all logical lines.
pub(super) fn logical_lines(text: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(line) = next_line(text, &mut at) {
        lines.push(line);
    }
    lines
}

/// Reads one logical line, and leaves `at` behind it.
///
/// The order of the questions is Java's: a backslash on a line of its own takes the next line in, comment signs count
/// only while nothing was read yet, and a blank line ends what was to go on.
fn next_line(text: &[u8], at: &mut usize) -> Option<Line> {
    let mut start = *at;
    let mut read: Vec<u8> = Vec::new();
    let mut begun = false;
    let (mut skipping, mut went_on, mut escaped) = (true, false, false);
    while let Some(&byte) = text.get(*at) {
        if skipping && is_blank(byte) {
            *at += 1;
            continue;
        }
        if skipping && !went_on && is_end(byte) {
            *at += end_at(text, *at);
            (start, begun) = (*at, false);
            continue;
        }
        (skipping, went_on) = (false, false);
        if read.is_empty() && matches!(byte, b'#' | b'!') {
            while text.get(*at).is_some_and(|byte| !is_end(*byte)) {
                *at += 1;
            }
            *at += end_at(text, *at);
            (start, begun, skipping) = (*at, false, true);
        } else if !is_end(byte) {
            read.push(byte);
            begun = true;
            escaped = byte == b'\\' && !escaped;
            *at += 1;
        } else if read.is_empty() {
            *at += end_at(text, *at);
            (start, begun, skipping) = (*at, false, true);
        } else {
            let end = end_at(text, *at);
            *at += end;
            if !escaped {
                return Some(Line { span: start..*at, text: read, end, open: false });
            }
            read.pop();
            (skipping, went_on, escaped) = (true, true, false);
            if *at >= text.len() {
                return Some(Line { span: start..*at, text: read, end, open: true });
            }
        }
    }
    if !begun || (read.is_empty() && !went_on) {
        return None;
    }
    if escaped {
        read.pop();
        return Some(Line { span: start..*at, text: read, end: 0, open: true });
    }
    // Only blanks came after a line that was to go on.
    (!read.is_empty()).then_some(Line { span: start..*at, text: read, end: 0, open: went_on })
}

/// Finds key and value in a logical line.
pub(super) fn split(line: &[u8]) -> Split {
    let mut escaped = false;
    let mut key = line.len();
    for (at, &byte) in line.iter().enumerate() {
        if !escaped && (matches!(byte, b'=' | b':') || is_blank(byte)) {
            key = at;
            break;
        }
        escaped = byte == b'\\' && !escaped;
    }
    let mut value = key;
    let mut separated = false;
    while let Some(&byte) = line.get(value) {
        if matches!(byte, b'=' | b':') && !separated {
            separated = true;
        } else if !is_blank(byte) {
            break;
        }
        value += 1;
    }
    Split { key, value, separated }
}
