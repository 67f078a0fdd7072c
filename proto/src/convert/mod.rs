//! Wire messages to model types and back. The only place where both are named together.
//!
//! What comes from the wire is checked here once: names, enums, JSON. An unknown enum value is refused, never
//! guessed.

use crate::v1;
use bytes::Bytes;
use kfleet_model as model;
use kfleet_model::{Map, OpEnd, OpEventKind, TaskResult, Value};
use std::time::Duration;

/// Why a message can not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A name breaks the rules for names.
    #[error(transparent)]
    Name(#[from] model::ids::NameError),
    /// A field that must be there is not.
    #[error("field {0} is missing")]
    Missing(&'static str),
    /// An enum has a value that this build does not know, or the unspecified one.
    #[error("field {field} has the unknown value {value}")]
    UnknownEnum {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i32,
    },
    /// A JSON field does not hold what it should.
    #[error("field {field} is not valid JSON of its kind")]
    Json {
        /// The field.
        field: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
}

fn map_from(field: &'static str, bytes: &[u8]) -> Result<Map, ConvertError> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(bytes).map_err(|source| ConvertError::Json { field, source })
}

/// A JSON object as bytes for the wire.
#[must_use]
pub fn map_bytes(map: &Map) -> Vec<u8> {
    json_bytes(map)
}

/// Anything of the model as JSON bytes.
///
/// # Panics
/// Never for the model's types: all their map keys are texts.
#[must_use]
pub fn json_bytes<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("the model's types have text keys only")
}

/// An op for the wire.
#[must_use]
pub fn submit_request(op: &model::Op) -> v1::SubmitRequest {
    v1::SubmitRequest {
        op_id: op.op_id.to_string(),
        run_id: op.run_id.to_string(),
        lease: op
            .lease
            .as_ref()
            .map(|lease| v1::Lease { cluster: lease.cluster.to_string(), generation: lease.generation.0 }),
        module: op.module.clone(),
        params_json: map_bytes(&op.params),
        check: op.check,
        diff: op.diff,
        deadline_ms: u64::try_from(op.deadline.as_millis()).unwrap_or(u64::MAX),
        become_user: op.become_user.clone().unwrap_or_default(),
        environment: op.environment.clone().into_iter().collect(),
        no_log: op.no_log,
    }
}

/// An op from the wire.
///
/// # Errors
/// When a name is not valid, the deadline is missing, or the parameters are not a JSON object.
pub fn op(request: v1::SubmitRequest) -> Result<model::Op, ConvertError> {
    if request.deadline_ms == 0 {
        return Err(ConvertError::Missing("deadline_ms"));
    }
    Ok(model::Op {
        op_id: model::OpId::new(request.op_id)?,
        run_id: model::RunId::new(request.run_id)?,
        lease: match request.lease {
            None => None,
            Some(lease) => Some(model::op::Lease {
                cluster: model::ClusterName::new(lease.cluster)?,
                generation: model::Generation(lease.generation),
            }),
        },
        module: request.module,
        params: map_from("params_json", &request.params_json)?,
        check: request.check,
        diff: request.diff,
        deadline: Duration::from_millis(request.deadline_ms),
        become_user: Some(request.become_user).filter(|user| !user.is_empty()),
        environment: request.environment.into_iter().collect(),
        no_log: request.no_log,
    })
}

/// An op's event as one or more messages: a large result goes ahead of its `finished` in pieces that carry the
/// same sequence number, so that a reader never takes half of it for the whole.
#[must_use]
pub fn op_events(event: model::OpEvent) -> Vec<v1::OpEvent> {
    use v1::op_event::Kind;
    let seq = event.seq;
    let one = |kind| vec![v1::OpEvent { seq, kind: Some(kind) }];
    match event.kind {
        OpEventKind::Started => one(Kind::Started(v1::Started {})),
        OpEventKind::Output { stream, data } => {
            let stream = match stream {
                model::OutputStream::Stdout => v1::OutputStream::Stdout,
                model::OutputStream::Stderr => v1::OutputStream::Stderr,
            };
            one(Kind::Output(v1::Output { stream: stream.into(), data: Bytes::from(data) }))
        }
        OpEventKind::Progress { text } => one(Kind::Progress(v1::Progress { text })),
        OpEventKind::Finished(end) => finished(seq, *end),
    }
}

fn finished(seq: u64, end: OpEnd) -> Vec<v1::OpEvent> {
    use v1::op_event::Kind;
    let (end, result, why) = match end {
        OpEnd::Done { result } => (v1::OpEnd::Done, Some(result), String::new()),
        OpEnd::Failed { result } => (v1::OpEnd::Failed, Some(result), String::new()),
        OpEnd::Refused { why } => (v1::OpEnd::Refused, None, why),
        OpEnd::Expired { why } => (v1::OpEnd::Expired, None, why),
        OpEnd::Unknown { why } => (v1::OpEnd::Unknown, None, why),
    };
    let mut result_json = result.as_ref().map(json_bytes).unwrap_or_default();
    let mut out = Vec::new();
    if result_json.len() > crate::CHUNK_BYTES {
        for piece in result_json.chunks(crate::CHUNK_BYTES) {
            let kind = Kind::ResultPart(v1::ResultPart { data: piece.to_vec() });
            out.push(v1::OpEvent { seq, kind: Some(kind) });
        }
        result_json = Vec::new();
    }
    let kind = Kind::Finished(v1::Finished { end: end.into(), result_json, why });
    out.push(v1::OpEvent { seq, kind: Some(kind) });
    out
}

/// Puts messages together to events; holds the pieces of a large result until it is whole.
#[derive(Debug, Default)]
pub struct EventReader {
    parts: Vec<u8>,
}

impl EventReader {
    /// Takes one message; gives an event when it completes one.
    ///
    /// # Errors
    /// When an enum is unknown or a result is not valid JSON.
    pub fn take(&mut self, event: v1::OpEvent) -> Result<Option<model::OpEvent>, ConvertError> {
        use v1::op_event::Kind;
        let kind = match event.kind.ok_or(ConvertError::Missing("kind"))? {
            Kind::Started(_) => OpEventKind::Started,
            Kind::Output(output) => OpEventKind::Output {
                stream: match v1::OutputStream::try_from(output.stream) {
                    Ok(v1::OutputStream::Stdout) => model::OutputStream::Stdout,
                    Ok(v1::OutputStream::Stderr) => model::OutputStream::Stderr,
                    Ok(v1::OutputStream::Unspecified) | Err(_) => {
                        return Err(ConvertError::UnknownEnum { field: "output.stream", value: output.stream });
                    }
                },
                data: output.data.to_vec(),
            },
            Kind::Progress(progress) => OpEventKind::Progress { text: progress.text },
            Kind::ResultPart(part) => {
                self.parts.extend_from_slice(&part.data);
                return Ok(None);
            }
            Kind::Finished(finished) => OpEventKind::Finished(Box::new(self.finish(finished)?)),
        };
        Ok(Some(model::OpEvent { seq: event.seq, kind }))
    }

    fn finish(&mut self, finished: v1::Finished) -> Result<OpEnd, ConvertError> {
        let parts = std::mem::take(&mut self.parts);
        let json = if parts.is_empty() { finished.result_json } else { parts };
        let result = || -> Result<TaskResult, ConvertError> {
            serde_json::from_slice(&json).map_err(|source| ConvertError::Json { field: "result_json", source })
        };
        Ok(match v1::OpEnd::try_from(finished.end) {
            Ok(v1::OpEnd::Done) => OpEnd::Done { result: result()? },
            Ok(v1::OpEnd::Failed) => OpEnd::Failed { result: result()? },
            Ok(v1::OpEnd::Refused) => OpEnd::Refused { why: finished.why },
            Ok(v1::OpEnd::Expired) => OpEnd::Expired { why: finished.why },
            Ok(v1::OpEnd::Unknown) => OpEnd::Unknown { why: finished.why },
            Ok(v1::OpEnd::Unspecified) | Err(_) => {
                return Err(ConvertError::UnknownEnum { field: "finished.end", value: finished.end });
            }
        })
    }

    /// Forgets the pieces of a result whose stream was cut.
    pub fn reset(&mut self) {
        self.parts.clear();
    }
}

/// What an observation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObserveKind {
    /// Facts of the host.
    Facts,
    /// The cluster as the member on this host sees it.
    Cluster,
    /// The process and data of the member on this host.
    Node,
    /// The module catalogue.
    Catalogue,
    /// The newest ops.
    Ops,
    /// The versions of managed files.
    FileVersions,
    /// Differences between a node's written, found and running configuration.
    ConfigDrift,
    /// What an inspection reads of the host.
    InspectHost,
    /// What an inspection reads of a cluster by its member on this host.
    InspectCluster,
    /// Lines of the logs of the host's Kafka, ZooKeeper and kernel.
    Logs,
}

impl From<ObserveKind> for v1::ObserveKind {
    fn from(kind: ObserveKind) -> Self {
        match kind {
            ObserveKind::Facts => Self::Facts,
            ObserveKind::Cluster => Self::Cluster,
            ObserveKind::Node => Self::Node,
            ObserveKind::Catalogue => Self::Catalogue,
            ObserveKind::Ops => Self::Ops,
            ObserveKind::FileVersions => Self::FileVersions,
            ObserveKind::ConfigDrift => Self::ConfigDrift,
            ObserveKind::InspectHost => Self::InspectHost,
            ObserveKind::InspectCluster => Self::InspectCluster,
            ObserveKind::Logs => Self::Logs,
        }
    }
}

/// An observation from the wire: kind, parameters, deadline.
///
/// # Errors
/// When the kind is unknown, the deadline is missing or the parameters are not a JSON object.
pub fn observe(request: &v1::ObserveRequest) -> Result<(ObserveKind, Map, Duration), ConvertError> {
    let kind = match v1::ObserveKind::try_from(request.kind) {
        Ok(v1::ObserveKind::Facts) => ObserveKind::Facts,
        Ok(v1::ObserveKind::Cluster) => ObserveKind::Cluster,
        Ok(v1::ObserveKind::Node) => ObserveKind::Node,
        Ok(v1::ObserveKind::Catalogue) => ObserveKind::Catalogue,
        Ok(v1::ObserveKind::Ops) => ObserveKind::Ops,
        Ok(v1::ObserveKind::FileVersions) => ObserveKind::FileVersions,
        Ok(v1::ObserveKind::ConfigDrift) => ObserveKind::ConfigDrift,
        Ok(v1::ObserveKind::InspectHost) => ObserveKind::InspectHost,
        Ok(v1::ObserveKind::InspectCluster) => ObserveKind::InspectCluster,
        Ok(v1::ObserveKind::Logs) => ObserveKind::Logs,
        Ok(v1::ObserveKind::Unspecified) | Err(_) => {
            return Err(ConvertError::UnknownEnum { field: "kind", value: request.kind });
        }
    };
    if request.deadline_ms == 0 {
        return Err(ConvertError::Missing("deadline_ms"));
    }
    Ok((kind, map_from("params_json", &request.params_json)?, Duration::from_millis(request.deadline_ms)))
}

/// An observation for the wire.
#[must_use]
pub fn observe_request(kind: ObserveKind, params: &Map, deadline: Duration) -> v1::ObserveRequest {
    v1::ObserveRequest {
        kind: v1::ObserveKind::from(kind).into(),
        params_json: map_bytes(params),
        deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
    }
}

/// A JSON document in pieces.
#[must_use]
pub fn observe_chunks(value: &Value) -> Vec<v1::ObserveChunk> {
    json_bytes(value).chunks(crate::CHUNK_BYTES).map(|piece| v1::ObserveChunk { data: piece.to_vec() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::{OpEvent, OutputStream};
    use serde_json::json;

    fn through_the_wire(event: OpEvent) -> OpEvent {
        let mut reader = EventReader::default();
        let mut out = None;
        for message in op_events(event) {
            assert!(out.is_none(), "an event must end with its last message");
            assert!(prost::Message::encoded_len(&message) <= crate::MAX_MESSAGE_BYTES);
            out = reader.take(message).unwrap();
        }
        out.unwrap()
    }

    #[test]
    fn every_event_comes_back_as_it_went() {
        let large = TaskResult {
            data: json!({"content": "x".repeat(3_000_000)}).as_object().unwrap().clone(),
            ..TaskResult::default()
        };
        let finished = |end| OpEventKind::Finished(Box::new(end));
        let kinds = [
            OpEventKind::Started,
            OpEventKind::Output { stream: OutputStream::Stderr, data: vec![0, 255, 10] },
            OpEventKind::Progress { text: "waiting".into() },
            finished(OpEnd::Done { result: TaskResult::default() }),
            finished(OpEnd::Failed { result: TaskResult::failure("no") }),
            finished(OpEnd::Done { result: large }),
            finished(OpEnd::Refused { why: "a".into() }),
            finished(OpEnd::Expired { why: "b".into() }),
            finished(OpEnd::Unknown { why: "c".into() }),
        ];
        for (seq, kind) in (0..).zip(kinds) {
            let event = OpEvent { seq, kind };
            assert_eq!(through_the_wire(event.clone()), event);
        }
    }

    #[test]
    fn unknown_enum_values_and_missing_deadlines_are_refused() {
        let output = v1::Output { stream: 7, data: Bytes::new() };
        let event = v1::OpEvent { seq: 0, kind: Some(v1::op_event::Kind::Output(output)) };
        assert!(EventReader::default().take(event).is_err());
        for end in [0, 99] {
            let finished = v1::Finished { end, result_json: b"{}".to_vec(), why: String::new() };
            let event = v1::OpEvent { seq: 0, kind: Some(v1::op_event::Kind::Finished(finished)) };
            assert!(EventReader::default().take(event).is_err());
        }
        assert!(observe(&v1::ObserveRequest { kind: 0, params_json: vec![], deadline_ms: 1 }).is_err());
        assert!(observe(&v1::ObserveRequest { kind: 1, params_json: vec![], deadline_ms: 0 }).is_err());
        assert!(op(v1::SubmitRequest { op_id: "a".into(), run_id: "b".into(), ..Default::default() }).is_err());
        let escaping =
            v1::SubmitRequest { op_id: "../a".into(), run_id: "b".into(), deadline_ms: 1, ..Default::default() };
        assert!(op(escaping).is_err());
    }

    #[test]
    fn an_op_comes_back_as_it_went() {
        let given = model::Op {
            op_id: model::OpId::new("r1-0-3").unwrap(),
            run_id: model::RunId::new("r1").unwrap(),
            lease: Some(model::op::Lease {
                cluster: model::ClusterName::new("kafka").unwrap(),
                generation: model::Generation(7),
            }),
            module: "file".into(),
            params: json!({"path": "/a", "mode": "0644"}).as_object().unwrap().clone(),
            check: true,
            diff: true,
            deadline: Duration::from_secs(9),
            become_user: Some("kafka".into()),
            environment: [("A".to_owned(), "b".to_owned())].into(),
            no_log: true,
        };
        assert_eq!(op(submit_request(&given)).unwrap(), given);
    }
}
