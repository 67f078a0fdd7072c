//! The controller's files on their way to agents: hashing and cutting into pieces.

use kfleet_proto::CHUNK_BYTES;
use kfleet_proto::v1::BlobChunk;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use tokio_stream::wrappers::ReceiverStream;

/// Filled by the reading thread, emptied by the connection; the reader waits when the network is slower.
const PIECES: usize = 8;

/// The SHA-256 of a file in lower-case hex, and its size.
///
/// # Errors
/// When it can not be read.
pub(super) fn sha256(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1024 * 1024];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
    }
    Ok((hex(&hasher.finalize()), size))
}

/// Bytes as lower-case hex.
#[must_use]
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _infallible = write!(out, "{byte:02x}");
        out
    })
}

/// A file from an offset on as the pieces that `PutBlob` takes. When it can not be read, the stream ends early and
/// the agent answers that the file is not whole.
pub(super) fn chunks(sha256: String, path: PathBuf, from: u64) -> ReceiverStream<BlobChunk> {
    let (sender, receiver) = tokio::sync::mpsc::channel(PIECES);
    // Owned by the stream: when the receiver goes, the next send fails and the thread ends.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_chunks(&sha256, &path, from, &sender) {
            tracing::error!(path = %path.display(), "failed to read a file that is being sent: {error}");
        }
    });
    ReceiverStream::new(receiver)
}

fn read_chunks(
    sha256: &str,
    path: &Path,
    from: u64,
    sender: &tokio::sync::mpsc::Sender<BlobChunk>,
) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let total_bytes = file.metadata()?.len();
    let mut offset = file.seek(SeekFrom::Start(from.min(total_bytes)))?;
    let mut first = true;
    loop {
        let mut data = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < data.len() {
            let n = file.read(&mut data[filled..])?;
            if n == 0 {
                break;
            }
            filled += n;
        }
        data.truncate(filled);
        if filled == 0 && !first {
            return Ok(());
        }
        let chunk = BlobChunk {
            sha256: if first { sha256.to_owned() } else { String::new() },
            total_bytes: if first { total_bytes } else { 0 },
            offset,
            crc32: crc32fast::hash(&data),
            data: data.into(),
        };
        first = false;
        offset += filled as u64;
        if sender.blocking_send(chunk).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    #[tokio::test]
    async fn a_file_is_cut_and_can_be_sent_from_the_middle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let content: Vec<u8> = (0..CHUNK_BYTES * 2 + 17).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let (sha, size) = sha256(&path).unwrap();
        assert_eq!(size, content.len() as u64);
        for from in [0, 100, content.len()] {
            let chunks: Vec<_> = chunks(sha.clone(), path.clone(), from as u64).collect().await;
            assert_eq!((chunks[0].sha256.as_str(), chunks[0].offset), (sha.as_str(), from as u64));
            let sent: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect();
            assert_eq!(sent, content[from..], "from {from}");
            assert!(chunks.iter().all(|chunk| crc32fast::hash(&chunk.data) == chunk.crc32));
        }
    }
}
