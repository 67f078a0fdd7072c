//! Both folders together, on real files.

use super::*;
use crate::certificate::LeafCertificate;
use crate::material::Bundle;
use crate::refusal::RefusalReason;
use crate::service::ServiceNames;
use crate::{FileError, Identity, KeyPair};
use jiff::{SignedDuration, Timestamp};
use kfleet_model::{FleetName, HostName, OperatorName};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

struct Lab {
    dir: TempDir,
    fleet: FleetStore,
    host: HostStore,
}

fn now() -> Timestamp {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn name() -> FleetName {
    FleetName::new("lab").unwrap()
}

fn kafka_1() -> HostName {
    HostName::new("kafka-1").unwrap()
}

fn expected() -> Identity {
    Identity::agent(name(), kafka_1())
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fleet = FleetStore::create(&dir.path().join("fleet/pki"), &name(), now()).unwrap();
        let host = HostStore::new(&dir.path().join("host"));
        Self { dir, fleet, host }
    }

    fn bundle(&self) -> Bundle {
        let request = self.host.make_request(&name(), &kafka_1()).unwrap();
        self.fleet.issue_agent(&kafka_1(), &request, now(), None).unwrap()
    }

    fn refused(&self, bundle: &Bundle) -> MaterialError {
        match self.host.install(bundle, &expected(), now()) {
            Err(StoreError::Material { source, .. }) => *source,
            other => panic!("not refused as material: {other:?}"),
        }
    }
}

#[test]
fn a_host_gets_a_certificate_without_its_key_leaving_it() {
    let lab = Lab::new();
    let bundle = lab.bundle();
    let material = lab.host.install(&bundle, &expected(), now()).unwrap();
    assert_eq!(material.identity(), &expected());
    assert_eq!(lab.host.load(now()).unwrap().certificate(), material.certificate());
    let key = std::fs::read_to_string(lab.dir.path().join("host/agent.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for entry in walk(&lab.dir.path().join("fleet")) {
        assert!(!std::fs::read_to_string(&entry).unwrap().contains(secret), "{} holds the host's key", entry.display());
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn keys_can_be_read_by_their_owner_alone_and_folders_entered_by_him_alone() {
    let lab = Lab::new();
    lab.host.install(&lab.bundle(), &expected(), now()).unwrap();
    lab.fleet.issue_operator(&OperatorName::new("li").unwrap(), now(), None).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let keys: Vec<_> =
        walk(lab.dir.path()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "key")).collect();
    assert_eq!(keys.len(), 4);
    for key in keys {
        assert_eq!(mode(&key), 0o600, "{}", key.display());
    }
    for dir in ["fleet/pki", "fleet/pki/operators", "fleet/pki/agents", "host"] {
        assert_eq!(mode(&lab.dir.path().join(dir)), 0o700, "{dir}");
    }
}

#[test]
fn a_fleet_is_never_made_over_another_and_leaves_no_draft() {
    let lab = Lab::new();
    let dir = lab.dir.path().join("fleet/pki");
    let before = std::fs::read_to_string(dir.join("agents-ca.pem")).unwrap();
    let again = FleetStore::create(&dir, &name(), now());
    assert!(matches!(again, Err(StoreError::File(FileError::Exists { .. }))));
    assert_eq!(std::fs::read_to_string(dir.join("agents-ca.pem")).unwrap(), before);
    assert_eq!(std::fs::read_dir(lab.dir.path().join("fleet")).unwrap().count(), 1);
}

#[test]
fn a_fleet_folder_is_opened_only_when_both_authorities_belong_together() {
    let (lab, other) = (Lab::new(), tempfile::tempdir().unwrap());
    let dir = lab.fleet.dir();
    assert_eq!(FleetStore::open(dir).unwrap().fleet(), &name());
    let prod = FleetStore::create(&other.path().join("pki"), &FleetName::new("prod").unwrap(), now()).unwrap();
    std::fs::copy(prod.dir().join("operators-ca.pem"), dir.join("operators-ca.pem")).unwrap();
    assert!(matches!(FleetStore::open(dir), Err(StoreError::Mixed { .. })));
    std::fs::copy(dir.join("agents-ca.pem"), dir.join("operators-ca.pem")).unwrap();
    assert!(matches!(FleetStore::open(dir), Err(StoreError::Mixed { .. })));
}

#[test]
fn every_issued_certificate_is_on_record() {
    let lab = Lab::new();
    assert_eq!(lab.fleet.issued().unwrap(), []);
    let bundle = lab.bundle();
    let operator =
        lab.fleet.issue_operator(&OperatorName::new("li").unwrap(), now(), Some(Duration::from_secs(60))).unwrap();
    let records = lab.fleet.issued().unwrap();
    let material = lab.host.install(&bundle, &expected(), now()).unwrap();
    let LeafCertificate { identity, serial, not_before, not_after } = material.certificate().clone();
    assert_eq!(records, [IssuedRecord { serial, identity, not_before, not_after }, IssuedRecord::from(&operator)]);
}

#[test]
fn a_record_that_a_crash_has_cut_damages_no_other() {
    let (lab, li) = (Lab::new(), OperatorName::new("li").unwrap());
    let path = lab.fleet.dir().join("issued.jsonl");
    let first = lab.fleet.issue_operator(&li, now(), None).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    for cut in 1..whole.len() - 1 {
        std::fs::write(&path, format!("{whole}{}", &whole[..cut])).unwrap();
        assert_eq!(lab.fleet.issued().unwrap(), [IssuedRecord::from(&first)], "cut after {cut} bytes");
    }
    let second = lab.fleet.renew_operator(&li, now(), None).unwrap();
    assert_eq!(lab.fleet.issued().unwrap(), [IssuedRecord::from(&first), IssuedRecord::from(&second)]);
    std::fs::write(&path, format!("{whole}nonsense\n{whole}")).unwrap();
    assert!(matches!(lab.fleet.issued(), Err(StoreError::Record { line: 2, .. })));
}

#[test]
fn an_operators_key_is_replaced_only_when_that_is_asked_for() {
    let (lab, li) = (Lab::new(), OperatorName::new("li").unwrap());
    let first = lab.fleet.issue_operator(&li, now(), None).unwrap();
    let again = lab.fleet.issue_operator(&li, now(), None);
    assert!(matches!(again, Err(StoreError::File(FileError::Exists { .. }))), "{again:?}");
    assert_eq!(lab.fleet.load_operator(&li, now()).unwrap().certificate().serial, first.serial);
    assert_eq!(lab.fleet.issued().unwrap().len(), 1);
    let second = lab.fleet.renew_operator(&li, now(), None).unwrap();
    assert_eq!(lab.fleet.load_operator(&li, now()).unwrap().certificate().serial, second.serial);
}

#[test]
fn an_operator_is_loaded_until_his_certificate_ends() {
    let (lab, li) = (Lab::new(), OperatorName::new("li").unwrap());
    lab.fleet.issue_operator(&li, now(), None).unwrap();
    let material = lab.fleet.load_operator(&li, now()).unwrap();
    assert_eq!(material.identity().uri(), "spiffe://lab/operator/li");
    assert_eq!(material.remaining(now()), crate::ca::OPERATOR_LIFETIME);
    let late = now() + SignedDuration::from_hours(30 * 24) + SignedDuration::from_secs(1);
    let result = lab.fleet.load_operator(&li, late);
    assert!(
        matches!(&result, Err(StoreError::Material { source, .. }) if matches!(**source, MaterialError::NotValidNow { .. })),
        "{result:?}"
    );
}

#[test]
fn a_second_request_uses_the_same_key_so_an_earlier_bundle_still_fits() {
    let lab = Lab::new();
    let bundle = lab.bundle();
    lab.host.make_request(&name(), &kafka_1()).unwrap();
    assert!(lab.host.install(&bundle, &expected(), now()).is_ok());
}

#[test]
fn bundles_that_do_not_fit_are_refused_and_the_installed_one_stays() {
    let lab = Lab::new();
    let good = lab.bundle();
    lab.host.install(&good, &expected(), now()).unwrap();
    let stranger = Lab::new();
    let other_host = HostName::new("kafka-2").unwrap();
    let request = lab.host.make_request(&name(), &kafka_1()).unwrap();
    let operator = lab.fleet.issue_operator(&OperatorName::new("li").unwrap(), now(), None).unwrap().pem;

    let of_other_host = lab.fleet.issue_agent(&other_host, &request, now(), None).unwrap();
    assert!(matches!(lab.refused(&of_other_host), MaterialError::OtherIdentity { .. }));
    let of_other_key = stranger.bundle();
    assert!(matches!(lab.refused(&of_other_key), MaterialError::KeyMismatch { .. }));
    let of_operator = Bundle { certificate: operator, ..good.clone() };
    assert!(matches!(lab.refused(&of_operator), MaterialError::WrongRole { .. }));
    let swapped = Bundle { operators_authority: good.agents_authority.clone(), ..good.clone() };
    assert!(matches!(lab.refused(&swapped), MaterialError::OtherAuthority { .. }));
    let unsigned = Bundle { agents_authority: of_other_key.agents_authority, ..good.clone() };
    let refused = lab.refused(&unsigned);
    assert!(
        matches!(&refused, MaterialError::Refused(r) if matches!(r.reason, RefusalReason::UnknownAuthority { .. })),
        "{refused:?}"
    );
    let early = lab.fleet.issue_agent(&kafka_1(), &request, now(), Some(Duration::from_secs(1))).unwrap();
    let late = lab.host.install(&early, &expected(), now() + SignedDuration::from_secs(2));
    assert!(
        matches!(&late, Err(StoreError::Material { source, .. }) if matches!(**source, MaterialError::NotValidNow { .. }))
    );
    let broken = Bundle { certificate: "nonsense".to_owned(), ..good.clone() };
    assert!(matches!(lab.refused(&broken), MaterialError::Unreadable));

    assert_eq!(std::fs::read_to_string(lab.dir.path().join("host/agent.pem")).unwrap(), good.certificate);
}

fn kafka_names(dns: &[&str]) -> ServiceNames {
    ServiceNames::new("kafka", "kafka-1", dns, [""; 0]).unwrap()
}

#[test]
fn the_authority_of_services_is_made_once_and_whole_when_it_is_needed() {
    let lab = Lab::new();
    let folder = lab.dir.path().join("fleet/pki/services");
    assert!(!folder.exists() && lab.fleet.services_authority_pem().unwrap().is_none());
    let made: Vec<String> = std::thread::scope(|scope| {
        let make = || lab.fleet.services_authority(now()).unwrap().certificate_pem().to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|pem| *pem == made[0]), "one authority for all who asked at once");
    assert_eq!(lab.fleet.services_authority_pem().unwrap().as_ref(), Some(&made[0]));
    let mode = |name: &str| folder.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode(".gitignore")), (0o600, 0o644));
    let left = std::fs::read_dir(lab.dir.path().join("fleet/pki")).unwrap();
    let drafts = left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count();
    assert_eq!(drafts, 0, "no draft may stay");
}

#[test]
fn a_request_that_comes_again_gets_the_certificate_that_it_got() {
    let lab = Lab::new();
    let key = KeyPair::generate().unwrap();
    let ask = |key: &KeyPair, names: &ServiceNames, at: Timestamp| {
        lab.fleet.issue_service(names, &key.nameless_request().unwrap(), at, None).unwrap()
    };
    let names = kafka_names(&["kafka-1"]);
    let first = ask(&key, &names, now());
    let days = |n: i64| now() + SignedDuration::from_hours(24 * n);
    assert_eq!(ask(&key, &names, days(100)), first);
    assert_ne!(ask(&key, &names, days(300)), first, "less than a third of its life is left");
    assert_ne!(ask(&key, &kafka_names(&["other"]), now()), first);
    assert_ne!(ask(&KeyPair::generate().unwrap(), &names, now()), first);
    let records = lab.fleet.issued_services().unwrap();
    assert_eq!(records.len(), 4, "what was given again is on record once");
    assert_eq!((records[0].service.as_str(), records[0].host.as_str()), ("kafka", "kafka-1"));
    assert_eq!(lab.fleet.issued().unwrap().len(), 0, "services are no holders of an identity");
}

#[test]
fn the_authority_of_services_stands_in_for_no_other() {
    let lab = Lab::new();
    let bundle = lab.bundle();
    let services = lab.fleet.services_authority(now()).unwrap().certificate_pem().to_owned();
    for changed in [
        Bundle { operators_authority: services.clone(), ..bundle.clone() },
        Bundle { agents_authority: services, ..bundle },
    ] {
        let refused = lab.refused(&changed);
        assert!(matches!(refused, MaterialError::OtherAuthority { .. }), "{refused:?}");
    }
}
