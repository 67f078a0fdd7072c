//! Faults of services: started with what is wrong, killed, hung, parted, without a disk.
//!
//! Whatever happens to a node is heard in the logs of its whole cluster, by lines that are also those of any restart; and
//! what runs no more can not be asked, so most that is told of it is that it is not known.

use super::fault::{Act, Fault, Group, fault, other};
use super::furnish::{self, until};
use super::script;
use crate::roll::{BROKERS, ENSEMBLE};
use crate::support::Stage;
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::Progress;
use std::path::Path;
use tokio::process::Command;

/// Two brokers and two servers that came back with something wrong.
pub(super) const RESTARTED: Group = Group {
    name: "services that came back with something wrong",
    faults: STARTS,
    also: &["logs.signatures@host:*", "fleet.file_drift@host:kafka*"],
    made: Act::Work(|stage| Box::pin(restarted(stage))),
    mended: Act::Work(|stage| Box::pin(mended(stage))),
};

const STARTS: &[Fault] = &[
    fault(
        "offsets that are forgotten within a day",
        "kafka3",
        &["cfg.offsets_retention@host:kafka3"],
        "keep /etc/kafka/server.properties; echo offsets.retention.minutes=1440 >> /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "a broker that leaves without a word",
        "kafka3",
        &["cfg.controlled_shutdown@host:kafka3"],
        "keep /etc/kafka/server.properties; \
         sed -i 's/^controlled.shutdown.enable=.*/controlled.shutdown.enable=false/' /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "followers that are given up too soon",
        "kafka3",
        &["cfg.replica_lag_time@host:kafka3"],
        "keep /etc/kafka/server.properties; echo replica.lag.time.max.ms=5000 >> /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "compaction that is off",
        "kafka3",
        &["cfg.cleaner_off@host:kafka3"],
        "keep /etc/kafka/server.properties; echo log.cleaner.enable=false >> /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "topics that anybody makes by a typing error",
        "kafka3",
        &["cfg.auto_create@host:kafka3"],
        "keep /etc/kafka/server.properties; \
         sed -i 's/^auto.create.topics.enable=.*/auto.create.topics.enable=true/' /etc/kafka/server.properties; \
         chown root:kafka /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "the heap of the shipped script",
        "kafka2",
        &["jvm.heap_size@host:kafka2/process:kafka"],
        "keep /etc/default/kafka; sed -i 's/-Xmx384m/-Xmx1g/' /etc/default/kafka",
        "back /etc/default/kafka",
    ),
    fault(
        "few open files",
        "kafka2",
        &["limits.nofile@host:kafka2/process:kafka"],
        "mkdir -p /run/systemd/system/kafka.service.d; \
         printf '[Service]\\nLimitNOFILE=4096\\n' > /run/systemd/system/kafka.service.d/seeded.conf; systemctl daemon-reload",
        "rm -f /run/systemd/system/kafka.service.d/seeded.conf; systemctl daemon-reload",
    ),
    // The agent greets the listener as a client that checks what it is shown.
    other(
        "a certificate that has expired",
        "kafka2",
        &["sec.cert_expiry@host:kafka2/endpoint:kafka2:9093"],
        Act::Work(|stage| Box::pin(expired(stage))),
        Act::Script("back /etc/kafka/server.properties; rm -f /etc/kafka/expired.pem"),
    )
    .also(&["broker.api@host:kafka2/endpoint:kafka2:9093"]),
    other(
        "leaders that are not where they should be",
        "kafka1",
        &["topic.preferred_leader@cluster:kafka"],
        Act::Nothing,
        Act::Nothing,
    ),
    fault(
        "a server that its service manager restarts",
        "zk2",
        &["os.service_restarts@host:zk2/unit:zookeeper.service"],
        "mkdir -p /run/systemd/system/zookeeper.service.d; \
         printf '[Service]\\nRestart=always\\nRestartSec=1\\n' > /run/systemd/system/zookeeper.service.d/seeded.conf; \
         systemctl daemon-reload; systemctl kill --kill-who=main --signal=KILL zookeeper; \
         restarted() { test \"$(systemctl show --property NRestarts --value zookeeper)\" -ge 1 && systemctl is-active zookeeper; }; \
         wait_until restarted",
        "rm -f /run/systemd/system/zookeeper.service.d/seeded.conf; systemctl daemon-reload",
    ),
    // The file systems of a container have no names that outlast a boot.
    other(
        "a host that was booted unexpectedly",
        "zk3",
        &["os.boot@host:zk3"],
        Act::Work(|stage| Box::pin(booted(stage, "zk3"))),
        Act::Nothing,
    )
    .also(&["disk.mount_lost@host:zk3/volume:*"]),
];

const BACK: &str = "back /etc/kafka/server.properties";

/// The brokers read their files anew, and nobody gives their partitions back to them.
async fn restarted(stage: &Stage) -> Result<()> {
    for broker in ["kafka3", "kafka2"] {
        stage.on(broker, &["systemctl", "restart", "kafka"]).await?;
        stage.lab.wait_whole(&Progress::terminal()).await?;
    }
    Ok(())
}

async fn mended(stage: &Stage) -> Result<()> {
    restarted(stage).await?;
    furnish::whole(stage).await
}

/// A listener with a certificate that was valid for ten days, a month ago.
async fn expired(stage: &Stage) -> Result<()> {
    let folder = stage.folder("expired")?;
    let made = "set -eu; umask 077; \
        faketime -f -30d openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -subj /CN=kafka2 \
        -addext subjectAltName=DNS:kafka2 -keyout kafka2.key -out kafka2.crt; cat kafka2.key kafka2.crt > kafka2.pem";
    command("sh", &["-c", made], &folder).await?;
    let there = stage.lab.host("kafka2")?.path("/etc/kafka/expired.pem")?;
    std::fs::copy(folder.join("kafka2.pem"), there)?;
    let script = r"file=/etc/kafka/server.properties
keep $file
chown root:kafka /etc/kafka/expired.pem; chmod 0640 /etc/kafka/expired.pem
sed -i 's,^listeners=.*,&\,SSL://0.0.0.0:9093,; s,^advertised.listeners=.*,&\,SSL://kafka2:9093,' $file
printf 'ssl.keystore.type=PEM\nssl.keystore.location=/etc/kafka/expired.pem\n' >> $file
chown root:kafka $file
";
    script::run(stage, "kafka2", script).await.map(|_said| ())
}

async fn command(program: &str, arguments: &[&str], folder: &Path) -> Result<()> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}

/// The power of a host goes and comes.
async fn booted(stage: &Stage, host: &str) -> Result<()> {
    stage.lab.wait_whole(&Progress::terminal()).await?;
    let power = stage.lab.host(host)?;
    power.kill().await?;
    power.start().await?;
    furnish::kernel(stage, host).await?;
    script::run(stage, host, "wait_until in_step\n").await?;
    stage.lab.wait_whole(&Progress::terminal()).await
}

/// A broker that was killed, its port taken by another, and a server that is away.
pub(super) const AWAY: Group = Group {
    name: "a broker and a server that are away",
    faults: DEAD,
    also: &[
        // What is away tells nothing.
        "*@host:kafka3*",
        "*@host:zk3*",
        // Every other host sees that.
        "net.mesh@host:*",
        "net.advertised@host:kafka*",
        "logs.signatures@host:*",
        // Two of three brokers can be stopped no more, and lead what the third did.
        "cap.restart_safe@cluster:kafka/broker:*",
        "topic.preferred_leader@cluster:kafka",
        // Of a partition that nobody leads nobody tells where it ends.
        "topic.offset_regress@cluster:kafka*",
        "group.*@cluster:kafka*",
    ],
    made: Act::Work(|stage| Box::pin(away(stage))),
    mended: Act::Work(|stage| Box::pin(furnish_whole(stage))),
};

const DEAD: &[Fault] = &[
    fault(
        "a partition whose only copy is away",
        "kafka1",
        &["topic.offline@cluster:kafka", "topic.rf_low@cluster:kafka/topic:lonely"],
        "topic --create --topic lonely --replica-assignment 3",
        "topic --delete --if-exists --topic lonely",
    ),
    fault(
        "a partition that refuses writes",
        "kafka1",
        &["topic.under_min_isr@cluster:kafka", "topic.rf_vs_min_isr@cluster:kafka/topic:demanding"],
        "topic --create --topic demanding --replica-assignment 1:2:3 --config min.insync.replicas=3",
        "topic --delete --if-exists --topic demanding",
    ),
    other(
        "a broker that was killed",
        "kafka3",
        &[
            "broker.process@host:kafka3/process:kafka",
            "os.systemd_failed@host:kafka3",
            "broker.count@cluster:kafka/broker:3",
            "topic.under_replicated@cluster:kafka",
            "topic.at_min_isr@cluster:kafka",
        ],
        Act::Script("systemctl kill --kill-who=main --signal=KILL kafka; wait_until systemctl is-failed kafka"),
        Act::Script("systemctl reset-failed kafka 2> /dev/null || true; systemctl start kafka"),
    ),
    fault(
        "a port that another program took",
        "kafka3",
        &["net.port_owner@host:kafka3/port:9092"],
        "systemctl reset-failed seeded-squatter 2> /dev/null || true; systemd-run --quiet --collect --unit seeded-squatter \
         systemd-socket-activate --accept --inetd --listen=0.0.0.0:9092 /bin/cat; wait_until systemctl is-active seeded-squatter",
        "systemctl stop seeded-squatter 2> /dev/null || true",
    ),
    other(
        "an ensemble that bears no further loss",
        "zk3",
        &["zk.serving@host:zk3", "zk.synced@cluster:zookeeper", "net.port_owner@host:zk3/port:2181"],
        Act::Script("systemctl stop zookeeper"),
        Act::Script("systemctl start zookeeper"),
    ),
];

/// The others have noticed: a broker is given up when its session ends, and two servers have a leader.
async fn away(stage: &Stage) -> Result<()> {
    alone(stage, 3).await?;
    led(stage).await
}

async fn led(stage: &Stage) -> Result<()> {
    until("the servers that are left have a leader", async || {
        let modes = stage.lab.ensemble().await;
        let leads = modes.values().any(|mode| mode.as_deref() == Some("leader"));
        Ok(leads && modes.values().flatten().count() == ENSEMBLE.len() - 1)
    })
    .await
}

/// A broker is out of the cluster and of every in-sync set.
async fn alone(stage: &Stage, id: u32) -> Result<()> {
    until(&format!("broker {id} is given up"), async || {
        let metadata = stage.lab.metadata().await?;
        let in_sync = |one: &kfleet_tests::lab::PartitionMetadata| one.isrs.iter().any(|broker| broker.id == id);
        // The only copy of a partition stays in its set though it is away.
        let shared = |one: &&kfleet_tests::lab::PartitionMetadata| one.replicas.len() > 1;
        let listed = metadata.brokers.iter().any(|broker| broker.id == id);
        let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(!listed && metadata.brokers.len() == BROKERS.len() - 1 && !partitions.filter(shared).any(in_sync))
    })
    .await
}

async fn furnish_whole(stage: &Stage) -> Result<()> {
    // The topics of the group are deleted already, so what is left can be whole.
    furnish::whole(stage).await.context("the clusters are not whole again")
}

/// A broker that is there and does nothing.
pub(super) const HUNG: Group = Group {
    name: "a broker that hangs",
    faults: STUCK,
    also: &[
        "*@host:kafka2*",
        "logs.signatures@host:*",
        "net.mesh@host:*",
        "net.advertised@host:kafka*",
        "topic.at_min_isr@cluster:kafka",
        "topic.preferred_leader@cluster:kafka",
        "cap.restart_safe@cluster:kafka/broker:*",
        // What the hung broker coordinates is asked of it until it is given up; and whether it has a throttle left is not known.
        "group.*@cluster:kafka*",
        "cfg.left_throttle@cluster:kafka",
    ],
    made: Act::Nothing,
    mended: Act::Work(|stage| Box::pin(furnish_whole(stage))),
};

const STUCK: &[Fault] = &[
    other(
        "a broker that does not answer",
        "kafka2",
        &[
            "broker.api@host:kafka2/endpoint:kafka2:9092",
            "broker.count@cluster:kafka/broker:2",
            "topic.under_replicated@cluster:kafka",
        ],
        Act::Work(|stage| Box::pin(hang(stage))),
        Act::Work(|stage| Box::pin(go_on(stage))),
    ),
    // The broker's queue holds fifty, and nobody takes one from it.
    fault(
        "connections that are turned away",
        "kafka2",
        &["net.listen_overflow@host:kafka2"],
        "for n in $(seq 150); do timeout 5 bash -c 'exec 3<> /dev/tcp/127.0.0.1/9092; sleep 5' 2> /dev/null & done; wait || true",
        "true",
    ),
];

async fn hang(stage: &Stage) -> Result<()> {
    stage.lab.host("kafka2")?.signal("STOP", "kafka").await?;
    alone(stage, 2).await
}

async fn go_on(stage: &Stage) -> Result<()> {
    stage.lab.host("kafka2")?.signal("CONT", "kafka").await
}

/// A log directory that fails under a broker, and two others that do not reach each other.
pub(super) const PARTED: Group = Group {
    name: "a disk that fails and hosts that are parted",
    faults: BROKEN,
    also: &[
        "logs.signatures@host:*",
        "net.mesh@host:kafka2/endpoint:*",
        "net.mesh@host:kafka3/endpoint:*",
        "net.retrans@host:kafka2",
        "net.retrans@host:kafka3",
        // Copies on the failed disk, and those between the two, fall behind; brokers hear of that one after another.
        "topic.*@cluster:kafka*",
        "broker.metadata_view@cluster:kafka",
        "cap.restart_safe@cluster:kafka/broker:*",
    ],
    made: Act::Nothing,
    mended: Act::Work(|stage| Box::pin(furnish_whole(stage))),
};

const BROKEN: &[Fault] = &[
    // The broker notices when it writes down how far it came, which it does every five seconds.
    fault(
        "a log directory that can not be written to",
        "kafka1",
        &["disk.logdir_offline@host:kafka1/volume:/var/lib/kafka/data2", "topic.under_replicated@cluster:kafka"],
        "offline() { test \"$(grep -c 'Stopping serving replicas in dir /var/lib/kafka/data2' /var/log/kafka/server.log)\" -gt $before; }; \
         before=$(grep -c 'Stopping serving replicas in dir /var/lib/kafka/data2' /var/log/kafka/server.log || true); \
         chmod 0000 /var/lib/kafka/data2; wait_until offline",
        "chmod 0755 /var/lib/kafka/data2; systemctl restart kafka",
    ),
    other(
        "two brokers that do not reach each other",
        "kafka2",
        &["net.advertised@host:kafka2/endpoint:kafka3:9092", "net.advertised@host:kafka3/endpoint:kafka2:9092"],
        Act::Work(|stage| Box::pin(async move { stage.lab.partition("kafka2", "kafka3").await })),
        Act::Work(|stage| Box::pin(async move { stage.lab.heal().await })),
    ),
];
