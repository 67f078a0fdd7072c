//! A wanted value: what satisfies it, and what is set where nothing does.

use crate::kernel;
use std::collections::BTreeSet;

/// What a value shall be on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Exactly this; numbers and blanks compare as such.
    Exactly(String),
    /// One of these; the first that the kernel offers is set.
    OneOf(Vec<String>),
    /// A number not below this.
    AtLeast(u64),
    /// A number not above `most`; `set` is set.
    AtMost {
        /// The bound.
        most: u64,
        /// What is set when it is crossed.
        set: u64,
    },
    /// Three numbers (minimum, default, maximum), the last not below this; the others stay.
    LastAtLeast(u64),
    /// A range of ports that is not narrower than this one.
    Covers(u16, u16),
    /// A list of ports and ranges with these in it; what else is in it stays.
    Holds(BTreeSet<u16>),
}

/// The least and the default size of a socket buffer: the kernel's own (`Documentation/networking/ip-sysctl`).
const BUFFER: [u64; 2] = [4096, 131_072];

impl Wanted {
    /// Whether a value satisfies it.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        let number = || number(value);
        match self {
            Self::Exactly(wanted) => canonical(value) == canonical(wanted),
            Self::OneOf(words) => words.iter().any(|word| canonical(word) == canonical(value)),
            Self::AtLeast(least) => number().is_some_and(|number| number >= *least),
            Self::AtMost { most, .. } => number().is_some_and(|number| number <= *most),
            Self::LastAtLeast(least) => triple(value).is_some_and(|[_, _, last]| last >= *least),
            Self::Covers(low, high) => range(value).is_some_and(|(from, to)| from <= *low && to >= *high),
            Self::Holds(ports) => ports.is_subset(&port_list(value)),
        }
    }

    /// What is set in place of a value that does not satisfy it, as the kernel's file shows that; none when the kernel
    /// offers nothing that would.
    #[must_use]
    pub fn target(&self, shown: Option<&str>) -> Option<String> {
        Some(match self {
            Self::Exactly(wanted) => wanted.clone(),
            Self::OneOf(words) => {
                let offered = shown.and_then(kernel::offered);
                let offers = |word: &&String| offered.as_ref().is_none_or(|all| all.contains(&word.as_str()));
                words.iter().find(offers)?.clone()
            }
            Self::AtLeast(least) => least.to_string(),
            Self::AtMost { set, .. } => set.to_string(),
            Self::LastAtLeast(least) => {
                let [low, middle, _] = shown.and_then(triple).unwrap_or([BUFFER[0], BUFFER[1], 0]);
                format!("{low} {middle} {least}")
            }
            Self::Covers(low, high) => {
                let (from, to) = shown.and_then(range).unwrap_or((*low, *high));
                format!("{} {}", from.min(*low), to.max(*high))
            }
            Self::Holds(ports) => {
                let all: BTreeSet<u16> = shown.map(port_list).unwrap_or_default().union(ports).copied().collect();
                written(&all)
            }
        })
    }

    /// For people: `at least 262144`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Exactly(wanted) => wanted.clone(),
            Self::OneOf(words) => words.join(" or "),
            Self::AtLeast(least) => format!("at least {least}"),
            Self::AtMost { most, .. } => format!("at most {most}"),
            Self::LastAtLeast(least) => format!("a maximum of at least {least}"),
            Self::Covers(low, high) => format!("at least {low} to {high}"),
            Self::Holds(ports) if ports.is_empty() => "anything".to_owned(),
            Self::Holds(ports) => format!("{} in it", written(ports)),
        }
    }
}

/// A number; `infinity` and `unlimited` are the greatest.
fn number(text: &str) -> Option<u64> {
    match text.trim() {
        "infinity" | "unlimited" => Some(u64::MAX),
        other => other.parse().ok(),
    }
}

/// One spelling of one value.
fn canonical(text: &str) -> String {
    let words = text.split_whitespace().map(|word| number(word).map_or_else(|| word.to_owned(), |n| n.to_string()));
    words.collect::<Vec<_>>().join(" ")
}

fn triple(text: &str) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = text.split_whitespace().map(number).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// The two ends of `net.ipv4.ip_local_port_range`.
pub(crate) fn range(text: &str) -> Option<(u16, u16)> {
    let mut ends = text.split_whitespace().map(|word| word.parse().ok());
    match (ends.next(), ends.next(), ends.next()) {
        (Some(Some(from)), Some(Some(to)), None) => Some((from, to)),
        (_, _, _) => None,
    }
}

/// A list such as `8080,9000-9100`; what is no port is passed over.
fn port_list(text: &str) -> BTreeSet<u16> {
    let ends = |part: &str| -> Option<(u16, u16)> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
    };
    text.split(',').filter_map(ends).flat_map(|(from, to)| from..=to).collect()
}

/// The same as the kernel writes it: runs as ranges.
fn written(ports: &BTreeSet<u16>) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match runs.last_mut() {
            Some((_, to)) if port - *to == 1 => *to = port,
            Some(_) | None => runs.push((port, port)),
        }
    }
    let run = |(from, to): (u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    runs.into_iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(words: &[&str]) -> Wanted {
        Wanted::OneOf(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn values_satisfy_or_are_replaced() {
        let ports = |list: &[u16]| Wanted::Holds(list.iter().copied().collect());
        let cases = [
            (Wanted::Exactly("1".into()), "1", true, "1"),
            (Wanted::Exactly("1".into()), "01", true, "1"),
            (Wanted::Exactly("4096 131072 1".into()), "4096\t131072\t1", true, "4096 131072 1"),
            (Wanted::Exactly("1".into()), "60", false, "1"),
            (words(&["madvise", "never"]), "never", true, "madvise"),
            (words(&["madvise", "never"]), "always", false, "madvise"),
            (words(&["none", "mq-deadline"]), "[bfq] mq-deadline", false, "mq-deadline"),
            (Wanted::AtLeast(100_000), "infinity", true, "100000"),
            (Wanted::AtLeast(100_000), "1048576", true, "100000"),
            (Wanted::AtLeast(100_000), "1024", false, "100000"),
            (Wanted::AtLeast(100_000), "many", false, "100000"),
            (Wanted::AtMost { most: 10, set: 5 }, "10", true, "5"),
            (Wanted::AtMost { most: 10, set: 5 }, "20", false, "5"),
            (Wanted::LastAtLeast(2_097_152), "4096 131072 6291456", true, "4096 131072 2097152"),
            (Wanted::LastAtLeast(2_097_152), "8192 16384 100000", false, "8192 16384 2097152"),
            (Wanted::LastAtLeast(2_097_152), "odd", false, "4096 131072 2097152"),
            (Wanted::Covers(32_768, 60_999), "1024 65000", true, "1024 65000"),
            (Wanted::Covers(32_768, 60_999), "40000 65000", false, "32768 65000"),
            (ports(&[]), "", true, ""),
            (ports(&[9092, 9093]), "8080,9090-9100", true, "8080,9090-9100"),
            (ports(&[9092, 9093]), "8080", false, "8080,9092-9093"),
            (ports(&[65_535, 65_534]), "", false, "65534-65535"),
        ];
        for (wanted, value, fits, target) in cases {
            assert_eq!(wanted.fits(value), fits, "{wanted:?} {value:?}");
            assert_eq!(wanted.target(Some(value)).as_deref(), Some(target), "{wanted:?} {value:?}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_offer_is_not_set() {
        assert_eq!(words(&["none", "mq-deadline"]).target(Some("[bfq] kyber")), None);
    }

    fn any_wanted() -> impl Strategy<Value = Wanted> {
        prop_oneof![
            "[a-z0-9]{1,8}".prop_map(Wanted::Exactly),
            proptest::collection::vec("[a-z]{1,8}", 1..4).prop_map(Wanted::OneOf),
            any::<u64>().prop_map(Wanted::AtLeast),
            any::<u64>().prop_map(|most| Wanted::AtMost { most, set: most / 2 }),
            any::<u64>().prop_map(Wanted::LastAtLeast),
            (1..u16::MAX).prop_flat_map(|low| (Just(low), low..u16::MAX)).prop_map(|(l, h)| Wanted::Covers(l, h)),
            proptest::collection::btree_set(any::<u16>(), 0..6).prop_map(Wanted::Holds),
        ]
    }

    proptest! {
        #[test]
        fn what_is_set_satisfies_and_is_kept_the_next_time(wanted in any_wanted(), shown in "[a-z0-9 ,\\[\\]-]{0,20}") {
            if let Some(target) = wanted.target(Some(&shown)) {
                prop_assert!(wanted.fits(&target), "{:?} set {:?}", wanted, target);
            }
        }

        #[test]
        fn a_list_of_ports_is_read_as_it_is_written(ports in proptest::collection::btree_set(any::<u16>(), 0..40)) {
            prop_assert_eq!(port_list(&written(&ports)), ports);
        }
    }
}
