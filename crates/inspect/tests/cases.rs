//! Every built check fires where it should and is quiet where it should be, by case files.

mod support;

use kfleet_inspect::{Answer, CATALOGUE, Outcome, State};
use std::collections::{BTreeMap, BTreeSet};
use support::{cases, states};

#[test]
fn every_case_ends_as_it_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let got: BTreeMap<String, String> = states(&case.inspection(), &case.check)
            .into_iter()
            .map(|(object, state)| (object, state.name().to_owned()))
            .collect();
        if got != case.expect {
            wrong.push(format!("{} ({}):\n  expected {:?}\n  got      {got:?}", case.check, case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Levels that the words of a check name and its judging reaches in another way.
const OTHERWISE: [(&str, State, &str); 1] =
    [("broker.count", State::Warn, "a broker that is missing in a window is expected, which windows decide")];

#[test]
fn every_built_check_has_cases_that_fire_and_one_that_is_quiet() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in cases() {
        assert!(CATALOGUE.get(&case.check).is_some_and(|check| check.built), "{} is not built", case.check);
        seen.entry(case.check.clone()).or_default().extend(case.expect.values().cloned());
    }
    let mut lacking = Vec::new();
    for check in CATALOGUE.built() {
        let mut wanted = vec![State::Ok];
        for (level, said, conditions) in
            [(State::Warn, &check.said.0, &check.warn), (State::Crit, &check.said.1, &check.crit)]
        {
            let by_rule = check.rule.is_some() && said != "-";
            let otherwise = OTHERWISE.iter().any(|(id, state, _)| *id == check.id.as_str() && *state == level);
            if (by_rule || !conditions.is_empty()) && !otherwise {
                wanted.push(level);
            }
        }
        let there = seen.get(check.id.as_str());
        for state in wanted {
            if there.is_none_or(|states| !states.contains(state.name())) {
                lacking.push(format!("{} has no case that ends {}", check.id, state.name()));
            }
        }
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// What could not be read is never taken for well, whatever the check.
#[test]
fn no_check_is_ok_when_nothing_could_be_read() {
    for case in cases() {
        let mut readings = case.tonight();
        let why = || "denied".to_owned();
        for reading in readings.hosts.iter_mut().flat_map(|host| &mut host.readings) {
            reading.outcome = Outcome::Unreadable { why: why() };
        }
        for cluster in &mut readings.clusters {
            cluster.readings.iter_mut().for_each(|reading| reading.outcome = Outcome::Unreadable { why: why() });
            cluster.views.iter_mut().for_each(|view| view.answer = Answer::None { why: why() });
        }
        let inspection = case.judged(&readings);
        for (object, state) in states(&inspection, &case.check) {
            let own = case.check == "fleet.inspection";
            assert!(own || !matches!(state, State::Ok), "{} ({}): {object} is ok", case.check, case.name);
        }
    }
}

/// Each single reading that is lost makes nothing better: what was unknown or worse stays, and what was ok may only
/// become unknown or not apply.
#[test]
fn a_lost_reading_makes_nothing_ok() {
    for case in cases() {
        let whole = states(&case.inspection(), &case.check);
        let tonight = case.tonight();
        let lists = tonight.hosts.len() + tonight.clusters.len();
        for list in 0..lists {
            let count = tonight.hosts.get(list).map_or_else(
                || tonight.clusters.get(list - tonight.hosts.len()).map_or(0, |cluster| cluster.readings.len()),
                |host| host.readings.len(),
            );
            for n in 0..count {
                let mut readings = tonight.clone();
                let hosts = readings.hosts.len();
                let of = match readings.hosts.get_mut(list) {
                    Some(host) => &mut host.readings,
                    None => &mut readings.clusters[list - hosts].readings,
                };
                of[n].outcome = Outcome::Unreadable { why: "denied".to_owned() };
                let inspection = case.judged(&readings);
                for (object, state) in states(&inspection, &case.check) {
                    let was = whole.get(&object).copied().unwrap_or(State::Unknown);
                    let better = state == State::Ok && !matches!(was, State::Ok | State::Skip | State::Unknown);
                    assert!(!better || compares_hosts(&case.check), "{} ({}): {object}", case.check, case.name);
                }
            }
        }
    }
}

/// These judge hosts against each other: without one host's answer another is no longer the odd one.
fn compares_hosts(check: &str) -> bool {
    ["os.dns", "net.link", "net.advertised", "cfg.identity", "fleet.file_drift", "fleet.inspection"].contains(&check)
}
