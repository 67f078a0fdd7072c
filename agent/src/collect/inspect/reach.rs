//! How the rest of the fleet looks from here: names, ports, and the addresses that clients are given.

use super::kafka;
use super::scene::Scene;
use super::sink::{Gap, Sink};
use crate::host::{ReachState, Reached};
use kfleet_inspect::{Datum, Part, PartKind};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub(super) const NAME_KEYS: &[&str] = &["net.name.addresses", "net.name.time"];

pub(super) const CONNECT_KEYS: &[&str] = &["net.connect.state", "net.connect.time"];

pub(super) const ADVERTISED_KEYS: &[&str] = &["net.advertised.state", "net.advertised.addresses"];

/// How long one name or port is waited for. A host of the same site answers in a millisecond; a lost packet of a
/// handshake is sent again after one second, and after three (RFC 6298).
const LIMIT: Duration = Duration::from_secs(4);

/// Keys of Kafka's file whose values name hosts, and how a host stands in them: after `://` and `@`, before the port.
const KAFKA_NAMES: [&str; 4] =
    ["advertised.listeners", "controller.quorum.voters", "controller.quorum.bootstrap.servers", "zookeeper.connect"];

pub(super) fn names(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let mut names: BTreeSet<String> = scene.params.names.clone();
    for service in scene.services()? {
        let keys = service.keys().unwrap_or_default();
        for (key, value) in &keys {
            if KAFKA_NAMES.contains(&key.as_str()) || key.starts_with("server.") {
                names.extend(hosts(value));
            }
        }
    }
    let names: Vec<String> = names.into_iter().filter(|name| name.parse::<IpAddr>().is_err()).collect();
    if names.is_empty() {
        return Err(Gap::not_here("nothing here names another host"));
    }
    let answers = scene.host().resolve(&names, scene.patience(LIMIT)?);
    for (name, answer) in names.iter().zip(answers) {
        let part = Part::new(PartKind::Name, name.as_str());
        let answer = answer.map_err(Gap::Unreadable);
        let list = answer.clone().map(|answer| texts(&answer.addresses));
        sink.tell_of(&part, "net.name.addresses", "the host's resolver", list);
        sink.tell_of(&part, "net.name.time", "the host's resolver", answer.map(|answer| milliseconds(answer.took)));
    }
    Ok(())
}

/// The hosts of a list of addresses, in any of the forms that Kafka and ZooKeeper have: `NAME://host:port`,
/// `id@host:port`, `host:port,host:port/path`, `host:2888:3888:participant;2181`.
fn hosts(text: &str) -> Vec<String> {
    let one = |part: &str| {
        let part = part.split_once("://").map_or(part, |(_, rest)| rest);
        let part = part.rsplit_once('@').map_or(part, |(_, rest)| rest);
        let part = part.split([';', '/']).next().unwrap_or_default().trim();
        match part.strip_prefix('[') {
            Some(rest) => rest.split(']').next().map(str::to_owned),
            None => part.split(':').next().map(str::to_owned),
        }
    };
    text.split([',', '|']).filter_map(one).filter(|host| !host.is_empty()).collect()
}

fn texts(addresses: &[IpAddr]) -> Datum {
    Datum::List(addresses.iter().map(IpAddr::to_string).collect())
}

fn milliseconds(time: Duration) -> Datum {
    Datum::Float(time.as_secs_f64() * 1000.0)
}

pub(super) fn connects(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let endpoints = &scene.params.endpoints;
    if endpoints.is_empty() {
        return Err(Gap::not_here("nobody told of other hosts of the fleet"));
    }
    let targets: Vec<(String, u16)> = endpoints.iter().map(|one| (one.host.clone(), one.port)).collect();
    let answers = scene.host().reach(&targets, scene.patience(LIMIT)?)?;
    for (endpoint, answer) in endpoints.iter().zip(answers) {
        let part = Part::new(PartKind::Endpoint, endpoint.name.as_str());
        sink.tell_of(&part, "net.connect.state", "a TCP connection", Ok(state(&answer)));
        let time = match answer.state {
            ReachState::Open => Ok(milliseconds(answer.took)),
            ReachState::Refused | ReachState::Timeout | ReachState::Unreachable | ReachState::Unresolved => {
                Err(Gap::not_here("there was no connection"))
            }
        };
        sink.tell_of(&part, "net.connect.time", "a TCP connection", time);
    }
    Ok(())
}

fn state(answer: &Reached) -> Datum {
    Datum::Text(answer.state.word().to_owned())
}

pub(super) fn advertised(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let addresses: Vec<_> = kafka::advertised(scene)?.into_iter().collect();
    let targets: Vec<(String, u16)> = addresses.iter().map(|one| (one.host.clone(), one.port)).collect();
    let answers = scene.host().reach(&targets, scene.patience(LIMIT)?)?;
    for (address, answer) in addresses.iter().zip(answers) {
        let part = Part::new(PartKind::Endpoint, address.to_string());
        sink.tell_of(&part, "net.advertised.state", "Metadata(3), then a TCP connection", Ok(state(&answer)));
        let resolved = texts(&answer.addresses);
        sink.tell_of(&part, "net.advertised.addresses", "Metadata(3), then the host's resolver", Ok(resolved));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_every_form() {
        for (text, wanted) in [
            ("INTERNAL://kafka-1:9092,EXTERNAL://[fd00::1]:9093", vec!["kafka-1", "fd00::1"]),
            ("1@c-1:9093, 2@c-2:9093", vec!["c-1", "c-2"]),
            ("zk-1:2181,zk-2:2181/kafka", vec!["zk-1", "zk-2"]),
            ("zk-1:2888:3888:participant;0.0.0.0:2181", vec!["zk-1"]),
            ("zk-1:2888:3888|zk-1b:2888:3888;2181", vec!["zk-1", "zk-1b"]),
            ("PLAINTEXT://:9092", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(hosts(text), wanted, "{text}");
        }
    }
}
