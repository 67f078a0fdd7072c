//! What one ZooKeeper server says of itself, and what Kafka's brokers have written into its tree.
//!
//! State comes from the four-letter words `srvr`, `mntr` and `conf` on the client port. From 3.5.3 on all but `srvr`
//! must be allowed by `4lw.commands.whitelist`. Neither a server before 3.5 nor one that serves nobody tells its
//! ensemble, so the caller passes the text of the configuration file along.
//!
//! The words go over a plain connection. A server whose only client port is `secureClientPort` can not be asked.

mod parse;
mod words;
mod znodes;

use crate::Address;
use kfleet_model::snapshot::{ZooKeeperServer, ZooKeeperState};
use kfleet_model::{BrokerId, Class, HostName};
use parse::Settings;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
pub use words::{Word, four_letter_word};
pub use znodes::{Registrations, kafka_registrations};

/// One server and what its host knows of it.
#[derive(Debug, Clone)]
pub struct ZooKeeperAccess {
    /// The host that it runs on.
    pub host: HostName,
    /// Its client port.
    pub address: Address,
    /// What stands on its disk, when the caller can read it.
    pub files: Option<ZooKeeperFiles>,
}

/// A server's configuration as it stands on disk.
#[derive(Debug, Clone)]
pub struct ZooKeeperFiles {
    /// The text of `zoo.cfg`, followed by that of its `dynamicConfigFile` if it names one.
    pub config: String,
    /// The number in `myid`; a standalone server has none.
    pub my_id: Option<i32>,
}

/// Why a server's state could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ZooKeeperError {
    /// No connection came about.
    #[error("connect to ZooKeeper server {server}")]
    Connect {
        /// The address that was tried.
        server: Address,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("get the answer to '{word}' from ZooKeeper server {server}")]
    Broken {
        /// The address.
        server: Address,
        /// The word that was sent.
        word: Word,
        /// Why.
        source: std::io::Error,
    },
    /// The deadline passed.
    #[error("get an answer to '{what}' from ZooKeeper server {server}: none came within {} ms", waited.as_millis())]
    Timeout {
        /// The address, or the list of addresses.
        server: String,
        /// The word that was sent, or the path that was read.
        what: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// An answer is larger than any that a server should give.
    #[error("read the answer to '{word}' from ZooKeeper server {server}: it is larger than {limit} bytes")]
    TooLarge {
        /// The address.
        server: Address,
        /// The word that was sent.
        word: Word,
        /// What is allowed.
        limit: u64,
    },
    /// The server's configuration does not allow the word.
    #[error("ask ZooKeeper server {server} for '{word}': its configuration does not allow this word")]
    NotAllowed {
        /// The address.
        server: Address,
        /// The word that was sent.
        word: Word,
    },
    /// The server runs and serves nobody: it has no quorum, or an election is under way.
    #[error("ask ZooKeeper server {server} for '{word}': it is not serving requests")]
    NotServing {
        /// The address.
        server: Address,
        /// The word that was sent.
        word: Word,
    },
    /// An answer or a file lacks something or holds something that can not be read.
    #[error("read {what} of ZooKeeper server {server}: {why}")]
    Malformed {
        /// The address.
        server: Address,
        /// Which answer or file, and which key in it.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Neither the server nor a file says who belongs to the ensemble.
    #[error("learn the ensemble of ZooKeeper server {server}: it does not tell it itself")]
    EnsembleUnknown {
        /// The address.
        server: Address,
    },
    /// The tree could not be read.
    #[error("read {path} from ZooKeeper at {servers}")]
    Tree {
        /// The addresses.
        servers: String,
        /// The path.
        path: String,
        /// Why.
        source: TreeError,
    },
}

/// What the ZooKeeper client library said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TreeError(pub(crate) zookeeper_client::Error);

impl ZooKeeperError {
    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::TooLarge { .. }
            | Self::NotAllowed { .. }
            | Self::NotServing { .. }
            | Self::Malformed { .. }
            | Self::EnsembleUnknown { .. }
            | Self::Tree { .. } => Class::Host,
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAllowed { .. } => {
                Some("add 4lw.commands.whitelist=srvr,mntr,conf,ruok to its zoo.cfg and restart it")
            }
            Self::EnsembleUnknown { .. } => Some(
                "the agent must be able to read its zoo.cfg: servers before 3.5, and those without quorum, do not tell",
            ),
            Self::Connect { .. } => Some("look whether it runs and whether clientPort of its zoo.cfg is this port"),
            Self::Broken { .. }
            | Self::Timeout { .. }
            | Self::TooLarge { .. }
            | Self::NotServing { .. }
            | Self::Malformed { .. }
            | Self::Tree { .. } => None,
        }
    }
}

/// What one server says of itself.
///
/// A server that runs and serves nobody gives [`ZooKeeperState::NotServing`] with what its files say of the ensemble;
/// its transaction id and counters are then zero. The transaction id of a follower stays that of the epoch before
/// until the first transaction of a new epoch, so in an idle ensemble it is lower than the leader's.
///
/// # Errors
/// When it can not be reached, does not allow a word, or says something that can not be read.
pub async fn zookeeper_server(access: &ZooKeeperAccess, deadline: Instant) -> Result<ZooKeeperServer, ZooKeeperError> {
    match ask(access, deadline).await {
        Err(ZooKeeperError::NotServing { .. }) => not_serving(access),
        other => other,
    }
}

/// The keys and values that a server says it runs with (`conf`), as they stand in its `zoo.cfg`.
///
/// # Errors
/// When it can not be reached or does not allow the word.
pub async fn zookeeper_running_config(
    server: &Address,
    deadline: Instant,
) -> Result<BTreeMap<String, String>, ZooKeeperError> {
    let text = four_letter_word(server, Word::Conf, deadline).await?;
    Ok(parse::pairs(&text).map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

async fn ask(access: &ZooKeeperAccess, deadline: Instant) -> Result<ZooKeeperServer, ZooKeeperError> {
    let server = &access.address;
    let zxid = parse::zxid(server, &four_letter_word(server, Word::Srvr, deadline).await?)?;
    let monitored = parse::monitored(server, &four_letter_word(server, Word::Mntr, deadline).await?)?;
    let told = parse::settings(server, "conf", &four_letter_word(server, Word::Conf, deadline).await?)?;
    let files = settings_of_files(access)?;
    let ensemble = match (&monitored.state, files) {
        _ if !told.ensemble.is_empty() => told.ensemble,
        (ZooKeeperState::Standalone, _) => told.ensemble,
        (_, Some(files)) if !files.ensemble.is_empty() => files.ensemble,
        (_, _) => return Err(ZooKeeperError::EnsembleUnknown { server: server.clone() }),
    };
    let my_id = access.files.as_ref().and_then(|files| files.my_id);
    Ok(ZooKeeperServer {
        host: access.host.clone(),
        server_id: BrokerId(told.server_id.or(my_id).unwrap_or(0)),
        state: monitored.state,
        zxid,
        ensemble,
        outstanding_requests: monitored.outstanding_requests,
        connections: monitored.connections,
        data_size_bytes: monitored.data_size_bytes,
        tick_ms: told.tick_ms,
        init_limit: told.init_limit,
        version: monitored.version,
    })
}

fn settings_of_files(access: &ZooKeeperAccess) -> Result<Option<Settings>, ZooKeeperError> {
    let files = access.files.as_ref();
    files.map(|files| parse::settings(&access.address, "zoo.cfg", &files.config)).transpose()
}

fn not_serving(access: &ZooKeeperAccess) -> Result<ZooKeeperServer, ZooKeeperError> {
    let settings = settings_of_files(access)?;
    let my_id = access.files.as_ref().and_then(|files| files.my_id);
    let (Some(settings), Some(my_id)) = (settings, my_id) else {
        return Err(ZooKeeperError::EnsembleUnknown { server: access.address.clone() });
    };
    Ok(ZooKeeperServer {
        host: access.host.clone(),
        server_id: BrokerId(my_id),
        state: ZooKeeperState::NotServing,
        zxid: 0,
        ensemble: settings.ensemble,
        outstanding_requests: 0,
        connections: 0,
        data_size_bytes: 0,
        tick_ms: settings.tick_ms,
        init_limit: settings.init_limit,
        version: String::new(),
    })
}
