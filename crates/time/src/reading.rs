//! What a time daemon says of the clock and of its sources.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A program that steers the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Daemon {
    /// chrony.
    Chrony,
    /// The reference ntpd, and ntpsec: both are asked by `ntpq`.
    Ntpd,
    /// systemd-timesyncd.
    Timesyncd,
    /// phc2sys of linuxptp, which hands a PTP clock's time to the system's. Known to be there, not read.
    Phc2sys,
}

impl Daemon {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Chrony, Self::Ntpd, Self::Timesyncd, Self::Phc2sys];

    /// The units that it runs as: Debian's name first, then that of others. ntpsec's package has both older names as
    /// aliases.
    #[must_use]
    pub fn units(self) -> &'static [&'static str] {
        match self {
            Self::Chrony => &["chrony.service", "chronyd.service"],
            Self::Ntpd => &["ntpsec.service", "ntp.service", "ntpd.service"],
            Self::Timesyncd => &["systemd-timesyncd.service"],
            Self::Phc2sys => &["phc2sys.service"],
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chrony => "chrony",
            Self::Ntpd => "ntpd",
            Self::Timesyncd => "timesyncd",
            Self::Phc2sys => "phc2sys",
        })
    }
}

/// Whom a clock follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// This source, by its address or the name of its clock.
    To(String),
    /// Itself: the daemon passes on the host's own time as if it were right (`local` of chrony, 127.127.1.x of ntpd).
    Itself,
    /// Nobody.
    Nobody,
}

/// What is announced for the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leap {
    /// An ordinary day.
    Normal,
    /// Its last minute has 61 seconds.
    Insert,
    /// Its last minute has 59 seconds.
    Delete,
    /// The clock is not synchronised, so nobody knows.
    Unknown,
}

/// What a daemon thinks of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// The clock follows it.
    Selected,
    /// Its time is mixed into the selected one's.
    Combined,
    /// It could be followed and is not needed.
    Spare,
    /// Its time contradicts the majority's.
    Falseticker,
    /// Its time is too unsteady.
    Unsteady,
    /// It is not reached, or not known well enough yet.
    Unusable,
}

impl SourceState {
    /// Whether the clock could follow it.
    #[must_use]
    pub fn is_usable(self) -> bool {
        match self {
            Self::Selected | Self::Combined | Self::Spare => true,
            Self::Falseticker | Self::Unsteady | Self::Unusable => false,
        }
    }
}

/// A source of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its address, name, or the name of a reference clock.
    pub name: String,
    /// What the daemon thinks of it.
    pub state: SourceState,
    /// Its own distance from a reference clock; 0 before it has answered.
    pub stratum: u8,
    /// Which of the last eight requests were answered, the newest in the lowest bit. None where the daemon does not tell.
    pub reach: Option<u8>,
    /// How far the host's clock was ahead of it at the last measurement, in seconds.
    pub offset_s: Option<f64>,
}

/// What a daemon says of the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Who says it.
    pub daemon: Daemon,
    /// Whom the clock follows.
    pub sync: Sync,
    /// The host's distance from a reference clock; 0 or 16 when there is none.
    pub stratum: u8,
    /// How far the clock is ahead of the sources' time, in seconds.
    pub offset_s: Option<f64>,
    /// What is announced.
    pub leap: Leap,
    /// By how many millionths the clock would run fast when left alone; negative when slow.
    pub drift_ppm: Option<f64>,
    /// The bound of error of that.
    pub skew_ppm: Option<f64>,
    /// The way to the reference clock and back, in seconds.
    pub root_delay_s: Option<f64>,
    /// The error that has piled up on that way, in seconds.
    pub root_dispersion_s: Option<f64>,
    /// The daemon's sources.
    pub sources: Vec<Source>,
}

impl Reading {
    /// Sources that the clock could follow.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.sources.iter().filter(|source| source.state.is_usable()).count()
    }
}
