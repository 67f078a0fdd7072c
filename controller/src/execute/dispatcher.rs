//! The dispatcher: the one owner of a run's event stream.
//!
//! Everything that happens in a run comes here through one channel, gets its number and time, is stored, and goes to
//! the consumers (terminal, JSON lines) in that order. Nobody else writes to the store's events or to the terminal.

use crate::history::{OpRecord, Store, StoreError};
use crate::report::Consumer;
use kfleet_model::RunId;
use kfleet_model::event::{Event, EventKind};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Filled by the executors of all hosts, emptied by the dispatcher; an executor waits when the terminal or the
/// disk is slower than the hosts, which keeps memory bounded.
const QUEUE: usize = 512;

/// Events that are stored in one transaction at most.
const GROUP: usize = 256;

/// Bytes of hosts' output that wait or are being stored and shown. A place in the queue may hold a line or a piece of
/// 256 KiB, so places alone do not bound memory; this much keeps the disk busy from one transaction to the next.
const OUTPUT_BYTES: u32 = 4 << 20;

enum Message {
    /// The permit is its share of [`OUTPUT_BYTES`], given back when the event is stored and shown.
    Event(Box<EventKind>, Option<OwnedSemaphorePermit>),
    Op(Box<OpRecord>),
    Flush(oneshot::Sender<()>),
}

/// The sending side, given to everybody who takes part in the run.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Message>,
    output: Arc<Semaphore>,
}

impl Events {
    fn with_queue() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, output: Arc::new(Semaphore::new(OUTPUT_BYTES as usize)) }, receiver)
    }

    /// Puts an event into the stream. After the dispatcher has stopped it is dropped: the run is over.
    pub async fn send(&self, kind: EventKind) {
        let share = match output_bytes(&kind) {
            0 => None,
            bytes => self.output.clone().acquire_many_owned(bytes).await.ok(),
        };
        let _closed = self.sender.send(Message::Event(Box::new(kind), share)).await;
    }

    /// Stores an op's outcome, behind the events that were sent before it.
    pub async fn store_op(&self, op: OpRecord) {
        let _closed = self.sender.send(Message::Op(Box::new(op))).await;
    }

    /// Waits until all that was sent before is stored and shown.
    pub async fn flush(&self) {
        let (done, waiting) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            let _stopped = waiting.await;
        }
    }
}

/// The running dispatcher.
pub struct Dispatcher {
    task: JoinHandle<Result<(), StoreError>>,
}

impl Dispatcher {
    /// Starts it; `next_seq` is where a resumed run's numbers go on.
    pub fn start(run: RunId, next_seq: u64, store: Option<Store>, consumers: Vec<Box<dyn Consumer>>) -> (Self, Events) {
        let (events, receiver) = Events::with_queue();
        let state = State { run, next_seq, store, consumers };
        let task = tokio::spawn(state.run(receiver));
        (Self { task }, events)
    }

    /// Waits until every sender is gone and everything is stored.
    ///
    /// # Errors
    /// When the store failed in the middle of the run; the run itself went on.
    pub async fn finish(self) -> Result<(), StoreError> {
        match self.task.await {
            Ok(outcome) => outcome,
            Err(error) => {
                if error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
                Ok(())
            }
        }
    }
}

struct State {
    run: RunId,
    next_seq: u64,
    store: Option<Store>,
    consumers: Vec<Box<dyn Consumer>>,
}

impl State {
    async fn run(mut self, mut receiver: mpsc::Receiver<Message>) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        let mut group = Vec::with_capacity(GROUP);
        while receiver.recv_many(&mut group, GROUP).await > 0 {
            let (mut events, mut ops, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
            let mut shares = Vec::new();
            for message in group.drain(..) {
                match message {
                    Message::Event(kind, share) => {
                        events.push(self.number(*kind));
                        shares.extend(share);
                    }
                    Message::Op(op) => ops.push(*op),
                    Message::Flush(done) => flushed.push(done),
                }
            }
            if let Some(store) = &self.store
                && let Err(error) = store.append(&self.run, &events, &ops).await
                && outcome.is_ok()
            {
                // The hosts' work goes on: agents keep their own records. The operator is told once, now and at the end.
                let text = format!("the run is not being recorded any more: {}", crate::report::chain(&error));
                events.push(self.number(EventKind::Warning { text }));
                outcome = Err(error);
                self.store = None;
            }
            for event in &events {
                for consumer in &mut self.consumers {
                    consumer.event(event);
                }
            }
            drop(shares);
            for done in flushed {
                let _gone = done.send(());
            }
        }
        for consumer in &mut self.consumers {
            consumer.finish();
        }
        outcome
    }

    fn number(&mut self, kind: EventKind) -> Event {
        let seq = self.next_seq;
        self.next_seq += 1;
        Event { run: self.run.clone(), seq, time: now(), kind }
    }
}

/// What an event takes of [`OUTPUT_BYTES`]: never more than all of it, so that the largest piece passes alone.
fn output_bytes(kind: &EventKind) -> u32 {
    let EventKind::HostOutput { text, .. } = kind else { return 0 };
    u32::try_from(text.len()).unwrap_or(u32::MAX).min(OUTPUT_BYTES)
}

/// The wall clock as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use kfleet_model::HostName;

    fn output(bytes: usize) -> EventKind {
        let host = HostName::new("h1").expect("a valid name");
        EventKind::HostOutput { host, text: "x".repeat(bytes), stderr: false }
    }

    #[tokio::test]
    async fn output_waits_when_much_of_it_is_waiting_and_other_events_do_not() {
        let piece = 256 << 10;
        let fits = OUTPUT_BYTES as usize / piece;
        let (events, mut receiver) = Events::with_queue();
        for sent in 0..fits {
            assert!(events.send(output(piece)).now_or_never().is_some(), "piece {sent} of {fits} has to wait");
        }
        assert!(events.send(output(piece)).now_or_never().is_none(), "one piece too many does not wait");
        let other = EventKind::Warning { text: "w".repeat(piece) };
        assert!(events.send(other).now_or_never().is_some(), "what is not output waits for output");
        drop(receiver.recv().await);
        assert!(events.send(output(piece)).now_or_never().is_some(), "what was stored and shown frees its share");
    }

    #[tokio::test]
    async fn a_piece_larger_than_all_that_may_wait_passes_alone() {
        let (events, mut receiver) = Events::with_queue();
        let larger = OUTPUT_BYTES as usize + 1;
        assert!(events.send(output(larger)).now_or_never().is_some());
        assert!(events.send(output(1)).now_or_never().is_none());
        drop(receiver.recv().await);
        assert!(events.send(output(1)).now_or_never().is_some());
    }
}
