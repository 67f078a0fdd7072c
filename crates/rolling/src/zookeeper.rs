//! ZooKeeper's order and its gate before a stop (ops 2.4, row "ZooKeeper ensemble").
//!
//! The order is made anew before every step: servers of the plan that are down first (cured, never skipped), then
//! observers, then followers by id, and the leader last. Each server says only what it knows of itself, so here every
//! member has to answer, and the leader's count of followers in step is what is believed.

use crate::condition::{Condition, condition};
use crate::decide::{Place, seen_by};
use crate::observation::{Observation, Roll};
use crate::policy::Policy;
use crate::progress::{Entered, NodeProgress, Picture, ProcessId, Progress};
use kfleet_model::snapshot::{ZooKeeperRole, ZooKeeperServer, ZooKeeperState};
use kfleet_model::stop::partition::size;
use kfleet_model::{BrokerId, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// The members of an ensemble that answered.
#[derive(Debug, Clone)]
pub(crate) struct Ensemble<'a> {
    /// What each says of itself.
    pub(crate) servers: BTreeMap<BrokerId, &'a ZooKeeperServer>,
    /// The configured roles, on which all agree.
    pub(crate) roles: BTreeMap<BrokerId, ZooKeeperRole>,
}

impl<'a> Ensemble<'a> {
    /// Puts the servers' answers together.
    pub(crate) fn of(roll: &Roll, observation: &'a Observation, policy: &Policy) -> Result<Self, Vec<Reason>> {
        let fresh = observation.zookeeper(policy);
        let Some((first_id, first)) = fresh.by.first_key_value() else {
            let mut reasons = vec![Reason::TooFewViews { got: 0, need: size(roll.members().len()) }];
            if !fresh.stale.is_empty() {
                reasons.push(Reason::StaleSnapshot);
            }
            reasons.extend(
                roll.members()
                    .iter()
                    .filter(|(id, _)| !observation.nodes.contains_key(id))
                    .map(|(_, member)| Reason::HostUnreachable { host: member.host.clone() }),
            );
            return Err(reasons);
        };
        if let Some((other, _)) = fresh.by.iter().find(|(_, server)| server.ensemble != first.ensemble) {
            let about = "the configured members of the ensemble".to_owned();
            return Err(vec![Reason::ViewsDisagree { one: *first_id, other: *other, about }]);
        }
        // A standalone server has no list of members; it is an ensemble of one.
        let roles = match first.ensemble.is_empty() {
            true => BTreeMap::from([(*first_id, ZooKeeperRole::Participant)]),
            false => first.ensemble.clone(),
        };
        let names = |ids: Vec<&BrokerId>| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
        if !roles.keys().eq(roll.members().keys()) {
            return Err(vec![Reason::WrongCluster {
                expected: format!("ZooKeeper servers {}", names(roll.members().keys().collect())),
                found: format!("servers {} in the ensemble's configuration", names(roles.keys().collect())),
            }]);
        }
        Ok(Self { servers: fresh.by, roles })
    }

    /// The servers that vote.
    pub(crate) fn voters(&self) -> impl Iterator<Item = BrokerId> + '_ {
        self.roles.iter().filter(|(_, role)| **role == ZooKeeperRole::Participant).map(|(id, _)| *id)
    }

    /// The one that leads (or stands alone); none when nobody or several say so.
    pub(crate) fn leader(&self) -> Option<&'a ZooKeeperServer> {
        let mut leaders = self.servers.values().filter(|s| leads(s));
        match (leaders.next(), leaders.next()) {
            (Some(leader), None) => Some(leader),
            (Some(_) | None, _) => None,
        }
    }

    /// Why the ensemble does not count a server, or nothing when it does.
    fn not_counted(&self, id: BrokerId) -> Option<String> {
        match self.servers.get(&id).map(|server| &server.state) {
            None => Some("does not answer".to_owned()),
            Some(ZooKeeperState::NotServing) => Some("serves nobody: there is no quorum, or an election".to_owned()),
            Some(
                ZooKeeperState::Leader { .. }
                | ZooKeeperState::Follower
                | ZooKeeperState::Observer
                | ZooKeeperState::Standalone,
            ) => None,
        }
    }

    /// The condition of one server: host and ensemble together.
    pub(crate) fn condition(&self, id: BrokerId, observation: &Observation, policy: &Policy) -> Condition {
        condition(id, observation, policy, self.not_counted(id))
    }

    /// The reason against believing the ensemble settled, but for servers in `down`: one leader, every other voter in
    /// step with it, nobody behind an epoch, and no queue.
    ///
    /// `mntr`'s zk_synced_followers counts voters that follow; observers are not in it.
    pub(crate) fn unsettled(&self, down: &BTreeSet<BrokerId>, policy: &Policy) -> Vec<Reason> {
        let Some(leader) = self.leader() else { return vec![Reason::NoActiveController] };
        let mut reasons = Vec::new();
        let mut say = |server: BrokerId, why: String| reasons.push(Reason::EnsembleUnsettled { server, why });
        let expected = self.voters().filter(|id| *id != leader.server_id && !down.contains(id)).count() as u64;
        if let ZooKeeperState::Leader { synced_followers, pending_syncs } = leader.state {
            if synced_followers < expected {
                say(leader.server_id, format!("the leader has {synced_followers} followers in step of {expected}"));
            }
            if pending_syncs > 0 {
                say(leader.server_id, format!("{pending_syncs} syncs are pending with the leader"));
            }
        }
        for (id, server) in self.servers.iter().filter(|(id, _)| !down.contains(id)) {
            if server.outstanding_requests >= policy.zk_max_outstanding {
                let (got, limit) = (server.outstanding_requests, policy.zk_max_outstanding);
                say(*id, format!("{got} requests are outstanding, less than {limit} are allowed"));
            }
            if !same_epoch(leader, server) {
                let (own, leads) = (epoch(server.zxid), epoch(leader.zxid));
                say(*id, format!("it is in epoch {own}, the leader in epoch {leads}"));
            }
        }
        reasons
    }
}

fn leads(server: &ZooKeeperServer) -> bool {
    matches!(server.state, ZooKeeperState::Leader { .. } | ZooKeeperState::Standalone)
}

/// The epoch of a transaction id: its upper half (ZooKeeper internals).
pub(crate) fn epoch(zxid: u64) -> u64 {
    zxid >> 32
}

/// Nothing was written in the leader's epoch yet. A new leader sets its own zxid to the beginning of its epoch, while a
/// follower that had everything keeps the last transaction of the epoch before until something is written; in an idle
/// ensemble that can take long, and the leader's count of followers in step is the proof then.
pub(crate) fn nothing_written(leader: &ZooKeeperServer) -> bool {
    leader.zxid & 0xffff_ffff == 0
}

fn same_epoch(leader: &ZooKeeperServer, server: &ZooKeeperServer) -> bool {
    epoch(server.zxid) == epoch(leader.zxid) || nothing_written(leader)
}

/// The servers that are left, in their order.
pub(crate) fn order(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
) -> Result<Vec<Place>, Vec<Reason>> {
    let ensemble = Ensemble::of(roll, observation, policy)?;
    let leader = ensemble.leader().map(|server| server.server_id);
    let mut keyed: Vec<_> = progress
        .untouched()
        .filter_map(|id| roll.members().get(&id).map(|member| (id, member)))
        .map(|(id, member)| {
            let ready = ensemble.condition(id, observation, policy).is_ready();
            let observer = ensemble.roles.get(&id) == Some(&ZooKeeperRole::Observer);
            let (rank, why) = match (ready, observer, leader == Some(id)) {
                (false, _, _) => (0, "not ready, so it comes first"),
                (true, true, _) => (1, "an observer, which has no vote"),
                (true, false, false) => (2, "a follower, by id"),
                (true, false, true) => (3, "the leader, so it comes last"),
            };
            ((rank, id), Place { node: id, host: member.host.clone(), why: why.to_owned() })
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    Ok(keyed.into_iter().map(|(_, place)| place).collect())
}

/// The gate before the stop of one server: evidence and the picture for its recovery, or every reason against it.
pub(crate) fn before(
    roll: &Roll,
    observation: &Observation,
    policy: &Policy,
    progress: &Progress,
    candidate: BrokerId,
) -> Result<(Vec<String>, Entered), Vec<Reason>> {
    let ensemble = Ensemble::of(roll, observation, policy)?;
    let conditions: BTreeMap<BrokerId, Condition> =
        roll.members().keys().map(|id| (*id, ensemble.condition(*id, observation, policy))).collect();
    let candidate_down = conditions.get(&candidate).is_some_and(Condition::is_down);
    let untouched = |id: &BrokerId| *id == candidate || progress.nodes().get(id) == Some(&NodeProgress::Untouched);
    let down: BTreeSet<BrokerId> =
        conditions.iter().filter(|(id, c)| candidate_down && c.is_down() && untouched(id)).map(|(id, _)| *id).collect();

    let mut reasons: Vec<Reason> = identity(observation, candidate).into_iter().collect();
    reasons.extend(members(roll, &conditions, &down));
    reasons.extend(ensemble.unsettled(&down, policy));
    reasons.extend(ensemble.servers.values().filter_map(|server| snapshot_too_slow(server, policy)));
    let margin = match majority(&ensemble, &conditions, candidate, policy) {
        Ok(evidence) => Some(evidence),
        Err(reason) => {
            reasons.push(reason);
            None
        }
    };
    if !reasons.is_empty() {
        return Err(reasons);
    }
    Ok((evidence(&ensemble, margin, candidate), entered(&ensemble, observation, candidate, down)))
}

/// The server's configuration has the id that the inventory has.
fn identity(observation: &Observation, candidate: BrokerId) -> Option<Reason> {
    let reading = &observation.nodes.get(&candidate)?.reading;
    let found = reading.node_id.filter(|id| *id != candidate)?;
    let expected = format!("server {candidate} in the configuration of {}", reading.unit);
    Some(Reason::WrongCluster { expected, found: format!("server {found}") })
}

/// All members answer and serve, but for those that are down and wait for us.
fn members(roll: &Roll, conditions: &BTreeMap<BrokerId, Condition>, down: &BTreeSet<BrokerId>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (id, member) in roll.members() {
        match conditions.get(id) {
            Some(Condition::Ready) | None => {}
            Some(Condition::Down { .. }) if down.contains(id) => {}
            Some(Condition::Down { why } | Condition::Unsettled { why }) => {
                reasons.push(Reason::EnsembleUnsettled { server: *id, why: why.clone() });
            }
            Some(Condition::Unreachable) => reasons.push(Reason::HostUnreachable { host: member.host.clone() }),
            Some(Condition::Stale) => reasons.push(Reason::StaleSnapshot),
        }
    }
    reasons
}

/// A majority of all voters stays without the candidate.
fn majority(
    ensemble: &Ensemble<'_>,
    conditions: &BTreeMap<BrokerId, Condition>,
    candidate: BrokerId,
    policy: &Policy,
) -> Result<String, Reason> {
    if ensemble.roles.get(&candidate) == Some(&ZooKeeperRole::Observer) {
        return Ok(format!("server {candidate} is an observer and has no vote"));
    }
    let ready = |id: &BrokerId| conditions.get(id).is_some_and(Condition::is_ready);
    let left = size(ensemble.voters().filter(|id| *id != candidate && ready(id)).count());
    let voters = size(ensemble.voters().count());
    let need = voters / 2 + 1;
    if left >= need {
        Ok(format!("{left} of {voters} voters serve without server {candidate}, {need} are needed"))
    } else if voters <= 2 && policy.accept_ensemble_outage {
        Ok(format!("warning: the ensemble of {voters} stops meanwhile, as the policy accepts"))
    } else {
        Err(Reason::QuorumMargin { candidate, left, need, voters })
    }
}

/// A server that comes back may need the whole snapshot, and has initLimit x tickTime for it; with more data than that
/// it would never join (ZooKeeper administrator's guide, initLimit).
fn snapshot_too_slow(server: &ZooKeeperServer, policy: &Policy) -> Option<Reason> {
    let limit_ms = server.init_limit.saturating_mul(server.tick_ms);
    let transfer_ms = server.data_size_bytes.saturating_mul(1000) / policy.zk_link_bytes_per_s.max(1);
    (transfer_ms >= limit_ms && limit_ms > 0).then_some(Reason::SnapshotTooSlow {
        server: server.server_id,
        bytes: server.data_size_bytes,
        transfer_ms,
        limit_ms,
    })
}

fn evidence(ensemble: &Ensemble<'_>, margin: Option<String>, candidate: BrokerId) -> Vec<String> {
    let ids: Vec<BrokerId> = ensemble.servers.keys().copied().collect();
    let mut lines = vec![seen_by(&ids)];
    match ensemble.leader().map(|leader| leader.server_id) {
        Some(id) if id == candidate => lines.push(format!("server {id} is the leader and the last to go")),
        Some(id) => lines.push(format!("the leader is server {id}")),
        None => {}
    }
    lines.extend(margin);
    lines
}

fn entered(
    ensemble: &Ensemble<'_>,
    observation: &Observation,
    candidate: BrokerId,
    mut down: BTreeSet<BrokerId>,
) -> Entered {
    down.remove(&candidate);
    Entered {
        process: observation.nodes.get(&candidate).and_then(|node| ProcessId::of(&node.reading)),
        picture: Picture::ZooKeeper {
            was_leader: ensemble.leader().is_some_and(|leader| leader.server_id == candidate),
            down,
        },
    }
}
