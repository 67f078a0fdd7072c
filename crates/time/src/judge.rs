//! Whether a clock is well kept, by what its daemon says.

use crate::reading::{Daemon, Reading, SourceState, Sync};
use serde::{Deserialize, Serialize};
use std::fmt;

/// From what on something is told. Each is a default, for a fleet to change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// How far the clock may be off before it is worth a look, in seconds. 0.05 is the alert of the node exporter's
    /// mixin ("NodeClockSkewDetected").
    pub offset_warn_s: f64,
    /// From here on it is bad: half a second is more than what most brokers hold a request for. Chosen.
    pub offset_critical_s: f64,
    /// Fewer usable sources can not outvote one that lies: it takes two that agree against it (RFC 5905, section 11.2.1
    /// finds a majority).
    pub sources: usize,
    /// A stratum from here on tells of a clock that runs by itself somewhere on the way: `local` of chrony has 10 when
    /// nobody says (chrony.conf(5)), and lynis warns of it (TIME-3116).
    pub stratum: u8,
    /// A quartz is better than this; what is not is a virtual machine's, or broken. Chosen.
    pub drift_warn_ppm: f64,
    /// Linux corrects at most 500 ppm (adjtimex(2), MAXFREQ), so the clock is about to run away. Chosen a tenth below.
    pub drift_critical_ppm: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            offset_warn_s: 0.05,
            offset_critical_s: 0.5,
            sources: 3,
            stratum: 10,
            drift_warn_ppm: 100.0,
            drift_critical_ppm: 450.0,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth a look.
    Warn,
    /// To be mended now.
    Critical,
}

/// What is wrong with how a clock is kept, with the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// No time daemon runs.
    NoDaemon,
    /// Two daemons pull at one clock.
    Daemons {
        /// Those that run.
        running: Vec<Daemon>,
    },
    /// The clock follows nobody, or only itself.
    NotSynchronised {
        /// Whether it is its own source.
        itself: bool,
        /// The sources that it has.
        sources: Vec<String>,
    },
    /// The clock is off.
    Offset {
        /// How far ahead it is, in seconds.
        offset_s: f64,
        /// What is allowed.
        allowed_s: f64,
        /// How bad.
        level: Level,
    },
    /// Too few sources to find one that lies.
    FewSources {
        /// How many can be followed.
        usable: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// A source contradicts the others, or is too unsteady.
    Falseticker {
        /// Which.
        source: String,
        /// How far the clock is ahead of it, in seconds.
        offset_s: Option<f64>,
    },
    /// Far from a reference clock.
    Stratum {
        /// How far.
        stratum: u8,
        /// From where on that is told.
        limit: u8,
    },
    /// The clock runs too fast or too slow by itself.
    Drift {
        /// By how much.
        drift_ppm: f64,
        /// What is allowed.
        allowed_ppm: f64,
        /// How bad.
        level: Level,
    },
}

impl Fault {
    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::NoDaemon | Self::NotSynchronised { .. } => Level::Critical,
            Self::Daemons { .. } | Self::FewSources { .. } | Self::Falseticker { .. } | Self::Stratum { .. } => {
                Level::Warn
            }
            Self::Offset { level, .. } | Self::Drift { level, .. } => *level,
        }
    }

    /// The check that it belongs to; the name never changes.
    #[must_use]
    pub fn check(&self) -> &'static str {
        match self {
            Self::NoDaemon | Self::Daemons { .. } => "clock.daemon",
            Self::NotSynchronised { .. } | Self::FewSources { .. } => "clock.sources",
            Self::Offset { .. } => "clock.offset",
            Self::Falseticker { .. } => "clock.falseticker",
            Self::Stratum { .. } => "clock.stratum",
            Self::Drift { .. } => "clock.drift",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon => write!(f, "no time daemon runs"),
            Self::Daemons { running } => {
                let names: Vec<String> = running.iter().map(ToString::to_string).collect();
                write!(f, "{} steer the clock at the same time", names.join(" and "))
            }
            Self::NotSynchronised { itself: true, sources } if sources.is_empty() => {
                write!(f, "the clock follows nobody but itself")
            }
            Self::NotSynchronised { sources, .. } if sources.is_empty() => {
                write!(f, "the clock follows nobody: its daemon has no source")
            }
            Self::NotSynchronised { sources, .. } => write!(f, "the clock follows none of {}", sources.join(", ")),
            Self::Offset { offset_s, allowed_s, .. } => {
                let (ms, allowed) = (offset_s * 1000.0, allowed_s * 1000.0);
                let way = if ms < 0.0 { "behind" } else { "ahead" };
                write!(f, "the clock is {:.3} ms {way}, {allowed} ms are allowed", ms.abs())
            }
            Self::FewSources { usable, wanted } => {
                write!(f, "{usable} usable sources of time; one that lies is found out with {wanted}")
            }
            Self::Falseticker { source, offset_s: Some(offset) } => {
                write!(f, "source {source} contradicts the others: the clock is {:+.3} ms from it", offset * 1000.0)
            }
            Self::Falseticker { source, offset_s: None } => write!(f, "source {source} contradicts the others"),
            Self::Stratum { stratum, limit } => {
                write!(f, "stratum {stratum}: from {limit} on a clock on the way runs by itself")
            }
            Self::Drift { drift_ppm, allowed_ppm, .. } => {
                write!(f, "the clock drifts by {drift_ppm:+.1} ppm, {allowed_ppm} ppm are allowed")
            }
        }
    }
}

/// Everything that is wrong, the worst first. `serves` says that this host is meant to pass on its own time where it has
/// no source: then it is not wrong that it follows itself.
#[must_use]
pub fn judge(reading: &Reading, serves: bool, limits: &Limits) -> Vec<Fault> {
    let mut faults = Vec::new();
    let sources = || reading.sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>();
    let alone = serves && reading.sources.is_empty();
    match &reading.sync {
        Sync::To(_) => {}
        Sync::Itself if alone => {}
        Sync::Itself => faults.push(Fault::NotSynchronised { itself: true, sources: sources() }),
        Sync::Nobody => faults.push(Fault::NotSynchronised { itself: false, sources: sources() }),
    }
    if let Some((level, allowed_s, offset_s)) = reading
        .offset_s
        .and_then(|offset| over(offset, limits.offset_warn_s, limits.offset_critical_s).map(|(l, a)| (l, a, offset)))
    {
        faults.push(Fault::Offset { offset_s, allowed_s, level });
    }
    if reading.sync != Sync::Nobody && reading.stratum >= limits.stratum {
        faults.push(Fault::Stratum { stratum: reading.stratum, limit: limits.stratum });
    }
    if let Some((level, allowed_ppm, drift_ppm)) = reading
        .drift_ppm
        .and_then(|drift| over(drift, limits.drift_warn_ppm, limits.drift_critical_ppm).map(|(l, a)| (l, a, drift)))
    {
        faults.push(Fault::Drift { drift_ppm, allowed_ppm, level });
    }
    for source in &reading.sources {
        match source.state {
            SourceState::Falseticker | SourceState::Unsteady => {
                faults.push(Fault::Falseticker { source: source.name.clone(), offset_s: source.offset_s });
            }
            SourceState::Selected | SourceState::Combined | SourceState::Spare | SourceState::Unusable => {}
        }
    }
    if !alone && reading.sync != Sync::Nobody && reading.usable() < limits.sources {
        faults.push(Fault::FewSources { usable: reading.usable(), wanted: limits.sources });
    }
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.level()));
    faults
}

/// The worst limit that a number is over, either way.
fn over(number: f64, warn: f64, critical: f64) -> Option<(Level, f64)> {
    let limits = [(Level::Critical, critical), (Level::Warn, warn)];
    limits.into_iter().find(|(_, limit)| number.abs() > *limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Leap, Source};
    use crate::{parse_sources, parse_tracking};
    use proptest::prelude::*;

    fn source(name: &str, state: SourceState) -> Source {
        Source { name: name.to_owned(), state, stratum: 2, reach: Some(0o377), offset_s: Some(0.0) }
    }

    /// A clock with which nothing is wrong.
    fn healthy() -> Reading {
        Reading {
            daemon: Daemon::Chrony,
            sync: Sync::To("a".into()),
            stratum: 3,
            offset_s: Some(0.001),
            leap: Leap::Normal,
            drift_ppm: Some(-12.0),
            skew_ppm: Some(0.1),
            root_delay_s: Some(0.01),
            root_dispersion_s: Some(0.001),
            sources: vec![
                source("a", SourceState::Selected),
                source("b", SourceState::Combined),
                source("c", SourceState::Spare),
            ],
        }
    }

    fn told(reading: &Reading, serves: bool) -> Vec<(&'static str, Level)> {
        judge(reading, serves, &Limits::default()).iter().map(|fault| (fault.check(), fault.level())).collect()
    }

    #[test]
    fn each_fault_is_told_with_its_level() {
        use Level::{Critical, Warn};
        type Case<'a> = (&'a str, fn(&mut Reading), &'a [(&'a str, Level)]);
        let cases: [Case<'_>; 11] = [
            ("healthy", |_| {}, &[]),
            ("off by 50 ms is allowed", |r| r.offset_s = Some(-0.05), &[]),
            ("off by more", |r| r.offset_s = Some(-0.051), &[("clock.offset", Warn)]),
            ("off by much", |r| r.offset_s = Some(7.0), &[("clock.offset", Critical)]),
            ("unsynchronised", |r| r.sync = Sync::Nobody, &[("clock.sources", Critical)]),
            ("its own source", |r| r.sync = Sync::Itself, &[("clock.sources", Critical)]),
            ("two sources", |r| _ = r.sources.pop(), &[("clock.sources", Warn)]),
            (
                "a false one among four",
                |r| r.sources.push(source("d", SourceState::Falseticker)),
                &[("clock.falseticker", Warn)],
            ),
            ("stratum 9 is allowed", |r| r.stratum = 9, &[]),
            ("stratum 10", |r| r.stratum = 10, &[("clock.stratum", Warn)]),
            ("near the kernel's limit", |r| r.drift_ppm = Some(-460.0), &[("clock.drift", Critical)]),
        ];
        for (name, spoil, expected) in cases {
            let mut reading = healthy();
            spoil(&mut reading);
            assert_eq!(told(&reading, false), expected, "{name}");
        }
    }

    #[test]
    fn a_server_without_sources_may_follow_itself_and_one_with_sources_may_not() {
        let mut reading = Reading { sync: Sync::Itself, stratum: 8, sources: Vec::new(), ..healthy() };
        assert_eq!(told(&reading, true), []);
        assert_eq!(told(&reading, false)[0], ("clock.sources", Level::Critical));
        reading.sources = vec![source("upstream", SourceState::Unusable)];
        assert_eq!(told(&reading, true)[0], ("clock.sources", Level::Critical));
    }

    #[test]
    fn a_recorded_false_server_is_named_with_its_distance() {
        let mut reading = parse_tracking(include_str!("recorded/chronyc-tracking-falseticker.csv")).unwrap();
        reading.sources = parse_sources(include_str!("recorded/chronyc-sources-falseticker.csv")).unwrap();
        let texts: Vec<String> = judge(&reading, false, &Limits::default()).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "source 10.99.0.3 contradicts the others: the clock is -7000.030 ms from it",
                "2 usable sources of time; one that lies is found out with 3",
            ]
        );
    }

    #[test]
    fn readings_and_faults_survive_storage() {
        let reading = healthy();
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
        let fault = Fault::Offset { offset_s: 1.5, allowed_s: 0.5, level: Level::Critical };
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(text, r#"{"fault":"offset","offset_s":1.5,"allowed_s":0.5,"level":"critical"}"#);
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
    }

    proptest! {
        /// Moving away from the true time never makes a verdict milder, and both ways are alike.
        #[test]
        fn a_worse_offset_is_never_judged_milder(offset in 0.0_f64..10.0, more in 0.0_f64..10.0) {
            let level = |offset_s: f64| {
                let reading = Reading { offset_s: Some(offset_s), ..healthy() };
                judge(&reading, false, &Limits::default()).iter().map(Fault::level).max()
            };
            prop_assert!(level(offset + more) >= level(offset));
            prop_assert_eq!(level(offset), level(-offset));
        }

        /// Whatever a command writes, it is read or refused, and never a panic or a number that is none.
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9A-F.,^*+x?~=\\- a-z\n]{0,200}") {
            if let Ok(reading) = parse_tracking(&text) {
                prop_assert!(reading.offset_s.is_none_or(f64::is_finite));
            }
            drop((parse_sources(&text), crate::parse_peers(&text), crate::parse_status(&text)));
            drop(crate::parse_variables(&text, Vec::new()));
            prop_assert!(crate::parse_printed_offset(&text).is_none_or(f64::is_finite));
        }
    }
}
