//! `kfleet config rollback`: managed files taken back, rolled over a cluster by a shipped playbook.

use super::super::agents::Which;
use super::super::launch::{Request, Style, launch};
use super::super::play_args::PlayArgs;
use super::super::{roll, runs};
use super::{Answers, CliError, Outcome, owner, versions};
use crate::fleet::Fleet;
use crate::history::Store;
use crate::report;
use kfleet_model::version::FileReport;
use kfleet_model::{Class, HostName, Map, RunId};
use std::collections::BTreeMap;

/// Arguments of `kfleet config rollback`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The cluster: the name of its inventory group; any host pattern with --no-restart
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Take back what this run changed, and what came after it on the same files; the last run by default
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only this file; may be repeated
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
    /// Go to this version of the one --path, as `kfleet config history` shows it
    #[arg(long = "to-version", value_name = "VERSION", requires = "path", conflicts_with = "run",
          value_parser = clap::value_parser!(u64).range(1..))]
    to_version: Option<u64>,
    /// Change the files and restart nothing; what they say is in effect after the next restart
    #[arg(long)]
    no_restart: bool,
    #[command(flatten)]
    play: PlayArgs,
}

const ROLLED: &str = "config-rollback.yml";
const ROLLED_TEXT: &str = include_str!("../../../../playbooks/config-rollback.yml");
const FILES: &str = "config-rollback-files.yml";
const FILES_TEXT: &str = include_str!("../../../../playbooks/config-rollback-files.yml");

/// What is taken back.
enum To {
    Run(RunId),
    Version(u64),
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let store = Store::open(&fleet.database()).await?;
    let which = Which { pattern: &args.cluster, inventories: &args.play.inventory, limit: args.play.limit.as_deref() };
    let answers = versions(fleet, which, Map::new(), &args.path).await?;
    if !(answers.silent.is_empty() && answers.failed.is_empty()) {
        let class = if answers.failed.is_empty() { Class::Unreachable } else { Class::Host };
        return Err(CliError::new(
            class,
            format!("not all hosts tell their versions: {}", answers.faults().trim_end()),
        )
        .hint("--limit leaves hosts out"));
    }
    let to = to(&store, args, &answers).await?;
    let affected = affected(&answers, &to)?;
    if !args.play.json {
        report::print(&foreseen(&store, &to, &affected).await?);
    }
    let mut vars = Map::new();
    vars.insert("cluster".to_owned(), args.cluster.clone().into());
    match &to {
        To::Run(run) => vars.insert("rollback_run".to_owned(), run.as_str().into()),
        To::Version(version) => vars.insert("rollback_version".to_owned(), (*version).into()),
    };
    if !args.path.is_empty() {
        vars.insert("rollback_paths".to_owned(), args.path.clone().into());
    }
    let (name, text) = if args.no_restart { (FILES, FILES_TEXT) } else { (ROLLED, ROLLED_TEXT) };
    let request = Request {
        command: "config rollback".to_owned(),
        what: format!("rollback of {}", args.cluster),
        playbooks: vec![name.to_owned()],
        built_in: BTreeMap::from([(name.to_owned(), text.to_owned()), roll::restart_tasks()]),
        vars,
        style: Style::Playbook,
        args: args.play.clone(),
        root: std::env::current_dir().map_err(|error| CliError::internal(&error))?,
    };
    launch(fleet, request, store, None).await
}

async fn to(store: &Store, args: &Args, answers: &Answers<Vec<FileReport>>) -> Result<To, CliError> {
    if let Some(version) = args.to_version {
        return match args.path.as_slice() {
            [_] => Ok(To::Version(version)),
            _ => Err(CliError::input("--to-version goes with one --path")),
        };
    }
    match &args.run {
        // A run of another controller is not in the history here, and the hosts know it all the same.
        Some(prefix) => match runs::find(store, prefix).await {
            Ok(record) => Ok(To::Run(record.run_id)),
            Err(error) => {
                let run = RunId::new(prefix.as_str()).map_err(|_| error)?;
                Ok(To::Run(run))
            }
        },
        None => last_run(answers).map(To::Run).ok_or_else(|| {
            CliError::input("no run has changed a managed file there").hint("see `kfleet config history`")
        }),
    }
}

/// The last run that changed one of the files on one of the hosts.
fn last_run(answers: &Answers<Vec<FileReport>>) -> Option<RunId> {
    let reports = answers.good.values().flatten();
    reports
        .filter_map(|report| report.history.last_run())
        .max_by_key(|(_, unix_ms)| *unix_ms)
        .map(|(run, _)| run.clone())
}

/// The files that change, by path, with their hosts. What can not go back on one host is said before any is touched.
fn affected(answers: &Answers<Vec<FileReport>>, to: &To) -> Result<BTreeMap<String, Vec<HostName>>, CliError> {
    let (mut affected, mut wrong) = (BTreeMap::<String, Vec<HostName>>::new(), Vec::new());
    for (host, reports) in &answers.good {
        for FileReport { history, .. } in reports {
            let target = match to {
                To::Run(run) => history.before_run(run),
                To::Version(number) => history.version(*number).map(Some),
            };
            match target {
                Ok(Some(version)) if !version.content.same_as(&history.now) => {
                    affected.entry(history.path.display().to_string()).or_default().push(host.clone());
                }
                Ok(_) => {}
                Err(error) => wrong.push(format!("{host}: {}: {error}", history.path.display())),
            }
        }
    }
    if !wrong.is_empty() {
        return Err(CliError::input(format!("no way back: {}", wrong.join("; "))));
    }
    Ok(affected)
}

async fn foreseen(store: &Store, to: &To, affected: &BTreeMap<String, Vec<HostName>>) -> Result<String, CliError> {
    let mut text = match to {
        To::Run(run) => {
            let by = owner(store, run).await?.unwrap_or_else(|| "another controller".to_owned());
            format!("Taking files back to what they were before run {run} (by {by}):\n")
        }
        To::Version(version) => format!("Taking files back to version {version}:\n"),
    };
    for (path, hosts) in affected {
        let hosts: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
        text.push_str(&format!("  {} on {}\n", report::safe(path), hosts.join(", ")));
    }
    if affected.is_empty() {
        text.push_str("  all of them are as they were: nothing changes\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::OpId;
    use kfleet_model::version::{Author, FileContent, FileHistory, FileVersion};

    fn run_id(name: &str) -> RunId {
        RunId::new(name).unwrap()
    }

    fn report(first: u64, runs: &[(&str, i64)]) -> FileReport {
        let content = |n: u64| FileContent::Kept { sha256: n.to_string(), bytes: 1, mode: 0o644, uid: 0, gid: 0 };
        let mut versions = Vec::new();
        for (n, (run, unix_ms)) in (first..).zip(runs) {
            let author = if run.is_empty() {
                Author::Outside
            } else {
                Author::Op { run_id: run_id(run), op_id: OpId::new("op").unwrap(), module: "copy".into() }
            };
            versions.push(FileVersion { number: n, unix_ms: *unix_ms, author, content: content(n), secret: false });
        }
        let now = versions.last().unwrap().content.clone();
        FileReport { history: FileHistory { path: "/f".into(), versions, now, now_unix_ms: None }, difference: None }
    }

    fn answers(reports: &[(&str, FileReport)]) -> Answers<Vec<FileReport>> {
        let good = reports.iter().map(|(host, report)| (HostName::new(*host).unwrap(), vec![report.clone()]));
        Answers { good: good.collect(), silent: BTreeMap::new(), failed: BTreeMap::new() }
    }

    #[test]
    fn the_newest_run_of_all_hosts_is_taken_back_only_where_it_changed_something() {
        let answers = answers(&[
            ("k1", report(1, &[("", 1), ("one", 2), ("two", 9)])),
            ("k2", report(1, &[("", 1), ("one", 3)])),
        ]);
        let last = last_run(&answers).unwrap();
        assert_eq!(last, run_id("two"));
        let found = affected(&answers, &To::Run(last)).unwrap();
        assert_eq!(found["/f"], [HostName::new("k1").unwrap()]);
        let both = affected(&answers, &To::Run(run_id("one"))).unwrap();
        assert_eq!(both["/f"].len(), 2);
        assert!(affected(&answers, &To::Run(run_id("never"))).unwrap().is_empty());
    }

    #[test]
    fn what_can_not_go_back_on_one_host_is_said_before_any_is_touched() {
        let answers = answers(&[("k1", report(1, &[("", 1), ("one", 2)])), ("k2", report(7, &[("one", 2)]))]);
        let Err(CliError::Message { text, .. }) = affected(&answers, &To::Run(run_id("one"))) else {
            panic!("k2 has forgotten what was before")
        };
        assert_eq!(
            text,
            "no way back: k2: /f: what was there before run one is no longer kept (the oldest version is 7)"
        );
    }
}
