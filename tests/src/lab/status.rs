//! What a lab is doing now, read from its processes and clusters: for `lab status` and for scenarios.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::state::{Layout, State};
use super::station::Station;
use super::topology::{HostSpec, Hosting, Kind, Role};
use super::{network, services};

/// A host that does not answer within this is shown as such; the status of the others does not wait longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The state of a whole lab.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The lab's name.
    pub name: String,
    /// What it runs.
    pub kind: Kind,
    /// The network the hosts share.
    pub subnet: String,
    /// What the hosts are: `containers` or `processes`.
    pub hosting: &'static str,
    /// Whether the lab's network is there.
    pub network: bool,
    /// Its hosts.
    pub hosts: Vec<HostStatus>,
    /// Pairs that can not reach each other.
    pub partitions: Vec<(String, String)>,
    /// Partitions with fewer copies in sync than they should have; `None` when no broker answers or there is none.
    pub under_replicated: Option<Vec<String>>,
}

/// The state of one host.
#[derive(Clone, Debug, Serialize)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether it is on.
    pub on: bool,
    /// Whether its link was set down.
    pub cut: bool,
    /// What its systemd says: `running`, `degraded`, `starting`.
    pub system: Option<String>,
    /// The unit of its role and the unit's state: `kafka.service`, `active`.
    pub unit: Option<(String, String)>,
    /// What the cluster says about it: `leader`, `registered`, `registered, active controller`.
    pub in_cluster: Option<String>,
}

/// See [`super::Lab::status`].
pub(super) async fn status(layout: &Layout) -> Result<Status> {
    let state = State::load(layout)?.with_context(|| format!("there is no lab {}", layout.name()))?;
    let topology = &state.topology;
    let network = match topology.hosting() {
        Hosting::Containers => network::exists(layout),
        Hosting::Processes => true,
    };
    let clusters = async {
        if !(network && state.services) {
            return (services::ServerModes::new(), None);
        }
        // Without a ZooKeeper host nobody is asked, and without a broker nobody answers.
        tokio::join!(services::ensemble(layout, topology), async { services::metadata(layout, topology).await.ok() })
    };
    let hosts = topology.hosts.iter().map(|spec| host_status(layout, &state, spec));
    let ((modes, metadata), mut hosts) = tokio::join!(clusters, futures::future::join_all(hosts));
    for (host, spec) in hosts.iter_mut().zip(&topology.hosts) {
        host.in_cluster = match spec.role {
            Role::ZooKeeper => modes.get(&spec.name).cloned().flatten(),
            Role::Broker | Role::Combined => metadata.as_ref().and_then(|metadata| place_of(spec, metadata)),
            Role::Bare => None,
        };
    }
    Ok(Status {
        name: layout.name().to_owned(),
        kind: topology.kind,
        subnet: topology.subnet.to_string(),
        hosting: match topology.hosting() {
            Hosting::Containers => "containers",
            Hosting::Processes => "processes",
        },
        network,
        hosts,
        partitions: state.partitions.clone(),
        under_replicated: metadata.map(|metadata| metadata.under_replicated()),
    })
}

fn place_of(spec: &HostSpec, metadata: &services::ClusterMetadata) -> Option<String> {
    metadata.brokers.iter().find(|broker| broker.id == spec.id)?;
    // In KRaft mode brokers name any broker to clients that ask for the controller, so the word would mislead.
    let controls = spec.role == Role::Broker && metadata.controllerid == i64::from(spec.id);
    Some(if controls { "registered, active controller".to_owned() } else { "registered".to_owned() })
}

async fn host_status(layout: &Layout, state: &State, spec: &HostSpec) -> HostStatus {
    let station = Station::of(layout, &state.topology, spec);
    let on = station.is_on();
    let system = match &station {
        Station::Booted(machine) if on => {
            let answer = machine.exec(&["systemctl", "is-system-running"], ANSWER_LIMIT).await.ok();
            answer.and_then(|answer| answer.stdout.lines().next().map(str::to_owned))
        }
        Station::Plain(_) if on => Some("running".to_owned()),
        Station::Booted(_) | Station::Plain(_) => None,
    };
    let unit = match spec.role.unit().filter(|_| state.services && on) {
        Some(unit) => station.unit_state(unit, ANSWER_LIMIT).await.map(|active| (unit.to_owned(), active)),
        None => None,
    };
    let cut = state.cut.contains(&spec.name);
    HostStatus { name: spec.name.clone(), address: spec.address.to_string(), on, cut, system, unit, in_cluster: None }
}
