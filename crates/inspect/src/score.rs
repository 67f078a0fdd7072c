//! The score: 100 less a capped penalty of each area, with its arithmetic.

use crate::catalogue::Catalogue;
use crate::finding::{AreaScore, Finding, Score, State};

/// What one finding takes. Chosen: ten warnings of one area weigh as much as three critical findings of it.
const CRIT: u32 = 10;
/// See [`CRIT`].
const WARN: u32 = 3;
/// See [`CRIT`]. Not knowing is worth a little: the verdict and `fleet.inspection` tell of it anyway.
const UNKNOWN: u32 = 1;

/// The most that one area takes. Chosen: four areas in ruins are a fleet in ruins, and one does not hide the others.
const CAP: u32 = 25;

/// Reckons the score. Findings that another one explains take nothing: their cause has.
pub(crate) fn score(catalogue: &Catalogue, findings: &[Finding]) -> Score {
    let of = |state: State| -> u32 {
        u32::try_from(findings.iter().filter(|finding| finding.state == state).count()).unwrap_or(u32::MAX)
    };
    let areas: Vec<AreaScore> = catalogue.areas.iter().map(|area| area_score(&area.prefix, findings)).collect();
    let taken: u32 = areas.iter().map(|area| area.taken).sum();
    let areas = areas.into_iter().filter(|area| area.penalty > 0).collect();
    Score { points: 100_u32.saturating_sub(taken), areas, waived: of(State::Waived), expected: of(State::Expected) }
}

fn area_score(prefix: &str, findings: &[Finding]) -> AreaScore {
    let ours = findings.iter().filter(|finding| finding.check.area() == prefix && finding.cause.is_none());
    let ours: Vec<State> = ours.map(|finding| finding.state).collect();
    let of = |state: State| u32::try_from(ours.iter().filter(|one| **one == state).count()).unwrap_or(u32::MAX);
    let (crit, warn, unknown) = (of(State::Crit), of(State::Warn), of(State::Unknown));
    let penalty = crit.saturating_mul(CRIT).saturating_add(warn.saturating_mul(WARN)).saturating_add(unknown * UNKNOWN);
    AreaScore { area: prefix.to_owned(), crit, warn, unknown, penalty, taken: penalty.min(CAP) }
}
