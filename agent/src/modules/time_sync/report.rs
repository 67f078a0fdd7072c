//! What a task says of the clock: its results, and why it fails.

use super::look::{Seen, is_active};
use super::params::{Params, State, Step};
use crate::modules::ModuleError;
use kfleet_model::module::{ReturnDoc, returns};
use kfleet_model::{Map, Value};
use kfleet_time::{Daemon, Fault, Leap, Level, Reading, Sync};
use std::time::Duration;

/// Why the clock is not well kept.
pub(super) struct Problem {
    pub(super) text: String,
    /// Waiting may help.
    pub(super) may_pass: bool,
}

impl Problem {
    fn new(text: String, may_pass: bool) -> Self {
        Self { text, may_pass }
    }

    /// The task's failure, with all that was found.
    pub(super) fn into_error(self, params: &Params, seen: &Seen, waited: Duration) -> ModuleError {
        let waited = if self.may_pass { format!(" after {} s", waited.as_secs()) } else { String::new() };
        let silent: Vec<&str> = seen.reading.iter().flat_map(silent).collect();
        let silent = if silent.is_empty() { String::new() } else { format!("; no answer from {}", silent.join(", ")) };
        let mut data = found(params, seen);
        data.shift_remove("warnings");
        ModuleError::Failed { msg: format!("{}{waited}{silent}", self.text), data }
    }
}

/// Sources that answered none of the last eight requests.
fn silent(reading: &Reading) -> impl Iterator<Item = &str> {
    reading.sources.iter().filter(|source| source.reach == Some(0)).map(|source| source.name.as_str())
}

/// What keeps the task from being done, if anything does.
pub(super) fn wrong(params: &Params, seen: &Seen) -> Option<Problem> {
    let faults = seen.faults(params);
    if let Some(fault) = faults.iter().find(|fault| matches!(fault, Fault::NoDaemon | Fault::Daemons { .. })) {
        return Some(Problem::new(fault.to_string(), false));
    }
    if seen.reading.is_none() {
        let (daemon, name) = match seen.others.first() {
            Some((daemon, unit)) => (*daemon, &unit.name),
            None => (Daemon::Chrony, &seen.unit.name),
        };
        return Some(match daemon {
            Daemon::Phc2sys => {
                Problem::new(format!("{daemon} steers the clock ({name}), which kfleet can not read"), false)
            }
            Daemon::Chrony | Daemon::Ntpd | Daemon::Timesyncd => {
                Problem::new(format!("{daemon} ({name}) does not answer"), true)
            }
        });
    }
    // A task that sets the clock does not wait for it to come near by itself.
    let set = params.step == Step::Now && params.state == State::Configured;
    let bars = |fault: &&Fault| match fault {
        Fault::NotSynchronised { .. } => true,
        Fault::Offset { .. } => !set,
        Fault::NoDaemon
        | Fault::Daemons { .. }
        | Fault::FewSources { .. }
        | Fault::Falseticker { .. }
        | Fault::Stratum { .. }
        | Fault::Drift { .. } => false,
    };
    faults.iter().find(bars).map(|fault| Problem::new(fault.to_string(), true))
}

/// Seconds as milliseconds with the microseconds behind the point.
pub(super) fn ms(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// The result's keys.
pub(super) fn found(params: &Params, seen: &Seen) -> Map {
    let mut data = Map::new();
    if params.state == State::Configured {
        data.insert("path".into(), seen.file.path.display().to_string().into());
    }
    let daemon = match (is_active(&seen.unit), seen.others.first()) {
        (true, _) => Some((Daemon::Chrony, &seen.unit)),
        (false, other) => other.map(|(daemon, unit)| (*daemon, unit)),
    };
    data.insert("daemon".into(), daemon.map_or(Value::Null, |(daemon, _)| daemon.to_string().into()));
    data.insert("service".into(), daemon.map_or(Value::Null, |(_, unit)| unit.name.as_str().into()));
    if let Some(reading) = &seen.reading {
        describe(reading, &mut data);
    }
    let faults = seen.faults(params);
    data.insert("findings".into(), faults.iter().map(finding).collect());
    data.insert("warnings".into(), faults.iter().map(|fault| Value::from(fault.to_string())).collect());
    data
}

fn finding(fault: &Fault) -> Value {
    let level = match fault.level() {
        Level::Warn => "warn",
        Level::Critical => "critical",
    };
    serde_json::json!({"check": fault.check(), "level": level, "text": fault.to_string()})
}

fn describe(reading: &Reading, data: &mut Map) {
    let number = |value: Option<f64>| value.map_or(Value::Null, Value::from);
    let to = match &reading.sync {
        Sync::To(name) => name.as_str().into(),
        Sync::Itself => "itself".into(),
        Sync::Nobody => Value::Null,
    };
    let leap = match reading.leap {
        Leap::Normal => "normal",
        Leap::Insert => "insert",
        Leap::Delete => "delete",
        Leap::Unknown => "unknown",
    };
    let sources = reading.sources.iter().map(|source| serde_json::to_value(source).unwrap_or_default());
    for (key, value) in [
        ("synchronised_to", to),
        ("stratum", reading.stratum.into()),
        ("offset_ms", number(reading.offset_s.map(ms))),
        ("leap", leap.into()),
        ("drift_ppm", number(reading.drift_ppm)),
        ("skew_ppm", number(reading.skew_ppm)),
        ("root_delay_ms", number(reading.root_delay_s.map(ms))),
        ("root_dispersion_ms", number(reading.root_dispersion_s.map(ms))),
        ("sources", sources.collect()),
    ] {
        data.insert(key.to_owned(), value);
    }
}

/// Their documents.
pub(super) fn docs() -> Vec<ReturnDoc> {
    vec![
        returns(
            "daemon",
            "chrony, ntpd (ntpsec too), timesyncd or phc2sys: who keeps the clock; `service` is its unit",
        ),
        returns("synchronised_to", "the source that the clock follows; itself for a server without one; null for none"),
        returns("stratum", "the distance from a reference clock"),
        returns("offset_ms", "how far the clock is ahead, by its daemon; negative when behind"),
        returns("leap", "normal, insert, delete or unknown"),
        returns("drift_ppm", "how much too fast the clock runs by itself; `skew_ppm` is the bound of error of that"),
        returns("root_delay_ms", "the way to the reference clock and back; `root_dispersion_ms` the error on it"),
        returns("sources", "each with name, state, stratum, reach (of the last eight requests, as bits) and offset_s"),
        returns("findings", "what is wrong or worth a look: check, level and text of each"),
        returns("path", "the configuration's path"),
        returns("backup", "the path of the copy that was kept"),
    ]
}
