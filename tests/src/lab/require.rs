//! Whether this machine can hold a lab, asked before anything is made; every missing thing is named with its cause.

use std::fmt;
use std::fs;
use std::path::Path;

use super::cgroup;
use super::plain;
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

/// Tools that hosts need which are plain processes.
const PROCESS_TOOLS: [(&str, &str); 4] =
    [("supervisord", "supervisor"), ("supervisorctl", "supervisor"), ("setsid", "util-linux"), ("bash", "bash")];

/// What such hosts need besides for Kafka and ZooKeeper: booted ones have a JDK of their own.
const PROCESS_SERVICE_TOOLS: [(&str, &str); 2] = [("java", "default-jre-headless"), ("kcat", "kcat")];

/// This machine can not hold a lab.
#[derive(Debug)]
pub struct CannotHost {
    missing: Vec<String>,
}

impl fmt::Display for CannotHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this machine can not hold a lab:{}", self.reasons())
    }
}

impl CannotHost {
    /// What is missing, a line each.
    pub(super) fn reasons(&self) -> String {
        self.missing.iter().map(|missing| format!("\n  - {missing}")).collect()
    }
}

impl std::error::Error for CannotHost {}

/// Looks for everything that `up` needs.
///
/// # Errors
/// [`CannotHost`] with all that is missing.
pub(super) async fn check(services: bool) -> Result<(), CannotHost> {
    check_root()?;
    let mut missing = missing_tools(&TOOLS, if services { &SERVICE_TOOLS } else { &[] });
    missing.extend(missing_maven(services));
    missing.extend(missing_abilities().await);
    if missing.is_empty() { Ok(()) } else { Err(CannotHost { missing }) }
}

/// Looks for everything that `up` needs for hosts that are plain processes. `containers` is why there are none.
///
/// # Errors
/// [`CannotHost`] with all that is missing, for containers too.
pub(super) fn check_processes(services: bool, containers: Option<&CannotHost>) -> Result<(), CannotHost> {
    let mut missing = missing_tools(&PROCESS_TOOLS, if services { &PROCESS_SERVICE_TOOLS } else { &[] });
    missing.extend(missing_maven(services));
    if missing.is_empty() {
        return Ok(());
    }
    let mut all: Vec<String> = containers
        .map(|cannot| cannot.missing.iter().map(|why| format!("for containers: {why}")).collect())
        .unwrap_or_default();
    all.extend(missing.into_iter().map(|why| format!("for plain processes: {why}")));
    Err(CannotHost { missing: all })
}

/// Whether this user may touch a lab of containers at all.
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

fn missing_tools(tools: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<String> {
    let absent = tools.iter().chain(more).filter(|(tool, _)| plain::find(tool).is_none());
    absent
        .map(|(tool, package)| format!("`{tool}`, from Debian's package {package}; `tests/setup.sh` installs it"))
        .collect()
}

/// The jars come from Maven unless an operator's release archives are there.
fn missing_maven(services: bool) -> Vec<String> {
    let wanted = services && std::env::var_os("KFLEET_LAB_KAFKA_ARCHIVES").is_none();
    if wanted { missing_tools(&[("mvn", "maven")], &[]) } else { Vec::new() }
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
    fn what_keeps_containers_away_is_told_with_what_plain_processes_lack() {
        if plain::find("supervisord").is_some() {
            check_processes(false, None).unwrap();
            return;
        }
        let containers = CannotHost { missing: vec!["root rights".into()] };
        let text = check_processes(false, Some(&containers)).unwrap_err().to_string();
        assert!(text.contains("for containers: root rights"), "{text}");
        assert!(text.contains("for plain processes: `supervisord`"), "{text}");
    }

    #[test]
    fn a_tool_is_looked_for_on_the_path() {
        assert!(missing_tools(&[("sh", "dash")], &[]).is_empty());
        let missing = missing_tools(&[], &[("no-such-tool-here", "nothing")]);
        assert!(matches!(missing.as_slice(), [one] if one.contains("`no-such-tool-here`")), "{missing:?}");
    }
}
