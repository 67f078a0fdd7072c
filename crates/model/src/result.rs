//! The result of a task on one host, in Ansible's words.

use crate::{Change, Map, Value};
use serde::{Deserialize, Serialize};

/// What `register` stores for one host (and one loop item).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskResult {
    /// Something was changed, or would be in check mode.
    pub changed: bool,
    /// The task failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failed: bool,
    /// The task was skipped (`when` was false, or check mode is not supported).
    #[serde(default, skip_serializing_if = "is_false")]
    pub skipped: bool,
    /// For people: why it failed, or what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// Everything else that the module returns: `rc`, `stdout`, `stat`, `dest`, ...
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map,
    /// What was, or would be, changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Facts to be kept for the host (`ansible_facts`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map,
    /// Things the operator should know though the task did not fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

fn is_false(b: &bool) -> bool {
    !*b
}

impl TaskResult {
    /// A failure with its message.
    #[must_use]
    pub fn failure(msg: impl Into<String>) -> Self {
        Self { failed: true, msg: Some(msg.into()), ..Self::default() }
    }

    /// A skip with its reason (`skip_reason` in Ansible).
    #[must_use]
    pub fn skip(reason: impl Into<String>) -> Self {
        let mut data = Map::new();
        data.insert("skip_reason".to_owned(), Value::String(reason.into()));
        Self { skipped: true, data, ..Self::default() }
    }

    /// The value that a playbook sees in its registered variable.
    ///
    /// `changed` and `failed` are always there; `stdout_lines` and `stderr_lines` are made from the texts, as
    /// Ansible's controller does.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("changed".into(), self.changed.into());
        map.insert("failed".into(), self.failed.into());
        if self.skipped {
            map.insert("skipped".into(), true.into());
        }
        if let Some(msg) = &self.msg {
            map.insert("msg".into(), msg.clone().into());
        }
        for (key, value) in &self.data {
            map.insert(key.clone(), value.clone());
            if (key == "stdout" || key == "stderr")
                && let Value::String(text) = value
            {
                map.insert(format!("{key}_lines"), text.lines().map(Value::from).collect::<Vec<_>>().into());
            }
        }
        if !self.facts.is_empty() {
            map.insert("ansible_facts".into(), Value::Object(self.facts.clone()));
        }
        if !self.warnings.is_empty() {
            map.insert("warnings".into(), self.warnings.clone().into());
        }
        Value::Object(map)
    }
}

/// How a task ended on a host, as the recap counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostStatus {
    /// Nothing had to be done.
    Ok,
    /// Something was changed.
    Changed,
    /// The condition was false.
    Skipped,
    /// It failed.
    Failed,
    /// It failed and `ignore_errors` let the run go on.
    Ignored,
    /// It failed and a `rescue` took over.
    Rescued,
    /// The agent did not answer within the deadline; nothing is known to have run.
    Unreachable,
    /// It began and nobody can say how it ended.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_result_has_changed_failed_and_the_lines_of_its_output() {
        let mut data = Map::new();
        data.insert("stdout".into(), "a\nb".into());
        data.insert("rc".into(), 0.into());
        let value = TaskResult { changed: true, data, ..TaskResult::default() }.to_value();
        assert_eq!(
            value,
            serde_json::json!({"changed": true, "failed": false, "stdout": "a\nb", "stdout_lines": ["a", "b"], "rc": 0})
        );
    }
}
