//! Packages: `apt`, and `package` for hosts of any kind, of which Debian's are the ones that kfleet knows.
//!
//! What is installed is read from dpkg, what could be installed from apt's own cache. The command that changes
//! packages runs under the shim: its output reaches the operator while it runs, and an agent that is restarted does
//! not tear dpkg apart.
//! Not here: repositories and keys.

mod dpkg;

use super::shared::params::yes;
use super::{Applied, Module, ModuleError};
use crate::host::{CommandSpec, Host, HostView};
use dpkg::{Installed, Wanted};
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param, returns, text};
use kfleet_model::{Change, Map, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What apt keeps of the repositories; its time is set after each update, so it tells when that was.
const LISTS: &str = "/var/lib/apt/lists";

/// Where Debian's hook leaves the time of an update that somebody else made.
const STAMP: &str = "/var/lib/apt/periodic/update-success-stamp";

/// A cache of this age is not fetched again, whatever `cache_valid_time` says: the two tasks belong to one run.
const FRESH_S: u64 = 60;

/// Programs of other families, to say what is not known yet.
const OTHERS: [&str; 5] = ["/usr/bin/dnf", "/usr/bin/yum", "/usr/bin/zypper", "/sbin/apk", "/usr/bin/pacman"];

/// The two modules that are made of this.
pub(super) struct Apt {
    name: &'static str,
}

impl Apt {
    /// `apt`.
    pub(super) const APT: Self = Self { name: "apt" };
    /// `package`: whatever the host has, apt so far.
    pub(super) const PACKAGE: Self = Self { name: "package" };
}

/// Their parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    name: Option<Vec<Value>>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    update_cache: Option<bool>,
    #[serde(default)]
    cache_valid_time: u64,
    deb: Option<String>,
    #[serde(default)]
    purge: bool,
    #[serde(default)]
    autoremove: bool,
    install_recommends: Option<bool>,
    default_release: Option<String>,
    #[serde(default = "dpkg_options")]
    dpkg_options: String,
    #[serde(default)]
    allow_unauthenticated: bool,
    #[serde(default)]
    allow_downgrade: bool,
    #[serde(default)]
    upgrade: Value,
    #[serde(default = "lock_timeout")]
    lock_timeout: u64,
    #[serde(default = "yes", rename = "force_apt_get")]
    _force_apt_get: bool,
    #[serde(default, rename = "use")]
    _use: Option<String>,
}

fn dpkg_options() -> String {
    "force-confdef,force-confold".to_owned()
}

fn lock_timeout() -> u64 {
    60
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    #[serde(alias = "installed")]
    Present,
    Latest,
    #[serde(alias = "removed")]
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    No,
    Safe,
    Dist,
}

/// What was found.
#[derive(Clone)]
pub(super) struct Seen {
    wanted: Vec<Wanted>,
    installed: BTreeMap<String, Installed>,
    /// Names that an installed package provides.
    provided: Vec<String>,
    /// For `latest`: the version that apt would install.
    candidates: BTreeMap<String, String>,
    /// The package in the file of `deb`: name and version.
    deb: Option<(String, String)>,
    /// The command of apt-get that works on the whole system.
    whole: Option<&'static str>,
    /// Packages that it would touch.
    planned: Vec<String>,
    /// When the cache was fetched, seconds since 1970; 0 for never.
    cache_time: u64,
    cache_stale: bool,
}

impl Params {
    fn wanted(&self) -> Result<Vec<Wanted>, ModuleError> {
        let names = self.name.iter().flatten().filter_map(text);
        names.filter(|name| !name.trim().is_empty()).map(|name| Wanted::parse(name.trim())).collect()
    }

    /// YAML makes booleans of a bare yes and no.
    fn upgrade(&self) -> Result<Upgrade, ModuleError> {
        let word = text(&self.upgrade).unwrap_or_else(|| "no".to_owned()).to_lowercase();
        match word.as_str() {
            "no" | "false" => Ok(Upgrade::No),
            "yes" | "true" | "safe" => Ok(Upgrade::Safe),
            "full" | "dist" => Ok(Upgrade::Dist),
            _ => Err(ModuleError::Invalid(format!("upgrade is {word:?}; it may be no, yes, safe, full or dist"))),
        }
    }

    fn updates(&self) -> bool {
        self.update_cache.unwrap_or(self.cache_valid_time > 0)
    }
}

impl Module for Apt {
    type Params = Params;
    type State = Seen;

    fn doc(&self) -> ModuleDoc {
        let package = self.name == "package";
        ModuleDoc {
            name: self.name.into(),
            summary: if package {
                "Keeps packages, with the host's own package manager (apt is the one that is known)"
            } else {
                "Keeps packages of Debian and its kin"
            }
            .into(),
            idempotent: true,
            check_mode: CheckMode::Full,
            free_form: None,
            params: params(package),
            returns: vec![
                returns("stdout", "what apt-get wrote, when something was changed; `stderr` likewise"),
                returns("cache_updated", "whether the package lists were fetched"),
                returns("cache_update_time", "when they were last fetched, seconds since 1970"),
            ],
            examples: if package {
                include_str!("examples/package.yaml").into()
            } else {
                include_str!("examples/apt.yaml").into()
            },
        }
    }

    fn observe(&self, host: &dyn HostView, params: &Params) -> Result<Seen, ModuleError> {
        self.check_host(host)?;
        let wanted = params.wanted()?;
        let upgrade = params.upgrade()?;
        if wanted.is_empty()
            && params.deb.is_none()
            && upgrade == Upgrade::No
            && !params.updates()
            && !params.autoremove
        {
            return Err(ModuleError::Invalid(
                "one of name, deb, upgrade, update_cache and autoremove is needed".into(),
            ));
        }
        let deb = params.deb.as_deref().map(|file| dpkg::read_deb(host, file)).transpose()?;
        let names: Vec<&str> =
            wanted.iter().map(|w| w.name.as_str()).chain(deb.iter().map(|(name, _)| name.as_str())).collect();
        let installed = dpkg::installed(host, &names)?;
        let absent = wanted.iter().any(|w| !w.is_installed(&installed));
        let provided = if absent && params.state != State::Absent { dpkg::provided(host)? } else { Vec::new() };
        let candidates = if params.state == State::Latest { dpkg::candidates(host, &names)? } else { BTreeMap::new() };
        let alone = wanted.is_empty() && deb.is_none();
        let whole = match upgrade {
            Upgrade::Safe if alone => Some("upgrade"),
            Upgrade::Dist if alone => Some("dist-upgrade"),
            Upgrade::No if alone && params.autoremove => Some("autoremove"),
            Upgrade::No | Upgrade::Safe | Upgrade::Dist => None,
        };
        let planned = whole.map_or(Ok(Vec::new()), |command| dpkg::simulate(host, command))?;
        let cache_time = cache_time(host)?;
        let now = u64::try_from(host.unix_ms() / 1000).unwrap_or_default();
        let cache_stale = params.updates() && now.saturating_sub(cache_time) > params.cache_valid_time.max(FRESH_S);
        Ok(Seen { wanted, installed, provided, candidates, deb, whole, planned, cache_time, cache_stale })
    }

    fn diff(&self, params: &Params, state: &Seen) -> Result<Vec<Change>, ModuleError> {
        let mut changes = Vec::new();
        for wanted in &state.wanted {
            let now = wanted.find(&state.installed).map(|installed| installed.version.clone());
            let from = now.clone().map_or(Value::Null, Value::String);
            let to = match params.state {
                State::Absent if wanted.has_leftovers(&state.installed, params.purge) => Some(Value::Null),
                State::Absent => None,
                State::Present | State::Latest if state.provided.contains(&wanted.name) && now.is_none() => None,
                State::Present if wanted.satisfied(now.as_deref()) => None,
                State::Latest if wanted.version.is_some() && wanted.satisfied(now.as_deref()) => None,
                State::Latest if wanted.version.is_none() && now.is_some() => {
                    let candidate = state.candidates.get(&wanted.name);
                    candidate.filter(|&candidate| now.as_ref() != Some(candidate)).map(|c| c.as_str().into())
                }
                State::Present | State::Latest => {
                    let version = wanted.version.clone().or_else(|| state.candidates.get(&wanted.name).cloned());
                    Some(version.map_or_else(|| "installed".into(), Value::String))
                }
            };
            if let Some(to) = to {
                changes.push(Change::new(&wanted.name, "package", from, to));
            }
        }
        if let Some((name, version)) = &state.deb {
            let now = state.installed.get(name).filter(|i| i.ok).map(|i| i.version.clone());
            if now.as_ref() != Some(version) {
                changes.push(Change::new(name, "package", now.map_or(Value::Null, Value::String), version.as_str()));
            }
        }
        let planned = if state.whole == Some("autoremove") { Value::Null } else { "upgraded".into() };
        for name in &state.planned {
            changes.push(Change::new(name, "package", "installed", planned.clone()));
        }
        // A fresh cache is only needed to install something, or when it is all that is asked for.
        let alone = state.wanted.is_empty() && state.deb.is_none();
        let needed = alone || params.state == State::Latest || !changes.is_empty();
        if state.cache_stale && needed && params.state != State::Absent {
            let from = if state.cache_time == 0 { Value::Null } else { state.cache_time.into() };
            changes.insert(0, Change::new("apt", "cache", from, "fetched"));
        }
        Ok(changes)
    }

    fn apply(
        &self,
        host: &dyn Host,
        params: &Params,
        state: &Seen,
        changes: &[Change],
    ) -> Result<Applied, ModuleError> {
        let mut applied = Applied::new();
        let fetch = changes.iter().any(|change| change.property == "cache");
        if fetch {
            host.progress("fetching the package lists");
            let lock = format!("DPkg::Lock::Timeout={}", params.lock_timeout);
            host.tool(&["apt-get", "-q", "-y", "-o", &lock, "update"], &[("DEBIAN_FRONTEND", "noninteractive")])?;
            host.touch(Path::new(LISTS))?;
        }
        applied.insert("cache_updated".into(), fetch.into());
        // The fetched lists decide what `latest` is and what an upgrade brings.
        let (state, changes) = if fetch {
            let state = self.observe(host.view(), params)?;
            let changes = self.diff(params, &state)?;
            (state, changes)
        } else {
            (state.clone(), changes.to_vec())
        };
        let Some(argv) = argv(params, &state, &changes) else { return Ok(applied) };
        let names: Vec<&str> = changes.iter().map(|c| c.object.as_str()).collect();
        host.progress(&format!("apt-get works on {}", names.join(", ")));
        let env = [("DEBIAN_FRONTEND", "noninteractive"), ("LC_ALL", "C.UTF-8"), ("APT_LISTCHANGES_FRONTEND", "none")];
        let env = env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let end = host.run(&CommandSpec { argv: argv.clone(), env, ..CommandSpec::default() })?;
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        applied.insert("stdout".into(), words(&end.stdout).into());
        applied.insert("stderr".into(), words(&end.stderr).into());
        if end.rc != 0 {
            applied.insert("rc".into(), end.rc.into());
            let said = words(&end.stderr);
            let why: Vec<&str> = said.lines().filter(|line| line.starts_with("E:")).collect();
            let msg = format!("`{}` exited with status {}: {}", argv.join(" "), end.rc, why.join(" "));
            return Err(ModuleError::Failed { msg, data: applied });
        }
        Ok(applied)
    }

    fn found(&self, _params: &Params, state: &Seen) -> Map {
        let mut data = Map::new();
        data.insert("cache_updated".into(), false.into());
        data.insert("cache_update_time".into(), state.cache_time.into());
        data
    }
}

/// Installs one package, for a module that needs it: as a task `apt: name=...` would.
pub(super) fn install(host: &dyn Host, name: &str) -> Result<(), ModuleError> {
    let params = Map::from_iter([("name".to_owned(), vec![Value::from(name)].into())]);
    let params: Params = serde_json::from_value(Value::Object(params))
        .map_err(|error| ModuleError::Invalid(format!("bad parameters: {error}")))?;
    let state = Apt::APT.observe(host.view(), &params)?;
    let changes = Apt::APT.diff(&params, &state)?;
    if !changes.is_empty() {
        Apt::APT.apply(host, &params, &state, &changes)?;
    }
    Ok(())
}

impl Apt {
    fn check_host(&self, host: &dyn HostView) -> Result<(), ModuleError> {
        if host.stat(Path::new("/usr/bin/apt-get"), true)?.is_some() {
            return Ok(());
        }
        for other in OTHERS {
            if host.stat(Path::new(other), true)?.is_some() {
                return Err(ModuleError::Invalid(format!(
                    "this host has {other}; kfleet knows only apt (Debian and its kin) so far"
                )));
            }
        }
        Err(ModuleError::Invalid("this host has no apt-get, and kfleet knows no other package manager".to_owned()))
    }
}

/// The one command that brings about all changes of packages; none when there is none to bring about.
fn argv(params: &Params, state: &Seen, changes: &[Change]) -> Option<Vec<String>> {
    let packages: Vec<&str> =
        changes.iter().filter(|change| change.property == "package").map(|c| c.object.as_str()).collect();
    if packages.is_empty() {
        return None;
    }
    let mut argv: Vec<String> = vec!["apt-get".into(), "-q".into(), "-y".into()];
    let mut option = |value: String| argv.extend(["-o".to_owned(), value]);
    option(format!("DPkg::Lock::Timeout={}", params.lock_timeout));
    for flag in params.dpkg_options.split(',').filter(|flag| !flag.is_empty()) {
        option(format!("Dpkg::Options::=--{}", flag.trim()));
    }
    if let Some(recommends) = params.install_recommends {
        option(format!("APT::Install-Recommends={}", if recommends { "yes" } else { "no" }));
    }
    if let Some(release) = &params.default_release {
        argv.extend(["-t".to_owned(), release.clone()]);
    }
    for (asked, flag) in [
        (params.purge, "--purge"),
        (params.autoremove, "--auto-remove"),
        (params.allow_unauthenticated, "--allow-unauthenticated"),
        (params.allow_downgrade, "--allow-downgrades"),
    ] {
        if asked {
            argv.push(flag.to_owned());
        }
    }
    if let Some(whole) = state.whole {
        argv.push(whole.to_owned());
        return Some(argv);
    }
    if params.state == State::Absent {
        argv.push("remove".to_owned());
        argv.extend(packages.into_iter().map(ToOwned::to_owned));
        return Some(argv);
    }
    argv.push("install".to_owned());
    let chosen = state.wanted.iter().filter(|wanted| packages.contains(&wanted.name.as_str()));
    argv.extend(chosen.map(|wanted| wanted.argument(&state.candidates)));
    if let (Some(file), Some((name, _))) = (&params.deb, &state.deb)
        && packages.contains(&name.as_str())
    {
        argv.push(file.clone());
    }
    Some(argv)
}

fn cache_time(host: &dyn HostView) -> Result<u64, ModuleError> {
    let mut newest = 0;
    for path in [STAMP, LISTS] {
        let stat = host.stat(Path::new(path), true)?;
        // A fresh image has the folder and nothing fetched in it.
        let empty = path == LISTS && !host.list(Path::new(LISTS))?.unwrap_or_default().iter().any(|n| n.contains('_'));
        if let Some(stat) = stat.filter(|_| !empty) {
            newest = newest.max(u64::try_from(stat.mtime_ns / 1_000_000_000).unwrap_or_default());
        }
    }
    Ok(newest)
}

fn params(package: bool) -> Vec<ParamDoc> {
    let mut params = vec![
        param("name", ParamKind::List, "The packages; pkg=1.2 asks for one version (and 1.2* for any of that line).")
            .aliases(&["pkg", "package"]),
        param("state", ParamKind::Str, "Latest compares with what the package lists offer.")
            .choices(&["present", "installed", "latest", "absent", "removed"])
            .default("present"),
        param(
            "update_cache",
            ParamKind::Bool,
            "Fetch the package lists first, when something has to be installed or latest is asked for and they are \
             older than cache_valid_time.",
        )
        .aliases(&["update-cache"]),
        param("cache_valid_time", ParamKind::Int, "How old the lists may be, in seconds; at least 60 is taken.")
            .default("0"),
    ];
    if package {
        params.push(param("use", ParamKind::Str, "The package manager.").choices(&["auto", "apt"]).default("auto"));
        return params;
    }
    params.extend([
        param("deb", ParamKind::Path, "A package file on the host."),
        param("purge", ParamKind::Bool, "Remove configuration files too.").default("false"),
        param("autoremove", ParamKind::Bool, "Remove what nothing needs any more.").default("false"),
        param("install_recommends", ParamKind::Bool, "Whether recommended packages come along; the host's setting.")
            .aliases(&["install-recommends"]),
        param("default_release", ParamKind::Str, "The release to prefer.").aliases(&["default-release"]),
        param("dpkg_options", ParamKind::Str, "Options of dpkg, comma separated.")
            .default("force-confdef,force-confold"),
        param("allow_unauthenticated", ParamKind::Bool, "Take packages without a signature.")
            .aliases(&["allow-unauthenticated"])
            .default("false"),
        param("allow_downgrade", ParamKind::Bool, "Take an older version than the one that is there.")
            .aliases(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
            .default("false"),
        param(
            "upgrade",
            ParamKind::Raw,
            "Upgrade everything: no, yes or safe, full or dist; the last two may install and remove packages for it.",
        )
        .default("no"),
        param("lock_timeout", ParamKind::Int, "Seconds to wait while another program works on packages.").default("60"),
        param("force_apt_get", ParamKind::Bool, "Accepted for Ansible's sake; apt-get is always used.").default("true"),
    ]);
    params
}
