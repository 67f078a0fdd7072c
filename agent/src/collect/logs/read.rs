//! Reads one log within bounds, and gives its records.

use super::marks::{Mark, Marks};
use super::places::{Log, Way};
use super::{BYTES, CollectError, FIRST, TIME, now};
use crate::host::{CommandEnd, HostError, HostView};
use jiff::{SignedDuration, Timestamp};
use kfleet_logs::bookmark::{Growth, Part, Plan, Start, plan};
use kfleet_logs::header::{Stamp, parse};
use kfleet_logs::{Bookmark, Lines, Matcher, Reader, Record, Shape};
use std::path::Path;
use std::time::Duration;

/// A file is read in pieces of this size, and between them the time is looked at.
const PIECE: usize = 1024 * 1024;

/// So many entries of a journal are asked for at most: with lines of 400 bytes they fit into what a query may give.
const ENTRIES: usize = 20_000;

/// What takes the records.
pub(super) type Sink<'a> = dyn FnMut(Record<'static>) + 'a;

/// Reads what is new since a log's bookmark, and moves it. Gives what is to be told of the reading.
pub(super) fn since_mark(
    host: &dyn HostView,
    log: &Log,
    matcher: &Matcher<'static>,
    marks: &mut Marks,
    sink: &mut Sink<'_>,
) -> Result<Vec<String>, CollectError> {
    let first = before(now(host), FIRST);
    match &log.way {
        Way::Files(files) => {
            let bookmark = match marks.get(&log.name) {
                Some(Mark::File(bookmark)) => Some(bookmark),
                Some(Mark::Cursor(_) | Mark::Kernel { .. }) | None => None,
            };
            let unread = plan(files, bookmark, nanos(first)).within(BYTES);
            let is_first = bookmark.is_none();
            let end = parts(host, log, matcher, &unread, &mut |record| {
                if !is_first || record.at.is_none_or(|at| at >= first) {
                    sink(record);
                }
            });
            if let Some(mark) = end.mark {
                marks.set(&log.name, Mark::File(mark));
            }
            let told = unread.told.iter().map(ToString::to_string).chain(end.told).collect();
            end.failed.map_or(Ok(told), Err)
        }
        Way::Unit(unit) => journal(host, log, &["-u", unit], matcher, marks, first, sink),
        // Not `-k`: that is this boot's alone, and what ended the boot before is what one wants to know.
        Way::Kernel => match journal(host, log, &["_TRANSPORT=kernel"], matcher, marks, first, sink) {
            Err(CollectError::Host(HostError::Command { why, .. })) => dmesg(host, log, matcher, marks, &why, sink),
            outcome => outcome,
        },
    }
}

/// Reads what was written between two moments.
pub(super) fn between(
    host: &dyn HostView,
    log: &Log,
    matcher: &Matcher<'static>,
    since: Timestamp,
    until: Option<Timestamp>,
    sink: &mut Sink<'_>,
) -> Result<Vec<String>, CollectError> {
    let mut within = |record: Record<'static>| {
        if record.at.is_some_and(|at| at >= since && until.is_none_or(|until| at <= until)) {
            sink(record);
        }
    };
    match &log.way {
        Way::Files(files) => {
            let mut unread = plan(files, None, nanos(since));
            unread.told.retain(|told| *told != kfleet_logs::bookmark::Told::First);
            for part in &mut unread.parts {
                part.start = seek(host, log, part, since)?;
            }
            let unread = unread.within(BYTES);
            let end = parts(host, log, matcher, &unread, &mut within);
            let told = unread.told.iter().map(ToString::to_string).chain(end.told).collect();
            end.failed.map_or(Ok(told), Err)
        }
        Way::Unit(unit) => {
            let ended = journalctl(host, &["-u", unit], &since_argument(since))?;
            Ok(entries(log, matcher, &ended.stdout, &mut within).1)
        }
        Way::Kernel => match journalctl(host, &["_TRANSPORT=kernel"], &since_argument(since)) {
            Ok(ended) => Ok(entries(log, matcher, &ended.stdout, &mut within).1),
            Err(CollectError::Host(HostError::Command { why, .. })) => {
                lines(log, matcher, &dmesg_text(host)?, &mut within);
                Ok(vec![format!("journalctl {why}: read with dmesg, from this boot on")])
            }
            Err(error) => Err(error),
        },
    }
}

/// How the reading of files ended. What was given counts whatever came then, and the bookmark is behind it.
struct End {
    mark: Option<Bookmark>,
    told: Vec<String>,
    failed: Option<CollectError>,
}

/// How the reading of one file ended.
enum Stop {
    /// At its end.
    End,
    /// Before it, for this reason; the next reading goes on there.
    Early(String),
    /// By a fault.
    Failed(CollectError),
}

fn parts(host: &dyn HostView, log: &Log, matcher: &Matcher<'static>, plan: &Plan, sink: &mut Sink<'_>) -> End {
    let until = host.uptime() + TIME;
    let mut end = End { mark: None, told: Vec::new(), failed: None };
    let mut reader = Reader::new(matcher, log.clock.clone(), log.shape);
    for part in &plan.parts {
        let (read_to, stop) = one(host, part, until, &mut reader, sink);
        if read_to > part.start.offset() || matches!(stop, Stop::End) {
            end.mark = Some(Bookmark::of(&part.file, read_to));
        }
        match stop {
            Stop::End => {}
            Stop::Early(why) => {
                end.told.push(format!("{} was {why}; the next reading goes on there", part.file.path));
                break;
            }
            Stop::Failed(error) => {
                end.failed = Some(error);
                break;
            }
        }
    }
    reader.finish().into_iter().for_each(sink);
    end
}

/// Reads a file up to the size that it had when it was found. Gives the offset behind the last whole line.
fn one(
    host: &dyn HostView,
    part: &Part,
    until: Duration,
    reader: &mut Reader<'static, '_>,
    sink: &mut Sink<'_>,
) -> (u64, Stop) {
    let begun = part.start.offset();
    let (mut lines, mut at, path) = (Lines::default(), begun, Path::new(&part.file.path));
    let mut torn = matches!(part.start, Start::Middle(_));
    let mut take = |line: &str| {
        if !std::mem::take(&mut torn) {
            reader.line(line).into_iter().for_each(&mut *sink);
        }
    };
    while at < part.file.size {
        if host.uptime() >= until {
            let why = format!("not read to its end within {} s", TIME.as_secs());
            return (begun + lines.consumed(), Stop::Early(why));
        }
        let left = usize::try_from(part.file.size - at).unwrap_or(usize::MAX);
        let piece = match host.read_part(path, at, PIECE.min(left)) {
            Ok(piece) => piece,
            Err(error) => return (begun + lines.consumed(), Stop::Failed(error.into())),
        };
        let same = piece.filter(|(stat, _)| (stat.device, stat.inode) == (part.file.device, part.file.inode));
        let Some((_, bytes)) = same else {
            return (begun + lines.consumed(), Stop::Early("rotated while it was read".to_owned()));
        };
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        lines.take(&bytes, &mut take);
    }
    if part.growth == Growth::Finished {
        lines.finish(take);
    }
    (begun + lines.consumed(), Stop::End)
}

/// Where in a file a moment is, near enough: times grow in it, so the place is halved out.
fn seek(host: &dyn HostView, log: &Log, part: &Part, since: Timestamp) -> Result<Start, CollectError> {
    let (mut low, mut high) = (0, part.file.size);
    while high - low > PIECE as u64 {
        let middle = low + (high - low) / 2;
        let Some((_, bytes)) = host.read_part(Path::new(&part.file.path), middle, PIECE / 16)? else { break };
        let (mut lines, mut found, mut torn) = (Lines::default(), None, true);
        lines.take(&bytes, |line| {
            if !std::mem::take(&mut torn) && found.is_none() {
                found = parse(line, log.shape).and_then(|header| log.clock.moment(header.stamp));
            }
        });
        match found {
            Some(at) if at < since => low = middle,
            Some(_) => high = middle,
            // A stretch without times, as of a thread dump: then more is read than is needed.
            None => break,
        }
    }
    Ok(if low == 0 { Start::Line(0) } else { Start::Middle(low) })
}

/// The entries of a journal since its cursor.
fn journal(
    host: &dyn HostView,
    log: &Log,
    filter: &[&str],
    matcher: &Matcher<'static>,
    marks: &mut Marks,
    first: Timestamp,
    sink: &mut Sink<'_>,
) -> Result<Vec<String>, CollectError> {
    let mut told = Vec::new();
    let from_start = since_argument(first);
    let ended = match marks.get(&log.name) {
        Some(Mark::Cursor(cursor)) => match journalctl(host, filter, &format!("--after-cursor={cursor}")) {
            Ok(ended) => ended,
            Err(error) => {
                told.push(format!("its last place is lost ({error}): the last {} h were read", FIRST.as_secs() / 3600));
                journalctl(host, filter, &from_start)?
            }
        },
        Some(Mark::File(_) | Mark::Kernel { .. }) | None => {
            told.push("no bookmark: only what is new enough was read".to_owned());
            journalctl(host, filter, &from_start)?
        }
    };
    let (cursor, more) = entries(log, matcher, &ended.stdout, sink);
    if let Some(cursor) = cursor {
        marks.set(&log.name, Mark::Cursor(cursor));
    } else if let Some(mark) = marks.get(&log.name).cloned() {
        marks.set(&log.name, mark);
    }
    told.extend(more);
    Ok(told)
}

fn since_argument(since: Timestamp) -> String {
    format!("--since=@{}", since.as_second())
}

/// Asks the journal. systemd before 234 does not know microseconds in this form.
fn journalctl(host: &dyn HostView, filter: &[&str], from: &str) -> Result<CommandEnd, CollectError> {
    let entries = ENTRIES.to_string();
    let ask = |form: &str| {
        let mut argv = vec!["journalctl", "--no-pager", "-q", "-o", form, "-n", &entries, "--show-cursor", from];
        argv.extend(filter);
        let ended = host.query(&argv)?;
        if ended.rc == 0 {
            return Ok(ended);
        }
        Err(HostError::Command {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            why: format!("exited with status {}", ended.rc),
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        })
    };
    match ask("short-iso-precise") {
        Err(HostError::Command { stderr, .. }) if stderr.contains("output") => Ok(ask("short-iso")?),
        outcome => Ok(outcome?),
    }
}

/// Reads entries; gives the cursor behind them, and what is to be told.
fn entries(log: &Log, matcher: &Matcher<'static>, text: &[u8], sink: &mut Sink<'_>) -> (Option<String>, Vec<String>) {
    let text = String::from_utf8_lossy(text);
    let (body, cursor) = match text.rsplit_once("-- cursor: ") {
        Some((body, cursor)) => (body, Some(cursor.trim().to_owned())),
        None => (&*text, None),
    };
    let count = lines(log, matcher, body.as_bytes(), sink);
    let cut = (count >= ENTRIES).then(|| format!("only the newest {ENTRIES} entries were read"));
    (cursor, cut.into_iter().collect())
}

fn lines(log: &Log, matcher: &Matcher<'static>, text: &[u8], sink: &mut Sink<'_>) -> usize {
    let mut reader = Reader::new(matcher, log.clock.clone(), log.shape);
    let (mut lines, mut count) = (Lines::default(), 0);
    let mut take = |line: &str| {
        count += 1;
        reader.line(line).into_iter().for_each(&mut *sink);
    };
    lines.take(text, &mut take);
    lines.finish(&mut take);
    reader.finish().into_iter().for_each(sink);
    count
}

fn dmesg_text(host: &dyn HostView) -> Result<Vec<u8>, CollectError> {
    let ended = host.query(&["dmesg"])?;
    if ended.rc == 0 {
        return Ok(ended.stdout);
    }
    Err(CollectError::Host(HostError::Command {
        argv: vec!["dmesg".to_owned()],
        why: format!("exited with status {}", ended.rc),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
    }))
}

/// The kernel's own buffer, where there is no journal: it has this boot alone, and its oldest messages may be gone.
fn dmesg(
    host: &dyn HostView,
    log: &Log,
    matcher: &Matcher<'static>,
    marks: &mut Marks,
    why: &str,
    sink: &mut Sink<'_>,
) -> Result<Vec<String>, CollectError> {
    let boot_id = host.read(Path::new("/proc/sys/kernel/random/boot_id"), 1024)?.unwrap_or_default();
    let boot_id = String::from_utf8_lossy(&boot_id).trim().to_owned();
    let read = match marks.get(&log.name) {
        Some(Mark::Kernel { boot_id: known, us }) if *known == boot_id => *us,
        Some(Mark::Kernel { .. } | Mark::Cursor(_) | Mark::File(_)) | None => -1,
    };
    let text = dmesg_text(host)?;
    let micros = |line: &str| match parse(line, Shape::Kernel).map(|header| header.stamp) {
        Some(Stamp::SinceBoot(since)) => i64::try_from(since.as_micros()).ok(),
        Some(Stamp::At(_) | Stamp::Local(_) | Stamp::SinceStart(_) | Stamp::None) | None => None,
    };
    let mut newest = read;
    let mut new = String::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let at = micros(line);
        if at.is_some_and(|at| at > read) {
            new.push_str(line);
            new.push('\n');
        }
        newest = at.map_or(newest, |at| at.max(newest));
    }
    lines(log, matcher, new.as_bytes(), sink);
    marks.set(&log.name, Mark::Kernel { boot_id, us: newest });
    Ok(vec![format!("journalctl {why}: read with dmesg, from this boot on")])
}

fn before(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or_default();
    at.checked_sub(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}
