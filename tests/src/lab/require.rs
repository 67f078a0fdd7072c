//! Whether this machine can hold a lab, asked before anything is made; every missing thing is named with its cause.

use std::fmt;
use std::fs;
use std::path::Path;

use super::cgroup;
use super::tool::{Tool, tail};

/// Tools that every lab needs, with the Debian package that has them.
const TOOLS: [(&str, &str); 10] = [
    ("debootstrap", "debootstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("bash", "bash"),
];

/// Tools that Kafka and ZooKeeper need besides.
const SERVICE_TOOLS: [(&str, &str); 1] = [("kcat", "kcat")];

/// This machine can not hold a lab.
#[derive(Debug)]
pub struct CannotHost {
    missing: Vec<String>,
}

impl fmt::Display for CannotHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this machine can not hold a lab:")?;
        for missing in &self.missing {
            write!(f, "\n  - {missing}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CannotHost {}

/// Looks for everything that `up` needs.
///
/// # Errors
/// [`CannotHost`] with all that is missing.
pub(super) async fn check(services: bool) -> Result<(), CannotHost> {
    check_root()?;
    let mut missing = missing_tools(services);
    missing.extend(missing_abilities().await);
    if missing.is_empty() { Ok(()) } else { Err(CannotHost { missing }) }
}

/// Whether this user may touch a lab at all.
///
/// # Errors
/// [`CannotHost`] for anybody but root.
pub fn check_root() -> Result<(), CannotHost> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let missing = "root rights: containers, mounts and network namespaces need them; run it with sudo";
    Err(CannotHost { missing: vec![missing.to_owned()] })
}

fn missing_tools(services: bool) -> Vec<String> {
    let extra: &[(&str, &str)] = if services { &SERVICE_TOOLS } else { &[] };
    let mut wanted: Vec<(&str, &str)> = TOOLS.iter().chain(extra).copied().collect();
    if services && std::env::var_os("KFLEET_LAB_KAFKA_ARCHIVES").is_none() {
        wanted.push(("mvn", "maven"));
    }
    let absent = wanted.into_iter().filter(|(tool, _)| !is_on_path(tool));
    absent
        .map(|(tool, package)| format!("`{tool}`, from Debian's package {package}; `tests/setup.sh` installs it"))
        .collect()
}

fn is_on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

async fn missing_abilities() -> Vec<String> {
    let mut missing = Vec::new();
    match Tool::new("unshare").args(["--mount", "--net", "--pid", "--fork", "true"]).output().await {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => missing.push(format!(
            "new namespaces: `unshare` is refused ({}); a container must run privileged for this",
            tail(&tried.stderr)
        )),
        // That the tool is absent is told already.
        Err(_absent) => {}
    }
    if let Err(error) = cgroup::folders("kfleet-probe").and_then(|folders| cgroup::probe(&folders)) {
        missing.push(format!("cgroups to put hosts in: {error:#}"));
    }
    if !has_overlay().await {
        missing.push("the overlay file system: the kernel does not list it in /proc/filesystems".into());
    }
    missing
}

async fn has_overlay() -> bool {
    let listed = || {
        let text = fs::read_to_string(Path::new("/proc/filesystems")).unwrap_or_default();
        text.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay")
    };
    // A module that is not loaded yet is not listed; loading it is what `mount` would do as well.
    listed() || (Tool::new("modprobe").arg("overlay").output().await.is_ok() && listed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_named_on_a_line_of_its_own() {
        let error = CannotHost { missing: vec!["root rights".into(), "`ip`".into()] };
        assert_eq!(error.to_string(), "this machine can not hold a lab:\n  - root rights\n  - `ip`");
    }

    #[test]
    fn a_tool_is_looked_for_on_the_path() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-tool-here"));
    }
}
