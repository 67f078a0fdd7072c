//! What a task can ask of the clock.

use crate::modules::ModuleError;
use crate::modules::shared::params::yes;
use kfleet_model::Value;
use kfleet_model::module::{ParamDoc, ParamKind, param, text};
use kfleet_time::{Config, Limits, StepPolicy};
use serde::Deserialize;
use std::time::Duration;

/// The parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::modules) struct Params {
    #[serde(default)]
    pub(super) state: State,
    #[serde(default)]
    servers: Vec<Value>,
    #[serde(default)]
    pools: Vec<Value>,
    #[serde(default)]
    allow: Vec<Value>,
    pub(super) local_stratum: Option<u8>,
    max_distance_s: Option<u32>,
    #[serde(default)]
    directives: Vec<Value>,
    #[serde(default)]
    pub(super) step: Step,
    #[serde(default)]
    pub(super) allow_running: bool,
    #[serde(default)]
    pub(super) replace: bool,
    #[serde(default = "yes")]
    pub(super) install: bool,
    #[serde(default = "package")]
    pub(super) package: String,
    pub(super) service: Option<String>,
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) backup: bool,
    #[serde(default = "max_offset_ms")]
    max_offset_ms: f64,
    #[serde(default = "wait")]
    wait: u64,
}

fn package() -> String {
    "chrony".to_owned()
}

fn max_offset_ms() -> f64 {
    Limits::default().offset_warn_s * 1000.0
}

/// A burst of chrony takes 8 s, and a clock that is half a second off is slewed right within the rest.
fn wait() -> u64 {
    60
}

/// What is wanted of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// chrony, as the task says.
    #[default]
    Configured,
    /// A clock that is well kept, by whichever daemon.
    Verified,
}

/// When the clock may be set in place of being slewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Never,
    #[default]
    AtStart,
    Now,
}

/// A list of texts; a number or a boolean in it is one too.
fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(|value| text(value).unwrap_or_else(|| value.to_string())).collect()
}

impl Params {
    /// # Errors
    /// When the parameters contradict each other.
    pub(super) fn check(&self) -> Result<(), ModuleError> {
        if !self.max_offset_ms.is_finite() || self.max_offset_ms <= 0.0 {
            return Err(ModuleError::Invalid(format!(
                "max_offset_ms is {}; it must be more than 0",
                self.max_offset_ms
            )));
        }
        match self.state {
            State::Configured => self.config().map(drop),
            State::Verified => Ok(()),
        }
    }

    /// What chrony shall do.
    ///
    /// # Errors
    /// When a value does not fit into its configuration.
    pub(super) fn config(&self) -> Result<Config, ModuleError> {
        let config = Config {
            servers: texts(&self.servers),
            pools: texts(&self.pools),
            step: match self.step {
                Step::Never => StepPolicy::Never,
                Step::AtStart | Step::Now => StepPolicy::AtStart,
            },
            allow: texts(&self.allow),
            local_stratum: self.local_stratum,
            max_distance_s: self.max_distance_s,
            directives: texts(&self.directives),
        };
        config.check().map_err(|error| ModuleError::Invalid(error.to_string()))?;
        Ok(config)
    }

    /// From what on the clock is told to be off.
    pub(super) fn limits(&self) -> Limits {
        let limits = Limits::default();
        let allowed_s = self.max_offset_ms / 1000.0;
        Limits { offset_warn_s: allowed_s, offset_critical_s: limits.offset_critical_s.max(allowed_s), ..limits }
    }

    /// How long the clock is waited for.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

/// Their documents.
pub(super) fn docs() -> Vec<ParamDoc> {
    vec![
        param(
            "state",
            ParamKind::Str,
            "Configured keeps chrony as the task says. Verified changes nothing and reads whichever daemon runs: chrony, \
             ntpd, ntpsec or timesyncd. Either fails when the clock follows no source or is too far off.",
        )
        .choices(&["configured", "verified"])
        .default("configured"),
        param("servers", ParamKind::List, "Time servers, by name or address. With three one that lies is found out."),
        param("pools", ParamKind::List, "Names that stand for several time servers."),
        param("allow", ParamKind::List, "Networks that this host serves, as 10.1.0.0/16, or all."),
        param(
            "local_stratum",
            ParamKind::Int,
            "Serve the host's own time, as from this distance of a reference clock, where it has no source: for a \
             network without a way out.",
        ),
        param("max_distance_s", ParamKind::Int, "The largest root distance that a source may have; chrony's own is 3."),
        param("directives", ParamKind::List, "Further lines of chrony.conf."),
        param(
            "step",
            ParamKind::Str,
            "When the clock may be set at once. At_start: by chronyd, when it is more than a second off in the first \
             three updates after a start. Now: that, and by this task when it is more than max_offset_ms off. Never: it \
             is only slewed. On a host where a Kafka or ZooKeeper node runs nothing is done that would set the clock.",
        )
        .choices(&["never", "at_start", "now"])
        .default("at_start"),
        param("allow_running", ParamKind::Bool, "Set the clock even while a Kafka or ZooKeeper node runs on the host.")
            .default("false"),
        param("replace", ParamKind::Bool, "Stop and disable another time daemon that runs; else it fails the task.")
            .default("false"),
        param("install", ParamKind::Bool, "Install the package where chrony is missing (Debian and its kin).")
            .default("true"),
        param("package", ParamKind::Str, "The package.").default("chrony"),
        param("service", ParamKind::Str, "The unit; chrony or chronyd, whichever is there."),
        param(
            "path",
            ParamKind::Path,
            "The configuration, kept as a whole; /etc/chrony/chrony.conf where /etc/chrony is, else /etc/chrony.conf.",
        ),
        param("backup", ParamKind::Bool, "Keep a copy of the old file beside it, with the time in its name.")
            .default("false"),
        param("max_offset_ms", ParamKind::Float, "How far the clock may be off, in milliseconds.").default("50"),
        param("wait", ParamKind::Int, "Seconds to wait until the clock follows a source and is near enough to it.")
            .default("60"),
    ]
}
