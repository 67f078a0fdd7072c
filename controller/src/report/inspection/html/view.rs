//! What the page says of findings, ready for the template.

use super::chart::{Spark, spark};
use crate::report::inspection::shape::{self, Group, Place, Row};
use crate::report::inspection::texts::{self, Text};
use crate::report::inspection::words::{LONGEST, Moment, clipped};
use crate::report::inspection::{Language, Night, Options, Pages};
use kfleet_inspect::finding::Fired;
use kfleet_inspect::{Bilingual, Confidence, Finding, Object, Quantity, State, Unit};
use serde::Serialize;

/// Findings of one check that are shown with all they have; the rest of it is a list of objects.
const DETAILED: usize = 40;

/// Objects in such lists, on the whole page. A browser takes some ten thousand small elements without delay.
const LISTED: usize = 10_000;

/// Findings below one cause.
const FOLLOWERS: usize = 50;

/// Critical findings that are open when the page is.
const OPEN_ROWS: usize = 3;

/// Groups up to this size are open when the page is.
const OPEN_GROUP: usize = 12;

/// A page with more groups than this begins with all of them closed but the first.
const OPEN_GROUPS: usize = 24;

/// A place of findings.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) count: usize,
    pub(super) groups: Vec<GroupView>,
}

/// The findings of a check.
#[derive(Debug, Serialize)]
pub(super) struct GroupView {
    check: String,
    state: &'static str,
    title: Bilingual,
    why: Bilingual,
    advice: Bilingual,
    open: bool,
    objects: usize,
    followers: usize,
    rows: Vec<RowView>,
    compact: Vec<Brief>,
    more: usize,
}

/// A finding with all it has.
#[derive(Debug, Serialize)]
struct RowView {
    state: &'static str,
    about: ObjectView,
    reading: Option<String>,
    condition: Option<String>,
    set_by: Option<Bilingual>,
    since: Moment,
    change: &'static str,
    marks: Vec<Bilingual>,
    note: Option<String>,
    notes: Vec<NoteView>,
    evidence: Vec<String>,
    source: Option<String>,
    trust: Option<Bilingual>,
    fix: Option<String>,
    spark: Option<Spark>,
    open: bool,
    followers: Vec<Brief>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct NoteView {
    label: Bilingual,
    text: String,
}

/// A finding in one line.
#[derive(Debug, Serialize)]
struct Brief {
    state: &'static str,
    check: String,
    title: Bilingual,
    about: ObjectView,
    reading: Option<String>,
}

/// What something is about.
#[derive(Debug, Serialize)]
pub(super) struct ObjectView {
    owner: String,
    kind: Option<&'static str>,
    part: Option<String>,
}

impl ObjectView {
    pub(super) fn new(object: &Object) -> Self {
        Self {
            owner: shape::owner_name(&object.owner),
            kind: object.part.as_ref().map(|part| part.kind.word()),
            part: object.part.as_ref().map(|part| clipped(&part.name, 300)),
        }
    }
}

/// Makes one place after another, and knows how much of the page is used.
pub(super) struct Findingsmith<'a> {
    pages: Pages<'a>,
    options: &'a Options,
    listed: usize,
    open_rows: usize,
}

impl<'a> Findingsmith<'a> {
    pub(super) fn new(pages: Pages<'a>, options: &'a Options) -> Self {
        Self { pages, options, listed: LISTED, open_rows: OPEN_ROWS }
    }

    /// The findings of a place.
    pub(super) fn place(&mut self, place: Place) -> Findings {
        let groups = shape::groups(self.pages.inspection, place);
        let count = groups.iter().map(Group::size).sum();
        let few = groups.len() <= OPEN_GROUPS;
        let opens = |n: usize, group: &Group<'_>| match place {
            Place::Counts => group.rows.len() <= OPEN_GROUP && (few || n == 0),
            Place::Info | Place::Accepted => false,
        };
        let groups = groups.iter().enumerate().map(|(n, group)| self.group(group, opens(n, group))).collect();
        Findings { count, groups }
    }

    fn group(&mut self, group: &Group<'_>, open: bool) -> GroupView {
        let rows = group.rows.iter().take(DETAILED).map(|row| self.row(row)).collect();
        let rest = group.rows.len().saturating_sub(DETAILED);
        let listed = rest.min(self.listed);
        self.listed -= listed;
        GroupView {
            check: group.lead.check.to_string(),
            state: group.state.name(),
            title: short(&group.lead.title),
            why: short(&group.lead.why),
            advice: short(&group.lead.advice),
            open,
            objects: group.rows.len(),
            followers: group.size() - group.rows.len(),
            rows,
            compact: group.rows.iter().skip(DETAILED).take(listed).map(|row| brief(row.finding)).collect(),
            more: rest - listed,
        }
    }

    fn row(&mut self, row: &Row<'_>) -> RowView {
        let finding = row.finding;
        let open = finding.state == State::Crit && self.open_rows > 0;
        self.open_rows -= usize::from(open);
        let text = |text: &Option<String>| text.as_deref().map(|text| clipped(text, LONGEST));
        RowView {
            state: finding.state.name(),
            about: ObjectView::new(&finding.object),
            reading: reading(finding),
            condition: finding.threshold.as_ref().map(|fired| clipped(&fired.condition, 300)),
            set_by: finding.threshold.as_ref().map(set_by),
            since: Moment::new(finding.since, self.options.zone.as_ref()),
            change: texts::change(finding.change).name(),
            marks: marks(finding),
            note: text(&finding.note),
            notes: notes(finding),
            evidence: finding.evidence.iter().map(|line| clipped(line, LONGEST)).collect(),
            source: text(&finding.source),
            trust: trust(finding.confidence),
            fix: text(&finding.fix),
            spark: shape::nights(&self.pages, finding).and_then(|(nights, unit)| reading_line(nights, unit)),
            open,
            followers: row.followers.iter().take(FOLLOWERS).map(|one| brief(one)).collect(),
            more: row.followers.len().saturating_sub(FOLLOWERS),
        }
    }
}

/// The line of a reading.
pub(super) fn reading_line(nights: &[Night], unit: Unit) -> Option<Spark> {
    let known = || nights.iter().filter_map(|night| night.value);
    let (low, high) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
    let (low, high) = (Quantity::new(low, unit), Quantity::new(high, unit));
    let label = Text::Nights.both_with(&[("n", &nights.len()), ("low", &low), ("high", &high)]);
    spark(nights, None, label)
}

fn reading(finding: &Finding) -> Option<String> {
    finding.reading.as_ref().map(|shown| clipped(&shown.to_string(), 300))
}

fn brief(finding: &Finding) -> Brief {
    Brief {
        state: finding.state.name(),
        check: finding.check.to_string(),
        title: short(&finding.title),
        about: ObjectView::new(&finding.object),
        reading: reading(finding),
    }
}

fn short(text: &Bilingual) -> Bilingual {
    Bilingual { en: clipped(&text.en, 600), zh: clipped(&text.zh, 600) }
}

fn set_by(fired: &Fired) -> Bilingual {
    let layer = short(&texts::layer(&fired.layer));
    Bilingual {
        en: Text::SetBy.with(Language::English, &[("layer", &layer.en)]),
        zh: Text::SetBy.with(Language::Chinese, &[("layer", &layer.zh)]),
    }
}

/// What is trusted fully needs no word.
fn trust(confidence: Confidence) -> Option<Bilingual> {
    let level = texts::confidence(confidence);
    (confidence != Confidence::High).then(|| Bilingual {
        en: Text::Trust.with(Language::English, &[("level", &level.say(Language::English))]),
        zh: Text::Trust.with(Language::Chinese, &[("level", &level.say(Language::Chinese))]),
    })
}

fn marks(finding: &Finding) -> Vec<Bilingual> {
    let mut marks = Vec::new();
    if finding.recovering {
        marks.push(Text::Recovering.both_with(&[]));
    }
    if let Some(unstable) = &finding.unstable {
        marks.push(Text::UnstableOf.both_with(&[("changes", &unstable.changes), ("nights", &unstable.nights)]));
    }
    if let Some(who) = &finding.acknowledged {
        marks.push(Text::Acknowledged.both_with(&[("who", &clipped(who, 100))]));
    }
    marks
}

fn notes(finding: &Finding) -> Vec<NoteView> {
    let named = |state: State, text: &Option<String>| {
        let label = Bilingual { en: state.name().to_owned(), zh: state.name_zh().to_owned() };
        text.as_deref().map(|text| NoteView { label, text: clipped(text, LONGEST) })
    };
    let cause = finding
        .cause
        .as_ref()
        .map(|cause| NoteView { label: Text::CausedBy.both_with(&[]), text: clipped(&cause.to_string(), LONGEST) });
    let listed = [named(State::Waived, &finding.waiver), named(State::Expected, &finding.window), cause];
    listed.into_iter().flatten().collect()
}
