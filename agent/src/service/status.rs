//! Errors as gRPC status, all in one place.
//!
//! | status | means to the caller |
//! |---|---|
//! | `INVALID_ARGUMENT` | the message is wrong; sending it again will not help |
//! | `NOT_FOUND` | this agent does not know the op; nothing was done under its id, so it may be submitted |
//! | `ALREADY_EXISTS` | the id belongs to another op |
//! | `RESOURCE_EXHAUSTED` | no room or no place now; try again later |
//! | `FAILED_PRECONDITION` | the host or its cluster can not be read as it is now |
//! | `UNAVAILABLE` | the agent is stopping; try again soon |
//! | `ABORTED`, `DATA_LOSS` | a transfer was cut or damaged; go on with it |
//! | `DEADLINE_EXCEEDED` | it took too long |
//! | `INTERNAL` | the agent's own state or a bug; its log says more |

use crate::collect::CollectError;
use crate::host::HostError;
use crate::journal::cache::BlobError;
use crate::journal::error::{StateError, chain};
use crate::ops::{FollowError, ObserveError, SubmitError};
use kfleet_proto::convert::ConvertError;
use tonic::Status;

/// A message that can not be taken.
pub(super) fn convert(error: &ConvertError) -> Status {
    Status::invalid_argument(chain(error))
}

/// A failure of the state directory.
pub(super) fn state(error: &StateError) -> Status {
    let text = format!("failed to {}", chain(error));
    if error.is_full() { Status::resource_exhausted(text) } else { internal(&text) }
}

/// An op that is not taken.
pub(super) fn submit(error: &SubmitError) -> Status {
    match error {
        SubmitError::OtherOp { .. } => Status::already_exists(error.to_string()),
        SubmitError::TooMany => Status::resource_exhausted(error.to_string()),
        SubmitError::Stopping => Status::unavailable(error.to_string()),
        SubmitError::State(inner) => state(inner),
    }
}

/// An op that can not be followed further.
pub(super) fn follow(error: &FollowError) -> Status {
    match error {
        FollowError::State(inner) => state(inner),
        FollowError::Stopping => Status::unavailable(error.to_string()),
    }
}

/// An observation that was not made.
pub(super) fn observe(error: &ObserveError) -> Status {
    match error {
        ObserveError::Late => Status::deadline_exceeded(error.to_string()),
        ObserveError::Panicked(_) | ObserveError::Name(_) => internal(&error.to_string()),
    }
}

/// A host or cluster that could not be read.
pub(super) fn collect(error: &CollectError) -> Status {
    let text = chain(error);
    match error {
        CollectError::Invalid(_) => Status::invalid_argument(text),
        CollectError::Host(HostError::Stopped(_)) => Status::deadline_exceeded(text),
        CollectError::Host(_) | CollectError::Kafka(_) | CollectError::ZooKeeper(_) => {
            Status::failed_precondition(text)
        }
        CollectError::Runtime(_) => internal(&text),
    }
}

/// A transfer that failed.
pub(super) fn blob(error: &BlobError) -> Status {
    let text = error.to_string();
    match error {
        BlobError::State(inner) => state(inner),
        BlobError::TooLarge { .. } | BlobError::Offset { .. } => Status::invalid_argument(text),
        BlobError::Busy { .. } => Status::resource_exhausted(text),
        BlobError::Checksum { .. } | BlobError::Content { .. } => Status::data_loss(text),
        BlobError::Short { .. } | BlobError::TakenOver => Status::aborted(text),
    }
}

/// A bug or a broken disk.
pub(super) fn internal(text: &str) -> Status {
    tracing::error!("{text}");
    Status::internal(text)
}
