//! The machine itself.
//!
//! Everything that a module does to the host ends here: files through `write`, helpers through `process`, units
//! through `services`, the operator's commands through the shim that the agent's core lends by [`OpContext`].

use super::services::Services;
use super::supervisord::Supervisord;
use super::systemd::Systemd;
use super::{
    Access, Attributes, CommandEnd, CommandSpec, Content, Digest, FileKind, FileStat, FileSystem, Group, Host,
    HostError, HostView, OpContext, Reached, Request, Resolved, ServiceManager, Unit, UnitAction, User, fetch, process,
    reach, write,
};
use crate::journal::StateError;
use crate::journal::versions::Next;
use kfleet_model::version::{FileHistory, FileVersion};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a command that only reads may take: the slowest of them, a name service that has to ask its server, is
/// far below this.
const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// What [`HostView::receives`] keeps at most.
const RECEIVE_CAP: usize = 1024 * 1024;

/// The machine, for the length of one op.
pub struct RealHost {
    context: Arc<dyn OpContext>,
    services: Box<dyn Services>,
}

impl RealHost {
    /// The machine as one op sees it: its deadline, its cancellation, its stream of events.
    #[must_use]
    pub fn new(context: Arc<dyn OpContext>) -> Self {
        let services: Box<dyn Services> = match context.service_manager() {
            ServiceManager::Systemd => Box::new(Systemd::new(context.clone())),
            ServiceManager::Supervisord { socket } => Box::new(Supervisord::new(context.clone(), socket.clone())),
        };
        Self { services, context }
    }

    fn blob(&self, sha256: &str) -> Result<PathBuf, HostError> {
        self.context.blob_path(sha256).ok_or_else(|| HostError::NoBlob { sha256: sha256.to_owned() })
    }

    fn fill(&self, to: &mut File, target: &Path, content: Content<'_>) -> Result<(), HostError> {
        match content {
            Content::Bytes(bytes) => to.write_all(bytes).map_err(write::io("write", target)),
            Content::File(source) => write::copy(source, to, target, &mut || self.alive(target)),
            // The cache gives only what holds what its name says.
            Content::Blob(sha256) => write::copy(&self.blob(sha256)?, to, target, &mut || self.alive(target)),
        }
    }

    /// Keeps what a path is before it becomes something else.
    fn keep(&self, path: &Path, next: Next<'_>) -> Result<(), HostError> {
        Ok(self.context.versions().keep(self.context.writer(), path, next, self.unix_ms())?)
    }

    fn alive(&self, target: &Path) -> Result<(), HostError> {
        if self.context.stopping() {
            return Err(HostError::Stopped(format!("the content of {}", target.display())));
        }
        Ok(())
    }
}

impl HostView for RealHost {
    fn stat(&self, path: &Path, follow: bool) -> Result<Option<FileStat>, HostError> {
        let found = if follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
        let Some(meta) = there(found).map_err(write::io("look at", path))? else { return Ok(None) };
        let target = if meta.is_symlink() {
            Some(std::fs::read_link(path).map_err(write::io("read the link", path))?)
        } else {
            None
        };
        Ok(Some(file_stat(&meta, target)))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
        let Some(file) = there(File::open(path)).map_err(write::io("read", path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(write::io("read", path))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(HostError::TooLarge { path: path.to_owned(), limit });
        }
        Ok(Some(bytes))
    }

    fn count_lines(&self, path: &Path, limit: u64) -> Result<Option<u64>, HostError> {
        let Some(mut file) = there(File::open(path)).map_err(write::io("read", path))? else { return Ok(None) };
        let (mut lines, mut read, mut buffer) = (0_u64, 0_u64, vec![0; 64 * 1024]);
        loop {
            let n = match file.read(&mut buffer) {
                Ok(0) => return Ok(Some(lines)),
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(write::io("read", path)(error)),
            };
            lines += u64::try_from(buffer[..n].iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
            read += u64::try_from(n).unwrap_or(u64::MAX);
            if read > limit {
                return Err(HostError::TooLarge { path: path.to_owned(), limit });
            }
            self.alive(path)?;
        }
    }

    fn read_part(&self, path: &Path, from: u64, limit: usize) -> Result<Option<(FileStat, Vec<u8>)>, HostError> {
        let Some(file) = there(File::open(path)).map_err(write::io("read", path))? else { return Ok(None) };
        let stat = file_stat(&file.metadata().map_err(write::io("look at", path))?, None);
        let mut bytes = vec![0; limit];
        let mut filled = 0;
        while filled < limit {
            match file.read_at(&mut bytes[filled..], from + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(write::io("read", path)(error)),
            }
        }
        bytes.truncate(filled);
        self.alive(path)?;
        Ok(Some((stat, bytes)))
    }

    fn digest(&self, path: &Path, digest: Digest) -> Result<Option<String>, HostError> {
        let Some(mut file) = there(File::open(path)).map_err(write::io("read", path))? else { return Ok(None) };
        let sum = match digest {
            Digest::Sha1 => self.sum::<sha1::Sha1>(&mut file, path),
            Digest::Sha224 => self.sum::<sha2::Sha224>(&mut file, path),
            Digest::Sha256 => self.sum::<sha2::Sha256>(&mut file, path),
            Digest::Sha384 => self.sum::<sha2::Sha384>(&mut file, path),
            Digest::Sha512 => self.sum::<sha2::Sha512>(&mut file, path),
        }?;
        Ok(Some(sum))
    }

    fn access(&self, path: &Path) -> Result<Access, HostError> {
        use nix::unistd::{AccessFlags, access};
        let may = |flag| access(path, flag).is_ok();
        Ok(Access { read: may(AccessFlags::R_OK), write: may(AccessFlags::W_OK), execute: may(AccessFlags::X_OK) })
    }

    fn file_system(&self, path: &Path) -> Result<Option<FileSystem>, HostError> {
        let found = nix::sys::statvfs::statvfs(path).map_err(std::io::Error::from);
        let Some(fs) = there(found).map_err(write::io("look at the file system of", path))? else { return Ok(None) };
        let block_bytes = fs.fragment_size();
        Ok(Some(FileSystem {
            total_bytes: fs.blocks().saturating_mul(block_bytes),
            used_bytes: fs.blocks().saturating_sub(fs.blocks_free()).saturating_mul(block_bytes),
            free_bytes: fs.blocks_available().saturating_mul(block_bytes),
            block_bytes,
            inodes: fs.files(),
            free_inodes: fs.files_available(),
        }))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, HostError> {
        let Some(entries) = there(std::fs::read_dir(path)).map_err(write::io("list", path))? else { return Ok(None) };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(write::io("list", path))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(Some(names))
    }

    fn user(&self, name: &str) -> Result<Option<User>, HostError> {
        let found = nix::unistd::User::from_name(name).map_err(names_unreadable)?;
        found.map(|user| self.with_groups(user)).transpose()
    }

    fn user_by_id(&self, uid: u32) -> Result<Option<User>, HostError> {
        let found = nix::unistd::User::from_uid(uid.into()).map_err(names_unreadable)?;
        found.map(|user| self.with_groups(user)).transpose()
    }

    fn group(&self, name: &str) -> Result<Option<Group>, HostError> {
        let found = nix::unistd::Group::from_name(name).map_err(names_unreadable)?;
        Ok(found.map(|group| Group { name: group.name, gid: group.gid.as_raw() }))
    }

    fn group_by_id(&self, gid: u32) -> Result<Option<Group>, HostError> {
        let found = nix::unistd::Group::from_gid(gid.into()).map_err(names_unreadable)?;
        Ok(found.map(|group| Group { name: group.name, gid: group.gid.as_raw() }))
    }

    fn unit(&self, name: &str) -> Result<Unit, HostError> {
        self.services.unit(name)
    }

    fn unit_names(&self) -> Result<Vec<String>, HostError> {
        self.services.unit_names()
    }

    fn failed_units(&self) -> Result<Vec<String>, HostError> {
        self.services.failed()
    }

    fn units_loaded_us(&self) -> Result<u64, HostError> {
        self.services.units_loaded_us()
    }

    fn query(&self, argv: &[&str]) -> Result<CommandEnd, HostError> {
        let limit = QUERY_LIMIT.min(self.context.time_left());
        let ended = process::run(argv, &[], b"", limit, &*self.context)?;
        if ended.cut {
            return Err(HostError::Command {
                argv: argv.iter().map(|&a| a.to_owned()).collect(),
                why: format!("wrote more than {} MiB", process::OUTPUT_CAP >> 20),
                stderr: String::new(),
            });
        }
        Ok(ended.end)
    }

    fn connects(&self, host: &str, port: u16, timeout: Duration) -> Result<bool, HostError> {
        let timeout = timeout.max(Duration::from_millis(1));
        Ok(addresses(host, port)?.iter().any(|address| TcpStream::connect_timeout(address, timeout).is_ok()))
    }

    fn receives(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
        enough: &dyn Fn(&[u8]) -> bool,
    ) -> Result<bool, HostError> {
        let until = Instant::now() + timeout;
        let timeout = timeout.max(Duration::from_millis(1));
        let mut stream =
            addresses(host, port)?.iter().find_map(|address| TcpStream::connect_timeout(address, timeout).ok());
        let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
        while let Some(open) = &mut stream {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || got.len() >= RECEIVE_CAP || open.set_read_timeout(Some(left)).is_err() {
                break;
            }
            match open.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => got.extend_from_slice(&buffer[..n]),
            }
            if enough(&got) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fetch_text(&self, request: &Request) -> Result<Option<Vec<u8>>, HostError> {
        let mut text = Text(Vec::new());
        Ok(fetch::fetch(&*self.context, request, &mut text)?.then_some(text.0))
    }

    fn resolve(&self, names: &[String], limit: Duration) -> Vec<Result<Resolved, String>> {
        reach::resolve(names, limit)
    }

    fn reach(&self, targets: &[(String, u16)], limit: Duration) -> Result<Vec<Reached>, HostError> {
        reach::reach(targets, limit)
    }

    fn tls_leaf(&self, host: &str, port: u16, name: &str, limit: Duration) -> Result<Vec<u8>, HostError> {
        let address = PathBuf::from(format!("{host}:{port}"));
        reach::tls_leaf(host, port, name, limit).map_err(write::io("make a TLS handshake with", &address))
    }

    fn blob_size(&self, sha256: &str) -> Result<Option<u64>, HostError> {
        let Some(path) = self.context.blob_path(sha256) else { return Ok(None) };
        let found = there(std::fs::metadata(&path)).map_err(write::io("look at", &path))?;
        Ok(found.map(|meta| meta.len()))
    }

    fn read_blob(&self, sha256: &str, limit: u64) -> Result<Vec<u8>, HostError> {
        let path = self.blob(sha256)?;
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(write::io("read", &path))?;
        file.take(limit).read_to_end(&mut bytes).map_err(write::io("read", &path))?;
        Ok(bytes)
    }

    fn file_history(&self, path: &Path) -> Result<Option<FileHistory>, HostError> {
        Ok(self.context.versions().history(path)?)
    }

    fn versioned_files(&self) -> Result<Vec<PathBuf>, HostError> {
        Ok(self.context.versions().paths()?)
    }

    fn read_version(&self, path: &Path, version: &FileVersion) -> Result<Vec<u8>, HostError> {
        let Some(content) = self.context.versions().content_path(path, version) else { return Ok(Vec::new()) };
        Ok(std::fs::read(&content).map_err(StateError::io("read", &content))?)
    }

    fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.context.notes().read(name).map_err(HostError::Notes)
    }

    fn remember(&self, name: &str, content: &[u8]) -> Result<(), HostError> {
        self.context.notes().write(name, content).map_err(HostError::Notes)
    }

    fn pause(&self, time: Duration, why: &str) -> Result<(), HostError> {
        if self.context.wait(time) { Ok(()) } else { Err(HostError::Stopped(why.to_owned())) }
    }

    fn progress(&self, text: &str) {
        self.context.progress(text);
    }

    fn time_left(&self) -> Duration {
        self.context.time_left()
    }

    fn uptime(&self) -> Duration {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
        // The clock is there on every Linux; of a time that is not known nothing is young.
        now.map_or(Duration::MAX, Duration::from)
    }

    fn cpu_time(&self) -> Duration {
        let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD);
        // The call fails only for an unknown `who`.
        used.map_or(Duration::ZERO, |used| span(used.user_time()) + span(used.system_time()))
    }

    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

impl RealHost {
    /// Streams a file through a hash. A cancelled op does not read on.
    fn sum<D: sha2::Digest>(&self, file: &mut File, path: &Path) -> Result<String, HostError> {
        let (mut hash, mut buffer) = (D::new(), vec![0; 256 * 1024]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hex(&hash.finalize())),
                Ok(n) => hash.update(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(write::io("read", path)(error)),
            }
            self.alive(path)?;
        }
    }

    fn with_groups(&self, user: nix::unistd::User) -> Result<User, HostError> {
        let failed = |error| names_unreadable(error);
        let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| failed(nix::errno::Errno::EINVAL))?;
        let mut groups = Vec::new();
        for gid in nix::unistd::getgrouplist(&name, user.gid).map_err(failed)? {
            if gid != user.gid
                && let Some(group) = nix::unistd::Group::from_gid(gid).map_err(failed)?
            {
                groups.push(group.name);
            }
        }
        groups.sort();
        Ok(User {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            comment: user.gecos.to_string_lossy().into_owned(),
            home: user.dir,
            shell: user.shell,
            groups,
        })
    }
}

impl Host for RealHost {
    fn view(&self) -> &dyn HostView {
        self
    }

    fn stopping(&self) -> bool {
        self.context.stopping()
    }

    fn write_checked(
        &self,
        path: &Path,
        content: Content<'_>,
        attributes: Attributes,
        validate: &[String],
    ) -> Result<(), HostError> {
        let mut fill = |file: &mut File| self.fill(file, path, content);
        let mut check = |temporary: &Path| {
            if !validate.is_empty() {
                let name = temporary.display().to_string();
                let argv: Vec<String> = validate.iter().map(|part| part.replace("%s", &name)).collect();
                let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                self.tool(&argv, &[])?;
            }
            self.keep(path, Next::File(temporary))
        };
        write::replace(path, attributes, &mut fill, &mut check)
    }

    fn set_kernel_value(&self, path: &Path, value: &[u8]) -> Result<(), HostError> {
        write::set_kernel_value(path, value)
    }

    fn download(
        &self,
        request: &Request,
        path: &Path,
        attributes: Attributes,
        checksum: Option<(Digest, &str)>,
    ) -> Result<u64, HostError> {
        let mut size = 0;
        let mut fill = |file: &mut File| {
            let mut sink = Whole { file, path };
            if !fetch::fetch(&*self.context, request, &mut sink)? {
                let why = "the server has no such file".to_owned();
                return Err(HostError::Fetch { url: fetch::shown(&request.url), why });
            }
            size = file.metadata().map_err(write::io("look at", path))?.len();
            Ok(())
        };
        let mut check = |temporary: &Path| {
            let Some((digest, wanted)) = checksum else { return self.keep(path, Next::File(temporary)) };
            let got = self.digest(temporary, digest)?.unwrap_or_default();
            if got.eq_ignore_ascii_case(wanted) {
                return self.keep(path, Next::File(temporary));
            }
            Err(HostError::Checksum { url: fetch::shown(&request.url), got, wanted: wanted.to_owned() })
        };
        write::replace(path, attributes, &mut fill, &mut check)?;
        Ok(size)
    }

    fn backup(&self, path: &Path) -> Result<PathBuf, HostError> {
        let meta = std::fs::metadata(path).map_err(write::io("look at", path))?;
        let now = jiff::Zoned::now().strftime("%Y-%m-%d@%H:%M:%S");
        let copy = PathBuf::from(format!("{}.{}.{now}~", path.display(), std::process::id()));
        let same = Attributes { mode: Some(meta.mode() & 0o7777), uid: Some(meta.uid()), gid: Some(meta.gid()) };
        // A copy is a version by itself and needs none.
        write::replace(&copy, same, &mut |file| self.fill(file, &copy, Content::File(path)), &mut |_| Ok(()))?;
        Ok(copy)
    }

    fn make_dir(&self, path: &Path, attributes: Attributes) -> Result<(), HostError> {
        write::make_dir(path, attributes)
    }

    fn set_attributes(&self, path: &Path, attributes: Attributes, follow: bool) -> Result<(), HostError> {
        write::set_attributes(path, attributes, follow)
    }

    fn touch(&self, path: &Path) -> Result<(), HostError> {
        write::touch(path)
    }

    fn symlink(&self, target: &Path, path: &Path) -> Result<(), HostError> {
        self.keep(path, Next::Link)?;
        write::symlink(target, path)
    }

    fn hard_link(&self, target: &Path, path: &Path) -> Result<(), HostError> {
        self.keep(path, Next::File(target))?;
        write::hard_link(target, path)
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        self.keep(path, Next::Gone)?;
        write::remove(path)
    }

    fn unit_action(&self, name: &str, action: UnitAction) -> Result<(), HostError> {
        self.services.act(name, action)
    }

    fn daemon_reload(&self) -> Result<(), HostError> {
        self.services.daemon_reload()
    }

    fn run(&self, command: &CommandSpec) -> Result<CommandEnd, HostError> {
        self.context.run_command(command)
    }

    fn tool_with_input(&self, argv: &[&str], env: &[(&str, &str)], input: &[u8]) -> Result<CommandEnd, HostError> {
        let end = process::run(argv, env, input, self.context.time_left(), &*self.context)?.end;
        if end.rc == 0 {
            return Ok(end);
        }
        let said = if end.stderr.is_empty() { &end.stdout } else { &end.stderr };
        Err(HostError::Command {
            argv: argv.iter().map(|&a| a.to_owned()).collect(),
            why: format!("exited with status {}", end.rc),
            stderr: String::from_utf8_lossy(said).into_owned(),
        })
    }
}

/// A text that is fetched into memory.
struct Text(Vec<u8>);

impl fetch::Sink for Text {
    fn restart(&mut self) -> Result<(), HostError> {
        self.0.clear();
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// A file that is fetched into its temporary place.
struct Whole<'a> {
    file: &'a mut File,
    path: &'a Path,
}

impl fetch::Sink for Whole<'_> {
    fn restart(&mut self) -> Result<(), HostError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(write::io("write", self.path))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        self.file.write_all(bytes).map_err(write::io("write", self.path))
    }
}

/// Nothing there is an answer, every other error is one.
fn there<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn span(time: nix::sys::time::TimeVal) -> Duration {
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}

fn names_unreadable(errno: nix::errno::Errno) -> HostError {
    write::io("ask the name services of", Path::new("/etc/nsswitch.conf"))(errno.into())
}

fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, HostError> {
    let found = (host, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    found.map_err(|source| HostError::Io { what: "resolve the name", path: host.into(), source })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file_stat(meta: &std::fs::Metadata, target: Option<PathBuf>) -> FileStat {
    let kind = meta.file_type();
    let kind = if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Link
    } else if kind.is_block_device() {
        FileKind::Block
    } else if kind.is_char_device() {
        FileKind::Char
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Socket
    };
    let time = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    FileStat {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: meta.len(),
        mtime_ns: time(meta.mtime(), meta.mtime_nsec()),
        atime_ns: time(meta.atime(), meta.atime_nsec()),
        ctime_ns: time(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        device: meta.dev(),
        device_type: meta.rdev(),
        block_size: meta.blksize(),
        blocks: meta.blocks(),
        links: meta.nlink(),
        target,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::journal::notes::Notes;
    use crate::journal::versions::{Versions, Writer};
    use kfleet_model::version::Author;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// What the core lends, for tests against the real machine.
    pub(crate) struct TestContext {
        stopped: AtomicBool,
        pub(crate) told: Mutex<Vec<String>>,
        pub(crate) blobs: Mutex<Vec<(String, PathBuf)>>,
        service_manager: ServiceManager,
        versions: Versions,
        notes: Notes,
        writer: Writer,
        _state: tempfile::TempDir,
    }

    impl TestContext {
        pub(crate) fn new() -> Self {
            Self::with(ServiceManager::Systemd)
        }

        pub(crate) fn with(service_manager: ServiceManager) -> Self {
            let state = tempfile::tempdir().unwrap();
            Self {
                stopped: AtomicBool::new(false),
                told: Mutex::default(),
                blobs: Mutex::default(),
                service_manager,
                versions: Versions::open(state.path()).unwrap(),
                notes: Notes::open(state.path()).unwrap(),
                writer: Writer { author: Author::Outside, secret: false },
                _state: state,
            }
        }

        pub(crate) fn stop(&self) {
            self.stopped.store(true, Ordering::SeqCst);
        }
    }

    impl OpContext for TestContext {
        fn stopping(&self) -> bool {
            self.stopped.load(Ordering::SeqCst)
        }

        fn time_left(&self) -> Duration {
            Duration::from_secs(20)
        }

        #[expect(clippy::disallowed_methods, reason = "a test's thread is its own")]
        fn wait(&self, time: Duration) -> bool {
            std::thread::sleep(time);
            !self.stopping()
        }

        fn progress(&self, text: &str) {
            self.told.lock().unwrap().push(text.to_owned());
        }

        fn run_command(&self, command: &CommandSpec) -> Result<CommandEnd, HostError> {
            let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
            Ok(process::run(&argv, &[], b"", self.time_left(), self)?.end)
        }

        fn blob_path(&self, sha256: &str) -> Option<PathBuf> {
            self.blobs.lock().unwrap().iter().find(|(sha, _)| sha == sha256).map(|(_, path)| path.clone())
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

    fn host() -> (Arc<TestContext>, RealHost, tempfile::TempDir) {
        let context = Arc::new(TestContext::new());
        (context.clone(), RealHost::new(context), tempfile::tempdir().unwrap())
    }

    const HELLO_SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_file_is_read_back_as_it_was_written_with_its_hashes() {
        let (_, host, folder) = host();
        let path = folder.path().join("a");
        assert_eq!(host.read(&path, 10).unwrap(), None);
        assert_eq!(host.stat(&path, true).unwrap(), None);
        host.write(&path, Content::Bytes(b"hello"), Attributes { mode: Some(0o640), ..Attributes::default() }).unwrap();
        assert_eq!(host.read(&path, 5).unwrap().unwrap(), b"hello");
        assert!(matches!(host.read(&path, 4), Err(HostError::TooLarge { limit: 4, .. })));
        assert_eq!(host.sha256(&path).unwrap().unwrap(), HELLO_SHA256);
        assert_eq!(host.digest(&path, Digest::Sha1).unwrap().unwrap(), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
        let stat = host.stat(&path, false).unwrap().unwrap();
        assert_eq!((stat.kind, stat.mode, stat.size), (FileKind::File, 0o640, 5));
        assert_eq!(host.list(folder.path()).unwrap().unwrap(), ["a"]);
        assert_eq!(host.list(&path.join("b")).unwrap(), None);
    }

    #[test]
    fn a_file_is_read_in_parts_and_says_what_it_is() {
        let (_, host, folder) = host();
        let path = folder.path().join("log");
        assert_eq!(host.read_part(&path, 0, 4).unwrap(), None);
        std::fs::write(&path, b"0123456789").unwrap();
        let part = |from, limit| host.read_part(&path, from, limit).unwrap().unwrap();
        let (stat, bytes) = part(2, 4);
        assert_eq!((bytes.as_slice(), stat.size), (&b"2345"[..], 10));
        assert_eq!((stat.device, stat.inode), host.stat(&path, true).unwrap().map(|s| (s.device, s.inode)).unwrap());
        assert_eq!(part(8, 100).1, b"89");
        assert!(part(10, 4).1.is_empty() && part(99, 4).1.is_empty());
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        std::fs::write(&path, b"next").unwrap();
        assert_ne!(part(0, 4).0.inode, stat.inode, "another file has the name");
    }

    #[test]
    fn a_file_of_the_cache_is_put_in_place_and_one_that_is_not_there_is_not() {
        let (context, host, folder) = host();
        let (blob, path) = (folder.path().join("blob"), folder.path().join("a"));
        context.blobs.lock().unwrap().push((HELLO_SHA256.to_owned(), blob.clone()));
        std::fs::write(&blob, "hello").unwrap();
        host.write(&path, Content::Blob(HELLO_SHA256), Attributes::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello");
        assert!(matches!(host.write(&path, Content::Blob("00"), Attributes::default()), Err(HostError::NoBlob { .. })));
    }

    #[test]
    fn a_file_that_its_check_refuses_is_not_put_in_place() {
        let (_, host, folder) = host();
        let path = folder.path().join("a");
        let check = ["grep".to_owned(), "-q".to_owned(), "good".to_owned(), "%s".to_owned()];
        let put =
            |text: &str| host.write_checked(&path, Content::Bytes(text.as_bytes()), Attributes::default(), &check);
        put("good").unwrap();
        let error = put("bad").unwrap_err().to_string();
        assert!(error.contains("exited with status 1"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "good");
        assert_eq!(host.list(folder.path()).unwrap().unwrap(), ["a"]);
    }

    #[test]
    fn a_backup_has_the_files_content_and_mode() {
        let (_, host, folder) = host();
        let path = folder.path().join("a");
        host.write(&path, Content::Bytes(b"x"), Attributes { mode: Some(0o600), ..Attributes::default() }).unwrap();
        let copy = host.backup(&path).unwrap();
        let stat = host.stat(&copy, false).unwrap().unwrap();
        assert_eq!((host.read(&copy, 9).unwrap().unwrap(), stat.mode), (b"x".to_vec(), 0o600));
        assert!(copy.to_string_lossy().ends_with('~'));
    }

    #[test]
    fn users_and_groups_come_from_the_name_services() {
        let (_, host, _folder) = host();
        let root = host.user("root").unwrap().unwrap();
        assert_eq!((root.uid, host.user_by_id(0).unwrap().unwrap().name), (0, "root".to_owned()));
        assert_eq!(host.group_by_id(0).unwrap().unwrap().name, "root");
        assert_eq!(host.user("no-such-user-here").unwrap(), None);
        assert_eq!(host.group("no-such-group-here").unwrap(), None);
    }

    #[test]
    fn a_port_answers_only_while_somebody_listens_and_what_it_says_can_be_waited_for() {
        let (_, host, _folder) = host();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let second = Duration::from_secs(1);
        assert!(host.connects("127.0.0.1", port, second).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut waiting = listener.accept().unwrap().0;
                waiting.write_all(b"").unwrap();
                listener.accept().unwrap().0.write_all(b"220 ready").unwrap();
            });
            assert!(host.receives("127.0.0.1", port, second, &|got| got.ends_with(b"ready")).unwrap());
        });
        drop(listener);
        assert!(!host.connects("127.0.0.1", port, second).unwrap());
    }

    #[test]
    fn a_tool_that_fails_tells_its_status_and_last_words() {
        let (_, host, _folder) = host();
        let error = host.tool(&["sh", "-c", "echo broken >&2; exit 3"], &[]).unwrap_err().to_string();
        assert!(error.contains("exited with status 3") && error.ends_with("broken"), "{error}");
    }
}
