//! The output of `kfleet exec`, as `ansible` writes it: one paragraph a host, the command's output as it is.

use super::{Consumer, Paint, Verbosity, human_ms, safe};
use kfleet_model::event::{Event, EventKind, RunEnd};
use kfleet_model::{HostName, HostStatus, TaskResult, Value};

/// The consumer.
pub struct AdHoc {
    paint: Paint,
    verbosity: Verbosity,
    diff: bool,
}

impl AdHoc {
    /// For standard output.
    #[must_use]
    pub fn new(verbosity: Verbosity, diff: bool) -> Self {
        Self { paint: Paint::detect(), verbosity, diff }
    }

    fn result(&self, host: &HostName, status: HostStatus, result: &TaskResult) -> String {
        let word = match status {
            HostStatus::Ok => "SUCCESS",
            HostStatus::Changed => "CHANGED",
            HostStatus::Skipped => "SKIPPED",
            HostStatus::Failed | HostStatus::Ignored | HostStatus::Rescued => "FAILED",
            HostStatus::Unreachable => "UNREACHABLE!",
            HostStatus::Unknown => "UNKNOWN",
        };
        let rc = result.data.get("rc").and_then(Value::as_i64);
        let plain = rc.is_some() && self.verbosity == Verbosity::Normal;
        let head = match rc {
            Some(rc) if plain => format!("{host} | {word} | rc={rc} >>"),
            _ => format!("{host} | {word} =>"),
        };
        let mut text = self.paint.status(status, &head);
        text.push('\n');
        if plain {
            for key in ["stdout", "stderr"] {
                if let Some(Value::String(output)) = result.data.get(key)
                    && !output.is_empty()
                {
                    text.push_str(safe(output).trim_end());
                    text.push('\n');
                }
            }
            if status == HostStatus::Failed
                && let Some(msg) = &result.msg
            {
                text.push_str(&format!("{}\n", safe(msg)));
            }
        } else {
            let json = serde_json::to_string_pretty(&result.to_value()).unwrap_or_default();
            text.push_str(&safe(&json));
            text.push('\n');
        }
        if self.diff {
            for change in &result.changes {
                if let Some(diff) = &change.diff {
                    text.push_str(&safe(diff));
                }
            }
        }
        text
    }
}

impl Consumer for AdHoc {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an ad-hoc run has one task; its other events say nothing new")]
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::HostResult { host, status, result, .. } => super::print(&self.result(host, *status, result)),
            EventKind::HostReconnecting { host, why, attempt: 1 } => {
                super::eprint(&self.paint.changed(&format!("{host} | reconnecting: {}", safe(why))));
            }
            EventKind::HostReconnected { host, after_ms } => {
                super::eprint(&self.paint.good(&format!("{host} | reconnected after {}", human_ms(*after_ms))));
            }
            EventKind::PlayStarted { hosts, .. } if hosts.is_empty() => {
                super::eprint(&self.paint.changed("no hosts matched"));
            }
            EventKind::Warning { text } => super::eprint(&self.paint.changed(&format!("[WARNING]: {}", safe(text)))),
            EventKind::RunError { text, .. } => super::eprint(&self.paint.bad(&format!("ERROR: {}", safe(text)))),
            EventKind::RunEnded { end: RunEnd::Cancelled, .. } => super::eprint("cancelled"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_shows_its_output_and_another_module_its_result() {
        let adhoc = AdHoc { paint: Paint::plain(), verbosity: Verbosity::Normal, diff: false };
        let host = HostName::new("kafka1").unwrap();
        let data = json!({"rc": 0, "stdout": "up 3 days"}).as_object().unwrap().clone();
        let mut result = TaskResult { data, ..TaskResult::default() };
        assert_eq!(adhoc.result(&host, HostStatus::Changed, &result), "kafka1 | CHANGED | rc=0 >>\nup 3 days\n");
        result.data = json!({"ping": "pong"}).as_object().unwrap().clone();
        let text = adhoc.result(&host, HostStatus::Ok, &result);
        assert!(text.starts_with("kafka1 | SUCCESS =>\n{") && text.contains("\"ping\": \"pong\""), "{text}");
    }
}
