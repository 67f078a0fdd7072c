//! A host in memory, for tests of modules: a tree of files, users, units, scripted commands, a clock that only moves
//! when somebody waits, and a fault at any chosen call.

use super::{
    Access, Attributes, CommandEnd, CommandSpec, Content, Digest, FileKind, FileStat, FileSystem, Group, Host,
    HostError, HostView, ReachState, Reached, Request, Resolved, Unit, UnitAction, User,
};
use kfleet_model::version::{Author, FileContent, FileHistory, FileVersion};
use kfleet_model::{OpId, RunId};
use serde::Deserialize;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// When the fake clock begins.
const START_MS: i64 = 1_700_000_000_000;

/// How long the host is up then. Its units were started a second after it.
const UPTIME: Duration = Duration::from_secs(1000);

/// What a host is made of, as a case file writes it. Also a patch: what it names is added or replaced.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spec {
    pub(crate) files: BTreeMap<PathBuf, Option<FileSpec>>,
    users: Vec<UserSpec>,
    /// What runs wrote to a path, one after the other; a run without content removed it.
    versions: BTreeMap<PathBuf, Vec<VersionSpec>>,
    without_users: Vec<String>,
    groups: Vec<GroupSpec>,
    without_groups: Vec<String>,
    units: Vec<UnitSpec>,
    units_loaded_us: Option<u64>,
    commands: Vec<CommandScript>,
    ports: BTreeMap<u16, Option<String>>,
    /// What is at a URL.
    urls: BTreeMap<String, String>,
    /// Names that resolve, with their addresses. A port of any of them is the host's own.
    names: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// What a port shows in a TLS handshake, in hex.
    certificates: BTreeMap<u16, String>,
    later: Vec<Later>,
    cache: Vec<String>,
    deadline_s: Option<u64>,
    /// How much processor time each call takes.
    cpu_us_a_call: u32,
}

/// One path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileSpec {
    pub(crate) kind: Option<String>,
    pub(crate) content: Option<String>,
    /// Content that is no text.
    pub(crate) hex: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) owner: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) target: Option<PathBuf>,
    /// Another path of the same file.
    same_as: Option<PathBuf>,
    /// Age in seconds when the clock begins.
    age_s: u64,
}

/// One of a path's versions. What somebody else did has no run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VersionSpec {
    run: Option<String>,
    content: Option<String>,
    mode: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserSpec {
    name: String,
    uid: u32,
    gid: u32,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    home: PathBuf,
    #[serde(default)]
    shell: PathBuf,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupSpec {
    name: String,
    gid: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitSpec {
    name: String,
    #[serde(default)]
    active: Option<String>,
    #[serde(default)]
    enabled: Option<String>,
    #[serde(default)]
    load: Option<String>,
    #[serde(default)]
    stale: bool,
    /// A start of it ends in this state.
    #[serde(default)]
    start_ends: Option<String>,
    #[serde(default)]
    restarts: Option<u64>,
    #[serde(default)]
    open_files: Option<u64>,
}

/// What a command does. `run` is a shell pattern over the words with blanks between.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandScript {
    run: String,
    #[serde(default)]
    input: Option<String>,
    #[serde(default)]
    rc: i32,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    then: Option<Box<Spec>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Later {
    after_s: u64,
    then: Spec,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inode {
    kind: FileKind,
    content: Vec<u8>,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime_ms: i64,
    ctime_ms: i64,
    target: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, u64>,
    inodes: BTreeMap<u64, Inode>,
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    units: BTreeMap<String, (Unit, Option<String>)>,
    units_loaded_us: u64,
    commands: Vec<CommandScript>,
    ports: BTreeMap<u16, Option<String>>,
    urls: BTreeMap<String, String>,
    names_known: BTreeMap<String, Vec<std::net::IpAddr>>,
    certificates: BTreeMap<u16, String>,
    cpu_us_a_call: u32,
    later: Vec<Later>,
    cache: BTreeMap<String, Vec<u8>>,
    /// Of the paths that were written: each version with its content.
    versions: BTreeMap<PathBuf, Vec<(FileVersion, Vec<u8>)>>,
    author: Option<Author>,
    /// What observations leave for each other.
    notes: BTreeMap<String, Vec<u8>>,
    clock_ms: i64,
    deadline_ms: i64,
    writes: Vec<String>,
    told: Vec<String>,
    calls: usize,
    fail_at: Option<usize>,
}

/// The host.
pub(crate) struct FakeHost {
    state: Mutex<State>,
}

impl FakeHost {
    pub(crate) fn new(spec: &Spec) -> Self {
        let mut state = State { clock_ms: START_MS, ..State::default() };
        state.deadline_ms = START_MS + i64::try_from(spec.deadline_s.unwrap_or(3600) * 1000).unwrap();
        for (name, id) in [("root", 0), ("nobody", 65534)] {
            state.groups.insert(name.into(), Group { name: name.into(), gid: id });
            let home = PathBuf::from(if id == 0 { "/root" } else { "/nonexistent" });
            let (comment, shell, groups) = (String::new(), "/bin/sh".into(), Vec::new());
            state.users.insert(name.into(), User { name: name.into(), uid: id, gid: id, comment, home, shell, groups });
        }
        state.insert(Path::new("/"), Inode::new(FileKind::Directory, 0o755, START_MS));
        state.patch(spec);
        Self { state: Mutex::new(state) }
    }

    /// The nth call from now on (from 0) fails, once.
    pub(crate) fn fail_at(&self, n: usize) {
        let mut state = self.state();
        state.fail_at = Some(state.calls + n);
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    /// Everything that was written, in order: for people.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// Every progress text.
    pub(crate) fn told(&self) -> Vec<String> {
        self.state().told.clone()
    }

    /// Every path but directories: its kind, content or target, mode, owner and group.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, FileSpec> {
        let state = self.state();
        let files = state.names.iter().map(|(path, inode)| (path, &state.inodes[inode]));
        files.map(|(path, inode)| (path.clone(), inode.spec())).collect()
    }

    /// Who writes from now on.
    pub(crate) fn written_by(&self, author: Author) {
        self.state().author = Some(author);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Counts a call, and fails when it is the chosen one.
    fn call(&self, what: &'static str, path: &Path) -> Result<MutexGuard<'_, State>, HostError> {
        let mut state = self.state();
        let this = state.calls;
        state.calls += 1;
        if state.fail_at == Some(this) {
            let source = std::io::Error::other("injected fault");
            return Err(HostError::Io { what, path: path.to_owned(), source });
        }
        Ok(state)
    }
}

impl Inode {
    fn spec(&self) -> FileSpec {
        FileSpec {
            kind: Some(self.kind.word().to_owned()),
            content: (self.kind == FileKind::File).then(|| String::from_utf8_lossy(&self.content).into_owned()),
            hex: None,
            mode: Some(format!("{:04o}", self.mode)),
            owner: Some(self.uid),
            group: Some(self.gid),
            target: self.target.clone(),
            same_as: None,
            age_s: 0,
        }
    }
}

impl State {
    fn patch(&mut self, spec: &Spec) {
        for (path, file) in &spec.files {
            match file {
                None => {
                    self.names.retain(|name, _| !name.starts_with(path));
                }
                Some(file) => self.plant(path, file),
            }
        }
        for (path, versions) in &spec.versions {
            self.keep(path, Author::Outside);
            for version in versions {
                let file =
                    FileSpec { content: version.content.clone(), mode: version.mode.clone(), ..FileSpec::default() };
                match version.content {
                    Some(_) => self.plant(path, &file),
                    None => self.names.retain(|name, _| name != path),
                }
                self.keep(path, version.run.as_deref().map_or(Author::Outside, author));
            }
        }
        for user in &spec.users {
            let user = user.clone();
            let made = User {
                name: user.name.clone(),
                uid: user.uid,
                gid: user.gid,
                comment: user.comment,
                home: user.home,
                shell: user.shell,
                groups: user.groups,
            };
            self.users.insert(user.name, made);
        }
        for group in &spec.groups {
            self.groups.insert(group.name.clone(), Group { name: group.name.clone(), gid: group.gid });
        }
        self.users.retain(|name, _| !spec.without_users.contains(name));
        self.groups.retain(|name, _| !spec.without_groups.contains(name));
        for unit in &spec.units {
            let active = unit.active.clone().unwrap_or_else(|| "inactive".into());
            let made = Unit {
                name: unit.name.clone(),
                load_state: unit.load.clone().unwrap_or_else(|| "loaded".into()),
                sub_state: if active == "active" { "running" } else { "dead" }.into(),
                main_pid: if active == "active" { 4711 } else { 0 },
                active_state: active,
                file_state: unit.enabled.clone().unwrap_or_else(|| "disabled".into()),
                started_us: 1_000_000,
                result: "success".into(),
                timeout_stop_us: 90_000_000,
                needs_reload: unit.stale,
                restarts: unit.restarts,
                open_files: unit.open_files,
            };
            self.units.insert(unit.name.clone(), (made, unit.start_ends.clone()));
        }
        if let Some(loaded) = spec.units_loaded_us {
            self.units_loaded_us = loaded;
        } else if self.units_loaded_us == 0 {
            self.units_loaded_us = u64::try_from(START_MS).unwrap() * 1000;
        }
        self.commands = spec.commands.iter().cloned().chain(std::mem::take(&mut self.commands)).collect();
        self.ports.extend(spec.ports.clone());
        self.ports.retain(|_, says| says.as_deref() != Some("(closed)"));
        self.urls.extend(spec.urls.clone());
        self.names_known.extend(spec.names.clone());
        self.certificates.extend(spec.certificates.clone());
        self.cpu_us_a_call = self.cpu_us_a_call.max(spec.cpu_us_a_call);
        self.later.extend(spec.later.clone());
        for text in &spec.cache {
            self.cache.insert(hex(&sha2::Sha256::digest(text)), text.clone().into_bytes());
        }
    }

    fn plant(&mut self, path: &Path, file: &FileSpec) {
        for parent in path.ancestors().skip(1) {
            if !self.names.contains_key(parent) {
                self.insert(parent, Inode::new(FileKind::Directory, 0o755, START_MS));
            }
        }
        if let Some(other) = &file.same_as {
            let inode = self.names[other];
            self.names.insert(path.to_owned(), inode);
            return;
        }
        let kind = match (file.kind.as_deref(), &file.target) {
            (Some("directory"), _) => FileKind::Directory,
            (Some("named pipe"), _) => FileKind::Fifo,
            (Some("file"), _) => FileKind::File,
            (Some(other), _) => panic!("no such kind: {other}"),
            (None, Some(_)) => FileKind::Link,
            (None, None) => FileKind::File,
        };
        let default = if kind == FileKind::Directory { 0o755 } else { 0o644 };
        let mode = file.mode.as_ref().map_or(default, |mode| u32::from_str_radix(mode, 8).unwrap());
        let mut inode = Inode::new(kind, mode, START_MS - i64::try_from(file.age_s * 1000).unwrap());
        inode.content = file.content.clone().unwrap_or_default().into_bytes();
        if let Some(hex) = &file.hex {
            inode.content = from_hex(hex);
        }
        inode.uid = file.owner.unwrap_or(0);
        inode.gid = file.group.unwrap_or(0);
        inode.target = file.target.clone();
        self.insert(path, inode);
    }

    fn insert(&mut self, path: &Path, inode: Inode) {
        let id = self.inodes.keys().last().map_or(1, |last| last + 1);
        self.inodes.insert(id, inode);
        self.names.insert(path.to_owned(), id);
    }

    /// The path with links in it followed; the last part only when `follow`.
    fn resolve(&self, path: &Path, follow: bool) -> Option<PathBuf> {
        let mut at = PathBuf::from("/");
        let mut rest: Vec<String> = words(path);
        let mut steps = 0;
        while !rest.is_empty() {
            let part = rest.remove(0);
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            steps += 1;
            if steps > 100 {
                return None;
            }
            if (follow || !rest.is_empty())
                && let Some(inode) = self.names.get(&at).map(|id| &self.inodes[id])
                && let Some(target) = &inode.target
            {
                at.pop();
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest = words(target).into_iter().chain(rest).collect();
            }
        }
        Some(at)
    }

    fn get(&self, path: &Path, follow: bool) -> Option<(&u64, &Inode)> {
        let id = self.names.get(&self.resolve(path, follow)?)?;
        Some((id, &self.inodes[id]))
    }

    fn get_mut(&mut self, path: &Path, follow: bool) -> Option<&mut Inode> {
        let id = *self.names.get(&self.resolve(path, follow)?)?;
        self.inodes.get_mut(&id)
    }

    /// Where something new goes, with its folder there.
    fn place(&self, what: &'static str, path: &Path) -> Result<PathBuf, HostError> {
        let real = self.resolve(path, false);
        let folder = real.as_deref().and_then(Path::parent).and_then(|parent| self.get(parent, true));
        match (real, folder) {
            (Some(real), Some((_, inode))) if inode.kind == FileKind::Directory => Ok(real),
            _ => Err(HostError::Io { what, path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() }),
        }
    }

    /// What a path is, as versions see it, with its content.
    fn seen(&self, path: &Path) -> (FileContent, Vec<u8>) {
        match self.get(path, false) {
            None => (FileContent::Absent, Vec::new()),
            Some((_, inode)) if inode.kind == FileKind::File => {
                let content = FileContent::Kept {
                    sha256: hex(&sha2::Sha256::digest(&inode.content)),
                    bytes: inode.content.len() as u64,
                    mode: inode.mode,
                    uid: inode.uid,
                    gid: inode.gid,
                };
                (content, inode.content.clone())
            }
            Some(_) => (FileContent::NoFile, Vec::new()),
        }
    }

    /// Records what a path is, unless its last version says so.
    fn keep(&mut self, path: &Path, author: Author) {
        let (content, bytes) = self.seen(path);
        let versions = self.versions.entry(path.to_owned()).or_default();
        if !versions.last().is_some_and(|(last, _)| last.content.same_as(&content)) {
            let number = versions.len() as u64 + 1;
            versions.push((FileVersion { number, unix_ms: self.clock_ms, author, content, secret: false }, bytes));
        }
    }

    /// The same after a change.
    fn keep_own(&mut self, path: &Path) {
        let author = self.author.clone().unwrap_or(Author::Outside);
        self.keep(path, author);
    }

    fn script(&mut self, argv: &[&str], input: &[u8]) -> Result<CommandEnd, HostError> {
        let line = argv.join(" ");
        let says = |script: &CommandScript| {
            let same_input = script.input.as_ref().is_none_or(|wanted| wanted.as_bytes() == input);
            (script.run == line || crate::modules::shell_pattern(&script.run, &line)) && same_input
        };
        let found = self.commands.iter().find(|script| says(script)).cloned();
        let found = found.ok_or_else(|| HostError::Command {
            argv: argv.iter().map(|&a| a.to_owned()).collect(),
            why: "is not in the case".into(),
            stderr: String::from_utf8_lossy(input).into_owned(),
        })?;
        if let Some(then) = &found.then {
            self.patch(then);
        }
        Ok(CommandEnd {
            rc: found.rc,
            stdout: found.stdout.into_bytes(),
            stderr: found.stderr.into_bytes(),
            elapsed: Duration::from_millis(12),
        })
    }

    fn pass(&mut self, time: Duration) {
        self.clock_ms += i64::try_from(time.as_millis()).unwrap();
        let now = u64::try_from(self.clock_ms - START_MS).unwrap() / 1000;
        let (due, later): (Vec<Later>, Vec<Later>) =
            std::mem::take(&mut self.later).into_iter().partition(|later| later.after_s <= now);
        self.later = later;
        for later in due {
            self.patch(&later.then);
        }
    }
}

impl Inode {
    fn new(kind: FileKind, mode: u32, time_ms: i64) -> Self {
        Self { kind, content: Vec::new(), mode, uid: 0, gid: 0, mtime_ms: time_ms, ctime_ms: time_ms, target: None }
    }

    fn set(&mut self, attributes: Attributes) {
        self.mode = attributes.mode.filter(|_| self.kind != FileKind::Link).unwrap_or(self.mode);
        self.uid = attributes.uid.unwrap_or(self.uid);
        self.gid = attributes.gid.unwrap_or(self.gid);
    }
}

/// A task of a run.
pub(crate) fn author(run: &str) -> Author {
    let (run_id, op_id) = (RunId::new(run).unwrap(), OpId::new("op").unwrap());
    Author::Op { run_id, op_id, module: "copy".into() }
}

fn words(path: &Path) -> Vec<String> {
    path.components()
        .filter(|part| !matches!(part, Component::RootDir | Component::CurDir))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect()
}

fn is_kernels(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/sys")
}

fn hex(bytes: &[u8]) -> String {
    super::hex(bytes)
}

fn sum(digest: Digest, content: &[u8]) -> String {
    match digest {
        Digest::Sha1 => hex(&sha1::Sha1::digest(content)),
        Digest::Sha224 => hex(&sha2::Sha224::digest(content)),
        Digest::Sha256 => hex(&sha2::Sha256::digest(content)),
        Digest::Sha384 => hex(&sha2::Sha384::digest(content)),
        Digest::Sha512 => hex(&sha2::Sha512::digest(content)),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
}

impl HostView for FakeHost {
    fn stat(&self, path: &Path, follow: bool) -> Result<Option<FileStat>, HostError> {
        let state = self.call("look at", path)?;
        let Some((id, inode)) = state.get(path, follow) else { return Ok(None) };
        let ns = |ms: i64| i128::from(ms) * 1_000_000;
        Ok(Some(FileStat {
            kind: inode.kind,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            size: inode.content.len() as u64,
            mtime_ns: ns(inode.mtime_ms),
            atime_ns: ns(inode.mtime_ms),
            ctime_ns: ns(inode.ctime_ms),
            inode: *id,
            device: 1,
            device_type: 0,
            block_size: 4096,
            blocks: (inode.content.len() as u64).div_ceil(512),
            links: state.names.values().filter(|other| *other == id).count() as u64,
            target: inode.target.clone(),
        }))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
        let state = self.call("read", path)?;
        match state.get(path, true) {
            Some((_, inode)) if inode.content.len() as u64 > limit => {
                Err(HostError::TooLarge { path: path.to_owned(), limit })
            }
            found => Ok(found.map(|(_, inode)| inode.content.clone())),
        }
    }

    fn count_lines(&self, path: &Path, limit: u64) -> Result<Option<u64>, HostError> {
        let text = self.read(path, limit)?;
        Ok(text.map(|text| text.iter().filter(|byte| **byte == b'\n').count() as u64))
    }

    fn read_part(&self, path: &Path, from: u64, limit: usize) -> Result<Option<(FileStat, Vec<u8>)>, HostError> {
        let Some(stat) = self.stat(path, true)? else { return Ok(None) };
        let state = self.call("read", path)?;
        let content = state.get(path, true).map(|(_, inode)| inode.content.as_slice()).unwrap_or_default();
        let from = usize::try_from(from).unwrap().min(content.len());
        Ok(Some((stat, content[from..content.len().min(from.saturating_add(limit))].to_vec())))
    }

    fn digest(&self, path: &Path, digest: Digest) -> Result<Option<String>, HostError> {
        let state = self.call("read", path)?;
        Ok(state.get(path, true).map(|(_, inode)| sum(digest, &inode.content)))
    }

    fn access(&self, path: &Path) -> Result<Access, HostError> {
        let state = self.call("look at", path)?;
        let found = state.get(path, true).map(|(_, inode)| inode);
        let execute = found.is_some_and(|inode| inode.mode & 0o111 != 0);
        // Everything is root's to write but what the kernel itself does not let be written.
        let write = found.is_some_and(|inode| !is_kernels(path) || inode.mode & 0o222 != 0);
        Ok(Access { read: found.is_some(), write, execute })
    }

    fn file_system(&self, path: &Path) -> Result<Option<FileSystem>, HostError> {
        let state = self.call("look at", path)?;
        Ok(state.get(path, true).map(|_| FileSystem {
            total_bytes: 1 << 40,
            used_bytes: 1 << 39,
            free_bytes: 1 << 39,
            block_bytes: 4096,
            inodes: 1000,
            free_inodes: 900,
        }))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, HostError> {
        let state = self.call("list", path)?;
        let Some(real) = state.resolve(path, true).filter(|real| state.names.contains_key(real)) else {
            return Ok(None);
        };
        let below = state.names.keys().filter(|name| name.parent() == Some(&real));
        Ok(Some(below.map(|name| name.file_name().unwrap().to_string_lossy().into_owned()).collect()))
    }

    fn user(&self, name: &str) -> Result<Option<User>, HostError> {
        Ok(self.call("ask for", Path::new(name))?.users.get(name).cloned())
    }

    fn user_by_id(&self, uid: u32) -> Result<Option<User>, HostError> {
        let state = self.call("ask for", Path::new("a user"))?;
        Ok(state.users.values().find(|user| user.uid == uid).cloned())
    }

    fn group(&self, name: &str) -> Result<Option<Group>, HostError> {
        Ok(self.call("ask for", Path::new(name))?.groups.get(name).cloned())
    }

    fn group_by_id(&self, gid: u32) -> Result<Option<Group>, HostError> {
        let state = self.call("ask for", Path::new("a group"))?;
        Ok(state.groups.values().find(|group| group.gid == gid).cloned())
    }

    fn unit(&self, name: &str) -> Result<Unit, HostError> {
        let name = super::systemd::full_name(name);
        let state = self.call("ask for", Path::new(&name))?;
        Ok(state.units.get(&name).map_or_else(
            || Unit {
                name: name.clone(),
                load_state: "not-found".into(),
                active_state: "inactive".into(),
                sub_state: "dead".into(),
                file_state: String::new(),
                main_pid: 0,
                started_us: 0,
                result: "success".into(),
                timeout_stop_us: 0,
                needs_reload: false,
                restarts: None,
                open_files: None,
            },
            |(unit, _)| unit.clone(),
        ))
    }

    fn unit_names(&self) -> Result<Vec<String>, HostError> {
        Ok(self.call("list", Path::new("units"))?.units.keys().cloned().collect())
    }

    fn failed_units(&self) -> Result<Vec<String>, HostError> {
        let state = self.call("list", Path::new("units"))?;
        let failed = state.units.values().filter(|(unit, _)| unit.active_state == "failed");
        Ok(failed.map(|(unit, _)| unit.name.clone()).collect())
    }

    fn units_loaded_us(&self) -> Result<u64, HostError> {
        Ok(self.call("ask for", Path::new("units"))?.units_loaded_us)
    }

    fn query(&self, argv: &[&str]) -> Result<CommandEnd, HostError> {
        self.call("run", Path::new(argv[0]))?.script(argv, b"")
    }

    fn connects(&self, host: &str, port: u16, _timeout: Duration) -> Result<bool, HostError> {
        Ok(self.call("connect to", Path::new(host))?.ports.contains_key(&port))
    }

    fn receives(
        &self,
        host: &str,
        port: u16,
        _timeout: Duration,
        enough: &dyn Fn(&[u8]) -> bool,
    ) -> Result<bool, HostError> {
        let state = self.call("connect to", Path::new(host))?;
        let says = state.ports.get(&port);
        Ok(says.is_some_and(|says| enough(says.as_deref().unwrap_or_default().as_bytes())))
    }

    fn fetch_text(&self, request: &Request) -> Result<Option<Vec<u8>>, HostError> {
        let state = self.call("fetch", Path::new(&request.url))?;
        Ok(state.urls.get(&request.url).map(|text| text.clone().into_bytes()))
    }

    fn resolve(&self, names: &[String], _limit: Duration) -> Vec<Result<Resolved, String>> {
        let answer = |name: &String| {
            let state = self.call("resolve", Path::new(name)).map_err(|error| error.to_string())?;
            let addresses = state.names_known.get(name).cloned().unwrap_or_default();
            Ok(Resolved { addresses, took: Duration::from_millis(3) })
        };
        names.iter().map(answer).collect()
    }

    fn reach(&self, targets: &[(String, u16)], _limit: Duration) -> Result<Vec<Reached>, HostError> {
        let state = self.call("reach", Path::new("hosts"))?;
        let answer = |(host, port): &(String, u16)| {
            let addresses = state.names_known.get(host).cloned().unwrap_or_default();
            let own = host.parse::<std::net::IpAddr>().is_ok();
            let state = match state.ports.contains_key(port) {
                _ if addresses.is_empty() && !own => ReachState::Unresolved,
                true => ReachState::Open,
                false => ReachState::Refused,
            };
            Reached { state, took: Duration::from_millis(2), addresses }
        };
        Ok(targets.iter().map(answer).collect())
    }

    fn tls_leaf(&self, host: &str, port: u16, _name: &str, _limit: Duration) -> Result<Vec<u8>, HostError> {
        let state = self.call("make a TLS handshake with", Path::new(host))?;
        let hex = state.certificates.get(&port).ok_or_else(|| HostError::Io {
            what: "make a TLS handshake with",
            path: PathBuf::from(format!("{host}:{port}")),
            source: std::io::ErrorKind::InvalidData.into(),
        })?;
        Ok(from_hex(hex))
    }

    fn blob_size(&self, sha256: &str) -> Result<Option<u64>, HostError> {
        let state = self.call("look at", Path::new(sha256))?;
        Ok(state.cache.get(sha256).map(|content| content.len() as u64))
    }

    fn read_blob(&self, sha256: &str, limit: u64) -> Result<Vec<u8>, HostError> {
        let state = self.call("read", Path::new(sha256))?;
        let content = state.cache.get(sha256).ok_or_else(|| HostError::NoBlob { sha256: sha256.to_owned() })?;
        Ok(content[..content.len().min(usize::try_from(limit).unwrap())].to_vec())
    }

    fn pause(&self, time: Duration, why: &str) -> Result<(), HostError> {
        let mut state = self.call("wait", Path::new("."))?;
        state.pass(time);
        if state.clock_ms >= state.deadline_ms { Err(HostError::Stopped(why.to_owned())) } else { Ok(()) }
    }

    fn progress(&self, text: &str) {
        self.state().told.push(text.to_owned());
    }

    fn time_left(&self) -> Duration {
        let state = self.state();
        Duration::from_millis(u64::try_from(state.deadline_ms - state.clock_ms).unwrap_or(0))
    }

    fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.call("read the note", Path::new(name))?.notes.get(name).cloned())
    }

    fn remember(&self, name: &str, content: &[u8]) -> Result<(), HostError> {
        self.call("keep the note", Path::new(name))?.notes.insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn file_history(&self, path: &Path) -> Result<Option<FileHistory>, HostError> {
        let state = self.call("read the versions of", path)?;
        let Some(versions) = state.versions.get(path) else { return Ok(None) };
        let versions = versions.iter().map(|(version, _)| version.clone()).collect();
        let now_unix_ms = state.get(path, false).map(|(_, inode)| inode.ctime_ms);
        Ok(Some(FileHistory { path: path.to_owned(), versions, now: state.seen(path).0, now_unix_ms }))
    }

    fn versioned_files(&self) -> Result<Vec<PathBuf>, HostError> {
        Ok(self.call("list", Path::new("versions"))?.versions.keys().cloned().collect())
    }

    fn read_version(&self, path: &Path, version: &FileVersion) -> Result<Vec<u8>, HostError> {
        let state = self.call("read a version of", path)?;
        let found = state.versions.get(path).and_then(|all| all.iter().find(|(one, _)| one == version));
        Ok(found.map(|(_, bytes)| bytes.clone()).unwrap_or_default())
    }

    fn uptime(&self) -> Duration {
        UPTIME + Duration::from_millis(u64::try_from(self.state().clock_ms - START_MS).unwrap())
    }

    fn cpu_time(&self) -> Duration {
        let state = self.state();
        Duration::from_micros(state.calls as u64 * u64::from(state.cpu_us_a_call))
    }

    fn unix_ms(&self) -> i64 {
        self.state().clock_ms
    }
}

impl FakeHost {
    fn write_call(&self, what: &'static str, path: &Path) -> Result<MutexGuard<'_, State>, HostError> {
        let mut state = self.call(what, path)?;
        state.writes.push(format!("{what} {}", path.display()));
        Ok(state)
    }
}

impl Host for FakeHost {
    fn view(&self) -> &dyn HostView {
        self
    }

    fn stopping(&self) -> bool {
        false
    }

    fn write_checked(
        &self,
        path: &Path,
        content: Content<'_>,
        attributes: Attributes,
        validate: &[String],
    ) -> Result<(), HostError> {
        let bytes = match content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::Blob(sha256) => self.read_blob(sha256, u64::MAX >> 1)?,
            Content::File(source) => self.read(source, u64::MAX)?.ok_or_else(|| HostError::Io {
                what: "read",
                path: source.to_owned(),
                source: std::io::ErrorKind::NotFound.into(),
            })?,
        };
        if !validate.is_empty() {
            let argv: Vec<String> = validate.iter().map(|part| part.replace("%s", "TEMPORARY")).collect();
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            self.tool(&argv, &[])?;
        }
        let mut state = self.write_call("replace", path)?;
        let real = state.place("replace", path)?;
        let now = state.clock_ms;
        let mut inode = match state.get(&real, false) {
            Some((_, old)) if old.kind == FileKind::Directory => {
                let source = std::io::ErrorKind::IsADirectory.into();
                return Err(HostError::Io { what: "replace", path: path.to_owned(), source });
            }
            Some((_, old)) if old.kind == FileKind::File => old.clone(),
            Some(_) | None => Inode::new(FileKind::File, 0o644, now),
        };
        inode.content = bytes;
        inode.mtime_ms = now;
        inode.ctime_ms = now;
        inode.set(attributes);
        state.keep(&real, Author::Outside);
        state.insert(&real, inode);
        state.keep_own(&real);
        Ok(())
    }

    fn set_kernel_value(&self, path: &Path, value: &[u8]) -> Result<(), HostError> {
        let what = "set the kernel's";
        let mut state = self.write_call(what, path)?;
        let refused = |kind: std::io::ErrorKind| HostError::Io { what, path: path.to_owned(), source: kind.into() };
        let inode = state.get_mut(path, true).ok_or_else(|| refused(std::io::ErrorKind::NotFound))?;
        if inode.mode & 0o222 == 0 {
            return Err(refused(std::io::ErrorKind::ReadOnlyFilesystem));
        }
        // As the kernel does: a list of words has its brackets moved, and nothing else is taken.
        let shown = String::from_utf8_lossy(&inode.content).into_owned();
        let Some(words) = kfleet_tune::kernel::offered(&shown) else {
            inode.content = value.to_vec();
            return Ok(());
        };
        let value = String::from_utf8_lossy(value).trim().to_owned();
        if !words.contains(&value.as_str()) {
            return Err(refused(std::io::ErrorKind::InvalidInput));
        }
        let words: Vec<String> =
            words.into_iter().map(|word| if word == value { format!("[{word}]") } else { word.to_owned() }).collect();
        inode.content = format!("{}\n", words.join(" ")).into_bytes();
        Ok(())
    }

    fn download(
        &self,
        request: &Request,
        path: &Path,
        attributes: Attributes,
        checksum: Option<(Digest, &str)>,
    ) -> Result<u64, HostError> {
        let url = request.url.clone();
        let Some(content) = self.fetch_text(request)? else {
            return Err(HostError::Fetch { url, why: "the server has no such file".to_owned() });
        };
        if let Some((digest, wanted)) = checksum {
            let got = sum(digest, &content);
            if got != wanted {
                return Err(HostError::Checksum { url, got, wanted: wanted.to_owned() });
            }
        }
        self.write(path, Content::Bytes(&content), attributes)?;
        Ok(content.len() as u64)
    }

    fn backup(&self, path: &Path) -> Result<PathBuf, HostError> {
        let copy = PathBuf::from(format!("{}.1.2023-11-14@22:13:20~", path.display()));
        self.write(&copy, Content::File(path), Attributes::default())?;
        Ok(copy)
    }

    fn make_dir(&self, path: &Path, attributes: Attributes) -> Result<(), HostError> {
        let mut state = self.write_call("create the directory", path)?;
        let real = state.resolve(path, true).unwrap();
        let parents: Vec<PathBuf> = real.ancestors().map(Path::to_owned).collect();
        for parent in parents.iter().rev() {
            if !state.names.contains_key(parent) {
                let now = state.clock_ms;
                state.insert(parent, Inode::new(FileKind::Directory, 0o755, now));
            }
        }
        state.get_mut(&real, false).unwrap().set(attributes);
        Ok(())
    }

    fn set_attributes(&self, path: &Path, attributes: Attributes, follow: bool) -> Result<(), HostError> {
        let mut state = self.write_call("set the attributes of", path)?;
        let missing =
            || HostError::Io { what: "look at", path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() };
        state.get_mut(path, follow).ok_or_else(missing)?.set(attributes);
        Ok(())
    }

    fn touch(&self, path: &Path) -> Result<(), HostError> {
        let mut state = self.write_call("set the times of", path)?;
        let now = state.clock_ms;
        if let Some(inode) = state.get_mut(path, false) {
            inode.mtime_ms = now;
            inode.ctime_ms = now;
        }
        Ok(())
    }

    fn symlink(&self, target: &Path, path: &Path) -> Result<(), HostError> {
        let mut state = self.write_call("link", path)?;
        let real = state.place("link", path)?;
        let mut inode = Inode::new(FileKind::Link, 0o777, state.clock_ms);
        inode.target = Some(target.to_owned());
        state.insert(&real, inode);
        Ok(())
    }

    fn hard_link(&self, target: &Path, path: &Path) -> Result<(), HostError> {
        let mut state = self.write_call("link", path)?;
        let real = state.place("link", path)?;
        let id = *state.get(target, false).unwrap().0;
        state.names.insert(real, id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        let mut state = self.write_call("remove", path)?;
        if let Some(real) = state.resolve(path, false) {
            state.keep(&real, Author::Outside);
            let gone: BTreeSet<PathBuf> = state.names.keys().filter(|name| name.starts_with(&real)).cloned().collect();
            state.names.retain(|name, _| !gone.contains(name));
            state.keep_own(&real);
        }
        Ok(())
    }

    fn unit_action(&self, name: &str, action: UnitAction) -> Result<(), HostError> {
        let name = super::systemd::full_name(name);
        let mut state = self.write_call("act on", Path::new(&name))?;
        let now = u64::try_from(state.clock_ms).unwrap() * 1000;
        state.writes.push(format!("{action:?} {name}"));
        let missing =
            || HostError::Service { manager: "systemd", what: "find", unit: name.clone(), why: "not found".into() };
        let (unit, start_ends) = state.units.get_mut(&name).ok_or_else(missing)?;
        match action {
            UnitAction::Start | UnitAction::Restart => {
                unit.active_state = start_ends.clone().unwrap_or_else(|| "active".into());
                unit.main_pid += 1;
                unit.started_us = now;
            }
            UnitAction::Stop => {
                unit.active_state = "inactive".into();
                unit.main_pid = 0;
            }
            UnitAction::Reload => {}
            UnitAction::Enable => unit.file_state = "enabled".into(),
            UnitAction::Disable => unit.file_state = "disabled".into(),
            UnitAction::Mask => {
                unit.file_state = "masked".into();
                unit.load_state = "masked".into();
            }
            UnitAction::Unmask => {
                unit.file_state = "disabled".into();
                unit.load_state = "loaded".into();
            }
        }
        Ok(())
    }

    fn daemon_reload(&self) -> Result<(), HostError> {
        let mut state = self.write_call("reload", Path::new("units"))?;
        state.units_loaded_us = u64::try_from(state.clock_ms).unwrap() * 1000;
        for (unit, _) in state.units.values_mut() {
            unit.needs_reload = false;
        }
        Ok(())
    }

    fn run(&self, command: &CommandSpec) -> Result<CommandEnd, HostError> {
        let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let mut state = self.write_call("run", Path::new(&argv.join(" ")))?;
        state.script(&argv, command.stdin.as_deref().unwrap_or_default())
    }

    fn tool_with_input(&self, argv: &[&str], _env: &[(&str, &str)], input: &[u8]) -> Result<CommandEnd, HostError> {
        let mut state = self.write_call("run", Path::new(&argv.join(" ")))?;
        let end = state.script(argv, input)?;
        if end.rc == 0 {
            return Ok(end);
        }
        Err(HostError::Command {
            argv: argv.iter().map(|&a| a.to_owned()).collect(),
            why: format!("exited with status {}", end.rc),
            stderr: String::from_utf8_lossy(&end.stderr).into_owned(),
        })
    }
}
