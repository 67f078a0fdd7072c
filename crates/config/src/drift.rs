//! Where a node's configuration differs from what it should be.
//!
//! Three are compared: the file as kfleet wrote it, the file as it is, and what the node says that it runs with
//! (DescribeConfigs with its synonyms, KIP-226; `conf` of ZooKeeper). A key that the node does not tell of, or that is
//! secret, can not be compared with what runs; its file can.

use crate::definitions::{KAFKA, Kind};
use crate::secret::is_secret;
use kfleet_model::drift::{DriftItem, DriftKind, RunningValue};
use std::collections::{BTreeMap, BTreeSet};

/// What stands for a secret value.
const HIDDEN: &str = "(hidden)";

/// Keys whose file differs from what was written; `since_unix_ms` is the file's last change by the host's clock.
#[must_use]
pub fn of_file(
    written: &BTreeMap<String, String>,
    file: &BTreeMap<String, String>,
    since_unix_ms: Option<i64>,
) -> Vec<DriftItem> {
    let keys: BTreeSet<&String> = written.keys().chain(file.keys()).collect();
    let differs = |key: &&String| {
        let (wanted, found) = (written.get(*key), file.get(*key));
        wanted.map(|value| value.trim()) != found.map(|value| value.trim())
    };
    let item = |key: &String| item(key, DriftKind::File, written.get(key), file.get(key), since_unix_ms);
    keys.into_iter().filter(differs).map(item).collect()
}

/// Keys that a node runs with otherwise than its file says. A key that is not among the running ones is passed over.
#[must_use]
pub fn of_running(
    file: &BTreeMap<String, String>,
    running: &BTreeMap<String, RunningValue>,
    since_unix_ms: Option<i64>,
) -> Vec<DriftItem> {
    let mut items = Vec::new();
    for (key, now) in running {
        let wanted = file.get(key).or_else(|| file.get(synonym(key)?));
        if !now.hidden && !is_same(key, wanted, now.file.as_ref()) {
            items.push(item(key, DriftKind::NotApplied, wanted, now.file.as_ref(), since_unix_ms));
        }
        // A broker's own value holds over that of all of them (KIP-226).
        let (kind, over) = match (&now.broker, &now.cluster) {
            (Some(value), _) => (DriftKind::BrokerOverride, value),
            (None, Some(value)) => (DriftKind::ClusterOverride, value),
            (None, None) => continue,
        };
        // Where the file says nothing, a dynamic value is the declared one.
        if wanted.is_some() && !is_same(key, wanted, Some(over)) {
            items.push(item(key, kind, wanted, Some(over), None));
        }
    }
    items
}

/// The key whose value Kafka takes for another that is not set (`KafkaConfig.populateSynonyms`), since KRaft.
fn synonym(key: &str) -> Option<&'static str> {
    match key {
        "node.id" => Some("broker.id"),
        "broker.id" => Some("node.id"),
        _ => None,
    }
}

fn item(
    key: &str,
    kind: DriftKind,
    wanted: Option<&String>,
    found: Option<&String>,
    since_unix_ms: Option<i64>,
) -> DriftItem {
    let told =
        |value: Option<&String>| value.map(|value| if is_secret(key) { HIDDEN.to_owned() } else { value.clone() });
    DriftItem { key: key.to_owned(), kind, wanted: told(wanted), found: told(found), since_unix_ms }
}

fn is_same(key: &str, one: Option<&String>, other: Option<&String>) -> bool {
    one.map(|value| canonical(key, value)) == other.map(|value| canonical(key, value))
}

/// A value as a service prints it after it has read it: numbers and booleans as such, lists without blanks.
#[must_use]
pub fn canonical(key: &str, value: &str) -> String {
    let value = value.trim();
    let kinds = KAFKA.releases().iter().rev();
    match kinds.filter_map(|release| KAFKA.get(key, *release)).map(|definition| definition.kind).next() {
        Some(Kind::Boolean) => value.to_ascii_lowercase(),
        Some(Kind::Short | Kind::Int | Kind::Long) => {
            value.parse::<i64>().map_or_else(|_| value.to_owned(), |number| number.to_string())
        }
        Some(Kind::Double) => value.parse::<f64>().map_or_else(|_| value.to_owned(), |number| number.to_string()),
        Some(Kind::List) => value.split(',').map(str::trim).collect::<Vec<_>>().join(","),
        Some(Kind::String | Kind::Class | Kind::Password) => value.to_owned(),
        // ZooKeeper's keys, and those of plugins.
        None => value.parse::<i64>().map_or_else(|_| value.to_owned(), |number| number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Option<i64> = Some(7);

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn told(items: &[DriftItem]) -> Vec<(&str, DriftKind, Option<&str>, Option<&str>)> {
        items.iter().map(|i| (i.key.as_str(), i.kind, i.wanted.as_deref(), i.found.as_deref())).collect()
    }

    #[test]
    fn a_file_that_was_changed_by_hand_is_told_key_by_key_and_secrets_are_not_shown() {
        let written = map(&[("a", "1"), ("b", "2"), ("ssl.key.password", "x"), ("c", "3 ")]);
        let file = map(&[("a", "1"), ("c", "3"), ("d", "4"), ("ssl.key.password", "y")]);
        let wanted = [
            ("b", DriftKind::File, Some("2"), None),
            ("d", DriftKind::File, None, Some("4")),
            ("ssl.key.password", DriftKind::File, Some(HIDDEN), Some(HIDDEN)),
        ];
        let items = of_file(&written, &file, SINCE);
        assert_eq!(told(&items), wanted);
        assert!(items.iter().all(|item| item.since_unix_ms == Some(7)));
    }

    #[test]
    fn what_runs_is_compared_as_the_service_prints_it() {
        let running = |file: Option<&str>, broker: Option<&str>, cluster: Option<&str>| RunningValue {
            file: file.map(str::to_owned),
            broker: broker.map(str::to_owned),
            cluster: cluster.map(str::to_owned),
            hidden: false,
        };
        for (key, file, now, wanted) in [
            ("num.io.threads", Some("08"), running(Some("8"), None, None), vec![]),
            ("auto.create.topics.enable", Some("TRUE"), running(Some("true"), None, None), vec![]),
            ("log.dirs", Some("/a, /b"), running(Some("/a,/b"), None, None), vec![]),
            ("num.io.threads", None, running(None, Some("9"), None), vec![]),
            ("num.io.threads", Some("9"), running(Some("9"), Some("9"), Some("4")), vec![]),
            (
                "num.io.threads",
                Some("9"),
                running(Some("8"), None, None),
                vec![(DriftKind::NotApplied, Some("9"), Some("8"))],
            ),
            ("num.io.threads", None, running(Some("8"), None, None), vec![(DriftKind::NotApplied, None, Some("8"))]),
            ("num.io.threads", Some("9"), running(None, None, None), vec![(DriftKind::NotApplied, Some("9"), None)]),
            (
                "num.io.threads",
                Some("9"),
                running(Some("9"), Some("4"), Some("5")),
                vec![(DriftKind::BrokerOverride, Some("9"), Some("4"))],
            ),
            (
                "num.io.threads",
                Some("9"),
                running(Some("9"), None, Some("5")),
                vec![(DriftKind::ClusterOverride, Some("9"), Some("5"))],
            ),
        ] {
            let file: BTreeMap<_, _> = file.map(|value| (key.to_owned(), value.to_owned())).into_iter().collect();
            let items = of_running(&file, &BTreeMap::from([(key.to_owned(), now.clone())]), SINCE);
            let found: Vec<_> = told(&items).into_iter().map(|(_, kind, one, two)| (kind, one, two)).collect();
            assert_eq!(found, wanted, "{key}: {file:?}, {now:?}");
        }
        let id = RunningValue { file: Some("1".to_owned()), ..RunningValue::default() };
        assert!(
            of_running(&map(&[("broker.id", "1")]), &BTreeMap::from([("node.id".to_owned(), id)]), SINCE).is_empty()
        );
        let hidden = RunningValue { hidden: true, ..RunningValue::default() };
        let secret = map(&[("ssl.key.password", "x")]);
        assert!(of_running(&secret, &BTreeMap::from([("ssl.key.password".to_owned(), hidden)]), SINCE).is_empty());
    }
}
