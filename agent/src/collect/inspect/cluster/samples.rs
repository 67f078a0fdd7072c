//! The samples of consumer groups' offsets, gathered over some rounds.

use super::{FETCH, OFFSETS, group_part, unreadable};
use crate::collect::chain;
use crate::collect::inspect::sink::{Gap, Sink};
use jiff::Timestamp;
use kfleet_inspect::{Datum, OffsetSample};
use kfleet_kafka::ErrorCode;
use kfleet_kafka::survey::Shared;
use kfleet_model::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// How many partitions of groups are watched, all groups together: with twelve samples each, their document is near
/// 20 MB.
const MAX_PLACES: usize = 20_000;

/// How many lines of evidence one group has.
const MAX_LINES: usize = 20;

/// What the coordinators tell of groups' committed offsets.
pub(super) type Committed = BTreeMap<String, Shared<BTreeMap<TopicPartition, Result<i64, ErrorCode>>>>;

/// A partition of a group.
#[derive(Debug, Default)]
struct Place {
    samples: Vec<OffsetSample>,
    /// Whether the group has ever committed there.
    committed: bool,
    /// Why the last sample that failed did.
    failed: Option<String>,
}

/// A group over the rounds.
#[derive(Debug, Default)]
struct Watched {
    places: BTreeMap<TopicPartition, Place>,
    /// In how many rounds it was read.
    read: u32,
    /// In how many it was not, and why not the last time.
    failed: u32,
    why: Option<Gap>,
}

/// The samples so far.
#[derive(Debug, Default)]
pub(super) struct Samples {
    groups: BTreeSet<String>,
    partitions: BTreeMap<String, Vec<i32>>,
    watched: BTreeMap<String, Watched>,
    /// What was committed in the round that is under way.
    committed: BTreeMap<String, BTreeMap<TopicPartition, Result<i64, ErrorCode>>>,
    cut: Option<String>,
}

impl Samples {
    /// Nothing yet; `partitions` are those of every topic.
    pub(super) fn new(groups: &BTreeSet<String>, partitions: BTreeMap<String, Vec<i32>>) -> Self {
        let watched = groups.iter().map(|group| (group.clone(), Watched::default())).collect();
        Self { groups: groups.clone(), partitions, watched, ..Self::default() }
    }

    /// The groups to ask for.
    pub(super) fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// There are fewer rounds than there should be.
    pub(super) fn cut(&mut self, why: String) {
        self.cut = Some(why);
    }

    /// Begins a round with what was committed, and gives the partitions whose end is to be read: all of each topic in
    /// which a group has committed anything, so that its first commit in another of them is no partition without a past.
    pub(super) fn begin(&mut self, committed: Committed) -> BTreeSet<TopicPartition> {
        let mut wanted = BTreeSet::new();
        let mut places = 0;
        self.committed.clear();
        for (group, watched) in &mut self.watched {
            if !self.groups.contains(group) {
                continue;
            }
            let offsets = match committed.get(group) {
                Some(Ok(offsets)) => offsets,
                Some(Err(error)) => {
                    watched.fails(unreadable(error));
                    continue;
                }
                None => {
                    watched.fails(Gap::unreadable("it was not asked for"));
                    continue;
                }
            };
            watched.take(offsets, &self.partitions);
            places += watched.places.len();
            if places > MAX_PLACES && watched.read == 1 {
                watched.read = 0;
                watched.fails(Gap::unreadable(format!(
                    "left out: an inspection watches {MAX_PLACES} partitions of consumer groups"
                )));
                places -= watched.places.len();
                watched.places.clear();
                self.groups.remove(group);
                continue;
            }
            wanted.extend(watched.places.keys().cloned());
            self.committed.insert(group.clone(), offsets.clone());
        }
        wanted
    }

    /// Ends a round that began at a moment, with the ends of the partitions that it named.
    pub(super) fn end(&mut self, at: Timestamp, ends: &BTreeMap<TopicPartition, Shared<i64>>) {
        for (group, offsets) in std::mem::take(&mut self.committed) {
            let Some(watched) = self.watched.get_mut(&group) else { continue };
            for (partition, place) in &mut watched.places {
                let committed = match offsets.get(partition) {
                    None => None,
                    Some(Ok(offset)) => Some(*offset),
                    Some(Err(code)) => {
                        place.failed = Some(format!("its committed offset: {code}"));
                        continue;
                    }
                };
                match ends.get(partition) {
                    Some(Ok(end)) => place.samples.push(OffsetSample { at, committed, end: *end }),
                    Some(Err(error)) => place.failed = Some(format!("failed to {}", chain(&**error))),
                    None => place.failed = Some("its end was not asked for".to_owned()),
                }
            }
        }
    }

    /// Makes the readings.
    pub(super) fn tell(self, sink: &mut Sink) {
        for (group, watched) in self.watched {
            let part = group_part(&group);
            if watched.read == 0 {
                let why = self.cut.clone().unwrap_or_else(|| "no round of reading began".to_owned());
                sink.gap(OFFSETS, Some(part), watched.why.unwrap_or_else(|| Gap::unreadable(why)), FETCH);
                continue;
            }
            let (offsets, lines) = watched.told(self.cut.as_deref());
            sink.tell_of(&part, OFFSETS, FETCH, Ok(Datum::Offsets(offsets)));
            sink.shown_by(lines);
        }
    }
}

impl Watched {
    fn fails(&mut self, why: Gap) {
        self.failed += 1;
        self.why = Some(why);
    }

    /// Takes the partitions of a round.
    fn take(&mut self, offsets: &BTreeMap<TopicPartition, Result<i64, ErrorCode>>, all: &BTreeMap<String, Vec<i32>>) {
        self.read += 1;
        for partition in offsets.keys() {
            if !self.places.contains_key(partition) {
                let others = all.get(&partition.topic).into_iter().flatten();
                let other = |number: &i32| TopicPartition { topic: partition.topic.clone(), partition: *number };
                for other in others.map(other) {
                    self.places.entry(other).or_default();
                }
            }
            self.places.entry(partition.clone()).or_default().committed = true;
        }
    }

    /// The samples of each partition, and lines on those that are missing. A partition that was committed to and never
    /// read stands there without a sample: nothing can be said of it, and that must show.
    fn told(self, cut: Option<&str>) -> (BTreeMap<String, Vec<OffsetSample>>, Vec<String>) {
        let mut lines: Vec<String> = cut.map(ToOwned::to_owned).into_iter().collect();
        if let Some(Gap::Unreadable(why) | Gap::NotHere(why)) = &self.why {
            lines.push(format!("not read {} times, the last time: {why}", self.failed));
        }
        let mut offsets = BTreeMap::new();
        for (partition, place) in self.places {
            if !place.committed && place.samples.is_empty() {
                continue;
            }
            lines.extend(place.failed.map(|why| format!("{partition}: {why}")));
            offsets.insert(partition.to_string(), place.samples);
        }
        lines.truncate(MAX_LINES);
        (offsets, lines)
    }
}
