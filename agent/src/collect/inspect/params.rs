//! What the controller tells of a host that it wants to be read.

use jiff::Timestamp;
use kfleet_inspect::Role;
use kfleet_model::{ClusterName, Map, Value};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long quantities that move fast are watched.
const SAMPLE: u64 = 20;

/// The longest: an observation ends after five minutes.
const SAMPLE_MAX: u64 = 120;

/// The parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The host's name in the inventory; else its own.
    pub(super) host: Option<String>,
    /// What runs here.
    pub(super) services: Vec<ServiceParams>,
    /// What it is for.
    pub(super) roles: BTreeSet<Role>,
    /// Labels of the inventory.
    pub(super) labels: BTreeMap<String, String>,
    /// Addresses of the fleet that this host must be able to reach.
    pub(super) endpoints: Vec<Endpoint>,
    /// Names of the fleet that this host must be able to resolve.
    pub(super) names: BTreeSet<String>,
    sample_s: Option<u64>,
    /// The inspection's id: asked again with the same one, logs are read from the same place on.
    pub(super) inspection: Option<String>,
    /// When the last inspection was.
    pub(super) since: Option<Timestamp>,
}

/// A service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceParams {
    /// What it is.
    pub(super) kind: Kind,
    /// Its unit.
    #[serde(default)]
    pub(super) service: Option<String>,
    /// Its configuration file.
    #[serde(default)]
    pub(super) config: Option<String>,
    /// A client file with the way in to its broker.
    #[serde(default)]
    pub(super) command_config: Option<String>,
    /// The cluster that it belongs to.
    #[serde(default)]
    pub(super) cluster: Option<ClusterName>,
}

/// The kinds of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A broker, a controller, or both in one.
    Kafka,
    /// A ZooKeeper server.
    Zookeeper,
}

impl Kind {
    /// The name of its process among parts, and of its unit where nobody gives another.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Zookeeper => "zookeeper",
        }
    }
}

/// An address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    /// Its name in readings, such as `kafka-2:9092`.
    pub(super) name: String,
    /// The host.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
}

impl Params {
    /// How long quantities that move fast are watched.
    pub(super) fn sample(&self) -> Duration {
        Duration::from_secs(self.sample_s.unwrap_or(SAMPLE).min(SAMPLE_MAX))
    }

    /// Every cluster that a service belongs to.
    pub(super) fn clusters(&self) -> BTreeSet<ClusterName> {
        self.services.iter().filter_map(|service| service.cluster.clone()).collect()
    }
}

impl ServiceParams {
    /// Its unit.
    pub(super) fn unit(&self) -> &str {
        self.service.as_deref().unwrap_or(self.kind.name())
    }

    /// The parameters that the other collectors take.
    pub(super) fn map(&self) -> Map {
        let mut map = Map::new();
        map.insert("kind".into(), self.kind.name().into());
        let mut put = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                map.insert(key.into(), Value::from(value.as_str()));
            }
        };
        put("service", &self.service);
        put("config", &self.config);
        if self.kind == Kind::Kafka {
            put("command_config", &self.command_config);
        }
        map
    }
}
