//! Simulated clusters and a simulated controller that rolls them, for property tests of this and other crates.
//!
//! Purpose: run the rules against clusters in which things go wrong by themselves, and judge every stop by the truth
//! that the rules can not see. One tick is one second; nothing is random, so a schedule of faults can be replayed.
//! What is assumed: of the brokers that answer, at most one at a time lags behind without knowing it (the rules ask
//! two brokers for that very reason), and nothing happens between an observation and the stop that rests on it.
//! Not here: protocols, processes, the real controller.

mod driver;
mod kafka;
mod zookeeper;

pub use driver::{End, Outcome, run};
pub use kafka::{SimKafka, SimTopic};
pub use zookeeper::SimZooKeeper;

use crate::observation::{Observation, Role, Roll};
use crate::policy::Policy;
use crate::recovery::Action;
use kfleet_model::{BrokerId, HostName, NodeReading};
use std::time::Duration;

/// Where in its own work the controller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathAt {
    /// At once.
    Once,
    /// After the next intent is in the journal, before the agent is told.
    AfterIntent,
    /// After the agent was told, before the controller knows.
    AfterSubmit,
    /// After the last gate of a node, before that is in the journal.
    BeforeFinish,
}

/// Something that goes wrong by itself. Members are meant by their place, counted from 0 and around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies; it is started again by its host after a while, or never.
    Crash {
        /// Who.
        member: usize,
        /// After how many ticks its host starts it again.
        back: Option<u32>,
    },
    /// The next start takes that much longer.
    SlowStart {
        /// Who.
        member: usize,
        /// How many ticks.
        ticks: u32,
    },
    /// The member falls out of step (of all ISRs, of the quorum) though its process runs.
    OutOfStep {
        /// Who.
        member: usize,
        /// How many ticks.
        ticks: u32,
    },
    /// The member loses its registration though its process runs, and its own view stands still.
    Fenced {
        /// Who.
        member: usize,
        /// How many ticks.
        ticks: u32,
    },
    /// The active controller, or the leader, moves to another member.
    LeaderMoves,
    /// The member's view lags behind without a sign of it. Only one member lags at a time.
    Lags {
        /// Who.
        member: usize,
        /// How far behind, which is also for how long.
        ticks: u32,
    },
    /// The member's answers arrive so late that they are too old.
    Late {
        /// Who.
        member: usize,
        /// For how many ticks.
        ticks: u32,
    },
    /// The member does not answer, though it serves.
    Silent {
        /// Who.
        member: usize,
        /// For how many ticks.
        ticks: u32,
    },
    /// The member's agent does not answer.
    AgentLost {
        /// Who.
        member: usize,
        /// For how many ticks.
        ticks: u32,
    },
    /// kfleet's controller dies and is resumed.
    ControllerDies {
        /// At which point of its work.
        at: DeathAt,
        /// After how many ticks it is resumed.
        back: u32,
    },
}

/// A stop of ours, judged by the truth at its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// When.
    pub tick: u32,
    /// Who.
    pub node: BrokerId,
    /// What it broke.
    pub harm: Vec<String>,
    /// It was the active controller or the leader.
    pub led: bool,
    /// Nodes of its role that were not stopped by us until then.
    pub others_left: usize,
}

/// A simulated cluster with its agents.
pub trait Cluster {
    /// Its members.
    fn roll(&self) -> &Roll;
    /// Lets one second pass.
    fn tick(&mut self);
    /// Lets something go wrong.
    fn fault(&mut self, fault: Fault);
    /// What can be seen now. `last_change` is passed through.
    fn observe(&self, policy: &Policy, last_change: Option<Duration>) -> Observation;
    /// Gives a restart to the node's agent; the same op is carried out once. False when the agent does not answer.
    fn submit(&mut self, node: BrokerId, op: &str, accepted_topics: &Policy) -> bool;
    /// Whether the node's agent has ever accepted an op; none when it does not answer.
    fn knows(&self, node: BrokerId, op: &str) -> Option<bool>;
    /// Carries out an action.
    fn act(&mut self, action: &Action);
    /// Our stops until now.
    fn stops(&self) -> &[Stop];
}

/// A process of a simulated host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Down,
    Starting { left: u32 },
    Up,
}

/// What a simulated host has: its process, its agent, and what was ordered.
#[derive(Debug, Clone)]
pub(crate) struct SimHost {
    pub(crate) process: Process,
    pub(crate) pid: u32,
    pub(crate) started: u32,
    pub(crate) start_in: Option<u32>,
    pub(crate) slow_start: u32,
    pub(crate) agent_lost: u32,
    pub(crate) silent: u32,
    pub(crate) late: u32,
    pub(crate) ops: Vec<String>,
}

impl SimHost {
    pub(crate) fn new(pid: u32) -> Self {
        Self {
            process: Process::Up,
            pid,
            started: 0,
            start_in: None,
            slow_start: 0,
            agent_lost: 0,
            silent: 0,
            late: 0,
            ops: Vec::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process == Process::Up
    }

    pub(crate) fn down(&mut self, start_in: Option<u32>) {
        self.process = Process::Down;
        self.start_in = start_in;
    }

    /// One second; true when the process has just come up.
    pub(crate) fn tick(&mut self, now: u32) -> bool {
        self.agent_lost = self.agent_lost.saturating_sub(1);
        self.silent = self.silent.saturating_sub(1);
        self.late = self.late.saturating_sub(1);
        match (self.process, self.start_in) {
            (Process::Down, Some(0)) => {
                self.process = Process::Starting { left: 3 + self.slow_start };
                (self.slow_start, self.start_in) = (0, None);
                (self.pid, self.started) = (self.pid + 1000, now);
            }
            (Process::Down, Some(left)) => self.start_in = Some(left - 1),
            (Process::Starting { left: 0 }, _) => {
                self.process = Process::Up;
                return true;
            }
            (Process::Starting { left }, _) => self.process = Process::Starting { left: left - 1 },
            (Process::Down, None) | (Process::Up, _) => {}
        }
        false
    }

    pub(crate) fn reading(&self, unit: &str, id: BrokerId) -> NodeReading {
        let runs = self.process != Process::Down;
        NodeReading {
            unit: unit.to_owned(),
            active_state: if runs { "active" } else { "inactive" }.to_owned(),
            result: "success".to_owned(),
            main_pid: runs.then_some(self.pid),
            started_us: u64::from(self.started) * 1_000_000,
            boot_id: "boot".to_owned(),
            stop_timeout_ms: 1_800_000,
            port_open: self.is_up(),
            node_id: Some(id),
            log_dirs: Vec::new(),
            clock_unix_ms: 0,
        }
    }

    pub(crate) fn recovery_left(&self) -> Option<u64> {
        match self.process {
            Process::Starting { left } => Some(u64::from(left) + 1),
            Process::Down | Process::Up => None,
        }
    }
}

/// A member's host name in a simulated cluster: its role and id.
pub(crate) fn host_name(role: Role, id: BrokerId) -> HostName {
    let word = match role {
        Role::Broker | Role::Combined => "kafka",
        Role::Controller => "controller",
        Role::ZooKeeper => "zookeeper",
    };
    HostName::new(format!("{word}-{id}")).unwrap_or_else(|error| unreachable!("a word and a number: {error}"))
}
