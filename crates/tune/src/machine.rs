//! What of a host its wanted values depend on, and what its service's configuration says of that.

use crate::Profile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A host as far as wanted values depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// systemd runs here, so units and `tmpfiles.d` mean something.
    pub systemd: bool,
    /// The service's unit as it is called here; none when there is none.
    pub unit: Option<String>,
    /// Replicas that the broker holds, or shall hold; 0 when nobody said.
    pub partitions: u64,
    /// Log segments of each of them.
    pub segments_per_partition: u64,
    /// Ports that the service listens on.
    pub ports: BTreeSet<u16>,
    /// `net.ipv4.ip_local_port_range` as it is.
    pub port_range: Option<(u16, u16)>,
    /// `vm.dirty_bytes` and `vm.dirty_background_bytes`; 0 where the ratios hold.
    pub dirty_bytes: u64,
    /// See there.
    pub dirty_background_bytes: u64,
    /// The disks below the data, whose scheduler counts.
    pub disks: Vec<Disk>,
    /// The block devices that the data's file systems lie on, whose read-ahead counts.
    pub volumes: Vec<Volume>,
    /// The mounts that the data lies in.
    pub mounts: Vec<Mount>,
    /// `scaling_governor` of each frequency policy.
    pub governors: Vec<PathBuf>,
    /// Swap spaces in use.
    pub swaps: Vec<PathBuf>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name below `/sys/block`.
    pub name: String,
    /// It turns.
    pub rotational: bool,
}

/// A block device with a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name below `/sys/block`.
    pub name: String,
    /// It, or a disk below it, turns.
    pub rotational: bool,
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub dir: String,
    /// What kind.
    pub kind: String,
    /// It is a block device's.
    pub on_disk: bool,
}

/// The directories of a service's data, by its configuration. Defaults are Kafka's and ZooKeeper's documented ones.
#[must_use]
pub fn data_dirs(profile: Profile, config: &BTreeMap<String, String>) -> BTreeSet<String> {
    let of = |key: &str| config.get(key).map(String::as_str);
    let lists: Vec<&str> = match profile {
        Profile::Broker => of("log.dirs").or_else(|| of("log.dir")).into_iter().chain(of("metadata.log.dir")).collect(),
        Profile::KraftController => {
            of("metadata.log.dir").or_else(|| of("log.dirs")).or_else(|| of("log.dir")).into_iter().collect()
        }
        Profile::Zookeeper => of("dataDir").into_iter().chain(of("dataLogDir")).collect(),
    };
    let dirs = lists.into_iter().flat_map(|list| list.split(',')).map(str::trim);
    dirs.filter(|dir| dir.starts_with('/')).map(str::to_owned).collect()
}

/// The ports that a service listens on, by its configuration.
#[must_use]
pub fn listener_ports(profile: Profile, config: &BTreeMap<String, String>) -> BTreeSet<u16> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0);
    match profile {
        Profile::Broker | Profile::KraftController => {
            let listeners = config.get("listeners").map_or("PLAINTEXT://:9092", String::as_str);
            listeners.split(',').filter_map(|listener| port(listener.rsplit_once(':')?.1)).collect()
        }
        Profile::Zookeeper => {
            let clients = ["clientPort", "secureClientPort", "admin.serverPort"];
            let mut ports: BTreeSet<u16> = clients.iter().filter_map(|key| port(config.get(*key)?)).collect();
            let servers = config.iter().filter(|(key, _)| key.starts_with("server."));
            for (_, server) in servers {
                // `host:quorum:election[:role][;client]`, and several of them with `|` between.
                for address in server.split('|') {
                    ports.extend(address.split([':', ';']).skip(1).filter_map(port));
                }
            }
            ports
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
        lines.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn directories_and_ports_come_from_the_configuration() {
        type Case<'a> = (Profile, &'a [(&'a str, &'a str)], &'a [&'a str], &'a [u16]);
        let cases: [Case<'_>; 5] = [
            (
                Profile::Broker,
                &[
                    ("log.dirs", "/data/1, /data/2"),
                    ("log.dir", "/old"),
                    ("metadata.log.dir", "/meta"),
                    ("listeners", "INTERNAL://:9092,EXTERNAL://[::]:19092,CONTROLLER://0.0.0.0:9093"),
                ],
                &["/data/1", "/data/2", "/meta"],
                &[9092, 9093, 19092],
            ),
            (Profile::Broker, &[], &[], &[9092]),
            (Profile::KraftController, &[("log.dirs", "/data"), ("listeners", "C://h:9093")], &["/data"], &[9093]),
            (
                Profile::Zookeeper,
                &[
                    ("dataDir", "/zk/data"),
                    ("dataLogDir", "/zk/log"),
                    ("clientPort", "2181"),
                    ("server.1", "zk1:2888:3888:participant;2181|10.0.0.1:2889:3889"),
                ],
                &["/zk/data", "/zk/log"],
                &[2181, 2888, 2889, 3888, 3889],
            ),
            (Profile::Zookeeper, &[("dataDir", "relative")], &[], &[]),
        ];
        for (profile, lines, dirs, ports) in cases {
            let config = config(lines);
            assert_eq!(data_dirs(profile, &config).iter().collect::<Vec<_>>(), dirs, "{lines:?}");
            assert_eq!(listener_ports(profile, &config).into_iter().collect::<Vec<_>>(), ports, "{lines:?}");
        }
    }
}
