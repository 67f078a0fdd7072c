//! What took the place of keys that are gone or deprecated.

/// Each row: the key, and what to do instead. From Kafka's upgrade notes for 3.0 and 4.0, and the texts of the keys
/// themselves.
const KAFKA: &[(&str, &str)] = &[
    ("advertised.host.name", "advertised.listeners has host and port"),
    ("advertised.port", "advertised.listeners has host and port"),
    ("broker.id.generation.enable", "give node.id"),
    ("control.plane.listener.name", "KRaft controllers have listeners of their own: controller.listener.names"),
    ("delegation.token.master.key", "it is named delegation.token.secret.key"),
    ("host.name", "listeners has host and port"),
    ("inter.broker.protocol.version", "the cluster's metadata.version took its place: kafka-features.sh"),
    ("log.cleaner.enable", "the cleaner is always on from 5.0"),
    ("log.message.downconversion.enable", "old message formats are gone"),
    ("log.message.format.version", "old message formats are gone"),
    ("log.message.timestamp.difference.max.ms", "log.message.timestamp.before.max.ms and .after.max.ms took its place"),
    ("message.format.version", "old message formats are gone"),
    ("message.timestamp.difference.max.ms", "message.timestamp.before.max.ms and .after.max.ms took its place"),
    ("offsets.commit.required.acks", "all acks are always waited for"),
    ("password.encoder.secret", "it was for secrets in ZooKeeper"),
    ("port", "listeners has host and port"),
    ("quota.consumer.default", "default quotas are set dynamically: kafka-configs.sh --entity-type clients"),
    ("quota.producer.default", "default quotas are set dynamically: kafka-configs.sh --entity-type clients"),
    ("remote.log.manager.thread.pool.size", "the copier, expiration and follower pools have keys of their own"),
    ("zookeeper.connect", "clusters of Kafka 4 have no ZooKeeper: controller.quorum.bootstrap.servers"),
];

/// What to do instead of a key of Kafka.
#[must_use]
pub fn kafka(key: &str) -> Option<&'static str> {
    let found = KAFKA.binary_search_by(|(name, _)| name.cmp(&key)).ok();
    let row = found.and_then(|at| KAFKA.get(at)).map(|(_, instead)| *instead);
    row.or_else(|| key.starts_with("zookeeper.").then_some("clusters of Kafka 4 have no ZooKeeper"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{KAFKA as TABLE, Lookup, TOPIC};

    #[test]
    fn every_row_is_of_a_key_that_is_gone_or_deprecated_and_found() {
        for (key, instead) in super::KAFKA {
            assert_eq!(kafka(key), Some(*instead), "{key}: the rows are sorted");
            let newest = *TABLE.releases().last().unwrap();
            let all = [TABLE.lookup(key, newest), TOPIC.lookup(key, newest)];
            let gone = all.iter().any(|found| match found {
                Lookup::Removed(_) => true,
                Lookup::Known(definition) => definition.deprecated,
                Lookup::NotYet(_) | Lookup::Unknown => false,
            });
            assert!(gone, "{key}: {all:?}");
        }
        assert!(kafka("zookeeper.ssl.client.enable").is_some() && kafka("log.dirs").is_none());
    }
}
