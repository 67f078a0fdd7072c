//! Disks: what depends on the kind of the device, on the volume's size, or on earlier nights.

use super::logs;
use crate::finding::{Level, Shown};
use crate::forecast::{NIGHTS, days_left, trend, with_tonight};
use crate::history::{Point, number};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::{Crossed, Scene, count};
use crate::reading::{Datum, Outcome, Reading};
use crate::unit::{Quantity, Unit};

/// Every reading of a key, or one gap for the owner when there is none at all.
fn each<'a>(scene: &Scene<'a>, key: &str, judge: impl Fn(&'a Reading) -> Raw) -> Result<Ruled, Gap> {
    let all = scene.all(key);
    let some: Vec<Raw> = all.iter().filter(|reading| reading.part.is_some()).map(|reading| judge(reading)).collect();
    if some.is_empty() {
        scene.datum(key, None)?;
        return Err(Gap::Unknown(format!("there is no reading of {key}")));
    }
    Ok(some.into())
}

/// The number of a reading, or why there is none.
fn value(reading: &Reading) -> Result<f64, Gap> {
    match &reading.outcome {
        Outcome::Unreadable { why } => Err(Gap::Unknown(format!("{} could not be read: {why}", reading.key))),
        Outcome::NotHere { why } => Err(Gap::Skip(why.clone())),
        Outcome::Read(_) => number(reading).ok_or_else(|| Gap::Unknown(format!("{} is no number", reading.key))),
    }
}

/// Days until a volume is full.
pub(super) fn fill_eta(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    each(scene, "disk.used_bytes", |reading| {
        let part = reading.part.clone();
        match eta(scene, reading) {
            Ok(raw) => raw,
            Err(gap) => scene.gap(part, &gap),
        }
    })
}

fn eta(scene: &Scene<'_>, reading: &Reading) -> Result<Raw, Gap> {
    let part = reading.part.clone();
    let used = value(reading)?;
    let total = scene.number("disk.total_bytes", part.as_ref())?;
    let earlier = scene.index.night.history.of("disk.used_bytes", &scene.object(part.clone()));
    let points = with_tonight(earlier, Point { at: reading.taken_at, value: used });
    let Some(trend) = trend(&points) else {
        return Err(Gap::Skip(format!("{} nights are known, a trend needs {NIGHTS}", points.len())));
    };
    let Some((likely, least, most)) = days_left(&trend, used, total) else {
        return Ok(scene.ok(part));
    };
    let of = |days: f64| Quantity::new(days, Unit::Days);
    let latest = most.map_or("never".to_owned(), |most| of(most).to_string());
    let grows = Quantity::new(trend.per_day, Unit::Bytes);
    Ok(scene.grade(part, of(likely)).from(reading).because([
        format!("grows by {grows} a day over {} nights", trend.nights),
        format!("full in {} at the earliest, {latest} at the latest", of(least)),
    ]))
}

/// Average time of a write, against what the device is.
pub(super) fn write_latency(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    each(scene, "disk.write_time", |reading| {
        let part = reading.part.clone();
        match latency(scene, reading) {
            Ok(raw) => raw.from(reading),
            Err(gap) => scene.gap(part, &gap),
        }
    })
}

fn latency(scene: &Scene<'_>, reading: &Reading) -> Result<Raw, Gap> {
    let part = reading.part.clone();
    let took = value(reading)?;
    let turns = match scene.datum("disk.rotational", part.as_ref())? {
        Datum::Flag(turns) => *turns,
        other => return Err(Gap::Unknown(format!("disk.rotational is of the kind {:?}", other.kind()))),
    };
    let object = scene.object(part.clone());
    let kind = if turns { "hdd" } else { "ssd" };
    let shown = Quantity::new(took, Unit::Milliseconds);
    for level in [Level::Crit, Level::Warn] {
        let name = format!("{kind}_{}", level.state().name());
        let bound = scene.setting(&name, &object, Unit::Milliseconds);
        let held = scene.track(&object).is_some_and(|track| track.holds(level, &name));
        let exit = bound * (1.0 - crate::catalogue::EXIT_PERCENT / 100.0);
        if took > bound || (held && took > exit) {
            let Some((limit, layer)) = scene.limit(&name, &object) else { continue };
            let fired =
                crate::finding::Fired { level, condition: format!("> {limit} ({kind})"), limit: Some(name), layer };
            return Ok(Raw::fired(object, Shown::Number(shown), Crossed { fired, held: took <= bound }));
        }
    }
    Ok(Raw { shown: Some(Shown::Number(shown)), ..scene.ok(part) })
}

/// New lines of the kernel log that tell of storage errors.
pub(super) fn storage_errors(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let wanted = scene.words("signatures", &scene.object(None));
    let hits = logs::hits(scene)?;
    let ours: Vec<_> = hits.into_iter().filter(|hit| wanted.contains(&hit.id) && hit.count > 0).collect();
    if ours.is_empty() {
        logs::was_read(scene, "kernel")?;
        return Ok(scene.ok(None).into());
    }
    let total: i64 = ours.iter().map(|hit| hit.count).sum();
    let lines: Vec<String> = ours.iter().flat_map(|hit| hit.lines()).collect();
    let shown = Shown::Number(count(usize::try_from(total).unwrap_or_default()));
    Ok(scene.verdict(None, Level::Crit, shown).because(lines).into())
}

/// Replica directories that Kafka left lying.
pub(super) fn stray(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    each(scene, "logdir.stray_bytes", |reading| {
        let part = reading.part.clone();
        let judged = value(reading).and_then(|bytes| {
            let total = scene.number("disk.total_bytes", part.as_ref())?;
            if total <= 0.0 {
                return Err(Gap::Unknown("the volume has no size".to_owned()));
            }
            let of_volume = Quantity::new(100.0 * bytes / total, Unit::Percent);
            let bytes = Quantity::new(bytes, Unit::Bytes);
            Ok(scene.grade_by(part.clone(), &[("crit", of_volume), ("warn", bytes)]).from(reading))
        });
        judged.unwrap_or_else(|gap| scene.gap(part.clone(), &gap))
    })
}
