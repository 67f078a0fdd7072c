//! The inventory: hosts, groups, their variables, and the patterns that choose among them.
//!
//! Purpose: reads Ansible's inventories (INI, YAML, folders, host lists on the command line) with `group_vars/` and
//! `host_vars/`, and answers which hosts a pattern means.
//! Place in the flow: read once at the start of a run, before any host is touched; the executor adds to it with
//! `add_host` and `group_by`.
//! Not here: reading the disk (see [`Files`]), rendering of variables, connections.

mod folder_vars;
mod graph;
mod ini;
mod literal;
mod load;
mod pattern;
mod ranges;
mod yaml;

pub use folder_vars::FolderVars;
pub use load::load;
pub use pattern::{Pattern, Selection};

use indexmap::{IndexMap, IndexSet};
use kfleet_model::{HostName, Map, Value};
use kfleet_playbook::plan::VarMap;
use kfleet_playbook::source::Span;
use kfleet_playbook::vars::{Layers, Level};
use kfleet_playbook::yaml::{Entry, Node};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The group that every host is in.
pub const ALL: &str = "all";
/// The group of hosts that are in no other one.
pub const UNGROUPED: &str = "ungrouped";
/// The host that is always there when it is named, and never part of `all`.
pub const LOCALHOST: &str = "localhost";

/// Hosts and groups of a fleet, in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: IndexMap<HostName, Host>,
    groups: IndexMap<String, Group>,
    /// Variables beside the inventory's files, by folder.
    folders: Vec<FolderVars>,
}

/// A host of the inventory.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Where it is first named.
    pub span: Span,
    vars: Vec<Entry>,
    /// The variables as a layer; none after a change, until [`Inventory::settle`].
    layer: Option<Arc<VarMap>>,
}

/// A group of the inventory.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Where it is first named.
    pub span: Span,
    /// Its own hosts, in order.
    pub hosts: IndexSet<HostName>,
    /// The groups in it, in order.
    pub children: IndexSet<String>,
    /// Variables of a group with a higher number win over those of another one at the same depth.
    pub priority: i64,
    /// How far it is below `all`.
    pub depth: usize,
    vars: Vec<Entry>,
    /// The variables as a layer; none after a change, until [`Inventory::settle`].
    layer: Option<Arc<VarMap>>,
}

impl Inventory {
    /// All hosts, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// All groups, in order.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A host by its name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// A group by its name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The hosts of a group and of all groups below it, each once, in order.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<HostName> {
        let groups = self.below(group);
        let found: IndexSet<&HostName> =
            groups.iter().filter_map(|name| self.groups.get(name)).flat_map(|group| &group.hosts).collect();
        found.into_iter().cloned().collect()
    }

    /// The magic variable `groups`: every group with its hosts.
    #[must_use]
    pub fn groups_variable(&self) -> Map {
        self.groups
            .keys()
            .map(|group| {
                let hosts = self.members(group).into_iter().map(|host| Value::String(host.into())).collect();
                (group.clone(), Value::Array(hosts))
            })
            .collect()
    }

    /// The groups of a host, outer ones first, without `all`.
    #[must_use]
    pub fn groups_of(&self, host: &str) -> Vec<&Group> {
        let mut found: Vec<&Group> = Vec::new();
        for group in self.groups.values().filter(|group| group.hosts.contains(host)) {
            for name in self.above(&group.name) {
                if let Some(group) = self.groups.get(&name)
                    && name != ALL
                    && !found.iter().any(|other| other.name == name)
                {
                    found.push(group);
                }
            }
        }
        found.sort_by(|a, b| (a.depth, a.priority, &a.name).cmp(&(b.depth, b.priority, &b.name)));
        found
    }

    /// The magic variable `group_names`: the groups of a host by name, without `all`.
    #[must_use]
    pub fn group_names(&self, host: &str) -> Vec<String> {
        let mut names: Vec<String> = self.groups_of(host).into_iter().map(|group| group.name.clone()).collect();
        names.sort();
        names
    }

    /// The variables of a host: of the inventory, of the folders beside it, and of the folder of a playbook.
    #[must_use]
    pub fn layers(&self, host: &str, playbook: Option<&FolderVars>) -> Layers {
        let mut layers = Layers::new();
        let groups = self.groups_of(host);
        if let Some(layer) = self.groups.get(ALL).and_then(|all| all.layer.as_ref()) {
            layers.push_map(Level::InventoryAll, layer);
        }
        for layer in groups.iter().filter_map(|group| group.layer.as_ref()) {
            layers.push_map(Level::InventoryGroups, layer);
        }
        for folder in &self.folders {
            folder.push_groups(&groups, Level::InventoryGroupVarsAll, Level::InventoryGroupVars, &mut layers);
            folder.push_host(host, Level::InventoryHostVars, &mut layers);
        }
        if let Some(folder) = playbook {
            folder.push_groups(&groups, Level::PlaybookGroupVarsAll, Level::PlaybookGroupVars, &mut layers);
            folder.push_host(host, Level::PlaybookHostVars, &mut layers);
        }
        if let Some(layer) = self.hosts.get(host).and_then(|host| host.layer.as_ref()) {
            layers.push_map(Level::InventoryHost, layer);
        }
        layers
    }

    /// The files of variables that were read beside the inventory, for the plan's record.
    pub fn variable_files(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().flat_map(FolderVars::files)
    }

    /// Adds a host during a run (`add_host`), or variables and groups to one that is there.
    pub fn add_host(&mut self, name: &HostName, groups: &[String], vars: Map, span: &Span) {
        self.insert_host(name, span);
        let node = Node::from_value(&Value::Object(vars), span);
        for entry in node.as_mapping().unwrap_or_default() {
            self.set_host_var(name, entry.clone());
        }
        for group in groups {
            self.insert_group(group, span);
            self.put_into(group, name);
        }
        self.settle_host(name);
        self.settle_groups();
    }

    /// Puts a host into a group during a run (`group_by`).
    pub fn add_to_group(&mut self, name: &HostName, group: &str, parents: &[String], span: &Span) {
        self.insert_group(group, span);
        self.put_into(group, name);
        for parent in parents.iter().filter(|parent| *parent != ALL) {
            self.insert_group(parent, span);
            self.put_below(parent, group);
        }
        self.settle_host(name);
        self.settle_groups();
    }

    fn insert_host(&mut self, name: &HostName, span: &Span) {
        self.hosts.entry(name.clone()).or_insert_with(|| Host {
            name: name.clone(),
            span: span.clone(),
            vars: Vec::new(),
            layer: None,
        });
    }

    fn insert_group(&mut self, name: &str, span: &Span) {
        if !self.groups.contains_key(name) {
            let group = Group {
                name: name.to_owned(),
                span: span.clone(),
                hosts: IndexSet::new(),
                children: IndexSet::new(),
                priority: 1,
                depth: 0,
                vars: Vec::new(),
                layer: None,
            };
            self.groups.insert(name.to_owned(), group);
        }
    }

    fn put_into(&mut self, group: &str, host: &HostName) {
        if let Some(group) = self.groups.get_mut(group) {
            group.hosts.insert(host.clone());
        }
    }

    fn put_below(&mut self, group: &str, child: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.children.insert(child.to_owned());
        }
    }

    fn set_host_var(&mut self, host: &HostName, entry: Entry) {
        if let Some(host) = self.hosts.get_mut(host) {
            set(&mut host.vars, entry);
            host.layer = None;
        }
    }

    fn set_group_var(&mut self, group: &str, entry: Entry) {
        if let Some(group) = self.groups.get_mut(group) {
            if entry.key == "ansible_group_priority"
                && let Some(priority) = entry.value.scalar().and_then(|text| text.parse().ok())
            {
                group.priority = priority;
                return;
            }
            set(&mut group.vars, entry);
            group.layer = None;
        }
    }
}

/// Sets a variable; the later definition wins and keeps the place of the first.
fn set(vars: &mut Vec<Entry>, entry: Entry) {
    match vars.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => *known = entry,
        None => vars.push(entry),
    }
}

/// Groups by name, as [`BTreeMap`] so that messages come in a fixed order.
type Names = BTreeMap<String, Span>;

#[cfg(test)]
mod tests;
