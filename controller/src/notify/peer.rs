//! Peers of channels on loopback, for tests: an HTTP server and an SMTP server that keep what they get and answer as told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Got {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A value of the query, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        let (_, value) = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
        Some(value.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="))
    }
}

/// What the peer does.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers with a status, headers and a body.
    Http(u16, &'static str, String),
    /// Sends bytes that are no HTTP.
    Raw(&'static [u8]),
    /// Closes without a word.
    Close,
    /// Says nothing until the other side goes.
    Hang,
}

impl Reply {
    pub(crate) fn of(status: u16, body: &str) -> Self {
        Self::Http(status, "", body.to_owned())
    }
}

type Handler = Arc<dyn Fn(&Got, usize) -> Reply + Send + Sync>;

/// A server that ends when it is dropped.
pub(crate) struct Peer {
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// A server whose answer is a function of the request and of how many came before.
    pub(crate) async fn http(handler: impl Fn(&Got, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(handler), None).await
    }

    /// The same behind TLS.
    pub(crate) async fn https(
        tls: TlsAcceptor,
        handler: impl Fn(&Got, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Arc::new(handler), Some(tls)).await
    }

    async fn start(handler: Handler, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&got);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, kept, tls) = (Arc::clone(&handler), Arc::clone(&kept), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &handler, &kept).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &handler, &kept).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, got, _tasks: tasks }
    }

    /// The requests so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// An address at it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, handler: &Handler, kept: &Mutex<Vec<Got>>) {
    let mut stream = BufReader::new(stream);
    let Some(got) = request(&mut stream).await else { return };
    let before = {
        let mut kept = kept.lock().unwrap();
        kept.push(got.clone());
        kept.len() - 1
    };
    let bytes = match handler(&got, before) {
        Reply::Http(status, headers, body) => {
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
                .into_bytes()
        }
        Reply::Raw(bytes) => bytes.to_vec(),
        Reply::Close => return,
        Reply::Hang => {
            let _gone = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
    };
    let _gone = stream.write_all(&bytes).await;
    let _gone = stream.shutdown().await;
}

async fn request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Got> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    assert_eq!(words.next()?, "POST");
    let path = words.next()?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Got { path, headers, body: String::from_utf8(body).ok()? })
}

/// What an SMTP server does.
#[derive(Clone, Default)]
pub(crate) struct Mailbox {
    /// Name and password that it wants; none for no login.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// TLS after STARTTLS, which it demands then.
    pub(crate) starttls: Option<TlsAcceptor>,
    /// TLS from the first byte.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Its word after the data; `250 2.0.0 queued` by default.
    pub(crate) after_data: Option<&'static str>,
}

/// A mail as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
    pub(crate) encrypted: bool,
}

/// An SMTP server that ends when it is dropped.
pub(crate) struct SmtpPeer {
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Mail>>>,
    _tasks: JoinSet<()>,
}

impl SmtpPeer {
    pub(crate) async fn start(mailbox: Mailbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&got);
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut talk =
                    Talk { mailbox: &mailbox, kept: &kept, encrypted: false, allowed: mailbox.login.is_none() };
                if let Some(tls) = &mailbox.tls {
                    let Ok(stream) = tls.accept(stream).await else { continue };
                    talk.encrypted = true;
                    let _gone = talk.run(BufReader::new(stream), true).await;
                    continue;
                }
                let Ok(Some(plain)) = talk.run(BufReader::new(stream), true).await else { continue };
                let Some(tls) = &mailbox.starttls else { continue };
                let Ok(stream) = tls.accept(plain).await else { continue };
                talk.encrypted = true;
                let _gone = talk.run(BufReader::new(stream), false).await;
            }
        });
        Self { port, got, _tasks: tasks }
    }

    pub(crate) fn got(&self) -> Vec<Mail> {
        self.got.lock().unwrap().clone()
    }
}

struct Talk<'a> {
    mailbox: &'a Mailbox,
    kept: &'a Mutex<Vec<Mail>>,
    encrypted: bool,
    allowed: bool,
}

impl Talk<'_> {
    /// Talks until the end, or gives the bare stream for STARTTLS.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut stream: BufReader<S>,
        greet: bool,
    ) -> std::io::Result<Option<S>> {
        if greet {
            stream.write_all(b"220 mail.test ESMTP\r\n").await?;
        }
        let mut mail = Mail { encrypted: self.encrypted, ..Mail::default() };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let must_encrypt = self.mailbox.starttls.is_some() && !self.encrypted;
            let answer = match word.as_str() {
                "EHLO" if must_encrypt => "250-mail.test\r\n250 STARTTLS".to_owned(),
                "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN".to_owned(),
                "STARTTLS" => {
                    stream.write_all(b"220 go ahead\r\n").await?;
                    return Ok(Some(stream.into_inner()));
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(None);
                }
                _ if must_encrypt => "530 5.7.0 Must issue a STARTTLS command first".to_owned(),
                "AUTH" => self.auth(line),
                _ if !self.allowed => "530 5.7.0 Authentication required".to_owned(),
                "MAIL" => {
                    mail.from = line.to_owned();
                    "250 ok".to_owned()
                }
                "RCPT" => {
                    mail.to.push(line.to_owned());
                    "250 ok".to_owned()
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    mail.data = data(&mut stream).await?;
                    self.kept.lock().unwrap().push(mail.clone());
                    self.mailbox.after_data.unwrap_or("250 2.0.0 queued as 4711").to_owned()
                }
                _ => "500 what?".to_owned(),
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }

    fn auth(&mut self, line: &str) -> String {
        use base64::Engine as _;
        let given = line.split(' ').nth(2).and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        let wanted = self.mailbox.login.map(|(user, password)| format!("\0{user}\0{password}").into_bytes());
        self.allowed = given.is_some() && given == wanted;
        if self.allowed { "235 2.7.0 ok".to_owned() } else { "535 5.7.8 authentication failed".to_owned() }
    }
}

/// The data up to the single dot, with doubled dots undone.
async fn data(stream: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// A certificate for this machine: its authority in PEM, and a server that shows it.
pub(crate) fn certificate() -> (String, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), TlsAcceptor::from(Arc::new(config)))
}
