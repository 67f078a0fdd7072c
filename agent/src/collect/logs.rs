//! The logs of this host's nodes and of its kernel: counted by signatures for the inspection, searched for people.
//!
//! Purpose: only what was found travels, never a log. [`readings`] goes on where the one before it ended and remembers the
//! place; [`lines`] looks at a stretch of time and remembers nothing.
//! Place in the flow: `places` finds the logs from the processes that write them, `read` reads them within bounds of bytes and
//! time, and what is looked for in them is `kfleet_logs`'.
//! Not here: what becomes of a finding (`kfleet_inspect`), and other hosts' clocks (the controller).

mod marks;
mod places;
mod read;
mod search;

pub use search::lines;

use super::{CollectError, parse};
use crate::host::HostView;
use jiff::Timestamp;
use kfleet_inspect::{Datum, Part, PartKind, Reading};
use kfleet_logs::signature::SignatureId;
use kfleet_logs::{Level, Matcher, Record, SIGNATURES, Seen, Source, Tally, Templates, explain};
use kfleet_model::Map;
use marks::Marks;
use places::{Log, Logs};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// So much of each log is read in one night. A broker that is well writes a few MiB.
const BYTES: u64 = 64 * 1024 * 1024;

/// So long one log is read: its bytes take a second or two, unless the disk is what is wrong.
const TIME: Duration = Duration::from_secs(60);

/// So far back the first reading of a log goes.
const FIRST: Duration = Duration::from_secs(24 * 3600);

/// The units that are looked at when the caller names none; those that are not there are passed over.
const SERVICES: [&str; 2] = ["kafka", "zookeeper"];

/// Its parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    /// Units of nodes.
    services: Option<Vec<String>>,
    /// The inspection's id. One that asks again, as its first answer was lost, begins again where it began.
    inspection: Option<String>,
}

/// What one log is called in `log.sources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Kafka,
    ZooKeeper,
    Jvm,
    Journal,
    Kernel,
}

impl Group {
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::ZooKeeper => "zookeeper",
            Self::Jvm => "jvm",
            Self::Journal => "journal",
            Self::Kernel => "kernel",
        }
    }
}

/// What is known of each kind of source so far.
#[derive(Debug, Default)]
struct Heard {
    sources: BTreeMap<Group, Result<(), String>>,
    told: Vec<String>,
}

impl Heard {
    /// One log of a group was read, or not. Of several the first that was not is told.
    fn add(&mut self, group: Group, name: &str, outcome: Result<Vec<String>, CollectError>) {
        let entry = self.sources.entry(group).or_insert(Ok(()));
        match outcome {
            Ok(told) => self.told.extend(told.into_iter().map(|what| format!("{name}: {what}"))),
            Err(error) if entry.is_ok() => *entry = Err(format!("{name}: {error}")),
            Err(error) => self.told.push(format!("{name}: {error}")),
        }
    }

    fn texts(&self) -> BTreeMap<String, String> {
        let text = |outcome: &Result<(), String>| outcome.as_ref().map_or_else(Clone::clone, |()| "read".to_owned());
        self.sources.iter().map(|(group, outcome)| (group.name().to_owned(), text(outcome))).collect()
    }
}

/// One matcher for each source, made once for all logs of a reading.
struct Matchers(BTreeMap<Source, Matcher<'static>>);

impl Matchers {
    fn new() -> Self {
        Self(Source::ALL.into_iter().map(|source| (source, Matcher::new(&SIGNATURES, source))).collect())
    }

    fn of(&self, source: Source) -> Option<&Matcher<'static>> {
        self.0.get(&source)
    }
}

/// Whether a record counts: what a framework wrote to standard output stands in its files too.
fn counts(log: &Log, record: &Record<'_>) -> bool {
    log.source != Source::Output || !record.framework
}

/// What the host's logs say since the last bookmarks: `log.sources`, and for each signature that was seen `log.hits`,
/// `log.severity` and `log.volatile`.
///
/// # Errors
/// When a parameter is wrong, or the bookmarks could not be kept: then the next reading would count all of it again. A log
/// that can not be read is told in `log.sources`.
pub fn readings(host: &dyn HostView, params: &Map) -> Result<Vec<Reading>, CollectError> {
    let params: Params = parse(params)?;
    let taken_at = now(host);
    let mut heard = Heard::default();
    let mut marks = Marks::load(host, params.inspection.as_deref(), &mut heard.told)?;
    let logs = places::logs(host, params.services.as_deref(), &mut heard)?;
    let seen = count(host, &logs, &mut marks, &mut heard);
    marks.keep(host)?;
    let sources = Reading::new("log.sources", Datum::Texts(heard.texts()), "log files and journal", taken_at);
    let mut readings = vec![sources.shown_by(heard.told)];
    let causes = explain(&SIGNATURES, &seen);
    for one in &seen {
        readings.extend(of_signature(one, causes.get(&one.id), taken_at));
    }
    Ok(readings)
}

fn count(host: &dyn HostView, logs: &Logs, marks: &mut Marks, heard: &mut Heard) -> Vec<Seen> {
    let matchers = Matchers::new();
    let mut tally = Tally::new(&SIGNATURES);
    let mut unknown = Templates::default();
    for log in &logs.all {
        let Some(matcher) = matchers.of(log.source) else { continue };
        let outcome = read::since_mark(host, log, matcher, marks, &mut |record| {
            if !counts(log, &record) {
                return;
            }
            for hit in &record.hits {
                tally.add(hit, record.at, &record.text);
            }
            if record.hits.is_empty() && record.level >= Some(Level::Error) {
                unknown.add(&record.message, &record.text, record.at);
            }
        });
        heard.add(log.group, &log.name, outcome);
    }
    let (top, others) = unknown.top(UNKNOWN_TOLD);
    for one in top {
        heard.told.push(format!("unknown error, {} times: {}", one.count, one.template));
    }
    if others > 0 {
        heard.told.push(format!("unknown errors of other kinds, {others} times"));
    }
    tally.seen()
}

/// So many unknown errors are told beside the sources.
const UNKNOWN_TOLD: usize = 10;

fn of_signature(seen: &Seen, cause: Option<&SignatureId>, taken_at: Timestamp) -> [Reading; 3] {
    let part = || Part::new(PartKind::Signature, seen.id.as_str());
    let reading = |key: &str, datum| Reading::new(key, datum, "log files and journal", taken_at).at(part());
    let mut evidence = vec![seen.sample.clone()];
    if let (Some(first), Some(last)) = (seen.first, seen.last) {
        evidence.push(format!("first {first:.0}, last {last:.0}"));
    }
    if !seen.captures.is_empty() {
        evidence.push(format!("names: {}", seen.captures.join(" | ")));
    }
    evidence.extend(cause.map(|cause| format!("explained by {cause}")));
    let hits = Datum::Int(i64::try_from(seen.count).unwrap_or(i64::MAX));
    [
        reading("log.hits", hits).shown_by(evidence),
        reading("log.severity", Datum::Text(seen.severity.word().to_owned())),
        reading("log.volatile", Datum::Flag(seen.volatile)),
    ]
}

fn now(host: &dyn HostView) -> Timestamp {
    Timestamp::from_millisecond(host.unix_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
