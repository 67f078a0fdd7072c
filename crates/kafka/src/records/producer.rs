//! Writes numbered records and keeps a ledger of what became of each.

mod ledger;

use super::topic::{client_config, partition_count};
use super::{LibraryError, Listed, Numbers, RecordsError, blocking, record};
use kfleet_model::RunId;
use ledger::{Ledger, Shared};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often records that are due are handed over. At most this much time's worth goes out at once.
const TICK: Duration = Duration::from_millis(5);

/// How long looking up the topic may take before the first record.
const LOOK_UP: Duration = Duration::from_secs(30);

/// What to write, how fast, and for how long at most.
#[derive(Debug, Clone)]
pub struct Producer {
    /// Brokers to begin with, `HOST:PORT` separated by commas.
    pub bootstrap: String,
    /// The topic; it must exist.
    pub topic: String,
    /// Stands in every record, so that several runs can share a topic.
    pub run: RunId,
    /// `enable.idempotence`: retries neither repeat nor reorder records.
    pub idempotent: bool,
    /// Records a second, on average.
    pub rate: u32,
    /// The size of a record's value in bytes; never less than its number needs.
    pub value_bytes: usize,
    /// How many records at most.
    pub max_records: u64,
    /// How long at most.
    pub max_time: Duration,
    /// `delivery.timeout.ms`: how long a record is retried before it counts as failed.
    pub delivery_timeout: Duration,
}

impl Producer {
    /// Idempotent, 200 records of 100 bytes a second, at most a million of them in an hour, each retried for 2 minutes
    /// (the default of Kafka's own producer).
    #[must_use]
    pub fn new(bootstrap: impl Into<String>, topic: impl Into<String>, run: RunId) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            topic: topic.into(),
            run,
            idempotent: true,
            rate: 200,
            value_bytes: 100,
            max_records: 1_000_000,
            max_time: Duration::from_secs(3600),
            delivery_timeout: Duration::from_secs(120),
        }
    }

    /// Writes records with `acks=all` until told to stop or a bound is reached, then waits until each one is
    /// acknowledged or has failed.
    ///
    /// It is told to stop by the value true, or by the sender's end.
    ///
    /// # Errors
    /// When the topic can not be looked up or the client not be set up. Records that fail are no error; they stand in
    /// the report.
    ///
    /// # Cancellation
    /// A dropped future leaves records of unknown fate: use `stop`.
    pub async fn run(&self, stop: watch::Receiver<bool>) -> Result<ProducerReport, RecordsError> {
        let partitions = partition_count(&self.bootstrap, &self.topic, LOOK_UP).await?;
        let ledger = Shared::default();
        let client: ThreadedProducer<Shared> = self.config().create_with_context(ledger.clone()).map_err(|source| {
            RecordsError::Client { bootstrap: self.bootstrap.clone(), source: LibraryError::from(source) }
        })?;
        let client = Arc::new(client);
        let start = Instant::now();
        let (sent, ending) = self.write(&client, partitions, stop).await;
        let wrote_for = start.elapsed();
        let wait = self.delivery_timeout + Duration::from_secs(5);
        blocking(&self.bootstrap, move || {
            // Its one error is that time is up; what is unresolved then is in the ledger's difference. The client is
            // dropped here because that waits for its thread.
            if let Err(error) = client.flush(wait) {
                tracing::warn!(%error, "records are still unresolved");
            }
            drop(client);
            Ok(())
        })
        .await?;
        Ok(self.report(partitions, sent, ending, wrote_for, ledger.into_ledger()))
    }

    fn config(&self) -> rdkafka::ClientConfig {
        let mut config = client_config(&self.bootstrap);
        config
            .set("acks", "all")
            .set("enable.idempotence", self.idempotent.to_string())
            .set("delivery.timeout.ms", self.delivery_timeout.as_millis().to_string())
            .set("linger.ms", "5");
        config
    }

    /// Hands records over as they become due. Returns how many, and why no more.
    async fn write(
        &self,
        client: &ThreadedProducer<Shared>,
        partitions: i32,
        mut stop: watch::Receiver<bool>,
    ) -> (u64, Ending) {
        let start = Instant::now();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent = 0;
        loop {
            // Both branches are cancel safe: a tick that is not taken comes again, and a stop stays set.
            tokio::select! {
                biased;
                _ = stop.wait_for(|&stop| stop) => return (sent, Ending::Stopped),
                _ = ticks.tick() => {}
            }
            if start.elapsed() >= self.max_time {
                return (sent, Ending::Time);
            }
            let due = u128::from(self.rate) * start.elapsed().as_millis() / 1000 + 1;
            let due = u64::try_from(due).unwrap_or(u64::MAX).min(self.max_records);
            while sent < due {
                match self.send(client, partitions, sent) {
                    Ok(()) => sent += 1,
                    // Brokers are slow or away. What is due waits here and follows when there is room.
                    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => break,
                    Err(error) => return (sent, Ending::Failure { why: error.to_string() }),
                }
            }
            if sent >= self.max_records {
                return (sent, Ending::Records);
            }
        }
    }

    fn send(&self, client: &ThreadedProducer<Shared>, partitions: i32, number: u64) -> Result<(), KafkaError> {
        let value = record::value_of(&self.run, number, self.value_bytes);
        let record = BaseRecord::<(), str, Box<u64>>::with_opaque_to(&self.topic, Box::new(number))
            .partition(partition_of(number, partitions))
            .payload(&value);
        client.send(record).map_err(|(error, _)| error)
    }

    fn report(
        &self,
        partitions: i32,
        sent: u64,
        ending: Ending,
        wrote_for: Duration,
        ledger: Ledger,
    ) -> ProducerReport {
        ProducerReport {
            run: self.run.clone(),
            topic: self.topic.clone(),
            partitions,
            sent,
            failed: ledger.failed,
            failures: ledger.failures,
            longest_gap_ms: millis(ledger.longest_gap),
            wrote_for_ms: millis(wrote_for),
            acknowledged: ledger.acknowledged,
            ending,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Where a number goes.
pub(super) fn partition_of(number: u64, partitions: i32) -> i32 {
    let partitions = u64::try_from(partitions).unwrap_or(1).max(1);
    i32::try_from(number % partitions).unwrap_or(0)
}

/// Why no more records were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Ending {
    /// The caller said so.
    Stopped,
    /// All records are written.
    Records,
    /// The time is over.
    Time,
    /// The client can not go on, for example after an error that an idempotent producer can not retry.
    Failure {
        /// What librdkafka said.
        why: String,
    },
}

/// What became of the records of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerReport {
    /// The run.
    pub run: RunId,
    /// The topic.
    pub topic: String,
    /// How many partitions it had.
    pub partitions: i32,
    /// Records handed over; their numbers are 0 to this, less one.
    pub sent: u64,
    /// The numbers that were acknowledged by all in-sync replicas.
    pub acknowledged: Numbers,
    /// Records that were given up.
    pub failed: Listed,
    /// Why, each with its count.
    pub failures: BTreeMap<String, u64>,
    /// The longest time between two acknowledgements that followed each other, in milliseconds.
    pub longest_gap_ms: u64,
    /// How long records were handed over, in milliseconds.
    pub wrote_for_ms: u64,
    /// Why no more were written.
    pub ending: Ending,
}

impl ProducerReport {
    /// Records that were neither acknowledged nor given up when waiting for them ended.
    #[must_use]
    pub fn unresolved(&self) -> u64 {
        self.sent.saturating_sub(self.acknowledged.count()).saturating_sub(self.failed.count)
    }

    /// Whether every record was acknowledged and the client went on to the end.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        match &self.ending {
            Ending::Failure { .. } => false,
            Ending::Stopped | Ending::Records | Ending::Time => self.acknowledged.count() == self.sent,
        }
    }
}

impl fmt::Display for ProducerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, acknowledged, seconds) = (self.sent, self.acknowledged.count(), self.wrote_for_ms / 1000);
        write!(
            f,
            "{sent} records sent to '{}' in {seconds} s with acks=all: {acknowledged} acknowledged, ",
            self.topic
        )?;
        write!(f, "{} failed, {} unresolved, ", self.failed.count, self.unresolved())?;
        write!(f, "longest gap between acknowledgements {} ms", self.longest_gap_ms)?;
        for (why, count) in &self.failures {
            write!(f, "; {count} failed: {why}")?;
        }
        match &self.ending {
            Ending::Failure { why } => write!(f, "; stopped by itself: {why}"),
            Ending::Stopped | Ending::Records | Ending::Time => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sent: u64, acknowledged: &[(u64, u64)], failed: &[u64], ending: Ending) -> ProducerReport {
        let mut list = Listed::default();
        failed.iter().for_each(|&number| list.push(number));
        let failures = failed.iter().map(|_| ("Local: Message timed out".to_owned(), failed.len() as u64)).collect();
        ProducerReport {
            run: RunId::new("r").unwrap(),
            topic: "orders".into(),
            partitions: 3,
            sent,
            acknowledged: Numbers::from(acknowledged.to_vec()),
            failed: list,
            failures,
            longest_gap_ms: 812,
            wrote_for_ms: 61_500,
            ending,
        }
    }

    #[test]
    fn a_report_says_what_became_of_every_record() {
        let clean = report(300, &[(0, 299)], &[], Ending::Stopped);
        assert!(clean.is_clean());
        assert_eq!(
            clean.to_string(),
            "300 records sent to 'orders' in 61 s with acks=all: 300 acknowledged, 0 failed, 0 unresolved, \
             longest gap between acknowledgements 812 ms"
        );
        let failure = Ending::Failure { why: "fatal".into() };
        let bad = report(10, &[(0, 6)], &[7], failure);
        assert!(!bad.is_clean());
        assert_eq!(
            bad.to_string(),
            "10 records sent to 'orders' in 61 s with acks=all: 7 acknowledged, 1 failed, 2 unresolved, \
             longest gap between acknowledgements 812 ms; 1 failed: Local: Message timed out; stopped by itself: fatal"
        );
        let text = serde_json::to_string(&bad).unwrap();
        assert_eq!(serde_json::from_str::<ProducerReport>(&text).unwrap(), bad);
    }

    #[test]
    fn numbers_go_round_the_partitions() {
        let partitions: Vec<_> = (0..7).map(|number| partition_of(number, 3)).collect();
        assert_eq!(partitions, [0, 1, 2, 0, 1, 2, 0]);
    }
}
