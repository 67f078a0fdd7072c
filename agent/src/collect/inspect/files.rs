//! Who may read the files that hold secrets.

use super::process::status;
use super::scene::Scene;
use super::services::{Service, seen_by};
use super::sink::{Gap, Sink, Told};
use kfleet_inspect::{Datum, Part, PartKind};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const KEYS: &[&str] = &["file.access"];

/// Ends of keys whose values are paths of stores and keytabs.
const STORES: [&str; 6] = [
    "ssl.keystore.location",
    "ssl.truststore.location",
    "ssl.keyStore.location",
    "ssl.trustStore.location",
    "ssl.quorum.keyStore.location",
    "ssl.quorum.trustStore.location",
];

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let services = scene.services()?;
    if services.is_empty() {
        return Err(Gap::not_here("no service runs here"));
    }
    let mut seen = BTreeSet::new();
    for service in services {
        let group = group_of(scene, service);
        for path in paths(scene, service)? {
            if seen.insert(path.clone()) {
                let part = Part::new(PartKind::File, path.as_str());
                sink.tell_of(&part, "file.access", "stat", access(scene, service, &path, group.clone()));
            }
        }
    }
    if seen.is_empty() { Err(Gap::not_here("no service names a file")) } else { Ok(()) }
}

/// The files of a service: its configuration, stores, JAAS files and keytabs.
fn paths(scene: &Scene<'_>, service: &Service) -> Result<BTreeSet<String>, Gap> {
    let mut found = BTreeSet::new();
    match (service.kafka(), service.zookeeper()) {
        (Some(config), _) => found.insert(config?.path.clone()),
        (_, Some(config)) => found.insert(config?.path.display().to_string()),
        (None, None) => false,
    };
    let keys = service.keys()?;
    let mut jaas: Vec<String> = Vec::new();
    for (key, value) in &keys {
        if STORES.iter().any(|end| key.ends_with(end)) && value.starts_with('/') {
            found.insert(value.trim().to_owned());
        }
        if key.ends_with("sasl.jaas.config") {
            jaas.push(value.clone());
        }
    }
    if let Some(path) = service.process().and_then(|process| process.property("java.security.auth.login.config")) {
        found.insert(path.to_owned());
        jaas.extend(scene.text(path)?);
    }
    found.extend(jaas.iter().flat_map(|text| keytabs(text)));
    Ok(found)
}

/// Values of `keyTab="..."`.
fn keytabs(jaas: &str) -> Vec<String> {
    let value = |rest: &str| {
        let rest = rest.trim_start().strip_prefix('=')?.trim_start();
        let path = match rest.strip_prefix(['"', '\'']) {
            Some(quoted) => quoted.split(['"', '\'']).next()?,
            None => rest.split([' ', ';', '\n', '\t']).next()?,
        };
        path.starts_with('/').then(|| path.to_owned())
    };
    jaas.split("keyTab").skip(1).filter_map(value).collect()
}

/// The group that the service's process runs with.
fn group_of(scene: &Scene<'_>, service: &Service) -> Result<String, Gap> {
    let process = service.running()?;
    let lines = scene.need(&format!("/proc/{}/status", process.pid))?;
    let gid = status(&lines, "Gid").and_then(|gids| gids.split_whitespace().nth(1)?.parse().ok());
    let gid: u32 = gid.ok_or_else(|| Gap::unreadable("/proc/<pid>/status has no Gid"))?;
    Ok(scene.host().group_by_id(gid)?.map_or_else(|| gid.to_string(), |group| group.name))
}

fn access(scene: &Scene<'_>, service: &Service, path: &str, service_group: Result<String, Gap>) -> Told {
    let seen = service.process().map_or_else(|| path.to_owned(), |process| seen_by(scene.host(), process, path));
    let stat = scene.stat(&seen, true)?.ok_or_else(|| Gap::Unreadable(format!("{path} does not exist")))?;
    let owner = scene.host().user_by_id(stat.uid)?.map_or_else(|| stat.uid.to_string(), |user| user.name);
    let group = scene.host().group_by_id(stat.gid)?.map_or_else(|| stat.gid.to_string(), |group| group.name);
    let mut texts = BTreeMap::from([
        ("mode".to_owned(), format!("{:04o}", stat.mode)),
        ("owner".to_owned(), owner),
        ("group".to_owned(), group),
    ]);
    // A service that does not run has no group that could be seen; the rest is worth telling all the same.
    if let Ok(group) = service_group {
        texts.insert("service_group".to_owned(), group);
    }
    Ok(Datum::Texts(texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keytabs_are_found_in_every_form() {
        let text = "KafkaServer {\n com.sun.security.auth.module.Krb5LoginModule required\n useKeyTab=true\n \
                    keyTab=\"/etc/kafka/kafka.keytab\"\n principal=\"kafka/x\";\n};\nClient { x required keyTab = /b.keytab; };";
        assert_eq!(keytabs(text), ["/etc/kafka/kafka.keytab", "/b.keytab"]);
        assert!(keytabs("useKeyTab=true").is_empty());
    }
}
