//! Ports: each of a host's is for one listener.

use super::{Member, Service};
use crate::definitions::ZOOKEEPER;
use crate::kafka::listeners;
use crate::zookeeper::servers;
use crate::{Finding, Problem};
use std::collections::BTreeMap;

/// One port that a service takes: the address that it binds (empty for all), and what it is for.
struct Taken {
    key: String,
    address: String,
    what: String,
}

pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let mut hosts: BTreeMap<(&str, u16), Vec<Taken>> = BTreeMap::new();
    for member in members {
        for (port, taken) in of(member) {
            hosts.entry((&member.host, port)).or_default().push(taken);
        }
    }
    let mut found = Vec::new();
    for ((host, port), taken) in hosts {
        // Two listeners of one node are for that node's own check.
        let clash = taken.iter().enumerate().find_map(|(at, one)| {
            let other = taken.iter().skip(at + 1).find(|other| other.what != one.what && meet(one, other))?;
            Some((one, other))
        });
        if let Some((one, other)) = clash {
            let nodes = vec![one.what.clone(), other.what.clone()];
            let problem = Problem::Same { what: "port", value: format!("{port} on {host}"), nodes };
            found.push(Finding::across(&one.key, vec![host.to_owned()], problem));
        }
    }
    found
}

/// Whether two can not be bound beside each other.
fn meet(one: &Taken, other: &Taken) -> bool {
    let all = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
    all(&one.address) || all(&other.address) || one.address == other.address
}

fn of(member: &Member) -> Vec<(u16, Taken)> {
    match member.service {
        Service::Kafka => kafka(member),
        Service::ZooKeeper { my_id } => zookeeper(member, my_id),
    }
}

fn kafka(member: &Member) -> Vec<(u16, Taken)> {
    let Some(node) = member.kafka() else { return Vec::new() };
    let id = node.id().map(|id| format!(" {id}")).unwrap_or_default();
    let taken = |listener: listeners::Listener| {
        let what = format!("Kafka node{id}");
        (listener.port, Taken { key: "listeners".to_owned(), address: listener.host, what })
    };
    listeners::of(node).into_iter().filter(|listener| listener.port != 0).map(taken).collect()
}

/// The ports of a server: clients', quorum's, and those of the admin server and the Prometheus provider.
fn zookeeper(member: &Member, my_id: Option<i64>) -> Vec<(u16, Taken)> {
    let settings = &member.settings;
    let id = my_id.map(|id| format!(" {id}")).unwrap_or_default();
    let mut all = Vec::new();
    let mut take = |key: &str, port: Option<i64>, address: &str, what: &str| {
        if let Some(port) = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0) {
            let what = format!("ZooKeeper server{id} ({what})");
            all.push((port, Taken { key: key.to_owned(), address: address.to_owned(), what }));
        }
    };
    let address = |key: &str| settings.get(key).unwrap_or_default().to_owned();
    take("clientPort", settings.number("clientPort"), &address("clientPortAddress"), "clientPort");
    take(
        "secureClientPort",
        settings.number("secureClientPort"),
        &address("secureClientPortAddress"),
        "secureClientPort",
    );
    let admin = ZOOKEEPER.get("admin.serverPort", member.release).is_some()
        && settings.truth("admin.enableServer") != Some(false);
    if admin {
        let port = settings.number("admin.serverPort").or(Some(8080));
        take("admin.serverPort", port, &address("admin.serverAddress"), "admin.serverPort");
    }
    if settings.get("metricsProvider.className").is_some_and(|class| class.ends_with("PrometheusMetricsProvider")) {
        let port = settings.number("metricsProvider.httpPort").or(Some(7000));
        take("metricsProvider.httpPort", port, &address("metricsProvider.httpHost"), "metricsProvider.httpPort");
    }
    for server in servers::of(settings).0.into_iter().filter(|server| Some(server.id) == my_id) {
        take(&server.key(), Some(server.quorum.into()), &server.host, "quorum");
        take(&server.key(), Some(server.election.into()), &server.host, "election");
    }
    all
}
