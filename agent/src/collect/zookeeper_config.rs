//! What a ZooKeeper server's `zoo.cfg` says of where it listens and which member it is.

use super::kafka_config::local;
use super::{CollectError, parse};
use crate::host::HostView;
use kfleet_config::Properties;
use kfleet_kafka::{Address, ZooKeeperFiles};
use kfleet_model::{BrokerId, Map};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where roles put it.
const CONFIG: &str = "/etc/zookeeper/zoo.cfg";

/// Where Debian's package puts it.
const DEBIAN: &str = "/etc/zookeeper/conf/zoo.cfg";

/// A configuration file is never near this.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The parameters of everything that asks a ZooKeeper server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZooKeeperParams {
    pub(super) config: Option<String>,
    pub(super) service: Option<String>,
    pub(super) host: Option<String>,
    #[serde(rename = "kind")]
    pub(super) _kind: Option<String>,
}

/// What the files say.
#[derive(Debug)]
pub(super) struct ZooKeeperConfig {
    pub(super) path: PathBuf,
    pub(super) address: Address,
    pub(super) my_id: Option<BrokerId>,
    pub(super) files: ZooKeeperFiles,
}

/// Reads the files of a host.
pub(super) fn read(host: &dyn HostView, params: &Map) -> Result<(ZooKeeperParams, ZooKeeperConfig), CollectError> {
    let params: ZooKeeperParams = parse(params)?;
    let text_of = |path: &str| -> Result<Option<String>, CollectError> {
        let bytes = host.read(Path::new(path), LIMIT)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let candidates = params.config.as_deref().map_or(vec![CONFIG, DEBIAN], |path| vec![path]);
    let mut found = None;
    for path in &candidates {
        if found.is_none() {
            found = text_of(path)?.map(|text| ((*path).to_owned(), text));
        }
    }
    let (path, mut text) = found.ok_or_else(|| {
        CollectError::Invalid(format!("{} does not exist (parameter config names it)", candidates.join(" or ")))
    })?;
    if let Some(dynamic) = Properties::parse(text.as_bytes()).to_map().get("dynamicConfigFile") {
        let more = text_of(dynamic)?;
        let more =
            more.ok_or_else(|| CollectError::Invalid(format!("{path} names {dynamic}, which does not exist")))?;
        text.push('\n');
        text.push_str(&more);
    }
    let data = Properties::parse(text.as_bytes()).to_map().get("dataDir").cloned();
    let data = data.ok_or_else(|| CollectError::Invalid(format!("{path} has no dataDir; is it a zoo.cfg?")))?;
    let my_id = text_of(&format!("{}/myid", data.trim_end_matches('/')))?;
    let my_id = my_id.and_then(|text| text.trim().parse::<i32>().ok());
    let address = client_address(&path, &text, my_id)?;
    let files = ZooKeeperFiles { config: text, my_id };
    Ok((params, ZooKeeperConfig { path: path.into(), address, my_id: my_id.map(BrokerId), files }))
}

impl ZooKeeperConfig {
    /// Where clients find the other servers of the ensemble, as this server's file has them: on the port of their own
    /// line, else on the one that this server has itself.
    pub(super) fn others(&self, own: BrokerId) -> Vec<(BrokerId, Address)> {
        let all = Properties::parse(self.files.config.as_bytes()).to_map();
        let servers = all.iter().filter_map(|(key, line)| Some((key.strip_prefix("server.")?.parse().ok()?, line)));
        let address = |line: &str| {
            let (peers, client) = line.split_once(';').unwrap_or((line, ""));
            // Of several addresses of one server the first will do.
            let peer = peers.split('|').next().unwrap_or(peers).trim();
            let host = match peer.strip_prefix('[') {
                Some(rest) => rest.split(']').next()?,
                None => peer.split(':').next()?,
            };
            let port = client.rsplit(':').next().and_then(|port| port.trim().parse().ok());
            Some(Address::new(host, port.unwrap_or(self.address.port)))
        };
        let others = servers.map(|(id, line)| (BrokerId(id), address(line))).filter(|(id, _)| *id != own);
        others.filter_map(|(id, address)| Some((id, address?))).collect()
    }
}

/// `clientPort`, or what stands behind the semicolon of the server's own line.
fn client_address(path: &str, text: &str, my_id: Option<i32>) -> Result<Address, CollectError> {
    let all = Properties::parse(text.as_bytes()).to_map();
    let own = my_id.and_then(|id| all.get(&format!("server.{id}"))).and_then(|line| line.split_once(';'));
    let own = own.map(|(_, client)| client.trim().rsplit_once(':').unwrap_or(("", client.trim())));
    let (host, port) = match (all.get("clientPort"), own) {
        (Some(port), _) => (all.get("clientPortAddress").map(String::as_str).unwrap_or_default(), port.trim()),
        (None, Some(own)) => own,
        (None, None) => {
            return Err(CollectError::Invalid(format!(
                "{path} names no clientPort; a server with only a secureClientPort can not be asked"
            )));
        }
    };
    let number = port.parse().map_err(|_| CollectError::Invalid(format!("{path} has the client port {port:?}")))?;
    Ok(Address::new(local(host), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_servers_are_found_where_their_clients_find_them() {
        let config = "server.1=zk-1:2888:3888\nserver.2=10.0.0.2:2888:3888:observer;2185\n\
                      server.3=[fd00::3]:2888:3888;0.0.0.0:2186\nserver.4=a:1:2|b:1:2\nserver.x=no";
        let files = ZooKeeperFiles { config: config.into(), my_id: Some(1) };
        let config = ZooKeeperConfig {
            path: "f".into(),
            address: Address::new("127.0.0.1", 2181),
            my_id: Some(BrokerId(1)),
            files,
        };
        let others: Vec<String> =
            config.others(BrokerId(1)).iter().map(|(id, address)| format!("{id} {address}")).collect();
        assert_eq!(others, ["2 10.0.0.2:2185", "3 [fd00::3]:2186", "4 a:2181"]);
    }

    #[test]
    fn the_client_port_is_found_in_both_forms_of_the_file() {
        for (text, wanted) in [
            ("clientPort=2181", Some("127.0.0.1:2181")),
            ("clientPort=2182\nclientPortAddress=10.0.0.1", Some("10.0.0.1:2182")),
            ("server.2=zk-2:2888:3888:participant;0.0.0.0:2183", Some("127.0.0.1:2183")),
            ("server.2=zk-2:2888:3888;2184", Some("127.0.0.1:2184")),
            ("server.1=zk-1:2888:3888;2184", None),
            ("clientPort=x", None),
        ] {
            let got = client_address("f", text, Some(2)).ok().map(|address| address.to_string());
            assert_eq!(got.as_deref(), wanted, "{text}");
        }
    }
}
