//! Observations: reading the host beside the ops, remembering nothing.

use super::entry::Entry;
use super::{Ops, blocking};
use crate::host::{HostView, RealHost};
use crate::runner;
use kfleet_model::ids::NameError;
use kfleet_model::{Map, Op, OpId, RunId};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Why an observation was not made.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// All places were taken until the deadline.
    #[error("the deadline passed while it waited for a place among the host's running ops")]
    Late,
    /// A bug.
    #[error("the observation panicked (a bug of kfleet): {0}")]
    Panicked(String),
    /// A bug as well: a fixed name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Ops {
    /// Reads the host outside the table: nothing of it is remembered.
    ///
    /// # Errors
    /// When no place came free before the deadline, or the reader panicked.
    ///
    /// # Cancellation
    /// Dropping the future stops the reader at its next wait.
    pub async fn observe<T: Send + 'static>(
        &self,
        deadline: Duration,
        read: impl FnOnce(&dyn HostView) -> T + Send + 'static,
    ) -> Result<T, ObserveError> {
        let op = observation(deadline)?;
        let entry = Arc::new(Entry::new(&op, String::new(), false));
        let _stop = StopOnDrop(entry.clone());
        let permit = self.place(&entry).await.map_err(|_| ObserveError::Late)?;
        let context = self.context(&entry, &op);
        let outcome = blocking(move || {
            let host = RealHost::new(Arc::new(context));
            let outcome = catch_unwind(AssertUnwindSafe(|| read(&host)));
            drop(permit);
            outcome
        });
        outcome.await.map_err(|panic| ObserveError::Panicked(runner::panic_text(panic.as_ref())))
    }
}

/// Stops an observation whose caller has gone.
struct StopOnDrop(Arc<Entry>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// An observation in the shape of an op, for what the host asks of its context.
fn observation(deadline: Duration) -> Result<Op, NameError> {
    Ok(Op {
        op_id: OpId::new("observation")?,
        run_id: RunId::new("observation")?,
        lease: None,
        module: String::new(),
        params: Map::new(),
        check: true,
        diff: false,
        deadline,
        become_user: None,
        environment: BTreeMap::new(),
        no_log: false,
    })
}
