//! The clock, as the daemon that keeps it says.
//!
//! The kernel's own figures need a system call that no crate here makes without `unsafe`; a daemon that is asked sets
//! them, so its answer is the same truth one step later, and has less trust for that.

use super::scene::Scene;
use super::sink::{Gap, Sink};
use kfleet_inspect::{Confidence, Datum};
use kfleet_time::{Daemon, Leap, Reading, Sync, parse_status, parse_tracking, parse_variables};
use std::collections::BTreeSet;

pub(super) const KEYS: &[&str] = &["clock.synchronised", "clock.max_error", "clock.offset", "clock.daemons"];

/// The variables of ntpd that are asked for.
const NTP_VARIABLES: &str = "rv 0 leap,stratum,offset,frequency,rootdelay,rootdisp,refid";

/// Units by which a guest takes its hypervisor's time.
const GUEST_TOOLS: [&str; 2] = ["open-vm-tools.service", "vmtoolsd.service"];

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let running = running(scene)?;
    let (source, reading) = ask(scene, &running)?;
    let told = |value: Result<Datum, Gap>| reading.as_ref().map_err(Gap::clone).and(value);
    let empty = || Gap::unreadable(format!("{source} does not tell it"));
    let synchronised = reading.as_ref().is_ok_and(is_synchronised);
    let trust = Confidence::Medium;
    sink.put("clock.synchronised", None, source, told(Ok(Datum::Flag(synchronised))), trust);
    let error = reading.as_ref().ok().and_then(|reading| reading.root_delay_s.zip(reading.root_dispersion_s));
    // What a daemon hands to the kernel as the largest error: half the way there and back, and what has piled up on it
    // (RFC 5905, section 11.2: the root distance).
    let error = error.map(|(delay, dispersion)| Datum::Float((delay / 2.0 + dispersion) * 1000.0));
    sink.put("clock.max_error", None, source, told(error.ok_or_else(empty)), trust);
    let offset = reading.as_ref().ok().and_then(|reading| reading.offset_s);
    let offset = offset.filter(|_| synchronised).map(|seconds| Datum::Float(seconds * 1000.0));
    let lost = || Gap::unreadable(format!("by {source} the clock follows nobody, so nobody knows"));
    let told = told(offset.ok_or_else(|| if synchronised { empty() } else { lost() }));
    sink.put("clock.offset", None, source, told, Confidence::High);
    let names = running.iter().map(|(_, name)| name.clone()).collect::<BTreeSet<_>>();
    sink.tell("clock.daemons", "the service manager", Ok(Datum::List(names.into_iter().collect())));
    Ok(())
}

/// Daemons whose units are active, with the names of their programs.
fn running(scene: &Scene<'_>) -> Result<Vec<(Option<Daemon>, String)>, Gap> {
    let mut found = Vec::new();
    let active = |name: &str| -> Result<Option<String>, Gap> {
        scene.go_on()?;
        let unit = scene.host().unit(name)?;
        Ok((unit.active_state == "active").then_some(unit.name))
    };
    for daemon in Daemon::ALL {
        for name in daemon.units() {
            if let Some(unit) = active(name)? {
                found.push((Some(daemon), unit.trim_end_matches(".service").to_owned()));
                break;
            }
        }
    }
    for name in GUEST_TOOLS {
        // The tools keep the time only where they are told to.
        if active(name)?.is_some()
            && scene.answer(&["vmware-toolbox-cmd", "timesync", "status"])?.is_some_and(|text| text.trim() == "Enabled")
        {
            found.push((None, "vmtoolsd".to_owned()));
            break;
        }
    }
    Ok(found)
}

/// What the daemon says that keeps the clock, and by which program.
fn ask(scene: &Scene<'_>, running: &[(Option<Daemon>, String)]) -> Result<(&'static str, Result<Reading, Gap>), Gap> {
    let runs = |daemon: Daemon| running.iter().any(|(running, _)| *running == Some(daemon));
    let (source, argv): (_, &[&str]) = if runs(Daemon::Chrony) {
        ("chronyc -c tracking", &["chronyc", "-c", "-n", "tracking"])
    } else if runs(Daemon::Ntpd) {
        ("ntpq -c rv", &["ntpq", "-c", NTP_VARIABLES])
    } else if runs(Daemon::Timesyncd) {
        ("timedatectl timesync-status", &["timedatectl", "timesync-status"])
    } else if runs(Daemon::Phc2sys) {
        return Ok(("phc2sys", Err(Gap::unreadable("phc2sys keeps the clock and tells nobody how it stands"))));
    } else {
        return Ok(("the service manager", Err(Gap::unreadable("no daemon keeps the clock that could be asked"))));
    };
    let Some(text) = scene.answer(argv)?.filter(|text| !text.trim().is_empty()) else {
        return Ok((source, Err(Gap::Unreadable(format!("{source} gave no answer")))));
    };
    let read = match source {
        "chronyc -c tracking" => parse_tracking(&text),
        "ntpq -c rv" => parse_variables(&text, Vec::new()),
        _ => parse_status(&text),
    };
    Ok((source, read.map_err(|error| Gap::Unreadable(format!("{source}: {error}")))))
}

/// It follows somebody else's time. A clock that follows itself is as unsynchronised as one that follows nobody.
fn is_synchronised(reading: &Reading) -> bool {
    match (&reading.sync, reading.leap) {
        (Sync::To(_), Leap::Normal | Leap::Insert | Leap::Delete) => true,
        (Sync::To(_), Leap::Unknown) | (Sync::Itself | Sync::Nobody, _) => false,
    }
}
