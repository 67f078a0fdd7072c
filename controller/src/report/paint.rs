//! Colours, in Ansible's meanings: green ok, yellow changed, red failed, cyan skipped.

use console::Style;
use kfleet_model::HostStatus;
use kfleet_playbook::diag::{Diagnostics, Mark, Marks};

/// Colours or none, decided once.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// Colours when the terminal has them and `NO_COLOR` is not set.
    #[must_use]
    pub fn detect() -> Self {
        Self { colours: console::colors_enabled() }
    }

    /// No colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { colours: false }
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.colours { style.force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }

    /// Green.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    /// Yellow.
    #[must_use]
    pub fn changed(self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }

    /// Red.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.with(Style::new().red(), text)
    }

    /// Cyan.
    #[must_use]
    pub fn quiet(self, text: &str) -> String {
        self.with(Style::new().cyan(), text)
    }

    /// Bold.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// Dim.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    /// The colour of a status.
    #[must_use]
    pub fn status(self, status: HostStatus, text: &str) -> String {
        match status {
            HostStatus::Ok => self.good(text),
            HostStatus::Changed => self.changed(text),
            HostStatus::Skipped | HostStatus::Ignored | HostStatus::Rescued => self.quiet(text),
            HostStatus::Failed | HostStatus::Unreachable | HostStatus::Unknown => self.bad(text),
        }
    }
}

/// All diagnostics of a pass with their summary.
pub(super) fn diagnostics(all: &Diagnostics, paint: Paint) -> String {
    let marks = if paint.colours { COLOURS } else { Marks::PLAIN };
    let mut out = all.render(&marks);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

const COLOURS: Marks = Marks {
    error: Mark("\u{1b}[1;31m", "\u{1b}[0m"),
    warning: Mark("\u{1b}[1;33m", "\u{1b}[0m"),
    strong: Mark("\u{1b}[1m", "\u{1b}[0m"),
    frame: Mark("\u{1b}[34m", "\u{1b}[0m"),
    hint: Mark("\u{1b}[32m", "\u{1b}[0m"),
    note: Mark("\u{1b}[36m", "\u{1b}[0m"),
};
