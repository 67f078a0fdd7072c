use super::*;
use crate::CATALOGUE;
use kfleet_model::HostName;
use proptest::prelude::*;
use serde_json::json;

fn file(value: Value) -> InspectionFile {
    serde_json::from_value(value).unwrap()
}

fn errors(value: Value) -> Vec<String> {
    Layers::new(&file(value), &CATALOGUE).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_layer_furthest_to_the_right_decides_and_is_named() {
    let file = file(json!({
        "fleet": {"disk.space": {"warn": "70 %", "crit": 80}},
        "clusters": {"prod": {"disk.space": {"warn": "60 %"}}},
        "roles": {"zookeeper": {"disk.space": {"warn": "50 %"}}},
        "host_labels": {"disk=small": {"disk.space": {"warn": "40 %"}}},
    }));
    let layers = Layers::new(&file, &CATALOGUE).unwrap();
    let check = CATALOGUE.get("disk.space").unwrap();
    let prod = || Layer::Cluster(ClusterName::new("prod").unwrap());
    for (place, warn, decided) in [
        (vec![], "70 %", "fleet"),
        (vec![prod()], "60 %", "cluster prod"),
        (vec![Layer::Role(Role::Zookeeper), prod()], "50 %", "role zookeeper"),
        (vec![Layer::HostLabel("disk=small".into()), prod()], "40 %", "host label disk=small"),
        (vec![Layer::HostLabel("disk=large".into()), prod()], "60 %", "cluster prod"),
    ] {
        let place = Place::new(place);
        let (limit, layer) = layers.resolve(check, "warn", &place).unwrap();
        assert_eq!((limit.to_string().as_str(), layer.to_string().as_str()), (warn, decided));
        let (limit, layer) = layers.resolve(check, "crit", &place).unwrap();
        assert_eq!((limit.to_string().as_str(), layer.to_string().as_str()), ("80 %", "fleet"));
    }
    let (limit, layer) = Layers::default().resolve(check, "warn", &Place::default()).unwrap();
    assert_eq!((limit.to_string().as_str(), layer.to_string().as_str()), ("75 %", "built-in"));
}

#[test]
fn what_is_wrong_is_told_all_at_once_with_the_bound() {
    let told = errors(json!({
        "fleet": {
            "disk.spice": {"warn": 1},
            "os.psi_mem": {"warn": 1},
            "disk.space": {"warn": "10 ms", "worn": 1},
            "os.thp": "never",
        },
        "host_labels": {"small": {}},
        "waivers": [{"check": "os.nothing", "owner": "", "reason": "r", "expires": "2026-01-01T00:00:00Z"}],
        "windows": [{"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z", "reason": "w"}],
    }));
    let wanted = [
        "fleet: disk.space.warn: 10 ms can not be compared with a number in %",
        "fleet: disk.space has no limit \"worn\"; it has warn, crit",
        "fleet: there is no check \"disk.spice\", did you mean disk.space?",
        "fleet: the check os.psi_mem is not built yet, a threshold of it would decide nothing",
        "fleet: os.thp must be \"off\" or a mapping of warn",
        "host label small: a label is written as key=value",
        "waiver of os.nothing for \"*\": there is no such check",
        "waiver of os.nothing for \"*\": it has no owner",
        "window \"w\": it ends at 2026-01-01T00:00:00Z, before it begins at 2026-01-02T00:00:00Z",
    ];
    let told: std::collections::BTreeSet<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(told, wanted.into_iter().collect());
}

#[test]
fn an_unknown_key_of_the_file_is_refused() {
    let error = serde_json::from_value::<InspectionFile>(json!({"cluster": {}})).unwrap_err().to_string();
    assert!(error.contains("unknown field `cluster`"), "{error}");
}

#[test]
fn a_check_is_switched_off_until_a_later_layer_says_more() {
    let file = file(json!({
        "fleet": {"os.thp": "off", "disk.space": false},
        "clusters": {"prod": {"os.thp": {"warn": "madvise"}}},
    }));
    let layers = Layers::new(&file, &CATALOGUE).unwrap();
    let thp = CATALOGUE.get("os.thp").unwrap();
    let prod = Place::new([Layer::Cluster(ClusterName::new("prod").unwrap())]);
    assert_eq!(layers.switched_off(thp, &Place::new([])), Some(Layer::Fleet));
    assert_eq!(layers.switched_off(thp, &prod), None);
    assert_eq!(layers.switched_off(CATALOGUE.get("disk.space").unwrap(), &prod), Some(Layer::Fleet));
    assert_eq!(layers.switched_off(CATALOGUE.get("os.boot").unwrap(), &prod), None);
}

proptest! {
    /// Whatever layers say something, the strongest of them decides, and in whatever order a place names them.
    #[test]
    fn the_strongest_layer_decides_in_any_order(said in proptest::collection::vec(proptest::bool::ANY, 5), turn in 0_usize..5) {
        let host = HostName::new("h").unwrap();
        let cluster = ClusterName::new("c").unwrap();
        let all = [
            Layer::Fleet,
            Layer::Cluster(cluster.clone()),
            Layer::Role(Role::KafkaBroker),
            Layer::HostLabel(label("host", host.as_str())),
            Layer::TopicLabel(label("tier", "gold")),
        ];
        let mut file = InspectionFile::default();
        for (n, _) in said.iter().enumerate().filter(|(_, said)| **said) {
            let over = Overrides::from([("topic.rf_low".to_owned(), json!({"warn": 10 + n}))]);
            match n {
                0 => file.fleet = over,
                1 => { file.clusters.insert(cluster.clone(), over); }
                2 => { file.roles.insert(Role::KafkaBroker, over); }
                3 => { file.host_labels.insert(label("host", host.as_str()), over); }
                _ => { file.topic_labels.insert(label("tier", "gold"), over); }
            }
        }
        let mut place = all.to_vec();
        place.rotate_left(turn);
        let layers = Layers::new(&file, &CATALOGUE).unwrap();
        let check = CATALOGUE.get("topic.rf_low").unwrap();
        let (limit, layer) = layers.resolve(check, "warn", &Place::new(place)).unwrap();
        let strongest = said.iter().rposition(|said| *said);
        prop_assert_eq!(limit.to_string(), strongest.map_or("3".to_owned(), |n| (10 + n).to_string()));
        prop_assert_eq!(Some(layer), strongest.map_or(Some(Layer::BuiltIn), |n| all.get(n).cloned()));
    }
}
