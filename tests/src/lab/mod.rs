//! The lab: a fleet of real hosts on this machine, with real Kafka and ZooKeeper, for scenarios, faults and people.
//!
//! A host is a systemd-nspawn container that boots Debian on an overlay of one base image. All hosts of a lab share a
//! bridge in a network namespace of the lab's own, so nothing of it can reach beyond the machine. Where containers can
//! not boot, a host is a folder and a loopback address, and supervisord keeps its services.
//!
//! ```text
//!   topology --> files, kafka_files, inventory     what should be (pure); rooted: the same below a folder
//!   cache                                          what is downloaded once
//!   network, cgroup, machine | plain               what is made on this machine; station: either of the two
//!   services                                       what the clusters say
//!   state                                          what was made, so that `down` finds it after a crash
//! ```
//! The lab knows nothing of kfleet but how its agent is installed (`agent`); it is what kfleet is tested against.

mod agent;
mod cache;
mod cgroup;
mod controller;
mod files;
mod inventory;
mod kafka_files;
mod machine;
mod network;
mod plain;
mod process;
mod progress;
mod require;
mod rooted;
mod services;
mod state;
mod station;
mod status;
mod tool;
mod topology;
mod up;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use machine::{Booted, HOST_ENVIRONMENT};
use network::Link;
use state::FolderLock;
use station::Station;

pub use agent::AgentSource;
pub use progress::Progress;
pub use require::{CannotHost, check_root};
pub use services::{BrokerMetadata, ClusterMetadata, PartitionMetadata, ServerModes, TopicMetadata};
pub use state::{Layout, State};
pub use status::{HostStatus, Status};
pub use tool::Finished;
pub use topology::{CONTROLLER, DEFAULT_NAME, HostSpec, Hosting, Kind, Role, Subnet, Topology};
pub use up::UpOptions;

/// How long a command on a host may take unless the caller says otherwise.
const EXEC_LIMIT: Duration = Duration::from_secs(60);

/// A lab that exists. Dropping it changes nothing: a lab stays until it is taken down.
#[derive(Clone, Debug)]
pub struct Lab {
    layout: Layout,
    state: State,
}

impl Lab {
    /// Brings a lab to its full state: makes what is missing, boots what is off, lifts every fault, and waits until
    /// the clusters are whole. A second call changes nothing.
    ///
    /// # Errors
    /// [`CannotHost`] when this machine lacks something; otherwise what failed, with the host's name.
    ///
    /// # Cancellation
    /// A dropped call leaves a lab that [`Lab::down`] removes and another call completes.
    pub async fn up(options: &UpOptions, progress: &Progress) -> Result<Self> {
        up::up(options, progress).await
    }

    /// The lab with this name.
    ///
    /// # Errors
    /// There is none, or its record can not be read.
    pub fn open(name: &str) -> Result<Self> {
        let layout = Layout::of(name)?;
        let state = State::load(&layout)?
            .with_context(|| format!("there is no lab {name}; `lab --name {name} up` makes it"))?;
        Ok(Self { layout, state })
    }

    /// Removes all that a lab has made: processes, namespace, cgroups, files. No such lab is fine: `false` says so.
    ///
    /// # Errors
    /// Something can not be removed; what could be is gone, and another call tries the rest.
    pub async fn down(name: &str, progress: &Progress) -> Result<bool> {
        let layout = Layout::of(name)?;
        if !layout.dir().exists() {
            return Ok(false);
        }
        let _lock = FolderLock::take(layout.dir(), || progress.say("waiting for another lab command to end")).await?;
        if let Some(state) = State::load(&layout)? {
            Self { layout: layout.clone(), state }.dismantle(progress).await?;
        }
        cache::remove_tree(layout.dir())?;
        // Only the last lab's end can remove the folder of all labs.
        layout.dir().parent().map(fs::remove_dir);
        Ok(true)
    }

    async fn dismantle(&self, progress: &Progress) -> Result<()> {
        let step = progress.step(format!("lab {}", self.layout.name()));
        step.note("ending its processes");
        let booted = self.topology().hosting() == Hosting::Containers;
        if self.state.is_of_this_boot() {
            let stations: Vec<Station<'_>> = self.state.topology.hosts.iter().map(|spec| self.station(spec)).collect();
            let cuts = stations.iter().map(|station| station.power_cut(&self.state.cgroups));
            for cut in futures::future::join_all(cuts).await {
                cut?;
            }
            if booted {
                cgroup::kill_all(&self.state.cgroups).await?;
                network::remove(&self.layout).await?;
                cgroup::remove(&self.state.cgroups).await?;
            }
        }
        step.note("removing its files");
        if booted {
            unmount_below(self.layout.dir()).await?;
        }
        step.done_timed("taken down", "in");
        Ok(())
    }

    /// Where the lab keeps its things.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The hosts.
    pub fn topology(&self) -> &Topology {
        &self.state.topology
    }

    /// One host of the lab.
    ///
    /// # Errors
    /// No host has the name.
    pub fn host(&self, name: &str) -> Result<Host<'_>> {
        Ok(Host { lab: self, spec: self.state.topology.host(name)? })
    }

    /// A command that runs inside the lab's network, with the lab's names in `/etc/hosts`, as the controller does.
    ///
    /// # Errors
    /// The lab has no network, or its cgroup can not be made.
    pub fn controller_command(&self, program: impl AsRef<OsStr>) -> Result<tokio::process::Command> {
        let mut words: Vec<OsString> = self.controller_prefix()?.into_iter().map(OsString::from).collect();
        words.push(program.as_ref().to_owned());
        let (first, rest) = words.split_first().context("a command line begins with a program")?;
        let mut command = tokio::process::Command::new(first);
        // `cargo test` has the build's own libraries found first; `kcat` would load a librdkafka without TLS.
        command.args(rest).env_remove("LD_LIBRARY_PATH");
        Ok(command)
    }

    /// What to put before a program and its arguments for the same; hosts that are plain processes need nothing.
    ///
    /// # Errors
    /// As [`Lab::controller_command`].
    pub fn controller_prefix(&self) -> Result<Vec<String>> {
        let cgroups = match self.topology().hosting() {
            Hosting::Containers => {
                network::require(&self.layout)?;
                cgroup::make(&self.state.cgroups, controller::FOLDER)?
            }
            Hosting::Processes => Vec::new(),
        };
        Ok(controller::prefix(&self.layout, self.topology(), &cgroups))
    }

    /// Drops everything that two hosts (or a host and `controller`) send each other, until [`Lab::heal`].
    ///
    /// # Errors
    /// A name is unknown or both are the same, or the rules can not be set.
    pub async fn partition(&self, one: &str, other: &str) -> Result<()> {
        ensure!(one != other, "host {one} can not be parted from itself");
        self.state.topology.address(one)?;
        self.state.topology.address(other)?;
        self.change(|state| {
            let known =
                |pair: &&(String, String)| (pair.0 == one && pair.1 == other) || (pair.0 == other && pair.1 == one);
            if state.partitions.iter().find(known).is_none() {
                state.partitions.push((one.to_owned(), other.to_owned()));
            }
        })
        .await
    }

    /// Lifts all partitions.
    ///
    /// # Errors
    /// The rules can not be set.
    pub async fn heal(&self) -> Result<()> {
        self.change(|state| state.partitions.clear()).await
    }

    /// Waits until the lab's clusters are whole again: a leader that all follow, all brokers, all copies in sync.
    ///
    /// # Errors
    /// They are not within three minutes; the message says what was missing last.
    pub async fn wait_whole(&self, progress: &Progress) -> Result<()> {
        up::wait_for_clusters(&self.layout, &self.state, progress).await
    }

    /// What the hosts and clusters are doing now.
    ///
    /// # Errors
    /// The lab's record can not be read again.
    pub async fn status(&self) -> Result<Status> {
        status::status(&self.layout).await
    }

    /// What the brokers say about the cluster.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn metadata(&self) -> Result<ClusterMetadata> {
        services::metadata(&self.layout, &self.state.topology).await
    }

    /// What each member of the ensemble says it is.
    pub async fn ensemble(&self) -> ServerModes {
        services::ensemble(&self.layout, &self.state.topology).await
    }

    /// Changes the record under the lab's lock, then makes the network as recorded.
    async fn change(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        ensure!(
            self.topology().hosting() == Hosting::Containers,
            "the hosts of this lab are plain processes on loopback addresses: nothing can come between them"
        );
        let _lock = FolderLock::take(self.layout.dir(), || ()).await?;
        let mut state = self.recorded()?;
        change(&mut state);
        state.store(&self.layout)?;
        network::require(&self.layout)?;
        network::set_partitions(&self.layout, &state.topology, &state.partitions).await?;
        for spec in &state.topology.hosts {
            let link = if state.cut.contains(&spec.name) { Link::Down } else { Link::Up };
            // A host that is off has no link; it gets the recorded one when it is started.
            if network::has_link(&self.layout, &network::link_of(&spec.name)).await? {
                network::set_link(&self.layout, &spec.name, link).await?;
            }
        }
        Ok(())
    }

    /// The record as it is now: another command may have changed it since this lab was opened.
    fn recorded(&self) -> Result<State> {
        State::load(&self.layout)?.with_context(|| format!("lab {} was taken down meanwhile", self.layout.name()))
    }

    fn station<'a>(&'a self, spec: &'a HostSpec) -> Station<'a> {
        Station::of(&self.layout, &self.state.topology, spec)
    }
}

/// One host of a lab.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    lab: &'a Lab,
    spec: &'a HostSpec,
}

impl Host<'_> {
    /// Its name, address and role.
    pub fn spec(&self) -> &HostSpec {
        self.spec
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.station().is_on()
    }

    /// Runs a command as root and waits at most a minute for its end, whatever that is.
    ///
    /// # Errors
    /// The host is off, the command does not exist, or it takes too long; it is then stopped.
    pub async fn exec<S: AsRef<OsStr>>(&self, command: &[S]) -> Result<Finished> {
        self.station().exec(command, EXEC_LIMIT).await
    }

    /// As [`Host::exec`] with a limit of the caller's, and an exit status other than 0 is an error.
    ///
    /// # Errors
    /// As [`Host::exec`]; the message has the last lines of what the command said.
    pub async fn run<S: AsRef<OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        self.station().run(command, limit).await
    }

    /// What to put before a program and its arguments so that they run here.
    ///
    /// # Errors
    /// The host is off.
    pub fn enter_prefix(&self) -> Result<Vec<String>> {
        self.station().enter()
    }

    /// What the host's service manager says of a unit: `active` or `running`, `failed`, ...; none when it says nothing.
    pub async fn unit_state(&self, unit: &str) -> Option<String> {
        self.station().unit_state(unit, EXEC_LIMIT).await
    }

    /// Has the host's service manager `start` or `stop` a unit, and waits until it has.
    ///
    /// # Errors
    /// The host is off, or the unit does not start or stop.
    pub async fn service(&self, act: &str, unit: &str) -> Result<()> {
        self.station().act(act, unit).await
    }

    /// Sends a signal, named without its `SIG`, to a unit's main process.
    ///
    /// # Errors
    /// The host is off, or the unit does not run.
    pub async fn signal(&self, signal: &str, unit: &str) -> Result<()> {
        self.station().signal_unit(signal, unit).await
    }

    /// How often a unit was stopped since the host was made, by the word of its service manager.
    ///
    /// # Errors
    /// The host is off, or its log can not be read.
    pub async fn stops(&self, unit: &str) -> Result<usize> {
        self.station().stops(unit).await
    }

    /// A file of the running host as this machine sees it, to be read or written directly.
    ///
    /// # Errors
    /// The host is off.
    pub fn path(&self, path: &str) -> Result<PathBuf> {
        self.station().outer_path(path)
    }

    /// Cuts the power: all processes end at once. A host that is off already is fine.
    ///
    /// # Errors
    /// A process can not be ended.
    pub async fn kill(&self) -> Result<()> {
        let _lock = FolderLock::take(self.lab.layout.dir(), || ()).await?;
        self.station().power_cut(&self.lab.recorded()?.cgroups).await
    }

    /// Boots the host and waits until its systemd is up; a broker's first for its old ZooKeeper session to end. A host that is on already is fine: `false` says so.
    ///
    /// # Errors
    /// It does not boot; the message has the end of its console.
    pub async fn start(&self) -> Result<bool> {
        let _lock = FolderLock::take(self.lab.layout.dir(), || ()).await?;
        let station = self.station();
        if station.is_begun() {
            return Ok(false);
        }
        let state = self.lab.recorded()?;
        if state.services && (state.topology.hosting() == Hosting::Processes || network::exists(&self.lab.layout)) {
            services::wait_for_old_session(&self.lab.layout, &state.topology, self.spec).await?;
        }
        let machine = match &station {
            Station::Booted(machine) => machine,
            Station::Plain(plain) => {
                plain.start().await?;
                return Ok(true);
            }
        };
        let booted = machine.boot(up::parts(&state)?).await?;
        if state.cut.contains(&self.spec.name) {
            network::set_link(&self.lab.layout, &self.spec.name, Link::Down).await?;
        }
        match booted {
            Booted::Whole => Ok(true),
            Booted::Degraded(units) => anyhow::bail!("host {} booted, but failed to start {units}", self.spec.name),
        }
    }

    /// Pulls the network cable, until [`Host::uncut`]; it stays pulled when the host is started again.
    ///
    /// # Errors
    /// The link can not be set.
    pub async fn cut(&self) -> Result<()> {
        let name = self.spec.name.clone();
        let change = |state: &mut State| {
            state.cut.retain(|cut| *cut != name);
            state.cut.push(name);
        };
        self.lab.change(change).await
    }

    /// Plugs the network cable in again.
    ///
    /// # Errors
    /// The link can not be set.
    pub async fn uncut(&self) -> Result<()> {
        self.lab.change(|state| state.cut.retain(|cut| *cut != self.spec.name)).await?;
        let parted = self.lab.recorded()?.partitions.into_iter().any(|(one, other)| {
            [&one, &other].contains(&&self.spec.name) && (one == CONTROLLER || other == CONTROLLER)
        });
        if self.is_on() && !parted {
            // Both ends say that they are up a moment before the kernel passes the first packet.
            let controller = self.lab.state.topology.subnet.controller();
            let wait =
                format!("for try in $(seq 20); do ping -q -c 1 -W 1 {controller} && exit; sleep 0.05; done; exit 1");
            self.run(&["sh", "-c", &wait], EXEC_LIMIT).await.context("nothing passes the link that was plugged in")?;
        }
        Ok(())
    }

    fn station(&self) -> Station<'_> {
        self.lab.station(self.spec)
    }
}

/// The jars of the release that a kind of lab runs, fetched now if they are not in the cache.
///
/// # Errors
/// The kind runs no release, or it can not be fetched.
pub async fn jars(kind: Kind, progress: &Progress) -> Result<PathBuf> {
    cache::Cache::from_env()?
        .libs(kind, progress)
        .await?
        .with_context(|| format!("a {kind} lab runs no release of Kafka"))
}

/// The environment that commands on hosts get.
pub fn host_environment() -> &'static [(&'static str, &'static str)] {
    &HOST_ENVIRONMENT
}

/// Unmounts whatever is mounted below a folder before it is removed. The lab mounts nothing there that this machine
/// sees; a person who did must not lose what is behind the mount.
async fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("failed to read /proc/self/mounts")?;
    let below =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| Path::new(path).starts_with(folder));
    for path in below.collect::<Vec<_>>().into_iter().rev() {
        tool::Tool::new("umount").arg(path).run().await?;
    }
    Ok(())
}
