//! Playbooks and plays.

use super::keywords::{Kind, OLD};
use super::{Context, Loader, Taken, entry};
use crate::diag::{Code, Diagnostic};
use crate::files::{folder_of, join};
use crate::plan::{Batch, Keywords, Order, Play, Scope, Strategy, Template, Values, VarMap, VarsFile};
use crate::source::Span;
use crate::yaml::{Entry, Node, NodeKind, is_template};
use kfleet_model::module::nearest;
use std::sync::Arc;

/// What `import_playbook` passes on.
pub(super) struct Import {
    keywords: Keywords,
    vars: Vec<Arc<VarMap>>,
    taken: Vec<Taken>,
    by: Span,
}

const STRATEGIES: &[&str] = &["linear", "free", "rolling"];
const ORDERS: &[&str] = &["inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle"];

impl Loader<'_> {
    /// Reads a playbook; `import` is the place that takes it in, when another one does.
    pub(super) fn playbook(&mut self, path: &str, import: Option<&Import>, plays: &mut Vec<Play>) {
        let from = self.diagnostics.len();
        let by = import.map(|import| &import.by);
        if let Some(node) = self.read(path, by) {
            self.plays(path, &node, import, plays);
        }
        if let Some(by) = by {
            self.note_taken(from, path, by);
        }
    }

    fn plays(&mut self, path: &str, node: &Node, import: Option<&Import>, plays: &mut Vec<Play>) {
        let Some(items) = node.as_list() else {
            let message = format!("a playbook must be a list of plays, not {}", node.describe());
            let hint = if node.as_mapping().is_some() { "begin each play with '- '" } else { "write '- hosts: ...'" };
            self.push(Diagnostic::error(Code::Structure, message).at(&node.span).hint(hint));
            return;
        };
        if items.is_empty() {
            self.push(Diagnostic::warning(Code::Structure, "the playbook has no plays").at(&node.span));
        }
        for item in items {
            let Some(entries) = item.as_mapping() else {
                let message = format!("a play must be a mapping, not {}", item.describe());
                self.push(Diagnostic::error(Code::Structure, message).at(&item.span).hint("write '- hosts: ...'"));
                continue;
            };
            let imported = entries.iter().find(|e| crate::catalogue::short(&e.key) == "import_playbook");
            match imported {
                Some(entry) => self.import_playbook(path, entry, entries, import, plays),
                None => {
                    let play = self.play(path, entries, &item.span, import);
                    plays.extend(play);
                }
            }
        }
    }

    fn import_playbook(
        &mut self,
        path: &str,
        entry: &Entry,
        entries: &[Entry],
        outer: Option<&Import>,
        plays: &mut Vec<Play>,
    ) {
        let mut keywords = outer.map(|outer| outer.keywords.clone()).unwrap_or_default();
        let mut vars = outer.map(|outer| outer.vars.clone()).unwrap_or_default();
        for other in entries.iter().filter(|other| other.key != entry.key) {
            match other.key.as_str() {
                "name" => {}
                "vars" => vars.extend(self.vars("vars of import_playbook", &other.value)),
                _ if self.base_keyword(Kind::Import, other, &mut keywords) => {}
                _ => self.unknown_keyword(Kind::Import, other),
            }
        }
        let Some(file) = self.template("import_playbook", &entry.value) else { return };
        let context = self.context(path, keywords.clone(), &vars);
        let instead = "name the playbook itself";
        let Some(name) = self.known(&file, &context, "the file of import_playbook", instead) else { return };
        let found = join(&folder_of(path), &name);
        let mut taken = outer.map(|outer| outer.taken.clone()).unwrap_or_default();
        taken.push(Taken { path: path.to_owned(), by: outer.map(|outer| outer.by.clone()) });
        let context = Context { taken: taken.clone(), ..context };
        if self.in_cycle(&context, &found, &file.span) {
            return;
        }
        self.playbook(&found, Some(&Import { keywords, vars, taken, by: file.span }), plays);
    }

    /// The context of a play's parts before anything of the play itself.
    fn context(&self, path: &str, keywords: Keywords, vars: &[Arc<VarMap>]) -> Context {
        let mut known = Values::new();
        for layer in vars {
            known.extend(layer.values.clone());
        }
        let scope = Scope { playbook_folder: folder_of(path), ..Scope::default() };
        Context {
            keywords: Arc::new(keywords),
            scope: Arc::new(scope),
            notify: Vec::new(),
            taken: vec![Taken { path: path.to_owned(), by: None }],
            in_roles: Vec::new(),
            handlers: false,
            play_vars: Arc::new(known),
        }
    }

    fn play(&mut self, path: &str, entries: &[Entry], span: &Span, import: Option<&Import>) -> Option<Play> {
        self.roles.clear();
        self.handlers.clear();
        self.seen.clear();
        let mut play = self.empty_play(path, span, import);
        let mut vars: Vec<Entry> = Vec::new();
        for layer in import.map(|import| import.vars.as_slice()).unwrap_or_default() {
            vars.extend(layer.entries.iter().cloned());
        }
        for entry in entries {
            match entry.key.as_str() {
                "vars" => {
                    if let Some(own) = self.vars("vars of the play", &entry.value) {
                        vars.extend(own.entries.iter().cloned());
                    }
                }
                "vars_prompt" => vars.extend(self.prompts(&entry.value)),
                _ if self.play_keyword(entry, &mut play) => {}
                key if Kind::Play.keywords().any(|word| word == key) || OLD.contains(&key) => {
                    self.base_keyword(Kind::Play, entry, &mut play.keywords);
                }
                _ => self.unknown_in_play(entry),
            }
        }
        self.check_hosts(entries, span, &play);
        play.vars = VarMap::new("vars of the play", vars);
        if let Some(entry) = entry(entries, "vars_files") {
            play.vars_files = self.vars_files(&entry.value, &play);
        }
        self.play_parts(path, entries, &mut play);
        Some(play)
    }

    fn empty_play(&self, path: &str, span: &Span, import: Option<&Import>) -> Play {
        Play {
            index: 0,
            span: span.clone(),
            folder: folder_of(path),
            name: None,
            hosts: Vec::new(),
            vars: Arc::default(),
            vars_files: Vec::new(),
            gather_facts: None,
            gather_subset: Vec::new(),
            serial: Vec::new(),
            strategy: Strategy::Linear,
            rolling: None,
            max_fail_percentage: None,
            force_handlers: None,
            order: Order::Inventory,
            keywords: import.map(|import| import.keywords.clone()).unwrap_or_default(),
            role_list: Vec::new(),
            pre_tasks: Vec::new(),
            roles: Vec::new(),
            tasks: Vec::new(),
            post_tasks: Vec::new(),
            handlers: Vec::new(),
        }
    }

    /// Takes a keyword that only plays have; gives false for any other key.
    fn play_keyword(&mut self, entry: &Entry, play: &mut Play) -> bool {
        let Entry { key, value, key_span } = entry;
        match key.as_str() {
            "name" => play.name = self.template(key, value),
            "hosts" => play.hosts = self.templates(key, value),
            "gather_facts" => play.gather_facts = self.flag(key, value),
            "gather_subset" => play.gather_subset = self.words(key, value),
            "serial" => play.serial = self.serial(value),
            "strategy" => play.strategy = self.strategy(value),
            "rolling" => {
                // A template may give the whole mapping: `rolling: "{{ rolling_policy }}"`.
                let open = value.as_str().is_some_and(crate::yaml::is_template);
                if open || value.as_mapping().is_some() {
                    play.rolling = Some(value.clone());
                } else if !value.is_null() {
                    self.wrong(key, "a mapping of settings", value);
                }
            }
            "max_fail_percentage" => play.max_fail_percentage = self.number(key, value),
            "force_handlers" => play.force_handlers = self.flag(key, value),
            "order" => play.order = self.order(value),
            "gather_timeout" | "fact_path" => self.push(
                Diagnostic::warning(
                    Code::Unsupported,
                    format!("'{key}' has no effect: the agent gathers its own facts"),
                )
                .at(key_span)
                .hint("remove it"),
            ),
            // These need the whole play, and are read after its keywords.
            "vars_files" | "roles" | "pre_tasks" | "tasks" | "post_tasks" | "handlers" => {}
            _ => return false,
        }
        true
    }

    fn unknown_in_play(&mut self, entry: &Entry) {
        if self.catalogue.get(&entry.key).is_some() {
            self.push(
                Diagnostic::error(
                    Code::Structure,
                    format!("the module '{}' stands in a play, not in a task", entry.key),
                )
                .at(&entry.key_span)
                .hint("put it below 'tasks:' and begin it with '- '"),
            );
        } else {
            self.unknown_keyword(Kind::Play, entry);
        }
    }

    fn check_hosts(&mut self, entries: &[Entry], span: &Span, play: &Play) {
        if !play.hosts.is_empty() {
            if play.rolling.is_some() && play.strategy != Strategy::Rolling {
                let place = entry(entries, "rolling").map_or(span, |entry| &entry.key_span);
                self.push(
                    Diagnostic::error(Code::Structure, "'rolling' has no effect without 'strategy: rolling'")
                        .at(place)
                        .hint("add 'strategy: rolling' to the play"),
                );
            }
            return;
        }
        match entry(entries, "hosts") {
            Some(hosts) => self.push(
                Diagnostic::error(Code::Structure, "'hosts' names no host")
                    .at(&hosts.key_span)
                    .hint("name a group or a host, or write 'all'"),
            ),
            // A misspelt 'hosts' is told as that.
            None if entries.iter().any(|e| nearest(&e.key, ["hosts"]).is_some()) => {}
            None => {
                let first = entries.first().map_or(span, |entry| &entry.key_span);
                let looks_like_task = entries.iter().any(|e| self.catalogue.get(&e.key).is_some());
                let hint = if looks_like_task {
                    "this looks like a task: put it below 'tasks:' of a play"
                } else {
                    "add 'hosts: all', or the group that it is for"
                };
                self.push(Diagnostic::error(Code::Structure, "the play has no 'hosts'").at(first).hint(hint));
            }
        }
    }

    fn serial(&mut self, value: &Node) -> Vec<Batch> {
        let mut batches = Vec::new();
        for template in self.templates("serial", value) {
            if template.is_open() {
                batches.push(Batch::Open(template));
                continue;
            }
            match Batch::parse(&template.text) {
                Some(batch) => batches.push(batch),
                None => self.push(
                    Diagnostic::error(
                        Code::WrongType,
                        format!("'serial' must be a number of hosts or a share, not '{}'", template.text),
                    )
                    .at(&template.span)
                    .hint("write for example 1 or 30%"),
                ),
            }
        }
        batches
    }

    fn strategy(&mut self, value: &Node) -> Strategy {
        match value.as_str().map(crate::catalogue::short) {
            Some("linear") => Strategy::Linear,
            Some("free") => Strategy::Free,
            Some("rolling") => Strategy::Rolling,
            Some("host_pinned") => {
                self.push(
                    Diagnostic::error(Code::Unsupported, "kfleet has no strategy 'host_pinned'")
                        .at(&value.span)
                        .hint("'free' is the nearest one"),
                );
                Strategy::Free
            }
            Some(_) | None => {
                self.one_of("strategy", STRATEGIES, value);
                Strategy::Linear
            }
        }
    }

    fn order(&mut self, value: &Node) -> Order {
        match value.as_str() {
            Some("inventory") => Order::Inventory,
            Some("reverse_inventory") => Order::ReverseInventory,
            Some("sorted") => Order::Sorted,
            Some("reverse_sorted") => Order::ReverseSorted,
            Some("shuffle") => Order::Shuffle,
            Some(_) | None => {
                self.one_of("order", ORDERS, value);
                Order::Inventory
            }
        }
    }

    fn one_of(&mut self, key: &str, words: &[&str], value: &Node) {
        let near = nearest(value.as_str().unwrap_or_default(), words.iter().copied());
        let message = format!("'{key}' must be one of {}, not {}", words.join(", "), value.describe());
        self.push(Diagnostic::error(Code::WrongType, message).at(&value.span).did_you_mean(near));
    }

    /// `vars_prompt`: nobody can be asked in a run that may be resumed, so the answers come with `-e`.
    fn prompts(&mut self, value: &Node) -> Vec<Entry> {
        let mut vars = Vec::new();
        let Some(items) = value.as_list() else {
            if !value.is_null() {
                self.wrong("vars_prompt", "a list", value);
            }
            return vars;
        };
        for item in items {
            let Some(name) = item.get("name").and_then(Node::as_str) else {
                self.push(Diagnostic::error(Code::Structure, "a prompt needs a 'name'").at(&item.span));
                continue;
            };
            if self.options.extra_vars.contains_key(name) {
                continue;
            }
            match item.get("default").filter(|default| !default.is_null()) {
                Some(default) => {
                    vars.push(Entry { key: name.to_owned(), key_span: item.span.clone(), value: default.clone() })
                }
                None => self.push(
                    Diagnostic::error(
                        Code::Unsupported,
                        format!("'{name}' would have to be asked for, and kfleet asks nothing"),
                    )
                    .at(&item.span)
                    .hint(format!("give it with -e {name}=VALUE, or give the prompt a 'default'")),
                ),
            }
        }
        vars
    }

    fn vars_files(&mut self, value: &Node, play: &Play) -> Vec<VarsFile> {
        let items = match &value.value {
            NodeKind::Null => return Vec::new(),
            NodeKind::List(items) => items.clone(),
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Mapping(_) | NodeKind::Vault(_) => {
                vec![value.clone()]
            }
        };
        let mut found = Vec::new();
        for item in items {
            let candidates = self.templates("vars_files", &item);
            if candidates.iter().any(|template| is_template(&template.text)) {
                found.push(VarsFile::Open { candidates, span: item.span.clone() });
            } else {
                found.extend(self.vars_file(&candidates, &item.span, play).map(VarsFile::Loaded));
            }
        }
        found
    }

    /// The first of several files that is there.
    fn vars_file(&mut self, candidates: &[Template], span: &Span, play: &Play) -> Option<Arc<VarMap>> {
        let paths: Vec<String> = candidates
            .iter()
            .flat_map(|template| {
                let name = template.text.trim();
                [join(&join(&play.folder, "vars"), name), join(&play.folder, name)]
            })
            .collect();
        let Some(path) = paths.iter().find(|path| self.files.is_file(path)).cloned() else {
            let near = paths.iter().find_map(|path| self.nearest_file(path));
            let names: Vec<&str> = candidates.iter().map(|template| template.text.as_str()).collect();
            self.push(
                Diagnostic::error(Code::MissingFile, format!("there is no file '{}'", names.join("' or '")))
                    .at(span)
                    .did_you_mean(near)
                    .note(format!("looked for {}", paths.join(", "))),
            );
            return None;
        };
        let from = self.diagnostics.len();
        let node = self.read(&path, Some(span));
        let vars = node.and_then(|node| super::vars_of(&node, &path, &mut self.diagnostics));
        self.note_taken(from, &path, span);
        vars
    }

    /// Roles, tasks and handlers, numbered through so that a path is unique in the play.
    fn play_parts(&mut self, path: &str, entries: &[Entry], play: &mut Play) {
        let mut context = self.context(path, play.keywords.clone(), std::slice::from_ref(&play.vars));
        for file in &play.vars_files {
            if let VarsFile::Loaded(vars) = file {
                Arc::make_mut(&mut context.play_vars).extend(vars.values.clone());
            }
        }
        let mut first = 0;
        for key in ["pre_tasks", "roles", "tasks", "post_tasks"] {
            let Some(entry) = entry(entries, key) else { continue };
            let what = format!("'{key}'");
            let steps = if key == "roles" {
                self.role_entries(&entry.value, &context, first)
            } else {
                self.steps(&entry.value, &what, &context, "", first)
            };
            // A role brings its dependencies, so that there may be more steps than entries.
            first += entry.value.as_list().map_or(0, <[Node]>::len).max(steps.len());
            match key {
                "pre_tasks" => play.pre_tasks = steps,
                "roles" => play.roles = steps,
                "tasks" => play.tasks = steps,
                _ => play.post_tasks = steps,
            }
        }
        context.handlers = true;
        let of_roles = std::mem::take(&mut self.handlers);
        let first = of_roles.len();
        play.handlers = of_roles;
        if let Some(entry) = entry(entries, "handlers") {
            let own = self.steps(&entry.value, "'handlers'", &context, "h", first);
            play.handlers.extend(own);
        }
        play.role_list = std::mem::take(&mut self.roles);
    }
}
