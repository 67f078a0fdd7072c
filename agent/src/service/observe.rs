//! Observations: the collectors, the catalogue and the journal, as JSON documents.

use super::status;
use crate::collect::{self, CollectError};
use crate::host::HostView;
use crate::modules;
use crate::ops::{Ops, blocking};
use kfleet_model::{Map, Value};
use kfleet_proto::convert::ObserveKind;
use serde::Serialize;
use std::time::Duration;
use tonic::Status;

/// How many ops are listed when `count` does not say.
const DEFAULT_OPS: u64 = 100;

/// The longest an observation may take, whatever the caller allows: it holds a place among the reading ops.
const MAX_DEADLINE: Duration = Duration::from_secs(300);

/// Reads what is asked for.
pub(super) async fn observe(ops: &Ops, kind: ObserveKind, params: Map, deadline: Duration) -> Result<Value, Status> {
    let deadline = deadline.min(MAX_DEADLINE);
    match kind {
        ObserveKind::Facts => collected(ops, deadline, move |host| collect::facts(host, &params)).await,
        ObserveKind::Cluster => collected(ops, deadline, move |host| collect::cluster(host, &params)).await,
        ObserveKind::Node => collected(ops, deadline, move |host| collect::node(host, &params)).await,
        ObserveKind::FileVersions => collected(ops, deadline, move |host| collect::file_versions(host, &params)).await,
        ObserveKind::ConfigDrift => collected(ops, deadline, move |host| collect::config_drift(host, &params)).await,
        ObserveKind::InspectHost => collected(ops, deadline, move |host| collect::inspect::host(host, &params)).await,
        ObserveKind::InspectCluster => {
            collected(ops, deadline, move |host| collect::inspect::cluster(host, &params)).await
        }
        ObserveKind::Logs => collected(ops, deadline, move |host| collect::logs::lines(host, &params)).await,
        ObserveKind::Catalogue => Ok(blocking(modules::catalogue_json).await),
        ObserveKind::Ops => {
            let count = params.get("count").and_then(Value::as_u64).unwrap_or(DEFAULT_OPS);
            let ops = ops.clone();
            Ok(blocking(move || ops.newest(usize::try_from(count).unwrap_or(usize::MAX))).await)
        }
    }
}

async fn collected<T: Serialize + Send + 'static>(
    ops: &Ops,
    deadline: Duration,
    read: impl FnOnce(&dyn HostView) -> Result<T, CollectError> + Send + 'static,
) -> Result<Value, Status> {
    let document = ops.observe(deadline, read).await.map_err(|error| status::observe(&error))?;
    let document = document.map_err(|error| status::collect(&error))?;
    serde_json::to_value(document).map_err(|error| status::internal(&format!("an observation is no JSON: {error}")))
}
