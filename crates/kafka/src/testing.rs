//! A broker for tests: real sockets and real frames, and answers that no live broker can be made to give.

use crate::Address;
use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request: what its header says, and all of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) api: i16,
    pub(crate) version: i16,
    pub(crate) id: i32,
    pub(crate) frame: Bytes,
}

impl Asked {
    /// The request itself.
    pub(crate) fn request<R: Request + Decodable>(&self) -> R {
        let mut frame = self.frame.clone();
        RequestHeader::decode(&mut frame, R::header_version(self.version)).unwrap();
        R::decode(&mut frame, self.version).unwrap()
    }
}

/// A listener whose connections are answered one after the other, until it is dropped.
pub(crate) struct Broker {
    pub(crate) address: Address,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

impl Broker {
    /// `reply` makes the whole answer of a request but for its size; none is silence, an empty one ends the connection.
    pub(crate) async fn start(reply: impl FnMut(Asked) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Self::listen(None, reply).await
    }

    pub(crate) async fn start_tls(
        acceptor: TlsAcceptor,
        reply: impl FnMut(Asked) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        Self::listen(Some(acceptor), reply).await
    }

    async fn listen(
        acceptor: Option<TlsAcceptor>,
        mut reply: impl FnMut(Asked) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &acceptor {
                    None => serve(stream, &log, &mut reply).await,
                    // A client that does not trust us ends the handshake.
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &log, &mut reply).await;
                        }
                    }
                }
            }
        });
        Self { address, asked, serving }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<Asked>>,
    reply: &mut impl FnMut(Asked) -> Option<Vec<u8>>,
) {
    while let Ok(size) = stream.read_u32().await {
        let mut frame = vec![0; size as usize];
        stream.read_exact(&mut frame).await.unwrap();
        let asked = Asked {
            api: i16::from_be_bytes(frame[0..2].try_into().unwrap()),
            version: i16::from_be_bytes(frame[2..4].try_into().unwrap()),
            id: i32::from_be_bytes(frame[4..8].try_into().unwrap()),
            frame: frame.into(),
        };
        log.lock().unwrap().push(asked.clone());
        if let Some(answer) = reply(asked) {
            if answer.is_empty() {
                return;
            }
            stream.write_u32(u32::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }
}

/// An answer in the version and with the id that were asked for.
pub(crate) fn answer<R: Request>(asked: &Asked, response: &R::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = ResponseHeader::default().with_correlation_id(asked.id);
    header.encode(&mut bytes, R::Response::header_version(asked.version)).unwrap();
    response.encode(&mut bytes, asked.version).unwrap();
    bytes
}

/// An answer that the broker speaks the given apis, each with its lowest and highest version.
pub(crate) fn answers_versions(asked: &Asked, apis: &[(i16, i16, i16)]) -> Vec<u8> {
    let apis = apis
        .iter()
        .map(|&(api, min, max)| ApiVersion::default().with_api_key(api).with_min_version(min).with_max_version(max));
    answer::<ApiVersionsRequest>(asked, &ApiVersionsResponse::default().with_api_keys(apis.collect()))
}
