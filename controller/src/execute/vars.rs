//! The variables of a task on a host: the layers of `kfleet_playbook::vars`, filled with what a run knows.
//!
//! What came from a host (facts, registered results) or of a template (`set_fact`) is untrusted: it is never templated
//! again. Magic variables are made when they are asked for.

use super::hosts::RunHost;
use super::play::PlayRun;
use super::run::Run;
use super::task::Item;
use kfleet_model::{HostName, Map, Value};
use kfleet_playbook::Span;
use kfleet_playbook::plan::{Action, Keywords, LoopControl, Play, Role, Scope, Setting, Task, Template, VarsFile};
use kfleet_playbook::template::{Var, Vars};
use kfleet_playbook::vars::{Layers, Level, Store};
use kfleet_playbook::yaml::Node;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables of a task on a host.
#[derive(Clone)]
pub struct TaskVars(Layers);

impl Vars for TaskVars {
    fn get(&self, name: &str) -> Option<Var> {
        self.0.get(name)
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }
}

fn data(map: Map) -> Arc<Store> {
    let mut store = Store::of_hosts();
    store.extend(map);
    Arc::new(store)
}

impl TaskVars {
    /// The same below one more layer of data.
    #[must_use]
    pub fn with_layer(&self, map: Map) -> Self {
        let mut layers = self.0.clone();
        layers.push(Level::Magic, data(map));
        Self(layers)
    }

    /// The same with a result under its registered name.
    #[must_use]
    pub fn with_registered(&self, name: &str, value: Value) -> Self {
        self.with_layer([(name.to_owned(), value)].into_iter().collect())
    }

    /// The same with an item of a loop.
    #[must_use]
    pub fn with_item(&self, control: &LoopControl, item: &Item, all: &[Value]) -> Self {
        let mut map = Map::new();
        map.insert(control.loop_var.clone(), item.value.clone());
        map.insert("ansible_loop_var".to_owned(), control.loop_var.clone().into());
        if let Some(name) = &control.index_var {
            map.insert(name.clone(), item.index.into());
            map.insert("ansible_index_var".to_owned(), name.clone().into());
        }
        if control.extended {
            map.insert("ansible_loop".to_owned(), extended(item, all));
        }
        self.with_layer(map)
    }
}

fn extended(item: &Item, all: &[Value]) -> Value {
    let (index, length) = (item.index, all.len());
    let mut map = Map::new();
    map.insert("index".to_owned(), (index + 1).into());
    map.insert("index0".to_owned(), index.into());
    map.insert("first".to_owned(), (index == 0).into());
    map.insert("last".to_owned(), (index + 1 == length).into());
    map.insert("length".to_owned(), length.into());
    map.insert("revindex".to_owned(), (length - index).into());
    map.insert("revindex0".to_owned(), (length - index - 1).into());
    map.insert("allitems".to_owned(), all.to_vec().into());
    if let Some(previous) = index.checked_sub(1).and_then(|at| all.get(at)) {
        map.insert("previtem".to_owned(), previous.clone());
    }
    if let Some(next) = all.get(index + 1) {
        map.insert("nextitem".to_owned(), next.clone());
    }
    Value::Object(map)
}

/// The magic variables of a host; each is made when it is asked for.
struct Magic {
    host: HostName,
    shared: Arc<Shared>,
    role: Option<Arc<Role>>,
}

/// What the magic variables of all hosts share during one task.
pub struct Shared {
    fleet: Arc<super::fleet_hosts::FleetHosts>,
    hosts: Arc<BTreeMap<HostName, Arc<RunHost>>>,
    play_hosts_all: Vec<HostName>,
    play_hosts: Vec<HostName>,
    batch: Vec<HostName>,
    folder: String,
    title: String,
    options: super::run::Options,
    extra: Arc<Store>,
    run_id: String,
}

const MAGIC: &[&str] = &[
    "ansible_check_mode",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_limit",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_name",
    "ansible_role_name",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_hostname",
    "inventory_hostname_short",
    "kfleet_run_id",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_path",
];

impl Vars for Magic {
    fn get(&self, name: &str) -> Option<Var> {
        let s = &self.shared;
        let list =
            |hosts: &[HostName]| -> Value { hosts.iter().map(|h| Value::from(h.as_str())).collect::<Vec<_>>().into() };
        let value: Value = match name {
            "inventory_hostname" => self.host.as_str().into(),
            "inventory_hostname_short" => self.host.as_str().split('.').next().unwrap_or_default().into(),
            "group_names" => s.fleet.inventory.group_names(self.host.as_str()).into(),
            "groups" => s.fleet.groups(),
            "hostvars" => return Some(Var::Scope(Arc::new(AllHosts(Arc::clone(s))))),
            "play_hosts" | "ansible_play_batch" => list(&s.batch),
            "ansible_play_hosts" => list(&s.play_hosts),
            "ansible_play_hosts_all" => list(&s.play_hosts_all),
            "ansible_play_name" => s.title.clone().into(),
            "ansible_check_mode" => s.options.check.into(),
            "ansible_diff_mode" => s.options.diff.into(),
            "ansible_verbosity" => s.options.verbosity.into(),
            "ansible_forks" => s.options.forks.into(),
            "ansible_limit" => s.options.limit.clone()?.into(),
            "ansible_version" => version(),
            "playbook_dir" => s.folder.clone().into(),
            "inventory_dir" => s.fleet.folder()?.into(),
            "kfleet_run_id" => s.run_id.clone().into(),
            "role_path" => self.role.as_ref()?.path.clone().into(),
            "role_name" | "ansible_role_name" => self.role.as_ref()?.name.clone().into(),
            "ansible_facts" => self.facts()?,
            _ => return None,
        };
        Some(Var::untrusted(value))
    }

    fn names(&self) -> Vec<String> {
        MAGIC.iter().map(|&name| name.to_owned()).collect()
    }
}

impl Magic {
    /// The facts without their prefix, as `ansible_facts.distribution`.
    fn facts(&self) -> Option<Value> {
        let facts = self.shared.hosts.get(&self.host)?.vars().facts;
        let map: Map = facts
            .iter()
            .map(|(key, value)| (key.strip_prefix("ansible_").unwrap_or(key).to_owned(), value.clone()))
            .collect();
        Some(Value::Object(map))
    }
}

/// The version of ansible-core whose language this is nearest to; roles compare against it.
fn version() -> Value {
    serde_json::json!({"full": "2.19.0", "major": 2, "minor": 19, "revision": 0, "string": "2.19.0"})
}

/// `hostvars`: each host's variables as a scope of their own.
struct AllHosts(Arc<Shared>);

impl Vars for AllHosts {
    fn get(&self, name: &str) -> Option<Var> {
        let (host, state) = self.0.hosts.get_key_value(name)?;
        let mut layers = self.0.fleet.layers(host, &self.0.folder);
        layers.push(Level::Extra, Arc::clone(&self.0.extra) as Arc<dyn Vars>);
        push_changing(&mut layers, state);
        layers.push(Level::Magic, Arc::new(Magic { host: host.clone(), shared: Arc::clone(&self.0), role: None }));
        Some(Var::Scope(Arc::new(layers)))
    }

    fn names(&self) -> Vec<String> {
        self.0.hosts.keys().map(ToString::to_string).collect()
    }
}

fn push_changing(layers: &mut Layers, host: &RunHost) {
    let changing = host.vars();
    layers.push(Level::Facts, changing.facts);
    layers.push(Level::IncludeVars, changing.include_vars);
    layers.push(Level::SetFacts, changing.set_facts);
}

/// The variables of a task on a host.
pub(super) fn of_task(run: &Run, play: &Play, shared: &Arc<Shared>, task: &Task, host: &Arc<RunHost>) -> TaskVars {
    let mut layers = run.fleet.layers(&host.name, &play.folder).with_play(play);
    for file in &play.vars_files {
        if let VarsFile::Open { candidates, .. } = file
            && let Some(map) = run.open_vars_file(play, candidates, host)
        {
            layers.push_map(Level::VarsFiles, &map);
        }
    }
    layers = layers.with_task(task);
    push_changing(&mut layers, host);
    layers.push(Level::Extra, Arc::clone(&run.extra_vars) as Arc<dyn Vars>);
    let role = task.role().map(Arc::clone);
    layers.push(Level::Magic, Arc::new(Magic { host: host.name.clone(), shared: Arc::clone(shared), role }));
    TaskVars(layers)
}

/// The variables of a play's own keywords: no host, so only what all hosts share.
pub(super) fn of_play(run: &Run, play: &Play) -> TaskVars {
    let mut layers = run.fleet.shared_layers(&play.folder).with_play(play);
    layers.push(Level::Extra, Arc::clone(&run.extra_vars) as Arc<dyn Vars>);
    TaskVars(layers).with_layer([("groups".to_owned(), run.fleet.groups())].into_iter().collect())
}

/// The variables of a host outside any play.
pub(super) fn of_host(run: &Run, host: &HostName) -> TaskVars {
    let mut layers = run.fleet.layers(host, ".");
    layers.push(Level::Extra, Arc::clone(&run.extra_vars) as Arc<dyn Vars>);
    TaskVars(layers).with_registered("inventory_hostname", host.as_str().into())
}

/// The variables for naming a host's variable files: inventory, play and facts, without such files themselves.
pub(super) fn of_host_with_facts(run: &Run, play: &Play, host: &Arc<RunHost>) -> TaskVars {
    let mut layers = run.fleet.layers(&host.name, &play.folder).with_play(play);
    push_changing(&mut layers, host);
    layers.push(Level::Extra, Arc::clone(&run.extra_vars) as Arc<dyn Vars>);
    TaskVars(layers).with_registered("inventory_hostname", host.name.as_str().into())
}

/// The variables that a template file has beside the task's.
pub(super) fn of_template(path: &str) -> Map {
    let mut map = Map::new();
    map.insert("ansible_managed".to_owned(), "Ansible managed".into());
    map.insert("template_path".to_owned(), path.into());
    map
}

/// The task that gathers a play's facts, made of the play's own keywords.
pub(super) fn gather_task(play: &Play) -> Option<Arc<Task>> {
    let span: &Span = &play.span;
    let subset: Vec<Value> = play.gather_subset.iter().map(|t| Value::from(t.text.as_str())).collect();
    let mut args = Map::new();
    if !subset.is_empty() {
        args.insert("gather_subset".to_owned(), subset.into());
    }
    let mut keywords: Keywords = play.keywords.clone();
    keywords.tags = vec!["always".to_owned()];
    keywords.when = Vec::new();
    keywords.check_mode = Some(Setting::Fixed { value: false, span: span.clone() });
    Some(Arc::new(Task {
        path: "facts".to_owned(),
        span: span.clone(),
        name: Some(Template { text: "Gathering Facts".to_owned(), span: span.clone() }),
        handler: false,
        module: "setup".to_owned(),
        module_span: span.clone(),
        action: Action::Module,
        args: Node::from_value(&Value::Object(args), span),
        args_from: None,
        around: Arc::new(Keywords::default()),
        keywords: Arc::new(keywords),
        repeat: None,
        register: None,
        notify: Vec::new(),
        listen: Vec::new(),
        changed_when: Vec::new(),
        failed_when: Vec::new(),
        until: Vec::new(),
        retries: None,
        delay: None,
        async_seconds: None,
        poll: None,
        scope: Arc::new(Scope { playbook_folder: play.folder.clone(), ..Scope::default() }),
    }))
}

impl PlayRun<'_> {
    /// What the magic variables of all its hosts share now.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        let names = |hosts: &[Arc<RunHost>]| hosts.iter().map(|host| host.name.clone()).collect::<Vec<_>>();
        let active = |hosts: &[Arc<RunHost>]| {
            hosts.iter().filter(|host| host.active()).map(|host| host.name.clone()).collect::<Vec<_>>()
        };
        let run = self.run;
        Arc::new(Shared {
            fleet: Arc::clone(&run.fleet),
            hosts: Arc::clone(&run.hosts),
            play_hosts_all: names(&self.all),
            play_hosts: active(&self.all),
            batch: active(&self.batch),
            folder: self.play.folder.clone(),
            title: self.play.title(),
            options: run.options.clone(),
            extra: Arc::clone(&run.extra_vars),
            run_id: run.id.to_string(),
        })
    }
}
