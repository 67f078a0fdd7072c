//! Rolling restarts of real clusters.

use crate::support::{QUICK, Stage, expect_code, of_kind, run_of};
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use kfleet_tests::traffic::Traffic;
use serde_json::Value;
use std::time::Duration;

pub(crate) const BROKERS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];
pub(crate) const ENSEMBLE: [&str; 3] = ["zk1", "zk2", "zk3"];

fn rolled_hosts(events: &[Value]) -> Vec<&str> {
    of_kind(events, "roll_node_done").filter_map(|event| event["host"].as_str()).collect()
}

/// Rolls one cluster of three: one stop a node, the controller or leader last.
pub(crate) async fn restart(stage: &Stage, cluster: &str, hosts: &[&str], unit: &str) -> Result<()> {
    let before = stage.all_stops(hosts, unit).await?;
    let (events, code) = stage.watch(&["roll", "restart", cluster, "-e", QUICK])?.finish().await?;
    ensure!(code == 0, "the roll of {cluster} ended with {code}: {:?}", events.last());
    let stops = stops_since(stage, hosts, unit, &before).await?;
    ensure!(stops == [1, 1, 1], "each node must be stopped once: {stops:?}");
    let planned = of_kind(&events, "roll_planned").next().context("no order")?;
    let last = planned["order"][2][1].as_str().unwrap_or_default();
    ensure!(last.contains("last"), "the controller or leader must be last: {planned}");
    ensure!(rolled_hosts(&events).len() == 3, "{events:?}");
    for done in of_kind(&events, "roll_node_done") {
        println!(
            "    {}: down {} ms, {} ms in all, {} ms kfleet's own",
            done["host"].as_str().unwrap_or_default(),
            done["down_ms"],
            done["total_ms"],
            done["own_ms"]
        );
    }
    Ok(())
}

/// Ends the traffic; every record must have been acknowledged and be there once.
pub(crate) async fn nothing_lost(traffic: Traffic) -> Result<()> {
    let outcome = traffic.finish().await?;
    println!("    {}", outcome.text.replace('\n', "\n    "));
    ensure!(outcome.clean, "{}", outcome.text);
    ensure!(outcome.sent > 1000 && outcome.sent == outcome.acknowledged, "{}", outcome.text);
    Ok(())
}

/// Both clusters, with a producer that writes with `acks=all`: one stop each, controller and leader last.
pub(crate) async fn under_load(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let traffic = Traffic::start(&stage.lab, &stage.programs.producer, &stage.bootstrap(), "scenario-load").await?;
    restart(stage, "zookeeper", &ENSEMBLE, "zookeeper").await?;
    restart(stage, "kafka", &BROKERS, "kafka").await?;
    nothing_lost(traffic).await
}

/// RF 3, min ISR 2, one follower hangs: a second stop would refuse writes, so there is none.
pub(crate) async fn follower_held_down(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let traffic = Traffic::start(&stage.lab, &stage.programs.producer, &stage.bootstrap(), "scenario-held").await?;
    let held = follower(stage).await?;
    let before = stage.all_stops(&BROKERS, "kafka").await?;
    stage.lab.host(held)?.signal("STOP", "kafka").await?;
    let outcome = roll_with_held(stage).await;
    stage.lab.host(held)?.signal("CONT", "kafka").await?;
    let (ended, waited, hurt) = outcome?;
    expect_code(&ended, 5)?;
    let after = stage.all_stops(&BROKERS, "kafka").await?;
    ensure!(before == after, "a broker was stopped: {before:?} -> {after:?}");
    ensure!(ended.stdout.contains("FAILED_SAFE"), "{}", ended.stdout);
    // What is named must be what another client sees: every one of the first ten, and the count of all.
    let all = format!("{} partitions are under-replicated: ", hurt.len());
    let named = ended.stdout.split_once(&all).map(|(_, rest)| rest.lines().next().unwrap_or_default());
    let named = named.with_context(|| format!("not {all:?}:\n{}", ended.stdout))?;
    let named: Vec<&str> = named.split(" and ").next().unwrap_or_default().split(", ").collect();
    ensure!(
        named.len() == hurt.len().min(10) && named.iter().all(|n| hurt.iter().any(|h| h == n)),
        "{named:?}, {hurt:?}"
    );
    ensure!(ended.stdout.contains("not touched: kafka1, kafka2, kafka3"), "{}", ended.stdout);
    println!("    refused after {} s", waited.as_secs());
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let written = traffic.finish().await?;
    ensure!(written.clean, "{}", written.text);
    Ok(())
}

/// A broker that is not the active controller, by the others' view.
async fn follower(stage: &Stage) -> Result<&'static str> {
    let metadata = stage.lab.metadata().await?;
    let active = metadata.controllerid;
    BROKERS.iter().zip(1..).find(|(_, id)| *id != active).map(|(host, _)| *host).context("no broker but the controller")
}

async fn roll_with_held(stage: &Stage) -> Result<(crate::support::Ended, Duration, Vec<String>)> {
    // Until the hung broker is out of the in-sync sets (replica.lag.time.max.ms), the cluster looks whole.
    let begun = tokio::time::Instant::now();
    loop {
        let metadata = stage.lab.metadata().await?;
        let shrunk =
            metadata.topics.iter().flat_map(|topic| &topic.partitions).any(|p| p.isrs.len() < p.replicas.len());
        if shrunk {
            break;
        }
        ensure!(begun.elapsed() < Duration::from_secs(90), "the in-sync sets did not shrink");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let begun = tokio::time::Instant::now();
    let policy = r#"{"rolling_policy": {"patience_s": 8}}"#;
    let ended = stage.kfleet(&["roll", "restart", "kafka", "-e", policy]).await?;
    let waited = begun.elapsed();
    Ok((ended, waited, stage.lab.metadata().await?.under_replicated()))
}

/// The points at which the controller is killed, each on the first broker that comes there after the resume before.
const KILL_POINTS: [(&str, &str); 8] = [
    ("roll_planned", ""),
    ("roll_proceed", ""),
    ("task_started", "Stop the node"),
    ("host_result", "Stop the node"),
    ("host_result", "Start the node"),
    ("roll_gate", "process"),
    ("roll_gate", "in-sync"),
    ("roll_node_done", ""),
];

fn is_at(event: &Value, (kind, detail): (&str, &str)) -> bool {
    event["event"] == kind && (detail.is_empty() || event["task"]["name"] == detail || event["gate"] == detail)
}

/// SIGKILL of the controller at every step of one roll, `resume` after each.
pub(crate) async fn controller_killed(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let before = stage.all_stops(&BROKERS, "kafka").await?;
    let mut watched = stage.watch(&["roll", "restart", "kafka", "-e", QUICK])?;
    let mut run = None;
    let mut kills = 0;
    for point in KILL_POINTS {
        loop {
            let Some(event) = watched.next().await? else { break };
            let id = run_of(&event)?;
            ensure!(run.get_or_insert(id.clone()) == &id, "the resumed run has another id");
            if is_at(&event, point) {
                kills += 1;
                break;
            }
        }
        watched.kill().await?;
        let id = run.clone().context("no event came")?;
        watched = stage.watch(&["resume", &id])?;
    }
    let (events, code) = watched.finish().await?;
    ensure!(kills == KILL_POINTS.len(), "only {kills} of the points were reached");
    ensure!(code == 0, "the last resume ended with {code}: {:?}", events.last());
    let stops = stops_since(stage, &BROKERS, "kafka", &before).await?;
    ensure!(stops == [1, 1, 1], "after {kills} kills each broker must have been stopped once: {stops:?}");
    println!("    {kills} kills, stops {stops:?}");
    Ok(())
}

/// While one run holds the cluster, a second one is refused and told who holds it.
pub(crate) async fn second_operator(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let mut first = stage.watch(&["roll", "restart", "zookeeper", "-e", QUICK])?;
    let mut run = String::new();
    while let Some(event) = first.next().await? {
        run = run_of(&event)?;
        if event["event"] == "roll_proceed" {
            break;
        }
    }
    let second = stage.kfleet(&["roll", "restart", "zookeeper", "-e", QUICK]).await?;
    expect_code(&second, 5)?;
    ensure!(second.stdout.contains(&run), "the holder is not named:\n{}", second.stdout);
    let (events, code) = first.finish().await?;
    ensure!(code == 0, "the first roll ended with {code}: {:?}", events.last());
    Ok(())
}

/// Ctrl-C in the middle of a node: the node is told as unfinished, the next is not touched, and `resume` stops none twice.
pub(crate) async fn interrupted(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let before = stage.all_stops(&BROKERS, "kafka").await?;
    let mut watched = stage.watch(&["roll", "restart", "kafka", "-e", QUICK])?;
    let mut seen = Vec::new();
    let gate = watched.until("roll_gate", &mut seen).await?;
    let run = run_of(&gate)?;
    let first = gate["host"].as_str().context("a gate without a host")?.to_owned();
    watched.interrupt()?;
    let (rest, code) = watched.finish().await?;
    ensure!(code == 130, "exit code {code} and not the shell's for an interrupt: {:?}", rest.last());
    let ended = of_kind(&rest, "run_ended").next().context("no end was told")?;
    ensure!(ended["end"] == "CANCELLED", "{ended}");
    let told: Vec<&str> = rest.iter().filter_map(|event| event["text"].as_str()).collect();
    let left = told.iter().find(|text| text.contains("not touched: ")).with_context(|| format!("{told:?}"))?;
    let (entered, untouched) = left.split_once("not touched: ").unwrap_or_default();
    ensure!(entered.contains(&first) && !untouched.contains(&first), "{first} was entered: {left}");
    let stops = stops_since(stage, &BROKERS, "kafka", &before).await?;
    ensure!(stops.iter().sum::<usize>() == 1, "after Ctrl-C only {first} may have been stopped: {stops:?}");
    println!("    {left}");

    let (events, code) = stage.watch(&["resume", &run])?.finish().await?;
    ensure!(code == 0, "the resume ended with {code}: {:?}", events.last());
    let stops = stops_since(stage, &BROKERS, "kafka", &before).await?;
    ensure!(stops == [1, 1, 1], "each broker must have been stopped once: {stops:?}");
    Ok(())
}

/// How often each node was stopped since it was counted before.
async fn stops_since(stage: &Stage, hosts: &[&str], unit: &str, before: &[usize]) -> Result<Vec<usize>> {
    let after = stage.all_stops(hosts, unit).await?;
    Ok(before.iter().zip(&after).map(|(before, after)| after - before).collect())
}
