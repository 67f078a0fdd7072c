//! Tests of the rules for one node. First against Kafka itself, then of what Kafka does not say.

use super::*;
use crate::Properties;
use crate::verdicts::{hold, shown};

/// `VERSION, KEY=VALUE;;..., verdict`: the verdicts are those of Kafka's own classes (`tests/kafka-definitions`, judge).
const VERDICTS: &str = include_str!("recorded/verdicts.tsv");

/// Where kfleet calls an error what Kafka starts with: no write would ever succeed; one disk counted twice.
const STRICTER: [&str; 2] = ["min.insync.replicas=3;;default.replication.factor=2", "log.dirs=/a,/a"];

fn findings(version: &str, text: &str) -> Vec<Finding> {
    let settings = Settings::from(&Properties::parse(text.as_bytes()));
    let release = version.parse().unwrap();
    check(Node { release, extent: Extent::Whole, settings: &settings, extra: &["my.plugin.*".to_owned()] })
}

#[test]
fn an_error_is_what_kafka_itself_does_not_start_with() {
    hold(VERDICTS, 190, findings, |settings| STRICTER.iter().any(|part| settings.ends_with(part)));
}

const KRAFT: &str = "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=7@a:9093,8@b:9093,9@c:9093\n\
     controller.listener.names=CONTROLLER\nlog.dirs=/data\n";
const ZOOKEEPER: &str = "broker.id=1\nzookeeper.connect=zk:2181\nlog.dirs=/data\n";

#[test]
fn keys_that_are_misspelt_gone_or_not_there_yet_are_told_with_their_line() {
    for (version, line, wanted, hint) in [
        (
            "3.9.1",
            "min.insync.replica=2",
            "E 4: Kafka 3.9 has no key 'min.insync.replica'",
            "did you mean 'min.insync.replicas'?",
        ),
        (
            "3.9.1",
            "my.own=1",
            "E 4: Kafka 3.9 has no key 'my.own'",
            "name the keys of your own plugins in the parameter extra_keys",
        ),
        ("3.0.0", "host.name=h", "E 4: 'host.name' is gone after 2.8, and this is 3.0", "listeners has host and port"),
        ("2.8.1", "host.name=h", "W 4: 'host.name' is deprecated", "listeners has host and port"),
        (
            "3.9.1",
            "controller.quorum.auto.join.enable=true",
            "E 4: 'controller.quorum.auto.join.enable' comes with 4.2, and this is 3.9",
            "",
        ),
        ("3.9.1", "num.io.threads=0", "E 4: 'num.io.threads' must be at least 1, not \"0\"", ""),
        ("3.9.1", "log.dirs=/b", "W 4: 'log.dirs' stands in the file twice; the one on line 3 does not count", ""),
        (
            "3.9.1",
            "broker.rack=\\u12",
            "E 4: 'broker.rack' has a \\u without four hexadecimal digits, and Java refuses the whole file for it",
            "",
        ),
    ] {
        let found = findings(version, &format!("{ZOOKEEPER}{line}\n"));
        assert_eq!(shown(&found), [wanted], "{line} in {version}");
        assert_eq!(found[0].problem.hint().unwrap_or_default(), hint, "{line} in {version}");
    }
}

#[test]
fn keys_of_plugins_and_of_single_listeners_are_known() {
    for line in [
        "my.plugin.a.b=1",
        "super.users=User:admin",
        "rsm.config.bucket=b",
        "config.providers=file\nconfig.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider",
        "listener.name.plaintext.ssl.keystore.location=/k",
        "listener.name.plaintext.scram-sha-256.sasl.jaas.config=x",
        "listener.name.plaintext.max.connections=10",
    ] {
        assert_eq!(shown(&findings("3.9.1", &format!("{ZOOKEEPER}{line}\n"))), Vec::<String>::new(), "{line}");
    }
    let found = shown(&findings("3.9.1", &format!("{ZOOKEEPER}listener.name.plaintext.max.connections=x\n")));
    assert_eq!(found, ["E 4: 'listener.name.plaintext.max.connections' must be a whole number of 32 bits, not \"x\""]);
}

#[test]
fn a_secret_is_in_no_finding() {
    let text = format!(
        "{ZOOKEEPER}listener.name.a.plain.sasl.jaas.config=hunter2\nssl.key.pasword=hunter2\nssl.keystore.password=hunter2\n\
         ssl.keystore.password=hunter2\n"
    );
    let found = findings("3.9.1", &text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
}

#[test]
fn combinations_that_lose_messages_are_told() {
    for (line, wanted) in [
        (
            "default.replication.factor=2\nmin.insync.replicas=3",
            "E 6: 'min.insync.replicas' (3) is larger than 'default.replication.factor' (2): no acks=all write succeeds",
        ),
        (
            "default.replication.factor=3\nmin.insync.replicas=3",
            "W 6: 'min.insync.replicas' is as large as 'default.replication.factor' (3): writes fail while any broker is down",
        ),
        ("default.replication.factor=3\nmin.insync.replicas=2", ""),
        (
            "transaction.state.log.min.isr=3",
            "W 6: 'transaction.state.log.min.isr' is as large as 'transaction.state.log.replication.factor' (3): writes \
             fail while any broker is down",
        ),
        (
            "offsets.topic.replication.factor=1",
            "W 6: 'offsets.topic.replication.factor' is 1: consumer groups or transactions are lost with one disk",
        ),
        (
            "unclean.leader.election.enable=true",
            "W 6: 'unclean.leader.election.enable' is true: a replica that is behind may lead, and what it lacks is lost",
        ),
        (
            "controlled.shutdown.enable=false",
            "W 6: 'controlled.shutdown.enable' is false: every stop of a broker leaves partitions without a leader for a \
             while",
        ),
        (
            "offsets.commit.required.acks=1",
            "W 6: 'offsets.commit.required.acks' is 1: committed offsets may be lost with one broker",
        ),
        (
            "message.max.bytes=20000000",
            "W 6: 'message.max.bytes' (20000000) must be at most 'replica.fetch.response.max.bytes' (10485760): followers \
             would fetch the largest messages one by one",
        ),
        (
            "zookeeper.connect=zk:2181",
            "W 6: 'zookeeper.connect' is set on a KRaft node that is not taking a cluster over from ZooKeeper",
        ),
        ("zookeeper.connect=zk:2181\nzookeeper.metadata.migration.enable=true", ""),
        ("inter.broker.protocol.version=3.8", "W 6: 'inter.broker.protocol.version' has no effect on a KRaft node"),
    ] {
        let found: Vec<String> = shown(&findings("3.9.1", &format!("{KRAFT}{line}\n")))
            .into_iter()
            .filter(|t| !t.contains("is deprecated"))
            .collect();
        let wanted: Vec<&str> = Some(wanted).filter(|wanted| !wanted.is_empty()).into_iter().collect();
        let found: Vec<String> = found.iter().map(|text| text.replace("E 7", "E 6").replace("W 7", "W 6")).collect();
        assert_eq!(found, wanted, "{line}");
    }
}

#[test]
fn an_even_quorum_and_an_unfinished_upgrade_are_told() {
    let text = KRAFT.replace(",9@c:9093", "");
    assert_eq!(shown(&findings("3.9.1", &text)), ["W 3: 2 voters are an even number: 0 of them may fail, as of 1"]);
    let text = format!("{ZOOKEEPER}inter.broker.protocol.version=2.8\nlog.message.format.version=2.8\n");
    let wanted = [
        "W 4: 'inter.broker.protocol.version' is 2.8 on Kafka 3.9",
        "W 5: 'log.message.format.version' has no effect with a protocol of 3.0 or later",
    ];
    assert_eq!(shown(&findings("3.9.1", &text)), wanted);
}

#[test]
fn of_a_part_nothing_is_missing_and_no_default_is_assumed() {
    let settings = Settings::of([("node.id", "1"), ("min.insync.replicas", "2"), ("process.roles", "broker")]);
    let node = Node { release: Release::new(4, 1), extent: Extent::Part, settings: &settings, extra: &[] };
    assert_eq!(shown(&check(node)), Vec::<String>::new());
    let whole = shown(&check(Node { extent: Extent::Whole, ..node }));
    assert!(whole.iter().any(|text| text.contains("'controller.listener.names' is not set")), "{whole:?}");
    assert!(whole.iter().any(|text| text.contains("'min.insync.replicas' (2) is larger")), "{whole:?}");
}
