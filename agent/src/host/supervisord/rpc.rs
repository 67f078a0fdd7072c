//! One XML-RPC call to supervisord, over HTTP on its Unix socket.

use dxr::{FaultResponse, MethodCall, MethodResponse, Value};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::time::Duration;

/// No method that is used here waits for a process.
const CALL_LIMIT: Duration = Duration::from_secs(25);

/// A description of all programs takes about 2 KiB a program.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// Why supervisord did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{socket} can not be reached: {source} (is supervisord running on this host?)")]
    Connect { socket: String, source: std::io::Error },
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with status {0}")]
    Status(http::StatusCode),
    #[error("its answer is not understood: {0}")]
    Answer(String),
    #[error("no answer within {} s", CALL_LIMIT.as_secs())]
    Late,
    #[error("{text}")]
    Fault { code: i32, text: String },
}

impl Trouble {
    pub(super) fn is_fault(&self, wanted: i32) -> bool {
        matches!(self, Self::Fault { code, .. } if *code == wanted)
    }
}

/// The way to a supervisord.
pub(super) struct Socket(pub(super) PathBuf);

impl Socket {
    /// Calls a method from a module's blocking thread.
    pub(super) fn call(&self, method: &str, params: Vec<Value>) -> Result<Value, Trouble> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| Trouble::Answer(error.to_string()))?;
        let call = async {
            tokio::time::timeout(CALL_LIMIT, self.exchange(method, params)).await.unwrap_or(Err(Trouble::Late))
        };
        runtime.block_on(call)
    }

    async fn exchange(&self, method: &str, params: Vec<Value>) -> Result<Value, Trouble> {
        let wrong = |error: &dyn std::fmt::Display| Trouble::Answer(error.to_string());
        let body = MethodCall { name: method.into(), params }.to_xml().map_err(|error| wrong(&error))?;
        let request = http::Request::post("/RPC2")
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "text/xml")
            .body(Full::new(bytes::Bytes::from(body)))
            .map_err(|error| wrong(&error))?;
        let connect = |source| Trouble::Connect { socket: self.0.display().to_string(), source };
        let stream = tokio::net::UnixStream::connect(&self.0).await.map_err(connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if !response.status().is_success() {
                return Err(Trouble::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| Trouble::Answer(error.to_string()))?.to_bytes();
            Ok(String::from_utf8_lossy(&body).into_owned())
        };
        tokio::pin!(answer, connection);
        // The connection carries the answer, so it is driven beside it; when it ends first, the answer says why.
        let answer = tokio::select! {
            answer = &mut answer => answer?,
            ended = &mut connection => {
                ended?;
                answer.await?
            }
        };
        understand(&answer)
    }
}

pub(super) fn understand(answer: &str) -> Result<Value, Trouble> {
    let error = match MethodResponse::from_xml(answer) {
        Ok(response) => return Ok(response.value),
        Err(error) => error,
    };
    match FaultResponse::from_xml(answer) {
        // "BAD_NAME: kafka" and the like: a word of supervisord, and what it is about.
        Ok(response) => Err(Trouble::Fault { code: response.fault.code(), text: response.fault.string().to_owned() }),
        Err(_neither) => Err(Trouble::Answer(error.to_string())),
    }
}
