//! The KRaft metadata quorum.

use super::cluster::{cluster, kafka_rounds};
use super::zk::quorum_size;
use crate::finding::{Level, Shown};
use crate::history::float;
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::Scene;
use crate::unit::Unit;
use kfleet_model::BrokerId;
use kfleet_model::snapshot::{KafkaMode, Quorum, ReplicaProgress};
use std::collections::BTreeMap;

/// The quorum as each member described it in each round.
fn quorums<'a>(scene: &Scene<'a>) -> Result<Vec<Vec<&'a Quorum>>, Gap> {
    let rounds = kafka_rounds(cluster(scene)?)?;
    let of = |mode: &'a KafkaMode| match mode {
        KafkaMode::Kraft { quorum } => Some(quorum),
        KafkaMode::ZooKeeper { .. } => None,
    };
    let quorums: Vec<Vec<&Quorum>> = rounds
        .into_values()
        .map(|views| views.into_iter().filter_map(|(_, snapshot)| of(&snapshot.mode)).collect())
        .collect();
    if quorums.iter().all(Vec::is_empty) {
        return Err(Gap::Unknown("no member described a metadata quorum".to_owned()));
    }
    Ok(quorums)
}

/// Somebody leads the quorum, in one of the rounds at least: an election takes a second or two.
pub(super) fn quorum_leader(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let quorums = quorums(scene)?;
    let leaders: Vec<BrokerId> = quorums.iter().flatten().filter_map(|quorum| quorum.leader).collect();
    Ok(match leaders.last() {
        Some(leader) => Raw { shown: Some(Shown::Text(leader.to_string())), ..scene.ok(None) },
        None => scene.verdict(None, Level::Crit, Shown::Text("none".to_owned())),
    }
    .into())
}

/// Voters that fetched lately, by the leader's own clock.
pub(super) fn voters_alive(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let quorums = quorums(scene)?;
    let last = quorums.into_iter().rev().flatten().find(|quorum| quorum.leader.is_some());
    let Some(quorum) = last else { return Err(Gap::Unknown("the quorum has no leader to ask".to_owned())) };
    let stale_ms = scene.setting("stale", &scene.object(None), Unit::Milliseconds);
    let others: BTreeMap<&BrokerId, &ReplicaProgress> =
        quorum.voters.iter().filter(|(id, _)| Some(**id) != quorum.leader).collect();
    if !others.is_empty() && others.values().all(|voter| voter.behind_ms.is_none()) {
        return Err(Gap::Unknown("the leader does not say when its voters fetched".to_owned()));
    }
    let stale: BTreeMap<&BrokerId, String> = others
        .into_iter()
        .filter_map(|(id, voter)| match voter.behind_ms {
            Some(behind) if float(behind) <= stale_ms => None,
            Some(behind) => Some((id, format!("voter {id} is {behind} ms behind"))),
            None => Some((id, format!("the leader has heard nothing of voter {id}"))),
        })
        .collect();
    let (voters, alive) = (quorum.voters.len(), quorum.voters.len() - stale.len());
    let shown = Shown::Text(format!("{alive} of {voters} voters"));
    if stale.is_empty() {
        return Ok(Raw { shown: Some(shown), ..scene.ok(None) }.into());
    }
    // One more failure and no majority is left.
    let level = if alive <= voters / 2 + 1 { Level::Crit } else { Level::Warn };
    Ok(scene.verdict(None, level, shown).because(stale.into_values()).into())
}

/// An odd number of voters, and enough that one may fail.
pub(super) fn voter_count(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let quorums = quorums(scene)?;
    let voters = quorums.into_iter().rev().flatten().map(|quorum| quorum.voters.len()).next();
    let voters = voters.ok_or_else(|| Gap::Unknown("no member described a metadata quorum".to_owned()))?;
    Ok(quorum_size(scene, voters).into())
}
