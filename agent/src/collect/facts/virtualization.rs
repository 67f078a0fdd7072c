//! On what the host runs: bare metal, a virtual machine, a container.

use super::{put, text, word};
use crate::collect::CollectError;
use crate::host::HostView;
use kfleet_model::{Map, Value};

/// What `systemd-detect-virt` says and what Ansible calls it.
const NAMES: [(&str, &str); 17] = [
    ("kvm", "kvm"),
    ("qemu", "kvm"),
    ("amazon", "kvm"),
    ("google", "kvm"),
    ("vmware", "VMware"),
    ("oracle", "virtualbox"),
    ("microsoft", "VirtualPC"),
    ("xen", "xen"),
    ("parallels", "parallels"),
    ("bhyve", "bhyve"),
    ("powervm", "powervm"),
    ("docker", "docker"),
    ("podman", "podman"),
    ("lxc", "lxc"),
    ("lxc-libvirt", "lxc"),
    ("openvz", "openvz"),
    ("systemd-nspawn", "container"),
];

pub(super) fn gather(host: &dyn HostView, facts: &mut Map) -> Result<(), CollectError> {
    // It ends with status 1 on bare metal, so the text counts and not the status.
    let said = host.query(&["systemd-detect-virt"]).map(|end| String::from_utf8_lossy(&end.stdout).trim().to_owned());
    let said = said.unwrap_or_else(|_| guess(host).to_owned());
    let modules = text(host, "/proc/modules").unwrap_or_default();
    let hosts_kvm = modules.lines().any(|line| line.starts_with("kvm "));
    let (kind, role) = name(&said, hosts_kvm);
    put(facts, "virtualization_type", kind);
    put(facts, "virtualization_role", role);
    let list = |of: &str| if role == of { vec![Value::from(kind)] } else { Vec::new() };
    put(facts, "virtualization_tech_guest", list("guest"));
    put(facts, "virtualization_tech_host", list("host"));
    Ok(())
}

fn name(said: &str, hosts_kvm: bool) -> (&str, &'static str) {
    match said {
        "" | "none" if hosts_kvm => ("kvm", "host"),
        "" | "none" => ("NA", "NA"),
        said => (NAMES.iter().find(|(known, _)| *known == said).map_or(said, |(_, name)| name), "guest"),
    }
}

/// Where systemd's program is missing: what the container's first process was told, or the firmware's maker.
fn guess(host: &dyn HostView) -> &'static str {
    let environ = text(host, "/proc/1/environ").unwrap_or_default();
    if let Some(container) = environ.split('\0').find_map(|entry| entry.strip_prefix("container=")) {
        return NAMES.iter().find(|(known, _)| *known == container).map_or("systemd-nspawn", |(known, _)| known);
    }
    match word(host, "/sys/class/dmi/id/sys_vendor").unwrap_or_default().as_str() {
        "QEMU" => "kvm",
        "VMware, Inc." => "vmware",
        "innotek GmbH" => "oracle",
        "Microsoft Corporation" => "microsoft",
        "Amazon EC2" => "amazon",
        "Google" => "google",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_and_containers_get_ansibles_names() {
        for (said, kvm, wanted) in [
            ("kvm", false, ("kvm", "guest")),
            ("systemd-nspawn", false, ("container", "guest")),
            ("oracle", true, ("virtualbox", "guest")),
            ("none", true, ("kvm", "host")),
            ("none", false, ("NA", "NA")),
            ("acrn", false, ("acrn", "guest")),
        ] {
            assert_eq!(name(said, kvm), wanted, "{said}");
        }
    }
}
