//! Where certificates and keys live.
//!
//! Purpose: the two folders, the fleet's and the host's, and what may be done with each.
//! Place in the flow: `kfleet init` makes a [`FleetStore`], `kfleet-agent` keeps a [`HostStore`].
//! Not here: how a request and a bundle travel between them; neither holds a secret.
//!
//! All calls block on the file system: call them at the start of a program, or from a blocking thread.
//!
//! ```text
//! fleet: pki/agents-ca.pem  agents-ca.key  operators-ca.pem  operators-ca.key
//!        pki/operators/<name>.pem|.key   pki/agents/<host>.pem   pki/issued.jsonl
//! host:  /etc/kfleet/pki/agent.key  agent.csr  agent.pem  operators-ca.pem
//! ```

mod fleet;
mod host;
mod services;
#[cfg(test)]
mod tests;

pub use fleet::{FleetStore, IssuedRecord};
pub use host::HostStore;
pub use services::ServiceRecord;

use crate::ca::{AuthorityError, AuthorityKind, SignError};
use crate::files::FileError;
use crate::identity::Identity;
use crate::key::KeyError;
use crate::material::MaterialError;
use std::path::{Path, PathBuf};

/// Why a folder of certificates can not be used. Each names the file or the holder.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file can not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// An authority's files are not what they should be.
    #[error("the {kind} authority in {} can not be used", dir.display())]
    Authority {
        /// The fleet's folder.
        dir: PathBuf,
        /// Which authority.
        kind: AuthorityKind,
        /// What is wrong with it.
        source: Box<AuthorityError>,
    },
    /// The two authorities do not belong together, or one stands in the other's place.
    #[error("the authorities in {} do not belong together: {found}", dir.display())]
    Mixed {
        /// The fleet's folder.
        dir: PathBuf,
        /// What was found.
        found: String,
    },
    /// No key or request could be made.
    #[error("can not make a key for {identity}")]
    Key {
        /// For whom.
        identity: Identity,
        /// What failed.
        source: KeyError,
    },
    /// A key file does not hold a key.
    #[error("the private key {} can not be used", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// No certificate was made.
    #[error("can not sign a certificate for {identity}")]
    Sign {
        /// For whom.
        identity: Identity,
        /// What failed.
        source: Box<SignError>,
    },
    /// No certificate of a service was made.
    #[error("can not sign a certificate for {names}")]
    SignService {
        /// For which service, host and names.
        names: String,
        /// What failed.
        source: Box<SignError>,
    },
    /// The certificate, key and authorities in a folder do not make up one side of a connection.
    #[error("the certificate in {} can not be used", dir.display())]
    Material {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        source: Box<MaterialError>,
    },
    /// A line of the record of issued certificates can not be read.
    #[error("line {line} of {} is not a record of an issued certificate", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl StoreError {
    fn authority(dir: &Path, kind: AuthorityKind) -> impl Fn(AuthorityError) -> Self {
        let dir = dir.to_owned();
        move |source| Self::Authority { dir: dir.clone(), kind, source: Box::new(source) }
    }

    fn material(dir: &Path) -> impl FnOnce(MaterialError) -> Self {
        let dir = dir.to_owned();
        move |source| Self::Material { dir, source: Box::new(source) }
    }
}
