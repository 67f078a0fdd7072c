//! Logs of all hosts, searched where they are and shown in one order of time.

use crate::roll::BROKERS;
use crate::support::{Stage, expect_code};
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use serde_json::Value;

/// A broker is restarted by hand; its own words, in their order and among those of the others, say so.
pub(crate) async fn timeline(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    stage.on("kafka2", &["systemctl", "restart", "kafka"]).await?;
    stage.lab.wait_whole(&Progress::terminal()).await?;

    let started = stage.kfleet(&["logs", "grep", "kafka", r"\[KafkaServer id=\d+\] started", "--since", "1d"]).await?;
    expect_code(&started, 0)?;
    for broker in BROKERS {
        ensure!(started.stdout.contains(&format!("Z  {broker}  server.log  ")), "{broker}:\n{}", started.stdout);
    }
    let times: Vec<&str> = started.stdout.lines().filter_map(|line| line.split_once("Z  ")).map(|(at, _)| at).collect();
    ensure!(times.is_sorted() && times.len() >= BROKERS.len(), "not in the order of time:\n{}", started.stdout);

    let said = stage.kfleet(&["logs", "timeline", "kafka", "--since", "10m", "--json"]).await?;
    let said: Value =
        serde_json::from_str(&said.stdout).with_context(|| format!("{}\n{}", said.stdout, said.stderr))?;
    let lines = said["lines"].as_array().context("no lines")?;
    let place = |id: &str| {
        let of = |line: &Value| {
            line["host"] == "kafka2" && line["signatures"].as_array().is_some_and(|ids| ids.contains(&id.into()))
        };
        lines.iter().rposition(of).with_context(|| format!("{id} of kafka2 is not in its timeline: {said:#}"))
    };
    let (stop, start) = (place("K-STOP-SIGNAL")?, place("K-STARTED")?);
    ensure!(stop < start, "the start stands before the stop: {said:#}");
    for broker in BROKERS {
        for log in ["kafka", "journal", "jvm"] {
            ensure!(said["hosts"][broker]["sources"][log] == "read", "{log} of {broker}: {said:#}");
        }
    }
    println!("    {} lines of three brokers in one order, a stop and a start by hand among them", lines.len());

    expect_code(&stage.kfleet(&["logs", "grep", "kafka", "no line has this text", "--since", "10m"]).await?, 2)?;
    expect_code(&stage.kfleet(&["logs", "grep", "kafka", "(", "--since", "10m"]).await?, 3)?;
    expect_code(&stage.kfleet(&["logs", "grep", "kafka", "x", "--since", "soon"]).await?, 3)
}
