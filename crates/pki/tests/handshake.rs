//! Real handshakes over loopback: the good one, and each way to be refused.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod common;

use common::{Forge, Lab, certified, host, listen, now, options, take_log};
use jiff::SignedDuration;
use kfleet_pki::{
    HandshakeError, IdentityError, KeyPair, LeafCertificate, Limits, RefusalReason, Role, SecureStream, ServerSlot,
    TlsError, TlsOptions, accept, client_config, connect, peer_identity, refused_by_peer, server_config,
};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_stream::StreamExt;

const LIMIT: Duration = Duration::from_secs(5);
const LI: &str = "spiffe://lab/operator/li";
const KAFKA_1: &str = "spiffe://lab/agent/kafka-1";

/// One handshake; what each side made of it.
async fn meet(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> (Result<SecureStream, HandshakeError>, Result<SecureStream, HandshakeError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let slot = ServerSlot::new(server);
    let answer = async {
        let (tcp, _) = listener.accept().await.unwrap();
        accept(tcp, &slot, LIMIT).await
    };
    tokio::join!(answer, connect(addr, &client, LIMIT))
}

/// The reason why the agent refuses this certificate, after checking that its listener logs it.
async fn agent_refuses(lab: &Lab, server: Arc<ServerConfig>, certificate: CertifiedKey) -> RefusalReason {
    let client = lab.client_with(certificate);
    let (answer, called) = meet(Arc::clone(&server), Arc::clone(&client)).await;
    let error = answer.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}")).clone();
    assert_told(called).await;

    take_log();
    let (mut incoming, addr, _) = listen(server, Limits::default()).await;
    let call = async { assert_told(connect(addr, &client, LIMIT).await).await };
    tokio::select! {
        yielded = incoming.next() => panic!("a refused peer came through: {yielded:?}"),
        () = call => {}
    }
    // The handshake's end may come after the alert; drive the listener until it has told.
    let deadline = Instant::now() + LIMIT;
    let mut log = take_log();
    while log.is_empty() && Instant::now() < deadline {
        assert!(tokio::time::timeout(Duration::from_millis(10), incoming.next()).await.is_err());
        log.push_str(&take_log());
    }
    for part in [" WARN ", "refused the certificate of 127.0.0.1:", refusal.hint(), &refusal.to_string()] {
        assert!(log.contains(part), "{part:?} is not in the log: {log}");
    }
    refusal.reason
}

/// The caller learns of its refusal at the first read, even when it has sent data already.
async fn assert_told(called: Result<SecureStream, HandshakeError>) {
    let alert = match called {
        Err(HandshakeError::RefusedByPeer { refusal, .. }) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(mut stream) => {
            drop(stream.write_all(&[7; 4096]).await);
            drop(stream.flush().await);
            refused_by_peer(&stream.read_u8().await.unwrap_err()).expect("the alert must arrive")
        }
    };
    assert_eq!(alert.alert, AlertDescription::CertificateUnknown);
}

/// The reason why the operator refuses a host's certificate, after checking that it is logged.
async fn operator_refuses(lab: &Lab, client: Arc<ClientConfig>, certificate: CertifiedKey) -> RefusalReason {
    take_log();
    let (answer, called) = meet(lab.server_with(certificate), client).await;
    let error = called.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}")).clone();
    let log = take_log();
    for part in [" WARN ", "refused the certificate of 127.0.0.1:", refusal.hint(), &refusal.to_string()] {
        assert!(log.contains(part), "{part:?} is not in the log: {log}");
    }
    assert!(matches!(answer, Err(HandshakeError::RefusedByPeer { .. })), "{answer:?}");
    refusal.reason
}

#[tokio::test]
async fn both_sides_know_each_other_after_a_handshake() {
    let lab = Lab::new();
    let (answer, called) = meet(lab.server(), lab.client()).await;
    let (mut agent, mut operator) = (answer.unwrap(), called.unwrap());
    for (stream, expected) in [(&agent, lab.operator.certificate()), (&operator, lab.agent.certificate())] {
        let peer = stream.peer();
        assert_eq!((&peer.identity, &peer.serial), (&expected.identity, &expected.serial));
        assert_eq!(peer.not_after, expected.not_after);
        let (tcp, tls) = stream.get_ref();
        assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(peer_identity(tls).unwrap(), expected.identity);
        assert!(tcp.nodelay().unwrap());
    }
    operator.write_all(b"ping").await.unwrap();
    operator.flush().await.unwrap();
    let mut bytes = [0; 4];
    agent.read_exact(&mut bytes).await.unwrap();
    agent.write_all(b"pong").await.unwrap();
    agent.shutdown().await.unwrap();
    let mut rest = Vec::new();
    operator.read_to_end(&mut rest).await.unwrap();
    assert_eq!((&bytes, rest.as_slice()), (b"ping", &b"pong"[..]));
}

#[tokio::test]
async fn an_agent_refuses_every_wrong_certificate_with_its_reason() {
    let (lab, stranger) = (Lab::new(), Lab::new());
    let refuse = |forge: Forge<'_>| agent_refuses(&lab, lab.server(), forge.make());
    let ours = &lab.operators;

    let reason = refuse(Forge::operator(&stranger.operators, &[LI])).await;
    let RefusalReason::UnknownAuthority { trusted } = reason else { panic!("{reason:?}") };
    assert_eq!(trusted, [ours.certificate().name.clone()]);

    let reason = refuse(Forge::operator(ours, &[LI]).valid(-50, -26)).await;
    assert!(matches!(reason, RefusalReason::Expired { .. }), "{reason:?}");
    assert!(reason.to_string().contains("1 d 2 h before now") && reason.hint().contains("clock"), "{reason}");

    let reason = refuse(Forge::operator(ours, &[LI]).valid(3, 9)).await;
    assert!(matches!(reason, RefusalReason::NotYetValid { .. }), "{reason:?}");
    assert!(reason.hint().contains("clock"));

    let reason = refuse(Forge::agent(&lab.agents, &[KAFKA_1])).await;
    assert_eq!(reason, RefusalReason::WrongRole { expected: Role::Operator }, "an agent's certificate as client");
    let reason = refuse(Forge::operator(ours, &[KAFKA_1])).await;
    assert_eq!(reason, RefusalReason::WrongRole { expected: Role::Operator }, "an agent's name under clientAuth");
    let reason = refuse(Forge::agent(ours, &[LI])).await;
    assert_eq!(reason, RefusalReason::WrongRole { expected: Role::Operator }, "an operator's name under serverAuth");
    let any = Forge { usage: ExtendedKeyUsagePurpose::Any, ..Forge::operator(ours, &[LI]) };
    assert_eq!(refuse(any).await, RefusalReason::WrongRole { expected: Role::Operator }, "any usage is not clientAuth");

    let reason = refuse(Forge::operator(ours, &[LI, "spiffe://lab/operator/root"])).await;
    let RefusalReason::Name(IdentityError::Several { names }) = reason else { panic!("{reason:?}") };
    assert_eq!(names, [LI, "spiffe://lab/operator/root"]);
    assert_eq!(refuse(Forge::operator(ours, &[])).await, RefusalReason::Name(IdentityError::Missing));
    let reason = refuse(Forge::operator(ours, &["https://lab/operator/li"])).await;
    assert!(matches!(reason, RefusalReason::Name(IdentityError::Uri { .. })), "{reason:?}");

    let reason = refuse(Forge::operator(ours, &["spiffe://prod/operator/li"])).await;
    let RefusalReason::OtherFleet { expected, found } = reason else { panic!("{reason:?}") };
    assert_eq!((expected.as_str(), found.as_str()), ("lab", "prod"));
}

#[tokio::test]
async fn an_operator_refuses_every_wrong_host_with_its_reason() {
    let (lab, stranger) = (Lab::new(), Lab::new());
    let refuse = |forge: Forge<'_>| operator_refuses(&lab, lab.client(), forge.make());
    let ours = &lab.agents;

    let reason = refuse(Forge::agent(&stranger.agents, &[KAFKA_1])).await;
    assert!(matches!(reason, RefusalReason::UnknownAuthority { .. }), "{reason:?}");
    let reason = refuse(Forge::agent(ours, &[KAFKA_1]).valid(-9, -1)).await;
    assert!(matches!(reason, RefusalReason::Expired { .. }), "{reason:?}");
    let reason = refuse(Forge::agent(ours, &[KAFKA_1]).valid(1, 9)).await;
    assert!(matches!(reason, RefusalReason::NotYetValid { .. }), "{reason:?}");
    let reason = refuse(Forge::operator(&lab.operators, &[LI])).await;
    assert_eq!(reason, RefusalReason::WrongRole { expected: Role::Agent }, "an operator's certificate as server");
    let reason = refuse(Forge::agent(ours, &[LI])).await;
    assert_eq!(reason, RefusalReason::WrongRole { expected: Role::Agent }, "an operator's name under serverAuth");
    let reason = refuse(Forge::agent(ours, &[KAFKA_1, "spiffe://lab/agent/kafka-2"])).await;
    assert!(matches!(reason, RefusalReason::Name(IdentityError::Several { .. })), "{reason:?}");
    let reason = refuse(Forge::agent(ours, &["spiffe://prod/agent/kafka-1"])).await;
    assert!(matches!(reason, RefusalReason::OtherFleet { .. }), "{reason:?}");

    let reason = refuse(Forge::agent(ours, &["spiffe://lab/agent/kafka-2"])).await;
    assert_eq!(reason, RefusalReason::OtherHost { expected: host("kafka-1"), found: host("kafka-2") });
    assert_eq!(reason.to_string(), "host kafka-2 answered where host kafka-1 was called");
}

#[tokio::test]
async fn a_holder_can_not_sign_others_with_his_own_certificate() {
    let lab = Lab::new();
    let key = KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI("spiffe://lab/operator/root".try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = KeyPair::generate().unwrap();
    let parent = Forge::operator(&lab.operators, &[LI]).make_for(&own);
    let issuer = rcgen::Issuer::from_ca_cert_der(&parent.cert[0], &own).unwrap();
    let child = params.signed_by(&key, &issuer).unwrap();
    let mut chain = certified(child.der().clone(), &key);
    chain.cert.push(parent.cert[0].clone());
    let reason = agent_refuses(&lab, lab.server(), chain).await;
    assert!(matches!(reason, RefusalReason::UnknownAuthority { .. }), "{reason:?}");
}

#[tokio::test]
async fn revocation_lists_are_enforced_on_both_sides() {
    let lab = Lab::new();
    let now = now();
    let hour = SignedDuration::from_hours(1);
    let victim = Forge::operator(&lab.operators, &[LI]).make();
    let serial = LeafCertificate::read(&victim.cert[0]).unwrap().serial;
    let list = |serials: &[_], end| lab.operators.revocation_list(serials, 1, now - hour * 3, end).unwrap();
    let server = |list| server_config(&lab.agent, &options(vec![list])).unwrap();
    let revoked = server(list(&[(serial, now)], now + hour));
    let reason = agent_refuses(&lab, Arc::clone(&revoked), victim.clone()).await;
    assert_eq!(reason, RefusalReason::Revoked);
    assert!(meet(revoked, lab.client()).await.0.is_ok(), "others are let in");

    let reason = agent_refuses(&lab, server(list(&[], now - hour)), victim.clone()).await;
    assert!(matches!(reason, RefusalReason::RevocationListExpired { .. }), "{reason:?}");
    let of_agents = lab.agents.revocation_list(&[], 1, now - hour, now + hour).unwrap();
    let reason = agent_refuses(&lab, server(of_agents), victim).await;
    assert_eq!(reason, RefusalReason::RevocationUnknown);

    let victim = Forge::agent(&lab.agents, &[KAFKA_1]).make();
    let serial = LeafCertificate::read(&victim.cert[0]).unwrap().serial;
    let list = lab.agents.revocation_list(&[(serial, now)], 1, now - hour, now + hour).unwrap();
    let client = client_config(&lab.operator, &host("kafka-1"), &options(vec![list])).unwrap();
    assert_eq!(operator_refuses(&lab, client, victim).await, RefusalReason::Revoked);
}

#[tokio::test]
async fn no_session_is_resumed_even_for_a_caller_who_would_like_to() {
    let lab = Lab::new();
    let (server, mut eager) = (lab.server(), ClientConfig::clone(&lab.client()));
    eager.resumption = rustls::client::Resumption::default();
    let eager = Arc::new(eager);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, slot) = (listener.local_addr().unwrap(), ServerSlot::new(server));
    for _ in 0..3 {
        let answer = async { accept(listener.accept().await.unwrap().0, &slot, LIMIT).await.unwrap() };
        let (mut agent, operator) = tokio::join!(answer, connect(addr, &eager, LIMIT));
        let mut operator = operator.unwrap();
        assert_eq!(operator.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        // A ticket would come with the first bytes of the other side.
        agent.write_all(b"x").await.unwrap();
        agent.flush().await.unwrap();
        operator.read_u8().await.unwrap();
    }
}

#[tokio::test]
async fn while_an_authority_is_replaced_the_certificates_of_both_are_good() {
    let (lab, next) = (Lab::new(), Lab::new());
    let operator = lab.operator_who_trusts(&next);
    let client = client_config(&operator, &host("kafka-1"), &options(Vec::new())).unwrap();
    for signer in [&lab.agents, &next.agents] {
        let server = lab.server_with(Forge::agent(signer, &[KAFKA_1]).make());
        let (answer, called) = meet(server, Arc::clone(&client)).await;
        assert!(answer.is_ok() && called.is_ok(), "{called:?}");
    }
}

#[tokio::test]
async fn configurations_are_not_made_of_the_wrong_parts() {
    let lab = Lab::new();
    let defaults = TlsOptions::default();
    assert!(matches!(server_config(&lab.operator, &defaults), Err(TlsError::WrongRole { .. })));
    assert!(matches!(client_config(&lab.agent, &host("h"), &defaults), Err(TlsError::WrongRole { .. })));
    for list in [vec![0; 8], vec![0; 1024 * 1024]] {
        assert!(matches!(
            server_config(&lab.agent, &options(vec![list.into()])),
            Err(TlsError::RevocationList { number: 1, .. })
        ));
    }
}

/// What an agent makes of a peer that is not kfleet, and what its listener logs.
async fn agent_meets(lab: &Lab, limit: Duration, peer: impl AsyncFn(TcpStream)) -> (HandshakeError, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let slot = ServerSlot::new(lab.server());
    let answer = async { accept(listener.accept().await.unwrap().0, &slot, limit).await };
    let call = async || peer(TcpStream::connect(addr).await.unwrap()).await;
    let error = tokio::join!(answer, call()).0.unwrap_err();

    take_log();
    let (mut incoming, addr, _) = listen(lab.server(), Limits { handshake_timeout: limit, ..Limits::default() }).await;
    let call = async {
        peer(TcpStream::connect(addr).await.unwrap()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::select! {
        yielded = incoming.next() => panic!("came through: {yielded:?}"),
        () = call => {}
    }
    (error, take_log())
}

/// Reads to the end, so that the other side's last words are heard.
async fn listen_to_the_end(mut tcp: TcpStream) {
    drop(tcp.read_to_end(&mut Vec::new()).await);
}

#[tokio::test]
async fn a_caller_without_certificate_is_refused_by_tls_itself() {
    let lab = Lab::new();
    let mut config = ClientConfig::clone(&lab.client());
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let config = Arc::new(config);
    let (error, log) = agent_meets(&lab, LIMIT, async |tcp| {
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let mut tls = tokio_rustls::TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await.unwrap();
        let refusal = refused_by_peer(&tls.read_u8().await.unwrap_err()).unwrap();
        assert_eq!(refusal.alert, AlertDescription::CertificateRequired);
    })
    .await;
    assert!(matches!(error, HandshakeError::NoCertificate { .. }), "{error:?}");
    assert!(log.contains(" WARN ") && log.contains("it presented no certificate"), "{log}");
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let lab = Lab::new();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let config = Arc::new(config);
    let (error, log) = agent_meets(&lab, LIMIT, async |tcp| {
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let error = tokio_rustls::TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await.unwrap_err();
        assert_eq!(refused_by_peer(&error).unwrap().alert, AlertDescription::ProtocolVersion);
    })
    .await;
    assert!(matches!(error, HandshakeError::Incompatible { .. }), "{error:?}");
    assert!(log.contains(" WARN ") && log.contains("it offers no TLS 1.3 that fits"), "{log}");
}

#[tokio::test]
async fn plaintext_is_refused() {
    let lab = Lab::new();
    for bytes in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        let (error, log) = agent_meets(&lab, LIMIT, async |mut tcp: TcpStream| {
            tcp.write_all(bytes).await.unwrap();
            listen_to_the_end(tcp).await;
        })
        .await;
        assert!(matches!(error, HandshakeError::NotTls { .. }), "{bytes:?}: {error:?}");
        assert!(log.contains(" WARN ") && log.contains("it does not speak TLS"), "{log}");
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_told_apart_from_one_who_is_silent() {
    let lab = Lab::new();
    let (error, log) = agent_meets(&lab, LIMIT, async |tcp| drop(tcp)).await;
    assert!(matches!(error, HandshakeError::Closed { .. }), "{error:?}");
    assert!(log.contains("closed the connection during the handshake"), "{log}");

    let limit = Duration::from_millis(100);
    let (error, log) = agent_meets(&lab, limit, listen_to_the_end).await;
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error:?}");
    assert!(log.contains(" WARN ") && log.contains("did not finish the handshake within 100ms"), "{log}");
}

#[tokio::test]
async fn silent_and_bad_peers_hold_up_nobody() {
    let lab = Lab::new();
    let limits = Limits { handshake_timeout: Duration::from_secs(60), ..Limits::default() };
    let (mut incoming, addr, _) = listen(lab.server(), limits).await;
    let mut crowd = Vec::new();
    for at in 0..40 {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        if at % 2 == 0 {
            tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        crowd.push(tcp);
    }
    let client = lab.client();
    let (yielded, called) = tokio::join!(incoming.next(), connect(addr, &client, LIMIT));
    assert_eq!(yielded.unwrap().unwrap().peer().identity.uri(), LI);
    called.unwrap();
}

#[tokio::test]
async fn one_address_can_not_take_all_places() {
    let lab = Lab::new();
    let limits = Limits { handshakes_per_address: 2, ..Limits::default() };
    let (mut incoming, addr, _) = listen(lab.server(), limits).await;
    let client = lab.client();
    let from_elsewhere = async {
        let mut silent = Vec::new();
        for _ in 0..3 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            silent.push(socket.connect(addr).await.unwrap());
        }
        assert_eq!(silent[2].read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof, "closed at once");
        let stream = connect(addr, &client, LIMIT).await.unwrap();
        (silent, stream)
    };
    let (yielded, _held) = tokio::join!(incoming.next(), from_elsewhere);
    assert_eq!(yielded.unwrap().unwrap().peer().addr.ip().to_string(), "127.0.0.1");
    assert!(take_log().contains("2 handshakes from this address are under way"));
}

#[tokio::test]
async fn when_all_places_are_taken_the_next_one_waits_for_its_turn() {
    let lab = Lab::new();
    let limits = Limits { handshake_timeout: Duration::from_millis(200), handshakes: 1, ..Limits::default() };
    let (mut incoming, addr, _) = listen(lab.server(), limits).await;
    let _silent = TcpStream::connect(addr).await.unwrap();
    let (client, start) = (lab.client(), Instant::now());
    let (yielded, called) = tokio::join!(incoming.next(), connect(addr, &client, LIMIT));
    assert!(yielded.unwrap().is_ok() && called.is_ok());
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
}

#[tokio::test]
async fn dropping_the_listener_ends_its_handshakes() {
    let lab = Lab::new();
    let (mut incoming, addr, _) = listen(lab.server(), Limits::default()).await;
    let mut silent = TcpStream::connect(addr).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), incoming.next()).await.is_err());
    drop(incoming);
    let read = tokio::time::timeout(LIMIT, silent.read_u8()).await.expect("the connection must end");
    assert!(read.is_err());
}

#[tokio::test]
async fn a_new_configuration_counts_for_new_connections_and_old_ones_live_on() {
    let (lab, next) = (Lab::new(), Lab::new());
    let (mut incoming, addr, slot) = listen(lab.server(), Limits::default()).await;
    let mut changes = slot.subscribe();
    let client = lab.client();
    let (agent, operator) = tokio::join!(incoming.next(), connect(addr, &client, LIMIT));
    let (mut agent, mut operator) = (agent.unwrap().unwrap(), operator.unwrap());

    slot.replace(next.server());
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let client = next.client();
    let (fresh, called) = tokio::join!(incoming.next(), connect(addr, &client, LIMIT));
    assert_eq!(fresh.unwrap().unwrap().peer().serial, next.operator.certificate().serial);
    called.unwrap();
    let old = lab.client();
    tokio::select! {
        yielded = incoming.next() => panic!("the old authority's operator came through: {yielded:?}"),
        called = connect(addr, &old, LIMIT) => {
            assert!(matches!(called.unwrap_err().refusal().unwrap().reason, RefusalReason::UnknownAuthority { .. }));
        }
    }

    operator.write_all(b"still here").await.unwrap();
    operator.flush().await.unwrap();
    let mut bytes = [0; 10];
    agent.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"still here");
}

#[tokio::test]
async fn a_call_that_reaches_no_agent_says_what_is_there() {
    let lab = Lab::new();
    let client = lab.client();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let error = connect(addr, &client, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error:?}");

    let plain = async {
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().await.unwrap();
            drop(tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            drop(tcp.read(&mut [0; 4096]).await);
        }
    };
    let (error, ()) = tokio::join!(connect(addr, &client, LIMIT), plain);
    let error = error.unwrap_err();
    assert!(matches!(error, HandshakeError::NotTls { .. }), "{error:?}");

    drop(listener);
    let error = connect(addr, &client, LIMIT).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Unreachable { .. }), "{error:?}");
}

/// Run with `cargo test --release -p kfleet-pki --test handshake -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn handshakes_per_second() {
    const ROUNDS: usize = 2_000;
    let lab = Lab::new();
    let (mut incoming, addr, _) = listen(lab.server(), Limits::default()).await;
    let client = lab.client();
    for lanes in [1, 16] {
        let start = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..lanes {
            let client = Arc::clone(&client);
            calls.spawn(async move {
                for _ in 0..ROUNDS / lanes {
                    connect(addr, &client, LIMIT).await.unwrap();
                }
            });
        }
        for _ in 0..ROUNDS {
            incoming.next().await.unwrap().unwrap();
        }
        calls.join_all().await;
        let rate = ROUNDS as f64 / start.elapsed().as_secs_f64();
        println!("{lanes} at a time: {rate:.0} handshakes/s, both sides on this machine");
    }
}
