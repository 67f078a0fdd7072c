//! Errors of templates: what went wrong, where in the template's text, and what to do about it.
//!
//! Positions count inside the text that was rendered; the caller knows which file and line that text came from and
//! draws the caret. An error inside the value of a variable carries the chain of variables that led to it.

use std::fmt;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The text is not a well-formed template or expression.
    Syntax,
    /// A variable, attribute or item that does not exist was used.
    Undefined,
    /// No filter has this name.
    UnknownFilter,
    /// No test has this name.
    UnknownTest,
    /// No lookup plugin has this name.
    UnknownLookup,
    /// A variable's value leads back to itself.
    Cycle,
    /// A filter, test, lookup, method or operator refused its input.
    Failed,
    /// An included, imported or extended template could not be found.
    MissingTemplate,
}

/// Where in the template text an error was found; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// How many characters of that line the offending words cover; at least 1.
    pub width: usize,
    /// The whole line of template text that holds them.
    pub excerpt: String,
    /// The template's own name when it is not the text that was given: an included or imported file.
    pub template: Option<String>,
}

/// Why a template could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The kind, for callers that react differently.
    pub kind: ErrorKind,
    /// One sentence fragment that names the offending word, without position.
    pub message: String,
    /// A further line that says what to try, where something sensible is known.
    pub hint: Option<String>,
    /// The place, when it is known.
    pub place: Option<Place>,
    /// The variables whose values were being templated, outermost first.
    pub chain: Vec<String>,
    /// The variable that is missing, when that is what is wrong.
    pub variable: Option<String>,
}

/// What the engine gives: a value, or a boxed error, since errors are rare and carry much.
pub type Result<T> = std::result::Result<T, Box<TemplateError>>;

impl TemplateError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind, message: message.into(), hint: None, place: None, chain: Vec::new(), variable: None })
    }

    pub(super) fn failed(message: impl Into<String>) -> Box<Self> {
        Self::new(ErrorKind::Failed, message)
    }

    pub(super) fn hinted(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place, unless a place nearer to the cause is already there.
    pub(super) fn or_place(mut self: Box<Self>, place: impl FnOnce() -> Place) -> Box<Self> {
        if self.place.is_none() {
            self.place = Some(place());
        }
        self
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.chain.is_empty() {
            write!(f, " (in the value of {})", self.chain.join(" -> "))?;
        }
        if let Some(place) = &self.place {
            match &place.template {
                Some(name) => write!(f, " at {name}:{}:{}", place.line, place.column)?,
                None => write!(f, " at line {}, column {} of the template", place.line, place.column)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}

/// Names the word of `known` that is nearest to `word`, when one is near enough to be a slip of the finger.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_only_when_it_is_a_slip() {
        let known = ["kafka_port", "kafka_host", "zookeeper_port"];
        assert_eq!(nearest("kafka_prot", known), Some("kafka_port"));
        assert_eq!(nearest("broker_id", known), None);
        assert_eq!(nearest("kafka_port", ["kafka_port"]), None);
    }

    #[test]
    fn display_names_chain_and_place() {
        let mut error = TemplateError::new(ErrorKind::Undefined, "`x` is undefined");
        error.chain = vec!["a".into(), "b".into()];
        let error =
            error.or_place(|| Place { line: 2, column: 4, width: 1, excerpt: "{{ x }}".into(), template: None });
        assert_eq!(error.to_string(), "`x` is undefined (in the value of a -> b) at line 2, column 4 of the template");
    }
}
