//! One observation: every member's view of the cluster and every host's view of its node, asked at the same time.

use super::members::{MemberError, Node, read_node};
use crate::execute::Run;
use kfleet_model::BrokerId;
use kfleet_model::snapshot::ClusterSnapshot;
use kfleet_proto::convert::ObserveKind;
use kfleet_rolling::{NodeView, Observation, Role, View};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The controller's monotonic clock, as durations since the roll began in this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// How long one member may take. It has to be well below the age at which the rules do not believe a view any more
/// (`view_max_age_s`), or one hung member would make the views of all others stale.
const LOOK_DEADLINE: Duration = Duration::from_secs(4);

/// Asks all members; a member that does not answer in time has no view, which the rules take as what it is.
pub(super) async fn observe(
    run: &Run,
    nodes: &BTreeMap<BrokerId, Node>,
    clock: Clock,
    last_change: Option<Duration>,
) -> Observation {
    let asked = nodes.iter().map(|(&id, node)| async move {
        let began = clock.now();
        // A spare KRaft controller serves no metadata to clients; its host is read all the same.
        let view = async {
            if node.role == Role::Controller {
                return None;
            }
            tokio::time::timeout(LOOK_DEADLINE, cluster_view(run, node, began)).await.ok().flatten()
        };
        let reading = async {
            let late = |_| MemberError::Late { host: node.host.clone(), limit: LOOK_DEADLINE };
            tokio::time::timeout(LOOK_DEADLINE, read_node(run, node, LOOK_DEADLINE)).await.map_err(late)?
        };
        let (view, reading) = tokio::join!(view, reading);
        let node_view = match reading {
            Ok(reading) => Some(NodeView { began, reading, recovery_left: None }),
            Err(error) => {
                tracing::info!(host = %node.host, "no reading of the node: {}", crate::report::chain(&error));
                None
            }
        };
        (id, view, node_view)
    });
    let (mut views, mut readings) = (Vec::new(), BTreeMap::new());
    for (id, view, reading) in futures::future::join_all(asked).await {
        views.extend(view);
        if let Some(reading) = reading {
            readings.insert(id, reading);
        }
    }
    Observation { now: clock.now(), last_change, views, nodes: readings }
}

async fn cluster_view(run: &Run, node: &Node, began: Duration) -> Option<View> {
    let link = run.link(&node.host).ok()?;
    let answer = link.observe(ObserveKind::Cluster, &node.params, LOOK_DEADLINE).await;
    let snapshot = match answer {
        Ok(value) => serde_json::from_value::<ClusterSnapshot>(value).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match snapshot {
        Ok(snapshot) => Some(View { began, snapshot }),
        Err(why) => {
            tracing::info!(host = %node.host, "no view of the cluster: {why}");
            None
        }
    }
}
