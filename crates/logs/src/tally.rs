//! Counting what matched: how often, when, with what in it, and how bad that is.
//!
//! Everything is bounded: what rules need of the past is kept, and no more.

use crate::matcher::Hit;
use crate::secret::masked;
use crate::signature::{Rule, Severity, Signature, SignatureId, Signatures, When};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many distinct captures are kept of each signature.
pub const CAPTURES: usize = 20;

/// So many names are counted apart. A cluster has fewer consumer groups that misbehave; a flood of names is one fault.
const NAMES: usize = 500;

/// What comes again within this time still lasts, however short the rule's own time is: clients and fetchers wait up to half a
/// minute between their tries.
const GAP_S: i64 = 60;

/// One signature as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: SignatureId,
    /// How many records have it.
    pub count: u64,
    /// When the first was written.
    pub first: Option<Timestamp>,
    /// When the last was.
    pub last: Option<Timestamp>,
    /// The first and last line that was bad by itself, by a rule about its value or text.
    pub over: Option<(Timestamp, Timestamp)>,
    /// Distinct captures, joined by commas, in the order of their coming; at most [`CAPTURES`].
    pub captures: Vec<String>,
    /// The first line, secrets hidden.
    pub sample: String,
    /// How bad it is.
    pub severity: Severity,
    /// It is the normal sound of a restart.
    pub volatile: bool,
}

/// Counts for one host.
#[derive(Debug)]
pub struct Tally<'s> {
    set: &'s Signatures,
    all: BTreeMap<&'s SignatureId, Count<'s>>,
}

#[derive(Debug)]
struct Count<'s> {
    signature: &'s Signature,
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    over: Option<(Timestamp, Timestamp)>,
    captures: Vec<String>,
    known: BTreeSet<String>,
    sample: String,
    rules: Vec<Watch>,
}

/// How near a rule is.
#[derive(Debug, Default)]
struct Watch {
    reached: bool,
    /// Moments of the newest lines, by name; so many as the bound has.
    newest: BTreeMap<String, VecDeque<Option<Timestamp>>>,
    /// Since when lines come again and again, and the last of them.
    since: Option<(Timestamp, Timestamp)>,
}

impl<'s> Tally<'s> {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(set: &'s Signatures) -> Self {
        Self { set, all: BTreeMap::new() }
    }

    /// Counts a hit in a record.
    pub fn add(&mut self, hit: &Hit<'s>, at: Option<Timestamp>, line: &str) {
        let signature = hit.signature;
        let count = self.all.entry(&signature.id).or_insert_with(|| Count {
            signature,
            count: 0,
            first: at,
            last: at,
            over: None,
            captures: Vec::new(),
            known: BTreeSet::new(),
            sample: masked(line).into_owned(),
            rules: signature.rules.iter().map(|_| Watch::default()).collect(),
        });
        count.count += 1;
        count.first = count.first.min(at).or(count.first).or(at);
        count.last = count.last.max(at);
        let captured = masked(&hit.captures.join(", ")).into_owned();
        if !captured.is_empty() && count.captures.len() < CAPTURES && count.known.insert(captured.clone()) {
            count.captures.push(captured);
        }
        for (rule, watch) in signature.rules.iter().zip(&mut count.rules) {
            if let (LineIs::Bad, Some(at)) = (watch.see(rule, hit, at), at) {
                let (first, last) = count.over.unwrap_or((at, at));
                count.over = Some((first.min(at), last.max(at)));
            }
        }
    }

    /// How many records have a signature.
    #[must_use]
    pub fn count(&self, id: &SignatureId) -> u64 {
        self.all.get(id).map_or(0, |count| count.count)
    }

    /// What was seen, the worst first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen: Vec<Seen> = self.all.values().map(|count| self.one(count)).collect();
        let place = |id: &SignatureId| self.set.all().iter().position(|signature| signature.id == *id);
        seen.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| place(&a.id).cmp(&place(&b.id))));
        seen
    }

    fn one(&self, count: &Count<'s>) -> Seen {
        let raised = count.signature.rules.iter().zip(&count.rules).filter(|(rule, watch)| match &rule.when {
            When::Share { of, above_percent } => {
                count.count.saturating_mul(100) > self.count(of).saturating_mul(u64::from(*above_percent))
            }
            When::Count { .. } | When::Value { .. } | When::Text { .. } | When::Lasts { .. } => watch.reached,
        });
        let severity = raised.map(|(rule, _)| rule.severity).chain([count.signature.severity]).max();
        Seen {
            id: count.signature.id.clone(),
            count: count.count,
            first: count.first,
            last: count.last,
            over: count.over,
            captures: count.captures.clone(),
            sample: count.sample.clone(),
            severity: severity.unwrap_or(count.signature.severity),
            volatile: count.signature.volatile,
        }
    }
}

fn captured<'a>(hit: &'a Hit<'_>, n: usize) -> Option<&'a str> {
    n.checked_sub(1).and_then(|place| hit.captures.get(place)).map(String::as_str)
}

/// Whether one line reaches a rule, whatever came before it.
fn by_itself(rule: &Rule, hit: &Hit<'_>) -> bool {
    match &rule.when {
        When::Value { capture, above } => {
            captured(hit, *capture).and_then(|text| text.parse::<f64>().ok()).is_some_and(|value| value > *above)
        }
        When::Text { capture, matches } => captured(hit, *capture).is_some_and(|text| matches.0.is_match(text)),
        When::Count { .. } | When::Lasts { .. } | When::Share { .. } => false,
    }
}

/// How bad one line is by itself: what it is about and its value, not how often it came.
#[must_use]
pub fn severity_of_line(hit: &Hit<'_>) -> Severity {
    let raised = hit.signature.rules.iter().filter(|rule| by_itself(rule, hit)).map(|rule| rule.severity);
    raised.max().unwrap_or(Severity::Info).max(hit.signature.severity)
}

/// What a line says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineIs {
    /// It reached a rule alone.
    Bad,
    /// It is only counted.
    OneOfMany,
}

impl Watch {
    fn see(&mut self, rule: &Rule, hit: &Hit<'_>, at: Option<Timestamp>) -> LineIs {
        let captured = |n: usize| captured(hit, n);
        let reached = match &rule.when {
            When::Value { .. } | When::Text { .. } => by_itself(rule, hit),
            When::Count { more_than, within_s, per } => {
                let name = per.and_then(captured).unwrap_or_default();
                self.counts(name, *more_than, *within_s, at)
            }
            When::Lasts { seconds } => self.lasts(i64::from(*seconds), at),
            // This one is known when all is counted.
            When::Share { .. } => false,
        };
        self.reached |= reached;
        match &rule.when {
            When::Value { .. } | When::Text { .. } if reached => LineIs::Bad,
            When::Value { .. } | When::Text { .. } | When::Count { .. } | When::Lasts { .. } | When::Share { .. } => {
                LineIs::OneOfMany
            }
        }
    }

    fn counts(&mut self, name: &str, more_than: u32, within_s: Option<u32>, at: Option<Timestamp>) -> bool {
        if self.reached || (!self.newest.contains_key(name) && self.newest.len() >= NAMES) {
            return false;
        }
        let newest = self.newest.entry(name.to_owned()).or_default();
        newest.push_back(at);
        let bound = more_than as usize;
        if newest.len() <= bound {
            return false;
        }
        let oldest = newest.pop_front().flatten();
        match (within_s, oldest, at) {
            (None, _, _) => true,
            (Some(within), Some(oldest), Some(at)) => at.as_second() - oldest.as_second() <= i64::from(within),
            (Some(_), _, _) => false,
        }
    }

    fn lasts(&mut self, seconds: i64, at: Option<Timestamp>) -> bool {
        let Some(at) = at else { return false };
        let gap = GAP_S.max(seconds / 4);
        let since = match self.since {
            Some((since, last)) if at.as_second() - last.as_second() <= gap => since,
            Some(_) | None => at,
        };
        self.since = Some((since, at));
        at.as_second() - since.as_second() >= seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SIGNATURES;

    fn seen(id: &str, events: &[(i64, &[&str])]) -> Seen {
        let mut tally = Tally::new(&SIGNATURES);
        let signature = SIGNATURES.find(&SignatureId::new(id)).unwrap();
        for (second, captures) in events {
            let captures = captures.iter().map(|text| (*text).to_owned()).collect();
            let at = Timestamp::from_second(*second).unwrap();
            tally.add(&Hit { signature, captures }, Some(at), "line password=x");
        }
        tally.seen().remove(0)
    }

    fn severity(id: &str, events: &[(i64, &[&str])]) -> Severity {
        seen(id, events).severity
    }

    fn every(step: i64, count: i64) -> Vec<(i64, &'static [&'static str])> {
        (0..count).map(|n| (n * step, &["a", "b"][..])).collect()
    }

    #[test]
    fn severity_follows_the_count_the_rate_the_value_and_the_length() {
        use Severity::{Crit, Info, Warn};
        for (id, events, wanted) in [
            ("K-LOCK", every(1, 1), Crit),
            ("K-IDX-CORRUPT", every(1, 50), Warn),
            ("K-IDX-CORRUPT", every(100_000, 51), Crit),
            ("K-ISR-SHRINK", every(180, 21), Crit),
            ("K-ISR-SHRINK", every(181, 21), Warn),
            ("K-APPEND-ERR", every(6, 11), Crit),
            ("K-APPEND-ERR", every(7, 200), Warn),
            ("K-PEER-DOWN", every(30, 4), Warn),
            ("K-PEER-DOWN", every(30, 5), Crit),
            ("K-PEER-DOWN", every(61, 50), Warn),
            ("K-REMOTE-COPY", every(800, 6), Crit),
            ("KC-ZK-REINIT", every(1, 1), Info),
            ("KC-ZK-REINIT", every(1, 2), Warn),
        ] {
            assert_eq!(severity(id, &events), wanted, "{id} {}", events.len());
        }
        assert_eq!(severity("Z-FSYNC", &[(0, &["SyncThread:1", "5000"])]), Warn);
        assert_eq!(severity("Z-FSYNC", &[(0, &["SyncThread:1", "5001"])]), Crit);
        assert_eq!(severity("KRN-OOM", &[(0, &["x", "1", "java"])]), Crit);
        assert_eq!(severity("KRN-OOM", &[(0, &["x", "1", "chronyd"])]), Warn);
        assert_eq!(severity("K-CLEANER-MARK", &[(0, &["__consumer_offsets-3"])]), Crit);
        assert_eq!(severity("K-CLEANER-MARK", &[(0, &["orders-3"])]), Warn);
    }

    #[test]
    fn a_line_has_a_severity_of_its_own() {
        let line = |id: &str, captures: &[&str]| {
            let signature = SIGNATURES.find(&SignatureId::new(id)).unwrap();
            severity_of_line(&Hit { signature, captures: captures.iter().map(|text| (*text).to_owned()).collect() })
        };
        assert_eq!(line("G-PAUSE", &["Young", "11.4"]), Severity::Info);
        assert_eq!(line("G-PAUSE", &["Young", "600.0"]), Severity::Warn);
        assert_eq!(line("G-PAUSE", &["Young", "3000.1"]), Severity::Crit);
        assert_eq!(line("K-ISR-SHRINK", &["1,2", "1"]), Severity::Warn);
    }

    #[test]
    fn names_are_counted_apart() {
        let mixed: Vec<(i64, &[&str])> =
            (0..14).map(|n| (n, if n % 2 == 0 { &["a"][..] } else { &["b"][..] })).collect();
        assert_eq!(severity("K-GROUP-PREP", &mixed), Severity::Info);
        let one: Vec<(i64, &[&str])> = (0..8).map(|n| (n, &["a"][..])).collect();
        assert_eq!(severity("K-GROUP-PREP", &one), Severity::Warn);
    }

    #[test]
    fn a_share_is_judged_when_all_is_counted() {
        let find = |id: &str| SIGNATURES.find(&SignatureId::new(id)).unwrap();
        for (pauses, humongous, wanted) in [(10, 3, Severity::Info), (10, 4, Severity::Warn)] {
            let mut tally = Tally::new(&SIGNATURES);
            let mut add = |id: &str, times: usize| {
                for _ in 0..times {
                    tally.add(&Hit { signature: find(id), captures: vec!["Young".into(), "1.0".into()] }, None, "");
                }
            };
            add("G-HUMONGOUS", humongous);
            add("G-PAUSE", pauses);
            let seen = tally.seen();
            assert_eq!(seen.iter().find(|seen| seen.id.as_str() == "G-HUMONGOUS").unwrap().severity, wanted);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_has_no_secrets() {
        let texts: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        let captures: Vec<[&str; 1]> = texts.iter().map(|text| [text.as_str()]).collect();
        let events: Vec<(i64, &[&str])> = captures.iter().map(|captures| (5, &captures[..])).collect();
        let seen = seen("K-GROUP-PREP", &events);
        assert_eq!((seen.count, seen.captures.len()), (1000, CAPTURES));
        assert_eq!(seen.captures[..2], ["0", "1"]);
        assert_eq!(seen.sample, "line password=********");
    }
}
