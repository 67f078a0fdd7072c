//! Knobs of the running kernel on this host: reading one, setting one.

use crate::host::{Host, HostError, HostView};
use crate::modules::ModuleError;
use kfleet_tune::mounts::{self, MountLine};
use kfleet_tune::{Knob, Reading};
use std::path::Path;

/// A kernel's file is never near this; `/proc/self/mountinfo` of a host with many mounts may come close to a megabyte.
const LIMIT: u64 = 4 * 1024 * 1024;

/// What is said of a value that this process may not write.
const FIXED: &str = "it can not be set from here: it is the machine's beneath this host, or fixed by its kernel";

/// A text file of the host; none when it is not there.
pub(super) fn text(host: &dyn HostView, path: impl AsRef<Path>) -> Result<Option<String>, HostError> {
    let bytes = host.read(path.as_ref(), LIMIT)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The mounts of this host.
pub(super) fn mount_table(host: &dyn HostView) -> Result<Vec<MountLine>, HostError> {
    Ok(mounts::parse(&text(host, "/proc/self/mountinfo")?.unwrap_or_default()))
}

/// A line of `/proc/swaps`.
pub(super) struct Swap {
    pub(super) file: String,
    used_kib: u64,
    priority: i64,
}

/// The swap spaces in use.
pub(super) fn swaps(host: &dyn HostView) -> Result<Vec<Swap>, HostError> {
    let table = text(host, "/proc/swaps")?.unwrap_or_default();
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [file, _kind, _size, used, priority] = words[..] else { return None };
        Some(Swap { file: file.to_owned(), used_kib: used.parse().ok()?, priority: priority.parse().ok()? })
    };
    Ok(table.lines().skip(1).filter_map(row).collect())
}

/// Reads a knob.
pub(super) fn read(host: &dyn HostView, knob: &Knob) -> Result<Reading, HostError> {
    match knob {
        Knob::Kernel { path } => {
            let text = match text(host, path) {
                Err(HostError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                    return Ok(Reading { text: None, fixed: Some("this host may not read it".to_owned()) });
                }
                other => other?,
            };
            let fixed = text.is_some() && !host.access(path)?.write;
            Ok(Reading { text, fixed: fixed.then(|| FIXED.to_owned()) })
        }
        Knob::Atime { dir } => {
            let found = mount_table(host)?.into_iter().rfind(|mount| mount.dir == *dir);
            Ok(Reading { text: found.map(|mount| mount.atime().to_owned()), fixed: None })
        }
        Knob::Swap { file } => {
            let found = swaps(host)?.into_iter().find(|swap| Path::new(&swap.file) == file);
            let Some(swap) = found else { return Ok(Reading { text: Some("off".to_owned()), fixed: None }) };
            // The kernel gives negative priorities itself, and another one each time.
            let text = if swap.priority < 0 { "on".to_owned() } else { format!("on {}", swap.priority) };
            Ok(Reading { text: Some(text), fixed: why_not_off(host, &swap)? })
        }
    }
}

fn why_not_off(host: &dyn HostView, swap: &Swap) -> Result<Option<String>, HostError> {
    if host.stat(Path::new(&swap.file), true)?.is_none() {
        return Ok(Some(FIXED.to_owned()));
    }
    let meminfo = text(host, "/proc/meminfo")?.unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let too_full = swap.used_kib > free;
    Ok(too_full.then(|| format!("{} KiB are swapped out and {free} KiB of memory are left for them", swap.used_kib)))
}

/// Sets a knob to a value, or back to what it showed once.
pub(super) fn set(host: &dyn Host, knob: &Knob, value: &str) -> Result<(), ModuleError> {
    match knob {
        Knob::Kernel { path } => {
            let line = if value.ends_with('\n') { value.to_owned() } else { format!("{value}\n") };
            Ok(host.set_kernel_value(path, line.as_bytes())?)
        }
        Knob::Atime { dir } => {
            let mount = mount_table(host.view())?.into_iter().rfind(|mount| mount.dir == *dir);
            let mount = mount.ok_or_else(|| ModuleError::Invalid(format!("nothing is mounted at {dir} any more")))?;
            // Of a bind remount only the mount's own options count, and with both names /etc/fstab is not asked: what is
            // given is all that there is afterwards (mount(8), "remount").
            let options = format!("remount,bind,{}", mount.with_atime(value));
            host.tool(&["mount", "-o", &options, &mount.source, dir], &[])?;
            Ok(())
        }
        Knob::Swap { file } => {
            let file = file.display().to_string();
            match value.strip_prefix("on") {
                None => host.tool(&["swapoff", &file], &[])?,
                Some("") => host.tool(&["swapon", &file], &[])?,
                Some(priority) => host.tool(&["swapon", "-p", priority.trim(), &file], &[])?,
            };
            Ok(())
        }
    }
}
