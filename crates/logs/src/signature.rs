//! Signatures: the messages that are known, as data.
//!
//! One file a program under `signatures/`, embedded and parsed once. Ids are stable for ever. Patterns have no
//! look-around, so a line is matched in time linear in its length.

use crate::header::Level;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

/// The files, in the order of the reference.
const FILES: [(&str, &str); 9] = [
    ("kafka-start", include_str!("../signatures/kafka-start.toml")),
    ("kafka-storage", include_str!("../signatures/kafka-storage.toml")),
    ("kafka-replication", include_str!("../signatures/kafka-replication.toml")),
    ("kafka-network", include_str!("../signatures/kafka-network.toml")),
    ("kafka-controller", include_str!("../signatures/kafka-controller.toml")),
    ("kafka-kraft", include_str!("../signatures/kafka-kraft.toml")),
    ("jvm", include_str!("../signatures/jvm.toml")),
    ("zookeeper", include_str!("../signatures/zookeeper.toml")),
    ("kernel", include_str!("../signatures/kernel.toml")),
];

/// The chains of causes.
const CHAINS: &str = include_str!("../signatures/chains.toml");

/// A compiled pattern may take so much memory. Theirs are far below; an unbounded repetition of a class is not.
const PATTERN_BYTES: usize = 1 << 20;

/// The signatures that kfleet ships with. An embedded entry that can not be used is left out of it; a test fails then.
pub static SIGNATURES: LazyLock<Signatures> = LazyLock::new(|| Signatures::parse(&FILES, CHAINS).0);

/// A signature's id, such as `K-LOCK`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignatureId(String);

impl SignatureId {
    /// An id as it stands in the data.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SignatureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warn,
    /// Somebody must look.
    Crit,
}

impl Severity {
    /// The word in readings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Crit => "crit",
        }
    }
}

/// The files that Kafka's and ZooKeeper's shipped logging configurations write a message to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFile {
    /// Kafka's server.log.
    Server,
    /// Kafka's controller.log.
    Controller,
    /// Kafka's state-change.log.
    StateChange,
    /// Kafka's log-cleaner.log.
    LogCleaner,
    /// Kafka's kafka-authorizer.log.
    KafkaAuthorizer,
    /// Standard output and error of a JVM.
    Stdout,
    /// A thread dump, which a JVM writes to its standard output.
    ThreadDump,
    /// The log of the garbage collector.
    Gc,
    /// ZooKeeper's log.
    Zookeeper,
    /// The kernel's log.
    Kernel,
}

/// Where lines come from, as far as it decides what is looked for in them. Operators send Kafka's loggers to files as
/// they like, so all of one program's signatures are looked for in all of its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A log of Kafka, or its journal where it has no other log.
    Kafka,
    /// A log of ZooKeeper, or its journal where it has no other log.
    ZooKeeper,
    /// Standard output of either beside its log files: what the logging framework wrote stands in those too.
    Output,
    /// A log of a garbage collector.
    Gc,
    /// The kernel's log.
    Kernel,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 5] = [Self::Kafka, Self::ZooKeeper, Self::Output, Self::Gc, Self::Kernel];

    /// Whether what is written to a file can stand there.
    #[must_use]
    pub fn has(self, file: LogFile) -> bool {
        use LogFile as F;
        match file {
            F::Server | F::Controller | F::StateChange | F::LogCleaner | F::KafkaAuthorizer => self == Self::Kafka,
            F::Stdout | F::ThreadDump => matches!(self, Self::Kafka | Self::ZooKeeper | Self::Output),
            F::Gc => self == Self::Gc,
            F::Zookeeper => self == Self::ZooKeeper,
            F::Kernel => self == Self::Kernel,
        }
    }
}

/// What raises a signature's severity.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// More lines than this, in any stretch of time of this length or in all.
    Count {
        /// The bound.
        more_than: u32,
        /// The length in seconds.
        #[serde(default)]
        within_s: Option<u32>,
        /// Lines are counted apart by this capture, as by the name of a group.
        #[serde(default)]
        per: Option<usize>,
    },
    /// A number in the line.
    Value {
        /// Which capture it is.
        capture: usize,
        /// The bound.
        above: f64,
    },
    /// A text in the line.
    Text {
        /// Which capture it is.
        capture: usize,
        /// What it must match.
        #[serde(with = "pattern")]
        matches: TextPattern,
    },
    /// Lines that come again and again for this long.
    Lasts {
        /// The length.
        seconds: u32,
    },
    /// More lines than this share of another signature's.
    Share {
        /// The other signature.
        of: SignatureId,
        /// The bound.
        above_percent: u32,
    },
}

/// A pattern that compares by its text.
#[derive(Debug, Clone)]
pub struct TextPattern(pub Regex);

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

mod pattern {
    use super::TextPattern;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TextPattern, D::Error> {
        let text = String::deserialize(from)?;
        super::compile(&text).map(TextPattern).map_err(D::Error::custom)
    }
}

/// A severity and what raises to it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The severity.
    pub severity: Severity,
    /// What raises to it.
    pub when: When,
}

/// A message that is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Its id.
    pub id: SignatureId,
    /// The files that it is written to by the shipped configurations.
    pub files: BTreeSet<LogFile>,
    /// Its usual level, for people: an operator may have changed it.
    #[serde(default)]
    pub level: Option<Level>,
    /// Its pattern, over the line without its header.
    pub pattern: String,
    /// What it means.
    pub meaning: String,
    /// How bad one line is.
    pub severity: Severity,
    /// What makes it worse.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What would change the severity and can not be told from the log of one host.
    #[serde(default)]
    pub unjudged: Option<String>,
    /// What to do.
    pub advice: String,
    /// Checks of the inspection that tell more.
    #[serde(default)]
    pub checks: Vec<String>,
    /// It is the normal sound of a restart of this node or a peer.
    #[serde(default)]
    pub volatile: bool,
    /// False where the text could not be confirmed in sources or a live log.
    #[serde(default = "confirmed")]
    pub confirmed: bool,
    /// The versions in which the text was found.
    pub found_in: String,
    /// Other signatures that match its lines too.
    #[serde(default)]
    pub also: BTreeSet<SignatureId>,
    /// A line that it matches.
    pub example: String,
    #[serde(skip)]
    regex: Option<Regex>,
}

fn confirmed() -> bool {
    true
}

impl Signature {
    /// Whether it is looked for in a source.
    #[must_use]
    pub fn is_in(&self, source: Source) -> bool {
        self.files.iter().any(|file| source.has(*file))
    }

    /// What it captures of a message; none when it does not match.
    #[must_use]
    pub fn captures(&self, message: &str) -> Option<Vec<String>> {
        let found = self.regex.as_ref()?.captures(message)?;
        Some(found.iter().skip(1).map(|part| part.map(|part| part.as_str().to_owned()).unwrap_or_default()).collect())
    }
}

/// Signatures that explain others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The causes.
    pub root: Vec<SignatureId>,
    /// What they bring about.
    pub followers: Vec<SignatureId>,
    /// How long after the cause.
    pub within_s: u32,
    /// How a person makes sure.
    pub tell: String,
    /// How bad the cause must be: a short pause explains nothing.
    #[serde(default = "any")]
    pub at_least: Severity,
}

fn any() -> Severity {
    Severity::Info
}

/// Why an entry can not be used.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// A file is no TOML, or an entry has a wrong form.
    #[error("{file} can not be read: {source}")]
    Form {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: toml::de::Error,
    },
    /// A pattern is none.
    #[error("signature {id} has a pattern that can not be compiled: {source}")]
    Pattern {
        /// The signature.
        id: SignatureId,
        /// What is wrong.
        #[source]
        source: regex::Error,
    },
    /// An id stands twice.
    #[error("signature {0} stands twice")]
    Twice(SignatureId),
    /// Something names a signature that is not there.
    #[error("{by} names the signature {id}, which does not exist")]
    Unknown {
        /// Who names it.
        by: String,
        /// Its id.
        id: SignatureId,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    signature: Vec<Signature>,
    #[serde(default)]
    chain: Vec<Chain>,
}

/// A set of signatures with their chains.
#[derive(Debug, Default)]
pub struct Signatures {
    all: Vec<Signature>,
    places: BTreeMap<SignatureId, usize>,
    chains: Vec<Chain>,
}

impl Signatures {
    /// Parses files; what can not be used is left out and told.
    #[must_use]
    pub fn parse(files: &[(&str, &str)], chains: &str) -> (Self, Vec<SignatureError>) {
        let (mut set, mut errors) = (Self::default(), Vec::new());
        for (name, text) in files.iter().copied().chain([("chains", chains)]) {
            match toml::from_str::<File>(text) {
                Ok(file) => {
                    file.signature.into_iter().for_each(|entry| errors.extend(set.add(entry).err()));
                    set.chains.extend(file.chain);
                }
                Err(source) => errors.push(SignatureError::Form { file: name.to_owned(), source }),
            }
        }
        errors.extend(set.dangling());
        (set, errors)
    }

    fn add(&mut self, mut entry: Signature) -> Result<(), SignatureError> {
        let regex = compile(&entry.pattern);
        entry.regex = Some(regex.map_err(|source| SignatureError::Pattern { id: entry.id.clone(), source })?);
        if self.places.contains_key(&entry.id) {
            return Err(SignatureError::Twice(entry.id));
        }
        self.places.insert(entry.id.clone(), self.all.len());
        self.all.push(entry);
        Ok(())
    }

    /// Names that lead nowhere.
    fn dangling(&self) -> Vec<SignatureError> {
        let mut named: Vec<(String, &SignatureId)> = Vec::new();
        for signature in &self.all {
            named.extend(signature.also.iter().map(|id| (signature.id.to_string(), id)));
            named.extend(signature.rules.iter().filter_map(|rule| match &rule.when {
                When::Share { of, .. } => Some((signature.id.to_string(), of)),
                When::Count { .. } | When::Value { .. } | When::Text { .. } | When::Lasts { .. } => None,
            }));
        }
        for chain in &self.chains {
            named.extend(chain.root.iter().chain(&chain.followers).map(|id| ("a chain".to_owned(), id)));
        }
        let lost = named.into_iter().filter(|(_, id)| !self.places.contains_key(id));
        lost.map(|(by, id)| SignatureError::Unknown { by, id: id.clone() }).collect()
    }

    /// All of them, in the order of the reference.
    #[must_use]
    pub fn all(&self) -> &[Signature] {
        &self.all
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, id: &SignatureId) -> Option<&Signature> {
        self.places.get(id).and_then(|place| self.all.get(*place))
    }

    /// What explains what.
    #[must_use]
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_set_can_be_used() {
        let (set, errors) = Signatures::parse(&FILES, CHAINS);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!((set.all().len(), set.chains().len()), (175, 10));
    }

    #[test]
    fn captures_that_rules_name_are_there() {
        for signature in SIGNATURES.all() {
            let groups = signature.regex.as_ref().unwrap().captures_len() - 1;
            for rule in &signature.rules {
                let capture = match &rule.when {
                    When::Count { per, .. } => *per,
                    When::Value { capture, .. } | When::Text { capture, .. } => Some(*capture),
                    When::Lasts { .. } | When::Share { .. } => None,
                };
                assert!(capture.is_none_or(|n| (1..=groups).contains(&n)), "{}: {rule:?}", signature.id);
                assert!(rule.severity > signature.severity, "{}: {rule:?} raises nothing", signature.id);
            }
        }
    }

    #[test]
    fn wrong_entries_are_left_out_and_told() {
        let entry = |id: &str, pattern: &str, more: &str| {
            format!(
                "[[signature]]\nid = \"{id}\"\nfiles = [\"gc\"]\npattern = '{pattern}'\nmeaning = \"m\"\nseverity = \"warn\"\n\
                 advice = \"a\"\nfound_in = \"f\"\nexample = \"e\"\n{more}\n"
            )
        };
        let text = entry("A", "a", "also = [\"C\"]") + &entry("B", "(", "") + &entry("A", "b", "");
        let chain = "[[chain]]\nroot = [\"A\"]\nfollowers = [\"D\"]\nwithin_s = 1\ntell = \"t\"";
        let (set, errors) = Signatures::parse(&[("f", &text), ("g", "[[signature]]\nidd = 1")], chain);
        assert_eq!(set.all().iter().map(|s| s.pattern.as_str()).collect::<Vec<_>>(), ["a"]);
        let told: Vec<String> =
            errors.iter().map(|error| error.to_string().lines().next().unwrap_or_default().to_owned()).collect();
        assert_eq!(
            told,
            [
                "signature B has a pattern that can not be compiled: regex parse error:",
                "signature A stands twice",
                "g can not be read: TOML parse error at line 2, column 1",
                "A names the signature C, which does not exist",
                "a chain names the signature D, which does not exist",
            ]
        );
    }
}
