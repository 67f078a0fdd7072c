//! How groups contain each other.

use super::{ALL, Inventory, UNGROUPED};
use indexmap::IndexSet;
use kfleet_model::HostName;
use kfleet_playbook::plan::VarMap;
use kfleet_playbook::source::{Source, Span};
use kfleet_playbook::{Code, Diagnostic, Diagnostics};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Inventory {
    /// A group and all groups below it, each once, level by level: the order in which Ansible lists their hosts.
    pub(super) fn below(&self, group: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut waiting = VecDeque::from([group.to_owned()]);
        while let Some(name) = waiting.pop_front() {
            if found.contains(&name) {
                continue;
            }
            if let Some(group) = self.groups.get(&name) {
                waiting.extend(group.children.iter().cloned());
            }
            found.push(name);
        }
        found
    }

    /// A group and all groups that contain it.
    pub(super) fn above(&self, group: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![group.to_owned()];
        while let Some(name) = waiting.pop() {
            if found.insert(name.clone()) {
                let parents = self.groups.values().filter(|other| other.children.contains(name.as_str()));
                waiting.extend(parents.map(|other| other.name.clone()));
            }
        }
        found
    }

    /// Complains of groups that contain themselves, and cuts the last link, so that everything else can go on.
    pub(super) fn cut_cycles(&mut self, diagnostics: &mut Diagnostics) {
        while let Some(chain) = self.cycle() {
            let (Some(first), Some(last)) = (chain.first().cloned(), chain.last().cloned()) else { return };
            let span = self.groups.get(&last).map(|group| group.span.clone());
            let mut diagnostic = Diagnostic::error(
                Code::GroupCycle,
                format!("group '{first}' contains itself: {} -> {first}", chain.join(" -> ")),
            )
            .hint("remove one of these groups from the children of the other");
            if let Some(span) = &span {
                diagnostic = diagnostic.at(span);
            }
            diagnostics.push(diagnostic);
            if let Some(group) = self.groups.get_mut(&last) {
                group.children.shift_remove(&first);
            }
        }
    }

    /// The groups of a cycle, the first one contained in the last one.
    fn cycle(&self) -> Option<Vec<String>> {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for start in self.groups.keys() {
            // The way from the start, and for each group on it how many of its children were looked at.
            let mut way: Vec<(&str, usize)> = vec![(start, 0)];
            while let Some((name, next)) = way.last_mut() {
                let Some(child) = self.groups.get(*name).and_then(|group| group.children.get_index(*next)) else {
                    done.insert(name);
                    way.pop();
                    continue;
                };
                *next += 1;
                if let Some(at) = way.iter().position(|(name, _)| name == child) {
                    return Some(way.iter().skip(at).map(|(name, _)| (*name).to_owned()).collect());
                }
                if !done.contains(child.as_str()) {
                    way.push((child, 0));
                }
            }
        }
        None
    }

    /// Brings what follows from the rest up to date: `all`, `ungrouped`, depths, shared layers of variables.
    pub(super) fn settle(&mut self) {
        let nowhere = Span::start_of(&Source::new("the inventory", ""));
        self.insert_group(ALL, &nowhere);
        self.insert_group(UNGROUPED, &nowhere);
        for name in [ALL, UNGROUPED] {
            if let Some(group) = self.groups.get_mut(name) {
                group.hosts.clear();
            }
        }
        let names: Vec<HostName> = self.hosts.keys().cloned().collect();
        for name in &names {
            self.settle_host(name);
        }
        self.settle_groups();
    }

    /// Brings one host up to date: whether it is in no group, and its layer of variables.
    pub(super) fn settle_host(&mut self, name: &HostName) {
        let mut named = self.groups.values().filter(|group| group.name != ALL && group.name != UNGROUPED);
        let grouped = named.any(|group| group.hosts.contains(name));
        if let Some(ungrouped) = self.groups.get_mut(UNGROUPED) {
            if grouped {
                ungrouped.hosts.shift_remove(name);
            } else {
                ungrouped.hosts.insert(name.clone());
            }
        }
        if let Some(host) = self.hosts.get_mut(name)
            && host.layer.is_none()
        {
            host.layer = Some(VarMap::new(format!("vars of host {name}"), host.vars.clone()));
        }
    }

    /// Brings groups up to date: those below `all`, depths, layers of variables, order.
    pub(super) fn settle_groups(&mut self) {
        let children: BTreeSet<String> = self
            .groups
            .values()
            .filter(|group| group.name != ALL)
            .flat_map(|group| group.children.iter().cloned())
            .collect();
        let named = self.groups.keys().filter(|name| *name != ALL && *name != UNGROUPED && !children.contains(*name));
        let top: IndexSet<String> = std::iter::once(UNGROUPED.to_owned()).chain(named.cloned()).collect();
        if let Some(all) = self.groups.get_mut(ALL) {
            all.children = top;
        }
        let depths = self.depths();
        for (name, group) in &mut self.groups {
            group.depth = depths.get(name).copied().unwrap_or(1);
            if group.layer.is_none() {
                group.layer = Some(VarMap::new(format!("vars of group {name}"), group.vars.clone()));
            }
        }
        // `all` and `ungrouped` come first, as in Ansible's own `groups`.
        self.groups.sort_by_key(|name, _| match name.as_str() {
            ALL => 0,
            UNGROUPED => 1,
            _ => 2,
        });
    }

    /// How far each group is below `all`, by the longest way.
    fn depths(&self) -> BTreeMap<String, usize> {
        let mut depths: BTreeMap<String, usize> = BTreeMap::new();
        let mut waiting = vec![(ALL.to_owned(), 0usize)];
        while let Some((name, depth)) = waiting.pop() {
            // A way longer than the number of groups would be a cycle; those are cut before.
            if depth > self.groups.len() || depths.get(&name).is_some_and(|known| *known >= depth) {
                continue;
            }
            depths.insert(name.clone(), depth);
            if let Some(group) = self.groups.get(&name) {
                waiting.extend(group.children.iter().map(|child| (child.clone(), depth + 1)));
            }
        }
        depths
    }
}
