//! What holds for every inspection: nights in a row, people's words, causes, and the comparison of two documents.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::diff::{DiffError, diff};
use kfleet_inspect::finding::{Change, Finding, Forecast};
use kfleet_inspect::judge::worth_a_notice;
use kfleet_inspect::{
    Acknowledgement, CATALOGUE, Datum, FleetReadings, History, HostReadings, Inspection, InspectionFile, Layers,
    MissingHost, Night, Part, PartKind, Point, Reading, Role, State, Waiver, Window, judge,
};
use kfleet_model::{ClusterName, FleetName, HostName};
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn start() -> Timestamp {
    "2026-03-04T02:00:00Z".parse().unwrap()
}

fn night(n: i64) -> Timestamp {
    start() + SignedDuration::from_hours(24 * n)
}

fn volume(path: &str) -> Part {
    Part::new(PartKind::Volume, path)
}

fn host(name: &str, readings: Vec<Reading>) -> HostReadings {
    HostReadings {
        host: HostName::new(name).unwrap(),
        roles: BTreeSet::from([Role::KafkaBroker]),
        clusters: BTreeSet::from([ClusterName::new("c").unwrap()]),
        labels: BTreeMap::from([("disk".to_owned(), "large".to_owned())]),
        when: start(),
        cost: kfleet_inspect::Cost::default(),
        readings,
    }
}

fn fleet(hosts: Vec<HostReadings>) -> FleetReadings {
    FleetReadings {
        fleet: FleetName::new("f").unwrap(),
        hosts,
        missing: Vec::new(),
        clusters: Vec::new(),
        readings: Vec::new(),
    }
}

fn used(percent: f64, at: Timestamp) -> Reading {
    Reading::new("disk.used", Datum::Float(percent), "statvfs", at).at(volume("/d"))
}

/// What people say, beside the readings.
#[derive(Default)]
struct Said {
    layers: Layers,
    waivers: Vec<Waiver>,
    windows: Vec<Window>,
    acknowledgements: Vec<Acknowledgement>,
    history: History,
}

impl Said {
    fn judge(&self, readings: &FleetReadings, last: Option<&Inspection>, now: Timestamp) -> Inspection {
        let catalogue = CATALOGUE.only(|check| {
            ["disk.space", "os.boot", "broker.process", "broker.api", "fleet.inspection"].contains(&check.id.as_str())
        });
        judge(&Night {
            catalogue: &catalogue,
            readings,
            layers: &self.layers,
            waivers: &self.waivers,
            windows: &self.windows,
            acknowledgements: &self.acknowledgements,
            last,
            history: &self.history,
            now,
        })
    }
}

fn well(used_percent: f64, boot: &str, at: Timestamp) -> Vec<Reading> {
    let process = Part::new(PartKind::Process, "kafka");
    let endpoint = || Part::new(PartKind::Endpoint, "k1:9092");
    vec![
        used(used_percent, at),
        Reading::new("os.boot_id", Datum::Text(boot.to_owned()), "proc", at),
        Reading::new("process.state", Datum::Text("unit".to_owned()), "systemd", at).at(process),
        Reading::new("kafka.api.state", Datum::Text("ok".to_owned()), "connect", at).at(endpoint()),
        Reading::new("kafka.api.time", Datum::Float(2.0), "connect", at).at(endpoint()),
    ]
}

fn find<'a>(inspection: &'a Inspection, check: &str) -> Option<&'a Finding> {
    inspection.findings.iter().find(|finding| finding.check.as_str() == check)
}

/// The states of `disk.space` over nights with these shares used.
fn nights(shares: &[f64]) -> Vec<(String, bool)> {
    let said = Said::default();
    let mut last: Option<Inspection> = None;
    let mut states = Vec::new();
    for (n, share) in shares.iter().enumerate() {
        let at = night(i64::try_from(n).unwrap());
        let inspection = said.judge(&fleet(vec![host("k1", well(*share, "b", at))]), last.as_ref(), at);
        let found = find(&inspection, "disk.space");
        states.push(found.map_or(("ok".to_owned(), false), |one| (one.state.name().to_owned(), one.recovering)));
        last = Some(inspection);
    }
    states
}

#[test]
fn a_state_is_left_by_ten_hundredths_or_after_two_good_nights() {
    let words = |shares: &[f64]| {
        let word = |(state, recovering): (String, bool)| if recovering { format!("{state}*") } else { state };
        nights(shares).into_iter().map(word).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(&[74.0, 76.0, 74.0, 74.0]), "ok warn warn* ok", "the second good night leaves it");
    assert_eq!(words(&[76.0, 60.0]), "warn ok", "far on the good side it is left at once");
    assert_eq!(words(&[76.0, 74.0, 76.0, 74.0, 74.0]), "warn warn* warn warn* ok", "a bad night counts anew");
    assert_eq!(words(&[86.0, 84.0, 84.0]), "crit crit* warn", "crit is left into warn");
    assert_eq!(words(&[86.0, 74.0]), "crit warn*", "from crit past warn by a little");
    assert_eq!(words(&[74.0, 74.0]), "ok ok", "nothing holds what was never entered");
}

#[test]
fn a_finding_says_since_when_and_how_it_changed() {
    let said = Said::default();
    let at = |n: i64, share: f64| (fleet(vec![host("k1", well(share, "b", night(n)))]), night(n));
    let (readings, now) = at(0, 80.0);
    let first = said.judge(&readings, None, now);
    let (readings, now) = at(1, 90.0);
    let second = said.judge(&readings, Some(&first), now);
    let (readings, now) = at(2, 76.0);
    let third = said.judge(&readings, Some(&second), now);
    let (readings, now) = at(3, 10.0);
    let fourth = said.judge(&readings, Some(&third), now);
    let told: Vec<_> = [&first, &second, &third]
        .iter()
        .map(|one| find(one, "disk.space").map(|one| (one.state, one.change, one.since)).unwrap())
        .collect();
    let wanted = [
        (State::Warn, Change::New, night(0)),
        (State::Crit, Change::Worse, night(0)),
        (State::Warn, Change::Better, night(0)),
    ];
    assert_eq!(told, wanted);
    let cleared: Vec<_> = fourth.cleared.iter().map(|one| (one.check.as_str(), one.was, one.change)).collect();
    assert_eq!(cleared, [("disk.space", State::Warn, Change::Fixed)]);
    assert_eq!(worth_a_notice(&second).len(), 1);
    assert_eq!(worth_a_notice(&third).len(), 0);
    assert_eq!((first.exit_code(), second.exit_code(), fourth.exit_code()), (1, 2, 0));
}

#[test]
fn a_host_that_is_away_is_unseen_and_comes_back_to_its_own_past() {
    let said = Said::default();
    let full = |n: i64| fleet(vec![host("k1", well(80.0, "b", night(n)))]);
    let first = said.judge(&full(0), None, night(0));
    let missing = vec![MissingHost { host: HostName::new("k1").unwrap(), why: "no answer".to_owned() }];
    let away = FleetReadings { missing, ..fleet(Vec::new()) };
    let second = said.judge(&away, Some(&first), night(1));
    assert_eq!(second.cleared.iter().map(|one| one.change).collect::<Vec<_>>(), [Change::Unseen]);
    assert_eq!((second.verdict, second.coverage.hosts_seen, second.coverage.hosts_expected), (State::Crit, 0, 1));
    let third = said.judge(&full(2), Some(&second), night(2));
    let found = find(&third, "disk.space").unwrap();
    assert_eq!((found.change, found.since), (Change::Unchanged, night(0)));
    let gone = said.judge(&fleet(vec![host("k2", well(10.0, "b", night(3)))]), Some(&third), night(3));
    assert_eq!(gone.cleared.iter().map(|one| one.change).collect::<Vec<_>>(), [Change::Gone]);
}

#[test]
fn a_waiver_holds_until_its_date_and_is_told_of_before() {
    let waiver = |expires: &str| Waiver {
        check: "disk.*".to_owned(),
        object: "host:k1*".to_owned(),
        owner: "ann".to_owned(),
        reason: "grows next week".to_owned(),
        expires: expires.parse().unwrap(),
    };
    let readings = fleet(vec![host("k1", well(90.0, "b", start()))]);
    for (expires, state, told) in [
        ("2026-06-01T00:00:00Z", State::Waived, None),
        ("2026-03-08T00:00:00Z", State::Waived, Some(false)),
        ("2026-03-01T00:00:00Z", State::Crit, Some(true)),
    ] {
        let said = Said { waivers: vec![waiver(expires)], ..Said::default() };
        let inspection = said.judge(&readings, None, start());
        let found = find(&inspection, "disk.space").unwrap();
        assert_eq!((found.state, found.judged), (state, State::Crit), "{expires}");
        assert_eq!(inspection.waivers.first().map(|one| one.expired), told, "{expires}");
        assert_eq!(inspection.verdict == State::Ok, state == State::Waived, "{expires}");
    }
    let unused = Said { waivers: vec![waiver("2027-01-01T00:00:00Z")], ..Said::default() };
    let inspection = unused.judge(&fleet(vec![host("k1", well(10.0, "b", start()))]), None, start());
    assert!(inspection.waivers.iter().all(|one| one.unused && !one.expired));
}

#[test]
fn a_window_explains_what_it_can_and_nothing_else() {
    let window = |object: &str, from: i64, until: i64| Window {
        object: object.to_owned(),
        checks: vec!["*".to_owned()],
        from: start() + SignedDuration::from_hours(from),
        until: start() + SignedDuration::from_hours(until),
        reason: "roll 7".to_owned(),
    };
    let before = Said::default().judge(&fleet(vec![host("k1", well(90.0, "old", night(-1)))]), None, night(-1));
    let mut readings = well(90.0, "new", start());
    readings[2].outcome = kfleet_inspect::Outcome::Read(Datum::Text("outside".to_owned()));
    let readings = fleet(vec![host("k1", readings)]);
    for (window, boot, process) in [
        (window("host:k1", -10, -9), State::Expected, State::Warn),
        (window("host:k1", -1, 1), State::Expected, State::Expected),
        (window("host:k2", -1, 1), State::Crit, State::Warn),
        (window("*", -50, -40), State::Crit, State::Warn),
        (window("*", 1, 2), State::Crit, State::Warn),
    ] {
        let said = Said { windows: vec![window.clone()], ..Said::default() };
        let inspection = said.judge(&readings, Some(&before), start());
        let state = |check: &str| find(&inspection, check).unwrap().state;
        assert_eq!((state("os.boot"), state("broker.process")), (boot, process), "{window:?}");
        assert_eq!(state("disk.space"), State::Crit, "no window explains a full disk");
    }
}

#[test]
fn an_acknowledged_finding_is_told_again_when_it_gets_worse() {
    let acknowledged = |state| Acknowledgement {
        check: "disk.space".to_owned(),
        object: "host:k1/volume:/d".parse().unwrap(),
        owner: "ann".to_owned(),
        state,
    };
    let readings = fleet(vec![host("k1", well(90.0, "b", start()))]);
    for (state, told) in [(State::Crit, 0), (State::Warn, 1)] {
        let said = Said { acknowledgements: vec![acknowledged(state)], ..Said::default() };
        let inspection = said.judge(&readings, None, start());
        assert_eq!(worth_a_notice(&inspection).len(), told);
        assert_eq!(inspection.verdict, State::Crit, "an acknowledgement changes no verdict");
    }
}

#[test]
fn followers_stand_under_their_cause_and_the_verdict_is_no_better_for_it() {
    let mut readings = well(10.0, "b", start());
    readings[2].outcome = kfleet_inspect::Outcome::Read(Datum::Text("absent".to_owned()));
    readings[3].outcome = kfleet_inspect::Outcome::Read(Datum::Text("refused".to_owned()));
    let inspection = Said::default().judge(&fleet(vec![host("k1", readings)]), None, start());
    let (cause, follower) = (find(&inspection, "broker.process").unwrap(), find(&inspection, "broker.api").unwrap());
    assert_eq!((cause.explains, cause.cause.as_ref()), (1, None));
    assert_eq!(follower.cause, Some(cause.subject()));
    assert_eq!((follower.state, inspection.verdict), (State::Crit, State::Crit));
    assert_eq!(worth_a_notice(&inspection).len(), 1, "one finding, one message");
    let area = inspection.score.areas.first().unwrap();
    assert_eq!((area.area.as_str(), area.crit, area.taken, inspection.score.points), ("broker", 1, 10, 90));
}

#[test]
fn the_layer_that_decided_stands_in_the_finding() {
    let file: InspectionFile = serde_json::from_value(json!({
        "fleet": {"disk.space": {"warn": "50 %"}},
        "host_labels": {"disk=large": {"disk.space": {"warn": "95 %", "crit": "98 %"}}},
    }))
    .unwrap();
    let said = Said { layers: Layers::new(&file, &CATALOGUE).unwrap(), ..Said::default() };
    let readings = |share| fleet(vec![host("k1", well(share, "b", start()))]);
    assert!(find(&said.judge(&readings(90.0), None, start()), "disk.space").is_none());
    let inspection = said.judge(&readings(96.0), None, start());
    let fired = find(&inspection, "disk.space").unwrap().threshold.clone().unwrap();
    assert_eq!((fired.condition.as_str(), fired.layer.to_string().as_str()), ("> 95 %", "host label disk=large"));
    let off: InspectionFile = serde_json::from_value(json!({"fleet": {"disk.space": "off"}})).unwrap();
    let said = Said { layers: Layers::new(&off, &CATALOGUE).unwrap(), ..Said::default() };
    let inspection = said.judge(&readings(99.0), None, start());
    assert!(find(&inspection, "disk.space").is_none());
    assert_eq!(inspection.skipped.values().next().unwrap().len(), 1, "what is switched off is listed");
}

#[test]
fn what_changes_often_is_unstable() {
    let said = Said::default();
    let mut last: Option<Inspection> = None;
    for n in 0..8 {
        let share = if n % 2 == 0 { 90.0 } else { 10.0 };
        let readings = fleet(vec![host("k1", well(share, "b", night(n)))]);
        last = Some(said.judge(&readings, last.as_ref(), night(n)));
    }
    let readings = fleet(vec![host("k1", well(90.0, "b", night(8)))]);
    let inspection = said.judge(&readings, last.as_ref(), night(8));
    let unstable = find(&inspection, "disk.space").unwrap().unstable.unwrap();
    assert_eq!((unstable.changes, unstable.nights), (8, 9));
}

#[test]
fn forecasts_and_anomalies_are_marked_and_change_no_verdict() {
    let reading = |key: &str, value: i64| Reading::new(key, Datum::Int(value), "statvfs", start()).at(volume("/d"));
    let mut readings = well(10.0, "b", start());
    readings.extend([reading("disk.used_bytes", 60), reading("disk.total_bytes", 100)]);
    let points = |values: &[f64]| -> Vec<Point> {
        let at = |n: usize| night(i64::try_from(n).unwrap() - i64::try_from(values.len()).unwrap());
        values.iter().enumerate().map(|(n, &value)| Point { at: at(n), value }).collect()
    };
    let history = History {
        series: BTreeMap::from([
            (
                "disk.used_bytes@host:k1/volume:/d".to_owned(),
                points(&[40.0, 42.0, 44.0, 46.0, 48.0, 50.0, 52.0, 54.0, 56.0, 58.0]),
            ),
            ("disk.used@host:k1/volume:/d".to_owned(), points(&[80.0; 8])),
        ]),
    };
    let said = Said { history, ..Said::default() };
    let inspection = said.judge(&fleet(vec![host("k1", readings)]), None, start());
    let Forecast { reached, per_day, nights, .. } = inspection.forecasts.first().unwrap().clone();
    assert_eq!((reached, per_day.to_string().as_str(), nights), (night(20), "2 B", 11));
    let keys: BTreeSet<&str> = inspection.anomalies.iter().map(|one| one.key.as_str()).collect();
    assert!(keys.contains("disk.used"), "{keys:?}");
    assert_eq!(inspection.verdict, State::Ok);
}

#[test]
fn inspections_of_two_fleets_are_not_compared() {
    let readings = fleet(vec![host("k1", well(90.0, "b", start()))]);
    let ours = Said::default().judge(&readings, None, start());
    let theirs = FleetReadings { fleet: FleetName::new("g").unwrap(), ..readings };
    let theirs = Said::default().judge(&theirs, Some(&ours), start());
    assert_eq!(theirs.run.compared_with, None);
    assert!(matches!(diff(&ours, &theirs), Err(DiffError::Fleets { .. })));
    let later = Inspection { schema: "kfleet-inspection/2".to_owned(), ..ours.clone() };
    assert_eq!(diff(&ours, &later), Err(DiffError::Schema("kfleet-inspection/2".to_owned())));
}

#[test]
fn a_document_reads_back_and_is_the_same_to_the_byte() {
    for case in support::cases() {
        let inspection = case.inspection();
        let text = serde_json::to_string(&inspection).unwrap();
        assert_eq!(serde_json::from_str::<Inspection>(&text).unwrap(), inspection, "{}", case.name);
        assert_eq!(serde_json::to_string(&case.inspection()).unwrap(), text, "{}", case.name);
    }
}

#[test]
fn the_order_of_readings_changes_nothing() {
    for case in support::cases() {
        let readings = case.tonight();
        let wanted = serde_json::to_string(&case.judged(&readings)).unwrap();
        let mut turned = readings.clone();
        turned.hosts.reverse();
        turned.hosts.iter_mut().for_each(|host| host.readings.reverse());
        turned.clusters.iter_mut().for_each(|cluster| {
            cluster.readings.reverse();
            cluster.views.reverse();
        });
        assert_eq!(serde_json::to_string(&case.judged(&turned)).unwrap(), wanted, "{} ({})", case.check, case.name);
    }
}

fn turned(change: Change) -> Vec<Change> {
    match change {
        Change::New => vec![Change::Fixed, Change::Gone, Change::Unseen],
        Change::Worse => vec![Change::Better],
        Change::Better => vec![Change::Worse],
        Change::Unchanged => vec![Change::Unchanged],
        Change::Fixed | Change::Gone | Change::Unseen => vec![Change::New],
    }
}

proptest! {
    /// Every finding of either night stands in the difference once, and turned round every change is its opposite.
    #[test]
    fn a_difference_is_complete_and_symmetrical(
        one in proptest::collection::vec((0_u8..4, 0.0_f64..100.0), 0..6),
        two in proptest::collection::vec((0_u8..4, 0.0_f64..100.0), 0..6),
    ) {
        let of = |shares: &[(u8, f64)]| {
            let hosts: BTreeMap<u8, f64> = shares.iter().copied().collect();
            let host = |(n, share): (u8, f64)| host(&format!("k{n}"), well(share, "b", start()));
            Said::default().judge(&fleet(hosts.into_iter().map(host).collect()), None, start())
        };
        let (one, two) = (of(&one), of(&two));
        let (there, back) = (diff(&one, &two).unwrap(), diff(&two, &one).unwrap());
        let subjects = |of: &Inspection| of.findings.iter().map(Finding::subject).collect::<BTreeSet<_>>();
        let told: Vec<_> = there.iter().map(|delta| delta.subject.clone()).collect();
        let all: BTreeSet<_> = subjects(&one).union(&subjects(&two)).cloned().collect();
        prop_assert_eq!(told.len(), all.len());
        prop_assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), all);
        for delta in &there {
            let other = back.iter().find(|other| other.subject == delta.subject).unwrap();
            prop_assert!(turned(delta.change).contains(&other.change), "{:?} {:?}", delta, other);
            prop_assert_eq!((delta.before, delta.after), (other.after, other.before));
        }
    }

    /// The score is between 0 and 100, and explained to the point.
    #[test]
    fn the_score_is_what_its_areas_took(shares in proptest::collection::vec(0.0_f64..100.0, 1..12)) {
        let hosts = shares.iter().enumerate().map(|(n, share)| host(&format!("k{n}"), well(*share, "b", start())));
        let inspection = Said::default().judge(&fleet(hosts.collect()), None, start());
        let taken: u32 = inspection.score.areas.iter().map(|area| area.taken).sum();
        prop_assert_eq!(inspection.score.points, 100_u32.saturating_sub(taken));
        let crit = inspection.findings.iter().any(|finding| finding.state == State::Crit);
        prop_assert_eq!(inspection.verdict == State::Crit, crit);
    }
}

/// A cluster that nobody could describe for one night has not become well in it: the days before still count.
#[test]
fn a_silent_night_forgets_nothing() {
    let cases = support::cases();
    let case =
        |name: &str| cases.iter().find(|case| case.check == "topic.under_replicated" && case.name == name).unwrap();
    let behind = case("one of thirty");
    let first = behind.inspection();
    let mut silent = behind.tonight();
    for view in silent.clusters.iter_mut().flat_map(|cluster| &mut cluster.views) {
        view.answer = kfleet_inspect::Answer::None { why: "timeout".to_owned() };
    }
    let history = History::default();
    let at = |days: i64| behind.now + SignedDuration::from_hours(24 * days);
    let second = support::inspect(&CATALOGUE, &silent, Some(&first), &history, at(1));
    let third = support::inspect(&CATALOGUE, &behind.tonight(), Some(&second), &history, at(2));
    let state = |of: &Inspection| find(of, "topic.under_replicated").unwrap().state;
    assert_eq!((state(&first), state(&second), state(&third)), (State::Warn, State::Unknown, State::Crit));
}
