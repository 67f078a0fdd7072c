//! A run: everything that its plays share, and the questions that they ask it.

use super::action::Hashes;
use super::disk::RecordedFiles;
use super::dispatcher::Events;
use super::fleet_hosts::{FleetHosts, agent_address};
use super::hosts::RunHost;
use super::link::{Dial, Follow, Link, LinkError};
use super::play::{Hosts, PlayRun, Stop};
use super::task::{Item, TaskFailure};
use super::vars::{self, Shared, TaskVars};
use crate::history::{OpRecord, Store};
use kfleet_model::event::TaskRef;
use kfleet_model::op::Lease;
use kfleet_model::{Class, ClusterName, Generation, HostName, Map, Op, OpEnd, OpId, RunId, Value};
use kfleet_playbook::catalogue::Catalogue;
use kfleet_playbook::files::Files as _;
use kfleet_playbook::parse::{self, IncludeCall, RoleParts};
use kfleet_playbook::plan::{
    Action, Batch, Condition, Loop, LoopKind, Plan, Play, Setting, Step, Task, Template, VarMap,
};
use kfleet_playbook::tags::TagChoice;
use kfleet_playbook::template::{Engine, TemplateError, Vars};
use kfleet_playbook::vars::Store as VarStore;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why a run can not go on.
#[derive(Debug)]
pub struct RunError {
    /// Whose fault.
    pub class: Class,
    /// What, with its causes.
    pub text: String,
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Check mode.
    pub check: bool,
    /// Diff mode.
    pub diff: bool,
    /// How many hosts a task runs on at once.
    pub forks: usize,
    /// Run notified handlers even on failed hosts.
    pub force_handlers: bool,
    /// Results carry long output whole: an ad-hoc command whose results a person reads. Otherwise they carry its head and
    /// tail, unless a task registers them; with `show_output`, all of it is among the events.
    pub whole_results: bool,
    /// Pass the output of running commands on, as events.
    pub show_output: bool,
    /// How often `-v` was given.
    pub verbosity: u32,
    /// How long a task may take unless it says so itself.
    pub task_timeout: Duration,
    /// How long an agent may take to answer.
    pub connect_timeout: Duration,
    /// The agents' port.
    pub agent_port: u16,
    /// Which tasks run.
    pub tags: TagChoice,
    /// Host patterns that narrow all plays.
    pub limit: Option<String>,
}

/// What a run is made of.
pub struct RunInput {
    /// Its id.
    pub id: RunId,
    /// What the operator chose.
    pub options: Options,
    /// The plan.
    pub plan: Plan,
    /// Hosts and their variables.
    pub fleet: FleetHosts,
    /// The variables of `-e`.
    pub extra_vars: Map,
    /// The modules that are known.
    pub catalogue: Catalogue,
    /// The operator's files.
    pub files: Arc<RecordedFiles>,
    /// The fleet's folder of certificates and authorities.
    pub pki: PathBuf,
    /// How agents are reached.
    pub dial: Arc<dyn Dial>,
    /// The run's event stream.
    pub events: Events,
    /// The run store.
    pub store: Store,
    /// Who runs it, for people.
    pub owner: String,
    /// How often it was resumed, this time included.
    pub resumes: u32,
    /// Outcomes of earlier parts of the run.
    pub earlier: Vec<OpRecord>,
}

/// A run in progress.
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What the operator chose.
    pub options: Options,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Hosts and their variables.
    pub fleet: Arc<FleetHosts>,
    /// The event stream.
    pub events: Events,
    /// Fires at the first Ctrl-C: nothing new begins.
    pub cancel: CancellationToken,
    /// Fires at the second Ctrl-C: what runs is stopped.
    pub cancel_now: CancellationToken,
    /// The lease of the cluster that is being rolled.
    pub lease: Mutex<Option<Lease>>,
    pub(super) extra_vars: Arc<VarStore>,
    pub(super) engine: Engine,
    pub(super) pki: PathBuf,
    pub(super) hosts: Arc<BTreeMap<HostName, Arc<RunHost>>>,
    files: Arc<RecordedFiles>,
    catalogue: Catalogue,
    parse_options: parse::Options,
    dial: Arc<dyn Dial>,
    links: Mutex<BTreeMap<HostName, Arc<Link>>>,
    hashes: Hashes,
    store: Store,
    owner: String,
    resumes: u32,
    earlier: BTreeMap<(HostName, String), OpRecord>,
    failed_safe: AtomicBool,
}

/// What is known of an op from an earlier part of the run.
pub enum Earlier {
    /// It was done; this is its outcome.
    Done(Box<OpEnd>),
    /// It has to be run, or found again on its agent.
    Run {
        /// The op with the id of this attempt.
        op: Box<Op>,
        /// Which attempt it is.
        attempt: u32,
    },
}

/// The names by which a handler can be notified.
#[derive(Debug, Clone, Default)]
pub struct HandlerNames {
    /// Its own: with and without its role.
    pub names: BTreeSet<String>,
    /// Those that it listens to.
    pub topics: BTreeSet<String>,
}

impl Run {
    /// Makes a run; nothing is connected yet.
    #[must_use]
    pub fn start(input: RunInput) -> Arc<Self> {
        let lookups = Arc::new(super::lookups::ControllerLookups::new(Arc::clone(&input.files)));
        let mut extra_vars = VarStore::of_operator();
        extra_vars.extend(input.extra_vars.clone());
        let hosts =
            input.fleet.inventory.hosts().map(|host| (host.name.clone(), RunHost::new(host.name.clone()))).collect();
        let earlier = input.earlier.into_iter().map(|op| ((op.host.clone(), op.op_key.clone()), op)).collect();
        Arc::new(Self {
            id: input.id,
            options: input.options,
            plan: Arc::new(input.plan),
            fleet: Arc::new(input.fleet),
            events: input.events,
            cancel: CancellationToken::new(),
            cancel_now: CancellationToken::new(),
            lease: Mutex::new(None),
            parse_options: parse::Options { extra_vars: input.extra_vars, ..parse::Options::default() },
            extra_vars: Arc::new(extra_vars),
            engine: Engine::new(lookups),
            pki: input.pki,
            hosts: Arc::new(hosts),
            files: input.files,
            catalogue: input.catalogue,
            dial: input.dial,
            links: Mutex::default(),
            hashes: Hashes::default(),
            store: input.store,
            owner: input.owner,
            resumes: input.resumes,
            earlier,
            failed_safe: AtomicBool::new(false),
        })
    }

    /// All hosts of the run with their counts.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<RunHost>> {
        self.hosts.values()
    }

    /// A rolling operation was refused.
    pub fn mark_failed_safe(&self) {
        self.failed_safe.store(true, Ordering::Relaxed);
    }

    /// Whether one was.
    #[must_use]
    pub fn is_failed_safe(&self) -> bool {
        self.failed_safe.load(Ordering::Relaxed)
    }

    /// A mistake of the operator's files that only showed itself now.
    #[must_use]
    pub fn input(&self, text: impl Into<String>) -> Stop {
        Stop::Error(RunError { class: Class::Input, text: text.into() })
    }

    fn internal(&self, error: &(dyn std::error::Error + 'static)) -> Stop {
        Stop::Error(RunError { class: Class::Internal, text: crate::report::chain(error) })
    }

    // ---- hosts and links ----

    /// The hosts of a play, in the inventory's order.
    ///
    /// # Errors
    /// When its pattern or `--limit` can not be read or names nothing that is known.
    pub fn play_hosts(&self, play: &Play) -> Result<Hosts, Stop> {
        let mut patterns = Vec::new();
        for template in &play.hosts {
            patterns.push(Template { text: self.play_text(play, template)?, span: template.span.clone() });
        }
        let (names, wrong) = self.fleet.select(&patterns);
        if wrong.has_errors() {
            return Err(self.input(crate::report::diagnostics_plain(&wrong)));
        }
        Ok(names.iter().filter_map(|name| self.hosts.get(name)).map(Arc::clone).collect())
    }

    /// The link to a host's agent; made at the first use.
    ///
    /// # Errors
    /// When the host is not in the inventory.
    pub fn link(&self, host: &HostName) -> Result<Arc<Link>, LinkError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(host) {
            return Ok(Arc::clone(link));
        }
        if !self.hosts.contains_key(host) {
            let text = format!("{host} is not in the inventory, so no agent is known for it");
            return Err(LinkError::Unreachable(text));
        }
        let address = agent_address(
            host,
            self.host_text(host, "ansible_host").or_else(|| self.host_text(host, "ansible_ssh_host")).as_deref(),
            self.host_text(host, "kfleet_port").and_then(|port| port.parse().ok()).unwrap_or(self.options.agent_port),
        );
        let link = Arc::new(Link::new(host.clone(), address, self.options.connect_timeout, Arc::clone(&self.dial)));
        links.insert(host.clone(), Arc::clone(&link));
        Ok(link)
    }

    /// Runs an op that no task asked for.
    ///
    /// # Errors
    /// As [`Link::perform`].
    pub async fn perform(&self, host: &HostName, op: &Op) -> Result<OpEnd, LinkError> {
        let follow =
            Follow { events: &self.events, show_output: false, keep_output: false, cancel: self.cancel_now.clone() };
        self.link(host)?.perform(op, follow).await
    }

    /// A variable of a host as text, outside any play.
    #[must_use]
    pub fn host_text(&self, host: &HostName, name: &str) -> Option<String> {
        let vars = vars::of_host(self, host);
        vars.get(name)?;
        let value = self.engine.expression(name, &vars).ok()?;
        kfleet_model::module::text(&value)
    }

    // ---- templates ----

    /// The variables of a task on a host.
    #[must_use]
    pub fn task_vars(&self, walk: &PlayRun<'_>, shared: &Arc<Shared>, task: &Task, host: &Arc<RunHost>) -> TaskVars {
        vars::of_task(self, walk.play, shared, task, host)
    }

    /// The first of a play's candidates for a file of variables that exists for a host. A template that fails means
    /// that this candidate does not exist, as in Ansible before facts are gathered.
    pub(super) fn open_vars_file(
        &self,
        play: &Play,
        candidates: &[Template],
        host: &Arc<RunHost>,
    ) -> Option<Arc<VarMap>> {
        let vars = vars::of_host_with_facts(self, play, host);
        candidates.iter().find_map(|candidate| {
            let name = self.render_text(candidate, &vars).ok()?;
            let path = kfleet_playbook::files::join(&play.folder, &name);
            let mut diagnostics = kfleet_playbook::Diagnostics::new();
            parse::load_vars_file(&*self.files, &path, &path, &mut diagnostics)
        })
    }

    fn failed(&self, error: &TemplateError, at: &kfleet_playbook::Span) -> TaskFailure {
        TaskFailure(format!("{error} ({})", at.short()))
    }

    /// Renders a template to a value.
    ///
    /// # Errors
    /// When it fails; the text names the place.
    pub fn render(&self, template: &Template, vars: &TaskVars) -> Result<Value, TaskFailure> {
        if super::task::is_fixed(template) {
            return Ok(Value::String(template.text.clone()));
        }
        self.engine.render(&template.text, vars).map_err(|error| self.failed(&error, &template.span))
    }

    /// Renders a template to text.
    ///
    /// # Errors
    /// When it fails or gives a list or mapping.
    pub fn render_text(&self, template: &Template, vars: &TaskVars) -> Result<String, TaskFailure> {
        let value = self.render(template, vars)?;
        kfleet_model::module::text(&value).ok_or_else(|| {
            TaskFailure(format!("{} must give a text, not {value} ({})", template.text, template.span.short()))
        })
    }

    /// Renders all texts in a value.
    ///
    /// # Errors
    /// When one fails.
    pub fn render_value(&self, value: &Value, vars: &TaskVars) -> Result<Value, Box<TemplateError>> {
        self.engine.render_value(value, vars)
    }

    /// The value of a bare expression.
    ///
    /// # Errors
    /// When it fails.
    pub fn evaluate(&self, expression: &str, vars: &TaskVars) -> Result<Value, Box<TemplateError>> {
        self.engine.expression(expression, vars)
    }

    /// Whether a bare condition holds.
    ///
    /// # Errors
    /// When it fails.
    pub fn holds(&self, expression: &str, vars: &TaskVars) -> Result<bool, Box<TemplateError>> {
        self.engine.condition(expression, vars).map(|(holds, _)| holds)
    }

    /// Whether a condition of a task holds.
    ///
    /// # Errors
    /// When it fails; the text names the place.
    pub fn condition(&self, condition: &Condition, vars: &TaskVars) -> Result<bool, TaskFailure> {
        self.holds(&condition.expression, vars).map_err(|error| self.failed(&error, &condition.span))
    }

    /// A keyword's value for a host.
    ///
    /// # Errors
    /// When its template fails or gives something of another type.
    pub fn setting<T: Clone>(
        &self,
        setting: &Setting<T>,
        vars: &TaskVars,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, TaskFailure> {
        match setting {
            Setting::Fixed { value, .. } => Ok(value.clone()),
            Setting::Open(template) => {
                let value = self.render(template, vars)?;
                read(&value).ok_or_else(|| {
                    TaskFailure(format!(
                        "{} gives {value}, which does not fit here ({})",
                        template.text,
                        template.span.short()
                    ))
                })
            }
        }
    }

    /// A play's yes or no.
    ///
    /// # Errors
    /// When its template fails.
    pub fn fixed_or_render(&self, setting: &Setting<bool>, play: &Play) -> Result<bool, Stop> {
        match setting {
            Setting::Fixed { value, .. } => Ok(*value),
            Setting::Open(template) => {
                let value = self.play_value(play, template)?;
                kfleet_model::module::boolean(&value)
                    .ok_or_else(|| self.input(format!("{}: {value} is not a boolean", template.span.short())))
            }
        }
    }

    fn play_value(&self, play: &Play, template: &Template) -> Result<Value, Stop> {
        let vars = vars::of_play(self, play);
        self.engine
            .render(&template.text, &vars)
            .map_err(|error| self.input(format!("{}: {error}", template.span.short())))
    }

    fn play_text(&self, play: &Play, template: &Template) -> Result<String, Stop> {
        let value = self.play_value(play, template)?;
        match value {
            Value::Array(items) => {
                Ok(items.iter().filter_map(kfleet_model::module::text).collect::<Vec<_>>().join(","))
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Ok(kfleet_model::module::text(&other).unwrap_or_default())
            }
        }
    }

    /// A value of the play's own keywords.
    ///
    /// # Errors
    /// When a template in it fails.
    pub fn render_for_play(&self, play: &Play, value: &Value) -> Result<Value, Stop> {
        let vars = vars::of_play(self, play);
        self.engine.render_value(value, &vars).map_err(|error| self.input(format!("{}: {error}", play.span.short())))
    }

    /// The play's name for people.
    #[must_use]
    pub fn play_title(&self, play: &Play) -> String {
        match &play.name {
            Some(name) => self.play_text(play, name).unwrap_or_else(|_| name.text.clone()),
            None => play.title(),
        }
    }

    /// The cluster that a rolling play rolls: its host pattern, which must be one name.
    ///
    /// # Errors
    /// When the pattern is more than a name.
    pub fn cluster_name(&self, play: &Play) -> Result<ClusterName, String> {
        let first = play.hosts.first().ok_or_else(|| "a rolling play needs hosts".to_owned())?;
        let text =
            self.play_text(play, first).map_err(|_| format!("{}: the host pattern fails", first.span.short()))?;
        ClusterName::new(text.trim()).map_err(|error| {
            format!("{}: a rolling play needs the name of one group as its hosts: {error}", first.span.short())
        })
    }

    /// The sizes of a play's batches; the last one is repeated by the caller.
    ///
    /// # Errors
    /// When a template fails or gives no size.
    pub fn batch_sizes(&self, play: &Play, total: usize) -> Result<Vec<usize>, Stop> {
        let mut sizes = Vec::new();
        for batch in &play.serial {
            let batch = match batch {
                Batch::Open(template) => {
                    let text = self.play_text(play, template)?;
                    Batch::parse(&text)
                        .ok_or_else(|| self.input(format!("{}: {text:?} is not a batch size", template.span.short())))?
                }
                Batch::Count(_) | Batch::Percent(_) => batch.clone(),
            };
            sizes.extend(batch.size(total));
        }
        Ok(sizes)
    }

    // ---- tasks ----

    /// The task is chosen by the tags.
    #[must_use]
    pub fn selected(&self, task: &Task) -> bool {
        task.handler || self.options.tags.takes(&task.keywords.tags)
    }

    /// A task for the events.
    #[must_use]
    pub fn task_ref(&self, play: &Play, task: &Task, host: &Arc<RunHost>, walk: &PlayRun<'_>) -> TaskRef {
        let name = match &task.name {
            Some(name) if name.is_open() => {
                let vars = self.task_vars(walk, &walk.shared(), task, host);
                self.render_text(name, &vars).unwrap_or_else(|_| name.text.clone())
            }
            Some(name) => name.text.clone(),
            None => task.module.clone(),
        };
        TaskRef {
            play: play.index,
            path: task.path.clone(),
            name,
            role: task.role().map(|role| role.name.clone()),
            handler: task.handler,
            location: task.span.short(),
        }
    }

    /// Whether a task runs on one host for all.
    ///
    /// # Errors
    /// When its template fails.
    pub fn run_once(&self, walk: &PlayRun<'_>, task: &Task, host: &Arc<RunHost>) -> Result<bool, Stop> {
        match &task.keywords.run_once {
            None => Ok(false),
            Some(setting) => {
                let vars = self.task_vars(walk, &walk.shared(), task, host);
                self.setting(setting, &vars, kfleet_model::module::boolean).map_err(|failure| self.input(failure.0))
            }
        }
    }

    /// The task that gathers a play's facts.
    #[must_use]
    pub fn gather_task(&self, play: &Play) -> Option<Arc<Task>> {
        vars::gather_task(play)
    }

    /// The items of a loop.
    ///
    /// # Errors
    /// When its template fails or gives no list.
    pub fn loop_items(&self, repeat: &Loop, vars: &TaskVars) -> Result<Vec<Value>, TaskFailure> {
        let value = repeat.over.to_value();
        let rendered = self.render_value(&value, vars).map_err(|error| self.failed(&error, &repeat.span))?;
        let not_a_list =
            |value: &Value| TaskFailure(format!("a loop needs a list, not {value} ({})", repeat.span.short()));
        match &repeat.kind {
            LoopKind::Loop => match rendered {
                Value::Array(items) => Ok(items),
                other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                    Err(not_a_list(&other))
                }
            },
            LoopKind::With(lookup) => {
                // The engine knows the lookups; the terms are given to it as a variable of their own.
                let terms = match rendered {
                    Value::Array(items) => items,
                    other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                        vec![other]
                    }
                };
                let vars = vars.with_registered("_kfleet_terms", Value::Array(terms));
                let expression = format!("query('{lookup}', *_kfleet_terms)");
                match self.evaluate(&expression, &vars).map_err(|error| self.failed(&error, &repeat.span))? {
                    Value::Array(items) => Ok(items),
                    other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                        Err(not_a_list(&other))
                    }
                }
            }
        }
    }

    /// The names by which a handler can be notified.
    ///
    /// # Errors
    /// When a template of a name fails.
    pub fn handler_names(&self, walk: &PlayRun<'_>, handler: &Task) -> Result<HandlerNames, Stop> {
        let mut out = HandlerNames::default();
        let text = |template: &Template| -> Result<String, Stop> {
            if template.is_open() { self.play_text(walk.play, template) } else { Ok(template.text.clone()) }
        };
        if let Some(name) = &handler.name {
            let name = text(name)?;
            if let Some(role) = handler.role() {
                out.names.insert(format!("{} : {name}", role.name));
            }
            out.names.insert(name);
        }
        for topic in &handler.listen {
            out.topics.insert(text(topic)?);
        }
        Ok(out)
    }

    // ---- files ----

    /// The first of a task's candidates for a file that is there.
    ///
    /// # Errors
    /// When none is; the text names all that were tried.
    pub fn find_file(&self, task: &Task, kind: &str, name: &str) -> Result<PathBuf, TaskFailure> {
        self.find(task, kind, name).map(|path| self.files.on_disk(&path))
    }

    fn find(&self, task: &Task, kind: &str, name: &str) -> Result<String, TaskFailure> {
        let candidates = task.candidates(kind, name);
        candidates.iter().find(|path| self.files.kind(path).is_some()).cloned().ok_or_else(|| {
            TaskFailure(format!("{name} is not found; looked at {} ({})", candidates.join(", "), task.span.short()))
        })
    }

    /// The hash of a file of ours.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn sha256(&self, path: &std::path::Path) -> Result<String, TaskFailure> {
        self.hashes.of(path).map_err(|error| TaskFailure(format!("failed to read {}: {error}", path.display())))
    }

    /// Renders a template file.
    ///
    /// # Errors
    /// When it is missing, is not text, or a template in it fails.
    pub fn render_template(&self, task: &Task, src: &str, vars: &TaskVars) -> Result<(String, String), TaskFailure> {
        let path = self.find(task, "templates", src)?;
        let bytes = self.files.read(&path).map_err(|error| TaskFailure(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| TaskFailure(format!("{path} is not UTF-8 text")))?;
        let vars = vars.with_layer(vars::of_template(&path));
        let content =
            self.engine.render_file(&path, &text, &vars).map_err(|error| TaskFailure(format!("{path}: {error}")))?;
        Ok((path, content))
    }

    /// Reads a file of variables.
    ///
    /// # Errors
    /// When it is missing or is no mapping.
    pub fn read_vars(&self, task: &Task, file: &str) -> Result<(String, Map), TaskFailure> {
        let path = self.find(task, "vars", file)?;
        let mut diagnostics = kfleet_playbook::Diagnostics::new();
        let found = parse::load_vars_file(&*self.files, &path, &path, &mut diagnostics);
        match found {
            Some(vars) if !diagnostics.has_errors() => Ok((path, vars.to_map())),
            Some(_) | None => Err(TaskFailure(crate::report::diagnostics_plain(&diagnostics))),
        }
    }

    /// Loads a dynamic include; the key tells which hosts get the same.
    ///
    /// # Errors
    /// When the file or role is missing or wrong.
    pub fn load_include(
        &self,
        walk: &PlayRun<'_>,
        task: &Task,
        vars: &TaskVars,
        item: Option<&(String, Item)>,
    ) -> Result<(String, Vec<Step>), TaskFailure> {
        let part = |template: &Option<Template>| template.as_ref().map(|t| self.render_text(t, vars)).transpose();
        let (name, parts) = match &task.action {
            Action::IncludeTasks { file, .. } => (self.render_text(file, vars)?, RoleParts::default()),
            Action::IncludeRole(call) => {
                let parts = RoleParts {
                    tasks_from: part(&call.tasks_from)?,
                    vars_from: part(&call.vars_from)?,
                    defaults_from: part(&call.defaults_from)?,
                    handlers_from: part(&call.handlers_from)?,
                };
                (self.render_text(&call.name, vars)?, parts)
            }
            Action::Module | Action::Meta(_) => return Err(TaskFailure("not an include".to_owned())),
        };
        let index = item.map_or(0, |(_, item)| item.index);
        let item_vars: Map = item.map(|(name, item)| (name.clone(), item.value.clone())).into_iter().collect();
        let path = format!("{}.i{index}", task.path);
        let call = IncludeCall { task, name: &name, parts, path: &path, vars: item_vars };
        let included = parse::load_include(&*self.files, &self.catalogue, &self.parse_options, &call);
        if included.diagnostics.has_errors() {
            return Err(TaskFailure(crate::report::diagnostics_plain(&included.diagnostics)));
        }
        walk.add_handlers(&included.handlers);
        let key = format!("{name}\u{0}{index}\u{0}{:?}", call.parts);
        Ok((key, included.steps))
    }

    // ---- the journal ----

    /// What an earlier part of the run knows of an op. An op that failed or ended unknown there is tried again under
    /// an id of its own; one without an outcome is asked for by the id that it had, so that the agent can say how it
    /// ended instead of doing it twice.
    pub async fn earlier(&self, host: &HostName, key: &str, mut op: Op) -> Earlier {
        let attempt = match self.earlier.get(&(host.clone(), key.to_owned())) {
            None => 1,
            Some(record) => match &record.end {
                OpEnd::Done { .. } => return Earlier::Done(Box::new(record.end.clone())),
                OpEnd::Failed { .. } | OpEnd::Refused { .. } | OpEnd::Expired { .. } => record.attempt + 1,
                OpEnd::Unknown { .. } if self.idempotent(&op.module) => record.attempt + 1,
                OpEnd::Unknown { .. } => return Earlier::Done(Box::new(record.end.clone())),
            },
        };
        if attempt > 1
            && let Ok(id) = OpId::new(format!("{}-a{attempt}", op.op_id))
        {
            op.op_id = id;
        }
        Earlier::Run { op: Box::new(op), attempt }
    }

    fn idempotent(&self, module: &str) -> bool {
        self.catalogue.get(module).is_some_and(|doc| doc.idempotent)
    }

    /// Keeps an op's outcome for a resumed run. What `no_log` hides is not kept; the agent has its own record.
    pub async fn remember(&self, host: &HostName, key: String, attempt: u32, end: &OpEnd, no_log: bool) {
        if no_log {
            return;
        }
        self.events.store_op(OpRecord { host: host.clone(), op_key: key, attempt, end: end.clone() }).await;
    }

    /// The run was resumed at least once.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumes > 0
    }

    /// A stored step of a roll.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn step(&self, key: &str) -> Result<Option<String>, Stop> {
        self.store.step(&self.id, key).await.map_err(|error| self.internal(&error))
    }

    /// Stores a step of a roll, durably.
    ///
    /// # Errors
    /// When the store can not be written; then nothing may be done.
    pub async fn put_step(&self, key: &str, value: &str) -> Result<(), Stop> {
        if self.options.check {
            return Ok(());
        }
        self.store.put_step(&self.id, key, value).await.map_err(|error| self.internal(&error))
    }

    /// Takes the lease of a cluster; the other answer names its holder.
    ///
    /// # Errors
    /// When the store can not be used.
    pub async fn take_lease(&self, cluster: &ClusterName) -> Result<Result<(), String>, Stop> {
        if self.options.check {
            return Ok(Ok(()));
        }
        let taken = self
            .store
            .take_lease(cluster.as_str(), &self.id, &self.owner, super::process::lives)
            .await
            .map_err(|error| self.internal(&error))?;
        Ok(match taken {
            Ok(generation) => {
                let lease = Lease { cluster: cluster.clone(), generation: Generation(generation) };
                *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
                Ok(())
            }
            Err(holder) => Err(format!("run {} of {}, begun {}", holder.run_id, holder.owner, holder.started)),
        })
    }

    /// Gives the lease back.
    pub async fn release_lease(&self, cluster: &ClusterName) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Err(error) = self.store.release_lease(cluster.as_str(), &self.id).await {
            tracing::warn!(%cluster, "the lease was not given back: {}", crate::report::chain(&error));
        }
    }
}
