//! The network: what only several hosts together can tell.

use crate::finding::{Level, Shown};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::Scene;
use crate::object::{Owner, Part};
use crate::reading::{Datum, HostReadings, Outcome, Role};
use crate::unit::{Quantity, Unit};
use std::collections::{BTreeMap, BTreeSet};

/// Every host with a scene of its own.
fn hosts<'a>(scene: &Scene<'a>) -> Vec<(&'a HostReadings, Scene<'a>)> {
    let hosts = scene.index.shelves.values().filter_map(|shelf| shelf.host);
    hosts.map(|host| (host, scene.at(Owner::Host(host.host.clone())))).collect()
}

/// The lists that hosts have for each part of a key.
fn answers<'a>(scene: &Scene<'a>, key: &str) -> BTreeMap<&'a Part, Vec<&'a [String]>> {
    let mut answers: BTreeMap<&Part, Vec<&[String]>> = BTreeMap::new();
    for (_, at) in hosts(scene) {
        for reading in at.all(key) {
            if let (Some(part), Outcome::Read(Datum::List(list))) = (&reading.part, &reading.outcome) {
                answers.entry(part).or_default().push(list.as_slice());
            }
        }
    }
    answers
}

/// The answer that most hosts have; of equally many the first, which is the same every night.
fn usual<'a, T: Ord>(all: impl Iterator<Item = &'a T>) -> Option<&'a T> {
    let mut counts: BTreeMap<&T, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts.into_iter().max_by(|one, other| one.1.cmp(&other.1).then(other.0.cmp(one.0))).map(|(one, _)| one)
}

/// Judges every part that a host has readings of under a key; a host without any says why.
fn per_part(scene: &Scene<'_>, key: &str, judge: impl Fn(&Scene<'_>, &Part) -> Raw) -> Vec<Raw> {
    let mut raws = Vec::new();
    for (_, at) in hosts(scene) {
        let parts: BTreeSet<&Part> = at.all(key).iter().filter_map(|reading| reading.part.as_ref()).collect();
        if parts.is_empty() {
            let gap = at.datum(key, None).err().unwrap_or_else(|| Gap::Unknown(format!("{key} names no part")));
            raws.push(at.gap(None, &gap));
        }
        raws.extend(parts.into_iter().map(|part| judge(&at, part)));
    }
    raws
}

/// Each name has the same addresses on every host, and an answer in time.
pub(super) fn names_agree(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let answers = answers(scene, "net.name.addresses");
    let raws = per_part(scene, "net.name.addresses", |at, part| {
        let own = match at.list("net.name.addresses", Some(part)) {
            Ok(own) => own,
            Err(gap) => return at.gap(Some(part.clone()), &gap),
        };
        if own.is_empty() {
            return at.verdict(Some(part.clone()), Level::Crit, Shown::Text("no answer".to_owned()));
        }
        let usual = answers.get(part).and_then(|answers| usual(answers.iter()));
        if usual.is_some_and(|usual| *usual != own) {
            let others = format!("most hosts get {}", usual.map(|usual| usual.join(", ")).unwrap_or_default());
            return at.verdict(Some(part.clone()), Level::Warn, Shown::List(own.to_vec())).because([others]);
        }
        match at.number("net.name.time", Some(part)) {
            Ok(took) => at.grade(Some(part.clone()), Quantity::new(took, Unit::Milliseconds)),
            Err(gap) => at.gap(Some(part.clone()), &gap),
        }
    });
    Ok(raws.into())
}

/// Each address that clients are given answers, and means the same on every host.
pub(super) fn advertised(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let answers = answers(scene, "net.advertised.addresses");
    let raws = per_part(scene, "net.advertised.state", |at, part| {
        let state = match at.text("net.advertised.state", Some(part)) {
            Ok(state) => state,
            Err(gap) => return at.gap(Some(part.clone()), &gap),
        };
        if state != "open" {
            return at.verdict(Some(part.clone()), Level::Crit, Shown::Text(state.to_owned()));
        }
        let own = match at.list("net.advertised.addresses", Some(part)) {
            Ok(own) => own,
            Err(gap) => return at.gap(Some(part.clone()), &gap),
        };
        let usual = answers.get(part).and_then(|answers| usual(answers.iter()));
        if usual.is_some_and(|usual| *usual != own) {
            let others = format!("most hosts get {}", usual.map(|usual| usual.join(", ")).unwrap_or_default());
            return at.verdict(Some(part.clone()), Level::Warn, Shown::List(own.to_vec())).because([others]);
        }
        at.ok(Some(part.clone()))
    });
    Ok(raws.into())
}

/// Each interface is up, in both directions at once, and as fast as on most hosts of the same roles.
pub(super) fn link(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut speeds: BTreeMap<Vec<Role>, Vec<i64>> = BTreeMap::new();
    for (host, at) in hosts(scene) {
        for reading in at.all("net.speed") {
            if let Outcome::Read(Datum::Int(speed)) = &reading.outcome {
                speeds.entry(host.roles.iter().copied().collect()).or_default().push(*speed);
            }
        }
    }
    let raws = per_part(scene, "net.state", |at, part| {
        interface(at, part, &speeds).unwrap_or_else(|gap| at.gap(Some(part.clone()), &gap))
    });
    Ok(raws.into())
}

fn interface(at: &Scene<'_>, part: &Part, speeds: &BTreeMap<Vec<Role>, Vec<i64>>) -> Result<Raw, Gap> {
    let state = at.text("net.state", Some(part))?;
    // The kernel says `unknown` of links that can not tell, such as loopback and some virtual ones (RFC 2863).
    if !matches!(state, "up" | "unknown") {
        return Ok(at.verdict(Some(part.clone()), Level::Crit, Shown::Text(state.to_owned())));
    }
    match at.text("net.duplex", Some(part)) {
        Ok("half") => return Ok(at.verdict(Some(part.clone()), Level::Crit, Shown::Text("half duplex".to_owned()))),
        Ok(_) | Err(Gap::Skip(_)) => {}
        Err(gap @ Gap::Unknown(_)) => return Err(gap),
    }
    let speed = match at.datum("net.speed", Some(part)) {
        Ok(Datum::Int(speed)) => *speed,
        Ok(other) => return Err(Gap::Unknown(format!("net.speed is of the kind {:?}", other.kind()))),
        // A link without a speed is up, and that is all there is to say.
        Err(Gap::Skip(_)) => return Ok(at.ok(Some(part.clone()))),
        Err(gap @ Gap::Unknown(_)) => return Err(gap),
    };
    let roles: Vec<Role> =
        at.shelf().and_then(|shelf| shelf.host).map(|host| host.roles.iter().copied().collect()).unwrap_or_default();
    let of = |speed: i64| Quantity::new(crate::history::float(speed), Unit::MegabitsPerSecond);
    match speeds.get(&roles).and_then(|speeds| usual(speeds.iter())) {
        Some(usual) if speed < *usual => Ok(at
            .verdict(Some(part.clone()), Level::Warn, Shown::Number(of(speed)))
            .because([format!("{} on most hosts of these roles", of(*usual))])),
        Some(_) | None => Ok(Raw { shown: Some(Shown::Number(of(speed))), ..at.ok(Some(part.clone())) }),
    }
}
