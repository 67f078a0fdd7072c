//! What stands for itself, and what is folded under a cause.

use kfleet_inspect::finding::Finding;
use kfleet_inspect::{Inspection, State, Subject};
use std::collections::{BTreeMap, BTreeSet};

/// Findings that stand for themselves, each with the worst state of all that it explains.
pub(super) struct Causes<'a> {
    pub(super) roots: Vec<(&'a Finding, State)>,
}

impl<'a> Causes<'a> {
    pub(super) fn of(inspection: &'a Inspection) -> Self {
        let by_subject: BTreeMap<Subject, &Finding> =
            inspection.findings.iter().map(|finding| (finding.subject(), finding)).collect();
        let mut worst: BTreeMap<Subject, State> = BTreeMap::new();
        let mut alone = BTreeSet::new();
        for finding in &inspection.findings {
            let root = root(finding, &by_subject);
            // What is waived, expected or acknowledged stays quiet with all that it explains, but for what is worse.
            if root.subject() != finding.subject() && muted(root) && finding.state > root.judged {
                alone.insert(finding.subject());
                continue;
            }
            // What is quiet itself makes nothing worse.
            let state = if muted(finding) && !std::ptr::eq(root, finding) { State::Ok } else { finding.state };
            let worst = worst.entry(root.subject()).or_insert(State::Ok);
            *worst = state.max(*worst);
        }
        let roots = inspection.findings.iter().filter_map(|finding| {
            let subject = finding.subject();
            if alone.contains(&subject) {
                return Some((finding, finding.state));
            }
            worst.get(&subject).map(|state| (finding, *state))
        });
        Self { roots: roots.collect() }
    }
}

/// Follows causes to the finding that stands for itself. A cause that is no finding, or a circle, ends the way.
fn root<'a>(finding: &'a Finding, all: &BTreeMap<Subject, &'a Finding>) -> &'a Finding {
    let (mut root, mut seen) = (finding, BTreeSet::from([finding.subject()]));
    while let Some(cause) = root.cause.as_ref().and_then(|cause| all.get(cause)) {
        if !seen.insert(cause.subject()) {
            // In a circle everything would stand under something else; the first by name stands for all.
            let first = seen.iter().next().and_then(|subject| all.get(subject));
            return first.copied().unwrap_or(finding);
        }
        root = cause;
    }
    root
}

/// It is not told.
pub(super) fn muted(finding: &Finding) -> bool {
    finding.acknowledged.is_some()
        || match finding.state {
            State::Ok | State::Skip | State::Expected | State::Waived => true,
            State::Info | State::Unknown | State::Warn | State::Crit => false,
        }
}
