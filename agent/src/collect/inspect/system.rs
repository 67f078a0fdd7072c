//! The operating system: memory, load, kernel, units.

use super::scene::Scene;
use super::sink::{Gap, Sink, Told};
use jiff::Timestamp;
use kfleet_inspect::{Counter, Datum};

pub(super) const KEYS: &[&str] =
    &["os.thp.enabled", "os.load.per_core", "os.mem.available", "os.oom_kills", "os.boot_id", "os.units.failed"];

pub(super) const CPU_KEYS: &[&str] = &["os.cpu.busy"];

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    sink.tell("os.thp.enabled", THP, scene.need(THP).and_then(|text| bracketed(&text)));
    sink.tell("os.load.per_core", "/proc/loadavg", load(scene));
    sink.tell("os.mem.available", "/proc/meminfo", scene.need("/proc/meminfo").and_then(|text| available(&text)));
    sink.tell("os.oom_kills", "/proc/vmstat", oom_kills(scene));
    sink.tell("os.boot_id", BOOT_ID, boot_id(scene).map(Datum::Text));
    let failed = scene.go_on().and_then(|()| Ok(scene.host().failed_units()?));
    sink.tell("os.units.failed", "the service manager", failed.map(Datum::List));
    Ok(())
}

/// What tells one boot from another.
pub(super) fn boot_id(scene: &Scene<'_>) -> Result<String, Gap> {
    scene.word(BOOT_ID)
}

/// When the host was booted: `btime` of `/proc/stat`, in whole seconds.
pub(super) fn booted(scene: &Scene<'_>) -> Result<Timestamp, Gap> {
    let stat = scene.need("/proc/stat")?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.trim().parse().ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| Gap::unreadable("/proc/stat has no line btime"))
}

/// A counter of the kernel, which begins anew at each boot.
pub(super) fn kernel_counter(scene: &Scene<'_>, value: u64) -> Told {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    Ok(Datum::Counter(Counter { value, epoch: boot_id(scene)?, since: booted(scene).ok() }))
}

/// The word in brackets: the choice of a list of the kernel's.
fn bracketed(text: &str) -> Told {
    let word = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(word, _)| word);
    let word = word.ok_or_else(|| Gap::Unreadable(format!("{:?} has no word in brackets", text.trim())))?;
    Ok(Datum::Text(word.to_owned()))
}

fn load(scene: &Scene<'_>) -> Told {
    let (load, online) = (scene.need("/proc/loadavg")?, scene.word("/sys/devices/system/cpu/online"));
    // A container may have no /sys of its own; the lines cpuN of /proc/stat are the online ones too.
    let cores = match online {
        Ok(list) => count_of(&list),
        Err(_) => Some(per_core(&scene.need("/proc/stat")?)),
    };
    let five = load.split_whitespace().nth(1).and_then(|field| field.parse::<f64>().ok());
    match (five, cores.filter(|cores| *cores > 0)) {
        (Some(load), Some(cores)) => Ok(Datum::Float(load / f64::from(cores))),
        (None, _) => Err(Gap::Unreadable(format!("/proc/loadavg holds {:?}", load.trim()))),
        (_, None) => Err(Gap::unreadable("the number of online processors is not known")),
    }
}

/// How many numbers a list of the kernel's such as `0-3,8` names.
fn count_of(list: &str) -> Option<u32> {
    let mut count = 0;
    for range in list.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        count += to.checked_sub(from)? + 1;
    }
    Some(count)
}

fn per_core(stat: &str) -> u32 {
    let cores = stat.lines().filter(|line| {
        line.strip_prefix("cpu").and_then(|rest| rest.chars().next()).is_some_and(|c| c.is_ascii_digit())
    });
    u32::try_from(cores.count()).unwrap_or(u32::MAX)
}

/// A value of `/proc/meminfo` in KiB.
fn memory(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn available(text: &str) -> Told {
    match (memory(text, "MemAvailable"), memory(text, "MemTotal")) {
        (Some(available), Some(total)) if total > 0.0 => Ok(Datum::Float(100.0 * available / total)),
        (None, _) => Err(Gap::unreadable("/proc/meminfo has no MemAvailable (kernels before 3.14 have not)")),
        (Some(_), _) => Err(Gap::unreadable("/proc/meminfo has no MemTotal")),
    }
}

fn oom_kills(scene: &Scene<'_>) -> Told {
    let vmstat = scene.need("/proc/vmstat")?;
    let kills =
        vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|text| text.trim().parse().ok());
    let kills = kills.ok_or_else(|| Gap::not_here("/proc/vmstat has no oom_kill (kernels before 4.13 have not)"))?;
    kernel_counter(scene, kills)
}

/// How busy the processors were between each two looks.
pub(super) fn cpu(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let looks: Option<Vec<(u64, u64)>> = scene.moments.borrow().iter().map(|moment| ticks(&moment.stat)).collect();
    let looks = looks.ok_or_else(|| Gap::unreadable("/proc/stat has no line cpu"))?;
    sink.tell("os.cpu.busy", "/proc/stat", busy(&looks));
    Ok(())
}

/// Ticks of all processors together: idle ones, and all. User and nice time hold that of guests, so the columns after
/// steal are not added again (proc_stat(5)).
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let columns: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    let idle = columns.get(3)? + columns.get(4).copied().unwrap_or(0);
    Some((idle, columns.iter().sum()))
}

fn busy(looks: &[(u64, u64)]) -> Told {
    let share = |pair: &[(u64, u64)]| {
        let [(idle, all), (idle_later, all_later)] = pair else { return None };
        // iowait may go back (proc_stat(5)), so the difference is never taken below nothing.
        let (idle, all) = (idle_later.saturating_sub(*idle), all_later.checked_sub(*all).filter(|all| *all > 0)?);
        #[expect(clippy::cast_precision_loss, reason = "ticks of seconds are far below 2^52")]
        Some(100.0 * (1.0 - (idle.min(all) as f64 / all as f64)))
    };
    let samples: Vec<f64> = looks.windows(2).filter_map(share).collect();
    if samples.is_empty() {
        return Err(Gap::unreadable("the window was too short for two looks"));
    }
    Ok(Datum::Samples(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_of_a_list_is_read() {
        for (text, wanted) in [
            ("always [madvise] never\n", Some("madvise")),
            ("[always] madvise never\n", Some("always")),
            ("always madvise never\n", None),
            ("", None),
        ] {
            let got = bracketed(text).ok();
            assert_eq!(got, wanted.map(|word| Datum::Text(word.into())), "{text}");
        }
    }

    #[test]
    fn processors_are_counted_in_both_forms() {
        for (list, wanted) in [("0", Some(1)), ("0-3\n", Some(4)), ("0-3,8,10-11", Some(7)), ("3-0", None), ("", None)]
        {
            assert_eq!(count_of(list), wanted, "{list}");
        }
        assert_eq!(per_core("cpu  1 2\ncpu0 1\ncpu1 1\ncpuidle\nintr 4\n"), 2);
    }

    #[test]
    fn memory_is_a_share_of_the_whole() {
        let text = "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    4096 kB\n";
        assert_eq!(available(text), Ok(Datum::Float(25.0)));
        assert!(matches!(available("MemTotal: 16384 kB\n"), Err(Gap::Unreadable(why)) if why.contains("3.14")));
    }

    #[test]
    fn busy_time_is_what_is_neither_idle_nor_waiting() {
        // A line of kernel 6.x with ten columns, and one of 2.6.10 with seven.
        assert_eq!(ticks("cpu  10 0 10 70 5 0 5 0 3 0\ncpu0 1\n"), Some((75, 100)));
        assert_eq!(ticks("cpu  10 0 10 75 5 0 0\n"), Some((80, 100)));
        assert_eq!(ticks("intr 1\n"), None);
        let Ok(Datum::Samples(samples)) = busy(&[(75, 100), (100, 200), (100, 300), (99, 400)]) else {
            panic!("no samples")
        };
        assert_eq!(samples, [75.0, 100.0, 100.0]);
        assert!(busy(&[(1, 1)]).is_err());
        assert!(busy(&[(1, 1), (1, 1)]).is_err(), "two looks at the same moment tell nothing");
    }
}
