//! Files fetched over HTTP and HTTPS.
//!
//! A transfer that is cut goes on where it was (Range with If-Range, RFC 9110 section 13.1.5) as long as it gets
//! anywhere; what arrives is bounded; silence has a limit and a cancelled op ends within a second. TLS is rustls with
//! the host's own bundle of authorities, names are always checked, and no redirect leads from HTTPS to HTTP.
//! Built on hyper, which the agent has anyway: clients that are made of it bring connection pools and cookies, and the
//! blocking ones have no limit on silence that would let a large file take its time.
//! Not here: where the file goes and what it must hash to (`real`, the modules), proxies.

mod client;
mod url;

#[cfg(test)]
mod tests;

use super::{HostError, OpContext};
use client::{Client, Exchange};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use url::Url;

pub(super) use url::shown;

/// As many redirects as browsers follow, and more than any mirror needs.
const REDIRECTS: usize = 10;

/// How often in a row a transfer may be cut without a byte of progress.
const IDLE_TRIES: u32 = 5;

/// How often it may be cut at all: a server that gives little by little is not waited for without end.
const TRIES: u32 = 100;

/// The pause before going on, doubled after each try without progress.
const PAUSE: Duration = Duration::from_millis(500);

/// How often it is looked whether the op was stopped, and the operator hears how far it is.
const TICK: Duration = Duration::from_secs(1);

/// What to fetch, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// From where; `http` or `https`.
    pub url: String,
    /// Further headers. They stay with the host that they are meant for.
    pub headers: BTreeMap<String, String>,
    /// How long a connection, an answer or the next byte is waited for.
    pub timeout: Duration,
    /// The authorities that may have signed the server's certificate, as PEM; the host's own when none.
    pub authorities: Option<PathBuf>,
    /// The largest content that is taken, in bytes.
    pub limit: u64,
}

/// Why a try did not bring the whole content.
#[derive(Debug)]
enum Broken {
    /// Another try may.
    Passing(String),
    /// None will.
    Final(String),
    /// The content is not there (404, 410).
    Missing,
    /// The file could not be written, or the op was stopped.
    Here(HostError),
}

use Broken::{Final, Here, Missing, Passing};

/// What takes the content.
pub(super) trait Sink {
    /// Forgets what it has.
    fn restart(&mut self) -> Result<(), HostError>;

    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), HostError>;
}

/// Fetches into a sink; false when the server says that there is no such thing.
///
/// # Errors
/// When it can not be had, or the op is stopped.
pub(super) fn fetch(context: &dyn OpContext, request: &Request, sink: &mut dyn Sink) -> Result<bool, HostError> {
    let failed = |why: String| HostError::Fetch { url: shown(&request.url), why };
    let runtime = Handle::try_current().map_err(|error| failed(error.to_string()))?;
    let url = Url::parse(&request.url).map_err(failed)?;
    let client = Client::new(request, &url).map_err(failed)?;
    let mut transfer =
        Transfer { context, request, url, client, got: 0, total: None, validator: None, told: None, sink };
    match runtime.block_on(transfer.run()) {
        Ok(()) => Ok(true),
        Err(Missing) => Ok(false),
        Err(Here(error)) => Err(error),
        Err(Passing(why) | Final(why)) => Err(failed(why)),
    }
}

/// One content on its way.
struct Transfer<'a> {
    context: &'a dyn OpContext,
    request: &'a Request,
    url: Url,
    client: Client<'a>,
    got: u64,
    total: Option<u64>,
    /// What the server says to know the content by: a strong entity tag, or the time of its last change.
    validator: Option<HeaderValue>,
    told: Option<Instant>,
    sink: &'a mut dyn Sink,
}

impl Transfer<'_> {
    async fn run(&mut self) -> Result<(), Broken> {
        let mut idle = 0;
        for _ in 0..TRIES {
            let before = self.got;
            let why = match self.attempt().await {
                Err(Passing(why)) => why,
                over => return over,
            };
            idle = if self.got > before { 0 } else { idle + 1 };
            if idle >= IDLE_TRIES {
                return Err(Final(format!("{why} ({idle} tries without progress)")));
            }
            self.context.progress(&format!("{}: {why}; trying again", self.far()));
            self.pause(PAUSE * 2_u32.saturating_pow(idle)).await?;
        }
        Err(Final(format!("it was cut {TRIES} times")))
    }

    async fn pause(&self, time: Duration) -> Result<(), Broken> {
        let until = Instant::now() + time;
        loop {
            self.alive()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
    }

    fn alive(&self) -> Result<(), Broken> {
        if self.context.stopping() {
            return Err(Here(HostError::Stopped(format!("the content of {}", shown(&self.request.url)))));
        }
        Ok(())
    }

    /// For people: how far it is.
    fn far(&self) -> String {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let of = self.total.map(|total| format!(" of {} MiB", mib(total))).unwrap_or_default();
        format!("fetched {}{of} from {}", mib(self.got), self.url.host())
    }

    fn restart(&mut self) -> Result<(), Broken> {
        self.got = 0;
        self.total = None;
        self.validator = None;
        self.sink.restart().map_err(Here)
    }

    /// One connection: from where the last one ended, when the server can, else from the beginning.
    async fn attempt(&mut self) -> Result<(), Broken> {
        if self.got > 0 && self.validator.is_none() {
            // Nothing would tell that the rest is of the same content.
            self.restart()?;
        }
        let range = self.validator.as_ref().filter(|_| self.got > 0).map(|validator| (self.got, validator));
        let mut exchange = self.client.get(&self.url, range).await?;
        match exchange.response.status() {
            StatusCode::OK => {
                if self.got > 0 {
                    self.restart()?;
                }
                self.total = length(&exchange.response);
                self.validator = validator(&exchange.response);
            }
            StatusCode::PARTIAL_CONTENT => match content_range(&exchange.response) {
                Some((from, total)) if from == self.got && self.total.is_none_or(|known| known == total) => {
                    self.total = Some(total);
                }
                Some(_) | None => {
                    self.restart()?;
                    return Err(Passing("the server gave another part than it was asked for".to_owned()));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if self.got > 0 => {
                self.restart()?;
                return Err(Passing("the server has less than it had".to_owned()));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Missing),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Passing(format!("the server answers {status}")));
            }
            status => return Err(Final(format!("the server answers {status}"))),
        }
        self.within_limit(self.total.unwrap_or_default())?;
        self.body(&mut exchange).await
    }

    fn within_limit(&self, bytes: u64) -> Result<(), Broken> {
        if bytes <= self.request.limit {
            return Ok(());
        }
        Err(Final(format!("it is larger than the {} bytes that are allowed", self.request.limit)))
    }

    async fn body(&mut self, exchange: &mut Exchange) -> Result<(), Broken> {
        let mut silent = Duration::ZERO;
        loop {
            self.alive()?;
            let tick = TICK.min(self.request.timeout);
            // Cancel safe: a frame that is not there yet is still there at the next look.
            let frame = match timeout(tick, exchange.response.body_mut().frame()).await {
                Err(_) => {
                    silent += tick;
                    if silent >= self.request.timeout {
                        return Err(Passing(format!("no byte came for {} s", silent.as_secs())));
                    }
                    continue;
                }
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(Passing(format!("the connection ended early ({error})"))),
                Ok(Some(Ok(frame))) => frame,
            };
            silent = Duration::ZERO;
            let Ok(bytes) = frame.into_data() else { continue };
            self.got = self.got.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            self.within_limit(self.got)?;
            self.sink.take(&bytes).map_err(Here)?;
            if self.told.is_none_or(|told| told.elapsed() >= TICK) {
                self.told = Some(Instant::now());
                self.context.progress(&self.far());
            }
        }
        match self.total {
            Some(total) if self.got != total => Err(Passing(format!("it ended after {} of {total} bytes", self.got))),
            Some(_) | None => Ok(()),
        }
    }
}

fn length(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A weak tag does not promise the same bytes (RFC 9110, section 8.8.1).
fn validator(response: &Response<Incoming>) -> Option<HeaderValue> {
    let headers = response.headers();
    let tag = headers.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    tag.or_else(|| headers.get(header::LAST_MODIFIED)).cloned()
}

/// `bytes 100-199/200`: where the part begins, and the size of the whole.
fn content_range(response: &Response<Incoming>) -> Option<(u64, u64)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (part, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = part.split_once('-')?;
    Some((from.parse().ok()?, total.parse().ok()?))
}
