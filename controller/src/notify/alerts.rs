//! Items as alerts in the words of Prometheus, for Alertmanager and for receivers of its webhook.

use super::message::{Item, Message};
use jiff::{SignedDuration, Timestamp};
use kfleet_inspect::State;
use kfleet_inspect::object::Owner;
use serde::Serialize;
use std::collections::BTreeMap;

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    /// What it is known by.
    pub(super) labels: BTreeMap<&'static str, String>,
    /// What is worth knowing.
    pub(super) annotations: BTreeMap<&'static str, String>,
    /// Since when.
    pub(super) starts_at: Timestamp,
    /// Until when it is taken to hold.
    pub(super) ends_at: Timestamp,
    /// Where the report is.
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    pub(super) generator_url: Option<String>,
}

/// The alerts of a message. What holds is taken to hold for `lasts`; what ended ends with the inspection. The severity is
/// a label, so an alert that got worse or better ends under its old one.
#[must_use]
pub(super) fn alerts(message: &Message, items: usize, lasts: SignedDuration) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for item in message.items.iter().take(items) {
        let until = message.at.checked_add(lasts).unwrap_or(Timestamp::MAX);
        alerts.push(alert(message, item, item.state, if item.mark.ends() { message.at } else { until }));
        if let Some(was) = item.was.filter(|was| *was != item.state) {
            alerts.push(alert(message, item, was, message.at));
        }
    }
    alerts
}

fn alert(message: &Message, item: &Item, state: State, ends_at: Timestamp) -> Alert {
    let mut labels = BTreeMap::from([
        ("alertname", item.check.to_string()),
        ("area", item.check.area().to_owned()),
        ("fleet", message.fleet.to_string()),
        ("object", item.object.to_string()),
        ("severity", severity(state).to_owned()),
        ("job", "kfleet".to_owned()),
    ]);
    match &item.object.owner {
        Owner::Fleet => {}
        Owner::Host(host) => _ = labels.insert("instance", host.to_string()),
        Owner::Cluster(cluster) => _ = labels.insert("cluster", cluster.to_string()),
    }
    let texts = [
        ("summary", Some(item.title.clone())),
        ("reading", item.reading.clone()),
        ("condition", item.condition.clone()),
        ("note", item.note.clone()),
        ("description", Some(item.why.clone())),
        ("advice", Some(item.advice.clone())),
    ];
    let annotations =
        texts.into_iter().filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?))).collect();
    // Alertmanager refuses an alert that ends before it starts.
    let starts_at = item.since.min(ends_at);
    Alert { labels, annotations, starts_at, ends_at, generator_url: message.link.clone() }
}

/// The usual words of the label.
fn severity(state: State) -> &'static str {
    match state {
        State::Crit => "critical",
        State::Warn => "warning",
        State::Unknown => "unknown",
        State::Ok | State::Skip | State::Info | State::Expected | State::Waived => "info",
    }
}
