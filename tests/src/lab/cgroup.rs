//! A cgroup folder for each host: without one, all hosts would share `/payload` and their systemds would fight over it.
//!
//! It works with the old hierarchies, the unified one, and both side by side. The folders also tell, after a crash,
//! which processes are the lab's: `down` ends what is listed in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::process::{signal, until};

/// The old hierarchies worth a folder: systemd's own, and the resources whose use is asked for by host.
const OLD_HIERARCHIES: [&str; 4] = ["name=systemd", "memory", "cpu", "pids"];

/// How long killed processes may take to vanish: the kernel first returns the memory of their JVMs.
const VANISH_LIMIT: Duration = Duration::from_secs(15);

/// The lab's folder in each mounted hierarchy that matters, whether made or not.
pub(super) fn folders(lab: &str) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("failed to read /proc/self/mounts")?;
    let roots = hierarchies(&mounts);
    ensure!(
        roots.iter().any(|root| root.tracks_services),
        "no cgroup hierarchy that systemd could use is mounted under /sys/fs/cgroup"
    );
    Ok(roots.into_iter().map(|root| root.path.join(lab)).collect())
}

/// Finds out whether folders can be made there at all, and leaves none.
pub(super) fn probe(folders: &[PathBuf]) -> Result<()> {
    for folder in folders {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        fs::remove_dir(folder).with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    path: PathBuf,
    /// Whether systemd can keep its services in it.
    tracks_services: bool,
}

fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(path), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let has = |wanted: &str| options.split(',').any(|option| option == wanted);
        let unified = kind == "cgroup2";
        let old = kind == "cgroup" && OLD_HIERARCHIES.iter().any(|name| has(name));
        // A bind mount of a hierarchy elsewhere (a container's, say) is not ours to use.
        if (unified || old)
            && path.starts_with("/sys/fs/cgroup")
            && found.iter().all(|known| known.path != Path::new(path))
        {
            found.push(Hierarchy { path: path.into(), tracks_services: unified || has("name=systemd") });
        }
    }
    found
}

/// Makes a host's folder under each of the lab's.
pub(super) fn make(lab_folders: &[PathBuf], host: &str) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for folder in lab_folders {
        let folder = folder.join(host);
        fs::create_dir_all(&folder).with_context(|| format!("failed to make cgroup {}", folder.display()))?;
        made.push(folder);
    }
    Ok(made)
}

/// Ends every process in these folders and all below, and waits until none is left.
pub(super) async fn kill_all(folders: &[PathBuf]) -> Result<()> {
    let gone = until(VANISH_LIMIT, || {
        let pids = processes(folders);
        for pid in &pids {
            // A pid that can not be signalled stays listed, and the wait fails below with its number.
            signal(*pid, Signal::SIGKILL).ok();
        }
        pids.is_empty()
    })
    .await;
    ensure!(gone, "processes {:?} of the lab can not be ended", processes(folders));
    Ok(())
}

/// The processes that belong to these folders or to any below them.
pub(super) fn processes(folders: &[PathBuf]) -> Vec<i32> {
    let mut pids = Vec::new();
    for folder in folders {
        for folder in tree(folder) {
            let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            pids.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Removes these folders and all below them; those that are gone already are fine.
pub(super) async fn remove(folders: &[PathBuf]) -> Result<()> {
    for folder in folders {
        // The kernel counts a dead process as present until its memory is returned, so the first try can be too early.
        let gone = until(VANISH_LIMIT, || {
            for folder in tree(folder).iter().rev() {
                fs::remove_dir(folder).ok();
            }
            !folder.exists()
        })
        .await;
        ensure!(
            gone,
            "cgroup {} can not be removed; processes in it: {:?}",
            folder.display(),
            processes(std::slice::from_ref(folder))
        );
    }
    Ok(())
}

/// A folder and all folders below it, parents first.
fn tree(root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut open = if root.is_dir() { vec![root.to_owned()] } else { Vec::new() };
    while let Some(folder) = open.pop() {
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
        all.push(folder);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(mounts: &str) -> Vec<String> {
        hierarchies(mounts).into_iter().map(|found| found.path.display().to_string()).collect()
    }

    #[test]
    fn old_and_unified_hierarchies_are_found_side_by_side() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0\n\
            cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /var/x/cpu cgroup rw,cpu 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(paths(mounts), ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]);
    }

    #[test]
    fn a_unified_machine_has_one() {
        let found = hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n");
        assert_eq!(found, [Hierarchy { path: "/sys/fs/cgroup".into(), tracks_services: true }]);
    }

    #[test]
    fn joined_controllers_are_one_hierarchy() {
        assert_eq!(
            paths("cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"),
            ["/sys/fs/cgroup/cpu,cpuacct"]
        );
    }

    #[test]
    fn parents_come_before_what_is_below_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        let names: Vec<_> =
            tree(folder.path()).iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, [Path::new(""), Path::new("a"), Path::new("a/b"), Path::new("a/b/c")]);
        assert!(tree(&folder.path().join("missing")).is_empty());
    }
}
