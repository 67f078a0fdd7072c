//! The ports that the services are set to listen on, and who does.

use super::params::Kind;
use super::scene::Scene;
use super::services::Service;
use super::sink::{Gap, Sink, Told};
use kfleet_config::Properties;
use kfleet_inspect::{Datum, Part, PartKind};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const KEYS: &[&str] = &["net.ports.used", "net.port.owner"];

/// Properties of a JVM that name a port of JMX.
const JMX: [&str; 2] = ["com.sun.management.jmxremote.port", "com.sun.management.jmxremote.rmi.port"];

/// The state LISTEN in `/proc/net/tcp` (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// A port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// It listens as long as it runs.
    Always,
    /// It listens only while it has a certain part: the quorum's port is its leader's.
    Sometimes,
}

/// The ports of a service.
fn ports(service: &Service) -> Result<BTreeMap<u16, Use>, Gap> {
    let mut found = BTreeMap::new();
    match service.params.kind {
        Kind::Kafka => {
            let config = service.kafka().unwrap_or_else(|| Err(Gap::not_here("it is no broker")))?;
            found.extend(config.listeners.iter().map(|listener| (listener.address.port, Use::Always)));
        }
        Kind::Zookeeper => {
            let config = service.zookeeper().unwrap_or_else(|| Err(Gap::not_here("it is no ZooKeeper server")))?;
            found.insert(config.address.port, Use::Always);
            found.extend(quorum_ports(&config.files.config, config.files.my_id));
        }
    }
    if let Some(process) = service.process() {
        let jmx = JMX.into_iter().filter_map(|name| process.property(name)?.parse().ok()).filter(|port| *port != 0);
        found.extend(jmx.map(|port: u16| (port, Use::Always)));
    }
    Ok(found)
}

/// Ports of `zoo.cfg` beside the one of clients. Of a server's own line the first is the quorum's, on which only the leader
/// listens, and the second that of elections.
fn quorum_ports(config: &str, my_id: Option<i32>) -> BTreeMap<u16, Use> {
    let keys = Properties::parse(config.as_bytes()).to_map();
    let mut found = BTreeMap::new();
    if let Some(port) = keys.get("secureClientPort").and_then(|port| port.trim().parse().ok()) {
        found.insert(port, Use::Always);
    }
    let line = my_id.and_then(|id| keys.get(&format!("server.{id}")));
    let servers = line.map(|line| line.split(';').next().unwrap_or_default()).unwrap_or_default();
    for server in servers.split('|') {
        let rest = server.trim().rsplit_once(']').map_or(server.trim(), |(_, rest)| rest);
        let mut numbers = rest.split(':').skip(1).filter_map(|part| part.parse::<u16>().ok());
        if let Some(quorum) = numbers.next() {
            found.insert(quorum, Use::Sometimes);
        }
        if let Some(election) = numbers.next() {
            found.insert(election, Use::Always);
        }
    }
    found
}

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let services = scene.services()?;
    if services.is_empty() {
        return Err(Gap::not_here("no service runs here"));
    }
    let mut all = BTreeMap::new();
    for service in services {
        for (port, usage) in ports(service)? {
            all.entry(port).or_insert((usage, service));
        }
    }
    let list = all.keys().map(u16::to_string).collect();
    sink.tell("net.ports.used", "the services' configuration", Ok(Datum::List(list)));
    let mut listening = listening(&scene.need("/proc/net/tcp")?);
    for (port, inodes) in self::listening(&scene.text("/proc/net/tcp6")?.unwrap_or_default()) {
        listening.entry(port).or_default().extend(inodes);
    }
    for (port, (usage, service)) in all {
        let inodes = listening.get(&port).cloned().unwrap_or_default();
        if usage == Use::Sometimes && inodes.is_empty() {
            continue;
        }
        let told = owner(scene, service, &inodes);
        sink.tell_of(
            &Part::new(PartKind::Port, port.to_string()),
            "net.port.owner",
            "/proc/net/tcp, /proc/<pid>/fd",
            told,
        );
    }
    Ok(())
}

/// Sockets that listen, by their ports.
fn listening(table: &str) -> BTreeMap<u16, BTreeSet<u64>> {
    let mut found: BTreeMap<u16, BTreeSet<u64>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(&LISTEN), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else { continue };
        let port = local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        if let (Some(port), Ok(inode)) = (port, inode.parse()) {
            found.entry(port).or_default().insert(inode);
        }
    }
    found
}

fn owner(scene: &Scene<'_>, service: &Service, inodes: &BTreeSet<u64>) -> Told {
    if inodes.is_empty() {
        return Ok(Datum::Text("nobody".to_owned()));
    }
    if let Some(process) = service.process()
        && holds(scene, process.pid, inodes)?
    {
        return Ok(Datum::Text("own".to_owned()));
    }
    for name in scene.list("/proc")?.unwrap_or_default() {
        let Ok(pid) = name.parse::<u32>() else { continue };
        // A process may end while it is looked at, and then it listens no more.
        if holds(scene, pid, inodes).unwrap_or(false) {
            let command = scene.word(&format!("/proc/{pid}/comm")).unwrap_or_else(|_| "a process".to_owned());
            return Ok(Datum::Text(format!("{command} ({pid})")));
        }
        scene.go_on()?;
    }
    Err(Gap::unreadable("somebody listens, and no process that could be seen holds the socket"))
}

fn holds(scene: &Scene<'_>, pid: u32, inodes: &BTreeSet<u64>) -> Result<bool, Gap> {
    let folder = format!("/proc/{pid}/fd");
    for name in scene.list(&folder)?.unwrap_or_default() {
        let target = scene.stat(format!("{folder}/{name}"), false).ok().flatten().and_then(|stat| stat.target);
        let inode = target
            .as_deref()
            .and_then(|target| target.to_str())
            .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
        if inode.is_some_and(|inode| inodes.contains(&inode)) {
            return Ok(true);
        }
        scene.go_on()?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_found_in_both_tables() {
        let v4 = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                  0: 00000000:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4711 1 x 100 0 0 10 0\n\
                  1: 0100007F:0885 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x 20 4 30 10 -1\n";
        assert_eq!(listening(v4), BTreeMap::from([(9092, BTreeSet::from([4711]))]));
        let v6 = "  sl  local_address                         remote_address                        st\n\
                  0: 00000000000000000000000000000000:0885 00000000000000000000000000000000:0000 0A \
                  00000000:00000000 00:00000000 00000000     0        0 88 1 x 100 0 0 10 0\n";
        assert_eq!(listening(v6), BTreeMap::from([(2181, BTreeSet::from([88]))]));
        assert!(listening("").is_empty());
    }

    #[test]
    fn ports_of_an_ensemble_are_those_of_the_own_line() {
        let config =
            "clientPort=2181\nsecureClientPort=2182\nserver.1=zk-1:2888:3888\nserver.2=[fd00::2]:2889:3889;2181\n";
        let own = |id| quorum_ports(config, id);
        assert_eq!(own(Some(1)), BTreeMap::from([(2182, Use::Always), (2888, Use::Sometimes), (3888, Use::Always)]));
        assert_eq!(own(Some(2)), BTreeMap::from([(2182, Use::Always), (2889, Use::Sometimes), (3889, Use::Always)]));
        assert_eq!(own(None), BTreeMap::from([(2182, Use::Always)]));
    }
}
