//! `kfleet inspect` and `kfleet inspections`: how the fleet stands, what changed, and what to do.

use super::agents::{Which, agents};
use super::exit::Exit;
use super::{CliError, Outcome};
use crate::execute::Agent;
use crate::fleet::Fleet;
use crate::history::{InspectionRecord, Store};
use crate::inspect::{self, FILE, InspectError, Inspected, Limits, Plan};
use crate::notify::send::Outcome as Delivered;
use crate::notify::{self, Delivery, Retry};
use crate::report::inspection::{Format, Language, Night, Options, Pages, RestartMatrix, Series, Trends, render};
use crate::report::{self, Paint};
use clap::Subcommand;
use jiff::SignedDuration;
use kfleet_inspect::{History, Inspection, InspectionFile, State, readings};
use kfleet_model::{Class, FleetName, HostName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many nights of the score and of readings a report shows.
const SHOWN_NIGHTS: u32 = 90;

/// Arguments of `kfleet inspect`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Host pattern
    #[arg(default_value = "all", value_name = "PATTERN")]
    pub(super) pattern: String,
    /// Write the page for people to this file as well
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    shape: Shape,
    /// Tell it through the channels of notify.yml
    #[arg(long, conflicts_with = "no_store")]
    notify: bool,
    /// How long hosts watch what moves, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=600))]
    pub(super) sample_s: u64,
    /// When the inspection ends, whatever is missing then, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub(super) deadline_s: u64,
    /// Store nothing: this is not a night that others are compared with
    #[arg(long)]
    pub(super) no_store: bool,
}

/// How a result is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Shape {
    /// terminal, html, json, markdown, junit, sarif, csv, openmetrics or nagios
    #[arg(long, value_name = "FORM", default_value = "terminal")]
    format: Format,
    /// As JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write it to this file in place of the terminal
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// en or zh; of the HTML page the language that it opens in
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    language: Language,
}

/// The commands of `kfleet inspections`.
#[derive(Debug, Subcommand)]
pub(super) enum Stored {
    /// List the stored nights, the newest first
    List {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a stored night in any form
    Show {
        /// Its number; the newest by default.
        id: Option<i64>,
        #[command(flatten)]
        shape: Shape,
    },
}

impl Shape {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    fn options(&self) -> Options {
        let paint = if self.output.is_none() { Paint::detect() } else { Paint::plain() };
        Options { language: self.language, paint, ..Options::default() }
    }
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let store = Store::open(&fleet.database()).await?;
    let inspected = perform(fleet, args, &store).await?;
    let trends = trends(&store, &inspected.history).await?;
    let pages = Pages {
        inspection: &inspected.inspection,
        trends: &trends,
        restart: &inspected.restart,
        happenings: &inspected.happenings,
    };
    if let Some(path) = &args.html {
        write(path, &rendered(Format::Html, &pages, &Options { paint: Paint::plain(), ..args.shape.options() })?)?;
    }
    show(&pages, &args.shape)?;
    if args.notify {
        let page = rendered(Format::Html, &pages, &Options { paint: Paint::plain(), ..args.shape.options() })?;
        for delivery in tell(fleet, &store, &inspected, &page).await? {
            report::eprint(&delivered(&delivery));
        }
    }
    Ok(exit(&inspected.inspection, args.shape.format()))
}

/// Tells an inspection through the channels of the fleet.
pub(super) async fn tell(
    fleet: &Fleet,
    store: &Store,
    inspected: &Inspected,
    page: &str,
) -> Result<Vec<Delivery>, CliError> {
    let loaded = notify::load(&fleet.dir).map_err(|error| CliError::internal(&error))?;
    let notify = loaded.notify.ok_or(CliError::Diagnostics(loaded.diagnostics))?;
    let (inspection, clusters) = (&inspected.inspection, &inspected.clusters);
    Ok(notify::tell(&notify, inspection, clusters, store, Some(page.as_bytes()), Retry::NIGHTLY).await?)
}

/// What became of a message, in one line.
pub(super) fn delivered(delivery: &Delivery) -> String {
    let end = match &delivery.outcome {
        Delivered::Delivered => "told".to_owned(),
        Delivered::Refused { why, .. } => format!("REFUSED: {why}"),
        Delivered::Exhausted { why } => format!("NOT TOLD: {why}"),
        Delivered::Unknown { why } => format!("unknown, it may have arrived: {why}"),
    };
    format!("  notice to {}: {} ({})", delivery.channel, report::safe(&end), report::safe(&delivery.title))
}

/// The inspection itself, with its progress on standard error.
pub(super) async fn perform(fleet: &Fleet, args: &Args, store: &Store) -> Result<Inspected, CliError> {
    let agents = agents(fleet, Which::of(&args.pattern))?;
    let all = agents.len();
    report::eprint(&format!(
        "inspecting {all} {}, watching {} s, at most {} s",
        if all == 1 { "host" } else { "hosts" },
        args.sample_s,
        args.deadline_s
    ));
    let (begun, done) = (Instant::now(), AtomicUsize::new(0));
    let progress = |host: &HostName, read: bool| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        let what = if read { "read" } else { "NOT read" };
        report::eprint(&format!("  {host} {what} after {:.1} s ({done} of {all})", begun.elapsed().as_secs_f64()));
    };
    let limits = Limits { sample: Duration::from_secs(args.sample_s), deadline: Duration::from_secs(args.deadline_s) };
    inspect_agents(fleet, &agents, limits, !args.no_store, store, &progress).await
}

/// Inspects hosts by what the fleet directory says: its name, its thresholds and what people accepted.
pub(super) async fn inspect_agents(
    fleet: &Fleet,
    agents: &[Agent],
    limits: Limits,
    stored: bool,
    store: &Store,
    progress: &(dyn Fn(&HostName, bool) + Sync),
) -> Result<Inspected, CliError> {
    let file: InspectionFile = fleet.yaml(FILE)?.unwrap_or_default();
    let name = FleetName::new(fleet.settings.fleet.as_str()).map_err(|error| CliError::input(error.to_string()))?;
    let plan = Plan { fleet: name, agents, file: &file, limits, stored };
    inspect::inspect(&plan, store, progress).await.map_err(|error| match error {
        InspectError::Targets(_) | InspectError::Layers(_) => CliError::input(error.to_string()),
        InspectError::Store(error) => error.into(),
    })
}

pub(super) async fn stored(fleet: &Fleet, command: &Stored) -> Outcome {
    let store = Store::open(&fleet.database()).await?;
    match command {
        Stored::List { limit, json } => list(&store, *limit, *json).await,
        Stored::Show { id, shape } => {
            let newest = || async { Ok::<_, CliError>(store.inspections(1).await?.pop().map(|record| record.id)) };
            let none = || CliError::input("no inspection is stored yet").hint("`kfleet inspect` makes one");
            let id = match id {
                Some(id) => *id,
                None => newest().await?.ok_or_else(none)?,
            };
            let found = store.inspection(id).await?;
            let inspection = found.ok_or_else(|| {
                CliError::input(format!("no inspection has the number {id}")).hint("see `kfleet inspections list`")
            })?;
            let at = inspection.run.judged_at;
            let since = at - SignedDuration::from_hours(24 * i64::from(SHOWN_NIGHTS));
            let mut history = store.numbers(since).await?;
            for points in history.series.values_mut() {
                points.retain(|point| point.at <= at);
            }
            let trends = trends(&store, &history).await?;
            let restart = RestartMatrix::default();
            let pages = Pages { inspection: &inspection, trends: &trends, restart: &restart, happenings: &[] };
            show(&pages, shape)?;
            Ok(exit(&inspection, shape.format()))
        }
    }
}

async fn list(store: &Store, limit: u32, json: bool) -> Outcome {
    let records = store.inspections(limit).await?;
    if json {
        let text = serde_json::to_string_pretty(&records).map_err(|error| CliError::internal(&error))?;
        report::print(&format!("{text}\n"));
        return Ok(Exit::Ok);
    }
    let row = |record: &InspectionRecord| {
        vec![
            record.id.to_string(),
            record.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            record.verdict.clone(),
            record.points.to_string(),
            format!("{} of {}", record.hosts_seen, record.hosts_expected),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    report::print(&report::table::render(&["number", "when", "verdict", "score", "hosts"], &rows));
    Ok(Exit::Ok)
}

fn show(pages: &Pages<'_>, shape: &Shape) -> Result<(), CliError> {
    let text = rendered(shape.format(), pages, &shape.options())?;
    match &shape.output {
        Some(path) => write(path, &text),
        None => {
            report::print(&text);
            Ok(())
        }
    }
}

fn rendered(format: Format, pages: &Pages<'_>, options: &Options) -> Result<String, CliError> {
    render(format, pages, options).map_err(|error| CliError::internal(&error))
}

/// Replaces a file as a whole: a reader never sees half a report.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::input(format!("failed to write {}: {error}", path.display()));
    let beside = path.with_extension("part");
    std::fs::write(&beside, text).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// The numbers of earlier nights, as reports show them.
pub(super) async fn trends(store: &Store, history: &History) -> Result<Trends, CliError> {
    let mut score: Vec<Night> = store
        .inspections(SHOWN_NIGHTS)
        .await?
        .iter()
        .map(|record| Night { at: record.at, value: Some(f64::from(record.points)) })
        .collect();
    score.reverse();
    let series = history.series.iter().filter_map(|(name, points)| {
        let key = readings::find(name.split('@').next()?)?;
        let nights = points.iter().map(|point| Night { at: point.at, value: Some(point.value) }).collect();
        Some((name.clone(), Series { unit: key.unit, nights }))
    });
    Ok(Trends { score, readings: series.collect::<BTreeMap<_, _>>() })
}

/// 0 when all is well, 4 when hosts are missing and nothing else is wrong, else 2; of Nagios its own.
fn exit(inspection: &Inspection, format: Format) -> Exit {
    if format == Format::Nagios {
        return Exit::Plugin(inspection.exit_code());
    }
    if !inspection.verdict.counts() {
        return Exit::Ok;
    }
    let missing = &inspection.coverage.missing;
    let only_missing = inspection.findings.iter().filter(|finding| finding.state.counts()).all(|finding| {
        finding.check.as_str() == "fleet.inspection"
            || finding.object.owner.host().is_some_and(|host| missing.contains_key(host))
            || finding.state == State::Unknown
    });
    if only_missing && !missing.is_empty() { Exit::Unreachable } else { Exit::of_class(Class::Host) }
}
