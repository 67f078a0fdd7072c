//! Where the programs and packages of this build are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::lab::{AgentSource, Layout};

/// The programs that a lab is driven with.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The controller, unpacked from its package.
    pub kfleet: PathBuf,
    /// The producer of this crate.
    pub producer: PathBuf,
    /// The folder of the Debian packages.
    pub packages: PathBuf,
}

/// The repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Programs {
    /// Finds what `tests/build.sh` made; the controller's package is unpacked beside the lab's state.
    ///
    /// # Errors
    /// When something is missing.
    pub fn find(lab: &str) -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
        let packages = target.join("debian");
        let producer = target.join("release/producer");
        ensure!(producer.is_file(), "{} is missing; run tests/build.sh", producer.display());
        let package = newest(&packages, "kfleet_")?;
        let unpacked = Layout::of(lab)?.dir().join("controller");
        std::fs::create_dir_all(&unpacked).with_context(|| format!("failed to make {}", unpacked.display()))?;
        let status = Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked).status()?;
        ensure!(status.success(), "dpkg-deb could not unpack {}", package.display());
        Ok(Self { kfleet: unpacked.join("usr/bin/kfleet"), producer, packages })
    }

    /// The same for the lab's installation of agents.
    #[must_use]
    pub fn agent_source(&self) -> AgentSource {
        AgentSource { deb_dir: self.packages.clone(), kfleet: self.kfleet.clone() }
    }
}

fn newest(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let listed = std::fs::read_dir(folder)
        .with_context(|| format!("no packages in {}; run tests/build.sh", folder.display()))?;
    listed
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(prefix) && name.ends_with(".deb")
        })
        .max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())
        .with_context(|| format!("no {prefix}*.deb in {}; run tests/build.sh", folder.display()))
}
