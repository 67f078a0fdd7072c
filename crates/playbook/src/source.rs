//! Source text and places in it.
//!
//! Purpose: every value that comes out of a file carries a [`Span`], so that a message about it, now or in the
//! middle of a run, can show file, line, column and the line itself.
//! Place in the flow: under the YAML reader, the inventory and all diagnostics.
//! Not here: reading files (see [`crate::files`]).

use std::fmt;
use std::sync::Arc;

/// One text that was read, with its name and the starts of its lines.
#[derive(PartialEq, Eq)]
pub struct Source {
    path: String,
    text: String,
    starts: Vec<usize>,
}

impl Source {
    /// Takes a text under the path by which people know it.
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { path: path.into(), text, starts })
    }

    /// The path as it was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A line without its end, counted from 1; empty when there is none.
    #[must_use]
    pub fn line(&self, number: u32) -> &str {
        let index = number.saturating_sub(1) as usize;
        let Some(&start) = self.starts.get(index) else { return "" };
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end).unwrap_or("").trim_end_matches('\r')
    }

    /// The number of lines.
    #[must_use]
    pub fn lines(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// The byte offset of a line and a column (both from 1, columns in characters).
    #[must_use]
    pub fn offset(&self, line: u32, column: u32) -> usize {
        let Some(&start) = self.starts.get(line.saturating_sub(1) as usize) else { return self.text.len() };
        let rest = self.text.get(start..).unwrap_or("");
        let within = rest.char_indices().nth(column.saturating_sub(1) as usize).map_or(rest.len(), |(at, _)| at);
        start + within
    }

    /// Line and column (both from 1, columns in characters) of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |text| text.chars().count()) + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.path)
    }
}

/// A place in a source: from the first character up to, and without, the end. Cheap to clone.
#[derive(Clone)]
pub struct Span {
    /// The text.
    pub source: Arc<Source>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The line of the end, from 1.
    pub end_line: u32,
    /// The column of the end, from 1, exclusive.
    pub end_column: u32,
}

impl Span {
    /// A place of one line.
    #[must_use]
    pub fn on_line(source: &Arc<Source>, line: u32, column: u32, width: u32) -> Self {
        Self { source: Arc::clone(source), line, column, end_line: line, end_column: column + width }
    }

    /// The first character of a source.
    #[must_use]
    pub fn start_of(source: &Arc<Source>) -> Self {
        Self::on_line(source, 1, 1, 1)
    }

    /// A place that is in no file: the command line, or a value that the program itself made.
    #[must_use]
    pub fn nowhere(name: &str, text: &str) -> Self {
        let source = Source::new(name, text);
        let width = u32::try_from(text.chars().count()).unwrap_or(1);
        Self::on_line(&source, 1, 1, width)
    }

    /// A place given by byte offsets of its source.
    #[must_use]
    pub fn from_offsets(source: &Arc<Source>, start: usize, end: usize) -> Self {
        let (line, column) = source.position(start);
        let (end_line, end_column) = source.position(end.max(start));
        Self { source: Arc::clone(source), line, column, end_line, end_column }
    }

    /// The path of its file.
    #[must_use]
    pub fn path(&self) -> &str {
        self.source.path()
    }

    /// The text as it stands in the file.
    #[must_use]
    pub fn text(&self) -> &str {
        let (start, end) = self.offsets();
        self.source.text().get(start..end).unwrap_or("")
    }

    fn offsets(&self) -> (usize, usize) {
        let start = self.source.offset(self.line, self.column);
        (start, self.source.offset(self.end_line, self.end_column).max(start))
    }

    /// The place of the `nth` (from 0) occurrence of a text inside this place.
    ///
    /// A value of several lines, quoted or folded, does not have the offsets of its file; searching for the piece
    /// that is wrong finds it in every style.
    #[must_use]
    pub fn find(&self, needle: &str, nth: usize) -> Option<Self> {
        if needle.is_empty() {
            return None;
        }
        let (start, _) = self.offsets();
        let (at, found) = self.text().match_indices(needle).nth(nth)?;
        Some(Self::from_offsets(&self.source, start + at, start + at + found.len()))
    }

    /// `file:line`, as events and logs show a place.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}:{}", self.path(), self.line)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path(), self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}-{}:{}", self.path(), self.line, self.column, self.end_line, self.end_column)
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line
            && self.column == other.column
            && self.end_line == other.end_line
            && self.end_column == other.end_column
            && self.path() == other.path()
    }
}

impl Eq for Span {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = Source::new("a.yml", "eins\r\nzwö: drei\n");
        assert_eq!(source.line(1), "eins");
        assert_eq!(source.line(2), "zwö: drei");
        assert_eq!(source.line(3), "");
        assert_eq!(source.line(9), "");
        let drei = source.text().find("drei").unwrap();
        assert_eq!(source.position(drei), (2, 6));
        assert_eq!(source.offset(2, 6), drei);
    }

    #[test]
    fn a_piece_of_a_value_is_found_in_its_place() {
        let source = Source::new("a.yml", "a: x\nb: \"{{ x | nosuch }} {{ x }}\"\n");
        let span = Span::on_line(&source, 2, 4, 30);
        assert_eq!(span.find("nosuch", 0).unwrap().to_string(), "a.yml:2:12");
        assert_eq!(span.find("x", 1).unwrap().to_string(), "a.yml:2:25");
        assert_eq!(span.find("zz", 0), None);
    }
}
