//! Reads a topic back from its beginning and compares it with the producer's report.

mod tally;

use super::topic::{client_config, partition_count};
use super::{LibraryError, ProducerReport, RecordsError, blocking, record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tally::Tally;
pub use tally::{PartitionTally, Verification};

/// How long one poll waits; the deadline is looked at between two.
const POLL: Duration = Duration::from_millis(200);

/// Reads every partition from its beginning to the high watermark that it has now, and says what of the report's
/// records is missing, repeated or out of order.
///
/// Write nothing to the topic meanwhile: what comes later is not read, and would count as missing.
///
/// # Errors
/// When the brokers are not reached or the ends are not reached within the time.
pub async fn verify(bootstrap: &str, report: &ProducerReport, limit: Duration) -> Result<Verification, RecordsError> {
    let partitions = partition_count(bootstrap, &report.topic, limit).await?;
    let (at, report) = (bootstrap.to_owned(), report.clone());
    blocking(bootstrap, move || Reader { bootstrap: &at, report: &report, limit }.read(partitions)).await
}

/// The blocking part.
struct Reader<'a> {
    bootstrap: &'a str,
    report: &'a ProducerReport,
    limit: Duration,
}

impl Reader<'_> {
    fn read(&self, partitions: i32) -> Result<Verification, RecordsError> {
        let start = Instant::now();
        let consumer: BaseConsumer = client_config(self.bootstrap)
            // A consumer must have a group, though this one neither joins it nor commits to it.
            .set("group.id", format!("kfleet-verify-{}", self.report.run))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .create()
            .map_err(|source| {
                let bootstrap = self.bootstrap.to_owned();
                RecordsError::Client { bootstrap, source: LibraryError::from(source) }
            })?;
        let mut tally = Tally::new(self.report);
        let mut ends = self.assign(&consumer, partitions, &mut tally)?;
        while !ends.is_empty() {
            if start.elapsed() >= self.limit {
                return Err(self.timeout(&ends, start.elapsed()));
            }
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(&end) = ends.get(&partition) else { continue };
                    if offset < end {
                        let number = message.payload().and_then(|value| record::number_of(&self.report.run, value));
                        tally.read(partition, number);
                    }
                    if offset + 1 >= end {
                        ends.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => _ = ends.remove(&partition),
                // The library reconnects and looks for leaders by itself and says so; the limit ends what does not pass.
                Some(Err(error)) if passes(&error) => tracing::debug!(%error, "while records were read back"),
                Some(Err(source)) => return Err(self.failed(source)),
            }
        }
        Ok(tally.finish())
    }

    /// Begins at the beginning of every partition. Returns the ends of those that hold anything.
    fn assign(
        &self,
        consumer: &BaseConsumer,
        partitions: i32,
        tally: &mut Tally<'_>,
    ) -> Result<BTreeMap<i32, i64>, RecordsError> {
        let mut ends = BTreeMap::new();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            let topic = &self.report.topic;
            let (low, high) = self.extent(consumer, partition)?;
            tally.begin(partition, low, high);
            if low < high {
                ends.insert(partition, high);
                let from = assignment.add_partition_offset(topic, partition, Offset::Offset(low));
                from.map_err(|e| self.failed(e))?;
            }
        }
        consumer.assign(&assignment).map_err(|e| self.failed(e))?;
        Ok(ends)
    }

    /// Where a partition begins and ends. A leader that has just moved is looked for again, as every consumer does.
    fn extent(&self, consumer: &BaseConsumer, partition: i32) -> Result<(i64, i64), RecordsError> {
        let topic = &self.report.topic;
        let begun = Instant::now();
        loop {
            match consumer.fetch_watermarks(topic, partition, self.limit) {
                Err(error) if passes(&error) && begun.elapsed() < self.limit => {
                    tracing::debug!(%error, partition, "while the ends of a partition were asked for");
                    match consumer.fetch_metadata(Some(topic), self.limit) {
                        Err(error) if !passes(&error) => return Err(self.failed(error)),
                        Ok(_) | Err(_) => {}
                    }
                    // Nothing is assigned yet, so this is a pause.
                    if let Some(Err(error)) = consumer.poll(POLL) {
                        tracing::debug!(%error, partition, "while a leader was looked for");
                    }
                }
                outcome => return outcome.map_err(|e| self.failed(e)),
            }
        }
    }

    fn failed(&self, source: KafkaError) -> RecordsError {
        RecordsError::Read {
            bootstrap: self.bootstrap.to_owned(),
            topic: self.report.topic.clone(),
            source: LibraryError::from(source),
        }
    }

    fn timeout(&self, ends: &BTreeMap<i32, i64>, waited: Duration) -> RecordsError {
        RecordsError::ReadTimeout {
            bootstrap: self.bootstrap.to_owned(),
            topic: self.report.topic.clone(),
            unfinished: ends.keys().copied().collect(),
            waited,
        }
    }
}

/// Whether an error is of a kind that passes while brokers restart and leaders move: Kafka's own retriable errors
/// (<https://kafka.apache.org/protocol#protocol_error_codes>) and a lost connection.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::KafkaStorageError
                | Code::RequestTimedOut
                | Code::NetworkException
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_while_leaders_move_is_asked_again_and_nothing_else_is() {
        use RDKafkaErrorCode as Code;
        for (code, again) in [
            (Code::NotLeaderForPartition, true),
            (Code::LeaderNotAvailable, true),
            // A new leader whose high watermark is not known yet (KIP-207).
            (Code::OffsetNotAvailable, true),
            (Code::FencedLeaderEpoch, true),
            (Code::BrokerTransportFailure, true),
            (Code::OperationTimedOut, true),
            (Code::UnknownTopicOrPartition, false),
            (Code::OffsetOutOfRange, false),
            (Code::AutoOffsetReset, false),
            (Code::TopicAuthorizationFailed, false),
            (Code::Authentication, false),
        ] {
            assert_eq!(passes(&KafkaError::MetadataFetch(code)), again, "{code:?}");
        }
    }
}
