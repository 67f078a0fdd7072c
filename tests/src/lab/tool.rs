//! Runs the machine's own tools (`ip`, `nft`, `debootstrap`, `mvn`, `nsenter`, ...) with a time limit.
//!
//! Every tool gets a process group of its own, which is killed when the wait for it ends early: by its limit, by
//! Ctrl-C, or because the caller lost interest. So no helper process outlives the lab command that started it.

use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Long enough for any of the small tools on a busy machine, short enough to notice that one hangs.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// How much of what a tool said an error repeats.
const TAIL_LINES: usize = 12;

/// What a finished tool left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output, bytes that are no UTF-8 replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

/// A tool to run: a command line, what it reads, and how long it may take.
pub(super) struct Tool {
    command: Command,
    shown: String,
    input: Option<String>,
    limit: Duration,
}

impl Tool {
    pub(super) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown = program.as_ref().to_string_lossy().into_owned();
        Self { command: Command::new(program), shown, input: None, limit: DEFAULT_LIMIT }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(super) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn clear_env(mut self) -> Self {
        self.command.env_clear();
        self
    }

    pub(super) fn current_dir(mut self, dir: &std::path::Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Feeds this text to its standard input, which is empty otherwise.
    pub(super) fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end, whatever its exit status is.
    pub(super) async fn output(self) -> Result<Finished> {
        self.follow(|_| {}).await
    }

    /// Runs it and fails on any exit status but 0, with the last lines of what it said.
    pub(super) async fn run(self) -> Result<Finished> {
        self.run_following(|_| {}).await
    }

    /// As [`Tool::run`], and hands every line of standard output to `line` when it comes.
    pub(super) async fn run_following(self, line: impl FnMut(&str)) -> Result<Finished> {
        let shown = self.shown.clone();
        let finished = self.follow(line).await?;
        if !finished.status.success() {
            let said = if finished.stderr.trim().is_empty() { &finished.stdout } else { &finished.stderr };
            bail!("`{shown}` ended with {}: {}", finished.status, tail(said));
        }
        Ok(finished)
    }

    async fn follow(mut self, line: impl FnMut(&str)) -> Result<Finished> {
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = self.command.spawn().with_context(|| format!("failed to start `{}`", self.shown))?;
        let guard = GroupGuard::of(&child);
        let finished = tokio::time::timeout(self.limit, converse(&mut child, self.input, line)).await;
        let Ok(finished) = finished else {
            bail!("`{}` did not end within {} s and was stopped", self.shown, self.limit.as_secs());
        };
        let finished = finished.with_context(|| format!("failed to follow `{}`", self.shown))?;
        guard.release();
        Ok(finished)
    }
}

/// Writes the input and reads both outputs at once, so that no full pipe can block either side.
async fn converse(child: &mut Child, input: Option<String>, mut line: impl FnMut(&str)) -> Result<Finished> {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().context("a piped child has a standard output")?;
    let mut stderr = child.stderr.take().context("a piped child has a standard error")?;
    let write = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A tool that ends without reading all of its input says so by its exit status; a broken pipe adds nothing.
            stdin.write_all(input.as_bytes()).await.ok();
        }
    };
    let read_lines = async {
        let (mut all, mut reader, mut buffer) = (String::new(), BufReader::new(stdout), Vec::new());
        while reader.read_until(b'\n', &mut buffer).await? > 0 {
            let text = String::from_utf8_lossy(&buffer);
            line(text.trim_end());
            all.push_str(&text);
            buffer.clear();
        }
        std::io::Result::Ok(all)
    };
    let read_rest = async {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let ((), stdout, stderr) = tokio::join!(write, read_lines, read_rest);
    Ok(Finished { stdout: stdout?, stderr: stderr?, status: child.wait().await? })
}

/// The last lines of a tool's output, on one line, for an error message.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "it said nothing".to_owned();
    }
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ")
}

/// Kills the whole process group unless it was released: `nsenter` and `unshare` fork, and the child does the work.
struct GroupGuard(Option<Pid>);

impl GroupGuard {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw))
    }

    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // Nothing is left to do about a group that has ended meanwhile.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_tool_is_reported_with_its_command_line_and_its_last_words() {
        let error = Tool::new("sh").args(["-c", "echo before; echo lost >&2; exit 3"]).run().await.unwrap_err();
        assert_eq!(error.to_string(), "`sh -c echo before; echo lost >&2; exit 3` ended with exit status: 3: lost");
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_stopped_together_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let limit = Duration::from_millis(300);
        let error = Tool::new("sh").args(["-c", &script]).limit(limit).output().await.unwrap_err();
        assert!(error.to_string().ends_with("did not end within 0 s and was stopped"), "{error}");
        let sleeper: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let gone =
            || std::fs::read_to_string(format!("/proc/{sleeper}/stat")).map_or(true, |stat| stat.contains(") Z "));
        assert!(super::super::process::until(Duration::from_secs(5), gone).await, "the child {sleeper} still runs");
    }

    #[tokio::test]
    async fn lines_come_as_they_are_said_and_input_is_read() {
        let mut lines = Vec::new();
        let tool = Tool::new("sh").args(["-c", "echo one; cat; echo three"]).input("two\n");
        let finished = tool.run_following(|line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(finished.stdout, "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn a_missing_tool_is_named() {
        let error = Tool::new("no-such-tool-here").output().await.unwrap_err();
        assert_eq!(error.to_string(), "failed to start `no-such-tool-here`");
    }
}
