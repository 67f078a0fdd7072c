//! Properties of the rules over simulated clusters and over arbitrary snapshots.
//!
//! The oracle is never made of the rules: a stop is judged by which processes are up and in sync in truth.

use crate::observation::Role;
use crate::policy::Policy;
use crate::probe::{Ruling, rule};
use crate::sim::{Cluster, DeathAt, End, Fault, Outcome, SimKafka, SimTopic, SimZooKeeper, run};
use kfleet_model::BrokerId;
use kfleet_model::snapshot::{Broker, KafkaMode, KafkaSnapshot, PartitionState, Topic};
use kfleet_model::stop::probe;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const LONG: u32 = 8_000;

fn death() -> impl Strategy<Value = DeathAt> {
    prop_oneof![
        Just(DeathAt::Once),
        Just(DeathAt::AfterIntent),
        Just(DeathAt::AfterSubmit),
        Just(DeathAt::BeforeFinish)
    ]
}

/// Faults that are over after a while: a process that dies is started again by its host.
fn passing() -> impl Strategy<Value = Fault> {
    let who = 0_usize..8;
    prop_oneof![
        3 => (who.clone(), 0_u32..40).prop_map(|(member, back)| Fault::Crash { member, back: Some(back) }),
        2 => (who.clone(), 1_u32..200).prop_map(|(member, ticks)| Fault::SlowStart { member, ticks }),
        3 => (who.clone(), 1_u32..60).prop_map(|(member, ticks)| Fault::OutOfStep { member, ticks }),
        2 => (who.clone(), 1_u32..60).prop_map(|(member, ticks)| Fault::Fenced { member, ticks }),
        2 => Just(Fault::LeaderMoves),
        4 => (who.clone(), 1_u32..60).prop_map(|(member, ticks)| Fault::Lags { member, ticks }),
        2 => (who.clone(), 1_u32..60).prop_map(|(member, ticks)| Fault::Late { member, ticks }),
        2 => (who.clone(), 1_u32..60).prop_map(|(member, ticks)| Fault::Silent { member, ticks }),
        2 => (who, 1_u32..60).prop_map(|(member, ticks)| Fault::AgentLost { member, ticks }),
        3 => (death(), 0_u32..120).prop_map(|(at, back)| Fault::ControllerDies { at, back }),
    ]
}

/// Also processes that stay dead.
fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![4 => passing(), 1 => (0_usize..8).prop_map(|member| Fault::Crash { member, back: None })]
}

/// Faults that are harmless one by one and treacherous together.
fn together() -> impl Strategy<Value = Vec<Fault>> {
    let who = || 0_usize..8;
    prop_oneof![
        // One falls out of step and says nothing, while another has not heard of it.
        (who(), who(), 10_u32..60).prop_map(|(out, lags, ticks)| vec![
            Fault::Lags { member: lags, ticks },
            Fault::OutOfStep { member: out, ticks },
            Fault::Silent { member: out, ticks },
        ]),
        // One dies and is started again before the cluster notices.
        (who(), 0_u32..4, 5_u32..60).prop_map(|(member, back, ticks)| vec![
            Fault::SlowStart { member, ticks },
            Fault::Crash { member, back: Some(back) },
        ]),
    ]
}

fn schedule(fault: impl Strategy<Value = Fault>) -> impl Strategy<Value = Vec<(u32, Fault)>> {
    let moment = prop_oneof![3 => fault.prop_map(|fault| vec![fault]), 1 => together()];
    prop::collection::vec((0_u32..600, moment), 0..14).prop_map(|moments| {
        moments.into_iter().flat_map(|(tick, faults)| faults.into_iter().map(move |fault| (tick, fault))).collect()
    })
}

/// Topics whose replicas are laid around the brokers; with one more replica than min ISR at least.
fn topics(brokers: Vec<i32>) -> impl Strategy<Value = Vec<SimTopic>> {
    let count = brokers.len();
    prop::collection::vec((0..count, 2_usize..=3, 1_u32..=2), 1..4).prop_map(move |shapes| {
        let lay = |start: usize, factor: usize| (0..factor).map(|n| brokers[(start + n) % count]).collect::<Vec<_>>();
        let topic = |(number, (start, factor, min_isr)): (usize, (usize, usize, u32))| SimTopic {
            name: format!("t{number}"),
            min_isr: if factor == 2 { 1 } else { min_isr },
            partitions: vec![lay(start, factor), lay(start + 1, factor)],
        };
        shapes.into_iter().enumerate().map(topic).collect()
    })
}

/// Roles and topics; the cluster is built of them in the test, so that a failure prints these and not its inside.
type Shape = (Vec<(i32, Role)>, Vec<SimTopic>);

fn kafka() -> impl Strategy<Value = Shape> {
    let zookeeper_mode = (3_i32..=5).prop_map(|n| (1..=n).map(|id| (id, Role::Broker)).collect::<Vec<_>>());
    let combined = Just((1..=3).map(|id| (id, Role::Combined)).collect::<Vec<_>>());
    let isolated = Just(
        (1..=3).map(|id| (id, Role::Controller)).chain((11..=13).map(|id| (id, Role::Broker))).collect::<Vec<_>>(),
    );
    prop_oneof![3 => zookeeper_mode, 2 => combined, 1 => isolated].prop_flat_map(|roles| {
        let brokers = roles.iter().filter(|(_, r)| *r != Role::Controller).map(|(id, _)| *id).collect();
        (Just(roles), topics(brokers))
    })
}

fn ensemble() -> impl Strategy<Value = SimZooKeeper> {
    (prop_oneof![Just(3), Just(5)], 0_i32..=2, prop_oneof![Just(None), (1_u32..8).prop_map(Some)])
        .prop_map(|(voters, observers, writes)| SimZooKeeper::new(voters, observers, writes))
}

/// Patience without an end, so that a roll ends Done as soon as the faults are over.
fn patient() -> Policy {
    let ever = 1_000_000;
    Policy {
        patience_s: ever,
        process_s: ever,
        registered_s: ever,
        quorum_s: ever,
        in_sync_s: ever,
        preferred_leader_s: ever,
        joined_s: ever,
        caught_up_s: ever,
        stable_s: ever,
        max_elections: 1000,
        ..Policy::default()
    }
}

/// What holds in every order of events.
fn judge(outcome: &Outcome) -> Result<(), TestCaseError> {
    let trace = outcome.trace.join("\n");
    let mut seen = BTreeSet::new();
    for stop in &outcome.stops {
        prop_assert!(stop.harm.is_empty(), "stop of {} at {} broke: {:?}\n{trace}", stop.node, stop.tick, stop.harm);
        prop_assert!(seen.insert(stop.node), "node {} was stopped twice\n{trace}", stop.node);
        prop_assert!(!stop.led || stop.others_left == 0, "node {} led and was not last\n{trace}", stop.node);
    }
    Ok(())
}

fn plan(cluster: &impl Cluster) -> Vec<BrokerId> {
    cluster.roll().members().keys().copied().collect()
}

proptest! {
    #[test]
    fn no_order_of_events_lets_our_stop_hurt_a_kafka_cluster(shape in kafka(), faults in schedule(any_fault())) {
        let mut cluster = SimKafka::new(&shape.0, &shape.1);
        let plan = plan(&cluster);
        judge(&run(&mut cluster, &Policy::default(), &plan, &faults, LONG))?;
    }

    #[test]
    fn a_kafka_roll_ends_done_when_all_faults_pass(shape in kafka(), faults in schedule(passing())) {
        let mut cluster = SimKafka::new(&shape.0, &shape.1);
        let plan = plan(&cluster);
        let outcome = run(&mut cluster, &patient(), &plan, &faults, LONG);
        judge(&outcome)?;
        prop_assert_eq!(&outcome.end, &End::Done, "\n{}", outcome.trace.join("\n"));
        prop_assert_eq!(outcome.stops.len(), plan.len());
    }

    #[test]
    fn no_order_of_events_lets_our_stop_hurt_an_ensemble(
        mut cluster in ensemble(),
        faults in schedule(any_fault())
    ) {
        let plan = plan(&cluster);
        judge(&run(&mut cluster, &Policy::default(), &plan, &faults, LONG))?;
    }

    #[test]
    fn an_ensemble_roll_ends_done_when_all_faults_pass(mut cluster in ensemble(), faults in schedule(passing())) {
        let plan = plan(&cluster);
        let outcome = run(&mut cluster, &patient(), &plan, &faults, LONG);
        judge(&outcome)?;
        prop_assert_eq!(&outcome.end, &End::Done, "\n{}", outcome.trace.join("\n"));
        prop_assert_eq!(outcome.stops.len(), plan.len());
    }

    #[test]
    fn in_calm_every_node_is_stopped_once_and_nobody_waits_for_the_policys_patience(
        shape in kafka(),
        mut servers in ensemble()
    ) {
        let mut cluster = SimKafka::new(&shape.0, &shape.1);
        let nodes = plan(&cluster);
        let outcome = run(&mut cluster, &Policy::default(), &nodes, &[], LONG);
        judge(&outcome)?;
        prop_assert_eq!(&outcome.end, &End::Done, "\n{}", outcome.trace.join("\n"));
        let nodes = plan(&servers);
        let outcome = run(&mut servers, &Policy::default(), &nodes, &[], LONG);
        judge(&outcome)?;
        prop_assert_eq!(&outcome.end, &End::Done, "\n{}", outcome.trace.join("\n"));
        prop_assert_eq!(outcome.stops.last().map(|stop| stop.led), Some(true));
    }
}

/// One partition of five brokers, in any state, contradictory ones too; every third time a replica is leaving.
fn partition() -> impl Strategy<Value = (PartitionState, u32)> {
    let id = || (1_i32..=5).prop_map(BrokerId);
    let ids = move |least| prop::collection::btree_set(id(), least..=4);
    let leaving = prop_oneof![2 => Just(None), 1 => id().prop_map(Some)];
    (ids(1), ids(0), leaving, 0_usize..5, 1_u32..=3).prop_map(|(replicas, isr, leaving, leader, min_isr)| {
        let isr: BTreeSet<BrokerId> = isr.intersection(&replicas).copied().collect();
        let removing = leaving.into_iter().filter(|id| replicas.contains(id)).collect();
        let leader = isr.iter().copied().nth(leader);
        let replicas = replicas.into_iter().collect();
        (PartitionState { leader, leader_epoch: 0, replicas, isr, removing }, min_isr)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// What the probe lets pass without acceptance leaves the partition with a leader and writable, or takes nothing
    /// away from it.
    #[test]
    fn a_stop_that_the_probe_allows_takes_nothing_that_is_needed(
        (state, min_isr) in partition(),
        registered in prop::collection::btree_set((1_i32..=5).prop_map(BrokerId), 0..=5),
        stop in prop::collection::btree_set((1_i32..=5).prop_map(BrokerId), 1..=2)
    ) {
        let live: BTreeSet<BrokerId> =
            state.isr.iter().copied().filter(|id| registered.contains(id) && !state.removing.contains(id)).collect();
        let broker = || Broker { host: "h".to_owned(), port: 1, rack: None };
        let topic = Topic { min_isr, internal: true, partitions: BTreeMap::from([(0, state.clone())]) };
        let snapshot = KafkaSnapshot {
            seen_by: BrokerId(9),
            cluster_id: "c".to_owned(),
            mode: KafkaMode::ZooKeeper { active_controller: None },
            brokers: registered.iter().map(|id| (*id, broker())).collect(),
            topics: BTreeMap::from([("__consumer_offsets".to_owned(), topic)]),
            reassigning: BTreeSet::new(),
        };
        let unready: BTreeSet<BrokerId> = stop.difference(&registered).copied().collect();
        let verdicts = probe(&snapshot, &stop);
        prop_assert!(verdicts.len() <= 1);
        let allowed = verdicts.iter().all(|verdict| {
            matches!(rule(verdict, &stop, &unready, &Policy::default()), Ruling::Harmless | Ruling::Cure)
        });
        let left = live.difference(&stop).count();
        let takes = !live.is_disjoint(&stop);
        if allowed && takes {
            prop_assert!(left >= min_isr as usize, "{state:?} min ISR {min_isr}, without {stop:?}: {verdicts:?}");
        }
        let broken = live.len() < min_isr as usize;
        let staying = state.replicas.iter().filter(|id| !state.removing.contains(id));
        let hosts = staying.clone().any(|id| stop.contains(id));
        if allowed && broken && hosts {
            prop_assert!(staying.clone().filter(|id| stop.contains(id)).all(|id| unready.contains(id)));
        }
        let hurts = takes && left < min_isr as usize;
        prop_assert!(!hurts || !verdicts.is_empty(), "{state:?} without {stop:?} has no verdict");
    }
}
