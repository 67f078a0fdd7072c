//! `kfleet time`: the clocks of the fleet.

use super::Outcome;
use super::agents::{Asked, ask_all};
use crate::cli::exit::Exit;
use crate::fleet::Fleet;
use crate::report;
use clap::Subcommand;
use kfleet_model::HostName;
use kfleet_model::clock::{IN_STEP_MS, Judgement, Offset, Step, judge};
use std::collections::BTreeMap;

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Measure all hosts' clocks against each other and against this machine's
    ///
    /// Nothing that a host believes of its own clock is asked: each is read from here, over eight round trips of which
    /// the fastest counts, and stands with its bound of error. Ends with 0 when all are in step, with 2 when one is not
    /// or it can not be told, with 4 when the only fault is that a host does not answer.
    Check(CheckArgs),
}

/// Arguments of `kfleet time check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Host pattern
    #[arg(default_value = "all", value_name = "PATTERN")]
    pattern: String,
    /// How far a clock may be from the fleet's time, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = IN_STEP_MS, value_parser = clap::value_parser!(u64).range(1..))]
    limit_ms: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(fleet: &Fleet, command: &Command) -> Outcome {
    match command {
        Command::Check(args) => check(fleet, args).await,
    }
}

async fn check(fleet: &Fleet, args: &CheckArgs) -> Outcome {
    let (mut clocks, mut silent) = (BTreeMap::new(), BTreeMap::new());
    for Asked { host, answer, .. } in ask_all(fleet, &args.pattern).await? {
        match answer {
            Ok(answer) => _ = clocks.insert(host, answer.offset),
            Err(error) => _ = silent.insert(host, error.to_string()),
        }
    }
    let judgement = judge(&clocks, args.limit_ms);
    if args.json {
        let text = serde_json::json!({"limit_ms": args.limit_ms, "hosts": judgement.hosts,
            "controller": judgement.observer, "spread": judgement.spread, "unreachable": silent});
        report::print(&format!("{text:#}\n"));
    } else {
        report::print(&told(&clocks, &silent, &judgement, args.limit_ms));
    }
    Ok(exit(&judgement, !silent.is_empty()))
}

/// The steps of all clocks, this machine's last.
fn steps(judgement: &Judgement) -> impl Iterator<Item = Step> {
    judgement.hosts.values().chain([&judgement.observer]).map(|standing| standing.step)
}

fn exit(judgement: &Judgement, silent: bool) -> Exit {
    let in_step = steps(judgement).all(|step| step == Step::InStep);
    match (in_step, silent) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Unreachable,
        (true, false) => Exit::Ok,
    }
}

fn told(
    clocks: &BTreeMap<HostName, Offset>,
    silent: &BTreeMap<HostName, String>,
    judgement: &Judgement,
    limit_ms: u64,
) -> String {
    let word = |step: Step| match step {
        Step::InStep => "in step",
        Step::OutOfStep => "OUT OF STEP",
        Step::Unknown => "unknown: the answers take too long to tell",
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (host, standing) in &judgement.hosts {
        let from_here = clocks.get(host).map(ToString::to_string).unwrap_or_default();
        rows.push(vec![host.to_string(), standing.offset.to_string(), from_here, word(standing.step).to_owned()]);
    }
    for (host, why) in silent {
        rows.push(vec![host.to_string(), String::new(), String::new(), format!("unreachable: {}", report::safe(why))]);
    }
    let here = &judgement.observer;
    rows.push(vec!["(this machine)".to_owned(), here.offset.to_string(), String::new(), word(here.step).to_owned()]);
    let mut text = report::table::render(&["host", "against the fleet", "against this machine", "clock"], &rows);
    let out = steps(judgement).filter(|step| *step == Step::OutOfStep).count();
    let verdict = match out {
        0 => "no clock is known to be out of step".to_owned(),
        1 => "1 clock is out of step".to_owned(),
        many => format!("{many} clocks are out of step"),
    };
    let Offset { ms, uncertainty_ms } = judgement.spread;
    text.push_str(&format!(
        "{verdict}; the hosts' clocks are {ms} ms (± {uncertainty_ms}) apart at most, {limit_ms} ms from the fleet's time are allowed\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    #[test]
    fn the_exit_code_says_the_worst() {
        type Case<'a> = (&'a str, &'a [(i64, u64)], bool, u8);
        let cases: [Case<'_>; 6] = [
            ("in step", &[(0, 1), (1, 1)], false, 0),
            ("out of step", &[(0, 1), (5_000, 1)], false, 2),
            ("out of step, and one is silent", &[(0, 1), (5_000, 1)], true, 2),
            ("can not be told", &[(0, 1), (0, 900)], false, 2),
            ("one is silent", &[(0, 1)], true, 4),
            ("all are silent", &[], true, 4),
        ];
        for (name, offsets, silent, code) in cases {
            let offset = |&(ms, uncertainty_ms): &(i64, u64)| Offset { ms, uncertainty_ms };
            let clocks = offsets.iter().enumerate().map(|(n, o)| (host(&format!("h{n}")), offset(o))).collect();
            assert_eq!(exit(&judge(&clocks, 100), silent).code(), code, "{name}");
        }
    }

    #[test]
    fn a_person_reads_who_is_out_of_step_and_by_how_much() {
        let clocks = BTreeMap::from([
            (host("kafka1"), Offset { ms: 2, uncertainty_ms: 1 }),
            (host("kafka2"), Offset { ms: 90_001, uncertainty_ms: 1 }),
            (host("zk1"), Offset { ms: 0, uncertainty_ms: 2 }),
        ]);
        let silent = BTreeMap::from([(host("zk2"), "no answer".to_owned())]);
        let expected = "\
host            against the fleet  against this machine  clock
kafka1          +2 ms (± 3)        +2 ms (± 1)           in step
kafka2          +90001 ms (± 3)    +90001 ms (± 1)       OUT OF STEP
zk1             +0 ms (± 4)        +0 ms (± 2)           in step
zk2                                                      unreachable: no answer
(this machine)  +0 ms (± 2)                              in step
1 clock is out of step; the hosts' clocks are 90001 ms (± 3) apart at most, 100 ms from the fleet's time are allowed
";
        assert_eq!(told(&clocks, &silent, &judge(&clocks, 100), 100), expected);
    }
}
