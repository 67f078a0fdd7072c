//! The certificates that this host's TLS listeners show.

use super::kafka::endpoint;
use super::params::Kind;
use super::scene::Scene;
use super::sink::{Gap, Sink, Told};
use crate::collect::kafka_config::local;
use kfleet_config::Properties;
use kfleet_inspect::{Datum, Part, PartKind};
use std::time::Duration;

pub(super) const KEYS: &[&str] = &["tls.not_after"];

/// How long a handshake with a listener of this host may take.
const HANDSHAKE: Duration = Duration::from_secs(3);

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let mut any = false;
    for service in scene.services()? {
        match service.params.kind {
            Kind::Kafka => {
                let Some(config) = service.kafka() else { continue };
                for listener in config?.listeners.iter().filter(|listener| listener.is_tls()) {
                    any = true;
                    let name = listener.advertised.as_deref().unwrap_or(&listener.address.host);
                    let told = service
                        .running()
                        .and_then(|_| not_after(scene, &listener.address.host, listener.address.port, name));
                    sink.tell_of(&endpoint(listener), "tls.not_after", "a TLS handshake", told);
                }
            }
            Kind::Zookeeper => {
                let Some(config) = service.zookeeper() else { continue };
                let keys = Properties::parse(config?.files.config.as_bytes()).to_map();
                let port = keys.get("secureClientPort").and_then(|port| port.trim().parse::<u16>().ok());
                let Some(port) = port else { continue };
                any = true;
                let host = local(keys.get("secureClientPortAddress").map(String::as_str).unwrap_or_default());
                let part = Part::new(PartKind::Endpoint, format!("{host}:{port}"));
                let told = service.running().and_then(|_| not_after(scene, &host, port, &host));
                sink.tell_of(&part, "tls.not_after", "a TLS handshake", told);
            }
        }
    }
    if any { Ok(()) } else { Err(Gap::not_here("no listener of this host speaks TLS")) }
}

fn not_after(scene: &Scene<'_>, host: &str, port: u16, name: &str) -> Told {
    let leaf = scene.host().tls_leaf(host, port, name, scene.patience(HANDSHAKE)?)?;
    match kfleet_pki::validity_of(&leaf) {
        Ok((_, not_after)) => Ok(Datum::Time(not_after)),
        Err(error) => Err(Gap::Unreadable(format!("the certificate of {host}:{port}: {error}"))),
    }
}
