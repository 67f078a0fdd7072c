//! A node's key and certificate of the fleet's authority of services: `service_certificate_request` and
//! `service_certificate`.
//!
//! The first makes a new key on this host when a certificate is due, and a request for it; the controller signs the request
//! and the second puts key and certificate in place, once they are proven to fit. Until then the old ones stay as they are,
//! and the new key waits beside them, so that a run that is cut goes on where it was. No key leaves the host.
//! Not here: signing (the controller's), what is due and why (`kfleet_pki::service`), the restart that a node needs.

use super::shared::attributes::{self, Asked, Found};
use super::{Applied, Module, ModuleError};
use crate::host::{Attributes, Content, Host, HostView};
use crate::journal::error::chain;
use jiff::Timestamp;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use kfleet_pki::KeyPair;
use kfleet_pki::service::{self, Due, ServiceNames};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Far longer than a key with a chain of certificates.
const LIMIT: u64 = 1024 * 1024;
/// A key that waits for its certificate is for root's eyes, whoever runs the service.
const SECRET: Attributes = Attributes { mode: Some(0o600), uid: Some(0), gid: Some(0) };

/// The first half.
pub(super) struct Request;
/// The second half.
pub(super) struct Install;

/// What both need to know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: PathBuf,
    authority: PathBuf,
    service: String,
    #[serde(default)]
    dns: Vec<String>,
    #[serde(default)]
    ips: Vec<String>,
    #[serde(rename = "request")]
    _request: Option<String>,
    #[serde(rename = "days")]
    _days: Option<i64>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
    #[serde(rename = "_host")]
    host: Option<String>,
    #[serde(rename = "_authority")]
    authority_pem: Option<String>,
    #[serde(rename = "_certificate")]
    certificate_pem: Option<String>,
}

impl Params {
    fn names(&self) -> Result<ServiceNames, ModuleError> {
        let host = self.host.as_deref().ok_or_else(|| only_by_controller("_host"))?;
        ServiceNames::new(&self.service, host, &self.dns, &self.ips)
            .map_err(|error| ModuleError::Invalid(chain(&error)))
    }

    /// Where a new key waits for its certificate.
    fn next(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".next");
        name.into()
    }

    fn asked(&self) -> Asked<'_> {
        Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() }
    }
}

fn only_by_controller(name: &str) -> ModuleError {
    ModuleError::Invalid(format!("{name} is missing, which the controller sets: only its own tasks can ask for this"))
}

fn read(host: &dyn HostView, path: &Path) -> Result<Option<Zeroizing<String>>, ModuleError> {
    let bytes = host.read(path, LIMIT)?.map(Zeroizing::new);
    Ok(bytes.map(|bytes| Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
}

fn now(host: &dyn HostView) -> Result<Timestamp, ModuleError> {
    Timestamp::from_millisecond(host.unix_ms())
        .map_err(|error| ModuleError::Invalid(format!("this host's clock can not be used: {error}")))
}

/// What the first half finds.
pub(super) struct Asking {
    due: Option<Due>,
    /// The request for the key that waits, when one does.
    request: Option<String>,
}

impl Module for Request {
    type Params = Params;
    type State = Asking;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "service_certificate_request".into(),
            summary: "Makes a key on the host, and a request for a certificate of the fleet's own, when one is due"
                .into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: common_params(),
            returns: vec![
                returns(
                    "due",
                    "why a certificate is due: there is none, it names others, or less than a third of its life is left",
                ),
                returns("request", "the request that service_certificate takes, when one is due"),
            ],
            examples: include_str!("examples/service_certificate_request.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Asking, ModuleError> {
        let names = params.names()?;
        let keystore = read(host, &params.path)?;
        let due = match (&params.authority_pem, read(host, &params.authority)?) {
            (Some(pem), Some(installed)) if pem.trim() == installed.trim() => {
                let text = keystore.as_ref().map(|text| text.as_str());
                service::due(text, pem, &names, now(host)?).map_err(|error| ModuleError::Invalid(chain(&error)))?
            }
            // Without an authority nothing was ever signed by it; in check mode the first one is not made.
            (_, _) if keystore.is_none() => Some(Due::Missing),
            (_, _) => Some(Due::OtherAuthority),
        };
        let waiting = read(host, &params.next())?.and_then(|text| KeyPair::from_pem(&text).ok());
        let request = match (&due, waiting) {
            (Some(_), Some(key)) => Some(key.nameless_request().map_err(|error| ModuleError::Invalid(chain(&error)))?),
            (Some(_), None) | (None, _) => None,
        };
        Ok(Asking { due, request })
    }

    fn diff(&self, params: &Params, state: &Asking) -> Result<Vec<Change>, ModuleError> {
        let path = params.path.display().to_string();
        Ok(match (&state.due, &state.request) {
            (Some(due), None) => vec![Change::new(path, "certificate", due.to_string(), "requested")],
            (Some(_), Some(_)) | (None, _) => Vec::new(),
        })
    }

    fn apply(&self, host: &dyn Host, params: &Params, _: &Asking, _: &[Change]) -> Result<Applied, ModuleError> {
        let key = KeyPair::generate().map_err(|error| ModuleError::Invalid(chain(&error)))?;
        host.write(&params.next(), Content::Bytes(key.to_pem().as_bytes()), SECRET)?;
        Ok(Applied::new())
    }

    fn found(&self, _: &Params, state: &Asking) -> Map {
        let due = state.due.as_ref().map(|due| ("due".to_owned(), Value::from(due.to_string())));
        let request = state.request.as_ref().map(|request| ("request".to_owned(), Value::from(request.clone())));
        due.into_iter().chain(request).collect()
    }

    fn secret(&self, _: &Params) -> bool {
        true
    }
}

/// What the second half finds.
pub(super) struct Installing {
    /// Key and certificate as they shall stand in the file; none when they do.
    keystore: Option<Zeroizing<String>>,
    /// Whether the file is there, with whatever it holds.
    present: bool,
    authority: Installed,
    waiting: Waiting,
    found: Found,
}

/// The authority's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installed {
    As,
    Otherwise,
    Missing,
}

/// The key beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Key,
    Nothing,
}

impl Module for Install {
    type Params = Params;
    type State = Installing;

    fn doc(&self) -> ModuleDoc {
        let mut params = common_params();
        params.extend([
            param("request", ParamKind::Str, "What service_certificate_request returned.").required(),
            param("days", ParamKind::Int, "How many days a new certificate is valid; a year unless given."),
            param("_certificate", ParamKind::Str, "Set by the controller: the certificate that it has signed."),
        ]);
        params.extend(attributes::params());
        ModuleDoc {
            name: "service_certificate".into(),
            summary: "Has a request signed by the fleet's authority of services, and puts key and certificate in place"
                .into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns(
                    "path",
                    "the file of key and certificate; likewise its mode, owner, group, uid, gid, size and state",
                ),
                returns("authority", "the file of the authority's certificate"),
            ],
            examples: include_str!("examples/service_certificate.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Installing, ModuleError> {
        let names = params.names()?;
        let certificate = params.certificate_pem.as_deref().ok_or_else(|| only_by_controller("_certificate"))?;
        let authority = params.authority_pem.as_deref().ok_or_else(|| only_by_controller("_authority"))?;
        let now = now(host)?;
        let fitting = |key: &str| service::keystore(key, certificate, authority, &names, now);
        let (present, waiting) = (read(host, &params.path)?, read(host, &params.next())?);
        let in_place = present.as_ref().is_some_and(|text| fitting(text).is_ok_and(|wanted| wanted == *text));
        let keystore = match &waiting {
            _ if in_place => None,
            Some(key) => Some(fitting(key).map_err(|error| ModuleError::Invalid(chain(&error)))?),
            None => {
                let next = params.next();
                let why = format!("{} is missing, the key that the request was made with", next.display());
                return Err(ModuleError::Invalid(why));
            }
        };
        let installed = match read(host, &params.authority)? {
            Some(text) if *text == authority => Installed::As,
            Some(_) => Installed::Otherwise,
            None => Installed::Missing,
        };
        Ok(Installing {
            keystore,
            present: present.is_some(),
            authority: installed,
            waiting: if waiting.is_some() { Waiting::Key } else { Waiting::Nothing },
            found: params.asked().look(host, host.stat(&params.path, false)?)?,
        })
    }

    fn diff(&self, params: &Params, state: &Installing) -> Result<Vec<Change>, ModuleError> {
        let path = params.path.display().to_string();
        let before = |there: bool| if there { Value::from("another") } else { Value::Null };
        let mut changes = Vec::new();
        match state.authority {
            Installed::As => {}
            Installed::Otherwise | Installed::Missing => {
                let from = before(state.authority == Installed::Otherwise);
                changes.push(Change::new(params.authority.display().to_string(), "authority", from, "the fleet's"));
            }
        }
        if state.keystore.is_some() {
            changes.push(Change::new(path, "certificate", before(state.present), "signed"));
        }
        params.asked().differs(&params.path, &state.found, false, &mut changes)?;
        match state.waiting {
            Waiting::Key => {
                changes.push(Change::new(params.next().display().to_string(), "state", "present", "absent"));
            }
            Waiting::Nothing => {}
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Installing,
        _: &[Change],
    ) -> Result<Applied, ModuleError> {
        let numbers = params.asked().numbers(&state.found, false)?;
        // The authority first: a stop in between leaves the old certificate, which clients know by it or did not know before.
        if state.authority != Installed::As {
            let pem = params.authority_pem.as_deref().unwrap_or_default();
            let public = Attributes { mode: Some(0o644), uid: numbers.uid, gid: numbers.gid };
            host.write(&params.authority, Content::Bytes(pem.as_bytes()), public)?;
        }
        match &state.keystore {
            Some(text) => {
                // A key that nobody has said more about is for its owner alone.
                let mode = numbers.mode.or(Some(0o600));
                host.write(&params.path, Content::Bytes(text.as_bytes()), Attributes { mode, ..numbers })?;
            }
            None => host.set_attributes(&params.path, numbers, false)?,
        }
        // Last: until the file is in place this is the only copy of the key.
        if state.waiting == Waiting::Key {
            host.remove(&params.next())?;
        }
        Ok(Applied::new())
    }

    fn found(&self, params: &Params, state: &Installing) -> Map {
        let mut data = Map::from_iter([
            ("path".to_owned(), params.path.display().to_string().into()),
            ("authority".to_owned(), params.authority.display().to_string().into()),
        ]);
        state.found.describe(&mut data);
        data
    }

    fn secret(&self, _: &Params) -> bool {
        true
    }
}

fn common_params() -> Vec<ParamDoc> {
    vec![
        param("path", ParamKind::Path, "The file with key and certificate, both in PEM form, that the service reads.")
            .required(),
        param("authority", ParamKind::Path, "The file with the certificate of the authority of services.").required(),
        param("service", ParamKind::Str, "The service's name; it stands in the certificate's subject as OU.")
            .required(),
        param(
            "dns",
            ParamKind::List,
            "The names under which clients and other nodes call it; the inventory's name of the host unless given.",
        ),
        param("ips", ParamKind::List, "The addresses under which it is called, where one calls it by address."),
        param("_host", ParamKind::Str, "Set by the controller: the host's name in the inventory."),
        param("_authority", ParamKind::Str, "Set by the controller: the authority's certificate."),
    ]
}

#[cfg(test)]
#[path = "service_certificate/tests.rs"]
mod tests;
