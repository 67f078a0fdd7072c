//! Reads of a host what `kfleet_tune` judges: what the wanted values depend on, live values, and the files of the boot.

use super::Params;
use super::knobs::{self, mount_table, text};
use crate::host::{HostError, HostView};
use crate::modules::ModuleError;
use kfleet_config::Properties;
use kfleet_tune::mounts::{self, MountLine};
use kfleet_tune::persist::{ConfFile, fstab, in_order, sysctl, tmpfiles, unit};
use kfleet_tune::{Disk, Knob, Machine, Mount, Profile, Readings, Spec, Volume, Watched, data_dirs, listener_ports};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where systemd says that it runs (`sd_booted`).
const SYSTEMD: &str = "/run/systemd/system";

/// Where the kernel lists its frequency policies.
const POLICIES: &str = "/sys/devices/system/cpu/cpufreq";

/// What the wanted values depend on.
pub(super) fn machine(host: &dyn HostView, params: &Params, profile: Profile) -> Result<Machine, ModuleError> {
    let systemd = host.stat(Path::new(SYSTEMD), true)?.is_some();
    let service = params.service.as_deref().unwrap_or(profile.service());
    let unit = if systemd { Some(host.unit(service)?).filter(|unit| unit.load_state != "not-found") } else { None };
    let config = config(host, params, profile)?;
    let dirs = params.data_dirs.clone().unwrap_or_else(|| data_dirs(profile, &config).into_iter().collect());
    let number = |path: &str| -> Result<u64, HostError> {
        Ok(text(host, path)?.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
    };
    let range = text(host, "/proc/sys/net/ipv4/ip_local_port_range")?.unwrap_or_default();
    let ends: Vec<u16> = range.split_whitespace().filter_map(|end| end.parse().ok()).collect();
    let mut machine = Machine {
        systemd,
        unit: unit.map(|unit| unit.name),
        partitions: params.partitions,
        segments_per_partition: params.segments_per_partition,
        ports: params.ports()?.unwrap_or_else(|| listener_ports(profile, &config)),
        port_range: if let [from, to] = ends[..] { Some((from, to)) } else { None },
        dirty_bytes: number("/proc/sys/vm/dirty_bytes")?,
        dirty_background_bytes: number("/proc/sys/vm/dirty_background_bytes")?,
        governors: governors(host)?,
        swaps: knobs::swaps(host)?.into_iter().map(|swap| PathBuf::from(swap.file)).collect(),
        ..Machine::default()
    };
    storage(host, &dirs, &mut machine)?;
    Ok(machine)
}

/// The service's own configuration; empty where there is none yet.
fn config(host: &dyn HostView, params: &Params, profile: Profile) -> Result<BTreeMap<String, String>, ModuleError> {
    let named = params.config.as_deref();
    let candidates = named.map_or_else(|| profile.configs().to_vec(), |path| vec![path]);
    for path in candidates {
        if let Some(text) = text(host, path)? {
            return Ok(Properties::parse(text.as_bytes()).to_map());
        }
    }
    match named {
        Some(path) => Err(ModuleError::Invalid(format!("{path} does not exist (parameter config names it)"))),
        None => Ok(BTreeMap::new()),
    }
}

fn governors(host: &dyn HostView) -> Result<Vec<PathBuf>, HostError> {
    let names = host.list(Path::new(POLICIES))?.unwrap_or_default();
    let mut paths = Vec::new();
    for name in names.iter().filter(|name| name.starts_with("policy")) {
        let path = Path::new(POLICIES).join(name).join("scaling_governor");
        if host.stat(&path, true)?.is_some() {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The mounts, volumes and disks below the data.
fn storage(host: &dyn HostView, dirs: &[String], machine: &mut Machine) -> Result<(), ModuleError> {
    let table = mount_table(host)?;
    let mut seen = BTreeSet::new();
    for dir in dirs {
        let device = host.stat(Path::new(dir), true)?.map(|stat| stat.device);
        let device = device.map(|device| (nix::sys::stat::major(device), nix::sys::stat::minor(device)));
        let Some(mount) = mounts::of(&table, dir, device) else { continue };
        if seen.insert(mount.dir.clone()) {
            below(host, mount, machine)?;
        }
    }
    Ok(())
}

fn below(host: &dyn HostView, mount: &MountLine, machine: &mut Machine) -> Result<(), ModuleError> {
    let (major, minor) = mount.device;
    let volume = whole(host, &format!("/sys/dev/block/{major}:{minor}"))?;
    let on_disk = volume.is_some();
    machine.mounts.push(Mount { dir: mount.dir.clone(), kind: mount.kind.clone(), on_disk });
    let Some(name) = volume.filter(|name| machine.volumes.iter().all(|known| known.name != *name)) else {
        return Ok(());
    };
    let mut disks = Vec::new();
    leaves(host, &name, &mut disks, 0)?;
    let rotational = disks.iter().any(|disk| disk.rotational);
    machine.volumes.push(Volume { name, rotational });
    for disk in disks {
        if !machine.disks.contains(&disk) {
            machine.disks.push(disk);
        }
    }
    Ok(())
}

/// The name below `/sys/block` of a device, or of the disk that it is a partition of; none when there is no such device.
fn whole(host: &dyn HostView, link: &str) -> Result<Option<String>, HostError> {
    let Some(target) = host.stat(Path::new(link), false)?.and_then(|stat| stat.target) else { return Ok(None) };
    let partition = host.stat(&Path::new(link).join("partition"), true)?.is_some();
    let device = if partition { target.parent() } else { Some(target.as_path()) };
    Ok(device.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()))
}

/// How deep volumes may lie on each other (crypt on LVM on RAID on multipath is four); a loop can not be.
const DEPTH: u32 = 8;

/// The disks at the bottom of a device, those whose queue has a scheduler.
fn leaves(host: &dyn HostView, name: &str, disks: &mut Vec<Disk>, depth: u32) -> Result<(), HostError> {
    let folder = PathBuf::from(format!("/sys/block/{name}"));
    let slaves = host.list(&folder.join("slaves"))?.unwrap_or_default();
    if slaves.is_empty() || depth == DEPTH {
        if host.stat(&folder.join("queue/scheduler"), true)?.is_some() {
            let rotational = text(host, folder.join("queue/rotational"))?.is_some_and(|text| text.trim() == "1");
            disks.push(Disk { name: name.to_owned(), rotational });
        }
        return Ok(());
    }
    for slave in slaves {
        if let Some(disk) = whole(host, &format!("/sys/class/block/{slave}"))? {
            leaves(host, &disk, disks, depth + 1)?;
        }
    }
    Ok(())
}

/// Everything that items are judged by.
pub(super) fn readings(host: &dyn HostView, specs: &[Spec], machine: &Machine) -> Result<Readings, ModuleError> {
    let mut readings = Readings {
        sysctl: folders(host, &sysctl::FOLDERS.map(str::to_owned))?,
        unit: machine.unit.clone(),
        fstab: text(host, fstab::PATH)?,
        cmdline: text(host, "/proc/cmdline")?.unwrap_or_default(),
        ..Readings::default()
    };
    if machine.systemd {
        readings.tmpfiles = Some(folders(host, &tmpfiles::FOLDERS.map(str::to_owned))?);
    }
    if let Some(name) = &machine.unit {
        service(host, name, &mut readings)?;
    }
    for spec in specs.iter().filter(|spec| !spec.left_out) {
        let Watched::Knobs(knobs) = &spec.live else { continue };
        for knob in knobs {
            readings.knobs.insert(Knob::clone(knob), knobs::read(host, knob)?);
        }
    }
    Ok(readings)
}

fn service(host: &dyn HostView, name: &str, readings: &mut Readings) -> Result<(), ModuleError> {
    let found = host.unit(name)?;
    // systemd has all ones for "infinity".
    let seconds = match found.timeout_stop_us {
        u64::MAX => "infinity".to_owned(),
        us => (us / 1_000_000).to_string(),
    };
    readings.stop_timeout = Some(seconds);
    readings.stale = found.needs_reload;
    for folder in unit::FOLDERS {
        let path = format!("{folder}/{name}");
        if let Some(text) = text(host, &path)? {
            readings.units.push(ConfFile { path, name: String::new(), text });
            break;
        }
    }
    readings.units.extend(folders(host, &unit::FOLDERS.map(|folder| format!("{folder}/{name}.d")))?);
    if found.main_pid != 0 {
        let limits = text(host, format!("/proc/{}/limits", found.main_pid))?.unwrap_or_default();
        readings.process = limits.lines().filter_map(limit).collect();
    }
    Ok(())
}

/// A row of `/proc/PID/limits`: its name, which ends before two blanks, and its soft limit.
fn limit(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.split_once("  ")?;
    Some((name.to_owned(), rest.split_whitespace().next()?.to_owned()))
}

/// The files of several folders that count, in order.
fn folders(host: &dyn HostView, folders: &[String]) -> Result<Vec<ConfFile>, HostError> {
    let mut listed = Vec::new();
    for folder in folders {
        listed.push((folder.clone(), host.list(Path::new(folder))?.unwrap_or_default()));
    }
    let mut files = Vec::new();
    for (path, name) in in_order(&listed) {
        let text = text(host, &path)?.unwrap_or_default();
        files.push(ConfFile { path, name, text });
    }
    Ok(files)
}
