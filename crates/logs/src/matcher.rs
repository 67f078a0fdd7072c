//! One matcher for all signatures of a source.
//!
//! Nearly every line of a log matches nothing. So each pattern is asked once for texts of which every match of it has at
//! least one, all of them are searched for in one pass, and only the patterns whose text was there are tried.

use crate::signature::{Signature, Signatures, Source};
use aho_corasick::{AhoCorasick, MatchKind};
use regex_syntax::hir::{Hir, HirKind};
use std::collections::BTreeSet;

/// Shorter texts are found everywhere.
const SHORTEST: usize = 3;

/// More alternatives than this are no filter.
const MOST: usize = 16;

/// Signatures that are searched for together.
#[derive(Debug)]
pub struct Matcher<'s> {
    signatures: Vec<&'s Signature>,
    /// Texts, and whose they are: places in `signatures`.
    texts: Option<AhoCorasick>,
    owners: Vec<Vec<usize>>,
    /// Those of which no text is known.
    always: Vec<usize>,
}

/// A signature that matched a message.
#[derive(Debug, Clone)]
pub struct Hit<'s> {
    /// The signature.
    pub signature: &'s Signature,
    /// What its pattern captured; an empty text for what took no part.
    pub captures: Vec<String>,
}

impl<'s> Matcher<'s> {
    /// The matcher of one source's signatures.
    #[must_use]
    pub fn new(set: &'s Signatures, source: Source) -> Self {
        let signatures: Vec<&Signature> = set.all().iter().filter(|one| one.is_in(source)).collect();
        let (mut texts, mut owners, mut always) = (Vec::<Vec<u8>>::new(), Vec::<Vec<usize>>::new(), Vec::new());
        for (place, signature) in signatures.iter().enumerate() {
            let Some(required) = required(&signature.pattern) else {
                always.push(place);
                continue;
            };
            for text in required {
                match texts.iter().position(|known| *known == text) {
                    Some(known) => owners[known].push(place),
                    None => {
                        texts.push(text);
                        owners.push(vec![place]);
                    }
                }
            }
        }
        let built = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&texts);
        // Texts that are too many for one automaton filter nothing: then every pattern is tried.
        let texts = built.ok();
        if texts.is_none() {
            always = (0..signatures.len()).collect();
        }
        Self { signatures, texts, owners, always }
    }

    /// The signatures that match a message, in the order of the reference.
    #[must_use]
    pub fn hits(&self, message: &str) -> Vec<Hit<'s>> {
        let mut wanted: BTreeSet<usize> = BTreeSet::new();
        if let Some(texts) = &self.texts {
            for found in texts.find_overlapping_iter(message) {
                wanted.extend(&self.owners[found.pattern().as_usize()]);
            }
        }
        wanted.extend(&self.always);
        let tried = wanted.into_iter().filter_map(|place| {
            let signature = self.signatures[place];
            Some(Hit { signature, captures: signature.captures(message)? })
        });
        tried.collect()
    }
}

/// Texts of which every match of a pattern holds at least one; none when there are none that are good enough.
fn required(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    of(&hir).filter(|texts| shortest(texts) >= SHORTEST && texts.len() <= MOST)
}

fn shortest(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}

fn of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(text) => Some(vec![text.0.to_vec()]),
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of(&repetition.sub),
        // The part whose shortest text is the longest is the rarest; of equal ones that with fewer texts.
        HirKind::Concat(parts) => {
            let known = parts.iter().filter_map(of);
            known.max_by_key(|texts| (shortest(texts), usize::MAX - texts.len()))
        }
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(of).collect();
            each.map(|each| each.into_iter().flatten().collect())
        }
        HirKind::Repetition(_) | HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Shape, parse};
    use crate::signature::{LogFile, SIGNATURES};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// The source of a signature's example, and the form of its line.
    fn home(signature: &Signature) -> (Source, Shape) {
        match signature.files.iter().next().unwrap() {
            LogFile::Zookeeper => (Source::ZooKeeper, Shape::File),
            LogFile::Gc => (Source::Gc, Shape::Gc),
            LogFile::Kernel => (Source::Kernel, Shape::Kernel),
            LogFile::Server
            | LogFile::Controller
            | LogFile::StateChange
            | LogFile::LogCleaner
            | LogFile::KafkaAuthorizer
            | LogFile::Stdout
            | LogFile::ThreadDump => (Source::Kafka, Shape::File),
        }
    }

    fn message(signature: &Signature, shape: Shape) -> String {
        parse(&signature.example, shape).map_or(signature.example.clone(), |header| header.message.into_owned())
    }

    #[test]
    fn every_example_is_matched_by_its_signature_and_by_no_other_one() {
        for signature in SIGNATURES.all() {
            let (source, shape) = home(signature);
            let matcher = Matcher::new(&SIGNATURES, source);
            let found: BTreeSet<_> =
                matcher.hits(&message(signature, shape)).into_iter().map(|hit| hit.signature.id.clone()).collect();
            let mut wanted = signature.also.clone();
            wanted.insert(signature.id.clone());
            assert_eq!(found, wanted, "{}", signature.example);
        }
    }

    #[test]
    fn examples_with_a_header_have_it_taken_off_and_its_level_read() {
        for signature in SIGNATURES.all() {
            let (_, shape) = home(signature);
            // What the JVM prints by itself has none.
            let bare = signature.id.as_str().starts_with('J');
            match parse(&signature.example, shape) {
                Some(header) => {
                    assert!(!bare, "{}", signature.id);
                    assert!(header.message.len() < signature.example.len(), "{}", signature.id);
                    if let (Some(level), true) = (signature.level, shape == Shape::File) {
                        assert_eq!(header.level, Some(level), "{}", signature.id);
                    }
                }
                None => assert!(bare, "{} has no header that is known", signature.id),
            }
        }
    }

    #[test]
    fn every_pattern_has_texts_to_search_for() {
        for signature in SIGNATURES.all() {
            assert!(required(&signature.pattern).is_some(), "{} {}", signature.id, signature.pattern);
        }
    }

    #[test]
    fn the_rarest_text_of_a_pattern_is_chosen() {
        for (pattern, wanted) in [
            ("ab(cdef|ghijk)l", Some(vec!["cdef", "ghijk"])),
            (r"Too many connections from /?(\S+)", Some(vec!["Too many connections from "])),
            ("(abc)?", None),
            ("(abc|d)", None),
            ("(abc)+", Some(vec!["abc"])),
            (r"\d+", None),
        ] {
            let found = required(pattern)
                .map(|texts| texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>());
            assert_eq!(found, wanted.map(|texts| texts.into_iter().map(str::to_owned).collect()), "{pattern}");
        }
    }

    static MATCHERS: LazyLock<Vec<(Source, Matcher<'static>)>> =
        LazyLock::new(|| Source::ALL.map(|source| (source, Matcher::new(&SIGNATURES, source))).into());

    /// Lines that are near to the signatures: their examples, cut and mixed.
    fn line() -> impl Strategy<Value = String> {
        let example = (0..SIGNATURES.all().len()).prop_map(|n| SIGNATURES.all()[n].example.clone());
        (example.clone(), example, 0..400_usize, 0..400_usize).prop_map(|(a, b, from, to)| {
            let head: String = a.chars().take(from).collect();
            let tail: String = b.chars().skip(to).collect();
            head + &tail
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn the_search_for_texts_hides_no_match(line in line()) {
            for (source, matcher) in MATCHERS.iter() {
                let fast: Vec<_> = matcher.hits(&line).into_iter().map(|hit| hit.signature.id.clone()).collect();
                let slow: Vec<_> = SIGNATURES
                    .all()
                    .iter()
                    .filter(|signature| signature.is_in(*source) && signature.captures(&line).is_some())
                    .map(|signature| signature.id.clone())
                    .collect();
                prop_assert_eq!(fast, slow);
            }
        }
    }
}
