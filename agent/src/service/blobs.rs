//! Files on their way into the cache.

use super::status;
use crate::journal::cache::{BlobError, BlobId, Cache, Have, Transfer};
use crate::ops::blocking;
use kfleet_proto::v1;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

/// Names in one question; more do not fit a message of 8 KiB of headers and 1 MiB of body anyway.
const MAX_NAMES: usize = 10_000;

/// Pieces that have come and are not yet on disk. The receiving handler fills it and waits when the disk is slower; the network
/// window then makes the sender wait.
const PIECES: usize = 4;

/// How long the next piece may take. A sender that is slower has gone; what came stays.
const IDLE: Duration = Duration::from_secs(30);

/// Which files are missing.
pub(super) async fn find(cache: Arc<Cache>, request: v1::FindBlobsRequest) -> Result<v1::FindBlobsResponse, Status> {
    if request.sha256.len() > MAX_NAMES {
        return Err(Status::invalid_argument(format!(
            "{} names in one call; {MAX_NAMES} are allowed",
            request.sha256.len()
        )));
    }
    let ids = request.sha256.iter().map(|name| id(name)).collect::<Result<Vec<_>, _>>()?;
    let missing = blocking(move || {
        let missing = request.sha256.into_iter().zip(ids).filter_map(|(sha256, id)| match cache.have(&id) {
            Have::Whole(_) => None,
            Have::Part(have_bytes) => Some(v1::PartialBlob { sha256, have_bytes }),
        });
        missing.collect()
    });
    Ok(v1::FindBlobsResponse { missing: missing.await })
}

fn id(name: &str) -> Result<BlobId, Status> {
    BlobId::new(name)
        .ok_or_else(|| Status::invalid_argument("a file's name must be a SHA-256 in 64 lower-case hex digits"))
}

/// Takes one file. Receiving and writing go on beside each other.
pub(super) async fn put(
    cache: Arc<Cache>,
    mut stream: Streaming<v1::BlobChunk>,
) -> Result<v1::PutBlobResponse, Status> {
    let first = next(&mut stream).await?.ok_or_else(|| Status::invalid_argument("the transfer has no piece"))?;
    let (id, total) = (id(&first.sha256)?, first.total_bytes);
    let (asked, wanted) = (cache.clone(), id.clone());
    if let Have::Whole(stored_bytes) = blocking(move || asked.have(&wanted)).await {
        return Ok(v1::PutBlobResponse { stored_bytes });
    }
    let (pieces, incoming) = mpsc::channel(PIECES);
    // When this future is dropped, the channel closes and the writer ends by itself with what it has.
    let writer = tokio::task::spawn_blocking(move || write(&cache, id, total, incoming));
    let mut piece = Some(first);
    while let Some(chunk) = piece {
        if pieces.send(chunk).await.is_err() {
            break;
        }
        piece = next(&mut stream).await?;
    }
    drop(pieces);
    match writer.await {
        Ok(Ok(stored_bytes)) => Ok(v1::PutBlobResponse { stored_bytes }),
        Ok(Err(error)) => Err(status::blob(&error)),
        Err(error) => Err(status::internal(&format!("a transfer's writer ended: {error}"))),
    }
}

async fn next(stream: &mut Streaming<v1::BlobChunk>) -> Result<Option<v1::BlobChunk>, Status> {
    match tokio::time::timeout(IDLE, stream.message()).await {
        Ok(message) => message,
        Err(_) => {
            Err(Status::deadline_exceeded(format!("no piece came for {} s; go on with the transfer", IDLE.as_secs())))
        }
    }
}

fn write(
    cache: &Arc<Cache>,
    id: BlobId,
    total: u64,
    mut pieces: mpsc::Receiver<v1::BlobChunk>,
) -> Result<u64, BlobError> {
    let mut transfer: Transfer = cache.receive(id, total)?;
    while let Some(piece) = pieces.blocking_recv() {
        transfer.write(piece.offset, &piece.data, piece.crc32)?;
    }
    transfer.finish()
}
