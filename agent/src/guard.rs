//! The guard rails of this host: what its agent does not do, whatever the controller says.
//!
//! - A host that is set read-only is not changed.
//! - Its Kafka or ZooKeeper node is not stopped again within a time.
//! - Its node is not stopped while another node of its cluster is down.
//!
//! ```text
//!   look: Free -----------------------------------------------------------> permitted
//!         Adrift: look again ------------------------------ still so -------> permitted
//!         Blind ----------------- by a roll ------------------------------> permitted: it has other views
//!           |                     by hand: look again --- patience over --> refused
//!         Clear ----------------- by a roll ------------------------------> permitted: its lease keeps others away
//!           |                     by hand: wait for the turn, look again -> permitted, as long as the turn lasts
//!         Against(reasons): look again ----------------- patience over --> refused
//! ```
//!
//! Place in the flow: `ops` asks here between a module's diff and the record that it begins. The rule itself is
//! `kfleet_model::stop::guard`.
//! Not here: how a node is recognised and asked (`collect`), generations of leases (`ops`).

use crate::collect;
use crate::config::{DEFAULT_PATH, Guard};
use crate::host::{HostError, HostView, Unit};
use crate::modules::UnitStop;
use kfleet_model::stop::guard::{Answer, OPEN, Standing, judge, wait_for_turn};
use kfleet_model::{BrokerId, Reason};
use std::collections::BTreeSet;
use std::time::Duration;

/// The pause between two looks at a cluster that is not whole. A look at a large one costs its broker something.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// How long a node must have lost its cluster before nobody counts on it. Longer than an election, and than Kafka's
/// `zookeeper.session.timeout.ms` of 18 s, after which a broker that lives has registered anew.
const ADRIFT: Duration = Duration::from_secs(20);

/// Who asks for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A rolling run, which holds the cluster's lease, stops one node at a time, and has seen the cluster by others'
    /// eyes.
    Roll,
    /// Everybody else: a command line, a play, a handler. Other hosts may be asked the same at this moment.
    Hand,
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    /// The host is set read-only.
    #[error("this host is read-only: guard.read_only is set in {DEFAULT_PATH}, and only there it can be unset")]
    ReadOnly,
    /// The node was started a short time ago.
    #[error(
        "{unit} was started {age_s} s ago, and {least_s} s must pass before it is stopped again \
         (guard.min_restart_interval_s in {DEFAULT_PATH})"
    )]
    TooSoon {
        /// The unit.
        unit: String,
        /// The age of its process.
        age_s: u64,
        /// The age that it must have.
        least_s: u64,
    },
    /// Another node is missed, or would be.
    #[error(
        "{unit} is not stopped, because its cluster is not whole: {}{}; bring back what is missing, or set allow_outage \
         to stop it all the same",
        list(reasons),
        waited(*waited_s)
    )]
    NotWhole {
        /// The unit.
        unit: String,
        /// What stands against it.
        reasons: Vec<Reason>,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// Nothing is known of the cluster.
    #[error(
        "{unit} is not stopped, because it runs and nothing can be learned of its cluster: {why}{}; let a rolling run \
         do it, which asks other members, or set allow_outage",
        waited(*waited_s)
    )]
    Blind {
        /// The unit.
        unit: String,
        /// What was tried.
        why: String,
        /// How long it was tried.
        waited_s: u64,
    },
    /// The host can not be read, or the op is being stopped.
    #[error(transparent)]
    Host(#[from] HostError),
}

fn list(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn waited(seconds: u64) -> String {
    if seconds == 0 { String::new() } else { format!(" (still so after {seconds} s)") }
}

/// A stop that may be done, perhaps for a moment only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// At any time.
    Always,
    /// In this turn.
    Turn {
        /// Whose.
        node: BrokerId,
        /// The members that take turns.
        members: BTreeSet<BrokerId>,
        /// When the look began that it is founded on, since the boot.
        looked: Duration,
    },
}

impl Permit {
    /// Whether it is still good. What lies between it and the stop (a record that is synced to a busy disk) can take
    /// longer than a turn.
    pub(crate) fn holds(&self, host: &dyn HostView) -> bool {
        match self {
            Self::Always => true,
            Self::Turn { node, members, looked } => {
                host.uptime().saturating_sub(*looked) < OPEN && wait_for_turn(*node, members, host.unix_ms()).is_zero()
            }
        }
    }
}

/// Permits a stop, perhaps after a wait, or says why not.
///
/// # Errors
/// What stands against it; [`HostError::Stopped`] when the op ends while it waits.
pub(crate) fn permit(host: &dyn HostView, stop: &UnitStop, by: By, config: &Guard) -> Result<Permit, GuardError> {
    let least = Duration::from_secs(config.min_restart_interval_s);
    let age = stop.unit.age(host.uptime());
    if age < least && collect::is_node(host, &stop.unit)? {
        let unit = stop.unit.name.clone();
        return Err(GuardError::TooSoon { unit, age_s: age.as_secs(), least_s: least.as_secs() });
    }
    if stop.allow_outage || !config.node_stops {
        return Ok(Permit::Always);
    }
    let patience = Duration::from_secs(config.patience_s);
    watch(host, &stop.unit, by, patience, &mut |host, unit| collect::standing(host, unit))
}

/// How a node's standing is learned.
type Look<'a> = &'a mut dyn FnMut(&dyn HostView, &Unit) -> Result<Option<Standing>, HostError>;

/// Looks until the stop is permitted, or the patience is over.
fn watch(host: &dyn HostView, unit: &Unit, by: By, patience: Duration, look: Look<'_>) -> Result<Permit, GuardError> {
    let name = || unit.name.clone();
    let began = host.uptime();
    let mut told = String::new();
    let mut adrift_since = None;
    loop {
        let looked = Looked::now(host);
        let Some(standing) = look(host, unit)? else { return Ok(Permit::Always) };
        let waited = host.uptime().saturating_sub(began);
        let over = (waited >= patience).then_some(waited.as_secs());
        let answer = answer(&standing, by, looked.took(host));
        let adrift = matches!(answer, Answer::Adrift { .. });
        adrift_since = adrift.then(|| adrift_since.unwrap_or(looked.uptime));
        match answer {
            Answer::Free { why } => return free(unit, &why),
            Answer::Adrift { why } if adrift_since.is_some_and(|since| host.uptime() - since >= ADRIFT) => {
                return free(unit, &why);
            }
            Answer::Clear { .. } if by == By::Roll => return Ok(Permit::Always),
            Answer::Clear { node, members } => {
                let wait = wait_for_turn(node, &members, host.unix_ms());
                if wait.is_zero() && wait_for_turn(node, &members, looked.unix_ms).is_zero() {
                    return Ok(Permit::Turn { node, members, looked: looked.uptime });
                }
                to_turn(host, unit, node, wait)?;
            }
            Answer::Blind { why } if by == By::Roll => {
                tracing::warn!(unit = unit.name, why, "nothing is known of the cluster; the roll has other views");
                return Ok(Permit::Always);
            }
            Answer::Adrift { why } | Answer::Blind { why } => match over {
                Some(waited_s) => return Err(GuardError::Blind { unit: name(), why, waited_s }),
                None => look_again(host, &mut told, format!("{}: its cluster does not show yet: {why}", unit.name))?,
            },
            Answer::Against(reasons) => match over {
                Some(waited_s) => return Err(GuardError::NotWhole { unit: name(), reasons, waited_s }),
                None => {
                    look_again(host, &mut told, format!("{}: waiting for its cluster: {}", unit.name, list(&reasons)))?
                }
            },
        }
    }
}

fn free(unit: &Unit, why: &str) -> Result<Permit, GuardError> {
    tracing::info!(unit = unit.name, why, "the stop takes nothing away from a cluster");
    Ok(Permit::Always)
}

/// Waits for a node's turn.
fn to_turn(host: &dyn HostView, unit: &Unit, node: BrokerId, wait: Duration) -> Result<(), HostError> {
    if !wait.is_zero() {
        let seconds = wait.as_millis().div_ceil(1000);
        host.progress(&format!(
            "{}: its cluster is whole; waiting {seconds} s for the turn of node {node}, so that no two nodes stop at the \
             same moment",
            unit.name
        ));
    }
    host.pause(wait, "its node's turn to stop")
}

/// When a look began, by both clocks.
struct Looked {
    unix_ms: i64,
    uptime: Duration,
}

impl Looked {
    fn now(host: &dyn HostView) -> Self {
        Self { unix_ms: host.unix_ms(), uptime: host.uptime() }
    }

    fn took(&self, host: &dyn HostView) -> Duration {
        host.uptime().saturating_sub(self.uptime)
    }
}

/// The rule's answer. A look that outlasts a turn can not be acted upon in it.
fn answer(standing: &Standing, by: By, took: Duration) -> Answer {
    match judge(standing) {
        Answer::Clear { .. } if by == By::Hand && took >= OPEN => {
            let (took, open) = (took.as_millis(), OPEN.as_millis());
            Answer::Blind { why: format!("its view took {took} ms, and its turn to stop lasts {open} ms") }
        }
        answer @ (Answer::Free { .. }
        | Answer::Adrift { .. }
        | Answer::Blind { .. }
        | Answer::Clear { .. }
        | Answer::Against(_)) => answer,
    }
}

/// Tells what is waited for, when it is something new, and waits.
fn look_again(host: &dyn HostView, told: &mut String, text: String) -> Result<(), HostError> {
    if *told != text {
        host.progress(&text);
        *told = text;
    }
    host.pause(LOOK_AGAIN, "its node's cluster to be whole")
}

#[cfg(test)]
mod tests;
