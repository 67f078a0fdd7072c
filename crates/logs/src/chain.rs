//! Causes and followers: of several signatures that fire together, which one is the finding.

use crate::signature::{Chain, SignatureId, Signatures};
use crate::tally::Seen;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Lines of one event are not always written in the order of cause and effect: several threads write them.
const SLACK_S: i64 = 5;

/// For each signature that a chain explains, its first cause among those seen.
///
/// A follower has its cause when it began behind it, within the chain's time of it.
#[must_use]
pub fn explain(set: &Signatures, seen: &[Seen]) -> BTreeMap<SignatureId, SignatureId> {
    let mut causes: BTreeMap<SignatureId, SignatureId> = BTreeMap::new();
    for follower in seen {
        let mut chains = set.chains().iter().filter(|chain| chain.followers.contains(&follower.id));
        let cause = chains.find_map(|chain| cause(chain, seen, follower));
        causes.extend(cause.map(|cause| (follower.id.clone(), cause.clone())));
    }
    let direct = causes.clone();
    for cause in causes.values_mut() {
        // A cause may have one of its own. The shipped chains have no ring; the bound keeps one of an operator from turning.
        for _ in 0..direct.len() {
            let Some(before) = direct.get(cause) else { break };
            *cause = before.clone();
        }
    }
    causes.retain(|follower, cause| follower != cause);
    causes
}

/// The first cause of a follower in one chain.
fn cause<'a>(chain: &Chain, seen: &'a [Seen], follower: &Seen) -> Option<&'a SignatureId> {
    let fits = |root: &&Seen| {
        // Of pauses only the long ones bring something about.
        let (first, last) = root.over.map_or((root.first, root.last), |(first, last)| (Some(first), Some(last)));
        chain.root.contains(&root.id)
            && root.severity >= chain.at_least
            && root.id != follower.id
            && brings(first, last, follower.first, i64::from(chain.within_s))
    };
    seen.iter().filter(fits).min_by_key(|root| root.first).map(|root| &root.id)
}

fn brings(first: Option<Timestamp>, last: Option<Timestamp>, effect: Option<Timestamp>, within_s: i64) -> bool {
    match (first, last, effect) {
        (Some(first), Some(last), Some(effect)) => {
            let effect = effect.as_second();
            effect + SLACK_S >= first.as_second() && effect <= last.as_second() + within_s
        }
        // Without times nothing is explained: a wrong cause hides the right one.
        (Some(_) | None, _, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SIGNATURES, Severity};

    fn seen(id: &str, first: i64, last: i64, severity: Severity) -> Seen {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        Seen {
            id: SignatureId::new(id),
            count: 1,
            first: at(first),
            last: at(last),
            over: None,
            captures: Vec::new(),
            sample: String::new(),
            severity,
            volatile: false,
        }
    }

    fn explained(all: &[(&str, i64, i64)]) -> Vec<String> {
        let all: Vec<Seen> = all.iter().map(|(id, first, last)| seen(id, *first, *last, Severity::Crit)).collect();
        explain(&SIGNATURES, &all).iter().map(|(follower, cause)| format!("{follower} <- {cause}")).collect()
    }

    #[test]
    fn the_first_cause_explains_the_rest() {
        assert_eq!(
            explained(&[
                ("KRN-IO", 100, 400),
                ("K-IO-APPEND", 101, 101),
                ("K-DIR-OFFLINE", 102, 102),
                ("K-LOCK", 103, 103)
            ]),
            ["K-DIR-OFFLINE <- KRN-IO", "K-IO-APPEND <- KRN-IO"]
        );
        // A cause has a cause.
        assert_eq!(
            explained(&[("KRN-LINK", 10, 10), ("K-ISR-SHRINK", 40, 90), ("K-MIN-ISR", 95, 200)]),
            ["K-ISR-SHRINK <- KRN-LINK", "K-MIN-ISR <- KRN-LINK"]
        );
    }

    #[test]
    fn what_came_before_or_long_after_has_another_cause() {
        assert!(explained(&[("KRN-IO", 100, 100), ("K-IO-APPEND", 94, 94)]).is_empty());
        assert_eq!(explained(&[("KRN-IO", 100, 100), ("K-IO-APPEND", 95, 95)]).len(), 1);
        assert_eq!(explained(&[("KRN-IO", 100, 100), ("K-IO-APPEND", 160, 160)]).len(), 1);
        assert!(explained(&[("KRN-IO", 100, 100), ("K-IO-APPEND", 161, 161)]).is_empty());
    }

    #[test]
    fn a_short_pause_explains_nothing() {
        for (severity, explained) in [(Severity::Info, false), (Severity::Warn, true)] {
            let all = [seen("G-PAUSE", 10, 10, severity), seen("KR-FENCE", 12, 12, Severity::Crit)];
            assert_eq!(!explain(&SIGNATURES, &all).is_empty(), explained);
        }
    }
}
