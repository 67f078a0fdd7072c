//! `kfleet resume`: goes on with a run.

use super::launch::{Request, Resumed, launch};
use super::{CliError, Outcome};
use crate::execute::process::lives;
use crate::fleet::Fleet;
use crate::history::Store;
use clap::Args as ClapArgs;
use kfleet_model::Class;
use kfleet_model::event::RunEnd;

/// Arguments of `kfleet resume`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The run's id, or the beginning of it; the newest unfinished one by default
    run: Option<String>,
    /// Write events as JSON lines instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let store = Store::open(&fleet.database()).await?;
    let record = match &args.run {
        Some(run) => super::runs::find(&store, run).await?,
        None => store
            .runs(100)
            .await?
            .into_iter()
            .find(|run| run.end != Some(RunEnd::Succeeded) && !lives(run))
            .ok_or_else(|| CliError::input("no run is unfinished"))?,
    };
    if lives(&record) {
        let text = format!("run {} is still being run by process {} here", record.run_id, record.pid);
        return Err(
            CliError::new(Class::Refused, text).hint(format!("follow it with `kfleet runs watch {}`", record.run_id))
        );
    }
    if record.end == Some(RunEnd::Succeeded) {
        return Err(CliError::input(format!("run {} succeeded; there is nothing to go on with", record.run_id)));
    }
    let mut request: Request = serde_json::from_str(&record.request).map_err(|error| CliError::internal(&error))?;
    request.args.json = args.json;
    let next_seq = store.events(&record.run_id, 0).await?.last().map_or(0, |event| event.seq + 1);
    let ops = store.ops(&record.run_id).await?;
    launch(fleet, request, store, Some(Resumed { record, next_seq, ops })).await
}
