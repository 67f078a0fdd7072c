//! A mirror of releases on the lab's network, as unreliable as they are: the first transfer to each host is cut in its
//! middle.

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the server looks whether it shall end.
const LOOK: Duration = Duration::from_millis(20);

/// Files under this size are not cut: they are checksums.
const LARGE: u64 = 1 << 20;

pub(crate) struct Mirror {
    address: SocketAddr,
    state: Arc<State>,
    server: Option<JoinHandle<()>>,
}

struct State {
    folder: PathBuf,
    ended: AtomicBool,
    /// Hosts whose first transfer was cut.
    cut: Mutex<BTreeSet<IpAddr>>,
    /// How many transfers went on where they were.
    resumed: AtomicUsize,
}

impl Mirror {
    /// Serves a folder at an address inside a network namespace.
    pub(crate) fn start(namespace: &Path, address: IpAddr, folder: &Path) -> Result<Self> {
        let namespace = File::open(namespace).with_context(|| format!("failed to open {}", namespace.display()))?;
        let state = State {
            folder: folder.to_owned(),
            ended: AtomicBool::new(false),
            cut: Mutex::default(),
            resumed: AtomicUsize::new(0),
        };
        let state = Arc::new(state);
        // Only the thread that makes the socket enters the namespace: a socket stays where it was made.
        let listener = std::thread::spawn(move || -> Result<TcpListener> {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("failed to enter the lab's network")?;
            let listener = TcpListener::bind((address, 0)).context("failed to listen on the lab's network")?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = listener.join().map_err(|_| anyhow::anyhow!("the mirror's thread panicked"))??;
        let address = listener.local_addr()?;
        let of_server = Arc::clone(&state);
        let server = std::thread::spawn(move || serve(&listener, &of_server));
        Ok(Self { address, state, server: Some(server) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn resumed(&self) -> usize {
        self.state.resumed.load(Ordering::SeqCst)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        if let Some(server) = self.server.take()
            && server.join().is_err()
        {
            println!("the mirror's thread panicked");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the thread is the mirror's own")]
fn serve(listener: &TcpListener, state: &Arc<State>) {
    let mut transfers = Vec::new();
    while !state.ended.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, peer)) => {
                let state = Arc::clone(state);
                transfers.push(std::thread::spawn(move || {
                    if let Err(error) = answer(stream, peer.ip(), &state) {
                        println!("    the mirror and {peer}: {error:#}");
                    }
                }));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
    for transfer in transfers {
        if transfer.join().is_err() {
            println!("a transfer of the mirror panicked");
        }
    }
}

fn answer(stream: TcpStream, peer: IpAddr, state: &State) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().context("an empty request")??;
    let mut from = None;
    for line in lines.map_while(std::result::Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<u64>().ok();
        }
    }
    let path = first.split_whitespace().nth(1).context("a request for nothing")?.trim_start_matches('/');
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let file = if inside { File::open(state.folder.join(path)).ok() } else { None };
    let mut stream = &stream;
    let Some(mut file) = file else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(());
    };
    let size = file.metadata()?.len();
    let begin = from.unwrap_or(0);
    let left = size.saturating_sub(begin);
    let (status, range) = match from {
        Some(_) => {
            state.resumed.fetch_add(1, Ordering::SeqCst);
            ("206 Partial Content", format!("Content-Range: bytes {begin}-{}/{size}\r\n", size.saturating_sub(1)))
        }
        None => ("200 OK", String::new()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {left}\r\n{range}ETag: \"{size}\"\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let large = size >= LARGE;
    let cut = large && state.cut.lock().map_err(|_| anyhow::anyhow!("a transfer panicked"))?.insert(peer);
    file.seek(SeekFrom::Start(begin))?;
    std::io::copy(&mut file.take(if cut { left / 2 } else { left }), &mut stream)?;
    Ok(())
}
