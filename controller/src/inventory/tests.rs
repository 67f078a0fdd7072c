use super::*;
use kfleet_playbook::files::MemoryFiles;
use kfleet_playbook::template::{Var, Vars};
use kfleet_playbook::{Diagnostics, Marks};

fn read(files: &[(&str, &str)], sources: &[&str]) -> (Inventory, Diagnostics) {
    let files = MemoryFiles::new(files.iter().map(|(path, text)| (*path, *text)));
    let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
    let mut diagnostics = Diagnostics::new();
    let inventory = load(&files, &sources, &mut diagnostics);
    (inventory, diagnostics)
}

fn good(files: &[(&str, &str)], sources: &[&str]) -> Inventory {
    let (inventory, diagnostics) = read(files, sources);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(&Marks::PLAIN));
    inventory
}

fn value(layers: &Layers, name: &str) -> Value {
    match layers.get(name) {
        Some(Var::Value { value, .. }) => (*value).clone(),
        Some(Var::Scope(_)) | None => Value::Null,
    }
}

fn names(hosts: &[HostName]) -> Vec<&str> {
    hosts.iter().map(HostName::as_str).collect()
}

const FLEET: &str = "\
# the fleet
bastion ansible_host=10.0.0.1

[zookeeper]
zk[1:3] myid=7

[kafka]
kafka[1:3].example:2222 rack=a heap='\"4g\"' tags=\"['x', 1]\" old=0644 on=True
kafka4.example   ; not a comment in Ansible either

[kafka:vars]
port=9092
text = a b  c
[prod:children]
kafka
zookeeper
";

#[test]
fn an_ini_inventory_has_hosts_groups_ranges_and_typed_variables() {
    let text = FLEET.replace("   ; not a comment in Ansible either", "");
    let inventory = good(&[("hosts", &text)], &["hosts"]);
    assert_eq!(
        names(&inventory.members("prod")),
        ["kafka1.example", "kafka2.example", "kafka3.example", "kafka4.example", "zk1", "zk2", "zk3"]
    );
    assert_eq!(names(&inventory.members(UNGROUPED)), ["bastion"]);
    assert_eq!(inventory.members(ALL).len(), 8);
    assert_eq!(inventory.group_names("kafka1.example"), ["kafka", "prod"]);
    assert_eq!(inventory.group_names("bastion"), [UNGROUPED]);
    let layers = inventory.layers("kafka2.example", None);
    let cases = [
        ("rack", serde_json::json!("a")),
        ("heap", serde_json::json!("4g")),
        ("tags", serde_json::json!(["x", 1])),
        ("old", serde_json::json!("0644")),
        ("on", serde_json::json!(true)),
        ("ansible_port", serde_json::json!(2222)),
        ("port", serde_json::json!(9092)),
        ("text", serde_json::json!("a b  c")),
    ];
    for (name, wanted) in cases {
        assert_eq!(value(&layers, name), wanted, "{name}");
    }
    assert_eq!(value(&inventory.layers("zk2", None), "myid"), serde_json::json!(7));
    let groups = inventory.groups_variable();
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["all", "ungrouped", "zookeeper", "kafka", "prod"]);
    assert_eq!(groups["zookeeper"], serde_json::json!(["zk1", "zk2", "zk3"]));
}

#[test]
fn a_yaml_inventory_says_the_same() {
    let text = "
all:
  hosts:
    bastion: {ansible_host: 10.0.0.1}
  vars: {everywhere: 1}
  children:
    prod:
      children:
        kafka:
          hosts:
            kafka[1:2]: {rack: a}
            kafka3:
          vars: {port: 9092}
        zookeeper: {hosts: zk1}
";
    let inventory = good(&[("hosts.yml", text)], &["hosts.yml"]);
    assert_eq!(names(&inventory.members("prod")), ["kafka1", "kafka2", "kafka3", "zk1"]);
    assert_eq!(names(&inventory.members(UNGROUPED)), ["bastion"]);
    let layers = inventory.layers("kafka1", None);
    assert_eq!(value(&layers, "rack"), "a");
    assert_eq!(value(&layers, "port"), 9092);
    assert_eq!(value(&layers, "everywhere"), 1);
    assert_eq!(inventory.group("kafka").unwrap().depth, 2);
    assert_eq!(inventory.host("kafka3").unwrap().span.to_string(), "hosts.yml:12:13");
}

#[test]
fn inner_groups_win_over_outer_ones_and_files_over_the_inventory() {
    let files = [
        (
            "inv/hosts",
            "[all:vars]\nv=all\na=all\n[outer:children]\ninner\nzinner\n[inner]\nk1 h=host\n[zinner]\nk1\n[outer:vars]\nv=outer\n[inner:vars]\nv=inner\np=inner\nansible_group_priority=5\n[zinner:vars]\np=zinner\n",
        ),
        ("inv/group_vars/all.yml", "a: inventory folder\nb: inventory folder\n"),
        ("inv/group_vars/inner/one.yml", "c: one\n"),
        ("inv/group_vars/inner/two.yaml", "c: two\n"),
        ("inv/group_vars/inner/notes.txt", "no: yaml: here"),
        ("inv/host_vars/k1", "d: inventory folder\nh: folder\n"),
        ("group_vars/all.json", "{\"b\": \"playbook folder\"}"),
        ("host_vars/k1.yml", "d: playbook folder\n"),
    ];
    let inventory = good(&files, &["inv"]);
    let memory = MemoryFiles::new(files);
    let mut diagnostics = Diagnostics::new();
    let playbook = FolderVars::load(&memory, ".", &inventory, &mut diagnostics);
    assert!(diagnostics.is_empty());
    let layers = inventory.layers("k1", Some(&playbook));
    let cases = [
        ("v", "inner"),
        ("p", "inner"),
        ("a", "inventory folder"),
        ("b", "playbook folder"),
        ("c", "two"),
        ("d", "playbook folder"),
        ("h", "folder"),
    ];
    for (name, wanted) in cases {
        assert_eq!(value(&layers, name), wanted, "{name}");
    }
    assert_eq!(inventory.variable_files().count(), 4);
}

#[test]
fn several_sources_are_one_inventory_and_the_later_wins() {
    let files = [
        ("a/01-hosts", "[kafka]\nk1 x=1 y=1\n"),
        ("a/02-more.yml", "kafka: {hosts: {k1: {x: 2}, k2: }}\n"),
        ("a/old.bak", "this is no inventory line at all = x y"),
        ("b.ini", "[kafka]\nk1 y=3\n"),
    ];
    let inventory = good(&files, &["a", "b.ini", "k9,k10"]);
    assert_eq!(names(&inventory.members("kafka")), ["k1", "k2"]);
    assert_eq!(names(&inventory.members(UNGROUPED)), ["k9", "k10"]);
    let layers = inventory.layers("k1", None);
    assert_eq!((value(&layers, "x"), value(&layers, "y")), (2.into(), 3.into()));
}

/// Every host of a large fleet is looked at in several groups; work that grows with the square of the hosts would
/// take minutes here.
#[test]
fn a_large_fleet_is_read_and_asked_in_reasonable_time() {
    let inventory =
        good(&[("hosts", "[kafka]\nk[1:20000] rack=a\n[big:children]\nkafka\n[kafka:vars]\nx=1\n")], &["hosts"]);
    assert_eq!(select(&inventory, "kafka:!k2*:&big", None).unwrap().len(), 20_000 - 1_112);
    let found = inventory.hosts().filter(|host| inventory.groups_of(host.name.as_str()).len() == 2).count();
    assert_eq!(found, 20_000);
    let mut inventory = inventory;
    let span = Span::nowhere("group_by", "x");
    for number in 1..=5000 {
        let name = HostName::new(format!("k{number}")).unwrap();
        inventory.add_to_group(&name, "grouped", &[], &span);
    }
    assert_eq!(inventory.members("grouped").len(), 5000);
}

#[test]
fn hosts_and_groups_can_be_added_during_a_run() {
    let mut inventory = good(&[("hosts", "[kafka]\nk1\n")], &["hosts"]);
    let span = Span::nowhere("add_host", "k2");
    let name = HostName::new("k2").unwrap();
    let vars = serde_json::json!({"rack": "b"}).as_object().unwrap().clone();
    inventory.add_host(&name, &["kafka".to_owned(), "new".to_owned()], vars, &span);
    inventory.add_to_group(&HostName::new("k1").unwrap(), "os_Debian", &["os".to_owned()], &span);
    assert_eq!(names(&inventory.members("kafka")), ["k1", "k2"]);
    assert_eq!(inventory.group_names("k2"), ["kafka", "new"]);
    assert_eq!(names(&inventory.members("os")), ["k1"]);
    assert_eq!(value(&inventory.layers("k2", None), "rack"), "b");
}

fn select(inventory: &Inventory, pattern: &str, limit: Option<&str>) -> Result<Vec<String>, String> {
    let parse =
        |text: &str| Pattern::parse(text, &Span::nowhere("pattern", text)).map_err(|all| all.render(&Marks::PLAIN));
    let limit = limit.map(parse).transpose()?;
    let selection = inventory.select(&[parse(pattern)?], limit.as_ref());
    if selection.diagnostics.is_empty() {
        Ok(selection.hosts.into_iter().map(String::from).collect())
    } else {
        Err(selection.diagnostics.render(&Marks::PLAIN))
    }
}

#[test]
fn patterns_choose_hosts() {
    let text = "[kafka]\nk[1:4]\n[zoo]\nz[1:2]\nk1\n[new]\nk3\nk4\n[empty]\n";
    let inventory = good(&[("hosts", text)], &["hosts"]);
    let cases: [(&str, Option<&str>, &[&str]); 22] = [
        ("all", None, &["k1", "k2", "k3", "k4", "z1", "z2"]),
        ("*", None, &["k1", "k2", "k3", "k4", "z1", "z2"]),
        ("kafka", None, &["k1", "k2", "k3", "k4"]),
        ("k2", None, &["k2"]),
        ("zoo:kafka", None, &["z1", "z2", "k1", "k2", "k3", "k4"]),
        ("k2,z1", None, &["k2", "z1"]),
        ("kafka:&new", None, &["k3", "k4"]),
        ("kafka:!new", None, &["k1", "k2"]),
        ("!new:kafka", None, &["k1", "k2"]),
        ("kafka:&zoo:!k9*", None, &["k1"]),
        ("!kafka", None, &["z1", "z2"]),
        ("k*", None, &["k1", "k2", "k3", "k4"]),
        ("[kx]2", None, &["k2"]),
        ("z?", None, &["z1", "z2"]),
        ("~[kz][12]", None, &["k1", "k2", "z1", "z2"]),
        ("~k(?:1|2)", None, &["k1", "k2"]),
        ("kafka[0]", None, &["k1"]),
        ("kafka[-1]", None, &["k4"]),
        ("kafka[1:2]", None, &["k2", "k3"]),
        ("kafka[2:]", None, &["k3", "k4"]),
        ("all", Some("new:z1"), &["k3", "k4", "z1"]),
        ("localhost", None, &["localhost"]),
    ];
    for (pattern, limit, wanted) in cases {
        let found = select(&inventory, pattern, limit).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, wanted, "{pattern}");
    }
}

#[test]
fn a_limit_may_stand_in_a_file() {
    let inventory = good(&[("hosts", "[kafka]\nk[1:4]\n")], &["hosts"]);
    let files = MemoryFiles::new([("failed.retry", "# of the last run\nk2\nk3\n")]);
    let span = Span::nowhere("--limit", "@failed.retry:!k3");
    let limit = Pattern::parse_limit("@failed.retry:!k3", &span, &files).unwrap();
    let all = Pattern::parse("all", &span).unwrap();
    assert_eq!(names(&inventory.select(&[all], Some(&limit)).hosts), ["k2"]);
    let missing = Pattern::parse_limit("@nosuch", &span, &files).unwrap_err();
    assert!(missing.render(&Marks::PLAIN).contains("there is no file nosuch"));
}

#[test]
fn names_that_mean_nothing_are_told_with_the_nearest_one() {
    let inventory = good(&[("hosts", "[kafka]\nkafka-1\nkafka-2\n[empty]\n")], &["hosts"]);
    let cases = [
        ("kafak", "no host and no group is named 'kafak'", "did you mean 'kafka'?"),
        ("kafka:!kafka-3", "named 'kafka-3'", "did you mean 'kafka-1'?"),
        ("web*", "'web*' matches no host", ""),
        ("empty", "'empty' matches no host", ""),
        ("kafka[7]", "'kafka' matches no host", ""),
        ("kafka:~[", "is no regular expression", ""),
        ("kafka:&", "no name behind '&'", ""),
        ("kafka zoo", "can not be the name", "join names with ':'"),
        ("", "the host pattern is empty", "write 'all'"),
    ];
    for (pattern, message, hint) in cases {
        let error = select(&inventory, pattern, None).unwrap_err();
        assert!(error.contains(message) && error.contains(hint), "{pattern}\n{error}");
    }
}

/// Each mistake of an inventory with its place and the words that people must see.
#[test]
fn mistakes_are_told_with_their_place_and_cure() {
    let cases = [
        ("hosts", "[kafka\nk1\n", "hosts:1:1", "never closed"),
        ("hosts", "[kafka:var]\nx=1\n", "hosts:1:8", "did you mean 'vars'?"),
        ("hosts", "[kafka] k1\n", "hosts:1:1", "text after the section"),
        ("hosts", "[kafka]\nk1 rack a\n", "hosts:2:4", "'rack' is no variable of the host"),
        ("hosts", "[kafka]\nk1 x='a b\n", "hosts:2:6", "never closed"),
        ("hosts", "[kafka]\nport=9092\n", "hosts:2:1", "below [kafka:vars]"),
        ("hosts", "[kafka:vars]\nport 9092\n[kafka]\nk1\n", "hosts:2:1", "'port 9092' is no variable"),
        ("hosts", "[kafka]\nk[3:1]\n", "hosts:2:1", "backwards"),
        ("hosts", "[kafka]\nk/1\n", "hosts:2:1", "is not valid"),
        ("hosts", "[kafka]\nk1\n[prod:children]\nkafak\n", "hosts:4:1", "did you mean 'kafka'?"),
        ("hosts", "[kafka]\nk1\n[kafak:vars]\nx=1\n", "hosts:3:2", "did you mean 'kafka'?"),
        ("hosts", "[a:children]\nb\n[b:children]\na\n", "hosts:3:2", "contains itself: a -> b -> a"),
        ("hosts", "[a:children]\na\n", "hosts:1:2", "contains itself: a -> a"),
        ("hosts", "[kafka:vars]\nx=abc # note\n[kafka]\nk1\n", "hosts:2:7", "part of the value"),
        ("hosts", "[kafka]\nk1 x=a#b\n", "hosts:2:7", "'#' begins a comment"),
        ("hosts", "[k1]\nk1\n", "hosts:1:2", "a group and a host"),
        ("hosts", "[kafka:children]\nweb extra\n[web]\n", "hosts:2:5", "one group on each line"),
        ("hosts", "#!/bin/sh\n", "hosts:1:1", "inventory scripts"),
        ("h.yml", "kafka:\n  host:\n    k1:\n", "h.yml:2:3", "did you mean 'hosts'?"),
        ("h.yml", "kafka:\n  hosts:\n    - k1\n", "h.yml:3:5", "with ':' behind it"),
        ("h.yml", "kafka:\n  hosts:\n    k1: yes\n", "h.yml:3:9", "must be a mapping"),
        ("h.yml", "- hosts: all\n", "h.yml:1:1", "this is a playbook"),
        ("h.yml", "plugin: aws_ec2\n", "h.yml:1:1", "no inventory plugins"),
        ("h.yml", "kafka: [k1]\n", "h.yml:1:8", "must be a mapping"),
        ("h.yml", "kafka:\n\thosts:\n", "h.yml:2:1", "a tab is used"),
    ];
    let mut wrong = String::new();
    for (path, text, place, words) in cases {
        let (_, diagnostics) = read(&[(path, text)], &[path]);
        let shown = diagnostics.render(&Marks::PLAIN);
        if !shown.contains(&format!("{place}\n")) || !shown.contains(words) {
            wrong.push_str(&format!("{text}\nwanted {place}: {words}\n{shown}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn missing_sources_and_misspelt_variable_files_are_told() {
    let (_, diagnostics) = read(&[("hosts.ini", "k1\n")], &["host.ini"]);
    assert!(diagnostics.render(&Marks::PLAIN).contains("did you mean 'hosts.ini'?"));
    let files =
        [("i/hosts", "[kafka]\nk1\n"), ("i/group_vars/kafak.yml", "x: 1\n"), ("i/group_vars/staging.yml", "x: 1\n")];
    let (_, diagnostics) = read(&files, &["i/hosts"]);
    let text = diagnostics.render(&Marks::PLAIN);
    assert_eq!((diagnostics.errors(), diagnostics.warnings()), (0, 1), "{text}");
    assert!(text.contains("i/group_vars/kafak.yml") && text.contains("is 'kafka' meant?"), "{text}");
    let files = [("i/hosts", "[kafka]\nk1\n"), ("i/host_vars/k1.yml", "- x\n")];
    let (_, diagnostics) = read(&files, &["i/hosts"]);
    assert!(diagnostics.render(&Marks::PLAIN).contains("a file of variables must be a mapping"));
}
