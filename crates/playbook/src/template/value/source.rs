//! Lists and mappings of the caller's variables, touched piece by piece.
//!
//! A node remembers the variable's shared value and the path inside it. Reaching a member walks the path again, which is
//! a few hash look-ups; in exchange a template that reads one fact out of a thousand converts one fact. When a container
//! is used as a whole (iterated, printed, changed) it is converted one level deep and kept, so that a change is seen
//! by the rest of the template.

use std::cell::OnceCell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value as Json;

use super::super::vars::{VAULT_KEY, Vars};
use super::{Value, key::Key};
use crate::yaml::UNSAFE_KEY;

/// Whose variables a text is evaluated with; nothing stands for those of the rendering itself.
pub(in super::super) type Scope = Option<Arc<dyn Vars>>;

/// One step into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Step {
    Key(Arc<str>),
    Index(usize),
}

/// A container that belongs to a variable.
pub(in super::super) struct Source {
    kind: Kind,
    /// The converted form, once somebody needed it whole.
    pub(in super::super) whole: OnceCell<Value>,
}

enum Kind {
    Json { root: Arc<Json>, name: Arc<str>, path: Vec<Step>, trusted: bool, scope: Scope },
    Vars(Arc<dyn Vars>),
}

/// A member as it was found: still to be templated, or ready.
pub(in super::super) enum Member {
    Ready(Value),
    /// Text of the operator's that is a template; evaluate it in the scope and under that name.
    Template {
        text: Arc<str>,
        name: String,
        scope: Scope,
    },
    /// Ciphertext, by the variable's name.
    Encrypted(String),
}

impl Source {
    /// The value of a variable: a container node, plain data, or text to be templated.
    pub(in super::super) fn member_of_root(root: &Arc<Json>, name: &str, trusted: bool, scope: Scope) -> Member {
        convert(root, root, name, &[], trusted, &scope)
    }

    pub(in super::super) fn scope(vars: Arc<dyn Vars>) -> Value {
        Value::Source(Rc::new(Self { kind: Kind::Vars(vars), whole: OnceCell::new() }))
    }

    /// The variables behind a scope node.
    pub(in super::super) fn as_scope(&self) -> Option<&Arc<dyn Vars>> {
        if let Kind::Vars(vars) = &self.kind { Some(vars) } else { None }
    }

    pub(in super::super) fn is_mapping(&self) -> bool {
        match &self.kind {
            Kind::Json { .. } => self.json().is_some_and(Json::is_object),
            Kind::Vars(_) => true,
        }
    }

    fn json(&self) -> Option<&Json> {
        let Kind::Json { root, path, .. } = &self.kind else { return None };
        path.iter().try_fold(&**root, |value, step| match step {
            Step::Key(key) => value.get(&**key),
            Step::Index(index) => value.get(*index),
        })
    }

    pub(in super::super) fn len(&self) -> usize {
        match &self.kind {
            Kind::Vars(vars) => vars.names().len(),
            Kind::Json { .. } => match self.json() {
                Some(Json::Object(map)) => map.len(),
                Some(Json::Array(items)) => items.len(),
                _ => 0,
            },
        }
    }

    pub(in super::super) fn has_key(&self, key: &str) -> bool {
        match &self.kind {
            Kind::Vars(vars) => vars.get(key).is_some(),
            Kind::Json { .. } => self.json().is_some_and(|value| value.get(key).is_some()),
        }
    }

    /// The keys of a mapping; for a list, nothing.
    pub(in super::super) fn member_names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Vars(vars) => vars.names(),
            Kind::Json { .. } => {
                self.json().and_then(Json::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
            }
        }
    }

    /// One member, or nothing; scope nodes are answered by the evaluator, which fetches the variable itself.
    pub(in super::super) fn member(&self, step: Step) -> Option<Member> {
        let Kind::Json { root, name, path, trusted, scope } = &self.kind else { return None };
        let value = match &step {
            Step::Key(key) => self.json()?.get(&**key)?,
            Step::Index(index) => self.json()?.get(*index)?,
        };
        let mut path = path.clone();
        path.push(step);
        Some(convert(root, value, name, &path, *trusted, scope))
    }

    /// Every step of the container in order.
    pub(in super::super) fn steps(&self) -> Vec<Step> {
        match self.json() {
            Some(Json::Object(map)) => map.keys().map(|key| Step::Key(key.as_str().into())).collect(),
            Some(Json::Array(items)) => (0..items.len()).map(Step::Index).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether some member's key is itself a template.
    pub(in super::super) fn templated_key(&self, key: &str) -> Option<(Arc<str>, String, Scope)> {
        let Kind::Json { name, trusted, scope, .. } = &self.kind else { return None };
        (*trusted && is_template(key)).then(|| (Arc::from(key), format!("{name} (a key)"), scope.clone()))
    }
}

/// Whether the text needs the engine at all.
pub(in super::super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

fn convert(root: &Arc<Json>, value: &Json, name: &str, path: &[Step], trusted: bool, scope: &Scope) -> Member {
    Member::Ready(match value {
        Json::Null => Value::None,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => super::json::number(number),
        Json::String(text) if trusted && is_template(text) => {
            return Member::Template { text: text.as_str().into(), name: path_text(name, path), scope: scope.clone() };
        }
        Json::String(text) => Value::str(text.as_str()),
        Json::Object(map) if trusted && map.len() == 1 && map.contains_key(UNSAFE_KEY) => {
            map.get(UNSAFE_KEY).map_or(Value::None, super::json::from_json)
        }
        Json::Object(map) if trusted && map.len() == 1 && map.contains_key(VAULT_KEY) => {
            return Member::Encrypted(path_text(name, path));
        }
        Json::Object(_) | Json::Array(_) => Value::Source(Rc::new(Source {
            kind: Kind::Json {
                root: root.clone(),
                name: name.into(),
                path: path.to_vec(),
                trusted,
                scope: scope.clone(),
            },
            whole: OnceCell::new(),
        })),
    })
}

fn path_text(name: &str, path: &[Step]) -> String {
    let mut text = name.to_owned();
    for step in path {
        let written = match step {
            Step::Key(key) => write!(text, ".{key}"),
            Step::Index(index) => write!(text, "[{index}]"),
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
    text
}

impl From<&Step> for Key {
    fn from(step: &Step) -> Self {
        match step {
            Step::Key(key) => Self::Str(key.clone()),
            Step::Index(index) => Self::Int(*index as i128),
        }
    }
}
