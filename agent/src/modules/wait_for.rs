//! Waits for a port, a file, or some text in either, and says each second what it waits for.

use super::shared::paths;
use super::shared::pattern::Pattern;
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is read of a file that is searched.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// How often the operator hears what is waited for.
const TELL: Duration = Duration::from_secs(1);

/// The kernel's numbers of TCP states, in `/proc/net/tcp`, by Ansible's names.
const TCP_STATES: [(&str, &str); 9] = [
    ("ESTABLISHED", "01"),
    ("SYN_SENT", "02"),
    ("SYN_RECV", "03"),
    ("FIN_WAIT1", "04"),
    ("FIN_WAIT2", "05"),
    ("TIME_WAIT", "06"),
    ("CLOSE_WAIT", "08"),
    ("LAST_ACK", "09"),
    ("CLOSING", "0B"),
];

/// The module.
pub(super) struct WaitFor;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default = "local")]
    host: String,
    port: Option<u16>,
    path: Option<String>,
    search_regex: Option<String>,
    #[serde(default)]
    state: State,
    #[serde(default = "timeout")]
    timeout: u64,
    #[serde(default)]
    delay: u64,
    #[serde(default = "sleep")]
    sleep: u64,
    #[serde(default = "connect_timeout")]
    connect_timeout: u64,
    active_connection_states: Option<Vec<String>>,
    #[serde(default)]
    exclude_hosts: Vec<String>,
    msg: Option<String>,
}

fn local() -> String {
    "127.0.0.1".to_owned()
}

fn timeout() -> u64 {
    300
}

fn sleep() -> u64 {
    1
}

fn connect_timeout() -> u64 {
    5
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Started,
    Present,
    Stopped,
    Absent,
    Drained,
}

/// What is waited for.
enum Thing {
    Port(String, u16),
    Path(PathBuf),
    Time,
}

/// What was found when the wait was over.
#[derive(Default)]
pub(super) struct Over {
    elapsed: Duration,
    groups: Vec<Value>,
    named: Map,
}

impl Params {
    fn thing(&self, host: &dyn HostView) -> Result<Thing, ModuleError> {
        match (self.port, &self.path) {
            (Some(_), Some(_)) => Err(ModuleError::Invalid("port and path exclude each other".to_owned())),
            (Some(port), None) => Ok(Thing::Port(self.host.clone(), port)),
            (None, Some(path)) => Ok(Thing::Path(paths::absolute(host, path)?)),
            (None, None) => Ok(Thing::Time),
        }
    }

    fn appears(&self) -> bool {
        match self.state {
            State::Started | State::Present => true,
            State::Stopped | State::Absent | State::Drained => false,
        }
    }

    /// For people: what is waited for.
    fn what(&self, thing: &Thing) -> String {
        let search = match &self.search_regex {
            Some(pattern) if self.appears() => format!(" to show {pattern:?}"),
            _ => String::new(),
        };
        match thing {
            Thing::Port(host, port) => match self.state {
                State::Drained => format!("the connections of {host}:{port} to end"),
                State::Stopped | State::Absent => format!("{host}:{port} to stop answering"),
                State::Started | State::Present if search.is_empty() => format!("{host}:{port} to answer"),
                State::Started | State::Present => format!("{host}:{port}{search}"),
            },
            Thing::Path(path) if self.appears() && search.is_empty() => format!("{} to be there", path.display()),
            Thing::Path(path) if self.appears() => format!("{}{search}", path.display()),
            Thing::Path(path) => format!("{} to be gone", path.display()),
            Thing::Time => format!("{} s to pass", self.timeout),
        }
    }

    fn check(&self) -> Result<(), ModuleError> {
        if self.state == State::Drained && self.port.is_none() {
            return Err(ModuleError::Invalid("state=drained needs port".to_owned()));
        }
        let known = |name: &String| TCP_STATES.iter().any(|(known, _)| known == name);
        if let Some(unknown) = self.active_connection_states.iter().flatten().find(|name| !known(name)) {
            return Err(ModuleError::Invalid(format!(
                "active_connection_states has {unknown:?}, which is no TCP state"
            )));
        }
        Ok(())
    }

    /// One look; the groups of the pattern when the wait is over.
    fn look(&self, host: &dyn HostView, thing: &Thing, pattern: Option<&Pattern>) -> Result<Option<Over>, ModuleError> {
        let connect = Duration::from_secs(self.connect_timeout);
        let over = |yes: bool| yes.then(Over::default);
        match thing {
            Thing::Time => Ok(None),
            Thing::Port(name, port) => match (self.state, pattern) {
                (State::Drained, _) => Ok(over(!self.connected(host, name, *port)?)),
                (State::Stopped | State::Absent, _) => Ok(over(!host.connects(name, *port, connect)?)),
                (State::Started | State::Present, None) => Ok(over(host.connects(name, *port, connect)?)),
                (State::Started | State::Present, Some(pattern)) => {
                    Ok(over(host.receives(name, *port, connect, &|got| pattern.is_match(got).unwrap_or(false))?))
                }
            },
            Thing::Path(path) if !self.appears() && pattern.is_none() => Ok(over(host.stat(path, true)?.is_none())),
            Thing::Path(path) => self.look_into(host, path, pattern),
        }
    }

    fn look_into(
        &self,
        host: &dyn HostView,
        path: &Path,
        pattern: Option<&Pattern>,
    ) -> Result<Option<Over>, ModuleError> {
        let Some(pattern) = pattern else { return Ok(host.stat(path, true)?.map(|_| Over::default())) };
        let content = host.read(path, FILE_LIMIT)?;
        let captures = match &content {
            Some(content) => pattern.captures(content)?,
            None => None,
        };
        if !self.appears() {
            return Ok(captures.is_none().then(Over::default));
        }
        let Some(captures) = captures else { return Ok(None) };
        let group = |bytes: Option<&[u8]>| {
            bytes.map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into_owned().into())
        };
        let groups = (1..captures.len()).map(|n| group(captures.get(n).map(|m| m.as_bytes()))).collect();
        let named = pattern.names().map(|name| (name.to_owned(), group(captures.name(name).map(|m| m.as_bytes()))));
        Ok(Some(Over { groups, named: named.collect(), ..Over::default() }))
    }

    /// Whether somebody is still connected to a port of this host.
    fn connected(&self, host: &dyn HostView, name: &str, port: u16) -> Result<bool, ModuleError> {
        let every: Vec<String> = TCP_STATES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let active = self.active_connection_states.as_ref().unwrap_or(&every);
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = host.read(Path::new(table), FILE_LIMIT)?.unwrap_or_default();
            let found = connections(&String::from_utf8_lossy(&text), port);
            let counts = |(local, remote, state): &(IpAddr, IpAddr, &'static str)| {
                let here = name.parse::<IpAddr>().map_or(true, |ip| ip.is_unspecified() || ip == local.to_canonical());
                let excluded = self.exclude_hosts.iter().any(|host| *host == remote.to_canonical().to_string());
                here && !excluded && active.iter().any(|name| name == state)
            };
            if found.iter().any(counts) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Connections of a local port in the kernel's table: local address, remote address, state.
fn connections(table: &str, port: u16) -> Vec<(IpAddr, IpAddr, &'static str)> {
    let row = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (local, local_port) = address(local)?;
        let (remote, _) = address(remote)?;
        let state = TCP_STATES.iter().find(|(_, number)| *number == state)?.0;
        (local_port == port).then_some((local, remote, state))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// `0100007F:2328`: each group of four bytes in the order of a little-endian machine.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_le_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?),
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

impl Module for WaitFor {
    type Params = Params;
    type State = Over;

    fn doc(&self) -> ModuleDoc {
        let names: Vec<&str> = TCP_STATES.iter().map(|(name, _)| *name).collect();
        ModuleDoc {
            name: "wait_for".into(),
            summary: "Waits for a port, a file, or text in either".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![
                param("host", ParamKind::Str, "The port's host.").default("127.0.0.1"),
                param("port", ParamKind::Int, "The TCP port."),
                param("path", ParamKind::Path, "The file or directory."),
                param("search_regex", ParamKind::Str, "A pattern to find in the file, or in what the port sends."),
                param(
                    "state",
                    ParamKind::Str,
                    "Started and present wait until it is there, stopped and absent until it is not, drained until no \
                     connection to the port is left.",
                )
                .choices(&["absent", "drained", "present", "started", "stopped"])
                .default("started"),
                param("timeout", ParamKind::Int, "Seconds to wait at most.").default("300"),
                param("delay", ParamKind::Int, "Seconds to wait before the first look.").default("0"),
                param("sleep", ParamKind::Int, "Seconds between two looks.").default("1"),
                param("connect_timeout", ParamKind::Int, "Seconds for one connection.").default("5"),
                param("active_connection_states", ParamKind::List, "For drained: which connections count.")
                    .choices(&names),
                param("exclude_hosts", ParamKind::List, "For drained: addresses whose connections do not count."),
                param("msg", ParamKind::Str, "What to say when the time is over."),
            ],
            returns: vec![
                returns("elapsed", "how long it took, in seconds"),
                returns("match_groups", "what the groups of search_regex found in the file"),
                returns("match_groupdict", "likewise, the named ones"),
            ],
            examples: include_str!("examples/wait_for.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Over, ModuleError> {
        params.check()?;
        let thing = params.thing(host)?;
        let pattern = match &params.search_regex {
            Some(regex) => Some(Pattern::new("search_regex", regex, true)?),
            None => None,
        };
        let what = params.what(&thing);
        let limit = Duration::from_secs(params.timeout);
        // The op's own clock: wall time may jump while this waits.
        let begun = host.time_left();
        let elapsed = || begun.saturating_sub(host.time_left());
        let nap = |time: Duration| -> Result<(), ModuleError> {
            let until = elapsed() + time.min(limit.saturating_sub(elapsed()));
            while elapsed() < until {
                host.progress(&format!("waiting for {what}, {} s of {} s", elapsed().as_secs(), params.timeout));
                host.pause(TELL.min(until - elapsed()), &what)?;
            }
            Ok(())
        };
        nap(Duration::from_secs(params.delay))?;
        loop {
            if let Some(over) = params.look(host, &thing, pattern.as_ref())? {
                return Ok(Over { elapsed: elapsed(), ..over });
            }
            if elapsed() >= limit {
                break;
            }
            nap(if matches!(thing, Thing::Time) { limit } else { Duration::from_secs(params.sleep.max(1)) })?;
        }
        if matches!(thing, Thing::Time) {
            return Ok(Over { elapsed: elapsed(), ..Over::default() });
        }
        let msg = params.msg.clone().unwrap_or_else(|| format!("Timeout when waiting for {what}"));
        let data = Map::from_iter([("elapsed".to_owned(), elapsed().as_secs().into())]);
        Err(ModuleError::Failed { msg, data })
    }

    fn diff(&self, _params: &Params, _state: &Over) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Params, _: &Over, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, params: &Params, state: &Over) -> Map {
        let mut data = Map::new();
        data.insert("elapsed".into(), state.elapsed.as_secs().into());
        data.insert("path".into(), params.path.clone().map_or(Value::Null, Value::String));
        data.insert("port".into(), params.port.map_or(Value::Null, Value::from));
        data.insert("search_regex".into(), params.search_regex.clone().map_or(Value::Null, Value::String));
        data.insert("match_groups".into(), state.groups.clone().into());
        data.insert("match_groupdict".into(), Value::Object(state.named.clone()));
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_port_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 0100007F:2384 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:2384 0200A8C0:9C40 01 00000000:00000000\n\
             2: 0100007F:1F90 0200A8C0:9C41 01 00000000:00000000\n";
        let found = connections(table, 9092);
        assert_eq!(found, [("127.0.0.1".parse().unwrap(), "192.168.0.2".parse().unwrap(), "ESTABLISHED")]);
        let table = "header\n 0: 0000000000000000FFFF00000100007F:2384 0000000000000000FFFF00000200A8C0:9C40 06 x\n";
        let (local, remote, state) = connections(table, 9092).remove(0);
        assert_eq!(local.to_canonical().to_string(), "127.0.0.1");
        assert_eq!((remote.to_canonical().to_string().as_str(), state), ("192.168.0.2", "TIME_WAIT"));
    }
}
