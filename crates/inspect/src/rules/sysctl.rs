//! Kernel parameters against what the services need.

use crate::finding::{Level, Shown};
use crate::judge::raw::{Gap, Ruled};
use crate::judge::scene::Scene;
use crate::object::{Part, PartKind};
use crate::unit::{Quantity, Unit};
use std::collections::BTreeMap;

/// A parameter that is running.
fn running<'a>(scene: &Scene<'a>, name: &str) -> Result<&'a str, Gap> {
    let all = scene.texts("sysctl.running", None)?;
    all.get(name).map(String::as_str).ok_or_else(|| Gap::Unknown(format!("sysctl.running has no entry {name}")))
}

/// Maps that are used, or that the segments on disk will need (two a segment, Kafka's hardware and OS page), as a share
/// of what a process may have.
pub(super) fn map_count(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let limit = running(scene, "vm.max_map_count")?;
    let limit: f64 = limit.trim().parse().map_err(|_| Gap::Unknown(format!("vm.max_map_count is {limit:?}")))?;
    let used = scene.number("process.maps", Some(&Part::new(PartKind::Process, "kafka")))?;
    let needed = 2.0 * scene.number("kafka.segments", None)?;
    let share = Quantity::new(100.0 * used.max(needed) / limit, Unit::Percent);
    let lines = [format!("{used} maps in use"), format!("{needed} needed by the segments"), format!("{limit} allowed")];
    Ok(scene.grade(None, share).because(lines).into())
}

/// Numbers and ranges such as `9092,30000-31000`.
fn ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        })
        .collect()
}

/// Configured ports that the kernel may give to an outgoing connection.
pub(super) fn port_range(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let range = running(scene, "net.ipv4.ip_local_port_range")?;
    let wrong = || Gap::Unknown(format!("net.ipv4.ip_local_port_range is {range:?}"));
    let mut bounds = range.split_whitespace().map(str::parse::<u32>);
    let (Some(Ok(low)), Some(Ok(high))) = (bounds.next(), bounds.next()) else { return Err(wrong()) };
    let reserved = running(scene, "net.ipv4.ip_local_reserved_ports")?;
    let reserved =
        ranges(reserved).ok_or_else(|| Gap::Unknown(format!("net.ipv4.ip_local_reserved_ports is {reserved:?}")))?;
    let ports = scene.list("net.ports.used", None)?;
    let taken = |port: &&String| {
        port.parse::<u32>().is_ok_and(|port| {
            (low..=high).contains(&port) && !reserved.iter().any(|(from, to)| (*from..=*to).contains(&port))
        })
    };
    let taken: Vec<String> = ports.iter().filter(taken).cloned().collect();
    if taken.is_empty() {
        return Ok(scene.ok(None).into());
    }
    let line = format!("net.ipv4.ip_local_port_range is {low} to {high}");
    Ok(scene.verdict(None, Level::Warn, Shown::List(taken)).because([line]).into())
}

/// Parameters whose running value is another one than the files set.
pub(super) fn persisted(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let running = scene.texts("sysctl.running", None)?;
    let files = scene.texts("sysctl.configured", None)?;
    let apart = differing(files, running);
    if apart.is_empty() {
        return Ok(scene.ok(None).into());
    }
    let lines = apart.iter().map(|(name, (file, run))| format!("{name}: runs {run}, files set {file}"));
    let raw = scene.verdict(None, Level::Warn, Shown::List(apart.keys().map(|name| (*name).to_owned()).collect()));
    Ok(raw.because(lines.collect::<Vec<_>>()).into())
}

/// Entries of the first that are another in the second; what the second does not have, such as a parameter of a module
/// that is not loaded, is left out.
fn differing<'a>(
    files: &'a BTreeMap<String, String>,
    running: &'a BTreeMap<String, String>,
) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let apart = files.iter().filter_map(|(name, file)| {
        let run = running.get(name)?;
        (words(file) != words(run)).then_some((name.as_str(), (file.as_str(), run.as_str())))
    });
    apart.collect()
}
