//! Continuation lines that YAML 1.2 refuses and Ansible's loader takes.
//!
//! In quotes and in brackets, YAML 1.1 as Ansible reads it does not care how far a line is indented; roles in the
//! field rely on it. Blanks at the beginning of such a line mean nothing, so the text is given to the parser with
//! more of them, and places are counted back.

use crate::source::Source;
use saphyr_parser::ScanError;
use std::collections::BTreeMap;

/// How often a file is mended at most: far above what people write, and a bound for what nobody should.
const MAX_REPAIRS: usize = 500;

/// Blanks that were added in front of lines.
#[derive(Default)]
pub(super) struct Padding {
    lines: BTreeMap<u32, u32>,
    repairs: usize,
}

impl Padding {
    /// The text with the blanks; nothing when there are none.
    pub(super) fn text(&self, source: &Source) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(source.text().len() * 2);
        for number in 1..=source.lines() {
            for _ in 0..self.of(number) {
                out.push(' ');
            }
            out.push_str(source.line(number));
            if number < source.lines() {
                out.push('\n');
            }
        }
        Some(out)
    }

    /// The number of blanks in front of a line.
    pub(super) fn of(&self, line: u32) -> u32 {
        self.lines.get(&line).copied().unwrap_or(0)
    }

    /// Adds blanks for an error that is only about indentation; gives false for any other.
    pub(super) fn mend(&mut self, source: &Source, error: &ScanError) -> bool {
        self.repairs += 1;
        if self.repairs > MAX_REPAIRS {
            return false;
        }
        let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
        let column = u32::try_from(error.marker().col()).unwrap_or(u32::MAX);
        match error.info() {
            "invalid indentation in quoted scalar" => self.quoted(source, line, column),
            "invalid indentation" | "invalid indentation in flow construct" => self.bracketed(source, line),
            _ => false,
        }
    }

    /// Indents the lines of a quoted text, which begins at a column (from 0) of the padded line.
    fn quoted(&mut self, source: &Source, line: u32, column: u32) -> bool {
        let own = column.saturating_sub(self.of(line));
        let start = source.offset(line, own + 1);
        let text = source.text().get(start..).unwrap_or_default();
        let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return false };
        let Some(end) = super::mistakes::closing(text, quote) else { return false };
        let (last, _) = source.position(start + end);
        let mut changed = false;
        for number in line + 1..=last {
            if !source.line(number).trim().is_empty() && self.indent(source, number) <= column {
                let more = column + 1 - self.indent(source, number);
                *self.lines.entry(number).or_default() += more;
                changed = true;
            }
        }
        changed
    }

    /// Indents a line inside brackets a little more than the line above.
    fn bracketed(&mut self, source: &Source, line: u32) -> bool {
        let above = (1..line).rev().find(|number| !source.line(*number).trim().is_empty());
        let wanted = above.map_or(0, |above| self.indent(source, above)) + 2;
        let now = self.indent(source, line);
        *self.lines.entry(line).or_default() += wanted.saturating_sub(now).max(2);
        true
    }

    fn indent(&self, source: &Source, line: u32) -> u32 {
        let blanks = source.line(line).chars().take_while(|c| *c == ' ').count();
        u32::try_from(blanks).unwrap_or(u32::MAX).saturating_add(self.of(line))
    }
}
