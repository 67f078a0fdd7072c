//! `kfleet runs`: the history.

use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::execute::process::lives;
use crate::fleet::Fleet;
use crate::history::{RunRecord, Store};
use crate::report::{self, Consumer, JsonLines, Terminal, Verbosity};
use clap::Subcommand;
use kfleet_model::event::{EventKind, RunEnd};
use std::time::Duration;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List runs, the newest first
    List {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what happened in a run
    Show {
        /// Its id, or the beginning of it.
        run: String,
        /// With the values that tasks returned.
        #[arg(long, short)]
        verbose: bool,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Follow a run of another terminal until it ends
    Watch {
        /// Its id, or the beginning of it; the newest one by default.
        run: Option<String>,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    let store = Store::open(&fleet.database()).await?;
    match command {
        Command::List { limit, json } => list(&store, *limit, *json).await,
        Command::Show { run, verbose, json } => {
            let record = find(&store, run).await?;
            let mut consumer = consumer(*json, *verbose);
            for event in store.events(&record.run_id, 0).await? {
                consumer.event(&event);
            }
            consumer.finish();
            Ok(Exit::Ok)
        }
        Command::Watch { run, json } => {
            let record = match run {
                Some(run) => find(&store, run).await?,
                None => store.runs(1).await?.pop().ok_or_else(|| CliError::input("there are no runs yet"))?,
            };
            watch(&store, record, *json).await
        }
    }
}

fn consumer(json: bool, verbose: bool) -> Box<dyn Consumer> {
    let verbosity = if verbose { Verbosity::Values } else { Verbosity::Normal };
    if json { Box::new(JsonLines) } else { Box::new(Terminal::new(verbosity, true)) }
}

/// The one run whose id begins so.
pub(super) async fn find(store: &Store, prefix: &str) -> Result<RunRecord, CliError> {
    let mut found = store.find_runs(prefix).await?;
    match (found.len(), found.pop()) {
        (1, Some(run)) => Ok(run),
        (0, _) | (_, None) => {
            Err(CliError::input(format!("no run's id begins with {prefix}")).hint("see `kfleet runs list`"))
        }
        (n, Some(_)) => Err(CliError::input(format!("{n} runs have an id that begins with {prefix}; give more of it"))),
    }
}

/// What a run's state is called.
fn state(run: &RunRecord) -> &'static str {
    match run.end {
        Some(RunEnd::Succeeded) => "succeeded",
        Some(RunEnd::Failed) => "failed",
        Some(RunEnd::FailedSafe) => "FAILED_SAFE",
        Some(RunEnd::Cancelled) => "cancelled",
        Some(RunEnd::Interrupted) => "interrupted",
        None if lives(run) => "running",
        None => "interrupted",
    }
}

async fn list(store: &Store, limit: u32, json: bool) -> Outcome {
    let runs = store.runs(limit).await?;
    if json {
        let rows: Vec<_> = runs
            .iter()
            .map(|run| {
                serde_json::json!({"run": run.run_id, "command": run.command, "what": run.what, "owner": run.owner,
                    "check": run.check, "started": run.started, "ended": run.ended, "state": state(run), "resumes": run.resumes})
            })
            .collect();
        report::print(&format!("{}\n", serde_json::Value::Array(rows)));
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let check = if run.check { " (check)" } else { "" };
            vec![
                run.run_id.to_string(),
                run.started.get(..19).unwrap_or(&run.started).replace('T', " "),
                format!("{}{check}", state(run)),
                run.owner.clone(),
                report::safe(&run.what),
            ]
        })
        .collect();
    report::print(&report::table::render(&["run", "started (UTC)", "state", "by", "what"], &rows));
    Ok(Exit::Ok)
}

/// Polls the store: a watcher is another process, and the run must not depend on it.
async fn watch(store: &Store, mut record: RunRecord, json: bool) -> Outcome {
    let mut consumer = consumer(json, false);
    let mut next = 0;
    loop {
        for event in store.events(&record.run_id, next).await? {
            next = event.seq + 1;
            consumer.event(&event);
            if matches!(event.kind, EventKind::RunEnded { .. }) {
                consumer.finish();
                return Ok(Exit::Ok);
            }
        }
        if !lives(&record) {
            consumer.finish();
            let text = format!("the controller of run {} is gone", record.run_id);
            return Err(
                CliError::new(kfleet_model::Class::Internal, text).hint(format!("kfleet resume {}", record.run_id))
            );
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        record = find(store, record.run_id.as_str()).await?;
    }
}
