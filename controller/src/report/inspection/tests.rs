use super::*;
use std::collections::BTreeSet;

#[test]
fn every_form_is_known_by_its_name_and_stands_in_the_table_once() {
    let names: BTreeSet<&str> = FORMATS.iter().map(|entry| entry.name).collect();
    let formats: BTreeSet<Format> = FORMATS.iter().map(|entry| entry.format).collect();
    assert_eq!((names.len(), formats.len()), (FORMATS.len(), FORMATS.len()));
    for entry in &FORMATS {
        assert_eq!(entry.name.parse::<Format>().unwrap(), entry.format);
        assert_eq!(entry.format.to_string(), entry.name);
        assert!(!entry.extension.contains('.') && entry.media_type.contains('/'));
    }
    let error = "pdf".parse::<Format>().unwrap_err().to_string();
    let wanted =
        "there is no form \"pdf\"; there are terminal, html, json, markdown, junit, sarif, csv, openmetrics, nagios";
    assert_eq!(error, wanted);
    assert_eq!("zh".parse::<Language>().unwrap(), Language::Chinese);
    assert_eq!("fr".parse::<Language>().unwrap_err().to_string(), "a report speaks \"en\" or \"zh\", not \"fr\"");
}

#[test]
fn every_form_of_every_sample_is_made_and_made_alike_again_in_both_languages() {
    for sample in samples::all() {
        for entry in &FORMATS {
            for language in [Language::English, Language::Chinese] {
                let options = Options { language, ..Options::default() };
                let text = render(entry.format, &sample.pages(), &options).unwrap();
                assert!(text.ends_with('\n'), "{} of {}", entry.name, sample.name);
                assert_eq!(text, render(entry.format, &sample.pages(), &options).unwrap(), "{}", entry.name);
            }
        }
    }
}

#[test]
fn the_json_form_is_the_document_and_nothing_else() {
    for sample in samples::all() {
        let text = render(Format::Json, &sample.pages(), &Options::default()).unwrap();
        let read: kfleet_inspect::Inspection = serde_json::from_str(&text).unwrap();
        assert_eq!(read, sample.inspection, "{}", sample.name);
        let keys: Vec<String> = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text)
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(keys[..2], ["schema", "fleet"]);
        assert!(text.contains("\"schema\": \"kfleet-inspection/1\""));
    }
}

#[test]
fn the_samples_are_what_their_names_say() {
    use kfleet_inspect::State;
    let all = samples::all();
    let of = |name: &str| all.iter().find(|sample| sample.name == name).unwrap();
    assert_eq!((of("healthy").inspection.findings.len(), of("healthy").inspection.verdict), (0, State::Ok));
    assert_eq!(of("bad-night").inspection.findings.len(), 38);
    assert_eq!(of("huge").inspection.findings.len(), 5_000);
    let coverage = &of("half-missing").inspection.coverage;
    assert!(coverage.hosts_seen * 2 <= coverage.hosts_expected + 1);
}
