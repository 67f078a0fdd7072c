//! The recorded answers are whole but for `mntr` of 3.8 and 3.9, which keep their first lines and the counters that
//! are read (the rest are five hundred more counters).

use super::*;

const AT: fn() -> Address = || Address::new("zookeeper-1", 2181);

macro_rules! recorded {
    ($file:literal) => {
        include_str!(concat!("../recorded/", $file, ".txt"))
    };
}

#[test]
fn every_version_and_role_says_its_state() {
    let leader = |synced_followers| ZooKeeperState::Leader { synced_followers, pending_syncs: 0 };
    let cases = [
        ("3.4 leader", recorded!("mntr-3.4-leader"), leader(1), "3.4.14", 27),
        ("3.4 follower", recorded!("mntr-3.4-follower"), ZooKeeperState::Follower, "3.4.14", 27),
        ("3.8 leader", recorded!("mntr-3.8-leader"), leader(2), "3.8.4", 3256),
        ("3.9 leader", recorded!("mntr-3.9-leader"), leader(1), "3.9.3", 179),
        ("3.9 follower", recorded!("mntr-3.9-follower"), ZooKeeperState::Follower, "3.9.3", 179),
        ("3.9 observer", recorded!("mntr-3.9-observer"), ZooKeeperState::Observer, "3.9.3", 179),
        ("3.9 standalone", recorded!("mntr-3.9-standalone"), ZooKeeperState::Standalone, "3.9.3", 44),
    ];
    for (name, text, state, version, data_size_bytes) in cases {
        let expected =
            Monitored { version: version.into(), state, outstanding_requests: 0, connections: 1, data_size_bytes };
        assert_eq!(monitored(&AT(), text).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_server_that_is_not_in_broadcast_serves_nobody() {
    let text = recorded!("mntr-3.9-follower").replace("following - broadcast", "following - synchronization");
    assert_eq!(monitored(&AT(), &text).unwrap().state, ZooKeeperState::NotServing);
    let text = recorded!("mntr-3.4-follower").replace("\tfollower", "\tread-only");
    assert_eq!(monitored(&AT(), &text).unwrap().state, ZooKeeperState::NotServing);
}

#[test]
fn what_is_missing_or_unknown_in_mntr_is_named() {
    let leader = recorded!("mntr-3.4-leader");
    let without = |key: &str| leader.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
    let cases = [
        (
            without("zk_synced_followers"),
            "read zk_synced_followers of the answer to 'mntr' of ZooKeeper server zookeeper-1:2181: there is none",
        ),
        (
            without("zk_server_state"),
            "read zk_server_state of the answer to 'mntr' of ZooKeeper server zookeeper-1:2181: there is none",
        ),
        (
            leader.replace("\tleader", "\tking"),
            "read zk_server_state of the answer to 'mntr' of ZooKeeper server zookeeper-1:2181: \"king\" is no known state",
        ),
        (
            leader.replace("zk_pending_syncs\t0", "zk_pending_syncs\tmany"),
            "read zk_pending_syncs of the answer to 'mntr' of ZooKeeper server zookeeper-1:2181: \"many\" is no count",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(monitored(&AT(), &text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn counts_are_read_as_each_version_prints_them() {
    let cases = [("2", Some(2)), ("2.0", Some(2)), ("-1", Some(0)), ("2.5", None), ("", None)];
    for (text, expected) in cases {
        assert_eq!(whole(text), expected, "{text:?}");
    }
}

#[test]
fn the_transaction_id_keeps_its_epoch() {
    let cases = [
        (recorded!("srvr-3.4-leader"), Ok(0x1_0000_0000)),
        (recorded!("srvr-3.8-leader"), Ok(0x1_0000_007d)),
        (recorded!("srvr-3.9-standalone"), Ok(0)),
        ("Mode: leader\n", Err("there is none")),
        ("Zxid: 0xzz\n", Err("\"0xzz\" is no hexadecimal number")),
    ];
    for (text, expected) in cases {
        match expected {
            Ok(id) => assert_eq!(zxid(&AT(), text).unwrap(), id, "{text}"),
            Err(why) => assert!(zxid(&AT(), text).unwrap_err().to_string().ends_with(why), "{text}"),
        }
    }
}

fn ensemble(members: &[(i32, ZooKeeperRole)]) -> BTreeMap<BrokerId, ZooKeeperRole> {
    members.iter().map(|&(id, role)| (BrokerId(id), role)).collect()
}

#[test]
fn the_ensemble_is_read_from_what_the_server_or_its_file_says() {
    use ZooKeeperRole::{Observer, Participant};
    let file = "# three hosts\ntickTime=2000\ninitLimit = 20\ndataDir=/var/lib/zookeeper\n\
        server.1=zk1:2888:3888\nserver.2 = zk2:2888:3888:participant;2181\n\
        server.3=zk3:2888:3888:observer;0.0.0.0:2181\nserver.10=[2001:db8::1]:2888:3888|10.0.0.1:2889:3889:observer\n";
    let cases = [
        ("3.4 tells no members", recorded!("conf-3.4-leader"), Some(2), 2000, 10, ensemble(&[])),
        ("3.4 alone", recorded!("conf-3.4-standalone"), Some(0), 2000, 0, ensemble(&[])),
        (
            "3.8",
            recorded!("conf-3.8-leader"),
            Some(3),
            2000,
            10,
            ensemble(&[(1, Participant), (2, Participant), (3, Participant)]),
        ),
        (
            "3.9 with an observer",
            recorded!("conf-3.9-leader"),
            Some(2),
            2000,
            10,
            ensemble(&[(1, Participant), (2, Participant), (3, Observer)]),
        ),
        (
            "a file",
            file,
            None,
            2000,
            20,
            ensemble(&[(1, Participant), (2, Participant), (3, Observer), (10, Observer)]),
        ),
        ("an empty file", "", None, DEFAULT_TICK_MS, 0, ensemble(&[])),
    ];
    for (name, text, server_id, tick_ms, init_limit, ensemble) in cases {
        let expected = Settings { server_id, tick_ms, init_limit, ensemble };
        assert_eq!(settings(&AT(), "conf", text).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_setting_that_is_no_number_is_named() {
    let cases = [
        ("tickTime=2s", "read tickTime of zoo.cfg of ZooKeeper server zookeeper-1:2181: \"2s\" is no number"),
        ("server.one=a:1:2", "read server.one of zoo.cfg of ZooKeeper server zookeeper-1:2181: \"one\" is no number"),
    ];
    for (text, expected) in cases {
        assert_eq!(settings(&AT(), "zoo.cfg", text).unwrap_err().to_string(), expected);
    }
}
