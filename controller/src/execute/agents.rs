//! The agents of a pattern's hosts, called all at once and without a run.

use super::{FleetHosts, Link, LinkError, TlsDial, agent_address};
use futures::StreamExt as _;
use kfleet_model::{HostName, Value};
use kfleet_playbook::plan::Template;
use kfleet_playbook::template::{Var, Vars as _};
use kfleet_playbook::vars::Layers;
use kfleet_playbook::{Diagnostics, Span};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How many agents are asked at a time.
const AT_ONCE: usize = 100;

/// A host and the way to its agent.
pub struct Agent {
    /// The host.
    pub host: HostName,
    /// Where its agent listens.
    pub address: String,
    /// The way there.
    pub link: Link,
    /// Its groups, without `all` and `ungrouped`.
    pub groups: Vec<String>,
    layers: Layers,
}

impl Agent {
    /// A variable of the inventory as text. Templates in it are not rendered: there is no run.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<String> {
        text(&self.layers, name)
    }

    /// The same as it is.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value> {
        value(&self.layers, name)
    }
}

fn value(layers: &Layers, name: &str) -> Option<Value> {
    match layers.get(name) {
        Some(Var::Value { value, .. }) => Some(value.as_ref().clone()),
        Some(Var::Scope(_)) | None => None,
    }
}

fn text(layers: &Layers, name: &str) -> Option<String> {
    value(layers, name).as_ref().and_then(kfleet_model::module::text)
}

/// How agents are reached.
#[derive(Clone)]
pub struct Reach {
    /// The operator's certificate.
    pub dial: Arc<TlsDial>,
    /// How long a connection may take.
    pub timeout: Duration,
    /// The port of agents whose host names none.
    pub port: u16,
}

/// The agents of a pattern's hosts, in the order of their names. None is called yet.
///
/// # Errors
/// When the pattern is not valid or names a host or group that is not there.
pub fn agents(fleet: &FleetHosts, pattern: &str, reach: &Reach) -> Result<Vec<Agent>, Diagnostics> {
    let template = Template { text: pattern.to_owned(), span: Span::nowhere("PATTERN", pattern) };
    let (mut hosts, wrong) = fleet.select(&[template]);
    if wrong.has_errors() {
        return Err(wrong);
    }
    hosts.sort();
    let agent = |host: HostName| {
        let layers = fleet.layers(&host, ".");
        let port = text(&layers, "kfleet_port").and_then(|text| text.parse().ok());
        let named = text(&layers, "ansible_host").or_else(|| text(&layers, "ansible_ssh_host"));
        let address = agent_address(&host, named.as_deref(), port.unwrap_or(reach.port));
        let link = Link::new(host.clone(), address.clone(), reach.timeout, Arc::<TlsDial>::clone(&reach.dial));
        let groups = fleet.inventory.group_names(host.as_str());
        let groups = groups.into_iter().filter(|name| name != "all" && name != "ungrouped").collect();
        Agent { host, address, link, groups, layers }
    };
    Ok(hosts.into_iter().map(agent).collect())
}

/// Calls all of them at once; the answers come in the order of the hosts' names.
pub async fn call<'a, T, F>(agents: &'a [Agent], one: impl Fn(&'a Agent) -> F) -> Vec<(&'a Agent, Result<T, LinkError>)>
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
