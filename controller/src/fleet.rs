//! The fleet directory: where a fleet's CA, inventory, settings and run history live.
//!
//! Layout: `kfleet.toml` (settings), `inventory/` (hosts, group_vars, host_vars), `pki/` (see docs/identity.md),
//! `state/kfleet.db` (runs and history), `playbooks/` (the operator's own), `inspection.yml` and `schedule.yml` (see
//! docs/inspection-checks.md and docs/schedules.md).

use kfleet_playbook::Diagnostics;
use kfleet_playbook::files::MemoryFiles;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The name of the settings file; a directory with it is a fleet directory.
pub const SETTINGS: &str = "kfleet.toml";

/// Why there is no usable fleet directory.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// None was named and none found.
    #[error("no fleet directory: {SETTINGS} is neither in {} nor above it", from.display())]
    NotFound {
        /// Where the search began.
        from: PathBuf,
    },
    /// A file could not be read or written.
    #[error("failed to {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The settings are not valid.
    #[error("{}: {message}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
}

/// Why a file of the fleet directory can not be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetFileError {
    /// It can not be read, or has not the form.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// It is no YAML mapping.
    #[error("it is no valid YAML")]
    Yaml(Diagnostics),
}

/// `kfleet.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The fleet's name; it is part of every certificate's identity.
    pub fleet: String,
    /// The operator whose certificate is used, `pki/operators/<name>.pem`.
    #[serde(default = "default_operator")]
    pub operator: String,
    /// Inventory files or directories, relative to the fleet directory.
    #[serde(default = "default_inventory")]
    pub inventory: Vec<PathBuf>,
    /// How many hosts a task runs on at once.
    #[serde(default = "default_forks")]
    pub forks: usize,
    /// The port that agents listen on, unless a host has `kfleet_port`.
    #[serde(default = "default_port")]
    pub agent_port: u16,
    /// How long an agent may take to answer before its host counts as unreachable, in seconds.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout_s: u64,
    /// How long a task may take unless it says otherwise, in seconds.
    #[serde(default = "default_task_timeout")]
    pub task_timeout_s: u64,
}

fn default_operator() -> String {
    "admin".to_owned()
}
fn default_inventory() -> Vec<PathBuf> {
    vec![PathBuf::from("inventory")]
}
/// Agents do the work and hosts cost the controller little, so the default is not Ansible's 5.
fn default_forks() -> usize {
    100
}
fn default_port() -> u16 {
    7443
}
fn default_connect_timeout() -> u64 {
    10
}
/// An hour: longer than any ordinary task, short enough that a hung one does not outlive a maintenance window.
fn default_task_timeout() -> u64 {
    3600
}

/// A fleet directory that was found, with its settings.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Its path.
    pub dir: PathBuf,
    /// Its settings.
    pub settings: Settings,
}

impl Fleet {
    /// Opens the directory that was named, or the nearest one at or above `from`.
    ///
    /// # Errors
    /// When there is none, or its settings are not valid.
    pub fn open(named: Option<&Path>, from: &Path) -> Result<Self, FleetError> {
        let dir = match named {
            Some(dir) if dir.join(SETTINGS).is_file() => dir.to_owned(),
            Some(dir) => return Err(FleetError::NotFound { from: dir.to_owned() }),
            None => from
                .ancestors()
                .find(|dir| dir.join(SETTINGS).is_file())
                .map(Path::to_owned)
                .ok_or_else(|| FleetError::NotFound { from: from.to_owned() })?,
        };
        let path = dir.join(SETTINGS);
        let text = std::fs::read_to_string(&path).map_err(|source| FleetError::Io {
            what: "read",
            path: path.clone(),
            source,
        })?;
        let settings: Settings = toml::from_str(&text)
            .map_err(|error| FleetError::Settings { path, message: error.to_string().trim_end().to_owned() })?;
        Ok(Self { dir, settings })
    }

    /// Where the certificates are.
    #[must_use]
    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The database of runs.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.join("state").join("kfleet.db")
    }

    /// A YAML file of the fleet directory; none when it is not there.
    ///
    /// # Errors
    /// When it is there and can not be read, is no YAML mapping, or has not the form that is expected.
    pub fn yaml<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FleetFileError> {
        let path = self.dir.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(FleetError::Io { what: "read", path, source }.into());
            }
        };
        let files = MemoryFiles::new([(name.to_owned(), text)]);
        let mut diagnostics = Diagnostics::new();
        let found = kfleet_playbook::parse::load_vars_file(&files, name, name, &mut diagnostics);
        let map = match found {
            Some(map) if !diagnostics.has_errors() => map.to_map(),
            Some(_) | None => return Err(FleetFileError::Yaml(diagnostics)),
        };
        let value = serde_json::from_value(kfleet_model::Value::Object(map));
        value.map(Some).map_err(|error| FleetError::Settings { path, message: error.to_string() }.into())
    }

    /// The inventories of the settings, as full paths.
    #[must_use]
    pub fn inventories(&self) -> Vec<PathBuf> {
        self.settings.inventory.iter().map(|path| self.dir.join(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_directory_is_found_from_below_and_unknown_settings_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert!(matches!(Fleet::open(None, &below), Err(FleetError::NotFound { .. })));
        std::fs::write(dir.path().join(SETTINGS), "fleet = \"prod\"\n").unwrap();
        let fleet = Fleet::open(None, &below).unwrap();
        assert_eq!((fleet.settings.fleet.as_str(), fleet.settings.forks), ("prod", 100));
        assert_eq!(fleet.inventories(), [dir.path().join("inventory")]);
        std::fs::write(dir.path().join(SETTINGS), "fleet = \"prod\"\nforkz = 3\n").unwrap();
        let message = Fleet::open(Some(dir.path()), &below).unwrap_err().to_string();
        assert!(message.contains("forkz") && message.contains("line 2"), "{message}");
    }
}
