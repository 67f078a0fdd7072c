//! Inspections and settings for the tests of this room.

use super::fields::{Outside, Privacy};
use super::settings::{Notify, read};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::finding::{Change, Coverage, Fired, Run, SCHEMA, Score, Shown, Unstable};
use kfleet_inspect::{
    Bilingual, CheckId, Cleared, Confidence, Cost, Finding, Inspection, Layer, Level, Memory, Quantity, State, Unit,
};
use kfleet_model::FleetName;
use std::collections::BTreeMap;
use std::path::Path;

/// The night of a number: two in the morning, day after day.
pub(super) fn night(number: i64) -> Timestamp {
    "2026-03-01T02:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * number)
}

pub(super) fn fleet() -> FleetName {
    FleetName::new("prod").unwrap()
}

fn both(en: &str, zh: &str) -> Bilingual {
    Bilingual { en: en.to_owned(), zh: zh.to_owned() }
}

pub(super) fn finding(check: &str, object: &str, state: State) -> Finding {
    Finding {
        check: CheckId::new(check),
        object: object.parse().unwrap(),
        state,
        judged: state,
        reading: Some(Shown::Number(Quantity { value: 91.0, unit: Unit::Percent })),
        threshold: Some(Fired {
            level: Level::Crit,
            limit: Some("crit".to_owned()),
            condition: "> 85 %".to_owned(),
            layer: Layer::BuiltIn,
        }),
        note: None,
        evidence: vec!["a raw line of the host".to_owned()],
        source: None,
        confidence: Confidence::High,
        since: night(0),
        change: Change::Unchanged,
        recovering: false,
        unstable: None,
        cause: None,
        explains: 0,
        waiver: None,
        window: None,
        acknowledged: None,
        title: both("Used share of volumes", "卷使用率"),
        why: both("a full log dir takes the broker offline", "日志目录写满会使 Broker 离线"),
        advice: both("cut retention, grow volume", "缩短保留时间,扩容"),
        fix: None,
    }
}

pub(super) fn unstable(finding: Finding) -> Finding {
    Finding { unstable: Some(Unstable { changes: 6, nights: 10, percent: 40.0 }), ..finding }
}

pub(super) fn cleared(check: &str, object: &str, was: State, change: Change) -> Cleared {
    let of = finding(check, object, was);
    Cleared { check: of.check, object: of.object, was, change, since: of.since, title: of.title }
}

pub(super) fn inspection(at: Timestamp, findings: Vec<Finding>) -> Inspection {
    let mut counts = BTreeMap::new();
    for finding in &findings {
        *counts.entry(finding.state).or_insert(0) += 1;
    }
    let verdict = findings.iter().map(|finding| finding.state).filter(|state| state.counts()).max();
    Inspection {
        schema: SCHEMA.to_owned(),
        fleet: fleet(),
        run: Run { judged_at: at, compared_with: None, cost: Cost::default(), cost_by_host: BTreeMap::new() },
        verdict: verdict.unwrap_or(State::Ok),
        counts,
        score: Score { points: 87, areas: Vec::new(), waived: 0, expected: 0 },
        coverage: Coverage { hosts_expected: 3, hosts_seen: 3, ..Coverage::default() },
        findings,
        cleared: Vec::new(),
        waivers: Vec::new(),
        forecasts: Vec::new(),
        anomalies: Vec::new(),
        passed: BTreeMap::new(),
        skipped: BTreeMap::new(),
        memory: Memory::default(),
    }
}

/// Files and variables of a test.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) files: BTreeMap<&'static str, (String, Option<Privacy>)>,
    pub(super) env: BTreeMap<&'static str, &'static str>,
}

impl Outside for Fake {
    fn file(&self, path: &Path) -> std::io::Result<(String, Privacy)> {
        let found = path.to_str().and_then(|path| self.files.get(path)).cloned();
        let (text, privacy) = found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Ok((text, privacy.unwrap_or(Privacy::Owner)))
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|value| (*value).to_owned())
    }
}

/// Settings that must be valid.
pub(super) fn notify(text: &str, outside: &Fake) -> Notify {
    let loaded = read(text, Privacy::Owner, outside);
    loaded.notify.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}
