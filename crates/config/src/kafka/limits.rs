//! Numbers that only make sense together.

use super::{Node, Role};
use crate::{Finding, Problem};

/// Each row: the key that must not be larger, the one that it is compared with, whether equal is fine, whether Kafka
/// refuses to start otherwise, and what comes of it. Rows with true are in `KafkaConfig.validateValues`.
const AT_MOST: &[(&str, &str, bool, bool, &str)] = &[
    (
        "replica.fetch.wait.max.ms",
        "replica.lag.time.max.ms",
        true,
        true,
        "followers of quiet partitions would fall out of the ISR",
    ),
    ("replica.fetch.wait.max.ms", "replica.socket.timeout.ms", true, true, "fetches would be cut off while they wait"),
    (
        "message.max.bytes",
        "replica.fetch.response.max.bytes",
        true,
        false,
        "followers would fetch the largest messages one by one",
    ),
    (
        "message.max.bytes",
        "socket.request.max.bytes",
        false,
        false,
        "the largest messages would be refused before they are looked at",
    ),
    ("group.min.session.timeout.ms", "group.max.session.timeout.ms", true, false, "no session timeout would be right"),
];

pub(super) fn check(node: Node<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = AT_MOST.iter().filter_map(|row| at_most(node, row)).collect();
    found.extend(retention(node));
    found.extend(heartbeats(node));
    found
}

/// Looks only where the operator has set one of the two: the defaults fit each other.
fn at_most(node: Node<'_>, row: &(&str, &str, bool, bool, &str)) -> Option<Finding> {
    let (small, large, equal, refused, outcome) = *row;
    let set = [small, large].into_iter().find(|key| node.settings.get(key).is_some())?;
    let (a, b) = (node.number(small)?, node.number(large)?);
    if a < b || (equal && a == b) {
        return None;
    }
    let than = if equal { "at most" } else { "less than" };
    let why = format!("'{small}' ({a}) must be {than} '{large}' ({b}): {outcome}");
    let finding = Finding::error(set, node.settings, Problem::Rule { why, hint: None });
    Some(if refused { finding } else { finding.into_warning() })
}

/// Retention of 0 would delete everything at once (`KafkaConfig.validateValues`: unlimited, or at least 1).
fn retention(node: Node<'_>) -> Vec<Finding> {
    let keys = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    let wrong = keys.into_iter().filter(|key| node.settings.number(key).is_some_and(|time| time == 0 || time < -1));
    wrong
        .map(|key| {
            let why = format!("'{key}' must be -1 for unlimited, or at least 1");
            Finding::error(key, node.settings, Problem::Rule { why, hint: None })
        })
        .collect()
}

/// A broker is fenced when it misses its session, so one lost heartbeat should not be enough (KIP-631, "Broker
/// registration and heartbeats").
fn heartbeats(node: Node<'_>) -> Option<Finding> {
    let role = node.role()?;
    let (beat, session) = ("broker.heartbeat.interval.ms", "broker.session.timeout.ms");
    let set = [beat, session].into_iter().find(|key| node.settings.get(key).is_some())?;
    let (a, b) = (node.number(beat)?, node.number(session)?);
    (role != Role::ZooKeeperBroker && a.saturating_mul(2) > b).then(|| {
        let why = format!("'{beat}' ({a}) should be at most half of '{session}' ({b})");
        Finding::warning(set, node.settings, Problem::Rule { why, hint: None })
    })
}
