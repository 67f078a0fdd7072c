//! What dpkg and apt say, read: pure parsers and the queries that feed them.

use crate::host::HostView;
use crate::modules::ModuleError;
use std::collections::BTreeMap;
use std::path::Path;

/// A package that a task names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name, `:arch` included where it was given.
    pub(super) name: String,
    /// The version; it may end with `*`.
    pub(super) version: Option<String>,
}

/// A package as dpkg knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) version: String,
    /// Installed and whole; else only its configuration files are left, or it is half there.
    pub(super) ok: bool,
}

impl Wanted {
    pub(super) fn parse(text: &str) -> Result<Self, ModuleError> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name.trim(), Some(version.trim().to_owned())),
            None => (text, None),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
        if name.is_empty() || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) {
            return Err(ModuleError::Invalid(format!("{text:?} is no name of a Debian package")));
        }
        let version_allowed = |c: char| c.is_ascii_alphanumeric() || "+-.:~*".contains(c);
        if version.as_ref().is_some_and(|v| v.is_empty() || !v.chars().all(version_allowed)) {
            return Err(ModuleError::Invalid(format!("{text:?} has no usable version behind its '='")));
        }
        Ok(Self { name: name.to_owned(), version })
    }

    pub(super) fn find<'a>(&self, installed: &'a BTreeMap<String, Installed>) -> Option<&'a Installed> {
        installed.get(&self.name).filter(|installed| installed.ok)
    }

    pub(super) fn is_installed(&self, installed: &BTreeMap<String, Installed>) -> bool {
        self.find(installed).is_some()
    }

    /// Something of it is there that removing would take away.
    pub(super) fn has_leftovers(&self, installed: &BTreeMap<String, Installed>, purge: bool) -> bool {
        installed.get(&self.name).is_some_and(|installed| installed.ok || purge)
    }

    /// Whether the version that is there is the one that is wanted.
    pub(super) fn satisfied(&self, now: Option<&str>) -> bool {
        match (now, &self.version) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(now), Some(wanted)) => {
                now == wanted || wanted.contains('*') && crate::modules::shared::paths::matches(wanted, now)
            }
        }
    }

    /// As `apt-get install` takes it.
    pub(super) fn argument(&self, candidates: &BTreeMap<String, String>) -> String {
        match self.version.as_ref().or_else(|| candidates.get(&self.name)) {
            Some(version) => format!("{}={version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What dpkg knows of these packages; unknown ones are left out.
pub(super) fn installed(host: &dyn HostView, names: &[&str]) -> Result<BTreeMap<String, Installed>, ModuleError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let format = "-f=${Package}\\t${Architecture}\\t${db:Status-Status}\\t${Version}\\n";
    let mut argv = vec!["dpkg-query", "-W", format, "--"];
    argv.extend(names);
    let end = host.query(&argv)?;
    Ok(parse_installed(&String::from_utf8_lossy(&end.stdout)))
}

fn parse_installed(text: &str) -> BTreeMap<String, Installed> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, architecture, status, version] = fields[..] else { continue };
        if version.is_empty() || status == "not-installed" {
            continue;
        }
        let installed = Installed { version: version.to_owned(), ok: status == "installed" };
        all.insert(format!("{name}:{architecture}"), installed.clone());
        // Of several architectures any one that is there will do for the bare name.
        let bare = all.entry(name.to_owned()).or_insert_with(|| installed.clone());
        if installed.ok && !bare.ok {
            *bare = installed;
        }
    }
    all
}

/// Every name that an installed package provides.
pub(super) fn provided(host: &dyn HostView) -> Result<Vec<String>, ModuleError> {
    let end = host.query(&["dpkg-query", "-W", "-f=${db:Status-Status}\\t${Provides}\\n"])?;
    Ok(parse_provided(&String::from_utf8_lossy(&end.stdout)))
}

fn parse_provided(text: &str) -> Vec<String> {
    let of = |line: &str| line.strip_prefix("installed\t").map(ToOwned::to_owned);
    let lists: Vec<String> = text.lines().filter_map(of).collect();
    let names = lists.iter().flat_map(|list| list.split(','));
    names
        .filter_map(|entry| entry.split_whitespace().next())
        .map(|name| name.split_once(':').map_or(name, |(name, _)| name).to_owned())
        .collect()
}

/// The versions that apt would install.
pub(super) fn candidates(host: &dyn HostView, names: &[&str]) -> Result<BTreeMap<String, String>, ModuleError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut argv = vec!["apt-cache", "policy", "--"];
    argv.extend(names);
    let end = host.query(&argv)?;
    Ok(parse_candidates(&String::from_utf8_lossy(&end.stdout)))
}

fn parse_candidates(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut name = None;
    for line in text.lines() {
        if !line.starts_with(' ') {
            name = line.strip_suffix(':');
        } else if let (Some(name), Some(version)) = (name, line.trim().strip_prefix("Candidate: "))
            && version != "(none)"
        {
            all.insert(name.to_owned(), version.to_owned());
        }
    }
    all
}

/// The packages that a command of apt-get would install, upgrade or remove.
pub(super) fn simulate(host: &dyn HostView, what: &str) -> Result<Vec<String>, ModuleError> {
    let end = host.query(&["apt-get", "-q", "-s", what])?;
    let text = String::from_utf8_lossy(&end.stdout);
    if end.rc != 0 {
        let why = String::from_utf8_lossy(&end.stderr).trim().to_owned();
        return Err(ModuleError::Invalid(format!("apt-get can not plan {what}: {why}")));
    }
    let named = |line: &str| {
        let rest = line.strip_prefix("Inst ").or_else(|| line.strip_prefix("Remv "))?;
        rest.split_whitespace().next().map(ToOwned::to_owned)
    };
    Ok(text.lines().filter_map(named).collect())
}

/// Name and version of the package in a file.
pub(super) fn read_deb(host: &dyn HostView, file: &str) -> Result<(String, String), ModuleError> {
    if file.contains("://") {
        return Err(ModuleError::Invalid(format!("deb {file} is an address; bring the file to the host first")));
    }
    if host.stat(Path::new(file), true)?.is_none() {
        return Err(ModuleError::Invalid(format!("deb {file} does not exist on the host")));
    }
    let end = host.query(&["dpkg-deb", "-W", "--showformat=${Package}\\t${Version}\\n", file])?;
    let text = String::from_utf8_lossy(&end.stdout);
    let pair = text.trim().split_once('\t').map(|(name, version)| (name.to_owned(), version.to_owned()));
    pair.ok_or_else(|| {
        let why = String::from_utf8_lossy(&end.stderr).trim().to_owned();
        ModuleError::Invalid(format!("deb {file} is no Debian package: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dpkg_lists_is_read_with_its_state() {
        let all = parse_installed(
            "openjdk-17-jre-headless\tamd64\tinstalled\t17.0.13+11-2~deb12u1\n\
             libc6\tamd64\tinstalled\t2.36-9\nlibc6\ti386\tconfig-files\t2.36-8\n\
             old\tall\tconfig-files\t1.0\nnever\tall\tnot-installed\t\n",
        );
        let version = |name: &str| all.get(name).map(|i| (i.version.as_str(), i.ok));
        assert_eq!(version("openjdk-17-jre-headless"), Some(("17.0.13+11-2~deb12u1", true)));
        assert_eq!(version("libc6"), Some(("2.36-9", true)));
        assert_eq!(version("libc6:i386"), Some(("2.36-8", false)));
        assert_eq!(version("old"), Some(("1.0", false)));
        assert_eq!(version("never"), None);
    }

    #[test]
    fn candidates_and_provided_names_are_read() {
        let policy = "chrony:\n  Installed: 4.3-2\n  Candidate: 4.3-2+deb12u1\n  Version table:\n     4.3-2+deb12u1 500\n\
                      gone:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(parse_candidates(policy), BTreeMap::from([("chrony".into(), "4.3-2+deb12u1".into())]));
        let provides = "installed\tjava-runtime-headless (= 17), java9-runtime-headless\nconfig-files\tnot-this\n\
                        installed\t\ninstalled\ttime-daemon\n";
        assert_eq!(parse_provided(provides), ["java-runtime-headless", "java9-runtime-headless", "time-daemon"]);
    }

    #[test]
    fn names_with_versions_are_read_and_compared() {
        for (text, now, satisfied) in [
            ("chrony", Some("4.3"), true),
            ("chrony", None, false),
            ("chrony=4.3", Some("4.3"), true),
            ("chrony=4.3", Some("4.4"), false),
            ("chrony=4.*", Some("4.4-1"), true),
            ("chrony=5.*", Some("4.4-1"), false),
        ] {
            assert_eq!(Wanted::parse(text).unwrap().satisfied(now), satisfied, "{text} {now:?}");
        }
        for text in ["", "-o=APT::x", "a b", "x;rm", "x=", "x=1;2"] {
            assert!(Wanted::parse(text).is_err(), "{text}");
        }
    }
}
