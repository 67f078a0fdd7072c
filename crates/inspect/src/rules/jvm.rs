//! The JVM: releases and their updates.

use crate::finding::{Level, Shown};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::Scene;
use crate::object::Part;
use crate::reading::Outcome;
use crate::unit::Unit;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kfleet_config::Release;

/// The releases with long support and the quarter of their first update. Updates come in January, April, July and
/// October, one a quarter, and are numbered without a gap (OpenJDK's update calendar).
const FIRST_UPDATE: [(u32, i64); 4] =
    [(11, quarter(2018, 4)), (17, quarter(2021, 4)), (21, quarter(2023, 4)), (25, quarter(2025, 4))];

/// From this release on a broker needs Java 17 (Kafka 4.0 upgrade notes, KIP-1013).
const JAVA_17: Release = Release::new(4, 0);

const fn quarter(year: i64, quarter: i64) -> i64 {
    year * 4 + quarter - 1
}

/// `17.0.9+9` as 17 and 9; `1.8.0_392` as 8 and 392.
fn parse(text: &str) -> Option<(u32, i64)> {
    let plain = text.split(['+', '-']).next()?;
    if let Some(rest) = plain.strip_prefix("1.") {
        let (major, update) = rest.split_once(".0_").unwrap_or((rest.split('.').next()?, "0"));
        return Some((major.parse().ok()?, update.parse().ok()?));
    }
    let mut parts = plain.split('.');
    let major = parts.next()?.parse().ok()?;
    let update = parts.nth(1).map_or(Some(0), |update| update.parse().ok())?;
    Some((major, update))
}

/// The number of the update that the last quarter brought.
fn newest(major: u32, now: Timestamp) -> Option<i64> {
    let (_, first) = FIRST_UPDATE.into_iter().find(|(known, _)| *known == major)?;
    let date = now.to_zoned(TimeZone::UTC).date();
    // The update comes in the middle of the quarter's first month; its own month does not count yet.
    let month = i64::from(date.month()) - 1;
    let current = i64::from(date.year()) * 4 + month / 3 - i64::from(month % 3 == 0);
    Some(current - first + 1)
}

/// A Java that Kafka supports, and not older than some quarterly updates.
pub(super) fn java_version(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut raws = Vec::new();
    for reading in scene.all("jvm.version") {
        let part = reading.part.clone();
        let raw = match &reading.outcome {
            Outcome::Unreadable { why } => Err(Gap::Unknown(format!("jvm.version could not be read: {why}"))),
            Outcome::NotHere { why } => Err(Gap::Skip(why.clone())),
            Outcome::Read(_) => version(scene, part.as_ref()),
        };
        raws.push(raw.map_or_else(|gap| scene.gap(part, &gap), |raw| raw.from(reading)));
    }
    if raws.is_empty() {
        return Err(Gap::Unknown("there is no reading of jvm.version".to_owned()));
    }
    Ok(raws.into())
}

fn version(scene: &Scene<'_>, part: Option<&Part>) -> Result<Raw, Gap> {
    let text = scene.text("jvm.version", part)?;
    let (major, update) = parse(text).ok_or_else(|| Gap::Unknown(format!("jvm.version is {text:?}")))?;
    let shown = Shown::Text(text.to_owned());
    if part.is_some_and(|part| part.name == "kafka") && major < 17 {
        let kafka = scene.text("kafka.version", None)?;
        let release: Release = kafka.parse().map_err(|_| Gap::Unknown(format!("kafka.version is {kafka:?}")))?;
        if release >= JAVA_17 {
            let line = format!("Kafka {kafka} needs Java 17 or later");
            return Ok(scene.verdict(part.cloned(), Level::Crit, shown).because([line]));
        }
        if major < 11 {
            let line = format!("Java {major} is deprecated for Kafka {kafka}");
            return Ok(scene.verdict(part.cloned(), Level::Warn, shown).because([line]));
        }
    }
    let behind = scene.setting("updates_behind", &scene.object(part.cloned()), Unit::Count);
    match newest(major, scene.index.night.now) {
        Some(newest) if crate::history::float(newest - update) > behind => {
            let line = format!("update {update} runs, update {newest} is the last quarter's");
            Ok(scene.verdict(part.cloned(), Level::Warn, shown).because([line]))
        }
        Some(_) | None => Ok(Raw { shown: Some(shown), ..scene.ok(part.cloned()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_every_form() {
        for (text, wanted) in [
            ("17.0.9", Some((17, 9))),
            ("17.0.9+9-LTS", Some((17, 9))),
            ("17.0.4.1", Some((17, 4))),
            ("21", Some((21, 0))),
            ("21-ea", Some((21, 0))),
            ("1.8.0_392", Some((8, 392))),
            ("1.8.0_392-b08", Some((8, 392))),
            ("eleven", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_newest_update_follows_the_calendar() {
        for (major, date, wanted) in [
            (17, "2021-11-15T00:00:00Z", Some(1)),
            (17, "2023-11-15T00:00:00Z", Some(9)),
            (17, "2024-01-10T00:00:00Z", Some(9)),
            (17, "2024-02-01T00:00:00Z", Some(10)),
            (21, "2025-05-01T00:00:00Z", Some(7)),
            (11, "2018-11-01T00:00:00Z", Some(1)),
            (19, "2025-05-01T00:00:00Z", None),
        ] {
            assert_eq!(newest(major, date.parse().unwrap()), wanted, "{major} {date}");
        }
    }
}
