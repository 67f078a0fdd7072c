//! chrony, as `chronyc -c` tells it: the fields of the reports of chronyc(1) in their order, with commas between, units
//! left out (-c of chronyc(1)).

use crate::fields::{Line, ParseError};
use crate::reading::{Daemon, Leap, Reading, Source, SourceState, Sync};

/// The reference id of a chronyd whose `local` directive is in effect: 127.127.1.1 (chronyc(1), "tracking").
const LOCAL: &str = "7F7F0101";

/// The mark that `chronyd -Q` puts before the offset.
const PRINTED: &str = "System clock wrong by ";

/// Reads `chronyc -c -n tracking`; the sources are another report.
///
/// # Errors
/// When it is no such report.
pub fn parse_tracking(text: &str) -> Result<Reading, ParseError> {
    let line = Line { command: "chronyc tracking", text: text.trim_end() };
    let fields: Vec<&str> = line.text.split(',').collect();
    let field = |at: usize| fields.get(at).copied();
    let leap = match field(13) {
        Some("Normal") => Leap::Normal,
        Some("Insert second") => Leap::Insert,
        Some("Delete second") => Leap::Delete,
        Some("Not synchronised") => Leap::Unknown,
        Some(_) | None => return Err(line.lacks("leap status")),
    };
    let (id, name) = (field(0).unwrap_or_default(), field(1).unwrap_or_default());
    let sync = match leap {
        Leap::Unknown => Sync::Nobody,
        Leap::Normal | Leap::Insert | Leap::Delete if id == LOCAL => Sync::Itself,
        Leap::Normal | Leap::Insert | Leap::Delete => Sync::To(if name.is_empty() { id } else { name }.to_owned()),
    };
    // The report gives what the clock lacks ("slow" when positive), everybody else counts what it is ahead.
    let slow: f64 = line.number(field(4), "system time")?;
    let synced = sync != Sync::Nobody;
    Ok(Reading {
        daemon: Daemon::Chrony,
        sync,
        stratum: line.read(field(2), "stratum")?,
        offset_s: synced.then_some(0.0 - slow),
        leap,
        drift_ppm: synced.then_some(line.number(field(7), "frequency")?),
        skew_ppm: synced.then_some(line.number(field(9), "skew")?),
        root_delay_s: synced.then_some(line.number(field(10), "root delay")?),
        root_dispersion_s: synced.then_some(line.number(field(11), "root dispersion")?),
        sources: Vec::new(),
    })
}

/// Reads `chronyc -c -n sources`, or with -N in place of -n, where the names are those of the configuration.
///
/// # Errors
/// When it is no such report.
pub fn parse_sources(text: &str) -> Result<Vec<Source>, ParseError> {
    text.lines().filter(|line| !line.trim().is_empty()).map(source).collect()
}

fn source(text: &str) -> Result<Source, ParseError> {
    let line = Line { command: "chronyc sources", text };
    let fields: Vec<&str> = text.split(',').collect();
    let field = |at: usize| fields.get(at).copied();
    let state = match field(1) {
        Some("*") => SourceState::Selected,
        Some("+") => SourceState::Combined,
        Some("-") => SourceState::Spare,
        Some("x") => SourceState::Falseticker,
        Some("~") => SourceState::Unsteady,
        Some("?") => SourceState::Unusable,
        Some(_) | None => return Err(line.lacks("state")),
    };
    let name = field(2).filter(|name| !name.is_empty()).ok_or_else(|| line.lacks("name"))?.to_owned();
    // In octal, as ntpd has always shown it.
    let reach = field(5).and_then(|reach| u8::from_str_radix(reach, 8).ok()).ok_or_else(|| line.lacks("reach"))?;
    // Without a measurement the age of the last one is the largest number, and the offset says nothing.
    let age: u32 = line.read(field(6), "age of the last measurement")?;
    let offset_s = line.number(field(8), "measured offset")?;
    Ok(Source {
        name,
        state,
        stratum: line.read(field(3), "stratum")?,
        reach: Some(reach),
        offset_s: (age != u32::MAX).then_some(offset_s),
    })
}

/// How far the clock is ahead by the last line of `chronyd -Q`, in seconds; none when it had no answer in time.
#[must_use]
pub fn parse_printed_offset(text: &str) -> Option<f64> {
    let (_, rest) = text.lines().find_map(|line| line.split_once(PRINTED))?;
    let wrong_by: f64 = rest.split_whitespace().next()?.parse().ok()?;
    wrong_by.is_finite().then_some(0.0 - wrong_by)
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! recorded {
        ($file:literal) => {
            include_str!(concat!("recorded/", $file))
        };
    }

    #[test]
    fn tracking_is_read_before_and_after_a_source_was_selected() {
        let reading = parse_tracking(recorded!("chronyc-tracking-unsynced.csv")).unwrap();
        assert_eq!((&reading.sync, reading.stratum, reading.leap), (&Sync::Nobody, 0, Leap::Unknown));
        assert_eq!(reading.offset_s, None, "an unsynchronised clock's offset is not known, and not 0");

        let reading = parse_tracking(recorded!("chronyc-tracking-synced.csv")).unwrap();
        assert_eq!((reading.sync, reading.stratum, reading.leap), (Sync::To("10.99.0.2".into()), 9, Leap::Normal));
        // The same report in words: "0.000002936 seconds fast", "0.012 ppm fast", skew 0.284 ppm.
        assert_eq!(reading.offset_s, Some(0.000_002_935));
        assert_eq!((reading.drift_ppm, reading.skew_ppm), (Some(0.012), Some(0.284)));
        assert_eq!((reading.root_delay_s, reading.root_dispersion_s), (Some(0.000_009_508), Some(0.000_002_051)));
    }

    #[test]
    fn a_server_that_passes_on_its_own_time_follows_itself() {
        let reading = parse_tracking(recorded!("chronyc-tracking-local.csv")).unwrap();
        assert_eq!((reading.sync, reading.stratum), (Sync::Itself, 8));
    }

    #[test]
    fn sources_are_read_with_the_daemons_opinion_of_each() {
        use SourceState::{Combined, Falseticker, Selected, Unusable};
        let sources = parse_sources(recorded!("chronyc-sources-falseticker.csv")).unwrap();
        let seen: Vec<_> = sources.iter().map(|s| (s.name.as_str(), s.state, s.stratum, s.reach)).collect();
        assert_eq!(
            seen,
            [
                ("10.99.0.2", Combined, 8, Some(0o377)),
                ("10.99.0.5", Selected, 3, Some(0o377)),
                ("10.99.0.3", Falseticker, 8, Some(0o377)),
                ("10.99.0.9", Unusable, 0, Some(0)),
            ]
        );
        // The false one's clock was 7 s ahead, so the host's was behind it.
        assert_eq!(sources[2].offset_s, Some(-7.000_030_041));
        assert_eq!(sources[3].offset_s, None, "no measurement is not an offset of 0");
    }

    #[test]
    fn names_are_those_of_the_configuration_where_they_were_asked_for() {
        let sources = parse_sources(recorded!("chronyc-sources-named.csv")).unwrap();
        let names: std::collections::BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["10.99.0.2", "nowhere.invalid", "poolhost", "timehost"]);
    }

    #[test]
    fn a_measurement_without_a_daemon_says_how_far_the_clock_is_ahead() {
        assert_eq!(parse_printed_offset(recorded!("chronyd-print-offset.txt")), Some(-7.000_017));
        assert_eq!(parse_printed_offset("2026-11-27T22:50:00Z Timeout reached\n"), None);
        assert_eq!(parse_printed_offset("System clock wrong by inf seconds"), None);
    }

    #[test]
    fn what_is_no_report_is_an_error_that_shows_it() {
        for text in ["", "506 Cannot talk to daemon", "a,b,c,d,e,f,g,h,i,j,k,l,m,Normal", "1,2,3"] {
            let error = parse_tracking(text).unwrap_err().to_string();
            assert!(error.starts_with("chronyc tracking says "), "{error}");
        }
        for text in ["506 Cannot talk to daemon", "^,!,a,1,6,377,1,0.0,0.0,0.0", "^,*,,1,6,377,1,0.0,0.0,0.0"] {
            assert!(parse_sources(text).unwrap_err().to_string().starts_with("chronyc sources says "), "{text}");
        }
    }
}
