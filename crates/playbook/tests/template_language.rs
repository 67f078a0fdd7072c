//! What templates mean: tables of a template and what it gives.
//!
//! The answers follow ansible-core 2.19 where it has one; where 2.17 and 2.19 differ, the comment beside the row says
//! which one is meant.

use std::sync::Arc;

use kfleet_playbook::template::{Engine, FileTest, LookupError, Lookups, Moment, VarMap, Vars};
use serde_json::{Map, Value, json};

struct World;

impl Lookups for World {
    fn lookup(
        &self,
        name: &str,
        terms: &[Value],
        _: &Map<String, Value>,
        _: &dyn Vars,
    ) -> Result<Vec<Value>, LookupError> {
        match name {
            "env" => Ok(terms.iter().map(|term| json!(format!("${term}").replace('"', ""))).collect()),
            "file" => Ok(vec![json!("{{ not_evaluated }}")]),
            "broken" => Err(LookupError::Failed("no such thing".into())),
            _ => Err(LookupError::Unknown),
        }
    }

    fn load(&self, name: &str, _: &dyn Vars) -> Option<String> {
        Some(match name {
            "part.j2" => "n is {{ n }}{{ item | default('') }}\n".into(),
            "base.j2" => "<{% block head %}H{% endblock %}|{% block body %}{% endblock %}>\n".into(),
            "macros.j2" => "{% macro listen(host, port=9092) %}{{ host }}:{{ port }}{% endmacro %}".into(),
            "broken.j2" => "line one\n{{ nope }}\n".into(),
            _ => return None,
        })
    }

    fn file_test(&self, test: FileTest, path: &str) -> Option<bool> {
        Some(test == FileTest::Directory && path == "/etc")
    }

    fn now(&self) -> Option<Moment> {
        Some(Moment { seconds: 1_700_000_000, nanoseconds: 0, offset_seconds: 3600 })
    }

    fn seed(&self) -> Option<u64> {
        Some(7)
    }
}

fn engine() -> Engine {
    Engine::new(Arc::new(World))
}

fn trusted(values: Value) -> VarMap {
    let Value::Object(map) = values else { panic!("variables are an object, not {values}") };
    VarMap::trusted(&map)
}

fn vars() -> VarMap {
    let values = json!({
        "n": 5, "f": 1.5, "yes": true, "nothing": null, "s": "hello world", "empty": "", "l": [3, 1, 2], "none_yet": [],
        "ls": ["a", "b", "c"], "d": {"b": 1, "a": {"x": "y"}},
        "brokers": [{"host": "k1", "id": 1, "rack": "r1"}, {"host": "k2", "id": 2, "rack": "r2"}],
        "base": "/opt", "home": "{{ base }}/kafka", "conf": "{{ home }}/config", "text": "a\nb\n",
        "result": {"changed": true, "failed": false, "rc": 0, "stdout": "x"},
        "of_nothing": "{{ never_set }}", "quoted": {"__ansible_unsafe": "{{ literal }}"},
        "secret": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256"},
    });
    trusted(values)
}

fn gives(rows: &[(&str, Value)]) {
    let (engine, vars) = (engine(), vars());
    for (template, expected) in rows {
        match engine.render(template, &vars) {
            Ok(got) => assert_eq!(&got, expected, "{template}"),
            Err(error) => panic!("{template}: {error}"),
        }
    }
}

fn refused(rows: &[(&str, &str)]) {
    let (engine, vars) = (engine(), vars());
    for (template, expected) in rows {
        match engine.render(template, &vars) {
            Ok(got) => panic!("{template} gives {got}"),
            Err(error) => assert!(error.message.contains(expected), "{template}: {error}"),
        }
    }
}

#[test]
fn a_lone_expression_keeps_its_type_and_anything_around_it_makes_text() {
    gives(&[
        ("{{ n }}", json!(5)),
        ("{{ l }}", json!([3, 1, 2])),
        ("{{ d }}", json!({"b": 1, "a": {"x": "y"}})),
        ("{{ nothing }}", json!(null)),
        ("{{ n }} ", json!("5 ")),
        ("{{ n }}\n", json!(5)),
        ("x{{ nothing }}", json!("x")),
        ("{% if yes %}{{ l }}{% endif %}", json!([3, 1, 2])),
        ("{{ n }}{{ n }}", json!("55")),
        ("no template", json!("no template")),
        ("{{ '5' }}", json!("5")),
        ("{{ (1, 2) }}", json!([1, 2])),
    ]);
}

#[test]
fn text_of_values_is_pythons() {
    gives(&[
        ("{{ d }}!", json!("{'b': 1, 'a': {'x': 'y'}}!")),
        ("{{ [yes, nothing, 1.0, \"it's\"] }}!", json!("[True, None, 1.0, \"it's\"]!")),
        ("{{ 'a' ~ nothing ~ yes ~ f ~ l }}", json!("aNoneTrue1.5[3, 1, 2]")),
        ("{{ [nothing, yes, 1e20] | join(',') }}", json!("None,True,1e+20")),
        ("{{ (1, 2) ~ '' }}", json!("(1, 2)")),
        ("{{ [text] | string }}", json!("['a\\nb\\n']")),
    ]);
}

#[test]
fn numbers_follow_python() {
    gives(&[
        ("{{ 7 // 2 }}|{{ -7 // 2 }}|{{ -7 % 3 }}|{{ 7 / 2 }}|{{ 4 / 2 }}", json!("3|-4|2|3.5|2.0")),
        ("{{ 2 ** 10 }}|{{ 99999999999999999999 + 1 }}", json!("1024|100000000000000000000")),
        ("{{ 2.5 | round }}|{{ 2.675 | round(2) }}|{{ 3.2 | round(0, 'ceil') | int }}", json!("2.0|2.67|4")),
        ("{{ '12abc' | int }}|{{ '0x1f' | int(base=16) }}|{{ 'x' | int(-1) }}|{{ ' 42 ' | int }}", json!("0|31|-1|42")),
        ("{{ true + 1 }}|{{ true == 1 }}|{{ 1 == 1.0 }}|{{ n == '5' }}", json!("2|True|True|False")),
        ("{{ '%05.1f|%x|%-4s|' | format(3.14159, 255, 'a') }}", json!("003.1|ff|a   |")),
        ("{{ '%s-%s' % (s, n) }}|{{ '%(a)d' % {'a': 3} }}", json!("hello world-5|3")),
        ("{{ '{:>4}|{0}|{a:,}'.format('x', a=1234567) }}", json!("   x|x|1,234,567")),
    ]);
}

#[test]
fn missing_things_may_be_asked_about_and_not_used() {
    gives(&[
        ("{{ x.y.z | default('d') }}", json!("d")),
        ("{{ x['y'][0] | default(1) }}", json!(1)),
        ("{{ x.y is defined }}{{ d.zz is undefined }}", json!("FalseTrue")),
        ("{{ l[9] | default('none') }}", json!("none")),
        ("{{ none_yet | first | default('none') }}", json!("none")),
        ("{{ brokers | map(attribute='zz') | select('defined') | list }}", json!([])),
        // As in 2.19: a variable made of something missing is missing itself.
        ("{{ of_nothing | default('d') }}|{{ of_nothing is defined }}", json!("d|False")),
        ("{{ nothing | default('d') }}", json!(null)),
        ("{{ empty | default('d', true) }}", json!("d")),
        ("a{{ 'x' if false }}b", json!("ab")),
    ]);
    refused(&[
        ("{{ x }}", "`x` is undefined"),
        ("{{ d.zz }}", "a dict has no member `zz`"),
        ("{{ x + 1 }}", "`x` is undefined"),
        ("{{ x == 1 }}", "`x` is undefined"),
        ("{{ x | upper | default('d') }}", "`x` is undefined"),
        ("{{ d[x] | default('d') }}", "`x` is undefined"),
        ("{% if x %}{% endif %}", "`x` is undefined"),
        ("{% for i in x %}{% endfor %}", "`x` is undefined"),
        ("{{ not x }}", "`x` is undefined"),
        ("{{ [x] }}", "`x` is undefined"),
        ("{{ of_nothing }}", "`never_set` is undefined"),
        ("{{ secret | default('d') }}", "`secret` is encrypted"),
    ]);
}

#[test]
fn lists_and_dicts_made_in_a_template_change_in_place() {
    gives(&[
        ("{% set a = [] %}{% for i in l %}{% set _ = a.append(i) %}{% endfor %}{{ a }}", json!([3, 1, 2])),
        ("{% set a = {} %}{% set _ = a.update({'k': 1}, z=2) %}{{ a }}", json!({"k": 1, "z": 2})),
        ("{{ ls.index('b') }}{{ ls.count('b') }}{{ d.pop('b') }}", json!("111")),
        ("{% set _ = ls.append('q') %}{{ ls | length }}", json!(4)),
        ("{% set a = [1, 2] %}{% set _ = a.insert(0, 9) %}{{ a.pop() }}{{ a }}", json!("2[9, 1]")),
    ]);
    // The caller's variables are the same for the next template.
    gives(&[("{{ ls }}", json!(["a", "b", "c"]))]);
}

#[test]
fn statements_work_as_in_jinja() {
    gives(&[
        (
            "{% for b in brokers %}{{ loop.index }}{{ b.host }}{{ '' if loop.last else ',' }}{% endfor %}",
            json!("1k1,2k2"),
        ),
        ("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", json!("b=1;a={'x': 'y'};")),
        ("{% for i in none_yet %}x{% else %}empty{% endfor %}", json!("empty")),
        ("{% for i in l if i > 1 %}{{ i }}{% endfor %}", json!("32")),
        ("{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", json!(6)),
        (
            "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 3, 4, k=5) }}",
            json!("13[4]{'k': 5}"),
        ),
        ("{% macro m() %}<{{ caller(1) }}>{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}", json!("<1>")),
        ("{% filter upper %}abc{% endfilter %}", json!("ABC")),
        (
            "{% for i in [1, [2, [3]]] recursive %}{% if i is number %}{{ i }}{% else %}({{ loop(i) }}){% endif %}{% endfor %}",
            json!("1(2(3))"),
        ),
        ("{% set j = joiner('|') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}", json!("3|1|2")),
        ("{{ brokers.0.host }}{{ [[1, [2]]].0.1.0 }}", json!("k12")),
    ]);
    refused(&[
        ("{% for i in l %}{% break %}{% endfor %}", "unknown statement break"),
        ("{% if true %}x", "can not be read"),
        ("{{ 1 < 'a' }}", "have no order"),
        ("{{ 'a' + 1 }}", "`+` can not join a string and an integer"),
        ("{{ s | nosuch }}", "there is no filter `nosuch`"),
        ("{{ s is nosuch }}", "there is no test `nosuch`"),
        ("{{ s | community.general.json_query('x') }}", "there is no filter `community.general.json_query`"),
        ("{{ lookup('nosuch') }}", "there is no lookup `nosuch`"),
        ("{{ s.nosuch() }}", "a string has no method `nosuch`"),
        ("{{ nosuch() }}", "`nosuch` is undefined"),
    ]);
}

#[test]
fn filters_of_ansible() {
    gives(&[
        ("{{ d | combine({'a': {'z': 1}}, recursive=true) }}", json!({"b": 1, "a": {"x": "y", "z": 1}})),
        ("{{ {'l': [1, 2]} | combine({'l': [2, 3]}, list_merge='append_rp') }}", json!({"l": [1, 2, 3]})),
        ("{{ {'a': 1} | dict2items }}", json!([{"key": "a", "value": 1}])),
        ("{{ brokers | items2dict(key_name='host', value_name='id') }}", json!({"k1": 1, "k2": 2})),
        ("{{ ls | zip(l) | map('join', '=') | join(';') }}", json!("a=3;b=1;c=2")),
        ("{{ ['k1', 'k2'] | map('regex_replace', '$', ':9092') | join(',') }}", json!("k1:9092,k2:9092")),
        ("{{ 'kafka_2.13-3.8.0' | regex_replace('^.*_(?P<s>[\\d.]+)-(.*)$', '\\g<s>/\\2') }}", json!("2.13/3.8.0")),
        ("{{ 'ab' | regex_replace('(?<=a)b', 'X') }}", json!("aX")),
        ("{{ s | regex_search('z') }}", json!(null)),
        ("{{ 'a1b22' | regex_findall('([a-z])(\\d+)') }}", json!([["a", "1"], ["b", "22"]])),
        ("{{ brokers | selectattr('id', '>', 1) | map(attribute='host') | list }}", json!(["k2"])),
        ("{{ brokers | sort(attribute='id', reverse=true) | map(attribute='id') | list }}", json!([2, 1])),
        ("{% for rack, of in brokers | groupby('rack') %}{{ rack }}{{ of | length }}{% endfor %}", json!("r11r21")),
        ("{{ [1, [2, [none, 3]]] | flatten }}{{ [1, [2, [3]]] | flatten(levels=1) }}", json!("[1, 2, 3][1, 2, [3]]")),
        (
            "{{ [1, 2] | union([3]) }}{{ [1, 2] | difference([2]) }}{{ [1, 2] | intersect([2]) }}",
            json!("[1, 2, 3][1][2]"),
        ),
        ("{{ '/a/b.tar.gz' | basename }}{{ '/a/b' | dirname }}{{ ('a.b' | splitext)[1] }}", json!("b.tar.gz/a.b")),
        ("{{ ['/etc', 'kafka'] | path_join }}", json!("/etc/kafka")),
        ("{{ 'http://u@h:1/p?q#f' | urlsplit('port') }}", json!(1)),
        ("{{ s | comment }}", json!("#\n# hello world\n#")),
        ("{{ s | comment('cblock') }}", json!("/*\n *\n * hello world\n *\n */")),
        ("{{ 'x' | hash('sha256') | truncate(8, true, '', 0) }}", json!("2d711642")),
        ("{{ 'x' | b64encode }}{{ 'eA==' | b64decode }}", json!("eA==x")),
        ("{{ 'example' | to_uuid }}", json!("0cd629ef-c3f7-5d62-98fc-b4270497b261")),
        ("{{ {'a': 'é', 'b': [1.0]} | to_json }}", json!("{\"a\": \"\\u00e9\", \"b\": [1.0]}")),
        ("{{ '{\"a\": [1]}' | from_json }}", json!({"a": [1]})),
        ("{{ 'a: [1, yes]' | from_yaml }}", json!({"a": [1, true]})),
        ("{{ \"it's\" | quote }}{{ 'plain' | quote }}", json!("'it'\"'\"'s'plain")),
        ("{{ yes | ternary('a', 'b') }}{{ nothing | ternary('a', 'b', 'c') }}", json!("ac")),
        ("{{ 1536 | human_readable }}|{{ '1.5G' | human_to_bytes }}", json!("1.50 KB|1610612736")),
        ("{{ ('2024-01-02' | to_datetime('%Y-%m-%d') - ('2024-01-01' | to_datetime('%Y-%m-%d'))).days }}", json!(1)),
        (
            "{{ '%Y-%m-%d' | strftime(0, utc=true) }}|{{ now(fmt='%H:%M') }}|{{ now(utc=true).year }}",
            json!("1970-01-01|23:13|2023"),
        ),
        ("{{ s | ansible.builtin.upper | ansible.legacy.lower }}", json!("hello world")),
        ("{{ l | shuffle(seed='k1') | sort }}{{ l | random(seed='k1') in l }}", json!("[1, 2, 3]True")),
        ("{{ 'a' | extract(d, 'x') }}", json!("y")),
    ]);
}

#[test]
fn yaml_is_written_as_pyyaml_writes_it() {
    gives(&[
        (
            "{{ {'b': {'l': [1, {'x': 'yes', 'y': none}]}, 'a': '0644', 'e': [], 's': 'x: y'} | to_nice_yaml }}",
            json!("a: '0644'\nb:\n    l:\n    - 1\n    -   x: 'yes'\n        y: null\ne: []\ns: 'x: y'\n"),
        ),
        ("{{ {'a': [1, 2], 'b': {'c': [1]}} | to_yaml }}", json!("a: [1, 2]\nb:\n  c: [1]\n")),
        ("{{ [text] | to_nice_yaml(indent=2) }}", json!("- 'a\n\n  b\n\n  '\n")),
        (
            "{{ {'k': 'word ' * 18} | to_nice_yaml(width=40) }}",
            json!(
                "k: 'word word word word word word word word\n    word word word word word word word word\n    word word '\n"
            ),
        ),
    ]);
}

#[test]
fn tests_and_results() {
    gives(&[
        (
            "{{ result is changed }}{{ result is success }}{{ result is failed }}{{ result is skipped }}",
            json!("TrueTrueFalseFalse"),
        ),
        ("{{ result | changed }}{{ '3.8' | version_compare('3.7', '>=') }}", json!("TrueTrue")),
        (
            "{{ '3.10' is version('3.9', '>') }}{{ '1.0.0-rc1' is version('1.0.0', '<', version_type='semver') }}",
            json!("TrueTrue"),
        ),
        (
            "{{ s is match('hello') }}{{ s is search('WORLD', ignorecase=true) }}{{ s is match('world') }}",
            json!("TrueTrueFalse"),
        ),
        ("{{ [1] is subset([1, 2]) }}{{ l is contains(2) }}{{ 'a' is in ls }}", json!("TrueTrueTrue")),
        ("{{ s is sequence }}{{ d is sequence }}{{ s is not mapping }}", json!("TrueTrueTrue")),
        (
            "{{ 'no' is truthy(convert_bool=true) }}{{ '/etc' is directory }}{{ '/x' is exists }}",
            json!("FalseTrueFalse"),
        ),
    ]);
}

#[test]
fn lookups_that_need_nothing_are_answered_and_others_are_the_callers() {
    gives(&[
        ("{{ lookup('sequence', 'start=1 end=3 format=k%02d') }}", json!("k01,k02,k03")),
        ("{{ query('sequence', '5-8/2') }}", json!(["5", "7"])),
        ("{{ query('nested', [1, 2], ['a']) }}", json!([[1, "a"], [2, "a"]])),
        ("{{ query('dict', {'a': 1}) }}", json!([{"key": "a", "value": 1}])),
        (
            "{{ query('indexed_items', ['x']) }}{{ query('together', [1, 2], [3]) }}",
            json!("[[0, 'x']][[1, 3], [2, None]]"),
        ),
        ("{{ query('subelements', [{'n': 1, 'of': [2]}], 'of') }}", json!([[{"n": 1}, 2]])),
        ("{{ lookup('vars', 'home') }}{{ lookup('vars', 'zz', default='-') }}", json!("/opt/kafka-")),
        ("{{ query('varnames', '^ho') }}", json!(["home"])),
        ("{{ lookup('env', 'HOME') }}{{ lookup('ansible.builtin.env', 'A', 'B') }}", json!("$HOME$A,$B")),
        // What a file holds is data.
        ("{{ lookup('file', 'x') }}", json!("{{ not_evaluated }}")),
        ("{{ lookup('broken', errors='ignore') }}", json!(null)),
        ("{{ lookup('template', 'part.j2', template_vars={'item': '!'}) }}", json!("n is 5!\n")),
    ]);
    refused(&[("{{ lookup('broken') }}", "lookup `broken`: no such thing")]);
}

#[test]
fn backslashes_in_texts_out_of_yaml_are_kept_and_in_files_they_escape() {
    gives(&[(r"{{ '\d\n' }}", json!(r"\d\n")), (r"{{ 'it\'s' }}", json!(r"it\'s"))]);
    let got = engine().render_file("t.j2", r"{{ 'a\tb\d' }}", &vars()).unwrap();
    assert_eq!(got, "a\tb\\d");
}

#[test]
fn files_keep_their_last_newline_and_lose_those_behind_statements() {
    for (file, expected) in [
        ("a\n{% if yes %}\nb\n{% endif %}\nc\n", "a\nb\nc\n"),
        ("{% for i in ls %}\n  - {{ i }}\n{% endfor %}\n", "  - a\n  - b\n  - c\n"),
        ("  {% if yes %}\nx\n  {% endif %}\n", "  x\n  \n"),
        ("#jinja2: lstrip_blocks: True, trim_blocks: \"true\"\n  {% if yes %}\nx\n  {% endif %}\ny", "x\ny"),
        ("#jinja2: variable_start_string: '[%', variable_end_string: '%]'\n[% n %] {{ n }}", "5 {{ n }}"),
        ("{{ text }}\n", "a\nb\n"),
        ("{{ nothing }}|{{ l }}", "|[3, 1, 2]"),
        ("{% raw %}\n{{ a }}\n{% endraw %}\nb", "\n{{ a }}\nb"),
        ("{% include 'part.j2' %}!", "n is 5!"),
        ("{% for item in ls %}{% include 'part.j2' %},{% endfor %}", "n is 5a,n is 5b,n is 5c,"),
        ("{% include 'nope.j2' ignore missing %}x", "x"),
        (
            "{% extends 'base.j2' %}{% block body %}B{{ self.head() }}{% endblock %}{% block head %}[{{ super() }}]{% endblock %}",
            "<[H]|B[H]>",
        ),
        ("{% import 'macros.j2' as m %}{{ m.listen('k1') }}", "k1:9092"),
        ("{% from 'macros.j2' import listen as l %}{{ l('k1', port=1) }}", "k1:1"),
    ] {
        assert_eq!(engine().render_file("test.j2", file, &vars()).unwrap(), expected, "{file}");
    }
}

#[test]
fn whole_values_are_rendered_keys_too() {
    let value =
        json!({"path": "{{ home }}", "{{ ls[0] }}": ["{{ n }}", 1, null], "kept": {"__ansible_unsafe": "{{ x }}"}});
    let got = engine().render_value(&value, &vars()).unwrap();
    assert_eq!(got, json!({"path": "/opt/kafka", "a": [5, 1, null], "kept": "{{ x }}"}));
}
