//! Flags for a JVM, from the memory of its host and what it has to hold.
//!
//! A broker lives off the page cache, so its heap stays small whatever the memory (Kafka, "Java Version": 6 GB in a large
//! cluster; Confluent: 6 GB). The flags of the collector are those that Kafka's documentation recommends.

use crate::Profile;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// So many seconds of writes shall fit into the page cache (Kafka, "OS": buffer for 30 s).
const WRITES_S: u64 = 30;

/// What flags depend on.
#[derive(Debug, Clone)]
pub struct Sizing {
    /// What the JVM runs.
    pub profile: Profile,
    /// The host's memory in bytes.
    pub memory_bytes: u64,
    /// Java's major release.
    pub java: u32,
    /// A heap that the operator chose, in bytes.
    pub heap_bytes: Option<u64>,
    /// What the broker writes, in bytes a second, replication included.
    pub write_bytes_per_s: Option<u64>,
    /// Where the log of collections goes.
    pub gc_log: Option<String>,
    /// A directory for dumps of the heap and reports of crashes.
    pub dump_dir: Option<String>,
}

/// One flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// As it is written.
    pub flag: String,
    /// What it is good for.
    pub why: &'static str,
    /// Who says so.
    pub source: &'static str,
}

/// The flags in their groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// Of the heap: `KAFKA_HEAP_OPTS`.
    pub heap: Vec<Flag>,
    /// Of the collector and of crashes: `KAFKA_JVM_PERFORMANCE_OPTS`.
    pub performance: Vec<Flag>,
    /// Of the collections' log: `KAFKA_GC_LOG_OPTS`.
    pub gc_log: Vec<Flag>,
    /// What is left for the page cache, in bytes.
    pub page_cache_bytes: u64,
}

/// Why no flags are given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JvmError {
    /// The heap takes too much.
    #[error("a heap of {} MiB is more than {share} % of the {} MiB of memory: at most {} MiB", heap / MIB, memory / MIB, memory * share / 100 / MIB)]
    Share {
        /// The heap.
        heap: u64,
        /// The memory.
        memory: u64,
        /// The share that is allowed, in percent.
        share: u64,
    },
    /// Too little is left for the page cache.
    #[error("a heap of {} MiB leaves {} MiB for the page cache, and {WRITES_S} s of writes are {} MiB", heap / MIB, left / MIB, needed / MIB)]
    PageCache {
        /// The heap.
        heap: u64,
        /// What is left.
        left: u64,
        /// What is needed.
        needed: u64,
    },
    /// The host is too small.
    #[error("{} MiB of memory are too few: {} MiB are the least", memory / MIB, least / MIB)]
    Memory {
        /// The memory.
        memory: u64,
        /// The least.
        least: u64,
    },
    /// Java is too old.
    #[error("Java {0} is not known: 8 is the oldest that Kafka and ZooKeeper run on")]
    Java(u32),
}

/// The least memory that anything is made for. Chosen.
const LEAST: u64 = GIB;

/// Flags for a JVM.
///
/// # Errors
/// When the heap would starve the page cache, or the host or its Java are too small or old.
pub fn size(sizing: &Sizing) -> Result<Flags, JvmError> {
    let memory = sizing.memory_bytes;
    if memory < LEAST {
        return Err(JvmError::Memory { memory, least: LEAST });
    }
    if sizing.java < 8 {
        return Err(JvmError::Java(sizing.java));
    }
    let heap = sizing.heap_bytes.unwrap_or_else(|| own_heap(sizing.profile, memory));
    // The inspection warns from these shares on (`jvm.heap_share`); ZooKeeper's guide gives its heap 3 of 4 GB.
    let share = if sizing.profile == Profile::Broker { 50 } else { 75 };
    if heap > memory.saturating_mul(share) / 100 {
        return Err(JvmError::Share { heap, memory, share });
    }
    let direct = (heap / 2).max(512 * MIB).min(heap);
    let left = memory.saturating_sub(heap).saturating_sub(direct);
    let needed = sizing.write_bytes_per_s.unwrap_or(0).saturating_mul(WRITES_S);
    if left < needed {
        return Err(JvmError::PageCache { heap, left, needed });
    }
    let performance = collector(heap).into_iter().chain(direct_memory(sizing.profile, direct)).chain(crash(sizing));
    Ok(Flags {
        heap: heap_flags(heap),
        performance: performance.collect(),
        gc_log: sizing.gc_log.as_deref().map(|path| gc_log(path, sizing.java)).unwrap_or_default(),
        page_cache_bytes: left,
    })
}

/// The heap that a host of this memory gets, in whole 64 MiB.
fn own_heap(profile: Profile, memory: u64) -> u64 {
    let heap = match profile {
        // A quarter, from 1 to 6 GiB; on a small host never more than half.
        Profile::Broker => (memory / 4).clamp(GIB, 6 * GIB).min(memory / 2),
        // The data is in the heap, and nothing else needs the memory: half of it up to 4 GiB. Chosen.
        Profile::Zookeeper | Profile::KraftController => (memory / 2).clamp(GIB / 2, 4 * GIB),
    };
    heap / (64 * MIB) * (64 * MIB)
}

/// A size in the largest unit in which it is whole.
fn unit(bytes: u64) -> String {
    match bytes {
        bytes if bytes % GIB == 0 => format!("{}g", bytes / GIB),
        bytes if bytes % MIB == 0 => format!("{}m", bytes / MIB),
        bytes if bytes % 1024 == 0 => format!("{}k", bytes / 1024),
        bytes => bytes.to_string(),
    }
}

fn flag(flag: impl Into<String>, why: &'static str, source: &'static str) -> Flag {
    Flag { flag: flag.into(), why, source }
}

fn heap_flags(heap: u64) -> Vec<Flag> {
    let size = unit(heap);
    let why = "the heap has its whole size from the start: no pause to grow it, and no surprise later";
    let source = "Kafka, \"Java Version\": -Xms as -Xmx";
    vec![flag(format!("-Xms{size}"), why, source), flag(format!("-Xmx{size}"), why, source)]
}

const JAVA_VERSION: &str = "Kafka, \"Java Version\"";

/// Regions of 16 MiB need a heap that has some hundreds of them.
const LARGE_REGIONS: u64 = 4 * GIB;

fn collector(heap: u64) -> Vec<Flag> {
    let mut flags = vec![
        flag("-XX:+UseG1GC", "short pauses on heaps of some gigabytes", JAVA_VERSION),
        flag("-XX:MaxGCPauseMillis=20", "requests wait for no longer than this as a rule", JAVA_VERSION),
        flag(
            "-XX:InitiatingHeapOccupancyPercent=35",
            "old objects are looked for before the heap is full",
            JAVA_VERSION,
        ),
    ];
    if heap >= LARGE_REGIONS {
        flags.push(flag(
            "-XX:G1HeapRegionSize=16M",
            "batches of some megabytes are no humongous objects",
            JAVA_VERSION,
        ));
    }
    flags.push(flag("-XX:MetaspaceSize=96m", "no collection for classes while it starts", JAVA_VERSION));
    flags.push(flag("-XX:MinMetaspaceFreeRatio=50", "the same later", JAVA_VERSION));
    flags.push(flag("-XX:MaxMetaspaceFreeRatio=80", "the same later", JAVA_VERSION));
    flags.push(flag(
        "-XX:+ExplicitGCInvokesConcurrent",
        "a collection that a library asks for does not stop all threads",
        JAVA_VERSION,
    ));
    flags
}

fn direct_memory(profile: Profile, direct: u64) -> Option<Flag> {
    let why = "buffers outside the heap have a bound of their own, or they would be allowed as much as the heap again";
    let source = "Java's default is the size of the heap; half of it, at least 512 MiB, is chosen";
    (profile == Profile::Broker).then(|| flag(format!("-XX:MaxDirectMemorySize={}", unit(direct)), why, source))
}

fn crash(sizing: &Sizing) -> Vec<Flag> {
    let source = "chosen; the inspection asks for them (jvm.oom_flags)";
    let exit = "a JVM without memory ends and its partitions move, in place of leading them half dead";
    let mut flags = vec![flag("-XX:+ExitOnOutOfMemoryError", exit, source)];
    if let Some(dir) = sizing.dump_dir.as_deref().map(|dir| dir.trim_end_matches('/')) {
        let evidence = "what was in the heap can be looked at afterwards";
        flags.push(flag("-XX:+HeapDumpOnOutOfMemoryError", evidence, source));
        flags.push(flag(format!("-XX:HeapDumpPath={dir}"), evidence, source));
        flags.push(flag(format!("-XX:ErrorFile={dir}/hs_err_pid%p.log"), "a crash leaves its report there", source));
    }
    flags
}

/// Ten files of 100 MB, as Kafka's own start script has them.
fn gc_log(path: &str, java: u32) -> Vec<Flag> {
    let (why, source) =
        ("pauses can be looked up afterwards, and the log does not fill a disk", "Kafka's kafka-run-class.sh");
    let all = |flags: &[String]| flags.iter().map(|text| flag(text.clone(), why, source)).collect();
    if java >= 9 {
        return all(&[format!("-Xlog:gc*:file={path}:time,tags:filecount=10,filesize=100M")]);
    }
    let old = ["-verbose:gc", "-XX:+PrintGCDetails", "-XX:+PrintGCDateStamps", "-XX:+PrintGCTimeStamps"];
    let rotation = ["-XX:+UseGCLogFileRotation", "-XX:NumberOfGCLogFiles=10", "-XX:GCLogFileSize=100M"];
    let flags: Vec<String> =
        std::iter::once(format!("-Xloggc:{path}")).chain(old.into_iter().chain(rotation).map(str::to_owned)).collect();
    all(&flags)
}

impl Flags {
    /// One group as the value of a variable.
    #[must_use]
    pub fn line(flags: &[Flag]) -> String {
        flags.iter().map(|flag| flag.flag.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jvm::heap;
    use proptest::prelude::*;

    fn sizing(profile: Profile, memory_bytes: u64) -> Sizing {
        let (gc_log, dump_dir) = (None, None);
        Sizing { profile, memory_bytes, java: 17, heap_bytes: None, write_bytes_per_s: None, gc_log, dump_dir }
    }

    #[test]
    fn a_host_s_memory_decides_its_heap() {
        let cases = [
            (Profile::Broker, 2, "-Xms1g -Xmx1g"),
            (Profile::Broker, 8, "-Xms2g -Xmx2g"),
            (Profile::Broker, 24, "-Xms6g -Xmx6g"),
            (Profile::Broker, 256, "-Xms6g -Xmx6g"),
            (Profile::Zookeeper, 1, "-Xms512m -Xmx512m"),
            (Profile::Zookeeper, 4, "-Xms2g -Xmx2g"),
            (Profile::KraftController, 64, "-Xms4g -Xmx4g"),
        ];
        for (profile, gib, wanted) in cases {
            let flags = size(&sizing(profile, gib * GIB)).unwrap();
            assert_eq!(Flags::line(&flags.heap), wanted, "{profile:?} {gib} GiB");
        }
    }

    #[test]
    fn a_heap_that_starves_the_page_cache_is_refused_with_numbers() {
        let broker = |heap: u64, writes: u64| Sizing {
            heap_bytes: Some(heap * GIB),
            write_bytes_per_s: Some(writes * MIB),
            ..sizing(Profile::Broker, 16 * GIB)
        };
        let told = |sizing: &Sizing| size(sizing).unwrap_err().to_string();
        assert_eq!(
            told(&broker(9, 0)),
            "a heap of 9216 MiB is more than 50 % of the 16384 MiB of memory: at most 8192 MiB"
        );
        assert_eq!(
            told(&broker(8, 200)),
            "a heap of 8192 MiB leaves 4096 MiB for the page cache, and 30 s of writes are 6000 MiB"
        );
        assert_eq!(size(&broker(8, 100)).unwrap().page_cache_bytes, 4 * GIB);
        assert_eq!(told(&sizing(Profile::Broker, 512 * MIB)), "512 MiB of memory are too few: 1024 MiB are the least");
        let old = Sizing { java: 7, ..sizing(Profile::Broker, 8 * GIB) };
        assert_eq!(told(&old), "Java 7 is not known: 8 is the oldest that Kafka and ZooKeeper run on");
    }

    #[test]
    fn logs_and_dumps_are_written_where_they_are_asked_for_in_the_words_of_the_release() {
        let with = |java| Sizing {
            java,
            gc_log: Some("/var/log/kafka/gc.log".into()),
            dump_dir: Some("/var/dump/".into()),
            ..sizing(Profile::Broker, 32 * GIB)
        };
        let new = size(&with(17)).unwrap();
        let wanted = "-Xlog:gc*:file=/var/log/kafka/gc.log:time,tags:filecount=10,filesize=100M";
        assert_eq!(Flags::line(&new.gc_log), wanted);
        assert!(Flags::line(&size(&with(8)).unwrap().gc_log).starts_with("-Xloggc:/var/log/kafka/gc.log -verbose:gc "));
        let line = Flags::line(&new.performance);
        for part in
            ["-XX:G1HeapRegionSize=16M", "-XX:MaxDirectMemorySize=3g", "-XX:ErrorFile=/var/dump/hs_err_pid%p.log"]
        {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    proptest! {
        #[test]
        fn every_size_that_is_given_fits_the_host(
            gib in 1..2048_u64, part in 0..GIB, java in 8..30_u32, writes in proptest::option::of(0..4 * GIB),
        ) {
            for profile in Profile::ALL {
                let sizing = Sizing { java, write_bytes_per_s: writes, ..sizing(profile, gib * GIB + part) };
                let Ok(flags) = size(&sizing) else { continue };
                let (initial, most) = heap(&Flags::line(&flags.heap));
                prop_assert_eq!(initial, most);
                let heap = most.unwrap();
                let share = if profile == Profile::Broker { 50 } else { 75 };
                prop_assert!(heap * 100 <= sizing.memory_bytes * share);
                prop_assert!(heap + flags.page_cache_bytes <= sizing.memory_bytes);
                prop_assert!(flags.page_cache_bytes >= writes.unwrap_or(0) * 30);
            }
        }
    }
}
