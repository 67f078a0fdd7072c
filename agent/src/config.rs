//! The configuration file, `/etc/kfleet/agent.toml`.
//!
//! Every key has a default, so an empty file is a whole configuration. A key that is not known is refused with the
//! nearest known one: a mistyped limit must not silently be none.

use kfleet_model::module::nearest;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where it lies by default.
pub const DEFAULT_PATH: &str = "/etc/kfleet/agent.toml";

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The agent's own folder.
    pub state_dir: PathBuf,
    /// The folder of key and certificate.
    pub pki_dir: PathBuf,
    /// What keeps the host's services running.
    pub service_manager: Keeper,
    /// The socket of supervisord, where that is it.
    pub supervisord_socket: PathBuf,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or more finely as `tracing` filters allow.
    pub log: String,
    /// Bounds.
    pub limits: Limits,
    /// What the agent does not do, whatever the controller says.
    pub guard: Guard,
}

/// The guard rails. They are set on the host alone: nothing that a controller sends changes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Nothing on the host is changed.
    pub read_only: bool,
    /// The host's Kafka or ZooKeeper node is not stopped while another node of its cluster is down.
    pub node_stops: bool,
    /// How long a stop waits for the cluster to be whole, in seconds, before it is refused.
    pub patience_s: u64,
    /// The node is not stopped when it was started less than so many seconds ago.
    pub min_restart_interval_s: u64,
}

/// A service manager that the agent can speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// systemd.
    Systemd,
    /// supervisord.
    Supervisord,
}

/// Bounds, in bytes and days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Output kept of one command: half of it from the beginning, as much at most from the end.
    pub output_bytes: u64,
    /// Of each stream, how much goes into the task's result.
    pub result_output_bytes: u64,
    /// Files of the cache together.
    pub cache_bytes: u64,
    /// Output of finished commands is kept for so many days,
    pub spool_days: u64,
    /// and not more than this together.
    pub spool_bytes: u64,
    /// New work is refused when less is free under `state_dir`.
    pub min_free_bytes: u64,
}

const MIB: u64 = 1024 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7443)),
            state_dir: PathBuf::from("/var/lib/kfleet-agent"),
            pki_dir: PathBuf::from("/etc/kfleet/pki"),
            service_manager: Keeper::Systemd,
            supervisord_socket: PathBuf::from("/var/run/supervisor.sock"),
            log: "info".to_owned(),
            limits: Limits::default(),
            guard: Guard::default(),
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        // A minute is what a small broker needs to be back in sync; longer waits belong to a roll. Chosen.
        Self { read_only: false, node_stops: true, patience_s: 60, min_restart_interval_s: 0 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            output_bytes: 64 * MIB,
            result_output_bytes: MIB,
            cache_bytes: 2048 * MIB,
            spool_days: 7,
            spool_bytes: 1024 * MIB,
            min_free_bytes: 32 * MIB,
        }
    }
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A key is not known.
    #[error("{}: there is no key '{key}'{}", path.display(), nearest.as_ref().map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// It is no TOML, or a value has the wrong type; the text has line and column.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("{}: {key} must be {wanted}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
}

/// All keys, as written in the file.
const KEYS: [&str; 8] =
    ["listen", "state_dir", "pki_dir", "service_manager", "supervisord_socket", "log", "limits", "guard"];
const LIMIT_KEYS: [&str; 6] =
    ["output_bytes", "result_output_bytes", "cache_bytes", "spool_days", "spool_bytes", "min_free_bytes"];
const GUARD_KEYS: [&str; 4] = ["read_only", "node_stops", "patience_s", "min_restart_interval_s"];

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can not be read or holds something wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        let unknown = |table: &toml::Table, known: &[&str], prefix: &str| {
            let key = table.keys().find(|key| !known.contains(&key.as_str()))?;
            let nearest = nearest(key, known.iter().copied()).map(|name| format!("{prefix}{name}"));
            Some(ConfigError::Unknown { path: path.to_owned(), key: format!("{prefix}{key}"), nearest })
        };
        let inner = |name: &str| table.get(name).and_then(toml::Value::as_table);
        let wrong = unknown(&table, &KEYS, "")
            .or_else(|| unknown(inner("limits")?, &LIMIT_KEYS, "limits."))
            .or_else(|| unknown(inner("guard")?, &GUARD_KEYS, "guard."));
        if let Some(error) = wrong {
            return Err(error);
        }
        let config: Self = toml::from_str(text).map_err(syntax)?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let absolute = "an absolute path";
        let at_least = |wanted, key, found: u64, least: u64| (found < least).then_some((key, wanted));
        let wrong = (!self.state_dir.is_absolute())
            .then_some(("state_dir", absolute))
            .or((!self.pki_dir.is_absolute()).then_some(("pki_dir", absolute)))
            .or((!self.supervisord_socket.is_absolute()).then_some(("supervisord_socket", absolute)))
            .or(at_least("at least 65536", "limits.output_bytes", self.limits.output_bytes, 64 * 1024))
            .or(at_least("at least 4096", "limits.result_output_bytes", self.limits.result_output_bytes, 4096))
            .or(at_least("at least 1048576", "limits.min_free_bytes", self.limits.min_free_bytes, MIB));
        match wrong {
            Some((key, wanted)) => Err(ConfigError::Value { path: path.to_owned(), key, wanted }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("agent.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_sample_is_the_default_with_every_key_in_it() {
        let sample = include_str!("../agent.toml");
        assert_eq!(parse(sample).unwrap(), Config::default());
        for key in KEYS.iter().chain(&LIMIT_KEYS).chain(&GUARD_KEYS) {
            assert!(sample.contains(key), "{key} is not documented");
        }
        let uncommented: String = sample
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        assert_eq!(parse(&uncommented).unwrap(), Config::default(), "the values shown are the defaults");
    }

    #[test]
    fn wrong_files_are_refused_with_what_is_wrong() {
        let cases = [
            ("lisen = \"0.0.0.0:1\"", "there is no key 'lisen' (did you mean 'listen'?)"),
            ("[limits]\nspool_day = 3", "there is no key 'limits.spool_day' (did you mean 'limits.spool_days'?)"),
            ("quite_another = 1", "there is no key 'quite_another'"),
            ("[guard]\nreadonly = true", "there is no key 'guard.readonly' (did you mean 'guard.read_only'?)"),
            ("listen = 5", "line 1"),
            ("listen =", "line 1"),
            ("state_dir = \"here\"", "state_dir must be an absolute path"),
            ("service_manager = \"runit\"", "line 1"),
            ("supervisord_socket = \"s\"", "supervisord_socket must be an absolute path"),
            ("[limits]\noutput_bytes = 1", "limits.output_bytes must be at least 65536"),
            ("[limits]\noutput_bytes = -1", "line 2"),
        ];
        for (text, wanted) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted) && error.starts_with("agent.toml"), "{text}: {error}");
        }
    }
}
