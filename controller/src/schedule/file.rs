//! `schedule.yml`: what runs when. Every mistake is told, with the schedule's name and the nearest known word.

use super::calendar::{self, Calendar};
use super::rules::Schedule;
use jiff::{SignedDuration, Timestamp};
use kfleet_model::module::nearest;
use kfleet_model::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Its name in the fleet directory.
pub const FILE: &str = "schedule.yml";

/// Keys of the document, of a schedule, of its inspection, of a report.
const TOP: &[&str] = &["schedules"];
const SCHEDULE: &[&str] = &["name", "cron", "zone", "jitter_s", "catch_up_h", "deadline_s", "inspect"];
const INSPECT: &[&str] = &["pattern", "sample_s", "reports", "language", "notify"];
const REPORT: &[&str] = &["format", "path"];

/// What a report's path may hold: the night's date, the schedule's name.
const MARKS: &[&str] = &["date", "name"];

/// Up to six hours: more is another night. Chosen.
const JITTER_S: RangeInclusive<i64> = 0..=21_600;
/// A week: what is older is told as missed, and the next night is near. Chosen.
const CATCH_UP_H: RangeInclusive<i64> = 0..=168;
/// Half a day by default: a controller that was down at night catches up in the morning.
const CATCH_UP_DEFAULT_H: i64 = 12;
/// A minute is less than an inspection takes; more than a day would overlap every nightly one.
const DEADLINE_S: RangeInclusive<i64> = 60..=86_400;
const DEADLINE_DEFAULT_S: i64 = 3_600;
/// As of `kfleet inspect --sample-s`.
const SAMPLE_S: RangeInclusive<i64> = 2..=600;
const SAMPLE_DEFAULT_S: i64 = 20;

/// The longest name of a schedule.
const NAME_LENGTH: usize = 64;

/// A mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `schedule nightly: inspect`.
    pub place: String,
    /// What.
    pub text: String,
    /// The nearest known word.
    pub nearest: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)?;
        match &self.nearest {
            Some(word) => write!(f, ", did you mean '{word}'?"),
            None => Ok(()),
        }
    }
}

/// The language of a schedule's reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese.
    Chinese,
}

/// Whether the result is told through the channels of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notices {
    /// It is.
    Sent,
    /// It is stored and reported only.
    Kept,
}

/// A report to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its form.
    pub format: String,
    /// Where to, from the fleet directory, with marks.
    path: String,
}

impl Report {
    /// Where it goes for an occurrence of a schedule.
    #[must_use]
    pub fn path(&self, schedule: &Schedule, occurrence: Timestamp) -> PathBuf {
        let date = schedule.calendar.zone().to_datetime(occurrence).date().to_string();
        PathBuf::from(self.path.replace("{date}", &date).replace("{name}", &schedule.name))
    }
}

/// The inspection that a schedule makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspect {
    /// Of which hosts.
    pub pattern: String,
    /// How long hosts watch what moves.
    pub sample: SignedDuration,
    /// What is written of it.
    pub reports: Vec<Report>,
    /// In which language.
    pub language: Language,
    /// Who hears of it.
    pub notices: Notices,
}

/// A schedule and what it does.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub schedule: Schedule,
    /// What.
    pub inspect: Inspect,
    /// The zone's name, as it was written.
    pub zone: String,
}

impl Entry {
    /// What its occurrences depend on. When this changes, what was due before was not promised by it.
    #[must_use]
    pub fn rule(&self) -> String {
        format!("{} {}", self.schedule.calendar.text(), self.zone)
    }

    /// A moment in its zone, for people.
    #[must_use]
    pub fn local(&self, moment: Timestamp) -> String {
        moment.to_zoned(self.schedule.calendar.zone().clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

/// Reads the document of a fleet; `formats` are the forms that reports can have.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(fleet: &str, document: &Map, formats: &[&str]) -> Result<Vec<Entry>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut top = Fields::new(FILE.to_owned(), document, TOP, &mut faults);
    let list = top.list("schedules");
    let mut names = BTreeSet::new();
    let mut entries = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let name = value.get("name").and_then(Value::as_str);
        let place = name.map_or_else(|| format!("schedule {}", n + 1), |name| format!("schedule {name}"));
        let Value::Object(map) = value else {
            faults.push(Fault { place, text: "it is no mapping".to_owned(), nearest: None });
            continue;
        };
        let entry = entry(fleet, place.clone(), map, formats, &mut faults);
        if name.is_some_and(|name| !names.insert(name.to_owned())) {
            faults.push(Fault { place, text: "there is another of that name".to_owned(), nearest: None });
        }
        entries.extend(entry);
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

fn entry(fleet: &str, place: String, map: &Map, formats: &[&str], faults: &mut Vec<Fault>) -> Option<Entry> {
    let mut fields = Fields::new(place.clone(), map, SCHEDULE, faults);
    let name = fields.text("name", None)?;
    // It is a part of file names and of commands.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(plain) || name.starts_with(['-', '.']) || name.len() > NAME_LENGTH {
        fields.fault(format!("name may have letters, digits, '-', '_' and '.', at most {NAME_LENGTH}"), None);
    }
    let cron = fields.text("cron", None);
    let zone_name = fields.text("zone", None);
    let seconds = |n: i64| SignedDuration::from_secs(n);
    let jitter = fields.whole("jitter_s", 0, &JITTER_S);
    let catch_up = fields.whole("catch_up_h", CATCH_UP_DEFAULT_H, &CATCH_UP_H);
    let deadline = fields.whole("deadline_s", DEADLINE_DEFAULT_S, &DEADLINE_S);
    let zone = zone_name.as_deref().and_then(|name| fields.heard(calendar::zone(name)));
    let calendar = match (cron, zone) {
        (Some(cron), Some(zone)) => fields.heard(Calendar::new(&cron, zone)),
        (Some(cron), None) => {
            // The zone is told; the expression's own mistakes are told with it.
            fields.heard(Calendar::new(&cron, jiff::tz::TimeZone::UTC));
            None
        }
        (None, Some(_) | None) => None,
    };
    let empty = Map::new();
    let inspect = match map.get("inspect") {
        None | Some(Value::Null) => Some(&empty),
        Some(Value::Object(map)) => Some(map),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            fields.fault("inspect is no mapping".to_owned(), None);
            None
        }
    };
    let inspect = inspect.map(|map| read_inspect(format!("{place}: inspect"), map, formats, deadline, faults))?;
    let schedule = Schedule {
        fleet: fleet.to_owned(),
        name,
        calendar: calendar?,
        jitter: seconds(jitter),
        catch_up: SignedDuration::from_hours(catch_up),
        deadline: seconds(deadline),
    };
    Some(Entry { schedule, inspect, zone: zone_name? })
}

fn read_inspect(place: String, map: &Map, formats: &[&str], deadline_s: i64, faults: &mut Vec<Fault>) -> Inspect {
    let mut fields = Fields::new(place.clone(), map, INSPECT, faults);
    let pattern = fields.text("pattern", Some("all")).unwrap_or_default();
    let sample = fields.whole("sample_s", SAMPLE_DEFAULT_S, &SAMPLE_S);
    if sample > deadline_s / 2 {
        fields.fault(format!("sample_s {sample} is more than half of the deadline_s {deadline_s}"), None);
    }
    let language = match fields.text("language", Some("en")).as_deref() {
        Some("zh") => Language::Chinese,
        Some("en") | None => Language::English,
        Some(other) => {
            fields.fault(format!("language '{other}' is neither en nor zh"), None);
            Language::English
        }
    };
    let notices = if fields.flag("notify") { Notices::Sent } else { Notices::Kept };
    let list = fields.list("reports");
    let mut paths = BTreeSet::new();
    let mut reports = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let place = format!("{place}: report {}", n + 1);
        let Value::Object(map) = value else {
            faults.push(Fault { place, text: "it is no mapping".to_owned(), nearest: None });
            continue;
        };
        let Some(report) = read_report(place.clone(), map, formats, faults) else { continue };
        if !paths.insert(report.path.clone()) {
            let text = format!("path {} is that of another report", report.path);
            faults.push(Fault { place, text, nearest: None });
        }
        reports.push(report);
    }
    Inspect { pattern, sample: SignedDuration::from_secs(sample), reports, language, notices }
}

fn read_report(place: String, map: &Map, formats: &[&str], faults: &mut Vec<Fault>) -> Option<Report> {
    let mut fields = Fields::new(place, map, REPORT, faults);
    let (format, path) = (fields.text("format", None), fields.text("path", None));
    if let Some(format) = format.as_deref().filter(|format| !formats.contains(format)) {
        let text = format!("format '{format}' is none of {}", formats.join(", "));
        fields.fault(text, nearest(format, formats.iter().copied()));
    }
    let path = path?;
    for mark in marks(&path).filter(|mark| !MARKS.contains(mark)) {
        fields.fault(format!("path has '{{{mark}}}'"), nearest(mark, MARKS.iter().copied()));
    }
    Some(Report { format: format?, path })
}

/// What stands in braces.
fn marks(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(mark, _)| mark))
}

/// The values of a mapping, with what is wrong about them.
struct Fields<'m, 'f> {
    place: String,
    map: &'m Map,
    faults: &'f mut Vec<Fault>,
}

impl<'m, 'f> Fields<'m, 'f> {
    fn new(place: String, map: &'m Map, known: &[&str], faults: &'f mut Vec<Fault>) -> Self {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let text = format!("unknown key '{key}'");
            faults.push(Fault { place: place.clone(), text, nearest: nearest(key, known.iter().copied()) });
        }
        Self { place, map, faults }
    }

    fn fault(&mut self, text: String, nearest: Option<String>) {
        self.faults.push(Fault { place: self.place.clone(), text, nearest });
    }

    /// The value, or its error as a fault.
    fn heard<T>(&mut self, found: Result<T, calendar::CalendarError>) -> Option<T> {
        found.map_err(|error| self.fault(crate::report::chain(&error), None)).ok()
    }

    fn text(&mut self, key: &str, default: Option<&str>) -> Option<String> {
        match (self.map.get(key), default) {
            (Some(Value::String(text)), _) if !text.trim().is_empty() => Some(text.clone()),
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => {
                self.fault(format!("{key} is missing"), None);
                None
            }
            (Some(_), _) => {
                self.fault(format!("{key} is no text"), None);
                None
            }
        }
    }

    fn whole(&mut self, key: &str, default: i64, bounds: &RangeInclusive<i64>) -> i64 {
        let Some(value) = self.map.get(key) else { return default };
        match value.as_i64().filter(|number| bounds.contains(number)) {
            Some(number) => number,
            None => {
                let text = format!("{key} {value} is no whole number from {} to {}", bounds.start(), bounds.end());
                self.fault(text, None);
                default
            }
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.map.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(format!("{key} is neither true nor false"), None);
                false
            }
        }
    }

    fn list(&mut self, key: &str) -> &'m [Value] {
        match self.map.get(key) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.fault(format!("{key} is no list"), None);
                &[]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FORMATS: &[&str] = &["json", "html", "markdown"];

    fn read(document: &Value) -> Result<Vec<Entry>, Vec<String>> {
        let faults = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
        parse("prod", document.as_object().unwrap(), FORMATS).map_err(faults)
    }

    #[test]
    fn a_schedule_has_defaults_and_reports_are_named_by_the_date_of_its_zone() {
        let entries = read(&json!({"schedules": [
            {"name": "nightly", "cron": "30 2 * * *", "zone": "Asia/Shanghai"},
            {"name": "weekly", "cron": "0 3 * * SUN", "zone": "UTC", "jitter_s": 600, "catch_up_h": 0, "deadline_s": 900,
             "inspect": {"pattern": "kafka", "sample_s": 60, "language": "zh", "notify": true,
                "reports": [{"format": "html", "path": "reports/{name}-{date}.html"}]}},
        ]}))
        .unwrap();
        let [nightly, weekly] = &entries[..] else { panic!("{entries:?}") };
        let wanted = Inspect {
            pattern: "all".to_owned(),
            sample: SignedDuration::from_secs(20),
            reports: Vec::new(),
            language: Language::English,
            notices: Notices::Kept,
        };
        assert_eq!(nightly.inspect, wanted);
        assert_eq!(nightly.schedule.catch_up, SignedDuration::from_hours(12));
        assert_eq!((weekly.schedule.catch_up, weekly.inspect.notices), (SignedDuration::ZERO, Notices::Sent));
        // Three in the morning of the 2nd in Shanghai is still the 1st in UTC.
        let night: Timestamp = "2026-01-01T19:00:00Z".parse().unwrap();
        let report = &weekly.inspect.reports[0];
        assert_eq!(report.path(&nightly.schedule, night), PathBuf::from("reports/nightly-2026-01-02.html"));
        assert_eq!(report.path(&weekly.schedule, night), PathBuf::from("reports/weekly-2026-01-01.html"));
        assert_eq!(nightly.local(night), "2026-01-02 03:00:00 CST");
    }

    #[test]
    fn every_mistake_is_told_with_the_schedule_and_the_nearest_word() {
        let faults = read(&json!({"schedule": [], "schedules": [
            {"name": "nightly", "corn": "0 2 * * *", "zone": "Europe/Berln", "jitter_s": -1},
            {"name": "nightly", "cron": "0 2 * *", "zone": "UTC", "catch_up_h": 1.5, "deadline_s": 100, "inspect": {
                "patern": "all", "sample_s": 90, "language": "de", "notify": "yes", "reports": [
                    {"format": "htm", "path": "a-{dat}.html"}, {"format": "json", "path": "b"},
                    {"format": "html", "path": "b"}, "json"]}},
            {"cron": "0 2 * * *"},
            {"name": "a/b", "cron": "0 0 31 2 *", "zone": "UTC", "inspect": []},
            7,
        ]}))
        .unwrap_err();
        for wanted in [
            "schedule.yml: unknown key 'schedule', did you mean 'schedules'?",
            "schedule nightly: unknown key 'corn', did you mean 'cron'?",
            "schedule nightly: cron is missing",
            "schedule nightly: zone 'Europe/Berln' is not known, did you mean 'Europe/Berlin'?",
            "schedule nightly: jitter_s -1 is no whole number from 0 to 21600",
            "schedule nightly: there is another of that name",
            "schedule nightly: cron '0 2 * *' is not minute, hour, day of month, month and day of week",
            "schedule nightly: catch_up_h 1.5 is no whole number from 0 to 168",
            "schedule nightly: inspect: unknown key 'patern', did you mean 'pattern'?",
            "schedule nightly: inspect: sample_s 90 is more than half of the deadline_s 100",
            "schedule nightly: inspect: language 'de' is neither en nor zh",
            "schedule nightly: inspect: notify is neither true nor false",
            "schedule nightly: inspect: report 1: format 'htm' is none of json, html, markdown, did you mean 'html'?",
            "schedule nightly: inspect: report 1: path has '{dat}', did you mean 'date'?",
            "schedule nightly: inspect: report 3: path b is that of another report",
            "schedule nightly: inspect: report 4: it is no mapping",
            "schedule 3: name is missing",
            "schedule a/b: name may have letters",
            "schedule a/b: cron '0 0 31 2 *' is never due",
            "schedule a/b: inspect is no mapping",
            "schedule 5: it is no mapping",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(wanted)), "{wanted} is not among {faults:#?}");
        }
        assert_eq!(faults.len(), 21, "{faults:#?}");
    }
}
