//! Asks the agents of a pattern's hosts, all at once, without a run: what `status` and `time check` show.

use super::{CliError, launch};
use crate::execute::clock::{Answer, ask};
use crate::execute::{DiskFiles, FleetHosts, Link, LinkError, TlsDial, agent_address};
use crate::fleet::Fleet;
use futures::StreamExt as _;
use kfleet_model::HostName;
use kfleet_playbook::plan::Template;
use kfleet_playbook::template::{Var, Vars as _};
use kfleet_playbook::{Diagnostics, Span};
use std::sync::Arc;
use std::time::Duration;

/// How many agents are asked at a time.
const AT_ONCE: usize = 100;

/// A host and what became of asking its agent.
pub(super) struct Asked {
    pub(super) host: HostName,
    pub(super) address: String,
    pub(super) answer: Result<Answer, LinkError>,
}

/// Asks every host of the pattern; in the order of their names.
pub(super) async fn ask_all(fleet: &Fleet, pattern: &str) -> Result<Vec<Asked>, CliError> {
    let mut diagnostics = Diagnostics::new();
    let paths: Vec<String> = fleet.inventories().into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let fleet_hosts = FleetHosts::load(&DiskFiles::new("."), &paths, &[], None, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(CliError::Diagnostics(diagnostics));
    }
    let pattern = Template { text: pattern.to_owned(), span: Span::nowhere("PATTERN", pattern) };
    let (hosts, wrong) = fleet_hosts.select(&[pattern]);
    if wrong.has_errors() {
        return Err(CliError::Diagnostics(wrong));
    }
    let dial = launch::dial(fleet)?;
    let timeout = Duration::from_secs(fleet.settings.connect_timeout_s.max(1));
    let asked = hosts.iter().map(|host| {
        let address = address(&fleet_hosts, host, fleet.settings.agent_port);
        let link = Link::new(host.clone(), address.clone(), timeout, Arc::<TlsDial>::clone(&dial));
        let host = host.clone();
        async move { Asked { host, address, answer: ask(&link).await } }
    });
    let mut asked: Vec<Asked> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    asked.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(asked)
}

/// The address that a run would call. Templates in it are not rendered here: there is no run.
fn address(fleet: &FleetHosts, host: &HostName, port: u16) -> String {
    let layers = fleet.layers(host, ".");
    let var = |name: &str| match layers.get(name) {
        Some(Var::Value { value, .. }) => kfleet_model::module::text(&value),
        Some(Var::Scope(_)) | None => None,
    };
    let port = var("kfleet_port").and_then(|text| text.parse().ok()).unwrap_or(port);
    agent_address(host, var("ansible_host").or_else(|| var("ansible_ssh_host")).as_deref(), port)
}
