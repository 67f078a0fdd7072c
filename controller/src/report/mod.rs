//! What people and machines get to see. The only room that writes to standard output.
//!
//! Consumers take the run's events in order; each is one file here and one line where a command chooses them.

mod adhoc;
pub mod inspection;
mod json;
mod paint;
pub mod table;
mod terminal;
mod tuning;

pub use adhoc::AdHoc;
pub use json::JsonLines;
pub use paint::Paint;
pub use terminal::{Terminal, Verbosity};
pub use tuning::{Differs, TuneAct, Tuning};

use kfleet_model::event::Event;
use std::error::Error;

/// Takes the events of a run, one after another.
pub trait Consumer: Send {
    /// The next event.
    fn event(&mut self, event: &Event);

    /// The run is over and nothing comes any more.
    fn finish(&mut self) {}
}

/// An error with all its causes, `outer: cause: cause`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Some libraries put the cause into their own text already.
        if !out.ends_with(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        next = cause.source();
    }
    out
}

/// Diagnostics for people, in colour where there is some.
#[must_use]
pub fn diagnostics(all: &kfleet_playbook::Diagnostics) -> String {
    paint::diagnostics(all, Paint::detect())
}

/// Diagnostics for a task's message.
#[must_use]
pub fn diagnostics_plain(all: &kfleet_playbook::Diagnostics) -> String {
    paint::diagnostics(all, Paint::plain()).trim_end().to_owned()
}

/// Text from a host, fit for a terminal: control characters other than newline and tab are made visible, so that
/// no host can move the operator's cursor or set the title.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Milliseconds for people: `0.8 s`, `12.3 s`, `4 min 05 s`.
#[must_use]
pub fn human_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// Writes text to standard output; a closed pipe (`kfleet ... | head`) is not an error worth a word.
pub fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _closed_pipe = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to standard error.
pub fn eprint(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stderr().lock();
    let _closed_pipe = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_can_not_send_control_sequences_to_the_terminal() {
        assert_eq!(safe("a\u{1b}[2Jb\r\n\tc"), "a\\u{1b}[2Jb\\r\n\tc");
    }

    #[test]
    fn times_are_short_and_readable() {
        let cases = [(7, "7 ms"), (999, "999 ms"), (1_000, "1.0 s"), (12_345, "12.3 s"), (245_000, "4 min 05 s")];
        for (ms, text) in cases {
            assert_eq!(human_ms(ms), text);
        }
    }
}
