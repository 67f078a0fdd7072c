//! The fleet's folder: both authorities with their keys, operators' certificates, and the record of all issued ones.
//!
//! Purpose: make a fleet, issue certificates, load an operator.
//! Place in the flow: the controller's machine. Whoever can read this folder's keys commands the fleet.
//! Not here: the hosts' keys; they never come here.

use super::StoreError;
use crate::ca::{
    AGENT_LIFETIME, AUTHORITY_YEARS, Authority, AuthorityCert, AuthorityKind, IssuedCertificate, OPERATOR_LIFETIME,
};
use crate::certificate::Serial;
use crate::files::{self, Existing, FileError, PUBLIC, SECRET};
use crate::identity::{Identity, Role};
use crate::key::KeyPair;
use crate::material::{Bundle, Material};
use jiff::Timestamp;
use kfleet_model::{FleetName, HostName, OperatorName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One line of `issued.jsonl`. It is written before the certificate is handed out, so that none is without a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedRecord {
    /// By this number a certificate is revoked.
    pub serial: Serial,
    /// The holder.
    pub identity: Identity,
    /// The first second of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

impl From<&IssuedCertificate> for IssuedRecord {
    fn from(issued: &IssuedCertificate) -> Self {
        Self {
            serial: issued.serial.clone(),
            identity: issued.identity.clone(),
            not_before: issued.not_before,
            not_after: issued.not_after,
        }
    }
}

/// A fleet's folder of certificates and keys.
#[derive(Debug, Clone)]
pub struct FleetStore {
    dir: PathBuf,
    fleet: FleetName,
}

impl FleetStore {
    /// Makes a fleet: both authorities, in a folder that must not exist. After a failure or power cut there is either
    /// the whole folder or none.
    ///
    /// # Errors
    /// When the folder exists or can not be written.
    pub fn create(dir: &Path, fleet: &FleetName, now: Timestamp) -> Result<Self, StoreError> {
        let parent = files::parent(dir);
        if dir.symlink_metadata().is_ok() {
            return Err(FileError::Exists { path: dir.to_owned() }.into());
        }
        files::make_dir(parent)?;
        let draft = tempfile::Builder::new()
            .prefix(".pki-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(FileError::io("make a folder in", parent))?;
        for kind in [AuthorityKind::Agents, AuthorityKind::Operators] {
            let authority =
                Authority::create(fleet, kind, now, AUTHORITY_YEARS).map_err(StoreError::authority(dir, kind))?;
            let (certificate, key) = authority_files(draft.path(), kind);
            files::write(&key, &authority.key().to_pem(), SECRET, Existing::Keep)?;
            files::write(&certificate, authority.certificate_pem(), PUBLIC, Existing::Keep)?;
        }
        for folder in ["agents", "operators"] {
            files::make_dir(&draft.path().join(folder))?;
        }
        files::sync_dir(draft.path())?;
        // Renaming onto a folder that appeared in the meantime fails, unless it is empty.
        std::fs::rename(draft.path(), dir).map_err(|error| {
            if dir.symlink_metadata().is_ok() {
                FileError::Exists { path: dir.to_owned() }
            } else {
                FileError::io("write", dir)(error)
            }
        })?;
        drop(draft.keep());
        files::sync_dir(parent)?;
        Ok(Self { dir: dir.to_owned(), fleet: fleet.clone() })
    }

    /// Opens a fleet's folder. Reads the public halves only, so it works without access to the authorities' keys.
    ///
    /// # Errors
    /// When the authorities' certificates can not be read or do not belong together.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let read = |kind| -> Result<AuthorityCert, StoreError> {
            let text = files::read(&authority_files(dir, kind).0)?;
            let found = AuthorityCert::first_from_pem(&text).map_err(StoreError::authority(dir, kind))?;
            if found.kind == kind {
                return Ok(found);
            }
            let found = format!("the place of the {kind} authority holds {}", found.name);
            Err(StoreError::Mixed { dir: dir.to_owned(), found })
        };
        let (agents, operators) = (read(AuthorityKind::Agents)?, read(AuthorityKind::Operators)?);
        if agents.fleet != operators.fleet {
            let found = format!("one is of fleet {}, the other of fleet {}", agents.fleet, operators.fleet);
            return Err(StoreError::Mixed { dir: dir.to_owned(), found });
        }
        Ok(Self { dir: dir.to_owned(), fleet: agents.fleet })
    }

    /// The fleet's name.
    #[must_use]
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// An authority with its key.
    ///
    /// # Errors
    /// When its files can not be read or do not belong together.
    pub fn authority(&self, kind: AuthorityKind) -> Result<Authority, StoreError> {
        let (certificate, key) = authority_files(&self.dir, kind);
        Authority::from_pem(&files::read(&certificate)?, &files::read_secret(&key)?)
            .map_err(StoreError::authority(&self.dir, kind))
    }

    /// Makes a key and a certificate for a new operator. The default lifetime is [`OPERATOR_LIFETIME`].
    ///
    /// # Errors
    /// When there is a key or certificate of that name already, the authority can not sign, or a file can not be
    /// written.
    pub fn issue_operator(
        &self,
        name: &OperatorName,
        now: Timestamp,
        lifetime: Option<Duration>,
    ) -> Result<IssuedCertificate, StoreError> {
        let (certificate, key) = self.operator_files(name);
        // Looked at before signing, so that a mistaken name leaves no certificate on record.
        if let Some(path) = [certificate, key].into_iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(FileError::Exists { path }.into());
        }
        self.make_operator(name, now, lifetime, Existing::Keep)
    }

    /// Replaces an operator's key and certificate by new ones. The old certificate stays valid until its end, or
    /// until it is revoked.
    ///
    /// # Errors
    /// When the authority can not sign, or a file can not be written.
    pub fn renew_operator(
        &self,
        name: &OperatorName,
        now: Timestamp,
        lifetime: Option<Duration>,
    ) -> Result<IssuedCertificate, StoreError> {
        self.make_operator(name, now, lifetime, Existing::Replace)
    }

    fn make_operator(
        &self,
        name: &OperatorName,
        now: Timestamp,
        lifetime: Option<Duration>,
        existing: Existing,
    ) -> Result<IssuedCertificate, StoreError> {
        let identity = Identity::operator(self.fleet.clone(), name.clone());
        let fail = |source| StoreError::Key { identity: identity.clone(), source };
        let key = KeyPair::generate().map_err(fail)?;
        let request = key.request(&identity).map_err(fail)?;
        let issued = self.sign(&request, &identity, now, lifetime.unwrap_or(OPERATOR_LIFETIME))?;
        let (certificate, key_file) = self.operator_files(name);
        // A stop between the two leaves a pair that does not match, which loading refuses and renewing mends.
        files::write(&key_file, &key.to_pem(), SECRET, existing)?;
        files::write(&certificate, &issued.pem, PUBLIC, existing)?;
        Ok(issued)
    }

    /// Signs a host's request and gives what the host needs; a copy of the certificate stays here. The default
    /// lifetime is [`AGENT_LIFETIME`].
    ///
    /// # Errors
    /// When the request is not acceptable, the authority can not sign, or a file can not be written.
    pub fn issue_agent(
        &self,
        host: &HostName,
        request: &str,
        now: Timestamp,
        lifetime: Option<Duration>,
    ) -> Result<Bundle, StoreError> {
        let identity = Identity::agent(self.fleet.clone(), host.clone());
        let issued = self.sign(request, &identity, now, lifetime.unwrap_or(AGENT_LIFETIME))?;
        let copy = self.dir.join("agents").join(format!("{host}.pem"));
        files::write(&copy, &issued.pem, PUBLIC, Existing::Replace)?;
        Ok(Bundle {
            certificate: issued.pem,
            agents_authority: files::read(&authority_files(&self.dir, AuthorityKind::Agents).0)?,
            operators_authority: files::read(&authority_files(&self.dir, AuthorityKind::Operators).0)?,
        })
    }

    /// Loads an operator's certificate and key.
    ///
    /// # Errors
    /// When a file can not be read, or the parts do not belong together or are not valid now.
    pub fn load_operator(&self, name: &OperatorName, now: Timestamp) -> Result<Material, StoreError> {
        let (certificate, key) = self.operator_files(name);
        let peers = files::read(&authority_files(&self.dir, AuthorityKind::Agents).0)?;
        Material::from_pem(Role::Operator, &files::read(&certificate)?, &files::read_secret(&key)?, &peers, now)
            .map_err(StoreError::material(&self.dir.join("operators")))
    }

    /// All certificates that were ever issued, in order.
    ///
    /// # Errors
    /// When the record can not be read.
    pub fn issued(&self) -> Result<Vec<IssuedRecord>, StoreError> {
        records(&self.record_file())
    }

    fn sign(
        &self,
        request: &str,
        identity: &Identity,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<IssuedCertificate, StoreError> {
        let authority = self.authority(AuthorityKind::of(identity.role()))?;
        let fail = |source| StoreError::Sign { identity: identity.clone(), source: Box::new(source) };
        let issued = authority.sign(request, identity, now, lifetime).map_err(fail)?;
        let path = self.record_file();
        let line = serde_json::to_string(&IssuedRecord::from(&issued)).map_err(|source| StoreError::Record {
            path: path.clone(),
            line: 0,
            source,
        })?;
        files::append_line(&path, &line)?;
        Ok(issued)
    }

    fn operator_files(&self, name: &OperatorName) -> (PathBuf, PathBuf) {
        let folder = self.dir.join("operators");
        (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")))
    }

    fn record_file(&self) -> PathBuf {
        self.dir.join("issued.jsonl")
    }
}

/// The lines of a record of issued certificates.
pub(super) fn records<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = files::read(path)?;
    let mut records = Vec::new();
    for (at, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            // A line that breaks off was cut by a crash. Its certificate was never handed out.
            Err(error) if error.is_eof() => {}
            Err(source) => return Err(StoreError::Record { path: path.to_owned(), line: at + 1, source }),
        }
    }
    Ok(records)
}

/// Certificate and key of an authority. The one of services came later and has a folder of its own.
pub(super) fn authority_files(dir: &Path, kind: AuthorityKind) -> (PathBuf, PathBuf) {
    match kind {
        AuthorityKind::Agents | AuthorityKind::Operators => {
            (dir.join(format!("{kind}-ca.pem")), dir.join(format!("{kind}-ca.key")))
        }
        AuthorityKind::Services => (dir.join("services/ca.pem"), dir.join("services/ca.key")),
    }
}
