//! Metrics, as a scrape target or for the textfile folder of node_exporter.
//!
//! Form: [OpenMetrics 1.0](https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md). Only
//! gauges and counters are used and no sample has a time stamp, because node_exporter reads the older text format, which
//! knows no other type, and refuses stamps; to it `# UNIT` and `# EOF` are comments.

use super::words::visible;
use super::{Options, Pages, RenderError};
use kfleet_inspect::{Datum, Inspection, Object, Owner, State, Unit, readings};
use std::collections::BTreeMap;

pub(super) fn render(pages: &Pages<'_>, _options: &Options) -> Result<String, RenderError> {
    let inspection = pages.inspection;
    let mut families = own(inspection);
    families.extend(of_readings(inspection));
    let mut out = String::new();
    for family in &families {
        family.write(&mut out);
    }
    out.push_str("# EOF\n");
    Ok(out)
}

/// A metric family: its samples stand together, as the format demands.
#[derive(Debug)]
struct Family {
    name: String,
    kind: Kind,
    /// The base unit, which the name ends in.
    unit: &'static str,
    help: String,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

impl Family {
    fn new(name: &str, unit: &'static str, help: &str) -> Self {
        let name = if unit.is_empty() { name.to_owned() } else { format!("{name}_{unit}") };
        Self { name, kind: Kind::Gauge, unit, help: help.to_owned(), samples: Vec::new() }
    }

    fn with(mut self, labels: Vec<(&'static str, String)>, value: f64) -> Self {
        self.samples.push((labels, value));
        self
    }

    fn write(&self, out: &mut String) {
        let Self { name, kind, unit, help, samples } = self;
        let (word, suffix) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter => ("counter", "_total"),
        };
        let mut put = |line: String| out.push_str(&line);
        put(format!("# TYPE {name} {word}\n"));
        if !unit.is_empty() {
            put(format!("# UNIT {name} {unit}\n"));
        }
        put(format!("# HELP {name} {}\n", escaped(help)));
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            put(format!("{name}{suffix}{{{}}} {}\n", labels.join(","), number(*value)));
        }
    }
}

/// Label values and help texts: the three escapes that there are. Everything unseen has been made visible before, with
/// backslashes that are escaped here.
fn escaped(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}

fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        _ => value.to_string(),
    }
}

/// 0 ok, 1 warn, 2 crit, 3 unknown: the order of the exit codes. What does not count is 0.
fn code(state: State) -> f64 {
    match state {
        State::Ok | State::Skip | State::Info | State::Expected | State::Waived => 0.0,
        State::Warn => 1.0,
        State::Crit => 2.0,
        State::Unknown => 3.0,
    }
}

const CODES: &str = "0 ok, 1 warn, 2 crit, 3 unknown";

/// The metrics of the inspection itself.
fn own(inspection: &Inspection) -> Vec<Family> {
    let fleet = || ("fleet", inspection.fleet.to_string());
    let coverage = &inspection.coverage;
    #[expect(clippy::cast_precision_loss, reason = "seconds of our times fit")]
    let judged_at = inspection.run.judged_at.as_second() as f64;
    let mut findings = Family::new("kfleet_inspection_findings", "", "Findings by state.");
    for state in State::ALL {
        let count = inspection.counts.get(&state).copied().unwrap_or(0);
        findings = findings.with(vec![fleet(), ("state", state.name().to_owned())], f64::from(count));
    }
    let hosts = Family::new("kfleet_inspection_hosts", "", "Hosts that were expected and that answered.")
        .with(vec![fleet(), ("kind", "expected".to_owned())], f64::from(coverage.hosts_expected))
        .with(vec![fleet(), ("kind", "seen".to_owned())], f64::from(coverage.hosts_seen));
    #[expect(clippy::cast_precision_loss, reason = "a cost is far below 2^53")]
    let (cpu, bytes) = (inspection.run.cost.cpu_ms as f64 / 1e3, inspection.run.cost.bytes as f64);
    vec![
        Family::new("kfleet_inspection_verdict", "", &format!("Worst state that counts: {CODES}."))
            .with(vec![fleet()], code(inspection.verdict)),
        Family::new("kfleet_inspection_score", "", "Health score, 0 to 100.")
            .with(vec![fleet()], f64::from(inspection.score.points)),
        Family::new("kfleet_inspection_judged_timestamp", "seconds", "When it was judged, since 1970.")
            .with(vec![fleet()], judged_at),
        Family::new("kfleet_inspection_cpu", "seconds", "Processor time on all hosts.").with(vec![fleet()], cpu),
        Family::new("kfleet_inspection_read", "bytes", "Bytes read on all hosts.").with(vec![fleet()], bytes),
        findings,
        hosts,
        checks(inspection),
    ]
}

/// One gauge a check that was judged: its worst state that counts.
fn checks(inspection: &Inspection) -> Family {
    let mut worst: BTreeMap<&str, f64> = inspection.passed.keys().map(|check| (check.as_str(), 0.0)).collect();
    let mut states: BTreeMap<&str, State> = BTreeMap::new();
    for finding in inspection.findings.iter().filter(|finding| finding.state.counts()) {
        let state = states.entry(finding.check.as_str()).or_insert(finding.state);
        *state = (*state).max(finding.state);
    }
    worst.extend(states.into_iter().map(|(check, state)| (check, code(state))));
    let mut family = Family::new("kfleet_inspection_check_state", "", &format!("Worst state of a check: {CODES}."));
    for (check, value) in worst {
        let area = check.split('.').next().unwrap_or_default();
        let labels = [("fleet", inspection.fleet.as_str()), ("area", area), ("check", check)];
        family.samples.push((labels.map(|(label, value)| (label, value.to_owned())).to_vec(), value));
    }
    family
}

/// The readings that are numbers, a family a key. Without a key in the table a reading has no unit and is left out.
fn of_readings(inspection: &Inspection) -> Vec<Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (name, remembered) in &inspection.memory.readings {
        let Some((key, object)) = name.split_once('@') else { continue };
        let (Some(known), Ok(object)) = (readings::find(key), object.parse::<Object>()) else { continue };
        let Some((value, kind, unit)) = sample(&remembered.datum, known.unit) else { continue };
        let family = families.entry(key.to_owned()).or_insert_with(|| Family {
            kind,
            ..Family::new(&format!("kfleet_reading_{}", key.replace(['.', '-'], "_")), unit, known.from)
        });
        if family.kind == kind && family.unit == unit {
            family.samples.push((labels(inspection, &object), value));
        }
    }
    families.into_values().collect()
}

/// A value in base units, as the format's naming rules want them. Hundredths are divided, not multiplied: 41.25 % is
/// 0.4125 and not the number beside it.
fn sample(datum: &Datum, unit: Unit) -> Option<(f64, Kind, &'static str)> {
    let (times, over, base) = match unit {
        Unit::Count => (1.0, 1.0, ""),
        Unit::Percent => (1.0, 100.0, "ratio"),
        Unit::Milliseconds => (1.0, 1e3, "seconds"),
        Unit::Seconds => (1.0, 1.0, "seconds"),
        Unit::Minutes => (60.0, 1.0, "seconds"),
        Unit::Hours => (3_600.0, 1.0, "seconds"),
        Unit::Days => (86_400.0, 1.0, "seconds"),
        Unit::Bytes => (1.0, 1.0, "bytes"),
        Unit::Kibibytes => (1024.0, 1.0, "bytes"),
        Unit::Mebibytes => (1_048_576.0, 1.0, "bytes"),
        Unit::Gibibytes => (1_073_741_824.0, 1.0, "bytes"),
        Unit::Tebibytes => (1_099_511_627_776.0, 1.0, "bytes"),
        Unit::PerSecond => (1.0, 1.0, "per_second"),
        Unit::PerHour => (1.0, 3_600.0, "per_second"),
        Unit::MegabitsPerSecond => (125_000.0, 1.0, "bytes_per_second"),
    };
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
    let (value, kind) = match datum {
        Datum::Int(value) => (*value as f64, Kind::Gauge),
        Datum::Float(value) => (*value, Kind::Gauge),
        Datum::Counter(counter) => (counter.value as f64, Kind::Counter),
        Datum::Samples(samples) => {
            (samples.iter().copied().filter(|one| one.is_finite()).reduce(f64::max)?, Kind::Gauge)
        }
        Datum::Flag(value) => return Some((f64::from(u8::from(*value)), Kind::Gauge, "")),
        Datum::Time(at) => return Some((at.as_second() as f64, Kind::Gauge, "timestamp_seconds")),
        Datum::Text(_) | Datum::List(_) | Datum::Numbers(_) | Datum::Texts(_) | Datum::Offsets(_) => return None,
    };
    Some((value * times / over, kind, base))
}

fn labels(inspection: &Inspection, object: &Object) -> Vec<(&'static str, String)> {
    let mut labels = vec![("fleet", inspection.fleet.to_string())];
    match &object.owner {
        Owner::Fleet => {}
        Owner::Host(host) => labels.push(("host", host.to_string())),
        Owner::Cluster(cluster) => labels.push(("cluster", cluster.to_string())),
    }
    if let Some(part) = &object.part {
        labels.push((part.kind.word(), part.name.clone()));
    }
    labels
}

#[cfg(test)]
mod tests;
