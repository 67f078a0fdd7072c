//! Lines of many hosts in one order of time.

use crate::header::Level;
use crate::signature::{Severity, SignatureId};
use crate::template::Unknown;
use jiff::{SignedDuration, Timestamp};
use kfleet_model::HostName;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A record that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// The log that it stands in: a path, `journal:kafka`, `kernel`.
    pub source: String,
    /// Its level, where the form has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Its first line, secrets hidden.
    pub text: String,
    /// The lines behind it, secrets hidden, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
    /// The signatures that match it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignatureId>,
    /// How bad it is by itself, where a signature says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// What an agent found in its logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAnswer {
    /// The lines, in the order of their times.
    pub lines: Vec<LogLine>,
    /// Why there may be more: a limit that was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Each log: `read`, or why it could not be.
    #[serde(default)]
    pub sources: BTreeMap<String, String>,
    /// What else is to be known of the reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Templates of the errors that no signature knows, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
}

/// What one host sent, and how its clock stands.
#[derive(Debug, Clone)]
pub struct HostLines {
    /// The host.
    pub host: HostName,
    /// How far its clock is ahead of the one that all times are shown by, in milliseconds.
    pub ahead_ms: i64,
    /// Its lines.
    pub lines: Vec<LogLine>,
}

/// A line with its place in the common order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// When, by the common clock.
    pub at: Timestamp,
    /// The host.
    pub host: HostName,
    /// The line.
    pub line: LogLine,
}

/// The moment of a host's clock by the common one.
#[must_use]
pub fn corrected(at: Timestamp, ahead_ms: i64) -> Timestamp {
    at.checked_sub(SignedDuration::from_millis(ahead_ms)).unwrap_or(at)
}

/// All lines in the order of the common clock; those of one moment in the order of their hosts, those of one host in
/// their own.
#[must_use]
pub fn merge(hosts: Vec<HostLines>) -> Vec<Merged> {
    let mut hosts: Vec<_> = hosts
        .into_iter()
        .map(|HostLines { host, ahead_ms, mut lines }| {
            lines.sort_by_key(|line| line.at);
            (host, ahead_ms, lines.into_iter().peekable())
        })
        .collect();
    hosts.sort_by(|(a, _, _), (b, _, _)| a.cmp(b));
    let mut next = BinaryHeap::new();
    for (place, (_, ahead_ms, lines)) in hosts.iter_mut().enumerate() {
        next.extend(lines.peek().map(|line| Reverse((corrected(line.at, *ahead_ms), place))));
    }
    let mut merged = Vec::new();
    while let Some(Reverse((at, place))) = next.pop() {
        let (host, ahead_ms, lines) = &mut hosts[place];
        if let Some(line) = lines.next() {
            merged.push(Merged { at, host: host.clone(), line });
        }
        next.extend(lines.peek().map(|line| Reverse((corrected(line.at, *ahead_ms), place))));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(at_ms: i64, text: &str) -> LogLine {
        let at = Timestamp::from_millisecond(at_ms).unwrap();
        LogLine {
            at,
            source: "f".into(),
            level: None,
            text: text.into(),
            more: Vec::new(),
            signatures: Vec::new(),
            severity: None,
        }
    }

    fn host(name: &str, ahead_ms: i64, times: &[i64]) -> HostLines {
        let lines = times.iter().enumerate().map(|(n, at)| line(*at, &format!("{name}{n}"))).collect();
        HostLines { host: HostName::new(name).unwrap(), ahead_ms, lines }
    }

    #[test]
    fn clocks_are_corrected_and_ties_go_by_host() {
        let merged =
            merge(vec![host("b", 0, &[100, 200, 200]), host("a", 5000, &[5099, 5200, 5201]), host("c", -10, &[90])]);
        let order: Vec<_> = merged.iter().map(|one| format!("{}@{}", one.line.text, one.at.as_millisecond())).collect();
        assert_eq!(order, ["a0@99", "b0@100", "c0@100", "a1@200", "b1@200", "b2@200", "a2@201"]);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_stable_sort(all in proptest::collection::vec((proptest::collection::vec(0..50_i64, 0..20), -20..20_i64), 0..6)) {
            let hosts: Vec<_> = all.iter().enumerate().map(|(n, (times, ahead))| host(&format!("h{n}"), *ahead, times)).collect();
            let mut wanted: Vec<_> = Vec::new();
            for one in &hosts {
                let mut lines = one.lines.clone();
                lines.sort_by_key(|line| line.at);
                wanted.extend(lines.into_iter().map(|line| Merged { at: corrected(line.at, one.ahead_ms), host: one.host.clone(), line }));
            }
            wanted.sort_by(|a, b| (a.at, &a.host).cmp(&(b.at, &b.host)));
            prop_assert_eq!(merge(hosts), wanted);
        }
    }
}
