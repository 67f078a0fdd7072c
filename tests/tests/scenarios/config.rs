//! Configuration that running brokers take, and configuration that waits for a roll.

use crate::roll::BROKERS;
use crate::support::{QUICK, Stage, expect_code};
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use serde_json::Value;
use std::path::Path;

/// One key that brokers take while they run, one that they read at their start only.
const PLAYBOOK: &str = "
- name: Configuration
  hosts: kafka
  gather_facts: false
  tasks:
    - name: All brokers take it as they run
      kafka_dynamic_config:
        scope: cluster
        settings:
          log.cleaner.threads: DYNAMIC
      run_once: true
    - name: A broker reads it at its start
      kafka_config:
        version: 3.9.1
        settings:
          queued.max.requests: STATIC
      register: file
    - name: What is to be done
      debug:
        msg: 'restart for {{ file.restart_keys | default([]) | join(\",\") }}'
      when: file is changed
";

/// The two keys have Kafka's defaults, 1 and 500, at first.
pub(crate) async fn dynamic_and_static(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let folder = stage.folder("config")?;
    let before = stage.all_stops(&BROKERS, "kafka").await?;

    let mistake = PLAYBOOK.replace("DYNAMIC", "2").replace("queued.max.requests: STATIC", "min.insync.replica: 2");
    let wrong = write(&folder, "wrong.yml", &mistake)?;
    let refused = stage.kfleet(&["run", &wrong]).await?;
    expect_code(&refused, 3)?;
    let told = format!("{}{}", refused.stdout, refused.stderr);
    ensure!(told.contains("min.insync.replicas"), "the key that was meant is not named:\n{told}");
    ensure!(value(stage, "log.cleaner.threads").await? == "1", "a host was touched before the mistake was told");

    let changed = PLAYBOOK.replace("DYNAMIC", "2").replace("STATIC", "600");
    let playbook = write(&folder, "site.yml", &changed)?;
    let first = stage.kfleet(&["run", &playbook]).await?;
    expect_code(&first, 0)?;
    ensure!(first.stdout.contains("restart for queued.max.requests"), "{}", first.stdout);
    ensure!(value(stage, "log.cleaner.threads").await? == "2", "the brokers do not have the dynamic value");
    ensure!(value(stage, "queued.max.requests").await? == "500", "a broker cannot know the static value yet");
    ensure!(stage.all_stops(&BROKERS, "kafka").await? == before, "a broker was stopped");
    let again = stage.kfleet(&["run", &playbook]).await?;
    expect_code(&again, 0)?;
    ensure!(again.stdout.matches("changed=0 ").count() == 3, "a second run changes something:\n{}", again.stdout);

    let rolled = stage.kfleet(&["roll", "restart", "kafka", "-e", QUICK]).await?;
    expect_code(&rolled, 0)?;
    ensure!(value(stage, "queued.max.requests").await? == "600", "the roll did not bring the static value");
    println!("    dynamic value in use with no stop, static value after one roll");

    rolled_back(stage).await?;
    // As it was, for the scenarios that follow.
    let back = r#"{"scope": "cluster", "absent": ["log.cleaner.threads"]}"#;
    expect_code(&stage.kfleet(&["exec", "kafka1", "-m", "kafka_dynamic_config", "-a", back]).await?, 0)
}

const FILE: &str = "/etc/kafka/server.properties";

/// The static change is taken back, in the files and in what the brokers do, though somebody has changed one of them since.
async fn rolled_back(stage: &Stage) -> Result<()> {
    // The dynamic value is not the file's: what the file has is taken for the wish.
    let drift = stage.kfleet(&["config", "drift", "kafka"]).await?;
    expect_code(&drift, 0)?;
    stage
        .on("kafka2", &["sh", "-c", &format!("sed -i s/queued.max.requests=600/queued.max.requests=700/ {FILE}")])
        .await?;
    let drift = stage.kfleet(&["config", "drift", "kafka"]).await?;
    expect_code(&drift, 2)?;
    for told in
        ["kafka2  queued.max.requests  600", "was changed since kfleet wrote it", "was not restarted", "1 of 3 hosts"]
    {
        ensure!(drift.stdout.contains(told), "{told:?} is not told:\n{}", drift.stdout);
    }
    let history = stage.kfleet(&["config", "history", "kafka", "--path", FILE]).await?;
    expect_code(&history, 0)?;
    for told in ["on kafka1\n", "on kafka2\n", "kafka_config", "  now      "] {
        ensure!(history.stdout.contains(told), "{told:?} is not told:\n{}", history.stdout);
    }
    let run = last_run(stage).await?;
    let diff = stage.kfleet(&["config", "diff", "kafka2"]).await?;
    ensure!(diff.stdout.contains("-queued.max.requests=600\n+queued.max.requests=700"), "{}", diff.stdout);

    let before = stage.all_stops(&BROKERS, "kafka").await?;
    let checked = stage.kfleet(&["config", "rollback", "kafka", "--check", "--diff", "-e", QUICK]).await?;
    expect_code(&checked, 0)?;
    ensure!(stage.all_stops(&BROKERS, "kafka").await? == before, "check mode stopped a broker");
    let rolled = stage.kfleet(&["config", "rollback", "kafka", "-e", QUICK]).await?;
    expect_code(&rolled, 0)?;
    let after = stage.all_stops(&BROKERS, "kafka").await?;
    let stops: Vec<_> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    ensure!(stops == [1, 1, 1], "each broker is stopped once, not {stops:?} times");
    for broker in BROKERS {
        let text = stage.on(broker, &["cat", FILE]).await?;
        ensure!(!text.contains("queued.max.requests"), "{broker} has not its earlier file:\n{text}");
    }
    ensure!(value(stage, "queued.max.requests").await? == "500", "the broker does not behave as before");
    expect_code(&stage.kfleet(&["config", "drift", "kafka"]).await?, 0)?;
    let again = stage.kfleet(&["config", "rollback", "kafka", "--run", &run, "--no-restart"]).await?;
    expect_code(&again, 0)?;
    ensure!(again.stdout.contains("nothing changes"), "{}", again.stdout);
    println!(
        "    a rollback brought the earlier file and value to three brokers, each stopped once, and undid a change by hand"
    );
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// What broker 2 says that it runs with, by Kafka's own tool.
async fn value(stage: &Stage, key: &str) -> Result<String> {
    let script = "java -Xmx128m -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' kafka.admin.ConfigCommand \
                  --bootstrap-server localhost:9092 --describe --all --entity-type brokers --entity-name 2";
    let said = stage.on("kafka2", &["sh", "-c", script]).await?;
    let line = said.lines().map(str::trim).find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(line.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned())
}

/// The run that wrote the brokers' file last, as a program finds it.
async fn last_run(stage: &Stage) -> Result<String> {
    let said = stage.kfleet(&["config", "history", "kafka1", "--path", FILE, "--json"]).await?;
    let said: Value = serde_json::from_str(&said.stdout)?;
    let versions = said["hosts"]["kafka1"][0]["history"]["versions"].as_array().context("no versions")?;
    let run = versions.iter().rev().find_map(|version| version["author"]["run_id"].as_str());
    Ok(run.context("no run wrote it")?.to_owned())
}
