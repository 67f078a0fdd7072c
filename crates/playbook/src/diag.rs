//! Diagnostics: what is wrong with the operator's files, where, and what to do about it.
//!
//! Purpose: one type for everything that parsing, lint and inventory find, shown to people with the source line
//! and a caret and to machines as JSON.
//! Place in the flow: every pass collects into [`Diagnostics`] and goes on; the caller stops before any host is
//! touched when there is an error among them.
//! Not here: colours (the caller gives [`Marks`]), exit codes, printing.

use crate::source::Span;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing runs until it is mended.
    Error,
    /// It runs, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word that people see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of mistake it is: a short word that stays the same from version to version.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// All codes, for the generated reference.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word, as people and JSON see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The text is not YAML.
    Yaml = "yaml",
    /// A tab where only blanks are allowed.
    YamlTab = "yaml-tab",
    /// A value that begins with `{{` is not in quotes.
    YamlTemplate = "yaml-template",
    /// The same key twice in one mapping.
    DuplicateKey = "duplicate-key",
    /// A value encrypted by ansible-vault.
    Vault = "vault",
    /// A file that is named is not there or can not be read.
    MissingFile = "missing-file",
    /// A role that is named is not there.
    MissingRole = "missing-role",
    /// A file or a role takes in itself.
    IncludeCycle = "include-cycle",
    /// The structure is wrong: a list where a mapping is wanted, a play without hosts.
    Structure = "structure",
    /// A value has the wrong type.
    WrongType = "wrong-type",
    /// A keyword that the language does not have.
    UnknownKeyword = "unknown-keyword",
    /// A task names no module.
    NoModule = "no-module",
    /// A task names two modules.
    TwoModules = "two-modules",
    /// A module that is not in the catalogue.
    UnknownModule = "unknown-module",
    /// A parameter that a module does not take, lacks, or can not read.
    Parameter = "parameter",
    /// A key or a value that Kafka or ZooKeeper does not take, or a combination that is not safe.
    Configuration = "configuration",
    /// A template that can not be parsed.
    Template = "template",
    /// A filter, test or function that the template language does not have.
    UnknownName = "unknown-name",
    /// A condition that can not be parsed.
    Condition = "condition",
    /// A handler that nothing defines.
    UnknownHandler = "unknown-handler",
    /// A `meta` action that does not exist.
    UnknownMeta = "unknown-meta",
    /// A variable that nothing defines.
    UndefinedVariable = "undefined-variable",
    /// A form that Ansible has dropped or will drop.
    Deprecated = "deprecated",
    /// Something of Ansible's language that kfleet does not have.
    Unsupported = "unsupported",
    /// A line of an inventory that can not be read.
    Inventory = "inventory",
    /// A group that is used and never defined.
    UnknownGroup = "unknown-group",
    /// Groups that contain each other.
    GroupCycle = "group-cycle",
    /// A host pattern that can not be read.
    Pattern = "pattern",
    /// A name that matches no host and no group.
    UnknownHost = "unknown-host",
}

/// A place in a file, with the line itself, so that it can be shown without the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The path as it was asked for.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The source line; a long one is cut around the place.
    pub excerpt: String,
    /// Where the caret begins in the excerpt, in characters from 0.
    pub caret: u32,
    /// How many characters the caret covers, at least 1.
    pub width: u32,
}

/// The longest excerpt that is shown, in characters; longer lines are cut around the place.
const EXCERPT: usize = 160;

impl Place {
    /// The place of a span: its first line.
    #[must_use]
    pub fn of(span: &Span) -> Self {
        let line: Vec<char> = span.source.line(span.line).chars().collect();
        let start = (span.column.saturating_sub(1) as usize).min(line.len());
        let end = if span.end_line > span.line { line.len() } else { span.end_column.saturating_sub(1) as usize };
        let trimmed = line.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
        let end = end.min(trimmed).max(start + 1);
        let (from, to) = if line.len() <= EXCERPT {
            (0, line.len())
        } else {
            let from = start.saturating_sub(EXCERPT / 3);
            (from, (from + EXCERPT).min(line.len()))
        };
        let mut excerpt: String = line.get(from..to).unwrap_or_default().iter().collect();
        let mut caret = start - from;
        if from > 0 {
            excerpt.insert(0, '…');
            caret += 1;
        }
        if to < line.len() {
            excerpt.push('…');
        }
        let width = end.min(to.max(start + 1)) - start;
        Self {
            file: span.path().to_owned(),
            line: span.line,
            column: span.column,
            excerpt,
            caret: u32::try_from(caret).unwrap_or(0),
            width: u32::try_from(width).unwrap_or(1).max(1),
        }
    }
}

/// Something more to know, perhaps in another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The text.
    pub text: String,
    /// The place that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: Code,
    /// What is wrong: a fragment without a full stop that names the value.
    pub message: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What to do: the nearest known word, or the right form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What else helps: where the file was taken in, where the other definition stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), place: None, hint: None, notes: Vec::new() }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The place that it speaks of.
    #[must_use]
    pub fn at(mut self, span: &Span) -> Self {
        self.place = Some(Place::of(span));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// "did you mean" when a near word is known.
    #[must_use]
    pub fn did_you_mean(self, nearest: Option<String>) -> Self {
        match nearest {
            Some(word) => self.hint(format!("did you mean '{word}'?")),
            None => self,
        }
    }

    /// Something more to know.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(Note { text: text.into(), place: None });
        self
    }

    /// Something more to know about another place.
    #[must_use]
    pub fn note_at(mut self, text: impl Into<String>, span: &Span) -> Self {
        self.notes.push(Note { text: text.into(), place: Some(Place::of(span)) });
        self
    }

    /// The text for people: message, file:line:column, source line, caret, hint, notes; ends with a line end.
    #[must_use]
    pub fn render(&self, marks: &Marks) -> String {
        let mut out = String::new();
        let mark = match self.severity {
            Severity::Error => marks.error,
            Severity::Warning => marks.warning,
        };
        let head = format!("{}[{}]", self.severity.as_str(), self.code.as_str());
        line(&mut out, &format!("{}{} {}", mark.put(&head), marks.strong.put(":"), marks.strong.put(&self.message)));
        let gutter = self.gutter();
        if let Some(place) = &self.place {
            self.render_place(&mut out, place, gutter, marks, mark);
        }
        let pad = " ".repeat(gutter);
        if let Some(hint) = &self.hint {
            line(&mut out, &format!("{pad} {} {} {hint}", marks.frame.put("="), marks.hint.put("hint:")));
        }
        for note in &self.notes {
            let at = note.place.as_ref().map(|p| format!(" ({}:{}:{})", p.file, p.line, p.column)).unwrap_or_default();
            line(&mut out, &format!("{pad} {} {} {}{at}", marks.frame.put("="), marks.note.put("note:"), note.text));
        }
        out
    }

    fn gutter(&self) -> usize {
        self.place.as_ref().map_or(1, |place| place.line.to_string().len())
    }

    fn render_place(&self, out: &mut String, place: &Place, gutter: usize, marks: &Marks, mark: Mark) {
        let pad = " ".repeat(gutter);
        let bar = marks.frame.put("|");
        line(out, &format!("{pad}{} {}:{}:{}", marks.frame.put("-->"), place.file, place.line, place.column));
        if place.excerpt.trim().is_empty() {
            return;
        }
        let shown: String = place.excerpt.chars().map(visible).collect();
        let before: usize =
            shown.chars().take(place.caret as usize).map(|c| UnicodeWidthChar::width(c).unwrap_or(1)).sum();
        let under: String = shown.chars().skip(place.caret as usize).take(place.width as usize).collect();
        let carets = "^".repeat(under.width().max(1));
        line(out, &format!("{pad} {bar}"));
        line(out, &format!("{} {bar} {shown}", marks.frame.put(&place.line.to_string())));
        line(out, &format!("{pad} {bar} {}{}", " ".repeat(before), mark.put(&carets)));
    }
}

/// A tab is shown as an arrow and other control characters as a box, so that a caret below stands right and no
/// file can send control sequences to a terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => '→',
        c if c.is_control() => '␣',
        c => c,
    }
}

fn line(out: &mut String, text: &str) {
    // Writing into a String can not fail.
    let _infallible = writeln!(out, "{}", text.trim_end());
}

/// What goes before and after a piece of text, for instance the codes of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub &'static str, pub &'static str);

impl Mark {
    fn put(self, text: &str) -> String {
        format!("{}{text}{}", self.0, self.1)
    }
}

/// The marks of the parts of a rendered diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Around `error[...]` and its carets.
    pub error: Mark,
    /// Around `warning[...]` and its carets.
    pub warning: Mark,
    /// Around the message.
    pub strong: Mark,
    /// Around the arrow, bars and line numbers.
    pub frame: Mark,
    /// Around `hint:`.
    pub hint: Mark,
    /// Around `note:`.
    pub note: Mark,
}

impl Marks {
    /// No marks: plain text.
    pub const PLAIN: Self = {
        let none = Mark("", "");
        Self { error: none, warning: none, strong: none, frame: none, hint: none, note: none }
    };
}

/// All diagnostics of a pass, in the order in which they were found, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; the same thing at the same place (of a role that is used twice) is told once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |d: &Diagnostic| {
            d.code == diagnostic.code && d.place == diagnostic.place && d.message == diagnostic.message
        };
        if !self.items.iter().any(same) {
            self.items.push(diagnostic);
        }
    }

    /// Adds a note to all that were found since there were `from`, unless they have one about the same.
    pub fn note_since(&mut self, from: usize, file: &str, text: &str, span: &Span) {
        for diagnostic in self.items.iter_mut().skip(from) {
            let here = diagnostic.place.as_ref().is_some_and(|place| place.file == file);
            if here && !diagnostic.notes.iter().any(|note| note.text == text) {
                diagnostic.notes.push(Note { text: text.to_owned(), place: Some(Place::of(span)) });
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds many.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in others {
            self.push(diagnostic);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// There is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.items.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.items.len() - self.errors()
    }

    /// There is an error among them.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// Sorts by file (in the order in which files were met), line and column, so that people can work down a file.
    pub fn sort(&mut self) {
        let mut files: Vec<String> = Vec::new();
        for place in self.items.iter().filter_map(|d| d.place.as_ref()) {
            if !files.contains(&place.file) {
                files.push(place.file.clone());
            }
        }
        self.items.sort_by_key(|d| match &d.place {
            None => (0, 0, 0),
            Some(p) => (files.iter().position(|f| *f == p.file).map_or(0, |at| at + 1), p.line, p.column),
        });
    }

    /// The text for people: each diagnostic, a blank line between two, and a last line that counts them.
    #[must_use]
    pub fn render(&self, marks: &Marks) -> String {
        let mut out = String::new();
        for diagnostic in &self.items {
            out.push_str(&diagnostic.render(marks));
            out.push('\n');
        }
        if let Some(summary) = self.summary() {
            line(&mut out, &marks.strong.put(&summary));
        }
        out
    }

    /// `2 errors, 1 warning`; nothing when there is nothing.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        let count = |n: usize, word: &str| match n {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        };
        let parts: Vec<String> =
            [count(self.errors(), "error"), count(self.warnings(), "warning")].into_iter().flatten().collect();
        if parts.is_empty() { None } else { Some(parts.join(", ")) }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<T: IntoIterator<Item = Diagnostic>>(iter: T) -> Self {
        let mut all = Self::new();
        all.extend(iter);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn sample() -> Diagnostic {
        let source = Source::new("site.yml", "- hosts: all\n  tasks:\n    - tempalte: x\n");
        Diagnostic::error(Code::UnknownModule, "no module is named 'tempalte'")
            .at(&Span::on_line(&source, 3, 7, 8))
            .did_you_mean(Some("template".into()))
            .note_at("the play begins here", &Span::on_line(&source, 1, 3, 5))
    }

    #[test]
    fn people_see_the_line_a_caret_and_what_to_do() {
        assert_eq!(
            sample().render(&Marks::PLAIN),
            "\
error[unknown-module]: no module is named 'tempalte'
 --> site.yml:3:7
  |
3 |     - tempalte: x
  |       ^^^^^^^^
  = hint: did you mean 'template'?
  = note: the play begins here (site.yml:1:3)
"
        );
    }

    #[test]
    fn carets_stand_right_after_tabs_and_wide_characters_and_control_characters_never_come_out() {
        let source = Source::new("a.yml", "\t名字: \u{1b}[31mx\n");
        let text = Diagnostic::error(Code::Yaml, "m").at(&Span::on_line(&source, 1, 6, 3)).render(&Marks::PLAIN);
        assert_eq!(text, "error[yaml]: m\n --> a.yml:1:6\n  |\n1 | →名字: ␣[31mx\n  |        ^^^\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let source = Source::new("a.yml", format!("{}WRONG{}", "x".repeat(500), "y".repeat(500)));
        let place = Place::of(&Span::on_line(&source, 1, 501, 5));
        let shown: String = place.excerpt.chars().skip(place.caret as usize).take(place.width as usize).collect();
        assert_eq!(shown, "WRONG");
        assert!(place.excerpt.chars().count() <= EXCERPT + 2);
    }

    #[test]
    fn marks_stand_around_the_parts_and_only_there() {
        let marks = Marks { error: Mark("<e>", "</e>"), hint: Mark("<h>", "</h>"), ..Marks::PLAIN };
        let text = sample().render(&marks);
        assert!(text.starts_with("<e>error[unknown-module]</e>: no module"), "{text}");
        assert!(text.contains("<e>^^^^^^^^</e>\n"), "{text}");
        assert!(text.contains("= <h>hint:</h> did you mean"), "{text}");
    }

    #[test]
    fn the_same_thing_is_told_once_and_all_are_counted() {
        let mut all = Diagnostics::new();
        all.push(sample());
        all.push(sample());
        all.push(Diagnostic::warning(Code::Deprecated, "old"));
        assert_eq!(all.summary().as_deref(), Some("1 error, 1 warning"));
        assert!(all.has_errors());
        assert!(all.render(&Marks::PLAIN).ends_with("\n\n1 error, 1 warning\n"));
    }

    #[test]
    fn json_has_the_code_the_place_and_the_hint_and_comes_back_the_same() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["code"], "unknown-module");
        assert_eq!(json["severity"], "error");
        assert_eq!(json["place"]["line"], 3);
        assert_eq!(json["place"]["column"], 7);
        assert_eq!(serde_json::from_value::<Diagnostic>(json).unwrap(), sample());
    }

    #[test]
    fn every_code_has_a_word_of_its_own_that_json_uses_too() {
        let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
