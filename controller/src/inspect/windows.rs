//! Maintenance windows that kfleet's own operations open: a rolling restart explains what it does to the nodes.

use super::targets::Target;
use crate::history::{RunRecord, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::Window;
use serde_json::Value;

/// How long after its end an operation still explains what is seen: replicas catch up and leaders move back within it.
/// Chosen.
const SETTLES: SignedDuration = SignedDuration::from_mins(10);

/// How many of the newest runs are looked at: more are not made in a day.
pub(super) const RUNS: u32 = 500;

/// The windows of operations that were going on between two moments.
pub(super) async fn of_runs(
    store: &Store,
    targets: &[Target],
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Window>, StoreError> {
    let runs = store.runs(RUNS).await?;
    Ok(runs.iter().flat_map(|run| windows(run, targets, since, now)).collect())
}

fn windows(run: &RunRecord, targets: &[Target], since: Timestamp, now: Timestamp) -> Vec<Window> {
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    let Some(from) = moment(&run.started).filter(|_| !run.check) else { return Vec::new() };
    // A run whose controller died without telling may still have its node down.
    let until = run.ended.as_deref().and_then(moment).map_or(now, |ended| ended + SETTLES);
    let Some(cluster) = rolled(run).filter(|_| until >= since) else { return Vec::new() };
    let hosts =
        targets.iter().filter(|target| target.node.as_ref().is_some_and(|node| node.cluster.as_str() == cluster));
    let hosts = hosts.map(|target| format!("host:{}", target.host));
    let window = |object: String| Window {
        object,
        checks: vec!["*".to_owned()],
        from,
        until,
        reason: format!("run {}: {}", run.run_id, run.what),
    };
    hosts.chain([format!("cluster:{cluster}")]).map(window).collect()
}

/// The cluster that a run stopped nodes of, as its own command says.
pub(super) fn rolled(run: &RunRecord) -> Option<String> {
    let request: Value = serde_json::from_str(&run.request).ok()?;
    let rolls = run.command.starts_with("roll ") || run.command == "config rollback";
    request["vars"]["cluster"].as_str().filter(|_| rolls).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::RunId;

    #[test]
    fn a_roll_opens_a_window_for_its_cluster_until_it_has_settled() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (now, since) = (at("2026-01-02T03:00:00Z"), at("2026-01-01T03:00:00Z"));
        for (command, check, started, ended, wanted) in [
            ("roll restart", false, "2026-01-02T02:00:00Z", Some("2026-01-02T02:30:00Z"), Some("2026-01-02T02:40:00Z")),
            ("config rollback", false, "2026-01-02T02:00:00Z", None, Some("2026-01-02T03:00:00Z")),
            ("roll restart", true, "2026-01-02T02:00:00Z", Some("2026-01-02T02:30:00Z"), None),
            ("roll restart", false, "2025-12-31T02:00:00Z", Some("2025-12-31T02:30:00Z"), None),
            ("run", false, "2026-01-02T02:00:00Z", Some("2026-01-02T02:30:00Z"), None),
        ] {
            let run = RunRecord {
                run_id: RunId::new("r").unwrap(),
                command: command.into(),
                what: "rolling restart of kafka".into(),
                request: r#"{"vars": {"cluster": "kafka"}}"#.into(),
                plan_hash: String::new(),
                owner: "me".into(),
                check,
                started: started.into(),
                ended: ended.map(str::to_owned),
                end: None,
                resumes: 0,
                pid: 1,
                pid_started: 1,
            };
            let found = windows(&run, &[], since, now);
            assert_eq!(found.first().map(|window| window.until), wanted.map(at), "{command}");
            assert!(found.iter().all(|window| window.object == "cluster:kafka"));
        }
    }
}
