//! Asks the agents of a pattern's hosts, all at once, without a run: what `status`, `time check` and `config` show.

use super::{CliError, launch};
use crate::execute::clock::{Answer, ask};
use crate::execute::{DiskFiles, FleetHosts, Link, LinkError, TlsDial, agent_address};
use crate::fleet::Fleet;
use futures::StreamExt as _;
use kfleet_model::HostName;
use kfleet_playbook::plan::Template;
use kfleet_playbook::template::{Var, Vars as _};
use kfleet_playbook::vars::Layers;
use kfleet_playbook::{Diagnostics, Span};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How many agents are asked at a time.
const AT_ONCE: usize = 100;

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

/// A host and the way to its agent.
pub(super) struct Agent {
    pub(super) host: HostName,
    pub(super) address: String,
    pub(super) link: Link,
    layers: Layers,
}

impl Agent {
    /// A variable of the inventory as text. Templates in it are not rendered: there is no run.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        text(&self.layers, name)
    }
}

fn text(layers: &Layers, name: &str) -> Option<String> {
    match layers.get(name) {
        Some(Var::Value { value, .. }) => kfleet_model::module::text(&value),
        Some(Var::Scope(_)) | None => None,
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
    let pattern = Template { text: which.pattern.to_owned(), span: Span::nowhere("PATTERN", which.pattern) };
    let (mut hosts, wrong) = fleet_hosts.select(&[pattern]);
    if wrong.has_errors() {
        return Err(CliError::Diagnostics(wrong));
    }
    hosts.sort();
    let dial = launch::dial(fleet)?;
    let timeout = Duration::from_secs(fleet.settings.connect_timeout_s.max(1));
    let agent = |host: HostName| {
        let layers = fleet_hosts.layers(&host, ".");
        let port = text(&layers, "kfleet_port").and_then(|text| text.parse().ok());
        let named = text(&layers, "ansible_host").or_else(|| text(&layers, "ansible_ssh_host"));
        let address = agent_address(&host, named.as_deref(), port.unwrap_or(fleet.settings.agent_port));
        let link = Link::new(host.clone(), address.clone(), timeout, Arc::<TlsDial>::clone(&dial));
        Agent { host, address, link, layers }
    };
    Ok(hosts.into_iter().map(agent).collect())
}

/// Calls all of them at once; the answers come in the order of the hosts' names.
pub(super) async fn call<'a, T, F>(
    agents: &'a [Agent],
    one: impl Fn(&'a Agent) -> F,
) -> Vec<(&'a Agent, Result<T, LinkError>)>
where
    F: Future<Output = Result<T, LinkError>>,
{
    let asked = agents.iter().map(|agent| {
        let answer = one(agent);
        async move { (agent, answer.await) }
    });
    let mut answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    answers.sort_by(|(a, _), (b, _)| a.host.cmp(&b.host));
    answers
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
