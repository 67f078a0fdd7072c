//! The rules for people: the page `docs/tuning.md`.

use crate::rules::Want;
use crate::{Needs, Profile, RULES, Rule};

const HEAD: &str = "# Tuning of the operating system\n\n\
    Generated from `crates/tune/src/rules.rs` by `UPDATE_DOCS=1 cargo test -p kfleet-tune`; do not edit.\n\n\
    What `os_tune` and `kfleet tune` ask of a host, by profile. A value that satisfies its rule is left as it is, so \"at \
    least\" never lowers. Every item can be left out by its id or a beginning of it, and be given another value. Where a \
    value depends on the host (partitions, ports, disks), `kfleet tune plan` shows what it comes to.\n\n\
    Sources: Kafka is Apache Kafka's documentation (Operations, Hardware and OS), ZooKeeper the Administrator's Guide, \
    Confluent its \"Running Kafka in Production\", Charmed Kafka Canonical's performance tuning page, CDP Cloudera's \
    system-level broker tuning and reference architecture, TuneD its profile throughput-performance, rpk the tuners of \
    that tool, kernel the kernel's own documentation. Numbers without a source are said to be chosen.\n\n\
    | item | broker | zookeeper | kraft_controller | needs |\n|---|---|---|---|---|\n";

/// The page.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for rule in RULES {
        let wants: Vec<String> =
            Profile::ALL.iter().map(|profile| rule.want(*profile).map_or("-".to_owned(), wanted)).collect();
        text.push_str(&format!("| `{}`{} | {} | {} |\n", rule.id, rule.kind(), wants.join(" | "), needs(rule.needs)));
    }
    for rule in RULES {
        text.push_str(&format!(
            "\n**`{}`**{}: {}. Source: {}. Risk: {}.\n",
            rule.id,
            rule.kind(),
            rule.why,
            rule.source,
            rule.risk
        ));
    }
    text
}

fn needs(needs: Needs) -> &'static str {
    match needs {
        Needs::Nothing => "nothing",
        Needs::ServiceRestart => "a restart of the service",
    }
}

fn wanted(want: Want) -> String {
    match want {
        Want::Exactly(value) => value.to_owned(),
        Want::OneOf(words) => words.join(" or "),
        Want::AtLeast(least) => format!("at least {least}"),
        Want::AtMost(most, set) if most == set => format!("at most {most}"),
        Want::AtMost(most, set) => format!("at most {most}, else {set}"),
        Want::LastAtLeast(least) => format!("a maximum of at least {least}"),
        Want::Covers(low, high) => format!("at least {low} to {high}"),
        Want::Ports => "the listeners' ports that are in the ephemeral range".to_owned(),
        Want::Maps(least) => format!("at least {least}, more for many partitions"),
        Want::Files(least) => format!("at least {least}, more for many partitions"),
    }
}

impl Rule {
    /// Which devices it is for, where two rules have one id.
    fn kind(&self) -> &'static str {
        use crate::rules::Place;
        match self.place {
            Place::Scheduler { rotational: true } | Place::ReadAhead { rotational: true } => " (disks that turn)",
            Place::Scheduler { rotational: false } | Place::ReadAhead { rotational: false } => {
                " (disks that do not turn)"
            }
            Place::Sysctl(_)
            | Place::Sys(_)
            | Place::Limit(..)
            | Place::StopTimeout
            | Place::Atime
            | Place::Swap
            | Place::Governor => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_rules_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tuning.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(page, reference(), "renew it with UPDATE_DOCS=1 cargo test -p kfleet-tune");
    }
}
