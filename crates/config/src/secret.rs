//! Which values are secret: never in a result, a difference or a message.

use crate::definitions::{KAFKA, Kind, Lookup};

/// Ends of keys whose values are secrets in the files of Kafka, ZooKeeper and their plugins.
const ENDS: &[&str] =
    &["password", "passphrase", "secret", "token", "jaas.config", "keystore.key", "superdigest", "credentials"];

/// Whether the value of a key is a secret: Kafka says so (type password), or its name does.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let plain = key.rsplit_once("listener.name.").map_or(key, |(_, rest)| rest);
    let typed = |key: &str| {
        KAFKA.releases().iter().any(|release| match KAFKA.lookup(key, *release) {
            Lookup::Known(definition) => definition.kind == Kind::Password,
            Lookup::NotYet(_) | Lookup::Removed(_) | Lookup::Unknown => false,
        })
    };
    ENDS.iter().any(|end| lower.ends_with(end))
        || plain.match_indices('.').any(|(at, _)| typed(&plain[at + 1..]))
        || typed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_type_and_by_name() {
        for (key, wanted) in [
            ("ssl.keystore.password", true),
            ("ssl.key.password", true),
            ("ssl.keystore.key", true),
            ("ssl.keystore.certificate.chain", true),
            ("sasl.jaas.config", true),
            ("listener.name.internal.plain.sasl.jaas.config", true),
            ("listener.name.internal.ssl.keystore.key", true),
            ("delegation.token.secret.key", true),
            ("ssl.keyStore.password", true),
            ("DigestAuthenticationProvider.superDigest", true),
            ("my.plugin.client.secret", true),
            ("ssl.keystore.location", false),
            ("password.encoder.key.length", false),
            ("log.dirs", false),
        ] {
            assert_eq!(is_secret(key), wanted, "{key}");
        }
    }
}
