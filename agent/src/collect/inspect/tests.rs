//! All collectors together, on a host in memory and on this very one.

use super::*;
use crate::host::RealHost;
use crate::host::fake::{FakeHost, Spec};
use crate::host::real::tests::TestContext;
use kfleet_inspect::readings::KEYS;
use kfleet_inspect::{Confidence, Datum, Outcome, Reading, Scope, readings};
use serde_json::json;
use std::sync::Arc;

/// A host with a broker of a KRaft cluster and a ZooKeeper server, as far as files tell of one.
const HOST: &str = include_str!("recorded/host.json");

/// The counters of its JVMs.
const PERF_DATA: &[u8] = include_bytes!("recorded/hsperfdata-17-g1");

/// The full host as a case file would have it.
fn full() -> serde_json::Value {
    let mut spec: serde_json::Value = serde_json::from_str(HOST).unwrap();
    spec["files"]["/tmp/hsperfdata_kafka/4711"] = json!({"hex": crate::host::hex(PERF_DATA)});
    let leaf = rcgen::generate_simple_self_signed(["kafka-1".to_owned()]).unwrap();
    spec["certificates"] = json!({"9093": crate::host::hex(leaf.cert.der())});
    spec
}

fn fake(spec: serde_json::Value) -> FakeHost {
    FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap())
}

fn read(host: &FakeHost, params: serde_json::Value) -> HostReadings {
    super::host(host, params.as_object().unwrap()).unwrap()
}

fn whole() -> HostReadings {
    let services = json!([
        {"kind": "kafka", "cluster": "orders"},
        {"kind": "zookeeper", "config": "/etc/zookeeper/zoo.cfg", "cluster": "zk"},
    ]);
    let endpoints = json!([
        {"name": "kafka-2:9092", "host": "kafka-2", "port": 9092},
        {"name": "kafka-3:9999", "host": "kafka-2", "port": 9999},
        {"name": "nobody:1", "host": "nobody", "port": 1},
    ]);
    let params = json!({
        "services": services, "endpoints": endpoints, "names": ["nobody"], "labels": {"rack": "a"},
        "since": "2023-11-13T00:00:00Z",
    });
    read(&fake(full()), params)
}

fn of<'a>(readings: &'a HostReadings, key: &str, part: &str) -> &'a Reading {
    let fits = |reading: &&Reading| {
        reading.key == key && reading.part.as_ref().map(ToString::to_string).unwrap_or_default() == part
    };
    readings.readings.iter().find(fits).unwrap_or_else(|| panic!("nothing is said of {key} {part}"))
}

#[test]
fn every_key_of_a_host_has_one_collector_or_a_reason() {
    let mut seen = BTreeSet::new();
    for collector in COLLECTORS {
        for key in collector.keys {
            assert!(seen.insert(*key), "{key} stands twice");
        }
    }
    for (key, why) in ELSEWHERE {
        assert!(seen.insert(*key), "{key} has a collector, so the reason ({why}) is none");
    }
    let wanted: BTreeSet<&str> = KEYS.iter().filter(|key| key.scope == Scope::Host).map(|key| key.key).collect();
    assert_eq!(seen, wanted);
}

/// Each reading is of a known key, of its kind and about the kind of part that the table has. What is said of the host
/// as a whole in place of parts is never a value.
fn conforms(readings: &HostReadings) {
    for reading in &readings.readings {
        let key = readings::find(&reading.key).unwrap_or_else(|| panic!("{} is in no table", reading.key));
        assert_eq!(key.scope, Scope::Host, "{}", reading.key);
        assert!(!reading.source.is_empty(), "{}", reading.key);
        match &reading.outcome {
            Outcome::Read(datum) => {
                assert_eq!(datum.kind(), key.kind, "{reading:?}");
                assert_eq!(reading.part.as_ref().map(|part| part.kind), key.part, "{reading:?}");
            }
            Outcome::Unreadable { why } | Outcome::NotHere { why } => {
                assert!(!why.is_empty());
                assert!(
                    reading.part.is_none() || reading.part.as_ref().map(|part| part.kind) == key.part,
                    "{reading:?}"
                );
            }
        }
    }
    for key in COLLECTORS.iter().flat_map(|collector| collector.keys) {
        assert!(readings.readings.iter().any(|reading| reading.key == *key), "nothing is said of {key}");
    }
}

#[test]
fn readings_conform_to_the_table_on_a_bare_host_and_on_a_full_one() {
    conforms(&read(&fake(json!({"files": {"/proc/sys/kernel/hostname": {"content": "kafka-1\n"}}})), json!({})));
    let readings = whole();
    conforms(&readings);
    let read = |key: &&str| readings.readings.iter().any(|r| r.key == **key && matches!(r.outcome, Outcome::Read(_)));
    let unread: Vec<&str> =
        COLLECTORS.iter().flat_map(|collector| collector.keys).copied().filter(|k| !read(k)).collect();
    // What needs a broker that answers is read in the lab.
    let wire = [
        "kafka.effective",
        "kafka.effective_sources",
        "kafka.session_timeout",
        "kafka.listen_backlog",
        "kafka.api.state",
        "kafka.api.time",
        // An inspection writes nothing, so it has no canary.
        "kafka.canary.failures",
        "kafka.canary.p95",
        "logdir.error",
        "zk.state",
        "zk.answer_time",
        "net.advertised.state",
        "net.advertised.addresses",
    ];
    assert_eq!(unread, wire, "every other key has a value on a host that has everything");
}

#[test]
fn a_full_host_is_read_as_it_is() {
    let readings = whole();
    assert_eq!(readings.roles, [Role::KafkaBroker, Role::KraftController, Role::Zookeeper].into());
    assert_eq!(readings.clusters.len(), 2);
    let text = |text: &str| Outcome::Read(Datum::Text(text.to_owned()));
    let int = |number: i64| Outcome::Read(Datum::Int(number));
    let float = |number: f64| Outcome::Read(Datum::Float(number));
    let list = |texts: &[&str]| Outcome::Read(Datum::List(texts.iter().map(|&text| text.to_owned()).collect()));
    for (key, part, wanted) in [
        ("os.thp.enabled", "", text("always")),
        ("os.load.per_core", "", float(0.5)),
        ("os.mem.available", "", float(25.0)),
        ("os.oom_victims", "", list(&["java"])),
        ("os.units.failed", "", list(&["broken.service"])),
        ("process.state", "process:kafka", text("unit")),
        ("process.state", "process:zookeeper", text("outside")),
        ("process.swap", "process:kafka", int(131_072)),
        ("process.maps", "process:kafka", int(3)),
        ("process.nofile", "process:kafka", int(100_000)),
        ("process.nofile.unit", "process:kafka", int(200_000)),
        ("jvm.version", "process:zookeeper", text("11.0.2")),
        ("jvm.version", "process:kafka", text("17.0.15")),
        ("jvm.heap_max", "process:kafka", int(256 << 20)),
        ("jvm.heap_max", "process:zookeeper", int(0)),
        ("jvm.gc_pause_max", "process:kafka", float(812.5)),
        ("jvm.full_gcs_in_hour", "process:kafka", int(2)),
        ("disk.used", "volume:/data/a", float(50.0)),
        ("disk.readonly", "volume:/data/a", Outcome::Read(Datum::Flag(true))),
        ("disk.fs_type", "volume:/data/a", text("xfs")),
        ("disk.filesystem", "volume:/data/a", text("UUID 5a6b")),
        ("disk.rotational", "device:sdb", Outcome::Read(Datum::Flag(false))),
        ("disk.write_time", "device:sdb", float(6.0)),
        ("net.state", "interface:eth0", text("up")),
        ("net.speed", "interface:eth0", int(10_000)),
        ("net.listen.overflow_rate", "", float(0.5)),
        ("net.ports.used", "", list(&["2181", "2888", "3888", "9092", "9093", "9999"])),
        ("net.port.owner", "port:9092", text("own")),
        ("net.port.owner", "port:9093", text("nobody")),
        ("net.port.owner", "port:2181", text("own")),
        ("net.port.owner", "port:9999", text("intruder (99)")),
        ("net.connect.state", "endpoint:kafka-2:9092", text("open")),
        ("net.connect.state", "endpoint:kafka-3:9999", text("refused")),
        ("net.connect.state", "endpoint:nobody:1", text("unresolved")),
        ("net.name.addresses", "name:kafka-2", list(&["10.0.0.2"])),
        ("net.name.addresses", "name:nobody", list(&[])),
        ("clock.synchronised", "", Outcome::Read(Datum::Flag(true))),
        ("clock.daemons", "", list(&["chrony"])),
        ("kafka.version", "", text("3.9.0")),
        ("kafka.node_id", "", int(1)),
        ("kafka.segments", "", int(2)),
        ("logdir.node_id", "volume:/data/a", int(1)),
        ("logdir.cluster_id", "volume:/data/a", text("c1")),
        ("logdir.stray_bytes", "volume:/data/a", int(3)),
        ("zk.purge", "", text("cron")),
        ("zk.snapshot_files", "", int(1)),
        ("log.unbounded", "process:kafka", list(&["kafkaAppender (DailyRollingFileAppender)"])),
        ("log.bytes", "process:kafka", int(276)),
    ] {
        let found = &of(&readings, key, part).outcome;
        match (found, &wanted) {
            (Outcome::Read(Datum::Float(found)), Outcome::Read(Datum::Float(wanted))) => {
                assert!((found - wanted).abs() <= 1e-3 * wanted, "{key} {part}: {found}");
            }
            _ => assert_eq!(found, &wanted, "{key} {part}"),
        }
    }
    let Outcome::Read(Datum::Samples(busy)) = &of(&readings, "os.cpu.busy", "").outcome else { panic!("no samples") };
    assert_eq!(busy.len(), 3, "one between each two looks");
    let secret = readings.readings.iter().find(|reading| serde_json::to_string(reading).unwrap().contains("s3cret"));
    assert!(secret.is_none(), "{secret:?}");
    assert!(matches!(of(&readings, "process.swap", "process:zookeeper").confidence, Confidence::High));
}

#[test]
fn a_host_whose_doors_fail_still_says_something_of_every_key() {
    let spec = full();
    let host = fake(spec.clone());
    read(&host, json!({}));
    let calls = host.calls();
    // Every twentieth call fails once, each time another one.
    for at in (2..calls).step_by(20) {
        let host = fake(spec.clone());
        host.fail_at(at);
        conforms(&read(&host, json!({})));
    }
}

#[test]
fn an_inspection_that_costs_too_much_ends_and_says_so() {
    let mut spec = full();
    spec["cpu_us_a_call"] = json!(100_000);
    let readings = read(&fake(spec), json!({}));
    conforms(&readings);
    let over = |reading: &&Reading| matches!(&reading.outcome, Outcome::Unreadable { why } if why.contains("used its 5 s of processor time"));
    assert!(readings.readings.iter().any(|reading| over(&reading)));
    assert!(readings.cost.cpu_ms >= 5000);
    let told: u64 = readings.readings.iter().filter_map(|reading| reading.cost).map(|cost| cost.cpu_ms).sum();
    assert!(told <= readings.cost.cpu_ms, "the parts cost {told} ms, all of it {} ms", readings.cost.cpu_ms);
}

#[test]
fn a_deadline_that_is_near_shortens_the_window() {
    let mut spec = full();
    spec["deadline_s"] = json!(10);
    let readings = read(&fake(spec), json!({"sample_s": 60}));
    conforms(&readings);
    assert_eq!(readings.cost.wall_ms, 4998, "three steps in half of what is left");
}

fn panics(_: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    sink.tell("os.boot_id", "x", Ok(Datum::Text("b".to_owned())));
    panic!("no such luck")
}

#[test]
fn a_collector_that_panics_costs_its_own_keys_and_no_others() {
    let host = fake(json!({}));
    let params = Params::default();
    let scene = Scene::new(&host, &params);
    let mut sink = Sink::new(Timestamp::UNIX_EPOCH);
    run(&collector("broken", &["os.boot_id", "os.thp.enabled"], panics), &scene, &mut sink);
    run(&collector("silent", &["os.mem.available"], |_, _| Ok(())), &scene, &mut sink);
    let readings = sink.into_readings();
    let outcome = |n: usize| serde_json::to_string(&readings[n].outcome).unwrap();
    assert!(outcome(0).contains("\"text\":\"b\""));
    assert!(outcome(1).contains("panicked (a bug of kfleet): no such luck"), "{}", outcome(1));
    assert!(outcome(2).contains("said nothing of it"), "{}", outcome(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn this_very_host_is_read_within_its_bounds() {
    let readings = tokio::task::spawn_blocking(|| {
        let host = RealHost::new(Arc::new(TestContext::new()));
        let params = json!({"host": "here", "sample_s": 1, "names": ["localhost"]});
        super::host(&host, params.as_object().unwrap()).unwrap()
    });
    let readings = readings.await.unwrap();
    conforms(&readings);
    for key in ["os.cpu.busy", "os.mem.available", "os.boot_id", "sysctl.running", "net.tcp.sent", "net.name.addresses"]
    {
        let found = readings.readings.iter().find(|reading| reading.key == key).unwrap();
        assert!(matches!(found.outcome, Outcome::Read(_)), "{found:?}");
    }
    assert!(readings.cost.cpu_ms < 5000, "{:?}", readings.cost);
    assert!(readings.cost.bytes > 0 && readings.cost.bytes < 64 << 20, "{:?}", readings.cost);
}
