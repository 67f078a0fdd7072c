//! Processors, memory, disks, mounts and the maker of the machine.

use super::{put, text, word};
use crate::collect::CollectError;
use crate::host::HostView;
use kfleet_model::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) fn gather(host: &dyn HostView, facts: &mut Map) -> Result<(), CollectError> {
    let status = text(host, "/proc/self/status").unwrap_or_default();
    processors(&text(host, "/proc/cpuinfo").unwrap_or_default(), &status, facts);
    memory(&text(host, "/proc/meminfo").unwrap_or_default(), facts);
    let uptime = text(host, "/proc/uptime").unwrap_or_default();
    if let Some(seconds) = uptime.split(['.', ' ']).next().and_then(|seconds| seconds.parse::<u64>().ok()) {
        put(facts, "uptime_seconds", seconds);
    }
    let load = text(host, "/proc/loadavg").unwrap_or_default();
    let load: Vec<f64> = load.split_whitespace().take(3).filter_map(|number| number.parse().ok()).collect();
    if let [one, five, fifteen] = load[..] {
        let load = [("1m", one), ("5m", five), ("15m", fifteen)];
        let load: Map = load.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        put(facts, "loadavg", Value::Object(load));
    }
    put(facts, "mounts", mounts(host, &text(host, "/proc/self/mounts").unwrap_or_default())?);
    put(facts, "devices", Value::Object(devices(host)?));
    maker(host, facts);
    Ok(())
}

fn processors(cpuinfo: &str, status: &str, facts: &mut Map) {
    let mut listed = Vec::new();
    let (mut count, mut cores) = (0_u64, 1_u64);
    let mut siblings = None;
    let mut sockets = BTreeSet::new();
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "processor" => {
                count += 1;
                listed.push(Value::from(value));
            }
            "vendor_id" | "model name" | "Processor" => listed.push(value.into()),
            "physical id" => {
                sockets.insert(value.to_owned());
            }
            "cpu cores" => cores = value.parse().unwrap_or(1),
            "siblings" => siblings = value.parse::<u64>().ok(),
            _ => {}
        }
    }
    let sockets =
        u64::try_from(sockets.len()).unwrap_or(1).max(if cpuinfo.contains("physical id") { 1 } else { count });
    let threads = siblings.map_or(1, |siblings| (siblings / cores.max(1)).max(1));
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    put(facts, "processor", listed);
    put(facts, "processor_count", sockets);
    put(facts, "processor_cores", cores);
    put(facts, "processor_threads_per_core", threads);
    put(facts, "processor_vcpus", count);
    put(facts, "processor_nproc", allowed.map_or(count, |list| in_list(list.trim())));
}

/// How many processors a list such as `0-3,8` names.
fn in_list(list: &str) -> u64 {
    let range = |part: &str| -> u64 {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if last >= first => last - first + 1,
            _ => 0,
        }
    };
    list.split(',').map(range).sum()
}

fn memory(meminfo: &str, facts: &mut Map) {
    let kib: BTreeMap<&str, u64> = meminfo
        .lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key, value.split_whitespace().next()?.parse().ok()?))
        })
        .collect();
    let mb = |key: &str| kib.get(key).copied().unwrap_or_default() / 1024;
    let (total, free, swap, swap_free) = (mb("MemTotal"), mb("MemFree"), mb("SwapTotal"), mb("SwapFree"));
    let without_cache = free + mb("Cached") + mb("Buffers");
    let object = |pairs: &[(&str, u64)]| {
        Value::Object(pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect())
    };
    let mut parts = Map::new();
    put(&mut parts, "real", object(&[("total", total), ("used", total.saturating_sub(free)), ("free", free)]));
    let used = total.saturating_sub(without_cache);
    put(&mut parts, "nocache", object(&[("free", without_cache), ("used", used)]));
    let used = swap.saturating_sub(swap_free);
    let cached = mb("SwapCached");
    put(&mut parts, "swap", object(&[("total", swap), ("free", swap_free), ("used", used), ("cached", cached)]));
    put(facts, "memtotal_mb", total);
    put(facts, "memfree_mb", free);
    put(facts, "swaptotal_mb", swap);
    put(facts, "swapfree_mb", swap_free);
    put(facts, "memory_mb", Value::Object(parts));
}

/// One line of the kernel's table of mounts.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    path: String,
    kind: String,
    options: String,
}

/// Mounts of real devices and of the network, as Ansible chooses them.
fn mount_table(text: &str) -> Vec<Mount> {
    let row = |line: &str| {
        let fields: Vec<String> = line.split_whitespace().map(unescape).collect();
        let [device, path, kind, options, ..] = <[String; 6]>::try_from(fields).ok()?;
        let real = (device.starts_with('/') || device.contains(":/")) && kind != "none";
        real.then_some(Mount { device, path, kind, options })
    };
    text.lines().filter_map(row).collect()
}

/// Blanks and backslashes stand as octal numbers in the table.
fn unescape(field: &str) -> String {
    let mut out = Vec::new();
    let bytes = field.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if bytes[at] == b'\\' => {
                out.push(byte);
                at += 4;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn mounts(host: &dyn HostView, table: &str) -> Result<Vec<Value>, CollectError> {
    let uuids = uuids(host)?;
    let mut all = Vec::new();
    for mount in mount_table(table) {
        let device = mount.device.rsplit('/').next().unwrap_or_default();
        let mut fact = Map::new();
        put(&mut fact, "uuid", uuids.get(device).map_or("N/A", String::as_str));
        // A network file system whose server is away hangs here for as long as the kernel lets it.
        if let Ok(Some(space)) = host.file_system(Path::new(&mount.path)) {
            let block = space.block_bytes.max(1);
            put(&mut fact, "size_total", space.total_bytes);
            put(&mut fact, "size_available", space.free_bytes);
            put(&mut fact, "block_size", space.block_bytes);
            put(&mut fact, "block_total", space.total_bytes / block);
            put(&mut fact, "block_available", space.free_bytes / block);
            put(&mut fact, "block_used", (space.total_bytes - space.free_bytes.min(space.total_bytes)) / block);
            put(&mut fact, "inode_total", space.inodes);
            put(&mut fact, "inode_available", space.free_inodes);
            put(&mut fact, "inode_used", space.inodes.saturating_sub(space.free_inodes));
        }
        put(&mut fact, "mount", mount.path);
        put(&mut fact, "device", mount.device);
        put(&mut fact, "fstype", mount.kind);
        put(&mut fact, "options", mount.options);
        all.push(Value::Object(fact));
    }
    Ok(all)
}

/// File systems' ids by the name of their device.
fn uuids(host: &dyn HostView) -> Result<BTreeMap<String, String>, CollectError> {
    let folder = Path::new("/dev/disk/by-uuid");
    let mut found = BTreeMap::new();
    for uuid in host.list(folder)?.unwrap_or_default() {
        let target = host.stat(&folder.join(&uuid), false)?.and_then(|stat| stat.target);
        if let Some(device) = target.as_deref().and_then(Path::file_name) {
            found.insert(device.to_string_lossy().into_owned(), uuid);
        }
    }
    Ok(found)
}

/// Block devices as the kernel lists them.
fn devices(host: &dyn HostView) -> Result<Map, CollectError> {
    let mut all = Map::new();
    for name in host.list(Path::new("/sys/block"))?.unwrap_or_default() {
        let at = |file: &str| word(host, &format!("/sys/block/{name}/{file}"));
        let sectors = at("size").and_then(|size| size.parse::<u64>().ok()).unwrap_or_default();
        let mut device = Map::new();
        // The kernel counts sectors of 512 bytes here, whatever the disk has.
        put(&mut device, "sectors", sectors);
        put(&mut device, "sectorsize", at("queue/logical_block_size").unwrap_or_default());
        put(&mut device, "size", readable(sectors.saturating_mul(512)));
        put(&mut device, "rotational", at("queue/rotational").unwrap_or_default());
        put(&mut device, "removable", at("removable").unwrap_or_default());
        put(&mut device, "model", at("device/model").map_or(Value::Null, Value::String));
        put(&mut device, "vendor", at("device/vendor").map_or(Value::Null, Value::String));
        let scheduler = at("queue/scheduler").unwrap_or_default();
        let chosen = scheduler.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(name, _)| name);
        put(&mut device, "scheduler_mode", chosen.unwrap_or_default());
        let mut partitions = Map::new();
        for part in host.list(&Path::new("/sys/block").join(&name))?.unwrap_or_default() {
            let at = |file: &str| word(host, &format!("/sys/block/{name}/{part}/{file}"));
            let (Some(_), Some(size)) = (at("partition"), at("size")) else { continue };
            let sectors = size.parse::<u64>().unwrap_or_default();
            let mut partition = Map::new();
            put(&mut partition, "sectors", sectors);
            put(&mut partition, "size", readable(sectors.saturating_mul(512)));
            put(&mut partition, "start", at("start").unwrap_or_default());
            put(&mut partitions, &part, Value::Object(partition));
        }
        put(&mut device, "partitions", Value::Object(partitions));
        put(&mut all, &name, Value::Object(device));
    }
    Ok(all)
}

/// A size for people, in powers of 1024 with two digits.
fn readable(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["Bytes", "KB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2} {}", UNITS[unit])
}

fn maker(host: &dyn HostView, facts: &mut Map) {
    for (fact, file) in [
        ("bios_date", "bios_date"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("board_name", "board_name"),
        ("board_vendor", "board_vendor"),
        ("chassis_vendor", "chassis_vendor"),
        ("product_name", "product_name"),
        ("product_serial", "product_serial"),
        ("product_uuid", "product_uuid"),
        ("product_version", "product_version"),
        ("system_vendor", "sys_vendor"),
    ] {
        put(facts, fact, word(host, &format!("/sys/class/dmi/id/{file}")).unwrap_or_else(|| "NA".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn processors_are_counted_by_socket_core_and_thread() {
        let mut cpuinfo = String::new();
        for n in 0..8 {
            cpuinfo.push_str(&format!(
                "processor\t: {n}\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nphysical id\t: {}\nsiblings\t: 4\n\
                 cpu cores\t: 2\n\n",
                n / 4
            ));
        }
        let mut facts = Map::new();
        processors(&cpuinfo, "Cpus_allowed_list:\t0-3,6\n", &mut facts);
        for (key, wanted) in [
            ("processor_count", 2),
            ("processor_cores", 2),
            ("processor_threads_per_core", 2),
            ("processor_vcpus", 8),
            ("processor_nproc", 5),
        ] {
            assert_eq!(facts[key], wanted, "{key}");
        }
        assert_eq!(facts["processor"].as_array().unwrap()[..3], [json!("0"), json!("GenuineIntel"), json!("Xeon")]);
    }

    #[test]
    fn machines_that_tell_no_sockets_have_one_for_each_processor() {
        let mut facts = Map::new();
        processors("processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\nBogoMIPS\t: 50\n", "", &mut facts);
        assert_eq!((facts["processor_count"].clone(), facts["processor_vcpus"].clone()), (json!(2), json!(2)));
    }

    #[test]
    fn memory_is_told_in_mebibytes() {
        let mut facts = Map::new();
        let meminfo = "MemTotal:       24576000 kB\nMemFree:         1024000 kB\nBuffers:          102400 kB\n\
                       Cached:          2048000 kB\nSwapCached:            0 kB\nSwapTotal:       1024000 kB\n\
                       SwapFree:         512000 kB\n";
        memory(meminfo, &mut facts);
        assert_eq!(facts["memtotal_mb"], 24000);
        assert_eq!(
            facts["memory_mb"],
            json!({"real": {"total": 24000, "used": 23000, "free": 1000}, "nocache": {"free": 3100, "used": 20900},
                   "swap": {"total": 1000, "free": 500, "used": 500, "cached": 0}})
        );
    }

    #[test]
    fn only_mounts_of_devices_and_servers_are_listed() {
        let table = "/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\nnas:/vol /mnt/a\\040b nfs4 rw 0 0\n\
                     tmpfs /run tmpfs rw 0 0\n";
        let got: Vec<(String, String)> = mount_table(table).into_iter().map(|m| (m.device, m.path)).collect();
        assert_eq!(got, [("/dev/sda1".into(), "/".into()), ("nas:/vol".into(), "/mnt/a b".into())]);
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [(0, "0.00 Bytes"), (1536, "1.50 KB"), (500_107_862_016, "465.76 GB")] {
            assert_eq!(readable(bytes), text);
        }
    }
}
