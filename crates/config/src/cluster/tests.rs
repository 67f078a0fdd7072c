//! Tests of the rules between nodes.

use super::*;
use crate::Severity;

fn kafka(host: &str, text: &str) -> Member {
    member(host, Service::Kafka, "4.1.1", text)
}

fn zookeeper(host: &str, my_id: i64, text: &str) -> Member {
    member(host, Service::ZooKeeper { my_id: Some(my_id) }, "3.8.4", text)
}

fn member(host: &str, service: Service, release: &str, text: &str) -> Member {
    let settings = Settings::from(&crate::Properties::parse(text.as_bytes()));
    let release = release.parse().unwrap();
    Member { host: host.to_owned(), service, release, extent: Extent::Whole, settings }
}

fn shown(members: &[Member]) -> Vec<String> {
    let severity = |severity| if severity == Severity::Error { "E" } else { "W" };
    check(members)
        .iter()
        .map(|found| {
            format!("{} {} [{}]: {}", severity(found.severity), found.key, found.hosts.join(","), found.problem)
        })
        .collect()
}

/// A combined node of a cluster of three.
fn combined(id: u8) -> String {
    format!(
        "process.roles=broker,controller\nnode.id={id}\nlog.dirs=/data\ncontroller.listener.names=CONTROLLER\n\
         controller.quorum.voters=1@k1:9093,2@k2:9093,3@k3:9093\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
         advertised.listeners=PLAINTEXT://k{id}:9092\ndefault.replication.factor=3\nmin.insync.replicas=2\n"
    )
}

fn server(id: u8) -> String {
    format!(
        "dataDir=/data\nclientPort=2181\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\nserver.1=z1:2888:3888\n\
         server.2=z2:2888:3888\nserver.3=z3:2888:3888\n# {id}\n"
    )
}

fn cluster() -> Vec<Member> {
    (1..=3).map(|id| kafka(&format!("k{id}"), &combined(id))).collect()
}

fn ensemble() -> Vec<Member> {
    (1..=3).map(|id| zookeeper(&format!("z{id}"), id.into(), &server(id))).collect()
}

#[test]
fn a_cluster_in_order_has_no_findings() {
    assert_eq!(shown(&cluster()), Vec::<String>::new());
    assert_eq!(shown(&ensemble()), Vec::<String>::new());
    let beside: Vec<Member> =
        (1..=3).map(|id| zookeeper(&format!("k{id}"), id.into(), &server(id))).chain(cluster()).collect();
    assert_eq!(shown(&beside), Vec::<String>::new());
}

#[test]
fn conflicts_between_brokers_are_told_with_their_hosts() {
    for (from, to, wanted) in [
        ("node.id=3", "node.id=2", "E node.id [k2,k3]: k2 and k3 have the same node id 2"),
        (
            "PLAINTEXT://k3:9092",
            "PLAINTEXT://k2:9092",
            "E advertised.listeners [k2,k3]: k2 and k3 have the same advertised address k2:9092",
        ),
        (
            ",3@k3:9093",
            "",
            "E controller.quorum.voters [k3,k1,k2]: the nodes do not agree on 'controller.quorum.voters': \
             1@k1:9093,2@k2:9093 on k3; 1@k1:9093,2@k2:9093,3@k3:9093 on k1, k2",
        ),
        (
            "CONTROLLER://:9093",
            "CONTROLLER://:9094",
            "E controller.quorum.voters [k3]: voter 3 is named with port 9093, and listens on another one",
        ),
        (
            "min.insync.replicas=2",
            "min.insync.replicas=1",
            "W min.insync.replicas [k3,k1,k2]: the nodes do not agree on 'min.insync.replicas': 1 on k3; 2 on k1, k2",
        ),
        (
            "default.replication.factor=3",
            "default.replication.factor=3\noffsets.topic.replication.factor=4",
            "W offsets.topic.replication.factor [k1,k2,k3]: 'offsets.topic.replication.factor' is 4, and 3 brokers are known",
        ),
    ] {
        let mut members = cluster();
        members[2] = kafka("k3", &combined(3).replace(from, to));
        assert_eq!(shown(&members), [wanted], "{from} -> {to}");
    }
}

#[test]
fn an_even_number_of_controllers_without_a_list_of_voters_is_told() {
    let text = |id| {
        combined(id).replace(
            "controller.quorum.voters=1@k1:9093,2@k2:9093,3@k3:9093",
            "controller.quorum.bootstrap.servers=k1:9093",
        )
    };
    let members: Vec<Member> = (1..=4).map(|id| kafka(&format!("k{id}"), &text(id))).collect();
    assert_eq!(
        shown(&members),
        ["W process.roles [k1,k2,k3,k4]: 4 voters are an even number: 1 of them may fail, as of 3"]
    );
}

#[test]
fn conflicts_between_servers_are_told_with_their_hosts() {
    for (my_id, from, to, wanted) in [
        (2, "#", "#", "E myid [z2,z3]: z2 and z3 have the same server id (myid) 2"),
        (
            3,
            "server.3=z3",
            "server.3=z9",
            "E server.N [z1,z2,z3]: the nodes do not agree on 'server.N': 1=z1,2=z2,3=z3 on z1, z2; 1=z1,2=z2,3=z9 on z3",
        ),
        (
            3,
            "syncLimit=5",
            "syncLimit=2",
            "W syncLimit [z3,z1,z2]: the nodes do not agree on 'syncLimit': 2 on z3; 5 on z1, z2",
        ),
    ] {
        let mut members = ensemble();
        members[2] = zookeeper("z3", my_id, &server(3).replace(from, to));
        assert_eq!(shown(&members), [wanted], "{from} -> {to}");
    }
}

#[test]
fn a_port_of_a_host_is_taken_once() {
    for (kafka_text, server_text, wanted) in [
        (
            combined(1).replace(":9092", ":2181"),
            server(1),
            "E clientPort [h]: ZooKeeper server 1 (clientPort) and Kafka node 1 have the same port 2181 on h",
        ),
        (
            combined(1).replace(":9092", ":8080"),
            server(1).replace("admin.enableServer=false\n", ""),
            "E admin.serverPort [h]: ZooKeeper server 1 (admin.serverPort) and Kafka node 1 have the same port 8080 on h",
        ),
        (
            combined(1),
            server(1).replace("clientPort=2181", "clientPort=2888"),
            "E clientPort [h]: ZooKeeper server 1 (clientPort) and ZooKeeper server 1 (quorum) have the same port 2888 on h",
        ),
        (
            combined(1).replace("PLAINTEXT://:9092", "PLAINTEXT://10.0.0.1:2181"),
            server(1).replace("clientPort=2181", "clientPort=2181\nclientPortAddress=127.0.0.1"),
            "",
        ),
    ] {
        let text = kafka_text.replace("default.replication.factor=3\nmin.insync.replicas=2\n", "");
        let members = [zookeeper("h", 1, &server_text), kafka("h", &text)];
        let wanted: Vec<&str> = Some(wanted).filter(|wanted| !wanted.is_empty()).into_iter().collect();
        assert_eq!(shown(&members), wanted);
    }
}

#[test]
fn clusters_are_told_apart_by_the_servers_that_they_name() {
    let of = |host: &str, connect: &str| {
        member(host, Service::Kafka, "3.9.1", &format!("broker.id=1\nzookeeper.connect={connect}\nlog.dirs=/data\n"))
    };
    let apart = [of("a", "zk-1:2181,zk-2:2181/one"), of("b", "zk-1:2181/two"), of("c", "zk-9:2181")];
    assert_eq!(shown(&apart), Vec::<String>::new(), "the same id in three clusters");
    let together = [of("a", "zk-1:2181"), of("b", "zk-2:2181"), of("c", "zk-2:2181,zk-1:2181")];
    let found = shown(&together);
    assert!(found.contains(&"E node.id [a,b,c]: a and b and c have the same node id 1".to_owned()), "{found:?}");
    assert!(found.iter().any(|text| text.contains("do not agree on 'zookeeper.connect'")), "{found:?}");
}
