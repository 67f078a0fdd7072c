//! The settings of one channel or route, read key by key: what is asked for is known, everything else is a mistake.
//!
//! Diagnostics name file, line and key and never show the line itself, because it may hold a secret.

use super::channel::Tls;
use super::secret::Secret;
use kfleet_model::module::nearest;
use kfleet_playbook::yaml::{Entry, Node, NodeKind};
use kfleet_playbook::{Code, Diagnostic, Diagnostics, Span};
use std::ops::RangeInclusive;
use std::path::Path;

/// Who else can read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Only its owner.
    Owner,
    /// Its group or everybody.
    Others,
}

/// Where secrets and certificates come from.
pub trait Outside {
    /// A file and who can read it; a relative path begins at the fleet directory.
    ///
    /// # Errors
    /// When it can not be read.
    fn file(&self, path: &Path) -> std::io::Result<(String, Privacy)>;

    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;
}

/// Where a plain connection is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// On this machine only.
    Loopback,
    /// Anywhere: nothing secret is sent.
    Anywhere,
}

/// What is read with, and what was found wrong.
pub struct Desk<'a> {
    /// Where secrets come from.
    pub outside: &'a dyn Outside,
    /// Who can read the settings themselves.
    pub privacy: Privacy,
    /// What was found.
    pub diagnostics: Diagnostics,
}

impl Desk<'_> {
    /// Adds a diagnostic without its line.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        if let Some(place) = &mut diagnostic.place {
            place.excerpt.clear();
        }
        self.diagnostics.push(diagnostic);
    }
}

/// The keys of one mapping.
pub struct Fields<'a, 'd> {
    what: String,
    name: String,
    span: &'a Span,
    entries: &'a [Entry],
    known: Vec<String>,
    desk: &'a mut Desk<'d>,
}

impl<'a, 'd> Fields<'a, 'd> {
    /// The keys of a node that must be a mapping. `what` and `name` are for messages: `channel`, `ops`.
    pub fn of(what: &str, name: &str, node: &'a Node, desk: &'a mut Desk<'d>) -> Option<Self> {
        let what = if name.is_empty() { what.to_owned() } else { format!("{what} {name}") };
        let Some(entries) = node.as_mapping() else {
            desk.push(Diagnostic::error(Code::Structure, format!("{what} must be a mapping")).at(&node.span));
            return None;
        };
        Some(Self { what, name: name.to_owned(), span: &node.span, entries, known: Vec::new(), desk })
    }

    /// The name of what is read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything else that is read with.
    pub fn desk(&mut self) -> &mut Desk<'d> {
        self.desk
    }

    /// The value of a key, which is known from now on.
    pub fn node(&mut self, key: &str) -> Option<&'a Node> {
        if !self.known.iter().any(|known| known == key) {
            self.known.push(key.to_owned());
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The key is there.
    pub fn has(&mut self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Says what is wrong with a key.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        let span = self.entries.iter().find(|entry| entry.key == key).map_or(self.span, |entry| &entry.key_span);
        let message = format!("{}: {key}: {}", self.what, message.into());
        self.desk.push(Diagnostic::error(Code::Parameter, message).at(span));
    }

    fn needed<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.has(key) {
            let message = format!("{} lacks {key}", self.what);
            self.desk.push(Diagnostic::error(Code::Parameter, message).at(self.span));
        }
        value
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let node = self.node(key)?;
        let text = node.scalar().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.error(key, "it must be a text");
        }
        text
    }

    /// A text that must be there.
    pub fn text_needed(&mut self, key: &str) -> Option<String> {
        let text = self.text(key);
        self.needed(key, text)
    }

    /// Texts: a list, or one alone.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let nodes = node.as_list().unwrap_or(std::slice::from_ref(node));
        let texts: Option<Vec<String>> = nodes.iter().map(Node::scalar).collect();
        if texts.is_none() {
            self.error(key, "it must be a text or a list of texts");
        }
        texts.unwrap_or_default()
    }

    /// Texts of which there must be one.
    pub fn texts_needed(&mut self, key: &str) -> Option<Vec<String>> {
        let texts = self.texts(key);
        let texts = if texts.is_empty() { None } else { Some(texts) };
        self.needed(key, texts)
    }

    /// One of some words, as its place among them.
    pub fn word(&mut self, key: &str, words: &[&str]) -> Option<usize> {
        let text = self.text(key)?;
        let found = words.iter().position(|word| *word == text);
        if found.is_none() {
            self.error(key, format!("{text:?} is not one of {}", words.join(", ")));
        }
        found
    }

    /// Yes or no.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        if let NodeKind::Bool(flag) = node.value {
            return Some(flag);
        }
        self.error(key, "it must be true or false");
        None
    }

    /// A whole number in a range.
    pub fn number(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(key)?;
        let number = node.scalar().and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
        if number.is_none() {
            self.error(key, format!("it must be a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// A secret: the value itself, `{file: PATH}` or `{env: NAME}`.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        self.value(key, self.desk.privacy)
    }

    /// The value of a secret or an address; `readers` are those of the file if it stands there.
    fn value(&mut self, key: &str, readers: Privacy) -> Option<Secret> {
        let node = self.node(key)?;
        let value = match &node.value {
            NodeKind::Mapping(entries) => self.secret_from(key, entries)?,
            NodeKind::Text(_) | NodeKind::Number(_) => {
                if readers == Privacy::Others {
                    self.warn(
                        key,
                        "the secret stands in a file that others can read; chmod 600 it, or use {file: ...}",
                    );
                }
                node.scalar()?
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::List(_) | NodeKind::Vault(_) => {
                self.error(key, "a secret is a text, {file: PATH} or {env: NAME}");
                return None;
            }
        };
        // Editors end files with a line end that is not of the secret.
        let value = value.trim();
        if value.is_empty() || value.chars().any(char::is_control) {
            self.error(key, "the secret is empty or has more than one line");
            return None;
        }
        Some(Secret::new(value))
    }

    fn secret_from(&mut self, key: &str, entries: &[Entry]) -> Option<String> {
        let found = match entries {
            [Entry { key, value, .. }] => value.as_str().map(|text| (key.as_str(), text)),
            _ => None,
        };
        match found {
            Some(("file", path)) => self.read(key, path),
            Some(("env", name)) => {
                let value = self.desk.outside.env(name);
                if value.is_none() {
                    self.error(key, format!("the environment has no variable {name}"));
                }
                value
            }
            Some(_) | None => {
                self.error(key, "a secret is a text, {file: PATH} or {env: NAME}");
                None
            }
        }
    }

    /// The content of a secret file; told when others can read it.
    fn read(&mut self, key: &str, path: &str) -> Option<String> {
        match self.desk.outside.file(Path::new(path)) {
            Ok((text, privacy)) => {
                if privacy == Privacy::Others {
                    self.warn(key, format!("others can read the secret in {path}; chmod 600 it"));
                }
                Some(text)
            }
            Err(error) => {
                self.error(key, format!("failed to read {path}: {error}"));
                None
            }
        }
    }

    fn warn(&mut self, key: &str, message: impl Into<String>) {
        let span = self.entries.iter().find(|entry| entry.key == key).map_or(self.span, |entry| &entry.key_span);
        let message = format!("{}: {key}: {}", self.what, message.into());
        self.desk.push(Diagnostic::warning(Code::Parameter, message).at(span));
    }

    /// A secret that must be there.
    pub fn secret_needed(&mut self, key: &str) -> Option<Secret> {
        let secret = self.secret(key);
        self.needed(key, secret)
    }

    /// An address that must be there. Addresses hold tokens, so they are read as secrets are.
    pub fn url(&mut self, key: &str, plain: Plain) -> Option<Secret> {
        // An address to which nothing secret is sent may be read by others.
        let readers = if plain == Plain::Anywhere { Privacy::Owner } else { self.desk.privacy };
        let url = self.value(key, readers);
        let url = self.needed(key, url)?;
        match wrong(url.reveal(), plain) {
            Some(message) => {
                self.error(key, message);
                None
            }
            None => Some(url),
        }
    }

    /// `user` and `password`, or `token`, as the value of an `Authorization` header.
    pub fn authorization(&mut self) -> Option<Secret> {
        let (user, password, token) = (self.text("user"), self.secret("password"), self.secret("token"));
        match (user, password, token) {
            (None, None, None) => None,
            (Some(user), Some(password), None) => Some(Secret::new(super::sign::basic(&user, password.reveal()))),
            (None, None, Some(token)) => Some(Secret::new(format!("Bearer {}", token.reveal()))),
            (Some(_) | None, Some(_) | None, Some(_) | None) => {
                self.error("user", "write user and password, or token alone");
                None
            }
        }
    }

    /// `ca_file`.
    pub fn tls(&mut self) -> Tls {
        Tls { authorities: self.pem("ca_file"), identity: None }
    }

    /// `ca_file`, `client_cert` and `client_key`.
    pub fn tls_with_identity(&mut self) -> Tls {
        let authorities = self.pem("ca_file");
        let chain = self.pem("client_cert");
        let key = self.text("client_key").and_then(|path| self.read("client_key", &path)).map(Secret::new);
        if chain.is_some() != key.is_some() {
            self.error("client_cert", "client_cert and client_key belong together");
        }
        Tls { authorities, identity: chain.zip(key) }
    }

    /// A file that anybody may read.
    fn pem(&mut self, key: &str) -> Option<String> {
        let path = self.text(key)?;
        match self.desk.outside.file(Path::new(&path)) {
            Ok((text, _)) if text.contains("-----BEGIN CERTIFICATE-----") => Some(text),
            Ok(_) => {
                self.error(key, format!("{path} has no certificate in PEM"));
                None
            }
            Err(error) => {
                self.error(key, format!("failed to read {path}: {error}"));
                None
            }
        }
    }

    /// Everything was asked for: other keys are mistakes.
    pub fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key)) {
            let message = format!("{} has no key {:?}; it has {}", self.what, entry.key, self.known.join(", "));
            let nearest = nearest(&entry.key, self.known.iter().map(String::as_str));
            self.desk.push(Diagnostic::error(Code::UnknownKeyword, message).at(&entry.key_span).did_you_mean(nearest));
        }
    }
}

/// What is wrong with an address, without naming it.
fn wrong(url: &str, plain: Plain) -> Option<&'static str> {
    let Ok(uri) = url.parse::<http::Uri>() else { return Some("it is no address") };
    let Some(host) = uri.host() else { return Some("it is no address with a host, such as https://HOST/PATH") };
    match uri.scheme_str() {
        Some("https") => None,
        Some("http") if plain == Plain::Anywhere || is_loopback(host) => None,
        Some("http") => Some("it must begin with https://, because what is sent there is secret"),
        Some(_) | None => Some("it must begin with https://"),
    }
}

/// A host that is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
