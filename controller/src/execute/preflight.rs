//! The configuration that a play sets, checked for all of its hosts together before the play touches one.
//!
//! Place in the flow: [`Run::play`] calls it between naming the hosts and the first op. Tasks of `kafka_config` and
//! `zookeeper_config` are rendered with each host's variables; what each host would get, and what the hosts would be
//! together, is judged by `kfleet_config`.
//! A task that needs what only the run can bring (facts, a registered result, a loop, a dynamic include) is passed over:
//! the agent checks again before it writes. Where earlier tasks of the play set variables, a finding may be out of date by the time the
//! task runs, so nothing stops the play then and all findings are warnings.

use super::hosts::RunHost;
use super::play::{Hosts, PlayRun, Stop};
use super::run::Run;
use super::task::TaskRun;
use super::vars::TaskVars;
use kfleet_config::cluster::{self, Member, Service};
use kfleet_config::task::{Asked, Target};
use kfleet_config::{Extent, Finding, Release, Severity};
use kfleet_model::Map;
use kfleet_model::event::EventKind;
use kfleet_playbook::plan::{Action, Play, Task};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Modules that set variables of the hosts while the play runs.
const SETTERS: [&str; 2] = ["include_vars", "set_fact"];

/// What one task would do to one host.
struct Wanted {
    host: String,
    place: String,
    /// The task has `no_log`: nothing of its values is told.
    hidden: bool,
    asked: Asked,
}

/// A finding as it is shown; findings of several hosts that read the same are one.
type Told = BTreeMap<(Severity, String), Vec<String>>;

impl Run {
    /// Checks what the play would configure.
    ///
    /// # Errors
    /// When something is wrong: all of it at once, as input that is to be mended.
    pub(super) async fn check_configuration(&self, play: &Play, hosts: &Hosts) -> Result<(), Stop> {
        let wanted = self.wanted_configuration(play, hosts);
        if wanted.is_empty() {
            return Ok(());
        }
        let uncertain = play.all_tasks().any(|task| SETTERS.contains(&task.module.as_str()));
        let (errors, warnings): (Vec<_>, Vec<_>) =
            findings(&wanted).into_iter().partition(|((severity, _), _)| *severity == Severity::Error && !uncertain);
        let line = |((_, text), hosts): ((Severity, String), Vec<String>)| format!("{}: {text}", hosts.join(", "));
        for warning in warnings {
            self.events.send(EventKind::Warning { text: line(warning) }).await;
        }
        if errors.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = errors.into_iter().map(|error| format!("\n  {}", line(error))).collect();
        Err(self.input(format!("the configuration that this play sets is not right:{}", lines.concat())))
    }

    fn wanted_configuration(&self, play: &Play, hosts: &Hosts) -> Vec<Wanted> {
        let walk = PlayRun::new(self, play, hosts.clone(), hosts.clone());
        let mut wanted = Vec::new();
        for task in play.all_tasks() {
            let plain = matches!(task.action, Action::Module) && task.repeat.is_none();
            let configures = matches!(task.module.as_str(), "kafka_config" | "zookeeper_config");
            if configures && plain && task.keywords.delegate_to.is_none() && self.selected(task) {
                wanted.extend(wanted_of(&walk, task, hosts));
            }
        }
        wanted
    }
}

/// What a task asks for on each host; hosts where that is not known yet are left out.
fn wanted_of(walk: &PlayRun<'_>, task: &Arc<Task>, hosts: &Hosts) -> Vec<Wanted> {
    let Some(first) = hosts.first() else { return Vec::new() };
    let task_ref = walk.run.task_ref(walk.play, task, first, walk);
    let (run, shared) = (TaskRun::new(walk, task, &task_ref), walk.shared());
    let on_host = |host: &Arc<RunHost>| wanted_on(&run, host, &walk.run.task_vars(walk, &shared, task, host));
    hosts.iter().filter_map(on_host).collect()
}

fn wanted_on(run: &TaskRun<'_>, host: &RunHost, vars: &TaskVars) -> Option<Wanted> {
    let task = run.task;
    if run.conditions(&task.keywords.when, vars).ok()?.is_some() {
        return None;
    }
    let params: Map = run.params(vars).ok()?;
    let asked = Asked::of(&task.module, &params)?;
    let hidden = task.keywords.no_log.is_some();
    Some(Wanted { host: host.name.to_string(), place: task.span.short(), hidden, asked })
}

/// What is wrong on each host, and between them. What is only to be thought about on one host is told by lint, and by the
/// agent, which sees the whole file.
fn findings(wanted: &[Wanted]) -> Told {
    let mut told = Told::new();
    let mut tell = |hosts: Vec<String>, severity, text| told.entry((severity, text)).or_default().extend(hosts);
    for one in wanted {
        for finding in one.asked.check().into_iter().filter(|finding| finding.severity == Severity::Error) {
            let text = if one.hidden { format!("'{}' is not right (no_log)", finding.key) } else { sentence(&finding) };
            tell(vec![one.host.clone()], finding.severity, format!("{text} [{}]", one.place));
        }
    }
    let hidden = wanted.iter().any(|one| one.hidden);
    for finding in cluster::check(&members(wanted)) {
        let text = if hidden { format!("'{}' is not right (no_log)", finding.key) } else { sentence(&finding) };
        tell(finding.hosts, finding.severity, text);
    }
    told
}

/// What is wrong, and what to do about it.
fn sentence(finding: &Finding) -> String {
    let hint = finding.problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}{hint}", finding.problem)
}

/// The nodes that the play makes: each file of a host is one, whichever tasks make it.
fn members(wanted: &[Wanted]) -> Vec<Member> {
    let mut members: Vec<(&str, Member)> = Vec::new();
    for one in wanted {
        let Some(release) = one.asked.release else { continue };
        let service = match one.asked.target {
            Target::Kafka => Service::Kafka,
            Target::ZooKeeper => Service::ZooKeeper { my_id: one.asked.my_id },
        };
        let same = |(path, member): &&mut (&str, Member)| {
            let kind = std::mem::discriminant(&member.service) == std::mem::discriminant(&service);
            *path == one.asked.path && member.host == one.host && kind
        };
        match members.iter_mut().find(same) {
            Some((_, member)) => {
                for (key, _) in one.asked.settings.iter() {
                    member.settings.copy(&one.asked.settings, key);
                }
                if one.asked.my_id.is_some() {
                    member.service = service;
                }
            }
            None => members.push((&one.asked.path, member(one, service, release))),
        }
    }
    members.into_iter().map(|(_, member)| member).collect()
}

fn member(one: &Wanted, service: Service, release: Release) -> Member {
    let (host, settings) = (one.host.clone(), one.asked.settings.clone());
    Member { host, service, release, extent: Extent::Part, settings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::Value;

    fn wanted(host: &str, module: &str, path: &str, settings: &[(&str, &str)]) -> Wanted {
        let settings: Map = settings.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let version = if module == "kafka_config" { "4.1.1" } else { "3.8.4" };
        let mut params = Map::from_iter([("version".to_owned(), version.into())]);
        params.insert("settings".to_owned(), settings.into());
        if !path.is_empty() {
            params.insert("dest".to_owned(), path.into());
        }
        let asked = Asked::of(module, &params).unwrap();
        Wanted { host: host.to_owned(), place: "site.yml:3".to_owned(), hidden: false, asked }
    }

    fn shown(wanted: &[Wanted]) -> Vec<String> {
        let line =
            |((severity, text), hosts): ((Severity, String), Vec<String>)| format!("{severity:?} {hosts:?} {text}");
        findings(wanted).into_iter().map(line).collect()
    }

    #[test]
    fn what_is_wrong_on_all_hosts_is_told_once_and_conflicts_name_theirs() {
        let node = |host, id| {
            let settings = [("node.id", id), ("num.io.thread", "4"), ("unclean.leader.election.enable", "true")];
            wanted(host, "kafka_config", "", &settings)
        };
        assert_eq!(
            shown(&[node("k1", "1"), node("k2", "2"), node("k3", "2")]),
            [
                "Error [\"k1\", \"k2\", \"k3\"] Kafka 4.1 has no key 'num.io.thread' (did you mean 'num.io.threads'?) \
                 [site.yml:3]",
                "Error [\"k2\", \"k3\"] k2 and k3 have the same node id 2",
            ]
        );
    }

    #[test]
    fn nothing_of_a_task_with_no_log_is_told_but_the_key() {
        let mut one = wanted("h", "kafka_config", "", &[("num.io.threads", "hunter2")]);
        one.hidden = true;
        assert_eq!(shown(&[one]), ["Error [\"h\"] 'num.io.threads' is not right (no_log) [site.yml:3]"]);
    }

    #[test]
    fn tasks_of_one_file_are_one_node_and_other_files_are_others() {
        let same = [
            wanted("h", "kafka_config", "", &[("node.id", "1")]),
            wanted("h", "kafka_config", "/etc/kafka/server.properties", &[("listeners", "PLAINTEXT://:2181")]),
            wanted("h", "zookeeper_config", "", &[("clientPort", "2181")]),
        ];
        assert_eq!(
            shown(&same),
            ["Error [\"h\"] Kafka node 1 and ZooKeeper server (clientPort) have the same port 2181 on h"]
        );
        let apart = [
            wanted("h", "kafka_config", "/a", &[("node.id", "1")]),
            wanted("h", "kafka_config", "/b", &[("node.id", "1")]),
        ];
        assert_eq!(shown(&apart), ["Error [\"h\", \"h\"] h and h have the same node id 1"]);
    }
}
