//! Leadership given back to the broker on this host, where it is the preferred leader and in sync.
//!
//! Only preferred elections are ever asked for: they move leadership between replicas that are in sync and lose
//! nothing. Not here: unclean elections, the order of replicas.

use super::cluster_info::kafka_params;
use super::{Applied, Module, ModuleError};
use crate::collect::{self, AwayFromHome};
use crate::host::{Host, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, TopicPartition, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the cluster is looked at until every broker has heard of the new leaders.
const LOOK: Duration = Duration::from_millis(250);

/// How many times.
const LOOKS: u32 = 40;

/// The module.
pub(super) struct KafkaPreferredLeaders;

impl Module for KafkaPreferredLeaders {
    type Params = Map;
    type State = Vec<AwayFromHome>;

    fn doc(&self) -> ModuleDoc {
        let mut params = kafka_params();
        params.push(param(
            "partitions",
            ParamKind::List,
            "Only these, each a mapping of topic and partition, whichever broker they prefer; else all that prefer \
             the broker on the host.",
        ));
        ModuleDoc {
            name: "kafka_preferred_leaders".into(),
            summary: "Gives the leadership of partitions back to their preferred leader".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("elected", "partitions whose leader has changed"),
                returns("away", "partitions whose preferred leader is in sync and does not lead"),
            ],
            examples: "- name: The broker leads again what it led\n  kafka_preferred_leaders:\n".into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<Vec<AwayFromHome>, ModuleError> {
        Ok(collect::away_from_home(host, params)?)
    }

    fn diff(&self, _params: &Map, state: &Vec<AwayFromHome>) -> Result<Vec<Change>, ModuleError> {
        let change = |away: &AwayFromHome| {
            let from = away.leader.map_or(Value::Null, |leader| leader.to_string().into());
            Change::new(away.partition.to_string(), "leader", from, away.preferred.to_string())
        };
        Ok(state.iter().map(change).collect())
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Map,
        state: &Vec<AwayFromHome>,
        _changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let partitions: BTreeSet<TopicPartition> = state.iter().map(|away| away.partition.clone()).collect();
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
            if collect::away_from_home(host.view(), params)?.is_empty() {
                break;
            }
            host.pause(LOOK, "the brokers to hear of the new leaders")?;
        }
        Ok(applied)
    }

    fn found(&self, _params: &Map, state: &Vec<AwayFromHome>) -> Map {
        let away: Vec<Value> = state.iter().map(|away| away.partition.to_string().into()).collect();
        Map::from_iter([("away".to_owned(), away.into())])
    }
}
