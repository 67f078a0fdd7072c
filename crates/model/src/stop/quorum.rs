//! The KRaft metadata quorum: whether it keeps its majority without a node (ops 2.4).

use super::partition::size;
use crate::snapshot::Quorum;
use crate::{BrokerId, Reason};
use std::time::Duration;

/// How many voters other than the candidate must be in step: more than a bare majority, so that the quorum also bears
/// one that the leader has not missed yet. None when the rule is another one.
#[must_use]
pub fn needed(voters: u32) -> Option<u32> {
    (voters >= 3).then_some(voters.saturating_add(2) / 2)
}

/// Why a member of the quorum is not in step, or nothing when it is.
///
/// A member is in step when it leads, or when the leader saw it caught up within the fetch timeout; both times are the
/// leader's own.
#[must_use]
pub fn out_of_step(quorum: &Quorum, id: BrokerId, fetch_timeout: Duration) -> Option<String> {
    if quorum.leader == Some(id) {
        return None;
    }
    let Some(progress) = quorum.voters.get(&id).or_else(|| quorum.observers.get(&id)) else {
        return Some("the metadata quorum does not know it".to_owned());
    };
    let limit = i64::try_from(fetch_timeout.as_millis()).unwrap_or(i64::MAX);
    match progress.behind_ms {
        Some(behind) if behind < limit => None,
        Some(behind) => {
            Some(format!("is {behind} ms behind the metadata quorum's leader, less than {limit} ms are allowed"))
        }
        None => Some("the metadata quorum's leader has not seen it caught up".to_owned()),
    }
}

/// Whether the quorum bears the stop of the candidate: evidence, or the reason against it. The worse of several views
/// counts.
///
/// # Errors
/// [`Reason::NoActiveController`] or [`Reason::QuorumMargin`].
pub fn margin<'a>(
    quorums: impl IntoIterator<Item = &'a Quorum>,
    candidate: BrokerId,
    fetch_timeout: Duration,
) -> Result<Option<String>, Reason> {
    let quorums: Vec<&Quorum> = quorums.into_iter().collect();
    let Some(first) = quorums.first() else { return Ok(None) };
    if quorums.iter().any(|quorum| quorum.leader.is_none()) {
        return Err(Reason::NoActiveController);
    }
    if !first.voters.contains_key(&candidate) {
        return Ok(Some(format!("node {candidate} is no voter of the metadata quorum")));
    }
    let others = first.voters.keys().filter(|id| **id != candidate);
    let in_step = |id: &&BrokerId| quorums.iter().all(|quorum| out_of_step(quorum, **id, fetch_timeout).is_none());
    let left = size(others.filter(in_step).count());
    let voters = size(first.voters.len());
    match (voters, needed(voters)) {
        (_, Some(need)) if left >= need => {
            Ok(Some(format!("{left} of {voters} voters are in step without node {candidate}, {need} are needed")))
        }
        (_, Some(need)) => Err(Reason::QuorumMargin { candidate, left, need, voters }),
        (2, None) if left >= 1 => {
            Ok(Some("warning: of two voters the other is in step; metadata stands still meanwhile".to_owned()))
        }
        (2, None) => Err(Reason::QuorumMargin { candidate, left, need: 1, voters }),
        (_, None) => Ok(Some("warning: the only voter stops; there are no metadata changes meanwhile".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::ReplicaProgress;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn quorum(leader: Option<i32>, voters: &[(i32, Option<i64>)]) -> Quorum {
        Quorum {
            leader: leader.map(BrokerId),
            leader_epoch: 1,
            high_watermark: 0,
            voters: voters
                .iter()
                .map(|&(id, behind_ms)| (BrokerId(id), ReplicaProgress { log_end_offset: 0, behind_ms }))
                .collect(),
            observers: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_quorum_bears_a_stop_only_when_enough_other_voters_are_in_step() {
        let (now, late) = (Some(0), Some(2000));
        for (voters, candidate, allowed) in [
            (vec![(1, now), (2, now), (3, now)], 3, true),
            (vec![(1, now), (2, now), (3, now)], 1, true),
            (vec![(1, now), (2, late), (3, now)], 3, false),
            (vec![(1, now), (2, None), (3, now)], 3, false),
            (vec![(1, now), (2, late), (3, now)], 2, true),
            (vec![(1, now), (2, now), (3, now), (4, now), (5, late)], 4, true),
            (vec![(1, now), (2, now), (3, now), (4, late), (5, late)], 3, false),
            (vec![(1, now), (2, now), (3, now), (4, late)], 3, false),
            (vec![(1, now), (2, now)], 2, true),
            (vec![(1, now), (2, late)], 1, false),
            (vec![(1, now)], 1, true),
        ] {
            let result = margin([&quorum(Some(1), &voters)], BrokerId(candidate), TIMEOUT);
            assert_eq!(result.is_ok(), allowed, "{voters:?} without {candidate}: {result:?}");
        }
    }

    #[test]
    fn without_a_leader_nothing_is_stopped_and_the_worse_view_counts() {
        let well = quorum(Some(1), &[(1, Some(0)), (2, Some(0)), (3, Some(0))]);
        let headless = quorum(None, &[(1, Some(0)), (2, Some(0)), (3, Some(0))]);
        let lagging = quorum(Some(1), &[(1, Some(0)), (2, Some(5000)), (3, Some(0))]);
        assert_eq!(margin([&headless], BrokerId(3), TIMEOUT), Err(Reason::NoActiveController));
        let margin_reason = Reason::QuorumMargin { candidate: BrokerId(3), left: 1, need: 2, voters: 3 };
        assert_eq!(margin([&well, &lagging], BrokerId(3), TIMEOUT), Err(margin_reason));
    }
}
