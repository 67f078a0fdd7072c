//! Prints one broker's view of its cluster as JSON: `cargo run -p kfleet-kafka --example snapshot -- HOST:PORT ID`.
//!
//! With `--elect`, it first has the preferred replica of every partition elected and prints how that went. From the
//! environment: `CA_FILE` (PEM) makes it speak TLS; `SASL` with `MECHANISM USER PASSWORD` makes it authenticate.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people: its output is its purpose")]

use kfleet_kafka::{
    Address, Instant, KafkaAccess, KafkaError, SaslCredentials, SaslMechanism, elect_preferred_leaders, kafka_snapshot,
};
use kfleet_model::BrokerId;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long the broker has for all answers together.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((access, elect)) = read_arguments(&arguments) else {
        eprintln!("usage: [CA_FILE=PEM] [SASL='MECHANISM USER PASSWORD'] snapshot HOST:PORT NODE_ID [--elect]");
        return ExitCode::from(2);
    };
    match show(&access, elect).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn read_arguments(arguments: &[String]) -> Option<(KafkaAccess, bool)> {
    let (address, node, elect) = match arguments {
        [address, node] => (address, node, false),
        [address, node, flag] if flag == "--elect" => (address, node, true),
        [..] => return None,
    };
    let address: Address = address.parse().ok()?;
    let mut access = KafkaAccess::plaintext(address, BrokerId(node.parse().ok()?));
    if let Ok(path) = std::env::var("CA_FILE") {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path).ok()?).ok()?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        access = access.with_tls(Arc::new(config));
    }
    if let Ok(sasl) = std::env::var("SASL") {
        access = access.with_sasl(read_sasl(&sasl)?);
    }
    Some((access, elect))
}

fn read_sasl(text: &str) -> Option<SaslCredentials> {
    let mut words = text.splitn(3, ' ');
    let mechanism = match words.next()? {
        "PLAIN" => SaslMechanism::Plain,
        "PLAIN-IN-THE-CLEAR" => SaslMechanism::PlainInTheClear,
        "SCRAM-SHA-256" => SaslMechanism::ScramSha256,
        "SCRAM-SHA-512" => SaslMechanism::ScramSha512,
        _ => return None,
    };
    let (user, password) = (words.next()?, words.next()?.to_owned());
    Some(SaslCredentials::new(mechanism, user, password.into()))
}

async fn show(access: &KafkaAccess, elect: bool) -> Result<(), KafkaError> {
    let mut snapshot = kafka_snapshot(access, Instant::now() + DEADLINE).await?;
    if elect {
        let partitions = snapshot.partitions().map(|(tp, _, _)| tp).collect();
        let election = elect_preferred_leaders(access, &partitions, Instant::now() + DEADLINE).await?;
        let (elected, not_needed) = (election.elected.len(), election.not_needed.len());
        eprintln!("elected {elected}, not needed {not_needed}, failed {:?}", election.failed);
        snapshot = kafka_snapshot(access, Instant::now() + DEADLINE).await?;
    }
    println!("{:#}", serde_json::json!(snapshot));
    Ok(())
}
