//! A broker or controller: its file, its version, and what it says of itself.

use super::params::Kind;
use super::scene::Scene;
use super::services::{Process, Service, seen_by};
use super::sink::{Gap, Sink, Told};
use crate::collect::kafka_config::{KafkaConfig, Listener};
use crate::collect::{CollectError, cluster};
use crate::host::hex;
use kfleet_config::secret::is_secret;
use kfleet_inspect::{Datum, Part, PartKind};
use kfleet_kafka::{
    Address, ConfigSource, EffectiveValue, Instant, KafkaAccess, KafkaError, advertised_addresses, effective_config,
    greet, log_dirs,
};
use sha2::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) const FILE_KEYS: &[&str] = &["kafka.file", "kafka.node_id", "kafka.log_dirs", "kafka.version"];

pub(super) const EFFECTIVE_KEYS: &[&str] =
    &["kafka.effective", "kafka.effective_sources", "kafka.session_timeout", "kafka.listen_backlog"];

pub(super) const API_KEYS: &[&str] = &["kafka.api.state", "kafka.api.time"];

/// How long the broker beside the agent may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Kafka's default of `socket.listen.backlog.size` (KIP-764), for releases that have no such key and use it all the same.
const BACKLOG: i64 = 50;

/// The service of a broker or controller on this host.
pub(super) fn service<'a>(scene: &'a Scene<'_>) -> Result<&'a Service, Gap> {
    let found = scene.services()?.iter().find(|service| service.params.kind == Kind::Kafka);
    found.ok_or_else(|| Gap::not_here("the host runs no Kafka"))
}

/// Why a collector of Kafka has nothing to read.
pub(super) fn absent(scene: &Scene<'_>) -> Option<String> {
    match service(scene) {
        Err(Gap::NotHere(why)) => Some(why),
        Ok(_) | Err(Gap::Unreadable(_)) => None,
    }
}

/// What its file says.
pub(super) fn config<'a>(scene: &'a Scene<'_>) -> Result<&'a KafkaConfig, Gap> {
    service(scene)?.kafka().unwrap_or_else(|| Err(Gap::not_here("the host runs no Kafka")))
}

pub(super) fn file(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let version = service(scene)?.running().and_then(|process| version(scene, process));
    sink.tell("kafka.version", "the jars of the running process", version.map(Datum::Text));
    let config = config(scene)?;
    let keys = config.all.iter().map(|(key, value)| (key.clone(), shown(key, value)));
    sink.tell("kafka.file", &config.path, Ok(Datum::Texts(keys.collect())));
    let id = config.node.map(|id| Datum::Int(i64::from(id.0)));
    let id = id.ok_or_else(|| Gap::not_here("the file leaves the id to the broker; meta.properties has it"));
    sink.tell("kafka.node_id", &config.path, id);
    sink.tell("kafka.log_dirs", &config.path, Ok(Datum::List(config.log_dirs.clone())));
    Ok(())
}

/// A secret is told from another one by its hash.
fn shown(key: &str, value: &str) -> String {
    if is_secret(key) { format!("sha256:{}", hex(&sha2::Sha256::digest(value.as_bytes()))) } else { value.to_owned() }
}

/// The version that stands in the name of Kafka's core jar, `kafka_2.13-3.9.0.jar`, on the class path.
fn version(scene: &Scene<'_>, process: &Process) -> Result<String, Gap> {
    let mut at = process.words.iter();
    let path = at.by_ref().find(|word| matches!(word.as_str(), "-cp" | "-classpath" | "--class-path"));
    let path = path.and(at.next()).ok_or_else(|| Gap::unreadable("the command line has no class path"))?;
    let mut folders = BTreeSet::new();
    for entry in path.split(':') {
        let (folder, name) = entry.rsplit_once('/').unwrap_or(("", entry));
        if let Some(version) = jar_version(name) {
            return Ok(version);
        }
        if name == "*" {
            folders.insert(folder);
        }
    }
    for folder in folders {
        let seen = seen_by(scene.host(), process, folder);
        let names = scene.list(&seen)?.unwrap_or_default();
        if let Some(version) = names.iter().find_map(|name| jar_version(name)) {
            return Ok(version);
        }
    }
    Err(Gap::unreadable("the class path has no jar kafka_2.x-VERSION.jar"))
}

/// Of `kafka_2.13-3.9.0.jar` it is 3.9.0. Jars of tests and sources have a word after the version.
fn jar_version(name: &str) -> Option<String> {
    let rest = name.strip_prefix("kafka_2.")?.strip_suffix(".jar")?;
    let (scala, version) = rest.split_once('-')?;
    let scala = scala.chars().all(|c| c.is_ascii_digit() || c == '.');
    let plain = !["-test", "-tests", "-sources", "-javadoc", "-scaladoc", "-test-sources"]
        .iter()
        .any(|end| version.ends_with(end));
    (scala && plain && version.starts_with(|c: char| c.is_ascii_digit())).then(|| version.to_owned())
}

/// Asks Kafka something on the agent's runtime.
pub(super) fn ask<T>(
    scene: &Scene<'_>,
    question: impl AsyncFnOnce(Instant) -> Result<T, KafkaError>,
) -> Result<T, Gap> {
    let deadline = Instant::now() + scene.patience(ANSWER)?;
    let runtime = Handle::try_current().map_err(CollectError::from)?;
    Ok(runtime.block_on(question(deadline)).map_err(CollectError::from)?)
}

/// The way in to the broker. A controller by itself has no listener that answers such questions.
fn access(scene: &Scene<'_>) -> Result<KafkaAccess, Gap> {
    let service = service(scene)?;
    service.running()?;
    let roles = config(scene)?.all.get("process.roles");
    if roles.is_some_and(|roles| !roles.split(',').any(|role| role.trim() == "broker")) {
        return Err(Gap::not_here("the node is a controller and no broker"));
    }
    Ok(cluster::access(scene.host(), &service.params.map())?)
}

pub(super) fn effective(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    const FROM: &str = "DescribeConfigs(32)";
    let access = access(scene)?;
    let all = ask(scene, async |deadline| effective_config(&access, deadline).await)?;
    let (mut values, mut sources) = (BTreeMap::new(), BTreeMap::new());
    for (key, EffectiveValue { value, source }) in &all {
        sources.insert(key.clone(), word(*source).to_owned());
        // One that is a secret only by its name was not known to the broker as one.
        if let Some(value) = value.as_ref().filter(|_| !is_secret(key)) {
            values.insert(key.clone(), value.clone());
        }
    }
    let kraft = config(scene)?.all.contains_key("process.roles");
    let timeout = if kraft { "broker.session.timeout.ms" } else { "zookeeper.session.timeout.ms" };
    sink.tell(
        "kafka.session_timeout",
        FROM,
        number(&values, timeout).and_then(|found| {
            found.map(Datum::Int).ok_or_else(|| Gap::Unreadable(format!("the broker does not tell {timeout}")))
        }),
    );
    let backlog = number(&values, "socket.listen.backlog.size");
    sink.tell("kafka.listen_backlog", FROM, backlog.map(|found| Datum::Int(found.unwrap_or(BACKLOG))));
    sink.tell("kafka.effective", FROM, Ok(Datum::Texts(values)));
    sink.tell("kafka.effective_sources", FROM, Ok(Datum::Texts(sources)));
    Ok(())
}

fn word(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker",
        ConfigSource::Cluster => "cluster",
        ConfigSource::Static => "static",
        ConfigSource::Default => "default",
        ConfigSource::Other(_) => "other",
    }
}

fn number(values: &BTreeMap<String, String>, key: &str) -> Result<Option<i64>, Gap> {
    let Some(text) = values.get(key) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| Gap::Unreadable(format!("{key} is {text:?}")))
}

/// The name of a listener among endpoints: as clients know it.
pub(super) fn endpoint(listener: &Listener) -> Part {
    let host = listener.advertised.clone().unwrap_or_else(|| listener.address.host.clone());
    Part::new(PartKind::Endpoint, Address::new(host, listener.address.port).to_string())
}

pub(super) fn api(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    service(scene)?.running()?;
    let config = config(scene)?;
    for listener in &config.listeners {
        let part = endpoint(listener);
        let (state, time) = greeted(scene, config, listener);
        sink.tell_of(&part, "kafka.api.state", "ApiVersions(18)", state);
        sink.tell_of(&part, "kafka.api.time", "ApiVersions(18)", time);
    }
    Ok(())
}

/// What came of greeting a listener, and how long that took. A listener that can not be greeted for want of a way in
/// (a store in a form that is not read here) is not known, and one that does not answer is not well.
fn greeted(scene: &Scene<'_>, config: &KafkaConfig, listener: &Listener) -> (Told, Told) {
    let host = scene.host();
    let access = match config.greeting(host, listener) {
        Ok(access) => access,
        Err(error) => {
            let gap = Gap::from(error);
            return (Err(gap.clone()), Err(gap));
        }
    };
    let begun = host.uptime();
    let deadline = match scene.patience(ANSWER) {
        Ok(left) => Instant::now() + left,
        Err(gap) => return (Err(gap.clone()), Err(gap)),
    };
    let Ok(runtime) = Handle::try_current() else {
        let gap = Gap::unreadable("no runtime to ask the broker with (a fault of the agent)");
        return (Err(gap.clone()), Err(gap));
    };
    match runtime.block_on(greet(&access, deadline)) {
        Ok(()) => {
            let took = host.uptime().saturating_sub(begun).as_secs_f64() * 1000.0;
            (Ok(Datum::Text("ok".to_owned())), Ok(Datum::Float(took)))
        }
        Err(error) => {
            let state = crate::collect::chain(&error);
            (Ok(Datum::Text(state)), Err(Gap::not_here("there was no answer")))
        }
    }
}

/// The addresses that the cluster hands to its clients.
pub(super) fn advertised(scene: &Scene<'_>) -> Result<BTreeSet<Address>, Gap> {
    let access = access(scene)?;
    ask(scene, async |deadline| advertised_addresses(&access, deadline).await)
}

/// The broker's own word on each of its log directories.
pub(super) fn told_dirs(scene: &Scene<'_>) -> Result<BTreeMap<String, i64>, Gap> {
    let access = access(scene)?;
    let dirs = ask(scene, async |deadline| log_dirs(&access, deadline).await)?;
    Ok(dirs.into_iter().map(|(path, dir)| (path, dir.error.map_or(0, |code| i64::from(code.0)))).collect())
}

/// Keys of the canary.
pub(super) const CANARY_KEYS: &[&str] = &["kafka.canary.failures", "kafka.canary.p95"];

/// An inspection only reads, so it has no records of its own to send through the broker.
pub(super) fn canary(_: &Scene<'_>, _: &mut Sink) -> Result<(), Gap> {
    Err(Gap::not_here("no canary writes to this broker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_in_the_name_of_the_core_jar() {
        for (name, wanted) in [
            ("kafka_2.13-3.9.0.jar", Some("3.9.0")),
            ("kafka_2.12-2.8.2.jar", Some("2.8.2")),
            ("kafka_2.13-7.6.0-ccs.jar", Some("7.6.0-ccs")),
            ("kafka_2.13-3.9.0-test.jar", None),
            ("kafka-clients-3.9.0.jar", None),
            ("kafka_2.13-3.9.0.jar.asc", None),
        ] {
            assert_eq!(jar_version(name).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn secrets_are_told_apart_and_not_shown() {
        assert_eq!(shown("broker.id", "1"), "1");
        let (one, other) = (shown("ssl.key.password", "a"), shown("ssl.key.password", "b"));
        assert!(one.starts_with("sha256:") && one.len() == 71 && one != other);
    }
}
