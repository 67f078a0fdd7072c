//! The log directories of a broker: whose they are, what lies in them, and what the broker says of them.

use super::kafka;
use super::scene::Scene;
use super::sink::{Gap, Sink, Told};
use kfleet_config::Properties;
use kfleet_inspect::{Datum, Part, PartKind};
use std::time::Duration;

pub(super) const KEYS: &[&str] = &["kafka.segments", "logdir.node_id", "logdir.cluster_id", "logdir.stray_bytes"];

pub(super) const ERROR_KEYS: &[&str] = &["logdir.error"];

/// A large broker has some 10,000 partitions with some ten files each.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A directory that was deleted goes after `file.delete.delay.ms`, a minute by default; one that is older was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let config = kafka::config(scene)?;
    let mut segments = Ok(0_i64);
    for dir in &config.log_dirs {
        let part = Part::new(PartKind::Volume, dir.as_str());
        let path = format!("{dir}/meta.properties");
        let meta = scene.text(&path).and_then(|text| text.ok_or_else(|| Gap::not_here("it was never started with it")));
        let meta = meta.map(|text| Properties::parse(text.as_bytes()).to_map());
        let id = meta.clone().and_then(|meta| {
            let id = meta.get("node.id").or_else(|| meta.get("broker.id")).and_then(|id| id.trim().parse().ok());
            id.map(Datum::Int).ok_or_else(|| Gap::Unreadable(format!("{path} has no node.id or broker.id")))
        });
        sink.tell_of(&part, "logdir.node_id", &path, id);
        let cluster = meta.and_then(|meta| {
            let id = meta.get("cluster.id").map(|id| Datum::Text(id.trim().to_owned()));
            id.ok_or_else(|| Gap::Unreadable(format!("{path} has no cluster.id")))
        });
        sink.tell_of(&part, "logdir.cluster_id", &path, cluster);
        let found = look(scene, dir);
        let stray = found.clone().map(|found| Datum::Int(i64::try_from(found.stray).unwrap_or(i64::MAX)));
        sink.tell_of(&part, "logdir.stray_bytes", dir, stray);
        segments = segments.and_then(|sum| Ok(sum + found?.segments));
    }
    sink.tell("kafka.segments", &config.log_dirs.join(", "), segments.map(Datum::Int));
    Ok(())
}

/// What lies in a log directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lying {
    segments: i64,
    stray: u64,
}

fn look(scene: &Scene<'_>, dir: &str) -> Result<Lying, Gap> {
    let mut lying = Lying::default();
    let names = scene.list(dir)?.ok_or_else(|| Gap::Unreadable(format!("{dir} does not exist")))?;
    for name in names {
        let path = format!("{dir}/{name}");
        let kind = Kind::of(&name);
        if kind == Kind::Other {
            continue;
        }
        let files = scene.list(&path)?.unwrap_or_default();
        let segments = files.iter().filter(|file| file.ends_with(".log")).count();
        lying.segments += i64::try_from(segments).unwrap_or(i64::MAX);
        if kind == Kind::Stray || (kind == Kind::Deleted && is_old(scene, &path)?) {
            for file in files {
                lying.stray += scene.stat(format!("{path}/{file}"), true)?.map_or(0, |stat| stat.size);
            }
        }
    }
    Ok(lying)
}

fn is_old(scene: &Scene<'_>, path: &str) -> Result<bool, Gap> {
    let changed = scene.stat(path, true)?.map_or(i128::MAX, |stat| stat.mtime_ns);
    let age = scene.now().as_nanosecond().saturating_sub(changed);
    Ok(age > i128::try_from(FORGOTTEN.as_nanos()).unwrap_or(i128::MAX))
}

/// What a name in a log directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A partition's: `orders-3`, also one that moves to another directory, `orders-3.<32 hex>-future`.
    Partition,
    /// One that no broker should have: KIP-858 and `LogManager` name it so.
    Stray,
    /// One that is about to be removed.
    Deleted,
    /// A checkpoint or another file.
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        if name.ends_with("-stray") {
            return Self::Stray;
        }
        let marked = |rest: &str| {
            rest.rsplit_once('.')
                .is_some_and(|(_, hash)| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        if name.strip_suffix("-delete").is_some_and(marked) {
            return Self::Deleted;
        }
        if name.strip_suffix("-future").is_some_and(marked) {
            return Self::Partition;
        }
        match name.rsplit_once('-') {
            Some((topic, number)) if !topic.is_empty() && number.parse::<u32>().is_ok() => Self::Partition,
            Some(_) | None => Self::Other,
        }
    }
}

pub(super) fn errors(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let told = kafka::told_dirs(scene)?;
    for dir in &kafka::config(scene)?.log_dirs {
        let code = told.get(dir.trim_end_matches('/')).or_else(|| told.get(dir));
        let code: Told = match code {
            Some(code) => Ok(Datum::Int(*code)),
            None => Err(Gap::unreadable("the broker says nothing of it")),
        };
        sink.tell_of(&Part::new(PartKind::Volume, dir.as_str()), "logdir.error", "DescribeLogDirs(35)", code);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::inspect::params::Params;
    use crate::host::fake::{FakeHost, Spec};
    use serde_json::json;

    #[test]
    fn names_in_a_log_directory_are_told_apart() {
        let hash = "0123456789abcdef0123456789abcdef";
        for (name, wanted) in [
            ("orders-3", Kind::Partition),
            ("a-b-c-12", Kind::Partition),
            (&format!("orders-3.{hash}-future"), Kind::Partition),
            (&format!("orders-3.{hash}-delete"), Kind::Deleted),
            (&format!("orders-3.{hash}-stray"), Kind::Stray),
            ("orders-3-stray", Kind::Stray),
            ("orders.x-delete", Kind::Other),
            ("meta.properties", Kind::Other),
            ("replication-offset-checkpoint", Kind::Other),
        ] {
            assert_eq!(Kind::of(name), wanted, "{name}");
        }
    }

    #[test]
    fn segments_are_counted_and_what_was_forgotten_is_measured() {
        let hash = "0123456789abcdef0123456789abcdef";
        let deleted = |age: u64| json!({"kind": "directory", "age_s": age});
        let host = FakeHost::new(
            &serde_json::from_value::<Spec>(json!({"files": {
                "/d/meta.properties": {"content": "broker.id=1\n"},
                "/d/orders-0/00000000000000000000.log": {"content": "12345"},
                "/d/orders-0/00000000000000000000.index": {"content": "1"},
                "/d/orders-1-stray/00000000000000000000.log": {"content": "123"},
                format!("/d/orders-2.{hash}-delete"): deleted(7200),
                format!("/d/orders-2.{hash}-delete/00000000000000000000.log"): {"content": "1234567"},
                format!("/d/orders-3.{hash}-delete"): deleted(60),
                format!("/d/orders-3.{hash}-delete/00000000000000000000.log"): {"content": "1"},
            }}))
            .unwrap(),
        );
        let params = Params::default();
        let found = look(&Scene::new(&host, &params), "/d").unwrap();
        assert_eq!(found, Lying { segments: 4, stray: 10 });
    }
}
