//! Reads the whole fleet: every host by its agent, every cluster by all its members and one that is chosen for it.
//!
//! All hosts are read at the same time. What does not answer until the deadline is missing, and said to be; nothing
//! is waited for beyond it.

use super::targets::{NodeTarget, Target, clusters};
use crate::execute::Agent;
use crate::execute::clock::ask;
use jiff::Timestamp;
use kfleet_inspect::{
    Answer, ClusterKind, ClusterReadings, Confidence, Datum, FleetReadings, HostReadings, MissingHost, Outcome,
    Reading, View,
};
use kfleet_model::clock::{IN_STEP_MS, Offset, Step, judge};
use kfleet_model::snapshot::{ClusterSnapshot, KafkaMode};
use kfleet_model::{BrokerId, ClusterName, FleetName, HostName, Map, NodeReading};
use kfleet_proto::convert::ObserveKind;
use kfleet_rolling::Role as NodeRole;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long one member may take for its view; as in a roll.
const LOOK: Duration = Duration::from_secs(10);

/// How far the two rounds of views are apart: what passes by itself within it (an election, a replica that catches up) is
/// seen once and not twice.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(5);

/// What an inspection may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long hosts sample what moves.
    pub sample: Duration,
    /// When the inspection ends, whatever is missing then.
    pub deadline: Duration,
}

/// What is asked for beside the hosts.
#[derive(Debug, Clone)]
pub struct Request {
    /// The fleet.
    pub fleet: FleetName,
    /// Its id: an agent that is asked again with the same one reads its logs from the same place on.
    pub id: String,
    /// When the last inspection was, for what is counted since then.
    pub since: Option<Timestamp>,
    /// Its limits.
    pub limits: Limits,
}

/// What a cluster's chosen member gives.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct ClusterPart {
    cost: kfleet_inspect::Cost,
    readings: Vec<Reading>,
}

/// What came from one host.
struct FromHost {
    readings: Result<HostReadings, String>,
    clock: Result<Offset, String>,
}

/// A member as it was seen in the last round, for the rules of a roll.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its host.
    pub host: HostName,
    /// What the inventory calls it.
    pub role: NodeRole,
    /// Its id, as far as anybody tells.
    pub id: Option<BrokerId>,
    /// When it was asked, since the inspection began.
    pub began: Duration,
    /// Its view of the cluster.
    pub view: Option<ClusterSnapshot>,
    /// Its host's view of it.
    pub node: Option<NodeReading>,
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// What is judged.
    pub readings: FleetReadings,
    /// The members of each cluster.
    pub looks: BTreeMap<ClusterName, Vec<Look>>,
    /// The time of the last look, since the inspection began.
    pub looked: Duration,
}

/// Reads everything. `progress` hears of each host that has answered.
pub async fn gather(
    agents: &[Agent],
    targets: &[Target],
    request: &Request,
    progress: &(dyn Fn(&HostName, bool) + Sync),
) -> Gathered {
    let began = Instant::now();
    let until = began + request.limits.deadline;
    let by_host: BTreeMap<&HostName, &Agent> = agents.iter().map(|agent| (&agent.host, agent)).collect();
    let hosts = async {
        let read = targets.iter().filter_map(|target| Some((target, *by_host.get(&target.host)?)));
        let read = read.map(|(target, agent)| async move {
            let found = host(agent, target, request, until).await;
            progress(&target.host, found.readings.is_ok());
            (target.host.clone(), found)
        });
        futures::future::join_all(read).await
    };
    let named = clusters(targets);
    let clusters = async {
        let read = named.keys().map(|name| {
            let members: Vec<(&Agent, &NodeTarget)> = targets
                .iter()
                .filter_map(|target| Some((*by_host.get(&target.host)?, target.node.as_ref()?)))
                .filter(|(_, node)| node.cluster == *name)
                .collect();
            cluster(name, members, request, began)
        });
        futures::future::join_all(read).await
    };
    let (hosts, clusters) = tokio::join!(hosts, clusters);
    let looked = began.elapsed();
    let mut looks = BTreeMap::new();
    let mut of_clusters = Vec::new();
    for (mut read, members) in clusters {
        if let Some(target) = named.get(&read.cluster) {
            read.kind = kind(&read, target.kind);
        }
        read.members = members.iter().filter_map(|look| Some((look.id?, look.host.clone()))).collect();
        looks.insert(read.cluster.clone(), members);
        of_clusters.push(read);
    }
    let mut fleet = FleetReadings {
        fleet: request.fleet.clone(),
        hosts: Vec::new(),
        missing: Vec::new(),
        clusters: of_clusters,
        readings: Vec::new(),
    };
    let clocks = hosts.iter().map(|(host, found)| (host.clone(), found.clock.clone())).collect();
    let mut skews = skews(&clocks, Timestamp::now());
    for (host, found) in hosts {
        match found.readings {
            Ok(mut readings) => {
                readings.readings.extend(skews.remove(&host));
                fleet.hosts.push(readings);
            }
            Err(why) => fleet.missing.push(MissingHost { host, why }),
        }
    }
    Gathered { readings: fleet, looks, looked }
}

/// A host's own readings, and its clock from outside.
async fn host(agent: &Agent, target: &Target, request: &Request, until: Instant) -> FromHost {
    let params = host_params(target, request);
    let left = until.saturating_duration_since(Instant::now());
    let asked = agent.link.observe(ObserveKind::InspectHost, &params, left);
    let readings = async {
        let answer = tokio::time::timeout_at(until, asked).await;
        let answer = answer.map_err(|_| "it did not answer within the inspection's time".to_owned())?;
        let value = answer.map_err(|error| error.to_string())?;
        serde_json::from_value(value).map_err(|error| format!("its readings are not understood: {error}"))
    };
    let clock = async {
        let answer = tokio::time::timeout_at(until, ask(&agent.link)).await;
        let answer = answer.map_err(|_| "its clock was not told within the inspection's time".to_owned())?;
        answer.map(|answer| answer.offset).map_err(|error| error.to_string())
    };
    let (readings, clock) = tokio::join!(readings, clock);
    let readings = readings.map(|readings: HostReadings| HostReadings { host: target.host.clone(), ..readings });
    FromHost { readings, clock }
}

fn host_params(target: &Target, request: &Request) -> Map {
    let services: Vec<Map> = target
        .node
        .iter()
        .map(|node| {
            let mut service = node.params.clone();
            service.insert("cluster".to_owned(), node.cluster.as_str().into());
            service
        })
        .collect();
    let params = json!({
        "host": target.host, "services": services, "roles": target.roles(), "labels": target.labels,
        "sample_s": request.limits.sample.as_secs(), "since": request.since, "inspection": request.id,
    });
    params.as_object().cloned().unwrap_or_default()
}

/// A cluster's views in two rounds, the members as the second one found them, and the readings of the first member that
/// gives them.
async fn cluster(
    name: &ClusterName,
    members: Vec<(&Agent, &NodeTarget)>,
    request: &Request,
    began: Instant,
) -> (ClusterReadings, Vec<Look>) {
    let until = began + request.limits.deadline;
    let when = Timestamp::now();
    let views = async {
        let (mut views, _) = round(&members, 0, began, until).await;
        tokio::time::sleep_until((Instant::now() + BETWEEN_ROUNDS).min(until)).await;
        let (more, looks) = round(&members, 1, began, until).await;
        views.extend(more);
        (views, looks)
    };
    let ((views, looks), part) = tokio::join!(views, part(&members, request, until));
    let read = ClusterReadings {
        cluster: name.clone(),
        // Told by the views afterwards.
        kind: ClusterKind::KafkaZk,
        when,
        members: BTreeMap::new(),
        views,
        topic_labels: BTreeMap::new(),
        group_labels: BTreeMap::new(),
        cost: part.cost,
        readings: part.readings.into_iter().chain(backups(when)).collect(),
    };
    (read, looks)
}

/// kfleet makes no backups, and nobody tells it of those that others make.
fn backups(now: Timestamp) -> Vec<Reading> {
    let why = "no backup is declared to kfleet".to_owned();
    let reading = |key| Reading::of(key, Outcome::NotHere { why: why.clone() }, "the controller", now);
    ["dr.backups", "dr.backup_at"].map(reading).into()
}

/// A KRaft controller that is no broker serves no metadata to clients, so it has no view.
fn has_view(node: &NodeTarget) -> bool {
    match node.role {
        NodeRole::Broker | NodeRole::Combined | NodeRole::ZooKeeper => true,
        NodeRole::Controller => false,
    }
}

/// Asks every member for its view of the cluster and its host for the node.
async fn round(
    members: &[(&Agent, &NodeTarget)],
    round: u32,
    began: Instant,
    until: Instant,
) -> (Vec<View>, Vec<Look>) {
    let asked = members.iter().map(|(agent, target)| async move {
        let (taken_at, asked) = (Timestamp::now(), began.elapsed());
        let view = async {
            if has_view(target) { Some(read(agent, ObserveKind::Cluster, &target.params, until).await) } else { None }
        };
        let (view, node) = tokio::join!(view, read(agent, ObserveKind::Node, &target.params, until));
        let view: Option<Result<ClusterSnapshot, String>> = view;
        let node: Option<NodeReading> = node.ok();
        let look = Look {
            host: agent.host.clone(),
            role: target.role,
            id: node.as_ref().and_then(|node| node.node_id).or(target.id),
            began: asked,
            view: view.as_ref().and_then(|view| view.as_ref().ok().cloned()),
            node,
        };
        let view = view.map(|view| {
            let answer = view.map_or_else(|why| Answer::None { why }, |view| Answer::Snapshot(Box::new(view)));
            View { host: agent.host.clone(), taken_at, round, answer }
        });
        (view, look)
    });
    let (views, looks): (Vec<_>, Vec<_>) = futures::future::join_all(asked).await.into_iter().unzip();
    (views.into_iter().flatten().collect(), looks)
}

/// One observation, or why there is none.
async fn read<T: DeserializeOwned>(
    agent: &Agent,
    kind: ObserveKind,
    params: &Map,
    until: Instant,
) -> Result<T, String> {
    let answer = tokio::time::timeout_at(until, agent.link.observe(kind, params, LOOK)).await;
    let answer = answer.map_err(|_| "no answer within the inspection's time".to_owned())?;
    let value = answer.map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| format!("its answer is not understood: {error}"))
}

/// What is read once for the whole cluster, from the first member that gives it.
async fn part(members: &[(&Agent, &NodeTarget)], request: &Request, until: Instant) -> ClusterPart {
    for (agent, node) in members.iter().filter(|(_, node)| has_view(node) && node.role != NodeRole::ZooKeeper) {
        let mut params = node.params.clone();
        params.insert("sample_s".to_owned(), request.limits.sample.as_secs().into());
        let left = until.saturating_duration_since(Instant::now());
        let asked = agent.link.observe(ObserveKind::InspectCluster, &params, left);
        match tokio::time::timeout_at(until, asked).await {
            Ok(Ok(value)) => match serde_json::from_value(value) {
                Ok(part) => return part,
                Err(error) => tracing::warn!(host = %agent.host, "readings of its cluster are not understood: {error}"),
            },
            Ok(Err(error)) => tracing::info!(host = %agent.host, "no readings of its cluster: {error}"),
            Err(_) => break,
        }
    }
    ClusterPart::default()
}

/// What a cluster is: as a view says, else as the inventory looks.
fn kind(read: &ClusterReadings, named: ClusterKind) -> ClusterKind {
    let of_view = |view: &View| match &view.answer {
        Answer::None { .. } => None,
        Answer::Snapshot(snapshot) => Some(match &**snapshot {
            ClusterSnapshot::ZooKeeper(_) => ClusterKind::Zookeeper,
            ClusterSnapshot::Kafka(kafka) => match &kafka.mode {
                KafkaMode::ZooKeeper { .. } => ClusterKind::KafkaZk,
                KafkaMode::Kraft { .. } => ClusterKind::KafkaKraft,
            },
        }),
    };
    read.views.iter().find_map(of_view).unwrap_or(named)
}

/// Each clock's distance from the fleet's time, less the bound of error, as a reading of its host.
fn skews(clocks: &BTreeMap<HostName, Result<Offset, String>>, now: Timestamp) -> BTreeMap<HostName, Reading> {
    let known = clocks.iter().filter_map(|(host, clock)| Some((host.clone(), *clock.as_ref().ok()?))).collect();
    let judged = judge(&known, IN_STEP_MS).hosts;
    let reading = |host: &HostName, clock: &Result<Offset, String>| {
        let outcome = match (clock, judged.get(host)) {
            (Err(why), _) => Outcome::Unreadable { why: why.clone() },
            (Ok(_), Some(standing)) if standing.step != Step::Unknown => {
                let away = standing.offset.ms.unsigned_abs().saturating_sub(standing.offset.uncertainty_ms);
                Outcome::Read(Datum::Float(u32::try_from(away).map_or(f64::from(u32::MAX), f64::from)))
            }
            (Ok(_), _) => Outcome::Unreadable { why: "the round trips to its agent took too long to tell".to_owned() },
        };
        Reading::of("clock.skew", outcome, "round trips to the agent", now).trusted(Confidence::High)
    };
    clocks.iter().map(|(host, clock)| (host.clone(), reading(host, clock))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_a_reading_with_the_bound_of_error_taken_off() {
        let host = |name: &str| HostName::new(name).unwrap();
        let offset = |ms, uncertainty_ms| Ok(Offset { ms, uncertainty_ms });
        let clocks = BTreeMap::from([
            (host("a"), offset(0, 1)),
            (host("b"), offset(2, 1)),
            (host("c"), offset(5_000, 10)),
            (host("d"), offset(0, 4_000)),
            (host("e"), Err("no answer".to_owned())),
        ]);
        let found = skews(&clocks, Timestamp::UNIX_EPOCH);
        let told: Vec<_> = found
            .values()
            .map(|reading| match &reading.outcome {
                Outcome::Read(Datum::Float(ms)) => ms.to_string(),
                Outcome::Unreadable { why } => why.clone(),
                other @ (Outcome::Read(_) | Outcome::NotHere { .. }) => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told[0], "0");
        assert!(told[2].parse::<f64>().unwrap() > 4_900.0, "{told:?}");
        assert_eq!(
            (told[3].as_str(), told[4].as_str()),
            ("the round trips to its agent took too long to tell", "no answer")
        );
    }
}
