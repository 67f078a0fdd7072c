//! Hosts without containers: a folder, a loopback address and a supervisord each, in a lab of their own.

use crate::roll;
use crate::support::Stage;
use anyhow::{Result, ensure};
use kfleet_tests::lab::{Kind, Progress};
use kfleet_tests::traffic::Traffic;

/// Beside the other scenarios' lab.
const LAB: &str = "kfleet-plain";

/// Both clusters roll as on booted hosts; then a broker loses its power and comes back.
pub(crate) async fn under_load() -> Result<()> {
    let stage = Stage::of_lab(LAB, Kind::Zk, true).await?;
    let outcome = rolled(&stage).await;
    stage.strike().await;
    outcome?;
    ensure!(
        std::env::var_os("KFLEET_LAB_KEEP").is_some() || !stage.lab.layout().dir().exists(),
        "the lab left {}",
        stage.lab.layout().dir().display()
    );
    Ok(())
}

async fn rolled(stage: &Stage) -> Result<()> {
    let traffic = Traffic::start(&stage.lab, &stage.programs.producer, &stage.bootstrap(), "scenario-plain").await?;
    roll::restart(stage, "zookeeper", &["zk1", "zk2", "zk3"], "zookeeper").await?;
    roll::restart(stage, "kafka", &["kafka1", "kafka2", "kafka3"], "kafka").await?;
    roll::nothing_lost(traffic).await?;

    let host = stage.lab.host("kafka2")?;
    host.kill().await?;
    ensure!(!host.is_on(), "a host without power is on");
    ensure!(host.start().await?, "a host without power can be started");
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let Err(refused) = host.cut().await else { anyhow::bail!("a loopback address has no cable to pull") };
    ensure!(refused.to_string().contains("plain processes"), "{refused:#}");
    Ok(())
}
