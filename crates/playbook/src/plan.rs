//! The plan: a playbook after everything static is resolved, with the place of everything.
//!
//! Purpose: what the executor walks. Imports, roles and their dependencies are taken in; keywords are inherited,
//! so that a task holds all that applies to it and nobody has to look at its parents; variables stay in shared
//! layers. The plan never changes once it is loaded.
//! Place in the flow: [`crate::parse`] makes it, [`crate::lint`] judges it, the controller prints and runs it.
//! Not here: anything that depends on a host: variables, conditions, loops and dynamic includes are kept as text.

use crate::source::Span;
use crate::yaml::{Entry, Node, is_template};
use indexmap::IndexMap;
use kfleet_model::{Map, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A playbook, ready to be run.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The plays in order, those of imported playbooks in their place.
    pub plays: Vec<Play>,
    /// Every file that was read for it, in the order of reading, each once.
    pub files: Vec<FileRecord>,
    /// SHA-256 over the paths and contents of all files, as hexadecimal digits.
    pub hash: String,
}

/// A file that a plan was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The path as it was read.
    pub path: String,
    /// SHA-256 of its content, as hexadecimal digits.
    pub sha256: String,
}

/// A text that may be a template, with its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    /// The text as written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Template {
    /// It has to be rendered before it is used.
    #[must_use]
    pub fn is_open(&self) -> bool {
        is_template(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// The value of a keyword: known, or a template that gives it.
#[derive(Clone, PartialEq)]
pub enum Setting<T> {
    /// The value is known.
    Fixed {
        /// The value.
        value: T,
        /// Where it stands.
        span: Span,
    },
    /// The value comes of a template, for each host (and item).
    Open(Template),
}

impl<T> Setting<T> {
    /// The value, when it is known.
    pub fn fixed(&self) -> Option<&T> {
        match self {
            Self::Fixed { value, .. } => Some(value),
            Self::Open(_) => None,
        }
    }

    /// Where it stands.
    pub fn span(&self) -> &Span {
        match self {
            Self::Fixed { span, .. } => span,
            Self::Open(template) => &template.span,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { value, .. } => value.fmt(f),
            Self::Open(template) => template.fmt(f),
        }
    }
}

/// An expression of the template language that gives true or false, without `{{ }}` around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Condition {
    /// The expression as written; `when: yes` becomes `true`.
    pub expression: String,
    /// Where it stands.
    pub span: Span,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.expression)
    }
}

/// Variables that were defined in one place: a `vars:` mapping or a file.
#[derive(Clone, PartialEq, Default)]
pub struct VarMap {
    /// Where they come from, for people: `defaults of role kafka`, `group_vars/all.yml`.
    pub origin: String,
    /// The variables with their places.
    pub entries: Vec<Entry>,
    /// The same as values: each shared, so that a template that reads one copies none.
    pub values: Values,
}

/// Variables by name, in the order in which they were written.
pub type Values = IndexMap<String, Arc<Value>>;

impl VarMap {
    /// Takes the entries of a mapping.
    #[must_use]
    pub fn new(origin: impl Into<String>, entries: Vec<Entry>) -> Arc<Self> {
        let values = entries.iter().map(|entry| (entry.key.clone(), Arc::new(entry.value.to_value()))).collect();
        Arc::new(Self { origin: origin.into(), entries, values })
    }

    /// Where a variable is defined.
    #[must_use]
    pub fn span(&self, name: &str) -> Option<&Span> {
        self.entries.iter().find(|entry| entry.key == name).map(|entry| &entry.key_span)
    }

    /// Takes values that were written in no file: of the command line, or made by the program.
    #[must_use]
    pub fn from_values(origin: impl Into<String>, values: Map) -> Arc<Self> {
        let values = values.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
        Arc::new(Self { origin: origin.into(), entries: Vec::new(), values })
    }

    /// All variables as one mapping.
    #[must_use]
    pub fn to_map(&self) -> Map {
        self.values.iter().map(|(name, value)| (name.clone(), (**value).clone())).collect()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for VarMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.origin, self.values)
    }
}

/// One play.
#[derive(Debug, Clone)]
pub struct Play {
    /// Its number in the plan, from 0.
    pub index: u32,
    /// Where it begins.
    pub span: Span,
    /// The folder of its playbook file (`playbook_dir`).
    pub folder: String,
    /// Its name.
    pub name: Option<Template>,
    /// Its host patterns; several mean their union.
    pub hosts: Vec<Template>,
    /// Its own variables.
    pub vars: Arc<VarMap>,
    /// Its files of variables, in order.
    pub vars_files: Vec<VarsFile>,
    /// Whether facts are gathered first; none means the default, which is yes.
    pub gather_facts: Option<Setting<bool>>,
    /// Which facts; empty means all.
    pub gather_subset: Vec<Template>,
    /// The sizes of its batches, the last one repeated; empty means all hosts at once.
    pub serial: Vec<Batch>,
    /// How hosts move through its tasks.
    pub strategy: Strategy,
    /// The settings of `strategy: rolling`, for the crate that has the rules.
    pub rolling: Option<Node>,
    /// The share of failed hosts of a batch, in percent, above which the play stops.
    pub max_fail_percentage: Option<Setting<f64>>,
    /// Run notified handlers of a host even after it failed.
    pub force_handlers: Option<Setting<bool>>,
    /// The order of its hosts.
    pub order: Order,
    /// What its tasks inherit, for the gathering of facts too.
    pub keywords: Keywords,
    /// Every role of `roles:`, dependencies before the role that has them, each once.
    pub role_list: Vec<Arc<Role>>,
    /// Run first; handlers are flushed after them.
    pub pre_tasks: Vec<Step>,
    /// The tasks of its roles: one block for each role.
    pub roles: Vec<Step>,
    /// Run after the roles; handlers are flushed after them.
    pub tasks: Vec<Step>,
    /// Run last; handlers are flushed after them.
    pub post_tasks: Vec<Step>,
    /// Its handlers in the order in which they run: those of roles first. Of several with one name the last counts.
    pub handlers: Vec<Step>,
}

impl Play {
    /// The name, or the host pattern when it has none, as written.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.name {
            Some(name) => name.text.clone(),
            None => self.hosts.iter().map(|host| host.text.as_str()).collect::<Vec<_>>().join(","),
        }
    }

    /// All tasks in the order of the file, without handlers.
    pub fn all_tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        let mut found = Vec::new();
        for steps in [&self.pre_tasks, &self.roles, &self.tasks, &self.post_tasks] {
            collect(steps, &mut found);
        }
        found.into_iter()
    }

    /// All handlers in the order in which they run.
    pub fn all_handlers(&self) -> impl Iterator<Item = &Arc<Task>> {
        let mut found = Vec::new();
        collect(&self.handlers, &mut found);
        found.into_iter()
    }
}

/// Puts all tasks of steps into a list, in the order of the file.
pub fn collect<'a>(steps: &'a [Step], found: &mut Vec<&'a Arc<Task>>) {
    for step in steps {
        match step {
            Step::Task(task) => found.push(task),
            Step::Block(block) => {
                collect(&block.tasks, found);
                collect(&block.rescue, found);
                collect(&block.always, found);
            }
        }
    }
}

/// A file of variables of a play.
#[derive(Debug, Clone)]
pub enum VarsFile {
    /// Its name is fixed, and it is read.
    Loaded(Arc<VarMap>),
    /// Its name depends on variables: the first of these that exists, for each host.
    Open {
        /// The names to be tried, relative to the playbook's folder.
        candidates: Vec<Template>,
        /// Where the entry stands.
        span: Span,
    },
}

/// The size of a batch of hosts.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch {
    /// So many hosts; 0 means all.
    Count(u32),
    /// A share of the play's hosts, in percent; at least one host.
    Percent(f64),
    /// A template that gives one of the two.
    Open(Template),
}

impl Batch {
    /// Reads what stands in the file or comes of a template: `2`, `"2"`, `30%`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        }
    }

    /// The number of hosts of `total`; nothing while it is a template.
    #[must_use]
    pub fn size(&self, total: usize) -> Option<usize> {
        match self {
            Self::Count(0) => Some(total),
            Self::Count(count) => Some(*count as usize),
            Self::Percent(percent) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share between 0 and 100 percent of a number of hosts"
                )]
                let size = (total as f64 * percent / 100.0).floor() as usize;
                Some(size.max(1))
            }
            Self::Open(_) => None,
        }
    }
}

/// How hosts move through the tasks of a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Task by task, all hosts of the batch together.
    Linear,
    /// Each host as fast as it can.
    Free,
    /// Node by node under the rules of a cluster: see the play's `rolling`.
    Rolling,
}

/// The order of a play's hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As in the inventory.
    Inventory,
    /// The inventory's order turned round.
    ReverseInventory,
    /// By name.
    Sorted,
    /// By name, backwards.
    ReverseSorted,
    /// By chance.
    Shuffle,
}

/// What a play or a block consists of.
#[derive(Debug, Clone)]
pub enum Step {
    /// A task.
    Task(Arc<Task>),
    /// A block, or a role.
    Block(Arc<Block>),
}

/// Tasks that belong together. What the block says of its tasks is in the tasks' keywords already.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its path in the play: `3.1`.
    pub path: String,
    /// Where it begins.
    pub span: Span,
    /// Its name.
    pub name: Option<Template>,
    /// The role, when it is the whole of one.
    pub role: Option<Arc<Role>>,
    /// The keywords of the block with all that it inherits.
    pub keywords: Arc<Keywords>,
    /// The tasks.
    pub tasks: Vec<Step>,
    /// Run for a host after one of the tasks failed there.
    pub rescue: Vec<Step>,
    /// Run for a host in every case.
    pub always: Vec<Step>,
}

/// One task or handler.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its path in the play, unique there: `0`, `3.1`; handlers begin with `h`.
    pub path: String,
    /// Where it begins.
    pub span: Span,
    /// Its name.
    pub name: Option<Template>,
    /// It is a handler.
    pub handler: bool,
    /// The module's short name (`template`), or for another collection's the full one.
    pub module: String,
    /// Where the module's name stands.
    pub module_span: Span,
    /// What kind of task it is.
    pub action: Action,
    /// The module's arguments: a mapping; free-form text is under the parameter that takes it.
    pub args: Node,
    /// A template that gives further arguments as a mapping (`args: "{{ more }}"`); those in `args` win.
    pub args_from: Option<Template>,
    /// What applies to it, inherited things included.
    pub keywords: Arc<Keywords>,
    /// What it inherits: the tasks of a dynamic include get this, and not the include's own keywords.
    pub around: Arc<Keywords>,
    /// The loop.
    pub repeat: Option<Loop>,
    /// The variable that keeps its result.
    pub register: Option<String>,
    /// The handlers that it notifies when it changed something. A template may give a list.
    pub notify: Vec<Template>,
    /// Further names under which a handler is notified.
    pub listen: Vec<Template>,
    /// All must hold for "changed"; empty means that the module says.
    pub changed_when: Vec<Condition>,
    /// All must hold for "failed"; empty means that the module says.
    pub failed_when: Vec<Condition>,
    /// Repeat until all hold.
    pub until: Vec<Condition>,
    /// How often it is repeated; 3 when `until` stands alone.
    pub retries: Option<Setting<u32>>,
    /// Seconds between repetitions; 5 when not given.
    pub delay: Option<Setting<f64>>,
    /// Seconds that it may run in the background.
    pub async_seconds: Option<Setting<u32>>,
    /// Seconds between two looks at it; 0 means not to wait.
    pub poll: Option<Setting<u32>>,
    /// Where its variables come from.
    pub scope: Arc<Scope>,
}

impl Task {
    /// The name as written, after its role's (`kafka : Install`), or the module when it has none.
    #[must_use]
    pub fn title(&self) -> String {
        let name = self.name.as_ref().map_or(self.module.as_str(), |name| name.text.as_str());
        match &self.scope.role {
            Some(role) => format!("{} : {name}", role.name),
            None => name.to_owned(),
        }
    }

    /// The role that it comes from.
    #[must_use]
    pub fn role(&self) -> Option<&Arc<Role>> {
        self.scope.role.as_ref()
    }

    /// The paths at which a file that the task names is looked for, in order: the role's folder for that kind of
    /// file (`files`, `templates`, `vars`, `tasks`), the role, those of the roles that depend on it, the folder of
    /// the task's own file, the playbook's.
    #[must_use]
    pub fn candidates(&self, kind: &str, name: &str) -> Vec<String> {
        self.scope.candidates(kind, name, self.span.path())
    }
}

/// What kind of task it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A module, on the host or on the controller.
    Module,
    /// An order to the executor itself.
    Meta(Meta),
    /// Takes in the tasks of a file when it is reached.
    IncludeTasks {
        /// The file.
        file: Template,
        /// Keywords for the tasks taken in.
        apply: Option<Node>,
    },
    /// Takes in a role when it is reached.
    IncludeRole(Box<RoleCall>),
}

/// The arguments of `include_role`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleCall {
    /// The role.
    pub name: Template,
    /// The file of tasks in it; `main` when not given.
    pub tasks_from: Option<Template>,
    /// The file of variables.
    pub vars_from: Option<Template>,
    /// The file of defaults.
    pub defaults_from: Option<Template>,
    /// The file of handlers.
    pub handlers_from: Option<Template>,
    /// Its variables and defaults stay visible to the rest of the play.
    pub public: bool,
    /// Keywords for the tasks taken in.
    pub apply: Option<Node>,
}

macro_rules! metas {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An order to the executor.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Meta {
            $($(#[$doc])* $name,)*
        }

        impl Meta {
            /// All words, for lint.
            pub const WORDS: &'static [&'static str] = &[$($text,)*];

            /// Reads the word of a playbook.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text.trim() {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The word of a playbook.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

metas! {
    /// Run the notified handlers now.
    FlushHandlers = "flush_handlers",
    /// End the play for all hosts, well.
    EndPlay = "end_play",
    /// End the batch of `serial`, well.
    EndBatch = "end_batch",
    /// End the play for this host, well.
    EndHost = "end_host",
    /// End the role for this host.
    EndRole = "end_role",
    /// Forget the gathered facts.
    ClearFacts = "clear_facts",
    /// Take failed hosts back into the play.
    ClearHostErrors = "clear_host_errors",
    /// Read the inventory again.
    RefreshInventory = "refresh_inventory",
    /// Close the connection and open a new one.
    ResetConnection = "reset_connection",
    /// Do nothing.
    Noop = "noop",
}

/// Where a task's variables come from, apart from host and play.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The role.
    pub role: Option<Arc<Role>>,
    /// `vars:` of role entry, blocks, imports and the task itself, outermost first.
    pub vars: Vec<Arc<VarMap>>,
    /// `vars:` of dynamic includes above the task, outermost first: they win over facts that were set.
    pub include_params: Vec<Arc<VarMap>>,
    /// The folder of the playbook.
    pub playbook_folder: String,
}

impl Scope {
    /// See [`Task::candidates`]; `file` is the file that names it.
    #[must_use]
    pub fn candidates(&self, kind: &str, name: &str, file: &str) -> Vec<String> {
        if name.starts_with('/') {
            return vec![crate::files::clean(name)];
        }
        let mut folders: Vec<String> = Vec::new();
        if let Some(role) = &self.role {
            for role in std::iter::once(role).chain(role.parents.iter().rev()) {
                folders.extend([crate::files::join(&role.path, kind), role.path.clone()]);
                if kind != "tasks" {
                    folders.push(crate::files::join(&role.path, "tasks"));
                }
            }
        }
        let here = crate::files::folder_of(file);
        folders.extend([crate::files::join(&here, kind), here]);
        folders.extend([crate::files::join(&self.playbook_folder, kind), self.playbook_folder.clone()]);
        let mut paths: Vec<String> = Vec::new();
        for folder in folders {
            let path = crate::files::join(&folder, name);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }
}

/// A role in the place where it is used.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name as the playbook wrote it.
    pub name: String,
    /// Its folder (`role_path`).
    pub path: String,
    /// `defaults/main.yml`.
    pub defaults: Arc<VarMap>,
    /// `vars/main.yml`.
    pub vars: Arc<VarMap>,
    /// Parameters that its entry gives beside the keywords (`{role: kafka, port: 9092}`).
    pub params: Arc<VarMap>,
    /// The roles that depend on it or take it in, outermost first.
    pub parents: Vec<Arc<Role>>,
    /// Its variables are visible to the rest of the play.
    pub public: bool,
}

/// What applies to a task: its own keywords and the inherited ones.
#[derive(Debug, Clone, Default)]
pub struct Keywords {
    /// All must hold, outermost first.
    pub when: Vec<Condition>,
    /// The tags, inherited ones included.
    pub tags: Vec<String>,
    /// Run as another user.
    pub r#become: Option<Setting<bool>>,
    /// Which user; root when not given.
    pub become_user: Option<Template>,
    /// How; the agent needs none, so it is only kept for showing.
    pub become_method: Option<Template>,
    /// Mappings of environment variables (or templates that give one), outermost first; later ones win.
    pub environment: Vec<Node>,
    /// Go on after a failure.
    pub ignore_errors: Option<Setting<bool>>,
    /// Go on with a host that did not answer.
    pub ignore_unreachable: Option<Setting<bool>>,
    /// A failure on one host ends the play for all.
    pub any_errors_fatal: Option<Setting<bool>>,
    /// Check mode for this task, whatever the run says.
    pub check_mode: Option<Setting<bool>>,
    /// Diffs for this task, whatever the run says.
    pub diff: Option<Setting<bool>>,
    /// Neither arguments nor results are shown or logged.
    pub no_log: Option<Setting<bool>>,
    /// Only on the first host of the batch, for all.
    pub run_once: Option<Setting<bool>>,
    /// On another host.
    pub delegate_to: Option<Template>,
    /// Facts belong to the host that it was delegated to.
    pub delegate_facts: Option<Setting<bool>>,
    /// At most so many hosts at a time.
    pub throttle: Option<Setting<u32>>,
    /// Seconds that it may take.
    pub timeout: Option<Setting<u32>>,
    /// Arguments for modules that do not give them, by the module's short name, outermost first.
    pub module_defaults: BTreeMap<String, Vec<Node>>,
}

/// The loop of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Loop {
    /// How the items come of the value.
    pub kind: LoopKind,
    /// The value: a list, or a template that gives one.
    pub over: Node,
    /// Where the keyword stands.
    pub span: Span,
    /// Names and behaviour.
    pub control: LoopControl,
}

/// How the items of a loop come of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoopKind {
    /// `loop:`, the list as it is.
    Loop,
    /// `with_X:`, what the lookup X makes of the value: `items`, `dict`, `first_found`, ...
    With(String),
}

/// `loop_control`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopControl {
    /// The name of the item's variable; `item` when not given.
    pub loop_var: String,
    /// The name of a variable for the item's number, from 0.
    pub index_var: Option<String>,
    /// What is shown instead of the item.
    pub label: Option<Node>,
    /// Seconds between two items.
    pub pause: Option<Setting<f64>>,
    /// The variable `ansible_loop` is wanted.
    pub extended: bool,
    /// Leave the loop after an item when all hold.
    pub break_when: Vec<Condition>,
}

impl Default for LoopControl {
    fn default() -> Self {
        Self {
            loop_var: "item".to_owned(),
            index_var: None,
            label: None,
            pause: None,
            extended: false,
            break_when: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counts_or_shares_of_the_hosts() {
        let cases = [
            ("2", 10, Some(2)),
            ("0", 10, Some(10)),
            ("30%", 10, Some(3)),
            ("1%", 10, Some(1)),
            (" 100 % ", 7, Some(7)),
            ("120%", 7, None),
            ("-1", 7, None),
            ("many", 7, None),
        ];
        for (text, total, wanted) in cases {
            assert_eq!(Batch::parse(text).and_then(|batch| batch.size(total)), wanted, "{text} of {total}");
        }
    }

    #[test]
    fn a_file_is_looked_for_in_the_role_first_and_beside_the_playbook_last() {
        let role = |name: &str, parents| {
            Arc::new(Role {
                name: name.to_owned(),
                path: format!("roles/{name}"),
                defaults: Arc::default(),
                vars: Arc::default(),
                params: Arc::default(),
                parents,
                public: true,
            })
        };
        let kafka = role("kafka", vec![role("stack", vec![])]);
        let scope = Scope { role: Some(kafka), playbook_folder: ".".to_owned(), ..Scope::default() };
        assert_eq!(
            scope.candidates("templates", "server.j2", "roles/kafka/tasks/main.yml"),
            [
                "roles/kafka/templates/server.j2",
                "roles/kafka/server.j2",
                "roles/kafka/tasks/server.j2",
                "roles/stack/templates/server.j2",
                "roles/stack/server.j2",
                "roles/stack/tasks/server.j2",
                "roles/kafka/tasks/templates/server.j2",
                "templates/server.j2",
                "server.j2",
            ]
        );
        assert_eq!(scope.candidates("files", "/etc/x", "a.yml"), ["/etc/x"]);
    }

    #[test]
    fn every_meta_word_is_read_back() {
        for word in Meta::WORDS {
            assert_eq!(Meta::parse(word).map(Meta::as_str), Some(*word));
        }
    }
}
