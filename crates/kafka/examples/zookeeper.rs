//! Prints what one ZooKeeper server says of itself as JSON, and with `--kafka` what Kafka's brokers registered in its
//! tree: `cargo run -p kfleet-kafka --example zookeeper -- HOST:PORT [ZOO_CFG MYID] [--kafka]`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people: its output is its purpose")]

use kfleet_kafka::zookeeper::kafka_registrations;
use kfleet_kafka::{Instant, ZooKeeperAccess, ZooKeeperError, ZooKeeperFiles, zookeeper_server};
use kfleet_model::HostName;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// How long the server has for all answers together.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let kafka = arguments.last().is_some_and(|last| last == "--kafka");
    arguments.truncate(arguments.len() - usize::from(kafka));
    let Some(access) = read_arguments(&arguments) else {
        eprintln!("usage: zookeeper HOST:PORT [ZOO_CFG MYID] [--kafka]");
        return ExitCode::from(2);
    };
    match show(&access, kafka).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to {error}");
            if let Some(cause) = error.source() {
                eprintln!("  because: {cause}");
            }
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn read_arguments(arguments: &[String]) -> Option<ZooKeeperAccess> {
    let (address, files) = match arguments {
        [address] => (address, None),
        [address, path, my_id] => {
            let config = std::fs::read_to_string(path).ok()?;
            (address, Some(ZooKeeperFiles { config, my_id: Some(my_id.parse().ok()?) }))
        }
        [..] => return None,
    };
    Some(ZooKeeperAccess { host: HostName::new("localhost").ok()?, address: address.parse().ok()?, files })
}

async fn show(access: &ZooKeeperAccess, kafka: bool) -> Result<(), ZooKeeperError> {
    let server = zookeeper_server(access, Instant::now() + DEADLINE).await?;
    println!("{:#}", serde_json::json!(server));
    if kafka {
        println!("{:#?}", kafka_registrations(&access.address.to_string(), Instant::now() + DEADLINE).await?);
    }
    Ok(())
}
