//! The operating system of a Kafka or ZooKeeper host: `os_tune`.
//!
//! What each profile wants, why, and who says so stands in `kfleet_tune`; this module reads the host, has it judged, sets
//! what differs in the running kernel and for the next boot, and takes all of it back with `state: absent`. Before the
//! first write every value and file that is about to change is recorded to the byte (`record`).
//! Not here: restarts of the service, which are a rolling operation's; the JVM.

mod knobs;
mod look;
mod record;
mod revert;
#[cfg(test)]
mod tests;

use super::{Applied, Module, ModuleError};
use crate::host::{Attributes, Content, Host, HostView};
use kfleet_config::task::value_text;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns, text};
use kfleet_model::{Change, Map, Value};
use kfleet_tune::persist::unit;
use kfleet_tune::{Choices, FilePlan, Item, Judged, Profile, RULES, Status, judge, specs};
use record::{Former, Record};
use revert::Revert;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The module.
pub(super) struct OsTune;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    #[serde(default)]
    state: State,
    profile: Option<Profile>,
    #[serde(default)]
    leave_out: Vec<Value>,
    #[serde(default)]
    settings: Map,
    service: Option<String>,
    config: Option<String>,
    data_dirs: Option<Vec<String>>,
    ports: Option<Vec<Value>>,
    #[serde(default)]
    partitions: u64,
    #[serde(default = "segments")]
    segments_per_partition: u64,
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Present,
    Absent,
}

/// Kafka rolls a segment each week by default and keeps a week of them; ten leaves room for smaller ones. Chosen.
fn segments() -> u64 {
    10
}

impl Params {
    fn choices(&self) -> Result<Choices, ModuleError> {
        let profile =
            self.profile.ok_or_else(|| ModuleError::Invalid("profile is needed with state=present".into()))?;
        let mut settings = BTreeMap::new();
        for (id, value) in &self.settings {
            let text = value_text(value)
                .ok_or_else(|| ModuleError::Invalid(format!("settings: {id} must be a text or a number")))?;
            settings.insert(id.clone(), text);
        }
        Ok(Choices { profile, settings, leave_out: self.leave_out.iter().filter_map(text).collect() })
    }

    fn ports(&self) -> Result<Option<BTreeSet<u16>>, ModuleError> {
        let Some(ports) = &self.ports else { return Ok(None) };
        let port = |value: &Value| {
            let number = text(value).and_then(|text| text.trim().parse::<u16>().ok()).filter(|port| *port != 0);
            number.ok_or_else(|| ModuleError::Invalid(format!("ports: {value} is no port (1 to 65535)")))
        };
        ports.iter().map(port).collect::<Result<_, _>>().map(Some)
    }
}

/// What was found.
pub(in crate::modules) enum Seen {
    /// With `state: present`.
    Tuned(Box<Tuned>),
    /// With `state: absent`.
    Former(Revert),
}

/// A host that was judged.
pub(super) struct Tuned {
    judged: Judged,
    record: Record,
    /// The files that are about to be written, as they are.
    files: BTreeMap<PathBuf, Option<Former>>,
    /// Folders of theirs that are missing.
    folders: Vec<PathBuf>,
    unit: Option<String>,
    profile: Profile,
}

impl Tuned {
    fn look(host: &dyn HostView, params: &Params) -> Result<Self, ModuleError> {
        let choices = params.choices()?;
        let machine = look::machine(host, params, choices.profile)?;
        let specs = specs(&choices, &machine).map_err(|wrong| {
            let texts: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            ModuleError::Invalid(texts.join("; "))
        })?;
        let judged = judge(&specs, &look::readings(host, &specs, &machine)?);
        let (mut files, mut folders) = (BTreeMap::new(), Vec::new());
        for plan in &judged.files {
            let path = PathBuf::from(&plan.path);
            for folder in missing(host, &path)? {
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
            files.insert(path.clone(), Former::read(host, &path)?);
        }
        let record = Record::load(host)?.unwrap_or_default();
        Ok(Self { judged, record, files, folders, unit: machine.unit, profile: choices.profile })
    }

    fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for item in self.judged.items.iter().filter(|item| item.status == Status::Differs) {
            if self.judged.knobs.iter().any(|plan| plan.item == item.id) {
                changes.push(Change::new(&item.id, "live", item.now.clone(), item.to.clone()));
            }
            if item.kept == kfleet_tune::Fit::Differs {
                changes.push(Change::new(&item.id, "persisted", item.persisted.clone(), item.to.clone()));
            }
        }
        // A line of kfleet's own that another file has made needless goes, which is no item's change.
        for plan in &self.judged.files {
            changes.extend(plan.dropped.iter().map(|key| Change::new(&plan.path, "content", key.clone(), Value::Null)));
        }
        if self.judged.reload {
            changes.push(Change::new("systemd", "daemon_reload", "older than the unit files", "read again"));
        }
        changes
    }

    /// Records what is there, then sets and writes. What the kernel refuses is not made to hold after a boot either.
    fn apply(&self, host: &dyn Host) -> Result<Applied, ModuleError> {
        let mut record = self.record.clone();
        for plan in &self.judged.knobs {
            record.note_knob(&plan.item, &plan.knob, &plan.shown, &plan.to);
        }
        for plan in &self.judged.files {
            let path = Path::new(&plan.path);
            record.note_file(path, self.files.get(path).and_then(Option::as_ref), plan.content.as_deref());
        }
        for folder in &self.folders {
            record.note_folder(folder);
        }
        if record != self.record {
            record.save(host)?;
        }
        for plan in &self.judged.knobs {
            knobs::set(host, &plan.knob, &plan.to).map_err(|error| named(&plan.item, &plan.to, &error))?;
        }
        for plan in &self.judged.files {
            self.write(host, plan)?;
        }
        if self.judged.reload || self.judged.files.iter().any(|plan| is_of_unit(Path::new(&plan.path))) {
            host.daemon_reload()?;
        }
        Ok(Applied::new())
    }

    fn write(&self, host: &dyn Host, plan: &FilePlan) -> Result<(), ModuleError> {
        let path = Path::new(&plan.path);
        let Some(content) = &plan.content else { return Ok(host.remove(path)?) };
        let root = |mode| Attributes { mode: Some(mode), uid: Some(0), gid: Some(0) };
        for folder in self.folders.iter().filter(|folder| path.starts_with(folder)) {
            host.make_dir(folder, root(0o755))?;
        }
        let is_new = self.files.get(path).is_none_or(Option::is_none);
        let attributes = if is_new { root(0o644) } else { Attributes::default() };
        Ok(host.write(path, Content::Bytes(content.as_bytes()), attributes)?)
    }

    fn found(&self) -> Map {
        let refused = |item: &&Item| item.status == Status::Refused;
        let warning = |item: &Item| {
            let now = item.now.as_deref().unwrap_or("not known");
            let why = item.reason.as_deref().unwrap_or_default();
            Value::from(format!("{} is {now} and shall be {}: {why}", item.id, item.wanted))
        };
        let warnings: Vec<Value> = self.judged.items.iter().filter(refused).map(warning).collect();
        let restart: Vec<Value> = self
            .judged
            .items
            .iter()
            .filter(|item| item.status == Status::Restart)
            .map(|item| item.id.clone().into())
            .collect();
        let items: Vec<Value> = self.judged.items.iter().map(|item| serde_json::json!(item)).collect();
        let count = |status| self.judged.items.iter().filter(|item| item.status == status).count();
        Map::from_iter([
            ("items".to_owned(), items.into()),
            ("differing".to_owned(), count(Status::Differs).into()),
            ("refused".to_owned(), count(Status::Refused).into()),
            ("restart".to_owned(), restart.into()),
            ("service".to_owned(), self.unit.clone().into()),
            ("profile".to_owned(), self.profile.word().into()),
            ("warnings".to_owned(), warnings.into()),
        ])
    }
}

/// The missing folders above a path, the outer one first.
fn missing(host: &dyn HostView, path: &Path) -> Result<Vec<PathBuf>, ModuleError> {
    let mut missing = Vec::new();
    for folder in path.ancestors().skip(1) {
        if host.stat(folder, true)?.is_some() {
            break;
        }
        missing.insert(0, folder.to_owned());
    }
    Ok(missing)
}

/// systemd has to read its units again after this file.
fn is_of_unit(path: &Path) -> bool {
    unit::FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// A failure with the item that it was about.
fn named(item: &str, value: &str, error: &ModuleError) -> ModuleError {
    let mut msg = format!("failed to set {item} to {}: {error}", value.trim());
    if item.starts_with("sysctl.") || item.starts_with("thp.") {
        msg.push_str("; what was set before it stays and is recorded, state=absent takes it back");
    }
    ModuleError::Failed { msg, data: Map::new() }
}

impl Module for OsTune {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "os_tune".into(),
            summary:
                "Tunes the operating system for a Kafka broker, a ZooKeeper server or a KRaft controller, and takes \
                      it back"
                    .into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params(),
            returns: vec![
                returns(
                    "items",
                    "every item: id, status (fits, differs, restart, refused, not_here, left_out), now, wanted, to, live, \
                     persisted, kept, persisted_by, reason, why, source, risk, needs",
                ),
                returns("differing", "how many items have to be set"),
                returns("refused", "how many items do not satisfy their rule and can not be set from here"),
                returns("restart", "ids of items that the service has only after its next start"),
                returns("service", "the unit whose limits were looked at"),
                returns("profile", "what the host was tuned for"),
            ],
            examples: include_str!("examples/os_tune.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        Ok(match params.state {
            State::Present => Seen::Tuned(Box::new(Tuned::look(host, params)?)),
            State::Absent => Seen::Former(Revert::look(host, params.force)?),
        })
    }

    fn diff(&self, _params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        Ok(match state {
            Seen::Tuned(tuned) => tuned.changes(),
            Seen::Former(revert) => revert.changes(),
        })
    }

    fn apply(&self, host: &dyn Host, _params: &Params, state: &Seen, _: &[Change]) -> Result<Applied, ModuleError> {
        match state {
            Seen::Tuned(tuned) => tuned.apply(host),
            Seen::Former(revert) => revert.apply(host),
        }
    }

    fn found(&self, _params: &Params, state: &Seen) -> Map {
        match state {
            Seen::Tuned(tuned) => tuned.found(),
            Seen::Former(revert) => Map::from_iter([
                ("items".to_owned(), revert.items().into()),
                ("warnings".to_owned(), revert.warnings().into()),
            ]),
        }
    }
}

fn params() -> Vec<kfleet_model::module::ParamDoc> {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    let ids = ids.into_iter().collect::<Vec<_>>().join(", ");
    vec![
        param(
            "state",
            ParamKind::Str,
            "Present sets what differs, in the running kernel and for the next boot. Absent puts back what was there before \
             kfleet's first change, to the byte; what somebody changed since is told and left.",
        )
        .choices(&["present", "absent"])
        .default("present"),
        param("profile", ParamKind::Str, "What the host is tuned for. Needed with state=present.")
            .choices(&["broker", "zookeeper", "kraft_controller"]),
        param(
            "leave_out",
            ParamKind::List,
            &format!("Items that are left alone: ids, or beginnings of ids up to a dot (sysctl.vm, block.sda). Ids are {ids}."),
        ),
        param(
            "settings",
            ParamKind::Dict,
            "Values in place of the rules', by id. They are taken exactly; an item that the profile does not have is added.",
        ),
        param(
            "service",
            ParamKind::Str,
            "The unit whose limits are meant; kafka or zookeeper by default, as the profile says.",
        ),
        param(
            "config",
            ParamKind::Path,
            "The service's configuration, which says where its data lies and on which ports it listens; the usual place by \
             default.",
        ),
        param("data_dirs", ParamKind::List, "Directories of the data, when the configuration does not say them."),
        param("ports", ParamKind::List, "Ports that the service listens on, when the configuration does not say them."),
        param(
            "partitions",
            ParamKind::Int,
            "Replicas that this broker holds or shall hold: maps and open files are raised for them.",
        )
        .default("0"),
        param("segments_per_partition", ParamKind::Int, "Log segments of each of them.").default("10"),
        param("force", ParamKind::Bool, "With state=absent, put back also what somebody changed after kfleet did.")
            .default("false"),
    ]
}
