//! What templates may see of the controller's world: its files, environment and clock.

use super::disk::RecordedFiles;
use kfleet_model::Value;
use kfleet_model::module::text;
use kfleet_playbook::files::{Files as _, folder_of, join};
use kfleet_playbook::template::{FileTest, LookupError, Lookups, Moment, Var, Vars};
use serde_json::Map;
use std::path::Path;
use std::sync::Arc;

/// The lookups of a run.
pub(super) struct ControllerLookups {
    files: Arc<RecordedFiles>,
}

impl ControllerLookups {
    pub(super) fn new(files: Arc<RecordedFiles>) -> Self {
        Self { files }
    }

    /// Where a relative name is looked for: the role, then the playbook's folder.
    fn find(&self, kind: &str, name: &str, vars: &dyn Vars) -> Option<String> {
        let folder = |variable: &str| match vars.get(variable) {
            Some(Var::Value { value, .. }) => text(&value),
            Some(Var::Scope(_)) | None => None,
        };
        let template = folder("template_path").map(|path| folder_of(&path));
        let role = folder("role_path");
        let playbook = folder("playbook_dir").unwrap_or_else(|| ".".to_owned());
        let mut candidates = Vec::new();
        for base in [template, role, Some(playbook)].into_iter().flatten() {
            candidates.push(join(&join(&base, kind), name));
            candidates.push(join(&base, name));
        }
        if name.starts_with('/') {
            candidates = vec![name.to_owned()];
        }
        candidates.into_iter().find(|path| self.files.is_file(path))
    }

    fn read(&self, kind: &str, name: &str, vars: &dyn Vars) -> Result<String, LookupError> {
        let path =
            self.find(kind, name, vars).ok_or_else(|| LookupError::Failed(format!("file {name} is not found")))?;
        let bytes = self.files.read(&path).map_err(|error| LookupError::Failed(error.to_string()))?;
        String::from_utf8(bytes).map_err(|_| LookupError::Failed(format!("{path} is not UTF-8 text")))
    }
}

impl Lookups for ControllerLookups {
    fn lookup(
        &self,
        name: &str,
        terms: &[Value],
        options: &Map<String, Value>,
        vars: &dyn Vars,
    ) -> Result<Vec<Value>, LookupError> {
        let words = || terms.iter().filter_map(text);
        match name {
            "env" => Ok(words()
                .map(|term| {
                    std::env::var(&term)
                        .map_or_else(|_| options.get("default").cloned().unwrap_or_else(|| "".into()), Value::from)
                })
                .collect()),
            "file" => words()
                .map(|term| self.read("files", &term, vars).map(|content| Value::from(content.trim_end_matches('\n'))))
                .collect(),
            "first_found" => {
                let candidates = first_found_terms(terms, options);
                let found = candidates.iter().find_map(|term| {
                    ["files", "vars", "tasks", "templates"].iter().find_map(|kind| self.find(kind, term, vars))
                });
                match found {
                    Some(path) => Ok(vec![path.into()]),
                    None if options.get("skip").and_then(kfleet_model::module::boolean) == Some(true) => Ok(vec![]),
                    None => Err(LookupError::Failed(format!("none of {} is found", candidates.join(", ")))),
                }
            }
            "fileglob" => Ok(words().flat_map(|term| self.glob(&term, vars)).map(Value::from).collect()),
            _ => Err(LookupError::Unknown),
        }
    }

    fn load(&self, name: &str, vars: &dyn Vars) -> Option<String> {
        self.read("templates", name, vars).ok()
    }

    fn file_test(&self, test: FileTest, path: &str) -> Option<bool> {
        let path = Path::new(path);
        Some(match test {
            FileTest::Exists => path.exists(),
            FileTest::LinkExists => path.symlink_metadata().is_ok(),
            FileTest::File => path.is_file(),
            FileTest::Directory => path.is_dir(),
            FileTest::Link => path.is_symlink(),
            FileTest::Mount => {
                use std::os::unix::fs::MetadataExt as _;
                let device = |path: &Path| path.metadata().ok().map(|meta| meta.dev());
                path.parent().is_none_or(|parent| device(path) != device(parent))
            }
        })
    }

    fn now(&self) -> Option<Moment> {
        let now = jiff::Zoned::now();
        Some(Moment {
            seconds: now.timestamp().as_second(),
            nanoseconds: u32::try_from(now.timestamp().subsec_nanosecond()).unwrap_or(0),
            offset_seconds: now.offset().seconds(),
        })
    }

    fn seed(&self) -> Option<u64> {
        use rand::Rng as _;
        Some(rand::rng().random())
    }
}

impl ControllerLookups {
    /// `*` and `?` in the last part of a path.
    fn glob(&self, term: &str, vars: &dyn Vars) -> Vec<String> {
        let folder = folder_of(term);
        let pattern = term.rsplit('/').next().unwrap_or(term);
        let base = if folder.starts_with('/') {
            folder
        } else {
            match vars.get("role_path").or_else(|| vars.get("playbook_dir")) {
                Some(Var::Value { value, .. }) => join(&join(&text(&value).unwrap_or_default(), "files"), &folder),
                Some(Var::Scope(_)) | None => folder,
            }
        };
        let escaped = regex::escape(pattern).replace("\\*", ".*").replace("\\?", ".");
        let Ok(matcher) = regex::Regex::new(&format!("^{escaped}$")) else { return Vec::new() };
        let names = self.files.list_dir(&base).unwrap_or_default();
        names.into_iter().filter(|name| matcher.is_match(name)).map(|name| join(&base, &name)).collect()
    }
}

/// The names to try, in order: plain terms, lists, and mappings with `files` and `paths`.
fn first_found_terms(terms: &[Value], options: &Map<String, Value>) -> Vec<String> {
    let list = |value: Option<&Value>| -> Vec<String> {
        match value {
            Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
            Some(one) => text(one).into_iter().collect(),
            None => Vec::new(),
        }
    };
    let of_mapping = |map: &Map<String, Value>| -> Vec<String> {
        let (files, paths) = (list(map.get("files")), list(map.get("paths")));
        if paths.is_empty() {
            return files;
        }
        paths.iter().flat_map(|path| files.iter().map(move |file| join(path, file))).collect()
    };
    let mut out = Vec::new();
    for term in terms {
        match term {
            Value::Object(map) => out.extend(of_mapping(map)),
            Value::Array(items) => out.extend(items.iter().filter_map(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.extend(text(term)),
        }
    }
    out.extend(of_mapping(options));
    out
}
