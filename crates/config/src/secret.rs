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

/// What stands for a secret.
const MASK: &str = "********";

/// A configuration file's text with the values of secret keys hidden, for people.
///
/// Hidden are `key=value` and `key: value` lines with a secret key, with their continuation lines; `key="value"` inside a
/// line, as JAAS has them; and everything of a text that holds a private key.
#[must_use]
pub fn masked(text: &str) -> String {
    if text.contains("PRIVATE KEY-----") {
        return format!("{MASK}\n");
    }
    let mut out = String::with_capacity(text.len());
    let mut continues = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\r', '\n']);
        let (shown, hidden) = if continues { (MASK.to_owned(), true) } else { masked_line(bare) };
        continues = hidden && bare.ends_with('\\');
        out.push_str(&shown);
        out.push_str(&line[bare.len()..]);
    }
    out
}

/// The line as it is shown, and whether its end was hidden.
fn masked_line(line: &str) -> (String, bool) {
    let key_end = line.find(['=', ':', ' ']).unwrap_or(line.len());
    let (key, rest) = line.split_at(key_end);
    if !rest.is_empty() && is_secret(key.trim().trim_start_matches(['#', '!'])) {
        let value = rest.trim_start_matches([' ', '\t', '=', ':']);
        return (format!("{key}{}{MASK}", &rest[..rest.len() - value.len()]), true);
    }
    let mut out = String::new();
    let mut left = line;
    while let Some(at) = left.find('=') {
        let (before, after) = left.split_at(at + 1);
        out.push_str(before);
        let name =
            before[..at].rsplit(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).next().unwrap_or_default();
        // A key at the beginning of a line was looked at above; `==` and the like have no name.
        let value_end = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].find(quote).map_or(after.len(), |end| end + 2),
            Some(_) | None => after.find([' ', ';', ',']).unwrap_or(after.len()),
        };
        left = if !name.is_empty() && is_secret(name) {
            out.push_str(MASK);
            &after[value_end..]
        } else {
            after
        };
    }
    out.push_str(left);
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_without_its_secrets() {
        for (text, wanted) in [
            ("log.dirs=/a\nssl.key.password=hush\r\n", "log.dirs=/a\nssl.key.password=********\r\n"),
            ("ssl.keystore.password = hush", "ssl.keystore.password = ********"),
            ("#ssl.keystore.password=hush\n", "#ssl.keystore.password=********\n"),
            ("ssl.keystore.key=a \\\n hush \\\n hush\nb=c\n", "ssl.keystore.key=********\n********\n********\nb=c\n"),
            (
                "  org.apache.X required username=\"u\" password=\"hu sh\";\n",
                "  org.apache.X required username=\"u\" password=********;\n",
            ),
            (
                "EXTRA=-Djavax.net.ssl.keyStorePassword=hush -Dx=y",
                "EXTRA=-Djavax.net.ssl.keyStorePassword=******** -Dx=y",
            ),
            ("a=b==c\n\n=\n", "a=b==c\n\n=\n"),
            ("-----BEGIN PRIVATE KEY-----\nhush\n", "********\n"),
        ] {
            assert_eq!(masked(text), wanted);
            assert!(!masked(text).contains("hush"));
        }
    }

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
