//! Records out of lines: a line with a head and those without one behind it, such as a stack trace.

use crate::header::{Clock, Level, Shape, parse};
use crate::lines::beginning;
use crate::matcher::{Hit, Matcher};
use jiff::Timestamp;

/// So many lines of a record are kept as evidence; all are searched.
pub const MORE_LIMIT: usize = 20;

/// So much of each line is kept.
pub const TEXT_LIMIT: usize = 4096;

/// One thing that was logged.
#[derive(Debug, Clone)]
pub struct Record<'s> {
    /// When; of a record without a time, when the one before it was.
    pub at: Option<Timestamp>,
    /// At what level, where the form has one.
    pub level: Option<Level>,
    /// Its first line as it stands there, cut.
    pub text: String,
    /// The message of that line, cut.
    pub message: String,
    /// The lines behind it, cut, the first [`MORE_LIMIT`].
    pub more: Vec<String>,
    /// What is known of it; each signature once.
    pub hits: Vec<Hit<'s>>,
    /// A logging framework wrote it.
    pub framework: bool,
    /// Its time went back so far behind the one before.
    pub back_ms: Option<i64>,
}

/// Reads the lines of one source in their order.
#[derive(Debug)]
pub struct Reader<'s, 'm> {
    matcher: &'m Matcher<'s>,
    clock: Clock,
    shape: Shape,
    open: Option<Record<'s>>,
    last: Option<Timestamp>,
}

impl<'s, 'm> Reader<'s, 'm> {
    /// A reader of lines of one shape, whose times are made moments by a clock.
    #[must_use]
    pub fn new(matcher: &'m Matcher<'s>, clock: Clock, shape: Shape) -> Self {
        Self { matcher, clock, shape, open: None, last: None }
    }

    /// Takes a line; gives the record that it ends.
    pub fn line(&mut self, line: &str) -> Option<Record<'s>> {
        let header = parse(line, self.shape);
        let message = header.as_ref().map_or(line, |header| header.message.as_ref());
        let framework = header.as_ref().is_some_and(|header| header.framework);
        let moment = header.as_ref().and_then(|header| self.clock.moment(header.stamp));
        // Behind the journal's head a stack trace has none of its own.
        let begins = match self.shape {
            Shape::File | Shape::Gc | Shape::Kernel => header.is_some() || self.begins_bare(line, moment),
            Shape::Journal => framework || (header.is_some() && self.begins_bare(message, moment)),
        };
        if !begins && self.open.is_some() {
            self.add(message);
            return None;
        }
        let back_ms = match (moment, self.last) {
            (Some(at), Some(last)) if at < last => Some(last.as_millisecond() - at.as_millisecond()),
            (Some(_) | None, _) => None,
        };
        self.last = moment.or(self.last);
        let record = Record {
            at: self.last,
            level: header.as_ref().and_then(|header| header.level),
            text: cut(line),
            message: cut(message),
            more: Vec::new(),
            hits: self.matcher.hits(message),
            framework,
            back_ms,
        };
        self.open.replace(record)
    }

    /// The last record, when nothing comes behind it.
    pub fn finish(&mut self) -> Option<Record<'s>> {
        self.open.take()
    }

    /// Whether a line without a head is a record by itself: it does not look like the rest of another one.
    fn begins_bare(&self, line: &str, moment: Option<Timestamp>) -> bool {
        // A framework writes a stack trace at once; an exception by itself later on is the JVM's own word.
        let later = |open: &Record<'_>| match (moment, open.at) {
            (Some(at), Some(before)) => at.as_second() - before.as_second() > 1,
            (Some(_) | None, _) => false,
        };
        match &self.open {
            None => true,
            // What the framework writes belongs together until its next head.
            Some(open) if open.framework => {
                self.shape == Shape::Journal && !continues(line) && (!is_exception(line) || later(open))
            }
            Some(_) => !continues(line),
        }
    }

    fn add(&mut self, line: &str) {
        let frame = is_frame(line);
        let hits = if frame { Vec::new() } else { self.matcher.hits(line) };
        let Some(open) = &mut self.open else { return };
        for hit in hits {
            if !open.hits.iter().any(|known| known.signature.id == hit.signature.id) {
                open.hits.push(hit);
            }
        }
        if open.more.len() < MORE_LIMIT {
            open.more.push(cut(line));
        }
    }
}

/// A line of a stack trace, which names code and no event.
fn is_frame(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("at ") || (line.starts_with("... ") && line.ends_with(" more"))
}

/// A line that has its beginning elsewhere.
fn continues(line: &str) -> bool {
    line.is_empty() || line.starts_with([' ', '\t']) || line.starts_with("Caused by:") || is_frame(line)
}

/// `java.io.IOException: text`, which stands below the message that it was logged with.
fn is_exception(line: &str) -> bool {
    let name = line.split([':', ' ']).next().unwrap_or(line);
    name.contains('.') && (name.ends_with("Exception") || name.ends_with("Error"))
}

fn cut(line: &str) -> String {
    beginning(line, TEXT_LIMIT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SIGNATURES, Source};

    fn read(source: Source, shape: Shape, text: &str) -> Vec<String> {
        let matcher = Matcher::new(&SIGNATURES, source);
        let mut reader = Reader::new(&matcher, Clock::utc(), shape);
        let mut records: Vec<_> = text.lines().filter_map(|line| reader.line(line)).collect();
        records.extend(reader.finish());
        let ids =
            |record: &Record<'_>| record.hits.iter().map(|hit| hit.signature.id.as_str()).collect::<Vec<_>>().join(",");
        records.iter().map(|record| format!("{} +{} [{}]", record.message, record.more.len(), ids(record))).collect()
    }

    #[test]
    fn a_stack_trace_belongs_to_the_line_before_it() {
        let text = "\
\tat lost.head(File.java:1)
[2026-01-02 03:04:05,678] ERROR Error while appending records to orders-3 in dir /d (a.b)
java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
Caused by: java.io.IOException: Map failed
\t... 12 more
[2026-01-02 03:04:06,678] INFO [KafkaServer id=1] started (a.b)
";
        assert_eq!(
            read(Source::Kafka, Shape::File, text),
            [
                "\tat lost.head(File.java:1) +0 []",
                "Error while appending records to orders-3 in dir /d +4 [K-IO-APPEND,K-NOSPACE,K-MAP-FAILED]",
                "[KafkaServer id=1] started +0 [K-STARTED]",
            ]
        );
    }

    #[test]
    fn what_a_jvm_prints_by_itself_stands_alone() {
        let text = "\
#
# A fatal error has been detected by the Java Runtime Environment:
Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space
\tat kafka.Kafka.main(Kafka.scala)
";
        assert_eq!(
            read(Source::Output, Shape::File, text),
            [
                "# +0 []",
                "# A fatal error has been detected by the Java Runtime Environment: +0 [J-CRASH]",
                "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space +1 [J-OOM-HEAP]",
            ]
        );
    }

    #[test]
    fn in_a_journal_the_parts_of_a_record_have_heads() {
        let at = |text: &str| format!("2026-01-02T03:04:05.678901+0000 k1 java[47]: {text}\n");
        let text = [
            "[2026-01-02 03:04:05,678] ERROR Error while flushing log for orders-3 in dir /d (a.b)",
            "java.io.IOException: No space left on device",
            "\tat a.b.C(D.java)",
            "Found one Java-level deadlock:",
            "[2026-01-02 03:04:06,678] INFO text (a.b)",
        ]
        .map(at)
        .concat();
        assert_eq!(
            read(Source::Kafka, Shape::Journal, &text),
            [
                "Error while flushing log for orders-3 in dir /d +2 [K-IO-FLUSH,K-NOSPACE]",
                "Found one Java-level deadlock: +0 [J-DEADLOCK]",
                "text +0 []",
            ]
        );
    }

    #[test]
    fn an_exception_long_after_a_record_is_the_jvm_s_own() {
        let text = "\
2026-01-02T03:04:05.678901+0000 k1 java[47]: [2026-01-02 03:04:05,678] INFO text (a.b)
2026-01-02T03:04:15.678901+0000 k1 java[47]: java.lang.OutOfMemoryError: Java heap space
2026-01-02T03:04:15.678901+0000 k1 java[47]: Dumping heap to java_pid47.hprof ...
";
        assert_eq!(
            read(Source::Kafka, Shape::Journal, text),
            [
                "text +0 []",
                "java.lang.OutOfMemoryError: Java heap space +0 [J-OOM-HEAP]",
                "Dumping heap to java_pid47.hprof ... +0 []"
            ]
        );
    }

    #[test]
    fn a_long_dump_is_searched_to_its_end_and_kept_in_part() {
        let dump = format!("Full thread dump\n{}Found one Java-level deadlock:\n", "  at a.b\n".repeat(100));
        let found = read(Source::Output, Shape::File, &dump);
        assert_eq!(found, ["Full thread dump +20 []", "Found one Java-level deadlock: +0 [J-DEADLOCK]"]);
        let headed = format!("[2026-01-02 03:04:05,678] WARN dump (a.b)\n{dump}");
        assert_eq!(read(Source::Kafka, Shape::File, &headed), ["dump +20 [J-DEADLOCK]"]);
    }

    #[test]
    fn records_have_times_and_clocks_that_went_back_are_seen() {
        let matcher = Matcher::new(&SIGNATURES, Source::Kafka);
        let mut reader = Reader::new(&matcher, Clock::utc(), Shape::File);
        let lines =
            ["[2026-01-02 03:04:05,678] INFO a (b.c)", "[2026-01-02 03:04:04,678] INFO a (b.c)", "{\"message\":\"m\"}"];
        let mut records: Vec<_> = lines.iter().filter_map(|line| reader.line(line)).collect();
        records.extend(reader.finish());
        let told: Vec<_> = records.iter().map(|record| (record.at.unwrap().to_string(), record.back_ms)).collect();
        assert_eq!(
            told,
            [
                ("2026-01-02T03:04:05.678Z".to_owned(), None),
                ("2026-01-02T03:04:04.678Z".to_owned(), Some(1000)),
                ("2026-01-02T03:04:04.678Z".to_owned(), None),
            ]
        );
    }
}
