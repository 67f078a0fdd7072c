//! Readings: what was measured, by whom, from what source, and what could not be.
//!
//! A collector makes readings, never judgements; the keys that it may use stand in [`crate::readings`].

use crate::object::Part;
use jiff::Timestamp;
use kfleet_model::snapshot::ClusterSnapshot;
use kfleet_model::{BrokerId, ClusterName, FleetName, HostName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A value that was read. In JSON the kind is the outer key: `{"percent": 71.2}` would name a unit twice, so it is
/// `{"float": 71.2}` and the key's definition has the unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Datum {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A moment.
    Time(Timestamp),
    /// Texts in an order.
    List(Vec<String>),
    /// Several readings of a quantity that moves fast, seconds apart.
    Samples(Vec<f64>),
    /// A number that only grows, until what counts it starts anew.
    Counter(Counter),
    /// Names with whole numbers, such as partitions with their offsets.
    Numbers(BTreeMap<String, i64>),
    /// Names with texts, such as configuration keys with their values.
    Texts(BTreeMap<String, String>),
    /// Partitions with what their consumer had committed, over some minutes.
    Offsets(BTreeMap<String, Vec<OffsetSample>>),
}

impl Datum {
    /// The number, when it is a single one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(crate::history::float(*value)),
            Self::Float(value) => Some(*value),
            Self::Flag(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::List(_)
            | Self::Samples(_)
            | Self::Counter(_)
            | Self::Numbers(_)
            | Self::Texts(_)
            | Self::Offsets(_) => None,
        }
    }

    /// The kind, for messages and for the table of keys.
    #[must_use]
    pub fn kind(&self) -> DatumKind {
        match self {
            Self::Flag(_) => DatumKind::Flag,
            Self::Int(_) => DatumKind::Int,
            Self::Float(_) => DatumKind::Float,
            Self::Text(_) => DatumKind::Text,
            Self::Time(_) => DatumKind::Time,
            Self::List(_) => DatumKind::List,
            Self::Samples(_) => DatumKind::Samples,
            Self::Counter(_) => DatumKind::Counter,
            Self::Numbers(_) => DatumKind::Numbers,
            Self::Texts(_) => DatumKind::Texts,
            Self::Offsets(_) => DatumKind::Offsets,
        }
    }
}

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatumKind {
    /// [`Datum::Flag`].
    Flag,
    /// [`Datum::Int`].
    Int,
    /// [`Datum::Float`].
    Float,
    /// [`Datum::Text`].
    Text,
    /// [`Datum::Time`].
    Time,
    /// [`Datum::List`].
    List,
    /// [`Datum::Samples`].
    Samples,
    /// [`Datum::Counter`].
    Counter,
    /// [`Datum::Numbers`].
    Numbers,
    /// [`Datum::Texts`].
    Texts,
    /// [`Datum::Offsets`].
    Offsets,
}

/// A counter as it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// How far it has counted.
    pub value: i64,
    /// What counts: the boot id for the kernel's counters, pid and start time for a process's. Another epoch means that
    /// the counter began again at zero.
    pub epoch: String,
    /// When it began at zero, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// One look at a consumer group's place in a partition. The committed offset is read before the end, so the lag is
/// never negative by the order of the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetSample {
    /// When.
    pub at: Timestamp,
    /// The committed offset; none when nothing was ever committed.
    pub committed: Option<i64>,
    /// The log end offset.
    pub end: i64,
}

/// How a question to a host or cluster ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer.
    Read(Datum),
    /// No answer; what depends on it is unknown, and unknown is never ok.
    Unreadable {
        /// Why: no access, timeout, a form that was not understood.
        why: String,
    },
    /// The thing does not exist here (no swap, no such kernel feature, no service), so nothing can be wrong with it.
    NotHere {
        /// How that is known.
        why: String,
    },
}

/// How much a source is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A guess from something near it.
    Low,
    /// A later rung of the ladder of sources: derived, or told by a tool's output.
    Medium,
    /// The source of truth itself.
    #[default]
    High,
}

/// What reading costed the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Processor time.
    pub cpu_ms: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Time by the clock on the wall.
    pub wall_ms: u64,
}

/// One thing that was read, or could not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its key in [`crate::readings::KEYS`], such as `os.thp.enabled`.
    pub key: String,
    /// The part of the host or cluster that it is about; none for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// What came of it.
    pub outcome: Outcome,
    /// Where it was read: the rung of the ladder of sources, such as a path or the name of a request.
    pub source: String,
    /// How much that source is to be trusted.
    #[serde(default)]
    pub confidence: Confidence,
    /// When.
    pub taken_at: Timestamp,
    /// What it costed, where that was measured alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Raw lines that show it, bounded and with secrets masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl Reading {
    /// A reading of a whole host or cluster from its best source.
    #[must_use]
    pub fn new(key: &str, datum: Datum, source: impl Into<String>, taken_at: Timestamp) -> Self {
        Self::of(key, Outcome::Read(datum), source, taken_at)
    }

    /// The same for any outcome.
    #[must_use]
    pub fn of(key: &str, outcome: Outcome, source: impl Into<String>, taken_at: Timestamp) -> Self {
        Self {
            key: key.to_owned(),
            part: None,
            outcome,
            source: source.into(),
            confidence: Confidence::High,
            taken_at,
            cost: None,
            evidence: Vec::new(),
        }
    }

    /// The same of a part.
    #[must_use]
    pub fn at(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    /// The same with less trust.
    #[must_use]
    pub fn trusted(self, confidence: Confidence) -> Self {
        Self { confidence, ..self }
    }

    /// The same with lines that show it.
    #[must_use]
    pub fn shown_by(self, evidence: Vec<String>) -> Self {
        Self { evidence, ..self }
    }
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It runs a Kafka broker.
    KafkaBroker,
    /// It runs a KRaft controller, alone or in the broker's process.
    KraftController,
    /// It runs a ZooKeeper server.
    Zookeeper,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::KafkaBroker, Self::KraftController, Self::Zookeeper];

    /// Its name, in data and in `inspection.yml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KafkaBroker => "kafka_broker",
            Self::KraftController => "kraft_controller",
            Self::Zookeeper => "zookeeper",
        }
    }
}

/// What one agent read of its host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostReadings {
    /// The host.
    pub host: HostName,
    /// What it is for; empty for a host without Kafka or ZooKeeper.
    #[serde(default)]
    pub roles: BTreeSet<Role>,
    /// The clusters and ensembles that it belongs to.
    #[serde(default)]
    pub clusters: BTreeSet<ClusterName>,
    /// Labels of the inventory, for thresholds and failure domains.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When the reading began.
    pub when: Timestamp,
    /// What all of it costed.
    #[serde(default)]
    pub cost: Cost,
    /// The readings.
    pub readings: Vec<Reading>,
}

/// What a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterKind {
    /// Kafka with its metadata in ZooKeeper.
    KafkaZk,
    /// Kafka with a metadata quorum of its own.
    KafkaKraft,
    /// A ZooKeeper ensemble.
    Zookeeper,
}

/// A cluster as one of its members described it, or why it did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The member's host.
    pub host: HostName,
    /// When it was asked.
    pub taken_at: Timestamp,
    /// Which of the rounds of questions: members are asked at least twice, some seconds apart, so that what passes in a
    /// moment is told from what stays. From 0.
    #[serde(default)]
    pub round: u32,
    /// Its answer.
    pub answer: Answer,
}

/// What came of asking a member for its view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Its view.
    Snapshot(Box<ClusterSnapshot>),
    /// It gave none.
    None {
        /// Why.
        why: String,
    },
}

/// What was read of one cluster, by the member that was chosen for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterReadings {
    /// The cluster.
    pub cluster: ClusterName,
    /// What it is.
    pub kind: ClusterKind,
    /// When the reading began.
    pub when: Timestamp,
    /// The brokers or ZooKeeper servers that the inventory names, with their hosts; controllers that are no brokers are not
    /// among them.
    pub members: BTreeMap<BrokerId, HostName>,
    /// What each member answered, in each round.
    pub views: Vec<View>,
    /// Labels of topics.
    #[serde(default)]
    pub topic_labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Labels of consumer groups.
    #[serde(default)]
    pub group_labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What all of it costed.
    #[serde(default)]
    pub cost: Cost,
    /// Everything that is not a snapshot: offsets, settings, groups.
    pub readings: Vec<Reading>,
}

/// What one member read of its cluster for all: all of [`ClusterReadings`] but for what the controller knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterPart {
    /// When the reading began.
    pub when: Timestamp,
    /// What it costed the member's host.
    #[serde(default)]
    pub cost: Cost,
    /// The readings.
    pub readings: Vec<Reading>,
}

/// A host that was expected and gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingHost {
    /// The host.
    pub host: HostName,
    /// Why: not reachable, late, an agent without this ability.
    pub why: String,
}

/// Everything that one inspection read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetReadings {
    /// The fleet.
    pub fleet: FleetName,
    /// Hosts that answered.
    pub hosts: Vec<HostReadings>,
    /// Hosts that did not.
    #[serde(default)]
    pub missing: Vec<MissingHost>,
    /// Clusters.
    #[serde(default)]
    pub clusters: Vec<ClusterReadings>,
    /// What the controller read itself.
    #[serde(default)]
    pub readings: Vec<Reading>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::PartKind;

    #[test]
    fn a_reading_has_a_stable_form_and_reads_back() {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let reading =
            Reading::new("disk.used", Datum::Float(71.5), "statvfs", at).at(Part::new(PartKind::Volume, "/d"));
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(
            text,
            r#"{"key":"disk.used","part":"volume:/d","outcome":{"read":{"float":71.5}},"source":"statvfs","confidence":"high","taken_at":"2026-01-02T03:04:05Z"}"#
        );
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
        let unreadable = Reading::of("disk.used", Outcome::Unreadable { why: "denied".into() }, "statvfs", at);
        let text = serde_json::to_string(&unreadable).unwrap();
        assert!(text.contains(r#""outcome":{"unreadable":{"why":"denied"}}"#), "{text}");
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), unreadable);
    }
}
