//! One host, whatever it is made of: a booted container or plain processes.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::files::HostFile;
use super::machine::Machine;
use super::plain::Plain;
use super::rooted::LOGS;
use super::state::Layout;
use super::tool::Finished;
use super::topology::{HostSpec, Hosting, Topology};

/// How long starting a unit may take; formatting a KRaft folder starts a JVM first.
pub(super) const UNIT_LIMIT: Duration = Duration::from_secs(120);

/// A host of either kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Station<'a> {
    Booted(Machine<'a>),
    Plain(Plain<'a>),
}

impl<'a> Station<'a> {
    pub(super) fn of(layout: &'a Layout, topology: &Topology, spec: &'a HostSpec) -> Self {
        match topology.hosting() {
            Hosting::Containers => Self::Booted(Machine { layout, spec }),
            Hosting::Processes => Self::Plain(Plain { layout, spec }),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        match self {
            Self::Booted(machine) => machine.leader().is_some(),
            Self::Plain(plain) => plain.supervisor().is_some(),
        }
    }

    /// Whether there is a process of it at all, be it only one that is about to boot.
    pub(super) fn is_begun(&self) -> bool {
        match self {
            Self::Booted(machine) => machine.supervisor().is_some(),
            Self::Plain(plain) => plain.supervisor().is_some(),
        }
    }

    /// Writes the files that are missing, and says how many were.
    pub(super) fn provision(&self, files: &[HostFile]) -> Result<usize> {
        match self {
            Self::Booted(machine) => machine.provision(files),
            Self::Plain(plain) => plain.provision(files),
        }
    }

    /// Ends every process of the host at once. A host that is off already is fine.
    pub(super) async fn power_cut(&self, lab_cgroups: &[PathBuf]) -> Result<()> {
        match self {
            Self::Booted(machine) => machine.power_cut(lab_cgroups).await,
            Self::Plain(plain) => plain.power_cut().await,
        }
    }

    /// Runs a command on the host and waits for its end, whatever that is.
    pub(super) async fn exec<S: AsRef<OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        match self {
            Self::Booted(machine) => machine.exec(command, limit).await,
            Self::Plain(plain) => plain.exec(command, limit).await,
        }
    }

    /// As [`Station::exec`], and fails when the command does.
    pub(super) async fn run<S: AsRef<OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        match self {
            Self::Booted(machine) => machine.run(command, limit).await,
            Self::Plain(plain) => plain.run(command, limit).await,
        }
    }

    /// What to put before a command so that it runs on the host.
    pub(super) fn enter(&self) -> Result<Vec<String>> {
        match self {
            Self::Booted(machine) => machine.enter(),
            Self::Plain(plain) => plain.enter(),
        }
    }

    /// A path of the running host, as this machine sees it.
    pub(super) fn outer_path(&self, path: &str) -> Result<PathBuf> {
        match self {
            Self::Booted(machine) => machine.outer_path(path),
            Self::Plain(plain) => Ok(plain.path(path)),
        }
    }

    /// A file on the host's disk, whether the host is on or off.
    pub(super) fn disk_path(&self, path: &str) -> PathBuf {
        match self {
            Self::Booted(machine) => machine.disk_path(path),
            Self::Plain(plain) => plain.path(path),
        }
    }

    /// What its service manager says of a unit: `active`, `running`, `failed`, ...
    pub(super) async fn unit_state(&self, unit: &str, limit: Duration) -> Option<String> {
        match self {
            Self::Booted(machine) => {
                let answer = machine.exec(&["systemctl", "is-active", unit], limit).await.ok()?.stdout;
                answer.lines().next().map(str::to_owned)
            }
            Self::Plain(plain) => plain.program_state(unit.trim_end_matches(".service")).await,
        }
    }

    pub(super) async fn is_active(&self, unit: &str) -> bool {
        matches!(self.unit_state(unit, UNIT_LIMIT).await.as_deref(), Some("active" | "running"))
    }

    /// Has the service manager `start` or `stop` a unit.
    pub(super) async fn act(&self, act: &str, unit: &str) -> Result<()> {
        match self {
            Self::Booted(machine) => machine.run(&["systemctl", act, unit], UNIT_LIMIT).await?,
            Self::Plain(plain) => plain.supervisorctl(&[act, unit.trim_end_matches(".service")]).await?,
        };
        Ok(())
    }

    /// Sends a signal, named without its `SIG`, to a unit's main process.
    pub(super) async fn signal_unit(&self, signal: &str, unit: &str) -> Result<()> {
        match self {
            Self::Booted(machine) => {
                let signal = format!("--signal={signal}");
                machine.run(&["systemctl", "kill", "--kill-who=main", &signal, unit], UNIT_LIMIT).await?
            }
            Self::Plain(plain) => plain.supervisorctl(&["signal", signal, unit.trim_end_matches(".service")]).await?,
        };
        Ok(())
    }

    /// How often the service manager says that it stopped a unit since the host was made.
    pub(super) async fn stops(&self, unit: &str) -> Result<usize> {
        match self {
            Self::Booted(machine) => {
                let query = ["journalctl", "--unit", unit, "--output", "cat", "--no-pager"];
                let said = machine.exec(&query, UNIT_LIMIT).await?.stdout;
                Ok(said.lines().filter(|line| line.starts_with("Stopped ")).count())
            }
            Self::Plain(plain) => {
                let log = plain.path(LOGS).join("supervisord.log");
                let said = fs::read_to_string(&log).with_context(|| format!("failed to read {}", log.display()))?;
                // `2026-11-27 12:00:00,123 WARN stopped: kafka (exit status 143)`
                let stopped = format!(" stopped: {} (", unit.trim_end_matches(".service"));
                Ok(said.lines().filter(|line| line.contains(&stopped)).count())
            }
        }
    }

    /// Has the service manager read what was written for it.
    pub(super) async fn reload_units(&self) -> Result<()> {
        match self {
            Self::Booted(machine) => machine.run(&["systemctl", "daemon-reload"], UNIT_LIMIT).await?,
            Self::Plain(plain) => plain.supervisorctl(&["update"]).await?,
        };
        Ok(())
    }
}
