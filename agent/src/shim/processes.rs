//! Processes by number and start time, and signals to a command with all that it started.

use crate::journal::spool::{Pids, ProcessId};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io;

/// Two fields of `/proc/PID/stat`.
struct Stat {
    session: i32,
    start: u64,
    zombie: bool,
}

fn stat(pid: i32) -> io::Result<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is odd: {text:?}")))
}

/// The name of the program stands in parentheses and may itself hold parentheses and spaces: fields are counted from the
/// last one on.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let session = fields.nth(2)?.parse().ok()?;
    let start = fields.nth(15)?.parse().ok()?;
    Some(Stat { session, start, zombie })
}

/// A running process with its start time.
///
/// # Errors
/// When there is none with this number.
pub fn process_id(pid: i32) -> io::Result<ProcessId> {
    Ok(ProcessId { pid, start: stat(pid)?.start })
}

/// Whether this very process runs.
#[must_use]
pub fn is_alive(process: ProcessId) -> bool {
    stat(process.pid).is_ok_and(|stat| stat.start == process.start && !stat.zombie)
}

/// Asks a shim to end its command; false when it is not there, or not yet ready for it.
#[must_use]
pub fn signal_shim(pids: &Pids) -> bool {
    pids.command.is_some() && is_alive(pids.shim) && kill(Pid::from_raw(pids.shim.pid), Signal::SIGTERM).is_ok()
}

/// Kills what is left of a command whose shim is gone.
pub fn signal_group(pids: &Pids) {
    if let Some(command) = pids.command.filter(|&command| is_alive(command)) {
        signal_session(pids.shim.pid, Some(command.pid), Signal::SIGKILL);
    }
}

/// Sends a signal to a command's group and to everything else in the shim's session but the shim: `timeout` and shells
/// with job control put their children into groups of their own.
pub(super) fn signal_session(session: i32, group: Option<i32>, signal: Signal) {
    if let Some(group) = group {
        // The group at once, so that none of its processes can start another in between. Gone already is what was wanted.
        killpg(Pid::from_raw(group), signal).ok();
    }
    for pid in members(session).filter(|&pid| Some(pid) != group) {
        // It may have gone since it was seen.
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// Whether anything but the shim runs in its session.
pub(super) fn has_members(session: i32) -> bool {
    members(session).next().is_some()
}

/// The processes of a session but its leader, the shim.
fn members(session: i32) -> impl Iterator<Item = i32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(move |&pid| pid != session)
        .filter(move |&pid| stat(pid).is_ok_and(|stat| stat.session == session && !stat.zombie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let rest = "S 1 42 77 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0";
        for name in ["sh", "a b", "x) S 1 (y", "((", ")"] {
            let stat = parse(&format!("42 ({name}) {rest}")).unwrap();
            assert_eq!((stat.session, stat.start, stat.zombie), (77, 123_456, false), "{name}");
        }
        assert!(parse("42 (x) Z 1 42 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5").unwrap().zombie);
        assert!(parse("garbage").is_none());
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_is_not() {
        let me = process_id(std::process::id().cast_signed()).unwrap();
        assert!(is_alive(me));
        assert!(!is_alive(ProcessId { start: me.start + 1, ..me }));
    }
}
