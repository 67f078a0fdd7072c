//! What a check sees while it judges: the readings of one owner, its members, last night, and the thresholds that hold.

use super::raw::{Gap, Raw};
use super::{Night, Place};
use crate::catalogue::Check;
use crate::condition::{Condition, Limit, Operand};
use crate::finding::{Fired, Level, Shown, State, Subject};
use crate::history::float;
use crate::layers::{Layer, label};
use crate::memory::{Remembered, Track, reading_key};
use crate::object::{Object, Owner, Part, PartKind};
use crate::reading::{ClusterReadings, Datum, HostReadings, Outcome, Reading, Role};
use crate::unit::{Quantity, Unit};
use std::collections::BTreeMap;

/// The readings of one owner by key, those of one key in the order of their parts.
#[derive(Debug, Default)]
pub(crate) struct Shelf<'a> {
    pub(crate) host: Option<&'a HostReadings>,
    pub(crate) cluster: Option<&'a ClusterReadings>,
    readings: BTreeMap<&'a str, Vec<&'a Reading>>,
}

impl<'a> Shelf<'a> {
    fn of(readings: &'a [Reading]) -> Self {
        let mut shelf = Self::default();
        for reading in readings {
            shelf.readings.entry(&reading.key).or_default().push(reading);
        }
        for list in shelf.readings.values_mut() {
            // The latest of several readings of one thing counts, wherever it stands in the list.
            list.sort_by(|one, other| (&one.part, other.taken_at).cmp(&(&other.part, one.taken_at)));
            list.dedup_by(|later, kept| later.part == kept.part);
        }
        shelf
    }
}

/// Everything that was read, by owner.
pub(crate) struct Index<'a> {
    pub(crate) night: &'a Night<'a>,
    pub(crate) shelves: BTreeMap<Owner, Shelf<'a>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(night: &'a Night<'a>) -> Self {
        let mut shelves = BTreeMap::new();
        shelves.insert(Owner::Fleet, Shelf::of(&night.readings.readings));
        for host in &night.readings.hosts {
            let shelf = Shelf { host: Some(host), ..Shelf::of(&host.readings) };
            shelves.insert(Owner::Host(host.host.clone()), shelf);
        }
        for cluster in &night.readings.clusters {
            let shelf = Shelf { cluster: Some(cluster), ..Shelf::of(&cluster.readings) };
            shelves.insert(Owner::Cluster(cluster.cluster.clone()), shelf);
        }
        Self { night, shelves }
    }

    /// The layers that apply to an object.
    pub(crate) fn place(&self, object: &Object) -> Place {
        let mut layers = Vec::new();
        let Some(shelf) = self.shelves.get(&object.owner) else { return Place::new(layers) };
        if let Some(host) = shelf.host {
            layers.extend(host.clusters.iter().cloned().map(Layer::Cluster));
            layers.extend(host.roles.iter().copied().map(Layer::Role));
            layers.extend(host.labels.iter().map(|(key, value)| Layer::HostLabel(label(key, value))));
        }
        if let Some(cluster) = shelf.cluster {
            layers.push(Layer::Cluster(cluster.cluster.clone()));
            if let Some(part) = &object.part {
                layers.extend(labels_of(cluster, part));
            }
        }
        Place::new(layers)
    }
}

/// The labels of a topic, of the topic of a partition, or of a group.
fn labels_of(cluster: &ClusterReadings, part: &Part) -> Vec<Layer> {
    let topic = match part.kind {
        PartKind::Topic => Some(part.name.as_str()),
        PartKind::Partition => part.name.rsplit_once('-').map(|(topic, _)| topic),
        PartKind::Group => {
            let labels = cluster.group_labels.get(&part.name).into_iter().flatten();
            return labels.map(|(key, value)| Layer::GroupLabel(label(key, value))).collect();
        }
        PartKind::Volume
        | PartKind::Device
        | PartKind::Interface
        | PartKind::Process
        | PartKind::Unit
        | PartKind::File
        | PartKind::Port
        | PartKind::Endpoint
        | PartKind::Name
        | PartKind::Broker
        | PartKind::Signature
        | PartKind::Backup => None,
    };
    let labels = topic.and_then(|topic| cluster.topic_labels.get(topic)).into_iter().flatten();
    labels.map(|(key, value)| Layer::TopicLabel(label(key, value))).collect()
}

/// One check at one owner.
#[derive(Clone)]
pub(crate) struct Scene<'a> {
    pub(crate) index: &'a Index<'a>,
    pub(crate) check: &'a Check,
    pub(crate) owner: Owner,
}

/// What there is of a reading.
#[derive(Debug, Clone)]
pub(crate) enum Found<'a> {
    Read(&'a Reading, &'a Datum),
    Gap(Gap),
}

impl<'a> Scene<'a> {
    /// The same check at another owner.
    pub(crate) fn at(&self, owner: Owner) -> Self {
        Self { owner, ..self.clone() }
    }

    pub(crate) fn shelf(&self) -> Option<&'a Shelf<'a>> {
        self.index.shelves.get(&self.owner)
    }

    pub(crate) fn object(&self, part: Option<Part>) -> Object {
        Object::new(self.owner.clone(), part)
    }

    /// Every reading of a key, in the order of parts.
    pub(crate) fn all(&self, key: &str) -> &'a [&'a Reading] {
        self.shelf().and_then(|shelf| shelf.readings.get(key)).map_or(&[], Vec::as_slice)
    }

    /// A reading of a part, or, when there is none of the part, that of the owner as a whole.
    pub(crate) fn find(&self, key: &str, part: Option<&Part>) -> Found<'a> {
        let all = self.all(key);
        let of_part = all.iter().find(|reading| reading.part.as_ref() == part);
        let Some(reading) = of_part.or_else(|| all.iter().find(|reading| reading.part.is_none())) else {
            return Found::Gap(self.missing(key));
        };
        match &reading.outcome {
            Outcome::Read(datum) => Found::Read(reading, datum),
            Outcome::Unreadable { why } => Found::Gap(Gap::Unknown(format!("{key} could not be read: {why}"))),
            Outcome::NotHere { why } => Found::Gap(Gap::Skip(why.clone())),
        }
    }

    /// A service's readings are not expected of a host that does not run it.
    fn missing(&self, key: &str) -> Gap {
        let roles = self.shelf().and_then(|shelf| shelf.host).map(|host| &host.roles);
        let without = |wanted: &[Role]| roles.is_some_and(|roles| !wanted.iter().any(|role| roles.contains(role)));
        match key.split('.').next() {
            Some("kafka" | "logdir") if without(&[Role::KafkaBroker, Role::KraftController]) => {
                Gap::Skip("the host runs no Kafka".to_owned())
            }
            Some("zk") if without(&[Role::Zookeeper]) => Gap::Skip("the host runs no ZooKeeper".to_owned()),
            Some(_) | None => Gap::Unknown(format!("there is no reading of {key}")),
        }
    }

    /// A reading's value.
    pub(crate) fn datum(&self, key: &str, part: Option<&Part>) -> Result<&'a Datum, Gap> {
        match self.find(key, part) {
            Found::Read(_, datum) => Ok(datum),
            Found::Gap(gap) => Err(gap),
        }
    }

    fn wrong_kind(key: &str, datum: &Datum, wanted: &str) -> Gap {
        Gap::Unknown(format!("{key} is of the kind {:?}, {wanted} is wanted", datum.kind()))
    }

    /// A number.
    pub(crate) fn number(&self, key: &str, part: Option<&Part>) -> Result<f64, Gap> {
        match self.datum(key, part)? {
            Datum::Int(value) => Ok(float(*value)),
            Datum::Float(value) => Ok(*value),
            other => Err(Self::wrong_kind(key, other, "a number")),
        }
    }

    /// A text.
    pub(crate) fn text(&self, key: &str, part: Option<&Part>) -> Result<&'a str, Gap> {
        match self.datum(key, part)? {
            Datum::Text(value) => Ok(value),
            other => Err(Self::wrong_kind(key, other, "a text")),
        }
    }

    /// A list.
    pub(crate) fn list(&self, key: &str, part: Option<&Part>) -> Result<&'a [String], Gap> {
        match self.datum(key, part)? {
            Datum::List(value) => Ok(value),
            other => Err(Self::wrong_kind(key, other, "a list")),
        }
    }

    /// Names with texts.
    pub(crate) fn texts(&self, key: &str, part: Option<&Part>) -> Result<&'a BTreeMap<String, String>, Gap> {
        match self.datum(key, part)? {
            Datum::Texts(value) => Ok(value),
            other => Err(Self::wrong_kind(key, other, "names with texts")),
        }
    }

    /// Names with numbers.
    pub(crate) fn numbers(&self, key: &str, part: Option<&Part>) -> Result<&'a BTreeMap<String, i64>, Gap> {
        match self.datum(key, part)? {
            Datum::Numbers(value) => Ok(value),
            other => Err(Self::wrong_kind(key, other, "names with numbers")),
        }
    }

    /// A reading as the last inspection remembered it.
    pub(crate) fn remembered(&self, key: &str, object: &Object) -> Option<&'a Remembered> {
        self.index.night.last?.memory.readings.get(&reading_key(key, object))
    }

    /// How the subject stood over nights.
    pub(crate) fn track(&self, object: &Object) -> Option<&'a Track> {
        let subject = Subject { check: self.check.id.clone(), object: object.clone() };
        self.index.night.last?.memory.tracks.get(&subject.to_string())
    }

    /// A limit that holds for an object.
    pub(crate) fn limit(&self, name: &str, object: &Object) -> Option<(Limit, Layer)> {
        self.index.night.layers.resolve(self.check, name, &self.index.place(object))
    }

    /// A limit as a number in a unit; not a number when the catalogue has none of that name, which no comparison passes.
    pub(crate) fn setting(&self, name: &str, object: &Object, unit: Unit) -> f64 {
        let limit = self.limit(name, object).and_then(|(limit, _)| limit.number());
        limit.and_then(|quantity| quantity.to(unit).ok()).map_or(f64::NAN, |quantity| quantity.value)
    }

    /// A setting that is a list of words.
    pub(crate) fn words(&self, name: &str, object: &Object) -> Vec<String> {
        match self.limit(name, object) {
            Some((Limit::Words(words), _)) => words,
            Some((Limit::Number(_) | Limit::Flag(_), _)) | None => Vec::new(),
        }
    }

    /// The condition of a name with its level.
    fn condition(&self, name: &str) -> Option<(Level, &'a Condition)> {
        let crit = self.check.crit.iter().map(|condition| (Level::Crit, condition));
        crit.chain(self.check.warn.iter().map(|condition| (Level::Warn, condition))).find(|(_, one)| one.name == name)
    }

    /// Whether a number crosses the limit of a condition, entered or not yet left.
    pub(crate) fn crosses(
        &self,
        object: &Object,
        level: Level,
        condition: &Condition,
        value: Quantity,
    ) -> Result<Option<Crossed>, Gap> {
        let Operand::Limit(_) = &condition.against else { return Ok(None) };
        let Some((limit, layer)) = self.limit(&condition.name, object) else { return Ok(None) };
        let Some(bound) = limit.number() else { return Ok(None) };
        let value = value.to(bound.unit).map_err(|error| Gap::Unknown(error.to_string()))?;
        let fired =
            Fired { level, limit: Some(condition.name.clone()), condition: condition.text(Some(&limit)), layer };
        if condition.op.compare(value.value, bound.value) {
            return Ok(Some(Crossed { fired, held: false }));
        }
        let exit = condition.op.exit_limit(bound.value, crate::catalogue::EXIT_PERCENT);
        let held = self.track(object).is_some_and(|track| track.holds(level, &condition.name));
        Ok((held && condition.op.compare(value.value, exit)).then_some(Crossed { fired, held: true }))
    }

    /// Grades a number that a rule reckoned against the check's own conditions `crit` and `warn`.
    pub(crate) fn grade(&self, part: Option<Part>, value: Quantity) -> Raw {
        self.grade_by(part, &[("crit", value), ("warn", value)])
    }

    /// The same with a number of its own for each condition, the gravest first.
    pub(crate) fn grade_by(&self, part: Option<Part>, values: &[(&str, Quantity)]) -> Raw {
        let object = self.object(part);
        for (name, value) in values {
            let Some((level, condition)) = self.condition(name) else { continue };
            match self.crosses(&object, level, condition, *value) {
                Ok(Some(crossed)) => return Raw::fired(object, Shown::Number(*value), crossed),
                Ok(None) => {}
                Err(gap) => return Raw::gap(object, &gap),
            }
        }
        let shown = values.last().map(|(_, value)| Shown::Number(*value));
        Raw { shown, ..Raw::new(object, State::Ok) }
    }

    /// A verdict that no number has: the catalogue's words are its condition.
    pub(crate) fn verdict(&self, part: Option<Part>, level: Level, shown: Shown) -> Raw {
        let said = match level {
            Level::Warn => &self.check.said.0,
            Level::Crit => &self.check.said.1,
        };
        let fired = Fired { level, limit: None, condition: said.clone(), layer: Layer::BuiltIn };
        Raw::fired(self.object(part), shown, Crossed { fired, held: false })
    }

    /// It is well.
    pub(crate) fn ok(&self, part: Option<Part>) -> Raw {
        Raw::new(self.object(part), State::Ok)
    }

    /// It is not known, or does not apply.
    pub(crate) fn gap(&self, part: Option<Part>, gap: &Gap) -> Raw {
        Raw::gap(self.object(part), gap)
    }

    /// The hosts of this scene's cluster with a role, each with a scene of its own.
    pub(crate) fn members(&self, role: Role) -> Vec<(&'a HostReadings, Self)> {
        let cluster = self.owner.cluster();
        let hosts = self.index.shelves.values().filter_map(|shelf| shelf.host);
        let members = hosts
            .filter(|host| host.roles.contains(&role) && cluster.is_none_or(|cluster| host.clusters.contains(cluster)));
        members.map(|host| (host, self.at(Owner::Host(host.host.clone())))).collect()
    }
}

/// A limit that was crossed.
#[derive(Debug, Clone)]
pub(crate) struct Crossed {
    pub(crate) fired: Fired,
    /// The number is on the good side of it, and not yet far or long enough to leave.
    pub(crate) held: bool,
}

/// A plain count.
pub(crate) fn count(number: usize) -> Quantity {
    Quantity::new(float(i64::try_from(number).unwrap_or(i64::MAX)), Unit::Count)
}

/// A share in per cent; nothing of nothing is nothing.
pub(crate) fn percent(part: usize, whole: usize) -> Quantity {
    let share = if whole == 0 { 0.0 } else { 100.0 * count(part).value / count(whole).value };
    Quantity::new(share, Unit::Percent)
}
