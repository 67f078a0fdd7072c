use super::*;
use crate::diag::Marks;
use crate::files::MemoryFiles;
use crate::plan::{Action, LoopKind, Setting, Strategy};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamKind, param};
use serde_json::json;

/// The modules of a small agent, and all actions.
pub(crate) fn catalogue() -> Catalogue {
    let doc = |name: &str, free: Option<&str>, params| ModuleDoc {
        name: name.to_owned(),
        summary: String::new(),
        idempotent: true,
        check_mode: CheckMode::Full,
        free_form: free.map(str::to_owned),
        params,
        returns: Vec::new(),
        examples: String::new(),
    };
    let text = |name: &str| param(name, ParamKind::Str, "");
    let command = || {
        vec![
            text("cmd").required(),
            text("chdir"),
            text("creates"),
            text("executable"),
            param("warn", ParamKind::Bool, ""),
        ]
    };
    let file = vec![
        param("path", ParamKind::Path, "").required().aliases(&["dest", "name"]),
        text("state").choices(&["file", "directory", "absent", "touch", "link"]),
        param("mode", ParamKind::Mode, ""),
        text("owner"),
        text("src"),
    ];
    let copy =
        vec![text("src"), text("content"), text("dest").required(), param("mode", ParamKind::Mode, ""), text("owner")];
    let service = vec![
        text("name").required(),
        text("state").choices(&["started", "stopped", "restarted", "reloaded"]),
        param("enabled", ParamKind::Bool, ""),
    ];
    let docs = [
        doc("command", Some("cmd"), command()),
        doc("shell", Some("cmd"), command()),
        doc("file", None, file),
        doc("copy", None, copy),
        doc("service", None, service),
        doc("ping", None, vec![]),
    ];
    let actions = crate::catalogue::actions();
    Catalogue::new(&docs, actions.iter().map(|(doc, _)| doc.name.as_str()))
}

fn load_with(files: &[(&str, &str)], options: &Options) -> Loaded {
    let files = MemoryFiles::new(files.iter().map(|(path, text)| (*path, *text)));
    load_playbooks(&files, &catalogue(), options, &["site.yml".to_owned()])
}

fn load(files: &[(&str, &str)]) -> Plan {
    let loaded = load_with(files, &Options::default());
    assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics.render(&Marks::PLAIN));
    loaded.plan
}

fn errors(files: &[(&str, &str)]) -> String {
    load_with(files, &Options::default()).diagnostics.render(&Marks::PLAIN)
}

fn play_of(tasks: &str) -> String {
    format!("- hosts: all\n  tasks:\n{tasks}")
}

/// Path, module and arguments of every task.
fn outline(play: &Play) -> Vec<String> {
    play.all_tasks().map(|task| format!("{} {} {}", task.path, task.module, task.args.to_value())).collect()
}

#[test]
fn arguments_come_as_mappings_pairs_or_free_text() {
    let cases = [
        ("- file: {path: /a, mode: 0644}", json!({"path": "/a", "mode": 420})),
        ("- file: path=/a mode=0644", json!({"path": "/a", "mode": "0644"})),
        (
            "- ansible.builtin.file: path=\"/a b\"\n      args: {mode: '0600', path: /lost}",
            json!({"mode": "0600", "path": "/a b"}),
        ),
        ("- command: ls -l  /a creates=/b", json!({"creates": "/b", "cmd": "ls -l  /a"})),
        (
            "- shell: |\n        a=1\n        echo  $a > /x\n      args: {chdir: /tmp}",
            json!({"chdir": "/tmp", "cmd": "a=1\n        echo  $a > /x"}),
        ),
        ("- shell: echo \"a=b chdir=/c\"", json!({"cmd": "echo \"a=b chdir=/c\""})),
        ("- action: file path=/a state=absent", json!({"path": "/a", "state": "absent"})),
        ("- action: {module: file, path: /a}", json!({"path": "/a"})),
        ("- local_action: command ls", json!({"cmd": "ls"})),
        ("- set_fact: a=1 b='x y'", json!({"a": "1", "b": "x y"})),
        ("- set_fact: {a: yes}", json!({"a": true})),
        ("- ping:", json!({})),
        ("- include_vars: a.yml", json!({"file": "a.yml"})),
        ("- meta: flush_handlers", json!({"action": "flush_handlers"})),
    ];
    for (task, wanted) in cases {
        let plan = load(&[("site.yml", &play_of(&format!("    {task}\n")))]);
        let found = plan.plays[0].all_tasks().next().unwrap().args.to_value();
        let tidy = |value: &Value| value.to_string().replace("        ", "");
        assert_eq!(tidy(&found), tidy(&wanted), "{task}");
    }
}

use kfleet_model::Value;

#[test]
fn a_task_holds_all_that_it_inherits() {
    let plan = load(&[(
        "site.yml",
        "
- hosts: web:&new
  name: all of it
  become: yes
  tags: [play]
  environment: {A: 1}
  vars: {p: 1}
  tasks:
    - name: outer
      block:
        - ping:
          when: inner
          tags: a, b
          environment: {B: 2}
          become: no
          vars: {t: 3}
      when: [one, two == 2]
      tags: block
      ignore_errors: '{{ maybe }}'
      vars: {b: 2}
      rescue:
        - ping:
      always:
        - ping:
    - ping:
",
    )]);
    let play = &plan.plays[0];
    let tasks: Vec<_> = play.all_tasks().collect();
    let task = tasks[0];
    assert_eq!(format!("{:?}", task.keywords.when), r#"["one", "two == 2", "inner"]"#);
    assert_eq!(task.keywords.tags, ["play", "block", "a", "b"]);
    assert_eq!(task.keywords.environment.len(), 2);
    assert_eq!(task.keywords.r#become.as_ref().and_then(Setting::fixed), Some(&false));
    assert!(matches!(&task.keywords.ignore_errors, Some(Setting::Open(t)) if t.text == "{{ maybe }}"));
    assert_eq!(
        task.scope.vars.iter().map(|v| v.values.keys().next().unwrap().as_str()).collect::<Vec<_>>(),
        ["b", "t"]
    );
    assert_eq!(tasks.iter().map(|t| t.path.as_str()).collect::<Vec<_>>(), ["0.0", "0.1", "0.2", "1"]);
    assert_eq!(tasks[3].keywords.r#become.as_ref().and_then(Setting::fixed), Some(&true));
    assert_eq!(task.span.short(), "site.yml:11");
    assert_eq!(play.title(), "all of it");
}

#[test]
fn loops_results_and_repetition_are_read() {
    let plan = load(&[(
        "site.yml",
        &play_of(
            "    - ping:
      with_items: [a, b]
      loop_control: {loop_var: x, label: '{{ x }}', index_var: i}
      register: out
      until: out is succeeded
      retries: 5
      delay: '{{ d }}'
      changed_when: no
      failed_when: [a, b]
      notify: [one, two]
      delegate_to: '{{ other }}'
      run_once: yes
      no_log: true
    - ping:
      loop: '{{ list }}'
",
        ),
    )]);
    let tasks: Vec<_> = plan.plays[0].all_tasks().collect();
    let repeat = tasks[0].repeat.as_ref().unwrap();
    assert_eq!(repeat.kind, LoopKind::With("items".into()));
    assert_eq!((repeat.control.loop_var.as_str(), repeat.control.index_var.as_deref()), ("x", Some("i")));
    assert_eq!(tasks[0].retries.as_ref().and_then(Setting::fixed), Some(&5));
    assert!(matches!(tasks[0].delay, Some(Setting::Open(_))));
    assert_eq!(format!("{:?} {:?}", tasks[0].changed_when, tasks[0].failed_when), r#"["false"] ["a", "b"]"#);
    assert_eq!(format!("{:?}", tasks[0].notify), r#"["one", "two"]"#);
    assert_eq!(tasks[1].repeat.as_ref().unwrap().kind, LoopKind::Loop);
    assert_eq!(tasks[1].repeat.as_ref().unwrap().control.loop_var, "item");
}

#[test]
fn a_play_holds_its_batches_strategy_and_settings() {
    let plan = load(&[
        (
            "site.yml",
            "
- hosts: [a, b]
  serial: [1, 30%, '{{ n }}']
  strategy: rolling
  rolling: {wait_timeout: 10m}
  max_fail_percentage: 30
  gather_facts: no
  order: sorted
  vars_files: vars.yml
- import_playbook: more.yml
  tags: imported
  vars: {i: 1}
",
        ),
        ("vars.yml", "v: 1\n"),
        ("more.yml", "- hosts: c\n  vars: {j: 2}\n  tasks:\n    - ping:\n"),
    ]);
    let play = &plan.plays[0];
    assert_eq!(play.strategy, Strategy::Rolling);
    assert!(play.rolling.as_ref().unwrap().get("wait_timeout").is_some());
    assert_eq!(play.serial.iter().map(|b| b.size(10)).collect::<Vec<_>>(), [Some(1), Some(3), None]);
    assert_eq!(play.hosts.len(), 2);
    let more = &plan.plays[1];
    assert_eq!((more.index, more.keywords.tags.as_slice()), (1, ["imported".to_owned()].as_slice()));
    assert_eq!(more.vars.values.keys().collect::<Vec<_>>(), ["i", "j"]);
    assert_eq!(plan.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["site.yml", "vars.yml", "more.yml"]);
    assert_eq!(plan.hash.len(), 64);
}

#[test]
fn the_hash_changes_with_any_file_and_only_then() {
    let files = |vars: &'static str| [("site.yml", "- hosts: a\n  vars_files: [v.yml]\n"), ("v.yml", vars)];
    assert_eq!(load(&files("a: 1\n")).hash, load(&files("a: 1\n")).hash);
    assert_ne!(load(&files("a: 1\n")).hash, load(&files("a: 2\n")).hash);
}

/// A play with two roles of which one depends on a third and both on a fourth.
const ROLES: &[(&str, &str)] = &[
    (
        "site.yml",
        "
- hosts: all
  roles:
    - common
    - {role: kafka, kafka_port: 9092, tags: k, when: want_kafka, vars: {entry: 1}}
  pre_tasks:
    - ping:
  tasks:
    - import_role: {name: zoo, tasks_from: extra}
      when: last
    - import_tasks: tasks/more.yml
      vars: {imported: yes}
  handlers:
    - name: own
      ping:
",
    ),
    ("tasks/more.yml", "- ping:\n- import_tasks: sub/deep.yml\n"),
    ("tasks/sub/deep.yml", "- command: deep\n"),
    ("roles/common/tasks/main.yml", "- command: common\n"),
    ("roles/java/tasks/main.yaml", "- command: java\n"),
    ("roles/java/defaults/main.yml", "version: 17\n"),
    ("roles/kafka/meta/main.yml", "dependencies:\n  - common\n  - role: java\n    tags: j\n"),
    ("roles/kafka/tasks/main.yml", "- import_tasks: install.yml\n- include_tasks: '{{ x }}.yml'\n"),
    ("roles/kafka/tasks/install.yml", "- template: {src: a.j2, dest: /a}\n  notify: restart kafka\n"),
    ("roles/kafka/defaults/main/a.yml", "a: 1\n"),
    ("roles/kafka/defaults/main/b.yml", "b: 1\n"),
    ("roles/kafka/vars/main.yml", "v: 1\n"),
    (
        "roles/kafka/handlers/main.yml",
        "- name: restart kafka\n  service: {name: kafka, state: restarted}\n  listen: restarts\n",
    ),
    ("roles/zoo/tasks/extra.yml", "- command: zoo\n"),
];

#[test]
fn roles_come_with_dependencies_variables_and_handlers() {
    let plan = load(ROLES);
    let play = &plan.plays[0];
    assert_eq!(
        outline(play),
        [
            "0 ping {}",
            r#"1.0 command {"cmd":"common"}"#,
            r#"2.0.0 command {"cmd":"common"}"#,
            r#"2.1.0 command {"cmd":"java"}"#,
            r#"2.2.0 template {"src":"a.j2","dest":"/a"}"#,
            r#"2.3 include_tasks {"file":"{{ x }}.yml"}"#,
            r#"3.0 command {"cmd":"zoo"}"#,
            "4.0 ping {}",
            r#"4.1.0 command {"cmd":"deep"}"#,
        ]
    );
    let tasks: Vec<_> = play.all_tasks().collect();
    assert_eq!(tasks[1].keywords.when.len(), 0);
    assert_eq!(format!("{:?} {:?}", tasks[3].keywords.tags, tasks[3].keywords.when), r#"["k", "j"] ["want_kafka"]"#);
    let kafka = tasks[4].role().unwrap();
    assert_eq!((kafka.name.as_str(), kafka.path.as_str()), ("kafka", "roles/kafka"));
    assert_eq!(kafka.defaults.values.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(kafka.params.values.keys().collect::<Vec<_>>(), ["kafka_port"]);
    assert_eq!(tasks[4].scope.vars[0].values.keys().collect::<Vec<_>>(), ["entry"]);
    assert_eq!(tasks[3].role().unwrap().parents.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["kafka"]);
    assert_eq!(
        play.role_list.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["common", "common", "java", "kafka", "zoo"]
    );
    let handlers: Vec<_> = play.all_handlers().map(|h| format!("{} {}", h.path, h.title())).collect();
    assert_eq!(handlers, ["h0 kafka : restart kafka", "h1 own"]);
    assert_eq!(format!("{:?}", tasks[6].keywords.when), r#"["last"]"#);
    assert!(play.all_tasks().all(|t| !t.handler) && play.all_handlers().all(|h| h.handler));
}

#[test]
fn a_role_with_the_same_parameters_is_in_a_play_once() {
    let site = "- hosts: all\n  roles: [common, common, {role: common, x: 1}, {role: common, x: 1}]\n";
    let plan = load(&[("site.yml", site), ("roles/common/tasks/main.yml", "- ping:\n")]);
    assert_eq!(plan.plays[0].all_tasks().count(), 2);
    let meta = "allow_duplicates: yes\n";
    let plan =
        load(&[("site.yml", site), ("roles/common/tasks/main.yml", "- ping:\n"), ("roles/common/meta/main.yml", meta)]);
    assert_eq!(plan.plays[0].all_tasks().count(), 4);
}

#[test]
fn a_dynamic_include_is_loaded_later_by_the_same_rules() {
    let site = play_of(
        "    - include_tasks: more.yml\n      when: not_inherited\n      vars: {v: 1}\n    - include_role: {name: '{{ r }}', apply: {tags: [x]}}\n      tags: not_inherited\n",
    );
    let files = MemoryFiles::new([
        ("site.yml", site.as_str()),
        ("more.yml", "- ping:\n- include_tasks: more.yml\n"),
        ("roles/zoo/tasks/main.yml", "- command: zoo\n  notify: h\n"),
        ("roles/zoo/handlers/main.yml", "- name: h\n  ping:\n"),
    ]);
    let (catalogue, options) = (catalogue(), Options::default());
    let loaded = load_playbooks(&files, &catalogue, &options, &["site.yml".to_owned()]);
    let tasks: Vec<_> = loaded.plan.plays[0].all_tasks().collect();
    let call = |task, name, path| IncludeCall {
        task,
        name,
        parts: RoleParts::default(),
        path,
        vars: json!({"item": 7}).as_object().unwrap().clone(),
    };
    let included = load_include(&files, &catalogue, &options, &call(tasks[0], "more.yml", "0.i0"));
    assert!(included.diagnostics.is_empty());
    let mut found = Vec::new();
    crate::plan::collect(&included.steps, &mut found);
    assert_eq!(found.iter().map(|t| t.path.as_str()).collect::<Vec<_>>(), ["0.i0.0", "0.i0.1"]);
    assert!(found[0].keywords.when.is_empty());
    assert_eq!(found[0].scope.include_params.iter().flat_map(|v| v.values.keys()).collect::<Vec<_>>(), ["v", "item"]);
    assert_eq!(included.files.len(), 1);

    assert!(matches!(tasks[1].action, Action::IncludeRole(_)));
    let included = load_include(&files, &catalogue, &options, &call(tasks[1], "zoo", "1"));
    let mut found = Vec::new();
    crate::plan::collect(&included.steps, &mut found);
    assert_eq!((found[0].path.as_str(), found[0].keywords.tags.as_slice()), ("1.0", ["x".to_owned()].as_slice()));
    assert!(matches!(&included.handlers[0], Step::Task(task) if task.path == "h1.0"));
    assert_eq!(included.roles[0].name, "zoo");

    let missing = load_include(&files, &catalogue, &options, &call(tasks[0], "mor.yml", "0"));
    assert!(missing.diagnostics.render(&Marks::PLAIN).contains("did you mean 'more.yml'?"));
}

#[test]
fn old_forms_are_read_and_told() {
    let site = play_of(
        "    - include: more.yml port=80\n    - include: '{{ x }}.yml'\n    - command: ls\n      sudo: yes\n      sudo_user: kafka\n      always_run: yes\n",
    );
    let loaded = load_with(&[("site.yml", &site), ("more.yml", "- ping:\n")], &Options::default());
    assert_eq!(
        outline(&loaded.plan.plays[0]),
        ["0.0 ping {}", r#"1 include_tasks {"file":"{{ x }}.yml"}"#, r#"2 command {"cmd":"ls"}"#]
    );
    let tasks: Vec<_> = loaded.plan.plays[0].all_tasks().collect();
    assert_eq!(tasks[0].scope.vars[0].values["port"], Arc::new(json!("80")));
    assert_eq!(tasks[2].keywords.r#become.as_ref().and_then(Setting::fixed), Some(&true));
    assert_eq!(tasks[2].keywords.check_mode.as_ref().and_then(Setting::fixed), Some(&false));
    assert_eq!((loaded.diagnostics.errors(), loaded.diagnostics.warnings()), (0, 5));
}

#[test]
fn names_of_imports_may_use_variables_that_are_known_before_the_run() {
    let site = "- hosts: all\n  vars: {what: kafka}\n  roles: ['{{ what }}']\n  tasks:\n    - import_tasks: '{{ file }}.yml'\n";
    let mut options = Options::default();
    options.extra_vars.insert("file".into(), json!("more"));
    let files = [("site.yml", site), ("more.yml", "- ping:\n"), ("roles/kafka/tasks/main.yml", "- ping:\n")];
    let loaded = load_with(&files, &options);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics.render(&Marks::PLAIN));
    assert_eq!(loaded.plan.plays[0].all_tasks().count(), 2);
    assert!(errors(&files).contains("it depends on 'file'"));
}

#[test]
fn prompts_are_answered_on_the_command_line_or_by_their_default() {
    let site = "- hosts: all\n  vars_prompt:\n    - name: a\n    - {name: b, default: x}\n    - name: c\n";
    let mut options = Options::default();
    options.extra_vars.insert("a".into(), json!("1"));
    let loaded = load_with(&[("site.yml", site)], &options);
    let text = loaded.diagnostics.render(&Marks::PLAIN);
    assert_eq!(loaded.diagnostics.errors(), 1, "{text}");
    assert!(text.contains("give it with -e c=VALUE"), "{text}");
    assert_eq!(loaded.plan.plays[0].vars.values["b"], Arc::new(json!("x")));
}

#[test]
fn what_takes_itself_in_is_refused_with_the_way_that_leads_there() {
    let text = errors(&[
        ("site.yml", "- hosts: all\n  tasks:\n    - import_tasks: a.yml\n"),
        ("a.yml", "- import_tasks: b.yml\n"),
        ("b.yml", "- import_tasks: a.yml\n"),
    ]);
    assert!(text.contains("a.yml takes itself in"), "{text}");
    assert!(text.contains("through b.yml (a.yml:1:17)"), "{text}");
    let text = errors(&[("site.yml", "- import_playbook: site.yml\n")]);
    assert!(text.contains("site.yml takes itself in"), "{text}");
    let text = errors(&[
        ("site.yml", "- hosts: all\n  roles: [a]\n"),
        ("roles/a/meta/main.yml", "dependencies: [b]\n"),
        ("roles/b/meta/main.yml", "dependencies: [a]\n"),
    ]);
    assert!(text.contains("role 'a' depends on itself"), "{text}");
    assert!(text.contains("roles/a -> roles/b -> roles/a"), "{text}");
}
