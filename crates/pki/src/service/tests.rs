//! Certificates of services, each made by the authority of a test.

use super::*;
use crate::certificate::LeafCertificate;
use crate::identity::Identity;
use jiff::SignedDuration;
use kfleet_model::FleetName;

fn now() -> Timestamp {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn after(days: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * days)
}

fn authority(kind: AuthorityKind) -> Authority {
    Authority::create(&FleetName::new("lab").unwrap(), kind, now(), 10).unwrap()
}

fn names(dns: &[&str], ips: &[&str]) -> ServiceNames {
    ServiceNames::new("kafka", "kafka-1", dns, ips).unwrap()
}

fn usual() -> ServiceNames {
    names(&["kafka-1", "kafka-1.example.com"], &["192.0.2.21", "2001:db8::21"])
}

/// Key and certificate as a node has them.
fn signed(authority: &Authority, names: &ServiceNames) -> (Zeroizing<String>, String) {
    let key = KeyPair::generate().unwrap();
    let request = key.nameless_request().unwrap();
    let issued = authority.sign_service(&request, names, now(), SERVICE_LIFETIME).unwrap();
    (key.to_pem(), issued.pem)
}

#[test]
fn a_node_gets_what_java_and_openssl_look_for_and_no_name_of_kfleets() {
    let services = authority(AuthorityKind::Services);
    let (_, pem) = signed(&services, &usual());
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = parse(&der).unwrap();
    // In the file's order; RFC 2253, by which Java shows it as a principal, has it the other way round.
    assert_eq!(certificate.subject().to_string(), "O=lab, OU=kafka, CN=kafka-1");
    assert_eq!(carried(&certificate), usual().all().into_iter().collect());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any);
    assert!(!certificate.is_ca());
    let life = validity(&certificate).unwrap();
    assert_eq!(life, (now() - SignedDuration::from_hours(1), after(365)));
    assert!(LeafCertificate::read(&der).is_err(), "it has no identity of kfleet's");
}

#[test]
fn only_the_authority_of_services_signs_services_and_it_signs_nobody_else() {
    let request = KeyPair::generate().unwrap().nameless_request().unwrap();
    for kind in [AuthorityKind::Agents, AuthorityKind::Operators] {
        let refused = authority(kind).sign_service(&request, &usual(), now(), SERVICE_LIFETIME);
        assert!(matches!(refused, Err(SignError::NotForServices { .. })), "{kind}");
    }
    let services = authority(AuthorityKind::Services);
    for identity in ["spiffe://lab/agent/kafka-1", "spiffe://lab/operator/li"] {
        let identity: Identity = identity.parse().unwrap();
        let refused = services.sign(&request, &identity, now(), SERVICE_LIFETIME);
        assert!(matches!(refused, Err(SignError::NotOurs { .. })), "{identity}");
    }
}

#[test]
fn names_that_no_client_or_too_many_could_use_are_refused() {
    let of = |dns: &[&str], ips: &[&str]| ServiceNames::new("kafka", "kafka-1", dns, ips);
    for (dns, ips, wanted) in [
        (&[][..], &[][..], ServiceNamesError::None),
        (&["*.example.com"], &[], ServiceNamesError::Dns("*.example.com".to_owned())),
        (&["a b"], &[], ServiceNamesError::Dns("a b".to_owned())),
        (&["kafka-1"], &["192.0.2.300"], ServiceNamesError::Ip("192.0.2.300".to_owned())),
    ] {
        assert_eq!(of(dns, ips).unwrap_err(), wanted);
    }
    let many: Vec<String> = (0..=MOST_NAMES).map(|n| format!("h{n}")).collect();
    assert_eq!(ServiceNames::new("kafka", "h", &many, [""; 0]), Err(ServiceNamesError::TooMany(MOST_NAMES + 1)));
    assert!(matches!(ServiceNames::new("../kafka", "h", ["h"], [""; 0]), Err(ServiceNamesError::Name(_))));
    assert_eq!(of(&["KAFKA-1", "kafka-1"], &[]).unwrap().all(), ["kafka-1"]);
}

#[test]
fn a_certificate_is_renewed_in_the_last_third_of_its_life_and_not_before() {
    let services = authority(AuthorityKind::Services);
    let (key, pem) = signed(&services, &usual());
    let text = format!("{}{pem}", *key);
    let life = i64::try_from(SERVICE_LIFETIME.as_secs()).unwrap() + 3_600;
    let end = after(365);
    for (left, late) in [(life / 3 + 2, false), (life / 3 - 2, true), (1, true), (-1, true), (-86_400, true)] {
        let at = end - SignedDuration::from_secs(left);
        let found = due(Some(&text), services.certificate_pem(), &usual(), at).unwrap();
        assert_eq!(found, late.then_some(Due::Late { not_after: end }), "{left} s left");
    }
}

#[test]
fn what_stands_in_the_way_of_a_certificate_is_told() {
    let (services, others) = (authority(AuthorityKind::Services), authority(AuthorityKind::Services));
    let due = |text: Option<&str>, names: &ServiceNames, at| due(text, services.certificate_pem(), names, at).unwrap();
    let (key, pem) = signed(&services, &usual());
    let text = format!("{}{pem}", *key);
    assert_eq!(due(None, &usual(), now()), Some(Due::Missing));
    assert_eq!(due(Some(&text), &usual(), now()), None);
    assert!(matches!(due(Some(&key), &usual(), now()), Some(Due::Unusable(_))));
    assert!(matches!(due(Some(&pem), &usual(), now()), Some(Due::Unusable(_))));
    assert!(
        matches!(due(Some(&text), &usual(), after(-1)), Some(Due::Unusable(why)) if why.contains("not valid before"))
    );
    let mixed = format!("{}{pem}", *KeyPair::generate().unwrap().to_pem());
    assert_eq!(due(Some(&mixed), &usual(), now()), Some(Due::OtherKey));
    let (key, pem) = signed(&others, &usual());
    let foreign = format!("{}{pem}", *key);
    assert_eq!(due(Some(&foreign), &usual(), now()), Some(Due::OtherAuthority));
    assert_eq!(due(Some(&foreign), &usual(), after(400)), Some(Due::OtherAuthority), "also when it has ended");
    let other = names(&["kafka-1"], &[]);
    let Some(Due::OtherNames { found, wanted }) = due(Some(&text), &other, now()) else { panic!("not other names") };
    assert_eq!((found.len(), wanted), (4, vec!["kafka-1".to_owned()]));
}

#[test]
fn a_keystore_is_made_only_of_what_fits() {
    let services = authority(AuthorityKind::Services);
    let (key, pem) = signed(&services, &usual());
    let made = |key: &str, authority: &Authority, names: &ServiceNames| {
        keystore(key, &pem, authority.certificate_pem(), names, now())
    };
    let text = made(&key, &services, &usual()).unwrap();
    assert_eq!(*KeyPair::from_pem(&text).unwrap().to_pem(), *key);
    assert_eq!(due(Some(&text), services.certificate_pem(), &usual(), now()).unwrap(), None);
    let stranger = KeyPair::generate().unwrap().to_pem();
    let refused = |result: Result<_, ServiceError>| match result {
        Err(ServiceError::NotForThisNode(due)) => due,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(made(&stranger, &services, &usual())), Due::OtherKey);
    assert_eq!(refused(made(&key, &authority(AuthorityKind::Services), &usual())), Due::OtherAuthority);
    assert!(matches!(refused(made(&key, &services, &names(&["other"], &[]))), Due::OtherNames { .. }));
    let agents = authority(AuthorityKind::Agents);
    assert!(matches!(made(&key, &agents, &usual()), Err(ServiceError::OtherAuthority(_))));
}
