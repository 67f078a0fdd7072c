//! ntpd and ntpsec, as `ntpq` tells of them: the peers' billboard, and the system's variables (mode 6 of NTP, RFC 9327;
//! "ntpq - standard NTP query program").

use crate::fields::{Line, ParseError};
use crate::reading::{Daemon, Leap, Reading, Source, SourceState, Sync};
use std::collections::BTreeMap;

/// The stratum of a clock that follows nobody (RFC 5905, section 7.3).
const UNSYNCHRONISED: u8 = 16;

/// Reads `ntpq -pn`.
///
/// # Errors
/// When it is no billboard.
pub fn parse_peers(text: &str) -> Result<Vec<Source>, ParseError> {
    let Some((_, peers)) = text.split_once("\n===") else {
        return Err(Line { command: "ntpq -pn", text }.lacks("table of peers"));
    };
    peers.lines().skip(1).filter(|line| !line.trim().is_empty()).map(peer).collect()
}

fn peer(text: &str) -> Result<Source, ParseError> {
    let line = Line { command: "ntpq -pn", text };
    let tally = text.chars().next().unwrap_or(' ');
    // `o` follows a pulse, `#` and `.` are good and more than are needed, a blank is not reached or not valid.
    let state = match tally {
        '*' | 'o' => SourceState::Selected,
        '+' => SourceState::Combined,
        '#' | '-' | '.' => SourceState::Spare,
        'x' => SourceState::Falseticker,
        ' ' => SourceState::Unusable,
        _ => return Err(line.lacks("tally code")),
    };
    let fields: Vec<&str> = text[tally.len_utf8()..].split_whitespace().collect();
    let field = |at: usize| fields.get(at).copied();
    let name = field(0).ok_or_else(|| line.lacks("name"))?.to_owned();
    let reach = field(6).and_then(|reach| u8::from_str_radix(reach, 8).ok()).ok_or_else(|| line.lacks("reach"))?;
    // In milliseconds, and what the source is ahead of the host.
    let offset_ms = line.number(field(8), "offset")?;
    let stratum: u8 = line.read(field(2), "stratum")?;
    Ok(Source {
        name,
        state,
        stratum: if stratum == UNSYNCHRONISED { 0 } else { stratum },
        reach: Some(reach),
        offset_s: (reach != 0).then_some(0.0 - offset_ms / 1000.0),
    })
}

/// Reads `ntpq -c "rv 0 leap,stratum,offset,frequency,rootdelay,rootdisp,refid"` beside the peers.
///
/// # Errors
/// When a variable is missing.
pub fn parse_variables(text: &str, sources: Vec<Source>) -> Result<Reading, ParseError> {
    let line = Line { command: "ntpq -c rv", text: text.trim() };
    let pairs = text.split([',', '\n']).filter_map(|pair| pair.trim().split_once('='));
    let variables: BTreeMap<&str, &str> = pairs.collect();
    let variable = |name: &str| variables.get(name).copied();
    let leap = match variable("leap") {
        Some("00" | "0") => Leap::Normal,
        Some("01" | "1") => Leap::Insert,
        Some("10" | "2") => Leap::Delete,
        Some("11" | "3") => Leap::Unknown,
        Some(_) | None => return Err(line.lacks("leap")),
    };
    let stratum: u8 = line.read(variable("stratum"), "stratum")?;
    let id = variable("refid").ok_or_else(|| line.lacks("refid"))?;
    let selected = sources.iter().find(|source| source.state == SourceState::Selected);
    let own = |name: &str| name.starts_with("127.127.1.") || name.starts_with("LOCL") || name.starts_with("LOCAL");
    let sync = match selected {
        _ if leap == Leap::Unknown || stratum >= UNSYNCHRONISED => Sync::Nobody,
        _ if own(id) => Sync::Itself,
        Some(source) if own(&source.name) => Sync::Itself,
        Some(source) => Sync::To(source.name.clone()),
        None => Sync::To(id.to_owned()),
    };
    let synced = sync != Sync::Nobody;
    let seconds = |name, wanted| line.number(variable(name), wanted).map(|ms| ms / 1000.0);
    Ok(Reading {
        daemon: Daemon::Ntpd,
        sync,
        stratum,
        offset_s: synced.then_some(0.0 - seconds("offset", "offset")?),
        leap,
        // The correction that is in effect: a clock that is hurried would be slow by itself.
        drift_ppm: synced.then_some(0.0 - line.number(variable("frequency"), "frequency")?),
        skew_ppm: None,
        root_delay_s: synced.then_some(seconds("rootdelay", "rootdelay")?),
        root_dispersion_s: synced.then_some(seconds("rootdisp", "rootdisp")?),
        sources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_with_the_daemons_opinion_of_each() {
        use SourceState::{Combined, Falseticker, Selected, Unusable};
        let peers = parse_peers(include_str!("recorded/ntpq-peers.txt")).unwrap();
        let seen: Vec<_> =
            peers.iter().map(|peer| (peer.name.as_str(), peer.state, peer.stratum, peer.reach)).collect();
        assert_eq!(
            seen,
            [
                ("10.99.0.2", Combined, 8, Some(0o177)),
                ("10.99.0.5", Selected, 3, Some(0o177)),
                ("10.99.0.3", Falseticker, 8, Some(0o177)),
                ("10.99.0.9", Unusable, 0, Some(0)),
            ]
        );
        let false_one = peers[2].offset_s.unwrap();
        assert!((false_one + 7.0).abs() < 0.01, "the host is 7 s behind the false one: {false_one}");
        assert_eq!(peers[3].offset_s, None);
    }

    #[test]
    fn a_daemon_that_has_just_started_follows_nobody() {
        let peers = parse_peers(include_str!("recorded/ntpq-peers-starting.txt")).unwrap();
        assert!(peers.iter().all(|peer| peer.state == SourceState::Unusable && peer.stratum == 0), "{peers:?}");
        let reading = parse_variables(include_str!("recorded/ntpq-rv-starting.txt"), peers).unwrap();
        assert_eq!((reading.sync, reading.stratum, reading.leap), (Sync::Nobody, 16, Leap::Unknown));
        assert_eq!(reading.offset_s, None);
    }

    #[test]
    fn variables_say_whom_the_clock_follows_and_how_well() {
        let peers = parse_peers(include_str!("recorded/ntpq-peers.txt")).unwrap();
        let text = include_str!("recorded/ntpq-rv.txt");
        let reading = parse_variables(text, peers.clone()).unwrap();
        assert_eq!((reading.sync, reading.stratum, reading.leap), (Sync::To("10.99.0.5".into()), 4, Leap::Normal));
        // What the sources are ahead is what the clock is behind, and the other way round.
        assert_eq!((reading.offset_s, reading.drift_ppm), (Some(0.00413 / 1000.0), Some(0.0)));
        assert_eq!((reading.root_delay_s, reading.root_dispersion_s), (Some(0.052 / 1000.0), Some(1.06 / 1000.0)));
        let slow = parse_variables(&text.replace("frequency=0.0", "frequency=12.25"), peers).unwrap();
        assert_eq!(slow.drift_ppm, Some(-12.25));
    }

    #[test]
    fn the_daemons_own_clock_is_no_source() {
        for refid in ["127.127.1.0", "LOCL", "LOCAL(0)"] {
            let text =
                format!("leap=00, stratum=6, rootdelay=0.0, rootdisp=1.0, refid={refid},\noffset=0.0, frequency=0.0\n");
            assert_eq!(parse_variables(&text, Vec::new()).unwrap().sync, Sync::Itself, "{refid}");
        }
    }

    #[test]
    fn what_is_no_billboard_is_an_error_that_shows_it() {
        for text in ["", "***Socket error; probably ntpd is not running\n", "a\n===\n!x y\n"] {
            assert!(parse_peers(text).unwrap_err().to_string().starts_with("ntpq -pn says "), "{text}");
        }
        assert!(parse_variables("leap=00, stratum=4", Vec::new()).is_err());
    }
}
