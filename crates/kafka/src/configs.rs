//! Configuration that a running cluster takes: of one broker, of all brokers, of a topic.
//!
//! Read with DescribeConfigs and changed with IncrementalAlterConfigs (KIP-226, KIP-339), which names single keys and
//! leaves the others alone. Values of secret keys are never told by a broker, so they can not be kept this way.

use crate::access::KafkaAccess;
use crate::connection::Connection;
use crate::error::{ErrorCode, KafkaError};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use kfleet_model::BrokerId;
use kfleet_model::drift::RunningValue;
use std::collections::BTreeMap;
use std::fmt;
use tokio::time::Instant;

/// `ConfigResource.Type` of the protocol.
pub(crate) const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// `AlterConfigOp.OpType` of the protocol.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// `DescribeConfigsResponse.ConfigSource` TOPIC_CONFIG.
pub(crate) const OF_TOPIC: i8 = 1;

/// Whose configuration it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOf {
    /// One broker's own. Only that broker answers for it.
    Broker(BrokerId),
    /// What holds for every broker that has no value of its own.
    AllBrokers,
    /// A topic's.
    Topic(String),
}

impl fmt::Display for ConfigOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
            Self::Topic(name) => write!(f, "topic {name}"),
        }
    }
}

impl ConfigOf {
    fn kind(&self) -> i8 {
        match self {
            Self::Broker(_) | Self::AllBrokers => BROKER,
            Self::Topic(_) => TOPIC,
        }
    }

    /// The default of all brokers has the empty name.
    fn name(&self) -> StrBytes {
        StrBytes::from_string(match self {
            Self::Broker(id) => id.to_string(),
            Self::AllBrokers => String::new(),
            Self::Topic(name) => name.clone(),
        })
    }

    /// `DescribeConfigsResponse.ConfigSource` of a value that was set here, and not inherited: DYNAMIC_BROKER_CONFIG,
    /// DYNAMIC_DEFAULT_BROKER_CONFIG, TOPIC_CONFIG.
    fn source(&self) -> i8 {
        match self {
            Self::Topic(_) => OF_TOPIC,
            Self::Broker(_) => 2,
            Self::AllBrokers => 3,
        }
    }
}

/// Reads the values that were set dynamically. A key that has none there is not in the answer, whatever it inherits.
///
/// # Errors
/// When the broker can not be reached or refuses: for a topic that is not there, or another broker than itself.
pub async fn dynamic_configs(
    access: &KafkaAccess,
    of: &ConfigOf,
    keys: &[String],
    deadline: Instant,
) -> Result<BTreeMap<String, String>, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let configs = describe(&mut broker, of, Some(keys), deadline).await?;
    Ok(configs.iter().filter_map(|config| own_value(config, of.source())).collect())
}

/// Asks for the given keys, or for all.
async fn describe(
    broker: &mut Connection,
    of: &ConfigOf,
    keys: Option<&[String]>,
    deadline: Instant,
) -> Result<Vec<DescribeConfigsResourceResult>, KafkaError> {
    let keys = keys.map(|keys| keys.iter().map(|key| StrBytes::from_string(key.clone())).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(of.kind())
        .with_resource_name(of.name())
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let answer = broker.call(&request, deadline).await?;
    let mut configs = Vec::new();
    for result in answer.results {
        if let Some(code) = ErrorCode::check(result.error_code) {
            let message = result.error_message.as_deref();
            return Err(broker.refused(DescribeConfigsRequest::KEY, of.to_string(), code.0, message));
        }
        configs.extend(result.configs);
    }
    Ok(configs)
}

/// The value of a key that was set at the level of `source`; a narrower level may hide it.
pub(crate) fn own_value(config: &DescribeConfigsResourceResult, source: i8) -> Option<(String, String)> {
    let own = config.synonyms.iter().find(|synonym| synonym.source == source && synonym.name == config.name);
    let value = match own {
        Some(synonym) => synonym.value.as_ref(),
        None if config.config_source == source => config.value.as_ref(),
        None => None,
    };
    Some((config.name.to_string(), value?.to_string()))
}

/// `DescribeConfigsResponse.ConfigSource` STATIC_BROKER_CONFIG.
const FILE: i8 = 4;

/// Reads everything that a broker runs with.
///
/// # Errors
/// When the broker can not be reached or refuses.
pub async fn running_config(
    access: &KafkaAccess,
    deadline: Instant,
) -> Result<BTreeMap<String, RunningValue>, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let of = ConfigOf::Broker(access.node());
    let configs = describe(&mut broker, &of, None, deadline).await?;
    let level = |config: &DescribeConfigsResourceResult, source| own_value(config, source).map(|(_, value)| value);
    let levels = |config: DescribeConfigsResourceResult| {
        let levels = RunningValue {
            file: level(&config, FILE),
            broker: level(&config, of.source()),
            cluster: level(&config, ConfigOf::AllBrokers.source()),
            hidden: config.is_sensitive,
        };
        (config.name.to_string(), levels)
    };
    Ok(configs.into_iter().map(levels).collect())
}

/// Where a broker has the value of a key from: `DescribeConfigsResponse.ConfigSource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set dynamically for this broker.
    Broker,
    /// Set dynamically for all brokers.
    Cluster,
    /// From the broker's file.
    Static,
    /// Built in.
    Default,
    /// Another one, by its number: that of a logger, of a group, or one that is not known here.
    Other(i8),
}

impl ConfigSource {
    fn of(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::Cluster,
            FILE => Self::Static,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

/// What is in force for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    /// The value; none when it is null, or a secret, which no broker tells.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// Reads what is in force at a broker, defaults included.
///
/// # Errors
/// When the broker can not be reached or refuses.
pub async fn effective_config(
    access: &KafkaAccess,
    deadline: Instant,
) -> Result<BTreeMap<String, EffectiveValue>, KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let configs = describe(&mut broker, &ConfigOf::Broker(access.node()), None, deadline).await?;
    let effective = |config: DescribeConfigsResourceResult| {
        let value = config.value.filter(|_| !config.is_sensitive).map(|value| value.to_string());
        (config.name.to_string(), EffectiveValue { value, source: ConfigSource::of(config.config_source) })
    };
    Ok(configs.into_iter().map(effective).collect())
}

/// Sets keys, and takes those without a value back to what they inherit. All or nothing; a repeat is harmless.
///
/// # Errors
/// When the broker can not be reached, or refuses: it names the key and why.
pub async fn alter_configs(
    access: &KafkaAccess,
    of: &ConfigOf,
    changes: &BTreeMap<String, Option<String>>,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let mut broker = Connection::open(access, access.address(), deadline).await?;
    let change = |(key, value): (&String, &Option<String>)| {
        AlterableConfig::default()
            .with_name(StrBytes::from_string(key.clone()))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.clone().map(StrBytes::from_string))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(of.kind())
        .with_resource_name(of.name())
        .with_configs(changes.iter().map(change).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = broker.call(&request, deadline).await?;
    for result in answer.responses {
        if let Some(code) = ErrorCode::check(result.error_code) {
            let message = result.error_message.as_deref();
            return Err(broker.refused(IncrementalAlterConfigsRequest::KEY, of.to_string(), code.0, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Broker, answer, answers_versions};
    use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResult, DescribeConfigsSynonym};
    use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
    use kafka_protocol::messages::{DescribeConfigsResponse, IncrementalAlterConfigsResponse};
    use std::time::Duration;

    const APIS: [(i16, i16, i16); 3] = [(3, 0, 12), (32, 1, 4), (44, 0, 1)];

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// A key with its values at several levels, the narrowest first.
    fn config(name: &'static str, levels: &[(i8, &'static str)]) -> DescribeConfigsResourceResult {
        let synonyms = levels.iter().map(|(source, value)| {
            DescribeConfigsSynonym::default().with_name(text(name)).with_value(Some(text(value))).with_source(*source)
        });
        let (source, value) = levels[0];
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_config_source(source)
            .with_synonyms(synonyms.collect())
    }

    #[test]
    fn only_what_was_set_at_its_own_level_counts() {
        let key = config("log.cleaner.threads", &[(2, "4"), (3, "3"), (4, "2"), (5, "1")]);
        for (of, wanted) in [
            (ConfigOf::Broker(BrokerId(1)), Some("4")),
            (ConfigOf::AllBrokers, Some("3")),
            (ConfigOf::Topic("t".into()), None),
        ] {
            let got = own_value(&key, of.source()).map(|(_, value)| value);
            assert_eq!(got.as_deref(), wanted, "{of}");
        }
        let inherited = config("log.cleaner.threads", &[(4, "2"), (5, "1")]);
        assert_eq!(own_value(&inherited, 2), None, "the file's value is not a dynamic one");
        // The default of a broker's key may come under another name: log.retention.ms has log.retention.hours.
        let mut renamed = config("retention.ms", &[(3, "1")]);
        renamed.synonyms[0].name = text("log.retention.ms");
        renamed.config_source = 5;
        assert_eq!(own_value(&renamed, 3), None);
    }

    #[tokio::test]
    async fn values_are_read_and_changed_over_the_wire() {
        let broker = Broker::start(|asked| match asked.api {
            18 => Some(answers_versions(&asked, &APIS)),
            32 => {
                let configs = vec![config("log.cleaner.threads", &[(2, "4")]), config("num.io.threads", &[(4, "8")])];
                let result = DescribeConfigsResult::default().with_configs(configs);
                let all = DescribeConfigsResponse::default().with_results(vec![result]);
                Some(answer::<DescribeConfigsRequest>(&asked, &all))
            }
            _ => {
                let fine = AlterConfigsResourceResponse::default();
                let all = IncrementalAlterConfigsResponse::default().with_responses(vec![fine]);
                Some(answer::<IncrementalAlterConfigsRequest>(&asked, &all))
            }
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        let of = ConfigOf::Broker(BrokerId(1));
        let keys = ["log.cleaner.threads".to_owned(), "num.io.threads".to_owned()];
        let found = dynamic_configs(&access, &of, &keys, soon()).await.unwrap();
        assert_eq!(found, BTreeMap::from([("log.cleaner.threads".to_owned(), "4".to_owned())]));
        let running = running_config(&access, soon()).await.unwrap();
        assert_eq!(running["log.cleaner.threads"].broker.as_deref(), Some("4"));
        let threads = RunningValue { file: Some("8".to_owned()), ..RunningValue::default() };
        assert_eq!(running["num.io.threads"], threads);
        let effective = effective_config(&access, soon()).await.unwrap();
        let effect = |value: &str, source| EffectiveValue { value: Some(value.to_owned()), source };
        assert_eq!(effective["log.cleaner.threads"], effect("4", ConfigSource::Broker));
        assert_eq!(effective["num.io.threads"], effect("8", ConfigSource::Static));
        let changes = BTreeMap::from([("log.cleaner.threads".to_owned(), None)]);
        alter_configs(&access, &of, &changes, soon()).await.unwrap();
        let asked: Vec<i16> = broker.asked().iter().map(|asked| asked.api).filter(|api| *api != 18).collect();
        assert_eq!(asked, [32, 32, 32, 44]);
    }

    #[tokio::test]
    async fn a_refusal_says_whose_configuration_and_why() {
        let broker = Broker::start(|asked| match asked.api {
            18 => Some(answers_versions(&asked, &APIS)),
            _ => {
                let refusal = AlterConfigsResourceResponse::default()
                    .with_error_code(40)
                    .with_error_message(Some(text("Cannot update these configs dynamically: Set(log.dirs)")));
                let all = IncrementalAlterConfigsResponse::default().with_responses(vec![refusal]);
                Some(answer::<IncrementalAlterConfigsRequest>(&asked, &all))
            }
        })
        .await;
        let access = KafkaAccess::plaintext(broker.address.clone(), BrokerId(1));
        let changes = BTreeMap::from([("log.dirs".to_owned(), Some("/x".to_owned()))]);
        let error = alter_configs(&access, &ConfigOf::AllBrokers, &changes, soon()).await.unwrap_err().to_string();
        assert!(error.contains("all brokers") && error.contains("Cannot update these configs"), "{error}");
    }
}
