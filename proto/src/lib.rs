//! The contract between controller and agent.
//!
//! Purpose: the generated messages and services of `kfleet/v1/agent.proto`, and their conversion to and from the
//! model's types.
//! Place in the flow: the edge of both programs; generated types stop in [`convert`] and in the two gRPC fronts.
//! Not here: connections, TLS, authorisation.

pub mod convert;

/// The generated types, version 1.
#[expect(missing_docs, clippy::all, reason = "generated; the documents stand in the .proto file")]
pub mod v1 {
    tonic::include_proto!("kfleet.v1");
}

/// The compiled descriptor set, for tests that walk all methods.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The protocol version that this build speaks.
pub const PROTOCOL: u32 = 1;

/// The largest message that either side sends or accepts.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Files, results and documents are cut into pieces of this size.
pub const CHUNK_BYTES: usize = 256 * 1024;
