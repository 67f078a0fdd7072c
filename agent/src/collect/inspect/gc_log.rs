//! Garbage collection logs: pauses with their times, in the unified form (`-Xlog:gc`, JDK 9 and later) and the older one
//! (`-Xloggc` with `-XX:+PrintGCDateStamps`, JDK 8).

use jiff::{SignedDuration, Timestamp};

/// A pause of all threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pause {
    /// When it was written down, at its end.
    pub(super) at: Timestamp,
    /// How long it was.
    pub(super) ms: f64,
    /// It collected the whole heap.
    pub(super) full: bool,
}

/// The pauses of a log. `begun` is the start of the process, which logs without dates count from; lines without any time
/// are left out.
pub(super) fn pauses(text: &str, begun: Option<Timestamp>) -> Vec<Pause> {
    text.lines().filter_map(|line| unified(line, begun).or_else(|| older(line, begun))).collect()
}

/// `[2026-01-02T03:04:05.006+0000][gc   ] GC(7) Pause Young (Normal) (G1 Evacuation Pause) 115M->1M(256M) 1.560ms`
fn unified(line: &str, begun: Option<Timestamp>) -> Option<Pause> {
    let (head, said) = line.split_once(" GC(")?;
    let (_, said) = said.split_once(") ")?;
    if !said.contains("Pause") {
        return None;
    }
    // The line of the start has no length, so it is no second one.
    let ms = said.trim_end().strip_suffix("ms")?.rsplit([' ', ')']).next()?.parse().ok()?;
    let decorations = head.split(['[', ']']).map(str::trim).filter(|word| !word.is_empty());
    let at = decorations.filter_map(|word| time(word, begun)).next()?;
    Some(Pause { at, ms, full: said.contains("Pause Full") })
}

/// A time among the decorations: a date, or the time since the start as `12.345s`, `12345ms`.
fn time(word: &str, begun: Option<Timestamp>) -> Option<Timestamp> {
    if let Ok(at) = date(word) {
        return Some(at);
    }
    let after = if let Some(ms) = word.strip_suffix("ms") {
        SignedDuration::from_millis(ms.parse().ok()?)
    } else {
        SignedDuration::try_from_secs_f64(word.strip_suffix('s')?.parse().ok()?).ok()?
    };
    begun?.checked_add(after).ok()
}

/// The JVM writes the offset without a colon, as `+0000`; `Z` in UTC.
fn date(word: &str) -> Result<Timestamp, jiff::Error> {
    match word.len().checked_sub(5).and_then(|at| word.split_at_checked(at)) {
        Some((day, offset)) if offset.starts_with(['+', '-']) && word.contains('T') => {
            format!("{day}{}:{}", &offset[..3], &offset[3..]).parse()
        }
        Some(_) | None => word.parse(),
    }
}

/// `2026-01-02T03:04:05.006+0000: 12.345: [Full GC (System.gc()) 512K->128K(1024K), 0.0123456 secs]`, or with only one of
/// the two times.
fn older(line: &str, begun: Option<Timestamp>) -> Option<Pause> {
    let (head, said) = line.split_once(": [")?;
    if !(said.starts_with("GC") || said.starts_with("Full GC")) || said.starts_with("GC concurrent") {
        return None;
    }
    let mut times = head.split(": ").map(str::trim);
    let first = times.next()?;
    let at = date(first).ok().or_else(|| {
        let after = SignedDuration::try_from_secs_f64(first.parse().ok()?).ok()?;
        begun?.checked_add(after).ok()
    })?;
    // Of nested collections the last length is that of the whole pause; what follows are times of processors.
    let said = said.split(" [Times:").next()?;
    let (_, length) = said.rsplit_once(", ")?;
    let seconds: f64 = length.split(" secs").next()?.trim().parse().ok()?;
    Some(Pause { at, ms: seconds * 1000.0, full: said.starts_with("Full GC") })
}

/// The longest pause; 0 when there was none.
pub(super) fn longest(pauses: &[Pause]) -> f64 {
    pauses.iter().map(|pause| pause.ms).fold(0.0, f64::max)
}

/// The most full collections within an hour.
pub(super) fn most_full_in_hour(pauses: &[Pause]) -> usize {
    let mut full: Vec<Timestamp> = pauses.iter().filter(|pause| pause.full).map(|pause| pause.at).collect();
    full.sort();
    let within =
        |from: usize| full[from..].iter().take_while(|at| at.duration_since(full[from]).as_secs() <= 3600).count();
    (0..full.len()).map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn pauses_are_read_in_every_form() {
        let begun = at("2026-01-01T00:00:00Z");
        let cases = [
            // OpenJDK 17, time and tags, as Kafka's scripts ask for.
            (
                "[2026-11-27T23:39:48.264+0000][gc          ] GC(0) Pause Young (Concurrent Start) \
                 (G1 Humongous Allocation) 115M->1M(256M) 1.560ms",
                Some(("2026-11-27T23:39:48.264Z", 1.56, false)),
            ),
            (
                "[2026-11-28T01:39:48.434+0200][gc             ] GC(70) Pause Full (System.gc()) 47M->1M(10M) 5.165ms",
                Some(("2026-11-27T23:39:48.434Z", 5.165, true)),
            ),
            ("[2026-11-27T23:39:48.262+0000][gc,start    ] GC(0) Pause Young (Normal) (G1 Evacuation Pause)", None),
            ("[2026-11-27T23:39:48.262+0000][gc] GC(1) Concurrent Mark Cycle 4.100ms", None),
            // Uptime, as the JVM has it by default.
            (
                "[0.276s][info][gc] GC(27) Pause Full (System.gc()) 0M->0M(255M) 2.572ms",
                Some(("2026-01-01T00:00:00.276Z", 2.572, true)),
            ),
            ("[276ms][gc] GC(2) Pause Remark 10M->10M(20M) 0.5ms", Some(("2026-01-01T00:00:00.276Z", 0.5, false))),
            // ZGC of JDK 21.
            (
                "[2026-01-02T03:04:05.006+0000][gc,phases] GC(3) Y: Pause Mark Start 0.007ms",
                Some(("2026-01-02T03:04:05.006Z", 0.007, false)),
            ),
            // OpenJDK 8.
            (
                "2026-01-02T03:04:05.006+0000: 12.345: [GC pause (G1 Evacuation Pause) (young), 0.0123456 secs]",
                Some(("2026-01-02T03:04:05.006Z", 12.3456, false)),
            ),
            (
                "2026-01-02T03:04:05.006+0000: 12.345: [Full GC (System.gc()) [PSYoungGen: 1K->0K(2K)] 5K->1K(9K), \
                 0.5000000 secs] [Times: user=0.01 sys=0.00, real=0.50 secs]",
                Some(("2026-01-02T03:04:05.006Z", 500.0, true)),
            ),
            (
                "12.345: [GC (Allocation Failure) 512K->128K(1024K), 0.0100000 secs]",
                Some(("2026-01-01T00:00:12.345Z", 10.0, false)),
            ),
            ("2026-01-02T03:04:05.006+0000: 1.0: [GC concurrent-mark-end, 0.0100000 secs]", None),
            ("Heap after GC invocations=3 (full 0):", None),
            ("", None),
        ];
        for (line, wanted) in cases {
            let found = pauses(line, Some(begun));
            let wanted: Vec<(Timestamp, bool)> = wanted.iter().map(|(time, _, full)| (at(time), *full)).collect();
            assert_eq!(found.iter().map(|pause| (pause.at, pause.full)).collect::<Vec<_>>(), wanted, "{line}");
        }
        for (line, wanted) in cases {
            let found = pauses(line, Some(begun));
            let wanted = wanted.map_or(0.0, |(_, ms, _)| ms);
            assert!((longest(&found) - wanted).abs() < 1e-9, "{line}: {found:?}");
        }
        assert!(pauses("[0.276s][gc] GC(27) Pause Full (System.gc()) 0M->0M(255M) 2.572ms", None).is_empty());
    }

    #[test]
    fn full_collections_are_counted_over_any_hour() {
        let pause = |text: &str, full| Pause { at: at(text), ms: 1.0, full };
        let all = [
            pause("2026-01-01T00:50:00Z", true),
            pause("2026-01-01T01:10:00Z", true),
            pause("2026-01-01T01:20:00Z", false),
            pause("2026-01-01T01:50:00Z", true),
            pause("2026-01-01T03:00:00Z", true),
        ];
        assert_eq!(most_full_in_hour(&all), 3);
        assert_eq!(most_full_in_hour(&[]), 0);
    }
}
