use super::*;
use crate::report::inspection::samples;
use std::collections::BTreeSet;

fn log(sample: &samples::Sample) -> Value {
    serde_json::from_str(&render(&sample.pages(), &Options::default()).unwrap()).unwrap()
}

#[test]
fn every_sample_has_the_shape_of_sarif_2_1_0() {
    for sample in samples::all() {
        let log = log(&sample);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["name"], "kfleet");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), rules.len(), "a rule stands twice");
        assert!(CATALOGUE.built().all(|check| ids.contains(check.id.as_str())), "{}", sample.name);
        let results = run["results"].as_array().unwrap();
        for result in results {
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
            let (level, kind) = (result["level"].as_str().unwrap(), result["kind"].as_str().unwrap());
            assert!(["none", "note", "warning", "error"].contains(&level), "{level}");
            assert!(["pass", "open", "notApplicable", "fail"].contains(&kind), "{kind}");
            // Section 3.27.9: only a result of kind fail has a level other than none.
            assert_eq!(kind == "fail", level != "none", "{result}");
            assert!(
                ["new", "updated", "unchanged", "absent"].contains(&result["baselineState"].as_str().unwrap_or("new"))
            );
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert_eq!(result["partialFingerprints"]["kfleetSubject/v1"].as_str().unwrap().len(), 64);
        }
        let findings = results.iter().filter(|result| result.get("suppressions").is_some()).count();
        assert_eq!(findings, sample.inspection.findings.len(), "{}", sample.name);
    }
}

fn of<'a>(log: &'a Value, rule: &str) -> &'a Value {
    let results = log["runs"][0]["results"].as_array().unwrap();
    results.iter().find(|result| result["ruleId"] == rule).unwrap()
}

#[test]
fn states_changes_and_waivers_have_their_words() {
    let log = log(&samples::bad_night());
    for (rule, level, kind, baseline, suppressions) in [
        ("disk.errors", "error", "fail", "new", 0),
        ("disk.space", "error", "fail", "updated", 0),
        ("os.thp", "warning", "fail", "unchanged", 0),
        ("net.mesh", "none", "open", "new", 0),
        ("sysctl.swappiness", "warning", "fail", "unchanged", 1),
        ("os.service_restarts", "warning", "fail", "new", 1),
        ("fleet.kafka_version", "note", "fail", "unchanged", 0),
    ] {
        let result = of(&log, rule);
        assert_eq!((&result["level"], &result["kind"]), (&json!(level), &json!(kind)), "{rule}");
        assert_eq!(result["baselineState"], baseline, "{rule}");
        assert_eq!(result["suppressions"].as_array().unwrap().len(), suppressions, "{rule}");
    }
    assert_eq!(of(&log, "limits.nofile")["baselineState"], "absent");
    assert_eq!(of(&log, "kraft.leader")["kind"], "notApplicable");
    let volume = of(&log, "disk.space")["locations"][0]["logicalLocations"][0].clone();
    assert_eq!(volume, json!({"fullyQualifiedName": "host:kafka-2/volume:/data1", "kind": "volume"}));
}

#[test]
fn a_first_inspection_has_no_baseline_and_fingerprints_last_over_nights() {
    let (before, mut sample) = (log(&samples::bad_night()), samples::bad_night());
    sample.inspection.run.compared_with = None;
    sample.inspection.findings.retain(|finding| finding.check.as_str() != "disk.errors");
    let after = log(&sample);
    assert!(of(&after, "disk.space").get("baselineState").is_none());
    let print = |log: &Value| of(log, "disk.space")["partialFingerprints"].clone();
    assert_eq!(print(&before), print(&after));
}
