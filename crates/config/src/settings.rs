//! The settings of one node, wherever they come from.

use crate::Properties;
use crate::value::items;
use std::collections::BTreeMap;

/// How much of a node's configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it: what is not there has its default.
    Whole,
    /// Some keys, and others stand in a file that is not seen. Nothing is missing then, and no default is assumed.
    Part,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value, without blanks around it: the services take them off.
    pub value: String,
    /// The line of the file that it stands on, from 1.
    pub line: Option<usize>,
}

/// Keys with their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    all: BTreeMap<String, Setting>,
    /// Keys that stand in the file more than once, with the line of the one that does not count.
    pub(crate) twice: Vec<(String, usize)>,
    /// Keys with an escape that Java refuses.
    pub(crate) malformed: Vec<(String, usize)>,
}

impl Settings {
    /// Of pairs without a file.
    pub fn of<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let setting = |(key, value): (K, V)| {
            let value: String = value.into();
            (key.into(), Setting { value: value.trim().to_owned(), line: None })
        };
        Self { all: pairs.into_iter().map(setting).collect(), ..Self::default() }
    }

    /// Takes a key over from other settings, if it is there.
    pub fn copy(&mut self, from: &Self, key: &str) {
        if let Some(setting) = from.all.get(key) {
            self.all.insert(key.to_owned(), setting.clone());
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all.get(key).map(|setting| setting.value.as_str())
    }

    /// The line of a key.
    #[must_use]
    pub fn line(&self, key: &str) -> Option<usize> {
        self.all.get(key).and_then(|setting| setting.line)
    }

    /// All of them, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.all.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// A value that is not empty.
    pub(crate) fn filled(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// A value as a number, if it is one.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.parse().ok()
    }

    /// The parts of a list.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        self.get(key).map(|value| items(value).collect()).unwrap_or_default()
    }

    /// A value as a boolean, if it is one.
    pub(crate) fn truth(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        match (value.eq_ignore_ascii_case("true"), value.eq_ignore_ascii_case("false")) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            (false, false) => None,
        }
    }
}

impl From<&Properties> for Settings {
    fn from(file: &Properties) -> Self {
        let mut settings = Self::default();
        for entry in file.entries() {
            if entry.malformed {
                settings.malformed.push((entry.key.clone(), entry.line));
            }
            let setting = Setting { value: entry.value.trim().to_owned(), line: Some(entry.line) };
            if let Some(before) = settings.all.insert(entry.key.clone(), setting)
                && let Some(line) = before.line
            {
                settings.twice.push((entry.key, line));
            }
        }
        settings
    }
}
