//! Log signatures that were seen since the last inspection.

use crate::finding::{Level, Shown, State};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count};
use crate::object::PartKind;
use crate::reading::{Datum, Outcome, Reading};

/// A signature that was seen.
pub(super) struct Hit<'a> {
    pub(super) id: String,
    pub(super) count: i64,
    reading: &'a Reading,
}

impl Hit<'_> {
    /// What shows it.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.reading.evidence.is_empty() {
            return vec![format!("{}: {} times", self.id, self.count)];
        }
        self.reading.evidence.iter().map(|line| format!("{}: {line}", self.id)).collect()
    }
}

/// Every signature with its count.
pub(super) fn hits<'a>(scene: &Scene<'a>) -> Result<Vec<Hit<'a>>, Gap> {
    let mut hits = Vec::new();
    for reading in scene.all("log.hits") {
        match (&reading.part, &reading.outcome) {
            (Some(part), Outcome::Read(Datum::Int(count))) if part.kind == PartKind::Signature => {
                hits.push(Hit { id: part.name.clone(), count: *count, reading });
            }
            (_, Outcome::Unreadable { why }) => return Err(Gap::Unknown(format!("log.hits could not be read: {why}"))),
            (_, Outcome::NotHere { .. }) => {}
            (_, Outcome::Read(other)) => {
                return Err(Gap::Unknown(format!("log.hits is of the kind {:?} for no signature", other.kind())));
            }
        }
    }
    Ok(hits)
}

/// That a log was read at all: without it, nothing found says nothing.
pub(super) fn was_read(scene: &Scene<'_>, log: &str) -> Result<(), Gap> {
    match scene.texts("log.sources", None)?.get(log).map(String::as_str) {
        Some("read") => Ok(()),
        Some(why) => Err(Gap::Unknown(format!("the log {log} could not be read: {why}"))),
        // An agent names every log that it looked for.
        None => Err(Gap::Skip(format!("the host has no log {log} of its own"))),
    }
}

/// One judgement a signature, by its own severity; and one for each log that could not be read.
pub(super) fn signatures(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut raws = Vec::new();
    for hit in hits(scene)?.iter().filter(|hit| hit.count > 0) {
        raws.push(signature(scene, hit));
    }
    let unread: Vec<String> = scene
        .texts("log.sources", None)?
        .iter()
        .filter(|(_, how)| how.as_str() != "read")
        .map(|(log, why)| format!("{log}: {why}"))
        .collect();
    raws.push(if unread.is_empty() {
        scene.ok(None)
    } else {
        scene.gap(None, &Gap::Unknown(format!("logs could not be read: {}", unread.join("; "))))
    });
    Ok(raws.into())
}

fn signature(scene: &Scene<'_>, hit: &Hit<'_>) -> Raw {
    let part = hit.reading.part.clone();
    let severity = match scene.text("log.severity", part.as_ref()) {
        Ok(severity) => severity,
        Err(gap) => return scene.gap(part, &gap),
    };
    let volatile = matches!(scene.datum("log.volatile", part.as_ref()), Ok(Datum::Flag(true)));
    let shown = Shown::Number(count(usize::try_from(hit.count).unwrap_or_default()));
    let raw = match severity {
        "crit" => scene.verdict(part, Level::Crit, shown),
        "warn" => scene.verdict(part, Level::Warn, shown),
        "info" => Raw { state: State::Info, shown: Some(shown), ..scene.ok(part) },
        other => return scene.gap(part, &Gap::Unknown(format!("the severity {other:?} is none"))),
    };
    // Only the normal sound of a restart is explained by one; a disk error in a window is a disk error.
    Raw { excusable: volatile, ..raw.from(hit.reading) }
}
