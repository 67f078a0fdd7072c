//! Certificates, identities and the TLS that every kfleet connection uses.
//!
//! Purpose: a fleet has certificate authorities for agents and for operators, and one for the services on its hosts, which
//! nothing of kfleet's trusts (`service`). Each certificate of an agent or operator carries
//! exactly one name, a URI such as `spiffe://lab/agent/kafka-1`, and is good for one direction only: agents answer,
//! operators call. This crate makes the authorities and certificates, keeps them in folders, and turns them into TLS
//! 1.3 configurations that check chain, direction, role, fleet and host of the other side.
//! Place in the flow: `kfleet init` and `kfleet-agent` make and install certificates here; the agent listens through
//! [`Incoming`], the controller calls through [`connect`], and both hand the resulting [`SecureStream`] to tonic.
//! Not here: gRPC, authorisation of single calls (the agent has a table for that), distribution of revocation lists,
//! renewal by itself. There is no plaintext mode and no way to switch a check off.

pub mod ca;
pub mod certificate;
mod files;
pub mod handshake;
pub mod identity;
pub mod incoming;
pub mod key;
pub mod material;
pub mod refusal;
pub mod service;
pub mod slot;
pub mod store;
pub mod stream;
pub mod tls;
mod verify;

pub use ca::{Authority, AuthorityCert, AuthorityError, AuthorityKind, IssuedCertificate, SignError};
pub use certificate::{LeafCertificate, Serial, validity_of};
pub use files::FileError;
pub use handshake::{HANDSHAKE_TIMEOUT, HandshakeError, PeerRefusal, accept, connect, refused_by_peer};
pub use identity::{Identity, IdentityError, Role, Subject, identity_of};
pub use incoming::{Incoming, Limits};
pub use key::{KeyError, KeyPair};
pub use material::{Bundle, Material, MaterialError};
pub use refusal::{Presented, Refusal, RefusalReason};
pub use service::{Due, ServiceError, ServiceNames, ServiceNamesError};
pub use slot::{ClientSlot, ServerSlot, TlsSlot};
pub use store::{FleetStore, HostStore, ServiceRecord, StoreError};
pub use stream::{PeerInfo, SecureStream};
pub use tls::{ClientConfigs, TlsError, TlsOptions, client_config, peer_identity, server_config};
