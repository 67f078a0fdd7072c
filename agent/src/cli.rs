//! The command line of `kfleet-agent`.

mod inspect;

use crate::agent::{self, AgentError};
use crate::config::{self, Config, ConfigError};
use crate::exit::{self, Code};
use crate::journal::error::chain;
use crate::modules;
use crate::service::ServeError;
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName};
use kfleet_pki::{Bundle, HostStore, Identity, StoreError, identity_of};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The kfleet host service.
#[derive(Debug, Parser)]
#[command(name = "kfleet-agent", version, after_long_help = exit_codes())]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve controllers; systemd runs this
    Serve {
        /// The configuration file. The default one may be missing; then all values are the defaults.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Make this host's key and a request for a certificate; prints the request's path
    Request {
        /// The fleet's name, as given to `kfleet init`.
        #[arg(long)]
        fleet: FleetName,
        /// This host's name in the inventory.
        #[arg(long)]
        host: HostName,
        /// The folder of key and certificate.
        #[arg(long, default_value = HostStore::DEFAULT_DIR)]
        dir: PathBuf,
    },
    /// Check a signed certificate and put it in place
    InstallCert {
        /// The bundle that `kfleet cert sign` made; or a certificate in PEM form, with both options below.
        #[arg(value_name = "FILE", required_unless_present = "cert")]
        file: Option<PathBuf>,
        /// The same, as an option.
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        cert: Option<PathBuf>,
        /// The authority of the operators that this host shall obey; a bundle must hold the same one.
        #[arg(long, value_name = "FILE")]
        operators_ca: Option<PathBuf>,
        /// The authority that signed this host's certificate; a bundle holds it.
        #[arg(long, value_name = "FILE")]
        agents_ca: Option<PathBuf>,
        /// The folder of key and certificate.
        #[arg(long, default_value = HostStore::DEFAULT_DIR)]
        dir: PathBuf,
    },
    /// Inspect this host alone; ends with 0 ok, 1 warn, 2 crit, 3 unknown, as Nagios has it
    Inspect(inspect::InspectArguments),
    /// List the modules that this agent has
    Modules {
        /// As JSON, with all parameters.
        #[arg(long)]
        json: bool,
    },
}

fn exit_codes() -> String {
    exit::ALL
        .iter()
        .fold("Exit codes:\n".to_owned(), |text, code| text + &format!("  {:>3}  {}\n", code.code, code.meaning))
}

/// A failed command.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {why}", path.display())]
    Certificate { path: PathBuf, why: String },
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    #[error("failed to write the answer")]
    Output(#[source] io::Error),
    #[error("failed to inspect this host: {0}")]
    Inspect(String),
    #[error("the log filter {text:?} in the configuration is wrong: {why}")]
    Filter { text: String, why: String },
}

impl CliError {
    fn code(&self) -> Code {
        match self {
            Self::Config(_) | Self::Filter { .. } => exit::CONFIG,
            Self::Agent(AgentError::State(_)) => exit::STATE,
            Self::Agent(AgentError::Serve(ServeError::Listen { .. })) => exit::LISTEN,
            Self::Agent(AgentError::Serve(ServeError::Identity(_) | ServeError::Tls(_)))
            | Self::Store(_)
            | Self::Read { .. }
            | Self::Certificate { .. } => exit::IDENTITY,
            Self::Agent(AgentError::Serve(ServeError::Signals(_) | ServeError::Transport(_)))
            | Self::Runtime(_)
            | Self::Inspect(_)
            | Self::Output(_) => exit::FAILED,
        }
    }
}

/// Runs what the arguments ask for.
#[must_use]
pub fn main(arguments: Arguments) -> Code {
    let outcome = match arguments.command {
        Command::Inspect(arguments) => {
            return inspect::inspect(&arguments).unwrap_or_else(|error| {
                writeln!(io::stderr(), "kfleet-agent: {}", chain(&error)).ok();
                inspect::NOT_DONE
            });
        }
        Command::Serve { config } => serve(config.as_deref()),
        Command::Request { fleet, host, dir } => request(&fleet, &host, &dir),
        Command::InstallCert { file, cert, operators_ca, agents_ca, dir } => match file.or(cert) {
            Some(file) => install(&file, operators_ca.as_deref(), agents_ca.as_deref(), &dir),
            None => return exit::USAGE,
        },
        Command::Modules { json } => list_modules(json),
    };
    match outcome {
        Ok(()) => exit::OK,
        Err(error) => {
            // With nobody to read standard error, the exit code has to do.
            writeln!(io::stderr(), "kfleet-agent: {}", chain(&error)).ok();
            error.code()
        }
    }
}

/// The configuration of the given path, else that of the usual one, else the defaults.
fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let default = Path::new(config::DEFAULT_PATH);
    match path {
        Some(path) => Config::load(path),
        None if default.exists() => Config::load(default),
        None => Ok(Config::default()),
    }
}

fn serve(path: Option<&Path>) -> Result<(), CliError> {
    let config = load(path)?;
    log_to_stderr(&config.log)?;
    // One thread for all connections: encryption for one host's traffic is far below a core, and an agent must never take
    // more than one from the broker beside it. What blocks runs on threads of its own that end when they are idle.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(64).build();
    let runtime = runtime.map_err(CliError::Runtime)?;
    let outcome = runtime.block_on(agent::serve(config));
    // Threads that follow a command are left behind on purpose: the shim goes on, and the next agent takes it up.
    runtime.shutdown_background();
    Ok(outcome?)
}

fn log_to_stderr(filter: &str) -> Result<(), CliError> {
    use tracing_subscriber::EnvFilter;
    let wrong = |why: String| CliError::Filter { text: filter.to_owned(), why };
    let directives = EnvFilter::builder().parse(filter).map_err(|error| wrong(error.to_string()))?;
    // systemd's journal has its own time stamps.
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let log = tracing_subscriber::fmt().with_env_filter(directives).with_writer(io::stderr).with_ansi(false);
    let set = if in_journal { log.without_time().try_init() } else { log.try_init() };
    set.map_err(|error| wrong(error.to_string()))
}

fn say(text: &str) -> Result<(), CliError> {
    writeln!(io::stdout(), "{text}").map_err(CliError::Output)
}

fn request(fleet: &FleetName, host: &HostName, dir: &Path) -> Result<(), CliError> {
    HostStore::new(dir).make_request(fleet, host)?;
    say(&dir.join("agent.csr").display().to_string())
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.to_owned(), source })
}

fn install(file: &Path, operators_ca: Option<&Path>, agents_ca: Option<&Path>, dir: &Path) -> Result<(), CliError> {
    let wrong = |why: &str| CliError::Certificate { path: file.to_owned(), why: why.to_owned() };
    let text = read(file)?;
    let operators = operators_ca.map(read).transpose()?;
    let bundle = if text.trim_start().starts_with('{') {
        let bundle: Bundle = serde_json::from_str(&text).map_err(|error| wrong(&format!("no bundle: {error}")))?;
        if operators.is_some_and(|operators| operators.trim() != bundle.operators_authority.trim()) {
            return Err(wrong("it holds another operators' authority than the one given; which of the two is right?"));
        }
        bundle
    } else {
        let need = "a certificate alone does not say whom to obey: give --operators-ca and --agents-ca, or the bundle \
                    that `kfleet cert sign` makes";
        let agents = agents_ca.map(read).transpose()?;
        let (Some(operators_authority), Some(agents_authority)) = (operators, agents) else { return Err(wrong(need)) };
        Bundle { certificate: text, agents_authority, operators_authority }
    };
    let expected = identity_in(&bundle.certificate).map_err(|why| wrong(&why))?;
    let material = HostStore::new(dir).install(&bundle, &expected, Timestamp::now())?;
    say(&format!("{} is valid until {}", material.identity(), material.certificate().not_after))
}

/// The name in a certificate. That it belongs to the key of this host is checked when it is installed.
fn identity_in(certificate: &str) -> Result<Identity, String> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|error| format!("no certificate in PEM form: {error}"))?;
    identity_of(&der).map_err(|error| chain(&error))
}

fn list_modules(json: bool) -> Result<(), CliError> {
    if json {
        let text = serde_json::to_string_pretty(&modules::catalogue_json()).map_err(|e| CliError::Output(e.into()))?;
        return say(&text);
    }
    for doc in modules::catalogue() {
        say(&format!("{:<26} {}", doc.name, doc.summary))?;
    }
    Ok(())
}
