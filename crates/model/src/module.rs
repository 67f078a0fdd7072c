//! What a module says of itself, and the one place where parameters are checked.
//!
//! The agent's table of modules is made of these documents; a copy of the table is built into the controller so
//! that `kfleet lint` and `kfleet doc` work without a host. Checking parameters is the same function on both
//! sides: lint calls it with the values that are known before a run, the agent with all of them.

use crate::{Map, Value};
use serde::{Deserialize, Serialize};

/// The document of one module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModuleDoc {
    /// The short name (`lineinfile`); `ansible.builtin.` and `ansible.legacy.` before it are accepted too.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Whether running it twice with the same parameters is the same as running it once. An op of a module that
    /// is not idempotent is never run again by itself after an unknown end.
    pub idempotent: bool,
    /// How it behaves in check mode.
    pub check_mode: CheckMode,
    /// The parameter that a free-form text (`command: /bin/true`) goes into.
    #[serde(default)]
    pub free_form: Option<String>,
    /// The parameters.
    pub params: Vec<ParamDoc>,
    /// The keys of its result.
    pub returns: Vec<ReturnDoc>,
    /// Tasks as YAML, a list; a test parses and checks them.
    pub examples: String,
}

/// How a module behaves in check mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckMode {
    /// It says what would change.
    Full,
    /// It only reads, so check mode makes no difference.
    ReadOnly,
    /// It can not know; the task is skipped unless a guard (`creates`) decides.
    Skipped,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamDoc {
    /// Its name.
    pub name: String,
    /// Other names that mean the same.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its type.
    pub kind: ParamKind,
    /// It must be given.
    #[serde(default)]
    pub required: bool,
    /// The default, as it would be written in YAML.
    #[serde(default)]
    pub default: Option<String>,
    /// The only values that are allowed; empty for any.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Its values are secret.
    #[serde(default)]
    pub secret: bool,
    /// One or two sentences.
    pub doc: String,
}

/// One key of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReturnDoc {
    /// The key.
    pub name: String,
    /// What it holds, with its unit.
    pub doc: String,
}

/// The type of a parameter. Text is converted as Ansible does: `"yes"` is a boolean where one is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    /// Text; numbers and booleans become their text.
    Str,
    /// An absolute path on the host.
    Path,
    /// A boolean: true, false, yes, no, on, off, 1, 0.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A file mode: `"0644"`, an octal number, or symbolic (`u=rw,g=r`).
    Mode,
    /// A list; a text is split at commas, any other single value becomes a list of one.
    List,
    /// A mapping.
    Dict,
    /// Anything.
    Raw,
}

/// Why a parameter is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// The module has no such parameter.
    #[error("module {module} has no parameter '{name}'{}", hint(.nearest))]
    Unknown {
        /// The module.
        module: String,
        /// The name as given.
        name: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// A parameter that must be given is not.
    #[error("module {module} needs parameter '{name}'")]
    Missing {
        /// The module.
        module: String,
        /// The parameter.
        name: String,
    },
    /// Two names of one parameter were given.
    #[error("parameters '{one}' and '{other}' of module {module} mean the same")]
    Twice {
        /// The module.
        module: String,
        /// One name.
        one: String,
        /// The other.
        other: String,
    },
    /// The value does not fit the type.
    #[error("parameter '{name}' of module {module} must be {wanted}, not {got}")]
    Type {
        /// The module.
        module: String,
        /// The parameter.
        name: String,
        /// The type, for people.
        wanted: &'static str,
        /// The value, shortened.
        got: String,
    },
    /// The value is not one of those allowed.
    #[error("parameter '{name}' of module {module} must be one of {choices}, not {got}{}", hint(.nearest))]
    Choice {
        /// The module.
        module: String,
        /// The parameter.
        name: String,
        /// The allowed values.
        choices: String,
        /// The value.
        got: String,
        /// The nearest allowed one.
        nearest: Option<String>,
    },
}

impl ParamError {
    /// The parameter that it is about, as the playbook wrote it, for finding its place in the file.
    #[must_use]
    pub fn param(&self) -> &str {
        match self {
            Self::Unknown { name, .. }
            | Self::Missing { name, .. }
            | Self::Type { name, .. }
            | Self::Choice { name, .. } => name,
            Self::Twice { other, .. } => other,
        }
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default()
}

/// The known word that is nearest to a wrong one, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(word, k), k))
        .filter(|(distance, k)| *distance <= (k.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(distance, k)| (*distance, (*k).to_owned()))
        .map(|(_, k)| k.to_owned())
}

impl ModuleDoc {
    /// Finds a parameter by its name or one of its aliases.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&ParamDoc> {
        self.params.iter().find(|p| p.name == name || p.aliases.iter().any(|a| a == name))
    }

    /// Checks parameters and brings them into the shape that the module reads: real names, real types.
    ///
    /// `open` tells of a value that it is not known yet (a template before the run); such a value is passed
    /// through unchecked. Nulls mean "not given", as in Ansible.
    ///
    /// # Errors
    /// All problems together, in the order of the parameters.
    pub fn normalise(&self, params: &Map, open: impl Fn(&Value) -> bool) -> Result<Map, Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut out = Map::new();
        let mut given: Vec<(&str, &str)> = Vec::new();
        for (key, value) in params {
            let Some(param) = self.param(key) else {
                let known = self.params.iter().flat_map(|p| std::iter::once(&p.name).chain(&p.aliases));
                let nearest = nearest(key, known.map(String::as_str));
                errors.push(ParamError::Unknown { module: self.name.clone(), name: key.clone(), nearest });
                continue;
            };
            if value.is_null() {
                continue;
            }
            if let Some((_, one)) = given.iter().find(|(name, _)| *name == param.name) {
                errors.push(ParamError::Twice {
                    module: self.name.clone(),
                    one: (*one).to_owned(),
                    other: key.clone(),
                });
                continue;
            }
            given.push((&param.name, key));
            if open(value) {
                out.insert(param.name.clone(), value.clone());
                continue;
            }
            match param.coerce(&self.name, key, value) {
                Ok(value) => {
                    out.insert(param.name.clone(), value);
                }
                Err(error) => errors.push(error),
            }
        }
        for param in self.params.iter().filter(|p| p.required) {
            if !given.iter().any(|(name, _)| *name == param.name) {
                errors.push(ParamError::Missing { module: self.name.clone(), name: param.name.clone() });
            }
        }
        if errors.is_empty() { Ok(out) } else { Err(errors) }
    }
}

impl ParamDoc {
    fn coerce(&self, module: &str, key: &str, value: &Value) -> Result<Value, ParamError> {
        let fail = |wanted| ParamError::Type {
            module: module.to_owned(),
            name: key.to_owned(),
            wanted,
            got: if self.secret { "a secret value".to_owned() } else { short(value) },
        };
        let value = match self.kind {
            ParamKind::Raw => value.clone(),
            ParamKind::Str => Value::String(text(value).ok_or_else(|| fail("a text"))?),
            ParamKind::Path => {
                let path = text(value).ok_or_else(|| fail("a path"))?;
                if path.contains('\0') {
                    return Err(fail("a path without a zero byte"));
                }
                Value::String(path)
            }
            ParamKind::Bool => boolean(value).ok_or_else(|| fail("a boolean"))?.into(),
            ParamKind::Int => match value {
                Value::Number(n) if n.is_i64() || n.is_u64() => value.clone(),
                Value::Number(n) => match n.as_f64() {
                    Some(f) if f.fract() == 0.0 && f.abs() < 9e15 => {
                        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
                        let whole = f as i64;
                        whole.into()
                    }
                    _ => return Err(fail("a whole number")),
                },
                Value::String(s) => s.trim().parse::<i64>().map_err(|_| fail("a whole number"))?.into(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(fail("a whole number"));
                }
            },
            ParamKind::Float => match value {
                Value::Number(_) => value.clone(),
                Value::String(s) => s.trim().parse::<f64>().map_err(|_| fail("a number"))?.into(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(fail("a number")),
            },
            // YAML 1.1 reads 0644 as octal, so a number is the mode's value; a text is kept as it is written.
            ParamKind::Mode => match value {
                Value::Number(n) => match n.as_u64() {
                    Some(n) if n <= 0o7777 => format!("{n:04o}").into(),
                    _ => return Err(fail("a file mode such as \"0644\"")),
                },
                Value::String(s) => Value::String(s.trim().to_owned()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(fail("a file mode such as \"0644\""));
                }
            },
            ParamKind::List => match value {
                Value::Array(_) => value.clone(),
                Value::String(s) => {
                    s.split(',').map(|part| Value::String(part.trim().to_owned())).collect::<Vec<_>>().into()
                }
                Value::Number(_) | Value::Bool(_) => vec![value.clone()].into(),
                Value::Null | Value::Object(_) => return Err(fail("a list")),
            },
            ParamKind::Dict => match value {
                Value::Object(_) => value.clone(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    return Err(fail("a mapping"));
                }
            },
        };
        if !self.choices.is_empty() {
            let items = match &value {
                Value::Array(items) => items.clone(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    vec![value.clone()]
                }
            };
            for item in items {
                let got = text(&item).unwrap_or_default();
                if !self.choices.contains(&got) {
                    return Err(ParamError::Choice {
                        module: module.to_owned(),
                        name: key.to_owned(),
                        choices: self.choices.join(", "),
                        nearest: nearest(&got, self.choices.iter().map(String::as_str)),
                        got,
                    });
                }
            }
        }
        Ok(value)
    }
}

/// A scalar as text, as Ansible would write it.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A boolean in any of the forms that Ansible takes.
#[must_use]
pub fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => match n.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(s) => match s.trim().to_ascii_lowercase().as_str() {
            "yes" | "on" | "1" | "true" | "t" | "y" | "1.0" => Some(true),
            "no" | "off" | "0" | "false" | "f" | "n" | "0.0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}...", text.chars().take(57).collect::<String>()) } else { text }
}

/// A parameter document; the builder methods that follow keep a module's table readable.
#[must_use]
pub fn param(name: &str, kind: ParamKind, doc: &str) -> ParamDoc {
    ParamDoc {
        name: name.to_owned(),
        aliases: Vec::new(),
        kind,
        required: false,
        default: None,
        choices: Vec::new(),
        secret: false,
        doc: doc.to_owned(),
    }
}

/// A result key's document.
#[must_use]
pub fn returns(name: &str, doc: &str) -> ReturnDoc {
    ReturnDoc { name: name.to_owned(), doc: doc.to_owned() }
}

impl ParamDoc {
    /// The parameter must be given.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The default, as YAML.
    #[must_use]
    pub fn default(mut self, default: &str) -> Self {
        self.default = Some(default.to_owned());
        self
    }

    /// Other names.
    #[must_use]
    pub fn aliases(mut self, aliases: &[&str]) -> Self {
        self.aliases = aliases.iter().map(|&a| a.to_owned()).collect();
        self
    }

    /// The only allowed values.
    #[must_use]
    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|&c| c.to_owned()).collect();
        self
    }

    /// The values are secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn doc() -> ModuleDoc {
        ModuleDoc {
            name: "sample".into(),
            summary: "a sample".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: vec![
                param("path", ParamKind::Path, "where").required().aliases(&["dest", "name"]),
                param("mode", ParamKind::Mode, "mode"),
                param("force", ParamKind::Bool, "force").default("false"),
                param("state", ParamKind::Str, "state").choices(&["file", "absent"]),
                param("count", ParamKind::Int, "count"),
                param("names", ParamKind::List, "names"),
            ],
            returns: vec![],
            examples: String::new(),
        }
    }

    fn run(value: Value) -> Result<Map, Vec<String>> {
        doc()
            .normalise(value.as_object().unwrap(), |v| v.as_str().is_some_and(|s| s.contains("{{")))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_are_brought_to_their_types() {
        let cases = [
            (json!({"dest": "/a", "mode": 420}), json!({"path": "/a", "mode": "0644"})),
            (json!({"path": "/a", "mode": "u=rw"}), json!({"path": "/a", "mode": "u=rw"})),
            (json!({"path": "/a", "force": "yes", "count": "7"}), json!({"path": "/a", "force": true, "count": 7})),
            (json!({"path": "/a", "names": "x, y"}), json!({"path": "/a", "names": ["x", "y"]})),
            (json!({"path": "/a", "force": "{{ x }}", "count": null}), json!({"path": "/a", "force": "{{ x }}"})),
        ];
        for (given, wanted) in cases {
            assert_eq!(run(given.clone()).map(Value::Object), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn all_wrong_parameters_are_told_together_with_the_nearest_word() {
        let errors = run(json!({"pth": "/a", "force": "perhaps", "state": "fil", "count": 1.5})).unwrap_err();
        assert_eq!(
            errors,
            [
                "module sample has no parameter 'pth' (did you mean 'path'?)",
                "parameter 'force' of module sample must be a boolean, not \"perhaps\"",
                "parameter 'state' of module sample must be one of file, absent, not fil (did you mean 'file'?)",
                "parameter 'count' of module sample must be a whole number, not 1.5",
                "module sample needs parameter 'path'",
            ]
        );
        assert_eq!(
            run(json!({"path": "/a", "dest": "/b"})).unwrap_err(),
            ["parameters 'path' and 'dest' of module sample mean the same"]
        );
    }
}
