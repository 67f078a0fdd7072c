//! The kinds of files, and editing one of them.

use super::super::shared::difference;
use super::super::shared::edit;
use super::{ModuleError, Service};
use kfleet_config::jaas::{Login, Section, render};
use kfleet_config::task::{Target, value_text};
use kfleet_config::{Environment, Properties, secret};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::path::Path;

/// The property of the change that makes a file.
pub(super) const STATE: &str = "state";

/// What a value of a secret key looks like in changes and results.
const SECRET: &str = "(secret)";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    #[default]
    Server,
    Log4j,
    Environment,
    Jaas,
}

impl Kind {
    /// Where packages and roles put it.
    pub(super) fn path(self, service: Service) -> &'static str {
        match (service, self) {
            (Service::Kafka, Self::Server) => Target::Kafka.default_path(),
            (Service::Kafka, Self::Log4j) => "/etc/kafka/log4j.properties",
            (Service::Kafka, Self::Environment) => "/etc/default/kafka",
            (Service::Kafka, Self::Jaas) => "/etc/kafka/kafka_server_jaas.conf",
            (Service::ZooKeeper, Self::Server) => Target::ZooKeeper.default_path(),
            (Service::ZooKeeper, Self::Log4j) => "/etc/zookeeper/log4j.properties",
            (Service::ZooKeeper, Self::Environment) => "/etc/default/zookeeper",
            (Service::ZooKeeper, Self::Jaas) => "/etc/zookeeper/zookeeper_jaas.conf",
        }
    }

    pub(super) fn paths_doc(service: Service) -> &'static str {
        match service {
            Service::Kafka => {
                "The file; by its kind /etc/kafka/server.properties, /etc/kafka/log4j.properties, /etc/default/kafka or \
                 /etc/kafka/kafka_server_jaas.conf when not given. It is made when it is missing."
            }
            Service::ZooKeeper => {
                "The file; by its kind /etc/zookeeper/zoo.cfg, /etc/zookeeper/log4j.properties, /etc/default/zookeeper \
                 or /etc/zookeeper/zookeeper_jaas.conf when not given. It is made when it is missing."
            }
        }
    }

    /// Takes a file apart.
    pub(super) fn open(self, content: &[u8], path: &Path) -> Result<Document, ModuleError> {
        Ok(match self {
            Self::Server | Self::Log4j => Document::Properties(Properties::parse(content)),
            Self::Environment => {
                let text = std::str::from_utf8(content)
                    .map_err(|_| ModuleError::Invalid(format!("{} is not UTF-8", path.display())))?;
                Document::Environment(Environment::parse(text))
            }
            // Nothing of the old one is kept.
            Self::Jaas => Document::Whole(Vec::new()),
        })
    }
}

/// A file taken apart.
#[derive(Debug)]
pub(super) enum Document {
    Properties(Properties),
    Environment(Environment),
    Whole(Vec<u8>),
}

impl Document {
    /// Sets keys, takes others out; with `exclusive` all that are not set.
    pub(super) fn edit(&mut self, settings: &Map, absent: &[String], exclusive: bool) -> Result<(), ModuleError> {
        if let Some(key) = absent.iter().find(|key| settings.contains_key(*key)) {
            return Err(ModuleError::Invalid(format!("{key} is both in settings and in absent")));
        }
        if let Self::Whole(content) = self {
            *content = sections(settings)?;
            return Ok(());
        }
        for key in self.keys() {
            if absent.contains(&key) || (exclusive && !settings.contains_key(&key)) {
                self.remove(&key);
            }
        }
        for (key, value) in settings {
            self.set(key, &scalar(key, value)?)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ModuleError> {
        match self {
            Self::Properties(file) => file.set(key, value),
            Self::Environment(file) if Environment::is_name(key) && !value.contains(['\n', '\r']) => {
                file.set(key, value);
            }
            Self::Environment(_) => {
                return Err(ModuleError::Invalid(format!("{key:?} is no name, or has a value of several lines")));
            }
            Self::Whole(_) => {}
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        match self {
            Self::Properties(file) => drop(file.remove(key)),
            Self::Environment(file) => file.remove(key),
            Self::Whole(_) => {}
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        match self {
            Self::Properties(file) => file.get(key).map(str::to_owned),
            Self::Environment(file) => file.get(key),
            Self::Whole(_) => None,
        }
    }

    /// The keys in their order, each once.
    fn keys(&self) -> Vec<String> {
        let all: Vec<String> = match self {
            Self::Properties(file) => file.entries().into_iter().map(|entry| entry.key).collect(),
            Self::Environment(file) => file.names().into_iter().map(str::to_owned).collect(),
            Self::Whole(_) => Vec::new(),
        };
        let mut seen = std::collections::BTreeSet::new();
        all.into_iter().filter(|key| seen.insert(key.clone())).collect()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Properties(file) => file.to_bytes(),
            Self::Environment(file) => file.to_text().into_bytes(),
            Self::Whole(content) => content.clone(),
        }
    }

    /// The changes from the file as it was found to this one: one for each key.
    pub(super) fn changes(&self, target: &edit::Target) -> Vec<Change> {
        let old = target.content.as_deref();
        let object = target.path.display().to_string();
        let before = match self {
            Self::Whole(content) if old == Some(content) => return Vec::new(),
            Self::Whole(content) => return vec![difference::content(&target.path, old, content)],
            Self::Properties(_) => Self::Properties(Properties::parse(old.unwrap_or_default())),
            Self::Environment(_) => {
                Self::Environment(Environment::parse(&String::from_utf8_lossy(old.unwrap_or_default())))
            }
        };
        let mut changes = Vec::new();
        if old.is_none() {
            changes.push(Change::new(&object, STATE, "absent", "file"));
        }
        let mut keys = before.keys();
        keys.extend(self.keys().into_iter().filter(|key| before.get(key).is_none()));
        for key in keys {
            let (from, to) = (before.get(&key), self.get(&key));
            if from != to {
                let shown = |value: Option<String>| match value {
                    None => Value::Null,
                    Some(_) if secret::is_secret(&key) => SECRET.into(),
                    Some(value) => value.into(),
                };
                let (from, to) = (shown(from), shown(to));
                changes.push(Change::new(&object, key, from, to));
            }
        }
        changes
    }
}

/// A value as its text.
pub(super) fn scalar(key: &str, value: &Value) -> Result<String, ModuleError> {
    value_text(value).ok_or_else(|| {
        let wrong = format!("{key} must be a text, a number, a boolean or a list (absent takes keys out)");
        ModuleError::Invalid(wrong)
    })
}

/// The texts of a list.
pub(super) fn texts(key: &str, items: &[Value]) -> Result<Vec<String>, ModuleError> {
    items.iter().map(|item| scalar(key, item)).collect()
}

/// One login module as a task writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginSpec {
    class: String,
    #[serde(default = "required")]
    flag: String,
    #[serde(default)]
    options: Map,
}

fn required() -> String {
    "required".to_owned()
}

/// The text of a JAAS file.
fn sections(settings: &Map) -> Result<Vec<u8>, ModuleError> {
    let mut sections = Vec::new();
    for (name, modules) in settings {
        let specs: Vec<LoginSpec> = serde_json::from_value(modules.clone()).map_err(|_| {
            // The error of the reader may quote a password.
            ModuleError::Invalid(format!("{name} must be a list of mappings with class, flag and options"))
        })?;
        let mut modules = Vec::new();
        for spec in specs {
            let option = |(key, value): (&String, &Value)| Ok((key.clone(), scalar(key, value)?));
            let options = spec.options.iter().map(option).collect::<Result<_, ModuleError>>()?;
            modules.push(Login { class: spec.class, flag: spec.flag, options });
        }
        sections.push(Section { name: name.clone(), modules });
    }
    let text = render(&sections).map_err(|error| ModuleError::Invalid(error.to_string()))?;
    Ok(text.into_bytes())
}
