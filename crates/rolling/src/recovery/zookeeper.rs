//! The gates of ZooKeeper servers: joined and caught-up (ops 2.4, row "ZooKeeper ensemble", column "after").

use super::{Answer, Seen};
use crate::condition::Condition;
use crate::progress::Picture;
use crate::zookeeper::{Ensemble, epoch, nothing_written};
use kfleet_model::snapshot::{ZooKeeperRole, ZooKeeperState};
use kfleet_model::{BrokerId, Reason};
use std::collections::BTreeSet;

fn ensemble<'a>(seen: &Seen<'a>) -> Result<Ensemble<'a>, Answer> {
    Ensemble::of(seen.roll, seen.observation, seen.policy).map_err(|reasons| Answer::Closed { reasons, left: None })
}

/// The server serves in the role that it is configured for, the ensemble has one leader, and that has every voter in
/// step, but for those that were down before.
pub(super) fn joined(node: BrokerId, before: &Picture, seen: &Seen<'_>) -> Answer {
    let ensemble = match ensemble(seen) {
        Ok(ensemble) => ensemble,
        Err(closed) => return closed,
    };
    let none = BTreeSet::new();
    let down = match before {
        Picture::ZooKeeper { down, .. } => down,
        Picture::Kafka { .. } => &none,
    };
    // Those that were down before and are up by now are held to the same standard as all others.
    let still_down: BTreeSet<BrokerId> =
        down.iter().copied().filter(|id| !ensemble.condition(*id, seen.observation, seen.policy).is_ready()).collect();
    let mut reasons: Vec<Reason> = Vec::new();
    for (id, member) in seen.roll.members().iter().filter(|(id, _)| !still_down.contains(id)) {
        match ensemble.condition(*id, seen.observation, seen.policy) {
            Condition::Ready => {}
            Condition::Down { why } | Condition::Unsettled { why } => {
                reasons.push(Reason::EnsembleUnsettled { server: *id, why });
            }
            Condition::Unreachable => reasons.push(Reason::HostUnreachable { host: member.host.clone() }),
            Condition::Stale => reasons.push(Reason::StaleSnapshot),
        }
    }
    reasons.extend(ensemble.unsettled(&still_down, seen.policy));
    if !reasons.is_empty() {
        return Answer::Closed { reasons, left: None };
    }
    let Some(server) = ensemble.servers.get(&node) else {
        return Answer::closed(Reason::EnsembleUnsettled { server: node, why: "does not answer".to_owned() });
    };
    let leader = ensemble.leader().map_or(node, |leader| leader.server_id);
    let role = ensemble.roles.get(&node).copied();
    let what = match (&server.state, role) {
        (ZooKeeperState::Leader { .. }, _) => "leads".to_owned(),
        (ZooKeeperState::Standalone, _) => "stands alone by configuration".to_owned(),
        (ZooKeeperState::Follower, Some(ZooKeeperRole::Participant)) => format!("follows server {leader}"),
        (ZooKeeperState::Observer, Some(ZooKeeperRole::Observer)) => format!("observes server {leader}"),
        (ZooKeeperState::Follower | ZooKeeperState::Observer | ZooKeeperState::NotServing, _) => {
            let why = "it does not serve in the role that it is configured for".to_owned();
            return Answer::closed(Reason::EnsembleUnsettled { server: node, why });
        }
    };
    Answer::Open(format!("{what}, in epoch {}", epoch(server.zxid)))
}

/// The server has every transaction that the leader had when it had joined.
pub(super) fn caught_up(node: BrokerId, target: &mut Option<u64>, seen: &Seen<'_>) -> Answer {
    let ensemble = match ensemble(seen) {
        Ok(ensemble) => ensemble,
        Err(closed) => return closed,
    };
    let Some(leader) = ensemble.leader() else { return Answer::closed(Reason::NoActiveController) };
    let Some(server) = ensemble.servers.get(&node) else {
        return Answer::closed(Reason::EnsembleUnsettled { server: node, why: "does not answer".to_owned() });
    };
    // A leader of a later epoch than the target's begins with everything that was committed.
    let need = *target.get_or_insert(leader.zxid);
    if server.zxid >= need {
        Answer::Open(format!("zxid {:#x} has reached {need:#x}", server.zxid))
    } else if nothing_written(leader) {
        Answer::Open(format!("in step with a leader that has written nothing since {:#x}", leader.zxid))
    } else {
        let reasons = vec![Reason::ZxidBehind { server: node, zxid: server.zxid, need }];
        Answer::Closed { reasons, left: Some(need - server.zxid) }
    }
}

/// What the stable window rests on, and how long it is.
pub(super) fn leader(was_leader: bool, seen: &Seen<'_>) -> (Option<BrokerId>, Option<i64>, u32) {
    let policy = seen.policy;
    let need = if was_leader { policy.stable_checks_after_leader } else { policy.stable_checks };
    let ensemble = Ensemble::of(seen.roll, seen.observation, policy).ok();
    let leader = ensemble.as_ref().and_then(Ensemble::leader).map(|server| server.server_id);
    (leader, None, need)
}
