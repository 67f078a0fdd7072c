//! The document put in the order in which people read it. The forms for people share this, so they agree.

use super::{Night, Pages};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::finding::{Change, Forecast, WaiverNotice};
use kfleet_inspect::{Bilingual, CATALOGUE, CheckId, Finding, Inspection, Object, Owner, State, Subject};
use kfleet_model::HostName;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};

/// Findings of one check, each with what it explains.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// The first of its findings, for the texts that all of a check share.
    pub(super) lead: &'a Finding,
    /// The worst state in it.
    pub(super) state: State,
    /// Its findings, the worst first.
    pub(super) rows: Vec<Row<'a>>,
}

impl Group<'_> {
    /// How many findings it holds, those that are explained included.
    pub(super) fn size(&self) -> usize {
        self.rows.iter().map(|row| 1 + row.followers.len()).sum()
    }
}

/// A finding and those that it explains.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) finding: &'a Finding,
    pub(super) followers: Vec<&'a Finding>,
}

/// Where a finding is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Among what counts.
    Counts,
    /// Among what is worth knowing.
    Info,
    /// Among what a person or a window accounts for.
    Accepted,
}

/// The place of a state.
pub(super) fn place(state: State) -> Place {
    match state {
        State::Crit | State::Warn | State::Unknown => Place::Counts,
        State::Ok | State::Skip | State::Info => Place::Info,
        State::Waived | State::Expected => Place::Accepted,
    }
}

/// The findings of a place, folded under their causes and grouped by check: the worst group first, then the largest.
pub(super) fn groups<'a>(inspection: &'a Inspection, wanted: Place) -> Vec<Group<'a>> {
    let by_subject: HashMap<Subject, &Finding> =
        inspection.findings.iter().map(|finding| (finding.subject(), finding)).collect();
    let mut followers: HashMap<Subject, Vec<&'a Finding>> = HashMap::new();
    let mut roots: Vec<&'a Finding> = Vec::new();
    for finding in inspection.findings.iter().filter(|finding| place(finding.state) == wanted) {
        match root(finding, &by_subject) {
            Some(root) => followers.entry(root.subject()).or_default().push(finding),
            None => roots.push(finding),
        }
    }
    let mut groups: BTreeMap<&CheckId, Group<'a>> = BTreeMap::new();
    for finding in roots {
        let row = Row { finding, followers: followers.remove(&finding.subject()).unwrap_or_default() };
        let group = groups.entry(&finding.check).or_insert_with(|| Group {
            lead: finding,
            state: finding.state,
            rows: Vec::new(),
        });
        group.state = group.state.max(finding.state);
        group.rows.push(row);
    }
    let mut groups: Vec<Group<'a>> = groups.into_values().collect();
    for group in &mut groups {
        group.rows.sort_by_cached_key(|row| (Reverse(row.finding.state), natural(&row.finding.object.to_string())));
    }
    groups.sort_by(|a, b| {
        let by_check = || a.lead.check.cmp(&b.lead.check);
        b.state.cmp(&a.state).then_with(|| b.size().cmp(&a.size())).then_with(by_check)
    });
    groups
}

/// The finding at the end of the chain of causes; none when it is one itself. A cause that is listed elsewhere, or that
/// leads in a circle, folds nothing away: what counts stays in sight.
fn root<'a>(finding: &'a Finding, all: &HashMap<Subject, &'a Finding>) -> Option<&'a Finding> {
    let mut last = None;
    let mut next = finding.cause.as_ref();
    for _ in 0..all.len() {
        let Some(cause) = next.and_then(|cause| all.get(cause)) else { return last };
        if place(cause.state) != place(finding.state) {
            return last;
        }
        last = Some(*cause);
        next = cause.cause.as_ref();
    }
    None
}

/// What changed of one check since the last inspection.
#[derive(Debug)]
pub(super) struct Changed<'a> {
    /// How it stands now, or stood when it is no more.
    pub(super) state: State,
    pub(super) change: Change,
    pub(super) check: &'a CheckId,
    pub(super) title: &'a Bilingual,
    pub(super) objects: Vec<&'a Object>,
}

/// What changed, by kind in the order of worry: new and worse first. What is as it was is not listed.
pub(super) fn changed(inspection: &Inspection) -> Vec<Changed<'_>> {
    let mut all: BTreeMap<(usize, Reverse<State>, &CheckId), Changed<'_>> = BTreeMap::new();
    let now = inspection.findings.iter().map(|f| (f.change, f.state, &f.check, &f.title, &f.object));
    let gone = inspection.cleared.iter().map(|c| (c.change, c.was, &c.check, &c.title, &c.object));
    for (change, state, check, title, object) in now.chain(gone) {
        let Some(order) = worry(change) else { continue };
        let entry = all.entry((order, Reverse(state), check));
        entry.or_insert_with(|| Changed { state, change, check, title, objects: Vec::new() }).objects.push(object);
    }
    all.into_values().collect()
}

fn worry(change: Change) -> Option<usize> {
    match change {
        Change::New => Some(0),
        Change::Worse => Some(1),
        Change::Better => Some(2),
        Change::Fixed => Some(3),
        Change::Gone => Some(4),
        Change::Unseen => Some(5),
        Change::Unchanged => None,
    }
}

/// How soon something must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Before the next inspection.
    Tonight,
    /// Within seven days.
    Week,
    /// Within thirty days.
    Month,
    /// Later.
    Later,
}

impl Due {
    pub(super) const ALL: [Self; 4] = [Self::Tonight, Self::Week, Self::Month, Self::Later];

    fn of(at: Timestamp, now: Timestamp) -> Self {
        let left = at.duration_since(now);
        let within = |days: i64| left < SignedDuration::from_hours(24 * days);
        match () {
            () if within(1) => Self::Tonight,
            () if within(7) => Self::Week,
            () if within(30) => Self::Month,
            () => Self::Later,
        }
    }
}

/// Something with a date.
#[derive(Debug)]
pub(super) enum Deadline<'a> {
    /// A reading reaches its limit.
    Forecast(&'a Forecast),
    /// A waiver ends, has ended or is of no use.
    Waiver(&'a WaiverNotice),
}

/// Everything with a date, the soonest first. A forecast is due by its earliest moment: who acts by the likely one is
/// late every other time.
pub(super) fn deadlines(inspection: &Inspection) -> Vec<(Due, Deadline<'_>)> {
    let forecasts = inspection.forecasts.iter().map(|forecast| (forecast.earliest, Deadline::Forecast(forecast)));
    let waivers = inspection.waivers.iter().map(|waiver| (waiver.expires, Deadline::Waiver(waiver)));
    let mut all: Vec<(Timestamp, Deadline<'_>)> = forecasts.chain(waivers).collect();
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(at, what)| (Due::of(at, inspection.run.judged_at), what)).collect()
}

/// The map of hosts and areas.
#[derive(Debug)]
pub(super) struct Heat {
    /// Prefixes of the areas that were looked at, in the catalogue's order.
    pub(super) areas: Vec<(String, Bilingual)>,
    /// The owners with something that counts, the worst first.
    pub(super) rows: Vec<HeatRow>,
    /// Owners with nothing that counts.
    pub(super) well: Vec<String>,
}

/// One line of the map.
#[derive(Debug)]
pub(super) struct HeatRow {
    pub(super) name: String,
    /// Why the host gave nothing.
    pub(super) missing: Option<String>,
    /// One an area: the worst state and how many findings have it; none where nothing was looked at.
    pub(super) cells: Vec<Option<(State, u32)>>,
}

/// Makes the map.
pub(super) fn heat(inspection: &Inspection) -> Heat {
    let mut cells: BTreeMap<Owner, BTreeMap<&str, (State, u32)>> = BTreeMap::new();
    for host in inspection.run.cost_by_host.keys().chain(inspection.coverage.missing.keys()) {
        cells.entry(Owner::Host(host.clone())).or_default();
    }
    let found = inspection.findings.iter().map(|f| (&f.object.owner, f.check.area(), f.state));
    let passed = inspection
        .passed
        .iter()
        .flat_map(|(check, objects)| objects.iter().map(move |object| (&object.owner, check.area(), State::Ok)));
    let skipped = inspection.skipped.iter().flat_map(|(check, objects)| {
        objects.iter().map(move |skipped| (&skipped.object.owner, check.area(), State::Skip))
    });
    for (owner, area, state) in found.chain(passed).chain(skipped) {
        let cell = cells.entry(owner.clone()).or_default().entry(area).or_insert((state, 0));
        match state.cmp(&cell.0) {
            Ordering::Greater => *cell = (state, 1),
            Ordering::Equal => cell.1 += 1,
            Ordering::Less => {}
        }
    }
    let seen = |prefix: &str| cells.values().any(|row| row.contains_key(prefix));
    let areas: Vec<(String, Bilingual)> = CATALOGUE
        .areas
        .iter()
        .filter(|area| seen(&area.prefix))
        .map(|area| (area.prefix.clone(), area.title.clone()))
        .collect();
    let missing = |host: Option<&HostName>| host.and_then(|host| inspection.coverage.missing.get(host)).cloned();
    let all = cells.into_iter().map(|(owner, row)| HeatRow {
        name: owner_name(&owner),
        missing: missing(owner.host()),
        cells: areas.iter().map(|(prefix, _)| row.get(prefix.as_str()).copied()).collect(),
    });
    let (mut rows, well): (Vec<HeatRow>, Vec<HeatRow>) =
        all.partition(|row| row.missing.is_some() || row.weight() > (0, 0, 0));
    rows.sort_by_cached_key(|row| (Reverse(row.missing.is_some()), Reverse(row.weight()), natural(&row.name)));
    let mut well: Vec<String> = well.into_iter().map(|row| row.name).collect();
    well.sort_by_cached_key(|name| natural(name));
    Heat { areas, rows, well }
}

impl HeatRow {
    /// How many findings of its cells are crit, warn and unknown.
    fn weight(&self) -> (u32, u32, u32) {
        let of =
            |wanted: State| self.cells.iter().flatten().filter(|(state, _)| *state == wanted).map(|(_, n)| n).sum();
        (of(State::Crit), of(State::Warn), of(State::Unknown))
    }
}

/// `kafka-1`, `orders (cluster)`, `fleet`.
pub(super) fn owner_name(owner: &Owner) -> String {
    match owner {
        Owner::Fleet => "fleet".to_owned(),
        Owner::Host(host) => host.to_string(),
        Owner::Cluster(cluster) => cluster.to_string(),
    }
}

/// What to sort names by so that they stand as people count: `kafka-2` before `kafka-10`.
fn natural(text: &str) -> (Vec<(u128, String)>, String) {
    let mut parts: Vec<(u128, String)> = Vec::new();
    for c in text.chars() {
        match (c.to_digit(10), parts.last_mut()) {
            (Some(digit), Some((number, _))) if *number > 0 => {
                *number = number.saturating_mul(10).saturating_add(digit.into());
            }
            // A number is kept one higher, so that 0 is told from a word.
            (Some(digit), _) => parts.push((u128::from(digit) + 1, String::new())),
            (None, Some((0, word))) => word.push(c),
            (None, _) => parts.push((0, c.to_string())),
        }
    }
    (parts, text.to_owned())
}

/// The title of an area.
pub(super) fn area_title(prefix: &str) -> Bilingual {
    let known = CATALOGUE.areas.iter().find(|area| area.prefix == prefix).map(|area| area.title.clone());
    known.unwrap_or_else(|| Bilingual { en: prefix.to_owned(), zh: prefix.to_owned() })
}

/// The nights of what a finding is about: the first reading of its check that the history has.
pub(super) fn nights<'a>(pages: &Pages<'a>, finding: &Finding) -> Option<(&'a [Night], kfleet_inspect::Unit)> {
    let check = CATALOGUE.get(finding.check.as_str())?;
    let series = check.readings.iter().find_map(|key| pages.trends.of(key, &finding.object))?;
    Some((&series.nights, series.unit))
}

#[cfg(test)]
mod tests;
