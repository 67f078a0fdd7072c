//! A real agent process with real certificates, and a small client for it.
//!
//! Everything is in one temporary folder; the agent listens on 127.0.0.1 with a port of the system's choice. Processes
//! are ended by their own numbers when the harness is dropped, also when a test fails.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its own part of the harness")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a failure here is a failure of the test")]

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName, Op, OpEnd, OpEvent, OpEventKind, OpId, OperatorName, RunId};
use kfleet_pki::{ClientConfigs, FleetStore, HANDSHAKE_TIMEOUT, HostStore, Identity, Material, TlsOptions};
use kfleet_proto::v1::agent_client::AgentClient;
use kfleet_proto::{convert, v1};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};

pub const FLEET: &str = "lab";
pub const HOST: &str = "kafka-1";

pub type Client = AgentClient<Channel>;

pub struct Agent {
    pub dir: tempfile::TempDir,
    child: Option<Child>,
    address: Option<SocketAddr>,
    operator: Material,
}

impl Agent {
    /// Makes a fleet and starts an agent of it.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// As `start`, with more lines in the configuration.
    pub async fn start_with(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fleet =
            FleetStore::create(&dir.path().join("fleet"), &FleetName::new(FLEET).unwrap(), Timestamp::now()).unwrap();
        let host = HostName::new(HOST).unwrap();
        let store = HostStore::new(&dir.path().join("pki"));
        let request = store.make_request(fleet.fleet(), &host).unwrap();
        let bundle = fleet.issue_agent(&host, &request, Timestamp::now(), None).unwrap();
        store.install(&bundle, &Identity::agent(fleet.fleet().clone(), host), Timestamp::now()).unwrap();
        let name = OperatorName::new("tester").unwrap();
        fleet.issue_operator(&name, Timestamp::now(), None).unwrap();
        let operator = fleet.load_operator(&name, Timestamp::now()).unwrap();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nstate_dir = \"{0}/state\"\npki_dir = \"{0}/pki\"\nlog = \"info\"\n{config}",
            dir.path().display()
        );
        std::fs::write(dir.path().join("agent.toml"), text).unwrap();
        let mut agent = Self { dir, child: None, address: None, operator };
        agent.launch().await;
        agent
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Starts the process and waits until it listens.
    pub async fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let listen = self.state().join("listen");
        if listen.exists() {
            std::fs::remove_file(&listen).unwrap();
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_kfleet-agent"))
            .arg("serve")
            .arg("--config")
            .arg(self.dir.path().join("agent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while !listen.exists() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the agent did not come up: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.address = Some(std::fs::read_to_string(&listen).unwrap().trim().parse().unwrap());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id().cast_signed()
    }

    /// SIGKILL, as the kernel or an operator would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, as systemd would; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        child.wait().unwrap().code()
    }

    pub async fn client(&self) -> Client {
        self.client_as(&self.operator).await.unwrap()
    }

    /// A client with other material.
    pub async fn client_as(&self, material: &Material) -> Result<Client, tonic::transport::Error> {
        let configs = ClientConfigs::new(material, &TlsOptions::default()).unwrap();
        self.client_with(configs.for_host(&HostName::new(HOST).unwrap()).unwrap()).await
    }

    /// A client with any TLS configuration.
    pub async fn client_with(&self, config: Arc<ClientConfig>) -> Result<Client, tonic::transport::Error> {
        let address = self.address.unwrap();
        let connector = tower::service_fn(move |_: Uri| {
            let config = config.clone();
            async move { kfleet_pki::connect(address, &config, HANDSHAKE_TIMEOUT).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://agent").connect_with_connector(connector).await?;
        Ok(AgentClient::new(channel))
    }

    /// All lines of processes whose command line holds the folder's name: what a test may have left behind.
    pub fn leftovers(&self) -> Vec<String> {
        let mark = self.dir.path().to_str().unwrap().to_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&mark) && Some(pid) != self.child.as_ref().map(Child::id) {
                found.push(format!("{pid} {line}"));
            }
        }
        found
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        for line in self.leftovers() {
            if let Some(pid) = line.split(' ').next().and_then(|pid| pid.parse().ok()) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
        if std::thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// An op with sensible values.
pub fn op(id: &str, module: &str, params: serde_json::Value) -> Op {
    Op {
        op_id: OpId::new(id).unwrap(),
        run_id: RunId::new("run").unwrap(),
        lease: None,
        module: module.into(),
        params: params.as_object().unwrap().clone(),
        check: false,
        diff: false,
        deadline: Duration::from_secs(30),
        become_user: None,
        environment: [].into(),
        no_log: false,
    }
}

pub fn shell(id: &str, text: &str) -> Op {
    op(id, "shell", serde_json::json!({ "cmd": text }))
}

/// Reads a stream of events; stops after `finished`, at the end or at an error.
pub struct Events {
    stream: Streaming<v1::OpEvent>,
    reader: convert::EventReader,
}

impl Events {
    pub async fn submit(client: &mut Client, op: &Op) -> Result<Self, Status> {
        let stream = client.submit(convert::submit_request(op)).await?.into_inner();
        Ok(Self { stream, reader: convert::EventReader::default() })
    }

    pub async fn attach(client: &mut Client, id: &str, from_seq: u64) -> Result<Self, Status> {
        let stream = client.attach(v1::AttachRequest { op_id: id.into(), from_seq }).await?.into_inner();
        Ok(Self { stream, reader: convert::EventReader::default() })
    }

    pub async fn next(&mut self) -> Result<Option<OpEvent>, Status> {
        loop {
            match self.stream.message().await? {
                None => return Ok(None),
                Some(message) => {
                    if let Some(event) = self.reader.take(message).unwrap() {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// Reads to the end.
    pub async fn all(mut self) -> Seen {
        let mut seen = Seen::default();
        while let Some(event) = self.next().await.unwrap() {
            seen.take(event);
        }
        seen
    }
}

/// What was read of an op, checked for gaps and repeats.
#[derive(Debug, Default)]
pub struct Seen {
    pub next: u64,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub progress: Vec<String>,
    pub started: u32,
    pub end: Option<OpEnd>,
}

impl Seen {
    pub fn take(&mut self, event: OpEvent) {
        assert!(self.end.is_none(), "nothing comes after finished");
        if self.next == 0 && self.started == 0 && self.stdout.is_empty() {
            self.next = event.seq;
        }
        assert_eq!(event.seq, self.next, "no gap and no repeat");
        self.next += 1;
        match event.kind {
            OpEventKind::Started => self.started += 1,
            OpEventKind::Output { stream: kfleet_model::OutputStream::Stdout, data } => self.stdout.extend(data),
            OpEventKind::Output { stream: kfleet_model::OutputStream::Stderr, data } => self.stderr.extend(data),
            OpEventKind::Progress { text } => self.progress.push(text),
            OpEventKind::Finished(end) => self.end = Some(*end),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub fn end(&self) -> &OpEnd {
        self.end.as_ref().expect("every stream ends with finished")
    }

    /// The result of an op that is done.
    pub fn done(&self) -> &kfleet_model::TaskResult {
        let OpEnd::Done { result } = self.end() else { panic!("not done: {:?}", self.end()) };
        result
    }
}

/// Submits and reads to the end.
pub async fn run(client: &mut Client, op: &Op) -> Seen {
    Events::submit(client, op).await.unwrap().all().await
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(15), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn lines_of(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// TLS with the host's certificate and no checks of our own: kfleet's own code does not let one build this.
pub fn hosts_own_config(agent: &Agent) -> Arc<ClientConfig> {
    let read = |name: &str| std::fs::read(agent.dir.path().join("pki").join(name)).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read("agent.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("agent.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
