//! Checks that are nothing but comparisons: the catalogue's conditions applied to readings.

use super::raw::{Gap, Raw};
use super::scene::{Crossed, Found, Scene};
use crate::condition::{As, Condition, Limit, Op, Operand, fits};
use crate::finding::{Fired, Level, Shown, State};
use crate::forecast::days;
use crate::history::float;
use crate::layers::Layer;
use crate::object::Part;
use crate::reading::{Counter, Datum, Outcome, Reading};
use crate::readings;
use crate::unit::{Quantity, Unit};
use std::collections::BTreeSet;

/// A reading made ready for its operator.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(Quantity),
    Samples(Vec<f64>, Unit),
    Text(String),
    Flag(bool),
    List(Vec<String>),
    Changed { from: String, to: String, changed: bool },
}

impl Value {
    fn shown(&self, op: Op) -> Shown {
        match self {
            Self::Number(number) => Shown::Number(*number),
            Self::Samples(samples, unit) => Shown::Number(Quantity::new(mildest(op, samples), *unit)),
            Self::Text(text) => Shown::Text(text.clone()),
            Self::Flag(flag) => Shown::Text(if *flag { "yes" } else { "no" }.to_owned()),
            Self::List(list) => Shown::List(list.clone()),
            Self::Changed { from, to, .. } => Shown::Text(format!("{from} -> {to}")),
        }
    }
}

/// Of several samples all must cross a limit, so the one that is nearest to being well decides.
fn mildest(op: Op, samples: &[f64]) -> f64 {
    let pick = if matches!(op, Op::Below | Op::AtMost) { f64::max } else { f64::min };
    samples.iter().copied().reduce(pick).unwrap_or(f64::NAN)
}

/// Judges every part of the scene's owner.
pub(crate) fn compare(scene: &Scene<'_>) -> Vec<Raw> {
    parts(scene).into_iter().map(|part| judge(scene, part)).collect()
}

/// The parts that the check's readings are about; the owner as a whole when there are none.
fn parts(scene: &Scene<'_>) -> Vec<Option<Part>> {
    let conditions = scene.check.warn.iter().chain(&scene.check.crit);
    let keys: BTreeSet<&str> = conditions.filter_map(|condition| condition.reading.as_deref()).collect();
    let patterns = &scene.check.parts;
    let wanted = |part: &Part| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, &part.to_string()));
    let (mut parts, mut whole) = (BTreeSet::new(), false);
    for reading in keys.iter().flat_map(|key| scene.all(key)) {
        match &reading.part {
            Some(part) if wanted(part) => {
                parts.insert(Some(part.clone()));
            }
            Some(_) => {}
            // That a thing exists nowhere on the host says nothing more where some of it was found.
            None => whole |= !matches!(reading.outcome, Outcome::NotHere { .. }),
        }
    }
    if whole || parts.is_empty() {
        parts.insert(None);
    }
    parts.into_iter().collect()
}

fn judge(scene: &Scene<'_>, part: Option<Part>) -> Raw {
    let crit = scene.check.crit.iter().map(|condition| (Level::Crit, condition));
    let conditions = crit.chain(scene.check.warn.iter().map(|condition| (Level::Warn, condition)));
    let (mut gaps, mut shown, mut main) = (Vec::new(), None, None);
    for (level, condition) in conditions {
        let key = condition.reading.as_deref().unwrap_or_default();
        let reading = match scene.find(key, part.as_ref()) {
            Found::Read(reading, _) => Some(reading),
            Found::Gap(_) => None,
        };
        match value(scene, part.as_ref(), condition).and_then(|value| {
            let crossed = crossed(scene, part.as_ref(), level, condition, &value)?;
            Ok((value.shown(condition.op), crossed))
        }) {
            Ok((shown, Some(crossed))) => {
                let raw = Raw::fired(scene.object(part), shown, crossed);
                return reading.map_or(raw.clone(), |reading| raw.from(reading));
            }
            Ok((value, None)) => {
                shown = shown.or(Some(value));
                main = main.or(reading);
            }
            Err(gap) => gaps.push(gap),
        }
    }
    let unknown = gaps.iter().find(|gap| matches!(gap, Gap::Unknown(_)));
    let skipped = if shown.is_none() { gaps.first() } else { None };
    if let Some(gap) = unknown.or(skipped) {
        return scene.gap(part, gap);
    }
    let raw = Raw { shown, ..Raw::new(scene.object(part), State::Ok) };
    main.map_or(raw.clone(), |reading| raw.from(reading))
}

/// What a condition looks at, made ready.
fn value(scene: &Scene<'_>, part: Option<&Part>, condition: &Condition) -> Result<Value, Gap> {
    let key = condition.reading.as_deref().unwrap_or_default();
    let (reading, datum) = match scene.find(key, part) {
        Found::Read(reading, datum) => (reading, datum),
        Found::Gap(gap) => return Err(gap),
    };
    if condition.op == Op::Changed {
        return changed(scene, key, reading, datum);
    }
    if let Some(whole) = &condition.share_of {
        return share(scene, part, condition, (reading, datum), whole);
    }
    match condition.made {
        None => plain(key, condition, datum),
        Some(As::Count) => Ok(Value::Number(super::scene::count(list(key, datum)?.len()))),
        Some(As::Magnitude) => Ok(Value::Number(Quantity::new(number(key, datum)?.abs(), unit(key)))),
        Some(As::Growth) => {
            let growth = growth(scene, key, reading, counter(key, datum)?)?;
            Ok(Value::Number(Quantity::new(float(growth.by), unit(key))))
        }
        Some(As::Busy) => {
            let growth = growth_or_whole(scene, key, reading, counter(key, datum)?)?;
            if growth.over_ms <= 0.0 {
                return Err(Gap::Skip("no time has passed since the last inspection".to_owned()));
            }
            Ok(Value::Number(Quantity::new(100.0 * float(growth.by) / growth.over_ms, Unit::Percent)))
        }
        Some(As::Added) => added(scene, key, reading, list(key, datum)?),
        Some(As::Age) => Ok(Value::Number(moment(scene, key, datum, -1.0)?)),
        Some(As::Left) => Ok(Value::Number(moment(scene, key, datum, 1.0)?)),
    }
}

fn unit(key: &str) -> Unit {
    readings::find(key).map_or(Unit::Count, |key| key.unit)
}

fn wrong(key: &str, datum: &Datum) -> Gap {
    Gap::Unknown(format!("{key} is of the kind {:?}, which can not be compared so", datum.kind()))
}

fn list<'a>(key: &str, datum: &'a Datum) -> Result<&'a [String], Gap> {
    if let Datum::List(list) = datum { Ok(list) } else { Err(wrong(key, datum)) }
}

fn counter<'a>(key: &str, datum: &'a Datum) -> Result<&'a Counter, Gap> {
    if let Datum::Counter(counter) = datum { Ok(counter) } else { Err(wrong(key, datum)) }
}

fn number(key: &str, datum: &Datum) -> Result<f64, Gap> {
    match datum {
        Datum::Int(value) => Ok(float(*value)),
        Datum::Float(value) if value.is_finite() => Ok(*value),
        other => Err(wrong(key, other)),
    }
}

/// A moment as the time to it, or since it when turned round.
fn moment(scene: &Scene<'_>, key: &str, datum: &Datum, sign: f64) -> Result<Quantity, Gap> {
    let Datum::Time(moment) = datum else { return Err(wrong(key, datum)) };
    let left = days(moment.duration_since(scene.index.night.now));
    Ok(Quantity::new(sign * left, Unit::Days))
}

fn plain(key: &str, condition: &Condition, datum: &Datum) -> Result<Value, Gap> {
    match datum {
        Datum::Flag(flag) => Ok(Value::Flag(*flag)),
        Datum::Int(_) | Datum::Float(_) => Ok(Value::Number(Quantity::new(number(key, datum)?, unit(key)))),
        Datum::Text(text) => Ok(Value::Text(text.clone())),
        Datum::List(list) => Ok(Value::List(list.clone())),
        Datum::Samples(samples) if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) => {
            Err(Gap::Unknown(format!("{key} has no samples")))
        }
        Datum::Samples(samples) => Ok(Value::Samples(samples.clone(), unit(key))),
        Datum::Texts(texts) => entry(key, condition, texts),
        Datum::Time(_) | Datum::Counter(_) | Datum::Numbers(_) | Datum::Offsets(_) => Err(wrong(key, datum)),
    }
}

/// One entry of names with texts; a number where the operator compares numbers.
fn entry(key: &str, condition: &Condition, texts: &std::collections::BTreeMap<String, String>) -> Result<Value, Gap> {
    let name = condition.entry.as_deref().unwrap_or_default();
    let Some(text) = texts.get(name).or(condition.default.as_ref()) else {
        return Err(Gap::Unknown(format!("{key} has no entry {name}")));
    };
    if !condition.op.is_numeric() {
        return Ok(Value::Text(text.clone()));
    }
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.ok_or_else(|| Gap::Unknown(format!("{name} is {text:?}, which is no number")))?;
    Ok(Value::Number(Quantity::new(number, Unit::Count)))
}

/// How far a counter came.
struct Growth {
    by: i64,
    over_ms: f64,
}

/// Since the last inspection; since its reset when it was reset in between.
fn growth(scene: &Scene<'_>, key: &str, reading: &Reading, now: &Counter) -> Result<Growth, Gap> {
    let object = scene.object(reading.part.clone());
    let none = || Gap::Skip("there is no earlier inspection to compare with".to_owned());
    let last = scene.remembered(key, &object).ok_or_else(none)?;
    let Datum::Counter(before) = &last.datum else { return Err(none()) };
    if before.epoch == now.epoch && now.value >= before.value {
        let over_ms = days(reading.taken_at.duration_since(last.at)) * 86_400_000.0;
        return Ok(Growth { by: now.value.saturating_sub(before.value), over_ms });
    }
    let since = now.since.unwrap_or(last.at).max(last.at);
    Ok(Growth { by: now.value, over_ms: days(reading.taken_at.duration_since(since)) * 86_400_000.0 })
}

/// The same; without an earlier inspection since the counter's beginning. For shares only: a number of things since a
/// boot long ago says nothing of tonight.
fn growth_or_whole(scene: &Scene<'_>, key: &str, reading: &Reading, now: &Counter) -> Result<Growth, Gap> {
    growth(scene, key, reading, now).or_else(|gap| {
        let since = now.since.ok_or(gap)?;
        Ok(Growth { by: now.value, over_ms: days(reading.taken_at.duration_since(since)) * 86_400_000.0 })
    })
}

fn share(
    scene: &Scene<'_>,
    part: Option<&Part>,
    condition: &Condition,
    (reading, datum): (&Reading, &Datum),
    whole: &str,
) -> Result<Value, Gap> {
    let key = condition.reading.as_deref().unwrap_or_default();
    let (whole_reading, whole_datum) = match scene.find(whole, part) {
        Found::Read(reading, datum) => (reading, datum),
        Found::Gap(gap) => return Err(gap),
    };
    let (one, all) = if condition.made == Some(As::Growth) {
        let one = growth_or_whole(scene, key, reading, counter(key, datum)?)?;
        let all = growth_or_whole(scene, whole, whole_reading, counter(whole, whole_datum)?)?;
        (float(one.by), float(all.by))
    } else {
        (number(key, datum)?, number(whole, whole_datum)?)
    };
    if all < condition.least || all <= 0.0 {
        return Err(Gap::Skip(format!("{all} is too little to take a share of")));
    }
    Ok(Value::Number(Quantity::new(100.0 * one / all, Unit::Percent)))
}

fn added(scene: &Scene<'_>, key: &str, reading: &Reading, now: &[String]) -> Result<Value, Gap> {
    let object = scene.object(reading.part.clone());
    let before: BTreeSet<&String> = match scene.remembered(key, &object).map(|last| &last.datum) {
        Some(Datum::List(before)) => before.iter().collect(),
        // All of it is new to the first inspection.
        Some(_) | None => BTreeSet::new(),
    };
    Ok(Value::List(now.iter().filter(|item| !before.contains(item)).cloned().collect()))
}

fn changed(scene: &Scene<'_>, key: &str, reading: &Reading, now: &Datum) -> Result<Value, Gap> {
    let object = scene.object(reading.part.clone());
    let Some(last) = scene.remembered(key, &object) else {
        return Err(Gap::Skip("there is no earlier inspection to compare with".to_owned()));
    };
    let text = |datum: &Datum| match datum {
        Datum::Text(text) => text.clone(),
        other => format!("{other:?}"),
    };
    Ok(Value::Changed { from: text(&last.datum), to: text(now), changed: last.datum != *now })
}

/// Whether a value fires a condition.
fn crossed(
    scene: &Scene<'_>,
    part: Option<&Part>,
    level: Level,
    condition: &Condition,
    value: &Value,
) -> Result<Option<Crossed>, Gap> {
    let object = scene.object(part.cloned());
    if condition.op.is_numeric() {
        let number = match value {
            Value::Number(number) => *number,
            Value::Samples(samples, unit) => Quantity::new(mildest(condition.op, samples), *unit),
            Value::Text(_) | Value::Flag(_) | Value::List(_) | Value::Changed { .. } => {
                return Err(Gap::Unknown("a number is wanted to compare".to_owned()));
            }
        };
        if let Operand::Reading { key, factor } = &condition.against {
            let bound = scene.number(key, part)? * factor;
            let fired = fired(scene, &object, level, condition, None);
            return Ok(condition.op.compare(number.value, bound).then_some(Crossed { fired, held: false }));
        }
        return scene.crosses(&object, level, condition, number);
    }
    let limit = scene.limit(&condition.name, &object);
    let hit = match &condition.against {
        Operand::Nothing => alone(condition.op, value),
        Operand::Reading { key, .. } => {
            let same = plain(key, condition, scene.datum(key, part)?)? == *value;
            same == (condition.op == Op::Is)
        }
        Operand::Limit(built_in) => {
            let limit = limit.as_ref().map_or(built_in, |(limit, _)| limit);
            against(condition.op, value, limit)?
        }
    };
    Ok(hit.then(|| Crossed { fired: fired(scene, &object, level, condition, limit), held: false }))
}

fn fired(
    scene: &Scene<'_>,
    object: &crate::object::Object,
    level: Level,
    condition: &Condition,
    limit: Option<(Limit, Layer)>,
) -> Fired {
    let (limit, layer) = limit.or_else(|| scene.limit(&condition.name, object)).unzip();
    Fired {
        level,
        limit: limit.as_ref().map(|_| condition.name.clone()),
        condition: condition.text(limit.as_ref()),
        layer: layer.unwrap_or(Layer::BuiltIn),
    }
}

fn alone(op: Op, value: &Value) -> bool {
    match (op, value) {
        (Op::NotEmpty, Value::List(list)) => !list.is_empty(),
        (Op::Changed, Value::Changed { changed, .. }) => *changed,
        (_, _) => false,
    }
}

fn against(op: Op, value: &Value, limit: &Limit) -> Result<bool, Gap> {
    let is = match (value, limit) {
        (Value::Text(text), Limit::Words(words)) => words.iter().any(|word| fits(word, text)),
        (Value::Flag(flag), Limit::Flag(wanted)) => flag == wanted,
        (Value::Number(number), Limit::Number(wanted)) => {
            wanted.to(number.unit).is_ok_and(|wanted| (wanted.value - number.value).abs() < f64::EPSILON)
        }
        (Value::List(list), Limit::Words(words)) => list.iter().any(|item| words.iter().any(|word| fits(word, item))),
        (_, _) => return Err(Gap::Unknown(format!("{} can not be compared with {limit}", value.shown(op)))),
    };
    Ok(match op {
        Op::Is | Op::Holds => is,
        Op::IsNot | Op::Lacks => !is,
        Op::Above | Op::AtLeast | Op::Below | Op::AtMost | Op::NotEmpty | Op::Changed => false,
    })
}
