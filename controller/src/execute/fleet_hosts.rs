//! The fleet as a run sees it: the inventory, the variables beside the playbooks, and `--limit`.

use crate::inventory::{FolderVars, Inventory, Pattern};
use kfleet_model::{HostName, Value};
use kfleet_playbook::files::{Files, folder_of};
use kfleet_playbook::plan::Template;
use kfleet_playbook::template::Vars as _;
use kfleet_playbook::vars::Layers;
use kfleet_playbook::{Diagnostics, Span};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts, groups and their variables for one run.
#[derive(Debug, Default)]
pub struct FleetHosts {
    /// The inventory itself.
    pub inventory: Inventory,
    /// group_vars and host_vars beside the playbooks, by the playbook's folder.
    beside: BTreeMap<String, FolderVars>,
    limit: Option<Pattern>,
    folder: Option<String>,
}

impl FleetHosts {
    /// Reads inventories, the variables beside the playbooks, and the limit.
    pub fn load(
        files: &dyn Files,
        sources: &[String],
        playbooks: &[String],
        limit: Option<&str>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let inventory = crate::inventory::load(files, sources, diagnostics);
        let mut beside = BTreeMap::new();
        for folder in playbooks.iter().map(|path| folder_of(path)) {
            if let Entry::Vacant(entry) = beside.entry(folder) {
                let vars = FolderVars::load(files, entry.key(), &inventory, diagnostics);
                entry.insert(vars);
            }
        }
        let limit = limit.and_then(|text| {
            Pattern::parse_limit(text, &Span::nowhere("--limit", text), files)
                .map_err(|wrong| diagnostics.extend(wrong))
                .ok()
        });
        if let Some(limit) = &limit {
            diagnostics.extend(inventory.select(std::slice::from_ref(limit), None).diagnostics);
        }
        let folder = sources
            .first()
            .filter(|source| !source.contains(','))
            .map(|source| if files.is_folder(source) { source.clone() } else { folder_of(source) });
        Self { inventory, beside, limit, folder }
    }

    /// The hosts of patterns, narrowed by the limit, with what is wrong with them.
    #[must_use]
    pub fn select(&self, patterns: &[Template]) -> (Vec<HostName>, Diagnostics) {
        let (mut parsed, mut diagnostics) = (Vec::new(), Diagnostics::new());
        for pattern in patterns {
            match Pattern::parse(&pattern.text, &pattern.span) {
                Ok(pattern) => parsed.push(pattern),
                Err(wrong) => diagnostics.extend(wrong),
            }
        }
        let selection = self.inventory.select(&parsed, self.limit.as_ref());
        diagnostics.extend(selection.diagnostics);
        (selection.hosts, diagnostics)
    }

    /// The variables of a host, for a playbook of this folder.
    #[must_use]
    pub fn layers(&self, host: &HostName, folder: &str) -> Layers {
        self.inventory.layers(host.as_str(), self.beside.get(folder))
    }

    /// The variables that all hosts share: those of `all`.
    #[must_use]
    pub fn shared_layers(&self, folder: &str) -> Layers {
        // No host has this name, so only the group `all` gives layers.
        self.inventory.layers("", self.beside.get(folder))
    }

    /// The names of all variables that some host has, for lint.
    #[must_use]
    pub fn variable_names(&self) -> BTreeSet<String> {
        let folders = self.beside.keys().map(String::as_str).chain(std::iter::once(""));
        folders
            .flat_map(|folder| self.inventory.hosts().map(move |host| self.layers(&host.name, folder)))
            .flat_map(|layers| layers.names())
            .collect()
    }

    /// The magic variable `groups`.
    #[must_use]
    pub fn groups(&self) -> Value {
        Value::Object(self.inventory.groups_variable())
    }

    /// The folder of the first inventory (`inventory_dir`).
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }
}

/// Where the agent of a host listens: `kfleet_port` and `ansible_host` of the inventory, else the defaults.
#[must_use]
pub fn agent_address(host: &HostName, address: Option<&str>, port: u16) -> String {
    let address = address.unwrap_or(host.as_str());
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_playbook::files::MemoryFiles;
    use kfleet_playbook::template::Var;

    #[test]
    fn variables_beside_the_playbook_win_over_those_beside_the_inventory_and_the_limit_narrows() {
        let files = MemoryFiles::new([
            ("inv/hosts.ini", "[kafka]\na\nb\n[kafka:vars]\nx=ini\n"),
            ("inv/group_vars/kafka.yml", "x: inventory\n"),
            ("play/group_vars/kafka.yml", "x: playbook\n"),
        ]);
        let mut diagnostics = Diagnostics::new();
        let sources = ["inv/hosts.ini".to_owned()];
        let fleet = FleetHosts::load(&files, &sources, &["play/site.yml".to_owned()], Some("!b"), &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{diagnostics:?}");
        let host = HostName::new("a").unwrap();
        let x = |folder: &str| match fleet.layers(&host, folder).get("x") {
            Some(Var::Value { value, .. }) => value.as_str().unwrap().to_owned(),
            Some(Var::Scope(_)) | None => String::new(),
        };
        assert_eq!((x("play"), x("elsewhere")), ("playbook".to_owned(), "inventory".to_owned()));
        let all = Template { text: "all".into(), span: Span::nowhere("t", "all") };
        assert_eq!(fleet.select(&[all]).0, [host]);
        assert_eq!(fleet.folder(), Some("inv"));
    }

    #[test]
    fn an_agent_s_address_may_be_a_name_or_either_kind_of_number() {
        let host = HostName::new("kafka1").unwrap();
        assert_eq!(agent_address(&host, None, 7443), "kafka1:7443");
        assert_eq!(agent_address(&host, Some("192.0.2.1"), 1), "192.0.2.1:1");
        assert_eq!(agent_address(&host, Some("2001:db8::1"), 1), "[2001:db8::1]:1");
    }
}
