//! Rules: what no comparison of one reading with one limit can express, one file an area.
//!
//! A catalogue entry names its rule; the table here says what runs. A rule sees one owner at a time (a host, a cluster,
//! or the fleet) and says something of each object that it looked at, ok included.

mod broker;
mod cfg;
mod cluster;
mod disk;
mod fleet;
mod group;
mod jvm;
mod kraft;
mod logs;
mod net;
mod sec;
mod sysctl;
mod topic;
mod zk;

use crate::judge::raw::{Gap, Ruled};
use crate::judge::scene::Scene;

/// A rule.
pub(crate) struct Rule {
    /// The name by which the catalogue refers to it.
    pub(crate) name: &'static str,
    /// What it says of one owner.
    pub(crate) apply: fn(&Scene<'_>) -> Result<Ruled, Gap>,
    /// Readings that it wants to see again at the next inspection.
    pub(crate) remembers: &'static [&'static str],
}

const fn rule(name: &'static str, apply: fn(&Scene<'_>) -> Result<Ruled, Gap>) -> Rule {
    Rule { name, apply, remembers: &[] }
}

/// The rule of [`crate::judge`] itself: it needs the results of all others.
pub(crate) const INSPECTION: &str = "inspection";

/// Every other rule.
pub(crate) static RULES: &[Rule] = &[
    rule("names_agree", net::names_agree),
    rule("map_count", sysctl::map_count),
    rule("port_range", sysctl::port_range),
    rule("persisted", sysctl::persisted),
    rule("fill_eta", disk::fill_eta),
    rule("write_latency", disk::write_latency),
    rule("storage_errors", disk::storage_errors),
    rule("stray", disk::stray),
    rule("link", net::link),
    rule("advertised", net::advertised),
    rule("java_version", jvm::java_version),
    rule("identity", cfg::identity),
    rule("cluster_id", fleet::cluster_id),
    rule("sample_values", cfg::sample_values),
    rule("min_isr", cfg::min_isr),
    rule("unclean", cfg::unclean),
    rule("not_applied", cfg::not_applied),
    rule("shadowed", cfg::shadowed),
    rule("unknown_key", cfg::unknown_key),
    rule("left_throttle", cfg::left_throttle),
    rule("broker_count", broker::broker_count),
    rule("controller_one", broker::controller_one),
    rule("metadata_view", broker::metadata_view),
    rule("restart_safe", broker::restart_safe),
    rule("offline", topic::offline),
    rule("under_replicated", topic::under_replicated),
    rule("under_min_isr", topic::under_min_isr),
    rule("at_min_isr", topic::at_min_isr),
    rule("rf_low", topic::rf_low),
    rule("rf_vs_min_isr", topic::rf_vs_min_isr),
    rule("preferred_leader", topic::preferred_leader),
    Rule { name: "offset_regress", apply: topic::offset_regress, remembers: &["topic.end_offsets", "topic.id"] },
    rule("lag_status", group::lag_status),
    rule("data_loss", group::data_loss),
    Rule { name: "loss_eta", apply: group::loss_eta, remembers: &["topic.start_offsets"] },
    rule("one_leader", zk::one_leader),
    rule("ensemble_size", zk::ensemble_size),
    rule("synced", zk::synced),
    rule("zxid_rollover", zk::zxid_rollover),
    rule("quorum_leader", kraft::quorum_leader),
    rule("voters_alive", kraft::voters_alive),
    rule("voter_count", kraft::voter_count),
    rule("file_modes", sec::file_modes),
    rule("signatures", logs::signatures),
    rule("file_drift", fleet::file_drift),
    rule("kafka_version", fleet::kafka_version),
];

/// A rule by its name.
pub(crate) fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CATALOGUE;
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_and_the_table_name_the_same_rules() {
        let named: BTreeSet<&str> = CATALOGUE.built().filter_map(|check| check.rule.as_deref()).collect();
        let there: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).chain([INSPECTION]).collect();
        assert_eq!(named, there);
    }
}
