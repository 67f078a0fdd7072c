//! All collectors together, on a host in memory and on this very one.

use super::*;
use crate::host::fake::{FakeHost, Spec};
use kfleet_inspect::{Outcome, Scope, readings};
use serde_json::json;
use std::collections::BTreeSet;

fn fake(spec: serde_json::Value) -> FakeHost {
    FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap())
}

#[test]
fn the_table_names_known_keys_of_hosts_each_once() {
    let mut seen = BTreeSet::new();
    for collector in COLLECTORS {
        for key in collector.keys {
            let known = readings::find(key).unwrap_or_else(|| panic!("{key} of {} is in no table", collector.name));
            assert_eq!(known.scope, Scope::Host, "{key}");
            assert!(seen.insert(*key), "{key} stands twice");
        }
    }
}

#[test]
fn an_empty_host_says_something_of_every_key() {
    let host = fake(json!({"files": {"/proc/sys/kernel/hostname": {"content": "kafka-1\n"}}}));
    let readings = super::host(&host, &Map::new()).unwrap();
    for key in COLLECTORS.iter().flat_map(|collector| collector.keys) {
        let found = readings.readings.iter().any(|reading| reading.key == *key);
        assert!(found, "nothing is said of {key}");
    }
    assert!(readings.readings.iter().any(|reading| matches!(reading.outcome, Outcome::NotHere { .. })));
}
