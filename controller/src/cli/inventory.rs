//! `kfleet inventory`: hosts, groups and variables as runs see them.

use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::execute::{DiskFiles, FleetHosts};
use crate::fleet::Fleet;
use crate::report;
use clap::Args as ClapArgs;
use kfleet_model::{HostName, Map, Value};
use kfleet_playbook::plan::Template;
use kfleet_playbook::template::{Var, Vars as _};
use kfleet_playbook::{Diagnostics, Span};

/// Arguments of `kfleet inventory`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Host pattern
    #[arg(default_value = "all", value_name = "PATTERN")]
    pattern: String,
    /// Inventory file or directory; may be repeated. Default: the fleet's
    #[arg(long, short, value_name = "PATH")]
    inventory: Vec<String>,
    /// Show the variables of each host, templates as they are written
    #[arg(long)]
    vars: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(fleet: &Fleet, args: &Args) -> Outcome {
    let mut diagnostics = Diagnostics::new();
    let paths: Vec<String> = if args.inventory.is_empty() {
        fleet.inventories().into_iter().map(|path| path.to_string_lossy().into_owned()).collect()
    } else {
        args.inventory.clone()
    };
    let fleet_hosts = FleetHosts::load(&DiskFiles::new("."), &paths, &[], None, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(CliError::Diagnostics(diagnostics));
    }
    let pattern = Template { text: args.pattern.clone(), span: Span::nowhere("PATTERN", &args.pattern) };
    let (hosts, wrong) = fleet_hosts.select(&[pattern]);
    if wrong.has_errors() {
        return Err(CliError::Diagnostics(wrong));
    }
    if args.json {
        let all: Vec<Value> = hosts
            .iter()
            .map(|host| {
                serde_json::json!({"host": host, "groups": fleet_hosts.inventory.group_names(host.as_str()), "vars": variables(&fleet_hosts, host)})
            })
            .collect();
        report::print(&format!("{:#}\n", Value::Array(all)));
        return Ok(Exit::Ok);
    }
    for host in &hosts {
        report::print(&format!("{host}  [{}]\n", fleet_hosts.inventory.group_names(host.as_str()).join(", ")));
        if args.vars {
            for (name, value) in variables(&fleet_hosts, host) {
                report::print(&format!("    {name}: {}\n", report::safe(&value.to_string())));
            }
        }
    }
    Ok(Exit::Ok)
}

fn variables(fleet: &FleetHosts, host: &HostName) -> Map {
    let layers = fleet.layers(host, ".");
    let mut map = Map::new();
    for name in layers.names() {
        if let Some(Var::Value { value, .. }) = layers.get(&name) {
            map.insert(name, (*value).clone());
        }
    }
    map
}
