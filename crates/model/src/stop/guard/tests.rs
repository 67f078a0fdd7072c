//! The rule by tables, and by properties over random clusters.

use super::*;
use crate::HostName;
use crate::snapshot::{Broker, PartitionState, Quorum, ReplicaProgress, Topic};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn ids(ids: &[i32]) -> BTreeSet<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

/// A view by broker 1: who is registered, and topics as (min ISR, replicas, ISR). The first in sync leads.
fn view(alive: &[i32], topics: &[(u32, &[i32], &[i32])]) -> KafkaSnapshot {
    let topic = |(min_isr, replicas, isr): &(u32, &[i32], &[i32])| {
        let state = PartitionState {
            leader: isr.iter().find(|id| alive.contains(id)).copied().map(BrokerId),
            leader_epoch: 1,
            replicas: replicas.iter().copied().map(BrokerId).collect(),
            isr: ids(isr),
            removing: BTreeSet::new(),
        };
        Topic { min_isr: *min_isr, internal: false, partitions: BTreeMap::from([(0, state)]) }
    };
    let broker = |id: &i32| (BrokerId(*id), Broker { host: format!("kafka{id}"), port: 9092, rack: None });
    KafkaSnapshot {
        seen_by: BrokerId(1),
        cluster_id: "c".into(),
        mode: KafkaMode::ZooKeeper { active_controller: alive.first().copied().map(BrokerId) },
        brokers: alive.iter().map(broker).collect(),
        topics: topics.iter().enumerate().map(|(n, parts)| (format!("t{n}"), topic(parts))).collect(),
        reassigning: BTreeSet::new(),
    }
}

fn kraft(alive: &[i32], leader: Option<i32>, behind: &[(i32, Option<i64>)]) -> KafkaSnapshot {
    let progress = |behind_ms| ReplicaProgress { log_end_offset: 0, behind_ms };
    let quorum = Quorum {
        leader: leader.map(BrokerId),
        leader_epoch: 1,
        high_watermark: 0,
        voters: behind.iter().map(|&(id, behind_ms)| (BrokerId(id), progress(behind_ms))).collect(),
        observers: BTreeMap::new(),
    };
    KafkaSnapshot { mode: KafkaMode::Kraft { quorum }, ..view(alive, &[]) }
}

/// The answer in short: `free`, `adrift`, `blind`, `clear`, or the reasons.
fn said(standing: &Standing) -> String {
    match judge(standing) {
        Answer::Free { .. } => "free".to_owned(),
        Answer::Adrift { .. } => "adrift".to_owned(),
        Answer::Blind { .. } => "blind".to_owned(),
        Answer::Clear { .. } => "clear".to_owned(),
        Answer::Against(reasons) => reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
    }
}

#[test]
fn a_broker_may_stop_only_while_no_other_is_missed() {
    let all: &[i32] = &[1, 2, 3];
    for (what, view, wanted) in [
        ("all is well", view(all, &[(2, all, all)]), "clear"),
        ("no topics yet", view(all, &[]), "clear"),
        ("a broker alone", view(&[1], &[(1, &[1], &[1])]), "free"),
        // The operator's decision, which no waiting changes.
        ("one replica", view(all, &[(1, &[1], &[1])]), "clear"),
        ("as many replicas as min ISR", view(all, &[(2, &[1, 2], &[1, 2])]), "clear"),
        ("two replicas, one needed", view(all, &[(1, &[1, 2], &[1, 2])]), "clear"),
        // Somebody is gone, whether its partitions touch this broker or not.
        ("a replica's broker is gone", view(&[1, 2], &[(1, &[2, 3], &[2])]), "broker 3 is not registered"),
        (
            "and a partition would fall under min ISR",
            view(&[1, 2], &[(2, all, &[1, 2])]),
            "broker 3 is not registered | stopping broker 1 would hurt 1 partition: t0-0 would refuse acks=all writes \
             (in sync [1, 2] of [1, 2, 3], 1 left, min ISR 2)",
        ),
        // All are registered, and one is not back in sync.
        (
            "a replica is behind",
            view(all, &[(2, all, &[1, 3])]),
            "stopping broker 1 would hurt 1 partition: t0-0 would refuse acks=all writes (in sync [1, 3] of [1, 2, 3], \
             1 left, min ISR 2)",
        ),
        (
            "the last in sync",
            view(all, &[(1, all, &[1])]),
            "stopping broker 1 would hurt 1 partition: t0-0 would go offline (in sync [1] of [1, 2, 3], 0 left, min ISR 1)",
        ),
        ("a replica is behind, and enough are left", view(all, &[(1, all, &[1, 3])]), "clear"),
        // Its own stop takes nothing away where it is not in sync itself.
        ("it is behind itself", view(all, &[(2, all, &[2, 3])]), "clear"),
        ("it is behind itself, and so is another", view(all, &[(2, all, &[2])]), "clear"),
    ] {
        assert_eq!(said(&Standing::Kafka(view)), wanted, "{what}");
    }
    let electing = KafkaSnapshot { mode: KafkaMode::ZooKeeper { active_controller: None }, ..view(all, &[]) };
    assert_eq!(said(&Standing::Kafka(electing)), "no active controller or leader is elected");
}

#[test]
fn a_quorum_of_controllers_keeps_its_majority_and_one_more() {
    let (now, late) = (Some(0), Some(5000));
    let all: &[i32] = &[1, 2, 3];
    for (what, view, wanted) in [
        ("all in step", kraft(all, Some(1), &[(1, now), (2, now), (3, now)]), "clear"),
        (
            "another is behind",
            kraft(all, Some(2), &[(1, now), (2, now), (3, late)]),
            "without member 1 only 1 of 3 voters would be in step, 2 are needed",
        ),
        ("it is behind itself", kraft(all, Some(2), &[(1, late), (2, now), (3, now)]), "clear"),
        ("no voter", kraft(all, Some(4), &[(4, now), (5, now), (6, late)]), "clear"),
        ("the only one", kraft(&[1], Some(1), &[(1, now)]), "free"),
        ("no leader", kraft(all, None, &[(1, now), (2, now), (3, now)]), "no active controller or leader is elected"),
    ] {
        assert_eq!(said(&Standing::Kafka(view)), wanted, "{what}");
    }
}

fn server(id: i32, state: ZooKeeperState, voters: i32) -> ZooKeeperServer {
    let mut ensemble: BTreeMap<_, _> = (1..=voters).map(|id| (BrokerId(id), ZooKeeperRole::Participant)).collect();
    ensemble.insert(BrokerId(9), ZooKeeperRole::Observer);
    ZooKeeperServer {
        host: HostName::new("zk").unwrap(),
        server_id: BrokerId(id),
        state,
        zxid: 0,
        ensemble,
        outstanding_requests: 0,
        connections: 0,
        data_size_bytes: 0,
        tick_ms: 2000,
        init_limit: 10,
        version: String::new(),
    }
}

#[test]
fn a_server_may_stop_only_while_its_leader_has_all_voters_in_step() {
    let leads = |synced_followers, pending_syncs| ZooKeeperState::Leader { synced_followers, pending_syncs };
    for (what, own, leader, silent, voters, wanted) in [
        ("a follower, all in step", ZooKeeperState::Follower, leads(2, 0), &[][..], 3, "clear"),
        ("the leader, all in step", leads(2, 0), leads(2, 0), &[], 3, "clear"),
        ("a port that others can not reach says nothing", ZooKeeperState::Follower, leads(2, 0), &[3], 3, "clear"),
        (
            "one of three is down",
            ZooKeeperState::Follower,
            leads(1, 0),
            &[3, 9],
            3,
            "ZooKeeper server 2: the leader has 1 followers in step of 2 | ZooKeeper server 3: does not answer | \
             without member 1 only 1 of 3 voters would be in step, 2 are needed",
        ),
        (
            "one of five is down: a majority would be left, and nothing beyond it",
            ZooKeeperState::Follower,
            leads(3, 0),
            &[],
            5,
            "ZooKeeper server 2: the leader has 3 followers in step of 4",
        ),
        (
            "one takes its data yet",
            ZooKeeperState::Follower,
            leads(2, 1),
            &[],
            3,
            "ZooKeeper server 2: 1 syncs are pending with the leader",
        ),
        ("an observer has no vote", ZooKeeperState::Observer, leads(1, 0), &[], 3, "free"),
        ("alone", ZooKeeperState::Standalone, ZooKeeperState::Standalone, &[], 0, "free"),
        ("without quorum, or electing", ZooKeeperState::NotServing, ZooKeeperState::NotServing, &[], 3, "adrift"),
        ("two voters: no waiting gives a third", ZooKeeperState::Follower, leads(1, 0), &[], 2, "clear"),
    ] {
        let standing =
            Standing::ZooKeeper { own: server(1, own, voters), leader: server(2, leader, voters), silent: ids(silent) };
        assert_eq!(said(&standing), wanted, "{what}");
    }
}

#[test]
fn who_is_apart_may_stop_who_is_adrift_may_come_back_and_of_the_blind_nothing_is_known() {
    let why = || "x".to_owned();
    assert_eq!(judge(&Standing::Apart { why: why() }), Answer::Free { why: why() });
    assert_eq!(judge(&Standing::Adrift { why: why() }), Answer::Adrift { why: why() });
    assert_eq!(judge(&Standing::Blind { why: why() }), Answer::Blind { why: why() });
}

/// A cluster of up to six brokers, some of them gone, with topics of any replicas and in-sync sets.
fn cluster() -> impl Strategy<Value = KafkaSnapshot> {
    let topic = (1..4_u32, proptest::sample::subsequence((1..=6).collect::<Vec<i32>>(), 1..=4), any::<u8>());
    let alive = proptest::sample::subsequence((2..=6).collect::<Vec<i32>>(), 0..=5);
    (alive, proptest::collection::vec(topic, 0..5)).prop_map(|(mut alive, topics)| {
        alive.insert(0, 1);
        let topics: Vec<(u32, Vec<i32>, Vec<i32>)> = topics
            .into_iter()
            .map(|(min_isr, replicas, bits)| {
                let isr = replicas.iter().copied().filter(|id| bits & (1 << id) != 0).collect();
                (min_isr, replicas, isr)
            })
            .collect();
        let topics: Vec<(u32, &[i32], &[i32])> = topics.iter().map(|(m, r, i)| (*m, &r[..], &i[..])).collect();
        view(&alive, &topics)
    })
}

/// In-sync replicas on brokers that are there, without `less`.
fn serving(view: &KafkaSnapshot, state: &PartitionState, less: Option<BrokerId>) -> u32 {
    let serves = |id: &&BrokerId| view.brokers.contains_key(id) && Some(**id) != less;
    size(state.isr.iter().filter(serves).count())
}

proptest! {
    #[test]
    fn a_stop_that_is_allowed_breaks_no_partition_that_could_have_borne_it(view in cluster()) {
        let allowed = !matches!(judge(&Standing::Kafka(view.clone())), Answer::Against(_));
        let mut missed = false;
        for (tp, topic, state) in view.partitions() {
            missed |= state.replicas.iter().any(|id| !view.brokers.contains_key(id));
            let can_bear = size(state.replicas.len()) > topic.min_isr;
            let before = serving(&view, state, None);
            let after = serving(&view, state, Some(view.seen_by));
            if allowed && can_bear && after < before {
                prop_assert!(after >= topic.min_isr.min(before), "{tp} would have {after} of {before}: {state:?}");
                prop_assert!(after > 0, "{tp} would go offline: {state:?}");
            }
        }
        prop_assert!(!(allowed && missed), "a second node would be down");
    }

    #[test]
    fn a_whole_cluster_always_bears_one_stop(mut view in cluster()) {
        for id in 1..=6 {
            view.brokers.insert(BrokerId(id), Broker { host: "h".into(), port: 1, rack: None });
        }
        for state in view.topics.values_mut().flat_map(|topic| topic.partitions.values_mut()) {
            state.isr = state.replicas.iter().copied().collect();
        }
        let answer = judge(&Standing::Kafka(view));
        prop_assert!(matches!(answer, Answer::Clear { .. }), "{answer:?}");
    }

    #[test]
    fn the_turns_of_two_members_never_meet_nor_touch(
        members in proptest::collection::btree_set(0..1000_i32, 2..40), now in 0..4_000_000_000_000_i64,
    ) {
        let members: BTreeSet<BrokerId> = members.into_iter().map(BrokerId).collect();
        let open = |at: i64| members.iter().filter(|id| wait_for_turn(**id, &members, at).is_zero()).copied().collect::<Vec<_>>();
        prop_assert!(open(now).len() <= 1);
        for node in &members {
            let wait = wait_for_turn(*node, &members, now);
            prop_assert!(wait < TURN * u32::try_from(members.len()).unwrap());
            let then = now + i64::try_from(wait.as_millis()).unwrap();
            prop_assert_eq!(open(then), vec![*node], "who waits out his time has his turn");
        }
        // Between two different members' openings lies the time that a stop has to be seen in.
        let gap = i64::try_from((TURN - OPEN).as_millis()).unwrap();
        if let [node] = open(now)[..] {
            for other in members.iter().filter(|other| **other != node) {
                let wait = wait_for_turn(*other, &members, now);
                prop_assert!(i64::try_from(wait.as_millis()).unwrap() > gap, "{node} then {other} after {wait:?}");
            }
        }
    }
}
