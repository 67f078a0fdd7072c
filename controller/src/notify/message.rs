//! A message as every channel gets it: what is told, in one language, before any channel's form.
//!
//! All texts are cleaned of control characters and bounded here, so that a channel's own limit is a matter of how many
//! items are shown and never of one long text. Evidence stays in the report: raw lines of hosts do not leave for chats.

use super::words::Words;
use jiff::Timestamp;
use kfleet_inspect::finding::Unstable;
use kfleet_inspect::{CheckId, Object, State};
use kfleet_model::FleetName;
use serde::Serialize;

/// The longest text of an item or line, in bytes. Chosen: some three lines on a telephone.
pub const TEXT_BYTES: usize = 300;

/// The longest title, in bytes: it must leave room for items where the whole message has 4096 (WeCom).
pub const TITLE_BYTES: usize = 240;

/// The longest link to the report, in bytes.
pub const LINK_BYTES: usize = 512;

/// The language of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// Its name in `notify.yml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// One message for the whole night.
    Digest,
    /// One cause that is new or got worse.
    Open,
    /// One cause that is no more.
    Resolved,
    /// One cause that somebody has seen.
    Acknowledged,
    /// Everything whose state changes often.
    Unstable,
    /// A try of the channel.
    Test,
}

/// Why an item is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The channel has not been told of it yet.
    New,
    /// It is worse than the channel was told.
    Worse,
    /// Its state changes often.
    Unstable,
    /// It is well again.
    Fixed,
    /// What it was about is gone or no longer looked at.
    Gone,
    /// It was accepted by a waiver.
    Waived,
    /// It is too mild now for the channel's routes.
    Below,
    /// It is milder than the channel was told.
    Better,
    /// Somebody has seen it.
    Acknowledged,
    /// It is as the channel was told.
    Open,
}

impl Mark {
    /// In the order of a message.
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::Worse,
        Self::Unstable,
        Self::Fixed,
        Self::Gone,
        Self::Waived,
        Self::Below,
        Self::Better,
        Self::Acknowledged,
        Self::Open,
    ];

    /// It ends what the channel was told.
    #[must_use]
    pub fn ends(self) -> bool {
        match self {
            Self::Fixed | Self::Gone | Self::Waived | Self::Below => true,
            Self::New | Self::Worse | Self::Unstable | Self::Better | Self::Acknowledged | Self::Open => false,
        }
    }
}

/// What a notice is known by, over nights and channels: `FLEET/CHECK@OBJECT`, or `FLEET/` and a word of the planner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DedupKey(String);

impl DedupKey {
    /// The key of something in a fleet.
    #[must_use]
    pub fn new(fleet: &FleetName, what: &str) -> Self {
        Self(format!("{fleet}/{what}"))
    }

    /// A key as a store kept it.
    #[must_use]
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the fleet; names of fleets hold no `/`.
    #[must_use]
    pub fn what(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, what)| what)
    }

    /// Whose fleet it is.
    #[must_use]
    pub fn is_of(&self, fleet: &FleetName) -> bool {
        self.0.split_once('/').is_some_and(|(name, _)| name == fleet.as_str())
    }
}

/// One thing of a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// What it is known by.
    pub key: DedupKey,
    /// The check.
    pub check: CheckId,
    /// What it is about.
    pub object: Object,
    /// Why it is told.
    pub mark: Mark,
    /// How it stands; for what ended, how it stood.
    pub state: State,
    /// How the channel was last told that it stands, when that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<State>,
    /// What the check looks at.
    pub title: String,
    /// What was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<String>,
    /// The condition that it met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Why it is unknown, or what the rule found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it matters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// Since when.
    pub since: Timestamp,
    /// How many findings it explains.
    pub explains: u32,
    /// How often its state changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unstable: Option<Unstable>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// What it is for.
    pub purpose: Purpose,
    /// The fleet.
    pub fleet: FleetName,
    /// Its language.
    pub language: Language,
    /// What it is known by.
    pub key: DedupKey,
    /// When the inspection that it tells of was judged.
    pub at: Timestamp,
    /// The worst state that counts, of the whole fleet.
    pub verdict: State,
    /// The score.
    pub score: u32,
    /// One line.
    pub title: String,
    /// What holds of the whole inspection.
    pub summary: Vec<String>,
    /// What it tells, in the order of its marks and the worst first.
    pub items: Vec<Item>,
    /// What is worth knowing beside: forecasts, waivers that end.
    pub notes: Vec<String>,
    /// Where the report is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A line of a message, for channels that show text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// What holds of the whole inspection.
    Summary(String),
    /// A heading over items.
    Heading(String),
    /// An item.
    Item {
        /// How it stands.
        state: State,
        /// The word for that.
        word: String,
        /// What stands behind it.
        text: String,
        /// More of it, each a line.
        more: Vec<String>,
    },
    /// How many items are not shown.
    More(String),
    /// Something beside.
    Note(String),
}

/// How much of a message is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// How many items.
    pub items: usize,
    /// How much of each.
    pub detail: Detail,
}

/// How much of an item is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// One line.
    Short,
}

impl Message {
    /// The words of its language.
    #[must_use]
    pub fn words(&self) -> Words {
        Words(self.language)
    }

    /// The lines below the title, with as much as is shown.
    #[must_use]
    pub fn lines(&self, shown: Shown) -> Vec<Line> {
        let words = self.words();
        let mut lines: Vec<Line> = self.summary.iter().cloned().map(Line::Summary).collect();
        let mut heading = None;
        for item in self.items.iter().take(shown.items) {
            let name = words.mark(item.mark);
            if self.items.len() > 1 && heading != Some(name) {
                let many = self.items.iter().filter(|other| words.mark(other.mark) == name).count();
                lines.push(Line::Heading(format!("{name} ({many})")));
                heading = Some(name);
            }
            lines.push(item.line(words, shown.detail));
        }
        let left = self.items.len().saturating_sub(shown.items);
        if left > 0 {
            lines.push(Line::More(words.more(left)));
        }
        lines.extend(self.notes.iter().cloned().map(Line::Note));
        lines
    }

    /// The worst state that an item of it still has.
    #[must_use]
    pub fn worst(&self) -> State {
        self.items.iter().filter(|item| !item.mark.ends()).map(|item| item.state).max().unwrap_or(State::Ok)
    }
}

impl Item {
    fn line(&self, words: Words, detail: Detail) -> Line {
        let mut text = format!("{} {}", self.object, self.check);
        let reading = [self.reading.as_deref(), self.condition.as_deref()].into_iter().flatten();
        let reading = reading.collect::<Vec<_>>().join(words.against());
        match detail {
            Detail::Full => text.push_str(&format!(" {}", self.title)),
            Detail::Short if reading.is_empty() => {}
            Detail::Short => text.push_str(&format!(" {}", cut(&reading, TEXT_BYTES / 3))),
        }
        let mut more = Vec::new();
        if detail == Detail::Full {
            more.extend((!reading.is_empty()).then_some(reading));
            more.extend(self.note.clone());
            more.push(words.history(self));
            more.extend((!self.advice.is_empty() && !self.mark.ends()).then(|| words.advice(&self.advice)));
        }
        Line::Item {
            state: self.state,
            word: words.state(self.state).to_owned(),
            text: clean(&text, 2 * TEXT_BYTES),
            more,
        }
    }
}

/// A text for people on one line: control characters become blanks, and it has at most so many bytes.
#[must_use]
pub fn clean(text: &str, bytes: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(text.trim(), bytes)
}

/// A text of at most so many bytes, cut between characters; what was cut ends in `…`.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes.saturating_sub(ELLIPSIS.len_utf8());
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last().unwrap_or(0);
    let mut cut = text.get(..end).unwrap_or_default().to_owned();
    if bytes >= ELLIPSIS.len_utf8() {
        cut.push(ELLIPSIS);
    }
    cut
}

/// A message that can not be put into a channel's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Even without items it is too large.
    #[error("the message has {size} {unit} without any item, and at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
        /// What is allowed.
        limit: usize,
        /// In what.
        unit: &'static str,
    },
    /// It can not be made at all.
    #[error("the message can not be made: {0}")]
    Form(String),
}

/// What bounds a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of UTF-8.
    Bytes(usize),
    /// Characters.
    Characters(usize),
}

impl Limit {
    /// What a text counts against it, what is allowed, and in what.
    #[must_use]
    pub fn measure(self, text: &str) -> (usize, usize, &'static str) {
        match self {
            Self::Bytes(limit) => (text.len(), limit, "bytes"),
            Self::Characters(limit) => (text.chars().count(), limit, "characters"),
        }
    }
}

/// Renders as much of a message as fits: all of it, or all items in short, or as many short items as there is room for.
///
/// # Errors
/// When not even the frame without items fits.
pub fn fit<T>(
    message: &Message,
    limit: Limit,
    text: impl Fn(&T) -> &str,
    render: impl Fn(Shown) -> T,
) -> Result<T, RenderError> {
    let over = |rendered: &T| {
        let (size, allowed, unit) = limit.measure(text(rendered));
        (size > allowed).then_some(RenderError::TooLarge { size, limit: allowed, unit })
    };
    for detail in [Detail::Full, Detail::Short] {
        let whole = render(Shown { items: message.items.len(), detail });
        if over(&whole).is_none() {
            return Ok(whole);
        }
    }
    let short = |items| render(Shown { items, detail: Detail::Short });
    // More items never make it smaller, so halving finds the most that fit.
    let (mut fits, mut too_many) = (0, message.items.len());
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        match over(&short(middle)) {
            None => fits = middle,
            Some(_) => too_many = middle,
        }
    }
    let rendered = short(fits);
    over(&rendered).map_or(Ok(rendered), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        let cases = [
            ("abc", 3, "abc"),
            ("abcd", 3, "…"),
            ("abcdef", 5, "ab…"),
            ("磁盘满", 9, "磁盘满"),
            ("磁盘满了", 9, "磁盘…"),
            ("磁盘满了", 8, "磁…"),
            ("磁盘", 2, ""),
        ];
        for (text, bytes, expected) in cases {
            let cut = cut(text, bytes);
            assert_eq!(cut, expected, "{text} to {bytes}");
            assert!(cut.len() <= bytes);
        }
        assert_eq!(clean(" a\u{1b}[2J\nb ", 99), "a [2J b");
    }
}
