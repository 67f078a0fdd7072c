//! The shim by itself: what it writes, how it ends a command, what it costs.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a failure here is a failure of the test")]

use kfleet_agent::journal::spool::{self, Exit, Spec, SpoolDir, Stopped};
use kfleet_agent::shim::{is_alive, process_id};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Ran {
    exit: Exit,
    stdout: String,
    stderr: String,
    took: Duration,
    _dir: tempfile::TempDir,
}

fn spec(text: &str) -> Spec {
    Spec {
        argv: ["/bin/bash", "-c", text].map(str::to_owned).into(),
        cwd: PathBuf::from("/"),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        user: None,
        stdin: false,
        deadline_ms: 20_000,
        grace_ms: 300,
        half_cap_bytes: 32 * 1024 * 1024,
    }
}

fn run_with(spec: &Spec, stdin: Option<&[u8]>) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let spool = SpoolDir::at(dir.path().to_owned());
    std::fs::write(spool.file("events"), b"").unwrap();
    spool.prepare(spec, stdin).unwrap();
    let begun = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_kfleet-agent"))
        .arg("shim")
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    let collected = spool::collect(&spool, 100_000_000).unwrap();
    let text = |cut: spool::Cut| String::from_utf8(cut.into_bytes()).unwrap();
    let exit = spool.exit().unwrap().unwrap();
    Ran { exit, stdout: text(collected.stdout), stderr: text(collected.stderr), took, _dir: dir }
}

fn run(text: &str) -> Ran {
    run_with(&spec(text), None)
}

#[test]
fn output_status_and_signals_are_recorded() {
    let cases = [
        ("echo out; echo err >&2; exit 7", "out\n", "err\n", 7),
        ("printf 'no newline'", "no newline", "", 0),
        ("kill -9 $$", "", "", 137),
        ("echo begun; kill -TERM $$", "begun\n", "", 143),
        ("for n in 1 2 3; do echo $n; done; sleep 0.05; echo 4", "1\n2\n3\n4\n", "", 0),
        ("umask; pwd; env | grep -c .", "0022\n/\n4\n", "", 0),
    ];
    for (text, stdout, stderr, rc) in cases {
        let ran = run(text);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str(), ran.exit.rc), (stdout, stderr, Some(rc)), "{text}");
        assert_eq!((ran.exit.stopped, ran.exit.dropped_bytes), (None, 0), "{text}");
    }
    let asked = Spec { stdin: true, ..spec("tr a-z A-Z") };
    assert_eq!(run_with(&asked, Some(b"from stdin")).stdout, "FROM STDIN");
}

#[test]
fn what_can_not_be_started_says_why() {
    let missing = Spec { argv: vec!["no-such-program".into()], ..spec("") };
    let nowhere = Spec { cwd: "/no/such/folder".into(), ..spec("true") };
    let nobody = Spec { user: Some("no-such-user".into()), ..spec("true") };
    for (spec, wanted) in
        [(missing, "was not found on this host"), (nowhere, "no such directory"), (nobody, "there is no such user")]
    {
        let exit = run_with(&spec, None).exit;
        assert_eq!(exit.rc, None, "{exit:?}");
        assert!(exit.error.as_ref().unwrap().contains(wanted), "{exit:?}");
    }
}

#[test]
fn a_background_process_does_not_hold_the_command_and_may_stay() {
    let ran = run("sleep 20 & echo $!; echo done");
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
    let (pid, rest) = ran.stdout.split_once('\n').unwrap();
    assert_eq!(rest, "done\n");
    assert!(process_id(pid.parse().unwrap()).is_ok(), "what a command starts on purpose goes on");
}

#[test]
fn at_the_deadline_everything_ends_even_what_does_not_want_to() {
    let late = Spec {
        deadline_ms: 300,
        ..spec("(trap '' TERM; echo $BASHPID; sleep 0.01; while :; do sleep 0.05; done) & sleep 60")
    };
    let ran = run_with(&late, None);
    assert_eq!(ran.exit.stopped, Some(Stopped::Deadline));
    let pid: i32 = ran.stdout.trim().parse().unwrap();
    assert!(!process_id(pid).is_ok_and(is_alive), "a process that ignores SIGTERM is killed after the grace");
    assert!(ran.took > Duration::from_millis(550) && ran.took < Duration::from_secs(50), "{:?}", ran.took);
}

#[test]
fn much_output_passes_whole() {
    let ran = run("head -c 10000000 /dev/zero | tr '\\0' x");
    assert_eq!(ran.stdout.len(), 10_000_000);
    assert!(ran.stdout.bytes().all(|b| b == b'x'));
    eprintln!("10 MB: {:?}", ran.took);
}

#[test]
fn a_command_costs_little_more_than_its_process() {
    let mut times: Vec<Duration> =
        (0..20).map(|_| run_with(&Spec { argv: vec!["true".into()], ..spec("") }, None).took).collect();
    times.sort_unstable();
    eprintln!("a shim with /bin/true: median {:?}, best {:?}", times[10], times[0]);
    assert!(times[0] < Duration::from_millis(200), "{times:?}");
}

#[test]
fn a_folder_without_a_spec_starts_nothing() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let status = Command::new(env!("CARGO_BIN_EXE_kfleet-agent")).arg("shim").arg(dir.path()).status()?;
    assert!(status.success());
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
    Ok(())
}
