//! `jvm_tune`: flags for a service's JVM, sized by the host, in the environment file that its unit or start script reads.
//!
//! The rules are `kfleet_tune::jvm`'s; other lines of the file stay as they are. The JVM has them after the next start,
//! which is a rolling operation's.

use super::jvm_info::Jvm;
use super::shared::attributes::Asked;
use super::shared::edit::{self, Options, Target};
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView};
use kfleet_config::Environment;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use kfleet_tune::Profile;
use kfleet_tune::jvm::{Flags, Sizing, bytes, size};
use serde::Deserialize;
use std::path::Path;

/// The release of Java that is meant when none runs and none is named: the least of Kafka 4 brokers.
const JAVA: u32 = 17;

const LIMIT: u64 = 1024 * 1024;

/// The module.
pub(super) struct JvmTune;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    profile: Profile,
    path: Option<String>,
    service: Option<String>,
    heap: Option<String>,
    write_bytes_per_s: Option<u64>,
    java: Option<u32>,
    gc_log: Option<String>,
    dump_dir: Option<String>,
    heap_variable: Option<String>,
    options_variable: Option<String>,
    gc_log_variable: Option<String>,
}

impl Params {
    fn path(&self) -> &str {
        let usual = match self.profile {
            Profile::Broker | Profile::KraftController => "/etc/default/kafka",
            Profile::Zookeeper => "/etc/default/zookeeper",
        };
        self.path.as_deref().unwrap_or(usual)
    }

    /// The variables and their values; groups that share a variable stand in it together.
    fn variables(&self, flags: &Flags) -> Vec<(String, String)> {
        let usual = match self.profile {
            Profile::Broker | Profile::KraftController => {
                ["KAFKA_HEAP_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS"]
            }
            Profile::Zookeeper => ["SERVER_JVMFLAGS"; 3],
        };
        let own = [&self.heap_variable, &self.options_variable, &self.gc_log_variable];
        let mut all: Vec<(String, String)> = Vec::new();
        for ((usual, own), group) in usual.into_iter().zip(own).zip([&flags.heap, &flags.performance, &flags.gc_log]) {
            let (name, line) = (own.as_deref().unwrap_or(usual), Flags::line(group));
            match all.iter_mut().find(|(known, _)| known == name) {
                _ if line.is_empty() => {}
                Some((_, value)) => *value = format!("{value} {line}"),
                None => all.push((name.to_owned(), line)),
            }
        }
        all
    }
}

/// What was found.
pub(super) struct Seen {
    target: Target,
    flags: Flags,
    memory_bytes: u64,
    running: Option<Jvm>,
}

impl Seen {
    fn file(&self) -> Environment {
        Environment::parse(&String::from_utf8_lossy(self.target.content.as_deref().unwrap_or_default()))
    }

    fn wanted(&self, params: &Params) -> String {
        let mut file = self.file();
        for (name, value) in params.variables(&self.flags) {
            file.set(&name, &value);
        }
        file.to_text()
    }

    fn all(&self) -> impl Iterator<Item = &kfleet_tune::jvm::Flag> {
        self.flags.heap.iter().chain(&self.flags.performance).chain(&self.flags.gc_log)
    }

    /// It runs, and without one of the flags.
    fn needs_restart(&self) -> bool {
        let has = |jvm: &Jvm, flag: &str| jvm.arguments.split_whitespace().any(|word| word == flag);
        self.running.as_ref().is_some_and(|jvm| self.all().any(|flag| !has(jvm, &flag.flag)))
    }
}

fn memory(host: &dyn HostView) -> Result<u64, ModuleError> {
    let text = host.read(Path::new("/proc/meminfo"), LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| ModuleError::Invalid("/proc/meminfo does not say how much memory there is".into()))
}

impl Module for JvmTune {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "jvm_tune".into(),
            summary: "Sizes the JVM of a Kafka broker, a ZooKeeper server or a KRaft controller by its host's memory"
                .into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params(),
            returns: vec![
                returns("path", "the file"),
                returns("flags", "flag, why and source of each"),
                returns("memory_bytes", "the host's memory; page_cache_bytes of it are left for the page cache"),
                returns("restart", "whether the service runs without one of the flags"),
            ],
            examples: include_str!("examples/jvm_tune.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        let running = Jvm::of(host, params.service.as_deref().unwrap_or(params.profile.service()))?;
        let memory_bytes = memory(host)?;
        let heap = params.heap.as_deref().map(|text| {
            bytes(text).ok_or_else(|| ModuleError::Invalid(format!("heap {text:?} is no size such as 6g or 512m")))
        });
        let java = params.java.or_else(|| running.as_ref().and_then(Jvm::java)).unwrap_or(JAVA);
        let sizing = Sizing {
            profile: params.profile,
            memory_bytes,
            java,
            heap_bytes: heap.transpose()?,
            write_bytes_per_s: params.write_bytes_per_s,
            gc_log: params.gc_log.clone(),
            dump_dir: params.dump_dir.clone(),
        };
        let flags = size(&sizing).map_err(|error| ModuleError::Invalid(error.to_string()))?;
        Ok(Seen { target: edit::open(host, params.path(), Asked::default())?, flags, memory_bytes, running })
    }

    fn diff(&self, params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let (file, path) = (state.file(), state.target.path.display().to_string());
        let change = |(name, to): (String, String)| {
            let from = file.get(&name);
            (from.as_deref() != Some(to.as_str())).then(|| Change::new(&path, name, from, to))
        };
        Ok(params.variables(&state.flags).into_iter().filter_map(change).collect())
    }

    fn apply(&self, host: &dyn Host, params: &Params, state: &Seen, _: &[Change]) -> Result<Applied, ModuleError> {
        let options = Options { asked: Asked::default(), backup: false, validate: None };
        edit::install(host, &state.target, state.wanted(params).as_bytes(), &options)
    }

    fn found(&self, _params: &Params, state: &Seen) -> Map {
        let flag = |flag: &kfleet_tune::jvm::Flag| serde_json::json!({"flag": flag.flag, "why": flag.why, "source": flag.source});
        Map::from_iter([
            ("path".to_owned(), state.target.path.display().to_string().into()),
            ("flags".to_owned(), Value::from(state.all().map(flag).collect::<Vec<_>>())),
            ("memory_bytes".to_owned(), state.memory_bytes.into()),
            ("page_cache_bytes".to_owned(), state.flags.page_cache_bytes.into()),
            ("restart".to_owned(), state.needs_restart().into()),
        ])
    }
}

fn params() -> Vec<kfleet_model::module::ParamDoc> {
    vec![
        param("profile", ParamKind::Str, "What the JVM runs.")
            .choices(&["broker", "zookeeper", "kraft_controller"])
            .required(),
        param(
            "path",
            ParamKind::Path,
            "The environment file; /etc/default/kafka or /etc/default/zookeeper by default.",
        ),
        param("service", ParamKind::Str, "The unit; kafka or zookeeper by default."),
        param(
            "heap",
            ParamKind::Str,
            "A heap of your own, such as 6g. More than half of a broker's memory is refused, and three quarters of another's.",
        ),
        param(
            "write_bytes_per_s",
            ParamKind::Int,
            "What the broker writes, replication included: a heap that leaves no page cache for 30 s of it is refused.",
        ),
        param("java", ParamKind::Int, "Java's major release; that of the running service, or else 17."),
        param("gc_log", ParamKind::Path, "The file of the collections' log; none is set up when it is not given."),
        param(
            "dump_dir",
            ParamKind::Path,
            "A directory for heap dumps and crash reports; none are set up when it is not given.",
        ),
        param(
            "heap_variable",
            ParamKind::Str,
            "The variable of the heap; KAFKA_HEAP_OPTS or SERVER_JVMFLAGS by default.",
        ),
        param(
            "options_variable",
            ParamKind::Str,
            "The variable of the other flags; KAFKA_JVM_PERFORMANCE_OPTS or SERVER_JVMFLAGS by default.",
        ),
        param(
            "gc_log_variable",
            ParamKind::Str,
            "The variable of the collections' log; KAFKA_GC_LOG_OPTS or SERVER_JVMFLAGS by default.",
        ),
    ]
}
