//! Installs the agent on the lab's hosts as an operator would: the Debian package, a certificate, the service.
//!
//! This file is the only place in the lab that knows the commands and paths of `kfleet` and `kfleet-agent`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::plain::Plain;
use super::progress::Progress;
use super::rooted::PROGRAMS;
use super::state::{Layout, State};
use super::station::Station;
use super::tool::Tool;
use super::topology::HostSpec;

/// The agent's service.
const UNIT: &str = "kfleet-agent.service";

/// The same as a program of supervisord.
const PROGRAM: &str = "kfleet-agent";

/// What makes a folder a fleet directory.
const SETTINGS: &str = "kfleet.toml";

/// Where the signed bundle waits on a host until the agent takes it.
const BUNDLE: &str = "/run/kfleet-agent.bundle";

/// Where the agent keeps key, request and certificate.
const PKI: &str = "/etc/kfleet/pki";

/// Where the package is put on a host, and kept to see whether it is the same one.
const PACKAGE: &str = "/var/cache/kfleet-lab/kfleet-agent.deb";

/// Unpacking a package and starting its service on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// What to install, and what to sign certificates with.
#[derive(Clone, Debug)]
pub struct AgentSource {
    /// The folder that holds `kfleet-agent_*.deb`.
    pub deb_dir: PathBuf,
    /// The controller's program.
    pub kfleet: PathBuf,
}

impl AgentSource {
    fn package(&self) -> Result<PathBuf> {
        let listed =
            fs::read_dir(&self.deb_dir).with_context(|| format!("failed to list {}", self.deb_dir.display()))?;
        let mut found: Vec<PathBuf> =
            listed.flatten().map(|entry| entry.path()).filter(|path| is_agent_package(path)).collect();
        found.sort();
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => bail!("no kfleet-agent_*.deb in {}; `cargo deb -p kfleet-agent` makes it", self.deb_dir.display()),
            several => bail!("{} files kfleet-agent_*.deb in {}; keep one", several.len(), self.deb_dir.display()),
        }
    }
}

fn is_agent_package(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("kfleet-agent_") && name.ends_with(".deb")
}

/// Installs, enrols and starts the agent on every host where that is not done yet.
pub(super) async fn install(layout: &Layout, state: &State, source: &AgentSource, progress: &Progress) -> Result<()> {
    let step = progress.step("agents");
    let package = source.package()?;
    make_fleet(layout, source).await?;
    step.note("installing the package");
    let hosts: Vec<(&HostSpec, Station<'_>)> =
        state.topology.hosts.iter().map(|spec| (spec, Station::of(layout, &state.topology, spec))).collect();
    let installed = hosts.iter().map(|(spec, station)| install_package(station, spec, state, &package));
    let installed = futures::future::join_all(installed).await;
    let mut changed = 0;
    // One after the other: every certificate is entered in the fleet's list.
    for ((spec, station), installed) in hosts.iter().zip(installed) {
        step.note(&format!("enrolling {}", spec.name));
        let installed = installed?;
        let enrolled = enrol(layout, spec, station, source).await?;
        changed += usize::from(installed || enrolled);
        start(station, installed || enrolled).await?;
    }
    match changed {
        0 => step.done("ready"),
        _ => step.done_timed(&format!("installed on {changed} hosts"), "in"),
    }
    Ok(())
}

/// `kfleet init`, once: the authorities that sign certificates, and the first operator's.
async fn make_fleet(layout: &Layout, source: &AgentSource) -> Result<()> {
    let fleet = layout.fleet();
    if fleet.join(SETTINGS).exists() {
        return Ok(());
    }
    // Its settings are written last, so an interrupted one is made again, from a folder without keys.
    super::cache::remove_tree(&fleet.join("pki"))?;
    Tool::new(&source.kfleet).args(["init", "--name", layout.name()]).arg(&fleet).run().await?;
    Ok(())
}

/// Has the agent run: anew when something of it changed.
async fn start(station: &Station<'_>, changed: bool) -> Result<()> {
    match station {
        Station::Booted(machine) if changed => {
            machine.run(&["systemctl", "enable", UNIT], STEP_LIMIT).await?;
            machine.run(&["systemctl", "restart", UNIT], STEP_LIMIT).await?;
        }
        Station::Booted(machine) => {
            machine.run(&["systemctl", "enable", "--now", UNIT], STEP_LIMIT).await?;
        }
        Station::Plain(plain) => {
            plain.supervisorctl(&["update"]).await?;
            if changed {
                plain.supervisorctl(&["restart", PROGRAM]).await?;
            } else if !station.is_active(UNIT).await {
                plain.supervisorctl(&["start", PROGRAM]).await?;
            }
        }
    }
    Ok(())
}

/// Unpacks the package into the host's folder, and writes what its scripts would.
async fn unpack(plain: &Plain<'_>, spec: &HostSpec, state: &State, package: &Path) -> Result<()> {
    // A program that runs can not be written over; a new file in its place can be put there.
    let program = plain.path("/usr/bin/kfleet-agent");
    if program.exists() {
        fs::remove_file(&program).with_context(|| format!("failed to remove {}", program.display()))?;
    }
    Tool::new("dpkg-deb").arg("--extract").arg(package).arg(plain.root()).run().await?;
    let places = plain.places(state.libs.as_deref());
    let files = [
        ("/etc/kfleet/agent.toml".to_owned(), places.agent_toml(spec.address)),
        (format!("{PROGRAMS}/{PROGRAM}.conf"), places.agent_program()),
    ];
    for (path, text) in files {
        let path = plain.path(&path);
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

async fn install_package(station: &Station<'_>, spec: &HostSpec, state: &State, package: &Path) -> Result<bool> {
    let bytes = fs::read(package).with_context(|| format!("failed to read {}", package.display()))?;
    let target = station.outer_path(PACKAGE)?;
    if fs::read(&target).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let arriving = station.outer_path(&format!("{PACKAGE}.new"))?;
    if let Some(folder) = arriving.parent() {
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    fs::write(&arriving, &bytes).with_context(|| format!("failed to write {}", arriving.display()))?;
    match station {
        Station::Booted(machine) => {
            let install = ["dpkg", "--install", "--force-confold", &format!("{PACKAGE}.new")];
            machine.run(&install, STEP_LIMIT).await?;
        }
        Station::Plain(plain) => unpack(plain, spec, state, &arriving).await?,
    }
    // Only now: a package that failed to install is tried again by the next `up`.
    fs::rename(&arriving, &target).with_context(|| format!("failed to rename {}", arriving.display()))?;
    Ok(true)
}

/// The host makes key and request, the fleet signs, the host gets the certificate; the key never leaves the host.
async fn enrol(layout: &Layout, spec: &HostSpec, station: &Station<'_>, source: &AgentSource) -> Result<bool> {
    let host = spec.name.as_str();
    if station.outer_path(&format!("{PKI}/agent.pem"))?.exists() {
        return Ok(false);
    }
    // What the host's own programs call the place.
    let inner = |path: &str| match station {
        Station::Booted(_) => path.to_owned(),
        Station::Plain(plain) => plain.path(path).display().to_string(),
    };
    let pki = inner(PKI);
    station
        .run(&["kfleet-agent", "request", "--fleet", layout.name(), "--host", host, "--dir", &pki], STEP_LIMIT)
        .await
        .context("failed to make a key and a certificate request")?;
    let requests = layout.dir().join("requests");
    fs::create_dir_all(&requests).with_context(|| format!("failed to make {}", requests.display()))?;
    let request = requests.join(format!("{host}.csr"));
    copy(&station.outer_path(&format!("{PKI}/agent.csr"))?, &request)?;
    let signed = requests.join(format!("{host}.bundle"));
    let sign = Tool::new(&source.kfleet).arg("--fleet").arg(layout.fleet()).args(["cert", "sign", "--host", host]);
    sign.arg("--out").arg(&signed).arg(&request).run().await?;
    copy(&signed, &station.outer_path(BUNDLE)?)?;
    let install = ["kfleet-agent", "install-cert", &inner(BUNDLE), "--dir", &pki];
    station.run(&install, STEP_LIMIT).await.context("failed to install the certificate")?;
    Ok(true)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_package_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let source = AgentSource { deb_dir: folder.path().to_owned(), kfleet: "kfleet".into() };
        fs::write(folder.path().join("kfleet_0.1.0_amd64.deb"), "").unwrap();
        assert!(source.package().unwrap_err().to_string().starts_with("no kfleet-agent_*.deb in "));
        let agent = folder.path().join("kfleet-agent_0.1.0_amd64.deb");
        fs::write(&agent, "").unwrap();
        assert_eq!(source.package().unwrap(), agent);
        fs::write(folder.path().join("kfleet-agent_0.2.0_amd64.deb"), "").unwrap();
        assert!(source.package().unwrap_err().to_string().starts_with("2 files kfleet-agent_*.deb in "));
    }
}
