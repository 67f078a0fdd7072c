//! Scenarios on real hosts: one lab with three ZooKeeper hosts and three brokers, one scenario after another;
//! that of KRaft brings a lab of its own.
//!
//! They need the packages of `tests/build.sh`. Where containers can not boot, hosts are plain processes, and what needs
//! more is counted as ignored and its reason printed; so is everything where the machine can hold no lab at all.
//! `KFLEET_SEEDED_FAULTS=1` runs the scenario that is left out for its length; `KFLEET_LAB_PROCESSES=1` asks for plain
//! processes, `KFLEET_LAB_KEEP=1` leaves the lab up afterwards.

#![expect(clippy::print_stdout, reason = "what a scenario saw is its output")]

mod clock;
mod config;
mod deploy;
mod faults;
mod guard;
mod inspect;
mod kraft;
mod logs;
mod mirror;
mod plain;
mod roll;
mod support;
mod tasks;
mod time_sync;
mod tune;

use kfleet_tests::lab::Hosting;
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use support::Stage;

type Scenario = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// What a scenario needs of its hosts.
#[derive(Clone, Copy)]
enum Hosts {
    /// They may be plain processes.
    Any,
    /// They must be booted, for this reason.
    Booted(&'static str),
    /// They must be booted, and somebody must ask for it by [`SEEDED`], for this reason.
    Asked(&'static str),
}

use Hosts::{Any, Asked, Booted};

/// Set to anything, it asks for the scenario that is left out for its length.
const SEEDED: &str = "KFLEET_SEEDED_FAULTS";

const LONG: Hosts = Asked("it takes a quarter of an hour; KFLEET_SEEDED_FAULTS=1 runs it");

const OWN_ETC: Hosts = Booted("it writes to the hosts' own /etc");
const OWN_KERNEL: Hosts = Booted("it mounts on the hosts, and writes to their own /etc and /proc/sys");
const OWN_JOURNAL: Hosts = Booted("it reads the hosts' systemd journals");

const SCENARIOS: &[(&str, Hosts, Scenario)] = &[
    ("an_agent_that_is_down_is_unreachable_and_does_not_stop_the_others", Any, |s| Box::pin(tasks::one_host_down(s))),
    ("long_output_is_whole_for_a_person_and_for_a_program", Any, |s| Box::pin(tasks::long_output(s))),
    ("a_second_run_changes_nothing_and_check_mode_writes_nothing", OWN_ETC, |s| Box::pin(tasks::check_mode(s))),
    ("a_killed_agent_loses_neither_output_nor_status", Any, |s| Box::pin(faults::agent_killed(s))),
    (
        "a_network_cut_of_30_s_is_told_as_reconnecting_and_loses_nothing",
        Booted("it pulls a host's network cable"),
        |s| Box::pin(faults::network_cut(s)),
    ),
    ("the_ensemble_and_the_cluster_roll_under_load_and_no_record_is_lost", Any, |s| Box::pin(roll::under_load(s))),
    ("with_one_follower_held_down_no_broker_is_stopped_and_the_partitions_are_named", Any, |s| {
        Box::pin(roll::follower_held_down(s))
    }),
    ("a_controller_killed_at_each_step_resumes_and_stops_no_broker_twice", Any, |s| {
        Box::pin(roll::controller_killed(s))
    }),
    ("ctrl_c_stops_before_the_next_node_and_a_resume_stops_no_broker_twice", Any, |s| Box::pin(roll::interrupted(s))),
    ("three_combined_kraft_nodes_roll_under_load_with_the_quorum_leader_last", Any, |_s| Box::pin(kraft::under_load())),
    (
        "hosts_of_plain_processes_roll_under_load_and_come_back_from_a_power_cut",
        Any,
        |_s| Box::pin(plain::under_load()),
    ),
    ("with_one_broker_down_the_restart_of_another_is_refused_by_its_agent", OWN_JOURNAL, |s| {
        Box::pin(guard::second_broker(s))
    }),
    ("a_restart_of_all_nodes_at_once_has_never_two_of_a_cluster_down", OWN_JOURNAL, |s| {
        Box::pin(guard::all_at_once(s))
    }),
    ("a_clock_that_is_wrong_is_found_from_outside_and_no_roll_begins_with_it", OWN_ETC, |s| {
        Box::pin(clock::shifted(s))
    }),
    ("chrony_is_configured_against_a_lab_server_and_a_silent_one_is_named", OWN_ETC, |s| {
        Box::pin(time_sync::against_a_lab_server(s))
    }),
    ("a_restart_by_hand_is_found_in_the_logs_of_all_brokers_in_one_order_of_time", OWN_JOURNAL, |s| {
        Box::pin(logs::timeline(s))
    }),
    ("a_dynamic_change_reaches_running_brokers_and_a_static_one_waits_for_a_roll", OWN_ETC, |s| {
        Box::pin(config::dynamic_and_static(s))
    }),
    ("a_tuned_host_is_found_tuned_and_taken_back_to_the_byte", OWN_ETC, |s| Box::pin(tune::there_and_back(s))),
    ("six_bare_hosts_become_a_cluster_with_tls_scram_and_acls_and_a_second_run_changes_nothing", OWN_ETC, |_s| {
        Box::pin(deploy::secured())
    }),
    ("three_bare_hosts_become_a_kraft_cluster_and_a_second_run_changes_nothing", OWN_ETC, |_s| {
        Box::pin(deploy::kraft())
    }),
    ("a_healthy_fleet_is_found_healthy", OWN_KERNEL, |_s| Box::pin(inspect::healthy())),
    ("every_seeded_fault_is_found_and_nothing_else", LONG, |_s| Box::pin(inspect::every_fault())),
    ("with_half_of_the_hosts_down_an_inspection_ends_on_time_and_says_so", OWN_KERNEL, |_s| {
        Box::pin(inspect::half_down())
    }),
    ("three_bare_hosts_become_a_kraft_cluster_with_the_fleets_certificates_scram_and_acls", OWN_ETC, |_s| {
        Box::pin(deploy::kraft_secured())
    }),
    ("two_operators_can_not_roll_one_cluster", Any, |s| Box::pin(roll::second_operator(s))),
];

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // One lab, one scenario at a time.
    arguments.test_threads = Some(1);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let wanted = SCENARIOS.iter().any(|(name, ..)| !is_filtered_out(&arguments, name));
    let stage =
        if arguments.list || !wanted { Err("not asked for".to_owned()) } else { runtime.block_on(Stage::set()) };
    if let Err(why) = &stage {
        println!("scenarios: {why}");
    }
    let stage = Arc::new(stage);
    let runtime = Arc::new(runtime);
    let plain = matches!(&*stage, Ok(stage) if stage.lab.topology().hosting() == Hosting::Processes);
    let trials = SCENARIOS.iter().map(|&(name, hosts, scenario)| {
        let (stage, runtime) = (Arc::clone(&stage), Arc::clone(&runtime));
        let refused = match hosts {
            Booted(why) | Asked(why) if plain => Some(why),
            Asked(why) if std::env::var_os(SEEDED).is_none() => Some(why),
            Any | Booted(_) | Asked(_) => None,
        };
        if let Some(why) = refused {
            println!("skipped: {name}: {why}");
        }
        let ignored = (stage.is_err() || refused.is_some()) && !arguments.list;
        Trial::test(name, move || match &*stage {
            Ok(stage) => runtime.block_on(scenario(stage)).map_err(|error| {
                // Said here too: whoever sees only a part of a long output shall see why.
                println!("    {error:#}");
                Failed::from(format!("{error:#}"))
            }),
            Err(why) => Err(Failed::from(why.clone())),
        })
        .with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Ok(stage) = &*stage {
        runtime.block_on(stage.strike());
    }
    conclusion.exit_code()
}

fn is_filtered_out(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &str| if arguments.exact { name == pattern } else { name.contains(pattern) };
    arguments.filter.as_deref().is_some_and(|pattern| !matches(pattern))
        || arguments.skip.iter().any(|pattern| matches(pattern))
}
