//! The probe: one case for each verdict and each ruling on it.

use crate::policy::Policy;
use crate::probe::{Ruling, rule};
use kfleet_model::BrokerId;
use kfleet_model::snapshot::{Broker, KafkaMode, KafkaSnapshot, PartitionState, Topic};
use kfleet_model::stop::{never_passes, probe};
use std::collections::{BTreeMap, BTreeSet};

/// One partition in a cluster of the registered brokers.
fn partition(registered: &[i32], min_isr: u32, state: PartitionState) -> KafkaSnapshot {
    let broker = || Broker { host: "h".to_owned(), port: 9092, rack: None };
    KafkaSnapshot {
        seen_by: BrokerId(9),
        cluster_id: "c".to_owned(),
        mode: KafkaMode::ZooKeeper { active_controller: None },
        brokers: registered.iter().map(|id| (BrokerId(*id), broker())).collect(),
        topics: BTreeMap::from([(
            "__consumer_offsets".to_owned(),
            Topic { min_isr, internal: true, partitions: BTreeMap::from([(0, state)]) },
        )]),
        reassigning: BTreeSet::new(),
    }
}

#[test]
fn each_verdict_has_its_case_and_internal_topics_are_not_exempt() {
    use kfleet_model::Verdict::{Acks1Risk, AcksAllRefused, AlreadyBroken, Leaderless, Rf1Offline, Thin};
    let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect::<BTreeSet<_>>();
    let case = |replicas: &[i32], isr: &[i32], leader: i32, removing: &[i32]| PartitionState {
        leader: Some(BrokerId(leader)),
        leader_epoch: 0,
        replicas: replicas.iter().copied().map(BrokerId).collect(),
        isr: ids(isr),
        removing: ids(removing),
    };
    let up = &[1, 2, 3, 4];
    for (why, registered, state, min_isr, stop, verdict, ruling) in [
        ("whole, RF 3, min 1", &up[..], case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 1, &[1][..], None, None),
        ("hosted elsewhere", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 2, &[4], None, None),
        ("one replica", up, case(&[1], &[1], 1, &[]), 1, &[1], Some(Rf1Offline), Some(Ruling::Refuse)),
        ("one replica, dead", &[2], case(&[1], &[1], 1, &[]), 1, &[1], Some(AlreadyBroken), Some(Ruling::Cure)),
        ("last in sync", up, case(&[1, 2, 3], &[1], 1, &[]), 1, &[1], Some(Leaderless), Some(Ruling::Wait)),
        ("all three", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 1, &[1, 2, 3], Some(Leaderless), Some(Ruling::Wait)),
        ("one is out", up, case(&[1, 2, 3], &[1, 2], 1, &[]), 2, &[1], Some(AcksAllRefused), Some(Ruling::Wait)),
        ("min is RF", up, case(&[1, 2], &[1, 2], 1, &[]), 2, &[1], Some(AcksAllRefused), Some(Ruling::Refuse)),
        ("broken", up, case(&[1, 2, 3], &[1, 3], 1, &[]), 3, &[1], Some(AlreadyBroken), Some(Ruling::Refuse)),
        ("broken, out but up", up, case(&[1, 2, 3], &[1], 1, &[]), 2, &[2], Some(AlreadyBroken), Some(Ruling::Wait)),
        ("broken, the cure", &[1, 3], case(&[1, 2, 3], &[1], 1, &[]), 2, &[2], Some(AlreadyBroken), Some(Ruling::Cure)),
        ("leader leaves", up, case(&[1, 2, 3], &[1], 1, &[1]), 1, &[1], Some(Acks1Risk), Some(Ruling::Wait)),
        ("left is leaving", up, case(&[1, 2, 3], &[1, 2], 1, &[2]), 1, &[1], Some(Leaderless), Some(Ruling::Wait)),
        (
            "dead in the ISR",
            &[1, 2],
            case(&[1, 2, 3], &[1, 2, 3], 1, &[]),
            2,
            &[1],
            Some(AcksAllRefused),
            Some(Ruling::Wait),
        ),
        ("thin, alone", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 2, &[1], Some(Thin), Some(Ruling::Harmless)),
        ("thin, in a batch", up, case(&[1, 2, 3], &[1, 2, 3], 1, &[]), 2, &[1, 4], Some(Thin), Some(Ruling::Refuse)),
    ] {
        let snapshot = partition(registered, min_isr, state);
        let stop = ids(stop);
        let unready = stop.iter().copied().filter(|id| !snapshot.brokers.contains_key(id)).collect();
        let found = probe(&snapshot, &stop);
        assert_eq!(found.first().map(|v| v.verdict), verdict, "{why}: {found:?}");
        let ruled = found.first().map(|v| rule(v, &stop, &unready, &Policy::default()));
        assert_eq!(ruled, ruling, "{why}: {found:?}");
        let hopeless = found.first().is_some_and(never_passes);
        assert!(ruled != Some(Ruling::Wait) || !hopeless, "{why}: what is waited for can pass");
        assert!(ruled != Some(Ruling::Refuse) || hopeless || stop.len() > 1, "{why}: what is refused can not pass");
    }
}
