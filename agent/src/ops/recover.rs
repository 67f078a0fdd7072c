//! Ops that an earlier agent left without an end.
//!
//! | what is found | what is done |
//! |---|---|
//! | no spool | unknown: it may have changed the host, and nobody knows how far |
//! | a spec that no shim took | refused: the command was never started |
//! | a shim that lives | it is followed, with the op's place among the running ops held |
//! | an exit file | the command's result is made of it |
//! | neither, or another boot of the host | unknown |
//!
//! An op is never run again here, whatever its module says of itself: that is the controller's decision.

use super::command::{self, Ended, stopped_text};
use super::entry::{Entry, Identity};
use super::{Ops, blocking};
use crate::journal::error::{StateError, chain};
use crate::journal::files;
use crate::journal::record::Accepted;
use crate::journal::spool::SpoolDir;
use crate::runner;
use kfleet_model::OpEnd;
use std::sync::Arc;
use std::time::Duration;

impl Ops {
    /// Takes up all ops without an end. One that still runs holds the place of the op that changes the host.
    pub(super) fn recover(&self) {
        for accepted in self.0.journal.open_ops() {
            tracing::info!(op = %accepted.op_id, module = accepted.module, "taking up an op of an earlier agent");
            let spool = SpoolDir::new(&self.0.settings.ops_dir, &accepted.op_id);
            let has_events = spool.has_events();
            let left = u64::try_from(accepted.deadline_unix_ms - files::unix_ms()).unwrap_or(0);
            let entry = Entry::restored(
                Identity::from(&accepted),
                has_events.then(|| spool.clone()),
                Duration::from_millis(left),
            );
            let entry = Arc::new(entry);
            self.table().ops.insert(accepted.op_id.clone(), entry.clone());
            // Taken before the first call is served, so that no new op can come in between.
            let permit = self.0.writing.clone().try_acquire_owned().ok();
            let ops = self.clone();
            self.0.tasks.spawn(async move {
                blocking(move || {
                    let end = ops.end_of(&accepted, &entry, &spool, has_events);
                    entry.set_in_command(false);
                    ops.finish(&entry, end);
                })
                .await;
                drop(permit);
            });
        }
    }

    fn end_of(&self, accepted: &Accepted, entry: &Entry, spool: &SpoolDir, has_events: bool) -> OpEnd {
        let unknown = |why: &str| OpEnd::Unknown { why: why.to_owned() };
        let rebooted = accepted.boot_id != self.0.boot_id;
        if !has_events {
            return unknown(if rebooted {
                "the host was restarted while the op was changing it"
            } else {
                "the agent was restarted while the op was changing the host"
            });
        }
        match self.followed(entry, spool, rebooted) {
            Ok(None) if runner::is_command(&accepted.module) => self.never_started(entry, spool),
            Ok(None) => {
                unknown("the agent was restarted while the op was changing the host; its command was not started")
            }
            Ok(Some(Ended::Unknown(why))) if rebooted => unknown(&format!("the host was restarted; {why}")),
            Ok(Some(Ended::Unknown(why))) => unknown(&why),
            Ok(Some(Ended::Exit(exit, end))) => {
                runner::recovered(accepted, &exit, &end, exit.stopped.map(stopped_text))
            }
            Err(error) => unknown(&format!("failed to {}", chain(&error))),
        }
    }

    /// Nothing was done, so the id is free again, and its spool with it.
    fn never_started(&self, entry: &Entry, spool: &SpoolDir) -> OpEnd {
        entry.forget_spool();
        if let Err(error) = spool.remove() {
            return OpEnd::Unknown { why: format!("failed to {}", chain(&error)) };
        }
        OpEnd::Refused { why: "the agent was restarted before the command was started".to_owned() }
    }

    /// The command's end; none when it was never started.
    fn followed(&self, entry: &Entry, spool: &SpoolDir, rebooted: bool) -> Result<Option<Ended>, StateError> {
        // Whoever takes the spec decides: after this no shim can start the command any more.
        if spool.take_spec()?.is_some() {
            files::remove(&spool.file("stdin")).map_err(StateError::io("remove", spool.file("stdin")))?;
            return Ok(None);
        }
        if rebooted && spool.exit()?.is_none() {
            return Ok(Some(Ended::Unknown("the command ran when the host went down".to_owned())));
        }
        command::resume(&self.0.settings, entry, spool).map(Some)
    }
}
