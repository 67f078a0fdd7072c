//! Findings, and the one document that an inspection ends in.
//!
//! Every other form (terminal, HTML, JUnit, SARIF, metrics) is made from [`Inspection`]. The same readings give the same
//! document to the byte: lists are sorted, maps have an order, and the time stands in `run` only as it was given.

use crate::catalogue::{Bilingual, CheckId};
use crate::layers::Layer;
use crate::memory::Memory;
use crate::object::Object;
use crate::reading::{Confidence, Cost};
use crate::unit::Quantity;
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema of [`Inspection`]. A reader refuses a document of another one; within one schema only fields are added.
pub const SCHEMA: &str = "kfleet-inspection/1";

/// How many lines of evidence a finding has at most.
pub const EVIDENCE: usize = 20;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was read and is well.
    Ok,
    /// It does not apply here.
    Skip,
    /// Worth knowing.
    Info,
    /// Wrong, and explained by a recorded maintenance window.
    Expected,
    /// Wrong, and accepted by a person until a date.
    Waived,
    /// It could not be read. Never taken for ok.
    Unknown,
    /// It needs a look.
    Warn,
    /// It needs a hand.
    Crit,
}

impl State {
    /// Every state, the mildest first.
    pub const ALL: [Self; 8] =
        [Self::Ok, Self::Skip, Self::Info, Self::Expected, Self::Waived, Self::Unknown, Self::Warn, Self::Crit];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Info => "info",
            Self::Expected => "expected",
            Self::Waived => "waived",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Crit => "crit",
        }
    }

    /// Its name in Chinese.
    #[must_use]
    pub fn name_zh(self) -> &'static str {
        match self {
            Self::Ok => "正常",
            Self::Skip => "不适用",
            Self::Info => "提示",
            Self::Expected => "预期内",
            Self::Waived => "已豁免",
            Self::Unknown => "未知",
            Self::Warn => "警告",
            Self::Crit => "严重",
        }
    }

    /// It counts for the verdict.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Unknown | Self::Warn | Self::Crit => true,
            Self::Ok | Self::Skip | Self::Info | Self::Expected | Self::Waived => false,
        }
    }
}

/// The level of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// [`State::Warn`].
    Warn,
    /// [`State::Crit`].
    Crit,
}

impl Level {
    /// The state that it leads to.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Warn => State::Warn,
            Self::Crit => State::Crit,
        }
    }
}

/// What was read, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// A number with its unit.
    Number(Quantity),
    /// A text.
    Text(String),
    /// Texts.
    List(Vec<String>),
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(list) => f.write_str(&list.join(", ")),
        }
    }
}

/// The threshold that a reading crossed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// Its level.
    pub level: Level,
    /// The name by which `inspection.yml` sets it, such as `warn`; none for what can not be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The condition, such as `> 75 %`.
    pub condition: String,
    /// Which layer decided its value.
    pub layer: Layer,
}

/// How a finding stands against the last inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there, or was well.
    New,
    /// It was there and milder.
    Worse,
    /// It is as it was.
    Unchanged,
    /// It was there and worse.
    Better,
    /// It was there, and the same thing is well now.
    Fixed,
    /// It was there, and the thing that it was about is gone or no longer looked at.
    Gone,
    /// It was there, and its host gave nothing this time.
    Unseen,
}

/// A check of an object, which is what a finding is known by over nights.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The check.
    pub check: CheckId,
    /// What it is about.
    pub object: Object,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.check, self.object)
    }
}

/// A state that changes often.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Unstable {
    /// How often it changed.
    pub changes: u32,
    /// In how many inspections.
    pub nights: u32,
    /// The weighted share of changes, later ones counting more.
    pub percent: f64,
}

/// Something that is not ok.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub check: CheckId,
    /// What it is about.
    pub object: Object,
    /// How it counts.
    pub state: State,
    /// What the readings alone say: a finding that is waived or expected is still warn or crit here.
    pub judged: State,
    /// What was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Shown>,
    /// The threshold that it crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Fired>,
    /// Why it is unknown, or what the rule found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Raw lines or values that show it; at most [`EVIDENCE`], the last says how many more there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Where the reading came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How much that source is to be trusted.
    pub confidence: Confidence,
    /// Since when it has not been ok.
    pub since: Timestamp,
    /// How it stands against the last inspection.
    pub change: Change,
    /// The reading is on the good side of its limit and not yet far or long enough to leave the state.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recovering: bool,
    /// Its state changes often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unstable: Option<Unstable>,
    /// The finding that explains this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Subject>,
    /// How many findings this one explains.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub explains: u32,
    /// Who accepted it, until when, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<String>,
    /// The maintenance window that explains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Who has seen it and wants no notice until it gets worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
    /// What the check looks at.
    pub title: Bilingual,
    /// Why it matters.
    pub why: Bilingual,
    /// What to do.
    pub advice: Bilingual,
    /// A command that would do it, with a dry run; never run by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Finding {
    /// What it is known by.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject { check: self.check.clone(), object: self.object.clone() }
    }
}

/// A finding of the last inspection that is no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cleared {
    /// The check.
    pub check: CheckId,
    /// What it was about.
    pub object: Object,
    /// How it stood.
    pub was: State,
    /// [`Change::Fixed`], [`Change::Gone`] or [`Change::Unseen`].
    pub change: Change,
    /// How long it had been there.
    pub since: Timestamp,
    /// What the check looks at.
    pub title: Bilingual,
}

/// Something that a check could not be applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What.
    pub object: Object,
    /// Why.
    pub why: String,
}

/// The run: everything that may differ when the same readings are judged again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it was judged.
    pub judged_at: Timestamp,
    /// The last inspection that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<Timestamp>,
    /// The sum of what reading costed the hosts.
    pub cost: Cost,
    /// What it costed each host.
    pub cost_by_host: BTreeMap<HostName, Cost>,
}

/// How much was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Hosts that were expected.
    pub hosts_expected: u32,
    /// Hosts that answered.
    pub hosts_seen: u32,
    /// Hosts that did not, with the reason.
    pub missing: BTreeMap<HostName, String>,
    /// Checks in the catalogue.
    pub checks: u32,
    /// Checks that kfleet can judge.
    pub built: u32,
    /// Built checks that applied to something and were judged.
    pub ran: u32,
    /// Judgements of a check on an object.
    pub judgements: u32,
    /// Of these, how many could not be made.
    pub unknown: u32,
    /// Of these, how many did not apply.
    pub skipped: u32,
}

/// What one area took from the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AreaScore {
    /// The area's prefix.
    pub area: String,
    /// Findings that are crit, less those that another one explains.
    pub crit: u32,
    /// The same for warn.
    pub warn: u32,
    /// The same for unknown.
    pub unknown: u32,
    /// The sum of their penalties.
    pub penalty: u32,
    /// What was taken: the penalty, capped.
    pub taken: u32,
}

/// The score, with its arithmetic. It never hides a crit: the verdict comes first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 100 less what the areas took, never below 0.
    pub points: u32,
    /// What each area took.
    pub areas: Vec<AreaScore>,
    /// Waived findings, which took nothing.
    pub waived: u32,
    /// Expected findings, which took nothing.
    pub expected: u32,
}

/// A waiver that ends soon or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverNotice {
    /// The check of the waiver.
    pub check: String,
    /// Its selector.
    pub object: String,
    /// Its owner.
    pub owner: String,
    /// When it ends or ended.
    pub expires: Timestamp,
    /// It has ended, and what it covered counts again.
    pub expired: bool,
    /// It covers nothing any more.
    pub unused: bool,
}

/// When a growing reading will reach its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// What grows.
    pub object: Object,
    /// The key of the reading.
    pub key: String,
    /// The latest value.
    pub now: Quantity,
    /// What it will reach.
    pub limit: Quantity,
    /// By how much it grows in a day.
    pub per_day: Quantity,
    /// The most likely moment.
    pub reached: Timestamp,
    /// The earliest moment that is likely; the band holds the middle half of the slopes.
    pub earliest: Timestamp,
    /// The latest; none when the slower slopes never reach it.
    pub latest: Option<Timestamp>,
    /// How many nights it rests on.
    pub nights: u32,
}

/// A reading far from what is normal for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What it is about.
    pub object: Object,
    /// The key of the reading.
    pub key: String,
    /// The reading.
    pub value: Quantity,
    /// What is normal.
    pub median: Quantity,
    /// How far it is, in robust standard deviations.
    pub z: f64,
    /// What is normal was taken from this.
    pub against: Against,
}

/// What an anomaly is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Its own earlier nights.
    History,
    /// The same reading of hosts with the same roles.
    Peers,
}

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// [`SCHEMA`].
    pub schema: String,
    /// The fleet.
    pub fleet: FleetName,
    /// What may differ between two judgements of the same readings.
    pub run: Run,
    /// The worst state that counts.
    pub verdict: State,
    /// Findings by state.
    pub counts: BTreeMap<State, u32>,
    /// The score.
    pub score: Score,
    /// How much was seen.
    pub coverage: Coverage,
    /// Everything that is not ok, the worst first.
    pub findings: Vec<Finding>,
    /// What was a finding last time.
    pub cleared: Vec<Cleared>,
    /// Waivers that end within days, have ended, or cover nothing.
    pub waivers: Vec<WaiverNotice>,
    /// When growing readings reach their limits, the earliest first.
    pub forecasts: Vec<Forecast>,
    /// Readings far from normal: worth a look, never part of the verdict.
    pub anomalies: Vec<Anomaly>,
    /// What each check found well.
    pub passed: BTreeMap<CheckId, Vec<Object>>,
    /// What each check could not be applied to.
    pub skipped: BTreeMap<CheckId, Vec<Skipped>>,
    /// What the next inspection needs of this one.
    pub memory: Memory,
}

impl Inspection {
    /// The exit code: 0 ok, 1 warn, 2 crit, 3 unknown, which is the order of Nagios.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            State::Ok | State::Skip | State::Info | State::Expected | State::Waived => 0,
            State::Warn => 1,
            State::Crit => 2,
            State::Unknown => 3,
        }
    }
}
