//! `kfleet logs`: the lines of all hosts' logs in one order of time.
//!
//! The agents filter, so only what was asked for travels. Each host's clock is measured first, as `kfleet time check` does it:
//! the stretch of time is told to every host by its own clock, and its lines come back by this machine's.

mod told;

use super::agents::{Which, agents};
use super::exit::Exit;
use super::{CliError, Outcome};
use crate::execute::clock::ask;
use crate::execute::{Agent, LinkError, call};
use crate::fleet::Fleet;
use crate::report;
use clap::Subcommand;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use kfleet_logs::merge::Merged;
use kfleet_logs::{HostLines, Level, LogAnswer, merge};
use kfleet_model::{HostName, Map};
use kfleet_proto::convert::ObserveKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a host may search: its bounds of bytes take some seconds of a disk that is well.
const DEADLINE: Duration = Duration::from_secs(120);

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find lines in the logs of Kafka, ZooKeeper, their JVMs and the kernel
    ///
    /// REGEX is matched on the hosts against every line with the stack trace below it; look-around and back-references are
    /// not known. Lines come in the order of this machine's clock, whatever the hosts' clocks say; values of secrets are
    /// hidden. Ends with 0 when lines were found, with 2 when none was or a log could not be read, with 4 when the only fault is that
    /// a host does not answer.
    Grep(GrepArgs),
    /// Show what happened on a cluster: every known message and all warnings and errors, in one order of time
    ///
    /// Known messages are named by their signature, with what they mean and which of them explains the others. Errors that
    /// no signature knows are summed up at the end. Ends as `kfleet logs grep` does.
    Timeline(TimelineArgs),
}

/// Which stretch of time, and how much of it.
#[derive(Debug, clap::Args)]
struct Stretch {
    /// From when: how long ago (30m, 2h, 1d) or a time (2026-01-02T03:04:05Z; without a zone it is UTC)
    #[arg(long, value_name = "WHEN", default_value = "1h")]
    since: String,
    /// Until when, in the same forms; until now when it is not given
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// How many lines of each host at most: the newest
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `kfleet logs grep`.
#[derive(Debug, clap::Args)]
pub(super) struct GrepArgs {
    /// Host pattern
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// Regular expression
    #[arg(value_name = "REGEX")]
    regex: String,
    /// Only lines of this level and above: TRACE, DEBUG, INFO, WARN, ERROR, FATAL. Lines without a level are left out then
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,
    #[command(flatten)]
    stretch: Stretch,
}

/// Arguments of `kfleet logs timeline`.
#[derive(Debug, clap::Args)]
pub(super) struct TimelineArgs {
    /// The cluster's group, or any host pattern
    #[arg(value_name = "CLUSTER")]
    pattern: String,
    #[command(flatten)]
    stretch: Stretch,
}

fn level(text: &str) -> Result<Level, String> {
    Level::of_word(text).ok_or_else(|| format!("it is none of {}", Level::ALL.map(Level::word).join(", ")))
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    let mut params = Map::new();
    match command {
        Command::Grep(args) => {
            // A mistake is told before a host is asked.
            regex::Regex::new(&args.regex).map_err(|error| CliError::input(error.to_string()))?;
            params.insert("pattern".to_owned(), args.regex.clone().into());
            params.extend(args.level.map(|level| ("level".to_owned(), level.word().into())));
            let found = search(fleet, &args.pattern, &args.stretch, params).await?;
            report::print(&if args.stretch.json { json(&found) } else { told::grep(&found) });
            Ok(exit(&found))
        }
        Command::Timeline(args) => {
            params.insert("select".to_owned(), "notable".into());
            let found = search(fleet, &args.pattern, &args.stretch, params).await?;
            report::print(&if args.stretch.json { json(&found) } else { told::timeline(&found) });
            Ok(exit(&found))
        }
    }
}

/// What all hosts answered.
#[derive(Debug, Default)]
struct Found {
    lines: Vec<Merged>,
    /// The rest of the answers; their lines are in `lines`.
    answers: BTreeMap<HostName, LogAnswer>,
    silent: BTreeMap<HostName, String>,
    failed: BTreeMap<HostName, String>,
}

impl Found {
    /// Logs that could not be read.
    fn unread(&self) -> impl Iterator<Item = (&HostName, &String, &String)> {
        let of = |(host, answer)| {
            let answer: &LogAnswer = answer;
            answer.sources.iter().filter(|(_, outcome)| *outcome != "read").map(move |(log, why)| (host, log, why))
        };
        self.answers.iter().flat_map(of)
    }
}

async fn search(fleet: &Fleet, pattern: &str, stretch: &Stretch, params: Map) -> Result<Found, CliError> {
    let now = Timestamp::now();
    let since = moment(&stretch.since, now)?;
    let until = stretch.until.as_deref().map(|text| moment(text, now)).transpose()?;
    if since >= until.unwrap_or(now) {
        return Err(CliError::input(format!("--since {} does not lie before the end", stretch.since)));
    }
    let agents = agents(fleet, Which::of(pattern))?;
    let (agents_ref, params) = (&agents, &params);
    let answers = call(agents_ref, |agent| async move {
        let ahead_ms = ask(&agent.link).await?.offset.ms;
        let mut params = params.clone();
        params.insert("since".to_owned(), by_its_clock(since, ahead_ms).to_string().into());
        params.extend(until.map(|until| ("until".to_owned(), by_its_clock(until, ahead_ms).to_string().into())));
        params.insert("limit".to_owned(), stretch.limit.into());
        params.extend(services(agent).map(|services| ("services".to_owned(), services.into())));
        let answer = agent.link.observe(ObserveKind::Logs, &params, DEADLINE).await?;
        Ok((ahead_ms, answer))
    })
    .await;
    Ok(gathered(answers.into_iter().map(|(agent, answer)| (agent.host.clone(), answer))))
}

/// The units of a host's nodes, where the inventory names them.
fn services(agent: &Agent) -> Option<Vec<String>> {
    let (kafka, zookeeper) = (agent.var("kafka_service"), agent.var("zookeeper_service"));
    (kafka.is_some() || zookeeper.is_some())
        .then(|| vec![kafka.unwrap_or_else(|| "kafka".to_owned()), zookeeper.unwrap_or_else(|| "zookeeper".to_owned())])
}

type Answer = Result<(i64, serde_json::Value), LinkError>;

fn gathered(answers: impl Iterator<Item = (HostName, Answer)>) -> Found {
    let (mut found, mut hosts) = (Found::default(), Vec::new());
    for (host, answer) in answers {
        match answer.map(|(ahead_ms, value)| (ahead_ms, serde_json::from_value::<LogAnswer>(value))) {
            Ok((ahead_ms, Ok(mut answer))) => {
                let lines = std::mem::take(&mut answer.lines);
                hosts.push(HostLines { host: host.clone(), ahead_ms, lines });
                found.answers.insert(host, answer);
            }
            Ok((_, Err(error))) => _ = found.failed.insert(host, format!("its answer is not understood: {error}")),
            Err(error @ LinkError::Unreachable(_)) => _ = found.silent.insert(host, error.to_string()),
            Err(error @ (LinkError::Refused(_) | LinkError::Protocol(_) | LinkError::Lost(_))) => {
                _ = found.failed.insert(host, error.to_string());
            }
        }
    }
    found.lines = merge(hosts);
    found
}

/// A moment of this machine's clock by a host's.
fn by_its_clock(at: Timestamp, ahead_ms: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(ahead_ms)).unwrap_or(at)
}

/// A time, or how long ago.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let ago = || {
        let span: Span = text.parse().ok()?;
        let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.abs();
        now.checked_sub(time).ok()
    };
    let named = || text.parse::<Timestamp>().ok();
    let utc = || jiff::tz::Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    ago().or_else(named).or_else(utc).ok_or_else(|| {
        CliError::input(format!("{text:?} is no time"))
            .hint("30m, 2h and 1d are long ago; 2026-01-02T03:04:05Z is a time")
    })
}

fn exit(found: &Found) -> Exit {
    let unread = !found.failed.is_empty() || found.unread().next().is_some();
    match (unread, found.silent.is_empty(), found.lines.is_empty()) {
        (true, _, _) => Exit::Failed,
        (false, false, _) => Exit::Unreachable,
        (false, true, true) => Exit::Failed,
        (false, true, false) => Exit::Ok,
    }
}

fn json(found: &Found) -> String {
    let lines: Vec<_> = found
        .lines
        .iter()
        .map(|Merged { at, host, line }| {
            serde_json::json!({"at": at, "host": host, "host_at": line.at, "source": line.source, "level": line.level,
                "severity": line.severity, "text": line.text, "more": line.more, "signatures": line.signatures})
        })
        .collect();
    let text = serde_json::json!({"lines": lines, "hosts": found.answers, "unreachable": found.silent,
        "failed": found.failed, "explained": told::causes(&found.lines)});
    format!("{text:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_logs::LogLine;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        for (text, wanted) in [
            ("1h", Some("2026-01-02T02:04:05Z")),
            ("90m", Some("2026-01-02T01:34:05Z")),
            ("2d", Some("2025-12-31T03:04:05Z")),
            ("1h 30m", Some("2026-01-02T01:34:05Z")),
            ("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")),
            ("2026-01-01T01:00:00+01:00", Some("2026-01-01T00:00:00Z")),
            ("2026-01-01 00:00:00", Some("2026-01-01T00:00:00Z")),
            ("yesterday", None),
            ("", None),
        ] {
            let found = moment(text, now()).ok().map(|at| at.to_string());
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }

    fn answer(lines: usize, source: &str) -> Answer {
        let line = LogLine {
            at: now(),
            source: "kernel".into(),
            level: None,
            text: "t".into(),
            more: Vec::new(),
            signatures: Vec::new(),
            severity: None,
        };
        let sources = BTreeMap::from([("kernel".to_owned(), source.to_owned())]);
        let answer = LogAnswer { lines: vec![line; lines], sources, ..LogAnswer::default() };
        Ok((1000, serde_json::to_value(answer).unwrap()))
    }

    #[test]
    fn the_exit_code_says_whether_lines_were_found_and_all_logs_read() {
        let silent = || Err(LinkError::Unreachable("no answer".into()));
        let refused = || Err(LinkError::Refused("no".into()));
        for (answers, code) in [
            (vec![answer(1, "read"), answer(0, "read")], 0),
            (vec![answer(0, "read")], 2),
            (vec![answer(1, "no access")], 2),
            (vec![answer(1, "read"), silent()], 4),
            (vec![answer(0, "read"), silent()], 4),
            (vec![answer(1, "read"), silent(), refused()], 2),
            (vec![Ok((0, serde_json::json!(3)))], 2),
        ] {
            let hosts = answers.into_iter().enumerate().map(|(n, a)| (HostName::new(format!("h{n}")).unwrap(), a));
            let found = gathered(hosts);
            assert_eq!(exit(&found).code(), code, "{found:?}");
        }
    }

    #[test]
    fn lines_stand_by_this_machine_s_clock() {
        let found = gathered(std::iter::once((HostName::new("h").unwrap(), answer(1, "read"))));
        assert_eq!(found.lines[0].at.to_string(), "2026-01-02T03:04:04Z");
        assert_eq!(by_its_clock(found.lines[0].at, 1000), now());
    }
}
