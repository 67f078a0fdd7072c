//! Runs short helper programs: a clean environment, a cap on output, a deadline, and the whole process group ended
//! when the time is over or the op is stopped.
//!
//! Not here: commands of the operator (`command`, `shell`); those run under the shim and outlive the agent.

use super::{CommandEnd, HostError, OpContext};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What the agent and its children look for programs in: the system's folders and no others, whatever the service
/// manager or an operator's shell had in `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often a running helper is compared with the op's deadline and its cancellation.
const TICK: Duration = Duration::from_millis(50);

/// How long a helper may take to end after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long output is still read after the helper itself ended: a child that it left behind may hold the pipe open
/// for ever.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

/// What is kept of each stream of a helper.
pub(super) const OUTPUT_CAP: usize = 8 * 1024 * 1024;

/// One stream of a helper, capped.
#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    lost: bool,
}

impl Captured {
    fn take(&mut self, chunk: &[u8]) {
        let room = OUTPUT_CAP - self.bytes.len();
        self.lost |= chunk.len() > room;
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

/// How a helper ended, and whether its output was cut at the cap.
pub(super) struct Ended {
    pub(super) end: CommandEnd,
    pub(super) cut: bool,
}

/// Runs a helper to its end.
///
/// # Errors
/// When it can not be started, does not end in `limit`, or the op is stopped; in the last two cases its whole
/// process group has been ended.
pub(super) fn run(
    argv: &[&str],
    env: &[(&str, &str)],
    input: &[u8],
    limit: Duration,
    context: &dyn OpContext,
) -> Result<Ended, HostError> {
    let failed = |why: String| HostError::Command {
        argv: argv.iter().map(|&a| a.to_owned()).collect(),
        why,
        stderr: String::new(),
    };
    let (program, arguments) = argv.split_first().ok_or_else(|| failed("is empty".to_owned()))?;
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/root")
        .envs(env.iter().copied())
        .current_dir("/")
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                failed("was not found on this host".to_owned())
            } else {
                failed(format!("could not be started: {error}"))
            }
        })?;
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input)
    {
        // It fits into the pipe's buffer, so this does not wait; a helper that does not read it says why itself.
        tracing::debug!(%error, "a helper did not take its input");
    }
    match follow(&mut child, begun, limit, context) {
        Ok((status, stdout, stderr)) => Ok(Ended {
            cut: stdout.lost || stderr.lost,
            end: CommandEnd {
                rc: status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(-1),
                stdout: stdout.bytes,
                stderr: stderr.bytes,
                elapsed: begun.elapsed(),
            },
        }),
        Err(Broken::Late) => {
            end_group(&mut child);
            Err(failed(format!("did not end within {} s and was ended", limit.as_secs())))
        }
        Err(Broken::Stopped) => {
            end_group(&mut child);
            Err(HostError::Stopped(format!("command {}", argv.join(" "))))
        }
        Err(Broken::Io(error)) => {
            end_group(&mut child);
            Err(failed(format!("could not be followed: {error}")))
        }
    }
}

/// Why a helper is not followed to its end.
enum Broken {
    Late,
    Stopped,
    Io(std::io::Error),
}

/// Reads both streams until they end and the helper with them.
fn follow(
    child: &mut Child,
    begun: Instant,
    limit: Duration,
    context: &dyn OpContext,
) -> Result<(ExitStatus, Captured, Captured), Broken> {
    let mut out = child.stdout.take();
    let mut err = child.stderr.take();
    let (mut stdout, mut stderr) = (Captured::default(), Captured::default());
    let mut over: Option<(ExitStatus, Instant)> = None;
    loop {
        let ready = wait_readable(out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)).map_err(Broken::Io)?;
        if ready.0 {
            read_some(&mut out, &mut stdout).map_err(Broken::Io)?;
        }
        if ready.1 {
            read_some(&mut err, &mut stderr).map_err(Broken::Io)?;
        }
        if over.is_none() && (!(ready.0 || ready.1) || (out.is_none() && err.is_none())) {
            over = child.try_wait().map_err(Broken::Io)?.map(|status| (status, Instant::now()));
        }
        if let Some((status, at)) = over
            && ((out.is_none() && err.is_none()) || at.elapsed() > LEFT_BEHIND)
        {
            return Ok((status, stdout, stderr));
        }
        if over.is_none() && out.is_none() && err.is_none() {
            nap(Duration::from_millis(1));
        }
        if context.stopping() {
            return Err(Broken::Stopped);
        }
        if begun.elapsed() > limit {
            return Err(Broken::Late);
        }
    }
}

/// Waits at most a tick for output; which of the two has some (or has ended).
fn wait_readable(
    out: Option<std::os::fd::BorrowedFd<'_>>,
    err: Option<std::os::fd::BorrowedFd<'_>>,
) -> std::io::Result<(bool, bool)> {
    let mut fds: Vec<PollFd<'_>> =
        [out, err].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    if fds.is_empty() {
        return Ok((false, false));
    }
    let tick = PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO);
    match poll(&mut fds, tick) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
    let first = out.is_some() && ready.next().unwrap_or(false);
    let second = err.is_some() && ready.next().unwrap_or(false);
    Ok((first, second))
}

fn read_some<R: Read>(stream: &mut Option<R>, into: &mut Captured) -> std::io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    let Some(reader) = stream else { return Ok(()) };
    match reader.read(&mut buffer) {
        Ok(0) => *stream = None,
        Ok(n) => into.take(&buffer[..n]),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Ends the helper and all that it started: SIGTERM, a grace, SIGKILL. It is reaped before this returns.
fn end_group(child: &mut Child) {
    let Ok(pid) = i32::try_from(child.id()) else { return };
    let group = Pid::from_raw(pid);
    let told = killpg(group, Signal::SIGTERM);
    let since = Instant::now();
    while told.is_ok() && since.elapsed() < GRACE {
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        nap(TICK);
    }
    if let Err(errno) = killpg(group, Signal::SIGKILL)
        && errno != nix::errno::Errno::ESRCH
    {
        tracing::warn!(pid, %errno, "a helper could not be killed");
    }
    if let Err(error) = child.wait() {
        tracing::warn!(pid, %error, "a helper could not be reaped");
    }
}

#[expect(clippy::disallowed_methods, reason = "modules run on blocking threads of their own")]
fn nap(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::super::real::tests::TestContext;
    use super::*;

    fn sh(script: &str, limit: Duration, context: &TestContext) -> Result<Ended, HostError> {
        run(&["sh", "-c", script], &[("EXTRA", "x")], b"", limit, context)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn output_status_and_environment_are_those_of_the_helper_alone() {
        let context = TestContext::new();
        let ended = sh("echo out; echo err >&2; env | sort; exit 7", LONG, &context).unwrap().end;
        assert_eq!(ended.rc, 7);
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "err\n");
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let names: Vec<&str> = text.lines().filter_map(|l| l.split_once('=')).map(|(name, _)| name).collect();
        assert_eq!(names, ["EXTRA", "HOME", "LC_ALL", "PATH", "PWD"], "{text}");
    }

    #[test]
    fn a_signal_is_shown_as_128_and_its_number() {
        assert_eq!(sh("kill -9 $$", LONG, &TestContext::new()).unwrap().end.rc, 137);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&["no-such-program-here"], &[], b"", LONG, &TestContext::new()).err().unwrap();
        assert_eq!(error.to_string(), "command [\"no-such-program-here\"] was not found on this host");
    }

    #[test]
    fn a_helper_that_is_late_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 6; touch {}) & sleep 30", mark.display());
        let begun = Instant::now();
        let error = sh(&script, Duration::from_millis(300), &TestContext::new()).err().unwrap();
        assert!(error.to_string().contains("did not end within"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(25));
        nap(Duration::from_millis(7000));
        assert!(!mark.exists(), "a child of the helper went on");
    }

    #[test]
    fn a_stopped_op_ends_its_helper() {
        let context = TestContext::new();
        context.stop();
        assert!(matches!(sh("sleep 30", LONG, &context), Err(HostError::Stopped(_))));
    }

    #[test]
    fn a_child_left_behind_with_the_pipe_open_does_not_hold_the_helper() {
        let begun = Instant::now();
        let ended = sh("sleep 20 & echo done", LONG, &TestContext::new()).unwrap().end;
        assert_eq!(ended.stdout, b"done\n");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_helper_reads_its_input_to_the_end() {
        let ended = run(&["cat"], &[], b"secret", LONG, &TestContext::new()).unwrap().end;
        assert_eq!(ended.stdout, b"secret");
    }

    #[test]
    fn output_over_the_cap_is_cut_and_said_so() {
        let ended = sh("head -c 9000000 /dev/zero", LONG, &TestContext::new()).unwrap();
        assert!(ended.cut);
        assert_eq!(ended.end.stdout.len(), OUTPUT_CAP);
    }
}
