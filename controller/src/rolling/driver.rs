//! The loop of a roll.

use super::clocks;
use super::members::{self, Node};
use super::observe::{Clock, observe};
use crate::execute::{Hosts, PlayRun, Run, RunError, Stop};
use kfleet_model::event::EventKind;
use kfleet_model::{BrokerId, Class, ClusterName, HostName, Map, Op, OpEnd, OpId, Reason, TopicPartition, Value};
use kfleet_playbook::plan::Play;
use kfleet_rolling::{
    Action, Decision, Expect, Gate, GateState, Movement, Observation, Policy, Proceed, ProcessId, Progress, Recovery,
    Roll,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// While a gate is closed the cluster is looked at this often, so that kfleet adds little to the cluster's own time;
/// the stable window has the policy's interval.
const LOOK: Duration = Duration::from_millis(500);

/// How long an election of preferred leaders may take.
const ELECTION: Duration = Duration::from_secs(60);

/// What is stored of a roll, before and after each step.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Journal {
    nodes: BTreeMap<BrokerId, HostName>,
    progress: Progress,
}

/// Rolls the play's hosts as one cluster.
///
/// # Errors
/// When the roll was refused, a task failed, the operator stopped it, or the run can not go on.
pub async fn roll_play(run: &Run, play: &Play, hosts: Hosts) -> Result<(), Stop> {
    let Some(mut driver) = Driver::prepare(run, play, hosts).await? else { return Err(Stop::Failed) };
    let outcome = driver.run().await;
    if matches!(outcome, Err(Stop::Cancelled)) {
        driver.tell_cancelled().await;
    }
    driver.release().await;
    outcome
}

struct Driver<'r> {
    run: &'r Run,
    play: &'r Play,
    hosts: Hosts,
    nodes: BTreeMap<BrokerId, Node>,
    roll: Roll,
    policy: Policy,
    cluster: ClusterName,
    progress: Progress,
    clock: Clock,
    last_change: Option<Duration>,
    order_told: bool,
    /// kfleet's own time on the present node: looking, deciding and recording while nobody else was waited for. A look
    /// that finds the cluster not ready yet costs nothing: the cluster would have been waited for anyway.
    own: Duration,
    /// How long the last look took.
    looked: Duration,
}

impl<'r> Driver<'r> {
    async fn prepare(run: &'r Run, play: &'r Play, hosts: Hosts) -> Result<Option<Self>, Stop> {
        let policy = policy(run, play)?;
        let cluster = run.cluster_name(play).map_err(|why| run.input(why))?;
        if !take_lease(run, &cluster, &hosts).await? {
            return Ok(None);
        }
        let nodes = match members::discover(run, &hosts).await {
            Ok(nodes) => nodes,
            Err(errors) => {
                let reasons = errors.iter().map(member_reason).collect();
                refuse(run, None, reasons, &[], &names(&hosts)).await;
                run.release_lease(&cluster).await;
                return Ok(None);
            }
        };
        let roll = Roll::new(None, members::members(&nodes)).map_err(|error| run.input(error.to_string()))?;
        let progress = match stored(run, play).await? {
            Some(journal) => journal.progress,
            // Clocks are looked at before a roll begins only: one in the middle of a node has to go on.
            None if !clocks::in_step(run, &hosts, &policy).await => {
                run.release_lease(&cluster).await;
                return Ok(None);
            }
            None => Progress::new(&roll, nodes.keys().copied()).map_err(|error| run.input(error.to_string()))?,
        };
        Ok(Some(Self {
            run,
            play,
            hosts,
            nodes,
            roll,
            policy,
            cluster,
            progress,
            clock: Clock::start(),
            last_change: None,
            order_told: false,
            own: Duration::ZERO,
            looked: Duration::ZERO,
        }))
    }

    /// What a stopped roll leaves: done, in the middle, not touched.
    async fn tell_cancelled(&self) {
        let list = |hosts: Vec<HostName>| match hosts.is_empty() {
            true => "none".to_owned(),
            false => hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "),
        };
        let name = |id: BrokerId| self.nodes.get(&id).map(|node| node.host.clone());
        let middle = self.progress.in_flight().and_then(|(id, _)| name(id)).into_iter().collect();
        let text = format!(
            "the roll was stopped; rolled: {}; in the middle, to be looked at or resumed: {}; not touched: {}",
            list(self.progress.done().filter_map(name).collect()),
            list(middle),
            list(self.progress.untouched().filter_map(name).collect()),
        );
        self.send(EventKind::Warning { text }).await;
    }

    async fn release(&self) {
        self.run.release_lease(&self.cluster).await;
    }

    async fn run(&mut self) -> Result<(), Stop> {
        loop {
            if self.run.cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            self.own = Duration::ZERO;
            let begun = Instant::now();
            let in_flight = self.progress.in_flight().map(|(node, _)| node);
            let node = match in_flight {
                // The run was resumed in the middle of this node: its tasks go on where they were.
                Some(node) => {
                    self.reenter(node, begun).await?;
                    node
                }
                None => match self.next(begun).await? {
                    Some(proceed) => self.enter(&proceed).await?,
                    None => return Ok(()),
                },
            };
            self.step(node, begun).await?;
        }
    }

    /// Waits until a node may be stopped; none when all are done.
    async fn next(&mut self, begun: Instant) -> Result<Option<Box<Proceed>>, Stop> {
        loop {
            let observation = self.look().await;
            let decision = kfleet_rolling::decide(&self.roll, &observation, &self.policy, &self.progress);
            let reasons = match decision {
                Decision::Done => return Ok(None),
                Decision::Proceed(proceed) => {
                    self.own += self.looked;
                    self.tell_order(&proceed).await;
                    return Ok(Some(proceed));
                }
                Decision::Recover { .. } => Vec::new(),
                Decision::Refuse(reasons) => return Err(self.refused(None, reasons).await),
                Decision::Wait(reasons) => reasons,
            };
            let waited = begun.elapsed();
            let gate = Gate::BeforeStop;
            if let Decision::Refuse(reasons) = kfleet_rolling::expire(gate, reasons.clone(), waited, &self.policy) {
                return Err(self.refused(None, reasons).await);
            }
            let host = self.next_host();
            self.wait(&host, gate, reasons, waited).await?;
        }
    }

    /// After a resume: while the node's process is still the one of before, nothing has stopped it yet, and the
    /// cluster may have changed since the intent was recorded. Then the gate before the stop has to be passed anew.
    async fn reenter(&mut self, id: BrokerId, begun: Instant) -> Result<(), Stop> {
        loop {
            let observation = self.look().await;
            let untouched = match (self.progress.in_flight(), observation.nodes.get(&id)) {
                (Some((_, entered)), Some(view)) => {
                    entered.process.is_some() && ProcessId::of(&view.reading) == entered.process
                }
                (_, None) | (None, _) => false,
            };
            if !untouched && observation.nodes.contains_key(&id) {
                return Ok(());
            }
            let node = self.nodes.get(&id).map(|node| node.host.clone()).unwrap_or_else(|| self.next_host());
            let decision = kfleet_rolling::before_stop(&self.roll, &observation, &self.policy, &self.progress, id);
            let reasons = match decision {
                Decision::Proceed(_) => return Ok(()),
                Decision::Refuse(reasons) => return Err(self.refused(Some(node), reasons).await),
                Decision::Wait(reasons) => reasons,
                Decision::Done | Decision::Recover { .. } => {
                    return Err(self.broken(format!("node {id} of the journal can not be entered again")));
                }
            };
            let waited = begun.elapsed();
            let expired = kfleet_rolling::expire(Gate::BeforeStop, reasons.clone(), waited, &self.policy);
            if let Decision::Refuse(reasons) = expired {
                return Err(self.refused(Some(node), reasons).await);
            }
            self.wait(&node, Gate::BeforeStop, reasons, waited).await?;
        }
    }

    fn next_host(&self) -> HostName {
        let first = self.progress.untouched().next();
        first.and_then(|id| self.nodes.get(&id)).map_or_else(|| self.hosts[0].name.clone(), |node| node.host.clone())
    }

    async fn tell_order(&mut self, proceed: &Proceed) {
        if self.order_told {
            return;
        }
        self.order_told = true;
        let order = proceed.order.iter().map(|place| (place.host.clone(), place.why.clone())).collect();
        self.send(EventKind::RollPlanned { cluster: self.cluster.clone(), order }).await;
    }

    /// Records the intent, durably, before anything is done.
    async fn enter(&mut self, proceed: &Proceed) -> Result<BrokerId, Stop> {
        let progress = self.progress.enter(proceed).map_err(|error| self.broken(error.to_string()))?;
        self.store(progress).await?;
        let event = EventKind::RollProceed {
            host: proceed.host.clone(),
            node: proceed.node,
            evidence: proceed.evidence.clone(),
        };
        self.send(event).await;
        Ok(proceed.node)
    }

    /// One node: the play's tasks on it, then its gates.
    async fn step(&mut self, id: BrokerId, begun: Instant) -> Result<(), Stop> {
        let Some(node) = self.nodes.get(&id).cloned() else {
            return Err(self.broken(format!("node {id} of the journal is not among the play's hosts")));
        };
        let Some(host) = self.hosts.iter().find(|host| host.name == node.host) else {
            return Err(self.broken(format!("host {} is not in the play", node.host)));
        };
        let tasks = Instant::now();
        let walk = PlayRun::new(self.run, self.play, self.hosts.clone(), vec![std::sync::Arc::clone(host)]);
        let outcome = walk.batch().await;
        self.last_change = Some(self.clock.now());
        match outcome {
            Ok(()) | Err(Stop::EndBatch) if host.active() || host.standing() == crate::execute::Standing::Ended => {}
            Ok(()) | Err(Stop::EndBatch | Stop::Failed) => {
                let unit = node.params.get("service").and_then(Value::as_str).unwrap_or_default();
                let why = format!("a task failed on {} while the node was in flight; look at {unit} there", node.host);
                let reasons = vec![Reason::NotRestarted { node: id, why }];
                return Err(self.refused(Some(node.host.clone()), reasons).await);
            }
            Err(other) => return Err(other),
        }
        let down_until = self.gates(id, &node).await?;
        let done = EventKind::RollNodeDone {
            host: node.host.clone(),
            node: id,
            down_ms: millis(down_until.duration_since(tasks)),
            total_ms: millis(begun.elapsed()),
            own_ms: millis(self.own),
        };
        self.send(done).await;
        Ok(())
    }

    /// Observes until every gate of the node is open; gives the moment when its process was seen to run again.
    async fn gates(&mut self, id: BrokerId, node: &Node) -> Result<Instant, Stop> {
        let Some((_, entered)) = self.progress.in_flight() else {
            return Err(self.broken(format!("node {id} is not in flight")));
        };
        let expect = if self.run.options.check { Expect::AnyProcess } else { Expect::NewProcess };
        let mut recovery = Recovery::begin(id, entered.clone(), expect);
        let (mut since, mut nearer, mut up) = (Instant::now(), Instant::now(), None);
        loop {
            let observation = self.look().await;
            let check = recovery.check(&self.roll, &observation, &self.policy);
            recovery = check.next;
            if !check.gates.iter().any(|(_, state)| matches!(state, GateState::Wait { .. })) {
                self.own += self.looked;
            }
            for (gate, state) in check.gates {
                match state {
                    GateState::Open { evidence } => {
                        if gate == Gate::Process {
                            up = Some(Instant::now());
                        }
                        let waited_ms = millis(since.elapsed());
                        let (host, gate) = (node.host.clone(), gate.to_string());
                        self.send(EventKind::RollGate { host, gate, waited_ms, evidence }).await;
                        (since, nearer) = (Instant::now(), Instant::now());
                    }
                    GateState::Act(Action::ElectPreferred { partitions }) => self.elect(node, &partitions).await,
                    GateState::Wait { reasons, movement } => {
                        if movement == Movement::Nearer {
                            nearer = Instant::now();
                        }
                        let waited = nearer.elapsed();
                        let expired = kfleet_rolling::expire(gate, reasons.clone(), waited, &self.policy);
                        if let Decision::Refuse(reasons) = expired {
                            return Err(self.refused(Some(node.host.clone()), reasons).await);
                        }
                        self.wait(&node.host, gate, reasons, since.elapsed()).await?;
                    }
                }
            }
            if recovery.is_over() {
                let progress = self.progress.finish(&recovery).map_err(|error| self.broken(error.to_string()))?;
                self.store(progress).await?;
                return Ok(up.unwrap_or(since));
            }
        }
    }

    /// Asks an agent beside a broker to give leadership back. A failure shows itself at the gate, which stays closed.
    async fn elect(&mut self, node: &Node, partitions: &BTreeSet<TopicPartition>) {
        // The module gives the broker on its host every partition that prefers it: those that the gate waits for.
        let wanted = |key: &str| matches!(key, "config" | "command_config");
        let params: Map =
            node.params.iter().filter(|(key, _)| wanted(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let id = format!("{}-elect-{}-{}", self.run.id, node.host, uuid::Uuid::now_v7().simple());
        let Ok(op_id) = OpId::new(id) else { return };
        let op = Op {
            op_id,
            run_id: self.run.id.clone(),
            lease: self.run.lease.lock().ok().and_then(|lease| lease.clone()),
            module: "kafka_preferred_leaders".to_owned(),
            params,
            check: self.run.options.check,
            diff: false,
            deadline: ELECTION,
            become_user: None,
            environment: BTreeMap::new(),
            no_log: false,
        };
        let text = format!("giving leadership of {} partitions back", partitions.len());
        self.send(EventKind::HostProgress { host: node.host.clone(), text }).await;
        let end = self.run.perform(&node.host, &op).await;
        self.last_change = Some(self.clock.now());
        let why = match end {
            Ok(OpEnd::Done { .. }) => return,
            Ok(OpEnd::Failed { result }) => result.msg.unwrap_or_default(),
            Ok(OpEnd::Refused { why } | OpEnd::Expired { why } | OpEnd::Unknown { why }) => why,
            Err(error) => error.to_string(),
        };
        let text = format!("{}: the election of preferred leaders failed: {why}", node.host);
        self.send(EventKind::Warning { text }).await;
    }

    async fn look(&mut self) -> Observation {
        let begun = Instant::now();
        let observation = observe(self.run, &self.nodes, self.clock, self.last_change).await;
        self.looked = begun.elapsed();
        observation
    }

    async fn wait(&self, host: &HostName, gate: Gate, reasons: Vec<Reason>, waited: Duration) -> Result<(), Stop> {
        let window = reasons.iter().any(|reason| matches!(reason, Reason::StableWindow { .. }));
        let pause = if window { self.policy.check_interval() } else { LOOK };
        let (host, gate) = (host.clone(), gate.to_string());
        self.send(EventKind::RollWaiting { host, gate, reasons, waited_ms: millis(waited) }).await;
        tokio::select! {
            // Cancel safe: nothing but time is waited for.
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.run.cancel.cancelled() => Err(Stop::Cancelled),
        }
    }

    async fn store(&mut self, progress: Progress) -> Result<(), Stop> {
        let begun = Instant::now();
        let nodes = self.nodes.iter().map(|(&id, node)| (id, node.host.clone())).collect();
        let journal = Journal { nodes, progress };
        let text = serde_json::to_string(&journal).map_err(|error| self.broken(error.to_string()))?;
        self.run.put_step(&key(self.play), &text).await?;
        self.progress = journal.progress;
        self.own += begun.elapsed();
        Ok(())
    }

    async fn refused(&self, host: Option<HostName>, reasons: Vec<Reason>) -> Stop {
        let name = |id: BrokerId| self.nodes.get(&id).map(|node| node.host.clone());
        let done: Vec<HostName> = self.progress.done().filter_map(name).collect();
        let not_done: Vec<HostName> = self.progress.untouched().filter_map(name).collect();
        refuse(self.run, host, reasons, &done, &not_done).await;
        Stop::Failed
    }

    fn broken(&self, why: String) -> Stop {
        Stop::Error(RunError { class: Class::Internal, text: format!("roll of {}: {why}", self.cluster) })
    }

    async fn send(&self, kind: EventKind) {
        self.run.events.send(kind).await;
    }
}

pub(super) async fn refuse(
    run: &Run,
    host: Option<HostName>,
    reasons: Vec<Reason>,
    done: &[HostName],
    not_done: &[HostName],
) {
    run.mark_failed_safe();
    let event = EventKind::RollRefused { host, reasons, done: done.to_vec(), not_done: not_done.to_vec() };
    run.events.send(event).await;
}

fn member_reason(error: &members::MemberError) -> Reason {
    match error {
        members::MemberError::Link { host, source } => {
            Reason::WrongCluster { expected: format!("the agent of {host}"), found: source.to_string() }
        }
        other @ (members::MemberError::Late { .. }
        | members::MemberError::Reading { .. }
        | members::MemberError::NoId { .. }
        | members::MemberError::SameId { .. }
        | members::MemberError::Role { .. }) => {
            Reason::WrongCluster { expected: "a member of the cluster".to_owned(), found: other.to_string() }
        }
    }
}

async fn take_lease(run: &Run, cluster: &ClusterName, hosts: &Hosts) -> Result<bool, Stop> {
    match run.take_lease(cluster).await? {
        Ok(()) => Ok(true),
        Err(holder) => {
            refuse(run, None, vec![Reason::LeaseHeld { holder }], &[], &names(hosts)).await;
            Ok(false)
        }
    }
}

pub(super) fn names(hosts: &Hosts) -> Vec<HostName> {
    hosts.iter().map(|host| host.name.clone()).collect()
}

/// The play's `rolling:` mapping as a policy.
#[expect(clippy::wildcard_enum_match_arm, reason = "only a mapping can be a policy")]
fn policy(run: &Run, play: &Play) -> Result<Policy, Stop> {
    let Some(node) = &play.rolling else { return Ok(Policy::default()) };
    let value = run.render_for_play(play, &node.to_value())?;
    let map: Map = match value {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        other => return Err(run.input(format!("{}: 'rolling' must be a mapping, not {other}", node.span.short()))),
    };
    let policy: Policy = serde_json::from_value(Value::Object(map))
        .map_err(|error| run.input(format!("{}: rolling policy: {error}", node.span.short())))?;
    policy.validate().map_err(|errors| {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        run.input(format!("{}: {}", node.span.short(), list.join("; ")))
    })?;
    Ok(policy)
}

fn key(play: &Play) -> String {
    format!("roll.{}", play.index)
}

async fn stored(run: &Run, play: &Play) -> Result<Option<Journal>, Stop> {
    let Some(text) = run.step(&key(play)).await? else { return Ok(None) };
    let journal = serde_json::from_str(&text).map_err(|error| {
        Stop::Error(RunError { class: Class::Internal, text: format!("the stored roll can not be read: {error}") })
    })?;
    Ok(Some(journal))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
