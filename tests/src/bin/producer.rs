//! `producer`: writes numbered records with `acks=all` until SIGTERM, reads them back, and says what became of them.
//!
//! Runs inside the lab's network while something is done to the cluster. Standard output has one JSON object when the
//! topic is there and writing begins, and one with the outcome; the exit code is 0 only when no send failed and nothing is
//! missing, repeated or out of order.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use kfleet_kafka::records::{Producer, TopicPlan, create_topic, verify};
use kfleet_model::RunId;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long creating the topic and reading back may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Writes numbered records until SIGTERM, and verifies them.
#[derive(Parser)]
struct Arguments {
    /// Brokers, `host:port` with commas between.
    bootstrap: String,
    /// The topic; made with three replicas and min.insync.replicas=2 unless it exists.
    #[arg(long, default_value = "kfleet-canary")]
    topic: String,
    /// Its partitions.
    #[arg(long, default_value_t = 12)]
    partitions: i32,
    /// Records in a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// The longest time to write, in seconds.
    #[arg(long, default_value_t = 1800)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // With nobody to read standard error, the exit code has to do.
            writeln!(std::io::stderr(), "producer: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    let run = RunId::new(format!("p{}", jiff::Timestamp::now().as_millisecond()))?;
    let mut producer = Producer::new(&arguments.bootstrap, &arguments.topic, run);
    producer.rate = arguments.rate;
    producer.max_time = Duration::from_secs(arguments.seconds);
    producer.max_records = u64::from(arguments.rate) * arguments.seconds;
    let plan = TopicPlan {
        name: arguments.topic.clone(),
        partitions: arguments.partitions,
        replication_factor: 3,
        min_isr: 2,
    };
    create_topic(&arguments.bootstrap, &plan, LIMIT).await.context("failed to make the topic")?;
    writeln!(std::io::stdout(), "{}", json!({"writing_to": arguments.topic}))
        .context("failed to say that it begins")?;
    let (stop, stopped) = watch::channel(false);
    let report = {
        let writing = producer.run(stopped);
        tokio::pin!(writing);
        tokio::select! {
            report = &mut writing => report,
            _ = terminate.recv() => {
                stop.send_replace(true);
                writing.await
            }
        }
        .context("failed to write")?
    };
    let verification = verify(&arguments.bootstrap, &report, LIMIT).await.context("failed to read back")?;
    let clean = report.is_clean() && verification.is_clean();
    let outcome = json!({
        "clean": clean, "sent": report.sent, "acknowledged": report.acknowledged.count(), "failed": report.failed.count,
        "longest_gap_ms": report.longest_gap_ms, "wrote_for_ms": report.wrote_for_ms,
        "report": report.to_string(), "verification": verification.to_string(), "details": verification,
    });
    writeln!(std::io::stdout(), "{outcome}").context("failed to write the outcome")?;
    Ok(clean)
}
