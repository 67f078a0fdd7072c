//! The producer that writes to the lab's cluster while something is done to it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

use crate::lab::Lab;

/// Making the topic; the producer itself gives up sooner, and says why.
const BEGIN_LIMIT: Duration = Duration::from_secs(150);

/// Reading everything back and ending.
const END_LIMIT: Duration = Duration::from_secs(180);

/// A running producer; killed when dropped.
pub struct Traffic {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// What became of the records.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// No send failed, nothing is missing, repeated or out of order.
    pub clean: bool,
    /// Records that were given to the producer.
    pub sent: u64,
    /// Records that the cluster acknowledged.
    pub acknowledged: u64,
    /// Records whose send failed.
    pub failed: u64,
    /// The longest time without an acknowledgement.
    pub longest_gap: Duration,
    /// Both reports for people.
    pub text: String,
}

impl Traffic {
    /// Starts the producer beside this program, inside the lab's network, and waits until it writes: what is done to the
    /// cluster afterwards is done under load.
    ///
    /// # Errors
    /// When the lab is down, the program is missing, or the topic can not be made.
    pub async fn start(lab: &Lab, program: &Path, bootstrap: &str, topic: &str) -> Result<Self> {
        let mut child = lab
            .controller_command(program)?
            .args([bootstrap, "--topic", topic])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let mut stdout = BufReader::new(child.stdout.take().context("no output of the producer")?);
        let mut begun = String::new();
        let line = tokio::time::timeout(BEGIN_LIMIT, stdout.read_line(&mut begun)).await;
        if line.context("the producer did not begin")?? == 0 {
            let mut said = String::new();
            child.stderr.take().context("no error output of the producer")?.read_to_string(&mut said).await?;
            bail!("the producer failed: {}", said.trim());
        }
        Ok(Self { child, stdout })
    }

    /// Stops the writing, waits for the verification, and gives the outcome.
    ///
    /// # Errors
    /// When the producer died or could not verify.
    pub async fn finish(mut self) -> Result<Outcome> {
        let pid = self.child.id().context("the producer ended early")?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).context("failed to stop the producer")?;
        let (mut out, mut err) = (String::new(), String::new());
        let mut stdout = self.stdout;
        let mut stderr = self.child.stderr.take().context("no error output of the producer")?;
        let read = async {
            tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err))?;
            self.child.wait().await
        };
        tokio::time::timeout(END_LIMIT, read).await.context("the producer did not end")??;
        let Ok(value) = serde_json::from_str::<Value>(out.trim()) else { bail!("the producer failed: {}", err.trim()) };
        let number = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Outcome {
            clean: value.get("clean").and_then(Value::as_bool).unwrap_or(false),
            sent: number("sent"),
            acknowledged: number("acknowledged"),
            failed: number("failed"),
            longest_gap: Duration::from_millis(number("longest_gap_ms")),
            text: format!("{}\n{}", text("report"), text("verification")),
        })
    }
}
