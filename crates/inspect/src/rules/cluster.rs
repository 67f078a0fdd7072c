//! Snapshots of a cluster, as rules want them: one view a round, and what all rounds agree on.

use crate::judge::raw::{Gap, Raw};
use crate::judge::scene::Scene;
use crate::object::{Part, PartKind};
use crate::reading::{Answer, ClusterReadings, View};
use kfleet_model::snapshot::{ClusterSnapshot, KafkaSnapshot, ZooKeeperServer};
use kfleet_model::{BrokerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// The readings of the scene's cluster.
pub(super) fn cluster<'a>(scene: &Scene<'a>) -> Result<&'a ClusterReadings, Gap> {
    let found = scene.shelf().and_then(|shelf| shelf.cluster);
    found.ok_or_else(|| Gap::Unknown("there are no readings of the cluster".to_owned()))
}

/// The views in the order of rounds and hosts, whatever order they came in.
fn views(cluster: &ClusterReadings) -> Vec<&View> {
    let mut views: Vec<&View> = cluster.views.iter().collect();
    views.sort_by_key(|view| (view.round, &view.host));
    views
}

/// Why no member gave a view.
fn silence(cluster: &ClusterReadings) -> Gap {
    let why: Vec<String> = views(cluster)
        .into_iter()
        .filter_map(|view| match &view.answer {
            Answer::None { why } => Some(format!("{}: {why}", view.host)),
            Answer::Snapshot(_) => None,
        })
        .collect();
    let why = if why.is_empty() { "nobody was asked".to_owned() } else { why.join("; ") };
    Gap::Unknown(format!("no member described the cluster: {why}"))
}

/// All Kafka views by round.
pub(super) fn kafka_rounds(cluster: &ClusterReadings) -> Result<BTreeMap<u32, Vec<(&View, &KafkaSnapshot)>>, Gap> {
    let mut rounds: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for view in views(cluster) {
        if let Answer::Snapshot(snapshot) = &view.answer
            && let ClusterSnapshot::Kafka(kafka) = snapshot.as_ref()
        {
            rounds.entry(view.round).or_default().push((view, kafka));
        }
    }
    if rounds.is_empty() { Err(silence(cluster)) } else { Ok(rounds) }
}

/// One view of each round, of the same member as far as it answered each time.
pub(super) fn kafka(cluster: &ClusterReadings) -> Result<Vec<&KafkaSnapshot>, Gap> {
    let rounds = kafka_rounds(cluster)?;
    let first = rounds.values().flatten().next().map(|(view, _)| &view.host);
    let picked = rounds.values().filter_map(|views| {
        let same = views.iter().find(|(view, _)| Some(&view.host) == first);
        same.or_else(|| views.first()).map(|(_, snapshot)| *snapshot)
    });
    Ok(picked.collect())
}

/// What the ZooKeeper servers said of themselves in the last round.
pub(super) fn servers(cluster: &ClusterReadings) -> Result<Vec<&ZooKeeperServer>, Gap> {
    let views = views(cluster);
    let last = views.iter().map(|view| view.round).max();
    let servers: Vec<&ZooKeeperServer> = views
        .into_iter()
        .filter(|view| Some(view.round) == last)
        .filter_map(|view| match &view.answer {
            Answer::Snapshot(snapshot) => match snapshot.as_ref() {
                ClusterSnapshot::ZooKeeper(server) => Some(server),
                ClusterSnapshot::Kafka(_) => None,
            },
            Answer::None { .. } => None,
        })
        .collect();
    if servers.is_empty() { Err(silence(cluster)) } else { Ok(servers) }
}

/// The partitions for which something holds in every round: what passes in a moment is no finding.
pub(super) fn lasting(
    snapshots: &[&KafkaSnapshot],
    holds: impl Fn(&KafkaSnapshot) -> BTreeSet<TopicPartition>,
) -> BTreeSet<TopicPartition> {
    let mut rounds = snapshots.iter().map(|snapshot| holds(snapshot));
    let first = rounds.next().unwrap_or_default();
    rounds.fold(first, |both, next| both.intersection(&next).cloned().collect())
}

/// A broker as a part.
pub(super) fn broker(id: BrokerId) -> Part {
    Part::new(PartKind::Broker, id.to_string())
}

/// A topic as a part.
pub(super) fn topic(name: &str) -> Part {
    Part::new(PartKind::Topic, name)
}

/// One line about each partition: who leads it, who is in sync, of whom.
pub(super) fn lines(snapshot: &KafkaSnapshot, partitions: &BTreeSet<TopicPartition>) -> Vec<String> {
    let ids = |ids: &mut dyn Iterator<Item = &BrokerId>| ids.map(ToString::to_string).collect::<Vec<_>>().join(",");
    let line = |partition: &TopicPartition| {
        let topic = snapshot.topics.get(&partition.topic)?;
        let state = topic.partitions.get(&partition.partition)?;
        let leader = state.leader.map_or("none".to_owned(), |leader| leader.to_string());
        Some(format!(
            "{partition}: leader {leader}, isr [{}] of [{}], min ISR {}",
            ids(&mut state.isr.iter()),
            ids(&mut state.replicas.iter()),
            topic.min_isr
        ))
    };
    partitions.iter().map(|partition| line(partition).unwrap_or_else(|| partition.to_string())).collect()
}

/// With the partitions that show it.
pub(super) fn shown(raw: Raw, snapshot: &KafkaSnapshot, partitions: &BTreeSet<TopicPartition>) -> Raw {
    raw.because(lines(snapshot, partitions))
}
