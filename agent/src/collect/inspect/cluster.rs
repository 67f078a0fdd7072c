//! What the nightly inspection reads of a cluster: topics with their settings and offsets, groups and how they move.
//!
//! One member of the cluster is chosen for it and reads for all. Each topic and group that Metadata and the coordinators
//! name has a reading of each of its keys: a value, that it went away meanwhile, or why it could not be read. Partitions
//! of a topic that could not be read have a reading of their own beside the topic's; groups that nobody could list are
//! told in a reading of no part.
//!
//! In time: first where logs start and end, then the groups' samples. So an offset that a group commits is never
//! compared with a log's start of a later moment, which retention might have moved past it.
//! Not here: the views of all members (`collect::cluster`), backups (the controller knows them), and any judgement.

mod samples;

use super::now;
use super::sink::{Gap, Sink};
use crate::collect::{CollectError, chain, cluster as member};
use crate::host::HostView;
use kfleet_inspect::reading::ClusterPart;
use kfleet_inspect::{Cost, Datum, Part, PartKind};
use kfleet_kafka::survey::{Group, GroupKind, Groups, OffsetAt, Shared};
use kfleet_kafka::{Instant, KafkaError, Survey};
use kfleet_model::{Map, TopicPartition, Value};
use samples::Samples;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long groups are watched unless the caller says otherwise. Consumers commit every 5 s by default
/// (`auto.commit.interval.ms`), Connect's workers every 60 s (`offset.flush.interval.ms`): four minutes see several
/// commits of both, and an observation may take five.
const SAMPLE: u64 = 240;

/// The longest that is taken for a sample.
const SAMPLE_MAX: u64 = 3600;

/// How often offsets are read in that time. The lag's verdict needs ten; two may fail.
const ROUNDS: u32 = 12;

/// How long one step of the reading may take, all brokers together.
const STEP: Duration = Duration::from_secs(60);

/// What is kept of the op's time for handing the readings over.
const RESERVE: Duration = Duration::from_secs(5);

/// How many topics, partitions and groups one inspection reads. A cluster of more than 200000 partitions or 5000 groups
/// is beyond what the catalogue takes for healthy (`topic.total`, `group.count`); the document stays under 100 MB.
const MAX_TOPICS: usize = 20_000;
const MAX_PARTITIONS: usize = 200_000;
const MAX_GROUPS: usize = 5_000;

const ID: &str = "topic.id";
const CONFIG: &str = "topic.config";
const STARTS: &str = "topic.start_offsets";
const ENDS: &str = "topic.end_offsets";
const STATE: &str = "group.state";
const OFFSETS: &str = "group.offsets";

const METADATA: &str = "Metadata(3)";
const LIST_OFFSETS: &str = "ListOffsets(2)";
const LIST_GROUPS: &str = "ListGroups(16)";
const FETCH: &str = "OffsetFetch(9), ListOffsets(2)";

/// Reads the cluster that this host's broker belongs to. The parameters are those of the cluster's view, and `sample_s`:
/// how long consumer groups are watched. An ensemble of ZooKeeper has no readings of this kind.
///
/// # Errors
/// When a parameter or the broker's configuration is not usable, the broker does not answer at all (another member may
/// be asked then), or the op is stopped.
pub fn cluster(host: &dyn HostView, params: &Map) -> Result<ClusterPart, CollectError> {
    let (sample, params) = sample(params)?;
    let when = now(host);
    if params.get("kind").and_then(Value::as_str) == Some("zookeeper") {
        return Ok(ClusterPart { when, cost: Cost::default(), readings: Vec::new() });
    }
    let (begun, cpu) = (host.uptime(), host.cpu_time());
    let access = member::access(host, &params)?;
    let runtime = Handle::try_current()?;
    let survey = runtime.block_on(Survey::open(&access, deadline(host)))?;
    let mut reader = Reader { host, runtime, survey, sink: Sink::new(when) };
    reader.topics();
    let groups = reader.groups();
    reader.offsets(&groups, sample)?;
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let cost = Cost {
        cpu_ms: milliseconds(host.cpu_time().saturating_sub(cpu)),
        bytes: reader.survey.received(),
        wall_ms: milliseconds(host.uptime().saturating_sub(begun)),
    };
    Ok(ClusterPart { when, cost, readings: reader.sink.into_readings() })
}

/// Takes the parameter that only this collector has from those of all that ask a broker.
fn sample(params: &Map) -> Result<(Duration, Map), CollectError> {
    let mut others = params.clone();
    let seconds = match others.remove("sample_s") {
        None => SAMPLE,
        Some(value) => value.as_u64().filter(|seconds| (1..=SAMPLE_MAX).contains(seconds)).ok_or_else(|| {
            CollectError::Invalid(format!("sample_s is {value}, it must be a number from 1 to {SAMPLE_MAX}"))
        })?,
    };
    Ok((Duration::from_secs(seconds), others))
}

fn deadline(host: &dyn HostView) -> Instant {
    Instant::now() + STEP.min(host.time_left().saturating_sub(RESERVE))
}

fn topic_part(topic: &str) -> Part {
    Part::new(PartKind::Topic, topic)
}

fn group_part(group: &str) -> Part {
    Part::new(PartKind::Group, group)
}

fn unreadable(error: &KafkaError) -> Gap {
    Gap::unreadable(format!("failed to {}", chain(error)))
}

/// A reading that is under way.
struct Reader<'a> {
    host: &'a dyn HostView,
    runtime: Handle,
    survey: Survey,
    sink: Sink,
}

impl Reader<'_> {
    /// Every reading of topics.
    fn topics(&mut self) {
        if self.survey.topics().is_empty() {
            for key in [ID, CONFIG, STARTS, ENDS] {
                self.sink.gap(key, None, Gap::not_here("the cluster has no topic"), METADATA);
            }
            return;
        }
        let (mut names, mut partitions) = (Vec::new(), BTreeSet::new());
        let all = self.survey.topics().len();
        for (name, topic) in self.survey.topics() {
            let gap = match &topic.error {
                Some(error) => unreadable(error),
                None if names.len() == MAX_TOPICS || partitions.len() + topic.leaders.len() > MAX_PARTITIONS => {
                    Gap::unreadable(format!(
                        "left out: the cluster has {all} topics, an inspection reads {MAX_TOPICS} with {MAX_PARTITIONS} partitions"
                    ))
                }
                None => {
                    let id = topic.id.clone().map(Datum::Text);
                    let none = || Gap::not_here("the cluster gives topics no id, as Kafka does since 2.8");
                    self.sink.tell_of(&topic_part(name), ID, METADATA, id.ok_or_else(none));
                    let partition = |number: &i32| TopicPartition { topic: name.clone(), partition: *number };
                    partitions.extend(topic.leaders.keys().map(partition));
                    names.push(name.clone());
                    continue;
                }
            };
            for key in [ID, CONFIG, STARTS, ENDS] {
                self.sink.gap(key, Some(topic_part(name)), gap.clone(), METADATA);
            }
        }
        self.configs(&names);
        for (key, at) in [(STARTS, OffsetAt::Start), (ENDS, OffsetAt::End)] {
            self.ends(key, at, &names, &partitions);
        }
    }

    fn configs(&mut self, topics: &[String]) {
        let found = self.runtime.block_on(self.survey.topic_configs(topics, deadline(self.host)));
        for (topic, config) in found {
            let told = config.map(Datum::Texts).map_err(|error| self.gap(&topic, &error));
            self.sink.tell_of(&topic_part(&topic), CONFIG, "DescribeConfigs(32)", told);
        }
    }

    fn ends(&mut self, key: &str, at: OffsetAt, topics: &[String], partitions: &BTreeSet<TopicPartition>) {
        self.sink.begin(now(self.host));
        let found = self.runtime.block_on(self.survey.offsets(at, partitions, deadline(self.host)));
        for (topic, numbers, failed) in by_topic(topics, found) {
            let part = topic_part(&topic);
            match failed.first() {
                Some((_, error)) if numbers.is_empty() => {
                    let gap = self.gap(&topic, error);
                    self.sink.gap(key, Some(part), gap, LIST_OFFSETS);
                    continue;
                }
                Some(_) | None => self.sink.tell_of(&part, key, LIST_OFFSETS, Ok(Datum::Numbers(numbers))),
            }
            for (partition, error) in failed {
                let part = Part::new(PartKind::Partition, partition.to_string());
                let gap = self.gap(&topic, &error);
                self.sink.gap(key, Some(part), gap, LIST_OFFSETS);
            }
        }
    }

    /// Why a topic has no value: it may have been deleted since the reading began.
    fn gap(&self, topic: &str, error: &KafkaError) -> Gap {
        if self.survey.is_gone(topic) {
            return Gap::not_here("the topic was deleted while the cluster was read");
        }
        unreadable(error)
    }

    /// The groups, with the reading of their state; gives those whose offsets are to be read.
    fn groups(&mut self) -> BTreeSet<String> {
        self.survey.forgive();
        self.sink.begin(now(self.host));
        let listed = self.runtime.block_on(self.survey.groups(deadline(self.host)));
        let whole = match hidden(&listed) {
            Some(why) => Some(Gap::unreadable(why)),
            None if listed.groups.is_empty() => Some(Gap::not_here("the cluster has no group")),
            None => None,
        };
        for (gap, key) in whole.iter().flat_map(|gap| [(gap, STATE), (gap, OFFSETS)]) {
            self.sink.gap(key, None, gap.clone(), LIST_GROUPS);
        }
        let count = listed.groups.len();
        let mut read = BTreeMap::new();
        for (name, group) in listed.groups {
            if read.len() < MAX_GROUPS {
                read.insert(name, group);
                continue;
            }
            let why = format!("left out: the cluster has {count} groups, an inspection reads {MAX_GROUPS}");
            for key in [STATE, OFFSETS] {
                self.sink.gap(key, Some(group_part(&name)), Gap::unreadable(why.clone()), LIST_GROUPS);
            }
        }
        let states = self.runtime.block_on(self.survey.group_states(&read, deadline(self.host)));
        for (name, state) in states {
            let source = read.get(&name).map_or(LIST_GROUPS, |group| describing(&group.kind));
            let told = state.map(Datum::Text).map_err(|error| unreadable(&error));
            self.sink.tell_of(&group_part(&name), STATE, source, told);
        }
        self.with_offsets(read)
    }

    fn with_offsets(&mut self, groups: BTreeMap<String, Group>) -> BTreeSet<String> {
        let mut wanted = BTreeSet::new();
        for (name, group) in groups {
            if group.kind.commits_offsets() {
                wanted.insert(name);
                continue;
            }
            let kind = match group.kind {
                GroupKind::Classic { protocol_type } => protocol_type,
                GroupKind::Consumer => "consumer".to_owned(),
                GroupKind::Other(name) => name,
            };
            let gap = Gap::not_here(format!("it is a group of kind {kind:?}, which commits no offsets"));
            self.sink.gap(OFFSETS, Some(group_part(&name)), gap, LIST_GROUPS);
        }
        wanted
    }

    /// Watches the groups' offsets.
    fn offsets(&mut self, groups: &BTreeSet<String>, sample: Duration) -> Result<(), CollectError> {
        let mut samples = Samples::new(groups, self.partitions());
        if groups.is_empty() {
            return Ok(());
        }
        self.sink.begin(now(self.host));
        let begun = self.host.uptime();
        for round in 0..ROUNDS {
            let due = begun + sample * round / (ROUNDS - 1);
            let wait = due.saturating_sub(self.host.uptime());
            if self.host.time_left() <= wait + RESERVE {
                let seconds = self.host.uptime().saturating_sub(begun).as_secs();
                samples.cut(format!(
                    "the time of the inspection was over after {seconds} s and {round} of {ROUNDS} rounds"
                ));
                break;
            }
            self.host.pause(wait, "consumer groups are watched")?;
            self.round(&mut samples);
        }
        samples.tell(&mut self.sink);
        Ok(())
    }

    /// One look at all groups: first what was committed, then where the logs end.
    fn round(&mut self, samples: &mut Samples) {
        self.survey.forgive();
        let at = now(self.host);
        let committed = self.runtime.block_on(self.survey.committed(samples.groups(), deadline(self.host)));
        let wanted = samples.begin(committed);
        let ends = self.runtime.block_on(self.survey.offsets(OffsetAt::End, &wanted, deadline(self.host)));
        samples.end(at, &ends);
    }

    /// The partitions of each topic.
    fn partitions(&self) -> BTreeMap<String, Vec<i32>> {
        let topics = self.survey.topics().iter();
        topics.map(|(name, topic)| (name.clone(), topic.leaders.keys().copied().collect())).collect()
    }
}

/// The request that tells the state of a group of this kind.
fn describing(kind: &GroupKind) -> &'static str {
    match kind {
        GroupKind::Classic { .. } => "DescribeGroups(15)",
        GroupKind::Consumer => "ConsumerGroupDescribe(69)",
        GroupKind::Other(_) => LIST_GROUPS,
    }
}

/// Why there may be groups that are not in the list.
fn hidden(listed: &Groups) -> Option<String> {
    let mut whys: Vec<String> = listed
        .unasked
        .iter()
        .map(|(node, error)| {
            format!("the groups that broker {node} coordinates are not known: failed to {}", chain(&**error))
        })
        .collect();
    if !listed.leaderless.is_empty() {
        let partitions: Vec<String> = listed.leaderless.iter().map(ToString::to_string).collect();
        let partitions = partitions.join(", ");
        whys.push(format!(
            "the groups in partitions {partitions} of __consumer_offsets are not known: they have no leader"
        ));
    }
    (!whys.is_empty()).then(|| whys.join("; "))
}

/// A topic, the numbers of its partitions that were read, and those that were not.
type Ends = (String, BTreeMap<String, i64>, Vec<(TopicPartition, Arc<KafkaError>)>);

fn by_topic(topics: &[String], found: BTreeMap<TopicPartition, Shared<i64>>) -> Vec<Ends> {
    let mut all: BTreeMap<String, Ends> =
        topics.iter().map(|topic| (topic.clone(), (topic.clone(), BTreeMap::new(), Vec::new()))).collect();
    for (partition, offset) in found {
        let Some((_, numbers, failed)) = all.get_mut(&partition.topic) else { continue };
        match offset {
            Ok(offset) => _ = numbers.insert(partition.partition.to_string(), offset),
            Err(error) => failed.push((partition, error)),
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests;
