//! The readings that the built checks judge: the contract between collectors and catalogue.
//!
//! A collector writes exactly these keys with these kinds of values, and `NotHere` or `Unreadable` in place of a value;
//! a key that is missing for a host or cluster which a check applies to makes that check unknown. Numbers are in the
//! unit of the table. Adding a key: one line here; a test fails when a check names a key that is not here, or a key here
//! is read by no check.

use crate::object::PartKind;
use crate::reading::DatumKind;
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Whose reading it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A host's.
    Host,
    /// A cluster's.
    Cluster,
    /// The fleet's; no reading is, checks that compare hosts are.
    Fleet,
}

/// One key of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key, stable for ever: trends refer to it.
    pub key: &'static str,
    /// Whose it is.
    pub scope: Scope,
    /// The kind of part that each reading of it is about; none when it is about the whole host or cluster.
    pub part: Option<PartKind>,
    /// The kind of its value.
    pub kind: DatumKind,
    /// The unit of its numbers.
    pub unit: Unit,
    /// Where it comes from, and what it holds.
    pub from: &'static str,
}

const fn key(
    key: &'static str,
    scope: Scope,
    part: Option<PartKind>,
    kind: DatumKind,
    unit: Unit,
    from: &'static str,
) -> Key {
    Key { key, scope, part, kind, unit, from }
}

/// The definition of a key.
#[must_use]
pub fn find(key: &str) -> Option<&'static Key> {
    KEYS.iter().find(|known| known.key == key)
}

use DatumKind as D;
use PartKind::{Backup, Device, Endpoint, File, Group, Interface, Name, Port, Process, Signature, Topic, Volume};
use Scope::{Cluster, Host};
use Unit as U;

/// Every key.
pub static KEYS: &[Key] = &[
    // Host: operating system.
    key(
        "os.thp.enabled",
        Host,
        None,
        D::Text,
        U::Count,
        "bracketed word of /sys/kernel/mm/transparent_hugepage/enabled",
    ),
    key(
        "os.cpu.busy",
        Host,
        None,
        D::Samples,
        U::Percent,
        "/proc/stat line cpu over each sample: 1 - d(idle+iowait)/d(total); at least 3 samples, 10 s apart",
    ),
    key("os.load.per_core", Host, None, D::Float, U::Count, "/proc/loadavg field 2 (5 min) / online processors"),
    key("os.mem.available", Host, None, D::Float, U::Percent, "/proc/meminfo MemAvailable / MemTotal"),
    key("os.oom_kills", Host, None, D::Counter, U::Count, "/proc/vmstat oom_kill; epoch: boot id, since: boot time"),
    key(
        "os.oom_victims",
        Host,
        None,
        D::List,
        U::Count,
        "names of the programs killed since the last inspection, from the kernel log (signature KRN-OOM)",
    ),
    key("os.boot_id", Host, None, D::Text, U::Count, "/proc/sys/kernel/random/boot_id"),
    key(
        "os.units.failed",
        Host,
        None,
        D::List,
        U::Count,
        "units in state failed, with their suffix; under supervisord its programs in FATAL",
    ),
    key(
        "unit.restarts",
        Host,
        Some(PartKind::Unit),
        D::Counter,
        U::Count,
        "NRestarts of each managed unit; epoch: the boot id (systemd counts from the last start of the unit by hand)",
    ),
    key(
        "net.name.addresses",
        Host,
        Some(Name),
        D::List,
        U::Count,
        "addresses that the host's resolver gives for each name in advertised.listeners, controller.quorum.voters and .bootstrap.servers, zookeeper.connect, server.N; sorted; an empty list when it answers that there is none",
    ),
    key("net.name.time", Host, Some(Name), D::Float, U::Milliseconds, "how long that answer took"),
    // Host: kernel parameters.
    key(
        "sysctl.running",
        Host,
        None,
        D::Texts,
        U::Count,
        "values under /proc/sys of every parameter that kfleet looks at and every one that the files set; dotted name to value, blanks made single",
    ),
    key(
        "sysctl.configured",
        Host,
        None,
        D::Texts,
        U::Count,
        "/etc/sysctl.conf and sysctl.d of /etc, /run, /usr/lib, in the order of systemd-sysctl; the value that wins",
    ),
    key(
        "net.ports.used",
        Host,
        None,
        D::List,
        U::Count,
        "ports of all listeners, quorum and JMX ports of the services configured on this host",
    ),
    // Host: processes of Kafka and ZooKeeper; the part is process:kafka or process:zookeeper.
    key(
        "process.state",
        Host,
        Some(Process),
        D::Text,
        U::Count,
        "unit (runs in its unit), outside (runs, main class found, not in the unit's control group), absent",
    ),
    key("process.swap", Host, Some(Process), D::Int, U::Bytes, "/proc/<pid>/status VmSwap"),
    key("process.maps", Host, Some(Process), D::Int, U::Count, "lines of /proc/<pid>/maps"),
    key("process.fds", Host, Some(Process), D::Int, U::Count, "entries of /proc/<pid>/fd"),
    key(
        "process.nofile",
        Host,
        Some(Process),
        D::Int,
        U::Count,
        "soft limit of the row Max open files of /proc/<pid>/limits",
    ),
    key(
        "process.nofile.unit",
        Host,
        Some(Process),
        D::Int,
        U::Count,
        "LimitNOFILESoft of its unit; minfds of supervisord",
    ),
    key(
        "jvm.version",
        Host,
        Some(Process),
        D::Text,
        U::Count,
        "java.property.java.version of hsperfdata, else the file release of the Java home",
    ),
    key(
        "jvm.heap_max",
        Host,
        Some(Process),
        D::Int,
        U::Bytes,
        "last -Xmx of sun.rt.javaCommand's arguments or of /proc/<pid>/cmdline; 0 when there is none",
    ),
    key(
        "jvm.gc_time",
        Host,
        Some(Process),
        D::Counter,
        U::Milliseconds,
        "sum of sun.gc.collector.N.time (N = 0, 1) / sun.os.hrt.frequency; epoch: pid and start time, since: process start",
    ),
    key(
        "jvm.gc_pause_max",
        Host,
        Some(Process),
        D::Float,
        U::Milliseconds,
        "longest pause in the GC log since the last inspection; not here without a GC log",
    ),
    key(
        "jvm.full_gcs",
        Host,
        Some(Process),
        D::Counter,
        U::Count,
        "sun.gc.collector.1.invocations where sun.gc.collector.1.name says full collections; epoch: pid and start time",
    ),
    key(
        "jvm.full_gcs_in_hour",
        Host,
        Some(Process),
        D::Int,
        U::Count,
        "most full collections within one hour since the last inspection, from the GC log",
    ),
    key(
        "jvm.crash_files",
        Host,
        Some(Process),
        D::List,
        U::Count,
        "paths with time stamp of hs_err_pid*.log and java_pid*.hprof in the working directory, at ErrorFile and HeapDumpPath",
    ),
    // Host: disks; the part is volume:<path> for each of log.dirs, metadata.log.dir, dataDir, dataLogDir, kafka.logs.dir.
    key(
        "disk.used",
        Host,
        Some(Volume),
        D::Float,
        U::Percent,
        "statvfs: 1 - f_bavail / f_blocks less what is reserved, as df reckons",
    ),
    key("disk.used_bytes", Host, Some(Volume), D::Int, U::Bytes, "statvfs: (f_blocks - f_bfree) x f_frsize"),
    key(
        "disk.total_bytes",
        Host,
        Some(Volume),
        D::Int,
        U::Bytes,
        "statvfs: (f_blocks - f_bfree + f_bavail) x f_frsize",
    ),
    key(
        "disk.inodes_free",
        Host,
        Some(Volume),
        D::Float,
        U::Percent,
        "statvfs f_favail / f_files; not here on file systems without a fixed number",
    ),
    key("disk.readonly", Host, Some(Volume), D::Flag, U::Count, "option ro of its mount in /proc/self/mounts"),
    key(
        "disk.filesystem",
        Host,
        Some(Volume),
        D::Text,
        U::Count,
        "UUID of the file system, or device number of the mount, and whether it is the root's: the text changes when another file system lies there",
    ),
    key("disk.fs_type", Host, Some(Volume), D::Text, U::Count, "third field of its line in /proc/self/mounts"),
    key("disk.options", Host, Some(Volume), D::List, U::Count, "options of its mount"),
    key(
        "disk.write_time",
        Host,
        Some(Device),
        D::Float,
        U::Milliseconds,
        "/proc/diskstats d(field 11) / d(field 8) over the sample, for the devices under the volumes; not here when nothing was written",
    ),
    key("disk.rotational", Host, Some(Device), D::Flag, U::Count, "/sys/block/<dev>/queue/rotational"),
    // Host: network; the part is interface:<name>.
    key(
        "net.state",
        Host,
        Some(Interface),
        D::Text,
        U::Count,
        "/sys/class/net/<if>/operstate, for physical interfaces and bonds that hold an address",
    ),
    key(
        "net.speed",
        Host,
        Some(Interface),
        D::Int,
        U::MegabitsPerSecond,
        "/sys/class/net/<if>/speed; not here on virtual links, which say -1",
    ),
    key("net.duplex", Host, Some(Interface), D::Text, U::Count, "/sys/class/net/<if>/duplex"),
    key("net.errors", Host, Some(Interface), D::Counter, U::Count, "rx_errors + tx_errors; epoch: boot id"),
    key("net.packets", Host, Some(Interface), D::Counter, U::Count, "rx_packets + tx_packets; epoch: boot id"),
    key("net.tcp.retransmitted", Host, None, D::Counter, U::Count, "/proc/net/snmp Tcp RetransSegs; epoch: boot id"),
    key("net.tcp.sent", Host, None, D::Counter, U::Count, "/proc/net/snmp Tcp OutSegs; epoch: boot id"),
    key(
        "net.listen.overflows",
        Host,
        None,
        D::Counter,
        U::Count,
        "/proc/net/netstat TcpExt ListenOverflows + ListenDrops; epoch: boot id",
    ),
    key("net.listen.overflow_rate", Host, None, D::Float, U::PerSecond, "growth of the same over the sample"),
    key(
        "net.port.owner",
        Host,
        Some(Port),
        D::Text,
        U::Count,
        "who listens on a configured port: own (a process of the service), nobody, or the other's name and pid",
    ),
    key(
        "net.connect.state",
        Host,
        Some(Endpoint),
        D::Text,
        U::Count,
        "TCP connect to every listener, controller, ZooKeeper client and quorum port of the fleet: open, refused, timeout, unreachable, unresolved",
    ),
    key(
        "net.connect.time",
        Host,
        Some(Endpoint),
        D::Float,
        U::Milliseconds,
        "how long it took; only for those that are open",
    ),
    key(
        "net.advertised.state",
        Host,
        Some(Endpoint),
        D::Text,
        U::Count,
        "the same for each address that the cluster's metadata hands to clients",
    ),
    key(
        "net.advertised.addresses",
        Host,
        Some(Endpoint),
        D::List,
        U::Count,
        "what the host of that address resolves to; sorted",
    ),
    // Host: clock.
    key(
        "clock.synchronised",
        Host,
        None,
        D::Flag,
        U::Count,
        "the daemon says that it follows a source: chronyc tracking, ntpq rv, timedatectl",
    ),
    key(
        "clock.max_error",
        Host,
        None,
        D::Float,
        U::Milliseconds,
        "root delay / 2 + root dispersion, as the daemon tells them",
    ),
    key(
        "clock.offset",
        Host,
        None,
        D::Float,
        U::Milliseconds,
        "chronyc -c tracking column 5, else ntpq -c rv, else timedatectl; signed",
    ),
    key(
        "clock.skew",
        Host,
        None,
        D::Float,
        U::Milliseconds,
        "put beside the host's readings by the controller: its offset from the fleet's median time, less the bound of error, never below 0; unreadable when the round trips were too slow to tell",
    ),
    key(
        "clock.daemons",
        Host,
        None,
        D::List,
        U::Count,
        "active units among chronyd, chrony, ntpd, ntpsec, systemd-timesyncd, ptp4l with phc2sys, and time sync of the hypervisor's tools",
    ),
    // Host: configuration and state of a broker.
    key(
        "kafka.version",
        Host,
        None,
        D::Text,
        U::Count,
        "version of the kafka_2.1x jar in the libs of the running process",
    ),
    key("kafka.file", Host, None, D::Texts, U::Count, "server.properties; values of secrets as sha256:<hex>"),
    key(
        "kafka.effective",
        Host,
        None,
        D::Texts,
        U::Count,
        "DescribeConfigs(32) of the own broker: key to value; keys with secret values are left out",
    ),
    key(
        "kafka.effective_sources",
        Host,
        None,
        D::Texts,
        U::Count,
        "the same answer: key to topic, broker, cluster, static or default",
    ),
    key("kafka.node_id", Host, None, D::Int, U::Count, "node.id or broker.id of the file"),
    key(
        "kafka.log_dirs",
        Host,
        None,
        D::List,
        U::Count,
        "log.dirs or log.dir of the file; /tmp/kafka-logs when neither is set",
    ),
    key("kafka.segments", Host, None, D::Int, U::Count, "*.log files in all log directories"),
    key(
        "kafka.session_timeout",
        Host,
        None,
        D::Int,
        U::Milliseconds,
        "effective zookeeper.session.timeout.ms or broker.session.timeout.ms, as the mode is",
    ),
    key("kafka.listen_backlog", Host, None, D::Int, U::Count, "effective socket.listen.backlog.size; 50 when not set"),
    key(
        "kafka.api.state",
        Host,
        Some(Endpoint),
        D::Text,
        U::Count,
        "TCP connect and ApiVersions(18) on each own listener: ok, or what failed",
    ),
    key("kafka.api.time", Host, Some(Endpoint), D::Float, U::Milliseconds, "round trip of that request"),
    key(
        "kafka.canary.failures",
        Host,
        None,
        D::Int,
        U::Count,
        "of 20 records produced to and read from a partition that this broker leads, how many failed",
    ),
    key(
        "kafka.canary.p95",
        Host,
        None,
        D::Float,
        U::Milliseconds,
        "95th percentile of the time from send to read of the same",
    ),
    key(
        "logdir.node_id",
        Host,
        Some(Volume),
        D::Int,
        U::Count,
        "node.id or broker.id of meta.properties in that log directory; not here before the first start",
    ),
    key("logdir.cluster_id", Host, Some(Volume), D::Text, U::Count, "cluster.id of the same"),
    key("logdir.error", Host, Some(Volume), D::Int, U::Count, "ErrorCode of that directory in DescribeLogDirs(35)"),
    key(
        "logdir.stray_bytes",
        Host,
        Some(Volume),
        D::Int,
        U::Bytes,
        "bytes under directories ending in -stray, or in .<32 hex>-delete and older than 1 h",
    ),
    // Host: ZooKeeper server.
    key("zk.state", Host, None, D::Text, U::Count, "4lw srvr on the client port: serving, not_serving, no_answer"),
    key("zk.answer_time", Host, None, D::Float, U::Milliseconds, "how long the answer took"),
    key(
        "zk.purge",
        Host,
        None,
        D::Text,
        U::Count,
        "autopurge (purgeInterval > 0), cron (a job that runs zkCleanup or PurgeTxnLog), none",
    ),
    key("zk.snapshot_files", Host, None, D::Int, U::Count, "snapshot.* files in version-2 of dataDir"),
    // Host: security and logs.
    key(
        "tls.not_after",
        Host,
        Some(Endpoint),
        D::Time,
        U::Count,
        "notAfter of the leaf that a handshake on each TLS listener of this host gives",
    ),
    key(
        "file.access",
        Host,
        Some(File),
        D::Texts,
        U::Count,
        "of server.properties, JAAS, key and trust stores, keytabs, zoo.cfg: mode (4 octal digits), owner, group, service_group",
    ),
    key(
        "log.sources",
        Host,
        None,
        D::Texts,
        U::Count,
        "each log that signatures are looked for in (kernel, kafka, zookeeper, jvm, journal): read, or why it could not be",
    ),
    key(
        "log.hits",
        Host,
        Some(Signature),
        D::Int,
        U::Count,
        "lines that match a log signature since the last bookmark, only for signatures that were seen; the first as evidence",
    ),
    key(
        "log.severity",
        Host,
        Some(Signature),
        D::Text,
        U::Count,
        "severity that the signature has for that count: info, warn, crit",
    ),
    key(
        "log.volatile",
        Host,
        Some(Signature),
        D::Flag,
        U::Count,
        "the signature is the normal sound of a restart (marked with a dagger in its table)",
    ),
    key(
        "log.unbounded",
        Host,
        Some(Process),
        D::List,
        U::Count,
        "appenders of log4j.properties or log4j2.yaml that nothing bounds, such as DailyRollingFileAppender",
    ),
    key("log.bytes", Host, Some(Process), D::Int, U::Bytes, "bytes in the log directory"),
    key("log.share", Host, Some(Process), D::Float, U::Percent, "the same as a share of its volume"),
    // Cluster.
    key("topic.id", Cluster, Some(Topic), D::Text, U::Count, "TopicId of Metadata(3) v10 and later"),
    key(
        "topic.config",
        Cluster,
        Some(Topic),
        D::Texts,
        U::Count,
        "DescribeConfigs(32) of the topic, entries with ConfigSource 1 only",
    ),
    key(
        "topic.end_offsets",
        Cluster,
        Some(Topic),
        D::Numbers,
        U::Count,
        "ListOffsets(2) timestamp -1 of every partition",
    ),
    key(
        "topic.start_offsets",
        Cluster,
        Some(Topic),
        D::Numbers,
        U::Count,
        "ListOffsets(2) timestamp -2 of every partition",
    ),
    key(
        "group.state",
        Cluster,
        Some(Group),
        D::Text,
        U::Count,
        "GroupState of DescribeGroups(15) or ConsumerGroupDescribe(69)",
    ),
    key(
        "group.offsets",
        Cluster,
        Some(Group),
        D::Offsets,
        U::Count,
        "OffsetFetch(9), then ListOffsets(2), at least 10 times over the sample; partition (orders-3) to its samples in order",
    ),
    key(
        "dr.backups",
        Cluster,
        Some(Backup),
        D::Int,
        U::Count,
        "finished backups of this kind that are known: config, metadata, acls, topics, keys",
    ),
    key(
        "dr.backup_at",
        Cluster,
        Some(Backup),
        D::Time,
        U::Count,
        "when the newest of them ended; not here when there is none",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once() {
        let mut keys: Vec<&str> = KEYS.iter().map(|key| key.key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
