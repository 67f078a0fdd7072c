//! The host's folder: the agent's key, its request, its certificate, and the authority of the operators it obeys.
//!
//! Purpose: make the key on the host, ask for a certificate, put it in place once it is proven to fit.
//! Place in the flow: `kfleet-agent request` makes the request, `kfleet-agent install-cert` takes the bundle,
//! the service loads the result.
//! Not here: the agents' authority; a host has no use for it after the check.

use super::StoreError;
use crate::files::{self, Existing, PUBLIC, SECRET};
use crate::identity::{Identity, Role};
use crate::key::KeyPair;
use crate::material::{Bundle, Material};
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName};
use std::path::{Path, PathBuf};

/// A host's folder of certificate and key.
#[derive(Debug, Clone)]
pub struct HostStore {
    dir: PathBuf,
}

impl HostStore {
    /// The usual folder.
    pub const DEFAULT_DIR: &'static str = "/etc/kfleet/pki";

    /// Uses this folder; nothing is read or made yet.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes the request for a certificate, and the key for it unless there is one already. The key never leaves
    /// this folder. Returns the request in PEM form.
    ///
    /// # Errors
    /// When the folder can not be written, or an existing key can not be used.
    pub fn make_request(&self, fleet: &FleetName, host: &HostName) -> Result<String, StoreError> {
        let identity = Identity::agent(fleet.clone(), host.clone());
        files::make_dir(&self.dir)?;
        let key = self.key_or_new(&identity)?;
        let request = key.request(&identity).map_err(|source| StoreError::Key { identity, source })?;
        files::write(&self.dir.join("agent.csr"), &request, PUBLIC, Existing::Replace)?;
        Ok(request)
    }

    /// Checks a bundle completely, then puts it in place. An earlier certificate stays when the check fails.
    ///
    /// # Errors
    /// When the bundle is not for this host and key, or its certificate would not be accepted; or when a file can
    /// not be written.
    pub fn install(&self, bundle: &Bundle, expected: &Identity, now: Timestamp) -> Result<Material, StoreError> {
        let key = files::read_secret(&self.key_file())?;
        let material = bundle.check(expected, &key, now).map_err(StoreError::material(&self.dir))?;
        // The authority first: a stop in between leaves the old certificate with the operators' newest authority.
        files::write(&self.authority_file(), &bundle.operators_authority, PUBLIC, Existing::Replace)?;
        files::write(&self.certificate_file(), &bundle.certificate, PUBLIC, Existing::Replace)?;
        Ok(material)
    }

    /// Loads the agent's side for its listener.
    ///
    /// # Errors
    /// When a file can not be read, or the parts do not belong together or are not valid now.
    pub fn load(&self, now: Timestamp) -> Result<Material, StoreError> {
        let certificate = files::read(&self.certificate_file())?;
        let key = files::read_secret(&self.key_file())?;
        let peers = files::read(&self.authority_file())?;
        Material::from_pem(Role::Agent, &certificate, &key, &peers, now).map_err(StoreError::material(&self.dir))
    }

    fn key_or_new(&self, identity: &Identity) -> Result<KeyPair, StoreError> {
        let path = self.key_file();
        if path.exists() {
            let text = files::read_secret(&path)?;
            return KeyPair::from_pem(&text).map_err(|source| StoreError::KeyFile { path, source });
        }
        let key = KeyPair::generate().map_err(|source| StoreError::Key { identity: identity.clone(), source })?;
        files::write(&path, &key.to_pem(), SECRET, Existing::Keep)?;
        Ok(key)
    }

    fn key_file(&self) -> PathBuf {
        self.dir.join("agent.key")
    }

    fn certificate_file(&self) -> PathBuf {
        self.dir.join("agent.pem")
    }

    fn authority_file(&self) -> PathBuf {
        self.dir.join("operators-ca.pem")
    }
}
