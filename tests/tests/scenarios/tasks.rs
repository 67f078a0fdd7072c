//! Ordinary playbooks.

use crate::support::{Stage, expect_code, of_kind};
use anyhow::{Context, Result, ensure};

/// An agent that is down is unreachable within its deadline, and the others go on.
pub(crate) async fn one_host_down(stage: &Stage) -> Result<()> {
    stage.lab.host("zk3")?.service("stop", "kfleet-agent").await?;
    let ended = stage.kfleet(&["exec", "all", "-m", "ping"]).await;
    stage.lab.host("zk3")?.service("start", "kfleet-agent").await?;
    let ended = ended?;
    expect_code(&ended, 4)?;
    ensure!(ended.stdout.contains("zk3 | UNREACHABLE!"), "{}", ended.stdout);
    ensure!(ended.stdout.matches("| SUCCESS").count() == 5, "{}", ended.stdout);
    Ok(())
}

/// Long output reaches a person whole in the result, and a program whole in the stream of events, where the result has
/// no second copy of it.
pub(crate) async fn long_output(stage: &Stage) -> Result<()> {
    const LINES: u32 = 400_000;
    let arguments = ["exec", "kafka1", "-m", "command", "-a", "seq 400000"];
    let whole: String = (1..=LINES).map(|line| format!("{line}\n")).collect();
    let told = stage.kfleet(&arguments).await?;
    expect_code(&told, 0)?;
    ensure!(told.stdout.contains(&whole), "the terminal has {} of {} bytes", told.stdout.len(), whole.len());

    let (events, code) = stage.watch(&arguments)?.finish().await?;
    ensure!(code == 0, "exit code {code}: {:?}", events.last());
    let streamed: String = of_kind(&events, "host_output").filter_map(|event| event["text"].as_str()).collect();
    ensure!(streamed == whole, "the events have {} of {} bytes", streamed.len(), whole.len());
    let result = of_kind(&events, "host_result").next().context("no result")?;
    let kept = result["result"]["data"]["stdout"].as_str().context("a result without stdout")?;
    ensure!(kept.starts_with("1\n2\n") && kept.ends_with("\n400000"), "head and tail are not in the result");
    ensure!(kept.len() < whole.len() && kept.contains(" bytes left out ...]"), "the result says nothing of the cut");
    Ok(())
}

const PLAYBOOK: &str = r#"
- name: Configuration
  hosts: kafka
  vars:
    dir: /etc/kfleet-scenario
  tasks:
    - name: Group
      group: {name: scenario, system: true}
    - name: User
      user: {name: scenario, group: scenario, system: true, create_home: false, shell: /usr/sbin/nologin}
    - name: Folder
      file: {path: "{{ dir }}", state: directory, owner: scenario, group: scenario, mode: "0750"}
    - name: Template
      template: {src: app.conf.j2, dest: "{{ dir }}/app.conf", mode: "0640", owner: scenario}
      notify: told
    - name: Lines
      lineinfile: {path: "{{ dir }}/limits.conf", regexp: "^{{ item.key }}=", line: "{{ item.key }}={{ item.value }}", create: true}
      loop: "{{ {'a': 1, 'b': 2} | dict2items }}"
    - name: Copy
      copy: {src: blob.bin, dest: "{{ dir }}/blob.bin", mode: "0600"}
    - name: Link
      file: {path: "{{ dir }}/current", src: app.conf, state: link, force: true}
    - name: Marker
      command: touch {{ dir }}/marker
      args: {creates: "{{ dir }}/marker"}
    - name: Service
      service: {name: chrony, state: started, enabled: true}
    - name: Look
      stat: {path: "{{ dir }}/app.conf"}
      register: look
    - name: It is as wanted
      assert:
        that:
          - look.stat.mode == "0640"
          - look.stat.pw_name == "scenario"
        quiet: true
      when: not ansible_check_mode
  handlers:
    - name: told
      debug: {msg: the template changed}
"#;

/// What is below the folders that the playbook writes to: names, modes, owners, times and contents.
const TREE: &str = "find /etc /var/lib/dpkg /home /usr/local -xdev \\( -type f -o -type l -o -type d \\) \
    -printf '%p %M %u %g %T@ %l\\n' | sort; find /etc -xdev -type f -exec sha256sum {} + | sort";

/// Check mode on bare hosts writes nothing and foretells the changes; after the run, nothing is left to change.
pub(crate) async fn check_mode(stage: &Stage) -> Result<()> {
    let folder = stage.folder("check-mode")?;
    let playbook = folder.join("site.yml");
    std::fs::write(&playbook, PLAYBOOK)?;
    std::fs::create_dir_all(folder.join("templates"))?;
    std::fs::create_dir_all(folder.join("files"))?;
    std::fs::write(folder.join("templates/app.conf.j2"), "# {{ ansible_managed }}\nhost={{ inventory_hostname }}\n")?;
    let blob: Vec<u8> = (0..700_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(folder.join("files/blob.bin"), &blob)?;
    let playbook = playbook.to_string_lossy().into_owned();

    let before = stage.on("kafka1", &["sh", "-c", TREE]).await?;
    let checked = stage.kfleet(&["run", &playbook, "--check", "--diff"]).await?;
    expect_code(&checked, 0)?;
    ensure!(checked.stdout.contains("+host=kafka1"), "the diff is missing:\n{}", checked.stdout);
    let after = stage.on("kafka1", &["sh", "-c", TREE]).await?;
    ensure!(before == after, "check mode changed the host:\n{}", first_difference(&before, &after));

    let first = stage.kfleet(&["run", &playbook]).await?;
    expect_code(&first, 0)?;
    ensure!(first.stdout.contains("the template changed"), "the handler did not run:\n{}", first.stdout);
    let copied = stage.on("kafka2", &["sha256sum", "/etc/kfleet-scenario/blob.bin"]).await?;
    let sum = tokio::process::Command::new("sha256sum").arg(folder.join("files/blob.bin")).output().await?;
    ensure!(copied.get(..64) == String::from_utf8_lossy(&sum.stdout).get(..64), "the copy differs: {copied}");

    for arguments in [vec!["run", &playbook], vec!["run", &playbook, "--check"]] {
        let again = stage.kfleet(&arguments).await?;
        expect_code(&again, 0)?;
        let recaps: Vec<&str> = again.stdout.lines().filter(|line| line.contains("changed=")).collect();
        ensure!(recaps.len() == 3, "{}", again.stdout);
        for recap in recaps {
            ensure!(recap.contains("changed=0 "), "{arguments:?} still changes something:\n{}", again.stdout);
        }
    }
    Ok(())
}

fn first_difference(one: &str, other: &str) -> String {
    let pair = one.lines().zip(other.lines()).find(|(a, b)| a != b);
    pair.map_or_else(|| "a line was added or removed".to_owned(), |(a, b)| format!("- {a}\n+ {b}"))
}
