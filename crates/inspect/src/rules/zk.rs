//! ZooKeeper ensembles, as their servers describe themselves.

use super::cluster::{cluster, servers};
use crate::finding::{Level, Shown};
use crate::history::float;
use crate::judge::raw::{Fact, Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count};
use crate::memory::Remembered;
use crate::reading::Datum;
use crate::unit::{Quantity, Unit};
use kfleet_model::snapshot::{ZooKeeperRole, ZooKeeperServer, ZooKeeperState};

/// The transaction counter of the last inspection.
const ZXID: &str = "zk.zxid_rollover.last";

/// The counter is the lower half of a transaction id; the upper half is the epoch.
const COUNTER: u64 = 0xffff_ffff;

fn leads(server: &ZooKeeperServer) -> bool {
    matches!(server.state, ZooKeeperState::Leader { .. })
}

fn word(state: &ZooKeeperState) -> &'static str {
    match state {
        ZooKeeperState::Leader { .. } => "leader",
        ZooKeeperState::Follower => "follower",
        ZooKeeperState::Observer => "observer",
        ZooKeeperState::Standalone => "standalone",
        ZooKeeperState::NotServing => "not serving",
    }
}

fn lines(servers: &[&ZooKeeperServer]) -> Vec<String> {
    servers
        .iter()
        .map(|server| format!("server {} on {}: {}", server.server_id, server.host, word(&server.state)))
        .collect()
}

/// Exactly one server leads.
pub(super) fn one_leader(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let cluster = cluster(scene)?;
    let servers = servers(cluster)?;
    let leaders = servers.iter().filter(|server| leads(server)).count();
    let alone = servers.iter().any(|server| server.state == ZooKeeperState::Standalone);
    if leaders == 1 || (alone && cluster.members.len() <= 1) {
        return Ok(scene.ok(None).into());
    }
    let follows =
        servers.iter().any(|server| matches!(server.state, ZooKeeperState::Follower | ZooKeeperState::Observer));
    if leaders == 0 && follows && servers.len() < cluster.members.len() {
        // Somebody is followed, and it must be one of those that did not answer.
        return Err(Gap::Unknown("no server that answered leads, and not all did".to_owned()));
    }
    Ok(scene.verdict(None, Level::Crit, Shown::Number(count(leaders))).because(lines(&servers)).into())
}

/// How many of the leader's followers are in step, and whether the ensemble bears one loss more.
pub(super) fn synced(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let servers = servers(cluster(scene)?)?;
    let Some(leader) = servers.iter().find(|server| leads(server)) else {
        if servers.iter().any(|server| server.state == ZooKeeperState::Standalone) {
            return Err(Gap::Skip("the server stands alone".to_owned()));
        }
        return Err(Gap::Unknown("no server that answered leads".to_owned()));
    };
    let ZooKeeperState::Leader { synced_followers, .. } = leader.state else {
        return Err(Gap::Unknown("no server that answered leads".to_owned()));
    };
    let voters = leader.ensemble.values().filter(|role| **role == ZooKeeperRole::Participant).count() as u64;
    let majority = voters / 2 + 1;
    let shown = Shown::Text(format!("{synced_followers} of {} followers", voters.saturating_sub(1)));
    Ok(if synced_followers + 1 >= voters {
        Raw { shown: Some(shown), ..scene.ok(None) }
    } else if synced_followers < majority {
        let raw = scene.verdict(None, Level::Crit, shown).because(lines(&servers));
        raw.noting("the next failure stops the ensemble")
    } else {
        scene.verdict(None, Level::Warn, shown).because(lines(&servers))
    }
    .into())
}

/// An odd number of voters, and enough that one may fail.
pub(super) fn ensemble_size(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let servers = servers(cluster(scene)?)?;
    let voters = |server: &&ZooKeeperServer| {
        server.ensemble.values().filter(|role| **role == ZooKeeperRole::Participant).count().max(1)
    };
    let Some(voters) = servers.iter().map(voters).max() else {
        return Err(Gap::Unknown("no server answered".to_owned()));
    };
    Ok(quorum_size(scene, voters).into())
}

/// One or two voters bear no loss, and an even number bears no more losses than one less.
pub(super) fn quorum_size(scene: &Scene<'_>, voters: usize) -> Raw {
    let shown = Shown::Number(count(voters));
    if voters <= 2 {
        scene.verdict(None, Level::Crit, shown)
    } else if voters.is_multiple_of(2) {
        scene.verdict(None, Level::Warn, shown)
    } else {
        Raw { shown: Some(shown), ..scene.ok(None) }
    }
}

/// How much of the transaction counter is used, and in how many days it wraps.
pub(super) fn zxid_rollover(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let servers = servers(cluster(scene)?)?;
    let leader = servers.iter().find(|server| leads(server) || server.state == ZooKeeperState::Standalone);
    let Some(leader) = leader else { return Err(Gap::Unknown("no server that answered leads".to_owned())) };
    let object = scene.object(None);
    let zxid = i64::try_from(leader.zxid).unwrap_or(i64::MAX);
    let used = i64::try_from(leader.zxid & COUNTER).unwrap_or_default();
    let whole = float(i64::try_from(COUNTER).unwrap_or(i64::MAX));
    let raw = scene.grade(None, Quantity::new(100.0 * float(used) / whole, Unit::Percent));
    let left = match scene.remembered(ZXID, &object) {
        Some(Remembered { datum: Datum::Int(before), at }) if *before < zxid && before >> 32 == zxid >> 32 => {
            let days = crate::forecast::days(scene.index.night.now.duration_since(*at));
            Some((whole - float(used)) / (float(zxid - before) / days.max(f64::EPSILON)))
        }
        Some(_) | None => None,
    };
    let raw = sooner(scene, raw, left);
    Ok(Ruled { raws: vec![raw], facts: vec![Fact { key: ZXID, object, datum: Datum::Int(zxid) }] })
}

/// The graver of the share and the time that is left.
fn sooner(scene: &Scene<'_>, raw: Raw, left: Option<f64>) -> Raw {
    let Some(days) = left else { return raw };
    let object = scene.object(None);
    let bound = |name: &str| scene.setting(name, &object, Unit::Days);
    let level = if days < bound("crit_left") {
        Level::Crit
    } else if days < bound("warn_left") {
        Level::Warn
    } else {
        return raw;
    };
    let graver = if level.state() > raw.state {
        scene.verdict(None, level, Shown::Number(Quantity::new(days, Unit::Days)))
    } else {
        raw
    };
    graver.because([format!("the counter wraps in {}", Quantity::new(days, Unit::Days))])
}
