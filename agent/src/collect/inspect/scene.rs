//! The host as collectors see it: reading doors that count and bound what reading costs.

use super::params::Params;
use super::services::{self, Service};
use super::sink::Gap;
use super::window::Moment;
use crate::host::{FileStat, HostView};
use jiff::Timestamp;
use kfleet_inspect::Cost;
use std::cell::{Cell, OnceCell, RefCell};
use std::path::Path;
use std::time::Duration;

/// The processor time of one inspection: what an inspection may cost a host.
const CPU: Duration = Duration::from_secs(5);

/// The bytes that one inspection reads at most, all files together.
const BYTES: u64 = 64 * 1024 * 1024;

/// The largest file of `/proc` and `/sys`, and the largest configuration file.
pub(super) const SMALL: u64 = 4 * 1024 * 1024;

/// What is kept of the end of the deadline for handing the readings over.
const RESERVE: Duration = Duration::from_secs(2);

/// The host.
pub(super) struct Scene<'a> {
    host: &'a dyn HostView,
    pub(super) params: &'a Params,
    /// What was seen at each moment of the window.
    pub(super) moments: RefCell<Vec<Moment>>,
    services: OnceCell<Result<Vec<Service>, Gap>>,
    begun: Duration,
    cpu_before: Duration,
    bytes: Cell<u64>,
    collector: Cell<&'static str>,
    until: Cell<Duration>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(host: &'a dyn HostView, params: &'a Params) -> Self {
        let begun = host.uptime();
        Self {
            host,
            params,
            moments: RefCell::default(),
            services: OnceCell::new(),
            begun,
            cpu_before: host.cpu_time(),
            bytes: Cell::new(0),
            collector: Cell::new(""),
            until: Cell::new(begun + host.time_left()),
        }
    }

    /// The door itself, for what has a bound of its own.
    pub(super) fn host(&self) -> &'a dyn HostView {
        self.host
    }

    /// The services of this host, found when they are first asked for.
    pub(super) fn services(&self) -> Result<&[Service], Gap> {
        let found = self.services.get_or_init(|| services::find(self, self.params));
        found.as_deref().map_err(Gap::clone)
    }

    /// The time by the host's clock.
    pub(super) fn now(&self) -> Timestamp {
        super::now(self.host)
    }

    /// A collector begins, and has so much time.
    pub(super) fn begin(&self, collector: &'static str, limit: Duration) {
        self.collector.set(collector);
        let left = self.host.time_left().saturating_sub(RESERVE);
        self.until.set(self.host.uptime() + limit.min(left));
    }

    /// What was used so far.
    pub(super) fn cost(&self) -> Cost {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Cost {
            cpu_ms: milliseconds(self.host.cpu_time().saturating_sub(self.cpu_before)),
            bytes: self.bytes.get(),
            wall_ms: milliseconds(self.host.uptime().saturating_sub(self.begun)),
        }
    }

    /// How long the collector that runs may still take, at most `limit`.
    pub(super) fn patience(&self, limit: Duration) -> Result<Duration, Gap> {
        self.go_on()?;
        Ok(limit.min(self.until.get().saturating_sub(self.host.uptime())))
    }

    /// Whether there is time, processor time and room for another step.
    pub(super) fn go_on(&self) -> Result<(), Gap> {
        let collector = self.collector.get();
        if self.host.uptime() >= self.until.get() {
            return Err(Gap::Unreadable(format!("the time of the collector {collector} was over")));
        }
        if self.host.cpu_time().saturating_sub(self.cpu_before) > CPU {
            let seconds = CPU.as_secs();
            return Err(Gap::Unreadable(format!("the inspection had used its {seconds} s of processor time")));
        }
        if self.bytes.get() > BYTES {
            return Err(Gap::Unreadable(format!("the inspection had read its {} MiB", BYTES >> 20)));
        }
        Ok(())
    }

    fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }

    /// A whole file; none when it is not there.
    pub(super) fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>, Gap> {
        self.go_on()?;
        let bytes = self.host.read(path.as_ref(), limit)?;
        self.count(bytes.as_ref().map_or(0, Vec::len));
        Ok(bytes)
    }

    /// A part of a file; none when it is not there.
    pub(super) fn part(&self, path: impl AsRef<Path>, from: u64, limit: u64) -> Result<Option<Vec<u8>>, Gap> {
        self.go_on()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let bytes = self.host.read_part(path.as_ref(), from, limit)?.map(|(_, bytes)| bytes);
        self.count(bytes.as_ref().map_or(0, Vec::len));
        Ok(bytes)
    }

    /// A small file's text; none when it is not there.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Result<Option<String>, Gap> {
        let bytes = self.read(path, SMALL)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A small file's text, which every host of this kind has.
    pub(super) fn need(&self, path: &str) -> Result<String, Gap> {
        self.text(path)?.ok_or_else(|| Gap::NotHere(format!("{path} does not exist")))
    }

    /// The same without blanks around it.
    pub(super) fn word(&self, path: &str) -> Result<String, Gap> {
        Ok(self.need(path)?.trim().to_owned())
    }

    /// The same as a number.
    pub(super) fn number(&self, path: &str) -> Result<i64, Gap> {
        let word = self.word(path)?;
        word.parse().map_err(|_| Gap::Unreadable(format!("{path} holds {word:?}, which is no number")))
    }

    /// Names in a directory; none when it is not there.
    pub(super) fn list(&self, path: impl AsRef<Path>) -> Result<Option<Vec<String>>, Gap> {
        self.go_on()?;
        let names = self.host.list(path.as_ref())?;
        self.count(names.iter().flatten().map(String::len).sum());
        Ok(names)
    }

    /// What a path is.
    pub(super) fn stat(&self, path: impl AsRef<Path>, follow: bool) -> Result<Option<FileStat>, Gap> {
        self.go_on()?;
        Ok(self.host.stat(path.as_ref(), follow)?)
    }

    /// What a program that only reads says when it ends well; none when it is not installed or does not.
    pub(super) fn answer(&self, argv: &[&str]) -> Result<Option<String>, Gap> {
        self.go_on()?;
        let Ok(end) = self.host.query(argv) else { return Ok(None) };
        self.count(end.stdout.len());
        Ok((end.rc == 0).then(|| String::from_utf8_lossy(&end.stdout).into_owned()))
    }
}
