//! A cluster without ZooKeeper: three nodes that are broker and quorum controller in one, in a lab of their own.

use crate::roll;
use crate::support::Stage;
use anyhow::Result;
use kfleet_tests::lab::Kind;
use kfleet_tests::traffic::Traffic;

/// Beside the other scenarios' lab.
const LAB: &str = "kfleet-kraft";

const NODES: [&str; 3] = ["kraft1", "kraft2", "kraft3"];

/// One stop a node, the quorum's leader last, and no record lost.
pub(crate) async fn under_load() -> Result<()> {
    let stage = Stage::of_lab(LAB, Kind::Kraft, false).await?;
    let outcome = rolled(&stage).await;
    stage.strike().await;
    outcome
}

async fn rolled(stage: &Stage) -> Result<()> {
    let traffic = Traffic::start(&stage.lab, &stage.programs.producer, &stage.bootstrap(), "scenario-kraft").await?;
    roll::restart(stage, "kraft", &NODES, "kafka").await?;
    roll::nothing_lost(traffic).await
}
