//! `demo`: the main job on real hosts. Brings up six of them, writes to Kafka with `acks=all`, restarts the ZooKeeper
//! ensemble and the Kafka cluster node by node, and counts what became of every record.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use console::style;
use kfleet_tests::lab::{DEFAULT_NAME, Kind, Lab, Layout, Progress, Subnet, Topology, UpOptions};
use kfleet_tests::programs::Programs;
use kfleet_tests::traffic::{Outcome, Traffic};
use tokio::signal::unix::{SignalKind, signal};

/// The main job, end to end.
#[derive(Parser)]
struct Arguments {
    /// Leave the lab up afterwards, to try things on it.
    #[arg(long)]
    keep: bool,
    /// ZooKeeper-mode Kafka and its ensemble, or three combined KRaft nodes.
    #[arg(long, default_value = "zk", value_parser = ["zk", "kraft"])]
    kind: String,
    /// Hosts of plain processes even where containers can boot.
    #[arg(long)]
    processes: bool,
}

fn say(text: &str) {
    // A closed pipe is no reason to stop in the middle of a roll.
    writeln!(std::io::stdout(), "{text}").ok();
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let outcome = tokio::select! {
        outcome = run(&arguments) => outcome,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    if !arguments.keep {
        let progress = Progress::terminal();
        if let Err(error) = Lab::down(DEFAULT_NAME, &progress).await {
            say(&format!("{} the lab could not be taken down: {error:#}", style("error:").red()));
        }
    }
    match outcome {
        Ok(()) => {
            say(&format!("\n{} in {} s", style("all is well").green().bold(), begun.elapsed().as_secs()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("\n{} {error:#}", style("error:").red().bold()));
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let programs = Programs::find(DEFAULT_NAME)?;
    let (kind, groups) = match arguments.kind.as_str() {
        "kraft" => (Kind::Kraft, vec!["kraft"]),
        _ => (Kind::Zk, vec!["zookeeper", "kafka"]),
    };
    say(&style("A fleet of real hosts").bold().to_string());
    let options = UpOptions {
        name: DEFAULT_NAME.to_owned(),
        topology: Topology::of(kind, Subnet::for_name(DEFAULT_NAME)),
        services: true,
        agent: Some(programs.agent_source()),
        processes: arguments.processes,
    };
    let lab = Lab::up(&options, &Progress::terminal()).await?;
    let bootstrap = lab.topology().brokers().map(|host| format!("{}:9092", host.address)).collect::<Vec<_>>().join(",");
    let fleet = Layout::of(DEFAULT_NAME)?.fleet();
    say(&format!("\n{}", style("A producer writes with acks=all").bold()));
    let traffic = Traffic::start(&lab, &programs.producer, &bootstrap, "kfleet-demo").await?;
    let mut rolled = Ok(());
    for group in groups {
        say(&format!("\n{}", style(format!("$ kfleet roll restart {group}")).bold()));
        let status = lab
            .controller_command(&programs.kfleet)?
            .arg("--fleet")
            .arg(&fleet)
            .args(["roll", "restart", group])
            .status()
            .await
            .context("failed to run kfleet")?;
        if !status.success() {
            rolled = Err(anyhow::anyhow!("`kfleet roll restart {group}` ended with {status}"));
            break;
        }
    }
    let outcome = traffic.finish().await?;
    tell(&outcome);
    rolled?;
    ensure!(outcome.clean, "records were lost, repeated or refused");
    Ok(())
}

fn tell(outcome: &Outcome) {
    say(&format!("\n{}", style("What became of the records").bold()));
    for line in outcome.text.lines() {
        say(&format!("  {line}"));
    }
    say(&format!("  longest time without an acknowledgement: {} ms", outcome.longest_gap.as_millis()));
}
