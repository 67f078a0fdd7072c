//! A fleet on disk, certificates of every wrong kind, and the log of the running test.

use jiff::{SignedDuration, Timestamp};
use kfleet_model::{FleetName, HostName, OperatorName};
use kfleet_pki::{
    Authority, AuthorityKind, FleetStore, HostStore, Identity, Incoming, KeyPair, Limits, Material, Role, ServerSlot,
    TlsOptions, client_config, server_config,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, SanType};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, LazyLock, Once};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A fleet with one operator and one host.
pub(crate) struct Lab {
    pub(crate) agents: Authority,
    pub(crate) operators: Authority,
    pub(crate) agent: Material,
    pub(crate) operator: Material,
    dir: TempDir,
}

/// The time of all checks in a test: it stands still, so that a text told twice is the same.
pub(crate) fn now() -> Timestamp {
    static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::from_second(Timestamp::now().as_second()).unwrap());
    *NOW
}

#[derive(Debug)]
struct StoppedClock;

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        u64::try_from(now().as_second()).ok().map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Our configuration, with revocation lists if there are any.
pub(crate) fn options(revocation_lists: Vec<CertificateRevocationListDer<'static>>) -> TlsOptions {
    TlsOptions { revocation_lists, clock: Arc::new(StoppedClock) }
}

pub(crate) fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

impl Lab {
    pub(crate) fn new() -> Self {
        collect_log();
        let (dir, now) = (tempfile::tempdir().unwrap(), now());
        let (name, li) = (FleetName::new("lab").unwrap(), OperatorName::new("li").unwrap());
        let fleet = FleetStore::create(&dir.path().join("pki"), &name, now).unwrap();
        fleet.issue_operator(&li, now, None).unwrap();
        let store = HostStore::new(&dir.path().join("host"));
        let request = store.make_request(&name, &host("kafka-1")).unwrap();
        let bundle = fleet.issue_agent(&host("kafka-1"), &request, now, None).unwrap();
        let agent = store.install(&bundle, &Identity::agent(name, host("kafka-1")), now).unwrap();
        Self {
            agents: fleet.authority(AuthorityKind::Agents).unwrap(),
            operators: fleet.authority(AuthorityKind::Operators).unwrap(),
            agent,
            operator: fleet.load_operator(&li, now).unwrap(),
            dir,
        }
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        server_config(&self.agent, &options(Vec::new())).unwrap()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        client_config(&self.operator, &host("kafka-1"), &options(Vec::new())).unwrap()
    }

    /// Our operator, who trusts the agents of another lab as well: the middle of an authority's replacement.
    pub(crate) fn operator_who_trusts(&self, other: &Lab) -> Material {
        let read = |name: &str| std::fs::read_to_string(self.dir.path().join("pki").join(name)).unwrap();
        let both = format!("{}{}", self.agents.certificate_pem(), other.agents.certificate_pem());
        let (certificate, key) = (read("operators/li.pem"), read("operators/li.key"));
        Material::from_pem(Role::Operator, &certificate, &key, &both, now()).unwrap()
    }

    /// Our client in everything but the certificate.
    pub(crate) fn client_with(&self, certificate: CertifiedKey) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.client());
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certificate));
        Arc::new(config)
    }

    /// Our server in everything but the certificate.
    pub(crate) fn server_with(&self, certificate: CertifiedKey) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server());
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certificate));
        Arc::new(config)
    }
}

/// A certificate that need not make sense.
pub(crate) struct Forge<'a> {
    pub(crate) signer: &'a Authority,
    pub(crate) names: &'a [&'a str],
    pub(crate) usage: ExtendedKeyUsagePurpose,
    pub(crate) from_hours: i64,
    pub(crate) to_hours: i64,
}

impl<'a> Forge<'a> {
    pub(crate) fn operator(signer: &'a Authority, names: &'a [&'a str]) -> Self {
        Self { signer, names, usage: ExtendedKeyUsagePurpose::ClientAuth, from_hours: -1, to_hours: 1 }
    }

    pub(crate) fn agent(signer: &'a Authority, names: &'a [&'a str]) -> Self {
        Self { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Self::operator(signer, names) }
    }

    pub(crate) fn valid(self, from_hours: i64, to_hours: i64) -> Self {
        Self { from_hours, to_hours, ..self }
    }

    pub(crate) fn make(self) -> CertifiedKey {
        self.make_for(&KeyPair::generate().unwrap())
    }

    pub(crate) fn make_for(self, key: &KeyPair) -> CertifiedKey {
        let mut params = CertificateParams::default();
        let at = |hours| {
            let second = (now() + SignedDuration::from_hours(hours)).as_second();
            x509_parser::time::ASN1Time::from_timestamp(second).unwrap().to_datetime()
        };
        (params.not_before, params.not_after) = (at(self.from_hours), at(self.to_hours));
        params.subject_alt_names = self.names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
        params.extended_key_usages = vec![self.usage];
        let issuer = Issuer::from_ca_cert_der(self.signer.certificate().der(), self.signer.key()).unwrap();
        let certificate = params.signed_by(key, &issuer).unwrap();
        certified(certificate.der().clone(), key)
    }
}

pub(crate) fn certified(certificate: CertificateDer<'static>, key: &KeyPair) -> CertifiedKey {
    let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap();
    CertifiedKey::from_der(vec![certificate], key, &rustls::crypto::aws_lc_rs::default_provider()).unwrap()
}

/// A listener of ours on a free port.
pub(crate) async fn listen(config: Arc<ServerConfig>, limits: Limits) -> (Incoming, std::net::SocketAddr, ServerSlot) {
    let slot = ServerSlot::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let incoming = Incoming::new(listener, slot.clone(), limits);
    let addr = incoming.local_addr().unwrap();
    (incoming, addr, slot)
}

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLog;

impl Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Each test runs on one thread with a runtime of its own, so the log of a thread is the log of a test.
fn collect_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| ThreadLog).init());
}

/// Takes what the running test has logged so far.
pub(crate) fn take_log() -> String {
    String::from_utf8(LOG.take()).unwrap()
}
