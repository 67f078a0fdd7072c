use super::*;
use crate::report::inspection::samples;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::BTreeMap;

/// What the schema allows inside each element, in its order: a child may not stand before one that is left of it.
const INSIDE: &[(&str, &[&str])] = &[
    ("testsuites", &["testsuite"]),
    ("testsuite", &["testcase"]),
    ("testcase", &["skipped", "error", "failure", "system-out"]),
    ("skipped", &[]),
    ("error", &[]),
    ("failure", &[]),
    ("system-out", &[]),
];

/// The attributes of each element that the schema knows, those that must be there first.
const ATTRIBUTES: &[(&str, &[&str], &[&str])] = &[
    ("testsuites", &[], &["name", "time", "tests", "failures", "disabled", "errors"]),
    (
        "testsuite",
        &["name", "tests"],
        &["failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"],
    ),
    ("testcase", &["name", "classname"], &["assertions", "time", "status"]),
    ("skipped", &[], &["message", "type"]),
    ("error", &[], &["message", "type"]),
    ("failure", &[], &["message", "type"]),
    ("system-out", &[], &[]),
];

#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    names: Vec<String>,
    texts: String,
}

fn attributes(start: &BytesStart<'_>) -> BTreeMap<String, String> {
    let one = |attribute: Result<quick_xml::events::attributes::Attribute<'_>, _>| {
        let attribute = attribute.unwrap();
        let name = attribute.key.as_ref().to_owned();
        (name, quick_xml::escape::unescape(&attribute.value).unwrap().into_owned())
    };
    start.attributes().map(one).collect()
}

/// Reads a report as the schema wants it.
fn read(xml: &str) -> Counts {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut counts, mut open, mut declared) = (Counts::default(), Vec::<(String, usize)>::new(), Vec::new());
    loop {
        let event = reader.read_event().unwrap();
        let (start, empty) = match &event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                open.pop();
                continue;
            }
            Event::Text(text) => {
                counts.texts.push_str(text);
                continue;
            }
            Event::Eof => break,
            Event::Decl(_) | Event::GeneralRef(_) => continue,
            other => panic!("{other:?}"),
        };
        let name = start.name().as_ref().to_owned();
        if let Some((parent, last)) = open.last_mut() {
            let allowed = INSIDE.iter().find(|(known, _)| known == parent).unwrap().1;
            let place = allowed.iter().position(|child| *child == name).unwrap_or_else(|| panic!("{name} in {parent}"));
            assert!(place >= *last, "{name} stands too late in {parent}");
            *last = place;
        } else {
            assert_eq!(name, "testsuites");
        }
        let found = attributes(start);
        let (_, needed, known) = ATTRIBUTES.iter().find(|(element, ..)| *element == name).unwrap();
        assert!(needed.iter().all(|attribute| found.contains_key(*attribute)), "{name}: {found:?}");
        assert!(found.keys().all(|key| needed.contains(&&**key) || known.contains(&&**key)), "{name}: {found:?}");
        match name.as_str() {
            "testcase" => {
                counts.cases += 1;
                counts.names.push(found["name"].clone());
            }
            "failure" => counts.failures += 1,
            "error" => counts.errors += 1,
            "skipped" => counts.skipped += 1,
            "testsuite" => declared.push(found.clone()),
            _ => {}
        }
        if !empty {
            open.push((name, 0));
        }
    }
    let sum = |key: &str| declared.iter().map(|suite| suite[key].parse::<usize>().unwrap()).sum::<usize>();
    assert_eq!(sum("tests"), counts.cases);
    assert_eq!(sum("failures"), counts.failures);
    assert_eq!(sum("errors"), counts.errors);
    assert_eq!(sum("skipped"), counts.skipped);
    counts
}

#[test]
fn every_sample_has_the_shape_of_the_schema_and_all_its_findings() {
    for sample in samples::all() {
        let xml = render(&sample.pages(), &Options::default()).unwrap();
        assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
        let counts = read(&xml);
        let of = |wanted: &[State]| sample.inspection.findings.iter().filter(|f| wanted.contains(&f.state)).count();
        assert_eq!(counts.failures, of(&[State::Warn, State::Crit]), "{}", sample.name);
        assert_eq!(counts.errors, of(&[State::Unknown]));
        let skipped: usize = sample.inspection.skipped.values().map(Vec::len).sum();
        assert_eq!(counts.skipped, of(&[State::Waived, State::Expected]) + skipped);
        let passed: usize = sample.inspection.passed.values().map(Vec::len).sum();
        assert_eq!(counts.cases, sample.inspection.findings.len() + passed + skipped);
        // No character that XML 1.0 can not hold, written out or as it is.
        assert!(xml.chars().all(|c| c == '\n' || !c.is_control()), "{}", sample.name);
    }
}

#[test]
fn a_case_is_named_by_check_and_object_and_shows_what_was_found() {
    let xml = render(&samples::bad_night().pages(), &Options::default()).unwrap();
    let counts = read(&xml);
    assert!(counts.names.iter().any(|name| name == "disk.space@host:kafka-2/volume:/data1"));
    assert!(xml.contains("message=\"Used share of every data, metadata and log volume: 91.3 % (&gt; 85 %)\""), "{xml}");
    assert!(counts.texts.contains("$ kfleet roll stop orders --limit kafka-4 --check"));
    assert!(xml.contains("<skipped message=\"waived: li.wei until 2026-01-19"));
}
