//! The authority of services in the fleet's folder, and the certificates that it has signed.
//!
//! Purpose: make the authority when the first service needs it, sign requests, keep a copy and a record of each answer.
//! Place in the flow: the controller signs here while a playbook runs; a request that comes again, for its run was cut,
//! gets the certificate that it got before.
//! Not here: the services' keys; each stays on its host.
//!
//! ```text
//! pki/services/ca.pem  ca.key  .gitignore  issued.jsonl  certificates/<service>/<host>.pem
//! ```

use super::fleet::{authority_files, records};
use super::{FleetStore, StoreError};
use crate::ca::{AUTHORITY_YEARS, Authority, AuthorityKind, SignError, requested_key};
use crate::certificate::Serial;
use crate::files::{self, Existing, FileError, PUBLIC, SECRET};
use crate::service::{SERVICE_LIFETIME, ServiceNames, answers};
use jiff::Timestamp;
use kfleet_model::{HostName, ServiceName};
use rcgen::PublicKeyData as _;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

const KIND: AuthorityKind = AuthorityKind::Services;

/// One line of `services/issued.jsonl`. It is written before the certificate is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// The certificate's number.
    pub serial: Serial,
    /// The service.
    pub service: ServiceName,
    /// The host.
    pub host: HostName,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// The first second of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

impl FleetStore {
    /// The certificate of the authority of services in PEM form; none while no service has needed one.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn services_authority_pem(&self) -> Result<Option<String>, StoreError> {
        let (certificate, _) = authority_files(self.dir(), KIND);
        if certificate.exists() { Ok(Some(files::read(&certificate)?)) } else { Ok(None) }
    }

    /// The authority of services, made now when no service has needed one before. Several may ask at once: one of them
    /// makes it, whole or not at all, and the others find it.
    ///
    /// # Errors
    /// When its files can not be written, read, or do not belong together.
    pub fn services_authority(&self, now: Timestamp) -> Result<Authority, StoreError> {
        let place = self.dir().join(KIND.as_str());
        if !place.exists() {
            let draft = tempfile::Builder::new()
                .prefix(".services-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(self.dir())
                .map_err(FileError::io("make a folder in", self.dir()))?;
            let made = Authority::create(self.fleet(), KIND, now, AUTHORITY_YEARS)
                .map_err(StoreError::authority(self.dir(), KIND))?;
            files::write(&draft.path().join("ca.key"), &made.key().to_pem(), SECRET, Existing::Keep)?;
            files::write(&draft.path().join("ca.pem"), made.certificate_pem(), PUBLIC, Existing::Keep)?;
            // A fleet's folder is often kept in Git, and one that was made before this folder existed does not leave it out.
            files::write(&draft.path().join(".gitignore"), "*.key\n", PUBLIC, Existing::Keep)?;
            files::sync_dir(draft.path())?;
            match std::fs::rename(draft.path(), &place) {
                Ok(()) => {
                    drop(draft.keep());
                    files::sync_dir(self.dir())?;
                }
                // Somebody else was first; ours, which has signed nothing, goes with its folder.
                Err(_) if place.exists() => {}
                Err(error) => return Err(FileError::io("write", &place)(error).into()),
            }
        }
        self.authority(KIND)
    }

    /// Signs the request of a service's node. The default lifetime is [`SERVICE_LIFETIME`]. A request whose key has a
    /// certificate already, of these names and with a third of its life left, gets that one.
    ///
    /// # Errors
    /// When the request is not acceptable, the authority can not sign, or a file can not be written.
    pub fn issue_service(
        &self,
        names: &ServiceNames,
        request: &str,
        now: Timestamp,
        lifetime: Option<Duration>,
    ) -> Result<String, StoreError> {
        let fail = |source| StoreError::SignService { names: names.to_string(), source: Box::new(source) };
        let authority = self.services_authority(now)?;
        let key = requested_key(request).map_err(fail)?;
        let copy = self.service_copy(names);
        if copy.exists() {
            let earlier = files::read(&copy)?;
            if answers(&earlier, &key.subject_public_key_info(), authority.certificate(), names, now) {
                return Ok(earlier);
            }
        }
        let issued = authority
            .sign_service(request, names, now, lifetime.unwrap_or(SERVICE_LIFETIME))
            .map_err(|source: SignError| fail(source))?;
        let record = ServiceRecord {
            serial: issued.serial,
            service: names.service().clone(),
            host: names.host().clone(),
            names: names.all(),
            not_before: issued.not_before,
            not_after: issued.not_after,
        };
        let path = self.services_record();
        let line = serde_json::to_string(&record).map_err(|source| StoreError::Record {
            path: path.clone(),
            line: 0,
            source,
        })?;
        files::append_line(&path, &line)?;
        files::make_dir(files::parent(&copy))?;
        files::write(&copy, &issued.pem, PUBLIC, Existing::Replace)?;
        Ok(issued.pem)
    }

    /// All certificates of services that were ever issued, in order.
    ///
    /// # Errors
    /// When the record can not be read.
    pub fn issued_services(&self) -> Result<Vec<ServiceRecord>, StoreError> {
        records(&self.services_record())
    }

    fn service_copy(&self, names: &ServiceNames) -> PathBuf {
        let folder = self.dir().join(KIND.as_str()).join("certificates").join(names.service().as_str());
        folder.join(format!("{}.pem", names.host()))
    }

    fn services_record(&self) -> PathBuf {
        self.dir().join(KIND.as_str()).join("issued.jsonl")
    }
}
