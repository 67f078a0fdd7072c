//! The volumes that hold data and logs, and the devices below them.

use super::params::Kind;
use super::scene::Scene;
use super::services::Service;
use super::sink::{Gap, Sink, Told};
use kfleet_inspect::{Datum, Part, PartKind};
use kfleet_tune::mounts::{self, MountLine};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) const KEYS: &[&str] = &[
    "disk.used",
    "disk.used_bytes",
    "disk.total_bytes",
    "disk.inodes_free",
    "disk.readonly",
    "disk.filesystem",
    "disk.fs_type",
    "disk.options",
    "disk.rotational",
];

pub(super) const TIME_KEYS: &[&str] = &["disk.write_time"];

const MOUNTS: &str = "/proc/self/mountinfo";

/// Links from the UUIDs of file systems to their devices.
const UUIDS: &str = "/dev/disk/by-uuid";

/// Every folder with data or logs of a service.
pub(super) fn volumes(service: &Service) -> Vec<String> {
    let keys = service.keys().unwrap_or_default();
    let get = |key: &str| keys.get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let mut found: Vec<String> = match service.params.kind {
        Kind::Kafka => {
            let dirs = service.kafka().and_then(Result::ok).map(|config| config.log_dirs.clone()).unwrap_or_default();
            dirs.into_iter().chain(get("metadata.log.dir")).collect()
        }
        Kind::Zookeeper => get("dataDir").into_iter().chain(get("dataLogDir")).collect(),
    };
    found.extend(log_folder(service));
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

/// Where a service writes its own logs, as its command line says.
pub(super) fn log_folder(service: &Service) -> Option<String> {
    let names: [&str; 2] = match service.params.kind {
        Kind::Kafka => ["kafka.logs.dir", "kafka.log.dir"],
        Kind::Zookeeper => ["zookeeper.log.dir", "kafka.logs.dir"],
    };
    let process = service.process()?;
    names.into_iter().find_map(|name| process.property(name)).filter(|path| path.starts_with('/')).map(str::to_owned)
}

fn all_volumes(scene: &Scene<'_>) -> Result<BTreeSet<String>, Gap> {
    let services = scene.services()?;
    let found: BTreeSet<String> = services.iter().flat_map(volumes).collect();
    if found.is_empty() {
        // A service whose file can not be read has volumes that nobody knows.
        return Err(match services.iter().find_map(|service| service.config.as_ref().err()) {
            Some(gap) => gap.clone(),
            None => Gap::not_here("no service with data runs here"),
        });
    }
    Ok(found)
}

pub(super) fn read(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let volumes = all_volumes(scene)?;
    let table = mounts::parse(&scene.need(MOUNTS)?);
    let uuids = uuids(scene)?;
    let root = mounts::of(&table, "/", None).map(|mount| mount.device);
    let mut devices = BTreeMap::new();
    for path in &volumes {
        let part = Part::new(PartKind::Volume, path.as_str());
        space(scene, sink, &part, path);
        let device = scene.stat(path, true)?.map(|stat| stat.device);
        let mount = device.and_then(|device| mounts::of(&table, path, Some(numbers(device))));
        let mount = mount.ok_or_else(|| Gap::Unreadable(format!("{path} does not exist")));
        let of = |tell: fn(&MountLine) -> Datum| mount.clone().map(tell);
        let says = |mount: &MountLine, word: &str| options(mount).iter().any(|option| option == word);
        sink.tell_of(&part, "disk.readonly", MOUNTS, mount.clone().map(|mount| Datum::Flag(says(mount, "ro"))));
        sink.tell_of(&part, "disk.fs_type", MOUNTS, of(|mount| Datum::Text(mount.kind.clone())));
        sink.tell_of(&part, "disk.options", MOUNTS, of(|mount| Datum::List(options(mount))));
        let named = mount.clone().map(|mount| Datum::Text(name(mount, &uuids, root == Some(mount.device))));
        sink.tell_of(&part, "disk.filesystem", UUIDS, named);
        if let Some(device) = mount.ok().map(|mount| mount.device).and_then(|device| whole(scene, device).transpose()) {
            devices.insert(device?, ());
        }
    }
    if devices.is_empty() {
        return Err(Gap::not_here("no block device is below the volumes"));
    }
    for device in devices.keys() {
        let path = format!("/sys/block/{device}/queue/rotational");
        let told = scene.word(&path).map(|word| Datum::Flag(word == "1"));
        sink.tell_of(&Part::new(PartKind::Device, device.as_str()), "disk.rotational", &path, told);
    }
    Ok(())
}

/// Major and minor number.
fn numbers(device: u64) -> (u64, u64) {
    (nix::sys::stat::major(device), nix::sys::stat::minor(device))
}

fn space(scene: &Scene<'_>, sink: &mut Sink, part: &Part, path: &str) {
    let found = scene.go_on().and_then(|()| Ok(scene.host().file_system(Path::new(path))?));
    let found = found.and_then(|found| found.ok_or_else(|| Gap::Unreadable(format!("{path} does not exist"))));
    let int = |bytes: u64| Datum::Int(i64::try_from(bytes).unwrap_or(i64::MAX));
    // What root keeps for itself is neither used nor to be had: df leaves it out of the whole.
    let usable = found.clone().map(|fs| fs.used_bytes.saturating_add(fs.free_bytes));
    let used = match (&found, &usable) {
        (Ok(fs), Ok(whole)) => share(fs.used_bytes, *whole),
        (Err(gap), _) | (_, Err(gap)) => Err(gap.clone()),
    };
    sink.tell_of(part, "disk.used", "statvfs", used);
    sink.tell_of(part, "disk.used_bytes", "statvfs", found.clone().map(|fs| int(fs.used_bytes)));
    sink.tell_of(part, "disk.total_bytes", "statvfs", usable.map(int));
    let inodes = found.and_then(|fs| match fs.inodes {
        0 => Err(Gap::not_here("the file system makes inodes as it needs them")),
        all => share(fs.free_inodes, all),
    });
    sink.tell_of(part, "disk.inodes_free", "statvfs", inodes);
}

fn share(part: u64, whole: u64) -> Told {
    if whole == 0 {
        return Err(Gap::not_here("the file system has no size"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than a double has")]
    Ok(Datum::Float(100.0 * part as f64 / whole as f64))
}

/// Options of the mount and of its file system, each once. One that says `ro` is read-only, whatever the other says.
fn options(mount: &MountLine) -> Vec<String> {
    let read_only = mount.options.iter().chain(&mount.system).any(|option| option == "ro");
    let mut found: Vec<String> = vec![if read_only { "ro" } else { "rw" }.to_owned()];
    for option in mount.options.iter().chain(&mount.system).filter(|option| !matches!(option.as_str(), "ro" | "rw")) {
        if !found.contains(option) {
            found.push(option.clone());
        }
    }
    found
}

/// What tells one file system from another that may come to lie in its place.
fn name(mount: &MountLine, uuids: &BTreeMap<String, String>, on_root: bool) -> String {
    let device = mount.source.rsplit('/').next().unwrap_or_default();
    let (major, minor) = mount.device;
    let own = match uuids.get(device) {
        Some(uuid) => format!("UUID {uuid}"),
        None => format!("device {major}:{minor}"),
    };
    if on_root { format!("{own}, the root file system") } else { own }
}

/// UUIDs by the names of their devices. A host without the folder has none.
fn uuids(scene: &Scene<'_>) -> Result<BTreeMap<String, String>, Gap> {
    let mut found = BTreeMap::new();
    for uuid in scene.list(UUIDS)?.unwrap_or_default() {
        let target = scene.stat(format!("{UUIDS}/{uuid}"), false)?.and_then(|stat| stat.target);
        if let Some(device) = target.as_deref().and_then(Path::file_name) {
            found.insert(device.to_string_lossy().into_owned(), uuid);
        }
    }
    Ok(found)
}

/// The name below `/sys/block` of a device, or of the disk that it is a partition of; none when no block device is there.
fn whole(scene: &Scene<'_>, (major, minor): (u64, u64)) -> Result<Option<String>, Gap> {
    let link = format!("/sys/dev/block/{major}:{minor}");
    let Some(target) = scene.stat(&link, false)?.and_then(|stat| stat.target) else { return Ok(None) };
    let partition = scene.stat(format!("{link}/partition"), true)?.is_some();
    let device = if partition { target.parent() } else { Some(target.as_path()) };
    Ok(device.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()))
}

/// How long a write took, over the window.
pub(super) fn write_times(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let moments = scene.moments.borrow();
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return Err(Gap::unreadable("the window was too short for two looks"));
    };
    if first.at == last.at {
        return Err(Gap::unreadable("the window was too short for two looks"));
    }
    let table = mounts::parse(&scene.need(MOUNTS)?);
    let mut devices = BTreeSet::new();
    for path in all_volumes(scene)? {
        let device = scene.stat(&path, true)?.map(|stat| stat.device);
        let mount = device.and_then(|device| mounts::of(&table, &path, Some(numbers(device))));
        if let Some(device) = mount.map(|mount| whole(scene, mount.device)).transpose()?.flatten() {
            devices.insert(device);
        }
    }
    if devices.is_empty() {
        return Err(Gap::not_here("no block device is below the volumes"));
    }
    for device in devices {
        let told = write_time(writes(&first.disks, &device), writes(&last.disks, &device));
        sink.tell_of(&Part::new(PartKind::Device, device), "disk.write_time", "/proc/diskstats", told);
    }
    Ok(())
}

/// Writes that ended and the milliseconds that they took: the fields 8 and 11 of a device's line (kernel,
/// admin-guide/iostats).
fn writes(table: &str, device: &str) -> Option<(u64, u64)> {
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let fields = fields.into_iter().find(|fields| fields.get(2) == Some(&device))?;
    Some((fields.get(7)?.parse().ok()?, fields.get(10)?.parse().ok()?))
}

fn write_time(before: Option<(u64, u64)>, after: Option<(u64, u64)>) -> Told {
    let missing = || Gap::not_here("/proc/diskstats has no line of it");
    let ((count, time), (count_later, time_later)) = (before.ok_or_else(missing)?, after.ok_or_else(missing)?);
    let count = count_later.saturating_sub(count);
    if count == 0 {
        return Err(Gap::not_here("nothing was written in the window"));
    }
    #[expect(clippy::cast_precision_loss, reason = "writes and milliseconds of a minute")]
    Ok(Datum::Float(time_later.saturating_sub(time) as f64 / count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> MountLine {
        mounts::parse(line).remove(0)
    }

    #[test]
    fn a_file_system_that_the_kernel_stopped_writing_to_is_read_only() {
        let healthy = mount("30 22 8:17 / /data rw,noatime - ext4 /dev/sdb1 rw,errors=remount-ro");
        assert_eq!(options(&healthy), ["rw", "noatime", "errors=remount-ro"]);
        let broken = mount("30 22 8:17 / /data rw,noatime - ext4 /dev/sdb1 ro,errors=remount-ro");
        assert_eq!(options(&broken)[0], "ro");
    }

    #[test]
    fn a_file_system_is_named_by_what_stays() {
        let data = mount("30 22 8:17 / /data rw - xfs /dev/sdb1 rw");
        let uuids = BTreeMap::from([("sdb1".to_owned(), "5a6b".to_owned())]);
        assert_eq!(name(&data, &uuids, false), "UUID 5a6b");
        assert_eq!(name(&data, &BTreeMap::new(), true), "device 8:17, the root file system");
    }

    #[test]
    fn the_time_of_a_write_is_the_mean_of_the_window() {
        // A line of kernel 5.5 and later with twenty columns, and one of 4.17 with fourteen.
        let new = "   8      16 sdb 10 0 80 5 100 0 800 400 0 300 405 0 0 0 0 7 2\n";
        let old = "   8      16 sdb 10 0 80 5 150 0 800 700 0 300 405\n";
        assert_eq!((writes(new, "sdb"), writes(old, "sdb")), (Some((100, 400)), Some((150, 700))));
        assert_eq!(writes(new, "sd"), None);
        assert_eq!(write_time(writes(new, "sdb"), writes(old, "sdb")), Ok(Datum::Float(6.0)));
        for (before, after) in [(Some((1, 1)), Some((1, 1))), (None, Some((1, 1))), (Some((1, 1)), None)] {
            assert!(matches!(write_time(before, after), Err(Gap::NotHere(_))));
        }
    }

    #[test]
    fn shares_are_reckoned_as_df_does() {
        assert_eq!(share(1, 4), Ok(Datum::Float(25.0)));
        assert!(matches!(share(0, 0), Err(Gap::NotHere(_))));
    }
}
