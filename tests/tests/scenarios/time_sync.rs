//! chrony configured by the shipped playbook, against a time server of the lab.

use crate::support::{Ended, Stage, expect_code, of_kind};
use anyhow::{Context, Result, ensure};
use kfleet_tests::programs::repository;
use serde_json::Value;
use std::collections::BTreeMap;

const HOSTS: [&str; 6] = ["zk1", "zk2", "zk3", "kafka1", "kafka2", "kafka3"];

/// Not the one that the lab itself makes a server of, nor its stratum: what is seen below can only be the playbook's work.
const SERVER: &str = "zk3";
const STRATUM: u8 = 7;

const CONFIG: &str = "/etc/chrony/chrony.conf";

/// All clocks of the lab are the machine's, so an offset is chrony's own error of measuring.
const NEAR_MS: f64 = 5.0;

/// One host serves its time and five follow it while their nodes run, by chrony's own word; a second run changes
/// nothing; a server that does not answer is named and, where the clock could be set by it, not even configured.
pub(crate) async fn against_a_lab_server(stage: &Stage) -> Result<()> {
    let mut before = BTreeMap::new();
    for host in HOSTS {
        before.insert(host, stage.on(host, &["cat", CONFIG]).await?);
    }
    let outcome = configured(stage).await;
    for (host, text) in &before {
        std::fs::write(stage.lab.host(host)?.path(CONFIG)?, text)?;
        stage.on(host, &["systemctl", "restart", "chrony"]).await?;
        stage.on(host, &["rm", "-f", "/var/lib/chrony/drift"]).await?;
    }
    outcome
}

async fn configured(stage: &Stage) -> Result<()> {
    let server = stage.lab.host(SERVER)?.spec().address.to_string();
    let playbook = repository().join("playbooks/time.yml").display().to_string();
    let vars = serde_json::json!({"time_hosts": [SERVER], "time_local_stratum": STRATUM}).to_string();
    let arguments = ["run", &playbook, "-e", &vars];
    let (events, code) = stage.watch(&arguments)?.finish().await?;
    ensure!(code == 0, "exit code {code}: {:?}", events.last());
    let mut seen = 0;
    for event in of_kind(&events, "host_result") {
        let data = &event["result"]["data"];
        if data["daemon"].is_null() {
            continue;
        }
        seen += 1;
        told(event["host"].as_str().context("a result of no host")?, data, &server)?;
    }
    ensure!(seen == HOSTS.len(), "{seen} hosts told of their clocks: {:?}", events.last());
    for host in HOSTS.into_iter().filter(|host| *host != SERVER) {
        let sources = stage.on(host, &["chronyc", "-c", "-n", "sources"]).await?;
        ensure!(sources.starts_with(&format!("^,*,{server},{STRATUM},")), "{host} follows another: {sources}");
        ensure!(sources.lines().count() == 1, "{host} has other sources too: {sources}");
    }
    let again = stage.kfleet(&arguments).await?;
    expect_code(&again, 0)?;
    ensure!(again.stdout.matches("changed=0 ").count() == HOSTS.len(), "a second run changes:\n{}", again.stdout);
    silent_server(stage, &server).await
}

/// What a host's task returned.
fn told(host: &str, data: &Value, server: &str) -> Result<()> {
    let (follows, stratum) = if host == SERVER { ("itself", STRATUM) } else { (server, STRATUM + 1) };
    ensure!(data["daemon"] == "chrony" && data["service"] == "chrony.service", "{host}: {data:#}");
    ensure!(data["synchronised_to"] == follows && data["stratum"] == stratum, "{host}: {data:#}");
    let offset = data["offset_ms"].as_f64().with_context(|| format!("{host} has no offset: {data:#}"))?;
    ensure!(offset.abs() < NEAR_MS, "{host} is {offset} ms off: {data:#}");
    Ok(())
}

/// An address of the lab's network where nobody is.
async fn silent_server(stage: &Stage, server: &str) -> Result<()> {
    let (network, _) = server.rsplit_once('.').context("no IPv4 address")?;
    let nobody = format!("{network}.250");
    let config = stage.on("kafka1", &["cat", CONFIG]).await?;
    let refused = try_server(stage, &nobody, "at_start").await?;
    let why = format!("{nobody} does not answer, so nobody can tell whether chronyd would set the clock");
    ensure!(refused.code == 2 && refused.stdout.contains(&why), "{}\n{}", refused.stdout, refused.stderr);
    ensure!(stage.on("kafka1", &["cat", CONFIG]).await? == config, "the configuration was changed all the same");

    let begun = tokio::time::Instant::now();
    let failed = try_server(stage, &nobody, "never").await?;
    let why = format!("the clock follows none of {nobody} after 12 s; no answer from {nobody}");
    ensure!(failed.code == 2 && failed.stdout.contains(&why), "{}\n{}", failed.stdout, failed.stderr);
    println!("    a silent server is named after {} s", begun.elapsed().as_secs());
    ensure!(stage.on("kafka1", &["cat", CONFIG]).await?.contains(&format!("server {nobody} iburst\n")), "not written");
    Ok(())
}

async fn try_server(stage: &Stage, server: &str, step: &str) -> Result<Ended> {
    let parameters = format!("servers={server} step={step} wait=12");
    stage.kfleet(&["exec", "kafka1", "-m", "time_sync", "-a", &parameters]).await
}
