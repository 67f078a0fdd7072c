use super::*;
use crate::readings;
use std::collections::BTreeSet;

fn catalogue() -> Catalogue {
    let (catalogue, errors) = Catalogue::parse(&FILES);
    assert_eq!(errors, [], "the shipped catalogue must be without errors");
    catalogue
}

#[test]
fn all_checks_of_the_specification_stand_in_the_catalogue() {
    let catalogue = catalogue();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for check in &catalogue.checks {
        *counts.entry(check.id.area()).or_default() += 1;
    }
    let wanted = [
        ("os", 32),
        ("sysctl", 19),
        ("limits", 9),
        ("disk", 29),
        ("net", 21),
        ("clock", 12),
        ("jvm", 21),
        ("cfg", 32),
        ("broker", 49),
        ("topic", 32),
        ("group", 17),
        ("zk", 37),
        ("kraft", 19),
        ("sec", 29),
        ("logs", 11),
        ("cap", 14),
        ("dr", 15),
        ("fleet", 22),
    ];
    assert_eq!(counts, BTreeMap::from(wanted));
    assert_eq!(catalogue.checks.len(), 420);
    assert_eq!(catalogue.checks.iter().filter(|check| check.core).count(), 86);
    assert!(catalogue.checks.iter().all(|check| check.built || !check.core), "every check of the core set is built");
}

#[test]
fn every_check_has_its_texts_and_a_built_one_in_both_languages() {
    for check in &catalogue().checks {
        let id = &check.id;
        assert!(!check.title.en.is_empty() && !check.title.zh.is_empty(), "{id} has no title");
        assert!(!check.from.is_empty() && !check.reads.is_empty(), "{id} names no source");
        if check.built {
            for (text, name) in [(&check.why, "why"), (&check.advice, "advice")] {
                assert!(text.en.len() > 3, "{id} has no {name}");
                assert!(!text.zh.is_ascii(), "{id} has no Chinese {name}");
            }
        }
    }
}

#[test]
fn checks_and_keys_of_readings_know_each_other() {
    let catalogue = catalogue();
    let mut read = BTreeSet::new();
    for check in &catalogue.checks {
        for key in &check.readings {
            assert!(readings::find(key).is_some(), "{} reads {key}, which is not in KEYS", check.id);
            read.insert(key.as_str());
        }
    }
    let unread: Vec<_> = readings::KEYS.iter().map(|key| key.key).filter(|key| !read.contains(key)).collect();
    assert_eq!(unread, [""; 0], "no check reads these keys");
}

#[test]
fn a_limit_is_in_a_unit_that_its_reading_can_be_compared_with() {
    for check in catalogue().built() {
        for condition in check.warn.iter().chain(&check.crit) {
            let Some(key) = condition.reading.as_deref().and_then(readings::find) else { continue };
            let crate::condition::Operand::Limit(Limit::Number(limit)) = &condition.against else { continue };
            let unit = match condition.made {
                Some(crate::condition::As::Busy) => crate::Unit::Percent,
                Some(crate::condition::As::Age | crate::condition::As::Left) => crate::Unit::Days,
                Some(crate::condition::As::Count | crate::condition::As::Added) => crate::Unit::Count,
                Some(crate::condition::As::Growth | crate::condition::As::Magnitude) | None => key.unit,
            };
            let unit = if condition.share_of.is_some() { crate::Unit::Percent } else { unit };
            assert!(limit.to(unit).is_ok(), "{}: {limit} against {} in {unit:?}", check.id, key.key);
        }
    }
}

#[test]
fn every_gate_has_checks() {
    let catalogue = catalogue();
    for set in GateSet::ALL {
        assert!(catalogue.gate(set).count() >= 3, "{}", set.name());
    }
}

#[test]
fn wrong_data_is_told_with_its_check() {
    let head = "area = { en = \"a\", zh = \"b\" }\n[[check]]\nid = \"os.x\"\ntitle = { en = \"t\", zh = \"t\" }\nreads = \"r\"\n\
                said = { warn = \"-\", crit = \"-\" }\nwhy = { en = \"w\" }\nadvice = { en = \"a\" }\nfrom = \"OWN\"\nmode = \"any\"\n";
    for (rest, wanted) in [
        ("built = true\n", "exactly when it is built"),
        ("warn = [{ op = \"above\", value = 1 }]\n", "exactly when it is built"),
        ("built = true\nwarn = [{ op = \"above\", value = 1 }]\n", "has no reading"),
        ("built = true\nreading = \"a\"\nwarn = [{ op = \"above\" }]\n", "> needs a value"),
        ("built = true\nreading = \"a\"\nwarn = [{ op = \"above\", value = \"1 parsec\" }]\n", "unknown unit"),
        (
            "built = true\nreading = \"a\"\nwarn = [{ op = \"above\", value = 1 }, { op = \"below\", value = 0 }]\n",
            "two conditions",
        ),
        ("colour = 1\n", "unknown field `colour`"),
    ] {
        let text = format!("{head}{rest}");
        let (_, errors) = Catalogue::parse(&[("os", text.as_str())]);
        let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(told.contains(wanted), "{rest}: {told}");
    }
    let twice = format!("{head}{}", head.split_once('\n').unwrap().1);
    let (_, errors) = Catalogue::parse(&[("os", twice.as_str())]);
    assert_eq!(errors.len(), 1, "{errors:?}");
}
