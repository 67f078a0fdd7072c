//! Coordinators of groups: asked where they were seen, and looked for when they have moved.
//!
//! FindCoordinator makes Kafka create its topic of offsets where there is none, which can not happen here: a group that
//! was listed stands in that topic.

use super::groups::{GROUPS_A_REQUEST, OFFSETS_TOPIC, about};
use super::peers::Peers;
use super::{ATTEMPTS, Shared, Survey, pause, still_open};
use crate::error::{ErrorCode, KafkaError};
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::{Request, StrBytes};
use kfleet_model::BrokerId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// FindCoordinator for many groups came with version 4 (KIP-699, Kafka 3.0).
const MANY_COORDINATORS: i16 = 4;

impl Survey {
    /// Asks the coordinators of groups, and those that are found anew when one has moved.
    pub(super) async fn of_coordinators<T>(
        &mut self,
        groups: &BTreeSet<String>,
        api: i16,
        ask: impl AsyncFn(&mut Peers, BrokerId, &[String], Instant) -> BTreeMap<String, Shared<T>>,
        deadline: Instant,
    ) -> BTreeMap<String, Shared<T>> {
        let mut found = self.ask_coordinators(groups, api, &ask, deadline).await;
        for _ in 1..ATTEMPTS {
            let open = still_open(&found);
            if open.is_empty() || !pause(deadline).await {
                break;
            }
            // The new coordinator may be a broker that was not there before.
            self.look_again(&BTreeSet::from([OFFSETS_TOPIC.to_owned()]), deadline).await;
            let lost = find(&mut self.peers, &mut self.coordinators, &open, deadline).await;
            let again = open.into_iter().filter(|name| !lost.contains_key(name)).collect();
            found.extend(lost.into_iter().map(|(name, error)| (name, Err(error))));
            found.extend(self.ask_coordinators(&again, api, &ask, deadline).await);
        }
        found
    }

    async fn ask_coordinators<T>(
        &mut self,
        groups: &BTreeSet<String>,
        api: i16,
        ask: &impl AsyncFn(&mut Peers, BrokerId, &[String], Instant) -> BTreeMap<String, Shared<T>>,
        deadline: Instant,
    ) -> BTreeMap<String, Shared<T>> {
        let own = self.peers.own();
        let mut found = BTreeMap::new();
        let mut kept: BTreeMap<BrokerId, Vec<String>> = BTreeMap::new();
        for name in groups {
            let node = self.coordinators.get(name).copied().unwrap_or(own);
            kept.entry(node).or_default().push(name.clone());
        }
        for (node, names) in kept {
            for some in names.chunks(GROUPS_A_REQUEST) {
                let mut answer = ask(&mut self.peers, node, some, deadline).await;
                for name in some {
                    let missing = || Err(self.peers.incomplete(node, api, about(name)));
                    found.insert(name.clone(), answer.remove(name).unwrap_or_else(missing));
                }
            }
        }
        found
    }
}

/// Looks for coordinators and notes those that are found; gives the groups that have none, with why.
async fn find(
    peers: &mut Peers,
    coordinators: &mut BTreeMap<String, BrokerId>,
    groups: &BTreeSet<String>,
    deadline: Instant,
) -> BTreeMap<String, Arc<KafkaError>> {
    let own = peers.own();
    let names: Vec<&String> = groups.iter().collect();
    let version = match peers.highest::<FindCoordinatorRequest>(own, deadline).await {
        Ok(version) => version.unwrap_or(0),
        Err(error) => return names.into_iter().map(|name| (name.clone(), error.clone())).collect(),
    };
    let mut lost = BTreeMap::new();
    let at_once = if version >= MANY_COORDINATORS { GROUPS_A_REQUEST } else { 1 };
    for some in names.chunks(at_once) {
        let keys: Vec<StrBytes> = some.iter().map(|name| StrBytes::from_string((*name).clone())).collect();
        let request = FindCoordinatorRequest::default();
        let request = match keys.as_slice() {
            [key] if at_once == 1 => request.with_key(key.clone()),
            _ => request.with_coordinator_keys(keys),
        };
        let answer = match peers.call(own, &request, 0, deadline).await {
            Ok(answer) => answer,
            Err(error) => {
                lost.extend(some.iter().map(|name| ((*name).clone(), error.clone())));
                continue;
            }
        };
        let told: Vec<(String, i32, i16)> = if at_once == 1 {
            some.iter().map(|name| ((*name).clone(), answer.node_id.0, answer.error_code)).collect()
        } else {
            answer.coordinators.iter().map(|one| (one.key.to_string(), one.node_id.0, one.error_code)).collect()
        };
        for (name, node, code) in told {
            match ErrorCode::check(code) {
                None => _ = coordinators.insert(name, BrokerId(node)),
                Some(code) => {
                    let error = peers.refused(own, FindCoordinatorRequest::KEY, about(&name), code, None);
                    lost.insert(name, error);
                }
            }
        }
    }
    lost
}
