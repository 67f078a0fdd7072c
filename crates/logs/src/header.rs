//! The head of a line: when it was written, at what level, and where its message begins.
//!
//! Known are the patterns of the configurations that Kafka (`[%d] %p %m (%c)%n`) and ZooKeeper
//! (`%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n`) ship with log4j, reload4j, log4j2 and logback, logback's
//! own default, JSON lines, the JVM's unified log (JEP 158) and that of JDK 8, the journal's `short-iso` and
//! `short-iso-precise`, `dmesg` and `/dev/kmsg`. Every line is looked at by itself, so a file in which an upgrade changed
//! the form half way is read to its end.

use crate::lines::beginning;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A line's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The finest.
    Trace,
    /// For developers.
    Debug,
    /// What happens.
    Info,
    /// What may become a fault.
    Warn,
    /// A fault.
    Error,
    /// The end of the process.
    Fatal,
}

impl Level {
    /// Every level, the finest first.
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// Its word in a log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// The level of a word, as loggers, the JVM and people write it.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "WARNING" => Some(Self::Warn),
            "SEVERE" => Some(Self::Error),
            word => Self::ALL.into_iter().find(|level| level.word() == word),
        }
    }
}

/// What kind of lines a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A log file of a JVM's logging framework.
    File,
    /// A log of a garbage collector.
    Gc,
    /// The kernel's messages.
    Kernel,
    /// The journal of a unit: each line has the journal's head, and behind it perhaps one of its own.
    Journal,
}

/// A line's time as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// With its zone.
    At(Timestamp),
    /// By a clock on the wall of the host's or process's zone.
    Local(DateTime),
    /// Since the boot of the host.
    SinceBoot(SignedDuration),
    /// Since the start of the process.
    SinceStart(SignedDuration),
    /// There is none.
    None,
}

/// What makes moments of stamps.
#[derive(Debug, Clone)]
pub struct Clock {
    /// The zone of local times: that of the process.
    pub zone: TimeZone,
    /// When the host booted.
    pub boot: Option<Timestamp>,
    /// When the process was started.
    pub start: Option<Timestamp>,
}

impl Clock {
    /// A clock for logs that carry their zone, or are written in UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, boot: None, start: None }
    }

    /// The moment of a stamp. An hour that comes twice in autumn is taken as its first one.
    #[must_use]
    pub fn moment(&self, stamp: Stamp) -> Option<Timestamp> {
        match stamp {
            Stamp::At(at) => Some(at),
            Stamp::Local(local) => self.zone.to_ambiguous_timestamp(local).compatible().ok(),
            Stamp::SinceBoot(since) => self.boot.and_then(|boot| boot.checked_add(since).ok()),
            Stamp::SinceStart(since) => self.start.and_then(|start| start.checked_add(since).ok()),
            Stamp::None => None,
        }
    }
}

/// A line's head and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// When.
    pub stamp: Stamp,
    /// At what level; none where the form has none.
    pub level: Option<Level>,
    /// The message, without head and logger.
    pub message: Cow<'a, str>,
    /// A logging framework wrote it: it has a head of its own behind the journal's.
    pub framework: bool,
}

/// The head of a line; none when it has none and so belongs to the record before it.
#[must_use]
pub fn parse(line: &str, shape: Shape) -> Option<Header<'_>> {
    match shape {
        Shape::File => file(line),
        Shape::Gc => unified(line).or_else(|| gc8(line)),
        Shape::Kernel => kmsg(line).or_else(|| since_boot(line)).or_else(|| journal(line).map(|(head, _)| head)),
        Shape::Journal => {
            let (head, message) = journal(line)?;
            Some(match file(message) {
                // The journal's own time has a zone.
                Some(inner) => Header { stamp: head.stamp, ..inner },
                None => head,
            })
        }
    }
}

fn plain(stamp: Stamp, level: Option<Level>, message: &str) -> Header<'_> {
    Header { stamp, level, message: Cow::Borrowed(message), framework: false }
}

fn file(line: &str) -> Option<Header<'_>> {
    let header = match line.as_bytes().first()? {
        b'[' => bracketed(line)?,
        b'{' => json(line)?,
        b'0'..=b'9' => dated(line)?,
        _ => return None,
    };
    Some(Header { framework: true, ..header })
}

/// `[2026-01-02 03:04:05,678] ERROR message (logger)`.
fn bracketed(line: &str) -> Option<Header<'_>> {
    let (stamp, rest) = moment(line.strip_prefix('[')?)?;
    let rest = rest.strip_prefix(']')?.trim_start();
    let (word, rest) = rest.split_once(' ')?;
    let level = Level::of_word(word)?;
    Some(plain(stamp, Some(level), without_logger(rest.trim())))
}

/// The name of a logger is a Java name with a dot.
fn without_logger(message: &str) -> &str {
    let cut = || {
        let (text, logger) = message.strip_suffix(')')?.rsplit_once('(')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$' | '-');
        (logger.contains('.') && logger.chars().all(is_name)).then(|| text.trim_end())
    };
    cut().unwrap_or(message)
}

/// A date or a time, then somewhere near the level as a word, and the message behind a dash. ZooKeeper's form and
/// logback's: `date [myid:1] - WARN  [thread:Class@line] - message`, `time [thread] WARN logger - message`.
fn dated(line: &str) -> Option<Header<'_>> {
    let (stamp, rest) = moment(line).or_else(|| time_only(line))?;
    let near = beginning(rest, 200);
    let mut at = 0;
    for word in near.split(' ') {
        let end = at + word.len();
        if let Some(level) = Level::of_word(word.trim_matches(['[', ']'])) {
            return Some(plain(stamp, Some(level), behind_dash(rest[end..].trim())));
        }
        at = end + 1;
    }
    None
}

fn behind_dash(rest: &str) -> &str {
    // The name of a ZooKeeper's thread has brackets inside, so its end is the first one with a dash behind it.
    let end = if rest.starts_with('[') { "] - " } else { " - " };
    let found = rest.split_once(end).map(|(_, message)| message);
    found.unwrap_or_else(|| without_logger(rest.strip_prefix("- ").unwrap_or(rest)))
}

/// One JSON object a line, with the names that log4j2's, logback's and the common layouts use.
fn json(line: &str) -> Option<Header<'static>> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    let text = |names: &[&str]| names.iter().find_map(|name| object.get(*name)?.as_str());
    let message = text(&["message", "msg", "log"])?.to_owned();
    let level = text(&["level", "log.level", "severity"]).and_then(Level::of_word);
    let stamp = text(&["@timestamp", "timestamp", "time"]).and_then(moment).map(|(stamp, _)| stamp);
    let millis = || object.get("timeMillis")?.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let stamp = stamp.or_else(|| millis().map(Stamp::At)).unwrap_or(Stamp::None);
    Some(Header { stamp, level, message: Cow::Owned(message), framework: true })
}

/// The JVM's unified log: decorations in brackets, in any number; a level or a date is among them. Kafka's own start script
/// asks for `time,tags`, which has no level.
fn unified(line: &str) -> Option<Header<'_>> {
    let (mut rest, mut stamp, mut level) = (line, Stamp::None, None);
    let (mut any, mut dated) = (false, false);
    while let Some((inside, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let inside = inside.trim();
        match (moment(inside), seconds(inside), Level::of_word(inside)) {
            (Some((at, _)), _, _) => (stamp, dated) = (at, true),
            // A date is better than an uptime.
            (None, Some(up), _) if stamp == Stamp::None => stamp = Stamp::SinceStart(up),
            (None, _, Some(found)) => level = Some(found),
            (None, Some(_), None) => {}
            // Tags, process, thread. Another bracket belongs to the message.
            (None, None, None) if any => {}
            (None, None, None) => return None,
        }
        any = true;
        rest = behind;
    }
    // Without either it is a log of another form.
    (dated || level.is_some()).then(|| plain(stamp, level, rest.trim()))
}

/// `12.345s` or `12345ms`, as the unified log has uptimes.
fn seconds(text: &str) -> Option<SignedDuration> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    SignedDuration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

/// JDK 8: `2026-01-02T03:04:05.678+0000: 12.345: [GC pause ...`, either time alone too.
fn gc8(line: &str) -> Option<Header<'_>> {
    let (dated, rest) = match moment(line) {
        Some((stamp, rest)) => (Some(stamp), rest.strip_prefix(": ")?),
        None => (None, line),
    };
    let up = rest.split_once(": ").and_then(|(up, rest)| Some((up.parse::<f64>().ok()?, rest)));
    match (dated, up) {
        (Some(stamp), Some((_, message))) => Some(plain(stamp, None, message)),
        (Some(stamp), None) => Some(plain(stamp, None, rest)),
        (None, Some((up, message))) => {
            Some(plain(Stamp::SinceStart(SignedDuration::try_from_secs_f64(up).ok()?), None, message))
        }
        (None, None) => None,
    }
}

/// `/dev/kmsg`: priority, number, microseconds since boot, flags.
fn kmsg(line: &str) -> Option<Header<'_>> {
    let (head, message) = line.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let _number: u64 = fields.next()?.parse().ok()?;
    let stamp = Stamp::SinceBoot(SignedDuration::from_micros(fields.next()?.parse().ok()?));
    // The three low bits are syslog's severity (include/linux/kern_levels.h).
    let level = match priority & 7 {
        0..=2 => Level::Fatal,
        3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    };
    Some(plain(stamp, Some(level), message))
}

/// `dmesg`: `[12345.678901] message`.
fn since_boot(line: &str) -> Option<Header<'_>> {
    let (up, message) = line.strip_prefix('[')?.split_once(']')?;
    let (whole, part) = up.trim().split_once('.')?;
    let us = format!("{part:0<6}").get(..6)?.parse::<i64>().ok()?;
    let since = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(us)?;
    Some(plain(Stamp::SinceBoot(SignedDuration::from_micros(since)), None, message.trim_start()))
}

/// `2026-01-02T03:04:05.678901+0000 host program[pid]: message`; the message also apart, as it outlives the head.
fn journal(line: &str) -> Option<(Header<'_>, &str)> {
    let (stamp, rest) = moment(line)?;
    let (_host, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let (_program, message) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
    Some((plain(stamp, None, message), message))
}

/// A date with a time at the beginning of a text, and what stands behind it.
fn moment(text: &str) -> Option<(Stamp, &str)> {
    let bytes = text.as_bytes();
    let year = i16::try_from(number(bytes, 0, 4)?).ok()?;
    let small = |at| number(bytes, at, 2).and_then(|n| i8::try_from(n).ok());
    let between = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    if !(between(4, b"-/") && between(7, b"-/") && between(10, b" T")) {
        return None;
    }
    let date = Date::new(year, small(5)?, small(8)?).ok()?;
    let (time, end) = time(bytes, 11)?;
    let local = DateTime::from_parts(date, time);
    let rest = text.get(end..)?;
    match zone(rest) {
        Some((offset, rest)) => Some((Stamp::At(offset.to_timestamp(local).ok()?), rest)),
        None => Some((Stamp::Local(local), rest)),
    }
}

/// `03:04:05.678`, logback's default: without a date it is no moment.
fn time_only(text: &str) -> Option<(Stamp, &str)> {
    let (_, end) = time(text.as_bytes(), 0)?;
    Some((Stamp::None, text.get(end..)?))
}

/// A time of a day, and where it ends.
fn time(bytes: &[u8], from: usize) -> Option<(Time, usize)> {
    let small = |at| number(bytes, at, 2).and_then(|n| i8::try_from(n).ok());
    if bytes.get(from + 2) != Some(&b':') || bytes.get(from + 5) != Some(&b':') {
        return None;
    }
    let (hour, minute, second) = (small(from)?, small(from + 3)?, small(from + 6)?);
    let (mut end, mut nanos, mut unit) = (from + 8, 0_i32, 100_000_000_i32);
    if matches!(bytes.get(end), Some(b',' | b'.')) && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end += 1;
        while let Some(digit) = bytes.get(end).filter(|byte| byte.is_ascii_digit()) {
            nanos += i32::from(digit - b'0') * unit;
            unit /= 10;
            end += 1;
        }
    }
    Some((Time::new(hour, minute, second.min(59), nanos).ok()?, end))
}

/// `Z`, `+0000`, `+00:00` or `+00` at the beginning of a text.
fn zone(text: &str) -> Option<(Offset, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((Offset::UTC, rest));
    }
    let bytes = text.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = i32::try_from(number(bytes, 1, 2)?).ok()?;
    let (at, colon) = if bytes.get(3) == Some(&b':') { (4, true) } else { (3, false) };
    let (minutes, end) = match number(bytes, at, 2) {
        Some(minutes) => (i32::try_from(minutes).ok()?, at + 2),
        None if colon => return None,
        None => (0, 3),
    };
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some((offset, text.get(end..)?))
}

/// A number of so many digits.
fn number(bytes: &[u8], from: usize, digits: usize) -> Option<u32> {
    let part = bytes.get(from..from + digits)?;
    part.iter().try_fold(0_u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(line: &str, shape: Shape) -> String {
        match parse(line, shape) {
            None => "none".to_owned(),
            Some(Header { stamp, level, message, framework }) => {
                let stamp = match stamp {
                    Stamp::At(at) => at.to_string(),
                    Stamp::Local(local) => local.to_string(),
                    Stamp::SinceBoot(since) => format!("boot+{}", since.as_secs_f64()),
                    Stamp::SinceStart(since) => format!("start+{}", since.as_secs_f64()),
                    Stamp::None => "?".to_owned(),
                };
                let level = level.map_or("-", Level::word);
                format!("{stamp} {level} {message}{}", if framework { " (framework)" } else { "" })
            }
        }
    }

    #[test]
    fn every_form_of_a_line_is_understood() {
        use Shape::{File, Gc, Journal, Kernel};
        for (shape, line, wanted) in [
            (
                File,
                "[2026-01-02 03:04:05,678] ERROR text (kafka.log.LogManager)",
                "2026-01-02T03:04:05.678 ERROR text (framework)",
            ),
            (
                File,
                "[2026-01-02 03:04:05,678] INFO text (a b) (kafka.Kafka$)",
                "2026-01-02T03:04:05.678 INFO text (a b) (framework)",
            ),
            (
                File,
                "[2026-01-02 03:04:05,678] INFO no logger (exclusive)",
                "2026-01-02T03:04:05.678 INFO no logger (exclusive) (framework)",
            ),
            (File, "[2026-01-02T03:04:05.678Z] WARN text", "2026-01-02T03:04:05.678Z WARN text (framework)"),
            (
                File,
                "2026-01-02 03:04:05,678 [myid:1] - WARN  [QuorumPeer[myid=1](plain=0.0.0.0:2181):Follower@128] - text - more",
                "2026-01-02T03:04:05.678 WARN text - more (framework)",
            ),
            (
                File,
                "2026-01-02 03:04:05,678 - INFO  [main:QuorumPeerMain@99] - text",
                "2026-01-02T03:04:05.678 INFO text (framework)",
            ),
            (
                File,
                "2026-01-02T03:04:05.678+01:00 [main] ERROR o.a.z.Server - text",
                "2026-01-02T02:04:05.678Z ERROR text (framework)",
            ),
            (File, "03:04:05.678 [main] DEBUG o.a.z.Server - text", "? DEBUG text (framework)"),
            (
                File,
                r#"{"timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","logger":"kafka","message":"text"}"#,
                "2026-01-02T03:04:05.678Z WARN text (framework)",
            ),
            (
                File,
                r#"{"timeMillis":1767323045678,"level":"ERROR","message":"text"}"#,
                "2026-01-02T03:04:05.678Z ERROR text (framework)",
            ),
            (File, "\tat kafka.log.Log.append(Log.scala:1)", "none"),
            (File, "java.io.IOException: No space left on device", "none"),
            (File, "[2026-01-02 03:04:05,678]", "none"),
            (File, "[2026-13-02 03:04:05,678] INFO no such month", "none"),
            (File, "", "none"),
            (
                Gc,
                "[2026-01-02T03:04:05.678+0000][info][gc,start     ] GC(1) Pause",
                "2026-01-02T03:04:05.678Z INFO GC(1) Pause",
            ),
            (Gc, "[2026-01-02T03:04:05.678+0000][gc,start     ] GC(1) Pause", "2026-01-02T03:04:05.678Z - GC(1) Pause"),
            (Gc, "[12.345s][warning][gc] GC(1) text", "start+12.345 WARN GC(1) text"),
            (
                Gc,
                "[2026-01-02T03:04:05.678+0000][12.345s][4711][info][gc] [x] text",
                "2026-01-02T03:04:05.678Z INFO [x] text",
            ),
            (Gc, "[12345ms] no level", "none"),
            (Gc, "2026-01-02T03:04:05.678+0100: 12.345: [GC pause", "2026-01-02T02:04:05.678Z - [GC pause"),
            (Gc, "12.345: [Full GC (Allocation Failure)", "start+12.345 - [Full GC (Allocation Failure)"),
            (Kernel, "[12345.678901] text", "boot+12345.678901 - text"),
            (Kernel, "[    0.5] text", "boot+0.5 - text"),
            (Kernel, "4,1234,5678901,-;text", "boot+5.678901 WARN text"),
            (
                Kernel,
                "2026-01-02T03:04:05.678901+0000 kafka-1 kernel: text: more",
                "2026-01-02T03:04:05.678901Z - text: more",
            ),
            (Kernel, "2026-01-02T03:04:05-0330 kafka-1 kernel: text", "2026-01-02T06:34:05Z - text"),
            (
                Journal,
                "2026-01-02T03:04:05+0100 k kafka[47]: [2026-01-02 03:04:05,678] WARN text (a.b)",
                "2026-01-02T02:04:05Z WARN text (framework)",
            ),
            (
                Journal,
                "2026-01-02T03:04:05+0000 k kafka[47]: # A fatal error",
                "2026-01-02T03:04:05Z - # A fatal error",
            ),
            (Journal, "-- Boot 6d3c7ad2 --", "none"),
        ] {
            assert_eq!(shown(line, shape), wanted, "{line}");
        }
    }

    #[test]
    fn moments_follow_the_zone_of_the_process() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let boot: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock { zone: berlin, boot: Some(boot), start: None };
        let local = |text: &str| clock.moment(Stamp::Local(text.parse().unwrap())).unwrap().to_string();
        assert_eq!(local("2026-01-02T03:04:05"), "2026-01-02T02:04:05Z");
        assert_eq!(local("2026-07-02T03:04:05"), "2026-07-02T01:04:05Z");
        assert_eq!(local("2026-10-25T02:30:00"), "2026-10-25T00:30:00Z", "the hour that comes twice");
        assert_eq!(local("2026-03-29T02:30:00"), "2026-03-29T01:30:00Z", "the hour that is left out");
        let since = SignedDuration::from_secs(90);
        assert_eq!(clock.moment(Stamp::SinceBoot(since)).unwrap().to_string(), "2026-01-01T00:01:30Z");
        assert_eq!(clock.moment(Stamp::SinceStart(since)), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(line in "\\PC{0,80}", date in proptest::bool::ANY) {
            let line = if date { format!("[2026-01-02 03:04:05,678{line}") } else { line };
            for shape in [Shape::File, Shape::Gc, Shape::Kernel, Shape::Journal] {
                if let Some(header) = parse(&line, shape) {
                    prop_assert!(header.message.len() <= line.len());
                }
            }
        }
    }
}
