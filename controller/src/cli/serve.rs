//! `kfleet serve`: runs the schedules until it is stopped.

use super::agents::{Which, agents};
use super::exit::Exit;
use super::inspect::{delivered, inspect_agents, tell, trends};
use super::{CliError, Outcome};
use crate::execute::Interrupts;
use crate::fleet::{Fleet, FleetFileError};
use crate::history::Store;
use crate::inspect::{Inspected, Limits};
use crate::notify::send::Outcome as Delivered;
use crate::report;
use crate::report::inspection::{FORMATS, Format, Language as PageLanguage, Options, Pages, UnknownFormat, render};
use crate::schedule::{
    Desk, Entry, FILE, Inspect, Job, JobEnd, JobOutcome, Language, Lock, LockError, LogAlerts, MachineClock, Notices,
    Occasion, Server, Source, parse,
};
use futures::future::BoxFuture;
use kfleet_model::{Class, HostName, Map};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An inspection that covers less of the expected hosts than this, in per cent, is partial, and that is an alert.
const COVERED: u32 = 95;

/// Arguments of `kfleet serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(fleet: &Fleet, _: &Args) -> Outcome {
    let store = Store::open(&fleet.database()).await?;
    let _lock = take_lock(fleet)?;
    let source = FleetFile { fleet: fleet.clone() };
    if source.text().map_err(|error| CliError::internal(&error))?.is_none() {
        return Err(CliError::input(format!("there is no {FILE} in {}", fleet.dir.display()))
            .hint("see docs/schedules.md for what it holds"));
    }
    let server = Server::new(desk(fleet, &store), source).map_err(CliError::input)?;
    let stop = CancellationToken::new();
    let served = {
        let serving = server.run(&stop);
        tokio::pin!(serving);
        let mut interrupts = Interrupts::listen();
        loop {
            // Cancel safe: the server is pinned outside, a signal that is not read stays pending.
            tokio::select! {
                served = &mut serving => break served,
                () = interrupts.next() => stop.cancel(),
            }
        }
    };
    store.close().await;
    served.map_err(|error| CliError::internal(&error))?;
    Ok(Exit::Ok)
}

/// The right to settle the occurrences of this fleet's schedules. The run store's directory is there already.
pub(super) fn take_lock(fleet: &Fleet) -> Result<Lock, CliError> {
    Lock::take(&fleet.dir.join("state").join("serve.lock")).map_err(|error| match &error {
        LockError::Held { .. } => CliError::new(Class::Refused, report::chain(&error))
            .hint("one `kfleet serve` runs the schedules of a fleet directory; stop that one first"),
        LockError::Io { .. } => CliError::internal(&error),
    })
}

/// What schedules of this fleet are run with.
pub(super) fn desk(fleet: &Fleet, store: &Store) -> Desk {
    Desk {
        fleet: fleet.settings.fleet.clone(),
        store: store.clone(),
        clock: Arc::new(MachineClock),
        job: Arc::new(Inspection { fleet: fleet.clone(), store: store.clone() }),
        alerts: Arc::new(LogAlerts),
    }
}

/// The schedules of the fleet directory; none when there is no file.
pub(super) fn entries(fleet: &Fleet) -> Result<Vec<Entry>, String> {
    let document: Map = match fleet.yaml(FILE) {
        Ok(document) => document.unwrap_or_default(),
        Err(FleetFileError::Fleet(error)) => return Err(report::chain(&error)),
        Err(FleetFileError::Yaml(diagnostics)) => return Err(report::diagnostics_plain(&diagnostics)),
    };
    let told =
        |faults: Vec<crate::schedule::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let forms: Vec<&str> = FORMATS.iter().map(|form| form.name).collect();
    parse(&fleet.settings.fleet, &document, &forms).map_err(told)
}

struct FleetFile {
    fleet: Fleet,
}

impl Source for FleetFile {
    fn text(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(self.fleet.dir.join(FILE)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn entries(&self) -> Result<Vec<Entry>, String> {
        entries(&self.fleet)
    }
}

/// The job of a schedule: an inspection, and its reports.
struct Inspection {
    fleet: Fleet,
    store: Store,
}

impl Job for Inspection {
    fn run<'a>(&'a self, occasion: &'a Occasion) -> BoxFuture<'a, JobOutcome> {
        Box::pin(async move {
            // Cancel safe: an inspection only reads; what it stores is stored as a whole.
            tokio::select! {
                inspected = self.inspect(&occasion.entry) => match inspected {
                    Ok(inspected) => self.finish(occasion, &inspected).await,
                    Err(error) => failed(told(&error)),
                },
                () = occasion.cancel.cancelled() => {
                    JobOutcome { end: JobEnd::Cancelled, detail: "the inspection was given up".to_owned() }
                }
            }
        })
    }
}

impl Inspection {
    async fn inspect(&self, entry: &Entry) -> Result<Inspected, CliError> {
        let Inspect { pattern, sample, .. } = &entry.inspect;
        let agents = agents(&self.fleet, Which::of(pattern))?;
        let limits = Limits { sample: sample.unsigned_abs(), deadline: gathering(entry) };
        let progress = |host: &HostName, read: bool| {
            if !read {
                tracing::warn!(%host, schedule = entry.schedule.name, "not read");
            }
        };
        inspect_agents(&self.fleet, &agents, limits, true, &self.store, &progress).await
    }

    async fn finish(&self, occasion: &Occasion, inspected: &Inspected) -> JobOutcome {
        match self.report(occasion, inspected).await {
            Ok(None) => outcome(&inspected.inspection),
            Ok(Some(missed)) => JobOutcome { end: JobEnd::Partial, detail: missed },
            Err(why) => failed(why),
        }
    }

    /// Writes the reports and tells the channels; gives what could not be told.
    async fn report(&self, occasion: &Occasion, inspected: &Inspected) -> Result<Option<String>, String> {
        let Entry { schedule, inspect, .. } = &occasion.entry;
        let trends = trends(&self.store, &inspected.history).await.map_err(|error| told(&error))?;
        let pages = Pages {
            inspection: &inspected.inspection,
            trends: &trends,
            restart: &inspected.restart,
            happenings: &inspected.happenings,
        };
        let language = match inspect.language {
            Language::English => PageLanguage::English,
            Language::Chinese => PageLanguage::Chinese,
        };
        let options = Options { language, zone: Some(schedule.calendar.zone().clone()), ..Options::default() };
        let rendered = |format| render(format, &pages, &options).map_err(|error| error.to_string());
        for report in &inspect.reports {
            let path = self.fleet.dir.join(report.path(schedule, occasion.occurrence));
            let format: Format = report.format.parse().map_err(|error: UnknownFormat| error.to_string())?;
            write(&rendered(format)?, &path).map_err(|why| format!("{}: {why}", path.display()))?;
        }
        match inspect.notices {
            Notices::Kept => Ok(None),
            Notices::Sent => {
                let page = rendered(Format::Html)?;
                let deliveries =
                    tell(&self.fleet, &self.store, inspected, &page).await.map_err(|error| told(&error))?;
                let missed = deliveries.iter().filter(|delivery| delivery.outcome != Delivered::Delivered);
                let missed: Vec<String> = missed.map(|delivery| delivered(delivery).trim().to_owned()).collect();
                Ok((!missed.is_empty()).then(|| missed.join("; ")))
            }
        }
    }
}

/// How long hosts may take: what is left is for judging and the reports, so that a run with hosts that do not answer tells so
/// before its deadline.
fn gathering(entry: &Entry) -> Duration {
    entry.schedule.deadline.unsigned_abs() * 4 / 5
}

fn outcome(inspection: &kfleet_inspect::Inspection) -> JobOutcome {
    let coverage = &inspection.coverage;
    let (seen, expected) = (coverage.hosts_seen, coverage.hosts_expected);
    let whole = u64::from(seen) * 100 >= u64::from(expected) * u64::from(COVERED);
    let detail = format!("{seen} of {expected} hosts, verdict {}", inspection.verdict.name());
    JobOutcome { end: if whole { JobEnd::Done } else { JobEnd::Partial }, detail }
}

fn failed(detail: String) -> JobOutcome {
    JobOutcome { end: JobEnd::Failed, detail }
}

/// A report replaces its file as a whole: a reader never sees half of one.
fn write(text: &str, path: &Path) -> Result<(), String> {
    let beside = path.with_extension("part");
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = written.and_then(|()| std::fs::write(&beside, text)).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| error.to_string())
}

/// An error as the detail of a run.
fn told(error: &CliError) -> String {
    match error {
        CliError::Diagnostics(diagnostics) => report::diagnostics_plain(diagnostics),
        CliError::Message { text, .. } => text.clone(),
    }
}
