//! What the journal says, as JSON in frames.
//!
//! Purpose: the four kinds of record, and the memory of ops that they build up.
//! Place in the flow: written by `Journal`, read at start.
//! Not here: files, and the events of ops (they are in memory or in a spool).
//!
//! Keys are added, never renamed: a newer agent reads older files, and an older one after a downgrade reads newer ones.

use kfleet_model::{ClusterName, Generation, Map, Op, OpEnd, OpId, RunId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The version of the file's format.
pub const FORMAT: u32 = 1;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The agent started; the first record of every file.
    Boot {
        /// [`FORMAT`].
        format: u32,
        /// The kernel's boot id.
        boot_id: String,
        /// The agent's version.
        version: String,
        /// Milliseconds since 1970 by the host's clock.
        unix_ms: i64,
    },
    /// From here on the op may have changed the host.
    Accepted(Box<Accepted>),
    /// The op is over.
    Finished(Box<Finished>),
    /// A cluster's lease was seen with this generation.
    Generation {
        /// The cluster.
        cluster: ClusterName,
        /// The highest seen.
        generation: Generation,
    },
}

/// An op at the moment before its first side effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The op.
    pub op_id: OpId,
    /// Its run.
    pub run_id: RunId,
    /// [`digest`] of it.
    pub digest: String,
    /// Its module's short name.
    pub module: String,
    /// Its parameters; empty for an op with secrets.
    #[serde(default)]
    pub params: Map,
    /// It has secrets.
    #[serde(default)]
    pub no_log: bool,
    /// The kernel's boot id: after a reboot no process of the op can be alive.
    pub boot_id: String,
    /// When, by the host's clock, in milliseconds since 1970.
    pub unix_ms: i64,
    /// When its deadline passes, likewise. Only for an agent that is started again: a running one counts by the
    /// monotonic clock.
    pub deadline_unix_ms: i64,
}

/// An op's end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// The op.
    pub op_id: OpId,
    /// Its run.
    pub run_id: RunId,
    /// [`digest`] of it.
    pub digest: String,
    /// Its module's short name.
    pub module: String,
    /// When, by the host's clock, in milliseconds since 1970.
    pub unix_ms: i64,
    /// Whether it had begun to change the host.
    pub effects: bool,
    /// How. Without the result's data when `stored`.
    #[serde(flatten)]
    pub end: OpEnd,
    /// The whole end is in the op's folder, because it is too large for the journal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
}

/// What makes two submissions of one id the same op: module, parameters, check mode, user, environment. Deadline, diff
/// and lease may differ when a run is resumed.
///
/// Values of an op with secrets are left out, so that nobody can try guesses against the journal.
#[must_use]
pub fn digest(op: &Op) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(&op.module);
    part(if op.check { "check" } else { "" });
    part(op.become_user.as_deref().unwrap_or_default());
    for (key, value) in op.params.iter().collect::<BTreeMap<_, _>>() {
        part(key);
        part(&if op.no_log { String::new() } else { value.to_string() });
    }
    part("environment");
    for (key, value) in &op.environment {
        part(key);
        part(if op.no_log { "" } else { value });
    }
    hex(&hash.finalize()[..16])
}

/// Bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String can not fail.
        write!(out, "{byte:02x}").unwrap_or_default();
        out
    })
}

/// How an op ended, without its result: what is kept forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndKind {
    /// As wanted.
    Done,
    /// It failed.
    Failed,
    /// It was not started.
    Refused,
    /// It came too late.
    Expired,
    /// Nobody knows.
    Unknown,
}

impl From<&OpEnd> for EndKind {
    fn from(end: &OpEnd) -> Self {
        match end {
            OpEnd::Done { .. } => Self::Done,
            OpEnd::Failed { .. } => Self::Failed,
            OpEnd::Refused { .. } => Self::Refused,
            OpEnd::Expired { .. } => Self::Expired,
            OpEnd::Unknown { .. } => Self::Unknown,
        }
    }
}

impl EndKind {
    /// The byte that stands for it in the table of old ops.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Done => 1,
            Self::Failed => 2,
            Self::Refused => 3,
            Self::Expired => 4,
            Self::Unknown => 5,
        }
    }

    /// From that byte; anything else is unknown.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Done,
            2 => Self::Failed,
            3 => Self::Refused,
            4 => Self::Expired,
            _ => Self::Unknown,
        }
    }

    /// Nothing was done under the id, so it may be tried again: with a newer lease, or more space on the disk.
    #[must_use]
    pub fn nothing_done(self) -> bool {
        match self {
            Self::Refused | Self::Expired => true,
            Self::Done | Self::Failed | Self::Unknown => false,
        }
    }

    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// The op id in a damaged record, if its text still has one. Such an op is held as unknown, never run again.
#[must_use]
pub fn salvage_op_id(damaged: &[u8]) -> Option<OpId> {
    let text = String::from_utf8_lossy(damaged);
    let (_, rest) = text.split_once(r#""op_id":""#)?;
    let (id, _) = rest.split_once('"')?;
    OpId::new(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn op(params: serde_json::Value) -> Op {
        Op {
            op_id: OpId::new("o").unwrap(),
            run_id: RunId::new("r").unwrap(),
            lease: None,
            module: "command".into(),
            params: params.as_object().unwrap().clone(),
            check: false,
            diff: false,
            deadline: Duration::from_secs(1),
            become_user: None,
            environment: [].into(),
            no_log: false,
        }
    }

    #[test]
    fn the_digest_tells_ops_apart_by_what_they_do_and_not_by_when() {
        let base = digest(&op(json!({"argv": ["a"]})));
        assert_eq!(digest(&Op { deadline: Duration::from_secs(9), diff: true, ..op(json!({"argv": ["a"]})) }), base);
        let others = [
            op(json!({"argv": ["b"]})),
            op(json!({})),
            Op { check: true, ..op(json!({"argv": ["a"]})) },
            Op { module: "shell".into(), ..op(json!({"argv": ["a"]})) },
            Op { become_user: Some("kafka".into()), ..op(json!({"argv": ["a"]})) },
            Op { environment: [("A".to_owned(), "b".to_owned())].into(), ..op(json!({"argv": ["a"]})) },
        ];
        for other in others {
            assert_ne!(digest(&other), base, "{other:?}");
        }
    }

    #[test]
    fn the_digest_of_an_op_with_secrets_does_not_depend_on_them() {
        let secret = |word: &str| digest(&Op { no_log: true, ..op(json!({"password": word})) });
        assert_eq!(secret("one"), secret("two"));
    }

    #[test]
    fn records_come_back_as_they_went() {
        let records = [
            Record::Boot { format: FORMAT, boot_id: "b".into(), version: "1".into(), unix_ms: 5 },
            Record::Generation { cluster: ClusterName::new("kafka").unwrap(), generation: Generation(7) },
            Record::Finished(Box::new(Finished {
                op_id: OpId::new("o").unwrap(),
                run_id: RunId::new("r").unwrap(),
                digest: "d".into(),
                module: "command".into(),
                unix_ms: 1,
                effects: true,
                end: OpEnd::Unknown { why: "power".into() },
                stored: false,
            })),
        ];
        for record in records {
            let json = serde_json::to_vec(&record).unwrap();
            assert_eq!(serde_json::from_slice::<Record>(&json).unwrap(), record);
            assert_eq!(json[0], b'{', "the search behind a damaged record needs it");
        }
    }

    #[test]
    fn an_op_id_is_found_in_a_damaged_record() {
        assert_eq!(salvage_op_id(br#"{"record":"acc?pted","op_id":"r1-0-3","x"#), OpId::new("r1-0-3").ok());
        assert_eq!(salvage_op_id(br#"{"record":"boot"}"#), None);
        assert_eq!(salvage_op_id(br#"{"op_id":"../x"}"#), None);
    }
}
