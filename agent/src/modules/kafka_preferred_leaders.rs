//! Leadership given back to the broker on this host, where it is the preferred leader and in sync.
//!
//! Only preferred elections are ever asked for: they move leadership between replicas that are in sync and lose
//! nothing. Not here: unclean elections, the order of replicas.

use super::cluster_info::kafka_params;
use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, returns};
use kfleet_model::{BrokerId, Change, Map, TopicPartition, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the cluster is looked at until every broker has heard of the new leaders.
const LOOK: Duration = Duration::from_millis(250);

/// How many times.
const LOOKS: u32 = 40;

/// The module.
pub(super) struct KafkaPreferredLeaders;

/// What was found.
pub(super) struct Seen {
    node: BrokerId,
    /// Partitions that another broker leads, with it.
    away: Vec<(TopicPartition, Option<BrokerId>)>,
}

fn observe(host: &dyn HostView, params: &Map) -> Result<Seen, ModuleError> {
    let (node, away) = collect::preferred_but_not_led(host, params)?;
    Ok(Seen { node, away })
}

impl Module for KafkaPreferredLeaders {
    type Params = Map;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "kafka_preferred_leaders".into(),
            summary: "Gives the broker on the host the leadership of the partitions that prefer it".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: kafka_params(),
            returns: vec![
                returns("node", "the broker's id"),
                returns("elected", "partitions whose leader has changed"),
                returns("away", "partitions that prefer the broker, are in sync with it and have another leader"),
            ],
            examples: "- name: The broker leads again what it led\n  kafka_preferred_leaders:\n".into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<Seen, ModuleError> {
        observe(host, params)
    }

    fn diff(&self, _params: &Map, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let change = |(partition, leader): &(TopicPartition, Option<BrokerId>)| {
            let from = leader.map_or(Value::Null, |leader| leader.to_string().into());
            Change::new(partition.to_string(), "leader", from, state.node.to_string())
        };
        Ok(state.away.iter().map(change).collect())
    }

    fn apply(&self, host: &dyn Host, params: &Map, state: &Seen, _changes: &[Change]) -> Result<Applied, ModuleError> {
        let partitions: BTreeSet<TopicPartition> = state.away.iter().map(|(partition, _)| partition.clone()).collect();
        host.progress(&format!("asking for {} preferred elections", partitions.len()));
        let election = collect::elect(host.view(), params, &partitions)?;
        let names = |partitions: &BTreeSet<TopicPartition>| -> Vec<Value> {
            partitions.iter().map(|partition| partition.to_string().into()).collect()
        };
        let mut applied = Applied::new();
        applied.insert("elected".into(), names(&election.elected).into());
        if !election.failed.is_empty() {
            let why: Vec<String> =
                election.failed.iter().map(|(partition, code)| format!("{partition}: {code}")).collect();
            let msg = format!("{} preferred elections failed: {}", why.len(), why.join(", "));
            return Err(ModuleError::Failed { msg, data: applied });
        }
        // The broker itself hears of its leadership a moment after the controller has decided.
        for _ in 0..LOOKS {
            if observe(host.view(), params)?.away.is_empty() {
                break;
            }
            host.pause(LOOK, "the brokers to hear of the new leaders")?;
        }
        Ok(applied)
    }

    fn found(&self, _params: &Map, state: &Seen) -> Map {
        let away: Vec<Value> = state.away.iter().map(|(partition, _)| partition.to_string().into()).collect();
        Map::from_iter([
            ("node".to_owned(), serde_json::to_value(state.node).unwrap_or(Value::Null)),
            ("away".to_owned(), away.into()),
        ])
    }
}
