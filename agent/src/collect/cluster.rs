//! The cluster as the member on this host sees it, leadership given back to it, configuration given to it.

use super::{CollectError, kafka_config, zookeeper_config};
use crate::host::HostView;
use kfleet_kafka::acl::{AclBinding, Acls};
use kfleet_kafka::{ConfigOf, Election, Instant, KafkaAccess, ZooKeeperAccess};
use kfleet_kafka::{alter_configs, dynamic_configs, elect_preferred_leaders, kafka_snapshot, zookeeper_server};
use kfleet_model::snapshot::{ClusterSnapshot, KafkaSnapshot, PartitionState};
use kfleet_model::{BrokerId, HostName, Map, TopicPartition, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long one reading of a cluster may take. Metadata of a large cluster comes within a few seconds; a broker that
/// needs longer is not one to judge a roll by.
const LIMIT: Duration = Duration::from_secs(30);

/// A snapshot by the member on this host. `kind` is `kafka` (the default) or `zookeeper`; the other parameters are
/// those of `kafka_cluster_info` and `zookeeper_info`.
///
/// # Errors
/// When the configuration can not be read, or the member does not answer.
pub fn cluster(host: &dyn HostView, params: &Map) -> Result<ClusterSnapshot, CollectError> {
    match params.get("kind").and_then(Value::as_str) {
        None | Some("kafka") => Ok(ClusterSnapshot::Kafka(kafka(host, params)?)),
        Some("zookeeper") => {
            let (params, config) = zookeeper_config::read(host, params)?;
            let name = host_name(host, params.host)?;
            let access = ZooKeeperAccess { host: name, address: config.address, files: Some(config.files) };
            let deadline = deadline(host);
            let server = Handle::try_current()?.block_on(zookeeper_server(&access, deadline))?;
            Ok(ClusterSnapshot::ZooKeeper(server))
        }
        Some(other) => Err(CollectError::Invalid(format!("kind {other:?} is neither kafka nor zookeeper"))),
    }
}

/// A Kafka cluster by the broker on this host.
///
/// # Errors
/// As [`cluster`].
fn kafka(host: &dyn HostView, params: &Map) -> Result<KafkaSnapshot, CollectError> {
    let access = access(host, params)?;
    let deadline = deadline(host);
    Ok(Handle::try_current()?.block_on(kafka_snapshot(&access, deadline))?)
}

/// A partition that another broker leads than the one that should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwayFromHome {
    /// The partition.
    pub partition: TopicPartition,
    /// Who leads it, none when it is offline.
    pub leader: Option<BrokerId>,
    /// Who should: its first replica.
    pub preferred: BrokerId,
}

/// Partitions whose preferred leader is in sync and does not lead: those that are named by the parameter `partitions`,
/// else those that prefer the broker on this host.
///
/// # Errors
/// As [`cluster`].
pub fn away_from_home(host: &dyn HostView, params: &Map) -> Result<Vec<AwayFromHome>, CollectError> {
    let named = match params.get("partitions") {
        None => None,
        Some(list) => Some(serde_json::from_value::<BTreeSet<TopicPartition>>(list.clone()).map_err(|error| {
            CollectError::Invalid(format!("partitions must be a list of {{topic: ..., partition: ...}}: {error}"))
        })?),
    };
    Ok(away(&kafka(host, params)?, named.as_ref()))
}

fn away(snapshot: &KafkaSnapshot, named: Option<&BTreeSet<TopicPartition>>) -> Vec<AwayFromHome> {
    let wanted = |(partition, _, state): (TopicPartition, &_, &PartitionState)| {
        let preferred = *state.replicas.first()?;
        let meant = named.map_or(preferred == snapshot.seen_by, |named| named.contains(&partition));
        let movable = state.isr.contains(&preferred) && state.leader != Some(preferred);
        (meant && movable).then_some(AwayFromHome { partition, leader: state.leader, preferred })
    };
    snapshot.partitions().filter_map(wanted).collect()
}

/// Asks for preferred elections of these partitions.
///
/// # Errors
/// As [`cluster`]; a single partition's refusal stands in the answer.
pub fn elect(
    host: &dyn HostView,
    params: &Map,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Election, CollectError> {
    let access = access(host, params)?;
    let deadline = deadline(host);
    Ok(Handle::try_current()?.block_on(elect_preferred_leaders(&access, partitions, deadline))?)
}

/// The cluster's access control lists, as the broker on this host knows them.
///
/// # Errors
/// As [`cluster`].
pub fn acls(host: &dyn HostView, params: &Map) -> Result<Acls, CollectError> {
    let access = access(host, params)?;
    Ok(Handle::try_current()?.block_on(kfleet_kafka::acl::acls(&access, deadline(host)))?)
}

/// Adds bindings to them.
///
/// # Errors
/// As [`cluster`]; the binding that was refused is named.
pub fn create_acls(host: &dyn HostView, params: &Map, bindings: &BTreeSet<AclBinding>) -> Result<(), CollectError> {
    let access = access(host, params)?;
    Ok(Handle::try_current()?.block_on(kfleet_kafka::acl::create_acls(&access, bindings, deadline(host)))?)
}

/// Takes bindings away from them.
///
/// # Errors
/// As [`create_acls`].
pub fn delete_acls(host: &dyn HostView, params: &Map, bindings: &BTreeSet<AclBinding>) -> Result<(), CollectError> {
    let access = access(host, params)?;
    Ok(Handle::try_current()?.block_on(kfleet_kafka::acl::delete_acls(&access, bindings, deadline(host)))?)
}

/// The id of the broker on this host.
///
/// # Errors
/// When the configuration can not be read.
pub fn own_id(host: &dyn HostView, params: &Map) -> Result<BrokerId, CollectError> {
    Ok(access(host, params)?.node())
}

/// Values of keys that were set on the running cluster.
///
/// # Errors
/// As [`cluster`].
pub fn dynamic_config(
    host: &dyn HostView,
    params: &Map,
    of: &ConfigOf,
    keys: &[String],
) -> Result<BTreeMap<String, String>, CollectError> {
    let access = access(host, params)?;
    let deadline = deadline(host);
    Ok(Handle::try_current()?.block_on(dynamic_configs(&access, of, keys, deadline))?)
}

/// Sets keys on the running cluster, and takes those without a value back.
///
/// # Errors
/// As [`cluster`]; when the broker refuses a key, none is changed.
pub fn alter_config(
    host: &dyn HostView,
    params: &Map,
    of: &ConfigOf,
    changes: &BTreeMap<String, Option<String>>,
) -> Result<(), CollectError> {
    let access = access(host, params)?;
    let deadline = deadline(host);
    Ok(Handle::try_current()?.block_on(alter_configs(&access, of, changes, deadline))?)
}

/// How to reach the broker on this host. A broker that was left to choose its id has it in `meta.properties`.
pub(super) fn access(host: &dyn HostView, params: &Map) -> Result<KafkaAccess, CollectError> {
    let (params, config) = kafka_config::read(host, params)?;
    let mut node = config.node;
    for dir in &config.log_dirs {
        if node.is_none() {
            node = super::node::log_dir(host, dir)?.node_id;
        }
    }
    let node = node.ok_or_else(|| {
        CollectError::Invalid(format!("neither {} nor meta.properties of its log.dirs has a node id", config.path))
    })?;
    config.access(host, &params, node)
}

fn deadline(host: &dyn HostView) -> Instant {
    Instant::now() + LIMIT.min(host.time_left())
}

/// The name that the host has in an answer: the given one, else its own.
pub(super) fn host_name(host: &dyn HostView, given: Option<String>) -> Result<HostName, CollectError> {
    let own = || -> Result<String, CollectError> {
        let bytes = host.read(Path::new("/proc/sys/kernel/hostname"), 1024)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let name = given.map_or_else(own, Ok)?;
    HostName::new(name).map_err(|error| CollectError::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::snapshot::{KafkaMode, Topic};

    fn snapshot() -> KafkaSnapshot {
        let state = |leader: Option<i32>, replicas: &[i32], isr: &[i32]| PartitionState {
            leader: leader.map(BrokerId),
            leader_epoch: 1,
            replicas: replicas.iter().copied().map(BrokerId).collect(),
            isr: isr.iter().copied().map(BrokerId).collect(),
            removing: BTreeSet::new(),
        };
        let partitions = BTreeMap::from([
            (0, state(Some(1), &[1, 2], &[1, 2])),
            (1, state(Some(2), &[1, 2], &[1, 2])),
            (2, state(Some(2), &[1, 2], &[2])),
            (3, state(Some(1), &[2, 1], &[1, 2])),
            (4, state(None, &[1, 2], &[1])),
        ]);
        KafkaSnapshot {
            seen_by: BrokerId(1),
            cluster_id: "c".into(),
            mode: KafkaMode::ZooKeeper { active_controller: Some(BrokerId(1)) },
            brokers: BTreeMap::new(),
            topics: BTreeMap::from([("t".to_owned(), Topic { min_isr: 1, internal: false, partitions })]),
            reassigning: BTreeSet::new(),
        }
    }

    #[test]
    fn only_partitions_whose_preferred_leader_is_in_sync_and_does_not_lead_are_away() {
        let partition = |n| TopicPartition { topic: "t".into(), partition: n };
        let named = BTreeSet::from([partition(0), partition(3)]);
        for (named, wanted) in [(None, vec![1, 4]), (Some(&named), vec![3])] {
            let found = away(&snapshot(), named);
            let got: Vec<i32> = found.iter().map(|away| away.partition.partition).collect();
            assert_eq!(got, wanted, "{named:?}");
        }
    }
}
