//! The cluster as the member on this host sees it, and leadership given back to it.

use super::{CollectError, kafka_config, zookeeper_config};
use crate::host::HostView;
use kfleet_kafka::{Election, Instant, KafkaAccess, ZooKeeperAccess};
use kfleet_kafka::{elect_preferred_leaders, kafka_snapshot, zookeeper_server};
use kfleet_model::snapshot::{ClusterSnapshot, KafkaSnapshot};
use kfleet_model::{BrokerId, HostName, Map, TopicPartition, Value};
use std::collections::BTreeSet;
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
            let name = match params.host {
                Some(name) => name,
                None => own_name(host)?,
            };
            let name = HostName::new(name).map_err(|error| CollectError::Invalid(error.to_string()))?;
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

/// Partitions whose preferred leader is the broker on this host, that are in sync with it and led by another one;
/// with the broker's id and each partition's present leader.
///
/// # Errors
/// As [`cluster`].
pub fn preferred_but_not_led(
    host: &dyn HostView,
    params: &Map,
) -> Result<(BrokerId, Vec<(TopicPartition, Option<BrokerId>)>), CollectError> {
    let snapshot = kafka(host, params)?;
    let node = snapshot.seen_by;
    let wanted = |(partition, _, state): (TopicPartition, &_, &kfleet_model::snapshot::PartitionState)| {
        let preferred = state.replicas.first() == Some(&node);
        (preferred && state.isr.contains(&node) && state.leader != Some(node)).then_some((partition, state.leader))
    };
    Ok((node, snapshot.partitions().filter_map(wanted).collect()))
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

/// How to reach the broker on this host. A broker that was left to choose its id has it in `meta.properties`.
fn access(host: &dyn HostView, params: &Map) -> Result<KafkaAccess, CollectError> {
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
    Ok(KafkaAccess::plaintext(config.listener(params.listener.as_deref())?.clone(), node))
}

fn deadline(host: &dyn HostView) -> Instant {
    Instant::now() + LIMIT.min(host.time_left())
}

fn own_name(host: &dyn HostView) -> Result<String, CollectError> {
    let bytes = host.read(Path::new("/proc/sys/kernel/hostname"), 1024)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
