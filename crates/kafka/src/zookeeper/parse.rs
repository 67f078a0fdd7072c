//! Texts of ZooKeeper servers in, values out. Pure; tested with answers recorded from 3.4.14, 3.8.4 and 3.9.3.

use super::ZooKeeperError;
use crate::Address;
use kfleet_model::BrokerId;
use kfleet_model::snapshot::{ZooKeeperRole, ZooKeeperState};
use std::collections::BTreeMap;
use std::str::FromStr;

/// ZooKeeper's own default for `tickTime` (`ZooKeeperServer.DEFAULT_TICK_TIME`).
const DEFAULT_TICK_MS: u64 = 3000;

/// What `mntr` gives.
#[derive(Debug, PartialEq)]
pub(super) struct Monitored {
    pub(super) version: String,
    pub(super) state: ZooKeeperState,
    pub(super) outstanding_requests: u64,
    pub(super) connections: u64,
    pub(super) data_size_bytes: u64,
}

/// What `conf` and the configuration file give.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) server_id: Option<i32>,
    pub(super) tick_ms: u64,
    pub(super) init_limit: u64,
    pub(super) ensemble: BTreeMap<BrokerId, ZooKeeperRole>,
}

fn malformed(server: &Address, what: impl Into<String>, why: impl Into<String>) -> ZooKeeperError {
    ZooKeeperError::Malformed { server: server.clone(), what: what.into(), why: why.into() }
}

/// The `Zxid:` line of `srvr`.
pub(super) fn zxid(server: &Address, text: &str) -> Result<u64, ZooKeeperError> {
    let value = text.lines().find_map(|line| line.strip_prefix("Zxid: "));
    let value = value.ok_or_else(|| malformed(server, "Zxid of the answer to 'srvr'", "there is none"))?.trim();
    let digits = value.strip_prefix("0x").unwrap_or(value);
    u64::from_str_radix(digits, 16)
        .map_err(|_| malformed(server, "Zxid of the answer to 'srvr'", format!("{value:?} is no hexadecimal number")))
}

/// The lines of `mntr`: a key, a tab, a value.
pub(super) fn monitored(server: &Address, text: &str) -> Result<Monitored, ZooKeeperError> {
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let what = |key| format!("{key} of the answer to 'mntr'");
    let find = |key| values.get(key).copied().ok_or_else(|| malformed(server, what(key), "there is none"));
    let count = |key| {
        let value = find(key)?;
        whole(value).ok_or_else(|| malformed(server, what(key), format!("{value:?} is no count")))
    };
    // Since 3.6 a server also says in which phase of the protocol it is. Only in the last one it takes part.
    let in_broadcast = values.get("zk_peer_state").is_none_or(|state| state.ends_with("- broadcast"));
    let state = match find("zk_server_state")? {
        _ if !in_broadcast => ZooKeeperState::NotServing,
        "leader" => ZooKeeperState::Leader {
            synced_followers: count("zk_synced_followers")?,
            pending_syncs: count("zk_pending_syncs")?,
        },
        "follower" => ZooKeeperState::Follower,
        "observer" => ZooKeeperState::Observer,
        "standalone" => ZooKeeperState::Standalone,
        // It reads from its disk and has no quorum.
        "read-only" => ZooKeeperState::NotServing,
        other => return Err(malformed(server, what("zk_server_state"), format!("{other:?} is no known state"))),
    };
    Ok(Monitored {
        version: find("zk_version")?.split(['-', ',']).next().unwrap_or_default().to_owned(),
        state,
        outstanding_requests: count("zk_outstanding_requests")?,
        connections: count("zk_num_alive_connections")?,
        data_size_bytes: count("zk_approximate_data_size")?,
    })
}

/// A count; some versions print counts as `2.0`, and -1 for none.
fn whole(value: &str) -> Option<u64> {
    let value = value.trim();
    let value = value.strip_suffix(".0").unwrap_or(value);
    if value == "-1" { Some(0) } else { value.parse().ok() }
}

/// Lines of a key, `=` or `:` and a value, as `conf` prints them and as `zoo.cfg` has them.
pub(super) fn settings(server: &Address, source: &str, text: &str) -> Result<Settings, ZooKeeperError> {
    let mut settings = Settings { server_id: None, tick_ms: DEFAULT_TICK_MS, init_limit: 0, ensemble: BTreeMap::new() };
    for (key, value) in pairs(text) {
        match key {
            "serverId" => settings.server_id = Some(number(server, source, key, value)?),
            "tickTime" => settings.tick_ms = number(server, source, key, value)?,
            "initLimit" => settings.init_limit = number(server, source, key, value)?,
            _ => {
                let Some(id) = key.strip_prefix("server.") else { continue };
                let id = BrokerId(number(server, source, key, id)?);
                settings.ensemble.insert(id, role(value));
            }
        }
    }
    Ok(settings)
}

/// The same lines as pairs.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
    lines.filter_map(|line| line.split_once(['=', ':'])).map(|(key, value)| (key.trim(), value.trim()))
}

fn number<T: FromStr>(server: &Address, source: &str, key: &str, value: &str) -> Result<T, ZooKeeperError> {
    value.parse().map_err(|_| malformed(server, format!("{key} of {source}"), format!("{value:?} is no number")))
}

/// `HOST:PORT:PORT[:ROLE][;[ADDRESS:]PORT]`, with several `HOST:PORT:PORT` separated by `|` since 3.6.
fn role(value: &str) -> ZooKeeperRole {
    let peers = value.split(';').next().unwrap_or(value);
    let observes = peers.split('|').any(|peer| peer.trim_end().ends_with(":observer"));
    if observes { ZooKeeperRole::Observer } else { ZooKeeperRole::Participant }
}

#[cfg(test)]
mod tests;
