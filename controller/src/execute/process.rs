//! Whether the controller process that had a run still lives: pid and start time name one process for good.

use crate::history::RunRecord;

/// This process: its pid, and its start in clock ticks after the boot.
#[must_use]
pub fn this() -> (u32, u64) {
    let pid = std::process::id();
    (pid, started(pid).unwrap_or(0))
}

/// The run is being run by a process of this machine.
#[must_use]
pub fn lives(run: &RunRecord) -> bool {
    run.ended.is_none() && is(run.pid, run.pid_started)
}

/// The process of this id that began then still lives.
#[must_use]
pub fn is(pid: u32, pid_started: u64) -> bool {
    started(pid) == Some(pid_started)
}

/// Field 22 of /proc/PID/stat; the name in field 2 may hold blanks and parentheses, so it is counted from the last `)`.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_lives_and_has_a_start_time() {
        let (pid, ticks) = super::this();
        assert!(ticks > 0 && super::started(pid) == Some(ticks));
        assert_eq!(super::started(u32::MAX), None);
    }
}
