//! `kafka_cluster_info` and `zookeeper_info`: the cluster as the member on this host sees it.

use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, ReturnDoc, param, returns};
use kfleet_model::snapshot::ClusterSnapshot;
use kfleet_model::{Change, Map, Value};

/// The two modules that are made of this.
pub(super) struct ClusterInfo {
    kafka: bool,
}

impl ClusterInfo {
    /// `kafka_cluster_info`.
    pub(super) const KAFKA: Self = Self { kafka: true };
    /// `zookeeper_info`.
    pub(super) const ZOOKEEPER: Self = Self { kafka: false };
}

/// The parameters of everything that asks a broker.
pub(super) fn kafka_params() -> Vec<ParamDoc> {
    vec![
        param("config", ParamKind::Path, "The broker's configuration file.").default("/etc/kafka/server.properties"),
        param("service", ParamKind::Str, "The broker's unit.").default("kafka"),
        param("listener", ParamKind::Str, "The listener to ask; else the first one with PLAINTEXT."),
    ]
}

/// A reading as a result: its own keys.
pub(super) fn as_map(reading: &impl serde::Serialize) -> Map {
    match serde_json::to_value(reading) {
        Ok(Value::Object(map)) => map,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn kafka_returns() -> Vec<ReturnDoc> {
    vec![
        returns("kind", "kafka"),
        returns("seen_by", "the id of the broker that answered"),
        returns("cluster_id", "the cluster's own id"),
        returns("mode", "zoo_keeper with its active_controller, or kraft with its quorum"),
        returns("brokers", "registered brokers by id: host, port, rack"),
        returns("topics", "topics by name: min_isr, internal, partitions (leader, replicas, isr, ...)"),
        returns("reassigning", "partitions that are being reassigned"),
    ]
}

fn zookeeper_returns() -> Vec<ReturnDoc> {
    vec![
        returns("kind", "zoo_keeper"),
        returns("server_id", "myid"),
        returns("state", "leader (synced_followers, pending_syncs), follower, observer, standalone or not_serving"),
        returns("zxid", "the last transaction that it has"),
        returns("ensemble", "the configured servers by id: participant or observer"),
        returns("outstanding_requests", "requests that wait to be answered; likewise connections, data_size_bytes"),
        returns("version", "the server's version; likewise tick_ms, init_limit"),
    ]
}

impl Module for ClusterInfo {
    type Params = Map;
    type State = ClusterSnapshot;

    fn doc(&self) -> ModuleDoc {
        let (name, params, summary, examples) = if self.kafka {
            let examples = "- name: What does this broker see?\n  kafka_cluster_info:\n  register: kafka\n";
            let mut params = kafka_params();
            params.extend([
                param("kind", ParamKind::Str, "Ask a ZooKeeper server instead, as zookeeper_info does.")
                    .choices(&["kafka", "zookeeper"])
                    .default("kafka"),
                param("host", ParamKind::Str, "With kind=zookeeper: the name that the host has in the answer."),
            ]);
            ("kafka_cluster_info", params, "Tells what the broker on the host sees of its cluster", examples)
        } else {
            let params = vec![
                param("config", ParamKind::Path, "The server's configuration file.")
                    .default("/etc/zookeeper/zoo.cfg, or /etc/zookeeper/conf/zoo.cfg"),
                param("service", ParamKind::Str, "The server's unit.").default("zookeeper"),
                param("host", ParamKind::Str, "The name that the host has in the answer; its own by default."),
            ];
            let examples = "- name: Does this server lead?\n  zookeeper_info:\n  register: zookeeper\n";
            ("zookeeper_info", params, "Tells what the ZooKeeper server on the host says of itself", examples)
        };
        ModuleDoc {
            name: name.into(),
            summary: summary.into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params,
            returns: if self.kafka { kafka_returns() } else { zookeeper_returns() },
            examples: examples.into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<ClusterSnapshot, ModuleError> {
        let mut params = params.clone();
        if !self.kafka {
            params.insert("kind".into(), "zookeeper".into());
        }
        Ok(collect::cluster(host, &params)?)
    }

    fn diff(&self, _params: &Map, _state: &ClusterSnapshot) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Map, _: &ClusterSnapshot, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, _params: &Map, state: &ClusterSnapshot) -> Map {
        as_map(state)
    }
}
