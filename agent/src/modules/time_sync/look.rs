//! The host's time daemons and what they say.

use super::params::{Params, State};
use super::report::wrong;
use super::{ASKED, CHRONYC, CHRONYD, pending};
use crate::collect;
use crate::host::{HostView, Unit};
use crate::modules::ModuleError;
use crate::modules::shared::edit::{self, Target};
use kfleet_time::{
    Config, Daemon, Fault, ParseError, Reading, judge, parse_peers, parse_printed_offset, parse_sources, parse_status,
    parse_tracking, parse_variables,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// How often the clock is looked at while it is waited for, and the operator hears why.
const AGAIN: Duration = Duration::from_secs(1);

/// Seconds that `chronyd -Q` has: a burst of four requests takes four to five.
const MEASURE_S: &str = "8";

/// The folder of the configuration, where the distribution has one.
const FOLDER: &str = "/etc/chrony";

/// The variables of ntpd that are asked for.
const NTP_VARIABLES: &str = "rv 0 leap,stratum,offset,frequency,rootdelay,rootdisp,refid";

/// What was found.
pub(in crate::modules) struct Seen {
    /// chrony is there.
    pub(super) installed: bool,
    pub(super) file: Target,
    /// chrony's unit.
    pub(super) unit: Unit,
    /// Other daemons that run.
    pub(super) others: Vec<(Daemon, Unit)>,
    /// The daemon that runs alone.
    pub(super) reading: Option<Reading>,
    /// The sources of the running chronyd by the names of its configuration, where it tells them.
    listed: Option<BTreeSet<String>>,
    /// Kafka and ZooKeeper nodes that run here.
    pub(super) nodes: Vec<String>,
    /// How far the clock is ahead, measured before chronyd is started.
    pub(super) expected_s: Option<f64>,
}

impl Seen {
    /// A source of the configuration that the running chronyd does not know.
    pub(super) fn unknown_source(&self, config: &Config) -> Option<String> {
        let listed = self.listed.as_ref()?;
        config.sources().find(|source| !listed.contains(*source)).map(ToOwned::to_owned)
    }

    /// Everything that is wrong with how the clock is kept.
    pub(super) fn faults(&self, params: &Params) -> Vec<Fault> {
        let mut running: Vec<Daemon> = self.others.iter().map(|(daemon, _)| *daemon).collect();
        if is_active(&self.unit) {
            running.insert(0, Daemon::Chrony);
        }
        let mut faults = Vec::new();
        match running.len() {
            0 => faults.push(Fault::NoDaemon),
            1 => {}
            _ => faults.push(Fault::Daemons { running }),
        }
        if let Some(reading) = &self.reading {
            faults.extend(judge(reading, params.local_stratum.is_some(), &params.limits()));
        }
        faults
    }
}

/// Whether a unit runs or is about to.
pub(super) fn is_active(unit: &Unit) -> bool {
    matches!(unit.active_state.as_str(), "active" | "activating" | "reloading" | "refreshing")
}

/// Whether a unit starts at boot. A static one is started by whatever needs it.
pub(super) fn is_enabled(unit: &Unit) -> bool {
    matches!(unit.file_state.as_str(), "enabled" | "enabled-runtime" | "static" | "indirect" | "alias" | "generated")
}

/// A daemon's unit: the one that runs, else the first that is there.
fn unit_of(host: &dyn HostView, daemon: Daemon) -> Result<Option<Unit>, ModuleError> {
    let mut found: Option<Unit> = None;
    for name in daemon.units() {
        let unit = host.unit(name)?;
        if unit.load_state == "not-found" {
            continue;
        }
        if is_active(&unit) {
            return Ok(Some(unit));
        }
        found = found.or(Some(unit));
    }
    Ok(found)
}

/// chrony's unit, or the name that it will have.
pub(super) fn chrony_unit(host: &dyn HostView, params: &Params) -> Result<Unit, ModuleError> {
    if let Some(name) = &params.service {
        return Ok(host.unit(name)?);
    }
    if let Some(unit) = unit_of(host, Daemon::Chrony)? {
        return Ok(unit);
    }
    let debian = host.stat(Path::new("/etc/debian_version"), true)?.is_some();
    let [first, second] = Daemon::Chrony.units() else { return Ok(host.unit("chrony.service")?) };
    Ok(host.unit(if debian { first } else { second })?)
}

/// Looks once.
pub(super) fn look(host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
    let unit = chrony_unit(host, params)?;
    let mut others = Vec::new();
    for daemon in Daemon::ALL.into_iter().filter(|daemon| *daemon != Daemon::Chrony) {
        if let Some(unit) = unit_of(host, daemon)?.filter(is_active) {
            others.push((daemon, unit));
        }
    }
    let path = match &params.path {
        Some(path) => path.clone(),
        None if host.stat(Path::new(FOLDER), true)?.is_some() => format!("{FOLDER}/chrony.conf"),
        // The folder comes with Debian's package; the file is there first.
        None if host.stat(Path::new("/etc/debian_version"), true)?.is_some() => format!("{FOLDER}/chrony.conf"),
        None => "/etc/chrony.conf".to_owned(),
    };
    let installed = host.stat(Path::new(CHRONYD), true)?.is_some();
    let chrony_runs = installed && is_active(&unit);
    let listed = if chrony_runs && params.state == State::Configured { listed(host)? } else { None };
    let reading = match (chrony_runs, params.state, others.as_slice()) {
        (true, _, []) => chrony(host)?,
        (false, State::Verified, [(Daemon::Ntpd, _)]) => ntpd(host)?,
        (false, State::Verified, [(Daemon::Timesyncd, _)]) => timesyncd(host)?,
        (true | false, State::Configured | State::Verified, _) => None,
    };
    Ok(Seen {
        installed,
        file: edit::open(host, &path, ASKED)?,
        unit,
        others,
        reading,
        listed,
        nodes: collect::running_nodes(host)?,
        expected_s: None,
    })
}

/// Looks until the clock is well kept, or the wait is over, or something has to be done first.
pub(super) fn settle(host: &dyn HostView, params: &Params, first: Seen) -> Result<Seen, ModuleError> {
    // The op's own clock: the wall clock may be set meanwhile.
    let begun = host.time_left();
    let elapsed = || begun.saturating_sub(host.time_left());
    let mut seen = first;
    loop {
        let Some(problem) = wrong(params, &seen) else { return Ok(seen) };
        if !problem.may_pass || elapsed() >= params.wait() {
            return Err(problem.into_error(params, &seen, elapsed()));
        }
        host.progress(&format!("{}, {} s of {} s", problem.text, elapsed().as_secs(), params.wait().as_secs()));
        host.pause(AGAIN.min(params.wait().saturating_sub(elapsed())), "the clock to follow a source")?;
        seen = look(host, params)?;
        if !pending(params, &seen)?.is_empty() {
            return Ok(seen);
        }
    }
}

/// Asks a daemon; none when it does not answer, as in the first moment after its start.
fn ask(host: &dyn HostView, argv: &[&str]) -> Result<Option<String>, ModuleError> {
    let end = host.query(argv)?;
    Ok((end.rc == 0).then(|| String::from_utf8_lossy(&end.stdout).into_owned()))
}

fn read<T>(parsed: Result<T, ParseError>) -> Result<Option<T>, ModuleError> {
    parsed.map(Some).map_err(|error| ModuleError::Invalid(error.to_string()))
}

fn chrony(host: &dyn HostView) -> Result<Option<Reading>, ModuleError> {
    let Some(tracking) = ask(host, &[CHRONYC, "-c", "-n", "tracking"])? else { return Ok(None) };
    let Some(sources) = ask(host, &[CHRONYC, "-c", "-n", "sources"])? else { return Ok(None) };
    read(parse_tracking(&tracking).and_then(|reading| Ok(Reading { sources: parse_sources(&sources)?, ..reading })))
}

/// Sources by the names of the configuration, those that have no address yet included (chrony 4.0 and later).
fn listed(host: &dyn HostView) -> Result<Option<BTreeSet<String>>, ModuleError> {
    let Some(sources) = ask(host, &[CHRONYC, "-c", "-N", "sources", "-a"])? else { return Ok(None) };
    let sources = read(parse_sources(&sources))?;
    Ok(sources.map(|sources| sources.into_iter().map(|source| source.name).collect()))
}

fn ntpd(host: &dyn HostView) -> Result<Option<Reading>, ModuleError> {
    let (Some(peers), Some(variables)) = (ask(host, &["ntpq", "-pn"])?, ask(host, &["ntpq", "-c", NTP_VARIABLES])?)
    else {
        return Ok(None);
    };
    // A daemon that does not answer is told on standard error, with status 0.
    if peers.trim().is_empty() || variables.trim().is_empty() {
        return Ok(None);
    }
    read(parse_peers(&peers).and_then(|sources| parse_variables(&variables, sources)))
}

fn timesyncd(host: &dyn HostView) -> Result<Option<Reading>, ModuleError> {
    match ask(host, &["timedatectl", "timesync-status"])? {
        Some(status) => read(parse_status(&status)),
        None => Ok(None),
    }
}

/// How far the clock is ahead of the sources that a task names, asked without setting it; none when none answers. The
/// process has a socket and a lock of its own, so a chronyd that runs is not disturbed.
pub(super) fn measure(host: &dyn HostView, params: &Params) -> Result<Option<f64>, ModuleError> {
    if host.stat(Path::new(CHRONYD), true)?.is_none() {
        return Ok(None);
    }
    let lines: Vec<String> = params
        .config()?
        .text()
        .lines()
        .filter(|line| line.starts_with("server ") || line.starts_with("pool "))
        .map(ToOwned::to_owned)
        .collect();
    let mut argv = vec![CHRONYD, "-Q", "-t", MEASURE_S];
    argv.extend(lines.iter().map(String::as_str));
    argv.extend(["cmdport 0", "bindcmdaddress /run/chrony/kfleet.sock", "pidfile /run/chrony/kfleet.pid"]);
    host.progress("measuring how far the clock is off");
    let end = host.query(&argv)?;
    let said = [end.stdout, end.stderr].concat();
    Ok(parse_printed_offset(&String::from_utf8_lossy(&said)))
}
