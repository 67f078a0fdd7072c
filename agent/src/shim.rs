//! The shim: runs one command and keeps its output and exit status on disk.
//!
//! Purpose: a command must not depend on the agent. The agent may be killed, restarted or upgraded in the middle; the shim
//! goes on, keeps the deadline, and what it has written is found again.
//! Place in the flow: `kfleet-agent shim DIR` is started by `ops::command`, reads `DIR/spec.json` and writes
//! `DIR/events` and `DIR/exit` (see [`crate::journal::spool`]). Its standard output is a pipe into which it writes one
//! byte whenever there is something new; nobody needs to read it.
//! Signals: SIGTERM asks it to end the command (SIGTERM, a grace, SIGKILL, to everything in the command's session).
//! It runs in one thread, without a runtime and without logging, so that it starts in about a millisecond.
//! Not here: why the command runs and what its result means.

mod exec_as;
mod output;
mod processes;

pub use exec_as::exec_as;
pub use processes::{is_alive, process_id, signal_group, signal_shim};

use crate::exit;
use crate::journal::StateError;
use crate::journal::files::{self, Durable};
use crate::journal::spool::{Exit, Pids, Spec, SpoolDir, Stopped};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use output::Output;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Pipes from the command are made this large when the system allows it: fewer turns for much output.
const PIPE_BYTES: i32 = 1024 * 1024;

/// After a small piece, output is gathered for this long before the next event is written: a program that prints line by
/// line makes hundreds of events a second and not a hundred thousand.
const GATHER: Duration = Duration::from_millis(4);

/// Pieces smaller than this are worth gathering.
const SMALL_PIECE: usize = 16 * 1024;

/// How long output is still read after the command itself ended while a child of it keeps the pipe open.
const LEFT_BEHIND: Duration = Duration::from_millis(100);

/// How often it is looked whether all that a command started is gone, once it was asked to end.
const LOOK: Duration = Duration::from_millis(20);

/// How long a process may take to go after SIGKILL; beyond it, it hangs in the kernel (a dead disk or network mount).
const KILLED_LIMIT: Duration = Duration::from_secs(5);

/// The entry point of `kfleet-agent shim DIR`.
#[must_use]
pub fn main(dir: PathBuf) -> ExitCode {
    let spool = SpoolDir::at(dir);
    match supervise(&spool) {
        Ok(()) => ExitCode::SUCCESS,
        // There is nobody to tell: the agent sees that no exit file came and reports the op as unknown.
        Err(_) => exit::STATE.into(),
    }
}

fn supervise(spool: &SpoolDir) -> Result<(), StateError> {
    // Without its own session, a signal to the agent's group or terminal would reach the command.
    nix::unistd::setsid().map_err(io::Error::from).map_err(StateError::io("make a session for", spool.path()))?;
    let Some(spec) = spool.take_spec()? else { return Ok(()) };
    // The agent is spared when memory runs out; a command that eats it must not be. Without the right to say so, nothing
    // was spared either.
    std::fs::write("/proc/self/oom_score_adj", "0").ok();
    let spec: Spec = serde_json::from_slice(&spec)
        .map_err(|error| StateError::Damaged { path: spool.file("spec.json"), why: error.to_string() })?;
    let shim = process_id(std::process::id().cast_signed()).map_err(StateError::io("read", "/proc/self/stat"))?;
    let tell = |pids: &Pids| files::replace(&spool.file("shim.pid"), &json(pids), Durable::No);
    tell(&Pids { shim, command: None })?;
    let output = Output::open(spool, spec.half_cap_bytes)?;
    let started = Started { unix_ms: files::unix_ms(), at: Instant::now() };
    let exit = match start(spool, &spec) {
        Ok(Running { child, stdout, stderr }) => {
            let command = process_id(child.id().cast_signed()).ok();
            let watch = Watch::new(child, stdout, stderr, output, &spec)?;
            // Only now may the agent send signals: before, one would have ended this process alone.
            if let Err(error) = tell(&Pids { shim, command }) {
                // Nobody could find the command again.
                watch.signal(Signal::SIGKILL, Ending::No);
                return Err(error);
            }
            watch.run(spool, &started)?
        }
        Err(why) => {
            output.finish(Durable::No)?;
            started.exit(None, Some(why), None, 0)
        }
    };
    files::replace(&spool.file("exit"), &json(&exit), durability())
}

/// A living agent reads the end within milliseconds and makes the result safe in its own journal before it tells of it. Only
/// when there is none, the shim has to do so; a sync of much output costs more than most commands.
fn durability() -> Durable {
    let stdout = io::stdout();
    let file = stdout.as_fd().try_clone_to_owned().map(File::from);
    let is_pipe = file.and_then(|file| file.metadata()).is_ok_and(|meta| meta.file_type().is_fifo());
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    // An error on a pipe's writing end means that nobody holds the reading one.
    let has_reader = poll(&mut fds, PollTimeout::ZERO) == Ok(0);
    if is_pipe && has_reader { Durable::No } else { Durable::Yes }
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    kfleet_proto::convert::json_bytes(value)
}

/// When the command was started.
struct Started {
    unix_ms: i64,
    at: Instant,
}

impl Started {
    fn exit(&self, rc: Option<i32>, error: Option<String>, stopped: Option<Stopped>, dropped_bytes: u64) -> Exit {
        let elapsed_us = u64::try_from(self.at.elapsed().as_micros()).unwrap_or(u64::MAX);
        Exit { rc, error, stopped, started_unix_ms: self.unix_ms, elapsed_us, dropped_bytes }
    }
}

/// A started command with the reading ends of its streams.
struct Running {
    child: Child,
    stdout: PipeReader,
    stderr: PipeReader,
}

/// Starts the command; the error is for people.
fn start(spool: &SpoolDir, spec: &Spec) -> Result<Running, String> {
    let (program, arguments) = spec.argv.split_first().ok_or("is empty")?;
    let stdin = match spec.stdin {
        false => Stdio::null(),
        true => {
            let path = spool.file("stdin");
            let file = File::open(&path).map_err(|error| format!("has no standard input: {error}"))?;
            files::remove(&path).map_err(|error| format!("has a standard input that stays on disk: {error}"))?;
            Stdio::from(file)
        }
    };
    if !spec.cwd.is_dir() {
        return Err(format!("can not run in {}: no such directory", spec.cwd.display()));
    }
    let (stdout, stdout_end) = pipe().map_err(|error| format!("has no output pipe: {error}"))?;
    let (stderr, stderr_end) = pipe().map_err(|error| format!("has no output pipe: {error}"))?;
    // Ansible's files come out with 0644 as well, whatever umask the service manager gave.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let mut command = match &spec.user {
        None => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        Some(user) => {
            let mut command = Command::new("/proc/self/exe");
            command.arg0("kfleet-agent").arg("exec-as").arg(user).arg(spool.file("exec-error")).args(&spec.argv);
            command
        }
    };
    command.env_clear().envs(&spec.env).current_dir(&spec.cwd).process_group(0);
    command.stdin(stdin).stdout(stdout_end).stderr(stderr_end);
    let child = command.spawn().map_err(|error| start_error(&error))?;
    Ok(Running { child, stdout, stderr })
}

/// Why a program could not be started, for people.
fn start_error(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        "was not found on this host".to_owned()
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "may not be executed by this user".to_owned()
    } else {
        format!("could not be started: {error}")
    }
}

fn pipe() -> io::Result<(PipeReader, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // A smaller pipe is slower and no error.
    fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).ok();
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((reader, writer))
}

/// How far the ending of a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It was not asked to end.
    No,
    /// SIGTERM was sent.
    Asked(Stopped, Instant),
    /// SIGKILL was sent.
    Killed(Stopped, Instant),
}

/// The loop over a running command.
struct Watch {
    child: Child,
    session: i32,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    output: Output,
    signals: SignalFd,
    wake: Option<File>,
    deadline: Instant,
    grace: Duration,
    ending: Ending,
    /// The command's status, and when it was seen.
    over: Option<(i32, Instant)>,
    buffer: Vec<u8>,
    last_piece: Option<(Instant, usize)>,
    /// The last look into the pipes found nothing.
    quiet: bool,
}

impl Watch {
    fn new(
        child: Child,
        stdout: PipeReader,
        stderr: PipeReader,
        output: Output,
        spec: &Spec,
    ) -> Result<Self, StateError> {
        // The command was started before this, so it does not inherit the mask.
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(io::Error::from).map_err(StateError::io("watch signals for", "the command"))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        let signals = signals.map_err(io::Error::from).map_err(StateError::io("watch signals for", "the command"))?;
        Ok(Self {
            child,
            session: std::process::id().cast_signed(),
            stdout: Some(stdout),
            stderr: Some(stderr),
            output,
            signals,
            wake: wake_pipe(),
            deadline: Instant::now() + Duration::from_millis(spec.deadline_ms),
            grace: Duration::from_millis(spec.grace_ms),
            ending: Ending::No,
            over: None,
            buffer: vec![0; crate::journal::spool::MAX_PIECE],
            last_piece: None,
            quiet: false,
        })
    }

    fn run(mut self, spool: &SpoolDir, started: &Started) -> Result<Exit, StateError> {
        let path = spool.file("events");
        self.reap(&path)?;
        loop {
            self.gather(&path)?;
            self.wait(PollFlags::POLLIN, self.until()).map_err(StateError::io("wait for the command of", &path))?;
            let asked = self.read_signals().map_err(StateError::io("read signals for", &path))?;
            self.reap(&path)?;
            self.read_output().map_err(StateError::io("read the output for", &path))?;
            self.end_if_due(asked);
            let gave_up = matches!(self.ending, Ending::Killed(_, at) if at.elapsed() > KILLED_LIMIT);
            if let Some((rc, _)) = self.over.filter(|(_, at)| self.is_drained(*at))
                && (gave_up || !self.is_ending())
            {
                return self.finish(spool, started, Some(rc), None);
            }
            if gave_up {
                let why =
                    "did not end though it was killed: it hangs in the kernel, look at the host's disks and mounts";
                return self.finish(spool, started, None, Some(why.to_owned()));
            }
        }
    }

    fn finish(
        self,
        spool: &SpoolDir,
        started: &Started,
        rc: Option<i32>,
        error: Option<String>,
    ) -> Result<Exit, StateError> {
        let dropped = self.output.finish(durability())?;
        let stopped = match self.ending {
            Ending::No => None,
            Ending::Asked(why, _) | Ending::Killed(why, _) => Some(why),
        };
        let exec_error = spool.file("exec-error");
        let switch = files::read_optional(&exec_error)?.filter(|text| !text.is_empty());
        files::remove(&exec_error).map_err(StateError::io("remove", &exec_error))?;
        let exit = match switch {
            Some(why) => started.exit(None, Some(String::from_utf8_lossy(&why).into_owned()), stopped, dropped),
            None => started.exit(rc, error, stopped, dropped),
        };
        Ok(exit)
    }

    /// After a small piece, lets more come together; a closed pipe or a signal ends the wait at once.
    fn gather(&mut self, path: &Path) -> Result<(), StateError> {
        let Some((at, size)) = self.last_piece else { return Ok(()) };
        let left = GATHER.saturating_sub(at.elapsed());
        if size < SMALL_PIECE && !left.is_zero() && self.over.is_none() {
            self.wait(PollFlags::empty(), left).map_err(StateError::io("wait for the command of", path))?;
        }
        Ok(())
    }

    /// How long there is nothing to do if nothing happens.
    fn until(&self) -> Duration {
        let now = Instant::now();
        let ending = match self.ending {
            Ending::No => self.deadline.saturating_duration_since(now),
            Ending::Asked(_, at) => (at + self.grace).saturating_duration_since(now),
            Ending::Killed(_, at) => (at + KILLED_LIMIT).saturating_duration_since(now),
        };
        let drained = self.over.map(|(_, at)| match self.ending {
            Ending::No => (at + LEFT_BEHIND).saturating_duration_since(now),
            Ending::Asked(..) | Ending::Killed(..) => LOOK,
        });
        // One millisecond more than due, or the rounding down would spin for the last one.
        drained.map_or(ending, |left| left.min(ending)) + Duration::from_millis(1)
    }

    fn wait(&mut self, output: PollFlags, time: Duration) -> io::Result<()> {
        let streams = [&self.stdout, &self.stderr];
        let mut fds: Vec<PollFd<'_>> =
            streams.into_iter().flatten().map(|stream| PollFd::new(stream.as_fd(), output)).collect();
        fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        let time = time.min(Duration::from_secs(3600));
        match poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether SIGTERM came.
    fn read_signals(&mut self) -> io::Result<bool> {
        let mut asked = false;
        while let Some(signal) = self.signals.read_signal()? {
            asked |= signal.ssi_signo == Signal::SIGTERM as u32;
        }
        Ok(asked)
    }

    fn reap(&mut self, path: &Path) -> Result<(), StateError> {
        if self.over.is_none() {
            let status = self.child.try_wait().map_err(StateError::io("wait for the command of", path))?;
            self.over = status.map(|status| {
                let rc = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
                (rc.unwrap_or(-1), Instant::now())
            });
        }
        Ok(())
    }

    fn read_output(&mut self) -> io::Result<()> {
        use kfleet_model::OutputStream::{Stderr, Stdout};
        let mut news = false;
        for (stream, name) in [(&mut self.stdout, Stdout), (&mut self.stderr, Stderr)] {
            let Some(reader) = stream else { continue };
            match reader.read(&mut self.buffer) {
                Ok(0) => *stream = None,
                Ok(n) => {
                    self.output.push(name, &self.buffer[..n]);
                    self.last_piece = Some((Instant::now(), n));
                    news = true;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        self.quiet = !news;
        if news && let Some(wake) = &mut self.wake {
            // A full pipe means that the agent has not yet looked; a closed one that it is gone.
            match wake.write(&[1]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.wake = None,
            }
        }
        Ok(())
    }

    /// All that the command itself wrote has been read. Nobody waits for ever for what it left behind, be that silent or not.
    fn is_drained(&self, over: Instant) -> bool {
        let closed = self.stdout.is_none() && self.stderr.is_none();
        closed || (self.quiet && over.elapsed() > LEFT_BEHIND) || over.elapsed() > 20 * LEFT_BEHIND
    }

    /// The command was asked to end, and something that it started has not followed it yet.
    fn is_ending(&self) -> bool {
        self.ending != Ending::No && processes::has_members(self.session)
    }

    fn end_if_due(&mut self, asked: bool) {
        let now = Instant::now();
        if self.over.is_some() && self.ending == Ending::No {
            return;
        }
        self.ending = match self.ending {
            Ending::No if asked => self.signal(Signal::SIGTERM, Ending::Asked(Stopped::Cancelled, now)),
            Ending::No if now >= self.deadline => self.signal(Signal::SIGTERM, Ending::Asked(Stopped::Deadline, now)),
            Ending::Asked(why, at) if now >= at + self.grace => self.signal(Signal::SIGKILL, Ending::Killed(why, now)),
            same @ (Ending::No | Ending::Asked(..) | Ending::Killed(..)) => same,
        };
    }

    fn signal(&self, signal: Signal, next: Ending) -> Ending {
        // Once the command itself was reaped, its number may be another's.
        let group = self.over.is_none().then(|| self.child.id().cast_signed());
        processes::signal_session(self.session, group, signal);
        next
    }
}

/// The pipe into which a byte is written for each piece of news.
fn wake_pipe() -> Option<File> {
    let wake = io::stdout().as_fd().try_clone_to_owned().ok()?;
    fcntl(&wake, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    Some(File::from(wake))
}
