//! The variables of a host in a task: layers in Ansible's order of precedence.
//!
//! Purpose: which of several definitions of a variable counts. Layers are shared and stay where they are; putting
//! the variables of a host and a task together clones a few pointers, and reading one copies nothing.
//! Place in the flow: the inventory gives the layers of a host, the play and the task add theirs, the executor adds
//! facts, results and magic variables; the template engine reads them as [`Vars`].
//! Not here: rendering. A variable's text stays a template until it is used.
//!
//! Source of the order: "Variable precedence" in Ansible's documentation, and its variable manager for what that
//! leaves open (roles of a play, dependencies, magic variables).

use crate::plan::{Play, Role, Task, Values, VarMap, VarsFile};
use crate::template::{Var, Vars};
use kfleet_model::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where variables come from, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `defaults/` of the play's roles, then of the task's own role.
    RoleDefaults,
    /// The group `all` in an inventory file.
    InventoryAll,
    /// Any other group in an inventory file, outer groups first.
    InventoryGroups,
    /// `group_vars/all` beside an inventory.
    InventoryGroupVarsAll,
    /// `group_vars/all` beside the playbook.
    PlaybookGroupVarsAll,
    /// `group_vars/` beside an inventory.
    InventoryGroupVars,
    /// `group_vars/` beside the playbook.
    PlaybookGroupVars,
    /// A host in an inventory file.
    InventoryHost,
    /// `host_vars/` beside an inventory.
    InventoryHostVars,
    /// `host_vars/` beside the playbook.
    PlaybookHostVars,
    /// Facts that the agent gathered.
    Facts,
    /// `vars:` of the play.
    PlayVars,
    /// `vars_files:` of the play.
    VarsFiles,
    /// `vars/` of the play's roles, then of the task's own role.
    RoleVars,
    /// `vars:` of role entries, blocks and the task.
    TaskVars,
    /// `include_vars`.
    IncludeVars,
    /// `set_fact` and registered results.
    SetFacts,
    /// Parameters of a role entry.
    RoleParams,
    /// `vars:` of dynamic includes, and the item of a loop.
    IncludeParams,
    /// `-e`.
    Extra,
    /// What the executor itself knows: `inventory_hostname`, `groups`, `hostvars`, ...
    Magic,
}

/// Layers of variables, sorted by level; within a level the later one wins.
#[derive(Clone, Default)]
pub struct Layers {
    layers: Vec<(Level, Arc<dyn Vars>)>,
}

impl Layers {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer above those of its level.
    pub fn push(&mut self, level: Level, layer: Arc<dyn Vars>) {
        let at = self.layers.partition_point(|(other, _)| *other <= level);
        self.layers.insert(at, (level, layer));
    }

    /// Adds variables of a file or a mapping, unless there are none.
    pub fn push_map(&mut self, level: Level, map: &Arc<VarMap>) {
        if !map.is_empty() {
            self.push(level, Arc::clone(map) as Arc<dyn Vars>);
        }
    }

    /// The layers of a host with those of a play.
    #[must_use]
    pub fn with_play(&self, play: &Play) -> Self {
        let mut layers = self.clone();
        for role in &play.role_list {
            layers.push_map(Level::RoleDefaults, &role.defaults);
            if role.public {
                layers.push_map(Level::RoleVars, &role.vars);
            }
        }
        layers.push_map(Level::PlayVars, &play.vars);
        for file in &play.vars_files {
            if let VarsFile::Loaded(vars) = file {
                layers.push_map(Level::VarsFiles, vars);
            }
        }
        layers
    }

    /// The layers of a host and its play with those of a task.
    #[must_use]
    pub fn with_task(&self, task: &Task) -> Self {
        let mut layers = self.clone();
        let chain: Vec<&Arc<Role>> =
            task.role().map(|role| role.parents.iter().chain(std::iter::once(role)).collect()).unwrap_or_default();
        for role in chain {
            layers.push_map(Level::RoleDefaults, &role.defaults);
            layers.push_map(Level::RoleVars, &role.vars);
            layers.push_map(Level::RoleParams, &role.params);
        }
        for vars in &task.scope.vars {
            layers.push_map(Level::TaskVars, vars);
        }
        for vars in &task.scope.include_params {
            layers.push_map(Level::IncludeParams, vars);
        }
        layers
    }

    /// The level from which a variable comes, and how many others it hides: for `kfleet inventory` and messages.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<Level> {
        self.layers.iter().rev().find(|(_, layer)| layer.get(name).is_some()).map(|(level, _)| *level)
    }
}

impl Vars for Layers {
    fn get(&self, name: &str) -> Option<Var> {
        self.layers.iter().rev().find_map(|(_, layer)| layer.get(name))
    }

    fn names(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.layers.iter().flat_map(|(_, layer)| layer.names()).collect();
        names.into_iter().collect()
    }
}

impl Vars for VarMap {
    fn get(&self, name: &str) -> Option<Var> {
        let value = self.values.get(name)?;
        Some(Var::Value { value: Arc::clone(value), trusted: true })
    }

    fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

/// Variables that change during a run: facts, registered results, `set_fact`.
#[derive(Debug, Clone, Default)]
pub struct Store {
    values: Values,
    trusted: bool,
}

impl Store {
    /// For what comes of hosts: facts and registered results. Their texts are data and never templates.
    #[must_use]
    pub fn of_hosts() -> Self {
        Self::default()
    }

    /// For what the operator or the program itself wrote.
    #[must_use]
    pub fn of_operator() -> Self {
        Self { values: Values::new(), trusted: true }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.values.insert(name.into(), Arc::new(value.into()));
    }

    /// Sets all of a mapping.
    pub fn extend(&mut self, values: Map) {
        self.values.extend(values.into_iter().map(|(name, value)| (name, Arc::new(value))));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// The value of a variable.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|value| &**value)
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), &**value))
    }
}

impl Vars for Store {
    fn get(&self, name: &str) -> Option<Var> {
        let value = self.values.get(name)?;
        Some(Var::Value { value: Arc::clone(value), trusted: self.trusted })
    }

    fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Arc<VarMap> {
        VarMap::from_values("test", value.as_object().unwrap().clone())
    }

    fn text(layers: &Layers, name: &str) -> String {
        match layers.get(name) {
            Some(Var::Value { value, .. }) => value.as_str().unwrap().to_owned(),
            Some(Var::Scope(_)) => "a scope".to_owned(),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_stronger_level_counts_in_whatever_order_layers_come() {
        let order = [
            Level::RoleDefaults,
            Level::InventoryAll,
            Level::InventoryGroups,
            Level::InventoryGroupVarsAll,
            Level::PlaybookGroupVarsAll,
            Level::InventoryGroupVars,
            Level::PlaybookGroupVars,
            Level::InventoryHost,
            Level::InventoryHostVars,
            Level::PlaybookHostVars,
            Level::Facts,
            Level::PlayVars,
            Level::VarsFiles,
            Level::RoleVars,
            Level::TaskVars,
            Level::IncludeVars,
            Level::SetFacts,
            Level::RoleParams,
            Level::IncludeParams,
            Level::Extra,
            Level::Magic,
        ];
        for (weak, strong) in order.iter().zip(order.iter().skip(1)) {
            let mut layers = Layers::new();
            layers.push(*strong, map(json!({"x": "strong"})));
            layers.push(*weak, map(json!({"x": "weak", "y": "below"})));
            assert_eq!(text(&layers, "x"), "strong", "{strong:?} over {weak:?}");
            assert_eq!(text(&layers, "y"), "below");
            assert_eq!(layers.origin("x"), Some(*strong));
            assert_eq!(layers.names(), ["x", "y"]);
        }
    }

    #[test]
    fn the_later_of_two_layers_of_a_level_counts() {
        let mut layers = Layers::new();
        layers.push(Level::InventoryGroups, map(json!({"x": "outer"})));
        layers.push(Level::InventoryGroups, map(json!({"x": "inner"})));
        assert_eq!(text(&layers, "x"), "inner");
        assert_eq!(text(&layers, "z"), "nothing");
    }

    #[test]
    fn a_task_sees_its_role_chain_and_its_blocks_from_the_inside_out() {
        let role = |name: &str, parents| {
            Arc::new(Role {
                name: name.to_owned(),
                path: format!("roles/{name}"),
                defaults: map(json!({"d": name, "only_default": name})),
                vars: map(json!({"v": name, "d": format!("vars of {name}")})),
                params: map(json!({"p": name})),
                parents,
                public: true,
            })
        };
        let kafka = role("kafka", vec![role("stack", vec![])]);
        let scope = crate::plan::Scope {
            role: Some(kafka),
            vars: vec![map(json!({"b": "block", "t": "block"})), map(json!({"t": "task"}))],
            include_params: vec![map(json!({"f": "include"}))],
            playbook_folder: ".".to_owned(),
        };
        let files = crate::files::MemoryFiles::new([("site.yml", "- hosts: a\n  tasks:\n    - ping:\n")]);
        let doc = crate::catalogue::Catalogue::new(&[], ["debug"]);
        let loaded =
            crate::parse::load_playbooks(&files, &doc, &crate::parse::Options::default(), &["site.yml".to_owned()]);
        let mut task = (**loaded.plan.plays[0].all_tasks().next().unwrap()).clone();
        task.scope = Arc::new(scope);
        let mut host = Layers::new();
        let mut facts = Store::of_hosts();
        facts.set("f", "fact");
        facts.set("only_fact", "{{ never }}");
        host.push(Level::SetFacts, Arc::new(facts));
        let layers = host.with_play(&loaded.plan.plays[0]).with_task(&task);
        let cases = [
            ("only_default", "kafka"),
            ("d", "vars of kafka"),
            ("v", "kafka"),
            ("p", "kafka"),
            ("b", "block"),
            ("t", "task"),
            ("f", "include"),
        ];
        for (name, wanted) in cases {
            assert_eq!(text(&layers, name), wanted, "{name}");
        }
        assert!(matches!(layers.get("only_fact"), Some(Var::Value { trusted: false, .. })));
        assert!(matches!(layers.get("t"), Some(Var::Value { trusted: true, .. })));
    }
}
