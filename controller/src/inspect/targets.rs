//! What is inspected: each host's services and roles, and the clusters that they make, as the inventory says.

use crate::execute::Agent;
use crate::rolling::node_of;
use kfleet_inspect::{ClusterKind, Role};
use kfleet_model::{BrokerId, ClusterName, HostName, Map, Value};
use kfleet_rolling::Role as NodeRole;
use std::collections::{BTreeMap, BTreeSet};

/// One host.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The host.
    pub host: HostName,
    /// Its node of Kafka or ZooKeeper; none on a host without `kfleet_role`.
    pub node: Option<NodeTarget>,
    /// Its labels (`kfleet_labels`), for thresholds and failure domains.
    pub labels: BTreeMap<String, String>,
}

/// A host's node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTarget {
    /// Its cluster or ensemble.
    pub cluster: ClusterName,
    /// What it is there.
    pub role: NodeRole,
    /// How its agent is asked about it.
    pub params: Map,
    /// Its id, as far as the inventory tells.
    pub id: Option<BrokerId>,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClusterTarget {
    /// What it looks like from the inventory; its members' views may know better.
    pub kind: ClusterKind,
    /// Its hosts.
    pub hosts: BTreeSet<HostName>,
}

/// The host of the inventory that can not be inspected, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Its cluster has no name.
    #[error("{host}: it is in {groups}; the variable kfleet_cluster must say which of them is its cluster")]
    Cluster {
        /// The host.
        host: HostName,
        /// Its groups, for people.
        groups: String,
    },
    /// The cluster's name is not valid.
    #[error("{host}: kfleet_cluster: {source}")]
    Name {
        /// The host.
        host: HostName,
        /// Why.
        source: kfleet_model::ids::NameError,
    },
    /// The role is not one.
    #[error("{0}")]
    Role(String),
}

impl Target {
    /// Reads a host's variables.
    ///
    /// # Errors
    /// When its role or cluster is not clear.
    pub fn of(agent: &Agent) -> Result<Self, TargetError> {
        let vars = |name: &str| agent.var(name);
        let labels = match agent.value("kfleet_labels") {
            Some(Value::Object(labels)) => labels
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), kfleet_model::module::text(value)?)))
                .collect(),
            Some(_) | None => BTreeMap::new(),
        };
        Self::read(&agent.host, &agent.groups, vars, labels)
    }

    fn read(
        host: &HostName,
        groups: &[String],
        var: impl Fn(&str) -> Option<String>,
        labels: BTreeMap<String, String>,
    ) -> Result<Self, TargetError> {
        if var("kfleet_role").is_none() {
            return Ok(Self { host: host.clone(), node: None, labels });
        }
        let node = node_of(host, &var).map_err(|error| TargetError::Role(error.to_string()))?;
        let ids = ["broker_id", "node_id", "myid", "zookeeper_id"];
        let id = ids.iter().find_map(|name| var(name)?.trim().parse().ok()).map(BrokerId);
        let cluster = match (var("kfleet_cluster"), groups) {
            (Some(name), _) => name,
            (None, [only]) => only.clone(),
            (None, several) => {
                let groups = if several.is_empty() {
                    "no group".to_owned()
                } else {
                    format!("the groups {}", several.join(", "))
                };
                return Err(TargetError::Cluster { host: host.clone(), groups });
            }
        };
        let cluster = ClusterName::new(cluster).map_err(|source| TargetError::Name { host: host.clone(), source })?;
        Ok(Self {
            host: host.clone(),
            node: Some(NodeTarget { cluster, role: node.role, params: node.params, id }),
            labels,
        })
    }

    /// The roles, in the inspection's words.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<Role> {
        match self.node.as_ref().map(|node| node.role) {
            None => BTreeSet::new(),
            Some(NodeRole::Broker) => BTreeSet::from([Role::KafkaBroker]),
            Some(NodeRole::Controller) => BTreeSet::from([Role::KraftController]),
            Some(NodeRole::Combined) => BTreeSet::from([Role::KafkaBroker, Role::KraftController]),
            Some(NodeRole::ZooKeeper) => BTreeSet::from([Role::Zookeeper]),
        }
    }
}

/// The clusters of all hosts.
#[must_use]
pub(super) fn clusters(targets: &[Target]) -> BTreeMap<ClusterName, ClusterTarget> {
    let mut clusters: BTreeMap<ClusterName, ClusterTarget> = BTreeMap::new();
    for target in targets {
        let Some(node) = &target.node else { continue };
        let kind = match node.role {
            NodeRole::ZooKeeper => ClusterKind::Zookeeper,
            NodeRole::Controller | NodeRole::Combined => ClusterKind::KafkaKraft,
            NodeRole::Broker => ClusterKind::KafkaZk,
        };
        let cluster =
            clusters.entry(node.cluster.clone()).or_insert_with(|| ClusterTarget { kind, hosts: BTreeSet::new() });
        // Brokers beside controllers of their own are brokers of a KRaft cluster.
        if kind == ClusterKind::KafkaKraft {
            cluster.kind = kind;
        }
        cluster.hosts.insert(target.host.clone());
    }
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, groups: &[&str], vars: &[(&str, &str)]) -> Result<Target, String> {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        let var = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Target::read(&HostName::new(host).unwrap(), &groups, var, BTreeMap::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_hosts_cluster_is_its_only_group_or_the_one_that_it_names() {
        let role = ("kfleet_role", "broker");
        let cluster = |target: Target| target.node.map(|node| node.cluster.to_string());
        for (groups, vars, wanted) in [
            (&["kafka"][..], vec![role], Ok(Some("kafka"))),
            (&["kafka", "dc1"], vec![role, ("kfleet_cluster", "kafka")], Ok(Some("kafka"))),
            (&["kafka", "dc1"], vec![role], Err("the groups kafka, dc1")),
            (&[], vec![role], Err("no group")),
            (&["web"], vec![], Ok(None)),
            (&["kafka"], vec![("kfleet_role", "boss")], Err("must be broker")),
            (&["kafka"], vec![role, ("kfleet_cluster", "a b")], Err("kfleet_cluster: ")),
        ] {
            match (target("h1", groups, &vars), wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(cluster(found).as_deref(), wanted),
                (Err(error), Err(wanted)) => assert!(error.contains(wanted), "{error}"),
                (found, wanted) => panic!("{groups:?} {vars:?}: {found:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn brokers_beside_controllers_make_a_kraft_cluster() {
        let host = |name: &str, role: &str, group: &str| target(name, &[group], &[("kfleet_role", role)]).unwrap();
        let targets = [
            host("k1", "broker", "kafka"),
            host("q1", "controller", "kafka"),
            host("o1", "broker", "old"),
            host("z1", "zookeeper", "zk"),
            target("web", &["web"], &[]).unwrap(),
        ];
        let found = clusters(&targets);
        let kinds: Vec<_> =
            found.iter().map(|(name, cluster)| (name.as_str(), cluster.kind, cluster.hosts.len())).collect();
        assert_eq!(
            kinds,
            [
                ("kafka", ClusterKind::KafkaKraft, 2),
                ("old", ClusterKind::KafkaZk, 1),
                ("zk", ClusterKind::Zookeeper, 1)
            ]
        );
    }
}
