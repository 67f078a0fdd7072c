//! What is wrong with the settings of one ZooKeeper server.
//!
//! The rules that ZooKeeper enforces itself are those of `QuorumPeerConfig.parseProperties` and its neighbours (3.4 to
//! 3.9); the others name a section of its administrator's guide.
//! Not here: what only several servers can tell (`cluster`).

pub mod servers;

use crate::definitions::{DefaultValue, Lookup, ZOOKEEPER, beside};
use crate::kafka::even;
use crate::{Extent, Finding, Problem, Release, Settings, secret};
use servers::Kind;

/// One server's settings, and what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The release of ZooKeeper.
    pub release: Release,
    /// Whether these are all of its settings.
    pub extent: Extent,
    /// The settings of `zoo.cfg`, with those of the dynamic file where there is one.
    pub settings: &'a Settings,
    /// The server's id (`myid`), where it is known.
    pub my_id: Option<i64>,
    /// Keys of the operator's own plugins: names, or beginnings with `*` at the end.
    pub extra: &'a [String],
}

/// Says all that is wrong, sorted by line and key.
#[must_use]
pub fn check(server: Server<'_>) -> Vec<Finding> {
    let mut found = keys(server);
    found.extend(needed(server));
    found.extend(ensemble(server));
    found.extend(sessions(server));
    found.extend(authentication(server));
    found.extend(safety(server));
    found.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
    found
}

impl Server<'_> {
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        if self.settings.get(key).is_some() {
            return self.settings.number(key);
        }
        match (self.extent, ZOOKEEPER.get(key, self.release).map(|found| &found.default)) {
            (Extent::Whole, Some(DefaultValue::Text(default))) => default.parse().ok(),
            (Extent::Whole, Some(DefaultValue::Required | DefaultValue::Null) | None) | (Extent::Part, _) => None,
        }
    }
}

/// Keys that ZooKeeper hands on: Java properties of its own, and those of providers that an operator names.
fn handed_on(key: &str) -> bool {
    ["authProvider.", "metricsProvider.", "zookeeper.", "netty."].iter().any(|beginning| key.starts_with(beginning))
}

/// Key by key: known to the release, of the right type and range, once in the file.
fn keys(server: Server<'_>) -> Vec<Finding> {
    let Server { release, settings, .. } = server;
    let mut found = Vec::new();
    for (key, setting) in settings.iter() {
        if servers::is_member(key) || beside::of_operator(key, server.extra) {
            continue;
        }
        let key_text = || key.to_owned();
        let problem = match ZOOKEEPER.lookup(key, release) {
            Lookup::Known(definition) => definition.check(&setting.value, release).err().map(|wrong| {
                let got = (!secret::is_secret(key)).then(|| setting.value.clone());
                Problem::Value { key: key_text(), wrong, got }
            }),
            Lookup::NotYet(since) => Some(Problem::NotYet { key: key_text(), since, release }),
            Lookup::Removed(last) => Some(Problem::Removed { key: key_text(), last, release, instead: None }),
            Lookup::Unknown if handed_on(key) => None,
            Lookup::Unknown => {
                let nearest = ZOOKEEPER.nearest(key, release);
                Some(Problem::Unknown { key: key_text(), release: format!("ZooKeeper {release}"), nearest })
            }
        };
        found.extend(problem.map(|problem| Finding::error(key, settings, problem)));
    }
    for (key, line) in &settings.twice {
        found.push(Finding::warning(key, settings, Problem::Twice { key: key.clone(), line: *line }));
    }
    for (key, line) in &settings.malformed {
        let problem = Problem::Malformed { key: key.clone() };
        found.push(Finding { line: Some(*line), ..Finding::error(key, settings, problem) });
    }
    found
}

/// What a server does not start without, alone or in an ensemble.
fn needed(server: Server<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if server.extent == Extent::Part {
        return found;
    }
    let settings = server.settings;
    let mut missing = |key: &str, role: &'static str| {
        let problem = Problem::Missing { key: key.to_owned(), role };
        found.push(Finding::error(key, settings, problem));
    };
    if settings.filled("dataDir").is_none() {
        missing("dataDir", "every server");
    }
    let dynamic = settings.filled("dynamicConfigFile").is_some();
    let (members, _) = servers::of(settings);
    let own_client = members.iter().any(|member| Some(member.id) == server.my_id && member.client.is_some());
    let ports = ["clientPort", "secureClientPort"].iter().any(|key| settings.filled(key).is_some());
    if !ports && !own_client && !dynamic {
        missing("clientPort", "a server that clients can reach");
    }
    if settings.truth("standaloneEnabled") == Some(false) && members.is_empty() && !dynamic {
        missing("server.N", "a server with 'standaloneEnabled' false");
    }
    if members.len() > 1 || dynamic {
        for key in ["initLimit", "syncLimit"] {
            if settings.filled(key).is_none() {
                missing(key, "a server of an ensemble");
            }
        }
    }
    found
}

/// The list of servers: its form, and that it makes a quorum (administrator's guide, "Clustered (Multi-Server) Setup").
fn ensemble(server: Server<'_>) -> Vec<Finding> {
    let settings = server.settings;
    let (members, wrong) = servers::of(settings);
    let mut found: Vec<Finding> = wrong
        .into_iter()
        .map(|(key, got)| {
            let form = "HOST:PORT:PORT with ports for followers and elections";
            Finding::error(&key, settings, Problem::Form { key: key.clone(), got, form })
        })
        .collect();
    if settings.filled("dynamicConfigFile").is_some() {
        for member in &members {
            let why = format!("'{}' must stand in the dynamic file, since 'dynamicConfigFile' is set", member.key());
            found.push(Finding::error(&member.key(), settings, Problem::Rule { why, hint: None }));
        }
    }
    let voters = members.iter().filter(|member| member.kind == Kind::Participant).count();
    if let (Some(problem), Some(first)) = (even(voters), members.first()) {
        // With groups a majority is counted in another way ("ZooKeeper Hierarchical Quorums").
        if !settings.iter().any(|(key, _)| key.starts_with("group.")) {
            found.push(Finding::warning(&first.key(), settings, problem));
        }
    }
    if let Some(id) = server.my_id
        && !members.is_empty()
        && !members.iter().any(|member| member.id == id)
    {
        let why = format!("the server's id (myid) is {id}, and the file has no 'server.{id}'");
        found.push(Finding::error(&format!("server.{id}"), settings, Problem::Rule { why, hint: None }));
    }
    found
}

/// Session limits in their order; they are in ticks by default (administrator's guide, `minSessionTimeout`).
fn sessions(server: Server<'_>) -> Option<Finding> {
    let tick = server.number("tickTime")?;
    let limit = |key: &str, ticks: i64| match server.settings.number(key) {
        Some(-1) | None => tick.saturating_mul(ticks),
        Some(given) => given,
    };
    let keys = ["minSessionTimeout", "maxSessionTimeout"];
    let set = keys.into_iter().find(|key| server.settings.get(key).is_some())?;
    let (min, max) = (limit(keys[0], 2), limit(keys[1], 20));
    (min > max).then(|| {
        let why = format!("'minSessionTimeout' ({min}) is larger than 'maxSessionTimeout' ({max})");
        Finding::error(set, server.settings, Problem::Rule { why, hint: None })
    })
}

/// Servers that must prove themselves to each other can do so only when all of it is on.
fn authentication(server: Server<'_>) -> Vec<Finding> {
    const RULES: [(&str, &str); 3] = [
        ("quorum.auth.learnerRequireSasl", "quorum.auth.enableSasl"),
        ("quorum.auth.serverRequireSasl", "quorum.auth.enableSasl"),
        ("quorum.auth.serverRequireSasl", "quorum.auth.learnerRequireSasl"),
    ];
    let settings = server.settings;
    let off = |key: &str| match server.extent {
        Extent::Whole => settings.truth(key) != Some(true),
        Extent::Part => settings.truth(key) == Some(false),
    };
    let broken = RULES.into_iter().filter(|(on, needed)| settings.truth(on) == Some(true) && off(needed));
    broken
        .map(|(on, needed)| {
            let why = format!("'{on}' is true, and works only with '{needed}'");
            Finding::error(on, settings, Problem::Rule { why, hint: None })
        })
        .collect()
}

/// Settings that lose data, fill the disk, or let everybody in.
fn safety(server: Server<'_>) -> Vec<Finding> {
    let settings = server.settings;
    let mut found = Vec::new();
    let mut warn = |key: &str, why: String, hint| {
        found.push(Finding::warning(key, settings, Problem::Rule { why, hint }));
    };
    // Administrator's guide, "Unsafe Options".
    if settings.get("forceSync") == Some("no") {
        warn("forceSync", "'forceSync' is no: a power cut loses what clients were told is written".to_owned(), None);
    }
    if settings.get("skipACL") == Some("yes") {
        warn("skipACL", "'skipACL' is yes: everybody may read and write everything".to_owned(), None);
    }
    // Administrator's guide, "Ongoing Data Directory Cleanup".
    if server.number("autopurge.purgeInterval") == Some(0) {
        let why = "'autopurge.purgeInterval' is 0: snapshots and logs are kept until the disk is full".to_owned();
        warn("autopurge.purgeInterval", why, Some("24, with 'autopurge.snapRetainCount' of 3 or more"));
    }
    for key in ["dataDir", "dataLogDir"] {
        if let Some(folder) = settings.get(key).filter(|folder| *folder == "/tmp" || folder.starts_with("/tmp/")) {
            warn(key, format!("'{key}' is {folder}, which a restart of the host may empty"), None);
        }
    }
    found
}

#[cfg(test)]
mod tests;
