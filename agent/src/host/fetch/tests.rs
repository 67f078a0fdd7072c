//! A server that does what servers do on bad days, on the loopback.

use super::super::real::tests::TestContext;
use super::super::{Attributes, Digest, Host, HostError, HostView, RealHost};
use super::Request;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const SHA256: &str = "74e7e5bb9d22d6db26bf76946d40fff3ea9f0346b884fd0694920fccfad15e33";

/// What the server does with one connection: sends this, and then closes it or says nothing more for a while.
#[derive(Clone)]
enum Act {
    Close(Vec<u8>),
    Hang(Vec<u8>),
}

struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Each connection gets the next act; the last one is for all that follow.
    fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for n in 0.. {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut head = String::new();
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&line.to_ascii_lowercase());
                    head.push('\n');
                }
                seen.lock().unwrap().push(head);
                // The client may have left, which is its right.
                match &acts[acts.len().min(n + 1) - 1] {
                    Act::Close(bytes) => drop(stream.write_all(bytes)),
                    Act::Hang(bytes) => {
                        drop(stream.write_all(bytes));
                        held.push(stream);
                    }
                }
            }
        });
        Self { port, asked }
    }

    fn request(&self, path: &str) -> Request {
        Request {
            url: format!("http://127.0.0.1:{}{path}", self.port),
            headers: BTreeMap::new(),
            timeout: Duration::from_secs(1),
            authorities: None,
            limit: 1 << 20,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The whole content's head, and as much of it as is said.
fn first(bytes: usize) -> Vec<u8> {
    answer("200 OK", "Content-Length: 36\r\nETag: \"one\"\r\n", &CONTENT[..bytes])
}

/// The rest, as the answer to a range.
fn rest(from: usize) -> Vec<u8> {
    let left = CONTENT.len() - from;
    let headers = format!("Content-Length: {left}\r\nContent-Range: bytes {from}-35/36\r\nETag: \"one\"\r\n");
    answer("206 Partial Content", &headers, &CONTENT[from..])
}

/// Runs a host's work on a thread that may block, as the agent's core does.
async fn blocking<T: Send + 'static>(
    context: &Arc<TestContext>,
    work: impl FnOnce(&RealHost) -> T + Send + 'static,
) -> T {
    let context = Arc::clone(context);
    tokio::task::spawn_blocking(move || work(&RealHost::new(context))).await.unwrap()
}

async fn download(server: &Server, request: Request, path: &Path) -> Result<u64, HostError> {
    assert!(server.port > 0);
    let path = path.to_owned();
    let context = Arc::new(TestContext::new());
    let checksum = Some((Digest::Sha256, SHA256));
    blocking(&context, move |host| host.download(&request, &path, Attributes::default(), checksum)).await
}

#[tokio::test]
async fn a_transfer_that_is_cut_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let server = Server::start(vec![
        Act::Close(first(10)),
        Act::Hang(rest(10)[..rest(10).len() - 6].to_vec()),
        Act::Close(rest(30)),
    ]);
    assert_eq!(download(&server, server.request("/f"), &path).await.unwrap(), 36);
    assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
    let asked = server.asked();
    assert!(!asked[0].contains("range:"), "{asked:?}");
    for (n, from) in [(1, 10), (2, 30)] {
        assert!(asked[n].contains(&format!("range: bytes={from}-\n")), "{asked:?}");
        assert!(asked[n].contains("if-range: \"one\"\n"), "{asked:?}");
    }
}

#[tokio::test]
async fn a_content_that_changed_meanwhile_is_fetched_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let old = answer("200 OK", "Content-Length: 40\r\nETag: \"zero\"\r\n", b"old content");
    // A server that knows If-Range sends the whole new one; one that does not is found out by the size.
    for second in [vec![Act::Close(first(36))], vec![Act::Close(rest(11)), Act::Close(first(36))]] {
        let acts = std::iter::once(Act::Close(old.clone())).chain(second).collect();
        let server = Server::start(acts);
        download(&server, server.request("/f"), &path).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_for_the_whole_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let plain = |bytes: usize| answer("200 OK", "Content-Length: 36\r\n", &CONTENT[..bytes]);
    let server = Server::start(vec![Act::Close(plain(20)), Act::Close(plain(36))]);
    download(&server, server.request("/f"), &path).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
    assert!(server.asked().iter().all(|head| !head.contains("range:")), "nothing told one content from another");
}

#[tokio::test]
async fn what_can_not_be_had_leaves_the_old_file_and_says_why() {
    let lying = answer("200 OK", "Content-Length: 99\r\nETag: \"one\"\r\n", CONTENT);
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".iter().copied();
    let endless: Vec<u8> = endless.chain(b"10000\r\n".iter().copied()).chain(vec![b'x'; 0x10000]).collect();
    let cases: Vec<(&str, Act, &str)> = vec![
        ("missing", Act::Close(answer("404 Not Found", "Content-Length: 0\r\n", b"")), "the server has no such file"),
        (
            "forbidden",
            Act::Close(answer("403 Forbidden", "Content-Length: 0\r\n", b"")),
            "the server answers 403 Forbidden",
        ),
        (
            "ill",
            Act::Close(answer("503 Service Unavailable", "Content-Length: 0\r\n", b"")),
            "5 tries without progress",
        ),
        ("silent", Act::Hang(Vec::new()), "the answer took more than 1 s (5 tries without progress)"),
        ("nonsense", Act::Close(b"SSH-2.0-x\r\n".to_vec()), "5 tries without progress"),
        (
            "too large",
            Act::Close(answer("200 OK", "Content-Length: 1048577\r\n", b"")),
            "larger than the 1048576 bytes",
        ),
        ("longer than it is", Act::Close(lying), "5 tries without progress"),
        (
            "another one",
            Act::Close(answer("200 OK", "Content-Length: 5\r\n", b"other")),
            "has the checksum d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, not 74e7",
        ),
        (
            "in a circle",
            Act::Close(answer("302 Found", "Location: /f\r\nContent-Length: 0\r\n", b"")),
            "redirected more than 10 times",
        ),
        ("cut in a chunk", Act::Close(endless), "5 tries without progress"),
    ];
    // Side by side, because the pauses between the tries are long.
    let tries = cases.into_iter().map(async |(name, act, why)| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let server = Server::start(vec![act]);
        let error = download(&server, server.request("/f"), &path).await.unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old", "{name}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: something is left");
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn headers_stay_with_the_host_that_they_are_meant_for() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Server::start(vec![Act::Close(first(36))]);
    let to = format!("Location: http://127.0.0.1:{}/there\r\nContent-Length: 0\r\n", mirror.port);
    let server = Server::start(vec![Act::Close(answer("302 Found", &to, b""))]);
    let mut request = server.request("/f?key=1");
    request.headers.insert("X-Token".into(), "secret".into());
    download(&server, request, &folder.path().join("file")).await.unwrap();
    assert!(server.asked()[0].contains("get /f?key=1 http/1.1") && server.asked()[0].contains("x-token: secret"));
    assert!(mirror.asked()[0].contains("get /there") && !mirror.asked()[0].contains("x-token"), "{:?}", mirror.asked());
}

#[tokio::test]
async fn a_stopped_op_ends_its_transfer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let server = Server::start(vec![Act::Hang(first(10))]);
    let mut request = server.request("/f");
    request.timeout = Duration::from_secs(600);
    let context = Arc::new(TestContext::new());
    let work = blocking(&context, move |host| host.download(&request, &path, Attributes::default(), None));
    let stop = async {
        while server.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        context.stop();
    };
    let (ended, ()) = tokio::join!(work, stop);
    assert!(matches!(ended, Err(HostError::Stopped(_))), "{ended:?}");
}

#[tokio::test]
async fn something_small_is_fetched_into_memory_and_may_be_missing() {
    let server = Server::start(vec![
        Act::Close(answer("200 OK", "Content-Length: 3\r\n", b"sum")),
        Act::Close(answer("404 Not Found", "Content-Length: 0\r\n", b"")),
    ]);
    let (one, two) = (server.request("/f.sha1"), server.request("/f.sha1"));
    let context = Arc::new(TestContext::new());
    assert_eq!(blocking(&context, move |host| host.fetch_text(&one)).await.unwrap(), Some(b"sum".to_vec()));
    assert_eq!(blocking(&context, move |host| host.fetch_text(&two)).await.unwrap(), None);
}

/// An authority, as PEM, and a server that it vouches for under a name; each connection gets the same answer.
fn secured(name: &str, answer: Vec<u8>) -> (String, u16) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut line = String::new();
            let mut reader = BufReader::new(&mut stream);
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            drop(reader);
            // A client that does not trust this server is gone already.
            drop(stream.write_all(&answer).and_then(|()| stream.flush()));
            stream.conn.send_close_notify();
            drop(stream.flush());
        }
    });
    (ca.pem(), port)
}

#[tokio::test]
async fn a_secured_server_must_be_vouched_for_under_its_name_and_may_not_lead_to_an_open_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let open = Server::start(vec![Act::Close(first(36))]);
    let (ca, port) = secured("localhost", first(36));
    let (other_ca, _) = secured("localhost", Vec::new());
    let down = format!("Location: http://127.0.0.1:{}/f\r\nContent-Length: 0\r\n", open.port);
    let (down_ca, down_port) = secured("localhost", answer("302 Found", &down, b""));
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    for (name, host, port, authority, why) in [
        ("vouched for", "localhost", port, &ca, None),
        ("by another authority", "localhost", port, &other_ca, Some("invalid peer certificate")),
        ("under another name", "127.0.0.1", port, &ca, Some("not valid for name")),
        ("to an open one", "localhost", down_port, &down_ca, Some("it is redirected from https to http://127.0.0.1")),
        ("no authority", "localhost", port, &String::new(), Some("holds no authority")),
    ] {
        let bundle = folder.path().join("ca.pem");
        std::fs::write(&bundle, authority).unwrap();
        let url = format!("https://{host}:{port}/f");
        let request = Request { url, authorities: Some(bundle), ..open.request("/") };
        let outcome = download(&open, request, &path).await.map_err(|error| error.to_string());
        match (outcome, why) {
            (Ok(size), None) => assert_eq!(size, 36, "{name}"),
            (Err(error), Some(why)) => assert!(error.contains(why), "{name}: {error}"),
            (outcome, why) => panic!("{name}: {outcome:?}, not {why:?}"),
        }
    }
    assert_eq!(open.asked(), Vec::<String>::new(), "the open server was asked");
}
