//! Where the configuration of this host's node differs: as kfleet wrote it, as its file is, as the node runs.

use super::zookeeper_config::ZooKeeperConfig;
use super::{CollectError, chain, cluster, kafka_config, zookeeper_config};
use crate::host::HostView;
use kfleet_config::Properties;
use kfleet_config::drift::{of_file, of_running};
use kfleet_kafka::{Instant, running_config, zookeeper_running_config};
use kfleet_model::drift::{ConfigDrift, RunningValue, Written};
use kfleet_model::version::FileVersion;
use kfleet_model::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Handle;

/// A configuration file is never near this.
const LIMIT: u64 = 4 * 1024 * 1024;

/// How long the node may take to tell what it runs with: some 300 keys, from memory.
const ANSWER: Duration = Duration::from_secs(15);

/// What ZooKeeper's `conf` tells in the same form as `zoo.cfg` has it (`ZooKeeperServerConf`); others it rewrites.
const ZOOKEEPER_TOLD: &[&str] =
    &["clientPort", "tickTime", "maxClientCnxns", "minSessionTimeout", "maxSessionTimeout", "initLimit", "syncLimit"];

/// Compares; the parameters are those of a node's reading.
///
/// # Errors
/// When the configuration file can not be read. A node that does not answer is told in the drift.
pub fn config_drift(host: &dyn HostView, params: &Map) -> Result<ConfigDrift, CollectError> {
    let read = |path: &Path| -> Result<_, CollectError> { Ok(pairs(&host.read(path, LIMIT)?.unwrap_or_default())) };
    let (path, file, running) = match params.get("kind").and_then(Value::as_str) {
        None | Some("kafka") => {
            let (_, config) = kafka_config::read(host, params)?;
            let path = PathBuf::from(config.path);
            let file = read(&path)?;
            (path, file, kafka(host, params))
        }
        Some("zookeeper") => {
            let (_, config) = zookeeper_config::read(host, params)?;
            let file = read(&config.path)?;
            let running = zookeeper(host, &config, &file);
            (config.path, file, running)
        }
        Some(other) => return Err(CollectError::Invalid(format!("kind {other:?} is neither kafka nor zookeeper"))),
    };
    let changed = host.stat(&path, true)?.map(|stat| i64::try_from(stat.ctime_ns / 1_000_000).unwrap_or(i64::MAX));
    let mut drift = ConfigDrift { path: path.clone(), written: None, items: Vec::new(), unknown: Vec::new() };
    match written(host, &path)? {
        Some((version, text)) => {
            drift.items.extend(of_file(&pairs(&text), &file, changed));
            let FileVersion { number, unix_ms, author, .. } = version;
            drift.written = Some(Written { version: number, unix_ms, author });
        }
        None => drift.unknown.push(format!("kfleet has not written {}", path.display())),
    }
    match running {
        Ok(running) => drift.items.extend(of_running(&file, &running, changed)),
        Err(error) => drift.unknown.push(format!("what the node runs with: {}", chain(&error))),
    }
    drift.items.sort_by(|a, b| (&a.key, a.kind).cmp(&(&b.key, b.kind)));
    Ok(drift)
}

fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    Properties::parse(text).to_map()
}

/// The last version that a task wrote, with its text.
fn written(host: &dyn HostView, path: &Path) -> Result<Option<(FileVersion, Vec<u8>)>, CollectError> {
    let Some(history) = host.file_history(path)? else { return Ok(None) };
    let Some(version) = history.versions.into_iter().rev().find(|version| version.author.run().is_some()) else {
        return Ok(None);
    };
    let text = host.read_version(path, &version)?;
    Ok(Some((version, text)))
}

fn deadline(host: &dyn HostView) -> Instant {
    Instant::now() + ANSWER.min(host.time_left())
}

fn kafka(host: &dyn HostView, params: &Map) -> Result<BTreeMap<String, RunningValue>, CollectError> {
    let access = cluster::access(host, params)?;
    Ok(Handle::try_current()?.block_on(running_config(&access, deadline(host)))?)
}

/// A server tells the defaults of keys that its file does not have, so only those of the file are compared.
fn zookeeper(
    host: &dyn HostView,
    config: &ZooKeeperConfig,
    file: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, RunningValue>, CollectError> {
    let told = Handle::try_current()?.block_on(zookeeper_running_config(&config.address, deadline(host)))?;
    Ok(comparable(told, file))
}

/// Keys that a server tells as its file has them. -1 asks it to choose by itself.
fn comparable(told: BTreeMap<String, String>, file: &BTreeMap<String, String>) -> BTreeMap<String, RunningValue> {
    let is_set = |key: &str| file.get(key).is_some_and(|value| value.trim() != "-1");
    let known = told.into_iter().filter(|(key, _)| ZOOKEEPER_TOLD.contains(&key.as_str()) && is_set(key));
    known.map(|(key, value)| (key, RunningValue { file: Some(value), ..RunningValue::default() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::{FakeHost, Spec, author};
    use crate::host::{Attributes, Content, Host};
    use kfleet_model::drift::DriftKind;
    use kfleet_model::version::Author;
    use serde_json::json;

    const PATH: &str = "/etc/kafka/server.properties";

    #[test]
    fn a_server_is_compared_only_by_what_it_tells_as_its_file_has_it() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let told = map(&[
            ("tickTime", "3000"),
            ("dataDir", "/d/version-2"),
            ("maxClientCnxns", "60"),
            ("minSessionTimeout", "6000"),
        ]);
        let file = map(&[("tickTime", "2000"), ("dataDir", "/d"), ("minSessionTimeout", "-1")]);
        let found = comparable(told, &file);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["tickTime"]);
    }

    #[test]
    fn a_file_changed_by_hand_is_found_though_the_node_does_not_answer() {
        let host = FakeHost::new(&Spec::default());
        host.make_dir(Path::new("/etc/kafka"), Attributes::default()).unwrap();
        let put =
            |text: &str| host.write(Path::new(PATH), Content::Bytes(text.as_bytes()), Attributes::default()).unwrap();
        let params = json!({"config": PATH});
        let drift = || config_drift(&host, params.as_object().unwrap()).unwrap();
        put("broker.id=1\n");
        assert_eq!(drift().unknown.len(), 2, "neither written by kfleet nor running");
        host.written_by(author("run"));
        put("broker.id=1\nnum.io.threads=8\n");
        host.written_by(Author::Outside);
        assert!(drift().items.is_empty());
        put("broker.id=1\nnum.io.threads=9\n");
        let found = drift();
        assert_eq!(found.written.map(|written| written.version), Some(3));
        let item = &found.items[0];
        assert_eq!((item.key.as_str(), item.kind, found.items.len()), ("num.io.threads", DriftKind::File, 1));
        assert_eq!((item.wanted.as_deref(), item.found.as_deref()), (Some("8"), Some("9")));
    }
}
