//! The inspection: reads the fleet, has it judged, stores the night.
//!
//! Place in the flow: `kfleet inspect` and `kfleet serve` come here; the judging itself is `kfleet-inspect`'s, so that a
//! host that judges itself finds the same.
//! Not here: how the result looks (`report/`), who hears of it (`notify/`), when it runs (`schedule/`).
//!
//! ```text
//!   inventory -> targets -> gather (all agents at once, until the deadline) -> judge <- last night, numbers, inspection.yml
//!                                                                               |
//!                                                                               +-> store -> report, notify
//! ```

mod gather;
mod happenings;
mod restart;
mod targets;
mod windows;

pub use gather::{Gathered, Limits, Look, Request, gather};
pub use targets::{Target, TargetError};

use crate::execute::Agent;
use crate::history::{Store, StoreError};
use crate::notify::Clusters;
use crate::report::inspection::{Happening, RestartMatrix};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::history::numbers;
use kfleet_inspect::{CATALOGUE, FleetReadings, History, Inspection, InspectionFile, LayerError, Layers, Night, judge};
use kfleet_model::{FleetName, HostName};
use std::collections::BTreeSet;

/// The file of the fleet directory with thresholds in layers, waivers, planned windows and acknowledgements.
pub const FILE: &str = "inspection.yml";

/// How far back numbers are read for trends and forecasts.
const HISTORY: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Why an inspection gave no result.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The inventory does not say what a host is.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Targets(Vec<TargetError>),
    /// `inspection.yml` says what it can not.
    #[error("inspection.yml: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Layers(Vec<LayerError>),
    /// The run store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an inspection came to.
#[derive(Debug)]
pub struct Inspected {
    /// The result.
    pub inspection: Inspection,
    /// The clusters of each host, as the inventory has them.
    pub clusters: Clusters,
    /// What it rests on.
    pub readings: FleetReadings,
    /// The numbers of the nights before and of this one, for trends.
    pub history: History,
    /// What could be restarted now, by the rules of a roll.
    pub restart: RestartMatrix,
    /// What kfleet itself did since the last inspection.
    pub happenings: Vec<Happening>,
    /// Its number in the store; none when it was not stored.
    pub id: Option<i64>,
}

/// An inspection to be made.
pub struct Plan<'a> {
    /// The fleet.
    pub fleet: FleetName,
    /// The hosts' agents.
    pub agents: &'a [Agent],
    /// The operators' thresholds, waivers and windows.
    pub file: &'a InspectionFile,
    /// Its limits.
    pub limits: Limits,
    /// Whether the night is stored, and later ones compare with it.
    pub stored: bool,
}

/// Inspects.
///
/// # Errors
/// When the inventory or `inspection.yml` are not clear, or the store refuses. Hosts that do not answer are no error.
pub async fn inspect(
    plan: &Plan<'_>,
    store: &Store,
    progress: &(dyn Fn(&HostName, bool) + Sync),
) -> Result<Inspected, InspectError> {
    let (targets, wrong): (Vec<_>, Vec<_>) = plan.agents.iter().map(Target::of).partition(Result::is_ok);
    let wrong: Vec<TargetError> = wrong.into_iter().filter_map(Result::err).collect();
    if !wrong.is_empty() {
        return Err(InspectError::Targets(wrong));
    }
    let targets: Vec<Target> = targets.into_iter().filter_map(Result::ok).collect();
    let layers = Layers::new(plan.file, &CATALOGUE).map_err(InspectError::Layers)?;
    let last = store.last_inspection().await?.filter(|last| last.fleet == plan.fleet);
    let since = last.as_ref().map(|last| last.run.judged_at);
    let id = uuid::Uuid::now_v7().to_string();
    let request = Request { fleet: plan.fleet.clone(), id, since, limits: plan.limits };
    let gathered = gather(plan.agents, &targets, &request, progress).await;
    let restart = restart::matrix(&gathered);
    let readings = gathered.readings;
    let now = Timestamp::now();
    let mut history = store.numbers(now - HISTORY).await?;
    let mut windows = plan.file.windows.clone();
    windows.extend(windows::of_runs(store, &targets, since.unwrap_or(now), now).await?);
    let inspection = judge(&Night {
        catalogue: &CATALOGUE,
        readings: &readings,
        layers: &layers,
        waivers: &plan.file.waivers,
        windows: &windows,
        acknowledgements: &plan.file.acknowledgements,
        last: last.as_ref(),
        history: &history,
        now,
    });
    let tonight = numbers(&readings);
    let id = if plan.stored { Some(store.put_inspection(&inspection, &tonight).await?) } else { None };
    for (name, point) in tonight {
        history.series.entry(name).or_default().push(point);
    }
    let happenings = happenings::since(store, &targets, since, now).await?;
    let cluster =
        |target: &Target| Some((target.host.clone(), BTreeSet::from([target.node.as_ref()?.cluster.clone()])));
    let clusters = targets.iter().filter_map(cluster).collect();
    Ok(Inspected { inspection, clusters, readings, history, restart, happenings, id })
}
