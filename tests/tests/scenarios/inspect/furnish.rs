//! The lab as a fleet that is well: what operators do to hosts before they call them done, and a first night.
//!
//! What a container can not have is said in `inspection.yml`, and nothing else is: each line has its reason beside it.

use super::night;
use super::script;
use crate::roll::{BROKERS, ENSEMBLE};
use crate::support::Stage;
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use std::time::Duration;

const ALL: [&str; 6] = ["zk1", "zk2", "zk3", "kafka1", "kafka2", "kafka3"];

/// What this fleet sets over the built-in thresholds.
const SETTINGS: &str = r#"# Thresholds of a fleet of containers on one machine. Everything that is not here is as built in.
fleet:
  # The processors are the machine's, and whatever else it does is not the fleet's.
  os.cpu_busy: "off"
  # Six hosts share these processors: a connection may wait for its turn longer than on a wire of one site.
  net.mesh: {warn: "250 ms"}
  # The hosts' disks are folders of the machine's one, however full that is. A volume of a host's own can still be full.
  disk.space: {warn: "97 %", crit: "99 %"}
  # A container lies on an overlay, and the one volume of its own is in memory.
  disk.fs_type: {warn: [xfs, ext4, overlay, tmpfs], crit: ["nfs*", cifs, "smb*", "fuse*"]}
  # A container can not have more open files than the machine allows.
  limits.nofile: {warn: 16384}
  # The image of the hosts is made once, and its Java is of that day.
  jvm.version: {updates_behind: 1000}
  # Nothing of a lab is worth a backup.
  dr.backup_age: "off"
  # Nobody has made a topic for canaries here.
  broker.canary: "off"
host_labels:
  # The lab has no way out: the clock that all others follow follows nobody.
  time=own:
    clock.synced: "off"
    clock.offset: "off"
"#;

/// The label of the host that keeps the time (the first of the lab).
const TIMEKEEPER: &str = "kfleet_labels:\n  time: own\n";

/// Kernel values that belong to the machine: an ordinary file with the value of a tuned host lies over each. Load, memory
/// and its shortage are the machine's as well. What a container may not set itself, it must not be told to set.
const KERNEL: &str = r#"
mkdir -p "$base"
over() { grep -q " $1 " /proc/self/mountinfo || mount --bind "$base/$2" "$1"; }
value swappiness 1;           over /proc/sys/vm/swappiness swappiness
value dirty_background 5;     over /proc/sys/vm/dirty_background_ratio dirty_background
value overcommit 0;           over /proc/sys/vm/overcommit_memory overcommit
value zone_reclaim 0;         over /proc/sys/vm/zone_reclaim_mode zone_reclaim
value max_map_count 262144;   over /proc/sys/vm/max_map_count max_map_count
value thp 'always [madvise] never'; over /sys/kernel/mm/transparent_hugepage/enabled thp
value loadavg '0.20 0.20 0.20 1/200 1000'; over /proc/loadavg loadavg
if [ ! -e "$base/meminfo" ]; then cat /proc/meminfo > "$base/meminfo"; fi
sed 's/^MemAvailable:.*/MemAvailable:   8388608 kB/; s/^MemTotal:.*/MemTotal:      16777216 kB/' "$base/meminfo" > "$base/new"
cat "$base/new" > "$base/meminfo"; over /proc/meminfo meminfo
if [ ! -e "$base/vmstat" ]; then sed 's/^oom_kill .*/oom_kill 0/' /proc/vmstat > "$base/vmstat"; fi
over /proc/vmstat vmstat
echo 4096 > /proc/sys/net/core/somaxconn
echo 4096 > /proc/sys/net/ipv4/tcp_max_syn_backlog
for file in /usr/lib/sysctl.d/*.conf; do : > "/etc/sysctl.d/${file##*/}"; done
"#;

/// A volume of the host's own, for what can be wrong with volumes. A broker with ZooKeeper reads no metadata from it.
const VOLUME: &str = r#"
volume=/var/lib/kafka/metadata
mkdir -p "$volume"
grep -q " $volume " /proc/self/mountinfo || mount -t tmpfs -o size=32m,nr_inodes=1000,mode=0755 spare "$volume"
chown kafka:kafka "$volume"
"#;

/// The lab's conveniences for other tests undone, and a second log directory beside the first.
const BROKER: &str = r#"
file=/etc/kafka/server.properties
grep -q '^metadata.log.dir=' "$file" && exit 0
mkdir -p /var/lib/kafka/data2 && chown kafka:kafka /var/lib/kafka/data2
sed -i '/^group.initial.rebalance.delay.ms=/d; s,^log.dirs=.*,&\,/var/lib/kafka/data2,' "$file"
printf 'metadata.log.dir=/var/lib/kafka/metadata\nauto.create.topics.enable=false\n' >> "$file"
chown root:kafka "$file"; chmod 0640 "$file"
systemctl restart kafka
"#;

const SERVER: &str = "chown root:zookeeper /etc/zookeeper/zoo.cfg; chmod 0640 /etc/zookeeper/zoo.cfg\n";

/// Topics, and groups that read them: one that was given up with records unread is no fault by itself.
const CLIENTS: &str = r#"
topic --create --if-not-exists --topic orders --partitions 6 --replication-factor 3
topic --create --if-not-exists --topic archive --partitions 1 --replication-factor 3
topic --create --if-not-exists --topic work --partitions 1 --replication-factor 3
write orders 100; write archive 100; write work 20
read_as billing orders 100; read_as racing archive 60; read_as lost archive 10; read_as stalled work 10; read_as stopped work 10
"#;

/// How long the clocks' daemons may take to follow the first host: they ask every four seconds at first.
const CLOCKS: &str = "wait_until in_step\n";

/// Makes a fresh lab a fleet that is well, and inspects it once: what was found then is what later nights compare with.
pub(super) async fn furnish(stage: &Stage) -> Result<()> {
    std::fs::write(stage.fleet.join("inspection.yml"), SETTINGS)?;
    let host_vars = stage.fleet.join("inventory/host_vars");
    std::fs::create_dir_all(&host_vars)?;
    std::fs::write(host_vars.join("zk1.yml"), TIMEKEEPER)?;
    script::run_on(stage, &ALL, KERNEL).await?;
    script::run_on(stage, &ENSEMBLE, SERVER).await?;
    script::run_on(stage, &BROKERS, &format!("{VOLUME}{BROKER}")).await?;
    stage.lab.wait_whole(&Progress::terminal()).await?;
    script::run(stage, "kafka1", CLIENTS).await?;
    script::run_on(stage, &ALL, CLOCKS).await?;
    whole(stage).await?;
    let first = night::inspect(stage).await?;
    ensure!(first.found.coverage.missing.is_empty(), "hosts are missing: {:?}", first.found.coverage.missing);
    Ok(())
}

/// The values of a tuned host again, which end with a host's power.
pub(super) async fn kernel(stage: &Stage, host: &str) -> Result<()> {
    script::run(stage, host, KERNEL).await.map(|_said| ())
}

/// The clusters are whole, and every partition is led by its preferred replica.
pub(super) async fn whole(stage: &Stage) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let elect = "tool org.apache.kafka.tools.LeaderElectionCommand --bootstrap-server kafka1:9092 \
                 --election-type preferred --all-topic-partitions\n";
    script::run(stage, "kafka1", elect).await?;
    until("every partition is led by its preferred replica", async || {
        let metadata = stage.lab.metadata().await?;
        let mut all = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(all.all(|one| one.replicas.first().is_some_and(|first| i64::from(first.id) == one.leader)))
    })
    .await
}

/// Looks every half second whether something has come true, for at most a minute and a half.
pub(super) async fn until(what: &str, mut come_true: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(90);
    let begun = tokio::time::Instant::now();
    loop {
        // A cluster that is disturbed may not answer at all; that is no end of the wait.
        let last = come_true().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if begun.elapsed() >= LIMIT {
            last.with_context(|| format!("not within {} s: {what}", LIMIT.as_secs()))?;
            anyhow::bail!("not within {} s: {what}", LIMIT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
