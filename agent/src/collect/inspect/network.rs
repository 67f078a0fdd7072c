//! Network links and the kernel's counters of TCP.

use super::scene::Scene;
use super::sink::{Gap, Sink, Told};
use super::system::kernel_counter;
use kfleet_inspect::{Datum, Part, PartKind};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const KEYS: &[&str] = &["net.state", "net.speed", "net.duplex", "net.errors", "net.packets"];

pub(super) const TCP_KEYS: &[&str] = &["net.tcp.retransmitted", "net.tcp.sent", "net.listen.overflows"];

pub(super) const RATE_KEYS: &[&str] = &["net.listen.overflow_rate"];

const CLASS: &str = "/sys/class/net";
const SNMP: &str = "/proc/net/snmp";
const NETSTAT: &str = "/proc/net/netstat";

/// How deep links lie on each other: a bridge on a VLAN on a bond on ports is four.
const DEPTH: u32 = 6;

/// The scope of a link-local address in `/proc/net/if_inet6`: every link that is up has one by itself.
const LINK_LOCAL: &str = "20";

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let all = scene.list(CLASS)?.ok_or_else(|| Gap::Unreadable(format!("{CLASS} does not exist")))?;
    let mut links = BTreeSet::new();
    for name in addressed(scene)? {
        physical(scene, &all, &name, &mut links, 0)?;
    }
    if links.is_empty() {
        return Err(Gap::not_here("no physical interface and no bond holds an address"));
    }
    for name in links {
        link(scene, sink, &name);
    }
    Ok(())
}

fn link(scene: &Scene<'_>, sink: &mut Sink, name: &str) {
    let part = Part::new(PartKind::Interface, name);
    let path = |file: &str| format!("{CLASS}/{name}/{file}");
    let state = scene.word(&path("operstate"));
    let up = state.as_ref().is_ok_and(|state| state == "up");
    sink.tell_of(&part, "net.state", &path("operstate"), state.map(Datum::Text));
    // A link that is down has neither (the kernel answers EINVAL), and its state says enough.
    let down = |told: Told| match told {
        Err(_) if !up => Err(Gap::not_here("the link is not up")),
        told => told,
    };
    let speed = scene.number(&path("speed")).and_then(|speed| match speed {
        speed if speed <= 0 => Err(Gap::not_here("the link has no speed of its own")),
        speed => Ok(Datum::Int(speed)),
    });
    sink.tell_of(&part, "net.speed", &path("speed"), down(speed));
    sink.tell_of(&part, "net.duplex", &path("duplex"), down(scene.word(&path("duplex")).map(Datum::Text)));
    for (key, files) in [("net.errors", ["rx_errors", "tx_errors"]), ("net.packets", ["rx_packets", "tx_packets"])] {
        let files = files.map(|file| path(&format!("statistics/{file}")));
        let mut sum = Ok(0_i64);
        for file in &files {
            sum = sum.and_then(|sum| Ok(sum + scene.number(file)?));
        }
        let told = sum.and_then(|sum| kernel_counter(scene, u64::try_from(sum).unwrap_or(0)));
        sink.tell_of(&part, key, &files.join(", "), told);
    }
}

/// Links that hold an address: a route leads over each with an IPv4 one, and IPv6 ones are listed.
fn addressed(scene: &Scene<'_>) -> Result<BTreeSet<String>, Gap> {
    let v4 = scene.text("/proc/net/route")?.unwrap_or_default();
    let v6 = scene.text("/proc/net/if_inet6")?.unwrap_or_default();
    Ok(holders(&v4, &v6))
}

fn holders(routes: &str, v6: &str) -> BTreeSet<String> {
    let over = routes.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let addresses = v6.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(3) != Some(&LINK_LOCAL)).then(|| fields.get(5).copied()).flatten()
    });
    over.chain(addresses).filter(|name| *name != "lo").map(str::to_owned).collect()
}

/// A link that is physical or a bond, else those below it.
fn physical(
    scene: &Scene<'_>,
    all: &[String],
    name: &str,
    found: &mut BTreeSet<String>,
    depth: u32,
) -> Result<(), Gap> {
    let has = |file: &str| -> Result<bool, Gap> { Ok(scene.stat(format!("{CLASS}/{name}/{file}"), true)?.is_some()) };
    if has("device")? || has("bonding")? {
        found.insert(name.to_owned());
    } else if depth < DEPTH {
        let files = scene.list(format!("{CLASS}/{name}"))?.unwrap_or_default();
        for lower in files
            .iter()
            .filter_map(|file| file.strip_prefix("lower_"))
            .filter(|name| all.iter().any(|known| known == name))
        {
            physical(scene, all, lower, found, depth + 1)?;
        }
    }
    Ok(())
}

pub(super) fn tcp(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let text = scene.need(SNMP);
    let snmp = text.as_ref().map_err(Gap::clone).and_then(|text| table(text, "Tcp"));
    for (key, name) in [("net.tcp.retransmitted", "RetransSegs"), ("net.tcp.sent", "OutSegs")] {
        let value = snmp.as_ref().map_err(Gap::clone).and_then(|table| value(table, name));
        sink.tell(key, SNMP, value.and_then(|value| kernel_counter(scene, value)));
    }
    let drops = scene.need(NETSTAT).and_then(|text| overflows(&text));
    sink.tell("net.listen.overflows", NETSTAT, drops.and_then(|value| kernel_counter(scene, value)));
    Ok(())
}

/// A pair of lines that begin with the same word: names, then values.
fn table<'a>(text: &'a str, word: &str) -> Result<BTreeMap<&'a str, u64>, Gap> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err(Gap::Unreadable(format!("there are no lines {word}")));
    };
    // MaxConn is -1 where it is not known; no other value is negative.
    let values = values.split_whitespace().map(|value| value.parse().unwrap_or(0));
    Ok(names.split_whitespace().zip(values).collect())
}

fn value(table: &BTreeMap<&str, u64>, name: &str) -> Result<u64, Gap> {
    table.get(name).copied().ok_or_else(|| Gap::Unreadable(format!("there is no {name}")))
}

/// Connections that a full queue turned away, and everything else that a listener dropped.
fn overflows(netstat: &str) -> Result<u64, Gap> {
    let table = table(netstat, "TcpExt")?;
    Ok(value(&table, "ListenOverflows")? + value(&table, "ListenDrops")?)
}

pub(super) fn overflow_rate(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let moments = scene.moments.borrow();
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return Err(Gap::unreadable("the window was too short for two looks"));
    };
    let seconds = last.at.saturating_sub(first.at).as_secs_f64();
    if seconds <= 0.0 {
        return Err(Gap::unreadable("the window was too short for two looks"));
    }
    let grown = overflows(&last.netstat)?.saturating_sub(overflows(&first.netstat)?);
    #[expect(clippy::cast_precision_loss, reason = "connections of a minute")]
    sink.tell("net.listen.overflow_rate", NETSTAT, Ok(Datum::Float(grown as f64 / seconds)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_with_an_address_are_found() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      bond0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                  fe80000000000000000000fffe000001 02 40 20 80     eth7\n\
                  20010db8000000000000000000000001 03 40 00 80     eth1\n";
        assert_eq!(holders(routes, v6), ["bond0", "eth0", "eth1"].map(str::to_owned).into());
        assert!(holders("", "").is_empty());
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let snmp = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
                    Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens OutSegs RetransSegs\n\
                    Tcp: 1 200 120000 -1 10 20 12345 67\n";
        let tcp = table(snmp, "Tcp").unwrap();
        assert_eq!((value(&tcp, "OutSegs"), value(&tcp, "RetransSegs")), (Ok(12_345), Ok(67)));
        assert!(value(&tcp, "Missing").is_err() && table(snmp, "Udp").is_err());
        // Columns come and go between kernels: names count, not places.
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops New\nTcpExt: 1 2 3 4\nIpExt: A\nIpExt: 1\n";
        assert_eq!(overflows(netstat), Ok(5));
        assert!(overflows("TcpExt: SyncookiesSent\nTcpExt: 1\n").is_err());
    }
}
