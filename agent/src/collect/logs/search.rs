//! Lines of a stretch of time for people: filtered here, so that only what was asked for travels.

use super::places::{self, Log};
use super::{CollectError, Heard, Matchers, counts, now, parse, read};
use crate::host::HostView;
use jiff::Timestamp;
use kfleet_logs::secret::masked;
use kfleet_logs::{Hit, Level, LogAnswer, LogLine, Record, Severity, Source, Templates, severity_of_line};
use kfleet_model::Map;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::VecDeque;

/// So many lines travel when the caller does not say.
const LINES: usize = 2000;

/// More are never sent, whatever the caller says.
const MOST_LINES: usize = 50_000;

/// So many bytes of lines travel at most.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A pattern of a person may take so much memory.
const PATTERN_BYTES: usize = 1 << 20;

/// So many templates of unknown errors travel.
const UNKNOWN: usize = 20;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Select {
    /// All that fit the rest.
    #[default]
    All,
    /// Those that a signature knows, and those of level WARN and above; of a collector's pauses only the long ones.
    Notable,
}

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    services: Option<Vec<String>>,
    /// By this host's clock.
    since: Timestamp,
    until: Option<Timestamp>,
    /// A regular expression, over the record's lines.
    pattern: Option<String>,
    level: Option<Level>,
    #[serde(default)]
    select: Select,
    limit: Option<usize>,
}

/// The newest lines that were found, within the bounds.
struct Found {
    lines: VecDeque<LogLine>,
    bytes: usize,
    limit: usize,
    cut: Option<String>,
}

/// The lines of the host's logs in a stretch of time, in the order of their times.
///
/// # Errors
/// When a parameter is wrong or the host does not let itself be read. A log that can not be read is told in the answer.
pub fn lines(host: &dyn HostView, params: &Map) -> Result<LogAnswer, CollectError> {
    let params: Params = parse(params)?;
    let pattern = params.pattern.as_deref().map(compile).transpose()?;
    if params.since > params.until.unwrap_or_else(|| now(host)) {
        return Err(CollectError::Invalid(format!("since {} lies behind the end", params.since)));
    }
    let mut heard = Heard::default();
    let logs = places::logs(host, params.services.as_deref(), &mut heard)?;
    let matchers = Matchers::new();
    let limit = params.limit.unwrap_or(LINES).clamp(1, MOST_LINES);
    let (mut all, mut unknown, mut cut) = (Vec::new(), Templates::default(), None);
    for log in &logs.all {
        let Some(matcher) = matchers.of(log.source) else { continue };
        let mut found = Found { lines: VecDeque::new(), bytes: 0, limit, cut: None };
        let outcome = read::between(host, log, matcher, params.since, params.until, &mut |record| {
            if counts(log, &record) && wanted(&params, pattern.as_ref(), &record) {
                if record.hits.is_empty() && record.level >= Some(Level::Error) {
                    unknown.add(&record.message, &record.text, record.at);
                }
                found.add(line(log, record));
            }
        });
        heard.add(log.group, &log.name, outcome);
        cut = cut.or(found.cut);
        all.extend(found.lines);
    }
    // A stable order: lines of one moment stay as their logs are ordered.
    all.sort_by_key(|line| line.at);
    let mut found = Found { lines: VecDeque::new(), bytes: 0, limit, cut };
    all.into_iter().for_each(|line| found.add(line));
    let (unknown, _) = unknown.top(UNKNOWN);
    Ok(LogAnswer { lines: found.lines.into(), cut: found.cut, sources: heard.texts(), told: heard.told, unknown })
}

fn compile(pattern: &str) -> Result<Regex, CollectError> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
    built.map_err(|error| CollectError::Invalid(format!("pattern {pattern:?} can not be used: {error}")))
}

fn wanted(params: &Params, pattern: Option<&Regex>, record: &Record<'_>) -> bool {
    let level = params.level.is_none_or(|level| record.level >= Some(level));
    let weighs = |hit: &Hit<'_>| severity_of_line(hit) > Severity::Info || !hit.signature.is_in(Source::Gc);
    let notable = || record.hits.iter().any(weighs) || record.level >= Some(Level::Warn);
    level
        && (params.select == Select::All || notable())
        && pattern.is_none_or(|p| p.is_match(&record.text) || record.more.iter().any(|line| p.is_match(line)))
}

fn line(log: &Log, record: Record<'_>) -> LogLine {
    LogLine {
        at: record.at.unwrap_or(Timestamp::UNIX_EPOCH),
        source: log.name.clone(),
        level: record.level,
        text: masked(&record.text).into_owned(),
        severity: record.hits.iter().map(severity_of_line).max(),
        more: record.more.iter().map(|line| masked(line).into_owned()).collect(),
        signatures: record.hits.into_iter().map(|hit| hit.signature.id.clone()).collect(),
    }
}

impl Found {
    fn add(&mut self, line: LogLine) {
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.lines.len() > self.limit || self.bytes > MOST_BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= size(&oldest);
            let newest = "these are the newest of them";
            self.cut.get_or_insert_with(|| match self.limit < MOST_LINES && self.bytes <= MOST_BYTES {
                true => format!("more than {} lines were found; {newest}", self.limit),
                false => format!("more than {MOST_LINES} lines or {} MiB were found; {newest}", MOST_BYTES >> 20),
            });
        }
    }
}

fn size(line: &LogLine) -> usize {
    // Beside its texts a line has a time, a source and names.
    100 + line.text.len() + line.more.iter().map(String::len).sum::<usize>()
}
