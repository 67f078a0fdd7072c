//! Reading the sources of an inventory: files, folders, and host lists of the command line.

use super::{ALL, FolderVars, Inventory, Names, UNGROUPED};
use kfleet_model::HostName;
use kfleet_model::module::nearest;
use kfleet_playbook::files::{folder_of, join};
use kfleet_playbook::source::Span;
use kfleet_playbook::yaml::Entry;
use kfleet_playbook::{Code, Diagnostic, Diagnostics, FileKind, Files};

/// Names in an inventory's folder that are no inventories.
const IGNORED_ENDINGS: &[&str] =
    &["~", ".orig", ".bak", ".cfg", ".retry", ".pyc", ".pyo", ".swp", ".rpm", ".md", ".txt", ".rst"];

/// Reads all sources that `-i` names, the later ones winning, and the variables in the folders beside them.
///
/// A source with a comma is a list of hosts; a folder stands for all inventories in it.
pub fn load(files: &dyn Files, sources: &[String], diagnostics: &mut Diagnostics) -> Inventory {
    let mut reader = Reader {
        files,
        diagnostics,
        inventory: Inventory::default(),
        wanted: Names::new(),
        defined: Names::new(),
        vars_of: Names::new(),
    };
    let mut folders: Vec<String> = Vec::new();
    for source in sources {
        reader.source(source, &mut folders);
    }
    reader.finish();
    let Reader { mut inventory, diagnostics, .. } = reader;
    inventory.cut_cycles(diagnostics);
    inventory.settle();
    for folder in folders {
        let vars = FolderVars::load(files, &folder, &inventory, diagnostics);
        inventory.folders.push(vars);
    }
    inventory
}

/// Collects what the sources say.
pub(super) struct Reader<'a> {
    files: &'a dyn Files,
    pub(super) diagnostics: &'a mut Diagnostics,
    inventory: Inventory,
    /// Groups that are named as children, and where.
    wanted: Names,
    /// Groups that have a section or an entry of their own.
    defined: Names,
    /// Groups that have variables, and where.
    vars_of: Names,
}

impl Reader<'_> {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn source(&mut self, source: &str, folders: &mut Vec<String>) {
        if source.contains(',') {
            self.host_list(source);
            return;
        }
        let folder = match self.files.kind(source) {
            Some(FileKind::File) => {
                self.file(source);
                folder_of(source)
            }
            Some(FileKind::Folder) => {
                self.folder(source);
                source.trim_end_matches('/').to_owned()
            }
            None => {
                let names = self.files.list_dir(&folder_of(source)).unwrap_or_default();
                let near = nearest(source.rsplit('/').next().unwrap_or(source), names.iter().map(String::as_str));
                let diagnostic = Diagnostic::error(Code::MissingFile, format!("there is no inventory '{source}'"));
                self.push(match near {
                    Some(word) => diagnostic.hint(format!("did you mean '{word}'?")),
                    None => diagnostic.hint("name a file or a folder, or a list of hosts with a comma: 'host,'"),
                });
                return;
            }
        };
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }

    fn host_list(&mut self, list: &str) {
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let line = Span::nowhere("-i", list);
            let span = line.find(name, 0).unwrap_or(line);
            for host in self.host_names(name, &span) {
                self.add(UNGROUPED, &host, &span, &[]);
            }
        }
    }

    fn folder(&mut self, folder: &str) {
        let names = match self.files.list_dir(folder) {
            Ok(names) => names,
            Err(error) => {
                self.push(Diagnostic::error(Code::MissingFile, error.to_string()));
                return;
            }
        };
        for name in names {
            let path = join(folder, &name);
            let skipped = name.starts_with('.') || IGNORED_ENDINGS.iter().any(|ending| name.ends_with(ending));
            if skipped || name == "group_vars" || name == "host_vars" {
                continue;
            }
            if self.files.is_folder(&path) { self.folder(&path) } else { self.file(&path) }
        }
    }

    fn file(&mut self, path: &str) {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.push(Diagnostic::error(Code::MissingFile, error.to_string()));
                return;
            }
        };
        let source = match kfleet_playbook::yaml::source(path, bytes) {
            Ok(source) => source,
            Err(error) => {
                self.push(*error);
                return;
            }
        };
        if source.text().starts_with("#!") {
            self.push(
                Diagnostic::error(Code::Unsupported, "kfleet does not run inventory scripts")
                    .at(&Span::on_line(&source, 1, 1, 2))
                    .hint("run it and save what it prints as YAML"),
            );
        } else if [".yml", ".yaml", ".json"].iter().any(|ending| path.ends_with(ending)) {
            self.yaml(&source);
        } else {
            self.ini(&source);
        }
    }

    /// A group has a section or an entry of its own.
    pub(super) fn defined(&mut self, group: &str, span: &Span) {
        self.inventory.insert_group(group, span);
        if !self.defined.contains_key(group) {
            self.defined.insert(group.to_owned(), span.clone());
            // The group's place is its own section, not the line that first named it as a child.
            if let Some(group) = self.inventory.groups.get_mut(group) {
                group.span = span.clone();
            }
        }
    }

    /// A group has variables.
    pub(super) fn wanted_by_vars(&mut self, group: &str, span: &Span) {
        self.inventory.insert_group(group, span);
        self.vars_of.entry(group.to_owned()).or_insert_with(|| span.clone());
    }

    /// A group contains another one.
    pub(super) fn child(&mut self, group: &str, child: &str, span: &Span) {
        self.wanted.entry(child.to_owned()).or_insert_with(|| span.clone());
        self.inventory.insert_group(child, span);
        if group != ALL {
            self.inventory.put_below(group, child);
        }
    }

    pub(super) fn group_var(&mut self, group: &str, entry: Entry) {
        self.inventory.set_group_var(group, entry);
    }

    /// A host is in a group and has variables.
    pub(super) fn add(&mut self, group: &str, host: &HostName, span: &Span, vars: &[Entry]) {
        self.inventory.insert_host(host, span);
        self.inventory.insert_group(group, span);
        self.inventory.put_into(group, host);
        for entry in vars {
            self.inventory.set_host_var(host, entry.clone());
        }
    }

    /// Complains of a name that can not be a group's.
    pub(super) fn group_name(&mut self, name: &str, span: &Span) -> bool {
        let fine = kfleet_model::ClusterName::new(name).is_ok();
        if !fine {
            self.push(
                Diagnostic::error(Code::Inventory, format!("'{name}' can not be the name of a group"))
                    .at(span)
                    .hint("use letters, digits, '_', '-' and '.'"),
            );
        }
        fine
    }

    /// What can be judged only when all is read.
    fn finish(&mut self) {
        let known: Vec<String> = self.defined.keys().cloned().collect();
        let is_known = |name: &str| name == ALL || name == UNGROUPED || known.iter().any(|group| group == name);
        let lost = |names: &Names| -> Vec<(String, Span)> {
            names.iter().filter(|(name, _)| !is_known(name)).map(|(name, span)| (name.clone(), span.clone())).collect()
        };
        for (what, names) in
            [("contained in another group", lost(&self.wanted)), ("given variables", lost(&self.vars_of))]
        {
            for (name, span) in names {
                let near = nearest(&name, known.iter().map(String::as_str));
                let diagnostic =
                    Diagnostic::error(Code::UnknownGroup, format!("group '{name}' is {what} and never defined"))
                        .at(&span);
                self.push(match near {
                    Some(word) => diagnostic.hint(format!("did you mean '{word}'?")),
                    None => diagnostic.hint(format!("add a section [{name}], or remove this")),
                });
            }
        }
        let both: Vec<(String, Span)> = self
            .inventory
            .groups
            .values()
            .filter(|group| self.inventory.hosts.contains_key(group.name.as_str()))
            .map(|group| (group.name.clone(), group.span.clone()))
            .collect();
        for (name, span) in both {
            self.push(
                Diagnostic::warning(Code::Inventory, format!("'{name}' is a group and a host"))
                    .at(&span)
                    .hint("a pattern with this name means the group; rename one of them"),
            );
        }
    }
}
