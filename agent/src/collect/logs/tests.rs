use super::*;
use crate::host::fake::{FakeHost, Spec};
use crate::host::{Attributes, Content, Host};
use kfleet_inspect::{CATALOGUE, Outcome, readings as keys};
use kfleet_logs::LogAnswer;
use serde_json::{Value, json};
use std::path::Path;

const LOG: &str = "/var/log/kafka/server.log";

/// The fake clock begins at 2023-11-14 22:13:20 UTC.
fn at(minute: u32, text: &str) -> String {
    format!("[2023-11-14 21:{minute:02}:00,000] {text} (kafka.server.X)\n")
}

fn base() -> Value {
    json!({
        "units": [{"name": "kafka.service", "active": "active"}],
        "files": {
            "/proc/4711/cmdline": {"content": "java\u{0}-Dkafka.logs.dir=/var/log/kafka\u{0}-Xlog:gc*:file=/var/log/kafka/kafkaServer-gc.log:time,tags\u{0}kafka.Kafka\u{0}/etc/kafka/server.properties\u{0}"},
            "/proc/4711/environ": {"content": "TZ=UTC\u{0}LOG_DIR=/elsewhere\u{0}"},
            "/var/log/kafka/kafkaServer-gc.log": {"content": "[2023-11-14T21:00:00.000+0000][info][gc          ] GC(1) Pause Young (Normal) (G1 Evacuation Pause) 612M->101M(1024M) 4000.0ms\n"},
            "/var/log/kafka/kafka-request.log": {"content": "[2023-11-14 21:00:00,000] ERROR Map failed (kafka.request.logger)\n"},
        },
        "commands": [
            {"run": "journalctl * --since=@* -u kafka.service", "stdout": "2023-11-14T21:30:00.000000+0000 k1 java[4711]: [2023-11-14 21:30:00,000] ERROR Processor 3 poll failed (a.b)\n2023-11-14T21:31:00.000000+0000 k1 java[4711]: java.lang.OutOfMemoryError: Metaspace\n-- cursor: s=1\n"},
            {"run": "journalctl * --after-cursor=s=1 -u kafka.service", "stdout": ""},
            {"run": "journalctl * --since=@* _TRANSPORT=kernel", "stdout": "2023-11-14T21:40:00.000000+0000 k1 kernel: Out of memory: Killed process 4711 (java) total-vm:1kB\n-- cursor: s=2\n"},
            {"run": "journalctl * --after-cursor=s=2 _TRANSPORT=kernel", "stdout": ""},
        ],
    })
}

fn host(text: &str) -> FakeHost {
    let mut spec = base();
    spec["files"][LOG] = json!({"content": text});
    FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap())
}

fn put(host: &FakeHost, path: &str, text: &str) {
    host.write(Path::new(path), Content::Bytes(text.as_bytes()), Attributes::default()).unwrap();
}

fn params(value: Value) -> Map {
    value.as_object().unwrap().clone()
}

fn read(host: &FakeHost, inspection: &str) -> Vec<Reading> {
    readings(host, &params(json!({"inspection": inspection}))).unwrap()
}

fn sources(readings: &[Reading]) -> &BTreeMap<String, String> {
    let Outcome::Read(Datum::Texts(texts)) = &readings[0].outcome else { panic!("{:?}", readings[0]) };
    texts
}

/// `K-LOCK 2 crit` for each signature.
fn hits(readings: &[Reading]) -> Vec<String> {
    let of = |key: &str, part: &Part| {
        let found = readings.iter().find(|one| one.key == key && one.part.as_ref() == Some(part));
        match found.map(|one| &one.outcome) {
            Some(Outcome::Read(Datum::Int(n))) => n.to_string(),
            Some(Outcome::Read(Datum::Text(text))) => text.clone(),
            Some(Outcome::Read(Datum::Flag(flag))) => flag.to_string(),
            other => panic!("{key} {part}: {other:?}"),
        }
    };
    let parts = readings.iter().filter(|one| one.key == "log.hits").filter_map(|one| one.part.as_ref());
    let mut all: Vec<String> = parts
        .map(|part| {
            let volatile = if of("log.volatile", part) == "true" { " volatile" } else { "" };
            format!("{} {} {}{volatile}", part.name, of("log.hits", part), of("log.severity", part))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_night_s_logs_are_counted_once_and_the_next_night_goes_on_behind_them() {
    let first =
        at(1, "ERROR Failed to acquire lock on file .lock in /d") + &at(2, "ERROR Something nobody knows, 17 times");
    let host = host(&first);
    let found = read(&host, "night-1");
    assert_eq!(
        hits(&found),
        ["G-PAUSE 1 crit", "J-OOM-META 1 crit", "K-LOCK 1 crit", "KRN-OOM 1 crit"],
        "what the framework wrote to the journal, and the log of requests, are not counted"
    );
    let read_all = |found: &[Reading]| sources(found).iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    assert_eq!(read_all(&found), ["journal=read", "jvm=read", "kafka=read", "kernel=read"]);
    let told = &found[0].evidence;
    for what in [
        "/var/log/kafka/server.log: no bookmark: only what is new enough was read",
        "unknown error, 1 times: Something nobody knows, <n> times",
    ] {
        assert!(told.iter().any(|line| line == what), "{told:?}");
    }
    for reading in &found {
        let key = keys::find(&reading.key).unwrap();
        let Outcome::Read(datum) = &reading.outcome else { panic!("{reading:?}") };
        assert_eq!((datum.kind(), reading.part.as_ref().map(|part| part.kind)), (key.kind, key.part), "{}", key.key);
    }

    assert!(hits(&read(&host, "night-2")).is_empty(), "nothing is new");

    // Rotated in between: the rest of the old file, then the new one. A line that has no end waits for it.
    let second = at(3, "INFO [Partition a-0 broker=1] Shrinking ISR from 1,2 to 1. Leader: (x)");
    put(&host, &format!("{LOG}.1"), &(first.clone() + &second));
    let third = at(4, "FATAL Exiting Kafka due to fatal exception");
    let (whole, torn) = (third.clone(), at(5, "ERROR Processor 3 poll failed"));
    put(&host, LOG, &(whole.clone() + &torn[..40]));
    assert_eq!(hits(&read(&host, "night-3")), ["K-EXIT-FATAL 1 crit", "K-ISR-SHRINK 1 warn volatile"]);
    put(&host, LOG, &(whole + &torn));
    let found = read(&host, "night-4");
    assert_eq!(hits(&found), ["K-POLL-FAIL 1 crit"]);
    assert_eq!(hits(&read(&host, "night-4")), ["K-POLL-FAIL 1 crit"], "an answer that was lost is given again");
    assert!(hits(&read(&host, "night-5")).is_empty());
}

#[test]
fn a_fault_at_any_call_loses_no_line_and_counts_none_twice() {
    let text = at(1, "ERROR Failed to acquire lock on file .lock in /d").repeat(3);
    let fresh = || host(&text);
    let calls = {
        let host = fresh();
        read(&host, "n");
        host.calls()
    };
    assert!(calls > 10);
    let lock = |found: &[Reading]| hits(found).into_iter().filter(|hit| hit.starts_with("K-LOCK")).collect::<Vec<_>>();
    let mut failed = 0;
    for call in 0..calls {
        let host = fresh();
        host.fail_at(call);
        let mut all = match readings(&host, &params(json!({"inspection": "n1"}))) {
            Ok(found) => {
                failed += usize::from(sources(&found).values().any(|outcome| outcome != "read"));
                lock(&found)
            }
            Err(_) => {
                failed += 1;
                Vec::new()
            }
        };
        all.extend(lock(&read(&host, "n2")));
        assert_eq!(all, ["K-LOCK 3 crit"], "call {call}");
    }
    assert!(failed > 3, "{failed} of {calls}");
}

#[test]
fn a_log_that_can_not_be_read_is_told_and_the_others_are_read() {
    let mut spec = base();
    spec["commands"] =
        json!([{"run": "dmesg", "stdout": "[  900.000000] task java:1 blocked for more than 120 seconds\n"}]);
    spec["files"]["/proc/sys/kernel/random/boot_id"] = json!({"content": "b1\n"});
    let host = FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap());
    let found = read(&host, "1");
    let sources = sources(&found);
    assert_eq!((sources["kernel"].as_str(), sources["jvm"].as_str()), ("read", "read"));
    assert!(sources["journal"].contains("journalctl"), "{sources:?}");
    assert_eq!(hits(&found), ["G-PAUSE 1 crit", "KRN-HUNG 1 crit"]);
    assert!(hits(&read(&host, "2")).is_empty(), "the kernel's buffer is not counted again");
}

#[test]
fn lost_bookmarks_are_told_and_the_last_day_is_read() {
    let host = host(&at(1, "ERROR Failed to acquire lock on file .lock in /d"));
    read(&host, "1");
    host.remember("log-bookmarks", b"{").unwrap();
    let found = read(&host, "2");
    assert!(hits(&found).contains(&"K-LOCK 1 crit".to_owned()));
    assert!(found[0].evidence[0].starts_with("the bookmarks are lost ("), "{:?}", found[0].evidence);
}

fn search(host: &FakeHost, value: Value) -> LogAnswer {
    lines(host, &params(value)).unwrap()
}

fn texts(answer: &LogAnswer) -> Vec<&str> {
    answer.lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn lines_are_filtered_where_they_are() {
    let text = at(1, "INFO early")
        + &at(10, "WARN password=hunter2 late")
        + "\tat a.b\n"
        + &at(11, "INFO [KafkaServer id=1] started");
    let host = host(&text);
    let answer = search(&host, json!({"since": "2023-11-14T21:05:00Z", "until": "2023-11-14T21:20:00Z"}));
    assert_eq!(
        texts(&answer),
        [at(10, "WARN password=******** late").trim_end(), at(11, "INFO [KafkaServer id=1] started").trim_end()]
    );
    assert_eq!((answer.lines[0].more.as_slice(), answer.cut.as_deref()), (&["\tat a.b".to_owned()][..], None));
    assert_eq!(answer.lines[1].signatures, [SignatureId::new("K-STARTED")]);
    let all = |more: Value| {
        let mut value = json!({"since": "2023-11-14T20:00:00Z", "until": "2023-11-14T21:20:00Z"});
        value.as_object_mut().unwrap().extend(params(more));
        search(&host, value)
    };
    assert_eq!(all(json!({"pattern": "a\\.b"})).lines.len(), 1, "the lines below are searched too");
    assert_eq!(all(json!({"level": "WARN"})).lines.len(), 1);
    assert_eq!(all(json!({"select": "notable"})).lines.len(), 3, "the long pause, the warning, the start");
    let cut = all(json!({"limit": 2}));
    assert_eq!(
        (cut.lines.len(), cut.cut.as_deref()),
        (2, Some("more than 2 lines were found; these are the newest of them"))
    );
    assert!(cut.lines[1].text.contains("started"));
}

#[test]
fn a_large_file_is_not_read_from_its_beginning() {
    let old = at(1, &format!("INFO {}", "x".repeat(900))).repeat(5000);
    let host = host(&(old + &at(50, "INFO wanted")));
    let answer =
        search(&host, json!({"since": "2023-11-14T21:45:00Z", "until": "2023-11-14T21:55:00Z", "pattern": "."}));
    assert_eq!(texts(&answer), [at(50, "INFO wanted").trim_end()]);
}

#[test]
fn times_are_of_the_zone_of_the_process() {
    let mut spec = base();
    spec["files"]["/proc/4711/environ"] = json!({"content": "TZ=CET-1\u{0}"});
    spec["files"][LOG] = json!({"content": "[2023-11-14 22:10:00,000] INFO here (a.b)\n"});
    let host = FakeHost::new(&serde_json::from_value::<Spec>(spec).unwrap());
    let answer = search(&host, json!({"since": "2023-11-14T21:05:00Z", "until": "2023-11-14T21:15:00Z"}));
    assert_eq!(answer.lines[0].at.to_string(), "2023-11-14T21:10:00Z");
}

#[test]
fn wrong_parameters_are_refused() {
    let host = host("");
    for (value, why) in [
        (json!({"since": "2023-11-14T21:05:00Z", "pattern": "("}), "pattern \"(\" can not be used"),
        (json!({"since": "2033-11-14T21:05:00Z"}), "lies behind the end"),
        (json!({"pattern": "x"}), "missing field `since`"),
        (json!({"since": "2023-11-14T21:05:00Z", "levle": "WARN"}), "unknown field `levle`"),
    ] {
        let error = lines(&host, &params(value)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn every_check_that_a_signature_names_is_in_the_catalogue() {
    for signature in SIGNATURES.all() {
        for check in &signature.checks {
            assert!(CATALOGUE.get(check).is_some(), "{}: {check}", signature.id);
        }
    }
}
