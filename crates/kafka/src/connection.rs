//! One connection to one broker: frames, versions, correlation ids, deadlines.
//!
//! A request goes out, its answer comes in, then the next: a snapshot needs no more, and the order of answers can not
//! be mixed up. A connection on which an exchange failed or was cut short is never used again.

use crate::access::{Address, KafkaAccess};
use crate::error::{Api, ErrorCode, KafkaError};
use crate::sasl;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange};
use rustls_pki_types::ServerName;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// The largest answer that is read. Kafka's own default bound for a frame (`socket.request.max.bytes`) is the same;
/// metadata of a million partitions is near 60 MB.
pub(crate) const MAX_ANSWER: usize = 100 * 1024 * 1024;

/// How much of an answer is asked from the allocator before any of it has come.
const FIRST_CHUNK: usize = 64 * 1024;

/// The name that brokers' request logs and metrics show.
const CLIENT: &str = "kfleet";

/// What both kinds of connection are.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection whose broker has said which versions it speaks.
pub(crate) struct Connection {
    broker: Address,
    stream: Box<dyn Stream>,
    versions: BTreeMap<Api, VersionRange>,
    next_id: i32,
    /// False while an exchange is under way; stays so when it fails or its future is dropped.
    usable: bool,
    /// Bytes of all answers.
    received: u64,
}

impl Connection {
    /// Connects, makes the TLS handshake when the access says so, asks for the versions, and authenticates.
    pub(crate) async fn open(access: &KafkaAccess, broker: &Address, deadline: Instant) -> Result<Self, KafkaError> {
        let stream = within(deadline, broker, "the connection", connect(access, broker)).await?;
        let mut connection =
            Self { broker: broker.clone(), stream, versions: BTreeMap::new(), next_id: 0, usable: true, received: 0 };
        connection.negotiate(deadline).await?;
        if let Some(credentials) = &access.sasl {
            sasl::authenticate(&mut connection, credentials, access.tls.is_some(), deadline).await?;
        }
        Ok(connection)
    }

    /// Who is at the other end.
    pub(crate) fn broker(&self) -> &Address {
        &self.broker
    }

    /// Whether the broker knows the request at all, in a version that is known here.
    pub(crate) fn supports<R: Request>(&self) -> bool {
        self.highest::<R>().is_some()
    }

    /// The version that [`Self::call`] would speak; a request whose form differs by version is made for it.
    pub(crate) fn highest<R: Request>(&self) -> Option<i16> {
        self.version::<R>(R::VERSIONS.min).ok()
    }

    /// Whether another exchange can follow on it.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Bytes of all answers so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Sends a request in the highest version both sides speak and reads its answer.
    ///
    /// # Cancellation
    /// When the future is dropped before its end, the connection is not usable any more and says so.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, deadline: Instant) -> Result<R::Response, KafkaError> {
        self.call_at_least(request, R::VERSIONS.min, deadline).await
    }

    /// As [`Self::call`]; `at_least` is the lowest version whose answer holds all that the caller needs.
    pub(crate) async fn call_at_least<R: Request>(
        &mut self,
        request: &R,
        at_least: i16,
        deadline: Instant,
    ) -> Result<R::Response, KafkaError> {
        let version = self.version::<R>(at_least)?;
        let body = self.exchange(request, version, deadline).await?;
        self.decode::<R>(version, body)
    }

    /// An error answer as an error.
    pub(crate) fn refused(&self, api: i16, about: impl Into<String>, code: i16, message: Option<&str>) -> KafkaError {
        let message = message.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
        KafkaError::Refused {
            broker: self.broker.clone(),
            api: Api(api),
            about: about.into(),
            code: ErrorCode(code),
            message,
        }
    }

    fn version<R: Request>(&self, at_least: i16) -> Result<i16, KafkaError> {
        let theirs = self.versions.get(&Api(R::KEY));
        let ours = VersionRange { min: at_least, max: R::VERSIONS.max };
        match theirs.map(|range| range.intersect(&ours)) {
            Some(common) if !common.is_empty() => Ok(common.max),
            Some(_) | None => Err(KafkaError::Unsupported {
                broker: self.broker.clone(),
                api: Api(R::KEY),
                ours_min: ours.min,
                ours_max: ours.max,
                theirs: theirs.map_or_else(|| "none".to_owned(), |range| format!("{} to {}", range.min, range.max)),
            }),
        }
    }

    /// Learns the versions. A broker that does not know our version of this very request answers in version 0 with
    /// UNSUPPORTED_VERSION and, since Kafka 2.4, with the range that it does know.
    async fn negotiate(&mut self, deadline: Instant) -> Result<(), KafkaError> {
        let mut version = <ApiVersionsRequest as kafka_protocol::protocol::Message>::VERSIONS.max;
        loop {
            let mut request = ApiVersionsRequest::default();
            if version >= 3 {
                request.client_software_name = StrBytes::from_static_str(CLIENT);
                request.client_software_version = StrBytes::from_static_str(env!("CARGO_PKG_VERSION"));
            }
            let body = self.exchange(&request, version, deadline).await?;
            let code = body.get(..2).map_or(0, |mut code| code.get_i16());
            let spoken = if ErrorCode(code) == ErrorCode::UNSUPPORTED_VERSION { 0 } else { version };
            let answer = self.decode::<ApiVersionsRequest>(spoken, body)?;
            let versions = versions_of(&answer);
            match next_attempt(code, version, &versions) {
                Negotiation::Agreed => {
                    self.versions = versions;
                    return Ok(());
                }
                Negotiation::Again(lower) => version = lower,
                Negotiation::Failed => {
                    return Err(self.refused(ApiVersionsRequest::KEY, "the broker", code, None));
                }
            }
        }
    }

    /// Sends one frame and reads one, header checked and taken off.
    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<Bytes, KafkaError> {
        let api = Api(R::KEY);
        if !std::mem::take(&mut self.usable) {
            let source = io::Error::new(io::ErrorKind::NotConnected, "an earlier exchange on it was cut short");
            return Err(KafkaError::Broken { broker: self.broker.clone(), api, source });
        }
        self.next_id = self.next_id.wrapping_add(1);
        let malformed =
            |broker: &Address, why: String| KafkaError::Malformed { broker: broker.clone(), api, version, why };
        let frame = encode(request, version, self.next_id)
            .map_err(|error| malformed(&self.broker, format!("the request can not be written: {error}")))?;
        let broker = self.broker.clone();
        let mut answer = within(deadline, &broker, &api.to_string(), self.send_and_receive(api, &frame)).await?;
        self.received += answer.len() as u64;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|error| malformed(&broker, format!("its header is not valid: {error:#}")))?;
        if header.correlation_id != self.next_id {
            let why = format!("it answers request {}, not {}", header.correlation_id, self.next_id);
            return Err(malformed(&broker, why));
        }
        self.usable = true;
        Ok(answer)
    }

    async fn send_and_receive(&mut self, api: Api, frame: &[u8]) -> Result<Bytes, KafkaError> {
        let broken = |source| KafkaError::Broken { broker: self.broker.clone(), api, source };
        self.stream.write_all(frame).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)?;
        match read_frame(&mut self.stream).await.map_err(broken)? {
            Frame::Whole(bytes) => Ok(bytes),
            Frame::TooLarge(size) => {
                Err(KafkaError::TooLarge { broker: self.broker.clone(), api, size, limit: MAX_ANSWER as u64 })
            }
        }
    }

    fn decode<R: Request>(&self, version: i16, mut body: Bytes) -> Result<R::Response, KafkaError> {
        R::Response::decode(&mut body, version).map_err(|error| KafkaError::Malformed {
            broker: self.broker.clone(),
            api: Api(R::KEY),
            version,
            why: format!("{error:#}"),
        })
    }
}

/// Bounds a step by the deadline; the error says how long this step was given.
async fn within<T>(
    deadline: Instant,
    broker: &Address,
    what: &str,
    step: impl Future<Output = Result<T, KafkaError>>,
) -> Result<T, KafkaError> {
    let start = Instant::now();
    match tokio::time::timeout_at(deadline, step).await {
        Ok(result) => result,
        Err(_) => Err(KafkaError::Timeout { broker: broker.clone(), what: what.to_owned(), waited: start.elapsed() }),
    }
}

async fn connect(access: &KafkaAccess, broker: &Address) -> Result<Box<dyn Stream>, KafkaError> {
    let failed = |source| KafkaError::Connect { broker: broker.clone(), source };
    let tcp = TcpStream::connect((broker.host.as_str(), broker.port)).await.map_err(failed)?;
    // Requests are small and each one is waited for: waiting to fill a packet would only add delay.
    tcp.set_nodelay(true).map_err(failed)?;
    let Some(config) = &access.tls else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(broker.host.clone()).map_err(|_| KafkaError::TlsName { broker: broker.clone() })?;
    let tls = TlsConnector::from(config.clone())
        .connect(name, tcp)
        .await
        .map_err(|source| KafkaError::Tls { broker: broker.clone(), source })?;
    Ok(Box::new(tls))
}

/// Size, header and body in one buffer.
fn encode<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
) -> Result<BytesMut, Box<dyn std::error::Error + Send + Sync>> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT)));
    let mut frame = BytesMut::with_capacity(256);
    frame.put_i32(0);
    header.encode(&mut frame, R::header_version(version))?;
    request.encode(&mut frame, version)?;
    let size = i32::try_from(frame.len() - 4)?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(frame)
}

/// What was read.
enum Frame {
    Whole(Bytes),
    TooLarge(u64),
}

/// Reads one frame. Memory grows with what has come, not with what the size claims.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> io::Result<Frame> {
    // Read as unsigned, so that a negative size is one that is too large.
    let size = stream.read_u32().await?;
    let wanted = size as usize;
    if wanted > MAX_ANSWER {
        return Ok(Frame::TooLarge(u64::from(size)));
    }
    let mut bytes = BytesMut::with_capacity(wanted.min(FIRST_CHUNK));
    let mut limited = stream.take(u64::from(size));
    while bytes.len() < wanted {
        if limited.read_buf(&mut bytes).await? == 0 {
            let why = format!("it ended after {} of {wanted} bytes", bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
    }
    Ok(Frame::Whole(bytes.freeze()))
}

fn versions_of(answer: &ApiVersionsResponse) -> BTreeMap<Api, VersionRange> {
    let ranges = answer.api_keys.iter();
    ranges.map(|key| (Api(key.api_key), VersionRange { min: key.min_version, max: key.max_version })).collect()
}

/// What follows from an answer about versions.
#[derive(Debug, PartialEq)]
enum Negotiation {
    Agreed,
    Again(i16),
    Failed,
}

fn next_attempt(code: i16, asked: i16, versions: &BTreeMap<Api, VersionRange>) -> Negotiation {
    match ErrorCode::check(code) {
        None => Negotiation::Agreed,
        Some(ErrorCode::UNSUPPORTED_VERSION) if asked > 0 => {
            let known = versions.get(&Api(ApiVersionsRequest::KEY)).map_or(0, |range| range.max);
            // Strictly downwards, so that no answer keeps this going for ever.
            Negotiation::Again(known.clamp(0, asked - 1))
        }
        Some(_) => Negotiation::Failed,
    }
}

#[cfg(test)]
mod tests;
