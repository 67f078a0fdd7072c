//! Configuration that running brokers take without a restart: `kafka_dynamic_config`.
//!
//! The broker on the host is asked, and given the changes; nothing on the host's disk is touched, and a value that is
//! set here holds over the one of the file (Kafka's documentation, "Updating Broker Configs").
//! Not here: files (`kafka_config`), quotas and users, secrets (a broker does not tell them, so they can not be kept).

use super::cluster_info::kafka_params;
use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_config::definitions::KAFKA;
use kfleet_config::secret;
use kfleet_config::task::value_text;
use kfleet_kafka::ConfigOf;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often the broker is asked until it has heard of a change.
const LOOK: Duration = Duration::from_millis(250);

/// How many times: 10 s, as for preferred leaders; brokers hear of it with the next metadata.
const LOOKS: u32 = 40;

/// The module.
pub(super) struct KafkaDynamicConfig;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    scope: Scope,
    topic: Option<String>,
    #[serde(default)]
    settings: Map,
    #[serde(default)]
    absent: Vec<Value>,
    config: Option<String>,
    service: Option<String>,
    listener: Option<String>,
    command_config: Option<String>,
}

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scope {
    #[default]
    Broker,
    Cluster,
    Topic,
}

/// What was found.
pub(super) struct Found {
    of: ConfigOf,
    values: BTreeMap<String, String>,
}

impl Params {
    /// The parameters of the broker's reading.
    fn access(&self) -> Map {
        let given = [
            ("config", &self.config),
            ("service", &self.service),
            ("listener", &self.listener),
            ("command_config", &self.command_config),
        ];
        given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into()))).collect()
    }

    /// What each key shall be; none takes it back to what it inherits.
    fn wanted(&self) -> Result<BTreeMap<String, Option<String>>, ModuleError> {
        let mut wanted = BTreeMap::new();
        for (key, value) in &self.settings {
            let text = value_text(value)
                .ok_or_else(|| ModuleError::Invalid(format!("{key} must be a text, a number, a boolean or a list")))?;
            wanted.insert(key.clone(), Some(text));
        }
        for key in self.absent.iter().filter_map(value_text) {
            if wanted.insert(key.clone(), None).is_some() {
                return Err(ModuleError::Invalid(format!("{key} is both in settings and in absent")));
            }
        }
        for key in wanted.keys() {
            self.refuse(key)?;
        }
        Ok(wanted)
    }

    /// Refuses what can not work before a broker is asked.
    fn refuse(&self, key: &str) -> Result<(), ModuleError> {
        if secret::is_secret(key) {
            let why = "is secret: a broker does not tell its value, so it can not be kept this way";
            return Err(ModuleError::Invalid(format!("{key} {why}")));
        }
        let at_start = KAFKA.is_known(key) && !KAFKA.is_dynamic(key);
        if self.scope != Scope::Topic && at_start {
            let why = "is read when the broker starts, in every release: set it with kafka_config and restart";
            return Err(ModuleError::Invalid(format!("{key} {why}")));
        }
        Ok(())
    }

    fn differing<'a>(&self, found: &'a Found) -> Result<Vec<Differing<'a>>, ModuleError> {
        let mut differing = Vec::new();
        for (key, to) in self.wanted()? {
            let from = found.values.get(&key).map(String::as_str);
            if from.map(canonical) != to.as_deref().map(canonical) {
                differing.push(Differing { key, from, to });
            }
        }
        Ok(differing)
    }
}

/// A key that has another value than it shall have.
struct Differing<'a> {
    key: String,
    from: Option<&'a str>,
    to: Option<String>,
}

/// A value as brokers store it: booleans in small letters, lists without blanks.
fn canonical(value: &str) -> String {
    let value = value.split(',').map(str::trim).collect::<Vec<_>>().join(",");
    let lower = value.to_ascii_lowercase();
    if matches!(lower.as_str(), "true" | "false") { lower } else { value }
}

impl Module for KafkaDynamicConfig {
    type Params = Params;
    type State = Found;

    fn doc(&self) -> ModuleDoc {
        let mut params = vec![
            param("scope", ParamKind::Str, "Whose: the broker on the host, all brokers, or a topic.")
                .choices(&["broker", "cluster", "topic"])
                .default("broker"),
            param("topic", ParamKind::Str, "The topic, with scope topic."),
            param("settings", ParamKind::Dict, "Keys with their values; a list is joined with commas."),
            param("absent", ParamKind::List, "Keys that shall have what they inherit, from the file or the cluster."),
        ];
        params.extend(kafka_params());
        ModuleDoc {
            name: "kafka_dynamic_config".into(),
            summary: "Sets configuration that running brokers take without a restart".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![returns("values", "what is set dynamically of the task's keys; others are inherited")],
            examples: include_str!("examples/kafka_dynamic_config.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Found, ModuleError> {
        let keys: Vec<String> = params.wanted()?.into_keys().collect();
        let of = match (params.scope, &params.topic) {
            (Scope::Broker, None) => ConfigOf::Broker(collect::own_id(host, &params.access())?),
            (Scope::Cluster, None) => ConfigOf::AllBrokers,
            (Scope::Topic, Some(topic)) => ConfigOf::Topic(topic.clone()),
            (Scope::Topic, None) => return Err(ModuleError::Invalid("scope topic needs topic".to_owned())),
            (Scope::Broker | Scope::Cluster, Some(_)) => {
                return Err(ModuleError::Invalid("topic goes with scope topic only".to_owned()));
            }
        };
        let values = collect::dynamic_config(host, &params.access(), &of, &keys)?;
        Ok(Found { of, values })
    }

    fn diff(&self, params: &Params, state: &Found) -> Result<Vec<Change>, ModuleError> {
        let object = state.of.to_string();
        let value = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let change = |one: Differing<'_>| Change::new(&object, one.key, value(one.from), value(one.to.as_deref()));
        Ok(params.differing(state)?.into_iter().map(change).collect())
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Found,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let changes: BTreeMap<String, Option<String>> =
            params.differing(state)?.into_iter().map(|one| (one.key, one.to)).collect();
        host.progress(&format!("changing {} keys of {}", changes.len(), state.of));
        collect::alter_config(host.view(), &params.access(), &state.of, &changes)?;
        // The broker itself hears of the change a moment after the controller has it.
        for _ in 0..LOOKS {
            let now = self.observe(host.view(), params)?;
            if params.differing(&now)?.is_empty() {
                break;
            }
            host.pause(LOOK, "the broker to hear of the change")?;
        }
        Ok(Applied::new())
    }

    fn found(&self, _params: &Params, state: &Found) -> Map {
        let values: Map = state.values.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        Map::from_iter([("values".to_owned(), values.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(scope: Scope, settings: &[(&str, Value)]) -> Params {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Params {
            scope,
            topic: None,
            settings,
            absent: vec!["b".into()],
            config: None,
            service: None,
            listener: None,
            command_config: None,
        }
    }

    #[test]
    fn only_keys_with_another_value_differ_however_it_is_written() {
        let values = [("a", "true"), ("b", "1"), ("c", "x,y"), ("d", "1")];
        let values = values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let found = Found { of: ConfigOf::AllBrokers, values };
        let settings = [("a", true.into()), ("c", vec![Value::from("x "), "y".into()].into()), ("d", 2.into())];
        let changes = KafkaDynamicConfig.diff(&params(Scope::Cluster, &settings), &found).unwrap();
        let shown: Vec<_> = changes.iter().map(|change| (change.property.as_str(), &change.from, &change.to)).collect();
        assert_eq!(shown, [("b", &"1".into(), &Value::Null), ("d", &"1".into(), &"2".into())]);
        assert!(changes.iter().all(|change| change.object == "all brokers"));
    }

    #[test]
    fn what_only_a_restart_brings_and_what_is_secret_is_refused() {
        for (scope, key, wanted) in [
            (Scope::Broker, "log.dirs", Some("is read when the broker starts")),
            (Scope::Cluster, "node.id", Some("is read when the broker starts")),
            (Scope::Broker, "ssl.keystore.password", Some("is secret")),
            (Scope::Broker, "num.io.threads", None),
            (Scope::Cluster, "leader.replication.throttled.rate", None),
            (Scope::Topic, "retention.ms", None),
        ] {
            let error = params(scope, &[(key, 1.into())]).wanted().err().map(|error| error.to_string());
            match (wanted, error) {
                (None, error) => assert_eq!(error, None, "{key}"),
                (Some(wanted), error) => {
                    assert!(error.clone().unwrap_or_default().contains(wanted), "{key}: {error:?}")
                }
            }
        }
    }

    /// Names the configuration file of a broker on this host that a test may change.
    const BROKER: &str = "KFLEET_TEST_BROKER";

    /// Runs the module against a live broker: what it does and, again, nothing.
    fn live(config: &str, params: &Value) -> Result<(bool, bool), ModuleError> {
        use crate::host::RealHost;
        use crate::host::real::tests::TestContext;
        use crate::modules::{AnyModule, Call};
        let mut params = params.as_object().unwrap().clone();
        params.insert("config".to_owned(), config.into());
        let params = Module::doc(&KafkaDynamicConfig).normalise(&params, |_| false).unwrap();
        let host = RealHost::new(std::sync::Arc::new(TestContext::new()));
        let run = || KafkaDynamicConfig.run(&host, Call { params: &params, check: false, diff: true }, &mut |_| Ok(()));
        Ok((run()?.changed, run()?.changed))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_live_broker_takes_changes_while_it_runs() {
        use serde_json::json;
        let Ok(config) = std::env::var(BROKER) else {
            println!("skipped: {BROKER} does not name the configuration of a broker on this host");
            return;
        };
        let work = move || {
            for (params, wanted) in [
                (json!({"settings": {"num.io.threads": 6, "log.cleaner.threads": "2"}}), (true, false)),
                (json!({"settings": {"num.io.threads": 6}, "absent": ["log.cleaner.threads"]}), (true, false)),
                (json!({"scope": "cluster", "settings": {"unclean.leader.election.enable": "TRUE"}}), (true, false)),
                (json!({"scope": "cluster", "absent": ["unclean.leader.election.enable"]}), (true, false)),
                (json!({"absent": ["num.io.threads"]}), (true, false)),
            ] {
                assert_eq!(live(&config, &params).unwrap(), wanted, "{params}");
            }
            for (params, wanted) in [
                (json!({"settings": {"num.io.threads": "many"}}), "num.io.threads"),
                (json!({"scope": "topic", "topic": "no-such", "settings": {"retention.ms": 1}}), "UNKNOWN_TOPIC"),
            ] {
                let error = live(&config, &params).unwrap_err().to_string();
                assert!(error.contains(wanted), "{params}: {error}");
            }
        };
        // As the agent does: modules run on threads that may block.
        tokio::task::spawn_blocking(work).await.unwrap();
    }
}
