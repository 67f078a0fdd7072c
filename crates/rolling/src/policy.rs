//! What an operator may set about a roll, with the safe values as defaults.
//!
//! A playbook's `rolling:` mapping is read into [`Policy`]; unknown keys are refused. Every default has its source
//! beside it. There is no key for more than one node at a time: this engine is serial.

use crate::gate::Gate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// The policy of one roll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Brokers outside the candidate whose views must agree. Default 2: the answer of one lagging broker is stale and
    /// let other tools stop a second broker (ops 2.1, redpanda-operator 1538 and 1540).
    pub views: u32,
    /// How old an observation may be when it is judged. Default 10 s: two of kfleet's own reading rounds at their 5 s
    /// interval.
    pub view_max_age_s: u64,
    /// How far a host's clock may be from the others' when a roll begins. Default 1000 ms: timestamps, tokens and the
    /// logs of two hosts can no longer be put in order beyond it; chosen, ten times what `kfleet time check` allows.
    pub max_clock_skew_ms: u64,
    /// The pause between two checks. Default 5 s (ops 2.3, gate G).
    pub check_interval_s: u64,
    /// Good checks in a row that the stable window needs. Default 6, which is 30 s at 5 s (ops 2.3, gate G).
    pub stable_checks: u32,
    /// The same after the ZooKeeper leader was restarted. Default 8, which is 40 s at 5 s: twice Kafka's
    /// `zookeeper.session.timeout.ms` of 18 s (Kafka documentation; ops 2.4 asks for the session timeout x2).
    pub stable_checks_after_leader: u32,
    /// How long the cluster is waited for before a stop. Default 600 s, as kafka-utils gives up (ops 1.2).
    pub patience_s: u64,
    /// How long a new process is waited for. Default 300 s: Kafka hands over for up to 5 min when it stops in KRaft
    /// mode (ops 2.3 step 8).
    pub process_s: u64,
    /// How long registration is waited for without progress of log recovery. Default 600 s (ops 2.3, gate B).
    pub registered_s: u64,
    /// How long the quorum is waited for. Default 300 s, Strimzi's operation timeout (ops 1.2).
    pub quorum_s: u64,
    /// How long replicas are waited for without one more of them getting in sync. Default 1800 s, Orion's recovery
    /// limit (ops 1.2).
    pub in_sync_s: u64,
    /// How long preferred leaders are waited for. Default 300 s: Kafka's own leader check runs every 300 s
    /// (`leader.imbalance.check.interval.seconds`).
    pub preferred_leader_s: u64,
    /// How long a ZooKeeper server may take to join. Default 300 s, as for `quorum_s`.
    pub joined_s: u64,
    /// How long a ZooKeeper server may take to catch up. Default 300 s, as for `quorum_s`.
    pub caught_up_s: u64,
    /// How long the stable window may take in all. Default 600 s, as `patience_s`.
    pub stable_s: u64,
    /// Bring leadership back to the brokers that are preferred. Default true (ops 2.3, gate F).
    pub elect_preferred: bool,
    /// How often a preferred-leader election is asked for per node. Default 3: one, and two that meet a broker that had
    /// just fallen out of sync.
    pub max_elections: u32,
    /// How far a voter may be behind. Default 2 s, Kafka's `controller.quorum.fetch.timeout.ms` (ops 1.2, 2.4).
    pub quorum_fetch_timeout_s: u64,
    /// Requests that may wait in a ZooKeeper server. Default 100, a tenth of ZooKeeper's `globalOutstandingLimit`, at
    /// which it holds clients back (ZooKeeper administrator's guide).
    pub zk_max_outstanding: u64,
    /// The link between ZooKeeper servers, in bytes per second, by which the time to send a snapshot is estimated.
    /// Default 12,500,000: a link of 100 Mbit/s, the slowest that is common.
    pub zk_link_bytes_per_s: u64,
    /// Topics with one replica that may go offline while their broker restarts. Default none: only the operator can say
    /// so (ops 2.2, RF1_OFFLINE).
    pub accept_offline_topics: BTreeSet<String>,
    /// Topics with no more replicas than min.insync.replicas that may refuse `acks=all` writes while a broker restarts.
    /// Default none (ops 2.2, ACKS_ALL_REFUSED).
    pub accept_refused_writes_topics: BTreeSet<String>,
    /// Restart a ZooKeeper ensemble of one or two voters, which can not keep its majority. Default false.
    pub accept_ensemble_outage: bool,
    /// Count a broker whose process runs and that is not registered as cured by a restart. Default false: it may be in
    /// log recovery, and a restart would begin that anew (strimzi-kafka-operator 5263).
    pub restart_unregistered: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            views: 2,
            view_max_age_s: 10,
            max_clock_skew_ms: 1000,
            check_interval_s: 5,
            stable_checks: 6,
            stable_checks_after_leader: 8,
            patience_s: 600,
            process_s: 300,
            registered_s: 600,
            quorum_s: 300,
            in_sync_s: 1800,
            preferred_leader_s: 300,
            joined_s: 300,
            caught_up_s: 300,
            stable_s: 600,
            elect_preferred: true,
            max_elections: 3,
            quorum_fetch_timeout_s: 2,
            zk_max_outstanding: 100,
            zk_link_bytes_per_s: 12_500_000,
            accept_offline_topics: BTreeSet::new(),
            accept_refused_writes_topics: BTreeSet::new(),
            accept_ensemble_outage: false,
            restart_unregistered: false,
        }
    }
}

/// A value of a policy under which a gate would mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rolling policy: {key} is {value}, at least {least} is needed")]
pub struct PolicyError {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// The least that makes sense.
    pub least: u64,
}

impl Policy {
    /// Checks the values against each other; all that is wrong is told at once.
    ///
    /// # Errors
    /// Each key whose value would switch a gate off.
    pub fn validate(&self) -> Result<(), Vec<PolicyError>> {
        let window = u64::from(self.stable_checks.max(self.stable_checks_after_leader)) * self.check_interval_s;
        let bounds = [
            ("views", u64::from(self.views), 1),
            ("view_max_age_s", self.view_max_age_s, 1),
            ("max_clock_skew_ms", self.max_clock_skew_ms, 1),
            ("check_interval_s", self.check_interval_s, 1),
            ("stable_checks", u64::from(self.stable_checks), 1),
            ("stable_checks_after_leader", u64::from(self.stable_checks_after_leader), 1),
            ("quorum_fetch_timeout_s", self.quorum_fetch_timeout_s, 1),
            ("zk_link_bytes_per_s", self.zk_link_bytes_per_s, 1),
            ("stable_s", self.stable_s, window + 1),
        ];
        let wrong: Vec<PolicyError> = bounds
            .into_iter()
            .filter(|(_, value, least)| value < least)
            .map(|(key, value, least)| PolicyError { key, value, least })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// How long a gate may stay closed, counted from when it was reached or last came nearer to opening.
    #[must_use]
    pub fn gate_time(&self, gate: Gate) -> Duration {
        Duration::from_secs(match gate {
            Gate::BeforeStop => self.patience_s,
            Gate::Process => self.process_s,
            Gate::Registered => self.registered_s,
            Gate::Quorum => self.quorum_s,
            Gate::InSync => self.in_sync_s,
            Gate::PreferredLeader => self.preferred_leader_s,
            Gate::Joined => self.joined_s,
            Gate::CaughtUp => self.caught_up_s,
            Gate::Stable => self.stable_s,
        })
    }

    /// How far a voter may be behind.
    #[must_use]
    pub fn quorum_fetch_timeout(&self) -> Duration {
        Duration::from_secs(self.quorum_fetch_timeout_s)
    }

    /// The pause between two checks.
    #[must_use]
    pub fn check_interval(&self) -> Duration {
        Duration::from_secs(self.check_interval_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_with_an_unknown_key_is_refused() {
        let error = serde_json::from_str::<Policy>(r#"{"max_unavailable": 2}"#).unwrap_err().to_string();
        assert!(error.contains("max_unavailable"), "{error}");
    }

    #[test]
    fn keys_that_are_not_set_have_the_safe_defaults() {
        let policy: Policy = serde_json::from_str(r#"{"stable_checks": 2}"#).unwrap();
        assert_eq!(policy, Policy { stable_checks: 2, ..Policy::default() });
        assert_eq!(policy.validate(), Ok(()));
    }

    #[test]
    fn a_value_that_would_switch_a_gate_off_is_refused() {
        let policy = Policy { views: 0, stable_checks: 0, stable_s: 40, ..Policy::default() };
        let keys: Vec<_> = policy.validate().unwrap_err().into_iter().map(|e| e.key).collect();
        assert_eq!(keys, ["views", "stable_checks", "stable_s"]);
    }
}
