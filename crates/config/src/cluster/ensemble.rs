//! The servers of one ZooKeeper ensemble.

use super::{Member, Votes};
use crate::zookeeper::servers;
use crate::{Finding, Problem};

/// Keys on which servers agree: limits that each applies as a leader, and what only works when all have it
/// (administrator's guide, `reconfigEnabled`, `sslQuorum`, `initLimit`).
const AGREED: &[&str] = &["initLimit", "reconfigEnabled", "sslQuorum", "syncLimit", "tickTime"];

pub(super) fn check(members: &[&Member]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut ids = Votes::default();
    let mut lists = Votes::default();
    for member in members {
        let Some(server) = member.zookeeper() else { continue };
        if let Some(id) = server.my_id {
            ids.add(id, &member.host);
        }
        let (list, _) = servers::of(server.settings);
        if !list.is_empty() {
            lists.add(list, &member.host);
        }
    }
    for (id, hosts) in ids.shared() {
        let problem = Problem::Same { what: "server id (myid)", value: id.to_string(), nodes: hosts.clone() };
        found.push(Finding::across("myid", hosts, problem));
    }
    let show = |list: &Vec<servers::Member>| {
        let list: Vec<String> = list.iter().map(|server| format!("{}={}", server.id, server.host)).collect();
        list.join(",")
    };
    if let Some((values, hosts)) = lists.differing(show) {
        found.push(Finding::across("server.N", hosts, Problem::Disagree { key: "server.N".to_owned(), values }));
    }
    for key in AGREED {
        let mut values = Votes::default();
        for member in members.iter().filter(|member| member.zookeeper().is_some()) {
            if let Some(value) = member.settings.get(key) {
                values.add(value.to_owned(), &member.host);
            }
        }
        if let Some((values, hosts)) = values.differing(String::clone) {
            let problem = Problem::Disagree { key: (*key).to_owned(), values };
            found.push(Finding::across(key, hosts, problem).into_warning());
        }
    }
    found
}
