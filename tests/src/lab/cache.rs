//! What is downloaded once and kept: the base image of the hosts, and the jars of Kafka.
//!
//! Each entry is made in a temporary folder and renamed when it is whole, so an interrupted download never counts.
//! Nothing here is specific to one lab; several labs share the cache and wait for each other.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::files::Owner;
use super::progress::{Progress, Step};
use super::state::FolderLock;
use super::tool::Tool;
use super::topology::{Kind, fnv1a};

/// A slow line and a slow disk together; with a quick line the image takes a minute and the jars 20 s.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(1800);

/// What every host has. `chrony` for clocks, a JRE for the services, `ping` and `procps` for people.
const PACKAGES: [&str; 9] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "iproute2",
    "iputils-ping",
    "procps",
    "chrony",
    "default-jre-headless",
    "ca-certificates",
];

/// Timers that would compete with the brokers for a small machine, at hours that no test expects.
const MASKED: [&str; 5] =
    ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"];

/// The releases of Debian whose packages are known to make a host.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// The folder that holds everything downloaded.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// `$KFLEET_LAB_CACHE`, or `lab-cache` in the repository.
    ///
    /// # Errors
    /// The path can not be a part of an overlay's mount options.
    pub(super) fn from_env() -> Result<Self> {
        let in_repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("lab-cache");
        let dir = std::env::var_os("KFLEET_LAB_CACHE").map_or(in_repository, PathBuf::from);
        fs::create_dir_all(&dir).with_context(|| format!("failed to make the cache folder {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("failed to find the cache folder {}", dir.display()))?;
        let shown = dir.display().to_string();
        ensure!(
            !shown.contains([',', ':', '\\']) && !dir.starts_with("/run"),
            "the cache folder {shown} can not be used for overlay mounts; choose another one with KFLEET_LAB_CACHE"
        );
        Ok(Self { dir })
    }

    /// The base image, made now if it is not there.
    pub(super) async fn base(&self, progress: &Progress) -> Result<PathBuf> {
        let recipe = Recipe::for_this_machine();
        let step = progress.step("base image");
        let path = self.dir.join(format!("base-{}-{}", recipe.suite, recipe.key()));
        match Entry::open(path.clone(), &step).await? {
            None => step.done("ready (cached)"),
            Some(entry) => {
                recipe.make(&step, &entry.temporary).await?;
                entry.finish()?;
                step.done_timed("made", "in");
            }
        }
        Ok(path)
    }

    /// The jars of a Kafka release, fetched now if they are not there.
    pub(super) async fn libs(&self, kind: Kind, progress: &Progress) -> Result<Option<PathBuf>> {
        let Some(version) = kind.kafka_version() else { return Ok(None) };
        let step = progress.step(format!("Kafka {version}"));
        let archives = std::env::var_os("KFLEET_LAB_KAFKA_ARCHIVES").map(PathBuf::from);
        let source = if archives.is_some() { "archive".to_owned() } else { key(&pom(kind, version)) };
        let path = self.dir.join(format!("kafka-{version}-{source}"));
        match Entry::open(path.clone(), &step).await? {
            None => step.done("ready (cached)"),
            Some(entry) => {
                match archives {
                    Some(archives) => unpack_archive(&step, &archives, version, &entry.temporary).await?,
                    None => resolve_artifacts(&step, kind, version, &entry.temporary).await?,
                }
                entry.finish()?;
                step.done_timed("fetched", "in");
            }
        }
        Ok(Some(path.join("libs")))
    }
}

/// An entry of the cache that is being made, under a lock; dropped unfinished, it counts for nothing.
struct Entry {
    path: PathBuf,
    temporary: PathBuf,
    lock_folder: PathBuf,
    _lock: FolderLock,
}

impl Entry {
    /// Begins an entry, or gives `None` when it is there already.
    async fn open(path: PathBuf, step: &Step<'_>) -> Result<Option<Self>> {
        if path.is_dir() {
            return Ok(None);
        }
        let lock_folder = beside(&path, ".lock");
        let lock = FolderLock::take(&lock_folder, || step.note("waiting for another lab that makes it")).await?;
        if path.is_dir() {
            fs::remove_dir(&lock_folder).ok();
            return Ok(None);
        }
        let temporary = beside(&path, ".part");
        remove_tree(&temporary)?;
        fs::create_dir_all(&temporary).with_context(|| format!("failed to make {}", temporary.display()))?;
        Ok(Some(Self { path, temporary, lock_folder, _lock: lock }))
    }

    /// Puts the entry in place: from here on it counts.
    fn finish(self) -> Result<()> {
        fs::rename(&self.temporary, &self.path)
            .with_context(|| format!("failed to put {} in place", self.path.display()))?;
        // Best effort: an empty folder that stays is taken by the next lock.
        fs::remove_dir(&self.lock_folder).ok();
        Ok(())
    }
}

/// Tells entries apart that were made by different recipes.
fn key(recipe: &str) -> String {
    format!("{:016x}", fnv1a(recipe.as_bytes()))
}

/// A path next to an entry. Not `with_extension`, which would take the `.1` of `kafka-3.9.1` for one.
fn beside(entry: &Path, suffix: &str) -> PathBuf {
    let mut name = entry.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How a base image is made; its key changes with everything that shows in the result.
struct Recipe {
    suite: String,
    mirror: Option<String>,
}

impl Recipe {
    fn for_this_machine() -> Self {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self { suite: suite_of(&os_release).to_owned(), mirror: std::env::var("KFLEET_LAB_MIRROR").ok() }
    }

    fn key(&self) -> String {
        key(&format!("{} {} {}", self.suite, PACKAGES.join(","), self.finish_script()))
    }

    /// Runs in the new system: users of the services, and what a container must not start.
    fn finish_script(&self) -> String {
        let mut script = String::from("set -eu\n");
        for (user, owner) in [("kafka", Owner::Kafka), ("zookeeper", Owner::ZooKeeper)] {
            let Some(id) = owner.id() else { continue };
            let _written = writeln!(
                script,
                "groupadd --system --gid {id} {user}\n\
                 useradd --system --uid {id} --gid {id} --home-dir /var/lib/{user} --no-create-home --shell /usr/sbin/nologin {user}"
            );
        }
        for unit in MASKED {
            let _written = writeln!(script, "ln -sf /dev/null /etc/systemd/system/{unit}");
        }
        script.push_str(
            "systemctl enable systemd-networkd.service systemd-networkd-wait-online.service\n\
             rm -f /etc/machine-id /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf\n\
             echo '# No name server: the names of the lab are in /etc/hosts.' > /etc/resolv.conf\n\
             rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /var/log/*.log /var/log/apt\n\
             mkdir -p /opt/kafka/libs /var/log/journal\n",
        );
        script
    }

    async fn make(&self, step: &Step<'_>, target: &Path) -> Result<()> {
        let (mut fetched, mut unpacked) = (0, 0);
        let include = format!("--include={}", PACKAGES.join(","));
        let tool = in_own_mounts("debootstrap").args(["--variant=minbase", &include, &self.suite]).arg(target);
        let tool = match &self.mirror {
            Some(mirror) => tool.arg(mirror),
            None => match debian_mirror().await {
                Some(mirror) => tool.arg(mirror),
                None => tool,
            },
        };
        let made = tool.limit(DOWNLOAD_LIMIT).run_following(|line| {
            fetched += u32::from(line.starts_with("I: Retrieving"));
            unpacked += u32::from(line.starts_with("I: Unpacking") || line.starts_with("I: Configuring"));
            if unpacked > 0 {
                step.note(&format!("installing packages, {unpacked} steps"));
            } else {
                step.note(&format!("downloading packages, {fetched} files"));
            }
        });
        made.await.context("failed to make the base image; `debootstrap` reads Debian's mirror (KFLEET_LAB_MIRROR)")?;
        step.note("adding users");
        in_own_mounts("chroot").arg(target).args(["sh", "-c", &self.finish_script()]).run().await?;
        Ok(())
    }
}

/// Runs a tool in mount and process namespaces that end with it, and end with us: debootstrap mounts /proc in its
/// target and starts package scripts, and an interrupted one must leave neither behind.
fn in_own_mounts(program: &str) -> Tool {
    Tool::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
        .args(["--pid", "--fork", "--kill-child", "--", program])
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
}

/// The release to build hosts of: this machine's, so that programs built here find their C library there.
fn suite_of(os_release: &str) -> &'static str {
    let named = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let named = named.map(|name| name.trim_matches('"'));
    SUITES.into_iter().find(|suite| Some(*suite) == named).unwrap_or(SUITES[0])
}

/// The mirror that this machine's own apt uses, where it is a Debian; else debootstrap's default is right.
async fn debian_mirror() -> Option<String> {
    let tool = Tool::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]);
    let listed = tool.output().await.ok()?.stdout;
    listed.lines().map(|line| line.trim_end_matches('/')).find(|uri| uri.ends_with("/debian")).map(str::to_owned)
}

/// Resolves Kafka's published artifacts with Maven, checksums enforced.
async fn resolve_artifacts(step: &Step<'_>, kind: Kind, version: &str, target: &Path) -> Result<()> {
    step.note("resolving Maven artifacts");
    let project = target.join("pom.xml");
    fs::write(&project, pom(kind, version)).with_context(|| format!("failed to write {}", project.display()))?;
    let tool = Tool::new("mvn")
        .args(["-B", "-C", "-ntp", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"])
        .current_dir(target)
        .limit(DOWNLOAD_LIMIT);
    let mut copied = 0;
    let resolved = tool.run_following(|line| {
        copied += u32::from(line.contains("Copying "));
        step.note(&format!("resolving Maven artifacts, {copied} jars"));
    });
    resolved.await.with_context(|| format!("failed to fetch Kafka {version} by Maven"))?;
    check_libs(&target.join("libs"), version)
}

/// Takes the jars out of the release archive `kafka_2.13-VERSION.tgz` of an operator's folder.
async fn unpack_archive(step: &Step<'_>, archives: &Path, version: &str, target: &Path) -> Result<()> {
    let archive = archives.join(format!("kafka_2.13-{version}.tgz"));
    if !archive.is_file() {
        bail!("no {} (KFLEET_LAB_KAFKA_ARCHIVES names the folder of release archives)", archive.display());
    }
    step.note("unpacking the release archive");
    let member = format!("kafka_2.13-{version}/libs");
    let tool = Tool::new("tar").args(["--extract", "--no-same-owner", "--strip-components=1", "--file"]);
    tool.arg(&archive).arg("--directory").arg(target).arg(member).limit(DOWNLOAD_LIMIT).run().await?;
    check_libs(&target.join("libs"), version)
}

fn check_libs(libs: &Path, version: &str) -> Result<()> {
    let core = libs.join(format!("kafka_2.13-{version}.jar"));
    ensure!(core.is_file(), "the jars of Kafka {version} came without {}", core.display());
    Ok(())
}

/// A Maven project that does nothing but name what a broker needs at run time.
fn pom(kind: Kind, version: &str) -> String {
    let mut artifacts = vec![("org.apache.kafka", "kafka_2.13", version), ("org.apache.kafka", "kafka-tools", version)];
    if kind == Kind::Kraft {
        // Kafka 4 logs by log4j2 and its runtime set lacks the binding for slf4j: without it the log stays empty.
        artifacts.push(("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_SLF4J_VERSION));
    }
    let mut dependencies = String::new();
    for (group, artifact, version) in artifacts {
        let _written = writeln!(
            dependencies,
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        );
    }
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>kfleet.lab</groupId>\n  <artifactId>kafka-{version}</artifactId>\n  <version>1</version>\n  \
         <packaging>pom</packaging>\n  <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}

/// The binding that fits the log4j2 that Kafka 4.1.1 resolves to.
const LOG4J_SLF4J_VERSION: &str = "2.24.3";

/// Removes a folder and all in it; one that is not there is fine.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_of_this_machines_release_where_it_is_a_known_debian() {
        for (text, suite) in [
            ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"),
            ("VERSION_CODENAME=\"bookworm\"\n", "bookworm"),
            ("VERSION_CODENAME=noble\n", "bookworm"),
            ("", "bookworm"),
        ] {
            assert_eq!(suite_of(text), suite, "{text:?}");
        }
    }

    #[test]
    fn only_kafka_4_needs_the_logging_binding() {
        assert!(!pom(Kind::Zk, "3.9.1").contains("log4j-slf4j-impl"));
        let four = pom(Kind::Kraft, "4.1.1");
        assert!(four.contains("<artifactId>log4j-slf4j-impl</artifactId>"), "{four}");
        assert!(four.contains("<artifactId>kafka_2.13</artifactId><version>4.1.1</version>"), "{four}");
    }

    #[test]
    fn another_suite_is_another_image() {
        let recipe = |suite: &str| Recipe { suite: suite.to_owned(), mirror: None }.key();
        assert_ne!(recipe("bookworm"), recipe("trixie"));
        assert_eq!(recipe("bookworm"), recipe("bookworm"));
    }

    #[tokio::test]
    async fn an_interrupted_entry_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Progress::silent();
        let path = folder.path().join("thing-1.2.3");
        let first = Entry::open(path.clone(), &progress.step("thing")).await.unwrap().unwrap();
        fs::write(first.temporary.join("half"), "").unwrap();
        drop(first);
        assert!(!path.exists());
        let second = Entry::open(path.clone(), &progress.step("thing")).await.unwrap().unwrap();
        assert_eq!(fs::read_dir(&second.temporary).unwrap().count(), 0, "the half of the first try is gone");
        fs::write(second.temporary.join("whole"), "").unwrap();
        second.finish().unwrap();
        assert!(path.join("whole").is_file());
        assert!(Entry::open(path, &progress.step("thing")).await.unwrap().is_none(), "it is cached");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
