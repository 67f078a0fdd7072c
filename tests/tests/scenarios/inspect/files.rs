//! Faults of files: configuration that was edited by hand or hidden by a dynamic value, modes, what lies in data folders,
//! volumes that are others than yesterday. Every process goes on with what it has read at its start.

use super::fault::{Act, Fault, Group, fault, other};
use crate::support::{Stage, expect_code};
use anyhow::Result;

/// Files that somebody edited. A file that differs from its neighbours' is found as such whatever else it is found as.
pub(super) const EDITED: Group = Group {
    name: "files that were edited",
    faults: FAULTS,
    also: &["fleet.file_drift@host:kafka*", "cfg.not_applied@host:kafka*"],
    made: Act::Nothing,
    mended: Act::Nothing,
};

const BACK: &str = "back /etc/kafka/server.properties";

const FAULTS: &[Fault] = &[
    // First made and last mended: they are set by way of a file that is well.
    other(
        "a dynamic value that hides the file's and is less safe",
        "kafka2",
        &["cfg.shadowed@host:kafka2", "cfg.min_isr@host:kafka2"],
        Act::Work(|stage| Box::pin(dynamic(stage, "kafka2", r#"{"settings": {"min.insync.replicas": "1"}}"#))),
        Act::Work(|stage| Box::pin(dynamic(stage, "kafka2", r#"{"absent": ["min.insync.replicas"]}"#))),
    ),
    other(
        "unclean elections on one broker",
        "kafka3",
        &["cfg.unclean@host:kafka3"],
        Act::Work(|stage| Box::pin(dynamic(stage, "kafka3", r#"{"settings": {"unclean.leader.election.enable": "true"}}"#))),
        Act::Work(|stage| Box::pin(dynamic(stage, "kafka3", r#"{"absent": ["unclean.leader.election.enable"]}"#))),
    ),
    fault(
        "a security setting that one broker alone has",
        "kafka1",
        &["fleet.file_drift@host:kafka1"],
        "keep /etc/kafka/server.properties; echo ssl.client.auth=required >> /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "a file that drifted and waits for a restart",
        "kafka2",
        &["fleet.file_drift@host:kafka2", "cfg.not_applied@host:kafka2"],
        "keep /etc/kafka/server.properties; echo queued.max.requests=700 >> /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "a key that no broker knows",
        "kafka3",
        &["cfg.unknown_key@host:kafka3"],
        "keep /etc/kafka/server.properties; echo min.insync.replica=2 >> /etc/kafka/server.properties",
        BACK,
    ),
    fault(
        "values of the shipped sample",
        "kafka3",
        &["cfg.sample_values@host:kafka3"],
        "keep /etc/kafka/server.properties; \
         sed -i 's/^offsets.topic.replication.factor=.*/offsets.topic.replication.factor=1/' /etc/kafka/server.properties; \
         chown root:kafka /etc/kafka/server.properties",
        BACK,
    ),
    // The running broker has no such directory, so it can not tell how it stands.
    fault(
        "a log directory that a boot empties",
        "kafka1",
        &["cfg.log_dirs_tmp@host:kafka1"],
        "keep /etc/kafka/server.properties; mkdir -p /tmp/kafka-logs; \
         sed -i 's,^log.dirs=.*,&\\,/tmp/kafka-logs,' /etc/kafka/server.properties; chown root:kafka /etc/kafka/server.properties",
        "back /etc/kafka/server.properties; rmdir /tmp/kafka-logs 2> /dev/null || true",
    )
    .also(&["disk.*@host:kafka1/volume:/tmp/kafka-logs"]),
    fault(
        "a configuration that anybody reads",
        "kafka2",
        &["sec.file_modes@host:kafka2/file:/etc/kafka/server.properties"],
        "chmod 0644 /etc/kafka/server.properties",
        "chmod 0640 /etc/kafka/server.properties",
    ),
    fault(
        "a configuration that another group reads",
        "zk1",
        &["sec.file_modes@host:zk1/file:/etc/zookeeper/zoo.cfg"],
        "chgrp daemon /etc/zookeeper/zoo.cfg",
        "chgrp zookeeper /etc/zookeeper/zoo.cfg",
    ),
    fault(
        "snapshots that nobody clears",
        "zk2",
        &["zk.autopurge@host:zk2"],
        "keep /etc/zookeeper/zoo.cfg; sed -i 's/^autopurge.purgeInterval=.*/autopurge.purgeInterval=0/' /etc/zookeeper/zoo.cfg; \
         chown root:zookeeper /etc/zookeeper/zoo.cfg",
        "back /etc/zookeeper/zoo.cfg",
    ),
    // Their names are those of long ago, so a server that starts meanwhile takes its own.
    fault(
        "snapshots that piled up",
        "zk3",
        &["zk.autopurge@host:zk3"],
        "mkdir -p \"$base\"; for n in $(seq 10 69); do touch /var/lib/zookeeper/version-2/snapshot.0$n; done",
        "rm -f /var/lib/zookeeper/version-2/snapshot.0[1-6][0-9]",
    ),
    fault(
        "an appender that nothing bounds",
        "kafka2",
        &["logs.rotation@host:kafka2/process:kafka"],
        "keep /etc/kafka/log4j.properties; \
         sed -i 's/^\\(log4j.appender.state=\\).*/\\1org.apache.log4j.DailyRollingFileAppender/' /etc/kafka/log4j.properties",
        "back /etc/kafka/log4j.properties",
    ),
    fault(
        "a data folder of another broker",
        "kafka2",
        &["cfg.identity@host:kafka2"],
        "keep /var/lib/kafka/data/meta.properties; sed -i 's/^broker.id=.*/broker.id=9/' /var/lib/kafka/data/meta.properties",
        "back /var/lib/kafka/data/meta.properties",
    ),
    fault(
        "a data folder of another cluster",
        "kafka3",
        &["fleet.cluster_id@cluster:kafka"],
        "keep /var/lib/kafka/data/meta.properties; \
         sed -i 's/^cluster.id=.*/cluster.id=AAAAAAAAAAAAAAAAAAAAAA/' /var/lib/kafka/data/meta.properties",
        "back /var/lib/kafka/data/meta.properties",
    ),
    fault(
        "a replica that was forgotten",
        "kafka1",
        &["disk.stray@host:kafka1/volume:/var/lib/kafka/data"],
        "folder=/var/lib/kafka/data/ghost-0.0123456789abcdef0123456789abcdef-stray; mkdir -p $folder; \
         head -c 100000 /dev/zero > $folder/00000000000000000000.log",
        "rm -rf /var/lib/kafka/data/ghost-0.0123456789abcdef0123456789abcdef-stray",
    ),
    fault(
        "a mount that is missing",
        "kafka1",
        &["disk.mount_lost@host:kafka1/volume:/var/lib/kafka/metadata"],
        "umount /var/lib/kafka/metadata",
        MOUNTED,
    ),
    fault(
        "a file system that is no place for data",
        "kafka2",
        &[
            "disk.fs_type@host:kafka2/volume:/var/lib/kafka/metadata",
            "disk.mount_lost@host:kafka2/volume:/var/lib/kafka/metadata",
        ],
        "umount /var/lib/kafka/metadata; mount -t ramfs seeded /var/lib/kafka/metadata",
        "if grep -q ' /var/lib/kafka/metadata .* ramfs ' /proc/self/mountinfo; then umount /var/lib/kafka/metadata; fi; \
         grep -q ' /var/lib/kafka/metadata ' /proc/self/mountinfo || \
         mount -t tmpfs -o size=32m,nr_inodes=1000,mode=0755 spare /var/lib/kafka/metadata; chown kafka:kafka /var/lib/kafka/metadata",
    ),
];

/// The volume as it was.
const MOUNTED: &str = "grep -q ' /var/lib/kafka/metadata ' /proc/self/mountinfo || \
    mount -t tmpfs -o size=32m,nr_inodes=1000,mode=0755 spare /var/lib/kafka/metadata; chown kafka:kafka /var/lib/kafka/metadata";

/// Has a broker take a value as it runs.
async fn dynamic(stage: &Stage, host: &str, parameters: &str) -> Result<()> {
    expect_code(&stage.kfleet(&["exec", host, "-m", "kafka_dynamic_config", "-a", parameters]).await?, 0)
}
