//! From YAML to the plan.
//!
//! Purpose: reads playbooks, roles and task files into [`crate::plan`], takes in everything static (imports,
//! roles, their dependencies) and passes keywords down, so that a task holds all that applies to it.
//! Place in the flow: [`load_playbooks`] before a run; [`load_include`] when the executor reaches a dynamic include,
//! with the same rules and the same diagnostics.
//! Not here: checks that need no structure (see [`crate::lint`]), anything that depends on a host.

mod arguments;
mod includes;
mod keywords;
mod loops;
mod plays;
mod roles;
mod tasks;

pub use arguments::{split_words, words_and_pairs};

use crate::catalogue::Catalogue;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::files::{FileError, Files};
use crate::plan::{FileRecord, Keywords, Plan, Play, Role, Scope, Step, Task, Template, Values, VarMap};
use crate::source::Span;
use crate::yaml::{self, Entry, Node};
use kfleet_model::Map;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// What a load needs beside the files themselves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Folders in which roles are looked for, after `roles/` beside the playbook.
    pub roles_path: Vec<String>,
    /// The variables of `-e`: they answer `vars_prompt` and name files of imports.
    pub extra_vars: Map,
}

/// What came of loading playbooks. The plan is to be used only when there is no error.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The plan; incomplete when there are errors, so that lint can go on with the rest.
    pub plan: Plan,
    /// All that was found.
    pub diagnostics: Diagnostics,
}

/// Reads playbooks into one plan.
pub fn load_playbooks(files: &dyn Files, catalogue: &Catalogue, options: &Options, paths: &[String]) -> Loaded {
    let mut loader = Loader::new(files, catalogue, options);
    let mut plays: Vec<Play> = Vec::new();
    for path in paths {
        loader.playbook(path, None, &mut plays);
    }
    for (index, play) in plays.iter_mut().enumerate() {
        play.index = u32::try_from(index).unwrap_or(u32::MAX);
    }
    let hash = hash_of(&loader.records);
    Loaded { plan: Plan { plays, files: loader.records, hash }, diagnostics: loader.diagnostics }
}

/// What the executor asks for when it reaches a dynamic include.
#[derive(Debug, Clone)]
pub struct IncludeCall<'a> {
    /// The task with the action `IncludeTasks` or `IncludeRole`.
    pub task: &'a Task,
    /// The file or the role, rendered.
    pub name: &'a str,
    /// `tasks_from` and its like of a role, rendered.
    pub parts: RoleParts,
    /// What the paths of the new tasks begin with; unique for each time that the include is reached.
    pub path: &'a str,
    /// Further variables of this time: the loop's item. They join the include's own `vars`.
    pub vars: Map,
}

/// The files of a role that are used instead of `main`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleParts {
    /// The file of tasks.
    pub tasks_from: Option<String>,
    /// The file of variables.
    pub vars_from: Option<String>,
    /// The file of defaults.
    pub defaults_from: Option<String>,
    /// The file of handlers.
    pub handlers_from: Option<String>,
}

/// What a dynamic include brings.
#[derive(Debug, Clone, Default)]
pub struct Included {
    /// The tasks.
    pub steps: Vec<Step>,
    /// The handlers of a role; they are added to the play's.
    pub handlers: Vec<Step>,
    /// The roles that were loaded, dependencies first; the variables of public ones join the play's.
    pub roles: Vec<Arc<Role>>,
    /// The files that were read.
    pub files: Vec<FileRecord>,
    /// All that was found; nothing of it may be run when there is an error.
    pub diagnostics: Diagnostics,
}

/// Loads what a dynamic include names.
pub fn load_include(files: &dyn Files, catalogue: &Catalogue, options: &Options, call: &IncludeCall<'_>) -> Included {
    let mut loader = Loader::new(files, catalogue, options);
    loader.handler_numbers = format!("h{}.", call.path);
    let steps = loader.include(call);
    Included {
        steps,
        handlers: loader.handlers,
        roles: loader.roles,
        files: loader.records,
        diagnostics: loader.diagnostics,
    }
}

/// Reads a file of variables (`vars_files`, `include_vars`, group and host variables) into a layer.
///
/// Gives nothing and an error among the diagnostics when the file is missing or is no mapping.
pub fn load_vars_file(
    files: &dyn Files,
    path: &str,
    origin: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<VarMap>> {
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            diagnostics.push(Diagnostic::error(Code::MissingFile, error.to_string()));
            return None;
        }
    };
    let source = yaml::source(path, bytes).map_err(|error| diagnostics.push(*error)).ok()?;
    let node = yaml::parse(&source, diagnostics)?;
    vars_of(&node, origin, diagnostics)
}

/// The variables of a file's only mapping.
fn vars_of(node: &Node, origin: &str, diagnostics: &mut Diagnostics) -> Option<Arc<VarMap>> {
    if node.is_null() {
        return Some(VarMap::new(origin, Vec::new()));
    }
    match node.as_mapping() {
        Some(entries) => Some(VarMap::new(origin, entries.to_vec())),
        None => {
            let message = format!("a file of variables must be a mapping, not {}", node.describe());
            diagnostics.push(
                Diagnostic::error(Code::Structure, message).at(&node.span).hint("write one 'name: value' on each line"),
            );
            None
        }
    }
}

/// SHA-256 over paths and contents, each with its length, so that no two lists of files can look the same.
fn hash_of(records: &[FileRecord]) -> String {
    let mut hash = Sha256::new();
    for record in records {
        hash.update((record.path.len() as u64).to_be_bytes());
        hash.update(record.path.as_bytes());
        hash.update(record.sha256.as_bytes());
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// A file that is being taken in, and the place that names it.
#[derive(Clone)]
struct Taken {
    path: String,
    by: Option<Span>,
}

/// What the parts below inherit.
#[derive(Clone)]
struct Context {
    keywords: Arc<Keywords>,
    scope: Arc<Scope>,
    /// `notify` of the blocks around.
    notify: Vec<Template>,
    /// The files that are being read, outermost first.
    taken: Vec<Taken>,
    /// The roles that are being read, outermost first, for cycles.
    in_roles: Vec<String>,
    /// What is read are handlers.
    handlers: bool,
    /// The play's `vars` and the like, as far as they are known, to name files of imports.
    play_vars: Arc<Values>,
}

/// Reads files and collects what is found.
struct Loader<'a> {
    files: &'a dyn Files,
    catalogue: &'a Catalogue,
    options: &'a Options,
    diagnostics: Diagnostics,
    records: Vec<FileRecord>,
    /// Files that were read already; a broken one is told only once.
    cache: BTreeMap<String, Option<Arc<Node>>>,
    /// The roles of the play that is being read.
    roles: Vec<Arc<Role>>,
    /// The handlers of these roles.
    handlers: Vec<Step>,
    /// What the paths of these handlers begin with.
    handler_numbers: String,
    /// Roles of the play that are in it already with the same parameters and inherited keywords.
    seen: Vec<String>,
}

impl<'a> Loader<'a> {
    fn new(files: &'a dyn Files, catalogue: &'a Catalogue, options: &'a Options) -> Self {
        Self {
            files,
            catalogue,
            options,
            diagnostics: Diagnostics::new(),
            records: Vec::new(),
            cache: BTreeMap::new(),
            roles: Vec::new(),
            handlers: Vec::new(),
            handler_numbers: "h".to_owned(),
            seen: Vec::new(),
        }
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reads a YAML file, once; `by` is the place that names it.
    fn read(&mut self, path: &str, by: Option<&Span>) -> Option<Arc<Node>> {
        if let Some(found) = self.cache.get(path) {
            return found.clone();
        }
        let node = self.read_new(path, by).map(Arc::new);
        self.cache.insert(path.to_owned(), node.clone());
        node
    }

    fn read_new(&mut self, path: &str, by: Option<&Span>) -> Option<Node> {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let mut diagnostic = Diagnostic::error(Code::MissingFile, error.to_string());
                if let Some(by) = by {
                    diagnostic = diagnostic.at(by);
                }
                if let FileError::Missing { path } = &error {
                    diagnostic = diagnostic.did_you_mean(self.nearest_file(path));
                }
                self.push(diagnostic);
                return None;
            }
        };
        self.records.push(FileRecord { path: path.to_owned(), sha256: hex(&Sha256::digest(&bytes)) });
        let source = yaml::source(path, bytes).map_err(|error| self.push(*error)).ok()?;
        yaml::parse(&source, &mut self.diagnostics)
    }

    /// A file of nearly the same name in the same folder.
    fn nearest_file(&self, path: &str) -> Option<String> {
        let name = path.rsplit('/').next()?;
        let names = self.files.list_dir(&crate::files::folder_of(path)).ok()?;
        kfleet_model::module::nearest(name, names.iter().map(String::as_str))
    }

    /// Adds "taken in here" to what was found in a file since there were `from` diagnostics.
    fn note_taken(&mut self, from: usize, path: &str, by: &Span) {
        self.diagnostics.note_since(from, path, "the file is taken in here", by);
    }

    /// Complains when a file is taken in by itself.
    fn in_cycle(&mut self, context: &Context, path: &str, by: &Span) -> bool {
        let Some(at) = context.taken.iter().position(|taken| taken.path == path) else { return false };
        let mut diagnostic =
            Diagnostic::error(Code::IncludeCycle, format!("{path} takes itself in, and would never end")).at(by);
        for taken in context.taken.iter().skip(at + 1) {
            if let Some(span) = &taken.by {
                diagnostic = diagnostic.note_at(format!("through {}", taken.path), span);
            }
        }
        self.push(diagnostic.hint("use include_tasks with a condition that ends it, or remove one of them"));
        true
    }

    /// A text whose variables are all known before the run; else nothing, and an error that says so.
    fn known(&mut self, template: &Template, context: &Context, what: &str, instead: &str) -> Option<String> {
        if !template.is_open() {
            return Some(template.text.trim().to_owned());
        }
        let extra = &self.options.extra_vars;
        let value = |name: &str| extra.get(name).or_else(|| context.play_vars.get(name).map(|value| &**value));
        match substitute(&template.text, |name| value(name).and_then(kfleet_model::module::text)) {
            Ok(text) => Some(text),
            Err(name) => {
                let message = format!("{what} must be known before the run, and it depends on '{name}'");
                self.push(
                    Diagnostic::error(Code::Unsupported, message)
                        .at(&template.span)
                        .hint(format!("{instead}, or give the variable with -e")),
                );
                None
            }
        }
    }
}

/// Puts texts and numbers of variables in place of `{{ name }}`; gives the first expression that is more than that.
fn substitute(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let (before, after) = rest.split_at(open);
        out.push_str(before);
        let Some(close) = after.find("}}") else { return Err(after.to_owned()) };
        let expression = after.get(2..close).unwrap_or_default().trim_matches(['-', ' ']);
        match value(expression) {
            Some(value) if !yaml::is_template(&value) => out.push_str(&value),
            Some(_) | None => return Err(expression.to_owned()),
        }
        rest = after.get(close + 2..).unwrap_or_default();
    }
    out.push_str(rest);
    if yaml::is_template(&out) { Err(text.to_owned()) } else { Ok(out.trim().to_owned()) }
}

/// The entry of a key.
fn entry<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key == key)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::catalogue as sample_catalogue;
