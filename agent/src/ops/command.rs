//! One command of an op, under the shim.
//!
//! Flow: events move into the spool -> the spec is written -> the shim is started -> wait for its byte, its end, or the
//! wish to stop -> read `exit`.
//! After a restart of the agent the same wait goes by looking at the files every few milliseconds.
//! Not here: what the command's end means for the op (`runner`, `recover`).

use super::entry::{Entry, Stop};
use crate::host::{CommandEnd, CommandSpec, HostError, ServiceManager};
use crate::journal::error::{StateError, chain};
use crate::journal::spool::{self, Exit, Spec, SpoolDir, Stopped};
use crate::shim;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, User};
use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What programs are looked for in.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a command may take to end by itself after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// The shim ends a command at its deadline, plus the grace, plus five seconds for the kernel. When nothing came long after
/// that, the shim itself hangs.
const SHIM_LIMIT: Duration = Duration::from_secs(30);

/// How often a shim of an earlier agent is looked at: its pipe went with that agent.
const LOOK: Duration = Duration::from_millis(30);

/// How long a shim may take from its start until it tells of its command.
const SHIM_START: Duration = Duration::from_secs(5);

/// What commands need to know of the agent.
#[derive(Debug, Clone)]
pub struct CommandSettings {
    /// The program that is also the shim.
    pub exe: PathBuf,
    /// Where spools lie.
    pub ops_dir: PathBuf,
    /// Where a command of root runs when it does not say.
    pub home_dir: PathBuf,
    /// How much output of a command is kept.
    pub output_cap_bytes: u64,
    /// How much of each stream goes into the result.
    pub result_output_bytes: usize,
    /// What keeps this host's services.
    pub service_manager: ServiceManager,
}

/// How a command came to its end, as far as is known.
#[derive(Debug)]
pub(super) enum Ended {
    /// It ended, with what it wrote.
    Exit(Exit, CommandEnd),
    /// Nobody knows: for people.
    Unknown(String),
}

/// Starts a command and waits for its end.
///
/// # Errors
/// When it could not be started, or the disk failed.
pub(super) fn run(settings: &CommandSettings, entry: &Entry, command: &CommandSpec) -> Result<Ended, HostError> {
    let failed = |why: String| HostError::Command { argv: command.argv.clone(), why, stderr: String::new() };
    let state = |error: StateError| failed(format!("could not be recorded: failed to {}", chain(&error)));
    let spec = spec(settings, entry, command).map_err(failed)?;
    let spool = SpoolDir::new(&settings.ops_dir, &entry.id.op_id);
    if spool.has_events() {
        return Err(failed("is the op's second one; an op runs one command".to_owned()));
    }
    entry.move_to_spool(&spool).map_err(state)?;
    spool.prepare(&spec, command.stdin.as_deref()).map_err(state)?;
    let stop = entry.stop_pipe().map_err(|error| failed(format!("could not be started: {error}")))?;
    entry.set_in_command(true);
    let (child, news) = start(settings, &spool).map_err(|error| failed(format!("could not be started: {error}")))?;
    let ended = wait(entry, &spool, child, news, stop, settings).map_err(state);
    entry.set_in_command(false);
    ended
}

/// The command as the shim gets it.
fn spec(settings: &CommandSettings, entry: &Entry, command: &CommandSpec) -> Result<Spec, String> {
    let as_user = command.user.as_deref();
    let user = match as_user {
        Some(name) => User::from_name(name),
        None => User::from_uid(Uid::effective()),
    };
    let user = user.map_err(|errno| format!("could not be started: the user database: {errno}"))?;
    if let (Some(name), None) = (as_user, &user) {
        return Err(format!("could not be started: there is no user {name:?}"));
    }
    let own = user.as_ref().is_none_or(|user| user.uid == Uid::effective());
    let mut env: BTreeMap<String, String> = [("PATH", PATH), ("LANG", "C.UTF-8")].map(owned).into();
    if let Some(user) = &user {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        env.extend([("USER", user.name.as_str()), ("LOGNAME", user.name.as_str())].map(owned));
        env.insert("HOME".to_owned(), text(&user.dir));
        env.insert("SHELL".to_owned(), text(&user.shell));
    }
    env.extend(command.env.clone());
    let cwd = command.cwd.clone().unwrap_or_else(|| match user.filter(|_| !own) {
        Some(user) if user.dir.is_dir() => user.dir,
        Some(_) => PathBuf::from("/"),
        None => settings.home_dir.clone(),
    });
    Ok(Spec {
        argv: command.argv.clone(),
        cwd,
        env,
        user: as_user.filter(|_| !own).map(str::to_owned),
        stdin: command.stdin.is_some(),
        deadline_ms: u64::try_from(entry.time_left().as_millis()).unwrap_or(u64::MAX),
        grace_ms: u64::try_from(GRACE.as_millis()).unwrap_or(0),
        half_cap_bytes: settings.output_cap_bytes / 2,
    })
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn start(settings: &CommandSettings, spool: &SpoolDir) -> io::Result<(Child, PipeReader)> {
    let (news, writer) = io::pipe()?;
    let child = Command::new(&settings.exe)
        .arg0("kfleet-agent")
        .arg("shim")
        .arg(spool.path())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, news))
}

/// Waits for a shim that this agent has started.
fn wait(
    entry: &Entry,
    spool: &SpoolDir,
    mut child: Child,
    mut news: PipeReader,
    stop: PipeReader,
    settings: &CommandSettings,
) -> Result<Ended, StateError> {
    let begun = Instant::now();
    let limit = entry.deadline() + GRACE + SHIM_LIMIT;
    let mut stop = Some(stop);
    let mut stopping = false;
    let mut bytes = [0; 4096];
    loop {
        let tick = if stopping { LOOK } else { limit.saturating_duration_since(Instant::now()) };
        let [news_ready, stop_ready] = readable(&news, stop.as_ref(), tick).map_err(io_error(spool))?;
        if stop_ready {
            // One byte says all; the pipe would stay readable.
            stop = None;
            stopping = true;
        }
        if stopping {
            stopping = !ask_to_end(spool)? && begun.elapsed() < SHIM_START + GRACE;
        }
        if news_ready {
            if news.read(&mut bytes).map_err(io_error(spool))? == 0 {
                break;
            }
            entry.touch();
        }
        if Instant::now() >= limit {
            child.kill().map_err(io_error(spool))?;
            break;
        }
    }
    child.wait().map_err(io_error(spool))?;
    ended(spool, settings)
}

fn io_error(spool: &SpoolDir) -> impl FnOnce(io::Error) -> StateError {
    StateError::io("follow the command of", spool.path())
}

fn readable(news: &PipeReader, stop: Option<&PipeReader>, time: Duration) -> io::Result<[bool; 2]> {
    let mut fds = vec![PollFd::new(news.as_fd(), PollFlags::POLLIN)];
    fds.extend(stop.map(|stop| PollFd::new(stop.as_fd(), PollFlags::POLLIN)));
    let time = time.min(Duration::from_secs(3600)) + Duration::from_millis(1);
    match poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let ready = |n: usize| fds.get(n).is_some_and(|fd| fd.any().unwrap_or(false));
    Ok([ready(0), ready(1)])
}

/// Whether the shim was told; it can be, once it has told of its command.
fn ask_to_end(spool: &SpoolDir) -> Result<bool, StateError> {
    Ok(spool.pids()?.is_some_and(|pids| shim::signal_shim(&pids)))
}

/// Waits for the shim of an earlier agent, with what is known of it on disk.
///
/// # Errors
/// When the disk fails.
pub(super) fn resume(settings: &CommandSettings, entry: &Entry, spool: &SpoolDir) -> Result<Ended, StateError> {
    let begun = Instant::now();
    let mut size = 0;
    let mut asked = false;
    loop {
        if spool.exit()?.is_some() {
            return ended(spool, settings);
        }
        match spool.pids()? {
            Some(pids) if shim::is_alive(pids.shim) => {
                if entry.stop_reason() == Some(Stop::Cancelled) && !asked {
                    asked = shim::signal_shim(&pids);
                }
            }
            // The exit file may have come between the two looks.
            Some(_) => return ended(spool, settings),
            // The shim has taken the spec and not yet said its number.
            None if begun.elapsed() < SHIM_START => {}
            None => return ended(spool, settings),
        }
        let now = std::fs::metadata(spool.file("events")).map(|meta| meta.len()).unwrap_or(size);
        if now != size {
            size = now;
            entry.touch();
        }
        nap(LOOK);
    }
}

#[expect(clippy::disallowed_methods, reason = "this runs on a blocking thread of its own")]
fn nap(time: Duration) {
    std::thread::sleep(time);
}

/// Reads how a command ended whose shim is gone.
fn ended(spool: &SpoolDir, settings: &CommandSettings) -> Result<Ended, StateError> {
    let Some(exit) = spool.exit()? else {
        let pids = spool.pids()?;
        if let Some(pids) = &pids {
            shim::signal_group(pids);
        }
        let why = match pids.and_then(|pids| pids.command) {
            Some(_) => "the process that watched the command died before it ended",
            None => "the process that should start the command died; whether it was started is not known",
        };
        return Ok(Ended::Unknown(why.to_owned()));
    };
    if let (None, Some(error), Some(_)) = (exit.rc, &exit.error, exit.stopped) {
        return Ok(Ended::Unknown(format!("the command {error}")));
    }
    let collected = spool::collect(spool, settings.result_output_bytes)?;
    let end = CommandEnd {
        rc: exit.rc.unwrap_or(-1),
        stdout: collected.stdout.into_bytes(),
        stderr: collected.stderr.into_bytes(),
        elapsed: Duration::from_micros(exit.elapsed_us),
    };
    Ok(Ended::Exit(exit, end))
}

/// For people: why a command was ended.
pub(super) fn stopped_text(why: Stopped) -> &'static str {
    match why {
        Stopped::Deadline => "the command: the op's deadline passed and the command was ended",
        Stopped::Cancelled => "the command: the op was cancelled and the command was ended",
    }
}
