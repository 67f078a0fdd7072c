//! `kfleet status`: asks all agents how they are.

use super::launch::{self};
use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::execute::{DiskFiles, FleetHosts, Link, agent_address};
use crate::fleet::Fleet;
use crate::report;
use clap::Args as ClapArgs;
use futures::StreamExt as _;
use kfleet_model::HostName;
use kfleet_playbook::plan::Template;
use kfleet_playbook::template::{Var, Vars as _};
use kfleet_playbook::{Diagnostics, Span};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    let mut diagnostics = Diagnostics::new();
    let paths: Vec<String> = fleet.inventories().into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let fleet_hosts = FleetHosts::load(&DiskFiles::new("."), &paths, &[], None, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(CliError::Diagnostics(diagnostics));
    }
    let pattern = Template { text: args.pattern.clone(), span: Span::nowhere("PATTERN", &args.pattern) };
    let (hosts, wrong) = fleet_hosts.select(&[pattern]);
    if wrong.has_errors() {
        return Err(CliError::Diagnostics(wrong));
    }
    let dial = launch::dial(fleet)?;
    let timeout = Duration::from_secs(fleet.settings.connect_timeout_s.max(1));
    let asked = hosts.iter().map(|host| {
        let address = address(&fleet_hosts, host, fleet.settings.agent_port);
        let dial = Arc::clone(&dial);
        async move {
            let link = Link::new(host.clone(), address.clone(), timeout, dial);
            let begun = Instant::now();
            let sent = jiff::Timestamp::now().as_millisecond();
            let answer = link.handshake().await;
            (host, address, begun.elapsed(), sent, answer)
        }
    });
    let mut answers: Vec<_> = futures::stream::iter(asked).buffer_unordered(100).collect().await;
    answers.sort_by(|a, b| a.0.cmp(b.0));
    let (mut rows, mut json, mut down) = (Vec::new(), Vec::new(), 0);
    for (host, address, elapsed, sent, answer) in answers {
        match answer {
            Ok(agent) => {
                // The agent read its clock somewhere between our sending and receiving; the middle is the best guess.
                let half = i64::try_from(elapsed.as_millis() / 2).unwrap_or(0);
                let skew = agent.unix_ms - (sent + half);
                rows.push(vec![
                    host.to_string(),
                    "ok".to_owned(),
                    agent.version.clone(),
                    format!("{} ms", elapsed.as_millis()),
                    format!("{skew:+} ms (± {half})"),
                    address.clone(),
                ]);
                json.push(serde_json::json!({"host": host, "address": address, "reachable": true, "version": agent.version,
                    "clock_skew_ms": skew, "clock_uncertainty_ms": half, "incarnation": agent.incarnation, "boot_id": agent.boot_id}));
            }
            Err(error) => {
                down += 1;
                rows.push(vec![
                    host.to_string(),
                    "unreachable".to_owned(),
                    String::new(),
                    String::new(),
                    String::new(),
                    report::safe(&error.to_string()),
                ]);
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

/// The address that a run would call. Templates in it are not rendered here: there is no run.
fn address(fleet: &FleetHosts, host: &HostName, port: u16) -> String {
    let layers = fleet.layers(host, ".");
    let var = |name: &str| match layers.get(name) {
        Some(Var::Value { value, .. }) => kfleet_model::module::text(&value),
        Some(Var::Scope(_)) | None => None,
    };
    let port = var("kfleet_port").and_then(|text| text.parse().ok()).unwrap_or(port);
    agent_address(host, var("ansible_host").or_else(|| var("ansible_ssh_host")).as_deref(), port)
}
