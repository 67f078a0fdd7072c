//! What a task of `kafka_config` or `zookeeper_config` asks for, read from its parameters.
//!
//! The same reading for lint, which has the literal parameters, for the controller, which has those of each host, and
//! for the agent's values.

use crate::definitions::{KAFKA, ZOOKEEPER};
use crate::{Extent, Finding, Problem, Release, Settings, kafka, zookeeper};
use kfleet_model::module::{boolean, text};
use kfleet_model::{Map, Value};

/// Whose settings they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Brokers and controllers.
    Kafka,
    /// ZooKeeper's servers.
    ZooKeeper,
}

impl Target {
    /// Where packages and roles put the service's own settings.
    #[must_use]
    pub fn default_path(self) -> &'static str {
        match self {
            Self::Kafka => "/etc/kafka/server.properties",
            Self::ZooKeeper => "/etc/zookeeper/zoo.cfg",
        }
    }
}

/// The service's own settings as a task gives them.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose they are.
    pub target: Target,
    /// The file.
    pub path: String,
    /// The release; none where it is not known yet.
    pub release: Option<Release>,
    /// The keys with their values.
    pub settings: Settings,
    /// Whether nothing else will be in the file.
    pub extent: Extent,
    /// Keys of the operator's own plugins.
    pub extra: Vec<String>,
    /// The server's number.
    pub my_id: Option<i64>,
}

impl Asked {
    /// Reads the parameters of a task; none when it is another module, another kind of file, or not to be checked.
    /// Values that are no values (mappings, lists in lists) are left to the module.
    #[must_use]
    pub fn of(module: &str, params: &Map) -> Option<Self> {
        let target = match module {
            "kafka_config" => Target::Kafka,
            "zookeeper_config" => Target::ZooKeeper,
            _ => return None,
        };
        let word = |name: &str| params.get(name).and_then(text);
        if word("kind").is_some_and(|kind| kind != "server") || word("checks").is_some_and(|checks| checks == "none") {
            return None;
        }
        let only_keys = word("checks").is_some_and(|checks| checks == "keys");
        let exclusive = params.get("exclusive").and_then(boolean) == Some(true);
        let settings = params.get("settings").and_then(Value::as_object);
        let pairs = settings.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value_text(value)?)));
        Some(Self {
            target,
            path: word("path").or_else(|| word("dest")).unwrap_or_else(|| target.default_path().to_owned()),
            release: word("version").and_then(|version| version.parse().ok()),
            settings: Settings::of(pairs),
            extent: if exclusive && !only_keys { Extent::Whole } else { Extent::Part },
            extra: params.get("extra_keys").and_then(value_text).map(|all| list(&all)).unwrap_or_default(),
            my_id: word("myid").and_then(|id| id.parse().ok()),
        })
    }

    /// All that is wrong. Without a release, only keys that no release has.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let Some(release) = self.release else {
            let table = match self.target {
                Target::Kafka => &*KAFKA,
                Target::ZooKeeper => &*ZOOKEEPER,
            };
            let Some(newest) = table.releases().last().copied() else { return Vec::new() };
            let mut found = self.check_as(newest, &self.settings, Extent::Part);
            found.retain(|finding| matches!(finding.problem, Problem::Unknown { .. }));
            return found;
        };
        self.check_as(release, &self.settings, self.extent)
    }

    /// What is wrong with a key whose value is not known yet.
    #[must_use]
    pub fn check_key(&self, key: &str) -> Vec<Finding> {
        // A reference to a config provider fits every type.
        let alone = Settings::of([(key, "${later}")]);
        let open = Self { settings: alone, extent: Extent::Part, ..self.clone() };
        let mut found = open.check();
        found.retain(|finding| {
            finding.problem.is_passed_over() || matches!(finding.problem, Problem::Deprecated { .. })
        });
        found
    }

    fn check_as(&self, release: Release, settings: &Settings, extent: Extent) -> Vec<Finding> {
        let extra = &self.extra;
        match self.target {
            Target::Kafka => kafka::check(kafka::Node { release, extent, settings, extra }),
            Target::ZooKeeper => {
                zookeeper::check(zookeeper::Server { release, extent, settings, my_id: self.my_id, extra })
            }
        }
    }
}

/// A value as the file has it: booleans as Java reads them, lists joined by commas; none for what is no value.
#[must_use]
pub fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(_) | Value::String(_) => text(value),
        Value::Array(items) => {
            let flat = items.iter().all(|item| !item.is_array());
            let texts: Option<Vec<String>> = items.iter().map(value_text).collect();
            texts.filter(|_| flat).map(|texts| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn list(text: &str) -> Vec<String> {
    crate::value::items(text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(module: &str, pairs: &[(&str, Value)], settings: &[(&str, Value)]) -> Option<Asked> {
        let map =
            |pairs: &[(&str, Value)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let mut params: Map = map(pairs);
        params.insert("settings".to_owned(), Value::Object(map(settings)));
        Asked::of(module, &params)
    }

    fn shown(asked: &Asked) -> Vec<String> {
        asked.check().iter().map(|finding| finding.problem.to_string()).collect()
    }

    #[test]
    fn a_task_is_read_as_the_module_reads_it() {
        let version = || ("version", Value::from("3.9.1"));
        let wrong = [("num.io.threads", Value::from(0)), ("log.dirs", vec![Value::from("/a"), "/b".into()].into())];
        let known = asked("kafka_config", &[version()], &wrong).unwrap();
        assert_eq!(known.settings.get("log.dirs"), Some("/a,/b"));
        assert_eq!(shown(&known), ["'num.io.threads' must be at least 1, not \"0\""]);
        assert_eq!(known.check_key("num.io.thread").len(), 1);
        assert_eq!(known.check_key("num.io.threads").len(), 0);
        let open = asked(
            "kafka_config",
            &[],
            &[("num.io.threads", 0.into()), ("host.name", "h".into()), ("nun.io", 1.into())],
        );
        assert_eq!(shown(&open.unwrap()), ["Kafka 4.2 has no key 'nun.io'"], "host.name was a key once");
        let whole = asked("kafka_config", &[version(), ("exclusive", "yes".into())], &[("broker.id", 1.into())]);
        let shown = shown(&whole.unwrap());
        assert!(shown.iter().any(|text| text.contains("'zookeeper.connect' is not set")), "{shown:?}");
        for other in [("kind", "jaas"), ("checks", "none")] {
            assert!(asked("kafka_config", &[version(), (other.0, other.1.into())], &wrong).is_none(), "{other:?}");
        }
        assert!(asked("copy", &[version()], &wrong).is_none());
    }
}
