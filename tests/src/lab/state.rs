//! Where a lab keeps its things, what it recorded about them, and the lock that keeps two commands apart.
//!
//! ```text
//! STATE/state.json          this record: written before anything is made, so a crashed `up` can be taken down
//! STATE/hosts               names and addresses, as /etc/hosts of the controller and of every host
//! STATE/hosts.d/HOST/       upper and work folder of the overlay, start script, pid file; of a host that is plain
//!                           processes, its folder `root` and the pid file of its supervisord
//! STATE/logs/HOST/          the host's /var/log;  STATE/logs/HOST.console is its boot console
//! STATE/fleet/              the fleet directory: inventory, and the CA once agents are installed
//! ```
//! Mounts are not recorded: each host's mounts live in its own mount namespace and end with its last process.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::topology::{Topology, check_lab_name};

/// The same for a user who is not root, below the home directory, as the XDG base directories have it.
const USER_STATE_ROOT: &str = ".local/state/kfleet-lab";

/// Where labs live unless `KFLEET_LAB_STATE` says otherwise. Not the build tree: an overlay's upper folder can not be
/// on another overlay, which a checkout inside a container often is.
const STATE_ROOT: &str = "/var/lib/kfleet-lab";

/// Raised when an older `lab` could no longer take down what a newer one made.
const STATE_VERSION: u32 = 1;

/// How long a command waits for another one that works on the same lab: an `up` from nothing takes a few minutes.
const LOCK_LIMIT: Duration = Duration::from_secs(600);

/// The folders and files of one lab.
#[derive(Clone, Debug)]
pub struct Layout {
    name: String,
    dir: PathBuf,
}

impl Layout {
    /// The layout of the lab with this name.
    ///
    /// # Errors
    /// The name is not usable as a folder name.
    pub fn of(name: &str) -> Result<Self> {
        check_lab_name(name)?;
        let root = std::env::var_os("KFLEET_LAB_STATE").map_or_else(default_root, PathBuf::from);
        ensure!(root.is_absolute(), "KFLEET_LAB_STATE={} is not an absolute path", root.display());
        Ok(Self { name: name.to_owned(), dir: root.join(name) })
    }

    #[cfg(test)]
    pub(super) fn in_folder(name: &str, root: &Path) -> Self {
        Self { name: name.to_owned(), dir: root.join(name) }
    }

    /// The lab's name, which is also that of its network namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lab's own folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that names the lab's network namespace.
    pub fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// The fleet directory that belongs to the lab.
    pub fn fleet(&self) -> PathBuf {
        self.dir.join("fleet")
    }

    /// The logs of all hosts.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(super) fn hosts_file(&self) -> PathBuf {
        self.dir.join("hosts")
    }

    pub(super) fn host_dir(&self, host: &str) -> PathBuf {
        self.dir.join("hosts.d").join(host)
    }

    fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }
}

fn default_root() -> PathBuf {
    match std::env::var_os("HOME") {
        Some(home) if !nix::unistd::geteuid().is_root() => PathBuf::from(home).join(USER_STATE_ROOT),
        Some(_) | None => PathBuf::from(STATE_ROOT),
    }
}

/// What a lab has made or was about to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// The machine's boot: pids and namespaces of an earlier one are gone, whatever else has their numbers now.
    pub(super) boot_id: String,
    /// The hosts.
    pub topology: Topology,
    /// Whether Kafka and ZooKeeper are wanted on the hosts.
    pub services: bool,
    /// The base image that the hosts' overlays stand on, where the hosts boot.
    pub(super) base: Option<PathBuf>,
    /// The folder of Kafka's jars, where services are wanted.
    pub(super) libs: Option<PathBuf>,
    /// Folders made under the cgroup hierarchies, one for each hierarchy.
    pub(super) cgroups: Vec<PathBuf>,
    /// Hosts whose link is down.
    pub cut: Vec<String>,
    /// Pairs of hosts that can not reach each other.
    pub partitions: Vec<(String, String)>,
}

impl State {
    pub(super) fn new(
        topology: Topology,
        services: bool,
        base: Option<PathBuf>,
        libs: Option<PathBuf>,
    ) -> Result<Self> {
        Ok(Self {
            version: STATE_VERSION,
            boot_id: boot_id()?,
            topology,
            services,
            base,
            libs,
            cgroups: Vec::new(),
            cut: Vec::new(),
            partitions: Vec::new(),
        })
    }

    /// Reads the record of a lab; `None` when there is no such lab.
    ///
    /// # Errors
    /// The record can not be read, or another version of the lab wrote it.
    pub fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.state_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
        };
        let state: Self = serde_json::from_str(&text)
            .with_context(|| format!("failed to understand {}, which `lab up` wrote", path.display()))?;
        if state.version != STATE_VERSION {
            bail!(
                "{} is of version {}, this lab knows version {STATE_VERSION}; take it down with the lab that made it",
                path.display(),
                state.version
            );
        }
        Ok(Some(state))
    }

    /// Stores the record so that a crash leaves the old one or the new one, never a part.
    pub(super) fn store(&self, layout: &Layout) -> Result<()> {
        let path = layout.state_file();
        let text = serde_json::to_string_pretty(self).context("failed to write the lab's record as JSON")?;
        write_atomically(&path, text.as_bytes()).with_context(|| format!("failed to write {}", path.display()))
    }

    /// Whether the machine was started again since: then no process, link or mount of the lab is left.
    pub(super) fn is_of_this_boot(&self) -> bool {
        boot_id().is_ok_and(|id| id == self.boot_id)
    }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// The id that the kernel gives each start of the machine.
pub(super) fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    Ok(text.trim().to_owned())
}

/// Keeps other commands off a folder (a lab, or the cache) until it is dropped. A crash frees it too.
pub(super) struct FolderLock {
    _lock: Flock<File>,
}

impl FolderLock {
    /// Makes the folder if need be and locks it, waiting for a command that holds it; `waiting` is called once then.
    pub(super) async fn take(folder: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let deadline = tokio::time::Instant::now() + LOCK_LIMIT;
        let mut waiting = Some(waiting);
        while tokio::time::Instant::now() < deadline {
            if let Some(lock) = Self::try_take(folder)? {
                return Ok(lock);
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("another lab command has held {} for {} s; see `fuser {0}`", folder.display(), LOCK_LIMIT.as_secs())
    }

    fn try_take(folder: &Path) -> Result<Option<Self>> {
        let failed = || format!("failed to lock {}", folder.display());
        fs::create_dir_all(folder).with_context(failed)?;
        let opened = match File::open(folder) {
            Ok(opened) => opened,
            // A `down` has removed it between the two calls.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(failed),
        };
        let lock = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno).with_context(failed),
        };
        // A `down` that held the lock has removed the folder: this lock is on a folder without a name.
        let ours = lock.metadata().with_context(failed)?.ino();
        let named = fs::metadata(folder).map(|found| found.ino()).ok();
        Ok((named == Some(ours)).then_some(Self { _lock: lock }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::topology::{Kind, Subnet};
    use super::*;

    fn sample() -> State {
        let topology = Topology::of(Kind::Zk, Subnet::for_name("x"));
        State::new(topology, true, Some("/cache/base".into()), Some("/cache/libs".into())).unwrap()
    }

    #[test]
    fn a_stored_record_reads_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::in_folder("x", folder.path());
        assert_eq!(State::load(&layout).unwrap(), None, "no record yet");
        fs::create_dir(layout.dir()).unwrap();
        let mut state = sample();
        state.cut.push("zk1".into());
        state.partitions.push(("zk1".into(), "kafka1".into()));
        state.store(&layout).unwrap();
        assert_eq!(State::load(&layout).unwrap(), Some(state));
        assert_eq!(fs::read_dir(layout.dir()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_record_of_another_version_or_with_unknown_parts_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::in_folder("x", folder.path());
        fs::create_dir(layout.dir()).unwrap();
        let mut state = sample();
        state.version += 1;
        state.store(&layout).unwrap();
        assert!(State::load(&layout).unwrap_err().to_string().contains("is of version 2"));
        for text in ["", "{}", "{\"version\":1,\"other\":2}"] {
            fs::write(layout.state_file(), text).unwrap();
            assert!(State::load(&layout).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_record_knows_the_boot_it_was_made_in() {
        let mut state = sample();
        assert!(state.is_of_this_boot());
        state.boot_id = "another".into();
        assert!(!state.is_of_this_boot());
    }

    #[tokio::test]
    async fn a_second_command_waits_for_the_first_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab");
        let first = FolderLock::take(&path, || panic!("nobody holds it")).await.unwrap();
        assert!(FolderLock::try_take(&path).unwrap().is_none());
        let (told, heard) = tokio::sync::oneshot::channel();
        let second = FolderLock::take(&path, || told.send(()).unwrap());
        let release = async {
            heard.await.unwrap();
            drop(first);
        };
        let (second, ()) = tokio::join!(second, release);
        second.unwrap();
    }

    #[tokio::test]
    async fn a_lock_on_a_removed_folder_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab");
        let first = FolderLock::take(&path, || ()).await.unwrap();
        fs::remove_dir(&path).unwrap();
        let second = FolderLock::take(&path, || ()).await.unwrap();
        assert!(path.exists(), "the second command has a folder of its own");
        drop((first, second));
    }
}
