//! `kfleet run`: runs playbooks.

use super::launch::{Request, Style, launch};
use super::play_args::PlayArgs;
use super::{CliError, Outcome};
use crate::fleet::Fleet;
use crate::history::Store;
use clap::Args as ClapArgs;
use kfleet_model::Map;
use std::collections::BTreeMap;

/// Arguments of `kfleet run`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Playbooks, run one after another
    #[arg(required = true, value_name = "PLAYBOOK")]
    pub(super) playbooks: Vec<String>,
    #[command(flatten)]
    pub(super) play: PlayArgs,
}

/// The request of these arguments.
pub(super) fn request(args: &Args) -> Result<Request, CliError> {
    Ok(Request {
        command: "run".to_owned(),
        what: args.playbooks.join(" "),
        playbooks: args.playbooks.clone(),
        built_in: BTreeMap::new(),
        vars: Map::new(),
        style: Style::Playbook,
        args: args.play.clone(),
        root: std::env::current_dir().map_err(|error| CliError::internal(&error))?,
    })
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let request = request(args)?;
    let store = Store::open(&fleet.database()).await?;
    launch(fleet, request, store, None).await
}
