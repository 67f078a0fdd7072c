//! Access control lists of the cluster of the broker on this host.
//!
//! It adds what is missing, or takes away exactly what is named; bindings that are not named are never touched. One task
//! on one broker is enough for a cluster (`run_once`). Not here: which principals there are (`sasl`, certificates).

use super::cluster_info::kafka_params;
use super::{Applied, Module, ModuleError};
use crate::collect;
use crate::host::{Host, HostView};
use kfleet_kafka::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, nearest, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// The only name that the resource `cluster` has.
const CLUSTER: &str = "kafka-cluster";

/// How often the broker is asked until it has heard of a change.
const LOOK: Duration = Duration::from_millis(100);

/// How many times.
const LOOKS: u32 = 50;

/// The module.
pub(super) struct KafkaAcls;

/// One entry of the parameter `acls`, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    principal: String,
    operations: Vec<String>,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    permission: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    Absent,
}

/// What is wanted, what is there.
pub(super) struct Seen {
    wanted: BTreeSet<AclBinding>,
    there: BTreeSet<AclBinding>,
    state: State,
}

impl Seen {
    /// What has to be added, or to be taken away.
    fn changes(&self) -> BTreeSet<AclBinding> {
        match self.state {
            State::Present => self.wanted.difference(&self.there).cloned().collect(),
            State::Absent => self.wanted.intersection(&self.there).cloned().collect(),
        }
    }
}

/// One of Kafka's words; an unknown one is answered with the nearest.
fn word<T: serde::de::DeserializeOwned>(what: &str, text: &str, words: &[&str]) -> Result<T, ModuleError> {
    let lower = text.to_lowercase();
    serde_json::from_value(Value::String(lower.clone())).map_err(|_| {
        let hint = nearest(&lower, words.iter().copied()).map(|word| format!(" (did you mean {word}?)"));
        let all = words.join(", ");
        ModuleError::Invalid(format!("{what} {text:?} is none of {all}{}", hint.unwrap_or_default()))
    })
}

/// The bindings that an entry means: one for each of its operations.
fn bindings(entry: &Entry) -> Result<Vec<AclBinding>, ModuleError> {
    let principal = entry.principal.as_str();
    if !principal.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty()) {
        return Err(ModuleError::Invalid(format!(
            "principal {principal:?} is not TYPE:NAME, such as User:{principal}"
        )));
    }
    let resource = word("resource", entry.resource.as_deref().unwrap_or("topic"), ResourceType::WORDS)?;
    let name = match (resource, entry.name.as_deref()) {
        (ResourceType::Cluster, None | Some(CLUSTER)) => CLUSTER,
        (ResourceType::Cluster, Some(other)) => {
            return Err(ModuleError::Invalid(format!("the resource cluster is named {CLUSTER}, not {other:?}")));
        }
        (_, Some(name)) if !name.is_empty() => name,
        (_, Some(_) | None) => return Err(ModuleError::Invalid(format!("the {resource} needs a name; * means all"))),
    };
    if entry.operations.is_empty() {
        return Err(ModuleError::Invalid(format!("the entry of {principal} names no operation")));
    }
    let pattern = word("pattern", entry.pattern.as_deref().unwrap_or("literal"), PatternType::WORDS)?;
    let permission = word("permission", entry.permission.as_deref().unwrap_or("allow"), Permission::WORDS)?;
    let one = |text: &String| {
        Ok(AclBinding {
            principal: principal.to_owned(),
            resource,
            name: name.to_owned(),
            pattern,
            operation: word("operation", text, Operation::WORDS)?,
            host: entry.host.clone().unwrap_or_else(|| "*".to_owned()),
            permission,
        })
    };
    entry.operations.iter().map(one).collect()
}

/// The parameters of this module, and those that say how the broker is asked.
fn split(params: &Map) -> Result<(BTreeSet<AclBinding>, State, Map), ModuleError> {
    let mut access = params.clone();
    let list = access.remove("acls").unwrap_or_else(|| Value::Array(Vec::new()));
    let entries: Vec<Entry> = serde_json::from_value(list).map_err(|error| {
        ModuleError::Invalid(format!(
            "acls must be a list of entries with principal, operations, resource, name: {error}"
        ))
    })?;
    let state = match access.remove("state").as_ref().and_then(Value::as_str) {
        Some("absent") => State::Absent,
        Some(_) | None => State::Present,
    };
    let mut all = BTreeSet::new();
    for entry in &entries {
        all.extend(bindings(entry)?);
    }
    Ok((all, state, access))
}

impl Module for KafkaAcls {
    type Params = Map;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        let mut params = kafka_params();
        params.extend([
            param(
                "acls",
                ParamKind::List,
                "Entries with principal (TYPE:NAME), operations (a list), resource (topic by default, group, cluster, \
                 transactional_id, delegation_token, user), name (* means all), pattern (literal by default, prefixed), \
                 host (* by default) and permission (allow by default, deny).",
            )
            .required(),
            param("state", ParamKind::Str, "Whether the bindings are there. Others are never touched.")
                .choices(&["present", "absent"])
                .default("present"),
        ]);
        ModuleDoc {
            name: "kafka_acls".into(),
            summary: "Adds bindings to a cluster's access control lists, or takes them away".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params,
            returns: vec![
                returns("added", "bindings that were added"),
                returns("removed", "bindings that were taken away"),
                returns("bindings", "how many the cluster had before"),
            ],
            examples: include_str!("examples/kafka_acls.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Map) -> Result<Seen, ModuleError> {
        let (wanted, state, access) = split(params)?;
        Ok(Seen { wanted, there: collect::acls(host, &access)?.bindings, state })
    }

    fn diff(&self, _params: &Map, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let (from, to) = match state.state {
            State::Present => ("absent", "present"),
            State::Absent => ("present", "absent"),
        };
        Ok(state.changes().iter().map(|binding| Change::new("acl", binding.to_string(), from, to)).collect())
    }

    fn apply(&self, host: &dyn Host, params: &Map, state: &Seen, _changes: &[Change]) -> Result<Applied, ModuleError> {
        let (_, _, access) = split(params)?;
        let changes = state.changes();
        let mut applied = Applied::new();
        let names: Vec<Value> = changes.iter().map(|binding| binding.to_string().into()).collect();
        match state.state {
            State::Present => {
                collect::create_acls(host.view(), &access, &changes)?;
                applied.insert("added".into(), names.into());
            }
            State::Absent => {
                collect::delete_acls(host.view(), &access, &changes)?;
                applied.insert("removed".into(), names.into());
            }
        }
        // The broker that is asked hears of it a moment after whoever keeps the lists.
        for _ in 0..LOOKS {
            if self.observe(host.view(), params)?.changes().is_empty() {
                break;
            }
            host.pause(LOOK, "the broker to hear of the new lists")?;
        }
        Ok(applied)
    }

    fn found(&self, _params: &Map, state: &Seen) -> Map {
        Map::from_iter([("bindings".to_owned(), state.there.len().into())])
    }
}
