//! `lab`: a fleet of real hosts on this machine, to try kfleet on and to test it against.
//!
//! Arguments, output and exit codes; everything else is in the library.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use console::style;
use kfleet_tests::lab::{
    AgentSource, CannotHost, DEFAULT_NAME, HostStatus, Hosting, Kind, Lab, Layout, Progress, State, Status, Subnet,
    Topology, UpOptions, check_root, host_environment,
};
use tokio::signal::unix::{SignalKind, signal};

/// Something failed.
const FAILED: u8 = 1;
/// This machine can not hold a lab.
const CANNOT_HOST: u8 = 3;
/// Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// Real hosts with real Kafka and ZooKeeper, in a network of their own on this machine.
#[derive(Parser)]
#[command(
    name = "lab",
    version,
    after_help = "\
Exit codes: 0 done, 1 something failed, 2 wrong arguments, 3 this machine can not hold a lab (the message says what
is missing), 130 interrupted. `exec`, `shell` and `controller` end with the exit code of what they ran.

Environment: KFLEET_LAB_CACHE (downloads; default lab-cache in the repository), KFLEET_LAB_STATE (running labs;
default /var/lib/kfleet-lab, for others than root ~/.local/state/kfleet-lab), KFLEET_LAB_PROCESSES (1: as --processes),
KFLEET_LAB_MIRROR (Debian mirror), KFLEET_LAB_KAFKA_ARCHIVES (folder with
kafka_2.13-VERSION.tgz, used instead of Maven)."
)]
struct Arguments {
    /// The lab's name; several labs can run side by side.
    #[arg(long, global = true, default_value = DEFAULT_NAME)]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring the lab up, or repair it: boots what is off, lifts every fault, waits until the clusters are whole.
    Up(Up),
    /// Take the lab down and remove all it made; downloads are kept.
    Down,
    /// Show what hosts and clusters are doing.
    Status {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Open a root shell on a host.
    Shell { host: String },
    /// Run a command on a host as root.
    Exec {
        host: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Cut a host's power: its processes end at once, its disk stays.
    Kill { host: String },
    /// Boot a host that is off.
    Start { host: String },
    /// Drop everything two hosts send each other; `controller` names this machine.
    Partition { one: String, other: String },
    /// Lift all partitions.
    Heal,
    /// Pull a host's network cable.
    Cut { host: String },
    /// Plug a host's network cable in again.
    Uncut { host: String },
    /// Run a command on this machine, inside the lab's network and with its host names.
    Controller {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Up {
    /// What the hosts run: ZooKeeper and Kafka 3.9, or Kafka 4.1 in KRaft mode [default: what the lab has, else zk].
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only boot the hosts: no Kafka, no ZooKeeper.
    #[arg(long)]
    hosts_only: bool,
    /// Install the agent on every host from kfleet-agent_*.deb in this folder.
    #[arg(long, value_name = "DIR")]
    deb_dir: Option<PathBuf>,
    /// The controller's program, which signs the agents' certificates [default: `kfleet` beside `lab`, or on the PATH].
    #[arg(long, value_name = "FILE", requires = "deb_dir")]
    kfleet: Option<PathBuf>,
    /// Make hosts of plain processes even where containers can boot: a folder, a loopback address and a supervisord each.
    #[arg(long)]
    processes: bool,
    /// The lab's network, a /24 of 198.18.0.0/15 [default: what the lab has, else by its name].
    #[arg(long)]
    subnet: Option<Subnet>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let progress = Progress::terminal();
    let interrupted = interruption();
    let name = arguments.name.clone();
    let ended = tokio::select! {
        // The action is dropped at an await; it records before it makes, so `down` finds whatever it has begun.
        () = interrupted => {
            progress.say(&format!("interrupted; `lab --name {name} up` goes on, `lab --name {name} down` removes what was made"));
            return ExitCode::from(INTERRUPTED);
        }
        ended = act(arguments, &progress) => ended,
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    progress.say(&format!("{} {error:#}", style("error:").for_stderr().red().bold()));
    ExitCode::from(if error.is::<CannotHost>() { CANNOT_HOST } else { FAILED })
}

/// Resolves when the user or the system asks to stop; never, where signals can not be listened to.
async fn interruption() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn act(arguments: Arguments, progress: &Progress) -> Result<()> {
    let name = arguments.name.as_str();
    let booted = |state: State| state.topology.hosting() == Hosting::Containers;
    // Who may not touch containers may have a lab of plain processes.
    if State::load(&Layout::of(name)?)?.is_some_and(booted) {
        check_root()?;
    }
    match arguments.action {
        Action::Up(up) => bring_up(name, up, progress).await,
        Action::Down => {
            if !Lab::down(name, progress).await? {
                progress.say(&format!("there is no lab {name}"));
            }
            Ok(())
        }
        Action::Status { json } => show(&Lab::open(name)?.status().await?, json),
        Action::Shell { host } => Err(enter(name, &host, &["bash".into(), "--login".into()])),
        Action::Exec { host, command } => Err(enter(name, &host, &command)),
        Action::Kill { host } => Lab::open(name)?.host(&host)?.kill().await,
        Action::Start { host } => {
            if !Lab::open(name)?.host(&host)?.start().await? {
                progress.say(&format!("host {host} is on already"));
            }
            Ok(())
        }
        Action::Partition { one, other } => Lab::open(name)?.partition(&one, &other).await,
        Action::Heal => Lab::open(name)?.heal().await,
        Action::Cut { host } => Lab::open(name)?.host(&host)?.cut().await,
        Action::Uncut { host } => Lab::open(name)?.host(&host)?.uncut().await,
        Action::Controller { command } => Err(run_as_controller(name, &command)),
    }
}

async fn bring_up(name: &str, up: Up, progress: &Progress) -> Result<()> {
    let began = std::time::Instant::now();
    let agent = match up.deb_dir {
        Some(deb_dir) => Some(AgentSource { deb_dir, kfleet: up.kfleet.map_or_else(find_kfleet, Ok)? }),
        None => None,
    };
    let options = UpOptions {
        name: name.to_owned(),
        topology: topology(name, up.kind, up.subnet)?,
        services: !up.hosts_only,
        agent,
        processes: up.processes,
    };
    let lab = Lab::up(&options, progress).await?;
    let seconds = began.elapsed().as_secs_f64();
    progress.say(&format!(
        "lab {name} is up after {seconds:.1} s; logs in {}, fleet in {}",
        lab.layout().logs().display(),
        lab.layout().fleet().display()
    ));
    Ok(())
}

/// The hosts as asked for; what is not asked for is as in the lab that exists.
fn topology(name: &str, kind: Option<Kind>, subnet: Option<Subnet>) -> Result<Topology> {
    let existing = State::load(&Layout::of(name)?)?.map(|state| state.topology);
    Ok(match existing {
        Some(existing)
            if kind.is_none_or(|kind| kind == existing.kind)
                && subnet.is_none_or(|subnet| subnet == existing.subnet) =>
        {
            existing
        }
        Some(_) | None => Topology::of(kind.unwrap_or(Kind::Zk), subnet.unwrap_or_else(|| Subnet::for_name(name))),
    })
}

fn find_kfleet() -> Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this program's own path")?;
    let beside = own.with_file_name("kfleet");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("kfleet"));
    match std::iter::once(beside).chain(on_path).find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found),
        None => bail!("no `kfleet` beside {} nor on the PATH; name it with --kfleet", own.display()),
    }
}

/// Becomes the command on the host: its terminal, its signals, its exit code. Returns only when that fails.
fn enter(name: &str, host: &str, command: &[String]) -> anyhow::Error {
    let prefix = Lab::open(name).and_then(|lab| Ok((lab.host(host)?.enter_prefix()?, lab.topology().hosting())));
    let (prefix, hosting) = match prefix {
        Ok(prefix) => prefix,
        Err(error) => return error,
    };
    become_command(prefix, command, |command| {
        if hosting == Hosting::Containers {
            command.env_clear().envs(host_environment().iter().copied());
            command.envs(std::env::var_os("TERM").map(|terminal| ("TERM", terminal)));
        }
    })
}

/// As [`enter`], for a command of the controller.
fn run_as_controller(name: &str, command: &[String]) -> anyhow::Error {
    match Lab::open(name).and_then(|lab| lab.controller_prefix()) {
        Ok(prefix) => become_command(prefix, command, |_| ()),
        Err(error) => error,
    }
}

fn become_command(prefix: Vec<String>, command: &[String], prepare: impl FnOnce(&mut Command)) -> anyhow::Error {
    let mut words = prefix.iter().chain(command);
    let Some(program) = words.next() else { return anyhow::anyhow!("no command is given") };
    let mut become_it = Command::new(program);
    become_it.args(words);
    prepare(&mut become_it);
    anyhow::Error::new(become_it.exec()).context(format!("failed to start `{program}`"))
}

fn show(status: &Status, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string_pretty(status).context("failed to write the status as JSON")?;
        return writeln!(out, "{text}").context("failed to write the status");
    }
    let on = status.hosts.iter().filter(|host| host.on).count();
    let network = if status.network { "" } else { ", no network" };
    let text = format!(
        "lab {} ({}), {}, {on} of {} hosts ({}) on{network}\n",
        status.name,
        status.kind,
        status.subnet,
        status.hosts.len(),
        status.hosting
    );
    let hosts: String = status.hosts.iter().map(host_line).collect();
    let faults: String =
        status.partitions.iter().map(|(one, other)| format!("  parted: {one} and {other}\n")).collect();
    let lacking = match status.under_replicated.as_deref() {
        None | Some([]) => String::new(),
        Some(partitions) => format!("  under-replicated: {}\n", partitions.join(", ")),
    };
    write!(out, "{text}{hosts}{faults}{lacking}").context("failed to write the status")
}

fn host_line(host: &HostStatus) -> String {
    let system = match (&host.system, host.on) {
        (_, false) => "off",
        (Some(system), true) => system,
        (None, true) => "no answer",
    };
    let cut = if host.cut { "cable pulled" } else { "" };
    let unit = host.unit.as_ref().map(|(unit, state)| format!("{unit} {state}")).unwrap_or_default();
    let place = host.in_cluster.as_deref().unwrap_or_default();
    let line = format!("  {:12} {:15} {system:10} {unit:26} {place:30} {cut}", host.name, host.address);
    format!("{}\n", line.trim_end())
}
