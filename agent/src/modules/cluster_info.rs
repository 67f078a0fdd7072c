//! `kafka_cluster_info` and `zookeeper_info`: the cluster as the member on this host sees it.

use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param, returns};
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
        param(
            "listener",
            ParamKind::Str,
            "The listener to ask; else the first one with PLAINTEXT, else that of the brokers among themselves.",
        ),
        param(
            "command_config",
            ParamKind::Path,
            "A client's properties file on the host, as Kafka's own tools take one (security.protocol, sasl.jaas.config, \
             ssl.truststore.location of type PEM, ...); without it the broker's own configuration says how brokers call it.",
        ),
    ]
}

/// A reading as a result: its own keys.
///
/// # Errors
/// When it can not be written as JSON, which would be a fault of its type.
pub(super) fn as_map(reading: &impl serde::Serialize) -> Result<Map, ModuleError> {
    match serde_json::to_value(reading) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(ModuleError::Invalid(format!("the reading is no mapping but {other}"))),
        Err(error) => Err(ModuleError::Invalid(format!("the reading can not be written as JSON: {error}"))),
    }
}

impl Module for ClusterInfo {
    type Params = Map;
    type State = Map;

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
            returns: vec![if self.kafka {
                returns(
                    "kafka",
                    "the cluster: seen_by (the broker that answered), cluster_id, mode (zookeeper with its \
                     active_controller, or kraft with its quorum), brokers by id, topics by name (min_isr, partitions \
                     with leader, replicas and isr), reassigning",
                )
            } else {
                returns(
                    "zookeeper",
                    "the server: server_id, state (leader, follower, observer, standalone, not_serving), zxid, \
                     ensemble by id, outstanding_requests, connections, data_size_bytes, tick_ms, init_limit, version",
                )
            }],
            examples: examples.into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<Map, ModuleError> {
        let mut params = params.clone();
        if !self.kafka {
            params.insert("kind".into(), "zookeeper".into());
        }
        as_map(&collect::cluster(host, &params)?)
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
