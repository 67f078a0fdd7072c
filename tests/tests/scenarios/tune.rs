//! The operating system: tuned, found tuned, and taken back to the byte.

use crate::support::{Stage, expect_code};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const HOST: &str = "kafka1";

/// Kernel values that belong to the machine: on this host alone an ordinary file lies over each, with a value that is to be
/// changed, and the value that it shall have.
const SEEDS: [(&str, &str, &str); 3] = [
    ("/proc/sys/vm/swappiness", "60", "1"),
    ("/proc/sys/vm/max_map_count", "65530", "262144"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "always", "madvise"),
];

/// Where these files lie on the host.
const FOLDER: &str = "/run/kfleet-scenario-tune";

/// Less than the hosts' hard limit, which a unit here must not exceed.
const LIMIT: &str = "limits.nofile=16384";

/// Everything below /etc by kind, mode, owner, target and content, the host's own network values, and kfleet's own folder.
const SNAPSHOT: &str = "find /etc -printf '%p %y %m %u %g %l\\n' | sort; find /etc -type f -exec sha256sum {} + | sort -k2; \
    cd /proc/sys/net; for name in core/somaxconn ipv4/tcp_max_syn_backlog ipv4/tcp_rmem ipv4/tcp_wmem \
    ipv4/tcp_window_scaling ipv4/ip_local_port_range ipv4/ip_local_reserved_ports; do echo $name; cat $name; done; \
    ls -a /var/lib/kfleet 2>&1; true";

/// One host is tuned and taken back.
pub(crate) async fn there_and_back(stage: &Stage) -> Result<()> {
    let seeded = seed(stage).await;
    let walked = match seeded {
        Ok(()) => walk(stage).await,
        Err(error) => Err(error),
    };
    let cleared = clear(stage).await;
    walked?;
    cleared
}

async fn walk(stage: &Stage) -> Result<()> {
    let before = snapshot(stage).await?;
    let stops = stage.stops(HOST, "kafka").await?;
    let (code, said) = tune(stage, "check", &[]).await?;
    ensure!(code == 2, "the exit code of a check that finds something is {code}: {said:#}");
    // What is the machine's beneath this host can not be set from here, and is said to be so.
    let fixed: Vec<String> = items(&said)?.filter(|item| item["status"] == "refused").map(id).collect();
    println!("    can not be set in this lab: {}", fixed.join(", "));
    for (path, now, _) in SEEDS {
        ensure!(items(&said)?.any(|item| item["now"] == now && item["status"] == "differs"), "{path}: {said:#}");
    }
    ensure!(snapshot(stage).await? == before, "a check wrote something");

    let applied = stage.kfleet(&arguments("apply", &fixed)).await?;
    expect_code(&applied, 0)?;
    ensure!(applied.stdout.contains("sysctl.vm.swappiness"), "the changes are not shown:\n{}", applied.stdout);
    for (path, _, wanted) in SEEDS {
        let now = stage.on(HOST, &["cat", path]).await?;
        ensure!(now.trim() == wanted, "{path} is {now:?} and not {wanted}");
    }
    let kept = stage.on(HOST, &["cat", "/etc/sysctl.d/99-zz-kfleet.conf", "/etc/tmpfiles.d/00-kfleet.conf"]).await?;
    for line in ["vm.swappiness = 1", "vm.max_map_count = 262144", "transparent_hugepage/enabled - - - - madvise"] {
        ensure!(kept.contains(line), "{line:?} is not kept for the next boot:\n{kept}");
    }
    let limit = stage.on(HOST, &["systemctl", "show", "-p", "LimitNOFILE", "kafka"]).await?;
    ensure!(limit.trim() == "LimitNOFILE=16384", "systemd does not know the unit's new limit: {limit}");
    ensure!(stage.stops(HOST, "kafka").await? == stops, "the broker was stopped");

    let (code, said) = tune(stage, "check", &fixed).await?;
    ensure!(code == 0, "a tuned host is not found tuned ({code}): {said:#}");
    let tuned = snapshot(stage).await?;
    let (code, said) = tune(stage, "apply", &fixed).await?;
    ensure!(code == 0 && said["hosts"][HOST]["changed"] == false, "a second apply: {said:#}");
    ensure!(snapshot(stage).await? == tuned, "a second apply wrote something");

    expect_code(&stage.kfleet(&["tune", "revert", HOST]).await?, 0)?;
    let after = snapshot(stage).await?;
    ensure!(after == before, "not as before:\n{}", difference(&before, &after));
    for (path, former, _) in SEEDS {
        let now = stage.on(HOST, &["cat", path]).await?;
        ensure!(now == format!("{former}\n"), "{path} is {now:?} and not {former}");
    }
    let (code, _) = tune(stage, "check", &fixed).await?;
    ensure!(code == 2, "a host that was taken back is found tuned");
    println!(
        "    {} items set and taken back to the byte",
        items(&said)?.filter(|item| item["status"] == "fits").count()
    );
    Ok(())
}

fn arguments<'a>(act: &'a str, leave_out: &'a [String]) -> Vec<&'a str> {
    let out = leave_out.iter().flat_map(|id| ["--leave-out", id.as_str()]);
    ["tune", act, HOST, "--set", LIMIT].into_iter().chain(out).collect()
}

/// What `kfleet tune` ends with and says to programs.
async fn tune(stage: &Stage, act: &str, leave_out: &[String]) -> Result<(i32, Value)> {
    let mut words = arguments(act, leave_out);
    words.push("--json");
    let ended = stage.kfleet(&words).await?;
    let said = serde_json::from_str(&ended.stdout).with_context(|| format!("{}\n{}", ended.stdout, ended.stderr))?;
    Ok((ended.code, said))
}

fn items(said: &Value) -> Result<impl Iterator<Item = &Value>> {
    Ok(said["hosts"][HOST]["items"].as_array().with_context(|| format!("no items: {said:#}"))?.iter())
}

fn id(item: &Value) -> String {
    item["id"].as_str().unwrap_or_default().to_owned()
}

async fn snapshot(stage: &Stage) -> Result<String> {
    stage.on(HOST, &["sh", "-c", SNAPSHOT]).await
}

fn difference(before: &str, after: &str) -> String {
    let gone = before.lines().filter(|line| !after.lines().any(|other| other == *line)).map(|line| format!("- {line}"));
    let new = after.lines().filter(|line| !before.lines().any(|other| other == *line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect::<Vec<_>>().join("\n")
}

async fn seed(stage: &Stage) -> Result<()> {
    stage.on(HOST, &["mkdir", "-p", FOLDER]).await?;
    for (n, (path, value, _)) in SEEDS.iter().enumerate() {
        let script = format!("echo {value} > {FOLDER}/{n} && mount --bind {FOLDER}/{n} {path}");
        stage.on(HOST, &["sh", "-c", &script]).await?;
    }
    Ok(())
}

/// Also after half a seeding: what is not mounted is passed over.
async fn clear(stage: &Stage) -> Result<()> {
    let paths: Vec<&str> = SEEDS.iter().map(|(path, ..)| *path).collect();
    let script = format!("for path in {}; do umount $path; done; rm -rf {FOLDER}", paths.join(" "));
    stage.on(HOST, &["sh", "-c", &script]).await?;
    Ok(())
}
