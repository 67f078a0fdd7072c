//! What a host is tuned for.

use serde::{Deserialize, Serialize};

/// What a host is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A Kafka broker, alone or with the role of a KRaft controller: much data, much page cache.
    Broker,
    /// A ZooKeeper server: little data, every write synced, no pause allowed.
    Zookeeper,
    /// A KRaft controller that is no broker: as ZooKeeper.
    KraftController,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Broker, Self::Zookeeper, Self::KraftController];

    /// Its name in playbooks.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Zookeeper => "zookeeper",
            Self::KraftController => "kraft_controller",
        }
    }

    /// The unit that its service usually has.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Broker | Self::KraftController => "kafka",
            Self::Zookeeper => "zookeeper",
        }
    }

    /// The configuration files that its service usually has, the likeliest first.
    #[must_use]
    pub fn configs(self) -> &'static [&'static str] {
        match self {
            Self::Broker | Self::KraftController => &["/etc/kafka/server.properties"],
            Self::Zookeeper => &["/etc/zookeeper/zoo.cfg", "/etc/zookeeper/conf/zoo.cfg"],
        }
    }
}
