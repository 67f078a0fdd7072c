//! `lab up`: from nothing, or from anything in between, to a lab that is whole.
//!
//! ```text
//!   requirements -> downloads -> record -> network -> hosts (side by side) -> agents -> clusters
//! ```
//! Where containers can not boot, hosts are plain processes: then there is no image, and no network to make.
//! Each step looks at what is there and does only what is missing, so it is also the repair. What is about to be made
//! is recorded first.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::agent::{self, AgentSource};
use super::cache::Cache;
use super::files::{HostFile, system_files};
use super::machine::{Booted, Parts};
use super::network::{self, Link};
use super::plain::Plain;
use super::progress::{Progress, Step};
use super::state::{FolderLock, Layout, State, boot_id};
use super::station::Station;
use super::topology::{HostSpec, Hosting, Kind, Role, Topology};
use super::{Lab, cgroup, inventory, kafka_files, require, services};

/// What kind of lab to bring up.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The lab's name.
    pub name: String,
    /// Its hosts.
    pub topology: Topology,
    /// Whether Kafka and ZooKeeper run on them; a lab that has them keeps them.
    pub services: bool,
    /// Where to install the agent from, if at all.
    pub agent: Option<AgentSource>,
    /// Plain processes even where containers could boot. `KFLEET_LAB_PROCESSES=1` asks for the same.
    pub processes: bool,
}

/// See [`Lab::up`].
pub(super) async fn up(options: &UpOptions, progress: &Progress) -> Result<Lab> {
    // Folders made below a host's root must be readable for its users, whatever the caller's mask is.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let layout = Layout::of(&options.name)?;
    let existing = State::load(&layout)?;
    let topology = choose_hosting(options, existing.as_ref(), progress).await?;
    if let Some(state) = &existing {
        refuse_other_hosts(&layout, state, &topology)?;
    }
    let cache = Cache::from_env()?;
    let wanted = if options.services { topology.kind } else { Kind::Bare };
    let (base, libs) = match topology.hosting() {
        Hosting::Containers => {
            let (base, libs) = tokio::try_join!(cache.base(progress), cache.libs(wanted, progress))?;
            (Some(base), libs)
        }
        Hosting::Processes => (None, cache.libs(wanted, progress).await?),
    };
    let waiting = || progress.say("waiting for another lab command to end");
    let _lock = FolderLock::take(layout.dir(), waiting).await?;
    let state = record(&layout, topology, options.services, base, libs).await?;
    if state.topology.hosting() == Hosting::Containers {
        make_network(&layout, &state, progress).await?;
    }
    boot_hosts(&layout, &state, progress).await?;
    if let Some(source) = &options.agent {
        agent::install(&layout, &state, source, progress).await?;
    }
    wait_for_clusters(&layout, &state, progress).await?;
    Ok(Lab { layout, state })
}

/// Containers where they can boot, plain processes where they can not, and says so. A lab that exists stays as it is.
async fn choose_hosting(options: &UpOptions, existing: Option<&State>, progress: &Progress) -> Result<Topology> {
    let on_loopback = || options.topology.clone().on_loopback(&options.name);
    let asked = options.processes || std::env::var_os("KFLEET_LAB_PROCESSES").is_some_and(|value| value == "1");
    let existing = existing.map(|state| state.topology.hosting());
    if existing == Some(Hosting::Processes) || (asked && existing.is_none()) {
        require::check_processes(options.services, None)?;
        return Ok(on_loopback());
    }
    match require::check(options.services).await {
        Ok(()) => Ok(options.topology.clone()),
        Err(cannot) if existing.is_none() => {
            require::check_processes(options.services, Some(&cannot))?;
            progress.say(&format!(
                "containers can not boot here:{}\nso the hosts are plain processes: a folder and a loopback address each, \
                 their services kept by supervisord",
                cannot.reasons()
            ));
            Ok(on_loopback())
        }
        Err(cannot) => Err(cannot.into()),
    }
}

/// Stores what the lab consists of before any of it is made.
async fn record(
    layout: &Layout,
    topology: Topology,
    services: bool,
    base: Option<PathBuf>,
    libs: Option<PathBuf>,
) -> Result<State> {
    let booted = topology.hosting() == Hosting::Containers;
    let mut state = match State::load(layout)? {
        Some(state) => state,
        None => {
            if booted {
                network::refuse_foreign(layout)?;
            }
            State::new(topology.clone(), services, base, libs.clone())?
        }
    };
    refuse_other_hosts(layout, &state, &topology)?;
    if !state.is_of_this_boot() {
        forget_processes(layout, &state.topology)?;
        state.boot_id = boot_id()?;
    }
    if services && !state.services {
        // The jars are mounted when a host boots, so hosts that run without them are booted again.
        for spec in &state.topology.hosts {
            Station::of(layout, &state.topology, spec).power_cut(&state.cgroups).await?;
        }
        state.services = true;
        state.libs = libs;
    }
    state.cgroups = if booted { cgroup::folders(layout.name())? } else { Vec::new() };
    state.cut.clear();
    state.partitions.clear();
    state.store(layout)?;
    write_shared_files(layout, &state.topology)?;
    Ok(state)
}

fn refuse_other_hosts(layout: &Layout, state: &State, topology: &Topology) -> Result<()> {
    ensure!(
        state.topology == *topology,
        "lab {} exists with other hosts ({}, {}); take it down first, or choose another --name",
        layout.name(),
        state.topology.kind,
        state.topology.subnet
    );
    Ok(())
}

/// The machine was started again: what has our pids now is somebody else's.
fn forget_processes(layout: &Layout, topology: &Topology) -> Result<()> {
    for spec in &topology.hosts {
        let pid = layout.host_dir(&spec.name).join("pid");
        match fs::remove_file(&pid) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("failed to remove {}", pid.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn write_shared_files(layout: &Layout, topology: &Topology) -> Result<()> {
    let inventory_file = layout.fleet().join(inventory::FILE);
    let inventory_dir = inventory_file.parent().unwrap_or(&inventory_file);
    for folder in [inventory_dir, &layout.logs()] {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    let hosts_file = layout.hosts_file();
    let root = |spec: &HostSpec| match topology.hosting() {
        Hosting::Containers => None,
        Hosting::Processes => Some(Plain { layout, spec }.root()),
    };
    let inventory = inventory::inventory(topology, &root);
    for (path, text) in [(hosts_file, network::hosts_file(topology)), (inventory_file, inventory)] {
        if !path.exists() {
            fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        }
    }
    Ok(())
}

async fn make_network(layout: &Layout, state: &State, progress: &Progress) -> Result<()> {
    let step = progress.step("network");
    let made = network::make(layout, &state.topology).await?;
    network::set_partitions(layout, &state.topology, &[]).await?;
    let place = format!("{} in namespace {}", state.topology.subnet, layout.name());
    step.done(&if made { format!("made, {place}") } else { format!("ready, {place}") });
    Ok(())
}

/// Boots what is off and repairs what is on, all side by side; brokers that come back from a fault go last.
async fn boot_hosts(layout: &Layout, state: &State, progress: &Progress) -> Result<()> {
    let mut at_once = Vec::new();
    let mut returning = Vec::new();
    for spec in &state.topology.hosts {
        let station = Station::of(layout, &state.topology, spec);
        if state.services && spec.role == Role::Broker && comes_back(&station).await {
            returning.push(spec);
        } else {
            at_once.push(spec);
        }
    }
    boot_side_by_side(layout, state, &at_once, progress).await?;
    if returning.is_empty() {
        return Ok(());
    }
    wait_for_ensemble(layout, state, progress).await?;
    boot_side_by_side(layout, state, &returning, progress).await
}

/// Whether a broker has run before and runs no longer: ZooKeeper may still hold a session for it.
async fn comes_back(station: &Station<'_>) -> bool {
    station.disk_path("/var/lib/kafka/data/meta.properties").exists()
        && !(station.is_begun() && station.is_active("kafka.service").await)
}

async fn boot_side_by_side(layout: &Layout, state: &State, hosts: &[&HostSpec], progress: &Progress) -> Result<()> {
    let open_files = hard_limit_of_open_files()?;
    let hosts = hosts.iter().map(|spec| {
        let step = progress.step(format!("{} {}", spec.name, spec.address));
        boot_host(layout, state, spec, open_files, step)
    });
    // The first failure is told after all have ended, so that no host is left half booted by the failure of another.
    for host in futures::future::join_all(hosts).await {
        host?;
    }
    Ok(())
}

async fn boot_host(layout: &Layout, state: &State, spec: &HostSpec, open_files: u64, step: Step<'_>) -> Result<()> {
    let station = Station::of(layout, &state.topology, spec);
    let mut files: Vec<HostFile> = Vec::new();
    if state.services {
        files.extend(kafka_files::service_files(&state.topology, spec, open_files));
    }
    match &station {
        Station::Booted(_) => files.extend(system_files(layout.name(), &state.topology, spec)),
        Station::Plain(plain) => files = plain.places(state.libs.as_deref()).files(&files),
    }
    let written = station.provision(&files)?;
    if station.is_begun() {
        if let Station::Booted(_) = station {
            network::set_link(layout, &spec.name, Link::Up).await?;
        }
        return repair_running(&station, layout, state, spec, written, step).await;
    }
    if state.services {
        step.note("waiting for its old ZooKeeper session to end");
        services::wait_for_old_session(layout, &state.topology, spec).await?;
    }
    match &station {
        Station::Booted(machine) => {
            step.note("booting");
            match machine.boot(parts(state)?).await? {
                Booted::Whole => step.done_timed("booted", "in"),
                Booted::Degraded(units) => step.done_timed(&format!("booted, but {units} failed,"), "in"),
            }
        }
        Station::Plain(plain) => {
            step.note("starting supervisord");
            plain.start().await?;
            step.done_timed("started", "in");
        }
    }
    Ok(())
}

/// What booted hosts of a lab are made of.
pub(super) fn parts(state: &State) -> Result<Parts<'_>> {
    let base = state.base.as_deref().context("the lab's record names no base image")?;
    Ok(Parts { base, libs: state.libs.as_deref(), lab_cgroups: &state.cgroups })
}

async fn repair_running(
    station: &Station<'_>,
    layout: &Layout,
    state: &State,
    spec: &HostSpec,
    written: usize,
    step: Step<'_>,
) -> Result<()> {
    let mut repaired = Vec::new();
    if written > 0 {
        station.reload_units().await?;
        repaired.push(format!("{written} files"));
    }
    if let Some(unit) = spec.role.unit().filter(|_| state.services)
        && !station.is_active(unit).await
    {
        services::wait_for_old_session(layout, &state.topology, spec).await?;
        step.note(&format!("starting {unit}"));
        station.act("start", unit).await?;
        repaired.push(unit.to_owned());
    }
    if repaired.is_empty() {
        step.done("on");
    } else {
        step.done(&format!("on, restored {}", repaired.join(" and ")));
    }
    Ok(())
}

async fn wait_for_ensemble(layout: &Layout, state: &State, progress: &Progress) -> Result<()> {
    let step = progress.step("ZooKeeper ensemble");
    let leader = services::wait_for_ensemble(layout, &state.topology, &step).await?;
    step.done_timed(&format!("leader {leader}"), "after");
    Ok(())
}

/// Waits for the ensemble and the brokers, where the lab has them.
pub(super) async fn wait_for_clusters(layout: &Layout, state: &State, progress: &Progress) -> Result<()> {
    if !state.services {
        return Ok(());
    }
    match state.topology.kind {
        Kind::Zk => wait_for_ensemble(layout, state, progress).await?,
        Kind::Kraft => {}
        Kind::Bare => return Ok(()),
    }
    let step = progress.step("Kafka cluster");
    let metadata = services::wait_for_brokers(layout, &state.topology, &step).await?;
    let brokers = metadata.brokers.len();
    // In KRaft mode brokers name any of themselves to clients that ask for the controller.
    match state.topology.kind {
        Kind::Zk => {
            step.done_timed(&format!("{brokers} brokers, active controller {}", metadata.controllerid), "after")
        }
        Kind::Kraft | Kind::Bare => step.done_timed(&format!("{brokers} brokers"), "after"),
    }
    Ok(())
}

/// What units on the hosts may ask for at most: containers inherit this machine's limit.
fn hard_limit_of_open_files() -> Result<u64> {
    let (_soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .context("failed to read the limit of open files")?;
    Ok(hard)
}
