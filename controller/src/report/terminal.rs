//! The terminal output of a run: what an Ansible user reads at once, and what a rolling operation adds to it.
//!
//! On a terminal one live line at the bottom says what is being waited for and since when; elsewhere waits are
//! written as ordinary lines, at most one every [`QUIET_WAIT_MS`], so that a log file stays readable.

use super::{Consumer, Paint, human_ms, safe};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kfleet_model::event::{Event, EventKind, HostCounts, RunEnd, TaskRef};
use kfleet_model::{HostName, HostStatus, Reason, TaskResult, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Without a live line, a wait on the same gate is told again after this time.
const QUIET_WAIT_MS: u64 = 10_000;

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Results only.
    Normal,
    /// Results with their values (`-v`), and the output of running commands.
    Values,
}

/// The terminal consumer.
pub struct Terminal {
    paint: Paint,
    verbosity: Verbosity,
    diff: bool,
    width: usize,
    live: Option<ProgressBar>,
    play_hosts: usize,
    ended_on: BTreeSet<HostName>,
    last_wait: BTreeMap<(HostName, String), u64>,
    roll_started: bool,
}

impl Terminal {
    /// For standard output; `diff` shows textual diffs.
    #[must_use]
    pub fn new(verbosity: Verbosity, diff: bool) -> Self {
        let term = console::Term::stdout();
        let live = term.is_term().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            paint: Paint::detect(),
            verbosity,
            diff,
            width: if term.is_term() { usize::from(term.size().1).clamp(60, 110) } else { 90 },
            live,
            play_hosts: 0,
            ended_on: BTreeSet::new(),
            last_wait: BTreeMap::new(),
            roll_started: false,
        }
    }

    fn line(&self, text: &str) {
        match &self.live {
            Some(bar) => bar.suspend(|| super::print(&format!("{text}\n"))),
            None => super::print(&format!("{text}\n")),
        }
    }

    fn live(&self, text: &str) {
        if let Some(bar) = &self.live {
            bar.set_message(safe(text).replace('\n', " "));
        }
    }

    fn heading(&self, text: &str) {
        let stars = self.width.saturating_sub(console::measure_text_width(text) + 1).max(3);
        self.line(&format!("\n{} {}", self.paint.strong(text), self.paint.dim(&"*".repeat(stars))));
    }

    fn host_result(&mut self, result: &HostLine<'_>) {
        let word = match result.status {
            HostStatus::Ok => "ok",
            HostStatus::Changed => "changed",
            HostStatus::Skipped => "skipping",
            HostStatus::Failed | HostStatus::Ignored | HostStatus::Rescued => "failed",
            HostStatus::Unreachable => "unreachable",
            HostStatus::Unknown => "UNKNOWN",
        };
        let host = match result.delegated_to {
            Some(to) => format!("{} -> {to}", result.host),
            None => result.host.to_string(),
        };
        let item = result.item.map(|item| format!(" => (item={})", safe(item))).unwrap_or_default();
        let replayed =
            if result.replayed { self.paint.dim("  (done before the run was resumed)") } else { String::new() };
        let head = self.paint.status(result.status, &format!("{word}: [{host}]{item}"));
        let mut text = format!("{head}{replayed}");
        let values = self.verbosity >= Verbosity::Values;
        let bad = matches!(
            result.status,
            HostStatus::Failed
                | HostStatus::Ignored
                | HostStatus::Rescued
                | HostStatus::Unreachable
                | HostStatus::Unknown
        );
        if bad || values || result.result.msg.is_some() && result.show_msg {
            for line in details(result.result, bad, values) {
                text.push_str("\n    ");
                text.push_str(&line.replace('\n', "\n    "));
            }
        }
        for warning in &result.result.warnings {
            text.push_str(&format!("\n    {}", self.paint.changed(&format!("warning: {}", safe(warning)))));
        }
        if result.status == HostStatus::Ignored {
            text.push_str(&format!("\n{}", self.paint.quiet("...ignoring")));
        }
        if self.diff {
            for change in result.result.changes.iter() {
                text.push_str(&self.change(change));
            }
        }
        self.line(&text);
    }

    fn change(&self, change: &kfleet_model::Change) -> String {
        let Some(diff) = &change.diff else {
            return format!(
                "\n    {} {}: {} -> {}",
                safe(&change.object),
                change.property,
                safe(&plain(&change.from)),
                safe(&plain(&change.to))
            );
        };
        let mut out = String::new();
        for line in diff.lines() {
            let line = safe(line);
            let line = match line.as_bytes().first() {
                Some(b'+') => self.paint.good(&line),
                Some(b'-') => self.paint.bad(&line),
                Some(b'@') => self.paint.quiet(&line),
                _ => line,
            };
            out.push_str("\n    ");
            out.push_str(&line);
        }
        out
    }

    fn task_started(&mut self, task: &TaskRef) {
        self.ended_on.clear();
        let kind = if task.handler { "RUNNING HANDLER" } else { "TASK" };
        let name = match &task.role {
            Some(role) => format!("{role} : {}", task.name),
            None => task.name.clone(),
        };
        self.heading(&format!("{kind} [{}]", safe(&name)));
        self.live(&format!("{}: 0 of {} hosts", task.name, self.play_hosts));
    }

    fn waiting(&mut self, host: &HostName, gate: &str, reasons: &[Reason], waited_ms: u64) {
        let why = reasons.first().map(ToString::to_string).unwrap_or_default();
        let more = if reasons.len() > 1 { format!(" (and {} more)", reasons.len() - 1) } else { String::new() };
        let text = format!("{host}: waiting for {gate}, {}: {why}{more}", human_ms(waited_ms));
        if self.live.is_some() {
            self.live(&text);
            return;
        }
        let last = self.last_wait.entry((host.clone(), gate.to_owned())).or_insert(0);
        if waited_ms >= *last + QUIET_WAIT_MS {
            *last = waited_ms;
            self.line(&format!("    {}", self.paint.dim(&safe(&text))));
        }
    }

    fn refused(&self, host: Option<&HostName>, reasons: &[Reason], done: &[HostName], not_done: &[HostName]) {
        let what = host.map_or_else(|| "the roll".to_owned(), ToString::to_string);
        self.line(&self.paint.bad(&format!("\nREFUSED: {what} was not let through")));
        for reason in reasons {
            self.line(&self.paint.bad(&format!("  - {}", safe(&reason.to_string()))));
        }
        self.line(&format!("  rolled: {}", names(done)));
        self.line(&format!("  not touched: {}", names(not_done)));
    }

    fn ended(&self, run: &str, end: RunEnd, hosts: &BTreeMap<HostName, HostCounts>, elapsed_ms: u64) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
        if !hosts.is_empty() {
            self.heading("PLAY RECAP");
            let width = hosts.keys().map(|host| host.as_str().len()).max().unwrap_or(0);
            for (host, counts) in hosts {
                self.line(&self.recap(host, width, counts));
            }
        }
        let text = match end {
            RunEnd::Succeeded => self.paint.good("succeeded"),
            RunEnd::Failed => self.paint.bad("failed"),
            RunEnd::FailedSafe => self.paint.bad("FAILED_SAFE: nothing more was stopped"),
            RunEnd::Cancelled => self.paint.changed("cancelled"),
            RunEnd::Interrupted => self.paint.bad("interrupted"),
        };
        self.line(&format!("\nrun {run} {text} after {}", human_ms(elapsed_ms)));
        if matches!(end, RunEnd::FailedSafe | RunEnd::Cancelled | RunEnd::Interrupted) {
            self.line(&format!("hint: `kfleet resume {run}` goes on from here"));
        }
    }

    fn recap(&self, host: &HostName, width: usize, c: &HostCounts) -> String {
        let name = format!("{host:width$}");
        let name = if c.failed + c.unreachable + c.unknown > 0 {
            self.paint.bad(&name)
        } else if c.changed > 0 {
            self.paint.changed(&name)
        } else {
            self.paint.good(&name)
        };
        let unknown = if c.unknown > 0 { format!("    unknown={}", c.unknown) } else { String::new() };
        format!(
            "{name} : ok={:<4} changed={:<4} unreachable={:<4} failed={:<4} skipped={:<4} rescued={:<4} ignored={}{unknown}",
            c.ok, c.changed, c.unreachable, c.failed, c.skipped, c.rescued, c.ignored
        )
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other events are shown by `event`")]
    fn roll_event(&mut self, kind: &EventKind) -> bool {
        match kind {
            EventKind::RollPlanned { cluster, order } => {
                self.roll_started = true;
                self.line(&format!(
                    "\n{}",
                    self.paint.strong(&format!("rolling {cluster} in this order, one at a time:"))
                ));
                for (n, (host, why)) in order.iter().enumerate() {
                    self.line(&format!("  {}. {host}  {}", n + 1, self.paint.dim(&safe(why))));
                }
            }
            EventKind::RollProceed { host, node, evidence } => {
                self.heading(&format!("ROLL [{host}, node {node}]"));
                self.line(&format!("{} before the stop: {}", self.paint.good("proceed"), safe(&evidence.join("; "))));
            }
            EventKind::RollGate { host: _, gate, waited_ms, evidence } => {
                let time = human_ms(*waited_ms);
                self.line(&format!(
                    "{} {gate:<17} {time:>9}  {}",
                    self.paint.good("gate"),
                    self.paint.dim(&safe(evidence))
                ));
            }
            EventKind::RollWaiting { host, gate, reasons, waited_ms } => self.waiting(host, gate, reasons, *waited_ms),
            EventKind::RollNodeDone { host, node, down_ms, total_ms, own_ms } => self.line(&format!(
                "{} {host} (node {node}): down {}, {} in all, of which {} kfleet's own",
                self.paint.good("done"),
                human_ms(*down_ms),
                human_ms(*total_ms),
                human_ms(*own_ms)
            )),
            EventKind::RollRefused { host, reasons, done, not_done } => {
                self.refused(host.as_ref(), reasons, done, not_done);
            }
            _ => return false,
        }
        true
    }
}

struct HostLine<'a> {
    host: &'a HostName,
    status: HostStatus,
    result: &'a TaskResult,
    item: Option<&'a str>,
    delegated_to: Option<&'a str>,
    replayed: bool,
    show_msg: bool,
}

impl Consumer for Terminal {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rolling events are matched before, in roll_event")]
    fn event(&mut self, event: &Event) {
        if self.roll_event(&event.kind) {
            return;
        }
        match &event.kind {
            EventKind::RunStarted { what, check, resumed, plan } => {
                let word = if *resumed { "resuming" } else { "run" };
                let mode = if *check { " (check mode: nothing is written)" } else { "" };
                let plan = plan.get(..12).unwrap_or(plan);
                self.line(&self.paint.dim(&format!("{word} {} of {}, plan {plan}{mode}", event.run, safe(what))));
            }
            EventKind::PlayStarted { name, hosts, .. } => {
                self.play_hosts = hosts.len();
                self.heading(&format!("PLAY [{}]", safe(name)));
                if hosts.is_empty() {
                    self.line(&self.paint.quiet("skipping: no hosts matched"));
                }
            }
            EventKind::TaskStarted { task } => self.task_started(task),
            EventKind::HostResult { task, host, status, result, item, delegated_to, replayed, .. } => {
                if item.is_none() {
                    self.ended_on.insert(host.clone());
                }
                self.host_result(&HostLine {
                    host,
                    status: *status,
                    result,
                    item: item.as_deref(),
                    delegated_to: delegated_to.as_deref(),
                    replayed: *replayed,
                    show_msg: result.data.get("_verbose_always").is_some(),
                });
                self.live(&format!("{}: {} of {} hosts", task.name, self.ended_on.len(), self.play_hosts));
            }
            EventKind::HostOutput { host, text, stderr } if self.verbosity >= Verbosity::Values => {
                let mark = if *stderr { "!" } else { "|" };
                for line in safe(text).lines() {
                    self.line(&format!("  {host} {mark} {line}"));
                }
            }
            EventKind::HostProgress { host, text } => self.live(&format!("{host}: {text}")),
            EventKind::HostRetry { task, host, left } => {
                self.line(&format!("FAILED - RETRYING: [{host}]: {} ({left} retries left).", safe(&task.name)));
            }
            EventKind::HostReconnecting { host, why, attempt } => {
                let text = format!("reconnecting: [{host}] {} (attempt {attempt}; the work goes on there)", safe(why));
                if *attempt <= 1 { self.line(&self.paint.changed(&text)) } else { self.live(&text) }
            }
            EventKind::HostReconnected { host, after_ms } => {
                self.line(&self.paint.good(&format!("reconnected: [{host}] after {}", human_ms(*after_ms))));
            }
            EventKind::Warning { text } => self.line(&self.paint.changed(&format!("[WARNING]: {}", safe(text)))),
            EventKind::RunError { text, .. } => self.line(&self.paint.bad(&format!("ERROR: {}", safe(text)))),
            EventKind::RunEnded { end, hosts, elapsed_ms } => {
                self.ended(event.run.as_str(), *end, hosts, *elapsed_ms);
            }
            _ => {}
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}

fn names(hosts: &[HostName]) -> String {
    if hosts.is_empty() {
        return "none".to_owned();
    }
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "(none)".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The lines below a result: message, exit status and output when it failed, everything when asked.
fn details(result: &TaskResult, bad: bool, values: bool) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(msg) = &result.msg {
        out.push(safe(msg));
    }
    if values {
        let value = result.to_value();
        if let Ok(text) = serde_json::to_string_pretty(&value) {
            out.push(safe(&text));
        }
        return out;
    }
    if bad {
        for key in ["cmd", "rc", "stdout", "stderr"] {
            match result.data.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.is_empty() => {}
                Some(value) => out.push(format!("{key}: {}", safe(&plain(value)))),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_command_shows_its_message_status_and_output_and_a_good_one_nothing() {
        let data = json!({"cmd": ["false"], "rc": 1, "stdout": "", "stderr": "bad\u{7}"});
        let mut result = TaskResult::failure("non-zero return code");
        result.data = data.as_object().unwrap().clone();
        let lines = details(&result, true, false);
        assert_eq!(lines, ["non-zero return code", "cmd: [\"false\"]", "rc: 1", "stderr: bad\\u{7}"]);
        assert!(details(&TaskResult::default(), false, false).is_empty());
    }
}
