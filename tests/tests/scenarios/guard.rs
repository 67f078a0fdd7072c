//! The agents' own guard rail: no second node of a cluster is stopped, whoever asks and on however many hosts at once.

use crate::roll::{BROKERS, ENSEMBLE, nothing_lost};
use crate::support::{Stage, expect_code, of_kind};
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use kfleet_tests::traffic::Traffic;
use std::time::Duration;

const RESTART_KAFKA: &str = "name=kafka state=restarted";

/// The main process of a unit.
async fn pid(stage: &Stage, host: &str, unit: &str) -> Result<String> {
    let pid = stage.on(host, &["systemctl", "show", "--property", "MainPID", "--value", unit]).await?;
    Ok(pid.trim().to_owned())
}

/// With one broker down the restart of another is refused with who is missed and what it would hurt; with all back it
/// is done. An operator who accepts an outage is obeyed.
pub(crate) async fn second_broker(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let traffic = Traffic::start(&stage.lab, &stage.programs.producer, &stage.bootstrap(), "scenario-guard").await?;
    stage.on("kafka2", &["systemctl", "stop", "kafka"]).await?;
    let before = pid(stage, "kafka1", "kafka").await?;
    let begun = tokio::time::Instant::now();
    let refused = stage.kfleet(&["exec", "kafka1", "-m", "service", "-a", RESTART_KAFKA]).await;
    let waited = begun.elapsed();
    let after = pid(stage, "kafka1", "kafka").await?;
    stage.on("kafka2", &["systemctl", "start", "kafka"]).await?;
    let refused = refused?;
    expect_code(&refused, 2)?;
    for told in ["is not stopped", "broker 2 is not registered", "stopping broker 1 would hurt", "min ISR 2"] {
        ensure!(refused.stdout.contains(told), "{told:?} is not told:\n{}", refused.stdout);
    }
    ensure!(before == after, "the broker was stopped: {before} -> {after}");
    println!("    refused after {} s", waited.as_secs());

    stage.lab.wait_whole(&Progress::terminal()).await?;
    let done = stage.kfleet(&["exec", "kafka1", "-m", "service", "-a", RESTART_KAFKA]).await?;
    expect_code(&done, 0)?;
    ensure!(pid(stage, "kafka1", "kafka").await? != before, "the broker was not restarted:\n{}", done.stdout);
    stage.lab.wait_whole(&Progress::terminal()).await?;
    nothing_lost(traffic).await?;

    stage.on("kafka2", &["systemctl", "stop", "kafka"]).await?;
    let accepted = format!("{RESTART_KAFKA} allow_outage=true");
    let forced = stage.kfleet(&["exec", "kafka1", "-m", "service", "-a", &accepted]).await;
    stage.on("kafka2", &["systemctl", "start", "kafka"]).await?;
    expect_code(&forced?, 0)?;
    stage.lab.wait_whole(&Progress::terminal()).await
}

/// One command for all hosts at once: no two nodes of a cluster are down at one moment, no partition falls under min
/// ISR, and no record is lost.
pub(crate) async fn all_at_once(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    one_after_another(stage, "zookeeper", &ENSEMBLE, "zookeeper").await?;
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let traffic = Traffic::start(&stage.lab, &stage.programs.producer, &stage.bootstrap(), "scenario-at-once").await?;
    let (restarts, low) = {
        let restarts = one_after_another(stage, "kafka", &BROKERS, "kafka");
        tokio::pin!(restarts);
        let mut low = Lowest::default();
        loop {
            tokio::select! {
                // Both are cancel safe as used: the restarts are pinned, and a metadata answer that is dropped is no loss.
                outcome = &mut restarts => break (outcome, low),
                () = low.look(stage) => {}
            }
        }
    };
    restarts?;
    println!("    at the least {} of 3 replicas in sync in {} looks", low.in_sync, low.looks);
    ensure!(low.looks > 10, "the cluster was looked at {} times only", low.looks);
    ensure!(low.in_sync == 2, "min ISR is 2, and a partition had {} in sync", low.in_sync);
    stage.lab.wait_whole(&Progress::terminal()).await?;
    nothing_lost(traffic).await
}

/// The lowest number of replicas in sync that any partition of three replicas had.
struct Lowest {
    in_sync: usize,
    looks: usize,
}

impl Default for Lowest {
    fn default() -> Self {
        Self { in_sync: 3, looks: 0 }
    }
}

impl Lowest {
    async fn look(&mut self, stage: &Stage) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // A broker that is about to stop may not answer; the next look asks again.
        let Ok(metadata) = stage.lab.metadata().await else { return };
        self.looks += 1;
        let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let in_sync = partitions.filter(|p| p.replicas.len() == 3).map(|p| p.isrs.len());
        self.in_sync = in_sync.fold(self.in_sync, usize::min);
    }
}

/// Restarts a unit on all hosts by one command. Every host does it or says why not, and no two are down together.
async fn one_after_another(stage: &Stage, cluster: &str, hosts: &[&str], unit: &str) -> Result<()> {
    let mut before = Vec::new();
    for host in hosts {
        before.push(outages(stage, host, unit).await?.len());
    }
    let restart = format!("name={unit} state=restarted");
    let (events, _) = stage.watch(&["exec", cluster, "-m", "service", "-a", &restart])?.finish().await?;
    let mut done = 0;
    for result in of_kind(&events, "host_result") {
        let told = result["result"]["msg"].as_str().unwrap_or_default();
        let changed = result["status"] == "changed";
        ensure!(changed || told.contains("its cluster is not whole"), "{result}");
        println!("    {}: {}", result["host"], if changed { "restarted" } else { told });
        done += usize::from(changed);
    }
    ensure!(done > 0, "nothing was restarted: {:?}", events.last());
    let mut all = Vec::new();
    for (host, before) in hosts.iter().zip(before) {
        let new = outages(stage, host, unit).await?.split_off(before);
        all.extend(new.into_iter().map(|(down, up)| (down, up, *host)));
    }
    ensure!(all.len() == done, "{done} hosts say that they restarted it, and {} did: {all:?}", all.len());
    all.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    for pair in all.windows(2) {
        let [(_, up, first), (down, _, second)] = pair else { continue };
        ensure!(up < down, "{second} went down while {first} was down: {all:?}");
        println!("    {first} was up for {:.1} s when {second} went down", down - up);
    }
    Ok(())
}

/// When a unit went down and came up again on a host, in seconds since 1970, by the host's own journal.
async fn outages(stage: &Stage, host: &str, unit: &str) -> Result<Vec<(f64, f64)>> {
    let query = ["journalctl", "--unit", unit, "--output", "short-unix", "--no-pager"];
    let journal = stage.lab.host(host)?.exec(&query).await?.stdout;
    let mut all = Vec::new();
    let mut down = None;
    for line in journal.lines() {
        let Some((time, text)) = line.split_once(' ') else { continue };
        let text = text.split_once(": ").map(|(_, text)| text).unwrap_or_default();
        let at = || time.parse::<f64>().with_context(|| format!("no time: {line}"));
        if text.starts_with("Stopping ") {
            down = Some(at()?);
        } else if text.starts_with("Started ")
            && let Some(down) = down.take()
        {
            all.push((down, at()?));
        }
    }
    Ok(all)
}
