//! The result of an inspection in every form that people and machines ask for.
//!
//! There is one document, [`kfleet_inspect::Inspection`], and each form is one file here and one line of [`FORMATS`].
//! A form leaves out what it has no room for, and says how much that is; it never judges. Forms are functions of what
//! they are given: the same pages give the same bytes.

mod csv;
mod html;
mod input;
mod json;
mod junit;
mod markdown;
mod nagios;
mod openmetrics;
pub mod samples;
mod sarif;
mod shape;
mod terminal;
mod texts;
mod words;

pub use input::{
    ClusterRestart, Happening, HappeningKind, Language, Member, Night, Options, Pages, RestartMatrix, Restartable,
    Series, Trends, UnknownLanguage,
};

use std::fmt;
use std::str::FromStr;

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Text for a terminal.
    Terminal,
    /// One self-contained page.
    Html,
    /// The document itself.
    Json,
    /// Text for tickets and chats.
    Markdown,
    /// Test results for build servers.
    Junit,
    /// Static analysis results, 2.1.0.
    Sarif,
    /// One line a finding, for spreadsheets.
    Csv,
    /// Metrics.
    OpenMetrics,
    /// One line with performance data, to go with [`kfleet_inspect::Inspection::exit_code`].
    Nagios,
}

/// What there is to know of a form.
#[derive(Debug)]
pub struct FormatEntry {
    /// The form.
    pub format: Format,
    /// Its name on the command line.
    pub name: &'static str,
    /// What a file of it ends in, without the dot.
    pub extension: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    render: fn(&Pages<'_>, &Options) -> Result<String, RenderError>,
}

const fn entry(
    format: Format,
    name: &'static str,
    extension: &'static str,
    media_type: &'static str,
    render: fn(&Pages<'_>, &Options) -> Result<String, RenderError>,
) -> FormatEntry {
    FormatEntry { format, name, extension, media_type, render }
}

/// Every form.
pub static FORMATS: [FormatEntry; 9] = [
    entry(Format::Terminal, "terminal", "txt", "text/plain; charset=utf-8", terminal::render),
    entry(Format::Html, "html", "html", "text/html; charset=utf-8", html::render),
    entry(Format::Json, "json", "json", "application/json", json::render),
    entry(Format::Markdown, "markdown", "md", "text/markdown; charset=utf-8", markdown::render),
    entry(Format::Junit, "junit", "xml", "application/xml", junit::render),
    entry(Format::Sarif, "sarif", "sarif", "application/sarif+json", sarif::render),
    entry(Format::Csv, "csv", "csv", "text/csv; charset=utf-8", csv::render),
    entry(
        Format::OpenMetrics,
        "openmetrics",
        "prom",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        openmetrics::render,
    ),
    entry(Format::Nagios, "nagios", "txt", "text/plain; charset=utf-8", nagios::render),
];

/// Why a form could not be made. Each is a fault of kfleet, not of what was inspected.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The document could not be written as JSON.
    #[error("the inspection could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The page's template is wrong.
    #[error("the page could not be made of its template")]
    Template(#[from] minijinja::Error),
    /// The table of forms has no such one.
    #[error("there is no form {0}")]
    Missing(Format),
}

/// No form of a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no form {0:?}; there are {known}", known = names())]
pub struct UnknownFormat(pub String);

fn names() -> String {
    FORMATS.each_ref().map(|entry| entry.name).join(", ")
}

impl Format {
    /// What there is to know of it.
    #[must_use]
    pub fn entry(self) -> Option<&'static FormatEntry> {
        FORMATS.iter().find(|entry| entry.format == self)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.entry().map_or("?", |entry| entry.name))
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = FORMATS.iter().find(|entry| entry.name == text);
        found.map(|entry| entry.format).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// Makes a form.
///
/// # Errors
/// Only by a fault of kfleet: a template that does not fit its data.
pub fn render(format: Format, pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let entry = format.entry().ok_or(RenderError::Missing(format))?;
    (entry.render)(pages, options)
}

#[cfg(test)]
mod tests;
