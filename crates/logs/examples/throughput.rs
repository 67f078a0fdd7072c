//! How fast logs are read: MB/s of the whole way from bytes to counts, beside that of only counting lines.
//!
//! `cargo run --release -p kfleet-logs --example throughput [MB]`. The text is what a broker writes on a busy day, with one line
//! in a hundred that a signature knows.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use kfleet_logs::{Clock, Lines, Matcher, Reader, SIGNATURES, Shape, Source, Tally, Templates};
use std::time::Instant;

const ORDINARY: [&str; 4] = [
    "INFO [GroupCoordinator 1]: Assignment received from leader consumer-1 for group billing for generation 41. (kafka.coordinator.group.GroupCoordinator)",
    "INFO [UnifiedLog partition=orders-3, dir=/var/lib/kafka/data] Rolled new log segment at offset 18243 in 3 ms. (kafka.log.UnifiedLog)",
    "INFO [LocalLog partition=orders-3, dir=/var/lib/kafka/data] Deleting segment files LogSegment(baseOffset=17001, size=1073741824) (kafka.log.LocalLog$)",
    "WARN [Producer clientId=p] Got error produce response with correlation id 17 on topic-partition orders-3, retrying (org.apache.kafka.clients.producer.internals.Sender)",
];

const KNOWN: &str = "INFO [Partition orders-3 broker=1] Shrinking ISR from 1,2,3 to 1,3. Leader: (highWatermark: 1, endOffset: 2). (kafka.cluster.Partition)";

fn text(bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 400);
    let mut line = 0_usize;
    while out.len() < bytes {
        let message = if line % 100 == 0 { KNOWN } else { ORDINARY[line % ORDINARY.len()] };
        let (minute, second) = (line / 6000 % 60, line / 100 % 60);
        out.extend_from_slice(format!("[2026-01-02 03:{minute:02}:{second:02},678] {message}\n").as_bytes());
        line += 1;
    }
    out
}

fn read(text: &[u8]) -> u64 {
    let matcher = Matcher::new(&SIGNATURES, Source::Kafka);
    let mut reader = Reader::new(&matcher, Clock::utc(), Shape::File);
    let (mut lines, mut tally, mut unknown) = (Lines::default(), Tally::new(&SIGNATURES), Templates::default());
    for piece in text.chunks(1024 * 1024) {
        lines.take(piece, |line| {
            if let Some(record) = reader.line(line) {
                record.hits.iter().for_each(|hit| tally.add(hit, record.at, &record.text));
                if record.hits.is_empty() && record.level >= Some(kfleet_logs::Level::Error) {
                    unknown.add(&record.message, &record.text, record.at);
                }
            }
        });
    }
    tally.seen().iter().map(|seen| seen.count).sum()
}

fn main() {
    let megabytes: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(64);
    let text = text(megabytes * 1_000_000);
    // What is compiled once for all logs is no part of the reading.
    let known = SIGNATURES.all().len();
    let begun = Instant::now();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let counting = begun.elapsed();
    let begun = Instant::now();
    let hits = read(&text);
    let reading = begun.elapsed();
    let speed = |took: std::time::Duration| text.len() as f64 / 1e6 / took.as_secs_f64();
    println!("{} MB, {lines} lines, {known} signatures, {hits} hits", text.len() / 1_000_000);
    println!(
        "counting lines {:.0} MB/s, reading {:.0} MB/s, ratio {:.1}",
        speed(counting),
        speed(reading),
        reading.as_secs_f64() / counting.as_secs_f64()
    );
}
