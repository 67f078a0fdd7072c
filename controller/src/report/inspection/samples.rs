//! Invented inspections: what the tests of the forms read, and what a person looks at who changes the page.
//!
//! They are built as the judge builds them: sorted, counted, with the texts of the catalogue.

#![expect(
    clippy::unwrap_used,
    reason = "everything here is a constant; a wrong one fails the first test that reads it"
)]

use super::{
    ClusterRestart, Happening, HappeningKind, Member, Night, Pages, RestartMatrix, Restartable, Series, Trends,
};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::finding::{
    Against, Anomaly, AreaScore, Change, Coverage, Fired, Forecast, Run, SCHEMA, Score, Shown, Skipped, Unstable,
    WaiverNotice,
};
use kfleet_inspect::memory::{Remembered, reading_key};
use kfleet_inspect::reading::Role;
use kfleet_inspect::{
    Bilingual, CATALOGUE, CheckId, Cleared, Confidence, Cost, Counter, Datum, Finding, Inspection, Layer, Level,
    Memory, Object, Quantity, State, Subject, Unit,
};
use kfleet_model::{BrokerId, ClusterName, FleetName, HostName, Reason, TopicPartition};
use std::collections::BTreeMap;

/// An inspection with what is shown beside it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// A name for files.
    pub name: &'static str,
    /// The document.
    pub inspection: Inspection,
    /// Earlier nights.
    pub trends: Trends,
    /// What could be restarted.
    pub restart: RestartMatrix,
    /// What happened.
    pub happenings: Vec<Happening>,
}

impl Sample {
    /// As the forms take it.
    #[must_use]
    pub fn pages(&self) -> Pages<'_> {
        Pages {
            inspection: &self.inspection,
            trends: &self.trends,
            restart: &self.restart,
            happenings: &self.happenings,
        }
    }
}

/// Every sample.
#[must_use]
pub fn all() -> Vec<Sample> {
    vec![healthy(), bad_night(), half_missing(), hostile(), huge(5_000)]
}

/// 18:30 in UTC is 02:30 of the next day in Shanghai.
#[must_use]
pub fn night() -> Timestamp {
    Timestamp::constant(1_768_501_800, 0)
}

fn ago(hours: i64) -> Timestamp {
    night() - SignedDuration::from_hours(hours)
}

fn ahead(hours: i64) -> Timestamp {
    night() + SignedDuration::from_hours(hours)
}

fn object(text: &str) -> Object {
    text.parse().unwrap()
}

fn host(name: impl Into<String>) -> HostName {
    HostName::new(name).unwrap()
}

fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

/// A finding of a check of the catalogue, crit or warn by a limit, without anything that the sample does not set.
fn finding(check: &str, about: &str, state: State) -> Finding {
    let known = CATALOGUE.get(check).unwrap();
    Finding {
        check: CheckId::new(check),
        object: object(about),
        state,
        judged: state,
        reading: None,
        threshold: None,
        note: None,
        evidence: Vec::new(),
        source: Some(known.reads.clone()),
        confidence: Confidence::High,
        since: night(),
        change: Change::New,
        recovering: false,
        unstable: None,
        cause: None,
        explains: 0,
        waiver: None,
        window: None,
        acknowledged: None,
        title: known.title.clone(),
        why: known.why.clone(),
        advice: known.advice.clone(),
        fix: known.fix.clone(),
    }
}

fn over(finding: Finding, value: f64, unit: Unit, limit: (Level, &str, Layer)) -> Finding {
    let (level, condition, layer) = limit;
    let limit = Some(match level {
        Level::Warn => "warn".to_owned(),
        Level::Crit => "crit".to_owned(),
    });
    Finding {
        reading: Some(Shown::Number(Quantity::new(value, unit))),
        threshold: Some(Fired { level, limit, condition: condition.to_owned(), layer }),
        ..finding
    }
}

fn since(finding: Finding, hours: i64, change: Change) -> Finding {
    Finding { since: ago(hours), change, ..finding }
}

fn text(finding: Finding, reading: &str, evidence: &[&str]) -> Finding {
    Finding {
        reading: Some(Shown::Text(reading.to_owned())),
        evidence: evidence.iter().map(|line| (*line).to_owned()).collect(),
        ..finding
    }
}

fn fixed_by(finding: Finding, command: &str) -> Finding {
    Finding { fix: Some(command.to_owned()), ..finding }
}

fn caused_by(finding: Finding, check: &str, about: &str) -> Finding {
    Finding { cause: Some(Subject { check: CheckId::new(check), object: object(about) }), ..finding }
}

/// Hosts `kafka-1` to `kafka-12` and `zk-1` to `zk-3`.
fn hosts() -> Vec<HostName> {
    let brokers = (1..=12).map(|n| host(format!("kafka-{n}")));
    brokers.chain((1..=3).map(|n| host(format!("zk-{n}")))).collect()
}

/// What every built check of a host found well on the hosts, less what the findings are about.
fn passed(hosts: &[HostName], findings: &[Finding]) -> BTreeMap<CheckId, Vec<Object>> {
    let found: std::collections::BTreeSet<Subject> = findings.iter().map(Finding::subject).collect();
    let mut passed = BTreeMap::new();
    for check in CATALOGUE.built() {
        let objects = hosts.iter().map(|host| Object::host(host.clone()));
        let well = |object: &Object| !found.contains(&Subject { check: check.id.clone(), object: object.clone() });
        passed.insert(check.id.clone(), objects.filter(well).collect());
    }
    passed
}

fn score(findings: &[Finding]) -> Score {
    let mut areas: BTreeMap<&str, AreaScore> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.cause.is_none() && finding.state.counts()) {
        let area = areas.entry(finding.check.area()).or_insert_with(|| AreaScore {
            area: finding.check.area().to_owned(),
            crit: 0,
            warn: 0,
            unknown: 0,
            penalty: 0,
            taken: 0,
        });
        let (count, penalty) = match finding.state {
            State::Crit => (&mut area.crit, 10),
            State::Warn => (&mut area.warn, 3),
            State::Ok | State::Skip | State::Info | State::Expected | State::Waived | State::Unknown => {
                (&mut area.unknown, 1)
            }
        };
        *count += 1;
        area.penalty += penalty;
        area.taken = area.penalty.min(20);
    }
    let of = |state| u32::try_from(findings.iter().filter(|finding| finding.state == state).count()).unwrap();
    let areas: Vec<AreaScore> = areas.into_values().collect();
    let taken: u32 = areas.iter().map(|area| area.taken).sum();
    Score { points: 100_u32.saturating_sub(taken), areas, waived: of(State::Waived), expected: of(State::Expected) }
}

/// The document that the judge would make of these.
fn inspection(fleet: &str, hosts: &[HostName], missing: &[(&str, &str)], mut findings: Vec<Finding>) -> Inspection {
    findings.sort_by(|a, b| b.state.cmp(&a.state).then(a.check.cmp(&b.check)).then(a.object.cmp(&b.object)));
    let mut counts = BTreeMap::new();
    for finding in &findings {
        *counts.entry(finding.state).or_insert(0) += 1;
    }
    let explained: Vec<Subject> = findings.iter().filter_map(|finding| finding.cause.clone()).collect();
    for finding in &mut findings {
        let subject = finding.subject();
        finding.explains = u32::try_from(explained.iter().filter(|cause| **cause == subject).count()).unwrap();
    }
    let verdict = findings.iter().map(|f| f.state).filter(|state| state.counts()).max().unwrap_or(State::Ok);
    let passed = passed(hosts, &findings);
    let well: usize = passed.values().map(Vec::len).sum();
    let count = |n: usize| u32::try_from(n).unwrap();
    let cost = |n: u64| Cost { cpu_ms: 310 + 17 * n, bytes: 1_800_000 + 70_000 * n, wall_ms: 12_400 + 130 * n };
    let cost_by_host: BTreeMap<HostName, Cost> = hosts.iter().cloned().zip((0..).map(cost)).collect();
    let sum = |of: fn(&Cost) -> u64| cost_by_host.values().map(of).sum();
    Inspection {
        schema: SCHEMA.to_owned(),
        fleet: FleetName::new(fleet).unwrap(),
        run: Run {
            judged_at: night(),
            compared_with: Some(ago(24)),
            cost: Cost { cpu_ms: sum(|c| c.cpu_ms), bytes: sum(|c| c.bytes), wall_ms: sum(|c| c.wall_ms) },
            cost_by_host,
        },
        verdict,
        counts,
        score: score(&findings),
        coverage: Coverage {
            hosts_expected: count(hosts.len() + missing.len()),
            hosts_seen: count(hosts.len()),
            missing: missing.iter().map(|(name, why)| (host(*name), (*why).to_owned())).collect(),
            checks: count(CATALOGUE.checks.len()),
            built: count(CATALOGUE.built().count()),
            ran: count(CATALOGUE.built().count()),
            judgements: count(well + findings.len()),
            unknown: count(findings.iter().filter(|finding| finding.state == State::Unknown).count()),
            skipped: 1,
        },
        findings,
        cleared: Vec::new(),
        waivers: Vec::new(),
        forecasts: Vec::new(),
        anomalies: Vec::new(),
        passed,
        skipped: BTreeMap::from([(
            CheckId::new("kraft.leader"),
            vec![Skipped { object: object("cluster:orders"), why: "its metadata is in ZooKeeper".to_owned() }],
        )]),
        memory: memory(hosts),
    }
}

/// Some readings of every kind that metrics are made of.
fn memory(hosts: &[HostName]) -> Memory {
    let mut memory = Memory::default();
    for (n, host) in (0_u32..).zip(hosts) {
        let mut put = |key: &str, part: &str, datum: Datum| {
            let key = reading_key(key, &object(&format!("host:{host}{part}")));
            memory.readings.insert(key, Remembered { datum, at: night() });
        };
        put("disk.used", "/volume:/data", Datum::Float(41.25 + f64::from(n)));
        put("os.mem.available", "", Datum::Float(37.5));
        let oom = Counter { value: i64::from(n), epoch: "3f1c".to_owned(), since: None };
        put("os.oom_kills", "", Datum::Counter(oom));
        put("disk.readonly", "/volume:/data", Datum::Flag(false));
    }
    memory
}

/// Nights that end in `last`, with a slope and a wave.
fn over_nights(count: u32, last: f64, slope: f64, wave: f64) -> Vec<Night> {
    let one = |n: u32| {
        let back = f64::from(count - 1 - n);
        let value = last - slope * back + wave * ((back * 1.7).sin() - 0.4 * (back * 0.6).cos() + 0.4);
        // One night was not inspected, so the line has a gap.
        Night { at: ago(24 * i64::from(count - 1 - n)), value: (n != 11).then_some(value) }
    };
    (0..count).map(one).collect()
}

fn trends(score: f64) -> Trends {
    let wave = if score > 90.0 { 0.0 } else { 2.0 };
    Trends { score: over_nights(30, score, -0.4, wave), readings: BTreeMap::new() }
}

fn restart(unsafe_node: Option<i32>) -> RestartMatrix {
    let broker = |n: i32| {
        let restart = match unsafe_node {
            Some(node) if node == n => Restartable::No(vec![Reason::UnderReplicated {
                partitions: vec![TopicPartition { topic: "orders".to_owned(), partition: 3 }],
                count: 14,
            }]),
            Some(_) if n == 9 => Restartable::Unknown(vec![Reason::HostUnreachable { host: host("kafka-9") }]),
            Some(_) | None => Restartable::Yes,
        };
        let rack = Some(["az-a", "az-b", "az-c"][usize::try_from(n).unwrap() % 3].to_owned());
        Member { node: BrokerId(n), host: host(format!("kafka-{n}")), role: Role::KafkaBroker, rack, restart }
    };
    let server = |n: i32| Member {
        node: BrokerId(n),
        host: host(format!("zk-{n}")),
        role: Role::Zookeeper,
        rack: None,
        restart: Restartable::Yes,
    };
    let rack = |name: &str| {
        (
            name.to_owned(),
            if unsafe_node.is_some() && name == "az-b" {
                Restartable::No(vec![Reason::Offline {
                    partitions: vec![TopicPartition { topic: "payments".to_owned(), partition: 0 }],
                    count: 1,
                }])
            } else {
                Restartable::Yes
            },
        )
    };
    let orders = ClusterRestart {
        members: (1..=12).map(broker).collect(),
        racks: ["az-a", "az-b", "az-c"].into_iter().map(rack).collect(),
    };
    let ensemble = ClusterRestart { members: (1..=3).map(server).collect(), racks: BTreeMap::new() };
    RestartMatrix { clusters: BTreeMap::from([(cluster("orders"), orders), (cluster("zk-main"), ensemble)]) }
}

/// Nothing is wrong.
#[must_use]
pub fn healthy() -> Sample {
    let mut inspection = inspection("prod-sh", &hosts(), &[], Vec::new());
    let titled = CATALOGUE.get("net.retrans").unwrap();
    inspection.cleared = vec![Cleared {
        check: titled.id.clone(),
        object: object("host:kafka-4"),
        was: State::Warn,
        change: Change::Fixed,
        since: ago(72),
        title: titled.title.clone(),
    }];
    Sample { name: "healthy", inspection, trends: trends(100.0), restart: restart(None), happenings: Vec::new() }
}

mod nights;

pub use nights::{bad_night, half_missing, hostile, huge};
