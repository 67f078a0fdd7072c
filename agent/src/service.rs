//! The agent's gRPC front.
//!
//! Purpose: turn calls into questions to `ops`, the cache and the collectors, and their answers into messages. It is thin:
//! nothing is decided here but who may call.
//! Place in the flow: TLS connections from `kfleet-pki` -> authorisation by method -> these handlers.
//! A handler's future may be dropped at any moment, when the caller goes away; ops do not notice.
//! Not here: certificates, the lives of ops.

mod auth;
mod blobs;
mod connection;
mod front;
mod notify;
mod observe;
mod serve;
mod status;

pub use auth::Auth;
pub use front::{About, Front};
pub use serve::{ServeError, Server};
