//! The rules: what each profile wants of a host, why, and who says so.
//!
//! Sources by short names: "Kafka" is Apache Kafka's documentation, chapter Operations, "Hardware and OS"; "ZooKeeper" the
//! ZooKeeper Administrator's Guide; "Confluent" Confluent Platform's "Running Kafka in Production"; "Charmed Kafka"
//! Canonical's performance tuning page; "CDP" Cloudera's "Kafka system-level broker tuning" and reference architecture;
//! "TuneD" the profile throughput-performance of TuneD; "rpk" the tuners of Redpanda's rpk; "kernel" the kernel's own
//! documentation. "Chosen" stands beside every number that no source has.
//!
//! A rule may ask for more than the inspection alarms at, never for less: what satisfies a rule raises no finding.

use crate::Profile;
use serde::{Deserialize, Serialize};

/// What a change needs before the service has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Nothing: it holds at once.
    Nothing,
    /// The service has to be restarted, which is a rolling operation's work.
    ServiceRestart,
}

/// A wanted value before it is known on which host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Exactly this.
    Exactly(&'static str),
    /// One of these, the first that can be.
    OneOf(&'static [&'static str]),
    /// Not below.
    AtLeast(u64),
    /// Not above the first; the second is set.
    AtMost(u64, u64),
    /// The last of three numbers, not below.
    LastAtLeast(u64),
    /// A range not narrower.
    Covers(u16, u16),
    /// The listeners' ports that lie in the ephemeral range.
    Ports,
    /// Memory maps for the log segments, not below this.
    Maps(u64),
    /// Open files for the log segments, not below this.
    Files(u64),
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A kernel parameter by its dotted name.
    Sysctl(&'static str),
    /// A file below `/sys`.
    Sys(&'static str),
    /// A resource limit of the service: the unit's key, and the row of `/proc/PID/limits`.
    Limit(&'static str, &'static str),
    /// `TimeoutStopSec` of the service's unit.
    StopTimeout,
    /// The scheduler of each disk; one rule for those that turn and one for those that do not.
    Scheduler {
        /// It is for disks that turn.
        rotational: bool,
    },
    /// The read-ahead of each volume.
    ReadAhead {
        /// It is for volumes that turn.
        rotational: bool,
    },
    /// Access times of each data file system.
    Atime,
    /// Swap space.
    Swap,
    /// The frequency governor of every processor.
    Governor,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its id; `*` stands for a device or a mount.
    pub id: &'static str,
    pub(crate) place: Place,
    pub(crate) broker: Option<Want>,
    pub(crate) zookeeper: Option<Want>,
    pub(crate) kraft_controller: Option<Want>,
    /// What it is good for.
    pub why: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What can go wrong with it.
    pub risk: &'static str,
    /// What it needs to take effect.
    pub needs: Needs,
    /// What the kernel sets at boot where no file says otherwise, if every kernel and host has the same; it need not be
    /// written down where it satisfies.
    pub(crate) default: Option<&'static str>,
}

const NONE: &str = "none known";

const fn all(id: &'static str, place: Place, want: Want) -> Rule {
    Rule {
        id,
        place,
        broker: Some(want),
        zookeeper: Some(want),
        kraft_controller: Some(want),
        why: "",
        source: "",
        risk: NONE,
        needs: Needs::Nothing,
        default: None,
    }
}

const fn broker(id: &'static str, place: Place, want: Want) -> Rule {
    Rule { zookeeper: None, kraft_controller: None, ..all(id, place, want) }
}

impl Rule {
    pub(crate) fn want(&self, profile: Profile) -> Option<Want> {
        match profile {
            Profile::Broker => self.broker,
            Profile::Zookeeper => self.zookeeper,
            Profile::KraftController => self.kraft_controller,
        }
    }

    const fn says(self, why: &'static str, source: &'static str) -> Self {
        Self { why, source, ..self }
    }

    const fn boots_with(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn risks(self, risk: &'static str) -> Self {
        Self { risk, ..self }
    }
}

/// All rules, in the order in which they are shown and applied.
pub const RULES: &[Rule] = &[
    all("sysctl.vm.swappiness", Place::Sysctl("vm.swappiness"), Want::AtMost(1, 1))
        .says(
            "the kernel drops page cache before it swaps the JVM out; one swapped page stalls every request behind it",
            "Confluent and Charmed Kafka: 1; ZooKeeper: the server must not swap",
        )
        .risks("with swap hardly used, a leak of memory ends in the out-of-memory killer sooner"),
    broker("sysctl.vm.max_map_count", Place::Sysctl("vm.max_map_count"), Want::Maps(262_144))
        .says(
            "each log segment takes two memory maps; a broker that gets none ends with \"Map failed\"",
            "Kafka: two maps for each segment; 262144 and the share of 70 % in use are chosen",
        ),
    broker("sysctl.vm.dirty_background_ratio", Place::Sysctl("vm.dirty_background_ratio"), Want::AtMost(10, 5))
        .says(
            "writing back begins early and goes on evenly, in place of bursts that hold up requests",
            "Charmed Kafka: 5; the kernel's default of 10 is let be",
        )
    .boots_with("10"),
    broker("sysctl.vm.dirty_ratio", Place::Sysctl("vm.dirty_ratio"), Want::AtLeast(60))
        .says(
            "writers are not blocked while a burst is written back",
            "Charmed Kafka: 80; 60 is chosen as the lower end, replication holds what a crash loses",
        )
        .risks("more unwritten data is lost when a host crashes: replicas on other hosts must hold it"),
    all("sysctl.vm.overcommit_memory", Place::Sysctl("vm.overcommit_memory"), Want::OneOf(&["0", "1"]))
        .says("strict accounting makes maps and threads fail while memory is free", "kernel (vm/overcommit-accounting); chosen")
    .boots_with("0"),
    all("sysctl.vm.zone_reclaim_mode", Place::Sysctl("vm.zone_reclaim_mode"), Want::Exactly("0"))
        .says(
            "page cache of one memory node is not thrown away while another node has free memory",
            "kernel (admin-guide/sysctl/vm): leave it off where caching matters more than locality",
        )
    .boots_with("0"),
    broker("sysctl.fs.nr_open", Place::Sysctl("fs.nr_open"), Want::Files(1_048_576))
        .says("no process can be given more open files than this", "kernel (admin-guide/sysctl/fs): its default is the least")
    .boots_with("1048576"),
    all("sysctl.net.core.somaxconn", Place::Sysctl("net.core.somaxconn"), Want::AtLeast(4096))
        .says(
            "clients that come back all at once after a restart are not turned away",
            "rpk: 4096, the kernel's default since 5.4; Kafka's socket.listen.backlog.size has to be raised with it",
        ),
    all("sysctl.net.ipv4.tcp_max_syn_backlog", Place::Sysctl("net.ipv4.tcp_max_syn_backlog"), Want::AtLeast(4096))
        .says("as for somaxconn, for connections that are half open", "rpk: 4096; CDP lists it"),
    broker("sysctl.net.core.rmem_max", Place::Sysctl("net.core.rmem_max"), Want::AtLeast(2_097_152))
        .says(
            "socket.receive.buffer.bytes and its replica twin are cut down to this without a word",
            "Kafka: raise the buffers between data centres; CDP lists it; 2 MiB is chosen",
        )
        .risks("sockets may take more memory"),
    broker("sysctl.net.core.wmem_max", Place::Sysctl("net.core.wmem_max"), Want::AtLeast(2_097_152))
        .says("socket.send.buffer.bytes is cut down to this without a word", "as for net.core.rmem_max")
        .risks("sockets may take more memory"),
    broker("sysctl.net.ipv4.tcp_rmem", Place::Sysctl("net.ipv4.tcp_rmem"), Want::LastAtLeast(2_097_152))
        .says(
            "the window of a connection can grow to what a long link needs",
            "Kafka and CDP name it; a maximum of 2 MiB is chosen, minimum and default stay",
        )
    // A 128th of the memory at most (ip-sysctl, tcp_rmem), which is enough from 256 MiB on.
    .boots_with("4096 131072 6291456")
        .risks("sockets may take more memory"),
    broker("sysctl.net.ipv4.tcp_wmem", Place::Sysctl("net.ipv4.tcp_wmem"), Want::LastAtLeast(2_097_152))
        .says("as for tcp_rmem, for what is sent", "as for tcp_rmem")
    .boots_with("4096 16384 4194304")
        .risks("sockets may take more memory"),
    all("sysctl.net.ipv4.tcp_window_scaling", Place::Sysctl("net.ipv4.tcp_window_scaling"), Want::Exactly("1"))
        .says("without it a window ends at 64 KiB and long links are slow", "CDP lists it; kernel default")
    .boots_with("1"),
    broker("sysctl.net.core.netdev_max_backlog", Place::Sysctl("net.core.netdev_max_backlog"), Want::AtLeast(5000))
        .says(
            "bursts from a fast network card are not dropped before TCP sees them",
            "CDP lists it, above the default of 1000; 5000 is chosen",
        ),
    all("sysctl.net.ipv4.ip_local_port_range", Place::Sysctl("net.ipv4.ip_local_port_range"), Want::Covers(32_768, 60_999))
        .says("outgoing connections do not run out of ports", "kernel: its default range is the least")
    .boots_with("32768 60999"),
    all("sysctl.net.ipv4.ip_local_reserved_ports", Place::Sysctl("net.ipv4.ip_local_reserved_ports"), Want::Ports)
        .says(
            "an outgoing connection can not take a listener's port while the service restarts",
            "kernel (ip-sysctl, ip_local_reserved_ports), made for this",
        ),
    all("thp.enabled", Place::Sys("/sys/kernel/mm/transparent_hugepage/enabled"), Want::OneOf(&["madvise", "never"]))
        .says(
            "compaction for huge pages that nobody asked for stalls the JVM; madvise leaves them to who asks",
            "CDP reference architecture: not always",
        ),
    all("thp.defrag", Place::Sys("/sys/kernel/mm/transparent_hugepage/defrag"), Want::OneOf(&["madvise", "never"]))
        .says("an allocation does not wait for compaction unless it asked for huge pages", "CDP reference architecture: not always"),
    Rule {
        needs: Needs::ServiceRestart,
        zookeeper: Some(Want::AtLeast(65_536)),
        kraft_controller: Some(Want::AtLeast(65_536)),
        ..broker("limits.nofile", Place::Limit("LimitNOFILE", "Max open files"), Want::Files(100_000))
    }
    .says(
        "segments, indexes and sockets all are open files; \"Too many open files\" ends a broker",
        "Kafka: at least 100000 for a broker, three files for each segment; the share of 60 % in use, and 65536 for the \
         other services, are chosen",
    ),
    Rule {
        kraft_controller: Some(Want::AtLeast(60)),
        ..broker("unit.timeout_stop", Place::StopTimeout, Want::AtLeast(180))
    }
    .says(
        "a broker that systemd kills while it hands over its partitions starts again with a recovery of its log",
        "Kafka: a clean shutdown skips the recovery; systemd's default of 90 s is short for many partitions; numbers chosen",
    )
    .risks("a service that hangs is killed later"),
    all("block.*.scheduler", Place::Scheduler { rotational: false }, Want::OneOf(&["none", "noop", "mq-deadline", "deadline"]))
        .says("a disk without a head gains nothing from being asked in order", "rpk: none or noop; mq-deadline is let be, but for NVMe"),
    all("block.*.scheduler", Place::Scheduler { rotational: true }, Want::OneOf(&["mq-deadline", "deadline", "none", "noop"]))
        .says("fair shares for many processes cost one large process time", "kernel (block/deadline-iosched); chosen"),
    broker("block.*.read_ahead_kb", Place::ReadAhead { rotational: false }, Want::AtLeast(128))
        .says("consumers that lag read their log in one direction", "kernel: its default is the least")
    .boots_with("128"),
    broker("block.*.read_ahead_kb", Place::ReadAhead { rotational: true }, Want::AtLeast(4096))
        .says("consumers that lag read their log in one direction, and each seek of a head costs milliseconds", "TuneD: at least 4096")
        .risks("many lagging consumers at once push each other's data out of the page cache"),
    all("mount.*.noatime", Place::Atime, Want::Exactly("noatime"))
        .says(
            "reading a file writes nothing; Kafka and ZooKeeper do not use access times",
            "Kafka: noatime; CDP; the inspection lets relatime be",
        ),
    Rule { broker: None, ..all("swap", Place::Swap, Want::Exactly("off")) }
        .says("a server that is swapped out misses its peers' heartbeats", "ZooKeeper: do not let it swap; a KRaft quorum is as sensitive")
        .risks("memory that runs out ends in the out-of-memory killer at once"),
    all("cpu.governor", Place::Governor, Want::Exactly("performance"))
        .says("a processor that has to speed up first adds to each request", "TuneD and rpk: performance")
        .risks("more power is used"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_says_why_and_names_its_source() {
        for rule in RULES {
            for (what, text) in [("why", rule.why), ("source", rule.source), ("risk", rule.risk)] {
                assert!(text.len() > 5 && !text.ends_with('.'), "{}: {what} {text:?} is a fragment", rule.id);
                assert!(!text.contains("  "), "{}: {what}", rule.id);
            }
            let wants = [rule.broker, rule.zookeeper, rule.kraft_controller];
            assert!(wants.iter().any(Option::is_some), "{} is of no profile", rule.id);
        }
    }

    #[test]
    fn an_id_stands_twice_only_for_two_kinds_of_disk() {
        let mut seen = BTreeSet::new();
        for rule in RULES {
            assert!(seen.insert(rule.id) || rule.id.starts_with("block."), "{}", rule.id);
        }
    }
}
