//! Why a rolling operation may not go on: enums with the numbers inside, never a bare yes or no.
//!
//! The rules that make them are in `kfleet-rolling`; here they are words, so that events, history and reports can
//! carry them.

use crate::{BrokerId, HostName, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What stopping a set of brokers would do to one partition. The six that matter; a partition that none of
/// them fits is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// No in-sync replica would be left: the partition goes offline.
    Leaderless,
    /// It has one replica and that one would stop.
    Rf1Offline,
    /// Fewer in-sync replicas than min.insync.replicas would be left: `acks=all` writes are refused.
    AcksAllRefused,
    /// It is under min.insync.replicas already, and the stop would touch it.
    AlreadyBroken,
    /// Its leader would stop while no follower is in sync: records acknowledged with `acks=1` can be lost.
    Acks1Risk,
    /// Exactly min.insync.replicas would be left: fine for one stop, not for two.
    Thin,
}

/// One partition with its verdict and the numbers behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionVerdict {
    /// Which partition.
    pub partition: TopicPartition,
    /// What would happen to it.
    pub verdict: Verdict,
    /// Its replicas.
    pub replicas: Vec<BrokerId>,
    /// Its in-sync replicas now.
    pub isr: BTreeSet<BrokerId>,
    /// In-sync replicas that would be left.
    pub left: u32,
    /// The effective min.insync.replicas.
    pub min_isr: u32,
}

impl fmt::Display for PartitionVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Leaderless => "would go offline",
            Verdict::Rf1Offline => "has one replica and would go offline",
            Verdict::AcksAllRefused => "would refuse acks=all writes",
            Verdict::AlreadyBroken => "is under min ISR already",
            Verdict::Acks1Risk => "could lose records written with acks=1",
            Verdict::Thin => "would be exactly at min ISR",
        };
        write!(
            f,
            "{} {word} (in sync {} of {}, {} left, min ISR {})",
            self.partition,
            Ids(&self.isr),
            Ids(&self.replicas.iter().copied().collect()),
            self.left,
            self.min_isr
        )
    }
}

/// A set of ids as `[1, 2, 3]`.
struct Ids<'a>(&'a BTreeSet<BrokerId>);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (n, id) in self.0.iter().enumerate() {
            write!(f, "{}{id}", if n == 0 { "" } else { ", " })?;
        }
        write!(f, "]")
    }
}

/// Why a node is not stopped, or why the roll waits on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Too few members answered to believe any of them.
    TooFewViews {
        /// How many answered.
        got: u32,
        /// How many are needed.
        need: u32,
    },
    /// Two members disagree, so one of them is behind.
    ViewsDisagree {
        /// One of them.
        one: BrokerId,
        /// The other.
        other: BrokerId,
        /// The first thing on which they differ.
        about: String,
    },
    /// The snapshot began before the last change that must be seen in it.
    StaleSnapshot,
    /// A host's agent does not answer.
    HostUnreachable {
        /// Which.
        host: HostName,
    },
    /// A broker of the plan is not registered.
    BrokerNotRegistered {
        /// Which.
        broker: BrokerId,
    },
    /// The cluster has no active controller, or no quorum leader.
    NoActiveController,
    /// A broker is registered that the inventory does not know, or the cluster id is another one.
    WrongCluster {
        /// What was expected.
        expected: String,
        /// What answered.
        found: String,
    },
    /// Replicas are being moved.
    Reassigning {
        /// Some of the partitions, at most ten.
        partitions: Vec<TopicPartition>,
        /// How many in all.
        count: u32,
    },
    /// Partitions are under-replicated before anything was stopped, and not by a node of the plan.
    UnderReplicated {
        /// Some of the partitions, at most ten.
        partitions: Vec<TopicPartition>,
        /// How many in all.
        count: u32,
    },
    /// Partitions are under min.insync.replicas that were not so before the step.
    UnderMinIsr {
        /// Some of the partitions, at most ten.
        partitions: Vec<TopicPartition>,
        /// How many in all.
        count: u32,
    },
    /// Partitions have no leader.
    Offline {
        /// Some of the partitions, at most ten.
        partitions: Vec<TopicPartition>,
        /// How many in all.
        count: u32,
    },
    /// Stopping the node would hurt partitions.
    Partitions {
        /// The candidate.
        candidate: BrokerId,
        /// Some of the verdicts, the worst first, at most ten.
        verdicts: Vec<PartitionVerdict>,
        /// How many in all.
        count: u32,
    },
    /// The metadata quorum or the ensemble would lose its majority.
    QuorumMargin {
        /// The candidate.
        candidate: BrokerId,
        /// Members that would be left and in step.
        left: u32,
        /// Members that are needed.
        need: u32,
        /// Members that vote.
        voters: u32,
    },
    /// A ZooKeeper ensemble's members are not all in one state that allows a stop.
    EnsembleUnsettled {
        /// Which member.
        server: BrokerId,
        /// What is wrong with it, for people.
        why: String,
    },
    /// A ZooKeeper server that comes back could not take the leader's snapshot within initLimit, and would never
    /// join.
    SnapshotTooSlow {
        /// The server that holds the data.
        server: BrokerId,
        /// How much data it holds.
        bytes: u64,
        /// How long that takes over the link that the policy assumes, in milliseconds.
        transfer_ms: u64,
        /// initLimit times tickTime, in milliseconds.
        limit_ms: u64,
    },
    /// The process is not up, or is still the old one.
    NotRestarted {
        /// The node.
        node: BrokerId,
        /// What the host says.
        why: String,
    },
    /// The broker runs and replicas of it are not back in sync.
    NotInSync {
        /// The broker.
        broker: BrokerId,
        /// Some of the partitions, at most ten.
        partitions: Vec<TopicPartition>,
        /// How many in all.
        count: u32,
    },
    /// Partitions that prefer the broker as leader have another one.
    NotPreferredLeader {
        /// The broker.
        broker: BrokerId,
        /// Some of the partitions, at most ten.
        partitions: Vec<TopicPartition>,
        /// How many in all.
        count: u32,
    },
    /// All is well, and has to stay so for a while.
    StableWindow {
        /// Good checks so far.
        good: u32,
        /// Good checks that are needed.
        need: u32,
    },
    /// The server has not all transactions that the leader had when it came back.
    ZxidBehind {
        /// The server.
        server: BrokerId,
        /// Its last transaction.
        zxid: u64,
        /// The one that it must reach.
        need: u64,
    },
    /// A gate did not open in its time.
    GateExpired {
        /// Which gate.
        gate: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
    },
    /// Two hosts' clocks are further apart than allowed.
    ClockSkew {
        /// The host.
        host: HostName,
        /// By how much, in milliseconds.
        skew_ms: i64,
        /// How much is allowed.
        limit_ms: i64,
    },
    /// Another controller holds the cluster.
    LeaseHeld {
        /// Who.
        holder: String,
    },
}

/// A number with its noun, `1 partition` or `2 partitions`.
struct Count(u32, &'static str);

impl Count {
    /// With the verb: `1 partition is`, `2 partitions are`.
    fn are(self) -> String {
        format!("{self} {}", if self.0 == 1 { "is" } else { "are" })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

fn list(f: &mut fmt::Formatter<'_>, partitions: &[TopicPartition], count: u32) -> fmt::Result {
    for (n, tp) in partitions.iter().enumerate() {
        write!(f, "{}{tp}", if n == 0 { "" } else { ", " })?;
    }
    let shown = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
    if count > shown {
        write!(f, " and {} more", count - shown)?;
    }
    Ok(())
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewViews { got, need } => write!(f, "{} answered, {need} must agree", Count(*got, "member")),
            Self::ViewsDisagree { one, other, about } => {
                write!(f, "members {one} and {other} see the cluster differently: {about}")
            }
            Self::StaleSnapshot => write!(f, "the view of the cluster is older than the last change"),
            Self::HostUnreachable { host } => write!(f, "the agent on {host} does not answer"),
            Self::BrokerNotRegistered { broker } => write!(f, "broker {broker} is not registered"),
            Self::NoActiveController => write!(f, "no active controller or leader is elected"),
            Self::WrongCluster { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Reassigning { partitions, count } => {
                write!(f, "{} being reassigned: ", Count(*count, "partition").are())?;
                list(f, partitions, *count)
            }
            Self::UnderReplicated { partitions, count } => {
                write!(f, "{} under-replicated: ", Count(*count, "partition").are())?;
                list(f, partitions, *count)
            }
            Self::UnderMinIsr { partitions, count } => {
                write!(f, "{} newly under min ISR: ", Count(*count, "partition").are())?;
                list(f, partitions, *count)
            }
            Self::Offline { partitions, count } => {
                write!(f, "{} offline: ", Count(*count, "partition").are())?;
                list(f, partitions, *count)
            }
            Self::Partitions { candidate, verdicts, count } => {
                write!(f, "stopping broker {candidate} would hurt {}: ", Count(*count, "partition"))?;
                for (n, verdict) in verdicts.iter().enumerate() {
                    write!(f, "{}{verdict}", if n == 0 { "" } else { "; " })?;
                }
                let shown = u32::try_from(verdicts.len()).unwrap_or(u32::MAX);
                if *count > shown {
                    write!(f, "; and {} more", count - shown)?;
                }
                Ok(())
            }
            Self::QuorumMargin { candidate, left, need, voters } => write!(
                f,
                "without member {candidate} only {left} of {voters} voters would be in step, {need} are needed"
            ),
            Self::EnsembleUnsettled { server, why } => write!(f, "ZooKeeper server {server}: {why}"),
            Self::SnapshotTooSlow { server, bytes, transfer_ms, limit_ms } => write!(
                f,
                "ZooKeeper server {server} holds {bytes} bytes, which take {transfer_ms} ms to send, and a server that \
                 joins has {limit_ms} ms (initLimit x tickTime)"
            ),
            Self::NotRestarted { node, why } => write!(f, "node {node} is not ready: {why}"),
            Self::NotInSync { broker, partitions, count } => {
                write!(f, "broker {broker} is not back in sync on {}: ", Count(*count, "partition"))?;
                list(f, partitions, *count)
            }
            Self::NotPreferredLeader { broker, partitions, count } => {
                write!(f, "broker {broker} is preferred and does not lead {}: ", Count(*count, "partition"))?;
                list(f, partitions, *count)
            }
            Self::StableWindow { good, need } => write!(f, "stable for {good} of {need} checks"),
            Self::ZxidBehind { server, zxid, need } => {
                write!(f, "ZooKeeper server {server} has zxid {zxid:#x}, must reach {need:#x}")
            }
            Self::GateExpired { gate, waited_s } => write!(f, "gate '{gate}' did not open within {waited_s} s"),
            Self::ClockSkew { host, skew_ms, limit_ms } => {
                write!(
                    f,
                    "the clock of {host} is off by {skew_ms} ms, {limit_ms} ms are allowed: set it right and look with \
                     `kfleet time check`"
                )
            }
            Self::LeaseHeld { holder } => write!(f, "the cluster is held by {holder}"),
        }
    }
}
