//! Facts of the host under Ansible's names, each with the prefix `ansible_`.
//!
//! Every file here reads its part through the host's door and hands the texts to pure parsers. A source that a host
//! does not have leaves its facts out; that is no error.

mod date;
mod hardware;
mod local;
mod network;
mod platform;
mod virtualization;

use super::{CollectError, parse};
use crate::host::HostView;
use crate::modules::shell_pattern;
use kfleet_model::{Map, Value};
use serde::Deserialize;
use std::path::Path;

/// The largest file of `/proc` and `/sys` that is read.
const LIMIT: u64 = 4 * 1024 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    gather_subset: Option<Vec<String>>,
    filter: Option<Vec<String>>,
    fact_path: Option<String>,
    #[serde(rename = "gather_timeout")]
    _gather_timeout: Option<u64>,
}

/// The parts that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subset {
    hardware: bool,
    network: bool,
    virtualization: bool,
    /// All but `!all,!min` without anything else.
    minimal: bool,
}

impl Subset {
    /// Ansible's rule: `all` unless something is named; what is left out wins over what is named; `min` stays unless
    /// it is left out by its name.
    fn new(names: &[String]) -> Result<Self, CollectError> {
        let (mut named, mut without) = (Vec::new(), Vec::new());
        for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            match name.strip_prefix('!') {
                Some(name) => without.push(part(name)?),
                None => named.push(part(name)?),
            }
        }
        let leaves_all = without.contains(&Part::All);
        let has = |part| {
            let asked = named.contains(&part) || named.contains(&Part::All) || (named.is_empty() && !leaves_all);
            asked && !without.contains(&part)
        };
        Ok(Self {
            hardware: has(Part::Hardware),
            network: has(Part::Network),
            virtualization: has(Part::Virtual),
            minimal: !without.contains(&Part::Minimal),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Minimal,
    Hardware,
    Network,
    Virtual,
}

/// A name of `gather_subset`: a part, or one of the facts that Ansible lets a playbook name.
fn part(name: &str) -> Result<Part, CollectError> {
    Ok(match name {
        "all" => Part::All,
        "hardware" | "processor" | "processor_cores" | "processor_count" | "mounts" | "devices" | "memory" | "dmi" => {
            Part::Hardware
        }
        "network" | "interfaces" | "default_ipv4" | "default_ipv6" | "all_ipv4_addresses" | "all_ipv6_addresses" => {
            Part::Network
        }
        "virtual" | "virtualization_type" | "virtualization_role" => Part::Virtual,
        "min"
        | "apparmor"
        | "architecture"
        | "cmdline"
        | "date_time"
        | "distribution"
        | "distribution_major_version"
        | "distribution_release"
        | "distribution_version"
        | "dns"
        | "env"
        | "fips"
        | "fqdn"
        | "hostname"
        | "kernel"
        | "local"
        | "lsb"
        | "machine"
        | "machine_id"
        | "nodename"
        | "os_family"
        | "pkg_mgr"
        | "platform"
        | "selinux"
        | "service_mgr"
        | "system"
        | "user"
        | "user_id" => Part::Minimal,
        other => {
            return Err(CollectError::Invalid(format!(
                "gather_subset has {other:?}; it may be all, min, hardware, network, virtual, or ! and one of these"
            )));
        }
    })
}

/// Gathers facts. The parameters are those of `setup`.
///
/// # Errors
/// When a parameter is wrong, or the host can not be read at all.
pub fn facts(host: &dyn HostView, params: &Map) -> Result<Map, CollectError> {
    let params: Params = parse(params)?;
    let names = params.gather_subset.clone().unwrap_or_default();
    let subset = Subset::new(&names)?;
    let mut facts = Map::new();
    if subset.minimal {
        platform::gather(host, &mut facts)?;
        date::gather(host.unix_ms(), &jiff::tz::TimeZone::system(), &mut facts);
        local::gather(host, params.fact_path.as_deref(), &mut facts)?;
    }
    if subset.hardware {
        hardware::gather(host, &mut facts)?;
    }
    if subset.network {
        network::gather(host, &mut facts)?;
    }
    if subset.virtualization {
        virtualization::gather(host, &mut facts)?;
    }
    facts.insert("gather_subset".into(), if names.is_empty() { vec!["all".to_owned()] } else { names }.into());
    facts.insert("module_setup".into(), true.into());
    Ok(prefixed(facts, params.filter.as_deref().unwrap_or_default()))
}

/// Adds the prefix and keeps what a filter names, with or without it.
fn prefixed(facts: Map, filter: &[String]) -> Map {
    let patterns: Vec<&String> = filter.iter().filter(|pattern| !pattern.is_empty()).collect();
    let wanted = |name: &str| {
        patterns.is_empty()
            || patterns
                .iter()
                .any(|pattern| shell_pattern(pattern, &format!("ansible_{name}")) || shell_pattern(pattern, name))
    };
    // Two keys stand without the prefix in Ansible's answer.
    let key = |name: String| match name.as_str() {
        "gather_subset" | "module_setup" => name,
        _ => format!("ansible_{name}"),
    };
    facts.into_iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (key(name), value)).collect()
}

/// A small file's text; none when it is not there or can not be read, as many files of `/sys` can not.
fn text(host: &dyn HostView, path: &str) -> Option<String> {
    let bytes = host.read(Path::new(path), LIMIT).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Likewise, without blanks around it; none when nothing is left.
fn word(host: &dyn HostView, path: &str) -> Option<String> {
    let text = text(host, path)?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What a program that only reads says; none when it is not there or fails.
fn answer(host: &dyn HostView, argv: &[&str]) -> Option<String> {
    let end = host.query(argv).ok()?;
    (end.rc == 0).then(|| String::from_utf8_lossy(&end.stdout).into_owned())
}

fn put(facts: &mut Map, name: &str, value: impl Into<Value>) {
    facts.insert(name.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_follow_ansibles_rule() {
        for (names, wanted) in [
            (vec![], (true, true, true, true)),
            (vec!["!all"], (false, false, false, true)),
            (vec!["!all", "network"], (false, true, false, true)),
            (vec!["min"], (false, false, false, true)),
            (vec!["hardware"], (true, false, false, true)),
            (vec!["!hardware"], (false, true, true, true)),
            (vec!["all", "!network"], (true, false, true, true)),
            (vec!["!all", "!min"], (false, false, false, false)),
            (vec!["!all", "!min", "virtual"], (false, false, true, false)),
        ] {
            let given: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let subset = Subset::new(&given).unwrap();
            let got = (subset.hardware, subset.network, subset.virtualization, subset.minimal);
            assert_eq!(got, wanted, "{names:?}");
        }
        assert!(Subset::new(&["hardwear".to_owned()]).is_err());
    }

    #[test]
    fn a_filter_matches_with_and_without_the_prefix() {
        let all = Map::from_iter(["fqdn", "hostname", "eth0"].map(|name| (name.to_owned(), Value::from(1))));
        for (filter, wanted) in [
            (vec![], vec!["ansible_fqdn", "ansible_hostname", "ansible_eth0"]),
            (vec!["ansible_f*"], vec!["ansible_fqdn"]),
            (vec!["eth[0-2]", "host*"], vec!["ansible_hostname", "ansible_eth0"]),
        ] {
            let filter: Vec<String> = filter.iter().map(|&f| f.to_owned()).collect();
            let got: Vec<String> = prefixed(all.clone(), &filter).into_iter().map(|(key, _)| key).collect();
            assert_eq!(got, wanted, "{filter:?}");
        }
    }
}
