//! Clocks: one that is wrong is found from outside, whatever its host believes, and no roll begins with it.

use crate::roll::BROKERS;
use crate::support::{Stage, expect_code};
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use serde_json::Value;
use std::path::PathBuf;

/// Containers have the clock of their machine, so it is the agent alone that is shown another one.
const LIBRARY: &str = "/usr/lib/libfaketime.so.1";
pub(crate) const DROP_IN: &str = "/run/systemd/system/kfleet-agent.service.d/shifted.conf";
const AHEAD_MS: i64 = 90_000;

/// One host's clock is 90 s ahead.
pub(crate) async fn shifted(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let healthy = check(stage).await?;
    ensure!(healthy.0 == 0, "a healthy fleet's clocks: {healthy:?}");
    let before = stage.all_stops(&BROKERS, "kafka").await?;
    shift(stage, "kafka2").await?;
    let seen = look(stage).await;
    unshift(stage, "kafka2").await?;
    let ((code, clocks), roll) = seen?;

    ensure!(code == 2, "exit code {code}: {clocks:#}");
    let hosts = clocks["hosts"].as_object().context("no hosts")?;
    ensure!(hosts.len() == 6, "{clocks:#}");
    for (host, clock) in hosts {
        let off = host == "kafka2";
        ensure!((clock["step"] == if off { "out_of_step" } else { "in_step" }), "{host}: {clocks:#}");
        let skew = clock["offset"]["ms"].as_i64().context("no offset")?;
        let bound = clock["offset"]["uncertainty_ms"].as_i64().context("no bound")?;
        let truth = if off { AHEAD_MS } else { 0 };
        ensure!((skew - truth).abs() <= bound, "{host} is {skew} ± {bound} and not {truth}: {clocks:#}");
        if off {
            println!("    {host} is found {skew} ms ahead (± {bound})");
        }
    }
    ensure!(clocks["controller"]["step"] == "in_step", "{clocks:#}");

    expect_code(&roll, 5)?;
    for told in ["FAILED_SAFE", "the clock of kafka2 is off by", "1000 ms are allowed"] {
        ensure!(roll.stdout.contains(told), "{told:?} is not told:\n{}", roll.stdout);
    }
    let after = stage.all_stops(&BROKERS, "kafka").await?;
    ensure!(before == after, "a broker was stopped: {before:?} -> {after:?}");
    let again = check(stage).await?;
    ensure!(again.0 == 0, "after the clock was set right: {again:?}");
    Ok(())
}

/// What `kfleet time check` ends with and says.
async fn check(stage: &Stage) -> Result<(i32, Value)> {
    let ended = stage.kfleet(&["time", "check", "--json"]).await?;
    let said = serde_json::from_str(&ended.stdout).with_context(|| format!("{}\n{}", ended.stdout, ended.stderr))?;
    Ok((ended.code, said))
}

async fn look(stage: &Stage) -> Result<((i32, Value), crate::support::Ended)> {
    Ok((check(stage).await?, stage.kfleet(&["roll", "restart", "kafka"]).await?))
}

pub(crate) async fn shift(stage: &Stage, host: &str) -> Result<()> {
    let lab_host = stage.lab.host(host)?;
    std::fs::copy(library()?, lab_host.path(LIBRARY)?)?;
    let drop_in = lab_host.path(DROP_IN)?;
    std::fs::create_dir_all(drop_in.parent().context("no folder")?)?;
    let environment = format!("LD_PRELOAD={LIBRARY} FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME=+{}s", AHEAD_MS / 1000);
    std::fs::write(&drop_in, format!("[Service]\nEnvironment={environment}\n"))?;
    restart_agent(stage, host).await
}

pub(crate) async fn unshift(stage: &Stage, host: &str) -> Result<()> {
    let lab_host = stage.lab.host(host)?;
    std::fs::remove_file(lab_host.path(DROP_IN)?)?;
    std::fs::remove_file(lab_host.path(LIBRARY)?)?;
    restart_agent(stage, host).await
}

async fn restart_agent(stage: &Stage, host: &str) -> Result<()> {
    stage.on(host, &["systemctl", "daemon-reload"]).await?;
    stage.on(host, &["systemctl", "restart", "kfleet-agent"]).await?;
    Ok(())
}

/// libfaketime of this machine's package.
fn library() -> Result<PathBuf> {
    let architecture = std::env::consts::ARCH;
    let path = PathBuf::from(format!("/usr/lib/{architecture}-linux-gnu/faketime/libfaketime.so.1"));
    ensure!(path.exists(), "{} is missing; `sh tests/setup.sh` installs it", path.display());
    Ok(path)
}
