//! What Kafka's brokers in ZooKeeper mode have registered in the tree.

use super::{TreeError, ZooKeeperError};
use kfleet_model::BrokerId;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use zookeeper_client::{Client, Error};

/// How long a session outlives a lost connection. Nothing ephemeral is written, so it may be short.
const SESSION: Duration = Duration::from_secs(6);

/// Kafka's registrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrations {
    /// The active controller (`/controller`).
    pub active_controller: Option<BrokerId>,
    /// The registered brokers (`/brokers/ids`), each with its epoch: the transaction that registered it, which is
    /// higher after each restart.
    pub brokers: BTreeMap<BrokerId, i64>,
}

/// Reads the registrations of a Kafka cluster.
///
/// `servers` is as `zookeeper.connect` of a broker's configuration has it: addresses separated by commas, and the
/// cluster's chroot if it has one. A tree without Kafka's nodes gives no brokers. Reading opens a session, which is a
/// transaction, and closes it at the end. Servers that demand TLS or SASL are not supported.
///
/// # Errors
/// When no server is reached in time or the tree may not be read.
///
/// # Cancellation
/// The client library serves the session in a task of its own, which ends when this future is dropped.
pub async fn kafka_registrations(servers: &str, deadline: Instant) -> Result<Registrations, ZooKeeperError> {
    let reader = Reader { servers, deadline };
    let connector = Client::connector().with_session_timeout(SESSION).with_fail_eagerly();
    let client = reader.bounded("/", connector.connect(servers)).await?;
    let active_controller = match reader.bounded("/controller", client.get_data("/controller")).await {
        Ok((data, _)) => controller_of(&data),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    let names = match reader.bounded("/brokers/ids", client.list_children("/brokers/ids")).await {
        Err(error) if is_absent(&error) => Vec::new(),
        other => other?,
    };
    let mut brokers = BTreeMap::new();
    for name in names {
        let Ok(id) = name.parse() else { continue };
        let path = format!("/brokers/ids/{name}");
        // None when the broker went away after the list was read.
        if let Some(stat) = reader.bounded(&path, client.check_stat(&path)).await? {
            brokers.insert(BrokerId(id), stat.czxid);
        }
    }
    Ok(Registrations { active_controller, brokers })
}

/// Reads within one deadline and puts the path into errors.
struct Reader<'a> {
    servers: &'a str,
    deadline: Instant,
}

impl Reader<'_> {
    async fn bounded<T>(&self, path: &str, read: impl Future<Output = Result<T, Error>>) -> Result<T, ZooKeeperError> {
        let start = Instant::now();
        let (servers, path) = (self.servers.to_owned(), path.to_owned());
        match tokio::time::timeout_at(self.deadline, read).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(ZooKeeperError::Tree { servers, path, source: TreeError(source) }),
            Err(_) => Err(ZooKeeperError::Timeout { server: servers, what: path, waited: start.elapsed() }),
        }
    }
}

fn is_absent(error: &ZooKeeperError) -> bool {
    matches!(error, ZooKeeperError::Tree { source: TreeError(Error::NoNode), .. })
}

/// `{"version":1,"brokerid":2,"timestamp":"..."}`
fn controller_of(data: &[u8]) -> Option<BrokerId> {
    let value: serde_json::Value = serde_json::from_slice(data).ok()?;
    let id = value.get("brokerid")?.as_i64()?;
    i32::try_from(id).ok().filter(|&id| id >= 0).map(BrokerId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_read_from_what_kafka_writes() {
        let cases: [(&[u8], Option<i32>); 5] = [
            (br#"{"version":1,"brokerid":2,"timestamp":"1763880012345"}"#, Some(2)),
            (br#"{"version":2,"brokerid":3,"timestamp":"1763880012345","kraftControllerEpoch":-1}"#, Some(3)),
            (br#"{"version":1,"brokerid":-1}"#, None),
            (b"{}", None),
            (b"", None),
        ];
        for (data, expected) in cases {
            assert_eq!(controller_of(data), expected.map(BrokerId), "{}", String::from_utf8_lossy(data));
        }
    }
}
