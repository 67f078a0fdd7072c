//! Following an op from a sequence number on.
//!
//! Purpose: a client gets every event from the one that it lacks, once and in order, and `finished` last; also when it
//! comes back after the agent was restarted.
//! Memory: one batch a reader. A reader that does not read holds nothing else and slows nobody.
//! Not here: messages (`service`).

use super::blocking;
use super::entry::{Entry, View};
use crate::journal::StateError;
use crate::journal::error::chain;
use crate::journal::spool::{Reader, SpoolDir};
use kfleet_model::{OpEnd, OpEvent, OpEventKind};
use std::sync::Arc;
use tokio::sync::watch;

/// What a reader holds at most, but for one event that is larger.
const BATCH_BYTES: usize = 256 * 1024;

/// Events of memory in one batch.
const BATCH_EVENTS: usize = 64;

/// Why an op can not be followed further.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The spool can not be read.
    #[error("failed to {}", chain(.0))]
    State(#[from] StateError),
    /// The agent stops before the op has begun.
    #[error("the agent is stopping and the op has not begun; submit it again when the agent is back")]
    Stopping,
}

/// One reader of one op.
#[derive(Debug)]
pub struct Follower {
    entry: Arc<Entry>,
    next: u64,
    reader: Option<Reader>,
    grown: watch::Receiver<u64>,
    over: bool,
}

impl Follower {
    /// A reader that lacks `from` and all after it.
    #[must_use]
    pub fn new(entry: Arc<Entry>, from: u64) -> Self {
        let grown = entry.subscribe();
        Self { entry, next: from, reader: None, grown, over: false }
    }

    /// The next events, waiting for them; none after `finished`.
    ///
    /// # Errors
    /// When the spool can not be read, or the agent stops.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing: the place moves only with what is returned.
    pub async fn next(&mut self) -> Result<Option<Vec<OpEvent>>, FollowError> {
        while !self.over {
            // Seen before the look, so that what comes during it wakes the wait below.
            self.grown.borrow_and_update();
            let (events, end) = match self.entry.view(self.next, BATCH_EVENTS) {
                View::Memory(events, end) => (events, end),
                View::Spool(spool, end) => (self.read_spool(spool).await?, end),
            };
            if !events.is_empty() {
                self.next += events.len() as u64;
                return Ok(Some(events));
            }
            // The end was taken before the events were read, so nothing can stand between the two.
            if let Some(end) = end {
                self.over = true;
                return Ok(Some(vec![self.finished(&end)]));
            }
            if self.entry.is_abandoned() {
                return Err(FollowError::Stopping);
            }
            // The sender lives in the entry that this reader holds.
            if self.grown.changed().await.is_err() {
                break;
            }
        }
        Ok(None)
    }

    /// The end has the number that this reader lacks. After a power cut the events may be fewer than the reader has seen:
    /// then it follows on what the reader has, without a gap.
    fn finished(&self, end: &OpEnd) -> OpEvent {
        OpEvent { seq: self.next, kind: OpEventKind::Finished(Box::new(end.clone())) }
    }

    async fn read_spool(&mut self, spool: SpoolDir) -> Result<Vec<OpEvent>, StateError> {
        let reader = self.reader.take();
        let next = self.next;
        let (reader, events) = blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => Reader::open(&spool)?,
            };
            reader.skip_to(next)?;
            let mut events = reader.next_batch(BATCH_BYTES)?;
            events.retain(|event| event.seq >= next);
            Ok::<_, StateError>((reader, events))
        })
        .await?;
        self.reader = Some(reader);
        Ok(events)
    }
}
