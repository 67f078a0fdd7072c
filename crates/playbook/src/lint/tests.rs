use super::*;
use crate::diag::Marks;
use crate::files::MemoryFiles;
use crate::parse::load_playbooks;
use crate::template::NoLookups;

/// Parses and checks, as `kfleet lint` does.
fn lint(files: &[(&str, &str)], inventory: Option<&[&str]>) -> Diagnostics {
    let memory = MemoryFiles::new(files.iter().map(|(path, text)| (*path, *text)));
    let catalogue = crate::parse::sample_catalogue();
    let options = Options::default();
    let engine = Engine::new(Arc::new(NoLookups));
    let names: Option<BTreeSet<String>> = inventory.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let loaded = load_playbooks(&memory, &catalogue, &options, &["site.yml".to_owned()]);
    let lint =
        Lint { files: &memory, catalogue: &catalogue, options: &options, engine: &engine, inventory: names.as_ref() };
    let mut all = loaded.diagnostics;
    all.extend(lint.check(&loaded.plan));
    all
}

fn tasks(text: &str) -> String {
    format!("- hosts: all\n  tasks:\n{text}")
}

#[test]
fn a_right_playbook_has_nothing_to_tell() {
    let site = "
- hosts: all
  vars: {port: 9092, list: [a]}
  roles: [kafka]
  tasks:
    - template: {src: a.j2, dest: '/etc/{{ item }}', mode: '0644'}
      loop: '{{ list }}'
      when: port > 1024 and ansible_os_family == 'Debian' and extra is not defined
      notify: ['restart kafka', 'kafka : restart kafka', anything]
      register: out
    - command: echo {{ out.changed }} {{ groups['all'] | length }}
    - assert: {that: [port is defined, \"'x' in hostvars\"], fail_msg: '{{ port }} is wrong'}
    - debug: {var: out.results}
    - debug: msg={{ documented | default(1) }}
    - copy: {src: '{{ item }}.conf', dest: /etc/}
      with_items: [a, b]
    - include_tasks: more.yml
    - file: {path: /x, '{{ key }}': 1}
      vars: {key: mode}
";
    let files = [
        ("site.yml", site),
        ("more.yml", "- ping:\n- include_tasks: more.yml\n- set_fact: {fact: 1}\n- debug: msg={{ fact }}\n"),
        ("templates/a.j2", "{% for h in groups['all'] %}{{ hostvars[h].x }}{{ loop.index }}{% endfor %}\n"),
        ("roles/kafka/handlers/main.yml", "- name: restart kafka\n  ping:\n  listen: anything\n"),
        ("roles/kafka/tasks/main.yml", "- debug: msg='{{ option }} {{ inventory_name }}'\n"),
        ("roles/kafka/meta/argument_specs.yml", "argument_specs: {main: {options: {option: {type: str}}}}\n"),
    ];
    let found = lint(&files, Some(&["inventory_name"]));
    assert!(found.is_empty(), "{}", found.render(&Marks::PLAIN));
}

#[test]
fn all_mistakes_of_a_playbook_are_told_in_one_pass() {
    let site = tasks(
        "    - tempalte: {src: a, dest: /a}
    - file: {pth: /a, state: directroy, mode: 99999}
    - debug: msg={{ x | defalt(1) }}
    - command: ls
      when: x ==
      notify: restrat
    - copy: {src: nosuch.conf, dest: /a}
  handlers:
    - {name: restart, ping: }
",
    );
    let text = lint(&[("site.yml", &site), ("files/nosuch.cnf", "")], None).render(&Marks::PLAIN);
    for piece in [
        "no module is named 'tempalte'",
        "did you mean 'template'?",
        "has no parameter 'pth'",
        "must be one of file, directory, absent, touch, link, not directroy",
        "must be a file mode",
        "defalt",
        "did you mean 'default'?",
        "no handler is named 'restrat'",
        "did you mean 'restart'?",
        "there is no file 'nosuch.conf'",
        "did you mean 'nosuch.cnf'?",
    ] {
        assert!(text.contains(piece), "{piece}\n{text}");
    }
    assert!(text.contains("error[condition]"), "{text}");
}

#[test]
fn a_template_error_is_shown_where_it_stands_whatever_the_style() {
    let cases = [
        ("    - debug: {msg: '{{ a | nosuch }}'}\n", "site.yml:3:28"),
        ("    - debug:\n        msg: |\n          one {{ nosuch }}\n          two {{ x | nosuch }}\n", "site.yml:6:22"),
        ("    - debug:\n        msg: >-\n          one\n          two {{ x | nosuch }}\n", "site.yml:6:22"),
        ("    - debug: msg=\"{{ x | nosuch }}\"\n", "site.yml:3:26"),
        ("    - ping:\n      when:\n        - a\n        - b is nosuch\n", "site.yml:6:16"),
        ("    - ping:\n      vars: {x: {y: ['{{ 1 | nosuch }}']}}\n", "site.yml:4:30"),
        ("    - shell: |\n        a\n        {{ x | nosuch }} creates=/a\n", "site.yml:5:16"),
    ];
    for (text, place) in cases {
        let shown = lint(&[("site.yml", &tasks(text))], None).render(&Marks::PLAIN);
        assert!(shown.contains(&format!("{place}\n")), "{place} of {text}\n{shown}");
        assert!(shown.contains("unknown-name"), "{shown}");
    }
}

#[test]
fn templates_are_checked_inside_their_files() {
    let site = tasks("    - template: {src: a.j2, dest: /a}\n");
    let shown = lint(&[("site.yml", &site), ("templates/a.j2", "x\n{% if a %}\n{{ b | nosuch }}\n")], None);
    assert!(shown.render(&Marks::PLAIN).contains("templates/a.j2:"), "{}", shown.render(&Marks::PLAIN));
    let shown = lint(&[("site.yml", &site), ("templates/a.j2", "x\n{{ b | nosuch }}\n")], None).render(&Marks::PLAIN);
    assert!(shown.contains("templates/a.j2:2:8"), "{shown}");
}

#[test]
fn a_variable_that_nothing_defines_is_a_warning_only_where_that_is_sure() {
    let warned = |text: &str, inventory: Option<&[&str]>| {
        let found = lint(&[("site.yml", &tasks(text)), ("vars/v.yml", "from_file: 1\n")], inventory);
        assert_eq!(found.errors(), 0, "{}", found.render(&Marks::PLAIN));
        found.warnings() > 0
    };
    let some: Option<&[&str]> = Some(&["kafka_port"]);
    assert!(warned("    - debug: msg={{ kafka_prot }}\n", some));
    assert!(warned("    - ping:\n      when: kafka_prot == 1\n", some));
    let quiet = [
        "    - debug: msg={{ kafka_port }}\n",
        "    - debug: msg={{ x | default(1) }}\n",
        "    - debug: msg={{ x }}\n      when: x is defined\n",
        "    - set_fact: {x: 1}\n    - debug: msg={{ x }}\n",
        "    - set_fact: {'{{ n }}': 1}\n    - debug: msg={{ x }}\n",
        "    - include_vars: '{{ f }}'\n    - debug: msg={{ x }}\n",
        "    - include_vars: v.yml\n    - debug: msg={{ from_file }}\n",
        "    - include_tasks: '{{ kafka_port }}.yml'\n    - debug: msg={{ x }}\n",
        "    - debug: msg={{ ansible_hostname }}\n",
        "    - ping:\n      register: x\n    - debug: msg={{ x }}\n",
        "    - debug: msg=\"{% set y = 1 %}{{ y }}{% for z in [1] %}{{ z }}{% endfor %}\"\n",
    ];
    for text in quiet {
        assert!(!warned(text, some), "{text}");
    }
    assert!(!warned("    - debug: msg={{ kafka_prot }}\n", None), "without an inventory nothing is sure");
}

#[test]
fn parameters_of_imports_are_checked_too() {
    let site = tasks("    - import_tasks: {file: a.yml, tag: x}\n");
    let shown = lint(&[("site.yml", &site), ("a.yml", "- ping:\n")], None).render(&Marks::PLAIN);
    assert!(shown.contains("module import_tasks has no parameter 'tag'"), "{shown}");
}
