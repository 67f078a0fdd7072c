//! Combinations that lose messages, or the cluster's ability to take them.

use super::{Node, Role};
use crate::{Extent, Finding, Problem};

/// The topics that Kafka makes by itself: their replication factor, and the least number in sync that their writes
/// need (Kafka's broker configuration).
const INTERNAL: [(&str, &str); 2] = [
    ("offsets.topic.replication.factor", "min.insync.replicas"),
    ("transaction.state.log.replication.factor", "transaction.state.log.min.isr"),
];

pub(super) fn check(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if node.role() == Some(Role::Controller) {
        return found;
    }
    found.extend(replicas(node));
    found.extend(switches(node));
    found.extend(folders(node));
    found
}

fn warn(node: Node<'_>, key: &str, why: String, hint: Option<&'static str>) -> Finding {
    Finding::warning(key, node.settings, Problem::Rule { why, hint })
}

/// With more replicas needed than there are, no `acks=all` write ever succeeds; with as many, none does while one
/// broker is down, and every rolling restart is an outage (Kafka's topic configuration, `min.insync.replicas`). One
/// replica is lost with its disk.
fn replicas(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let pairs = [("default.replication.factor", "min.insync.replicas")];
    let mut told = "";
    for (factor, least) in pairs.into_iter().chain(INTERNAL) {
        let set = [factor, least].into_iter().find(|key| node.settings.get(key).is_some());
        let (Some(key), Some(replicas), Some(needed)) = (set, node.number(factor), node.number(least)) else {
            continue;
        };
        // One word about a min ISR is enough, though it counts for several topics.
        if needed < replicas || told == least {
            continue;
        }
        told = least;
        if needed > replicas {
            let why =
                format!("'{least}' ({needed}) is larger than '{factor}' ({replicas}): no acks=all write succeeds");
            let problem = Problem::Rule { why, hint: Some("replication factor 3 with min ISR 2 survives one broker") };
            found.push(Finding::error(key, node.settings, problem));
        } else if replicas > 1 {
            let why = format!("'{least}' is as large as '{factor}' ({replicas}): writes fail while any broker is down");
            found.push(warn(node, key, why, Some("replication factor 3 with min ISR 2 survives one broker")));
        }
    }
    for (factor, _) in INTERNAL {
        if node.settings.number(factor) == Some(1) {
            let why = format!("'{factor}' is 1: consumer groups or transactions are lost with one disk");
            found.push(warn(node, factor, why, Some("3, in every cluster of three brokers or more")));
        }
    }
    found
}

/// Switches whose other position is safe.
fn switches(node: Node<'_>) -> Vec<Finding> {
    let rows: [(&str, bool, &str); 4] = [
        // Kafka's documentation, "Unclean leader election".
        ("unclean.leader.election.enable", true, "a replica that is behind may lead, and what it lacks is lost"),
        // Kafka's documentation, "Graceful shutdown".
        ("controlled.shutdown.enable", false, "every stop of a broker leaves partitions without a leader for a while"),
        // Kafka's documentation, "Log compaction": __consumer_offsets is compacted.
        ("log.cleaner.enable", false, "compacted topics, __consumer_offsets among them, grow without an end"),
        // Kafka's documentation, "Authorization and ACLs".
        ("allow.everyone.if.no.acl.found", true, "everybody may do everything to what has no ACL"),
    ];
    let mut found = Vec::new();
    for (key, unsafe_value, outcome) in rows {
        if node.settings.truth(key) == Some(unsafe_value) {
            found.push(warn(node, key, format!("'{key}' is {unsafe_value}: {outcome}"), None));
        }
    }
    if let Some(acks) = node.settings.number("offsets.commit.required.acks").filter(|acks| *acks != -1) {
        let why = format!("'offsets.commit.required.acks' is {acks}: committed offsets may be lost with one broker");
        found.push(warn(node, "offsets.commit.required.acks", why, Some("-1, the default")));
    }
    found
}

/// Kafka's default folder is emptied by the host's next start or tmpfiles run; two folders on one path are one disk.
fn folders(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    // `log.dir` counts only where `log.dirs` is not there.
    let key = if node.settings.get("log.dirs").is_some() { "log.dirs" } else { "log.dir" };
    let folders = node.settings.list(key);
    if folders.is_empty() && node.settings.get(key).is_some() {
        let why = format!("'{key}' names no folder");
        found.push(Finding::error(key, node.settings, Problem::Rule { why, hint: None }));
    } else if folders.is_empty() && node.extent == Extent::Whole {
        let why = "neither 'log.dirs' nor 'log.dir' is set, and the default is below /tmp".to_owned();
        found.push(warn(node, "log.dirs", why, None));
    }
    for (at, folder) in folders.iter().enumerate() {
        let folder = folder.trim_end_matches('/');
        if folder.starts_with("/tmp/") || folder == "/tmp" {
            found.push(warn(node, key, format!("'{key}' has {folder}, which a restart of the host may empty"), None));
        }
        if folders.iter().take(at).any(|before| before.trim_end_matches('/') == folder) {
            let why = format!("'{key}' has {folder} twice");
            found.push(Finding::error(key, node.settings, Problem::Rule { why, hint: None }));
        }
    }
    found
}
