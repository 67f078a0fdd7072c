//! The reference of all checks, as a page that is generated and never edited.

use crate::catalogue::{Area, Catalogue, Check, GateSet};
use crate::condition::{As, Condition};

/// The page.
#[must_use]
pub fn reference(catalogue: &Catalogue) -> String {
    let built = catalogue.built().count();
    let core = catalogue.checks.iter().filter(|check| check.core).count();
    let mut page = format!(
        "# Checks of the inspection\n\n\
         Generated from `crates/inspect/catalogue` by `UPDATE_DOCS=1 cargo test -p kfleet-inspect`; do not edit.\n\n\
         {} checks, of which {built} are built; the core set, readable without JMX, has {core}. A check that is not built \
         is never judged and its row says what it will look at. A limit in the columns warn and crit is the built-in one; \
         `inspection.yml` of the fleet directory sets others by its name, where none is given `warn` or `crit`. `?` marks \
         what could not be confirmed.\n\n\
         Thresholds come from: `AK` Apache Kafka's documentation, `AK-src` its source, `ZK` and `ZK-src` the same of \
         ZooKeeper, `CP` Confluent, `CDP` Cloudera, `RH` Red Hat, `CK` Canonical, `STR` Strimzi, `GMX` the Grafana kafka \
         mixin, `NMX` the node-exporter mixin, `APA` awesome-prometheus-alerts, `ND` Netdata, `CC` Cruise Control, `KS` \
         KnowStreaming, `HW` Huawei's alarm references, `LEN` Lenses, `CDK` Conduktor, `BUR` Burrow, `RPK` rpk, `KHC` \
         kafka-health-check, `LYN` lynis, `KIP-n` Kafka improvement proposals, `OWN` chosen for kfleet.\n",
        catalogue.checks.len()
    );
    for set in GateSet::ALL {
        let ids: Vec<String> = catalogue.gate(set).map(|check| format!("`{}`", check.id)).collect();
        let text = format!("\nGate {}: {}.\n", set.name().replace('_', " "), ids.join(", "));
        page.push_str(&text);
    }
    for area in &catalogue.areas {
        section(&mut page, catalogue, area);
    }
    page
}

fn section(page: &mut String, catalogue: &Catalogue, area: &Area) {
    let rows: Vec<&Check> = catalogue.checks.iter().filter(|check| check.id.area() == area.prefix).collect();
    page.push_str(&format!(
        "\n## {} ({})\n\n| id | looks at | built | warn | crit | from | mode | source of truth |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        area.title.en, area.title.zh
    ));
    for check in rows {
        let cells = [
            format!("`{}`", check.id),
            format!("{} {}", check.title.en, check.title.zh),
            if check.built { "yes" } else { "no" }.to_owned(),
            level(check, &check.warn, &check.said.0, "warn"),
            level(check, &check.crit, &check.said.1, "crit"),
            check.from.clone(),
            check.mode.name().to_owned(),
            check.reads.clone(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        page.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

/// What is judged, when data says it; the words of the specification otherwise.
fn level(check: &Check, conditions: &[Condition], said: &str, own: &str) -> String {
    let settings = check.settings.iter().map(|(name, limit)| format!("{name} = {limit}")).collect::<Vec<_>>();
    let mut text = if check.rule.is_some() || conditions.is_empty() {
        said.to_owned()
    } else {
        conditions.iter().map(|condition| sentence(condition, own)).collect::<Vec<_>>().join("; or ")
    };
    if check.rule.is_some() && own == "warn" && !settings.is_empty() {
        text.push_str(&format!(" ({})", settings.join("; ")));
    }
    text
}

fn sentence(condition: &Condition, own: &str) -> String {
    let key = condition.reading.as_deref().unwrap_or_default();
    let what = condition.entry.as_ref().map_or(key.to_owned(), |entry| format!("{key}[{entry}]"));
    let what = match condition.made {
        None => what,
        Some(As::Count) => format!("number of {what}"),
        Some(As::Magnitude) => format!("size of {what}"),
        Some(As::Growth) => format!("growth of {what}"),
        Some(As::Busy) => format!("share of time in {what}"),
        Some(As::Added) => format!("new in {what}:"),
        Some(As::Age) => format!("age of {what}"),
        Some(As::Left) => format!("time until {what}"),
    };
    let what = condition.share_of.as_ref().map_or(what.clone(), |whole| format!("{what} of {whole}"));
    let name = if condition.name == own { String::new() } else { format!("{}: ", condition.name) };
    format!("{name}{what} {}", condition.text(None))
}
