//! The look at the hosts' clocks before a roll begins.

use super::driver::{names, refuse};
use crate::execute::clock::ask;
use crate::execute::{Hosts, Run};
use kfleet_model::clock::{Step, judge};
use kfleet_model::event::EventKind;
use kfleet_model::{HostName, Reason};
use kfleet_rolling::Policy;
use std::collections::BTreeMap;

/// Whether no host's clock is known to be further from the others than the policy allows. If not, the refusal has been
/// told. A host that does not answer is somebody else's to tell.
pub(super) async fn in_step(run: &Run, hosts: &Hosts, policy: &Policy) -> bool {
    let asked = hosts.iter().map(|host| async {
        let link = run.link(&host.name).ok()?;
        let answer = ask(&link).await.ok()?;
        Some((host.name.clone(), answer.offset))
    });
    let clocks: BTreeMap<HostName, _> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    let judgement = judge(&clocks, policy.max_clock_skew_ms);
    if judgement.observer.step == Step::OutOfStep {
        let skew = judgement.observer.offset;
        let text =
            format!("this machine's clock differs from the hosts' by {skew}; times in this run's history are wrong");
        run.events.send(EventKind::Warning { text }).await;
    }
    let limit_ms = i64::try_from(policy.max_clock_skew_ms).unwrap_or(i64::MAX);
    let reasons: Vec<Reason> = judgement
        .hosts
        .into_iter()
        .filter(|(_, standing)| standing.step == Step::OutOfStep)
        .map(|(host, standing)| Reason::ClockSkew { host, skew_ms: standing.offset.ms, limit_ms })
        .collect();
    if reasons.is_empty() {
        return true;
    }
    refuse(run, None, reasons, &[], &names(hosts)).await;
    false
}
