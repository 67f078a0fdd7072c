//! The Java virtual machine of a broker or server: which flags it shall have ([`size`]), which it has, and what its own
//! counters say ([`perf`]).

pub mod perf;
mod size;

pub use size::{Flag, Flags, JvmError, Sizing, size};

/// What a JVM's arguments say of its heap, in bytes: initial and maximum. The last of several counts.
#[must_use]
pub fn heap(arguments: &str) -> (Option<u64>, Option<u64>) {
    let last = |prefixes: &[&str]| {
        let words = arguments.split_whitespace();
        let values = words.filter_map(|word| prefixes.iter().find_map(|prefix| word.strip_prefix(prefix)));
        values.filter_map(bytes).next_back()
    };
    (last(&["-Xms", "-XX:InitialHeapSize="]), last(&["-Xmx", "-XX:MaxHeapSize="]))
}

/// A size as the JVM takes it: `6g`, `512m`, `4096`.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, shift) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 10),
        (at, 'm' | 'M') => (&text[..at], 20),
        (at, 'g' | 'G') => (&text[..at], 30),
        (at, 't' | 'T') => (&text[..at], 40),
        _ => (text, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The major release that a version says: 8 for `1.8.0_402`, 17 for `17.0.15`.
#[must_use]
pub fn major(version: &str) -> Option<u32> {
    let mut numbers = version.split(['.', '_', '-', '+']).map(str::parse);
    match (numbers.next()?.ok()?, numbers.next()) {
        (1, Some(second)) => second.ok(),
        (first, _) => Some(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_sizes_counts() {
        let cases = [
            ("-Xmx1G -Xms1G", (Some(1 << 30), Some(1 << 30))),
            ("-Xmx1G -Xms512m -server -Xmx6g", (Some(1 << 29), Some(6 << 30))),
            ("-XX:MaxHeapSize=1048576 -Dx=-Xmx2g", (None, Some(1 << 20))),
            ("", (None, None)),
            ("-Xmxmuch", (None, None)),
        ];
        for (arguments, wanted) in cases {
            assert_eq!(heap(arguments), wanted, "{arguments}");
        }
    }

    #[test]
    fn a_release_is_known_by_either_way_to_write_it() {
        let cases = [("1.8.0_402", Some(8)), ("11.0.22", Some(11)), ("17", Some(17)), ("21-ea", Some(21)), ("x", None)];
        for (version, wanted) in cases {
            assert_eq!(major(version), wanted, "{version}");
        }
    }
}
