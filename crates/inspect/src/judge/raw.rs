//! What a check says of one object, before anybody else is heard.

use super::scene::Crossed;
use crate::finding::{EVIDENCE, Fired, Shown, State};
use crate::object::Object;
use crate::reading::{Confidence, Datum, Reading};

/// Why there is nothing to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gap {
    /// It could not be read.
    Unknown(String),
    /// It does not apply.
    Skip(String),
}

/// One judgement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Raw {
    pub(crate) object: Object,
    pub(crate) state: State,
    pub(crate) shown: Option<Shown>,
    pub(crate) fired: Option<Fired>,
    pub(crate) held: bool,
    pub(crate) note: Option<String>,
    pub(crate) evidence: Vec<String>,
    pub(crate) source: Option<String>,
    pub(crate) confidence: Confidence,
    /// A maintenance window may explain it, if the check allows that at all.
    pub(crate) excusable: bool,
}

impl Raw {
    pub(crate) fn new(object: Object, state: State) -> Self {
        Self {
            object,
            state,
            shown: None,
            fired: None,
            held: false,
            note: None,
            evidence: Vec::new(),
            source: None,
            confidence: Confidence::High,
            excusable: true,
        }
    }

    pub(crate) fn fired(object: Object, shown: Shown, crossed: Crossed) -> Self {
        let state = crossed.fired.level.state();
        Self { shown: Some(shown), held: crossed.held, fired: Some(crossed.fired), ..Self::new(object, state) }
    }

    pub(crate) fn gap(object: Object, gap: &Gap) -> Self {
        let (state, why) = match gap {
            Gap::Unknown(why) => (State::Unknown, why),
            Gap::Skip(why) => (State::Skip, why),
        };
        Self { note: Some(why.clone()), ..Self::new(object, state) }
    }

    /// With what shows it, bounded: the last line says how many more there are.
    pub(crate) fn because(self, evidence: impl IntoIterator<Item = String>) -> Self {
        let mut evidence: Vec<String> = evidence.into_iter().collect();
        if evidence.len() > EVIDENCE {
            let more = evidence.len() - (EVIDENCE - 1);
            evidence.truncate(EVIDENCE - 1);
            evidence.push(format!("and {more} more"));
        }
        Self { evidence, ..self }
    }

    /// With what the rule found, in words.
    pub(crate) fn noting(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// With the source of its reading.
    pub(crate) fn from(self, reading: &Reading) -> Self {
        let evidence = if self.evidence.is_empty() { reading.evidence.clone() } else { self.evidence.clone() };
        Self { source: Some(reading.source.clone()), confidence: reading.confidence, ..self }.because(evidence)
    }
}

/// Something that the next inspection is to know. Its key is the check's id, a dot and a word, so that it is kept while
/// that check can not be judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    pub(crate) key: &'static str,
    pub(crate) object: Object,
    pub(crate) datum: Datum,
}

/// What a rule comes to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ruled {
    pub(crate) raws: Vec<Raw>,
    pub(crate) facts: Vec<Fact>,
}

impl From<Vec<Raw>> for Ruled {
    fn from(raws: Vec<Raw>) -> Self {
        Self { raws, facts: Vec::new() }
    }
}

impl From<Raw> for Ruled {
    fn from(raw: Raw) -> Self {
        Self::from(vec![raw])
    }
}
