//! Configuration of brokers: the file against what is in force, and values that are unsafe together.

use super::cluster::{cluster, kafka, lasting, lines, topic};
use crate::condition::fits;
use crate::finding::{Level, Shown};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count};
use crate::reading::{Datum, HostReadings, Outcome, Role};
use crate::unit::Unit;
use kfleet_config::Release;
use kfleet_config::definitions::KAFKA;
use kfleet_model::stop::partition::is_under_replicated;
use std::collections::{BTreeMap, BTreeSet};

/// Brokers and controllers of the scene's cluster, each host once.
fn nodes<'a>(scene: &Scene<'a>) -> Vec<(&'a HostReadings, Scene<'a>)> {
    let mut nodes = scene.members(Role::KafkaBroker);
    let controllers = scene.members(Role::KraftController);
    nodes.extend(controllers.into_iter().filter(|(host, _)| !host.roles.contains(&Role::KafkaBroker)));
    nodes
}

/// What each host says, a gap of one host being its own judgement.
fn per_host(
    members: Vec<(&HostReadings, Scene<'_>)>,
    judge: impl Fn(&Scene<'_>) -> Result<Raw, Gap>,
) -> Result<Vec<Raw>, Gap> {
    if members.is_empty() {
        return Err(Gap::Unknown("no host of the cluster answered".to_owned()));
    }
    Ok(members.into_iter().map(|(_, at)| judge(&at).unwrap_or_else(|gap| at.gap(None, &gap))).collect())
}

/// The id of the file is that of every log directory, and nobody else's in the cluster.
pub(super) fn identity(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let nodes = nodes(scene);
    let mut ids: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (host, at) in &nodes {
        if let Ok(Datum::Int(id)) = at.datum("kafka.node_id", None) {
            ids.entry(*id).or_default().push(host.host.to_string());
        }
    }
    let raws = per_host(nodes, |at| {
        let id = match at.datum("kafka.node_id", None)? {
            Datum::Int(id) => *id,
            other => return Err(Gap::Unknown(format!("kafka.node_id is of the kind {:?}", other.kind()))),
        };
        let mut wrong: Vec<String> = Vec::new();
        if let Some(hosts) = ids.get(&id).filter(|hosts| hosts.len() > 1) {
            wrong.push(format!("{id} is the id of {}", hosts.join(" and ")));
        }
        let mut gap = None;
        for reading in at.all("logdir.node_id") {
            match &reading.outcome {
                Outcome::Read(Datum::Int(stored)) if *stored == id => {}
                Outcome::Read(Datum::Int(stored)) => {
                    let part = reading.part.as_ref().map(ToString::to_string).unwrap_or_default();
                    wrong.push(format!("{part} belongs to {stored}, the file says {id}"));
                }
                Outcome::Unreadable { why } => {
                    gap = Some(Gap::Unknown(format!("logdir.node_id could not be read: {why}")))
                }
                Outcome::NotHere { .. } | Outcome::Read(_) => {}
            }
        }
        if !wrong.is_empty() {
            return Ok(at.verdict(None, Level::Crit, Shown::Text(id.to_string())).because(wrong));
        }
        if at.all("logdir.node_id").is_empty() {
            gap = Some(Gap::Unknown("there is no reading of logdir.node_id".to_owned()));
        }
        gap.map_or_else(|| Ok(at.ok(None)), Err)
    });
    Ok(raws?.into())
}

/// Values of the shipped sample file that are less safe than having no line at all.
pub(super) fn sample_values(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let brokers = count(cluster(scene)?.members.len()).value;
    let many = brokers >= scene.setting("brokers", &scene.object(None), Unit::Count);
    let raws = per_host(scene.members(Role::KafkaBroker), |at| {
        let file = at.texts("kafka.file", None)?;
        let has = |key: &str, value: &str| file.get(key).is_some_and(|set| set.trim() == value);
        let keys = |keys: &[(&str, &str)]| -> Vec<String> {
            keys.iter().filter(|(key, value)| has(key, value)).map(|(key, value)| format!("{key}={value}")).collect()
        };
        let factors =
            keys(&[("offsets.topic.replication.factor", "1"), ("transaction.state.log.replication.factor", "1")]);
        let mut others = keys(&[("group.initial.rebalance.delay.ms", "0")]);
        if many {
            others.extend(keys(&[("transaction.state.log.min.isr", "1")]));
        }
        Ok(if many && !factors.is_empty() {
            at.verdict(None, Level::Crit, Shown::List(factors.into_iter().chain(others).collect()))
        } else if !others.is_empty() {
            at.verdict(None, Level::Warn, Shown::List(others))
        } else {
            at.ok(None)
        })
    });
    Ok(raws?.into())
}

/// A whole number of the effective configuration; Kafka's default where the broker does not say.
fn effective(scene: &Scene<'_>, key: &str, default: i64) -> Result<i64, Gap> {
    let Some(text) = scene.texts("kafka.effective", None)?.get(key) else { return Ok(default) };
    text.trim().parse().map_err(|_| Gap::Unknown(format!("{key} is {text:?}")))
}

/// min.insync.replicas against the number of replicas that new topics get. Topics of one replica by default are
/// `cfg.default_rf`'s matter: no min ISR makes them safe.
pub(super) fn min_isr(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let min = effective(scene, "min.insync.replicas", 1)?;
    let factor = effective(scene, "default.replication.factor", 1)?;
    let shown = Shown::Text(format!("{min} of {factor}"));
    Ok(if factor > 1 && min >= factor {
        scene.verdict(None, Level::Crit, shown).noting("no write with acks=all while one replica is away").into()
    } else if factor >= 3 && min <= 1 {
        scene.verdict(None, Level::Warn, shown).noting("a write may be acknowledged by one replica").into()
    } else {
        Raw { shown: Some(shown), ..scene.ok(None) }.into()
    })
}

/// Brokers and topics that let a replica lead which was not in sync.
pub(super) fn unclean(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    const KEY: &str = "unclean.leader.election.enable";
    let mut raws = per_host(scene.members(Role::KafkaBroker), |at| {
        let on = at.texts("kafka.effective", None)?.get(KEY).is_some_and(|value| value.trim() == "true");
        Ok(if on { at.verdict(None, Level::Crit, Shown::Text("true".to_owned())) } else { at.ok(None) })
    })?;
    for (name, config) in topic_configs(scene)? {
        let on = config.get(KEY).is_some_and(|value| value.trim() == "true");
        if on {
            raws.push(scene.verdict(Some(topic(name)), Level::Crit, Shown::Text("true".to_owned())));
        }
    }
    raws.push(scene.ok(None));
    Ok(raws.into())
}

/// The settings that topics have of their own.
fn topic_configs<'a>(scene: &Scene<'a>) -> Result<Vec<(&'a str, &'a BTreeMap<String, String>)>, Gap> {
    let mut configs = Vec::new();
    for reading in scene.all("topic.config") {
        match (&reading.part, &reading.outcome) {
            (Some(part), Outcome::Read(Datum::Texts(config))) => configs.push((part.name.as_str(), config)),
            (_, Outcome::Unreadable { why }) => {
                return Err(Gap::Unknown(format!("topic.config could not be read: {why}")));
            }
            (_, Outcome::NotHere { .. } | Outcome::Read(_)) => {}
        }
    }
    if scene.all("topic.config").is_empty() {
        return Err(Gap::Unknown("there is no reading of topic.config".to_owned()));
    }
    Ok(configs)
}

/// A value as Kafka gives it back: no blanks around it or around commas, truth in small letters.
fn canonical(value: &str) -> String {
    let joined = value.split(',').map(str::trim).collect::<Vec<_>>().join(",");
    let small = joined.to_ascii_lowercase();
    if matches!(small.as_str(), "true" | "false") { small } else { joined }
}

/// Keys of the file whose value is in force in another form, from a source that the caller asks for. Secrets and
/// references to config providers are not compared: the broker does not show them.
fn apart(scene: &Scene<'_>, sources: &[&str]) -> Result<Vec<String>, Gap> {
    let file = scene.texts("kafka.file", None)?;
    let effective = scene.texts("kafka.effective", None)?;
    let from = scene.texts("kafka.effective_sources", None)?;
    let lines = file.iter().filter_map(|(key, wanted)| {
        let (runs, source) = (effective.get(key)?, from.get(key)?);
        let secret = wanted.starts_with("sha256:") || wanted.contains("${");
        let differs = !secret && sources.contains(&source.as_str()) && canonical(wanted) != canonical(runs);
        differs.then(|| format!("{key}: the file says {wanted}, {runs} is in force ({source})"))
    });
    Ok(lines.collect())
}

fn keys(lines: &[String]) -> Shown {
    let key = |line: &String| line.split(':').next().unwrap_or_default().to_owned();
    Shown::List(lines.iter().map(key).collect())
}

/// The file was edited and the process has not read it since.
pub(super) fn not_applied(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let lines = apart(scene, &["static", "default"])?;
    if lines.is_empty() {
        return Ok(scene.ok(None).into());
    }
    Ok(scene.verdict(None, Level::Warn, keys(&lines)).because(lines).into())
}

/// A dynamic setting hides a line of the file.
pub(super) fn shadowed(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let lines = apart(scene, &["broker", "cluster"])?;
    if lines.is_empty() {
        return Ok(scene.ok(None).into());
    }
    Ok(scene.verdict(None, Level::Warn, keys(&lines)).because(lines).into())
}

/// Keys of the file that the broker does not know, and that no plug-in is known to read.
pub(super) fn unknown_key(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let file = scene.texts("kafka.file", None)?;
    let known = scene.texts("kafka.effective_sources", None)?;
    let plugins = scene.words("plugins", &scene.object(None));
    let unknown = file
        .keys()
        .filter(|key| !known.contains_key(*key) && !plugins.iter().any(|pattern| fits(pattern, key)))
        .map(String::as_str);
    let unknown: Vec<&str> = unknown.collect();
    if unknown.is_empty() {
        return Ok(scene.ok(None).into());
    }
    let release = KAFKA.releases().last().copied().unwrap_or(Release::new(3, 9));
    let line = |key: &&str| match KAFKA.nearest(key, release) {
        Some(nearest) => format!("{key}: did you mean {nearest}?"),
        None => (*key).to_owned(),
    };
    let lines: Vec<String> = unknown.iter().map(line).collect();
    let shown = Shown::List(unknown.iter().map(|key| (*key).to_owned()).collect());
    Ok(scene.verdict(None, Level::Warn, shown).because(lines).into())
}

/// What Kafka has in force when no throttle is set: the largest long.
const NO_RATE: &str = "9223372036854775807";

/// Throttles of a reassignment that has ended.
pub(super) fn left_throttle(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let snapshots = kafka(cluster(scene)?)?;
    if snapshots.iter().any(|snapshot| !snapshot.reassigning.is_empty()) {
        return Ok(scene.ok(None).noting("partitions are being reassigned").into());
    }
    let (mut set, mut gap) = (BTreeSet::new(), None);
    for (host, at) in scene.members(Role::KafkaBroker) {
        match at.texts("kafka.effective", None) {
            Ok(config) => {
                let rates = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
                let rates = rates.into_iter().filter_map(|key| Some((key, config.get(key)?)));
                let rates = rates.filter(|(_, value)| !value.trim().is_empty() && value.trim() != NO_RATE);
                set.extend(rates.map(|(key, value)| format!("{}: {key}={value}", host.host)));
            }
            Err(why) => gap = Some(why),
        }
    }
    for (name, config) in topic_configs(scene)? {
        let replicas = config
            .iter()
            .filter(|(key, value)| key.ends_with(".replication.throttled.replicas") && !value.trim().is_empty());
        set.extend(replicas.map(|(key, value)| format!("topic {name}: {key}={value}")));
    }
    if set.is_empty() {
        return gap.map_or_else(|| Ok(scene.ok(None).into()), Err);
    }
    let behind = lasting(&snapshots, |snapshot| {
        let behind = snapshot.partitions().filter(|(_, _, state)| is_under_replicated(snapshot, state));
        behind.map(|(partition, _, _)| partition).collect()
    });
    let level = if behind.is_empty() { Level::Warn } else { Level::Crit };
    let shown = Shown::Number(count(set.len()));
    let out_of_sync = snapshots.last().map(|snapshot| lines(snapshot, &behind)).unwrap_or_default();
    Ok(scene.verdict(None, level, shown).because(set.into_iter().chain(out_of_sync)).into())
}
