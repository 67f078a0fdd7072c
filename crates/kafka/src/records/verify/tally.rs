//! Judges what is read, record by record. Pure.

use crate::records::producer::partition_of;
use crate::records::{Listed, Numbers, ProducerReport};
use kfleet_model::RunId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What reading back came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The run whose records were looked for.
    pub run: RunId,
    /// The topic.
    pub topic: String,
    /// How many numbers the producer has acknowledgements for.
    pub acknowledged: u64,
    /// Each partition's part.
    pub partitions: BTreeMap<i32, PartitionTally>,
}

/// What one partition holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionTally {
    /// The first offset that it has. Above zero, retention has deleted records, and they count as missing.
    pub from_offset: i64,
    /// The high watermark, up to which it was read.
    pub to_offset: i64,
    /// Records of the run that were read, repeated ones each time.
    pub read: u64,
    /// Acknowledged numbers that belong here and were not read.
    pub missing: Listed,
    /// Numbers that were read more than once, each repeat counted.
    pub duplicated: Listed,
    /// Numbers that came after a higher one.
    pub out_of_order: Listed,
    /// Numbers that were read without the producer having an acknowledgement: written, and the answer was lost.
    pub unacknowledged: Listed,
    /// Records of other runs or of something else.
    pub foreign: u64,
}

impl Verification {
    /// Whether every acknowledged record is there once and in order.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing() == 0 && self.duplicated() == 0 && self.out_of_order() == 0
    }

    /// Records of the run that were read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.sum(|tally| tally.read)
    }

    /// Acknowledged records that are not there.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.sum(|tally| tally.missing.count)
    }

    /// Repeats.
    #[must_use]
    pub fn duplicated(&self) -> u64 {
        self.sum(|tally| tally.duplicated.count)
    }

    /// Records that came after a higher number.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        self.sum(|tally| tally.out_of_order.count)
    }

    /// Records that are there without an acknowledgement.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        self.sum(|tally| tally.unacknowledged.count)
    }

    fn sum(&self, part: fn(&PartitionTally) -> u64) -> u64 {
        self.partitions.values().map(part).sum()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records read back from {} partitions of '{}'", self.read(), self.partitions.len(), self.topic)?;
        write!(f, " for {} acknowledged: {} missing", self.acknowledged, self.missing())?;
        write!(f, ", {} repeated, {} out of order", self.duplicated(), self.out_of_order())?;
        if self.unacknowledged() > 0 {
            write!(f, ", {} more without an acknowledgement", self.unacknowledged())?;
        }
        for (partition, tally) in &self.partitions {
            let wrong =
                [("missing", &tally.missing), ("repeated", &tally.duplicated), ("out of order", &tally.out_of_order)];
            for (what, list) in wrong.into_iter().filter(|(_, list)| list.count > 0) {
                write!(f, "; {}-{partition} {what}: {list}", self.topic)?;
            }
        }
        Ok(())
    }
}

/// The judging while records come in.
pub(super) struct Tally<'a> {
    report: &'a ProducerReport,
    partitions: BTreeMap<i32, PartitionTally>,
    /// The highest number of each partition so far.
    highest: BTreeMap<i32, u64>,
    seen: Numbers,
}

impl<'a> Tally<'a> {
    pub(super) fn new(report: &'a ProducerReport) -> Self {
        Self { report, partitions: BTreeMap::new(), highest: BTreeMap::new(), seen: Numbers::default() }
    }

    /// Takes note of a partition and its offsets.
    pub(super) fn begin(&mut self, partition: i32, from_offset: i64, to_offset: i64) {
        self.partitions.insert(partition, PartitionTally { from_offset, to_offset, ..PartitionTally::default() });
    }

    /// Takes note of a record; none is one of something else.
    pub(super) fn read(&mut self, partition: i32, number: Option<u64>) {
        let tally = self.partitions.entry(partition).or_default();
        let Some(number) = number else {
            tally.foreign += 1;
            return;
        };
        tally.read += 1;
        if !self.seen.insert(number) {
            tally.duplicated.push(number);
            return;
        }
        if !self.report.acknowledged.contains(number) {
            tally.unacknowledged.push(number);
        }
        match self.highest.get(&partition) {
            Some(&highest) if number < highest => tally.out_of_order.push(number),
            Some(_) | None => _ = self.highest.insert(partition, number),
        }
    }

    pub(super) fn finish(mut self) -> Verification {
        for number in self.report.acknowledged.without(&self.seen) {
            let partition = partition_of(number, self.report.partitions);
            self.partitions.entry(partition).or_default().missing.push(number);
        }
        Verification {
            run: self.report.run.clone(),
            topic: self.report.topic.clone(),
            acknowledged: self.report.acknowledged.count(),
            partitions: self.partitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Ending;

    type Ranges = [(u64, u64)];
    /// The numbers of each partition in the order of reading.
    type Read<'a> = [(i32, &'a [u64])];

    fn report(acknowledged: &Ranges) -> ProducerReport {
        ProducerReport {
            run: RunId::new("r").unwrap(),
            topic: "orders".into(),
            partitions: 2,
            sent: 10,
            acknowledged: Numbers::from(acknowledged.to_vec()),
            failed: Listed::default(),
            failures: BTreeMap::new(),
            longest_gap_ms: 0,
            wrote_for_ms: 0,
            ending: Ending::Stopped,
        }
    }

    fn verification(acknowledged: &Ranges, read: &Read<'_>) -> Verification {
        let report = report(acknowledged);
        let mut tally = Tally::new(&report);
        tally.begin(0, 0, 5);
        tally.begin(1, 0, 5);
        for (partition, numbers) in read {
            numbers.iter().for_each(|&number| tally.read(*partition, Some(number)));
        }
        tally.finish()
    }

    #[test]
    fn every_way_to_be_wrong_is_told_by_partition_and_number() {
        let cases: [(&str, &Ranges, &Read<'_>, &str); 6] = [
            (
                "all is well",
                &[(0, 5)],
                &[(0, &[0, 2, 4]), (1, &[1, 3, 5])],
                "6 records read back from 2 partitions of 'orders' for 6 acknowledged: 0 missing, 0 repeated, 0 out of order",
            ),
            (
                "lost",
                &[(0, 5)],
                &[(0, &[0, 4]), (1, &[1, 3])],
                "4 records read back from 2 partitions of 'orders' for 6 acknowledged: 2 missing, 0 repeated, 0 out of order; orders-0 missing: 1 (2); orders-1 missing: 1 (5)",
            ),
            (
                "repeated, later ones after it in order",
                &[(0, 3)],
                &[(0, &[0, 2, 0, 2]), (1, &[1, 3])],
                "6 records read back from 2 partitions of 'orders' for 4 acknowledged: 0 missing, 2 repeated, 0 out of order; orders-0 repeated: 2 (0, 2)",
            ),
            (
                "out of order",
                &[(0, 4)],
                &[(0, &[4, 0, 2]), (1, &[1, 3])],
                "5 records read back from 2 partitions of 'orders' for 5 acknowledged: 0 missing, 0 repeated, 2 out of order; orders-0 out of order: 2 (0, 2)",
            ),
            (
                "written without an acknowledgement",
                &[(0, 1)],
                &[(0, &[0, 2]), (1, &[1])],
                "3 records read back from 2 partitions of 'orders' for 2 acknowledged: 0 missing, 0 repeated, 0 out of order, 1 more without an acknowledgement",
            ),
            (
                "nothing there",
                &[(0, 0)],
                &[],
                "0 records read back from 2 partitions of 'orders' for 1 acknowledged: 1 missing, 0 repeated, 0 out of order; orders-0 missing: 1 (0)",
            ),
        ];
        for (name, acknowledged, read, expected) in cases {
            let verification = verification(acknowledged, read);
            assert_eq!(verification.to_string(), expected, "{name}");
            assert_eq!(verification.is_clean(), !expected.contains(';'), "{name}");
            let text = serde_json::to_string(&verification).unwrap();
            assert_eq!(serde_json::from_str::<Verification>(&text).unwrap(), verification, "{name}");
        }
    }

    #[test]
    fn records_of_others_are_counted_apart() {
        let report = report(&[(0, 0)]);
        let mut tally = Tally::new(&report);
        tally.begin(0, 3, 9);
        tally.read(0, None);
        tally.read(0, Some(0));
        let verification = tally.finish();
        let expected =
            PartitionTally { from_offset: 3, to_offset: 9, read: 1, foreign: 1, ..PartitionTally::default() };
        assert_eq!(verification.partitions, BTreeMap::from([(0, expected)]));
    }
}
