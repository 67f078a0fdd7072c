//! Configuration that running brokers take, and configuration that waits for a roll.

use crate::roll::BROKERS;
use crate::support::{QUICK, Stage, expect_code};
use anyhow::{Result, ensure};
use kfleet_tests::lab::Progress;
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

    // As it was, for the scenarios that follow.
    let back = PLAYBOOK.replace("DYNAMIC", "1").replace("STATIC", "500");
    let back = write(&folder, "back.yml", &back)?;
    expect_code(&stage.kfleet(&["run", &back]).await?, 0)
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
