//! The command line: one file per subcommand.
//!
//! Every subcommand gives an [`Exit`] or a [`CliError`]; this file turns both into the process's exit code and prints
//! the error once, with its causes and a hint.

mod agents;
mod cert;
mod config;
mod doc;
mod exec;
pub mod exit;
mod init;
mod inspect;
mod inventory;
mod launch;
mod lint;
mod logs;
mod notify;
mod plan;
mod play_args;
mod resume;
mod roll;
mod run;
mod runs;
mod schedule;
mod serve;
mod status;
mod time;
mod tune;

use crate::fleet::{Fleet, FleetError, FleetFileError};
use crate::report;
use clap::{Parser, Subcommand};
use exit::Exit;
use kfleet_model::Class;
use kfleet_playbook::Diagnostics;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs playbooks and rolling operations on Kafka and ZooKeeper hosts.
#[derive(Debug, Parser)]
#[command(name = "kfleet", version, about, disable_help_subcommand = true, after_help = AFTER_HELP)]
struct Cli {
    /// The fleet directory; by default the nearest one at or above the working directory.
    #[arg(long, global = true, env = "KFLEET_DIR", value_name = "DIR")]
    fleet: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 kfleet failed, 2 a task failed or a check found a difference, 3 bad input (no host touched), 4 unreachable,
5 refused by a safety rule, 6 an outcome is unknown, 130 stopped by the operator.
Log of kfleet's own work: KFLEET_LOG=info (or debug, or target=level,...), written to standard error.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a fleet directory: certificate authorities, settings, a sample inventory
    Init(init::Args),
    /// Sign, list and renew certificates
    #[command(subcommand)]
    Cert(cert::Command),
    /// Run a playbook
    Run(run::Args),
    /// Run one module on hosts
    Exec(exec::Args),
    /// Show what a playbook would run where, and the order of rolling plays
    Plan(plan::Args),
    /// Check playbooks and the inventory without touching a host
    Lint(lint::Args),
    /// Show the documentation of modules
    Doc(doc::Args),
    /// Show hosts, groups and variables
    Inventory(inventory::Args),
    /// Rolling operations: restart a cluster node by node
    #[command(subcommand)]
    Roll(roll::Command),
    /// List, show and watch runs
    #[command(subcommand)]
    Runs(runs::Command),
    /// Go on with a run that was interrupted, cancelled or refused
    Resume(resume::Args),
    /// The hosts' operating systems: what differs from what Kafka and ZooKeeper want, setting it, taking it back
    #[command(subcommand)]
    Tune(tune::Command),
    /// Ask all agents how they are
    Status(status::Args),
    /// Versions of managed files: history, differences, rollback, drift
    #[command(subcommand)]
    Config(config::Command),
    /// Read all hosts and clusters, judge them, and say what is wrong, what changed and what to do
    ///
    /// Every host is read by its agent at the same time; nothing is changed anywhere. Ends with 0 when all is well, with 2
    /// when something needs a look or a hand or could not be read, with 4 when the only fault is that hosts do not answer.
    /// With --format nagios it ends as a monitoring plugin does: 0, 1, 2, 3. Thresholds, waivers and maintenance windows
    /// stand in inspection.yml of the fleet directory.
    Inspect(Box<inspect::Args>),
    /// Nights that were inspected
    #[command(subcommand)]
    Inspections(inspect::Stored),
    /// Logs of all hosts: search them, or see what happened in one order of time
    #[command(subcommand)]
    Logs(logs::Command),
    /// The fleet's clocks
    #[command(subcommand)]
    Time(time::Command),
    /// Channels that inspections are told through: list, test
    #[command(subcommand)]
    Notify(notify::Command),
    /// Run the schedules of schedule.yml until stopped
    Serve(serve::Args),
    /// Schedules: when they are due, how their last runs ended, running one now
    #[command(subcommand)]
    Schedule(schedule::Command),
}

/// Why a command ended without doing its work.
#[derive(Debug)]
pub enum CliError {
    /// What is wrong with the operator's files.
    Diagnostics(Diagnostics),
    /// Anything else: whose fault, what, and what to do.
    Message {
        /// Whose fault.
        class: Class,
        /// What.
        text: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl CliError {
    /// A failure of a class.
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Self::Message { class, text: text.into(), hint: None }
    }

    /// Bad input.
    pub fn input(text: impl Into<String>) -> Self {
        Self::new(Class::Input, text)
    }

    /// Our own failure, with its causes.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(Class::Internal, report::chain(error))
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Message { class, text, .. } => Self::Message { class, text, hint: Some(hint.into()) },
            Self::Diagnostics(_) => self,
        }
    }
}

impl From<crate::history::StoreError> for CliError {
    fn from(error: crate::history::StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<FleetError> for CliError {
    fn from(error: FleetError) -> Self {
        match &error {
            FleetError::NotFound { .. } => Self::input(report::chain(&error))
                .hint("`kfleet init DIR` makes one; name it with --fleet DIR or KFLEET_DIR"),
            FleetError::Settings { .. } => Self::input(report::chain(&error)),
            FleetError::Io { .. } => Self::internal(&error),
        }
    }
}

impl From<FleetFileError> for CliError {
    fn from(error: FleetFileError) -> Self {
        match error {
            FleetFileError::Fleet(error) => error.into(),
            FleetFileError::Yaml(diagnostics) => Self::Diagnostics(diagnostics),
        }
    }
}

impl From<kfleet_pki::StoreError> for CliError {
    fn from(error: kfleet_pki::StoreError) -> Self {
        Self::new(Class::Input, report::chain(&error))
    }
}

type Outcome = Result<Exit, CliError>;

/// Parses the arguments and runs the subcommand.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap writes help and version to standard output and mistakes to standard error.
            let _closed_pipe = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Input.code() } else { 0 });
        }
    };
    telemetry(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::eprint(&format!("ERROR: failed to start: {error}"));
            return ExitCode::from(Exit::Internal.code());
        }
    };
    let outcome = runtime.block_on(dispatch(cli));
    // A blocking thread that still reads a file for a dead connection must not hold up the exit.
    runtime.shutdown_background();
    ExitCode::from(match outcome {
        Ok(exit) => exit.code(),
        Err(error) => tell(&error).code(),
    })
}

async fn dispatch(cli: Cli) -> Outcome {
    let fleet = || -> Result<Fleet, CliError> {
        let here = std::env::current_dir().map_err(|error| CliError::internal(&error))?;
        Ok(Fleet::open(cli.fleet.as_deref(), &here)?)
    };
    match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Cert(command) => cert::run(&fleet()?, &command),
        Command::Run(args) => run::run(&fleet()?, &args).await,
        Command::Exec(args) => exec::run(&fleet()?, &args).await,
        Command::Plan(args) => plan::run(&fleet()?, &args).await,
        Command::Lint(args) => lint::run(fleet().ok().as_ref(), &args),
        Command::Doc(args) => doc::run(&args),
        Command::Inventory(args) => inventory::run(&fleet()?, &args),
        Command::Roll(command) => roll::run(&fleet()?, &command).await,
        Command::Runs(command) => runs::run(&fleet()?, &command).await,
        Command::Resume(args) => resume::run(&fleet()?, &args).await,
        Command::Tune(command) => tune::run(&fleet()?, &command).await,
        Command::Status(args) => status::run(&fleet()?, &args).await,
        Command::Inspect(args) => inspect::run(&fleet()?, &args).await,
        Command::Inspections(command) => inspect::stored(&fleet()?, &command).await,
        Command::Config(command) => config::run(&fleet()?, &command).await,
        Command::Logs(command) => logs::run(&fleet()?, &command).await,
        Command::Time(command) => time::run(&fleet()?, &command).await,
        Command::Notify(command) => notify::run(&fleet()?, &command).await,
        Command::Serve(args) => serve::run(&fleet()?, &args).await,
        Command::Schedule(command) => schedule::run(&fleet()?, &command).await,
    }
}

fn tell(error: &CliError) -> Exit {
    match error {
        CliError::Diagnostics(diagnostics) => {
            report::eprint(report::diagnostics(diagnostics).trim_end());
            Exit::Input
        }
        CliError::Message { class, text, hint } => {
            report::eprint(&format!("ERROR: {}", report::safe(text)));
            if let Some(hint) = hint {
                report::eprint(&format!("hint: {hint}"));
            }
            Exit::of_class(*class)
        }
    }
}

fn telemetry(command: &Command) {
    use tracing_subscriber::EnvFilter;
    // The server has nobody to write to but its log. Its dependencies tell of trouble only.
    let server = matches!(command, Command::Serve(_));
    let default = if server { "warn,kfleet=info" } else { "error" };
    let mut filter = EnvFilter::try_from_env("KFLEET_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // The HTTP client writes whole requests into its own log, and those of notices hold tokens.
    for quiet in ["ureq=warn", "ureq_proto=warn"] {
        filter = match quiet.parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        };
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    // The journal shows colours as their control characters.
    if server { log.with_ansi(false).init() } else { log.init() }
}
