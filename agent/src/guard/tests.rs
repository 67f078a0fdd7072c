//! The guard rail with a host in memory and looks that are scripted.

use super::*;
use crate::host::fake::{FakeHost, Spec};
use kfleet_model::BrokerId;
use kfleet_model::snapshot::{Broker, KafkaMode, KafkaSnapshot, PartitionState, Topic};
use kfleet_model::stop::guard::TURN;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const PATIENCE: Duration = Duration::from_secs(60);

/// A host whose unit `kafka` runs a process with this command line; its process is 999 s old.
fn host(command_line: &str) -> FakeHost {
    let spec = json!({
        "files": {"/proc/4711/cmdline": {"content": command_line}},
        "units": [{"name": "kafka.service", "active": "active"}],
    });
    FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap())
}

const KAFKA: &str = "java\0-cp\0/opt/kafka/libs/*\0kafka.Kafka\0/nowhere/server.properties\0";

/// One topic with three replicas on three brokers, two of them needed, as broker 1 sees it.
fn view(alive: &[i32], isr: &[i32]) -> Standing {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<BTreeSet<_>>();
    let state = PartitionState {
        leader: isr.first().copied().map(BrokerId),
        leader_epoch: 1,
        replicas: vec![BrokerId(1), BrokerId(2), BrokerId(3)],
        isr: ids(isr),
        removing: BTreeSet::new(),
    };
    let topic = Topic { min_isr: 2, internal: false, partitions: BTreeMap::from([(0, state)]) };
    let broker = |id: BrokerId| (id, Broker { host: format!("kafka{id}"), port: 9092, rack: None });
    Standing::Kafka(KafkaSnapshot {
        seen_by: BrokerId(1),
        cluster_id: "c".into(),
        mode: KafkaMode::ZooKeeper { active_controller: Some(BrokerId(1)) },
        brokers: ids(alive).into_iter().map(broker).collect(),
        topics: BTreeMap::from([("t".to_owned(), topic)]),
        reassigning: BTreeSet::new(),
    })
}

fn whole() -> Standing {
    view(&[1, 2, 3], &[1, 2, 3])
}

fn one_down() -> Standing {
    view(&[1, 3], &[1, 3])
}

fn blind() -> Standing {
    Standing::Blind { why: "none came".into() }
}

/// Watches with a script: what is seen so many seconds after the first look; the last is seen for good.
fn watched(by: By, script: &[(u64, Standing)]) -> (Result<(), String>, Duration, FakeHost) {
    let host = host(KAFKA);
    let unit = host.unit("kafka").unwrap();
    let began = host.uptime();
    let mut look = |host: &dyn HostView, _: &Unit| {
        let passed = host.uptime() - began;
        let seen = script.iter().rev().find(|(from, _)| Duration::from_secs(*from) <= passed);
        Ok(seen.map(|(_, standing)| standing.clone()))
    };
    let outcome = watch(&host, &unit, by, PATIENCE, &mut look).map(|_| ()).map_err(|error| error.to_string());
    let took = host.uptime() - began;
    (outcome, took, host)
}

#[test]
fn a_roll_is_refused_a_second_node_and_neither_waits_for_turns_nor_needs_a_view() {
    for (standing, permitted) in [(whole(), true), (blind(), true), (one_down(), false)] {
        let (outcome, took, _) = watched(By::Roll, &[(0, standing.clone())]);
        assert_eq!(outcome.is_ok(), permitted, "{standing:?}: {outcome:?}");
        assert_eq!(took.is_zero(), permitted, "{standing:?}: it took {took:?}");
    }
}

#[test]
fn a_second_node_is_refused_after_the_patience_with_who_is_missed_and_what_it_would_hurt() {
    for by in [By::Roll, By::Hand] {
        let (outcome, took, host) = watched(by, &[(0, one_down())]);
        assert_eq!(
            outcome.unwrap_err(),
            "kafka.service is not stopped, because its cluster is not whole: broker 2 is not registered; stopping broker \
             1 would hurt 1 partition: t-0 would refuse acks=all writes (in sync [1, 3] of [1, 2, 3], 1 left, min ISR \
             2) (still so after 60 s); bring back what is missing, or set allow_outage to stop it all the same"
        );
        assert!(took >= PATIENCE && took < PATIENCE + LOOK_AGAIN * 2, "{took:?}");
        assert_eq!(host.told().len(), 1, "what is waited for is told once: {:?}", host.told());
    }
}

#[test]
fn a_hand_that_sees_nothing_is_refused_and_waits_for_a_node_that_has_just_begun() {
    let (outcome, _, _) = watched(By::Hand, &[(0, blind())]);
    let error = outcome.unwrap_err();
    assert!(error.contains("nothing can be learned of its cluster: none came (still so after 60 s)"), "{error}");
    let (outcome, took, _) = watched(By::Hand, &[(0, blind()), (20, whole())]);
    assert_eq!(outcome, Ok(()));
    assert!(took >= Duration::from_secs(20), "{took:?}");
}

#[test]
fn in_an_election_nothing_is_stopped_and_who_has_lost_its_cluster_for_good_is() {
    let adrift = || Standing::Adrift { why: "it serves nobody".into() };
    for by in [By::Roll, By::Hand] {
        let (outcome, took, _) = watched(by, &[(0, adrift())]);
        assert_eq!(outcome, Ok(()));
        assert!(took >= ADRIFT && took < ADRIFT + LOOK_AGAIN, "{took:?}");
        // It comes back, and misses the one that went down: the time adrift counts anew.
        let (outcome, _, _) = watched(by, &[(0, adrift()), (15, one_down()), (50, adrift())]);
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

#[test]
fn a_stop_that_waits_goes_on_when_the_other_node_is_back_in_sync() {
    let script = [(0, one_down()), (9, view(&[1, 2, 3], &[1, 3])), (20, whole())];
    let (outcome, took, host) = watched(By::Hand, &script);
    assert_eq!(outcome, Ok(()));
    assert!(took >= Duration::from_secs(20) && took < PATIENCE, "{took:?}");
    assert!(host.told().iter().any(|text| text.contains("broker 2 is not registered")), "{:?}", host.told());
}

#[test]
fn a_hand_stops_only_in_its_nodes_turn_and_looks_again_in_it() {
    let members: BTreeSet<BrokerId> = [1, 2, 3].into_iter().map(BrokerId).collect();
    let (outcome, took, host) = watched(By::Hand, &[(0, whole())]);
    assert_eq!(outcome, Ok(()));
    assert!(took < TURN * 3, "{took:?}");
    assert!(wait_for_turn(BrokerId(1), &members, host.unix_ms()).is_zero(), "it is not its turn");
    // Whole until just before its turn, in which another is down already.
    let wait = wait_for_turn(BrokerId(1), &members, host_at_its_start().unix_ms());
    assert!(!wait.is_zero(), "the clock of the test begins in another's turn");
    let (outcome, _, _) = watched(By::Hand, &[(0, whole()), (wait.as_secs(), one_down())]);
    assert!(outcome.is_err(), "what was seen before its turn must not count");
}

fn host_at_its_start() -> FakeHost {
    host(KAFKA)
}

#[test]
fn a_view_that_outlasts_the_turn_is_none() {
    let host = host(KAFKA);
    let unit = host.unit("kafka").unwrap();
    let mut look = |host: &dyn HostView, _: &Unit| {
        host.pause(OPEN, "a large cluster")?;
        Ok(Some(whole()))
    };
    let error = watch(&host, &unit, By::Hand, PATIENCE, &mut look).unwrap_err().to_string();
    assert!(error.contains("its view took 3000 ms, and its turn to stop lasts 3000 ms"), "{error}");
}

#[test]
fn a_permit_by_hand_is_void_when_something_slow_came_between() {
    let host = host(KAFKA);
    let unit = host.unit("kafka").unwrap();
    let by = |by| watch(&host, &unit, by, PATIENCE, &mut |_, _| Ok(Some(whole()))).unwrap();
    let (hand, roll) = (by(By::Hand), by(By::Roll));
    assert!(hand.holds(&host) && roll.holds(&host));
    host.pause(OPEN, "a busy disk").unwrap();
    assert!(!hand.holds(&host), "its turn is over");
    assert!(roll.holds(&host), "a roll has no turns");
    // Its next turn is not the one that was permitted: the cluster was not looked at since.
    host.pause(TURN * 3 - OPEN, "a very busy disk").unwrap();
    assert!(!hand.holds(&host));
    assert!(by(By::Hand).holds(&host));
}

#[test]
fn an_op_that_ends_while_it_waits_says_what_it_waited_for() {
    let spec = json!({"deadline_s": 10, "units": [{"name": "kafka.service", "active": "active"}]});
    let host = FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap());
    let unit = host.unit("kafka").unwrap();
    let error = watch(&host, &unit, By::Roll, PATIENCE, &mut |_, _| Ok(Some(one_down()))).unwrap_err();
    assert!(matches!(&error, GuardError::Host(HostError::Stopped(what)) if what == "its node's cluster to be whole"));
}

#[test]
fn what_nobody_counts_on_and_units_of_other_programs_are_stopped_at_once() {
    let apart = Standing::Apart { why: "it stands alone".into() };
    let (outcome, took, _) = watched(By::Hand, &[(0, apart)]);
    assert_eq!((outcome, took), (Ok(()), Duration::ZERO));
    let (outcome, took, _) = watched(By::Hand, &[(1, whole())]);
    assert_eq!((outcome, took), (Ok(()), Duration::ZERO), "a unit that runs no node");
}

/// Asks for a stop of the unit under a configuration.
fn permitted(host: &FakeHost, allow_outage: bool, config: &Guard) -> Result<(), String> {
    let stop = UnitStop { unit: host.unit("kafka").unwrap(), allow_outage };
    permit(host, &stop, By::Hand, config).map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_node_is_recognised_by_its_process_and_the_operator_can_overrule() {
    let outcome = tokio::task::spawn_blocking(|| {
        let config = Guard { patience_s: 0, ..Guard::default() };
        // Its configuration is not there, so nothing can be learned.
        let error = permitted(&host(KAFKA), false, &config).unwrap_err();
        assert!(error.contains("/nowhere/server.properties does not exist"), "{error}");
        for command_line in [
            "java\0io.confluent.support.metrics.SupportedKafka\0/nowhere/server.properties\0",
            "java\0org.apache.zookeeper.server.quorum.QuorumPeerMain\0/nowhere/zoo.cfg\0",
        ] {
            let error = permitted(&host(command_line), false, &config).unwrap_err();
            assert!(error.contains("/nowhere/"), "{error}");
        }
        assert_eq!(permitted(&host(KAFKA), true, &config), Ok(()), "allow_outage");
        let off = Guard { node_stops: false, ..config.clone() };
        assert_eq!(permitted(&host(KAFKA), false, &off), Ok(()), "node_stops = false");
        for command_line in ["", "java\0-jar\0other.jar\0", "/bin/sh\0kafka.Kafka.sh\0"] {
            assert_eq!(permitted(&host(command_line), false, &config), Ok(()), "{command_line:?}");
        }
    });
    outcome.await.unwrap();
}

#[test]
fn a_node_is_not_stopped_again_within_the_interval_and_other_units_are() {
    let config = |min_restart_interval_s| Guard { min_restart_interval_s, ..Guard::default() };
    for (least, wanted) in [
        (0, Ok(())),
        (999, Ok(())),
        (
            1500,
            Err("kafka.service was started 999 s ago, and 1500 s must pass before it is stopped again \
                 (guard.min_restart_interval_s in /etc/kfleet/agent.toml)"
                .to_owned()),
        ),
    ] {
        // What the operator accepts for the cluster does not lift what the host's owner set.
        assert_eq!(permitted(&host(KAFKA), true, &config(least)), wanted, "{least}");
        assert_eq!(permitted(&host("nginx\0"), true, &config(least)), Ok(()));
    }
}
