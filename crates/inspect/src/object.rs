//! What a reading or a finding is about: the fleet, a host or a cluster, and often a part of it.
//!
//! An object has one text, `host:kafka-1/volume:/data`, which is its form in JSON, in waivers and in the keys of
//! everything that lasts over nights. Two nights name the same thing by the same text.

use kfleet_model::{ClusterName, HostName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// It begins with none of the owners.
    #[error("{0:?} is no object: it must be \"fleet\" or begin with \"host:\" or \"cluster:\"")]
    Owner(String),
    /// The host or cluster has no valid name.
    #[error("{text:?} is no object")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with the name.
        #[source]
        source: kfleet_model::ids::NameError,
    },
    /// The part is of no known kind.
    #[error("{text:?} is no part of an object: it must be one of {}, a colon and a name", kinds())]
    Part {
        /// The text.
        text: String,
    },
}

fn kinds() -> String {
    PartKind::ALL.map(PartKind::word).join(", ")
}

/// Whose part, or the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// All hosts together.
    Fleet,
    /// One host.
    Host(HostName),
    /// One Kafka cluster or ZooKeeper ensemble.
    Cluster(ClusterName),
}

impl Owner {
    /// The host, when it is one.
    #[must_use]
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Host(host) => Some(host),
            Self::Fleet | Self::Cluster(_) => None,
        }
    }

    /// The cluster, when it is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Cluster(cluster) => Some(cluster),
            Self::Fleet | Self::Host(_) => None,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Host(host) => write!(f, "host:{host}"),
            Self::Cluster(cluster) => write!(f, "cluster:{cluster}"),
        }
    }
}

/// The kinds of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A path that holds data or logs, named by the configured path.
    Volume,
    /// A block device, `sda`.
    Device,
    /// A network interface, `eth0`.
    Interface,
    /// A managed process by its service: `kafka`, `zookeeper`.
    Process,
    /// A unit of the service manager.
    Unit,
    /// A file.
    File,
    /// A local port, `9092`.
    Port,
    /// An address that others connect to, `kafka-1:9092`.
    Endpoint,
    /// A name that is looked up.
    Name,
    /// A broker, voter or ZooKeeper server by its id.
    Broker,
    /// A topic.
    Topic,
    /// A partition, `orders-3`.
    Partition,
    /// A consumer group.
    Group,
    /// A log signature, `K-LOCK`.
    Signature,
    /// A kind of backup, `config`.
    Backup,
}

impl PartKind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Volume,
        Self::Device,
        Self::Interface,
        Self::Process,
        Self::Unit,
        Self::File,
        Self::Port,
        Self::Endpoint,
        Self::Name,
        Self::Broker,
        Self::Topic,
        Self::Partition,
        Self::Group,
        Self::Signature,
        Self::Backup,
    ];

    /// The word before the colon.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Device => "device",
            Self::Interface => "interface",
            Self::Process => "process",
            Self::Unit => "unit",
            Self::File => "file",
            Self::Port => "port",
            Self::Endpoint => "endpoint",
            Self::Name => "name",
            Self::Broker => "broker",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Group => "group",
            Self::Signature => "signature",
            Self::Backup => "backup",
        }
    }
}

/// A part of a host or cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its name among those of its kind; may hold any character.
    pub name: String,
}

impl Part {
    /// A part by its kind and name.
    #[must_use]
    pub fn new(kind: PartKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.word(), self.name)
    }
}

impl FromStr for Part {
    type Err = ObjectError;
    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let wrong = || ObjectError::Part { text: text.to_owned() };
        let (word, name) = text.split_once(':').ok_or_else(wrong)?;
        let kind = PartKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(wrong)?;
        if name.is_empty() { Err(wrong()) } else { Ok(Self::new(kind, name)) }
    }
}

impl TryFrom<String> for Part {
    type Error = ObjectError;
    fn try_from(text: String) -> Result<Self, ObjectError> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> Self {
        part.to_string()
    }
}

/// What something is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Object {
    /// The fleet, a host or a cluster.
    pub owner: Owner,
    /// A part of it; none when it is meant as a whole.
    pub part: Option<Part>,
}

impl Object {
    /// The whole fleet.
    pub const FLEET: Self = Self { owner: Owner::Fleet, part: None };

    /// An owner as a whole, or a part of it.
    #[must_use]
    pub fn new(owner: Owner, part: Option<Part>) -> Self {
        Self { owner, part }
    }

    /// A whole host.
    #[must_use]
    pub fn host(host: HostName) -> Self {
        Self::new(Owner::Host(host), None)
    }

    /// A whole cluster.
    #[must_use]
    pub fn cluster(cluster: ClusterName) -> Self {
        Self::new(Owner::Cluster(cluster), None)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.fmt(f)?;
        self.part.as_ref().map_or(Ok(()), |part| write!(f, "/{part}"))
    }
}

impl FromStr for Object {
    type Err = ObjectError;
    /// The names of hosts and clusters hold no `/`, so the first one ends them.
    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let (owner, part) = match text.split_once('/') {
            Some((owner, part)) => (owner, Some(part.parse()?)),
            None => (text, None),
        };
        let named = |source| ObjectError::Name { text: text.to_owned(), source };
        let owner = match owner.split_once(':') {
            None if owner == "fleet" => Owner::Fleet,
            Some(("host", name)) => Owner::Host(HostName::new(name).map_err(named)?),
            Some(("cluster", name)) => Owner::Cluster(ClusterName::new(name).map_err(named)?),
            None | Some(_) => return Err(ObjectError::Owner(text.to_owned())),
        };
        Ok(Self { owner, part })
    }
}

impl TryFrom<String> for Object {
    type Error = ObjectError;
    fn try_from(text: String) -> Result<Self, ObjectError> {
        text.parse()
    }
}

impl From<Object> for String {
    fn from(object: Object) -> Self {
        object.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_reads_back_from_its_text() {
        for text in [
            "fleet",
            "host:kafka-1",
            "host:kafka-1/volume:/data/a",
            "host:kafka-1/endpoint:kafka-2:9092",
            "cluster:prod",
            "cluster:prod/partition:orders-3",
            "fleet/name:kafka-1.example",
        ] {
            assert_eq!(text.parse::<Object>().unwrap().to_string(), text);
        }
        for kind in PartKind::ALL {
            let part = Part::new(kind, "x");
            assert_eq!(part.to_string().parse::<Part>().unwrap(), part);
        }
    }

    #[test]
    fn a_text_that_names_nothing_is_refused() {
        for text in ["", "fleet:x", "kafka-1", "host:", "host:a b", "host:a/", "host:a/volume:", "host:a/planet:mars"] {
            assert!(text.parse::<Object>().is_err(), "{text:?} must be refused");
        }
    }
}
