//! What a cluster looked like at one moment, as one member saw it.
//!
//! A snapshot is data only; `kfleet-kafka` takes it, `kfleet-rolling` judges it. All times are durations, never
//! wall-clock readings of two machines against each other.

use crate::{BrokerId, HostName, TopicPartition};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A view of one cluster by one of its members.
///
/// As JSON the variant is the outer key (`{"kafka": {...}}`): with a tag inside, serde could not read maps with
/// numbers as keys back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterSnapshot {
    /// A Kafka cluster, in ZooKeeper or KRaft mode.
    Kafka(KafkaSnapshot),
    /// What one ZooKeeper server says of itself.
    ZooKeeper(ZooKeeperServer),
}

/// A Kafka cluster as one broker described it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KafkaSnapshot {
    /// Who answered.
    pub seen_by: BrokerId,
    /// The cluster's own id.
    pub cluster_id: String,
    /// ZooKeeper or KRaft mode.
    pub mode: KafkaMode,
    /// Brokers that are registered and not fenced.
    pub brokers: BTreeMap<BrokerId, Broker>,
    /// Every topic, internal ones too.
    pub topics: BTreeMap<String, Topic>,
    /// Partitions that are being reassigned.
    pub reassigning: BTreeSet<TopicPartition>,
}

/// Who keeps the cluster's metadata. As JSON the variant is the outer key, for the reason of [`ClusterSnapshot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KafkaMode {
    /// ZooKeeper does; one broker is the active controller.
    ZooKeeper {
        /// The active controller, none during its election.
        active_controller: Option<BrokerId>,
    },
    /// A metadata quorum does.
    Kraft {
        /// The quorum as DescribeQuorum gives it; its leader is the active controller. (Metadata answers name a
        /// random broker in this mode, so it is never taken from there.)
        quorum: Quorum,
    },
}

impl KafkaMode {
    /// The active controller, when there is one.
    #[must_use]
    pub fn active_controller(&self) -> Option<BrokerId> {
        match self {
            Self::ZooKeeper { active_controller } => *active_controller,
            Self::Kraft { quorum } => quorum.leader,
        }
    }
}

/// The KRaft metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// The leader: the active controller.
    pub leader: Option<BrokerId>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Offset up to which a majority has the log.
    pub high_watermark: i64,
    /// The voters.
    pub voters: BTreeMap<BrokerId, ReplicaProgress>,
    /// Brokers and spare controllers that only follow.
    pub observers: BTreeMap<BrokerId, ReplicaProgress>,
}

/// How far a member of the metadata quorum is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaProgress {
    /// Its log end offset.
    pub log_end_offset: i64,
    /// How many milliseconds it was behind the leader when it last had caught up: the leader's own caught-up
    /// time minus the member's, both by the leader's clock. None when the leader does not know.
    pub behind_ms: Option<i64>,
}

/// A broker as the cluster's metadata names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: i32,
    /// The rack, if it has one.
    pub rack: Option<String>,
}

/// A topic: its partitions and the setting that decides whether writes are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// The effective `min.insync.replicas`.
    pub min_isr: u32,
    /// One of Kafka's own topics.
    pub internal: bool,
    /// The partitions by number.
    pub partitions: BTreeMap<i32, PartitionState>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// The leader, none when offline.
    pub leader: Option<BrokerId>,
    /// The leader's epoch; it grows with each election.
    pub leader_epoch: i32,
    /// The replicas in their assigned order; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
    /// The in-sync replicas.
    pub isr: BTreeSet<BrokerId>,
    /// Replicas that a reassignment is about to take away; they must not be counted on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removing: BTreeSet<BrokerId>,
}

impl KafkaSnapshot {
    /// All partitions with their topic.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Topic, &PartitionState)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic
                .partitions
                .iter()
                .map(move |(&partition, state)| (TopicPartition { topic: name.clone(), partition }, topic, state))
        })
    }
}

/// What one ZooKeeper server says of itself (`mntr`, `conf`, AdminServer).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZooKeeperServer {
    /// The host that the agent runs on.
    pub host: HostName,
    /// `myid`.
    pub server_id: BrokerId,
    /// What it is doing.
    pub state: ZooKeeperState,
    /// The last transaction that it has, epoch in the upper 32 bits.
    pub zxid: u64,
    /// The configured ensemble: server id to its role.
    pub ensemble: BTreeMap<BrokerId, ZooKeeperRole>,
    /// Requests that wait to be answered.
    pub outstanding_requests: u64,
    /// Connected clients.
    pub connections: u64,
    /// Size of the data tree in bytes, as the server estimates it.
    pub data_size_bytes: u64,
    /// tickTime, initLimit and syncLimit of its configuration.
    pub tick_ms: u64,
    /// How many ticks a follower may take to connect and sync.
    pub init_limit: u64,
    /// The server's version, as it says it.
    pub version: String,
}

/// What a ZooKeeper server is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ZooKeeperState {
    /// It leads.
    Leader {
        /// How many followers are in step with it.
        synced_followers: u64,
        /// Followers that are still catching up.
        pending_syncs: u64,
    },
    /// It follows.
    Follower,
    /// It follows without a vote.
    Observer,
    /// It is alone by configuration.
    Standalone,
    /// It runs and serves nobody: no quorum, or an election.
    NotServing,
}

/// A server's role in the ensemble's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZooKeeperRole {
    /// It votes.
    Participant,
    /// It does not vote.
    Observer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back_from_the_json_that_it_was_written_as() {
        let progress = ReplicaProgress { log_end_offset: 7, behind_ms: Some(0) };
        let partition = PartitionState {
            leader: Some(BrokerId(1)),
            leader_epoch: 3,
            replicas: vec![BrokerId(1)],
            isr: BTreeSet::from([BrokerId(1)]),
            removing: BTreeSet::new(),
        };
        let topic = Topic { min_isr: 1, internal: false, partitions: BTreeMap::from([(0, partition)]) };
        let kafka = KafkaSnapshot {
            seen_by: BrokerId(1),
            cluster_id: "c".into(),
            mode: KafkaMode::Kraft {
                quorum: Quorum {
                    leader: Some(BrokerId(1)),
                    leader_epoch: 3,
                    high_watermark: 7,
                    voters: BTreeMap::from([(BrokerId(1), progress)]),
                    observers: BTreeMap::new(),
                },
            },
            brokers: BTreeMap::from([(BrokerId(1), Broker { host: "h".into(), port: 9092, rack: None })]),
            topics: BTreeMap::from([("t".to_owned(), topic)]),
            reassigning: BTreeSet::new(),
        };
        let server = ZooKeeperServer {
            host: HostName::new("zk-1").unwrap(),
            server_id: BrokerId(1),
            state: ZooKeeperState::Follower,
            zxid: 0x1_0000_0001,
            ensemble: BTreeMap::from([(BrokerId(1), ZooKeeperRole::Participant)]),
            outstanding_requests: 0,
            connections: 1,
            data_size_bytes: 10,
            tick_ms: 2000,
            init_limit: 10,
            version: "3.8.4".into(),
        };
        for snapshot in [ClusterSnapshot::Kafka(kafka), ClusterSnapshot::ZooKeeper(server)] {
            let text = serde_json::to_string(&snapshot).unwrap();
            assert_eq!(serde_json::from_str::<ClusterSnapshot>(&text).unwrap(), snapshot);
        }
    }
}
