//! Consumer groups: what their offsets over some minutes say, without fixed limits on lag.

use crate::finding::{Level, Shown};
use crate::history::float;
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::{Scene, count};
use crate::memory::Remembered;
use crate::object::{Object, Part, PartKind};
use crate::reading::{Datum, OffsetSample, Outcome};
use crate::unit::{Quantity, Unit};
use std::collections::BTreeMap;

/// The verdict on one partition, the mildest first (Burrow's consumer lag evaluation rules).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    /// It keeps up, or had caught up at least once.
    Fine,
    /// It commits, and the lag never falls.
    Warning,
    /// It committed an offset before one that it had committed.
    Rewind,
    /// It has members, and the committed offset does not move.
    Stalled,
    /// It has none, and the lag grows.
    Stopped,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Warning => "WARNING",
            Self::Rewind => "REWIND",
            Self::Stalled => "STALLED",
            Self::Stopped => "STOPPED",
        }
    }

    fn level(self) -> Option<Level> {
        match self {
            Self::Fine => None,
            Self::Warning | Self::Rewind => Some(Level::Warn),
            Self::Stalled | Self::Stopped => Some(Level::Crit),
        }
    }
}

/// Committed offset and lag of each sample; nothing when nothing was ever committed.
fn lags(samples: &[OffsetSample]) -> Vec<(i64, i64)> {
    samples.iter().filter_map(|sample| Some((sample.committed?, (sample.end - sample.committed?).max(0)))).collect()
}

/// Burrow judges by the times of commits, which its reader of `__consumer_offsets` knows. Here offsets are asked for, so
/// whether the group has members stands for whether it still commits.
fn evaluate(samples: &[OffsetSample], has_members: bool) -> Status {
    let lags = lags(samples);
    let (Some(first), Some(last)) = (lags.first(), lags.last()) else { return Status::Fine };
    let pairs = || lags.iter().zip(lags.iter().skip(1));
    if pairs().any(|(one, next)| next.0 < one.0) {
        return Status::Rewind;
    }
    // Rule 1 with its exception: once without lag in the window is well, unless nobody is left to read on.
    if lags.iter().any(|(_, lag)| *lag == 0) && (has_members || last.1 == 0) {
        return Status::Fine;
    }
    if first.0 == last.0 {
        return match (has_members, last.1 > first.1) {
            (true, _) => Status::Stalled,
            (false, true) => Status::Stopped,
            // Nobody reads and nobody writes: it was given up or waits, and loses nothing by it.
            (false, false) => Status::Fine,
        };
    }
    let never_falls = pairs().all(|(one, next)| next.1 >= one.1);
    if never_falls && last.1 > first.1 { Status::Warning } else { Status::Fine }
}

/// The offsets of each group, or its gap.
fn groups<'a>(scene: &Scene<'a>) -> Result<Vec<(&'a Part, Result<&'a BTreeMap<String, Vec<OffsetSample>>, Gap>)>, Gap> {
    let all = scene.all("group.offsets");
    let groups: Vec<_> = all
        .iter()
        .filter_map(|reading| {
            let part = reading.part.as_ref().filter(|part| part.kind == PartKind::Group)?;
            let offsets = match &reading.outcome {
                Outcome::Read(Datum::Offsets(offsets)) => Ok(offsets),
                Outcome::Read(other) => Err(Gap::Unknown(format!("group.offsets is of the kind {:?}", other.kind()))),
                Outcome::Unreadable { why } => Err(Gap::Unknown(format!("group.offsets could not be read: {why}"))),
                Outcome::NotHere { why } => Err(Gap::Skip(why.clone())),
            };
            Some((part, offsets))
        })
        .collect();
    if groups.is_empty() {
        scene.datum("group.offsets", None)?;
        return Err(Gap::Unknown("there is no reading of group.offsets".to_owned()));
    }
    Ok(groups)
}

/// Judges each group by itself.
fn per_group(
    scene: &Scene<'_>,
    judge: impl Fn(&Part, &BTreeMap<String, Vec<OffsetSample>>) -> Result<Raw, Gap>,
) -> Result<Ruled, Gap> {
    let raws = groups(scene)?.into_iter().map(|(part, offsets)| {
        offsets.and_then(|offsets| judge(part, offsets)).unwrap_or_else(|gap| scene.gap(Some(part.clone()), &gap))
    });
    Ok(raws.collect::<Vec<_>>().into())
}

/// The worst verdict of a group's partitions.
pub(super) fn lag_status(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    per_group(scene, |part, offsets| {
        let need = scene.setting("samples", &scene.object(Some(part.clone())), Unit::Count);
        let few = offsets.values().map(Vec::len).min().filter(|few| count(*few).value < need);
        if let Some(few) = few {
            return Err(Gap::Unknown(format!("{few} samples were taken, {need} are needed")));
        }
        let has_members = !matches!(scene.text("group.state", Some(part))?, "Empty" | "Dead");
        let mut worst = Status::Fine;
        let mut lines = Vec::new();
        for (partition, samples) in offsets {
            let status = evaluate(samples, has_members);
            worst = worst.max(status);
            if let (Some(_), Some((committed, lag))) = (status.level(), lags(samples).last()) {
                lines.push(format!("{partition}: {}, committed {committed}, lag {lag}", status.word()));
            }
        }
        let shown = Shown::Text(worst.word().to_owned());
        Ok(match worst.level() {
            Some(level) => scene.verdict(Some(part.clone()), level, shown).because(lines),
            None => Raw { shown: Some(shown), ..scene.ok(Some(part.clone())) },
        })
    })
}

/// The topic and number of `orders-3`.
fn topic_partition(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-')
}

/// Where the log of a partition starts.
fn start(scene: &Scene<'_>, partition: &str) -> Result<i64, Gap> {
    let (topic, number) =
        topic_partition(partition).ok_or_else(|| Gap::Unknown(format!("{partition:?} is no partition")))?;
    let starts = scene.numbers("topic.start_offsets", Some(&Part::new(PartKind::Topic, topic)))?;
    starts.get(number).copied().ok_or_else(|| Gap::Unknown(format!("the start of {partition} was not read")))
}

/// Records that were deleted before the group had read them.
pub(super) fn data_loss(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    per_group(scene, |part, offsets| {
        let (mut lines, mut gap) = (Vec::new(), None);
        for (partition, samples) in offsets {
            let Some(committed) = samples.last().and_then(|sample| sample.committed) else { continue };
            match start(scene, partition) {
                Ok(start) if committed < start => {
                    lines.push(format!("{partition}: committed {committed}, the log starts at {start}"));
                }
                Ok(_) => {}
                Err(why) => gap = Some(why),
            }
        }
        if !lines.is_empty() {
            return Ok(scene
                .verdict(Some(part.clone()), Level::Crit, Shown::Number(count(lines.len())))
                .because(lines));
        }
        gap.map_or_else(|| Ok(scene.ok(Some(part.clone()))), Err)
    })
}

/// Hours until retention reaches what a group has not read, at the pace of the log's start since the last inspection.
fn hours_left(scene: &Scene<'_>, partition: &str, sample: &OffsetSample) -> Result<Option<f64>, Gap> {
    let Some(committed) = sample.committed.filter(|committed| *committed < sample.end) else { return Ok(None) };
    let now = start(scene, partition)?;
    let Some((topic, number)) = topic_partition(partition) else { return Ok(None) };
    let object = Object::new(scene.owner.clone(), Some(Part::new(PartKind::Topic, topic)));
    let (before, at) = match scene.remembered("topic.start_offsets", &object) {
        Some(Remembered { datum: Datum::Numbers(before), at }) => (before.get(number).copied(), *at),
        Some(_) | None => (None, sample.at),
    };
    let Some(before) = before else {
        return Err(Gap::Skip("there is no earlier inspection to compare with".to_owned()));
    };
    let hours = sample.at.duration_since(at).as_secs_f64() / 3600.0;
    let moved = float(now - before);
    if hours <= 0.0 || moved <= 0.0 {
        return Ok(None);
    }
    Ok(Some(float((committed - now).max(0)) / (moved / hours)))
}

/// The partition of a group that loses unread records first.
pub(super) fn loss_eta(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    per_group(scene, |part, offsets| {
        let (mut least, mut gap): (Option<(f64, &String)>, _) = (None, None);
        for (partition, samples) in offsets {
            let Some(sample) = samples.last() else { continue };
            match hours_left(scene, partition, sample) {
                Ok(Some(hours)) if least.is_none_or(|(least, _)| hours < least) => least = Some((hours, partition)),
                Ok(_) => {}
                Err(why) => gap = Some(why),
            }
        }
        match (least, gap) {
            (Some((hours, partition)), _) => {
                let raw = scene.grade(Some(part.clone()), Quantity::new(hours, Unit::Hours));
                Ok(raw.because([format!("{partition} first")]))
            }
            (None, Some(gap)) => Err(gap),
            (None, None) => Ok(scene.ok(Some(part.clone()))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_judged_by_its_course_and_not_by_its_size() {
        type Case<'a> = (&'a str, &'a [(i64, i64)], bool, Status);
        let cases: &[Case<'_>] = &[
            ("keeps up", &[(10, 10), (20, 20), (30, 30)], true, Status::Fine),
            ("had caught up once", &[(10, 20), (20, 20), (20, 90)], true, Status::Fine),
            ("had caught up, and everybody left", &[(20, 20), (20, 50), (20, 90)], false, Status::Stopped),
            ("far behind and falling", &[(10, 1000), (500, 1100), (900, 1200)], true, Status::Fine),
            ("commits, and the lag grows", &[(10, 20), (20, 40), (30, 60)], true, Status::Warning),
            ("commits, and the lag stays", &[(10, 20), (20, 30), (30, 40)], true, Status::Fine),
            ("went back", &[(50, 100), (40, 100), (60, 100)], true, Status::Rewind),
            ("has members and does not move", &[(10, 20), (10, 20), (10, 20)], true, Status::Stalled),
            ("nobody reads, somebody writes", &[(10, 20), (10, 30), (10, 40)], false, Status::Stopped),
            ("nobody reads, nobody writes", &[(10, 20), (10, 20), (10, 20)], false, Status::Fine),
            ("no samples", &[], true, Status::Fine),
        ];
        for (name, offsets, has_members, wanted) in cases {
            let sample = |(committed, end): &(i64, i64)| OffsetSample {
                at: jiff::Timestamp::UNIX_EPOCH,
                committed: Some(*committed),
                end: *end,
            };
            let samples: Vec<OffsetSample> = offsets.iter().map(sample).collect();
            assert_eq!(evaluate(&samples, *has_members), *wanted, "{name}");
        }
    }
}
