//! Frames over pipes, and whole connections to a broker that says what the test wants: old, wrong, silent.

use super::*;
use crate::testing::{Asked, Broker, answer, answers_versions};
use kafka_protocol::messages::{DescribeQuorumRequest, MetadataRequest, MetadataResponse};
use kfleet_model::BrokerId;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::duplex;
use tokio_rustls::TlsAcceptor;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

async fn open(broker: &Broker) -> Result<Connection, KafkaError> {
    let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
    Connection::open(&access, &broker.address, soon()).await
}

#[tokio::test]
async fn a_broker_of_kafka_2_1_is_spoken_to_in_its_own_versions() {
    let broker = Broker::start(|asked| match asked {
        Asked { api: 18, version: 0, .. } => Some(answers_versions(&asked, &[(18, 0, 2), (3, 0, 7)])),
        Asked { api: 18, .. } => {
            // Not decodable in the version that was asked for: error code and no keys, as version 0 has it.
            let refusal = ApiVersionsResponse::default().with_error_code(35);
            Some(answer::<ApiVersionsRequest>(&Asked { version: 0, ..asked }, &refusal))
        }
        _ => Some(answer::<MetadataRequest>(&asked, &MetadataResponse::default())),
    })
    .await;
    let mut connection = open(&broker).await.unwrap();
    connection.call(&MetadataRequest::default(), soon()).await.unwrap();
    let asked: Vec<_> = broker.asked().iter().map(|asked| (asked.api, asked.version)).collect();
    assert_eq!(asked, [(18, 4), (18, 0), (3, 7)]);
    assert!(!connection.supports::<DescribeQuorumRequest>());
    let error = connection.call(&DescribeQuorumRequest::default(), soon()).await.unwrap_err();
    let at = &broker.address;
    let expected = format!("ask broker {at} for DescribeQuorum: it speaks versions none, version 0 to 2 is needed");
    assert_eq!(error.to_string(), expected);
    let error = connection.call_at_least(&MetadataRequest::default(), 9, soon()).await.unwrap_err();
    let expected = format!("ask broker {at} for Metadata: it speaks versions 0 to 7, version 9 to 13 is needed");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_broken_exchange_is_told_and_the_connection_not_used_again() {
    let whole = |asked: &Asked| answer::<MetadataRequest>(asked, &MetadataResponse::default());
    type Answer = Box<dyn Fn(&Asked) -> Option<Vec<u8>> + Send>;
    let cases: [(&str, Answer, &str); 4] = [
        ("silence", Box::new(|_| None), "none came within"),
        (
            "an answer to another request",
            Box::new(move |asked| Some(whole(&Asked { id: asked.id + 1, ..asked.clone() }))),
            "it answers request 3, not 2",
        ),
        (
            "half an answer",
            Box::new(move |asked| Some(whole(asked)[..7].to_vec())),
            "read the answer to Metadata version 12",
        ),
        ("no header", Box::new(|_| Some(vec![0, 1])), "its header is not valid"),
    ];
    for (name, reply, expected) in cases {
        let broker = Broker::start(move |asked| match asked.api {
            18 => Some(answers_versions(&asked, &[(3, 0, 12)])),
            _ => reply(&asked),
        })
        .await;
        let mut connection = open(&broker).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(200);
        let error = connection.call(&MetadataRequest::default(), deadline).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        let again = connection.call(&MetadataRequest::default(), soon()).await;
        match name {
            // The frame was whole and its header right: only this one answer is lost.
            "half an answer" => assert!(matches!(again, Err(KafkaError::Malformed { .. })), "{name}"),
            _ => {
                let source = again.unwrap_err().source().map(ToString::to_string);
                assert_eq!(source.as_deref(), Some("an earlier exchange on it was cut short"), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn tls_is_made_with_a_broker_whose_certificate_is_trusted_and_with_no_other() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificates = vec![made.cert.der().clone()];
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let broker =
        Broker::start_tls(TlsAcceptor::from(Arc::new(server)), |asked| Some(answers_versions(&asked, &[(3, 0, 12)])))
            .await;
    let open = async |roots: RootCertStore, address: Address| {
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let access = KafkaAccess::plaintext(address.clone(), BrokerId(1)).with_tls(Arc::new(config));
        Connection::open(&access, &address, soon()).await.map(drop)
    };
    let mut trusting = RootCertStore::empty();
    trusting.add(made.cert.der().clone()).unwrap();
    open(trusting.clone(), broker.address.clone()).await.unwrap();
    let other_name = Address::new("localhost", broker.address.port);
    for (roots, address) in [(RootCertStore::empty(), broker.address.clone()), (trusting, other_name)] {
        let error = open(roots, address).await.unwrap_err();
        assert!(matches!(error, KafkaError::Tls { .. }), "{error}");
    }
}

fn only_api_versions(max: i16) -> BTreeMap<Api, VersionRange> {
    BTreeMap::from([(Api(18), VersionRange { min: 0, max })])
}

#[test]
fn a_version_that_the_broker_does_not_know_is_lowered_and_never_raised() {
    let cases = [
        ("no error", 0, 4, only_api_versions(4), Negotiation::Agreed),
        ("old broker without a range", 35, 4, BTreeMap::new(), Negotiation::Again(0)),
        ("broker that names its range", 35, 4, only_api_versions(3), Negotiation::Again(3)),
        ("broker that names what it refused", 35, 3, only_api_versions(9), Negotiation::Again(2)),
        ("not even version 0", 35, 0, BTreeMap::new(), Negotiation::Failed),
        ("another error", 42, 4, BTreeMap::new(), Negotiation::Failed),
    ];
    for (name, code, asked, versions, expected) in cases {
        assert_eq!(next_attempt(code, asked, &versions), expected, "{name}");
    }
}

#[test]
fn a_request_carries_its_size_key_version_and_id() {
    let frame = encode(&MetadataRequest::default(), 9, 7).unwrap();
    assert_eq!(frame[..4], i32::try_from(frame.len() - 4).unwrap().to_be_bytes());
    assert_eq!(frame[4..12], [0, 3, 0, 9, 0, 0, 0, 7]);
}

#[tokio::test]
async fn an_answer_that_claims_too_much_is_refused_before_it_is_read() {
    for (name, bytes) in [("HTTP", *b"HTTP"), ("negative", [0xff; 4])] {
        let (mut here, mut there) = duplex(64);
        there.write_all(&bytes).await.unwrap();
        assert!(matches!(read_frame(&mut here).await.unwrap(), Frame::TooLarge(_)), "{name}");
    }
}

#[tokio::test]
async fn a_frame_that_ends_early_says_how_much_came() {
    let (mut here, mut there) = duplex(64);
    there.write_all(&[0, 0, 0, 9, 1, 2]).await.unwrap();
    drop(there);
    let error = read_frame(&mut here).await.err().unwrap();
    assert_eq!(error.to_string(), "it ended after 2 of 9 bytes");
}

#[tokio::test]
async fn a_frame_takes_no_byte_of_the_next_one() {
    let (mut here, mut there) = duplex(64);
    there.write_all(&[0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]).await.unwrap();
    for expected in [&[1, 2][..], &[3]] {
        let Frame::Whole(bytes) = read_frame(&mut here).await.unwrap() else { panic!("a whole frame") };
        assert_eq!(&bytes[..], expected);
    }
}
