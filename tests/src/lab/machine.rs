//! One host: a systemd-nspawn container that boots Debian's systemd on an overlay of the base image.
//!
//! ```text
//!   off --boot--> starting --leader, systemd--> running --power_cut--> off
//! ```
//! Which of these a host is in is read from its processes, never stored. The host's mounts live in a mount namespace
//! that ends with its last process, so a host that died in any way leaves no mount behind.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::files::{Content, HostFile};
use super::network::{BRIDGE, drop_stale_link, enter_option};
use super::process::{ProcessId, until};
use super::state::Layout;
use super::tool::{Finished, Tool, tail};
use super::topology::HostSpec;
use super::{cgroup, network};

/// The start script runs before nspawn does: namespaces, cgroups, one mount. It takes milliseconds.
const SCRIPT_LIMIT: Duration = Duration::from_secs(10);

/// Six hosts boot within 2 s on an idle machine with two cores; this is for one that compiles meanwhile.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// How long nspawn may take to notice that its container is gone.
const POWER_CUT_LIMIT: Duration = Duration::from_secs(15);

/// How often a boot is asked whether it is complete.
const BOOT_POLL: Duration = Duration::from_millis(100);

/// The environment of commands on a host: root's own, nothing of the machine's.
pub(super) const HOST_ENVIRONMENT: [(&str, &str); 4] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("USER", "root"),
];

/// A host, together with where the lab keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine<'a> {
    pub(super) layout: &'a Layout,
    pub(super) spec: &'a HostSpec,
}

/// What a host's overlay and cgroups are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) base: &'a Path,
    pub(super) libs: Option<&'a Path>,
    pub(super) lab_cgroups: &'a [PathBuf],
}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Booted {
    /// All units are up.
    Whole,
    /// systemd is up, these units failed.
    Degraded(String),
}

impl Machine<'_> {
    fn dir(&self) -> PathBuf {
        self.layout.host_dir(&self.spec.name)
    }

    /// The writable half of the overlay: what differs between this host and the base image.
    fn upper(&self) -> PathBuf {
        self.dir().join("upper")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir().join("pid")
    }

    fn console(&self) -> PathBuf {
        self.layout.logs().join(format!("{}.console", self.spec.name))
    }

    /// nspawn's own process, as long as it runs.
    pub(super) fn supervisor(&self) -> Option<ProcessId> {
        ProcessId::from_file(&self.pid_file()).filter(|process| process.is_alive())
    }

    /// The host's PID 1 as this machine sees it; `None` while the host is off.
    pub(super) fn leader(&self) -> Option<i32> {
        self.supervisor()?.container_leader()
    }

    fn running_leader(&self) -> Result<i32> {
        self.leader().with_context(|| {
            format!("host {} is off; `lab --name {} start {0}` boots it", self.spec.name, self.layout.name())
        })
    }

    /// Writes the files that are missing, and says how many were.
    pub(super) fn provision(&self, files: &[HostFile]) -> Result<usize> {
        let upper = self.upper();
        // Changes below a mounted overlay are undefined, so a running host is written to through its own root.
        let root = match self.leader() {
            Some(leader) => PathBuf::from(format!("/proc/{leader}/root")),
            None => upper.clone(),
        };
        let mut written = 0;
        for file in files {
            if place_file(&upper, &root, file).with_context(|| self.failed(&format!("write {}", file.path)))? {
                written += 1;
            }
        }
        Ok(written)
    }

    /// Makes the host's folders and its start script.
    pub(super) fn prepare(&self, parts: Parts<'_>) -> Result<()> {
        for folder in ["upper", "work", "root"] {
            let folder = self.dir().join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        }
        fs::create_dir_all(self.upper().join("var/log")).with_context(|| self.failed("make /var/log"))?;
        let logs = self.layout.logs();
        fs::create_dir_all(&logs).with_context(|| format!("failed to make {}", logs.display()))?;
        let link = logs.join(&self.spec.name);
        if link.symlink_metadata().is_err() {
            symlink(self.upper().join("var/log"), &link)
                .with_context(|| format!("failed to link {}", link.display()))?;
        }
        let cgroups: Vec<PathBuf> = parts.lab_cgroups.iter().map(|folder| folder.join(&self.spec.name)).collect();
        let script = self.dir().join("start.sh");
        let text = start_script(&self.dir(), &self.spec.name, parts, &cgroups);
        fs::write(&script, text).with_context(|| format!("failed to write {}", script.display()))
    }

    /// Boots the host and waits until its systemd has started what there is to start.
    ///
    /// # Errors
    /// The container does not start, or its boot does not end in time; the message has the end of the console.
    pub(super) async fn boot(&self, parts: Parts<'_>) -> Result<Booted> {
        ensure!(self.supervisor().is_none(), "host {} is on already", self.spec.name);
        self.prepare(parts)?;
        network::require(self.layout)?;
        let cgroups = cgroup::make(parts.lab_cgroups, &self.spec.name)?;
        // What a killed host left may still hold its overlay; two mounts of one upper folder would spoil it.
        cgroup::kill_all(&cgroups).await?;
        drop_stale_link(self.layout, &self.spec.name).await?;
        self.launch().await?;
        let booted = tokio::time::timeout(BOOT_LIMIT, self.wait_booted()).await;
        let Ok(booted) = booted else {
            bail!("host {} did not boot within {} s: {}", self.spec.name, BOOT_LIMIT.as_secs(), self.console_tail());
        };
        booted
    }

    /// Starts nspawn, detached: `setsid --fork` makes it nobody's child, so it outlives this command and its terminal.
    async fn launch(&self) -> Result<()> {
        fs::remove_file(self.pid_file()).ok();
        let shell = "exec sh \"$0\" >\"$1\" 2>&1 </dev/null";
        let script = self.dir().join("start.sh");
        let tool = Tool::new("setsid").args(["--fork", "nsenter"]).arg(enter_option(self.layout)).arg("--");
        let tool = tool.args(["unshare", "--mount", "--propagation", "private", "sh", "-c", shell]);
        tool.arg(&script).arg(self.console()).run().await.with_context(|| self.failed("start"))?;
        if !until(SCRIPT_LIMIT, || self.pid_file().exists()).await {
            bail!("host {} did not start: {}", self.spec.name, self.console_tail());
        }
        Ok(())
    }

    async fn wait_booted(&self) -> Result<Booted> {
        loop {
            tokio::time::sleep(BOOT_POLL).await;
            if self.supervisor().is_none() {
                bail!("host {} went off while it booted: {}", self.spec.name, self.console_tail());
            }
            if self.leader().is_none() {
                continue;
            }
            // Early in the boot there is no systemd to ask; that is an answer too: not yet.
            let Ok(answer) = self.exec(&["systemctl", "is-system-running"], BOOT_LIMIT).await else { continue };
            match answer.stdout.trim() {
                "running" => return Ok(Booted::Whole),
                "degraded" => return Ok(Booted::Degraded(self.failed_units().await?)),
                _not_yet => {}
            }
        }
    }

    async fn failed_units(&self) -> Result<String> {
        let command = ["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"];
        let listed = self.exec(&command, BOOT_LIMIT).await?.stdout;
        let units: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
        Ok(units.join(", "))
    }

    /// Ends every process of the host at once. A host that is off already is fine.
    pub(super) async fn power_cut(&self, lab_cgroups: &[PathBuf]) -> Result<()> {
        if let Some(supervisor) = self.supervisor() {
            match self.leader() {
                // The kernel ends all processes of a container with its init; nspawn then removes the link and goes.
                Some(leader) => super::process::signal(leader, nix::sys::signal::Signal::SIGKILL)?,
                None => supervisor.kill()?,
            }
            if !supervisor.wait_gone(POWER_CUT_LIMIT).await {
                supervisor.kill()?;
            }
        }
        let own: Vec<PathBuf> = lab_cgroups.iter().map(|folder| folder.join(&self.spec.name)).collect();
        cgroup::kill_all(&own).await.with_context(|| self.failed("cut the power"))?;
        if network::exists(self.layout) {
            drop_stale_link(self.layout, &self.spec.name).await?;
        }
        fs::remove_file(self.pid_file()).ok();
        Ok(())
    }

    /// Runs a command on the host as root and waits for its end, whatever that is.
    pub(super) async fn exec<S: AsRef<std::ffi::OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        self.tool(command, limit)?.output().await.with_context(|| self.failed("run a command"))
    }

    /// As [`Machine::exec`], and fails when the command does.
    pub(super) async fn run<S: AsRef<std::ffi::OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        self.tool(command, limit)?.run().await.with_context(|| self.failed("run a command"))
    }

    fn tool<S: AsRef<std::ffi::OsStr>>(&self, command: &[S], limit: Duration) -> Result<Tool> {
        let tool =
            Tool::new("nsenter").clear_env().args(enter_arguments(self.running_leader()?)).args(command).limit(limit);
        Ok(HOST_ENVIRONMENT.iter().fold(tool, |tool, (name, value)| tool.env(name, value)))
    }

    /// What to put before a command so that it runs on this host.
    pub(super) fn enter(&self) -> Result<Vec<String>> {
        let mut prefix = vec!["nsenter".to_owned()];
        prefix.extend(enter_arguments(self.running_leader()?));
        Ok(prefix)
    }

    /// A path of the running host, as this machine sees it.
    pub(super) fn outer_path(&self, path: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root{path}", self.running_leader()?)))
    }

    /// A file that differs from the base image, on the host's disk, whether the host is on or off.
    pub(super) fn disk_path(&self, path: &str) -> PathBuf {
        self.upper().join(path.trim_start_matches('/'))
    }

    fn console_tail(&self) -> String {
        tail(&fs::read_to_string(self.console()).unwrap_or_default())
    }

    fn failed(&self, what: &str) -> String {
        format!("failed to {what} on host {}", self.spec.name)
    }
}

fn enter_arguments(leader: i32) -> Vec<String> {
    vec!["--target".into(), leader.to_string(), "--all".into(), "--".into()]
}

/// Puts one file in place below `root` unless `upper` has it; `true` when it was missing.
pub(super) fn place_file(upper: &Path, root: &Path, file: &HostFile) -> std::io::Result<bool> {
    let relative = file.path.trim_start_matches('/');
    let in_upper = upper.join(relative);
    match in_upper.symlink_metadata() {
        // An overlay marks a removed file by a character device: the file is missing, and made again.
        Ok(found) if found.file_type().is_char_device() && upper == root => fs::remove_file(&in_upper)?,
        Ok(found) if found.file_type().is_char_device() => {}
        Ok(_there) => return Ok(false),
        Err(_missing) => {}
    }
    let target = root.join(relative);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let owner = file.owner.id();
    match &file.content {
        Content::Folder => {
            fs::create_dir_all(&target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
            chown(&target, owner, owner)?;
        }
        Content::LinkTo(to) => {
            symlink(to, &target)?;
            lchown(&target, owner, owner)?;
        }
        Content::Text(text) => write_file(&target, text, 0o644, owner)?,
        Content::Script(text) => write_file(&target, text, 0o755, owner)?,
    }
    Ok(true)
}

fn write_file(target: &Path, text: &str, mode: u32, owner: Option<u32>) -> std::io::Result<()> {
    fs::write(target, text)?;
    fs::set_permissions(target, fs::Permissions::from_mode(mode))?;
    chown(target, owner, owner)
}

/// What runs between `lab` and nspawn. It is a file so that one can read what a host was started with.
///
/// The pid is stored first, before anything is made that it stands for; `exec` keeps both pid and start time.
fn start_script(dir: &Path, host: &str, parts: Parts<'_>, cgroups: &[PathBuf]) -> String {
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        "# Written by `lab up`; runs in the lab's network namespace and in a mount namespace of its own.".to_owned(),
        "set -eu".to_owned(),
        format!("cd {}", quote(dir)),
        "set -- $(cat /proc/$$/stat)".to_owned(),
        "echo \"$$ ${22}\" > pid.new".to_owned(),
        "mv pid.new pid".to_owned(),
    ];
    lines.extend(cgroups.iter().map(|folder| format!("echo $$ > {}", quote(&folder.join("cgroup.procs")))));
    lines.push(format!("mount -t overlay overlay -o lowerdir={},upperdir=upper,workdir=work root", quote(parts.base)));
    // nspawn leaves folders below /run/systemd; here they end with the host, and labs with equal host names never meet.
    lines.push("mount -t tmpfs -o mode=755 tmpfs /run".to_owned());
    lines.push("export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network".to_owned());
    let bind = parts.libs.map(|libs| format!(" --bind-ro={}:/opt/kafka/libs", quote(libs))).unwrap_or_default();
    lines.push(format!(
        "exec systemd-nspawn --quiet --directory=\"$PWD/root\" --machine={host} --hostname={host} --boot --register=no \
         --keep-unit --network-bridge={BRIDGE} --resolv-conf=off --timezone=off --kill-signal=SIGRTMIN+3{bind}"
    ));
    lines.join("\n") + "\n"
}

/// Single quotes for a POSIX shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::super::files::Owner;
    use super::*;

    #[test]
    fn the_start_script_stores_the_pid_before_it_makes_anything() {
        let parts = Parts { base: Path::new("/c/base"), libs: Some(Path::new("/c/li'bs")), lab_cgroups: &[] };
        let text = start_script(Path::new("/s/zk1"), "zk1", parts, &["/sys/fs/cgroup/x/zk1".into()]);
        let position = |wanted: &str| text.find(wanted).unwrap_or_else(|| panic!("no {wanted} in {text}"));
        assert!(position("mv pid.new pid") < position("echo $$ > '/sys/fs/cgroup/x/zk1/cgroup.procs'"));
        assert!(position("cgroup.procs") < position("mount -t overlay"));
        assert!(position("mount -t overlay") < position("exec systemd-nspawn"));
        assert!(text.contains(r"--bind-ro='/c/li'\''bs':/opt/kafka/libs"), "{text}");
    }

    #[test]
    fn a_file_is_written_once_and_then_left_to_whoever_manages_the_host() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can give files to other users");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let upper = folder.path();
        let file = HostFile::text("/etc/a/b.conf", "first").owned_by(Owner::Kafka);
        assert!(place_file(upper, upper, &file).unwrap());
        fs::write(upper.join("etc/a/b.conf"), "changed").unwrap();
        assert!(!place_file(upper, upper, &file).unwrap());
        assert_eq!(fs::read_to_string(upper.join("etc/a/b.conf")).unwrap(), "changed");
        fs::remove_file(upper.join("etc/a/b.conf")).unwrap();
        assert!(place_file(upper, upper, &file).unwrap(), "a missing file is repaired");
        let found = fs::metadata(upper.join("etc/a/b.conf")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&found), Owner::Kafka.id().unwrap());
    }

    #[test]
    fn a_file_that_was_removed_on_the_host_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let whiteout = folder.path().join("etc/x");
        fs::create_dir(folder.path().join("etc")).unwrap();
        let made = nix::sys::stat::mknod(
            &whiteout,
            nix::sys::stat::SFlag::S_IFCHR,
            nix::sys::stat::Mode::empty(),
            nix::sys::stat::makedev(0, 0),
        );
        if made.is_err() || !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: this user can not make the marker of a removed file");
            return;
        }
        assert!(place_file(folder.path(), folder.path(), &HostFile::text("/etc/x", "back")).unwrap());
        assert_eq!(fs::read_to_string(whiteout).unwrap(), "back");
    }

    #[test]
    fn links_and_folders_are_placed_too() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can give files to other users");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let upper = folder.path();
        for file in [HostFile::enable("x.service", "/lib/x.service"), HostFile::folder("/var/lib/x", Owner::ZooKeeper)]
        {
            assert!(place_file(upper, upper, &file).unwrap());
            assert!(!place_file(upper, upper, &file).unwrap());
        }
        let link = fs::read_link(upper.join("etc/systemd/system/multi-user.target.wants/x.service")).unwrap();
        assert_eq!(link, Path::new("/lib/x.service"));
        assert!(upper.join("var/lib/x").is_dir());
    }

    #[test]
    fn a_hosts_link_fits_the_kernels_limit() {
        assert!(network::link_of("twelve-chars").len() <= 15);
    }
}
