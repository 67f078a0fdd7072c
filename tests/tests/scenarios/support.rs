//! The stage of the scenarios: the lab, the programs, and how kfleet is run in it.

use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::{CannotHost, Kind, Lab, Progress, Subnet, Topology, UpOptions};
use kfleet_tests::programs::Programs;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

/// The scenarios' own lab, beside one that a person may have up.
pub(crate) const LAB: &str = "kfleet-scenarios";

/// No command of a scenario may take longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// A short stable window: what is tested is that the gates are waited for, not how long.
pub(crate) const QUICK: &str =
    r#"{"rolling_policy": {"stable_checks": 2, "stable_checks_after_leader": 2, "check_interval_s": 1}}"#;

pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) programs: Programs,
    pub(crate) fleet: PathBuf,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Stage {
    /// Brings the scenarios' lab up; the other answer says why it can not be.
    pub(crate) async fn set() -> Result<Self, String> {
        match Self::of_lab(LAB, Kind::Zk, false).await {
            Ok(stage) => Ok(stage),
            Err(error) if error.downcast_ref::<CannotHost>().is_some() => Err(format!("skipped: {error:#}")),
            // A machine that can hold a lab and fails to is a failure, not a reason to skip.
            Err(error) => panic!("the lab did not come up: {error:#}"),
        }
    }

    /// A stage of its own kind, for a scenario that strikes it itself.
    pub(crate) async fn of_lab(name: &str, kind: Kind, processes: bool) -> Result<Self> {
        Self::up(name, Topology::of(kind, Subnet::for_name(name)), true, processes).await
    }

    /// A stage of bare hosts with agents, for a scenario that strikes it itself.
    pub(crate) async fn of_hosts(name: &str, topology: Topology) -> Result<Self> {
        Self::up(name, topology, false, false).await
    }

    async fn up(name: &str, topology: Topology, services: bool, processes: bool) -> Result<Self> {
        let programs = Programs::find(name)?;
        let agent = Some(programs.agent_source());
        let options = UpOptions { name: name.to_owned(), topology, services, agent, processes };
        let lab = match Lab::up(&options, &Progress::terminal()).await {
            Ok(lab) => lab,
            Err(error) => {
                // Half a lab is a lab too: its namespaces and processes must not stay.
                take_down(name).await;
                return Err(error);
            }
        };
        let fleet = lab.layout().fleet();
        Ok(Self { lab, programs, fleet })
    }

    /// Takes the lab down.
    pub(crate) async fn strike(&self) {
        take_down(self.lab.layout().name()).await;
    }

    fn command(&self, arguments: &[&str]) -> Result<tokio::process::Command> {
        let mut command = self.lab.controller_command(&self.programs.kfleet)?;
        command.arg("--fleet").arg(&self.fleet).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Runs kfleet to its end.
    pub(crate) async fn kfleet(&self, arguments: &[&str]) -> Result<Ended> {
        let output = tokio::time::timeout(LIMIT, self.command(arguments)?.output())
            .await
            .with_context(|| format!("kfleet {arguments:?} did not end"))??;
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts kfleet with `--json` and gives its events as they come.
    pub(crate) fn watch(&self, arguments: &[&str]) -> Result<Watched> {
        let mut command = self.command(arguments)?;
        let mut child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        Ok(Watched { child, lines: BufReader::new(stdout).lines() })
    }

    /// How often a unit was stopped on a host since the lab is up, by the host's own journal.
    pub(crate) async fn stops(&self, host: &str, unit: &str) -> Result<usize> {
        self.lab.host(host)?.stops(unit).await
    }

    /// The stops of a unit on several hosts.
    pub(crate) async fn all_stops(&self, hosts: &[&str], unit: &str) -> Result<Vec<usize>> {
        let mut all = Vec::new();
        for host in hosts {
            all.push(self.stops(host, unit).await?);
        }
        Ok(all)
    }

    /// Runs a command on a host that must succeed.
    pub(crate) async fn on(&self, host: &str, command: &[&str]) -> Result<String> {
        let finished = self.lab.host(host)?.run(command, Duration::from_secs(60)).await?;
        Ok(finished.stdout)
    }

    /// A folder of this machine for a scenario's files.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.lab.layout().dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The brokers' addresses.
    pub(crate) fn bootstrap(&self) -> String {
        self.lab.topology().brokers().map(|host| format!("{}:9092", host.address)).collect::<Vec<_>>().join(",")
    }
}

/// Takes a lab down, unless a person wants to look at it.
async fn take_down(name: &str) {
    if std::env::var_os("KFLEET_LAB_KEEP").is_some() {
        return;
    }
    if let Err(error) = Lab::down(name, &Progress::terminal()).await {
        println!("the lab could not be taken down: {error:#}");
    }
}

/// A running kfleet whose events are read.
pub(crate) struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    /// The next event; none when the program ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await.context("no event came")??;
        line.map(|line| serde_json::from_str(&line).with_context(|| format!("not an event: {line}"))).transpose()
    }

    /// Kills the program as the out-of-memory killer would.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).context("the program has ended")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)?;
        Ok(())
    }

    /// The next event of a kind; what comes before it is kept.
    pub(crate) async fn until(&mut self, kind: &str, seen: &mut Vec<Value>) -> Result<Value> {
        loop {
            let event = self.next().await?.with_context(|| format!("it ended before {kind}: {:?}", seen.last()))?;
            seen.push(event.clone());
            if event["event"] == kind {
                return Ok(event);
            }
        }
    }

    /// Reads all events to the end and gives them with the exit code.
    pub(crate) async fn finish(mut self) -> Result<(Vec<Value>, i32)> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await.context("kfleet did not end")??;
        Ok((events, status.code().unwrap_or(-1)))
    }
}

/// The events of one kind.
pub(crate) fn of_kind<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == kind)
}

/// The id of the run that the events are of.
pub(crate) fn run_of(event: &Value) -> Result<String> {
    Ok(event["run"].as_str().context("an event without a run")?.to_owned())
}

/// Fails with what the program wrote unless it ended as expected.
pub(crate) fn expect_code(ended: &Ended, code: i32) -> Result<()> {
    ensure!(ended.code == code, "exit code {} and not {code}:\n{}\n{}", ended.code, ended.stdout, ended.stderr);
    Ok(())
}
