//! `kfleet-agent inspect`: this host alone, read and judged where it stands.
//!
//! For a host that no controller reaches, and to try out what the nightly inspection reads. It keeps nothing, so it
//! tells no changes and no trends; what only several hosts together can tell is left out.

use super::{CliError, load, say};
use crate::agent::service_manager;
use crate::collect::inspect::local;
use crate::exit::Code;
use crate::host::{CommandEnd, CommandSpec, HostError, OpContext, RealHost, ServiceManager};
use crate::journal::error::chain;
use crate::journal::notes::Notes;
use crate::journal::versions::{Versions, Writer};
use clap::Args;
use kfleet_inspect::{
    CATALOGUE, Finding, FleetReadings, History, HostReadings, Inspection, Layers, Night, State, judge,
};
use kfleet_model::version::Author;
use kfleet_model::{FleetName, Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// The inspection itself came to nothing, so nothing is known.
pub(super) const NOT_DONE: Code = Code { code: 3, meaning: "the host could not be inspected" };

/// How long all of it may take beside the window.
const REST: Duration = Duration::from_secs(120);

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// The whole result as JSON
    #[arg(long)]
    json: bool,
    /// Readings alone, unjudged, as JSON
    #[arg(long, conflicts_with = "json")]
    readings: bool,
    /// How many seconds quantities that move fast are watched for
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=120))]
    sample: u32,
    /// The agent's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Inspects this host.
pub(super) fn inspect(arguments: &InspectArguments) -> Result<Code, CliError> {
    let config = load(arguments.config.as_deref())?;
    let context = Local {
        until: Instant::now() + Duration::from_secs(arguments.sample.into()) + REST,
        service_manager: service_manager(&config),
        versions: Versions::to_look_at(&config.state_dir),
        notes: Notes::to_look_at(&config.state_dir),
        writer: Writer { author: Author::Outside, secret: false },
    };
    let params = Map::from_iter([("sample_s".to_owned(), Value::from(arguments.sample))]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    let read = runtime.spawn_blocking(move || local(&RealHost::new(Arc::new(context)), &params));
    let read = runtime.block_on(read).map_err(|error| CliError::Inspect(error.to_string()))?;
    // A name that the resolver still looks for is not waited for.
    runtime.shutdown_background();
    let readings = read.map_err(|error| CliError::Inspect(chain(&error)))?;
    if arguments.readings {
        say(&json(&readings)?)?;
        return Ok(Code { code: 0, meaning: "the readings are told" });
    }
    let inspection = judged(readings)?;
    say(&if arguments.json { json(&inspection)? } else { told(&inspection) })?;
    Ok(Code { code: inspection.exit_code(), meaning: "the verdict" })
}

fn json(document: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(document).map_err(|error| CliError::Output(error.into()))
}

/// Judges one host as a fleet of its own, by the built-in thresholds.
fn judged(readings: HostReadings) -> Result<Inspection, CliError> {
    let fleet = FleetName::new("this-host").map_err(|error| CliError::Inspect(error.to_string()))?;
    let now = readings.when;
    let readings =
        FleetReadings { fleet, hosts: vec![readings], missing: Vec::new(), clusters: Vec::new(), readings: Vec::new() };
    Ok(judge(&Night {
        catalogue: &CATALOGUE,
        readings: &readings,
        layers: &Layers::default(),
        waivers: &[],
        windows: &[],
        acknowledgements: &[],
        last: None,
        history: &History::default(),
        now,
    }))
}

/// For people: what is wrong, the gravest first, and how much was well.
fn told(inspection: &Inspection) -> String {
    let mut lines: Vec<String> =
        inspection.findings.iter().filter(|finding| finding.state != State::Info).map(line).collect();
    let cost = inspection.run.cost;
    lines.push(format!(
        "{}: {} findings, {} checks ok; it took {} ms of processor time and {} KiB of reading",
        inspection.verdict.name(),
        inspection.findings.len(),
        inspection.passed.len(),
        cost.cpu_ms,
        cost.bytes / 1024,
    ));
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let reading = finding.reading.as_ref().map(|reading| format!(": {reading}")).unwrap_or_default();
    let limit = finding.threshold.as_ref().map(|fired| format!(" ({})", fired.condition)).unwrap_or_default();
    let note = finding.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    // Texts of the host are shown without characters that would steer a terminal.
    let line = format!("{:<8} {:<24} {}{reading}{limit}{note}", finding.state.name(), finding.check, finding.object);
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What the host's door asks of its op, for one that is none: it reads, until its time is over.
struct Local {
    until: Instant,
    service_manager: ServiceManager,
    versions: Versions,
    notes: Notes,
    writer: Writer,
}

impl OpContext for Local {
    fn stopping(&self) -> bool {
        self.time_left().is_zero()
    }

    fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn wait(&self, time: Duration) -> bool {
        if let Ok(runtime) = Handle::try_current() {
            runtime.block_on(tokio::time::sleep(time.min(self.time_left())));
        }
        !self.stopping()
    }

    fn progress(&self, _text: &str) {}

    fn run_command(&self, command: &CommandSpec) -> Result<CommandEnd, HostError> {
        let why = "was not run: an inspection only reads".to_owned();
        Err(HostError::Command { argv: command.argv.clone(), why, stderr: String::new() })
    }

    fn blob_path(&self, _sha256: &str) -> Option<PathBuf> {
        None
    }

    fn versions(&self) -> &Versions {
        &self.versions
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn writer(&self) -> &Writer {
        &self.writer
    }

    fn service_manager(&self) -> &ServiceManager {
        &self.service_manager
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use kfleet_inspect::{Datum, Outcome, Reading};

    fn readings(swappiness: &str) -> HostReadings {
        let when: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let running = [("vm.swappiness".to_owned(), swappiness.to_owned())].into();
        HostReadings {
            host: kfleet_model::HostName::new("kafka-1").unwrap(),
            roles: Default::default(),
            clusters: Default::default(),
            labels: Default::default(),
            when,
            cost: Default::default(),
            readings: vec![
                Reading::new("sysctl.running", Datum::Texts(running), "/proc/sys", when),
                Reading::of("os.thp.enabled", Outcome::Unreadable { why: "no\x1b[2J".into() }, "x", when),
            ],
        }
    }

    #[test]
    fn a_host_is_judged_and_told_line_by_line() {
        let inspection = judged(readings("60")).unwrap();
        assert_eq!(inspection.exit_code(), 2);
        let text = told(&inspection);
        let swap = text.lines().find(|line| line.contains("sysctl.swappiness")).unwrap();
        assert!(swap.starts_with("crit") && swap.contains("host:kafka-1"), "{swap}");
        assert!(text.lines().last().unwrap().starts_with("crit: "), "{text}");
        assert!(!text.contains('\x1b') && text.contains("os.thp"), "{text}");
    }
}
