//! The catalogue: every check of the inspection, as data.
//!
//! One file an area under `catalogue/`, embedded and parsed once. A check that kfleet can not judge yet stands there
//! too, as `built = false`, so that the generated reference says so. Ids are stable for ever and never used twice.

mod entry;

use crate::condition::{Condition, Limit, Op};
use crate::reading::{ClusterKind, Role};
use crate::readings::Scope;
use entry::Entry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// The files, in the order of the reference.
const FILES: [(&str, &str); 18] = [
    ("os", include_str!("../catalogue/os.toml")),
    ("sysctl", include_str!("../catalogue/sysctl.toml")),
    ("limits", include_str!("../catalogue/limits.toml")),
    ("disk", include_str!("../catalogue/disk.toml")),
    ("net", include_str!("../catalogue/net.toml")),
    ("clock", include_str!("../catalogue/clock.toml")),
    ("jvm", include_str!("../catalogue/jvm.toml")),
    ("cfg", include_str!("../catalogue/cfg.toml")),
    ("broker", include_str!("../catalogue/broker.toml")),
    ("topic", include_str!("../catalogue/topic.toml")),
    ("group", include_str!("../catalogue/group.toml")),
    ("zk", include_str!("../catalogue/zk.toml")),
    ("kraft", include_str!("../catalogue/kraft.toml")),
    ("sec", include_str!("../catalogue/sec.toml")),
    ("logs", include_str!("../catalogue/logs.toml")),
    ("cap", include_str!("../catalogue/cap.toml")),
    ("dr", include_str!("../catalogue/dr.toml")),
    ("fleet", include_str!("../catalogue/fleet.toml")),
];

/// [`Check::exit`] of a check that says nothing else.
pub const EXIT_PERCENT: f64 = 10.0;

/// The catalogue that kfleet ships with. An embedded file that can not be parsed is left out of it; a test fails then.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(&FILES).0);

/// A check's id, such as `os.thp`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckId(String);

impl CheckId {
    /// An id as it stands in a catalogue or a document.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first dot.
    #[must_use]
    pub fn area(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::borrow::Borrow<str> for CheckId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A text in both languages of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bilingual {
    /// English.
    pub en: String,
    /// Chinese; may be missing for a check that is not built.
    #[serde(default)]
    pub zh: String,
}

/// Where a check of Kafka applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Where ZooKeeper keeps the metadata, and on ZooKeeper itself.
    Zk,
    /// Where a metadata quorum does.
    Kraft,
    /// Kafka in either mode.
    Both,
    /// Any host.
    Any,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zk => "zk",
            Self::Kraft => "kraft",
            Self::Both => "both",
            Self::Any => "any",
        }
    }
}

/// The sets of checks that a rolling operation may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateSet {
    /// Before a broker is stopped.
    BeforeBrokerStop,
    /// After it was started.
    AfterBrokerStart,
    /// Before a ZooKeeper server is stopped.
    BeforeZookeeperStop,
    /// After it was started.
    AfterZookeeperStart,
    /// Around a KRaft voter.
    AroundVoter,
}

impl GateSet {
    /// Every set.
    pub const ALL: [Self; 5] = [
        Self::BeforeBrokerStop,
        Self::AfterBrokerStart,
        Self::BeforeZookeeperStop,
        Self::AfterZookeeperStart,
        Self::AroundVoter,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeBrokerStop => "before_broker_stop",
            Self::AfterBrokerStart => "after_broker_start",
            Self::BeforeZookeeperStop => "before_zookeeper_stop",
            Self::AfterZookeeperStart => "after_zookeeper_start",
            Self::AroundVoter => "around_voter",
        }
    }
}

/// What of a check a maintenance window can explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excuse {
    /// Something that happened since the last inspection: any window in that time explains it.
    Event,
    /// Something that is so now: only a window that is open explains it.
    State,
}

/// A check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// What it looks at.
    pub title: Bilingual,
    /// The source of truth.
    pub reads: String,
    /// The conditions in words, as the specification has them: for warn and for crit; `-` for none.
    pub said: (String, String),
    /// Why it matters.
    pub why: Bilingual,
    /// What to do.
    pub advice: Bilingual,
    /// A command that would do it; `{host}`, `{cluster}` and `{part}` stand for the object's.
    pub fix: Option<String>,
    /// Where the thresholds come from.
    pub from: String,
    /// Where it applies.
    pub mode: Mode,
    /// kfleet can judge it.
    pub built: bool,
    /// It is of the set that is readable without JMX.
    pub core: bool,
    /// The gates that it belongs to.
    pub gates: Vec<GateSet>,
    /// Whose readings it judges at a time.
    pub scope: Scope,
    /// The roles of hosts that it applies to; empty for all hosts.
    pub roles: Vec<Role>,
    /// The kinds of clusters that it applies to; empty for all.
    pub kinds: Vec<ClusterKind>,
    /// Only parts that fit one of these patterns, such as `process:kafka`; empty for all parts.
    pub parts: Vec<String>,
    /// Every key that it reads.
    pub readings: Vec<String>,
    /// The rule that judges it, when no comparison can.
    pub rule: Option<String>,
    /// When it is a warning: any of these.
    pub warn: Vec<Condition>,
    /// When it is critical: any of these.
    pub crit: Vec<Condition>,
    /// Further numbers that its rule uses, and layers may set.
    pub settings: BTreeMap<String, Limit>,
    /// How far a number must be on the good side of a limit before its state is left, in hundredths of the limit.
    pub exit: f64,
    /// What a maintenance window can explain of it.
    pub excuse: Option<Excuse>,
}

impl Check {
    /// A limit by its name, with the operator that it belongs to; settings have none and take numbers or words.
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<(Option<Op>, &Limit)> {
        let of_conditions = self.warn.iter().chain(&self.crit).filter(|condition| condition.name == name);
        let of_conditions = of_conditions.filter_map(|condition| match &condition.against {
            crate::condition::Operand::Limit(limit) => Some((Some(condition.op), limit)),
            crate::condition::Operand::Nothing | crate::condition::Operand::Reading { .. } => None,
        });
        of_conditions.chain(self.settings.get(name).map(|limit| (None, limit))).next()
    }

    /// The names of all limits that layers may set.
    #[must_use]
    pub fn limit_names(&self) -> Vec<&str> {
        let names = self.warn.iter().chain(&self.crit).map(|condition| condition.name.as_str());
        let mut names: Vec<&str> =
            names.chain(self.settings.keys().map(String::as_str)).filter(|name| self.limit(name).is_some()).collect();
        names.dedup();
        names
    }
}

/// An area of checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Its prefix.
    pub prefix: String,
    /// Its title.
    pub title: Bilingual,
}

/// What is wrong with the data of a catalogue.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CatalogueError {
    /// A file is not of the form.
    #[error("catalogue of the area {area}: {why}")]
    Form {
        /// The area.
        area: String,
        /// What the parser says.
        why: String,
    },
    /// A check says something that can not be.
    #[error("check {check}: {why}")]
    Check {
        /// The check.
        check: String,
        /// What.
        why: String,
    },
}

/// All checks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    /// The areas in their order.
    pub areas: Vec<Area>,
    /// The checks in the order of their files.
    pub checks: Vec<Check>,
    places: BTreeMap<CheckId, usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    area: Bilingual,
    check: Vec<Entry>,
}

impl Catalogue {
    /// Parses files of areas; what is wrong is left out and told.
    #[must_use]
    pub fn parse(files: &[(&str, &str)]) -> (Self, Vec<CatalogueError>) {
        let (mut catalogue, mut errors) = (Self::default(), Vec::new());
        for (prefix, text) in files {
            match toml::from_str::<File>(text) {
                Ok(file) => {
                    catalogue.areas.push(Area { prefix: (*prefix).to_owned(), title: file.area });
                    for entry in file.check {
                        let id = entry.id.clone();
                        let wrong = |why: String| CatalogueError::Check { check: id.clone(), why };
                        if CheckId::new(&*entry.id).area() != *prefix {
                            errors.push(wrong(format!("it stands in the file of {prefix}")));
                        }
                        match entry.check() {
                            Ok(check) => catalogue.add(check, &mut errors),
                            Err(why) => errors.push(wrong(why)),
                        }
                    }
                }
                Err(error) => errors.push(CatalogueError::Form { area: (*prefix).to_owned(), why: error.to_string() }),
            }
        }
        (catalogue, errors)
    }

    fn add(&mut self, check: Check, errors: &mut Vec<CatalogueError>) {
        if self.places.contains_key(&check.id) {
            errors.push(CatalogueError::Check { check: check.id.to_string(), why: "it stands twice".to_owned() });
        }
        self.places.insert(check.id.clone(), self.checks.len());
        self.checks.push(check);
    }

    /// A check by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Check> {
        self.checks.get(*self.places.get(id)?)
    }

    /// The known id that is nearest to a wrong one.
    #[must_use]
    pub fn nearest(&self, id: &str) -> Option<String> {
        kfleet_model::module::nearest(id, self.places.keys().map(CheckId::as_str))
    }

    /// A catalogue of some of the checks, such as those of a gate.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Check) -> bool) -> Self {
        let mut some = Self { areas: self.areas.clone(), ..Self::default() };
        for check in self.checks.iter().filter(|check| keep(check)) {
            some.places.insert(check.id.clone(), some.checks.len());
            some.checks.push(check.clone());
        }
        some
    }

    /// The checks that kfleet can judge.
    pub fn built(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.built)
    }

    /// The checks of a gate, built or not.
    pub fn gate(&self, set: GateSet) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.gates.contains(&set))
    }
}

#[cfg(test)]
mod tests;
