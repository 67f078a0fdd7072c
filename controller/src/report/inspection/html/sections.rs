//! The page and its parts around the findings, ready for the template.

use super::chart::{Spark, spark};
use super::view::{Findings, Findingsmith, ObjectView, reading_line};
use crate::report::human_ms;
use crate::report::inspection::shape::{self, Deadline, Due, Place};
use crate::report::inspection::texts::{self, Text};
use crate::report::inspection::words::{Moment, clipped, first, utc, visible};
use crate::report::inspection::{ClusterRestart, Language, Options, Pages, Restartable};
use kfleet_inspect::finding::{Coverage, WaiverNotice};
use kfleet_inspect::{Bilingual, CATALOGUE, Cost, Inspection, Quantity, State, Unit};
use serde::Serialize;

/// Objects named in one line of changes.
const NAMED: usize = 5;

/// Lines of a list that is not the findings.
const LINES: usize = 200;

/// Everything that the template has.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    lang: &'static str,
    title: Bilingual,
    fleet: String,
    schema: String,
    zone: Option<String>,
    verdict: VerdictView,
    counts: Vec<CountView>,
    score: ScoreView,
    coverage: CoverageView,
    judged_at: Moment,
    compared: Option<Moment>,
    changes: Vec<ChangeView>,
    as_before: usize,
    happenings: Vec<HappeningView>,
    happenings_more: usize,
    due: DueView,
    restart: Vec<ClusterView>,
    findings: Findings,
    information: Findings,
    accepted: Findings,
    anomalies: Vec<AnomalyView>,
    heat: HeatView,
    passed: PassedView,
    skipped: SkippedView,
    cost: CostView,
}

/// Makes all of it.
pub(super) fn page(pages: &Pages<'_>, options: &Options) -> Page {
    let inspection = pages.inspection;
    let moment = |at| Moment::new(at, options.zone.as_ref());
    let mut smith = Findingsmith::new(*pages, options);
    let (findings, information, accepted) =
        (smith.place(Place::Counts), smith.place(Place::Info), smith.place(Place::Accepted));
    Page {
        lang: options.language.tag(),
        title: title(inspection),
        fleet: inspection.fleet.to_string(),
        schema: inspection.schema.clone(),
        zone: options
            .zone
            .as_ref()
            .map(|zone| inspection.run.judged_at.to_zoned(zone.clone()).strftime("%Z (%:z)").to_string()),
        verdict: VerdictView {
            state: shown_verdict(inspection.verdict),
            word: texts::verdict_word(inspection.verdict).name(),
            says: texts::verdict(inspection.verdict).name(),
        },
        counts: counts(inspection),
        score: score(pages),
        coverage: coverage(inspection),
        judged_at: moment(inspection.run.judged_at),
        compared: inspection.run.compared_with.map(moment),
        changes: changes(inspection),
        as_before: inspection
            .findings
            .iter()
            .filter(|f| f.change == kfleet_inspect::finding::Change::Unchanged)
            .count(),
        happenings: pages
            .happenings
            .iter()
            .take(LINES)
            .map(|one| HappeningView {
                at: one.at.map(moment),
                kind: texts::happening(one.kind).name(),
                about: ObjectView::new(&one.object),
                what: clipped(&one.what, 600),
            })
            .collect(),
        happenings_more: pages.happenings.len().saturating_sub(LINES),
        due: due(pages, options),
        restart: restart(pages),
        findings,
        information,
        accepted,
        anomalies: anomalies(pages),
        heat: heat(inspection),
        passed: passed(inspection),
        skipped: skipped(inspection),
        cost: cost(inspection),
    }
}

fn title(inspection: &Inspection) -> Bilingual {
    let at = inspection.run.judged_at.strftime("%Y-%m-%d").to_string();
    let of = |language| {
        let state = texts::state(inspection.verdict, language);
        Text::PageTitle.with(language, &[("fleet", &inspection.fleet), ("state", &state), ("at", &at)])
    };
    Bilingual { en: of(Language::English), zh: of(Language::Chinese) }
}

/// A verdict is one of four; what does not count is ok.
fn shown_verdict(verdict: State) -> &'static str {
    if verdict.counts() { verdict.name() } else { State::Ok.name() }
}

#[derive(Debug, Serialize)]
struct VerdictView {
    state: &'static str,
    word: &'static str,
    says: &'static str,
}

#[derive(Debug, Serialize)]
struct CountView {
    state: &'static str,
    n: u32,
    place: &'static str,
}

fn counts(inspection: &Inspection) -> Vec<CountView> {
    let shown = inspection.counts.iter().rev().filter(|(_, n)| **n > 0);
    shown
        .filter(|(state, _)| !matches!(state, State::Ok | State::Skip))
        .map(|(state, n)| CountView {
            state: state.name(),
            n: *n,
            place: match shape::place(*state) {
                Place::Counts => "findings",
                Place::Info => "information",
                Place::Accepted => "accepted",
            },
        })
        .collect()
}

#[derive(Debug, Serialize)]
struct ScoreView {
    points: u32,
    spark: Option<Spark>,
    areas: Vec<AreaView>,
}

#[derive(Debug, Serialize)]
struct AreaView {
    title: Bilingual,
    crit: u32,
    warn: u32,
    unknown: u32,
    penalty: u32,
    taken: u32,
    penalty_bar: u32,
    taken_bar: u32,
}

fn score(pages: &Pages<'_>) -> ScoreView {
    let score = &pages.inspection.score;
    // The bars share one scale: the longest fills its hundred pixels.
    let most = score.areas.iter().map(|area| area.penalty.max(area.taken)).max().unwrap_or(0).max(1);
    let bar = |n: u32| n * 100 / most;
    let areas = score.areas.iter().filter(|area| area.penalty > 0).map(|area| AreaView {
        title: shape::area_title(&area.area),
        crit: area.crit,
        warn: area.warn,
        unknown: area.unknown,
        penalty: area.penalty,
        taken: area.taken,
        penalty_bar: bar(area.penalty),
        taken_bar: bar(area.taken),
    });
    let label = Text::ScoreNights.both_with(&[("n", &pages.trends.score.len())]);
    let line = spark(&pages.trends.score, Some((0.0, 100.0)), label);
    ScoreView { points: score.points, spark: line, areas: areas.collect() }
}

#[derive(Debug, Serialize)]
struct CoverageView {
    seen: u32,
    expected: u32,
    percent: u64,
    short: bool,
    ran: u32,
    built: u32,
    checks: u32,
    judgements: u32,
    unknown: u32,
    unknown_findings: u32,
    missing: Vec<MissingView>,
    missing_more: usize,
}

#[derive(Debug, Serialize)]
struct MissingView {
    host: String,
    why: String,
}

fn coverage(inspection: &Inspection) -> CoverageView {
    let Coverage { hosts_expected, hosts_seen, missing, checks, built, ran, judgements, unknown, skipped: _ } =
        &inspection.coverage;
    CoverageView {
        seen: *hosts_seen,
        expected: *hosts_expected,
        percent: (u64::from(*hosts_seen) * 100).checked_div(u64::from(*hosts_expected)).unwrap_or(100),
        short: hosts_seen < hosts_expected,
        ran: *ran,
        built: *built,
        checks: *checks,
        judgements: *judgements,
        unknown: *unknown,
        unknown_findings: inspection.counts.get(&State::Unknown).copied().unwrap_or(0),
        missing: missing
            .iter()
            .take(LINES)
            .map(|(host, why)| MissingView { host: host.to_string(), why: clipped(why, 300) })
            .collect(),
        missing_more: missing.len().saturating_sub(LINES),
    }
}

#[derive(Debug, Serialize)]
struct ChangeView {
    change: &'static str,
    state: &'static str,
    title: Bilingual,
    objects: Vec<ObjectView>,
    more: usize,
}

fn changes(inspection: &Inspection) -> Vec<ChangeView> {
    let changed = shape::changed(inspection);
    let one = |one: &shape::Changed<'_>| ChangeView {
        change: texts::change(one.change).name(),
        state: one.state.name(),
        title: Bilingual { en: clipped(&one.title.en, 300), zh: clipped(&one.title.zh, 300) },
        objects: one.objects.iter().take(NAMED).map(|object| ObjectView::new(object)).collect(),
        more: one.objects.len().saturating_sub(NAMED),
    };
    changed.iter().map(one).collect()
}

#[derive(Debug, Serialize)]
struct HappeningView {
    at: Option<Moment>,
    kind: &'static str,
    about: ObjectView,
    what: String,
}

#[derive(Debug, Serialize)]
struct DueView {
    count: usize,
    buckets: Vec<BucketView>,
}

#[derive(Debug, Serialize)]
struct BucketView {
    name: &'static str,
    items: Vec<DeadlineView>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct DeadlineView {
    at: Moment,
    about: Option<ObjectView>,
    key: Option<String>,
    what: Bilingual,
    parts: Vec<Bilingual>,
    spark: Option<Spark>,
}

fn due(pages: &Pages<'_>, options: &Options) -> DueView {
    let all = shape::deadlines(pages.inspection);
    let bucket = |due: Due| {
        let of: Vec<_> = all.iter().filter(|(when, _)| *when == due).collect();
        let items = of.iter().take(LINES).map(|(_, what)| deadline(pages, options, what)).collect();
        BucketView { name: texts::due(due).name(), items, more: of.len().saturating_sub(LINES) }
    };
    let buckets = Due::ALL.into_iter().map(bucket).filter(|bucket| !bucket.items.is_empty()).collect();
    DueView { count: all.len(), buckets }
}

fn deadline(pages: &Pages<'_>, options: &Options, what: &Deadline<'_>) -> DeadlineView {
    let moment = |at| Moment::new(at, options.zone.as_ref());
    match what {
        Deadline::Forecast(forecast) => {
            let latest = match forecast.latest {
                Some(at) => Text::Latest.both_with(&[("at", &utc(at))]),
                None => Text::LatestNever.both_with(&[]),
            };
            let series = pages.trends.of(&forecast.key, &forecast.object);
            DeadlineView {
                at: moment(forecast.earliest),
                about: Some(ObjectView::new(&forecast.object)),
                key: Some(forecast.key.clone()),
                what: Text::Reaches.both_with(&[("limit", &forecast.limit)]),
                parts: vec![
                    Text::Likely.both_with(&[("at", &utc(forecast.reached))]),
                    latest,
                    Text::NowPerDay.both_with(&[
                        ("now", &forecast.now),
                        ("per_day", &forecast.per_day),
                        ("n", &forecast.nights),
                    ]),
                ],
                spark: series.and_then(|series| reading_line(&series.nights, series.unit)),
            }
        }
        Deadline::Waiver(waiver) => DeadlineView {
            at: moment(waiver.expires),
            about: None,
            key: None,
            what: texts::waiver(waiver).both_with(&[("check", &visible(&waiver.check))]),
            parts: waiver_parts(waiver),
            spark: None,
        },
    }
}

fn waiver_parts(waiver: &WaiverNotice) -> Vec<Bilingual> {
    let named = |label: Text, value: &str| {
        let value = clipped(value, 300);
        let of = |language| format!("{} {value}", label.say(language));
        Bilingual { en: of(Language::English), zh: of(Language::Chinese) }
    };
    let mut parts = vec![named(Text::Object, &waiver.object), named(Text::Owner, &waiver.owner)];
    if waiver.unused {
        parts.push(Text::WaiverUnused.both_with(&[]));
    }
    parts
}

#[derive(Debug, Serialize)]
struct ClusterView {
    name: String,
    safe: usize,
    any: AnswerView,
    racks: Vec<RackView>,
    members: Vec<MemberView>,
    reasons: Vec<ReasonView>,
}

#[derive(Debug, Serialize)]
struct AnswerView {
    state: &'static str,
    word: &'static str,
    why: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RackView {
    name: String,
    restart: AnswerView,
}

#[derive(Debug, Serialize)]
struct MemberView {
    host: String,
    role: &'static str,
    node: i32,
    rack: Option<String>,
    restart: AnswerView,
}

#[derive(Debug, Serialize)]
struct ReasonView {
    host: String,
    restart: AnswerView,
}

fn answer(restart: &Restartable) -> AnswerView {
    let (state, reasons): (State, &[_]) = match restart {
        Restartable::Yes => (State::Ok, &[]),
        Restartable::No(reasons) => (State::Crit, reasons),
        Restartable::Unknown(reasons) => (State::Unknown, reasons),
    };
    let why = reasons.iter().map(|reason| clipped(&reason.to_string(), 600)).collect();
    AnswerView { state: state.name(), word: texts::restartable(restart).name(), why }
}

fn restart(pages: &Pages<'_>) -> Vec<ClusterView> {
    let cluster = |(name, cluster): (&kfleet_model::ClusterName, &ClusterRestart)| ClusterView {
        name: name.to_string(),
        safe: cluster.members.iter().filter(|member| member.restart == Restartable::Yes).count(),
        any: answer(&cluster.any_member()),
        racks: cluster
            .racks
            .iter()
            .map(|(name, restart)| RackView { name: name.clone(), restart: answer(restart) })
            .collect(),
        members: cluster
            .members
            .iter()
            .map(|member| MemberView {
                host: member.host.to_string(),
                role: texts::role(member.role).name(),
                node: member.node.0,
                rack: member.rack.clone(),
                restart: answer(&member.restart),
            })
            .collect(),
        reasons: cluster
            .members
            .iter()
            .filter(|member| member.restart != Restartable::Yes)
            .map(|member| ReasonView { host: member.host.to_string(), restart: answer(&member.restart) })
            .collect(),
    };
    pages.restart.clusters.iter().map(cluster).collect()
}

#[derive(Debug, Serialize)]
struct AnomalyView {
    about: ObjectView,
    key: String,
    value: String,
    median: String,
    z: String,
    against: &'static str,
    spark: Option<Spark>,
}

fn anomalies(pages: &Pages<'_>) -> Vec<AnomalyView> {
    let one = |one: &kfleet_inspect::finding::Anomaly| AnomalyView {
        about: ObjectView::new(&one.object),
        key: one.key.clone(),
        value: one.value.to_string(),
        median: one.median.to_string(),
        z: format!("{:+.1}", one.z),
        against: texts::against(one.against).name(),
        spark: pages.trends.of(&one.key, &one.object).and_then(|series| reading_line(&series.nights, series.unit)),
    };
    pages.inspection.anomalies.iter().take(LINES).map(one).collect()
}

#[derive(Debug, Serialize)]
struct HeatView {
    areas: Vec<HeatArea>,
    rows: Vec<HeatRowView>,
    more: usize,
    well: Vec<String>,
    well_more: usize,
}

#[derive(Debug, Serialize)]
struct HeatArea {
    prefix: String,
    label: String,
}

#[derive(Debug, Serialize)]
struct HeatRowView {
    name: String,
    missing: Option<String>,
    cells: Vec<Option<CellView>>,
}

#[derive(Debug, Serialize)]
struct CellView {
    state: &'static str,
    /// How many findings have that state; nothing where none is meant.
    n: Option<u32>,
    label: String,
}

fn heat(inspection: &Inspection) -> HeatView {
    let heat = shape::heat(inspection);
    let cell = |(state, n): (State, u32), area: &(String, Bilingual)| {
        let n = (!matches!(state, State::Ok | State::Skip)).then_some(n);
        let label = format!("{} · {}: {} · {}", area.1.en, area.1.zh, state.name(), state.name_zh());
        CellView { state: state.name(), n, label }
    };
    let rows = heat.rows.iter().take(LINES).map(|row| HeatRowView {
        name: row.name.clone(),
        missing: row.missing.as_deref().map(|why| clipped(why, 300)),
        cells: row.cells.iter().zip(&heat.areas).map(|(one, area)| one.map(|one| cell(one, area))).collect(),
    });
    let (well, well_more) = first(&heat.well, LINES);
    HeatView {
        rows: rows.collect(),
        more: heat.rows.len().saturating_sub(LINES),
        well,
        well_more,
        areas: heat
            .areas
            .iter()
            .map(|(prefix, title)| HeatArea { prefix: prefix.clone(), label: format!("{} · {}", title.en, title.zh) })
            .collect(),
    }
}

#[derive(Debug, Serialize)]
struct PassedView {
    checks: usize,
    objects: usize,
    rows: Vec<PassedRow>,
}

#[derive(Debug, Serialize)]
struct PassedRow {
    check: String,
    title: Bilingual,
    n: usize,
}

fn passed(inspection: &Inspection) -> PassedView {
    let title = |id: &kfleet_inspect::CheckId| {
        let plain = || Bilingual { en: id.to_string(), zh: id.to_string() };
        CATALOGUE.get(id.as_str()).map_or_else(plain, |check| check.title.clone())
    };
    let rows: Vec<PassedRow> = inspection
        .passed
        .iter()
        .filter(|(_, objects)| !objects.is_empty())
        .map(|(id, objects)| PassedRow { check: id.to_string(), title: title(id), n: objects.len() })
        .collect();
    PassedView { checks: rows.len(), objects: rows.iter().map(|row| row.n).sum(), rows }
}

#[derive(Debug, Serialize)]
struct SkippedView {
    count: usize,
    rows: Vec<SkippedRow>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct SkippedRow {
    check: String,
    about: ObjectView,
    why: String,
}

fn skipped(inspection: &Inspection) -> SkippedView {
    let all = || inspection.skipped.iter().flat_map(|(check, all)| all.iter().map(move |one| (check, one)));
    let rows = all().take(LINES).map(|(check, one)| SkippedRow {
        check: check.to_string(),
        about: ObjectView::new(&one.object),
        why: clipped(&one.why, 300),
    });
    let count = all().count();
    SkippedView { rows: rows.collect(), more: count.saturating_sub(LINES), count }
}

#[derive(Debug, Serialize)]
struct CostView {
    cpu: String,
    bytes: String,
    rows: Vec<CostRow>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct CostRow {
    host: String,
    cpu: String,
    bytes: String,
    wall: String,
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is shown with two decimals")]
    Quantity::new(bytes as f64, Unit::Bytes).to_string()
}

fn cost(inspection: &Inspection) -> CostView {
    let run = &inspection.run;
    let row = |(host, cost): (&kfleet_model::HostName, &Cost)| CostRow {
        host: host.to_string(),
        cpu: human_ms(cost.cpu_ms),
        bytes: size(cost.bytes),
        wall: human_ms(cost.wall_ms),
    };
    CostView {
        cpu: human_ms(run.cost.cpu_ms),
        bytes: size(run.cost.bytes),
        rows: run.cost_by_host.iter().take(LINES).map(row).collect(),
        more: run.cost_by_host.len().saturating_sub(LINES),
    }
}
