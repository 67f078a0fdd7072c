//! Units of systemd, or programs of supervisord: running or not, enabled or not, masked or not.
//!
//! `service` and `systemd` are one implementation: which of the two keeps a host's services is a matter of its agent's
//! configuration and not of playbooks. Either is asked over its own protocol, so a start or stop is waited for until it
//! ends, with a progress line each second.
//! Not here: unit files themselves (`template`, `copy`), the order of a rolling restart (the controller's).

use super::{Applied, Module, ModuleError, UnitStop};
use crate::host::{FileKind, Host, HostView, Unit, UnitAction};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, nearest, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::path::Path;

/// Where unit files lie whose age is compared with systemd's last reading.
const UNIT_FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// Unit file states that need no enabling.
const ENABLED: [&str; 6] = ["enabled", "enabled-runtime", "static", "indirect", "alias", "generated"];

/// The modules that are made of this.
pub(super) struct Service {
    name: &'static str,
}

impl Service {
    /// `service`: the usual name.
    pub(super) const SERVICE: Self = Self { name: "service" };
    /// `systemd`: the same.
    pub(super) const SYSTEMD: Self = Self { name: "systemd" };
    /// `systemd_service`: its newer name.
    pub(super) const SYSTEMD_SERVICE: Self = Self { name: "systemd_service" };
}

/// Their parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: Option<String>,
    state: Option<State>,
    enabled: Option<bool>,
    masked: Option<bool>,
    #[serde(default)]
    daemon_reload: bool,
    #[serde(default)]
    sleep: u64,
    #[serde(default)]
    allow_outage: bool,
    #[serde(default, rename = "scope")]
    _scope: Option<String>,
    #[serde(default, rename = "use")]
    _use: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Started,
    Stopped,
    Restarted,
    Reloaded,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
            Self::Reloaded => "reloaded",
        }
    }
}

/// What was found.
pub(super) struct Seen {
    unit: Option<Unit>,
    /// A unit file is newer than systemd's last reading of them.
    stale: bool,
    /// A unit with nearly the same name, when the one that is meant is not there.
    nearest: Option<String>,
}

impl Seen {
    fn missing(&self, unit: &Unit) -> ModuleError {
        let hint = self.nearest.as_ref().map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
        ModuleError::Invalid(format!("could not find the unit {} on this host{hint}", unit.name))
    }
}

fn is_missing(unit: &Unit) -> bool {
    unit.load_state == "not-found"
}

fn runs(unit: &Unit) -> bool {
    matches!(unit.active_state.as_str(), "active" | "activating" | "reloading" | "refreshing")
}

fn is_masked(unit: &Unit) -> bool {
    unit.load_state == "masked" || unit.file_state == "masked"
}

impl Module for Service {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        let mut params = vec![
            param("name", ParamKind::Str, "The unit; a name without a suffix means a service.")
                .aliases(&["service", "unit"]),
            param(
                "state",
                ParamKind::Str,
                "Started and stopped are states. Restarted always restarts; reloaded always reloads, and starts what \
                 does not run.",
            )
            .choices(&["reloaded", "restarted", "started", "stopped"]),
            param("enabled", ParamKind::Bool, "Whether it starts at boot."),
            param("masked", ParamKind::Bool, "Whether it can be started at all."),
            param(
                "daemon_reload",
                ParamKind::Bool,
                "Have systemd read its unit files again first, when one is newer than what it has read.",
            )
            .aliases(&["daemon-reload"])
            .default("false"),
            param(
                "allow_outage",
                ParamKind::Bool,
                "Stop or restart the host's Kafka or ZooKeeper node even while another node of its cluster is down, or \
                 together with all others. Without it the agent waits for the cluster to be whole, and then refuses.",
            )
            .default("false"),
        ];
        if self.name == "service" {
            params.push(param("sleep", ParamKind::Int, "Seconds between stop and start of a restart.").default("0"));
            params.push(param("use", ParamKind::Str, "The service manager.").choices(&["auto", "systemd"]));
        } else {
            params.push(
                param("scope", ParamKind::Str, "Only units of the system, not of a user.")
                    .choices(&["system"])
                    .default("system"),
            );
        }
        ModuleDoc {
            name: self.name.into(),
            summary: "Starts, stops, restarts, reloads, enables and masks units of systemd, or programs of supervisord"
                .into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("name", "the unit's full name"),
                returns("state", "started or stopped"),
                returns("enabled", "whether it starts at boot"),
                returns(
                    "status",
                    "systemd's own words, or what supervisord says put into them: ActiveState, SubState, LoadState, UnitFileState, MainPID, Result, \
                     ExecMainStartTimestampMonotonic and TimeoutStopUSec (microseconds), NeedDaemonReload",
                ),
            ],
            examples: include_str!("examples/service.yaml").replace("MODULE", self.name),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        if params.name.is_none() {
            if params.state.is_some() || params.enabled.is_some() || params.masked.is_some() {
                return Err(ModuleError::Invalid("name is needed".to_owned()));
            }
            if !params.daemon_reload {
                return Err(ModuleError::Invalid("one of state, enabled, masked and daemon_reload is needed".into()));
            }
        }
        let unit = params.name.as_deref().map(|name| host.unit(name)).transpose()?;
        let mut near = None;
        if let Some(unit) = unit.as_ref().filter(|unit| is_missing(unit)) {
            near = nearest(&unit.name, host.unit_names()?.iter().map(String::as_str));
        }
        let stale =
            params.daemon_reload && (unit.as_ref().is_some_and(|unit| unit.needs_reload) || newer_unit_file(host)?);
        Ok(Seen { unit, stale, nearest: near })
    }

    fn diff(&self, params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        if state.stale {
            changes.push(Change::new("systemd", "daemon_reload", "older than the unit files", "read again"));
        }
        let Some(unit) = &state.unit else { return Ok(changes) };
        let mut push = |property: &str, from: Value, to: Value| {
            changes.push(Change::new(&unit.name, property, from, to));
        };
        if let Some(masked) = params.masked
            && masked != is_masked(unit)
        {
            push("masked", (!masked).into(), masked.into());
        }
        if let Some(enabled) = params.enabled {
            let file_state = unit.file_state.as_str();
            let right = if enabled {
                ENABLED.contains(&file_state)
            } else {
                !matches!(file_state, "enabled" | "enabled-runtime")
            };
            if !right {
                push("enabled", (!enabled).into(), enabled.into());
            }
        }
        let wrong = match params.state {
            None => None,
            Some(State::Started) if runs(unit) => None,
            // A missing unit may come with an earlier task, so a check run goes on; stopping it needs no unit file.
            Some(State::Stopped) if is_missing(unit) => return Err(state.missing(unit)),
            Some(State::Stopped) if !runs(unit) && unit.active_state != "deactivating" => None,
            Some(state) => Some(state.word()),
        };
        if let Some(wanted) = wrong {
            let now = if is_missing(unit) { "not found" } else { unit.active_state.as_str() };
            push("state", now.into(), wanted.into());
        }
        Ok(changes)
    }

    /// What does not run, or is on its way down already, is not stopped.
    fn stops(&self, params: &Params, state: &Seen, changes: &[Change]) -> Option<UnitStop> {
        let unit = state.unit.as_ref().filter(|unit| runs(unit))?;
        let down = matches!(params.state, Some(State::Stopped | State::Restarted));
        let stops = down && changes.iter().any(|change| change.property == "state");
        stops.then(|| UnitStop { unit: unit.clone(), allow_outage: params.allow_outage })
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Seen,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        if state.stale {
            host.daemon_reload()?;
        }
        let Some(name) = &params.name else { return Ok(Applied::new()) };
        let wants = |property: &str| changes.iter().any(|change| change.property == property);
        // Reading the unit files again may have brought the unit, or changed what it is.
        let unit = host.unit(name)?;
        if is_missing(&unit) && params.masked != Some(true) {
            return Err(state.missing(&unit));
        }
        if wants("masked") {
            let mask = params.masked == Some(true);
            host.unit_action(name, if mask { UnitAction::Mask } else { UnitAction::Unmask })?;
        }
        if wants("enabled") {
            let enable = params.enabled == Some(true);
            host.unit_action(name, if enable { UnitAction::Enable } else { UnitAction::Disable })?;
        }
        match params.state.filter(|_| wants("state")) {
            None => {}
            Some(State::Started) => host.unit_action(name, UnitAction::Start)?,
            Some(State::Stopped) => host.unit_action(name, UnitAction::Stop)?,
            Some(State::Reloaded) if !runs(&unit) => host.unit_action(name, UnitAction::Start)?,
            Some(State::Reloaded) => host.unit_action(name, UnitAction::Reload)?,
            Some(State::Restarted) if params.sleep > 0 => {
                host.unit_action(name, UnitAction::Stop)?;
                host.pause(std::time::Duration::from_secs(params.sleep), "the pause between stop and start")?;
                host.unit_action(name, UnitAction::Start)?;
            }
            Some(State::Restarted) => host.unit_action(name, UnitAction::Restart)?,
        }
        let mut applied = Applied::new();
        describe(&host.unit(name)?, &mut applied);
        Ok(applied)
    }

    fn found(&self, _params: &Params, state: &Seen) -> Map {
        let mut data = Map::new();
        if let Some(unit) = &state.unit {
            describe(unit, &mut data);
        }
        data
    }

    /// A restart or reload is an act and not a state.
    fn proves(&self, params: &Params) -> bool {
        !matches!(params.state, Some(State::Restarted | State::Reloaded))
    }
}

fn describe(unit: &Unit, data: &mut Map) {
    data.insert("name".into(), unit.name.as_str().into());
    data.insert("state".into(), if runs(unit) { "started" } else { "stopped" }.into());
    data.insert("enabled".into(), ENABLED.contains(&unit.file_state.as_str()).into());
    let status = [
        ("Id", unit.name.clone()),
        ("LoadState", unit.load_state.clone()),
        ("ActiveState", unit.active_state.clone()),
        ("SubState", unit.sub_state.clone()),
        ("UnitFileState", unit.file_state.clone()),
        ("MainPID", unit.main_pid.to_string()),
        ("ExecMainStartTimestampMonotonic", unit.started_us.to_string()),
        ("Result", unit.result.clone()),
        ("TimeoutStopUSec", unit.timeout_stop_us.to_string()),
        ("NeedDaemonReload", if unit.needs_reload { "yes" } else { "no" }.to_owned()),
    ];
    let status: Map = status.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    data.insert("status".into(), Value::Object(status));
}

/// Whether a unit file, or a folder of them, changed after systemd last read them.
fn newer_unit_file(host: &dyn HostView) -> Result<bool, ModuleError> {
    let loaded_ns = i128::from(host.units_loaded_us()?) * 1000;
    for folder in UNIT_FOLDERS {
        if newer_below(host, Path::new(folder), loaded_ns, true)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn newer_below(host: &dyn HostView, folder: &Path, loaded_ns: i128, deeper: bool) -> Result<bool, ModuleError> {
    let Some(stat) = host.stat(folder, true)? else { return Ok(false) };
    if stat.mtime_ns > loaded_ns {
        return Ok(true);
    }
    for name in host.list(folder)?.unwrap_or_default() {
        let path = folder.join(name);
        let Some(stat) = host.stat(&path, false)? else { continue };
        // A rename keeps the file's own time of writing, so the inode's time decides.
        if stat.ctime_ns > loaded_ns {
            return Ok(true);
        }
        if deeper && stat.kind == FileKind::Directory && newer_below(host, &path, loaded_ns, false)? {
            return Ok(true);
        }
    }
    Ok(false)
}
