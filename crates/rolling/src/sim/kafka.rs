//! A Kafka cluster that lives by ticks: registration, ISR, leaders, the active controller, and views that may lag.

use super::{Cluster, Fault, Process, SimHost, Stop, host_name};
use crate::observation::{Member, NodeView, Observation, Role, Roll, View};
use crate::policy::Policy;
use crate::recovery::Action;
use kfleet_model::snapshot::{
    Broker, ClusterSnapshot, KafkaMode, KafkaSnapshot, PartitionState, Quorum, ReplicaProgress, Topic,
};
use kfleet_model::{BrokerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Ticks until the cluster notices that a broker has died (ZooKeeper's or the broker's session).
const SESSION: u32 = 9;
/// Ticks that a replica needs to get in sync again.
const CATCH_UP: u32 = 7;
/// How far back views can lag.
const HISTORY: usize = 64;

/// A topic of a simulated cluster: one list of replicas a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimTopic {
    /// Its name.
    pub name: String,
    /// Its min.insync.replicas.
    pub min_isr: u32,
    /// The replicas of each partition, the preferred leader first.
    pub partitions: Vec<Vec<i32>>,
}

/// What the controller of the cluster knows; views are copies of it, of now or of a while ago.
#[derive(Debug, Clone)]
struct Metadata {
    registered: BTreeSet<BrokerId>,
    active: Option<BrokerId>,
    epoch: i32,
    behind_ms: BTreeMap<BrokerId, i64>,
    topics: BTreeMap<String, Topic>,
}

/// A node of the cluster beside its host.
#[derive(Debug, Clone, Default)]
struct Node {
    session: Option<u32>,
    out_of_step: u32,
    fenced: u32,
    lags: u32,
    frozen: Option<Metadata>,
    stopped_by_us: bool,
}

/// A simulated Kafka cluster with its hosts.
#[derive(Debug, Clone)]
pub struct SimKafka {
    now: u32,
    roll: Roll,
    kraft: bool,
    hosts: BTreeMap<BrokerId, SimHost>,
    nodes: BTreeMap<BrokerId, Node>,
    metadata: Metadata,
    history: VecDeque<Metadata>,
    catch_up: BTreeMap<(TopicPartition, BrokerId), u32>,
    election: u32,
    stops: Vec<Stop>,
}

impl SimKafka {
    /// A cluster of these roles by node id, all up, in ZooKeeper mode unless a role says otherwise.
    ///
    /// # Panics
    /// When there are no nodes.
    #[must_use]
    pub fn new(roles: &[(i32, Role)], topics: &[SimTopic]) -> Self {
        let members: BTreeMap<BrokerId, Member> = roles
            .iter()
            .map(|&(id, role)| (BrokerId(id), Member { host: host_name(role, BrokerId(id)), role }))
            .collect();
        let kraft = members.values().any(|m| m.role != Role::Broker);
        let leader_first = |replicas: &Vec<i32>| PartitionState {
            leader: replicas.first().copied().map(BrokerId),
            leader_epoch: 0,
            replicas: replicas.iter().copied().map(BrokerId).collect(),
            isr: replicas.iter().copied().map(BrokerId).collect(),
            removing: BTreeSet::new(),
        };
        let topics = topics.iter().map(|topic| {
            let partitions = (0..).zip(topic.partitions.iter().map(leader_first)).collect();
            (topic.name.clone(), Topic { min_isr: topic.min_isr, internal: false, partitions })
        });
        let brokers = members.iter().filter(|(_, m)| m.role != Role::Controller).map(|(id, _)| *id);
        let metadata = Metadata {
            registered: brokers.collect(),
            active: members.iter().find(|(_, m)| controls(kraft, m.role)).map(|(id, _)| *id),
            epoch: 1,
            behind_ms: BTreeMap::new(),
            topics: topics.collect(),
        };
        let hosts = members.keys().map(|id| (*id, SimHost::new(id.0.unsigned_abs()))).collect();
        let nodes = members.keys().map(|id| (*id, Node::default())).collect();
        let roll = Roll::new(Some("sim".to_owned()), members).unwrap_or_else(|e| panic!("a cluster has nodes: {e}"));
        Self {
            now: 0,
            roll,
            kraft,
            hosts,
            nodes,
            history: VecDeque::from([metadata.clone()]),
            metadata,
            catch_up: BTreeMap::new(),
            election: 0,
            stops: Vec::new(),
        }
    }

    /// Makes a node the active controller.
    pub fn set_active(&mut self, id: i32) {
        self.metadata.active = Some(BrokerId(id));
        self.history = VecDeque::from([self.metadata.clone()]);
    }

    /// Takes a node down for good, and lets the cluster notice.
    pub fn hold_down(&mut self, id: i32) {
        self.crash(BrokerId(id), None);
        for _ in 0..=SESSION {
            self.tick();
        }
    }

    /// Lets the agent of a node not answer for that many ticks.
    pub fn lose_agent(&mut self, id: i32, ticks: u32) {
        if let Some(host) = self.hosts.get_mut(&BrokerId(id)) {
            host.agent_lost = ticks;
        }
    }

    fn member_at(&self, place: usize) -> BrokerId {
        let ids: Vec<BrokerId> = self.hosts.keys().copied().collect();
        ids[place % ids.len()]
    }

    fn role(&self, id: BrokerId) -> Role {
        self.roll.members()[&id].role
    }

    fn crash(&mut self, id: BrokerId, back: Option<u32>) {
        if let (Some(host), Some(node)) = (self.hosts.get_mut(&id), self.nodes.get_mut(&id))
            && host.process != Process::Down
        {
            host.down(back);
            node.session.get_or_insert(SESSION);
        }
    }

    /// It serves: up, registered where it has to be, and in step.
    fn serves(&self, id: BrokerId) -> bool {
        let registered = self.role(id) == Role::Controller || self.metadata.registered.contains(&id);
        self.hosts[&id].is_up() && registered
    }

    fn deregister(&mut self, id: BrokerId) {
        self.metadata.registered.remove(&id);
        if self.metadata.active == Some(id) {
            self.metadata.active = None;
            self.election = 3;
        }
        for (name, topic) in &mut self.metadata.topics {
            for (number, state) in &mut topic.partitions {
                if state.isr.len() > 1 && state.isr.remove(&id) {
                    let tp = TopicPartition { topic: name.clone(), partition: *number };
                    self.catch_up.insert((tp, id), CATCH_UP);
                }
                lead(state, &self.metadata.registered);
            }
        }
    }

    fn registers(&mut self, id: BrokerId) {
        // A process that is back before its old session ended begins a new one.
        if self.nodes.get_mut(&id).is_some_and(|node| node.session.take().is_some()) {
            self.deregister(id);
        }
        if self.role(id) != Role::Controller {
            self.metadata.registered.insert(id);
        }
        for topic in self.metadata.topics.values_mut() {
            topic.partitions.values_mut().for_each(|state| lead(state, &self.metadata.registered));
        }
    }

    /// Moves replicas in and out of the ISR.
    fn replicate(&mut self) {
        let out: BTreeSet<BrokerId> = self.nodes.iter().filter(|(_, n)| n.out_of_step > 0).map(|(id, _)| *id).collect();
        for (name, topic) in &mut self.metadata.topics {
            for (number, state) in &mut topic.partitions {
                for id in state.replicas.clone() {
                    let key = (TopicPartition { topic: name.clone(), partition: *number }, id);
                    let live = self.metadata.registered.contains(&id) && self.hosts[&id].is_up();
                    if out.contains(&id) && state.leader != Some(id) {
                        if state.isr.len() > 1 && state.isr.remove(&id) {
                            self.catch_up.insert(key, CATCH_UP);
                        }
                    } else if live && !state.isr.contains(&id) && state.leader.is_some() {
                        let left = self.catch_up.entry(key).or_insert(CATCH_UP);
                        *left = left.saturating_sub(1);
                        if *left == 0 {
                            state.isr.insert(id);
                        }
                    }
                }
            }
        }
    }

    /// Elects an active controller, and keeps the voters' lag.
    fn govern(&mut self) {
        let electors: Vec<BrokerId> = self.electors().into_iter().filter(|id| self.serves(*id)).collect();
        let enough = !self.kraft || electors.len() * 2 > self.electors().len();
        if self.metadata.active.is_none() && enough {
            self.election = self.election.saturating_sub(1);
            if self.election == 0 {
                self.metadata.active = electors.first().copied();
                self.metadata.epoch += 1;
            }
        }
        for id in self.electors() {
            let in_step = self.serves(id) && self.nodes[&id].out_of_step == 0;
            let behind = self.metadata.behind_ms.entry(id).or_insert(0);
            *behind = if in_step { 0 } else { *behind + 1000 };
        }
    }

    /// The quorum's leader still counts the voter as following it: within the fetch timeout of 2 s.
    fn in_step(&self, id: BrokerId) -> bool {
        self.metadata.active == Some(id) || self.metadata.behind_ms.get(&id).is_none_or(|behind| *behind < 2000)
    }

    fn electors(&self) -> Vec<BrokerId> {
        self.roll.members().iter().filter(|(_, m)| controls(self.kraft, m.role)).map(|(id, _)| *id).collect()
    }

    fn view_of(&self, id: BrokerId, data: &Metadata) -> KafkaSnapshot {
        let progress = |id: &BrokerId| ReplicaProgress {
            log_end_offset: 0,
            behind_ms: Some(data.behind_ms.get(id).copied().unwrap_or(0)),
        };
        let mode = if self.kraft {
            KafkaMode::Kraft {
                quorum: Quorum {
                    leader: data.active,
                    leader_epoch: data.epoch,
                    high_watermark: 0,
                    voters: self.electors().iter().map(|id| (*id, progress(id))).collect(),
                    observers: BTreeMap::new(),
                },
            }
        } else {
            KafkaMode::ZooKeeper { active_controller: data.active }
        };
        let broker = |id: &BrokerId| Broker { host: format!("kafka-{id}"), port: 9092, rack: None };
        KafkaSnapshot {
            seen_by: id,
            cluster_id: "sim".to_owned(),
            mode,
            brokers: data.registered.iter().map(|id| (*id, broker(id))).collect(),
            topics: data.topics.clone(),
            reassigning: BTreeSet::new(),
        }
    }

    /// What stopping the node breaks, by the truth: replicas whose process is up, not what metadata says.
    fn harm(&self, id: BrokerId, policy: &Policy) -> Vec<String> {
        let mut harm = Vec::new();
        for (name, topic) in &self.metadata.topics {
            for (number, state) in &topic.partitions {
                let live: BTreeSet<BrokerId> = state.isr.iter().copied().filter(|r| self.serves(*r)).collect();
                let left = live.iter().filter(|r| **r != id).count();
                let accepted = policy.accept_refused_writes_topics.contains(name) && left > 0
                    || policy.accept_offline_topics.contains(name) && state.replicas.len() == 1;
                if live.contains(&id) && (left == 0 || left < topic.min_isr as usize) && !accepted {
                    harm.push(format!("{name}-{number}: {left} live in sync, min ISR {}", topic.min_isr));
                }
            }
        }
        let electors = self.electors();
        let serving = |without: Option<BrokerId>| {
            electors.iter().filter(|e| Some(**e) != without && self.serves(**e) && self.in_step(**e)).count()
        };
        let majority = electors.len() / 2 + 1;
        if self.kraft && electors.len() > 2 && serving(None) >= majority && serving(Some(id)) < majority {
            harm.push(format!("the quorum keeps {} of {} voters", serving(Some(id)), electors.len()));
        }
        for (other, node) in &self.nodes {
            if *other != id && node.stopped_by_us && self.hosts[other].start_in.is_some() {
                harm.push(format!("node {other}, which we stopped, is not started yet"));
            }
        }
        harm
    }
}

fn controls(kraft: bool, role: Role) -> bool {
    match role {
        Role::Broker => !kraft,
        Role::Controller | Role::Combined => kraft,
        Role::ZooKeeper => false,
    }
}

/// Keeps the leader, or takes the first replica that is in sync and registered.
fn lead(state: &mut PartitionState, registered: &BTreeSet<BrokerId>) {
    let able = |id: &BrokerId| state.isr.contains(id) && registered.contains(id);
    let leader = state.leader.filter(able).or_else(|| state.replicas.iter().copied().find(able));
    if leader != state.leader {
        state.leader = leader;
        state.leader_epoch += 1;
    }
}

impl Cluster for SimKafka {
    fn roll(&self) -> &Roll {
        &self.roll
    }

    fn tick(&mut self) {
        self.now += 1;
        let ids: Vec<BrokerId> = self.hosts.keys().copied().collect();
        for id in ids {
            let came_up = self.hosts.get_mut(&id).is_some_and(|host| host.tick(self.now));
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            node.out_of_step = node.out_of_step.saturating_sub(1);
            node.lags = node.lags.saturating_sub(1);
            let back = node.fenced == 1;
            node.fenced = node.fenced.saturating_sub(1);
            let ended = matches!(node.session, Some(0));
            node.session = if ended { None } else { node.session.map(|left| left - 1) };
            if ended {
                self.deregister(id);
            }
            if came_up || back && self.hosts[&id].is_up() {
                if let Some(node) = self.nodes.get_mut(&id) {
                    (node.fenced, node.frozen) = (0, None);
                }
                self.registers(id);
            }
        }
        self.replicate();
        self.govern();
        self.history.push_front(self.metadata.clone());
        self.history.truncate(HISTORY);
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { member, back } => self.crash(self.member_at(member), back),
            Fault::SlowStart { member, ticks } => {
                let id = self.member_at(member);
                self.hosts.entry(id).and_modify(|host| host.slow_start = ticks);
            }
            Fault::OutOfStep { member, ticks } => {
                let id = self.member_at(member);
                self.nodes.entry(id).and_modify(|node| node.out_of_step = ticks);
            }
            Fault::Fenced { member, ticks } => {
                let id = self.member_at(member);
                if self.hosts[&id].is_up() && self.metadata.registered.contains(&id) && ticks > 0 {
                    let frozen = Some(self.metadata.clone());
                    self.nodes.entry(id).and_modify(|node| (node.fenced, node.frozen) = (ticks, frozen));
                    self.deregister(id);
                }
            }
            Fault::LeaderMoves => {
                let active = self.metadata.active;
                let able = |id: &BrokerId| self.serves(*id) && Some(*id) != active;
                self.metadata.active = self.electors().into_iter().rfind(able);
                self.metadata.epoch += 1;
            }
            Fault::Lags { member, ticks } => {
                self.nodes.values_mut().for_each(|node| node.lags = 0);
                let id = self.member_at(member);
                self.nodes.entry(id).and_modify(|node| node.lags = ticks);
            }
            Fault::Late { member, ticks } => {
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
        let mut views = Vec::new();
        let mut nodes = BTreeMap::new();
        for (id, host) in &self.hosts {
            if host.agent_lost > 0 {
                continue;
            }
            let began = if host.late > 0 { now.saturating_sub(late) } else { now };
            let reading = host.reading("kafka.service", *id);
            nodes.insert(*id, NodeView { began, reading, recovery_left: host.recovery_left() });
            let node = &self.nodes[id];
            if !host.is_up() || host.silent > 0 || self.role(*id) == Role::Controller {
                continue;
            }
            let behind = (node.lags as usize).min(self.history.len().saturating_sub(1));
            let data = node.frozen.as_ref().unwrap_or(&self.history[behind]);
            views.push(View { began, snapshot: ClusterSnapshot::Kafka(self.view_of(*id, data)) });
        }
        let last_change = last_change.map(|change| change + Duration::from_secs(1000));
        Observation { now, last_change, views, nodes }
    }

    fn submit(&mut self, node: BrokerId, op: &str, policy: &Policy) -> bool {
        let host = &self.hosts[&node];
        if host.agent_lost > 0 {
            return false;
        }
        if host.ops.iter().any(|known| known == op) {
            return true;
        }
        let others = self.nodes.iter().filter(|(id, n)| **id != node && !n.stopped_by_us);
        let others_left = others.filter(|(id, _)| self.role(**id) == self.role(node)).count();
        let led = self.metadata.active == Some(node);
        let harm = self.harm(node, policy);
        self.stops.push(Stop { tick: self.now, node, harm, led, others_left });
        if self.serves(node) || self.metadata.registered.contains(&node) {
            self.deregister(node);
        }
        self.nodes.entry(node).and_modify(|n| (n.session, n.fenced, n.stopped_by_us) = (None, 0, true));
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
        let Action::ElectPreferred { partitions } = action;
        for tp in partitions {
            let Some(topic) = self.metadata.topics.get_mut(&tp.topic) else { continue };
            let Some(state) = topic.partitions.get_mut(&tp.partition) else { continue };
            let preferred = state.replicas.first().copied();
            if preferred.is_some_and(|id| state.isr.contains(&id) && self.metadata.registered.contains(&id)) {
                state.leader = preferred;
                state.leader_epoch += 1;
            }
        }
    }

    fn stops(&self) -> &[Stop] {
        &self.stops
    }
}
