//! The host's own truth about its Kafka or ZooKeeper node: the process and the data, whatever the cluster says.

use super::{CollectError, kafka_config, zookeeper_config};
use crate::host::HostView;
use kfleet_config::Properties;
use kfleet_kafka::Address;
use kfleet_model::{BrokerId, LogDirReading, Map, NodeReading, Value};
use std::path::Path;
use std::time::Duration;

/// How long the node's port is tried: it is on this host.
const CONNECT: Duration = Duration::from_secs(1);

/// The file that Kafka leaves in each log directory at a clean stop and removes at a start.
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// `meta.properties` has a handful of lines.
const LIMIT: u64 = 64 * 1024;

/// Reads a node. `kind` is `kafka` (the default) or `zookeeper`, `service` its unit, `config` its configuration file.
///
/// # Errors
/// When the configuration can not be read or systemd does not answer.
pub fn node(host: &dyn HostView, params: &Map) -> Result<NodeReading, CollectError> {
    match params.get("kind").and_then(Value::as_str) {
        None | Some("kafka") => {
            let (params, config) = kafka_config::read(host, params)?;
            let dirs = config.log_dirs.iter().map(|dir| log_dir(host, dir)).collect::<Result<Vec<_>, _>>()?;
            let node = config.node.or_else(|| dirs.iter().find_map(|dir| dir.node_id));
            let service = params.service.as_deref().unwrap_or("kafka");
            read(host, service, config.any_address(), node, dirs)
        }
        Some("zookeeper") => {
            let (params, config) = zookeeper_config::read(host, params)?;
            let service = params.service.as_deref().unwrap_or("zookeeper");
            read(host, service, Some(&config.address), config.my_id, Vec::new())
        }
        Some(other) => Err(CollectError::Invalid(format!("kind {other:?} is neither kafka nor zookeeper"))),
    }
}

fn read(
    host: &dyn HostView,
    service: &str,
    address: Option<&Address>,
    node_id: Option<BrokerId>,
    log_dirs: Vec<LogDirReading>,
) -> Result<NodeReading, CollectError> {
    let unit = host.unit(service)?;
    let port_open = match address {
        Some(address) => host.connects(&address.host, address.port, CONNECT)?,
        None => false,
    };
    let boot_id = host.read(Path::new("/proc/sys/kernel/random/boot_id"), 1024)?.unwrap_or_default();
    Ok(NodeReading {
        unit: unit.name,
        active_state: unit.active_state,
        result: unit.result,
        main_pid: Some(unit.main_pid).filter(|pid| *pid != 0),
        started_us: unit.started_us,
        boot_id: String::from_utf8_lossy(&boot_id).trim().to_owned(),
        stop_timeout_ms: unit.timeout_stop_us / 1000,
        port_open,
        node_id,
        log_dirs,
        clock_unix_ms: host.unix_ms(),
    })
}

/// Reads one log directory. One that is missing or can not be read is offline, which is an answer and no error: a disk
/// that died is what this reading is for.
pub(super) fn log_dir(host: &dyn HostView, path: &str) -> Result<LogDirReading, CollectError> {
    let folder = Path::new(path);
    let online = matches!(host.list(folder), Ok(Some(_)));
    let space = host.file_system(folder).ok().flatten();
    let clean_shutdown = online && matches!(host.stat(&folder.join(CLEAN_SHUTDOWN), false), Ok(Some(_)));
    let meta = if online { host.read(&folder.join("meta.properties"), LIMIT).ok().flatten() } else { None };
    let meta = Properties::parse(&meta.unwrap_or_default()).to_map();
    let id = meta.get("node.id").or_else(|| meta.get("broker.id"));
    Ok(LogDirReading {
        path: path.to_owned(),
        online,
        clean_shutdown,
        cluster_id: meta.get("cluster.id").cloned(),
        node_id: id.and_then(|id| id.trim().parse().ok()).map(BrokerId),
        free_bytes: space.map(|space| space.free_bytes).unwrap_or_default(),
        total_bytes: space.map(|space| space.total_bytes).unwrap_or_default(),
    })
}
