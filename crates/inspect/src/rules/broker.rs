//! Brokers as their cluster sees them.

use super::cluster::{broker, cluster, kafka, kafka_rounds};
use crate::finding::{Level, Shown};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count};
use crate::reading::View;
use crate::unit::Unit;
use kfleet_model::BrokerId;
use kfleet_model::reason::Verdict;
use kfleet_model::snapshot::KafkaSnapshot;
use kfleet_model::stop::probe;
use std::collections::{BTreeMap, BTreeSet};

/// Brokers of the inventory that no view of the last round has, and brokers that the inventory does not name.
pub(super) fn broker_count(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let cluster = cluster(scene)?;
    let rounds = kafka_rounds(cluster)?;
    let seen_in = |views: &Vec<(&View, &KafkaSnapshot)>| -> BTreeSet<BrokerId> {
        views.iter().flat_map(|(_, snapshot)| snapshot.brokers.keys().copied()).collect()
    };
    let seen: BTreeSet<BrokerId> = rounds.values().flat_map(seen_in).collect();
    let last: BTreeSet<BrokerId> = rounds.values().next_back().map(seen_in).unwrap_or_default();
    let mut raws = Vec::new();
    for (id, host) in &cluster.members {
        raws.push(if last.contains(id) {
            scene.ok(Some(broker(*id)))
        } else {
            let shown = Shown::Text("not registered".to_owned());
            scene.verdict(Some(broker(*id)), Level::Crit, shown).because([format!("broker {id} on {host}")])
        });
    }
    for id in seen.iter().filter(|id| !cluster.members.contains_key(id)) {
        let shown = Shown::Text("not in the inventory".to_owned());
        raws.push(scene.verdict(Some(broker(*id)), Level::Crit, shown));
    }
    Ok(raws.into())
}

/// All members name one active controller, in the last round of questions at least.
pub(super) fn controller_one(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let rounds = kafka_rounds(cluster(scene)?)?;
    let named = |views: &Vec<(&View, &KafkaSnapshot)>| -> BTreeMap<Option<BrokerId>, Vec<String>> {
        let mut named: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (view, snapshot) in views {
            named.entry(snapshot.mode.active_controller()).or_default().push(view.host.to_string());
        }
        named
    };
    // Members hear of an election one after another; what they disagree on in one round only is no finding.
    let wrong = rounds.values().map(named).all(|named| named.len() != 1 || named.contains_key(&None));
    if !wrong {
        return Ok(scene.ok(None).into());
    }
    let last = rounds.values().next_back().map(named).unwrap_or_default();
    let word = |id: &Option<BrokerId>| id.map_or("none".to_owned(), |id| id.to_string());
    let lines = last.iter().map(|(id, hosts)| format!("{} say {}", hosts.join(", "), word(id))).collect::<Vec<_>>();
    let shown = Shown::List(last.keys().map(word).collect());
    Ok(scene.verdict(None, Level::Crit, shown).because(lines).into())
}

/// What members of one round tell differently, as lines without the teller.
fn differences(views: &[(&View, &KafkaSnapshot)]) -> BTreeSet<String> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, snapshot) in views {
        told.entry("cluster id".to_owned()).or_default().insert(snapshot.cluster_id.clone());
        let ids: Vec<String> = snapshot.brokers.keys().map(ToString::to_string).collect();
        told.entry("brokers".to_owned()).or_default().insert(ids.join(","));
        for (partition, _, state) in snapshot.partitions() {
            let leader = state.leader.map_or("none".to_owned(), |leader| leader.to_string());
            let isr: Vec<String> = state.isr.iter().map(ToString::to_string).collect();
            told.entry(partition.to_string()).or_default().insert(format!("leader {leader}, isr [{}]", isr.join(",")));
        }
    }
    // A topic that only some members know is told as a difference too: fewer answers than members.
    let known = |about: &str| views.iter().filter(|(_, snapshot)| knows(snapshot, about)).count();
    let differ = told.into_iter().filter(|(about, answers)| answers.len() > 1 || known(about) < views.len());
    differ
        .map(|(about, answers)| format!("{about}: {}", answers.into_iter().collect::<Vec<_>>().join(" or ")))
        .collect()
}

fn knows(snapshot: &KafkaSnapshot, about: &str) -> bool {
    if matches!(about, "cluster id" | "brokers") {
        return true;
    }
    let Some((topic, number)) = about.rsplit_once('-') else { return false };
    let number = number.parse().ok();
    snapshot.topics.get(topic).is_some_and(|topic| number.is_some_and(|n| topic.partitions.contains_key(&n)))
}

/// All members describe the cluster alike, or become so between two rounds.
pub(super) fn metadata_view(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let cluster = cluster(scene)?;
    let rounds = kafka_rounds(cluster)?;
    if rounds.values().any(|views| views.len() < 2) {
        if cluster.members.len() < 2 {
            return Ok(scene.ok(None).into());
        }
        return Err(Gap::Unknown("only one member described the cluster".to_owned()));
    }
    let mut found = rounds.values().map(|views| differences(views));
    let first = found.next().unwrap_or_default();
    let about = |line: &String| line.split(':').next().unwrap_or_default().to_owned();
    let last: BTreeSet<String> = found.fold(first, |lasting, next| {
        let lasting: BTreeSet<String> = lasting.iter().map(about).collect();
        next.into_iter().filter(|line| lasting.contains(&about(line))).collect()
    });
    if last.is_empty() {
        return Ok(scene.ok(None).into());
    }
    let times = || rounds.values().flatten().map(|(view, _)| view.taken_at);
    let over = times().max().zip(times().min()).map_or(0.0, |(max, min)| max.duration_since(min).as_secs_f64());
    let crit_after = scene.setting("crit_after", &scene.object(None), Unit::Seconds);
    let level = if over >= crit_after { Level::Crit } else { Level::Warn };
    Ok(scene.verdict(None, level, Shown::Number(count(last.len()))).because(last).into())
}

/// What a stop of each broker would do, by the same probe that a roll asks.
pub(super) fn restart_safe(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    let Some(snapshot) = snapshots.last() else { return Err(Gap::Unknown("there is no view".to_owned())) };
    let hurt = |id: BrokerId| -> Vec<String> {
        let verdicts = probe(snapshot, &BTreeSet::from([id])).into_iter().filter(|one| match one.verdict {
            Verdict::Leaderless | Verdict::Rf1Offline | Verdict::AcksAllRefused | Verdict::AlreadyBroken => true,
            Verdict::Acks1Risk | Verdict::Thin => false,
        });
        verdicts.map(|verdict| verdict.to_string()).collect()
    };
    let all: BTreeMap<BrokerId, Vec<String>> = snapshot.brokers.keys().map(|id| (*id, hurt(*id))).collect();
    let level = if all.values().all(|hurt| !hurt.is_empty()) { Level::Crit } else { Level::Warn };
    let raws: Vec<Raw> = all
        .into_iter()
        .map(|(id, hurt)| {
            if hurt.is_empty() {
                return scene.ok(Some(broker(id)));
            }
            scene.verdict(Some(broker(id)), level, Shown::Number(count(hurt.len()))).because(hurt)
        })
        .collect();
    Ok(raws.into())
}
