//! The ops that are in memory.

use super::entry::Entry;
use kfleet_model::OpId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Ended ops that are kept in memory, for a caller that comes back soon.
const KEEP_ENDED: usize = 256;

/// Their results together, at most, but for the newest.
const KEEP_ENDED_BYTES: usize = 2 * 1024 * 1024;

/// All ops that run, and the newest that are over.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) ops: HashMap<OpId, Arc<Entry>>,
    /// Ended ops with the size of their results, oldest first.
    ended: VecDeque<(OpId, usize)>,
    ended_bytes: usize,
    /// How many wait for their place.
    pub(super) waiting: usize,
}

impl Table {
    /// An op is over: it stays for a while.
    pub(super) fn keep(&mut self, op_id: &OpId, bytes: usize) {
        self.ended.push_back((op_id.clone(), bytes));
        self.ended_bytes += bytes;
        while self.ended.len() > KEEP_ENDED || (self.ended.len() > 1 && self.ended_bytes > KEEP_ENDED_BYTES) {
            let Some((oldest, bytes)) = self.ended.pop_front() else { break };
            self.ended_bytes -= bytes;
            self.ops.remove(&oldest);
        }
    }

    /// Its id may be used again.
    pub(super) fn forget(&mut self, op_id: &OpId) {
        self.ops.remove(op_id);
        self.ended_bytes -= self.ended.iter().filter(|(id, _)| id == op_id).map(|(_, bytes)| bytes).sum::<usize>();
        self.ended.retain(|(id, _)| id != op_id);
    }
}
