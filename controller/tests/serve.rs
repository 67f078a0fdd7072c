//! The program itself: `kfleet serve` as a service manager sees it, and `kfleet schedule` beside it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Longer than any step takes on a busy machine; a test that waits for this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn kfleet(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kfleet"));
    command.env("KFLEET_DIR", dir).env_remove("NOTIFY_SOCKET").env_remove("KFLEET_LOG").stdin(Stdio::null());
    command
}

fn fleet(schedules: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("kfleet.toml"), "fleet = \"prod\"\n").unwrap();
    std::fs::write(dir.path().join("schedule.yml"), schedules).unwrap();
    dir
}

/// Due on the next leap day only, so that no test meets it.
const QUIET: &str = "schedules:\n  - {name: nightly, cron: '0 2 29 2 *', zone: Asia/Shanghai}\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server that has said that it is ready.
struct Served {
    child: Child,
    socket: UnixDatagram,
}

impl Served {
    fn start(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = kfleet(dir).arg("serve").env("NOTIFY_SOCKET", &path).stderr(Stdio::piped()).spawn().unwrap();
        let served = Self { child, socket };
        served.hears("READY=1");
        served
    }

    fn hears(&self, wanted: &str) {
        let mut buffer = [0; 64];
        loop {
            let read = self.socket.recv(&mut buffer).unwrap();
            if &buffer[..read] == wanted.as_bytes() {
                return;
            }
        }
    }

    fn terminate(self) -> Output {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.hears("STOPPING=1");
        self.child.wait_with_output().unwrap()
    }
}

#[test]
fn the_server_tells_its_manager_holds_its_lock_and_ends_well_when_it_is_asked_to() {
    let dir = fleet(QUIET);
    let served = Served::start(dir.path());
    served.hears("WATCHDOG=1");
    let pid = served.child.id();
    for words in [&["serve"][..], &["schedule", "run", "--due"]] {
        let second = kfleet(dir.path()).args(words).output().unwrap();
        let why = text(&second.stderr);
        assert_eq!(second.status.code(), Some(5), "{words:?}: {why}");
        assert!(why.contains(&format!("is held by process {pid}")), "{why}");
    }
    let ended = served.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    // The lock went with its holder, and what the server registered is known to others.
    let due = kfleet(dir.path()).args(["schedule", "run", "--due"]).output().unwrap();
    assert_eq!((due.status.code(), text(&due.stdout)), (Some(0), String::new()), "{}", text(&due.stderr));
    let check = kfleet(dir.path()).args(["schedule", "check"]).output().unwrap();
    assert_eq!((check.status.code(), text(&check.stdout)), (Some(0), "nightly: ok, never run\n".to_owned()));
}

#[test]
fn a_run_by_hand_that_fails_is_recorded_and_the_check_tells_it() {
    let dir = fleet(QUIET);
    // There is no operator's certificate here, so the inspection can not begin.
    let ran = kfleet(dir.path()).args(["schedule", "run", "nightly", "--json"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{}", text(&ran.stderr));
    let line: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&line["schedule"], &line["outcome"]), (&"nightly".into(), &"failed".into()), "{line}");
    let check = kfleet(dir.path()).args(["schedule", "check"]).output().unwrap();
    assert_eq!(check.status.code(), Some(2));
    assert!(text(&check.stdout).contains(" was failed: "), "{}", text(&check.stdout));
    let list = kfleet(dir.path()).args(["schedule", "list", "--json"]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let next = list[0]["next"].as_array().unwrap();
    assert_eq!((next.len(), &list[0]["last"]["outcome"]), (3, &"failed".into()), "{list}");
    let local = next[0]["local"].as_str().unwrap();
    assert!(local.contains("-02-29 02:00:00 CST"), "{local}");
}

#[test]
fn the_example_of_the_page_is_right() {
    let page = include_str!("../../docs/schedules.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let dir = fleet(example);
    let list = kfleet(dir.path()).args(["schedule", "list"]).output().unwrap();
    assert_eq!(list.status.code(), Some(0), "{}", text(&list.stderr));
    // Three starts, between half past two and a quarter to three.
    let shown = text(&list.stdout);
    let starts: Vec<&str> = shown.lines().skip(1).collect();
    assert!(starts.len() == 3 && starts.iter().all(|line| line.contains(" 02:3") || line.contains(" 02:4")), "{shown}");
}

#[test]
fn a_wrong_file_and_an_unknown_name_are_bad_input() {
    let dir = fleet("schedules:\n  - {name: nightly, corn: '0 2 * * *', zone: Asia/Shanghai}\n");
    for words in [&["serve"][..], &["schedule", "check"], &["schedule", "run", "nightly"]] {
        let refused = kfleet(dir.path()).args(words).output().unwrap();
        let why = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{words:?}: {why}");
        assert!(why.contains("schedule nightly: unknown key 'corn', did you mean 'cron'?"), "{why}");
    }
    std::fs::write(dir.path().join("schedule.yml"), QUIET).unwrap();
    let unknown = kfleet(dir.path()).args(["schedule", "run", "nightley"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(3));
    assert!(text(&unknown.stderr).contains("did you mean 'nightly'?"), "{}", text(&unknown.stderr));
}
