//! What is known of every key: type, range, default, releases, and whether a change needs a restart.
//!
//! Purpose: one table for each of Kafka's nodes, Kafka's topics and ZooKeeper's servers, so that a key or a value that a
//! release does not take is found before the service reads it.
//! Sources: `kafka.tsv` is generated from the classes in Kafka's published jars (`tests/kafka-definitions/renew.sh`);
//! `zookeeper.tsv` is written by hand from ZooKeeper's administrator's guide and its `QuorumPeerConfig`.
//! Not here: rules that need more than one key (`kafka`, `zookeeper`).

pub mod beside;
pub mod replaced;

use crate::Release;
use crate::value::{self, Wrong};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What one or several releases in a row say of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The key.
    pub key: &'static str,
    /// The first release for which this is right; the first one of the table stands for all before it, too.
    pub first: Release,
    /// The last one.
    pub last: Release,
    /// The type.
    pub kind: Kind,
    /// What is taken of that type.
    pub valid: Valid,
    /// What holds when the key is not set.
    pub default: DefaultValue,
    /// How a new value gets into effect.
    pub update: Update,
    /// The service's own documentation calls it deprecated.
    pub deprecated: bool,
    /// Not in the service's documentation.
    pub internal: bool,
}

/// The type of a value, in Kafka's words (`ConfigDef.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// A whole number of 16 bits.
    Short,
    /// Of 32 bits.
    Int,
    /// Of 64 bits.
    Long,
    /// A number.
    Double,
    /// A text.
    String,
    /// Texts between commas.
    List,
    /// The name of a Java class.
    Class,
    /// A secret text.
    Password,
}

/// What is taken of a type.
#[derive(Debug, Clone, PartialEq)]
pub enum Valid {
    /// All of it, as far as the service says.
    Any,
    /// Numbers from here to there; `or` is one more that is taken.
    Range {
        /// The smallest.
        min: Option<f64>,
        /// The largest.
        max: Option<f64>,
        /// A number outside of the range with a meaning of its own.
        or: Option<f64>,
    },
    /// One of these words, or a list of them.
    Words {
        /// The words.
        words: Vec<&'static str>,
        /// Capitals do not matter.
        any_case: bool,
    },
    /// Anything but nothing.
    NotEmpty,
    /// A release of the protocol between brokers (`3.9`, `3.9-IV0`), no later than the service's own.
    ProtocolVersion,
}

/// What holds when a key is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultValue {
    /// The key must be set.
    Required,
    /// Nothing, or something that depends on other keys.
    Null,
    /// This.
    Text(String),
}

/// How a new value gets into effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Update {
    /// The process must be started again.
    Restart,
    /// Brokers take it while they run, each for itself (KIP-226).
    PerBroker,
    /// Brokers take it while they run, also as a default of the whole cluster (KIP-226).
    ClusterWide,
    /// It belongs to a topic and is taken at once.
    Topic,
}

/// What a table says of a key in a release.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lookup<'a> {
    /// The release has it.
    Known(&'a Definition),
    /// A later release brings it.
    NotYet(Release),
    /// It was there until this release.
    Removed(Release),
    /// No release has it.
    Unknown,
}

/// The keys of one kind of thing.
#[derive(Debug)]
pub struct Table {
    releases: Vec<Release>,
    keys: BTreeMap<&'static str, Vec<Definition>>,
}

/// The keys of brokers and controllers.
pub static KAFKA: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("definitions/kafka.tsv"), "broker"));

/// The keys of topics.
pub static TOPIC: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("definitions/kafka.tsv"), "topic"));

/// The keys of ZooKeeper's servers.
pub static ZOOKEEPER: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("definitions/zookeeper.tsv"), "server"));

impl Table {
    /// Reads the rows of one scope.
    ///
    /// # Panics
    /// When a row is not of the form that the generator writes; a test reads all of them.
    fn parse(text: &'static str, scope: &str) -> Self {
        let mut table = Self { releases: Vec::new(), keys: BTreeMap::new() };
        for line in text.lines() {
            if let Some(releases) = line.strip_prefix("# releases\t") {
                table.releases = releases.split('\t').map(|release| release.parse().expect("a release")).collect();
            }
            if let Some(row) = line.strip_prefix(scope).and_then(|rest| rest.strip_prefix('\t')) {
                let definition = Definition::parse(row).unwrap_or_else(|| panic!("a row of the table: {row:?}"));
                table.keys.entry(definition.key).or_default().push(definition);
            }
        }
        table
    }

    /// The releases that the table was made of, the oldest first.
    #[must_use]
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.keys.keys().copied()
    }

    /// The release of the table by which another one is judged: the nearest one that is not later.
    #[must_use]
    pub fn judge(&self, release: Release) -> Release {
        let not_later = self.releases.iter().rev().find(|known| **known <= release);
        not_later.or(self.releases.first()).copied().unwrap_or(release)
    }

    /// What a release says of a key.
    #[must_use]
    pub fn lookup(&self, key: &str, release: Release) -> Lookup<'_> {
        let release = self.judge(release);
        let Some(spans) = self.keys.get(key) else { return Lookup::Unknown };
        if let Some(found) = spans.iter().find(|span| (span.first..=span.last).contains(&release)) {
            return Lookup::Known(found);
        }
        match spans.iter().find(|span| span.first > release) {
            Some(later) => Lookup::NotYet(later.first),
            None => spans.iter().map(|span| span.last).max().map_or(Lookup::Unknown, Lookup::Removed),
        }
    }

    /// The definition of a key that the release has.
    #[must_use]
    pub fn get(&self, key: &str, release: Release) -> Option<&Definition> {
        match self.lookup(key, release) {
            Lookup::Known(definition) => Some(definition),
            Lookup::NotYet(_) | Lookup::Removed(_) | Lookup::Unknown => None,
        }
    }

    /// Whether any release has the key.
    #[must_use]
    pub fn is_known(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether running brokers of any release take a new value of the key.
    #[must_use]
    pub fn is_dynamic(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|spans| spans.iter().any(|span| span.update.is_dynamic()))
    }

    /// The key of the release that is nearest to a wrong one.
    #[must_use]
    pub fn nearest(&self, key: &str, release: Release) -> Option<String> {
        let known = self.keys().filter(|known| self.get(known, release).is_some_and(|found| !found.internal));
        kfleet_model::module::nearest(key, known)
    }
}

impl Definition {
    fn parse(row: &'static str) -> Option<Self> {
        let mut columns = row.split('\t');
        let key = columns.next()?;
        let (first, last) = columns.next()?.split_once("..")?;
        let kind = Kind::parse(columns.next()?)?;
        let valid = Valid::parse(columns.next()?)?;
        let default = DefaultValue::parse(columns.next()?)?;
        let update = Update::parse(columns.next()?)?;
        let flags = columns.nth(1)?;
        let flag = |name: &str| flags.split(',').any(|flag| flag == name);
        Some(Self {
            key,
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            kind,
            valid,
            default,
            update,
            deprecated: flag("deprecated"),
            internal: flag("internal"),
        })
    }

    /// Whether the service would take a value. A reference to a config provider (`${file:...}`, KIP-297) is not known
    /// before the service resolves it, and passes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, value: &str, release: Release) -> Result<(), Wrong> {
        if value.contains("${") { Ok(()) } else { value::check(self, value.trim(), release) }
    }
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "boolean" => Self::Boolean,
            "short" => Self::Short,
            "int" => Self::Int,
            "long" => Self::Long,
            "double" => Self::Double,
            "string" => Self::String,
            "list" => Self::List,
            "class" => Self::Class,
            "password" => Self::Password,
            _ => return None,
        })
    }
}

impl Valid {
    /// The forms that Kafka's validators print.
    fn parse(text: &'static str) -> Option<Self> {
        let (text, any_case) = match text.strip_prefix("(case insensitive) ") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        match text {
            "-" => return Some(Self::Any),
            "non-empty string" | "non-empty list" => return Some(Self::NotEmpty),
            "protocol-version" => return Some(Self::ProtocolVersion),
            _ => {}
        }
        let (inner, or) = text.strip_prefix('[')?.split_once(']')?;
        let or = if or.is_empty() { None } else { Some(or.strip_prefix(" or ")?.parse().ok()?) };
        let Some((min, max)) = inner.split_once("...") else {
            return Some(Self::Words { words: inner.split(", ").collect(), any_case });
        };
        let bound = |text: &str| text.trim_matches(',').parse().ok();
        Some(Self::Range { min: bound(min), max: bound(max), or })
    }
}

impl DefaultValue {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::Required,
            "null" => Self::Null,
            text => match text.strip_prefix('"') {
                Some(rest) => Self::Text(rest.strip_suffix('"')?.replace("\\\\", "\\")),
                None => Self::Text(text.to_owned()),
            },
        })
    }
}

impl Update {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "restart" => Self::Restart,
            "per-broker" => Self::PerBroker,
            "cluster-wide" => Self::ClusterWide,
            "topic" => Self::Topic,
            _ => return None,
        })
    }

    /// Whether a running broker takes a new value.
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        match self {
            Self::PerBroker | Self::ClusterWide | Self::Topic => true,
            Self::Restart => false,
        }
    }
}

#[cfg(test)]
mod tests;
