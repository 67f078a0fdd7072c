//! Members of a cluster against each other.

use super::cluster::{cluster, kafka_rounds};
use crate::condition::fits;
use crate::finding::{Level, Shown, State};
use crate::judge::raw::{Fact, Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count};
use crate::reading::{Datum, Outcome, Role};
use crate::unit::Unit;
use jiff::Timestamp;
use kfleet_config::Release;
use std::collections::{BTreeMap, BTreeSet};

/// Since when a cluster has run more than one version.
const MIXED_SINCE: &str = "fleet.kafka_version.since";

/// Keys of the properties files that are not alike on all brokers, less those that are each broker's own.
pub(super) fn file_drift(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let object = scene.object(None);
    let (own, grave) = (scene.words("own", &object), scene.words("grave", &object));
    let like = |patterns: &[String], key: &str| patterns.iter().any(|pattern| fits(pattern, key));
    let members = scene.members(Role::KafkaBroker);
    let (mut raws, mut files) = (Vec::new(), Vec::new());
    for (_, at) in members {
        match at.texts("kafka.file", None) {
            Ok(file) => files.push((at, file)),
            Err(gap) => raws.push(at.gap(None, &gap)),
        }
    }
    let keys: BTreeSet<&String> =
        files.iter().flat_map(|(_, file)| file.keys()).filter(|key| !like(&own, key)).collect();
    let usual: BTreeMap<&String, Option<&String>> =
        keys.into_iter().map(|key| (key, usual(files.iter().map(|(_, file)| file.get(key))))).collect();
    for (at, file) in &files {
        let apart: Vec<(&String, Option<&String>)> =
            usual.iter().filter(|(key, usual)| file.get(**key) != **usual).map(|(key, usual)| (*key, *usual)).collect();
        if apart.is_empty() {
            raws.push(at.ok(None));
            continue;
        }
        let level = if apart.iter().any(|(key, _)| like(&grave, key)) { Level::Crit } else { Level::Warn };
        let word = |value: Option<&String>| value.map_or("nothing".to_owned(), Clone::clone);
        let line = |(key, usual): &(&String, Option<&String>)| {
            format!("{key}: {}, most brokers have {}", word(file.get(*key)), word(*usual))
        };
        let shown = Shown::List(apart.iter().map(|(key, _)| (*key).clone()).collect());
        raws.push(at.verdict(None, level, shown).because(apart.iter().map(line)));
    }
    if raws.is_empty() { Err(Gap::Unknown("no broker of the cluster answered".to_owned())) } else { Ok(raws.into()) }
}

/// The value that most have; of equally many the smallest, which is the same every night.
fn usual<'a>(values: impl Iterator<Item = Option<&'a String>>) -> Option<&'a String> {
    let mut counts: BTreeMap<Option<&String>, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by(|one, other| one.1.cmp(&other.1).then(other.0.cmp(&one.0))).and_then(|(value, _)| value)
}

/// One version of Kafka, or several for no longer than an upgrade takes.
pub(super) fn kafka_version(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut gap = None;
    for (host, at) in scene.members(Role::KafkaBroker) {
        match at.text("kafka.version", None) {
            Ok(version) => versions.entry(version).or_default().push(host.host.to_string()),
            Err(why) => gap = Some(why),
        }
    }
    if versions.len() < 2 {
        let none = || Gap::Unknown("no broker of the cluster answered".to_owned());
        return match (versions.keys().next(), gap) {
            (_, Some(gap)) => Err(gap),
            (Some(version), None) => {
                Ok(Raw { shown: Some(Shown::Text((*version).to_owned())), ..scene.ok(None) }.into())
            }
            (None, None) => Err(none()),
        };
    }
    let (object, now) = (scene.object(None), scene.index.night.now);
    let since = match scene.remembered(MIXED_SINCE, &object).map(|last| &last.datum) {
        Some(Datum::Time(since)) => *since,
        Some(_) | None => now,
    };
    let raw = mixed(scene, &versions, now, since);
    Ok(Ruled { raws: vec![raw], facts: vec![Fact { key: MIXED_SINCE, object, datum: Datum::Time(since) }] })
}

fn mixed(scene: &Scene<'_>, versions: &BTreeMap<&str, Vec<String>>, now: Timestamp, since: Timestamp) -> Raw {
    let object = scene.object(None);
    let passed = |name: &str| now.duration_since(since).as_secs_f64() >= scene.setting(name, &object, Unit::Seconds);
    let releases: BTreeSet<Release> = versions.keys().filter_map(|version| version.parse().ok()).collect();
    let far = match (releases.first(), releases.last()) {
        (Some(first), Some(last)) => last.major != first.major || last.minor - first.minor > 1,
        (_, _) => false,
    };
    let shown = Shown::List(versions.keys().map(|version| (*version).to_owned()).collect());
    let raw = if far && passed("crit_after") {
        scene.verdict(None, Level::Crit, shown)
    } else if passed("warn_after") {
        scene.verdict(None, Level::Warn, shown)
    } else {
        Raw { shown: Some(shown), ..Raw::new(object, State::Info) }
    };
    raw.because(versions.iter().map(|(version, hosts)| format!("{version}: {}", hosts.join(", "))))
}

/// Every log directory of every node belongs to the one cluster that its members describe.
pub(super) fn cluster_id(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut gap = None;
    let members = scene.members(Role::KafkaBroker).into_iter().chain(scene.members(Role::KraftController));
    for (host, at) in members {
        if at.all("logdir.cluster_id").is_empty() {
            gap = Some(Gap::Unknown(format!("{} has no reading of logdir.cluster_id", host.host)));
        }
        for reading in at.all("logdir.cluster_id") {
            match &reading.outcome {
                Outcome::Read(Datum::Text(id)) => {
                    let part = reading.part.as_ref().map(|part| format!(" {}", part.name)).unwrap_or_default();
                    ids.entry(id.clone()).or_default().insert(format!("{}{part}", host.host));
                }
                Outcome::Read(other) => {
                    gap = Some(Gap::Unknown(format!("logdir.cluster_id is of the kind {:?}", other.kind())));
                }
                Outcome::Unreadable { why } => gap = Some(Gap::Unknown(format!("{}: {why}", host.host))),
                Outcome::NotHere { .. } => {}
            }
        }
    }
    for (view, snapshot) in kafka_rounds(cluster(scene)?)?.into_values().flatten() {
        ids.entry(snapshot.cluster_id.clone()).or_default().insert(format!("{}, the running node", view.host));
    }
    if ids.len() > 1 {
        let lines =
            ids.iter().map(|(id, places)| format!("{id}: {}", places.iter().cloned().collect::<Vec<_>>().join("; ")));
        return Ok(scene.verdict(None, Level::Crit, Shown::Number(count(ids.len()))).because(lines).into());
    }
    gap.map_or_else(|| Ok(scene.ok(None).into()), Err)
}
