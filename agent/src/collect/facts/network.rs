//! Interfaces, their addresses, and the ones that lead outside.

use super::{answer, put};
use crate::collect::CollectError;
use crate::host::HostView;
use kfleet_model::{Map, Value};
use std::net::Ipv4Addr;

pub(super) fn gather(host: &dyn HostView, facts: &mut Map) -> Result<(), CollectError> {
    let Some(links) = answer(host, &["ip", "-j", "-d", "addr"]) else { return Ok(()) };
    let v4 = answer(host, &["ip", "-j", "-4", "route", "show", "default"]).unwrap_or_default();
    let v6 = answer(host, &["ip", "-j", "-6", "route", "show", "default"]).unwrap_or_default();
    describe(&list(&links), &list(&v4), &list(&v6), facts);
    Ok(())
}

fn list(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn describe(links: &[Value], v4: &[Value], v6: &[Value], facts: &mut Map) {
    let mut names = Vec::new();
    let (mut all_v4, mut all_v6) = (Vec::new(), Vec::new());
    for link in links {
        let name = text(link, "ifname").to_owned();
        let interface = interface(link);
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let local = text(address, "local");
            match text(address, "family") {
                "inet" if !local.starts_with("127.") => all_v4.push(Value::from(local)),
                "inet6" if local != "::1" => all_v6.push(Value::from(local)),
                _ => {}
            }
        }
        facts.insert(name.replace([':', '-'], "_"), Value::Object(interface));
        names.push(Value::from(name));
    }
    put(facts, "interfaces", names);
    put(facts, "all_ipv4_addresses", all_v4);
    put(facts, "all_ipv6_addresses", all_v6);
    put(facts, "default_ipv4", default_v4(links, v4));
    put(facts, "default_ipv6", default_v6(links, v6));
}

fn interface(link: &Value) -> Map {
    let mut fact = Map::new();
    put(&mut fact, "device", text(link, "ifname"));
    put(&mut fact, "type", kind(link));
    put(&mut fact, "mtu", link["mtu"].clone());
    let flags = link["flags"].as_array();
    let has = |flag: &str| flags.is_some_and(|flags| flags.iter().any(|f| f == flag));
    put(&mut fact, "active", has("UP"));
    put(&mut fact, "promisc", has("PROMISC"));
    if text(link, "link_type") == "ether" {
        put(&mut fact, "macaddress", text(link, "address"));
    }
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in link["addr_info"].as_array().into_iter().flatten() {
        match text(address, "family") {
            "inet" => v4.push(Value::Object(ipv4(address))),
            "inet6" => {
                let mut fact = Map::new();
                put(&mut fact, "address", text(address, "local"));
                put(&mut fact, "prefix", address["prefixlen"].to_string());
                put(&mut fact, "scope", text(address, "scope"));
                v6.push(Value::Object(fact));
            }
            _ => {}
        }
    }
    if !v4.is_empty() {
        put(&mut fact, "ipv4", v4.remove(0));
    }
    if !v4.is_empty() {
        put(&mut fact, "ipv4_secondaries", v4);
    }
    if !v6.is_empty() {
        put(&mut fact, "ipv6", v6);
    }
    fact
}

fn kind(link: &Value) -> &str {
    match (text(link, "link_type"), text(&link["linkinfo"], "info_kind")) {
        ("loopback", _) => "loopback",
        (_, "bridge") => "bridge",
        (_, "bond") => "bonding",
        (_, "team") => "team",
        ("ether", _) => "ether",
        ("infiniband", _) => "infiniband",
        ("none" | "tunnel" | "tunnel6" | "sit" | "ipip" | "gre", _) => "tunnel",
        _ => "unknown",
    }
}

fn ipv4(address: &Value) -> Map {
    let mut fact = Map::new();
    let local = text(address, "local");
    let prefix = address["prefixlen"].as_u64().unwrap_or(32).min(32);
    let mask = u32::MAX.checked_shl(u32::try_from(32 - prefix).unwrap_or(0)).unwrap_or(0);
    put(&mut fact, "address", local);
    put(&mut fact, "broadcast", text(address, "broadcast"));
    put(&mut fact, "netmask", Ipv4Addr::from(mask).to_string());
    if let Ok(ip) = local.parse::<Ipv4Addr>() {
        put(&mut fact, "network", Ipv4Addr::from(u32::from(ip) & mask).to_string());
    }
    put(&mut fact, "prefix", prefix.to_string());
    fact
}

/// The default route with the lowest metric and the interface that it leaves by.
fn default_route<'a>(links: &'a [Value], routes: &'a [Value]) -> Option<(&'a Value, &'a Value)> {
    let route = routes.iter().min_by_key(|route| route["metric"].as_u64().unwrap_or_default())?;
    let link = links.iter().find(|link| link["ifname"] == route["dev"])?;
    Some((route, link))
}

fn default_v4(links: &[Value], routes: &[Value]) -> Value {
    let Some((route, link)) = default_route(links, routes) else { return Value::Object(Map::new()) };
    let source = text(route, "prefsrc");
    let mut addresses = link["addr_info"].as_array().into_iter().flatten().filter(|a| a["family"] == "inet");
    let address = addresses.find(|address| source.is_empty() || text(address, "local") == source);
    let mut fact = address.map(ipv4).unwrap_or_default();
    put(&mut fact, "gateway", text(route, "gateway"));
    with_link(link, &mut fact);
    Value::Object(fact)
}

fn default_v6(links: &[Value], routes: &[Value]) -> Value {
    let Some((route, link)) = default_route(links, routes) else { return Value::Object(Map::new()) };
    let mut addresses = link["addr_info"].as_array().into_iter().flatten().filter(|a| a["family"] == "inet6");
    let mut fact = Map::new();
    if let Some(address) = addresses.find(|address| text(address, "scope") == "global") {
        put(&mut fact, "address", text(address, "local"));
        put(&mut fact, "prefix", address["prefixlen"].to_string());
        put(&mut fact, "scope", text(address, "scope"));
    }
    put(&mut fact, "gateway", text(route, "gateway"));
    with_link(link, &mut fact);
    Value::Object(fact)
}

fn with_link(link: &Value, fact: &mut Map) {
    put(fact, "interface", text(link, "ifname"));
    put(fact, "alias", text(link, "ifname"));
    put(fact, "macaddress", text(link, "address"));
    put(fact, "mtu", link["mtu"].clone());
    put(fact, "type", kind(link));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn recorded() -> Map {
        let links = list(include_str!("recorded/ip-addr.json"));
        let v4 = list(include_str!("recorded/ip-route-4.json"));
        let v6 = list(include_str!("recorded/ip-route-6.json"));
        let mut facts = Map::new();
        describe(&links, &v4, &v6, &mut facts);
        facts
    }

    #[test]
    fn interfaces_have_their_addresses() {
        let facts = recorded();
        assert_eq!(facts["interfaces"], json!(["lo", "eth0", "br-lan"]));
        assert_eq!(facts["lo"]["type"], "loopback");
        assert_eq!(
            facts["eth0"]["ipv4"],
            json!({"address": "10.1.2.3", "broadcast": "10.1.3.255", "netmask": "255.255.254.0",
                   "network": "10.1.2.0", "prefix": "23"})
        );
        assert_eq!(facts["eth0"]["ipv4_secondaries"][0]["address"], "10.1.2.4");
        assert_eq!(facts["br_lan"]["type"], "bridge");
        assert_eq!(facts["all_ipv4_addresses"], json!(["10.1.2.3", "10.1.2.4"]));
        assert_eq!(facts["all_ipv6_addresses"], json!(["2001:db8::3", "fe80::1"]));
    }

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let facts = recorded();
        assert_eq!(
            facts["default_ipv4"],
            json!({"address": "10.1.2.4", "broadcast": "10.1.3.255", "netmask": "255.255.254.0",
                   "network": "10.1.2.0", "prefix": "23", "gateway": "10.1.2.1", "interface": "eth0",
                   "alias": "eth0", "macaddress": "02:00:00:00:00:01", "mtu": 1500, "type": "ether"})
        );
        assert_eq!(facts["default_ipv6"]["address"], "2001:db8::3");
    }

    #[test]
    fn without_a_default_route_the_fact_is_there_and_empty() {
        let mut facts = Map::new();
        describe(&[], &[], &[], &mut facts);
        assert_eq!(facts["default_ipv4"], json!({}));
    }
}
