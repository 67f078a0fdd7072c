//! The gates after a stop, as a small state machine: is the node truly back (ops 2.3 step 10, 2.4).
//!
//! ```text
//!   Kafka:      process > registered > [quorum] > in-sync > preferred-leader > stable > over
//!   controller: process > quorum > stable > over
//!   ZooKeeper:  process > joined > caught-up > stable > over
//! ```
//! Each check looks at all gates from the first on, not only at the one that is closed: a gate that was open and does
//! not hold any more is what the node waits for again, and the stable window begins anew. Only what was true before
//! the stop is stored in the journal; a resumed run begins here anew and finds the gates open that are open.

use crate::gate::Gate;
use crate::observation::{Member, Observation, Roll};
use crate::policy::Policy;
use crate::progress::{Entered, Picture, ProcessId};
use kfleet_model::{BrokerId, Reason, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

mod kafka;
mod zookeeper;

/// Whether the step was to start a new process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// It was restarted: the process of before must be gone.
    NewProcess,
    /// Nothing on the host was changed, so the process of before may go on.
    AnyProcess,
}

/// Something that the controller has to do for a gate to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Ask for an election of the preferred leaders of these partitions (ElectLeaders, preferred).
    ElectPreferred {
        /// All of them.
        partitions: BTreeSet<TopicPartition>,
    },
}

/// Whether a closed gate came nearer to opening since the check before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// It did: the gate's time counts anew from now.
    Nearer,
    /// It did not.
    Still,
}

/// The state of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateState {
    /// It is open.
    Open {
        /// What was seen.
        evidence: String,
    },
    /// It is closed.
    Wait {
        /// Why.
        reasons: Vec<Reason>,
        /// Whether it comes nearer.
        movement: Movement,
    },
    /// It opens when this is done.
    Act(Action),
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The state to go on with.
    pub next: Recovery,
    /// Gates that opened in this check, in order, and then the one that is closed, if any.
    pub gates: Vec<(Gate, GateState)>,
}

/// How far the recovery of one node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    node: BrokerId,
    entered: Entered,
    expect: Expect,
    /// Gates that were reported open.
    opened: usize,
    over: bool,
    /// Good checks of the stable window.
    good: u32,
    /// What the last good check rested on; another value begins the window anew.
    basis: Option<Basis>,
    /// Elections that were asked for.
    elections: u32,
    /// The least amount of work that was left at the closed gate.
    least: Option<u64>,
    /// The leader's last transaction when the server had joined.
    target_zxid: Option<u64>,
}

/// What must not change during the stable window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Basis {
    process: Option<ProcessId>,
    leader: Option<BrokerId>,
    epoch: Option<i64>,
}

/// A gate's answer, before it is made a state.
enum Answer {
    Open(String),
    Closed { reasons: Vec<Reason>, left: Option<u64> },
    Act(BTreeSet<TopicPartition>, Reason),
}

impl Answer {
    fn closed(reason: Reason) -> Self {
        Self::Closed { reasons: vec![reason], left: None }
    }
}

/// What the answers of one check are made from.
struct Seen<'a> {
    roll: &'a Roll,
    member: &'a Member,
    observation: &'a Observation,
    policy: &'a Policy,
}

impl Recovery {
    /// Begins when the node's step was carried out.
    #[must_use]
    pub fn begin(node: BrokerId, entered: Entered, expect: Expect) -> Self {
        Self {
            node,
            entered,
            expect,
            opened: 0,
            over: false,
            good: 0,
            basis: None,
            elections: 0,
            least: None,
            target_zxid: None,
        }
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> BrokerId {
        self.node
    }

    /// Every gate is open.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Looks at all gates and says which opened and what is waited for. After an [`Action`] the next observation has to
    /// begin when the action has returned.
    #[must_use]
    pub fn check(&self, roll: &Roll, observation: &Observation, policy: &Policy) -> Check {
        let mut next = self.clone();
        let Some(member) = roll.members().get(&self.node) else {
            let found = format!("node {} in flight", self.node);
            let reason = Reason::WrongCluster { expected: "a node of the inventory".to_owned(), found };
            let state = GateState::Wait { reasons: vec![reason], movement: Movement::Still };
            return Check { next, gates: vec![(Gate::Process, state)] };
        };
        let seen = Seen { roll, member, observation, policy };
        let sequence = Gate::after_stop(member.role, next.in_kraft(&seen));
        let mut gates = Vec::new();
        for (n, gate) in sequence.iter().enumerate() {
            match next.answer(*gate, &seen) {
                Answer::Open(evidence) if n >= next.opened => {
                    next.opened = n + 1;
                    next.least = None;
                    gates.push((*gate, GateState::Open { evidence }));
                }
                Answer::Open(_) => {}
                closed @ (Answer::Closed { .. } | Answer::Act(..)) => {
                    // An earlier gate that does not hold any more is shown at the gate that the node stands before.
                    let shown = sequence.get(next.opened).copied().unwrap_or(*gate);
                    if *gate != Gate::Stable {
                        next.good = 0;
                        next.basis = None;
                    }
                    let state = next.close(closed, policy);
                    gates.push((shown, state));
                    return Check { next, gates };
                }
            }
        }
        next.over = true;
        Check { next, gates }
    }

    fn in_kraft(&self, seen: &Seen<'_>) -> bool {
        match self.entered.picture {
            Picture::Kafka { .. } => kafka::in_kraft(seen),
            Picture::ZooKeeper { .. } => false,
        }
    }

    fn answer(&mut self, gate: Gate, seen: &Seen<'_>) -> Answer {
        match gate {
            Gate::Process => self.process(seen),
            Gate::Registered => kafka::registered(self.node, seen),
            Gate::Quorum => kafka::quorum(self.node, seen),
            Gate::InSync => kafka::in_sync(self.node, &self.entered.picture, seen),
            Gate::PreferredLeader => kafka::preferred_leader(self.node, seen),
            Gate::Joined => zookeeper::joined(self.node, &self.entered.picture, seen),
            Gate::CaughtUp => zookeeper::caught_up(self.node, &mut self.target_zxid, seen),
            Gate::Stable => self.stable(seen),
            Gate::BeforeStop => Answer::Open("passed before the stop".to_owned()),
        }
    }

    /// A process runs, and it is another one than before the stop.
    fn process(&self, seen: &Seen<'_>) -> Answer {
        let Some(node) = seen.observation.nodes.get(&self.node) else {
            return Answer::closed(Reason::HostUnreachable { host: seen.member.host.clone() });
        };
        if !seen.observation.is_fresh(node.began, seen.policy) {
            return Answer::closed(Reason::StaleSnapshot);
        }
        let reading = &node.reading;
        let not_yet = |why: String| Answer::closed(Reason::NotRestarted { node: self.node, why });
        let Some(process) = ProcessId::of(reading).filter(|_| crate::condition::is_up(reading)) else {
            return not_yet(format!("{} is {} ({})", reading.unit, reading.active_state, reading.result));
        };
        if self.expect == Expect::NewProcess && self.entered.process.as_ref() == Some(&process) {
            return not_yet(format!("pid {} is still the process of before the stop", process.pid));
        }
        Answer::Open(match &self.entered.process {
            Some(before) if *before == process => format!("pid {} goes on, nothing was changed", process.pid),
            Some(before) => format!("new pid {} (was {})", process.pid, before.pid),
            None => format!("new pid {} (none ran before)", process.pid),
        })
    }

    /// Everything before holds; counts how often in a row, on one process under one leader.
    fn stable(&mut self, seen: &Seen<'_>) -> Answer {
        let (leader, epoch, need) = match &self.entered.picture {
            Picture::Kafka { .. } => kafka::leader(seen),
            Picture::ZooKeeper { was_leader, .. } => zookeeper::leader(*was_leader, seen),
        };
        let reading = seen.observation.nodes.get(&self.node).map(|node| &node.reading);
        let basis = Some(Basis { process: reading.and_then(ProcessId::of), leader, epoch });
        self.good = if self.basis == basis { self.good + 1 } else { 1 };
        self.basis = basis;
        if self.good >= need {
            return Answer::Open(format!("{need} good checks in a row"));
        }
        Answer::closed(Reason::StableWindow { good: self.good, need })
    }

    /// Makes the state of a closed gate: with the movement, or with the election as long as the policy allows one.
    fn close(&mut self, answer: Answer, policy: &Policy) -> GateState {
        match answer {
            Answer::Open(evidence) => GateState::Open { evidence },
            Answer::Act(partitions, _) if self.elections < policy.max_elections => {
                self.elections += 1;
                GateState::Act(Action::ElectPreferred { partitions })
            }
            Answer::Act(_, reason) => GateState::Wait { reasons: vec![reason], movement: Movement::Still },
            Answer::Closed { reasons, left } => {
                let nearer = match (left, self.least) {
                    (Some(left), Some(least)) => left < least,
                    (Some(_), None) | (None, _) => false,
                };
                // The least only falls, so a gate that goes back and forth does not win time.
                self.least = left.map_or(self.least, |left| Some(self.least.map_or(left, |least| least.min(left))));
                GateState::Wait { reasons, movement: if nearer { Movement::Nearer } else { Movement::Still } }
            }
        }
    }
}
