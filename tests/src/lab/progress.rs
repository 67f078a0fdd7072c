//! One line for each step of the lab, with its time; a moving line for what is being waited for.
//!
//! On a terminal, steps under way are shown with a spinner and their age. Elsewhere only finished steps are printed,
//! and a long one says every ten seconds how far it is, so that a log stays short and nobody thinks it hangs.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a long step speaks where there is no terminal.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// Room for the longest subject, so that the texts stand in one column.
const SUBJECT_WIDTH: usize = 24;

/// Where the lab tells what it does.
pub struct Progress {
    voice: Voice,
}

enum Voice {
    Terminal(MultiProgress),
    Lines,
    Silent,
}

impl Progress {
    /// Speaks on standard error, in the way that fits what is behind it.
    pub fn terminal() -> Self {
        let voice = if Term::stderr().is_term() { Voice::Terminal(MultiProgress::new()) } else { Voice::Lines };
        Self { voice }
    }

    /// Says nothing, for tests.
    pub fn silent() -> Self {
        Self { voice: Voice::Silent }
    }

    /// Begins a step about a subject: `zk1 198.18.77.11`, `base image`.
    pub(super) fn step(&self, subject: impl Into<String>) -> Step<'_> {
        let subject = subject.into();
        let bar = match &self.voice {
            Voice::Terminal(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                let template = format!("  {{prefix:{SUBJECT_WIDTH}}} {{spinner}} {{msg}} {{elapsed}}");
                bar.set_style(
                    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner()),
                );
                bar.set_prefix(subject.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
                Some(bar)
            }
            Voice::Lines | Voice::Silent => None,
        };
        Step { progress: self, subject, began: Instant::now(), spoke: Mutex::new(Instant::now()), bar }
    }

    /// Prints a line that belongs to no step.
    pub fn say(&self, text: &str) {
        match &self.voice {
            Voice::Terminal(bars) => bars.println(text).ok(),
            // A reader who has closed standard error wants no more lines; the work goes on.
            Voice::Lines => writeln!(std::io::stderr().lock(), "{text}").ok(),
            Voice::Silent => None,
        };
    }

    fn line(&self, subject: &str, text: &str) {
        let subject = format!("{subject:SUBJECT_WIDTH$}");
        self.say(&format!("  {} {text}", style(subject).for_stderr().bold()));
    }
}

/// A step under way. Dropped without an end, it disappears: the error that ended it is told by whoever prints errors.
pub(super) struct Step<'a> {
    progress: &'a Progress,
    subject: String,
    began: Instant,
    spoke: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Step<'_> {
    /// Says what is being waited for, or how far it is.
    pub(super) fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            return;
        }
        // A panic while holding the lock leaves a valid instant behind.
        let mut spoke = self.spoke.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if spoke.elapsed() >= NOTE_EVERY {
            *spoke = Instant::now();
            self.progress.line(&self.subject, &format!("{text}, {} so far", seconds(self.began.elapsed())));
        }
    }

    /// Ends the step with what has come of it.
    pub(super) fn done(self, text: &str) {
        self.finish(text);
    }

    /// Ends the step with what has come of it and the time it took: `booted in 1.2 s`.
    pub(super) fn done_timed(self, text: &str, joint: &str) {
        let took = seconds(self.began.elapsed());
        self.finish(&format!("{text} {joint} {took}"));
    }

    fn finish(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.progress.line(&self.subject, text);
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as people say it: `0.4 s`, `12.3 s`, `2 min 5 s`.
pub(super) fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole >= 60 { format!("{} min {} s", whole / 60, whole % 60) } else { format!("{:.1} s", took.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        for (millis, text) in
            [(0, "0.0 s"), (1234, "1.2 s"), (59_900, "59.9 s"), (60_000, "1 min 0 s"), (125_000, "2 min 5 s")]
        {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
