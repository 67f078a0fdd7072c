//! What a broker's `server.properties` says of where it listens, who it is and where its data lies.

use super::properties;
use super::{CollectError, parse};
use crate::host::HostView;
use kfleet_kafka::Address;
use kfleet_model::{BrokerId, Map};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Where packages and roles put it.
const CONFIG: &str = "/etc/kafka/server.properties";

/// Kafka's own default, when `listeners` is not set.
const PORT: u16 = 9092;

/// Kafka's own default, when `log.dirs` is not set.
const LOG_DIR: &str = "/tmp/kafka-logs";

/// A configuration file is never near this.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The parameters of everything that asks a broker.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaParams {
    pub(super) config: Option<String>,
    pub(super) service: Option<String>,
    pub(super) listener: Option<String>,
    #[serde(rename = "kind")]
    pub(super) _kind: Option<String>,
    #[serde(rename = "host")]
    pub(super) _host: Option<String>,
    #[serde(rename = "partitions")]
    pub(super) _partitions: Option<kfleet_model::Value>,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KafkaConfig {
    pub(super) path: String,
    pub(super) node: Option<BrokerId>,
    pub(super) log_dirs: Vec<String>,
    listeners: Vec<Listener>,
}

/// One listener of a broker.
#[derive(Debug, PartialEq, Eq)]
struct Listener {
    name: String,
    protocol: String,
    address: Address,
    /// Only controllers talk on it.
    controller: bool,
}

/// Reads the file of a host.
pub(super) fn read(host: &dyn HostView, params: &Map) -> Result<(KafkaParams, KafkaConfig), CollectError> {
    let params: KafkaParams = parse(params)?;
    let path = params.config.clone().unwrap_or_else(|| CONFIG.to_owned());
    let text = host.read(Path::new(&path), LIMIT)?;
    let text =
        text.ok_or_else(|| CollectError::Invalid(format!("{path} does not exist (parameter config names it)")))?;
    let config = KafkaConfig::parse(&path, &String::from_utf8_lossy(&text))?;
    Ok((params, config))
}

impl KafkaConfig {
    pub(super) fn parse(path: &str, text: &str) -> Result<Self, CollectError> {
        let all = properties::parse(text);
        let get = |key: &str| all.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
        let node = match get("node.id").or_else(|| get("broker.id")) {
            // A negative id asks the broker to choose one: meta.properties has it then.
            Some(text) => text.parse::<i32>().ok().filter(|id| *id >= 0).map(BrokerId),
            None => None,
        };
        let log_dirs = get("log.dirs").or_else(|| get("log.dir")).unwrap_or(LOG_DIR);
        let log_dirs = log_dirs.split(',').map(|dir| dir.trim().to_owned()).filter(|dir| !dir.is_empty()).collect();
        Ok(Self { path: path.to_owned(), node, log_dirs, listeners: listeners(path, &all)? })
    }

    /// The address to ask, and over which protocol: the listener of the given name, else the first one that needs
    /// no certificate or password.
    pub(super) fn listener(&self, name: Option<&str>) -> Result<&Address, CollectError> {
        let names = || self.listeners.iter().map(|l| format!("{} ({})", l.name, l.protocol)).collect::<Vec<_>>();
        let found = match name {
            Some(name) => self.listeners.iter().find(|l| l.name.eq_ignore_ascii_case(name)),
            None => {
                let brokers = || self.listeners.iter().filter(|l| !l.controller);
                brokers().find(|l| l.protocol == "PLAINTEXT").or_else(|| brokers().next())
            }
        };
        let listener = found.ok_or_else(|| {
            let names = names().join(", ");
            CollectError::Invalid(match name {
                Some(name) => format!("{} has no listener {name:?}, only {names}", self.path),
                None => format!("{} has no listener that brokers answer on, only {names}", self.path),
            })
        })?;
        if listener.protocol != "PLAINTEXT" {
            return Err(CollectError::Invalid(format!(
                "listener {} of {} speaks {}, and this agent asks brokers over PLAINTEXT only; add a PLAINTEXT listener \
                 on 127.0.0.1, or name one with the parameter listener",
                listener.name, self.path, listener.protocol
            )));
        }
        Ok(&listener.address)
    }

    /// The first address that clients or other nodes use; whether it answers says whether the node is up.
    pub(super) fn any_address(&self) -> Option<&Address> {
        let first = self.listeners.iter().find(|l| !l.controller).or_else(|| self.listeners.first());
        first.map(|l| &l.address)
    }
}

fn listeners(path: &str, all: &BTreeMap<String, String>) -> Result<Vec<Listener>, CollectError> {
    let list = |key: &str| {
        let text = all.get(key).map(String::as_str).unwrap_or_default();
        text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect::<Vec<_>>()
    };
    let controllers = list("controller.listener.names");
    let protocols: BTreeMap<String, String> = list("listener.security.protocol.map")
        .iter()
        .filter_map(|pair| pair.split_once(':'))
        .map(|(name, protocol)| (name.trim().to_uppercase(), protocol.trim().to_uppercase()))
        .collect();
    let mut found = Vec::new();
    for text in list("listeners") {
        let wrong =
            || CollectError::Invalid(format!("{path} has the listener {text:?}, which is not NAME://HOST:PORT"));
        let (name, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let name = name.to_uppercase();
        found.push(Listener {
            protocol: protocols.get(&name).cloned().unwrap_or_else(|| name.clone()),
            controller: controllers.iter().any(|controller| controller.eq_ignore_ascii_case(&name)),
            address: Address::new(local(host), port),
            name,
        });
    }
    if found.is_empty() {
        let host = all.get("host.name").map(String::as_str).unwrap_or_default();
        let port = all.get("port").and_then(|port| port.trim().parse().ok()).unwrap_or(PORT);
        let name = "PLAINTEXT".to_owned();
        let address = Address::new(local(host), port);
        found.push(Listener { protocol: name.clone(), name, address, controller: false });
    }
    Ok(found)
}

/// A listener on every address is asked on the loopback one.
pub(super) fn local(host: &str) -> String {
    match host.trim().trim_start_matches('[').trim_end_matches(']') {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(text: &str, name: Option<&str>) -> Result<String, String> {
        let config = KafkaConfig::parse("f", text).map_err(|error| error.to_string())?;
        config.listener(name).map(ToString::to_string).map_err(|error| error.to_string())
    }

    #[test]
    fn the_listener_to_ask_is_found_in_every_form_of_the_file() {
        let kraft = "process.roles=broker,controller\nlisteners=CONTROLLER://:9093,INTERNAL://10.0.0.1:9092\n\
                     controller.listener.names=CONTROLLER\n\
                     listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT\n";
        for (text, name, wanted) in [
            ("", None, "127.0.0.1:9092"),
            ("port=9999\nhost.name=kafka-1", None, "kafka-1:9999"),
            ("listeners=PLAINTEXT://0.0.0.0:9095", None, "127.0.0.1:9095"),
            ("listeners=SSL://k:9093, PLAINTEXT://[::]:9092", None, "[::1]:9092"),
            (kraft, None, "10.0.0.1:9092"),
            (kraft, Some("controller"), "127.0.0.1:9093"),
        ] {
            assert_eq!(listener(text, name).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_listener_that_can_not_be_asked_is_named() {
        let error = listener("listeners=SSL://k:9093", None).unwrap_err();
        assert!(error.starts_with("listener SSL of f speaks SSL"), "{error}");
        let error = listener("listeners=SSL://k:9093", Some("PLAIN")).unwrap_err();
        assert_eq!(error, "f has no listener \"PLAIN\", only SSL (SSL)");
        let error = listener("listeners=9092", None).unwrap_err();
        assert!(error.contains("\"9092\", which is not NAME://HOST:PORT"), "{error}");
    }

    #[test]
    fn ids_and_log_directories_are_read() {
        for (text, node, dirs) in [
            ("broker.id=3\nlog.dirs=/a, /b", Some(3), vec!["/a", "/b"]),
            ("node.id=4\nbroker.id=5\nlog.dir=/c", Some(4), vec!["/c"]),
            ("broker.id=-1", None, vec![LOG_DIR]),
        ] {
            let config = KafkaConfig::parse("f", text).unwrap();
            assert_eq!(config.node, node.map(BrokerId), "{text}");
            assert_eq!(config.log_dirs, dirs, "{text}");
        }
    }
}
