//! Loss of the agent and of the network in the middle of a command.

use crate::support::{Stage, of_kind};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;

/// A command that writes numbered lines to both streams for some seconds and ends with status 7.
fn counting(seconds: u32) -> String {
    format!("for i in $(seq 1 {}); do echo out $i; echo err $i >&2; sleep 0.1; done; exit 7", seconds * 10)
}

/// Starts the counting on a host; when it is under way, does `harm`; checks that nothing was lost.
async fn counted<F>(stage: &Stage, host: &str, seconds: u32, harm: F) -> Result<Vec<Value>>
where
    F: AsyncFnOnce() -> Result<()>,
{
    let script = counting(seconds);
    let mut watched = stage.watch(&["exec", host, "-m", "shell", "-a", &script])?;
    let mut seen = Vec::new();
    // It is under way when its first output has come.
    loop {
        let event = watched.next().await?.context("it ended before its first output")?;
        let begun = event["event"] == "host_output";
        seen.push(event);
        if begun {
            break;
        }
    }
    harm().await?;
    let (rest, code) = watched.finish().await?;
    seen.extend(rest);
    let result = of_kind(&seen, "host_result").next().context("no result")?;
    ensure!(result["status"] == "failed", "the exit status 7 must be told as a failure: {result}");
    ensure!(result["result"]["data"]["rc"] == 7, "the exit status was lost: {result}");
    ensure!(code == 2, "exit code {code}");
    let lines = |word: &str| (1..=seconds * 10).map(|i| format!("{word} {i}")).collect::<Vec<_>>().join("\n");
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let got = result["result"]["data"][stream].as_str().unwrap_or_default();
        ensure!(got == lines(word), "{stream} in the result is not whole:\n{got}");
        let streamed: String = of_kind(&seen, "host_output")
            .filter(|event| (event["stderr"] == true) == (stream == "stderr"))
            .filter_map(|event| event["text"].as_str())
            .collect();
        ensure!(streamed == lines(word) + "\n", "the streamed {stream} has gaps or repeats:\n{streamed}");
    }
    Ok(seen)
}

/// SIGKILL of the agent: the command goes on under its shim, and the new agent finds it again.
pub(crate) async fn agent_killed(stage: &Stage) -> Result<()> {
    let seen =
        counted(stage, "kafka1", 12, async || stage.lab.host("kafka1")?.signal("KILL", "kfleet-agent").await).await?;
    ensure!(of_kind(&seen, "host_reconnecting").next().is_some(), "the operator did not see the loss");
    ensure!(of_kind(&seen, "host_reconnected").next().is_some(), "the operator did not see the return");
    Ok(())
}

/// 30 s without network: the command goes on, and the operator sees "reconnecting" and no failure.
pub(crate) async fn network_cut(stage: &Stage) -> Result<()> {
    let seen = counted(stage, "kafka2", 45, async || {
        stage.lab.host("kafka2")?.cut().await?;
        tokio::time::sleep(Duration::from_secs(30)).await;
        stage.lab.host("kafka2")?.uncut().await
    })
    .await?;
    ensure!(of_kind(&seen, "host_reconnecting").next().is_some(), "the operator did not see the loss");
    let back = of_kind(&seen, "host_reconnected").next().context("the operator did not see the return")?;
    ensure!(back["after_ms"].as_u64().is_some_and(|ms| ms > 5_000), "{back}");
    Ok(())
}
