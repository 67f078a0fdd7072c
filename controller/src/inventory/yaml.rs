//! Inventories in YAML form.
//!
//! ```yaml
//! kafka:
//!   hosts:
//!     kafka[1:3].example: {rack: a}
//!   vars: {port: 9092}
//!   children:
//!     canary: {hosts: {kafka1.example: }}
//! ```

use super::load::Reader;
use kfleet_model::module::nearest;
use kfleet_playbook::source::Source;
use kfleet_playbook::yaml::{Entry, Node, NodeKind};
use kfleet_playbook::{Code, Diagnostic};
use std::sync::Arc;

const KEYS: [&str; 3] = ["hosts", "vars", "children"];

impl Reader<'_> {
    /// Reads a whole file.
    pub(super) fn yaml(&mut self, source: &Arc<Source>) {
        let Some(node) = kfleet_playbook::yaml::parse(source, self.diagnostics) else { return };
        if node.is_null() {
            return;
        }
        let Some(groups) = node.as_mapping() else {
            let message = format!("an inventory must be a mapping of groups, not {}", node.describe());
            let looks_like_play =
                node.as_list().is_some_and(|items| items.iter().any(|item| item.get("hosts").is_some()));
            let hint = if looks_like_play { "this is a playbook" } else { "write 'GROUP:' and below it 'hosts:'" };
            self.push(Diagnostic::error(Code::Inventory, message).at(&node.span).hint(hint));
            return;
        };
        if let Some(plugin) = groups.iter().find(|entry| entry.key == "plugin") {
            self.push(
                Diagnostic::error(Code::Unsupported, "kfleet has no inventory plugins")
                    .at(&plugin.key_span)
                    .hint("write the hosts down, or let a script make a YAML inventory"),
            );
            return;
        }
        for group in groups {
            self.yaml_group(group);
        }
    }

    fn yaml_group(&mut self, entry: &Entry) {
        let Entry { key: name, key_span, value } = entry;
        if !self.group_name(name, key_span) {
            return;
        }
        self.defined(name, key_span);
        let parts = match &value.value {
            NodeKind::Null => return,
            NodeKind::Mapping(parts) => parts,
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) | NodeKind::Vault(_) => {
                let message = format!("group '{name}' must be a mapping, not {}", value.describe());
                self.push(
                    Diagnostic::error(Code::Inventory, message)
                        .at(&value.span)
                        .hint("write 'hosts:' below it and the hosts below that, each with ':' behind it"),
                );
                return;
            }
        };
        for part in parts {
            match part.key.as_str() {
                "hosts" => self.yaml_hosts(name, &part.value),
                "children" => self.yaml_children(name, &part.value),
                "vars" => self.yaml_vars(name, &part.value),
                _ => {
                    let near = nearest(&part.key, KEYS);
                    let hint = match near {
                        Some(word) => format!("did you mean '{word}'?"),
                        None => format!(
                            "put a host below 'hosts:', a group below 'children:', a variable below 'vars:' of '{name}'"
                        ),
                    };
                    self.push(
                        Diagnostic::error(Code::Inventory, format!("a group has no '{}'", part.key))
                            .at(&part.key_span)
                            .hint(hint),
                    );
                }
            }
        }
    }

    fn yaml_hosts(&mut self, group: &str, node: &Node) {
        match &node.value {
            NodeKind::Null => {}
            NodeKind::Text(text) => {
                for host in self.host_names(&text.text, &node.span) {
                    self.add(group, &host, &node.span, &[]);
                }
            }
            NodeKind::Mapping(hosts) => {
                for host in hosts {
                    let vars = match &host.value.value {
                        NodeKind::Null => &[][..],
                        NodeKind::Mapping(vars) => vars.as_slice(),
                        NodeKind::Bool(_)
                        | NodeKind::Number(_)
                        | NodeKind::Text(_)
                        | NodeKind::List(_)
                        | NodeKind::Vault(_) => {
                            self.not_a_mapping(&format!("the variables of host '{}'", host.key), &host.value);
                            continue;
                        }
                    };
                    for name in self.host_names(&host.key, &host.key_span) {
                        self.add(group, &name, &host.key_span, vars);
                    }
                }
            }
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::List(_) | NodeKind::Vault(_) => {
                self.not_a_mapping("'hosts'", node);
            }
        }
    }

    fn yaml_children(&mut self, group: &str, node: &Node) {
        match &node.value {
            NodeKind::Null => {}
            NodeKind::Mapping(children) => {
                for child in children {
                    self.yaml_group(child);
                    self.child(group, &child.key, &child.key_span);
                }
            }
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) | NodeKind::Vault(_) => {
                self.not_a_mapping("'children'", node);
            }
        }
    }

    fn yaml_vars(&mut self, group: &str, node: &Node) {
        match &node.value {
            NodeKind::Null => {}
            NodeKind::Mapping(vars) => {
                for entry in vars {
                    self.group_var(group, entry.clone());
                }
            }
            NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) | NodeKind::Vault(_) => {
                self.not_a_mapping("'vars'", node);
            }
        }
    }

    fn not_a_mapping(&mut self, what: &str, node: &Node) {
        let mut diagnostic =
            Diagnostic::error(Code::Inventory, format!("{what} must be a mapping, not {}", node.describe()))
                .at(&node.span);
        if node.as_list().is_some() {
            diagnostic = diagnostic.hint("write each name with ':' behind it, without '- ' before it");
        }
        self.push(diagnostic);
    }
}
