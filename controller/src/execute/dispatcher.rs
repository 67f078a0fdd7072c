//! The dispatcher: the one owner of a run's event stream.
//!
//! Everything that happens in a run comes here through one channel, gets its number and time, is stored, and goes to
//! the consumers (terminal, JSON lines) in that order. Nobody else writes to the store's events or to the terminal.

use crate::history::{OpRecord, Store, StoreError};
use crate::report::Consumer;
use kfleet_model::RunId;
use kfleet_model::event::{Event, EventKind};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Filled by the executors of all hosts, emptied by the dispatcher; an executor waits when the terminal or the
/// disk is slower than the hosts, which keeps memory bounded.
const QUEUE: usize = 512;

/// Events that are stored in one transaction at most.
const GROUP: usize = 256;

enum Message {
    Event(Box<EventKind>),
    Op(Box<OpRecord>),
    Flush(oneshot::Sender<()>),
}

/// The sending side, given to everybody who takes part in the run.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Message>,
}

impl Events {
    /// Puts an event into the stream. After the dispatcher has stopped it is dropped: the run is over.
    pub async fn send(&self, kind: EventKind) {
        let _closed = self.sender.send(Message::Event(Box::new(kind))).await;
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
        let (sender, receiver) = mpsc::channel(QUEUE);
        let state = State { run, next_seq, store, consumers };
        let task = tokio::spawn(state.run(receiver));
        (Self { task }, Events { sender })
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
            for message in group.drain(..) {
                match message {
                    Message::Event(kind) => events.push(self.number(*kind)),
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

/// The wall clock as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
