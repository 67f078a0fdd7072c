//! A controller that rolls a simulated cluster by the rules, with a journal that outlives it.

use super::{Cluster, DeathAt, Fault, Stop};
use crate::decide::{Decision, decide, expire};
use crate::gate::Gate;
use crate::policy::Policy;
use crate::progress::Progress;
use crate::recovery::{Expect, GateState, Movement, Recovery};
use kfleet_model::{BrokerId, Reason};
use std::time::Duration;

/// How a simulated roll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All nodes are done.
    Done,
    /// It was refused, for these reasons.
    Refused(Vec<Reason>),
    /// The ticks were used up.
    OutOfTime,
}

/// What came of a simulated roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Every stop of ours.
    pub stops: Vec<Stop>,
    /// What happened, one line an event, with its tick.
    pub trace: Vec<String>,
    /// How often the controller was resumed.
    pub resumed: u32,
}

/// What the controller has in its memory, and loses when it dies.
#[derive(Default)]
struct Memory {
    recovery: Option<Recovery>,
    last_change: Option<Duration>,
    gate: Option<(Gate, u32)>,
}

struct Controller<'a, C> {
    cluster: &'a mut C,
    policy: &'a Policy,
    /// The run journal: the progress as JSON.
    journal: String,
    memory: Memory,
    tick: u32,
    dies: Option<(DeathAt, u32)>,
    down: u32,
    attempt: u32,
    resumed: u32,
    trace: Vec<String>,
}

/// Rolls `plan` with faults at their ticks, for at most `ticks`.
///
/// # Panics
/// When the rules break their own contract: a journal that does not read back, a step out of order.
#[must_use]
pub fn run<C: Cluster>(
    cluster: &mut C,
    policy: &Policy,
    plan: &[BrokerId],
    schedule: &[(u32, Fault)],
    ticks: u32,
) -> Outcome {
    let progress = must(Progress::new(cluster.roll(), plan.iter().copied()));
    let journal = must(serde_json::to_string(&progress));
    let interval = u32::try_from(policy.check_interval_s).unwrap_or(u32::MAX).max(1);
    let mut controller = Controller {
        cluster,
        policy,
        journal,
        memory: Memory::default(),
        tick: 0,
        dies: None,
        down: 0,
        attempt: 0,
        resumed: 0,
        trace: Vec::new(),
    };
    let mut end = End::OutOfTime;
    for tick in 0..ticks {
        controller.tick = tick;
        for (_, fault) in schedule.iter().filter(|(at, _)| *at == tick) {
            controller.fault(*fault);
        }
        controller.cluster.tick();
        if controller.down > 0 {
            controller.down -= 1;
            continue;
        }
        if tick % interval == 0
            && let Some(ended) = controller.step()
        {
            end = ended;
            break;
        }
    }
    let Controller { trace, resumed, .. } = controller;
    Outcome { end, stops: cluster.stops().to_vec(), trace, resumed }
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("the rules keep their own contract: {error}"))
}

impl<C: Cluster> Controller<'_, C> {
    fn say(&mut self, text: impl AsRef<str>) {
        self.trace.push(format!("{:>4} {}", self.tick, text.as_ref()));
    }

    fn fault(&mut self, fault: Fault) {
        self.say(format!("{fault:?}"));
        match fault {
            Fault::ControllerDies { at: DeathAt::Once, back } => self.die(back),
            Fault::ControllerDies { at, back } => self.dies = Some((at, back)),
            Fault::Crash { .. }
            | Fault::SlowStart { .. }
            | Fault::OutOfStep { .. }
            | Fault::Fenced { .. }
            | Fault::LeaderMoves
            | Fault::Lags { .. }
            | Fault::Late { .. }
            | Fault::Silent { .. }
            | Fault::AgentLost { .. } => self.cluster.fault(fault),
        }
    }

    /// The process is gone with all that it knew; only the journal stays.
    fn die(&mut self, back: u32) {
        self.memory = Memory::default();
        self.down = back;
        self.resumed += 1;
        self.say("the controller died");
    }

    /// Dies here when that was ordered.
    fn dies_at(&mut self, point: DeathAt) -> bool {
        let Some((_, back)) = self.dies.take_if(|(at, _)| *at == point) else { return false };
        self.die(back);
        true
    }

    fn store(&mut self, progress: &Progress) {
        self.journal = must(serde_json::to_string(progress));
    }

    /// One round: observe, decide, act.
    fn step(&mut self) -> Option<End> {
        let progress: Progress = must(serde_json::from_str(&self.journal));
        let observation = self.cluster.observe(self.policy, self.memory.last_change);
        match decide(self.cluster.roll(), &observation, self.policy, &progress) {
            Decision::Proceed(proceed) => {
                self.memory.gate = None;
                self.attempt += 1;
                self.store(&must(progress.enter(&proceed)));
                self.say(format!("stop {}: {}", proceed.node, proceed.evidence.join("; ")));
                if !self.dies_at(DeathAt::AfterIntent) {
                    self.submit(proceed.node);
                }
                None
            }
            Decision::Recover { node } => self.recover(node, &progress),
            Decision::Wait(reasons) => self.waited(Gate::BeforeStop, reasons, Movement::Still),
            Decision::Refuse(reasons) => Some(End::Refused(reasons)),
            Decision::Done => Some(End::Done),
        }
    }

    /// The op's id is made of the node alone, so that the same step asks for the same op after a resume.
    fn submit(&mut self, node: BrokerId) {
        let op = format!("restart-{node}");
        if self.cluster.submit(node, &op, self.policy) {
            let now = Duration::from_secs(u64::from(self.tick));
            if !self.dies_at(DeathAt::AfterSubmit) {
                self.memory.last_change = Some(now);
            }
        }
    }

    /// A node is in flight: ask its agent what became of the op, then look at the gates.
    fn recover(&mut self, node: BrokerId, progress: &Progress) -> Option<End> {
        let op = format!("restart-{node}");
        if self.memory.recovery.is_none() {
            match self.cluster.knows(node, &op) {
                None => {
                    let host = self.cluster.roll().members().get(&node).map(|member| member.host.clone());
                    let reasons = host.map(|host| Reason::HostUnreachable { host }).into_iter().collect();
                    return self.waited(Gate::Process, reasons, Movement::Still);
                }
                Some(false) => {
                    self.say(format!("node {node} was never told: back to untouched"));
                    self.store(&must(progress.withdraw(node)));
                    return None;
                }
                Some(true) => {}
            }
        }
        let (_, entered) = progress.in_flight()?;
        let recovery =
            self.memory.recovery.take().unwrap_or_else(|| Recovery::begin(node, entered.clone(), Expect::NewProcess));
        let observation = self.cluster.observe(self.policy, self.memory.last_change);
        let check = recovery.check(self.cluster.roll(), &observation, self.policy);
        if check.next.is_over() {
            if !self.dies_at(DeathAt::BeforeFinish) {
                self.store(&must(progress.finish(&check.next)));
                self.say(format!("node {node} done"));
                self.memory.gate = None;
            }
            return None;
        }
        self.memory.recovery = Some(check.next);
        for (gate, state) in check.gates {
            match state {
                GateState::Open { evidence } => self.say(format!("{gate}: {evidence}")),
                GateState::Wait { reasons, movement } => return self.waited(gate, reasons, movement),
                GateState::Act(action) => {
                    self.cluster.act(&action);
                    self.memory.last_change = Some(Duration::from_secs(u64::from(self.tick)));
                }
            }
        }
        None
    }

    fn waited(&mut self, gate: Gate, reasons: Vec<Reason>, movement: Movement) -> Option<End> {
        let since = match (self.memory.gate, movement) {
            (Some((at, since)), Movement::Still) if at == gate => since,
            (Some(_) | None, _) => self.tick,
        };
        self.memory.gate = Some((gate, since));
        let waited = Duration::from_secs(u64::from(self.tick - since));
        match expire(gate, reasons, waited, self.policy) {
            Decision::Refuse(reasons) => Some(End::Refused(reasons)),
            Decision::Proceed(_) | Decision::Recover { .. } | Decision::Wait(_) | Decision::Done => None,
        }
    }
}
