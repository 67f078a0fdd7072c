//! A ZooKeeper ensemble that lives by ticks: votes, a leader with an epoch, followers in step or not.

use super::{Cluster, Fault, Process, SimHost, Stop, host_name};
use crate::observation::{Member, NodeView, Observation, Role, Roll, View};
use crate::policy::Policy;
use crate::recovery::Action;
use kfleet_model::snapshot::{ClusterSnapshot, ZooKeeperRole, ZooKeeperServer, ZooKeeperState};
use kfleet_model::{BrokerId, HostName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Ticks that an election takes.
const ELECTION: u32 = 4;
/// Ticks that a server needs to sync with its leader.
const SYNC: u32 = 5;

/// A server beside its host.
#[derive(Debug, Clone)]
struct Server {
    host: HostName,
    role: ZooKeeperRole,
    zxid: u64,
    /// Ticks until it is in step with the leader; none while there is no leader.
    sync: Option<u32>,
    out_of_step: u32,
    stopped_by_us: bool,
}

/// A simulated ensemble with its hosts.
#[derive(Debug, Clone)]
pub struct SimZooKeeper {
    now: u32,
    roll: Roll,
    hosts: BTreeMap<BrokerId, SimHost>,
    servers: BTreeMap<BrokerId, Server>,
    leader: Option<BrokerId>,
    election: u32,
    epoch: u64,
    /// Ticks between two writes; none in an idle ensemble.
    write_every: Option<u32>,
    stops: Vec<Stop>,
}

impl SimZooKeeper {
    /// An ensemble of so many voters and observers, led by its last voter, with a write every so many ticks or never.
    ///
    /// # Panics
    /// When there is no voter.
    #[must_use]
    pub fn new(voters: i32, observers: i32, write_every: Option<u32>) -> Self {
        let servers: BTreeMap<BrokerId, Server> = (1..=voters + observers)
            .map(BrokerId)
            .map(|id| {
                let role = if id.0 <= voters { ZooKeeperRole::Participant } else { ZooKeeperRole::Observer };
                let host = host_name(Role::ZooKeeper, id);
                (id, Server { host, role, zxid: 1 << 32, sync: Some(0), out_of_step: 0, stopped_by_us: false })
            })
            .collect();
        let member = |server: &Server| Member { host: server.host.clone(), role: Role::ZooKeeper };
        let members = servers.iter().map(|(id, server)| (*id, member(server))).collect();
        Self {
            now: 0,
            roll: Roll::new(None, members).unwrap_or_else(|e| panic!("an ensemble has servers: {e}")),
            hosts: servers.keys().map(|id| (*id, SimHost::new(id.0.unsigned_abs()))).collect(),
            servers,
            leader: Some(BrokerId(voters)),
            election: 0,
            epoch: 1,
            write_every,
            stops: Vec::new(),
        }
    }

    fn member_at(&self, place: usize) -> BrokerId {
        let ids: Vec<BrokerId> = self.hosts.keys().copied().collect();
        ids[place % ids.len()]
    }

    fn votes(&self, id: BrokerId) -> bool {
        self.servers[&id].role == ZooKeeperRole::Participant
    }

    fn majority(&self) -> usize {
        self.servers.values().filter(|s| s.role == ZooKeeperRole::Participant).count() / 2 + 1
    }

    /// It serves: it leads, or it is in step with a leader.
    fn serves(&self, id: BrokerId) -> bool {
        let server = &self.servers[&id];
        let in_step = self.leader == Some(id) || (server.sync == Some(0) && server.out_of_step == 0);
        self.hosts[&id].is_up() && self.leader.is_some() && in_step
    }

    fn serving_voters(&self, without: Option<BrokerId>) -> usize {
        self.servers.keys().filter(|id| Some(**id) != without && self.votes(**id) && self.serves(**id)).count()
    }

    fn lose_leader(&mut self) {
        self.leader = None;
        self.election = ELECTION;
        self.servers.values_mut().for_each(|server| server.sync = None);
    }

    /// Elects the server with the most transactions, the higher id of equals.
    fn elect(&mut self) {
        let able: Vec<BrokerId> =
            self.servers.keys().copied().filter(|id| self.votes(*id) && self.hosts[id].is_up()).collect();
        if able.len() < self.majority() {
            self.election = ELECTION;
            return;
        }
        self.election = self.election.saturating_sub(1);
        if self.election > 0 {
            return;
        }
        self.leader = able.into_iter().max_by_key(|id| (self.servers[id].zxid, *id));
        self.epoch += 1;
        if let Some(leader) = self.leader.and_then(|id| self.servers.get_mut(&id)) {
            leader.zxid = self.epoch << 32;
            leader.sync = Some(0);
        }
    }

    /// Followers get in step, the leader writes, and a leader without a majority steps down.
    fn follow(&mut self) {
        let Some(leader) = self.leader else { return self.elect() };
        let up: Vec<BrokerId> = self.hosts.iter().filter(|(_, h)| h.is_up()).map(|(id, _)| *id).collect();
        if !up.contains(&leader) || up.iter().filter(|id| self.votes(**id)).count() < self.majority() {
            return self.lose_leader();
        }
        let head = self.servers[&leader].zxid;
        let writes = self.write_every.is_some_and(|every| self.now.is_multiple_of(every));
        for (id, server) in self.servers.iter_mut().filter(|(id, _)| up.contains(id)) {
            if *id == leader {
                server.zxid += u64::from(writes);
                continue;
            }
            if server.out_of_step > 0 {
                server.sync = Some(SYNC);
            }
            server.sync = Some(server.sync.map_or(SYNC, |left| left.saturating_sub(1)));
            // A follower in step has every transaction; one that found nothing new keeps its last zxid.
            if server.sync == Some(0) && (head & 0xffff_ffff != 0 || writes) {
                server.zxid = head + u64::from(writes);
            }
        }
    }

    fn state(&self, id: BrokerId) -> ZooKeeperState {
        let server = &self.servers[&id];
        if self.leader == Some(id) {
            let followers = || self.servers.keys().filter(|f| **f != id && self.votes(**f) && self.hosts[f].is_up());
            let synced = followers().filter(|f| self.serves(**f)).count() as u64;
            return ZooKeeperState::Leader {
                synced_followers: synced,
                pending_syncs: followers().count() as u64 - synced,
            };
        }
        match (self.serves(id), server.role) {
            (true, ZooKeeperRole::Participant) => ZooKeeperState::Follower,
            (true, ZooKeeperRole::Observer) => ZooKeeperState::Observer,
            (false, _) => ZooKeeperState::NotServing,
        }
    }
}

impl Cluster for SimZooKeeper {
    fn roll(&self) -> &Roll {
        &self.roll
    }

    fn tick(&mut self) {
        self.now += 1;
        for (id, host) in &mut self.hosts {
            host.tick(self.now);
            if let Some(server) = self.servers.get_mut(id) {
                server.out_of_step = server.out_of_step.saturating_sub(1);
                if !host.is_up() {
                    server.sync = None;
                }
            }
        }
        self.follow();
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { member, back } => {
                let id = self.member_at(member);
                self.hosts.entry(id).and_modify(|host| {
                    if host.process != Process::Down {
                        host.down(back);
                    }
                });
            }
            Fault::SlowStart { member, ticks } => {
                let id = self.member_at(member);
                self.hosts.entry(id).and_modify(|host| host.slow_start = ticks);
            }
            Fault::OutOfStep { member, ticks } | Fault::Fenced { member, ticks } => {
                let id = self.member_at(member);
                self.servers.entry(id).and_modify(|server| server.out_of_step = ticks);
            }
            Fault::LeaderMoves => self.lose_leader(),
            Fault::Late { member, ticks } | Fault::Lags { member, ticks } => {
                let id = self.member_at(member);
                self.hosts.entry(id).and_modify(|host| host.late = ticks);
            }
            Fault::Silent { member, ticks } => {
                let id = self.member_at(member);
                self.hosts.entry(id).and_modify(|host| host.silent = ticks);
            }
            Fault::AgentLost { member, ticks } => {
                let id = self.member_at(member);
                self.hosts.entry(id).and_modify(|host| host.agent_lost = ticks);
            }
            Fault::ControllerDies { .. } => {}
        }
    }

    fn observe(&self, policy: &Policy, last_change: Option<Duration>) -> Observation {
        let now = Duration::from_secs(u64::from(self.now) + 1000);
        let late = Duration::from_secs(policy.view_max_age_s + 1);
        let ensemble: BTreeMap<BrokerId, ZooKeeperRole> = self.servers.iter().map(|(id, s)| (*id, s.role)).collect();
        let mut views = Vec::new();
        let mut nodes = BTreeMap::new();
        for (id, host) in self.hosts.iter().filter(|(_, host)| host.agent_lost == 0) {
            let began = if host.late > 0 { now.saturating_sub(late) } else { now };
            let reading = host.reading("zookeeper.service", *id);
            nodes.insert(*id, NodeView { began, reading, recovery_left: None });
            if !host.is_up() || host.silent > 0 {
                continue;
            }
            let server = ZooKeeperServer {
                host: self.servers[id].host.clone(),
                server_id: *id,
                state: self.state(*id),
                zxid: self.servers[id].zxid,
                ensemble: ensemble.clone(),
                outstanding_requests: 0,
                connections: 0,
                data_size_bytes: 1_000_000,
                tick_ms: 2000,
                init_limit: 10,
                version: "3.8.4".to_owned(),
            };
            views.push(View { began, snapshot: ClusterSnapshot::ZooKeeper(server) });
        }
        let last_change = last_change.map(|change| change + Duration::from_secs(1000));
        Observation { now, last_change, views, nodes }
    }

    fn submit(&mut self, node: BrokerId, op: &str, _policy: &Policy) -> bool {
        let host = &self.hosts[&node];
        if host.agent_lost > 0 {
            return false;
        }
        if host.ops.iter().any(|known| known == op) {
            return true;
        }
        let mut harm = Vec::new();
        let (before, after) = (self.serving_voters(None), self.serving_voters(Some(node)));
        if before >= self.majority() && after < self.majority() {
            harm.push(format!("{after} voters serve, {} are needed", self.majority()));
        }
        let untouched = |id: &BrokerId, server: &Server| *id != node && !server.stopped_by_us;
        let others_left = self.servers.iter().filter(|(id, server)| untouched(id, server)).count();
        let led = self.leader == Some(node);
        self.stops.push(Stop { tick: self.now, node, harm, led, others_left });
        self.servers.entry(node).and_modify(|server| server.stopped_by_us = true);
        self.hosts.entry(node).and_modify(|host| {
            host.ops.push(op.to_owned());
            host.down(Some(2));
        });
        true
    }

    fn knows(&self, node: BrokerId, op: &str) -> Option<bool> {
        let host = &self.hosts[&node];
        (host.agent_lost == 0).then(|| host.ops.iter().any(|known| known == op))
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::ElectPreferred { .. } => {}
        }
    }

    fn stops(&self) -> &[Stop] {
        &self.stops
    }
}
