//! The arguments that all commands which run plays share, named as ansible-playbook names them.

use super::CliError;
use clap::{ArgAction, Args as ClapArgs};
use kfleet_model::{Map, Value};
use kfleet_playbook::tags::TagChoice;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Shared arguments. Stored with the run, so that `resume` has the same.
#[derive(Debug, Clone, ClapArgs, Serialize, Deserialize)]
pub(super) struct PlayArgs {
    /// Inventory file, directory, or a list of hosts with commas; may be repeated. Default: the fleet's
    #[arg(long, short, value_name = "PATH")]
    pub(super) inventory: Vec<String>,
    /// Narrow all plays to these hosts (a pattern)
    #[arg(long, short, value_name = "PATTERN")]
    pub(super) limit: Option<String>,
    /// Variables: key=value pairs, JSON or YAML, or @FILE; may be repeated
    #[arg(long, short, value_name = "VARS")]
    pub(super) extra_vars: Vec<String>,
    /// Say what would change, change nothing
    #[arg(long, short = 'C')]
    pub(super) check: bool,
    /// Show differences of files
    #[arg(long, short = 'D')]
    pub(super) diff: bool,
    /// How many hosts a task runs on at once
    #[arg(long, short, value_name = "N")]
    pub(super) forks: Option<usize>,
    /// Only tasks with these tags
    #[arg(long, short, value_name = "TAGS", value_delimiter = ',')]
    pub(super) tags: Vec<String>,
    /// No tasks with these tags
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub(super) skip_tags: Vec<String>,
    /// Run notified handlers even on hosts where a task failed
    #[arg(long)]
    pub(super) force_handlers: bool,
    /// Seconds that a task may take unless it has a timeout of its own
    #[arg(long, short = 'T', value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Show what tasks return (-v); more for debug tasks with a verbosity
    #[arg(long, short, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Write events as JSON lines instead of text
    #[arg(long)]
    pub(super) json: bool,
}

impl PlayArgs {
    /// The selection of tasks.
    pub(super) fn tag_filter(&self) -> TagChoice {
        TagChoice::new(&self.tags, &self.skip_tags)
    }

    /// The variables of all `-e`, later ones winning.
    pub(super) fn variables(&self, root: &Path) -> Result<Map, CliError> {
        let mut all = Map::new();
        for text in &self.extra_vars {
            all.extend(variables(text, root)?);
        }
        Ok(all)
    }

    /// The inventories to read, the fleet's when none is named.
    pub(super) fn inventories(&self, default: Vec<PathBuf>) -> Vec<String> {
        if self.inventory.is_empty() {
            default.into_iter().map(|path| path.to_string_lossy().into_owned()).collect()
        } else {
            self.inventory.clone()
        }
    }
}

fn variables(text: &str, root: &Path) -> Result<Map, CliError> {
    let text = text.trim();
    if let Some(file) = text.strip_prefix('@') {
        let content = std::fs::read_to_string(root.join(file))
            .map_err(|error| CliError::input(format!("-e {text}: failed to read {file}: {error}")))?;
        return mapping(file, &content);
    }
    if text.starts_with('{') || text.contains(": ") || text.contains('\n') {
        return mapping("-e", text);
    }
    let mut map = Map::new();
    let (words, pairs) = kfleet_playbook::parse::words_and_pairs(text);
    if let Some(word) = words.first() {
        return Err(CliError::input(format!("-e {text}: '{word}' is not key=value"))
            .hint("write -e name=value, -e '{\"name\": value}' or -e @file.yml"));
    }
    for (key, value) in pairs {
        map.insert(key, Value::String(value));
    }
    Ok(map)
}

fn mapping(name: &str, text: &str) -> Result<Map, CliError> {
    let files = kfleet_playbook::files::MemoryFiles::new([(name, text)]);
    let mut diagnostics = kfleet_playbook::Diagnostics::new();
    let found = kfleet_playbook::parse::load_vars_file(&files, name, "-e", &mut diagnostics);
    match found {
        Some(vars) if !diagnostics.has_errors() => Ok(vars.to_map()),
        Some(_) | None => Err(CliError::Diagnostics(diagnostics)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn extra_variables_come_as_pairs_json_yaml_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("v.yml"), "a: 1\nb: [x]\n").unwrap();
        let cases = [
            ("a=1 b='two words'", json!({"a": "1", "b": "two words"})),
            ("{\"a\": 1}", json!({"a": 1})),
            ("a: yes", json!({"a": true})),
            ("@v.yml", json!({"a": 1, "b": ["x"]})),
        ];
        for (text, wanted) in cases {
            assert_eq!(Value::Object(variables(text, dir.path()).unwrap()), wanted, "{text}");
        }
        assert!(variables("alone", dir.path()).is_err());
        assert!(variables("@nothing.yml", dir.path()).is_err());
        assert!(variables("{broken", dir.path()).is_err());
    }
}
