//! Key by key: known to the release, of the right type and range, once in the file.

use super::Node;
use crate::definitions::{Definition, KAFKA, Lookup, beside, replaced};
use crate::{Finding, Problem, Release, secret};

pub(super) fn check(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, setting) in node.settings.iter() {
        found.extend(of_key(node, key, &setting.value));
    }
    for (key, line) in &node.settings.twice {
        let problem = Problem::Twice { key: key.clone(), line: *line };
        found.push(Finding::warning(key, node.settings, problem));
    }
    for (key, line) in &node.settings.malformed {
        let problem = Problem::Malformed { key: key.clone() };
        found.push(Finding { line: Some(*line), ..Finding::error(key, node.settings, problem) });
    }
    found
}

fn of_key(node: Node<'_>, key: &str, value: &str) -> Vec<Finding> {
    let Node { release, settings, .. } = node;
    match lookup(node, key) {
        Lookup::Known(definition) => of_value(node, key, value, definition),
        // Read beside the definitions before a release had them (config.providers).
        Lookup::NotYet(_) | Lookup::Unknown if beside::of_kafka(key) || beside::of_operator(key, node.extra) => {
            Vec::new()
        }
        Lookup::NotYet(since) => {
            vec![Finding::error(key, settings, Problem::NotYet { key: key.to_owned(), since, release })]
        }
        Lookup::Removed(last) => {
            let instead = replaced::kafka(key);
            vec![Finding::error(key, settings, Problem::Removed { key: key.to_owned(), last, release, instead })]
        }
        Lookup::Unknown => {
            let nearest = KAFKA.nearest(key, release);
            let problem = Problem::Unknown { key: key.to_owned(), release: format!("Kafka {release}"), nearest };
            vec![Finding::error(key, settings, problem)]
        }
    }
}

/// Before 3.3 Kafka checked the words of these keys outside of their definitions; they are the same words.
const CHECKED_ELSEWHERE: [&str; 2] = ["compression.type", "security.inter.broker.protocol"];

/// The release whose definition has the words.
const CHECKED_SINCE: Release = Release::new(3, 3);

/// A key of one listener has the definition of the key that it stands for.
fn lookup(node: Node<'_>, key: &str) -> Lookup<'static> {
    let table = &*KAFKA;
    if CHECKED_ELSEWHERE.contains(&key) {
        return table.lookup(key, node.release.max(CHECKED_SINCE));
    }
    let Some((rest, without_mechanism)) = beside::of_listener(key) else { return table.lookup(key, node.release) };
    match (table.lookup(rest, node.release), without_mechanism) {
        (Lookup::Unknown, Some(rest)) => table.lookup(rest, node.release),
        (found, _) => found,
    }
}

fn of_value(node: Node<'_>, key: &str, value: &str, definition: &Definition) -> Vec<Finding> {
    let Node { release, settings, .. } = node;
    let mut found = Vec::new();
    if definition.deprecated {
        let problem = Problem::Deprecated { key: key.to_owned(), instead: replaced::kafka(key) };
        found.push(Finding::warning(key, settings, problem));
    }
    if let Err(wrong) = definition.check(value, KAFKA.judge(release).max(release)) {
        let got = (!secret::is_secret(key)).then(|| value.to_owned());
        found.push(Finding::error(key, settings, Problem::Value { key: key.to_owned(), wrong, got }));
    }
    found
}
