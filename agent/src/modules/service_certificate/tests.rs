//! Both halves together, with keys that are made here. What needs no new key stands in the case files.

use super::*;
use crate::host::fake::{FakeHost, Spec};
use crate::modules::{AnyModule as _, Call, ModuleError};
use jiff::SignedDuration;
use kfleet_model::{FleetName, TaskResult};
use kfleet_pki::service::SERVICE_LIFETIME;
use kfleet_pki::{Authority, AuthorityKind};

const NEXT: &str = "/etc/kafka/tls/host.pem.next";

fn host() -> FakeHost {
    let spec = serde_json::json!({"files": {"/etc/kafka/tls": {"kind": "directory"}}});
    FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap())
}

/// The fleet, whose clock is the fake host's.
fn authority(host: &FakeHost) -> Authority {
    let made = now(host).unwrap() - SignedDuration::from_hours(24);
    Authority::create(&FleetName::new("lab").unwrap(), AuthorityKind::Services, made, 10).unwrap()
}

fn params(authority: &Authority) -> Map {
    let value = serde_json::json!({
        "path": "/etc/kafka/tls/host.pem", "authority": "/etc/kafka/tls/ca.pem", "service": "kafka",
        "dns": ["kafka-1"], "_host": "kafka-1", "_authority": authority.certificate_pem(),
    });
    value.as_object().unwrap().clone()
}

fn request(host: &FakeHost, params: &Map) -> TaskResult {
    Request.run(host, Call { params, check: false, diff: true }, &mut |_| Ok(())).unwrap()
}

fn install(host: &FakeHost, params: &Map, certificate: &str) -> Result<TaskResult, ModuleError> {
    let mut params = params.clone();
    params.insert("_certificate".to_owned(), certificate.into());
    Install.run(host, Call { params: &params, check: false, diff: true }, &mut |_| Ok(()))
}

fn sign(host: &FakeHost, authority: &Authority, asked: &TaskResult) -> String {
    let names = ServiceNames::new("kafka", "kafka-1", ["kafka-1"], [""; 0]).unwrap();
    let request = asked.data["request"].as_str().unwrap();
    authority.sign_service(request, &names, now(host).unwrap(), SERVICE_LIFETIME).unwrap().pem
}

#[test]
fn a_bare_host_gets_key_and_certificate_and_a_second_round_changes_nothing() {
    let host = host();
    let authority = authority(&host);
    let params = params(&authority);
    let asked = request(&host, &params);
    assert!(asked.changed && asked.data["due"] == "there is no certificate", "{:?}", asked.data);
    let waiting = host.files()[Path::new(NEXT)].clone();
    assert_eq!(waiting.mode.as_deref(), Some("0600"));
    assert!(!format!("{asked:?}").contains("PRIVATE KEY"), "the key is in the result");
    let again = request(&host, &params);
    assert!(!again.changed, "a key that waits is kept");
    assert_eq!(host.files()[Path::new(NEXT)].content, waiting.content);
    let done = install(&host, &params, &sign(&host, &authority, &again)).unwrap();
    assert!(done.changed && !format!("{done:?}").contains("PRIVATE KEY"));
    assert!(!host.files().contains_key(Path::new(NEXT)));
    let settled = request(&host, &params);
    assert!(!settled.changed && !settled.data.contains_key("request") && !settled.data.contains_key("due"));
}

#[test]
fn a_fault_at_any_step_leaves_a_way_on_and_never_a_file_without_its_key() {
    let mut faults = 0;
    for n in 0.. {
        let host = host();
        let authority = authority(&host);
        let params = params(&authority);
        let certificate = sign(&host, &authority, &request(&host, &params));
        host.fail_at(n);
        if install(&host, &params, &certificate).is_ok() {
            break;
        }
        faults += 1;
        // The next run asks again where the file is not in place, and is satisfied where it is.
        let asked = request(&host, &params);
        if asked.data.contains_key("request") {
            install(&host, &params, &sign(&host, &authority, &asked)).unwrap();
        }
        let settled = request(&host, &params);
        assert!(!settled.data.contains_key("due"), "after a fault at call {n}: {:?}", settled.data);
    }
    assert!(faults > 5, "only {faults} faults");
}
