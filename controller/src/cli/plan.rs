//! `kfleet plan`: what a playbook would run, where, and in which order. Agents are not asked; the order of a rolling
//! play depends on the live cluster, so it is shown by `kfleet run --check`.

use super::launch::load;
use super::run::{Args as RunArgs, request};
use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::fleet::Fleet;
use crate::report;
use clap::Args as ClapArgs;
use kfleet_playbook::plan::{Play, Step, Strategy, Task};
use std::collections::BTreeMap;

/// Arguments of `kfleet plan`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    run: RunArgs,
}

pub(super) async fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let request = request(&args.run)?;
    let loaded = load(fleet, &request, BTreeMap::new())?;
    let filter = request.args.tag_filter();
    let mut json = Vec::new();
    let mut text = format!("plan {} of {}\n", loaded.plan.hash.get(..12).unwrap_or_default(), request.what);
    for play in &loaded.plan.plays {
        let hosts = if play.hosts.iter().any(kfleet_playbook::plan::Template::is_open) {
            None
        } else {
            let (hosts, wrong) = loaded.fleet.select(&play.hosts);
            if wrong.has_errors() {
                return Err(CliError::Diagnostics(wrong));
            }
            Some(hosts)
        };
        let tasks: Vec<&Task> =
            play.all_tasks().map(|task| &**task).filter(|task| filter.takes(&task.keywords.tags)).collect();
        json.push(serde_json::json!({
            "play": play.title(), "hosts": hosts, "strategy": play.strategy,
            "tasks": tasks.iter().map(|task| serde_json::json!({
                "path": task.path, "name": task.title(), "module": task.module, "location": task.span.short(),
                "tags": task.keywords.tags,
            })).collect::<Vec<_>>(),
        }));
        text.push_str(&heading(play, hosts.as_deref()));
        steps(&mut text, &[&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks], &filter);
    }
    if request.args.json {
        let value = serde_json::json!({"hash": loaded.plan.hash, "files": loaded.plan.files, "plays": json});
        report::print(&format!("{value:#}\n"));
    } else {
        report::print(&text);
    }
    Ok(Exit::Ok)
}

fn heading(play: &Play, hosts: Option<&[kfleet_model::HostName]>) -> String {
    let how = match play.strategy {
        Strategy::Linear => "",
        Strategy::Free => ", each host as fast as it can",
        Strategy::Rolling => ", rolling: one node at a time, gates before and after each",
    };
    let hosts = match hosts {
        None => "hosts depend on variables".to_owned(),
        Some([]) => "no hosts".to_owned(),
        Some(hosts) => {
            format!("{} hosts: {}", hosts.len(), hosts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", "))
        }
    };
    format!("\nplay {}: {}\n  {hosts}{how}\n", play.index + 1, play.title())
}

fn steps(text: &mut String, sections: &[&Vec<Step>], filter: &kfleet_playbook::tags::TagChoice) {
    for section in sections {
        let mut tasks = Vec::new();
        kfleet_playbook::plan::collect(section, &mut tasks);
        for task in tasks.into_iter().filter(|task| filter.takes(&task.keywords.tags)) {
            let tags = if task.keywords.tags.is_empty() {
                String::new()
            } else {
                format!("  [{}]", task.keywords.tags.join(", "))
            };
            text.push_str(&format!("    {:<8} {:<16} {}{tags}\n", task.path, task.module, task.title()));
        }
    }
}
