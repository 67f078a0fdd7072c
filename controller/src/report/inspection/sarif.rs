//! [SARIF 2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html) for what collects results of static
//! analysis.
//!
//! Every built check is declared as a rule, so that a consumer closes what is no longer reported. A finding's place is
//! a logical one, for nothing here is a line of a file.

use super::words::clipped;
use super::{Options, Pages, RenderError, texts};
use kfleet_inspect::finding::Change;
use kfleet_inspect::{CATALOGUE, CheckId, Finding, Inspection, Object, Owner, State, Subject};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Where the shape is defined; section 3.13.3 recommends to name it.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Characters of one text.
const LONGEST: usize = 4_000;

pub(super) fn render(pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let inspection = pages.inspection;
    let (rules, places) = rules(inspection, options);
    let mut results = Vec::new();
    let place = |check: &CheckId| places.get(check).copied();
    let compared = inspection.run.compared_with.is_some();
    results.extend(inspection.findings.iter().map(|finding| result(finding, place(&finding.check), compared, options)));
    for cleared in &inspection.cleared {
        let text = texts::pick(&cleared.title, options.language);
        let mut one = bare(&cleared.check, &cleared.object, place(&cleared.check), "none", "pass", text);
        if compared {
            one["baselineState"] = json!("absent");
        }
        results.push(one);
    }
    for (check, all) in &inspection.skipped {
        let one = |one: &kfleet_inspect::finding::Skipped| {
            bare(check, &one.object, place(check), "none", "notApplicable", &one.why)
        };
        results.extend(all.iter().map(one));
    }
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "kfleet",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": {"id": format!("kfleet/{}/", inspection.fleet)},
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": inspection.exit_code(),
                "endTimeUtc": inspection.run.judged_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

/// All built checks, and those of findings that this catalogue does not have: a document may be of an older kfleet.
fn rules(inspection: &Inspection, options: &Options) -> (Vec<Value>, BTreeMap<CheckId, usize>) {
    let mut rules = Vec::new();
    let mut places = BTreeMap::new();
    let mut add = |id: &CheckId, title: &str, why: &str, advice: &str| {
        if places.contains_key(id) {
            return;
        }
        places.insert(id.clone(), rules.len());
        rules.push(json!({
            "id": id.as_str(),
            "shortDescription": {"text": clipped(title, LONGEST)},
            "fullDescription": {"text": clipped(why, LONGEST)},
            "help": {"text": clipped(advice, LONGEST)},
            "properties": {"tags": [id.area()]},
        }));
    };
    let pick = |text| texts::pick(text, options.language);
    for check in CATALOGUE.built() {
        add(&check.id, pick(&check.title), pick(&check.why), pick(&check.advice));
    }
    for finding in &inspection.findings {
        add(&finding.check, pick(&finding.title), pick(&finding.why), pick(&finding.advice));
    }
    for (id, title) in inspection.cleared.iter().map(|cleared| (&cleared.check, &cleared.title)) {
        add(id, pick(title), pick(title), pick(title));
    }
    for id in inspection.skipped.keys() {
        add(id, id.as_str(), id.as_str(), id.as_str());
    }
    (rules, places)
}

fn result(finding: &Finding, place: Option<usize>, compared: bool, options: &Options) -> Value {
    // A result that is waived keeps the level of what was read; its suppression says that it is accepted.
    let (level, kind) = match finding.judged {
        State::Crit => ("error", "fail"),
        State::Warn => ("warning", "fail"),
        State::Info | State::Waived | State::Expected => ("note", "fail"),
        State::Unknown => ("none", "open"),
        State::Skip => ("none", "notApplicable"),
        State::Ok => ("none", "pass"),
    };
    let mut one = bare(&finding.check, &finding.object, place, level, kind, &message(finding, options));
    if compared {
        one["baselineState"] = json!(match finding.change {
            Change::New => "new",
            Change::Worse | Change::Better => "updated",
            Change::Unchanged | Change::Unseen => "unchanged",
            Change::Fixed | Change::Gone => "absent",
        });
    }
    let accepted = [("waived", &finding.waiver), ("expected", &finding.window)];
    let accepted = accepted.into_iter().filter_map(|(state, why)| Some((state, why.as_ref()?)));
    // The list stands there, empty too, so that a consumer does not take its absence for "suppressions unknown".
    one["suppressions"] = accepted
        .filter(|(state, _)| *state == finding.state.name())
        .map(|(_, why)| json!({"kind": "external", "status": "accepted", "justification": clipped(why, LONGEST)}))
        .collect();
    one["properties"] = json!({
        "state": finding.state.name(),
        "since": finding.since.to_string(),
        "evidence": finding.evidence.iter().map(|line| clipped(line, LONGEST)).collect::<Vec<_>>(),
        "fix": finding.fix.as_deref().map(|fix| clipped(fix, LONGEST)),
        "cause": finding.cause.as_ref().map(ToString::to_string),
    });
    one
}

fn bare(check: &CheckId, object: &Object, place: Option<usize>, level: &str, kind: &str, text: &str) -> Value {
    let owner = match &object.owner {
        Owner::Fleet => "fleet",
        Owner::Host(_) => "host",
        Owner::Cluster(_) => "cluster",
    };
    let subject = Subject { check: check.clone(), object: object.clone() }.to_string();
    let digest = Sha256::digest(subject.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut one = json!({
        "ruleId": check.as_str(),
        "level": level,
        "kind": kind,
        "message": {"text": clipped(text, LONGEST)},
        "locations": [{"logicalLocations": [{
            "fullyQualifiedName": clipped(&object.to_string(), LONGEST),
            "kind": object.part.as_ref().map_or(owner, |part| part.kind.word()),
        }]}],
        "partialFingerprints": {"kfleetSubject/v1": digest},
    });
    if let Some(place) = place {
        one["ruleIndex"] = json!(place);
    }
    one
}

fn message(finding: &Finding, options: &Options) -> String {
    let mut out = format!("{}: {}", finding.object, texts::pick(&finding.title, options.language));
    for text in [
        finding.reading.as_ref().map(|shown| format!(": {shown}")),
        finding.threshold.as_ref().map(|fired| format!(" ({})", fired.condition)),
        finding.note.as_ref().map(|note| format!(". {note}")),
    ]
    .into_iter()
    .flatten()
    {
        out.push_str(&text);
    }
    out
}

#[cfg(test)]
mod tests;
