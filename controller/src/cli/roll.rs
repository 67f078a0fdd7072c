//! `kfleet roll`: rolling operations on a cluster, by the shipped playbooks.

use super::launch::{Request, Style, launch};
use super::play_args::PlayArgs;
use super::{CliError, Outcome};
use crate::fleet::Fleet;
use crate::history::Store;
use clap::{Args as ClapArgs, Subcommand};
use kfleet_model::Map;
use std::collections::BTreeMap;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Restart the nodes of a cluster one by one, each when the cluster can spare it
    Restart(Args),
}

/// Arguments of `kfleet roll restart`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The cluster: the name of its inventory group
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    #[command(flatten)]
    play: PlayArgs,
}

const NAME: &str = "rolling-restart.yml";
const RESTART: &str = include_str!("../../../playbooks/rolling-restart.yml");

/// The tasks that restart one node, as playbooks beside this one import them.
pub(super) fn restart_tasks() -> (String, String) {
    ("tasks/restart-node.yml".to_owned(), include_str!("../../../playbooks/tasks/restart-node.yml").to_owned())
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    let Command::Restart(args) = command;
    let mut vars = Map::new();
    vars.insert("cluster".to_owned(), args.cluster.clone().into());
    let request = Request {
        command: "roll restart".to_owned(),
        what: format!("rolling restart of {}", args.cluster),
        playbooks: vec![NAME.to_owned()],
        built_in: BTreeMap::from([(NAME.to_owned(), RESTART.to_owned()), restart_tasks()]),
        vars,
        style: Style::Playbook,
        args: args.play.clone(),
        root: std::env::current_dir().map_err(|error| CliError::internal(&error))?,
    };
    let store = Store::open(&fleet.database()).await?;
    launch(fleet, request, store, None).await
}
