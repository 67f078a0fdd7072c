//! Sends messages: tries, waits, and says what became of each.
//!
//! A message that has not arrived for sure is sent again after what is listed as passing, with growing pauses. One that may
//! have arrived is sent again only where the peer knows it by its key; elsewhere its end is unknown, and said to be.

use super::channel::{Answer, Context, Pace, Repeat, Request, Verdict};
use super::message::{DedupKey, Message};
use super::plan::{Notice, Sent};
use super::secret::scrub;
use super::settings::{Configured, Notify};
use jiff::Timestamp;
use rand::Rng as _;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How long one try may take. The peers answer within a second; a proxy may hold a request for some.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer is kept and shown, in bytes.
pub const RAW_BYTES: usize = 2048;

/// How often and how fast is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all.
    pub tries: u32,
    /// The pause after the first; it doubles.
    pub pause: Duration,
    /// No pause is longer; a peer that asks for more is not asked again in this run.
    pub longest: Duration,
    /// How long a try may take.
    pub timeout: Duration,
}

impl Retry {
    /// Four tries over some 15 seconds, and a minute where a peer asks for it: a nightly report can wait that long, and
    /// robots count by the minute.
    pub const NIGHTLY: Self =
        Self { tries: 4, pause: Duration::from_secs(2), longest: Duration::from_secs(60), timeout: TIMEOUT };

    /// One try: a person waits for the answer.
    pub const ONCE: Self = Self { tries: 1, pause: Duration::ZERO, longest: Duration::ZERO, timeout: TIMEOUT };

    /// The pause after a try (from 1); none when it is not to be tried again. `jitter` is from 0 to 1.
    #[must_use]
    pub fn pause_after(self, tried: u32, asked: Option<Duration>, jitter: f64) -> Option<Duration> {
        if tried >= self.tries {
            return None;
        }
        let doubled = self.pause.saturating_mul(1 << tried.saturating_sub(1).min(16));
        // Half of it is fixed, half is chance, so that many senders do not come back together.
        let own = doubled.min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        match asked {
            Some(asked) if asked > self.longest => None,
            Some(asked) => Some(asked.max(own)),
            None => Some(own),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It was not sent, and may be later.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It was not sent and can not be.
    #[error("can not be sent: {0}")]
    Impossible(String),
    /// It may have arrived.
    #[error("no answer: {0}")]
    Lost(String),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The peer has it.
    Delivered,
    /// The peer does not take it, or it can not be sent.
    Refused {
        /// Why.
        why: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// It passed over no try.
    Exhausted {
        /// What the last one said.
        why: String,
    },
    /// It may have arrived.
    Unknown {
        /// Why that is not known.
        why: String,
    },
}

/// The record of a message that was sent, or tried to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// Where to, without secrets.
    pub target: String,
    /// What the message is known by.
    pub key: DedupKey,
    /// Its title.
    pub title: String,
    /// When it ended.
    pub at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// The peer's last status, when it gave one.
    pub status: Option<u16>,
    /// The peer's last answer as it was, without secrets, at most [`RAW_BYTES`].
    pub raw: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// When a channel's messages were sent, as far as its pace asks.
#[derive(Debug, Default)]
pub struct Paced {
    sent: VecDeque<Instant>,
}

impl Paced {
    /// How long the next message must wait.
    #[must_use]
    pub fn wait(&self, paces: &[Pace], now: Instant) -> Duration {
        let of = |pace: &Pace| {
            let first = self.sent.len().checked_sub(pace.messages)?;
            Some((*self.sent.get(first)? + pace.within).saturating_duration_since(now))
        };
        paces.iter().filter_map(of).max().unwrap_or(Duration::ZERO)
    }

    /// A message was sent.
    pub fn sent(&mut self, at: Instant, paces: &[Pace]) {
        self.sent.push_back(at);
        let kept = paces.iter().map(|pace| pace.messages).max().unwrap_or(0);
        while self.sent.len() > kept {
            self.sent.pop_front();
        }
    }
}

/// Sends everything of a plan, each channel by itself and its messages one after another. For each delivered one the
/// records that are to be kept come with it.
///
/// # Cancellation
/// What was being sent may have arrived; nothing of it is recorded, so it is planned again.
pub async fn deliver_all(
    notify: &Notify,
    notices: Vec<Notice>,
    report: Option<&[u8]>,
    retry: Retry,
) -> Vec<(Delivery, Vec<Sent>)> {
    let channels = notify.channels.values().map(|configured| {
        let mine: Vec<&Notice> = notices.iter().filter(|notice| notice.channel == configured.name).collect();
        async move {
            let (mut paced, mut ends) = (Paced::default(), Vec::new());
            for notice in mine {
                let delivery = deliver(configured, &notice.message, report, retry, &mut paced).await;
                let kept = match delivery.outcome {
                    Outcome::Delivered => notice.tells.clone(),
                    Outcome::Refused { .. } | Outcome::Exhausted { .. } | Outcome::Unknown { .. } => Vec::new(),
                };
                ends.push((delivery, kept));
            }
            ends
        }
    });
    futures::future::join_all(channels).await.into_iter().flatten().collect()
}

/// Sends one message.
pub async fn deliver(
    configured: &Configured,
    message: &Message,
    report: Option<&[u8]>,
    retry: Retry,
    paced: &mut Paced,
) -> Delivery {
    let (channel, kind) = (&configured.channel, configured.kind);
    let mut last = None;
    let mut tries = 0;
    let outcome = loop {
        tokio::time::sleep(paced.wait(kind.pace, Instant::now())).await;
        // Signatures hold for a moment only, so each try has its own.
        let request = match channel.render(message, Context { now: Timestamp::now(), report }) {
            Ok(request) => request,
            Err(error) => break Outcome::Refused { why: error.to_string(), hint: None },
        };
        tries += 1;
        let answer = send(request, retry.timeout).await;
        paced.sent(Instant::now(), kind.pace);
        let asked = answer.as_ref().ok().and_then(|answer| answer.retry_after);
        let step = Step::of(configured, &answer);
        last = answer.ok().or(last);
        let why = match step {
            Step::End(outcome) => break outcome,
            Step::Again(why) => why,
        };
        let Some(pause) = retry.pause_after(tries, asked, rand::rng().random_range(0.0..1.0)) else {
            break exhausted(why);
        };
        tracing::info!(channel = configured.name, tries, why = why.text(), "a notice is tried again");
        tokio::time::sleep(pause).await;
    };
    record(configured, message, tries, last, outcome)
}

/// Why a message is tried again.
enum Why {
    /// The peer said so, or it was not sent.
    Passing(String),
    /// It may have arrived.
    Lost(String),
}

impl Why {
    fn text(&self) -> &str {
        match self {
            Self::Passing(text) | Self::Lost(text) => text,
        }
    }
}

fn exhausted(why: Why) -> Outcome {
    match why {
        Why::Passing(why) => Outcome::Exhausted { why },
        Why::Lost(why) => Outcome::Unknown { why },
    }
}

/// What follows from a try.
enum Step {
    End(Outcome),
    Again(Why),
}

impl Step {
    fn of(configured: &Configured, answer: &Result<Answer, SendError>) -> Self {
        let secrets = configured.channel.secrets();
        let clean = |text: &str| scrub(text, &secrets);
        match answer {
            Ok(answer) => match configured.channel.judge(answer) {
                Verdict::Delivered => Self::End(Outcome::Delivered),
                Verdict::Transient(why) => Self::Again(Why::Passing(clean(&why))),
                Verdict::Refused { why, hint } => Self::End(Outcome::Refused { why: clean(&why), hint }),
            },
            Err(SendError::Impossible(why)) => Self::End(Outcome::Refused { why: clean(why), hint: None }),
            Err(SendError::NotSent(why)) => Self::Again(Why::Passing(clean(why))),
            Err(SendError::Lost(why)) => match configured.kind.repeat {
                Repeat::Harmless => Self::Again(Why::Lost(clean(why))),
                Repeat::Doubles => Self::End(Outcome::Unknown { why: clean(why) }),
            },
        }
    }
}

async fn send(request: Request, timeout: Duration) -> Result<Answer, SendError> {
    match request {
        Request::Http(request) => super::http::post(request, timeout).await,
        Request::Mail(request) => super::smtp::send(*request, timeout).await,
    }
}

fn record(configured: &Configured, message: &Message, tries: u32, last: Option<Answer>, outcome: Outcome) -> Delivery {
    let raw = last.as_ref().map(|answer| scrub(&answer.body, &configured.channel.secrets())).unwrap_or_default();
    let delivery = Delivery {
        channel: configured.name.clone(),
        target: configured.channel.target(),
        key: message.key.clone(),
        title: message.title.clone(),
        at: Timestamp::now(),
        tries,
        status: last.map(|answer| answer.status),
        raw: super::message::cut(&raw, RAW_BYTES),
        outcome,
    };
    match &delivery.outcome {
        Outcome::Delivered => tracing::info!(channel = delivery.channel, tries, "a notice was delivered"),
        Outcome::Refused { why, .. } | Outcome::Exhausted { why } | Outcome::Unknown { why } => {
            tracing::warn!(channel = delivery.channel, tries, why, "a notice was not delivered");
        }
    }
    delivery
}

#[cfg(test)]
mod tests;
