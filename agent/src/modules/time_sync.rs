//! The host's clock: chrony installed, configured and seen to follow its sources; other time daemons read.
//!
//! A configuration that is in place proves nothing, so the task is done when the daemon has selected a source and the
//! clock is within `max_offset_ms` of it; until then it waits, and at the end of the wait it says which source failed.
//!
//! A clock is only set (stepped) when the cluster can bear it. Brokers keep and delete records by wall time (KIP-33,
//! retention), older ones lose transactions to a clock that goes back (KAFKA-8803), newer ones fail to load group
//! coordinators while it does (KAFKA-19888). ZooKeeper counts its sessions by the monotonic clock since 3.5
//! (`common/Time.java`, ZOOKEEPER-1366) and by the wall clock before. So on a host where a node runs no task steps the
//! clock, nor starts a chronyd that would: how far the clock is off is measured first, by `chronyd -Q`, which sets
//! nothing.
//! Not here: how far hosts' clocks are from each other (`kfleet time check`), what a daemon's output means
//! (`kfleet_time`).

mod look;
mod params;
mod report;

use super::shared::attributes::Asked;
use super::shared::edit::{self, Options};
use super::{Applied, Module, ModuleError};
use crate::host::{Host, HostView, UnitAction};
use kfleet_model::module::{CheckMode, ModuleDoc};
use kfleet_model::{Change, Map, Value};
use look::{Seen, is_active, is_enabled};
use params::{Params, State, Step};

/// The program; where it is on every distribution that packages it.
const CHRONYD: &str = "/usr/sbin/chronyd";

/// The program that asks it.
const CHRONYC: &str = "/usr/bin/chronyc";

/// The property of the change that starts or restarts the daemon.
const UNIT_STATE: &str = "state";

/// The module.
pub(super) struct TimeSync;

impl Module for TimeSync {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        ModuleDoc {
            name: "time_sync".into(),
            summary: "Has chrony keep the clock and sees that it does; reads ntpd, ntpsec and timesyncd".into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params::docs(),
            returns: report::docs(),
            examples: include_str!("examples/time_sync.yaml").into(),
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        params.check()?;
        let mut seen = look::look(host, params)?;
        if pending(params, &seen)?.is_empty() {
            return look::settle(host, params, seen);
        }
        if would_step(params, &seen)? {
            seen.expected_s = look::measure(host, params)?;
        }
        Ok(seen)
    }

    fn diff(&self, params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let mut changes = pending(params, state)?;
        if would_step(params, state)? {
            refuse_unknown_step(params, state)?;
        }
        if let Some(offset_s) = step_needed(params, state) {
            refuse_step(params, state, offset_s)?;
            changes.push(Change::new("clock", "offset_ms", report::ms(offset_s), "set"));
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Seen,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let applied = configure(host, params, state, changes)?;
        if params.step == Step::Now {
            // What was started may have come to a source only now, so its word is waited for.
            let now = self.observe(host.view(), params)?;
            if let Some(offset_s) = step_needed(params, &now) {
                refuse_step(params, &now, offset_s)?;
                host.progress(&format!("setting the clock, which is {} ms off", report::ms(offset_s)));
                host.tool(&[CHRONYC, "makestep"], &[])?;
            }
        }
        Ok(applied)
    }

    fn found(&self, params: &Params, state: &Seen) -> Map {
        report::found(params, state)
    }
}

/// What has to be done before the clock can be looked at.
fn pending(params: &Params, seen: &Seen) -> Result<Vec<Change>, ModuleError> {
    let mut changes = Vec::new();
    if params.state == State::Verified {
        return Ok(changes);
    }
    for (daemon, unit) in &seen.others {
        if !params.replace {
            return Err(ModuleError::Invalid(format!(
                "{daemon} runs ({}), and two daemons would pull at one clock; replace: true stops and disables it",
                unit.name
            )));
        }
        changes.push(Change::new(&unit.name, UNIT_STATE, unit.active_state.as_str(), "stopped"));
        if is_enabled(unit) {
            changes.push(Change::new(&unit.name, "enabled", true, false));
        }
    }
    let config = params.config()?;
    changes.extend(edit::differs(&seen.file, Some(config.text().as_bytes()), ASKED)?);
    let configured = changes.iter().all(|change| change.object != seen.file.path.display().to_string());
    if !seen.installed {
        if !params.install {
            return Err(ModuleError::Invalid(format!("{CHRONYD} is not there, and install is false")));
        }
        changes.push(Change::new(&params.package, "package", Value::Null, "installed"));
    }
    if !is_enabled(&seen.unit) {
        changes.push(Change::new(&seen.unit.name, "enabled", false, true));
    }
    if !is_active(&seen.unit) {
        changes.push(Change::new(&seen.unit.name, UNIT_STATE, seen.unit.active_state.as_str(), "started"));
    } else if !configured {
        changes.push(Change::new(&seen.unit.name, UNIT_STATE, "runs with another configuration", "restarted"));
    } else if let Some(missing) = seen.unknown_source(&config) {
        // An earlier run wrote the file and was interrupted before the restart.
        changes.push(Change::new(&seen.unit.name, UNIT_STATE, format!("runs without {missing}"), "restarted"));
    }
    Ok(changes)
}

/// The file is for everybody to read, as the packages have it.
const ASKED: Asked<'static> = Asked { owner: Some("root"), group: Some("root"), mode: Some("0644") };

/// Whether what is pending starts a chronyd that may set the clock under a running node.
fn would_step(params: &Params, seen: &Seen) -> Result<bool, ModuleError> {
    if params.state == State::Verified || params.allow_running || seen.nodes.is_empty() {
        return Ok(false);
    }
    let config = params.config()?;
    let starts = pending(params, seen)?.iter().any(|c| c.object == seen.unit.name && c.property == UNIT_STATE);
    Ok(starts && config.steps_from_s().is_some() && config.sources().next().is_some())
}

/// Refuses a start of chronyd when it would set the clock, or when nobody knows whether it would.
fn refuse_unknown_step(params: &Params, seen: &Seen) -> Result<(), ModuleError> {
    let config = params.config()?;
    let (Some(from_s), nodes) = (config.steps_from_s(), seen.nodes.join(" and ")) else { return Ok(()) };
    let advice = "step: never corrects it slowly instead, or stop the node first (kfleet roll); allow_running: true \
                  sets it all the same";
    match seen.expected_s {
        Some(offset_s) if offset_s.abs() <= from_s => Ok(()),
        Some(offset_s) => Err(ModuleError::Invalid(format!(
            "the clock is {} ms off, which chronyd would set at its start while {nodes} runs here; {advice}",
            report::ms(offset_s)
        ))),
        None if !seen.installed => Err(ModuleError::Invalid(format!(
            "{nodes} runs here, and without chrony nobody can tell whether its start would set the clock; {advice}"
        ))),
        None => {
            let sources: Vec<&str> = config.sources().collect();
            Err(ModuleError::Invalid(format!(
                "{} does not answer, so nobody can tell whether chronyd would set the clock at its start while {nodes} \
                 runs here; {advice}",
                sources.join(" and ")
            )))
        }
    }
}

/// How far the clock is off, when that is to be put right at once.
fn step_needed(params: &Params, seen: &Seen) -> Option<f64> {
    let reading = seen.reading.as_ref().filter(|_| params.step == Step::Now && params.state == State::Configured)?;
    reading.offset_s.filter(|offset| offset.abs() > params.limits().offset_warn_s)
}

fn refuse_step(params: &Params, seen: &Seen, offset_s: f64) -> Result<(), ModuleError> {
    if params.allow_running || seen.nodes.is_empty() {
        return Ok(());
    }
    Err(ModuleError::Invalid(format!(
        "the clock is {} ms off and {} runs here: a set clock deletes records or fails coordinators (KIP-33, \
         KAFKA-19888); stop the node first (kfleet roll), or allow_running: true",
        report::ms(offset_s),
        seen.nodes.join(" and ")
    )))
}

/// Does everything but setting the clock. The file comes before the package: what a package starts by itself then
/// begins with it.
fn configure(host: &dyn Host, params: &Params, seen: &Seen, changes: &[Change]) -> Result<Applied, ModuleError> {
    let wants = |object: &str, property: &str| {
        changes.iter().any(|change| change.object == object && change.property == property)
    };
    for (_, unit) in &seen.others {
        if wants(&unit.name, UNIT_STATE) {
            host.unit_action(&unit.name, UnitAction::Stop)?;
        }
        if wants(&unit.name, "enabled") {
            host.unit_action(&unit.name, UnitAction::Disable)?;
        }
    }
    let mut applied = Applied::new();
    let file = seen.file.path.display().to_string();
    if changes.iter().any(|change| change.object == file) {
        let check = format!("{CHRONYD} -p -f %s");
        let validate = seen.installed.then_some(check.as_str());
        let options = Options { asked: ASKED, backup: params.backup, validate };
        applied = edit::install(host, &seen.file, params.config()?.text().as_bytes(), &options)?;
    }
    if !seen.installed {
        super::apt::install(host, &params.package)?;
    }
    // The package brings the unit, under the name that its distribution has for it.
    let unit = look::chrony_unit(host.view(), params)?;
    if wants(&seen.unit.name, "enabled") && !is_enabled(&unit) {
        host.unit_action(&unit.name, UnitAction::Enable)?;
    }
    if wants(&seen.unit.name, UNIT_STATE) {
        let action = if is_active(&unit) { UnitAction::Restart } else { UnitAction::Start };
        host.unit_action(&unit.name, action)?;
    }
    Ok(applied)
}
