//! `kfleet status`: asks all agents how they are.

use super::Outcome;
use super::agents::{Asked, ask_all};
use crate::cli::exit::Exit;
use crate::fleet::Fleet;
use crate::report;
use clap::Args as ClapArgs;

/// Arguments of `kfleet status`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Host pattern
    #[arg(default_value = "all", value_name = "PATTERN")]
    pattern: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let (mut rows, mut json, mut down) = (Vec::new(), Vec::new(), 0);
    for Asked { host, address, answer } in ask_all(fleet, &args.pattern).await? {
        match answer {
            Ok(answer) => {
                rows.push(vec![
                    host.to_string(),
                    "ok".to_owned(),
                    answer.agent.version.clone(),
                    format!("{} ms", answer.took.as_millis()),
                    answer.offset.to_string(),
                    address.clone(),
                ]);
                json.push(serde_json::json!({"host": host, "address": address, "reachable": true,
                    "version": answer.agent.version, "clock_skew_ms": answer.offset.ms,
                    "clock_uncertainty_ms": answer.offset.uncertainty_ms, "incarnation": answer.agent.incarnation,
                    "boot_id": answer.agent.boot_id}));
            }
            Err(error) => {
                down += 1;
                let why = report::safe(&error.to_string());
                rows.push([host.as_str(), "unreachable", "", "", "", why.as_ref()].map(str::to_owned).to_vec());
                json.push(
                    serde_json::json!({"host": host, "address": address, "reachable": false, "why": error.to_string()}),
                );
            }
        }
    }
    if args.json {
        report::print(&format!("{:#}\n", serde_json::Value::Array(json)));
    } else {
        report::print(&report::table::render(&["host", "agent", "version", "answer", "clock skew", "address"], &rows));
    }
    Ok(if down > 0 { Exit::Unreachable } else { Exit::Ok })
}
