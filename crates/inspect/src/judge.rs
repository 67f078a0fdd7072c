//! Judging: everything that was read in one night, to one document.
//!
//! ```text
//!   readings -> [compare | rules] -> raws -> layers off? -> windows, waivers -> findings -> causes folded -> verdict, score
//!                     ^                                          |
//!                     +---- memory of the last inspection <------+ tracks and readings for the next one
//! ```
//!
//! Pure: the time, the last inspection and the history come in as arguments, and the order of readings changes nothing.

mod compare;
mod findings;
pub(crate) use findings::absent;
pub(crate) mod raw;
pub(crate) mod scene;
mod tracks;

use crate::catalogue::{Catalogue, Check};
use crate::causes;
use crate::condition::{As, Op};
use crate::finding::{Coverage, Finding, Inspection, Run, SCHEMA, Skipped, State, Subject};
use crate::history::{History, all_readings};
use crate::layers::{Layers, Place};
use crate::memory::{KEPT_DAYS, Memory, Remembered, reading_key};
use crate::object::{Object, Owner};
use crate::reading::{Cost, FleetReadings, Outcome};
use crate::readings::Scope;
use crate::rules;
use crate::waiver::{Acknowledgement, Waiver, Window};
use crate::{anomaly, forecast, score};
use jiff::{SignedDuration, Timestamp};
use raw::{Fact, Gap, Raw, Ruled};
use scene::{Index, Scene, count, percent};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that an inspection is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Night<'a> {
    /// The checks.
    pub catalogue: &'a Catalogue,
    /// What was read.
    pub readings: &'a FleetReadings,
    /// The operators' thresholds.
    pub layers: &'a Layers,
    /// What people accepted.
    pub waivers: &'a [Waiver],
    /// Maintenance: planned, and what kfleet's own operations recorded.
    pub windows: &'a [Window],
    /// What people have seen.
    pub acknowledgements: &'a [Acknowledgement],
    /// The last inspection of the same fleet. One of another fleet or schema is taken for none.
    pub last: Option<&'a Inspection>,
    /// The numbers of earlier nights.
    pub history: &'a History,
    /// The time.
    pub now: Timestamp,
}

/// Judges a night.
#[must_use]
pub fn judge(night: &Night<'_>) -> Inspection {
    let last = night.last.filter(|last| last.fleet == night.readings.fleet && last.schema == SCHEMA);
    let night = Night { last, ..*night };
    let index = Index::new(&night);
    let (mut judged, facts) = judgements(&index);
    inspection_itself(&index, &mut judged);

    let memory = Memory { readings: remember(&night, facts, &judged), tracks: tracks::next(&night, &judged) };
    let mut findings = findings::findings(&index, &judged, &memory);
    causes::fold(&mut findings, night.readings);
    findings
        .sort_by(|one, other| (other.state, &one.check, &one.object).cmp(&(one.state, &other.check, &other.object)));
    let (passed, skipped) = well(&judged);
    let mut counts: BTreeMap<State, u32> = BTreeMap::new();
    for finding in &findings {
        *counts.entry(finding.state).or_default() += 1;
    }
    Inspection {
        schema: SCHEMA.to_owned(),
        fleet: night.readings.fleet.clone(),
        run: run(&night),
        verdict: findings.iter().map(|finding| finding.state).filter(|state| state.counts()).max().unwrap_or(State::Ok),
        counts,
        score: score::score(night.catalogue, &findings),
        coverage: coverage(&night, &judged),
        cleared: findings::cleared(&night, &judged),
        waivers: findings::notices(&night, &judged),
        forecasts: forecast::forecasts(night.readings, night.history, night.now),
        anomalies: anomaly::anomalies(night.readings, night.history),
        findings,
        passed,
        skipped,
        memory,
    }
}

/// Every judgement with its check, in the order of the catalogue and of objects.
pub(crate) type Judged<'a> = Vec<(&'a Check, Raw)>;

fn judgements<'a>(index: &'a Index<'a>) -> (Judged<'a>, Vec<Fact>) {
    let (mut judged, mut facts) = (Vec::new(), Vec::new());
    for check in index.night.catalogue.built().filter(|check| check.rule.as_deref() != Some(rules::INSPECTION)) {
        let mut of_check: BTreeMap<Object, Raw> = BTreeMap::new();
        for owner in owners(index, check) {
            let scene = Scene { index, check, owner };
            let ruled = apply(&scene);
            facts.extend(ruled.facts);
            for raw in ruled.raws {
                let raw = switched_off(index, check, raw);
                // Two clusters may say something of one host: the worse of it counts.
                match of_check.get(&raw.object) {
                    Some(there) if there.state >= raw.state => {}
                    Some(_) | None => {
                        of_check.insert(raw.object.clone(), raw);
                    }
                }
            }
        }
        judged.extend(of_check.into_values().map(|raw| (check, raw)));
    }
    (judged, facts)
}

/// What a check is applied to.
fn owners(index: &Index<'_>, check: &Check) -> Vec<Owner> {
    let applies = |(owner, shelf): (&Owner, &scene::Shelf<'_>)| {
        let applies = match check.scope {
            Scope::Fleet => *owner == Owner::Fleet,
            Scope::Host => shelf
                .host
                .is_some_and(|host| check.roles.is_empty() || check.roles.iter().any(|role| host.roles.contains(role))),
            Scope::Cluster => shelf.cluster.is_some_and(|of| check.kinds.is_empty() || check.kinds.contains(&of.kind)),
        };
        applies.then(|| owner.clone())
    };
    index.shelves.iter().filter_map(applies).collect()
}

fn apply(scene: &Scene<'_>) -> Ruled {
    let Some(name) = &scene.check.rule else { return compare::compare(scene).into() };
    let unknown = || Gap::Unknown(format!("there is no rule {name}"));
    rules::find(name)
        .ok_or_else(unknown)
        .and_then(|rule| (rule.apply)(scene))
        .unwrap_or_else(|gap| scene.gap(None, &gap).into())
}

fn switched_off(index: &Index<'_>, check: &Check, raw: Raw) -> Raw {
    match index.night.layers.switched_off(check, &index.place(&raw.object)) {
        Some(layer) => Raw::gap(raw.object, &Gap::Skip(format!("switched off by the layer {layer}"))),
        None => raw,
    }
}

/// The inspection's own check: hosts that gave nothing, and judgements that could not be made.
fn inspection_itself<'a>(index: &'a Index<'a>, judged: &mut Judged<'a>) {
    let own = |check: &&Check| check.rule.as_deref() == Some(rules::INSPECTION);
    let Some(check) = index.night.catalogue.built().find(own) else { return };
    let scene = Scene { index, check, owner: Owner::Fleet };
    let unknown: Vec<String> = judged
        .iter()
        .filter(|(_, raw)| raw.state == State::Unknown)
        .map(|(check, raw)| Subject { check: check.id.clone(), object: raw.object.clone() }.to_string())
        .collect();
    let share = percent(unknown.len(), judged.len());
    let raw = scene.grade_by(None, &[("crit", share), ("warn", count(unknown.len()))]).because(unknown);
    let mut raws = vec![raw];
    for missing in &index.night.readings.missing {
        let at = scene.at(Owner::Host(missing.host.clone()));
        let shown = crate::finding::Shown::Text("nothing was read of this host".to_owned());
        raws.push(at.verdict(None, crate::finding::Level::Crit, shown).noting(missing.why.clone()));
    }
    raws.sort_by(|one, other| one.object.cmp(&other.object));
    judged.extend(raws.into_iter().map(|raw| (check, switched_off(index, check, raw))));
}

/// The keys that the next inspection compares with.
fn remembered_keys(catalogue: &Catalogue) -> BTreeSet<&str> {
    let mut keys = BTreeSet::new();
    for check in catalogue.built() {
        for condition in check.warn.iter().chain(&check.crit) {
            let growth = matches!(condition.made, Some(As::Growth | As::Busy | As::Added));
            if growth || condition.op == Op::Changed {
                keys.extend(condition.reading.as_deref().into_iter().chain(condition.share_of.as_deref()));
            }
        }
    }
    keys.extend(rules::RULES.iter().flat_map(|rule| rule.remembers).copied());
    keys
}

/// Tonight's readings over those that are still worth keeping.
fn remember(night: &Night<'_>, facts: Vec<Fact>, judged: &Judged<'_>) -> BTreeMap<String, Remembered> {
    let forget = SignedDuration::from_hours(KEPT_DAYS * 24);
    let before = night.last.map(|last| &last.memory.readings).into_iter().flatten();
    let keys = remembered_keys(night.catalogue);
    let known: BTreeSet<String> = judged
        .iter()
        .filter(|(_, raw)| raw.state != State::Unknown)
        .map(|(check, raw)| reading_key(check.id.as_str(), &raw.object))
        .collect();
    // Facts are made anew each night. One that is not made again holds no more, unless its check could not be judged.
    let holds = |name: &str| {
        let Some((key, object)) = name.split_once('@') else { return false };
        let check = key.rsplit_once('.').map_or(key, |(check, _)| check);
        keys.contains(key) || !known.contains(&format!("{check}@{object}"))
    };
    let mut readings: BTreeMap<String, Remembered> = before
        .filter(|(name, one)| holds(name) && night.now.duration_since(one.at) <= forget)
        .map(|(name, one)| (name.clone(), one.clone()))
        .collect();
    for (object, reading) in all_readings(night.readings) {
        if let Outcome::Read(datum) = &reading.outcome
            && keys.contains(reading.key.as_str())
        {
            let name = reading_key(&reading.key, &object);
            let newer = readings.get(&name).is_none_or(|there| there.at <= reading.taken_at);
            if newer {
                readings.insert(name, Remembered { datum: datum.clone(), at: reading.taken_at });
            }
        }
    }
    let facts = facts
        .into_iter()
        .map(|fact| (reading_key(fact.key, &fact.object), Remembered { datum: fact.datum, at: night.now }));
    readings.extend(facts);
    readings
}

type Well = (BTreeMap<crate::CheckId, Vec<Object>>, BTreeMap<crate::CheckId, Vec<Skipped>>);

/// What was well, and what did not apply.
fn well(judged: &Judged<'_>) -> Well {
    let (mut passed, mut skipped): Well = Well::default();
    for (check, raw) in judged {
        if raw.state == State::Ok {
            passed.entry(check.id.clone()).or_default().push(raw.object.clone());
        }
        if raw.state == State::Skip {
            let why = raw.note.clone().unwrap_or_default();
            skipped.entry(check.id.clone()).or_default().push(Skipped { object: raw.object.clone(), why });
        }
    }
    (passed, skipped)
}

fn run(night: &Night<'_>) -> Run {
    let mut cost = Cost::default();
    let of_hosts = night.readings.hosts.iter().map(|host| host.cost);
    for one in of_hosts.chain(night.readings.clusters.iter().map(|cluster| cluster.cost)) {
        cost.cpu_ms += one.cpu_ms;
        cost.bytes += one.bytes;
        cost.wall_ms = cost.wall_ms.max(one.wall_ms);
    }
    Run {
        judged_at: night.now,
        compared_with: night.last.map(|last| last.run.judged_at),
        cost,
        cost_by_host: night.readings.hosts.iter().map(|host| (host.host.clone(), host.cost)).collect(),
    }
}

fn coverage(night: &Night<'_>, judged: &Judged<'_>) -> Coverage {
    let size = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let of = |state: State| size(judged.iter().filter(|(_, raw)| raw.state == state).count());
    let ran: BTreeSet<&str> =
        judged.iter().filter(|(_, raw)| raw.state != State::Skip).map(|(check, _)| check.id.as_str()).collect();
    Coverage {
        hosts_expected: size(night.readings.hosts.len() + night.readings.missing.len()),
        hosts_seen: size(night.readings.hosts.len()),
        missing: night.readings.missing.iter().map(|one| (one.host.clone(), one.why.clone())).collect(),
        checks: size(night.catalogue.checks.len()),
        built: size(night.catalogue.built().count()),
        ran: size(ran.len()),
        judgements: size(judged.len()),
        unknown: of(State::Unknown),
        skipped: of(State::Skip),
    }
}

/// The findings that a notice is due for: worse than last time, and not acknowledged, expected or waived.
#[must_use]
pub fn worth_a_notice(inspection: &Inspection) -> Vec<&Finding> {
    use crate::finding::Change;
    let due = |finding: &&Finding| {
        finding.state.counts()
            && finding.acknowledged.is_none()
            && finding.cause.is_none()
            && matches!(finding.change, Change::New | Change::Worse)
    };
    inspection.findings.iter().filter(due).collect()
}
