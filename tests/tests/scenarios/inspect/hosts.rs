//! Faults of hosts: the kernel, volumes, units, clocks, names, logs. No service is stopped by them.

use super::fault::{Act, Fault, Group, fault, other};
use crate::clock;
use crate::support::Stage;

/// What happens to hosts that nobody tends.
pub(super) const UNTENDED: Group =
    Group { name: "hosts that nobody tends", faults: FAULTS, also: &[], made: Act::Nothing, mended: Act::Nothing };

const FAULTS: &[Fault] = &[
    // The kernel.
    fault(
        "transparent huge pages always",
        "kafka1",
        &["os.thp@host:kafka1"],
        "value thp '[always] madvise never'",
        "value thp 'always [madvise] never'",
    ),
    fault(
        "swappiness as the kernel has it",
        "kafka1",
        &["sysctl.swappiness@host:kafka1"],
        "value swappiness 60",
        "value swappiness 1",
    ),
    fault(
        "few memory maps",
        "kafka1",
        &["sysctl.max_map_count@host:kafka1"],
        "value max_map_count 100",
        "value max_map_count 262144",
    ),
    fault(
        "dirty pages that pile up",
        "kafka2",
        &["sysctl.dirty_background@host:kafka2"],
        "value dirty_background 20",
        "value dirty_background 5",
    ),
    fault(
        "memory that is not overcommitted",
        "kafka3",
        &["sysctl.overcommit@host:kafka3"],
        "value overcommit 2",
        "value overcommit 0",
    ),
    fault(
        "memory zones that are reclaimed",
        "zk1",
        &["sysctl.zone_reclaim@host:zk1"],
        "value zone_reclaim 1",
        "value zone_reclaim 0",
    ),
    fault(
        "a queue of connections shorter than the broker's",
        "kafka2",
        &["sysctl.somaxconn@host:kafka2"],
        "echo 40 > /proc/sys/net/core/somaxconn",
        "echo 4096 > /proc/sys/net/core/somaxconn",
    ),
    fault(
        "a short queue of half-open connections",
        "kafka3",
        &["sysctl.syn_backlog@host:kafka3"],
        "echo 128 > /proc/sys/net/ipv4/tcp_max_syn_backlog",
        "echo 4096 > /proc/sys/net/ipv4/tcp_max_syn_backlog",
    ),
    fault(
        "no window scaling",
        "zk2",
        &["sysctl.window_scaling@host:zk2"],
        "echo 0 > /proc/sys/net/ipv4/tcp_window_scaling",
        "echo 1 > /proc/sys/net/ipv4/tcp_window_scaling",
    ),
    fault(
        "outgoing connections on a service's ports",
        "zk3",
        &["sysctl.port_range@host:zk3"],
        "cat /proc/sys/net/ipv4/ip_local_port_range > \"$base/range\"; echo 2000 65000 > /proc/sys/net/ipv4/ip_local_port_range",
        "if [ -e \"$base/range\" ]; then cat \"$base/range\" > /proc/sys/net/ipv4/ip_local_port_range; fi",
    ),
    fault(
        "a kernel value that is set for the next boot only",
        "zk1",
        &["sysctl.persisted@host:zk1"],
        "echo net.core.somaxconn=8192 > /etc/sysctl.d/60-seeded.conf",
        "rm -f /etc/sysctl.d/60-seeded.conf",
    ),
    fault(
        "a load of 25 for each processor and more",
        "zk2",
        &["os.cpu_load@host:zk2"],
        "value loadavg \"900.00 $((25 * $(nproc --all))).00 100.00 9/200 1000\"",
        "value loadavg '0.20 0.20 0.20 1/200 1000'",
    ),
    fault(
        "no memory left",
        "zk3",
        &["os.mem_available@host:zk3"],
        "sed 's/^MemAvailable:.*/MemAvailable:    100000 kB/' \"$base/meminfo\" > \"$base/new\"; cat \"$base/new\" > \"$base/meminfo\"",
        "sed 's/^MemAvailable:.*/MemAvailable:   8388608 kB/' \"$base/meminfo\" > \"$base/new\"; cat \"$base/new\" > \"$base/meminfo\"",
    ),
    // A counter does not go back: there is nothing to mend.
    other(
        "a program that was killed for want of memory",
        "zk1",
        &["os.oom_kill@host:zk1"],
        Act::Script(
            "sed 's/^oom_kill .*/oom_kill 1/' \"$base/vmstat\" > \"$base/new\"; cat \"$base/new\" > \"$base/vmstat\"",
        ),
        Act::Nothing,
    ),
    // Volumes.
    fault(
        "a full disk",
        "kafka1",
        &["disk.space@host:kafka1/volume:/var/lib/kafka/metadata"],
        "dd if=/dev/zero of=/var/lib/kafka/metadata/fill bs=64k 2> /dev/null || true; \
         df --output=pcent /var/lib/kafka/metadata | grep -q 100%",
        "rm -f /var/lib/kafka/metadata/fill",
    ),
    fault(
        "no inodes left",
        "kafka2",
        &["disk.inodes@host:kafka2/volume:/var/lib/kafka/metadata"],
        "n=0; while touch /var/lib/kafka/metadata/spare-$n 2> /dev/null; do n=$((n + 1)); done; test $n -gt 900",
        "find /var/lib/kafka/metadata -name 'spare-*' -delete",
    ),
    fault(
        "times of reading that are written down",
        "kafka2",
        &["disk.atime@host:kafka2/volume:/var/lib/kafka/metadata"],
        "mount -o remount,strictatime /var/lib/kafka/metadata",
        "mount -o remount,relatime /var/lib/kafka/metadata",
    ),
    fault(
        "a volume that went read-only",
        "kafka3",
        &["disk.readonly@host:kafka3/volume:/var/lib/kafka/metadata"],
        "mount -o remount,ro /var/lib/kafka/metadata",
        "mount -o remount,rw /var/lib/kafka/metadata",
    ),
    // Units.
    fault(
        "a unit that failed",
        "zk3",
        &["os.systemd_failed@host:zk3"],
        "printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' > /run/systemd/system/nightly-report.service; \
         systemctl daemon-reload; systemctl start nightly-report 2> /dev/null || true; \
         wait_until systemctl is-failed nightly-report",
        "rm -f /run/systemd/system/nightly-report.service; systemctl reset-failed nightly-report 2> /dev/null || true; \
         systemctl daemon-reload",
    ),
    fault(
        "a crash loop",
        "kafka3",
        &["os.systemd_failed@host:kafka3"],
        "printf '[Service]\\nExecStart=/bin/false\\nRestart=always\\nRestartSec=0\\n' > /run/systemd/system/kafka-exporter.service; \
         systemctl daemon-reload; systemctl start kafka-exporter 2> /dev/null || true; \
         wait_until systemctl is-failed kafka-exporter",
        "systemctl stop kafka-exporter 2> /dev/null || true; rm -f /run/systemd/system/kafka-exporter.service; \
         systemctl reset-failed kafka-exporter 2> /dev/null || true; systemctl daemon-reload",
    ),
    fault(
        "a limit of a unit that its process does not have",
        "kafka2",
        &["limits.unit_drift@host:kafka2/process:kafka"],
        "mkdir -p /run/systemd/system/kafka.service.d; \
         printf '[Service]\\nLimitNOFILE=8192\\n' > /run/systemd/system/kafka.service.d/seeded.conf; systemctl daemon-reload",
        "rm -f /run/systemd/system/kafka.service.d/seeded.conf; systemctl daemon-reload",
    ),
    // Clocks.
    // Nobody tells of the clock any more, so what else there is to know of it is unknown.
    fault(
        "a time service that is stopped",
        "kafka3",
        &["clock.daemon@host:kafka3"],
        "systemctl stop chrony",
        "systemctl start chrony; wait_until in_step",
    )
    .also(&["clock.synced@host:kafka3", "clock.offset@host:kafka3"]),
    // A clock that follows nobody is nobody knows how far off.
    fault(
        "a clock that follows nobody",
        "zk2",
        &["clock.synced@host:zk2"],
        "keep /etc/chrony/chrony.conf; sed -i '/^server /d' /etc/chrony/chrony.conf; systemctl restart chrony",
        "back /etc/chrony/chrony.conf; systemctl restart chrony; wait_until in_step",
    )
    .also(&["clock.offset@host:zk2"]),
    other(
        "a clock that is 90 s ahead",
        "zk3",
        &["clock.fleet_skew@host:zk3"],
        Act::Work(|stage| Box::pin(clock::shift(stage, "zk3"))),
        Act::Work(|stage| Box::pin(unshift(stage))),
    ),
    // Names.
    // Logs, and what a JVM leaves.
    fault(
        "a broker without file descriptors, in its log",
        "kafka1",
        &["logs.signatures@host:kafka1/signature:K-TOO-MANY-FILES"],
        "echo \"[$(now)] ERROR java.nio.file.FileSystemException: /var/lib/kafka/data/orders-3/00000000000000018243.log: \
         Too many open files (kafka.server.ReplicaFetcherThread)\" >> /var/log/kafka/server.log",
        "true",
    ),
    fault(
        "clients that fail to log in",
        "kafka2",
        &["logs.signatures@host:kafka2/signature:K-AUTH-FAIL"],
        "echo \"[$(now)] INFO [SocketServer listenerType=ZK_BROKER, nodeId=2] Failed authentication with /198.51.100.7 \
         (channelId=192.0.2.11:9093-198.51.100.7:51234-17) (SSL handshake failed) (org.apache.kafka.common.network.Selector)\" \
         >> /var/log/kafka/server.log",
        "true",
    ),
    fault(
        "a controller that fails at an event",
        "kafka3",
        &["logs.signatures@host:kafka3/signature:KC-QUEUE-ERR"],
        "echo \"[$(now)] ERROR [ControllerEventThread controllerId=3] Uncaught error processing event BrokerChange \
         (kafka.controller.ControllerEventManager\\$ControllerEventThread)\" >> /var/log/kafka/controller.log",
        "true",
    ),
    fault(
        "a slow transaction log",
        "zk2",
        &["logs.signatures@host:zk2/signature:Z-FSYNC"],
        "echo \"$(now) [myid:2] - WARN  [SyncThread:2:FileTxnLog@403] - fsync-ing the write ahead log in SyncThread:2 took \
         1843ms which will adversely effect operation latency. File size is 67108880 bytes. See the ZooKeeper troubleshooting guide\" \
         >> /var/log/zookeeper/zookeeper.log",
        "true",
    ),
    fault(
        "a server whose data differ from the leader's",
        "zk1",
        &["logs.signatures@host:zk1/signature:Z-DIGEST"],
        "echo \"$(now) [myid:1] - ERROR [FollowerRequestProcessor:1:DataTree@1823] - First digest mismatch on txn: \
         72057677425606656,7,73014444034,1767323045678,1, Path: /brokers/ids/1. Expected digest is 1371985504, actual digest \
         is 1371985511\" >> /var/log/zookeeper/zookeeper.log",
        "true",
    ),
    // The same lines are signatures of the log that they stand in.
    fault(
        "full collections back to back",
        "kafka2",
        &["jvm.full_gc@host:kafka2/process:kafka", "jvm.gc_pause@host:kafka2/process:kafka"],
        "for n in 1 2 3; do echo \"[$(date -u '+%Y-%m-%dT%H:%M:%S.000+0000')][gc] GC(900$n) Pause Full (G1 Compaction Pause) \
         380M->370M(384M) 2500.000ms\" >> /var/log/kafka/kafkaServer-gc.log; done",
        "true",
    )
    .also(&["logs.signatures@host:kafka2/signature:G-*", "jvm.gc_share@host:kafka2/process:kafka"]),
    fault(
        "a JVM that crashed",
        "kafka1",
        &["jvm.crash_files@host:kafka1/process:kafka"],
        "touch /var/lib/kafka/hs_err_pid4711.log",
        "rm -f /var/lib/kafka/hs_err_pid4711.log",
    ),
];

/// Only where it was shifted: without the drop-in there is nothing to take back.
async fn unshift(stage: &Stage) -> anyhow::Result<()> {
    if stage.lab.host("zk3")?.path(clock::DROP_IN)?.exists() { clock::unshift(stage, "zk3").await } else { Ok(()) }
}
