//! The lab tested as a user has it: two hosts are booted, parted, healed, cut, killed, started, and taken down.
//!
//! It needs root, systemd-nspawn and a Debian mirror (or a filled cache); where they are missing it says so and is skipped:
//! hosts that are plain processes have neither a cable nor a boot, and are tried by the scenarios.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says why it is skipped")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kfleet_tests::lab::{CannotHost, Hosting, Lab, Progress, Subnet, Topology, UpOptions};

const NAME: &str = "kfleet-lab-test";

fn options() -> UpOptions {
    let topology = Topology::bare(Subnet::for_name(NAME), &["left", "right"]).unwrap();
    UpOptions { name: NAME.to_owned(), topology, services: false, agent: None, processes: false }
}

/// Brings the lab up, or explains why this machine can not and gives nothing.
async fn up() -> Option<Lab> {
    match Lab::up(&options(), &Progress::terminal()).await {
        Ok(lab) if lab.topology().hosting() == Hosting::Processes => {
            eprintln!("SKIPPED: containers can not boot here, and this test needs hosts of its own");
            Lab::down(NAME, &Progress::terminal()).await.unwrap();
            None
        }
        Ok(lab) => Some(lab),
        Err(error) if error.is::<CannotHost>() => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("the lab did not come up: {error:#}"),
    }
}

async fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
    let address = lab.topology().address(to).unwrap().to_string();
    lab.host(from).unwrap().exec(&["ping", "-c", "1", "-W", "1", &address]).await.unwrap().status.success()
}

/// For after a fault: a neighbour that was asked for in vain stays unreachable until the kernel asks again.
async fn reaches_again(lab: &Lab, from: &str, to: &str) -> bool {
    for _try in 0..10 {
        if reaches(lab, from, to).await {
            return true;
        }
    }
    false
}

/// A host that can be reached refuses a port that nobody listens on; one that can not be reached says nothing.
async fn controller_reaches(lab: &Lab, to: &str) -> bool {
    let script = format!("timeout 2 bash -c '> /dev/tcp/{to}/9'");
    let tried = lab.controller_command("sh").unwrap().args(["-c", &script]).output().await.unwrap();
    String::from_utf8_lossy(&tried.stderr).contains("Connection refused")
}

/// Everything on this machine that carries the lab's name: what `down` must leave none of.
fn traces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(NAME)).map(|line| format!("mount {line}")));
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() == NAME {
                found.insert(format!("cgroup {}", entry.path().display()));
            }
            // Old hierarchies stand one level below; a lab's folder stands at the root of each.
            if entry.path().parent() == Some(Path::new("/sys/fs/cgroup")) && entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    for path in [format!("/run/netns/{NAME}"), format!("/var/lib/kfleet-lab/{NAME}")] {
        found.extend(Path::new(&path).exists().then(|| format!("file {path}")));
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status.lines().any(|line| line.starts_with("State:") && line.contains('Z')) {
            continue; // It has ended; the machine's init takes note of that when it likes.
        }
        if words.lines().any(|line| line.contains(&format!("/{NAME}/"))) {
            found.insert(format!("process {}", entry.file_name().display()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_boot_fail_as_told_come_back_and_leave_nothing_behind() {
    // What a run that was killed has left; its lab is no use for this one.
    Lab::down(NAME, &Progress::silent()).await.unwrap();
    let Some(lab) = up().await else { return };
    assert!(traces().len() > 4, "the search for traces finds a lab that is up");
    let tried = tokio::spawn(async move {
        commands_run_on_hosts_and_as_the_controller(&lab).await;
        a_second_up_changes_nothing(&lab).await;
        faults_on_the_wire_part_and_heal(&lab).await;
        a_killed_host_is_off_and_its_disk_stays(&lab).await;
    })
    .await;
    assert!(Lab::down(NAME, &Progress::silent()).await.unwrap());
    tried.unwrap();
    assert_eq!(traces(), BTreeSet::new());
    assert!(!Lab::down(NAME, &Progress::silent()).await.unwrap(), "a second down finds nothing to do");
}

async fn commands_run_on_hosts_and_as_the_controller(lab: &Lab) {
    let left = lab.host("left").unwrap();
    let said = left.exec(&["sh", "-c", "hostname; cat /etc/machine-id; echo lost >&2; exit 7"]).await.unwrap();
    assert_eq!(said.status.code(), Some(7));
    assert!(said.stdout.starts_with("left\n"), "{said:?}");
    assert_eq!(said.stderr, "lost\n");
    let other = lab.host("right").unwrap().exec(&["cat", "/etc/machine-id"]).await.unwrap();
    assert!(!said.stdout.contains(other.stdout.trim()), "each host has a machine id of its own");

    assert!(controller_reaches(lab, "left").await, "the controller knows hosts by name");
    let out = lab.controller_command("bash").unwrap().args(["-c", "> /dev/tcp/192.0.2.1/9"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("Network is unreachable"), "nothing leaves the lab: {out:?}");

    let slow = left.run(&["sleep", "1000"], Duration::from_millis(500)).await.unwrap_err();
    assert!(format!("{slow:#}").contains("did not end within"), "{slow:#}");
    let wait = "for try in $(seq 50); do pgrep --full 'sleep 1000$' || exit 0; sleep 0.1; done; exit 1";
    let gone = left.exec(&["sh", "-c", wait]).await.unwrap();
    assert!(gone.status.success(), "a command that took too long is ended on the host too: {gone:?}");
}

async fn a_second_up_changes_nothing(lab: &Lab) {
    let uptime = async || lab.host("left").unwrap().exec(&["stat", "-c", "%Y", "/proc/1"]).await.unwrap().stdout;
    let before = uptime().await;
    let record = lab.layout().dir().join("state.json");
    let stored = fs::read_to_string(&record).unwrap();
    up().await.unwrap();
    assert_eq!(uptime().await, before, "the host was not booted again");
    assert_eq!(fs::read_to_string(record).unwrap(), stored);

    let left = lab.host("left").unwrap();
    fs::remove_file(left.path("/etc/chrony/chrony.conf").unwrap()).unwrap();
    up().await.unwrap();
    assert!(left.path("/etc/chrony/chrony.conf").unwrap().exists(), "what is missing is repaired");
}

async fn faults_on_the_wire_part_and_heal(lab: &Lab) {
    assert!(reaches(lab, "left", "right").await);
    lab.partition("left", "right").await.unwrap();
    lab.partition("right", "left").await.unwrap();
    assert!(!reaches(lab, "left", "right").await);
    assert!(!reaches(lab, "right", "left").await);
    assert!(controller_reaches(lab, "left").await, "only the two are parted");
    assert_eq!(lab.status().await.unwrap().partitions.len(), 1, "a partition has no direction");
    lab.heal().await.unwrap();
    assert!(reaches(lab, "left", "right").await);

    lab.partition("controller", "right").await.unwrap();
    assert!(!controller_reaches(lab, "right").await);
    assert!(reaches(lab, "left", "right").await, "hosts still reach each other");
    lab.heal().await.unwrap();
    assert!(controller_reaches(lab, "right").await);

    let right = lab.host("right").unwrap();
    right.cut().await.unwrap();
    assert!(!reaches(lab, "left", "right").await && !controller_reaches(lab, "right").await);
    right.uncut().await.unwrap();
    assert!(reaches_again(lab, "left", "right").await);
}

async fn a_killed_host_is_off_and_its_disk_stays(lab: &Lab) {
    let right = lab.host("right").unwrap();
    right.exec(&["sh", "-c", "echo kept > /root/mark"]).await.unwrap();
    right.kill().await.unwrap();
    right.kill().await.unwrap();
    assert!(!right.is_on());
    let error = right.exec(&["true"]).await.unwrap_err();
    assert!(error.to_string().contains("host right is off"), "{error:#}");
    assert!(right.start().await.unwrap());
    assert!(!right.start().await.unwrap(), "a host that is on is not started again");
    assert_eq!(right.exec(&["cat", "/root/mark"]).await.unwrap().stdout, "kept\n");
    assert!(reaches_again(lab, "left", "right").await);
}
