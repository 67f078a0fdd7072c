//! Configuration files of Kafka and ZooKeeper, key by key: `kafka_config` and `zookeeper_config`.
//!
//! A file is made, or edited where it stands: comments, order and all keys that the task does not name are kept. Keys
//! and values are checked against the release (`kfleet_config`) with the file as it will be, before anything is
//! written; what keeps the service from starting, or loses messages, fails the task.
//! Not here: restarts (a handler's), changes to running brokers (`kafka_dynamic_config`), conflicts between hosts.

mod check;
mod file;

use super::shared::attributes::{Asked, params as attribute_params};
use super::shared::edit::{self, Options, Target};
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use file::{Document, Kind};
use kfleet_config::Update;
use kfleet_config::definitions::KAFKA;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;

/// The two modules that are made of this.
pub(super) struct ServiceConfig {
    service: Service,
}

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Kafka,
    ZooKeeper,
}

impl ServiceConfig {
    /// `kafka_config`.
    pub(super) const KAFKA: Self = Self { service: Service::Kafka };
    /// `zookeeper_config`.
    pub(super) const ZOOKEEPER: Self = Self { service: Service::ZooKeeper };
}

/// Their parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    path: Option<String>,
    #[serde(default)]
    kind: Kind,
    version: Option<String>,
    #[serde(default)]
    settings: Map,
    #[serde(default)]
    absent: Vec<Value>,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    checks: Checks,
    #[serde(default)]
    extra_keys: Vec<Value>,
    myid: Option<i64>,
    #[serde(default)]
    backup: bool,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<String>,
    #[serde(default, rename = "unsafe_writes")]
    _unsafe_writes: bool,
}

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Checks {
    /// The whole file: keys, values, what the role needs, unsafe combinations.
    #[default]
    All,
    /// What the task sets, for a file that several tasks make together.
    Keys,
    /// Nothing.
    None,
}

/// What was found.
pub(super) struct Found {
    file: Target,
    /// The file with the server's id, where one is asked for.
    my_id: Option<Target>,
}

impl Params {
    fn options(&self) -> Options<'_> {
        let asked = Asked { owner: self.owner.as_deref(), group: self.group.as_deref(), mode: self.mode.as_deref() };
        Options { asked, backup: self.backup, validate: None }
    }

    fn path(&self, service: Service) -> &str {
        self.path.as_deref().unwrap_or(self.kind.path(service))
    }

    /// The file as it shall be.
    fn wanted(&self, target: &Target) -> Result<Document, ModuleError> {
        let mut document = self.kind.open(target.content.as_deref().unwrap_or_default(), &target.path)?;
        document.edit(&self.settings, &file::texts("absent", &self.absent)?, self.exclusive)?;
        Ok(document)
    }
}

/// The line of a `myid` file.
fn my_id_text(id: i64) -> Vec<u8> {
    format!("{id}\n").into_bytes()
}

impl Module for ServiceConfig {
    type Params = Params;
    type State = Found;

    fn doc(&self) -> ModuleDoc {
        let kafka = self.service == Service::Kafka;
        let (name, summary, examples) = match self.service {
            Service::Kafka => (
                "kafka_config",
                "Keeps keys of Kafka's configuration files, checked against the release",
                include_str!("examples/kafka_config.yaml"),
            ),
            Service::ZooKeeper => (
                "zookeeper_config",
                "Keeps keys of ZooKeeper's configuration files, checked against the release",
                include_str!("examples/zookeeper_config.yaml"),
            ),
        };
        let mut results = vec![
            returns("restart_required", "whether something was changed that only a restart brings into effect"),
            returns("restart_keys", "the changed keys that need one"),
            returns("backup", "the path of the copy that was kept"),
            returns("findings", "when the check fails: severity, key, line, text and hint of each problem"),
        ];
        if kafka {
            let what = "the changed keys that running brokers take without one (kafka-configs.sh, KIP-226)";
            results.insert(2, returns("dynamic_keys", what));
        }
        ModuleDoc {
            name: name.into(),
            summary: summary.into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params(self.service),
            returns: results,
            examples: examples.into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Found, ModuleError> {
        let file = edit::open(host, params.path(self.service), params.options().asked)?;
        let my_id = match (params.myid, params.kind) {
            (None, _) => None,
            (Some(_), Kind::Server) => {
                let data = params.wanted(&file)?.get("dataDir");
                let data = data.ok_or_else(|| ModuleError::Invalid("myid needs the dataDir of the file".to_owned()))?;
                let path = format!("{}/myid", data.trim().trim_end_matches('/'));
                Some(edit::open(host, &path, params.options().asked)?)
            }
            (Some(_), Kind::Log4j | Kind::Environment | Kind::Jaas) => {
                return Err(ModuleError::Invalid("myid goes with kind server only".to_owned()));
            }
        };
        Ok(Found { file, my_id })
    }

    fn diff(&self, params: &Params, state: &Found) -> Result<Vec<Change>, ModuleError> {
        let wanted = params.wanted(&state.file)?;
        self.refuse_errors(params, &wanted)?;
        let asked = params.options().asked;
        let mut changes = wanted.changes(&state.file);
        asked.differs(&state.file.path, &state.file.found, false, &mut changes)?;
        if let (Some(target), Some(id)) = (&state.my_id, params.myid) {
            let object = target.path.display().to_string();
            let old = target.content.as_deref().map(|text| String::from_utf8_lossy(text).trim().to_owned());
            if target.content.as_deref() != Some(&my_id_text(id)) {
                changes.push(Change::new(object, "myid", old.map_or(Value::Null, Value::from), id.to_string()));
            }
            asked.differs(&target.path, &target.found, false, &mut changes)?;
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Found,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let touches = |target: &Target| {
            let path = target.path.display().to_string();
            changes.iter().any(|change| change.object == path)
        };
        let mut applied = Applied::new();
        if let (Some(target), Some(id)) = (&state.my_id, params.myid)
            && touches(target)
        {
            edit::install(host, target, &my_id_text(id), &Options { backup: false, ..params.options() })?;
        }
        if touches(&state.file) {
            let wanted = params.wanted(&state.file)?.to_bytes();
            applied = edit::install(host, &state.file, &wanted, &params.options())?;
        }
        applied.extend(self.effects(params, state));
        Ok(applied)
    }

    fn found(&self, params: &Params, state: &Found) -> Map {
        let mut data = Map::new();
        data.insert("path".into(), state.file.path.display().to_string().into());
        state.file.found.describe(&mut data);
        data.extend(self.effects(params, state));
        // What `diff` refuses never comes here; the rest is for the operator to know.
        if let Ok(wanted) = params.wanted(&state.file)
            && let Ok(findings) = self.findings(params, &wanted)
        {
            let texts: Vec<Value> = findings.iter().map(|finding| check::sentence(finding).into()).collect();
            data.insert("warnings".into(), texts.into());
        }
        data
    }

    /// A JAAS file is all secrets; the other kinds have no text differences.
    fn secret(&self, params: &Params) -> bool {
        params.kind == Kind::Jaas
    }
}

impl ServiceConfig {
    /// What the changes of the file mean for the running service.
    fn effects(&self, params: &Params, state: &Found) -> Map {
        let changes = params.wanted(&state.file).map(|wanted| wanted.changes(&state.file)).unwrap_or_default();
        let release = params.version.as_deref().and_then(|version| version.parse().ok());
        let dynamic = |key: &str| {
            let update = release.and_then(|release| KAFKA.get(key, release)).map(|found| found.update);
            self.service == Service::Kafka && params.kind == Kind::Server && update.is_some_and(Update::is_dynamic)
        };
        let keys = changes.iter().map(|change| change.property.as_str()).filter(|key| *key != file::STATE);
        let (live, restart): (Vec<&str>, Vec<&str>) = keys.partition(|key| dynamic(key));
        let list = |keys: Vec<&str>| Value::from(keys.into_iter().map(Value::from).collect::<Vec<_>>());
        let renumbered = match (&state.my_id, params.myid) {
            (Some(target), Some(id)) => target.content.as_deref() != Some(&my_id_text(id)),
            (None, _) | (_, None) => false,
        };
        let mut effects = Map::new();
        effects.insert("restart_required".into(), (!restart.is_empty() || renumbered).into());
        effects.insert("restart_keys".into(), list(restart));
        if self.service == Service::Kafka {
            effects.insert("dynamic_keys".into(), list(live));
        }
        effects
    }
}

fn params(service: Service) -> Vec<ParamDoc> {
    let kafka = service == Service::Kafka;
    let mut params = vec![
        param("path", ParamKind::Path, Kind::paths_doc(service)).aliases(&["dest"]),
        param(
            "kind",
            ParamKind::Str,
            "What the file is: the service's own settings, log4j's properties, an environment file of KEY=value lines, \
             or a JAAS file, which is written as a whole.",
        )
        .choices(&["server", "log4j", "environment", "jaas"])
        .default("server"),
        param(
            "version",
            ParamKind::Str,
            "The release of the service, as 3.9.1; keys and values are checked against it. Needed for kind server.",
        ),
        param(
            "settings",
            ParamKind::Dict,
            "Keys with their values; a list is joined with commas. For kind jaas: sections, each a list of mappings \
             with class, flag and options.",
        ),
        param("absent", ParamKind::List, "Keys that shall not be in the file."),
        param("exclusive", ParamKind::Bool, "Take out all keys that settings does not name; comments stay.")
            .default("false"),
        param(
            "checks",
            ParamKind::Str,
            "What is checked: the whole file as it will be, only what the task sets (for a file that several tasks \
             make), or nothing.",
        )
        .choices(&["all", "keys", "none"])
        .default("all"),
        param(
            "extra_keys",
            ParamKind::List,
            "Keys that plugins of yours read: names, or beginnings with * at the end.",
        ),
        param("backup", ParamKind::Bool, "Keep a copy of the old file beside it, with the time in its name.")
            .default("false"),
    ];
    if !kafka {
        params.push(param("myid", ParamKind::Int, "The server's number, kept in the file myid of its dataDir."));
    }
    params.extend(attribute_params());
    params
}
