//! Case files: readings of a night, in few lines, and what each check is to say of them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a case that can not be read is a failed test")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::{
    Answer, CATALOGUE, Catalogue, ClusterKind, ClusterReadings, Datum, FleetReadings, History, HostReadings,
    Inspection, Layers, MissingHost, Night, Outcome, Part, Point, Reading, Role, State, View, judge,
};
use kfleet_model::snapshot::{
    Broker, ClusterSnapshot, KafkaMode, KafkaSnapshot, PartitionState, Quorum, ReplicaProgress, Topic, ZooKeeperRole,
    ZooKeeperServer, ZooKeeperState,
};
use kfleet_model::{BrokerId, ClusterName, FleetName, HostName, TopicPartition, Value};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Readings of hosts, and of the cluster under the name `cluster`: key, or key and part, to a value.
type Readings = BTreeMap<String, BTreeMap<String, Value>>;

/// A case as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The check.
    pub(crate) check: String,
    /// What the case is.
    pub(crate) name: String,
    /// Every object that the check is to judge, with the state.
    pub(crate) expect: BTreeMap<String, String>,
    /// When; the default is one moment for all.
    #[serde(default = "moment")]
    pub(crate) now: Timestamp,
    /// How long ago the inspection before was.
    #[serde(default = "night")]
    hours: i64,
    #[serde(default)]
    read: Readings,
    #[serde(default)]
    before: Readings,
    #[serde(default)]
    roles: BTreeMap<String, BTreeSet<Role>>,
    #[serde(default = "kind")]
    kind: ClusterKind,
    #[serde(default)]
    members: Vec<i32>,
    #[serde(default)]
    views: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    again: BTreeMap<String, Vec<String>>,
    /// Seconds between the two rounds of views.
    #[serde(default = "pause")]
    pause: i64,
    #[serde(default)]
    views_before: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    history: BTreeMap<String, Vec<f64>>,
    #[serde(default)]
    missing: Vec<String>,
    /// Beside the check only these are judged; all when there are none.
    #[serde(default)]
    only: Vec<String>,
}

fn moment() -> Timestamp {
    "2026-03-04T02:00:00Z".parse().unwrap()
}

fn night() -> i64 {
    24
}

fn pause() -> i64 {
    10
}

fn kind() -> ClusterKind {
    ClusterKind::KafkaZk
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// Every case of every file.
pub(crate) fn cases() -> Vec<Case> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let parse = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        file.case
    };
    files.into_iter().flat_map(parse).collect()
}

/// The one name of the cluster in cases.
pub(crate) fn cluster_name() -> ClusterName {
    ClusterName::new("c").unwrap()
}

fn reading(key: &str, value: &Value, at: Timestamp) -> Reading {
    let (key, part) = key.split_once(' ').map_or((key, None), |(key, part)| (key, Some(part)));
    let object = value.as_object().expect("a value is a mapping with its kind as the key");
    let why = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let outcome = match (why("unreadable"), why("not_here")) {
        (Some(why), _) => Outcome::Unreadable { why },
        (_, Some(why)) => Outcome::NotHere { why },
        (None, None) => Outcome::Read(
            serde_json::from_value::<Datum>(value.clone()).unwrap_or_else(|error| panic!("{key} = {value}: {error}")),
        ),
    };
    let reading = Reading::of(key, outcome, "case", at);
    match part {
        Some(part) => reading.at(part.parse::<Part>().unwrap()),
        None => reading,
    }
}

fn ids(text: &str) -> Vec<BrokerId> {
    text.split(',').filter(|id| !id.is_empty()).map(|id| BrokerId(id.parse().expect("an id"))).collect()
}

/// `kraft LEADER voters ID:BEHIND_MS,...`, where `?` is what the leader does not know.
fn quorum(words: &[&str]) -> Quorum {
    let leader = words[1].parse().ok().map(BrokerId);
    let voter = |text: &str| {
        let (id, behind) = text.split_once(':').unwrap();
        (BrokerId(id.parse().unwrap()), ReplicaProgress { log_end_offset: 0, behind_ms: behind.parse().ok() })
    };
    let voters = words[3].split(',').map(voter).collect();
    Quorum { leader, leader_epoch: 1, high_watermark: 0, voters, observers: BTreeMap::new() }
}

/// Lines such as `brokers 1,2,3`, `controller 1`, `kraft 1 voters 1:0,2:0`, `reassigning orders-0`, `id other`, and
/// `orders-0 leader 1 replicas 1,2,3 isr 1,2 min 2`.
fn kafka(lines: &[String]) -> KafkaSnapshot {
    let mut snapshot = KafkaSnapshot {
        seen_by: BrokerId(1),
        cluster_id: "c".to_owned(),
        mode: KafkaMode::ZooKeeper { active_controller: Some(BrokerId(1)) },
        brokers: BTreeMap::new(),
        topics: BTreeMap::new(),
        reassigning: BTreeSet::new(),
    };
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "brokers" => {
                let broker = || Broker { host: "h".to_owned(), port: 9092, rack: None };
                snapshot.brokers = ids(words[1]).into_iter().map(|id| (id, broker())).collect();
            }
            "controller" => {
                snapshot.mode = KafkaMode::ZooKeeper { active_controller: words[1].parse().ok().map(BrokerId) };
            }
            "kraft" => snapshot.mode = KafkaMode::Kraft { quorum: quorum(&words) },
            "id" => words[1].clone_into(&mut snapshot.cluster_id),
            "reassigning" => {
                let (topic, partition) = words[1].rsplit_once('-').unwrap();
                let partition = partition.parse().unwrap();
                snapshot.reassigning.insert(TopicPartition { topic: topic.to_owned(), partition });
            }
            name => {
                let (topic, partition) = name.rsplit_once('-').unwrap();
                let state = PartitionState {
                    leader: words[2].parse().ok().map(BrokerId),
                    leader_epoch: 1,
                    replicas: ids(words[4]),
                    isr: ids(words[6]).into_iter().collect(),
                    removing: BTreeSet::new(),
                };
                let min_isr = words[8].parse().unwrap();
                let new = || Topic { min_isr, internal: false, partitions: BTreeMap::new() };
                let topic = snapshot.topics.entry(topic.to_owned()).or_insert_with(new);
                topic.partitions.insert(partition.parse().unwrap(), state);
            }
        }
    }
    snapshot
}

/// `server 1 leader 2 of 3 zxid 4294967297`, where 2 followers are in step, or `server 2 follower - of 3 zxid 1`.
fn server(host: &HostName, line: &str) -> ZooKeeperServer {
    let words: Vec<&str> = line.split_whitespace().collect();
    let voters: i32 = words[5].parse().unwrap();
    ZooKeeperServer {
        host: host.clone(),
        server_id: BrokerId(words[1].parse().unwrap()),
        state: match words[2] {
            "leader" => ZooKeeperState::Leader { synced_followers: words[3].parse().unwrap(), pending_syncs: 0 },
            "follower" => ZooKeeperState::Follower,
            "standalone" => ZooKeeperState::Standalone,
            "not_serving" => ZooKeeperState::NotServing,
            other => panic!("{other} is no state"),
        },
        zxid: words[7].parse().unwrap(),
        ensemble: (1..=voters).map(|id| (BrokerId(id), ZooKeeperRole::Participant)).collect(),
        outstanding_requests: 0,
        connections: 0,
        data_size_bytes: 0,
        tick_ms: 2000,
        init_limit: 10,
        version: "3.8.4".to_owned(),
    }
}

impl Case {
    fn view(&self, (host, lines): (&String, &Vec<String>), round: u32, at: Timestamp) -> View {
        let host = HostName::new(host.as_str()).unwrap();
        let answer = match lines.first().and_then(|line| line.strip_prefix("silent ")) {
            Some(why) => Answer::None { why: why.to_owned() },
            None if self.kind == ClusterKind::Zookeeper => {
                Answer::Snapshot(Box::new(ClusterSnapshot::ZooKeeper(server(&host, &lines[0]))))
            }
            None => Answer::Snapshot(Box::new(ClusterSnapshot::Kafka(kafka(lines)))),
        };
        View { host, taken_at: at, round, answer }
    }

    fn fleet(&self, read: &Readings, rounds: [&BTreeMap<String, Vec<String>>; 2], at: Timestamp) -> FleetReadings {
        let names: BTreeSet<&String> = read.keys().chain(self.roles.keys()).filter(|name| *name != "cluster").collect();
        let own = if self.kind == ClusterKind::Zookeeper { Role::Zookeeper } else { Role::KafkaBroker };
        let of = |name: &str| -> Vec<Reading> {
            read.get(name).into_iter().flatten().map(|(key, value)| reading(key, value, at)).collect()
        };
        let host = |name: &String| HostReadings {
            host: HostName::new(name.as_str()).unwrap(),
            roles: self.roles.get(name).cloned().unwrap_or_else(|| BTreeSet::from([own])),
            clusters: BTreeSet::from([cluster_name()]),
            labels: BTreeMap::new(),
            when: at,
            cost: kfleet_inspect::Cost::default(),
            readings: of(name),
        };
        let later = at + SignedDuration::from_secs(self.pause);
        let views = rounds[0].iter().map(|view| self.view(view, 0, at));
        let views = views.chain(rounds[1].iter().map(|view| self.view(view, 1, later))).collect();
        FleetReadings {
            fleet: FleetName::new("f").unwrap(),
            hosts: names.into_iter().map(host).collect(),
            missing: self
                .missing
                .iter()
                .map(|name| MissingHost { host: HostName::new(name.as_str()).unwrap(), why: "no answer".to_owned() })
                .collect(),
            clusters: if self.only.is_empty() { vec![self.cluster(of("cluster"), views, at)] } else { Vec::new() },
            readings: Vec::new(),
        }
    }

    fn cluster(&self, readings: Vec<Reading>, views: Vec<View>, at: Timestamp) -> ClusterReadings {
        let member = |id: &i32| (BrokerId(*id), HostName::new(format!("k{id}")).unwrap());
        ClusterReadings {
            cluster: cluster_name(),
            kind: self.kind,
            when: at,
            members: self.members.iter().map(member).collect(),
            views,
            topic_labels: BTreeMap::new(),
            group_labels: BTreeMap::new(),
            cost: kfleet_inspect::Cost::default(),
            readings,
        }
    }

    /// What is read tonight.
    pub(crate) fn tonight(&self) -> FleetReadings {
        self.fleet(&self.read, [&self.views, &self.again], self.now)
    }

    /// The numbers of the nights before, the last of them a day ago.
    pub(crate) fn history(&self) -> History {
        let series = |values: &Vec<f64>| {
            let count = i64::try_from(values.len()).unwrap();
            let at = |n: usize| self.now - SignedDuration::from_hours(24 * (count - i64::try_from(n).unwrap()));
            values.iter().enumerate().map(|(n, &value)| Point { at: at(n), value }).collect()
        };
        History { series: self.history.iter().map(|(key, values)| (key.clone(), series(values))).collect() }
    }

    /// The inspection before, when the case has one.
    pub(crate) fn last(&self) -> Option<Inspection> {
        if self.before.is_empty() && self.views_before.is_empty() {
            return None;
        }
        let at = self.now - SignedDuration::from_hours(self.hours);
        let none = BTreeMap::new();
        let before = self.fleet(&self.before, [&self.views_before, &none], at);
        Some(inspect(&self.catalogue(), &before, None, &History::default(), at))
    }

    /// The inspection of the case.
    pub(crate) fn inspection(&self) -> Inspection {
        self.judged(&self.tonight())
    }

    /// The same with other readings.
    pub(crate) fn judged(&self, readings: &FleetReadings) -> Inspection {
        inspect(&self.catalogue(), readings, self.last().as_ref(), &self.history(), self.now)
    }

    fn catalogue(&self) -> Catalogue {
        CATALOGUE.only(|check| {
            let id = check.id.as_str();
            self.only.is_empty() || id == self.check || self.only.iter().any(|only| only == id)
        })
    }
}

/// Judges without anything that operators set.
pub(crate) fn inspect(
    catalogue: &Catalogue,
    readings: &FleetReadings,
    last: Option<&Inspection>,
    history: &History,
    now: Timestamp,
) -> Inspection {
    let layers = Layers::default();
    judge(&Night {
        catalogue,
        readings,
        layers: &layers,
        waivers: &[],
        windows: &[],
        acknowledgements: &[],
        last,
        history,
        now,
    })
}

/// What a check said of each object.
pub(crate) fn states(inspection: &Inspection, check: &str) -> BTreeMap<String, State> {
    let found = inspection.findings.iter().filter(|finding| finding.check.as_str() == check);
    let mut states: BTreeMap<String, State> =
        found.map(|finding| (finding.object.to_string(), finding.judged)).collect();
    let passed = inspection.passed.iter().filter(|(id, _)| id.as_str() == check).flat_map(|(_, objects)| objects);
    states.extend(passed.map(|object| (object.to_string(), State::Ok)));
    let skipped = inspection.skipped.iter().filter(|(id, _)| id.as_str() == check).flat_map(|(_, all)| all);
    states.extend(skipped.map(|one| (one.object.to_string(), State::Skip)));
    states
}
