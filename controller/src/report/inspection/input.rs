//! What a report shows beside the inspection itself, and how it is to be shown.

use crate::report::Paint;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kfleet_inspect::memory::reading_key;
use kfleet_inspect::reading::Role;
use kfleet_inspect::{Inspection, Object, Unit};
use kfleet_model::{BrokerId, ClusterName, HostName, Reason};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Everything that is on the pages of a report.
#[derive(Debug, Clone, Copy)]
pub struct Pages<'a> {
    /// The result. Every form says what it says, and nothing that it does not.
    pub inspection: &'a Inspection,
    /// Earlier nights, from the history.
    pub trends: &'a Trends,
    /// What could be restarted now.
    pub restart: &'a RestartMatrix,
    /// What was done and what changed since the last inspection, in the order of time.
    pub happenings: &'a [Happening],
}

/// Numbers of earlier nights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trends {
    /// The points of the score.
    pub score: Vec<Night>,
    /// Readings by [`reading_key`].
    pub readings: BTreeMap<String, Series>,
}

impl Trends {
    /// The nights of a reading.
    #[must_use]
    pub fn of(&self, key: &str, object: &Object) -> Option<&Series> {
        self.readings.get(&reading_key(key, object))
    }
}

/// A reading over nights.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What its numbers count.
    pub unit: Unit,
    /// The nights, the oldest first.
    pub nights: Vec<Night>,
}

/// A number of one night.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Night {
    /// When it was inspected.
    pub at: Timestamp,
    /// The number; none for a night without this reading, which is shown as a gap.
    pub value: Option<f64>,
}

/// Which members of which clusters could be restarted now, by the rules of a roll.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RestartMatrix {
    /// The clusters by their names.
    pub clusters: BTreeMap<ClusterName, ClusterRestart>,
}

/// One cluster or ensemble of the matrix.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterRestart {
    /// Its members.
    pub members: Vec<Member>,
    /// Whether the cluster would stand the loss of all members with a rack; empty when no member has one.
    pub racks: BTreeMap<String, Restartable>,
}

impl ClusterRestart {
    /// Whether it would stand the loss of any one member: no when it would not for one, unknown when that is not known
    /// for one.
    #[must_use]
    pub fn any_member(&self) -> Restartable {
        let of =
            |wanted: fn(&Restartable) -> bool| self.members.iter().map(|member| &member.restart).find(|r| wanted(r));
        let no = of(|restart| matches!(restart, Restartable::No(_)));
        let unknown = || of(|restart| matches!(restart, Restartable::Unknown(_)));
        let nobody = || if self.members.is_empty() { Restartable::Unknown(Vec::new()) } else { Restartable::Yes };
        no.or_else(unknown).cloned().unwrap_or_else(nobody)
    }
}

/// A member of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its id in the cluster.
    pub node: BrokerId,
    /// Its host.
    pub host: HostName,
    /// What it is there.
    pub role: Role,
    /// Its rack or zone.
    pub rack: Option<String>,
    /// The answer.
    pub restart: Restartable,
}

/// Whether something could be taken away without harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Restartable {
    /// It could.
    Yes,
    /// It could not.
    No(Vec<Reason>),
    /// Too little was seen to say so, which means no to whoever acts.
    Unknown(Vec<Reason>),
}

/// Something that was done or that changed since the last inspection.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// When; none when only the two nights are known between which it was.
    pub at: Option<Timestamp>,
    /// What kind of thing.
    pub kind: HappeningKind,
    /// What it is about.
    pub object: Object,
    /// What, with the old and the new value.
    pub what: String,
}

/// The kinds of what happens between two inspections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HappeningKind {
    /// A setting of a file or a running process.
    Config,
    /// A package or release.
    Package,
    /// A managed file.
    File,
    /// A process or host began anew.
    Restart,
    /// Leaders or the active controller moved.
    Leadership,
    /// A topic was made, changed or deleted.
    Topic,
    /// A binding of the access control lists.
    Acl,
    /// An operation of kfleet.
    Operation,
}

/// The languages of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// Its tag as HTML wants it.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;
    fn from_str(text: &str) -> Result<Self, UnknownLanguage> {
        match text {
            "en" => Ok(Self::English),
            "zh" => Ok(Self::Chinese),
            other => Err(UnknownLanguage(other.to_owned())),
        }
    }
}

/// No language of a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a report speaks \"en\" or \"zh\", not {0:?}")]
pub struct UnknownLanguage(pub String);

/// How a report is to be shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// The language; of the HTML page the one that it opens in.
    pub language: Language,
    /// The fleet's time zone, shown beside UTC.
    pub zone: Option<TimeZone>,
    /// Colours of the terminal.
    pub paint: Paint,
    /// How many findings of one check the terminal and Markdown show.
    pub rows: usize,
}

impl Default for Options {
    /// English, UTC only, without colours, 20 findings of a check.
    fn default() -> Self {
        Self { language: Language::English, zone: None, paint: Paint::plain(), rows: 20 }
    }
}
