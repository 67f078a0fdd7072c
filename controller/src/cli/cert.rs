//! `kfleet cert`: certificates of hosts and operators.

use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::fleet::Fleet;
use crate::report;
use clap::Subcommand;
use jiff::Timestamp;
use kfleet_model::{HostName, OperatorName};
use kfleet_pki::FleetStore;
use std::path::PathBuf;
use std::time::Duration;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Sign a host's request; prints the bundle that `kfleet-agent install-cert` takes
    Sign {
        /// The host's name in the inventory; its request must be for this name.
        #[arg(long)]
        host: String,
        /// The request that `kfleet-agent request` made.
        #[arg(value_name = "CSR")]
        request: PathBuf,
        /// Where to write the bundle; standard output by default.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many days it is valid.
        #[arg(long, value_name = "DAYS")]
        days: Option<u64>,
    },
    /// Make a certificate for an operator, or renew it
    Operator {
        /// The operator's name.
        name: String,
        /// How many days it is valid.
        #[arg(long, value_name = "DAYS")]
        days: Option<u64>,
    },
    /// List all certificates that were issued
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

fn lifetime(days: Option<u64>) -> Option<Duration> {
    days.map(|days| Duration::from_secs(days * 86_400))
}

pub(super) fn run(fleet: &Fleet, command: &Command) -> Outcome {
    let store = FleetStore::open(&fleet.pki())?;
    let now = Timestamp::now();
    match command {
        Command::Sign { host, request, out, days } => {
            let host = HostName::new(host.as_str()).map_err(|error| CliError::input(error.to_string()))?;
            let text = std::fs::read_to_string(request)
                .map_err(|error| CliError::input(format!("failed to read {}: {error}", request.display())))?;
            let bundle = store.issue_agent(&host, &text, now, lifetime(*days))?;
            let text = serde_json::to_string_pretty(&bundle).map_err(|error| CliError::internal(&error))?;
            match out {
                Some(path) => std::fs::write(path, text + "\n")
                    .map_err(|error| CliError::input(format!("failed to write {}: {error}", path.display())))?,
                None => report::print(&(text + "\n")),
            }
        }
        Command::Operator { name, days } => {
            let name = OperatorName::new(name.as_str()).map_err(|error| CliError::input(error.to_string()))?;
            let known =
                store.issued()?.iter().any(|record| record.identity.uri().ends_with(&format!("/operator/{name}")));
            let issued = if known {
                store.renew_operator(&name, now, lifetime(*days))?
            } else {
                store.issue_operator(&name, now, lifetime(*days))?
            };
            report::print(&format!("{} is valid until {}\n", issued.identity, issued.not_after));
        }
        Command::List { json } => list(&store, *json)?,
    }
    Ok(Exit::Ok)
}

fn list(store: &FleetStore, json: bool) -> Result<(), CliError> {
    let (issued, services) = (store.issued()?, store.issued_services()?);
    if json {
        let value = |record: Result<serde_json::Value, _>| record.map_err(|error| CliError::internal(&error));
        let all = issued.iter().map(|record| value(serde_json::to_value(record)));
        let all = all.chain(services.iter().map(|record| value(serde_json::to_value(record))));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let text = serde_json::to_string_pretty(&all).map_err(|error| CliError::internal(&error))?;
        report::print(&(text + "\n"));
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = issued
        .iter()
        .map(|record| {
            vec![
                record.identity.to_string(),
                record.serial.to_string(),
                record.not_before.to_string(),
                record.not_after.to_string(),
            ]
        })
        .collect();
    rows.extend(services.iter().map(|record| {
        vec![
            format!("{} on {} ({})", record.service, record.host, record.names.join(", ")),
            record.serial.to_string(),
            record.not_before.to_string(),
            record.not_after.to_string(),
        ]
    }));
    report::print(&report::table::render(&["identity", "serial", "not before", "not after"], &rows));
    Ok(())
}
