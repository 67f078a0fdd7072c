//! `kfleet config`: the versions of managed files, the way back to them, and drift.
//!
//! Versions live on the hosts; who started a run is known here. Going back to one is a run like any other: on a cluster
//! it is rolled by a shipped playbook.

mod drift;
mod history;
mod rollback;

use super::agents::{Which, agents};
use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::execute::{Agent, LinkError, call};
use crate::fleet::Fleet;
use crate::history::Store;
use crate::report;
use clap::Subcommand;
use kfleet_model::version::FileReport;
use kfleet_model::{HostName, Map, RunId};
use kfleet_proto::convert::ObserveKind;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a host may take to read versions or configurations.
const DEADLINE: Duration = Duration::from_secs(30);

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the versions of managed files: since when, by whom, in which run
    ///
    /// A file is managed once a task has written it. What somebody else did to it in between is found at the next change
    /// and shown as such. Ends with 4 when a host does not answer.
    History(history::Args),
    /// Show how versions of managed files differ
    ///
    /// By default what the last change did, or what was done to the file since, behind kfleet's back. Values of secret
    /// keys are never shown.
    Diff(history::DiffArgs),
    /// Take managed files back, node by node, each when the cluster can spare it
    ///
    /// By default the changes of the last run that changed a managed file there are taken back, and every node whose file
    /// changes is restarted as `kfleet roll restart` does it. It makes new versions: nothing is lost, and a rollback can be
    /// rolled back. Look first with --check --diff.
    Rollback(Box<rollback::Args>),
    /// Compare the configuration as kfleet wrote it, as it is on disk, and as the nodes run
    ///
    /// Ends with 0 when nothing differs, with 2 when something does or could not be compared, with 4 when the only fault
    /// is that a host does not answer.
    Drift(drift::Args),
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    match command {
        Command::History(args) => history::run(fleet, args).await,
        Command::Diff(args) => history::diff(fleet, args).await,
        Command::Rollback(args) => rollback::run(fleet, args).await,
        Command::Drift(args) => drift::run(fleet, args).await,
    }
}

/// What the hosts answered, and why some did not.
struct Answers<T> {
    good: BTreeMap<HostName, T>,
    silent: BTreeMap<HostName, String>,
    /// Hosts that answered and could not do it.
    failed: BTreeMap<HostName, String>,
}

/// Asks all hosts for the same kind of reading.
async fn ask<T: DeserializeOwned>(
    fleet: &Fleet,
    which: Which<'_>,
    kind: ObserveKind,
    params: impl Fn(&Agent) -> Result<Map, CliError>,
) -> Result<Answers<T>, CliError> {
    let agents = agents(fleet, which)?;
    let mut asked = BTreeMap::new();
    for agent in &agents {
        asked.insert(&agent.host, params(agent)?);
    }
    let answers = call(&agents, |agent| agent.link.observe(kind, &asked[&agent.host], DEADLINE)).await;
    let mut all = Answers { good: BTreeMap::new(), silent: BTreeMap::new(), failed: BTreeMap::new() };
    for (Agent { host, .. }, answer) in answers {
        match answer.map(serde_json::from_value) {
            Ok(Ok(good)) => _ = all.good.insert(host.clone(), good),
            Ok(Err(error)) => _ = all.failed.insert(host.clone(), format!("its answer is not understood: {error}")),
            Err(error @ LinkError::Unreachable(_)) => _ = all.silent.insert(host.clone(), error.to_string()),
            Err(error @ (LinkError::Refused(_) | LinkError::Protocol(_) | LinkError::Lost(_))) => {
                _ = all.failed.insert(host.clone(), error.to_string());
            }
        }
    }
    Ok(all)
}

impl<T> Answers<T> {
    /// The exit code where all answers are good.
    fn exit(&self) -> Exit {
        match (self.failed.is_empty(), self.silent.is_empty()) {
            (false, _) => Exit::Failed,
            (true, false) => Exit::Unreachable,
            (true, true) => Exit::Ok,
        }
    }

    /// A line for each host that gave no answer.
    fn faults(&self) -> String {
        let silent = self.silent.iter().map(|(host, why)| format!("{host}: unreachable: {}\n", report::safe(why)));
        let failed = self.failed.iter().map(|(host, why)| format!("{host}: {}\n", report::safe(why)));
        silent.chain(failed).collect()
    }
}

/// The versions of files on all hosts; of the named paths, or of all managed ones.
async fn versions(
    fleet: &Fleet,
    which: Which<'_>,
    mut params: Map,
    paths: &[String],
) -> Result<Answers<Vec<FileReport>>, CliError> {
    if !paths.is_empty() {
        params.insert("paths".to_owned(), paths.into());
    }
    ask(fleet, which, ObserveKind::FileVersions, |_| Ok(params.clone())).await
}

/// Who started a run, as this fleet directory knows it.
async fn owner(store: &Store, run: &RunId) -> Result<Option<String>, CliError> {
    let found = store.find_runs(run.as_str()).await?;
    Ok(found.into_iter().find(|record| record.run_id == *run).map(|record| record.owner))
}

/// A moment of a host's clock, for people.
fn moment(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| unix_ms.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
