//! `jvm_info`: the running JVM of a service, by its process and the counters that it keeps for whoever may read them.
//!
//! Nothing attaches to the JVM and no JMX is needed. Not here: which flags it should have (`jvm_tune`).

use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostError, HostView};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param, returns};
use kfleet_model::{Change, Map, Value};
use kfleet_tune::jvm::perf::Counters;
use kfleet_tune::jvm::{heap, major};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `PerfDataMemorySize` is 64 KiB by default; a command line with a long class path is of the same order.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The module.
pub(super) struct JvmInfo;

/// Its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    service: String,
}

/// A running JVM.
pub(super) struct Jvm {
    pub(super) pid: u32,
    /// Its arguments: by its counters, or else its command line.
    pub(super) arguments: String,
    /// Its counters, or why there are none.
    counters: Result<Counters, String>,
}

impl Jvm {
    /// Reads the JVM of a service; none when it does not run.
    pub(super) fn of(host: &dyn HostView, service: &str) -> Result<Option<Self>, ModuleError> {
        let unit = host.unit(service)?;
        if unit.main_pid == 0 {
            return Ok(None);
        }
        let pid = unit.main_pid;
        let line = host.read(&PathBuf::from(format!("/proc/{pid}/cmdline")), LIMIT)?.unwrap_or_default();
        let words: Vec<String> =
            line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let counters = counters(host, pid)?;
        let told = counters.as_ref().ok().and_then(|counters| counters.text("java.rt.vmArgs")).map(str::to_owned);
        let arguments = told.unwrap_or_else(|| {
            let options = words.iter().skip(1).filter(|word| word.starts_with('-'));
            options.map(String::as_str).collect::<Vec<_>>().join(" ")
        });
        Ok(Some(Self { pid, arguments, counters }))
    }

    /// Java's major release, where the counters tell it.
    pub(super) fn java(&self) -> Option<u32> {
        major(self.counters.as_ref().ok()?.text("java.property.java.version")?)
    }

    fn describe(&self) -> Map {
        let (initial, most) = heap(&self.arguments);
        let mut data = Map::from_iter([
            ("running".to_owned(), true.into()),
            ("pid".to_owned(), self.pid.into()),
            ("arguments".to_owned(), self.arguments.clone().into()),
            ("heap_initial_bytes".to_owned(), initial.into()),
            ("heap_max_bytes".to_owned(), most.into()),
        ]);
        match &self.counters {
            Ok(counters) => data.extend(described(counters)),
            Err(why) => _ = data.insert("no_counters".to_owned(), why.clone().into()),
        }
        data
    }
}

fn described(counters: &Counters) -> Map {
    let (used, capacity) = counters.heap();
    let collectors: Vec<Value> = counters
        .collectors()
        .into_iter()
        .map(|one| serde_json::json!({"name": one.name, "invocations": one.invocations, "time_ms": one.time_ms}))
        .collect();
    Map::from_iter([
        ("java_version".to_owned(), counters.text("java.property.java.version").into()),
        ("uptime_ms".to_owned(), counters.uptime_ms().into()),
        ("safepoint_ms".to_owned(), counters.safepoint_ms().into()),
        ("threads".to_owned(), counters.number("java.threads.live").into()),
        ("heap_used_bytes".to_owned(), used.into()),
        ("heap_capacity_bytes".to_owned(), capacity.into()),
        ("collectors".to_owned(), collectors.into()),
    ])
}

/// The counters of a process, in its own `/tmp` as its own number names them.
fn counters(host: &dyn HostView, pid: u32) -> Result<Result<Counters, String>, HostError> {
    let status = host.read(&PathBuf::from(format!("/proc/{pid}/status")), LIMIT)?.unwrap_or_default();
    let status = String::from_utf8_lossy(&status).into_owned();
    // The last number is the one that the process itself knows.
    let own = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().next_back());
    let own = own.map_or_else(|| pid.to_string(), str::to_owned);
    let tmp = PathBuf::from(format!("/proc/{pid}/root/tmp"));
    for folder in host.list(&tmp)?.unwrap_or_default().iter().filter(|name| name.starts_with("hsperfdata_")) {
        if let Some(bytes) = host.read(&Path::new(&tmp).join(folder).join(&own), LIMIT)? {
            return Ok(Counters::parse(&bytes).map_err(|error| error.to_string()));
        }
    }
    Ok(Err("there is no hsperfdata file: -XX:-UsePerfData or -XX:+PerfDisableSharedMem is set".to_owned()))
}

impl Module for JvmInfo {
    type Params = Params;
    type State = Map;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "jvm_info".into(),
            summary: "Tells how the JVM of a service runs: arguments, heap, collections, threads".into(),
            idempotent: true,
            check_mode: CheckMode::ReadOnly,
            free_form: None,
            params: vec![param("service", ParamKind::Str, "The unit, whose main process is the JVM.").required()],
            returns: vec![
                returns("running", "whether it runs; the other keys are there only then"),
                returns("pid", "its process"),
                returns("arguments", "its arguments as the JVM took them"),
                returns("heap_initial_bytes", "-Xms; heap_max_bytes is -Xmx; null when they are not given"),
                returns("java_version", "as Java says it"),
                returns("uptime_ms", "since it started; safepoint_ms of that its threads stood at safepoints"),
                returns("threads", "how many live"),
                returns("heap_used_bytes", "in use since the last collection; heap_capacity_bytes are there"),
                returns("collectors", "name, invocations and time_ms of each since the start"),
                returns("no_counters", "why there is no java_version and what follows it here"),
            ],
            examples:
                "- name: How much time goes into collections?\n  jvm_info:\n    service: kafka\n  register: jvm\n"
                    .into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Map, ModuleError> {
        let jvm = Jvm::of(host, &params.service)?;
        Ok(jvm.map_or_else(|| Map::from_iter([("running".to_owned(), false.into())]), |jvm| jvm.describe()))
    }

    fn diff(&self, _params: &Params, _state: &Map) -> Result<Vec<Change>, ModuleError> {
        Ok(Vec::new())
    }

    fn apply(&self, _: &dyn Host, _: &Params, _: &Map, _: &[Change]) -> Result<Applied, ModuleError> {
        Ok(Applied::new())
    }

    fn found(&self, _params: &Params, state: &Map) -> Map {
        state.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;
    use crate::host::{Attributes, Content};

    #[test]
    fn the_counters_of_a_real_jvm_are_found_in_its_own_tmp() {
        let spec = serde_json::json!({
            "units": [{"name": "zookeeper.service", "active": "active"}],
            "files": {"/proc/4711/status": {"content": "Name:\tjava\nNSpid:\t4711\t12\n"},
                "/proc/4711/root/tmp/hsperfdata_zookeeper": {"kind": "directory"}},
        });
        let host = FakeHost::new(&serde_json::from_value(spec).unwrap());
        let file = include_bytes!("../../../crates/tune/tests/data/hsperfdata-17.bin");
        let path = Path::new("/proc/4711/root/tmp/hsperfdata_zookeeper/12");
        host.write(path, Content::Bytes(file), Attributes::default()).unwrap();
        let jvm = Jvm::of(&host, "zookeeper").unwrap().unwrap();
        assert_eq!(jvm.java(), Some(17));
        let data = jvm.describe();
        assert_eq!((&data["java_version"], &data["heap_max_bytes"]), (&"17.0.15".into(), &(64_u64 << 20).into()));
        assert_eq!(data["collectors"][1]["invocations"], 1);
    }
}
