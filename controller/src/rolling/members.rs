//! Who is in the cluster: the play's hosts as nodes, by the host's own configuration and the inventory.

use crate::execute::{Hosts, LinkError, Run};
use kfleet_model::{BrokerId, HostName, Map, NodeReading, Value};
use kfleet_proto::convert::ObserveKind;
use kfleet_rolling::{Member, Role};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a host may take to tell which node it is, before the roll begins.
const DISCOVER_DEADLINE: Duration = Duration::from_secs(15);

/// A node of the roll and how its agent is asked about it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(super) host: HostName,
    pub(crate) role: Role,
    /// Parameters for the observations of this node.
    pub(crate) params: Map,
}

/// Why the play's hosts are not a cluster that can be rolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    /// The agent did not tell.
    #[error("{host}: {source}")]
    Link {
        /// Which host.
        host: HostName,
        /// Why.
        source: LinkError,
    },
    /// The agent took too long.
    #[error("{host}: no reading of the node within {} s", limit.as_secs())]
    Late {
        /// Which host.
        host: HostName,
        /// The limit.
        limit: Duration,
    },
    /// The answer is not a reading of a node.
    #[error("{host}: its reading of the node is not understood: {source}")]
    Reading {
        /// Which host.
        host: HostName,
        /// Why.
        source: serde_json::Error,
    },
    /// The configuration on the host has no id.
    #[error("{host}: no broker.id, node.id or myid is found in its configuration ({config})")]
    NoId {
        /// Which host.
        host: HostName,
        /// The configuration that was read.
        config: String,
    },
    /// Two hosts say the same id.
    #[error("{one} and {other} both say that they are node {id}")]
    SameId {
        /// One host.
        one: HostName,
        /// The other.
        other: HostName,
        /// The id.
        id: BrokerId,
    },
    /// The inventory says a role that does not exist.
    #[error("{host}: kfleet_role is {role:?}, it must be broker, controller, combined or zookeeper")]
    Role {
        /// Which host.
        host: HostName,
        /// What it says.
        role: String,
    },
}

/// What the inventory says of a host's node: role, unit, configuration file, and the client file that opens its listener.
pub(crate) fn node_of(host: &HostName, var: impl Fn(&str) -> Option<String>) -> Result<Node, MemberError> {
    let role = match var("kfleet_role").as_deref() {
        None | Some("broker") => Role::Broker,
        Some("controller") => Role::Controller,
        Some("combined") => Role::Combined,
        Some("zookeeper") => Role::ZooKeeper,
        Some(other) => return Err(MemberError::Role { host: host.clone(), role: other.to_owned() }),
    };
    let (kind, service, config) = match role {
        Role::ZooKeeper => ("zookeeper", var("zookeeper_service"), var("zookeeper_config")),
        Role::Broker | Role::Controller | Role::Combined => ("kafka", var("kafka_service"), var("kafka_config")),
    };
    let default = if role == Role::ZooKeeper { "/etc/zookeeper/zoo.cfg" } else { "/etc/kafka/server.properties" };
    let mut params = Map::new();
    params.insert("kind".to_owned(), kind.into());
    params.insert("service".to_owned(), service.unwrap_or_else(|| kind.to_owned()).into());
    params.insert("config".to_owned(), config.unwrap_or_else(|| default.to_owned()).into());
    let command_config = if role == Role::ZooKeeper { None } else { var("kafka_command_config") };
    if let Some(path) = command_config {
        params.insert("command_config".to_owned(), path.into());
    }
    Ok(Node { host: host.clone(), role, params })
}

/// Reads one node's own state from its host.
pub(super) async fn read_node(run: &Run, node: &Node, deadline: Duration) -> Result<NodeReading, MemberError> {
    let fail = |source| MemberError::Link { host: node.host.clone(), source };
    let link = run.link(&node.host).map_err(fail)?;
    let value = link.observe(ObserveKind::Node, &node.params, deadline).await.map_err(fail)?;
    serde_json::from_value(value).map_err(|source| MemberError::Reading { host: node.host.clone(), source })
}

/// The node's id as the inventory has it; only for hosts that can not be asked.
fn inventory_id(run: &Run, host: &HostName) -> Option<BrokerId> {
    let names = ["broker_id", "node_id", "myid", "zookeeper_id"];
    names.iter().find_map(|name| run.host_text(host, name)?.trim().parse().ok()).map(BrokerId)
}

/// Asks every host which node it is. All answers are waited for, so that all problems are told together.
pub(super) async fn discover(run: &Run, hosts: &Hosts) -> Result<BTreeMap<BrokerId, Node>, Vec<MemberError>> {
    let asked = hosts.iter().map(|host| async {
        let node = node_of(&host.name, |name| run.host_text(&host.name, name))?;
        let id = match read_node(run, &node, DISCOVER_DEADLINE).await {
            Ok(reading) => reading.node_id,
            // A host that is down is still a member: with its id from the inventory the rules can say what its
            // absence means. Without an id nothing can be said.
            Err(error) => match inventory_id(run, &host.name) {
                Some(id) => return Ok((id, node)),
                None => return Err(error),
            },
        };
        match id {
            Some(id) => Ok((id, node)),
            None => {
                let config = node.params.get("config").and_then(Value::as_str).unwrap_or_default().to_owned();
                Err(MemberError::NoId { host: node.host.clone(), config })
            }
        }
    });
    let mut nodes: BTreeMap<BrokerId, Node> = BTreeMap::new();
    let mut errors = Vec::new();
    for answer in futures::future::join_all(asked).await {
        match answer {
            Err(error) => errors.push(error),
            Ok((id, node)) => match nodes.get(&id) {
                Some(one) => errors.push(MemberError::SameId { one: one.host.clone(), other: node.host, id }),
                None => {
                    nodes.insert(id, node);
                }
            },
        }
    }
    if errors.is_empty() { Ok(nodes) } else { Err(errors) }
}

/// The same as the rules want it.
pub(super) fn members(nodes: &BTreeMap<BrokerId, Node>) -> BTreeMap<BrokerId, Member> {
    nodes.iter().map(|(&id, node)| (id, Member { host: node.host.clone(), role: node.role })).collect()
}
