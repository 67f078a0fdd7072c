//! Where a node listens, and under which addresses others find it.
//!
//! The rules are those of `KafkaConfig.validateValues` and `CoreUtils.listenerListToEndPoints`, with Kafka's
//! documentation ("Security", "Listener configuration").

use super::{Node, Role};
use crate::{Extent, Finding, Problem, Release};
use std::collections::{BTreeMap, BTreeSet};

/// The security protocols, which are listener names of their own by default.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Kafka's port when `listeners` is not set.
const PORT: u16 = 9092;

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// The host; empty for all addresses.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Host and port of a text, with the brackets of IPv6 taken off.
pub(crate) fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((host, port.trim().parse().ok()?))
}

/// The listeners of a key, and the entries that are none.
pub(crate) fn of_key(node: Node<'_>, key: &str) -> (Vec<Listener>, Vec<String>) {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for entry in node.settings.list(key) {
        let parsed = entry.split_once("://").and_then(|(name, rest)| {
            let (host, port) = address(rest)?;
            Some(Listener { name: name.trim().to_uppercase(), host, port })
        });
        match parsed.filter(|listener| !listener.name.is_empty()) {
            Some(listener) => all.push(listener),
            None => wrong.push(entry.to_owned()),
        }
    }
    (all, wrong)
}

/// All listeners of a node, its default one included.
#[must_use]
pub fn of(node: Node<'_>) -> Vec<Listener> {
    let (listeners, _) = of_key(node, "listeners");
    let default = listeners.is_empty()
        && node.extent == Extent::Whole
        && node.settings.filled("listeners").is_none()
        && node.role().is_some_and(Role::is_broker);
    if !default {
        return listeners;
    }
    let host = node.settings.get("host.name").unwrap_or_default().to_owned();
    let port = node.settings.number("port").and_then(|port| port.try_into().ok()).unwrap_or(PORT);
    vec![Listener { name: "PLAINTEXT".to_owned(), host, port }]
}

/// The names of the listeners that only controllers talk on.
pub(crate) fn of_controllers(node: Node<'_>) -> BTreeSet<String> {
    node.settings.list("controller.listener.names").iter().map(|name| name.to_uppercase()).collect()
}

pub(super) fn check(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for key in ["listeners", "advertised.listeners"] {
        for got in of_key(node, key).1 {
            let problem = Problem::Form { key: key.to_owned(), got, form: "NAME://HOST:PORT" };
            found.push(Finding::error(key, node.settings, problem));
        }
    }
    if !found.is_empty() {
        return found;
    }
    found.extend(distinct(node));
    found.extend(advertised(node));
    found.extend(protocols(node));
    found.extend(between_brokers(node));
    found.extend(controllers(node));
    found
}

fn rule(node: Node<'_>, key: &str, why: String) -> Finding {
    Finding::error(key, node.settings, Problem::Rule { why, hint: None })
}

/// The release that lets an IPv4 and an IPv6 listener share a port (KIP-797; seen by asking each release).
const SHARED_PORTS: Release = Release::new(3, 6);

/// Each listener has its own name, and its own port unless two share one over IPv4 and IPv6.
fn distinct(node: Node<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let (listeners, _) = of_key(node, "listeners");
    let mut names = BTreeSet::new();
    let mut ports: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
    for listener in &listeners {
        if !names.insert(&listener.name) {
            found.push(rule(node, "listeners", format!("'listeners' has the listener {} twice", listener.name)));
        }
        ports.entry(listener.port).or_default().push(listener);
    }
    for (port, sharing) in ports.iter().filter(|(port, sharing)| **port != 0 && sharing.len() > 1) {
        let six = sharing.iter().filter(|listener| listener.host.contains(':')).count();
        if sharing.len() != 2 || six != 1 || node.release < SHARED_PORTS {
            let names: Vec<&str> = sharing.iter().map(|listener| listener.name.as_str()).collect();
            found.push(rule(node, "listeners", format!("the listeners {} share port {port}", names.join(" and "))));
        }
    }
    found
}

/// What is advertised is a listener that is there, at an address that others can reach.
fn advertised(node: Node<'_>) -> Vec<Finding> {
    const KEY: &str = "advertised.listeners";
    let mut found = Vec::new();
    let (advertised, _) = of_key(node, KEY);
    let listeners = of(node);
    for listener in &advertised {
        if matches!(listener.host.as_str(), "0.0.0.0" | "::") {
            let why = format!("'{KEY}' gives {} for {}, which no client can reach", listener.host, listener.name);
            found.push(rule(node, KEY, why));
        }
        if !listeners.is_empty() && !listeners.iter().any(|known| known.name == listener.name) {
            found.push(rule(node, KEY, format!("'{KEY}' has {}, which is not in 'listeners'", listener.name)));
        }
    }
    let loopback = |host: &str| host == "localhost" || host == "::1" || host.starts_with("127.");
    for listener in advertised.iter().filter(|listener| loopback(&listener.host)) {
        let why = format!("'{KEY}' gives {} for {}: only this host reaches that", listener.host, listener.name);
        found.push(rule(node, KEY, why).into_warning());
    }
    found
}

/// Every listener's name is a security protocol, or the map says which one it speaks.
fn protocols(node: Node<'_>) -> Vec<Finding> {
    const KEY: &str = "listener.security.protocol.map";
    let mut found = Vec::new();
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for entry in node.settings.list(KEY) {
        match entry.split_once(':') {
            Some((name, protocol)) if PROTOCOLS.contains(&protocol.trim().to_uppercase().as_str()) => {
                map.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
            }
            Some(_) | None => {
                let form = "NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                let problem = Problem::Form { key: KEY.to_owned(), got: entry.to_owned(), form };
                found.push(Finding::error(KEY, node.settings, problem));
            }
        }
    }
    if map.is_empty() && node.extent == Extent::Part {
        return found;
    }
    let controllers = of_controllers(node);
    for listener in of_key(node, "listeners").0 {
        // Without a map of the operator's own, controller listeners are PLAINTEXT (KIP-631, "listener.security...").
        let known = match map.is_empty() {
            true => PROTOCOLS.contains(&listener.name.as_str()) || controllers.contains(&listener.name),
            false => map.contains_key(&listener.name),
        };
        if !known {
            let why = format!("the listener {} has no protocol in '{KEY}'", listener.name);
            found.push(rule(node, KEY, why));
        }
    }
    found
}

/// Brokers talk on one listener, which is advertised and not the controllers'.
fn between_brokers(node: Node<'_>) -> Vec<Finding> {
    const KEY: &str = "inter.broker.listener.name";
    let mut found = Vec::new();
    let Some(name) = node.settings.filled(KEY) else { return found };
    let name = name.to_uppercase();
    if node.settings.filled("security.inter.broker.protocol").is_some() {
        let why = format!("only one of '{KEY}' and 'security.inter.broker.protocol' may be set");
        found.push(rule(node, KEY, why));
    }
    let broker = node.role().is_none_or(Role::is_broker);
    let (advertised, _) = of_key(node, "advertised.listeners");
    let there = if advertised.is_empty() { of(node) } else { advertised };
    if broker && !there.is_empty() && !there.iter().any(|listener| listener.name == name) {
        found.push(rule(node, KEY, format!("'{KEY}' is {name}, which is no advertised listener")));
    }
    if of_controllers(node).contains(&name) {
        found.push(rule(node, KEY, format!("'{KEY}' is {name}, which is a controller listener")));
    }
    found
}

/// Which of a KRaft node's listeners are the controllers'.
fn controllers(node: Node<'_>) -> Vec<Finding> {
    const KEY: &str = "controller.listener.names";
    let names = of_controllers(node);
    let (listeners, _) = of_key(node, "listeners");
    let mut found = Vec::new();
    let (Some(role), false, false) = (node.role(), names.is_empty(), listeners.is_empty()) else { return found };
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    let (own, others): (Vec<_>, Vec<_>) = listeners.iter().partition(|listener| names.contains(&listener.name));
    match role {
        Role::ZooKeeperBroker => {}
        Role::Broker => {
            for listener in own {
                let why = format!("a broker alone must not listen on the controller listener {}", listener.name);
                found.push(rule(node, "listeners", why));
            }
        }
        Role::Controller | Role::Combined => {
            if own.is_empty() {
                let why = format!("'listeners' has none of the controller listeners ({})", list(&names));
                found.push(rule(node, "listeners", why));
            }
            if role == Role::Controller {
                for listener in others {
                    let why = format!("a controller alone must listen on '{KEY}' only, not on {}", listener.name);
                    found.push(rule(node, "listeners", why));
                }
            } else if others.is_empty() {
                let why = "a combined node needs a listener for clients beside the controllers'".to_owned();
                found.push(rule(node, "listeners", why));
            }
        }
    }
    found
}
