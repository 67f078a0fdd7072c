//! `node_info`: the host's own truth about its Kafka or ZooKeeper node.

use super::cluster_info::as_map;
use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map};

/// The module.
pub(super) struct NodeInfo;

impl Module for NodeInfo {
    type Params = Map;
    type State = Map;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "node_info".into(),
            summary: "Tells how a Kafka or ZooKeeper node stands on its host: process, data, clock".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![
                param("kind", ParamKind::Str, "What the node is.").choices(&["kafka", "zookeeper"]).default("kafka"),
                param("service", ParamKind::Str, "Its unit; the kind's name by default."),
                param("config", ParamKind::Path, "Its configuration file; the usual place by default."),
            ],
            returns: vec![
                returns("unit", "the unit; likewise active_state and result as systemd has them"),
                returns("main_pid", "the process; with started_us and boot_id it names one process for good"),
                returns("started_us", "when it started, microseconds since the boot"),
                returns("stop_timeout_ms", "how long systemd waits for a stop before it kills"),
                returns("port_open", "whether the node's port answers"),
                returns("node_id", "broker.id, node.id or myid as the files say"),
                returns("log_dirs", "path, online, clean_shutdown, cluster_id, node_id, free_bytes, total_bytes"),
                returns("clock_unix_ms", "the host's clock"),
            ],
            examples: "- name: Was the last stop a clean one?\n  node_info:\n    service: kafka\n  register: node\n"
                .into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<Map, ModuleError> {
        as_map(&collect::node(host, params)?)
    }

    fn diff(&self, _params: &Map, _state: &Map) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Map, _: &Map, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, _params: &Map, state: &Map) -> Map {
        state.clone()
    }
}
