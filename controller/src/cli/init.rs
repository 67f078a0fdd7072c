//! `kfleet init`: makes a fleet directory.

use super::{CliError, Outcome};
use crate::cli::exit::Exit;
use crate::fleet::SETTINGS;
use crate::report;
use clap::Args as ClapArgs;
use jiff::Timestamp;
use kfleet_model::{Class, FleetName, OperatorName};
use kfleet_pki::FleetStore;
use std::path::{Path, PathBuf};

/// Arguments of `kfleet init`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Where to make it.
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// The fleet's name; it becomes part of every certificate.
    #[arg(long, default_value = "kafka")]
    name: String,
    /// The operator that gets the first certificate.
    #[arg(long, default_value = "admin")]
    operator: String,
}

const INVENTORY: &str = "\
# Hosts of the fleet, in Ansible's INI form. An agent runs on each of them.
# kfleet_role says what a host's node is: broker (the default), controller, combined or zookeeper.

[zookeeper]
# zk1 ansible_host=192.0.2.11

[zookeeper:vars]
kfleet_role=zookeeper

[kafka]
# kafka1 ansible_host=192.0.2.21
";

pub(super) fn run(args: &Args) -> Outcome {
    let fleet = FleetName::new(args.name.as_str()).map_err(|error| CliError::input(error.to_string()))?;
    let operator = OperatorName::new(args.operator.as_str()).map_err(|error| CliError::input(error.to_string()))?;
    let settings = args.dir.join(SETTINGS);
    if settings.exists() {
        return Err(CliError::input(format!("{} is a fleet directory already", args.dir.display())));
    }
    let now = Timestamp::now();
    let store = FleetStore::create(&args.dir.join("pki"), &fleet, now)?;
    store.issue_operator(&operator, now, None)?;
    let inventory = args.dir.join("inventory");
    make_dir(&inventory)?;
    let hosts = inventory.join("hosts.ini");
    if !hosts.exists() {
        write(&hosts, INVENTORY)?;
    }
    write(&args.dir.join(".gitignore"), "pki/*.key\npki/operators/*.key\nstate/\n")?;
    // Last, because this file is what makes it a fleet directory.
    write(&settings, &settings_text(&args.name, &args.operator))?;
    report::print(&format!(
        "fleet {fleet} is in {dir}\n  pki/          two certificate authorities; keep pki/*.key as safe as root's password\n  \
         inventory/    name your hosts in hosts.ini\n  {SETTINGS}   settings\n\
         next: install the agent on each host, then `kfleet cert sign` its request (see docs/identity.md)\n",
        dir = args.dir.display(),
    ));
    Ok(Exit::Ok)
}

fn settings_text(fleet: &str, operator: &str) -> String {
    format!(
        "# The fleet's name, as it stands in every certificate.\nfleet = \"{fleet}\"\n\
         # Whose certificate this machine uses: pki/operators/NAME.pem.\noperator = \"{operator}\"\n\
         # Inventory files or directories.\ninventory = [\"inventory\"]\n\
         # How many hosts a task runs on at once.\nforks = 100\n\
         # The port of the agents, unless a host has kfleet_port.\nagent_port = 7443\n\
         # Seconds until an agent that does not answer counts as unreachable.\nconnect_timeout_s = 10\n\
         # Seconds that a task may take unless it has a timeout of its own.\ntask_timeout_s = 3600\n"
    )
}

fn make_dir(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path)
        .map_err(|error| CliError::new(Class::Internal, format!("failed to make {}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text)
        .map_err(|error| CliError::new(Class::Internal, format!("failed to write {}: {error}", path.display())))
}
