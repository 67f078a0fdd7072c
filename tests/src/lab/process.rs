//! Processes that the lab owns, known by pid *and* start time, so that a reused pid is never mistaken for ours.
//!
//! It reads `/proc` and sends signals; it starts nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a wait for a process looks again.
const POLL: Duration = Duration::from_millis(20);

/// A process, told apart from a later one with the same pid by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    /// Clock ticks between the machine's boot and the start of the process (field 22 of `/proc/PID/stat`).
    pub(super) start_ticks: u64,
}

/// The fields of `/proc/PID/stat` that the lab uses.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    session: i32,
    start_ticks: u64,
}

impl Stat {
    /// A zombie has ended: its parent only has not asked yet.
    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

impl ProcessId {
    /// Reads the pid file that a host's start script writes: `PID START_TICKS`.
    pub(super) fn from_file(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (pid, start_ticks) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
    }

    /// Whether this very process still runs.
    pub(super) fn is_alive(self) -> bool {
        read_stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.runs())
    }

    /// Ends the process at once, as a power cut would. One that is gone already is fine.
    pub(super) fn kill(self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        signal(self.pid, Signal::SIGKILL)
    }

    /// Waits until the process is gone; `false` when it still runs after `limit`.
    pub(super) async fn wait_gone(self, limit: Duration) -> bool {
        until(limit, || !self.is_alive()).await
    }

    /// The child of this process that is PID 1 of a PID namespace: the init of a container, seen from outside.
    pub(super) fn container_leader(self) -> Option<i32> {
        if !self.is_alive() {
            return None;
        }
        let pid = self.pid;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child| {
            fs::read_to_string(format!("/proc/{child}/status")).is_ok_and(|status| is_namespace_init(&status))
        })
    }
}

/// The session of a process that runs.
pub(super) fn session_of(pid: i32) -> Option<i32> {
    read_stat(pid).filter(Stat::runs).map(|stat| stat.session)
}

/// Sends a signal to one pid; a pid that is gone is fine.
pub(super) fn signal(pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("failed to send {signal} to process {pid}")),
    }
}

/// Looks every few milliseconds whether something has come true; `false` when it has not within `limit`.
pub(super) async fn until(limit: Duration, mut come_true: impl FnMut() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if come_true() {
            return true;
        }
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn read_stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The command name stands in brackets and may itself hold brackets and spaces, so fields are counted after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat { state, session, start_ticks })
}

/// A process is the init of a namespace when its innermost pid is 1 and it has an outer one too.
fn is_namespace_init(status: &str) -> bool {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    pids.is_some_and(|pids| {
        let pids: Vec<&str> = pids.split_whitespace().collect();
        pids.len() > 1 && pids.last() == Some(&"1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_after_the_last_bracket_of_the_name() {
        let text = "42 (a) b (c) S 1 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200";
        assert_eq!(parse_stat(text), Some(Stat { state: 'S', session: 41, start_ticks: 987_654 }));
        for text in ["", "42 (sh)", "42 (sh) S 1 2"] {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_reused_pid_is_not_our_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_ticks = read_stat(pid).unwrap().start_ticks;
        assert!(ProcessId { pid, start_ticks }.is_alive());
        let reused = ProcessId { pid, start_ticks: start_ticks - 1 };
        assert!(!reused.is_alive());
        reused.kill().unwrap(); // Would end this test, were it to trust the pid alone.
    }

    #[test]
    fn the_init_of_a_container_is_known_by_its_inner_pid() {
        assert!(is_namespace_init("Name:\tsystemd\nNSpid:\t812\t1\n"));
        assert!(!is_namespace_init("Name:\tsystemd\nNSpid:\t1\n"), "the machine's own init");
        assert!(!is_namespace_init("Name:\tsh\nNSpid:\t812\t7\n"));
    }

    #[test]
    fn a_pid_file_needs_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        for (text, expected) in [("7 99\n", Some(ProcessId { pid: 7, start_ticks: 99 })), ("7\n", None), ("", None)] {
            fs::write(&file, text).unwrap();
            assert_eq!(ProcessId::from_file(&file), expected, "{text:?}");
        }
    }
}
