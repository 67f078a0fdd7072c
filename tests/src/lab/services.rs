//! Asks ZooKeeper and Kafka from outside how they are, and waits until a cluster is whole.
//!
//! It speaks through small tools inside the lab's network (bash for four-letter words, kcat for metadata), so that
//! the lab stays independent of the code that it is there to test.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::controller;
use super::network::reaching;
use super::progress::Step;
use super::state::Layout;
use super::tool::Tool;
use super::topology::{HostSpec, Role, Topology};

/// Three JVMs elect a leader within 8 s on two idle cores; this is for a machine that compiles meanwhile.
const WHOLE_LIMIT: Duration = Duration::from_secs(180);

/// How often a cluster that is not whole yet is asked again.
const POLL: Duration = Duration::from_millis(300);

/// The lab's sessions last 6 s; an ensemble that has just elected a leader counts them from the start.
const OLD_SESSION_LIMIT: Duration = Duration::from_secs(30);

/// How long one server may think about one question.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What one ZooKeeper server says it is: `leader`, `follower`, ...; or that it does not answer.
pub type ServerModes = BTreeMap<String, Option<String>>;

/// Asks every member of the ensemble for its mode.
pub(super) async fn ensemble(layout: &Layout, topology: &Topology) -> ServerModes {
    let asked = topology
        .with_role(Role::ZooKeeper)
        .map(|host| async { (host.name.clone(), mode_of(layout, topology, host).await) });
    futures::future::join_all(asked).await.into_iter().collect()
}

async fn mode_of(layout: &Layout, topology: &Topology, host: &HostSpec) -> Option<String> {
    let answer = four_letter_word(layout, topology, host, "srvr").await?;
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

/// Waits until ZooKeeper has given up the session that a broker had before its power was cut.
///
/// A lab host boots in less than a second, a real one takes longer than the session lives. A broker that comes back
/// while its old session still holds `/brokers/ids/N` ends at once with NodeExists.
pub(super) async fn wait_for_old_session(layout: &Layout, topology: &Topology, spec: &HostSpec) -> Result<()> {
    if spec.role != Role::Broker {
        return Ok(());
    }
    let deadline = tokio::time::Instant::now() + OLD_SESSION_LIMIT;
    while tokio::time::Instant::now() < deadline {
        let asked = topology.with_role(Role::ZooKeeper).map(|host| four_letter_word(layout, topology, host, "dump"));
        let answers = futures::future::join_all(asked).await;
        // An ensemble that does not answer keeps no broker from booting; the broker itself waits for it then.
        if !answers.iter().flatten().any(|dump| has_session(dump, spec.id)) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("ZooKeeper still has a session of {} after {} s", spec.name, OLD_SESSION_LIMIT.as_secs())
}

fn has_session(dump: &str, broker: u32) -> bool {
    let node = format!("/brokers/ids/{broker}");
    dump.lines().any(|line| line.trim() == node)
}

async fn four_letter_word(layout: &Layout, topology: &Topology, host: &HostSpec, word: &str) -> Option<String> {
    let script = format!("exec 3<>/dev/tcp/{}/2181 && printf {word} >&3 && cat <&3", host.address);
    let answer = reaching(layout, topology, "bash").args(["-c", &script]).limit(ANSWER_LIMIT).output().await.ok()?;
    answer.status.success().then_some(answer.stdout)
}

/// Waits until the ensemble has one leader and everybody else follows it; gives the leader's name.
pub(super) async fn wait_for_ensemble(layout: &Layout, topology: &Topology, step: &Step<'_>) -> Result<String> {
    let patience = Patience::begin(step);
    loop {
        match judge_ensemble(&ensemble(layout, topology).await) {
            Ok(leader) => return Ok(leader),
            Err(reason) => patience.go_on(&reason).await.context("the ZooKeeper ensemble is not whole")?,
        }
    }
}

fn judge_ensemble(modes: &ServerModes) -> Result<String, String> {
    let silent: Vec<&str> = modes.iter().filter(|(_, mode)| mode.is_none()).map(|(name, _)| name.as_str()).collect();
    if !silent.is_empty() {
        return Err(format!("no answer yet from {}", silent.join(", ")));
    }
    let leaders = with_mode(modes, "leader");
    match leaders.as_slice() {
        [leader] if with_mode(modes, "follower").len() + 1 == modes.len() => Ok((*leader).to_owned()),
        [] => Err("no leader yet".to_owned()),
        [leader] => Err(format!("not all follow {leader} yet")),
        several => Err(format!("{} leaders", several.len())),
    }
}

fn with_mode<'a>(modes: &'a ServerModes, wanted: &str) -> Vec<&'a str> {
    modes.iter().filter(|(_, mode)| mode.as_deref() == Some(wanted)).map(|(name, _)| name.as_str()).collect()
}

/// What `kcat -L -J` says about a cluster; the fields the lab looks at.
#[derive(Clone, Debug, Deserialize)]
pub struct ClusterMetadata {
    /// The broker that holds the active controller, or that speaks for it in KRaft mode.
    pub controllerid: i64,
    /// The brokers that are alive.
    pub brokers: Vec<BrokerMetadata>,
    /// All topics.
    pub topics: Vec<TopicMetadata>,
}

/// A broker that is alive.
#[derive(Clone, Debug, Deserialize)]
pub struct BrokerMetadata {
    /// `broker.id` or `node.id`.
    pub id: u32,
}

/// A topic.
#[derive(Clone, Debug, Deserialize)]
pub struct TopicMetadata {
    /// Its name.
    pub topic: String,
    /// Its partitions.
    pub partitions: Vec<PartitionMetadata>,
}

/// A partition of a topic.
#[derive(Clone, Debug, Deserialize)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: i64,
    /// The broker that leads it, -1 for none.
    pub leader: i64,
    /// The brokers that should have a copy.
    pub replicas: Vec<BrokerMetadata>,
    /// The brokers whose copy is in sync.
    pub isrs: Vec<BrokerMetadata>,
}

impl ClusterMetadata {
    /// Partitions with fewer copies in sync than they should have, as `topic-partition`.
    pub fn under_replicated(&self) -> Vec<String> {
        let mut found = Vec::new();
        for topic in &self.topics {
            let lacking = topic.partitions.iter().filter(|partition| partition.isrs.len() < partition.replicas.len());
            found.extend(lacking.map(|partition| format!("{}-{}", topic.topic, partition.partition)));
        }
        found
    }
}

/// Asks the brokers for the cluster's metadata.
///
/// # Errors
/// No broker answers.
pub(super) async fn metadata(layout: &Layout, topology: &Topology) -> Result<ClusterMetadata> {
    let bootstrap: Vec<String> = topology.brokers().map(|host| format!("{}:9092", host.address)).collect();
    let seconds = ANSWER_LIMIT.as_secs().to_string();
    // With the lab's names, because brokers advertise themselves by name.
    let mut command = controller::prefix(layout, topology, &[]);
    command.push("kcat".to_owned());
    let kcat = command.split_first().context("a command line begins with a program")?;
    let asked = Tool::new(kcat.0).args(kcat.1).args(["-b", &bootstrap.join(","), "-L", "-J", "-m", &seconds]);
    let answer = asked.limit(ANSWER_LIMIT * 2).run().await?.stdout;
    serde_json::from_str(&answer).context("failed to understand what `kcat -L -J` said")
}

/// Waits until every broker is registered and every partition has all its copies in sync.
pub(super) async fn wait_for_brokers(layout: &Layout, topology: &Topology, step: &Step<'_>) -> Result<ClusterMetadata> {
    let wanted: Vec<&HostSpec> = topology.brokers().collect();
    let patience = Patience::begin(step);
    loop {
        let judged = match metadata(layout, topology).await {
            Ok(metadata) => judge_brokers(&wanted, metadata),
            Err(_unreachable) => Err("no broker answers yet".to_owned()),
        };
        match judged {
            Ok(metadata) => return Ok(metadata),
            Err(reason) => patience.go_on(&reason).await.context("the Kafka cluster is not whole")?,
        }
    }
}

fn judge_brokers(wanted: &[&HostSpec], metadata: ClusterMetadata) -> Result<ClusterMetadata, String> {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|host| metadata.brokers.iter().all(|broker| broker.id != host.id))
        .map(|host| host.name.as_str())
        .collect();
    let lacking = metadata.under_replicated();
    match (missing.as_slice(), lacking.as_slice()) {
        ([], []) => Ok(metadata),
        ([], [first, ..]) => Err(format!("{} partitions under-replicated, {first} among them", lacking.len())),
        (missing, _) => Err(format!("not registered yet: {}", missing.join(", "))),
    }
}

/// A wait with an end: what was wrong with the last answer is shown, and told when the time is over.
struct Patience<'a> {
    step: &'a Step<'a>,
    deadline: tokio::time::Instant,
}

impl<'a> Patience<'a> {
    fn begin(step: &'a Step<'a>) -> Self {
        Self { step, deadline: tokio::time::Instant::now() + WHOLE_LIMIT }
    }

    /// Pauses before the next question.
    async fn go_on(&self, reason: &str) -> Result<()> {
        if tokio::time::Instant::now() >= self.deadline {
            bail!("after {} s: {reason}; the hosts' logs tell more", WHOLE_LIMIT.as_secs());
        }
        self.step.note(reason);
        tokio::time::sleep(POLL).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::{Kind, Subnet};
    use super::*;

    fn modes(modes: &[(&str, Option<&str>)]) -> ServerModes {
        modes.iter().map(|(name, mode)| ((*name).to_owned(), mode.map(str::to_owned))).collect()
    }

    #[test]
    fn an_ensemble_is_whole_with_one_leader_and_nobody_astray() {
        for (given, expected) in [
            (modes(&[("zk1", Some("follower")), ("zk2", Some("follower")), ("zk3", Some("leader"))]), Ok("zk3")),
            (
                modes(&[("zk1", Some("follower")), ("zk2", None), ("zk3", Some("leader"))]),
                Err("no answer yet from zk2"),
            ),
            (modes(&[("zk1", Some("looking")), ("zk2", Some("looking"))]), Err("no leader yet")),
            (modes(&[("zk1", Some("looking")), ("zk2", Some("leader"))]), Err("not all follow zk2 yet")),
            (modes(&[("zk1", Some("leader")), ("zk2", Some("leader"))]), Err("2 leaders")),
        ] {
            assert_eq!(judge_ensemble(&given), expected.map(str::to_owned).map_err(str::to_owned));
        }
    }

    #[test]
    fn a_session_is_known_by_the_brokers_own_node() {
        let dump = "Sessions with Ephemerals (1):\n0x1:\n\t/controller\n\t/brokers/ids/12\n";
        assert!(has_session(dump, 12));
        assert!(!has_session(dump, 1), "broker 1 is not broker 12");
    }

    fn metadata(brokers: &str, isrs: &str) -> ClusterMetadata {
        let text = format!(
            r#"{{"originating_broker":{{"id":1,"name":"x"}},"controllerid":1,"brokers":{brokers},"topics":[{{"topic":"t",
            "partitions":[{{"partition":4,"leader":1,"replicas":[{{"id":1}},{{"id":2}}],"isrs":{isrs}}}]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_cluster_is_whole_with_all_brokers_and_all_copies() {
        let lab = Topology::of(Kind::Zk, Subnet::for_name("x"));
        let wanted: Vec<&HostSpec> = lab.brokers().collect();
        let all = r#"[{"id":1},{"id":2},{"id":3}]"#;
        assert!(judge_brokers(&wanted, metadata(all, r#"[{"id":2},{"id":1}]"#)).is_ok());
        for (brokers, isrs, reason) in [
            (r#"[{"id":2}]"#, "[]", "not registered yet: kafka1, kafka3"),
            (all, r#"[{"id":2}]"#, "1 partitions under-replicated, t-4 among them"),
        ] {
            assert_eq!(judge_brokers(&wanted, metadata(brokers, isrs)).unwrap_err(), reason);
        }
    }
}
