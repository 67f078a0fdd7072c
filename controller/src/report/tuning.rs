//! The output of `kfleet tune`: a table of items, once for all hosts that stand alike.

use super::{Consumer, Paint, Verbosity, safe, table};
use kfleet_model::event::{Event, EventKind};
use kfleet_model::module::text;
use kfleet_model::{HostName, HostStatus, TaskResult, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `kfleet tune` was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TuneAct {
    /// What differs.
    Check,
    /// What differs, and all about it.
    Plan,
    /// Set it.
    Apply,
    /// Take it back.
    Revert,
}

impl TuneAct {
    /// Its name on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Revert => "revert",
        }
    }

    fn looks(self) -> bool {
        matches!(self, Self::Check | Self::Plan)
    }
}

/// Whether a look at hosts found a difference; shared with whoever turns it into an exit code.
#[derive(Debug, Clone, Default)]
pub struct Differs(Arc<AtomicBool>);

impl Differs {
    /// It did.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn found(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What a host said of one item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Item {
    id: String,
    status: String,
    now: Option<String>,
    wanted: String,
    to: Option<String>,
    live: String,
    persisted: Option<String>,
    kept: String,
    reason: Option<String>,
    why: String,
    source: String,
    risk: String,
    needs: String,
}

impl Item {
    /// It does not satisfy its rule.
    fn differs(&self) -> bool {
        matches!(self.status.as_str(), "differs" | "refused")
    }

    /// How it stands, for people.
    fn standing(&self) -> String {
        let word = self.word();
        // What can be set, and not be made to hold after a boot, says so.
        match (&self.reason, self.status.as_str(), self.kept.as_str()) {
            (Some(reason), "fits" | "differs", "not_here") => format!("{word}; not for the next boot: {reason}"),
            _ => word,
        }
    }

    fn word(&self) -> String {
        match (self.status.as_str(), self.live.as_str(), self.kept.as_str()) {
            ("fits", _, _) => "fits".to_owned(),
            ("differs", "differs", "differs") => "differs, live and for the next boot".to_owned(),
            // A process gets its limits when it starts, so there is no setting them live.
            ("differs", "differs", _) => "differs live".to_owned(),
            ("differs", _, _) => "differs for the next boot".to_owned(),
            ("restart", _, _) => "waits for a restart".to_owned(),
            ("left_out", _, _) => "left out".to_owned(),
            ("not_here", _, _) => format!("not here: {}", self.reason()),
            ("refused", _, _) => format!("can not be set: {}", self.reason()),
            (other, _, _) => other.to_owned(),
        }
    }

    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("no reason is known")
    }

    fn needs(&self) -> &str {
        if self.needs == "service_restart" { "a restart" } else { "" }
    }
}

/// Everything that makes hosts alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Standing {
    status: String,
    profile: String,
    service: String,
    msg: String,
    items: Vec<Item>,
    /// Object, property, from, to.
    changes: Vec<[String; 4]>,
    warnings: Vec<String>,
}

/// The consumer.
pub struct Tuning {
    act: TuneAct,
    check: bool,
    json: bool,
    paint: Paint,
    verbosity: Verbosity,
    differs: Differs,
    hosts: BTreeMap<HostName, (HostStatus, TaskResult)>,
}

impl Tuning {
    /// For standard output. With `check`, an apply or revert only says what it would do.
    #[must_use]
    pub fn new(act: TuneAct, check: bool, json: bool, verbosity: Verbosity, differs: Differs) -> Self {
        Self { act, check, json, paint: Paint::detect(), verbosity, differs, hosts: BTreeMap::new() }
    }

    fn take(&mut self, host: &HostName, status: HostStatus, result: &TaskResult) {
        let standing = standing(status, result);
        if self.act.looks() && (result.changed || standing.items.iter().any(Item::differs)) {
            self.differs.found();
        }
        self.hosts.insert(host.clone(), (status, result.clone()));
    }

    fn told(&self) -> String {
        let mut alike: BTreeMap<Standing, Vec<&str>> = BTreeMap::new();
        for (host, (status, result)) in &self.hosts {
            alike.entry(standing(*status, result)).or_default().push(host.as_str());
        }
        let mut groups: Vec<(Standing, Vec<&str>)> = alike.into_iter().collect();
        groups.sort_by(|(_, a), (_, b)| a.cmp(b));
        let paragraphs: Vec<String> = groups.iter().map(|(standing, hosts)| self.group(standing, hosts)).collect();
        paragraphs.join("\n")
    }

    fn group(&self, standing: &Standing, hosts: &[&str]) -> String {
        let profile = if standing.profile.is_empty() { String::new() } else { format!(" ({})", standing.profile) };
        let mut out = format!("{}\n", self.paint.strong(&format!("{}{profile}", hosts.join(", "))));
        if standing.status == "failed" {
            out.push_str(&self.paint.bad(&format!("  {}", standing.msg)));
            out.push('\n');
        } else if self.act == TuneAct::Plan {
            out.push_str(&plan(&standing.items));
        } else if self.act == TuneAct::Check {
            out.push_str(&self.items(&standing.items));
        } else {
            out.push_str(&changes(&standing.changes));
        }
        if standing.status != "failed" {
            out.push_str(&self.verdict(standing));
        }
        if !self.act.looks() {
            for warning in &standing.warnings {
                out.push_str(&self.paint.changed(&format!("  {warning}")));
                out.push('\n');
            }
        }
        out
    }

    fn items(&self, items: &[Item]) -> String {
        let all = self.verbosity != Verbosity::Normal;
        let shown = items.iter().filter(|item| all || item.differs() || item.status == "restart");
        let rows: Vec<Vec<String>> = shown
            .map(|item| {
                let dash = |value: &Option<String>| cell(value.as_deref().unwrap_or("-"));
                let state = cell(&item.standing());
                let needs = item.needs().to_owned();
                vec![
                    item.id.clone(),
                    dash(&item.now),
                    cell(&item.wanted),
                    dash(&item.persisted),
                    state,
                    needs,
                    cell(&item.why),
                ]
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        indented(&table::render(&["item", "now", "wanted", "next boot", "state", "needs", "why"], &rows))
    }

    /// The last line of a group.
    fn verdict(&self, standing: &Standing) -> String {
        if self.act == TuneAct::Revert {
            let done = if self.check { "would be put back" } else { "put back" };
            let word = if standing.changes.is_empty() { "nothing to take back".to_owned() } else { done.to_owned() };
            return format!("  {word}\n");
        }
        let count = |status: &str| standing.items.iter().filter(|item| item.status == status).count();
        let words = [
            ("differs", "to be set"),
            ("refused", "can not be set from here"),
            ("restart", "waiting for a restart"),
            ("fits", "as wanted"),
            ("not_here", "not here"),
            ("left_out", "left out"),
        ];
        let counts = words.iter().map(|(status, word)| (count(status), word)).filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        let mut out = format!("  {}\n", counts.join(", "));
        let waits: Vec<&str> =
            standing.items.iter().filter(|item| item.status == "restart").map(|item| item.id.as_str()).collect();
        if !waits.is_empty() {
            let (ids, service) = (waits.join(", "), &standing.service);
            out.push_str(&format!("  {ids}: {service} has it after `kfleet roll restart CLUSTER`\n"));
        }
        if self.act == TuneAct::Apply && standing.changes.is_empty() {
            out.push_str("  nothing to set\n");
        }
        out
    }

    fn as_json(&self) -> Value {
        let hosts: BTreeMap<&str, Value> = self
            .hosts
            .iter()
            .map(|(host, (status, result))| {
                let mut value = result.to_value();
                if let Value::Object(map) = &mut value {
                    map.insert("status".to_owned(), serde_json::json!(status));
                    map.insert("changes".to_owned(), serde_json::json!(result.changes));
                }
                (host.as_str(), value)
            })
            .collect();
        serde_json::json!({"act": self.act, "check": self.check, "differs": self.differs.get(), "hosts": hosts})
    }
}

fn standing(status: HostStatus, result: &TaskResult) -> Standing {
    let failed = match status {
        HostStatus::Failed
        | HostStatus::Unreachable
        | HostStatus::Unknown
        | HostStatus::Ignored
        | HostStatus::Rescued => true,
        HostStatus::Ok | HostStatus::Changed | HostStatus::Skipped => false,
    };
    let word = |key: &str| result.data.get(key).and_then(text).unwrap_or_default();
    let items = result.data.get("items").and_then(Value::as_array).into_iter().flatten();
    let shown = |value: &Value| cell(&text(value).unwrap_or_else(|| "-".to_owned()));
    let change = |change: &kfleet_model::Change| {
        [cell(&change.object), cell(&change.property), shown(&change.from), shown(&change.to)]
    };
    Standing {
        status: if failed { "failed" } else { "ok" }.to_owned(),
        profile: safe(&word("profile")),
        service: safe(&word("service")),
        msg: safe(result.msg.as_deref().unwrap_or("it did not answer")),
        items: items.filter_map(|item| serde_json::from_value(item.clone()).ok()).collect(),
        changes: result.changes.iter().map(change).collect(),
        warnings: result.warnings.iter().map(|warning| safe(warning)).collect(),
    }
}

/// A text from a host as a cell of a table.
fn cell(text: &str) -> String {
    let text = safe(text).replace(['\n', '\t'], " ");
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

fn changes(changes: &[[String; 4]]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = changes.iter().map(|change| change.to_vec()).collect();
    indented(&table::render(&["item", "what", "from", "to"], &rows))
}

fn plan(items: &[Item]) -> String {
    let mut out = String::new();
    for item in items.iter().filter(|item| item.differs() || item.status == "restart") {
        let now = item.now.as_deref().unwrap_or("-");
        let to = item.to.as_deref().map(|to| format!(", set to {to}")).unwrap_or_default();
        let kept = item.persisted.as_deref().unwrap_or("nothing");
        let needs = if item.needs().is_empty() { "nothing, it holds at once" } else { "a restart of the service" };
        let lines = [
            ("state", item.standing()),
            ("wanted", format!("{}{to}", item.wanted)),
            ("next boot", format!("{kept} so far")),
            ("why", item.why.clone()),
            ("source", item.source.clone()),
            ("risk", item.risk.clone()),
            ("needs", needs.to_owned()),
        ];
        out.push_str(&format!("  {}: {}\n", cell(&item.id), cell(now)));
        for (name, line) in lines {
            out.push_str(&format!("    {name:<9}  {}\n", cell(&line)));
        }
    }
    out
}

impl Consumer for Tuning {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a tuning has one task; its other events say nothing new")]
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::HostResult { host, status, result, .. } => self.take(host, *status, result),
            EventKind::PlayStarted { hosts, .. } if hosts.is_empty() => {
                super::eprint(&self.paint.changed("no hosts matched"));
            }
            EventKind::HostReconnecting { host, why, attempt: 1 } => {
                super::eprint(&self.paint.changed(&format!("{host} | reconnecting: {}", safe(why))));
            }
            EventKind::Warning { text } => super::eprint(&self.paint.changed(&format!("[WARNING]: {}", safe(text)))),
            EventKind::RunError { text, .. } => super::eprint(&self.paint.bad(&format!("ERROR: {}", safe(text)))),
            _ => {}
        }
    }

    fn finish(&mut self) {
        if self.json {
            super::print(&format!("{:#}\n", self.as_json()));
        } else {
            super::print(&self.told());
        }
    }
}

#[cfg(test)]
mod tests;
