//! The arrows of ARCHITECTURE.md: which crate may depend on which, and what the pure ones may not use.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Our crates that each of ours may depend on, development dependencies included.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kfleet-model", &[]),
    ("kfleet-config", &["kfleet-model"]),
    ("kfleet-playbook", &["kfleet-config", "kfleet-model"]),
    ("kfleet-rolling", &["kfleet-model"]),
    ("kfleet-inspect", &["kfleet-config", "kfleet-model"]),
    ("kfleet-logs", &["kfleet-model"]),
    ("kfleet-kafka", &["kfleet-model"]),
    ("kfleet-pki", &["kfleet-model"]),
    ("kfleet-tune", &["kfleet-model"]),
    ("kfleet-proto", &["kfleet-model"]),
    (
        "kfleet-agent",
        &[
            "kfleet-config",
            "kfleet-inspect",
            "kfleet-kafka",
            "kfleet-logs",
            "kfleet-model",
            "kfleet-pki",
            "kfleet-proto",
            "kfleet-time",
            "kfleet-tune",
        ],
    ),
    (
        "kfleet",
        &[
            "kfleet-config",
            "kfleet-inspect",
            "kfleet-logs",
            "kfleet-model",
            "kfleet-pki",
            "kfleet-playbook",
            "kfleet-proto",
            "kfleet-rolling",
        ],
    ),
    ("kfleet-time", &[]),
    (
        "kfleet-tests",
        &[
            "kfleet",
            "kfleet-agent",
            "kfleet-inspect",
            "kfleet-kafka",
            "kfleet-logs",
            "kfleet-model",
            "kfleet-pki",
            "kfleet-playbook",
            "kfleet-proto",
            "kfleet-rolling",
        ],
    ),
];

/// Crates whose code must be a function of its arguments.
const PURE: &[(&str, &str)] = &[
    ("kfleet-config", "crates/config/src"),
    ("kfleet-inspect", "crates/inspect/src"),
    ("kfleet-logs", "crates/logs/src"),
    ("kfleet-model", "crates/model/src"),
    ("kfleet-playbook", "crates/playbook/src"),
    ("kfleet-rolling", "crates/rolling/src"),
    ("kfleet-tune", "crates/tune/src"),
    ("kfleet-time", "crates/time/src"),
];

/// What a pure crate's normal dependencies may not be.
const IMPURE_CRATES: &[&str] = &["tokio", "async-std", "rand", "chrono", "nix", "rustix", "reqwest", "sqlx", "tonic"];

/// What pure code may not name, with the reason. Tests inside the crates may.
const IMPURE_WORDS: &[(&str, &str)] = &[
    ("std::fs", "files come in through a trait"),
    ("std::net", "sockets belong to the edges"),
    ("std::process", "processes belong to the agent's host/"),
    ("std::env", "the environment is read by the controller"),
    ("SystemTime", "time comes in as an argument"),
    ("Instant::now", "time comes in as an argument"),
    ("Timestamp::now", "time comes in as an argument; jiff is here to format it"),
    ("Zoned::now", "time comes in as an argument; jiff is here to format it"),
    ("async fn", "pure crates are not asynchronous"),
];

/// Words that only one folder may use.
const DOORS: &[(&str, &str, &[&str])] = &[
    ("rdkafka", "", &["crates/kafka/"]),
    ("kafka_protocol", "", &["crates/kafka/"]),
    ("AgentClient", "controller/src", &["controller/src/execute/link.rs"]),
    ("std::io::stdout", "controller/src", &["controller/src/report/"]),
    ("saphyr", "", &["crates/playbook/src/yaml/"]),
];

fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sources(dir: &std::path::Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The code of a file before its tests, without comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/") || name.ends_with("/fake.rs") || name.ends_with("/cases.rs")
}

#[test]
fn a_crate_depends_only_on_what_the_architecture_allows() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, deps)| (*name, deps.iter().copied().collect())).collect();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let allowed =
            allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the architecture; add it to ALLOWED"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().unwrap() {
            let dependency_name = dependency["name"].as_str().unwrap();
            let ours = dependency_name == "kfleet" || dependency_name.starts_with("kfleet-");
            assert!(
                !ours || allowed.contains(dependency_name) || dependency_name == name,
                "{name} must not depend on {dependency_name}"
            );
            let normal = dependency["kind"].is_null();
            if PURE.iter().any(|(pure, _)| *pure == name) && normal {
                assert!(
                    !IMPURE_CRATES.contains(&dependency_name),
                    "the pure crate {name} must not use {dependency_name}"
                );
            }
        }
    }
    assert_eq!(seen.len(), ALLOWED.len(), "the workspace has {seen:?}");
}

#[test]
fn the_pure_crates_name_no_clock_file_socket_or_process() {
    for (name, dir) in PURE {
        let mut files = Vec::new();
        sources(&root().join(dir), &mut files);
        assert!(!files.is_empty());
        for (path, text) in files.iter().filter(|(path, _)| !is_test_file(path)) {
            let code = code(text);
            for (word, why) in IMPURE_WORDS {
                assert!(!code.contains(word), "{path} of the pure crate {name} names {word}: {why}");
            }
        }
    }
}

#[test]
fn each_door_is_used_only_by_the_room_that_has_it() {
    let mut files = Vec::new();
    for dir in ["agent/src", "controller/src", "crates", "proto/src"] {
        sources(&root().join(dir), &mut files);
    }
    for (word, within, rooms) in DOORS {
        let within = files.iter().filter(|(path, _)| path.starts_with(within) && !is_test_file(path));
        for (path, text) in within {
            let allowed = rooms.iter().any(|room| path.starts_with(room));
            assert!(allowed || !code(text).contains(word), "{path} uses {word}, which belongs to {rooms:?}");
        }
    }
}
