//! Fields of a command's output, read with an error that shows the line.

use std::str::FromStr;

/// An output that does not look as the command's documentation says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{command} says {line:?}, which has no {wanted}")]
pub struct ParseError {
    /// The command.
    pub command: &'static str,
    /// What was looked for.
    pub wanted: &'static str,
    /// Where, at most the first 200 characters of it.
    pub line: String,
}

/// How much of a line stands in an error.
const SHOWN: usize = 200;

/// A line of a command's output.
pub(crate) struct Line<'a> {
    pub(crate) command: &'static str,
    pub(crate) text: &'a str,
}

impl Line<'_> {
    /// The error that something is missing.
    pub(crate) fn lacks(&self, wanted: &'static str) -> ParseError {
        ParseError { command: self.command, wanted, line: self.text.chars().take(SHOWN).collect() }
    }

    /// A field's value.
    pub(crate) fn read<T: FromStr>(&self, field: Option<&str>, wanted: &'static str) -> Result<T, ParseError> {
        field.and_then(|field| field.trim().parse().ok()).ok_or_else(|| self.lacks(wanted))
    }

    /// A field's value as a number that can be compared.
    pub(crate) fn number(&self, field: Option<&str>, wanted: &'static str) -> Result<f64, ParseError> {
        let number: f64 = self.read(field, wanted)?;
        if number.is_finite() { Ok(number) } else { Err(self.lacks(wanted)) }
    }
}
