//! The link to one agent: connect, submit, follow, re-attach.
//!
//! Place in the flow: the only file that talks to agents. An op outlives its call: when a connection is lost the
//! link attaches again by op id and sequence number, so that neither gap nor repeat reaches the run.
//! Not here: what is asked and in which order (the engine), what an answer means (the task runner).

use crate::execute::Events;
use kfleet_model::event::EventKind;
use kfleet_model::{HostName, Map, Op, OpEnd, OpEventKind, OutputStream, Value};
use kfleet_proto::convert::{self, EventReader, ObserveKind};
use kfleet_proto::v1::agent_client::AgentClient;
use kfleet_proto::v1::{self};
use rand::Rng as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// A silent connection is probed after this time, and given up after as much again: a cut network is seen within
/// ten seconds and told as "reconnecting".
const KEEPALIVE: Duration = Duration::from_secs(5);

/// First and longest pause between attempts to reconnect; each is drawn at random below the current bound, so that
/// many links do not come back at one moment.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Output of one stream that is kept for a result; an agent keeps no more of one command either.
const KEEP_BYTES: usize = 64 * 1024 * 1024;

/// After its deadline an op is over on the agent; this much longer the link waits to be told how.
const AFTER_DEADLINE: Duration = Duration::from_secs(60);

/// HTTP/2 windows: large enough for 10 MB of output at wire speed, small enough for thousands of links.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Why an agent gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// It could not be reached, or not within the time; nothing was begun there by this call.
    #[error("{0}")]
    Unreachable(String),
    /// It answered that it will not do it.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// It answered something that this version does not understand.
    #[error("the agent's answer is not understood: {0}")]
    Protocol(String),
    /// The connection was lost after the op had begun, and the agent did not come back in time.
    #[error("{0}")]
    Lost(String),
}

/// Opens the mutually authenticated connection to one agent.
pub trait Dial: Send + Sync + 'static {
    /// Connects to the agent of a host.
    fn dial(
        &self,
        host: &HostName,
        address: &str,
    ) -> futures::future::BoxFuture<'static, Result<DialStream, std::io::Error>>;
}

/// A connection that gRPC can run on.
pub(super) type DialStream = Box<dyn Stream>;

/// What gRPC needs of a connection.
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// The link to one agent.
pub struct Link {
    host: HostName,
    address: String,
    connect_timeout: Duration,
    dial: Arc<dyn Dial>,
    client: OnceCell<AgentClient<Channel>>,
}

/// What to do with a running op's output.
pub struct Follow<'a> {
    /// The run's events.
    pub events: &'a Events,
    /// Pass pieces of output on as events.
    pub show_output: bool,
    /// Keep the whole output for the result: somebody will read it.
    pub keep_output: bool,
    /// Fires when the operator stops the run: the op is then cancelled on the agent.
    pub cancel: tokio_util::sync::CancellationToken,
}

impl Link {
    /// A link that is not connected yet.
    #[must_use]
    pub fn new(host: HostName, address: String, connect_timeout: Duration, dial: Arc<dyn Dial>) -> Self {
        Self { host, address, connect_timeout, dial, client: OnceCell::new() }
    }

    /// The host's name.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    async fn client(&self) -> Result<AgentClient<Channel>, LinkError> {
        let client = self
            .client
            .get_or_try_init(|| async {
                let channel = self.channel().await?;
                Ok(AgentClient::new(channel)
                    .max_decoding_message_size(kfleet_proto::MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(kfleet_proto::MAX_MESSAGE_BYTES))
            })
            .await?;
        Ok(client.clone())
    }

    async fn channel(&self) -> Result<Channel, LinkError> {
        let endpoint = Endpoint::from_static("http://agent.kfleet")
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .user_agent(concat!("kfleet/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| LinkError::Protocol(crate::report::chain(&error)))?;
        let (dial, host, address) = (Arc::clone(&self.dial), self.host.clone(), self.address.clone());
        // The first connection is made here, where its failure can be told in full; later ones by the channel.
        let first = tokio::time::timeout(self.connect_timeout, dial.dial(&host, &address)).await;
        let first = match first {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(LinkError::Unreachable(self.why(&crate::report::chain(&error)))),
            Err(_) => return Err(LinkError::Unreachable(self.why(&self.no_answer()))),
        };
        let first = Arc::new(std::sync::Mutex::new(Some(first)));
        let connector = tower::service_fn(move |_uri: http::Uri| {
            let ready = first.lock().ok().and_then(|mut slot| slot.take());
            let (dial, host, address) = (Arc::clone(&dial), host.clone(), address.clone());
            async move {
                let stream = match ready {
                    Some(stream) => stream,
                    None => dial.dial(&host, &address).await?,
                };
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
            }
        });
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    fn why(&self, text: &str) -> String {
        format!("agent of {} at {}: {text}", self.host, self.address)
    }

    fn no_answer(&self) -> String {
        format!("no answer within {} s", self.connect_timeout.as_secs())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "every other status means that the agent could not be reached")]
    fn of_status(&self, status: &Status) -> LinkError {
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition | Code::InvalidArgument => {
                LinkError::Refused(status.message().to_owned())
            }
            Code::Unimplemented => LinkError::Protocol(format!("{} (is the agent older?)", status.message())),
            _ => {
                let text =
                    std::error::Error::source(status).map_or_else(|| status.message().to_owned(), crate::report::chain);
                LinkError::Unreachable(self.why(&text))
            }
        }
    }

    /// Makes sure of the connection and that both sides speak one version.
    ///
    /// # Errors
    /// When the agent does not answer in time, or speaks no common version.
    pub async fn handshake(&self) -> Result<v1::HandshakeResponse, LinkError> {
        let mut client = self.client().await?;
        let mut request = tonic::Request::new(v1::HandshakeRequest {
            min_protocol: kfleet_proto::PROTOCOL,
            max_protocol: kfleet_proto::PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        request.set_timeout(self.connect_timeout);
        match tokio::time::timeout(self.connect_timeout, client.handshake(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.of_status(&status)),
            Err(_) => Err(LinkError::Unreachable(self.why(&self.no_answer()))),
        }
    }

    /// Runs an op to its end, through as many connections as it takes.
    ///
    /// # Errors
    /// `Unreachable` when it was certainly not begun by this call, `Lost` when it may have been and the agent did
    /// not come back until after the op's deadline, `Refused` and `Protocol` as the agent says.
    ///
    /// # Cancellation
    /// Dropping the future leaves the op running on its host; the follow's token cancels it there.
    pub async fn perform(&self, op: &Op, follow: Follow<'_>) -> Result<OpEnd, LinkError> {
        let mut session = Session {
            link: self,
            op,
            follow,
            reader: EventReader::default(),
            next_seq: 0,
            began: false,
            begun: Instant::now(),
            give_up: Instant::now() + op.deadline + AFTER_DEADLINE,
            lost_at: None,
            attempt: 0,
            cancel_sent: false,
            kept: Kept::default(),
        };
        loop {
            match session.once().await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {}
                Err(error) => session.after(error).await?,
            }
        }
    }

    async fn send_cancel(&self, op: &Op) {
        if let Ok(mut client) = self.client().await {
            let mut request = tonic::Request::new(v1::CancelRequest { op_id: op.op_id.to_string() });
            request.set_timeout(self.connect_timeout);
            // Whether it was in time is told by the op's own end, which is followed anyway.
            let _outcome = client.cancel(request).await;
        }
    }

    /// Reads something of the host; the answer is a JSON document.
    ///
    /// # Errors
    /// When the agent does not answer within the deadline, refuses, or what was asked can not be read there.
    pub async fn observe(&self, kind: ObserveKind, params: &Map, deadline: Duration) -> Result<Value, LinkError> {
        let read = async {
            let mut client = self.client().await?;
            let mut request = tonic::Request::new(convert::observe_request(kind, params, deadline));
            request.set_timeout(deadline);
            let mut stream = client.observe(request).await.map_err(|status| self.of_status(&status))?.into_inner();
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.message().await.map_err(|status| self.of_status(&status))? {
                bytes.extend_from_slice(&chunk.data);
            }
            serde_json::from_slice(&bytes).map_err(|error| LinkError::Protocol(error.to_string()))
        };
        match tokio::time::timeout(deadline + self.connect_timeout, read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LinkError::Unreachable(self.why("no answer within the deadline"))),
        }
    }

    /// Brings files into the agent's cache: asks which are missing, and sends what is lacking of each.
    ///
    /// # Errors
    /// When a file can not be read here, or the agent can not be reached or refuses.
    pub async fn provide(&self, files: &[(String, PathBuf)]) -> Result<(), LinkError> {
        let mut attempt = 0_u32;
        loop {
            match self.provide_once(files).await {
                Err(LinkError::Unreachable(why)) if attempt < 5 => {
                    attempt += 1;
                    tracing::warn!(host = %self.host, attempt, "file transfer was cut: {why}");
                    tokio::time::sleep(backoff(attempt)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn provide_once(&self, files: &[(String, PathBuf)]) -> Result<(), LinkError> {
        let mut client = self.client().await?;
        let request = v1::FindBlobsRequest { sha256: files.iter().map(|(sha256, _)| sha256.clone()).collect() };
        let missing = client.find_blobs(request).await.map_err(|status| self.of_status(&status))?.into_inner().missing;
        for part in missing {
            let Some((sha256, path)) = files.iter().find(|(sha256, _)| *sha256 == part.sha256) else { continue };
            let chunks = super::files::chunks(sha256.clone(), path.clone(), part.have_bytes);
            client.put_blob(chunks).await.map_err(|status| self.of_status(&status))?;
        }
        Ok(())
    }
}

/// One op being followed through connections that come and go.
struct Session<'a> {
    link: &'a Link,
    op: &'a Op,
    follow: Follow<'a>,
    reader: EventReader,
    next_seq: u64,
    /// The agent has answered to this op: it may be running.
    began: bool,
    begun: Instant,
    give_up: Instant,
    lost_at: Option<Instant>,
    attempt: u32,
    cancel_sent: bool,
    kept: Kept,
}

/// The output of a command as it came.
#[derive(Default)]
struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Kept {
    fn add(&mut self, stream: OutputStream, data: &[u8]) {
        let kept = match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        if kept.len() + data.len() <= KEEP_BYTES {
            kept.extend_from_slice(data);
        }
    }

    /// An agent cuts long output in the result, because all of it was streamed; here it is put in whole.
    fn complete(self, end: &mut OpEnd) {
        let (OpEnd::Done { result } | OpEnd::Failed { result }) = end else { return };
        for (key, kept) in [("stdout", self.stdout), ("stderr", self.stderr)] {
            let Some(Value::String(text)) = result.data.get_mut(key) else { continue };
            if kept.len() > text.len() + 1 && text.contains(LEFT_OUT) {
                let whole = String::from_utf8_lossy(&kept);
                *text = whole.trim_end_matches(['\n', '\r']).to_owned();
            }
        }
    }
}

/// What an agent writes into a result where it cut output.
const LEFT_OUT: &str = " bytes left out ...]";

impl Session<'_> {
    /// Follows the op over one connection, to its end or to the loss of the connection; nothing when it has to be
    /// submitted anew.
    async fn once(&mut self) -> Result<Option<OpEnd>, LinkError> {
        let mut client = self.link.client().await?;
        self.reader.reset();
        let opened = if self.began {
            let request = v1::AttachRequest { op_id: self.op.op_id.to_string(), from_seq: self.next_seq };
            tokio::time::timeout(self.link.connect_timeout, client.attach(request)).await
        } else {
            tokio::time::timeout(self.link.connect_timeout, client.submit(convert::submit_request(self.op))).await
        };
        let mut stream = match opened {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if self.began && status.code() == Code::NotFound => {
                // An agent journals an op before its first side effect. One that restarted and does not know the op
                // never came so far with it, so it is asked for anew.
                self.began = false;
                self.next_seq = 0;
                return Ok(None);
            }
            Ok(Err(status)) => return Err(self.link.of_status(&status)),
            Err(_) => {
                // The request may have arrived; the op's id makes asking again harmless.
                return Err(LinkError::Unreachable(self.link.why(&self.link.no_answer())));
            }
        };
        self.began = true;
        self.reconnected().await;
        loop {
            let message = tokio::select! {
                // Cancel safe: a message that is not complete stays in the stream.
                message = stream.message() => message,
                () = self.follow.cancel.cancelled(), if !self.cancel_sent => {
                    self.cancel_sent = true;
                    self.link.send_cancel(self.op).await;
                    continue;
                }
            };
            match message {
                Ok(Some(message)) => {
                    if let Some(end) = self.take(message).await? {
                        return Ok(Some(end));
                    }
                }
                Ok(None) => return Err(LinkError::Unreachable(self.link.why("the stream ended early"))),
                Err(status) => return Err(self.link.of_status(&status)),
            }
        }
    }

    async fn take(&mut self, message: v1::OpEvent) -> Result<Option<OpEnd>, LinkError> {
        let event = self.reader.take(message).map_err(|error| LinkError::Protocol(error.to_string()))?;
        let Some(event) = event else { return Ok(None) };
        // A repeat after a re-attach; the end is taken whatever its number, as there is only one.
        let repeat = event.seq < self.next_seq;
        self.next_seq = self.next_seq.max(event.seq + 1);
        let host = self.link.host.clone();
        if let OpEventKind::Output { stream, data } = &event.kind
            && !repeat
            && self.follow.keep_output
        {
            self.kept.add(*stream, data);
        }
        match event.kind {
            OpEventKind::Finished(mut end) => {
                std::mem::take(&mut self.kept).complete(&mut end);
                return Ok(Some(*end));
            }
            OpEventKind::Started => {}
            OpEventKind::Output { stream, data } if !repeat && self.follow.show_output => {
                let text = String::from_utf8_lossy(&data).into_owned();
                let stderr = stream == OutputStream::Stderr;
                self.follow.events.send(EventKind::HostOutput { host, text, stderr }).await;
            }
            OpEventKind::Output { .. } => {}
            OpEventKind::Progress { text } if !repeat => {
                self.follow.events.send(EventKind::HostProgress { host, text }).await;
            }
            OpEventKind::Progress { .. } => {}
        }
        Ok(None)
    }

    /// After a failed connection: waits and lets the caller try again, or gives up.
    async fn after(&mut self, error: LinkError) -> Result<(), LinkError> {
        let LinkError::Unreachable(why) = error else { return Err(error) };
        if !self.began {
            // One more try for a connection that was cut while it was made, as on a host under load; the op's id makes
            // that harmless. A host that took its whole time already is not given another.
            if self.attempt > 0 || self.begun.elapsed() > self.link.connect_timeout / 2 {
                return Err(LinkError::Unreachable(why));
            }
            self.attempt += 1;
            tokio::time::sleep(backoff(1)).await;
            return Ok(());
        }
        let now = Instant::now();
        let lost_at = *self.lost_at.get_or_insert(now);
        if now >= self.give_up {
            let gone = now.duration_since(lost_at).as_secs();
            return Err(LinkError::Lost(format!(
                "{why}; the connection has been gone for {gone} s, past the op's deadline"
            )));
        }
        self.attempt += 1;
        let host = self.link.host.clone();
        self.follow.events.send(EventKind::HostReconnecting { host, why, attempt: self.attempt }).await;
        tokio::time::sleep(backoff(self.attempt)).await;
        Ok(())
    }

    async fn reconnected(&mut self) {
        self.attempt = 0;
        if let Some(lost_at) = self.lost_at.take() {
            let after_ms = u64::try_from(lost_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            let host = self.link.host.clone();
            self.follow.events.send(EventKind::HostReconnected { host, after_ms }).await;
        }
    }
}

/// Full jitter below a bound that doubles.
fn backoff(attempt: u32) -> Duration {
    let bound = BACKOFF.0.saturating_mul(1 << attempt.min(10)).min(BACKOFF.1);
    bound.mul_f64(rand::rng().random_range(0.1..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::TaskResult;

    #[test]
    fn output_that_the_agent_cut_is_put_together_again_and_other_output_is_left_alone() {
        let end = |stdout: &str| {
            let mut result = TaskResult::default();
            result.data.insert("stdout".to_owned(), stdout.into());
            OpEnd::Done { result }
        };
        let text = |end: &OpEnd| end.result().and_then(|r| r.data.get("stdout")?.as_str().map(str::to_owned)).unwrap();
        let kept = |stdout: &str| {
            let mut kept = Kept::default();
            for piece in stdout.as_bytes().chunks(3) {
                kept.add(OutputStream::Stdout, piece);
            }
            kept
        };
        let long = "0123456789".repeat(10);
        let mut cut = end("01234\n[... 90 bytes left out ...]\n56789");
        kept(&format!("{long}\n")).complete(&mut cut);
        assert_eq!(text(&cut), long);
        let mut whole = end("short");
        kept("short\n\n\n").complete(&mut whole);
        assert_eq!(text(&whole), "short");
    }

    #[test]
    fn pauses_between_attempts_grow_to_a_bound() {
        for attempt in [1, 5, 100] {
            let pause = backoff(attempt);
            assert!(pause > Duration::ZERO && pause <= BACKOFF.1, "{attempt}: {pause:?}");
        }
    }
}
