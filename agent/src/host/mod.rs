//! The only door to the host: files, users, services, packages, processes.
//!
//! [`HostView`] reads, [`Host`] writes as well. A module gets the first in `observe`, so the compiler keeps it from
//! writing there; `real` is the machine, `fake` one in memory for tests. Every error carries its path or command.

mod fetch;
mod process;
mod reach;
pub mod real;
mod services;
pub mod supervisord;
pub mod systemd;
mod write;

pub use fetch::Request;
pub use reach::{ReachState, Reached, Resolved};
pub use real::RealHost;
pub(crate) use real::hex;
pub use services::ServiceManager;

#[cfg(test)]
pub mod fake;

use crate::journal::StateError;
use crate::journal::error::chain;
use crate::journal::notes::Notes;
use crate::journal::versions::{Versions, Writer};
use kfleet_model::version::{FileHistory, FileVersion};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the host did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file operation failed.
    #[error("failed to {what} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "replace", "create the directory".
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file is larger than the caller wants to hold in memory.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A command could not be started, or ended badly where that is an error.
    #[error("command {argv:?} {why}{}", tail(stderr))]
    Command {
        /// The command.
        argv: Vec<String>,
        /// "exited with status 1", "was not found", "did not end within 30 s".
        why: String,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// A user or group that is not there.
    #[error("{kind} {name:?} does not exist")]
    NoSuchName {
        /// "user" or "group".
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The service manager refused.
    #[error("{manager} failed to {what} {unit}: {why}")]
    Service {
        /// Its name: "systemd".
        manager: &'static str,
        /// "start", "read", ...
        what: &'static str,
        /// The unit.
        unit: String,
        /// What it said.
        why: String,
    },
    /// A file of the cache is missing: the controller did not send it, or it was cleaned up.
    #[error("file {sha256} is not in the agent's cache")]
    NoBlob {
        /// Its content's hash.
        sha256: String,
    },
    /// The versions of a file could not be kept or read.
    #[error("failed to {}", chain(.0))]
    Versions(#[from] StateError),
    /// Something could not be had over HTTP.
    #[error("failed to fetch {url}: {why}")]
    Fetch {
        /// From where, without what may be secret in it.
        url: String,
        /// What went wrong at last.
        why: String,
    },
    /// What was fetched is not what was meant.
    #[error("{url} has the checksum {got}, not {wanted}")]
    Checksum {
        /// From where.
        url: String,
        /// Its checksum.
        got: String,
        /// The one that was wanted.
        wanted: String,
    },
    /// What observations leave for each other could not be kept or read.
    #[error("failed to {}", chain(.0))]
    Notes(#[source] StateError),
    /// The op was cancelled or its deadline passed while it waited.
    #[error("stopped while waiting for {0}")]
    Stopped(String),
}

fn tail(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().rev().take(5).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(": {}", lines.into_iter().rev().collect::<Vec<_>>().join(" | "))
}

/// What kind of thing a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A block device.
    Block,
    /// A character device.
    Char,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What this process may do with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Read it.
    pub read: bool,
    /// Write it.
    pub write: bool,
    /// Run it, or pass through it when it is a directory.
    pub execute: bool,
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Its size.
    pub total_bytes: u64,
    /// What files take: all but what is free, which root may use a part of alone.
    pub used_bytes: u64,
    /// What an ordinary process can still use.
    pub free_bytes: u64,
    /// The size of a block.
    pub block_bytes: u64,
    /// How many files it can hold.
    pub inodes: u64,
    /// How many more files it can hold.
    pub free_inodes: u64,
}

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1: what Ansible's results show as `checksum`. Not for security.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// All of them, by the names that Ansible's modules give them.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("sha1", Self::Sha1),
        ("sha224", Self::Sha224),
        ("sha256", Self::Sha256),
        ("sha384", Self::Sha384),
        ("sha512", Self::Sha512),
    ];

    /// How many hexadecimal digits a sum has.
    #[must_use]
    pub fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha224 => 56,
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl FileKind {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Block => "block device",
            Self::Char => "character device",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
        }
    }
}

/// What `stat` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, 12 of them.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The size in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970 UTC.
    pub mtime_ns: i128,
    /// Last access, likewise.
    pub atime_ns: i128,
    /// Last change of the inode, likewise.
    pub ctime_ns: i128,
    /// The inode's number.
    pub inode: u64,
    /// The device's number.
    pub device: u64,
    /// The number of the device that it stands for, when it is one.
    pub device_type: u64,
    /// The size of its blocks in bytes, as the file system advises for reading.
    pub block_size: u64,
    /// How many blocks of 512 bytes it takes.
    pub blocks: u64,
    /// How many names it has.
    pub links: u64,
    /// Where a link points.
    pub target: Option<PathBuf>,
}

/// A line of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Full name and so on.
    pub comment: String,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// Names of the other groups that it is in.
    pub groups: Vec<String>,
}

/// A line of the group database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Number.
    pub gid: u32,
}

/// A systemd unit as systemd sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its full name, `kafka.service`.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, ...
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating`, ...
    pub active_state: String,
    /// `running`, `dead`, ...
    pub sub_state: String,
    /// `enabled`, `disabled`, `static`, `masked`, ... or empty.
    pub file_state: String,
    /// The main process, 0 when there is none.
    pub main_pid: u32,
    /// systemd's monotonic time of the last start of the main process, in microseconds since boot.
    pub started_us: u64,
    /// `success`, `exit-code`, `signal`, `timeout`, ... of the last run.
    pub result: String,
    /// How long systemd waits for a stop before it kills, in microseconds.
    pub timeout_stop_us: u64,
    /// A unit file on disk is newer than what systemd has loaded.
    pub needs_reload: bool,
    /// How often it was started again by itself, where the service manager counts that.
    pub restarts: Option<u64>,
    /// How many files it may open, where the service manager tells that.
    pub open_files: Option<u64>,
}

impl Unit {
    /// How long ago its main process was started.
    #[must_use]
    pub fn age(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(Duration::from_micros(self.started_us))
    }
}

/// What systemd shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitAction {
    /// Start it and wait for the job's end.
    Start,
    /// Stop it and wait for the job's end.
    Stop,
    /// Restart it and wait for the job's end.
    Restart,
    /// Reload it and wait for the job's end.
    Reload,
    /// Enable it at boot.
    Enable,
    /// Disable it.
    Disable,
    /// Mask it.
    Mask,
    /// Unmask it.
    Unmask,
}

/// A command to run on the host.
#[derive(Debug, Clone, Default)]
pub struct CommandSpec {
    /// Program and arguments; no shell unless it is the program.
    pub argv: Vec<String>,
    /// Where it runs; the agent's state directory when none.
    pub cwd: Option<PathBuf>,
    /// Variables beside the agent's own clean ones.
    pub env: BTreeMap<String, String>,
    /// What it reads from standard input.
    pub stdin: Option<Vec<u8>>,
    /// The user that it runs as.
    pub user: Option<String>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// The exit status; 128 + signal when a signal ended it.
    pub rc: i32,
    /// Its output, at most the cap, cut in the middle when it was more.
    pub stdout: Vec<u8>,
    /// Its error output, likewise.
    pub stderr: Vec<u8>,
    /// When it began and ended: seconds of wall time that it took.
    pub elapsed: Duration,
}

/// Where the content of a file comes from.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A file of the agent's cache, by its SHA-256 in hex.
    Blob(&'a str),
    /// Another file of this host.
    File(&'a Path),
}

/// Owner and mode of a file that is about to be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    /// Permission bits; none keeps those of the replaced file, or 0644 less the umask for a new one.
    pub mode: Option<u32>,
    /// Owner; none keeps it.
    pub uid: Option<u32>,
    /// Group; none keeps it.
    pub gid: Option<u32>,
}

/// Reading the host.
pub trait HostView: Send + Sync {
    /// What a path is; none when nothing is there. `follow` looks through a link.
    ///
    /// # Errors
    /// When it can not be looked at.
    fn stat(&self, path: &Path, follow: bool) -> Result<Option<FileStat>, HostError>;

    /// A file's content; none when it is not there.
    ///
    /// # Errors
    /// When it can not be read or is larger than `limit`.
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HostError>;

    /// How many lines the first `limit` bytes of a file have; none when it is not there. The file is streamed.
    ///
    /// # Errors
    /// When it can not be read or is larger than `limit`.
    fn count_lines(&self, path: &Path, limit: u64) -> Result<Option<u64>, HostError>;

    /// At most `limit` bytes of a file from an offset on, fewer at its end; none when it is not there. What the opened file
    /// itself is comes with them, so that a reader of several parts sees when another file has taken the name.
    ///
    /// # Errors
    /// When it can not be read.
    fn read_part(&self, path: &Path, from: u64, limit: usize) -> Result<Option<(FileStat, Vec<u8>)>, HostError>;

    /// The hash of a file in hex; none when it is not there. The file is streamed, so its size does not matter.
    ///
    /// # Errors
    /// When it can not be read.
    fn digest(&self, path: &Path, digest: Digest) -> Result<Option<String>, HostError>;

    /// The SHA-256 of a file in hex; none when it is not there.
    ///
    /// # Errors
    /// When it can not be read.
    fn sha256(&self, path: &Path) -> Result<Option<String>, HostError> {
        self.digest(path, Digest::Sha256)
    }

    /// What this process may do with a path; all false when nothing is there.
    ///
    /// # Errors
    /// When it can not be looked at.
    fn access(&self, path: &Path) -> Result<Access, HostError>;

    /// The file system that a path lies on; none when nothing is there.
    ///
    /// # Errors
    /// When it can not be looked at.
    fn file_system(&self, path: &Path) -> Result<Option<FileSystem>, HostError>;

    /// Names in a directory, sorted; none when it is not there.
    ///
    /// # Errors
    /// When it can not be read.
    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, HostError>;

    /// A user by name.
    ///
    /// # Errors
    /// When the database can not be read.
    fn user(&self, name: &str) -> Result<Option<User>, HostError>;

    /// A user by number.
    ///
    /// # Errors
    /// When the database can not be read.
    fn user_by_id(&self, uid: u32) -> Result<Option<User>, HostError>;

    /// A group by name.
    ///
    /// # Errors
    /// When the database can not be read.
    fn group(&self, name: &str) -> Result<Option<Group>, HostError>;

    /// A group by number.
    ///
    /// # Errors
    /// When the database can not be read.
    fn group_by_id(&self, gid: u32) -> Result<Option<Group>, HostError>;

    /// A unit by name (`.service` is added when there is no suffix).
    ///
    /// # Errors
    /// When systemd does not answer.
    fn unit(&self, name: &str) -> Result<Unit, HostError>;

    /// The names of all unit files, sorted: what a mistyped name is compared with.
    ///
    /// # Errors
    /// When systemd does not answer.
    fn unit_names(&self) -> Result<Vec<String>, HostError>;

    /// The names of all units in state failed, sorted.
    ///
    /// # Errors
    /// When the service manager does not answer.
    fn failed_units(&self) -> Result<Vec<String>, HostError>;

    /// When systemd last read the unit files: microseconds since 1970 by the host's clock.
    ///
    /// # Errors
    /// When systemd does not answer.
    fn units_loaded_us(&self) -> Result<u64, HostError>;

    /// Runs a command that only reads (`dpkg-query`, `apt-cache`), with a deadline and an output cap of 8 MiB.
    /// A status other than 0 is not an error here.
    ///
    /// # Errors
    /// When it can not be started or does not end.
    fn query(&self, argv: &[&str]) -> Result<CommandEnd, HostError>;

    /// Tries to connect; true when something listens.
    ///
    /// # Errors
    /// When the name does not resolve to anything.
    fn connects(&self, host: &str, port: u16, timeout: Duration) -> Result<bool, HostError>;

    /// Connects and reads until `enough` says yes to what has come, the peer ends it, or the time is over; true when
    /// `enough` did. At most 1 MiB is kept.
    ///
    /// # Errors
    /// When the name does not resolve to anything.
    fn receives(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
        enough: &dyn Fn(&[u8]) -> bool,
    ) -> Result<bool, HostError>;

    /// Fetches something small over HTTP; none when it is not there.
    ///
    /// # Errors
    /// When it can not be had, or is larger than the request allows.
    fn fetch_text(&self, request: &Request) -> Result<Option<Vec<u8>>, HostError>;

    /// Asks the resolver for names, many at once, each for at most `limit`. The answers are in the order of the names.
    fn resolve(&self, names: &[String], limit: Duration) -> Vec<Result<Resolved, String>>;

    /// Connects to ports, many at once, each within `limit`. The answers are in the order of the targets.
    ///
    /// # Errors
    /// When connections can not be made at all.
    fn reach(&self, targets: &[(String, u16)], limit: Duration) -> Result<Vec<Reached>, HostError>;

    /// The certificate (DER) that a port shows in a TLS handshake for `name`. Nothing is trusted and nothing is sent.
    ///
    /// # Errors
    /// When no certificate comes within `limit`.
    fn tls_leaf(&self, host: &str, port: u16, name: &str, limit: Duration) -> Result<Vec<u8>, HostError>;

    /// A file of the cache by its SHA-256: its size, none when it is not there.
    ///
    /// # Errors
    /// When the cache can not be read.
    fn blob_size(&self, sha256: &str) -> Result<Option<u64>, HostError>;

    /// The first `limit` bytes of a file of the cache.
    ///
    /// # Errors
    /// When it is not there or can not be read.
    fn read_blob(&self, sha256: &str, limit: u64) -> Result<Vec<u8>, HostError>;

    /// The past of a file and what it is now; none when no task has ever changed it.
    ///
    /// # Errors
    /// When it can not be read.
    fn file_history(&self, path: &Path) -> Result<Option<FileHistory>, HostError>;

    /// All files that have versions, sorted.
    ///
    /// # Errors
    /// When they can not be read.
    fn versioned_files(&self) -> Result<Vec<PathBuf>, HostError>;

    /// The content of a version; empty when it was no file.
    ///
    /// # Errors
    /// When it can not be read.
    fn read_version(&self, path: &Path, version: &FileVersion) -> Result<Vec<u8>, HostError>;

    /// What an observation left under a name for the next one; none when none has.
    ///
    /// # Errors
    /// When it can not be read.
    fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, HostError>;

    /// Leaves something for the next observation, in the agent's own state; nothing of the host changes. The old or the new
    /// content is there whatever happens.
    ///
    /// # Errors
    /// When it can not be kept.
    fn remember(&self, name: &str, content: &[u8]) -> Result<(), HostError>;

    /// Waits; shorter when the op is being stopped.
    ///
    /// # Errors
    /// [`HostError::Stopped`] when the op is cancelled or its deadline passed.
    fn pause(&self, time: Duration, why: &str) -> Result<(), HostError>;

    /// Tells the operator what a long step is doing.
    fn progress(&self, text: &str);

    /// How long the op may still take.
    fn time_left(&self) -> Duration;

    /// Milliseconds since 1970 by the host's clock.
    fn unix_ms(&self) -> i64;

    /// The kernel's monotonic clock, which [`Unit::started_us`] is of.
    fn uptime(&self) -> Duration;

    /// The processor time that the calling thread has used.
    fn cpu_time(&self) -> Duration;
}

/// Changing the host.
pub trait Host: HostView {
    /// The same host for reading.
    fn view(&self) -> &dyn HostView;

    /// The op is cancelled or late: begin nothing new.
    fn stopping(&self) -> bool;

    /// Makes or replaces a file: temporary file beside it, owner and mode set before the content, fsync, rename,
    /// fsync of the directory. A link at `path` is replaced, not followed. What was there is kept as a version.
    ///
    /// # Errors
    /// When any step fails; then the old file is as it was.
    fn write(&self, path: &Path, content: Content<'_>, attributes: Attributes) -> Result<(), HostError> {
        self.write_checked(path, content, attributes, &[])
    }

    /// As [`Host::write`]; before the rename the command `validate`, its `%s` replaced by the path of the temporary
    /// file, must end with status 0. It sees the very file that is put in place.
    ///
    /// # Errors
    /// When any step or the command fails; then the old file is as it was.
    fn write_checked(
        &self,
        path: &Path,
        content: Content<'_>,
        attributes: Attributes,
        validate: &[String],
    ) -> Result<(), HostError>;

    /// Sets a value of the kernel, a file below `/proc/sys` or `/sys` that must be there: in place and with one write, for
    /// the kernel takes each write as a whole value and lets no file of its own be replaced.
    ///
    /// # Errors
    /// When it is not there, can not be written, or the kernel refuses the value.
    fn set_kernel_value(&self, path: &Path, value: &[u8]) -> Result<(), HostError>;

    /// Fetches a file over HTTP and makes or replaces `path` with it, as [`Host::write`] does. A transfer that is cut goes
    /// on where it was. When a checksum is given (its function, and the sum in hex), the file is put in place only when it
    /// has that. Gives its size.
    ///
    /// # Errors
    /// When it can not be had or is another one; then the old file is as it was.
    fn download(
        &self,
        request: &Request,
        path: &Path,
        attributes: Attributes,
        checksum: Option<(Digest, &str)>,
    ) -> Result<u64, HostError>;

    /// Copies a file beside itself with a time stamp in its name (`backup: true`); gives the copy's path.
    ///
    /// # Errors
    /// When it can not be copied.
    fn backup(&self, path: &Path) -> Result<PathBuf, HostError>;

    /// Makes a directory and its missing parents; the parents get the default mode.
    ///
    /// # Errors
    /// When it can not be made.
    fn make_dir(&self, path: &Path, attributes: Attributes) -> Result<(), HostError>;

    /// Sets what is given.
    ///
    /// # Errors
    /// When the system refuses.
    fn set_attributes(&self, path: &Path, attributes: Attributes, follow: bool) -> Result<(), HostError>;

    /// Sets access and modification time to now (`state: touch`).
    ///
    /// # Errors
    /// When the system refuses.
    fn touch(&self, path: &Path) -> Result<(), HostError>;

    /// Makes or replaces a symbolic link, atomically.
    ///
    /// # Errors
    /// When the system refuses.
    fn symlink(&self, target: &Path, path: &Path) -> Result<(), HostError>;

    /// Makes or replaces a hard link, atomically.
    ///
    /// # Errors
    /// When the system refuses.
    fn hard_link(&self, target: &Path, path: &Path) -> Result<(), HostError>;

    /// Removes a file, a link or a whole directory; nothing there is fine.
    ///
    /// # Errors
    /// When the system refuses.
    fn remove(&self, path: &Path) -> Result<(), HostError>;

    /// Asks systemd and waits for the outcome.
    ///
    /// # Errors
    /// When systemd refuses or the job fails.
    fn unit_action(&self, name: &str, action: UnitAction) -> Result<(), HostError>;

    /// `systemctl daemon-reload`.
    ///
    /// # Errors
    /// When systemd refuses.
    fn daemon_reload(&self) -> Result<(), HostError>;

    /// Runs a command under the shim, its output streamed to the operator and kept; the op's deadline is its own.
    /// One op runs at most one command with `run`: the shim's record is named after the op.
    ///
    /// # Errors
    /// When it can not be started, or the op was stopped (then the command was ended first).
    fn run(&self, command: &CommandSpec) -> Result<CommandEnd, HostError>;

    /// Runs a helper program (`useradd`, `apt-get update`) whose output is only of interest when it fails.
    ///
    /// # Errors
    /// When it can not be started or its status is not 0.
    fn tool(&self, argv: &[&str], env: &[(&str, &str)]) -> Result<CommandEnd, HostError> {
        self.tool_with_input(argv, env, b"")
    }

    /// As [`Host::tool`], with something to read: secrets go this way, since arguments are seen by every user of the
    /// host and stand in error messages. At most 4 KiB.
    ///
    /// # Errors
    /// When it can not be started or its status is not 0.
    fn tool_with_input(&self, argv: &[&str], env: &[(&str, &str)], input: &[u8]) -> Result<CommandEnd, HostError>;
}

/// What the agent's core lends to the real host for the length of one op.
pub trait OpContext: Send + Sync {
    /// The op is cancelled or late.
    fn stopping(&self) -> bool;

    /// What is left of the op's deadline.
    fn time_left(&self) -> Duration;

    /// Waits, at most this long; false when the op was stopped meanwhile.
    fn wait(&self, time: Duration) -> bool;

    /// Puts a progress event into the op's stream.
    fn progress(&self, text: &str);

    /// Runs a command under the shim, as [`Host::run`].
    ///
    /// # Errors
    /// As [`Host::run`].
    fn run_command(&self, command: &CommandSpec) -> Result<CommandEnd, HostError>;

    /// Where a whole file of the cache lies; none when it is not there.
    fn blob_path(&self, sha256: &str) -> Option<PathBuf>;

    /// The versions of managed files.
    fn versions(&self) -> &Versions;

    /// What observations leave for each other.
    fn notes(&self) -> &Notes;

    /// The op, as the versions of the files that it changes name it.
    fn writer(&self) -> &Writer;

    /// What keeps this host's services.
    fn service_manager(&self) -> &ServiceManager;
}
