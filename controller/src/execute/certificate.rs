//! The controller's half of `service_certificate_request` and `service_certificate`: the names, the authority, the signature.
//!
//! Which names a certificate carries is the operator's playbook's say and never the host's: nothing but the public key is
//! taken from the request. A run that is resumed asks again and gets the certificate that it got before, so its op is the
//! same to the agent.

use super::action::Prepared;
use super::hosts::RunHost;
use super::task::{TaskFailure, whole};
use jiff::Timestamp;
use kfleet_model::module::text;
use kfleet_model::{Map, TaskResult, Value};
use kfleet_pki::{FleetStore, ServiceNames};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// The longest life that may be asked for: what an authority of ten years can still sign for years to come.
const LONGEST_DAYS: u64 = 1825;

/// Gives the agent what it needs to tell whether a certificate is due.
pub(super) fn request(pki: &Path, host: &RunHost, mut params: Map, check: bool) -> Result<Prepared, TaskFailure> {
    let name = "service_certificate_request";
    let store = open(name, pki)?;
    name_host(host, &mut params);
    // Check mode makes nothing on the controller either: without an authority every certificate is due.
    let authority = if check {
        store.services_authority_pem().map_err(|error| failure(name, &error))?
    } else {
        let made = store.services_authority(Timestamp::now()).map_err(|error| failure(name, &error))?;
        Some(made.certificate_pem().to_owned())
    };
    if let Some(pem) = authority {
        params.insert("_authority".to_owned(), pem.into());
    }
    Ok(op(name, params))
}

/// Signs the request that a host made.
pub(super) fn sign(pki: &Path, host: &RunHost, mut params: Map, check: bool) -> Result<Prepared, TaskFailure> {
    let name = "service_certificate";
    if check {
        return Ok(Prepared::Ended(Box::new(TaskResult::skip("nothing is signed in check mode"))));
    }
    let store = open(name, pki)?;
    name_host(host, &mut params);
    let list = |key: &str| match params.get(key) {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect::<Vec<_>>(),
        None => Vec::new(),
    };
    let word = |key: &str| params.get(key).and_then(text).unwrap_or_default();
    let names = ServiceNames::new(&word("service"), host.name.as_str(), list("dns"), list("ips"))
        .map_err(|error| failure(name, &error))?;
    let lifetime = match params.get("days").map(|days| whole(days).map(u64::from)) {
        None => None,
        Some(Some(days)) if (1..=LONGEST_DAYS).contains(&days) => Some(Duration::from_secs(days * 86_400)),
        Some(_) => return Err(TaskFailure(format!("{name}: 'days' must be from 1 to {LONGEST_DAYS}"))),
    };
    let now = Timestamp::now();
    let certificate =
        store.issue_service(&names, &word("request"), now, lifetime).map_err(|error| failure(name, &error))?;
    let authority = store.services_authority(now).map_err(|error| failure(name, &error))?;
    params.insert("_certificate".to_owned(), certificate.into());
    params.insert("_authority".to_owned(), authority.certificate_pem().into());
    Ok(op(name, params))
}

fn open(name: &str, pki: &Path) -> Result<FleetStore, TaskFailure> {
    FleetStore::open(pki).map_err(|error| failure(name, &error))
}

/// A host is known by its name in the inventory, and called by it unless the playbook says otherwise.
fn name_host(host: &RunHost, params: &mut Map) {
    params.insert("_host".to_owned(), host.name.as_str().into());
    let names = |key: &str| params.get(key).and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    if !names("dns") && !names("ips") {
        params.insert("dns".to_owned(), vec![host.name.as_str()].into());
    }
}

fn op(module: &str, params: Map) -> Prepared {
    Prepared::Op { module: module.to_owned(), params, files: Vec::new() }
}

fn failure(name: &str, error: &dyn Error) -> TaskFailure {
    let mut text = format!("{name}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    TaskFailure(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::{FleetName, HostName};
    use kfleet_pki::KeyPair;
    use serde_json::json;

    struct Fleet {
        dir: tempfile::TempDir,
        host: std::sync::Arc<RunHost>,
    }

    impl Fleet {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            FleetStore::create(&dir.path().join("pki"), &FleetName::new("lab").unwrap(), Timestamp::now()).unwrap();
            Self { dir, host: RunHost::new(HostName::new("kafka-1").unwrap()) }
        }

        fn pki(&self) -> std::path::PathBuf {
            self.dir.path().join("pki")
        }
    }

    fn params(more: Value) -> Map {
        let mut params = json!({"service": "kafka", "path": "/p", "authority": "/a"}).as_object().unwrap().clone();
        params.extend(more.as_object().unwrap().clone());
        params
    }

    fn sent(prepared: Result<Prepared, TaskFailure>) -> Map {
        match prepared.unwrap() {
            Prepared::Op { params, .. } => params,
            Prepared::Ended(_) | Prepared::Pause(_) => panic!("no op"),
        }
    }

    #[test]
    fn check_mode_makes_no_authority_and_signs_nothing() {
        let fleet = Fleet::new();
        let asked = sent(request(&fleet.pki(), &fleet.host, params(json!({})), true));
        assert_eq!((asked.get("_authority"), &asked["dns"]), (None, &json!(["kafka-1"])));
        let signed = sign(&fleet.pki(), &fleet.host, params(json!({"request": "x"})), true).unwrap();
        assert!(matches!(signed, Prepared::Ended(result) if result.skipped));
        assert!(!fleet.pki().join("services").exists());
    }

    #[test]
    fn the_same_request_gives_the_same_op_and_the_playbook_gives_the_names() {
        let fleet = Fleet::new();
        let asked = sent(request(&fleet.pki(), &fleet.host, params(json!({})), false));
        let csr = KeyPair::generate().unwrap().nameless_request().unwrap();
        let ask = |more: Value| sent(sign(&fleet.pki(), &fleet.host, params(more), false));
        let first = ask(json!({"request": csr, "dns": ["kafka-1", "broker.example.com"]}));
        assert_eq!(first, ask(json!({"request": csr, "dns": ["kafka-1", "broker.example.com"]})));
        assert_eq!(first["_authority"], asked["_authority"]);
        let records = FleetStore::open(&fleet.pki()).unwrap().issued_services().unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].names, ["broker.example.com", "kafka-1"]);
    }

    #[test]
    fn what_can_not_be_signed_is_told_with_its_cause() {
        let fleet = Fleet::new();
        let csr = KeyPair::generate().unwrap().nameless_request().unwrap();
        for (more, wanted) in [
            (json!({"request": "nonsense"}), "not a readable certificate request"),
            (json!({"request": csr, "days": 0}), "'days' must be from 1 to 1825"),
            (json!({"request": csr, "days": 9000}), "'days' must be from 1 to 1825"),
            (json!({"request": csr, "dns": ["*.example.com"]}), "is no DNS name of one host"),
        ] {
            let Err(TaskFailure(text)) = sign(&fleet.pki(), &fleet.host, params(more), false) else {
                panic!("{wanted}")
            };
            assert!(text.starts_with("service_certificate: ") && text.contains(wanted), "{text}");
        }
        let elsewhere = fleet.dir.path().join("none");
        assert!(request(&elsewhere, &fleet.host, params(json!({})), true).is_err());
    }
}
