//! `kfleet lint`: checks playbooks and the inventory without touching a host.

use super::launch::{self, Request, Style};
use super::play_args::PlayArgs;
use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::fleet::{Fleet, Settings};
use crate::report;
use clap::Args as ClapArgs;
use kfleet_model::Map;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `kfleet lint`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Playbooks; without any, only the inventory is checked
    #[arg(value_name = "PLAYBOOK")]
    playbooks: Vec<String>,
    #[command(flatten)]
    play: PlayArgs,
}

pub(super) fn run(fleet: Option<&Fleet>, args: &Args) -> Outcome {
    let root = std::env::current_dir().map_err(|error| CliError::internal(&error))?;
    let request = Request {
        command: "lint".to_owned(),
        what: args.playbooks.join(" "),
        playbooks: args.playbooks.clone(),
        built_in: BTreeMap::new(),
        vars: Map::new(),
        style: Style::Playbook,
        args: args.play.clone(),
        root,
    };
    // Without a fleet directory the playbook alone is checked: an editor or a CI may not have one.
    let nowhere = Fleet { dir: PathBuf::from("."), settings: settings_without_fleet() };
    let outcome = launch::load(fleet.unwrap_or(&nowhere), &request, BTreeMap::new());
    let (diagnostics, exit) = match outcome {
        Ok(loaded) => (loaded.warnings, Exit::Ok),
        Err(CliError::Diagnostics(diagnostics)) => (diagnostics, Exit::Input),
        Err(other) => return Err(other),
    };
    if args.play.json {
        let text = serde_json::to_string_pretty(&diagnostics).map_err(|error| CliError::internal(&error))?;
        report::print(&(text + "\n"));
    } else if diagnostics.is_empty() {
        report::print("no problems found\n");
    } else {
        report::print(&report::diagnostics(&diagnostics));
    }
    Ok(exit)
}

fn settings_without_fleet() -> Settings {
    Settings {
        fleet: "none".to_owned(),
        operator: "none".to_owned(),
        inventory: Vec::new(),
        forks: 1,
        agent_port: 0,
        connect_timeout_s: 1,
        task_timeout_s: 1,
    }
}
