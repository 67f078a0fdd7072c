//! Folding: findings that another one explains stand under it, and are counted there.
//!
//! What explains what is data (`catalogue/causes.toml`). A folded finding keeps its state, so a verdict is never better
//! for it; it takes nothing from the score a second time.

use crate::catalogue::CheckId;
use crate::finding::{Finding, State, Subject};
use crate::object::Owner;
use crate::reading::FleetReadings;
use kfleet_model::ClusterName;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

const DATA: &str = include_str!("../catalogue/causes.toml");

/// How near a cause must be to what it explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reach {
    /// On the same host.
    Host,
    /// In the same cluster, or on one of its hosts.
    Cluster,
}

/// One rule: a check whose findings explain those of others.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cause {
    check: String,
    reach: Reach,
    explains: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    cause: Vec<Cause>,
}

/// The rules; a test fails when the embedded data can not be parsed.
static CAUSES: LazyLock<Vec<Cause>> = LazyLock::new(|| toml::from_str::<File>(DATA).unwrap_or_default().cause);

/// The clusters of an owner.
fn clusters<'a>(owner: &'a Owner, of_hosts: &'a BTreeMap<&str, &BTreeSet<ClusterName>>) -> BTreeSet<&'a ClusterName> {
    match owner {
        Owner::Fleet => BTreeSet::new(),
        Owner::Host(host) => of_hosts.get(host.as_str()).into_iter().flat_map(|names| names.iter()).collect(),
        Owner::Cluster(name) => BTreeSet::from([name]),
    }
}

/// Puts each finding under the first cause that reaches it, the rules being in the order of how deep they go.
pub(crate) fn fold(findings: &mut [Finding], readings: &FleetReadings) {
    let of_hosts: BTreeMap<&str, &BTreeSet<ClusterName>> =
        readings.hosts.iter().map(|host| (host.host.as_str(), &host.clusters)).collect();
    let mut under: BTreeMap<usize, usize> = BTreeMap::new();
    for (n, finding) in findings.iter().enumerate().filter(|(_, finding)| finding.state.counts()) {
        let found = CAUSES.iter().filter(|cause| cause.explains.iter().any(|check| check == finding.check.as_str()));
        let cause = found.into_iter().find_map(|cause| reaching(findings, cause, finding, &of_hosts));
        if let Some(cause) = cause {
            under.insert(n, cause);
        }
    }
    let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
    for follower in under.keys() {
        let root = root(&under, *follower);
        *counts.entry(root).or_default() += 1;
    }
    let subjects: Vec<Subject> = findings.iter().map(Finding::subject).collect();
    for (n, finding) in findings.iter_mut().enumerate() {
        finding.cause = under.get(&n).and_then(|_| subjects.get(root(&under, n)).cloned());
        finding.explains = counts.get(&n).copied().unwrap_or_default();
    }
}

/// The finding at the end of the chain of causes. The rules have no circles, which a test proves.
fn root(under: &BTreeMap<usize, usize>, mut n: usize) -> usize {
    while let Some(next) = under.get(&n) {
        n = *next;
    }
    n
}

fn reaching(
    findings: &[Finding],
    cause: &Cause,
    follower: &Finding,
    of_hosts: &BTreeMap<&str, &BTreeSet<ClusterName>>,
) -> Option<usize> {
    let reaches = |other: &Finding| match cause.reach {
        Reach::Host => other.object.owner.host().is_some() && other.object.owner == follower.object.owner,
        Reach::Cluster => {
            let (one, two) = (clusters(&other.object.owner, of_hosts), clusters(&follower.object.owner, of_hosts));
            !one.is_disjoint(&two)
        }
    };
    let is_cause = |other: &Finding| {
        other.check == CheckId::new(&*cause.check) && matches!(other.state, State::Warn | State::Crit) && reaches(other)
    };
    findings.iter().position(is_cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CATALOGUE;

    #[test]
    fn the_rules_name_checks_that_are_built_and_have_no_circle() {
        let causes = toml::from_str::<File>(DATA).unwrap().cause;
        assert!(!causes.is_empty());
        for cause in &causes {
            for check in cause.explains.iter().chain([&cause.check]) {
                assert!(CATALOGUE.get(check).is_some_and(|check| check.built), "{check}");
            }
        }
        // A cause never comes, over any number of rules, to explain itself.
        for cause in &causes {
            let (mut reached, mut next) = (BTreeSet::new(), vec![cause.check.as_str()]);
            while let Some(check) = next.pop() {
                for explained in causes.iter().filter(|one| one.check == check).flat_map(|one| &one.explains) {
                    assert_ne!(*explained, cause.check, "a circle");
                    if reached.insert(explained) {
                        next.push(explained);
                    }
                }
            }
        }
    }
}
