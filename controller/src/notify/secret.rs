//! Secrets: values that are used and never shown.

use zeroize::Zeroizing;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Shorter texts are not looked for in answers: replacing them would garble what has nothing to do with the secret.
const SHORTEST: usize = 4;

/// A value that neither `Display` nor `Debug` shows, and that is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value in.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself. Only what signs or sends may ask for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(MASK)
    }
}

/// A text from outside without the secrets that it may repeat, as written or as a part of an address.
#[must_use]
pub fn scrub(text: &str, secrets: &[&Secret]) -> String {
    let mut values: Vec<String> = secrets.iter().flat_map(|secret| forms(secret.reveal())).collect();
    // The longest first: a secret may be a part of another one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().filter(|value| value.len() >= SHORTEST).fold(text.to_owned(), |text, value| text.replace(value, MASK))
}

/// A secret as it is, as an address carries it, and, when it is an address itself, what of it is secret.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), percent_encoded(value)];
    if let Some((_, rest)) = value.split_once("://") {
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        forms.extend(query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned()));
        // Segments of the public part of a path are short words; the token is long.
        forms.extend(path.split('/').filter(|segment| segment.len() >= 16).map(str::to_owned));
    }
    forms
}

/// A text as a value in the query of an address (RFC 3986, section 2.3: all but the unreserved characters).
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere() {
        let secret = Secret::new("hunter2-hunter2");
        let shown = format!("{secret} {secret:?} {secret:>5} {:?}", [Some(&secret)]);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(secret.reveal(), "hunter2-hunter2");
    }

    #[test]
    fn a_secret_that_a_peer_repeats_is_masked() {
        let url = Secret::new("https://oapi.example/robot/send?access_token=abc+def&x=1");
        let hook = Secret::new("https://hooks.example/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX");
        let key = Secret::new("k+y/=");
        let text = "token abc+def, sign k%2By%2F%3D and k+y/=, hook XXXXXXXXXXXXXXXXXXXXXXXX, services, x=1";
        assert_eq!(scrub(text, &[&url, &hook, &key]), "token ***, sign *** and ***, hook ***, services, x=1");
    }
}
