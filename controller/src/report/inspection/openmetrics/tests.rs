use super::*;
use crate::report::inspection::samples;
use std::collections::BTreeSet;

fn text(sample: &samples::Sample) -> String {
    render(&sample.pages(), &Options::default()).unwrap()
}

/// A label set, read by the grammar: `name="value"` with the three escapes, commas between.
fn labels(mut text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("no value: {text}"));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
        let (mut value, mut end) = (String::new(), None);
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(at);
                    break;
                }
                '\\' => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('"' | '\\') => value.push(c),
                    c => panic!("there is no escape \\{c}"),
                },
                c => value.push(c),
            }
        }
        all.push((name.to_owned(), value));
        let rest = &rest[end.unwrap() + 1..];
        text = rest.strip_prefix(',').unwrap_or(rest);
    }
    all
}

/// The rules of the text format that a scraper refuses a page for.
fn check(page: &str) -> usize {
    let body = page.strip_suffix("# EOF\n").expect("the page must end in # EOF and a line feed");
    let (mut family, mut kind, mut unit) = (String::new(), String::new(), String::new());
    let (mut seen, mut series, mut samples) = (BTreeSet::new(), BTreeSet::new(), 0);
    for line in body.lines() {
        assert!(!line.is_empty() && !line.contains('\r'), "{line:?}");
        if let Some(meta) = line.strip_prefix("# ") {
            let (word, rest) = meta.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            match word {
                "TYPE" => {
                    assert!(seen.insert(name.to_owned()), "the family {name} stands twice");
                    assert!(matches!(value, "gauge" | "counter"), "{value}");
                    (family, kind, unit) = (name.to_owned(), value.to_owned(), String::new());
                }
                "UNIT" => {
                    assert_eq!(name, family);
                    assert!(name.ends_with(&format!("_{value}")), "{name} does not end in its unit {value}");
                    value.clone_into(&mut unit);
                }
                "HELP" => assert_eq!(name, family),
                other => panic!("{other}"),
            }
            continue;
        }
        let (name, rest) = line.split_once('{').unwrap();
        assert_eq!(name, if kind == "counter" { format!("{family}_total") } else { family.clone() });
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
        let (inner, value) = rest.rsplit_once("} ").unwrap();
        let found = labels(inner);
        let names: BTreeSet<&String> = found.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), found.len(), "a label stands twice: {line}");
        let number: f64 = value.parse().unwrap_or_else(|_| panic!("{value}"));
        assert!(kind != "counter" || number >= 0.0);
        assert!(series.insert((name.to_owned(), found)), "{line} stands twice");
        samples += 1;
    }
    samples
}

#[test]
fn every_sample_is_a_page_that_a_scraper_takes() {
    for sample in samples::all() {
        assert!(check(&text(&sample)) > 20, "{}", sample.name);
    }
}

#[test]
fn states_and_readings_stand_in_base_units() {
    let page = text(&samples::bad_night());
    for line in [
        "# TYPE kfleet_inspection_verdict gauge\n",
        "kfleet_inspection_verdict{fleet=\"prod-sh\"} 2\n",
        "kfleet_inspection_hosts{fleet=\"prod-sh\",kind=\"seen\"} 15\n",
        "kfleet_inspection_check_state{fleet=\"prod-sh\",area=\"disk\",check=\"disk.space\"} 2\n",
        "kfleet_inspection_check_state{fleet=\"prod-sh\",area=\"net\",check=\"net.mesh\"} 3\n",
        "kfleet_inspection_check_state{fleet=\"prod-sh\",area=\"sysctl\",check=\"sysctl.swappiness\"} 0\n",
        "# UNIT kfleet_reading_disk_used_ratio ratio\n",
        "kfleet_reading_disk_used_ratio{fleet=\"prod-sh\",host=\"kafka-1\",volume=\"/data\"} 0.4125\n",
        "# TYPE kfleet_reading_os_oom_kills counter\n",
        "kfleet_reading_os_oom_kills_total{fleet=\"prod-sh\",host=\"kafka-3\"} 2\n",
        "kfleet_inspection_judged_timestamp_seconds{fleet=\"prod-sh\"} 1768501800\n",
    ] {
        assert!(page.contains(line), "{line}");
    }
}

#[test]
fn what_a_host_names_stays_a_label() {
    let mut sample = samples::healthy();
    let evil = "host:kafka-1/volume:/a\"b\\c\nd\u{202e}} 1";
    sample.inspection.memory.readings.insert(
        format!("disk.used@{evil}"),
        kfleet_inspect::memory::Remembered { datum: Datum::Float(f64::NAN), at: samples::night() },
    );
    let page = text(&sample);
    check(&page);
    assert!(page.contains(r#"volume="/a\"b\\c\\nd\\u{202e}} 1"} NaN"#), "{page}");
}

#[test]
fn every_key_has_a_family_of_its_own() {
    let mut names = BTreeSet::new();
    for key in readings::KEYS {
        assert!(names.insert(key.key.replace(['.', '-'], "_")), "{} is not told from another key", key.key);
    }
}
