//! What kfleet itself did since the last inspection, for the report's list of changes.

use super::targets::Target;
use super::windows::rolled;
use crate::history::{RunRecord, Store, StoreError};
use crate::report::inspection::{Happening, HappeningKind};
use jiff::Timestamp;
use kfleet_inspect::{Object, Owner};
use kfleet_model::ClusterName;

/// The runs between two moments that may have changed something, in the order of time.
pub(super) async fn since(
    store: &Store,
    targets: &[Target],
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Vec<Happening>, StoreError> {
    let Some(since) = since else { return Ok(Vec::new()) };
    let runs = store.runs(super::windows::RUNS).await?;
    Ok(runs.iter().rev().filter_map(|run| happening(run, targets, since, now)).collect())
}

fn happening(run: &RunRecord, targets: &[Target], since: Timestamp, now: Timestamp) -> Option<Happening> {
    let at: Timestamp = run.started.parse().ok()?;
    if run.check || at < since || at > now {
        return None;
    }
    let known = |name: &ClusterName| {
        targets.iter().any(|target| target.node.as_ref().is_some_and(|node| node.cluster == *name))
    };
    let cluster = rolled(run).and_then(|name| ClusterName::new(name).ok()).filter(known);
    let object = Object::new(cluster.map_or(Owner::Fleet, Owner::Cluster), None);
    let what = format!("{} ({}, run {})", run.what, run.owner, run.run_id);
    Some(Happening { at: Some(at), kind: HappeningKind::Operation, object, what })
}
