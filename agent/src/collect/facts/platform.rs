//! What the system is: names, distribution, kernel, user, service manager.

use super::{answer, put, text, word};
use crate::collect::CollectError;
use crate::host::HostView;
use kfleet_model::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Distributions: `ID` of os-release, Ansible's name, its family.
const DISTRIBUTIONS: [(&str, &str, &str); 17] = [
    ("debian", "Debian", "Debian"),
    ("ubuntu", "Ubuntu", "Debian"),
    ("raspbian", "Debian", "Debian"),
    ("linuxmint", "Linux Mint", "Debian"),
    ("rhel", "RedHat", "RedHat"),
    ("centos", "CentOS", "RedHat"),
    ("rocky", "Rocky", "RedHat"),
    ("almalinux", "AlmaLinux", "RedHat"),
    ("fedora", "Fedora", "RedHat"),
    ("ol", "OracleLinux", "RedHat"),
    ("amzn", "Amazon", "RedHat"),
    ("sles", "SLES", "Suse"),
    ("opensuse-leap", "openSUSE Leap", "Suse"),
    ("opensuse-tumbleweed", "openSUSE Tumbleweed", "Suse"),
    ("alpine", "Alpine", "Alpine"),
    ("arch", "Archlinux", "Archlinux"),
    ("gentoo", "Gentoo", "Gentoo"),
];

/// Package managers by the program that shows them.
const PACKAGE_MANAGERS: [(&str, &str); 6] = [
    ("/usr/bin/apt-get", "apt"),
    ("/usr/bin/dnf", "dnf"),
    ("/usr/bin/yum", "yum"),
    ("/usr/bin/zypper", "zypper"),
    ("/sbin/apk", "apk"),
    ("/usr/bin/pacman", "pacman"),
];

pub(super) fn gather(host: &dyn HostView, facts: &mut Map) -> Result<(), CollectError> {
    names(host, facts);
    kernel(host, facts);
    let debian = word(host, "/etc/debian_version");
    distribution(&text(host, "/etc/os-release").unwrap_or_default(), debian.as_deref(), facts);
    put(facts, "lsb", lsb(&text(host, "/etc/lsb-release").unwrap_or_default()));
    user(host, facts)?;
    managers(host, facts)?;
    let cmdline = text(host, "/proc/cmdline").unwrap_or_default();
    put(facts, "cmdline", Value::Object(kernel_arguments(&cmdline, false)));
    put(facts, "proc_cmdline", Value::Object(kernel_arguments(&cmdline, true)));
    put(facts, "dns", Value::Object(resolver(&text(host, "/etc/resolv.conf").unwrap_or_default())));
    put(facts, "env", Value::Object(environment(&text(host, "/proc/self/environ").unwrap_or_default())));
    put(facts, "fips", word(host, "/proc/sys/crypto/fips_enabled").as_deref() == Some("1"));
    security(host, facts);
    Ok(())
}

fn names(host: &dyn HostView, facts: &mut Map) {
    let node = word(host, "/proc/sys/kernel/hostname").unwrap_or_default();
    let full = answer(host, &["hostname", "-f"]).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let full = full.unwrap_or_else(|| node.clone());
    put(facts, "nodename", node.as_str());
    put(facts, "hostname", node.split('.').next().unwrap_or_default());
    put(facts, "domain", full.split_once('.').map(|(_, domain)| domain).unwrap_or_default());
    put(facts, "fqdn", full);
    for (fact, path) in [("machine_id", "/etc/machine-id"), ("boot_id", "/proc/sys/kernel/random/boot_id")] {
        if let Some(id) = word(host, path) {
            put(facts, fact, id);
        }
    }
}

fn kernel(host: &dyn HostView, facts: &mut Map) {
    put(facts, "system", word(host, "/proc/sys/kernel/ostype").unwrap_or_else(|| "Linux".to_owned()));
    put(facts, "kernel", word(host, "/proc/sys/kernel/osrelease").unwrap_or_default());
    put(facts, "kernel_version", word(host, "/proc/sys/kernel/version").unwrap_or_default());
    // The agent runs on the machine that it was built for.
    let machine = match std::env::consts::ARCH {
        "x86" => "i686",
        "powerpc64" => "ppc64le",
        "riscv64" => "riscv64",
        other => other,
    };
    for fact in ["architecture", "machine", "userspace_architecture"] {
        put(facts, fact, machine);
    }
    put(facts, "userspace_bits", usize::BITS.to_string());
}

/// `KEY="value"` lines, as a shell would read them.
pub(super) fn assignments(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.trim().split_once('=')?;
        if key.starts_with('#') {
            return None;
        }
        let value = shlex::split(value).map_or_else(|| value.to_owned(), |parts| parts.join(" "));
        Some((key.trim().to_owned(), value))
    };
    text.lines().filter_map(pair).collect()
}

fn distribution(os_release: &str, debian_version: Option<&str>, facts: &mut Map) {
    let all = assignments(os_release);
    let get = |key: &str| all.get(key).map(String::as_str).unwrap_or_default();
    let id = get("ID");
    let known = |id: &str| DISTRIBUTIONS.iter().find(|(known, _, _)| *known == id);
    let own = known(id);
    let like = get("ID_LIKE").split_whitespace().find_map(known);
    let name = own.map_or_else(|| get("NAME").to_owned(), |(_, name, _)| (*name).to_owned());
    let family = own.or(like).map_or_else(|| name.clone(), |(_, _, family)| (*family).to_owned());
    // Debian says its point release only in a file of its own, which on its testing branch holds a name.
    let point = debian_version.filter(|version| id == "debian" && version.starts_with(|c: char| c.is_ascii_digit()));
    let version = point.unwrap_or(get("VERSION_ID"));
    let in_brackets = get("VERSION").split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
    let release = Some(get("VERSION_CODENAME")).filter(|name| !name.is_empty()).or(in_brackets).unwrap_or("NA");
    put(facts, "distribution", name.as_str());
    put(facts, "distribution_version", version);
    put(facts, "distribution_major_version", version.split('.').next().unwrap_or_default());
    if let Some((_, minor)) = version.split_once('.') {
        put(facts, "distribution_minor_version", minor);
    }
    put(facts, "distribution_release", release);
    put(facts, "distribution_file_path", "/etc/os-release");
    put(facts, "distribution_file_variety", family.as_str());
    put(facts, "distribution_file_parsed", true);
    put(facts, "os_family", family);
}

fn lsb(text: &str) -> Value {
    let all = assignments(text);
    let mut lsb = Map::new();
    for (fact, key) in [
        ("id", "DISTRIB_ID"),
        ("release", "DISTRIB_RELEASE"),
        ("codename", "DISTRIB_CODENAME"),
        ("description", "DISTRIB_DESCRIPTION"),
    ] {
        if let Some(value) = all.get(key) {
            put(&mut lsb, fact, value.as_str());
        }
    }
    if let Some(release) = all.get("DISTRIB_RELEASE") {
        put(&mut lsb, "major_release", release.split('.').next().unwrap_or_default());
    }
    Value::Object(lsb)
}

fn user(host: &dyn HostView, facts: &mut Map) -> Result<(), CollectError> {
    let status = text(host, "/proc/self/status").unwrap_or_default();
    let ids = |key: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
    };
    let (uids, gids) = (ids("Uid:"), ids("Gid:"));
    let pick = |ids: &[u32], at: usize| ids.get(at).copied().unwrap_or_default();
    put(facts, "real_user_id", pick(&uids, 0));
    put(facts, "effective_user_id", pick(&uids, 1));
    put(facts, "real_group_id", pick(&gids, 0));
    put(facts, "effective_group_id", pick(&gids, 1));
    if let Some(user) = host.user_by_id(pick(&uids, 1))? {
        put(facts, "user_id", user.name);
        put(facts, "user_uid", user.uid);
        put(facts, "user_gid", user.gid);
        put(facts, "user_gecos", user.comment);
        put(facts, "user_dir", user.home.display().to_string());
        put(facts, "user_shell", user.shell.display().to_string());
    }
    Ok(())
}

fn managers(host: &dyn HostView, facts: &mut Map) -> Result<(), CollectError> {
    let mut package = "unknown";
    for (program, name) in PACKAGE_MANAGERS {
        if host.stat(Path::new(program), true)?.is_some() {
            package = name;
            break;
        }
    }
    put(facts, "pkg_mgr", package);
    let first = word(host, "/proc/1/comm").unwrap_or_default();
    let systemd = first == "systemd" || host.stat(Path::new("/run/systemd/system"), true)?.is_some();
    put(facts, "service_mgr", if systemd { "systemd" } else { first.as_str() });
    Ok(())
}

/// The kernel's arguments; of a repeated one the last value, or all of them as a list.
fn kernel_arguments(text: &str, all: bool) -> Map {
    let mut map = Map::new();
    for part in shlex::split(text.trim()).unwrap_or_default() {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key.to_owned(), Value::from(value)),
            None => (part.clone(), Value::from(true)),
        };
        let value = match (all, map.get(&key)) {
            (true, Some(Value::Array(list))) => [list.clone(), vec![value]].concat().into(),
            (true, Some(one)) => vec![one.clone(), value].into(),
            (true, None) | (false, _) => value,
        };
        map.insert(key, value);
    }
    map
}

fn resolver(text: &str) -> Map {
    let mut dns = Map::new();
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().map(Value::from)),
            Some("search") => put(&mut dns, "search", words.map(Value::from).collect::<Vec<_>>()),
            Some("domain") => put(&mut dns, "domain", words.next().unwrap_or_default()),
            Some("options") => {
                let option = |word: &str| match word.split_once(':') {
                    Some((key, value)) => (key.to_owned(), Value::from(value)),
                    None => (word.to_owned(), Value::from(true)),
                };
                put(&mut dns, "options", Value::Object(words.map(option).collect()));
            }
            Some(_) | None => {}
        }
    }
    if !servers.is_empty() {
        put(&mut dns, "nameservers", servers);
    }
    dns
}

fn environment(text: &str) -> Map {
    let pair = |entry: &str| entry.split_once('=').map(|(key, value)| (key.to_owned(), Value::from(value)));
    text.split('\0').filter_map(pair).collect()
}

fn security(host: &dyn HostView, facts: &mut Map) {
    let mut selinux = Map::new();
    match word(host, "/sys/fs/selinux/enforce").as_deref() {
        None => put(&mut selinux, "status", "disabled"),
        Some(enforce) => {
            put(&mut selinux, "status", "enabled");
            put(&mut selinux, "mode", if enforce == "1" { "enforcing" } else { "permissive" });
            let config = assignments(&text(host, "/etc/selinux/config").unwrap_or_default());
            put(&mut selinux, "config_mode", config.get("SELINUX").map_or("unknown", String::as_str));
            put(&mut selinux, "type", config.get("SELINUXTYPE").map_or("unknown", String::as_str));
        }
    }
    put(facts, "selinux", Value::Object(selinux));
    let apparmor = word(host, "/sys/module/apparmor/parameters/enabled").as_deref() == Some("Y");
    let status = if apparmor { "enabled" } else { "disabled" };
    put(facts, "apparmor", Value::Object(Map::from_iter([("status".to_owned(), status.into())])));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn distributions_get_ansibles_names() {
        let cases = [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
                 VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n",
                Some("12.8"),
                ["Debian", "12.8", "12", "bookworm", "Debian"],
            ),
            (
                "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=forky\nID=debian\n",
                Some("forky/sid"),
                ["Debian", "", "", "forky", "Debian"],
            ),
            (
                "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nVERSION=\"24.04.1 LTS (Noble Numbat)\"\nID=ubuntu\n\
                 ID_LIKE=debian\nVERSION_CODENAME=noble\n",
                Some("trixie/sid"),
                ["Ubuntu", "24.04", "24", "noble", "Debian"],
            ),
            (
                "NAME=\"Rocky Linux\"\nVERSION=\"9.4 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n\
                 VERSION_ID=\"9.4\"\n",
                None,
                ["Rocky", "9.4", "9", "Blue Onyx", "RedHat"],
            ),
            (
                "NAME=\"Own Linux\"\nID=own\nID_LIKE=\"rhel fedora\"\nVERSION_ID=1\n",
                None,
                ["Own Linux", "1", "1", "NA", "RedHat"],
            ),
        ];
        for (os_release, debian, wanted) in cases {
            let mut facts = Map::new();
            distribution(os_release, debian, &mut facts);
            let keys = [
                "distribution",
                "distribution_version",
                "distribution_major_version",
                "distribution_release",
                "os_family",
            ];
            assert_eq!(keys.map(|key| facts[key].as_str().unwrap().to_owned()), wanted.map(str::to_owned));
        }
    }

    #[test]
    fn kernel_arguments_resolver_and_environment_are_read() {
        let cmdline = "BOOT_IMAGE=/vmlinuz root=UUID=1 ro quiet console=tty0 console=ttyS0\n";
        assert_eq!(
            Value::Object(kernel_arguments(cmdline, false)),
            json!({"BOOT_IMAGE": "/vmlinuz", "root": "UUID=1", "ro": true, "quiet": true, "console": "ttyS0"})
        );
        assert_eq!(kernel_arguments(cmdline, true)["console"], json!(["tty0", "ttyS0"]));
        let resolv =
            "# x\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:2 rotate\n";
        assert_eq!(
            Value::Object(resolver(resolv)),
            json!({"search": ["a.example", "b.example"], "options": {"ndots": "2", "rotate": true},
                   "nameservers": ["10.0.0.1", "10.0.0.2"]})
        );
        assert_eq!(Value::Object(environment("A=1\0B=x=y\0bad\0")), json!({"A": "1", "B": "x=y"}));
    }

    #[test]
    fn lsb_is_read_where_it_is() {
        let text =
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\nDISTRIB_CODENAME=noble\nDISTRIB_DESCRIPTION=\"Ubuntu 24.04\"\n";
        assert_eq!(
            lsb(text),
            json!({"id": "Ubuntu", "release": "24.04", "codename": "noble", "description": "Ubuntu 24.04",
                   "major_release": "24"})
        );
        assert_eq!(lsb(""), json!({}));
    }
}
