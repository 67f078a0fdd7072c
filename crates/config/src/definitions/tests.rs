//! Tests of the tables: facts that Kafka's and ZooKeeper's own documents have, and the forms of the rows.

use super::*;

fn release(text: &str) -> Release {
    text.parse().unwrap()
}

#[test]
fn every_row_is_read_and_its_default_is_a_value_of_its_own_range() {
    for (name, table, at_least) in [("kafka", &*KAFKA, 380), ("topic", &*TOPIC, 30), ("zookeeper", &*ZOOKEEPER, 100)] {
        assert!(table.keys.len() >= at_least, "{name} has {} keys", table.keys.len());
        for span in table.keys.values().flatten() {
            assert!(span.first <= span.last, "{}", span.key);
            if let DefaultValue::Text(default) = &span.default {
                let range = Definition { kind: span.kind, valid: span.valid.clone(), ..span.clone() };
                // Kafka's own checks pass empty lists as "not set".
                let works = default.is_empty() || range.check(default, span.last).is_ok();
                assert!(works, "{} of {}..{}: {default:?}", span.key, span.first, span.last);
            }
        }
    }
}

#[test]
fn spans_of_a_key_neither_overlap_nor_go_back() {
    for table in [&*KAFKA, &*TOPIC, &*ZOOKEEPER] {
        for spans in table.keys.values() {
            assert!(spans.windows(2).all(|two| two[0].last < two[1].first), "{:?}", spans[0].key);
        }
    }
}

/// Facts of Kafka's upgrade notes and KIPs, as a check of the generator.
#[test]
fn keys_come_change_and_go_with_releases_as_the_upgrade_notes_say() {
    for (key, version, wanted) in [
        ("node.id", "3.0.0", "known"),
        ("zookeeper.connect", "3.9.1", "known"),
        ("zookeeper.connect", "4.0.0", "removed 3.9"),
        ("host.name", "2.8.1", "known"),
        ("host.name", "3.0.0", "removed 2.8"),
        ("inter.broker.protocol.version", "4.1.0", "removed 3.9"),
        ("zookeeper.metadata.migration.enable", "3.3.2", "not yet 3.4"),
        ("controller.quorum.bootstrap.servers", "3.7.1", "not yet 3.8"),
        ("controller.quorum.auto.join.enable", "4.1.0", "not yet 4.2"),
        ("log.message.timestamp.before.max.ms", "3.6.0", "known"),
        ("brocker.id", "3.9.1", "unknown"),
        ("log.dirs", "5.3.0", "known"),
        ("log.dirs", "2.1.0", "known"),
    ] {
        let got = match KAFKA.lookup(key, release(version)) {
            Lookup::Known(_) => "known".to_owned(),
            Lookup::NotYet(since) => format!("not yet {since}"),
            Lookup::Removed(last) => format!("removed {last}"),
            Lookup::Unknown => "unknown".to_owned(),
        };
        assert_eq!(got, wanted, "{key} in {version}");
    }
}

#[test]
fn defaults_and_ways_of_change_are_those_of_the_release() {
    for (key, version, default, update) in [
        ("log.message.timestamp.after.max.ms", "3.9.1", "9223372036854775807", Update::ClusterWide),
        ("log.message.timestamp.after.max.ms", "4.0.0", "3600000", Update::ClusterWide),
        ("num.recovery.threads.per.data.dir", "3.9.1", "1", Update::ClusterWide),
        ("num.recovery.threads.per.data.dir", "4.0.0", "2", Update::ClusterWide),
        ("min.insync.replicas", "3.9.1", "1", Update::ClusterWide),
        ("offsets.topic.replication.factor", "3.9.1", "3", Update::Restart),
        ("listener.security.protocol.map", "3.6.0", "", Update::PerBroker),
    ] {
        let found = KAFKA.get(key, release(version)).unwrap();
        assert_eq!(found.update, update, "{key} in {version}");
        if !default.is_empty() {
            assert_eq!(found.default, DefaultValue::Text(default.to_owned()), "{key} in {version}");
        }
    }
}

#[test]
fn a_misspelt_key_has_a_nearest_one_of_the_same_release() {
    for (table, key, version, wanted) in [
        (&*KAFKA, "min.insync.replica", "3.9.1", Some("min.insync.replicas")),
        (&*KAFKA, "log.retention.hour", "4.1.1", Some("log.retention.hours")),
        (&*KAFKA, "zookeper.connect", "3.9.1", Some("zookeeper.connect")),
        (&*KAFKA, "my.own", "3.9.1", None),
        (&*ZOOKEEPER, "ticktime", "3.8.4", Some("tickTime")),
    ] {
        assert_eq!(table.nearest(key, release(version)).as_deref(), wanted, "{key}");
    }
}
