//! One host without a container: a folder, a loopback address, and a supervisord that keeps the services.
//!
//! For machines where containers can not boot. Such a host has no kernel interfaces, users or cable of its own, so
//! faults of the network can not be made; everything else (services, agent, power) is as on a booted host.
//!
//! ```text
//!   off --start--> supervisord runs --power_cut--> off
//! ```
//! Whatever the host runs is known by a word in its environment, or by the agent's program in the host's folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::files::HostFile;
use super::machine::place_file;
use super::process::{ProcessId, session_of, signal, until};
use super::rooted::{Places, SUPERVISORD};
use super::state::Layout;
use super::tool::{Finished, Tool, tail};
use super::topology::HostSpec;

/// What marks every process of a host, in its environment.
const MARK: &str = "KFLEET_LAB_HOST";

/// A Python program starts in well under a second; this is for a machine that compiles meanwhile.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long killed processes may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(15);

/// A host, together with where the lab keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a> {
    pub(super) layout: &'a Layout,
    pub(super) spec: &'a HostSpec,
}

impl Plain<'_> {
    /// The host's folder: what `/` is to it.
    pub(super) fn root(&self) -> PathBuf {
        self.layout.host_dir(&self.spec.name).join("root")
    }

    fn pid_file(&self) -> PathBuf {
        self.layout.host_dir(&self.spec.name).join("pid")
    }

    fn console(&self) -> PathBuf {
        self.layout.logs().join(format!("{}.console", self.spec.name))
    }

    fn mark(&self) -> String {
        format!("{}/{}", self.layout.name(), self.spec.name)
    }

    pub(super) fn places(&self, libs: Option<&Path>) -> Places {
        // Without services nothing needs it, and with them `up` has looked for it.
        let java = find("java").unwrap_or_else(|| PathBuf::from("/usr/bin/java"));
        Places { root: self.root(), libs: libs.map(Path::to_owned), java }
    }

    /// Its supervisord, while that runs.
    pub(super) fn supervisor(&self) -> Option<ProcessId> {
        ProcessId::from_file(&self.pid_file()).filter(|process| process.is_alive())
    }

    /// Writes the files that are missing, and says how many were.
    pub(super) fn provision(&self, files: &[HostFile]) -> Result<usize> {
        let root = self.root();
        let mut written = 0;
        for file in files {
            let placed = place_file(&root, &root, file);
            if placed.with_context(|| self.failed(&format!("write {}", file.path)))? {
                written += 1;
            }
        }
        Ok(written)
    }

    /// Starts supervisord, detached, and waits until it answers. It starts the services at once.
    pub(super) async fn start(&self) -> Result<()> {
        ensure!(self.supervisor().is_none(), "host {} is on already", self.spec.name);
        // What a killed supervisord left would still hold the ports.
        self.end_all().await?;
        fs::remove_file(self.pid_file()).ok();
        let logs = self.layout.logs();
        fs::create_dir_all(&logs).with_context(|| format!("failed to make {}", logs.display()))?;
        let link = logs.join(&self.spec.name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(self.path("/var/log"), &link)
                .with_context(|| format!("failed to link {}", link.display()))?;
        }
        // The pid is stored before there is anything that it stands for; `exec` keeps both pid and start time.
        let script = "set -eu; set -- \"$1\" \"$2\" \"$3\" $(cat /proc/$$/stat); cd \"${1%/*}\"; \
                      echo \"$$ ${25}\" > pid.new; mv pid.new pid; shift; \
                      exec \"$1\" --nodaemon --configuration \"$2\" </dev/null >\"$CONSOLE\" 2>&1";
        let supervisord = find("supervisord").context("no supervisord")?;
        let tool = Tool::new("setsid").args(["--fork", "sh", "-c", script, "lab"]).arg(self.pid_file());
        let tool = tool.arg(supervisord).arg(self.path(SUPERVISORD)).env(MARK, &self.mark());
        tool.env("CONSOLE", &self.console().display().to_string()).run().await.with_context(|| self.failed("start"))?;
        if !until(START_LIMIT, || self.pid_file().exists()).await {
            bail!("host {} did not start: {}", self.spec.name, self.console_tail());
        }
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        while self.supervisorctl(&["pid"]).await.is_err() {
            ensure!(self.supervisor().is_some(), "host {} went off: {}", self.spec.name, self.console_tail());
            ensure!(tokio::time::Instant::now() < deadline, "{} does not answer", self.failed("start"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Ends every process of the host at once. A host that is off already is fine.
    pub(super) async fn power_cut(&self) -> Result<()> {
        self.end_all().await.with_context(|| self.failed("cut the power"))?;
        fs::remove_file(self.pid_file()).ok();
        Ok(())
    }

    async fn end_all(&self) -> Result<()> {
        let mut failure = None;
        let gone = until(GONE_LIMIT, || {
            let found = self.processes();
            for pid in &found {
                if let Err(error) = signal(*pid, Signal::SIGKILL) {
                    failure = Some(error);
                }
            }
            found.is_empty()
        })
        .await;
        match failure {
            _ if gone => Ok(()),
            Some(error) => Err(error),
            None => bail!("processes are left after {} s: {:?}", GONE_LIMIT.as_secs(), self.processes()),
        }
    }

    /// All that runs for the host: what has its mark, what is its agent's program, and the sessions of these.
    ///
    /// The agent gives commands an environment without the mark; their shim is the agent's program and leads a session.
    fn processes(&self) -> Vec<i32> {
        let agent = self.path("/usr/bin/kfleet-agent");
        let mark = format!("{MARK}={}", self.mark());
        let own = |pid: i32| {
            let marked = fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()));
            marked || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == agent)
        };
        let all: Vec<i32> = pids().collect();
        let first: Vec<i32> = all.iter().copied().filter(|&pid| own(pid)).collect();
        let led = |pid: i32| session_of(pid).is_some_and(|session| first.contains(&session));
        all.into_iter().filter(|&pid| (first.contains(&pid) || led(pid)) && session_of(pid).is_some()).collect()
    }

    /// Speaks to the host's supervisord.
    pub(super) async fn supervisorctl(&self, arguments: &[&str]) -> Result<Finished> {
        let tool = self.control(arguments).context("no supervisorctl")?;
        tool.run().await.with_context(|| self.failed("speak to supervisord"))
    }

    /// What supervisord says of a program: `running`, `stopped`, `fatal`, ...
    pub(super) async fn program_state(&self, program: &str) -> Option<String> {
        // Its exit status says that a program does not run, which is an answer.
        let said = self.control(&["status", program])?.output().await.ok()?.stdout;
        said.split_whitespace().nth(1).map(str::to_lowercase)
    }

    fn control(&self, arguments: &[&str]) -> Option<Tool> {
        let program = find("supervisorctl")?;
        Some(Tool::new(program).arg("--configuration").arg(self.path(SUPERVISORD)).args(arguments))
    }

    /// Runs a command in the host's folder and waits for its end, whatever that is.
    pub(super) async fn exec<S: AsRef<OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        self.tool(command, limit)?.output().await.with_context(|| self.failed("run a command"))
    }

    /// As [`Plain::exec`], and fails when the command does.
    pub(super) async fn run<S: AsRef<OsStr>>(&self, command: &[S], limit: Duration) -> Result<Finished> {
        self.tool(command, limit)?.run().await.with_context(|| self.failed("run a command"))
    }

    fn tool<S: AsRef<OsStr>>(&self, command: &[S], limit: Duration) -> Result<Tool> {
        let mut prefix = self.enter()?.into_iter();
        let first = prefix.next().context("a command line begins with a program")?;
        Ok(Tool::new(first).args(prefix).args(command).limit(limit))
    }

    /// What to put before a command that runs as on this host: its folder, and its programs on the path.
    pub(super) fn enter(&self) -> Result<Vec<String>> {
        ensure!(
            self.supervisor().is_some(),
            "host {} is off; `lab --name {} start {0}` starts it",
            self.spec.name,
            self.layout.name()
        );
        let own = ["/opt/kafka/bin", "/usr/bin"].map(|path| self.path(path).display().to_string());
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        Ok(vec![
            "env".to_owned(),
            format!("--chdir={}", self.root().display()),
            format!("{MARK}={}", self.mark()),
            format!("KFLEET_LAB_ROOT={}", self.root().display()),
            format!("PATH={}:{path}", own.join(":")),
        ])
    }

    /// A path of the host, on this machine.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    fn console_tail(&self) -> String {
        tail(&fs::read_to_string(self.console()).unwrap_or_default())
    }

    fn failed(&self, what: &str) -> String {
        format!("failed to {what} on host {}", self.spec.name)
    }
}

/// A program of this machine: on the PATH, or where `tests/setup.sh` puts what Debian's packages could not.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = crate::programs::repository().join("target/tools/supervisor/bin");
    std::env::split_paths(&path).chain([installed]).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
