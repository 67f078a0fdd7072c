//! Keys that a node's file may hold though no definition of the node's own names them.
//!
//! The file is handed to every plugin of the broker, so keys of authorizers, reporters and tiered storage stand in it.
//! Those that Kafka itself brings are named here; those of an operator's own plugins come with the check.

/// Keys of what Kafka brings along: its authorizers (`super.users`, `allow.everyone.if.no.acl.found`: Kafka's security
/// documentation, "Authorization and ACLs"), its JMX reporter (KIP-606), its CSV reporter, and config providers
/// (KIP-297).
const KEYS: &[&str] = &[
    "allow.everyone.if.no.acl.found",
    "config.providers",
    "kafka.csv.metrics.dir",
    "kafka.csv.metrics.reporter.enabled",
    "metrics.jmx.exclude",
    "metrics.jmx.include",
    "super.users",
];

/// What begins the keys of plugins: config providers (KIP-297), the ZooKeeper of `AclAuthorizer`, and the default
/// prefixes of tiered storage (`remote.log.storage.manager.impl.prefix`, `remote.log.metadata.manager.impl.prefix`).
const PREFIXES: &[&str] = &["authorizer.zookeeper.", "config.providers.", "rlmm.config.", "rsm.config."];

/// Whether Kafka or a plugin that it brings reads the key beside the node's own definitions.
#[must_use]
pub fn of_kafka(key: &str) -> bool {
    KEYS.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The key that a listener's own one stands for: `listener.name.NAME.KEY` and `listener.name.NAME.MECHANISM.KEY`
/// (Kafka's broker configuration, "Security"; KIP-103, KIP-85). Both rests are given, the longer one first.
#[must_use]
pub fn of_listener(key: &str) -> Option<(&str, Option<&str>)> {
    let (_, rest) = key.strip_prefix("listener.name.")?.split_once('.')?;
    Some((rest, rest.split_once('.').map(|(_, key)| key)))
}

/// Whether a name is one of those that an operator gave: a key, or a beginning with `*` at its end.
#[must_use]
pub fn of_operator(key: &str, extra: &[String]) -> bool {
    extra.iter().any(|name| match name.strip_suffix('*') {
        Some(beginning) => key.starts_with(beginning),
        None => name == key,
    })
}
