//! Topics and their partitions.

use super::cluster::{cluster, kafka, lasting, shown, topic};
use crate::finding::{Level, Shown};
use crate::judge::raw::{Fact, Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count, percent};
use crate::memory::Remembered;
use crate::reading::{Datum, Outcome};
use crate::unit::Unit;
use jiff::Timestamp;
use kfleet_model::TopicPartition;
use kfleet_model::snapshot::KafkaSnapshot;
use kfleet_model::stop::partition::{in_sync, is_offline, is_under_min_isr, is_under_replicated, size};
use std::collections::{BTreeMap, BTreeSet};

/// Since when each under-replicated partition has been so, as seconds since 1970.
const BEHIND_SINCE: &str = "topic.under_replicated.since";

/// The same of those that are exactly at min ISR.
const AT_MIN_SINCE: &str = "topic.at_min_isr.since";

/// Since when leaders have been away from their preferred replicas beyond the critical share.
const AWAY_SINCE: &str = "topic.preferred_leader.since";

/// The partitions that something holds for.
fn which(
    snapshot: &KafkaSnapshot,
    holds: impl Fn(&TopicPartition, &kfleet_model::snapshot::Topic, &kfleet_model::snapshot::PartitionState) -> bool,
) -> BTreeSet<TopicPartition> {
    let all = snapshot.partitions().filter(|(partition, topic, state)| holds(partition, topic, state));
    all.map(|(partition, _, _)| partition).collect()
}

/// The latest of the snapshots.
fn latest<'a>(snapshots: &[&'a KafkaSnapshot]) -> Result<&'a KafkaSnapshot, Gap> {
    snapshots.last().copied().ok_or_else(|| Gap::Unknown("there is no view of the cluster".to_owned()))
}

/// Partitions that nobody leads.
pub(super) fn offline(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let found = lasting(&snapshots, |snapshot| which(snapshot, |_, _, state| is_offline(snapshot, state)));
    any_is_critical(scene, latest(&snapshots)?, &found)
}

/// Partitions that refuse `acks=all`.
pub(super) fn under_min_isr(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let found =
        lasting(&snapshots, |snapshot| which(snapshot, |_, topic, state| is_under_min_isr(snapshot, topic, state)));
    any_is_critical(scene, latest(&snapshots)?, &found)
}

fn any_is_critical(
    scene: &Scene<'_>,
    snapshot: &KafkaSnapshot,
    found: &BTreeSet<TopicPartition>,
) -> Result<Ruled, Gap> {
    if found.is_empty() {
        return Ok(scene.ok(None).into());
    }
    let raw = scene.verdict(None, Level::Crit, Shown::Number(count(found.len())));
    Ok(shown(raw, snapshot, found).into())
}

/// Some replica that should be in sync is not. While a partition is reassigned its new replicas are expected behind:
/// then as many must be in sync as it had before.
fn behind(snapshot: &KafkaSnapshot) -> BTreeSet<TopicPartition> {
    which(snapshot, |partition, _, state| {
        if snapshot.reassigning.contains(partition) {
            return state.isr.len() < state.replicas.len().saturating_sub(state.removing.len());
        }
        is_under_replicated(snapshot, state)
    })
}

/// Under-replicated partitions: some, many, or the same ones for a day.
pub(super) fn under_replicated(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let snapshot = latest(&snapshots)?;
    let found = lasting(&snapshots, behind);
    let (long, fact) = lasting_since(scene, BEHIND_SINCE, &found);
    let total = snapshot.partitions().count();
    let raw = scene.grade_by(None, &[("crit", percent(found.len(), total)), ("warn", count(found.len()))]);
    let raw = if long > 0 {
        let raw = scene.verdict(None, Level::Crit, Shown::Number(count(found.len())));
        raw.noting(format!("{long} of them since an earlier inspection"))
    } else {
        raw
    };
    let raw = shown(raw, snapshot, &found);
    Ok(Ruled { raws: vec![raw], facts: vec![fact] })
}

/// How many of the partitions have been among those found for longer than the check's `crit_after`, and what the next
/// inspection needs to say the same.
fn lasting_since(scene: &Scene<'_>, key: &'static str, found: &BTreeSet<TopicPartition>) -> (usize, Fact) {
    let object = scene.object(None);
    let now = scene.index.night.now.as_second();
    let before = match scene.remembered(key, &object).map(|last| &last.datum) {
        Some(Datum::Numbers(before)) => before.clone(),
        Some(_) | None => BTreeMap::new(),
    };
    let since: BTreeMap<String, i64> = found
        .iter()
        .map(ToString::to_string)
        .map(|name| (name.clone(), before.get(&name).copied().unwrap_or(now)))
        .collect();
    let limit = scene.setting("crit_after", &object, Unit::Seconds);
    let long = since.values().filter(|since| crate::history::float(now - **since) >= limit).count();
    (long, Fact { key, object, datum: Datum::Numbers(since) })
}

/// Partitions that lack a replica and have exactly as many in sync as they must: the next stop blocks their writes.
pub(super) fn at_min_isr(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let found = lasting(&snapshots, |snapshot| {
        let behind = behind(snapshot);
        which(snapshot, |partition, of, state| {
            behind.contains(partition) && size(in_sync(snapshot, state).len()) == of.min_isr
        })
    });
    let (long, fact) = lasting_since(scene, AT_MIN_SINCE, &found);
    let raw = if long > 0 {
        scene.verdict(None, Level::Crit, Shown::Number(count(found.len())))
    } else {
        scene.grade(None, count(found.len()))
    };
    Ok(Ruled { raws: vec![shown(raw, latest(&snapshots)?, &found)], facts: vec![fact] })
}

/// Topics that have no more replicas than must be in sync: every stop of one of them blocks writes with acks=all. Topics
/// of one replica that ask for one are `topic.rf_low`'s matter.
pub(super) fn rf_vs_min_isr(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let mut raws = Vec::new();
    for (name, of) in &latest(&snapshots)?.topics {
        let least = of.partitions.values().map(|state| state.replicas.len().saturating_sub(state.removing.len())).min();
        let Some(least) = least.map(size) else { continue };
        let shown = Shown::Text(format!("min ISR {} of {least}", of.min_isr));
        raws.push(if of.min_isr > least {
            scene.verdict(Some(topic(name)), Level::Crit, shown)
        } else if of.min_isr == least && least > 1 {
            scene.verdict(Some(topic(name)), Level::Warn, shown)
        } else {
            scene.ok(Some(topic(name)))
        });
    }
    Ok(if raws.is_empty() { scene.ok(None).into() } else { raws.into() })
}

/// Copies of each topic's least replicated partition. A topic that is fine is counted with the others.
pub(super) fn rf_low(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let mut raws = Vec::new();
    for (name, of) in &latest(&snapshots)?.topics {
        let least = of.partitions.values().map(|state| state.replicas.len().saturating_sub(state.removing.len())).min();
        raws.extend(least.map(|least| scene.grade(Some(topic(name)), count(least))));
    }
    Ok(if raws.is_empty() { scene.ok(None).into() } else { raws.into() })
}

/// The share of partitions that another replica leads than the preferred one.
pub(super) fn preferred_leader(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let snapshot = latest(&snapshots)?;
    let away =
        lasting(&snapshots, |snapshot| which(snapshot, |_, _, state| state.leader != state.replicas.first().copied()));
    let share = percent(away.len(), snapshot.partitions().count());
    let (object, now) = (scene.object(None), scene.index.night.now);
    let graded = scene.grade(None, share);
    if graded.state != crate::finding::State::Crit {
        return Ok(shown(graded, snapshot, &away).into());
    }
    let since = match scene.remembered(AWAY_SINCE, &object).map(|last| &last.datum) {
        Some(Datum::Time(since)) => *since,
        Some(_) | None => now,
    };
    let long = now.duration_since(since).as_secs_f64() >= scene.setting("crit_after", &object, Unit::Seconds);
    // Leaders come back by themselves within minutes of a restart, so only what lasts is critical.
    let raw = if long { graded } else { scene.grade_by(None, &[("warn", share)]) };
    let fact = Fact { key: AWAY_SINCE, object, datum: Datum::Time(since) };
    Ok(Ruled { raws: vec![shown(raw, snapshot, &away)], facts: vec![fact] })
}

/// Topics whose log ends before where it ended last time.
pub(super) fn offset_regress(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut raws = Vec::new();
    for reading in scene.all("topic.end_offsets") {
        let part = reading.part.clone();
        let raw = match &reading.outcome {
            Outcome::Unreadable { why } => Err(Gap::Unknown(format!("topic.end_offsets could not be read: {why}"))),
            Outcome::NotHere { why } => Err(Gap::Skip(why.clone())),
            Outcome::Read(_) => regress(scene, part.as_ref()),
        };
        raws.push(raw.map_or_else(|gap| scene.gap(part, &gap), |raw| raw.from(reading)));
    }
    if raws.is_empty() {
        return Err(Gap::Unknown("there is no reading of topic.end_offsets".to_owned()));
    }
    Ok(raws.into())
}

fn regress(scene: &Scene<'_>, part: Option<&crate::object::Part>) -> Result<Raw, Gap> {
    let object = scene.object(part.cloned());
    let now = scene.numbers("topic.end_offsets", part)?;
    let first = || Gap::Skip("there is no earlier inspection to compare with".to_owned());
    let before: (&BTreeMap<String, i64>, Timestamp) = match scene.remembered("topic.end_offsets", &object) {
        Some(Remembered { datum: Datum::Numbers(before), at }) => (before, *at),
        Some(_) | None => return Err(first()),
    };
    let last_id = scene.remembered("topic.id", &object).map(|last| &last.datum);
    let id = match scene.datum("topic.id", part) {
        Ok(id) => Some(id),
        // Brokers before 2.8 give topics no id.
        Err(Gap::Skip(_)) => None,
        Err(gap) => return Err(gap),
    };
    if id != last_id {
        return Err(Gap::Skip("the topic was made anew since the last inspection".to_owned()));
    }
    let back = |(partition, end): (&String, &i64)| {
        let last = before.0.get(partition)?;
        (end < last).then(|| format!("partition {partition}: {end}, it was {last} at {}", before.1))
    };
    let lines: Vec<String> = now.iter().filter_map(back).collect();
    if lines.is_empty() {
        return Ok(scene.ok(part.cloned()));
    }
    Ok(scene.verdict(part.cloned(), Level::Crit, Shown::Number(count(lines.len()))).because(lines))
}
