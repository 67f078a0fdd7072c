//! Roles: finding them, their dependencies, variables, tasks and handlers.

use super::keywords::{Kind, OLD};
use super::{Context, IncludeCall, Loader, RoleParts, Taken, entry};
use crate::diag::{Code, Diagnostic};
use crate::files::{folder_of, join};
use crate::plan::{Block, Role, RoleCall, Step, Template, VarMap};
use crate::source::Span;
use crate::yaml::{Entry, Node, NodeKind};
use kfleet_model::module::{boolean, nearest};
use std::sync::Arc;

/// A role as an entry of `roles:`, `dependencies:` or a task names it.
struct Wanted {
    name: String,
    span: Span,
    params: Arc<VarMap>,
    parts: RoleParts,
    public: bool,
    /// Its place among the roles that are run once.
    once: Once,
}

/// Whether a role may be taken in again.
#[derive(PartialEq, Eq)]
enum Once {
    /// An entry of a list: only once with the same parameters.
    WithSameParameters,
    /// A task: as often as it is written.
    Always,
}

impl Loader<'_> {
    /// `roles:` of a play, or `dependencies:` of a role: one block for each role, dependencies before it.
    pub(super) fn role_entries(&mut self, node: &Node, context: &Context, first: usize) -> Vec<Step> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(items) = node.as_list() else {
            let message = format!("'roles' must be a list, not {}", node.describe());
            self.push(Diagnostic::error(Code::Structure, message).at(&node.span).hint("begin each role with '- '"));
            return Vec::new();
        };
        let mut steps = Vec::new();
        for item in items {
            let Some((wanted, inner)) = self.role_entry(item, context) else { continue };
            let number = first + steps.len();
            if let Some(step) = self.role(&wanted, &inner, number.to_string()) {
                steps.push(step);
            }
        }
        steps
    }

    fn role_entry(&mut self, node: &Node, context: &Context) -> Option<(Wanted, Context)> {
        let mut inner = context.clone();
        let mut keywords = (*context.keywords).clone();
        let mut params: Vec<Entry> = Vec::new();
        let name = match &node.value {
            NodeKind::Text(text) => Some(Template { text: text.text.clone(), span: node.span.clone() }),
            NodeKind::Mapping(entries) => {
                let named = entry(entries, "role").or_else(|| entry(entries, "name"));
                for item in entries {
                    match item.key.as_str() {
                        "role" | "name" | "src" | "version" | "scm" => {}
                        "vars" => self.push_vars(&mut inner.scope, "vars of a role entry", &item.value),
                        key if Kind::Role.keywords().any(|word| word == key) || OLD.contains(&key) => {
                            self.base_keyword(Kind::Role, item, &mut keywords);
                        }
                        _ => self.role_param(item, &mut params),
                    }
                }
                named.and_then(|entry| self.template(&entry.key, &entry.value))
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::List(_) | NodeKind::Vault(_) => None,
        };
        let Some(name) = name else {
            self.push(
                Diagnostic::error(
                    Code::Structure,
                    format!("a role entry needs a name, and this is {}", node.describe()),
                )
                .at(&node.span)
                .hint("write '- NAME' or '- role: NAME'"),
            );
            return None;
        };
        let text = self.known(&name, context, "the name of a role", "use include_role")?;
        inner.keywords = Arc::new(keywords);
        let wanted = Wanted {
            name: text,
            span: name.span,
            params: VarMap::new("parameters of a role entry", params),
            parts: RoleParts::default(),
            public: true,
            once: Once::WithSameParameters,
        };
        Some((wanted, inner))
    }

    /// A key of a role entry that is no keyword is a parameter; a misspelt keyword would be lost without a word.
    fn role_param(&mut self, item: &Entry, params: &mut Vec<Entry>) {
        if let Some(word) = nearest(&item.key, Kind::Role.keywords())
            && item.key.len() > 2
        {
            self.push(
                Diagnostic::warning(
                    Code::UnknownKeyword,
                    format!("'{}' is taken as a parameter of the role", item.key),
                )
                .at(&item.key_span)
                .hint(format!("did you mean the keyword '{word}'?")),
            );
        }
        params.push(item.clone());
    }

    /// `import_role`.
    pub(super) fn import_role(&mut self, args: &Node, span: &Span, context: &Context, path: String) -> Option<Step> {
        let named = args.get("name").or_else(|| args.get("role")).cloned();
        let Some(name) = named.and_then(|node| self.template("name", &node)) else {
            self.push(Diagnostic::error(Code::Parameter, "import_role needs 'name'").at(span));
            return None;
        };
        let text = self.known(&name, context, "the role of import_role", "use include_role")?;
        let mut part = |key: &str| {
            let node = args.get(key)?.clone();
            let template = self.template(key, &node)?;
            self.known(&template, context, &format!("'{key}' of import_role"), "use include_role")
        };
        let parts = RoleParts {
            tasks_from: part("tasks_from"),
            vars_from: part("vars_from"),
            defaults_from: part("defaults_from"),
            handlers_from: part("handlers_from"),
        };
        let public = args.get("public").is_none_or(|node| boolean(&node.to_value()) != Some(false));
        let params = VarMap::new("parameters of a role", Vec::new());
        let wanted = Wanted { name: text, span: name.span, params, parts, public, once: Once::Always };
        self.role(&wanted, context, path)
    }

    /// The role of an `include_role`, when it is reached.
    pub(super) fn included_role(&mut self, call: &IncludeCall<'_>, role: &RoleCall, context: &Context) -> Option<Step> {
        let wanted = Wanted {
            name: call.name.to_owned(),
            span: role.name.span.clone(),
            params: VarMap::new("parameters of a role", Vec::new()),
            parts: call.parts.clone(),
            public: role.public,
            once: Once::Always,
        };
        self.role(&wanted, context, call.path.to_owned())
    }

    /// Reads a role and the roles that it depends on.
    fn role(&mut self, wanted: &Wanted, context: &Context, path: String) -> Option<Step> {
        let folder = self.find_role(wanted, context)?;
        if context.in_roles.contains(&folder) {
            let chain = context.in_roles.join(" -> ");
            self.push(
                Diagnostic::error(Code::IncludeCycle, format!("role '{}' depends on itself", wanted.name))
                    .at(&wanted.span)
                    .note(format!("{chain} -> {folder}")),
            );
            return None;
        }
        let meta = self.role_meta(&folder);
        if wanted.once == Once::WithSameParameters
            && !meta.allow_duplicates
            && self.seen_before(wanted, &folder, context)
        {
            return None;
        }
        let parents: Vec<Arc<Role>> = context
            .scope
            .role
            .iter()
            .flat_map(|parent| parent.parents.iter().cloned().chain(std::iter::once(Arc::clone(parent))))
            .collect();
        let role = Arc::new(Role {
            name: wanted.name.clone(),
            path: folder.clone(),
            defaults: self.role_vars(&folder, "defaults", wanted.parts.defaults_from.as_deref(), &wanted.span),
            vars: self.role_vars(&folder, "vars", wanted.parts.vars_from.as_deref(), &wanted.span),
            params: Arc::clone(&wanted.params),
            parents,
            public: wanted.public,
        });
        let mut inner = context.clone();
        inner.in_roles.push(folder);
        Arc::make_mut(&mut inner.scope).role = Some(Arc::clone(&role));
        Some(self.role_block(&role, wanted, &meta, &inner, path))
    }

    fn role_block(&mut self, role: &Arc<Role>, wanted: &Wanted, meta: &Meta, inner: &Context, path: String) -> Step {
        let mut tasks = match &meta.dependencies {
            // A dependency does not see the variables of the entry that brings it as its own parameters.
            Some(node) => self.dependencies(node, inner, &path),
            None => Vec::new(),
        };
        self.roles.push(Arc::clone(role));
        self.role_handlers(role, wanted, inner);
        let main = wanted.parts.tasks_from.as_deref().unwrap_or("main");
        match self.role_file(&role.path, "tasks", main) {
            Some(file) => {
                let first = tasks.len();
                let numbers = format!("{path}.");
                let steps = self.role_tasks(&file, wanted, inner, &numbers, first);
                tasks.extend(steps);
            }
            None if wanted.parts.tasks_from.is_some() => self.missing_part(role, "tasks", main, &wanted.span),
            None => {}
        }
        let keywords = Arc::clone(&inner.keywords);
        let (rescue, always) = (Vec::new(), Vec::new());
        Step::Block(Arc::new(Block {
            path,
            span: wanted.span.clone(),
            name: None,
            role: Some(Arc::clone(role)),
            keywords,
            tasks,
            rescue,
            always,
        }))
    }

    fn role_tasks(&mut self, file: &str, wanted: &Wanted, inner: &Context, numbers: &str, first: usize) -> Vec<Step> {
        let from = self.diagnostics.len();
        let Some(node) = self.read(file, Some(&wanted.span)) else { return Vec::new() };
        let mut context = inner.clone();
        context.taken.push(Taken { path: file.to_owned(), by: Some(wanted.span.clone()) });
        let steps = self.steps(&node, "a file of tasks", &context, numbers, first);
        self.note_taken(from, file, &wanted.span);
        steps
    }

    fn dependencies(&mut self, node: &Node, inner: &Context, path: &str) -> Vec<Step> {
        let Some(items) = node.as_list() else {
            if !node.is_null() {
                self.wrong("dependencies", "a list of roles", node);
            }
            return Vec::new();
        };
        let mut steps = Vec::new();
        for item in items {
            let Some((wanted, context)) = self.role_entry(item, inner) else { continue };
            let step = self.role(&wanted, &context, format!("{path}.{}", steps.len()));
            steps.extend(step);
        }
        steps
    }

    fn role_handlers(&mut self, role: &Arc<Role>, wanted: &Wanted, inner: &Context) {
        let main = wanted.parts.handlers_from.as_deref().unwrap_or("main");
        let Some(file) = self.role_file(&role.path, "handlers", main) else {
            if wanted.parts.handlers_from.is_some() {
                self.missing_part(role, "handlers", main, &wanted.span);
            }
            return;
        };
        let from = self.diagnostics.len();
        let Some(node) = self.read(&file, Some(&wanted.span)) else { return };
        let mut context = inner.clone();
        context.handlers = true;
        context.notify.clear();
        // A role's condition and tags choose its tasks; a handler is chosen by being notified.
        let keywords = Arc::make_mut(&mut context.keywords);
        keywords.tags.clear();
        context.taken.push(Taken { path: file.clone(), by: Some(wanted.span.clone()) });
        let first = self.handlers.len();
        let numbers = self.handler_numbers.clone();
        let steps = self.steps(&node, "a file of handlers", &context, &numbers, first);
        self.handlers.extend(steps);
        self.note_taken(from, &file, &wanted.span);
    }

    /// Finds the folder of a role.
    fn find_role(&mut self, wanted: &Wanted, context: &Context) -> Option<String> {
        let folders = role_folders(&self.options.roles_path, context);
        let candidates: Vec<String> = folders.iter().map(|folder| join(folder, &wanted.name)).collect();
        if let Some(found) = candidates.iter().find(|path| self.files.is_folder(path)) {
            return Some(found.clone());
        }
        let mut names: Vec<String> = Vec::new();
        for folder in &folders {
            names.extend(self.files.list_dir(folder).unwrap_or_default());
        }
        let near = nearest(&wanted.name, names.iter().map(String::as_str));
        let mut diagnostic = Diagnostic::error(Code::MissingRole, format!("there is no role '{}'", wanted.name))
            .at(&wanted.span)
            .note(format!("looked for {}", candidates.join(", ")));
        diagnostic = match near {
            Some(word) => diagnostic.hint(format!("did you mean '{word}'?")),
            None if wanted.name.matches('.').count() >= 2 => {
                diagnostic.hint("roles of collections are not looked up; put the role's folder into roles/")
            }
            None => diagnostic
                .hint("put the role's folder into roles/ beside the playbook, or name its folder with roles_path"),
        };
        self.push(diagnostic);
        None
    }

    /// `main` in a folder of a role, with any of the usual endings, or the name as it is.
    fn role_file(&self, role: &str, kind: &str, name: &str) -> Option<String> {
        let base = join(&join(role, kind), name);
        let endings = [".yml", ".yaml", ".json", ""];
        endings.iter().map(|ending| format!("{base}{ending}")).find(|path| self.files.is_file(path))
    }

    fn role_vars(&mut self, role: &str, kind: &str, from: Option<&str>, by: &Span) -> Arc<VarMap> {
        let origin = format!("{kind} of role {}", role.rsplit('/').next().unwrap_or(role));
        let name = from.unwrap_or("main");
        let paths = match self.role_file(role, kind, name) {
            Some(path) => vec![path],
            // `defaults/main/` may be a folder of files, all of which are read.
            None => self.vars_folder(&join(&join(role, kind), name)),
        };
        let mut entries: Vec<Entry> = Vec::new();
        for path in &paths {
            let start = self.diagnostics.len();
            if let Some(node) = self.read(path, Some(by))
                && let Some(vars) = super::vars_of(&node, &origin, &mut self.diagnostics)
            {
                entries.extend(vars.entries.iter().cloned());
            }
            self.note_taken(start, path, by);
        }
        if paths.is_empty() && from.is_some() {
            self.push(
                Diagnostic::error(Code::MissingFile, format!("role {role} has no file {kind}/{name}.yml")).at(by),
            );
        }
        VarMap::new(origin, entries)
    }

    fn vars_folder(&self, folder: &str) -> Vec<String> {
        let names = self.files.list_dir(folder).unwrap_or_default();
        let is_vars = |name: &String| [".yml", ".yaml", ".json"].iter().any(|ending| name.ends_with(ending));
        names.iter().filter(|name| is_vars(name)).map(|name| join(folder, name)).collect()
    }

    fn missing_part(&mut self, role: &Role, kind: &str, name: &str, by: &Span) {
        let folder = join(&role.path, kind);
        let names = self.files.list_dir(&folder).unwrap_or_default();
        let stems: Vec<&str> =
            names.iter().map(|name| name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem)).collect();
        self.push(
            Diagnostic::error(Code::MissingFile, format!("role '{}' has no {kind} file '{name}'", role.name))
                .at(by)
                .did_you_mean(nearest(name, stems))
                .note(format!("looked in {folder}")),
        );
    }

    fn role_meta(&mut self, role: &str) -> Meta {
        let Some(path) = self.role_file(role, "meta", "main") else { return Meta::default() };
        let Some(node) = self.read(&path, None) else { return Meta::default() };
        let allow = node.get("allow_duplicates").and_then(|value| boolean(&value.to_value()));
        Meta { dependencies: node.get("dependencies").cloned(), allow_duplicates: allow.unwrap_or(false) }
    }

    /// The role is in the play already with the same parameters under the same condition and tags.
    fn seen_before(&mut self, wanted: &Wanted, folder: &str, context: &Context) -> bool {
        let keywords = &context.keywords;
        let vars: Vec<String> = context.scope.vars.iter().map(|vars| format!("{:?}", vars.values)).collect();
        let key = format!(
            "{folder}|{:?}|{vars:?}|{:?}|{:?}|{:?}",
            wanted.params.values, keywords.when, keywords.tags, keywords.delegate_to
        );
        if self.seen.contains(&key) {
            return true;
        }
        self.seen.push(key);
        false
    }
}

/// What `meta/main.yml` says.
#[derive(Default)]
struct Meta {
    dependencies: Option<Node>,
    allow_duplicates: bool,
}

/// The folders in which roles are looked for.
fn role_folders(roles_path: &[String], context: &Context) -> Vec<String> {
    let playbook = &context.scope.playbook_folder;
    let mut folders = vec![join(playbook, "roles")];
    if let Some(role) = &context.scope.role {
        folders.push(folder_of(&role.path));
    }
    folders.extend(roles_path.iter().cloned());
    folders.push(playbook.clone());
    let mut unique: Vec<String> = Vec::new();
    for folder in folders {
        if !unique.contains(&folder) {
            unique.push(folder);
        }
    }
    unique
}
