//! What the nightly inspection reads of its host: typed readings with unit, source and confidence.
//!
//! Every collector of [`COLLECTORS`] reads one area through the host's reading door and says something of each of its
//! keys ([`kfleet_inspect::readings::KEYS`]): a value, that the thing is not here, or why it could not be read. One that
//! fails or panics costs its own keys and no others. Reading is bounded in time, bytes and processor time by [`Scene`];
//! what has to be looked at over a while shares one window ([`window`]), in which the other collectors run.
//! The readings of a whole cluster are made by one of its members, in [`mod@cluster`].
//! Not here: any judgement (`kfleet-inspect`), and how logs are read (`collect::logs`).

mod clock;
mod cluster;
mod disks;
mod files;
mod gc_log;
mod hsperfdata;
mod jvm;
mod kafka;
mod log_dirs;
mod log_files;
mod log_signatures;
mod network;
mod oom;
mod params;
mod ports;
mod process;
mod reach;
mod scene;
mod services;
mod sink;
mod sysctl;
mod system;
mod tls;
mod window;
mod zookeeper;

pub use cluster::cluster;

use super::cluster::host_name;
use super::{CollectError, parse};
use crate::host::HostView;
use crate::runner::panic_text;
use jiff::Timestamp;
use kfleet_inspect::{Cost, HostReadings, Outcome, Reading, Role};
use kfleet_model::Map;
use params::Params;
use scene::Scene;
use services::Service;
use sink::{Gap, Sink};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use window::Window;

/// How long a collector may take, unless it says otherwise.
const LIMIT: Duration = Duration::from_secs(5);

/// One area of what is read.
struct Collector {
    /// Its name, for messages.
    name: &'static str,
    /// The keys that it answers for: each gets a reading, whatever happens.
    keys: &'static [&'static str],
    /// Why it has nothing to read here; none when it has.
    absent: fn(&Scene<'_>) -> Option<String>,
    /// Reads.
    read: fn(&Scene<'_>, &mut Sink) -> Result<(), Gap>,
    /// When it runs.
    when: When,
    /// How long it may take.
    limit: Duration,
}

/// When a collector runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Inside the sampling window.
    Within,
    /// When the window is over: it compares what was seen in it.
    After,
}

const fn collector(
    name: &'static str,
    keys: &'static [&'static str],
    read: fn(&Scene<'_>, &mut Sink) -> Result<(), Gap>,
) -> Collector {
    Collector { name, keys, absent: always, read, when: When::Within, limit: LIMIT }
}

impl Collector {
    const fn after(self) -> Self {
        Self { when: When::After, ..self }
    }

    const fn unless(self, absent: fn(&Scene<'_>) -> Option<String>) -> Self {
        Self { absent, ..self }
    }

    const fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

/// Every host has it.
fn always(_: &Scene<'_>) -> Option<String> {
    None
}

/// A host without Kafka and ZooKeeper has no process to look at.
fn no_service(scene: &Scene<'_>) -> Option<String> {
    scene.services().is_ok_and(<[_]>::is_empty).then(|| "no service runs here".to_owned())
}

/// How long many names or ports may take together: those that do not answer are waited for beside each other.
const FLEET: Duration = Duration::from_secs(15);

/// Every collector, in the order in which they run.
static COLLECTORS: &[Collector] = &[
    collector("system", system::KEYS, system::read),
    collector("oom", oom::KEYS, oom::read),
    collector("sysctl", sysctl::KEYS, sysctl::read),
    collector("clock", clock::KEYS, clock::read),
    collector("processes", process::KEYS, process::read).unless(no_service),
    collector("jvm", jvm::KEYS, jvm::read).unless(no_service),
    collector("gc log", jvm::GC_LOG_KEYS, jvm::gc_logs).unless(no_service),
    collector("crashes", jvm::CRASH_KEYS, jvm::crashes).unless(no_service),
    collector("disks", disks::KEYS, disks::read),
    collector("links", network::KEYS, network::read),
    collector("tcp", network::TCP_KEYS, network::tcp),
    collector("ports", ports::KEYS, ports::read),
    collector("kafka file", kafka::FILE_KEYS, kafka::file).unless(kafka::absent),
    collector("kafka effective", kafka::EFFECTIVE_KEYS, kafka::effective).unless(kafka::absent),
    collector("kafka listeners", kafka::API_KEYS, kafka::api).unless(kafka::absent).within(FLEET),
    collector("canary", kafka::CANARY_KEYS, kafka::canary).unless(kafka::absent),
    collector("log directories", log_dirs::KEYS, log_dirs::read).unless(kafka::absent).within(log_dirs::LIMIT),
    collector("log directories of the broker", log_dirs::ERROR_KEYS, log_dirs::errors).unless(kafka::absent),
    collector("zookeeper", zookeeper::STATE_KEYS, zookeeper::state).unless(zookeeper::absent),
    collector("zookeeper files", zookeeper::FILE_KEYS, zookeeper::files).unless(zookeeper::absent),
    collector("certificates", tls::KEYS, tls::read).within(FLEET),
    collector("files", files::KEYS, files::read),
    collector("log files", log_files::KEYS, log_files::read).unless(no_service),
    collector("log signatures", log_signatures::KEYS, log_signatures::read)
        .unless(no_service)
        .within(log_signatures::LIMIT),
    collector("names", reach::NAME_KEYS, reach::names).within(FLEET),
    collector("connections", reach::CONNECT_KEYS, reach::connects).within(FLEET),
    collector("advertised", reach::ADVERTISED_KEYS, reach::advertised).unless(kafka::absent).within(FLEET),
    collector("cpu", system::CPU_KEYS, system::cpu).after(),
    collector("write times", disks::TIME_KEYS, disks::write_times).after(),
    collector("listen overflows", network::RATE_KEYS, network::overflow_rate).after(),
];

/// Keys of a host that no collector here gives, with the reason.
const ELSEWHERE: &[(&str, &str)] = &[
    ("clock.skew", "only a controller can compare the clocks of hosts"),
    ("log.hits", "no known message was seen"),
    ("log.severity", "no known message was seen"),
    ("log.volatile", "no known message was seen"),
];

/// Reads this host for itself, without a controller: what only that could add is told as not here.
///
/// # Errors
/// As [`host()`].
pub fn local(view: &dyn HostView, params: &Map) -> Result<HostReadings, CollectError> {
    let mut readings = host(view, params)?;
    let said: BTreeSet<String> = readings.readings.iter().map(|reading| reading.key.clone()).collect();
    for (key, why) in ELSEWHERE.iter().filter(|(key, _)| !said.contains(*key)) {
        let outcome = Outcome::NotHere { why: (*why).to_owned() };
        readings.readings.push(Reading::of(key, outcome, "an inspection without a controller", readings.when));
    }
    Ok(readings)
}

/// Reads a host.
///
/// # Errors
/// When a parameter is wrong or the host has no name; whatever can not be read is told in the readings.
pub fn host(host: &dyn HostView, params: &Map) -> Result<HostReadings, CollectError> {
    let params: Params = parse(params)?;
    let name = host_name(host, params.host.clone())?;
    let when = now(host);
    let scene = Scene::new(host, &params);
    let mut sink = Sink::new(when);
    let mut window = Window::new(&scene, params.sample());
    for collector in COLLECTORS.iter().filter(|collector| collector.when == When::Within) {
        window.look(&scene);
        run(collector, &scene, &mut sink);
    }
    window.wait(&scene);
    for collector in COLLECTORS.iter().filter(|collector| collector.when == When::After) {
        run(collector, &scene, &mut sink);
    }
    Ok(HostReadings {
        host: name,
        roles: roles(&scene, &params),
        clusters: params.clusters(),
        labels: params.labels.clone(),
        when,
        cost: scene.cost(),
        readings: sink.into_readings(),
    })
}

/// What the controller says that the host is for; where nobody says, what runs here.
fn roles(scene: &Scene<'_>, params: &Params) -> BTreeSet<Role> {
    if !params.roles.is_empty() {
        return params.roles.clone();
    }
    scene.services().unwrap_or_default().iter().flat_map(Service::roles).collect()
}

fn now(host: &dyn HostView) -> Timestamp {
    Timestamp::from_millisecond(host.unix_ms()).unwrap_or_default()
}

/// Runs a collector. Afterwards each of its keys has a reading.
fn run(collector: &Collector, scene: &Scene<'_>, sink: &mut Sink) {
    if let Some(why) = (collector.absent)(scene) {
        for key in collector.keys {
            sink.gap(key, None, Gap::NotHere(why.clone()), collector.name);
        }
        return;
    }
    let before = scene.cost();
    scene.begin(collector.name, collector.limit);
    let begun = sink.begin(now(scene.host()));
    let outcome = catch_unwind(AssertUnwindSafe(|| (collector.read)(scene, sink)));
    let rest = match outcome {
        Ok(Ok(())) => Gap::Unreadable(format!("the collector {} said nothing of it (a bug of kfleet)", collector.name)),
        Ok(Err(gap)) => gap,
        Err(panic) => Gap::Unreadable(format!(
            "the collector {} panicked (a bug of kfleet): {}",
            collector.name,
            panic_text(panic.as_ref())
        )),
    };
    for key in collector.keys {
        if !sink.has(key, begun) {
            sink.gap(key, None, rest.clone(), collector.name);
        }
    }
    let after = scene.cost();
    sink.cost(
        begun,
        Cost {
            cpu_ms: after.cpu_ms.saturating_sub(before.cpu_ms),
            bytes: after.bytes.saturating_sub(before.bytes),
            wall_ms: after.wall_ms.saturating_sub(before.wall_ms),
        },
    );
}

#[cfg(test)]
mod tests;
