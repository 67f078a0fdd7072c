//! The contract of a channel, and the table of all there are.
//!
//! A channel turns a message into one request within its peer's limits, and judges the peer's answer. It sends nothing:
//! [`super::send`] does, for all of them. To add one, write its file and one line of [`KINDS`].

use super::fields::Fields;
use super::message::{Message, RenderError};
use super::secret::Secret;
use super::{alertmanager, dingtalk, email, feishu, pagerduty, slack, webhook, wecom};
use jiff::Timestamp;
use std::time::Duration;

/// What a message is rendered with, beside itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The time, for signatures. Each try is signed anew.
    pub now: Timestamp,
    /// The report as a file, for channels that attach it.
    pub report: Option<&'a [u8]>,
}

/// A channel with its settings.
pub trait Channel: std::fmt::Debug + Send + Sync {
    /// Where it sends to, without secrets.
    fn target(&self) -> String;

    /// What of its settings is secret.
    fn secrets(&self) -> Vec<&Secret>;

    /// The request that tells a message.
    ///
    /// # Errors
    /// When it can not be put into the channel's form.
    fn render(&self, message: &Message, context: Context<'_>) -> Result<Request, RenderError>;

    /// What the peer's answer means.
    fn judge(&self, answer: &Answer) -> Verdict;
}

/// How a channel takes what is found in a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Messages for people: what is news, as a digest or one for each cause.
    Chat,
    /// One event for each cause, which is opened, acknowledged and resolved by its key.
    Event,
    /// Everything that is so now, every night.
    State,
}

/// Whether a message that may have arrived can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The peer knows it by its key and takes it as the same.
    Harmless,
    /// People would read it twice.
    Doubles,
}

/// At most so many messages in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many.
    pub messages: usize,
    /// In how much time.
    pub within: Duration,
}

impl Pace {
    /// So many a minute.
    #[must_use]
    pub const fn a_minute(messages: usize) -> Self {
        Self { messages, within: Duration::from_secs(60) }
    }

    /// So many a second.
    #[must_use]
    pub const fn a_second(messages: usize) -> Self {
        Self { messages, within: Duration::from_secs(1) }
    }
}

/// A kind of channel.
#[derive(Debug)]
pub struct Kind {
    /// Its name in `notify.yml`, the value of `type`.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// How it takes a night.
    pub style: Style,
    /// Whether it can be sent again.
    pub repeat: Repeat,
    /// What its peer allows; all hold.
    pub pace: &'static [Pace],
    /// Reads its settings; none when they are wrong, which the diagnostics say.
    pub build: fn(&mut Fields<'_, '_>) -> Option<Box<dyn Channel>>,
}

/// Every kind.
pub const KINDS: [&Kind; 8] = [
    &dingtalk::KIND,
    &wecom::KIND,
    &feishu::KIND,
    &slack::KIND,
    &email::KIND,
    &pagerduty::KIND,
    &alertmanager::KIND,
    &webhook::KIND,
];

/// What is sent.
#[derive(Debug, Clone)]
pub enum Request {
    /// Over HTTP.
    Http(HttpRequest),
    /// Over SMTP.
    Mail(Box<email::MailRequest>),
}

/// An HTTP POST of JSON.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// The whole address; it may hold a token.
    pub url: Secret,
    /// Headers beside the content type.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body.
    pub body: String,
    /// Whom to trust and as whom to connect.
    pub tls: Tls,
}

/// How a TLS connection is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities in PEM beside those of the system.
    pub authorities: Option<String>,
    /// A certificate chain and its key, both in PEM.
    pub identity: Option<(String, Secret)>,
}

/// What the peer said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status of HTTP, or the code of SMTP.
    pub status: u16,
    /// The body, as far as it is kept.
    pub body: String,
    /// How long the peer asks to wait.
    pub retry_after: Option<Duration>,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The message is there.
    Delivered,
    /// It may go through later.
    Transient(String),
    /// It will not go through as it is.
    Refused {
        /// Why, in the peer's words.
        why: String,
        /// What to do.
        hint: Option<&'static str>,
    },
}

impl Verdict {
    /// A refusal without advice.
    #[must_use]
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), hint: None }
    }
}

/// Statuses of HTTP after which the same request may succeed: RFC 9110, sections 15.5.9 and 15.6; RFC 6585, section 4.
const TRANSIENT: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// What the status of HTTP alone says: nothing when it is one of `good`.
#[must_use]
pub fn status_verdict(answer: &Answer, good: impl Fn(u16) -> bool) -> Option<Verdict> {
    let status = answer.status;
    if good(status) {
        return None;
    }
    let why = format!("HTTP status {status}");
    Some(match status {
        status if TRANSIENT.contains(&status) => Verdict::Transient(why),
        300..=399 => Verdict::Refused { why, hint: Some("redirects are not followed; write the final address as url") },
        401 | 403 => Verdict::Refused { why, hint: Some("the token, key or password is wrong or may not do this") },
        404 | 410 => Verdict::Refused { why, hint: Some("the address is wrong, or the robot or hook was removed") },
        _ => Verdict::refused(why),
    })
}

/// What a robot's JSON says that answers 200 to everything: a number under `code`, 0 for success, and a text.
#[must_use]
pub fn coded_verdict(
    answer: &Answer,
    (code, text): (&str, &str),
    transient: &[i64],
    hints: &[(i64, &'static str)],
) -> Verdict {
    if let Some(verdict) = status_verdict(answer, |status| status == 200) {
        return verdict;
    }
    let Ok(body) = serde_json::from_str::<serde_json::Value>(&answer.body) else {
        return Verdict::refused(format!("the answer is no JSON with {code}"));
    };
    let Some(number) = body.get(code).and_then(serde_json::Value::as_i64) else {
        return Verdict::refused(format!("the answer has no number {code}"));
    };
    let said = body.get(text).and_then(serde_json::Value::as_str).unwrap_or_default();
    let why = format!("{code} {number}: {said}");
    match number {
        0 => Verdict::Delivered,
        number if transient.contains(&number) => Verdict::Transient(why),
        number => Verdict::Refused { why, hint: hints.iter().find(|(code, _)| *code == number).map(|(_, hint)| *hint) },
    }
}

/// An address for people: scheme, host, and the part of the path that is known to be public.
#[must_use]
pub fn masked(url: &Secret, public_path: &str) -> String {
    let Some((scheme, rest)) = url.reveal().split_once("://") else { return super::secret::MASK.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (shown, hidden) = match path.strip_prefix(public_path) {
        Some(hidden) => (public_path, hidden),
        None => ("", path),
    };
    let mask = if hidden.trim_matches('/').is_empty() { "" } else { super::secret::MASK };
    let slash = if shown.is_empty() && !mask.is_empty() { "/" } else { "" };
    format!("{scheme}://{host}{shown}{slash}{mask}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_is_secret_in_it() {
        let cases = [
            (
                "https://oapi.dingtalk.com/robot/send?access_token=abc",
                "/robot/send",
                "https://oapi.dingtalk.com/robot/send***",
            ),
            ("https://hooks.slack.com/services/T0/B0/xyz", "/services/", "https://hooks.slack.com/services/***"),
            ("https://u:p@host:8443/secret", "", "https://host:8443/***"),
            ("https://host", "", "https://host"),
            ("https://host/", "", "https://host"),
            ("https://host/other?x=1", "/robot/send", "https://host/***"),
            ("http://am:9093/api/v2/alerts", "/api/v2/alerts", "http://am:9093/api/v2/alerts"),
            ("garbage", "", "***"),
        ];
        for (url, public, shown) in cases {
            assert_eq!(masked(&Secret::new(url), public), shown, "{url}");
        }
    }

    #[test]
    fn every_kind_has_its_own_name() {
        let mut names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
    }
}
