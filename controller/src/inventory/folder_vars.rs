//! `group_vars/` and `host_vars/` of a folder.

use super::{ALL, Group, Inventory};
use kfleet_model::module::nearest;
use kfleet_playbook::files::join;
use kfleet_playbook::parse::load_vars_file;
use kfleet_playbook::plan::VarMap;
use kfleet_playbook::source::{Source, Span};
use kfleet_playbook::vars::{Layers, Level};
use kfleet_playbook::{Code, Diagnostic, Diagnostics, Files};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The endings of a file of variables; a file without one counts, too.
const ENDINGS: &[&str] = &[".yml", ".yaml", ".json"];

/// The variables that stand in files beside an inventory or a playbook.
#[derive(Debug, Clone, Default)]
pub struct FolderVars {
    groups: BTreeMap<String, Vec<Arc<VarMap>>>,
    hosts: BTreeMap<String, Vec<Arc<VarMap>>>,
    files: Vec<String>,
}

impl FolderVars {
    /// Reads the files of all groups and hosts of an inventory.
    pub fn load(files: &dyn Files, folder: &str, inventory: &Inventory, diagnostics: &mut Diagnostics) -> Self {
        let mut found = Self::default();
        let groups: Vec<&str> = inventory.groups().map(|group| group.name.as_str()).collect();
        let hosts: Vec<&str> =
            inventory.hosts().map(|host| host.name.as_str()).chain(std::iter::once(super::LOCALHOST)).collect();
        found.groups = found.read(files, &join(folder, "group_vars"), &groups, diagnostics);
        found.hosts = found.read(files, &join(folder, "host_vars"), &hosts, diagnostics);
        found
    }

    fn read(
        &mut self,
        files: &dyn Files,
        folder: &str,
        known: &[&str],
        diagnostics: &mut Diagnostics,
    ) -> BTreeMap<String, Vec<Arc<VarMap>>> {
        let mut found: BTreeMap<String, Vec<Arc<VarMap>>> = BTreeMap::new();
        for name in files.list_dir(folder).unwrap_or_default() {
            let path = join(folder, &name);
            let Some(owner) = owner_of(&name, files.is_folder(&path)) else { continue };
            if !known.contains(&owner) {
                misspelt(&path, owner, known, diagnostics);
                continue;
            }
            for file in all_files(files, &path) {
                if let Some(vars) = load_vars_file(files, &file, &file, diagnostics) {
                    found.entry(owner.to_owned()).or_default().push(vars);
                }
                self.files.push(file);
            }
        }
        found
    }

    /// The files that were read.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    pub(super) fn push_groups(&self, groups: &[&Group], all: Level, level: Level, layers: &mut Layers) {
        for vars in self.groups.get(ALL).into_iter().flatten() {
            layers.push_map(all, vars);
        }
        for group in groups {
            for vars in self.groups.get(&group.name).into_iter().flatten() {
                layers.push_map(level, vars);
            }
        }
    }

    pub(super) fn push_host(&self, host: &str, level: Level, layers: &mut Layers) {
        for vars in self.hosts.get(host).into_iter().flatten() {
            layers.push_map(level, vars);
        }
    }
}

/// The group or host whose variables a file or folder holds; nothing for other files.
fn owner_of(name: &str, is_folder: bool) -> Option<&str> {
    if name.starts_with('.') || name.ends_with('~') {
        return None;
    }
    if is_folder {
        return Some(name);
    }
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    // A host's name has dots of its own, so any other ending is part of the name.
    Some(stem.unwrap_or(name))
}

/// A file, or all files of variables below a folder, in order.
fn all_files(files: &dyn Files, path: &str) -> Vec<String> {
    if !files.is_folder(path) {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for name in files.list_dir(path).unwrap_or_default() {
        let inner = join(path, &name);
        let has_ending = ENDINGS.iter().any(|ending| name.ends_with(ending)) || !name.contains('.');
        if !name.starts_with('.') && !name.ends_with('~') && (files.is_folder(&inner) || has_ending) {
            found.extend(all_files(files, &inner));
        }
    }
    found
}

/// Variables of a name that nothing has are often meant for another inventory; only a near miss is told.
fn misspelt(path: &str, owner: &str, known: &[&str], diagnostics: &mut Diagnostics) {
    if let Some(word) = nearest(owner, known.iter().copied()) {
        let span = Span::start_of(&Source::new(path, ""));
        diagnostics.push(
            Diagnostic::warning(
                Code::UnknownGroup,
                format!("these variables are not used: the inventory has no '{owner}'"),
            )
            .at(&span)
            .hint(format!("is '{word}' meant? then rename the file")),
        );
    }
}
