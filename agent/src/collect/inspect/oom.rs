//! The programs that the kernel ended for want of memory.

use super::scene::Scene;
use super::sink::{Gap, Sink, Told};
use super::system::booted;
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::Datum;

pub(super) const KEYS: &[&str] = &["os.oom_victims"];

/// How far back a host is looked at that was never inspected.
const FIRST: SignedDuration = SignedDuration::from_hours(24);

/// The most lines of the kernel's log that are read: a flood of them is a finding of its own.
const LINES: &str = "20000";

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let since = scene.params.since.unwrap_or_else(|| scene.now().saturating_sub(FIRST).unwrap_or(scene.now()));
    // The kernel has counted since it was booted; where it counted nothing, its log has nothing to say.
    if booted(scene).is_ok_and(|booted| booted < since) && kills(scene) == Some(0) {
        sink.tell("os.oom_victims", "/proc/vmstat", Ok(Datum::List(Vec::new())));
        return Ok(());
    }
    sink.tell("os.oom_victims", "journalctl -k", from_journal(scene, since));
    Ok(())
}

fn kills(scene: &Scene<'_>) -> Option<u64> {
    let vmstat = scene.text("/proc/vmstat").ok().flatten()?;
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn from_journal(scene: &Scene<'_>, since: Timestamp) -> Told {
    let since = format!("@{}", since.as_second());
    let argv = ["journalctl", "-k", "-q", "--no-pager", "-o", "cat", "-n", LINES, "--since", since.as_str()];
    let text = scene.answer(&argv)?.ok_or_else(|| Gap::unreadable("journalctl can not tell the kernel's log"))?;
    Ok(Datum::List(text.lines().filter_map(victim).collect()))
}

/// The name of the program: `Out of memory: Killed process 4711 (java) total-vm:...`, of a control group
/// `Memory cgroup out of memory: Killed process 4711 (java) ...`; kernels before 5.0 end the sentence after the name and
/// say `Kill process` first, which is not counted a second time.
fn victim(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Killed process ")?;
    let (pid, rest) = rest.split_once(" (")?;
    pid.chars().all(|c| c.is_ascii_digit()).then_some(())?;
    Some(rest.split_once(')')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_are_named_once_in_every_form() {
        for (line, wanted) in [
            // Linux 5.x and 6.x.
            (
                "Out of memory: Killed process 4711 (java) total-vm:9437184kB, anon-rss:4194304kB, UID:1001 oom_score_adj:0",
                Some("java"),
            ),
            ("Memory cgroup out of memory: Killed process 12 (stress ng) total-vm:1kB", Some("stress ng")),
            // Linux 4.x writes two lines.
            ("Out of memory: Kill process 4711 (java) score 900 or sacrifice child", None),
            ("Killed process 4711 (java) total-vm:9437184kB, anon-rss:4194304kB", Some("java")),
            ("oom_reaper: reaped process 4711 (java), now anon-rss:0kB", None),
        ] {
            assert_eq!(victim(line).as_deref(), wanted, "{line}");
        }
    }
}
