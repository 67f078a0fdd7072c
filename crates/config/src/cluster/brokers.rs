//! Brokers and KRaft controllers of one cluster.

use super::{Member, Votes};
use crate::kafka::{Node, Role, even, listeners, voters};
use crate::{Finding, Problem};

/// Keys on which all nodes of a cluster agree, with whether a difference is an error. A difference in the others is
/// what a roll makes for a while, so it is a warning.
const AGREED: &[(&str, bool)] = &[
    ("zookeeper.connect", true),
    ("controller.quorum.bootstrap.servers", false),
    ("default.replication.factor", false),
    ("inter.broker.protocol.version", false),
    ("min.insync.replicas", false),
    ("offsets.topic.num.partitions", false),
    ("offsets.topic.replication.factor", false),
    ("transaction.state.log.min.isr", false),
    ("transaction.state.log.num.partitions", false),
    ("transaction.state.log.replication.factor", false),
    ("unclean.leader.election.enable", false),
];

/// Replication factors of what brokers make by themselves.
const FACTORS: [&str; 3] =
    ["default.replication.factor", "offsets.topic.replication.factor", "transaction.state.log.replication.factor"];

/// One node with its host.
struct Placed<'a> {
    host: &'a str,
    node: Node<'a>,
}

pub(super) fn check(members: &[&Member]) -> Vec<Finding> {
    let nodes: Vec<Placed<'_>> =
        members.iter().filter_map(|member| Some(Placed { host: &member.host, node: member.kafka()? })).collect();
    let mut found = ids(&nodes);
    found.extend(advertised(&nodes));
    found.extend(agreement(&nodes));
    found.extend(quorum(&nodes));
    found.extend(factors(&nodes));
    found
}

fn ids(nodes: &[Placed<'_>]) -> Vec<Finding> {
    let mut ids = Votes::default();
    for Placed { host, node } in nodes {
        if let Some(id) = node.id() {
            ids.add(id, host);
        }
    }
    let same = |(id, hosts): (i64, Vec<String>)| {
        let problem = Problem::Same { what: "node id", value: id.to_string(), nodes: hosts.clone() };
        Finding::across("node.id", hosts, problem)
    };
    ids.shared().map(same).collect()
}

/// Clients that are sent to an address find one broker there.
fn advertised(nodes: &[Placed<'_>]) -> Vec<Finding> {
    let mut addresses = Votes::default();
    for Placed { host, node } in nodes {
        for listener in listeners::of_key(*node, "advertised.listeners").0 {
            addresses.add((listener.host, listener.port), host);
        }
    }
    let same = |((address, port), hosts): ((String, u16), Vec<String>)| {
        let value = format!("{address}:{port}");
        let problem = Problem::Same { what: "advertised address", value, nodes: hosts.clone() };
        Finding::across("advertised.listeners", hosts, problem)
    };
    addresses.shared().filter(|(_, hosts)| hosts.windows(2).any(|two| two[0] != two[1])).map(same).collect()
}

fn agreement(nodes: &[Placed<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, error) in AGREED {
        let mut values = Votes::default();
        for Placed { host, node } in nodes {
            if let Some(value) = node.settings.get(key) {
                // The order of servers in a connection string means nothing; the chroot behind them does.
                values.add(sorted(value), host);
            }
        }
        if let Some((values, hosts)) = values.differing(String::clone) {
            let finding = Finding::across(key, hosts, Problem::Disagree { key: (*key).to_owned(), values });
            found.push(if *error { finding } else { finding.into_warning() });
        }
    }
    found
}

fn sorted(value: &str) -> String {
    let (servers, chroot) = value.find('/').map_or((value, ""), |at| value.split_at(at));
    let mut servers: Vec<&str> = crate::value::items(servers).collect();
    servers.sort_unstable();
    format!("{}{chroot}", servers.join(","))
}

/// The voters that nodes name are the same everywhere, and are the controllers that are there (KIP-595: they must be
/// identical on all nodes). A quorum that is found dynamically (KIP-853) is counted by its controllers.
fn quorum(nodes: &[Placed<'_>]) -> Vec<Finding> {
    const KEY: &str = "controller.quorum.voters";
    let mut found = Vec::new();
    let mut lists = Votes::default();
    for Placed { host, node } in nodes {
        let list = voters(*node).0;
        if !list.is_empty() {
            lists.add(list, host);
        }
    }
    let show = |list: &std::collections::BTreeSet<crate::kafka::Voter>| {
        let list: Vec<String> =
            list.iter().map(|voter| format!("{}@{}:{}", voter.id, voter.host, voter.port)).collect();
        list.join(",")
    };
    let one = (lists.0.len() == 1).then(|| lists.0.keys().next().cloned()).flatten();
    if let Some((values, hosts)) = lists.differing(show) {
        found.push(Finding::across(KEY, hosts, Problem::Disagree { key: KEY.to_owned(), values }));
    }
    let controllers: Vec<&Placed<'_>> =
        nodes.iter().filter(|placed| placed.node.role().is_some_and(Role::is_controller)).collect();
    let Some(list) = one else {
        let hosts = controllers.iter().map(|placed| placed.host.to_owned()).collect();
        if let (true, Some(problem)) = (found.is_empty(), even(controllers.len())) {
            found.push(Finding::across("process.roles", hosts, problem).into_warning());
        }
        return found;
    };
    for Placed { host, node } in controllers {
        let Some(voter) = list.iter().find(|voter| Some(voter.id) == node.id()) else { continue };
        let names = listeners::of_controllers(*node);
        let own: Vec<_> = listeners::of(*node).into_iter().filter(|listener| names.contains(&listener.name)).collect();
        if !own.is_empty() && !own.iter().any(|listener| listener.port == voter.port) {
            let why = format!("voter {} is named with port {}, and listens on another one", voter.id, voter.port);
            found.push(Finding::across(KEY, vec![(*host).to_owned()], Problem::Rule { why, hint: None }));
        }
    }
    found
}

/// With fewer brokers than replicas the topic can not be made (Kafka's broker configuration). A warning, since there
/// may be brokers that the caller does not see; of a single one nothing is concluded at all.
fn factors(nodes: &[Placed<'_>]) -> Vec<Finding> {
    let brokers: Vec<&Placed<'_>> =
        nodes.iter().filter(|placed| placed.node.role().is_some_and(Role::is_broker)).collect();
    let mut found = Vec::new();
    for factor in FACTORS {
        let asked = brokers.iter().filter_map(|placed| placed.node.settings.number(factor)).max();
        let Some(asked) = asked
            .filter(|_| brokers.len() > 1)
            .filter(|asked| usize::try_from(*asked).is_ok_and(|asked| asked > brokers.len()))
        else {
            continue;
        };
        let hosts = brokers.iter().map(|placed| placed.host.to_owned()).collect();
        let why = format!("'{factor}' is {asked}, and {} brokers are known", brokers.len());
        found.push(Finding::across(factor, hosts, Problem::Rule { why, hint: None }).into_warning());
    }
    found
}
