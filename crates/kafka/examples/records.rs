//! Writes numbered records for some seconds, reads them back and says what became of them:
//! `cargo run -p kfleet-kafka --features records --example records -- BOOTSTRAP TOPIC RUN SECONDS`.
//!
//! The topic is made with six partitions, three replicas and `min.insync.replicas=2` unless it exists. Ctrl-C ends the
//! writing early; the reading back follows all the same. The exit code is 0 only when nothing failed, is missing,
//! repeated or out of order.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people: its output is its purpose")]

use kfleet_kafka::records::{Producer, RecordsError, TopicPlan, create_topic, verify};
use kfleet_model::RunId;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// How long creating and reading back may take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(producer) = read_arguments(&arguments) else {
        eprintln!("usage: records BOOTSTRAP TOPIC RUN SECONDS");
        return ExitCode::from(2);
    };
    match write_and_verify(&producer).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("failed to {error}");
            if let Some(cause) = error.source() {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn read_arguments(arguments: &[String]) -> Option<Producer> {
    let [bootstrap, topic, run, seconds] = arguments else { return None };
    let mut producer = Producer::new(bootstrap, topic, RunId::new(run.as_str()).ok()?);
    producer.max_time = Duration::from_secs(seconds.parse().ok()?);
    Some(producer)
}

async fn write_and_verify(producer: &Producer) -> Result<bool, RecordsError> {
    let plan = TopicPlan { name: producer.topic.clone(), partitions: 6, replication_factor: 3, min_isr: 2 };
    eprintln!("topic '{}': {:?}", plan.name, create_topic(&producer.bootstrap, &plan, LIMIT).await?);
    let (stop, stopped) = watch::channel(false);
    let report = {
        let run = producer.run(stopped);
        tokio::pin!(run);
        tokio::select! {
            report = &mut run => report?,
            signal = tokio::signal::ctrl_c() => {
                if let Err(error) = signal {
                    eprintln!("Ctrl-C can not be caught: {error}");
                }
                stop.send_replace(true);
                run.await?
            }
        }
    };
    println!("{report}");
    let verification = verify(&producer.bootstrap, &report, LIMIT).await?;
    println!("{verification}");
    Ok(report.is_clean() && verification.is_clean())
}
