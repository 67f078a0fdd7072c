//! `kfleet exec`: one module on hosts, as `ansible` does.

use super::launch::{Request, Style, launch};
use super::play_args::PlayArgs;
use super::{CliError, Outcome};
use crate::fleet::Fleet;
use crate::history::Store;
use clap::Args as ClapArgs;
use kfleet_model::{Map, Value};
use std::collections::BTreeMap;

/// Arguments of `kfleet exec`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Host pattern
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// The module
    #[arg(long, short, default_value = "command", value_name = "MODULE")]
    module: String,
    /// Its arguments: free-form text, key=value pairs, or JSON
    #[arg(long, short, value_name = "ARGS")]
    args: Option<String>,
    /// Run commands as this user
    #[arg(long, value_name = "USER")]
    become_user: Option<String>,
    #[command(flatten)]
    play: PlayArgs,
}

/// The name of the playbook that the arguments become; diagnostics show it.
const NAME: &str = "<command line>";

fn playbook(args: &Args) -> Result<String, CliError> {
    let given = match args.args.as_deref().map(str::trim) {
        Some(text) if text.starts_with('{') => {
            serde_json::from_str(text).map_err(|error| CliError::input(format!("-a is not valid JSON: {error}")))?
        }
        Some(text) => Value::String(text.to_owned()),
        None => Value::Null,
    };
    let mut task = Map::new();
    task.insert("name".to_owned(), args.module.clone().into());
    task.insert(args.module.clone(), given);
    let mut play = Map::new();
    play.insert("name".to_owned(), "kfleet exec".into());
    play.insert("hosts".to_owned(), args.pattern.clone().into());
    play.insert("gather_facts".to_owned(), false.into());
    if let Some(user) = &args.become_user {
        play.insert("become".to_owned(), true.into());
        play.insert("become_user".to_owned(), user.clone().into());
    }
    play.insert("tasks".to_owned(), vec![Value::Object(task)].into());
    // JSON is YAML, and pretty JSON has lines that a diagnostic can point into.
    serde_json::to_string_pretty(&vec![play]).map_err(|error| CliError::internal(&error))
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let what = format!("{} -m {} -a {:?}", args.pattern, args.module, args.args.as_deref().unwrap_or_default());
    let request = Request {
        command: "exec".to_owned(),
        what,
        playbooks: vec![NAME.to_owned()],
        built_in: BTreeMap::from([(NAME.to_owned(), playbook(args)?)]),
        vars: Map::new(),
        style: Style::AdHoc,
        args: args.play.clone(),
        root: std::env::current_dir().map_err(|error| CliError::internal(&error))?,
    };
    let store = Store::open(&fleet.database()).await?;
    launch(fleet, request, store, None).await
}
