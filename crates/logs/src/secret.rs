//! Secrets in lines of logs: they are hidden before a line leaves its host.

use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// A word that names a secret, what ties a value to it, and the value: in quotes, or up to what ends it. Kafka writes its
/// whole configuration at its start, as `name = value` lines, and JAAS entries inside of one.
static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = r#"(?i)([\w.\-]*(?:password|passphrase|passwd|secret|token|credential)[\w.\-]*["']?\s*[=:]\s*)("[^"]*"?|'[^']*'?|[^\s,;&})]+)|(sasl\.jaas\.config\s*[=:]\s*).*"#;
    Regex::new(pattern).ok()
});

/// What stands for a secret.
const MASK: &str = "********";

/// A line without the values of passwords, secrets, tokens and JAAS entries.
#[must_use]
pub fn masked(line: &str) -> Cow<'_, str> {
    match &*SECRET {
        Some(secret) => secret.replace_all(line, format!("${{1}}${{3}}{MASK}")),
        // The pattern is a constant that a test compiles; without it nothing is shown rather than all.
        None => Cow::Borrowed(MASK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_hidden_and_the_rest_stays() {
        for (line, wanted) in [
            ("\tssl.key.password = hunter2", "\tssl.key.password = ********"),
            ("user=a password=\"x y\" b=c", "user=a password=******** b=c"),
            ("{\"token\": \"abc\", \"n\": 1}", "{\"token\": ********, \"n\": 1}"),
            ("delegation.token.secret.key=k,other=v", "delegation.token.secret.key=********,other=v"),
            ("sasl.jaas.config = org.x.Login required username=\"u\";", "sasl.jaas.config = ********"),
            ("the password is wrong", "the password is wrong"),
            ("size = 3", "size = 3"),
        ] {
            assert_eq!(masked(line), wanted);
        }
    }
}
