//! What a broker's `server.properties` says of where it listens, who it is and where its data lies.

use super::kafka_client::{self, Settings};
use super::{CollectError, parse};
use crate::host::HostView;
use kfleet_config::Properties;
use kfleet_kafka::{Address, KafkaAccess};
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
    pub(super) command_config: Option<String>,
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
    pub(super) listeners: Vec<Listener>,
    /// The listener on which brokers call each other, where the file names one.
    inter_broker: Option<String>,
    /// Every key of the file.
    pub(super) all: BTreeMap<String, String>,
}

/// One listener of a broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) address: Address,
    /// The name that clients are told, which is the one that a certificate has.
    pub(super) advertised: Option<String>,
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
        let all = Properties::parse(text.as_bytes()).to_map();
        let get = |key: &str| all.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
        let node = match get("node.id").or_else(|| get("broker.id")) {
            // A negative id asks the broker to choose one: meta.properties has it then.
            Some(text) => text.parse::<i32>().ok().filter(|id| *id >= 0).map(BrokerId),
            None => None,
        };
        let log_dirs = get("log.dirs").or_else(|| get("log.dir")).unwrap_or(LOG_DIR);
        let log_dirs = log_dirs.split(',').map(|dir| dir.trim().to_owned()).filter(|dir| !dir.is_empty()).collect();
        let inter_broker = get("inter.broker.listener.name").or_else(|| get("security.inter.broker.protocol"));
        let inter_broker = inter_broker.map(str::to_uppercase);
        let listeners = listeners(path, &all)?;
        Ok(Self { path: path.to_owned(), node, log_dirs, listeners, inter_broker, all })
    }

    /// The way in: over the listener of the given name, else over the one that needs least. A client file of the
    /// operator's decides the protocol and brings what it needs; without one, the broker's own configuration does.
    pub(super) fn access(
        &self,
        host: &dyn HostView,
        params: &KafkaParams,
        node: BrokerId,
    ) -> Result<KafkaAccess, CollectError> {
        let name = params.listener.as_deref();
        let Some(path) = &params.command_config else {
            let listener = self.listener(name, None)?;
            let prefix = format!("listener.name.{}.", listener.name.to_lowercase());
            let settings = Settings { path: &self.path, all: &self.all, prefix };
            return kafka_client::access(host, &settings, &listener.protocol, listener.reached(), node);
        };
        let text = host.read(Path::new(path), LIMIT)?;
        let text =
            text.ok_or_else(|| CollectError::Invalid(format!("{path} does not exist (command_config names it)")))?;
        let all = Properties::parse(&text).to_map();
        let protocol = all.get("security.protocol").map_or("PLAINTEXT", |protocol| protocol.trim()).to_uppercase();
        let listener = self.listener(name, Some(&protocol))?;
        let settings = Settings { path, all: &all, prefix: String::new() };
        kafka_client::access(host, &settings, &protocol, listener.reached(), node)
    }

    /// A way in to one listener that goes no further than what is answered before authentication.
    pub(super) fn greeting(&self, host: &dyn HostView, listener: &Listener) -> Result<KafkaAccess, CollectError> {
        let prefix = format!("listener.name.{}.", listener.name.to_lowercase());
        let settings = Settings { path: &self.path, all: &self.all, prefix };
        let protocol = if listener.is_tls() { "SSL" } else { "PLAINTEXT" };
        kafka_client::access(host, &settings, protocol, listener.reached(), BrokerId(-1))
    }

    /// The listener to ask: the one of the given name; else the first one of the given protocol; else the first one that
    /// needs no certificate or password, that of the brokers among themselves, or the first of all.
    fn listener(&self, name: Option<&str>, protocol: Option<&str>) -> Result<&Listener, CollectError> {
        let names = || self.listeners.iter().map(|l| format!("{} ({})", l.name, l.protocol)).collect::<Vec<_>>();
        let found = match name {
            Some(name) => self.listeners.iter().find(|l| l.name.eq_ignore_ascii_case(name)),
            None => {
                let brokers = || self.listeners.iter().filter(|l| !l.controller);
                let own = |l: &&Listener| self.inter_broker.as_ref().is_some_and(|n| *n == l.name || *n == l.protocol);
                match protocol {
                    Some(protocol) => brokers().find(|l| l.protocol == protocol),
                    None => brokers()
                        .find(|l| l.protocol == "PLAINTEXT")
                        .or_else(|| brokers().find(own))
                        .or_else(|| brokers().next()),
                }
            }
        };
        found.ok_or_else(|| {
            let names = names().join(", ");
            CollectError::Invalid(match (name, protocol) {
                (Some(name), _) => format!("{} has no listener {name:?}, only {names}", self.path),
                (None, Some(protocol)) => format!("{} has no listener with {protocol}, only {names}", self.path),
                (None, None) => format!("{} has no listener that brokers answer on, only {names}", self.path),
            })
        })
    }

    /// The first address that clients or other nodes use; whether it answers says whether the node is up.
    pub(super) fn any_address(&self) -> Option<&Address> {
        let first = self.listeners.iter().find(|l| !l.controller).or_else(|| self.listeners.first());
        first.map(|l| &l.address)
    }
}

impl Listener {
    /// Whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.protocol.ends_with("SSL")
    }

    /// Where it is asked. A certificate has the advertised name, so TLS calls the listener by that; it leads to this host.
    fn reached(&self) -> Address {
        match &self.advertised {
            Some(host) if self.is_tls() => Address::new(host.clone(), self.address.port),
            Some(_) | None => self.address.clone(),
        }
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
    let advertised: BTreeMap<String, String> = list("advertised.listeners")
        .iter()
        .filter_map(|text| text.split_once("://"))
        .filter_map(|(name, rest)| Some((name.to_uppercase(), rest.rsplit_once(':')?.0.to_owned())))
        .filter(|(_, host)| !host.is_empty())
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
            advertised: advertised.get(&name).cloned(),
            name,
        });
    }
    if found.is_empty() {
        let host = all.get("host.name").map(String::as_str).unwrap_or_default();
        let port = all.get("port").and_then(|port| port.trim().parse().ok()).unwrap_or(PORT);
        let name = "PLAINTEXT".to_owned();
        let address = Address::new(local(host), port);
        found.push(Listener { protocol: name.clone(), name, address, advertised: None, controller: false });
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
        config.listener(name, None).map(|found| found.reached().to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_listener_to_ask_is_found_in_every_form_of_the_file() {
        let kraft = "process.roles=broker,controller\nlisteners=CONTROLLER://:9093,INTERNAL://10.0.0.1:9092\n\
                     controller.listener.names=CONTROLLER\n\
                     listener.security.protocol.map=CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT\n";
        let secured = "listeners=CLIENTS://:9093,BROKERS://:9094\ninter.broker.listener.name=BROKERS\n\
                       listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,BROKERS:SASL_SSL\n\
                       advertised.listeners=CLIENTS://public:19093,BROKERS://kafka-1.example:9094\n";
        for (text, name, wanted) in [
            ("", None, "127.0.0.1:9092"),
            ("port=9999\nhost.name=kafka-1", None, "kafka-1:9999"),
            ("listeners=PLAINTEXT://0.0.0.0:9095", None, "127.0.0.1:9095"),
            ("listeners=SSL://k:9093, PLAINTEXT://[::]:9092", None, "[::1]:9092"),
            (kraft, None, "10.0.0.1:9092"),
            (kraft, Some("controller"), "127.0.0.1:9093"),
            (secured, None, "kafka-1.example:9094"),
            (secured, Some("clients"), "127.0.0.1:9093"),
        ] {
            assert_eq!(listener(text, name).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_listener_that_can_not_be_asked_is_named() {
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
