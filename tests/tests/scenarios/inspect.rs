//! The nightly inspection on real hosts: a healthy fleet is found healthy, every seeded fault is found and nothing beside
//! it, and half a fleet is told as half a fleet.
//!
//! Each scenario brings a lab of its own: an inspection compares with the nights before, and what other scenarios did to
//! their hosts would be one of them.
//!
//! ```text
//!   furnish   the lab as a fleet that is well: tuned hosts, topics, groups, inspection.yml, the first night
//!   night     one inspection, as an operator runs it; what is to be found, and what explains the rest
//!   fault     a fault: how it is made, what must be found, how it is mended
//!   hosts, files, clients, services   the faults
//! ```

mod clients;
mod fault;
mod files;
mod furnish;
mod hosts;
mod night;
mod script;
mod services;

use crate::support::Stage;
use anyhow::{Context, Result, bail, ensure};
use fault::Group;
use kfleet_inspect::{Finding, State};
use kfleet_tests::lab::Kind;
use night::{Comparison, DEADLINE, Night};
use std::collections::BTreeSet;

/// Beside the other scenarios' lab.
const LAB: &str = "kfleet-inspect";

/// What an inspection may cost a host in processor time: the bound that its agent keeps.
const CPU_MS: u64 = 5000;

/// What stands beside the deadline for the controller's own start and end: it reads the inventory, judges and prints.
const AROUND: std::time::Duration = std::time::Duration::from_secs(10);

/// After a fault is mended the first night tells of what the mending itself did (a restart is heard in the logs, a mount
/// came back), and a limit may be left only some nights after it is kept.
const NIGHTS_TO_HEAL: usize = 4;

/// The faults, in groups that are made together, found by one inspection and mended together.
const GROUPS: [Group; 7] = [
    hosts::UNTENDED,
    files::EDITED,
    clients::UNSAFE,
    services::RESTARTED,
    services::AWAY,
    services::HUNG,
    services::PARTED,
];

/// A fleet that is well: no finding that counts, in time, at the price that was promised.
pub(crate) async fn healthy() -> Result<()> {
    in_lab(async |stage| {
        let night = night::inspect(stage).await?;
        report(&night);
        ensure!(night.counting().next().is_none(), "a healthy fleet has findings:\n{}", night.told());
        ensure!(night.code == 0, "exit code {} of a healthy fleet: {:?}", night.code, night.found.verdict);
        let seen = &night.found.coverage;
        ensure!((seen.hosts_expected, seen.hosts_seen) == (6, 6), "{seen:?}");
        ensure!(seen.unknown == 0 && seen.ran > 0, "{seen:?}");
        for (host, cost) in &night.found.run.cost_by_host {
            ensure!(cost.cpu_ms <= CPU_MS, "{host} paid {} ms of processor time, {CPU_MS} are allowed", cost.cpu_ms);
        }
        in_time(&night)
    })
    .await
}

/// Every fault of every group is found; what else is found is explained; mended, the fleet is found healthy again.
pub(crate) async fn every_fault() -> Result<()> {
    fault::check(&GROUPS)?;
    in_lab(async |stage| {
        let mut failures = Vec::new();
        let mut table = Vec::new();
        for group in &GROUPS {
            println!("    {}: {} faults", group.name, group.faults.len());
            let found = seeded(stage, group, &mut table).await;
            let healed = heal(stage, group).await;
            failures.extend(found.err().map(|error| format!("{}: {error:#}", group.name)));
            match healed {
                Ok(failed) => failures.extend(failed.into_iter().map(|why| format!("{}, mending: {why}", group.name))),
                // With what is left of one group the next one can not be told apart from it.
                Err(error) => {
                    failures.push(format!("{} could not be mended: {error:#}", group.name));
                    break;
                }
            }
        }
        for line in &table {
            println!("    {line}");
        }
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    })
    .await
}

/// Makes the faults of a group and has them found.
async fn seeded(stage: &Stage, group: &Group, table: &mut Vec<String>) -> Result<()> {
    let mut unmade = Vec::new();
    for fault in group.faults {
        unmade.extend(fault.make(stage).await.err().map(|error| format!("{:?} was not made: {error:#}", fault.name)));
    }
    group.made.act(stage, "").await.context("failed to bring the faults into effect")?;
    let night = night::inspect(stage).await?;
    report(&night);
    let compared = Comparison::of(group, &night);
    table.extend(compared.table());
    let verdict = compared.verdict().err().map(|error| format!("{error:#}"));
    let wrong: Vec<String> = unmade.into_iter().chain(verdict).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(night.code == 2, "exit code {} of a fleet with {} findings", night.code, night.counting().count());
    in_time(&night)
}

/// Mends everything, whatever of it was made, and inspects until nothing of it is told any more. Gives what went wrong on
/// the way there.
async fn heal(stage: &Stage, group: &Group) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    // The last one first: a fault may stand on an earlier one.
    for fault in group.faults.iter().rev() {
        failed.extend(fault.mend(stage).await.err().map(|error| format!("{:?}: {error:#}", fault.name)));
    }
    failed.extend(group.mended.act(stage, "").await.err().map(|error| format!("{error:#}")));
    let mut last = String::new();
    for _ in 0..NIGHTS_TO_HEAL {
        let night = night::inspect(stage).await?;
        if night.counting().next().is_none() {
            ensure!(night.code == 0, "exit code {} without a finding", night.code);
            return Ok(failed);
        }
        last = night.told();
    }
    bail!("after {NIGHTS_TO_HEAL} inspections there is still:\n{last}\n{}", failed.join("\n"))
}

/// The agents of half of the hosts are stopped, then half of the hosts can not be reached at all.
pub(crate) async fn half_down() -> Result<()> {
    in_lab(async |stage| {
        let [one, other] = followers(stage).await?;
        let away = [one.as_str(), other.as_str(), "kafka3"];
        for host in away {
            stage.on(host, &["systemctl", "stop", "kfleet-agent"]).await?;
        }
        let night = night::inspect(stage).await;
        for host in away {
            stage.on(host, &["systemctl", "start", "kfleet-agent"]).await?;
        }
        let night = night?;
        report(&night);
        tells_half(&night, &away)?;
        let wrong = |one: &&Finding| one.state != State::Unknown && one.check.as_str() != "fleet.inspection";
        ensure!(!night.counting().any(|one| wrong(&one)), "hosts are away, nothing else is wrong:\n{}", night.told());
        ensure!(night.code == 4, "exit code {} and not 4:\n{}", night.code, night.told());
        in_time(&night)?;

        // A cable that is pulled answers nothing at all, which only a deadline ends.
        let away = [one.as_str(), "kafka2", "kafka3"];
        for host in away {
            stage.lab.host(host)?.cut().await?;
        }
        let alone = furnish::until("one broker is left", async || Ok(stage.lab.metadata().await?.brokers.len() == 1));
        alone.await?;
        let night = night::inspect(stage).await;
        for host in away {
            stage.lab.host(host)?.uncut().await?;
        }
        let night = night?;
        report(&night);
        tells_half(&night, &away)?;
        // What those who answer see of the others is told, too.
        for subject in ["broker.count@cluster:kafka/broker:2", "broker.count@cluster:kafka/broker:3"] {
            ensure!(night.has(subject), "{subject} is not found:\n{}", night.told());
        }
        ensure!(night.code == 2, "exit code {} and not 2:\n{}", night.code, night.told());
        in_time(&night)?;
        furnish::whole(stage).await
    })
    .await
}

/// The hosts that are away are named with a reason and as findings; the others were inspected.
fn tells_half(night: &Night, away: &[&str]) -> Result<()> {
    let seen = &night.found.coverage;
    let missing: BTreeSet<&str> = seen.missing.keys().map(|host| host.as_str()).collect();
    ensure!(missing == away.iter().copied().collect(), "missing are {missing:?}, away were {away:?}");
    ensure!((seen.hosts_expected, seen.hosts_seen) == (6, 3), "{seen:?}");
    for (host, why) in &seen.missing {
        ensure!(!why.trim().is_empty(), "it is not said why {host} is missing");
        println!("    {host}: {why}");
        let subject = format!("fleet.inspection@host:{host}");
        let told = night.counting().any(|one| one.subject().to_string() == subject && one.state == State::Crit);
        ensure!(told, "{subject} is not found:\n{}", night.told());
    }
    let looked_at = |host: &str| {
        let owner = format!("host:{host}");
        night.found.passed.values().flatten().any(|object| object.owner.to_string() == owner)
    };
    for host in ["zk1", "zk2", "zk3", "kafka1", "kafka2", "kafka3"] {
        ensure!(looked_at(host) != away.contains(&host), "{host} was looked at: {}", looked_at(host));
    }
    Ok(())
}

/// The two servers that follow: with the leader's own word an ensemble is described though they are not asked.
async fn followers(stage: &Stage) -> Result<[String; 2]> {
    let modes = stage.lab.ensemble().await;
    let follows = |mode: &Option<String>| mode.as_deref() == Some("follower");
    let found: Vec<String> = modes.iter().filter(|(_, mode)| follows(mode)).map(|(host, _)| host.clone()).collect();
    found.try_into().map_err(|found| anyhow::anyhow!("the followers are {found:?}: {modes:?}"))
}

/// What a night came to, in a line.
fn report(night: &Night) {
    let run = &night.found.run;
    let dearest = run.cost_by_host.iter().max_by_key(|(_, cost)| cost.cpu_ms);
    let cost = dearest.map(|(host, cost)| format!("at most {} ms of processor time ({host})", cost.cpu_ms));
    println!(
        "    inspected in {:.1} s: {} checks, {} judgements, {}, {}",
        night.took.as_secs_f64(),
        night.found.coverage.ran,
        night.found.coverage.judgements,
        night.found.verdict.name(),
        cost.unwrap_or_default()
    );
}

/// It ended by the deadline that it was given.
fn in_time(night: &Night) -> Result<()> {
    let bound = DEADLINE + AROUND;
    ensure!(
        night.took <= bound,
        "it took {:.1} s, its deadline was {} s",
        night.took.as_secs_f64(),
        DEADLINE.as_secs()
    );
    Ok(())
}

/// A furnished lab of its own, taken down at the end, whatever it is.
async fn in_lab(work: impl AsyncFnOnce(&Stage) -> Result<()>) -> Result<()> {
    let stage = Stage::of_lab(LAB, Kind::Zk, false).await?;
    let outcome = async {
        furnish::furnish(&stage).await.context("failed to furnish the lab")?;
        work(&stage).await
    }
    .await;
    stage.strike().await;
    outcome
}
