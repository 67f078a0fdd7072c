//! Who may call what: one table, one layer in front of everything.
//!
//! A method without a row is denied. The layer looks at the path alone, before any part of the message is read, and at the
//! identity that the TLS handshake proved; nothing inside a message is ever an identity. The certificate's end is looked at
//! again for each call, because a connection may live longer than the certificate it began with.

use super::connection::Peer;
use futures::future::Either;
use http::{Request, Response};
use jiff::Timestamp;
use kfleet_pki::{PeerInfo, Role};
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Which role may call a method. The full paths, as they stand in the request.
pub(super) const METHODS: [(&str, Role); 7] = [
    ("/kfleet.v1.Agent/Handshake", Role::Operator),
    ("/kfleet.v1.Agent/Submit", Role::Operator),
    ("/kfleet.v1.Agent/Attach", Role::Operator),
    ("/kfleet.v1.Agent/Cancel", Role::Operator),
    ("/kfleet.v1.Agent/Observe", Role::Operator),
    ("/kfleet.v1.Agent/FindBlobs", Role::Operator),
    ("/kfleet.v1.Agent/PutBlob", Role::Operator),
];

/// Decides on one call; the error is what the caller is told.
fn decide(path: &str, peer: Option<&PeerInfo>, now: Timestamp) -> Result<(), Status> {
    let Some(peer) = peer else {
        return Err(Status::unauthenticated("the connection has no identity"));
    };
    if peer.not_after < now {
        return Err(Status::unauthenticated(format!(
            "the certificate of {} expired on {}; connect again with a new one",
            peer.identity, peer.not_after
        )));
    }
    match METHODS.iter().find(|(method, _)| *method == path) {
        Some((_, role)) if *role == peer.identity.role() => Ok(()),
        Some((_, role)) => {
            Err(Status::permission_denied(format!("{} is no {role} and may not do this", peer.identity)))
        }
        None => Err(Status::unimplemented("this agent has no such method; its version may be older than the caller's")),
    }
}

/// The layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Auth;

impl<S> Layer<S> for Auth {
    type Service = Authorised<S>;

    fn layer(&self, inner: S) -> Authorised<S> {
        Authorised(inner)
    }
}

/// A service behind the layer.
#[derive(Debug, Clone)]
pub struct Authorised<S>(S);

impl<S> Service<Request<Body>> for Authorised<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.info());
        match decide(request.uri().path(), peer, Timestamp::now()) {
            Ok(()) => Either::Left(self.0.call(request)),
            Err(status) => {
                let peer = peer.map(|peer| peer.identity.to_string());
                tracing::warn!(peer, path = request.uri().path(), "refused a call: {}", status.message());
                Either::Right(ready(Ok(status.into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::{FleetName, HostName, OperatorName};
    use kfleet_pki::{Identity, Serial};
    use prost::Message;
    use prost_types::FileDescriptorSet;

    fn peer(identity: Identity) -> PeerInfo {
        PeerInfo {
            identity,
            serial: Serial::from_bytes(&[1]),
            not_after: Timestamp::from_second(2_000).unwrap(),
            addr: "127.0.0.1:1".parse().unwrap(),
        }
    }

    fn fleet() -> FleetName {
        FleetName::new("lab").unwrap()
    }

    #[test]
    fn every_method_of_the_contract_has_a_row_and_every_row_a_method() {
        let set = FileDescriptorSet::decode(kfleet_proto::DESCRIPTORS).unwrap();
        let mut methods = Vec::new();
        for file in set.file {
            for service in &file.service {
                for method in &service.method {
                    methods.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        let mut rows: Vec<String> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        methods.sort();
        rows.sort();
        assert_eq!(rows, methods);
    }

    #[test]
    fn only_operators_with_a_valid_certificate_and_a_known_method_get_through() {
        let operator = peer(Identity::operator(fleet(), OperatorName::new("li.wei").unwrap()));
        let agent = peer(Identity::agent(fleet(), HostName::new("kafka-1").unwrap()));
        let (early, late) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(3_000).unwrap());
        for (path, _) in METHODS {
            assert!(decide(path, Some(&operator), early).is_ok());
            let code = |peer, now| decide(path, peer, now).unwrap_err().code();
            assert_eq!(code(Some(&agent), early), tonic::Code::PermissionDenied);
            assert_eq!(code(Some(&operator), late), tonic::Code::Unauthenticated);
            assert_eq!(code(None, early), tonic::Code::Unauthenticated);
        }
        for path in ["/kfleet.v1.Agent/Nothing", "/kfleet.v1.Agent/submit", "/", "//kfleet.v1.Agent/Submit"] {
            assert_eq!(decide(path, Some(&operator), early).unwrap_err().code(), tonic::Code::Unimplemented, "{path}");
        }
    }
}
