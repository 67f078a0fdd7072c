//! Messages and items of an inspection, in the language of a channel.

use super::message::{DedupKey, Item, Language, Mark, Message, Purpose, TEXT_BYTES, TITLE_BYTES, clean};
use super::words::Words;
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::finding::{Finding, Fired};
use kfleet_inspect::{CATALOGUE, CheckId, Inspection, Object, State, Subject};
use kfleet_model::FleetName;

/// How near a forecast must be to be told. Chosen: what must be acted on this week.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How many forecasts and how many waivers are told; the report has all.
const NOTES: usize = 2;

/// The longest note, in bytes: four of them leave room for items where the whole message has 4096 (WeCom).
const NOTE_BYTES: usize = 200;

/// Makes what is told of one inspection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker<'a> {
    /// The inspection.
    pub(super) inspection: &'a Inspection,
    /// The language.
    pub(super) language: Language,
    /// Where the report is.
    pub(super) link: Option<&'a str>,
}

fn text(text: &str) -> String {
    clean(text, TEXT_BYTES)
}

impl Maker<'_> {
    fn words(self) -> Words {
        Words(self.language)
    }

    /// A finding; `state` is the worst of all that it explains.
    #[must_use]
    pub(super) fn item(self, finding: &Finding, mark: Mark, state: State, was: Option<State>) -> Item {
        let words = self.words();
        let condition = |fired: &Fired| text(&format!("{} ({})", fired.condition, fired.layer));
        Item {
            key: DedupKey::new(&self.inspection.fleet, &finding.subject().to_string()),
            check: finding.check.clone(),
            object: finding.object.clone(),
            mark,
            state,
            was,
            title: text(words.of(&finding.title)),
            reading: finding.reading.as_ref().map(|reading| text(&reading.to_string())),
            condition: finding.threshold.as_ref().map(condition),
            note: finding.note.as_deref().map(text),
            why: text(words.of(&finding.why)),
            advice: text(words.of(&finding.advice)),
            since: finding.since,
            explains: finding.explains,
            unstable: finding.unstable,
        }
    }

    /// Something that the channel was told and that is no more.
    #[must_use]
    pub(super) fn ended(self, key: DedupKey, subject: Subject, mark: Mark, was: State, told_at: Timestamp) -> Item {
        let words = self.words();
        let cleared =
            self.inspection.cleared.iter().find(|old| old.check == subject.check && old.object == subject.object);
        let title = match (cleared, CATALOGUE.get(subject.check.as_str())) {
            (Some(cleared), _) => words.of(&cleared.title),
            (None, Some(check)) => words.of(&check.title),
            (None, None) => "",
        };
        Item {
            key,
            mark,
            state: was,
            was: None,
            title: text(title),
            reading: None,
            condition: None,
            note: None,
            why: String::new(),
            advice: String::new(),
            since: cleared.map_or(told_at, |cleared| cleared.since),
            explains: 0,
            unstable: None,
            check: subject.check,
            object: subject.object,
        }
    }

    /// The message of the whole night.
    #[must_use]
    pub(super) fn digest(self, key: DedupKey, items: Vec<Item>) -> Message {
        let title = self.words().digest(self.inspection, &items);
        Message { notes: self.notes(), ..self.message(Purpose::Digest, key, &title, items) }
    }

    /// The message of one cause.
    #[must_use]
    pub(super) fn single(self, purpose: Purpose, item: Item) -> Message {
        let title = self.words().cause(self.inspection, &item);
        self.message(purpose, item.key.clone(), &title, vec![item])
    }

    /// The message of all that is unstable.
    #[must_use]
    pub(super) fn unstable(self, key: DedupKey, items: Vec<Item>) -> Message {
        let title = self.words().unstable(self.inspection, items.len());
        self.message(Purpose::Unstable, key, &title, items)
    }

    /// The message that nothing is unstable any more.
    #[must_use]
    pub(super) fn settled(self, key: DedupKey) -> Message {
        self.message(Purpose::Resolved, key, &self.words().settled(self.inspection), Vec::new())
    }

    fn message(self, purpose: Purpose, key: DedupKey, title: &str, items: Vec<Item>) -> Message {
        Message {
            purpose,
            fleet: self.inspection.fleet.clone(),
            language: self.language,
            key,
            at: self.inspection.run.judged_at,
            verdict: self.inspection.verdict,
            score: self.inspection.score.points,
            title: clean(title, TITLE_BYTES),
            summary: vec![text(&self.words().summary(self.inspection))],
            items,
            notes: Vec::new(),
            link: self.link.map(str::to_owned),
        }
    }

    /// What must be acted on soon.
    fn notes(self) -> Vec<String> {
        let soon = |at: Timestamp| at.duration_since(self.inspection.run.judged_at) <= SOON;
        let forecasts = self.inspection.forecasts.iter().filter(|forecast| soon(forecast.earliest));
        let waivers = self.inspection.waivers.iter().filter(|waiver| soon(waiver.expires));
        let forecasts = forecasts.take(NOTES).map(|forecast| self.words().forecast(forecast));
        let waivers = waivers.take(NOTES).map(|waiver| self.words().waiver(waiver));
        forecasts.chain(waivers).map(|note| clean(&note, NOTE_BYTES)).collect()
    }
}

/// A message that tries a channel. It says that it is a test; `mark` is [`Mark::New`], or [`Mark::Fixed`] to close what the
/// first one opened.
#[must_use]
pub fn test_message(fleet: &FleetName, language: Language, now: Timestamp, mark: Mark) -> Message {
    let (title, summary, name) = Words(language).test();
    let key = DedupKey::new(fleet, "notify.test@fleet");
    let item = Item {
        key: key.clone(),
        check: CheckId::new("notify.test"),
        object: Object::FLEET,
        mark,
        state: State::Info,
        was: None,
        title: name.to_owned(),
        reading: None,
        condition: None,
        note: None,
        why: summary.to_owned(),
        advice: String::new(),
        since: now,
        explains: 0,
        unstable: None,
    };
    Message {
        purpose: Purpose::Test,
        fleet: fleet.clone(),
        language,
        key,
        at: now,
        verdict: State::Info,
        score: 100,
        title: clean(&format!("[{fleet}] {title}"), TITLE_BYTES),
        summary: vec![summary.to_owned()],
        items: vec![item],
        notes: Vec::new(),
        link: None,
    }
}
