//! `kfleet config drift`.

use super::super::agents::Which;
use super::{Answers, Outcome, ask, moment};
use crate::cli::CliError;
use crate::cli::exit::Exit;
use crate::execute::Agent;
use crate::fleet::Fleet;
use crate::report;
use crate::rolling::node_of;
use kfleet_model::drift::{ConfigDrift, DriftItem, DriftKind};
use kfleet_proto::convert::ObserveKind;

/// Arguments of `kfleet config drift`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Host pattern
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let params = |agent: &Agent| match node_of(&agent.host, |name| agent.var(name)) {
        Ok(node) => Ok(node.params),
        Err(error) => Err(CliError::input(error.to_string())),
    };
    let answers: Answers<ConfigDrift> = ask(fleet, Which::of(&args.pattern), ObserveKind::ConfigDrift, params).await?;
    if args.json {
        let text = serde_json::json!({"hosts": answers.good, "unreachable": answers.silent, "failed": answers.failed});
        report::print(&format!("{text:#}\n"));
    } else {
        report::print(&told(&answers));
    }
    Ok(exit(&answers))
}

fn exit(answers: &Answers<ConfigDrift>) -> Exit {
    let clean = |drift: &ConfigDrift| drift.items.is_empty() && drift.unknown.is_empty();
    if answers.good.values().all(clean) { answers.exit() } else { Exit::Failed }
}

fn told(answers: &Answers<ConfigDrift>) -> String {
    let mut rows = Vec::new();
    for (host, drift) in &answers.good {
        for item in &drift.items {
            rows.push(row(host.as_str(), item));
        }
    }
    let mut text = String::new();
    if !rows.is_empty() {
        text.push_str(&report::table::render(&["host", "key", "should be", "is", "how", "since"], &rows));
    }
    for (host, drift) in &answers.good {
        for why in &drift.unknown {
            text.push_str(&format!("{host}: not compared: {}\n", report::safe(why)));
        }
    }
    text.push_str(&answers.faults());
    let drifted = answers.good.values().filter(|drift| !drift.items.is_empty()).count();
    let asked = answers.good.len() + answers.silent.len() + answers.failed.len();
    text.push_str(&match drifted {
        0 => format!("no drift is known on {asked} hosts\n"),
        some => format!("{some} of {asked} hosts differ from what was declared\n"),
    });
    text
}

fn row(host: &str, item: &DriftItem) -> Vec<String> {
    let value = |value: &Option<String>| value.as_deref().map_or("(not set)".to_owned(), report::safe);
    let how = match item.kind {
        DriftKind::File => "the file was changed since kfleet wrote it",
        DriftKind::NotApplied => "the file is not in effect: the node was not restarted",
        DriftKind::BrokerOverride => "set on the running broker",
        DriftKind::ClusterOverride => "set for all brokers of the running cluster",
    };
    let since = item.since_unix_ms.map(moment).unwrap_or_default();
    vec![host.to_owned(), item.key.clone(), value(&item.wanted), value(&item.found), how.to_owned(), since]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::HostName;
    use std::collections::BTreeMap;

    fn item(kind: DriftKind, since_unix_ms: Option<i64>) -> DriftItem {
        DriftItem {
            key: "num.io.threads".into(),
            kind,
            wanted: Some("8".into()),
            found: (kind != DriftKind::File).then(|| "16".into()),
            since_unix_ms,
        }
    }

    fn answers(items: Vec<DriftItem>, unknown: &[&str], silent: bool) -> Answers<ConfigDrift> {
        let unknown = unknown.iter().map(|why| (*why).to_owned()).collect();
        let drift = ConfigDrift { path: "/etc/kafka/server.properties".into(), written: None, items, unknown };
        let host = |name: &str| HostName::new(name).unwrap();
        let silent = silent.then(|| (host("k2"), "no answer".to_owned())).into_iter().collect();
        Answers { good: BTreeMap::from([(host("k1"), drift)]), silent, failed: BTreeMap::new() }
    }

    #[test]
    fn the_exit_code_says_the_worst() {
        let drift = || vec![item(DriftKind::File, None)];
        for (items, unknown, silent, code) in [
            (vec![], &[][..], false, 0),
            (drift(), &[], false, 2),
            (drift(), &[], true, 2),
            (vec![], &["it does not answer"], false, 2),
            (vec![], &[], true, 4),
        ] {
            assert_eq!(exit(&answers(items, unknown, silent)).code(), code);
        }
    }

    #[test]
    fn a_person_reads_what_differs_how_and_since_when() {
        let items = vec![item(DriftKind::File, Some(1_795_741_323_000)), item(DriftKind::ClusterOverride, None)];
        let expected = "\
host  key             should be  is         how                                         since
k1    num.io.threads  8          (not set)  the file was changed since kfleet wrote it  2026-11-27 01:02:03 UTC
k1    num.io.threads  8          16         set for all brokers of the running cluster
k1: not compared: what the node runs with: no answer
k2: unreachable: no answer
1 of 2 hosts differ from what was declared
";
        assert_eq!(told(&answers(items, &["what the node runs with: no answer"], true)), expected);
    }
}
