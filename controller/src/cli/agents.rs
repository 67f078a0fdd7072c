//! The agents of a command's host pattern: what `status`, `time check`, `config` and `inspect` call.

use super::{CliError, launch};
use crate::execute::clock::{Answer, ask};
use crate::execute::{Agent, DiskFiles, FleetHosts, LinkError, Reach, call};
use crate::fleet::Fleet;
use kfleet_model::HostName;
use kfleet_playbook::Diagnostics;
use std::time::Duration;

/// The hosts that are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Which<'a> {
    pub(super) pattern: &'a str,
    /// Inventories; the fleet's when there are none.
    pub(super) inventories: &'a [String],
    pub(super) limit: Option<&'a str>,
}

impl<'a> Which<'a> {
    /// The hosts of a pattern in the fleet's own inventory.
    pub(super) fn of(pattern: &'a str) -> Self {
        Self { pattern, inventories: &[], limit: None }
    }
}

/// The agents of a pattern's hosts, in the order of their names. None is called yet.
pub(super) fn agents(fleet: &Fleet, which: Which<'_>) -> Result<Vec<Agent>, CliError> {
    let mut diagnostics = Diagnostics::new();
    let own = || fleet.inventories().into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let paths: Vec<String> = if which.inventories.is_empty() { own() } else { which.inventories.to_vec() };
    let fleet_hosts = FleetHosts::load(&DiskFiles::new("."), &paths, &[], which.limit, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(CliError::Diagnostics(diagnostics));
    }
    let reach = Reach {
        dial: launch::dial(fleet)?,
        timeout: Duration::from_secs(fleet.settings.connect_timeout_s.max(1)),
        port: fleet.settings.agent_port,
    };
    crate::execute::agents(&fleet_hosts, which.pattern, &reach).map_err(CliError::Diagnostics)
}

/// A host and what became of asking its agent.
pub(super) struct Asked {
    pub(super) host: HostName,
    pub(super) address: String,
    pub(super) answer: Result<Answer, LinkError>,
}

/// Asks every host of the pattern how its agent is and what its clock says.
pub(super) async fn ask_all(fleet: &Fleet, pattern: &str) -> Result<Vec<Asked>, CliError> {
    let agents = agents(fleet, Which::of(pattern))?;
    let answers = call(&agents, |agent| ask(&agent.link)).await;
    let asked =
        |(agent, answer): (&Agent, _)| Asked { host: agent.host.clone(), address: agent.address.clone(), answer };
    Ok(answers.into_iter().map(asked).collect())
}
