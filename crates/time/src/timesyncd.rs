//! systemd-timesyncd, as `timedatectl timesync-status` tells of it: a simple client that follows one server at a time and
//! compares it with no other.

use crate::fields::{Line, ParseError};
use crate::reading::{Daemon, Leap, Reading, Source, SourceState, Sync};

/// Spans of time as systemd writes them (systemd.time(7)), in seconds.
const UNITS: [(&str, f64); 9] = [
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
    ("month", 2_629_800.0),
    ("y", 31_557_600.0),
];

/// Reads `timedatectl timesync-status`.
///
/// # Errors
/// When it is no such report.
pub fn parse_status(text: &str) -> Result<Reading, ParseError> {
    let line = Line { command: "timedatectl timesync-status", text: text.trim() };
    let value =
        |key: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let server = value("Server").ok_or_else(|| line.lacks("server"))?;
    // The address and, in brackets, the name that it was found by.
    let name = server.split_whitespace().next().filter(|name| *name != "n/a" && *name != "(null)");
    let leap = match value("Leap") {
        Some("normal") => Leap::Normal,
        Some(text) if text.contains("61 seconds") => Leap::Insert,
        Some(text) if text.contains("59 seconds") => Leap::Delete,
        Some(_) | None => Leap::Unknown,
    };
    // Without an answer of the server the report ends before these lines.
    let answered = value("Packet count").is_some_and(|count| count != "0") && value("Stratum").is_some();
    let sync = match name {
        Some(name) if answered && leap != Leap::Unknown => Sync::To(name.to_owned()),
        Some(_) | None => Sync::Nobody,
    };
    let of_server: u8 = if answered { line.read(value("Stratum"), "stratum")? } else { 0 };
    let behind = value("Offset").map(|text| span(text).ok_or_else(|| line.lacks("offset"))).transpose()?;
    let offset_s = behind.filter(|_| answered).map(|behind| 0.0 - behind);
    let frequency = value("Frequency").and_then(|text| text.strip_suffix("ppm"));
    let drift_ppm = frequency.map(|ppm| line.number(Some(ppm), "frequency")).transpose()?.map(|ppm| 0.0 - ppm);
    let synced = sync != Sync::Nobody;
    let state = if synced { SourceState::Selected } else { SourceState::Unusable };
    let source = |name: &str| Source { name: name.to_owned(), state, stratum: of_server, reach: None, offset_s };
    Ok(Reading {
        daemon: Daemon::Timesyncd,
        sync,
        stratum: if synced { of_server.saturating_add(1) } else { 0 },
        offset_s: offset_s.filter(|_| synced),
        leap,
        drift_ppm: drift_ppm.filter(|_| synced),
        skew_ppm: None,
        root_delay_s: value("Delay").and_then(span).filter(|_| synced),
        root_dispersion_s: None,
        sources: name.map(source).into_iter().collect(),
    })
}

/// A span such as `+1min 2.5s`, in seconds.
fn span(text: &str) -> Option<f64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if text == "0" {
        return Some(0.0);
    }
    let mut total = None;
    for part in text.split_whitespace() {
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = part.split_at(digits);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let number: f64 = number.parse().ok()?;
        total = Some(total.unwrap_or(0.0) + number * factor);
    }
    total.map(|total| sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_an_answer_is_read() {
        let reading = parse_status(include_str!("recorded/timesyncd-status.txt")).unwrap();
        assert_eq!((reading.sync, reading.stratum, reading.leap), (Sync::To("10.99.0.2".into()), 9, Leap::Normal));
        // "+6us" is what the server is ahead.
        assert_eq!((reading.offset_s, reading.root_delay_s), (Some(-6e-6), Some(32.0 * 1e-6)));
        assert_eq!(reading.sources.len(), 1);
        assert_eq!(reading.sources[0].state, SourceState::Selected);
    }

    #[test]
    fn a_server_that_never_answered_is_followed_by_nobody() {
        let reading = parse_status(
            "       Server: 10.99.0.9 (time.example)\nPoll interval: 0 (min: 32s; max: 34min 8s)\n Packet count: 0\n",
        )
        .unwrap();
        assert_eq!((&reading.sync, reading.offset_s), (&Sync::Nobody, None));
        assert_eq!((reading.sources[0].name.as_str(), reading.sources[0].state), ("10.99.0.9", SourceState::Unusable));
        let without =
            parse_status("       Server: n/a\nPoll interval: 0 (min: 32s; max: 34min 8s)\n Packet count: 0\n").unwrap();
        assert_eq!((without.sync, without.sources), (Sync::Nobody, Vec::new()));
        assert!(parse_status("Failed to connect to bus: Host is down").is_err());
    }

    #[test]
    fn spans_are_read_as_systemd_writes_them() {
        for (text, seconds) in [
            ("+6us", Some(6e-6)),
            ("-1.5ms", Some(-1.5e-3)),
            ("+1min 2.5s", Some(62.5)),
            ("0", Some(0.0)),
            ("1h 1min", Some(3660.0)),
            ("n/a", None),
            ("5 apples", None),
            ("", None),
        ] {
            assert_eq!(span(text), seconds, "{text}");
        }
    }
}
