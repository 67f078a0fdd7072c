//! Where librdkafka's thread writes down what became of each record.

use super::{Listed, Numbers};
use rdkafka::ClientContext;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The fate of records.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) acknowledged: Numbers,
    pub(super) failed: Listed,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) longest_gap: Duration,
    last: Option<Instant>,
}

impl Ledger {
    fn acknowledge(&mut self, number: u64, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            self.longest_gap = self.longest_gap.max(now.saturating_duration_since(last));
        }
        self.acknowledged.insert(number);
    }

    fn fail(&mut self, number: u64, why: String) {
        self.failed.push(number);
        *self.failures.entry(why).or_default() += 1;
    }
}

/// The ledger as the producer's thread and its owner hold it. The lock is held for one entry at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    /// The ledger as it stands.
    pub(super) fn into_ledger(self) -> Ledger {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Shared {}

impl ProducerContext<NoCustomPartitioner> for Shared {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => ledger.acknowledge(*number, Instant::now()),
            Err((error, _)) => ledger.fail(*number, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_between_two_acknowledgements_in_a_row() {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        for (number, at_ms) in [(0, 5_000), (2, 5_010), (1, 5_900), (3, 5_950)] {
            ledger.acknowledge(number, start + Duration::from_millis(at_ms));
        }
        assert_eq!(ledger.longest_gap, Duration::from_millis(890), "the time before the first one is no gap");
        assert_eq!(ledger.acknowledged.count(), 4);
    }

    #[test]
    fn failures_are_counted_by_their_cause() {
        let mut ledger = Ledger::default();
        for (number, why) in [(1, "timed out"), (2, "timed out"), (3, "too large")] {
            ledger.fail(number, why.to_owned());
        }
        assert_eq!(ledger.failed.first, [1, 2, 3]);
        assert_eq!(ledger.failures, BTreeMap::from([("timed out".into(), 2), ("too large".into(), 1)]));
    }
}
