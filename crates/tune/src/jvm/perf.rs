//! The counters that a HotSpot JVM keeps in `hsperfdata_USER/PID`, a file that it maps and updates as it runs.
//!
//! The format is HotSpot's (`perfMemory.hpp`): a prologue with a magic number, the byte order and where entries begin, then
//! entries of a name, a type and a value. The file is read while it changes: an entry that is half written is passed over.
//! Not there with `-XX:-UsePerfData`, or with `-XX:+PerfDisableSharedMem`.

use std::collections::BTreeMap;

/// The first four bytes, in this order whatever the machine's.
const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];

/// The version of the format since Java 1.4.2.
const VERSION: u8 = 2;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counter {
    /// A number: bytes, ticks, events.
    Number(i64),
    /// A text.
    Text(String),
}

/// Why a file is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PerfError {
    /// It does not begin as such a file.
    #[error("no counters of a HotSpot JVM: the magic number is missing")]
    Magic,
    /// It is of another version.
    #[error("counters of version {0}, version {VERSION} is known")]
    Version(u8),
    /// The JVM is still making it.
    #[error("counters that the JVM has not finished making")]
    Early,
    /// It ends before what it says it holds.
    #[error("counters that end at byte {0}, before they are complete")]
    Short(usize),
}

/// The counters by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    all: BTreeMap<String, Counter>,
}

/// One collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// Its name.
    pub name: String,
    /// How often it ran.
    pub invocations: u64,
    /// How long all of its runs took, in milliseconds.
    pub time_ms: u64,
}

/// Bytes with their order.
struct Bytes<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Bytes<'_> {
    fn at<const N: usize>(&self, at: usize) -> Result<[u8; N], PerfError> {
        let part = at.checked_add(N).and_then(|end| self.bytes.get(at..end));
        part.and_then(|part| part.try_into().ok()).ok_or(PerfError::Short(self.bytes.len()))
    }

    fn int(&self, at: usize) -> Result<usize, PerfError> {
        let bytes = self.at::<4>(at)?;
        let number = if self.little { i32::from_le_bytes(bytes) } else { i32::from_be_bytes(bytes) };
        // A negative offset or length points nowhere.
        usize::try_from(number).map_err(|_| PerfError::Short(self.bytes.len()))
    }

    fn long(&self, at: usize) -> Result<i64, PerfError> {
        let bytes = self.at::<8>(at)?;
        Ok(if self.little { i64::from_le_bytes(bytes) } else { i64::from_be_bytes(bytes) })
    }

    /// The text up to its zero byte, at most up to `end`.
    fn text(&self, from: usize, end: usize) -> Result<String, PerfError> {
        let part = self.bytes.get(from..end.min(self.bytes.len())).ok_or(PerfError::Short(self.bytes.len()))?;
        let text = part.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

impl Counters {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is none of a JVM, or not whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, PerfError> {
        if bytes.get(..4) != Some(&MAGIC) {
            return Err(PerfError::Magic);
        }
        let file = Bytes { bytes, little: bytes.get(4) == Some(&1) };
        let [major, _minor, accessible] = file.at::<3>(5)?;
        if major != VERSION {
            return Err(PerfError::Version(major));
        }
        if accessible == 0 {
            return Err(PerfError::Early);
        }
        let (mut at, count) = (file.int(24)?, file.int(28)?);
        let mut all = BTreeMap::new();
        for _ in 0..count {
            let length = file.int(at)?;
            // Entries follow each other; one of no length would be read for ever.
            if length == 0 {
                return Err(PerfError::Short(at));
            }
            if let Some((name, counter)) = entry(&file, at, length)? {
                all.insert(name, counter);
            }
            at = at.saturating_add(length);
        }
        Ok(Self { all })
    }

    /// A counter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Counter> {
        self.all.get(name)
    }

    /// A number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.all.get(name)? {
            Counter::Number(number) => u64::try_from(*number).ok(),
            Counter::Text(_) => None,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.all.get(name)? {
            Counter::Text(text) => Some(text),
            Counter::Number(_) => None,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Ticks of the JVM's clock in milliseconds.
    fn ms(&self, name: &str) -> Option<u64> {
        let frequency = self.number("sun.os.hrt.frequency").filter(|frequency| *frequency > 0)?;
        let ms = u128::from(self.number(name)?) * 1000 / u128::from(frequency);
        u64::try_from(ms).ok()
    }

    /// How long the JVM has run.
    #[must_use]
    pub fn uptime_ms(&self) -> Option<u64> {
        self.ms("sun.os.hrt.ticks")
    }

    /// How long its threads stood at safepoints.
    #[must_use]
    pub fn safepoint_ms(&self) -> Option<u64> {
        self.ms("sun.rt.safepointTime")
    }

    /// Its collectors, in the JVM's order: young, full, and with G1 the pauses of concurrent cycles.
    #[must_use]
    pub fn collectors(&self) -> Vec<Collector> {
        let one = |n: usize| {
            let key = |what: &str| format!("sun.gc.collector.{n}.{what}");
            Some(Collector {
                name: self.text(&key("name"))?.to_owned(),
                invocations: self.number(&key("invocations"))?,
                time_ms: self.ms(&key("time"))?,
            })
        };
        (0..).map_while(one).collect()
    }

    /// Bytes of the heap that are in use and that are there, over all spaces.
    #[must_use]
    pub fn heap(&self) -> (u64, u64) {
        let of = |what: &str| {
            let is = |name: &&String| {
                name.starts_with("sun.gc.generation.") && name.contains(".space.") && name.ends_with(what)
            };
            self.all.keys().filter(is).filter_map(|name| self.number(name)).sum()
        };
        (of(".used"), of(".capacity"))
    }
}

/// An entry; none of a type that is not known, or with a value that is not whole.
fn entry(file: &Bytes<'_>, at: usize, length: usize) -> Result<Option<(String, Counter)>, PerfError> {
    let end = at.saturating_add(length);
    let (name_at, vector, data_at) = (file.int(at + 4)?, file.int(at + 8)?, file.int(at + 16)?);
    let [kind, _flags, _units, _changes] = file.at::<4>(at + 12)?;
    let name = file.text(at.saturating_add(name_at), end)?;
    let from = at.saturating_add(data_at);
    let counter = match (kind, vector) {
        (b'J', 0) => Counter::Number(file.long(from)?),
        (b'B', length) if length > 0 => Counter::Text(file.text(from, from.saturating_add(length).min(end))?),
        (_, _) => return Ok(None),
    };
    Ok((!name.is_empty()).then_some((name, counter)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The counters of a ZooKeeper server on OpenJDK 17.0.15 after one full collection that was asked for.
    const REAL: &[u8] = include_bytes!("../../tests/data/hsperfdata-17.bin");

    #[test]
    fn the_counters_of_a_real_jvm_are_read() {
        let counters = Counters::parse(REAL).unwrap();
        assert_eq!(counters.len(), 193, "the file says that it has so many");
        assert_eq!(counters.text("java.property.java.version"), Some("17.0.15"));
        assert_eq!(
            counters.text("java.rt.vmArgs"),
            Some("-Xmx64m -Xms64m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:PerfDataMemorySize=16K")
        );
        assert_eq!(counters.number("sun.os.hrt.frequency"), Some(1_000_000_000));
        let collectors = counters.collectors();
        let names: Vec<&str> = collectors.iter().map(|collector| collector.name.as_str()).collect();
        assert_eq!(names, ["G1 young collection pauses", "G1 full collection pauses", "G1 concurrent cycle pauses"]);
        assert_eq!(collectors[1].invocations, 1, "{collectors:?}");
        let (used, capacity) = counters.heap();
        assert!(used > 0 && used <= capacity && capacity <= 2 * (64 << 20), "{used} of {capacity}");
        assert!(counters.uptime_ms().unwrap() >= 1000, "{:?}", counters.uptime_ms());
    }

    /// A file with these numbers and texts, in either byte order, as HotSpot lays it out.
    fn written(little: bool, entries: &[(String, Counter)]) -> Vec<u8> {
        let int = |n: usize| {
            let n = i32::try_from(n).unwrap();
            if little { n.to_le_bytes() } else { n.to_be_bytes() }
        };
        let mut body = Vec::new();
        for (name, counter) in entries {
            let data_at = (20 + name.len() + 1).next_multiple_of(8);
            let (kind, vector, data) = match counter {
                Counter::Number(n) => (b'J', 0, if little { n.to_le_bytes() } else { n.to_be_bytes() }.to_vec()),
                Counter::Text(text) => (b'B', text.len() + 1, [text.as_bytes(), &[0]].concat()),
            };
            let length = (data_at + data.len()).next_multiple_of(8);
            let mut entry = [int(length), int(20), int(vector)].concat();
            entry.extend([kind, 0, 1, 3]);
            entry.extend(int(data_at));
            entry.extend(name.as_bytes());
            entry.resize(data_at, 0);
            entry.extend(data);
            entry.resize(length, 0);
            body.extend(entry);
        }
        let mut file = MAGIC.to_vec();
        file.extend([u8::from(little), VERSION, 0, 1]);
        file.extend([int(32 + body.len()), int(0)].concat());
        file.extend([0; 8]);
        file.extend([int(32), int(entries.len())].concat());
        file.extend(body);
        file
    }

    fn any_counter() -> impl Strategy<Value = Counter> {
        prop_oneof![any::<i64>().prop_map(Counter::Number), "[ -~]{0,40}".prop_map(Counter::Text)]
    }

    proptest! {
        #[test]
        fn what_a_jvm_writes_is_read_in_either_byte_order(
            little in any::<bool>(),
            entries in proptest::collection::btree_map("[a-z.]{1,40}", any_counter(), 0..12),
        ) {
            let list: Vec<(String, Counter)> = entries.clone().into_iter().collect();
            prop_assert_eq!(Counters::parse(&written(little, &list)).unwrap().all, entries);
        }

        #[test]
        fn a_file_that_is_cut_or_broken_is_refused_or_read_and_never_more(
            at in 0..REAL.len(), byte in any::<u8>(), cut in 0..REAL.len(),
        ) {
            let mut broken = REAL.to_vec();
            broken[at] = byte;
            let _read = Counters::parse(&broken);
            if let Ok(counters) = Counters::parse(&REAL[..cut]) {
                prop_assert!(counters.len() <= 193);
            }
        }
    }

    #[test]
    fn what_is_no_such_file_is_told_from_one_that_is_not_ready() {
        assert_eq!(Counters::parse(b"\x7fELF"), Err(PerfError::Magic));
        let change = |at: usize, byte: u8| {
            let mut file = REAL.to_vec();
            file[at] = byte;
            Counters::parse(&file).unwrap_err()
        };
        assert_eq!(change(5, 9), PerfError::Version(9));
        assert_eq!(change(7, 0), PerfError::Early);
        assert_eq!(Counters::parse(&REAL[..40]), Err(PerfError::Short(40)));
    }
}
