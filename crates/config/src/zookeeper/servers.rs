//! The members of an ensemble: `server.N` lines.

use crate::Settings;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It votes.
    Participant,
    /// It only follows.
    Observer,
}

/// Addresses of a member: the first one where several are given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its number.
    pub id: i64,
    /// The host.
    pub host: String,
    /// The port that followers connect to.
    pub quorum: u16,
    /// The port for elections.
    pub election: u16,
    /// What it does.
    pub kind: Kind,
    /// The client port behind a `;` (since 3.5).
    pub client: Option<u16>,
}

impl Member {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> String {
        format!("server.{}", self.id)
    }
}

/// Whether a key is about members: `server.N`, `group.N`, `weight.N`.
pub(super) fn is_member(key: &str) -> bool {
    key.split_once('.')
        .is_some_and(|(word, number)| matches!(word, "server" | "group" | "weight") && number.parse::<i64>().is_ok())
}

/// The members by number, and the lines that are none: key and value.
#[must_use]
pub fn of(settings: &Settings) -> (Vec<Member>, Vec<(String, String)>) {
    let (mut members, mut wrong) = (Vec::new(), Vec::new());
    for (key, setting) in settings.iter() {
        let Some(id) = key.strip_prefix("server.").and_then(|id| id.parse::<i64>().ok()) else { continue };
        match member(id, &setting.value) {
            Some(member) => members.push(member),
            None => wrong.push((key.to_owned(), setting.value.clone())),
        }
    }
    members.sort();
    (members, wrong)
}

/// `HOST:PORT:PORT[:participant|:observer][;[HOST:]PORT]`, with further addresses behind `|` (since 3.6).
fn member(id: i64, text: &str) -> Option<Member> {
    let (server, client) = match text.split_once(';') {
        Some((server, client)) => (server, Some(client.rsplit_once(':').map_or(client, |(_, port)| port))),
        None => (text, None),
    };
    let first = server.split('|').next()?.trim();
    let (host, rest) = match first.strip_prefix('[') {
        Some(inner) => inner.split_once("]:")?,
        None => first.split_once(':')?,
    };
    let mut parts = rest.split(':');
    let (quorum, election) = (parts.next()?.trim().parse().ok()?, parts.next()?.trim().parse().ok()?);
    // The kind stands behind the last address.
    let last = server.trim().rsplit(':').next()?;
    let kind = match last.trim().to_ascii_lowercase().as_str() {
        "observer" => Kind::Observer,
        "participant" => Kind::Participant,
        other if other.parse::<u16>().is_ok() => Kind::Participant,
        _ => return None,
    };
    let client = match client {
        Some(port) => Some(port.trim().parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then(|| Member { id, host: host.to_owned(), quorum, election, kind, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_in_every_form() {
        for (text, wanted) in [
            ("zk-1:2888:3888", Some(("zk-1", 2888, 3888, Kind::Participant, None))),
            ("zk-1:2888:3888:observer", Some(("zk-1", 2888, 3888, Kind::Observer, None))),
            ("zk-1:2888:3888:participant;2181", Some(("zk-1", 2888, 3888, Kind::Participant, Some(2181)))),
            ("zk-1:2888:3888;0.0.0.0:2181", Some(("zk-1", 2888, 3888, Kind::Participant, Some(2181)))),
            ("a:2888:3888|b:2889:3889", Some(("a", 2888, 3888, Kind::Participant, None))),
            ("[::1]:2888:3888", Some(("::1", 2888, 3888, Kind::Participant, None))),
            ("zk-1:2888", None),
            ("zk-1:2888:x", None),
            (":2888:3888", None),
            ("zk-1:2888:3888:voter", None),
        ] {
            let got = member(1, text).map(|m| (m.host, m.quorum, m.election, m.kind, m.client));
            let wanted = wanted.map(|(host, q, e, kind, client)| (host.to_owned(), q, e, kind, client));
            assert_eq!(got, wanted, "{text}");
        }
    }
}
