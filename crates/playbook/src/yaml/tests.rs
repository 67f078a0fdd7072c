use super::*;
use crate::diag::{Diagnostics, Marks};
use crate::source::Source;
use serde_json::json;

fn read(text: &str) -> (Option<Node>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let node = parse(&Source::new("t.yml", text), &mut diagnostics);
    (node, diagnostics)
}

fn value(text: &str) -> Value {
    let (node, diagnostics) = read(text);
    node.unwrap_or_else(|| panic!("{text}\n{}", diagnostics.render(&Marks::PLAIN))).to_value()
}

#[test]
fn values_come_out_as_ansible_reads_them() {
    let cases = [
        ("a: yes\nb: 'yes'\nc: \"0644\"\nd: 0644\n", json!({"a": true, "b": "yes", "c": "0644", "d": 420})),
        ("- a\n- - b\n- {c: d}\n", json!(["a", ["b"], {"c": "d"}])),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y"})),
        ("a: &x {k: 1}\nb: *x\n", json!({"a": {"k": 1}, "b": {"k": 1}})),
        ("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n", json!({"a": {"k": 1, "l": 2}, "b": {"l": 2, "k": 3}})),
        (
            "x: &x {k: 1}\ny: &y {k: 2, l: 2}\nb: {<<: [*x, *y]}\n",
            json!({"x": {"k": 1}, "y": {"k": 2, "l": 2}, "b": {"k": 1, "l": 2}}),
        ),
        ("8080: a\non: b\nnull: c\n", json!({"8080": "a", "on": "b", "null": "c"})),
        ("a:\nb: ~\nc: ''\n", json!({"a": null, "b": null, "c": ""})),
        ("a: !!str 0644\nb: !!int '7'\n", json!({"a": "0644", "b": 7})),
        ("", json!(null)),
        ("# only a comment\n", json!(null)),
        ("---\n", json!(null)),
    ];
    for (text, wanted) in cases {
        assert_eq!(value(text), wanted, "{text}");
    }
}

#[test]
fn every_key_and_value_knows_its_place() {
    let (node, _) =
        read("- hosts: all\n  vars:\n    größe: [1, \"zwei\"]\n    text: |\n      a\n      b\n  tasks: []\n");
    let node = node.unwrap();
    let play = &node.as_list().unwrap()[0];
    let vars = play.get("vars").unwrap().as_mapping().unwrap();
    assert_eq!(format!("{:?}", vars[0].key_span), "t.yml:3:5-3:10");
    let items = vars[0].value.as_list().unwrap();
    assert_eq!(format!("{:?}", items[1].span), "t.yml:3:16-3:22");
    assert_eq!(items[1].span.text(), "\"zwei\"");
    assert_eq!(vars[1].value.span.line, 5, "a block begins with its text");
    assert!(vars[1].value.span.find("b", 0).is_some());
    assert_eq!(play.lookup(&["vars", "größe", "1"]).unwrap().as_str(), Some("zwei"));
    assert_eq!(play.lookup(&["vars", "nosuch"]), None);
}

#[test]
fn the_place_of_a_block_ends_with_its_last_value() {
    let (node, _) = read("a:\n  b: c\n\n# more\nd: e\n");
    assert_eq!(format!("{:?}", node.unwrap().get("a").unwrap().span), "t.yml:2:3-2:7");
}

/// Expected values are PyYAML's.
#[test]
fn lines_in_quotes_and_brackets_may_be_indented_as_people_like() {
    let cases = [
        ("a:\n  b: \"{\n'x': 1,\n\n  'y': 2\n}\"\n  c: 1\n", json!({"a": {"b": "{ 'x': 1,\n'y': 2 }", "c": 1}})),
        ("a:\n  - b: 'x\ny'\n    c: 1\n", json!({"a": [{"b": "x y", "c": 1}]})),
        ("- k: [\n  a,\nb\n]\n- 2\n", json!([{"k": ["a", "b"]}, 2])),
        ("a:\n  k: {\n x: 1,\ny: 2\n}\n  z: 3\n", json!({"a": {"k": {"x": 1, "y": 2}, "z": 3}})),
    ];
    for (text, wanted) in cases {
        assert_eq!(value(text), wanted, "{text}");
    }
    let (node, _) = read("- k: [\n  a,\nb\n]\n- zwei\n");
    let items = node.unwrap().as_list().unwrap().to_vec();
    assert_eq!(items[0].lookup(&["k", "1"]).unwrap().span.to_string(), "t.yml:3:1");
    assert_eq!(items[1].span.to_string(), "t.yml:5:3");
    let (_, diagnostics) = read("- k: [\n  a,\nb: {{ x\n]\n");
    assert!(diagnostics.has_errors(), "a mended file does not hide its other mistakes");
}

#[test]
fn unsafe_text_that_looks_like_a_template_is_marked_as_data() {
    assert_eq!(value("a: !unsafe 'x {{ y }}'\n"), json!({"a": {"__ansible_unsafe": "x {{ y }}"}}));
    assert_eq!(value("a: !unsafe plain\n"), json!({"a": "plain"}));
}

#[test]
fn an_encrypted_value_is_kept_and_fails_only_when_it_is_used() {
    let (node, diagnostics) = read("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3636\nb: c\n");
    let node = node.unwrap();
    assert!(diagnostics.is_empty());
    let text = node.to_value()["a"].as_str().unwrap().to_owned();
    assert!(text.starts_with("{{ undef(hint=\"the value at t.yml:1:4 is encrypted"), "{text}");
    let mut refused = Diagnostics::new();
    refuse_vaults(&node, &mut refused);
    assert_eq!(refused.errors(), 1);
}

#[test]
fn marks_keep_their_meaning_when_a_value_is_rendered() {
    use crate::template::{Engine, NoLookups, VarMap};
    let (node, _) = read("a: !unsafe 'x {{ y }}'\nb: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n");
    let value = node.unwrap().to_value();
    let engine = Engine::new(std::sync::Arc::new(NoLookups));
    assert_eq!(engine.render_value(&value["a"], &VarMap::new()).unwrap(), json!("x {{ y }}"));
    let error = engine.render_value(&value["b"], &VarMap::new()).unwrap_err();
    assert!(error.to_string().contains("the value at t.yml:2:4 is encrypted by ansible-vault"), "{error}");
}

#[test]
fn a_key_given_twice_is_a_warning_and_the_last_one_counts() {
    let (node, diagnostics) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(node.unwrap().to_value(), json!({"a": 3, "b": 2}));
    assert_eq!((diagnostics.errors(), diagnostics.warnings()), (0, 1));
    assert!(diagnostics.render(&Marks::PLAIN).contains("t.yml:1:1"), "the first place is named");
}

#[test]
fn hostile_files_are_refused_instead_of_exhausting_memory_or_stack() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(read(&bomb).1.render(&Marks::PLAIN).contains("more than 2000000 values"));
    let deep: String = (0..5000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert!(read(&deep).1.render(&Marks::PLAIN).contains("deeper than 128 levels"));
    let long: String = (0..100_000).map(|number| format!("key{number}: 1\n")).collect();
    assert_eq!(read(&long).0.unwrap().as_mapping().unwrap().len(), 100_000);
    let flow = "[".repeat(5000);
    assert!(read(&flow).1.has_errors());
    assert!(read("a: &x [*x]\n").1.has_errors());
}

#[test]
fn bytes_that_are_no_text_and_whole_encrypted_files_are_told() {
    let error = source("b.yml", b"a: b\nc: \xff\xfe".to_vec()).unwrap_err();
    assert!(error.render(&Marks::PLAIN).contains("b.yml:2:4"), "{error:?}");
    let error = source("v.yml", b"$ANSIBLE_VAULT;1.1;AES256\n6162".to_vec()).unwrap_err();
    assert!(error.message.contains("encrypted by ansible-vault"));
    assert_eq!(source("c.yml", b"\xef\xbb\xbfa: b".to_vec()).unwrap().text(), "a: b");
}

#[test]
fn several_documents_are_read_where_they_are_allowed() {
    let mut diagnostics = Diagnostics::new();
    let documents = parse_documents(&Source::new("t.yml", "a: 1\n---\nb: 2\n"), &mut diagnostics).unwrap();
    assert_eq!(documents.len(), 2);
    assert!(read("a: 1\n---\nb: 2\n").1.has_errors());
}

/// Each mistake with the place and the words that people must see.
#[test]
fn classic_mistakes_are_told_with_their_place_and_cure() {
    let cases = [
        ("a:\n\tb: c\n", "2:1", "a tab is used", "only blanks"),
        ("- a:\n    b: 1\n  \tc: 2\n", "3:3", "a tab is used", "only blanks"),
        ("msg: {{ x }}\n", "1:6", "must be in quotes", "write \"{{ x }}\""),
        ("msg: {{ x }}/bin\n", "1:6", "must be in quotes", "write \"{{ x }}/bin\""),
        (
            "- debug:\n    msg: {{ x | default(\"a\") }}\n",
            "2:10",
            "must be in quotes",
            "write '{{ x | default(\"a\") }}'",
        ),
        ("- {{ x }}\n", "1:3", "must be in quotes", "write \"{{ x }}\""),
        ("- hosts: all\n  name:foo\n  tasks: []\n", "2:7", "no blank after the colon", "write 'name: foo'"),
        ("- hosts: all\n   tasks: []\n", "2:4", "indentation", "after 3 blanks"),
        ("- hosts: all\n  tasks:\n   - a: b\n  - c: d\n", "4:3", "indentation", "same column"),
        ("a:\n    b: c\n  d: e\n", "3:3", "indentation", "after 2 blanks"),
        ("name: install: kafka\n", "1:14", "contains ': '", "write \"install: kafka\""),
        ("a: \"x\nb: y\n", "1:4", "never closed", "put a \" at the end"),
        ("a: 'x\nb: y\n", "1:4", "never closed", "put a ' at the end"),
        ("line: \"a\" = b\n", "1:11", "after the closing quote", "'\"a\" = b'"),
        ("hosts: *\n", "1:8", "begins with '*'", "write \"*\""),
        ("hosts: *web\n", "1:8", "begins with '*'", "write \"*web\""),
        ("user: @root\n", "1:7", "begins with '@'", "write \"@root\""),
        ("hosts: !web\n", "1:8", "tag '!web'", "quotes"),
        ("a: [1, 2\nb: 3\n", "1:4", "'[' that opens here is never closed", "put a ]"),
        ("a: {b: 1\n", "1:4", "'{' that opens here is never closed", "put a }"),
        ("a: b\n- c\n", "2:1", "indentation", "same column"),
    ];
    let mut wrong = String::new();
    for (text, place, message, hint) in cases {
        let (_, diagnostics) = read(text);
        let shown = diagnostics.render(&Marks::PLAIN);
        if ![format!("t.yml:{place}\n").as_str(), message, hint].iter().all(|piece| shown.contains(*piece)) {
            wrong.push_str(&format!("{text}\nwanted {place}, {message}, {hint}\n{shown}\n\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
