//! Times, and texts from hosts, as all forms write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// How many characters of one text from a host a form for people shows. Chosen: some screens of a stack trace.
pub(super) const LONGEST: usize = 4_000;

/// Text from a host with everything made visible that a reader could not see or that would change how the rest is
/// shown: control characters, the marks that turn the direction of writing, and characters without width. A host must
/// not be able to write one thing and show another.
#[must_use]
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || hides(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// [Unicode TR 36, bidirectional text spoofing](https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing), and
/// what has no width, Unicode's own line ends, what is not assigned a meaning (U+FFFE, U+FFFF) and tags.
fn hides(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// [`visible`], and not longer than `most` characters; what is left out is counted.
#[must_use]
pub(super) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => visible(text),
        Some((end, _)) => format!("{} … (+{})", visible(&text[..end]), text[end..].chars().count()),
    }
}

/// A moment as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    /// For machines.
    pub(super) iso: String,
    /// `2026-01-02 03:04 UTC`.
    pub(super) utc: String,
    /// The same moment in the fleet's zone.
    pub(super) local: Option<String>,
}

impl Moment {
    pub(super) fn new(at: Timestamp, zone: Option<&TimeZone>) -> Self {
        let local = zone.map(|zone| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string());
        Self { iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), utc: utc(at), local }
    }

    /// Both, for forms that are plain text.
    pub(super) fn text(&self) -> String {
        self.local.as_ref().map_or_else(|| self.utc.clone(), |local| format!("{} ({local})", self.utc))
    }
}

/// `2026-01-02 03:04 UTC`.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The first some of a list, and how many more there are.
pub(super) fn first<T: std::fmt::Display>(all: impl IntoIterator<Item = T>, most: usize) -> (Vec<String>, usize) {
    let mut all = all.into_iter();
    let shown: Vec<String> = all.by_ref().take(most).map(|item| item.to_string()).collect();
    let more = all.count();
    (shown, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_seen_is_made_visible() {
        for (text, wanted) in [
            ("kafka 卡夫卡 é", "kafka 卡夫卡 é"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\tc\0", "a\\nb\\tc\\u{0}"),
            ("evil\u{202e}gpj.exe", "evil\\u{202e}gpj.exe"),
            ("\u{2066}x\u{2069}\u{200f}\u{feff}", "\\u{2066}x\\u{2069}\\u{200f}\\u{feff}"),
            ("\u{ffff}\u{2028}", "\\u{ffff}\\u{2028}"),
        ] {
            assert_eq!(visible(text), wanted);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_by_how_many() {
        assert_eq!(clipped("严重严重", 2), "严重 … (+2)");
        assert_eq!(clipped("严重", 2), "严重");
    }

    #[test]
    fn a_moment_stands_in_utc_and_in_the_fleets_zone() {
        let at: Timestamp = "2026-01-15T18:30:00Z".parse().unwrap();
        assert_eq!(Moment::new(at, None).text(), "2026-01-15 18:30 UTC");
        let zone = TimeZone::posix("CST-8").unwrap();
        assert_eq!(Moment::new(at, Some(&zone)).text(), "2026-01-15 18:30 UTC (2026-01-16 02:30 CST)");
    }

    #[test]
    fn a_list_ends_in_how_many_more_there_are() {
        assert_eq!(first([1, 2, 3], 2), (vec!["1".to_owned(), "2".to_owned()], 1));
        assert_eq!(first([1], 2), (vec!["1".to_owned()], 0));
    }
}
